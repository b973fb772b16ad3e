"""Since when devices are absent from the accepted revisions.

Owns: the answer for each device that may have to go, without a map of all of them.
Must not: decide whether a device goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.model import DeviceId


@dataclass(frozen=True, slots=True, eq=False)
class Absences(Mapping[DeviceId, datetime]):
    """Since when each device that may have to go is absent from the accepted revisions.

    A device that left a revision is absent since then, even if it was in no list for so long that it is no longer ours.
    A live device that no remembered revision named counts as absent since the first one. There may be as many as live
    devices, so they are computed on access, not stored.
    """

    left: Mapping[DeviceId, datetime]
    disowned: Mapping[DeviceId, datetime]
    live: frozenset[DeviceId]
    inventory: frozenset[DeviceId]
    texts_since: datetime

    def __getitem__(self, device: DeviceId) -> datetime:
        since = self.left.get(device)
        if since is not None:
            return since
        if device in self.live and device not in self.inventory:
            return self.disowned.get(device, self.texts_since)
        raise KeyError(device)

    def __iter__(self) -> Iterator[DeviceId]:
        yield from self.left
        yield from self.live - self.inventory

    def __len__(self) -> int:
        return len(self.left) + len(self.live - self.inventory)
