"""Ends a spool's writer at random, again and again: nothing that was acknowledged may be missing afterwards.

Run as ``python -m crashes --trials 1000``. Each trial is made from its seed. A process stores events, records outcomes,
and says of each on a pipe when it is acknowledged. Its end comes in one of three ways, and then the spool is opened
anew, as the next start would, and compared with what was said.

``kill``: the process is killed at any moment. What it wrote stays in the kernel's hands.

``full``: no file may grow beyond a size, or the database has all the pages it may have. Requests are refused; later
there is room again, or the process is killed with the disk still full.

``power``: the process is stopped, its files are copied as they are at that moment, and then everything is taken from
the copy that a disk need not have when power comes back. Bytes that were written before the last ``fsync`` of their
file are on the disk; of the later ones any part may be there, torn at any sector, in any order. In WAL mode with
``synchronous=FULL`` SQLite makes three kinds of writes, and only these:

* Frames in the log, with an ``fsync`` at the end of each commit. The writer says on the pipe how many frames were valid
  when ``COMMIT`` returned. All bytes of the log behind those may be anything, or not be there.
* Pages in the file, at a checkpoint, after an ``fsync`` of the log up to a frame that the log's index says
  (``nBackfillAttempted``). Until the file itself was synced, which the index says, too (``nBackfill``), each of these
  pages may be anything. They are the pages of the frames behind that number.
* The log's header, when it is filled anew from its beginning. That happens only after the file was synced, so then the
  log is not needed, and all its bytes may be anything; the frames of the last filling have another salt.

The index itself (``-shm``) is made anew by the first process after a crash, so it is not copied.

``--defect`` plants an error that the trials have to find: ``early`` acknowledges before the commit, and ``hasty``
commits without waiting for the disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from power import BACKFILLED, FRAME_HEADER, FULL, HEADER, VALID
from reconciler.core.errors import SpoolError
from reconciler.events.model import Arrival, EventState, Outcome, Result, Wanted
from reconciler.events.spool import Spool, tables
from reconciler.runtime.clock import SystemClock
from spooled import Routes, To, arrived, sent

KINDS = ("kill", "full", "power")
DEFECTS = ("early", "hasty")
SINKS = ("crm", "log")
SALT, ATTEMPTED = slice(32, 40), slice(128, 132)
"""Where the index beside the log has the log's salt, and how many frames the last checkpoint was to carry over."""
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder in it is ours alone
"""Where the trials are made: what a kill leaves is in the kernel's memory anyway, and the loss of power is modelled."""
SECTOR = 512
PAGE = 4096
LIMIT = 1 << 40
LONGEST_SECONDS = 20.0
"""How long a trial may take to get as far as its end is planned."""


