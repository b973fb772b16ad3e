"""Which reading of the partner's files is in force, and when they are read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from reconciler.core.errors import Fault, ReconcilerError
from reconciler.runtime.partner_files import (
    Files,
    FilesReader,
    Rules,
    judged,
    judged_at,
    read_files,
)
from reconciler.runtime.receiving.files import RulesFollower
from reconciler.runtime.receiving.rules import KEPT, RulesInForce
from reconciler.source import Signature, signature
from reconciler.telemetry.receiver_metrics import ReceiverMetrics
from scenarios import eventually

EVENTS = 'version = 1\nlogic = "logic"\n[sinks.{}]\ntype = "stream"\n'
TYPES = "diagnosis_type,category\nA,misuse\n"


class Shelf:
    """Keeps in memory what the spool would keep."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def kept(self, name: str) -> bytes | None:
        """Return what is kept."""
        return self.contents.get(name)

    def keep(self, name: str, content: bytes) -> None:
        """Keep something."""
        self.contents[name] = content


class World:
    """Rules, what they enforce, and the files that they come from."""

    def __init__(self, folder: Path, shelf: Shelf | None = None) -> None:
        self.path = folder / "events.toml"
        self.enforced: list[Rules] = []
        self.refuses = False
        self.metrics = ReceiverMetrics(1)
        self.shelf = shelf or Shelf()
        self.rules = RulesInForce(self.shelf, self.metrics, self._enforce)

    def _enforce(self, rules: Rules) -> None:
        if self.refuses:
            raise ReconcilerError("a sink cannot be made")
        self.enforced.append(rules)

    def write(self, sink: str, types: str = TYPES) -> None:
        """Write both files."""
        (self.path.parent / "logic").mkdir(exist_ok=True)
        (self.path.parent / "logic/types.csv").write_text(types)
        self.path.write_text(EVENTS.format(sink))

    def take(self) -> None:
        """Judge the files as they are now, and keep what was accepted."""
        files = read_files(self.path)
        assert isinstance(files, Files)
        self.rules.accept(files, judged(files))
        self.rules.keep()

    @property
    def sinks(self) -> list[str]:
        """The sinks in force."""
        return [*self.rules.rules.config.sinks]

    @property
    def successful(self) -> float | None:
        """What the metric says."""
        return self.metrics.registry.get_sample_value("pcc_logic_last_reload_successful")


def test_what_was_accepted_is_recalled(tmp_path: Path) -> None:
    """A start with faulty files goes on with the last accepted ones, table and all."""
    before = World(tmp_path)
    before.write("crm")
    before.take()
    after = World(tmp_path, before.shelf)
    after.write("crm", TYPES + "B,nonsense\n")
    after.take()
    assert (after.sinks, after.successful) == ([], 0)
    after.rules.resume(after.rules.recall())
    assert after.sinks == ["crm"]
    assert after.rules.rules.table.diagnosis("A", None).matched


def test_a_spool_that_opens_late_does_not_bring_back_older_files(tmp_path: Path) -> None:
    """What was accepted since stays in force."""
    before = World(tmp_path)
    before.write("old")
    before.take()
    kept = before.shelf.contents[KEPT]
    after = World(tmp_path)
    after.write("new")
    after.take()
    after.shelf.contents[KEPT] = kept
    after.rules.resume(after.rules.recall())
    assert after.sinks == ["new"]


class BusyShelf(Shelf):
    """A shelf on which something else happens once while it keeps something."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] | None = None

    def keep(self, name: str, content: bytes) -> None:
        """Keep something, after what happens meanwhile."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().keep(name, content)


def test_what_is_accepted_while_the_older_is_kept_is_kept_next(tmp_path: Path) -> None:
    """After a restart the newer one is in force, though the older was written last at first."""
    shelf = BusyShelf()
    world = World(tmp_path, shelf)
    world.write("older")

    def accept_newer() -> None:
        world.write("newer")
        files = read_files(world.path)
        assert isinstance(files, Files)
        world.rules.accept(files, judged(files))

    shelf.meanwhile = accept_newer
    world.take()
    world.rules.keep()
    again = World(tmp_path, shelf)
    again.rules.resume(again.rules.recall())
    assert (world.sinks, again.sinks) == (["newer"], ["newer"])


def test_what_is_kept_and_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """So is what no sink can be made of any more."""
    world = World(tmp_path)
    world.shelf.contents[KEPT] = b"rubbish"
    world.rules.resume(world.rules.recall())
    assert world.sinks == []
    world.write("crm")
    world.take()
    again = World(tmp_path, world.shelf)
    again.refuses = True
    again.rules.resume(again.rules.recall())
    assert again.sinks == []


