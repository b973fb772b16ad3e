"""A spool in memory: takes what arrives as the real one does, and can be full, slow, broken or hanging."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from reconciler.core.errors import SpoolError
from reconciler.events.model import SELF_TEST, Arrival, Receipt, Stored


class MemorySpool:
    """Implements ``Inlet``. ``refusal`` is raised while it is set; while ``gate`` is shut nothing is committed."""

    def __init__(self) -> None:
        self.refusal: SpoolError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.kept: dict[bytes, Arrival] = {}
        self.receipts: list[Receipt] = []
        self._message_ids: dict[str, bytes] = {}

    @property
    def bodies(self) -> list[bytes]:
        """What is kept, oldest first."""
        return [arrival.body for arrival in self.kept.values()]

    async def store(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Keep all of them, or none."""
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        if self.refusal is not None:
            raise self.refusal
        receipts = [self._keep(arrival) for arrival in arrivals]
        self.receipts += receipts
        return receipts

    def _keep(self, arrival: Arrival) -> Receipt:
        event_id = urlsafe_b64encode(arrival.key).decode()[:22]
        if arrival.key in self.kept:
            seq = list(self.kept).index(arrival.key) + 1
            return Receipt(Stored.DUPLICATE, seq, event_id)
        self.kept[arrival.key] = arrival
        reused = False
        if arrival.message_id is not None:
            first = self._message_ids.setdefault(arrival.message_id, arrival.key)
            reused = first != arrival.key
        stored = Stored.NEW
        if arrival.message is None:
            stored = Stored.QUARANTINED
        elif arrival.message.push_type == SELF_TEST:
            stored = Stored.SELF_TEST
        return Receipt(stored, len(self.kept), event_id, reused)
