"""The one schema of the desired-state file, as pydantic tables that also make the JSON Schema.

Owns: every key, its type, default and description, the grammar of ids, and the sentence for each way to get one wrong.
Must not: know places, files or more than one text, or repeat a value in a message.

Arrays of ids are validated all together, without a loop over single ones; item by item only to find what is wrong.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import chain, pairwise
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from reconciler.core import duration
from reconciler.core.errors import quoted, suggestion
from reconciler.core.model import DEFAULT_ACCOUNT, DeviceId, DeviceType, Limit, Share
from reconciler.desired import foreign, globs

VERSION = 1
"""The schema version that this program reads and writes."""

_PLAIN = bytes(code for code in range(0x21, 0x7F) if chr(code) not in "/?#%\\,;\"'`()[]{}<=>|.+")
"""The characters that nearly every id is made of. Others that print are allowed too, and looked at one by one."""

_BATCH, _BATCH_BYTES = 2048, 128 * 1024
"""Ids looked at together: enough that the loop costs nothing, few enough that they stay in the processor's cache."""

_NOT_IDS = frozenset({"", ".", ".."})

LONGEST = 256
"""Characters in the longest id, and in the longest name."""

ID_WORDS = "an id is 1 to 256 printable characters without white space and without / ? # % \\, and not . or .."


def is_id(text: str) -> bool:
    """Say whether a text can be a device id, whatever its characters."""
    return (
        len(text) <= LONGEST
        and text.isprintable()
        and text not in _NOT_IDS
        and not any(character in " /?#%\\" for character in text)
    )


def wrong_id(text: str, *, kept: bool = False) -> str | None:
    """Say why a text is no id that somebody may want, or nothing.

    What LG itself lists is an id whatever it looks like; a line of another format in a text of ours is an accident.
    ``kept``: the text was accepted before, maybe by a version that did not look for other formats.
    """
    if is_id(text):
        return None if kept else foreign.line(text)
    return foreign.line(text) or ID_WORDS


def plain_ids(texts: Sequence[object]) -> frozenset[DeviceId] | None:
    """Return the ids as a set, or nothing unless all are ids of plain characters. No loop over single ones."""
    try:
        return _plain_set(_batches(cast("Sequence[str]", texts)))
    except (TypeError, UnicodeEncodeError, _NotPlain):
        return None


def plain_lines(content: bytes) -> frozenset[DeviceId] | None:
    """Return the ids of a file with one on each line and nothing else; of any other, or if one is twice, nothing."""
    try:
        ids = _plain_set(_batches_of_lines(content))
    except _NotPlain:
        return None
    return ids if len(ids) == content.count(b"\n") else None


class _NotPlain(ValueError):
    """Something is not an id of plain characters; what, is found out item by item."""


def _plain_set(batches: Iterator[Sequence[str]]) -> frozenset[DeviceId]:
    """Return all ids of batches that are made, looked at and taken in one by one.

    A text of a million ids is never decoded as a whole beside its bytes so. And between two batches other threads get
    their turn: what Python does in one step it does alone, and the event loop would stand still for half a second.
    """
    ids = cast("frozenset[DeviceId]", frozenset(chain.from_iterable(batches)))
    if ids & _NOT_IDS:
        raise _NotPlain
    return ids


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        joined = "\n".join(batch).encode("ascii")
        newlines = joined.translate(None, _PLAIN)
        if newlines != b"\n" * (len(batch) - 1) or _longest(joined, newlines, batch) > LONGEST or _has_number(joined):
            raise _NotPlain
        yield batch


def _batches_of_lines(content: bytes) -> Iterator[Sequence[str]]:
    start = 0
    while start < len(content):
        end = content.rfind(b"\n", start, start + _BATCH_BYTES) + 1
        piece = content[start:end]
        newlines = piece.translate(None, _PLAIN)
        if not piece or newlines.strip(b"\n"):
            raise _NotPlain
        batch = piece.decode("ascii").split("\n")
        batch.pop()
        if _longest(piece, newlines, batch) > LONGEST or _has_number(piece):
            raise _NotPlain
        yield batch
        start = end


