"""The story of one device in one account, and of changes that were made: plain values, ready to be shown.

Owns: what is told of a device, in sentences, from facts that were gathered elsewhere; and the shape of a past change.
Pure. Must not: gather facts, render, or have rules of its own about what is wanted or held: the planner and the guards
are asked, about this one device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from reconciler.core import backoff
from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.evaluate import evaluate
from reconciler.core.guards import REMEDIES, PauseOverride, Platform, Situation
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Device,
    DeviceId,
    Held,
    Kind,
    Memory,
    Observed,
    Plan,
    Reason,
    Result,
    Retry,
)
from reconciler.core.planner import plan
from reconciler.core.status import PassReport
from reconciler.desired import Role, Sighting
from reconciler.state import Mark, Past, Stay


class Position(StrEnum):
    """What a device is to us: the first five are those of ``pcc_devices``."""

    IN_SYNC = "in_sync"
    MISSING = "missing"
    EXTRA = "extra"
    UNMANAGED = "unmanaged"
    IGNORED = "ignored"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """One past change. ``result`` is nothing as long as neither an answer nor a list told what became of it."""

    at: datetime
    account: str
    device: str
    name: str | None
    action: str
    result: str | None
    confirmed_by: str | None
    approved: bool
    revision: str | None
    commit: str | None
    author: str | None
    subject: str | None
    pass_id: str
    message_id: str | None
    lg_message_id: str | None
    status: int | None
    code: str | None
    words: str


@dataclass(frozen=True, slots=True)
class MarkReport:
    """The text that brought a device in or took it out, and when it came into force."""

    at: datetime
    revision: str
    commit: str | None
    author: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class PlaceReport:
    """Where something stands in a text."""

    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class HoldReport:
    """What holds the change that is wanted for the device, until when, and what a person does about it."""

    action: str
    reason: str
    kind: str
    message: str
    until: datetime | None
    remedy: str


@dataclass(frozen=True, slots=True)
class WaitReport:
    """That the device waits after failed or refused calls. ``since`` is the first of them that is still known."""

    reason: str
    action: str
    attempts: int
    since: datetime | None
    next_try: datetime
    code: str | None
    words: str


@dataclass(frozen=True, slots=True)
class ApprovalReport:
    """An approval, and whether it still counts."""

    reason: str
    expires: datetime
    active: bool
    devices: int
    place: PlaceReport | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of one device in one account. ``observed`` is nothing where no list was ever trusted."""

    account: str
    device: str
    name: str | None
    type: str | None
    summary: str
    state: str
    desired: bool
    why: str
    place: PlaceReport | None
    wanted_from: datetime | None
    wanted_until: datetime | None
    revision: str | None
    came: MarkReport | None
    went: MarkReport | None
    owned: bool
    observed: bool | None
    observed_at: datetime | None
    hold: HoldReport | None
    wait: WaitReport | None
    approvals: tuple[ApprovalReport, ...]
    error: str
    next: str
    next_at: datetime | None
    next_pass: datetime | None
    changes: tuple[ChangeReport, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was gathered of one device in one account. ``pasts`` are its changes, newest first.

    ``ending`` is what the account's last pass came to, where one was made in this process. ``platform`` is what LG does
    not let the account do for now, ``claims`` what other accounts want.
    """

    account: AccountName
    device: DeviceId
    now: datetime
    text: AccountRevision | None = None
    abandoned: bool = False
    memory: Memory = field(default_factory=Memory)
    stay: Stay = field(default_factory=Stay)
    pasts: Sequence[Past] = ()
    sightings: Sequence[Sighting] = ()
    ending: PassReport | None = None
    observed_at: datetime | None = None
    next_pass: datetime | None = None
    brake: PauseOverride = field(default_factory=PauseOverride)
    observing: bool = False
    platform: Platform = field(default_factory=Platform)
    claims: Claims = field(default_factory=Claims)

    @property
    def entry(self) -> Device | None:
        """Return what the text in force says of the device."""
        return self.text.desired.entry(self.device) if self.text is not None else None

    @property
    def live(self) -> bool | None:
        """Say whether the device should be live by all that is known, or nothing where no list was ever trusted."""
        return None if self.memory.expected is None else self.device in self.memory.expected

    @property
    def retry(self) -> Retry | None:
        """Return what the device waits for."""
        return self.memory.retries.get(self.device)


def change_report(past: Past, name: str | None) -> ChangeReport:
    """Return one past change; ``name`` is what the text in force calls the device."""
    commit = past.revision.made_by if past.revision is not None else None
    return ChangeReport(
        at=past.at,
        account=past.account,
        device=past.device,
        name=name,
        action=past.action,
        result=past.result,
        confirmed_by=past.confirmed_by,
        approved=past.approved,
        revision=str(past.revision) if past.revision is not None else None,
        commit=commit.id if commit is not None else None,
        author=commit.author if commit is not None else None,
        subject=commit.subject if commit is not None else None,
        pass_id=past.pass_id,
        message_id=past.message_id,
        lg_message_id=past.lg_message_id,
        status=past.status,
        code=past.code,
        words=past.words,
    )


def wait_report(retry: Retry, pasts: Sequence[Past]) -> WaitReport:
    """Return what a device waits for; since when, its past changes tell, newest first."""
    return WaitReport(
        reason=retry.reason,
        action=retry.action,
        attempts=retry.attempts,
        since=_since(retry, pasts),
        next_try=retry.until,
        code=retry.code,
        words=retry.words,
    )


def _since(retry: Retry, pasts: Sequence[Past]) -> datetime | None:
    """Return the first of the row of like results that the present wait comes from."""
    like = Result.REFUSED if retry.reason is Reason.REFUSED else Result.FAILED
    since = None
    for past in pasts:
        if past.result is None:
            continue
        if past.result is not like or past.action is not retry.action:
            break
        since = past.at
    return since


def tell(facts: Facts) -> Explanation:
    """Return the story of one device in one account."""
    alone = _alone(facts)
    state = _state(facts, alone)
    hold = _hold(facts)
    entry, text = facts.entry, facts.text
    following, at = _next(facts, state, hold)
    return Explanation(
        account=facts.account,
        device=facts.device,
        name=entry.name if entry is not None else None,
        type=entry.type if entry is not None else None,
        summary=_summary(facts, state, hold),
        state=state,
        desired=entry is not None and entry.wanted_at(facts.now),
        why=_why(facts),
        place=_place(facts, Role.DEVICE) or (_place(facts, Role.IGNORE) if state is Position.IGNORED else None),
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
        error=facts.ending.error if facts.ending is not None else "",
        next=following,
        next_at=at,
        next_pass=facts.next_pass,
        changes=tuple(change_report(past, entry.name if entry is not None else None) for past in facts.pasts),
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
    return plan(narrow, Observed(expected & one, facts.now), memory, facts.now)


def _state(facts: Facts, alone: Plan | None) -> Position:
    if alone is None:
        ours = facts.text is not None
        return Position.UNKNOWN if facts.live is None or ours else Position.UNMANAGED if facts.live else Position.ABSENT
    found = {
        Position.IGNORED: alone.ignored,
        Position.MISSING: alone.subscribes,
        Position.EXTRA: alone.unsubscribes,
        Position.UNMANAGED: alone.unmanaged,
        Position.IN_SYNC: alone.in_sync,
    }
    return next((state for state, there in found.items() if there), Position.ABSENT)


def _hold(facts: Facts) -> HoldReport | None:
    """Return what holds a change of this device: by its last pass, or by what a pass would find now."""
    if facts.text is None:
        return None
    if facts.ending is not None and facts.ending.of(facts.text):
        judged, held = facts.ending.plan, facts.ending.held
    else:
        judged = _judged(facts, facts.text)
        held = judged.held if judged is not None else ()
    found = next((one for one in held if one.change.device == facts.device), None) or _waiting(facts)
    if found is None:
        return None
    tripped = judged.tripped if judged is not None else ()
    told_by_wait = facts.retry is not None and found.reason in {Reason.RETRY, Reason.REFUSED}
    messages = (one.message for one in tripped if one.reason is found.reason and not told_by_wait)
    return HoldReport(
        action=found.change.action,
        reason=found.reason,
        kind=found.reason.kind,
        message=next(messages, ""),
        until=found.until,
        remedy=REMEDIES[found.reason],
    )


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
        brake=facts.brake,
        platform=facts.platform,
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
    commit = mark.revision.made_by
    told = (commit.id, commit.author, commit.subject) if commit is not None else (None, None, None)
    return MarkReport(mark.at, str(mark.revision), *told)


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
            active=facts.now < one.expires,
            devices=len(one.devices),
            place=_place(facts, Role.APPROVAL, number),
        )
        for number, one in enumerate(given)
        if facts.device in one.devices
    )


# -- sentences


def stamp(moment: datetime) -> str:
    """Return a moment as sentences say it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _summary(facts: Facts, state: Position, hold: HoldReport | None) -> str:
    """Return the story in one sentence."""
    if state in {Position.MISSING, Position.EXTRA}:
        said = "Wanted, but not subscribed" if state is Position.MISSING else "Subscribed, though not wanted"
        return f"{said}: {_obstacle(facts, hold)}."
    if state is Position.ABSENT and (gone := _unsubscribed(facts)) is not None:
        return f"Not wanted, and unsubscribed at {stamp(gone)}."
    wanted = "Wanted" if facts.entry is not None and facts.entry.wanted_at(facts.now) else "Not wanted"
    return {
        Position.IN_SYNC: (
            "Subscribed, as wanted, by the last trusted list; LG's newest list is doubted."
            if _doubted(facts)
            else "Subscribed, as wanted."
        ),
        Position.ABSENT: "Not wanted, and not subscribed.",
        Position.UNMANAGED: "Subscribed, not wanted here, and not ours to remove: nothing is done about it.",
        Position.IGNORED: "Left alone, because policy.ignore names it.",
        Position.UNKNOWN: f"{wanted}; whether it is subscribed is not known, as no list of LG's was trusted so far.",
    }[state]


def _doubted(facts: Facts) -> bool:
    """Say whether the last pass did not believe LG's list."""
    tripped = facts.ending.plan.tripped if facts.ending is not None and facts.ending.plan is not None else ()
    return any(one.reason is Reason.SUSPECT_LIST for one in tripped)


def _unsubscribed(facts: Facts) -> datetime | None:
    """Return when the device was unsubscribed, if that is the last thing that was done to it."""
    last = next((past for past in facts.pasts if past.result is not None and past.result.confirmed), None)
    return last.at if last is not None and last.action is Action.UNSUBSCRIBE else None


def _obstacle(facts: Facts, hold: HoldReport | None) -> str:
    """Return why a change that is wanted is not made yet."""
    if hold is None:
        return "it is due in the next pass"
    if hold.reason == Reason.REFUSED and facts.retry is not None:
        return "LG refuses it"
    whose = {Kind.GUARD: "a guard holds that", Kind.POLICY: "policy holds that", Kind.PLATFORM: "it waits"}
    return f"{whose[Kind(hold.kind)]} ({hold.reason})"


def _why(facts: Facts) -> str:
    """Return why the device is wanted now, or not."""
    entry, text = facts.entry, facts.text
    if text is None:
        missed = ", and it is abandoned: no call is made for it" if facts.abandoned else ""
        return f"the account is not in the text in force{missed}"
    if entry is None:
        return "no entry of the text in force names it"
    if entry.from_ is not None and facts.now < entry.from_:
        return f"its entry begins at {stamp(entry.from_)}"
    if entry.until is not None and facts.now >= entry.until:
        return f"its entry ended at {stamp(entry.until)}"
    since = f" since {stamp(entry.from_)}" if entry.from_ is not None else ""
    until = f" until {stamp(entry.until)}" if entry.until is not None else ""
    return f"its entry counts{since}{until}" if since or until else "its entry has no dates"


Step = tuple[str, datetime | None]
"""What happens next, and when if that is known."""


def _next(facts: Facts, state: Position, hold: HoldReport | None) -> Step:
    """Return what happens next to the device, and when."""
    if facts.text is None:
        return "nothing: no call is made for this account", None
    if hold is not None and state not in {Position.IGNORED, Position.UNMANAGED}:
        return _after_hold(facts, hold)
    follow: dict[Position, Callable[[Facts], Step]] = {
        Position.IN_SYNC: _while_wanted,
        Position.ABSENT: _while_absent,
        Position.MISSING: lambda facts: ("it is subscribed in the next pass", facts.next_pass),
        Position.EXTRA: lambda facts: ("it is unsubscribed in the next pass", facts.next_pass),
        Position.UNMANAGED: _while_unmanaged,
        Position.IGNORED: lambda _facts: ("nothing, as long as policy.ignore names it", None),
        Position.UNKNOWN: lambda facts: ("the next list decides", facts.next_pass),
    }
    return follow[state](facts)


def _after_hold(facts: Facts, hold: HoldReport) -> Step:
    verb = f"the {hold.action} is"
    if hold.kind == Kind.GUARD:
        if hold.reason == Reason.SUSPECT_LIST:
            return "the list is read again", facts.next_pass
        return f"will not {hold.action} until someone approves it or ends the hold", None
    if hold.until is not None:
        again = "tried again" if hold.reason in {Reason.RETRY, Reason.REFUSED} else "made"
        return f"{verb} {again} when the wait is over", hold.until
    return f"{verb} made when nothing holds it any more", None


def _while_wanted(facts: Facts) -> Step:
    entry = facts.entry
    if entry is not None and entry.until is not None:
        return "it is unsubscribed when its entry ends", entry.until
    return "nothing, as long as the text and LG's list stay as they are", None


def _while_absent(facts: Facts) -> Step:
    entry = facts.entry
    if entry is not None and entry.from_ is not None and facts.now < entry.from_:
        return "it is subscribed when its entry begins", entry.from_
    if entry is not None:
        return "nothing: its entry is over and can be removed", None
    return "nothing, as long as no entry names it", None


def _while_unmanaged(facts: Facts) -> Step:
    prune = facts.text.desired.policy.prune if facts.text is not None else ""
    return f"nothing under prune = {str(prune)!r}; an entry in the text would take it in", None
