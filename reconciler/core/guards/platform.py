"""What LG allows now.

Owns: devices that wait after a failed or refused call, devices that LG loses, calls that are used up, LG's cap, and
accounts that LG refuses.
Must not: call LG, or decide how long a wait is; ``core.backoff`` does. A lost device waits for ``FLAPPING_WAIT``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from reconciler.core.guards.finding import Finding, everything, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import Action, Held, Plan, Reason
from reconciler.core.text import counted

FLAPPING_WAIT = timedelta(hours=1)
"""A device that LG loses again and again is subscribed at most this often."""


def retry(plan: Plan, situation: Situation) -> Finding | None:
    """Hold devices that wait after a failed call, and devices that LG loses again and again."""
    waiting = _waiting(Reason.RETRY, "waiting after a failed call", plan, situation)
    losing = _losing(plan, situation)
    if waiting is None or losing is None:
        return waiting or losing
    return replace(
        losing, held=(*waiting.held, *losing.held), message=f"{waiting.message}; {losing.message}"
    )


def refused(plan: Plan, situation: Situation) -> Finding | None:
    """Hold devices that LG refused, until the next try."""
    return _waiting(Reason.REFUSED, "refused by LG", plan, situation)


def _waiting(reason: Reason, words: str, plan: Plan, situation: Situation) -> Finding | None:
    retries = situation.memory.retries
    if not retries:
        return None
    held = []
    for change in everything(plan):
        wait = retries.get(change.device)
        if wait is None or wait.reason is not reason or wait.action is not change.action:
            continue
        if wait.until > situation.now:
            held.append(Held(change, reason, wait.until))
    return Finding(reason, tuple(held), f"{counted(len(held), 'device')} {words}") if held else None


def _losing(plan: Plan, situation: Situation) -> Finding | None:
    """Hold the subscribe of a device that LG loses again and again, because each try costs a call."""
    if not plan.flapping:
        return None
    held = []
    for change in plan.subscribes:
        before = (
            situation.memory.confirmed.get(change.device)
            if change.device in plan.flapping
            else None
        )
        if before is None or before.action is not Action.SUBSCRIBE:
            continue
        again = before.at + FLAPPING_WAIT
        if again > situation.now:
            held.append(Held(change, Reason.RETRY, again))
    words = (
        "that LG loses again and again, subscribed at most once an hour; is another writer at work?"
    )
    return (
        Finding(Reason.RETRY, tuple(held), f"{counted(len(held), 'device')} {words}")
        if held
        else None
    )


def quota(plan: Plan, situation: Situation) -> Finding | None:
    """Hold everything while the account's calls are used up."""
    until = situation.platform.throttled_until
    changes = everything(plan)
    if until is None or until <= situation.now or not changes:
        return None
    message = (
        f"the account's calls are used up, or LG throttles it, until {until:%Y-%m-%dT%H:%M:%SZ}"
    )
    return holding(Reason.QUOTA, changes, message, until)


def subscriptions_full(plan: Plan, situation: Situation) -> Finding | None:
    """Hold subscribes while LG's cap on subscribed devices is reached."""
    until = situation.platform.full_until
    if until is None or until <= situation.now or not plan.subscribes:
        return None
    message = (
        f"LG's cap on subscribed devices is reached; asked again at {until:%Y-%m-%dT%H:%M:%SZ}"
    )
    return holding(Reason.SUBSCRIPTIONS_FULL, plan.subscribes, message, until)


def account_stopped(plan: Plan, situation: Situation) -> Finding | None:
    """Hold everything while LG refuses the account."""
    platform, changes = situation.platform, everything(plan)
    if platform.stopped is None or not changes:
        return None
    return holding(Reason.ACCOUNT_STOPPED, changes, platform.stopped, platform.stopped_until)
