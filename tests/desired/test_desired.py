"""Desired state: what texts say, every fault in them with its place, and what a fault does not touch."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lock_files import lock_file
from reconciler.core.model import (
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    DeviceType,
    Pause,
    Policy,
    Prune,
    Share,
    Unlimited,
)
from reconciler.core.rules import Rule
from reconciler.desired import (
    SHOWN,
    Document,
    LoadCache,
    Loaded,
    MemoryTree,
    Unreadable,
    load,
    matches,
)
from reconciler.desired.device_files import NOT_HERE, read_list
from reconciler.desired.ids import is_id, plain_ids
from reconciler.desired.json_schema import json_schema

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = (ROOT / "desired-state.example.toml").read_text()
DEFAULT = AccountName("default")


def read(*texts: str | bytes, **files: str | bytes) -> Loaded:
    """Load texts named a.toml, b.toml, …; `x__y` among the device files stands for `x/y.txt`."""
    return load(
        _documents(texts),
        MemoryTree({f"{n.replace('__', '/')}.txt": _bytes(f) for n, f in files.items()}),
    )


def read_for(environment: str, *texts: str | bytes) -> Loaded:
    """Load texts that have to be for an environment."""
    return load(_documents(texts), MemoryTree({}), environment=environment)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _documents(texts: Sequence[str | bytes]) -> list[Document]:
    return [
        Document(f"{chr(ord('a') + index)}.toml", _bytes(text)) for index, text in enumerate(texts)
    ]


def told(text: str | bytes, **files: str | bytes) -> list[str]:
    """Return the faults of one text as people see them."""
    return [str(fault) for fault in read(text, **files).faults]


def one(text: str, **files: str | bytes) -> Desired:
    """Return the account `default` of a text without fault."""
    loaded = read(text, **files)
    assert loaded.faults == ()
    return loaded.accounts[DEFAULT]


def uncommented(example: str) -> str:
    """Return the example with every key that it leaves out: lines that begin with # and no space."""
    first, rest = example.split("\n", 1)
    return first + "\n" + re.sub(r"^#(?=[^ \n])", "", rest, flags=re.MULTILINE)


LAUNDRY = Rule(
    "laundry",
    frozenset({"washer", "dish_washer"}),
    "Room *",
    "F2*",
    frozenset({DeviceId("7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10")}),
)
WHOLE_FILES: dict[str, str | bytes] = {
    "devices__lobby": "11aa # Lobby\n",
    "devices__seoul__1": "22bb\n22cc # Room 2\n",
    "removed__wing-b": "33dd\n",
    "locks__seoul-hotel": lock_file("seoul-hotel", LAUNDRY, ee11="Room 11"),
    "locks__busan-hotel": lock_file("busan-hotel", Rule("all"), ff11="Room 12"),
}


# ---------------------------------------------------------------------------------------------------------------------
# What a text says


def test_top_level_devices_are_the_default_account() -> None:
    """Ids, tables that say more, and device files make one account; only what says more than an id is described."""
    text = """
version = 1
timezone = "Asia/Seoul"
devices = ["a", { id = "b" },
  { id = "c", name = " Kitchen ", type = "DEVICE_OVEN", from = 2026-12-01, until = 2027-03-01T00:00:00Z }]
device_files = ["*.txt"]
"""
    desired = one(text, f="d # Lobby\n\n# no device\ne#\n")
    assert desired.devices == {"a", "b", "c", "d", "e"}
    assert desired.described == {
        "c": Device(
            DeviceId("c"),
            "Kitchen",
            DeviceType.OVEN,
            datetime(2026, 11, 30, 15, tzinfo=UTC),
            datetime(2027, 3, 1, tzinfo=UTC),
        ),
        "d": Device(DeviceId("d"), "Lobby"),
    }
    assert desired.path == "a.toml"


def test_an_entry_says_whether_its_device_is_protected_or_says_nothing() -> None:
    """true, false and no word at all are three different things; a line of a device file says nothing."""
    text = """
version = 1
devices = ["a", { id = "b" }, { id = "c", protected = true }, { id = "d", protected = false }]
device_files = ["*.txt"]
"""
    desired = one(text, f="# protected = true means nothing here\ne # the protected door\n")
    said = {}
    for device in desired.devices:
        entry = desired.entry(device)
        assert entry is not None
        said[device] = entry.protected
    assert said == {"a": None, "b": None, "c": True, "d": False, "e": None}


def test_policy_defaults_are_those_of_the_model() -> None:
    """A text without policy and the model agree on every default."""
    assert one("version = 1\ndevices = []").policy == Policy()


def test_every_policy_key_is_read() -> None:
    """Each key of policy reaches the model, as a table or as dotted keys."""
    keys = """\
prune = "owned"
ignore = ["x"]
max_unsubscribe = "2.5%"
max_unsubscribe_floor = 0
unsubscribe_after = "1h30m"
allow_empty = true
pause = "unsubscribe"
calls_per_hour = "unlimited"
"""
    expected = Policy(
        Prune.OWNED,
        frozenset({DeviceId("x")}),
        Share(Fraction(1, 40)),
        0,
        timedelta(minutes=90),
        allow_empty=True,
        pause=Pause.UNSUBSCRIBE,
        calls_per_hour=Unlimited.UNLIMITED,
    )
    dotted = "".join(f"policy.{line}\n" for line in keys.splitlines())
    assert one(f"version = 1\n{dotted}devices = []").policy == expected
    assert one(f"version = 1\ndevices = []\n[policy]\n{keys}").policy == expected


def test_an_account_overrides_policy_key_by_key() -> None:
    """An account's own policy wins, but what is ignored adds up and of two pauses the stricter holds."""
    loaded = read(
        """
version = 1
policy = { prune = "none", ignore = ["x"], pause = "unsubscribe", max_unsubscribe = 7 }
[accounts.a]
devices = []
policy = { prune = "all", ignore = ["y"], pause = "none" }
[accounts.b]
devices = []
policy.pause = "all"
"""
    )
    a, b = loaded.accounts[AccountName("a")].policy, loaded.accounts[AccountName("b")].policy
    assert a.ignore == {"x", "y"}
    assert (a.prune, a.pause, a.max_unsubscribe) == (Prune.ALL, Pause.UNSUBSCRIBE, 7)
    assert (b.prune, b.pause) == (Prune.NONE, Pause.ALL)


def test_policy_of_one_file_holds_for_accounts_of_others() -> None:
    """Policy and approvals may stand in files of their own, for other owners."""
    loaded = read(
        'version = 1\npolicy.pause = "all"',
        "version = 1\n[accounts.a]\ndevices = ['x']",
        "version = 1\n[[approvals]]\naccount = 'a'\ndevices = ['y']\nreason = 'x'\nexpires = 2026-12-01T00:00:00+09:00",
    )
    assert loaded.faults == loaded.warnings == ()
    desired = loaded.accounts[AccountName("a")]
    assert desired.policy.pause is Pause.ALL
    assert desired.approvals == (
        Approval(frozenset({DeviceId("y")}), datetime(2026, 11, 30, 15, tzinfo=UTC), "x"),
    )
    assert loaded.shared == {"a.toml"}


