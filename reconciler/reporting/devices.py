"""The list of devices: each with its state, page by page.

Owns: which devices are in the list, their state in one word, and their order. Must not: have rules of its own about
what is wanted or held: the planner and the guards are asked. It reads disks and is meant for a worker thread.

Accounts are listed by name. In an account, devices with a name come first, by name; then the others, by id. So an
answer goes on where the last one ended, whatever happened in between, and of a million devices only ids are kept.
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from operator import attrgetter, is_

from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import ReconcilerError, Unknown, quoted, suggestion
from reconciler.core.guards import Platform
from reconciler.core.model import (
    NOTHING,
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
from reconciler.reporting.heard import LastHeardReport, last_heard
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.parameters import insist_on_known, insist_on_values, limit, one_of
from reconciler.reporting.positions import Positions
from reconciler.reporting.queries import LONGEST_PAGE, PAGE

FRESH = timedelta(seconds=30)
"""The devices of an account are listed anew after this time: dates and waits may have come since."""


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


ATTENTION = (
    DeviceState.HELD,
    DeviceState.REFUSED,
    DeviceState.MISSING,
    DeviceState.EXTRA,
    DeviceState.UNKNOWN,
)
"""States that do not last, or that a person ends."""
CHANGING = frozenset({Position.MISSING, Position.EXTRA})
"""Where a change is due, which may be held."""
UNDATED = frozenset({Position.UNMANAGED, Position.IGNORED, Position.UNKNOWN})
"""Where a device is for no reason of ours, so nothing says since when."""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device of one account.

    ``since`` is when it came into this state, as far as that is known; ``reason`` is what holds it, ``until`` when that
    may end. ``last_heard`` is its last event, where receivers are asked.
    """

    account: str
    device: str
    name: str | None
    type: str | None
    state: str
    reason: str | None = None
    until: datetime | None = None
    since: datetime | None = None
    last_heard: LastHeardReport | None = None


