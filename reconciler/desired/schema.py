"""The one schema of the desired-state file, as pydantic tables that also make the JSON Schema.

Owns: every key, its type, default and description.
Must not: know places, files or more than one document, or quote a value in a message.

Arrays of ids are validated together, without a loop. Only to find a fault are they validated item by item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Annotated, Any, Literal

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
from pydantic_core import CoreSchema, core_schema

from reconciler.core import duration
from reconciler.core.model import DEFAULT_ACCOUNT, DeviceId
from reconciler.desired import checks, foreign, globs
from reconciler.desired.ids import LONGEST, plain_ids

ACCOUNT = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
COUNTRY = r"^[A-Z]{2}$"
RULE = r"^[a-z0-9][a-z0-9-]{0,62}$"
PATTERN_WORDS = {
    RULE: "a rule's name is 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit",
    ACCOUNT: "an account name is 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit",
    COUNTRY: "a country is two capital letters of ISO 3166, like KR",
}

KEPT = {"kept": True}
"""The context for a document that was accepted before: newer rules do not refuse it."""


def _check_entry(
    value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> object:
    if value is None:  # TOML has no null: this is an entry that was already found faulty
        return None
    if isinstance(value, str):
        return checks.device_id(value, info)
    if not isinstance(value, dict):
        raise checks.fault("a device is an id in quotes, or a table with an id")
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
_EDGE_SCHEMA = {
    "type": "string",
    "anyOf": [{"pattern": checks.CLOCK}, {"format": "date"}, {"format": "date-time"}],
}
_SHARE_SCHEMA = {"type": "string", "pattern": checks.SHARE}

_NEEDS_DEVICES: dict[str, Any] = {
    "anyOf": [{"required": ["devices"]}, {"required": ["device_files"]}]
}
_NEEDS_DEVICES_OR_LOCK: dict[str, Any] = {
    "anyOf": [*_NEEDS_DEVICES["anyOf"], {"required": ["locked"]}],
    "dependentRequired": {"rules": ["locked"], "locked": ["rules"]},
}
_NEEDS_CONDITION: dict[str, Any] = {
    "oneOf": [
        {"required": ["every"], "properties": {"every": {"const": True}}},
        {"anyOf": [{"required": [key]} for key in ("type", "alias", "model")]},
    ]
}
_NAMES_ONLY: dict[str, Any] = {"additionalProperties": False}

_Id = Annotated[str, PlainValidator(checks.device_id), WithJsonSchema(_ID_SCHEMA)]
_Moment = Annotated[date, PlainValidator(checks.moment), WithJsonSchema(_MOMENT_SCHEMA)]
_Edge = Annotated[date | time, PlainValidator(checks.window_edge), WithJsonSchema(_EDGE_SCHEMA)]
_Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_Reason = Annotated[
    str,
    PlainValidator(checks.reason),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": checks.LONGEST_REASON}),
]
_Number = Annotated[int, Field(ge=0, le=checks.MOST)]
_Pattern = Annotated[
    str, BeforeValidator(checks.pattern), Field(min_length=1, max_length=globs.LONGEST_PATTERN)
]
_Patterns = Annotated[list[_Pattern], Field(max_length=globs.MOST_PATTERNS)]
_File = Annotated[
    str,
    BeforeValidator(checks.file_name),
    Field(
        min_length=1, max_length=globs.LONGEST_PATTERN, json_schema_extra={"pattern": r"^[^*?\[]+$"}
    ),
]
_Wildcard = Annotated[
    str,
    PlainValidator(checks.wildcard),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST}),
]
_Type = Annotated[
    str,
    PlainValidator(checks.device_type),
    WithJsonSchema({"type": "string", "enum": list(checks.TYPES)}),
]
_Account = Annotated[str, Field(pattern=ACCOUNT)]
_Word = Annotated[str, BeforeValidator(checks.word), Field(min_length=1, max_length=LONGEST)]


class _Table(BaseModel):
    """What all tables share: unknown keys are faults, no value is converted, no message quotes a value."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class DeviceTable(_Table):
    """A device with more than its id in the file."""

    id: _Id
    name: Annotated[
        str | None,
        PlainValidator(checks.name),
        WithJsonSchema({"type": "string", "maxLength": LONGEST}),
    ] = Field(
        default=None,
        description="For the reader: where the appliance is.",
    )
    type: _Type | None = Field(
        default=None,
        description="For the reader: washer, refrigerator, dish_washer or oven, or LG's own DEVICE_WASHER and so on. "
        "Never sent to LG; another of LG's types is a warning.",
    )
    from_: _Moment | None = Field(
        default=None,
        alias="from",
        description="The device is desired from here on. A bare date means 00:00 in timezone.",
    )
    until: _Moment | None = Field(
        default=None,
        description="The device is desired before this. A bare date means 00:00 in timezone.",
    )
    protected: bool | None = Field(
        default=None,
        description="true: the device is unsubscribed only if an approval names it, also after its entry is gone. "
        "Only false ends that; an entry without this key changes nothing.",
    )


