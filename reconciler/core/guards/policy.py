"""What a person set: protection, pauses, observe mode, change windows, and the wait before a device goes.

Owns: which changes these hold, and until when.
Must not: know how a pause is set.
"""

from __future__ import annotations

from collections.abc import Sized
from datetime import datetime

from reconciler.core import windows
from reconciler.core.duration import show
from reconciler.core.guards.finding import Finding, everything, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import Action, DeviceId, Held, Pause, Plan, Reason
from reconciler.core.text import counted
from reconciler.core.windows import Window

_PAUSED = {Pause.NONE: (), Pause.UNSUBSCRIBE: (Action.UNSUBSCRIBE,), Pause.ALL: tuple(Action)}


def protected(plan: Plan, situation: Situation) -> Finding | None:
    """Hold devices that are protected by their entry, or were by their last one. An approval releases a device."""
    described, remembered = situation.desired.described, situation.memory.protected
    held = []
    for change in plan.unsubscribes:
        entry = described.get(change.device)
        says_so = entry is not None and entry.protected
        if (says_so or change.device in remembered) and change.device not in plan.approved:
            held.append(change)
    if not held:
        return None
    verb = "is" if len(held) == 1 else "are"
    message = f"{counted(len(held), 'device')} that would go {verb} protected: no approval names {_them(held)}"
    return holding(Reason.PROTECTED, held, message)


def _them(held: Sized) -> str:
    return "it" if len(held) == 1 else "them"


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
            held.append(Held(change, Reason.PAUSED, _pause_ends(situation)))
    if not held:
        return None
    message = f"paused by command: {override.reason}"
    if pause is in_file:
        message = f"the file sets pause = {in_file.value!r}"
    return Finding(Reason.PAUSED, tuple(held), message)


def _pause_ends(situation: Situation) -> datetime | None:
    """Return when a pause by command ends, in our time. Where another process set it, both clocks must say so."""
    until, now = situation.pause_override.until, situation.now
    if until is None or until > now:
        return until
    slower = situation.over if situation.theirs is None else min(situation.theirs, now)
    return until + (now - slower)


def window(plan: Plan, situation: Situation) -> Finding | None:
    """Hold what a change window holds by our clock or by LG's."""
    if not situation.desired.windows:
        return None
    held: list[Held] = []
    named: list[Window] = []
    until: datetime | None = None
    for action, changes in (
        (Action.SUBSCRIBE, plan.subscribes),
        (Action.UNSUBSCRIBE, plan.unsubscribes),
    ):
        held_by = _windows_that_hold(action, situation) if changes else ()
        if held_by:
            until = _free_from(action, situation)
            held += [Held(change, Reason.WINDOW, until) for change in changes]
            named = [*held_by]  # of unsubscribes if both are held: those are held for longer
    if not held:
        return None
    return Finding(Reason.WINDOW, tuple(held), windows.words(named, until))


def _windows_that_hold(action: Action, situation: Situation) -> tuple[Window, ...]:
    mine, openings = situation.desired.windows, situation.openings
    for moment in (situation.now, situation.theirs):
        if moment is not None:
            held_by = windows.holding(mine, action, moment, openings)
            if held_by:
                return held_by
    return ()


def _free_from(action: Action, situation: Situation) -> datetime | None:
    """Return when both clocks let an action be made, in our time, or None if that is not foreseeable."""
    now, theirs = situation.now, situation.theirs
    mine, openings = situation.desired.windows, situation.openings
    ours = windows.free_from(mine, action, now, openings)
    if theirs is None or ours is None:
        return ours
    by_theirs = windows.free_from(mine, action, theirs, openings)
    return None if by_theirs is None else max(ours, by_theirs - (theirs - now))


def unsubscribe_after(plan: Plan, situation: Situation) -> Finding | None:
    """Hold devices that are absent for less than ``unsubscribe_after``."""
    wait = situation.desired.policy.unsubscribe_after
    if not wait:
        return None
    held = []
    for change in plan.unsubscribes:
        ends = _absent_since(change.device, situation) + wait
        if ends > situation.over:
            held.append(Held(change, Reason.UNSUBSCRIBE_AFTER, situation.end(ends)))
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
