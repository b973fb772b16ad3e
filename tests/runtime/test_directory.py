"""The directory: what the desired state says about a device, whatever becomes of its files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import Fault, SpoolError
from reconciler.core.model import (
    AccountName,
    Cause,
    Commit,
    Desired,
    DeviceId,
    DeviceType,
    Policy,
    Revision,
    Verified,
)
from reconciler.core.model import Device as Entry
from reconciler.desired import MemoryTree
from reconciler.events.model import Device, Knowledge
from reconciler.runtime.directory import DesiredDirectory, DirectoryFollower
from reconciler.runtime.directory.kept import NAME, packed, unpacked, without
from reconciler.source import NOTHING, Fetched, FileSource, Known, Source
from reconciler.source.git.clone import Clone
from reconciler.source.repository import GitSource
from repositories import Remote
from scenarios import eventually
from simulated import START, SimulatedClock
from strategies import fleets

ONE = """\
version = 1
devices = [
  "7121f083",
  { id = "ff638995", name = "Room 1203 fridge", type = "refrigerator" },
  { id = "0a77c3f2", name = "Trial kitchen", type = "oven", from = 2026-12-01T00:00:00Z, until = 2027-03-01T00:00:00Z },
]
policy.ignore = ["dddddddd"]
"""
TWO = """\
version = 1
[accounts.seoul]
devices = [{ id = "7121f083", name = "Old place", until = 2026-12-01T00:00:00Z }, "aaaaaaaa", "eeeeeeee"]
policy.ignore = ["eeeeeeee"]
[accounts.busan]
devices = [{ id = "7121f083", name = "New place", from = 2026-12-01T00:00:00Z }]
"""


class Shelf:
    """Keeps in memory what the spool would keep. While it is not open, it raises as the spool does."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.contents: dict[str, bytes] = {}
        self.writes = 0

    def kept(self, name: str) -> bytes | None:
        """Return what is kept."""
        self._check()
        return self.contents.get(name)

    def keep(self, name: str, content: bytes) -> None:
        """Keep something."""
        self._check()
        self.contents[name] = content
        self.writes += 1

    def _check(self) -> None:
        if not self.is_open:
            raise SpoolError("the spool is not open")


class World:
    """A directory that follows a source, on a clock that stands still."""

    def __init__(self, source: Source, shelf: Shelf) -> None:
        self.clock = SimulatedClock()
        self.directory = DesiredDirectory(self.clock)
        self.shelf = shelf
        self.follower = DirectoryFollower(source, self.directory, shelf, seconds=0.05)

    def name(self, device: str) -> str | None:
        """Return the name of a device."""
        return self.directory.device(device).name


@asynccontextmanager
async def following(source: Source, shelf: Shelf | None = None) -> AsyncIterator[World]:
    """Give a world in which the source was asked once."""
    world = World(source, shelf or Shelf())
    running = asyncio.create_task(world.follower.run())
    try:
        await eventually(lambda: world.follower.was_read)
        yield world
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def file(folder: Path, text: str) -> FileSource:
    """Return a source of one file with this text."""
    path = folder / "desired-state.toml"
    path.write_text(text)
    return FileSource(path)


async def test_a_device_is_named_as_the_file_does(tmp_path: Path) -> None:
    """One that is listed is desired; one outside its dates is named and not desired; others are unknown or ignored."""
    async with following(file(tmp_path, ONE)) as world:
        device = world.directory.device
        assert device("7121f083") == Device("7121f083", Knowledge.DESIRED, "default", desired=True)
        assert device("ff638995") == Device(
            "ff638995", Knowledge.DESIRED, "default", "Room 1203 fridge", "refrigerator", desired=True
        )  # fmt: skip
        assert device("0a77c3f2") == Device(
            "0a77c3f2", Knowledge.UNKNOWN, "default", "Trial kitchen", "oven", desired=False
        )  # fmt: skip
        assert device("cccccccc") == Device("cccccccc", Knowledge.UNKNOWN, desired=False)
        assert device("dddddddd") == Device("dddddddd", Knowledge.IGNORED, desired=False)
        world.clock.moment = START + timedelta(days=40)
        assert device("0a77c3f2").knowledge is Knowledge.DESIRED