@dataclass
class Said:
    """What a writer said before its end."""

    events: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The seq and the digest of the body of each event that was acknowledged, by id."""
    delivered: set[tuple[int, str]] = field(default_factory=set)
    """The seq and sink of each outcome that was recorded."""
    synced: tuple[str, int] = ("", 0)
    """The salt of the log at the last commit, and its number of valid frames."""

    def hear(self, line: str) -> None:
        """Take one line."""
        kind, *words = line.split()
        if kind == "stored":
            self.events[words[0]] = (int(words[1]), words[2])
        elif kind == "delivered":
            self.delivered.add((int(words[0]), words[1]))
        elif kind == "synced":
            self.synced = (words[0], int(words[1]))


class Writer:
    """A process of its own that writes a spool and says what is acknowledged."""

    def __init__(self, folder: Path, chance: random.Random, *, full: bool, defect: str) -> None:
        self._folder, self._full, self._defect = folder, full, defect
        self._seed = chance.getrandbits(32)
        self._pipe, theirs = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            self._live(theirs)
        os.close(theirs)
        os.set_blocking(self._pipe, False)
        self._rest = b""

    def _live(self, pipe: int) -> None:
        os.close(self._pipe)  # so that it ends once nobody listens
        chance = random.Random(self._seed)  # noqa: S311 - any will do
        try:
            asyncio.run(_Writing(self._folder, pipe, chance, self._defect).go_on(full=self._full))
        except BaseException as error:  # noqa: BLE001 - whatever it is, this process ends here
            os.write(2, f"the writer failed: {error!r}\n".encode())
            os._exit(1)
        os._exit(0)

    def lines(self) -> Iterator[str]:
        """Yield what was said and not yet read."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, 1 << 16):
                self._rest += data
        *whole, self._rest = self._rest.split(b"\n")
        for line in whole:
            yield line.decode()

    def stop(self) -> None:
        """Stop it where it is."""
        os.kill(self.process, signal.SIGSTOP)
        os.waitpid(self.process, os.WUNTRACED)

    def end(self) -> None:
        """Kill it."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)


class _Writing:
    """What the writer does until it is ended."""

    def __init__(self, folder: Path, pipe: int, chance: random.Random, defect: str) -> None:
        self._folder, self._pipe, self._chance, self._defect = folder, pipe, chance, defect
        self._pages_before_checkpoint = chance.choice([5, 30, 100, 1000])
        self._page_limit = 0
        self._number = 0
        self._name = f"{chance.getrandbits(48):x}"

    async def go_on(self, *, full: bool) -> None:
        """Store and deliver, a few requests at once."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if full and self._chance.random() < 0.5:
            self._page_limit = self._chance.randint(60, 300)
        elif full:
            most = self._chance.randint(100_000, 800_000)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        spool = Spool(
            self._folder,
            SystemClock(),
            Routes(To(SINKS)),
            limit=LIMIT,
            connect=self._connect,
        )
        while True:
            try:
                spool.open()
                break
            except SpoolError:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._chance.choice([1, 4, 20])):
                tasks.create_task(self._requests(spool))
            tasks.create_task(self._deliver(spool))
            if full:
                tasks.create_task(self._room_again((soft, hard)))

    async def _requests(self, spool: Spool) -> None:
        chance = self._chance
        while True:
            bodies = []
            for _ in range(chance.choice([1, 1, 1, 5])):
                self._number += 1
                words = "x" * chance.choice([0, 10, 300, 9000])
                device = f"{self._name}-{chance.randint(1, 30)}"
                bodies.append(sent(device, self._number, extra=words))
            arrivals = arrived(*bodies)
            if self._defect == "early":
                for arrival in arrivals:
                    self._say_stored(tables.event_id(arrival.key), 0, arrival)
            try:
                receipts = await spool.store(arrivals)
            except SpoolError:
                await asyncio.sleep(0.002)
                continue
            for receipt, arrival in zip(receipts, arrivals, strict=True):
                self._say_stored(receipt.id, receipt.seq, arrival)

    async def _deliver(self, spool: Spool) -> None:
        while True:
            await asyncio.sleep(self._chance.random() * 0.01)
            for sink in SINKS:
                now = SystemClock().now()
                attempts = spool.due(sink, now, 20, ordered=True, busy=())
                outcomes = [Outcome(one.seq, sink, Result.DELIVERED, now) for one in attempts]
                await spool.record(outcomes)
                for outcome in outcomes:
                    self._say(f"delivered {outcome.seq} {sink}")

    async def _room_again(self, limits: tuple[int, int]) -> None:
        await asyncio.sleep(0.05 + self._chance.random() * 0.3)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self._page_limit = 0

    def _say_stored(self, id_: str, seq: int, arrival: Arrival) -> None:
        self._say(f"stored {id_} {seq} {sha256(arrival.body).hexdigest()}")

    def _say(self, line: str) -> None:
        os.write(self._pipe, f"{line}\n".encode())

    def _connect(self, uri: str) -> sqlite3.Connection:
        """Open the spool so that each commit is said, checkpoints are frequent, and pages may be few."""
        writing = self

        class Watched(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
                if sql.startswith("PRAGMA wal_autocheckpoint"):
                    sql = f"PRAGMA wal_autocheckpoint = {writing._pages_before_checkpoint}"
                if sql.startswith("PRAGMA synchronous =") and writing._defect == "hasty":
                    sql = "PRAGMA synchronous = NORMAL"
                if sql == "BEGIN IMMEDIATE":
                    pages = writing._page_limit or 1 << 30
                    super().execute(f"PRAGMA max_page_count = {pages}").fetchall()
                cursor = super().execute(sql, parameters)
                if sql == "COMMIT":
                    writing._say_synced(super().execute("PRAGMA synchronous").fetchone()[0])
                return cursor

        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, factory=Watched
        )

    def _say_synced(self, synchronous: int) -> None:
        if synchronous < FULL:
            return
        salt, frames = log_position(self._folder / "events.db")
        self._say(f"synced {salt or '-'} {frames}")


