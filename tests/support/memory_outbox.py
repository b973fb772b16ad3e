"""An outbox in memory, for tests of delivery: what the spool does on disk, without a disk.

It outlives the delivery that uses it, as the spool's file does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.errors import SpoolError
from reconciler.events.model import Attempt, Message, Outcome, Result


@dataclass
class Row:
    """One event on its way to one sink."""

    attempt: Attempt
    due: datetime
    ended: Result | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def device(self) -> str | None:
        """The device whose order counts."""
        return self.attempt.message.device


class MemoryOutbox:
    """Keeps what is to be delivered."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Row] = {}
        self.fault: Exception | None = None
        self.closed = False
        self.meanwhile: Callable[[str], None] | None = None
        """What happens while a sink's events are looked up; it gets the sink."""
        self.afterwards: Callable[[str], None] | None = None
        """What happens once a sink's answers were found, and before the sink has them; it gets the sink."""
        self._seq = 0
        self._changed = asyncio.Event()

    def store(
        self,
        id: str,  # noqa: A002 - the interface's word
        message: Message,
        sinks: Sequence[str],
        now: datetime,
    ) -> int:
        """Keep an event for these sinks."""
        self._seq += 1
        for sink in sinks:
            attempt = Attempt(self._seq, id, sink, message, now, 0)
            self.rows[sink, self._seq] = Row(attempt, now)
        self._changed.set()
        return self._seq

    def replay(self, sink: str, seq: int, now: datetime) -> None:
        """Make an event due again, with its tries counted anew."""
        row = self.rows[sink, seq]
        kept = row.attempt
        row.attempt = Attempt(seq, kept.id, sink, kept.message, kept.received_at, 0)
        row.due, row.ended = now, None
        self._changed.set()

    def states(self, sink: str) -> list[Result | None]:
        """Return how the events of a sink ended so far, in their order; None for those that are pending."""
        return [row.ended for (name, _), row in sorted(self.rows.items()) if name == sink]

    def due(
        self, sink: str, now: datetime, limit: int, *, ordered: bool, busy: Collection[int]
    ) -> Sequence[Attempt]:
        """Return what is due, the longest due first."""
        if self.fault is not None:
            raise self.fault
        rows = [row for row in self._heads(sink, ordered=ordered) if row.attempt.seq not in busy]
        found = sorted((row.due, row.attempt.seq, row.attempt) for row in rows if row.due <= now)
        if self.meanwhile is not None:
            self.meanwhile(sink)
        return [attempt for _, _, attempt in found[:limit]]

    def next_due(self, sink: str, *, ordered: bool, busy: Collection[int]) -> datetime | None:
        """Return when something is due."""
        rows = [row for row in self._heads(sink, ordered=ordered) if row.attempt.seq not in busy]
        found = min((row.due for row in rows), default=None)
        if self.afterwards is not None:
            self.afterwards(sink)
        return found

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Keep how attempts ended, a moment later."""
        await asyncio.sleep(0.002)
        if self.closed:
            raise SpoolError("the spool is closed")
        for outcome in outcomes:
            self._keep(outcome)

    async def changed(self) -> None:
        """Return when something was stored or replayed since this was last awaited."""
        await self._changed.wait()
        self._changed.clear()

    def restart(self) -> None:
        """Belong to a new process: events are kept, and who waited is gone."""
        self._changed = asyncio.Event()
        self.reopen()

    def reopen(self) -> None:
        """Record outcomes again."""
        self.closed = False

    def _keep(self, outcome: Outcome) -> None:
        row = self.rows[outcome.sink, outcome.seq]
        row.outcomes.append(outcome)
        kept = row.attempt
        row.attempt = Attempt(
            kept.seq, kept.id, kept.sink, kept.message, kept.received_at, kept.attempts + 1
        )
        if outcome.result is Result.RETRY:
            assert outcome.due is not None
            row.due = outcome.due
        else:
            row.ended = outcome.result

    def _heads(self, sink: str, *, ordered: bool) -> list[Row]:
        """Return what may be tried: of each device only the first, where order counts."""
        pending = [
            row
            for (name, _), row in sorted(self.rows.items())
            if name == sink and row.ended is None
        ]
        if not ordered:
            return pending
        heads: list[Row] = []
        seen: set[str] = set()
        for row in pending:
            if row.device is None or row.device not in seen:
                heads.append(row)
            if row.device is not None:
                seen.add(row.device)
        return heads
