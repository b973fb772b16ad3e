"""A person's word that devices may go: the block that gives it, and what became of those that were given.

Owns: which devices need that word, the ready block to commit, and remarks on approvals that say nothing any more.
Pure. Must not: release anything; that is the guards' business.

An approval lives in the file, in the same pull request as the removal, and names devices one by one: so it is reviewed,
it ends, and it can never mean more than it says.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.core.model import Action, Desired, DeviceId, Plan, Reason

APPROVABLE = frozenset({Reason.EMPTY_DESIRED, Reason.TOO_MANY, Reason.WANTED_ELSEWHERE})
"""What an approval takes devices past. Nothing else can be approved away."""


def needed(plan: Plan) -> tuple[DeviceId, ...]:
    """Return the devices of a plan that only wait for a person's word, sorted."""
    return tuple(
        held.change.device
        for held in plan.held
        if held.reason in APPROVABLE
        and held.change.action is Action.UNSUBSCRIBE
        and held.change.device not in plan.approved
    )


def remarks(desired: Desired, live: frozenset[DeviceId], now: datetime) -> tuple[str, ...]:
    """Return a sentence for each approval of an account that has ended, or that names nothing live any more."""
    found = []
    for approval in desired.approvals:
        subject = f"the approval {approval.reason!r} of account {desired.account}"
        left = approval.devices & live
        if approval.expires <= now:
            kept = f"; {len(left)} devices that it names are still live" if left else ""
            found.append(f"{subject} expired at {approval.expires:%Y-%m-%dT%H:%M:%SZ}{kept}")
        elif not left:
            found.append(f"{subject} names no live device (any more): it can be removed")
        elif left != approval.devices:
            found.append(
                f"{subject} names {len(approval.devices - left)} devices that are not live"
            )
    return tuple(found)
