"""This machine's clock and LG's, as a pass reads them.

Owns: when a pass began by both clocks, the time within a pass, and whether a clock was set since.
Must not: keep a time of its own; the stores of waits move their own waits.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from reconciler.core import windows
from reconciler.core.clock import TOLERATED, Clock, TwoClocks
from reconciler.core.guards import limits
from reconciler.core.run import Run

log = structlog.get_logger()

LOGGED_STEP = timedelta(minutes=1)
"""A step of the wall clock of at least this is logged."""


class Clocks:
    """Both clocks. Without ``two_clocks`` nobody hands in LG's answers, and this machine's clock counts alone."""

    def __init__(self, clock: Clock, two_clocks: TwoClocks | None) -> None:
        self._clock = clock
        self._both = two_clocks or TwoClocks(clock, ours_alone=True)

    def now(self) -> datetime:
        """Return the time by this machine's wall clock."""
        return self._clock.now()

    def steady(self) -> float:
        """Return seconds since some moment, which no clock's setting changes."""
        return self._clock.steady()

    def theirs(self, ours: datetime) -> datetime | None:
        """Return LG's time when ours is this, or None where the two agree."""
        return self._both.theirs(ours)

    def step(self) -> timedelta:
        """Return by how much the wall clock was set since this was last asked, and log it where it is much."""
        step = self._both.stepped()
        if abs(step) >= LOGGED_STEP:
            log.warning("clock.stepped", seconds=round(step.total_seconds(), 3))
        return step

    def dated(self, run: Run) -> Run:
        """Return the pass with what both clocks say now of the moment at which it began."""
        theirs = self._both.theirs(run.began)
        window = max(limits.LIMIT_WINDOW, run.desired.policy.unsubscribe_after)
        return replace(
            run,
            theirs=theirs,
            sure=self._both.restrained(run.began, window),
            boundary=_next_boundary(run, run.began, theirs),
        )

    def within(self, run: Run) -> datetime:
        """Return the time by the wall clock as it was when the pass began: no step changes the spans in a pass."""
        return run.began + timedelta(seconds=self._clock.steady() - run.steady)

    def moved(self, run: Run) -> bool:
        """Say whether either clock was set since a pass began, or LG's is another by its answers since."""
        now = self.within(run)
        theirs, before = self._both.theirs(now) or now, run.theirs or run.began
        ours_moved = abs(self._clock.now() - now) > TOLERATED
        theirs_moved = abs(theirs - before - (now - run.began)) > TOLERATED
        return ours_moved or theirs_moved


def _next_boundary(run: Run, ours: datetime, theirs: datetime | None) -> datetime | None:
    """Return the first change of the desired state or of its windows that comes next by either clock, in our time."""
    first = _next_after(run, ours)
    if theirs is None:
        return first
    date = _next_after(run, theirs)
    if date is None:
        return first
    by_theirs = date + (ours - theirs)
    return by_theirs if first is None else min(first, by_theirs)


def _next_after(run: Run, now: datetime) -> datetime | None:
    date = run.desired.next_boundary(now)
    if not run.desired.windows:
        return date
    change = windows.next_change(run.desired.windows, now, run.openings)
    if date is None or change is None:
        return date or change
    return min(date, change)
