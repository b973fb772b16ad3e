"""Turns a plan into outcomes: the only place from which a device is changed.

Owns: the order of calls, the probe, how many are in flight, and when to stop.
Must not: decide what to change, retry, or remember; a journal hears what is about to be done before it is done.

One call goes first as a probe; only when it came back are up to ``concurrency`` in flight. Three failures in a row that
are not about the device end the work: LG is unwell, and the next pass starts with a list that shows what was done.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from reconciler.core.clock import Clock
from reconciler.core.errors import (
    ConfigurationRefused,
    CredentialsRefused,
    DeviceRefused,
    Outdated,
    PlatformError,
    SubscriptionsFull,
    Throttled,
)
from reconciler.core.model import Action, Change, DeviceId, MessageId, Outcome, Plan, Result
from reconciler.core.run import Work
from reconciler.pcc.protocol import Answer

BATCH = 64
"""Intents are written this many at a time.

When half of them are left, one worker writes the next batch while the others continue, so no worker waits for the disk.
After a kill, the next list settles at most a batch, these, and the calls in flight."""
FAILURES_IN_A_ROW = 3


class Changer(Protocol):
    """What changes devices, at the pace LG allows."""

    async def subscribe(self, device: DeviceId) -> Answer:
        """Subscribe one device."""

    async def unsubscribe(self, device: DeviceId) -> Answer:
        """Unsubscribe one device."""

    def opens_for_change(self) -> datetime | None:
        """Return when the next change may be sent, or None for now."""


class Journal(Protocol):
    """What remembers changes."""

    async def intend(self, changes: Sequence[Change]) -> None:
        """Record what is about to be done."""

    async def withdraw(self, changes: Sequence[Change]) -> None:
        """Record that some changes were not tried."""

    async def confirm(self) -> bool:
        """Say whether what was recorded a while ago may still be done."""

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record the results."""

    def tell(self, outcome: Outcome) -> None:
        """Report the result of one change at once."""


async def execute(
    plan: Plan,
    changer: Changer,
    journal: Journal,
    *,
    outdated: Callable[[], bool],
    concurrency: int,
    clock: Clock,
    batch: int | None = None,
    fresh_seconds: float = math.inf,
) -> Work:
    """Make the changes of a plan, subscribes first. ``outdated`` is asked right before each call.

    ``batch`` intents are written at a time, or as many as usual. One that is older than ``fresh_seconds`` is confirmed
    before its call.
    """
    execution = _Execution(
        changer,
        journal,
        approved=plan.approved,
        outdated=outdated,
        concurrency=concurrency,
        clock=clock,
        batch=batch or BATCH,
        fresh_seconds=fresh_seconds,
    )
    try:
        await execution.phase(plan.subscribes)
        await execution.phase(plan.unsubscribes)
        await execution.phase(execution.made_room())
    finally:  # also when broken off: what is known is written down
        await execution.flush()
    return execution.work