def test_an_approval_without_account_is_for_the_default_one_if_there_is_one() -> None:
    """The short form needs no account in an approval; elsewhere one has to be named."""
    approval = "[[approvals]]\ndevices = ['y']\nexpires = 2026-12-01T00:00:00Z\nreason = 'sold'"
    assert len(one(f"version = 1\ndevices = ['x']\n{approval}").approvals) == 1
    assert told(f"version = 1\n{approval}\n[accounts.a]\ndevices = []") == [
        "a.toml:2:1: account is missing"
    ]


def test_an_account_may_be_empty_only_if_it_says_so() -> None:
    """An empty array or a device file of comments is an empty account; no word about devices is a fault."""
    assert one("version = 1\ndevices = []").devices == frozenset()
    assert one("version = 1\ndevice_files = ['f.txt']", f="# none\n").devices == frozenset()
    assert told("version = 1\n[accounts.a]\ncountry = 'KR'") == [
        "a.toml:2:1: an account needs devices, device_files or locked; to keep an account empty, write devices = []"
    ]


def test_a_byte_order_mark_and_windows_newlines_are_no_fault() -> None:
    """Editors on other systems may write a mark and CRLF, in texts and device files."""
    text = "\ufeffversion = 1\r\ndevices = [\r\n'a']\r\ndevice_files = ['*.txt']\r\n"
    assert one(text, f="\ufeffb\r\nc # C\r\n\r\n").devices == {"a", "b", "c"}


def test_ids_may_hold_any_printable_character_but_some() -> None:
    """Ids are opaque: non-ASCII ones are read as well, in text and files."""
    assert one("version = 1\ndevices = ['ü-한']\ndevice_files = ['f.txt']", f="é\n").devices == {
        "ü-한",
        "é",
    }


@pytest.mark.parametrize("kind", ["styler", "DEVICE_STYLER", "washtower"])
def test_another_type_of_lg_is_a_warning(kind: str) -> None:
    """PCC is documented for four types; another one that LG has is told but does not stop the text."""
    loaded = read(f"version = 1\ndevices = [{{ id = 'a', type = '{kind}' }}]")
    assert loaded.faults == ()
    assert [str(warning) for warning in loaded.warnings] == [
        "a.toml:2:31: LG knows this type, but PCC is documented for washer, refrigerator, dish_washer or oven only"
    ]
    assert loaded.accounts[DEFAULT].described == {}


def test_both_spellings_of_the_documented_types_are_read() -> None:
    """The file may use our word or LG's."""
    for kind in DeviceType:
        for word in (str(kind), f"DEVICE_{kind.upper()}"):
            assert (
                one(f"version = 1\ndevices = [{{ id = 'a', type = '{word}' }}]")
                .described[DeviceId("a")]
                .type
                is kind
            )


def test_a_device_in_two_accounts_is_a_warning_with_both_places() -> None:
    """Two accounts may desire the same device, which is likely a mistake."""
    loaded = read("version = 1\ndevices = ['a', 'b']\n[accounts.z]\ndevices = ['c', 'b', 'a']")
    assert loaded.faults == ()
    assert [str(warning) for warning in loaded.warnings] == [
        "a.toml:4:22: this device and 1 more are also desired in account default; this one at a.toml:2:12"
    ]


def test_an_approval_for_an_unknown_account_is_a_warning() -> None:
    """An approval without effect is told, with the account that was likely meant."""
    approval = "[[approvals]]\naccount = 'seul'\ndevices = ['y']\nexpires = 2026-12-01T00:00:00Z\nreason = 'sold'"
    loaded = read(f"version = 1\n[accounts.seoul]\ndevices = []\n{approval}")
    assert loaded.faults == ()
    assert [str(warning) for warning in loaded.warnings] == [
        "a.toml:5:11: there is no account seul; did you mean 'seoul'?"
    ]


def test_a_file_that_two_patterns_match_is_read_once() -> None:
    """Overlapping patterns in one account do not make its devices double."""
    assert one(
        "version = 1\ndevice_files = ['d/f.txt', './d/*.txt', '**/*.txt']", d__f="a\n"
    ).devices == {"a"}


# ---------------------------------------------------------------------------------------------------------------------
# What is wrong with a text


HEAD = "version = 1\n"
ID_WORDS = "an id is 1 to 256 printable characters without white space and without / ? # % \\, and not . or .."
TYPES = "washer, refrigerator, dish_washer or oven"

