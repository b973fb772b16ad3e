"""Which devices are protected: what revisions state of it, and what is remembered after an entry is gone.

Owns: what a new revision changes in that memory. Must not: hold a change (the guard ``protected`` does), or do I/O.

The memory belongs to the device, not to an account: LG's ids name one appliance, whichever account lists it. So an
account that is removed or renamed, and a second token of the same LG user, take nothing off. Only an entry that says
``protected = false`` does, or an unsubscribe that an approval released. An entry without the key changes nothing: a
file that was cut between ``id`` and ``protected`` has such an entry, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from reconciler.core.model import NOTHING, AccountName, Desired, DeviceId

Protected = Mapping[DeviceId, AccountName]
"""Devices that are protected, each with the account whose entry stated so last."""
Wants = Mapping[AccountName, Desired]
"""What every account wants by one revision."""
NONE_PROTECTED: Protected = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stated:
    """What a new revision changes: devices to be remembered as protected, and those that an entry releases."""

    protected: Protected = field(default_factory=lambda: NONE_PROTECTED)
    ended: frozenset[DeviceId] = NOTHING

    def __bool__(self) -> bool:
        return bool(self.protected or self.ended)

    def news(self, known: Protected) -> Stated:
        """Return the part that changes what is known."""
        protected = {
            device: account
            for device, account in self.protected.items()
            if known.get(device) != account
        }
        return Stated(protected, self.ended & known.keys())

    def on(self, known: Protected) -> Protected:
        """Return what is known after this."""
        if not self:
            return known
        after = {**known, **self.protected}
        for device in self.ended & after.keys():
            del after[device]
        return after


NOTHING_STATED = Stated()


def stated(before: Wants, after: Wants) -> Stated:
    """Return what a revision changes beside the one before it. Only accounts that differ are looked at.

    A device whose entry leaves is stated once more, by its last entry. If several accounts list one device, it is
    protected as long as one of them says so.
    """
    changed = sorted(one for one in {**before, **after} if before.get(one) is not after.get(one))
    left: dict[DeviceId, AccountName] = {}
    now: dict[DeviceId, AccountName] = {}
    ended: set[DeviceId] = set()
    for name in changed:
        left.update(dict.fromkeys(_saying(before.get(name), protected=True), name))
        now.update(dict.fromkeys(_saying(after.get(name), protected=True), name))
        ended.update(_saying(after.get(name), protected=False))
    for device in now.keys() & left.keys():
        del left[device]
    if left or ended:
        others = [desired for name, desired in after.items() if name not in changed]
        _ask_others(others, left, now, ended)
    protected = {**left, **now}
    for device in ended & left.keys():
        del protected[device]
    return Stated(protected or NONE_PROTECTED, frozenset(ended - now.keys()) or NOTHING)


def _ask_others(
    others: Iterable[Desired],
    left: Mapping[DeviceId, AccountName],
    now: dict[DeviceId, AccountName],
    ended: set[DeviceId],
) -> None:
    """Add what entries of accounts that did not change say about devices that left or were released."""
    asked = left.keys() | ended
    for desired in others:
        for device in _saying(desired, protected=True):
            if device in asked:
                now.setdefault(device, desired.account)
        for device in _saying(desired, protected=False):
            if device in left:
                ended.add(device)


def _saying(desired: Desired | None, *, protected: bool) -> Iterator[DeviceId]:
    """Yield the devices whose entry says this."""
    for device in desired.described.values() if desired is not None else ():
        if device.protected is protected:
            yield device.id
