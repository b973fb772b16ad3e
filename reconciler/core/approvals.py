"""Approvals that let devices go: the block to commit, and remarks on approvals that no longer matter.

Owns: which devices need an approval, the ready block, and the remarks.
Must not: release anything; the guards do. It is pure.

An approval is in the file, in the same pull request as the removal, and names devices one by one. So it is reviewed, it
ends, and it covers no other device.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.core.model import Action, Desired, DeviceId, Kind, Plan, Reason

APPROVABLE = frozenset(
    {Reason.EMPTY_DESIRED, Reason.TOO_MANY, Reason.WANTED_ELSEWHERE, Reason.PROTECTED}
)
"""The reasons that an approval releases. It releases no other."""


def asks(reason: Reason) -> bool:
    """Say whether a person has to decide: a guard asks for that, and so does a protected device that would go."""
    return reason.kind is Kind.GUARD or reason is Reason.PROTECTED


def needed(plan: Plan) -> tuple[DeviceId, ...]:
    """Return the devices of a plan that wait for nothing but an approval, sorted."""
    return tuple(
        held.change.device
        for held in plan.held
        if held.reason in APPROVABLE
        and held.change.action is Action.UNSUBSCRIBE
        and held.change.device not in plan.approved
    )


def remarks(desired: Desired, live: frozenset[DeviceId], now: datetime) -> tuple[str, ...]:
    """Return a sentence for each approval of an account that has ended, or that names no live device."""
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
