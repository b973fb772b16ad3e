"""Replicas on virtual time: what takes them minutes takes a test a moment."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from disks import START, StandingClock
from memory_coordination import MemoryOwnership
from reconciler.core.errors import StateError
from reconciler.core.memory import Past
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.replicas import MARGIN_SECONDS, REFENCED_SECONDS, MemberId
from reconciler.runtime.replicas.clock import FleetClock
from reconciler.runtime.replicas.source import PAUSED_SECONDS
from reconciler.state.coordination import Renewal, Taken
from reconciler.state.port import Asked
from simulation.replicas import CutMembers, Judge, Node, Sent, World, living

LEASE_SECONDS, TIMEOUT_SECONDS = 45.0, 15.0
UNKNOWN = "ab" * 32
"""A device that LG does not know."""


def lived(folder: Path, story: Callable[[World], Awaitable[None]], **chosen: Any) -> None:
    """Let a story of two replicas happen."""
    with living(folder, replicas=2, **chosen) as (loop, world):
        loop.run_until_complete(story(world))


async def together(world: World) -> None:
    """Start both replicas, and wait until each works on half of the accounts. No tick is left out."""
    world.loop.busy = lambda: True
    for node in world.nodes:
        node.start()
    halves = len(world.wanted) // 2
    await world.until(lambda: all(len(node.owned()) == halves for node in world.nodes), 90)
    await world.until(world.agrees, 90)


def reader_and_other(world: World) -> tuple[Node, Node]:
    """Return the replica that reads the source, and the other one."""
    first, second = world.nodes
    return (first, second) if first.replica.source.reads else (second, first)


def reads(node: Node) -> bool:
    """Say whether a replica reads the source."""
    return bool(node.replica.source.reads)


@dataclass
class Calls(Judge):
    """A judge that writes down when each call was sent."""

    each: list[Sent] = field(default_factory=list)

    def sent(self, call: Sent) -> None:
        """Hear of a call that leaves a replica."""
        self.each.append(call)

    def last_of(self, node: Node) -> float:
        """Return when a replica sent its last call."""
        return max(call.at for call in self.each if call.node is node)

    def changes(self, account: str) -> int:
        """Return how many changes of an account were sent."""
        return sum(call.account == account and bool(call.device) for call in self.each)

    def longest_pause(self, begin: float, end: float) -> float:
        """Return the longest time between two lists of one account."""
        lists: dict[AccountName, list[float]] = defaultdict(lambda: [begin])
        for call in self.each:
            if call.method == "GET" and begin <= call.at <= end:
                lists[call.account].append(call.at)
        pauses = [
            later - earlier
            for moments in lists.values()
            for earlier, later in zip(moments, [*moments[1:], end], strict=True)
        ]
        return max(pauses)


class Lost(Calls):
    """A judge that lets changes never come to LG."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def sent(self, call: Sent) -> None:
        """Lose a change, and all that is sent until somebody ends that."""
        super().sent(call)
        if call.device:
            self._world.slow_seconds = 1e9


class HungMembers(CutMembers):
    """The members of a replica whose renewals are never answered."""

    async def renew(self, member: MemberId) -> Renewal | None:
        """Wait for an answer."""
        del member
        await asyncio.Event().wait()
        return None


def test_a_source_that_cannot_be_read_goes_to_another_replica(tmp_path: Path) -> None:
    """After three failed looks its reader gives it up for five minutes, while another replica lives."""

    async def story(world: World) -> None:
        await together(world)
        reader, other = reader_and_other(world)
        file = reader.texts / "fleet.toml"
        content = file.read_bytes()
        world.disk.remove(file)
        began = world.loop.time()
        await world.until(lambda: reads(other), 60)
        assert not reads(reader)
        world.wanted["hotel-1"].pop()
        world.deliver(other)
        await world.until(world.agrees, 30)
        world.disk.write(file, content)
        while world.loop.time() - began < PAUSED_SECONDS - 20:
            await asyncio.sleep(20)
            assert (reads(reader), reads(other)) == (False, True)
        other.kill()
        await world.until(lambda: reads(reader), 60)

    lived(tmp_path, story)


