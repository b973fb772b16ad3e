"""The CloudEvent that leaves: one JSON object, in structured mode.

Owns: what is in it, and where each part of it comes from. Must not: send it, keep it, read a clock or a file.

Source: CloudEvents 1.0.2, JSON event format. An attribute is text without control characters; what LG sent is in
``data.raw``, member for member.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reconciler.events.describing import Description, describe
from reconciler.events.model import PCC_EVENT, Attempt, Message, Words
from reconciler.events.placeholders import fill, fill_address
from reconciler.events.port import Directory, Logic

CONTENT_TYPE = "application/cloudevents+json"
SPEC_VERSION = "1.0"
DIAGNOSIS_TYPE = "com.lge.pcc.diagnosis.v1"
PUSH_TYPE = "com.lge.thinq.push.v1"
DATA_SCHEMA = "urn:pcc:schema:diagnosis:1"

_ID_LENGTH = 22
_NOT_IN_ATTRIBUTES = re.compile(
    "[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
"""What CloudEvents does not allow in text (section "Type System")."""
_REPLACEMENT = "\ufffd"


def event_id(key: bytes) -> str:
    """Return the id of the event with this key: equal on every replica and every replay."""
    return base64.urlsafe_b64encode(key).decode()[:_ID_LENGTH]


class Envelopes:
    """Makes CloudEvents of what is due, with the names and words that are in force at that moment."""

    def __init__(self, directory: Directory, logic: Logic, source: str) -> None:
        self._directory = directory
        self._logic = logic
        self._source = source

    def make(self, attempt: Attempt) -> bytes:
        """Return the CloudEvent of an attempt, as JSON in UTF-8."""
        known = describe(attempt.message, self._directory, self._logic)
        event = cloud_event(attempt.id, attempt.message, attempt.received_at, known, self._source)
        return encoded(event)


def cloud_event(
    id: str,  # noqa: A002 - CloudEvents' word
    message: Message,
    received_at: datetime,
    known: Description,
    source: str,
) -> dict[str, Any]:
    """Return a CloudEvent. ``received_at`` is when we stored it; attributes that are not known are left out."""
    is_diagnosis = message.push_type == PCC_EVENT
    at = message.diagnosed_at or message.sent_at
    device, diagnosis = known.device, known.diagnosis
    attributes: dict[str, Any] = {
        "specversion": SPEC_VERSION,
        "id": id,
        "source": source,
        "type": DIAGNOSIS_TYPE if is_diagnosis else PUSH_TYPE,
        "subject": message.device,
        "time": None if at is None else stamp(at),
        "datacontenttype": "application/json",
        "dataschema": DATA_SCHEMA if is_diagnosis else None,
        "partitionkey": message.device,
        "recordedtime": stamp(received_at),
        "pccmessageid": message.message_id,
        "pccaccount": None if device is None else device.account,
        "pcccategory": None if diagnosis is None else diagnosis.category,
        "pccdevicetype": known.device_type,
        "pccdiagnosis": None if diagnosis is None else diagnosis.type,
        "pccdesired": None if device is None else device.desired,
    }
    event = {
        name: _attribute(value) for name, value in attributes.items() if value not in {None, ""}
    }
    event["data"] = _data(message, known)
    return event


def stamp(moment: datetime) -> str:
    """Return a moment as RFC 3339 has it, in UTC: ``2024-05-01T09:10:38.414928Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def encoded(event: Mapping[str, Any]) -> bytes:
    """Return an event as JSON in UTF-8. Raises ``ValueError`` for what JSON does not have."""
    text = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _attribute(value: object) -> object:
    return _NOT_IN_ATTRIBUTES.sub(_REPLACEMENT, value) if isinstance(value, str) else value


def _data(message: Message, known: Description) -> dict[str, Any]:
    device, diagnosis = known.device, known.diagnosis
    data: dict[str, Any] = {"raw": message.raw, "device": None}
    if device is not None:
        data["device"] = {
            "id": device.id,
            "name": device.name,
            "type": known.device_type,
            "account": device.account,
            "desired": device.desired,
        }
    if diagnosis is None:
        return data
    at = message.diagnosed_at
    data["diagnosis"] = {
        "type": diagnosis.type,
        "category": diagnosis.category,
        "severity": diagnosis.severity,
        "diagnosed_at": None if at is None else stamp(at),
    }
    data["messages"] = messages(message, known)
    data["logic"] = {"revision": known.revision, "matched": diagnosis.matched}
    return data


def messages(message: Message, known: Description) -> dict[str, dict[str, str | None]]:
    """Return the partner's words for a diagnosis by locale, placeholders filled in; none for what is no diagnosis."""
    if known.diagnosis is None:
        return {}
    values = _values(message, known)
    return {locale: _filled(words, values) for locale, words in known.diagnosis.words.items()}


def _values(message: Message, known: Description) -> dict[str, str]:
    """Return what placeholders stand for. A device without a name is called by its id."""
    device = known.device
    at = message.diagnosed_at
    return {
        "device_name": (device.name if device is not None else None) or message.device or "",
        "account": (device.account if device is not None else None) or "",
        "device_type": known.device_type or "",
        "diagnosed_at": "" if at is None else stamp(at),
        "content_url": message.content_url or "",
    }


def _filled(words: Words, values: Mapping[str, str]) -> dict[str, str | None]:
    return {
        "short": fill(words.short, values),
        "full": fill(words.full, values),
        "url": fill_address(words.url, values) or None,
    }
