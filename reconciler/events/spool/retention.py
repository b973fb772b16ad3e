"""What goes when: bodies some time after delivery, keys later, and both early where room is short.

Owns: what may go, and in which order. Must not: let go of a diagnosis that was not delivered and that no person
erased. What is in quarantine nobody can deliver, and other push types that no sink asks for nobody waits for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from reconciler.events.port import Retention
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Room, Work
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

AT_ONCE = 500
"""How many rows go in one transaction, so that nobody waits long."""
MOST_STEPS = 8
"""How often that many go to make room for one transaction."""
SELF_TESTS = timedelta(days=1)
"""How long self-tests are kept."""
LATEST = 2**63 - 1

WITH_BODY = "SELECT seq FROM spent WHERE empty = 0 AND since < ? ORDER BY since LIMIT ?"
WITHOUT_BODY = "SELECT seq FROM spent WHERE empty = 1 AND since < ? ORDER BY since LIMIT ?"
QUARANTINED = """SELECT event.seq, received FROM event JOIN body ON body.seq = event.seq
    WHERE fate <> 'kept' AND fate = 'quarantined' AND received < ? LIMIT ?"""
OLD_SELF_TESTS = """SELECT seq FROM event
    WHERE fate <> 'kept' AND fate = 'self_test' AND received < ? LIMIT ?"""
DROP_BODY = "DELETE FROM body WHERE seq = ?"
EMPTIED = "UPDATE spent SET empty = 1 WHERE seq = ?"
EMPTY = "INSERT OR REPLACE INTO spent VALUES (?, ?, 1)"
FORGET = tuple(f"DELETE FROM {table} WHERE seq = ?" for table in ("delivery", "spent", "event"))


class Limit(Room):
    """The most bytes that the spool may hold."""

    def __init__(self, limit: int) -> None:
        self.bytes = limit

    def make(self, session: Session) -> bool:
        """Let the oldest delivered bodies go, then the oldest keys, until there is room; return whether that helps.

        Where it needs more than a few steps, the next transactions go on: more goes in each than comes.
        """
        if session.size() <= self.bytes:  # nearly always, and one question to SQLite instead of two
            return True
        for step in range(MOST_STEPS):
            if session.used_bytes() <= self.bytes:
                return True
            if not drop_bodies(session, LATEST) and not forget_keys(session, LATEST):
                return step > 0
        return True


class DropBodies(Work[int]):
    """Removes bodies that were delivered long enough ago."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        return drop_bodies(session, self._before)


class DropKeys(Work[int]):
    """Removes what is left of events whose bodies are gone: their duplicates are not recognised any more."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        return forget_keys(session, self._before)


class DropQuarantined(Work[int]):
    """Removes bodies that were in quarantine long enough."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        old = session.rows(QUARANTINED, (self._before, AT_ONCE))
        for seq, received in old:
            session.run(DROP_BODY, (seq,))
            session.run(EMPTY, (seq, received))
        return len(old)


class DropSelfTests(Work[int]):
    """Removes old self-tests."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        old = session.rows(OLD_SELF_TESTS, (self._before, AT_ONCE))
        session.many(DROP_BODY, old)
        _forget(session, old)
        return len(old)


def drop_bodies(session: Session, before: int) -> int:
    """Remove some of the bodies that nobody needs since then, the oldest first; return their number."""
    spent = session.rows(WITH_BODY, (before, AT_ONCE))
    session.many(DROP_BODY, spent)
    session.many(EMPTIED, spent)
    return len(spent)


def forget_keys(session: Session, before: int) -> int:
    """Remove some of the events that have no body and that nobody needs since then; return their number."""
    spent = session.rows(WITHOUT_BODY, (before, AT_ONCE))
    _forget(session, spent)
    return len(spent)


def _forget(session: Session, seqs: Sequence[Row]) -> None:
    for sql in FORGET:
        session.many(sql, seqs)


def expired(now: datetime, retention: Retention) -> tuple[Work[int], ...]:
    """Return the work that removes what is older than it is kept. Each is to be repeated until nothing is left."""
    return (
        DropBodies(now - retention.bodies),
        DropQuarantined(now - retention.quarantine),
        DropSelfTests(now - SELF_TESTS),
        DropKeys(now - retention.keys),
    )
