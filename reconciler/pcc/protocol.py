"""LG's words: what an answer means and what we do next.

Owns: the envelope, the strict reading of a live list, and how an answer is judged; the codes themselves are in codes.
Must not: send anything, keep state, or read a clock.

An answer is judged by LG's ``error.code``; the HTTP status decides only where there is no code, because LG's statuses
mislead: 401 may be a used-up quota, 404 "already subscribed", 400 an expired token (LG's common-response page, and
answers of the live gateway: 401 with 1314).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from reconciler.core.errors import CredentialsRefused, Surprise, Throttled, quoted
from reconciler.core.model import DeviceId
from reconciler.core.rules import Registered
from reconciler.desired.ids import is_id, plain_ids
from reconciler.pcc import doubt
from reconciler.pcc.codes import CHANGES, CODES, ERRORS, Call, Code, Reaction
from reconciler.pcc.dates import aware, read_date, seconds_to_wait

BEGINNING = 64 * 1024
"""Bytes of a body that is not understood in which secrets are masked; only a line of it is shown."""

LONGEST_LOCATION = 2048
"""Characters of a redirect's address that are looked at."""

FORBIDDEN = 403
"""With a page in the place of LG's envelope, this status is that of a web filter rather than of LG."""

SUCCESS = "0000"
"""Where a sister format of this API has its code in every answer, this one means success."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A change that LG confirmed. ``code`` is set if LG answered that it was already made."""

    status: int
    code: str | None
    message_id: str
    lg_message_id: str | None


class _Envelope(msgspec.Struct):
    messageId: Any = msgspec.UNSET  # noqa: N815 - LG's spelling
    response: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None
    responseCode: Any = SUCCESS  # noqa: N815 - LG's spelling
    resultCode: Any = SUCCESS  # noqa: N815 - LG's spelling

    def is_success(self) -> bool:
        """Say whether nothing speaks of an error. The codes are those of the sister formats, which have no status."""
        return self.error is None and self.responseCode == self.resultCode == SUCCESS

    def fault(self) -> tuple[str | None, str]:
        """Return LG's code, where there is one, and its words: both as they came, so that they can be masked whole."""
        if not isinstance(self.error, dict):
            return None, self.error if isinstance(self.error, str) else ""
        code, words = self.error.get("code"), self.error.get("message")
        if type(code) is int:
            code = f"{code:04}"
        if not isinstance(code, str) or not code:
            code = None
        return code, words if isinstance(words, str) else ""


class _Stamp(msgspec.Struct):
    timestamp: Any = None


class _Item(msgspec.Struct, gc=False):
    deviceId: str  # noqa: N815 - LG's spelling


class _Info(msgspec.Struct):
    deviceType: str | None = None  # noqa: N815 - LG's spelling
    alias: str | None = None
    modelName: str | None = None  # noqa: N815 - LG's spelling


class _Owned(msgspec.Struct):
    deviceId: str  # noqa: N815 - LG's spelling
    deviceInfo: _Info = msgspec.field(default_factory=_Info)  # noqa: N815 - LG's spelling


Item = TypeVar("Item")
_UNKNOWN = Code("", 0)
_EMPTY: tuple[object, ...] = (None, {}, [])
"""What under ``response`` means that there is nothing."""
_SHORT = 64
"""Bytes up to which a response may be one of these; a longer one holds something."""
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for bytes that are no JSON, or not of the shape; nested too deeply included."""
_envelope = msgspec.json.Decoder(_Envelope)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[_Item])
_owned = msgspec.json.Decoder(list[_Owned])


@dataclass(frozen=True, slots=True)
class Reply:
    """What came over the wire for one call: all that is needed to judge it.

    ``mask`` takes secrets out of what LG says, in case it repeats what was sent. ``headers`` are those of the answer,
    with names in lower case. ``sent`` holds the message ids of earlier requests of ours.
    """

    call: Call
    status: int
    body: bytes
    message_id: str
    retry_after: str | None = None
    date: str | None = None
    mask: Callable[[str], str] = str
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: Container[str] = ()


def judge(reply: Reply, now: datetime) -> Answer:
    """Return LG's confirmation, or raise the error that says what to do next."""
    return _judged(reply, _read(reply.body), now)