class _IdOrTable:
    """Lets the JSON Schema accept an id alone as an entry."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [_ID_SCHEMA, handler(core)]}


_Entry = Annotated[DeviceTable, WrapValidator(_check_entry), _IdOrTable()]


@dataclass(frozen=True, slots=True)
class IdList:
    """An array of ids, validated together. Item by item only if that fails, to find the faults."""

    entries: Sequence[str | DeviceTable | None] = ()
    ids: frozenset[DeviceId] = frozenset()
    plain: bool = True

    @property
    def tables(self) -> list[tuple[int, DeviceTable]]:
        """The entries that are tables, each with its index."""
        if self.plain:
            return []
        return [
            (index, entry)
            for index, entry in enumerate(self.entries)
            if isinstance(entry, DeviceTable)
        ]

    def __len__(self) -> int:
        return len(self.entries) if self.plain else len(self.entries) - self.entries.count(None)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        items = handler.generate_schema(list[_Id])
        return core_schema.no_info_wrap_validator_function(cls._read, items)

    @classmethod
    def _read(cls, value: object, handler: ValidatorFunctionWrapHandler) -> IdList:
        if type(value) is list and (ids := plain_ids(value)) is not None:
            return cls(value, ids)
        entries = handler(value)
        return cls(
            entries, frozenset(id_of(entry) for entry in entries if entry is not None), plain=False
        )


class DeviceList(IdList):
    """An array of devices: ids, or tables with more."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            cls._read, handler.generate_schema(list[_Entry])
        )


def id_of(entry: str | DeviceTable) -> DeviceId:
    """Return the id of an entry of ``devices``."""
    return DeviceId(entry if isinstance(entry, str) else entry.id)


class PolicyTable(_Table):
    """What may be done. Every key has a default; an account's own policy overrides the general one key by key."""

    prune: Literal["all", "owned", "none"] = Field(
        default="all",
        description="Which live devices that are not desired may be unsubscribed. all: the file is the whole truth. "
        "owned: only what was once desired here. none: none.",
    )
    ignore: IdList = Field(
        default=IdList(),
        json_schema_extra={"default": []},
        description="Ids never touched, whatever else the file says: they are managed elsewhere. General ones and an "
        "account's own add up.",
    )
    max_unsubscribe: Annotated[
        _Number | Annotated[str, WithJsonSchema(_SHARE_SCHEMA)],
        BeforeValidator(checks.share_or_number),
    ] = Field(
        default="10%",
        description="How many devices may be unsubscribed in any 24 hours: a share of the account's live devices, or "
        "a whole number.",
    )
    max_unsubscribe_floor: _Number = Field(
        default=5,
        description="This many may always be unsubscribed in 24 hours, so that small accounts are workable.",
    )
    unsubscribe_after: Annotated[
        str,
        BeforeValidator(checks.span),
        WithJsonSchema({"type": "string", "pattern": duration.PATTERN}),
    ] = Field(
        default="0s",
        description="A device must have been absent from accepted revisions for this long before it is unsubscribed.",
    )
    allow_empty: bool = Field(
        default=False,
        description="Whether an empty desired list may clear a live list, within the limit or approved.",
    )
    pause: Literal["none", "unsubscribe", "all"] = Field(
        default="none",
        description="What is paused: still observed and reported, not done. The stricter of the general pause "
        "and the account's own applies.",
    )
    calls_per_hour: Annotated[
        Annotated[int, Field(ge=checks.FEWEST_CALLS, le=checks.MOST)]
        | Literal["auto", "unlimited"],
        BeforeValidator(checks.quota),
    ] = Field(
        default="auto",
        description="Calls to LG in any hour. auto: learned from LG's answers.",
    )


class RuleTable(_Table):
    """A rule takes devices of LG's registry into the lock. All conditions that are given must hold."""

    model_config = ConfigDict(json_schema_extra=_NEEDS_CONDITION)

    name: Annotated[str, Field(pattern=RULE)] = Field(
        description="What the rule is called in the lock, on the page and in metrics.",
    )
    type: Annotated[list[_Type], Field(min_length=1)] | None = Field(
        default=None,
        description="The device has one of these types in LG's registry.",
    )
    alias: _Wildcard | None = Field(
        default=None,
        description="The device's name in LG's registry matches this: * is any text, ? one character, [abc] one of "
        "several.",
    )
    model: _Wildcard | None = Field(
        default=None,
        description="The device's model in LG's registry matches this: * is any text, ? one character, [abc] one of "
        "several.",
    )
    except_: IdList = Field(
        default=IdList(),
        alias="except",
        json_schema_extra={"default": []},
        description="Ids that the rule never takes.",
    )
    every: bool = Field(
        default=False,
        description="Whether the rule takes every device of the registry. It has no other condition then.",
    )


