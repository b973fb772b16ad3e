"""Large sets and maps of devices that take many small edits.

Owns: when a set is built again, and that a set that was given out never changes.
Must not: know what the devices mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Generic, TypeVar

from reconciler.core.model import NOTHING, DeviceId

Value = TypeVar("Value")


class Members:
    """A frozen set that takes many small edits and is built again only on demand."""

    __slots__ = ("_edits", "_frozen")

    def __init__(self, devices: frozenset[DeviceId] = frozenset()) -> None:
        self._frozen = devices
        self._edits: dict[DeviceId, bool] = {}

    def get(self) -> frozenset[DeviceId]:
        """Return the set; the same object until something changes."""
        if self._edits:
            there = {device for device, present in self._edits.items() if present}
            self._frozen = (self._frozen | there) - (self._edits.keys() - there)
            self._edits = {}
        return self._frozen

    def put(self, device: DeviceId, *, present: bool) -> None:
        """Add or remove one device."""
        self._edits[device] = present

    def become(self, devices: frozenset[DeviceId]) -> None:
        """Replace the content by this set, and keep this object."""
        self._frozen, self._edits = devices, {}


class Shelf(Generic[Value]):
    """Facts by device. A map that was given out never changes."""

    __slots__ = ("_facts", "_lent", "_names")

    def __init__(self, facts: dict[DeviceId, Value] | None = None) -> None:
        self._facts = {} if facts is None else facts
        self._names: frozenset[DeviceId] | None = None
        self._lent = False

    def lend(self) -> Mapping[DeviceId, Value]:
        """Return the present facts."""
        self._lent = True
        return MappingProxyType(self._facts)

    def names(self) -> frozenset[DeviceId]:
        """Return the devices that have a fact."""
        if self._names is None:
            self._names = frozenset(self._facts) or NOTHING
        return self._names

    def mine(self) -> dict[DeviceId, Value]:
        """Return the facts for change."""
        if self._lent:
            self._facts, self._lent = dict(self._facts), False
        self._names = None
        return self._facts

    def become(self, facts: dict[DeviceId, Value]) -> None:
        """Replace the facts by these, and keep this object. What was given out stays as it is."""
        self._facts, self._names, self._lent = facts, None, False

    def look(self) -> dict[DeviceId, Value]:
        """Return the facts, not to be changed and not to be kept."""
        return self._facts


def cap(shelf: Shelf[datetime], now: datetime) -> None:
    """Move dates in the future to ``now``."""
    late = [device for device, at in shelf.look().items() if at > now]
    if late:
        shelf.mine().update(dict.fromkeys(late, now))
