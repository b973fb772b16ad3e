"""Faults and warnings before their line is known: finding it costs a walk through the document.

Owns: how a place is named until then, and the findings of one document. Must not: know what is faulty.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """A fault or warning. ``other`` is a second place, named at the end of the message.

    ``quotes`` is one more document from which the message has a word, such as an account's name.
    """

    where: Where
    message: str
    other: Where | None = None
    quotes: str = ""

    @property
    def documents(self) -> frozenset[str]:
        """Return the paths of all documents and device files of which something is shown."""
        second = {self.other.path} if self.other is not None else set[str]()
        return frozenset({self.where.path, self.quotes, *second})


@dataclass(slots=True)
class Notes:
    """The findings of one document: faults and warnings in it and in its device files, and those files.

    ``unresolved`` are faults that ``resolve`` ends: a lock that is missing or stale.
    """

    faults: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    device_files: set[str] = field(default_factory=set)
    unresolved: list[Finding] = field(default_factory=list)

    def fault(self, where: Where, message: str, other: Where | None = None) -> None:
        """Note a fault."""
        self.faults.append(Finding(where, message, other))

    def warn(
        self, where: Where, message: str, other: Where | None = None, *, quotes: str = ""
    ) -> None:
        """Note a warning."""
        self.warnings.append(Finding(where, message, other, quotes))

    def unresolve(
        self, where: Where, message: str, other: Where | None = None, *, quotes: str = ""
    ) -> None:
        """Note a fault that ``resolve`` ends."""
        self.unresolved.append(Finding(where, message, other, quotes))

    def copy(self) -> Notes:
        """Return a copy of the notes that can grow."""
        return Notes(self.faults[:], self.warnings[:], set(self.device_files), self.unresolved[:])

    def add(self, other: Notes) -> None:
        """Add the findings of another step on the same document."""
        self.faults += other.faults
        self.warnings += other.warnings
        self.device_files |= other.device_files
        self.unresolved += other.unresolved


def byte_place(path: str, content: bytes, offset: int) -> Where:
    """Return the line and column of a byte; everything before it on its line is UTF-8."""
    start = content.rfind(b"\n", 0, offset) + 1
    before = content[start:offset].decode(errors="replace")
    return Where(
        path,
        line=content.count(b"\n", 0, offset) + 1,
        column=len(before.removeprefix("\ufeff")) + 1,
    )
