"""Storing what arrived, with the rows that say where it goes: one transaction, so that neither is there alone.

Owns: what is a duplicate, and what is written of an arrival. Must not: choose sinks, or deliver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from reconciler.core.clock import Clock
from reconciler.events.model import SELF_TEST, Arrival, Message, Receipt, Stored
from reconciler.events.port import Route, Router
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Work
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

log = structlog.get_logger()

FIND = "SELECT seq FROM event WHERE key = ?"
COUNT = "UPDATE event SET duplicates = duplicates + 1 WHERE seq = ?"
FIND_MESSAGE = "SELECT 1 FROM event WHERE message_id = ? LIMIT 1"
ADD_EVENT = """INSERT INTO event (key, received, fate, push_type, device, device_type, account, diagnosis, category,
    diagnosed, message_id, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ADD_BODY = "INSERT INTO body VALUES (?, ?)"
FIND_EARLIER = """SELECT 1 FROM delivery INDEXED BY delivery_lane
    WHERE sink = ? AND device = ? AND state = 'pending' AND seq < ? LIMIT 1"""
ADD_DELIVERY = "INSERT INTO delivery VALUES (?, ?, ?, 'pending', ?, 0, ?, NULL, '')"


@dataclass(frozen=True, slots=True)
class Nowhere:
    """The route of a message that no sink takes."""

    sinks: Sequence[str] = ()
    account: str | None = None
    category: str | None = None


class Store(Work[Sequence[Receipt]]):
    """The arrivals of one request."""

    needs_room = True
    wakes = True

    def __init__(self, arrivals: Sequence[Arrival], router: Router, clock: Clock) -> None:
        self._arrivals, self._router, self._clock = arrivals, router, clock

    def carry_out(self, session: Session) -> Sequence[Receipt]:
        """Write all of them."""
        now = self._clock.now()
        return [store(session, arrival, self._router, now) for arrival in self._arrivals]


def store(session: Session, arrival: Arrival, router: Router, now: datetime) -> Receipt:
    """Write one arrival, inside a transaction, or count it as a duplicate."""
    key = arrival.key
    message = arrival.message
    test = message is not None and message.push_type == SELF_TEST
    known = session.row(FIND, (key,))
    if known is not None:
        session.run(COUNT, known)
        return Receipt(
            Stored.SELF_TEST if test else Stored.DUPLICATE, known[0], tables.event_id(key)
        )
    reused = is_reused(session, arrival.message_id)
    if message is None:
        seq = _add(session, arrival, tables.QUARANTINED, None, now)
        stored = Stored.QUARANTINED
    elif test:
        seq = _add(session, arrival, tables.SELF_TEST, None, now)
        stored = Stored.SELF_TEST
    else:
        route = _route(router, message)
        fate = tables.KEPT if route.sinks else tables.UNROUTED
        seq = _add(session, arrival, fate, route, now)
        for sink in route.sinks:
            add_delivery(session, seq, sink, message.device, now)
        stored = Stored.NEW
    return Receipt(stored, seq, tables.event_id(key), id_reused=reused)


def _route(router: Router, message: Message) -> Route:
    """Return where a message goes. A defect there must not cost the event: it goes nowhere, and is shown as such."""
    try:
        return router.route(message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the event is kept
        log.warning("event.unroutable", error=type(error).__name__, device=message.device)
        return Nowhere()


def is_reused(session: Session, message_id: str | None) -> bool:
    """Return whether another event came with this message id."""
    return message_id is not None and session.row(FIND_MESSAGE, (message_id,)) is not None


def add_delivery(session: Session, seq: int, sink: str, device: str | None, now: datetime) -> None:
    """Make an event due at a sink, or park it behind an earlier one of its device."""
    at = tables.stamp(now)
    behind = device is not None and session.row(FIND_EARLIER, (sink, device, seq)) is not None
    session.run(ADD_DELIVERY, (seq, sink, device, None if behind else at, at))


def _add(session: Session, arrival: Arrival, fate: str, route: Route | None, now: datetime) -> int:
    """Write what is kept of an arrival; return its number."""
    push_type, device, device_type, diagnosis, diagnosed = _about(arrival.message)
    row = (
        arrival.key,
        tables.stamp(now),
        fate,
        push_type,
        device,
        device_type,
        None if route is None else route.account,
        diagnosis,
        None if route is None else route.category,
        diagnosed,
        arrival.message_id,
        arrival.quarantine,
    )
    seq = session.insert(ADD_EVENT, row)
    session.run(ADD_BODY, (seq, arrival.body))
    return seq


def _about(message: Message | None) -> Row:
    """Return what lists show of a message without reading its bytes."""
    if message is None:
        return ("", None, None, None, None)
    diagnosed = tables.stamp_or_none(message.diagnosed_at)
    return (message.push_type, message.device, message.device_type, message.diagnosis, diagnosed)
