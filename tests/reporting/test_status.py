"""What people and programs ask for: the sentence at the top, the accounts, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import pytest

from core_strategies import ACCOUNT, HOUR, NOW, SECOND, desiring, some, subscribes, unsubscribes
from reconciler import __version__
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import Fault
from reconciler.core.model import (
    AccountName,
    Cause,
    Change,
    Commit,
    Condition,
    Desired,
    Device,
    DeviceId,
    DeviceType,
    Digest,
    Held,
    Outcome,
    Pause,
    Plan,
    Reason,
    Result,
    Revision,
    Tripped,
)
from reconciler.core.status import AccountStatus, PassReport
from reconciler.core.urgency import CONDITIONS
from reconciler.reporting import (
    NAMED,
    PlanReport,
    StatusReport,
    account_report,
    exit_code,
    held_reports,
    status_report,
    total,
)

TEXT = desiring(
    [Device(DeviceId("a"), name="Room 1203 fridge"), Device(DeviceId("b"), type=DeviceType.OVEN)]
)
A, B = subscribes(some("a", "b"))
X = unsubscribes(some("x"))[0]
REVISION = Revision("ab" * 32)
COMMIT = Commit("c" * 40, "Kim", "Add room 1203", NOW)
FIRST, SECOND_FAULT = Fault("all.toml", 3, 1, "not an id"), Fault("all.toml", 9, 1, "unknown key")


def ending(*reasons: Reason, **more: Any) -> PassReport:
    """Return the end of a pass in which each of these reasons held the one unsubscribe."""
    held = tuple(Held(X, reason) for reason in reasons)
    plan = Plan(
        ACCOUNT,
        held=held,
        tripped=tuple(Tripped(reason, f"because {reason}") for reason in reasons),
    )
    facts: dict[str, Any] = {"plan": plan, "observed": 2, **more}
    return PassReport(TEXT, NOW, NOW + HOUR, **facts)


def status(
    endings: Mapping[str, PassReport | None] = MappingProxyType({}),
    *,
    mode: str = "enforce",
    trouble: str = "",
    fetched_at: float = 0.0,
    due: float | None = None,
    **accepted: Any,
) -> StatusReport:
    """Return the status of accounts after these passes."""
    names = {AccountName(name): end for name, end in endings.items()}
    texts = {name: AccountRevision(TEXT, REVISION) for name in names}
    return status_report(
        Accepted(**{"accounts": texts, "revision": REVISION, "newest": REVISION, **accepted}),
        {name: AccountStatus(name).after(end) for name, end in names.items() if end is not None},
        mode=mode,
        source="file",
        trouble=trouble,
        fetched_at=fetched_at,
        passes={} if due is None else dict.fromkeys(names, NOW + timedelta(seconds=due)),
        now=NOW,
    )


UNSEEN: dict[str, Any] = {"plan": None, "observed": None}

SENTENCES: dict[str, tuple[StatusReport, bool, str]] = {
    "no text, nothing read": (
        status(revision=None, newest=None),
        False,
        "No desired state is in force yet: none was read so far.",
    ),
    "no text, trouble": (
        status(revision=None, newest=None, trouble="no such folder"),
        False,
        "No desired state is in force yet: no such folder.",
    ),
    "no text, faults": (
        status(revision=None, rejected=Cause.INVALID, faults=(FIRST, SECOND_FAULT)),
        False,
        "No desired state is in force yet: all.toml:3:1: not an id (and 1 more).",
    ),
    "rejected": (
        status({"seoul": ending()}, rejected=Cause.INVALID, faults=(FIRST,)),
        False,
        "The newest revision is rejected (invalid); fix it: all.toml:3:1: not an id.",
    ),
    "rejected, before all else": (
        status(
            {"seoul": ending(Reason.TOO_MANY)},
            rejected=Cause.MISSING,
            faults=(FIRST,),
            trouble="gone",
        ),
        False,
        "The newest revision is rejected (missing); fix it: all.toml:3:1: not an id.",
    ),
    "not fetched": (
        status({"seoul": ending()}, trouble="connection refused."),
        False,
        "The newest revision cannot be fetched: connection refused.",
    ),
    "stopped": (
        status(
            {
                "seoul": ending(stopped=True, error="no token", **UNSEEN),
                "busan": ending(Reason.TOO_MANY),
            }
        ),
        False,
        "seoul is stopped: look at credentials and settings.",
    ),
    "held by a guard": (
        status(
            {
                "seoul": ending(Reason.TOO_MANY),
                "busan": ending(Reason.DESIRED_REJECTED),
                "jeju": ending(),
            }
        ),
        False,
        "busan, seoul are held by a guard: a person has to decide.",
    ),
    "held by a guard while paused": (
        status({"seoul": ending(Reason.TOO_MANY, pause=Pause.ALL)}),
        False,
        "seoul is held by a guard: a person has to decide.",
    ),
    "abandoned": (
        status(
            {"seoul": ending(Reason.PAUSED, pause=Pause.ALL)},
            abandoned=frozenset({AccountName("jeju")}),
        ),
        False,
        "jeju is abandoned: bring them back, or name them in retired_accounts.",
    ),
    "no list": (
        status({"seoul": ending(error="time-out", **UNSEEN)}),
        False,
        "seoul is waiting for LG; retried automatically.",
    ),
    "full": (
        status({"seoul": ending(Reason.SUBSCRIPTIONS_FULL)}),
        False,
        "seoul is at LG's cap on subscribed devices: ask LG to raise it.",
    ),
    "refused": (
        status({"seoul": ending(Reason.REFUSED)}),
        False,
        "seoul is partly refused by LG: look at the devices it refuses.",
    ),
    "paused": (
        status({"seoul": ending(Reason.PAUSED, pause=Pause.ALL), "busan": ending(Reason.RETRY)}),
        True,
        "seoul is paused.",
    ),
    "paused, nothing to do": (
        status({"seoul": ending(pause=Pause.UNSUBSCRIBE)}),
        True,
        "seoul is paused.",
    ),
    "held by policy": (
        status({"seoul": ending(Reason.UNSUBSCRIBE_AFTER)}),
        True,
        "seoul is not as wanted, as policy says.",
    ),
    "on the way": (
        status({"seoul": ending(Reason.RETRY), "busan": None}),
        True,
        "busan, seoul are on the way to the wanted state.",
    ),
    "well": (
        status({"seoul": ending(), "busan": ending()}),
        True,
        "All is well: 2 accounts as wanted.",
    ),
    "well, one": (status({"seoul": ending()}), True, "All is well: 1 account as wanted."),
    "observing": (
        status(
            {"seoul": ending(Reason.PAUSED, observing=True), "busan": ending(observing=True)},
            mode="observe",
        ),
        True,
        "seoul is not as wanted, as policy says. Observe mode: nothing is changed.",
    ),
    "observing, as wanted": (
        status({"seoul": ending(observing=True)}, mode="observe"),
        True,
        "All is well: 1 account as wanted. Observe mode: nothing is changed.",
    ),
    "observing a rejected text": (
        status(
            {"seoul": ending(observing=True)},
            mode="observe",
            rejected=Cause.INVALID,
            faults=(FIRST,),
        ),
        False,
        "The newest revision is rejected (invalid); fix it: all.toml:3:1: not an id. Observe mode: nothing is changed.",
    ),
}


@pytest.mark.parametrize(("report", "well", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_the_sentence_at_the_top(report: StatusReport, *, well: bool, sentence: str) -> None:
    """One sentence says whether all is well and, if not, what to do first."""
    assert (report.well, report.summary) == (well, sentence)


IN_CONDITION: dict[Condition, PassReport] = {
    Condition.STOPPED: ending(stopped=True, error="refused", **UNSEEN),
    Condition.HELD: ending(Reason.TOO_MANY),
    Condition.PAUSED: ending(Reason.PAUSED, pause=Pause.ALL),
    Condition.CONVERGING: ending(Reason.RETRY),
    Condition.IN_SYNC: ending(),
}


@pytest.mark.parametrize(("first", "second"), list(pairwise(CONDITIONS)))
def test_the_sentence_names_the_most_urgent_condition(first: Condition, second: Condition) -> None:
    """Of two accounts, the sentence at the top names the one in the more urgent condition."""
    report = status({"busan": IN_CONDITION[second], "seoul": IN_CONDITION[first]})
    assert {one.account: one.condition for one in report.accounts} == {
        "busan": second,
        "seoul": first,
    }
    assert report.summary.startswith("seoul is ")


def test_many_accounts_are_counted_not_named() -> None:
    """Of many accounts in the same trouble the first are named, the rest are a number."""
    crowd = {f"hotel-{number:02}": ending(Reason.TOO_MANY) for number in range(NAMED + 3)}
    summary = status(crowd).summary
    assert summary.startswith("hotel-00, hotel-01, ")
    assert summary.endswith(
        f"hotel-{NAMED - 1} and 3 more are held by a guard: a person has to decide."
    )
    assert NAMED == 20
    just = {f"hotel-{number:02}": ending(Reason.TOO_MANY) for number in range(NAMED)}
    assert "more" not in status(just).summary


def test_abandoned_accounts_are_named_in_order() -> None:
    """Abandoned accounts are named in the order of their names, each time the same."""
    gone = [AccountName(f"hotel-{number}") for number in range(9)]
    summary = status({"seoul": ending()}, abandoned=frozenset(gone)).summary
    assert summary.startswith(f"{', '.join(gone)} are abandoned")


def test_the_account_of_a_status() -> None:
    """An account's report has its condition, its numbers, its times and what is held."""
    held = (Held(X, Reason.TOO_MANY),)
    plan = Plan(
        ACCOUNT,
        held=held,
        tripped=(Tripped(Reason.TOO_MANY, "because"),),
        digest=Digest("sha256:00"),
        in_sync=2,
    )
    end = ending(plan=plan, budget_remaining=4, error="trouble")
    report = status({"seoul": end}, due=90.0)
    (one,) = report.accounts
    assert (one.account, one.condition, one.result, one.error) == (
        "seoul",
        "held",
        "held",
        "trouble",
    )
    assert (one.revision, one.rejected, one.digest) == (str(REVISION), None, "sha256:00")
    assert (one.desired, one.observed, one.devices["in_sync"], one.devices["extra"]) == (2, 2, 2, 1)
    assert one.unsubscribe_budget_remaining == 4
    assert (one.last_attempt, one.last_success, one.out_of_sync_since) == (NOW, NOW, NOW)
    assert one.next_pass == NOW + 90 * SECOND
    assert [held.message for held in one.held] == ["because"]


