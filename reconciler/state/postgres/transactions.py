"""Short transactions of the coordination, on a connection of their own.

Owns: that connection, and which server it leads to. Must not: know what a transaction is for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg

from reconciler.core.errors import StateError
from reconciler.core.model import AccountName
from reconciler.core.replicas import Server as Identity
from reconciler.state.postgres import migrations
from reconciler.state.postgres.connection import BEGIN, Connection, Server
from reconciler.state.postgres.database import AT_EASE
from reconciler.state.postgres.faults import Silent, sentence
from reconciler.state.postgres.writes import executions
from reconciler.state.records import Fence, Group
from reconciler.state.sql import rows
from reconciler.state.sql.writes import of_groups

NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The server's time as moments are kept."""
TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint"
"""The timeline that the server writes now. What ``pg_control_checkpoint`` shows is older after a failover."""
SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
CHANNEL = "pcc_changes"
"""Where replicas hear that the counter of changes grew. What is sent is the schema, as several may be in a database."""
CHANGED = f"""WITH counted AS (UPDATE counter SET changes = changes + 1)
    SELECT pg_notify('{CHANNEL}', current_schema())"""  # noqa: S608 - a word of this module


class Transactions:
    """One connection. A transaction has it alone; after a fault the next one makes another connection."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.identity = Identity("", 0)
        self._turn = threading.Lock()
        self._connection: Connection | None = None

    @contextmanager
    def begun(self, *, at_ease: bool = False) -> Iterator[Connection]:
        """Give a connection in a transaction, and commit it. ``at_ease``: a crash of the server may lose it.

        Raises ``StateError``, whatever the fault.
        """
        with self._turn:
            try:
                connection = self._begin()
                if at_ease:
                    connection.execute(AT_EASE)
                yield connection
                connection.execute("COMMIT")
            except StateError:  # it names the server where that matters
                self._drop()
                raise
            except (psycopg.Error, UnicodeError) as error:
                self._drop()
                raise StateError(f"{self.server.name}: {sentence(error)}") from error
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            self._drop()

    def _begin(self) -> Connection:
        """Begin a transaction, on a new connection if the server has closed the one at hand meanwhile."""
        if self._connection is not None:
            try:
                self._connection.execute(BEGIN)
            except Silent:
                raise
            except psycopg.Error:
                self._drop()
            else:
                return self._connection
        connection = self._connection = self.server.connect()
        migrations.migrate(connection)
        self.identity = identity(connection)
        connection.execute(BEGIN)
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def identity(connection: Connection) -> Identity:
    """Return which server this is. One that shows no system identifier to its users is known by its timeline."""
    timeline = scalar(connection, TIMELINE)
    try:
        system = scalar(connection, SYSTEM)
    except psycopg.errors.InsufficientPrivilege:
        system = ""
    return Identity(str(system), int(timeline))


def scalar(connection: Connection, sql: str, values: Iterable[Any] = ()) -> Any:
    """Return the one value that a query finds, or None."""
    found = connection.execute(sql, tuple(values)).fetchone()
    return None if found is None else found[0]


def write(connection: Connection, groups: Iterable[Group]) -> None:
    """Write groups in the transaction that is open."""
    for statement in of_groups(groups):
        for sql, values in executions(statement.write, statement.rows):
            connection.execute(sql, values)


def columns(fences: Mapping[AccountName, Fence]) -> list[list[Any]]:
    """Return fences as one list for each column, in the order of their accounts."""
    believed = [
        (account, one.owner, one.epoch, one.generation, one.pause)
        for account, one in sorted(fences.items())
    ]
    return [list(column) for column in zip(*believed, strict=True)]


def moment(stamp: int) -> datetime:
    """Return a moment that was kept."""
    return rows.moment(stamp)
