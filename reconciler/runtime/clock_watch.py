"""Watches whether this machine's clock and LG's agree.

Owns: that a difference is reported once, and its end once. Must not: measure it.
"""

from __future__ import annotations

import structlog

from reconciler.core.clock import TOLERATED, TwoClocks

log = structlog.get_logger()


class ClockWatch:
    """Compares the two clocks."""

    def __init__(self, clocks: TwoClocks) -> None:
        self._clocks = clocks
        self._differ = False

    def show(self) -> None:
        """Report when the clocks begin to differ, and when they agree again."""
        ahead = self._clocks.ahead
        before, self._differ = self._differ, abs(ahead) > TOLERATED
        if self._differ and not before:
            log.warning("clock.differs", ahead_seconds=round(ahead.total_seconds()))
        elif before and not self._differ:
            log.info("clock.agrees")