async def test_of_two_accounts_the_one_counts_that_wants_it_now(tmp_path: Path) -> None:
    """So a device that moves is named by where it is."""
    async with following(file(tmp_path, TWO)) as world:
        assert world.directory.device("7121f083").account == "seoul"
        assert world.directory.device("aaaaaaaa").account == "seoul"
        assert world.directory.device("eeeeeeee").knowledge is Knowledge.IGNORED
        assert world.directory.device("eeeeeeee").account == "seoul"
        world.clock.moment = START + timedelta(days=40)
        assert world.name("7121f083") == "New place"


async def test_without_a_desired_state_nothing_is_known(tmp_path: Path) -> None:
    """It is said once, and is no error; a file that comes later is read."""
    with capture_logs() as logs:
        async with following(FileSource(tmp_path / "desired-state.toml")) as world:
            assert world.directory.device("7121f083") == Device("7121f083")
            await asyncio.sleep(0.3)
            file(tmp_path, ONE)
            await eventually(lambda: world.name("ff638995") == "Room 1203 fridge")
    assert [line["event"] for line in logs] == ["directory.none", "directory.accepted"]


async def test_a_change_is_read(tmp_path: Path) -> None:
    """A new name is there without a restart, and is kept."""
    async with following(file(tmp_path, ONE)) as world:
        before = world.shelf.writes
        file(tmp_path, ONE.replace("Room 1203", "Room 1204"))
        await eventually(lambda: world.name("ff638995") == "Room 1204 fridge")
        await eventually(lambda: world.shelf.writes > before)


@pytest.mark.parametrize("text", ["", "version = 1\ndevices = [3]", "<<<<<<< a\n", "version = 2\n"])
async def test_a_faulty_file_takes_no_name_away(tmp_path: Path, text: str) -> None:
    """The last accepted one stays in force, and the faults are logged once."""
    with capture_logs() as logs:
        async with following(file(tmp_path, ONE)) as world:
            file(tmp_path, text)
            await eventually(lambda: world.follower.accepted.rejected is not None)
            await asyncio.sleep(0.3)
            assert world.name("ff638995") == "Room 1203 fridge"
            (tmp_path / "desired-state.toml").unlink()
            await asyncio.sleep(0.3)
            assert world.name("ff638995") == "Room 1203 fridge"
    assert [line["event"] for line in logs].count("directory.rejected") == 1


async def test_a_start_with_a_faulty_file_goes_on_with_what_was_kept(tmp_path: Path) -> None:
    """Names outlive a restart, also where the file does not."""
    shelf = Shelf()
    async with following(file(tmp_path, ONE), shelf) as world:
        await eventually(lambda: NAME in shelf.contents)
    async with following(file(tmp_path, "broken"), shelf) as world:
        assert world.name("ff638995") == "Room 1203 fridge"
        assert world.directory.device("dddddddd").knowledge is Knowledge.IGNORED
    (tmp_path / "desired-state.toml").unlink()
    async with following(FileSource(tmp_path / "desired-state.toml"), shelf) as world:
        assert world.name("ff638995") == "Room 1203 fridge"
    assert shelf.writes == 1


async def test_one_faulty_file_of_a_folder_takes_away_only_what_is_new_in_it(
    tmp_path: Path,
) -> None:
    """As in the daemon: the others come into force, and the accounts of the faulty one stay."""
    (tmp_path / "a.toml").write_text(
        'version = 1\n[accounts.a]\ndevices = [{ id = "aa", name = "A" }]\n'
    )
    (tmp_path / "b.toml").write_text(
        'version = 1\n[accounts.b]\ndevices = [{ id = "bb", name = "B" }]\n'
    )
    shelf = Shelf()
    async with following(FileSource(tmp_path), shelf) as world:
        await eventually(lambda: NAME in shelf.contents)
    (tmp_path / "a.toml").write_text("version = 1\n[accounts.a]\ndevices = 3\n")
    (tmp_path / "b.toml").write_text(
        'version = 1\n[accounts.b]\ndevices = [{ id = "bb", name = "C" }]\n'
    )
    async with following(FileSource(tmp_path), shelf) as world:
        assert (world.name("aa"), world.name("bb")) == ("A", "C")


async def test_a_spool_that_opens_late_is_recalled_late(tmp_path: Path) -> None:
    """Until then the files count; what was kept comes into force where they are faulty."""
    shelf = Shelf()
    async with following(file(tmp_path, ONE), shelf) as world:
        await eventually(lambda: NAME in shelf.contents)
    shelf.is_open = False
    async with following(file(tmp_path, "broken"), shelf) as world:
        assert world.name("ff638995") is None
        shelf.is_open = True
        await eventually(lambda: world.name("ff638995") == "Room 1203 fridge")


