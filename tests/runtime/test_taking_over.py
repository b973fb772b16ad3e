"""A replica that begins to read the source: nothing that is older than what others read comes into force by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from memory_coordination import Database, MemoryCoordination
from quiet_source import QuietSource
from reconciler.controller.informer import NOT_OURS, Informer
from reconciler.core.model import AccountName
from reconciler.core.replicas import SOURCE_WAIT_SECONDS, Lease, Member, MemberId
from reconciler.desired import Document, MemoryTree
from reconciler.runtime.replicas import marks
from reconciler.runtime.replicas.clock import FleetClock
from reconciler.runtime.replicas.source import ReplicatedSource
from reconciler.runtime.replicas.tenure import ReplicaTenure
from reconciler.source import NOTHING, Fetched, Known
from reconciler.state import State
from reconciler.state.sqlite.storage import SqliteStorage
from reconciler.telemetry.metrics import Metrics
from simulated import SimulatedClock

EAST = AccountName("east")
Files = dict[str, str]


def files(
    *devices: str, policy: str = 'timezone = "Asia/Seoul"', west: str = "devices = []"
) -> Files:
    """Return the files of one revision: the policy of all, an account with devices, and another account."""
    return {
        "east": f"version = 1\n[accounts.east]\ndevices = {list(devices)}\n",
        "policy": f"version = 1\n{policy}\n",
        "west": f"version = 1\n[accounts.west]\n{west}\n",
    }


V0, V1, V2, V3 = files("a"), files("a", "b"), files("a", "b", "c"), files("a", "b", "c", "d")
WARNED = files("a", "b", west="devices = ['a']")
IN_PART = files("a", "b", west="devices = [")
REJECTED = files("a", "b", policy="timezone = \0")
REJECTED_ANEW = files("a", "b", "c", "x", policy="timezone = \0")


class Folder(QuietSource):
    """One replica's own copy of the files. ``meanwhile`` happens once, while they are read."""

    def __init__(self, name: str) -> None:
        self.name, self.files = name, V0
        self.meanwhile: Callable[[], None] | None = None

    def fetch(self, known: Known = NOTHING) -> Fetched | None:
        """Return the documents, unless they were judged already."""
        found = {f"/{self.name}/{name}.toml": text.encode() for name, text in self.files.items()}
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        if repr(found) == known.identity:
            return None
        documents = tuple(Document(path, found[path]) for path in sorted(found))
        return Fetched(documents, MemoryTree(found), identity=repr(found))


class Replica:
    """One replica: its copy of the files, what it has in force, and its part in reading them."""

    def __init__(self, name: str, world: World) -> None:
        self.coordination: Any = MemoryCoordination(world.database)
        tenure = ReplicaTenure(
            self.coordination.ownership,
            Lease(45.0, 15.0),
            world.clock.steady,
            concurrency=8,
            tokens=self.coordination.tokens,
        )
        tenure.me = MemberId(name)
        self.coordination.members.join(Member(tenure.me, name, "0", 45.0))
        self.folder = Folder(name)
        self.state = State(world.database.storage, world.clock)
        clock = FleetClock(world.clock, world.clock.steady)
        self.source = ReplicatedSource(self.coordination, tenure, clock)
        self.informer = Informer(
            self.folder,
            self.state.accounts,
            self.state.revisions,
            self.state.protections,
            Metrics(),
            clock=world.clock,
            shared=self.source,
        )

    async def reads(self, revision: Files) -> None:
        """Let its copy show something, and let it be read."""
        self.folder.files = revision
        await self.informer.refresh()

    async def adopts(self) -> None:
        """Bring into force what was accepted before, and begin to read."""
        verdict = self.coordination.source.verdict()
        if verdict.content:
            kept = tuple(self.state.revisions.kept())
            await self.informer.adopt(kept, marks.read(verdict.content).on)
        self.source.begin()

    @property
    def devices(self) -> list[str]:
        """Return what is in force for the account."""
        found = self.informer.current(EAST)
        return [] if found is None else sorted(found.desired.devices)


@dataclass
class World:
    """Two replicas and their database."""

    clock: SimulatedClock = field(default_factory=SimulatedClock)

    def __post_init__(self) -> None:
        self.database = Database(SqliteStorage.in_memory(self.clock), self.clock.now)
        self.first, self.second = Replica("first", self), Replica("second", self)

    async def read(self, *revisions: Files, first_for: timedelta = timedelta(minutes=1)) -> None:
        """Let the first replica read revisions, the first of them for a while; then the second one takes the source."""
        assert self.first.source.look()
        await self.first.adopts()
        for number, revision in enumerate(revisions):
            self.clock.moment += first_for if number == 1 else timedelta(minutes=1)
            await self.first.reads(revision)
        self.first.source.shed()
        assert self.second.source.look()
        await self.second.adopts()

    @property
    def newest(self) -> tuple[Any, Any]:
        """Return the revision in force for all replicas, and why a newer one is not."""
        found = marks.read(self.database.tables.verdict.content)
        return found.revision, found.rejected


