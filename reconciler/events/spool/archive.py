"""What people and calls ask of the spool: lists, one event, replay, erasure, and what was last accepted.

Owns: the queries that find events, and the repetition of work that is done in steps. Must not: take what arrives, or
say what is due.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from reconciler.core.clock import Clock
from reconciler.events.message import understood
from reconciler.events.model import (
    PCC_EVENT,
    EventState,
    KeptEvent,
    SinkRow,
    SpoolFigures,
    Wanted,
)
from reconciler.events.port import Logic, Retention, Router
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Work
from reconciler.events.spool.erasing import Erase, Scrubber
from reconciler.events.spool.file import Reader
from reconciler.events.spool.replaying import Selection, replays
from reconciler.events.spool.retention import expired
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

T = TypeVar("T")

SHOWN = "event.fate <> 'self_test'"
APART = "event.fate <> 'kept' AND event.fate"
"""Both conditions, so that SQLite finds these few events by their index."""
IN_STATE = {
    EventState.QUARANTINED: f"{APART} = 'quarantined'",
    EventState.ERASED: f"{APART} = 'erased'",
    EventState.UNROUTED: f"{APART} = 'unrouted'",
    EventState.PENDING: """EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state = 'pending')""",
    EventState.DEAD: """event.seq IN (SELECT seq FROM delivery WHERE state = 'dead')
        AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state = 'pending')""",
    EventState.DELIVERED: """event.fate = 'kept'
        AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state <> 'delivered')""",
}
AT_SINK = "EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND sink = ?)"
AT_SINK_IN_STATE = (
    "EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND sink = ? AND state = ?)"
)
SINK_ROWS = f"SELECT {tables.SINK_ROW} FROM delivery WHERE seq = ? ORDER BY sink"
WITH_KEYS = f"""SELECT {tables.EVENT}, body.content FROM event LEFT JOIN body ON body.seq = event.seq
    WHERE event.key BETWEEN ? AND ? AND {SHOWN} ORDER BY event.seq DESC LIMIT 100"""
SEEN = f"""SELECT {tables.EVENT} FROM event WHERE event.seq > ? AND event.device IS NOT NULL
    AND event.fate IN ('kept', 'unrouted') ORDER BY event.seq LIMIT ?"""
TYPES = """SELECT diagnosis, device_type, count(*) FROM event
    WHERE push_type = ? AND diagnosis IS NOT NULL GROUP BY diagnosis, device_type"""
BY_SINK = "SELECT sink, state, count(*) FROM delivery GROUP BY sink, state"
WITHOUT_SINK = """SELECT fate, count(*) FROM event
    WHERE fate <> 'kept' AND fate IN ('unrouted', 'quarantined', 'erased')
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq) GROUP BY fate"""
OLDEST = """SELECT received FROM event WHERE seq = (
    SELECT min(seq) FROM delivery WHERE sink = ? AND state = 'pending')"""
LAST_EVENT = f"SELECT received FROM event WHERE {SHOWN} ORDER BY seq DESC LIMIT 1"
LAST_SELF_TEST = "SELECT max(received) FROM event WHERE fate <> 'kept' AND fate = 'self_test'"
ACCEPTED = "SELECT content FROM accepted WHERE name = ?"


class Accept(Work[None]):
    """Keeps what was accepted under a name."""

    def __init__(self, name: str, content: bytes) -> None:
        self._row = (name, content)

    def carry_out(self, session: Session) -> None:
        """Write it."""
        session.run("INSERT OR REPLACE INTO accepted VALUES (?, ?)", self._row)


class SpoolArchive(ABC):
    """The part of the spool that people and calls ask. Every method may block on the disk, and raise ``SpoolError``.

    ``router`` says where events go today, if that is known: a replay to a new sink obeys its filters.
    """

    def __init__(self, file: Path, reader: Reader, clock: Clock, router: Router | None) -> None:
        self._reader, self._scrubber = reader, Scrubber(file)
        self._clock, self._router = clock, router

    @property
    @abstractmethod
    def spool(self) -> str:
        """The UUID of the spool: a ``seq`` means nothing without it."""

    @abstractmethod
    def _write(self, work: Work[T]) -> T:
        """Carry out work in a transaction, and return once it is on the disk."""

    def events(self, wanted: Wanted) -> Sequence[KeptEvent]:
        """Return the newest events that are wanted, newest first."""
        conditions, values = _conditions(wanted)
        query = f"""SELECT {tables.EVENT}, body.content FROM event LEFT JOIN body ON body.seq = event.seq
            WHERE {" AND ".join(conditions)} ORDER BY event.seq DESC LIMIT ?"""
        with self._reader.session() as session:
            found = session.rows(query, (*values, wanted.limit))
            return [_event(session, row) for row in found]

    def event(self, id: str) -> Sequence[KeptEvent]:  # noqa: A002 - the interface's word
        """Return the events whose id begins so, newest first; at most 100."""
        keys = tables.keys_with_id(id)
        if keys is None:
            return []
        with self._reader.session() as session:
            return [_event(session, row) for row in session.rows(WITH_KEYS, keys)]

    def unknown(self, known: Logic) -> Mapping[str, int]:
        """Return the diagnosis types without a row in the table, with their numbers of events, most frequent first."""
        counts: Counter[str] = Counter()
        with self._reader.session() as session:
            found = session.rows(TYPES, (PCC_EVENT,))
        for diagnosis, device_type, count in found:
            if not known.diagnosis(diagnosis, device_type).matched:
                counts[diagnosis] += count
        return dict(counts.most_common())

    def seen(self, after: int, limit: int) -> tuple[int, Sequence[KeptEvent]]:
        """Return the seq of the last event of a page, and the events after a seq, in order, without bodies."""
        with self._reader.session() as session:
            found = session.rows(SEEN, (after, limit))
        events = [tables.read_event(row, ()) for row in found]
        return (events[-1].seq if events else after), events

    def figures(self) -> SpoolFigures:
        """Return what the metrics show of the spool."""
        with self._reader.session() as session:
            counts: dict[tuple[str, EventState], int] = {}
            for sink, state, count in session.rows(BY_SINK):
                counts[sink, EventState(state)] = count
            for fate, count in session.rows(WITHOUT_SINK):
                counts["", tables.state_of(fate, ())] = count
            oldest = {}
            for sink in {sink for sink, state in counts if state is EventState.PENDING}:
                row = session.row(OLDEST, (sink,))
                if row is not None:
                    oldest[sink] = tables.moment(row[0])
            return SpoolFigures(
                bytes=session.used_bytes(),
                events=counts,
                oldest=oldest,
                last_event=_moment(session.row(LAST_EVENT)),
                last_self_test=_moment(session.row(LAST_SELF_TEST)),
            )

    def replay(
        self,
        sink: str,
        since: datetime,
        *,
        states: Collection[EventState],
        device: str | None = None,
        dry_run: bool = False,
    ) -> int:
        """Make events due at a sink, at once, with their tries counted anew; return their number.

        ``DELIVERED`` and ``DEAD`` are those of this sink. ``UNROUTED`` are those that never went there.
        ``QUARANTINED`` are read again; what is understood now goes there.
        """
        selection = Selection(sink, since, states, device, dry_run, self._clock.now())
        taken = 0
        for replay in replays(selection, self._router):
            after: int | None = 0
            while after is not None:
                step = self._write(replay.step(after))
                taken += step.taken
                after = step.after
        return taken

    def erase(self, device: str) -> int:
        """Remove bodies and names of a device; undelivered events become ``erased``. Return the number of events."""
        erased = 0
        at = tables.stamp(self._clock.now())
        while count := self._write(Erase(device, at)):
            erased += count
        self._scrubber.scrub(device)
        return erased

    def expire(self, now: datetime, retention: Retention) -> None:
        """Remove what is older than it is kept, a little at a time."""
        for work in expired(now, retention):
            while self._write(work):
                pass

    def kept(self, name: str) -> bytes | None:
        """Return what was last accepted under a name, or None."""
        with self._reader.session() as session:
            row = session.row(ACCEPTED, (name,))
        return None if row is None else row[0]

    def keep(self, name: str, content: bytes) -> None:
        """Keep content under a name in place of what was there."""
        self._write(Accept(name, content))


def _conditions(wanted: Wanted) -> tuple[list[str], list[str | int]]:
    """Return what events have to be, as SQL and its values."""
    conditions: list[str] = [SHOWN]
    values: list[str | int] = []
    for column, value in (
        ("account", wanted.account),
        ("device", wanted.device),
        ("diagnosis", wanted.type),
    ):
        if value is not None:
            conditions.append(f"event.{column} = ?")
            values.append(value)
    if wanted.since is not None:
        conditions.append("event.received >= ?")
        values.append(tables.stamp(wanted.since))
    if wanted.sink is not None and wanted.state is not None:
        conditions.append(AT_SINK_IN_STATE)
        values.extend((wanted.sink, wanted.state.value))
    elif wanted.sink is not None:
        conditions.append(AT_SINK)
        values.append(wanted.sink)
    elif wanted.state is not None:
        conditions.append(IN_STATE[wanted.state])
    return conditions, values


def _event(session: Session, row: Row) -> KeptEvent:
    """Return an event with its deliveries and its body."""
    *columns, body = row
    deliveries = _deliveries(session, columns[0])
    message = None if body is None else understood(body)
    return tables.read_event(tuple(columns), deliveries, body, message)


def _deliveries(session: Session, seq: int) -> list[SinkRow]:
    return [tables.read_sink_row(row) for row in session.rows(SINK_ROWS, (seq,))]


def _moment(row: Row | None) -> datetime | None:
    return None if row is None else tables.moment_or_none(row[0])
