"""The devices that an account or an approval names: in its document and in device files.

Owns: how they are collected, and the place of each. Must not: touch a disk (``DeviceFiles`` reads a ``Tree``).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from reconciler.core.errors import quoted
from reconciler.core.model import DeviceId
from reconciler.desired.device_files import DeviceFiles, Listed
from reconciler.desired.diagnostics import Notes, Where
from reconciler.desired.documents import Unreadable
from reconciler.desired.parser import Reading
from reconciler.desired.positions import Loc
from reconciler.desired.schema import AccountTable, ApprovalTable, DocumentTable, IdList, id_of

RUN_RESOLVE = "run pcc-reconciler resolve"


@dataclass(frozen=True, slots=True)
class Collected:
    """The devices of one account or approval, which is at ``loc`` in its document.

    ``listed`` are those of the document and its device files. ``lock`` is the lock file, where there is one; ``ids``
    are all.
    """

    reading: Reading
    loc: Loc
    inline: IdList
    lists: tuple[Listed, ...]
    listed: frozenset[DeviceId]
    ids: frozenset[DeviceId]
    lock: Listed | None = None

    def where(self, wanted: AbstractSet[str]) -> Iterator[tuple[DeviceId, Where]]:
        """Find every place of some ids, in the order of the document."""
        if not self.inline.ids.isdisjoint(wanted):
            for index, entry in enumerate(self.inline.entries):
                if entry is not None and id_of(entry) in wanted:
                    yield id_of(entry), self.reading.at(*self.loc, "devices", index)
        for listed in (*self.lists, *(() if self.lock is None else (self.lock,))):
            if not listed.ids.isdisjoint(wanted):
                yield from listed.where(wanted)

    def first(self, wanted: AbstractSet[str]) -> dict[DeviceId, Where]:
        """Find the first place of some ids."""
        found: dict[DeviceId, Where] = {}
        for device, where in self.where(wanted):
            found.setdefault(device, where)
        return found

    def listed_twice(self) -> Iterator[tuple[Where, Where]]:
        """Find each place at which a device is listed again, with its first place. The lock does not count."""
        if len(self.inline) + sum(len(listed.ids) for listed in self.lists) == len(self.listed):
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
        for device, where in replace(self, lock=None).where(twice):
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
    lock = _lock(reading, table, loc, files, notes) if isinstance(table, AccountTable) else None
    if lock is not None:
        lists.pop(lock.path, None)  # a pattern may match the lock, too
    beside = _union([inline.ids, *(one.ids for one in lists.values())])
    ids = beside if lock is None else _union([beside, lock.ids])
    return Collected(reading, loc, inline, tuple(lists.values()), beside, ids, lock)


def _union(sets: Sequence[frozenset[DeviceId]]) -> frozenset[DeviceId]:
    """Return all devices of some sets: the set itself where only one has any, so that it is in memory once."""
    sources = [ids for ids in sets if ids]
    return sources[0] if len(sources) == 1 else frozenset[DeviceId]().union(*sources)


def _lock(
    reading: Reading, table: AccountTable, loc: Loc, files: DeviceFiles, notes: Notes
) -> Listed | None:
    """Read the lock of an account. A lock that is not there yet is what ``resolve`` is for."""
    if table.locked is None:
        return None
    where = reading.at(*loc, "locked")
    for listed in _matched(reading, table.locked, where, files, notes, missing=notes.unresolve):
        return listed
    return None


def _matched(
    reading: Reading,
    pattern: str,
    where: Where,
    files: DeviceFiles,
    notes: Notes,
    *,
    missing: Callable[[Where, str], None] | None = None,
) -> Iterator[Listed]:
    """Read the files that match a pattern; their faults are faults of the document that names them.

    ``missing`` notes where there is no file, if that is not a fault like others.
    """
    try:
        found = files.find(posixpath.dirname(reading.path), posixpath.normpath(pattern))
    except Unreadable as error:
        notes.fault(where, quoted(str(error)))
        return
    if not found and missing is not None:
        missing(where, f"there is no such file yet: {RUN_RESOLVE}")
    elif not found:
        notes.fault(where, "no file matches this pattern")
    for path, listed in found.items():
        if isinstance(listed, Unreadable):
            notes.fault(where, f"{quoted(path)}: {quoted(str(listed))}")
        else:
            notes.device_files.add(path)
            notes.faults += listed.faults
            notes.warnings += listed.warnings
            yield listed
