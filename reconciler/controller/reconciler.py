"""One pass of one account: observe, plan, guard, act, record.

Owns: that sentence, and what each account carries from pass to pass.
Must not: retry (the queue does), decide (``core.evaluate`` does), or change a device except through the executor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from random import random as system_random
from typing import Any
from uuid import uuid4

import structlog

from reconciler.controller.executor import execute
from reconciler.controller.recorder import PassObserver, Recorder
from reconciler.controller.twins import Twins
from reconciler.core import approvals, backoff, guards
from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.account import AccountState, Contact, ListRead
from reconciler.core.backoff import Random
from reconciler.core.clock import TOLERATED, Clock, TwoClocks
from reconciler.core.errors import PlatformError, SubscriptionsFull, Throttled, stops_account
from reconciler.core.evaluate import Verdict, edited, evaluate
from reconciler.core.guards import PauseOverride, Platform, Situation
from reconciler.core.model import AccountName, Action, Digest, Memory, Observed, PassId, PassResult, Plan, Reason
from reconciler.core.status import AccountStatus, Figures, PassReport, figures
from reconciler.core.summary import (
    PassAborted,
    Remainder,
    Run,
    Work,
    due_while_stopped,
    next_due,
    read_again,
    remainder,
    summarize,
    summarize_without_list,
)
from reconciler.pcc.client import Client
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics

log = structlog.get_logger()

LONGEST_REST = timedelta(hours=1, seconds=10)
"""An account is due again after this at the latest, or after its interval: nothing that it waits for takes longer."""
LOGGED_STEP = timedelta(minutes=1)
"""A step of the wall clock of at least this is logged."""


def _never() -> bool:
    return False


def _wake_nobody(_accounts: Iterable[AccountName]) -> None:
    return None


def _random_pass_id() -> str:
    return uuid4().hex[:12]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What every pass works with. ``wake`` asks for passes of other accounts, ``claims`` knows what these want.

    Clock, randomness and the way to a worker thread are arguments like the rest.
    """

    state: State
    metrics: Metrics
    interval: timedelta
    concurrency: int
    confirm_delay: timedelta
    clock: Clock
    two_clocks: TwoClocks | None = None
    claims: Claims = field(default_factory=Claims)
    observing: bool = False
    random: Random = system_random
    stopping: Callable[[], bool] = _never
    wake: Callable[[Iterable[AccountName]], None] = _wake_nobody
    observer: PassObserver | None = None
    blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread
    pass_id: Callable[[], str] = _random_pass_id


