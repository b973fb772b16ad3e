"""What a sink is. The next kinds (NATS JetStream, Kafka) implement the same.

Owns: one Protocol. Must not: contain code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from reconciler.events.model import Result


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of one attempt. ``wait`` is how long the receiving side asked us to wait (``Retry-After``).

    ``refused``: the sink as a whole does not take anything now (401, 403, 410), not only this event.
    """

    result: Result
    status: int | None = None
    words: str = ""
    wait: timedelta | None = None
    refused: bool = False


class Sink(Protocol):
    """One place where events are delivered."""

    name: str

    async def hand_over(self, id: str, body: bytes) -> Handed:  # noqa: A002 - CloudEvents' word
        """Deliver one CloudEvent (JSON); returns within 15 seconds, and never raises for what the other side did."""

    async def close(self) -> None:
        """Give back connections and files."""
