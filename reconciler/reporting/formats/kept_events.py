"""Events as they are kept, as text and as JSON: for the commands and for the read API alike.

Owns: what of an event is shown, under which names. Must not: find an event.

Every word of an event comes from outside. So none reaches a terminal as it came, and a cell that a spreadsheet would
take for a formula is made a word.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any

from reconciler.core.text import counted, one_line, stamp_words
from reconciler.events.model import KeptEvent, SinkRow
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.tables import Column, Row, table

FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""
COLUMNS = (
    Column("stored (UTC)"),
    Column("state"),
    Column("device"),
    Column("type", words=True),
    Column("id"),
    Column("account", drop=1, words=True),
)
LONGEST_CELL = 24
"""Characters of a word from outside in the list, where not every column and no whole id is asked for."""
UNKNOWN_HEADER = ("diagnosis_type", "category", "device_types", "severity", "note")


def event_fact(event: KeptEvent) -> dict[str, Any]:
    """Return what a list shows of an event. No body: what a person reads in a list is no diagnosis of a named room."""
    return {
        "seq": event.seq,
        "id": event.id,
        "state": event.state,
        "received": event.received_at,
        "push_type": event.push_type,
        "device": event.device,
        "account": event.account,
        "diagnosis": event.diagnosis,
        "category": event.category,
        "diagnosed": event.diagnosed_at,
        "message_id": event.message_id,
        "duplicates": event.duplicates,
        "quarantine": event.quarantine,
        "deliveries": [_delivery_fact(row) for row in event.deliveries],
    }


def whole_event_fact(event: KeptEvent) -> dict[str, Any]:
    """Return everything about an event, with LG's message as it came, or the bytes that were not understood."""
    message = None if event.message is None else dict(event.message.raw)
    unread = event.body if message is None else None
    return {
        **event_fact(event),
        "message": message,
        "body": None if unread is None else unread.decode("utf-8", "backslashreplace"),
    }


def seen_fact(event: KeptEvent) -> dict[str, Any]:
    """Return the fields of an event for the daemon."""
    return {
        "seq": event.seq,
        "id": event.id,
        "device": event.device,
        "push_type": event.push_type,
        "diagnosis": event.diagnosis,
        "category": event.category,
        "diagnosed": event.diagnosed_at,
        "received": event.received_at,
    }


def _delivery_fact(row: SinkRow) -> dict[str, Any]:
    return {
        "sink": row.sink,
        "state": row.state,
        "attempts": row.attempts,
        "due": row.due,
        "changed": row.changed_at,
        "status": row.status,
        "words": row.words,
    }


def events_json(events: Sequence[KeptEvent]) -> str:
    """Return a list of events as JSON."""
    return json_text({"api": 1, "events": [event_fact(event) for event in events]})


def whole_events_json(events: Sequence[KeptEvent]) -> str:
    """Return events with everything about them as JSON."""
    return json_text({"api": 1, "events": [whole_event_fact(event) for event in events]})


def events_text(events: Sequence[KeptEvent], screen: Screen | None = None) -> str:
    """Return a list of events for a person, newest first."""
    if not events:
        return "No events.\n"
    shown = screen or Screen()
    devices = shown.ids(one.device for one in events if one.device)
    ids = shown.ids(one.id for one in events)
    rows = [_row(event, devices, ids, shown) for event in events]
    return "\n".join(table(COLUMNS, rows, shown)) + "\n"


def _row(
    event: KeptEvent, devices: Mapping[str, str], ids: Mapping[str, str], screen: Screen
) -> Row:
    kind = event.quarantine or event.diagnosis or event.push_type
    whole = screen.wide or screen.full_ids
    device = devices.get(event.device or "")
    return (
        stamp_words(event.received_at).removesuffix(" UTC"),
        event.state.value,
        _cell(device, whole=whole),
        _cell(kind, whole=whole),
        ids[event.id],
        _cell(event.account, whole=whole),
    )


def _cell(words: str | None, *, whole: bool) -> str:
    shown = one_line(words) if words else "-"
    return shown if whole or len(shown) <= LONGEST_CELL else f"{shown[: LONGEST_CELL - 1]}…"


def event_text(event: KeptEvent) -> str:
    """Return everything about one event for a person."""
    facts: list[tuple[str, object]] = [
        ("id", event.id),
        ("number", event.seq),
        ("state", event.state.value),
        ("push type", event.push_type),
        ("device", event.device),
        ("account", event.account),
        ("diagnosis", event.diagnosis),
        ("category", event.category),
        ("diagnosed", _moment(event.diagnosed_at)),
        ("stored", _moment(event.received_at)),
        ("message id", event.message_id),
        ("duplicates", event.duplicates),
        ("quarantine", event.quarantine),
    ]
    lines = [f"{name:<12}{one_line(str(value))}" for name, value in facts if value is not None]
    lines += [_delivery_line(row) for row in event.deliveries]
    if not event.deliveries:
        lines.append("no sink     ")
    return "\n".join([line.rstrip() for line in lines]) + "\n" + _content(event)


def _delivery_line(row: SinkRow) -> str:
    tries = counted(row.attempts, "try").replace("trys", "tries")
    line = (
        f"sink {one_line(row.sink)}: {row.state.value} after {tries}, {stamp_words(row.changed_at)}"
    )
    if row.status is not None:
        line += f", status {row.status}"
    if row.words:
        line += f", {one_line(row.words)}"
    if row.due is not None:
        line += f"; next try {stamp_words(row.due)}"
    return line


def _content(event: KeptEvent) -> str:
    """Return LG's message, or the bytes that were not understood, indented."""
    whole = whole_event_fact(event)
    if whole["message"] is not None:
        return json_text(whole["message"])
    if whole["body"] is not None:
        return json_text(whole["body"])
    return "Its body is no longer kept.\n"


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else stamp_words(moment)


def unknown_text(unknown: Mapping[str, int]) -> str:
    """Return the types without a row in the Logic Table as lines of its file ``types.csv``, ready to paste.

    How often each came is in the column for notes.
    """
    lines = StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(UNKNOWN_HEADER)
    for diagnosis, count in unknown.items():
        table.writerow((as_cell(diagnosis), "", "", "", counted(count, "event")))
    return lines.getvalue()


def unknown_json(unknown: Mapping[str, int]) -> str:
    """Return the types without a row in the Logic Table, and how often each came, as JSON."""
    types = [{"type": diagnosis, "events": count} for diagnosis, count in unknown.items()]
    return json_text({"api": 1, "unknown": types})


def as_cell(words: str) -> str:
    """Return foreign words as a cell that no spreadsheet takes for a formula."""
    shown = one_line(words)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
