"""The status of an account after a pass: the read model that status, page, exit codes and metrics share.

Owns: the words for an account's condition and a pass's result, and how figures follow from a plan and its outcomes.
Pure. Must not: fetch, decide or change anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core import approvals
from reconciler.core.acceptance import AccountRevision
from reconciler.core.model import (
    NOTHING,
    AccountName,
    Action,
    Cause,
    Condition,
    Desired,
    DeviceId,
    Held,
    Kind,
    Outcome,
    PassResult,
    Pause,
    Plan,
    Reason,
    Result,
)
from reconciler.core.windows import Openings


@dataclass(frozen=True, slots=True)
class PassReport:
    """The report of one pass.

    - ``plan``: the plan, with everything that was held; None if no list was ever trusted
    - ``left``: changes that were wanted and not tried
    - ``error``: why the pass could not do its work
    - ``stopped``: LG refuses the account
    - ``known``: if the list was doubted, the plan without that list; figures for people are counted from it
    - ``unexpected``: the plan was not the one that the person had agreed to, so no change was made
    - ``remarks``: approvals that no longer matter
    - ``rejected``: why a newer revision was not in force
    - ``theirs``: LG's time when the pass began, if it differs from ours
    - ``names``: the last known names of devices that the plan would take out, whose entry may be gone; of a report that
      is kept, only those that an approval block shows
    """

    desired: Desired
    began: datetime
    due: datetime
    plan: Plan | None = None
    known: Plan | None = None
    left: tuple[Held, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    observed: int | None = None
    budget_remaining: int = 0
    pause: Pause = Pause.NONE
    observing: bool = False
    stopped: bool = False
    error: str = ""
    unexpected: bool = False
    remarks: tuple[str, ...] = ()
    rejected: Cause | None = None
    theirs: datetime | None = None
    names: Mapping[DeviceId, str] = field(default_factory=dict)
    openings: Openings = ()

    @property
    def trusted(self) -> bool:
        """Say whether the pass had a live list that was believed."""
        return self.observed is not None

    def theirs_at(self, now: datetime) -> datetime | None:
        """Return LG's time when ours is ``now``, where the two differed in this pass."""
        return None if self.theirs is None else self.theirs + (now - self.began)

    @property
    def list_read(self) -> bool:
        """Say whether LG gave a list, believed or doubted. Without one a plan rests on the last trusted list."""
        tripped = self.plan.tripped if self.plan is not None else ()
        return self.trusted or any(one.reason is Reason.SUSPECT_LIST for one in tripped)

    @property
    def counted(self) -> Plan | None:
        """Return the plan that figures are counted from. It never rests on a doubted list."""
        return self.known or self.plan

    @property
    def held(self) -> tuple[Held, ...]:
        """Return every change that was wanted and not made, with its reason."""
        return (*(self.plan.held if self.plan else ()), *self.left)

    @property
    def flapping(self) -> frozenset[DeviceId]:
        """Return the devices that LG loses again and again."""
        return self.counted.flapping if self.counted is not None else frozenset()

    @property
    def needs_approval(self) -> tuple[DeviceId, ...]:
        """Return the devices that only an approval lets go, sorted."""
        return approvals.needed(self.plan) if self.plan is not None else ()

    @property
    def going(self) -> tuple[DeviceId, ...]:
        """Return the devices that the plan would take out, held or not. Their entries are mostly gone."""
        plan = self.plan
        if plan is None:
            return ()
        changes = (*plan.unsubscribes, *(held.change for held in plan.held))
        return tuple(change.device for change in changes if change.action is Action.UNSUBSCRIBE)

    @property
    def unmade(self) -> tuple[Outcome, ...]:
        """Return the changes that LG did not make."""
        return tuple(outcome for outcome in self.outcomes if not outcome.result.confirmed)

    @property
    def refused(self) -> frozenset[DeviceId]:
        """Return the devices whose change LG refused in this pass, or refused before until a later time."""
        now = (
            outcome.change.device for outcome in self.outcomes if outcome.result is Result.REFUSED
        )
        return frozenset(
            (*now, *(held.change.device for held in self.held if held.reason is Reason.REFUSED))
        )

    def of(self, text: AccountRevision) -> bool:
        """Say whether the pass was of this revision, and knew of the same rejected newer one."""
        return self.desired is text.desired and self.rejected is text.rejected

    @property
    def made_room(self) -> bool:
        """Say whether the pass unsubscribed devices and left no subscribe because of LG's cap."""
        if any(held.reason is Reason.SUBSCRIPTIONS_FULL for held in self.left):
            return False
        confirmed = (outcome.change.action for outcome in self.outcomes if outcome.result.confirmed)
        return Action.UNSUBSCRIBE in confirmed

    @property
    def guarded(self) -> bool:
        """Say whether a person has to decide: a guard holds something, or doubts the list, or protection holds."""
        reasons = [held.reason for held in self.held] + [
            one.reason for one in (self.plan.tripped if self.plan else ())
        ]
        return any(approvals.asks(reason) for reason in reasons)

    @property
    def unfinished(self) -> bool:
        """Say whether a change that no guard held was not made: LG did not make it, or the pass ended before."""
        made = sum(outcome.result.confirmed for outcome in self.outcomes)
        return self.plan is not None and made < self.plan.changes

    @property
    def settled(self) -> bool:
        """Say whether nothing is left to change."""
        return self.trusted and not self.held and not self.unfinished

    @property
    def condition(self) -> Condition:
        """Return the account's condition after this pass."""
        if self.stopped:
            return Condition.STOPPED
        if self.observing or self.pause is not Pause.NONE:
            return Condition.PAUSED
        if self.guarded or any(held.reason.kind is Kind.POLICY for held in self.held):
            return Condition.HELD
        return Condition.IN_SYNC if self.settled else Condition.CONVERGING

    @property
    def result(self) -> PassResult:
        """Return how the pass ended."""
        if not self.trusted:
            return (
                PassResult.HELD
                if (self.held or self.guarded) and not self.error
                else PassResult.FAILED
            )
        if self.unexpected:
            return PassResult.HELD
        if self.unfinished:
            return PassResult.PARTIAL
        if self.held:
            return PassResult.HELD
        return PassResult.CHANGED if self.outcomes else PassResult.CLEAN


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account: its last pass, and the time of each state. A time is None if there was none yet.

    ``alike`` are other accounts whose last trusted list has the same devices, two or more.
    """

    account: AccountName
    last: PassReport | None = None
    observed: int = 0
    last_success: datetime | None = None
    out_of_sync_since: datetime | None = None
    alike: tuple[AccountName, ...] = ()

    @property
    def condition(self) -> Condition:
        """Return the account's condition. Before its first pass it is converging."""
        return self.last.condition if self.last is not None else Condition.CONVERGING

    def after(self, ending: PassReport) -> AccountStatus:
        """Return the status of the account after a pass.

        After a pass without a list, an account that was in sync stays so, unless its desired state changed.
        """
        trusted = ending.trusted
        in_sync = ending.settled or (
            not trusted
            and self.last_success is not None
            and self.out_of_sync_since is None
            and not ending.held
        )
        return AccountStatus(
            account=self.account,
            last=ending,
            observed=ending.observed if ending.observed is not None else self.observed,
            last_success=ending.began if trusted else self.last_success,
            out_of_sync_since=None if in_sync else self.out_of_sync_since or ending.began,
        )