def _has_number(lines: bytes) -> bool:
    """Say whether one of many plain lines is a number with a decimal exponent."""
    return (b"E-" in lines or b"e-" in lines) and foreign.MINUS_EXPONENT.search(lines) is not None


def _longest(joined: bytes, newlines: bytes, lines: Sequence[str]) -> int:
    """Return the length of the longest line. Nearly always all are as long as the first, which the newlines show."""
    width = joined.find(b"\n")
    return width if width > 0 and joined[width :: width + 1] == newlines else max(map(len, lines))


Loc = tuple[str | int, ...]
"""A key path: what the TOML reader's answer is indexed with."""


def _said(message: str) -> PydanticCustomError:
    return PydanticCustomError("said", "{message}", {"message": message})


def _other(message: str, word: str, known: Sequence[str]) -> PydanticCustomError:
    """Return what is wrong with a word; what was meant is found out where the fault is shown."""
    return PydanticCustomError("word", "{message}", {"message": message, "word": word, "known": tuple(known)})


ACCOUNT = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_COUNTRY = r"^[A-Z]{2}$"
_SHARE = r"^(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%$"
OUT_OF_RANGE = "this date is out of range"
_LONGEST_SPAN = 99_999  # days; what duration.show writes of it, duration.parse still reads
_LONGEST_REASON = 1000
_MOST = 1_000_000_000
_FEWEST_CALLS = 2  # one lists, one changes

_PATTERN_WORDS = {
    ACCOUNT: "an account name is 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit",
    _COUNTRY: "a country is two capital letters of ISO 3166, like KR",
}

# fmt: off
_LG_TYPES = (
    "air_conditioner", "air_purifier", "air_purifier_fan", "ceiling_fan", "cooktop", "dehumidifier",
    "dish_washer", "dryer", "home_brew", "hood", "humidifier", "kimchi_refrigerator", "microwave_oven", "oven",
    "plant_cultivator", "refrigerator", "robot_cleaner", "stick_cleaner", "styler", "system_boiler", "ventilator",
    "washcombo_main", "washcombo_mini", "washer", "washtower", "washtower_dryer", "washtower_washer",
    "water_heater", "water_purifier", "wine_cellar",
)
# fmt: on
TYPES = {
    word: name
    for name in sorted(_LG_TYPES, key=lambda name: name not in [*DeviceType])
    for word in (name, f"DEVICE_{name.upper()}")
}
"""Both ways to write a device type: ours, and LG's own."""


KEPT = {"kept": True}
"""The context in which a text is validated that was accepted before: rules that came later do not take it out."""