def test_a_reader_that_fails_alone_keeps_the_source(tmp_path: Path) -> None:
    """Where no other replica lives nobody else could read it."""

    async def story(world: World) -> None:
        await together(world)
        reader, other = reader_and_other(world)
        await other.stop()
        file = reader.texts / "fleet.toml"
        world.disk.remove(file)
        await asyncio.sleep(60)
        assert reads(reader)
        world.wanted["hotel-1"].pop()
        world.deliver(reader)
        await world.until(world.agrees, 30)

    lived(tmp_path, story)


def test_a_replica_whose_renewals_hang_calls_nobody_after_its_deadline(tmp_path: Path) -> None:
    """A renewal is given up after 5 seconds; no call begins that could end after the lease, and others take over."""

    async def story(world: World) -> None:
        await together(world)
        world.judge = calls = Calls()
        hung, other = world.nodes
        working = hung.replica.coordination.members
        before = hung.replica.lease.deadline
        hung.replica.coordination.members = HungMembers(world.database, hung)
        since = world.loop.time()
        await world.until(lambda: "did not answer within 5 s" in hung.replica.trouble, 8)
        theirs = hung.owned()
        for name in map(str, theirs):
            world.wanted[name].pop()
        world.deliver(hung)
        world.deliver(other)
        lost = await world.until(lambda: len(other.owned()) == len(world.wanted), 60)
        assert lost <= LEASE_SECONDS + 5
        await world.until(world.agrees, 30)
        assert calls.last_of(hung) <= before + 1 - TIMEOUT_SECONDS - MARGIN_SECONDS
        assert calls.last_of(hung) >= since
        hung.replica.coordination.members = working
        await world.until(lambda: len(hung.owned()) == len(theirs), 60)

    lived(tmp_path, story, extra={"PCC_INTERVAL": "5s"})


class LostAnswer(MemoryOwnership):
    """The ownership as a replica sees it to which the database does not answer, although it gave accounts."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.world.database)
        self._lost = False

    def take(self, member: MemberId, most: int) -> Taken:
        """Give accounts, and lose the first answer that has any."""
        found = super().take(member, most)
        if found.fences and not self._lost:
            self._lost = True
            raise StateError("the connection was closed")
        return found


class LateAnswer(MemoryOwnership):
    """The ownership as a replica sees it whose lease is over when the database has given it accounts."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.world.database)
        self._node = node

    def take(self, member: MemberId, most: int) -> Taken:
        """Give accounts late."""
        found = super().take(member, most)
        if found.fences:
            self._node.replica.lease.lost()
        return found


@pytest.mark.parametrize("trouble", [LostAnswer, LateAnswer])
def test_accounts_are_worked_on_that_were_taken_without_an_answer_in_time(
    tmp_path: Path, trouble: Callable[[Node], MemoryOwnership]
) -> None:
    """A replica that owns accounts by the tables finds that out, although nothing changes there any more."""

    async def story(world: World) -> None:
        await together(world)
        other, killed = reader_and_other(world)
        other.replica.coordination.ownership = trouble(other)
        killed.kill()
        await world.until(lambda: len(other.owned()) == len(world.wanted), LEASE_SECONDS + 10)

    lived(tmp_path, story)


def test_a_change_of_a_killed_replica_is_open_until_its_call_cannot_come_any_more(
    tmp_path: Path,
) -> None:
    """A list shows that it was not made only 60 seconds and PCC_REQUEST_TIMEOUT after it was written down."""

    async def story(world: World) -> None:
        await together(world)
        world.judge = calls = Lost(world)
        name, killed, other = "hotel-0", *owner_and_other(world, "hotel-0")
        added = world.devices[name][-1]
        world.wanted[name].append(added)
        for node in world.nodes:
            world.deliver(node)
        await world.until(lambda: calls.changes(name) > 0, 30)
        killed.kill()
        world.slow_seconds = 0.0
        await paused(other, name)
        intended = open_changes(world, name)[DeviceId(added)].intended
        await world.until(lambda: not open_changes(world, name), 200)
        age = (world.clock.now() - intended).total_seconds()
        assert 60 + 25 < age < 60 + 25 + 10

    lived(tmp_path, story, extra={"PCC_INTERVAL": "5s", "PCC_REQUEST_TIMEOUT": "25s"})


