"""The explanation of one device, put together from its facts.

Owns: where the device is beside what is wanted, and what holds its change. Must not: have rules of its own about what
is wanted or held: the planner and the guards are asked, about this one device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.core import backoff
from reconciler.core.acceptance import AccountRevision
from reconciler.core.evaluate import evaluate
from reconciler.core.guards import REMEDIES, Situation
from reconciler.core.model import Change, Held, Memory, Observed, Plan, Reason
from reconciler.core.planner import plan
from reconciler.desired import Role
from reconciler.reporting.explain.changes import change_report, wait_report
from reconciler.reporting.explain.facts import Facts
from reconciler.reporting.explain.sentences import next_step, summary, why
from reconciler.reporting.explain.values import (
    ApprovalReport,
    Explanation,
    HoldReport,
    MarkReport,
    PlaceReport,
    Position,
)
from reconciler.state import Mark


def tell(facts: Facts) -> Explanation:
    """Return the story of one device in one account."""
    alone = _alone(facts)
    state = _state(facts, alone)
    hold = _hold(facts)
    entry, text = facts.entry, facts.text
    name = (entry.name if entry is not None else None) or facts.name
    place = _place(facts, Role.DEVICE)
    if place is None and state is Position.IGNORED:
        place = _place(facts, Role.IGNORE)
    following, at = next_step(facts, state, hold)
    return Explanation(
        account=facts.account,
        device=facts.device,
        name=name,
        type=entry.type if entry is not None else None,
        summary=summary(facts, state, hold),
        state=state,
        desired=facts.wanted,
        why=why(facts),
        place=place,
        wanted_from=entry.from_ if entry is not None else None,
        wanted_until=entry.until if entry is not None else None,
        revision=str(text.revision) if text is not None else None,
        came=_mark(facts.stay.came),
        went=_mark(facts.stay.went),
        owned=facts.device in facts.memory.inventory,
        observed=facts.live,
        observed_at=facts.observed_at if facts.live is not None else None,
        hold=hold,
        wait=wait_report(facts.retry, facts.pasts) if facts.retry is not None else None,
        approvals=_approvals(facts),
        error=facts.error if facts.ending is None else facts.ending.error,
        next=following,
        next_at=at,
        next_pass=facts.next_pass,
        changes=tuple(change_report(past, name) for past in facts.pasts),
        protected=facts.protected_by is not None,
        protected_by=facts.protected_by,
        pending_rule=facts.pending_rule,
    )


def _alone(facts: Facts) -> Plan | None:
    """Return what the planner says of this device, or nothing where it cannot be asked."""
    expected = facts.memory.expected
    if facts.text is None or expected is None:
        return None
    one, desired = frozenset({facts.device}), facts.text.desired
    described = {} if facts.entry is None else {facts.device: facts.entry}
    narrow = replace(desired, devices=desired.devices & one, described=described)
    memory = Memory(inventory=facts.memory.inventory & one)
    observed = Observed(expected & one, facts.now)
    return plan(narrow, observed, memory, facts.now, theirs=facts.theirs)


def _state(facts: Facts, alone: Plan | None) -> Position:
    """Return where the device is, by what the planner says of it."""
    if alone is None:
        return _unplanned(facts)
    found = (
        (Position.IGNORED, alone.ignored),
        (Position.MISSING, alone.subscribes),
        (Position.EXTRA, alone.unsubscribes),
        (Position.UNMANAGED, alone.unmanaged),
        (Position.IN_SYNC, alone.in_sync),
    )
    for state, there in found:
        if there:
            return state
    return Position.ABSENT


def _unplanned(facts: Facts) -> Position:
    """Return where the device is, when there is no list or the account is not in the revision in force."""
    if facts.text is not None or facts.live is None:
        return Position.UNKNOWN
    return Position.UNMANAGED if facts.live else Position.ABSENT


def _hold(facts: Facts) -> HoldReport | None:
    """Return what holds a change of this device: by its last pass, or by what a pass would find now."""
    if facts.text is None:
        return None
    judged, held = judged_now(facts, facts.text)
    mine = [one for one in held if one.change.device == facts.device]
    found = mine[0] if mine else _waiting(facts)
    if found is None:
        return None
    return HoldReport(
        action=found.change.action,
        reason=found.reason,
        kind=found.reason.kind,
        message=_message(facts, found.reason, judged),
        until=found.until,
        remedy=REMEDIES[found.reason],
    )


def judged_now(facts: Facts, text: AccountRevision) -> tuple[Plan | None, Sequence[Held]]:
    """Return the plan that says what holds an account's changes, and all that are held.

    It is that of the last pass, or what a pass would find now.
    """
    if facts.ending is not None and facts.ending.of(text):
        return facts.ending.plan, facts.ending.held
    judged = _judged(facts, text)
    return judged, judged.held if judged is not None else ()


def _message(facts: Facts, reason: Reason, judged: Plan | None) -> str:
    """Return the sentence of what holds the device. A wait has its own report."""
    if judged is None or (facts.retry is not None and reason in {Reason.RETRY, Reason.REFUSED}):
        return ""
    for one in judged.tripped:
        if one.reason is reason:
            return one.message
    return ""


def _judged(facts: Facts, text: AccountRevision) -> Plan | None:
    """Return what a pass would hold now, by what is known from before; None where no list was ever trusted."""
    memory = facts.memory
    if memory.expected is None:
        return None
    situation = Situation(
        desired=text.desired,
        observed=Observed(memory.expected, facts.now),
        memory=memory,
        now=facts.now,
        observing=facts.observing,
        rejected=text.rejected,
        unsettled=text.unsettled,
        pause_override=facts.pause_override,
        platform=facts.platform,
        theirs=facts.theirs,
        openings=facts.openings,
    )
    return evaluate(situation, facts.claims, backoff.longest).plan


def _waiting(facts: Facts) -> Held | None:
    """Return the wait that the last pass itself began, by a call that failed or was refused."""
    retry = facts.retry
    if retry is None or retry.until <= facts.now:
        return None
    return Held(Change(facts.account, retry.action, facts.device), retry.reason, retry.until)


def _mark(mark: Mark | None) -> MarkReport | None:
    if mark is None:
        return None
    revision, commit = str(mark.revision), mark.revision.made_by
    if commit is None:
        return MarkReport(mark.at, revision, commit=None, author=None, subject=None)
    return MarkReport(mark.at, revision, commit.id, commit.author, commit.subject)


def _place(facts: Facts, role: Role, approval: int = 0) -> PlaceReport | None:
    for one in facts.sightings:
        if one.role is role and one.account in {None, facts.account} and one.approval == approval:
            return PlaceReport(one.path, one.line, one.column)
    return None


def _approvals(facts: Facts) -> tuple[ApprovalReport, ...]:
    """Return the approvals that name the device."""
    given = facts.text.desired.approvals if facts.text is not None else ()
    return tuple(
        ApprovalReport(
            reason=one.reason,
            expires=one.expires,
            active=facts.latest < one.expires,
            devices=len(one.devices),
            place=_place(facts, Role.APPROVAL, number),
        )
        for number, one in enumerate(given)
        if facts.device in one.devices
    )
