"""The simulated platform's side of the wire: requests, answers, the envelope and the table of codes.

Owns: what a request and an answer are as values, LG's error codes with their HTTP statuses, and how a body is laid out.
Must not: know users, faults or a server, and do no I/O.

``Answer`` can say what no HTTP message can: that it comes late, that it never comes, that the connection breaks.
Whoever carries it (the ASGI app, or a transport on a virtual clock) acts that out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

JSON: Final = ("content-type", "application/json;charset=UTF-8")
HTML: Final = ("content-type", "text/html; charset=utf-8")

CODES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "0000": (500, "Unknown error"),
        "1000": (400, "Bad request"),
        "1101": (400, "Missing parameters"),
        "1102": (400, "Unacceptable parameters"),
        "1103": (400, "Invalid token"),
        "1104": (400, "Invalid message id"),
        "1201": (404, "Not registered admin"),
        "1202": (404, "Not registered user"),
        "1203": (404, "Not registered service"),
        "1204": (404, "Not subscribed event"),
        "1205": (404, "Not registered device"),
        "1206": (404, "Not subscribed push"),
        "1207": (404, "Already subscribed push"),
        "1208": (404, "Not registered service by admin"),
        "1209": (404, "Not registered user in service"),
        "1210": (404, "Not registered device in service"),
        "1211": (404, "Not registered device by user"),
        "1212": (404, "Not owned device"),
        "1213": (404, "Not registered device"),
        "1214": (404, "Not subscribable device"),
        "1216": (400, "Incorrect Header"),
        "1217": (400, "Already device deleted"),
        "1218": (400, "Invalid token"),
        "1219": (406, "Not supported model"),
        "1220": (406, "Not supported feature"),
        "1221": (406, "Not supported product"),
        "1222": (416, "Not connected device"),
        "1223": (416, "Invalid status device"),
        "1224": (404, "Invalid device Id"),
        "1225": (400, "Duplicate device id"),
        "1301": (401, "Invalid service key"),
        "1302": (401, "Not found token"),
        "1303": (401, "Not found user"),
        "1304": (401, "Not acceptable terms"),
        "1305": (401, "Not allowed api"),
        "1306": (401, "Exceeded API calls"),
        "1307": (401, "Not supported country"),
        "1308": (401, "No control authority"),
        "1309": (401, "Not allowed api call"),
        "1310": (401, "Not supported domain"),
        "1311": (401, "Bad request format"),
        "1312": (400, "Exceeded number of event subscription"),
        "1314": (401, "Exceeded User API calls"),
        "2000": (500, "Internal server error"),
        "2101": (503, "Not supported model"),
        "2201": (503, "Not provided feature"),
        "2202": (400, "Not supported product"),
        "2203": (503, "No model information"),
        "2205": (400, "Invalid device status"),
        "2207": (400, "Invalid command"),
        "2208": (400, "Device control failed"),
        "2209": (400, "Device response delay"),
        "2210": (400, "Retry request"),
        "2212": (412, "Synchronizing"),
        "2213": (412, "Synchronization failed"),
        "2214": (400, "Request failed"),
        "2301": (400, "Command not supported in remote off"),
        "2302": (400, "Command not supported in state"),
        "2303": (400, "Command not supported in error"),
        "2304": (400, "Command not supported in power off"),
        "2305": (400, "Command not supported in mode"),
        "4001": (400, "Already Subscirbed Home Push"),
    }
)
"""LG's code -> HTTP status and words. 1309 and 1314 are in no table of LG's; both were seen live, with 401."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it is on the wire: raw path without query, header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes = b""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back, and how.

    ``delay_seconds``: how long after the request it arrives; whatever the request does is done at once. ``never``: no
    answer comes and the connection stays open. ``drop``: the connection breaks without an answer; of both the status is
    0. ``code``: LG's error code in the body, for logs; it is not sent separately.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (JSON,)
    body: bytes = b""
    delay_seconds: float = 0.0
    never: bool = False
    drop: bool = False
    code: str | None = None


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Success(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str
    timestamp: str
    response: msgspec.Raw | msgspec.UnsetType


class _Failure(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str
    timestamp: str
    error: _Error


_encode = msgspec.json.Encoder().encode

MISSING: Final = "missing"
"""The form of a response that is not there at all; every other form is JSON text."""


def success(message_id: str, at: float, response: bytes | str) -> bytes:
    """Return the envelope of a call that went well. ``response`` is JSON, or ``MISSING``."""
    raw = msgspec.UNSET if response == MISSING else msgspec.Raw(response)
    return _encode(_Success(message_id, timestamp(at), raw))


def refusal(
    code: str, message_id: str, at: float, *, status: int | None = None, message: str | None = None
) -> Answer:
    """Return LG's answer with one of its codes. A code that is not in the table needs a status."""
    known_status, words = CODES.get(code, (400, "Unknown error"))
    error = _Error(code, words if message is None else message)
    body = _encode(_Failure(message_id, timestamp(at), error))
    return Answer(known_status if status is None else status, body=body, code=code)


def json_answer(value: Any, status: int = 200) -> Answer:
    """Return any value as JSON without an envelope."""
    return Answer(status, body=_encode(value))


def page(status: int, title: str) -> Answer:
    """Return what a gateway in front of the platform answers: a page for people."""
    body = f"<html><head><title>{status} {title}</title></head><body><h1>{status} {title}</h1></body></html>\n"
    return Answer(status, (HTML,), body.encode())


def timestamp(at: float) -> str:
    """Return a time the way LG writes it: UTC, six fractional digits, no zone."""
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
