"""Rules: what they take of LG's registry, and the lock that they resolve to.

Owns: which device a rule takes, what a lock has to hold by a registry, what waits for ``resolve``, and when a registry
is doubted.
Must not: change what an account wants. A rule never does that: it resolves to a lock, which is a file in Git. Pure.

LG's registry is ``GET /devices``. It lists 11, 12 or 13 of 13 devices after restarts (home-assistant/core#130319), so
a device that it lacks is never taken out of a lock unless a person asks for that.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from reconciler.core.wildcards import Wildcard

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model import AccountName, DeviceId

FEWEST_TO_COMPARE = 10
"""A registry is compared with the last one from this number of devices on: of 3 devices, 1 may really be left."""
_TYPE_PREFIX = "DEVICE_"


@dataclass(frozen=True, slots=True)
class Registered:
    """One device of LG's registry: all that the user owns, subscribed or not. Only the id is always there."""

    id: DeviceId
    type: str | None = None
    alias: str | None = None
    model: str | None = None

    @property
    def kind(self) -> str:
        """Return the type as files write it: ``DEVICE_WASHER`` is ``washer``. Empty where LG gives none."""
        return (self.type or "").removeprefix(_TYPE_PREFIX).lower()


@dataclass(frozen=True, slots=True)
class Registry:
    """LG's registry of one account, as ``GET /devices`` gave it, and when that call began."""

    devices: tuple[Registered, ...]
    read: datetime


@dataclass(frozen=True)
class Rule:
    """Takes the devices for which all its conditions hold. ``except_`` are ids that it never takes."""

    name: str
    types: frozenset[str] = frozenset()
    alias: str | None = None
    model: str | None = None
    except_: frozenset[DeviceId] = frozenset()

    def takes(self, device: Registered) -> bool:
        """Say whether the rule takes a device of the registry. A condition on what LG does not give is not met."""
        if device.id in self.except_ or (self.types and device.kind not in self.types):
            return False
        return _fits(self._alias, device.alias) and _fits(self._model, device.model)

    @cached_property
    def _alias(self) -> Wildcard | None:
        return None if self.alias is None else Wildcard(_composed(self.alias))

    @cached_property
    def _model(self) -> Wildcard | None:
        return None if self.model is None else Wildcard(_composed(self.model))


def _fits(wildcard: Wildcard | None, text: str | None) -> bool:
    return wildcard is None or (text is not None and wildcard.matches(_composed(text.strip())))


def _composed(text: str) -> str:
    """Return text with each letter as one character: Macs write some letters, all of Korean's, as several."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@dataclass(frozen=True, slots=True)
class LockHead:
    """The first line of a lock: whose it is, what it was made of, and when.

    ``rules`` is the fingerprint of the rules, ``registry`` the number of devices in LG's registry, ``read`` when that
    was read for the last change of the file.
    """

    account: str
    rules: str
    registry: int
    read: datetime


@dataclass(frozen=True, slots=True)
class Ruled:
    """The rules of an account, and the lock that they resolved to. ``path`` is that of the lock.

    ``head`` is None where the lock is new. ``listed`` are the devices that the account lists beside the lock.
    """

    rules: tuple[Rule, ...]
    path: str
    head: LockHead | None = None
    locked: frozenset[DeviceId] = frozenset()
    listed: frozenset[DeviceId] = frozenset()

    def fits(self, account: AccountName) -> bool:
        """Say whether the lock was made for this account and of these rules."""
        head = self.head
        return head is not None and (head.account, head.rules) == (account, fingerprint(self.rules))


def fingerprint(rules: Iterable[Rule]) -> str:
    """Return the sha256 of rules in one form: neither their order nor how they are written matters."""
    plain = [
        {
            "name": rule.name,
            "type": sorted(rule.types),
            "alias": rule.alias,
            "model": rule.model,
            "except": sorted(rule.except_),
        }
        for rule in _ordered(rules)
    ]
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _ordered(rules: Iterable[Rule]) -> list[Rule]:
    return sorted(rules, key=_name_of)


def _name_of(rule: Rule) -> str:
    return rule.name


def taken(
    rules: Iterable[Rule], registry: Iterable[Registered], leave: Collection[DeviceId] = ()
) -> dict[DeviceId, tuple[Registered, Rule]]:
    """Return the devices that rules take, by id, each with the first rule by name. Those to ``leave`` are not taken."""
    ordered = _ordered(rules)
    found: dict[DeviceId, tuple[Registered, Rule]] = {}
    for device in sorted(registry, key=_id_of):
        if device.id in leave:
            continue
        for rule in ordered:
            if rule.takes(device):
                found[device.id] = device, rule
                break
    return found


def _id_of(device: Registered) -> DeviceId:
    return device.id


def doubt(registry: Sequence[Registered], head: LockHead | None) -> str:
    """Return why a registry is not believed, or an empty string."""
    known: dict[DeviceId, Registered] = {}
    for device in registry:
        if known.setdefault(device.id, device) != device:
            return "LG's registry names a device twice, each time with other words"
    if not known:
        return "LG's registry is empty"
    if head is not None and FEWEST_TO_COMPARE <= head.registry > 2 * len(known):
        return (
            f"LG's registry has {len(known)} devices, fewer than half of the {head.registry} that it had when the "
            "lock was written"
        )
    return ""


@dataclass(frozen=True, slots=True)
class LockLine:
    """What a lock says of one device: words for people, and the rule that took it."""

    alias: str | None
    kind: str
    rule: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a lock has to hold by now, by id, and what that changes.

    ``gone`` are devices that stay although the registry lacks them, or no rule takes them any more by what LG says.
    """

    lines: Mapping[DeviceId, LockLine]
    added: tuple[DeviceId, ...] = ()
    removed: tuple[DeviceId, ...] = ()
    gone: tuple[DeviceId, ...] = ()