def _check_id(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise _said("a device id is text in quotes")
    wrong = wrong_id(value, kept=info.context is not None)
    if wrong is not None:
        raise _said(wrong if wrong is ID_WORDS else f"this id {wrong}")
    return value


def _check_name(value: object) -> str:
    if not isinstance(value, str):
        raise _said("must be text in quotes")
    if not value.isprintable() or len(value) > LONGEST:
        raise _said(f"a name is one line of at most {LONGEST} printable characters")
    return value.strip()


def _check_reason(value: object) -> str:
    if not isinstance(value, str):
        raise _said("must be text in quotes")
    line = " ".join(value.split())
    if not line:
        raise _said("say why, for the one who asks next year")
    if not line.isprintable() or len(line) > _LONGEST_REASON:
        raise _said(f"a reason is at most {_LONGEST_REASON} printable characters")
    return line


def _check_type(value: object) -> str:
    if not isinstance(value, str):
        raise _said("must be text in quotes")
    if value not in TYPES:
        word = value.lower().removeprefix("device_")
        raise _other(f"is not a device type: {one_of([*DeviceType])}", word, _LG_TYPES)
    return TYPES[value]


def _check_moment(value: object) -> date:
    """Return a date as it is, to be given its hour later, and a date-time in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _said("a date-time needs its offset, like 2026-12-01T00:00:00+09:00 or 2026-12-01T00:00:00Z")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise _said(OUT_OF_RANGE) from None
    if not isinstance(value, date):
        raise _said("must be a date like 2026-12-01 or a date-time with offset, without quotes")
    return value


def _check_share_or_number(value: object) -> object:
    number = type(value) is int and 0 <= value <= _MOST
    if not number and not (isinstance(value, str) and re.fullmatch(_SHARE, value)):
        raise _said('must be a share like "10%", from "0%" to "100%", or a whole number like 20')
    return value


def limit(value: int | str) -> Limit:
    """Return what a validated ``max_unsubscribe`` means."""
    return value if isinstance(value, int) else Share(Fraction(value.removesuffix("%")) / 100)


def tidy(name: str) -> str:
    """Return a name from a comment or from LG as it is shown: neither is a reason to refuse a text."""
    name = name.strip()
    return name if name.isprintable() and len(name) <= LONGEST else quoted(name)


def _check_quota(value: object) -> object:
    number = type(value) is int and _FEWEST_CALLS <= value <= _MOST
    if not number and value not in ("auto", "unlimited"):
        message = f'must be "auto", "unlimited" or a whole number from {_FEWEST_CALLS}'
        raise _other(message, value, ["auto", "unlimited"]) if isinstance(value, str) else _said(message)
    return value


def _check_duration(value: object) -> object:
    if not isinstance(value, str):
        raise _said('must be a duration in quotes, like "90s", "10m", "1h30m" or "7d"')
    try:
        span = duration.parse(value)
    except ValueError as error:
        raise _said(str(error)) from None
    if span.days >= _LONGEST_SPAN:
        raise _said(f"is longer than {_LONGEST_SPAN} days")
    return value


def _check_version(value: object) -> object:
    if type(value) is not int:
        raise _said(f"must be the whole number {VERSION}")
    return value


def _check_pattern(value: object) -> object:
    if not isinstance(value, str):
        raise _said("must be text in quotes")
    if not value or not value.isprintable():
        raise _said("a pattern is printable text, like devices/*.txt")
    if value.startswith("/") or "\\" in value or ".." in value.split("/"):
        raise _said("device files stay inside the folder of this file: no leading /, no .. and no \\")
    if len(value) > globs.LONGEST_PATTERN or value.count("/") >= globs.DEEPEST_PATTERN:
        raise _said(f"a pattern has at most {globs.LONGEST_PATTERN} characters and {globs.DEEPEST_PATTERN} folders")
    return value


def _check_word(value: object) -> object:
    if isinstance(value, str) and not (
        value.strip() == value and value and value.isprintable() and len(value) <= LONGEST
    ):
        raise _said("must be one line of printable text")
    return value


def _check_entry(value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
    if value is None:  # TOML has no null: this is an entry that was already found faulty
        return None
    if isinstance(value, str):
        return _check_id(value, info)
    if not isinstance(value, dict):
        raise _said("a device is an id in quotes, or a table with an id")
    return handler(value)


_MARKS_AT_ENDS = "".join(rf"\u{ord(mark):04x}" for mark in sorted(foreign.ENDS))

_ID_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST,
    "pattern": (
        r"^(?!\.{1,2}$)(?![<=>|]{7})(?![0-9]+(\.[0-9]+[eE][+-]?|[eE][+-])[0-9]+$)"
        rf"(?![{_MARKS_AT_ENDS}])[^\s\u0000-\u001f\u007f\ufeff/?#%\\,;]*[^\s\u0000-\u001f\u007f\ufeff/?#%\\{_MARKS_AT_ENDS}]$"
    ),
    "description": "LG's id of one appliance.",
}
_MOMENT_SCHEMA = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}
_SHARE_SCHEMA = {"type": "string", "pattern": _SHARE}

_NEEDS_DEVICES: dict[str, Any] = {"anyOf": [{"required": ["devices"]}, {"required": ["device_files"]}]}

_NAMES_ONLY: dict[str, Any] = {"additionalProperties": False}

_Id = Annotated[str, PlainValidator(_check_id), WithJsonSchema(_ID_SCHEMA)]
_Moment = Annotated[date, PlainValidator(_check_moment), WithJsonSchema(_MOMENT_SCHEMA)]
_Number = Annotated[int, Field(ge=0, le=_MOST)]
_Pattern = Annotated[str, BeforeValidator(_check_pattern), Field(min_length=1, max_length=globs.LONGEST_PATTERN)]
_Patterns = Annotated[list[_Pattern], Field(max_length=globs.MOST_PATTERNS)]
_Account = Annotated[str, Field(pattern=ACCOUNT)]
_Word = Annotated[str, BeforeValidator(_check_word), Field(min_length=1, max_length=LONGEST)]


class _Table(BaseModel):
    """What all tables share: unknown keys are faults, nothing is converted, no message repeats a value.

    The text under a key describes it in the JSON Schema. It is not pydantic that reads these texts, because it does so
    whenever the module is imported, which takes as long as the rest of the import.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class DeviceTable(_Table):
    """A device of which more is said than its id."""

    id: _Id
    name: Annotated[
        str | None, PlainValidator(_check_name), WithJsonSchema({"type": "string", "maxLength": LONGEST})
    ] = None
    """For the reader: where the appliance stands."""
    type: Annotated[
        str | None, PlainValidator(_check_type), WithJsonSchema({"type": "string", "enum": list(TYPES)})
    ] = None
    """For the reader: washer, refrigerator, dish_washer or oven, or LG's own DEVICE_WASHER and so on. Never sent to LG;
    another of LG's types is a warning."""
    from_: _Moment | None = Field(default=None, alias="from")
    """The device is desired from here on. A bare date means 00:00 in timezone."""
    until: _Moment | None = None
    """The device is desired before this. A bare date means 00:00 in timezone."""


class _IdOrTable:
    """Tells the JSON Schema that an entry may be an id alone."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [_ID_SCHEMA, handler(core)]}


_Entry = Annotated[DeviceTable, WrapValidator(_check_entry), _IdOrTable()]


@dataclass(frozen=True, slots=True)
class IdList:
    """An array of ids, validated all together; item by item only if that fails, to find the faults."""

    entries: Sequence[str | DeviceTable | None] = ()
    ids: frozenset[DeviceId] = frozenset()
    plain: bool = True

    @property
    def tables(self) -> list[tuple[int, DeviceTable]]:
        """The entries that are tables, each with its index."""
        if self.plain:
            return []
        return [(index, entry) for index, entry in enumerate(self.entries) if isinstance(entry, DeviceTable)]

    def __len__(self) -> int:
        return len(self.entries) if self.plain else sum(entry is not None for entry in self.entries)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        items = handler.generate_schema(list[_Id])
        return core_schema.no_info_wrap_validator_function(cls._read, items)

    @classmethod
    def _read(cls, value: object, handler: ValidatorFunctionWrapHandler) -> IdList:
        if type(value) is list and (ids := plain_ids(value)) is not None:
            return cls(value, ids)
        entries = handler(value)
        return cls(entries, frozenset(id_of(entry) for entry in entries if entry is not None), plain=False)


class DeviceList(IdList):
    """An array of devices: ids, or tables that say more."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(cls._read, handler.generate_schema(list[_Entry]))


def id_of(entry: str | DeviceTable) -> DeviceId:
    """Return the id of an entry of ``devices``."""
    return DeviceId(entry if isinstance(entry, str) else entry.id)


class PolicyTable(_Table):
    """What may be done. Every key has a default; an account's own policy overrides the general one key by key."""

    prune: Literal["all", "owned", "none"] = "all"
    """Which live devices that are not desired may be unsubscribed. all: the file is the whole truth. owned: only what
    was once desired here. none: none."""
    ignore: IdList = Field(default=IdList(), json_schema_extra={"default": []})
    """Ids never touched, whatever else is said: they are managed elsewhere. General ones and an account's own add
    up."""
    max_unsubscribe: Annotated[
        _Number | Annotated[str, WithJsonSchema(_SHARE_SCHEMA)], BeforeValidator(_check_share_or_number)
    ] = "10%"
    """How many devices may be unsubscribed in any 24 hours: a share of the account's live devices, or a whole
    number."""
    max_unsubscribe_floor: _Number = 5
    """That many may always be unsubscribed in 24 hours, so that small accounts are workable."""
    unsubscribe_after: Annotated[
        str, BeforeValidator(_check_duration), WithJsonSchema({"type": "string", "pattern": duration.PATTERN})
    ] = "0s"
    """A device must have been absent from accepted texts for this long before it is unsubscribed."""
    allow_empty: bool = False
    """May an empty desired list clear a live list, within the limit or approved?"""
    pause: Literal["none", "unsubscribe", "all"] = "none"
    """What is not done for now: observe and report, do not act. Of the general one and an account's own the stricter
    holds."""
    calls_per_hour: Annotated[
        Annotated[int, Field(ge=_FEWEST_CALLS, le=_MOST)] | Literal["auto", "unlimited"], BeforeValidator(_check_quota)
    ] = "auto"
    """Calls to LG in any hour. auto: learned from LG's answers."""


class AccountTable(_Table):
    """One LG user and its devices. Needs devices or device_files: an account that is cut short is not an empty one."""

    model_config = ConfigDict(json_schema_extra=_NEEDS_DEVICES)

    country: Annotated[str, Field(pattern=_COUNTRY)] | None = None
    """The user's country, two capital letters of ISO 3166."""
    devices: DeviceList | None = None
    """The devices, each as an id or as a table that says more."""
    device_files: _Patterns | None = None
    """Patterns of files beside this one, with one id a line; what follows a # is the device's name."""
    policy: PolicyTable | None = None
    """What may be done in this account, where it differs from the general policy."""


class ApprovalTable(_Table):
    """These devices may be unsubscribed past the guards. Needs devices or device_files."""

    model_config = ConfigDict(json_schema_extra=_NEEDS_DEVICES)

    account: _Account = DEFAULT_ACCOUNT
    """The account of the devices."""
    devices: IdList | None = None
    """Ids that may go."""
    device_files: _Patterns | None = None
    """Patterns of files beside this one, with one id a line."""
    expires: _Moment
    """The approval holds before this. A bare date means 00:00 in timezone."""
    reason: Annotated[
        str,
        PlainValidator(_check_reason),
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _LONGEST_REASON}),
    ]
    """Why these devices go."""


