"""One SQLite file that one process writes and others read, on a disk that may be full, damaged or locked.

Owns: how the file is opened, written and replaced, setting a damaged file aside, and turning every fault of disk or
SQLite into ``StateError``. Must not: know what the tables mean, or decide what a failed write leads to.

While a file is open, somebody may delete it, move it, or put another in its place. Later writes would be lost. So
before each write, and in ``look``, the files at the path are compared with those that were opened. If they differ, one
write is refused. The next write copies the content of the open file to a fresh file at the path and continues there.

The file is in WAL mode, so readers and the writer never wait for each other. A killed process loses no write. A machine
that loses power may lose the last moments, but never the file. A write as ``lasting`` waits for the disk, so it and all
writes before it survive.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.state.sqlite.connection import (
    Connect,
    DamagedError,
    Migrations,
    Newer,
    Row,
    Statement,
    check,
    connect,
    copied,
    damaged,
    empty,
    lacking,
    migrate,
    primary,
    require_tables,
    transaction,
)
from reconciler.state.sqlite.folder import Held, StateFolder, make_private, there
from reconciler.state.sqlite.watch import FileWatch

LARGEST_LEFT_WAL = 64 * 1024 * 1024
"""Bytes that the write-ahead log may keep on disk after a large write was moved into the file."""
MOST_NOTICES = 20
"""The number of sentences for the log that are kept until they are read."""


class Database:
    """The file, or its replacement while it cannot be opened for writing.

    ``trouble`` is one sentence while writes fail, and empty otherwise. ``generation`` counts how often the file behind
    this object was replaced, so earlier readings are outdated. ``losses`` counts how often the content of the file was
    lost, ``doubts`` how often another program wrote into it while it was open:
    then it may be older than what is in memory. ``set_aside`` is the new name of a damaged file, if one was found.
    ``notices`` are sentences for the log about what happened to the file.
    """

    def __init__(
        self, folder: Path, migrations: Migrations, clock: Clock, connect: Connect = connect
    ) -> None:
        self.trouble = ""
        self.generation = self.losses = self.doubts = 0
        self.notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self.set_aside: Path | None = None
        self.frozen = self._closed = False
        self._folder, self._migrations, self._connect = (
            StateFolder(folder, clock),
            migrations,
            connect,
        )
        self._file = self._folder.file
        self._watch = FileWatch(self._folder)
        self._turn = threading.Lock()
        self._attached = self._in_memory = False
        self._taken = ""
        self._checked: Row | None = None
        self._connection = empty(migrations)

    @classmethod
    def open(
        cls, folder: Path, migrations: Migrations, clock: Clock, connect: Connect = connect
    ) -> Self:
        """Open the file in this folder for writing, and create it if needed.

        Raises ``Held`` and ``Newer``. A file that cannot be opened is ``trouble``: its readable part is read, and each
        write tries again.
        """
        database = cls(folder, migrations, clock, connect)
        try:
            database._attach()
        except (Held, Newer):
            database._folder.release()
            raise
        except (OSError, sqlite3.Error) as error:
            database.trouble = _sentence(error)
            with suppress(StateError):
                database._view(copy=True)
        return database

    @classmethod
    def read_only(
        cls, folder: Path, migrations: Migrations, clock: Clock, connect: Connect = connect
    ) -> Self:
        """Open the file in this folder without changing it, also beside its writer; a missing one is empty.

        Raises ``Newer``, and ``StateError`` if it exists and cannot be read. A damaged one is ``trouble``,
        and empty.
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
        """Return one that ends with the process and needs no disk."""
        database = cls(
            Path(), migrations, clock
        )  # attached to memory for good, it never looks at a folder
        database._attached = database._in_memory = True
        return database

    def read(self, sql: str, values: Row = ()) -> list[Row]:
        """Return the rows that a query finds. Raises ``StateError``."""
        with self._turn:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise StateError(f"the state cannot be read: {error}") from error

    def read_set(self, sql: str, values: Row = ()) -> frozenset[Any]:
        """Return the only column that a query finds as a set, without a list of a million rows.

        Raises ``StateError``.
        """
        with self._turn:
            try:
                return frozenset(value for (value,) in self._connection.execute(sql, values))
            except sqlite3.Error as error:
                raise StateError(f"the state cannot be read: {error}") from error

    def each(self, sql: str) -> Generator[Row]:
        """Yield the rows that a query finds, without all of them in memory. Nobody else uses it meanwhile.

        Raises ``StateError``.
        """
        try:
            yield from self._connection.execute(sql)
        except sqlite3.Error as error:
            raise StateError(f"the state cannot be read: {error}") from error

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """Answer several queries. Whoever reads holds back the only writer, so nothing changes between them."""
        yield self

    def write(
        self, statements: Iterable[Statement], *, lasting: bool = False, more: bool = False
    ) -> None:
        """Execute statements, all or none. Raises ``StateError``; the next call opens the file again.

        ``lasting``: they survive a loss of power. ``more`` statements wait; until they are written, trouble is not
        over.
        """
        if self.frozen:
            raise StateError("the state is open for reading only")
        with self._turn:
            if self._closed:
                raise StateError("the state is closed")
            try:
                self._settle()
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
                with transaction(self._connection):
                    for statement in statements:
                        self._connection.executemany(statement.sql, statement.rows)
                self._renew_watch()
            except StateError as error:
                self.trouble = f"the state cannot be written: {error}"
                raise
            except (OSError, sqlite3.Error, ValueError, OverflowError) as error:
                self.trouble = _sentence(error)
                if self._is_damage(error):
                    self._lose(f"is damaged ({error})")
                self._renew_watch()
                raise StateError(self.trouble) from error
            if not more:
                self.trouble = ""

    def look(self) -> bool:
        """Check that the files at the path are those that are open; return True when that first fails."""
        with self._turn:
            before = self._taken
            if self._attached and not self._closed:
                self._compare()
            return self._taken != before

    def close(self) -> None:
        """Move the write-ahead log into the file and close both."""
        with self._turn:
            if self._attached and not self.frozen:
                with suppress(
                    sqlite3.Error
                ):  # it stays beside the file and is read from there next time
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.close()
            self._closed = True
            self._folder.release()

    def _exchange(self, connection: sqlite3.Connection) -> None:
        self._connection.close()
        self._connection = connection
        self.generation += 1

    def _settle(self) -> None:
        """Make sure that the file at the path is open for writing, or raise."""
        if self._taken:
            self._bring_back()
        elif not self._attached:
            self._attach()
        else:
            self._compare()
            if self._taken:
                raise StateError(self._taken)

    def _compare(self) -> None:
        """Notice that the open files are not those at the path."""
        if self._in_memory or self.frozen or self._taken:
            return
        what = self._watch.compare()
        self.doubts = self._watch.doubts
        if what:
            self._lose(what)

    def _lose(self, what: str) -> None:
        self._taken = f"{self._file} {what} while it was open"
        self.trouble = f"the state cannot be written: {self._taken}"
        self.notices.append(self.trouble)

    def _renew_watch(self) -> None:
        if self._attached and not self._in_memory:
            self._watch.renew()

    def _is_damage(self, error: Exception) -> bool:
        """Return whether an error means that the open file is damaged or lacks a table."""
        if not isinstance(error, sqlite3.Error) or not self._attached or self._taken:
            return False
        if (
            primary(error) == sqlite3.SQLITE_ERROR
        ):  # SQLite's code for a missing table, among other faults
            return bool(lacking(self._connection, self._migrations))
        return damaged(error)

    def _attach(self) -> None:
        """Lock the folder and open its file for writing; a damaged file is set aside, and a fresh one begun."""
        self._folder.hold()
        try:
            connection = self._opened()
        except DamagedError:
            self.set_aside = self._folder.put_aside("corrupt")
            connection = self._opened()
            self.losses += 1
        self._exchange(connection)
        self._attached = True
        self._renew_watch()

    def _bring_back(self) -> None:
        """Copy the open file to a fresh file at the path, or begin an empty one if its content is lost."""
        self._folder.hold()
        whole = self._is_whole()
        fresh = self._folder.fresh()
        copy = self._connect(fresh.absolute().as_uri())
        try:
            if whole:
                self._connection.backup(copy)
            else:
                migrate(copy, self._migrations)
        finally:
            copy.close()
        replaced = self._folder.put_aside("replaced")
        fresh.replace(self._file)
        self._exchange(self._opened())
        self._taken = ""
        self._renew_watch()
        self.losses += not whole
        self._notice(replaced, whole=whole)

    def _is_whole(self) -> bool:
        """Return whether the open file is still completely readable, wherever it is now."""
        try:
            check(self._connection, len(self._migrations))
            return not lacking(self._connection, self._migrations)
        except (sqlite3.Error, StateError):
            return False

    def _notice(self, replaced: Path | None, *, whole: bool) -> None:
        """Say in a sentence for the log what the fresh file holds."""
        what = "everything it held" if whole else "what was in memory"
        kept = "" if replaced is None else f"; what was found there is kept as {replaced}"
        self.notices.append(f"{what} was written to a fresh {self._file}{kept}")

    def _opened(self) -> sqlite3.Connection:
        make_private(self._file)
        connection = self._connect(self._file.absolute().as_uri())
        try:
            self._check_once(connection)
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LEFT_WAL}").fetchall()
            migrate(connection, self._migrations)
            require_tables(connection, self._migrations)
        except BaseException as error:
            connection.close()
            if damaged(error):
                raise DamagedError from error
            raise
        return connection

    def _check_once(self, connection: sqlite3.Connection) -> None:
        """Check that a file is sound. If it was sound before and did not change, check only its version."""
        sign = there(self._file, dated=True)
        check(connection, len(self._migrations), wholly=sign is None or sign != self._checked)
        self._checked = sign

    def _view(self, *, copy: bool = False) -> None:
        """Open the file for reading, without creating even a companion file.

        Without a write-ahead log nobody has it open, and it can be read as it is. With one there is or was a writer.
        ``copy``: it is read into memory and closed again. While one connection of a process has a file's shared memory
        for reading only, SQLite lets no other connection of that process write.
        """
        path = self._file
        try:
            if not path.exists():
                return
            log = Path(f"{path}-wal")
            how = "readonly_shm=1" if log.exists() and log.stat().st_size else "immutable=1"
            self._exchange(self._viewed(f"{path.absolute().as_uri()}?mode=ro&{how}", copy=copy))
        except DamagedError:
            self.trouble = (
                self.trouble or f"{path} is damaged: it is left as it is, and taken for empty"
            )
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path} cannot be read: {error}") from error

    def _viewed(self, uri: str, *, copy: bool) -> sqlite3.Connection:
        connection = self._connect(uri)
        try:
            version = check(connection, len(self._migrations))
            if version == len(self._migrations) and not copy:
                return connection
            found = copied(
                connection, self._migrations
            )  # an older version is migrated where it harms nobody
        except BaseException as error:
            connection.close()
            if damaged(error):
                raise DamagedError from error
            raise
        connection.close()
        return found


def _sentence(error: Exception) -> str:
    words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return f"the state cannot be written: {words}"
