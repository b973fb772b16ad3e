"""The description of the receiver's read API for programs, as an OpenAPI document.

Owns: one table of the calls that show events, and the keys of an event as ``formats.kept_events`` writes them.
Must not: show an event: whoever reaches the port may read what the API looks like.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.api import described
from reconciler.api.described import (
    BEARER,
    ERROR,
    MOMENT,
    PATH,
    WORD,
    Call,
    Parameter,
    Schema,
    whole,
)
from reconciler.api.event_queries import DEFAULT_LIMIT, MOST_EVENTS
from reconciler.api.port import ReceiverPolicy
from reconciler.core.errors import ReconcilerError
from reconciler.events.model import EventState

NUMBER: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
STATE: Schema = {"type": "string", "enum": [one.value for one in EventState]}
DELIVERY: Mapping[str, Schema] = {
    "sink": TEXT,
    "state": STATE,
    "attempts": NUMBER,
    "due": TIME_OR_NULL,
    "changed": TIME,
    "status": {"type": ["integer", "null"]},
    "words": TEXT,
}
EVENT: Mapping[str, Schema] = {
    "seq": NUMBER,
    "id": TEXT,
    "state": STATE,
    "received": TIME,
    "push_type": TEXT_OR_NULL,
    "device": TEXT_OR_NULL,
    "account": TEXT_OR_NULL,
    "diagnosis": TEXT_OR_NULL,
    "category": TEXT_OR_NULL,
    "diagnosed": TIME_OR_NULL,
    "message_id": TEXT_OR_NULL,
    "duplicates": NUMBER,
    "quarantine": TEXT_OR_NULL,
    "deliveries": {"type": "array", "items": whole(DELIVERY, "The way to one sink.")},
}
WHOLE_EVENT: Mapping[str, Schema] = {
    **EVENT,
    "message": {"type": ["object", "null"]},
    "body": TEXT_OR_NULL,
}
SEEN: Mapping[str, Schema] = {
    name: EVENT[name]
    for name in (
        *("seq", "id", "device", "push_type"),
        *("diagnosis", "category", "diagnosed", "received"),
    )
}


def _list_of(event: Mapping[str, Schema], words: str) -> Schema:
    return whole({"events": {"type": "array", "items": whole(event, "One event.")}}, words)


SCHEMAS: Mapping[str, Schema] = {
    "Error": ERROR,
    "Events": _list_of(EVENT, "Events, newest first."),
    "WholeEvents": _list_of(WHOLE_EVENT, "Events with LG's message, or what was not understood."),
    "Seen": whole(
        {
            "spool": TEXT,
            "last": NUMBER,
            "events": {"type": "array", "items": whole(SEEN, "One event.")},
        },
        "What came after a number, oldest first; another spool begins at 0.",
    ),
}
_REFUSALS = (400, 401, 403, 404, 503)
CALLS = (
    Call(
        "get",
        "/api/v1/events",
        "The newest events",
        "Events",
        _REFUSALS,
        (
            Parameter("account", "Only events of this account.", WORD),
            Parameter("device", "Only events of this device.", WORD),
            Parameter("type", "Only events of this diagnosis type.", WORD),
            Parameter("sink", "Only events for this sink.", WORD),
            Parameter("state", "Only events in this state.", STATE),
            Parameter("since", "Only events stored from this moment on.", MOMENT),
            Parameter(
                "limit",
                "The most events of one answer.",
                {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS, "default": DEFAULT_LIMIT},
            ),
        ),
    ),
    Call(
        "get",
        "/api/v1/events/{id}",
        "Events with an id, or with one that begins so",
        "WholeEvents",
        _REFUSALS,
        (Parameter("id", "The id, or its beginning.", WORD, "path", required=True),),
    ),
    Call(
        "get",
        "/api/v1/seen",
        "What came after a number, for the daemon",
        "Seen",
        _REFUSALS,
        (
            Parameter(
                "after",
                "The number of the last event that is known.",
                {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
            ),
        ),
        is_versioned=False,
    ),
)


def route(policy: ReceiverPolicy) -> Route:
    """Return the route of the document."""

    async def answer(_request: Request) -> Response:
        return JSONResponse(document(guarded=_is_token_set(policy)))

    return Route(PATH, answer)


def _is_token_set(policy: ReceiverPolicy) -> bool:
    try:
        return policy.events_token() is not None and not policy.on_loopback
    except ReconcilerError:  # it is set, and cannot be read
        return True


def document(*, guarded: bool) -> Schema:
    """Return the document. ``guarded``: a caller has to show the token."""
    schemes = [BEARER] if guarded else []
    paths = {call.path: {call.method: described.operation(call, schemes)} for call in CALLS}
    bearer: Schema = {"type": "http", "scheme": "bearer"}
    return described.document("PCC receiver of events", "", paths, SCHEMAS, {BEARER: bearer})
