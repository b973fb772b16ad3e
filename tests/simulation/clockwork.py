"""Time that leaps: an event loop that never waits, a machine's clock that can be set wrong, and its ticker.

Owns: virtual time. Must not: know what runs on it.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import selectors
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

SLOWEST_THREAD_SECONDS = 0.02
"""Work that the program hands to a worker thread is done at a moment picked from so many seconds."""
HOT = 200_000
"""So many turns of the loop without time going on are a loop that will never end."""

Result = TypeVar("Result")


class Stuck(Exception):
    """Nothing will ever happen again, or the same things happen again and again in no time."""


class _Leap(selectors.BaseSelector):
    """Stands in for the wait for sockets: there are none, so time goes on to whatever is due next."""

    def __init__(self) -> None:
        self.leap: Callable[[float | None], None] = lambda _timeout: None
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.leap(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. ``time`` is in seconds since the run began."""

    def __init__(self, random: Random) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self._leap.leap = self._go_on
        self._virtual = 0.0
        self._turns = 0
        self._random = random
        self.tickers: list[Ticker] = []

    def time(self) -> float:
        """Return virtual seconds."""
        return self._virtual

    def run_in_executor(  # type: ignore[override]  # the real one takes any executor; here there is none
        self, _executor: object, func: Callable[..., Result], *arguments: Any
    ) -> asyncio.Future[Result]:
        """Do a thread's work at once, at a moment that is a little later."""
        done: asyncio.Future[Result] = self.create_future()

        def work() -> None:
            if done.cancelled():  # a thread that has begun would go on, but one that never began does not
                return
            try:
                done.set_result(func(*arguments))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
                done.set_exception(error)

        self.call_later(self._random.random() * SLOWEST_THREAD_SECONDS, work)
        return done

    def _go_on(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            self._turns += 1
            if self._turns > HOT:
                raise Stuck(f"the loop turned {HOT} times in no time")
            return
        self._turns = 0
        moment = math.inf if timeout is None else self._virtual + timeout
        for ticker in self.tickers:
            moment = min(moment, ticker.next_moment())
        if moment == math.inf:
            raise Stuck("nothing will ever happen again")
        self._virtual = max(moment, self._virtual)
        for ticker in self.tickers:
            ticker.tick()


class MachineClock:
    """The clock of the machine on which the daemon runs: it may be wrong, and it may be set.

    ``start`` is when the run begins.
    """

    def __init__(self, loop: VirtualLoop, start: datetime) -> None:
        self.start = start
        self._loop = loop
        self._wrong = timedelta(0)

    def now(self) -> datetime:
        """Return wall time as the machine has it."""
        return self.start + timedelta(seconds=self._loop.time()) + self._wrong

    def steady(self) -> float:
        """Return seconds that never jump."""
        return self._loop.time()

    def seconds(self) -> float:
        """Return wall time in epoch seconds."""
        return self.now().timestamp()

    def set_by(self, span: timedelta) -> None:
        """Let the clock jump."""
        self._wrong += span


class Ticker:
    """Calls what the daemon wants called regularly; in between, time leaps over moments at which nothing would come.

    The shortest of the intervals is that of the daemon's queue, so it is called when ``due`` says that something is
    due there. All are called at their own pace while ``busy``, and else every now and then.
    """

    SELDOM = 60.0
    """Seconds after which everything is called in any case."""

    def __init__(self, loop: VirtualLoop, due: Callable[[], float | None], busy: Callable[[], bool]) -> None:
        self._loop = loop
        self._due = due
        self._busy = busy
        self._jobs: list[tuple[float, Callable[[], object], contextvars.Context]] = []
        self._last: list[float] = []
        self._shortest = self._next = math.inf
        loop.tickers.append(self)

    def every(self, seconds: float, call: Callable[[], object]) -> None:
        """Call ``call`` every so many seconds until ``stop``."""
        self._last.append(self._loop.time())
        self._jobs.append((seconds, call, contextvars.copy_context()))
        self._shortest = min(self._shortest, seconds)

    def stop(self) -> None:
        """Call nothing any more."""
        if self in self._loop.tickers:
            self._loop.tickers.remove(self)

    def next_moment(self) -> float:
        """Return when something is to be called."""
        self._next = min(self._moments(), default=math.inf)
        return self._next

    def tick(self) -> None:
        """Call what is to be called now."""
        now = self._loop.time()
        if now < self._next:
            return
        for number, moment in enumerate(self._moments()):
            if moment <= now:
                self._last[number] = now
                _, call, context = self._jobs[number]
                self._loop.call_soon(call, context=context)

    def _moments(self) -> list[float]:
        busy = self._busy()
        return [self._moment(seconds, last, busy) for (seconds, _, _), last in zip(self._jobs, self._last, strict=True)]

    def _moment(self, seconds: float, last: float, busy: bool) -> float:  # noqa: FBT001 - one of three facts
        if busy:
            return last + seconds
        if seconds != self._shortest:
            return last + max(seconds, 5 * self.SELDOM)
        due = self._due()
        seldom = last + max(seconds, self.SELDOM)
        return seldom if due is None else min(seldom, max(last + seconds, math.ceil(due / seconds) * seconds))