def live_devices(reply: Reply, now: datetime) -> frozenset[DeviceId]:
    """Return the ids of a ``GET /pcc`` answer. One malformed item makes the whole list a ``Surprise``."""
    ids = [item.deviceId for item in _list(reply, _items, now)]
    devices = plain_ids(ids)
    if devices is not None:
        return devices
    if not all(map(is_id, ids)):
        raise _surprise(reply, "the list holds something that is not a device id")
    return frozenset(map(DeviceId, ids))


def registered_devices(reply: Reply, now: datetime) -> tuple[Registered, ...]:
    """Return the devices of a ``GET /devices`` answer, in LG's order."""
    owned = _list(reply, _owned, now)
    if not all(is_id(one.deviceId) for one in owned):
        raise _surprise(reply, "the list holds something that is not a device id")
    return tuple(
        Registered(
            DeviceId(one.deviceId),
            one.deviceInfo.deviceType,
            one.deviceInfo.alias,
            one.deviceInfo.modelName,
        )
        for one in owned
    )


def _list(reply: Reply, decoder: msgspec.json.Decoder[list[Item]], now: datetime) -> list[Item]:
    """Return the items under ``response``. LG sends ``null``, ``{}``, ``[]`` or no member at all for an empty list."""
    envelope = _read(reply.body)
    _judged(reply, envelope, now)
    if envelope is None:
        raise _surprise(reply, "no list in the answer")
    response = memoryview(envelope.response)
    try:
        if not reply.body.isascii():
            reply.body.decode()  # what the decoder passes over it does not look at, and ``response`` may be among that
        is_empty = len(response) <= _SHORT and msgspec.json.decode(response) in _EMPTY
        items = [] if is_empty else decoder.decode(response)
        members = _members.decode(reply.body)
    except _MALFORMED as error:
        raise _surprise(reply, f"the list is malformed: {reply.mask(str(error))}") from error
    why = doubt.why(
        doubt.Listed(
            status=reply.status,
            headers=reply.headers,
            members=members,
            count=len(items),
            message_id=reply.message_id,
            answered_id=envelope.messageId,
            sent=reply.sent,
        )
    )
    if doubt.names_twice(reply.body):
        why = "`response` is there twice"
    if why:
        raise _surprise(reply, f"the list is not believed: {reply.mask(why)}")
    return items


def _judged(reply: Reply, envelope: _Envelope | None, now: datetime) -> Answer:
    code, words = (None, "") if envelope is None else envelope.fault()
    if code is not None:
        known_as = quoted(code)
        code = known_as if known_as in CODES else quoted(reply.mask(code))
        known = CODES.get(code, _UNKNOWN)
        reaction, hint = known.on(reply.call), known.hint
    else:
        reaction, hint = _by_status(reply, envelope), ""
    answered = envelope.messageId if envelope is not None else None
    if (
        answered == reply.message_id
    ):  # as LG documents it; to mask what we made ourselves would only cost
        lg_message_id: str | None = reply.message_id
    else:
        lg_message_id = quoted(reply.mask(answered)) if isinstance(answered, str) else None
    if reaction is Reaction.DONE:
        return Answer(reply.status, code, reply.message_id, lg_message_id)
    words = reply.mask(words if words or code is not None else _beginning(reply.body))
    reason = doubt.unread(reply.body) if envelope is None and reaction is Reaction.SURPRISE else ""
    error = ERRORS[reaction](
        _sentence(reply, code, words, hint, reason),
        status=reply.status,
        code=code,
        words=words,
        message_id=reply.message_id,
        lg_message_id=lg_message_id,
    )
    if isinstance(error, CredentialsRefused):
        error.stranger = envelope is None and reply.status == FORBIDDEN and bool(reply.body.strip())
    if isinstance(error, Throttled):
        error.retry_after = seconds_to_wait(reply.retry_after, header_time(reply) or now)
    raise error


