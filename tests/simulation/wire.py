"""The wire between the daemon and LG: requests travel, arrive late, get lost, and so do answers.

Owns: when a request reaches LG and when its answer comes back, if they do. A request that was sent reaches LG whatever
becomes of its sender: a time-out or a kill does not call it back. Must not: judge a request or an answer; whoever is
told of them does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

import httpx
import structlog

from reconciler.simulator import Answer, Platform, Request
from simulation.answers import Between, Flood
from simulation.clockwork import VirtualLoop


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One request on its way. ``account`` is the one whose pass made it, as its log lines say.

    ``sender`` is the process that sent it, where there are several.
    """

    number: int
    account: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    sender: str = ""

    @property
    def token(self) -> str:
        """Return the user's token."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class Listener(Protocol):
    """Hears of every call, at each of its stations."""

    def sent(self, call: Call) -> None:
        """Hear of a request that leaves the daemon."""

    def done_at_platform(self, call: Call, answer: Answer, *, changed: bool) -> None:
        """Hear of a request that LG has dealt with, and whether that changed a subscription."""

    def delivered(self, call: Call, answer: Answer) -> None:
        """Hear of an answer that reached the daemon."""

    def flooded(self, call: Call, taken: int) -> bool:
        """Hear how much of an answer without an end was taken; say whether more of it may come."""

    def lost(self, call: Call) -> None:
        """Hear of a request for which the daemon got no answer."""


@dataclass(slots=True)
class Weather:
    """What becomes of requests. ``cut``: no connection can be made. ``slow`` of them take ``slow_seconds`` more.

    ``between`` is what may change an answer on its way, ``way_seconds`` how long each way takes.
    """

    between: Between
    way_seconds: tuple[float, float] = (0.01, 0.2)
    cut: bool = False
    slow: float = 0.0
    slow_seconds: float = 30.0


class Wire(httpx.AsyncBaseTransport):
    """What one process of the daemon sends its requests over."""

    def __init__(
        self,
        loop: VirtualLoop,
        platform: Platform,
        weather: Weather,
        random: Random,
        listener: Listener,
        sender: str = "",
    ) -> None:
        self._sender = sender
        self._loop = loop
        self._platform = platform
        self._weather = weather
        self._random = random
        self._listener = listener
        self._count = 0
        self._floods: dict[Call, str] = {}
        self.severed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and wait for its answer."""
        if self.severed:  # the process was killed: whatever it still does, nobody hears of it
            raise httpx.ConnectError("killed", request=request)
        self._count += 1
        call = Call(
            self._count,
            str(structlog.contextvars.get_contextvars().get("account", "")),
            request.method,
            request.url.raw_path.decode(),
            {name.lower(): value for name, value in request.headers.items()},
            await request.aread(),
            self._loop.time(),
            self._sender,
        )
        self._listener.sent(call)
        try:
            answer = await self._round_trip(call)
        except BaseException:
            if not self.severed:
                self._listener.lost(call)
            raise
        if not self.severed:
            self._listener.delivered(call, answer)
        flood = self._floods.pop(call, "")
        if flood:
            stream = Flood(flood, lambda taken: self.severed or self._listener.flooded(call, taken))
            return httpx.Response(
                answer.status, headers=[*answer.headers, *stream.headers], stream=stream
            )
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)

    async def _round_trip(self, call: Call) -> Answer:
        answered: asyncio.Future[Answer] = self._loop.create_future()
        if self._weather.cut:
            await asyncio.sleep(self._random.uniform(*self._weather.way_seconds))
            raise httpx.ConnectError("connection refused")
        late = (
            self._random.random() * self._weather.slow_seconds
            if self._random.random() < self._weather.slow
            else 0.0
        )
        self._loop.call_later(
            self._random.uniform(*self._weather.way_seconds) + late, self._arrive, call, answered
        )
        return await answered

    def _arrive(self, call: Call, answered: asyncio.Future[Answer]) -> None:
        before = self._platform.world.changes
        answer = self._platform.handle(
            Request(call.method, call.path, dict(call.headers), call.body)
        )
        self._listener.done_at_platform(
            call, answer, changed=self._platform.world.changes != before
        )
        if call.path == "/pcc" and not answer.never and not answer.drop:
            answer, flood = self._weather.between.pass_on(call, answer)
            if flood:
                self._floods[call] = flood
        if not answer.never:
            back = self._random.uniform(*self._weather.way_seconds) + answer.delay_seconds
            self._loop.call_later(back, _come_back, answer, answered)


def _come_back(answer: Answer, answered: asyncio.Future[Answer]) -> None:
    if answered.done():  # nobody waits for it any more
        return
    if answer.drop:
        answered.set_exception(httpx.ReadError("connection lost"))
    else:
        answered.set_result(answer)
