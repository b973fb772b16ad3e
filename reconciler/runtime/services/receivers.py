"""Asks the receivers again and again which events they have.

Owns: when each is asked, how far it was read, the one line of the log when one stops or starts to answer or is
probably another fleet's, and the moment of its last answer for the metrics.
Must not: judge events (``controller.hearing`` does), or hold up a pass: a receiver that is down costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from reconciler.api.client.receivers import SECONDS, Ask, Place, ask_receiver, pages
from reconciler.controller.hearing import Hearing
from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError
from reconciler.core.heard import Heard
from reconciler.runtime.apart import Apart, apart

EVERY_SECONDS = 60.0
DEVICES_SECONDS = 60.0
"""Receivers are read this long after the start, even if no desired state is in force yet."""
LOOK_SECONDS = 0.1
FOREIGN_EVENTS = 20
"""A receiver with at least this number of events, all of unknown devices, is probably another fleet's."""

log = structlog.get_logger()


class Answers(Protocol):
    """Shows when each receiver last answered."""

    def answered(self, receiver: str, at: float) -> None:
        """Take that a receiver was read to its end, in seconds since 1970."""


class Receivers:
    """The service that reads each receiver again after ``every`` seconds. One page may take ``patience`` in seconds.

    ``asking`` sends one request and waits for its answer, and ``beside`` is the thread in which it waits.
    """

    name = "receivers"
    grace = 0.0

    def __init__(
        self,
        addresses: Sequence[str],
        token: Callable[[], str | None],
        hearing: Hearing,
        answers: Answers,
        clock: Clock,
        *,
        every: float = EVERY_SECONDS,
        patience: float = SECONDS,
        asking: Ask = ask_receiver,
        beside: Apart = apart,
    ) -> None:
        self._readers = []
        for address in addresses:
            line = _Line(address, token, patience, asking, beside)
            self._readers.append(_Reader(line, hearing, answers, clock))
        self._hearing, self._clock, self.every = hearing, clock, every
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Ask until ``stop``. Receivers are asked side by side: a slow one delays no other."""
        await self._devices_known()
        async with asyncio.TaskGroup() as readers:
            for reader in self._readers:
                readers.create_task(self._follow(reader))
            await self._stopped.wait()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    async def _devices_known(self) -> None:
        """Wait for the desired state: an event that is read before is of a device that nobody knows, and is lost."""
        until = self._clock.steady() + DEVICES_SECONDS
        while not self._hearing.knows_devices() and self._clock.steady() < until:
            if self._stopped.is_set():
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow(self, reader: _Reader) -> None:
        while not self._stopped.is_set():
            await reader.read()
            try:
                async with asyncio.timeout(self.every):
                    await self._stopped.wait()
            except TimeoutError:
                continue


@dataclass(frozen=True, slots=True)
class _Line:
    """The way to one receiver: where it is, and how it is asked."""

    address: str
    token: Callable[[], str | None]
    patience: float
    asking: Ask
    beside: Apart

    async def pages(self, place: Place) -> AsyncIterator[tuple[Place, list[Heard]]]:
        """Yield the events after a place page by page, each with the place where it ends; raises ``DaemonError``."""
        following = pages(self.address, self.token(), place, self.patience, self.asking)
        while (page := await self.beside(partial(next, following, None), "receiver")) is not None:
            yield page


class _Reader:
    """One receiver, and how far it was read."""

    def __init__(self, line: _Line, hearing: Hearing, shown: Answers, clock: Clock) -> None:
        self._line, self._address = line, line.address
        self._hearing, self._shown, self._clock = hearing, shown, clock
        self._place = Place()
        self._answers: bool | None = None
        self._origin = _Origin(line.address)

    async def read(self) -> None:
        """Take what is new."""
        try:
            async for place, events in self._line.pages(self._place):
                self._place = place
                joinable = self._hearing.knows_devices()
                known = await self._hearing.take(events)
                if joinable:
                    self._origin.note(place.spool, len(events), known)
        except ReconcilerError as error:
            self._note(error)
        else:
            self._note(None)
            self._shown.answered(self._address, self._clock.now().timestamp())

    def _note(self, error: ReconcilerError | None) -> None:
        """Write to the log when the receiver begins or ceases to answer, and only then."""
        answers = error is None
        if answers == self._answers:
            return
        if error is not None:
            log.warning("receiver.failed", receiver=self._address, error=str(error))
        elif self._answers is not None:
            log.info("receiver.answers", receiver=self._address)
        self._answers = answers


class _Origin:
    """Whether the events of one receiver are of this fleet. One known device shows that they are."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._spool = ""
        self._unknown = 0
        self._settled = False

    def note(self, spool: str, events: int, known: int) -> None:
        """Take what a page held. The line is written once; another spool is judged from the beginning."""
        if spool != self._spool:
            self._spool, self._unknown, self._settled = spool, 0, False
        if self._settled:
            return
        if known:
            self._settled = True
            return
        self._unknown += events
        if self._unknown >= FOREIGN_EVENTS:
            self._settled = True
            log.warning("receiver.foreign", receiver=self._address, events=self._unknown)
