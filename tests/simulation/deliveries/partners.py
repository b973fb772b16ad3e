"""The partner's systems: each works for a while, and then in one of many ways does not.

Owns: what a sink answers at a moment, and what it saw. Must not: know what delivery should do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from random import Random

from reconciler.events.model import Result
from reconciler.events.sinks.port import Handed

LATENESS_SECONDS = 0.5
ODDS_OF_NEVER = 0.02
"""Of this share of events a sink says that it never takes them."""
ODDS_OF_BAD = 0.01
"""This share of events makes a sink fail each time."""


class Mode(StrEnum):
    """How a sink does for a while."""

    WORKS = "works"
    SLOW = "slow"
    DOWN = "down"
    HANGS = "hangs"
    REFUSES = "refuses"
    LOADED = "loaded"
    FLAPS = "flaps"
    FORGETS = "forgets"
    """It takes the event, and its answer is lost."""
    ODD = "odd"
    """Handing over raises what nobody expects."""


@dataclass(slots=True)
class Tried:
    """One attempt as the sink saw it. ``answer`` is None while it is open, or where none was given."""

    began: float
    id: str
    device: str | None
    mode: Mode
    life: int
    ended: float | None = None
    answer: Handed | None = None
    taken: bool = False


@dataclass
class Partner:
    """One system of the partner's. ``life`` is the number of the process that delivers now."""

    name: str
    random: Random
    now: Callable[[], float]
    mode: Mode = Mode.WORKS
    life: int = 0
    tried: list[Tried] = field(default_factory=list)
    open_now: int = 0
    calm: bool = False
    """Everything is taken from here on, but for what is never taken."""

    def change(self) -> None:
        """Do otherwise from now on."""
        usual = [Mode.WORKS] * 4
        self.mode = self.random.choice([*usual, *Mode])

    def never_takes(self, id: str) -> bool:  # noqa: A002 - the interface's word
        """Say whether this event is one that it refuses for good."""
        return self._share(id, "never") < ODDS_OF_NEVER

    async def take(self, id: str, body: bytes) -> Handed:  # noqa: A002 - the interface's word
        """Take or refuse one event."""
        event = json.loads(body)
        assert event["id"] == id
        tried = Tried(self.now(), id, event.get("subject"), self.mode, self.life)
        self.tried.append(tried)
        self.open_now += 1
        try:
            tried.answer = await self._answer(tried)
            return tried.answer
        finally:
            tried.ended = self.now()
            self.open_now -= 1

    async def _answer(self, tried: Tried) -> Handed:
        seconds = self.random.random() * LATENESS_SECONDS
        await asyncio.sleep(seconds * 20 if tried.mode is Mode.SLOW else seconds)
        if tried.mode is Mode.HANGS:
            await asyncio.sleep(1e6)
        if tried.mode is Mode.ODD:
            raise RuntimeError("odd")
        failure = self._failure(tried.mode)
        if failure is not None:
            return failure
        if self.never_takes(tried.id):
            return Handed(Result.DEAD, 422, "HTTP 422")
        if not self.calm and self._share(tried.id, "bad") < ODDS_OF_BAD:
            return Handed(Result.RETRY, 500, "HTTP 500")
        tried.taken = True
        if tried.mode is Mode.FORGETS:
            return Handed(Result.RETRY, None, "no answer")
        return Handed(Result.DELIVERED, 200)

    def _failure(self, mode: Mode) -> Handed | None:
        if mode is Mode.DOWN or (mode is Mode.FLAPS and self.random.random() < 0.5):
            return Handed(Result.RETRY, 503, "HTTP 503")
        if mode is Mode.REFUSES:
            return Handed(Result.RETRY, self.random.choice([401, 403, 410]), refused=True)
        if mode is Mode.LOADED and self.random.random() < 0.8:
            wait = timedelta(seconds=self.random.choice([1, 60, 600, 7200]))
            return Handed(Result.RETRY, self.random.choice([429, 503]), wait=wait)
        return None

    def _share(self, id: str, what: str) -> float:  # noqa: A002 - the interface's word
        """Return a number from 0 to 1 that is always the same for an event."""
        return Random(f"{self.name} {what} {id}").random()  # noqa: S311 - repeatable


@dataclass
class Opened:
    """A sink as delivery holds it: a way to a partner, until it is closed."""

    name: str
    partner: Partner
    closed: bool = False

    async def hand_over(self, id: str, body: bytes) -> Handed:  # noqa: A002 - the interface's word
        """Pass an event on."""
        assert not self.closed
        return await self.partner.take(id, body)

    async def close(self) -> None:
        """Pass nothing on any more."""
        self.closed = True