FAULTS = {
    "": ["1:1: the file is empty: version = 1 is missing"],
    " \n": ["1:1: the file is empty: version = 1 is missing"],
    "# only a comment\n": ["1:1: version is missing"],
    "devices = []": ["1:1: version is missing"],
    "version = 1": [
        "1:1: no account: give devices or device_files; for an empty account, devices = []"
    ],
    "version = 2\nbogus = 1": ["1:11: this program reads version 1 of the schema, not this one"],
    "version = 1.0\ndevices = []": ["1:11: must be the whole number 1"],
    "version = true\ndevices = []": ["1:11: must be the whole number 1"],
    "version = '1'\ndevices = []": ["1:11: must be the whole number 1"],
    "version = 9223372036854775808\ndevices = []": [
        "1:11: this program reads version 1 of the schema, not this one"
    ],
    HEAD + "devices = [": ["2:12: not valid TOML: unclosed array, expected `]`"],
    HEAD + "devices = []\ndevices = []": ["3:1: not valid TOML: duplicate key"],
    HEAD + "é = 1": [
        "2:1: not valid TOML: invalid unquoted key, expected letters, numbers, `-`, `_`"
    ],
    HEAD + "devices = []\nnul = '\0'": [
        "3:8: not valid TOML: invalid literal string, expected non-single-quote visible characters"
    ],
    HEAD + "devices = " + "[" * 5000: [
        "2:91: not valid TOML: cannot recurse further; max recursion depth met"
    ],
    HEAD + ".".join("a" * 5000) + " = 1": ["1:1: not valid TOML: recursion limit"],
    HEAD + "devices = []\nx = 2026-02-30": [
        "3:5: not valid TOML: invalid date, expected day between 01 and 28"
    ],
    HEAD + "devces = []\ndevices = []": ["2:1: unknown key 'devces'; did you mean 'devices'?"],
    HEAD + "devices = []\npause = 'all'": ["3:1: unknown key 'pause'; it belongs in policy"],
    HEAD + "devices = []\npolicy.prun = 'all'": ["3:8: unknown key 'prun'; did you mean 'prune'?"],
    HEAD + "[accounts.a]\ndevices = []\ntimezone = 'UTC'": [
        "4:1: unknown key 'timezone'; it belongs at the top of the file, before the first [table]"
    ],
    HEAD + "devices = []\n'\\u001b[31m' = 1": ["3:1: unknown key '\\\\u001b[31m'"],
    HEAD + 'devices = []\n"\\u001b[31m" = 1': ["3:1: unknown key '[31m'"],
    HEAD + "devices = []\n" + "k" * 10_000 + " = 1": ["3:1: unknown key '" + "k" * 255 + "…'"],
    HEAD + "devices = [{ id = 'a', nme = 'x' }]": ["2:24: unknown key 'nme'; did you mean 'name'?"],
    HEAD + "devices = 'a'": ["2:11: must be an array"],
    HEAD + "devices = {}": ["2:11: must be an array"],
    HEAD + "devices = [1, 'a', ['b'], nan]": [
        f"2:{column}: a device is an id in quotes, or a table with an id" for column in (12, 20, 27)
    ],
    HEAD + "devices = [{ name = 'x' }]": ["2:12: id is missing"],
    HEAD + "devices = [{ id = 3 }]": ["2:19: a device id is text in quotes"],
    HEAD + "devices = ['', '.', '..', 'a b', 'a/b', 'ok']": [
        f"2:{c}: {ID_WORDS}" for c in (12, 16, 21, 27, 34)
    ],
    HEAD + f"devices = ['{'x' * 257}', 'ü\u00a0']": [
        f"2:{column}: {ID_WORDS}" for column in (12, 273)
    ],
    HEAD + 'devices = ["a\\nb", "a\\u0000"]': [f"2:{column}: {ID_WORDS}" for column in (12, 20)],
    HEAD + "devices = ['a', 'b', 'a']": ["2:22: this device is listed twice, first at a.toml:2:12"],
    HEAD + "devices = ['a', { id = 'a' }]": [
        "2:17: this device is listed twice, first at a.toml:2:12"
    ],
    HEAD + "devices = [{ id = 'a', type = 'Refridgerator' }]": [
        f"2:31: the type must be {TYPES}; did you mean 'refrigerator'?"
    ],
    HEAD + "devices = [{ id = 'a', type = 1 }]": ["2:31: must be text in quotes"],
    HEAD + "devices = [{ id = 'a', name = 1 }]": ["2:31: must be text in quotes"],
    HEAD + 'devices = [{ id = "a", name = "x\\u001b" }]': [
        "2:31: a name is one line of at most 256 printable characters"
    ],
    HEAD + f"devices = [{{ id = 'a', name = '{'x' * 10_000}' }}]": [
        "2:31: a name is one line of at most 256 printable characters"
    ],
    HEAD + "devices = [{ id = 'a', protected = 'true' }]": [
        "2:36: must be true or false, without quotes"
    ],
    HEAD + "devices = [{ id = 'a', protected = 1 }]": [
        "2:36: must be true or false, without quotes"
    ],
    HEAD + "devices = [{ id = 'a', protect = true }]": [
        "2:24: unknown key 'protect'; did you mean 'protected'?"
    ],
    HEAD + "devices = [{ id = 'a', from = 2026-12-01 }]": [
        '2:31: a bare date needs a zone: write timezone = "Asia/Seoul" or such at the top of the file'
    ],
    HEAD + "devices = [{ id = 'a', from = 2026-12-01T00:00:00 }]": [
        "2:31: a date-time needs its offset, like 2026-12-01T00:00:00+09:00 or 2026-12-01T00:00:00Z"
    ],
    HEAD + "devices = [{ id = 'a', from = '2026-12-01' }]": [
        "2:31: must be a date like 2026-12-01 or a date-time with offset, without quotes"
    ],
    HEAD + "devices = [{ id = 'a', until = 10:00:00 }]": [
        "2:32: must be a date like 2026-12-01 or a date-time with offset, without quotes"
    ],
    HEAD + "devices = [{ id = 'a', until = 9999-12-31T23:59:59-23:00 }]": [
        "2:32: this date is out of range"
    ],
    HEAD + "timezone = 'Asia/Seoul'\ndevices = [{ id = 'a', until = 0001-01-01 }]": [
        "3:32: this date is out of range"
    ],
    HEAD
    + "timezone = 'UTC'\ndevices = [{ id = 'a', from = 2026-12-01, until = 2026-12-01T00:00:00Z }]": [
        "3:51: until is not after from: the device would never be desired"
    ],
    HEAD + "timezone = 'Asia/Soul'\ndevices = []": [
        "2:12: no such time zone; zones are written like Asia/Seoul; did you mean 'Asia/Seoul'?"
    ],
    HEAD + "timezone = '../../etc/passwd'\ndevices = []": [
        "2:12: no such time zone; zones are written like Asia/Seoul"
    ],
    HEAD + 'environment = ""\ndevices = []': ["2:15: must be one line of printable text"],
    HEAD + "environment = 1\ndevices = []": ["2:15: must be text in quotes"],
    HEAD + "policy = 'none'\ndevices = []": ["2:10: must be a table"],
    HEAD + "policy.pause = 'subscribe'\ndevices = []": [
        '2:16: must be "none", "unsubscribe" or "all"; did you mean \'unsubscribe\'?'
    ],
    HEAD + "policy.prune = true\ndevices = []": ['2:16: must be "all", "owned" or "none"'],
    HEAD + "policy.allow_empty = 1\ndevices = []": ["2:22: must be true or false, without quotes"],
    HEAD + "policy.max_unsubscribe_floor = -1\ndevices = []": ["2:32: is too small"],
    HEAD + "policy.max_unsubscribe_floor = 1.0\ndevices = []": ["2:32: must be a whole number"],
    HEAD + "policy.max_unsubscribe_floor = true\ndevices = []": ["2:32: must be a whole number"],
    HEAD + "policy.max_unsubscribe_floor = 99999999999999999999\ndevices = []": [
        "2:32: is too large"
    ],
    HEAD + "policy.unsubscribe_after = '7 days'\ndevices = []": [
        "2:28: a duration is written like 90s, 10m, 1h30m or 7d"
    ],
    HEAD + 'policy.unsubscribe_after = "7d\\n"\ndevices = []': [
        "2:28: a duration is written like 90s, 10m, 1h30m or 7d"
    ],
    HEAD + "policy.unsubscribe_after = 7\ndevices = []": [
        '2:28: must be a duration in quotes, like "90s", "10m", "1h30m" or "7d"'
    ],
    HEAD + "policy.unsubscribe_after = '99999d24h'\ndevices = []": [
        "2:28: is longer than 99999 days"
    ],
    HEAD + "policy.ignore = ['a', 1, '']\ndevices = []": [
        "2:23: a device id is text in quotes",
        f"2:26: {ID_WORDS}",
    ],
    HEAD + "[accounts]": [
        "1:1: no account: give devices or device_files; for an empty account, devices = []"
    ],
    HEAD + "accounts = []": ["2:12: must be a table"],
    HEAD + "[accounts.Seoul]\ndevices = []": [
        "2:11: an account name is 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit"
    ],
    HEAD + "[accounts.a]\ncountry = 'kr'\ndevices = []": [
        "3:11: a country is two capital letters of ISO 3166, like KR"
    ],
    HEAD + "retired_accounts = ['a', 'A']\ndevices = []": [
        "2:26: an account name is 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit"
    ],
    HEAD + "retired_accounts = ['default']\ndevices = []": [
        "2:21: account default is retired and also present; it is at a.toml:3:1"
    ],
    HEAD + "devices = []\n[accounts.default]\ndevices = []": [
        (
            "2:1: account default may be defined in one place only; top-level devices and device_files mean"
            " this account; it is also at a.toml:3:11"
        ),
        (
            "3:11: account default may be defined in one place only; top-level devices and device_files mean"
            " this account; it is also at a.toml:2:1"
        ),
    ],
    HEAD + "devices = []\n[[approvals]]\ndevices = ['a']": [
        "3:1: expires is missing",
        "3:1: reason is missing",
    ],
    HEAD + "devices = []\n[[approvals]]\nexpires = 2026-12-01T00:00:00Z\nreason = ' '": [
        "5:10: state the reason, for a reader next year"
    ],
    HEAD + "devices = []\n[[approvals]]\ndevices = []\nexpires = 2026-12-01\nreason = 1": [
        "6:10: must be text in quotes"
    ],
    HEAD + f"devices = []\n[[approvals]]\ndevices = []\nreason = '{'x' * 1001}'\nexpires = 1": [
        "5:10: a reason is at most 1000 printable characters",
        "6:11: must be a date like 2026-12-01 or a date-time with offset, without quotes",
    ],
    HEAD + "devices = []\n[[approvals]]\nexpires = 2026-12-01T00:00:00Z\nreason = 'x'": [
        "3:1: an approval needs devices or device_files"
    ],
    HEAD
    + "devices = ['b', 'a']\n[[approvals]]\ndevices = ['a']\nexpires = 2026-12-01T00:00:00Z\nreason = 'x'": [
        "4:12: this device is approved to go and also wanted, without an until; it is wanted at a.toml:2:17"
    ],
    HEAD + "device_files = ['none/*.txt']": ["2:17: no file matches this pattern"],
    HEAD + "device_files = 'f.txt'": ["2:16: must be an array"],
    HEAD + "device_files = ['/etc/passwd', '../x', 'a/../../b', 'a\\b']": [
        f"2:{column}: device files stay inside the folder of this file: no leading /, no .. and no \\"
        for column in (17, 32, 40, 53)
    ],
    HEAD + "device_files = ['', 3]": [
        "2:17: a pattern is printable text, like devices/*.txt",
        "2:21: must be text in quotes",
    ],
}
for _entry in ("name = 'x'", "from = 2026-11-01T00:00:00Z", "type = 'washer'"):
    FAULTS[
        f"{HEAD}devices = [{{ id = 'a', {_entry} }}]\n"
        "[[approvals]]\ndevices = ['a']\nexpires = 2026-12-01T00:00:00Z\nreason = 'x'"
    ] = [
        "4:12: this device is approved to go and also wanted, without an until; it is wanted at a.toml:2:12"
    ]