@pytest.mark.parametrize(
    ("before", "found"),
    [
        pytest.param([V1, V2], [V1], id="accepted"),
        pytest.param([V1, V2], [V1, V1], id="accepted, read twice"),
        pytest.param([V0, V1, V2], [V0, V1], id="a copy that shows one after the other"),
        pytest.param([WARNED, V2], [WARNED], id="accepted with warnings"),
        pytest.param([V1, IN_PART, V2], [IN_PART], id="accepted in part"),
        pytest.param([V1, REJECTED, V2], [REJECTED], id="rejected"),
        pytest.param([REJECTED, V2], [REJECTED], id="rejected before anything was accepted"),
        pytest.param([V1, REJECTED, V2], [REJECTED, V1], id="rejected, then what was before it"),
        pytest.param([V1, V2, REJECTED_ANEW], [V1], id="accepted before one that is rejected"),
        pytest.param([V1, V2, REJECTED_ANEW], [V2], id="in force beside one that is rejected"),
    ],
)
@pytest.mark.parametrize(
    "first_for", [timedelta(minutes=1), timedelta(days=3)], ids=["minutes", "days"]
)
async def test_what_is_older_than_what_another_replica_read_waits(
    before: list[Files], found: list[Files], first_for: timedelta
) -> None:
    """It waits in a folder of its own too, and nothing that others know of the newest revision is lost."""
    world = World()
    await world.read(*before, first_for=first_for)
    newest, second = world.newest, world.second
    for revision in found:
        await second.reads(revision)
        assert (second.devices, world.newest) == (["a", "b", "c"], newest)
        assert (second.source.waits, second.informer.trouble) == (True, ReplicatedSource.behind)
    await second.reads(before[-1])
    assert (second.devices, second.source.waits) == (["a", "b", "c"], False)
    await second.reads(V1)
    assert second.devices == ["a", "b"]


@pytest.mark.parametrize(
    ("before", "found", "devices", "rejected"),
    [
        pytest.param([], V1, ["a", "b"], False, id="the first of all"),
        pytest.param([V1, V2], V2, ["a", "b", "c"], False, id="what is in force"),
        pytest.param([V1, V2], V3, ["a", "b", "c", "d"], False, id="what nobody has read"),
        pytest.param(
            [V2, V1], V2 | {"new": "version = 1\n"}, ["a", "b", "c"], False, id="another file"
        ),
        pytest.param([V2, REJECTED], REJECTED, ["a", "b", "c"], True, id="what was rejected last"),
        pytest.param([V2], REJECTED, ["a", "b", "c"], True, id="what is rejected"),
        pytest.param([V2], IN_PART, ["a", "b"], True, id="what is accepted in part"),
    ],
)
async def test_what_is_not_older_comes_into_force_at_once(
    before: list[Files], found: Files, devices: list[str], *, rejected: bool
) -> None:
    """A hand-over delays no edit, and a fault is shown by the new reader too."""
    world = World()
    await world.read(*before)
    await world.second.reads(found)
    assert (world.second.devices, world.second.source.waits) == (devices, False)
    assert (world.newest[1] is not None) is rejected


@pytest.mark.parametrize("ends", ["time", "person"])
async def test_a_copy_that_never_catches_up_is_believed_in_the_end(ends: str) -> None:
    """People may have taken their edit back while nobody read."""
    world = World()
    await world.read(V1, V2)
    await world.second.reads(V1)
    if ends == "person":
        world.second.source.person_agrees()
    else:
        world.clock.moment += timedelta(seconds=SOURCE_WAIT_SECONDS)
    await world.second.informer.refresh()
    assert world.second.devices == ["a", "b"]


async def test_what_lags_behind_an_edit_of_its_own_waits_too() -> None:
    """A copy that shows something unknown first may still be on its way, so what was replaced waits after it."""
    world = World()
    await world.read(V0, V2)
    await world.second.reads(V3)
    await world.second.reads(V0)
    assert (world.second.devices, world.second.source.waits) == (["a", "b", "c", "d"], True)


async def test_nobody_reads_before_what_was_accepted_is_in_force_there() -> None:
    """What a replica had in force before it was cut off says nothing of what is older."""
    world = World()
    first, second = world.first, world.second
    await world.read(V1)
    await second.reads(V2)
    second.source.shed()
    first.source.lost()
    assert first.source.look()
    assert first.devices == ["a", "b"]
    newest = world.newest
    await first.informer.refresh()
    assert (first.source.reads, world.newest) == (False, newest)
    await first.adopts()
    await first.informer.refresh()
    assert (first.devices, first.source.waits) == (["a", "b", "c"], True)


@pytest.mark.parametrize("broken", [False, True], ids=["read", "not read"])
async def test_a_reading_that_outlives_its_term_changes_nothing(*, broken: bool) -> None:
    """Another replica accepted something while it was read, and its first reader has the source again."""
    world = World()
    first, second = world.first, world.second
    assert first.source.look()
    await first.adopts()
    await first.reads(V1)

    def handed_over() -> None:
        first.source.lost()
        tables = world.database.tables
        tables.reader_epoch += 1
        first.source.look()
        if broken:
            raise RuntimeError

    newest = world.newest
    first.folder.meanwhile, first.folder.files = handed_over, V0
    await first.informer.refresh()
    assert (world.newest, first.devices, first.source.doubts) == (newest, ["a", "b"], True)
    assert (NOT_OURS in first.informer.trouble) is broken
    assert second.devices == []
