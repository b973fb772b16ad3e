"""One pass as a value: how it begins, why it may have no list, and what became of its changes.

Owns: the values that a pass hands from step to step.
Pure. Must not: read a clock, do I/O, or log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.acceptance import AccountRevision
from reconciler.core.account import AccountState, Contact
from reconciler.core.errors import PlatformError, SubscriptionsFull
from reconciler.core.guards import PauseOverride, Platform, Situation
from reconciler.core.model import (
    AccountName,
    Change,
    Desired,
    Memory,
    Observed,
    Outcome,
    PassId,
    Pause,
    Reason,
)
from reconciler.core.windows import Openings


@dataclass(frozen=True, slots=True)
class Run:
    """One pass as it began: its account, and everything that it compares with before each call.

    ``accepted`` is the account's revision in force. ``account`` is what the passes before left behind. ``steady`` is
    the start in seconds of the steady clock. ``theirs`` is LG's time at the start, if it differs from ours; ``sure``
    is the latest moment that has surely come. ``boundary`` is the next date at which the wanted devices, the
    approvals or the change windows change, by either clock. ``term`` is another number where another replica had the
    account since. ``openings`` are the change windows of the account that a command opened.
    """

    id: PassId
    accepted: AccountRevision
    account: AccountState
    began: datetime
    steady: float
    theirs: datetime | None
    sure: datetime
    boundary: datetime | None
    pause_override: PauseOverride
    observing: bool
    term: int | None = 0
    openings: Openings = ()

    @property
    def name(self) -> AccountName:
        """Return the account's name."""
        return self.accepted.desired.account

    @property
    def desired(self) -> Desired:
        """Return what the account wants."""
        return self.accepted.desired

    @property
    def pause(self) -> Pause:
        """Return the stricter of the pause in the file and the pause by command."""
        return self.desired.policy.pause.stricter(self.pause_override.pause)

    def situation(self, observed: Observed, memory: Memory, platform: Platform) -> Situation:
        """Return everything that decides what this pass does, given a list and the memory of the account."""
        return Situation(
            desired=self.desired,
            observed=observed,
            memory=memory,
            now=self.began,
            observing=self.observing,
            rejected=self.accepted.rejected,
            unsettled=self.accepted.unsettled,
            pause_override=self.pause_override,
            platform=platform,
            theirs=self.theirs,
            sure=self.sure,
            openings=self.openings,
        )


class PassAborted(Exception):
    """There is no list to act on: the account is stopped or out of calls, or LG gave no list."""

    def __init__(self, reason: Reason, message: str, until: datetime, contact: Contact) -> None:
        super().__init__(message)
        self.reason = reason
        self.until = until
        self.contact = contact

    @property
    def platform(self) -> Platform:
        """Return what LG does not let the account do for now."""
        if self.reason is Reason.ACCOUNT_STOPPED:
            return Platform(stopped=str(self), stopped_until=self.until)
        if self.reason is Reason.QUOTA:
            return Platform(throttled_until=self.until)
        return Platform()


@dataclass(slots=True)
class Work:
    """What became of a plan.

    ``left`` are the changes that were not tried or not judged. One of the other fields says why: another revision is in
    force now (``outdated``), LG's answer ended the pass (``ended``), LG's cap on subscribed devices is reached
    (``full``), or the account's calls are used up until ``opens_at``. ``unexpected``: the plan was not the one that a
    person agreed to, so no change was tried.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    left: list[Change] = field(default_factory=list)
    outdated: bool = False
    ended: PlatformError | None = None
    full: SubscriptionsFull | None = None
    opens_at: datetime | None = None
    unexpected: bool = False

    @property
    def over(self) -> bool:
        """Say whether no further call may be made."""
        return self.outdated or self.ended is not None or self.opens_at is not None
