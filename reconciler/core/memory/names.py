"""The names of an account's devices, and which of them the state lacks.

Owns: what a new revision changes about names, and the mark by which names that were already written are known.
Must not: hold a name of its own. The names are those of the entries in force, which are in memory anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType

from reconciler.core.model import NOTHING, Device, DeviceId

DeviceNames = Mapping[DeviceId, str]
"""What people call devices."""
Entries = Mapping[DeviceId, Device]
NO_NAMES: DeviceNames = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Renamed:
    """What a new revision changes about names. ``ended`` are devices that have no name in it and had one before."""

    names: DeviceNames = field(default_factory=lambda: NO_NAMES)
    ended: frozenset[DeviceId] = NOTHING

    def __bool__(self) -> bool:
        return bool(self.names or self.ended)


class Names:
    """The names in the revision in force. ``mark`` identifies the names that were written last."""

    def __init__(self) -> None:
        self.mark: str | None = None
        self._entries: Entries | None = None

    def of(self, device: DeviceId) -> str | None:
        """Return the name of a device in the revision in force, if it has one there."""
        if self._entries is None:
            return None
        entry = self._entries.get(device)
        return None if entry is None else entry.name

    def protects(self, device: DeviceId) -> bool:
        """Say whether the entry in force says that its device is protected."""
        entry = None if self._entries is None else self._entries.get(device)
        return entry is not None and entry.protected is True

    def all(self) -> DeviceNames:
        """Return all names in the revision in force."""
        return _named(self._entries or {})

    def learn(self, entries: Entries) -> Renamed:
        """Apply a new revision; return the names to write.

        The first revision of a process is compared by its mark alone: usually nothing changed since the last one.
        """
        before, self._entries = self._entries, entries
        if before is entries:
            return Renamed()
        if before is None:
            mark = _mark(entries)
            if mark == self.mark:
                return Renamed()
            self.mark = mark
            return Renamed(_named(entries))
        renamed = _compared(before, entries)
        if renamed:
            self.mark = _mark(entries)
        return renamed


def _named(entries: Entries) -> DeviceNames:
    named = {}
    for device, entry in entries.items():
        if entry.name:
            named[device] = entry.name
    return named


def _compared(before: Entries, after: Entries) -> Renamed:
    names = {}
    for device, entry in after.items():
        if entry.name and _name(before, device) != entry.name:
            names[device] = entry.name
    ended = set()
    for device, entry in before.items():
        if entry.name and not _name(after, device):
            ended.add(device)
    return Renamed(names or NO_NAMES, frozenset(ended) or NOTHING)


def _name(entries: Entries, device: DeviceId) -> str | None:
    entry = entries.get(device)
    return None if entry is None else entry.name


def _mark(entries: Entries) -> str:
    """Return a mark of all names. It may also change when entries only change places: then they are written again."""
    words = []
    for device, entry in entries.items():
        if entry.name:
            words += [device, entry.name]
    joined = "\n".join(words).encode("utf-8", "surrogatepass")
    digest = sha256(joined).hexdigest()
    return digest[:16]
