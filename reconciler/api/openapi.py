"""The description of the daemon's JSON API for programs, as an OpenAPI document.

Owns: one table of the calls, and how the document is made of it and of the values that answer.
Must not: describe a value by hand that the program has as a type. Only a plan is made key by key, in ``formats.plans``.

A document says which tokens its daemon asks for, so it is made for each call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.api import described
from reconciler.api.commands import (
    CLOSE,
    LONGEST_PERSON,
    LONGEST_REASON,
    OPEN,
    PAUSE,
    PLAN,
    RECONCILE,
    CloseBody,
    OpenBody,
    PauseBody,
    PlanBody,
    ReconcileBody,
)
from reconciler.api.described import (
    BASIC,
    BEARER,
    ERROR,
    MOMENT,
    PATH,
    REFERENCE,
    WORD,
    Call,
    Parameter,
    Schema,
    whole,
)
from reconciler.api.port import AccessPolicy
from reconciler.core import duration
from reconciler.core.errors import ReconcilerError
from reconciler.reporting import StatusReport
from reconciler.reporting.devices import DeviceList
from reconciler.reporting.explain import Explanation
from reconciler.reporting.queries import (
    ACTIONS,
    LONGEST_PAGE,
    PAGE,
    RESULTS,
    AccountDetail,
    DeviceExplanation,
    Page,
)
from reconciler.reporting.registry_reports import RegistryList
from reconciler.reporting.roster import DeviceState

NAMES = {
    "Page": "History",
    "DeviceExplanation": "Explanation",
    "Explanation": "Device",
    "RegistryList": "Registries",
    "RegisteredReport": "RegisteredDevice",
}
"""What values are called in docs/api.md, where that is not the name of the type without its last word."""
ACCOUNT: Schema = {**WORD, "examples": ["seoul-hotel"]}
COMMIT: Schema = {"type": "string", "pattern": "^[0-9a-fA-F]{7,64}$"}
STATES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "enum": [one.value for one in DeviceState]},
}
LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": PAGE}
CONCERNED = whole(
    {"accounts": {"type": "array", "items": {"type": "string"}}},
    "The names of the accounts that are concerned.",
)
_ANY: Schema = {"type": "object"}
_IDS: Schema = {"type": "array", "items": {"type": "string"}}
_WORDS_OR_NULL: Schema = {"type": ["string", "null"]}
OPENED = whole(
    {**CONCERNED["properties"], "until": {"type": "string", "format": "date-time"}},
    "The accounts of the window, and until when it is open.",
)
PLANNED_ACCOUNT: Mapping[str, Schema] = {
    "account": {"type": "string"},
    "revision": {"type": "string"},
    "error": _WORDS_OR_NULL,
    "condition": {"type": "string"},
    "result": {"type": "string"},
    "unexpected": {"type": "boolean"},
    "digest": _WORDS_OR_NULL,
    "remarks": _IDS,
    "in_sync": {"type": "integer"},
    "subscribes": _IDS,
    "unsubscribes": _IDS,
    "approved": _IDS,
    "unmanaged": _IDS,
    "ignored": _IDS,
    "flapping": _IDS,
    "held": {"type": "array", "items": _ANY},
    "tripped": {"type": "array", "items": _ANY},
    "outcomes": {"type": "array", "items": _ANY},
    "names": _ANY,
    "windows": {"type": "array"},
    "approval": _WORDS_OR_NULL,
}
"""The keys of one account in a plan, as ``formats.plans`` writes them."""
PLANNED: Mapping[str, Schema] = {
    "version": {"const": 1},
    "exit_code": {"type": "integer"},
    "summary": _ANY,
    "accounts": {"type": "array", "items": whole(PLANNED_ACCOUNT, "One account.")},
}
PROPOSED = whole(
    {
        "plan": whole(PLANNED, "What `plan --output json` prints."),
        "notes": _IDS,
        "shown": _WORDS_OR_NULL,
    },
    "The plan, notes for a person, and the plan once more in the form of `show`.",
)
WRITTEN = {"Error": ERROR, "Concerned": CONCERNED, "Opened": OPENED, "Proposed": PROPOSED}
VALUES = (
    StatusReport,
    AccountDetail,
    Explanation,
    DeviceExplanation,
    DeviceList,
    Page,
    RegistryList,
)
BODIES = (CloseBody, OpenBody, PauseBody, PlanBody, ReconcileBody)


_OF_ACCOUNT = Parameter("account", "The account.", ACCOUNT, "path", required=True)
_ONLY_ACCOUNT = Parameter("account", "Only this account.", ACCOUNT)
_READING = (400, 401, 404, 503)
_ACTING = (400, 401, 403, 404, 408, 413, 415, 503)
HISTORY = (
    Parameter("account", "Only changes of this account.", ACCOUNT),
    Parameter(
        "device", "Only changes of this device: an id, the beginning of one, or a name.", WORD
    ),
    Parameter("since", "From this moment on, or from this span before now.", MOMENT),
    Parameter("until", "Before this moment, or before this span before now.", MOMENT),
    Parameter("action", "Only these changes.", {"type": "string", "enum": list(ACTIONS)}),
    Parameter(
        "result", "Only changes with this result.", {"type": "string", "enum": list(RESULTS)}
    ),
    Parameter("author", "Only changes by commits of an author with this in name or address.", WORD),
    Parameter("revision", "Only changes made with this revision, or one that begins so.", WORD),
    Parameter("limit", "The most changes of one answer.", LIMIT),
    Parameter("before", "The `next` of an earlier answer: only older changes.", WORD),
)
DEVICES = (
    Parameter("account", "Only devices of this account.", ACCOUNT),
    Parameter("state", "Only devices in one of these states.", STATES),
    Parameter("name", "Only devices with this in their name.", WORD),
    Parameter("limit", "The most devices of one answer.", LIMIT),
    Parameter("after", "The `next` of an earlier answer: only the following devices.", WORD),
)
CALLS = (
    Call(
        "get",
        "/api/v1/status",
        "The state of everything",
        "Status",
        (400, 401, 503),
        (
            Parameter(
                "revision", "Also say whether this commit is in the history in force.", COMMIT
            ),
        ),
    ),
    Call(
        "get",
        "/api/v1/accounts/{account}",
        "One account",
        "AccountDetail",
        _READING,
        (_OF_ACCOUNT,),
    ),
    Call(
        "get",
        "/api/v1/accounts/{account}/devices/{device}",
        "One device of one account, by its id",
        "Device",
        _READING,
        (_OF_ACCOUNT, Parameter("device", "The whole id.", WORD, "path", required=True)),
    ),
    Call(
        "get",
        "/api/v1/devices",
        "One device, in every account that knows it",
        "Explanation",
        _READING,
        (
            Parameter("device", "An id, the beginning of one, or a name.", WORD, required=True),
            _ONLY_ACCOUNT,
        ),
    ),
    Call(
        "get",
        "/api/v1/device-states",
        "The devices, each with its state",
        "DeviceList",
        _READING,
        DEVICES,
    ),
    Call(
        "get",
        "/api/v1/registry",
        "LG's registry of the accounts with rules",
        "Registries",
        _READING,
        (_ONLY_ACCOUNT,),
    ),
    Call("get", "/api/v1/history", "Past changes, newest first", "History", _READING, HISTORY),
    Call(
        "post",
        RECONCILE,
        "Start a pass of one account, or of all",
        "Concerned",
        _ACTING,
        (_ONLY_ACCOUNT,),
        body="ReconcileBody",
    ),
    Call("post", PAUSE, "Set or end a pause", "Concerned", _ACTING, body="PauseBody"),
    Call("post", OPEN, "Open a window", "Opened", _ACTING, body="OpenBody"),
    Call("post", CLOSE, "End what opened a window", "Concerned", _ACTING, body="CloseBody"),
    Call("post", PLAN, "Plan proposed files", "Proposed", (*_ACTING, 422), body="PlanBody"),
)
"""Every call of the JSON API, but for the one that answers with this document."""


def route(policy: AccessPolicy, base: str) -> Route:
    """Return the route of the document. ``base`` is the path under which everything is."""

    async def answer(_request: Request) -> Response:
        return JSONResponse(
            document(base, reading=_is_read_token_set(policy), acting=_acts(policy))
        )

    return Route(PATH, answer)


def _is_read_token_set(policy: AccessPolicy) -> bool:
    try:
        return policy.read_token() is not None
    except ReconcilerError:  # it is set, and cannot be read
        return True


def _acts(policy: AccessPolicy) -> bool:
    """Say whether the calls that act ask for a token."""
    try:
        return policy.listen_token() is not None
    except ReconcilerError:
        return True


def document(base: str, *, reading: bool, acting: bool) -> Schema:
    """Return the document. ``reading`` and ``acting`` say which calls ask for a token."""
    paths: dict[str, Schema] = {}
    for call in CALLS:
        schemes = _schemes(call, reading=reading, acting=acting)
        paths.setdefault(call.path, {})[call.method] = described.operation(call, schemes)
    schemes_of_all: dict[str, Schema] = {
        BEARER: {"type": "http", "scheme": "bearer"},
        BASIC: {
            "type": "http",
            "scheme": "basic",
            "description": "The password is the token for reading; any user name will do.",
        },
    }
    title = "PCC subscription reconciler"
    return described.document(title, base, paths, components(), schemes_of_all)


def _schemes(call: Call, *, reading: bool, acting: bool) -> Sequence[str]:
    """Return how a caller may show the token that a call asks for."""
    if call.path in {RECONCILE, PAUSE, OPEN, CLOSE}:
        return [BEARER] if acting else [BEARER, BASIC] if reading else []
    asked = reading or (acting and call.path == PLAN)
    return [BEARER, BASIC] if reading and asked else [BEARER] if asked else []


@cache
def components() -> Mapping[str, Schema]:
    """Return the schemas of all values and bodies by their names."""
    adapters = [(one.__name__, "serialization", TypeAdapter(one)) for one in VALUES]
    _, answers = TypeAdapter.json_schemas(adapters, ref_template=f"{REFERENCE}{{model}}")  # type: ignore[arg-type]  # a list of keys
    _, bodies = msgspec.json.schema_components(BODIES, ref_template=f"{REFERENCE}{{name}}")
    found = {_named(name): _complete(one) for name, one in answers["$defs"].items()}
    found |= _narrowed(bodies)
    return {**found, **WRITTEN}


def _named(name: str) -> str:
    """Return what a value is called in the document."""
    return NAMES.get(name, name.removesuffix("Report"))


def _complete(schema: Schema) -> Schema:
    """Return the schema of a value that answers: every key is there, also one that has a default in the program."""
    renamed: Schema = _renamed(schema)
    if "properties" in renamed:
        renamed["required"] = list(renamed["properties"])
    return renamed


def _renamed(value: Any) -> Any:
    """Return a schema with the names of the document, and without what only the program needs."""
    match value:
        case {"$ref": str(place)}:
            return described.reference(_named(place.removeprefix(REFERENCE)))
        case dict():
            return {
                key: _renamed(one)
                for key, one in value.items()
                if key != "default" and not (key == "title" and isinstance(one, str))
            }
        case list():
            return [_renamed(one) for one in value]
        case _:
            return value


def _narrowed(bodies: Mapping[str, Schema]) -> Mapping[str, Schema]:
    """Return the schemas of bodies with the limits that are checked after a body was read."""
    pause, opening = _limited(bodies["PauseBody"]), _limited(bodies["OpenBody"])
    pause["properties"]["account"] = ACCOUNT
    lasting = {
        "properties": {"for": {"type": "string"}, "reason": WORD},
        "required": ["for", "reason"],
    }
    ending = {"properties": {"pause": {"const": "none"}}, "required": ["pause"]}
    pause["anyOf"] = [ending, lasting]
    opening["required"] = ["window", "for", "reason"]
    return {**bodies, "PauseBody": pause, "OpenBody": opening}


def _limited(body: Schema) -> Schema:
    """Return the schema of a body that has a span, a reason and a person, each with its limits."""
    properties = dict(body["properties"])
    span = {"type": "string", "pattern": duration.PATTERN}
    properties["for"] = {"anyOf": [span, {"type": "null"}]}
    properties["reason"] = {**properties["reason"], "maxLength": LONGEST_REASON}
    properties["set_by"] = {**properties["set_by"], "maxLength": LONGEST_PERSON}
    return {**body, "properties": properties}