def owner_and_other(world: World, account: str) -> tuple[Node, Node]:
    """Return the replica that owns an account, and the other one."""
    first, second = world.nodes
    return (first, second) if account in first.owned() else (second, first)


def open_changes(world: World, account: str) -> Mapping[DeviceId, Past]:
    """Return the changes of an account of which nobody knows yet what became of them."""
    storage = world.database.storage
    return storage.account(AccountName(account), world.clock.now()).open


async def paused(node: Node, account: str) -> None:
    """Let somebody pause an account at a replica."""
    body = {"account": account, "pause": "all", "for": "2h", "reason": "stock-taking"}
    answer = await node.ask("POST", "/api/v1/pause", body)
    assert answer is not None
    assert answer.status_code == 200, answer.text


async def taken_back(node: Node, account: str) -> None:
    """Let people want all devices of an account again, in the file that a replica reads."""
    world, before = node.world, node.world.database.tables.verdict.serial
    world.wanted[account] = list(world.devices[account][:20])
    world.deliver(node)
    await world.until(lambda: world.database.tables.verdict.serial > before, 10)


@pytest.mark.parametrize("trouble", [paused, taken_back])
def test_intents_are_checked_again_two_seconds_later(
    tmp_path: Path, trouble: Callable[[Node, str], Awaitable[None]]
) -> None:
    """An owner that hears of no pause and no newer revision makes at most the calls of two more seconds."""

    async def story(world: World) -> None:
        await together(world)
        world.judge = calls = Calls()
        reader, owner = reader_and_other(world)
        name = str(min(owner.owned()))
        world.policy = {"max_unsubscribe": '"100%"'}
        world.wanted[name] = world.wanted[name][:1]
        world.slow_seconds = 10.0
        for node in world.nodes:
            world.deliver(node)
        await world.until(lambda: calls.changes(name) > 1, 30)
        owner.renewals_cut = True
        await trouble(reader, name)
        begun = world.loop.time()
        await asyncio.sleep(20)
        last = max(call.at for call in calls.each if call.method == "DELETE")
        assert last <= begun + REFENCED_SECONDS
        assert calls.changes(name) < 19

    lived(tmp_path, story, devices=40)


class SlowMembers(CutMembers):
    """The members of a replica whose renewals take four seconds to come back."""

    async def renew(self, member: MemberId) -> Renewal | None:
        """Renew at once, and answer late."""
        renewal = await super().renew(member)
        await asyncio.sleep(4.0)
        return renewal


def test_a_lease_counts_from_when_it_was_asked_for(tmp_path: Path) -> None:
    """However late the answer comes: the others count from the renewal, and would take the accounts before its end."""

    async def story(world: World) -> None:
        (node,) = world.nodes
        world.loop.thread_seconds, ends = 4.0, list[float]()
        world.database.after["join"] = lambda: ends.append(world.loop.time() + LEASE_SECONDS)
        node.start()
        await world.until(lambda: bool(ends) and node.replica.lives, 30)
        assert node.replica.lease.deadline < ends[0] - 0.01
        world.loop.thread_seconds = 0.02
        await world.until(world.agrees, 90)
        node.replica.coordination.members = SlowMembers(world.database, node)
        await asyncio.sleep(20)
        for _ in range(20):
            await asyncio.sleep(0.5)
            assert node.replica.lease.deadline <= world.loop.time() + LEASE_SECONDS - 4.0

    with living(tmp_path, replicas=1) as (loop, world):
        loop.run_until_complete(story(world))


def test_a_planned_hand_over_misses_no_pass(tmp_path: Path) -> None:
    """While replicas are stopped and started in good order, no account waits longer for its list than ever."""

    async def story(world: World) -> None:
        await together(world)
        world.judge = calls = Calls()
        began = world.loop.time()
        await asyncio.sleep(300)
        usual = calls.longest_pause(began, world.loop.time())
        later = world.loop.time()
        for node in (*world.nodes, *world.nodes):
            await node.stop()
            await asyncio.sleep(20)
            node.start()
            await asyncio.sleep(20)
        assert calls.longest_pause(later, world.loop.time()) <= usual + 2.0

    lived(tmp_path, story, extra={"PCC_INTERVAL": "30s"})


