"""Whether a device that would go belongs to another account or another spelling.

Owns: the checks of devices that another account wants, and of devices that are wanted under another spelling.
Must not: know how accounts and their devices are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from unicodedata import normalize

from reconciler.core.guards.finding import Finding, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import AccountName, Action, DeviceId, Memory, Plan, Reason
from reconciler.core.text import counted, listing

NAMED = 3
"""A sentence names at most this many accounts; the rest is a number."""
SHOWN = 72
"""A sentence shows at most this many characters of an id: LG's own have 64."""
QUOTES = (
    "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb"
    "\u02bb\u02bc\u2032\u2033\u2035\u2036\u300c\u300d\u300e\u300f\u301d\u301e\u301f\uff02\uff07"
)
"""Straight and typographic quotes, which word processors and spreadsheets leave around an id, also those of Korean,
Japanese and Chinese text, and the primes and apostrophes that are used as quotes."""


def wanted_elsewhere(plan: Plan, situation: Situation) -> Finding | None:
    """Hold devices that another account wants. An approval releases a device once in a day.

    A released device that is back was subscribed by the other account. If both accounts are one LG user, they would
    otherwise unsubscribe each other's devices again and again.
    """
    elsewhere = situation.elsewhere
    if not elsewhere:
        return None
    changes, accounts = [], set[AccountName]()
    for change in plan.unsubscribes:
        if change.device in elsewhere and not _released(change.device, plan, situation.memory):
            changes.append(change)
            accounts.add(elsewhere[change.device])
    if not changes:
        return None
    verb = "is" if len(changes) == 1 else "are"
    names = listing(sorted(accounts), NAMED)
    message = f"{counted(len(changes), 'device')} that would go {verb} wanted by another account now: {names}"
    return holding(Reason.WANTED_ELSEWHERE, changes, message)


def _released(device: DeviceId, plan: Plan, memory: Memory) -> bool:
    """Say whether an approval names a device that we did not unsubscribe within the last day."""
    before = memory.confirmed.get(device)
    return device in plan.approved and (before is None or before.action is not Action.UNSUBSCRIBE)


def look_alike(plan: Plan, situation: Situation) -> Finding | None:
    """Hold a device that would go under one spelling and is wanted under another that LG's list does not show.

    This looks at the list, not at the plan: LG may accept a subscribe under either spelling and list only its own.
    """
    if not plan.unsubscribes:
        return None
    desired = situation.desired
    unlisted = (
        desired.wanted_by(situation.now, situation.theirs)
        - situation.observed.devices
        - desired.policy.ignore
    )
    found = look_alikes((change.device for change in plan.unsubscribes), unlisted)
    if not found:
        return None
    changes = [change for change in plan.unsubscribes if change.device in found]
    live, wanted = changes[0].device, found[changes[0].device]
    number = counted(len(changes), "device")
    message = (
        f"{number} would go under one spelling and be wanted under another (case, Unicode form or quotes): "
        f"LG lists {live[:SHOWN]!r}, the file has {wanted[:SHOWN]!r}"
    )
    return holding(Reason.LOOK_ALIKE, changes, message)


def look_alikes(
    unsubscribes: Iterable[DeviceId], wanted: Iterable[DeviceId]
) -> Mapping[DeviceId, DeviceId]:
    """Return the devices that differ from a wanted one only in case, Unicode form or quotes, each with that one.

    ``wanted`` are those that the live list does not show. If it shows both spellings, they are two devices.
    """
    spelled: dict[str, DeviceId] = {}
    for device in wanted:
        spelled.setdefault(_folded(device), device)
    if not spelled:
        return {}
    found = {}
    for device in unsubscribes:
        other = spelled.get(_folded(device))
        if other is not None:
            found[device] = other
    return found


def _folded(device: DeviceId) -> str:
    """Return an id in a form that is equal for all its spellings."""
    bare = device.strip(QUOTES)
    return bare.lower() if bare.isascii() else normalize("NFC", normalize("NFD", bare).casefold())
