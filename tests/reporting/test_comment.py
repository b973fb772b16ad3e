"""Comments in Markdown: however much there is to say, a forge takes them, and what is left out is counted."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.models import OptionInfo

from account_reports import account_report
from reconciler.cli.options import Longest
from reconciler.core.errors import Fault
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Commit,
    Desired,
    DeviceId,
    Held,
    Plan,
    Reason,
    Tripped,
)
from reconciler.core.status import PassReport
from reconciler.desired import Document, MemoryTree, load
from reconciler.reporting import PlanReport
from reconciler.reporting.diagnosis import Check, Examination, Examined, Finding, Level
from reconciler.reporting.diff import Comparison, compare
from reconciler.reporting.explain import ChangeReport
from reconciler.reporting.formats import (
    changes,
    diagnoses,
    explanations,
    plans,
    statuses,
    validations,
)
from reconciler.reporting.formats.comment import (
    LEAST_LONGEST,
    LONGEST,
    MOST_LONGEST,
    Part,
    Section,
    comment,
)
from reconciler.reporting.formats.styles import FENCE
from reconciler.reporting.queries import DeviceExplanation, Page
from reconciler.reporting.status import AccountReport, HeldReport, StatusReport, TextReport

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
GITHUB = 65_536
NAME = "Zimmer @ #1 " + "www.x " * 20

rows = st.lists(st.text("ab|", min_size=1, max_size=60), max_size=30)
part = st.builds(
    Part,
    rows,
    st.just("thing"),
    st.sampled_from([(), ("| head |", "|---|"), (FENCE,)]),
    rank=st.integers(0, 2),
    whole=st.booleans(),
)
parts = part.map(lambda one: replace(one, after=(FENCE,)) if one.before == (FENCE,) else one)
sections = st.lists(
    st.builds(
        Section,
        st.lists(st.text("t", min_size=1, max_size=200), min_size=1),
        st.lists(parts, max_size=3),
    ),
    max_size=20,
)


@given(sections=sections, most=st.integers(600, 4000))
def test_a_comment_is_never_longer_than_it_may_be(sections: list[Section], most: int) -> None:
    """Every line of it is a whole line of what was given, every block of code is closed, and all else is counted."""
    told = comment(sections, most)
    assert len(told) <= most
    assert told.count(FENCE) % 2 == 0
    known = {line for one in sections for line in one.title}
    known |= {
        line
        for one in sections
        for each in one.parts
        for line in (*each.rows, *each.before, *each.after)
    }
    for line in told.splitlines():
        assert (
            not line
            or line in known
            or re.match(r"Not shown here( at all)?: \d+|This is not all|\(this", line)
        )


@given(sections=sections, most=st.integers(600, 4000))
def test_what_a_comment_leaves_out_is_counted(sections: list[Section], most: int) -> None:
    """Shown rows and those that are counted as missing are all rows of the sections that are there."""
    told = comment(sections, most)
    if told == comment(sections, 10**9):
        assert "Not shown" not in told
        return
    assert "This is not all" in told
    gone = sum(int(number) for number in re.findall(r"at all: (\d+) account", told))
    assert 0 <= gone <= len(sections)


def test_a_small_account_is_not_hidden_by_a_large_one() -> None:
    """Room is shared row by row, so that what is short is there whole."""
    large = Section(["# large"], [Part([f"- large {number}" for number in range(5000)], "row")])
    small = Section(["# small"], [Part(["- the one that matters"], "row")])
    told = comment([large, small], 2000)
    assert "- the one that matters" in told
    shown = told.count("- large ")
    assert f"{5000 - shown} more rows" in told


def test_kinds_of_rows_that_matter_are_shown_first() -> None:
    """What goes is shown before what comes, and each kind that is left out is counted by itself."""
    many = [f"| + | {number} |" for number in range(900)] + [
        f"| - | {number} |" for number in range(9)
    ]
    labels = ["+"] * 900 + ["-"] * 9
    told = comment([Section(["# x"], [Part(many, "row", labels=labels, first=("-",))])], 3000)
    assert told.count("| - |") == 9
    assert f"({900 - told.count('| + |')} +)" in told


def test_a_block_of_code_is_there_whole_or_not_at_all() -> None:
    """Half an approval is none: it would be copied as if it were all."""
    block = Part(["x = 1"] * 1000, "approval", [FENCE], [FENCE], whole=True)
    told = comment([Section(["# x"], [block])], 2000)
    assert FENCE not in told
    assert "Not shown here: 1 approval" in told


# -- every command that prints Markdown


def fleet_text(accounts: int, devices: int, offset: int = 0) -> bytes:
    """Return a text of so many accounts with so many devices each."""
    lines = ["version = 1"]
    for account in range(accounts):
        entries = ",".join(
            f'{{ id = "{account:04d}-{device + offset:060d}", name = "{NAME}" }}'
            for device in range(devices)
        )
        lines += [f"[accounts.hotel-{account:04d}]", f"devices = [{entries}]"]
    return "\n".join(lines).encode() + b"\n"


SIZES = [(10, 60), (300, 3), (1, 2000), (2000, 1)]


@pytest.mark.parametrize(("accounts", "devices"), SIZES)
def test_validate_fits_and_leaves_room_for_a_plan(accounts: int, devices: int) -> None:
    """The comment of a large change says how much there is, and two of its length fit into one comment."""
    before = load([Document("a.toml", fleet_text(accounts, devices))], MemoryTree({}))
    after = load(
        [Document("a.toml", fleet_text(accounts, devices, offset=devices))], MemoryTree({})
    )
    commit = Commit("0" * 40, "author " * 2000, "subject " * 2000, NOW)
    compared = Comparison("HEAD" * 2000, commit, compare(before, after, NOW))
    told = validations.findings_markdown(
        [], after.warnings, list(after.accounts.values()), [compared]
    )
    check(told)
    assert "removed" in told


def test_many_faults_fit() -> None:
    """Of thousands of faults the first are shown, and the others are a number."""
    faults = [Fault("a.toml", number + 1, 1, NAME * 3) for number in range(5000)]
    told = validations.findings_markdown(faults, faults, [])
    check(told)
    assert told.count("**error**") > 10
    assert re.search(r"Not shown here: \d+ more lines \(\d+ errors, 5000 warnings\)", told)


@pytest.mark.parametrize(("accounts", "devices"), SIZES)
def test_plan_fits(accounts: int, devices: int) -> None:
    """A plan of a large fleet says of each account what holds it, as long as there is room for that."""
    reports = [report(f"hotel-{number:04d}", devices) for number in range(accounts)]
    for done in (False, True):
        told = plans.plan_markdown(reports, done=done)
        check(told)
        assert told.count("**too-many** holds") >= min(accounts, 40)


def report(account: str, devices: int) -> PlanReport:
    """Return a plan that a guard holds, of devices with names that need much escaping."""
    name = AccountName(account)
    ids = [DeviceId(f"{account}-{number:060d}") for number in range(devices)]
    held = tuple(Held(Change(name, Action.UNSUBSCRIBE, one), Reason.TOO_MANY) for one in ids)
    subscribes = tuple(Change(name, Action.SUBSCRIBE, DeviceId(f"new-{one}")) for one in ids)
    plan = Plan(
        name,
        subscribes=subscribes,
        held=held,
        tripped=(Tripped(Reason.TOO_MANY, "more than the limit"),),
    )
    desired = Desired(name, frozenset(), MappingProxyType({}))
    return PlanReport(name, "sha256:0", PassReport(desired=desired, began=NOW, due=NOW, plan=plan))


def numbered(number: int) -> AccountReport:
    """Return an account. A guard holds changes of one in a hundred."""
    held = HeldReport("unsubscribe", "guard", "too-many", 12, None, NAME)
    settled = number % 100 != 99
    return account_report(
        f"hotel-{number:04d}", NOW, held=() if settled else (held,), settled=settled
    )


def test_status_fits_and_shows_first_what_is_not_settled() -> None:
    """Of ten thousand accounts those that need a person are shown before those that are well."""
    text = TextReport("x", None, "x", None, (), (), "file", NOW, "")
    accounts = tuple(map(numbered, range(2000)))
    gone = tuple(f"gone-{number}" for number in range(3000))
    long = "All is well." * 900
    told = statuses.status_markdown(
        StatusReport(
            version="1",
            at=NOW,
            mode="enforce",
            well=True,
            summary=long,
            text=text,
            accounts=accounts,
            abandoned=gone,
        )
    )
    check(told)
    assert all(f"| hotel-{number:04d} |" in told for number in range(99, 2000, 100))


def test_history_explain_and_doctor_fit() -> None:
    """A long history, a device of many accounts and an examination of many are cut like all else."""
    change = ChangeReport(
        at=NOW,
        account="hotel",
        device="d" * 64,
        name=NAME,
        action="subscribe",
        result="success",
        confirmed_by=None,
        approved=False,
        revision="0" * 40,
        commit="0" * 40,
        author=NAME,
        subject=NAME,
        pass_id="pass",
        message_id="m" * 22,
        lg_message_id=None,
        status=200,
        code="0000",
        words=NAME,
    )
    check(changes.history_markdown(Page(NOW, (change,) * 1000, "more")))
    found = Finding(Check.LIST, Level.FAIL, NAME * 20, NAME * 20)
    accounts = tuple(Examined(AccountName(f"a{number}"), (found,) * 5) for number in range(500))
    check(diagnoses.examination_markdown(Examination((found,), accounts)))
    check(
        explanations.explanation_markdown(DeviceExplanation(NOW, "d" * 5000, "id", ()), NAME * 500)
    )


def check(told: str) -> None:
    """Insist that a comment can be posted, and twice of it in one, and that nothing in it is broken off."""
    assert len(told) <= LONGEST
    assert 2 * LONGEST < GITHUB
    assert told.count(FENCE) % 2 == 0
    assert not [
        line for line in told.splitlines() if line.startswith("|") and not line.endswith("|")
    ]


def test_a_plan_begins_with_what_is_held_and_how_to_let_it_go() -> None:
    """The reason comes first, then the approval to commit, then the devices, those that go before the others."""
    told = plans.plan_markdown([report("hotel", 2)])
    places = [told.index(word) for word in ("**too-many** holds", "| -? |", "| + |")]
    assert places == sorted(places)


def test_a_caller_may_ask_for_more_or_less() -> None:
    """The limit is the caller's, as a summary has more room than a comment."""
    reports = [report(f"hotel-{number:04d}", 60) for number in range(20)]
    short, usual, long = (
        plans.plan_markdown(reports, longest=most) for most in (5_000, LONGEST, 900_000)
    )
    assert len(short) <= 5_000 < len(usual) <= LONGEST < len(long)
    assert "This is not all" not in long


def test_the_option_has_the_limits_of_the_daemon() -> None:
    """What the command lets through, the daemon's call takes, and nothing else."""
    (found,) = [one for one in get_args(Longest) if isinstance(one, OptionInfo)]
    assert (found.min, found.max) == (LEAST_LONGEST, MOST_LONGEST)
