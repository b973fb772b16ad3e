"""Changes that were begun, and their results.

Owns: the record of one change, and what a list shows about changes that are still open.
Must not: keep them; ``AccountMemory`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.core.memory.names import NO_NAMES, DeviceNames
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    DeviceId,
    MessageId,
    Observed,
    Outcome,
    PassId,
    Result,
    Revision,
)
from reconciler.core.planner import OVERLAY

BY_LIST = "list"
"""``confirmed_by`` of a change that no answer confirmed and a trusted list showed as made."""
SERVER_FAULT = 500
"""From this HTTP status on, a failed call may still have done its work, like a call without an answer."""
NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class Past:
    """A change that was begun, and its result.

    ``intended`` is when it was written down before its call, ``at`` the time of the latest fact. ``result`` is None
    until an answer or a list shows it. ``name`` is what people called the device then: empty if it had no name, None if
    that is not known.
    """

    account: AccountName
    device: DeviceId
    action: Action
    intended: datetime
    at: datetime
    pass_id: PassId
    approved: bool = False
    revision: Revision | None = None
    result: Result | None = None
    confirmed_by: str | None = None
    message_id: MessageId | None = None
    lg_message_id: str | None = None
    status: int | None = None
    code: str | None = None
    words: str = ""
    name: str | None = None

    @property
    def unanswered(self) -> bool:
        """Say whether only LG's list can show the result."""
        return self.result in {None, Result.FAILED} and (
            self.status is None or self.status >= SERVER_FAULT
        )

    def is_of(self, pass_id: PassId, change: Change) -> bool:
        """Say whether this was written down before a change of that pass to the same device."""
        return self.pass_id == pass_id and self.action is change.action


@dataclass(frozen=True, slots=True)
class Settled:
    """What a list shows about open changes. ``closed`` are those with a final result, including ``made``.

    ``unanswered`` stay open: a later list may still show them as made.
    """

    made: tuple[Past, ...]
    closed: tuple[Past, ...]
    unanswered: tuple[Past, ...]


def intents(  # noqa: PLR0917 - they are the parts of one record
    changes: Iterable[Change],
    pass_id: PassId,
    approved: frozenset[DeviceId],
    revision: Revision,
    now: datetime,
    names: DeviceNames = NO_NAMES,
) -> tuple[Past, ...]:
    """Return changes as they are written down before their calls. ``names`` are those of this moment."""
    return tuple(
        Past(
            account=change.account,
            device=change.device,
            action=change.action,
            intended=now,
            at=now,
            pass_id=pass_id,
            approved=change.device in approved,
            revision=revision,
            name=names.get(change.device, ""),
        )
        for change in changes
    )


def settled(
    open_changes: Mapping[DeviceId, Past],
    observed: Observed,
    live: frozenset[DeviceId],
    now: datetime,
    longest_call: timedelta = NO_TIME,
) -> Settled:
    """Return what a list shows about the open changes.

    A list may lag behind a call. So for a while it can show that a change was made, but not that it was not. A list
    that our latest confirmed changes (``live``) contradict shows nothing. ``longest_call`` is how long the call of an
    intent may still have been under way at another replica: nobody knows when that one sent it.
    """
    made, closed, unanswered = [], [], []
    for device, past in open_changes.items():
        if past.intended > observed.began:
            continue
        wanted = past.action is Action.SUBSCRIBE
        if (device in observed.devices) is wanted and (device in live) is wanted:
            by_list = replace(past, result=Result.SUCCESS, confirmed_by=BY_LIST, at=now)
            made.append(by_list)
            closed.append(by_list)
        elif observed.began - _last_possible(past, longest_call) > OVERLAY:
            closed.append(without_answer(past))
        elif past.result is None:
            unanswered.append(without_answer(past))
    return Settled(tuple(made), tuple(closed), tuple(unanswered))


def _last_possible(past: Past, longest_call: timedelta) -> datetime:
    """Return the latest moment at which LG may have made a change."""
    if past.result in {None, Result.FAILED} and past.status is None:
        return max(past.at, past.intended + longest_call)
    return past.at


def begun(account: AccountName, pass_id: PassId, outcome: Outcome, name: str) -> Past:
    """Return a change from its outcome alone."""
    change, at = outcome.change, outcome.at
    return Past(account, change.device, change.action, at, at, pass_id, name=name)


def ended(past: Past, outcome: Outcome) -> Past:
    """Return a change with its result."""
    return replace(
        past,
        at=outcome.at,
        approved=outcome.approved,
        revision=past.revision or outcome.revision,
        result=outcome.result,
        confirmed_by=outcome.confirmed_by,
        message_id=outcome.message_id,
        lg_message_id=outcome.lg_message_id,
        status=outcome.status,
        code=outcome.code,
        words=outcome.words,
    )


def without_answer(past: Past) -> Past:
    """Return a change as failed, because no more answers will come, unless its outcome is known."""
    return (
        past
        if past.result is not None
        else replace(past, result=Result.FAILED, words="no answer was recorded")
    )


def outcome_of(past: Past) -> Outcome:
    """Return a change that a list shows as made, as an outcome."""
    return Outcome(
        change=Change(past.account, past.action, past.device),
        result=Result.SUCCESS,
        at=past.at,
        approved=past.approved,
        message_id=past.message_id,
        confirmed_by=past.confirmed_by,
        revision=past.revision,
        name=past.name or None,
    )
