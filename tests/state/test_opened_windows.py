"""Change windows that a command opened: which are in force, how they end, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from disks import START, StandingClock
from reconciler.core.clock import TwoClocks
from reconciler.core.errors import StateError
from reconciler.core.windows import Ending, Opening
from reconciler.state import State
from simulated import SimulatedClock

HOUR = timedelta(hours=1)
OFFICE = Opening("office", "mark", START, START + HOUR, "an oven \ud800", "kim@desk")
KEPT = replace(OFFICE, reason="an oven ?")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], State]]:
    """Return what opens the state, letting go of it first where it is open."""
    states: list[State] = []

    def open_() -> State:
        for state in states:
            state.close()
        states.append(State.open(tmp_path, StandingClock()))
        return states[-1]

    yield open_
    for state in states:
        state.close()


def later(hours: float) -> datetime:
    """Return a moment after the start."""
    return START + hours * HOUR


def test_an_opening_is_kept_and_ends_automatically(opened: Callable[[], State]) -> None:
    """A window stays open over a restart, until its time is over."""
    opened().opened_windows.open(OFFICE, START)
    state = opened()
    assert state.opened_windows.in_force(later(0.9)) == (KEPT,)
    assert state.opened_windows.in_force(later(1)) == ()
    assert state.opened_windows.past(START, 10) == [KEPT]
    assert state.opened_windows.past(later(0.5), 10) == [KEPT]
    assert state.opened_windows.past(later(2), 10) == []


def test_a_closed_window_stays_closed_and_known(opened: Callable[[], State]) -> None:
    """What a person closed is not open after a restart, and its end is kept."""
    state = opened()
    state.opened_windows.open(OFFICE, START)
    assert state.opened_windows.close("office", later(0.5))
    assert not state.opened_windows.close("office", later(0.5))
    assert not state.opened_windows.close("other", later(0.5))
    state = opened()
    assert state.opened_windows.in_force(later(0.5)) == ()
    (past,) = state.opened_windows.past(START, 10)
    assert (past.ended, past.ended_by) == (later(0.5), Ending.CLOSED)


def test_a_window_that_is_opened_again_has_one_opening(opened: Callable[[], State]) -> None:
    """The newer opening is in force, and the earlier one ended when it began."""
    state = opened()
    state.opened_windows.open(OFFICE, START)
    again = replace(KEPT, at=later(0.5), until=later(9))
    state.opened_windows.open(again, later(0.5))
    for one in (state, opened()):
        assert one.opened_windows.in_force(later(0.6)) == (again,)
    newest, before = opened().opened_windows.past(START, 10)
    assert newest == again
    assert (before.ended, before.ended_by) == (later(0.5), Ending.REOPENED)


def test_only_edited_windows_end(opened: Callable[[], State]) -> None:
    """An opening lasts as long as a window with its mark is defined."""
    state = opened()
    state.opened_windows.open(OFFICE, START)
    state.opened_windows.open(replace(OFFICE, window="night", mark="other"), START)
    assert [one.window for one in state.opened_windows.edited({"mark"}, START)] == ["night"]
    assert state.opened_windows.edited({"mark"}, START) == []
    assert [one.window for one in opened().opened_windows.in_force(START)] == ["office"]


def test_an_opening_keeps_its_length_when_the_clock_is_set() -> None:
    """A step of the wall clock changes no span that a person asked for."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    now = clock.now()
    state.opened_windows.open(replace(OFFICE, at=now, until=now + HOUR), now)
    clock.set_by(2 * HOUR)
    state.reset(2 * HOUR, clock.now())
    (left,) = state.opened_windows.in_force(clock.now())
    assert left.until == now + 3 * HOUR


def test_a_state_opened_for_reading_shows_openings_and_takes_none(tmp_path: Path) -> None:
    """Commands beside the daemon see what is open."""
    writer = State.open(tmp_path, StandingClock())
    writer.opened_windows.open(OFFICE, START)
    reader = State.read_only(tmp_path, StandingClock())
    assert reader.opened_windows.in_force(START) == (KEPT,)
    assert reader.opened_windows.edited(set(), START) == ()
    with pytest.raises(StateError, match="reading only"):
        reader.opened_windows.close("office", START)
    with pytest.raises(StateError, match="reading only"):
        reader.opened_windows.open(OFFICE, START)
    assert reader.opened_windows.in_force(START) == (KEPT,)
    reader.close()
    writer.close()


def test_a_window_whose_time_is_over_is_not_closed_by_anybody(
    opened: Callable[[], State],
) -> None:
    """Whoever closes it late hears that nothing was open, and its end stays that of its time."""
    state = opened()
    state.opened_windows.open(OFFICE, START)
    assert not state.opened_windows.close("office", later(2))
    assert opened().opened_windows.past(START, 10) == [KEPT]


@pytest.mark.parametrize("by_the_state_of_all", [False, True])
def test_of_two_openings_the_newer_one_is_in_force_after_a_restart(
    opened: Callable[[], State], *, by_the_state_of_all: bool
) -> None:
    """The earlier one ended with its time, which nobody wrote down."""
    state = opened()
    state.opened_windows.open(OFFICE, START)
    again = replace(KEPT, at=later(2), until=later(9))
    state.opened_windows.open(again, later(2))
    state = opened()
    if by_the_state_of_all:
        state.take_openings(state.stored_openings())
    assert state.opened_windows.in_force(later(2.5)) == (again,)


@pytest.mark.parametrize(("theirs", "lasts"), [(-2, 1), (-0.5, 1), (0, 1), (0.5, 0.5), (2, 0)])
def test_an_opening_ends_as_soon_as_either_clock_says_so(theirs: float, lasts: float) -> None:
    """LG's clock may be ahead of this machine's: then changes wait again earlier, and never later."""
    clock = StandingClock()
    state = State.in_memory(clock)
    two = TwoClocks(clock)
    state.keep_time(two)
    two.answered(later(theirs))
    state.opened_windows.open(OFFICE, START)
    held = [hours for hours in (0, 0.4, 0.6, 0.9, 1, 3) if _is_open(state, clock, hours)]
    assert held == [hours for hours in (0, 0.4, 0.6, 0.9, 1, 3) if hours < lasts]


def _is_open(state: State, clock: StandingClock, hours: float) -> bool:
    """Say whether a window is open some hours after the start."""
    clock.at = later(hours)
    return bool(state.opened_windows.in_force(clock.at))