class _Execution:
    """One plan in work."""

    def __init__(
        self,
        changer: Changer,
        journal: Journal,
        *,
        approved: frozenset[DeviceId],
        outdated: Callable[[], bool],
        concurrency: int,
        clock: Clock,
        batch: int,
        fresh_seconds: float,
    ) -> None:
        self.work = Work()
        self._batch, self._ahead = batch, batch // 2
        self._fresh_seconds = fresh_seconds
        self._recorded_at = 0.0
        self._changer = changer
        self._journal = journal
        self._approved = approved
        self._outdated = outdated
        self._concurrency = concurrency
        self._clock = clock
        self._probed = False
        self._failures = 0
        self._waiting: deque[Change] = deque()
        self._intended: deque[Change] = deque()
        self._refill, self._confirming = asyncio.Lock(), asyncio.Lock()
        self._unrecorded: list[Outcome] = []

    async def phase(self, changes: Iterable[Change]) -> None:
        """Make all changes of one action; the next phase begins when the last of them came back."""
        self._waiting.extend(changes)
        if not self._probed and (change := await self._next()) is not None:
            await self._make(change)
            self._probed = True
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._concurrency, len(self._waiting) + len(self._intended))):
                workers.create_task(self._worker())
        await self._put_aside()

    def made_room(self) -> list[Change]:
        """Return the subscribes that found no room under LG's cap, if unsubscribes made some since."""
        made = any(
            one.change.action is Action.UNSUBSCRIBE and one.result.confirmed
            for one in self.work.outcomes
        )
        if self.work.full is None or not made or self.work.over:
            return []
        self.work.full, again = None, self.work.left
        self.work.left = []
        return again

    async def flush(self) -> None:
        """Record the outcomes that are not recorded yet."""
        outcomes, self._unrecorded = self._unrecorded, []
        if outcomes:
            await self._journal.record(outcomes)

    async def _worker(self) -> None:
        while (change := await self._next()) is not None:
            await self._make(change)

    async def _next(self) -> Change | None:
        """Return the next change to make, with its intent written, or nothing when this phase is over."""
        if not self._intended or (
            len(self._intended) <= self._ahead and self._waiting and not self._refill.locked()
        ):
            async with (
                self._refill
            ):  # with nothing left, one waits for the batch that another is writing
                if len(self._intended) <= self._ahead and self._waiting and self._may_go_on():
                    count = min(self._batch, len(self._waiting))
                    batch = [self._waiting.popleft() for _ in range(count)]
                    recorded_at = self._clock.steady()
                    await self._journal.intend(batch)
                    if not self._intended:
                        self._recorded_at = recorded_at
                    self._intended.extend(batch)
        await self._confirm()
        return self._intended.popleft() if self._intended and self._may_go_on() else None

    async def _confirm(self) -> None:
        """Ask again whether recorded changes may be made, where they have waited. One asks for all."""
        if self._fresh_seconds == math.inf:
            return
        async with self._confirming:
            now = self._clock.steady()
            if not self._intended or now - self._recorded_at <= self._fresh_seconds:
                return
            if await self._journal.confirm():
                self._recorded_at = now
            else:
                self.work.outdated = True

    def _may_go_on(self) -> bool:
        """Ask everything that may have changed since the last call."""
        if not self.work.over:
            self.work.outdated = self._outdated()
        if not self.work.over:
            self.work.opens_at = self._changer.opens_for_change()
        upcoming = self._intended or self._waiting
        blocked = self.work.full is not None and upcoming and upcoming[0].action is Action.SUBSCRIBE
        return not self.work.over and not blocked

    async def _make(self, change: Change) -> None:
        call = (
            self._changer.subscribe
            if change.action is Action.SUBSCRIBE
            else self._changer.unsubscribe
        )
        try:
            answer = await call(change.device)
        except (Throttled, CredentialsRefused, ConfigurationRefused) as error:
            if not isinstance(
                self.work.ended, Throttled | CredentialsRefused | ConfigurationRefused
            ):
                self.work.ended = (
                    error  # also after failures: LG's answer about the account matters more
                )
            await self._untried([change])
        except Outdated:
            self.work.outdated = True
            await self._untried([change])
        except SubscriptionsFull as error:
            self.work.full = error
            await self._untried([change])
        except PlatformError as error:
            await self._failed(change, error)
        else:
            self._failures = 0
            result = Result.SUCCESS if answer.code is None else Result.NOOP
            await self._note(self._outcome(change, result, answer))

    async def _failed(self, change: Change, error: PlatformError) -> None:
        refused = isinstance(error, DeviceRefused)
        self._failures = 0 if refused else self._failures + 1
        if self._failures >= FAILURES_IN_A_ROW:
            self.work.ended = self.work.ended or error
        result = Result.REFUSED if refused else Result.FAILED
        await self._note(self._outcome(change, result, error, error.words or str(error)))

    def _outcome(
        self, change: Change, result: Result, answer: Answer | PlatformError, words: str = ""
    ) -> Outcome:
        return Outcome(
            change=change,
            result=result,
            at=self._clock.now(),
            approved=change.action is Action.UNSUBSCRIBE and change.device in self._approved,
            message_id=MessageId(answer.message_id) if answer.message_id else None,
            lg_message_id=answer.lg_message_id,
            status=answer.status,
            code=answer.code,
            words=words,
        )

    async def _note(self, outcome: Outcome) -> None:
        self.work.outcomes.append(outcome)
        self._journal.tell(outcome)
        self._unrecorded.append(outcome)
        if len(self._unrecorded) >= BATCH:
            await self.flush()

    async def _put_aside(self) -> None:
        """Keep the changes that this phase did not reach, and withdraw their intents, because they were not tried."""
        intended = list(self._intended)
        self._intended.clear()
        await self._untried(intended)
        self.work.left.extend(self._waiting)
        self._waiting.clear()

    async def _untried(self, changes: Sequence[Change]) -> None:
        if changes:
            self.work.left.extend(changes)
            await self._journal.withdraw(changes)
