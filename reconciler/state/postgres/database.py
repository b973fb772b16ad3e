"""One connection that writes to PostgreSQL and a few that read, and what becomes of them when the server fails.

Owns: transactions, fences, and turning every fault of PostgreSQL into ``StateError``. Must not: know what the tables
mean, or decide what a failed write leads to.

A connection that failed is dropped, and the next write or read makes another one. Outcomes are committed without
waiting for the server's disk, so a server that crashes may lose the last of them. Each transaction counts itself in the
database. A new connection compares that count with ours, and if the database has less, ``doubts`` grows, and everything
in memory is written once more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import psycopg
from psycopg import errors

from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.core.model import AccountName
from reconciler.state.postgres import migrations
from reconciler.state.postgres.connection import BEGIN, BEGIN_READING, Connection, Server
from reconciler.state.postgres.faults import SILENCE, OtherSchema, Silent, sentence
from reconciler.state.records import Fence
from reconciler.state.sql import rows
from reconciler.state.sql.rows import Row

MOST_NOTICES = 20
"""The number of sentences for the log that are kept until they are read."""
IDLE = 4
"""The number of connections for reading that stay open while nobody reads."""
FORGOTTEN_AFTER = 30 * 86_400 * 1_000_000
"""Microseconds after which the count of a process that no longer writes is removed."""
AT_EASE = "SET LOCAL synchronous_commit = off"
MARK = """INSERT INTO writer (id, written, at) VALUES (%s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET written = excluded.written, at = excluded.at"""
WRITTEN = "SELECT written FROM writer WHERE id = %s"
FORGET_WRITERS = "DELETE FROM writer WHERE at < %s"
FENCE = """SELECT ownership.account FROM ownership
    JOIN unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS f(account, owner, epoch, generation, pause)
    ON ownership.account = f.account AND ownership.owner = f.owner AND ownership.epoch = f.epoch
        AND ownership.generation = f.generation AND ownership.pause = f.pause
    ORDER BY ownership.account FOR SHARE OF ownership"""
Execution = tuple[str, Sequence[Any]]
"""A statement with its values."""
Unfenced = Callable[[frozenset[AccountName]], Iterable[Execution]]
"""Returns what to execute once it is known which accounts are fenced."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Answers queries on one connection, in the transaction that is open there."""

    connection: Connection

    def read(self, sql: str, values: Row = ()) -> list[Row]:
        """Return the rows that a query finds."""
        return self.connection.execute(placed(sql), values).fetchall()

    def read_set(self, sql: str, values: Row = ()) -> frozenset[Any]:
        """Return the only column that a query finds as a set."""
        return frozenset(value for (value,) in self.read(sql, values))

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """Answer several queries."""
        yield self


class Readers:
    """Connections for reading: as many as read at once, and a few that are kept open."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def borrowed(self) -> Iterator[Connection]:
        """Lend a connection in a transaction that only reads. One that fails is not used again."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = self._begun(connection)
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        with self._lock:
            kept = not self._closed and len(self._idle) < IDLE
            if kept:
                self._idle.append(connection)
        if not kept:
            connection.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            self._closed, idle = True, self._idle
            self._idle = []
        for connection in idle:
            connection.close()

    def _begun(self, connection: Connection | None) -> Connection:
        """Begin a transaction, on a new connection if the server has closed the one at hand meanwhile."""
        if connection is not None:
            try:
                connection.execute(BEGIN_READING)
            except Silent:
                raise
            except psycopg.Error:
                connection.close()
            else:
                return connection
        fresh = self._server.connect()
        fresh.execute(BEGIN_READING)
        return fresh


class Database:
    """The state in PostgreSQL, as ``port.Medium`` has it.

    ``doubts`` counts how often the database had less than what this process had written to it.
    """

    def __init__(self, server: Server, clock: Clock, *, frozen: bool = False) -> None:
        self.trouble = ""
        self.generation = self.losses = self.doubts = 0
        self.notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self.set_aside: Path | None = None
        self.frozen = frozen
        self._server, self._clock = server, clock
        self._readers = Readers(server)
        self._turn = threading.Lock()
        self._writer: Connection | None = None
        self._id, self._written = uuid4().hex, 0
        self._closed = self._empty = False

    @classmethod
    def open(cls, url: str | Callable[[], str], clock: Clock, silence: float = SILENCE) -> Self:
        """Open the state for writing, and make its tables if needed. ``silence``: seconds that it waits for an answer.

        A server that cannot be reached is ``trouble``, and each write tries again. Raises ``StateError`` if the URL is
        none, or a newer program made the tables.
        """
        database = cls(Server.of(url, silence), clock)
        try:
            database._opened()
        except OtherSchema:
            raise
        except (StateError, psycopg.Error) as error:
            database.trouble = database._cannot("written", error)
        return database

    @classmethod
    def read_only(cls, url: str | Callable[[], str], clock: Clock) -> Self:
        """Open the state without writing anything; without tables it is ``empty``. Raises ``StateError``."""
        database = cls(Server.of(url), clock, frozen=True)
        connection = database._server.connect()
        try:
            database._empty = not migrations.require(connection)
        except psycopg.Error as error:
            raise StateError(database._cannot("read", error)) from error
        finally:
            connection.close()
        return database

    @property
    def empty(self) -> bool:
        """Return whether there are no tables, and so no state."""
        return self._empty

    def read(self, sql: str, values: Row = ()) -> list[Row]:
        """Return the rows that a query finds. Raises ``StateError``."""
        with self.snapshot() as snapshot:
            return snapshot.read(sql, values)

    def read_set(self, sql: str, values: Row = ()) -> frozenset[Any]:
        """Return the only column that a query finds as a set. Raises ``StateError``."""
        with self.snapshot() as snapshot:
            return snapshot.read_set(sql, values)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Answer several queries on one connection. Raises ``StateError``."""
        try:
            with self._readers.borrowed() as connection:
                yield Snapshot(connection)
        except (StateError, psycopg.Error) as error:
            raise StateError(self._cannot("read", error)) from error

    def write(
        self,
        unfenced: Unfenced,
        *,
        lasting: bool,
        more: bool = False,
        fences: Mapping[AccountName, Fence] | None = None,
    ) -> frozenset[AccountName]:
        """Execute statements, all or none, and return the accounts whose fence does not hold. Raises ``StateError``.

        ``lasting``: the server's disk has them before this returns.
        """
        if self.frozen:
            raise StateError("the state is open for reading only")
        with self._turn:
            if self._closed:
                raise StateError("the state is closed")
            try:
                fenced = self._commit(unfenced, lasting=lasting, fences=fences or {})
            except OtherSchema as error:
                self.trouble = str(error)
                raise
            except (StateError, psycopg.Error, UnicodeError) as error:
                self._drop()
                self.trouble = self._cannot("written", error)
                raise StateError(self.trouble) from error
            if not more:
                self.trouble = ""
            return fenced

    def look(self) -> bool:
        """Ask the server for a sign of life; return True when that first fails."""
        if not self._turn.acquire(blocking=False):
            return False  # somebody writes, and finds out as well
        try:
            if self.frozen or self._closed or self.trouble:
                return False
            try:
                self._opened().execute("SELECT 1")
            except (StateError, psycopg.Error) as error:
                self._drop()
                self.trouble = self._cannot("written", error)
                return True
            return False
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close all connections."""
        with self._turn:
            self._drop()
            self._closed = True
            self._readers.close()

    def _commit(
        self,
        unfenced: Unfenced,
        *,
        lasting: bool,
        fences: Mapping[AccountName, Fence],
    ) -> frozenset[AccountName]:
        connection = self._begun()
        fenced = _fenced(connection, fences)
        written, at = self._written + 1, rows.stamp(self._clock.now())
        with connection.pipeline():
            if not lasting:
                connection.execute(AT_EASE)
            for sql, values in unfenced(fenced):
                connection.execute(sql, values)
            connection.execute(MARK, (self._id, written, at))
            connection.execute("COMMIT")
        self._written = written
        return fenced

    def _begun(self) -> Connection:
        """Begin a transaction, on a new connection if the server has closed the one at hand meanwhile."""
        if self._writer is not None:
            try:
                self._writer.execute(BEGIN)
            except Silent:
                raise
            except psycopg.Error:
                self._drop()
            else:
                return self._writer
        connection = self._opened()
        connection.execute(BEGIN)
        return connection

    def _opened(self) -> Connection:
        """Return the connection for writing. A new one is checked: its tables, and whether they lack what we wrote."""
        if self._writer is not None and not self._writer.closed:
            return self._writer
        connection = self._server.connect()
        try:
            migrations.migrate(connection)
            self._compare(connection)
        except BaseException:
            connection.close()
            raise
        self._writer = connection
        return connection

    def _compare(self, connection: Connection) -> None:
        """Notice that the database lacks transactions of this process."""
        found = connection.execute(WRITTEN, (self._id,)).fetchone()
        there = 0 if found is None else int(found[0])
        if there < self._written:
            lacking = self._written - there
            self.doubts += 1
            self.notices.append(
                f"{self._server.name} lacks the last {lacking} writes: what is in memory is written again"
            )
        oldest = rows.stamp(self._clock.now()) - FORGOTTEN_AFTER
        connection.execute(FORGET_WRITERS, (oldest,))

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _cannot(self, what: str, error: BaseException) -> str:
        if isinstance(error, StateError):
            return f"the state cannot be {what}: {error}"
        if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
            return f"the state cannot be {what}: tables of {self._server.name} are missing: {sentence(error)}"
        return f"the state cannot be {what}: {self._server.name}: {sentence(error)}"


def _fenced(connection: Connection, fences: Mapping[AccountName, Fence]) -> frozenset[AccountName]:
    """Lock the rows of accounts that are as they are believed to be; return the other accounts."""
    if not fences:
        return frozenset()
    believed = [
        (account, one.owner, one.epoch, one.generation, one.pause)
        for account, one in sorted(fences.items())
    ]
    columns = [list(column) for column in zip(*believed, strict=True)]
    found = connection.execute(FENCE, columns).fetchall()
    return frozenset(fences.keys() - {AccountName(account) for (account,) in found})


@cache
def placed(sql: str) -> str:
    """Return a statement with the places of its values as psycopg writes them."""
    return sql.replace("%", "%%").replace("?", "%s")