def states(ending: PassReport) -> dict[str, int]:
    """Count devices by their relation to the desired state after the pass. The sum is all that are wanted or live.

    If the list was doubted, the changes of the pass are already in the plan that is counted.
    """
    plan = ending.counted
    if plan is None:
        return {}
    wanted = Counter(change.action for change in (*plan.subscribes, *plan.unsubscribes))
    wanted.update(held.change.action for held in plan.held)
    outcomes = ending.outcomes if ending.known is None else ()
    made = Counter(outcome.change.action for outcome in outcomes if outcome.result.confirmed)
    return {
        "in_sync": plan.in_sync + made[Action.SUBSCRIBE],
        "missing": wanted[Action.SUBSCRIBE] - made[Action.SUBSCRIBE],
        "extra": wanted[Action.UNSUBSCRIBE] - made[Action.UNSUBSCRIBE],
        "unmanaged": len(plan.unmanaged),
        "ignored": len(plan.ignored),
    }


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of an account's last pass. Times are epoch seconds, 0 if there was none yet."""

    condition: Condition = Condition.CONVERGING
    desired: int = 0
    observed: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    flapping: int = 0
    held: Mapping[tuple[Action, Reason], int] = field(default_factory=dict)
    tripped: frozenset[Reason] = frozenset()
    budget_remaining: int = 0
    approvals_active: int = 0
    approvals_expired: int = 0
    last_attempt: float = 0.0
    last_success: float = 0.0
    out_of_sync_since: float = 0.0
    quota_limit: int | None = None
    quota_remaining: int | None = None
    token_expiry: float | None = None


def figures(
    standing: AccountStatus,
    *,
    quota_limit: int | None = None,
    quota_remaining: int | None = None,
    token_expiry: float | None = None,
) -> Figures:
    """Return an account's numbers for Prometheus."""
    ending = standing.last
    if ending is None:
        return Figures()
    desired = ending.desired
    latest = max(ending.began, ending.theirs or ending.began)
    active = sum(latest < approval.expires for approval in desired.approvals)
    tripped = {one.reason for one in ending.plan.tripped} if ending.plan else set()
    return Figures(
        condition=standing.condition,
        desired=len(desired.wanted_by(ending.began, ending.theirs)),
        observed=standing.observed,
        states=states(ending),
        flapping=len(ending.flapping),
        held=Counter((held.change.action, held.reason) for held in ending.held),
        tripped=frozenset(reason for reason in tripped if reason.kind is Kind.GUARD) or NOTHING,
        budget_remaining=ending.budget_remaining,
        approvals_active=active,
        approvals_expired=len(desired.approvals) - active,
        last_attempt=ending.began.timestamp(),
        last_success=_seconds(standing.last_success),
        out_of_sync_since=_seconds(standing.out_of_sync_since),
        quota_limit=quota_limit,
        quota_remaining=quota_remaining,
        token_expiry=token_expiry,
    )


def counts(ending: PassReport) -> dict[str, int]:
    """Return the counts of one pass for its log line and its report."""
    made = Counter((outcome.change.action, outcome.result.confirmed) for outcome in ending.outcomes)
    results = Counter(outcome.result for outcome in ending.outcomes)
    return {
        **states(ending),
        "subscribed": made[Action.SUBSCRIBE, True],
        "unsubscribed": made[Action.UNSUBSCRIBE, True],
        "failed": results[Result.FAILED],
        "refused": results[Result.REFUSED],
        "held": len(ending.held),
    }


def reasons(ending: PassReport) -> dict[Reason, int]:
    """Return how many changes each reason holds."""
    return dict(Counter(held.reason for held in ending.held))


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()
