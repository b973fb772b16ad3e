"""What could not be written yet: kept in order, seen by readers, and bounded however long the disk stays full.

Owns: the groups of statements that wait, and how those of one account become one group when there are too many.
Must not: write anything, or know when something is written.

A folded group says where each device is now instead of every way there. So it grows with the devices, not with time.
Of past changes the newest are kept, and in any case those that the day's count and the next list need.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.core.guards import LIMIT_WINDOW
from reconciler.core.memory import AccountMemory, Past
from reconciler.core.model import NOTHING, AccountName, Action, DeviceId, PassId, Result, Revision
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.database import Row, Statement

MOST_GROUPS = 1000
"""When more groups than this wait and cannot be written, those of each account are folded into one."""
MOST_PASTS = 20_000
"""How many past changes may wait besides those that the day's count and the next list need."""
AGAIN = PassId("from-memory")
"""The pass of a change that was written again from memory: which one it was is not remembered."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The text that brought a device in or took it out, and when it came into force."""

    revision: Revision
    at: datetime


@dataclass(frozen=True, slots=True)
class Moved:
    """A mark that waits to be written, for the devices that came and those that went by it."""

    account: AccountName
    mark: Mark
    entering: frozenset[DeviceId]
    leaving: frozenset[DeviceId]


@dataclass(frozen=True, slots=True)
class Each:
    """One row of values for each device, in an order that suits the file; built anew each time, as it may be long."""

    before: Row
    devices: Collection[DeviceId]

    def __iter__(self) -> Iterator[Row]:
        return ((*self.before, device) for device in sorted(self.devices))


@dataclass(frozen=True, slots=True)
class Group:
    """What is written together or not at all, and what readers must know of it before it is.

    ``lasting``: it must outlive a loss of power. What else is forgotten then makes nothing more permissive: LG's next
    list tells what is live, and waits begin anew. No list tells that we made devices go, which may be back by then,
    which text was in force, or that a person pulled the brake.

    ``account`` names whose memory the group comes from; such a group can be folded. ``first``: nothing was expected
    before it.
    """

    statements: tuple[Statement, ...]
    lasting: bool = False
    pasts: tuple[Past, ...] = ()
    withdrawn: tuple[Past, ...] = ()
    moved: tuple[Moved, ...] = ()
    account: AccountName | None = None
    first: bool = False

    @property
    def devices(self) -> frozenset[DeviceId]:
        """Return the devices of which the statements say something by name."""
        found = NOTHING
        for statement in self.statements:
            if isinstance(statement.rows, Each | Settled):
                found |= frozenset(statement.rows.devices)
        return found


