"""What people call devices, from memory, from the groups that wait to be written, from the storage, and from LG.

Owns: which of them knows the last name of a device. LG's name counts only where the desired state never had one; it is
kept in memory and never written. Must not: change anything else, or fail: names are for people only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import islice

from reconciler.core.errors import StateError
from reconciler.core.memory import DeviceNames
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.text import one_line
from reconciler.state.memories import Memories
from reconciler.state.port import Known, Names
from reconciler.state.records import Group
from reconciler.state.write_behind import WriteBehind

MOST, LONGEST = 100_000, 200
"""How many of LG's names are kept for an account, and how many characters of each."""


class NameStore(Names):
    """The names, over the shared memory and the write-behind."""

    def __init__(self, behind: WriteBehind, memories: Memories) -> None:
        self._behind, self._memories = behind, memories
        self._heard: dict[AccountName, DeviceNames] = {}

    def of(self, account: AccountName, devices: Collection[DeviceId]) -> DeviceNames:
        found = self._in_force(account, devices)
        others = [one for one in devices if one not in found]
        if not others:
            return found
        with self._behind.reading() as groups, suppress(StateError):
            found.update(self._behind.storage.names(account, others))
        found.update(_waiting(groups, account, frozenset(others)))
        heard = self._heard.get(account, {})
        for device in others:
            if device not in found and device in heard:
                found[device] = heard[device]
        return found

    def hear(self, account: AccountName, names: DeviceNames) -> None:
        # Words from outside: one line, so that as a comment in a file they stay a comment.
        shown = {device: one_line(name)[:LONGEST] for device, name in islice(names.items(), MOST)}
        self._heard[account] = {device: name for device, name in shown.items() if name}

    def heard_as(self, name: str, limit: int) -> frozenset[Known]:
        found: list[Known] = []
        for account, names in [*self._heard.items()]:
            found += _called(name, account, names)
        return frozenset(sorted(found)[:limit])

    def _in_force(self, account: AccountName, devices: Collection[DeviceId]) -> dict[DeviceId, str]:
        with self._behind.remembered.lock:
            known = self._memories.get(account)
            found: dict[DeviceId, str] = {}
            if known is not None:
                for device in devices:
                    name = known.names.of(device)
                    if name:
                        found[device] = name
            return found

    def once(self, name: str, limit: int) -> frozenset[Known]:
        found: set[Known] = set()
        with self._behind.reading() as groups, suppress(StateError):
            found.update(self._behind.storage.once_called(name, limit))
            found.update(self._about_to_end(name, groups))
        for group in groups:
            for past in group.pasts:
                if past.name == name:
                    found.add((past.account, past.device))
            for named in group.named:
                found.update(_called(name, named.account, named.names))
        first = sorted(found)[:limit]
        return frozenset(first)

    def _about_to_end(self, name: str, groups: Sequence[Group]) -> set[Known]:
        """Return the devices that have this name in the storage, while what ends it waits to be written."""
        found: set[Known] = set()
        for account, devices in _ending(groups).items():
            names = self._behind.storage.names(account, devices)
            found.update(_called(name, account, names))
        return found

    def once_like(self, prefix: str, limit: int) -> frozenset[str]:
        with self._behind.disk:
            try:
                return self._behind.storage.once_called_like(prefix, limit)
            except StateError:
                return frozenset()


def _called(name: str, account: AccountName, names: DeviceNames) -> set[Known]:
    found: set[Known] = set()
    for device, one in names.items():
        if one == name:
            found.add((account, device))
    return found


def _waiting(
    groups: Sequence[Group], account: AccountName, devices: frozenset[DeviceId]
) -> dict[DeviceId, str]:
    """Return the names of devices that wait to be written, the last one of each."""
    found = {}
    for group in groups:
        for named in group.named:
            if named.account == account:
                for device in devices & named.names.keys():
                    found[device] = named.names[device]
    return found


def _ending(groups: Sequence[Group]) -> dict[AccountName, set[DeviceId]]:
    """Return the devices whose name in the storage ends with what waits to be written."""
    ending = defaultdict[AccountName, set[DeviceId]](set)
    for group in groups:
        for named in group.named:
            ending[named.account].update(named.names)
            ending[named.account].update(named.ended)
        for moved in group.moved:
            ending[moved.account].update(moved.leaving)
    return ending
