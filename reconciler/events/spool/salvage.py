"""What can still be read of a damaged spool goes on in a fresh one.

Owns: in which order rows are read, so that a damaged page costs what is on it and not what lies behind. Must not:
change the damaged file, or raise for what cannot be read.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.core.errors import StateError
from reconciler.events.spool.tables import KIND
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

AT_ONCE = 500
"""How many rows are copied in one transaction."""
WAIT_SECONDS = 2.0

TABLES = ("event", "body", "delivery", "spent")
"""The tables whose rows are read in the order of their ``seq``, from both ends."""
SALVAGED = "SELECT count(*) FROM event"
WAY_LOST = """UPDATE event SET fate = 'unrouted' WHERE fate = 'kept'
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq)
    AND NOT EXISTS (SELECT 1 FROM spent WHERE spent.seq = event.seq)"""
"""Where its deliveries could not be read, nobody knows whether an event was delivered: it must not be shown so."""
ACCEPTED = "SELECT name, content FROM accepted"
ADD_ACCEPTED = "INSERT OR REPLACE INTO accepted VALUES (?, ?)"


def salvage(damaged: Path, fresh: Session) -> int:
    """Copy what can be read of a damaged file into a fresh spool; return the number of events that are in it."""
    try:
        old = Session.join(damaged, KIND, WAIT_SECONDS)
    except StateError:
        return 0
    try:
        for table in TABLES:
            _from_both_ends(old, fresh, table)
        with fresh.transaction():
            fresh.run(WAY_LOST)
        _accepted(old, fresh)
    finally:
        old.close()
    row = fresh.row(SALVAGED)
    return 0 if row is None else int(row[0])


def _from_both_ends(old: Session, fresh: Session, table: str) -> None:
    """Copy a table forward up to the first damaged page, and backward down to the last."""
    if not _copy(old, fresh, table, "ASC"):
        _copy(old, fresh, table, "DESC")


def _copy(old: Session, fresh: Session, table: str, order: str) -> bool:
    """Copy rows from one end; return whether the other end was reached."""
    rows: list[Row] = []
    whole = True
    try:
        for row in old.each(f"SELECT * FROM {table} ORDER BY seq {order}"):
            rows.append(row)
            if len(rows) == AT_ONCE:
                _add(fresh, table, rows)
                rows = []
    except StateError:
        whole = False
    _add(fresh, table, rows)
    return whole


def _add(fresh: Session, table: str, rows: list[Row]) -> None:
    if rows:
        places = ", ".join("?" * len(rows[0]))
        with fresh.transaction():
            fresh.many(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)


def _accepted(old: Session, fresh: Session) -> None:
    try:
        rows = old.rows(ACCEPTED)
    except StateError:
        return
    with fresh.transaction():
        fresh.many(ADD_ACCEPTED, rows)