def test_a_sink_that_cannot_be_made_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Both files are one failure domain, also here."""
    world = World(tmp_path)
    world.write("crm")
    world.take()
    world.refuses = True
    world.write("other")
    world.take()
    assert (world.sinks, world.successful) == (["crm"], 0)


async def test_files_are_followed(tmp_path: Path) -> None:
    """A change comes into force, a faulty one does not, and files that are gone take nothing away."""
    world = World(tmp_path)
    world.write("one")
    follower = RulesFollower(world.path, world.rules, seconds=0.02)
    running = asyncio.create_task(follower.run())
    try:
        await eventually(lambda: world.sinks == ["one"])
        world.write("two")
        await eventually(lambda: world.sinks == ["two"])
        world.write("three", "rubbish")
        await eventually(lambda: world.successful == 0)
        world.write("four")
        await eventually(lambda: world.sinks == ["four"] and world.successful == 1)
        world.path.unlink()
        await eventually(lambda: world.successful == 0)
        assert world.sinks == ["four"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_files_are_read_only_where_they_look_different(tmp_path: Path) -> None:
    """A look at a large table costs no reading of it; each kind of change is seen."""
    world = World(tmp_path)
    reader = FilesReader(world.path)
    assert isinstance(reader.read(), str)
    world.write("crm")
    first = reader.read()
    assert isinstance(first, Files)
    assert reader.read() == first
    assert reader.read() is reader.read()
    (tmp_path / "logic/types.csv").write_text(TYPES + "B,misuse\n")
    second = reader.read()
    assert second != first
    (tmp_path / "logic/messages.en.csv").write_text("diagnosis_type,short_message\nA,a\n")
    third = reader.read()
    assert isinstance(third, Files)
    assert third.logic.keys() == {"types.csv", "messages.en.csv"}
    (tmp_path / "logic/messages.en.csv").unlink()
    assert reader.read() == second


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    """How files look is noted before they are read: what is written after that is seen at the next look."""
    world = World(tmp_path)
    world.write("first")
    looks: list[str] = []

    def look(path: str) -> Signature:
        looks.append(path)
        if len(looks) == len(files) + 1:  # after one look at each, whatever comes next
            world.write("much-newer")
        return signature(path)

    files: set[str] = set()
    reader = FilesReader(world.path, look)
    for _ in range(3):
        reader.read()
    files = {*looks}
    assert len(files) == 2
    world.write("second")
    looks.clear()
    newest = [reader.read() for _ in range(3)][-1]
    assert isinstance(newest, Files)
    assert b"much-newer" in newest.events


class Scripted:
    """A reader that finds something else at each look."""

    def __init__(self, *found: Files | str) -> None:
        self._found = [*found]

    def read(self) -> Files | str:
        """Return what is there now."""
        return self._found.pop(0) if len(self._found) > 1 else self._found[0]


async def test_what_is_being_written_is_not_taken(tmp_path: Path) -> None:
    """Files count once two looks in a row found the same, be it whole, half, or away for a moment."""
    world = World(tmp_path)

    def written(sink: str) -> Files:
        world.write(sink)
        files = read_files(world.path)
        assert isinstance(files, Files)
        return files

    one, half, two, three = map(written, ("one", "half", "two", "three"))
    follower = RulesFollower(world.path, world.rules, seconds=0.01)
    looks = Scripted(one, one, half, two, "away", two, two, half, two, three, three)
    follower._reader = cast("FilesReader", looks)
    running = asyncio.create_task(follower.run())
    try:
        await eventually(lambda: world.sinks == ["three"])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [[*rules.config.sinks] for rules in world.enforced] == [["one"], ["two"], ["three"]]
    assert world.successful == 1


def test_a_table_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """A table without it would mean something else, so nothing of these files comes into force."""
    world = World(tmp_path)
    world.write("crm")
    found = read_files(world.path)
    assert isinstance(found, Files)
    assert judged(found).rules is not None
    spoilt = Files(found.path, found.events, found.logic, {"messages.en.csv": "cannot be read"})
    judgement = judged(spoilt)
    assert judgement.rules is None
    assert any("messages.en.csv" in str(fault) for fault in judgement.faults)


@pytest.mark.parametrize("events", ["version = 2\n", "", 'version = 1\nlogic = "nowhere"\n'])
def test_a_judgement_has_rules_or_faults(tmp_path: Path, events: str) -> None:
    """Never both, and never neither."""
    path = tmp_path / "events.toml"
    path.write_text(events)
    found = judged_at(path)
    assert found.rules is None
    assert all(isinstance(fault, Fault) for fault in found.faults)
    assert found.faults
