"""The devices that an account or an approval names: in its document and in device files.

Owns: how they are collected, and the place of each. Must not: touch a disk (``DeviceFiles`` reads a ``Tree``).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from reconciler.core.errors import quoted
from reconciler.core.model import DeviceId
from reconciler.desired.device_files import DeviceFiles, Listed
from reconciler.desired.diagnostics import Notes, Where
from reconciler.desired.documents import Unreadable
from reconciler.desired.parser import Reading
from reconciler.desired.positions import Loc
from reconciler.desired.schema import AccountTable, ApprovalTable, DocumentTable, IdList, id_of


@dataclass(frozen=True, slots=True)
class Collected:
    """The devices of one account or approval, which is at ``loc`` in its document."""

    reading: Reading
    loc: Loc
    inline: IdList
    lists: tuple[Listed, ...]
    ids: frozenset[DeviceId]

    def where(self, wanted: AbstractSet[str]) -> Iterator[tuple[DeviceId, Where]]:
        """Find every place of some ids, in the order of the document."""
        if not self.inline.ids.isdisjoint(wanted):
            for index, entry in enumerate(self.inline.entries):
                if entry is not None and id_of(entry) in wanted:
                    yield id_of(entry), self.reading.at(*self.loc, "devices", index)
        for listed in self.lists:
            if not listed.ids.isdisjoint(wanted):
                yield from listed.where(wanted)

    def first(self, wanted: AbstractSet[str]) -> dict[DeviceId, Where]:
        """Find the first place of some ids."""
        found: dict[DeviceId, Where] = {}
        for device, where in self.where(wanted):
            found.setdefault(device, where)
        return found

    def listed_twice(self) -> Iterator[tuple[Where, Where]]:
        """Find each place at which a device is listed again, with its first place."""
        if len(self.inline) + sum(len(listed.ids) for listed in self.lists) == len(self.ids):
            return
        seen: set[DeviceId] = set()
        twice: set[DeviceId] = set()
        for entry in self.inline.entries:
            if entry is not None:
                device = id_of(entry)
                (twice if device in seen else seen).add(device)
        for listed in self.lists:
            twice |= seen & listed.ids
            seen |= listed.ids
        first: dict[DeviceId, Where] = {}
        for device, where in self.where(twice):
            if device in first:
                yield where, first[device]
            else:
                first[device] = where


def collect(
    reading: Reading,
    table: DocumentTable | AccountTable | ApprovalTable,
    loc: Loc,
    files: DeviceFiles,
    notes: Notes,
) -> Collected:
    """Gather the devices that a table names. A file that two patterns match counts once."""
    inline = table.devices or IdList()
    lists: dict[str, Listed] = {}
    for index, pattern in enumerate(table.device_files or ()):
        where = reading.at(*loc, "device_files", index)
        for listed in _matched(reading, pattern, where, files, notes):
            lists[listed.path] = listed
    sources = [ids for ids in (inline.ids, *(listed.ids for listed in lists.values())) if ids]
    ids = sources[0] if len(sources) == 1 else frozenset[DeviceId]().union(*sources)
    return Collected(reading, loc, inline, tuple(lists.values()), ids)


def _matched(
    reading: Reading, pattern: str, where: Where, files: DeviceFiles, notes: Notes
) -> Iterator[Listed]:
    """Read the files that match a pattern; their faults are faults of the document that names them."""
    try:
        found = files.find(posixpath.dirname(reading.path), posixpath.normpath(pattern))
    except Unreadable as error:
        notes.fault(where, quoted(str(error)))
        return
    if not found:
        notes.fault(where, "no file matches this pattern")
    for path, listed in found.items():
        if isinstance(listed, Unreadable):
            notes.fault(where, f"{quoted(path)}: {quoted(str(listed))}")
        else:
            notes.device_files.add(path)
            notes.faults += listed.faults
            notes.warnings += listed.warnings
            yield listed
