"""The tables in which events are kept, and what their rows mean.

Owns: the schema and its migrations, and how rows become values. Must not: open or write anything.

``event`` has one row for each key, as long as duplicates of it are recognised; its ``seq`` is never given twice. The
bytes are in ``body``, so that they can go earlier, and lists need not read them. ``delivery`` says where an event is
on its way to each of its sinks: the outbox. Of a device, only the first undelivered event of a sink has a ``due`` time;
the later ones are parked without one until it is their turn. ``spent`` lists the events that nobody needs for
delivery, and since when: their bodies may go, and once those are gone (``empty``) the rest of them. Moments
are kept as microseconds since 1970.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from reconciler.events.model import EventState, KeptEvent, Message, SinkRow
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Kind

FILE, LOCK = "events.db", "events.lock"
KEPT, UNROUTED, QUARANTINED = "kept", "unrouted", "quarantined"
ERASED, SELF_TEST = "erased", "self_test"
"""What became of an event when it was stored, or by a person since: the column ``fate``."""
ID_LENGTH, KEY_LENGTH = 22, 43
"""Characters of an event's id, and of its whole key in the same alphabet."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

KIND = Kind(
    "spool",
    (
        (
            "CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE accepted (name TEXT PRIMARY KEY, content BLOB NOT NULL)",
            """CREATE TABLE event (
                seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE,
                received INTEGER NOT NULL, fate TEXT NOT NULL, push_type TEXT NOT NULL,
                device TEXT, device_type TEXT, account TEXT, diagnosis TEXT, category TEXT,
                diagnosed INTEGER, message_id TEXT, reason TEXT,
                duplicates INTEGER NOT NULL DEFAULT 0
            )""",
            "CREATE INDEX event_message ON event (message_id) WHERE message_id IS NOT NULL",
            "CREATE INDEX event_device ON event (device) WHERE device IS NOT NULL",
            "CREATE INDEX event_fate ON event (fate) WHERE fate <> 'kept'",
            "CREATE TABLE body (seq INTEGER PRIMARY KEY, content BLOB NOT NULL)",
            """CREATE TABLE delivery (
                seq INTEGER NOT NULL, sink TEXT NOT NULL, device TEXT, state TEXT NOT NULL, due INTEGER,
                attempts INTEGER NOT NULL, changed INTEGER NOT NULL, status INTEGER, words TEXT NOT NULL,
                PRIMARY KEY (seq, sink)
            ) WITHOUT ROWID""",
            "CREATE INDEX delivery_due ON delivery (sink, due, seq) WHERE state = 'pending'",
            """CREATE INDEX delivery_lane ON delivery (sink, device, seq)
                WHERE state = 'pending' AND device IS NOT NULL""",
            "CREATE INDEX delivery_dead ON delivery (sink, seq) WHERE state = 'dead'",
            "CREATE TABLE spent (seq INTEGER PRIMARY KEY, since INTEGER NOT NULL, empty INTEGER NOT NULL)",
            "CREATE INDEX spent_since ON spent (empty, since)",
        ),
    ),
)
"""The statements that lead from each version to the next. What was once released is never edited, only added to."""

EVENT = """event.seq, event.key, event.received, event.fate, event.push_type, event.device, event.account,
    event.diagnosis, event.category, event.diagnosed, event.message_id, event.reason, event.duplicates"""
"""The columns from which ``read_event`` makes an event."""
SINK_ROW = "sink, state, attempts, due, changed, status, words"
"""The columns from which ``read_sink_row`` makes where an event is on its way."""


def stamp(moment: datetime) -> int:
    """Return a moment as it is kept."""
    return (moment - EPOCH) // MICROSECOND


def moment(stamp: int) -> datetime:
    """Return a moment that was kept."""
    return EPOCH + timedelta(microseconds=stamp)


def stamp_or_none(moment: datetime | None) -> int | None:
    """Return a moment as it is kept, if there is one."""
    return None if moment is None else stamp(moment)


def moment_or_none(stamp: int | None) -> datetime | None:
    """Return a moment that was kept, if there was one."""
    return None if stamp is None else moment(stamp)


def event_id(key: bytes) -> str:
    """Return the id of an event: the first characters of its key as base64url."""
    return urlsafe_b64encode(key)[:ID_LENGTH].decode("ascii")


def keys_with_id(beginning: str) -> tuple[bytes, bytes] | None:
    """Return the least and the greatest key whose id begins so; None where no id can."""
    if not 1 <= len(beginning) <= ID_LENGTH:
        return None
    try:
        least, greatest = (
            urlsafe_b64decode(f"{beginning.ljust(KEY_LENGTH, fill)}=".encode("ascii"))
            for fill in ("A", "_")
        )
    except (NotBase64, UnicodeEncodeError, ValueError):
        return None
    return (least, greatest) if event_id(least).startswith(beginning) else None


def read_event(
    row: Row,
    deliveries: Sequence[SinkRow],
    body: bytes | None = None,
    message: Message | None = None,
) -> KeptEvent:
    """Return an event from the columns of ``EVENT``."""
    seq, key, received, fate, push_type, device, account, diagnosis, category = row[:9]
    diagnosed, message_id, reason, duplicates = row[9:]
    return KeptEvent(
        seq=seq,
        id=event_id(key),
        state=state_of(fate, [one.state for one in deliveries]),
        received_at=moment(received),
        push_type=push_type,
        device=device,
        account=account,
        diagnosis=diagnosis,
        category=category,
        diagnosed_at=moment_or_none(diagnosed),
        message_id=message_id,
        duplicates=duplicates,
        quarantine=reason,
        body=body,
        message=message,
        deliveries=tuple(deliveries),
    )


def read_sink_row(row: Row) -> SinkRow:
    """Return where an event is on its way, from the columns of ``SINK_ROW``."""
    sink, state, attempts, due, changed, status, words = row
    return SinkRow(
        sink=sink,
        state=EventState(state),
        attempts=attempts,
        due=moment_or_none(due),
        changed_at=moment(changed),
        status=status,
        words=words,
    )


def state_of(fate: str, states: Sequence[EventState]) -> EventState:
    """Return where an event is as a whole: of its deliveries, the one that asks most of people counts."""
    if fate != KEPT:
        return EventState(fate)
    for state in (EventState.PENDING, EventState.DEAD, EventState.ERASED):
        if state in states:
            return state
    return EventState.DELIVERED
