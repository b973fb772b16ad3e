"""The list of devices: each with its state, page by page.

Owns: which devices are in the list, and what is known of each. Must not: have an order or states of its own: ``roster``
has them. It reads disks and is meant for a worker thread.

Accounts are listed by name, the devices of each in the order of its roster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from reconciler.core.errors import Unknown, quoted, suggestion
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.status import AccountStatus
from reconciler.reporting.explain import Position
from reconciler.reporting.heard import LastHeardReport, last_heard
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.parameters import insist_on_known, insist_on_values, limit, one_of
from reconciler.reporting.positions import Positions
from reconciler.reporting.queries import LONGEST_PAGE, PAGE
from reconciler.reporting.roster import (
    CHANGING,
    DeviceState,
    Place,
    Roster,
    Rosters,
    place,
    place_text,
)

ATTENTION = (
    DeviceState.HELD,
    DeviceState.REFUSED,
    DeviceState.MISSING,
    DeviceState.EXTRA,
    DeviceState.UNKNOWN,
)
"""States that do not last, or that a person ends."""
UNDATED = frozenset({Position.UNMANAGED, Position.IGNORED, Position.UNKNOWN})
"""Where a device is for no reason of ours, so nothing says since when."""


ATTEMPTS = 5
"""How many of the newest changes of a device are searched for the last one that LG confirmed."""

PARAMETERS = ("account", "state", "name", "limit", "after")
"""What the list may be asked with."""


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
    after: Place | None = None


def listed(asked: Mapping[str, str]) -> Listed:
    """Read what is asked for; raises ``ReconcilerError`` with a sentence where it cannot be read."""
    insist_on_known(asked, PARAMETERS)
    insist_on_values(asked)
    states = {_state(word) for word in asked["state"].split(",")} if "state" in asked else set()
    return Listed(
        accounts=(AccountName(asked["account"]),) if "account" in asked else (),
        states=frozenset(states) or frozenset(DeviceState),
        name=asked.get("name", "").casefold(),
        limit=limit(asked["limit"], LONGEST_PAGE) if "limit" in asked else PAGE,
        after=place(asked["after"]) if "after" in asked else None,
    )


def _state(word: str) -> str:
    state = word.strip().lower().replace(" ", "_").replace("-", "_")
    return one_of("state", state, [one.value for one in DeviceState])


@dataclass(slots=True)
class Devices:
    """The list. The counts of each account are kept until its next pass or revision."""

    rosters: Rosters = field(default_factory=Rosters)
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
    ) -> Iterator[tuple[AccountName, DeviceId, Roster]]:
        """Go through the devices that are asked for, in order."""
        for name in names:
            if asked.after is not None and name < asked.after[0]:
                continue
            if asked.states <= set(ATTENTION) and _is_settled(known, name):
                continue
            roster, key = self.rosters.of(known, name), None
            if asked.after is not None and name == asked.after[0]:
                key = asked.after[1:]
            for device in roster.following(key):
                if asked.name and asked.name not in roster.key(device)[1].casefold():
                    continue
                if roster.has(device, asked.states):
                    yield name, device, roster

    def _counts(self, known: Knowledge, name: AccountName) -> Counter[str]:
        """Return the counts of an account. They are kept until it has another pass or revision."""
        standing = known.statuses.get(name, AccountStatus(name))
        text = known.accepted.accounts[name]
        if standing.last is None:
            return _counts(known, name)
        kept, counts = self._counted.get(name, (None, Counter()))
        if kept is not standing.last or not standing.last.of(text):
            counts = _counts(known, name)
            if len(self._counted) > len(known.accepted.accounts):
                self._counted.clear()  # some are of accounts that left
            self._counted[name] = (standing.last, counts)
        return counts


def _counts(known: Knowledge, name: AccountName) -> Counter[str]:
    """Count the devices of an account by their relation to the file, without a look at each."""
    desired = known.accepted.accounts[name].desired
    memory = known.state.accounts.glance(name, known.now)
    positions = Positions(desired, memory, known.now, known.theirs(name))
    return Counter({str(one): count for one, count in positions.counts().items()})


def _is_settled(known: Knowledge, name: AccountName) -> bool:
    """Say whether the last pass left nothing that needs a look, so that nobody has to go through the devices."""
    standing = known.statuses.get(name)
    if standing is None or standing.last is None:
        return False
    return standing.last.of(known.accepted.accounts[name]) and standing.last.settled


def _row(known: Knowledge, name: AccountName, device: DeviceId, roster: Roster) -> DeviceRow:
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
    known: Knowledge, name: AccountName, device: DeviceId, roster: Roster
) -> datetime | None:
    """Return since when a device is in its state: our last confirmed change, or the revision that named it last."""
    position = roster.positions.of(device)
    if position in UNDATED:
        return None
    stay = known.state.history.came_and_went(name, device)
    mark = stay.went if position is Position.EXTRA else stay.came
    moments = [] if mark is None else [mark.at]
    if position not in CHANGING:
        newest = known.state.history.changes(name, device, limit=ATTEMPTS)
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
    return place_text(row.account, (not row.name, row.name or "", row.device))
