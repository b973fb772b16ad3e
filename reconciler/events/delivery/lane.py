"""The way to one sink: what is due there is taken from the outbox, tried, and recorded.

Owns: which attempts are under way, how many and in which order, and when to look again.
Must not: know what kind of sink it is, or decide what an answer means for an event (``policy``) or for the sink
(``health``).

A lane lives as long as the process. When the events file changes it gets another sink, or None; what is under way with
the old one comes to its end, so that two attempts of one event never run side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reconciler.core.backoff import Random
from reconciler.core.clock import Clock
from reconciler.core.errors import SpoolError
from reconciler.events.config import Order, SinkConfig
from reconciler.events.delivery.health import Health
from reconciler.events.delivery.policy import LONGEST_ATTEMPT, LONGEST_WAIT, outcome
from reconciler.events.delivery.port import Envelopes, Watch
from reconciler.events.model import Attempt, Outcome, Result
from reconciler.events.port import Outbox
from reconciler.events.sinks.port import Handed, Sink

log = structlog.get_logger()

LONGEST_LOOK = 60.0
"""Seconds after which a lane looks again in any case: the wall clock may have been set."""
SHORTEST_LOOK = 0.25
"""Seconds after which a lane looks again at the earliest."""
AFTER_FAULT = 5.0
"""Seconds after which a lane goes on where the outbox could not be read."""
CHOICE = 32
"""A probe is chosen among this number of events, so that one which always fails does not keep the sink closed."""
NOT_MADE = Handed(Result.RETRY, words="a fault of this program with this event; its log says more")
"""What becomes of an event that cannot be put together. It says nothing about the sink."""
NOT_HANDED = Handed(Result.RETRY, words="a fault of this program with this sink; its log says more")
FAULTS = (NOT_MADE, NOT_HANDED)
"""Faults of ours. No event is given up for them."""
NEVER = timedelta.max
"""No event is this old."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all lanes of the process use. ``threads`` is where the outbox may block."""

    outbox: Outbox
    envelopes: Envelopes
    clock: Clock
    random: Random
    watch: Watch
    threads: Executor


@dataclass(slots=True)
class _Opened:
    """A sink in use by a number of attempts."""

    config: SinkConfig
    sink: Sink
    users: int = 0


@dataclass(frozen=True, slots=True)
class _Question:
    """What a lane asks the outbox for. ``is_early``: what waits for a retry counts as due."""

    is_ordered: bool
    room: int
    busy: frozenset[int]
    is_probing: bool
    is_early: bool