def test_an_account_before_its_first_pass() -> None:
    """An account that had no pass yet is on its way and has no numbers."""
    (one,) = status({"seoul": None}).accounts
    assert (one.condition, one.result, one.error, one.digest) == ("converging", "", "", "")
    assert (one.desired, one.observed, dict(one.devices), one.held) == (0, 0, {}, ())
    assert (one.last_attempt, one.last_success, one.out_of_sync_since, one.next_pass) == (
        None,
        None,
        None,
        None,
    )
    assert one.unsubscribe_budget_remaining == 0


def test_the_account_of_a_pass_without_a_list() -> None:
    """A pass that had no list has no plan to report."""
    (one,) = status({"seoul": ending(error="time-out", **UNSEEN)}).accounts
    assert (one.digest, dict(one.devices), one.held, one.result) == ("", {}, (), "failed")


def test_the_text_of_a_status() -> None:
    """The text's report has what is in force, what is newest, and what is wrong with it."""
    report = status(
        {"seoul": ending()},
        revision=Revision("ab", COMMIT),
        newest=Revision("cd"),
        rejected=Cause.UNVERIFIED,
        faults=(FIRST,),
        warnings=(SECOND_FAULT,),
        trouble="slow",
        fetched_at=NOW.timestamp(),
        abandoned=frozenset({AccountName("z"), AccountName("y")}),
    )
    text = report.text
    assert (text.revision, text.commit, text.newest, text.rejected) == (
        "c" * 40,
        COMMIT,
        "sha256:cd",
        "unverified",
    )
    assert (text.faults, text.warnings) == ((str(FIRST),), (str(SECOND_FAULT),))
    assert (text.source, text.trouble, text.fetched_at) == ("file", "slow", NOW)
    assert (report.version, report.at, report.mode, report.abandoned) == (
        __version__,
        NOW,
        "enforce",
        ("y", "z"),
    )
    nothing = status(revision=None, newest=None).text
    assert (nothing.revision, nothing.commit, nothing.newest, nothing.fetched_at) == (
        None,
        None,
        None,
        None,
    )