def resolved(
    account: AccountName,
    ruled: Ruled,
    lines: Mapping[DeviceId, LockLine],
    registry: Sequence[Registered],
    *,
    leave: Collection[DeviceId] = (),
    prune: bool = False,
) -> Resolved:
    """Return what the lock of an account has to hold by a registry that is believed. ``lines`` is what it holds.

    A device that the registry lacks stays, and so does one that was renamed: only ``prune`` takes it out. Where the
    rules themselves are others than those of the head, what the registry has and no rule takes goes. What every rule
    excepts, or the account lists beside the lock, goes in any case.
    """
    found = taken(ruled.rules, registry, {*leave, *ruled.listed})
    there = {device.id for device in registry}
    edited = ruled.head is not None and not ruled.fits(account)
    wanted: dict[DeviceId, LockLine] = {}
    gone = []
    for device in sorted({*lines, *found}):
        if device in found:
            wanted[device] = _line(*found[device])
        elif not (
            prune
            or device in ruled.listed
            or all(device in rule.except_ for rule in ruled.rules)
            or (edited and device in there)
        ):
            wanted[device] = lines[device]
            gone.append(device)
    added = tuple(device for device in wanted if device not in lines)
    removed = tuple(device for device in sorted(lines) if device not in wanted)
    return Resolved(wanted, added, removed, tuple(gone))


def _line(device: Registered, rule: Rule) -> LockLine:
    return LockLine(device.alias, device.kind, rule.name)


@dataclass(frozen=True, slots=True)
class Pending:
    """The devices that rules would take and the lock does not have, by the name of the rule. Never acted on."""

    of_rule: Mapping[str, tuple[Registered, ...]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Count the devices of all rules."""
        return sum(map(len, self.of_rule.values()))

    def rule_of(self, device: DeviceId) -> str | None:
        """Return the rule that would take a device, or None."""
        for name, devices in self.of_rule.items():
            if any(one.id == device for one in devices):
                return name
        return None


def pending(
    ruled: Ruled,
    desired: Collection[DeviceId],
    ignored: Collection[DeviceId],
    registry: Iterable[Registered],
) -> Pending:
    """Return what waits for ``resolve``. Every rule has an entry, so that its number can go back to 0."""
    found: dict[str, list[Registered]] = {rule.name: [] for rule in _ordered(ruled.rules)}
    for device, rule in taken(ruled.rules, registry, {*desired, *ignored}).values():
        found[rule.name].append(device)
    return Pending({name: tuple(devices) for name, devices in found.items()})
