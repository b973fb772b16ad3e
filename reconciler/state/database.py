"""One SQLite file that one process writes and others read, on a disk that may be full, damaged or locked.

Owns: the lock file, permissions, the schema's version and its migrations, setting a damaged file aside, and turning
every fault of disk or SQLite into ``StateError``. Must not: know what the tables mean, or decide what a failed write
leads to.

The file is in WAL mode, so that readers never wait for the writer nor it for them. A killed process loses nothing. A
machine that loses power may lose the last moments, but never the file, and nothing that ``lasting`` was said of, nor
anything before it: only for that is the disk waited for.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from reconciler.clock import Clock
from reconciler.errors import StateError

FILE, LOCK = "state.db", "state.lock"
BESIDE = ("", "-wal", "-shm")
"""What SQLite adds to the name of a file for its companions."""
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LARGEST_LEFT_WAL = 64 * 1024 * 1024
"""Bytes that the write-ahead log may keep on disk after a large write was carried over into the file."""

Row = tuple[Any, ...]
Connect = Callable[[str], sqlite3.Connection]
Migrations = Sequence[Sequence[str]]
"""For each version, from 1 on, the statements that make it of the version before."""


class Held(StateError):
    """Another process writes this state."""


class Newer(StateError):
    """A newer program wrote this state, and this one cannot know what it means."""


class _DamagedError(sqlite3.DatabaseError):
    """The file is not what SQLite once wrote."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, carried out for each row of values. It must be possible to go through the rows again."""

    sql: str
    rows: Iterable[Row] = ((),)


def connect(uri: str) -> sqlite3.Connection:
    """Open a file by its address, without implicit transactions, for use from any thread under a lock of ours."""
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