def test_accounts_are_sorted() -> None:
    """Accounts stand in the order of their names."""
    assert [one.account for one in status({"b": None, "c": None, "a": None}).accounts] == [
        "a",
        "b",
        "c",
    ]


def test_held_changes_by_reason_and_action() -> None:
    """Held changes are told by reason, in the order of the table, then by action, each with its earliest end."""
    held = (
        Held(X, Reason.RETRY, NOW + 2 * HOUR),
        Held(A, Reason.RETRY, NOW + HOUR),
        Held(B, Reason.RETRY, NOW + 3 * HOUR),
        Held(X, Reason.TOO_MANY),
        Held(Change(ACCOUNT, X.action, DeviceId("y")), Reason.TOO_MANY),
    )
    plan = Plan(ACCOUNT, tripped=(Tripped(Reason.TOO_MANY, "11 devices"),))
    assert [
        (one.reason, one.kind, one.action, one.count, one.until, one.message)
        for one in held_reports(plan, held)
    ] == [
        ("too-many", "guard", "unsubscribe", 2, None, "11 devices"),
        ("retry", "platform", "subscribe", 2, NOW + HOUR, ""),
        ("retry", "platform", "unsubscribe", 1, NOW + 2 * HOUR, ""),
    ]
    assert held_reports(None, ()) == ()


