"""TOML text <-> Desired: every fault in the texts, the accounts that they make together, and their export.

Owns: what no schema of one table can say, device files, what happens to the good parts when others are faulty, and
the place of every fault. The tables themselves are in ``schema``.
Must not: touch a disk (a ``Tree`` does), read a clock, or let an exception escape for any bytes.

A text that is right takes the short way: the TOML reader, one look at all ids together, no loop over devices. Only a
text that is wrong is looked at device by device, and walked for lines and columns. Device files are lists of ids and
may turn out to be something else, so no fault repeats what is in them.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, tzinfo
from fnmatch import fnmatchcase
from functools import reduce
from types import MappingProxyType
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import rtoml
from pydantic import ValidationError

from reconciler import duration, places, schema
from reconciler.errors import Fault, ReconcilerError, quoted, suggestion
from reconciler.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    DeviceType,
    Pause,
    Policy,
    Prune,
    Unlimited,
)
from reconciler.schema import AccountTable, ApprovalTable, DeviceTable, IdList, Loc, PolicyTable, Text

SHOWN = 1000
"""How many faults of one document are told; the rest is a number."""

SCHEMA_FILE = "desired-state.schema.json"
"""The name of the committed JSON Schema, as the first line of a text points to it."""


# ---------------------------------------------------------------------------------------------------------------------
# What comes in and what goes out


class Unreadable(ReconcilerError):
    """A file cannot be read. The message is for people and never repeats what is in the file."""


class Tree(Protocol):
    """The folder that the texts live in, wherever it is kept. Paths are relative to its root, with ``/``."""

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``; ``Unreadable`` if one leads outside."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise ``Unreadable``."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryTree:
    """A tree of files already read: accepted texts after a restart, proposed ones sent for a plan, and tests."""

    files: Mapping[str, bytes]

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``."""
        prefix = posixpath.join(folder, "")
        return sorted(p for p in self.files if p.startswith(prefix) and matches(p.removeprefix(prefix), pattern))

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise ``Unreadable``."""
        try:
            return self.files[path]
        except KeyError:
            raise Unreadable("there is no such file") from None


@dataclass(frozen=True, slots=True)
class Document:
    """One TOML text. Its device files are looked for beside it, so ``path`` is also its place in the tree."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a set of documents says, and everything that is wrong with it.

    ``accounts`` holds only those of documents without a fault, and none at all when ``shared_fault`` or
    ``wrong_environment`` says that a fault concerns all. Policy is taken as far as it can be read even from a document
    that is faulty elsewhere, since to leave it out would be to lift a brake.

    ``faulty`` maps the path of each faulty document to the accounts that it defines, as far as could be read, or to
    nothing when it could not be parsed. ``shared`` are the paths of documents that hold a key which concerns all; of
    one that could not be parsed, it is enough that it looks so. ``files`` is every file read, ``sha256`` the digest of
    its only file, or what ``sha256sum FILES | sha256sum`` prints for several in sorted order.
    """

    accounts: Mapping[AccountName, Desired]
    retired: frozenset[AccountName]
    environment: str | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    faulty: Mapping[str, frozenset[AccountName] | None]
    shared: frozenset[str]
    shared_fault: bool
    wrong_environment: Fault | None
    files: Mapping[str, bytes]
    sha256: str


def matches(path: str, pattern: str) -> bool:
    """Say whether a relative path matches a glob: ``*``, ``?``, ``[…]`` in a name, ``**`` for any folders.

    As in a shell, a name that begins with a dot matches only where the pattern says the dot.
    """
    return _names_match(path.split("/"), pattern.split("/"))


def _names_match(names: Sequence[str], parts: Sequence[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**" and _names_match(names, parts[1:]):
        return True
    if not names or (names[0].startswith(".") and not parts[0].startswith(".")):
        return False
    if parts[0] == "**":
        return _names_match(names[1:], parts)
    return fnmatchcase(names[0], parts[0]) and _names_match(names[1:], parts[1:])


# ---------------------------------------------------------------------------------------------------------------------
# Faults before their place is known


@dataclass(frozen=True, slots=True)
class _Where:
    """A place: a key path of a document, or a line of a device file."""

    path: str
    loc: Loc = ()
    key: bool = False
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class _Finding:
    """A fault or warning. ``other`` is a second place, told at the end of the message."""

    where: _Where
    message: str
    other: _Where | None = None


_NOTHING = Fault("", 0, 0, "there is no text to read")


# ---------------------------------------------------------------------------------------------------------------------
# Device files


@dataclass(frozen=True, slots=True)
class _Listed:
    """One device file, read."""

    path: str
    content: bytes = b""
    ids: frozenset[DeviceId] = frozenset()
    names: Mapping[DeviceId, str] = field(default_factory=dict)
    faults: tuple[_Finding, ...] = ()

    def where(self, wanted: AbstractSet[str]) -> Iterator[tuple[DeviceId, _Where]]:
        """Find the lines of some ids."""
        for number, column, text in _lines(self.content.decode().removeprefix("\ufeff")):
            if text in wanted:
                yield DeviceId(text), _Where(self.path, line=number, column=column)


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Take a device file apart: line, column and id of each line that has an id."""
    for number, line in enumerate(text.split("\n"), 1):
        before = line.partition("#")[0]
        if device := before.strip():
            yield number, before.index(device) + 1, device


