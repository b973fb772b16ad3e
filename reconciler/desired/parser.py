"""One TOML document: decoded, parsed and checked alone.

Owns: all checks that need no other document, and the removal of faulty parts, so the rest can be checked further.
Must not: let an exception escape for any bytes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import rtoml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.core.errors import quoted
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName
from reconciler.desired import foreign
from reconciler.desired.checks import VERSION
from reconciler.desired.diagnostics import Finding, Notes, Where, byte_place
from reconciler.desired.documents import Document
from reconciler.desired.messages import explain
from reconciler.desired.positions import Loc
from reconciler.desired.schema import ACCOUNT, KEPT, DocumentTable

SHARED = ("environment", "timezone", "policy", "retired_accounts", "windows")
"""The top-level keys that concern all accounts; each is in one document only."""

_LOOKS_SHARED = re.compile(
    rb"""^[ \t]*+\[*+[ \t]*+["']?+(?:%s)\b""" % "|".join(SHARED).encode(), re.MULTILINE
)
"""It never backtracks: a document may be very long and white space only."""


SUGGESTED = 100
"""This number of faults of one document get a suggestion, which takes longer than all other checks."""

_SHARED_LOCS = frozenset((key,) for key in SHARED)

_LONGEST_PLACE = 40
_ATTEMPTS = 5
"""How often faulty parts are taken out. A removal may make another part faulty, so one round may not be enough."""

_NO_APPROVAL = {"devices": [], "expires": date.max, "reason": "-"}
"""Replaces a faulty approval, so the approvals after it keep their places."""
_NO_WINDOW = {"name": "0", "kind": "deny", "days": ["mon"]}
"""Replaces a faulty window. No window of a document with a faulty one comes into force."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One document, checked alone.

    ``keys`` are its top-level keys, ``None`` when it could not be parsed, and ``names`` the accounts that it defines,
    both as written. ``table`` is what the schema made of it, without the faulty parts, so the later checks
    can use the rest; ``broken`` are the key paths of those parts.
    """

    path: str
    content: bytes
    notes: Notes = field(default_factory=Notes)
    keys: frozenset[str] | None = None
    names: frozenset[AccountName] = frozenset()
    table: DocumentTable | None = None
    broken: frozenset[Loc] = frozenset()

    @property
    def text(self) -> str:
        """The content, decoded on each call to save memory. Raises if it is not UTF-8."""
        return self.content.decode().removeprefix("\ufeff")

    def at(self, *loc: str | int, key: bool = False) -> Where:
        """Name a place in this document."""
        return Where(self.path, loc, key=key)

    def has(self, key: str) -> bool:
        """Return whether a top-level key is in the document, well or badly written."""
        return self.keys is not None and key in self.keys

    @property
    def shared(self) -> bool:
        """Whether a key that concerns all is in the document, or seems to be in one that cannot be parsed."""
        if self.keys is None:
            return _LOOKS_SHARED.search(self.content) is not None
        return not self.keys.isdisjoint(SHARED)

    def has_shared_fault(self, faults: Iterable[Finding]) -> bool:
        """Return whether the keys that concern all accounts are unusable. ``faults``: all faults of the document."""
        if self.table is None:
            return self.shared
        return any(
            one.where.path == self.path and one.where.loc[:1] in _SHARED_LOCS for one in faults
        )


def stated(readings: Iterable[Reading], key: str) -> tuple[Reading, Any] | None:
    """Return the first document that states a shared key, and its value."""
    for reading in readings:
        value = getattr(reading.table, key, None)
        if value is not None:
            return reading, value
    return None


def patterns(content: bytes) -> frozenset[str]:
    """Return the patterns of device files that a document names, as far as they are visible. A hint only."""
    if b"device_files" not in content and b"locked" not in content:
        return frozenset()
    try:
        raw = rtoml.loads(content.decode().removeprefix("\ufeff"))
    except (UnicodeDecodeError, rtoml.TomlParsingError):
        return frozenset()
    return frozenset(posixpath.normpath(pattern) for pattern in _patterns(raw))


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        named = value.get("device_files")
        if isinstance(named, list):
            yield from (one for one in named if isinstance(one, str))
        if isinstance(value.get("locked"), str):
            yield value["locked"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _patterns(one)


def read(document: Document, *, kept: bool = False) -> Reading:
    """Decode, parse and validate one document. ``kept``: it was accepted before, maybe with fewer rules."""
    path, content = document.path, document.content
    notes = Notes()
    raw = parse_toml(path, content, notes)
    if raw is None:
        return Reading(path, content, notes)
    keys, names = frozenset(raw), _names(raw)
    table, broken = _validate(path, raw, notes, kept=kept)
    return Reading(path, content, notes, keys, names, table, broken)


def parse_toml(path: str, content: bytes, notes: Notes) -> dict[str, Any] | None:
    """Return what the TOML reader makes of a document, or ``None`` with a fault noted."""
    if not content or content.isspace():
        notes.fault(Where(path), f"the file is empty: version = {VERSION} is missing")
        return None
    first = Where(path, line=1, column=1)
    what = foreign.whole(content)
    if what is not None:
        notes.fault(first, f"this file {what}")
        return None
    try:
        raw = rtoml.loads(content.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        notes.fault(byte_place(path, content, error.start), "is not UTF-8")
        return None
    except rtoml.TomlParsingError as error:
        conflict = foreign.conflict(content)
        if conflict >= 0:
            notes.fault(
                byte_place(path, content, conflict),
                "an unresolved merge conflict begins here: resolve it",
            )
        else:
            notes.fault(*_syntax_fault(path, str(error)))
        return None
    if content.startswith("\ufeff".encode()):
        notes.warn(first, f"this file {foreign.BYTE_ORDER_MARK}")
    return raw


def _names(raw: Mapping[str, Any]) -> frozenset[AccountName]:
    """Return the accounts that a document defines, as far as can be read."""
    accounts = raw.get("accounts")
    names = set[str]()
    if isinstance(accounts, dict):
        names.update(name for name in accounts if re.fullmatch(ACCOUNT, name))
    if "devices" in raw or "device_files" in raw:
        names.add(DEFAULT_ACCOUNT)
    return frozenset(map(AccountName, names))


def _syntax_fault(path: str, message: str) -> tuple[Where, str]:
    """Split the TOML reader's message, which ends in its place, except one about too deep nesting."""
    words, _, place = message.removeprefix("ValueError: ").rpartition(" at line ")
    line, _, column = place.partition(" column ")
    if not (line.isdecimal() and column.isdecimal() and len(place) < _LONGEST_PLACE):
        words, line, column = message.removeprefix("ValueError: "), "1", "1"
    return Where(path, line=int(line), column=int(column)), f"not valid TOML: {quoted(words)}"


def _validate(
    path: str, raw: dict[str, Any], notes: Notes, *, kept: bool
) -> tuple[DocumentTable | None, frozenset[Loc]]:
    """Check a document against the schema, and take out faulty parts, so the rest can be checked further.

    Returns the table and the key paths of the parts that were taken out.
    """
    version = raw.get("version")
    if type(version) is int and version != VERSION:
        notes.fault(
            Where(path, ("version",)),
            f"this program reads version {VERSION} of the schema, not this one",
        )
        return None, frozenset()
    broken: set[Loc] = set()
    for attempt in range(_ATTEMPTS):
        try:
            return DocumentTable.model_validate(raw, context=KEPT if kept else None), frozenset(
                broken
            )
        except ValidationError as error:
            details = sorted(error.errors(include_url=False), key=_depth, reverse=True)
        # Deep parts go first: what is left of a table whose key went is gone with it.
        for number, detail in enumerate(details):
            loc, at_key, message = explain(detail, briefly=attempt > 0 or number >= SUGGESTED)
            broken.add(loc)
            if attempt == 0:
                notes.fault(Where(path, loc, key=at_key), message)
            _take_out(raw, loc)
    return None, frozenset(broken)


def _depth(detail: ErrorDetails) -> int:
    """Return the depth of a faulty part. A wrong key is as deep as its value, so parts inside the value go first."""
    loc = detail["loc"]
    return len(loc) - 1 if loc[-1] == "[key]" else len(loc)


def _take_out(raw: dict[str, Any], loc: Loc) -> None:
    """Take exactly the faulty part out of the TOML reader's result."""
    if loc == ("version",):
        raw["version"] = VERSION
        return
    if loc[0] == "approvals" and len(loc) > 1:
        raw["approvals"][int(loc[1])] = dict(_NO_APPROVAL)
        return
    if loc[0] == "accounts" and loc[2:3] == ("rules",):
        raw["accounts"][loc[1]].pop("rules", None)
        return
    if loc[0] == "windows" and len(loc) > 1:
        raw["windows"][int(loc[1])] = dict(_NO_WINDOW)
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