def test_after_a_failover_accounts_wait_for_one_lease(tmp_path: Path) -> None:
    """Each replica waits for the longest lease, and then ends the life that the new server has of it."""

    async def story(world: World) -> None:
        await together(world)
        standby = world.database.copy()
        await asyncio.sleep(30)
        world.database.fail_over(standby)
        await world.until(lambda: not any(node.owned() for node in world.nodes), 10)
        halves = len(world.wanted) // 2

        def shared() -> bool:
            return all(len(node.owned()) == halves for node in world.nodes)

        assert await world.until(shared, 120) <= LEASE_SECONDS + 5
        await world.until(world.agrees, 30)

    lived(tmp_path, story)


@pytest.mark.parametrize("seconds", [40, -40])
def test_the_database_has_the_time_for_all(tmp_path: Path, seconds: int) -> None:
    """Each change is dated by the database's clock; a machine whose clock differs shows by how much."""

    async def story(world: World) -> None:
        ahead = timedelta(seconds=seconds)
        world.database.now = lambda: world.clock.now() - ahead
        await together(world)
        node = world.nodes[0]
        fleet = node.replica.clock
        assert abs(fleet.now() - world.database.now()) < timedelta(seconds=1)
        answer = await node.ask("GET", "/metrics")
        assert answer is not None
        (line,) = (
            line
            for line in answer.text.splitlines()
            if line.startswith("pcc_replica_clock_ahead_seconds ")
        )
        assert abs(float(line.split()[1]) - seconds) < 1
        wrong = world.database.now() + timedelta(seconds=10)
        later = world.database.storage.changes(Asked(since=wrong), 100)
        assert list(later) == []

    lived(tmp_path, story)


def test_the_fleets_clock_goes_on_by_the_seconds_since_boot() -> None:
    """What the machine's own clock does afterwards does not matter; an answer is dated by the middle of its way."""
    own, boot = StandingClock(), 100.0
    clock = FleetClock(own, lambda: boot)
    assert clock.now() == own.now()
    boot = 104.0
    clock.heard(START, 100.0)
    assert clock.now() == START + timedelta(seconds=2)
    boot = 114.0
    assert clock.now() == START + timedelta(seconds=12)
    assert clock.steady() == 114.0
    assert clock.machine_ahead() == own.now() - clock.now()


def test_a_slow_answer_does_not_move_the_fleets_clock() -> None:
    """What a quick answer showed stays, unless a later one shows that it is wrong."""
    boot = 100.0
    clock = FleetClock(StandingClock(), lambda: boot)
    clock.heard(START, boot)
    boot = 104.0
    clock.heard(START + timedelta(seconds=4), 100.0)
    assert clock.now() == START + timedelta(seconds=4)
    clock.heard(START + timedelta(seconds=1), 100.0)
    assert clock.now() == START + timedelta(seconds=4)
    clock.heard(START + timedelta(minutes=5, seconds=4), 103.0)
    assert clock.now() == START + timedelta(minutes=5, seconds=4)
    clock.heard(START, 103.0)
    assert clock.now() == START + timedelta(seconds=1)


def test_leases_are_counted_by_a_clock_that_goes_on_while_the_machine_is_suspended() -> None:
    """After an hour of sleep a replica knows of that hour; the usual clock of a program has stood still."""
    program = (
        "import time; own = time.clock_gettime;"
        "asleep = lambda clock: 3600.0 if clock == time.CLOCK_BOOTTIME else 0.0;"
        "time.clock_gettime = lambda clock: own(clock) + asleep(clock);"
        "from reconciler.runtime.environment import Shared;"
        "began = time.monotonic(); boot = own(time.CLOCK_BOOTTIME);"
        "print(round(Shared(None, None, 45.0).boottime() - boot), round(time.monotonic() - began))"
    )
    shown = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    slept, awake = map(int, shown.stdout.split())
    assert slept - awake == 3600


