"""The line of a file that a fault is about, with a caret under the place.

Owns: how much of the line is shown, and that the caret is under the right character. Must not: read a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from unicodedata import east_asian_width

from reconciler.core.errors import Fault

BEFORE = 40
"""At most this many characters of a line are shown before the place, so that the caret is in sight."""
LONGEST = 68
"""Characters of a line that are shown: with the number before them they fit 80 columns."""


class Sources:
    """The files that may be quoted, as they were read. Each is split into lines when a fault needs one."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._lines: dict[str, Sequence[bytes]] = {}

    def excerpt(self, fault: Fault) -> list[str]:
        """Return the line of a fault and the caret, or nothing where its file may not be quoted."""
        if fault.line < 1 or fault.column < 1 or fault.path not in self._files:
            return []
        if fault.path not in self._lines:
            self._lines[fault.path] = self._files[fault.path].split(b"\n")
        lines = self._lines[fault.path]
        if fault.line > len(lines):
            return []
        return _shown(lines[fault.line - 1], fault.line, fault.column)


def _shown(content: bytes, number: int, column: int) -> list[str]:
    text = content.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r")
    if not text.strip():
        return []
    text = "".join(one if one.isprintable() else " " for one in text)
    place = min(column - 1, len(text))
    first = max(place - BEFORE, 0) if len(text) > LONGEST else 0
    cut = text[first : first + LONGEST]
    head = "…" if first else ""
    tail = "…" if first + LONGEST < len(text) else ""
    margin = " " * len(str(number))
    before = f"{head}{text[first:place]}"
    return [f"  {number} | {head}{cut}{tail}", f"  {margin} | {_blank(before)}^"]


def _blank(words: str) -> str:
    """Return as many blanks as words take on a terminal, where some characters are two columns wide."""
    return "".join("  " if east_asian_width(one) in {"W", "F"} else " " for one in words)