class Text(_Table):
    """The desired state of PCC subscriptions."""

    version: Annotated[Literal[1], BeforeValidator(_check_version)]
    """The version of this schema."""
    environment: _Word | None = None
    """Which environment this text is for. A process that was told another one rejects it."""
    timezone: _Word | None = None
    """The zone of bare dates, like Asia/Seoul. Needed as soon as one is used."""
    retired_accounts: list[_Account] | None = None
    """Accounts that are gone for good, so that nothing reminds of them."""
    policy: PolicyTable | None = None
    """What may be done in every account."""
    devices: DeviceList | None = None
    """The devices of the account named default, each as an id or as a table that says more."""
    device_files: _Patterns | None = None
    """Patterns of files beside this one for the account named default, with one id a line and a name after a #."""
    accounts: dict[_Account, AccountTable] | None = Field(default=None, json_schema_extra=_NAMES_ONLY)
    """Accounts by name."""
    approvals: list[ApprovalTable] | None = None
    """Devices that may be unsubscribed past the guards."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors and for ``pcc-reconciler schema``."""
    whole = Text.model_json_schema()
    tables: list[type[_Table]] = [Text, DeviceTable, PolicyTable, AccountTable, ApprovalTable]
    for table in tables:
        described = whole if table is Text else whole["$defs"][table.__name__]
        for key, words in _descriptions(table).items():
            described["properties"][key]["description"] = words
    schema = _tidied(whole)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "PCC desired state"}