for _value in ('"101%"', '"10"', "-1", "1.5", "true", '"-1%"', '"1e1%"', "[]"):
    FAULTS[f"{HEAD}policy.max_unsubscribe = {_value}\ndevices = []"] = [
        '2:26: must be a share like "10%", from "0%" to "100%", or a whole number like 20'
    ]
for _value in ("0", "1", "true", "1.0", "[]"):
    FAULTS[f"{HEAD}policy.calls_per_hour = {_value}\ndevices = []"] = [
        '2:25: must be "auto", "unlimited" or a whole number from 2'
    ]


@pytest.mark.parametrize(("text", "expected"), FAULTS.items(), ids=range(len(FAULTS)))
def test_faults_are_told_with_their_place(text: str, expected: list[str]) -> None:
    """Each fault has line and column of the offending key or value, and nothing of a faulty text gets in force."""
    loaded = read(text)
    assert [str(fault) for fault in loaded.faults] == [f"a.toml:{line}" for line in expected]
    assert not loaded.accounts
    assert loaded.faulty.keys() == {"a.toml"}
    assert all(str(fault).isprintable() for fault in loaded.faults)


def test_all_faults_are_told_at_once() -> None:
    """Schema and meaning, text and device files: one reading tells everything, sorted by place."""
    assert told(
        """version = 1
devices = ["a", "b", "a", 3, { id = "q", type = "wahser", nam = "x" }, { id = "c", until = 2026-01-01 }]
policy.pause = "al"
[accounts.x]
devices = ["z"]
device_files = ["f.txt", "g.txt"]
[[approvals]]
devices = ["b"]
[[approvals]]
account = "x"
devices = ["z"]
expires = 2026-12-01T00:00:00Z
reason = "gone"
""",
        f="y\nz\n",
    ) == [
        "a.toml:2:22: this device is listed twice, first at a.toml:2:12",
        "a.toml:2:27: a device is an id in quotes, or a table with an id",
        f"a.toml:2:49: the type must be {TYPES}; did you mean 'washer'?",
        "a.toml:2:59: unknown key 'nam'; did you mean 'name'?",
        'a.toml:2:92: a bare date needs a zone: write timezone = "Asia/Seoul" or such at the top of the file',
        'a.toml:3:16: must be "none", "unsubscribe" or "all"; did you mean \'all\'?',
        "a.toml:6:26: no file matches this pattern",
        "a.toml:7:1: expires is missing",
        "a.toml:7:1: reason is missing",
        "a.toml:11:12: this device is approved to go and also wanted, without an until; it is wanted at a.toml:5:12",
        "f.txt:2:1: this device is listed twice, first at a.toml:5:12",
    ]


@pytest.mark.parametrize("zone", ["Asia", "", "/etc/localtime", "a\\u0000b", "UTC/x", "x" * 255])
def test_words_that_are_no_zone_are_faults(zone: str) -> None:
    """Whatever the zone database makes of a word, a zone that is none is told at its place."""
    (line,) = told(f'version = 1\ntimezone = "{zone}"\ndevices = []')
    assert line.startswith("a.toml:2:12: ")


def test_a_device_with_an_end_may_be_approved() -> None:
    """What is desired until some day may already be approved to go after it."""
    approval = (
        "[[approvals]]\ndevices = ['a']\nexpires = 2027-12-01T00:00:00Z\nreason = 'lease ends'"
    )
    assert one(
        f"version = 1\ndevices = [{{ id = 'a', until = 2027-01-01T00:00:00Z }}]\n{approval}"
    ).approvals


def test_bytes_that_are_not_utf8_are_told_with_their_place() -> None:
    """The first bad byte is told by line and character, in texts and device files."""
    assert told(b"version = 1\n# \xc3\xa9 \xff") == ["a.toml:2:5: is not UTF-8"]
    assert told("version = 1\ndevice_files = ['f.txt']", f=b"a\n\xc3\xa9\xe9\n") == [
        "f.txt:2:2: is not UTF-8"
    ]


def test_device_file_faults_name_the_line_and_never_its_content() -> None:
    """A pattern may meet a file that is not a list of devices: its faults show places, not what it holds."""
    secret = "password = hunter2\nAKIA/SECRET\nAKIA/SECRET\n  two words\nx" + "y" * 300
    lines = told("version = 1\ndevice_files = ['f.txt']", f=secret)
    assert lines == [
        *(
            f"f.txt:{place}: this line is not a device id: {ID_WORDS}"
            for place in ("1:1", "2:1", "3:1", "4:3", "5:1")
        ),
        "f.txt:5:302: the file does not end with a newline, so it may be cut",
    ]
    assert not any(word in line for line in lines for word in ("hunter2", "AKIA", "two", "yy"))


def test_a_device_file_that_would_protect_a_device_is_a_fault() -> None:
    """Nobody believes that a comment protects a device."""
    lines = "a # Lobby\nb # Safe, protected = true\nc  protected=false\n# protected = true\n"
    assert told("version = 1\ndevice_files = ['f.txt']", f=lines) == [
        f"f.txt:2:11: {NOT_HERE}",
        f"f.txt:3:1: this line is not a device id: {ID_WORDS}",
        f"f.txt:3:4: {NOT_HERE}",
    ]


def test_a_device_twice_is_told_with_both_places() -> None:
    """Within a device file, between two, and between file and text: each repetition names the first place."""
    text = "version = 1\ndevices = ['a']\ndevice_files = ['f.txt', 'g.txt']"
    assert told(text, f="b # B\nc\nb\n", g="x\n c\na\n") == [
        "f.txt:3:1: this device is listed twice, first at f.txt:1:1",
        "g.txt:2:2: this device is listed twice, first at f.txt:2:1",
        "g.txt:3:1: this device is listed twice, first at a.toml:2:12",
    ]


