"""Time that leaps although every replica renews its lease each second.

Owns: which of those seconds are lived through. Must not: know what a replica does in them.

While nothing is wrong and nothing is under way, one renewal is like the other: it makes the lease longer. So a replica
rests until shortly before something else happens. First all renew, and then all look at the tables, as they would have
done. Where something is wrong every second is lived through.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from random import Random
from types import TracebackType
from typing import Any

from reconciler.runtime.services import replica as service
from simulation.clockwork import Stuck
from simulation.replicas import BODY, Body, StoppableLoop

A_MOMENT = 1.0
"""What a replica asks for between two renewals, and between two looks at the tables."""
RENEWS_BEFORE, LOOKS_BEFORE = (1.1, 1.9), (0.2, 1.0)
"""Between so many seconds before anything else each replica renews its lease, and looks at the tables."""
LONGEST, LONGEST_AWAY, LONGEST_BESIDE_A_DEAD_ONE = 600.0, 10.0, 3.0
"""For so many seconds replicas rest at most: where nothing is wrong, while the database is away, and where somebody has
to be declared dead, which may not be late."""
SLOWEST = 3.0
"""What a statement of a slow database takes at most, in seconds."""


class Rest:
    """A replica waits for its next second. ``before``: how long before anything else it is over, at the earliest."""

    def __init__(
        self,
        loop: LeapingLoop,
        before: tuple[float, float],
        seconds: float,
        over: Callable[[], None],
    ) -> None:
        self.body: Body | None = BODY.get()
        self.since, self.seconds = loop.time(), seconds
        self.before = before[0] + (before[1] - before[0]) * loop.phase(self.body, before[0])
        self._loop, self._over = loop, over
        self._context = contextvars.copy_context()
        loop.rests.append(self)

    def end(self) -> None:
        """Wait no more."""
        if self in self._loop.rests:
            self._loop.rests.remove(self)

    def over(self) -> None:
        """Let the replica go on."""
        self.end()
        self._loop.call_soon(self._over, context=self._context)


class LeapingLoop(StoppableLoop):
    """A loop on which replicas rest. ``slow_bodies`` are the daemons for which every statement takes long."""

    SELDOM = 600.0

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.rests: list[Rest] = []
        self._alerts: list[tuple[float, float]] = []
        self.slow_bodies: set[Body] = set()
        self.longest: Callable[[], float] = float
        self._phases: dict[tuple[Body | None, float], float] = {}

    def alert(self, seconds: float, *, after: float = 0.0) -> None:
        """Live through every second for a while, from now on or some seconds later."""
        begin = self.time() + after
        self._alerts = [one for one in self._alerts if one[1] > self.time()]
        self._alerts.append((begin, begin + seconds))

    def phase(self, body: Body | None, what: float) -> float:
        """Return where in each second a replica does something, between 0 and 1."""
        if (body, what) not in self._phases:
            self._phases[body, what] = self._random.random()
        return self._phases[body, what]

    def slowest_thread(self) -> float:
        """Return how long the work of a thread takes at most: that of a slow replica is slow."""
        return SLOWEST if BODY.get() in self.slow_bodies else super().slowest_thread()

    def _go_on(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            self._count_turn()
            return
        timer = math.inf if timeout is None else self._virtual + timeout
        ticks = (one.since + one.seconds for one in self.waits)
        moments = (one.since + one.seconds for one in self.rests)
        asked = min(chain(ticks, moments), default=math.inf)
        if timer <= asked:
            self._leap_to(timer)
            return
        due, busy = self.due(), self.busy()
        waits = {wait: self._ends(wait, due, busy=busy) for wait in self.waits}
        others = min(timer, *waits.values(), math.inf)
        self.rests = [one for one in self.rests if one.body is None or not one.body.gone]
        longest = self.longest()
        rests = {rest: self._end_of(rest, others, longest) for rest in self.rests}
        self._leap_to(min(others, *rests.values(), math.inf))
        over = [wait.over for wait, end in waits.items() if end <= self._virtual]
        over += [rest.over for rest, end in rests.items() if end <= self._virtual]
        for go_on in over:
            go_on()

    def _leap_to(self, moment: float) -> None:
        if moment == math.inf:
            raise Stuck("nothing will ever happen again")
        if moment > self._virtual:
            self._virtual, self._turns = moment, 0
        else:
            self._count_turn()

    def _end_of(self, rest: Rest, others: float, longest: float) -> float:
        asked = rest.since + rest.seconds
        latest = min(others, rest.since + longest) - rest.before
        for begin, end in self._alerts:
            if asked < end:
                latest = min(latest, begin - rest.before)
        return max(asked, latest)


class _Patience:
    """A wait that ends in an error when the rest is over."""

    def __init__(self, loop: LeapingLoop, seconds: float) -> None:
        self._loop, self._seconds = loop, seconds
        self._timeout = asyncio.timeout(None)
        self._rest: Rest | None = None

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._rest = Rest(self._loop, LOOKS_BEFORE, self._seconds, self._end)

    def _end(self) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(self._loop.time())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._rest is not None
        self._rest.end()
        await self._timeout.__aexit__(kind, error, trace)


def _end(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


class _Asyncio:
    """What a replica asks to wait: on a loop that leaps it rests."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def sleep(self, seconds: float) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, LeapingLoop) or not 0 < seconds <= A_MOMENT:
            return asyncio.sleep(seconds)
        return self._rest(loop, seconds)

    async def _rest(self, loop: LeapingLoop, seconds: float) -> None:
        done: asyncio.Future[None] = loop.create_future()
        rest = Rest(loop, RENEWS_BEFORE, seconds, partial(_end, done))
        try:
            await done
        finally:
            rest.end()

    def timeout(self, seconds: float | None) -> Any:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, LeapingLoop) or seconds is None or seconds > A_MOMENT:
            return asyncio.timeout(seconds)
        return _Patience(loop, seconds)


service.asyncio = _Asyncio()  # type: ignore[assignment,attr-defined]  # there is no other way to tell which waits are those
