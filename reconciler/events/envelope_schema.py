"""The JSON Schema of the CloudEvent that leaves, for ``pcc-reconciler schema --event``.

Owns: what a receiver may rely on. Must not: make an event.

Members that are not named here may be added in later versions; none that is named goes without a new version.
"""

from __future__ import annotations

from typing import Any

from reconciler.events.envelope import DATA_SCHEMA, DIAGNOSIS_TYPE, PUSH_TYPE, SPEC_VERSION
from reconciler.events.model import Category

_TEXT = {"type": "string", "minLength": 1}
_MAYBE = {"type": ["string", "null"]}
_CATEGORIES = [category.value for category in Category]
_MOMENT = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$",
}
_MAYBE_MOMENT = {"anyOf": [_MOMENT, {"type": "null"}]}


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of one event."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PCC event",
        "description": "A CloudEvent 1.0 in structured mode, as a sink gets it.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "recordedtime", "data"],
        "properties": _attributes(),
        "if": {"properties": {"type": {"const": DIAGNOSIS_TYPE}}},
        "then": {
            "required": ["subject", "partitionkey", "pccdiagnosis", "dataschema"],
            "properties": {"data": {"$ref": DATA_SCHEMA}},
        },
        "else": {"properties": {"data": {"$ref": "#/$defs/push"}}},
        "$defs": {"diagnosis": _diagnosis_data(), "push": _push_data()},
    }


def _attributes() -> dict[str, Any]:
    return {
        "specversion": {"const": SPEC_VERSION},
        "id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]{22}$",
            "description": "Equal for equal diagnoses, on every replica and every replay.",
        },
        "source": _TEXT,
        "type": {"enum": [DIAGNOSIS_TYPE, PUSH_TYPE]},
        "subject": {**_TEXT, "description": "LG's id of the appliance."},
        "time": {
            **_MOMENT,
            "description": "When LG diagnosed it, else when LG made the message; missing where LG says neither.",
        },
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": DATA_SCHEMA},
        "partitionkey": {**_TEXT, "description": "The id of the appliance again, for brokers."},
        "recordedtime": {**_MOMENT, "description": "When this program stored it."},
        "pccmessageid": {**_TEXT, "description": "LG's id of the message."},
        "pccaccount": {**_TEXT, "description": "The account that the desired state has it in."},
        "pcccategory": {"enum": _CATEGORIES},
        "pccdevicetype": _TEXT,
        "pccdiagnosis": {**_TEXT, "description": "LG's diagnosis type."},
        "pccdesired": {"type": "boolean"},
        "data": {"type": "object"},
    }


def _diagnosis_data() -> dict[str, Any]:
    return {
        "$id": DATA_SCHEMA,
        "type": "object",
        "required": ["raw", "device", "diagnosis", "messages", "logic"],
        "properties": {
            "raw": _raw(),
            "device": _device(),
            "diagnosis": {
                "type": "object",
                "required": ["type", "category", "severity", "diagnosed_at"],
                "properties": {
                    "type": _TEXT,
                    "category": {"enum": [*_CATEGORIES, None]},
                    "severity": _MAYBE,
                    "diagnosed_at": _MAYBE_MOMENT,
                },
            },
            "messages": {
                "type": "object",
                "description": "The partner's words by locale; text, never HTML.",
                "additionalProperties": _words(),
            },
            "logic": {
                "type": "object",
                "required": ["revision", "matched"],
                "properties": {
                    "revision": {**_MAYBE, "description": "Digest of the Logic Table."},
                    "matched": {"type": "boolean", "description": "Whether it has a row for this."},
                },
            },
        },
    }


def _push_data() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["raw", "device"],
        "properties": {"raw": _raw(), "device": {"anyOf": [_device(), {"type": "null"}]}},
    }


def _raw() -> dict[str, Any]:
    return {"type": "object", "description": "LG's message, member for member."}


def _device() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["id", "name", "type", "account", "desired"],
        "properties": {
            "id": _TEXT,
            "name": _MAYBE,
            "type": _MAYBE,
            "account": _MAYBE,
            "desired": {
                "type": ["boolean", "null"],
                "description": "Whether the desired state wants it now; null where there is none.",
            },
        },
    }


def _words() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["short", "full", "url"],
        "properties": {"short": _TEXT, "full": {"type": "string"}, "url": _MAYBE},
    }
