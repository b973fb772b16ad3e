"""Where time comes from, so that a test can hand in its own.

Owns: the two kinds of time. Wall time dates things for people and survives a restart; steady time measures waits and
never jumps. Must not: be read by planner or guards, which take ``now`` as an argument.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time, twice."""

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""

    def steady(self) -> float:
        """Return seconds since some moment; never goes back."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""
        return datetime.now(UTC)

    def steady(self) -> float:
        """Return seconds since some moment; never goes back."""
        return time.monotonic()