def test_a_device_file_that_is_cut_is_a_fault() -> None:
    """A file without a newline at its end may have lost half an id."""
    for content in ("abc", "abc\nde", "abc # n", "abc\n# c"):
        (line,) = told("version = 1\ndevice_files = ['f.txt']", f=content)
        assert line.endswith("the file does not end with a newline, so it may be cut")


def test_a_device_file_with_null_bytes_is_damaged() -> None:
    """A disk that lost power may leave null bytes where lines were, and a comment before them hides that."""
    for content, place in {
        "a # Room 2\0\0\0\n": "1:11",
        "a\n# Ro\0\n": "2:5",
        "a\n# r\n#\0\nc\n": "3:2",
    }.items():
        lines = told("version = 1\ndevice_files = ['f.txt']", f=content)
        assert lines == [f"f.txt:{place}: has a null byte here, so it is damaged"]


def test_a_line_that_is_too_long_is_a_fault() -> None:
    """A file of plain lines is read at once, and still no line may be longer than an id."""
    assert told("version = 1\ndevice_files = ['f.txt']", f=f"ab\n{'a' * 256}\n{'a' * 257}\n") == [
        f"f.txt:3:1: this line is not a device id: {ID_WORDS}"
    ]
    assert told("version = 1\ndevice_files = ['f.txt']", f=f"{'a' * 257}\n{'b' * 257}\n")


ODD_LINES = [
    "",
    "..",
    "a/b",
    "a b",
    " ",
    "ü",
    "\t",
    "a # name",
    "# name",
    "f" * 256,
    "f" * 257,
    f"{0:064x}",
    "\r",
]


@settings(max_examples=60)
@given(
    at=st.integers(2_000, 2_040) | st.integers(0, 4_200),
    odd=st.lists(st.sampled_from(ODD_LINES), max_size=2),
    end=st.sampled_from(["\n", "", "\n\n"]),
)
def test_ids_read_in_batches_are_told_apart_as_one_by_one(
    at: int, odd: Sequence[str], end: str
) -> None:
    """Wherever a faulty or unusual line stands, also where one batch ends, it is told as if lines were read singly."""
    lines = [f"{number:064x}" for number in range(4_200)]
    lines[at:at] = odd
    content = ("\n".join(lines) + end).encode()
    found = read_list("f.txt", content)
    ids = [line.partition("#")[0].strip() for line in content.decode().split("\n")]
    assert found.ids == {one for one in ids if is_id(one)}
    assert len({fault.where.line for fault in found.faults if "cut" not in fault.message}) == sum(
        bool(one) and (not is_id(one) or one in ids[:number]) for number, one in enumerate(ids)
    )
    assert any("cut" in fault.message for fault in found.faults) is not end.startswith("\n")
    inline = plain_ids(lines)
    assert (inline is None) == any(not one.isascii() or not is_id(one) for one in odd)
    assert inline is None or inline == frozenset(lines)


VARIANTS = (
    "[accounts.{a}]\ndevices = ['x', 'y']",
    "[accounts.{a}]\ndevices = ['x', { id = 'z', from = 2026-12-01 }]",
    "[accounts.{a}]\ndevice_files = ['*.txt']\npolicy = { prune = 'owned' }",
    "[accounts.{a}]\ndevices = ['x', 'y']\npolicy = { max_unsubscribe = '10%', allow_empty = false }",
    "[accounts.other]\ndevices = ['q']\n[accounts.{a}]\ndevices = []",
    "[accounts.{a}]\ndevices = ['x', 'x']",
    "[accounts.{a}]\ndevices = [{ id = 'w', type = 'dryer' }]",
    "policy.max_unsubscribe = 7\ndevices = ['d']",
    "policy.max_unsubscribe = 8\n[accounts.{a}]\ndevices = ['x']",
    "timezone = 'Asia/Seoul'\n[accounts.{a}]\ndevices = ['s']",
    "timezone = 'Europe/Paris'\n[accounts.{a}]\ndevices = ['s']",
    "environment = 'production'\n[accounts.{a}]\ndevices = ['s']",
    "[[approvals]]\naccount = 'a'\ndevice_files = ['*.txt']\nexpires = 2027-01-01T00:00:00Z\nreason = 'r'",
    "[[approvals]]\naccount = 'a'\ndevices = ['gone']\nexpires = 2027-01-01\nreason = 'r'",
    "[accounts.{a}]\ndevices = [",
    "",
)


@given(
    steps=st.lists(
        st.tuples(
            st.lists(st.sampled_from(VARIANTS), max_size=3),
            st.sampled_from(["f\n", "f\ng # G\n", "f/\n"]),
        ),
        min_size=2,
        max_size=5,
    ),
    environment=st.sampled_from([None, "production"]),
)
def test_what_loads_have_in_common_makes_no_difference(
    steps: Sequence[tuple[Sequence[str], str]], environment: str | None
) -> None:
    """A load after others says the same, fault for fault and place for place, as one that begins from nothing."""
    cache = LoadCache()
    for bodies, listing in steps:
        texts = [
            f"version = 1\n{body}\n".replace("{a}", "abc"[index])
            for index, body in enumerate(bodies)
        ]
        tree = MemoryTree({"f.txt": listing.encode()})
        told = load(_documents(texts), tree, environment=environment, cache=cache)
        assert told == load(_documents(texts), tree, environment=environment)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 24),
            st.lists(st.sampled_from(["x", "y", "d0", "d1", "d24"]), unique=True),
        ),
        max_size=5,
    )
)
def test_a_device_of_two_accounts_is_told_whatever_changed_last(
    edits: Sequence[tuple[int, Sequence[str]]],
) -> None:
    """Where one of many accounts is another one, its devices are compared with those of all others."""
    cache = LoadCache()
    texts = [f"version = 1\n[accounts.a{number}]\ndevices = ['d{number}']" for number in range(25)]
    load(_documents(texts), MemoryTree({}), cache=cache)
    for number, devices in edits:
        listed = ", ".join(f"'{device}'" for device in devices)
        texts[number] = f"version = 1\n[accounts.a{number}]\ndevices = [{listed}]"
        told = load(_documents(texts), MemoryTree({}), cache=cache)
        assert told == load(_documents(texts), MemoryTree({}))


def test_accounts_of_a_text_that_did_not_change_are_the_same_objects() -> None:
    """Of hundreds of texts an edit changes one; only that one is read."""
    cache = LoadCache()
    one, two = (
        "version = 1\n[accounts.a]\ndevices = ['x']",
        "version = 1\n[accounts.b]\ndevices = ['y']",
    )
    before = load(_documents([one, two]), MemoryTree({}), cache=cache).accounts
    after = load(_documents([one, two.replace("y", "z")]), MemoryTree({}), cache=cache).accounts
    assert after[AccountName("a")] is before[AccountName("a")]
    assert after[AccountName("b")].devices == {"z"}


GIVEN = (
    "[[approvals]]\naccount = 'a'\ndevices = ['gone']\nexpires = 2027-01-01T00:00:00Z\nreason = 'r'"
)
OWN_FILES = {
    "an approval": (f"version = 1\n{GIVEN}", "version = 1\n"),
    "the policy": ("version = 1\npolicy.pause = 'all'", "version = 1\n"),
    "the time zone": (
        "version = 1\ntimezone = 'Asia/Seoul'",
        "version = 1\ntimezone = 'Europe/Paris'",
    ),
}


