"""Writes down what one pass learned and did: to the state first, then to the log and the metrics.

Owns: how a list, a verdict, a change and a report become state records, log lines and figures.
Must not: decide what to change, or whether.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from reconciler.controller.clocks import Clocks
from reconciler.controller.dependencies import Dependencies
from reconciler.controller.twins import Twins
from reconciler.core import approvals, backoff
from reconciler.core.account import AccountState
from reconciler.core.evaluate import Verdict
from reconciler.core.guards import lists
from reconciler.core.model import (
    AccountName,
    Change,
    DeviceId,
    Memory,
    Observed,
    Outcome,
    PassResult,
    Reason,
    Result,
    Retry,
)
from reconciler.core.planner import overlaid
from reconciler.core.run import Run
from reconciler.core.status import Figures, PassReport, counts, figures, reasons
from reconciler.desired import approval_block
from reconciler.pcc.client import Client

log = structlog.get_logger()

EVENTS = {
    Result.SUCCESS: "change.applied",
    Result.NOOP: "change.applied",
    Result.FAILED: "change.failed",
    Result.REFUSED: "change.refused",
}


class Recorder:
    """Records all passes."""

    def __init__(self, dependencies: Dependencies, clocks: Clocks, twins: Twins) -> None:
        self._with = dependencies
        self._clocks = clocks
        self._twins = twins
        self._accounts = dependencies.state.accounts
        self._changes = dependencies.state.changes
        self._metrics = dependencies.metrics
        self._observer = dependencies.observer
        self._blocking = dependencies.blocking

    def forget(self, account: AccountName) -> None:
        """Drop what was heard about an account that left the desired state."""
        if self._with.hearing is not None:
            self._with.hearing.forget(account)

    async def learn(
        self, run: Run, observed: Observed, credential: str | None
    ) -> tuple[Observed, Memory]:
        """Return the list and what is known from before, with this list taken in if it is to be believed."""
        accounts, account = self._accounts, run.name
        changed = accounts.credential(account, credential)
        if accounts.knows(account):
            memory = accounts.recall(account, run.began)
        else:
            memory = await self._blocking(accounts.recall, account, run.began)
        observed = observed.sharing(memory.expected).sharing(run.desired.devices)
        if lists.is_suspect(observed, memory):
            return observed, await self._doubt(run, observed, memory, another_credential=changed)
        self._twins.listed(account, observed.devices)
        if self._with.hearing is not None:
            wanted = run.desired.wanted_by(run.began, run.theirs)
            began = (
                self._clocks.theirs(run.began) or run.began
            )  # events are dated by others' clocks
            self._with.hearing.listed(account, began, wanted, observed.devices)
        live = overlaid(observed, memory)
        if accounts.agrees(account, observed, credential, live):
            return observed, memory
        settled = await self._blocking(
            accounts.trust, account, observed, credential, run.began, live
        )
        for outcome in settled:
            self.tell(run, outcome)
        return observed, accounts.recall(account, run.began)

    async def _doubt(
        self, run: Run, observed: Observed, memory: Memory, *, another_credential: bool
    ) -> Memory:
        """Count a doubted list, and return what is known without it.

        Where a small account has another credential, what LG refused is asked again: it may be another user's.
        """
        await self._blocking(self._accounts.doubt, run.name, run.began)
        expected = memory.expected or frozenset()
        log.warning("list.suspect", expected=len(expected), seen=len(expected & observed.devices))
        if not (
            another_credential and memory.credential_changed and lists.subscribes_in_doubt(memory)
        ):
            return memory
        refused = {
            device for device, retry in memory.retries.items() if retry.reason is Reason.REFUSED
        }
        await self._blocking(self._accounts.forget_retries, run.name, refused)
        waiting = {
            device: retry for device, retry in memory.retries.items() if device not in refused
        }
        return replace(memory, retries=waiting)

    async def settle(self, run: Run, verdict: Verdict) -> None:
        """Record what a list showed about waiting retries: which are over, and which changes it does not show."""
        if verdict.over:
            await self._blocking(self._accounts.forget_retries, run.name, verdict.over)
        if verdict.contradicted:
            await self._blocking(
                self._changes.record, run.name, run.id, (), verdict.contradicted, run.began
            )
        for device, retry in verdict.contradicted.items():
            change = Change(run.name, retry.action, device)
            self.tell(run, Outcome(change, Result.FAILED, run.began, words=retry.words))

    def journal(self, run: Run, verdict: Verdict) -> PassJournal:
        """Return what the calls of one pass are written to, and announce how many there may be."""
        if self._observer is not None:
            self._observer.changes(verdict.plan.changes)
        return PassJournal(self, run, verdict, self._with, self._clocks)

    def tell(self, run: Run, outcome: Outcome) -> None:
        """Count and log one change at once, with what an auditor and LG's support ask for."""
        if self._observer is not None:
            self._observer.change_done()
        if self._with.hearing is not None:
            self._with.hearing.changed(outcome)
        change, commit = outcome.change, (outcome.revision or run.accepted.revision).made_by
        self._metrics.changed(run.name, change.action, outcome.result)
        facts: dict[str, Any] = {
            "device": change.device,
            "action": change.action,
            "result": outcome.result,
        }
        if name := _name(run, outcome):
            facts["name"] = name
        if commit is not None:
            facts |= {"commit": commit.id, "author": commit.author}
        optional = {
            "message_id": outcome.message_id,
            "lg_message_id": outcome.lg_message_id,
            "status": outcome.status,
            "code": outcome.code,
            "words": outcome.words,
            "confirmed_by": outcome.confirmed_by,
            "approved": outcome.approved or None,
        }
        facts |= {key: value for key, value in optional.items() if value not in {None, ""}}
        (log.info if outcome.result.confirmed else log.warning)(EVENTS[outcome.result], **facts)

    def record(
        self,
        run: Run,
        before: AccountState,
        after: AccountState,
        report: PassReport,
        client: Client | str,
    ) -> None:
        """Leave figures and log lines for people; what a restart must know is in the state already."""
        if report.settled and before.desired_since is not None:
            taken = self._clocks.within(run) - before.desired_since
            self._metrics.convergence.observe(taken.total_seconds())
        self._metrics.figures(run.name, _figures(after, client))
        self._log_stop(before, after)
        self._log_guards(before, after, report)
        news = bool(report.outcomes or after.held - before.held)
        facts = {"result": report.result, "condition": after.status.condition, **counts(report)}
        if report.held:
            facts["reasons"] = reasons(report)
        if report.error:
            facts["error"] = report.error
        (log.info if news else log.debug)("pass.completed", **facts)

    @staticmethod
    def _log_stop(before: AccountState, after: AccountState) -> None:
        why_before = before.stop.why if before.stop is not None else None
        if after.stop is None:
            if why_before is not None:
                log.info("account.resumed")
        elif after.stop.why != why_before:
            log.error("account.stopped", error=after.stop.why)

    @staticmethod
    def _log_guards(before: AccountState, after: AccountState, report: PassReport) -> None:
        for tripped in report.plan.tripped if report.plan is not None else ():
            if not approvals.asks(tripped.reason) or tripped.reason in before.tripped:
                continue
            facts: dict[str, Any] = {
                "reason": tripped.reason,
                "message": tripped.message,
                "exc_info": tripped.error,
            }
            if tripped.reason in approvals.APPROVABLE:
                facts["approval"] = approval_block(
                    report.desired.account,
                    report.needs_approval,
                    report.began,
                    names=report.names,
                )
            log.warning("guard.tripped", **facts)
        for reason in before.tripped - after.tripped:
            log.info("guard.cleared", reason=reason)
        for device in sorted(report.flapping - before.flapping):
            entry = report.desired.described.get(device)
            named = {"name": entry.name} if entry is not None and entry.name else {}
            log.warning(
                "device.flapping", device=device, **named, hint="another writer is at work?"
            )

    async def keep_quota(self, run: Run, client: Client | str) -> None:
        """Remember the calls of this hour over a restart."""
        if isinstance(client, str):
            return
        learned = client.learned
        state = self._with.state
        if state.quotas.keep(run.name, learned.calls, learned.limit):
            await self._blocking(state.flush)

    def ended(self, run: Run, report: PassReport) -> None:
        """Count a pass that ended, and how long it took."""
        self._metrics.passed(run.name, report.result, self._clocks.steady() - run.steady)

    def crashed(self, run: Run) -> None:
        """Count a pass that an error of ours ended."""
        self._metrics.passed(run.name, PassResult.FAILED, 0.0)


