"""What a person set: pauses, observe mode, and the wait before a device goes.

Owns: which changes these hold, and until when.
Must not: know how a pause is set.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.core.duration import show
from reconciler.core.guards.finding import Finding, everything, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import Action, DeviceId, Held, Pause, Plan, Reason
from reconciler.core.text import counted

_PAUSED = {Pause.NONE: (), Pause.UNSUBSCRIBE: (Action.UNSUBSCRIBE,), Pause.ALL: tuple(Action)}


def paused(plan: Plan, situation: Situation) -> Finding | None:
    """Hold what the stricter of both pauses holds. A pause in the file has no end."""
    if situation.observing:
        changes = everything(plan)
        return (
            holding(Reason.PAUSED, changes, "observe mode: nothing is changed") if changes else None
        )
    in_file, override = situation.desired.policy.pause, situation.pause_override
    pause = in_file.stricter(override.pause)
    held = []
    for change in everything(plan):
        if change.action in _PAUSED[in_file]:
            held.append(Held(change, Reason.PAUSED))
        elif change.action in _PAUSED[pause]:
            held.append(Held(change, Reason.PAUSED, override.until))
    if not held:
        return None
    message = f"paused by command: {override.reason}"
    if pause is in_file:
        message = f"the file sets pause = {in_file.value!r}"
    return Finding(Reason.PAUSED, tuple(held), message)


def unsubscribe_after(plan: Plan, situation: Situation) -> Finding | None:
    """Hold devices that are absent for less than ``unsubscribe_after``."""
    wait = situation.desired.policy.unsubscribe_after
    if not wait:
        return None
    held = []
    for change in plan.unsubscribes:
        ends = _absent_since(change.device, situation) + wait
        if ends > situation.over:
            held.append(Held(change, Reason.UNSUBSCRIBE_AFTER, ends))
    if not held:
        return None
    return Finding(
        Reason.UNSUBSCRIBE_AFTER,
        tuple(held),
        f"{counted(len(held), 'device')} absent for less than {show(wait)}",
    )


def _absent_since(device: DeviceId, situation: Situation) -> datetime:
    """Return since when a device is absent. A listed device whose dates are over is absent since their end."""
    since = situation.memory.absent_since.get(device)
    if since is not None:
        return min(
            since, situation.now
        )  # else the clock was set back since: it waits no longer than from now on
    entry = situation.desired.described.get(device)
    return (
        situation.now if entry is None or entry.until is None else min(entry.until, situation.now)
    )
