"""How the many groups of one account become one, and how all that is remembered of it becomes one.

Owns: what may be left out. Must not: know when something is folded.

A folded group says where each device is now instead of every way there. So it grows with the devices, not with time.
Of past changes the newest are kept, and in any case those that the day's count and the next list need.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler.core.guards import LIMIT_WINDOW
from reconciler.core.memory import AccountMemory, Past
from reconciler.core.model import NOTHING, AccountName, Action, DeviceId, PassId, Result
from reconciler.state import records
from reconciler.state.records import DevicesMoved, Group, Record, newest_first, past_key

AGAIN = PassId("from-memory")
"""The pass of a change that was written again from memory: which one it was is not remembered."""


def folded(
    groups: Sequence[Group], known: AccountMemory, now: datetime, most: int
) -> tuple[Group, int]:
    """Return one group that leads to where these groups lead, and how many past changes it leaves out."""
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
            records.ChangesSaved.of(known, kept),
            records.ChangesDropped(withdrawn),
        ),
        lasting=True,
        account=known.name,
    )
    return group, len(pasts) - len(kept)


def everything(known: AccountMemory) -> Group:
    """Return what writes all that is remembered of an account to a file that lost it, or that may be an older one."""
    devices = (
        known.inventory.get()
        | known.expected.get()
        | known.left.look().keys()
        | known.disowned.look().keys()
    )
    changes = records.ChangesSaved.of(known, tuple(remembered(known)))
    quota = records.QuotaSaved(known.name, known.calls, known.calls_per_hour)
    once = records.RepeatedChangesDropped(known.name, AGAIN)
    whole = (records.ListCleared(known.name), *_settled(known, devices, ()), changes, once, quota)
    return Group(whole, lasting=True, account=known.name)


def remembered(known: AccountMemory) -> Iterator[Past]:
    """Return the past changes that memory still knows: those of the day, and those that a later list settles."""
    counted = known.day.unsubscribed.look()
    for device, one in known.day.confirmed.look().items():
        approved = one.action is Action.UNSUBSCRIBE and device not in counted
        yield _again(known.name, device, one.action, one.result, one.at, approved=approved)
    for device, at in counted.items():
        last = known.day.confirmed.look().get(device)
        if last is None or last.at != at:
            yield _again(known.name, device, Action.UNSUBSCRIBE, Result.SUCCESS, at, approved=False)
    yield from known.open.values()


def _again(
    account: AccountName,
    device: DeviceId,
    action: Action,
    result: Result,
    at: datetime,
    *,
    approved: bool,
) -> Past:
    return Past(account, device, action, at, at, AGAIN, approved=approved, result=result)


def _settled(
    known: AccountMemory, devices: frozenset[DeviceId], moved: tuple[DevicesMoved, ...]
) -> tuple[Record, ...]:
    """Return where an account and these devices are at this moment: what is remembered later does not change it."""
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


def _last_of_each(groups: Iterable[Group]) -> tuple[list[Past], tuple[Past, ...]]:
    """Return each past change as it was saved last, and those that were withdrawn and may be in the file."""
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
    """Return the moves that still count: each device's last coming, and its last going after that."""
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
