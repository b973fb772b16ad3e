"""How long to wait before trying again: one shape, several curves.

Owns: the curves and their numbers. Must not: wait, or know what is retried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

Random = Callable[[], float]
"""Returns a number from 0 to 1; a seeded one makes a run repeatable."""


def longest() -> float:
    """Return 1, as randomness for whoever only explains: a wait is shown as long as it can be."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """``first`` doubled with each attempt, up to ``most``; with full jitter anything from nothing to that."""

    first: timedelta
    most: timedelta
    jitter: bool = True

    def after(self, attempts: int, random: Random) -> timedelta:
        """Return the wait after so many attempts in a row, counted from 1."""
        whole = min(self.first * (1 << min(attempts - 1, 30)), self.most)
        return whole * random() if self.jitter else whole


DEVICE = Curve(timedelta(seconds=5), timedelta(hours=1))
"""A device after a failed call."""
REFUSED = Curve(timedelta(hours=1), timedelta(hours=24), jitter=False)
"""A device that LG refused: asking again soon does not help, so the times are told exactly."""
LIST = Curve(timedelta(seconds=5), timedelta(minutes=5))
"""An account whose list could not be had."""
STOPPED = Curve(timedelta(minutes=5), timedelta(hours=1), jitter=False)
"""An account that LG does not let in."""
FULL = timedelta(hours=1)
"""Subscribes after LG's cap was reached."""
GATHER = timedelta(seconds=5)
"""Due retries of one account are gathered for so long: each pass costs one list."""