class Reconciler:
    """Makes passes. ``texts`` and ``clients`` answer for the moment they are asked, a client or why there is none."""

    def __init__(
        self,
        texts: Callable[[AccountName], AccountRevision | None],
        clients: Callable[[AccountName], Client | str],
        dependencies: Dependencies,
    ) -> None:
        self._texts = texts
        self._clients = clients
        self._with = dependencies
        self._accounts: dict[AccountName, AccountState] = {}
        self._full_until: dict[str, datetime] = {}
        self._twins = Twins()
        self._clocks = dependencies.two_clocks or TwoClocks(dependencies.clock, ours_alone=True)
        self._recorder = Recorder(
            dependencies.state,
            dependencies.metrics,
            dependencies.random,
            dependencies.blocking,
            dependencies.observer,
        )

    @property
    def statuses(self) -> Mapping[AccountName, AccountStatus]:
        """Return the status of every account that had a pass."""
        found = {account: state.status for account, state in self._accounts.items()}
        for account, others in self._twins.alike.items():
            if account in found:
                found[account] = replace(found[account], alike=others)
        return found

    @property
    def claims(self) -> Claims:
        """Return what each account wants, for whoever explains a hold."""
        return self._with.claims

    @property
    def platforms(self) -> Mapping[AccountName, Platform]:
        """Return what LG does not let accounts do for now: those that are stopped, or whose service has no room."""
        found = {}
        for account, state in self._accounts.items():
            platform = self._platform(account, state)
            if platform != Platform():
                found[account] = platform
        return found

    def _platform(self, account: AccountName, state: AccountState) -> Platform:
        full_until = None
        if self._full_until:
            client = self._clients(account)
            full_until = self._full_until.get(client.service) if isinstance(client, Client) else None
        if state.stop is None:
            return Platform(full_until=full_until)
        return Platform(state.stop.why, state.stop.until, full_until=full_until)

    def forget(self, account: AccountName) -> None:
        """Drop what is carried for an account that left the desired state."""
        self._accounts.pop(account, None)
        self._twins.forget(account)

    def resume(self, account: AccountName) -> None:
        """Let a stopped account try again at once: a credential changed, or a person asked for it."""
        if account in self._accounts:
            self._accounts[account] = self._accounts[account].resumed()

    def keep_time(self) -> None:
        """Take a step of the wall clock, if there was one: every wait lasts for as long as it would have."""
        step = self._clocks.stepped()
        if not step:
            return
        if abs(step) >= LOGGED_STEP:
            log.warning("clock.stepped", seconds=round(step.total_seconds(), 3))
        self._with.state.reset(step, self._with.clock.now())
        for account, state in self._accounts.items():
            self._accounts[account] = state.shifted(step)
        for service in self._full_until:
            self._full_until[service] += step

    def degraded(self, account: AccountName) -> bool:
        """Say whether LG did not answer this account when it was last asked."""
        state = self._accounts.get(account)
        return state is not None and state.degraded

    # -- the pass

    async def reconcile(self, account: AccountName, expect: Digest | None = None) -> timedelta | None:
        """Make one pass and return when the next is due, or None where the account has left the desired state.

        With ``expect`` nothing is changed unless the plan's unsubscribes are exactly those of that digest.
        """
        text = self._texts(account)
        if text is None:
            self.forget(account)
            return None
        run = self._begin(text)
        with _log_context(run):
            try:
                return await self._pass(run, self._clients(account), expect)
            except Exception:
                self._with.metrics.passed(account, PassResult.FAILED, 0.0)
                raise

    async def _pass(self, run: Run, client: Client | str, expect: Digest | None) -> timedelta:
        """Observe, plan, guard, act, record; return when to come back."""
        started = self._with.clock.steady()
        try:
            client = self._admit(run, client)
            observed = await self._observe(run, client)
            run = self._with_clocks(run)  # LG's answer may have told its time
            observed, memory = await self._recorder.learn(run, observed, client.credential, self._twins)
            claimed = self._with.claims.version
            verdict = evaluate(self._situation(run, observed, memory, client), self._with.claims, self._with.random)
            await self._recorder.settle(run, verdict)
            work = await self._execute(run, verdict, client, expect, claimed)
            report, contact = self._report(run, verdict, work, client)
        except PassAborted as aborted:
            report, contact = self._report_without_list(run, aborted), aborted.contact
        self._carry_on(run, report, contact, client)
        await self._keep_quota(run, client)
        self._with.metrics.passed(run.name, report.result, self._with.clock.steady() - started)
        longest = max(self._with.interval * 1.1, LONGEST_REST)
        return min(max(report.due - self._now(run), timedelta(0)), longest)

    def _begin(self, text: AccountRevision) -> Run:
        """Return one pass as it begins, and remember what the account wants."""
        self.keep_time()
        now, account = self._with.clock.now(), text.desired.account
        before = self._accounts.get(account, AccountState(AccountStatus(account)))
        self._accounts[account] = state = before.beginning(text.desired, now)
        return self._run(text, state, now)

    def _run(self, text: AccountRevision, state: AccountState, now: datetime) -> Run:
        return self._with_clocks(
            Run(
                id=PassId(self._with.pass_id()),
                text=text,
                account=state,
                began=now,
                steady=self._with.clock.steady(),
                theirs=None,
                sure=now,
                boundary=None,
                pause_override=PauseOverride(),
                observing=self._with.observing,
            )
        )

    def _with_clocks(self, run: Run) -> Run:
        """Return the pass with what both clocks say now of the moment at which it began."""
        desired = run.text.desired
        theirs = self._clocks.theirs(run.began)
        dates = [desired.next_boundary(run.began)]
        if theirs is not None and (next_theirs := desired.next_boundary(theirs)) is not None:
            dates.append(next_theirs + (run.began - theirs))
        return replace(
            run,
            theirs=theirs,
            sure=self._clocks.restrained(run.began, max(guards.LIMIT_WINDOW, desired.policy.unsubscribe_after)),
            boundary=min((date for date in dates if date is not None), default=None),
            pause_override=self._with.state.brake(run.name, run.began),
        )

    def _now(self, run: Run) -> datetime:
        """Return the time by the wall clock as it was when the pass began: no step changes the spans in a pass."""
        return run.began + timedelta(seconds=self._with.clock.steady() - run.steady)

    def _admit(self, run: Run, client: Client | str) -> Client:
        """Return the account's client if LG may be called now."""
        if isinstance(client, str):
            stop = run.account.next_stop(client, self._now(run), self._with.random, at_list=True)
            raise PassAborted(Reason.ACCOUNT_STOPPED, client, stop.until or run.began, Contact(stop=stop))
        stopped = run.account.stop
        if stopped is not None and stopped.until is not None and run.began < stopped.until:
            raise PassAborted(Reason.ACCOUNT_STOPPED, stopped.why, stopped.until, Contact())
        opens = client.opens_for_pass(run.account.waiting)
        if opens is not None:
            raise PassAborted(Reason.QUOTA, "the account's calls are used up, or LG throttles it", opens, Contact())
        return client

    async def _observe(self, run: Run, client: Client) -> Observed:
        """Return the live list, or raise why there is none."""
        try:
            return await client.list_devices()
        except PlatformError as error:
            raise self._no_list(run, error, client) from error

    def _no_list(self, run: Run, error: PlatformError, client: Client) -> PassAborted:
        """Return why there is no list, and when to ask again."""
        now, random = self._now(run), self._with.random
        if isinstance(error, Throttled):
            return PassAborted(Reason.QUOTA, str(error), client.opens_for_pass(0) or now, Contact())
        if stops_account(error):
            stop = run.account.next_stop(str(error), now, random, at_list=True)
            return PassAborted(Reason.ACCOUNT_STOPPED, str(error), stop.until or now, Contact(stop=stop))
        contact = Contact(ListRead.FAILED)
        wait = backoff.LIST.after(run.account.touched(contact).failed_lists, random)
        log.warning("list.failed", error=str(error), message_id=error.message_id, words=error.words)
        return PassAborted(Reason.RETRY, str(error), now + wait, contact)

    def _situation(
        self, run: Run, observed: Observed, memory: Memory, client: Client | None, platform: Platform | None = None
    ) -> Situation:
        full_until = self._full_until.get(client.service) if client is not None else None
        if full_until is not None:
            full_until = min(full_until, run.began + backoff.FULL)
        return Situation(
            desired=run.text.desired,
            observed=observed,
            memory=memory,
            now=run.began,
            observing=run.observing,
            rejected=run.text.rejected,
            unsettled=run.text.unsettled,
            brake=run.pause_override,
            platform=platform or Platform(full_until=full_until),
            theirs=run.theirs,
            sure=run.sure,
        )

    async def _execute(self, run: Run, verdict: Verdict, client: Client, expect: Digest | None, claimed: int) -> Work:
        """Make what may be made now. ``claimed`` is the version of what other accounts want that was judged."""
        if expect is not None and verdict.plan.digest != expect:
            return Work(unexpected=True)
        if not verdict.plan.changes:
            return Work()
        basis = _Basis(self, run, verdict, client, claimed)
        return await execute(
            verdict.plan,
            client,
            self._recorder.journal(run, verdict, partial(self._now, run)),
            outdated=basis.outdated,
            concurrency=self._with.concurrency,
            clock=self._with.clock,
        )

    def outdated(self, run: Run, verdict: Verdict, client: Client) -> bool:
        """Say whether anything that a plan rests on is another by now. Asked right before each call."""
        state, now = self._with.state, self._now(run)
        if self._with.stopping() or not run.text.decides_like(self._texts(run.name)):
            return True
        if run.boundary is not None and run.boundary <= now:
            return True
        if state.writable is not verdict.situation.memory.writable or state.brake(run.name, now) != run.pause_override:
            return True
        return not client.same_user or self._clocks_moved(run, now)

    def _clocks_moved(self, run: Run, now: datetime) -> bool:
        """Say whether either clock was set since a pass began, or LG's is another by its answers since."""
        theirs, before = self._clocks.theirs(now) or now, run.theirs or run.began
        passed = now - run.began
        return abs(theirs - before - passed) > TOLERATED or abs(self._with.clock.now() - now) > TOLERATED

    def claimed_since(self, run: Run, verdict: Verdict, version: int) -> int | None:
        """Return the version of what other accounts want, or None where one of them wants a device that is to go now.

        What an approval releases may go all the same.
        """
        claims = self._with.claims
        if claims.version != version:
            approved = verdict.plan.approved
            going = [one.device for one in verdict.plan.unsubscribes if one.device not in approved]
            now = self._now(run)
            if claims.by_either_clock(run.name, going, now, self._clocks.theirs(now)):
                return None
        return claims.version

    # -- what a pass came to

    def _report(self, run: Run, verdict: Verdict, work: Work, client: Client) -> tuple[PassReport, Contact]:
        """Return what a pass with a list came to, and how LG treated the account."""
        now = self._now(run)
        if work.full is not None:
            self._note_full(client.service, work.full, now)
        opens = client.opens_for_pass(len(work.left)) if isinstance(work.ended, Throttled) else None
        left = remainder(run, verdict, work, now=now, opens=opens, random=self._with.random)
        return self._summary(run, verdict, work, left, now), left.contact

    def _summary(self, run: Run, verdict: Verdict, work: Work, left: Remainder, now: datetime) -> PassReport:
        memory = self._with.state.recall(run.name, now)
        due = read_again(verdict, now, self._with.confirm_delay)
        if due is None:
            due = next_due(run, verdict, work, left, now=now, regular=self._regular(run), waits=memory.retries)
        stopped = run.account.touched(left.contact).stop is not None
        return summarize(run, verdict, work, left, memory, due=due, stopped=stopped)

    def _report_without_list(self, run: Run, aborted: PassAborted) -> PassReport:
        """Return what a pass without a list came to, by what is known from the last trusted one."""
        memory = self._with.state.recall(run.name, run.began)
        verdict = None
        if memory.expected is not None:
            stopped = str(aborted) if aborted.reason is Reason.ACCOUNT_STOPPED else None
            throttled = aborted.until if aborted.reason is Reason.QUOTA else None
            platform = Platform(stopped=stopped, stopped_until=aborted.until, throttled_until=throttled)
            observed = Observed(memory.expected, run.began)
            situation = self._situation(run, observed, memory, None, platform)
            verdict = evaluate(situation, self._with.claims, self._with.random)
        stopped_now = run.account.touched(aborted.contact).stop is not None
        due = aborted.until
        if aborted.reason is Reason.ACCOUNT_STOPPED:
            due = due_while_stopped(run, aborted, self._regular(run))
        return summarize_without_list(run, verdict, aborted, due=due, stopped=stopped_now)

    def _carry_on(self, run: Run, report: PassReport, contact: Contact, client: Client | str) -> None:
        """Put the account into its next state, write down what happened, and let those go on that wait for room."""
        before = self._accounts.get(run.name, run.account)
        self._accounts[run.name] = after = before.after(report, contact)
        self._recorder.record(run, before, after, report, self._figures(after, client), self._now(run))
        full = any(one.reason is Reason.SUBSCRIPTIONS_FULL for one in report.left)
        made_room = any(
            outcome.change.action is Action.UNSUBSCRIBE and outcome.result.confirmed for outcome in report.outcomes
        )
        if made_room and not full and isinstance(client, Client):
            self._wake_those_without_room(client.service)

    def _figures(self, state: AccountState, client: Client | str) -> Figures:
        if isinstance(client, str):
            return figures(state.status)
        return figures(
            state.status,
            quota_limit=client.quota.limit,
            quota_remaining=client.calls_left,
            token_expiry=client.access.expires_at,
        )

    async def _keep_quota(self, run: Run, client: Client | str) -> None:
        """Remember the calls of this hour over a restart."""
        if isinstance(client, str):
            return
        learned = client.learned
        if self._with.state.keep_quota(run.name, learned.calls, learned.limit):
            await self._with.blocking(self._with.state.write)

    def _note_full(self, service: str, error: SubscriptionsFull, now: datetime) -> None:
        """Take note that LG's cap on subscribed devices is reached for a service key."""
        if service not in self._full_until:
            log.warning("subscriptions.full", code=error.code, words=error.words, message_id=error.message_id)
        self._full_until[service] = now + backoff.FULL

    def _wake_those_without_room(self, service: str) -> None:
        """Take note of room under a service key's cap, and wake the accounts that wait for it."""
        if self._full_until.pop(service, None) is None:
            return
        waking = []
        for account, state in self._accounts.items():
            client = self._clients(account) if state.waits_for_room else None
            if isinstance(client, Client) and client.service == service:
                waking.append(account)
        self._with.wake(waking)

    def _regular(self, run: Run) -> datetime:
        """Return when a pass is due by the clock alone, spread so that accounts do not march in step."""
        return self._now(run) + self._with.interval * (0.9 + 0.2 * self._with.random())

    # -- the same question without consequences

    async def dry_run(self, account: AccountName) -> PassReport | None:
        """Return what a pass would do and hold. Nothing is changed and nothing remembered."""
        text = self._texts(account)
        if text is None:
            return None
        run = self._begin(text)
        with _log_context(run):
            try:
                client = self._admit(run, self._clients(account))
                observed = await self._observe(run, client)
            except PassAborted as aborted:
                return self._report_without_list(run, aborted)
            run = self._with_clocks(run)
            verdict = self._weigh(run, observed, client)
            return self._summary(run, verdict, Work(), Remainder(), self._now(run))

    def weigh(self, account: AccountName, observed: Observed) -> Plan | None:
        """Return what a pass would do and hold by this list. Nothing is asked, changed or remembered."""
        text, client = self._texts(account), self._clients(account)
        if text is None or isinstance(client, str):
            return None
        return self._weigh(self._begin(text), observed, client).plan

    def _weigh(self, run: Run, observed: Observed, client: Client) -> Verdict:
        self._with.state.credential(run.name, client.credential)
        memory = self._with.state.recall(run.name, run.began)
        situation = self._situation(run, observed.sharing(memory.expected), memory, client)
        return evaluate(situation, self._with.claims, self._with.random)

    def preview(self, text: AccountRevision, claims: Claims) -> PassReport:
        """Return what a pass on a proposed text would do and hold, by the last trusted list. Calls nobody.

        ``claims`` are those of all that is proposed with it. An account that is not in force yet has no list, so only
        its subscribes can be shown.
        """
        self.keep_time()
        account, now = text.desired.account, self._with.clock.now()
        in_force = self._texts(account)
        run = self._run(text, self._accounts.get(account, AccountState(AccountStatus(account))), now)
        memory = self._with.state.glance(account, now)
        if memory.expected is None and in_force is not None:
            why = "no live list of this account was trusted yet"
            return self._report_without_list(run, PassAborted(Reason.RETRY, why, now, Contact()))
        if in_force is not None:
            memory = edited(memory, text.desired.edited_since(in_force.desired))
        stop = run.account.stop
        platform = Platform(stop.why, stop.until) if stop is not None else Platform()
        observed = Observed(memory.expected or frozenset(), now)
        verdict = evaluate(self._situation(run, observed, memory, None, platform), claims, self._with.random)
        report = summarize(run, verdict, Work(), Remainder(), memory, due=now, stopped=stop is not None)
        basis = _preview_basis(memory, run.account.status.last_success)
        return replace(report, rejected=None, remarks=(basis, *approvals.remarks(text.desired, observed.devices, now)))


class _Basis:
    """What the plan of one pass rests on."""

    def __init__(self, reconciler: Reconciler, run: Run, verdict: Verdict, client: Client, claimed: int) -> None:
        self._reconciler = reconciler
        self._run = run
        self._verdict = verdict
        self._client = client
        self._claimed: int | None = claimed

    def outdated(self) -> bool:
        """Say whether any of it is another by now."""
        if self._claimed is not None:
            self._claimed = self._reconciler.claimed_since(self._run, self._verdict, self._claimed)
        return self._claimed is None or self._reconciler.outdated(self._run, self._verdict, self._client)


def _log_context(run: Run) -> AbstractContextManager[None]:
    """Return a block in which every log line names the pass it is of."""
    bound = structlog.contextvars.bound_contextvars
    return bound(account=run.name, pass_id=run.id, revision=str(run.text.revision))


def _preview_basis(memory: Memory, last: datetime | None) -> str:
    """Return a sentence that says which list a preview rests on."""
    if memory.expected is None:
        return "The live list of a new account is not known yet, so it counts as empty."
    if last is None:
        return "planned on the last trusted list"
    return f"planned on the last trusted list, of {last:%Y-%m-%dT%H:%M:%SZ}"