class Database:
    """The file, or what stands in for it while it cannot be had for writing.

    ``trouble`` is one sentence while writes fail, and empty otherwise. ``generation`` counts how often the file behind
    this object was exchanged, so that who keeps things in memory knows when to read them again. ``set_aside`` is the
    new name of a damaged file, if one was found.
    """

    def __init__(self, folder: Path, migrations: Migrations, clock: Clock, connect: Connect = connect) -> None:
        self.trouble = ""
        self.generation = 0
        self.set_aside: Path | None = None
        self.frozen = self._closed = False
        self._folder, self._migrations, self._clock, self._connect = folder, migrations, clock, connect
        self._turn = threading.Lock()
        self._lock: int | None = None
        self._attached = False
        self._connection = self._empty()

    @classmethod
    def open(cls, folder: Path, migrations: Migrations, clock: Clock, connect: Connect = connect) -> Self:
        """Take the file in this folder for writing, made if need be.

        Raises ``Held`` and ``Newer``. A file that cannot be opened is ``trouble``: what can be read of it is there, and
        each write tries again.
        """
        database = cls(folder, migrations, clock, connect)
        try:
            database._attach()
        except (Held, Newer):
            database._release()
            raise
        except (OSError, sqlite3.Error) as error:
            database.trouble = _sentence(error)
            with suppress(StateError):
                database._view()
        return database

    @classmethod
    def read_only(cls, folder: Path, migrations: Migrations, clock: Clock, connect: Connect = connect) -> Self:
        """Look at the file in this folder without changing it, also beside its writer; none is an empty one.

        Raises ``Newer``, and ``StateError`` where it is there and cannot be read. A damaged one is ``trouble``, and
        empty.
        """
        database = cls(folder, migrations, clock, connect)
        database.frozen = True
        try:
            database._view()
        except StateError:
            database.close()
            raise
        return database

    @classmethod
    def in_memory(cls, migrations: Migrations, clock: Clock) -> Self:
        """Return one that ends with the process and never fails for want of a disk."""
        database = cls(Path(), migrations, clock)  # attached to memory for good, it never looks at a folder
        database._attached = True
        return database

    def read(self, sql: str, values: Row = ()) -> list[Row]:
        """Return the rows that a query finds. Raises ``StateError``."""
        with self._turn:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise StateError(f"the state cannot be read: {error}") from error

    def read_set(self, sql: str, values: Row = ()) -> frozenset[Any]:
        """Return the only column that a query finds as a set: a million rows are never there all at once.

        Raises ``StateError``.
        """
        with self._turn:
            try:
                return frozenset(value for (value,) in self._connection.execute(sql, values))
            except sqlite3.Error as error:
                raise StateError(f"the state cannot be read: {error}") from error

    def write(self, statements: Iterable[Statement], *, lasting: bool = False, more: bool = False) -> None:
        """Carry out statements, all or none. Raises ``StateError``; the next call tries the file anew.

        ``lasting``: they outlive a loss of power. ``more`` wait to be written: until they are, trouble is not over.
        """
        if self.frozen:
            raise StateError("the state is open for reading only")
        with self._turn:
            if self._closed:
                raise StateError("the state is closed")
            try:
                if not self._attached:
                    self._attach()
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
                with _transaction(self._connection):
                    for statement in statements:
                        self._connection.executemany(statement.sql, statement.rows)
            except (Held, Newer) as error:
                self.trouble = f"the state cannot be written: {error}"
                raise
            except (OSError, sqlite3.Error, ValueError, OverflowError) as error:
                self.trouble = _sentence(error)
                raise StateError(self.trouble) from error
            if not more:
                self.trouble = ""

    def close(self) -> None:
        """Carry the write-ahead log over into the file and let go of both."""
        with self._turn:
            if self._attached and not self.frozen:
                with suppress(sqlite3.Error):  # it stays beside the file and is read from there next time
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.close()
            self._closed = True
            self._release()

    def _empty(self) -> sqlite3.Connection:
        connection = connect(":memory:")
        _migrate(connection, self._migrations)
        return connection

    def _exchange(self, connection: sqlite3.Connection) -> None:
        self._connection.close()
        self._connection = connection
        self.generation += 1

    def _attach(self) -> None:
        """Lock the folder and open its file for writing; a damaged file is set aside, and a fresh one begun."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = _locked(self._folder / LOCK)
        try:
            self._exchange(self._opened(self._folder / FILE))
        except _DamagedError:
            self._put_aside(self._folder / FILE)
            self._exchange(self._opened(self._folder / FILE))
        self._attached = True

    def _opened(self, path: Path) -> sqlite3.Connection:
        _private(path)
        connection = self._connect(path.absolute().as_uri())
        try:
            _check(connection, len(self._migrations))
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LEFT_WAL}").fetchall()
            _migrate(connection, self._migrations)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.DatabaseError) and _primary(error) in DAMAGED:
                raise _DamagedError from error
            raise
        return connection

    def _put_aside(self, path: Path) -> None:
        name = f"{FILE}.corrupt-{self._clock.now():%Y%m%dT%H%M%SZ}"
        names = (path.with_name(f"{name}{f'.{number}' if number else ''}") for number in count())
        self.set_aside = next(free for free in names if not free.exists())
        for suffix in BESIDE:
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{self.set_aside}{suffix}")

    def _view(self) -> None:
        """Open the file for reading, without so much as a companion file made for it.

        Without a write-ahead log nobody has it open, and it can be taken as it lies. With one there is or was a writer.
        """
        path = self._folder / FILE
        try:
            if not path.exists():
                return
            log = Path(f"{path}-wal")
            how = "readonly_shm=1" if log.exists() and log.stat().st_size else "immutable=1"
            self._exchange(self._viewed(f"{path.absolute().as_uri()}?mode=ro&{how}"))
        except _DamagedError:
            self.trouble = self.trouble or f"{path} is damaged: it is left as it is, and taken for empty"
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path} cannot be read: {error}") from error

    def _viewed(self, uri: str) -> sqlite3.Connection:
        connection = self._connect(uri)
        try:
            version = _check(connection, len(self._migrations))
            if version == len(self._migrations):
                return connection
            copy = connect(":memory:")  # an older version is brought forward where it harms nobody
            connection.backup(copy)
            _migrate(copy, self._migrations)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.DatabaseError) and _primary(error) in DAMAGED:
                raise _DamagedError from error
            raise
        connection.close()
        return copy

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(path: Path) -> int:
    """Take the lock, which ends with the process however that ends. The file says who has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        os.close(handle)
        who = f"process {holder}" if holder.isdigit() else "another process"
        raise Held(f"the state in {path.parent} is held by {who}") from None
    except OSError:
        os.close(handle)
        raise
    return handle


def _private(path: Path) -> None:
    """See to it that the file is there and its owner's alone; SQLite gives its companions the same mode."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(handle).st_mode & 0o077:
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _check(connection: sqlite3.Connection, newest: int) -> int:
    """Return the version of a sound file."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > newest:
        raise Newer(
            f"the state is of version {version}, and this program knows versions up to {newest}: "
            "a newer program wrote it, use that one, or another state folder"
        )
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _DamagedError
    return version


def _migrate(connection: sqlite3.Connection, migrations: Migrations) -> None:
    """Bring the tables to the newest version. Writes in any case: a disk that takes no writes is known at once."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    with _transaction(connection):
        for step in migrations[version:]:
            for sql in step:
                connection.execute(sql)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some faults
            connection.execute("ROLLBACK")
        raise


def _primary(error: sqlite3.Error) -> int:
    """Return SQLite's own code of an error, without its finer distinctions."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _sentence(error: Exception) -> str:
    words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return f"the state cannot be written: {words}"
