"""What an account carries from pass to pass: healthy, failing, stopped, and one transition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core_runs import midpoint, state_of
from core_strategies import ACCOUNT, HOUR, NOW, desiring, some, subscribes, unsubscribes
from reconciler.core.account import Contact, ListRead, Stop
from reconciler.core.guards import Platform
from reconciler.core.model import Change, Held, Outcome, Plan, Reason, Result, Tripped
from reconciler.core.status import PassReport

DESIRED = desiring(some("a"))
FRESH = state_of(DESIRED)
A, X = subscribes(some("a"))[0], unsubscribes(some("x"))[0]
REFUSED = Stop("the token is refused", 1, NOW + HOUR, at_list=True)
REFUSED_LATER = replace(REFUSED, at_list=False)
READ, FAILED, NOT_ASKED = Contact(ListRead.READ), Contact(ListRead.FAILED), Contact()


def report(**facts: object) -> PassReport:
    """Return the report of a pass that found everything as wanted, unless told otherwise."""
    found = PassReport(DESIRED, NOW, NOW + HOUR, plan=Plan(ACCOUNT, in_sync=1), observed=1)
    return replace(found, **facts)  # type: ignore[arg-type]  # the fields of a report


stops = st.builds(
    Stop, st.just("refused"), st.integers(1, 5), st.none() | st.just(NOW + HOUR), st.booleans()
)
contacts = st.one_of(
    st.just(NOT_ASKED),
    st.just(FAILED),
    st.builds(Contact, st.just(ListRead.READ), st.none(), st.booleans(), st.just(value=False)),
    st.just(Contact(ListRead.READ, all_taken=True)),
    st.builds(Contact, st.sampled_from(ListRead), stops),
)


@given(st.lists(contacts, max_size=12))
@example([Contact(ListRead.READ, broken_off=True), Contact(stop=REFUSED), READ])
@example([Contact(ListRead.READ, broken_off=True), Contact(stop=REFUSED_LATER), READ])
def test_failures_are_counted_in_a_row(met: Sequence[Contact]) -> None:
    """A list that is read ends the failed lists, a pass in which LG took everything ends the broken passes."""
    state, failed_lists, broken_passes = FRESH, 0, 0
    for contact in met:
        if state.stop is not None and state.stop.at_list and contact.list is ListRead.READ:
            broken_passes = 0
        state = state.after(report(), contact)
        failed_lists = {ListRead.READ: 0, ListRead.FAILED: failed_lists + 1}.get(
            contact.list, failed_lists
        )
        broken_passes = 0 if contact.all_taken else broken_passes
        broken_passes += contact.broken_off
        assert (state.failed_lists, state.broken_passes) == (failed_lists, broken_passes)
        assert state.degraded is (failed_lists > 0 or broken_passes > 0)


@given(st.lists(contacts, max_size=12))
def test_a_stop_lasts_until_lg_lets_the_account_in(met: Sequence[Contact]) -> None:
    """It is that of the last refusal; a refused list is over once one is read, refused changes once all are taken."""
    state, stop = FRESH, None
    for contact in met:
        over = contact.all_taken or (
            contact.list is ListRead.READ and stop is not None and stop.at_list
        )
        stop = contact.stop or (None if over else stop)
        state = state.after(report(), contact)
        assert state.stop == stop
        assert state.platform == (Platform() if stop is None else Platform(stop.why, stop.until))


def test_each_refusal_in_a_row_stops_for_longer() -> None:
    """Five minutes, doubling to an hour; the count starts anew once the account was let in."""
    state, waits = FRESH, []
    for _ in range(5):
        stop = state.next_stop("refused", NOW, midpoint, at_list=True)
        state = state.touched(Contact(stop=stop))
        waits.append(stop.until)
    assert waits == [NOW + timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 60)]
    state = state.touched(READ)
    assert state.stop is None
    again = state.next_stop("refused once more", NOW, midpoint, at_list=False)
    assert again == Stop("refused once more", 1, NOW + timedelta(minutes=5), at_list=False)


@pytest.mark.parametrize("stop", [None, REFUSED, replace(REFUSED, until=None)])
def test_a_stopped_account_tries_again_when_it_is_resumed(stop: Stop | None) -> None:
    """Only the date goes: why it is stopped, and how often in a row, is known until LG lets it in."""
    resumed = replace(FRESH, stop=stop).resumed()
    assert resumed.stop == (None if stop is None else replace(stop, until=None))


@pytest.mark.parametrize("step", [-HOUR, timedelta(0), HOUR])
def test_a_stop_lasts_as_long_after_a_step_of_the_clock(step: timedelta) -> None:
    """What has no date is not moved."""
    assert replace(FRESH, stop=REFUSED).shifted(step).stop == replace(
        REFUSED, until=NOW + HOUR + step
    )
    timeless = replace(FRESH, stop=replace(REFUSED, until=None))
    assert timeless.shifted(step) == timeless
    assert FRESH.shifted(step) == FRESH


def test_convergence_is_timed_from_when_something_else_is_wanted() -> None:
    """The same object goes on from when it was first wanted, another one, though equal, begins anew."""
    first = FRESH.beginning(DESIRED, NOW)
    assert (first.desired, first.desired_since) == (DESIRED, NOW)
    assert first.beginning(DESIRED, NOW + HOUR).desired_since == NOW
    assert first.beginning(replace(DESIRED), NOW + HOUR).desired_since == NOW + HOUR


@pytest.mark.parametrize(
    ("until", "starts"), [(NOW + HOUR / 2, NOW + HOUR / 2), (NOW + 9 * HOUR, NOW + HOUR)]
)
def test_a_stop_is_never_longer_than_the_longest(until: object, starts: object) -> None:
    """Where the clock that dated it was ahead, it ends an hour after the pass begins."""
    state = replace(FRESH, stop=replace(REFUSED, until=until)).beginning(DESIRED, NOW)  # type: ignore[arg-type]
    assert state.stop == replace(REFUSED, until=starts)  # type: ignore[arg-type]
    resumed = replace(FRESH, stop=replace(REFUSED, until=None))
    assert resumed.beginning(DESIRED, NOW).stop == resumed.stop


def test_what_a_report_leaves_behind() -> None:
    """What is held and by which guard, what waits for calls, and what flaps; policy and platform are no guards."""
    held = (Held(A, Reason.QUOTA), Held(X, Reason.TOO_MANY))
    tripped = (
        Tripped(Reason.TOO_MANY, "many"),
        Tripped(Reason.PAUSED, "night"),
        Tripped(Reason.QUOTA, "no calls"),
    )
    flapping = some("a")
    plan = Plan(ACCOUNT, held=held, tripped=tripped, flapping=flapping)
    before = replace(FRESH, desired=DESIRED, desired_since=NOW)
    after = before.after(report(plan=plan), READ)
    assert (after.waiting, after.tripped) == (1, frozenset({Reason.TOO_MANY}))
    assert after.held == {(A, Reason.QUOTA), (X, Reason.TOO_MANY)}
    assert after.flapping == flapping
    assert after.desired_since == NOW
    assert after.status.last is not None


def test_a_pass_without_a_plan_leaves_what_flaps_and_nothing_held() -> None:
    """Nothing is known of what is held, and a device that flapped may go on with it."""
    before = replace(
        FRESH,
        flapping=some("a"),
        tripped=frozenset({Reason.TOO_MANY}),
        waiting=3,
        desired_since=NOW,
    )
    after = before.after(report(plan=None, observed=None), FAILED)
    assert (after.flapping, after.tripped, after.held, after.waiting) == (
        some("a"),
        frozenset(),
        frozenset(),
        0,
    )
    assert after.desired_since == NOW


def test_a_settled_pass_ends_the_convergence() -> None:
    """Once nothing is left to change, the next edit starts a new measurement."""
    assert replace(FRESH, desired_since=NOW).after(report(), READ).desired_since is None


def test_a_pass_after_a_flapping_one_says_anew_what_flaps() -> None:
    """A plan in which nothing flaps is the end of it."""
    assert replace(FRESH, flapping=some("a")).after(report(), READ).flapping == frozenset()


@pytest.mark.parametrize("reason", [Reason.SUBSCRIPTIONS_FULL, Reason.QUOTA])
def test_an_account_waits_for_room_under_lg_s_cap(reason: Reason) -> None:
    """Only subscribes that the cap holds wait for it."""
    after = FRESH.after(report(left=(Held(A, reason),)), READ)
    assert after.waits_for_room is (reason is Reason.SUBSCRIPTIONS_FULL)


@pytest.mark.parametrize(
    ("outcomes", "left", "made"),
    [
        ([(X, Result.SUCCESS)], (), True),
        ([(X, Result.NOOP), (A, Result.SUCCESS)], (), True),
        ([(X, Result.FAILED)], (), False),
        ([(A, Result.SUCCESS)], (), False),
        ([(X, Result.SUCCESS)], (Held(A, Reason.SUBSCRIPTIONS_FULL),), False),
        ([(X, Result.SUCCESS)], (Held(A, Reason.QUOTA),), True),
        ([], (), False),
    ],
)
def test_room_is_made_by_an_unsubscribe(
    outcomes: Sequence[tuple[Change, Result]], left: tuple[Held, ...], *, made: bool
) -> None:
    """A confirmed one makes room, unless the same pass found the cap reached after all."""
    found = tuple(Outcome(change, result, NOW) for change, result in outcomes)
    assert report(outcomes=found, left=left).made_room is made


def test_a_pass_that_asked_nothing_changes_nothing() -> None:
    """LG neither took nor refused anything, so what was before goes on."""
    before = replace(FRESH, failed_lists=2, broken_passes=1, stop=REFUSED)
    assert before.touched(Contact()) == before


def test_a_new_account_has_nothing() -> None:
    """It is neither failing nor stopped, and waits for nothing."""
    assert (FRESH.failed_lists, FRESH.broken_passes, FRESH.waiting) == (0, 0, 0)
    assert (FRESH.degraded, FRESH.waits_for_room, FRESH.stop) == (False, False, None)


def test_changes_that_wait_for_calls_are_counted() -> None:
    """Only those for which the quota has no calls left; each is counted."""
    held = (Held(A, Reason.QUOTA), Held(X, Reason.QUOTA), Held(A, Reason.RETRY))
    assert FRESH.after(report(left=held), READ).waiting == 2
    assert FRESH.after(report(), READ).waiting == 0
