"""One connection for many short transactions of one kind of file, beside others of this process and of other ones.

Owns: how a file that several connections use is opened and made, and which fault of SQLite means what. Must not: know
what the tables mean, or decide what a fault leads to.

Other than ``database``, which alone writes its file and keeps it in memory, a session shares its file: each writes in
short transactions, and waits a little while another one does.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from reconciler.core.errors import StateError
from reconciler.state.sqlite.connection import (
    DAMAGED,
    Connect,
    DamagedError,
    Migrations,
    Row,
    check,
    connect,
    lacking,
    migrate,
    primary,
)
from reconciler.state.sqlite.folder import identity, make_private, there

CARRIED_OVER_PAGES = 2000
"""Pages in the write-ahead log from which on a commit carries them over into the file."""
LARGEST_LEFT_WAL = 64 * 1024 * 1024
"""Bytes that the write-ahead log may keep on disk once it was carried over."""


CHECKED_WHOLLY = 64 * 1024 * 1024
"""Bytes of a file that is checked from end to end when it is opened. Faults of a larger one show when they are met."""


class Fault(Enum):
    """What went wrong, by what follows from it."""

    DISK = "disk"
    """The disk is full or fails: later it may work again."""
    BUSY = "busy"
    """Somebody else writes for longer than we wait."""
    DAMAGED = "damaged"
    """The file is not what SQLite once wrote."""
    OTHER = "other"
    """This statement with these values; others may work."""


FAULTS = {
    sqlite3.SQLITE_FULL: Fault.DISK,
    sqlite3.SQLITE_IOERR: Fault.DISK,
    sqlite3.SQLITE_CANTOPEN: Fault.DISK,
    sqlite3.SQLITE_READONLY: Fault.DISK,
    sqlite3.SQLITE_PERM: Fault.DISK,
    sqlite3.SQLITE_NOMEM: Fault.DISK,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    **dict.fromkeys(DAMAGED, Fault.DAMAGED),
}


class SessionError(StateError):
    """A statement or a commit failed. Nothing of its transaction is kept, unless only the commit's answer was lost."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: its tables, and what they hold as people call it."""

    holds: str
    migrations: Migrations