@pytest.mark.parametrize("what", OWN_FILES)
@pytest.mark.parametrize("back", [False, True])
def test_what_is_taken_out_of_its_own_file_is_not_kept_with_the_account(
    what: str, *, back: bool
) -> None:
    """The account's file stays as it was, and still what another file says of the account is that of now."""
    account = "version = 1\n[accounts.a]\ndevices = ['x', { id = 'y', until = 2027-01-01 }]"
    zone = "" if what == "the time zone" else "timezone = 'Asia/Seoul'\n"
    first, then = (one.replace("version = 1\n", f"version = 1\n{zone}") for one in OWN_FILES[what])
    if back:
        first, then = then, first
    cache = LoadCache()
    before = load(_documents([account, first]), MemoryTree({}), cache=cache)
    after = load(_documents([account, then]), MemoryTree({}), cache=cache)
    assert not before.faults
    assert after == load(_documents([account, then]), MemoryTree({}))
    assert after.accounts[AccountName("a")] != before.accounts[AccountName("a")]


def test_what_an_edit_leaves_as_it_was_is_not_there_twice() -> None:
    """An edited text is read anew, and still its other accounts hold the very sets that are in force."""
    cache = LoadCache()
    texts = (
        "version = 1\n[accounts.a]\ndevices = ['x']\n[accounts.b]\ndevices = ['y']",
        "version = 1\n[accounts.c]\ndevices = []",
    )
    before = load(_documents(texts), MemoryTree({}), cache=cache).accounts
    edited = texts[0].replace("'y'", "'y', 'z'")
    after = load(_documents([edited, texts[1]]), MemoryTree({}), cache=cache).accounts
    assert after[AccountName("a")].devices is before[AccountName("a")].devices
    assert after[AccountName("b")].devices == {"y", "z"}
    assert load(_documents([edited, texts[1]]), MemoryTree({})).accounts == after


def test_a_fault_in_an_account_of_a_wrong_name_is_told() -> None:
    """What is wrong inside goes before the name of it: once this was no fault but an error of ours."""
    assert told(
        "version = 1\n[accounts.A]\ndevices = ['a/b', { id = 'c', name = 3 }]\ncountry = 'x'\nbogus = 1"
    ) == [
        "a.toml:2:11: an account name is 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit",
        f"a.toml:3:12: {ID_WORDS}",
        "a.toml:3:38: must be text in quotes",
        "a.toml:4:11: a country is two capital letters of ISO 3166, like KR",
        "a.toml:5:1: unknown key 'bogus'",
    ]


def test_a_tree_in_memory_has_only_its_files() -> None:
    """What was not kept cannot be read."""
    with pytest.raises(Unreadable, match="no such file"):
        MemoryTree({}).read("a.txt")


def test_very_many_faults_are_told_in_part() -> None:
    """A file that is altogether something else does not flood the log."""
    lines = told("version = 1\ndevice_files = ['f.txt']", f="not an id\n" * (SHOWN + 5))
    assert len(lines) == SHOWN + 1
    assert lines[0] == "a.toml: 5 more like these are not shown"


def test_names_in_comments_are_made_to_fit() -> None:
    """A comment in a device file is never a reason to refuse a text, and never carries control characters on."""
    desired = one(
        "version = 1\ndevice_files = ['f.txt']", f=f"a # tab\there \x1b[1m\nb # {'x' * 1000}\n"
    )
    assert desired.described[DeviceId("a")].name == "tab here [1m"
    assert desired.described[DeviceId("b")].name == "x" * 255 + "…"


class ClosedTree(MemoryTree):
    """A folder whose files are there but cannot be had."""

    def match(self, folder: str, pattern: str) -> list[str]:
        """Match all, but for what leads outside."""
        if pattern == "out.txt":
            raise Unreadable("out.txt leads out of the folder")
        return [f"{folder}/pipe.txt" if folder else "pipe.txt"]

    def read(self, path: str) -> bytes:
        """Refuse every file."""
        raise Unreadable(f"is not a regular {'file' if path else 'thing'}")


