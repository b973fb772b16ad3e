"""Sinks and envelopes for tests of delivery: small programs on simulated time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from memory_outbox import MemoryOutbox
from reconciler.events.config import SinkConfig, SinkType
from reconciler.events.delivery import Delivery
from reconciler.events.model import Attempt, Message, Result
from reconciler.events.sinks.port import Handed, Sink
from simulation.clockwork import MachineClock, VirtualLoop

START = datetime(2026, 3, 1, tzinfo=UTC)
TAKEN = Handed(Result.DELIVERED, status=200)
BUSY = Handed(Result.RETRY, status=503, words="HTTP 503")
NEVER = Handed(Result.DEAD, status=400, words="HTTP 400")
REFUSED = Handed(Result.RETRY, status=401, words="HTTP 401", refused=True)
CRM = SinkConfig("crm", SinkType.HTTP, url="https://crm.example.com/", concurrency=8)
LOG = replace(CRM, name="log")
HANGS = None
"""The answer of a sink that never answers."""

Answer = Callable[[str], Handed | None]
"""Returns what a sink answers to the event with this id."""


@dataclass
class Got:
    """One attempt, as a sink saw it."""

    at: float
    id: str
    device: str | None
    answer: Handed | None


@dataclass
class ScriptedSink:
    """A sink that answers as it is asked to, after a while."""

    name: str
    answer: Answer
    seconds: float = 0.1
    got: list[Got] = field(default_factory=list)
    open_attempts: int = 0
    most_open: int = 0
    closed: bool = False

    async def hand_over(self, id: str, body: bytes) -> Handed:  # noqa: A002 - the interface's word
        """Take or refuse one event."""
        assert not self.closed
        answer = self.answer(id)
        moment = asyncio.get_running_loop().time()
        self.got.append(Got(moment, id, json.loads(body)["subject"], answer))
        self.open_attempts += 1
        self.most_open = max(self.most_open, self.open_attempts)
        try:
            await asyncio.sleep(self.seconds if answer is not None else 1e6)
        finally:
            self.open_attempts -= 1
        assert answer is not None
        return answer

    async def close(self) -> None:
        """Take nothing more."""
        self.closed = True

    @property
    def ids(self) -> list[str]:
        """The ids of all attempts, in their order."""
        return [one.id for one in self.got]


@dataclass
class PlainEnvelopes:
    """Makes the smallest event that shows what it is. ``broken`` are ids of which none can be made."""

    broken: set[str] = field(default_factory=set)

    def make(self, attempt: Attempt) -> bytes:
        """Return a small object."""
        if attempt.id in self.broken:
            raise ValueError("cannot be made")
        return json.dumps({"id": attempt.id, "subject": attempt.message.device}).encode()


@dataclass
class Counting:
    """Counts what ended."""

    results: Counter[tuple[str, Result]] = field(default_factory=Counter)

    def ended(self, sink: str, result: Result, seconds: float) -> None:
        """Count one attempt."""
        assert seconds >= 0
        self.results[sink, result] += 1


class Bench:
    """Delivery on simulated time, with an outbox that outlives it."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = VirtualLoop(Random(seed))  # noqa: S311 - repeatable
        self.clock = MachineClock(self.loop, START)
        self.outbox = MemoryOutbox()
        self.envelopes = PlainEnvelopes()
        self.watch = Counting()
        self.sinks: dict[str, ScriptedSink] = {}
        self.built: list[str] = []
        self.random = Random(seed)  # noqa: S311 - repeatable
        self.delivery = self._new()

    def build(self, config: SinkConfig) -> Sink:
        """Return the sink that a test made with this name."""
        self.built.append(config.name)
        return self.sinks[config.name]

    def sink(self, answer: Answer, name: str = "crm", seconds: float = 0.1) -> ScriptedSink:
        """Make a sink, which this name leads to."""
        self.sinks[name] = ScriptedSink(name, answer, seconds)
        return self.sinks[name]

    def store(self, id: str, device: str | None = "d1", sinks: Sequence[str] = ("crm",)) -> int:  # noqa: A002 - the interface's word
        """Let an event arrive now."""
        message = Message("PCC_EVENT", {}, device=device, diagnosis="E1")
        return self.outbox.store(id, message, sinks, self.clock.now())

    def run(self, hours: float, *sinks: SinkConfig) -> None:
        """Deliver for so long; the sinks are those of the events file from the beginning on."""
        self.loop.run_until_complete(self._run(hours * 3600, sinks))

    def restart(self) -> None:
        """End the process in the middle of everything, and begin another."""
        self.outbox.restart()
        self.delivery = self._new()

    def _new(self) -> Delivery:
        return Delivery(
            self.outbox,
            self.envelopes,
            self,
            clock=self.clock,
            random=self.random.random,
            watch=self.watch,
        )

    async def _run(self, seconds: float, sinks: Sequence[SinkConfig]) -> None:
        self.delivery.use({sink.name: sink for sink in sinks})
        running = asyncio.create_task(self.delivery.run())
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
