"""Where the devices of an account are, beside the desired state.

Owns: the position of one device or of all, and their counts. Must not: have rules of its own: the planner's truth table
says it, by the revision in force and the list that LG gave last, with our changes since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from reconciler.core.model import NOTHING, Desired, DeviceId, Memory
from reconciler.core.planner import partition
from reconciler.reporting.explain import Position


class Positions:
    """The position of each device of one account at one moment. ``theirs`` is LG's time where it differs."""

    def __init__(
        self, desired: Desired, memory: Memory, now: datetime, theirs: datetime | None = None
    ) -> None:
        self._devices, self._live = desired.devices, memory.expected
        live = memory.expected or NOTHING
        self._parts = partition(desired, live, memory.inventory, now, theirs=theirs)

    @property
    def known(self) -> bool:
        """Whether LG ever gave a list that was trusted."""
        return self._live is not None

    @property
    def devices(self) -> frozenset[DeviceId]:
        """Return every device that an entry names or that is live."""
        live = self._live or NOTHING
        return self._devices if live is self._devices else self._devices | live

    def those(self, position: Position) -> frozenset[DeviceId] | None:
        """Return the devices with a position; None for those in sync, of which no set is kept."""
        parts = self._parts
        if self._live is None:
            return self._devices if position is Position.UNKNOWN else NOTHING
        if position is Position.ABSENT:
            return self.absent()
        return {
            Position.MISSING: parts.missing,
            Position.EXTRA: parts.extra,
            Position.UNMANAGED: parts.unmanaged,
            Position.IGNORED: parts.ignored,
            Position.UNKNOWN: NOTHING,
        }.get(position)

    def absent(self) -> frozenset[DeviceId]:
        """Return the devices that an entry names and that are neither wanted now nor live."""
        if self._live is None or self._parts.wanted is self._devices:
            return NOTHING
        return self._devices - self._parts.wanted - self._live

    def all(self) -> Iterator[tuple[DeviceId, Position]]:
        """Yield every device that an entry names or that is live, with its position."""
        for device in self._devices:
            yield device, self.of(device)
        for device in self._live or NOTHING:
            if device not in self._devices:
                yield device, self.of(device)

    def of(self, device: DeviceId) -> Position:
        """Return the position of a device."""
        parts = self._parts
        if self._live is None:
            return Position.UNKNOWN
        if device in parts.ignored:
            return Position.IGNORED
        if device in parts.missing:
            return Position.MISSING
        if device in parts.extra:
            return Position.EXTRA
        if device in parts.unmanaged:
            return Position.UNMANAGED
        return Position.IN_SYNC if device in parts.wanted else Position.ABSENT

    def counts(self) -> Mapping[Position, int]:
        """Count the devices by their position, but for those that are absent. No device is looked at."""
        if self._live is None:
            return {Position.UNKNOWN: len(self._devices)}
        parts = self._parts
        return {
            Position.IN_SYNC: parts.in_sync,
            Position.MISSING: len(parts.missing),
            Position.EXTRA: len(parts.extra),
            Position.UNMANAGED: len(parts.unmanaged),
            Position.IGNORED: len(parts.ignored),
        }


def position(
    device: DeviceId,
    desired: Desired,
    memory: Memory,
    now: datetime,
    theirs: datetime | None = None,
) -> Position:
    """Return the position of one device, without a look at the others."""
    one = frozenset({device})
    entry = desired.described.get(device)
    narrow = replace(
        desired,
        devices=desired.devices & one,
        described={} if entry is None else {device: entry},
    )
    live = None if memory.expected is None else memory.expected & one
    alone = Memory(inventory=memory.inventory & one, expected=live)
    return Positions(narrow, alone, now, theirs).of(device)
