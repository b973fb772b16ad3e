"""What one account carries from pass to pass in this process: how LG treats it, and the last reported facts.

Owns: the state machine of an account (healthy, failing, stopped) and its one transition, ``AccountState.after``.
Pure. Must not: know how LG is asked, or decide what to change. A restart begins with a new state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from reconciler.core import backoff
from reconciler.core.approvals import asks
from reconciler.core.backoff import Random
from reconciler.core.guards import Platform
from reconciler.core.model import Change, Desired, DeviceId, Reason
from reconciler.core.status import AccountStatus, PassReport


class ListRead(StrEnum):
    """What became of the list in one pass."""

    NOT_ASKED = "not_asked"
    FAILED = "failed"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Stop:
    """LG refuses the account: why, how often in a row, and until when no call is made.

    ``until`` is None if the account may be tried at once: a credential changed, or a person asked for it. ``at_list``:
    LG refused the list itself, so a list that is read ends the stop.
    """

    why: str
    count: int
    until: datetime | None
    at_list: bool


@dataclass(frozen=True, slots=True)
class Contact:
    """How LG treated the account in one pass: what became of the list, and of the changes.

    ``stop``: LG refused the account. ``broken_off``: LG's failures ended the changes. ``all_taken``: LG refused and
    failed nothing.
    """

    list: ListRead = ListRead.NOT_ASKED
    stop: Stop | None = None
    broken_off: bool = False
    all_taken: bool = False


@dataclass(frozen=True, slots=True)
class AccountState:
    """One account between two passes.

    ``failed_lists`` and ``broken_passes`` count failures in a row. ``stop`` is set while LG refuses the account.
    ``waiting`` is the number of changes that wait for the quota. ``tripped``, ``held`` and ``flapping`` are from the
    last pass. ``desired`` is what the last pass wanted; it has not been reached since ``desired_since``.
    """

    status: AccountStatus
    failed_lists: int = 0
    broken_passes: int = 0
    stop: Stop | None = None
    waiting: int = 0
    tripped: frozenset[Reason] = frozenset()
    held: frozenset[tuple[Change, Reason]] = frozenset()
    flapping: frozenset[DeviceId] = frozenset()
    desired: Desired | None = None
    desired_since: datetime | None = None

    @property
    def degraded(self) -> bool:
        """Say whether LG did not answer the last call of this account; the next call may wait in vain, too."""
        return self.failed_lists > 0 or self.broken_passes > 0

    @property
    def platform(self) -> Platform:
        """Return what LG does not let the account do for now: everything, while it is stopped."""
        return Platform() if self.stop is None else Platform(self.stop.why, self.stop.until)

    @property
    def waits_for_room(self) -> bool:
        """Say whether subscribes were held at the last pass because LG's cap was reached."""
        return any(reason is Reason.SUBSCRIPTIONS_FULL for _change, reason in self.held)

    def beginning(self, desired: Desired, now: datetime) -> AccountState:
        """Return the state at the start of a pass. The time to converge starts again if the desired state changed.

        A stop ends no later than the longest stop that begins now, because a wrong clock may have dated it.
        """
        since = self.desired_since if self.desired is desired else now
        stop = self.stop
        if stop is not None and stop.until is not None:
            stop = replace(stop, until=min(stop.until, now + backoff.STOPPED.most))
        return replace(self, desired=desired, desired_since=since, stop=stop)

    def shifted(self, step: timedelta) -> AccountState:
        """Return the state after a step of the wall clock: a stop keeps its length."""
        if self.stop is None or self.stop.until is None:
            return self
        return replace(self, stop=replace(self.stop, until=self.stop.until + step))

    def resumed(self) -> AccountState:
        """Return the state in which a stopped account may try again at once."""
        return self if self.stop is None else replace(self, stop=replace(self.stop, until=None))

    def next_stop(self, why: str, now: datetime, random: Random, *, at_list: bool) -> Stop:
        """Return the stop after one more refusal of the account."""
        count = 1 if self.stop is None else self.stop.count + 1
        return Stop(why, count, now + backoff.STOPPED.after(count, random), at_list)

    def touched(self, contact: Contact) -> AccountState:
        """Return how LG treats the account after one pass: healthy, failing or stopped."""
        failed_lists = self.failed_lists
        if contact.list is ListRead.READ:
            failed_lists = 0
        elif contact.list is ListRead.FAILED:
            failed_lists += 1
        recovered = contact.all_taken or (
            contact.list is ListRead.READ and self.stop is not None and self.stop.at_list
        )
        broken_passes = 0 if recovered else self.broken_passes
        stop = None if recovered else self.stop
        return replace(
            self,
            failed_lists=failed_lists,
            broken_passes=broken_passes + contact.broken_off,
            stop=contact.stop or stop,
        )

    def after(self, report: PassReport, contact: Contact) -> AccountState:
        """Return the state that one pass leaves behind."""
        plan = report.plan
        tripped = plan.tripped if plan is not None else ()
        return replace(
            self.touched(contact),
            status=self.status.after(report),
            waiting=sum(held.reason is Reason.QUOTA for held in report.held),
            tripped=frozenset(one.reason for one in tripped if asks(one.reason)),
            held=frozenset((one.change, one.reason) for one in report.held),
            flapping=report.flapping if plan is not None else self.flapping,
            desired_since=None if report.settled else self.desired_since,
        )
