"""Whether the desired state and our own memory are reliable.

Owns: files that may be half written, a newer revision that is rejected, a state that cannot be written.
Must not: read files, or judge a revision; ``core.unsettled`` and ``core.acceptance`` do.
"""

from __future__ import annotations

from datetime import timedelta

from reconciler.core.duration import show
from reconciler.core.guards.finding import Finding, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import Plan, Reason


def files_unsettled(plan: Plan, situation: Situation) -> Finding | None:
    """Hold devices that may be missing only because local files are half written."""
    unsettled = situation.unsettled
    if unsettled is None:
        return None
    waits = unsettled.devices
    changes = [change for change in plan.unsubscribes if waits is None or change.device in waits]
    if not changes:
        return None
    age = ""
    if unsettled.since is not None:
        age = f" (git's lock is {show(max(situation.now - unsettled.since, timedelta(0)))} old)"
    return holding(Reason.FILES_UNSETTLED, changes, f"{unsettled.message}{age}")


def desired_rejected(plan: Plan, situation: Situation) -> Finding | None:
    """Hold unsubscribes while a newer revision is rejected: it may want devices that the older one does not."""
    if situation.rejected is None or not plan.unsubscribes:
        return None
    message = f"the newest revision is rejected ({situation.rejected}); an older one is in force"
    return holding(Reason.DESIRED_REJECTED, plan.unsubscribes, message)


def state_unwritable(plan: Plan, situation: Situation) -> Finding | None:
    """Hold unsubscribes while the state cannot be written: they could not be counted."""
    if situation.memory.writable or not plan.unsubscribes:
        return None
    return holding(
        Reason.STATE_UNWRITABLE,
        plan.unsubscribes,
        "the state cannot be written, so what we do could not be remembered",
    )