@dataclass(frozen=True, slots=True)
class DeviceList:
    """A part of the list. ``counts``: all devices of the accounts asked for, by their relation to the file.

    ``next`` goes back in as ``after`` to get the following ones; None if these are all.
    """

    at: datetime
    counts: Mapping[str, int]
    devices: tuple[DeviceRow, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """Which devices are asked for. ``name`` is a part of a name, ``after`` the place of the last one before."""

    accounts: tuple[AccountName, ...] = ()
    states: frozenset[str] = frozenset(DeviceState)
    name: str = ""
    limit: int = PAGE
    after: tuple[AccountName, bool, str, str] | None = None


def listed(asked: Mapping[str, str]) -> Listed:
    """Read what is asked for; raises ``ReconcilerError`` with a sentence where it cannot be read."""
    insist_on_known(asked, ("account", "state", "name", "limit", "after"))
    insist_on_values(asked)
    states = set[str]()
    for word in asked.get("state", "").split(","):
        if word.strip():
            states.add(_state(word))
    return Listed(
        accounts=(AccountName(asked["account"]),) if "account" in asked else (),
        states=frozenset(states) or frozenset(DeviceState),
        name=asked.get("name", "").casefold(),
        limit=limit(asked["limit"], LONGEST_PAGE) if "limit" in asked else PAGE,
        after=_place(asked["after"]) if "after" in asked else None,
    )


def _state(word: str) -> str:
    state = word.strip().lower().replace(" ", "_").replace("-", "_")
    return one_of("state", state, [one.value for one in DeviceState])


@dataclass(frozen=True, slots=True)
class _Roster:
    """All devices of one account, in their order, and what their states follow from."""

    text: AccountRevision
    order: Sequence[DeviceId]
    positions: Positions
    held: Mapping[DeviceId, Held]

    def key(self, device: DeviceId) -> tuple[bool, str, str]:
        """Return the place of a device in the order."""
        entry = self.text.desired.described.get(device)
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

    def counts(self) -> Counter[str]:
        """Count all devices by their relation to the file."""
        return Counter({str(one): count for one, count in self.positions.counts().items()})


@dataclass(slots=True)
class Devices:
    """The list, of which one account's devices are kept in order: whoever reads on asks for the same account again."""

    _kept: tuple[object, ...] = ()
    _retries: Mapping[DeviceId, Retry] = field(default_factory=dict)
    _roster: _Roster | None = None
    _until: datetime | None = None
    _counted: dict[AccountName, tuple[object, Counter[str]]] = field(default_factory=dict)

    def page(self, known: Knowledge, asked: Listed) -> DeviceList:
        """Return one part of the list; raises ``Unknown`` for an account that is not known."""
        names = self._names(known, asked)
        counts = Counter[str]()
        for name in names:
            counts.update(self._counts(known, name))
        rows: list[DeviceRow] = []
        last = None
        for name, device, roster in self._walk(known, names, asked):
            if len(rows) == asked.limit:
                last = rows[-1]
                break
            rows.append(_row(known, name, device, roster))
        following = None
        if last is not None:
            following = _after(last)
        return DeviceList(known.now, dict(counts), _called(known, rows), following)

    def _names(self, known: Knowledge, asked: Listed) -> Sequence[AccountName]:
        every = known.accepted.accounts
        for name in asked.accounts:
            if name not in every:
                raise Unknown(f"there is no account {quoted(name)!r}{suggestion(name, every)}")
        return sorted(asked.accounts or every)

    def _walk(
        self, known: Knowledge, names: Sequence[AccountName], asked: Listed
    ) -> Iterator[tuple[AccountName, DeviceId, _Roster]]:
        """Go through the devices that are asked for, in order."""
        for name in names:
            if asked.after is not None and name < asked.after[0]:
                continue
            if asked.states <= set(ATTENTION) and _is_settled(known, name):
                continue
            roster, begin = self._of(known, name), 0
            if asked.after is not None and name == asked.after[0]:
                begin = bisect_right(roster.order, asked.after[1:], key=roster.key)
            for at in range(begin, len(roster.order)):
                device = roster.order[at]
                if asked.name and asked.name not in roster.key(device)[1].casefold():
                    continue
                if roster.has(device, asked.states):
                    yield name, device, roster

    def _counts(self, known: Knowledge, name: AccountName) -> Counter[str]:
        """Return the counts of an account. They are kept until it has another pass or revision."""
        standing = known.statuses.get(name, AccountStatus(name))
        text = known.accepted.accounts[name]
        if standing.last is None:
            return self._of(known, name).counts()
        kept, counts = self._counted.get(name, (None, Counter()))
        if kept is not standing.last or not standing.last.of(text):
            counts = self._of(known, name).counts()
            self._counted[name] = (standing.last, counts)
        return counts

    def _of(self, known: Knowledge, name: AccountName) -> _Roster:
        standing = known.statuses.get(name, AccountStatus(name))
        text = known.accepted.accounts[name]
        memory = known.state.accounts.recall(name, known.now)
        made_of = (text, standing.last, memory.expected)
        same = self._retries == memory.retries and all(map(is_, self._kept, made_of))
        fresh = self._until is not None and known.now < self._until
        if self._roster is None or not same or not fresh:
            self._roster = _roster(known, name, text, standing, memory)
            self._kept, self._retries = made_of, memory.retries
            self._until = known.now + FRESH
        return self._roster


def _is_settled(known: Knowledge, name: AccountName) -> bool:
    """Say whether the last pass left nothing that needs a look, so that nobody has to go through the devices."""
    standing = known.statuses.get(name)
    if standing is None or standing.last is None:
        return False
    return standing.last.of(known.accepted.accounts[name]) and standing.last.settled


def _roster(
    known: Knowledge,
    name: AccountName,
    text: AccountRevision,
    standing: AccountStatus,
    memory: Memory,
) -> _Roster:
    desired, live = text.desired, memory.expected or NOTHING
    every = desired.devices | live
    named = [one for one in every if one in desired.described and desired.described[one].name]
    named.sort(key=lambda one: (desired.described[one].name or "", one))
    plain = sorted(every.difference(named))
    return _Roster(
        text=text,
        order=[*named, *plain],
        positions=Positions(desired, memory, known.now, known.theirs(name)),
        held=_held(known, name, text, standing, memory),
    )


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


def _row(known: Knowledge, name: AccountName, device: DeviceId, roster: _Roster) -> DeviceRow:
    entry, state = roster.text.desired.entry(device), roster.state(device)
    held = roster.held.get(device) if state in {DeviceState.HELD, DeviceState.REFUSED} else None
    return DeviceRow(
        account=name,
        device=device,
        name=entry.name if entry is not None else None,
        type=entry.type if entry is not None else None,
        state=state,
        reason=held.reason if held is not None else None,
        until=held.until if held is not None else None,
        since=_since(known, name, device, roster),
        last_heard=last_heard(known.events, device),
    )


def _since(
    known: Knowledge, name: AccountName, device: DeviceId, roster: _Roster
) -> datetime | None:
    """Return since when a device is in its state: our last confirmed change, or the revision that named it last."""
    position = roster.positions.of(device)
    if position in UNDATED:
        return None
    stay = known.state.history.came_and_went(name, device)
    mark = stay.went if position is Position.EXTRA else stay.came
    moments = [] if mark is None else [mark.at]
    if position not in CHANGING:
        newest = known.state.history.changes(name, device, limit=1)
        moments += [one.at for one in newest if one.result is not None and one.result.confirmed]
    return max(moments, default=None)


def _called(known: Knowledge, rows: Sequence[DeviceRow]) -> tuple[DeviceRow, ...]:
    """Return rows in which a device whose entry is gone has its last known name. Its place in the list is by id."""
    found = []
    for account, theirs in groupby(rows, key=attrgetter("account")):
        listed = tuple(theirs)
        names = known.names(account, [DeviceId(row.device) for row in listed])
        for row in listed:
            name = names.get(DeviceId(row.device))
            found.append(replace(row, name=name))
    return tuple(found)


def _after(row: DeviceRow) -> str:
    place = [row.account, not row.name, row.name or "", row.device]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _place(text: str) -> tuple[AccountName, bool, str, str]:
    try:
        match json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))):
            case [str(account), bool(plain), str(name), str(device)]:
                return AccountName(account), plain, name, device
    except (ValueError, RecursionError, binascii.Error):
        pass
    raise ReconcilerError("after must be the next of an earlier answer")