def _descriptions(table: type[_Table]) -> dict[str, str]:
    """Return the text under each key of a table, by the key's name in the file."""
    [body] = [node.body for node in ast.parse(inspect.getsource(table)).body if isinstance(node, ast.ClassDef)]
    return {
        table.model_fields[key.target.id].alias or key.target.id: inspect.cleandoc(words.value.value)
        for key, words in pairwise(body)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(words, ast.Expr)
        and isinstance(words.value, ast.Constant)
        and isinstance(words.value.value, str)
    }


def _tidied(node: Any) -> Any:
    """Drop what pydantic adds for Python's sake: titles, and null, which TOML does not have."""
    if isinstance(node, str):
        return " ".join(node.split("\n"))
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: {name: _tidied(inner) for name, inner in value.items()}
        if key in {"properties", "$defs"}
        else _tidied(value)
        for key, value in node.items()
        if not (key == "title" or (key == "default" and value is None))
    }
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        kept = {**choices[0], **{key: value for key, value in kept.items() if key != "anyOf"}}
    elif choices:
        kept["anyOf"] = choices
    return kept


_LIKE = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be an array",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "too_long": f"has more than {globs.MOST_PATTERNS} patterns",
    "int_parsing_size": "is too large",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
}


def explain(detail: ErrorDetails, *, briefly: bool = False) -> tuple[Loc, bool, str]:
    """Turn one of pydantic's errors into a key path, whether its key is meant, and a sentence that shows no value.

    For a missing key the path is that of the key, which no text holds. ``briefly``: without a guess at what was meant.
    """
    loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return loc, True, f"unknown key {quoted(str(loc[-1]))!r}" if briefly else _unknown_key(loc)
    if loc[-1] == "[key]":
        return loc[:-1], True, _PATTERN_WORDS[ACCOUNT]
    return loc, False, _sentence(detail, briefly=briefly)