def _name(run: Run, outcome: Outcome) -> str | None:
    """Return what people call the device of a change, now or last."""
    if outcome.name:
        return outcome.name
    entry = run.desired.described.get(outcome.change.device)
    return entry.name if entry is not None else None


def _figures(account: AccountState, client: Client | str) -> Figures:
    if isinstance(client, str):
        return figures(account.status)
    return figures(
        account.status,
        quota_limit=client.quota.limit,
        quota_remaining=client.calls_left,
        token_expiry=client.access.expires_at,
    )


class PassJournal:
    """The calls of one pass: intents before the calls, outcomes after them."""

    def __init__(
        self,
        recorder: Recorder,
        run: Run,
        verdict: Verdict,
        dependencies: Dependencies,
        clocks: Clocks,
    ) -> None:
        self._recorder = recorder
        self._run = run
        self._approved = verdict.plan.approved
        self._retries = verdict.situation.memory.retries
        self._changes = dependencies.state.changes
        self._tenure = dependencies.tenure
        self._blocking = dependencies.blocking
        self._random = dependencies.random
        self._clocks = clocks
        self._names: dict[DeviceId, str] = {}

    async def intend(self, changes: Sequence[Change]) -> None:
        """Record what is about to be done."""
        run, now = self._run, self._clocks.within(self._run)
        revision = run.accepted.revision
        names = await self._blocking(
            self._changes.intend, run.name, run.id, changes, self._approved, revision, now
        )
        self._names.update(names)

    async def withdraw(self, changes: Sequence[Change]) -> None:
        """Record that some changes were not tried."""
        devices = [change.device for change in changes]
        await self._blocking(self._changes.withdraw, self._run.name, self._run.id, devices)

    async def confirm(self) -> bool:
        """Say whether what was recorded a while ago may still be done."""
        confirmed: bool = await self._blocking(self._tenure.confirm, self._run.name)
        return confirmed

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record the results, and how long each device waits now."""
        retries = {outcome.change.device: self._retry(outcome) for outcome in outcomes}
        dated = [
            replace(outcome, revision=outcome.revision or self._run.accepted.revision)
            for outcome in outcomes
        ]
        now = self._clocks.within(self._run)
        await self._blocking(
            self._changes.record, self._run.name, self._run.id, dated, retries, now
        )

    def tell(self, outcome: Outcome) -> None:
        """Count and log one change at once."""
        name = self._names.get(outcome.change.device)
        self._recorder.tell(self._run, replace(outcome, name=name))

    def _retry(self, outcome: Outcome) -> Retry | None:
        """Return how the device waits after this outcome; a ``noop`` keeps its count until the list agrees with it."""
        change, before = outcome.change, self._retries.get(outcome.change.device)
        if outcome.result is Result.SUCCESS:
            return None
        if outcome.result is Result.NOOP:
            return before
        refused = outcome.result is Result.REFUSED
        reason, curve = (
            (Reason.REFUSED, backoff.REFUSED) if refused else (Reason.RETRY, backoff.DEVICE)
        )
        again = before is not None and before.action is change.action and before.reason is reason
        attempts = before.attempts + 1 if before is not None and again else 1
        until = outcome.at + curve.after(attempts, self._random)
        return Retry(change.action, reason, attempts, until, outcome.code, outcome.words)
