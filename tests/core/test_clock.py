"""Two clocks: how far the machine's time is to be believed beside LG's, and beside time that never jumps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.core.clock import LONG_AGO, TwoClocks
from simulated import START, SimulatedClock

WINDOW = timedelta(hours=24)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def clock() -> SimulatedClock:
    """Return a machine's clock that a test moves."""
    return SimulatedClock()


@pytest.fixture
def two(clock: SimulatedClock) -> TwoClocks:
    """Return both clocks, as a process begins."""
    return TwoClocks(clock)


def test_nothing_is_sure_before_lg_answered(two: TwoClocks, clock: SimulatedClock) -> None:
    """Until the first answer no date has certainly come; from then on the machine's clock counts."""
    assert not two.is_sure
    assert two.ahead == timedelta(0)
    assert two.restrained(clock.now(), WINDOW) == LONG_AGO
    assert two.believed(clock.now(), WINDOW) == LONG_AGO
    two.answered(None)
    assert two.is_sure
    assert two.ahead == timedelta(0)
    assert two.restrained(clock.now(), WINDOW) == clock.now()
    assert two.believed(clock.now(), WINDOW) == clock.now()


def test_a_command_without_lg_believes_its_clock(clock: SimulatedClock) -> None:
    """Where nobody is going to hand in LG's answers, the machine's clock alone counts."""
    alone = TwoClocks(clock, ours_alone=True)
    assert alone.is_sure
    assert alone.restrained(clock.now(), WINDOW) == clock.now()


@pytest.mark.parametrize("ahead", [-HOUR, -5 * MINUTE - SECOND, 5 * MINUTE + SECOND, HOUR])
def test_a_clock_that_differs_is_not_sure(
    ahead: timedelta, two: TwoClocks, clock: SimulatedClock
) -> None:
    """Beyond five minutes LG's clock counts beside ours, forward and back."""
    two.answered(clock.now() - ahead)
    assert not two.is_sure
    assert two.ahead == ahead
    assert two.seconds_ahead() == ahead.total_seconds()
    assert two.theirs(clock.now()) == clock.now() - ahead
    assert two.believed(clock.now(), WINDOW) == min(clock.now(), clock.now() - ahead)
    expected = clock.now() - ahead if ahead > timedelta(0) else clock.now()
    assert two.restrained(clock.now(), WINDOW) == expected


@pytest.mark.parametrize("ahead", [-5 * MINUTE, timedelta(0), 5 * MINUTE])
def test_clocks_that_agree_are_one(ahead: timedelta, two: TwoClocks, clock: SimulatedClock) -> None:
    """Up to five minutes are the time that answers take."""
    two.answered(clock.now() - ahead)
    assert two.is_sure
    assert two.ahead == ahead
    assert two.theirs(clock.now()) is None
    assert two.believed(clock.now(), WINDOW) == clock.now()
    assert two.restrained(clock.now(), WINDOW) == clock.now()


def test_lgs_time_is_carried_on_and_is_the_median(two: TwoClocks, clock: SimulatedClock) -> None:
    """One answer with a wrong date does not count, the last nine do, and time goes on between them."""
    for date in (clock.now(), clock.now(), clock.now() - 9 * HOUR):
        two.answered(date)
    assert two.ahead == timedelta(0)
    clock.pass_by(HOUR)
    assert two.ahead == timedelta(0)
    for _ in range(9):
        two.answered(clock.now() + 2 * HOUR)
    assert two.ahead == -2 * HOUR


def test_an_answer_that_may_be_old_says_what_lgs_time_is_at_least(
    two: TwoClocks, clock: SimulatedClock
) -> None:
    """The latest of them counts against a clock that is behind it, says nothing about one that is not, and yields."""
    now = clock.now()
    two.answered(now - HOUR, may_be_old=True)
    assert (two.ahead, two.is_sure) == (timedelta(0), True)
    for date in (now + HOUR, now + 2 * HOUR, now - HOUR):
        two.answered(date, may_be_old=True)
    clock.pass_by(MINUTE)
    assert two.ahead == -2 * HOUR
    assert two.theirs(clock.now()) == now + 2 * HOUR + MINUTE
    two.answered(now + 3 * HOUR + MINUTE)
    two.answered(now + 9 * HOUR, may_be_old=True)
    assert two.ahead == -3 * HOUR


def test_the_last_nine_answers_count(two: TwoClocks, clock: SimulatedClock) -> None:
    """Five of nine are most of them; what came before does not count any more."""
    for ahead in (2, 0, 0, 0, 0, 0, 2, 2, 2, 2):
        two.answered(clock.now() + ahead * HOUR)
    assert two.ahead == timedelta(0)
    two.answered(clock.now() + 2 * HOUR)
    assert two.ahead == -2 * HOUR