async def test_a_spool_that_opens_late_brings_back_what_is_faulty_now(tmp_path: Path) -> None:
    """A folder of which one file is good and one is not: the names of both are there, the good ones as they are now."""
    for name in ("aa", "bb"):
        text = f'[accounts.{name}]\ndevices = [{{ id = "{name}{name}", name = "Old {name}" }}]\n'
        (tmp_path / f"{name}.toml").write_text(f"version = 1\n{text}")
    shelf = Shelf()
    async with following(FileSource(tmp_path), shelf) as world:
        await eventually(lambda: NAME in shelf.contents)
    (tmp_path / "aa.toml").write_text("version = 1\n[accounts.aa]\ndevices = 3\n")
    text = (tmp_path / "bb.toml").read_text()
    (tmp_path / "bb.toml").write_text(text.replace("Old", "New"))
    shelf.is_open = False
    async with following(FileSource(tmp_path), shelf) as world:
        await eventually(lambda: world.name("bbbb") == "New bb")
        assert world.name("aaaa") is None
        shelf.is_open = True
        await eventually(lambda: (world.name("aaaa"), world.name("bbbb")) == ("Old aa", "New bb"))


async def test_a_spool_that_cannot_be_written_costs_no_name(tmp_path: Path) -> None:
    """It is kept as soon as that is possible."""
    shelf = Shelf(is_open=False)
    async with following(file(tmp_path, ONE), shelf) as world:
        assert world.name("ff638995") == "Room 1203 fridge"
        shelf.is_open = True
        await eventually(lambda: NAME in shelf.contents)


async def test_what_is_kept_and_none_of_ours_is_passed_over(tmp_path: Path) -> None:
    """A spool of another version ends nothing."""
    shelf = Shelf()
    shelf.contents[NAME] = b"\x00rubbish"
    async with following(file(tmp_path, ONE), shelf) as world:
        assert world.name("ff638995") == "Room 1203 fridge"


async def test_a_defect_ends_nothing(tmp_path: Path) -> None:
    """Whatever the source does, names are worth less than the process."""

    class Broken(FileSource):
        def at_rest(self) -> bool:
            raise ZeroDivisionError

    path = tmp_path / "desired-state.toml"
    path.write_text(ONE)
    with capture_logs() as logs:
        async with following(Broken(path)) as world:
            await asyncio.sleep(0.3)
            assert world.directory.device("ff638995") == Device("ff638995")
    assert [line["event"] for line in logs] == ["directory.failed"]


class Identified(FileSource):
    """Files that are known by their bytes, and not read again where the newest are the ones that were judged last."""

    def fetch(self, known: Known = NOTHING) -> Fetched | None:  # type: ignore[override]
        """Return the files, unless they are known."""
        identity = self._path.read_text()
        return None if known.identity == identity else replace(super().fetch(), identity=identity)


class BrokenOnce(DesiredDirectory):
    """A directory in which something goes wrong once while names come into force."""

    is_broken = False

    def enforce(self, accepted: Accepted) -> None:
        """Answer by these accounts, or fail."""
        is_broken, self.is_broken = self.is_broken, False
        if is_broken:
            raise ZeroDivisionError
        super().enforce(accepted)


async def test_names_that_failed_to_come_into_force_are_read_again(tmp_path: Path) -> None:
    """A defect after the reading does not leave the file behind as one that is in force."""
    path = tmp_path / "desired-state.toml"
    path.write_text(ONE)
    directory = BrokenOnce(SimulatedClock())
    follower = DirectoryFollower(Identified(path), directory, Shelf(), seconds=0.05)
    running = asyncio.create_task(follower.run())
    try:
        await eventually(lambda: directory.device("ff638995").name == "Room 1203 fridge")
        directory.is_broken = True
        path.write_text(ONE.replace('"dddddddd"', '"dddddddd", "cccccccc"'))
        await eventually(lambda: directory.device("cccccccc").knowledge is Knowledge.IGNORED)
        assert not directory.is_broken
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_repository_is_followed(tmp_path: Path) -> None:
    """A push brings new names; a remote that is gone takes none away."""
    remote = Remote(tmp_path / "remote")
    remote.publish({"desired-state.toml": ONE})
    source = GitSource(
        Clone(tmp_path / "clone", str(remote.bare)),
        "main",
        Path("desired-state.toml"),
        interval=0.3,
    )
    try:
        async with following(source) as world:
            assert world.name("ff638995") == "Room 1203 fridge"
            remote.publish({"desired-state.toml": ONE.replace("1203", "1204")})
            await eventually(lambda: world.name("ff638995") == "Room 1204 fridge")
            remote.bare.rename(tmp_path / "away")
            await asyncio.sleep(0.7)
            assert world.name("ff638995") == "Room 1204 fridge"
    finally:
        source.close()


