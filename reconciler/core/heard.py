"""What arriving events prove about subscriptions.

Owns: which devices an event contradicts LG's list about, which were heard of after we unsubscribed them, and from when
on silence means something. Pure: moments are arguments.
Must not: hold or cause a change. Whoever has the callback's secret can forge an event; it is shown, it alerts, and it
wakes an account, and that is all.

LG's subscriptions are known to end without a word, for days, while lists look well (home-assistant/core #179908). An
event of a device that the list lacks is the only positive evidence that a list is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush, heapreplace

from reconciler.core.model import DeviceId

LATE = timedelta(seconds=60)
"""An event that was diagnosed this soon after the first list without the device may be of the time before."""
CONTRADICTED_FOR = timedelta(hours=24)
"""Without a new event a device counts as contradicted for this long."""
AFTER_UNSUBSCRIBE = timedelta(hours=1)
"""LG may send what was under way when it confirmed an unsubscribe; what was diagnosed later than this was not."""
FEWEST_EVENTS = 20
"""Below this number nobody knows how often events come."""
RECENT = timedelta(hours=24)
"""Devices that were heard of within this time are counted."""
LONGEST_MEMORY = timedelta(weeks=8)
SHORTEST_SILENCE = timedelta(hours=26)
"""Nights and quiet days are shorter than this."""
IMPROBABLE = 7.0
"""If events come independently, none comes for 7 / rate by chance less than once in 1,000 times: e^-7 = 0.0009."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event, as a receiver lists it. ``diagnosed`` is LG's date, and missing where LG gave none."""

    id: str
    device: DeviceId
    received: datetime
    diagnosed: datetime | None = None
    push_type: str = ""
    diagnosis: str | None = None
    category: str | None = None

    @property
    def at(self) -> datetime:
        """Return the earlier of both dates: an event says nothing about the time after it was diagnosed."""
        return self.received if self.diagnosed is None else min(self.diagnosed, self.received)


class ListWatch:
    """What the trusted lists of one account lack of what is desired, and what events say about that.

    A device is contradicted if an event of it is later than the first of an unbroken run of lists without it, and LG
    confirmed neither a new subscription nor an unsubscribe since. That LG calls a device "subscribed already" says the
    same as the event, and changes nothing here.
    """

    def __init__(self) -> None:
        self._lacking: dict[DeviceId, datetime] = {}
        self._contradicted: dict[DeviceId, datetime] = {}

    def listed(self, began: datetime, lacking: Iterable[DeviceId]) -> None:
        """Take a trusted list that was asked for at ``began``, and what it lacks of what is desired."""
        self._lacking = {device: self._lacking.get(device, began) for device in lacking}
        for device in self._contradicted.keys() - self._lacking.keys():
            del self._contradicted[device]

    def subscribed(self, device: DeviceId) -> None:
        """Take a subscribe that LG answered with success: events from now on are what it brought."""
        self._lacking.pop(device, None)

    def unsubscribed(self, device: DeviceId) -> None:
        """Take an unsubscribe of ours."""
        self._lacking.pop(device, None)
        self._contradicted.pop(device, None)

    def heard(self, event: Heard) -> bool:
        """Take an event; return whether it contradicts the list."""
        since = self._lacking.get(event.device)
        if since is None or event.at <= since + LATE:
            return False
        before = self._contradicted.get(event.device)
        self._contradicted[event.device] = max(before or event.received, event.received)
        return True

    def contradicted(self, now: datetime) -> frozenset[DeviceId]:
        """Return the devices that events contradict the list about."""
        over = now - CONTRADICTED_FOR
        return frozenset(device for device, at in self._contradicted.items() if at > over)


def after_unsubscribe(event: Heard, confirmed: datetime) -> bool:
    """Say whether an event was diagnosed so long after LG confirmed our unsubscribe that it should not exist."""
    return event.at > confirmed + AFTER_UNSUBSCRIBE


@dataclass(frozen=True, slots=True)
class HeardOfAccount:
    """What was heard of the devices of one account. ``recent`` is the number of devices within 24 hours.

    ``contradicted`` are the devices that events contradict LG's list about. ``after_unsubscribe`` is the number of
    events within 24 hours of devices that we had unsubscribed.
    """

    last: Heard | None = None
    recent: int = 0
    contradicted: frozenset[DeviceId] = frozenset()
    after_unsubscribe: int = 0


class RecentDevices:
    """The number of devices that were heard of within 24 hours. Each has one place, however often it speaks."""

    def __init__(self) -> None:
        self._latest: dict[DeviceId, datetime] = {}
        self._oldest: list[tuple[datetime, DeviceId]] = []

    def heard(self, device: DeviceId, received: datetime) -> None:
        """Take an event, in whatever order they come."""
        before = self._latest.get(device)
        if before is None:
            heappush(self._oldest, (received, device))
        self._latest[device] = received if before is None else max(before, received)

    def number(self, now: datetime) -> int:
        """Return the number of devices, and forget those that were heard of earlier."""
        over = now - RECENT
        while self._oldest and self._oldest[0][0] <= over:
            _, device = self._oldest[0]
            latest = self._latest[device]
            if latest > over:
                heapreplace(self._oldest, (latest, device))
            else:
                heappop(self._oldest)
                del self._latest[device]
        return len(self._latest)


class Silence:
    """How often events come, over all receivers, and how long a silence has to last to mean something."""

    def __init__(self) -> None:
        self._hours: dict[datetime, int] = {}
        self._last: datetime | None = None

    @property
    def last(self) -> datetime | None:
        """Return when the last event was received, if any was."""
        return self._last

    def heard(self, received: datetime) -> None:
        """Take one event, in any order. Those of one hour are counted together: the memory is bounded."""
        hour = received.replace(minute=0, second=0, microsecond=0)
        self._hours[hour] = self._hours.get(hour, 0) + 1
        self._last = received if self._last is None else max(self._last, received)

    def meaningful(self, now: datetime) -> timedelta | None:
        """Return how long nothing has to come for that to mean something; None while too few events are known."""
        over = now - LONGEST_MEMORY
        self._hours = {hour: number for hour, number in self._hours.items() if hour >= over}
        number = sum(self._hours.values())
        if number < FEWEST_EVENTS:
            return None
        span = now - min(self._hours)
        return max(span * (IMPROBABLE / number), SHORTEST_SILENCE)
