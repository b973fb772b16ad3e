"""All devices of one account in their one order, each with its state.

Owns: the order of devices, what a place in it is and how it is written, what each device's state is in one word, and
how the devices with a word in the name or id are found. Must not: have rules of its own about what is wanted or held:
the planner and the guards are asked.

Devices with a name come first, by name; then the others, by id. So an answer goes on where the last one ended, whatever
happened in between, and of a million devices only ids are kept. Meant for a worker thread.
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from operator import is_

from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import ReconcilerError
from reconciler.core.guards import Platform
from reconciler.core.model import (
    AccountName,
    Change,
    DeviceId,
    Held,
    Memory,
    Reason,
    Retry,
)
from reconciler.core.status import AccountStatus
from reconciler.reporting.explain import Facts, Position, judged_now
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.positions import Positions

FRESH = timedelta(seconds=30)
"""The devices of an account are put in order anew after this time: dates and waits may have come since."""
TOGETHER = 1000
"""The words of this number of devices are searched at once, which is much faster than one by one."""
NO_PLACE = "after must be the next of an earlier answer"
SPARSE = 8
"""If a state has fewer than one in this many devices, they are sorted; else they are met soon on the way."""


class DeviceState(StrEnum):
    """The state of a device in one word, those that need a look first."""

    HELD = "held"
    REFUSED = "refused"
    MISSING = "missing"
    EXTRA = "extra"
    UNKNOWN = "unknown"
    IN_SYNC = "in_sync"
    UNMANAGED = "unmanaged"
    IGNORED = "ignored"
    ABSENT = "absent"


CHANGING = frozenset({Position.MISSING, Position.EXTRA})
"""Where a change is due, which may be held."""

Key = tuple[bool, str, str]
"""What sorts the devices of one account: those with a name first."""
Place = tuple[str, bool, str, str]
"""A device in an answer that has several parts, each in order: the name of the part, and the key in it."""


def place_text(part: str, key: Key) -> str:
    """Return a place as a word for an address."""
    return base64.urlsafe_b64encode(json.dumps([part, *key]).encode()).decode().rstrip("=")


def place(text: str) -> Place:
    """Read a place; raises ``ReconcilerError`` where it is none."""
    try:
        match json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))):
            case [str(part), bool(plain), str(name), str(device)]:
                return part, plain, name, device
    except (ValueError, RecursionError, binascii.Error):
        pass
    raise ReconcilerError(NO_PLACE)


class Roster:
    """All devices of one account, and what their states follow from."""

    def __init__(
        self, text: AccountRevision, positions: Positions, held: Mapping[DeviceId, Held]
    ) -> None:
        self.text, self.positions, self.held = text, positions, held
        self._described = text.desired.described
        self.order: Sequence[DeviceId] = self._ordered()
        self.counts: Mapping[str, int] = self._counted()
        """All devices by their relation to the file, and those that are held or refused once more."""

    def _ordered(self) -> Sequence[DeviceId]:
        every = self.positions.devices
        described = self._described.values()
        named = [entry.id for entry in described if entry.name and entry.id in every]
        named.sort(key=self.key)
        return [*named, *sorted(every.difference(named))]

    def key(self, device: DeviceId) -> Key:
        """Return what sorts a device."""
        entry = self._described.get(device)
        name = entry.name if entry is not None and entry.name else ""
        return not name, name, device

    def state(self, device: DeviceId) -> DeviceState:
        """Return the state of a device."""
        position = self.positions.of(device)
        held = self.held.get(device)
        if held is None or position not in CHANGING:
            return DeviceState(position)
        return DeviceState.REFUSED if held.reason is Reason.REFUSED else DeviceState.HELD

    def has(self, device: DeviceId, states: frozenset[str]) -> bool:
        """Say whether a device is in one of these states. One that is held is missing or extra all the same."""
        return self.state(device) in states or self.positions.of(device) in states

    def _counted(self) -> Counter[str]:
        counts = Counter({str(one): count for one, count in self.positions.counts().items()})
        counts[Position.ABSENT] = len(self.positions.absent())
        for device in self.held:
            state = self.state(device)
            if state in {DeviceState.HELD, DeviceState.REFUSED}:
                counts[state] += 1
        return counts

    def following(self, key: Key | None) -> Iterator[DeviceId]:
        """Yield the devices after a key, in order; all of them where it is None."""
        begin = 0 if key is None else bisect_right(self.order, key, key=self.key)
        for at in range(begin, len(self.order)):
            yield self.order[at]

    def at(self, position: Position, key: Key | None = None) -> Iterator[DeviceId]:
        """Yield the devices with this position after a key, in order."""
        few = self.positions.those(position)
        if few is not None and SPARSE * len(few) < len(self.order):
            for device in sorted(few, key=self.key):
                if key is None or self.key(device) > key:
                    yield device
            return
        for device in self.following(key):
            if self.positions.of(device) is position:
                yield device

    def with_words(self, words: str) -> Iterator[DeviceId]:
        """Yield the devices that have these words in the name or id, whatever the case, in order."""
        words = words.casefold()
        for start in range(0, len(self.order), TOGETHER):
            some = self.order[start : start + TOGETHER]
            spoken = [f"{self.key(device)[1]}\n{device}" for device in some]
            if words not in "\n".join(spoken).casefold():
                continue
            for device, both in zip(some, spoken, strict=True):
                name, _, _ = both.partition("\n")
                if words in name.casefold() or words in device.casefold():
                    yield device


@dataclass(slots=True)
class Rosters:
    """Makes rosters and keeps the last: whoever reads on asks for the same account again."""

    _kept: tuple[object, ...] = ()
    _retries: Mapping[DeviceId, Retry] = field(default_factory=dict)
    _roster: Roster | None = None
    _until: datetime | None = None

    def of(self, known: Knowledge, name: AccountName) -> Roster:
        """Return the roster of an account that is in force."""
        standing = known.statuses.get(name, AccountStatus(name))
        text = known.accepted.accounts[name]
        memory = known.state.accounts.recall(name, known.now)
        made_of = (text, standing.last, memory.expected)
        same = self._retries == memory.retries and all(map(is_, self._kept, made_of))
        fresh = self._until is not None and known.now < self._until
        if self._roster is None or not same or not fresh:
            positions = Positions(text.desired, memory, known.now, known.theirs(name))
            self._roster = Roster(text, positions, _held(known, name, text, standing, memory))
            self._kept, self._retries = made_of, memory.retries
            self._until = known.now + FRESH
        return self._roster


def _held(
    known: Knowledge,
    name: AccountName,
    text: AccountRevision,
    standing: AccountStatus,
    memory: Memory,
) -> Mapping[DeviceId, Held]:
    """Return what holds the changes of an account, as ``explain`` would say it of each device."""
    facts = Facts(
        account=name,
        device=DeviceId(""),
        now=known.now,
        text=text,
        memory=memory,
        ending=standing.last,
        pause_override=known.state.pauses.of(name, known.now),
        openings=known.openings_of(known.accepted.accounts.get(name)),
        observing=known.observing,
        platform=known.platforms.get(name, Platform()),
        claims=known.claims,
        theirs=known.theirs(name),
    )
    _judged, held = judged_now(facts, text)
    found = {one.change.device: one for one in held}
    for device, retry in memory.retries.items():
        if retry.until > known.now and device not in found:
            found[device] = Held(Change(name, retry.action, device), retry.reason, retry.until)
    return found
