"""What LG sends, and a spool to keep it in, for the tests of events."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from disks import START, StandingClock
from reconciler.core.clock import Clock
from reconciler.events.message import read
from reconciler.events.model import Arrival, Message, Outcome, Result
from reconciler.events.port import Route
from reconciler.events.spool import Spool
from reconciler.events.spool.tables import FILE
from reconciler.state.sqlite.connection import Connect, connect

ROOMY = 1 << 30


def sent(device: str = "washer-1", number: int = 1, **members: Any) -> bytes:
    """Return the bytes of one PCC event; ``number`` makes it another diagnosis of the device."""
    event = {
        "pushType": "PCC_EVENT",
        "deviceId": device,
        "deviceType": "DEVICE_WASHER",
        "diagnosisType": "WASHER_DRAIN_SLOW",
        "contentUrl": "https://content.example/1",
        "diagnosisTimestamp": f"2026-01-02T03:{number // 60 % 60:02}:{number % 60:02}.{number:06}",
    }
    content = {
        "messageId": f"message-{device}-{number}",
        "timestamp": "2026-01-02T03:04:05.123456",
        "event": {**event, **members},
    }
    return json.dumps(content).encode()


def arrived(*bodies: bytes) -> list[Arrival]:
    """Return the arrivals of some requests."""
    return [arrival for body in bodies for arrival in read(body)]


@dataclass(frozen=True, slots=True)
class To:
    """A route."""

    sinks: Sequence[str] = ("crm",)
    account: str | None = "seoul"
    category: str | None = "malfunction"


@dataclass
class Routes:
    """A router that sends each message where its device goes; ``otherwise`` is for all others."""

    otherwise: Route = field(default_factory=To)
    of_devices: Mapping[str, Route] = field(default_factory=dict)

    def route(self, message: Message) -> Route:
        """Return where a message goes."""
        return self.of_devices.get(message.device or "", self.otherwise)


@contextmanager
def opened(
    folder: Path,
    clock: Clock | None = None,
    router: Routes | None = None,
    *,
    limit: int = ROOMY,
    connect: Connect = connect,
) -> Iterator[Spool]:
    """Return an open spool."""
    spool = Spool(
        folder, clock or StandingClock(), router or Routes(), limit=limit, connect=connect
    )
    spool.open()
    try:
        yield spool
    finally:
        spool.close()


async def stored(spool: Spool, *bodies: bytes) -> list[int]:
    """Store what some requests brought; return the seqs."""
    return [receipt.seq for receipt in await spool.store(arrived(*bodies))]


def due(
    spool: Spool, now: datetime = START, *, sink: str = "crm", ordered: bool = True
) -> list[int]:
    """Return the seqs that are due."""
    return [one.seq for one in spool.due(sink, now, 100, ordered=ordered, busy=())]


def kept_bodies(folder: Path) -> set[int]:
    """Return the seqs of which bytes are on the disk."""
    with closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as connection:
        return {seq for (seq,) in connection.execute("SELECT seq FROM body")}


def outcome(seq: int, result: Result, due: datetime | None = None, sink: str = "crm") -> Outcome:
    """Return how an attempt ended."""
    return Outcome(seq, sink, result, START, due=due, status=200, words="so it went")


@dataclass
class Library:
    """SQLite with a defect, or above a disk that never answers: both show at the look for others' changes."""

    defect: bool = False
    answers: threading.Event = field(default_factory=threading.Event)
    hangs: threading.Event = field(default_factory=threading.Event)

    def connect(self, uri: str) -> sqlite3.Connection:
        """Open a file."""
        library = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if "data_version" in sql and library.defect:
                    raise TypeError("a defect")
                if "data_version" in sql and not library.answers.is_set():
                    library.hangs.set()
                    library.answers.wait(60)
                return super().execute(sql, *values)

        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, factory=Connection
        )
