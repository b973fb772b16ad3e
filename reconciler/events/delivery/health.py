"""Whether a sink works, and when the next attempt may be made if it does not.

Owns: the transitions of one sink between working and probing. Must not: read a clock, wait, or choose events.

A sink that works is given as many events at once as it may have. One that failed 20 times in a row, or refused us as a
whole, is probed: one event at a time, at most 10 minutes apart, until it takes one. So a sink that is down is not
flooded, and one that answers every event with "never" gets few events to say so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.core.backoff import Random
from reconciler.events.delivery.policy import LONGEST_WAIT, RETRY
from reconciler.events.model import Result
from reconciler.events.sinks.port import Handed

MOST_FAILURES = 20
"""Failures in a row after which a sink is probed."""
TOO_MANY = 429
"""The status by which a sink asks that everything waits, not only this event."""


@dataclass(frozen=True, slots=True)
class Health:
    """The state of one sink. ``free_at`` is in steady seconds: no attempt begins before it.

    ``failures`` are those in a row; ``probes`` the failed ones among them since the sink is probed.
    """

    failures: int = 0
    is_probing: bool = False
    probes: int = 0
    free_at: float = 0.0

    def after(self, handed: Handed, *, was_probe: bool, steady: float, random: Random) -> Health:
        """Return the state after an attempt that ended at this moment, in steady seconds.

        ``was_probe``: it began when the sink was probed already. What began before that and fails now says nothing new.
        """
        if handed.result is Result.DELIVERED:
            return Health()
        failures = self.failures + 1
        has_begun = not self.is_probing and (handed.refused or failures >= MOST_FAILURES)
        if has_begun or (self.is_probing and was_probe):
            probes = self.probes + 1
            wait = RETRY.after(probes, random).total_seconds()
        else:
            probes = self.probes
            wait = 0.0
        return Health(
            failures=failures,
            is_probing=self.is_probing or has_begun,
            probes=probes,
            free_at=max(self.free_at, steady + wait, steady + _asked_seconds(handed)),
        )

    def at_once(self) -> Health:
        """Return the state in which an attempt may begin now: something changed, so it may work again."""
        return replace(self, free_at=0.0)

    def room(self, concurrency: int, under_way: int) -> int:
        """Return how many attempts may begin beside those under way, once ``free_at`` has come."""
        return (1 if self.is_probing else concurrency) - under_way


def _asked_seconds(handed: Handed) -> float:
    """Return how long a sink under load asked that nothing comes."""
    if handed.status != TOO_MANY or handed.wait is None:
        return 0.0
    return min(handed.wait, LONGEST_WAIT).total_seconds()
