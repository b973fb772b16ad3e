"""Change windows in the file: what they mean, which faults they can have, and which account has which."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from reconciler.core.model import AccountName
from reconciler.core.windows import Holds, Span, Weekly, Window, WindowKind
from reconciler.desired import Document, LoadCache, Loaded, MemoryTree, load

ZONE = "version = 1\ntimezone = 'Asia/Seoul'\n"
DEVICES = "devices = []\n"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def read(*texts: str, now: datetime | None = None) -> Loaded:
    """Load texts named a.toml, b.toml, …."""
    documents = [
        Document(f"{name}.toml", text.encode()) for name, text in zip("abc", texts, strict=False)
    ]
    return load(documents, MemoryTree({}), now=now)


def faults(window: str, head: str = ZONE) -> list[str]:
    """Return the faults of a text with one window, without the name of its file."""
    loaded = read(f"{head}{DEVICES}[[windows]]\n{window}")
    assert not loaded.accounts
    return [str(fault).removeprefix("a.toml:") for fault in loaded.faults]


def only(text: str) -> Window:
    """Return the only window of the default account."""
    loaded = read(text)
    assert (loaded.faults, loaded.warnings) == ((), ())
    (window,) = loaded.accounts[AccountName("default")].windows
    assert loaded.windows == (window,)
    return window


def test_hours_of_some_days_are_read() -> None:
    """A window of hours has its days, its zone and what it holds."""
    window = only(
        f"{ZONE}{DEVICES}[[windows]]\nname = 'office-hours'\nkind = 'allow'\nholds = 'unsubscribe'\n"
        "days = ['mon', 'fri']\nfrom = '09:00'\nto = '17:30'\ntimezone = 'Europe/Berlin'\nreason = 'staff is there'"
    )
    assert window == Window(
        "office-hours",
        WindowKind.ALLOW,
        Holds.UNSUBSCRIBE,
        Weekly(frozenset({0, 4}), time(9), time(17, 30), "Europe/Berlin"),
        "Europe/Berlin",
        reason="staff is there",
    )


def test_what_is_left_out_is_every_day_all_accounts_all_changes_and_the_zone_of_the_file() -> None:
    """A window says only what differs."""
    window = only(
        f"{ZONE}{DEVICES}[[windows]]\nname = 'a'\nkind = 'deny'\nfrom = '22:00'\nto = '06:00'"
    )
    assert window.when == Weekly(frozenset(range(7)), time(22), time(6), "Asia/Seoul")
    assert (window.holds, window.accounts, window.zone) == (Holds.ALL, ("*",), "Asia/Seoul")


def test_days_alone_are_whole_days() -> None:
    """Without hours a window has the whole of its days."""
    window = only(f"{ZONE}{DEVICES}[[windows]]\nname = 'a'\nkind = 'deny'\ndays = ['sat', 'sun']")
    assert window.when == Weekly(frozenset({5, 6}), time(0), time(0), "Asia/Seoul")


def test_moments_are_read_in_their_offset_and_dates_in_the_zone() -> None:
    """A window of moments is one span of time; a bare date begins at midnight."""
    window = only(
        f"{ZONE}{DEVICES}[[windows]]\nname = 'a'\nkind = 'deny'\n"
        "from = 2026-12-24T09:00:00+09:00\nto = 2027-01-03"
    )
    assert window.when == Span(
        datetime(2026, 12, 24, tzinfo=UTC), datetime(2027, 1, 2, 15, tzinfo=UTC)
    )


def test_a_span_may_leave_one_end_open() -> None:
    """A freeze may begin before its end is known."""
    window = only(
        f"version = 1\n{DEVICES}[[windows]]\nname = 'a'\nkind = 'deny'\nfrom = 2026-12-24T00:00:00Z"
    )
    assert window.when == Span(datetime(2026, 12, 24, tzinfo=UTC), None)


NAMED = "name = 'a'\nkind = 'deny'\n"


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("kind = 'deny'\ndays = ['mon']", ["4:1: name is missing"]),
        ("name = 'a'\ndays = ['mon']", ["4:1: kind is missing"]),
        (
            "name = 'A b'\nkind = 'deny'\ndays = ['mon']",
            [
                "5:8: a window's name is 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit"
            ],
        ),
        (
            "name = 'a'\nkind = 'allows'\ndays = ['mon']",
            ['6:8: must be "allow" or "deny"; did you mean \'allow\'?'],
        ),
        (
            f"{NAMED}holds = 'subscribe'\ndays = ['mon']",
            ['7:9: must be "unsubscribe" or "all"; did you mean \'unsubscribe\'?'],
        ),
        (
            f"{NAMED}days = ['monday']",
            [
                '7:9: must be "mon", "tue", "wed", "thu", "fri", "sat" or "sun"; did you mean \'mon\'?'
            ],
        ),
        (f"{NAMED}days = []", ["7:8: must not be empty"]),
        (f"{NAMED}days = ['mon', 'mon']", ["7:8: a day is listed twice"]),
        (NAMED, ["5:8: a window needs days, or from and to"]),
        (f"{NAMED}from = '09:00'", ["7:8: to is missing"]),
        (f"{NAMED}to = '09:00'", ["7:6: from is missing"]),
        (
            f"{NAMED}from = 09:00:00\nto = '17:00'",
            ['7:8: a time of day is written in quotes, like "09:00"'],
        ),
        (f"{NAMED}from = '09:00'\nto = '24:00'", ['8:6: the end of a day is written "00:00"']),
        (
            f"{NAMED}from = '9:00'\nto = '17:00'",
            [
                '7:8: must be a time of day in quotes, like "09:00", or a date or date-time without quotes'
            ],
        ),
        (
            f"{NAMED}from = 2026-12-24T00:00:00\nto = 2027-01-01",
            [
                "7:8: a date-time needs its offset, like 2026-12-01T00:00:00+09:00 or 2026-12-01T00:00:00Z"
            ],
        ),
        (
            f"{NAMED}from = '09:00'\nto = 2027-01-01",
            ["8:6: from and to are two times of day, or two moments"],
        ),
        (
            f"{NAMED}days = ['mon']\nfrom = 2026-12-24\nto = 2027-01-01",
            ["7:8: a window from one moment to another has no days"],
        ),
        (
            f"{NAMED}from = 2027-01-01\nto = 2027-01-01",
            ["8:6: to is not after from: the window would never be active"],
        ),
        (
            f"{NAMED}days = ['mon']\ntimezone = 'Asia/Soul'",
            [
                "8:12: no such time zone; zones are written like Asia/Seoul; did you mean 'Asia/Seoul'?"
            ],
        ),
        (f"{NAMED}days = ['mon']\naccounts = []", ["8:12: must not be empty"]),
        (
            f"{NAMED}days = ['mon']\naccounts = ['Seoul']",
            ["8:13: a pattern of account names has a-z, 0-9, - and *, like seoul-*"],
        ),
        (f"{NAMED}day = ['mon']", ["7:1: unknown key 'day'; did you mean 'days'?"]),
        (
            f"{NAMED}days = ['mon']\n[[windows]]\nname = 'a'\nkind = 'deny'\ndays = ['tue']",
            ["9:8: window a is defined twice, first at a.toml:5:8"],
        ),
    ],
)
def test_a_fault_of_a_window_has_its_place(window: str, expected: list[str]) -> None:
    """Each fault is said in plain words at its place, and no account is loaded without its windows."""
    assert faults(window) == expected


def test_hours_need_a_zone() -> None:
    """Without a zone nobody knows whose nine o'clock is meant."""
    assert faults(f"{NAMED}days = ['mon']", "version = 1\n") == [
        (
            '4:8: the hours of a window need a zone: write timezone = "Asia/Seoul" or such here or at '
            "the top of the file"
        )
    ]


