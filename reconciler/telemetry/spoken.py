"""The facts of a log line as a person reads them on a terminal.

Owns: the words for each kind of value, their order, and what a terminal does without: counts of zero, the tail of long
ids. Must not: be used for JSON, which has every fact as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from reconciler.core import duration
from reconciler.core.text import SHORT, short_revision

FIRST = ("account", "name", "device", "action", "result", "condition")
"""The facts that a person looks for, before the others."""
WHOLE = frozenset({"ts", "level", "event", "exc_info", "exception", "stack"})
"""What the renderer reads itself."""
COUNTED = "pass.completed"
"""The event that consists of counts: most of them are zero."""
REVISIONS = frozenset({"revision", "commit", "newest", "logic"})
SECOND = len("2026-11-29T20:10:03")
"""Where a time in ISO's form has its second."""


def spoken(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an event in the order and the words in which they are shown."""
    counts = event.get("event") == COUNTED
    shown = {key: value for key, value in event.items() if key in WHOLE}
    if isinstance(stamp := event.get("ts"), str) and len(stamp) > SECOND:
        shown["ts"] = f"{stamp[:SECOND]}Z"
    for key in (*_there(FIRST, event), *(one for one in event if one not in FIRST)):
        value = event[key]
        if key in WHOLE or value is None or (counts and value == 0):
            continue
        if key == "lg_message_id" and value == event.get("message_id"):
            continue
        words = _words(key, value)
        if words != "":
            shown[key] = words
    return shown


def _there(keys: tuple[str, ...], event: Mapping[str, Any]) -> Iterator[str]:
    return (key for key in keys if key in event)


def _words(key: str, value: Any) -> Any:
    """Return a value without anything that only Python understands."""
    match value:
        case str() if not isinstance(value, Enum):
            return _short(key, value)
        case Mapping():
            each = {one: _words("", count) for one, count in value.items() if count}
            return ", ".join(f"{_words('', one)} {count}" for one, count in each.items())
        case list() | tuple() | set() | frozenset():
            ordered = value if isinstance(value, list | tuple) else sorted(value, key=str)
            return ", ".join(str(_words("", one)) for one in ordered)
        case _:
            return _plain(value)


def _plain(value: Any) -> Any:
    """Return one value in words."""
    match value:
        case Enum():
            return str(value.value)
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case timedelta():
            return duration.show(value)
        case float():
            return f"{value:.3f}".rstrip("0").rstrip(".")
        case _:
            return value if isinstance(value, int) else str(value)


def _short(key: str, text: str) -> str:
    """Return the beginning of a long id, long enough to recognise it; JSON has all of it."""
    if key in REVISIONS:
        return short_revision(text)
    if key == "device" and len(text) > SHORT + 1:
        return f"{text[:SHORT]}…"
    return text
