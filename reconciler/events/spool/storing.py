"""Storing what arrived, with the rows that say where it goes: one transaction, so that neither is there alone.

Owns: what is a duplicate, and what is written of an arrival. Must not: choose sinks, or deliver.

What shares a commit is stored together, with few statements for many arrivals: between any two statements the thread
may have to wait for the event loop to let it go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain

import structlog

from reconciler.core.clock import Clock
from reconciler.events.model import PCC_EVENT, SELF_TEST, Arrival, Message, Receipt, Stored
from reconciler.events.port import Route, Router
from reconciler.events.spool import tables
from reconciler.events.spool.committer import Work
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

log = structlog.get_logger()

SIZES = (64, 16, 4, 1)
"""How many rows one query takes: few different queries, which SQLite has to compile once."""
LAST_SEQ = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
FIND = "SELECT key, seq FROM event WHERE key IN ({rows})"
FIND_MESSAGES = "SELECT message_id FROM event WHERE message_id IN ({rows})"
FIND_WAITING = """WITH lane (sink, device) AS (VALUES {rows}) SELECT sink, device FROM lane
    WHERE EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_lane
    WHERE delivery.sink = lane.sink AND delivery.device = lane.device AND state = 'pending')"""
FIND_EARLIER = """SELECT 1 FROM delivery INDEXED BY delivery_lane
    WHERE sink = ? AND device = ? AND state = 'pending' AND seq < ? LIMIT 1"""
COUNT = "UPDATE event SET duplicates = duplicates + ? WHERE seq = ?"
ADD_EVENT = """INSERT INTO event (seq, key, received, fate, push_type, device, device_type, account, diagnosis,
    category, diagnosed, message_id, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ADD_BODY = "INSERT INTO body VALUES (?, ?)"
ADD_DELIVERY = """INSERT INTO delivery (seq, sink, device, due, changed, state, attempts, words)
    VALUES (?, ?, ?, ?, ?, 'pending', 0, '')"""
ADD_SPENT = "INSERT INTO spent VALUES (?, ?, 0)"

Lane = tuple[str, str]
"""A sink and a device: what is on its way there has an order."""


@dataclass(frozen=True, slots=True)
class Nowhere:
    """The route of a message that no sink takes."""

    sinks: Sequence[str] = ()
    account: str | None = None
    category: str | None = None


NOWHERE = Nowhere()


class Store(Work[Sequence[Receipt]]):
    """The arrivals of one request."""

    needs_room = True
    wakes = True

    def __init__(self, arrivals: Sequence[Arrival], router: Router, clock: Clock) -> None:
        self.arrivals, self.router, self.clock = arrivals, router, clock

    @property
    def size(self) -> int:
        """The number of arrivals."""
        return len(self.arrivals)

    def carry_out(self, session: Session) -> Sequence[Receipt]:
        """Write all of them."""
        return store(session, self.arrivals, self.router, self.clock.now())

    @classmethod
    def together(
        cls, session: Session, works: Sequence[Work[Sequence[Receipt]]]
    ) -> Sequence[Sequence[Receipt]]:
        """Write the arrivals of several requests as if they were one."""
        stores = [work for work in works if isinstance(work, Store)]
        arrivals = [arrival for one in stores for arrival in one.arrivals]
        first = stores[0]
        receipts = iter(store(session, arrivals, first.router, first.clock.now()))
        return [[next(receipts) for _ in one.arrivals] for one in stores]


def store(
    session: Session, arrivals: Sequence[Arrival], router: Router, now: datetime
) -> Sequence[Receipt]:
    """Write arrivals, inside a transaction, or count them as duplicates; return what became of each."""
    storing = _Storing(session, arrivals, tables.stamp(now))
    receipts = [storing.take(arrival, router) for arrival in arrivals]
    storing.write()
    return receipts


class _Storing:
    """What some arrivals come to: looked up at once, judged one by one, and written at once."""

    def __init__(self, session: Session, arrivals: Sequence[Arrival], at: int) -> None:
        self._session, self._at = session, at
        self._seqs: dict[bytes, int] = dict(_found(session, FIND, [(one.key,) for one in arrivals]))
        new = [one for one in arrivals if one.key not in self._seqs]
        named = [(one.message_id,) for one in new if one.message_id is not None]
        self._message_ids = {found for (found,) in _found(session, FIND_MESSAGES, named)}
        last = session.row(LAST_SEQ)
        self._last = 0 if last is None else int(last[0])
        self._duplicates: Counter[int] = Counter()
        self._events: list[Row] = []
        self._bodies: list[Row] = []
        self._spent: list[Row] = []
        self._deliveries: list[tuple[int, str, str | None]] = []

    def take(self, arrival: Arrival, router: Router) -> Receipt:
        """Judge one arrival."""
        id_ = tables.event_id(arrival.key)
        message = arrival.message
        test = message is not None and message.push_type == SELF_TEST
        known = self._seqs.get(arrival.key)
        if known is not None:
            self._duplicates[known] += 1
            return Receipt(Stored.SELF_TEST if test else Stored.DUPLICATE, known, id_)
        self._last += 1
        seq = self._seqs[arrival.key] = self._last
        if message is None:
            self._add(seq, arrival, tables.QUARANTINED, NOWHERE)
            stored = Stored.QUARANTINED
        elif test:
            self._add(seq, arrival, tables.SELF_TEST, NOWHERE)
            stored = Stored.SELF_TEST
        else:
            route = _route(router, message)
            self._add(seq, arrival, tables.KEPT if route.sinks else tables.UNROUTED, route)
            self._deliveries.extend((seq, sink, message.device) for sink in route.sinks)
            if _is_asked_for_by_nobody(message, route):
                self._spent.append((seq, self._at))
            stored = Stored.NEW
        return Receipt(stored, seq, id_, id_reused=self._is_reused(arrival.message_id))

    def write(self) -> None:
        """Write what was found to be new."""
        counts = [(count, seq) for seq, count in self._duplicates.items()]
        for statement, rows in (
            (ADD_EVENT, self._events),
            (ADD_BODY, self._bodies),
            (ADD_DELIVERY, self._due_or_parked()),
            (ADD_SPENT, self._spent),
            (COUNT, counts),
        ):
            if rows:
                self._session.many(statement, rows)

    def _due_or_parked(self) -> list[Row]:
        """Return the rows of deliveries: each is due, or parked behind an earlier one of its device."""
        lanes = {(sink, device) for _, sink, device in self._deliveries if device is not None}
        waiting: set[Lane] = set(_found(self._session, FIND_WAITING, sorted(lanes)))
        rows: list[Row] = []
        for seq, sink, device in self._deliveries:
            behind = device is not None and (sink, device) in waiting
            due = None if behind else self._at
            rows.append((seq, sink, device, due, self._at))
            if device is not None:
                waiting.add((sink, device))
        return rows

    def _is_reused(self, message_id: str | None) -> bool:
        """Return whether another event came with this message id."""
        if message_id is None:
            return False
        reused = message_id in self._message_ids
        self._message_ids.add(message_id)
        return reused

    def _add(self, seq: int, arrival: Arrival, fate: str, route: Route) -> None:
        """Take note of what is kept of an arrival."""
        push_type, device, device_type, diagnosis, diagnosed = _about(arrival.message)
        self._events.append(
            (
                seq,
                arrival.key,
                self._at,
                fate,
                push_type,
                device,
                device_type,
                route.account,
                diagnosis,
                route.category,
                diagnosed,
                arrival.message_id,
                arrival.quarantine,
            )
        )
        self._bodies.append((seq, arrival.body))


def add_delivery(session: Session, seq: int, sink: str, device: str | None, now: datetime) -> None:
    """Make an event due at a sink, or park it behind an earlier one of its device."""
    at = tables.stamp(now)
    behind = device is not None and session.row(FIND_EARLIER, (sink, device, seq)) is not None
    due = None if behind else at
    session.run(ADD_DELIVERY, (seq, sink, device, due, at))


def _found(session: Session, query: str, values: Sequence[Row]) -> Iterable[Row]:
    """Yield what a query finds for rows of values. Where a statement takes more of them, the last is repeated."""
    for rows in _portions(values):
        size = min(size for size in SIZES if size >= len(rows))
        padded = [*rows, *[rows[-1]] * (size - len(rows))]
        sql = _with_places(query, size, len(rows[0]))
        yield from session.rows(sql, tuple(chain.from_iterable(padded)))


def _portions(values: Sequence[Row]) -> Iterable[Sequence[Row]]:
    most = SIZES[0]
    return (values[start : start + most] for start in range(0, len(values), most))


@lru_cache(maxsize=64)
def _with_places(statement: str, rows: int, columns: int) -> str:
    """Return a statement with a place for each value."""
    row = f"({', '.join('?' * columns)})" if columns > 1 else "?"
    return statement.format(rows=", ".join([row] * rows))


def _route(router: Router, message: Message) -> Route:
    """Return where a message goes. A defect there must not cost the event: it goes nowhere, and is shown as such."""
    try:
        return router.route(message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the event is kept
        log.warning("event.unroutable", error=type(error).__name__, device=message.device)
        return NOWHERE


def _is_asked_for_by_nobody(message: Message, route: Route) -> bool:
    """Return whether a message is no diagnosis and no sink takes it: it may go as if it had been delivered.

    LG sends the state of every device in this way. Kept for ever, it would fill the spool, and a diagnosis would be
    answered 503. Where choosing the sinks failed, nobody knows that none asks for it, and it stays.
    """
    return message.push_type != PCC_EVENT and not route.sinks and route is not NOWHERE


def _about(message: Message | None) -> Row:
    """Return what lists show of a message without reading its bytes."""
    if message is None:
        return ("", None, None, None, None)
    diagnosed = tables.stamp_or_none(message.diagnosed_at)
    return (message.push_type, message.device, message.device_type, message.diagnosis, diagnosed)
