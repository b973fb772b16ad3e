"""Sees to it that no replica uses a database, before something is done to its state as a whole.

Owns: how long a sign of life is waited for. Must not: act on a member that shows one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from reconciler.core.errors import StateError
from reconciler.state.postgres import migrations
from reconciler.state.postgres.connection import Connection, Server
from reconciler.state.postgres.faults import in_a_sentence
from reconciler.state.postgres.members import DECLARE_DEAD, SECOND

LIVING = "SELECT id, name, beat, lease FROM member WHERE NOT dead ORDER BY id"
BEAT = "SELECT 1 FROM member WHERE id = %s AND beat = %s AND NOT dead"
LOOKED_AGAIN = 1.0
"""Seconds between two looks, as long as between two signs of life."""

Progress = Callable[[str], None]
"""Takes a sentence about what is done now."""


def insist_on_nobody(server: Server, progress: Progress) -> None:
    """Raise ``StateError`` if a replica lives. One that was killed is declared dead after its lease."""
    with closing(server.connect()) as connection, in_a_sentence(server.name):
        if migrations.version(connection):
            _wait(connection, server.name, progress)


def _wait(connection: Connection, name: str, progress: Progress) -> None:
    members = connection.execute(LIVING).fetchall()
    longest = max((lease for *_, lease in members), default=0) / SECOND
    if members:
        progress(f"waiting up to {longest:.0f} s to see whether a replica uses {name}")
    end = time.monotonic() + longest
    while members:
        for member, who, beat, _ in members:
            if connection.execute(BEAT, (member, beat)).fetchone() is None:
                raise StateError(f"replica {who} uses {name}: stop all replicas first")
        if time.monotonic() >= end:
            break
        time.sleep(LOOKED_AGAIN)
    for member, _, beat, _ in members:
        connection.execute(DECLARE_DEAD, (member, beat))
