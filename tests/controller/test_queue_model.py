"""The queue beside plain lists: who begins when, in which order, and what is reported about accounts that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.controller.queue import AFTER_A_DEFECT, Queue
from reconciler.core.model import AccountName
from simulated import SimulatedClock

ACCOUNTS = [AccountName(name) for name in "abcd"]
WORKERS, AILING_WORKERS = 2, 1
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)

accounts = st.sampled_from(ACCOUNTS)
several = st.lists(accounts, min_size=1, unique=True)


class Queueing(RuleBasedStateMachine):
    """Four accounts and two workers; passes end when a rule says so, and LG answers every call at once."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.loop = SimulatedClock(), asyncio.Runner()
        self.begun: list[AccountName] = []
        self.ends: dict[AccountName, asyncio.Future[timedelta | None]] = {}
        self.ailing: set[AccountName] = set()
        self.queue = Queue(
            self.make_pass,
            workers=WORKERS,
            clock=self.clock,
            degraded=self.ailing.__contains__,
            heard_at=lambda _account: self.clock.steady(),
        )
        self.first: dict[AccountName, float] = {}
        self.routine: dict[AccountName, float] = {}
        self.due: dict[AccountName, float] = {}
        self.working: dict[AccountName, bool] = {}
        """The accounts under way, and whether each was ailing when it began."""
        self.again: dict[AccountName, bool] = {}
        self.expected: list[AccountName] = []
        self.loop.run(self.start())

    async def start(self) -> None:
        """Let the workers begin."""
        self.running = asyncio.create_task(self.queue.run())
        await self.settle()

    def teardown(self) -> None:
        """Let all end."""
        self.loop.run(self.stop())
        self.loop.close()

    async def stop(self) -> None:
        """End what is under way; nothing else begins."""
        self.queue.stop()
        for end in self.ends.values():
            end.set_result(None)
        await self.running

    async def settle(self) -> None:
        """Let everything go on that can."""
        for _ in range(12):
            await asyncio.sleep(0)

    async def make_pass(self, account: AccountName) -> timedelta | None:
        """Make a pass, which lasts until a rule ends it."""
        assert account not in self.ends
        self.begun.append(account)
        self.ends[account] = asyncio.get_running_loop().create_future()
        try:
            return await self.ends[account]
        finally:
            del self.ends[account]

    # -- what happens

    @rule(waking=several, first=st.booleans())
    def wake(self, waking: Sequence[AccountName], first: bool) -> None:  # noqa: FBT001 - a rule's parameter
        """Ask for passes."""
        self.queue.wake(iter(waking), first=first)
        self.ask(waking, first=first)
        self.go_on()

    @rule(dropped=several)
    def drop(self, dropped: Sequence[AccountName]) -> None:
        """Let another replica work on accounts."""
        self.queue.drop(iter(dropped))
        for account in dropped:
            for waiting in (self.first, self.routine, self.due, self.again):
                waiting.pop(account, None)
        self.go_on()

    @rule(account=accounts)
    def ail_or_recover(self, account: AccountName) -> None:
        """Let LG fail an account, or answer it again; something else wakes the workers then."""
        self.ailing ^= {account}
        self.queue.wake([])
        self.go_on()

    @rule(seconds=st.sampled_from([1, 10, 59, 60]))
    def wait(self, seconds: int) -> None:
        """Let time pass, without a tick."""
        self.clock.pass_by(timedelta(seconds=seconds))

    @rule()
    def tick(self) -> None:
        """Queue who is due, the earliest first."""
        self.queue.tick()
        now = self.clock.steady()
        for at, account in sorted((at, account) for account, at in self.due.items() if at <= now):
            del self.due[account]
            assert at <= now
            self.ask([account], first=False)
        self.go_on()

    @precondition(lambda self: self.working)
    @rule(number=st.integers(0, 1), seconds=st.sampled_from([None, -1, 0, 10, 60, "a defect"]))
    def end(self, number: int, seconds: int | str | None) -> None:
        """End a pass: never due again, at once, later, or with an error of ours."""
        account = list(self.working)[number % len(self.working)]
        if isinstance(seconds, str):
            self.ends[account].set_exception(RuntimeError(seconds))
            due: timedelta | None = AFTER_A_DEFECT
        else:
            due = None if seconds is None else timedelta(seconds=seconds)
            self.ends[account].set_result(due)
        del self.working[account]
        again = self.again.pop(account, None)
        if again is not None:
            self.ask([account], first=again)
        elif due is not None and due <= timedelta(0):
            self.ask([account], first=True)
        elif due is not None:
            self.due[account] = self.clock.steady() + due.total_seconds()
        self.go_on()

    # -- the plain rules

    def ask(self, waking: Sequence[AccountName], *, first: bool) -> None:
        """Put accounts into their queue: into the one of edits those that were edited, wherever they were."""
        now = self.clock.steady()
        for account in waking:
            if account in self.working:
                self.again[account] = first or self.again.get(account, False)
            elif account in self.first:
                continue
            elif first:
                self.first[account] = self.routine.pop(account, now)
            elif account not in self.routine:
                self.routine[account] = now

    def go_on(self) -> None:
        """Let idle workers take who is next; ailing accounts have one worker."""
        while len(self.working) < WORKERS:
            is_room = sum(self.working.values()) < AILING_WORKERS
            able = [
                account
                for account in (*self.first, *self.routine)
                if is_room or account not in self.ailing
            ]
            if not able:
                break
            self.first.pop(able[0], None)
            self.routine.pop(able[0], None)
            self.due.pop(able[0], None)
            self.working[able[0]] = able[0] in self.ailing
            self.expected.append(able[0])
        self.loop.run(self.settle())

    @invariant()
    def passes_began_as_they_should(self) -> None:
        """See that nobody waits for nothing, goes before others, or has two passes at a time."""
        assert self.begun == self.expected
        assert set(self.queue.under_way) == set(self.working) == set(self.ends)

    @invariant()
    def what_is_told_of_who_waits_is_so(self) -> None:
        """See when each account is due, how many wait, and for how long."""
        now = self.clock.steady()
        expected = {account: max(at - now, 0.0) for account, at in self.due.items()}
        expected |= dict.fromkeys((*self.first, *self.routine, *self.working), 0.0)
        assert {one: self.queue.next_due(one) for one in ACCOUNTS} == {
            one: expected.get(one) for one in ACCOUNTS
        }
        assert dict(self.queue.timetable(NOW)) == {
            account: NOW + timedelta(seconds=seconds) for account, seconds in expected.items()
        }
        assert self.queue.depth == len(self.first) + len(self.routine)
        since = [*self.first.values(), *self.routine.values(), *self.due.values()]
        assert self.queue.oldest == max(now - min(since, default=now), 0.0)


TestQueueing = Queueing.TestCase
TestQueueing.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