def of(end: PassReport) -> PlanReport:
    """Return the report of one account's pass."""
    return PlanReport(ACCOUNT, str(REVISION), end)


PENDING = ending(plan=Plan(ACCOUNT, subscribes=(A,)))
MADE = replace(PENDING, outcomes=(Outcome(A, Result.SUCCESS, NOW),))
NOT_MADE = replace(PENDING, outcomes=(Outcome(A, Result.FAILED, NOW),))
SUSPECT = ending(
    observed=None, plan=Plan(ACCOUNT, tripped=(Tripped(Reason.SUSPECT_LIST, "short"),))
)

CODES: dict[str, tuple[PassReport, int, int]] = {
    "as wanted": (ending(), 0, 0),
    "made": (MADE, 0, 2),
    "to be made": (PENDING, 4, 2),
    "failed": (NOT_MADE, 4, 4),
    "refused by LG now": (replace(PENDING, outcomes=(Outcome(A, Result.REFUSED, NOW),)), 4, 4),
    "held by a guard": (ending(Reason.TOO_MANY), 3, 3),
    "a guard failed": (ending(Reason.GUARD_FAILED), 3, 3),
    "list doubted, nothing to do": (SUSPECT, 3, 3),
    "held by policy": (ending(Reason.PAUSED), 0, 0),
    "held by the platform": (ending(Reason.RETRY), 4, 4),
    "not come to": (replace(MADE, left=(Held(B, Reason.QUOTA),)), 4, 4),
    "guard and platform": (ending(Reason.TOO_MANY, Reason.RETRY), 3, 3),
    "policy and platform": (ending(Reason.PAUSED, Reason.REFUSED), 4, 4),
    "not as agreed": (replace(PENDING, unexpected=True), 3, 3),
    "no list": (ending(error="time-out", **UNSEEN), 1, 1),
    "no list, changes known": (ending(Reason.RETRY, observed=None, error="time-out"), 1, 1),
    "no list, guard and error": (ending(Reason.TOO_MANY, observed=None, error="time-out"), 1, 1),
    "out of calls": (ending(Reason.QUOTA, observed=None), 4, 4),
    "out of calls, nothing known": (ending(**UNSEEN), 4, 4),
    "LG ended it half-way": (replace(NOT_MADE, error="LG is unwell"), 4, 4),
}


