"""How many devices may go.

Owns: the limit of a day, and what counts toward it.
Must not: remember what was unsubscribed; the memory of the account does.
"""

from __future__ import annotations

from datetime import timedelta
from math import floor

from reconciler.core.guards.finding import Finding, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import Change, Limit, Plan, Reason, Share
from reconciler.core.text import counted

LIMIT_WINDOW = timedelta(hours=24)
"""Unsubscribes are counted over this span, so the guard stops a slow leak like a sudden one."""


def limit(base: int, at_most: Limit) -> int:
    """Return how many devices ``at_most`` allows of ``base``; a share is rounded down."""
    return floor(at_most.of_one * base) if isinstance(at_most, Share) else at_most


def allowance(situation: Situation) -> int:
    """Return how many devices may be unsubscribed in any 24 hours: the limit or the floor, whichever is more."""
    policy, memory = situation.desired.policy, situation.memory
    base = len(situation.observed.devices) + len(memory.unsubscribed - situation.observed.devices)
    return max(limit(base, policy.max_unsubscribe), policy.max_unsubscribe_floor)


def budget(situation: Situation) -> int:
    """Return how many more devices may be unsubscribed today without an approval."""
    return max(allowance(situation) - len(situation.memory.unsubscribed), 0)


def empty_desired(plan: Plan, situation: Situation) -> Finding | None:
    """Hold every unsubscribe of an account that lists no device at all."""
    changes = _judged_by_number(plan, situation)
    if situation.desired.devices or situation.desired.policy.allow_empty or not changes:
        return None
    message = f"the account lists no device at all, {counted(len(changes), 'live device')} would go"
    return holding(Reason.EMPTY_DESIRED, changes, message)


def too_many(plan: Plan, situation: Situation) -> Finding | None:
    """Hold all unsubscribes if, with those of the last 24 hours, they are more than the limit."""
    changes = _judged_by_number(plan, situation)
    if not changes:
        return None
    policy, gone = situation.desired.policy, situation.memory.unsubscribed
    number = len(gone.union(change.device for change in changes))
    allowed = allowance(situation)
    if number <= allowed:
        return None
    verb = "is" if len(gone) == 1 else "are"
    already = f" ({len(gone)} of them {verb} gone already)" if gone else ""
    message = (
        f"{counted(number, 'device')} would be unsubscribed within 24 hours{already}, {allowed} are allowed: "
        f"max_unsubscribe is {policy.max_unsubscribe}, max_unsubscribe_floor is {policy.max_unsubscribe_floor}"
    )
    return holding(Reason.TOO_MANY, changes, message)


def _judged_by_number(plan: Plan, situation: Situation) -> list[Change]:
    """Return the unsubscribes that count. Approved devices and devices wanted elsewhere do not."""
    approved, elsewhere = plan.approved, situation.elsewhere
    return [
        one
        for one in plan.unsubscribes
        if one.device not in approved and one.device not in elsewhere
    ]