class AccountTable(_Table):
    """One LG user and its devices. A file that was cut short must not count as empty."""

    model_config = ConfigDict(json_schema_extra=_NEEDS_DEVICES_OR_LOCK)

    country: Annotated[str, Field(pattern=COUNTRY)] | None = Field(
        default=None,
        description="The user's country, two capital letters of ISO 3166.",
    )
    devices: DeviceList | None = Field(
        default=None,
        description="The devices, each as an id or as a table that says more.",
    )
    device_files: _Patterns | None = Field(
        default=None,
        description="Patterns of files beside this one, with one id a line; what follows a # is the device's name.",
    )
    locked: _File | None = Field(
        default=None,
        description="The device file beside this one that the rules resolved to. pcc-reconciler resolve writes it.",
    )
    rules: list[RuleTable] | None = Field(
        default=None,
        description="Which devices of LG's registry pcc-reconciler resolve takes into the lock.",
    )
    policy: PolicyTable | None = Field(
        default=None,
        description="What may be done in this account, where it differs from the general policy.",
    )


class ApprovalTable(_Table):
    """These devices may be unsubscribed past the guards. Needs devices or device_files."""

    model_config = ConfigDict(json_schema_extra=_NEEDS_DEVICES)

    account: _Account = Field(
        default=DEFAULT_ACCOUNT,
        description="The account of the devices.",
    )
    devices: IdList | None = Field(
        default=None,
        description="Ids that may be unsubscribed.",
    )
    device_files: _Patterns | None = Field(
        default=None,
        description="Patterns of files beside this one, with one id a line.",
    )
    expires: _Moment = Field(
        description="The approval holds before this. A bare date means 00:00 in timezone.",
    )
    reason: _Reason = Field(
        description="Why these devices go.",
    )


class WindowTable(_Table):
    """When changes may be made, or may not. Needs days, or from and to."""

    name: Annotated[
        str,
        PlainValidator(checks.window_name),
        WithJsonSchema({"type": "string", "pattern": checks.NAME}),
    ] = Field(
        description="What the window is called wherever it holds something.",
    )
    kind: Literal["allow", "deny"] = Field(
        description="allow: changes only inside. deny: never inside; it beats every allow window.",
    )
    holds: Literal["unsubscribe", "all"] = Field(
        default="all",
        description="What is held outside an allow window, or inside a deny window: unsubscribes, or all changes.",
    )
    days: Annotated[list[_Day], Field(min_length=1)] | None = Field(
        default=None,
        description="The days on which the hours begin. Left out: every day.",
    )
    from_: _Edge | None = Field(
        default=None,
        alias="from",
        description='The window begins then: a time of day like "09:00", or a moment. A bare date means 00:00 in '
        "timezone.",
    )
    to: _Edge | None = Field(
        default=None,
        description="The window ends before this. A time of day that is not after from is one of the next day.",
    )
    timezone: _Word | None = Field(
        default=None,
        description="The zone of the hours, like Asia/Seoul. Left out: the file's.",
    )
    accounts: (
        Annotated[
            list[
                Annotated[
                    str,
                    PlainValidator(checks.account_pattern),
                    WithJsonSchema({"type": "string", "pattern": checks.ACCOUNT_PATTERN}),
                ]
            ],
            Field(min_length=1),
        ]
        | None
    ) = Field(
        default=None,
        description="Patterns of account names, like seoul-*. Left out: all accounts.",
    )
    reason: _Reason | None = Field(
        default=None,
        description="Why the window is there, for a reader who meets what it holds.",
    )


class DocumentTable(_Table):
    """The desired state of PCC subscriptions."""

    version: Annotated[Literal[1], BeforeValidator(checks.version)] = Field(
        description="The version of this schema.",
    )
    environment: _Word | None = Field(
        default=None,
        description="The environment that this file is for. A process with another one rejects the file.",
    )
    timezone: _Word | None = Field(
        default=None,
        description="The zone of bare dates, like Asia/Seoul. Needed as soon as one is used.",
    )
    retired_accounts: list[_Account] | None = Field(
        default=None,
        description="Accounts that are gone for good: no alert is raised for them.",
    )
    policy: PolicyTable | None = Field(
        default=None,
        description="What may be done in every account.",
    )
    devices: DeviceList | None = Field(
        default=None,
        description="The devices of the account named default, each as an id or as a table that says more.",
    )
    device_files: _Patterns | None = Field(
        default=None,
        description="Patterns of files beside this one for the account named default, with one id a line and a name "
        "after a #.",
    )
    accounts: dict[_Account, AccountTable] | None = Field(
        default=None,
        json_schema_extra=_NAMES_ONLY,
        description="Accounts by name.",
    )
    approvals: list[ApprovalTable] | None = Field(
        default=None,
        description="Devices that may be unsubscribed past the guards.",
    )
    windows: list[WindowTable] | None = Field(
        default=None,
        description="When changes may be made.",
    )
