"""How far the state trusts the time.

Owns: when old changes stop counting and pauses end. Must not: know what is remembered.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.guards import LIMIT_WINDOW


class StateClock:
    """This machine's clock, and LG's when it is known. ``sure``: until then the machine's clock counts."""

    def __init__(self, clock: Clock, *, sure: bool) -> None:
        self.now, self.steady = clock.now, clock.steady
        self.two: TwoClocks | None = None
        self._sure = sure

    @property
    def is_sure(self) -> bool:
        """Return whether something may be removed because it is too old."""
        return self._sure if self.two is None else self.two.is_sure

    def counted_to(self, now: datetime) -> datetime:
        """Return the moment from which the last 24 hours are counted back."""
        return now if self.two is None else self.two.restrained(now, LIMIT_WINDOW)

    def read_from(self, now: datetime) -> datetime:
        """Return the moment before which the last 24 hours are read from the disk, for ``counted_to`` to judge."""
        return now if self.two is None else self.two.set_back(now, LIMIT_WINDOW)

    def has_ended(self, until: datetime, now: datetime, *, by_both: bool) -> bool:
        """Return whether something has ended; ``by_both``: LG's clock must say so as well."""
        if until > now:
            return False
        return self.two is None or not by_both or until <= self.two.believed(now, LIMIT_WINDOW)