@settings(max_examples=25)
@given(fleets(), st.frozensets(st.text("abc", min_size=1)))
def test_what_is_kept_names_devices_alike(states: list[Desired], signed: frozenset[str]) -> None:
    """Every device has the same account, name, type and dates after a restart."""
    revision = Revision("f" * 64)
    accepted = Accepted(
        accounts={one.account: AccountRevision(one, revision) for one in states},
        shared=frozenset({"a.toml"}),
        revision=revision,
    )
    recalled = unpacked(packed(accepted, signed))
    assert recalled is not None
    assert recalled.signed == signed
    assert recalled.accepted.shared == accepted.shared
    clock = SimulatedClock()
    before, after = DesiredDirectory(clock), DesiredDirectory(clock)
    before.enforce(accepted)
    after.enforce(recalled.accepted)
    for one in states:
        for device in (*one.devices, *one.policy.ignore, "nobody"):
            assert after.device(device) == before.device(device)


_days = st.none() | st.sampled_from([START + timedelta(days=days) for days in (-2, 0, 2)])
_entries = st.builds(
    Entry,
    st.sampled_from([DeviceId(one) for one in "xyz"]),
    st.none() | st.sampled_from(["Kitchen", "Hall"]),
    st.none() | st.sampled_from([DeviceType.OVEN, DeviceType.REFRIGERATOR]),
    _days,
    _days,
)


@st.composite
def _in_force(draw: st.DrawFn) -> dict[AccountName, Desired]:
    """Draw what up to three accounts want of three devices."""
    found = {}
    for name in draw(st.lists(st.sampled_from("cab"), unique=True)):
        entries = {one.id: one for one in draw(st.lists(_entries, max_size=3))}
        found[AccountName(name)] = Desired(
            AccountName(name),
            frozenset(entries),
            {one.id: one for one in entries.values() if one != Entry(one.id)},
            Policy(ignore=draw(st.frozensets(st.sampled_from([*entries, DeviceId("z")])))),
        )
    return found


@given(st.lists(_in_force(), min_size=1, max_size=3))
def test_devices_are_named_by_what_is_in_force(states: list[dict[AccountName, Desired]]) -> None:
    """By the first account that wants a device now, else by the first that lists it; nothing of before is left."""
    directory = DesiredDirectory(SimulatedClock())
    for state in states:
        directory.enforce(
            Accepted(
                {name: AccountRevision(one, Revision("f" * 64)) for name, one in state.items()}
            )
        )
        for device in "wxyz":
            assert directory.device(device) == _named(state, DeviceId(device))


def _named(state: dict[AccountName, Desired], device: DeviceId) -> Device:
    """Return what is known of a device, by looking through all accounts."""
    if not state:
        return Device(device)
    entries = [
        (account, account.described.get(device, Entry(device)))
        for _name, account in sorted(state.items())
        if device in account.devices
    ]
    if not entries:
        ignored = any(device in account.policy.ignore for account in state.values())
        return Device(device, Knowledge.IGNORED if ignored else Knowledge.UNKNOWN, desired=False)
    wanting = [
        (account, entry)
        for account, entry in entries
        if (entry.from_ is None or entry.from_ <= START)
        and (entry.until is None or entry.until > START)
    ]
    account, entry = (wanting or entries)[0]
    knowledge = Knowledge.DESIRED if wanting else Knowledge.UNKNOWN
    return Device(
        device,
        Knowledge.IGNORED if device in account.policy.ignore else knowledge,
        account.account,
        entry.name,
        None if entry.type is None else str(entry.type),
        desired=bool(wanting),
    )


