"""The files that the partner writes for events: the events file, and the Logic Table beside it.

Owns: reading them together from disk, and judging them as one: a sink without its table would get half.
Must not: know whether they are in force.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from reconciler.core.errors import Fault
from reconciler.desired import Unreadable
from reconciler.events.config import EventsConfig, read_config
from reconciler.events.logic import LogicTable
from reconciler.events.logic_reading import is_table_file, read_logic
from reconciler.source import Look, Signature, read_file, signature

MOST_NAMES = 10_000
"""At most this many names are looked at in the folder of a table."""


class Files(msgspec.Struct, frozen=True):
    """The bytes of the events file and of its Logic Table, as they were read together.

    ``logic`` and ``unreadable`` are by the names of files in the table's folder.
    """

    path: str
    events: bytes
    logic: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the partner wants: sinks, filters, retention, and what diagnoses mean."""

    config: EventsConfig = field(default_factory=EventsConfig)
    table: LogicTable = field(default_factory=LogicTable)


@dataclass(frozen=True, slots=True)
class Judged:
    """What files come to. ``rules`` is None where there is a fault."""

    rules: Rules | None
    faults: Sequence[Fault] = ()
    warnings: Sequence[Fault] = ()


def read_files(path: Path) -> Files | str:
    """Return the events file and the files of its table, or why there is no events file. May block on the disk."""
    try:
        events = read_file(str(path))
    except Unreadable as error:
        return str(error)
    folder = read_config(str(path), events).logic
    if folder is None:
        return Files(str(path), events)
    logic: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    for name in _table_files(folder):
        try:
            logic[name] = read_file(str(folder / name))
        except Unreadable as error:
            unreadable[name] = str(error)
    return Files(str(path), events, logic, unreadable)


class FilesReader:
    """Reads the files again and again, and only where one of them looks different than before."""

    def __init__(self, path: Path, look: Look = signature) -> None:
        self._path, self._look = path, look
        self._found: Files | str | None = None
        self._folder: Path | None = None
        self._seen: list[tuple[str, Signature]] = []

    def read(self) -> Files | str:
        """Return what ``read_files`` returns. May block on the disk."""
        seen = self._signatures()
        if self._found is None or seen != self._seen:
            self._found, self._seen = read_files(self._path), seen
            self._folder = _folder_of(self._found)
        return self._found

    def _signatures(self) -> list[tuple[str, Signature]]:
        """Return how the files look now: a table that was named anew looks different at the next look."""
        paths = [self._path]
        if self._folder is not None:
            paths += [self._folder / name for name in _table_files(self._folder)]
        return [(str(path), self._look(str(path))) for path in paths]


def _folder_of(found: Files | str) -> Path | None:
    return read_config(found.path, found.events).logic if isinstance(found, Files) else None


def judged_at(path: Path) -> Judged:
    """Return what the files at a path come to; a missing one is a fault. May block on the disk."""
    files = read_files(path)
    if isinstance(files, str):
        return Judged(None, (Fault(str(path), 0, 0, files),))
    return judged(files)


def judged(files: Files) -> Judged:
    """Return the rules that files make, or every fault in them. They are one failure domain."""
    events = read_config(files.path, files.events)
    table: LogicTable | None = LogicTable()
    faults, warnings = events.faults, events.warnings
    if events.logic is not None:
        logic = read_logic(str(events.logic), files.logic, events.locales, files.unreadable)
        table = logic.table
        faults, warnings = (*faults, *logic.faults), (*warnings, *logic.warnings)
    if events.config is None or table is None:
        return Judged(None, faults, warnings)
    return Judged(Rules(events.config, table), (), warnings)


def _table_files(folder: Path) -> list[str]:
    """Return the names of files that may belong to a table; none where the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MOST_NAMES)]
    except OSError:
        return []
    return sorted(name for name in names if is_table_file(name))
