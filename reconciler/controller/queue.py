"""When which account gets a pass.

Owns: the queue of account names, the one heap of due times, and the workers. It knows names and moments only.
Must not: make a pass itself, read the wall clock, or remember why an account was woken.

Level-triggered: a wake carries only a name, so several wakes make one pass. Passes of one account never overlap; a wake
that comes during a pass leads to one more right after it. Accounts woken by a person's edit go before routine ones, and
routine passes do not begin while an edit is read: beside thousands of passes a reading would take seconds.

A pass may wait in vain for LG, as long as a call may take. Accounts that LG did not answer the last time take at most
half of the workers, so the others do not wait behind them. Nobody knows beforehand which account begins to wait in
vain. If one has waited for long, a spare worker takes its worker's place until it is done.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog

from reconciler.core.clock import Clock
from reconciler.core.model import AccountName

log = structlog.get_logger()

Work = Callable[[AccountName], Awaitable[timedelta | None]]
"""Makes one pass of an account and returns in how long it is due again, or None when it has left."""

AFTER_A_DEFECT = timedelta(minutes=1)
"""A pass that ended in an error of ours is due again after this long."""

LONGEST_QUIET = 1.0
"""Seconds that routine passes wait while an edit is read. After that they run for at least as long."""


SILENT_SECONDS = 2.0
"""A pass whose call takes longer counts as waiting for LG."""

SPARES = 3
"""The most spare workers for each worker; each holds the memory of one pass."""


class Timetable(Mapping[AccountName, datetime]):
    """When each account is due. ``waiting`` are due at once, ``due`` is in seconds of the clock that was at ``steady``.

    A moment is made when it is asked for: of 10,000 accounts a page shows a few.
    """

    def __init__(
        self,
        waiting: frozenset[AccountName],
        due: Mapping[AccountName, float],
        now: datetime,
        steady: float,
    ) -> None:
        self._waiting, self._due, self._now, self._steady = waiting, due, now, steady

    def __getitem__(self, account: AccountName) -> datetime:
        if account in self._waiting:
            return self._now
        return self._now + timedelta(seconds=max(self._due[account] - self._steady, 0.0))

    def __iter__(self) -> Iterator[AccountName]:
        return iter(self._waiting | self._due.keys())

    def __len__(self) -> int:
        return len(self._waiting | self._due.keys())


class Queue:
    """The queue, the heap and the workers.

    ``degraded`` says whether LG failed an account at its last pass, ``heard_at`` when its last call ended, in steady
    seconds.
    """

    def __init__(
        self,
        work: Work,
        *,
        workers: int,
        clock: Clock,
        degraded: Callable[[AccountName], bool] = lambda _account: False,
        heard_at: Callable[[AccountName], float | None] = lambda _account: None,
    ) -> None:
        self._work = work
        self._count = workers
        self._degraded = degraded
        self._heard_at = heard_at
        self._clock = clock
        self._due: dict[AccountName, float] = {}
        self._heap: list[tuple[float, AccountName]] = []
        self._first: dict[AccountName, float] = {}
        self._routine: dict[AccountName, float] = {}
        self._working: dict[AccountName, float] = {}
        self._in_doubt: set[AccountName] = set()
        self._again: dict[AccountName, bool] = {}
        self._something = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._spares = 0
        self._quiet, self._not_quiet_before = False, 0.0
        self._stopping = False
        self.last_ended = self._clock.steady()

    def wake(self, accounts: Iterable[AccountName], *, first: bool = False) -> None:
        """Ask for a pass of each account soon; ``first`` puts them before routine ones."""
        now = self._clock.steady()
        for account in accounts:
            if account in self._working:
                self._again[account] = first or self._again.get(account, False)
            elif first:
                self._first.setdefault(account, self._routine.pop(account, now))
            elif account not in self._first:
                self._routine.setdefault(account, now)
        self._something.set()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Begin no routine pass in this block, which reads an edit, unless it lasts."""
        began = self._clock.steady()
        if self._quiet or began < self._not_quiet_before:
            yield
            return
        self._quiet = True
        too_long = asyncio.get_running_loop().call_later(LONGEST_QUIET, self._no_more_quiet)
        try:
            yield
        finally:
            too_long.cancel()
            lasted = min(self._clock.steady() - began, LONGEST_QUIET)
            self._not_quiet_before = began + 2 * lasted
            self._no_more_quiet()

    def _no_more_quiet(self) -> None:
        self._quiet = False
        self._something.set()

    def drop(self, accounts: Iterable[AccountName]) -> None:
        """Forget accounts that another replica works on. A pass under way ends on its own."""
        for account in accounts:
            for waiting in (self._due, self._first, self._routine, self._again):
                waiting.pop(account, None)

    def tick(self) -> None:
        """Queue the accounts whose time has come."""
        now = self._clock.steady()
        while self._heap and self._heap[0][0] <= now:
            due, account = heapq.heappop(self._heap)
            if self._due.get(account) == due:  # else it was put off or brought forward meanwhile
                del self._due[account]
                self.wake([account])
        self._relieve()

    def next_due(self, account: AccountName) -> float | None:
        """Return in how many seconds an account is due; 0 where it waits or works already."""
        if account in self._first or account in self._routine or account in self._working:
            return 0.0
        due = self._due.get(account)
        return None if due is None else max(due - self._clock.steady(), 0.0)

    def timetable(self, now: datetime) -> Timetable:
        """Return when each account is due, by what is known now. It may be looked at from another thread."""
        waiting = frozenset((*self._first, *self._routine, *self._working))
        return Timetable(waiting, self._due.copy(), now, self._clock.steady())

    @property
    def depth(self) -> int:
        """Count the accounts that wait for a worker."""
        return len(self._first) + len(self._routine)

    @property
    def oldest(self) -> float:
        """Return for how many seconds the longest of them waits, or an account that is due and that no tick queued yet.

        It may be asked for from another thread.
        """
        queued = [*self._first.copy().values(), *self._routine.copy().values()]
        began = min([*queued, *self._due.copy().values()], default=math.inf)
        return max(self._clock.steady() - began, 0.0)

    @property
    def under_way(self) -> Mapping[AccountName, float]:
        """Return the accounts whose pass is under way, and when it began."""
        return self._working

    async def run(self) -> None:
        """Work until ``stop``; every pass that was begun is brought to its end."""
        async with asyncio.TaskGroup() as workers:
            self._group = workers
            for number in range(self._count):
                workers.create_task(self._worker(), name=f"worker-{number}")

    def stop(self) -> None:
        """Begin no further pass."""
        self._stopping = True
        self._something.set()

    async def _worker(self) -> None:
        while True:
            account = await self._next()
            if account is None:
                return
            await self._one(account)

    async def _one(self, account: AccountName) -> None:
        """Make one pass of an account that was taken, and say when the next is due."""
        try:
            due = await self._guarded(account)
        finally:
            del self._working[account]
            self._in_doubt.discard(account)
            self.last_ended = self._clock.steady()
        again = self._again.pop(account, None)
        if again is not None:
            self.wake([account], first=again)
        elif due is not None:
            self._schedule(account, due)

    def _relieve(self) -> None:
        """Let spare workers begin, one for each that waits for LG in vain, while accounts wait for a worker."""
        while (
            self._group is not None
            and self._may_be_relieved()
            and (account := self._take()) is not None
        ):
            self._spares += 1
            self._group.create_task(self._spare(account), name=f"spare-worker-{account}")

    def _may_be_relieved(self) -> bool:
        if (
            self._stopping
            or self._spares >= SPARES * self._count
            or not (self._first or self._routine)
        ):
            return False
        now = self._clock.steady()
        heard = (
            max(began, self._heard_at(account) or began) for account, began in self._working.items()
        )
        return self._spares < sum(now - moment > SILENT_SECONDS for moment in heard)

    async def _spare(self, account: AccountName | None) -> None:
        """Work in the place of a worker that waits, for as long as there is one."""
        try:
            while account is not None:
                await self._one(account)
                self._spares -= 1
                account = self._take() if self._may_be_relieved() else None
                self._spares += 1
        finally:
            self._spares -= 1

    async def _next(self) -> AccountName | None:
        while not self._stopping:
            account = self._take()
            if account is not None:
                return account
            self._something.clear()
            await self._something.wait()
        return None

    def _take(self) -> AccountName | None:
        """Take the first account out of the queue that may begin now."""
        for queue in (self._first,) if self._quiet else (self._first, self._routine):
            account = next(filter(self._may_begin, queue), None)
            if account is not None:
                del queue[account]
                self._due.pop(account, None)
                self._working[account] = self._clock.steady()
                if self._degraded(account):
                    self._in_doubt.add(account)
                return account
        return None

    def _may_begin(self, account: AccountName) -> bool:
        return len(self._in_doubt) < max(self._count // 2, 1) or not self._degraded(account)

    async def _guarded(self, account: AccountName) -> timedelta | None:
        """Make one pass; a defect of ours costs that pass, never the worker or another account."""
        try:
            return await self._work(account)
        except Exception:
            log.exception("pass.crashed", account=account)
            return AFTER_A_DEFECT

    def _schedule(self, account: AccountName, due: timedelta) -> None:
        if due <= timedelta(0):
            self.wake([account], first=True)
            return
        at = self._clock.steady() + due.total_seconds()
        self._due[account] = at
        heapq.heappush(self._heap, (at, account))
