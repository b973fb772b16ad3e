"""Replay: events become due again at a sink, or for the first time.

Owns: which events a replay takes, and what becomes of those in quarantine. Must not: deliver.

It is done in short transactions, in the order in which events were stored, so that the receiver beside it never waits
long and events of one device keep their order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.events.message import read, understood
from reconciler.events.model import PCC_EVENT, EventState, Message
from reconciler.events.port import Route, Router
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Work
from reconciler.events.spool.storing import FIND_EARLIER, add_delivery, store
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

AT_ONCE = 500
"""How many events are taken in one transaction."""
SETTLED_STATES = (EventState.DELIVERED, EventState.DEAD)
"""States of one sink from which an event becomes due again."""

SETTLED = """SELECT delivery.seq, delivery.device FROM delivery JOIN event ON event.seq = delivery.seq
    WHERE delivery.sink = ? AND delivery.seq > ? AND delivery.state IN (?, ?) AND event.received >= ?
    AND (? IS NULL OR delivery.device = ?) AND EXISTS (SELECT 1 FROM body WHERE body.seq = delivery.seq)
    ORDER BY delivery.seq LIMIT ?"""
NOT_HERE = """SELECT event.seq, event.device, event.push_type, body.content
    FROM event JOIN body ON body.seq = event.seq
    WHERE event.seq > ? AND event.fate IN ('kept', 'unrouted') AND event.received >= ?
    AND (? IS NULL OR event.device = ?)
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND delivery.sink = ?)
    ORDER BY event.seq LIMIT ?"""
QUARANTINED = """SELECT event.seq, body.content, event.received FROM event JOIN body ON body.seq = event.seq
    WHERE event.fate = 'quarantined' AND event.seq > ? AND event.received >= ? ORDER BY event.seq LIMIT ?"""
AGAIN = """UPDATE delivery SET state = 'pending', due = ?, attempts = 0, changed = ?, status = NULL,
    words = 'replayed' WHERE seq = ? AND sink = ?"""
"""The tries are counted anew; the word stays until the next one, and says that the sink was given the event before."""
ROUTED = "UPDATE event SET fate = 'kept' WHERE seq = ?"
NOT_SPENT = "DELETE FROM spent WHERE seq = ?"
DROP_EVENT = "DELETE FROM event WHERE seq = ?"
DROP_BODY = "DELETE FROM body WHERE seq = ?"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events a replay takes, and when it is made."""

    sink: str
    since: datetime
    states: Collection[EventState]
    device: str | None
    dry_run: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction of a replay came to. ``after`` is where the next goes on; None after the last."""

    taken: int
    after: int | None


class Replay(ABC):
    """One kind of replay: which events it finds, and what it does with each."""

    def __init__(self, selection: Selection, router: Router | None) -> None:
        self._selection, self._router = selection, router

    def step(self, after: int) -> ReplayStep:
        """Return the work that takes the events after a seq, some at a time."""
        return ReplayStep(self, after)

    @abstractmethod
    def find(self, session: Session, after: int) -> Sequence[Row]:
        """Return some events after a seq, in order, each beginning with its seq."""

    @abstractmethod
    def take(self, session: Session, row: Row) -> int:
        """Take an event; return as how many events it counts."""


class ReplayStep(Work[Step]):
    """Takes some of the events of a replay."""

    wakes = True

    def __init__(self, replay: Replay, after: int) -> None:
        self._replay, self._after = replay, after

    def carry_out(self, session: Session) -> Step:
        """Take them."""
        found = self._replay.find(session, self._after)
        taken = 0
        for row in found:
            taken += self._replay.take(session, row)
        return Step(taken, found[-1][0] if len(found) == AT_ONCE else None)


class ReplaySettled(Replay):
    """Makes events due again that were delivered to a sink or given up for it."""

    def find(self, session: Session, after: int) -> Sequence[Row]:
        """Return events with their devices."""
        chosen = self._selection
        states = [state.value if state in chosen.states else "" for state in SETTLED_STATES]
        since, device = tables.stamp(chosen.since), chosen.device
        return session.rows(SETTLED, (chosen.sink, after, *states, since, device, device, AT_ONCE))

    def take(self, session: Session, row: Row) -> int:
        """Make an event due, or park it behind an earlier one of its device."""
        if self._selection.dry_run:
            return 1
        seq, device = row
        sink, now = self._selection.sink, tables.stamp(self._selection.now)
        earlier = None if device is None else session.row(FIND_EARLIER, (sink, device, seq))
        session.run(AGAIN, (now if earlier is None else None, now, seq, sink))
        session.run(NOT_SPENT, (seq,))
        return 1


class ReplayUnrouted(Replay):
    """Sends events to a sink that did not go there: nobody took them, or there was no such sink.

    With a router, only those that it would send there today; without one, every PCC event.
    """

    def find(self, session: Session, after: int) -> Sequence[Row]:
        """Return events with their devices, push types and bodies."""
        chosen = self._selection
        since, device = tables.stamp(chosen.since), chosen.device
        return session.rows(NOT_HERE, (after, since, device, device, chosen.sink, AT_ONCE))

    def take(self, session: Session, row: Row) -> int:
        """Make an event due if it goes to this sink."""
        seq, device, push_type, content = row
        if not self._goes(push_type, content):
            return 0
        if not self._selection.dry_run:
            add_delivery(session, seq, self._selection.sink, device, self._selection.now)
            session.run(ROUTED, (seq,))
            session.run(NOT_SPENT, (seq,))
        return 1

    def _goes(self, push_type: str, content: bytes) -> bool:
        if self._router is None:
            return push_type == PCC_EVENT
        message = understood(content)
        return message is not None and self._selection.sink in self._router.route(message).sinks


@dataclass(frozen=True, slots=True)
class _To:
    """The route to the sink of a replay, with what the router says about the event."""

    sinks: Sequence[str]
    account: str | None = None
    category: str | None = None


class ReplayQuarantined(Replay):
    """Reads what is in quarantine again, and stores what is understood now as if it had just come."""

    def find(self, session: Session, after: int) -> Sequence[Row]:
        """Return events with their bodies and when they came."""
        return session.rows(QUARANTINED, (after, tables.stamp(self._selection.since), AT_ONCE))

    def take(self, session: Session, row: Row) -> int:
        """Store what a body says now in place of what was kept of it; return the number of its messages."""
        seq, content, received = row
        arrivals = read(content)
        messages = [arrival.message for arrival in arrivals if arrival.message is not None]
        if not any(self._is_wanted(message) for message in messages):
            return 0
        if not self._selection.dry_run:
            session.run(DROP_BODY, (seq,))
            session.run(DROP_EVENT, (seq,))
            store(session, arrivals, self, tables.moment(received))
        return len(messages)

    def route(self, message: Message) -> Route:
        """Return where a message goes that was in quarantine: to the sink of the replay."""
        sinks = [self._selection.sink]
        if self._router is None:
            return _To(sinks)
        route = self._router.route(message)
        return _To(sinks, route.account, route.category)

    def _is_wanted(self, message: Message) -> bool:
        return self._selection.device in (None, message.device)


def replays(selection: Selection, router: Router | None) -> Iterator[Replay]:
    """Yield what has to be done for a selection."""
    if not set(SETTLED_STATES).isdisjoint(selection.states):
        yield ReplaySettled(selection, router)
    if EventState.UNROUTED in selection.states:
        yield ReplayUnrouted(selection, router)
    if EventState.QUARANTINED in selection.states:
        yield ReplayQuarantined(selection, router)
