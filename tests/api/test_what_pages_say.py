"""What pages sum up, call for and propose: the figures at the top, the tone, the commands to copy, the links."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from account_reports import account_report
from reconciler.api.links import Links
from reconciler.api.page import (
    Alike,
    Moment,
    Page,
    Sums,
    commanded,
    is_dated,
    moments,
    tone,
    tone_of,
)
from reconciler.api.page_commands import for_account
from reconciler.api.pages import ACCOUNTS, AccountsAsked, Pages
from reconciler.api.templating import capitalized, cut, number, person, short_id, spaced
from reconciler.core.model import Condition, Kind, Reason
from reconciler.reporting import (
    AccountReport,
    GuardReport,
    HeldReport,
    PauseReport,
    StatusReport,
    TextReport,
)
from reconciler.reporting.attention import ROWS
from reconciler.reporting.forecast import BoundaryReport
from reconciler.reporting.queries import Overview

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
GUARD = (GuardReport("too-many", "too many would go"),)


def account(name: str = "seoul", **changes: Any) -> AccountReport:
    """Return the report of an account."""
    return account_report(name, NOW, **changes)


def held(count: int, kind: Kind = Kind.POLICY) -> HeldReport:
    """Return held changes."""
    return HeldReport("unsubscribe", kind, "paused", count, None, "words")


def status(
    *accounts: AccountReport, summary: str = "All is well.", well: bool = True
) -> StatusReport:
    """Return a status of these accounts."""
    text = TextReport("r", None, None, None, (), (), "file", NOW, "")
    return StatusReport(
        "0", NOW, "enforce", well=well, summary=summary, text=text, accounts=accounts, abandoned=()
    )


# --- Sums ------------------------------------------------------------------------------------------------------------


def test_each_figure_is_the_sum_of_its_own_fact() -> None:
    """Accounts of which no list was ever trusted count as unknown, and those with an older list by its age."""
    accounts = [
        account(desired=3, devices={"in_sync": 2, "missing": 1}, held=(held(4), held(5))),
        account(desired=10, devices={"in_sync": 20, "extra": 1}, refused=6, flapping=("a", "b")),
        account(desired=100, devices={"in_sync": 200}, last_success=NOW - HOUR),
        account(
            desired=1000, devices={"in_sync": 2000}, last_success=NOW - 3 * HOUR, flapping=("c",)
        ),
        account(desired=10000, devices={}, last_success=None, error="LG answers 502"),
        account(desired=20000, devices={}, last_success=None, last_attempt=None),
    ]
    for ordered in (accounts, accounts[::-1]):
        sums = Sums()
        for one in ordered:
            sums.add(one)
        assert (sums.wanted, sums.unknown) == (31113, 30000)
        assert sums.devices == {"in_sync": 2222, "missing": 1, "extra": 1}
        assert (sums.held, sums.refused, sums.flapping) == (9, 6, 3)
        assert (sums.dated, sums.oldest) == (2200, NOW - 3 * HOUR)
    assert [is_dated(one) for one in accounts] == [False, False, True, True, False, False]


def boundary(account_: str, at: datetime = NOW, **facts: Any) -> BoundaryReport:
    """Return a coming moment of an account."""
    plain: dict[str, Any] = {"begins": 0, "ends": 0, "expires": (), "held": 0, "message": ""}
    return BoundaryReport(at=at, account=account_, **{**plain, "reason": None, **facts})


def test_a_moment_has_what_it_brings_to_each_account() -> None:
    """Numbers are added, and sentences are shown with their accounts where there are several."""
    first, second = moments(
        [
            boundary("a", begins=1, ends=2, held=3, expires=("x",), message="one"),
            boundary("b", begins=10, ends=20, held=30, expires=("y",), message="two"),
            boundary("c"),
            boundary("a", NOW + HOUR, begins=100, message="three"),
        ]
    )
    assert (first.at, first.accounts) == (NOW, ["a", "b", "c"])
    assert (first.begins, first.ends, first.held, first.expires) == (11, 22, 33, ["x", "y"])
    assert first.messages == ["a: one", "b: two"]
    assert (second.at, second.begins, second.messages) == (NOW + HOUR, 100, ["three"])
    assert Moment(NOW).expires == []


def test_several_accounts_have_their_next_pass_when_the_first_of_them_has() -> None:
    """An account without one is not the first."""
    none, late, soon = account(), account(next_pass=NOW + 2 * HOUR), account(next_pass=NOW + HOUR)
    assert Alike([none, late, soon]).next_pass == NOW + HOUR
    assert Alike([none]).next_pass is None
    assert (Alike([late, soon]).count, Alike([late, soon]).first) == (2, late)


def test_only_what_a_command_paused_can_be_resumed_by_one() -> None:
    """A pause that a file or a setting says is not ended by a command; without an account it is of all."""
    pauses = [
        PauseReport("all", None, "", "a", "text"),
        PauseReport("all", NOW, "", "b", "command"),
        PauseReport("all", NOW, "", None, "command"),
        PauseReport("all", None, "", None, "text"),
    ]
    assert commanded(pauses) == {"b": pauses[1], None: pauses[2]}


# --- Tone ------------------------------------------------------------------------------------------------------------

FAILING = {"error": "LG answers 502", "condition": Condition.CONVERGING}
WAITED_FOR = "seoul has no answer from LG."
FULL = HeldReport("subscribe", Kind.PLATFORM, Reason.SUBSCRIPTIONS_FULL, 1, None, "")


@pytest.mark.parametrize(
    ("accounts", "summary", "tones"),
    [
        ([account()], "", ("well", "look")),
        ([], "", ("well", "look")),
        ([account(), account(condition=Condition.CONVERGING)], "", ("calm", "look")),
        ([account(**FAILING)], WAITED_FOR, ("calm", "wait")),
        ([account(**FAILING)], "the newest revision is rejected", ("calm", "look")),
        ([account(**FAILING), account("busan", guards=GUARD)], WAITED_FOR, ("calm", "look")),
        (
            [account(**FAILING), account("busan", held=(held(1, Kind.GUARD),))],
            WAITED_FOR,
            ("calm", "look"),
        ),
        (
            [account(**FAILING), account("busan", condition=Condition.STOPPED)],
            WAITED_FOR,
            ("calm", "look"),
        ),
        ([account(**FAILING), account("busan", refused=1)], WAITED_FOR, ("calm", "look")),
        ([account(**FAILING), account("busan", held=(FULL,))], WAITED_FOR, ("calm", "look")),
        ([account(), account("busan", **FAILING)], WAITED_FOR, ("calm", "look")),
        ([account(condition=Condition.HELD, held=(held(1),))], "", ("calm", "look")),
    ],
)
def test_the_tone_is_that_of_the_gravest(
    accounts: list[AccountReport], summary: str, tones: tuple[str, str]
) -> None:
    """LG is waited for only if that is all that is wrong, and the sentence at the top is about it."""
    for well, expected in zip((True, False), tones, strict=True):
        assert tone(status(*accounts, summary=summary, well=well)) == expected


def test_an_abandoned_account_is_no_reason_to_wait() -> None:
    """It needs a person, also where its name begins as that of an account which LG gives no answer does."""
    one = status(account(**FAILING), summary="seoul-2 is abandoned: bring it back.", well=False)
    assert tone(replace(one, abandoned=("seoul-2",))) == "look"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "well"),
        ({"condition": Condition.CONVERGING}, "calm"),
        ({"condition": Condition.HELD, "held": (held(1),)}, "calm"),
        ({"condition": Condition.STOPPED}, "look"),
        ({"guards": GUARD}, "look"),
        ({"held": (held(1, Kind.GUARD),)}, "look"),
        ({"refused": 1}, "look"),
        ({"held": (FULL,)}, "look"),
        ({"error": "502"}, "wait"),
        ({"error": "502", "refused": 1}, "look"),
        ({"error": "no", "condition": Condition.STOPPED}, "look"),
    ],
)
def test_the_tone_of_an_account(changes: dict[str, Any], expected: str) -> None:
    """Somebody has to act, LG is waited for, nothing is to be done, or all is well."""
    assert tone_of(account(**changes)) == expected


# --- Commands --------------------------------------------------------------------------------------------------------

DOCTOR, PLAN = "doctor --account seoul", "plan --account seoul"
REFUSED, PASS, RESUME = "status --refused --account seoul", "reconcile seoul", "resume seoul"
PAUSE = "pause seoul --for 2h --reason why"
STOPPED = {"condition": Condition.STOPPED}


@pytest.mark.parametrize(
    ("changes", "is_paused", "commands"),
    [
        ({}, False, [PAUSE]),
        ({}, True, [RESUME]),
        ({"error": "502"}, False, [DOCTOR, PAUSE]),
        (STOPPED, False, [DOCTOR, PASS]),
        (STOPPED, True, [DOCTOR, PASS, RESUME]),
        ({"guards": GUARD}, False, [PLAN, PAUSE]),
        ({"held": (held(1),)}, False, [PLAN, PAUSE]),
        ({"refused": 2}, False, [REFUSED, PAUSE]),
        ({"condition": Condition.CONVERGING}, False, [PASS, PAUSE]),
        (
            {"error": "x", "held": (held(1),), "refused": 1, "condition": Condition.CONVERGING},
            True,
            [DOCTOR, PLAN, REFUSED, PASS, RESUME],
        ),
    ],
)
def test_a_state_has_the_commands_that_help_in_it(
    changes: dict[str, Any],
    is_paused: bool,  # noqa: FBT001 - a parameter of the test
    commands: list[str],
) -> None:
    """No page proposes to pause what stopped, nor to resume what no command paused."""
    pause = PauseReport("all", NOW, "", "seoul") if is_paused else None
    found = [
        one.command.removeprefix("pcc-reconciler ")
        for one in for_account(account(**changes), pause)
    ]
    assert found == commands


def test_a_pause_of_all_accounts_is_ended_for_all() -> None:
    """To resume one account ends no pause of all, so its page does not propose that."""
    commands = [one.command for one in for_account(account(), PauseReport("all", NOW, ""))]
    assert commands == ["pcc-reconciler resume"]


def test_a_name_is_one_word_of_a_command() -> None:
    """Whatever an account is called, a copied command runs nothing else."""
    (command,) = for_account(account("a; rm -rf /"), None)
    assert command.command == "pcc-reconciler pause 'a; rm -rf /' --for 2h --reason why"


# --- What is shown ---------------------------------------------------------------------------------------------------


def shown(*accounts: AccountReport) -> str:
    """Return the first page of these accounts."""
    return Page().render(Overview(status(*accounts, well=False)))


def test_what_names_devices_is_shown_for_each_account() -> None:
    """Accounts with the same remarks share a card, and flapping or refused devices are not those of another."""
    same = {"remarks": ("the same remark",)}
    page = shown(*(account(f"same-{number}", **same) for number in range(9)))
    assert page.count("the same remark") == 1
    page = shown(*(account(name, flapping=(f"flaps-in-{name}",), **same) for name in "abc"))
    assert [f"flaps-in-{name}" in page for name in "abc"] == [True] * 3


@pytest.mark.parametrize(
    ("asked", "first", "count"),
    [
        (AccountsAsked(), "a-000", ACCOUNTS),
        (AccountsAsked(page=2), "a-100", 50),
        (AccountsAsked(page=9), "a-100", 50),
        (AccountsAsked(page=-5), "a-000", ACCOUNTS),
        (AccountsAsked(words="A-03"), "a-030", 10),
        (AccountsAsked(words="a-03", page=2), "a-030", 10),
        (AccountsAsked(condition="held"), "a-007", 1),
        (AccountsAsked(words="a-000", condition="held"), None, 0),
        (AccountsAsked(words="nowhere"), None, 0),
    ],
)
def test_a_list_of_accounts_has_those_that_are_asked_for(
    asked: AccountsAsked, first: str | None, count: int
) -> None:
    """By a part of the name in any case, by condition, by both, and page by page."""
    accounts = [account(f"a-{number:03}") for number in range(ACCOUNTS + 50)]
    accounts[7] = replace(accounts[7], condition=Condition.HELD)
    page = Pages().accounts(status(*accounts), asked)
    rows = sorted({one.split('"')[0] for one in page.split('href="/accounts/')[1:]})
    rows = [one for one in rows if one.startswith("a-")]
    if asked == AccountsAsked():
        assert "a-007" in rows
    assert len(rows) == count
    assert (rows[0] if rows else None) == first


def test_of_many_accounts_only_those_with_something_to_say_have_rows() -> None:
    """All others are listed in brief, and none is lost between the two."""
    accounts = [account(f"a-{number:03}") for number in range(ROWS + 1)]
    accounts[3] = replace(accounts[3], remarks=("a remark",))
    page = shown(*accounts)
    assert all(f"a-{number:03}" in page for number in range(ROWS + 1))


def test_an_address_is_put_together_from_its_parts() -> None:
    """Names cannot lead elsewhere, and what is not set makes no link."""
    links = Links(
        "/fleet", "https://docs.test/", "https://forge.test/c/{commit}?x", "", metrics=False
    )
    assert (
        links.to("/history", account="a b", device=None, author="") == "/fleet/history?account=a+b"
    )
    assert links.account("a/b?c") == "/fleet/accounts/a%2Fb%3Fc"
    assert links.account("..") == "/fleet/accounts/%2E%2E"
    assert links.device("a/b", ".") == "/fleet/accounts/a%2Fb/devices/%2E"
    assert links.device("a.b", "c.d") == "/fleet/accounts/a.b/devices/c.d"
    assert links.reason("too-many") == "https://docs.test/guards.md#too-many"
    assert links.commit_of("ab/c") == "https://forge.test/c/ab%2Fc?x"
    assert (links.commit_of(None), links.commit_of("")) == ("", "")
    assert (Links().reason("x"), Links().commit_of("x"), Links().query()) == ("", "", "")


def test_words_from_outside_are_cut_where_they_are_too_long() -> None:
    """A word of just the length is whole; people are recognised by their name, ids by their beginning."""
    assert (cut("a" * 10, 10), cut("a" * 11, 10)) == ("a" * 10, "a" * 9 + "…")
    assert (short_id("1" * 12), short_id("1" * 13)) == ("1" * 12, "1" * 12 + "…")
    assert (person("Anna Kim <anna@example.com>"), person("<anna@example.com>")) == (
        "Anna Kim",
        "<anna@example.com>",
    )
    assert (number(1234567), spaced("in_sync_now"), capitalized("lG is")) == (
        "1,234,567",
        "in sync now",
        "LG is",
    )
