"""Time that leaps: an event loop that never waits, and a machine's clock that can be set wrong.

Owns: virtual time. Must not: know what runs on it.

The daemon's ticker is the real one, APScheduler with its jobs. It asks the machine for the wall time, and the loop for
a call some time later. Only that wait differs: the loop leaps over ticks at which nothing would come.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import selectors
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from importlib import import_module
from random import Random
from typing import Any, TypeVar

from apscheduler.schedulers.base import BaseScheduler

SLOWEST_THREAD_SECONDS = 0.02
"""Work that the program hands to a worker thread is done at a moment picked from so many seconds."""
SHORTEST_WAIT_SECONDS = 0.001
"""A scheduler waits for at least so long: what a thread takes to come back, and more than a rounding error."""
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
        key = selectors.SelectorKey(
            fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, data
        )
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.leap(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class Wait:
    """A scheduler's wait for its next tick, which may last longer than it asked for."""

    def __init__(
        self, loop: VirtualLoop, since: float, seconds: float, call: Callable[[], object]
    ) -> None:
        self.since = since
        self.seconds = seconds
        self._loop = loop
        self._call = call
        self._context = contextvars.copy_context()

    def cancel(self) -> None:
        """Wait no more."""
        if self in self._loop.waits:
            self._loop.waits.remove(self)

    def over(self) -> None:
        """Let the scheduler look for what is due."""
        self.cancel()
        self._loop.call_soon(self._call, context=self._context)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. ``time`` is in seconds since the run began.

    ``due`` tells when something is due that a tick would notice, and ``busy`` whether every tick matters. The work of a
    thread takes at most ``thread_seconds``.
    """

    SELDOM = 120.0
    """Seconds after which a scheduler ticks in any case."""

    def __init__(self, random: Random) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self._leap.leap = self._go_on
        self._virtual = 0.0
        self._turns = 0
        self._random = random
        self.thread_seconds = SLOWEST_THREAD_SECONDS
        self.waits: list[Wait] = []
        self.due: Callable[[], float | None] = lambda: None
        self.busy: Callable[[], bool] = lambda: False

    def time(self) -> float:
        """Return virtual seconds."""
        return self._virtual

    def call_later(  # type: ignore[override]  # of a scheduler it is a wait that may be cancelled, and no more
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle | Wait:
        """Call something some time later; a scheduler when it can matter."""
        if not isinstance(getattr(callback, "__self__", None), BaseScheduler):
            return super().call_later(delay, callback, *args, context=context)
        wait = Wait(self, self._virtual, max(delay, SHORTEST_WAIT_SECONDS), callback)
        self.waits.append(wait)
        return wait

    def _write_to_self(self) -> None:
        """Wake nobody: there is no other thread."""

    def run_in_executor(  # type: ignore[override]  # the real one takes any executor; here there is none
        self, _executor: object, func: Callable[..., Result], *arguments: Any
    ) -> asyncio.Future[Result]:
        """Do a thread's work at once, at a moment that is a little later."""
        done: asyncio.Future[Result] = self.create_future()

        def work() -> None:
            if (
                done.cancelled()
            ):  # a thread that has begun would go on, but one that never began does not
                return
            try:
                done.set_result(func(*arguments))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
                done.set_exception(error)

        self.call_later(self._random.random() * self.slowest_thread(), work)
        return done

    def slowest_thread(self) -> float:
        """Return how many seconds the work of a thread takes at most."""
        return self.thread_seconds

    def _go_on(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            self._count_turn()
            return
        moment, due, busy = (
            math.inf if timeout is None else self._virtual + timeout,
            self.due(),
            self.busy(),
        )
        moment = min((moment, *(self._ends(wait, due, busy=busy) for wait in self.waits)))
        if moment == math.inf:
            raise Stuck("nothing will ever happen again")
        if moment > self._virtual:
            self._virtual, self._turns = moment, 0
        else:
            self._count_turn()
        for wait in [one for one in self.waits if self._ends(one, due, busy=busy) <= moment]:
            wait.over()

    def _count_turn(self) -> None:
        self._turns += 1
        if self._turns > HOT:
            raise Stuck(f"the loop turned {HOT} times in no time")

    def _ends(self, wait: Wait, due: float | None, *, busy: bool) -> float:
        """Return when a scheduler is to tick: as it asked for, or as many ticks later as nothing would come of them."""
        asked = wait.since + wait.seconds
        if busy or wait.seconds > self.SELDOM:
            return asked
        seldom = max(asked, wait.since + self.SELDOM)
        if due is None:
            return seldom
        ticks = math.ceil((due - wait.since) / wait.seconds)
        return min(seldom, wait.since + max(ticks, 1) * wait.seconds)


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

    def true(self) -> datetime:
        """Return the time as it is, which LG has."""
        return self.start + timedelta(seconds=self._loop.time())

    @property
    def wrong(self) -> timedelta:
        """Return by how much the machine is ahead of the time as it is."""
        return self._wrong

    def steady(self) -> float:
        """Return seconds that never jump."""
        return self._loop.time()

    def seconds(self) -> float:
        """Return wall time in epoch seconds."""
        return self.now().timestamp()

    def set_by(self, span: timedelta) -> None:
        """Let the clock jump."""
        self._wrong += span


MACHINE: contextvars.ContextVar[MachineClock] = contextvars.ContextVar("machine")
"""The clock of the machine on which a piece of work runs."""


class _WallClock(datetime):
    """What APScheduler asks for the time: the machine's clock in a run, and the real one elsewhere."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain one, as others compare it
        clock = MACHINE.get(None)
        return datetime.now(tz) if clock is None else clock.now().astimezone(tz)


for _module in (
    "apscheduler.schedulers.base",
    "apscheduler.triggers.interval",
    "reconciler.runtime.ticker",
):
    import_module(_module).datetime = _WallClock  # type: ignore[attr-defined]  # there is no other way to tell it the time
