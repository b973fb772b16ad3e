"""The queue: who gets a pass when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from reconciler.controller.queue import AFTER_A_DEFECT, LONGEST_QUIET, Queue
from reconciler.core.model import AccountName
from simulated import SimulatedClock

A, B, C = AccountName("a"), AccountName("b"), AccountName("c")
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def due(controller: Queue, account: AccountName) -> float | None:
    """Return in how many seconds an account is due; None if it is not."""
    moment = controller.timetable(NOW).get(account)
    return None if moment is None else (moment - NOW).total_seconds()


class Passes:
    """Passes that note who had one, and wait where a test says so."""

    def __init__(self) -> None:
        self.begun: list[AccountName] = []
        self.under_way: Counter[AccountName] = Counter()
        self.overlapped = False
        self.gate: asyncio.Event | None = None
        self.due: dict[AccountName, timedelta | None] = {}

    async def __call__(self, account: AccountName) -> timedelta | None:
        """Make one pass."""
        self.begun.append(account)
        self.under_way[account] += 1
        self.overlapped |= self.under_way[account] > 1
        if self.gate is not None:
            await self.gate.wait()
        self.under_way[account] -= 1
        return self.due.get(account)


@asynccontextmanager
async def working(
    passes: Callable[[AccountName], Awaitable[timedelta | None]],
    *,
    workers: int = 1,
    degraded: Callable[[AccountName], bool] = lambda _account: False,
    heard_at: Callable[[AccountName], float | None] = lambda _account: None,
) -> AsyncIterator[tuple[Queue, SimulatedClock]]:
    """Run a controller for as long as the block lasts."""
    clock = SimulatedClock()
    controller = Queue(passes, workers=workers, clock=clock, degraded=degraded, heard_at=heard_at)
    task = asyncio.create_task(controller.run())
    yield controller, clock
    controller.stop()
    await task


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_wake_leads_to_one_pass() -> None:
    """Many wakes of one account before its pass are one pass."""
    passes = Passes()
    async with working(passes) as (controller, _):
        for _ in range(5):
            controller.wake([A])
        await settle()
    assert passes.begun == [A]


async def test_a_wake_during_a_pass_leads_to_exactly_one_more() -> None:
    """Passes of one account never overlap; what comes meanwhile is one more pass, however often it came."""
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes, workers=3) as (controller, _):
        controller.wake([A])
        await settle()
        for _ in range(4):
            controller.wake([A])
        await settle()
        assert passes.begun == [A]
        passes.gate.set()
        await settle()
    assert passes.begun == [A, A]
    assert not passes.overlapped


async def test_an_edited_account_goes_before_routine_ones() -> None:
    """An account with a new text does not wait behind a sweep."""
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes) as (controller, _):
        controller.wake([A])
        await settle()
        controller.wake([B])
        controller.wake([C], first=True)
        passes.gate.set()
        await settle()
    assert passes.begun == [A, C, B]


@pytest.mark.parametrize("wakes", [(True, True), (True, False), (False, True)])
async def test_an_account_that_is_edited_during_its_pass_keeps_its_place(
    wakes: tuple[bool, bool],
) -> None:
    """However often it is woken before or afterwards, its next pass comes before routine ones."""
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes) as (controller, _):
        controller.wake([A])
        await settle()
        controller.wake([B, C])
        for first in wakes:
            controller.wake([A], first=first)
        passes.gate.set()
        await settle()
    assert passes.begun == [A, A, B, C]


async def test_routine_passes_wait_while_an_edit_is_read() -> None:
    """In such a block only accounts that were edited get a pass; the others get theirs after it."""
    passes = Passes()
    async with working(passes) as (controller, _):
        with controller.quiet():
            controller.wake([A, B])
            controller.wake([C], first=True)
            await settle()
            assert passes.begun == [C]
        await settle()
        assert passes.begun == [C, A, B]


async def test_routine_passes_do_not_wait_for_a_reading_that_lasts() -> None:
    """After a while they begin beside it, whatever was read before."""
    passes = Passes()
    async with working(passes) as (controller, _):
        with controller.quiet():
            await asyncio.sleep(LONGEST_QUIET / 2)
        with controller.quiet():
            controller.wake([A])
            await asyncio.sleep(LONGEST_QUIET * 0.7)
            assert passes.begun == []
            await asyncio.sleep(LONGEST_QUIET * 0.4)
            assert passes.begun == [A]


async def test_routine_passes_get_as_much_time_as_readings() -> None:
    """Readings one after the other do not keep routine passes from ever beginning."""
    passes = Passes()
    async with working(passes) as (controller, clock):
        with controller.quiet():
            clock.pass_by(timedelta(seconds=LONGEST_QUIET / 2))
        clock.pass_by(timedelta(seconds=LONGEST_QUIET / 4))
        with controller.quiet():
            controller.wake([A])
            await settle()
        assert passes.begun == [A]
        clock.pass_by(timedelta(seconds=LONGEST_QUIET / 4))
        with controller.quiet():
            controller.wake([B])
            await settle()
            assert passes.begun == [A]
            clock.pass_by(timedelta(seconds=10 * LONGEST_QUIET))
        await settle()
        assert passes.begun == [A, B]
        clock.pass_by(timedelta(seconds=LONGEST_QUIET))
        with controller.quiet():
            controller.wake([C])
            await settle()
            assert passes.begun == [A, B]


async def test_a_routine_wake_of_an_edited_account_keeps_its_place() -> None:
    """A tick does not push an account that was brought forward back into the queue."""
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes) as (controller, _):
        controller.wake([A])
        await settle()
        controller.wake([B])
        controller.wake([C], first=True)
        controller.wake([C])
        assert controller.depth == 2
        passes.gate.set()
        await settle()
    assert passes.begun == [A, C, B]


async def test_the_timetable_is_that_of_its_moment() -> None:
    """Who reads the timetable finds every account at the moment it was asked for, whatever happens meanwhile."""
    passes = Passes()
    passes.due[A] = timedelta(seconds=10)
    async with working(passes) as (controller, clock):
        controller.wake([A])
        waiting = controller.timetable(NOW)
        await settle()
        resting = controller.timetable(NOW)
        clock.pass_by(timedelta(seconds=30))
        controller.tick()
        await settle()
        assert dict(waiting) == {A: NOW}
        assert dict(resting) == {A: NOW + timedelta(seconds=10)}
        assert B not in resting


async def test_an_account_comes_back_when_it_is_due() -> None:
    """A pass says when the account is due again; a tick at that time, not before, queues it."""
    passes = Passes()
    passes.due[A] = timedelta(seconds=10)
    async with working(passes) as (controller, clock):
        controller.wake([A])
        await settle()
        assert due(controller, A) == 10
        clock.pass_by(timedelta(seconds=9))
        controller.tick()
        await settle()
        assert passes.begun == [A]
        clock.pass_by(timedelta(seconds=1))
        controller.tick()
        await settle()
    assert passes.begun == [A, A]


async def test_a_wake_before_the_due_time_puts_it_off() -> None:
    """A pass in between makes the old due time void: it is the newest answer that counts."""
    passes = Passes()
    passes.due[A] = timedelta(seconds=10)
    async with working(passes) as (controller, clock):
        controller.wake([A])
        await settle()
        clock.pass_by(timedelta(seconds=6))
        controller.wake([A])
        await settle()
        clock.pass_by(timedelta(seconds=6))
        controller.tick()
        await settle()
        assert passes.begun == [A, A]
        clock.pass_by(timedelta(seconds=4))
        controller.tick()
        await settle()
    assert passes.begun == [A, A, A]


async def test_an_account_that_left_is_not_due_any_more() -> None:
    """A pass that says "never" leaves nothing behind."""
    passes = Passes()
    async with working(passes) as (controller, clock):
        controller.wake([A])
        await settle()
        assert due(controller, A) is None
        clock.pass_by(timedelta(days=1))
        controller.tick()
        await settle()
    assert passes.begun == [A]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("place", ["waits", "due later", "under way", "under way and woken"])
async def test_an_account_that_another_replica_works_on_has_no_further_pass(
    place: str, *, first: bool
) -> None:
    """Wherever it was when it was given away; another account that was there beside it stays."""
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes, workers=2) as (controller, clock):
        if place == "due later":
            passes.due = dict.fromkeys((A, B), timedelta(minutes=1))
        elif place == "waits":
            controller.wake([C, AccountName("d")])
            await settle()
        controller.wake([A, B], first=first)
        await settle()
        if place == "due later":
            passes.gate.set()
            await settle()
        elif place == "under way and woken":
            controller.wake([A, B], first=first)
        controller.drop([A])
        passes.due = {}
        passes.gate.set()
        await settle()
        clock.pass_by(timedelta(hours=1))
        controller.tick()
        await settle()
    begun = {"waits": 0, "due later": 1, "under way": 1, "under way and woken": 1}[place]
    more = place != "under way"
    assert (passes.begun.count(A), passes.begun.count(B)) == (begun, begun + more)


async def test_a_slow_account_does_not_delay_the_others() -> None:
    """While one account's pass hangs, another worker serves the rest."""
    gate = asyncio.Event()
    begun: list[AccountName] = []

    async def one(account: AccountName) -> timedelta | None:
        begun.append(account)
        if account == A:
            await gate.wait()
        return None

    async with working(one, workers=2) as (controller, _):
        controller.wake([A, B, C])
        await settle()
        assert begun == [A, B, C]
        gate.set()