def _list(path: str, content: bytes) -> _Listed:
    """Read a device file: at once where every line is an id and no more, else line by line."""
    ids = schema.plain_lines(content)
    if ids is not None:
        return _Listed(path, content, ids)
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        return _Listed(path, faults=(_Finding(_byte_place(path, content, error.start), "is not UTF-8"),))
    pairs = [(before.strip(), name) for before, _mark, name in (line.partition("#") for line in text.split("\n"))]
    plain = [device for device, _name in pairs if device]
    names = {DeviceId(device): tidy for device, name in pairs if device and (tidy := schema.tidy(name))}
    ids = schema.plain_ids(plain)
    if ids is None or len(ids) != len(plain) or (text and not text.endswith("\n")):
        return _list_carefully(path, content, names)
    return _Listed(path, content, ids, names)


def _list_carefully(path: str, content: bytes, names: Mapping[DeviceId, str]) -> _Listed:
    """Read a device file in which something is off, or unusual, and tell every fault in it."""
    text = content.decode().removeprefix("\ufeff")
    faults = []
    first: dict[str, _Where] = {}
    for number, column, device in _lines(text):
        where = _Where(path, line=number, column=column)
        if not schema.is_id(device):
            faults.append(_Finding(where, f"this line is not a device id: {schema.ID_WORDS}"))
        elif device in first:
            faults.append(_Finding(where, "this device is listed twice, first at", first[device]))
        else:
            first[device] = where
    if text and not text.endswith("\n"):
        last = text.rpartition("\n")[2]
        where = _Where(path, line=text.count("\n") + 1, column=len(last) + 1)
        faults.append(_Finding(where, "the file does not end with a newline, so it may be cut"))
    return _Listed(path, content, frozenset(map(DeviceId, first)), names, tuple(faults))


def _byte_place(path: str, content: bytes, offset: int) -> _Where:
    """Return the line and column of a byte; everything before it on its line is UTF-8."""
    start = content.rfind(b"\n", 0, offset) + 1
    before = content[start:offset].decode(errors="replace")
    return _Where(path, line=content.count(b"\n", 0, offset) + 1, column=len(before.removeprefix("\ufeff")) + 1)


