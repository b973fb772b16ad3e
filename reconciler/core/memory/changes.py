"""Changes that were begun, and what came of them.

Owns: the record of one change, and what a list tells of those that are still open.
Must not: keep them; ``AccountMemory`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

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
"""From this HTTP status on, a failed call may have done its work all the same, as one without any answer may."""


@dataclass(frozen=True, slots=True)
class Past:
    """A change that was begun, and what came of it.

    ``intended`` is when it was written down before its call, ``at`` the latest that is known of it. ``result`` is
    None as long as there is neither an answer nor a list that tells.
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

    @property
    def unanswered(self) -> bool:
        """Say whether only LG's list can tell what became of it."""
        return self.result in {None, Result.FAILED} and (
            self.status is None or self.status >= SERVER_FAULT
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """What a list tells of open changes. ``closed`` are those of which all is known now, ``made`` among them.

    ``unanswered`` stay open: a later list may still show them as made.
    """

    made: tuple[Past, ...]
    closed: tuple[Past, ...]
    unanswered: tuple[Past, ...]


def intents(
    changes: Iterable[Change],
    pass_id: PassId,
    approved: frozenset[DeviceId],
    revision: Revision,
    now: datetime,
) -> tuple[Past, ...]:
    """Return changes as they are written down before their calls."""
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
        )
        for change in changes
    )


def settled(
    open_changes: Mapping[DeviceId, Past],
    observed: Observed,
    live: frozenset[DeviceId],
    now: datetime,
) -> Settled:
    """Return what a list tells of the open changes.

    A list may lag behind a call, so for a while it can show that a change was made but not that it was not. One that
    our freshest confirmed changes (``live``) contradict tells nothing.
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
        elif observed.began - past.at > OVERLAY:
            closed.append(without_answer(past))
        elif past.result is None:
            unanswered.append(without_answer(past))
    return Settled(tuple(made), tuple(closed), tuple(unanswered))


def begun(account: AccountName, pass_id: PassId, outcome: Outcome) -> Past:
    """Return a change of which only the outcome is known."""
    change = outcome.change
    return Past(account, change.device, change.action, outcome.at, outcome.at, pass_id)


def ended(past: Past, outcome: Outcome) -> Past:
    """Return a change with what came of it."""
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
    """Return a change of which nothing more will be heard as failed, unless its outcome is known already."""
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
    )