@dataclass(slots=True)
class Waiting:
    """Groups not yet written, oldest first. A later one under the same key replaces an earlier one where that stood."""

    groups: dict[Hashable, Group] = field(default_factory=dict)
    count: int = 0
    most_groups: int = MOST_GROUPS
    most_pasts: int = 2 * MOST_PASTS

    def add(self, group: Group, key: Hashable = None) -> None:
        """Let a group wait."""
        self.count += 1
        self.groups[self.count if key is None else key] = group

    def drop(self, *keys: Hashable) -> None:
        """Let groups wait no longer: something later says all that they say."""
        for key in keys:
            self.groups.pop(key, None)

    def fold(self, accounts: Mapping[AccountName, AccountMemory], now: datetime) -> int:
        """Make one group of all that waits for each account, if there is too much; return how many changes it cost."""
        if len(self.groups) <= self.most_groups and self._pasts() <= self.most_pasts:
            return 0
        lost = 0
        theirs: dict[AccountName, list[Hashable]] = {}
        for key, group in self.groups.items():
            if group.account is not None:
                theirs.setdefault(group.account, []).append(key)
        share = max(MOST_PASTS // len(theirs), 1) if theirs else 0
        for account, keys in theirs.items():
            if account not in accounts:
                continue
            group, dropped = folded([self.groups[key] for key in keys], accounts[account], now, share)
            self.drop(*keys, ("account", account))
            self.add(group, ("folded", account))
            lost += dropped
        # What is left is as short as it can be; with thousands of accounts that may still be more than the bound.
        self.most_groups = max(MOST_GROUPS, 2 * len(self.groups))
        self.most_pasts = 2 * max(MOST_PASTS, self._pasts())
        return lost

    def _pasts(self) -> int:
        return sum(len(group.pasts) for group in self.groups.values())


@dataclass(frozen=True, slots=True)
class Settled:
    """A row for each device that says where it is now; ``moved`` says by which texts it came and went."""

    account: AccountName
    devices: frozenset[DeviceId]
    owned: frozenset[DeviceId]
    live: frozenset[DeviceId]
    left: Mapping[DeviceId, datetime]
    disowned: Mapping[DeviceId, datetime]
    moved: tuple[Moved, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        came, went = _marks(self.moved)
        for device in sorted(self.devices):
            gone = self.left.get(device) or self.disowned.get(device)
            yield (
                self.account,
                device,
                device in self.owned,
                device in self.live,
                *came.get(device, (None, None)),
                went.get(device, (None, None))[0],
                tables.stamp_or_none(gone),
            )


def settled(known: AccountMemory, devices: frozenset[DeviceId], moved: tuple[Moved, ...]) -> Settled:
    """Return the rows of devices as they are at this moment: what is remembered later does not change them."""
    return Settled(
        known.name,
        devices,
        owned=known.inventory.get(),
        live=known.expected.get(),
        left=known.left.lend(),
        disowned=known.disowned.lend(),
        moved=moved,
    )


def folded(groups: Sequence[Group], known: AccountMemory, now: datetime, most: int) -> tuple[Group, int]:
    """Return one group that leads to where these groups lead, and how many past changes it leaves out."""
    devices: frozenset[DeviceId] = NOTHING
    for group in groups:
        devices |= group.devices
    moved = _latest([one for group in groups for one in group.moved])
    pasts, withdrawn = _pasts(groups)
    kept = _kept(pasts, known, now, most)
    first = any(group.first for group in groups)
    statements = (*_where_it_stands(known, devices, moved, first=first), *_changes(known, kept, withdrawn))
    group = Group(
        statements, lasting=True, pasts=kept, withdrawn=withdrawn, moved=moved, account=known.name, first=first
    )
    return group, len(pasts) - len(kept)


def everything(known: AccountMemory) -> Group:
    """Return what writes all that is remembered of an account to a file that lost it, or that may be an older one."""
    devices = known.inventory.get() | known.expected.get() | known.left.look().keys() | known.disowned.look().keys()
    pasts = tuple(remembered(known))
    quota = Statement(tables.SAVE_QUOTA, (tables.quota_row(known.name, known.calls, known.calls_per_hour),))
    once = Statement(tables.DROP_TOLD_TWICE, ((known.name, AGAIN),))
    statements = (*_where_it_stands(known, devices, (), first=True), *_changes(known, pasts, ()), once, quota)
    return Group(statements, lasting=True, pasts=pasts, account=known.name)


def remembered(known: AccountMemory) -> Iterator[Past]:
    """Return the past changes that memory still knows: those of the day, and those whose end a list has to tell."""
    counted = known.unsubscribed.look()
    for device, one in known.confirmed.look().items():
        approved = one.action is Action.UNSUBSCRIBE and device not in counted
        yield _again(known.name, device, one.action, one.result, one.at, approved=approved)
    for device, at in counted.items():
        last = known.confirmed.look().get(device)
        if last is None or last.at != at:
            yield _again(known.name, device, Action.UNSUBSCRIBE, Result.SUCCESS, at, approved=False)
    yield from known.open.values()


def _again(
    account: AccountName, device: DeviceId, action: Action, result: Result, at: datetime, *, approved: bool
) -> Past:
    return Past(account, device, action, at, at, AGAIN, approved=approved, result=result)


def _where_it_stands(
    known: AccountMemory, devices: frozenset[DeviceId], moved: tuple[Moved, ...], *, first: bool
) -> Iterator[Statement]:
    """Return what says where an account and these devices of it are now."""
    name = ((known.name,),)
    retries = [tables.retry_row(known.name, *one) for one in known.retries.look().items()]
    if first:
        yield from (Statement(sql, name) for sql in tables.EXPECT_NOTHING)
    yield Statement(tables.SAVE_ACCOUNT, (tables.account_row(known),))
    yield from (tables.save_revision(one) for one in dict.fromkeys(one.mark.revision for one in moved))
    yield Statement(tables.SETTLE, settled(known, devices, moved))
    yield Statement(tables.DROP_NOWHERE, name)
    yield Statement(tables.DROP_RETRIES, name)
    yield Statement(tables.SAVE_RETRY, retries)


def _changes(known: AccountMemory, pasts: Iterable[Past], withdrawn: Iterable[Past]) -> Iterator[Statement]:
    pasts = tuple(pasts)
    texts = dict.fromkeys(past.revision for past in pasts if past.revision is not None)
    yield from (tables.save_revision(one) for one in texts)
    rows = [tables.past_row(past, is_open=known.open.get(past.device) is past) for past in pasts]
    yield Statement(tables.SAVE_CHANGE, rows)
    yield Statement(tables.DROP_CHANGE, [tables.past_key(past) for past in withdrawn])


def _pasts(groups: Iterable[Group]) -> tuple[list[Past], tuple[Past, ...]]:
    """Return the last word on each past change, and those that were taken back and may be in the file."""
    last: dict[Row, Past] = {}
    withdrawn: dict[Row, Past] = {}
    for group in groups:
        last.update((tables.past_key(past), past) for past in group.pasts)
        for past in group.withdrawn:
            key = tables.past_key(past)
            last.pop(key, None)
            withdrawn[key] = past
    return list(last.values()), tuple(withdrawn.values())


def _kept(pasts: Sequence[Past], known: AccountMemory, now: datetime, most: int) -> tuple[Past, ...]:
    """Return the past changes that must be kept, and of the others the newest."""

    def needed(past: Past) -> bool:
        counts = past.result is not None and past.result.confirmed and past.at > now - LIMIT_WINDOW
        return counts or known.open.get(past.device) is past

    must = [past for past in pasts if needed(past)]
    others = sorted((past for past in pasts if not needed(past)), key=tables.newest_first)
    return (*must, *others[:most])


def _latest(moved: Sequence[Moved]) -> tuple[Moved, ...]:
    """Return the moves that still say something: each device's last coming, and its last going after that."""
    kept: list[Moved] = []
    came: set[DeviceId] = set()
    went: set[DeviceId] = set()
    for one in reversed(moved):
        entering, leaving = one.entering - came, one.leaving - went - came
        came |= entering
        went |= leaving
        if entering or leaving:
            kept.append(replace(one, entering=entering, leaving=leaving))
    return tuple(reversed(kept))


def _marks(moved: Iterable[Moved]) -> tuple[dict[DeviceId, Row], dict[DeviceId, Row]]:
    """Return by which revision, and when, each device came and went."""
    came: dict[DeviceId, Row] = {}
    went: dict[DeviceId, Row] = {}
    for one in moved:
        row = (tables.revision_key(one.mark.revision), tables.stamp(one.mark.at))
        came.update(dict.fromkeys(one.entering, row))
        went.update(dict.fromkeys(one.leaving, row))
    return came, went
