"""The schema of the events file, as pydantic tables.

Owns: every key of ``events.toml``, its type and default, and the sentence for each way to get one wrong.
Must not: know places, read a file, or repeat a value in a message: an address may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import ErrorDetails

from reconciler.core import duration
from reconciler.core.errors import quoted, suggestion
from reconciler.desired.checks import fault, one_of, unknown_word
from reconciler.desired.messages import SENTENCES
from reconciler.desired.positions import Loc
from reconciler.events.model import PCC_EVENT, Category

VERSION = 1
"""The version of the events file that this program reads."""

CATEGORIES = tuple(category.value for category in Category)
SINK_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_ACCOUNTS = re.compile(r"[a-z0-9*?\[\]!-]{1,128}")
_PUSH_TYPE = re.compile(r"[!-~]{1,128}")
_STRANGE_IN_ADDRESS = re.compile(r"[\s\\]")
_LONGEST = 2048
_SHORTEST_SPAN, _LONGEST_SPAN = timedelta(minutes=1), timedelta(days=3650)
_MOST_SINKS, _MOST_FILTERS, _MOST_LOCALES, _MOST_AT_ONCE = 50, 1000, 50, 64

SINK_NAME_WORDS = (
    "a sink's name is 1 to 63 of a-z, 0-9, - and _, and begins and ends with a letter or digit"
)
LOCALE_WORDS = "a locale is written like ko, en or pt-BR"

_SENTENCES = {**SENTENCES, "too_short": "must not be empty", "too_long": "has too many entries"}


def is_loopback(host: str) -> bool:
    """Return whether a host of an address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    if not value or not value.isprintable() or value != value.strip() or len(value) > _LONGEST:
        raise fault("must be one line of printable text")
    return value


def _address(value: object) -> str:
    """Return the address of a sink, or raise. Diagnoses of named rooms go there, so it is https."""
    address = _text(value)
    wrong = "is not an address like https://host or https://host:8443/path"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its words would quote the address
        raise fault(wrong) from None
    if _STRANGE_IN_ADDRESS.search(address) or parts.scheme not in {"https", "http"} or not host:
        raise fault(wrong)
    if "@" in parts.netloc:
        raise fault("must hold no user and no password: this file is no place for secrets")
    if parts.fragment:
        raise fault("must have no fragment: what follows a # is never sent")
    if parts.scheme == "http" and not is_loopback(host):
        raise fault("must be https: http is for loopback only")
    return address


def _span(value: object) -> timedelta:
    if not isinstance(value, str):
        raise fault('must be a duration in quotes, like "90s", "10m", "1h30m" or "7d"')
    try:
        span = duration.parse(value)
    except ValueError as error:
        raise fault(str(error)) from None
    if not _SHORTEST_SPAN <= span <= _LONGEST_SPAN:
        raise fault("must be from 1 minute to 3650 days")
    return span


def _category(value: object) -> Category:
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    if value not in CATEGORIES:
        raise unknown_word(f"must be {one_of(CATEGORIES)}", value.lower(), CATEGORIES)
    return Category(value)


def _accounts(value: object) -> str:
    pattern = _text(value)
    if not _ACCOUNTS.fullmatch(pattern):
        raise fault(
            "no account matches this: a pattern is made of a-z, 0-9, - and *, ? or [...], like seoul-*"
        )
    return pattern


def _push_type(value: object) -> str:
    if not isinstance(value, str) or not _PUSH_TYPE.fullmatch(value):
        raise fault("must be a push type of LG's, like PCC_EVENT or DEVICE_STATUS")
    return value


def _locale(value: object) -> str:
    if not isinstance(value, str) or not LOCALE.fullmatch(value):
        raise fault(LOCALE_WORDS)
    return value


def _version(value: object) -> object:
    if type(value) is not int:
        raise fault(f"must be the whole number {VERSION}")
    return value


