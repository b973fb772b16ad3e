"""One question, one answer: plan, retries and guards together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given

from core_runs import REVISION, midpoint
from core_strategies import (
    ACCOUNT,
    HOUR,
    NOW,
    SECOND,
    desiring,
    fleet,
    id_sets,
    planned,
    situated,
    situations,
    some,
)
from reconciler.core import guards
from reconciler.core.acceptance import Claims
from reconciler.core.backoff import longest
from reconciler.core.evaluate import CONTRADICTED, Verdict, edited, evaluate, everything_held
from reconciler.core.guards import Situation
from reconciler.core.model import (
    AccountName,
    Action,
    Confirmed,
    Desired,
    Device,
    DeviceId,
    Memory,
    Observed,
    Plan,
    Policy,
    Reason,
    Result,
    Retry,
)
from reconciler.core.planner import OVERLAY

BUSAN = AccountName("busan-hotel")
OPEN = Policy(max_unsubscribe=1000, allow_empty=True)
NOBODY = Claims()
LATER = NOW + HOUR


def wanting(devices: Iterable[DeviceId], mine: Desired, described: Iterable[Device] = ()) -> Claims:
    """Return the claims where another account wants these devices."""
    theirs = Desired(BUSAN, frozenset(devices), {one.id: one for one in described})
    return Claims.of({ACCOUNT: mine, BUSAN: theirs}, REVISION)


def knowing(live: Iterable[DeviceId], **more: object) -> Memory:
    """Return a memory in which these devices are live and ours."""
    known = frozenset(live)
    return replace(Memory(inventory=known, expected=known), **more)  # type: ignore[arg-type]  # fields of a memory


def retry(action: Action, until: datetime = LATER, reason: Reason = Reason.RETRY) -> Retry:
    """Return a wait of a device."""
    return Retry(action, reason, 2, until)


def held(verdict: Verdict) -> dict[str, Reason]:
    """Return what is held, and why."""
    return {one.change.device: one.reason for one in verdict.plan.held}


@given(situations)
def test_every_change_of_the_plan_is_made_or_held_once(situation: Situation) -> None:
    """Whatever the situation, nothing is lost and nothing is added."""
    verdict = evaluate(situation, NOBODY, longest)
    changes = [
        *verdict.plan.subscribes,
        *verdict.plan.unsubscribes,
        *(one.change for one in verdict.plan.held),
    ]
    before = planned(situation)
    assert sorted(changes) == sorted((*before.subscribes, *before.unsubscribes))


@given(situations)
def test_the_same_question_has_the_same_answer(situation: Situation) -> None:
    """It is pure: asked again with the same chance, the answer is equal."""
    assert evaluate(situation, NOBODY, longest) == evaluate(situation, NOBODY, longest)


@given(situations, id_sets)
def test_what_another_account_wants_is_found_by_the_claims(
    situation: Situation, devices: frozenset[DeviceId]
) -> None:
    """Only devices that would go count, and whatever was in the situation before does not."""
    claims = wanting(devices, situation.desired)
    verdict = evaluate(situation, claims, longest)
    going = {change.device for change in planned(situation).unsubscribes}
    assert verdict.situation.elsewhere == dict.fromkeys(going & devices, BUSAN)
    assert verdict.claims_version == claims.version


@given(situations)
def test_retries_are_over_only_where_the_list_is_believed(situation: Situation) -> None:
    """A wait is over once nothing is to be changed any more; a doubted list ends none."""
    verdict = evaluate(situation, NOBODY, longest)
    memory, before = situation.memory, planned(situation)
    wanted = {change.device for change in (*before.subscribes, *before.unsubscribes)}
    assert verdict.suspect is guards.is_suspect(situation.observed, verdict.situation.memory)
    assert verdict.over == (frozenset() if verdict.suspect else memory.retries.keys() - wanted)
    assert (
        verdict.situation.memory.retries.keys()
        == (memory.retries.keys() - verdict.over) | verdict.contradicted.keys()
    )


@given(situations)
def test_what_a_list_contradicts_waits(situation: Situation) -> None:
    """It waits for what LG called done, and is not tried in this pass."""
    verdict = evaluate(situation, NOBODY, longest)
    made = {change.device for change in (*verdict.plan.subscribes, *verdict.plan.unsubscribes)}
    assert made.isdisjoint(verdict.contradicted)
    for device, wait in verdict.contradicted.items():
        confirmed = situation.memory.confirmed[device]
        assert (confirmed.result, confirmed.action) == (Result.NOOP, wait.action)
        assert wait.until > NOW


DONE_ALREADY = Confirmed(Action.SUBSCRIBE, Result.NOOP, NOW - OVERLAY)


def asked(confirmed: Confirmed, *, wait: Retry | None = None, live: int = 3) -> Verdict:
    """Return the verdict where a device that is wanted and not listed was confirmed, and perhaps waits."""
    known = fleet(live)
    retries = {} if wait is None else {DeviceId("a"): wait}
    memory = knowing(known, confirmed={DeviceId("a"): confirmed}, retries=retries)
    return evaluate(situated(desiring(known | some("a")), known, memory), NOBODY, midpoint)


def test_a_confirmed_change_that_the_list_denies_waits() -> None:
    """LG said that it is subscribed already, and its list says otherwise: asking again soon is of no use."""
    verdict = asked(DONE_ALREADY)
    assert verdict.contradicted == {
        DeviceId("a"): Retry(
            Action.SUBSCRIBE, Reason.RETRY, 1, NOW + timedelta(seconds=2.5), words=CONTRADICTED
        )
    }
    assert held(verdict) == {"a": Reason.RETRY}
    assert verdict.retries_hold


@pytest.mark.parametrize(
    "confirmed",
    [
        replace(DONE_ALREADY, at=NOW - OVERLAY + SECOND),
        replace(DONE_ALREADY, at=NOW + OVERLAY),
        replace(DONE_ALREADY, result=Result.SUCCESS),
        replace(DONE_ALREADY, action=Action.UNSUBSCRIBE),
    ],
    ids=["just now", "by a clock that was ahead", "made", "the other way"],
)
def test_no_other_confirmation_is_contradicted(confirmed: Confirmed) -> None:
    """A list may lag, what LG made it may have lost since, and a change of the other action says nothing."""
    assert asked(confirmed).contradicted == {}


@pytest.mark.parametrize(
    ("wait", "attempts"),
    [
        (retry(Action.SUBSCRIBE, NOW - OVERLAY), 3),
        (retry(Action.SUBSCRIBE, NOW - OVERLAY, Reason.REFUSED), 3),
        (retry(Action.UNSUBSCRIBE, NOW - OVERLAY), 1),
    ],
    ids=["again", "refused before", "the other way"],
)
def test_a_contradiction_counts_on(wait: Retry, attempts: int) -> None:
    """Each contradiction in a row waits for longer; a wait of the other action begins anew."""
    assert asked(DONE_ALREADY, wait=wait).contradicted[DeviceId("a")].attempts == attempts


def test_a_contradiction_that_waits_already_is_not_counted_again() -> None:
    """The list that denied it once denies it until the wait is over."""
    verdict = asked(DONE_ALREADY, wait=retry(Action.SUBSCRIBE, NOW - OVERLAY + SECOND))
    assert verdict.contradicted == {}


def test_a_wait_is_over_when_the_list_shows_the_device_as_wanted() -> None:
    """Nobody waits for what has come true; a wait of what is still to be changed goes on."""
    known = fleet(3)
    retries = {DeviceId("a"): retry(Action.SUBSCRIBE), DeviceId("0000"): retry(Action.SUBSCRIBE)}
    memory = knowing(known, retries=retries)
    verdict = evaluate(situated(desiring(known | some("a")), known, memory), NOBODY, longest)
    assert verdict.over == some("0000")
    assert verdict.situation.memory.retries == {DeviceId("a"): retry(Action.SUBSCRIBE)}
    assert (held(verdict), verdict.retries_hold) == ({"a": Reason.RETRY}, True)


def doubting(count: int) -> Verdict:
    """Return the verdict on an empty list where so many devices are known, one is wanted besides, and both wait."""
    known = fleet(count)
    confirmed = Confirmed(Action.SUBSCRIBE, Result.NOOP, NOW - HOUR)
    memory = knowing(
        known,
        confirmed={DeviceId("a"): confirmed},
        retries={DeviceId("b"): retry(Action.UNSUBSCRIBE)},
    )
    return evaluate(situated(desiring(known | some("a")), (), memory), NOBODY, longest)


@pytest.mark.parametrize(
    ("known", "contradicted"), [(guards.SUSPECT_FROM, frozenset()), (3, some("a"))]
)
def test_a_doubted_list_ends_no_wait(known: int, contradicted: frozenset[DeviceId]) -> None:
    """Only subscribes of a small account, which go on, may have to wait: each costs a call."""
    verdict = doubting(known)
    assert verdict.suspect
    assert verdict.over == frozenset()
    assert verdict.contradicted.keys() == contradicted


def test_a_doubted_list_of_a_small_account_says_nothing_of_its_unsubscribes() -> None:
    """They are held as it is; what LG called done may be done."""
    known = fleet(3)
    confirmed = {DeviceId("x"): Confirmed(Action.UNSUBSCRIBE, Result.NOOP, NOW - HOUR)}
    memory = knowing(known, confirmed=confirmed)
    verdict = evaluate(situated(desiring(known), some("x"), memory), NOBODY, longest)
    assert verdict.suspect
    assert verdict.contradicted == {}


def test_a_believed_list_contradicts_unsubscribes_too() -> None:
    """LG said that it is gone, and its list has it."""
    known = fleet(3)
    confirmed = {DeviceId("0000"): Confirmed(Action.UNSUBSCRIBE, Result.NOOP, NOW - HOUR)}
    memory = knowing(known, confirmed=confirmed)
    desired = desiring(known - some("0000"), OPEN)
    verdict = evaluate(situated(desired, known, memory), NOBODY, longest)
    assert verdict.contradicted[DeviceId("0000")].action is Action.UNSUBSCRIBE
    assert held(verdict) == {"0000": Reason.RETRY}


def test_lg_s_clock_counts_for_what_others_want() -> None:
    """A device that another account wants by either clock does not go."""
    known = fleet(3)
    mine = desiring(known - some("0000"), OPEN)
    claims = wanting(some("0000"), mine, [Device(DeviceId("0000"), until=NOW)])
    situation = situated(mine, known, knowing(known))
    assert held(evaluate(situation, claims, longest)) == {}
    by_theirs = replace(situation, theirs=NOW - HOUR)
    assert held(evaluate(by_theirs, claims, longest)) == {"0000": Reason.WANTED_ELSEWHERE}


def test_the_budget_is_what_is_left_of_the_day() -> None:
    """It is the limit without what went already."""
    gone = some("gone")
    memory = knowing(fleet(3), unsubscribed=gone)
    policy = Policy(max_unsubscribe=4, max_unsubscribe_floor=0)
    assert (
        evaluate(situated(desiring(fleet(3), policy), fleet(3), memory), NOBODY, longest).budget
        == 3
    )


@pytest.mark.parametrize(
    ("wait", "holds"),
    [
        (retry(Action.SUBSCRIBE), True),
        (retry(Action.SUBSCRIBE, NOW), False),
        (retry(Action.SUBSCRIBE, LATER, Reason.REFUSED), False),
        (retry(Action.UNSUBSCRIBE), False),
    ],
    ids=["waits", "is over", "refused", "the other way"],
)
def test_a_failed_call_holds_its_change(wait: Retry, *, holds: bool) -> None:
    """Only a change that waits after a failed call says that LG has not taken everything yet."""
    memory = knowing(fleet(3), retries={DeviceId("a"): wait})
    verdict = evaluate(situated(desiring(fleet(3) | some("a")), fleet(3), memory), NOBODY, longest)
    assert verdict.retries_hold is holds


def test_a_device_that_lg_loses_is_no_failed_call() -> None:
    """It is held under the same reason, but LG took each of its subscribes."""
    lost = DeviceId("a")
    again = tuple(NOW - timedelta(minutes=minutes) for minutes in (50, 40, 30, 20, 10))
    memory = knowing(
        fleet(3),
        confirmed={lost: Confirmed(Action.SUBSCRIBE, Result.SUCCESS, NOW - timedelta(minutes=9))},
        resubscribed={lost: again},
    )
    verdict = evaluate(situated(desiring(fleet(3) | {lost}), fleet(3), memory), NOBODY, longest)
    assert (held(verdict), verdict.retries_hold) == ({"a": Reason.RETRY}, False)


def test_edited_entries_wait_no_more() -> None:
    """The others do, and where none is edited the memory is the very same."""
    memory = Memory(
        retries={DeviceId("a"): retry(Action.SUBSCRIBE), DeviceId("b"): retry(Action.SUBSCRIBE)}
    )
    assert edited(memory, some("a", "c")).retries.keys() == some("b")
    assert edited(memory, some("c")) is memory


def test_without_a_list_every_change_is_held_for_that() -> None:
    """What a guard holds already keeps its own reason."""
    verdict = evaluate(
        Situation(desiring(some("a")), Observed(some("x"), NOW), Memory(), NOW), NOBODY, longest
    )
    left = everything_held(verdict, Reason.QUOTA, LATER)
    assert [one.change for one in left] == [*verdict.plan.subscribes, *verdict.plan.unsubscribes]
    assert {(one.reason, one.until) for one in left} == {(Reason.QUOTA, LATER)}
    assert everything_held(replace(verdict, plan=Plan(ACCOUNT)), Reason.QUOTA, LATER) == ()