def log_position(file: Path) -> tuple[str, int]:
    """Return the salt of a log, and how many of its frames are valid."""
    index = Path(f"{file}-shm").read_bytes()
    with Path(f"{file}-wal").open("rb") as log:
        salt = log.read(HEADER)[16:24].hex()
    return salt, int.from_bytes(index[VALID], sys.byteorder)


def lose_power(file: Path, into: Path, said: Said, chance: random.Random) -> None:
    """Copy the files of a stopped writer, and take from the copy what need not be on the disk."""
    into.mkdir()
    copy = into / file.name
    log, index = Path(f"{file}-wal"), Path(f"{file}-shm")
    if not file.exists():
        return
    shutil.copyfile(file, copy)
    if not log.exists() or not index.exists():
        return
    content = bytearray(log.read_bytes())
    salt, frames = said.synced
    if bytes(content[16:24]).hex() != salt:
        frames = 0
    numbers = index.read_bytes()
    backfilled = int.from_bytes(numbers[BACKFILLED], sys.byteorder)
    if numbers[SALT] == content[16:24]:
        frames = max(frames, int.from_bytes(numbers[ATTEMPTED], sys.byteorder))
    _tear_pages(copy, _pages(content, backfilled, frames), chance)
    safe = HEADER + frames * (FRAME_HEADER + PAGE) if frames else 0
    Path(f"{copy}-wal").write_bytes(_torn(content, safe, chance))


def _pages(log: bytes | bytearray, first: int, last: int) -> set[int]:
    """Return the numbers of the pages in some frames of a log."""
    size = FRAME_HEADER + PAGE
    places = (HEADER + frame * size for frame in range(first, last))
    return {int.from_bytes(log[place : place + 4], "big") for place in places}


def _tear_pages(file: Path, pages: set[int], chance: random.Random) -> None:
    """Overwrite some of these pages, or a part of them, with anything."""
    content = bytearray(file.read_bytes())
    share = chance.random()
    for page in sorted(pages):
        place = (page - 1) * PAGE
        if chance.random() < share and place < len(content):
            begin = chance.randrange(0, PAGE, SECTOR)
            content[place + begin : place + PAGE] = chance.randbytes(PAGE - begin)
    file.write_bytes(content)


def _torn(content: bytearray, safe: int, chance: random.Random) -> bytes:
    """Return a log of which only the beginning is sure to be there."""
    share = chance.choice([0.0, 0.1, 0.5, 1.0])
    for place in range(safe, len(content), SECTOR):
        if chance.random() < share:
            rest = content[place : place + SECTOR]
            content[place : place + SECTOR] = chance.choice(
                [bytes(len(rest)), chance.randbytes(len(rest))]
            )
    return bytes(content[: chance.randint(safe, max(safe, len(content)))])


def trial(seed: int, folder: Path, defect: str = "") -> int:
    """End a writer some times, by one seed; return the number of events that were acknowledged.

    Raises ``AssertionError`` if one of them is missing.
    """
    chance = random.Random(seed)  # noqa: S311 - any will do
    kind = KINDS[seed % len(KINDS)]
    said = Said()
    spool = folder / "0"
    for life in range(1, 1 + chance.randint(1, 3)):
        writer = Writer(spool, chance, full=kind == "full", defect=defect)
        try:
            _listen(writer, said, chance)
            if kind == "power":
                writer.stop()
                _hear(writer, said)
                lose_power(spool / "events.db", folder / str(life), said, chance)
                spool = folder / str(life)
            writer.end()
            if kind != "power":
                _hear(writer, said)
        finally:
            writer.close()
        check(spool, said)
        said.synced = ("", 0)
    return len(said.events)


