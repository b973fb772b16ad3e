"""What the spool has to know, told a second time: plain values, and none of the program's own code.

It follows docs/events.md: what is a duplicate, where an event goes, in which order, and what goes when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

BODIES, KEYS, QUARANTINE = timedelta(hours=1), timedelta(hours=4), timedelta(hours=2)
SELF_TESTS = timedelta(days=1)


@dataclass
class Way:
    """Where one event is on its way to one sink. ``due`` is None behind an earlier event of the device."""

    state: str = "pending"
    due: datetime | None = None
    attempts: int = 0


@dataclass
class Event:
    """One event. ``spent``: nobody needs it since then. ``key`` is what tells duplicates."""

    seq: int
    key: object
    device: str | None
    is_diagnosis: bool
    fate: str
    received: datetime
    body: bool = True
    account: str | None = None
    message_id: str | None = None
    duplicates: int = 0
    spent: datetime | None = None
    ways: dict[str, Way] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Return where it is as a whole."""
        if self.fate != "kept":
            return self.fate
        states = {way.state for way in self.ways.values()}
        return next((one for one in ("pending", "dead", "erased") if one in states), "delivered")

    def settle(self, now: datetime) -> None:
        """Say that nobody needs it any more, once each sink has it."""
        if self.spent is None and all(way.state == "delivered" for way in self.ways.values()):
            self.spent = now


class SpoolModel:
    """Every event that is kept, by its seq."""

    def __init__(self) -> None:
        self.events: dict[int, Event] = {}
        self.last_seq = 0

    @property
    def shown(self) -> list[Event]:
        """Return what lists show, newest first."""
        kept = sorted(self.events.items(), reverse=True)
        return [event for _, event in kept if event.fate != "self_test"]

    def found(self, key: object) -> Event | None:
        """Return the event with a key."""
        return next((one for one in self.events.values() if one.key == key), None)

    def store(
        self, key: object, device: str | None, fate: str, sinks: Iterable[str], now: datetime
    ) -> bool:
        """Take what arrived; return whether it is new."""
        before = self.found(key)
        if before is not None:
            before.duplicates += 1
            return False
        self.last_seq += 1
        is_diagnosis = isinstance(key, tuple) and key[0] == "PCC_EVENT"
        event = Event(self.last_seq, key, device, is_diagnosis, fate, now)
        self.events[event.seq] = event
        for sink in sinks:
            self.add(event, sink, now)
        if fate == "unrouted" and not is_diagnosis:
            event.spent = now
        return True

    def add(self, event: Event, sink: str, now: datetime) -> None:
        """Let an event go to a sink, behind the earlier ones of its device."""
        waits = any(one.seq < event.seq for one in self.lane(sink, event.device))
        event.ways[sink] = Way(due=None if waits else now)
        event.spent = None

    def lane(self, sink: str, device: str | None) -> list[Event]:
        """Return the events of a device that wait for a sink, in order."""
        return [
            event
            for _, event in sorted(self.events.items())
            if event.device == device and sink in event.ways and event.ways[sink].state == "pending"
        ]

    def due(self, sink: str, now: datetime) -> list[int]:
        """Return what is due in order: of each device the first."""
        devices = {event.device for event in self.events.values() if sink in event.ways}
        heads = [lane[0] for one in devices if (lane := self.lane(sink, one))]
        times = {event.seq: event.ways[sink].due for event in heads}
        return sorted(seq for seq, due in times.items() if due is not None and due <= now)

    def due_anyhow(self, sink: str, now: datetime) -> list[int]:
        """Return what is due where there is no order: nobody waits behind an earlier event."""
        found = []
        for seq, event in sorted(self.events.items()):
            way = event.ways.get(sink)
            if way is not None and way.state == "pending" and (way.due is None or way.due <= now):
                found.append(seq)
        return found

    def ended(self, seq: int, sink: str, result: str, now: datetime, again: datetime) -> None:
        """Take how an attempt ended."""
        event = self.events[seq]
        way = event.ways[sink]
        way.attempts += 1
        if result == "retry":
            way.due = again
            return
        way.state, way.due = result, None
        self.go_on(sink, event.device, now)
        event.settle(now)

    def go_on(self, sink: str, device: str | None, now: datetime) -> None:
        """Let the next event of a device have its turn."""
        for first in self.lane(sink, device)[:1]:
            first.ways[sink].due = first.ways[sink].due or now

    def replay(
        self, sink: str, since: datetime, states: Collection[str], device: str | None, now: datetime
    ) -> list[int]:
        """Make events due again that ended at a sink; return their seqs."""
        taken = []
        for seq, event in sorted(self.events.items()):
            way = event.ways.get(sink)
            if way is None or way.state not in states or not self._fits(event, since, device):
                continue
            taken.append(seq)
            self.add(event, sink, now)
        return taken

    def reroute(
        self, sink: str, since: datetime, device: str | None, going: Collection[str], now: datetime
    ) -> list[int]:
        """Send events to a sink that never went there; ``going`` are the devices whose events go there today."""
        taken = []
        for seq, event in sorted(self.events.items()):
            apart = event.fate not in {"kept", "unrouted"} or sink in event.ways
            if apart or event.device not in going or not self._fits(event, since, device):
                continue
            taken.append(seq)
            self.add(event, sink, now)
            event.fate = "kept"
        return taken

    @staticmethod
    def _fits(event: Event, since: datetime, device: str | None) -> bool:
        return event.body and event.received >= since and device in {None, event.device}

    def erase(self, device: str, now: datetime) -> int:
        """Forget a device; return the number of its events."""
        found = [event for event in self.events.values() if event.device == device]
        for event in found:
            states = {way.state for way in event.ways.values()}
            for way in event.ways.values():
                way.due = None
                way.state = way.state if way.state == "delivered" else "erased"
            if states != {"delivered"}:
                event.fate = "erased"
            event.device = event.account = event.message_id = None
            event.body, event.spent = False, now
        return len(found)

    def expire(self, now: datetime) -> None:
        """Let go of what is old."""
        for seq, event in list(self.events.items()):
            if event.spent is not None and event.spent < now - BODIES:
                event.body = False
            if event.fate == "quarantined" and event.body and event.received < now - QUARANTINE:
                event.body, event.spent = False, event.received
            old_test = event.fate == "self_test" and event.received < now - SELF_TESTS
            spent = not event.body and event.spent is not None and event.spent < now - KEYS
            if old_test or spent:
                del self.events[seq]

    def counts(self) -> Counter[tuple[str, str]]:
        """Count by sink and state; what has no sink counts under none."""
        counts = Counter[tuple[str, str]]()
        for event in self.events.values():
            counts.update((sink, way.state) for sink, way in event.ways.items())
            if not event.ways and event.fate in {"unrouted", "quarantined", "erased"}:
                counts["", event.fate] += 1
        return counts