def test_all_windows_are_checked_at_once() -> None:
    """A faulty window hides no fault of another one."""
    window = f"{NAMED}days = ['mo']\n[[windows]]\nname = 'b'\nkind = 'deny'\nfrom = '09:00'"
    assert [fault.partition(": ")[0] for fault in faults(window)] == ["7:9", "11:8"]


def test_windows_are_in_one_document_and_a_fault_there_concerns_all() -> None:
    """No account of another document is loaded without the windows that hold its changes."""
    window = "version = 1\n[[windows]]\nname = 'a'\nkind = 'deny'\nfrom = 2026-12-24T00:00:00Z\n"
    assert read(window, f"version = 1\n{DEVICES}").accounts[AccountName("default")].windows
    for text in (f"{window}to = 1", f"{window}[[windows]]", f"{window}[["):
        loaded = read(text, f"version = 1\n{DEVICES}")
        assert loaded.shared_fault
        assert not loaded.accounts
    twice = read(window, window, f"version = 1\n{DEVICES}")
    assert [str(fault) for fault in twice.faults] == [
        "a.toml:2:3: windows may be in one file only; it is also at b.toml:2:3",
        "b.toml:2:3: windows may be in one file only; it is also at a.toml:2:3",
    ]


FLEET = """version = 1
timezone = "Asia/Seoul"
[[windows]]
name = "all"
kind = "allow"
days = ["mon"]
[[windows]]
name = "seoul"
kind = "deny"
days = ["tue"]
accounts = ["seoul-*", "jeju"]
[accounts.seoul-a]
devices = []
[accounts.seoul-b]
devices = []
[accounts.busan]
devices = []
"""