def _hear(writer: Writer, said: Said) -> None:
    for line in writer.lines():
        said.hear(line)


def _listen(writer: Writer, said: Said, chance: random.Random) -> None:
    """Let the writer live until it acknowledged some events, or a little while."""
    enough = len(said.events) + chance.choice([0, 1, 30, 200])
    until = time.monotonic() + LONGEST_SECONDS
    while len(said.events) < enough and time.monotonic() < until:
        _hear(writer, said)
        time.sleep(0.001)
    time.sleep(chance.random() * 0.03)


def check(folder: Path, said: Said) -> None:
    """Compare a spool with what was said about it, and see that it goes on."""
    spool = Spool(folder, SystemClock(), Routes(To(SINKS)), limit=LIMIT)
    spool.open()
    try:
        assert not spool.notices(), "the file is damaged"
        asyncio.run(_compare(spool, said))
    finally:
        spool.close()
    with closing(sqlite3.connect(folder / "events.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def _compare(spool: Spool, said: Said) -> None:
    events = {event.id: event for event in spool.events(Wanted(limit=1 << 30))}
    for id_, (seq, digest) in said.events.items():
        assert id_ in events, f"event {seq} was acknowledged and is missing"
        event = events[id_]
        assert seq in {event.seq, 0}
        assert event.body is not None
        assert sha256(event.body).hexdigest() == digest, f"event {seq} has other bytes"
        assert {row.sink for row in event.deliveries} == set(SINKS)
        for row in event.deliveries:
            if (seq, row.sink) in said.delivered:
                assert row.state is EventState.DELIVERED, f"event {seq} would be delivered again"
    for sink in SINKS:
        _compare_due(spool, sink)
    (receipt,) = await spool.store(arrived(sent("afterwards", len(events))))
    assert receipt.seq > max((event.seq for event in events.values()), default=0)
    said.events[receipt.id] = (receipt.seq, sha256(sent("afterwards", len(events))).hexdigest())


def _compare_due(spool: Spool, sink: str) -> None:
    """See that each undelivered event is due: the first of each device now, the others after it."""
    now = SystemClock().now()
    waiting = spool.events(Wanted(sink=sink, state=EventState.PENDING, limit=1 << 30))
    anyway = spool.due(sink, now, 1 << 30, ordered=False, busy=())
    assert {attempt.seq for attempt in anyway} == {event.seq for event in waiting}
    first = {event.device: event.seq for event in waiting}  # newest first, so the oldest stays
    in_order = spool.due(sink, now, 1 << 30, ordered=True, busy=())
    assert {attempt.message.device: attempt.seq for attempt in in_order} == first


def main(arguments: Sequence[str]) -> int:
    """Make trials; print what came of them, and the seed of each that failed."""
    parser = argparse.ArgumentParser(prog="python -m crashes", description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--defect", choices=DEFECTS, default="")
    asked = parser.parse_args(arguments)
    acknowledged, failed = 0, []
    for seed in range(asked.first, asked.first + asked.trials):
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            try:
                acknowledged += trial(seed, Path(folder), asked.defect)
            except Exception as error:  # noqa: BLE001 - the next trial is made all the same
                failed.append(seed)
                sys.stdout.write(f"seed {seed} ({KINDS[seed % 3]}): {error!r}\n")
        if (seed - asked.first) % 100 == 99:
            sys.stderr.write(f"{seed - asked.first + 1} trials made\n")
    sys.stdout.write(
        f"{asked.trials} trials from seed {asked.first}: {acknowledged} events acknowledged, "
        f"{len(failed)} trials failed\n"
    )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
