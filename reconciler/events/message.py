"""Reads LG's bytes: what came in one request becomes arrivals, ready to be stored.

Owns: what a message of LG's is, which members of it are known, and the key that tells duplicates. Must not: raise, or
lose a byte; what is not understood is an arrival too, for quarantine.

LG documents the members of a PCC event and not its transport, so this is lenient in everything but the form: strict
JSON, because what is passed on must be JSON again, and nesting that cannot exhaust whoever reads it next. The time it
takes grows with the number of bytes only.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, NoReturn

from reconciler.events.model import PCC_EVENT, Arrival, Message

MOST_ELEMENTS = 1000
"""How many messages one body may hold."""
DEEPEST = 64
"""How many objects and arrays may lie in each other; the outermost counts."""
ENVELOPES = ("event", "push")
"""The members under which LG puts what happened."""
LONGEST_TIME = 64
"""Characters of a time; ISO 8601 needs half of them."""


class Reason(StrEnum):
    """Why something is in quarantine: the values of the metric's label ``reason``."""

    ENCODING = "encoding"
    """No UTF-8, or half a character pair in an escape."""
    JSON = "json"
    """No strict JSON, or a number that no double can hold."""
    NESTING = "nesting"
    SHAPE = "shape"
    """Neither an object nor an array of 1 to 1,000 objects."""
    ENVELOPE = "envelope"
    """No object under ``event`` or ``push``."""
    PUSH_TYPE = "push_type"
    DEVICE = "device"
    DIAGNOSIS = "diagnosis"


class _Refused(Exception):
    """A body or an element that is not understood."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def read(body: bytes) -> tuple[Arrival, ...]:
    """Return what one request brought: one arrival, or one for each element of an array. Never raises."""
    try:
        content = _parsed(body)
        elements = _elements(content)
    except _Refused as refused:
        return (_quarantined(body, refused.reason),)
    if elements is None:
        return (_arrival(content, body),)
    return tuple(_arrival(one, _canonical(one)) for one in elements)


def understood(body: bytes) -> Message | None:
    """Return the message in bytes that were kept of one arrival; None of what is not understood. Never raises."""
    found = read(body)
    return found[0].message if len(found) == 1 else None


def _parsed(body: bytes) -> Any:
    """Return the JSON value of a body."""
    try:
        content = _DECODER.decode(body.removeprefix(BOM_UTF8).decode())
    except UnicodeDecodeError:
        raise _Refused(Reason.ENCODING) from None
    except RecursionError:
        raise _Refused(Reason.NESTING) from None
    except ValueError:
        raise _Refused(Reason.JSON) from None
    _check_nesting(content, body)
    _check_escapes(content, body)
    return content


def _check_nesting(content: Any, body: bytes) -> None:
    """Refuse what lies too deep. Fewer brackets than that in all need no closer look."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return
    level = [content]
    for _ in range(DEEPEST):
        level = _inside(level)
    if any(isinstance(one, dict | list) for one in level):
        raise _Refused(Reason.NESTING)


def _inside(level: list[Any]) -> list[Any]:
    """Return everything that lies directly in these values."""
    inside: list[Any] = []
    for one in level:
        if isinstance(one, dict):
            inside.extend(one.values())
        elif isinstance(one, list):
            inside.extend(one)
    return inside


def _check_escapes(content: Any, body: bytes) -> None:
    """Refuse half a character pair: JSON can escape it, and UTF-8 cannot write it."""
    if b"\\u" not in body:
        return
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Refused(Reason.ENCODING) from None


def _elements(content: Any) -> list[Any] | None:
    """Return the elements of an array of messages; None of an object, which is one message."""
    if isinstance(content, dict):
        return None
    if not isinstance(content, list) or not 1 <= len(content) <= MOST_ELEMENTS:
        raise _Refused(Reason.SHAPE)
    if not all(isinstance(one, dict) for one in content):
        raise _Refused(Reason.SHAPE)
    return content


def _arrival(content: Mapping[str, Any], body: bytes) -> Arrival:
    """Return the arrival of one object. ``body`` is what is kept of it."""
    try:
        message, event = _message(content)
    except _Refused as refused:
        return _quarantined(body, refused.reason, _text(content, "messageId"))
    return Arrival(_key(message, event, body), body, message, message_id=message.message_id)


def _message(content: Mapping[str, Any]) -> tuple[Message, Mapping[str, Any]]:
    """Return the message in an object, and the member that says what happened."""
    event = _envelope(content)
    push_type = _text(event, "pushType")
    device, diagnosis = _text(event, "deviceId"), _text(event, "diagnosisType")
    if push_type is None:
        raise _Refused(Reason.PUSH_TYPE)
    if push_type == PCC_EVENT:
        if device is None:
            raise _Refused(Reason.DEVICE)
        if diagnosis is None:
            raise _Refused(Reason.DIAGNOSIS)
    message = Message(
        push_type=push_type,
        raw=content,
        message_id=_text(content, "messageId"),
        sent_at=_moment(content.get("timestamp")),
        device=device,
        device_type=_text(event, "deviceType"),
        diagnosis=diagnosis,
        diagnosed_at=_moment(event.get("diagnosisTimestamp")),
        content_url=_text(event, "contentUrl"),
    )
    return message, event


def _envelope(content: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ENVELOPES:
        found = content.get(name)
        if isinstance(found, dict):
            return found
    raise _Refused(Reason.ENVELOPE)


def _text(members: Mapping[str, Any], name: str) -> str | None:
    """Return a member that is text and not empty."""
    found = members.get(name)
    return found if isinstance(found, str) and found else None


def _moment(found: Any) -> datetime | None:
    """Return a time in ISO 8601, in UTC where it names no zone; None of what cannot be read."""
    if not isinstance(found, str) or len(found) > LONGEST_TIME:
        return None
    try:
        moment = datetime.fromisoformat(found)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _key(message: Message, event: Mapping[str, Any], body: bytes) -> bytes:
    """Return what tells duplicates: the diagnosis as LG sent it, whatever the message around it.

    Another push type that names the same diagnosis is not the diagnosis: its type is a part of its key.
    """
    at = event.get("diagnosisTimestamp")
    if message.device is None or message.diagnosis is None or at in (None, ""):
        return sha256(body).digest()
    parts = [message.device, message.diagnosis, at]
    if message.push_type != PCC_EVENT:
        parts.append(message.push_type)
    joined = ",".join([_ENCODER.encode(part) for part in parts])  # as of the list, and quicker
    return sha256(f"[{joined}]".encode()).digest()


def _quarantined(body: bytes, reason: Reason, message_id: str | None = None) -> Arrival:
    """Return the arrival of what is not understood.

    Its key is of all its bytes: a whole message about the same diagnosis must not count as its duplicate.
    """
    return Arrival(sha256(body).digest(), body, quarantine=reason.value, message_id=message_id)


def _canonical(content: Any) -> bytes:
    """Return a JSON value as bytes that are the same however it was written."""
    return _ENCODER.encode(content).encode()


def _finite(digits: str) -> float:
    """Return a number with a fraction or an exponent; one beyond every double could not be written as JSON again."""
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(digits)
    return number


def _no_number(name: str) -> NoReturn:
    """Refuse ``NaN`` and ``Infinity``, which Python reads and JSON does not have."""
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_number)
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