def _sentence(detail: ErrorDetails, *, briefly: bool) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "word":
            sentence = str(context["message"])
            if not briefly:
                sentence += suggestion(str(context["word"]), list(context["known"]))
        case "missing":
            sentence = f"{detail['loc'][-1]} is missing"
        case "said":
            sentence = str(context["message"])
        case "string_pattern_mismatch":
            sentence = _PATTERN_WORDS[str(context["pattern"])]
        case "literal_error":
            given = None if briefly else detail["input"]
            sentence = _other_word(given, re.findall(r"'(\w+)'", str(context["expected"])))
        case kind:
            sentence = _LIKE.get(kind, quoted(detail["msg"]))
    return sentence


def _other_word(given: object, words: Sequence[str]) -> str:
    near = suggestion(given, words) if isinstance(given, str) else ""
    return f"must be {one_of(json.dumps(word) for word in words)}{near}" if words else f"must be {VERSION}"


def _unknown_key(loc: Loc) -> str:
    """Say that a key is unknown, and what was likely meant: a near key, or the same key in its right place."""
    word, here = str(loc[-1]), _table_at(loc[:-1])
    near = suggestion(word, _keys(here))
    for home, place in ((Text, "at the top of the file, before the first [table]"), (PolicyTable, "in policy")):
        if not near and home is not here and word in _keys(home):
            near = f"; it belongs {place}"
    return f"unknown key {quoted(word)!r}{near}"


def _table_at(loc: Loc) -> type[_Table]:
    if not loc:
        return Text
    if loc[0] == "approvals":
        return ApprovalTable
    if isinstance(loc[-1], int):
        return DeviceTable
    return PolicyTable if loc in {("policy",), (*loc[:2], "policy")} else AccountTable


def _keys(table: type[_Table]) -> list[str]:
    return [about.alias or name for name, about in table.model_fields.items()]


def one_of(words: Iterable[str]) -> str:
    """Return words as a sentence lists them."""
    *most, last = words
    return f"{', '.join(most)} or {last}"
