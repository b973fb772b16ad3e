"""Where time comes from: a test can give its own clock.

Owns: the two kinds of time, and how far wall time is believed. Wall time dates events for people and survives a
restart. Steady time measures waits and never jumps.
Must not: be read by planner or guards; they take moments as arguments.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Protocol

TOLERATED = timedelta(minutes=5)
"""Two clocks agree if they differ by no more than this: answers take time, and ``Date`` has whole seconds."""
STEP = timedelta(seconds=1)
"""A larger difference between wall time and steady time is a step, not drift."""
ANSWERS = 9
"""The number of LG's last answers whose median is LG's time: a single wrong one does not matter."""
LONG_AGO = datetime(2, 1, 1, tzinfo=UTC)
"""Earlier than every time that a clock ever wrote down."""
MOST_STEPS = 1000
"""The largest number of remembered steps; the oldest are dropped."""


class Clock(Protocol):
    """The time, twice."""

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""

    def steady(self) -> float:
        """Return seconds since some moment; never goes back."""


class TwoClocks:
    """This machine's clock beside LG's, and both beside steady time. For the event loop's thread and others.

    LG's time is the median of the times in its last answers, advanced by steady time. If no answer had a date, or while
    both clocks agree, only ours counts. An answer that may be old says only what LG's time is at least. That counts if
    ours is behind it, until another one comes. ``ours_alone``: this process never gets LG's answers.
    """

    def __init__(self, clock: Clock, *, ours_alone: bool = False) -> None:
        self._clock = clock
        self._answered = ours_alone
        self._theirs: deque[float] = deque(maxlen=ANSWERS)
        self._at_least: deque[float] = deque(maxlen=ANSWERS)
        self._left: deque[tuple[float, float]] = deque(maxlen=MOST_STEPS)
        self.begin()

    def begin(self) -> None:
        """Take the wall clock as it is now for the first one: nothing was dated by an earlier one."""
        self._began = self._offset = self._now_offset()
        self._left.clear()

    def answered(self, date: datetime | None, *, may_be_old: bool = False) -> None:
        """Take the time of an answer from LG, or of one that a cache may have given again; None if it has no time."""
        self._answered = True
        if date is not None:
            times = self._at_least if may_be_old else self._theirs
            times.append(date.timestamp() - self._clock.steady())

    @property
    def is_sure(self) -> bool:
        """Say whether LG answered, and its clock agrees with ours."""
        return self._answered and abs(self.ahead) <= TOLERATED

    @property
    def ahead(self) -> timedelta:
        """Return by how much this machine's clock is ahead of LG's, or 0 if LG's is not known."""
        ours = self._now_offset()
        if self._theirs:
            return timedelta(seconds=ours - median(self._theirs.copy()))
        return timedelta(seconds=min(ours - max(self._at_least.copy(), default=ours), 0.0))

    def seconds_ahead(self) -> float:
        """Return the same in seconds, for a metric."""
        return self.ahead.total_seconds()

    def theirs(self, ours: datetime) -> datetime | None:
        """Return LG's time at this time of ours, or None if both agree or LG's is not known."""
        ahead = self.ahead
        return ours - ahead if abs(ahead) > TOLERATED else None

    def stepped(self) -> timedelta:
        """Return by how much the wall clock was set since the last call; forward is positive, 0 means not set."""
        offset = self._now_offset()
        step = timedelta(seconds=offset - self._offset)
        if abs(step) < STEP:
            return timedelta(0)
        self._left.append((self._clock.steady(), self._offset))
        self._offset = offset
        return step

    def restrained(self, now: datetime, window: timedelta) -> datetime:
        """Return the latest moment that has surely come. Code that releases something at a moment asks this.

        A wait of at most ``window`` is then never released early. A step of the wall clock within that time does not
        matter, because the slowest of its settings counts. A clock that is ahead of LG's does not matter either. Before
        LG has answered, no moment is sure.
        """
        return self.set_back(now, window) if self._answered else LONG_AGO

    def set_back(self, now: datetime, window: timedelta) -> datetime:
        """Return the same, also before LG has answered; until then only the steps of our clock count."""
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
        """Return the present for judging a date that another process wrote: LG's clock counts, if known."""
        if not self._theirs:
            return self.restrained(now, window)
        theirs = self.theirs(now)
        return now if theirs is None else min(now, theirs)

    def timeline(self) -> float:
        """Return epoch seconds by the wall clock at the start of this object, advanced by steady time.

        Within one process, a span measured by it has the right length even if the wall clock is set.
        """
        return self._began + self._clock.steady()

    def behind(self) -> float:
        """Return by how many seconds the wall clock is ahead of ``timeline``."""
        return self._now_offset() - self._began

    def _now_offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.steady()
