"""The diff: what one pass would do in one account if nothing held it.

Owns: the truth table below, the overlay for reads that lag writes, what counts as flapping, and the digest of a plan.
Must not: do I/O, read a clock, log, or judge whether a change is wise; guards do that.

With D the devices wanted now, O the live devices, I the ignored ones:

    =====  =====  =====  ==========  ====================================================
    in D   in O   in I   owned       then the device is
    =====  =====  =====  ==========  ====================================================
    any    any    yes    any         ignored: never touched
    yes    yes    no     any         in sync
    yes    no     no     any         missing: subscribe
    no     yes    no     yes         extra under ``prune`` all and owned: unsubscribe
    no     yes    no     no          extra under ``prune`` all; else unmanaged, only shown
    no     no     no     any         nothing to us
    =====  =====  =====  ==========  ====================================================

Under ``prune = "none"`` every live device that is not wanted is unmanaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from reconciler.core.model import (
    NOTHING,
    AccountName,
    Action,
    Change,
    Desired,
    DeviceId,
    Digest,
    Memory,
    Observed,
    Plan,
    Prune,
)

OVERLAY = timedelta(seconds=60)
"""For this long, a change that LG confirmed counts even if the list does not show it: reads may lag writes."""
FLAPPING_FROM = 5
"""A device is flapping if LG lost it this many times within a day, each time after it accepted our subscribe."""


@dataclass(frozen=True, slots=True)
class Partition:
    """The devices of one account by the truth table. Those wanted and live that no other set has are in sync."""

    wanted: frozenset[DeviceId]
    live: frozenset[DeviceId]
    missing: frozenset[DeviceId]
    extra: frozenset[DeviceId]
    unmanaged: frozenset[DeviceId]
    ignored: frozenset[DeviceId]

    @property
    def in_sync(self) -> int:
        """Count the devices that are in sync."""
        ignored = len(self.wanted & self.ignored) if self.ignored else 0
        return len(self.wanted) - len(self.missing) - ignored


def partition(
    desired: Desired,
    live: frozenset[DeviceId],
    owned: frozenset[DeviceId],
    now: datetime,
    *,
    theirs: datetime | None = None,
) -> Partition:
    """Return where each device is beside the desired state. ``theirs`` is LG's time if it differs from ours."""
    ignore = desired.policy.ignore
    wanted = desired.wanted_by(now, theirs)
    ignored = (
        ignore & (wanted | live) if ignore else NOTHING
    )  # the union costs as much as the rest of a plan
    strangers = live - wanted - ignored
    extra = _prunable(strangers, desired.policy.prune, owned)
    return Partition(
        wanted=wanted,
        live=live,
        missing=wanted - live - ignored,
        extra=extra,
        unmanaged=(strangers - extra) or NOTHING,
        ignored=ignored,
    )


def plan(
    desired: Desired,
    observed: Observed,
    memory: Memory,
    now: datetime,
    *,
    theirs: datetime | None = None,
) -> Plan:
    """Return the changes that would make the live devices equal to the wanted ones, and what is left alone.

    ``theirs`` is LG's time if it differs from ours. Then a device is wanted if either clock says so, and approved if
    both clocks say so.
    """
    live = overlaid(observed, memory)
    parts = partition(desired, live, memory.inventory, now, theirs=theirs)
    name = desired.account
    return Plan(
        account=name,
        subscribes=_changes(name, Action.SUBSCRIBE, parts.missing),
        unsubscribes=_changes(name, Action.UNSUBSCRIBE, parts.extra),
        unmanaged=parts.unmanaged,
        ignored=parts.ignored,
        flapping=(_flapping(parts.wanted, parts.missing, memory) - parts.ignored) or NOTHING,
        approved=(desired.approved_by(now, theirs) & parts.extra) or NOTHING,
        in_sync=parts.in_sync,
        digest=digest(name, parts.extra),
    )


def overlaid(observed: Observed, memory: Memory) -> frozenset[DeviceId]:
    """Return the live devices, corrected by what LG confirmed less than ``OVERLAY`` before the list was asked for.

    A change that is dated that much later was confirmed before the clock was set back, so it is older than it seems.
    """
    began, known = observed.began, memory.confirmed
    fresh = {
        device: change.action
        for device, change in known.items()
        if abs(change.at - began) < OVERLAY
    }
    if not fresh:
        return observed.devices
    subscribed = {device for device, action in fresh.items() if action is Action.SUBSCRIBE}
    return (observed.devices | subscribed) - (fresh.keys() - subscribed)


def digest(account: AccountName, unsubscribes: Iterable[DeviceId]) -> Digest:
    """Return the identity of a set of unsubscribes of one account: equal sets have equal digests, in any order."""
    lines = "".join(f"{line}\n" for line in (account, *sorted(unsubscribes)))
    return Digest("sha256:" + sha256(lines.encode()).hexdigest())


def _flapping(
    wanted: frozenset[DeviceId], missing: frozenset[DeviceId], memory: Memory
) -> frozenset[DeviceId]:
    """Return the devices that LG loses again and again. Each repeated subscribe is one loss, and so is missing now."""

    def losses(device: DeviceId) -> int:
        last = memory.confirmed.get(device)
        lost_now = device in missing and last is not None and last.taken
        return len(memory.resubscribed[device]) + lost_now

    return frozenset(
        one for one in memory.resubscribed if one in wanted and losses(one) >= FLAPPING_FROM
    )


def _prunable(
    strangers: frozenset[DeviceId], prune: Prune, inventory: frozenset[DeviceId]
) -> frozenset[DeviceId]:
    if prune is Prune.ALL:
        return strangers
    return strangers & inventory if prune is Prune.OWNED else NOTHING


def _changes(
    account: AccountName, action: Action, devices: frozenset[DeviceId]
) -> tuple[Change, ...]:
    return tuple(Change(account, action, device) for device in sorted(devices))
