"""The pauses in force as they are listed: those of the file beside those by command."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName, Desired, Pause, Policy, Revision
from reconciler.reporting.pauses import PauseReport, pause_reports

UNTIL = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
REVISION = Revision("a" * 64)


def in_force(**pauses: Pause) -> Accepted:
    """Return accounts with these pauses in the file."""
    texts = {}
    for word, pause in pauses.items():
        name = AccountName(word)
        desired = Desired(name, frozenset(), policy=Policy(pause=pause))
        texts[name] = AccountRevision(desired, REVISION)
    return Accepted(texts)


def in_file(pause: Pause, account: str | None) -> PauseReport:
    """Return how a pause of the file is listed."""
    return PauseReport(pause, None, "set in the file", account, by="text")


@pytest.mark.parametrize(
    ("pauses", "listed"),
    [
        ({"a": Pause.NONE, "b": Pause.NONE}, []),
        ({"a": Pause.ALL, "b": Pause.ALL}, [in_file(Pause.ALL, None)]),
        (
            {"b": Pause.ALL, "a": Pause.UNSUBSCRIBE},
            [in_file(Pause.UNSUBSCRIBE, "a"), in_file(Pause.ALL, "b")],
        ),
        ({"a": Pause.NONE, "b": Pause.UNSUBSCRIBE}, [in_file(Pause.UNSUBSCRIBE, "b")]),
        ({"a": Pause.ALL}, [in_file(Pause.ALL, "a")]),
        ({}, []),
    ],
)
def test_the_pauses_of_the_file_are_listed_by_account(
    pauses: Mapping[str, Pause], listed: list[PauseReport]
) -> None:
    """One that all of several accounts have is listed once, without a name; different ones are listed each."""
    assert list(pause_reports(in_force(**pauses), {})) == listed


def test_pauses_by_command_come_first_and_that_of_all_before_others() -> None:
    """With their end, their reason and who gave the command."""
    overrides = {
        AccountName("b"): PauseOverride(Pause.UNSUBSCRIBE, UNTIL, "audit", "kim"),
        None: PauseOverride(Pause.ALL, None, "storm", "lee"),
    }
    assert pause_reports(in_force(a=Pause.ALL, b=Pause.NONE), overrides) == (
        PauseReport("all", None, "storm", None, set_by="lee"),
        PauseReport("unsubscribe", UNTIL, "audit", "b", set_by="kim"),
        in_file(Pause.ALL, "a"),
    )
