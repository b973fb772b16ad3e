"""Builders for one pass as the pure core sees it: the pass, what was judged, and what became of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from core_strategies import NOW
from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.account import AccountState, Contact
from reconciler.core.evaluate import Verdict, evaluate
from reconciler.core.guards import PauseOverride, Situation
from reconciler.core.model import Cause, Desired, PassId, Reason, Revision
from reconciler.core.run import PassAborted, Run
from reconciler.core.status import AccountStatus

REVISION = Revision("5" * 64)


def midpoint() -> float:
    """Return one half, as chance."""
    return 0.5


def state_of(desired: Desired, **more: Any) -> AccountState:
    """Return the state of an account that had no pass, but for what is given."""
    return replace(AccountState(AccountStatus(desired.account)), **more)


def running(desired: Desired, account: AccountState | None = None, **more: Any) -> Run:
    """Return a pass on this desired state that begins at ``NOW``."""
    rejected: Cause | None = more.pop("rejected", None)
    begun = Run(
        id=PassId("pass-1"),
        accepted=AccountRevision(desired, REVISION, rejected),
        account=account or state_of(desired),
        began=NOW,
        steady=0.0,
        theirs=None,
        sure=NOW,
        boundary=None,
        pause_override=PauseOverride(),
        observing=False,
    )
    return replace(begun, **more)


def judged(situation: Situation) -> Verdict:
    """Return what a pass in this situation would do and hold; no other account wants anything."""
    return evaluate(situation, Claims(), midpoint)


def aborted(reason: Reason, until: datetime, contact: Contact | None = None) -> PassAborted:
    """Return why there is no list."""
    return PassAborted(reason, "no list", until, contact or Contact())
