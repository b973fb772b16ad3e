"""The clock that all replicas share: the database's, carried on by the seconds since boot.

Owns: both kinds of time in a process that shares its state. Must not: ask anybody for the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from reconciler.core.clock import Clock


def boottime() -> float:
    """Return seconds that go on while the machine is suspended. ``time.monotonic`` does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class FleetClock:
    """The database's time. Before it was heard of, this machine's own counts."""

    def __init__(self, own: Clock, boottime: Callable[[], float]) -> None:
        self._own, self._boottime = own, boottime
        self._epoch: float | None = None

    def heard(self, now: datetime, sent: float) -> None:
        """Take the database's time from an answer to a question that was sent at this second since boot.

        It was right at some moment since then. A slow answer shows that less exactly than a quick one before it, so
        what was known changes only as far as it cannot be right.
        """
        least, most = now.timestamp() - self._boottime(), now.timestamp() - sent
        before = (least + most) / 2 if self._epoch is None else self._epoch
        self._epoch = min(max(before, least), most)

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""
        if self._epoch is None:
            return self._own.now()
        return datetime.fromtimestamp(self._epoch + self._boottime(), UTC)

    def steady(self) -> float:
        """Return seconds since boot; never goes back."""
        return self._boottime()

    def machine_ahead(self) -> timedelta:
        """Return by how much this machine's clock is ahead of the database's."""
        return self._own.now() - self.now()
