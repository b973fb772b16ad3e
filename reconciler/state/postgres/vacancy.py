"""Sees to it that no replica uses a database while something is done to its state as a whole.

Owns: how long a sign of life is waited for, and the lock that keeps replicas from joining meanwhile. Must not: act on a
member that shows a sign of life.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from psycopg import errors

from reconciler.core.errors import StateError
from reconciler.state.postgres import migrations
from reconciler.state.postgres.connection import BEGIN, Connection, Server
from reconciler.state.postgres.faults import in_a_sentence
from reconciler.state.postgres.members import DECLARE_DEAD, SECOND

LIVING = "SELECT id, name, beat, lease FROM member WHERE NOT dead ORDER BY id"
BEAT = "SELECT 1 FROM member WHERE id = %s AND beat = %s AND NOT dead"
FOR_LONG = """SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL lock_timeout = '2s'"""
KEEP_OUT = "LOCK TABLE member IN SHARE ROW EXCLUSIVE MODE"
LOOKED_AGAIN = 1.0
"""Seconds between two looks, as long as between two signs of life."""

Progress = Callable[[str], None]
"""Takes a sentence about what is done now."""


@contextmanager
def vacant(server: Server, progress: Progress) -> Iterator[Connection]:
    """Give a connection in a transaction during which no replica can join. It is for the caller to commit.

    A replica that tries to join waits until then. Raises ``StateError`` if one lives already, or another command has
    the database. A replica that was killed is declared dead after its lease.
    """
    with closing(server.connect()) as connection, in_a_sentence(server.name):
        migrations.migrate(connection)
        _wait(connection, server.name, progress)
        connection.execute(BEGIN)
        connection.execute(FOR_LONG)
        try:
            connection.execute(KEEP_OUT)
        except errors.LockNotAvailable:
            raise StateError(f"another command or a replica uses {server.name}") from None
        for _, who, *_ in connection.execute(LIVING).fetchall():
            raise StateError(_in_use(who, server.name))
        yield connection


def _wait(connection: Connection, name: str, progress: Progress) -> None:
    members = connection.execute(LIVING).fetchall()
    longest = max((lease for *_, lease in members), default=0) / SECOND
    if members:
        progress(f"waiting up to {longest:.0f} s to see whether a replica uses {name}")
    end = time.monotonic() + longest
    while members:
        for member, who, beat, _ in members:
            if connection.execute(BEAT, (member, beat)).fetchone() is None:
                raise StateError(_in_use(who, name))
        if time.monotonic() >= end:
            break
        time.sleep(LOOKED_AGAIN)
    for member, _, beat, _ in members:
        connection.execute(DECLARE_DEAD, (member, beat))


def _in_use(who: str, name: str) -> str:
    return f"replica {who} uses {name}: stop all replicas first"
