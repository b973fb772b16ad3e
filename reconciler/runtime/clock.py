"""The machine's own clock.

Owns: the one place where wall time and monotonic time are read. Must not: be imported below this floor: what needs the
time is handed a ``Clock``.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return wall time, aware, in UTC."""
        return datetime.now(UTC)

    def steady(self) -> float:
        """Return seconds since some moment; never goes back."""
        return time.monotonic()
