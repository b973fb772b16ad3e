"""Writes down what one pass does: intents before the calls, outcomes after them, and a line for each change.

Owns: how an outcome becomes a state record, a waiting time, a metric and a log line.
Must not: decide what to change, or whether.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from reconciler.core import backoff
from reconciler.core.backoff import Random
from reconciler.core.model import (
    AccountName,
    Change,
    DeviceId,
    Memory,
    Outcome,
    PassId,
    Plan,
    Reason,
    Result,
    Retry,
    Revision,
)
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics

log = structlog.get_logger()

EVENTS = {
    Result.SUCCESS: "change.applied",
    Result.NOOP: "change.applied",
    Result.FAILED: "change.failed",
    Result.REFUSED: "change.refused",
}


class Ledger:
    """The books of one pass."""

    def __init__(
        self,
        account: AccountName,
        pass_id: PassId,
        revision: Revision,
        memory: Memory,
        approved: frozenset[DeviceId],
        *,
        state: State,
        metrics: Metrics,
        blocking: Callable[..., Awaitable[Any]],
        now: Callable[[], datetime],
        random: Random,
        done: Callable[[], None],
    ) -> None:
        self._account = account
        self._pass_id = pass_id
        self._revision = revision
        self._memory = memory
        self._approved = approved
        self._state = state
        self._metrics = metrics
        self._blocking = blocking
        self._now = now
        self._random = random
        self._done = done

    async def intend(self, changes: Sequence[Change]) -> None:
        """Note what is about to be done."""
        await self._blocking(
            self._state.intend, self._account, self._pass_id, changes, self._approved, self._revision, self._now()
        )

    async def withdraw(self, changes: Sequence[Change]) -> None:
        """Note that some of it was not even tried."""
        devices = [change.device for change in changes]
        await self._blocking(self._state.withdraw, self._account, self._pass_id, devices)

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Note what came of it, and how long each device waits now."""
        retries = {outcome.change.device: self._retry(outcome) for outcome in outcomes}
        told = [replace(outcome, revision=outcome.revision or self._revision) for outcome in outcomes]
        await self._blocking(self._state.record, self._account, self._pass_id, told, retries, self._now())

    def tell(self, outcome: Outcome) -> None:
        """Count and log one change at once, with what an auditor and LG's support ask for."""
        self._done()
        change, commit = outcome.change, (outcome.revision or self._revision).made_by
        self._metrics.changed(self._account, change.action, outcome.result)
        facts: dict[str, Any] = {"device": change.device, "action": change.action, "result": outcome.result}
        if commit is not None:
            facts |= {"commit": commit.id, "author": commit.author}
        told = {
            "message_id": outcome.message_id,
            "lg_message_id": outcome.lg_message_id,
            "status": outcome.status,
            "code": outcome.code,
            "words": outcome.words,
            "confirmed_by": outcome.confirmed_by,
            "approved": outcome.approved or None,
        }
        facts |= {key: value for key, value in told.items() if value not in {None, ""}}
        (log.info if outcome.result.confirmed else log.warning)(EVENTS[outcome.result], **facts)

    def _retry(self, outcome: Outcome) -> Retry | None:
        """Return how the device waits after this outcome; a ``noop`` keeps its count until the list agrees with it."""
        change, before = outcome.change, self._memory.retries.get(outcome.change.device)
        if outcome.result is Result.SUCCESS:
            return None
        if outcome.result is Result.NOOP:
            return before
        refused = outcome.result is Result.REFUSED
        reason, curve = (Reason.REFUSED, backoff.REFUSED) if refused else (Reason.RETRY, backoff.DEVICE)
        again = before is not None and before.action is change.action and before.reason is reason
        attempts = before.attempts + 1 if before is not None and again else 1
        until = outcome.at + curve.after(attempts, self._random)
        return Retry(change.action, reason, attempts, until, outcome.code, outcome.words)


def contradicted(
    plan: Plan, memory: Memory, believed_until: datetime, now: datetime, random: Random
) -> Mapping[DeviceId, Retry]:
    """Return new waits for devices that LG called done, while its list, long enough after, still shows otherwise."""
    found = {}
    for change in (*plan.subscribes, *plan.unsubscribes):
        confirmed, retry = memory.confirmed.get(change.device), memory.retries.get(change.device)
        if confirmed is None or confirmed.result is not Result.NOOP or confirmed.action is not change.action:
            continue
        if confirmed.at > believed_until or (retry is not None and retry.until > confirmed.at):
            continue
        attempts = retry.attempts + 1 if retry is not None and retry.action is change.action else 1
        until = now + backoff.DEVICE.after(attempts, random)
        words = "LG says that it is so already, its list says otherwise"
        found[change.device] = Retry(change.action, Reason.RETRY, attempts, until, words=words)
    return found