async def test_ailing_accounts_leave_half_of_the_workers_to_the_others() -> None:
    """However many accounts wait in vain, and however early they were woken, the others get their passes."""
    ill = [AccountName(f"ill-{number}") for number in range(9)]
    well = [AccountName(f"well-{number}") for number in range(20)]
    gate = asyncio.Event()
    begun: list[AccountName] = []

    async def one(account: AccountName) -> timedelta | None:
        begun.append(account)
        if account in ill:
            await gate.wait()
        return None

    async with working(one, workers=4, degraded=ill.__contains__) as (controller, _):
        controller.wake(ill, first=True)
        controller.wake(well)
        await settle()
        assert begun == [*ill[:2], *well]
        assert controller.depth == 7
        controller.wake(well)
        await settle()
        assert begun == [*ill[:2], *well, *well]
        gate.set()
        await settle()
    assert begun == [*ill[:2], *well, *well, *ill[2:]]


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_ailing_accounts_get_their_passes_too(workers: int) -> None:
    """Even with one worker an degraded account is tried again, and those that wait go on when one comes to its end."""
    passes = Passes()
    async with working(passes, workers=workers, degraded=lambda _: True) as (controller, _):
        controller.wake([A, B, C])
        await settle()
    assert passes.begun == [A, B, C]


