"""Where an account stands after a pass: conditions, results, counts, and since when it is not as wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given

from core_strategies import (
    ACCOUNT,
    FOREVER,
    HOUR,
    NOW,
    desiring,
    fleet,
    planned,
    situations,
    some,
    subscribes,
    unsubscribes,
)
from reconciler.core.acceptance import AccountRevision
from reconciler.core.guards import judge
from reconciler.core.model import (
    NOTHING,
    Action,
    Approval,
    Cause,
    Change,
    Condition,
    Device,
    DeviceId,
    Held,
    Outcome,
    PassResult,
    Pause,
    Plan,
    Reason,
    Result,
    Revision,
    Tripped,
)
from reconciler.core.planner import overlaid
from reconciler.core.status import AccountStatus, PassReport, counts, figures, reasons, states

A, B = subscribes(some("a"))[0], subscribes(some("b"))[0]
X = unsubscribes(some("x"))[0]
TEXT = desiring(some("a", "b", "same"))


def ending(**more: Any) -> PassReport:
    """Return the end of a pass that found everything as wanted, unless told otherwise."""
    facts: dict[str, Any] = {"plan": Plan(ACCOUNT, in_sync=1), "observed": 1, **more}
    return PassReport(TEXT, NOW, NOW + HOUR, **facts)


def holding(*reasons: Reason, **more: Any) -> PassReport:
    """Return the end of a pass in which each of these reasons held a change."""
    held = tuple(
        Held(Change(ACCOUNT, Action.UNSUBSCRIBE, DeviceId(reason)), reason) for reason in reasons
    )
    tripped = tuple(Tripped(reason, "because") for reason in reasons)
    return ending(plan=Plan(ACCOUNT, held=held, tripped=tripped), **more)


def outcome(change: Change, result: Result) -> Outcome:
    """Return what came of a change."""
    return Outcome(change, result, NOW)


def making(plan: Plan, *outcomes: Outcome, **more: Any) -> PassReport:
    """Return the end of a pass that made something."""
    return ending(plan=plan, outcomes=outcomes, **more)


BOTH = Plan(ACCOUNT, subscribes=(A,), unsubscribes=(X,), in_sync=1)
DONE, FAILED = outcome(A, Result.SUCCESS), outcome(A, Result.FAILED)
SUSPECT = Plan(ACCOUNT, tripped=(Tripped(Reason.SUSPECT_LIST, "short"),))

ENDINGS: dict[str, tuple[PassReport, Condition, PassResult]] = {
    "as wanted": (ending(), Condition.IN_SYNC, PassResult.CLEAN),
    "all made": (
        making(BOTH, DONE, outcome(X, Result.NOOP)),
        Condition.IN_SYNC,
        PassResult.CHANGED,
    ),
    "one failed": (
        making(BOTH, FAILED, outcome(X, Result.SUCCESS)),
        Condition.CONVERGING,
        PassResult.PARTIAL,
    ),
    "one refused": (
        making(BOTH, outcome(A, Result.REFUSED), outcome(X, Result.SUCCESS)),
        Condition.CONVERGING,
        PassResult.PARTIAL,
    ),
    "broken off": (making(BOTH, DONE), Condition.CONVERGING, PassResult.PARTIAL),
    "broken off at once": (making(BOTH), Condition.CONVERGING, PassResult.PARTIAL),
    "out of calls": (
        making(BOTH, DONE, left=(Held(X, Reason.QUOTA),)),
        Condition.CONVERGING,
        PassResult.PARTIAL,
    ),
    "not as agreed": (making(BOTH, unexpected=True), Condition.CONVERGING, PassResult.HELD),
    "held by a guard": (holding(Reason.TOO_MANY), Condition.HELD, PassResult.HELD),
    "held by policy": (holding(Reason.UNSUBSCRIBE_AFTER), Condition.HELD, PassResult.HELD),
    "held by the platform": (holding(Reason.RETRY), Condition.CONVERGING, PassResult.HELD),
    "held by two kinds": (holding(Reason.RETRY, Reason.TOO_MANY), Condition.HELD, PassResult.HELD),
    "paused, nothing to do": (ending(pause=Pause.UNSUBSCRIBE), Condition.PAUSED, PassResult.CLEAN),
    "paused": (holding(Reason.PAUSED, pause=Pause.ALL), Condition.PAUSED, PassResult.HELD),
    "observing": (holding(Reason.PAUSED, observing=True), Condition.PAUSED, PassResult.HELD),
    "paused and guarded": (
        holding(Reason.TOO_MANY, pause=Pause.ALL),
        Condition.PAUSED,
        PassResult.HELD,
    ),
    "doubted list": (holding(Reason.SUSPECT_LIST, observed=None), Condition.HELD, PassResult.HELD),
    "doubted list, nothing to do": (
        ending(plan=SUSPECT, observed=None),
        Condition.HELD,
        PassResult.HELD,
    ),
    "no list": (
        ending(plan=None, observed=None, error="time-out"),
        Condition.CONVERGING,
        PassResult.FAILED,
    ),
    "no list, changes known": (
        holding(Reason.RETRY, observed=None, error="time-out"),
        Condition.CONVERGING,
        PassResult.FAILED,
    ),
    "no calls": (ending(plan=None, observed=None), Condition.CONVERGING, PassResult.FAILED),
    "no calls, changes known": (
        holding(Reason.QUOTA, observed=None),
        Condition.CONVERGING,
        PassResult.HELD,
    ),
    "stopped": (
        holding(
            Reason.ACCOUNT_STOPPED, observed=None, error="no token", stopped=True, pause=Pause.ALL
        ),
        Condition.STOPPED,
        PassResult.FAILED,
    ),
}


@pytest.mark.parametrize(("end", "condition", "result"), ENDINGS.values(), ids=ENDINGS)
def test_condition_and_result(end: PassReport, condition: Condition, result: PassResult) -> None:
    """A pass leaves its account in one condition and has one result: the first of each list that applies."""
    assert end.condition is condition
    assert end.result is result


@pytest.mark.parametrize(("end", "condition", "_result"), ENDINGS.values(), ids=ENDINGS)
def test_settled(end: PassReport, condition: Condition, _result: PassResult) -> None:
    """An account is settled when a trusted list leaves nothing to change, paused or not."""
    nothing_to_do = condition is Condition.IN_SYNC or end is ENDINGS["paused, nothing to do"][0]
    assert end.settled is nothing_to_do


def test_held_are_those_of_the_plan_and_those_not_come_to() -> None:
    """What guards held and what a pass did not come to are both held changes."""
    left = Held(B, Reason.QUOTA)
    end = holding(Reason.TOO_MANY, left=(left,))
    assert end.held == (*(end.plan.held if end.plan else ()), left)
    assert reasons(end) == {Reason.TOO_MANY: 1, Reason.QUOTA: 1}
    assert ending(plan=None).held == ()


def test_going_are_the_devices_that_the_plan_would_take_out() -> None:
    """What goes now and what is held goes, what comes does not, and without a plan nothing does."""
    held = Held(unsubscribes(some("y"))[0], Reason.TOO_MANY)
    coming = Held(A, Reason.PAUSED)
    plan = Plan(ACCOUNT, subscribes=(B,), unsubscribes=(X,), held=(coming, held))
    assert ending(plan=plan).going == ("x", "y")
    assert ending(plan=None).going == ()


def test_unmade_are_the_changes_that_lg_did_not_make() -> None:
    """Failed and refused changes are not made; those that were so already are."""
    noop, refused = outcome(X, Result.NOOP), outcome(B, Result.REFUSED)
    assert making(BOTH, FAILED, noop, refused, DONE).unmade == (FAILED, refused)
    assert not ending(plan=None).unfinished


def test_a_new_account_is_on_its_way() -> None:
    """Before its first pass an account is converging, and has no figures."""
    assert AccountStatus(ACCOUNT).condition is Condition.CONVERGING
    assert figures(AccountStatus(ACCOUNT)).last_attempt == 0.0
    assert figures(AccountStatus(ACCOUNT)).desired == 0


def at(moment: datetime, end: PassReport) -> PassReport:
    """Return the same end of a pass that began at another time."""
    return replace(end, began=moment)


def test_out_of_sync_since_the_first_pass_that_saw_it() -> None:
    """The time runs from the first pass that left something to do until one that left nothing."""
    one = AccountStatus(ACCOUNT).after(at(NOW, holding(Reason.RETRY)))
    two = one.after(at(NOW + HOUR, making(BOTH, FAILED)))
    assert (one.out_of_sync_since, two.out_of_sync_since) == (NOW, NOW)
    healed = two.after(at(NOW + 2 * HOUR, ending()))
    assert healed.out_of_sync_since is None
    assert (
        healed.after(at(NOW + 3 * HOUR, holding(Reason.TOO_MANY))).out_of_sync_since
        == NOW + 3 * HOUR
    )


def test_without_a_list_an_account_stays_as_it_was() -> None:
    """A pass that got no list leaves an account in sync that was so, and out of sync one that was not."""
    nothing = at(NOW + HOUR, ENDINGS["no list"][0])
    in_sync = AccountStatus(ACCOUNT).after(at(NOW, ending(observed=7)))
    after = in_sync.after(nothing)
    assert (after.out_of_sync_since, after.last_success, after.observed) == (None, NOW, 7)
    out = AccountStatus(ACCOUNT).after(at(NOW, holding(Reason.RETRY, observed=7)))
    after = out.after(nothing)
    assert (after.out_of_sync_since, after.last_success, after.observed) == (NOW, NOW, 7)
    assert after.last is nothing


@pytest.mark.parametrize("end", [one for one, _, _ in ENDINGS.values()], ids=ENDINGS)
def test_only_a_believed_list_is_a_success(end: PassReport) -> None:
    """A list that is doubted counts as little as none: what says how old the last success is goes on growing."""
    before = AccountStatus(ACCOUNT, last_success=NOW - HOUR)
    after = before.after(end)
    assert after.last_success == (NOW - HOUR if end.observed is None else NOW)
    assert AccountStatus(ACCOUNT).after(end).last_success == (None if end.observed is None else NOW)


def test_a_pass_that_did_not_make_everything_is_out_of_sync() -> None:
    """An account that was in sync is not any more when a pass with a list left something unmade, held or not."""
    in_sync = AccountStatus(ACCOUNT).after(at(NOW, ending()))
    for end in (making(BOTH, FAILED), making(BOTH)):
        assert in_sync.after(at(NOW + HOUR, end)).out_of_sync_since == NOW + HOUR


def test_an_edit_is_out_of_sync_though_no_list_can_be_had() -> None:
    """Where the text wants more than is known to be live, the account is not in sync, list or none."""
    in_sync = AccountStatus(ACCOUNT).after(at(NOW, ending()))
    after = in_sync.after(at(NOW + HOUR, holding(Reason.RETRY, observed=None, error="time-out")))
    assert after.out_of_sync_since == NOW + HOUR


def test_an_account_never_seen_is_not_in_sync() -> None:
    """An account of which no list was ever had is not in sync, so that its time runs."""
    after = AccountStatus(ACCOUNT).after(at(NOW, ENDINGS["no list"][0]))
    assert (after.out_of_sync_since, after.last_success, after.observed) == (NOW, None, 0)
    assert after.after(at(NOW + HOUR, ending())).out_of_sync_since is None


def test_an_empty_list_is_a_list() -> None:
    """A trusted list without a device counts as seen."""
    after = AccountStatus(ACCOUNT, observed=7).after(at(NOW, ending(observed=0)))
    assert (after.observed, after.last_success, after.out_of_sync_since) == (0, NOW, None)


def test_states_follow_what_was_made() -> None:
    """Missing and extra devices shrink by what was made; what was subscribed is in sync."""
    plan = Plan(
        ACCOUNT,
        subscribes=(A, B),
        unsubscribes=(X,),
        held=(Held(unsubscribes(some("y"))[0], Reason.RETRY),),
        unmanaged=some("u", "v"),
        ignored=some("i"),
        in_sync=4,
    )
    before = {"in_sync": 4, "missing": 2, "extra": 2, "unmanaged": 2, "ignored": 1}
    assert states(making(plan)) == before
    made = making(plan, DONE, outcome(B, Result.FAILED), outcome(X, Result.NOOP))
    assert states(made) == {**before, "in_sync": 5, "missing": 1, "extra": 1}
    assert states(ending(plan=None)) == {}


@given(situations)
def test_states_add_up(situation: Any) -> None:
    """The numbers add up to all that is wanted or live, whatever is held."""
    plan = judge(planned(situation), situation)
    live = overlaid(situation.observed, situation.memory)
    assert sum(states(ending(plan=plan)).values()) == len(live | situation.desired.wanted_at(NOW))


def test_counts_of_a_pass() -> None:
    """The counts of a pass say what was made, what was not, and what is held."""
    plan = Plan(ACCOUNT, subscribes=(A, B), unsubscribes=(X,), in_sync=1)
    end = making(
        plan,
        DONE,
        outcome(B, Result.SUCCESS),
        outcome(subscribes(some("c"))[0], Result.REFUSED),
        outcome(X, Result.NOOP),
        *(outcome(one, Result.FAILED) for one in unsubscribes(some("p", "q", "r"))),
        left=(Held(B, Reason.QUOTA),),
    )
    found = counts(end)
    assert {
        key: found[key] for key in ("subscribed", "unsubscribed", "failed", "refused", "held")
    } == {
        "subscribed": 2,
        "unsubscribed": 1,
        "failed": 3,
        "refused": 1,
        "held": 1,
    }
    assert found["in_sync"] == 3


def test_figures() -> None:
    """Figures say in numbers what the last pass came to."""
    text = replace(
        desiring([Device(DeviceId("later"), from_=FOREVER), *(Device(one) for one in fleet(3))]),
        approvals=(
            Approval(some("q"), NOW + HOUR, "r"),
            Approval(some("q"), NOW, "r"),
            Approval(some("q"), NOW, "r"),
        ),
    )
    end = replace(
        holding(Reason.TOO_MANY, Reason.RETRY, Reason.PAUSED, observed=9, budget_remaining=4),
        desired=text,
    )
    found = figures(
        AccountStatus(ACCOUNT).after(end),
        quota_limit=100,
        quota_remaining=60,
        token_expiry=1.5,
    )
    assert found.condition is Condition.HELD
    assert (found.desired, found.observed) == (3, 9)
    assert found.held == {
        (Action.UNSUBSCRIBE, reason): 1 for reason in (Reason.TOO_MANY, Reason.RETRY, Reason.PAUSED)
    }
    assert found.tripped == {Reason.TOO_MANY}
    assert (found.approvals_active, found.approvals_expired) == (1, 2)
    assert (
        found.budget_remaining,
        found.quota_limit,
        found.quota_remaining,
        found.token_expiry,
    ) == (4, 100, 60, 1.5)
    assert found.last_attempt == found.last_success == found.out_of_sync_since == NOW.timestamp()
    assert found.states == states(end)


def test_figures_of_an_account_that_is_in_sync_or_never_seen() -> None:
    """Times are 0 where there was none, and no reason trips where there is no plan."""
    calm = figures(AccountStatus(ACCOUNT).after(ending()))
    assert (calm.out_of_sync_since, calm.tripped, calm.budget_remaining) == (0.0, frozenset(), 0)
    unseen = figures(AccountStatus(ACCOUNT).after(ENDINGS["no list"][0]))
    assert (unseen.last_success, unseen.tripped, unseen.states) == (0.0, frozenset(), {})


@pytest.mark.parametrize(
    ("report", "read", "trusted"),
    [
        (ending(), True, True),
        (ending(observed=None), False, False),
        (ending(plan=None, observed=None), False, False),
        (ending(plan=SUSPECT, observed=None), True, False),
        (holding(Reason.SUSPECT_LIST, Reason.PAUSED, observed=None), True, False),
        (holding(Reason.PAUSED, observed=None), False, False),
    ],
)
def test_a_list_was_read(report: PassReport, *, read: bool, trusted: bool) -> None:
    """A doubted list was read and not believed; without one the plan rests on what was known."""
    assert (report.list_read, report.trusted) == (read, trusted)


def test_a_report_without_a_plan_has_nothing_to_approve() -> None:
    """Nobody can approve what was not planned."""
    assert ending(plan=None).needs_approval == ()
    assert holding(Reason.TOO_MANY).needs_approval == (str(Reason.TOO_MANY),)


def test_what_is_refused_now_or_still() -> None:
    """LG refused it in this pass, or it waits since an earlier one."""
    report = making(
        Plan(ACCOUNT, held=(Held(X, Reason.REFUSED), Held(B, Reason.RETRY))),
        outcome(A, Result.REFUSED),
    )
    assert report.refused == {A.device, X.device}
    assert ending(outcomes=(DONE, FAILED)).refused == frozenset()


@pytest.mark.parametrize("rejected", [None, Cause.INVALID])
@pytest.mark.parametrize("same", [True, False])
def test_a_report_is_of_one_revision(rejected: Cause | None, *, same: bool) -> None:
    """The desired state has to be the very one, and the same has to be known of a newer one."""
    desired = TEXT if same else replace(TEXT)
    text = AccountRevision(desired, Revision("1"), rejected)
    assert ending().of(text) is (same and rejected is None)
    assert ending(rejected=Cause.INVALID).of(text) is (same and rejected is not None)


def test_figures_are_never_those_of_a_doubted_list() -> None:
    """What was known before it is counted, where that is known."""
    known = Plan(ACCOUNT, in_sync=7)
    assert ending().counted == Plan(ACCOUNT, in_sync=1)
    assert ending(known=known).counted is known
    assert ending(plan=None).counted is None


def test_what_a_pass_made_in_doubt_is_counted_once() -> None:
    """A small account subscribes while its list is doubted: what is known after it has those changes already."""
    known = Plan(ACCOUNT, in_sync=3, subscribes=(B,))
    end = making(replace(SUSPECT, subscribes=(A,)), DONE, known=known, observed=None)
    assert (states(end)["in_sync"], states(end)["missing"]) == (3, 1)
    assert counts(end)["subscribed"] == 1


@pytest.mark.parametrize(
    ("theirs", "active", "wanted"),
    [
        (None, 1, {"a", "now"}),
        (NOW - 2 * HOUR, 1, {"a", "now", "before"}),
        (NOW + 2 * HOUR, 0, {"a", "now", "soon"}),
    ],
)
def test_figures_are_by_both_clocks(theirs: datetime | None, active: int, wanted: set[str]) -> None:
    """An approval is over by the later one, and a device is wanted by either."""
    entries = [
        Device(DeviceId("now"), from_=NOW - 3 * HOUR, until=NOW + 3 * HOUR),
        Device(DeviceId("before"), until=NOW - HOUR),
        Device(DeviceId("soon"), from_=NOW + HOUR),
    ]
    described = {one.id: one for one in entries}
    approval = Approval(some("x"), NOW + HOUR, "wing B")
    desired = replace(
        TEXT, devices=some("a") | described.keys(), described=described, approvals=(approval,)
    )
    last = replace(ending(), desired=desired, theirs=theirs)
    found = figures(AccountStatus(ACCOUNT).after(last))
    assert (found.approvals_active, found.approvals_expired) == (active, 1 - active)
    assert found.desired == len(wanted)


def test_an_account_before_its_first_pass_has_no_numbers() -> None:
    """Everything is 0 or unknown, and it is on its way."""
    before = figures(AccountStatus(ACCOUNT))
    numbers = (before.desired, before.observed, before.flapping, before.budget_remaining)
    assert numbers == (0, 0, 0, 0)
    assert (before.approvals_active, before.approvals_expired) == (0, 0)
    assert (before.last_attempt, before.last_success, before.out_of_sync_since) == (0.0, 0.0, 0.0)
    assert (before.quota_limit, before.quota_remaining, before.token_expiry) == (None, None, None)
    assert before.condition is Condition.CONVERGING
    assert AccountStatus(ACCOUNT).observed == 0


def test_accounts_without_a_guard_share_the_one_empty_set() -> None:
    """Of thousands of accounts none has an empty set of its own."""
    assert figures(AccountStatus(ACCOUNT).after(holding(Reason.PAUSED))).tripped is NOTHING
    assert figures(AccountStatus(ACCOUNT).after(holding(Reason.TOO_MANY))).tripped == {
        Reason.TOO_MANY
    }


def test_lgs_time_runs_on_from_the_beginning_of_the_pass() -> None:
    """Where the clocks differed in the pass, LG's time at a later moment of ours is as much later."""
    report = ending(theirs=NOW - 9 * HOUR)
    assert report.theirs_at(NOW + HOUR) == NOW - 8 * HOUR
    assert ending().theirs_at(NOW + HOUR) is None