def test_files_that_cannot_be_read_are_told_at_their_pattern() -> None:
    """What only a disk can know becomes a fault where the file is asked for."""
    text = b"version = 1\ndevice_files = ['out.txt', 'p*.txt']"
    loaded = load([Document("d/a.toml", text)], ClosedTree({}))
    assert [str(fault) for fault in loaded.faults] == [
        "d/a.toml:2:17: out.txt leads out of the folder",
        "d/a.toml:2:28: d/pipe.txt: is not a regular file",
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Several texts


def test_a_faulty_text_does_not_touch_the_others() -> None:
    """The failure domain is the file: its accounts are named as faulty, the others are loaded."""
    loaded = read(
        "version = 1\n[accounts.a]\ndevices = ['x y']",
        "version = 1\n[accounts.b]\ndevices = []",
        "versio",
    )
    assert loaded.accounts.keys() == {"b"}
    assert loaded.faulty == {"a.toml": frozenset({"a"}), "c.toml": None}
    assert not loaded.shared_fault


def test_a_fault_in_a_device_file_is_one_of_the_text_that_names_it() -> None:
    """Two texts that name the same broken file are both faulty, and the fault is told once."""
    text = "version = 1\n[accounts.{}]\ndevice_files = ['f.txt']"
    loaded = read(text.format("a"), text.format("b"), "version = 1\ndevices = []", f="cut")
    assert loaded.faulty == {"a.toml": frozenset({"a"}), "b.toml": frozenset({"b"})}
    assert len(loaded.faults) == 1
    assert loaded.accounts.keys() == {"default"}


def test_an_account_in_two_texts_is_a_fault_of_both() -> None:
    """Nobody can say which of the two is meant."""
    text = "version = 1\n[accounts.a]\ndevices = []"
    loaded = read(text, text, "version = 1\n[accounts.b]\ndevices = []")
    assert [str(fault) for fault in loaded.faults] == [
        "a.toml:2:11: account a may be defined in one place only; it is also at b.toml:2:11",
        "b.toml:2:11: account a may be defined in one place only; it is also at a.toml:2:11",
    ]
    assert loaded.accounts.keys() == {"b"}


@pytest.mark.parametrize(
    "key",
    ["environment = 'x'", "timezone = 'UTC'", "policy.pause = 'all'", "retired_accounts = []"],
)
def test_a_shared_key_in_two_texts_concerns_all(key: str) -> None:
    """What holds for all accounts stands once; if not, no account is loaded."""
    loaded = read(f"version = 1\n{key}", f"version = 1\n{key}", "version = 1\ndevices = []")
    name = re.split(r"[. ]", key)[0]
    assert [str(fault) for fault in loaded.faults] == [
        f"a.toml:2:1: {name} may be in one file only; it is also at b.toml:2:1",
        f"b.toml:2:1: {name} may be in one file only; it is also at a.toml:2:1",
    ]
    assert loaded.shared_fault
    assert not loaded.accounts
    assert loaded.shared == {"a.toml", "b.toml"}


@pytest.mark.parametrize(
    "text",
    [
        "version = 1\npolicy.pause = 'al'",
        "version = 1\npolicy.pause = 'all'\n[",
        "version = 2\npolicy.pause = 'all'",
        "[policy\n",
        b"\xff\n policy = {}",
        "version = 1\nretired_accounts = ['default']",
    ],
)
def test_a_fault_where_policy_is_or_seems_to_be_concerns_all(text: str | bytes) -> None:
    """Without its policy no account may be loaded: that would lift a brake."""
    loaded = read(text, "version = 1\ndevices = []")
    assert loaded.shared_fault
    assert loaded.shared == {"a.toml"}
    assert not loaded.accounts


@pytest.mark.parametrize(
    ("other", "needs_a_zone"),
    [("version = \n", True), ("version = 1\ntimezone = 'Asia/Seoul'\n[", False)],
)
def test_a_bare_date_waits_for_its_zone(other: str, *, needs_a_zone: bool) -> None:
    """A file that cannot be parsed lends no zone to others; where it may name one, only its own fault is reported."""
    dated = "version = 1\n[accounts.b]\ndevices = [{ id = 'x', from = 2026-12-01 }]"
    loaded = read(other, dated)
    assert not loaded.accounts
    assert any("a bare date needs a zone" in str(one) for one in loaded.faults) is needs_a_zone


@pytest.mark.parametrize("broken", ["version = \n", "version = 1\n[accounts.c]\ndevcies = []\n"])
def test_an_approval_is_for_nobody_only_where_all_files_can_be_read(broken: str) -> None:
    """The account may be in a file that cannot be parsed; in one with another fault it would be seen."""
    approval = (
        "version = 1\n[accounts.a]\ndevices = []\n[[approvals]]\naccount = 'b'\ndevices = ['x']\n"
        "expires = 2099-01-01T00:00:00Z\nreason = 'r'\n"
    )
    warnings = [str(one) for one in read(approval, broken).warnings]
    nobody = [one for one in warnings if "there is no account b" in one]
    assert len(nobody) == (0 if broken == "version = \n" else 1)
    without = approval.replace("account = 'b'\n", "")
    faults = [str(one) for one in read(without, broken).faults]
    missing = [one for one in faults if "account is missing" in one]
    assert len(missing) == (0 if broken == "version = \n" else 1)


def test_policy_is_kept_from_a_text_that_is_faulty_elsewhere() -> None:
    """A fault in a device does not lift the brake for accounts of other texts."""
    loaded = read(
        "version = 1\npolicy.pause = 'all'\ndevices = ['x y']",
        "version = 1\n[accounts.b]\ndevices = []",
    )
    assert loaded.accounts[AccountName("b")].policy.pause is Pause.ALL
    assert not loaded.shared_fault


def test_a_faulty_approval_leaves_the_account_of_another_text_alone() -> None:
    """Approvals of a faulty text are not in force; the account that they are for goes on without them."""
    approvals = (
        "version = 1\n[[approvals]]\naccount = 'b'\ndevices = ['x']\n"
        "expires = 2026-12-01T00:00:00Z\nreason = 'r'\n"
    )
    loaded = read(f"{approvals}[[approvals]]", "version = 1\n[accounts.b]\ndevices = []")
    assert loaded.faulty.keys() == {"a.toml"}
    assert loaded.accounts[AccountName("b")].approvals == ()


def test_a_text_for_another_environment_is_told_apart() -> None:
    """A wrong branch is a cause of its own: no fault, but nothing of it is loaded."""
    wrong = read_for("production", "version = 1\nenvironment = 'staging'\ndevices = []")
    assert (
        str(wrong.wrong_environment)
        == "a.toml:2:15: this file is for another environment than 'production'"
    )
    silent = read_for("production", "version = 1\ndevices = []")
    assert str(silent.wrong_environment).startswith("a.toml:1:1: environment is missing")
    assert wrong.faults == silent.faults == ()
    assert not wrong.accounts
    assert not silent.accounts
    right = read_for("production", "version = 1\nenvironment = 'production'\ndevices = []")
    assert right.wrong_environment is None
    assert right.environment == "production"
    assert right.accounts.keys() == {"default"}
    unread = read_for("production", "version = 1\nenvironment = production")
    assert unread.wrong_environment is None
    assert unread.shared_fault


def test_no_text_at_all_is_a_fault() -> None:
    """An empty folder is not an empty fleet."""
    loaded = read()
    assert [str(fault) for fault in loaded.faults] == ["there is no file to read"]
    assert loaded.shared_fault


def test_retired_accounts_are_read() -> None:
    """Accounts that are gone for good are named once for all texts."""
    assert read("version = 1\nretired_accounts = ['a', 'b']\ndevices = []").retired == {"a", "b"}


def test_the_digest_is_what_sha256sum_prints() -> None:
    """Of one file it is that file's; of several that of their sorted list, so that anybody can check it."""
    text = "version = 1\ndevices = []"
    assert read(text).sha256 == hashlib.sha256(text.encode()).hexdigest()
    loaded = read("version = 1\ndevice_files = ['*.txt']", z="a\n", b="b\n")
    assert sorted(loaded.files) == ["a.toml", "b.txt", "z.txt"]
    listing = "".join(
        f"{hashlib.sha256(loaded.files[p]).hexdigest()}  {p}\n" for p in sorted(loaded.files)
    )
    assert loaded.sha256 == hashlib.sha256(listing.encode()).hexdigest()


def test_the_digest_is_the_same_wherever_the_files_are() -> None:
    """So a replica knows what another one accepted, though it has the files in another folder."""
    found = set()
    for folder in ("", "here/", "/srv/there/"):
        names = [f"{folder}{name}.toml" for name in ("a", "b")]
        content = [b"version = 1\ndevice_files = ['*.txt']", b"version = 1\n[accounts]"]
        documents = [Document(*one) for one in zip(names, content, strict=True)]
        found.add(load(documents, MemoryTree({f"{folder}x.txt": b"a\n"})).sha256)
    assert len(found) == 1


def test_device_files_are_looked_for_beside_their_text() -> None:
    """A pattern is relative to the text that names it, wherever that is."""
    tree = MemoryTree({"x/d/f.txt": b"a\n", "d/f.txt": b"b\n", "xx/d/f.txt": b"c\n"})
    loaded = load([Document("x/a.toml", b"version = 1\ndevice_files = ['d/*.txt']")], tree)
    assert loaded.accounts[DEFAULT].devices == {"a"}


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "d/a.txt", False),
        ("d/*.txt", "d/a.txt", True),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "d/e/a.txt", True),
        ("d/**", "d/e/a.txt", True),
        ("[ab].txt", "b.txt", True),
        ("?.txt", "ab.txt", False),
        ("*", ".hidden", False),
        (".h*", ".hidden", True),
        ("**/*.txt", "..data/a.txt", False),
        ("a.txt", "A.txt", False),
    ],
)
def test_patterns_match_as_in_a_shell(pattern: str, path: str, *, expected: bool) -> None:
    """Wildcards stay within a name, ** goes down, and nothing hidden is matched by chance."""
    assert matches(path, pattern) is expected


@pytest.mark.parametrize("ending", ["a", "b"])
def test_no_pattern_takes_for_ever(ending: str) -> None:
    """However often a pattern says **, a deep path is looked through in a moment: it may come from a stranger."""
    assert matches("/".join("a" * 60), "/".join(["**/a"] * 25 + [ending])) is (ending == "a")


# ---------------------------------------------------------------------------------------------------------------------
# Any bytes, and a text cut anywhere