class Lane:
    """The way to one sink."""

    def __init__(self, name: str, shared: Shared) -> None:
        self.name = name
        self._shared = shared
        self._opened: _Opened | None = None
        self._retired: list[_Opened] = []
        self._health = Health()
        self._under_way: set[int] = set()
        self._early = False
        self._ending = False
        self._wakes = asyncio.Event()

    def use(self, config: SinkConfig, sink: Sink) -> None:
        """Deliver to this sink from now on."""
        self.use_none()
        self._opened = _Opened(config, sink)
        self.try_now()

    def use_none(self) -> None:
        """Begin nothing more: the sink left the events file. What waits for it stays pending."""
        if self._opened is not None:
            self._retired.append(self._opened)
        self._opened = None
        self.wake()

    def uses(self, config: SinkConfig) -> bool:
        """Say whether it delivers to the sink that is described."""
        return self._opened is not None and self._opened.config == config

    def try_now(self) -> None:
        """Begin attempts now, also those that wait for a retry: something changed that may help."""
        self._health = self._health.at_once()
        self._early = True
        self.wake()

    def wake(self) -> None:
        """Look again: something may be due."""
        self._wakes.set()

    def end(self) -> None:
        """Begin nothing more; ``run`` returns when what is under way has ended."""
        self._ending = True
        self.wake()

    async def run(self) -> None:
        """Deliver until ``end``, or until cancelled."""
        try:
            async with asyncio.TaskGroup() as attempts:
                while not self._ending:
                    self._wakes.clear()
                    await self._close_retired()
                    seconds = await self._begin_some(attempts)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await self._wakes.wait()
        finally:
            self.use_none()
            await self._close_retired()

    async def _begin_some(self, attempts: asyncio.TaskGroup) -> float:
        """Begin what may begin now, and return the seconds after which to look again."""
        opened = self._opened
        room = self._room()
        if opened is None or room <= 0:
            return LONGEST_LOOK
        free_in = self._health.free_at - self._shared.clock.steady()
        if free_in > 0:
            return min(free_in, LONGEST_LOOK)
        try:
            found, seconds = await self._look(opened.config, room)
        except (SpoolError, OSError) as error:
            log.warning("delivery.outbox_failed", sink=self.name, error=str(error))
            return AFTER_FAULT
        except Exception:  # a defect of ours: events are still received, and kept until then
            log.exception("delivery.failed", sink=self.name)
            return AFTER_FAULT
        if opened is not self._opened or self._ending:
            return 0.0
        for attempt in found:
            self._under_way.add(attempt.seq)
            opened.users += 1
            attempts.create_task(self._try(attempt, opened), name=f"{self.name} {attempt.seq}")
        return seconds

    def _room(self) -> int:
        """Return how many attempts may begin, by their number alone."""
        if self._opened is None:
            return 0
        return self._health.room(self._opened.config.concurrency, len(self._under_way))

    async def _look(self, config: SinkConfig, room: int) -> tuple[Sequence[Attempt], float]:
        """Return what to begin with, and the seconds after which something more is due."""
        question = _Question(
            config.order is Order.DEVICE,
            room,
            frozenset(self._under_way),
            self._health.is_probing,
            self._early,
        )
        self._early = False
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._shared.threads, self._ask, question)

    def _ask(self, question: _Question) -> tuple[Sequence[Attempt], float]:
        """Ask the outbox. May block on the disk, so it runs in a thread."""
        now = self._shared.clock.now()
        found = self._due(question, now + LONGEST_WAIT if question.is_early else now)
        due = self._next_due(question, found)
        if due is not None and due - now > LONGEST_WAIT and not found:
            found = self._due(question, due)  # nothing waits for so long: the clock was set back
            due = self._next_due(question, found)
        if due is None or len(found) >= question.room:
            return found, LONGEST_LOOK
        return found, min(max((due - now).total_seconds(), SHORTEST_LOOK), LONGEST_LOOK)

    def _due(self, question: _Question, until: datetime) -> Sequence[Attempt]:
        """Return what may begin of what is due until a moment."""
        found = self._shared.outbox.due(
            self.name,
            until,
            CHOICE if question.is_probing else question.room,
            ordered=question.is_ordered,
            busy=question.busy,
        )
        if question.is_probing:
            found = sorted(found, key=_tries)
        return found[: question.room]

    def _next_due(self, question: _Question, found: Sequence[Attempt]) -> datetime | None:
        """Return when something is due beside what was found."""
        busy = question.busy.union(attempt.seq for attempt in found)
        return self._shared.outbox.next_due(self.name, ordered=question.is_ordered, busy=busy)

    async def _try(self, attempt: Attempt, opened: _Opened) -> None:
        """Make one attempt and record how it ended."""
        clock, began = self._shared.clock, self._shared.clock.steady()
        was_probe = self._health.is_probing
        try:
            handed = await self._hand_over(attempt, opened.sink)
            if handed is not NOT_MADE:
                self._judge(handed, was_probe=was_probe)
            ended = outcome(
                attempt,
                handed,
                now=clock.now(),
                give_up_after=NEVER if handed in FAULTS else opened.config.give_up_after,
                random=self._shared.random,
            )
            self._shared.watch.ended(self.name, ended.result, clock.steady() - began)
            _log_end(attempt, ended)
            await self._shared.outbox.record([ended])
        except (
            SpoolError
        ) as error:  # it is due again: after the next start, or where the spool goes on
            log.warning("delivery.not_recorded", sink=self.name, seq=attempt.seq, error=str(error))
            await self._pause()
        finally:
            self._under_way.discard(attempt.seq)
            opened.users -= 1
            self.wake()

    async def _hand_over(self, attempt: Attempt, sink: Sink) -> Handed:
        """Return what became of one attempt; one of ``FAULTS`` where a fault of ours kept it from being made."""
        try:
            body = self._shared.envelopes.make(attempt)
        except Exception:  # one event that cannot be made must not stop the others
            log.exception("delivery.failed", sink=self.name, seq=attempt.seq, id=attempt.id)
            return NOT_MADE
        try:
            async with asyncio.timeout(LONGEST_ATTEMPT.total_seconds()):
                return await sink.hand_over(attempt.id, body)
        except TimeoutError:
            seconds = int(LONGEST_ATTEMPT.total_seconds())
            return Handed(Result.RETRY, words=f"no answer within {seconds} seconds")
        except Exception:  # a sink returns what the other side did; what it raises is a defect
            log.exception("delivery.failed", sink=self.name, seq=attempt.seq, id=attempt.id)
            return NOT_HANDED

    def _judge(self, handed: Handed, *, was_probe: bool) -> None:
        """Take note of what an attempt says about the sink."""
        before = self._health
        self._health = before.after(
            handed,
            was_probe=was_probe,
            steady=self._shared.clock.steady(),
            random=self._shared.random,
        )
        if self._health.is_probing and not before.is_probing:
            log.error(
                "sink.probing",
                sink=self.name,
                failures=self._health.failures,
                status=handed.status,
                words=handed.words,
            )
        if before.is_probing and not self._health.is_probing:
            log.info("sink.recovered", sink=self.name, failures=before.failures)

    async def _pause(self) -> None:
        """Wait for a while, unless this ends."""
        if not self._ending:
            await asyncio.sleep(AFTER_FAULT)

    async def _close_retired(self) -> None:
        """Close the sinks that are no longer in use."""
        idle = [opened for opened in self._retired if not opened.users]
        for opened in idle:
            self._retired.remove(opened)
            await opened.sink.close()


def _tries(attempt: Attempt) -> int:
    return attempt.attempts


def _log_end(attempt: Attempt, ended: Outcome) -> None:
    """Log how an attempt ended."""
    message = attempt.message
    facts: dict[str, object] = {
        "sink": attempt.sink,
        "seq": attempt.seq,
        "id": attempt.id,
        "account": attempt.account,
        "device": message.device,
        "type": message.diagnosis or message.push_type,
        "tries": attempt.attempts + 1,
        "status": ended.status,
    }
    if ended.result is Result.DELIVERED:
        log.info("delivery.delivered", **facts)
    elif ended.result is Result.RETRY:
        log.warning("delivery.retry", **facts, words=ended.words, due=str(ended.due))
    else:
        log.error("delivery.dead", **facts, words=ended.words)
