"""The spool on a disk that is full, slow, damaged, or taken away: what was acknowledged is never missing."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from disks import START, StandingClock
from reconciler.core.errors import SpoolError
from reconciler.events.model import EventState, Result, Stored, Wanted
from reconciler.events.spool import Spool, open_beside
from reconciler.events.spool.committer import (
    HANGS_SECONDS,
    BlockingErrand,
    Committer,
    News,
    Work,
)
from reconciler.events.spool.file import SpoolFile
from reconciler.events.spool.retention import Limit
from reconciler.state.sqlite.connection import Newer
from reconciler.state.sqlite.session import Session
from scenarios import eventually
from spooled import Library, Routes, arrived, due, opened, outcome, sent, stored


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: a full disk for one that does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def written_by_another(file: Path) -> Iterator[sqlite3.Connection]:
    """Hold SQLite's write lock, as another process could."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.execute("ROLLBACK")


def size(folder: Path) -> int:
    """Return the size of the largest file of a spool."""
    return max(file.stat().st_size for file in folder.glob("events.db*"))


async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """What cannot be written is refused, what was written stays, and with room again everything goes on."""
    with opened(tmp_path) as spool:
        await stored(spool, sent(number=1))
        with largest_file(size(tmp_path)):
            with pytest.raises(SpoolError, match="the spool cannot be written"):
                await stored(spool, sent(number=2, extra="x" * 50_000))
            assert len(spool.events(Wanted())) == 1
        (receipt,) = await spool.store(arrived(sent(number=2)))
        assert receipt.stored is Stored.NEW
        assert len(due(spool, ordered=False)) == 2


async def test_an_outcome_waits_for_a_full_disk(tmp_path: Path) -> None:
    """How an attempt ended is kept once there is room, so that nothing is delivered twice for want of it."""
    with opened(tmp_path) as spool:
        seqs = await stored(spool, *(sent(f"device-{number}") for number in range(300)))
        with largest_file(size(tmp_path)):
            recording = asyncio.create_task(
                spool.record([outcome(seq, Result.DELIVERED) for seq in seqs])
            )
            with pytest.raises(SpoolError):
                await stored(spool, sent("another", extra="x" * 50_000))
            assert not recording.done()
            assert len(due(spool)) > 50
        async with asyncio.timeout(10):
            await recording
        assert due(spool) == []


async def test_an_outcome_that_waits_for_the_disk_ends_with_the_spool(tmp_path: Path) -> None:
    """A stop does not wait for a disk that takes nothing."""
    with opened(tmp_path) as spool:
        seqs = await stored(spool, *(sent(f"device-{number}") for number in range(300)))
        with largest_file(size(tmp_path)):
            recording = asyncio.create_task(
                spool.record([outcome(seq, Result.DELIVERED) for seq in seqs])
            )
            await asyncio.sleep(0)
            await asyncio.to_thread(spool.close)
            with pytest.raises(SpoolError):
                await recording
    with opened(tmp_path) as spool:
        assert len(due(spool)) == 100


async def test_a_commit_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    """A request that gave up waiting leaves nothing behind twice; what is sent again is stored once."""
    spool = Spool(tmp_path, StandingClock(), Routes(), limit=1 << 30)
    spool.open()
    try:
        with written_by_another(tmp_path / "events.db"), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stored(spool, sent())
        async with asyncio.timeout(20):
            while not spool.events(Wanted()):
                await asyncio.gather(spool.store(arrived(sent())), return_exceptions=True)
        assert len(spool.events(Wanted())) == 1
    finally:
        spool.close()


async def test_a_damaged_page_costs_only_what_is_on_it(tmp_path: Path) -> None:
    """The damaged file is put aside and said to be, and what can be read of it goes on in a fresh one."""
    with opened(tmp_path) as spool:
        uuid = spool.spool
        await stored(spool, *(sent(f"device-{n}", n) for n in range(400)))
        await spool.record([outcome(7, Result.DEAD)])
        await asyncio.to_thread(spool.keep, "names", b"kept")
    damage(tmp_path / "events.db", "body")
    with opened(tmp_path) as spool:
        (notice,) = spool.notices()
        assert "damaged" in notice
        assert "events.db.corrupt-20260102T030405Z" in notice
        assert spool.notices() == []
        assert spool.spool != uuid
        assert spool.kept("names") == b"kept"
        events = spool.events(Wanted(limit=1000))
        assert len(events) == 400
        assert 350 < sum(event.body is not None for event in events) < 400
        assert len(spool.events(Wanted(state=EventState.DEAD))) == 1
        attempts = spool.due("crm", START, 1000, ordered=True, busy=())
        assert len(attempts) == 399
        assert all(attempt.message.device is not None for attempt in attempts)
        (seq,) = await stored(spool, sent("new"))
        assert seq > 400
    assert (tmp_path / "events.db.corrupt-20260102T030405Z").exists()