@settings(max_examples=25)
@given(fleets(), st.integers(0, 5))
def test_what_is_kept_without_a_device_names_all_others_alike(
    states: list[Desired], number: int
) -> None:
    """Of several accounts, one that names it loses it, and no other device or account loses anything."""
    revision = Revision("f" * 64)
    accepted = Accepted(
        {one.account: AccountRevision(one, revision) for one in states}, revision=revision
    )
    everybody = sorted({one for state in states for one in (*state.devices, *state.policy.ignore)})
    gone = everybody[number % len(everybody)] if everybody else "nobody"
    content = without(packed(accepted, {"signed"}), gone)
    if not everybody:
        assert content is None
        return
    assert content is not None
    recalled = unpacked(content)
    assert recalled is not None
    assert recalled.signed == {"signed"}
    before, after = DesiredDirectory(SimulatedClock()), DesiredDirectory(SimulatedClock())
    before.enforce(accepted)
    after.enforce(recalled.accepted)
    assert after.device(gone) == Device(gone, Knowledge.UNKNOWN, desired=False)
    for device in everybody:
        if device != gone:
            assert after.device(device) == before.device(device)


class Signing(FileSource):
    """A file from commits whose signatures are checked. It notes which signed commits are reported to be in force."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.told: list[frozenset[str]] = []
        self.head: Commit | None = None

    def push(self, name: str, content: str, verified: Verified = Verified.YES) -> None:
        """Let a commit be the newest."""
        self.head = Commit(name * 40, "Kim <kim@example.com>", "Change", START, verified)
        self._path.write_text(content)

    def fetch(self, known: Known = NOTHING) -> Fetched:
        """Return the file, or why its commit is not believed."""
        self.told.append(known.signed)
        fetched = super().fetch(known)
        if self.head is not None and self.head.verified is Verified.NO:
            fault = Fault("", 0, 0, "it is not signed")
            return Fetched((), MemoryTree({}), (fault,), Cause.UNVERIFIED)
        return fetched

    def commit(self, files: Mapping[str, bytes]) -> Commit | None:
        """Return the newest commit."""
        del files
        return self.head


async def test_signed_commits_in_force_are_known_also_after_a_restart(tmp_path: Path) -> None:
    """One that is not believed, or is faulty, is none of them, and changes no name."""
    source, shelf = Signing(tmp_path / "desired-state.toml"), Shelf()
    world = World(source, shelf)

    async def after(name: str, content: str, verified: Verified = Verified.YES) -> tuple[str, str]:
        source.push(name, content, verified)
        source.told.clear()
        await world.follower.refresh()
        (told,) = set(source.told)
        return world.name("ff638995") or "", "".join(one[0] for one in told)

    newer = ONE.replace("1203", "1204")
    assert await after("a", ONE) == ("Room 1203 fridge", "")
    assert await after("b", f"{ONE}[") == ("Room 1203 fridge", "a")
    assert await after("c", newer, Verified.NO) == ("Room 1203 fridge", "a")
    assert await after("d", newer) == ("Room 1204 fridge", "a")
    assert await after("d", newer) == ("Room 1204 fridge", "d")
    source.told.clear()
    source.push("e", newer, Verified.NO)
    async with following(source, shelf) as again:
        assert again.name("ff638995") == "Room 1204 fridge"
    assert set(source.told) == {frozenset({"d" * 40})}


async def test_a_device_is_forgotten(tmp_path: Path) -> None:
    """What is kept then names every device but that one, and what does not name it stays as it is."""
    shelf = Shelf()
    async with following(file(tmp_path, ONE), shelf):
        await eventually(lambda: NAME in shelf.contents)
    content = shelf.contents[NAME]
    left = without(content, "ff638995")
    assert left is not None
    recalled = unpacked(left)
    assert recalled is not None
    directory = DesiredDirectory(SimulatedClock())
    directory.enforce(recalled.accepted)
    assert directory.device("ff638995") == Device("ff638995", Knowledge.UNKNOWN, desired=False)
    assert directory.device("7121f083").account == "default"
    ignored = without(left, "dddddddd")
    assert ignored is not None
    assert without(ignored, "dddddddd") is None
    assert without(left, "ff638995") is None
    assert without(b"rubbish", "ff638995") is None


def test_a_device_may_be_looked_up_among_very_many() -> None:
    """A question does not take time with the number of accounts."""
    revision = Revision("f" * 64)
    accounts: dict[AccountName, AccountRevision] = {}
    for number in range(5000):
        name = AccountName(f"a{number}")
        desired = Desired(name, frozenset({DeviceId(f"d{number}")}))
        accounts[name] = AccountRevision(desired, revision)
    directory = DesiredDirectory(SimulatedClock())
    directory.enforce(Accepted(accounts=accounts))
    assert all(directory.device(f"d{n}").account == f"a{n}" for n in range(5000))
