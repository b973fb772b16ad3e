"""What the desired state in force says about one device.

Owns: finding a device among all accounts, a million devices or thousands of accounts alike. Must not: read a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.acceptance import Accepted
from reconciler.core.clock import Clock
from reconciler.core.model import AccountName, Desired, DeviceId
from reconciler.core.model import Device as Entry
from reconciler.events.model import Device, Knowledge


@dataclass(frozen=True, slots=True)
class _InForce:
    """The accounts in force. ``of`` says which list a device; of a single account nothing is needed to know that."""

    accounts: Mapping[AccountName, Desired] = field(default_factory=dict)
    of: Mapping[DeviceId, tuple[AccountName, ...]] = field(default_factory=dict)
    ignored: frozenset[DeviceId] = frozenset()

    def listing(self, device: DeviceId) -> Iterable[Desired]:
        """Return the accounts that list a device."""
        if len(self.accounts) == 1:
            return [one for one in self.accounts.values() if device in one.devices]
        return [self.accounts[name] for name in self.of.get(device, ())]


class DesiredDirectory:
    """Names devices. May be asked from any thread: what is in force is exchanged as a whole."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_force = _InForce()

    def device(self, device: str) -> Device:
        """Return what is known of a device; an unknown one is a value too.

        Where two accounts list it, the one counts that wants it now. A device outside its dates is named, and not
        desired.
        """
        in_force, now = self._in_force, self._clock.now()
        if not in_force.accounts:
            return Device(device)
        found = _chosen(in_force.listing(DeviceId(device)), DeviceId(device), now)
        if found is None:
            ignored = DeviceId(device) in in_force.ignored
            return Device(
                device, Knowledge.IGNORED if ignored else Knowledge.UNKNOWN, desired=False
            )
        account, entry = found
        wanted = entry.wanted_at(now)
        knowledge = Knowledge.DESIRED if wanted else Knowledge.UNKNOWN
        if entry.id in account.policy.ignore:
            knowledge = Knowledge.IGNORED
        return Device(
            id=device,
            knowledge=knowledge,
            account=account.account,
            name=entry.name,
            type=None if entry.type is None else str(entry.type),
            desired=wanted,
        )

    def enforce(self, accepted: Accepted) -> None:
        """Answer by these accounts from now on. Takes time with the number of devices; do not call it in the loop."""
        accounts = {name: one.desired for name, one in sorted(accepted.accounts.items())}
        of: dict[DeviceId, tuple[AccountName, ...]] = {}
        for name, desired in accounts.items() if len(accounts) > 1 else ():
            alone = (name,)  # one for all devices of the account
            for device in desired.devices:
                others = of.get(device)
                of[device] = (*others, name) if others else alone
        ignored = frozenset[DeviceId]().union(*(one.policy.ignore for one in accounts.values()))
        self._in_force = _InForce(accounts, of, ignored)


def _chosen(
    accounts: Iterable[Desired], device: DeviceId, now: datetime
) -> tuple[Desired, Entry] | None:
    """Return the account that wants a device now, else the first that lists it, with its entry."""
    first: tuple[Desired, Entry] | None = None
    for account in accounts:
        entry = account.entry(device)
        if entry is not None and entry.wanted_at(now):
            return account, entry
        if entry is not None and first is None:
            first = account, entry
    return first
