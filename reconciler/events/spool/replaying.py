"""Replay: events become due again at a sink, or for the first time.

Owns: which events a replay takes, and what becomes of those in quarantine. Must not: deliver.

It is done in short transactions, in the order in which events were stored, so that the receiver beside it never waits
long and events of one device keep their order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.events.message import read
from reconciler.events.model import PCC_EVENT, EventState, Message
from reconciler.events.port import Route, Router
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Work
from reconciler.events.spool.storing import FIND_EARLIER, add_delivery, store
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

AT_ONCE = 500
"""How many events are taken in one transaction."""
MOVED = (EventState.DELIVERED, EventState.DEAD)
"""States of one sink from which an event becomes due again."""

SETTLED = """SELECT delivery.seq, delivery.device FROM delivery JOIN event ON event.seq = delivery.seq
    WHERE delivery.sink = ? AND delivery.seq > ? AND delivery.state IN (?, ?) AND event.received >= ?
    AND (? IS NULL OR delivery.device = ?) AND EXISTS (SELECT 1 FROM body WHERE body.seq = delivery.seq)
    ORDER BY delivery.seq LIMIT ?"""
NOT_HERE = """SELECT event.seq, event.device, event.push_type, body.content FROM event JOIN body ON body.seq = event.seq
    WHERE event.seq > ? AND event.fate = 'kept' AND event.received >= ? AND (? IS NULL OR event.device = ?)
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND delivery.sink = ?)
    ORDER BY event.seq LIMIT ?"""
QUARANTINED = """SELECT event.seq, body.content, event.received FROM event JOIN body ON body.seq = event.seq
    WHERE event.fate = 'quarantined' AND event.seq > ? AND event.received >= ? ORDER BY event.seq LIMIT ?"""
AGAIN = """UPDATE delivery SET state = 'pending', due = ?, attempts = 0, changed = ?, status = NULL, words = ''
    WHERE seq = ? AND sink = ?"""
NOT_SPENT = "DELETE FROM spent WHERE seq = ?"
DROP_EVENT = "DELETE FROM event WHERE seq = ?"
DROP_BODY = "DELETE FROM body WHERE seq = ?"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events a replay takes."""

    sink: str
    since: datetime
    states: Collection[EventState]
    device: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction of a replay came to. ``after`` is where the next goes on; None after the last."""

    taken: int
    after: int | None


class ReplaySettled(Work[Step]):
    """Makes events due again that were delivered to a sink or given up for it."""

    wakes = True

    def __init__(self, selection: Selection, now: datetime, after: int) -> None:
        self._selection, self._now, self._after = selection, tables.stamp(now), after

    def carry_out(self, session: Session) -> Step:
        """Take some."""
        chosen = self._selection
        states = [state.value if state in chosen.states else "" for state in MOVED]
        since, device = tables.stamp(chosen.since), chosen.device
        values = (chosen.sink, self._after, *states, since, device, device, AT_ONCE)
        found = session.rows(SETTLED, values)
        if not chosen.dry_run:
            for seq, of_device in found:
                self._again(session, seq, of_device)
        return _step(found, len(found))

    def _again(self, session: Session, seq: int, device: str | None) -> None:
        sink = self._selection.sink
        earlier = None if device is None else session.row(FIND_EARLIER, (sink, device, seq))
        session.run(AGAIN, (self._now if earlier is None else None, self._now, seq, sink))
        session.run(NOT_SPENT, (seq,))


class ReplayUnrouted(Work[Step]):
    """Sends events to a sink that did not go there: nobody took them, or there was no such sink.

    With a router, only those that it would send there today.
    """

    wakes = True

    def __init__(
        self, selection: Selection, router: Router | None, now: datetime, after: int
    ) -> None:
        self._selection, self._router = selection, router
        self._now, self._after = now, after

    def carry_out(self, session: Session) -> Step:
        """Take some."""
        chosen = self._selection
        since, device = tables.stamp(chosen.since), chosen.device
        values = (self._after, since, device, device, chosen.sink, AT_ONCE)
        found = session.rows(NOT_HERE, values)
        taken = 0
        for seq, of_device, push_type, content in found:
            if not self._goes(push_type, content):
                continue
            taken += 1
            if not chosen.dry_run:
                add_delivery(session, seq, chosen.sink, of_device, self._now)
                session.run(NOT_SPENT, (seq,))
        return _step(found, taken)

    def _goes(self, push_type: str, content: bytes) -> bool:
        if self._router is None:
            return push_type == PCC_EVENT
        (arrival, *_) = read(content)
        return (
            arrival.message is not None
            and self._selection.sink in self._router.route(arrival.message).sinks
        )


@dataclass(frozen=True, slots=True)
class _To:
    """The route to the sink of a replay, beside what the router says."""

    sinks: Sequence[str]
    account: str | None = None
    category: str | None = None


class ReplayQuarantined(Work[Step]):
    """Reads what is in quarantine again, and stores what is understood now as if it had just come."""

    wakes = True

    def __init__(self, selection: Selection, router: Router | None, after: int) -> None:
        self._selection, self._router, self._after = selection, router, after

    def carry_out(self, session: Session) -> Step:
        """Take some."""
        chosen = self._selection
        found = session.rows(QUARANTINED, (self._after, tables.stamp(chosen.since), AT_ONCE))
        taken = 0
        for row in found:
            taken += self._again(session, row)
        return _step(found, taken)

    def _again(self, session: Session, row: Row) -> int:
        seq, content, received = row
        arrivals = read(content)
        messages = [arrival.message for arrival in arrivals if arrival.message is not None]
        device = self._selection.device
        if not messages or (device is not None and all(one.device != device for one in messages)):
            return 0
        if not self._selection.dry_run:
            session.run(DROP_BODY, (seq,))
            session.run(DROP_EVENT, (seq,))
            for arrival in arrivals:
                store(session, arrival, self, tables.moment(received))
        return len(messages)

    def route(self, message: Message) -> Route:
        """Return where a message goes that was in quarantine: to the sink of the replay."""
        sinks = [self._selection.sink]
        if self._router is None:
            return _To(sinks)
        route = self._router.route(message)
        return _To(sinks, route.account, route.category)


def _step(found: Sequence[Row], taken: int) -> Step:
    return Step(taken, found[-1][0] if len(found) == AT_ONCE else None)