async def test_an_account_ails_for_as_long_as_it_is_said() -> None:
    """An account that LG answers again may take any worker."""
    ill = {A, B}
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes, workers=3, degraded=ill.__contains__) as (controller, _):
        controller.wake([A, B])
        await settle()
        assert passes.begun == [A]
        ill.clear()
        controller.wake([B])
        await settle()
        assert passes.begun == [A, B]
        passes.gate.set()


class Hanging:
    """Passes of some accounts wait in vain until the gate is open."""

    def __init__(self, *hang: AccountName) -> None:
        self.hang = set(hang)
        self.gate = asyncio.Event()
        self.begun: list[AccountName] = []

    async def __call__(self, account: AccountName) -> timedelta | None:
        """Make one pass."""
        self.begun.append(account)
        if account in self.hang:
            await self.gate.wait()
        return None


async def test_accounts_that_begin_to_hang_all_at_once_do_not_stop_the_others() -> None:
    """As many as there are workers, and more: after two seconds spare workers go on in their place."""
    ill = [AccountName(f"ill-{number}") for number in range(9)]
    well = [AccountName(f"well-{number}") for number in range(30)]
    passes = Hanging(*ill)
    async with working(passes, workers=4) as (controller, clock):
        controller.wake([*ill, *well])
        await settle()
        assert passes.begun == ill[:4]
        clock.pass_by(timedelta(seconds=1))
        controller.tick()
        await settle()
        assert passes.begun == ill[:4]
        for _ in range(3):
            clock.pass_by(timedelta(seconds=2))
            controller.tick()
            await settle()
        assert sorted(passes.begun) == sorted([*ill, *well])
        assert sorted(controller.under_way) == ill
        passes.gate.set()
        await settle()
        assert not controller.under_way
        controller.wake(well)
        await settle()
    assert sorted(passes.begun) == sorted([*ill, *well, *well])


async def test_spare_workers_are_bounded_and_go_with_what_they_stand_for() -> None:
    """However many accounts hang, there are three spare workers for each; once they are answered there is none."""
    ill = [AccountName(f"ill-{number:02}") for number in range(40)]
    passes = Hanging(*ill)
    async with working(passes, workers=2) as (controller, clock):
        controller.wake(ill)
        for _ in range(20):
            clock.pass_by(timedelta(seconds=3))
            controller.tick()
            await settle()
        assert passes.begun == ill[:8]
        passes.gate.set()
        await settle()
        assert passes.begun == ill
        passes.gate.clear()
        controller.wake(ill)
        await settle()
        assert len(controller.under_way) == 2
        passes.gate.set()


async def test_a_pass_whose_calls_are_answered_is_relieved_of_nothing() -> None:
    """A pass of a thousand changes takes long; it works, and keeps its worker for itself."""
    passes = Hanging(A)
    heard = [0.0]
    async with working(passes, workers=1, heard_at=lambda _account: heard[0]) as (
        controller,
        clock,
    ):
        controller.wake([A, B])
        for _ in range(9):
            clock.pass_by(timedelta(seconds=3))
            heard[0] = clock.steady()
            controller.tick()
            await settle()
        assert passes.begun == [A]
        passes.gate.set()