def damage(file: Path, table: str) -> None:
    """Overwrite a page in the middle of a table."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    content = bytearray(file.read_bytes())
    root_page = content[(root - 1) * 4096 : root * 4096]
    assert root_page[0] == 5, "the table is too small to have a page in its middle"
    cells = int.from_bytes(root_page[3:5], "big")
    place = int.from_bytes(root_page[12 + cells // 2 * 2 :][:2], "big")
    child = int.from_bytes(root_page[place : place + 4], "big")
    assert 1 < child <= pages
    content[(child - 1) * 4096 : child * 4096] = b"\xa5" * 4096
    file.write_bytes(content)


@pytest.mark.parametrize("asked", ["what is due", "a list"])
async def test_damage_that_is_met_later_is_no_end(tmp_path: Path, asked: str) -> None:
    """A file that is damaged while it is open is put aside whoever meets the damage, and the spool goes on."""
    with opened(tmp_path) as spool:
        await stored(spool, *(sent(f"device-{n}", n) for n in range(400)))
    with opened(tmp_path) as spool:
        uuid = spool.spool
        spoil(tmp_path / "events.db")
        with pytest.raises(SpoolError, match="the spool cannot be read"):
            due(spool) if asked == "what is due" else spool.events(Wanted())
        async with asyncio.timeout(20):
            while not spool.notices():  # noqa: ASYNC110 - the thread of the spool looks now and then
                await asyncio.sleep(0.05)
        (seq,) = await stored(spool, sent("new"))
        assert due(spool) == [seq]
        assert spool.spool != uuid, "the daemon would go on after an old number"
        with closing(open_beside(tmp_path, StandingClock())) as beside:
            assert beside.spool == spool.spool


def spoil(file: Path) -> None:
    """Overwrite all of a file but its first page."""
    rest = file.stat().st_size - 4096
    with file.open("r+b") as handle:
        handle.seek(4096)
        handle.write(b"\xa5" * rest)


def take_away(folder: Path, what: str) -> None:
    """Do to the open file what somebody may do to it."""
    file = folder / "events.db"
    if what == "deleted":
        for one in folder.iterdir():
            one.unlink()
    elif what == "moved":
        folder.rename(folder.parent / "elsewhere")
    elif what == "replaced":
        file.unlink()
        file.write_bytes(b"something else")
    else:
        Path(f"{file}-wal").unlink()


def test_a_file_that_is_none_of_ours_is_put_aside(tmp_path: Path) -> None:
    """What is no database at all is kept under another name."""
    (tmp_path / "events.db").write_bytes(b"no database" * 1000)
    with opened(tmp_path) as spool:
        assert spool.events(Wanted()) == []
        assert len(spool.notices()) == 1


def test_a_newer_spool_is_refused(tmp_path: Path) -> None:
    """An older program leaves a newer spool alone, and says what to do."""
    with opened(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    spool = Spool(tmp_path, StandingClock(), Routes(), limit=1)
    with pytest.raises(Newer, match="the spool is of version 99"):
        spool.open()
    with pytest.raises(SpoolError, match="the spool is of version 99"):
        open_beside(tmp_path, StandingClock())


@pytest.mark.parametrize("what", ["deleted", "moved", "replaced", "log"])
async def test_a_spool_that_is_taken_away_is_brought_back(tmp_path: Path, what: str) -> None:
    """Whatever happens to the file at the path: what is acknowledged is found there by the next start."""
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        uuid = spool.spool
        await stored(spool, sent(number=1))
        take_away(folder, what)
        await stored(spool, sent(number=2))
        assert len(spool.events(Wanted())) == 2
        await stored(spool, sent(number=3))
        (notice,) = spool.notices()
        assert "was deleted, moved or replaced while it was open" in notice
        assert spool.spool == uuid
    with opened(folder) as spool:
        assert spool.spool == uuid
        assert [event.seq for event in spool.events(Wanted())] == [3, 2, 1]


async def test_one_defect_does_not_cost_the_others(tmp_path: Path) -> None:
    """Work that cannot be done fails alone; what shares its commit is done."""
    with opened(tmp_path) as spool:
        good = arrived(sent(number=1))
        (bad,) = arrived(sent(number=2))
        object.__setattr__(bad, "key", None)
        found = await asyncio.gather(
            spool.store(good),
            spool.store([bad]),
            spool.store(arrived(sent(number=3))),
            return_exceptions=True,
        )
        assert [isinstance(one, SpoolError) for one in found] == [False, True, False]
        assert len(spool.events(Wanted())) == 2


async def test_a_writing_thread_that_a_defect_ended_is_reported(tmp_path: Path) -> None:
    """The spool says so, refuses at once what comes, and closes; what was stored is there after the next start."""
    library = Library()
    library.answers.set()
    with opened(tmp_path, connect=library.connect) as spool:
        await stored(spool, sent(number=1))
        assert (spool.stuck(), spool.defect) == ("", "")
        library.defect = True
        words = "the thread that writes the spool ended: TypeError: a defect"
        await eventually(lambda: spool.defect == words)
        assert spool.stuck() == words
        with pytest.raises(SpoolError, match="TypeError: a defect"):
            await stored(spool, sent(number=2))
        with pytest.raises(SpoolError, match="TypeError: a defect"):
            spool.keep("names", b"kept")
    with opened(tmp_path) as spool:
        assert spool.stuck() == ""
        assert len(spool.events(Wanted())) == 1


class Patient(Work[int]):
    """Work that waits for the disk. ``turns``: what was carried out, in order; ``full``: how often the disk refuses."""

    patient = True

    def __init__(self, number: int, turns: list[int], full: int = 0) -> None:
        self._number, self._turns, self._full = number, turns, full

    def carry_out(self, session: Session) -> int:
        """Write something, unless the disk is full."""
        if self._full:
            self._full -= 1
            raise OSError("the disk is full")
        session.run("UPDATE fact SET value = value")
        self._turns.append(self._number)
        return self._number


class Unlucky(BlockingErrand):
    """An errand whose answer meets a defect of ours."""

    def done(self, result: Any) -> None:
        """Fail."""
        raise TypeError(f"a defect at {result}")


@contextmanager
def begun_with(folder: Path, *errands: BlockingErrand) -> Iterator[Committer]:
    """Give a committer that begins when all of this waits for it, so that one commit has it."""
    file = SpoolFile(folder, StandingClock())
    file.open()
    committer = Committer(file, Limit(1 << 30), News(), StandingClock())
    for one in errands:
        committer.submit(one)
    committer.start()
    try:
        yield committer
    finally:
        for one in errands:
            one.failed(SpoolError("the test is over"))  # lets a thread go that waits in vain
        committer.close()
        file.close()


async def test_who_shares_a_commit_with_a_defect_hears_of_the_end(tmp_path: Path) -> None:
    """Nobody whose work was in hand waits until a time limit: it is refused with the reason."""
    other = BlockingErrand(Patient(2, []))
    with begun_with(tmp_path, Unlucky(Patient(1, [])), other) as committer:
        with pytest.raises(SpoolError, match="TypeError: a defect at 1"):
            await asyncio.wait_for(asyncio.to_thread(other.wait), 20)
        assert "TypeError: a defect at 1" in committer.defect


async def test_what_waited_for_a_full_disk_is_written_in_its_order(tmp_path: Path) -> None:
    """The later of two outcomes counts, also where the disk took neither at first."""
    turns: list[int] = []
    errands = [BlockingErrand(Patient(one, turns, full=one == 1)) for one in (1, 2, 3)]
    with begun_with(tmp_path, *errands):
        assert await asyncio.wait_for(asyncio.to_thread(errands[-1].wait), 20) == 3
    assert turns[-3:] == [1, 2, 3]


async def test_a_writing_thread_that_hangs_is_reported_after_a_quarter_of_an_hour(
    tmp_path: Path,
) -> None:
    """A slow disk is no reason for a new start; and a disk that answers again goes on as if nothing had been."""
    library, clock = Library(), StandingClock()
    library.answers.set()
    with opened(tmp_path, clock, connect=library.connect) as spool:
        await stored(spool, sent(number=1))
        library.answers.clear()
        try:
            assert await asyncio.to_thread(library.hangs.wait, 20)
            clock.wait(seconds=HANGS_SECONDS)
            assert spool.stuck() == ""
            clock.wait(seconds=1)
            assert spool.stuck() == "the thread that writes the spool has hung for 901 seconds"
            assert spool.defect == ""
        finally:
            library.answers.set()
        await stored(spool, sent(number=2))
        assert spool.stuck() == ""


@dataclass
class SlowCopies:
    """SQLite on a disk on which a copy of a whole file takes until it is let go on."""

    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)

    def connect(self, uri: str) -> sqlite3.Connection:
        """Open a file."""
        copies = self

        class Connection(sqlite3.Connection):
            def backup(self, target: sqlite3.Connection, **options: Any) -> None:
                copies.begun.set()
                copies.may_end.wait(60)
                super().backup(target, **options)

        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, factory=Connection
        )


async def test_a_spool_whose_events_are_being_saved_is_not_ended(tmp_path: Path) -> None:
    """Copying all of them may take longer than anything else, and a new start would begin it anew."""
    copies, clock = SlowCopies(), StandingClock()
    with opened(tmp_path, clock, connect=copies.connect) as spool:
        await stored(spool, sent(number=1))
        (tmp_path / "events.db").unlink()
        storing = asyncio.create_task(stored(spool, sent(number=2)))
        try:
            assert await asyncio.to_thread(copies.begun.wait, 20)
            clock.wait(seconds=10 * HANGS_SECONDS)
            assert spool.stuck() == ""
        finally:
            copies.may_end.set()
        assert await storing == [2]
        assert len(spool.events(Wanted())) == 2


def test_a_spool_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Whoever reads the log has to know which folder to look at."""
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "spool"
    spool = Spool(folder, StandingClock(), Routes(), limit=1 << 30)
    with pytest.raises(SpoolError, match=f"the spool {folder / 'events.db'} cannot be opened: "):
        spool.open()