def test_a_thousand_steps_are_remembered(clock: SimulatedClock) -> None:
    """Of a clock that is set all the time the latest steps count: the slowest of them, and not the one before."""
    two = TwoClocks(clock, ours_alone=True)
    for step in [HOUR, MINUTE, *[SECOND] * 998]:
        clock.set_by(step)
        assert two.stepped() == step
    wrong = clock.wrong
    assert two.restrained(clock.now(), WINDOW) == clock.now() - wrong
    clock.set_by(SECOND)
    two.stepped()
    assert two.restrained(clock.now(), WINDOW) == clock.now() - (wrong + SECOND - HOUR)


@pytest.mark.parametrize("step", [-HOUR, -SECOND, SECOND, HOUR])
def test_a_step_is_told_once(step: timedelta, two: TwoClocks, clock: SimulatedClock) -> None:
    """From one second on a difference is a step, with its direction; time that passes is none."""
    clock.pass_by(HOUR)
    assert two.stepped() == timedelta(0)
    clock.set_by(step)
    assert two.stepped() == step
    assert two.stepped() == timedelta(0)


def test_drift_is_no_step(two: TwoClocks, clock: SimulatedClock) -> None:
    """Less than a second is not reported."""
    clock.set_by(timedelta(milliseconds=999))
    assert two.stepped() == timedelta(0)


def test_a_step_forward_lets_nothing_go_within_the_window(clock: SimulatedClock) -> None:
    """For as long as the window the slowest of all settings counts; then the clock is believed again."""
    two = TwoClocks(clock, ours_alone=True)
    clock.set_by(3 * HOUR)
    assert two.set_back(clock.now(), WINDOW) == clock.now() - 3 * HOUR
    two.stepped()
    clock.set_by(-HOUR)
    two.stepped()
    assert two.restrained(clock.now(), WINDOW) == clock.now() - 2 * HOUR
    clock.pass_by(WINDOW)
    assert two.restrained(clock.now(), WINDOW) == clock.now() - 2 * HOUR
    clock.pass_by(MINUTE)
    assert two.restrained(clock.now(), WINDOW) == clock.now()


def test_a_step_back_lets_nothing_go_early(clock: SimulatedClock) -> None:
    """What is slower than before is believed as it is, whether the step was reported or not."""
    two = TwoClocks(clock, ours_alone=True)
    clock.set_by(-3 * HOUR)
    assert two.restrained(clock.now(), WINDOW) == clock.now()
    two.stepped()
    assert two.restrained(clock.now(), WINDOW) == clock.now()
    clock.set_by(3 * HOUR)
    assert two.restrained(clock.now(), WINDOW) == clock.now() - 3 * HOUR


@pytest.mark.parametrize(("ahead", "less"), [(0.999, 0.0), (1.0, 1.0)])
def test_less_than_a_second_ahead_is_nothing(
    ahead: float, less: float, clock: SimulatedClock
) -> None:
    """What is a step is held back, drift is not."""
    two = TwoClocks(clock, ours_alone=True)
    clock.set_by(timedelta(seconds=ahead))
    assert two.set_back(clock.now(), WINDOW) == clock.now() - timedelta(seconds=less)


def test_the_larger_of_a_step_and_lgs_difference_counts(clock: SimulatedClock) -> None:
    """A clock may be ahead of LG's by more or by less than it was set."""
    two = TwoClocks(clock)
    two.answered(clock.now() + HOUR)
    clock.set_by(3 * HOUR)
    assert two.ahead == 2 * HOUR
    assert two.restrained(clock.now(), WINDOW) == clock.now() - 3 * HOUR
    again = TwoClocks(clock)
    again.answered(clock.now() - 2 * HOUR)
    clock.set_by(HOUR)
    assert again.restrained(clock.now(), WINDOW) == clock.now() - 3 * HOUR


def test_the_timeline_knows_no_step(two: TwoClocks, clock: SimulatedClock) -> None:
    """It goes on from the wall time of the beginning by steady time alone."""
    clock.pass_by(HOUR)
    clock.set_by(2 * HOUR)
    assert two.timeline() == (START + HOUR).timestamp()
    assert two.behind() == timedelta(hours=2).total_seconds()


def test_the_timeline_begins_with_a_clock_that_is_wrong() -> None:
    """What the wall clock was at the beginning counts as right, for what is measured within one process."""
    clock = SimulatedClock(HOUR)
    two = TwoClocks(clock)
    assert two.timeline() == (START + HOUR).timestamp()
    assert two.behind() == 0
    clock.set_by(-HOUR)
    assert two.behind() == -3600
    assert two.stepped() == -HOUR


def test_a_first_clock_that_dated_nothing_is_no_step(two: TwoClocks, clock: SimulatedClock) -> None:
    """Where another clock counts from the beginning on, as the database's, no wait is moved."""
    clock.set_by(HOUR)
    two.stepped()
    clock.set_by(HOUR)
    two.begin()
    assert two.stepped() == timedelta(0)
    assert two.set_back(clock.now(), WINDOW) == clock.now()
    assert two.timeline() == clock.now().timestamp()
