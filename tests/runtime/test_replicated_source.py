"""The source that one replica reads for all: when it is taken, what comes into force, and what the others get of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from memory_coordination import Database, MemoryCoordination
from reconciler.core.acceptance import Accepted
from reconciler.core.model import AccountName, Cause, Revision
from reconciler.core.replicas import SOURCE_WAIT_SECONDS, Lease, Member, MemberId
from reconciler.runtime.replicas import marks
from reconciler.runtime.replicas.clock import FleetClock
from reconciler.runtime.replicas.source import (
    FAILED_LOOKS,
    PAUSED_SECONDS,
    ReplicatedSource,
    SoleSource,
    acceptance_of,
)
from reconciler.runtime.replicas.tenure import ReplicaTenure
from reconciler.state.records import AccountRetired, Group
from reconciler.state.sqlite.storage import SqliteStorage
from simulated import SimulatedClock

HOTEL, SCHOOL = AccountName("hotel"), AccountName("school")
OLD, NEW, BAD = (Revision(digit * 64) for digit in "123")
NOTHING: frozenset[AccountName] = frozenset()
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def accepted(revision: Revision, *retired: AccountName) -> Accepted:
    """Return what is in force by a revision."""
    return Accepted(revision=revision, newest=revision, retired=frozenset(retired))


@dataclass
class World:
    """A database and the sources of two replicas that live."""

    seconds: float = 0.0
    nudges: int = 0
    written: int = 0
    each: dict[str, ReplicatedSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clock = SimulatedClock()
        self.database = Database(SqliteStorage.in_memory(clock), clock.now)
        self.database.accepted = self._count
        for name in ("one", "two"):
            coordination: Any = MemoryCoordination(self.database)
            tenure = ReplicaTenure(
                coordination.ownership,
                Lease(45.0, 15.0),
                self.steady,
                concurrency=8,
                tokens=coordination.tokens,
            )
            tenure.me, tenure.nudge = MemberId(name), self._nudge
            coordination.members.join(Member(tenure.me, name, "0", 45.0))
            self.each[name] = ReplicatedSource(coordination, tenure, FleetClock(clock, self.steady))

    def steady(self) -> float:
        """Return the seconds since boot."""
        return self.seconds

    def _nudge(self) -> None:
        self.nudges += 1

    def _count(self) -> None:
        self.written += 1

    @property
    def in_force(self) -> Revision | None:
        """Return the revision that all replicas get."""
        return marks.read(self.database.tables.verdict.content).revision


async def published(source: ReplicatedSource, before: Revision, after: Revision) -> str:
    """Let a replica publish a revision."""
    return await source.publish(accepted(before), accepted(after), NOTHING, ())


async def handed_over(world: World) -> tuple[ReplicatedSource, ReplicatedSource]:
    """Let one replica accept the old revision, another one the new, and the first take the source again."""
    one, two = world.each.values()
    assert one.look()
    assert one.comes_into_force(None, OLD, None)
    assert await published(one, OLD, OLD) == ""
    one.shed()
    assert two.look()
    assert two.comes_into_force(OLD, NEW, None)
    assert await published(two, OLD, NEW) == ""
    two.shed()
    assert one.look()
    return one, two


def test_one_replica_reads_for_all() -> None:
    """Another one takes the source once it is free, hears of it once, and reads it once it has what is in force."""
    one, two = World().each.values()
    assert (one.look(), one.look(), two.look()) == (True, False, False)
    assert not one.reads
    one.begin()
    assert (one.reads, two.reads) == (True, False)
    one.shed()
    assert (two.look(), one.look()) == (True, False)
    two.begin()
    assert (one.reads, two.reads) == (False, True)


async def test_each_term_begins_with_a_comparison() -> None:
    """What this replica found good in an earlier term may have been replaced by another one since."""
    world = World()
    one, _ = await handed_over(world)
    assert one.doubts
    assert not one.comes_into_force(NEW, OLD, None)
    assert one.waits
    world.seconds += SOURCE_WAIT_SECONDS
    assert one.comes_into_force(NEW, OLD, None)
    assert not one.waits


async def test_what_was_rejected_is_older_once_something_newer_was_read() -> None:
    """A copy of the files that still shows it is behind; it would bring back what its sound documents say."""
    one, two = World().each.values()
    one.look()
    rejected = replace(accepted(OLD), newest=BAD, rejected=Cause.INVALID)
    assert await one.publish(accepted(OLD), rejected, NOTHING, ()) == ""
    assert await one.publish(rejected, accepted(NEW), NOTHING, ()) == ""
    one.shed()
    two.look()
    assert not two.comes_into_force(NEW, BAD, None)


async def test_what_was_rejected_last_is_not_waited_for() -> None:
    """A replica that takes the source and finds it says so at once: nothing newer is to come by itself."""
    one, two = World().each.values()
    one.look()
    rejected = replace(accepted(OLD), newest=BAD, rejected=Cause.INVALID)
    assert await one.publish(accepted(OLD), rejected, NOTHING, ()) == ""
    one.shed()
    two.look()
    assert two.comes_into_force(OLD, BAD, None)


async def test_what_was_published_in_an_earlier_term_is_published_again() -> None:
    """The others have what another replica accepted since."""
    world = World()
    one, _ = await handed_over(world)
    assert world.in_force == NEW
    assert await published(one, NEW, OLD) == ""
    assert world.in_force == OLD


async def test_only_what_is_new_is_written() -> None:
    """That is another verdict, an account with another document, or something to write beside them."""
    world = World()
    one = world.each["one"]
    one.look()
    group = Group((AccountRetired(HOTEL, NOW),))
    same = accepted(OLD)
    for changed, groups, written in (
        (NOTHING, (), 1),
        (NOTHING, (), 1),
        (frozenset({HOTEL}), (), 2),
        (NOTHING, (group,), 3),
        (NOTHING, (), 3),
    ):
        assert await one.publish(same, same, changed, groups) == ""
        assert world.written == written
    assert world.nudges == 3


async def test_what_the_database_did_not_take_is_not_published() -> None:
    """It stays so until it was taken, and the words say why."""
    world = World()
    one = world.each["one"]
    one.look()
    world.database.away = "it shuts down"
    assert "it shuts down" in await published(one, OLD, OLD)
    assert one.unpublished
    world.database.away = ""
    assert (await published(one, OLD, OLD), one.unpublished, world.written) == ("", False, 1)


async def test_who_does_not_read_any_more_publishes_nothing() -> None:
    """A replica whose term is over hears of it by that, and reads no more."""
    world = World()
    one, two = world.each.values()
    one.look()
    del world.database.tables.members[MemberId("one")]
    assert two.look()
    for _ in range(2):
        assert await published(one, OLD, NEW) == "another replica reads the source now"
        assert (one.reads, world.written) == (False, 0)


def test_a_source_that_cannot_be_read_is_given_up_for_a_while() -> None:
    """After several failures, and only where another replica could read it; alone one takes it again at once."""
    world = World()
    one, two = world.each.values()
    assert not two.give_up(FAILED_LOOKS, others=True)
    one.look()
    assert not one.give_up(FAILED_LOOKS - 1, others=True)
    assert not one.give_up(FAILED_LOOKS, others=False)
    assert one.may_take(others=True)
    assert one.give_up(FAILED_LOOKS, others=True)
    for seconds, may in ((0.0, False), (PAUSED_SECONDS - 1, False), (1.0, True)):
        world.seconds += seconds
        assert one.may_take(others=True) is may
        assert one.may_take(others=False)
        assert two.may_take(others=True)


def test_an_acceptance_says_what_changed() -> None:
    """An account is retired once, by the revision that says so first."""
    before, after = accepted(OLD, HOTEL), accepted(NEW, HOTEL, SCHOOL)
    found = acceptance_of(before, after, frozenset({SCHOOL}), (), NOW)
    assert (found.retired, found.changed, found.digests) == (
        frozenset({SCHOOL}),
        frozenset({SCHOOL}),
        frozenset({OLD.sha256, NEW.sha256}),
    )


async def test_a_command_publishes_only_where_no_replica_lives() -> None:
    """Where one has begun to work meanwhile, nothing of the command's comes into force."""
    world = World()
    source = MemoryCoordination(world.database).source
    sole = SoleSource(source, SimulatedClock())
    assert await sole.publish(accepted(OLD), accepted(NEW), NOTHING, ()) != ""
    world.database.tables.members.clear()
    assert await sole.publish(accepted(OLD), accepted(NEW), NOTHING, ()) == ""
    assert world.in_force == NEW
