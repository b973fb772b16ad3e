"""The confirmed changes of the last day, by a clock that may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reconciler.core.memory.changes import intents
from reconciler.core.memory.day import Day
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    Action,
    Change,
    DeviceId,
    PassId,
    Result,
    Revision,
)
from reconciler.core.planner import OVERLAY

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEVICE = DeviceId("device-1")


def confirmed_at(moment: datetime) -> Day:
    """Return a day in which one subscribe was confirmed at a moment."""
    change = Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, DEVICE)
    (past,) = intents([change], PassId("a"), frozenset(), Revision("0"), moment)
    day = Day()
    day.count(past, Result.SUCCESS)
    return day


def test_a_change_that_is_dated_far_ahead_counts_as_just_too_old_for_the_overlay() -> None:
    """A clock that is days behind at a start must not make a device wait for days."""
    day = confirmed_at(NOW + timedelta(hours=34))
    day.not_later_than(NOW)
    assert day.confirmed.look()[DEVICE].at == NOW - OVERLAY


def test_it_stays_as_old_as_it_is_when_the_clock_is_corrected() -> None:
    """After the step the change is as old as the process, and not in the future."""
    day = confirmed_at(NOW + timedelta(hours=34))
    day.not_later_than(NOW)
    day.shift(timedelta(hours=49))
    day.not_later_than(NOW + timedelta(hours=49))
    assert day.confirmed.look()[DEVICE].at == NOW + timedelta(hours=49) - OVERLAY


def test_a_change_that_a_small_step_dates_ahead_keeps_its_date() -> None:
    """The overlay of a change that was confirmed a moment ago outlives a step by less than the overlay."""
    day = confirmed_at(NOW + OVERLAY / 2)
    day.not_later_than(NOW)
    assert day.confirmed.look()[DEVICE].at == NOW + OVERLAY / 2
