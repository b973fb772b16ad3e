"""The outbox: which events are due at a sink, and how attempts ended.

Owns: the order of the events of one device, and when an event counts as delivered everywhere. Must not: deliver, or
decide when the next attempt is made.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from reconciler.events.message import understood
from reconciler.events.model import Attempt, Message, Outcome, Result
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Work
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

LONGEST_WORDS = 256
"""Characters that are kept of why an attempt failed."""

FIRST_OF_ITS_DEVICE = """(delivery.device IS NULL OR NOT EXISTS (SELECT 1 FROM delivery AS earlier
    WHERE earlier.sink = delivery.sink AND earlier.device = delivery.device AND earlier.state = 'pending'
    AND earlier.seq < delivery.seq))"""
DUE_IN_ORDER = f"""SELECT seq, due FROM delivery INDEXED BY delivery_due
    WHERE sink = ? AND state = 'pending' AND due <= ? AND {FIRST_OF_ITS_DEVICE} ORDER BY due, seq LIMIT ?"""
DUE = """SELECT seq, due FROM delivery INDEXED BY delivery_due
    WHERE sink = ? AND state = 'pending' AND due <= ? ORDER BY due, seq LIMIT ?"""
PARKED = """SELECT seq, changed FROM delivery INDEXED BY delivery_due
    WHERE sink = ? AND state = 'pending' AND due IS NULL ORDER BY seq LIMIT ?"""
CONTENT = """SELECT event.seq, event.key, event.received, event.account, event.push_type, event.device,
    event.diagnosis, event.diagnosed, event.message_id, delivery.attempts, body.content
    FROM event JOIN delivery ON delivery.seq = event.seq AND delivery.sink = ? LEFT JOIN body ON body.seq = event.seq
    WHERE event.seq = ?"""

SETTLE = """UPDATE delivery SET state = ?, due = ?, attempts = attempts + 1, changed = ?, status = ?, words = ?
    WHERE seq = ? AND sink = ? AND state = 'pending'"""
DEVICE = "SELECT device FROM delivery WHERE seq = ? AND sink = ?"
NEXT = """UPDATE delivery SET due = ? WHERE due IS NULL AND sink = ? AND seq = (
    SELECT min(seq) FROM delivery INDEXED BY delivery_lane WHERE sink = ? AND device = ? AND state = 'pending')"""
SPENT = """INSERT OR IGNORE INTO spent SELECT ?, ?, 0 WHERE NOT EXISTS (
    SELECT 1 FROM delivery WHERE seq = ? AND state <> 'delivered')"""
STATES = {Result.DELIVERED: "delivered", Result.RETRY: "pending", Result.DEAD: "dead"}
LATEST = 2**63 - 1


def due(
    session: Session, sink: str, now: datetime, limit: int, *, ordered: bool, busy: Collection[int]
) -> Sequence[Attempt]:
    """Return what is due at a sink; ``port.Outbox`` says what that is."""
    found = _candidates(session, sink, tables.stamp(now), limit + len(busy), ordered=ordered)
    free = [seq for seq, _ in found if seq not in busy]
    attempts = []
    for seq in free[:limit]:
        row = session.row(CONTENT, (sink, seq))
        if row is not None:
            attempts.append(_attempt(sink, row))
    return attempts


def next_due(
    session: Session, sink: str, *, ordered: bool, busy: Collection[int]
) -> datetime | None:
    """Return when ``due`` would return something."""
    found = _candidates(session, sink, LATEST, 1 + len(busy), ordered=ordered)
    times = [due for seq, due in found if seq not in busy]
    return tables.moment(min(times)) if times else None


def _candidates(session: Session, sink: str, until: int, limit: int, *, ordered: bool) -> list[Row]:
    """Return the first that are due until then, with the times since when.

    Without an order, events that are parked behind others of their device are as good as due. They go first where they
    are older: those that are due could be new ones without end.
    """
    if ordered:
        return session.rows(DUE_IN_ORDER, (sink, until, limit))
    found = session.rows(DUE, (sink, until, limit))
    parked = session.rows(PARKED, (sink, limit))
    return sorted([*found, *parked]) if parked else found


def _attempt(sink: str, row: Row) -> Attempt:
    seq, key, received, account, push_type, device, diagnosis, diagnosed, message_id = row[:9]
    attempts, content = row[9:]
    message = None if content is None else understood(content)
    if message is None:  # an older program understood it: what that one knew is delivered
        message = Message(
            push_type=push_type,
            raw={},
            message_id=message_id,
            device=device,
            diagnosis=diagnosis,
            diagnosed_at=tables.moment_or_none(diagnosed),
        )
    return Attempt(
        seq=seq,
        id=tables.event_id(key),
        sink=sink,
        message=message,
        received_at=tables.moment(received),
        attempts=attempts,
        account=account,
    )


class Record(Work[None]):
    """How attempts ended."""

    patient = True

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes

    @property
    def size(self) -> int:
        """The number of outcomes."""
        return len(self._outcomes)

    def carry_out(self, session: Session) -> None:
        """Write all of them."""
        for outcome in self._outcomes:
            _settle(session, outcome)


def _settle(session: Session, outcome: Outcome) -> None:
    at = tables.stamp(outcome.at)
    settled = session.run(
        SETTLE,
        (
            STATES[outcome.result],
            tables.stamp(outcome.due or outcome.at) if outcome.result is Result.RETRY else None,
            at,
            outcome.status,
            _kept(outcome.words),
            outcome.seq,
            outcome.sink,
        ),
    )
    if not settled or outcome.result is Result.RETRY:
        return
    go_on(session, outcome.seq, outcome.sink, at)
    if outcome.result is Result.DELIVERED:
        session.run(SPENT, (outcome.seq, at, outcome.seq))


def go_on(session: Session, seq: int, sink: str, at: int) -> None:
    """Let the next event of the same device have its turn at a sink."""
    row = session.row(DEVICE, (seq, sink))
    if row is not None and row[0] is not None:
        session.run(NEXT, (at, sink, sink, row[0]))


def _kept(words: str) -> str:
    """Return words so that they can be kept: half a character pair cannot."""
    return words[:LONGEST_WORDS].encode("utf-8", "replace").decode()
