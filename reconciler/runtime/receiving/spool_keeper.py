"""Opens the spool, and keeps it in order while the process runs.

Owns: what is done where it cannot be opened, when old things go, and what the log hears of it. Must not: know what is
in it.
"""

from __future__ import annotations

import asyncio

import structlog

from reconciler.core.clock import Clock
from reconciler.core.errors import SpoolError
from reconciler.events.model import EventState, SpoolFigures
from reconciler.events.spool import Spool
from reconciler.runtime.receiving.rules import RulesInForce
from reconciler.telemetry.receiver_metrics import ReceiverMetrics, SpoolGauges

AGAIN_SECONDS = 1.0
"""How often a spool that cannot be opened is tried again. Until then calls are answered 503."""
EXPIRE_SECONDS = 600.0
"""How often what is old enough goes."""

log = structlog.get_logger()


class SpoolKeeper:
    """Keeps the spool open and in order."""

    name = "spool"
    grace = 0.0

    def __init__(
        self, spool: Spool, rules: RulesInForce, metrics: ReceiverMetrics, clock: Clock
    ) -> None:
        self.is_open = False
        self._opened = False
        self._spool, self._rules = spool, rules
        self._metrics, self._clock = metrics, clock
        self._trouble = ""
        self._expired_at: float | None = None
        metrics.spool(self.gauges)

    def begin(self) -> None:
        """Open the spool for the first time, and go on with what was in force. Raises as ``open`` does."""
        self.open()
        if self._opened:
            self._rules.resume(self._rules.recall())
            self.is_open = True
            self._show_last()

    def open(self) -> None:
        """Open the spool, or log why that is to be tried again. Raises where trying again would not help.

        That is: another process holds it, or a newer version wrote it.
        """
        try:
            self._spool.open()
        except SpoolError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error("spool.failed", error=str(error))  # noqa: TRY400 - the sentence says it all
            return
        self._opened = True
        self._tell()

    def close(self) -> None:
        """Commit what is in hand, and let go of the spool."""
        if self._opened:
            self._spool.close()

    def stuck(self) -> str:
        """Say why the open spool writes nothing any more, or return an empty string."""
        return self._spool.stuck() if self.is_open else ""

    async def run(self) -> None:
        """Keep the spool in order until cancelled. Raises ``SpoolError`` where only a new start helps.

        Nothing is taken before the rules that were in force are back.
        """
        while not self.is_open:
            await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.to_thread(self.open)
            if self._opened:
                self._rules.resume(await asyncio.to_thread(self._rules.recall))
                self.is_open = True
                await asyncio.to_thread(self._show_last)
        while not self._spool.defect:
            self._tell()
            await asyncio.to_thread(self._expire)
            await asyncio.sleep(AGAIN_SECONDS)
        raise SpoolError(self._spool.defect)

    def stop(self) -> None:
        """Begin nothing new."""

    def gauges(self) -> SpoolGauges | None:
        """Return what the metrics show of the spool, or None where it cannot be read. May block on the disk."""
        if not self.is_open:
            return None
        try:
            return self._gauges_of(self._spool.figures())
        except SpoolError:
            return None

    def _gauges_of(self, figures: SpoolFigures) -> SpoolGauges:
        """Return the gauges, with zeros for the sinks in force."""
        events: dict[tuple[str, str], int] = {}
        for sink in self._rules.rules.config.sinks:
            for state in (EventState.PENDING, EventState.DELIVERED, EventState.DEAD):
                events[sink, state.value] = 0
        for state in (EventState.UNROUTED, EventState.QUARANTINED, EventState.ERASED):
            events["", state.value] = 0
        for (sink, state), count in figures.events.items():
            events[sink, state.value] = count
        now = self._clock.now()
        oldest = {}
        for sink, stored in figures.oldest.items():
            oldest[sink] = max((now - stored).total_seconds(), 0.0)
        return SpoolGauges(figures.bytes, events, oldest)

    def _expire(self) -> None:
        now = self._clock.steady()
        if self._expired_at is not None and now - self._expired_at < EXPIRE_SECONDS:
            return
        self._expired_at = now
        try:
            self._spool.expire(self._clock.now(), self._rules.retention)
        except SpoolError as error:
            log.warning("spool.not_expired", error=str(error))

    def _show_last(self) -> None:
        """Show when something last came, also before this process."""
        try:
            figures = self._spool.figures()
        except SpoolError as error:
            log.warning("spool.failed", error=str(error))
            return
        if figures.last_event is not None:
            self._metrics.last_event.set(figures.last_event.timestamp())
        if figures.last_self_test is not None:
            self._metrics.last_self_test.set(figures.last_self_test.timestamp())

    def _tell(self) -> None:
        for notice in self._spool.notices():
            log.error("spool.damaged", message=notice)