def test_a_machine_that_was_suspended_makes_no_call_on_the_lease_from_before(
    tmp_path: Path,
) -> None:
    """Nothing is sent from its waking on, until a renewal shows that its accounts are its own still."""

    async def story(world: World) -> None:
        await together(world)
        world.judge = calls = Calls()
        slept, _other = world.nodes
        slept.renewals_cut = True
        await asyncio.sleep(6)
        assert any(call.node is slept for call in calls.each)
        calls.each.clear()
        slept.slept += LEASE_SECONDS
        assert not slept.replica.lives
        await asyncio.sleep(10)
        assert not [call for call in calls.each if call.node is slept]
        slept.renewals_cut = False
        await asyncio.sleep(10)
        assert any(call.node is slept for call in calls.each)

    lived(tmp_path, story, extra={"PCC_INTERVAL": "5s"})


def test_a_replica_on_a_machine_whose_clock_is_ahead_waits_as_long_as_the_others(
    tmp_path: Path,
) -> None:
    """A device that LG refused is asked for again an hour later by the database's clock, whoever owns the account."""

    async def story(world: World) -> None:
        world.clock.set_by(timedelta(hours=2))
        world.database.now = lambda: world.clock.now() - timedelta(hours=2)
        world.judge = calls = Calls()
        world.wanted["hotel-2"].append(UNKNOWN)
        for node in world.nodes:
            world.deliver(node)
            node.start()
        await world.until(lambda: any(one.device == UNKNOWN for one in calls.each), 90)
        await asyncio.sleep(10)
        before = sum(one.device == UNKNOWN for one in calls.each)
        for node in world.nodes:
            await node.stop()
            node.start()
        await asyncio.sleep(60)
        assert sum(one.device == UNKNOWN for one in calls.each) == before

    lived(tmp_path, story, accounts=4)


@dataclass
class KillsAtTheLastCall(Calls):
    """Kills the owner when it asks for a device a second time, as it does once it has asked for all devices."""

    killed: bool = False

    def sent(self, call: Sent) -> None:
        """Hear of a call that leaves a replica."""
        super().sent(call)
        if not self.killed and sum(one.device == UNKNOWN for one in self.each) == 2:
            self.killed = True
            call.node.kill()


def test_calls_of_an_owner_that_was_killed_count_for_the_next_one(tmp_path: Path) -> None:
    """No more calls are made in an hour than are allowed, whatever an owner made before it could write them down."""

    async def story(world: World) -> None:
        world.judge = calls = KillsAtTheLastCall()
        world.policy = {"calls_per_hour": "10"}
        for node in world.nodes:
            world.deliver(node)
        await together(world)
        world.wanted["hotel-1"].append(UNKNOWN)
        for node in world.nodes:
            world.deliver(node)
        await world.until(lambda: calls.killed, 90)
        survivor = next(node for node in world.nodes if not node.gone)
        for _ in range(12):
            await asyncio.sleep(20)
            await survivor.ask("POST", "/api/v1/reconcile?account=hotel-1", {})
        asked = [one.node for one in calls.each if one.account == "hotel-1"]
        assert survivor in asked
        assert len(asked) <= 10

    lived(tmp_path, story, accounts=2, devices=4, extra={"PCC_INTERVAL": "1h"})


def test_what_one_replica_learns_to_be_protected_is_held_by_all(tmp_path: Path) -> None:
    """Also by the replica that does not read the source, for an account that it has worked on all the time."""

    async def story(world: World) -> None:
        await together(world)
        kept = dict[str, str]()
        for node in world.nodes:
            account = str(min(node.owned()))
            kept[account] = world.wanted[account][0]
            world.wanted[account].append(world.devices[account][-1])
        text = world.text()
        for device in kept.values():
            protected = f'{{ id = "{device}", protected = true }}'
            text = text.replace(f'"{device}"'.encode(), protected.encode())
        reader, _other = reader_and_other(world)
        world.deliver(reader, text)
        await world.until(world.agrees, 90)
        for account in kept:
            del world.wanted[account][:2]
        world.deliver(reader)
        wanted = {name: set(ids) for name, ids in world.wanted.items()}
        for name, device in kept.items():
            wanted[name].add(device)
        await world.until(lambda: all(world.live(one) == ids for one, ids in wanted.items()), 90)
        await asyncio.sleep(60)
        assert {one: world.live(one) for one in wanted} == wanted

    lived(tmp_path, story)
