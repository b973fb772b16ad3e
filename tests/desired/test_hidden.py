"""A file that is a link to elsewhere, beside one of ours: no fault or warning of either shows a word of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product

import pytest

from reconciler.core.acceptance import Loaded
from reconciler.core.errors import Fault
from reconciler.desired import Document, MemoryTree, load
from reconciler.desired.faults import HIDDEN

SECRET = "sesame"
DEVICE = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"
APPROVAL = 'expires = 2099-01-01T00:00:00Z\nreason = "r"\n'
ELSEWHERE = {
    "a device": f'[accounts.{SECRET}]\ndevices = ["{DEVICE}"]\n',
    "a device in a file": f'[accounts.{SECRET}]\ndevice_files = ["x.txt"]\n',
    "an approval": f'[[approvals]]\naccount = "ours"\ndevices = ["{DEVICE}"]\n{APPROVAL}',
    "a policy": f'policy.pause = "all"\n[accounts.{SECRET}]\ndevices = []\n',
    "an account that retires": f'retired_accounts = ["ours", "{SECRET}"]\n',
    "a stale lock": f'[accounts.{SECRET}]\nlocked = "lock.txt"\n'
    f'rules = [{{ name = "{SECRET}", every = true }}]\n',
    "an environment": f'environment = "{SECRET}"\n[accounts.{SECRET}]\ndevices = []\n',
    "a window": f'[[windows]]\nname = "{SECRET}"\nkind = "deny"\nfrom = 2026-01-01T00:00:00Z\n'
    f'accounts = ["{SECRET}s"]\n[accounts.{SECRET}]\ndevices = []\n',
}
OURS = {
    "the device": f'[accounts.ours]\ndevices = ["{DEVICE}"]\n',
    "the same keys": f'policy.pause = "all"\nenvironment = "x"\n[accounts.ours]\ndevices = ["{DEVICE}"]\n',
    "an approval for nearly that account": "[accounts.ours]\ndevices = []\n"
    f'[[approvals]]\naccount = "sesam"\ndevices = ["x"]\n{APPROVAL}',
    "a window for nearly that account": "[accounts.ours]\ndevices = []\n[[windows]]\n"
    'name = "w"\nkind = "deny"\ndays = ["mon"]\ntimezone = "UTC"\naccounts = ["sesamx"]\n',
    "a window that never opens": "[accounts.ours]\ndevices = []\n[[windows]]\n"
    'name = "w"\nkind = "allow"\nto = 2026-01-01T00:00:00Z\n',
    "the same lock": '[accounts.ours]\nlocked = "lock.txt"\nrules = [{ name = "r", every = true }]\n',
}
HEAD = f"# written by pcc-reconciler resolve; account {SECRET}; rules sha256:{'0' * 64}; registry of 1 device, read "
FILES = {
    "x.txt": f"{DEVICE}\n".encode(),
    "lock.txt": f"{HEAD}2026-11-01T00:00:00Z\n{DEVICE}\n".encode(),
}


MISSING = "environment is missing: only files with environment = "


def read(elsewhere: str, ours: str, environment: str | None, *, hidden: bool, last: bool) -> Loaded:
    """Load two documents, of which one may be a link to elsewhere, in either order."""
    documents = [
        Document(
            "elsewhere.toml", f"version = 1\n{ELSEWHERE[elsewhere]}".encode(), ours=not hidden
        ),
        Document("ours.toml", f"version = 1\n{OURS[ours]}".encode()),
    ]
    now = datetime(2026, 11, 30, tzinfo=UTC)
    if last:
        documents.reverse()
    return load(documents, MemoryTree(FILES), environment=environment, now=now)


def places(faults: Sequence[Fault]) -> set[tuple[str, int, int]]:
    """Return where something is wrong."""
    return {(one.path, one.line, one.column) for one in faults}


@pytest.mark.parametrize(("elsewhere", "ours"), list(product(ELSEWHERE, OURS)))
def test_no_fault_of_two_files_shows_a_word_of_the_one_that_is_elsewhere(
    elsewhere: str, ours: str
) -> None:
    """Whichever comes first, and whichever environment is asked for; what is wrong is reported all the same."""
    for environment, last in product((None, "x", "prod"), (False, True)):
        found = read(elsewhere, ours, environment, hidden=True, last=last)
        shown = read(elsewhere, ours, environment, hidden=False, last=last)
        told = [str(one) for one in (*found.every_fault, *found.warnings)]
        assert [one for one in told if SECRET in one] == []
        about_it = [one for one in told if "elsewhere.toml" in one and MISSING not in one]
        assert [one for one in about_it if HIDDEN not in one] == []
        assert places(found.every_fault) == places(shown.every_fault)
        assert places(found.warnings) == places(shown.warnings)


def test_the_same_words_are_shown_of_two_files_of_ours() -> None:
    """So each of these pairs would show one, if nothing kept it back."""
    quoting = set()
    for elsewhere, ours in product(ELSEWHERE, OURS):
        found = read(elsewhere, ours, None, hidden=False, last=False)
        if any(SECRET in str(one) for one in (*found.every_fault, *found.warnings)):
            quoting |= {elsewhere, ours}
    assert quoting >= {*OURS} - {"the same lock", "the same keys"}