class Session:
    """One connection. For one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._page_bytes = 0

    @classmethod
    def make(cls, file: Path, kind: Kind, wait: float, connect: Connect = connect) -> Self:
        """Open a file for its one regular writer, make it if it is missing, and bring it to the newest version.

        Each commit is on the disk before it returns, and what is deleted is overwritten. ``wait`` are the seconds that
        it waits for others. Raises ``Newer``, ``SessionError`` and ``OSError``.
        """
        fresh = not file.exists()
        small = fresh or file.stat().st_size <= CHECKED_WHOLLY
        make_private(file)
        if fresh:
            sync_folder(file.parent)
        session = cls(_opened(file.absolute().as_uri(), wait, connect))
        with session._closing_on_error():
            check(session._connection, len(kind.migrations), wholly=small, holds=kind.holds)
            session._connection.execute("PRAGMA journal_mode = WAL").fetchall()
            session._prepare_for_writing()
            migrate(session._connection, kind.migrations)
            session._require_tables(kind)
        return session

    @classmethod
    def join(cls, file: Path, kind: Kind, wait: float, connect: Connect = connect) -> Self:
        """Open a file that its regular writer has made, to read it, or to write beside that one.

        Raises ``Newer`` and ``SessionError``.
        """
        session = cls(_opened(f"{file.absolute().as_uri()}?mode=rw", wait, connect))
        with session._closing_on_error():
            version = check(
                session._connection, len(kind.migrations), wholly=False, holds=kind.holds
            )
            if version < len(kind.migrations):
                raise SessionError(
                    f"the {kind.holds} in {file} is of an older version", Fault.OTHER
                )
            session._prepare_for_writing()
        return session

    def rows(self, sql: str, values: Row = ()) -> list[Row]:
        """Return the rows that a query finds. Raises ``SessionError``."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _failed(error) from error

    def row(self, sql: str, values: Row = ()) -> Row | None:
        """Return the first row that a query finds. Raises ``SessionError``."""
        try:
            found: Row | None = self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise _failed(error) from error
        return found

    def each(self, sql: str) -> Iterator[Row]:
        """Yield the rows that a query finds, as far as they can be read. Raises ``SessionError`` on the way."""
        try:
            yield from self._connection.execute(sql)
        except sqlite3.Error as error:
            raise _failed(error) from error

    def run(self, sql: str, values: Row = ()) -> int:
        """Carry out a statement; return the number of rows that it changed. Raises ``SessionError``."""
        try:
            return self._connection.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise _failed(error) from error

    def insert(self, sql: str, values: Row) -> int:
        """Insert a row; return its number. Raises ``SessionError``."""
        try:
            return self._connection.execute(sql, values).lastrowid or 0
        except sqlite3.Error as error:
            raise _failed(error) from error

    def many(self, sql: str, rows: Iterable[Row]) -> int:
        """Carry out a statement for each row; return the number of rows changed. Raises ``SessionError``."""
        try:
            return self._connection.executemany(sql, rows).rowcount
        except sqlite3.Error as error:
            raise _failed(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything or nothing of what is written inside. Raises ``SessionError``."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(SessionError):  # after some faults SQLite has rolled back already
                self.run("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all queries inside see the same commits. Raises ``SessionError``."""
        self.run("BEGIN")
        try:
            yield
        finally:
            with suppress(SessionError):
                self.run("ROLLBACK")

    def data_version(self) -> int:
        """Return a number that differs once another connection has changed the file."""
        return self._number("PRAGMA data_version")

    def size(self) -> int:
        """Return the size of the file in bytes, with the pages that are free."""
        if not self._page_bytes:
            self._page_bytes = self._number("PRAGMA page_size")
        return self._number("PRAGMA page_count") * self._page_bytes

    def used_bytes(self) -> int:
        """Return the size of what the file holds, without pages that are free."""
        return self.size() - self._number("PRAGMA freelist_count") * self._page_bytes

    def truncate_log(self) -> bool:
        """Carry the write-ahead log over into the file and cut it to nothing; return whether that was done."""
        row = self.row("PRAGMA wal_checkpoint(TRUNCATE)")
        return row is not None and row[0] == 0

    def copy_to(self, file: Path) -> None:
        """Write all that the file holds to a fresh file. Raises ``SessionError``."""
        try:
            with closing(sqlite3.connect(file)) as copy:
                self._connection.backup(copy)
        except sqlite3.Error as error:
            raise _failed(error) from error

    def rewrite(self) -> None:
        """Write the whole file anew, so that no page has old bytes between its rows. Nobody else writes meanwhile."""
        self.run("VACUUM")

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _number(self, pragma: str) -> int:
        row = self.row(pragma)
        return 0 if row is None else int(row[0])

    def _prepare_for_writing(self) -> None:
        for pragma in (
            "synchronous = FULL",
            "secure_delete = ON",
            f"journal_size_limit = {LARGEST_LEFT_WAL}",
            f"wal_autocheckpoint = {CARRIED_OVER_PAGES}",
        ):
            self.rows(f"PRAGMA {pragma}")

    def _require_tables(self, kind: Kind) -> None:
        if lacking(self._connection, kind.migrations):
            raise SessionError("tables are missing", Fault.DAMAGED)

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        """Close the connection if it cannot be made ready."""
        try:
            yield
        except sqlite3.Error as error:
            self.close()
            raise _failed(error) from error
        except BaseException:
            self.close()
            raise


class FileBytes:
    """The bytes of a file as they lie on the disk.

    It is closed after every connection of this process to that file, never before: closing it ends SQLite's locks.
    """

    CHUNK = 1 << 20

    def __init__(self, file: Path) -> None:
        self._handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def are_of(self, file: Path) -> bool:
        """Return whether the file at a path is still the one that was opened."""
        return identity(os.fstat(self._handle)) == there(file)

    def hold(self, words: Iterable[bytes]) -> bool:
        """Return whether any of these words is in the file. Raises ``OSError``."""
        words = [word for word in words if word]
        overlap = max(map(len, words), default=1) - 1
        before, place = b"", 0
        while chunk := os.pread(self._handle, self.CHUNK, place):
            window = before + chunk
            if any(word in window for word in words):
                return True
            before = window[max(len(window) - overlap, 0) :]  # a read may return only a few bytes
            place += len(chunk)
        return False

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)


def _opened(uri: str, wait: float, connect: Connect) -> sqlite3.Connection:
    try:
        connection = connect(uri)
        connection.execute(f"PRAGMA busy_timeout = {round(wait * 1000)}").fetchall()
    except sqlite3.Error as error:
        raise _failed(error) from error
    return connection


def _failed(error: sqlite3.Error) -> SessionError:
    if isinstance(error, DamagedError):
        return SessionError("SQLite's own check found faults", Fault.DAMAGED)
    return SessionError(str(error), FAULTS.get(primary(error), Fault.OTHER))


def sync_folder(folder: Path) -> None:
    """See to it that a file that was just made is still in its folder when power comes back."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