def differs(reply: Reply) -> bool:
    """Say whether an answer names another message id than its request. That alone is no reason to doubt it."""
    envelope = _read(reply.body)
    answered = None if envelope is None else envelope.messageId
    return isinstance(answered, str) and answered != reply.message_id


def envelope_time(reply: Reply) -> datetime | None:
    """Return when LG received the request, as its envelope states it; None where the form is not known.

    LG writes ISO 8601 without a zone and means UTC (answers of the live gateway); one page shows epoch seconds.
    """
    try:
        stamp = msgspec.json.decode(reply.body, type=_Stamp).timestamp
        moment = (
            datetime.fromtimestamp(float(stamp), UTC)
            if str(stamp).isdigit()
            else datetime.fromisoformat(stamp)
        )
    except (*_MALFORMED, TypeError, ValueError, OverflowError, OSError):
        return None
    return aware(moment)


def header_time(reply: Reply) -> datetime | None:
    """Return the time in an answer's ``Date``, in whole seconds; None where there is none."""
    return read_date(reply.date or "")


def _read(body: bytes) -> _Envelope | None:
    try:
        envelope = _envelope.decode(body)
    except _MALFORMED:
        return None
    recognised = envelope.messageId is not msgspec.UNSET or envelope.error is not None
    return envelope if recognised else None


def _by_status(reply: Reply, envelope: _Envelope | None) -> Reaction:
    status = reply.status
    if 200 <= status < 300:  # noqa: PLR2004 - what HTTP calls success
        is_change = reply.call in CHANGES
        if envelope is None:
            fine = is_change and not reply.body.strip()
        else:
            fine = envelope.is_success() and not (is_change and _holds_error(envelope.response))
        return Reaction.DONE if fine else Reaction.SURPRISE
    if status in {401, 403}:
        return Reaction.CREDENTIALS
    if status == 429:  # noqa: PLR2004 - what HTTP calls too many requests
        return Reaction.THROTTLED
    return Reaction.RETRY if status >= 500 else Reaction.SURPRISE  # noqa: PLR2004 - what HTTP calls a server's fault


def _holds_error(response: msgspec.Raw) -> bool:
    """Say whether an error, or nothing readable, is under ``response``: there the API's next version has it."""
    try:
        content = msgspec.json.decode(response)
    except _MALFORMED:
        return True
    return isinstance(content, dict) and content.get("error") is not None


def _beginning(body: bytes) -> str:
    """Return enough of the body to mask it before truncating, so that half a secret cannot leak."""
    return body[:BEGINNING].decode("utf-8", "replace")


def _surprise(reply: Reply, message: str) -> Surprise:
    words = reply.mask(_beginning(reply.body))
    return Surprise(
        f"{reply.call}: {message}", status=reply.status, words=words, message_id=reply.message_id
    )


def target(location: str) -> str:
    """Return the end of a sentence that names where a redirect leads, without the query: it may hold secrets."""
    try:
        parts = urlsplit(location[:LONGEST_LOCATION])
        scheme = f"{parts.scheme}:" if parts.scheme else ""
        place = f"{scheme}//{parts.hostname}" if parts.hostname else ""
        port = f":{parts.port}" if parts.port and parts.hostname else ""
    except ValueError:
        return ", a redirect to no address"
    place = quoted(f"{place}{port}{parts.path}")
    return f", a redirect to {place}" if place else ""


def _sentence(reply: Reply, code: str | None, words: str, hint: str, reason: str) -> str:
    detail = f"{code} {quoted(words)}".strip() if code is not None else quoted(words)
    parts = [f"{reply.call}: LG answered {reply.status}"]
    if 300 <= reply.status < 400:  # noqa: PLR2004 - what HTTP calls redirects
        parts.append(reply.mask(target(reply.headers.get("location", ""))))
        reason = ""
    if reason:
        parts.append(f", and {reason}")
    if detail:
        parts.append(f": {detail}")
    if hint:
        parts.append(f" (check {hint})")
    return "".join(parts)
