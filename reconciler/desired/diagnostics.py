"""Faults and warnings before their place is known: looking a place up costs a walk through the text.

Owns: how a place is named until then. Must not: know what is faulty.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.desired.positions import Loc


@dataclass(frozen=True, slots=True)
class Where:
    """A place: a key path of a document, or a line of a device file."""

    path: str
    loc: Loc = ()
    key: bool = False
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault or warning. ``other`` is a second place, told at the end of the message."""

    where: Where
    message: str
    other: Where | None = None


def byte_place(path: str, content: bytes, offset: int) -> Where:
    """Return the line and column of a byte; everything before it on its line is UTF-8."""
    start = content.rfind(b"\n", 0, offset) + 1
    before = content[start:offset].decode(errors="replace")
    return Where(path, line=content.count(b"\n", 0, offset) + 1, column=len(before.removeprefix("\ufeff")) + 1)