@given(st.binary(max_size=200))
def test_no_bytes_raise(content: bytes) -> None:
    """Whatever is in a text or a device file, the answer is a value."""
    loaded = read(content, "version = 1\ndevice_files = ['f.txt']", f=content)
    assert all(str(fault).isprintable() for fault in (*loaded.faults, *loaded.warnings))


@given(st.data())
@settings(max_examples=200)
def test_no_mutation_of_a_text_raises(data: st.DataObject) -> None:
    """A text that was good once and is damaged or misunderstood is told, never a crash."""
    lines = uncommented(EXAMPLE).split("\n")
    pieces = [
        *lines,
        "[[accounts]]",
        "[policy.ignore]",
        "devices.x = 1",
        "a = [[{}]]",
        "accounts.devices = [1]",
        "[]",
    ]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                lines[place] = data.draw(st.sampled_from(pieces))
            case 1:
                lines.insert(place, data.draw(st.sampled_from(pieces)))
            case 2:
                values = [
                    "nan",
                    "-1",
                    "1e400",
                    "{}",
                    "[[1], {id = []}]",
                    "'x'",
                    "true",
                    "2026-01-01",
                    "[{id={}}]",
                ]
                lines[place] = re.sub(
                    r"(?<== ).*", data.draw(st.sampled_from(values)), lines[place]
                )
            case _:
                cut = data.draw(st.integers(0, len(lines[place])))
                lines[place] = (
                    lines[place][:cut] + data.draw(st.text(max_size=3)) + lines[place][cut:]
                )
    content = "\n".join(lines).encode(errors="replace")
    loaded = read(content, **WHOLE_FILES)
    assert all(str(fault).isprintable() for fault in (*loaded.faults, *loaded.warnings))
    assert bool(loaded.accounts) != bool(loaded.faults)


@pytest.mark.parametrize("text", [EXAMPLE, uncommented(EXAMPLE)], ids=["example", "whole"])
def test_a_text_cut_anywhere_is_refused_or_says_what_it_says(text: str) -> None:
    """A cut loses only what stood behind it: the devices are those still written, and none of them has changed."""
    whole = read(text, **WHOLE_FILES).accounts
    for cut in range(len(text)):
        loaded = read(text[:cut], **WHOLE_FILES)
        assert bool(loaded.accounts) != bool(loaded.faults)
        said = tomllib.loads(text[:cut]) if loaded.accounts else {}
        for name, desired in loaded.accounts.items():
            table = said if name == DEFAULT else said["accounts"][name]
            assert desired.devices == _ids(table)
            assert desired.described.items() <= whole[name].described.items()
            assert whole[name].approvals[: len(desired.approvals)] == desired.approvals


def _ids(table: dict[str, Any]) -> set[str]:
    """Return the ids that a table says, by another reading than the one under test."""
    ids = {entry if isinstance(entry, str) else entry["id"] for entry in table.get("devices", [])}
    folders = {
        pattern.removesuffix("*.txt").replace("/", "__")
        for pattern in table.get("device_files", [])
    }
    for name, content in WHOLE_FILES.items():
        is_lock = f"{name.replace('__', '/')}.txt" == table.get("locked")
        if is_lock or name.rpartition("__")[0] + "__" in folders:
            ids |= {line.split()[0] for line in str(content).splitlines()}
    return ids - {"#"}


@given(
    st.lists(st.sampled_from(["a", "ab", "c3 # C", "", "# c", "ü"]), unique=True),
    st.integers(0, 100),
)
def test_a_device_file_cut_anywhere_is_refused_or_says_what_it_says(
    lines: list[str], cut: int
) -> None:
    """A cut device file is either told as such or ends with a whole line."""
    content = "".join(f"{line}\n" for line in lines).encode()[:cut]
    loaded = read("version = 1\ndevice_files = ['f.txt']", f=content)
    if not loaded.faults:
        said = {line.partition("#")[0].strip() for line in content.decode().splitlines()} - {""}
        assert loaded.accounts[DEFAULT].devices == said


# ---------------------------------------------------------------------------------------------------------------------
# Example, schema and documentation


def test_the_example_is_valid_as_it_stands_and_as_a_whole() -> None:
    """The example loads, and so does the several-accounts form that it shows in comments."""
    assert EXAMPLE.startswith("#:schema ./desired-state.schema.json\n")
    loaded = read(EXAMPLE)
    assert (loaded.faults, loaded.warnings) == ((), ())
    assert loaded.accounts.keys() == {"default"}
    whole = read(uncommented(EXAMPLE), **WHOLE_FILES)
    assert (whole.faults, whole.warnings) == ((), ())
    assert whole.accounts.keys() == {"default", "seoul-hotel", "busan-hotel"}


def test_the_example_shows_the_defaults_of_policy() -> None:
    """What the example says of policy is what holds without it."""
    assert read(EXAMPLE).accounts[DEFAULT].policy == Policy()


def _keys(node: Any) -> set[str]:
    if isinstance(node, list):
        return {key for item in node for key in _keys(item)}
    if not isinstance(node, dict):
        return set()
    return {*node, *(key for value in node.values() for key in _keys(value))}


def _schema_keys() -> set[str]:
    tables = [json_schema(), *json_schema()["$defs"].values()]
    return {key for table in tables for key in table["properties"]}


def test_the_example_shows_every_key() -> None:
    """No key of the schema is missing from the example."""
    assert _schema_keys() <= _keys(tomllib.loads(uncommented(EXAMPLE)))


def test_the_documentation_names_every_key_and_default() -> None:
    """No key of the schema is missing from the page for the person who edits the file."""
    page = (ROOT / "docs" / "desired-state.md").read_text()
    for key in _schema_keys():
        assert f"`{key}`" in page
    for key, about in json_schema()["$defs"]["PolicyTable"]["properties"].items():
        assert f"| `{key}` | `{json.dumps(about['default'])}` |" in page


def test_the_texts_of_the_documentation_are_valid() -> None:
    """Every TOML block of the page loads without fault or warning."""
    page = (ROOT / "docs" / "desired-state.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        loaded = read(block, **WHOLE_FILES)
        assert (loaded.faults, loaded.warnings) == ((), ())


def test_the_committed_schema_is_the_one_in_code() -> None:
    """Editors see what the program checks."""
    committed = (ROOT / "desired-state.schema.json").read_text()
    assert committed == json.dumps(json_schema(), indent=2) + "\n"


def test_the_schema_accepts_the_example_and_refuses_what_load_refuses() -> None:
    """The JSON Schema is valid in itself, and judges whole texts as the program does where a schema can."""
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    for text in (EXAMPLE, uncommented(EXAMPLE)):
        validator.validate(_as_json(tomllib.loads(text)))
    for text in (
        "devices = []",
        "version = 2",
        "version = 1\nbogus = 1",
        "version = 1\n[accounts.A]\ndevices = []",
        "version = 1\n[accounts.a]\ncountry = 'KR'",
        "version = 1\ndevices = ['a/b']",
        "version = 1\ndevices = [{ id = 'a', type = 'x' }]",
        "version = 1\npolicy.max_unsubscribe = '101%'",
        "version = 1\npolicy.unsubscribe_after = '7'",
    ):
        assert not validator.is_valid(_as_json(tomllib.loads(text)))
        assert read(text).faults


def _as_json(node: Any) -> Any:
    """Return TOML as an editor hands it to a JSON Schema: dates are strings."""
    if isinstance(node, dict):
        return {key: _as_json(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_json(item) for item in node]
    return node.isoformat() if isinstance(node, date) else node