class _Shelf:
    """Every device file that the documents name, read once however often it is named."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._lists: dict[str, _Listed | Unreadable] = {}
        self.files: dict[str, bytes] = {}

    def find(self, folder: str, pattern: str) -> dict[str, _Listed | Unreadable]:
        """Read the files that a pattern matches, each as a list or as why it cannot be read."""
        found = {}
        for path in self._tree.match(folder, pattern):
            if path not in self._lists:
                self._lists[path] = self._read(path)
            found[path] = self._lists[path]
        return found

    def _read(self, path: str) -> _Listed | Unreadable:
        try:
            content = self._tree.read(path)
        except Unreadable as error:
            return error
        self.files[path] = content
        return _list(path, content)


# ---------------------------------------------------------------------------------------------------------------------
# One document


_NO_APPROVAL = {"devices": [], "expires": date.max, "reason": "-"}
"""Stands where a faulty approval stood, so that those after it keep their places."""

_SHARED = ("environment", "timezone", "policy", "retired_accounts")
"""The top-level keys that concern all accounts, and stand in one document only."""

_LOOKS_SHARED = re.compile(rb"""^[ \t]*\[*[ \t]*["']?(?:%s)\b""" % "|".join(_SHARED).encode(), re.MULTILINE)


_SHARED_LOCS = frozenset((key,) for key in _SHARED)

_ATTEMPTS = 5
"""How often faulty parts are taken out; each time only what the last time made faulty can be left."""

_NO_APPROVAL = {"devices": [], "expires": date.max, "reason": "-"}
"""Stands where a faulty approval stood, so that those after it keep their places."""


@dataclass(slots=True)
class _Reading:
    """One document on its way through the checks.

    ``keys`` are its top-level keys, or nothing when it could not be parsed, and ``names`` the accounts that it defines,
    both as written. ``table`` is what the schema made of it, with faulty parts taken out so that the checks that follow
    can look at the rest; ``broken`` are the key paths of those parts.
    """

    path: str
    content: bytes
    text: str = ""
    keys: frozenset[str] | None = None
    names: frozenset[AccountName] = frozenset()
    table: Text | None = None
    broken: set[Loc] = field(default_factory=set)
    faults: list[_Finding] = field(default_factory=list)
    warnings: list[_Finding] = field(default_factory=list)

    def at(self, *loc: str | int, key: bool = False) -> _Where:
        """Name a place in this document."""
        return _Where(self.path, loc, key=key)

    def fault(self, where: _Where, message: str, other: _Where | None = None) -> None:
        """Note a fault that belongs to this document."""
        self.faults.append(_Finding(where, message, other))

    def says(self, key: str) -> bool:
        """Say whether a top-level key is in the text, well or badly written."""
        return self.keys is not None and key in self.keys

    @property
    def shared(self) -> bool:
        """Whether a key that concerns all is in the text, or seems to be in one that cannot be parsed."""
        if self.keys is None:
            return _LOOKS_SHARED.search(self.content) is not None
        return not self.keys.isdisjoint(_SHARED)

    @property
    def shared_fault(self) -> bool:
        """Whether what concerns all cannot be taken from this document."""
        if self.table is None:
            return self.shared
        return any(finding.where.path == self.path and finding.where.loc[:1] in _SHARED_LOCS for finding in self.faults)


def _read(document: Document) -> _Reading:
    """Decode, parse and validate one document."""
    reading = _Reading(document.path, document.content)
    if not document.content or document.content.isspace():
        reading.fault(reading.at(), f"the file is empty: not even version = {schema.VERSION} is left")
        return reading
    try:
        reading.text = document.content.decode().removeprefix("\ufeff")
        raw = rtoml.loads(reading.text)
    except UnicodeDecodeError as error:
        reading.fault(_byte_place(document.path, document.content, error.start), "is not UTF-8")
    except rtoml.TomlParsingError as error:
        reading.fault(*_syntax_fault(document.path, str(error)))
    else:
        reading.keys = frozenset(raw)
        reading.names = _names(raw)
        _validate(reading, raw)
    return reading


def _names(raw: Mapping[str, Any]) -> frozenset[AccountName]:
    """Return the accounts that a text defines, as far as can be read."""
    accounts = raw.get("accounts")
    names = {name for name in accounts if re.fullmatch(schema.ACCOUNT, name)} if isinstance(accounts, dict) else set()
    if "devices" in raw or "device_files" in raw:
        names.add(DEFAULT_ACCOUNT)
    return frozenset(map(AccountName, names))


def _syntax_fault(path: str, message: str) -> tuple[_Where, str]:
    """Take apart the TOML reader's message, which ends in its place, save for one about too deep a nesting."""
    match = re.fullmatch(r"(?:ValueError: )?(.*?)(?: at line (\d+) column (\d+))?", message, re.DOTALL)
    words, line, column = match.groups() if match else (message, None, None)
    return _Where(path, line=int(line or 1), column=int(column or 1)), f"not valid TOML: {quoted(words)}"


def _validate(reading: _Reading, raw: dict[str, Any]) -> None:
    """Check a document against the schema; take out what is faulty, so that the rest can be checked further."""
    version = raw.get("version")
    if type(version) is int and version != schema.VERSION:
        reading.fault(reading.at("version"), f"this program reads version {schema.VERSION} of the schema, not this one")
        return
    for attempt in range(_ATTEMPTS):
        try:
            reading.table = Text.model_validate(raw)
        except ValidationError as error:
            explained = [schema.explain(detail) for detail in error.errors(include_url=False)]
        else:
            return
        # Deep parts go first: what is left of a table whose key went is gone with it.
        for loc, at_key, message in sorted(explained, key=lambda one: len(one[0]), reverse=True):
            reading.broken.add(loc)
            if attempt == 0:
                reading.fault(reading.at(*loc, key=at_key), message)
            _take_out(raw, loc)


def _take_out(raw: dict[str, Any], loc: Loc) -> None:
    """Take a faulty part out of what the TOML reader gave, and no more than that part."""
    if loc == ("version",):
        raw["version"] = schema.VERSION
        return
    if loc[0] == "approvals" and len(loc) > 1:
        raw["approvals"][int(loc[1])] = dict(_NO_APPROVAL)
        return
    if loc[-1] == "id" and isinstance(loc[-2], int):
        loc = loc[:-1]
    if isinstance(loc[-1], int) and loc[-2] != "devices":
        loc = loc[:-1]
    *way, last = loc
    parent: Any = raw
    for step in way:
        parent = parent[step]
    if isinstance(parent, list):
        parent[int(last)] = None
    elif isinstance(parent, dict):
        parent.pop(last, None)


# ---------------------------------------------------------------------------------------------------------------------
# All documents together


_DOCUMENTED = [str(kind) for kind in DeviceType]


@dataclass(frozen=True, slots=True)
class _Collected:
    """The devices of one account or approval, from the text and its device files."""

    reading: _Reading
    loc: Loc
    inline: IdList
    lists: tuple[_Listed, ...]
    ids: frozenset[DeviceId]

    def where(self, wanted: AbstractSet[str]) -> Iterator[tuple[DeviceId, _Where]]:
        """Find every place of some ids, in the order of the text."""
        if self.inline.ids & wanted:
            for index, entry in enumerate(self.inline.entries):
                if entry is not None and (device := schema.id_of(entry)) in wanted:
                    yield device, self.reading.at(*self.loc, "devices", index)
        for listed in self.lists:
            if listed.ids & wanted:
                yield from listed.where(wanted)


@dataclass(frozen=True, slots=True)
class _Part:
    """One account as one document defines it."""

    name: AccountName
    collected: _Collected
    described: Mapping[DeviceId, Device]
    country: str | None = None
    policy: PolicyTable | None = None

    @property
    def reading(self) -> _Reading:
        return self.collected.reading

    @property
    def where(self) -> _Where:
        """Where the account is defined."""
        loc = self.collected.loc
        if loc:
            return self.reading.at(*loc, key=True)
        return self.reading.at("devices" if self.reading.says("devices") else "device_files", key=True)


@dataclass(frozen=True, slots=True)
class _Approved:
    """One approval as one document gives it."""

    account: AccountName
    collected: _Collected
    expires: datetime
    reason: str


def load(documents: Sequence[Document], tree: Tree, *, environment: str | None = None) -> Loaded:
    """Return what the documents say and every fault in them; nothing is raised, whatever the bytes.

    ``environment`` is the one that the texts have to be for, if that matters.
    """
    return _Loading([_read(document) for document in documents], tree).loaded(environment)


def _names_no_devices(reading: _Reading, account: AccountTable, loc: Loc) -> bool:
    return (
        account.devices is None
        and account.device_files is None
        and reading.broken.isdisjoint({(*loc, "devices"), (*loc, "device_files")})
    )


def _tell_twice(collected: _Collected) -> None:
    """Tell each place at which an account's device is listed again."""
    seen: set[DeviceId] = set()
    twice: set[DeviceId] = set()
    inline = (schema.id_of(entry) for entry in collected.inline.entries if entry is not None)
    for ids in (inline, *(listed.ids for listed in collected.lists)):
        for device in ids:
            (twice if device in seen else seen).add(device)
    first: dict[DeviceId, _Where] = {}
    for device, where in collected.where(twice):
        if device in first:
            collected.reading.fault(where, "this device is listed twice, first at", first[device])
        else:
            first[device] = where


def _policy(*tables: PolicyTable | None) -> Policy:
    """Merge policies, the general one first: key by key, but what is ignored adds up and the stricter pause holds."""
    said = [PolicyTable(), *(table for table in tables if table is not None)]

    def last(key: str) -> Any:
        return next(
            getattr(table, key) for table in reversed(said) if key in table.model_fields_set or table is said[0]
        )

    calls = last("calls_per_hour")
    return Policy(
        prune=Prune(last("prune")),
        ignore=frozenset[DeviceId]().union(*(table.ignore.ids for table in said)),
        max_unsubscribe=schema.limit(last("max_unsubscribe")),
        max_unsubscribe_floor=last("max_unsubscribe_floor"),
        unsubscribe_after=duration.parse(last("unsubscribe_after")),
        allow_empty=last("allow_empty"),
        pause=reduce(Pause.stricter, (Pause(table.pause) for table in said)),
        calls_per_hour=calls if isinstance(calls, int) else Unlimited(calls),
    )


def digest(files: Mapping[str, bytes]) -> str:
    """Return the sha256 of the only file, or of what ``sha256sum`` prints for several, sorted by path."""
    hashes = {path: hashlib.sha256(files[path]).hexdigest() for path in sorted(files)}
    if len(hashes) == 1:
        return hashes.popitem()[1]
    return hashlib.sha256("".join(f"{hash_}  {path}\n" for path, hash_ in hashes.items()).encode()).hexdigest()


class _Loading:
    """One load: the documents, what is shared between them, and the accounts that they make together."""

    def __init__(self, readings: Sequence[_Reading], tree: Tree) -> None:
        self._readings = readings
        self._shelf = _Shelf(tree)
        self._unsure = any(reading.keys is None for reading in readings)
        self._warnings: list[_Finding] = []
        self._only_once()
        self._zone = self._read_zone()
        self._parts = [part for reading in readings for part in self._read_accounts(reading)]
        self._approved = [approved for reading in readings for approved in self._read_approvals(reading)]
        self._accounts_once()
        self._retired_or_present()
        self._desired_or_approved()
        self._in_two_accounts()
        self._no_account = not self._parts and not any(reading.faults for reading in readings)
        if self._no_account and readings:
            readings[0].fault(readings[0].at(), "no account: give devices or device_files, if only as devices = []")

    # -- what is shared

    def _tables(self) -> Iterator[tuple[_Reading, Text]]:
        return ((reading, reading.table) for reading in self._readings if reading.table is not None)

    def _said(self, key: str) -> tuple[_Reading, Any] | None:
        """Return the document that says a shared key, and its value."""
        found = ((reading, getattr(table, key)) for reading, table in self._tables())
        return next(((reading, value) for reading, value in found if value is not None), None)

    def _only_once(self) -> None:
        for key in _SHARED:
            holders = [reading for reading in self._readings if reading.says(key)]
            for reading in holders if len(holders) > 1 else ():
                other = holders[1] if reading is holders[0] else holders[0]
                message = f"{key} stands in one file only; it is also at"
                reading.fault(reading.at(key, key=True), message, other.at(key, key=True))

    def _read_zone(self) -> tzinfo | None:
        """Return the zone of bare dates. Where it is said but cannot be read, any will do: nothing gets in force."""
        said = self._said("timezone")
        if said is None:
            unknown = self._unsure or any(reading.says("timezone") for reading in self._readings)
            return UTC if unknown else None
        reading, name = said
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            near = suggestion(name, available_timezones())
            reading.fault(reading.at("timezone"), f"no such time zone; zones are written like Asia/Seoul{near}")
            return UTC

    def _moment(self, reading: _Reading, value: date | None, loc: Loc) -> datetime | None:
        """Return a date as a moment: what is not yet a date-time begins at midnight in the zone."""
        if value is None or isinstance(value, datetime):
            return value
        if self._zone is None:
            reading.fault(
                reading.at(*loc),
                'a bare date needs a zone: write timezone = "Asia/Seoul" or such at the top of the file',
            )
            return None
        try:
            return datetime.combine(value, time.min, self._zone).astimezone(UTC)
        except OverflowError:
            reading.fault(reading.at(*loc), schema.OUT_OF_RANGE)
            return None

    # -- accounts

    def _read_accounts(self, reading: _Reading) -> Iterator[_Part]:
        table = reading.table
        if table is None:
            return
        if reading.says("devices") or reading.says("device_files"):
            yield self._part(reading, DEFAULT_ACCOUNT, table, ())
        for name, account in (table.accounts or {}).items():
            loc = ("accounts", name)
            if _names_no_devices(reading, account, loc):
                message = "an account needs devices or device_files; one that is to be empty says devices = []"
                reading.fault(reading.at(*loc), message)
            yield self._part(reading, AccountName(name), account, loc)

    def _part(self, reading: _Reading, name: AccountName, table: Text | AccountTable, loc: Loc) -> _Part:
        collected = self._collect(reading, table, loc)
        if len(collected.inline) + sum(len(listed.ids) for listed in collected.lists) != len(collected.ids):
            _tell_twice(collected)
        described = self._describe(collected)
        if isinstance(table, Text):
            return _Part(name, collected, described)
        return _Part(name, collected, described, table.country, table.policy)

    def _collect(self, reading: _Reading, table: Text | AccountTable | ApprovalTable, loc: Loc) -> _Collected:
        """Gather the devices that a table names. A file that two patterns match is read as one."""
        inline = table.devices or IdList()
        lists: dict[str, _Listed] = {}
        for index, pattern in enumerate(table.device_files or ()):
            lists |= {listed.path: listed for listed in self._find(reading, pattern, (*loc, "device_files", index))}
        sources = [ids for ids in (inline.ids, *(listed.ids for listed in lists.values())) if ids]
        ids = sources[0] if len(sources) == 1 else frozenset[DeviceId]().union(*sources)
        return _Collected(reading, loc, inline, tuple(lists.values()), ids)

    def _find(self, reading: _Reading, pattern: str, loc: Loc) -> Iterator[_Listed]:
        """Read what a pattern matches; faults of the files are faults of the document that names them."""
        where = reading.at(*loc)
        try:
            found = self._shelf.find(posixpath.dirname(reading.path), posixpath.normpath(pattern))
        except Unreadable as error:
            reading.fault(where, quoted(str(error)))
            return
        if not found:
            reading.fault(where, "no file matches this pattern")
        for path, listed in found.items():
            if isinstance(listed, Unreadable):
                reading.fault(where, f"{quoted(path)}: {quoted(str(listed))}")
            else:
                reading.faults.extend(listed.faults)
                yield listed

    def _describe(self, collected: _Collected) -> Mapping[DeviceId, Device]:
        """Return the devices of which more is said than their id."""
        described = {id_: Device(id_, name) for listed in collected.lists for id_, name in listed.names.items()}
        for index, table in collected.inline.tables:
            device = self._device(collected.reading, (*collected.loc, "devices", index), table)
            if device != Device(device.id):
                described[device.id] = device
        return described

    def _device(self, reading: _Reading, loc: Loc, table: DeviceTable) -> Device:
        from_ = self._moment(reading, table.from_, (*loc, "from"))
        until = self._moment(reading, table.until, (*loc, "until"))
        if from_ is not None and until is not None and until <= from_:
            reading.fault(reading.at(*loc, "until"), "until is not after from: the device would never be desired")
        kind = None
        if table.type in _DOCUMENTED:
            kind = DeviceType(table.type)
        elif table.type is not None:
            message = f"LG knows this type, but PCC is documented for {schema.one_of(_DOCUMENTED)} only"
            reading.warnings.append(_Finding(reading.at(*loc, "type"), message))
        return Device(DeviceId(table.id), table.name or None, kind, from_, until)

    def _accounts_once(self) -> None:
        """Tell accounts that stand in two places: in two documents, or both short and long."""
        parts: dict[AccountName, list[_Part]] = {}
        for part in self._parts:
            parts.setdefault(part.name, []).append(part)
        for name, same in parts.items():
            for part in same if len(same) > 1 else ():
                other = same[1] if part is same[0] else same[0]
                short = "; top-level devices and device_files are short for it" if name == DEFAULT_ACCOUNT else ""
                part.reading.fault(
                    part.where, f"account {name} stands in one place only{short}; it is also at", other.where
                )

    def _retired_or_present(self) -> None:
        reading, names = self._said("retired_accounts") or (None, ())
        present = {part.name: part for part in self._parts}
        for index, name in enumerate(names):
            if reading is not None and name in present:
                message = f"account {name} is retired and present at once; it is at"
                reading.fault(reading.at("retired_accounts", index), message, present[name].where)

    def _in_two_accounts(self) -> None:
        """Warn of devices that two accounts desire: one warning for each two accounts, however many devices."""
        parts = {part.name: part for part in self._parts}.values()
        each = [part.collected.ids for part in parts]
        if not each[1:] or len(frozenset[DeviceId]().union(*each)) == sum(map(len, each)):
            return
        first: dict[DeviceId, _Part] = {}
        shared: dict[tuple[AccountName, AccountName], list[DeviceId]] = {}
        for part in parts:
            for device in sorted(part.collected.ids):
                if first.setdefault(device, part) is not part:
                    shared.setdefault((first[device].name, part.name), []).append(device)
        examples = {devices[0] for devices in shared.values()}
        spots = {part.name: dict(part.collected.where(examples & part.collected.ids)) for part in parts}
        for (one, two), devices in shared.items():
            more = f" and {len(devices) - 1} more are" if len(devices) > 1 else " is"
            message = f"this device{more} also desired in account {one}; this one at"
            self._warnings.append(_Finding(spots[two][devices[0]], message, spots[one][devices[0]]))

    # -- approvals

    def _read_approvals(self, reading: _Reading) -> Iterator[_Approved]:
        approvals = reading.table.approvals if reading.table is not None else None
        lost = {loc[:2] for loc in reading.broken}
        for index, approval in enumerate(approvals or ()):
            loc = ("approvals", index)
            if loc in lost:
                continue
            if approval.devices is None and approval.device_files is None:
                reading.fault(reading.at(*loc), "an approval needs devices or device_files")
            self._check_account(reading, approval, loc)
            collected = self._collect(reading, approval, loc)
            expires = self._moment(reading, approval.expires, (*loc, "expires"))
            if expires is not None:
                yield _Approved(AccountName(approval.account), collected, expires, approval.reason)

    def _check_account(self, reading: _Reading, approval: ApprovalTable, loc: Loc) -> None:
        """Tell an approval for an unknown account, and one that says none where there is no default one."""
        names = frozenset[AccountName]().union(*(one.names for one in self._readings))
        if self._unsure or approval.account in names:
            return
        if "account" in approval.model_fields_set:
            message = f"there is no account {approval.account}{suggestion(approval.account, names)}"
            reading.warnings.append(_Finding(reading.at(*loc, "account"), message))
        else:
            reading.fault(reading.at(*loc), "account is missing")

    def _desired_or_approved(self) -> None:
        """Tell devices that may go and are desired at once, unless their entry says until when."""
        parts = {part.name: part.collected for part in self._parts}
        for approved in self._approved:
            desired, leaving = parts.get(approved.account), approved.collected
            both = leaving.ids & desired.ids if desired is not None else frozenset()
            if desired is None or not both:
                continue
            both -= {DeviceId(table.id) for _index, table in desired.inline.tables if table.until is not None}
            spots = dict(desired.where(both))
            for device, where in leaving.where(both):
                message = "this device may go and is desired at once, without an until; it is desired at"
                leaving.reading.fault(where, message, spots[device])

    # -- the answer

    def loaded(self, environment: str | None) -> Loaded:
        """Put the answer together: accounts of documents without a fault, and every fault with its place."""
        wrong = self._wrong_environment(environment)
        shared_fault = self._no_account or any(reading.shared_fault for reading in self._readings)
        files = {reading.path: reading.content for reading in self._readings} | self._shelf.files
        environments, retired = self._said("environment"), self._said("retired_accounts")
        faulty = {one.path: one.names if one.keys is not None else None for one in self._readings if one.faults}
        return Loaded(
            accounts=MappingProxyType({} if wrong or shared_fault else self._accounts()),
            retired=frozenset(map(AccountName, retired[1])) if retired else frozenset(),
            environment=environments[1] if environments else None,
            faults=self._told((one.path, one.faults) for one in self._readings) if self._readings else (_NOTHING,),
            warnings=self._told([*((one.path, one.warnings) for one in self._readings), ("", self._warnings)]),
            faulty=MappingProxyType(faulty),
            shared=frozenset(reading.path for reading in self._readings if reading.shared),
            shared_fault=shared_fault,
            wrong_environment=wrong,
            files=MappingProxyType(files),
            sha256=digest(files),
        )

    def _accounts(self) -> dict[AccountName, Desired]:
        general = self._said("policy")
        approvals: dict[AccountName, list[Approval]] = {}
        for one in self._approved:
            if not one.collected.reading.faults:
                approval = Approval(one.collected.ids, one.expires, one.reason)
                approvals.setdefault(one.account, []).append(approval)
        return {
            part.name: Desired(
                account=part.name,
                devices=part.collected.ids,
                described=MappingProxyType(part.described),
                policy=_policy(general[1] if general else None, part.policy),
                approvals=tuple(approvals.get(part.name, ())),
                country=part.country,
                path=part.reading.path,
            )
            for part in self._parts
            if not part.reading.faults
        }

    def _wrong_environment(self, wanted: str | None) -> Fault | None:
        """Tell a text for another environment, as from a wrong branch; one that cannot be read is invalid instead."""
        said = self._said("environment")
        if wanted is None or not self._readings or (said is not None and said[1] == wanted):
            return None
        if said is not None:
            reading, _stated = said
            message = f"this text is for another environment than {quoted(wanted)!r}"
            return self._resolve([_Finding(reading.at("environment"), message)])[0]
        if any(reading.shared_fault for reading in self._readings):
            return None
        message = f"environment is missing: only texts that say environment = {_string(quoted(wanted))} are taken here"
        return Fault(self._readings[0].path, 1, 1, message)

    def _told(self, findings: Iterable[tuple[str, Sequence[_Finding]]]) -> tuple[Fault, ...]:
        """Return findings with their places, sorted, and of very many in one document only the number."""
        shown: list[_Finding] = []
        told = set()
        for path, found in findings:
            shown += found[:SHOWN]
            if len(found) > SHOWN:
                told.add(Fault(path, 0, 0, f"{len(found) - SHOWN} more like these are not shown"))
        return tuple(sorted(told.union(self._resolve(shown))))

    def _resolve(self, findings: Sequence[_Finding]) -> list[Fault]:
        """Find lines and columns: each text is walked once, and only if something in it is to be told."""
        wanted: dict[str, set[Loc]] = {}
        for where in (where for one in findings for where in (one.where, one.other) if where is not None):
            if not where.line:
                wanted.setdefault(where.path, set()).add(where.loc)
        spots = {one.path: places.find(one.text, wanted[one.path]) for one in self._readings if one.path in wanted}

        def place(where: _Where) -> tuple[int, int]:
            if where.line:
                return where.line, where.column
            spot = spots[where.path][where.loc]
            found = spot.key if where.key else spot.value
            return found.line, found.column

        return [
            Fault(
                one.where.path,
                *place(one.where),
                one.message
                if one.other is None
                else "{} {}:{}:{}".format(one.message, one.other.path, *place(one.other)),
            )
            for one in findings
        ]


# ---------------------------------------------------------------------------------------------------------------------
# Export


def dump(
    accounts: Iterable[Desired],
    *,
    environment: str | None = None,
    retired: Iterable[AccountName] = (),
) -> str:
    """Return a text that ``load`` makes these accounts of.

    Policy stands before the devices, so that a text that is cut cannot lose it, and every key of it is written, so that
    a later default cannot change it. Names that LG gave and that would not fit a line are made to fit. An account named
    ``default`` alone takes the short form.
    """
    wanted = sorted(accounts, key=lambda one: one.account)
    lines = [f"#:schema ./{SCHEMA_FILE}", f"version = {schema.VERSION}"]
    if environment is not None:
        lines.append(f"environment = {_string(environment)}")
    if gone := sorted(retired):
        lines.append(f"retired_accounts = {_strings(gone)}")
    general = wanted[0].policy if len({one.policy for one in wanted}) == 1 else None
    if general is not None:
        lines += ["", *_policy_lines(general)]
    if len(wanted) == 1 and wanted[0].account == DEFAULT_ACCOUNT and wanted[0].country is None:
        lines += ["", *_device_lines(wanted[0])]
    else:
        for one in wanted:
            lines += ["", f"[accounts.{one.account}]"]
            lines += [f"country = {_string(one.country)}"] if one.country is not None else []
            lines += _policy_lines(one.policy) if general is None else []
            lines += _device_lines(one)
    for one in wanted:
        for approval in one.approvals:
            lines += ["", *_approval_lines(one.account, approval)]
    return "\n".join(lines) + "\n"


def _policy_lines(policy: Policy) -> list[str]:
    calls, most = policy.calls_per_hour, policy.max_unsubscribe
    return [
        f"policy.prune = {_string(policy.prune)}",
        f"policy.ignore = {_strings(sorted(policy.ignore))}",
        f"policy.max_unsubscribe = {most if isinstance(most, int) else _string(str(most))}",
        f"policy.max_unsubscribe_floor = {policy.max_unsubscribe_floor}",
        f"policy.unsubscribe_after = {_string(duration.show(policy.unsubscribe_after))}",
        f"policy.allow_empty = {'true' if policy.allow_empty else 'false'}",
        f"policy.pause = {_string(policy.pause)}",
        f"policy.calls_per_hour = {calls if isinstance(calls, int) else _string(calls.value)}",
    ]


def _device_lines(desired: Desired) -> list[str]:
    if not desired.devices:
        return ["devices = []"]
    described = desired.described
    return [
        "devices = [",
        *(f"  {_entry(described[i]) if i in described else _string(i)}," for i in sorted(desired.devices)),
        "]",
    ]


def _entry(device: Device) -> str:
    said = {
        "id": _string(device.id),
        "name": _string(schema.tidy(device.name)) if device.name else None,
        "type": _string(device.type) if device.type is not None else None,
        "from": _moment(device.from_) if device.from_ is not None else None,
        "until": _moment(device.until) if device.until is not None else None,
    }
    return "{ " + ", ".join(f"{key} = {value}" for key, value in said.items() if value is not None) + " }"


def _approval_lines(account: AccountName, approval: Approval) -> list[str]:
    return [
        "[[approvals]]",
        f"account = {_string(account)}",
        f"devices = {_strings(sorted(approval.devices))}",
        f"expires = {_moment(approval.expires)}",
        f"reason = {_string(approval.reason)}",
    ]


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _string(text: str) -> str:
    """Write a TOML string: JSON's escapes are TOML's, save that TOML wants DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _strings(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_string, texts))}]"