async def test_a_relieved_account_still_has_one_pass_at_a_time() -> None:
    """Wakes of an account that hangs merge, also while spare workers look for work."""
    passes = Hanging(A)
    async with working(passes, workers=1) as (controller, clock):
        controller.wake([A, B])
        await settle()
        clock.pass_by(timedelta(seconds=3))
        controller.wake([A, B])
        controller.tick()
        controller.wake([A, B])
        await settle()
        assert passes.begun == [A, B, B]
        passes.hang.clear()
        passes.gate.set()
        await settle()
    assert passes.begun == [A, B, B, A]


async def test_a_defect_in_a_pass_costs_that_pass_only() -> None:
    """An error of ours is logged, the account comes back later, and the worker goes on."""
    begun: list[AccountName] = []

    async def one(account: AccountName) -> timedelta | None:
        begun.append(account)
        if account == A:
            raise ZeroDivisionError
        return None

    with capture_logs() as lines:
        async with working(one) as (controller, _):
            controller.wake([A, B])
            await settle()
            assert due(controller, A) == AFTER_A_DEFECT.total_seconds()
    assert begun == [A, B]
    assert [line["event"] for line in lines] == ["pass.crashed"]


async def test_stop_begins_no_further_pass_and_waits_for_those_under_way() -> None:
    """After stop the queue stands, and ``run`` returns when the last pass has ended."""
    passes = Passes()
    passes.gate = asyncio.Event()
    clock = SimulatedClock()
    controller = Queue(passes, workers=1, clock=clock)
    task = asyncio.create_task(controller.run())
    controller.wake([A, B])
    await settle()
    controller.stop()
    await settle()
    assert not task.done()
    assert controller.under_way
    passes.gate.set()
    await task
    assert passes.begun == [A]
    assert controller.depth == 1


async def test_the_longest_wait_is_told() -> None:
    """The age of the oldest waiting account is what liveness looks at."""
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes) as (controller, clock):
        controller.wake([A])
        await settle()
        controller.wake([B])
        clock.pass_by(timedelta(seconds=30))
        controller.wake([C], first=True)
        clock.pass_by(timedelta(seconds=12))
        assert controller.oldest == 42
        passes.gate.set()
        await settle()
        assert controller.oldest == 0


@given(
    st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans(), st.integers(0, 3)), max_size=60)
)
async def test_every_wake_is_followed_by_a_pass_that_begins_after_it(
    wakes: list[tuple[AccountName, bool, int]],
) -> None:
    """However wakes fall, after each of them a pass of that account begins, and none overlaps another."""
    passes = Passes()
    begun_at_wake: list[tuple[AccountName, int]] = []
    async with working(passes, workers=2) as (controller, _):
        for account, first, turns in wakes:
            controller.wake([account], first=first)
            begun_at_wake.append((account, passes.begun.count(account)))
            for _ in range(turns):
                await asyncio.sleep(0)
        await settle()
    assert not passes.overlapped
    for account, before in begun_at_wake:
        assert passes.begun.count(account) > before


async def test_oldest_counts_what_is_due_without_a_tick() -> None:
    """An account that is due waits from then on, also where no tick puts it into the queue."""
    passes = Passes()
    passes.due[A], passes.due[B] = timedelta(minutes=10), timedelta(minutes=20)
    async with working(passes) as (controller, clock):
        controller.wake([A, B])
        await settle()
        assert passes.begun == [A, B]
        clock.pass_by(timedelta(minutes=9))
        assert controller.oldest == 0.0
        clock.pass_by(timedelta(hours=2))
        assert controller.oldest == 119 * 60.0
        controller.tick()
        await settle()
        assert controller.oldest == 0.0


async def test_a_pass_before_its_time_takes_the_place_of_the_one_that_was_due() -> None:
    """If its time comes while it is under way, no second pass follows it."""
    passes = Passes()
    passes.due[A] = timedelta(seconds=60)
    async with working(passes) as (controller, clock):
        controller.wake([A])
        await settle()
        passes.gate = asyncio.Event()
        controller.wake([A])
        await settle()
        clock.pass_by(timedelta(seconds=61))
        controller.tick()
        passes.gate.set()
        await settle()
        assert passes.begun == [A, A]
        assert due(controller, A) == 60


async def test_an_account_that_waits_or_works_is_due_now() -> None:
    """Edited or routine, in the queue or under way: its pass is next, and no date is shown for it."""
    passes = Passes()
    passes.gate = asyncio.Event()
    async with working(passes) as (controller, _):
        controller.wake([A])
        await settle()
        controller.wake([B])
        controller.wake([C], first=True)
        assert [due(controller, one) for one in (A, B, C)] == [0.0, 0.0, 0.0]
        assert due(controller, AccountName("stranger")) is None
        passes.gate.set()
        await settle()
