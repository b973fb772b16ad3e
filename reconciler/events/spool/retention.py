"""What goes when: bodies some time after delivery, keys later, and delivered bodies early where room is short.

Owns: what may go, and in which order. Must not: let go of anything that was not delivered and that no person erased,
but for what is in quarantine, which nobody can deliver.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.events.port import Retention
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Room, Work
from reconciler.state.sqlite.session import Session

AT_ONCE = 500
"""How many rows go in one transaction, so that nobody waits long."""
SELF_TESTS = timedelta(days=1)
"""How long self-tests are kept."""

OLDEST_SPENT = "SELECT seq FROM spent ORDER BY since, seq LIMIT ?"
SPENT_BEFORE = "SELECT seq FROM spent WHERE since < ? ORDER BY since LIMIT ?"
OLD_QUARANTINED = """SELECT event.seq FROM event JOIN body ON body.seq = event.seq
    WHERE fate = 'quarantined' AND received < ? LIMIT ?"""
OLD_SELF_TESTS = "SELECT seq FROM event WHERE fate = 'self_test' AND received < ? LIMIT ?"
FORGETTABLE = """NOT EXISTS (SELECT 1 FROM body WHERE body.seq = event.seq)
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state = 'pending')"""
OLD_KEYS = f"SELECT seq FROM event WHERE {FORGETTABLE} AND received < ? ORDER BY seq LIMIT ?"
DROP_BODY = "DELETE FROM body WHERE seq = ?"
DROP_SPENT = "DELETE FROM spent WHERE seq = ?"
DROP_DELIVERIES = "DELETE FROM delivery WHERE seq = ?"
DROP_EVENT = "DELETE FROM event WHERE seq = ?"


class Limit(Room):
    """The most bytes that the spool may hold."""

    def __init__(self, limit: int) -> None:
        self.bytes = limit

    def make(self, session: Session) -> bool:
        """Let the oldest delivered bodies go until there is room, some at a time; return whether that helps."""
        if session.used_bytes() <= self.bytes:
            return True
        spent = session.rows(OLDEST_SPENT, (AT_ONCE,))
        if not spent:
            return False
        session.many(DROP_BODY, spent)
        session.many(DROP_SPENT, spent)
        return True


class DropBodies(Work[int]):
    """Removes bodies that were delivered long enough ago."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        spent = session.rows(SPENT_BEFORE, (self._before, AT_ONCE))
        session.many(DROP_BODY, spent)
        session.many(DROP_SPENT, spent)
        return len(spent)


class DropQuarantined(Work[int]):
    """Removes bodies that were in quarantine long enough."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        old = session.rows(OLD_QUARANTINED, (self._before, AT_ONCE))
        session.many(DROP_BODY, old)
        return len(old)


class DropKeys(Work[int]):
    """Removes what is left of events whose bodies are gone: their duplicates are not recognised any more."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        old = session.rows(OLD_KEYS, (self._before, AT_ONCE))
        forget(session, old)
        return len(old)


class DropSelfTests(Work[int]):
    """Removes old self-tests."""

    def __init__(self, before: datetime) -> None:
        self._before = tables.stamp(before)

    def carry_out(self, session: Session) -> int:
        """Remove some; return their number."""
        old = session.rows(OLD_SELF_TESTS, (self._before, AT_ONCE))
        session.many(DROP_BODY, old)
        forget(session, old)
        return len(old)


def forget(session: Session, seqs: list[tuple[int, ...]]) -> None:
    """Remove every row of events whose bodies are gone."""
    session.many(DROP_DELIVERIES, seqs)
    session.many(DROP_SPENT, seqs)
    session.many(DROP_EVENT, seqs)


def expired(now: datetime, retention: Retention) -> tuple[Work[int], ...]:
    """Return the work that removes what is older than it is kept. Each is to be repeated until nothing is left."""
    return (
        DropBodies(now - retention.bodies),
        DropQuarantined(now - retention.quarantine),
        DropSelfTests(now - SELF_TESTS),
        DropKeys(now - retention.keys),
    )
