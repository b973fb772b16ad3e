"""The line and column of a key path in a TOML document. Used only if there is a fault to show.

Owns: a tolerant walk over a document that a TOML reader has already accepted. No fast reader keeps places. So a
document without a fault costs nothing, and one with faults is walked once, however many it has.
Must not: judge the document or give values. If it is not TOML, the walk returns what it saw before it got lost.

A key path indexes the reader's result: ``("accounts", "seoul-hotel", "devices", 3, "type")``.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import rtoml

Loc = tuple[str | int, ...]
"""Keys and array indices, from the top of the document down."""

_BLANK = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_SPACE = re.compile(r"[ \t]*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]++")
_STRING = re.compile(  # no look ahead inside a possessive loop: before 3.11.5 Python gets that wrong (gh-106052)
    r'"""(?:[^"\\]|\\[\s\S]|"[^"\\]|"\\[\s\S]|""[^"\\]|""\\[\s\S])*+"{3,5}'
    r"|'''(?:[^']|'[^']|''[^'])*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]++|[^\s,\[\]{}#]++")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a document. Line and column count from 1, the column in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a path's key is written and where its value begins.

    An array's item has no key: both are the item. A table's value begins at its header, or at its ``{``.
    """

    key: Place
    value: Place


class _Offsets(NamedTuple):
    key: int
    value: int


class _LostError(Exception):
    """The document is not the TOML that this walk knows."""


def find(text: str, paths: Collection[Loc]) -> dict[Loc, Spot]:
    """Return the spot of every path, in one walk. A path that is missing has the spot of its nearest parent."""
    walk = _Walk(text, paths)
    # What was seen until the walk got lost has its place, the rest its parent's.
    with suppress(_LostError, RecursionError, rtoml.TomlParsingError):
        walk.document()
    newlines = [match.start() for match in re.finditer("\n", text)] if paths else []

    def place(offset: int) -> Place:
        line = bisect_left(newlines, offset)
        return Place(line + 1, offset - (newlines[line - 1] if line else -1))

    spots = {}
    for path in paths:
        offsets = walk.nearest(path)
        spots[path] = Spot(place(offsets.key), place(offsets.value))
    return spots


class _Walk:
    """One walk through a document that remembers the offsets of the wanted paths and of their parents."""

    def __init__(self, text: str, paths: Collection[Loc]) -> None:
        self._text = text
        self._at = 0
        self._wanted = {path[:depth] for path in paths for depth in range(len(path) + 1)}
        self._found: dict[Loc, _Offsets] = {(): _Offsets(0, 0)}
        self._tables: dict[Loc, int] = {}

    def nearest(self, path: Loc) -> _Offsets:
        """Return the offsets of a path, or those of its nearest parent's value."""
        if path in self._found:
            return self._found[path]
        while path not in self._found:
            path = path[:-1]
        return _Offsets(self._found[path].value, self._found[path].value)

    def document(self) -> None:
        """Walk the whole document: headers and pairs."""
        table: Loc = ()
        while not self._ended():
            if self._here() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _ended(self) -> bool:
        self._skip(_BLANK)
        return self._at >= len(self._text)

    def _here(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _LostError
        self._at = match.end()
        return match.group()

    def _take(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _LostError
        self._at += len(mark)

    def _note(self, path: Loc, key: int, value: int) -> None:
        if path in self._wanted:
            self._found[path] = _Offsets(key, value)

    def _note_first(self, path: Loc, key: int, value: int) -> None:
        if path not in self._found:
            self._note(path, key, value)

    def _header(self) -> Loc:
        """Read ``[a.b]`` or ``[[a.b]]`` and return the path of the table that it opens."""
        start = self._at
        many = self._text.startswith("[[", start)
        self._take("[[" if many else "[")
        *parents, (name, last) = self._keys()
        self._take("]]" if many else "]")
        path: Loc = ()
        for parent, offset in parents:
            path = self._latest((*path, parent))
            self._note_first(path, offset, start)
        path = (*path, name)
        if not many:
            self._note(path, last, start)
            return path
        self._note_first(path, last, start)
        self._tables[path] = self._tables.get(path, -1) + 1
        path = self._latest(path)
        self._note(path, start, start)
        return path

    def _latest(self, path: Loc) -> Loc:
        """Return the path of the table meant: of an array of tables, the latest."""
        return (*path, self._tables[path]) if path in self._tables else path

    def _keys(self) -> list[tuple[str, int]]:
        """Read a dotted key: each part with its offset."""
        parts = []
        while True:
            self._skip(_SPACE)
            start = self._at
            parts.append((self._key(), start))
            self._skip(_SPACE)
            if self._here() != ".":
                return parts
            self._at += 1

    def _key(self) -> str:
        if self._here() not in {'"', "'"}:
            return self._skip(_BARE_KEY)
        token = self._skip(_STRING)
        if "\\" not in token or token[0] == "'":
            return token[1:-1]
        return str(rtoml.loads(f"key = {token}")["key"])

    def _pair(self, table: Loc | None) -> None:
        """Read ``a.b = value``; a table of ``None`` is not wanted."""
        *parents, (name, last) = self._keys()
        self._take("=")
        self._skip(_SPACE)
        if table is None:
            self._value(None)
            return
        path = table
        for parent, offset in parents:
            path = (*path, parent)
            self._note_first(path, offset, offset)
        path = (*path, name)
        self._note(path, last, self._at)
        self._value(path if path in self._wanted else None)

    def _value(self, path: Loc | None) -> None:
        first = self._here()
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        elif first in {'"', "'"}:
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Loc | None) -> None:
        self._take("[")
        index = 0
        while True:
            self._skip(_BLANK)
            if self._here() == "]":
                break
            item = None
            if path is not None:
                item = (*path, index)
                self._note(item, self._at, self._at)
            self._value(item if item in self._wanted else None)
            index += 1
            self._skip(_BLANK)
            if self._here() != "]":
                self._take(",")
        self._take("]")

    def _inline_table(self, path: Loc | None) -> None:
        self._take("{")
        while True:
            self._skip(_BLANK)
            if self._here() == "}":
                break
            self._pair(path)
            self._skip(_BLANK)
            if self._here() != "}":
                self._take(",")
        self._take("}")
