"""Where time comes from, so that a test can hand in its own.

Owns: the two kinds of time, and how far wall time is to be believed. Wall time dates things for people and survives a
restart; steady time measures waits and never jumps. Must not: be read by planner or guards, which take moments as
arguments.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Protocol

TOLERATED = timedelta(minutes=5)
"""Two clocks that differ by no more than this agree: answers take time, and ``Date`` has whole seconds."""
STEP = timedelta(seconds=1)
"""From this on a difference between wall time and steady time is a step, and no drift."""
ANSWERS = 9
"""So many of LG's last answers are asked for its time; one that is wrong does not count among them."""
LONG_AGO = datetime(2, 1, 1, tzinfo=UTC)
"""Earlier than whatever any clock wrote down."""
MOST_STEPS = 1000
"""So many steps are remembered at most; of a clock that is set all the time, the latest."""


class Clock(Protocol):
    """The time, twice."""

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""

    def steady(self) -> float:
        """Return seconds since some moment; never goes back."""


class TwoClocks:
    """This machine's clock beside LG's, and both beside steady time. For the event loop's thread and others.

    LG's time is the median of what its last answers said, carried on by steady time. Where no answer had a date, or as
    long as both agree, ours counts alone. ``ours_alone``: nobody is going to hand in LG's answers.
    """

    def __init__(self, clock: Clock, *, ours_alone: bool = False) -> None:
        self._clock = clock
        self._answered = ours_alone
        self._theirs: deque[float] = deque(maxlen=ANSWERS)
        self._began = clock.now().timestamp() - clock.steady()
        self._offset = self._began
        self._left: deque[tuple[float, float]] = deque(maxlen=MOST_STEPS)

    def answered(self, date: datetime | None) -> None:
        """Take an answer of LG's that just came, with the time in it; nothing where it has none, or an old one."""
        self._answered = True
        if date is not None:
            self._theirs.append(date.timestamp() - self._clock.steady())

    @property
    def is_sure(self) -> bool:
        """Say whether LG was heard, and its clock does not say that ours is wrong."""
        return self._answered and abs(self.ahead) <= TOLERATED

    @property
    def ahead(self) -> timedelta:
        """Return by how much this machine's clock is ahead of LG's; nothing where LG's is not known."""
        if not self._theirs:
            return timedelta(0)
        return timedelta(seconds=self._now_offset() - median(self._theirs.copy()))

    def seconds_ahead(self) -> float:
        """Return the same in seconds, for a metric."""
        return self.ahead.total_seconds()

    def theirs(self, ours: datetime) -> datetime | None:
        """Return what LG's clock says when ours says this; nothing where the two agree, or LG's is not known."""
        ahead = self.ahead
        return ours - ahead if abs(ahead) > TOLERATED else None

    def stepped(self) -> timedelta:
        """Return by how much the wall clock was set since this was last asked: forward is positive, nothing is zero."""
        offset = self._now_offset()
        step = timedelta(seconds=offset - self._offset)
        if abs(step) < STEP:
            return timedelta(0)
        self._left.append((self._clock.steady(), self._offset))
        self._offset = offset
        return step

    def restrained(self, now: datetime, window: timedelta) -> datetime:
        """Return the latest moment of which it is sure that it has come, for whoever lets something go then.

        What waits for no longer than ``window`` is not let go early by this: not by a step of the wall clock within
        that time, as of all its settings since the slowest counts, and not by a clock that is ahead of LG's. Before LG
        has answered, nothing is sure.
        """
        return self.set_back(now, window) if self._answered else LONG_AGO

    def set_back(self, now: datetime, window: timedelta) -> datetime:
        """Return the same, also before LG has answered: until then only the steps of our clock count."""
        since, offset = self._clock.steady() - window.total_seconds(), self._now_offset()
        slowest = min(
            (before for left, before in self._left.copy() if left >= since),
            default=min(offset, self._offset),
        )
        ahead = timedelta(seconds=offset - min(slowest, offset, self._offset))
        theirs = self.theirs(now)
        if theirs is not None:
            ahead = max(ahead, now - theirs)
        return now if ahead < STEP else now - ahead

    def believed(self, now: datetime, window: timedelta) -> datetime:
        """Return the moment by which a date is judged that was set by another process: LG's clock counts, if known."""
        if not self._theirs:
            return self.restrained(now, window)
        theirs = self.theirs(now)
        return now if theirs is None else min(now, theirs)

    def timeline(self) -> float:
        """Return epoch seconds by the wall clock as it was when this began, carried on by steady time.

        What is measured by it within one process lasts as long as it should, whatever is done to the wall clock.
        """
        return self._began + self._clock.steady()

    def behind(self) -> float:
        """Return how many seconds the wall clock is ahead of ``timeline`` by now."""
        return self._now_offset() - self._began

    def _now_offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.steady()
