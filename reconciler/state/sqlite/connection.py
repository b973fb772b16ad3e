"""What every connection to SQLite needs: how it is opened, checked, migrated and written.

Owns: the schema's version, and which errors mean damage. Must not: know where a file lies, or what the tables mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from reconciler.core.errors import StateError
from reconciler.state.sql.rows import Row as Row  # noqa: PLC0414 - the events' spool has rows, too

DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Connect = Callable[[str], sqlite3.Connection]
Migrations = Sequence[Sequence[str]]
"""The statements for each version, from 1 on, that migrate the version before."""


class Newer(StateError):
    """A newer program wrote this state, and this one cannot know what it means."""


class DamagedError(sqlite3.DatabaseError):
    """The content of the file is damaged."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, executed for each row of values. The rows must be iterable more than once."""

    sql: str
    rows: Iterable[Row] = ((),)


def connect(uri: str) -> sqlite3.Connection:
    """Open a file by its address, without implicit transactions, for use from any thread under a lock of ours."""
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def empty(migrations: Migrations) -> sqlite3.Connection:
    """Return a connection to an empty state that ends with the process."""
    connection = connect(":memory:")
    migrate(connection, migrations)
    return connection


def check(
    connection: sqlite3.Connection, newest: int, *, wholly: bool = True, holds: str = "state"
) -> int:
    """Return the version of a sound file. Without ``wholly`` the content is unchecked. ``holds`` names it."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > newest:
        raise Newer(
            f"the {holds} is of version {version}, and this program knows versions up to {newest}: "
            f"a newer program wrote it, use that one, or another {holds} folder"
        )
    if wholly and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise DamagedError
    return version


def migrate(connection: sqlite3.Connection, migrations: Migrations) -> None:
    """Migrate the tables to the newest version. This always writes, so a read-only disk shows at once."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    with transaction(connection):
        for step in migrations[version:]:
            for sql in step:
                connection.execute(sql)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make one transaction of the writes inside: all or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # after some faults SQLite has rolled back already
            connection.execute("ROLLBACK")
        raise


def primary(error: sqlite3.Error) -> int:
    """Return SQLite's own code of an error, without its finer distinctions."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def damaged(error: BaseException) -> bool:
    """Return whether an error means that a file is damaged."""
    return isinstance(error, sqlite3.DatabaseError) and primary(error) in DAMAGED


def lacking(connection: sqlite3.Connection, migrations: Migrations) -> frozenset[str]:
    """Return the tables and indexes that the newest version has and this file does not have."""
    every = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    with closing(empty(migrations)) as whole:
        try:
            there = {name for (name,) in connection.execute(every)}
            return frozenset(name for (name,) in whole.execute(every)) - there
        except sqlite3.Error:
            return frozenset()  # another fault, not a missing table


def require_tables(connection: sqlite3.Connection, migrations: Migrations) -> None:
    """Raise ``DamagedError`` if a table or an index is missing."""
    if lacking(connection, migrations):
        raise DamagedError


def copied(connection: sqlite3.Connection, migrations: Migrations) -> sqlite3.Connection:
    """Return a copy in memory, of the newest version."""
    copy = connect(":memory:")
    connection.backup(copy)
    migrate(copy, migrations)
    return copy
