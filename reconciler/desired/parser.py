"""One TOML document: decoded, parsed and checked by itself.

Owns: what can be said of a text without looking at another one, and taking faulty parts out so that the rest can be
checked further. Must not: let an exception escape for any bytes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import rtoml
from pydantic import ValidationError

from reconciler.core.errors import quoted
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName
from reconciler.desired import foreign
from reconciler.desired.checks import VERSION
from reconciler.desired.diagnostics import Finding, Where, byte_place
from reconciler.desired.documents import Document
from reconciler.desired.messages import explain
from reconciler.desired.positions import Loc
from reconciler.desired.schema import ACCOUNT, KEPT, DocumentTable

SHARED = ("environment", "timezone", "policy", "retired_accounts")
"""The top-level keys that concern all accounts, and stand in one document only."""

_LOOKS_SHARED = re.compile(rb"""^[ \t]*+\[*+[ \t]*+["']?+(?:%s)\b""" % "|".join(SHARED).encode(), re.MULTILINE)
"""Nothing in it is tried twice: the text may be white space only, and as long as a text can be."""


SUGGESTED = 100
"""For so many faults of one document it is looked for what was meant: that takes longer than all else."""

_SHARED_LOCS = frozenset((key,) for key in SHARED)

_LONGEST_PLACE = 40
_ATTEMPTS = 5
"""How often faulty parts are taken out; each time only what the last time made faulty can be left."""

_NO_APPROVAL = {"devices": [], "expires": date.max, "reason": "-"}
"""Stands where a faulty approval stood, so that those after it keep their places."""


@dataclass(slots=True)
class Reading:
    """One document on its way through the checks.

    ``keys`` are its top-level keys, or nothing when it could not be parsed, and ``names`` the accounts that it defines,
    both as written. ``table`` is what the schema made of it, with faulty parts taken out so that the checks that follow
    can look at the rest; ``broken`` are the key paths of those parts. ``named`` are the paths of its device files.
    """

    path: str
    content: bytes
    keys: frozenset[str] | None = None
    names: frozenset[AccountName] = frozenset()
    table: DocumentTable | None = None
    broken: set[Loc] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    faults: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What the document says, made anew each time: it is as long as the bytes. Raises where they are not UTF-8."""
        return self.content.decode().removeprefix("\ufeff")

    def at(self, *loc: str | int, key: bool = False) -> Where:
        """Name a place in this document."""
        return Where(self.path, loc, key=key)

    def fault(self, where: Where, message: str, other: Where | None = None) -> None:
        """Note a fault that belongs to this document."""
        self.faults.append(Finding(where, message, other))

    def says(self, key: str) -> bool:
        """Say whether a top-level key is in the text, well or badly written."""
        return self.keys is not None and key in self.keys

    @property
    def shared(self) -> bool:
        """Whether a key that concerns all is in the text, or seems to be in one that cannot be parsed."""
        if self.keys is None:
            return _LOOKS_SHARED.search(self.content) is not None
        return not self.keys.isdisjoint(SHARED)

    @property
    def shared_fault(self) -> bool:
        """Whether what concerns all cannot be taken from this document."""
        if self.table is None:
            return self.shared
        return any(finding.where.path == self.path and finding.where.loc[:1] in _SHARED_LOCS for finding in self.faults)


def patterns(content: bytes) -> frozenset[str]:
    """Return the patterns of device files that a text names, as far as can be seen: a hint at what will be read."""
    try:
        raw = rtoml.loads(content.decode().removeprefix("\ufeff")) if b"device_files" in content else {}
    except (UnicodeDecodeError, rtoml.TomlParsingError):
        return frozenset()
    return frozenset(posixpath.normpath(pattern) for pattern in _patterns(raw))


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        named = value.get("device_files")
        yield from (one for one in named if isinstance(one, str)) if isinstance(named, list) else ()
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _patterns(one)


def read(document: Document, *, kept: bool = False) -> Reading:
    """Decode, parse and validate one document. ``kept``: it was accepted before, maybe by rules that were fewer."""
    reading = Reading(document.path, document.content)
    if not document.content or document.content.isspace():
        reading.fault(reading.at(), f"the file is empty: not even version = {VERSION} is left")
        return reading
    what = foreign.whole(document.content)
    conflict = foreign.conflict(document.content)
    if what is not None:
        reading.fault(Where(document.path, line=1, column=1), f"this file {what}")
        return reading
    try:
        raw = rtoml.loads(reading.text)
    except UnicodeDecodeError as error:
        reading.fault(byte_place(document.path, document.content, error.start), "is not UTF-8")
    except rtoml.TomlParsingError as error:
        if conflict >= 0:
            where = byte_place(document.path, document.content, conflict)
            reading.fault(where, "an unresolved merge conflict begins here: resolve it")
        else:
            reading.fault(*_syntax_fault(document.path, str(error)))
    else:
        if document.content.startswith("\ufeff".encode()):
            where = Where(document.path, line=1, column=1)
            reading.warnings.append(Finding(where, f"this file {foreign.BYTE_ORDER_MARK}"))
        reading.keys = frozenset(raw)
        reading.names = _names(raw)
        _validate(reading, raw, kept=kept)
    return reading


def _names(raw: Mapping[str, Any]) -> frozenset[AccountName]:
    """Return the accounts that a text defines, as far as can be read."""
    accounts = raw.get("accounts")
    names = {name for name in accounts if re.fullmatch(ACCOUNT, name)} if isinstance(accounts, dict) else set()
    if "devices" in raw or "device_files" in raw:
        names.add(DEFAULT_ACCOUNT)
    return frozenset(map(AccountName, names))


def _syntax_fault(path: str, message: str) -> tuple[Where, str]:
    """Take apart the TOML reader's message, which ends in its place, save for one about too deep a nesting."""
    words, _, place = message.removeprefix("ValueError: ").rpartition(" at line ")
    line, _, column = place.partition(" column ")
    if not (line.isdecimal() and column.isdecimal() and len(place) < _LONGEST_PLACE):
        words, line, column = message.removeprefix("ValueError: "), "1", "1"
    return Where(path, line=int(line), column=int(column)), f"not valid TOML: {quoted(words)}"


def _validate(reading: Reading, raw: dict[str, Any], *, kept: bool) -> None:
    """Check a document against the schema; take out what is faulty, so that the rest can be checked further."""
    version = raw.get("version")
    if type(version) is int and version != VERSION:
        reading.fault(reading.at("version"), f"this program reads version {VERSION} of the schema, not this one")
        return
    for attempt in range(_ATTEMPTS):
        try:
            reading.table = DocumentTable.model_validate(raw, context=KEPT if kept else None)
        except ValidationError as error:
            details = sorted(error.errors(include_url=False), key=lambda one: len(one["loc"]), reverse=True)
        else:
            return
        # Deep parts go first: what is left of a table whose key went is gone with it.
        for number, detail in enumerate(details):
            loc, at_key, message = explain(detail, briefly=attempt > 0 or number >= SUGGESTED)
            reading.broken.add(loc)
            if attempt == 0:
                reading.fault(reading.at(*loc, key=at_key), message)
            _take_out(raw, loc)


def _take_out(raw: dict[str, Any], loc: Loc) -> None:
    """Take a faulty part out of what the TOML reader gave, and no more than that part."""
    if loc == ("version",):
        raw["version"] = VERSION
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
