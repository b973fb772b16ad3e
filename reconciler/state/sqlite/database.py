"""One SQLite file that one process writes and others read, on a disk that may be full, damaged or locked.

Owns: the lock file, permissions, the schema's version and its migrations, setting a damaged file aside, and turning
every fault of disk or SQLite into ``StateError``. Must not: know what the tables mean, or decide what a failed write
leads to.

While a file is open, somebody may delete it, move it, or put another in its place. What is written then goes where
nobody will look for it. So before each write, and whenever asked to ``look``, the files at the path are compared with
those that were opened. Where they differ writes are refused, once; the next write copies what the open file holds to a
fresh file at the path and goes on there. Only SQLite opens the file: closing a second handle of it would end SQLite's
locks.

The file is in WAL mode, so that readers never wait for the writer nor it for them. A killed process loses nothing. A
machine that loses power may lose the last moments, but never the file, and nothing that ``lasting`` was said of, nor
anything before it: only for that is the disk waited for.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from reconciler.core.clock import Clock
from reconciler.core.errors import StateError

FILE, LOCK = "state.db", "state.lock"
FRESH = f"{FILE}.fresh"
"""The file that takes the place of one that was taken away, until it is whole."""
BESIDE = ("", "-wal", "-shm")
"""What SQLite adds to the name of a file for its companions."""
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LARGEST_LEFT_WAL = 64 * 1024 * 1024
"""Bytes that the write-ahead log may keep on disk after a large write was carried over into the file."""

MOST_REPLACED = 5
"""How many files that were found in the place of ours are kept; the oldest are removed."""
MOST_NOTICES = 20
"""How many sentences for the log are kept until somebody asks for them."""

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


@dataclass(frozen=True, slots=True)
class _Sign:
    """What tells the files at the path from any others: which they are, and when SQLite last wrote them.

    ``link`` is where the path itself leads, if it is a link: SQLite looks for the log beside what it leads to, so the
    same file behind another link comes without its log.
    """

    link: str
    main: Row | None
    log: Row | None
    shared: Row | None

    def missing(self, now: _Sign) -> str:
        """Return in a few words what happened since, or nothing."""
        if now == self:
            return ""
        if now.main is None:
            return "was deleted or moved"
        if self.main is None or now.main[:2] != self.main[:2] or now.link != self.link:
            return "was replaced by another file"
        if now.main != self.main:
            return "was written by another program"
        return "lost its write-ahead log, or another program wrote that"

    def overwritten(self, now: _Sign) -> bool:
        """Say whether they are the same files with other bytes. One that is gone is still whole where it is open."""
        pairs = ((self.main, now.main), (self.log, now.log))
        return now.main is not None and not (
            self.link != now.link
            or any(old is not None and new is not None and old[:2] != new[:2] for old, new in pairs)
            or all(old is None or new is None or old == new for old, new in pairs)
        )


class Database:
    """The file, or what stands in for it while it cannot be had for writing.

    ``trouble`` is one sentence while writes fail, and empty otherwise. ``generation`` counts how often the file behind
    this object was exchanged, so that who keeps things in memory knows when to read them again. ``losses`` counts how
    often what the file held was lost with it, ``doubts`` how often another program wrote into it while it was open:
    then it may be older than what is in memory. ``set_aside`` is the new name of a damaged file, if one was found.
    ``notices`` are sentences for the log about what happened to the file.
    """

    def __init__(self, folder: Path, migrations: Migrations, clock: Clock, connect: Connect = connect) -> None:
        self.trouble = ""
        self.generation = self.losses = self.doubts = 0
        self.notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self.set_aside: Path | None = None
        self.frozen = self._closed = False
        self._folder, self._migrations, self._clock, self._connect = folder, migrations, clock, connect
        self._turn = threading.Lock()
        self._lock: int | None = None
        self._attached = self._in_memory = False
        self._sign = _Sign("", None, None, None)
        self._taken = ""
        self._checked: Row | None = None
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
                database._view(copied=True)
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
                self._settle()
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
                with _transaction(self._connection):
                    for statement in statements:
                        self._connection.executemany(statement.sql, statement.rows)
                self._sign = self._look_at()
            except StateError as error:
                self.trouble = f"the state cannot be written: {error}"
                raise
            except (OSError, sqlite3.Error, ValueError, OverflowError) as error:
                self.trouble = _sentence(error)
                if self._is_damage(error):
                    self._lose(f"is damaged ({error})")
                self._sign = self._look_at()
                raise StateError(self.trouble) from error
            if not more:
                self.trouble = ""

    def look(self) -> bool:
        """Find out whether the files at the path are those that are open; say whether it is news that they are not."""
        with self._turn:
            before = self._taken
            if self._attached and not self._closed:
                self._compare()
            return self._taken != before

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

    def _settle(self) -> None:
        """Have the file at the path open for writing, or raise."""
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
        now = self._look_at()
        what = self._sign.missing(now)
        self.doubts += self._sign.overwritten(now)
        if not what and self._lock is not None and _identity(os.fstat(self._lock)) != _there(self._folder / LOCK):
            what = f"lost its lock file {LOCK}"
        if what:
            self._lose(what)

    def _lose(self, what: str) -> None:
        self._taken = f"{self._folder / FILE} {what} while it was open"
        self.trouble = f"the state cannot be written: {self._taken}"
        self.notices.append(self.trouble)

    def _look_at(self) -> _Sign:
        if self._in_memory or not self._attached:
            return self._sign
        main, log, shared = (
            _there(Path(f"{self._folder / FILE}{suffix}"), dated=suffix != "-shm") for suffix in BESIDE
        )
        return _Sign(_link(self._folder / FILE), main, log, shared)

    def _is_damage(self, error: Exception) -> bool:
        """Say whether an error means that the open file is not what SQLite once wrote, or lacks a table."""
        if not isinstance(error, sqlite3.Error) or not self._attached or self._taken:
            return False
        if _primary(error) == sqlite3.SQLITE_ERROR:  # what SQLite says of a missing table, among other things
            return bool(self._lacking(self._connection))
        return _primary(error) in DAMAGED

    def _lacking(self, connection: sqlite3.Connection) -> frozenset[str]:
        """Return the tables and indexes that a file of the newest version has and this one has not."""
        every = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        whole = self._empty()
        try:
            there = {name for (name,) in connection.execute(every)}
            return frozenset(name for (name,) in whole.execute(every)) - there
        except sqlite3.Error:
            return frozenset()  # whatever is wrong, it is not that a table is missing
        finally:
            whole.close()

    def _insist_on_tables(self, connection: sqlite3.Connection) -> None:
        if self._lacking(connection):
            raise _DamagedError

    def _attach(self) -> None:
        """Lock the folder and open its file for writing; a damaged file is set aside, and a fresh one begun."""
        self._have_folder()
        path = self._folder / FILE
        try:
            connection = self._opened(path)
        except _DamagedError:
            self.set_aside = self._put_aside(path, "corrupt")
            connection = self._opened(path)
            self.losses += 1
        self._exchange(connection)
        self._attached = True
        self._sign = self._look_at()

    def _have_folder(self) -> None:
        """Make the folder if need be, and hold the lock that lies in it now."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._folder / LOCK
        if self._lock is not None and _identity(os.fstat(self._lock)) == _there(lock):
            return
        taken = _locked(lock)
        self._release()
        self._lock = taken

    def _bring_back(self) -> None:
        """Write what the open file holds to a fresh file at the path, or begin an empty one where that is lost."""
        self._have_folder()
        path, fresh = self._folder / FILE, self._folder / FRESH
        whole = self._is_whole()
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{fresh}{suffix}").unlink(missing_ok=True)
        _private(fresh)
        copy = self._connect(fresh.absolute().as_uri())
        try:
            if whole:
                self._connection.backup(copy)
            else:
                _migrate(copy, self._migrations)
        finally:
            copy.close()
        replaced = self._put_aside(path, "replaced")
        fresh.replace(path)
        self._exchange(self._opened(path))
        self._taken = ""
        self._sign = self._look_at()
        self.losses += not whole
        self._tell_how(replaced, whole=whole)

    def _is_whole(self) -> bool:
        """Say whether the open file can still be read from end to end, wherever it is now."""
        try:
            return _check(self._connection, len(self._migrations)) >= 0 and not self._lacking(self._connection)
        except (sqlite3.Error, StateError):
            return False

    def _tell_how(self, replaced: Path | None, *, whole: bool) -> None:
        what = "everything it held" if whole else "what was in memory"
        kept = "" if replaced is None else f"; what was found there is kept as {replaced}"
        self.notices.append(f"{what} was written to a fresh {self._folder / FILE}{kept}")

    def _opened(self, path: Path) -> sqlite3.Connection:
        _private(path)
        connection = self._connect(path.absolute().as_uri())
        try:
            self._check_once(connection, path)
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LEFT_WAL}").fetchall()
            _migrate(connection, self._migrations)
            self._insist_on_tables(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.DatabaseError) and _primary(error) in DAMAGED:
                raise _DamagedError from error
            raise
        return connection

    def _check_once(self, connection: sqlite3.Connection, path: Path) -> None:
        """Look whether a file is sound; of one that was found sound and did not change since only its version."""
        sign = _there(path, dated=True)
        _check(connection, len(self._migrations), wholly=sign is None or sign != self._checked)
        self._checked = sign

    def _put_aside(self, path: Path, why: str) -> Path | None:
        """Give what lies at the path another name, its companions first; return that name, if anything lay there."""
        name = f"{FILE}.{why}-{self._clock.now():%Y%m%dT%H%M%SZ}"
        names = (path.with_name(f"{name}{f'.{number}' if number else ''}") for number in count())
        aside = next(free for free in names if not free.exists())
        there = path.exists()
        # A log must never lie beside a file that it does not belong to: SQLite would play it into that file.
        for suffix in reversed(BESIDE):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        if why == "replaced":
            self._keep_few(path)
        return aside if there else None

    def _keep_few(self, path: Path) -> None:
        """Remove the oldest of the files that were found in place of ours."""
        kept = [one for one in path.parent.glob(f"{FILE}.replaced-*") if not one.name.endswith(BESIDE[1:])]
        for old in sorted(kept, key=_age)[:-MOST_REPLACED]:
            for suffix in BESIDE:
                with suppress(OSError):
                    Path(f"{old}{suffix}").unlink()

    def _view(self, *, copied: bool = False) -> None:
        """Open the file for reading, without so much as a companion file made for it.

        Without a write-ahead log nobody has it open, and it can be taken as it lies. With one there is or was a writer.
        ``copied``: it is read into memory and closed again. While one connection of a process has the shared memory of
        a file for reading only, SQLite gives no other connection of that process more.
        """
        path = self._folder / FILE
        try:
            if not path.exists():
                return
            log = Path(f"{path}-wal")
            how = "readonly_shm=1" if log.exists() and log.stat().st_size else "immutable=1"
            self._exchange(self._viewed(f"{path.absolute().as_uri()}?mode=ro&{how}", copied=copied))
        except _DamagedError:
            self.trouble = self.trouble or f"{path} is damaged: it is left as it is, and taken for empty"
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path} cannot be read: {error}") from error

    def _viewed(self, uri: str, *, copied: bool) -> sqlite3.Connection:
        connection = self._connect(uri)
        try:
            version = _check(connection, len(self._migrations))
            if version == len(self._migrations) and not copied:
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
    """See to it that the file is there and its owner's alone; SQLite gives its companions the same mode.

    A file of another user that we may write serves as it is: only its owner can change its mode.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(handle).st_mode & 0o077:
            with suppress(PermissionError):
                os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def can_be_kept(folder: Path) -> str:
    """Return which path this user would have to write to keep the state and cannot, or nothing where all is well."""
    if not folder.exists():
        parents = folder.absolute().parents
        there = next(one for one in parents if one.exists())
        return "" if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else str(folder)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return str(folder)
    files = (folder / LOCK, *(folder / f"{FILE}{suffix}" for suffix in BESIDE))
    return next((str(one) for one in files if one.exists() and not os.access(one, os.R_OK | os.W_OK)), "")


def is_there(folder: Path) -> bool:
    """Say whether a folder holds a state."""
    return (folder / FILE).exists()


def _identity(found: os.stat_result, *, dated: bool = False) -> Row:
    """Return which file this is, and when it was last written if that is asked for."""
    which = (found.st_dev, found.st_ino)
    return (*which, found.st_size, found.st_mtime_ns) if dated else which


def _there(path: Path, *, dated: bool = False) -> Row | None:
    """Return the identity of the file at a path, if there is one."""
    try:
        return _identity(path.stat(), dated=dated)
    except OSError:
        return None


def _link(path: Path) -> str:
    """Return what a link holds, or nothing where there is no link."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _check(connection: sqlite3.Connection, newest: int, *, wholly: bool = True) -> int:
    """Return the version of a sound file; not ``wholly``, it is taken for sound."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > newest:
        raise Newer(
            f"the state is of version {version}, and this program knows versions up to {newest}: "
            "a newer program wrote it, use that one, or another state folder"
        )
    if wholly and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
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