_Address = Annotated[str, PlainValidator(_address)]
_Path = Annotated[str, PlainValidator(_text)]
_Span = Annotated[timedelta, PlainValidator(_span)]
_Category = Annotated[Category, PlainValidator(_category)]
_Pattern = Annotated[str, PlainValidator(_accounts)]
_PushType = Annotated[str, PlainValidator(_push_type)]
_Locale = Annotated[str, PlainValidator(_locale)]


class _Table(BaseModel):
    """What all tables share: unknown keys are faults, nothing is converted, no message repeats a value."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class SinkTable(_Table):
    """What every sink has: the filters, and how long it tries."""

    categories: list[_Category] | None = Field(default=None, min_length=1)
    accounts: list[_Pattern] | None = Field(default=None, min_length=1, max_length=_MOST_FILTERS)
    push_types: list[_PushType] = Field(default=[PCC_EVENT], min_length=1, max_length=_MOST_FILTERS)
    give_up_after: _Span = timedelta(hours=72)


class HttpTable(SinkTable):
    """A sink that is called by HTTP."""

    type: Literal["http"]
    url: _Address
    signing_secret_file: _Path | None = None
    authorization_file: _Path | None = None
    order: Literal["device", "none"] = "device"
    concurrency: Annotated[int, Field(ge=1, le=_MOST_AT_ONCE)] = 8


class StreamTable(SinkTable):
    """A sink that writes JSON lines."""

    type: Literal["stream"]
    path: _Path | None = None


class RetentionTable(_Table):
    """How long things are kept."""

    bodies: _Span = timedelta(days=7)
    keys: _Span = timedelta(days=30)
    quarantine: _Span = timedelta(days=30)


class LogicKeys(_Table):
    """The keys that say which Logic Table is meant."""

    logic: _Path | None = None
    locales: list[_Locale] | None = Field(default=None, min_length=1, max_length=_MOST_LOCALES)


class EventsTable(LogicKeys):
    """The whole events file."""

    version: Annotated[Literal[1], BeforeValidator(_version)]
    sinks: dict[str, Annotated[HttpTable | StreamTable, Field(discriminator="type")]] = Field(
        default={}, max_length=_MOST_SINKS
    )
    retention: RetentionTable = RetentionTable()


_TAGS: dict[str, type[BaseModel]] = {"http": HttpTable, "stream": StreamTable}


def explain(detail: ErrorDetails) -> tuple[Loc, bool, str]:
    """Turn one of pydantic's errors into a key path, whether its key is meant, and a sentence without a value."""
    loc, table = _place(detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            word = str(loc[-1])
            return loc, True, f"unknown key {quoted(word)!r}{suggestion(word, table.model_fields)}"
        case "union_tag_not_found":
            return loc, False, "type is missing"
        case "union_tag_invalid":
            return (*loc, "type"), False, f'must be "http" or "stream"{_near_tag(detail)}'
    return loc, False, _sentence(detail)


def _sentence(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            sentence = f"{detail['loc'][-1]} is missing"
        case "literal_error":
            sentence = f"must be {str(context['expected']).replace(chr(39), chr(34))}"
        case "word":
            near = suggestion(str(context["word"]), list(context["known"]))
            sentence = f"{context['message']}{near}"
        case "fault":
            sentence = str(context["message"])
        case kind:
            sentence = _SENTENCES.get(kind, quoted(detail["msg"]))
    return sentence


def _place(loc: Loc) -> tuple[Loc, type[BaseModel]]:
    """Return the key path of an error as it is in the file, and the table that its last key belongs to.

    Pydantic names the kind of a sink as a step on the way, which the file has not.
    """
    if loc[0] == "retention":
        return loc, RetentionTable
    if loc[0] != "sinks" or len(loc) == 1:
        return loc, EventsTable
    table = _TAGS.get(str(loc[2])) if len(loc) > 2 else None  # noqa: PLR2004 - sinks, its name, its kind
    return (loc, EventsTable) if table is None else ((*loc[:2], *loc[3:]), table)


def _near_tag(detail: ErrorDetails) -> str:
    given = detail["input"]
    word = given.get("type") if isinstance(given, dict) else None
    return suggestion(word.lower(), [*_TAGS]) if isinstance(word, str) else ""