@pytest.mark.parametrize(("end", "applied", "looked"), CODES.values(), ids=CODES)
def test_exit_code(end: PassReport, applied: int, looked: int) -> None:
    """The exit code says how the passes went, or would go, where changes pending may be 2."""
    assert exit_code([of(end)]) == applied
    assert exit_code([of(end)], pending=2) == looked


def test_the_gravest_exit_code_wins() -> None:
    """1 goes before 3, 3 before 4, 4 before pending, whatever the order of the accounts."""
    ends = [
        of(one)
        for one in (
            ending(),
            PENDING,
            ending(Reason.RETRY),
            ending(Reason.TOO_MANY),
            CODES["no list"][0],
        )
    ]
    expected = [0, 2, 4, 3, 1]
    for count in range(1, len(ends) + 1):
        assert exit_code(ends[:count], pending=2) == expected[count - 1]
        assert exit_code(reversed(ends[:count]), pending=2) == expected[count - 1]
    assert exit_code([]) == 0


def test_the_report_of_a_plan() -> None:
    """A report names devices as the text does, and has an empty plan where no list could be had."""
    assert of(ending()).names == {"a": "Room 1203 fridge"}
    assert of(ending(**UNSEEN)).plan == Plan(ACCOUNT)
    assert of(PENDING).plan is PENDING.plan


def test_totals() -> None:
    """The last line of a report has the sums over all accounts."""
    sums = total([of(MADE), of(MADE), of(NOT_MADE), of(ending(Reason.TOO_MANY))])
    assert (sums["subscribed"], sums["failed"], sums["held"]) == (2, 1, 1)
    assert dict(total([])) == {}


def test_a_pass_counts_only_for_the_text_that_it_was_made_of() -> None:
    """Another text, or a newer one rejected or mended since, is not yet what the last pass was of."""
    end = ending(Reason.DESIRED_REJECTED, rejected=Cause.INVALID)
    one = AccountStatus(ACCOUNT).after(end)
    assert account_report(one, AccountRevision(TEXT, REVISION, Cause.INVALID), None).current
    assert not account_report(one, AccountRevision(TEXT, REVISION), None).current
    assert not account_report(
        one, AccountRevision(replace(TEXT, path="other.toml"), REVISION, Cause.INVALID), None
    ).current
    assert not account_report(AccountStatus(ACCOUNT), AccountRevision(TEXT, REVISION), None).current


def test_refused_devices_are_counted_once() -> None:
    """Just refused by LG or waiting since an earlier refusal, a device counts as one."""
    refusals = tuple(Outcome(one, Result.REFUSED, NOW) for one in (A, B))
    end = ending(Reason.REFUSED, Reason.TOO_MANY, outcomes=refusals)
    assert (
        account_report(
            AccountStatus(ACCOUNT).after(end), AccountRevision(TEXT, REVISION), None
        ).refused
        == 3
    )


def test_a_report_shows_each_fact_of_the_last_pass_in_its_place() -> None:
    """When it began, when the last one succeeded, since when something is missing, and what is remarked."""
    end = ending(
        Reason.TOO_MANY,
        remarks=("an approval has expired",),
    )
    standing = replace(
        AccountStatus(ACCOUNT).after(end),
        last_success=NOW - HOUR,
        out_of_sync_since=NOW - 2 * HOUR,
    )
    report = account_report(standing, AccountRevision(TEXT, REVISION), None)
    assert (report.last_attempt, report.last_success) == (NOW, NOW - HOUR)
    assert report.out_of_sync_since == NOW - 2 * HOUR
    assert report.remarks == ("an approval has expired",)


