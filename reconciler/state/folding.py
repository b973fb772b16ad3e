"""Makes one group of the many groups of an account, or of everything that is remembered of it.

Owns: what may be left out. Must not: know when something is folded.

A folded group has the present state of each device instead of every step. So it grows with the devices, not with time.
It has the newest past changes, and in any case those that the count of the day and the next list need.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler.core.guards import LIMIT_WINDOW
from reconciler.core.memory import AccountMemory, Past
from reconciler.core.model import NOTHING, Action, DeviceId, PassId, Result
from reconciler.state import records
from reconciler.state.records import DevicesMoved, Group, Record, newest_first, past_key

AGAIN = PassId("from-memory")
"""The pass of a change that was written again from memory, which does not remember passes."""


def folded(
    groups: Sequence[Group], known: AccountMemory, now: datetime, most: int
) -> tuple[Group, int]:
    """Return one group with the same result as these groups, and the number of past changes that it leaves out."""
    devices: frozenset[DeviceId] = NOTHING
    for group in groups:
        devices |= group.devices
    moved = _latest([one for group in groups for one in group.moved])
    pasts, withdrawn = _last_of_each(groups)
    kept = _kept(pasts, known, now, most)
    cleared = (records.ListCleared(known.name),) if any(group.first for group in groups) else ()
    settled = _settled(known, devices, moved)
    group = Group(
        (
            *cleared,
            *settled,
            *_names(known, groups, now),
            records.ChangesSaved.of(known, kept),
            records.ChangesDropped(withdrawn),
        ),
        lasting=True,
        account=known.name,
    )
    return group, len(pasts) - len(kept)


def everything(known: AccountMemory, now: datetime) -> Group:
    """Return a group that writes everything remembered of an account to a file that lost it, or may be older."""
    devices = (
        known.inventory.get()
        | known.expected.get()
        | known.left.look().keys()
        | known.disowned.look().keys()
    )
    changes = records.ChangesSaved.of(known, tuple(remembered(known)))
    quota = records.QuotaSaved(known.name, known.calls, known.calls_per_hour)
    once = records.RepeatedChangesDropped(known.name, AGAIN)
    settled = _settled(known, devices, ())
    names = records.NamesSaved(known.name, now, known.names.all())
    whole = (records.ListCleared(known.name), *settled, names, changes, once, quota)
    return Group(whole, lasting=True, account=known.name)


def remembered(known: AccountMemory) -> Iterator[Past]:
    """Return the past changes in memory: those of the day, and those that a later list may confirm."""
    counted = known.day.unsubscribed.look()
    for device, one in known.day.confirmed.look().items():
        approved = one.action is Action.UNSUBSCRIBE and device not in counted
        yield _again(known, device, one.action, one.result, one.at, approved=approved)
    for device, at in counted.items():
        last = known.day.confirmed.look().get(device)
        if last is None or last.at != at:
            yield _again(known, device, Action.UNSUBSCRIBE, Result.SUCCESS, at, approved=False)
    yield from known.open.values()


def _again(
    known: AccountMemory,
    device: DeviceId,
    action: Action,
    result: Result,
    at: datetime,
    *,
    approved: bool,
) -> Past:
    name = known.names.of(device)
    return Past(
        known.name, device, action, at, at, AGAIN, approved=approved, result=result, name=name
    )


def _settled(
    known: AccountMemory, devices: frozenset[DeviceId], moved: tuple[DevicesMoved, ...]
) -> tuple[Record, ...]:
    """Return the present state of an account and these devices; later events do not change it."""
    settled = records.DevicesSettled(
        known.name,
        devices,
        owned=known.inventory.get(),
        live=known.expected.get(),
        left=known.left.lend(),
        disowned=known.disowned.lend(),
        moved=moved,
    )
    retries = records.RetriesSaved(known.name, known.retries.lend(), all_of_them=True)
    return (records.AccountSaved.of(known), settled, retries)


def _names(
    known: AccountMemory, groups: Iterable[Group], now: datetime
) -> tuple[records.NamesSaved, ...]:
    """Return the last name of each device that these groups write."""
    names: dict[DeviceId, str] = {}
    ended: frozenset[DeviceId] = NOTHING
    for group in groups:
        for named in group.named:
            names.update(named.names)
            ended = (ended - named.names.keys()) | named.ended
    return (records.NamesSaved(known.name, now, names, ended),) if names or ended else ()


def _last_of_each(groups: Iterable[Group]) -> tuple[list[Past], tuple[Past, ...]]:
    """Return the latest form of each past change, and the withdrawn ones that may be in the file."""
    last: dict[Hashable, Past] = {}
    withdrawn: dict[Hashable, Past] = {}
    for group in groups:
        last.update((past_key(past), past) for past in group.pasts)
        for past in group.withdrawn:
            key = past_key(past)
            last.pop(key, None)
            withdrawn[key] = past
    return list(last.values()), tuple(withdrawn.values())


def _kept(
    pasts: Sequence[Past], known: AccountMemory, now: datetime, most: int
) -> tuple[Past, ...]:
    """Return the past changes that must be kept, and of the others the newest."""

    def needed(past: Past) -> bool:
        counts = past.result is not None and past.result.confirmed and past.at > now - LIMIT_WINDOW
        return counts or known.open.get(past.device) is past

    must = [past for past in pasts if needed(past)]
    others = sorted((past for past in pasts if not needed(past)), key=newest_first)
    return (*must, *others[:most])


def _latest(moved: Sequence[DevicesMoved]) -> tuple[DevicesMoved, ...]:
    """Return the moves that still count: the last arrival of each device, and the last departure after it."""
    kept: list[DevicesMoved] = []
    came: set[DeviceId] = set()
    went: set[DeviceId] = set()
    for one in reversed(moved):
        entering, leaving = one.entering - came, one.leaving - went - came
        came |= entering
        went |= leaving
        if entering or leaving:
            kept.append(replace(one, entering=entering, leaving=leaving))
    return tuple(reversed(kept))
