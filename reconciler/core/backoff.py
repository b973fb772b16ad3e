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
    """Return 1 as randomness, for code that only explains: it shows the longest possible wait."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """``first``, doubled with each attempt, up to ``most``. With full jitter: a random part of that."""

    first: timedelta
    most: timedelta
    jitter: bool = True

    def after(self, attempts: int, random: Random) -> timedelta:
        """Return the wait after this number of attempts in a row, counted from 1."""
        whole = min(self.first * (1 << min(attempts - 1, 30)), self.most)
        return whole * random() if self.jitter else whole


DEVICE = Curve(timedelta(seconds=5), timedelta(hours=1))
"""A device after a failed call."""
REFUSED = Curve(timedelta(hours=1), timedelta(hours=24), jitter=False)
"""A device that LG refused. Asking again soon does not help, so there is no jitter, and people see the exact time."""
LIST = Curve(timedelta(seconds=5), timedelta(minutes=5))
"""An account whose list was not available."""
STOPPED = Curve(timedelta(minutes=5), timedelta(hours=1), jitter=False)
"""An account that LG refuses."""
FULL = timedelta(hours=1)
"""Subscribes after LG's cap was reached."""
GATHER = timedelta(seconds=5)
"""Due retries of one account are gathered for this long: each pass costs one list."""
