"""The report of one pass.

Owns: the step from a verdict, and what was done about it, to the report. When the next pass is due is in ``schedule``.
Must not: read a clock, do I/O, or log.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.core import approvals, backoff, guards
from reconciler.core.account import Contact, ListRead
from reconciler.core.backoff import Random
from reconciler.core.errors import Throttled, stops_account
from reconciler.core.evaluate import Verdict, everything_held
from reconciler.core.model import Action, Held, Memory, Observed, Reason
from reconciler.core.planner import overlaid, plan
from reconciler.core.run import PassAborted, Run, Work
from reconciler.core.status import PassReport

ON_THE_LAST_LIST = "Based on the last trusted list; LG's list is not available now."


@dataclass(frozen=True, slots=True)
class Remainder:
    """The changes that were not tried, each with its reason; when the account may continue; how LG treated it."""

    held: tuple[Held, ...] = ()
    opens: datetime | None = None
    contact: Contact = field(default_factory=lambda: Contact(ListRead.READ))


def remainder(
    run: Run, verdict: Verdict, work: Work, *, now: datetime, opens: datetime | None, random: Random
) -> Remainder:
    """Return what is left of a plan. ``opens`` is when a used-up quota has room again for what is left."""
    account = run.account.touched(Contact(ListRead.READ))
    full_until = now + backoff.FULL if work.full is not None else None
    if work.outdated:
        return Remainder((), now, _contact(verdict, work))
    reason, until, contact = Reason.QUOTA, work.opens_at, _contact(verdict, work)
    if isinstance(work.ended, Throttled):
        until = opens or now
    elif stops_account(work.ended):
        stop = account.next_stop(str(work.ended), now, random, at_list=False)
        reason, until = Reason.ACCOUNT_STOPPED, stop.until
        contact = Contact(ListRead.READ, stop=stop)
    elif work.ended is not None:
        reason, until = Reason.RETRY, now + backoff.LIST.after(account.broken_passes + 1, random)
        contact = Contact(ListRead.READ, broken_off=True)
    elif full_until is not None and work.opens_at is None:
        reason, until = Reason.SUBSCRIPTIONS_FULL, full_until
    return Remainder(_held(work, reason, until, full_until), until, contact)


def _contact(verdict: Verdict, work: Work) -> Contact:
    return Contact(
        ListRead.READ,
        all_taken=work.ended is None and not verdict.retries_hold and not work.unexpected,
    )


def _held(
    work: Work, reason: Reason, until: datetime | None, full_until: datetime | None
) -> tuple[Held, ...]:
    """Hold each change that is left. If LG's cap is reached, too, that is the reason of subscribes."""
    held = []
    for change in work.left:
        if full_until is not None and change.action is Action.SUBSCRIBE:
            held.append(Held(change, Reason.SUBSCRIPTIONS_FULL, full_until))
        else:
            held.append(Held(change, reason, until))
    return tuple(held)


def summarize(
    run: Run, verdict: Verdict, work: Work, left: Remainder, memory: Memory, *, due: datetime
) -> PassReport:
    """Return the report of a pass that had a list. ``memory`` is what is known after it.

    If the list is doubted, figures for people are counted without it.
    """
    situation, known = verdict.situation, None
    if verdict.suspect:
        observed = Observed(memory.expected or frozenset(), run.began)
        situation = replace(situation, observed=observed, memory=memory)
        known = plan(run.desired, observed, memory, run.began, theirs=run.theirs)
    live = overlaid(situation.observed, situation.memory)
    return PassReport(
        desired=run.desired,
        began=run.began,
        due=due,
        plan=verdict.plan,
        known=known,
        left=left.held,
        outcomes=tuple(work.outcomes),
        observed=None if verdict.suspect else len(situation.observed.devices),
        budget_remaining=guards.budget(situation),
        pause=run.pause,
        observing=run.observing,
        stopped=run.account.touched(left.contact).stop is not None,
        error="" if work.ended is None else str(work.ended),
        rejected=run.accepted.rejected,
        theirs=run.theirs,
        openings=run.openings,
        unexpected=work.unexpected,
        remarks=approvals.remarks(run.desired, live, run.began),
    )


def summarize_without_list(
    run: Run, verdict: Verdict | None, aborted: PassAborted, *, due: datetime
) -> PassReport:
    """Return the report of a pass that had no list: every known change is held.

    ``verdict`` rests on the last trusted list; it is None if there never was one.
    """
    return PassReport(
        desired=run.desired,
        began=run.began,
        due=due,
        plan=verdict.plan if verdict is not None else None,
        left=everything_held(verdict, aborted.reason, aborted.until) if verdict is not None else (),
        budget_remaining=verdict.budget if verdict is not None else 0,
        pause=run.pause,
        observing=run.observing,
        stopped=run.account.touched(aborted.contact).stop is not None,
        error="" if aborted.reason is Reason.QUOTA else str(aborted),
        rejected=run.accepted.rejected,
        theirs=run.theirs,
        openings=run.openings,
        remarks=_remarks_without_list(verdict, aborted),
    )


def _remarks_without_list(verdict: Verdict | None, aborted: PassAborted) -> tuple[str, ...]:
    remarks = [] if verdict is None else [ON_THE_LAST_LIST]
    if aborted.reason is Reason.QUOTA:
        remarks.append(f"{aborted}; asked again at {aborted.until:%Y-%m-%dT%H:%M:%SZ}")
    return tuple(remarks)