@pytest.mark.parametrize(("theirs", "wanted"), [(None, 2), (2 * HOUR, 3), (-2 * HOUR, 3)])
def test_a_report_counts_what_either_clock_wants(theirs: timedelta | None, wanted: int) -> None:
    """As the pass did that it is about, and not as it would be now."""
    ended, begins = DeviceId("ended"), DeviceId("begins")
    described = {
        ended: Device(ended, until=NOW - HOUR),
        begins: Device(begins, from_=NOW + HOUR),
    }
    devices = frozenset({ended, begins, DeviceId("a"), DeviceId("b")})
    desired = Desired(ACCOUNT, devices, described)
    by_lg = None if theirs is None else NOW + theirs
    last = PassReport(desired, NOW, NOW, observed=2, theirs=by_lg)
    report = account_report(
        AccountStatus(ACCOUNT, last=last), AccountRevision(desired, REVISION), None
    )
    assert report.desired == wanted


def general_status(**more: Any) -> StatusReport:
    """Return the status of one account that is as wanted, unless something else is wrong."""
    accepted = Accepted({ACCOUNT: AccountRevision(TEXT, REVISION)}, revision=REVISION)
    facts: dict[str, Any] = {
        "mode": "enforce",
        "source": "file",
        "trouble": "",
        "fetched_at": 0.0,
        "passes": {},
        "now": NOW,
        **more,
    }
    return status_report(facts.pop("accepted", accepted), {}, **facts)


def test_what_is_wrong_with_the_whole_comes_first_by_its_weight() -> None:
    """No passes weigh more than a state that cannot be written, and that more than a clock."""
    wrong = {"stalled": "no pass ended", "state_trouble": "the disk is full", "ahead": -HOUR}
    report = general_status(**wrong)
    assert report.summary.startswith("No account is looked after: no pass ended.")
    assert report.state_trouble == "the disk is full"
    report = general_status(**{**wrong, "stalled": ""})
    assert report.summary == (
        "What is done cannot be remembered, so unsubscribes are held: the disk is full."
    )
    assert not report.well


@pytest.mark.parametrize(("hours", "side"), [(1, "1h ahead of"), (-1, "1h behind")])
def test_the_status_says_to_which_side_the_clock_is_wrong(hours: int, side: str) -> None:
    """A person who sets a clock has to know which way."""
    report = general_status(ahead=hours * HOUR)
    assert f"This machine's clock is {side} LG's" in report.clock_trouble
    assert report.summary.startswith("This machine's clock")


def test_a_newest_revision_that_is_not_in_force_is_shown_beside_the_one_that_is() -> None:
    """Each with its own name, and neither where there is none."""
    newest = Revision("cd" * 32)
    accepted = Accepted({}, revision=REVISION, newest=newest, rejected=Cause.INVALID)
    text = general_status(accepted=accepted).text
    assert (text.revision, text.newest) == (str(REVISION), str(newest))
    for revision, latest in ((REVISION, None), (None, newest)):
        text = general_status(accepted=Accepted({}, revision=revision, newest=latest)).text
        assert text.revision == (str(revision) if revision else None)
        assert text.newest == (str(latest) if latest else None)


def test_only_accounts_that_are_paused_have_a_pause() -> None:
    """One that is paused in the file is listed, and one that is not has no line."""
    paused = replace(TEXT, policy=replace(TEXT.policy, pause=Pause.UNSUBSCRIBE))
    other = AccountName("other")
    accounts = {
        ACCOUNT: AccountRevision(paused, REVISION),
        other: AccountRevision(replace(TEXT, account=other), REVISION),
    }
    report = general_status(accepted=Accepted(accounts, revision=REVISION))
    assert [(one.account, one.pause) for one in report.pauses] == [(ACCOUNT, Pause.UNSUBSCRIBE)]