def test_an_account_has_the_windows_whose_patterns_match_its_name() -> None:
    """Accounts with the same windows share one tuple; a pattern without an account is a warning."""
    loaded = read(FLEET)
    names = {
        name: [one.name for one in desired.windows] for name, desired in loaded.accounts.items()
    }
    assert names == {"seoul-a": ["all", "seoul"], "seoul-b": ["all", "seoul"], "busan": ["all"]}
    one, other = (loaded.accounts[AccountName(name)] for name in ("seoul-a", "seoul-b"))
    assert one.windows is other.windows
    assert [str(one) for one in loaded.warnings] == [
        "a.toml:11:24: no account matches this pattern"
    ]


def test_an_edit_of_windows_reaches_accounts_of_documents_that_stayed_as_they_were() -> None:
    """What is kept from one load to the next never hides a new window."""
    cache, accounts = LoadCache(), Document("b.toml", f"version = 1\n{DEVICES}".encode())

    def windows(text: str) -> list[str]:
        shared = Document("a.toml", f"version = 1\ntimezone = 'UTC'\n{text}".encode())
        loaded = load([shared, accounts], MemoryTree({}), cache=cache)
        return [one.name for one in loaded.accounts[AccountName("default")].windows]

    window = "[[windows]]\nname = '{}'\nkind = 'deny'\ndays = ['mon']\n"
    texts = ["", window.format("a"), window.format("b"), "", window.format("a")]
    assert [windows(text) for text in texts] == [[], ["a"], ["b"], [], ["a"]]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (
            "kind = 'deny'\nfrom = '00:00'\nto = '00:00'",
            ["4:8: window a never ends: it denies its changes for good"],
        ),
        (
            "kind = 'deny'\nfrom = 2026-12-24",
            ["4:8: window a never ends: it denies its changes for good"],
        ),
        (
            "kind = 'allow'\nholds = 'unsubscribe'\nfrom = 2027-01-05\nto = 2027-01-06",
            [
                "4:8: no allow window of account default is active within 35 days: until then it makes no unsubscribe"
            ],
        ),
        ("kind = 'allow'\nfrom = 2027-01-04\nto = 2027-01-06", []),
        ("kind = 'allow'\nfrom = 2026-01-01", []),
        ("kind = 'deny'\nfrom = 2026-12-24\nto = 2030-01-01", []),
    ],
)
def test_windows_that_hold_for_long_are_warnings(window: str, expected: list[str]) -> None:
    """A deny window without an end, and an allow window that comes in more than 35 days, are probably mistakes."""
    text = f"version = 1\ntimezone = 'UTC'\n[[windows]]\nname = 'a'\n{window}\n[accounts.default]\n{DEVICES}"
    loaded = read(text, now=NOW)
    assert not loaded.faults
    assert [str(one).removeprefix("a.toml:") for one in loaded.warnings] == expected
    assert read(text).warnings == ()


@pytest.mark.parametrize(
    "file_zone", ["", "timezone = 'Asia/Seoul'\n", "timezone = 'America/New_York'\n"]
)
@pytest.mark.parametrize("own_zone", ["", "timezone = 'Europe/Berlin'\n"])
def test_both_ends_of_a_window_are_in_its_own_zone_or_else_in_that_of_the_file(
    file_zone: str, own_zone: str
) -> None:
    """Bare dates and hours alike, and without any zone each is a fault: no window is left out in silence."""
    zone = own_zone or file_zone
    head = f"version = 1\n{file_zone}{DEVICES}[[windows]]\nname = 'a'\nkind = 'deny'\n{own_zone}"
    dates = "from = 2026-12-01\nto = 2026-12-02\n"
    hours = ("days = ['mon']\n", "from = '09:00'\nto = '10:00'\n")
    if not zone:
        for keys in (dates, *hours, "".join(hours)):
            assert any(
                "need" in str(one) and "zone" in str(one) for one in read(head + keys).faults
            )
        return
    name = zone.split("'")[1]
    window = only(head + dates)
    there = ZoneInfo(name)
    begins, ends = (datetime(2026, 12, day, tzinfo=there) for day in (1, 2))
    assert (window.when, window.zone) == (Span(begins, ends), name)
    for keys in hours:
        window = only(head + keys)
        assert isinstance(window.when, Weekly)
        assert (window.when.zone, window.zone) == (name, name)


@pytest.mark.parametrize(
    ("holds", "actions"),
    [("all", {"subscribe", "unsubscribe"}), ("unsubscribe", {"unsubscribe"})],
)
def test_each_action_that_waits_for_long_is_warned_of(holds: str, actions: set[str]) -> None:
    """Once, however many accounts have the same windows."""
    text = (
        f"version = 1\n[[windows]]\nname = 'a'\nkind = 'allow'\nholds = '{holds}'\n"
        "from = 2020-01-01T00:00:00Z\nto = 2020-01-02T00:00:00Z\n"
        f"[accounts.a]\n{DEVICES}[accounts.b]\n{DEVICES}"
    )
    warnings = [str(one) for one in read(text, now=NOW).warnings]
    assert {one.rpartition("makes no ")[2] for one in warnings} == actions
    assert len(warnings) == len(actions)
