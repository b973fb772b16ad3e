"""One pass of one account: observe, plan, guard, act, record.

Owns: that sentence, what an account carries from pass to pass in this process, and when it comes back.
Must not: retry (the queue does), know other accounts, or change a device by any other way than ``execute``.
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

from reconciler.controller.executor import Work, execute
from reconciler.controller.recorder import Ledger, contradicted
from reconciler.core import approvals, backoff, guards
from reconciler.core.acceptance import Claims, Text
from reconciler.core.backoff import Random
from reconciler.core.clock import TOLERATED, Clock, TwoClocks
from reconciler.core.errors import ConfigurationRefused, CredentialsRefused, NotYetAccepted, PlatformError, Throttled
from reconciler.core.guards import Platform, Situation
from reconciler.core.model import (
    NOTHING,
    AccountName,
    Action,
    Change,
    DeviceId,
    Digest,
    Held,
    Kind,
    Memory,
    Observed,
    Outcome,
    PassId,
    PassResult,
    Pause,
    Plan,
    Reason,
    Result,
)
from reconciler.core.planner import OVERLAY, overlaid, plan
from reconciler.core.status import AccountStatus, PassReport, counts, figures, reasons
from reconciler.desired import approval_block
from reconciler.pcc.client import Client
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics

LONGEST_REST = timedelta(hours=1, seconds=10)
"""An account is due again after this at the latest, or after its interval: nothing that it waits for takes longer."""
TOLD_STEP = timedelta(minutes=1)
"""A step of the wall clock of at least this is logged."""
ALIKE_FROM = 2
"""Two accounts with the same list of at least this many devices are most likely one LG user."""
ALIKE_NAMED = 20

log = structlog.get_logger()


@dataclass(slots=True)
class Course:
    """What one account carries from pass to pass in this process; a restart begins a new one."""

    standing: AccountStatus
    list_failures: int = 0
    broken_off: int = 0
    stops: int = 0
    stopped: str | None = None
    stopped_until: datetime | None = None
    stopped_at_list: bool = False
    waiting: int = 0
    tripped: frozenset[Reason] = frozenset()
    held: frozenset[tuple[Change, Reason]] = frozenset()
    flapping: frozenset[DeviceId] = frozenset()
    list_hash: int | None = None
    text: Text | None = None
    text_since: datetime | None = None

    @property
    def waits_for_room(self) -> bool:
        """Say whether subscribes were held at the last pass because LG's cap was reached."""
        return any(reason is Reason.SUBSCRIPTIONS_FULL for _change, reason in self.held)


@dataclass(frozen=True, slots=True)
class Watch:
    """Lets somebody follow the changes of passes: how many are about to be made, and each that is done."""

    planned: Callable[[int], None] = lambda _count: None
    done: Callable[[], None] = lambda: None


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
    observing: bool = False
    two_clocks: TwoClocks | None = None
    random: Random = system_random
    stopping: Callable[[], bool] = lambda: False
    wake: Callable[[Iterable[AccountName]], None] = lambda _accounts: None
    watch: Watch = field(default_factory=Watch)
    blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread
    claims: Claims = field(default_factory=Claims)
    pass_id: Callable[[], str] = lambda: uuid4().hex[:12]


class PassAborted(Exception):
    """There is no list to act on: the account is stopped, out of calls, or LG did not give one."""

    def __init__(self, reason: Reason, message: str, until: datetime) -> None:
        super().__init__(message)
        self.reason = reason
        self.until = until


class Reconciler:
    """Makes passes. ``texts`` and ``clients`` answer for the moment they are asked, a client or why there is none."""

    def __init__(
        self,
        texts: Callable[[AccountName], Text | None],
        clients: Callable[[AccountName], Client | str],
        means: Dependencies,
    ) -> None:
        self._texts = texts
        self._clients = clients
        self._means = means
        self._two = means.two_clocks or TwoClocks(means.clock, ours_alone=True)
        self._courses: dict[AccountName, Course] = {}
        self._full_until: dict[str, datetime] = {}
        self._alike: dict[int, set[AccountName]] = {}

    @property
    def statuses(self) -> Mapping[AccountName, AccountStatus]:
        """Return where every account stands that had a pass."""
        found = {account: course.standing for account, course in self._courses.items()}
        for accounts in self._alike.values():
            for account in accounts if len(accounts) > 1 else ():
                found[account] = replace(found[account], alike=tuple(sorted(accounts - {account})))
        return found

    def forget(self, account: AccountName) -> None:
        """Drop what is carried for an account that left the texts."""
        self._listed(account, None)
        self._courses.pop(account, None)

    def resume(self, account: AccountName) -> None:
        """Let a stopped account try again at once: a credential changed, or a person says so."""
        if account in self._courses:
            self._courses[account].stopped_until = None

    def keep_time(self) -> None:
        """Take a step of the wall clock, if there was one: what waits goes on waiting for as long as it would have."""
        step = self._two.stepped()
        if not step:
            return
        if abs(step) >= TOLD_STEP:
            log.warning("clock.stepped", seconds=round(step.total_seconds(), 3))
        self._means.state.reset(step, self._means.clock.now())
        for course in self._courses.values():
            if course.stopped_until is not None:
                course.stopped_until += step
        for service in self._full_until:
            self._full_until[service] += step

    def ailing(self, account: AccountName) -> bool:
        """Say whether LG did not answer this account when it was last asked; the next call may wait in vain, too."""
        course = self._courses.get(account)
        return course is not None and bool(course.list_failures or course.broken_off)

    async def reconcile(self, account: AccountName, expect: Digest | None = None) -> timedelta | None:
        """Make one pass and return when the next is due, or nothing where the account has left the texts.

        With ``expect`` nothing is changed unless the plan's unsubscribes are exactly those of that digest.
        """
        one = self._pass(account)
        if one is None:
            self.forget(account)
            return None
        with one.context():
            try:
                return await one.run(self._clients(account), expect)
            except Exception:
                self._means.metrics.passed(account, PassResult.FAILED, 0.0)
                raise

    def weigh(self, account: AccountName, observed: Observed) -> Plan | None:
        """Return what a pass would do and hold by this list. Nothing is asked, changed or remembered."""
        one, client = self._pass(account), self._clients(account)
        if one is None or isinstance(client, str):
            return None
        return one.weigh(observed, client)[0]

    async def look(self, account: AccountName) -> PassReport | None:
        """Return what a pass would do and hold. Nothing is changed and nothing remembered."""
        one = self._pass(account)
        if one is None:
            return None
        with one.context():
            return await one.look(self._clients(account))

    def _listed(self, account: AccountName, devices: frozenset[DeviceId] | None) -> None:
        """Take an account's trusted list, and warn of others that have the same: one LG user under two names, perhaps.

        Lists are told apart by their hash, which costs nothing where a list is the one known before.
        """
        course = self._courses.get(account)
        if course is None:
            return
        before = course.list_hash
        course.list_hash = hash(devices) if devices is not None and len(devices) >= ALIKE_FROM else None
        if course.list_hash == before:
            return
        if before is not None:
            self._alike[before] -= {account}
            if not self._alike[before]:
                del self._alike[before]
        if course.list_hash is not None and devices is not None:
            alike = self._alike.setdefault(course.list_hash, set())
            alike.add(account)
            if len(alike) > 1:
                log.warning("accounts.alike", accounts=sorted(alike)[:ALIKE_NAMED], devices=len(devices))

    def _room(self, service: str) -> None:
        """Take note of room under a service key's cap, and let those go on that wait for it."""
        if self._full_until.pop(service, None) is None:
            return
        waiting = [name for name, course in self._courses.items() if course.waits_for_room]
        clients = {name: self._clients(name) for name in waiting}
        self._means.wake(
            name for name, client in clients.items() if isinstance(client, Client) and client.service == service
        )

    def propose(self, text: Text, claims: Claims) -> PassReport:
        """Return what a pass on a proposed text would do and hold, by what is known of the live list. Calls nothing.

        ``claims`` are those of all that is proposed with it.
        """
        account = text.desired.account
        course = replace(self._courses.get(account, Course(AccountStatus(account))))
        self.keep_time()
        means = replace(self._means, claims=claims)
        one = Pass(text, course, means, lambda: text, self._full_until, two=self._two)
        return one.propose(self._texts(account))

    def _pass(self, account: AccountName) -> Pass | None:
        text = self._texts(account)
        if text is None:
            return None
        self.keep_time()
        course = self._courses.setdefault(account, Course(AccountStatus(account)))
        newest = partial(self._texts, account)
        room, listed = self._room, self._listed
        return Pass(text, course, self._means, newest, self._full_until, two=self._two, room=room, listed=listed)


class Pass:
    """One pass of one account. ``run`` is the sentence, everything else one of its words."""

    def __init__(
        self,
        text: Text,
        course: Course,
        means: Dependencies,
        newest: Callable[[], Text | None],
        full_until: dict[str, datetime],
        *,
        two: TwoClocks,
        room: Callable[[str], None] = lambda _service: None,
        listed: Callable[[AccountName, frozenset[DeviceId]], None] = lambda _account, _devices: None,
    ) -> None:
        self.id = PassId(means.pass_id())
        self._text = text
        self._account = text.desired.account
        self._course = course
        self._means = means
        self._newest = newest
        self._full_until = full_until
        self._room, self._listed = room, listed
        self._claimed = means.claims.version
        self._going: tuple[Change, ...] = ()
        self._released: frozenset[DeviceId] = NOTHING
        self._two = two
        self._began, self._steady = means.clock.now(), means.clock.steady()
        self._writable = means.state.writable
        self._read_clocks()
        self._client: Client | None = None
        if course.text is None or course.text.desired is not text.desired:
            course.text_since = self._began
        course.text = text

    def _read_clocks(self) -> None:
        """Look what both clocks say, and what follows from it: a first answer of LG's may tell its time."""
        desired, policy = self._text.desired, self._text.desired.policy
        self._theirs = theirs = self._two.theirs(self._began)
        self._sure = self._two.restrained(self._began, max(guards.LIMIT_WINDOW, policy.unsubscribe_after))
        self._brake = self._means.state.brake(self._account, self._began)
        dates = [desired.next_boundary(self._began)]
        if theirs is not None and (next_theirs := desired.next_boundary(theirs)) is not None:
            dates.append(next_theirs + (self._began - theirs))
        self._boundary = min((date for date in dates if date is not None), default=None)

    def context(self) -> AbstractContextManager[None]:
        """Return a block in which every log line says which pass it is of."""
        bound = structlog.contextvars.bound_contextvars
        return bound(account=self._account, pass_id=self.id, revision=str(self._text.revision))

    async def run(self, client: Client | str, expect: Digest | None = None) -> timedelta:
        """Observe, plan, guard, act, record; return when to come back."""
        began = self._means.clock.steady()
        try:
            ending = await self._reconcile(self._allowed(client), expect)
        except PassAborted as withheld:
            ending = self._withheld(withheld)
        self._record(ending, client)
        if isinstance(client, Client):
            learned = client.learned
            if self._means.state.keep_quota(self._account, learned.calls, learned.limit):
                await self._means.blocking(self._means.state.write)
        self._means.metrics.passed(self._account, ending.result, self._means.clock.steady() - began)
        longest = max(self._means.interval * 1.1, LONGEST_REST)
        return min(max(ending.due - self._now(), timedelta(0)), longest)

    async def look(self, client: Client | str) -> PassReport:
        """Observe, plan and guard only."""
        try:
            client = self._allowed(client)
            observed = await self._observe(client)
        except PassAborted as withheld:
            return self._withheld(withheld)
        judged, situation = self.weigh(observed, client)
        return self._ending(judged, situation, Work(), client)

    def weigh(self, observed: Observed, client: Client) -> tuple[Plan, Situation]:
        """Plan and guard only, on a list that is there."""
        self._means.state.credential(self._account, client.credential)
        memory = self._means.state.recall(self._account, self._began)
        observed = observed.sharing(memory.expected)
        situation = self._situation(observed, memory, client)
        return self._judge(self._planned(observed, memory), situation)

    def propose(self, in_force: Text | None) -> PassReport:
        """Plan and guard only, on the last trusted list with our confirmed changes since.

        An account that is not in force yet has none, so of such a one nothing can be said but what it would subscribe.
        """
        memory, last = self._means.state.glance(self._account, self._began), self._course.standing.last_success
        if memory.expected is None and in_force is not None:
            return self._withheld(
                PassAborted(Reason.RETRY, "no live list of this account was trusted yet", self._began)
            )
        if in_force is not None:
            edited = self._text.desired.edited_since(in_force.desired)
            waiting = {device: retry for device, retry in memory.retries.items() if device not in edited}
            memory = replace(memory, retries=waiting)
        observed = Observed(memory.expected or frozenset(), self._began)
        platform = Platform(stopped=self._course.stopped, stopped_until=self._course.stopped_until)
        situation = self._situation(observed, memory, None, platform)
        judged, situation = self._judge(self._planned(observed, memory), situation)
        known = "nothing is known of the live list of a new account, so it is taken as empty"
        if memory.expected is not None:
            known = "planned on the last trusted list" + ("" if last is None else f", of {last:%Y-%m-%dT%H:%M:%SZ}")
        return PassReport(
            desired=self._text.desired,
            began=self._began,
            due=self._began,
            plan=judged,
            observed=len(observed.devices),
            budget_remaining=guards.budget(situation),
            pause=self._pause(),
            observing=self._means.observing,
            stopped=self._course.stopped is not None,
            remarks=(known, *approvals.remarks(self._text.desired, observed.devices, self._began)),
        )

    async def _reconcile(self, client: Client, expect: Digest | None) -> PassReport:
        observed = await self._observe(client)
        self._client = client
        observed, memory = await self._remember(observed, client)
        planned = self._planned(observed, memory)
        if not guards.is_suspect(observed, memory) or guards.subscribes_in_doubt(memory):
            memory = await self._mind_retries(planned, observed, memory)
        judged, situation = self._judge(planned, self._situation(observed, memory, client))
        if expect is not None and planned.digest != expect:
            return replace(self._ending(judged, situation, Work(), client), unexpected=True)
        work = await self._act(judged, memory, client)
        if work.ended is None and not any(
            one.reason is Reason.RETRY and one.change.device in memory.retries for one in judged.held
        ):
            self._recovered()
        return self._ending(judged, situation, work, client)

    def _allowed(self, client: Client | str) -> Client:
        """Return the account's client if it may be called now."""
        course = self._course
        if course.stopped_until is not None:
            course.stopped_until = min(course.stopped_until, self._began + backoff.STOPPED.most)
        if isinstance(client, str):
            self._course.stopped_at_list = True
            self._stop(client)
            raise PassAborted(Reason.ACCOUNT_STOPPED, client, course.stopped_until or self._began)
        if course.stopped is not None and course.stopped_until is not None and self._began < course.stopped_until:
            raise PassAborted(Reason.ACCOUNT_STOPPED, course.stopped, course.stopped_until)
        opens = client.opens_for_pass(course.waiting)
        if opens is not None:
            raise PassAborted(Reason.QUOTA, "the account's calls are used up, or LG throttles it", opens)
        return client

    async def _observe(self, client: Client) -> Observed:
        """Return the live list, or raise why there is none."""
        try:
            observed = await client.list_devices()
        except PlatformError as error:
            raise self._no_list(error, client) from error
        self._read_clocks()
        self._course.list_failures = 0
        if self._course.stopped_at_list:
            self._recovered()
        return observed

    async def _remember(self, observed: Observed, client: Client) -> tuple[Observed, Memory]:
        """Return the list and what is known from before, with this list taken in if it is to be believed."""
        state, account = self._means.state, self._account
        credential = client.credential
        another = state.credential(account, credential)
        if state.knows(account):
            memory = state.recall(account, self._began)
        else:
            memory = await self._means.blocking(state.recall, account, self._began)
        self._writable = memory.writable
        observed = observed.sharing(memory.expected).sharing(self._text.desired.devices)
        if guards.is_suspect(observed, memory):
            return observed, await self._doubted(observed, memory, another=another)
        self._listed(account, observed.devices)
        live = overlaid(observed, memory)
        if state.agrees(account, observed, credential, live):
            return observed, memory
        settled = await self._means.blocking(state.trust, account, observed, credential, self._began, live)
        ledger = self._ledger(memory, frozenset())
        for outcome in settled:
            ledger.tell(outcome)
        return observed, state.recall(account, self._began)

    async def _doubted(self, observed: Observed, memory: Memory, *, another: bool) -> Memory:
        """Count a list that is not believed, and return what is known all the same.

        Of a small account, what LG refused to ``another`` credential is asked again: it may be another user's.
        """
        state, account = self._means.state, self._account
        await self._means.blocking(state.doubt, account, self._began)
        expected = memory.expected or frozenset()
        log.warning("list.suspect", expected=len(expected), seen=len(expected & observed.devices))
        if not (another and memory.credential_changed and guards.subscribes_in_doubt(memory)):
            return memory
        refused = {device for device, retry in memory.retries.items() if retry.reason is Reason.REFUSED}
        await self._means.blocking(state.forget_retries, account, refused)
        left = {device: retry for device, retry in memory.retries.items() if device not in refused}
        return replace(memory, retries=left)

    async def _mind_retries(self, planned: Plan, observed: Observed, memory: Memory) -> Memory:
        """Forget the waits of devices that are as wanted, and make those wait of which LG says what its list denies.

        From a list that is not believed, only the latter follows, and for subscribes: each costs a call.
        """
        if not memory.retries and not memory.confirmed:
            return memory
        state, account = self._means.state, self._account
        doubted = guards.is_suspect(observed, memory)
        if doubted:
            planned = replace(planned, unsubscribes=())
        wanted = {change.device for change in (*planned.subscribes, *planned.unsubscribes)}
        over = frozenset() if doubted else memory.retries.keys() - wanted
        denied = contradicted(planned, memory, observed.began - OVERLAY, self._began, self._means.random)
        if over:
            await self._means.blocking(state.forget_retries, account, over)
        if denied:
            await self._means.blocking(state.record, account, self.id, (), denied, self._began)
            ledger = self._ledger(memory, frozenset())
            for device, retry in denied.items():
                change = Change(account, retry.action, device)
                ledger.tell(Outcome(change, Result.FAILED, self._began, words=retry.words))
        if not over and not denied:
            return memory
        fresh = state.recall(account, self._began)
        return replace(memory, retries=fresh.retries) if doubted else fresh

    def _planned(self, observed: Observed, memory: Memory) -> Plan:
        return plan(self._text.desired, observed, memory, self._began, theirs=self._theirs)

    def _situation(
        self, observed: Observed, memory: Memory, client: Client | None, stop: Platform | None = None
    ) -> Situation:
        full_until = self._full_until.get(client.service) if client is not None else None
        if full_until is not None:
            full_until = min(full_until, self._began + backoff.FULL)
        return Situation(
            desired=self._text.desired,
            observed=observed,
            memory=memory,
            now=self._began,
            observing=self._means.observing,
            rejected=self._text.rejected,
            unsettled=self._text.unsettled,
            brake=self._brake,
            platform=stop or Platform(full_until=full_until),
            theirs=self._theirs,
            sure=self._sure,
        )

    def _judge(self, planned: Plan, situation: Situation) -> tuple[Plan, Situation]:
        """Return the plan with what is held, and the situation with what other accounts want of what would go."""
        self._claimed = self._means.claims.version
        going = (change.device for change in planned.unsubscribes)
        situation = replace(situation, elsewhere=self._elsewhere(going, self._began))
        judged = guards.judge(planned, situation)
        self._going, self._released = judged.unsubscribes, judged.approved
        return judged, situation

    def _claimed_since(self) -> bool:
        """Say whether another account wants a device by now that is about to go, and did not when this was planned."""
        if self._claimed == self._means.claims.version:
            return False
        self._claimed = self._means.claims.version
        going = {change.device for change in self._going if change.device not in self._released}
        return bool(self._elsewhere(going, self._now()))

    def _elsewhere(self, devices: Iterable[DeviceId], now: datetime) -> Mapping[DeviceId, AccountName]:
        """Return which of these devices another account wants, by either clock."""
        devices, claims = tuple(devices), self._means.claims
        theirs = self._two.theirs(now)
        by_theirs = claims.elsewhere(self._account, devices, theirs) if theirs is not None else {}
        return {**by_theirs, **claims.elsewhere(self._account, devices, now)}

    async def _act(self, judged: Plan, memory: Memory, client: Client) -> Work:
        """Make what may be made now."""
        if not judged.changes:
            return Work()
        self._means.watch.planned(judged.changes)
        return await execute(
            judged,
            client,
            self._ledger(memory, judged.approved),
            outdated=self._outdated,
            concurrency=self._means.concurrency,
            clock=self._means.clock,
        )

    def _outdated(self) -> bool:
        """Say whether anything that this plan rests on is another by now."""
        newest, state = self._newest(), self._means.state
        return (
            self._means.stopping()
            or not self._text.decides_like(newest)
            or state.writable is not self._writable
            or (self._boundary is not None and self._boundary <= self._now())
            or (self._client is not None and not self._client.same_user)
            or state.brake(self._account, self._now()) != self._brake
            or self._claimed_since()
            or self._clocks_moved()
        )

    def _clocks_moved(self) -> bool:
        """Say whether either clock was set since this plan was made, or LG's is another by what it said since."""
        now = self._now()
        theirs, before = self._two.theirs(now) or now, self._theirs or self._began
        passed = now - self._began
        return abs(theirs - before - passed) > TOLERATED or abs(self._means.clock.now() - now) > TOLERATED

    def _ending(self, judged: Plan, situation: Situation, work: Work, client: Client) -> PassReport:
        """Say what the pass came to, and when the next is due."""
        now = self._now()
        left, opens = self._left(work, client, now)
        suspect = any(one.reason is Reason.SUSPECT_LIST for one in judged.tripped)
        due, known = None, None
        if suspect:
            due = self._after_doubt(situation.memory, now)
            situation = self._as_known(situation)
            known = self._planned(situation.observed, situation.memory)
        return PassReport(
            desired=self._text.desired,
            began=self._began,
            due=due or self._due(judged, work, opens, now),
            plan=judged,
            known=known,
            left=left,
            outcomes=tuple(work.outcomes),
            observed=None if suspect else len(situation.observed.devices),
            budget_remaining=guards.budget(situation),
            pause=self._pause(),
            observing=self._means.observing,
            stopped=self._course.stopped is not None,
            error=str(work.ended) if work.ended is not None else "",
            rejected=self._text.rejected,
            theirs=self._theirs,
            remarks=approvals.remarks(self._text.desired, overlaid(situation.observed, situation.memory), self._began),
        )

    def _due(self, judged: Plan, work: Work, opens: datetime | None, now: datetime) -> datetime:
        """Return when the first of all that is waited for may be over."""
        dates = [self._regular(), self._boundary, opens]
        dates += [held.until for held in judged.held if held.reason not in {Reason.RETRY, Reason.REFUSED}]
        waits = [retry.until for retry in self._means.state.recall(self._account, now).retries.values()]
        waits += [
            held.until for held in judged.held if held.until is not None and held.change.device in judged.flapping
        ]
        if waits and work.ended is None:
            dates.append(max(min(waits), now + backoff.GATHER))
        return min(date for date in dates if date is not None)

    def _as_known(self, situation: Situation) -> Situation:
        """Return the situation with what should be live in place of a list that is doubted."""
        memory = self._means.state.recall(self._account, self._began)
        observed = Observed(memory.expected or frozenset(), self._began)
        return replace(situation, observed=observed, memory=memory)

    def _after_doubt(self, memory: Memory, now: datetime) -> datetime | None:
        """Return when a doubted list is read again: not sooner for anything else, as the third in a row is believed.

        After that many it takes a person, and to ask again soon does not help. Nothing means as after any other pass:
        subscribes go on.
        """
        if memory.suspect_readings + 1 < guards.BELIEVED_AFTER:
            return now + self._means.confirm_delay
        return None if guards.subscribes_in_doubt(memory) else self._regular()

    def _left(self, work: Work, client: Client, now: datetime) -> tuple[tuple[Held, ...], datetime | None]:
        """Return what was not come to, with its reason, and when the account may go on with it."""
        reason, until, full_until = Reason.QUOTA, work.opens_at, None
        if work.full is not None:
            if client.service not in self._full_until:
                log.warning("subscriptions.full", **_said(work.full))
            full_until = self._full_until[client.service] = now + backoff.FULL
        if work.outdated:
            return (), now
        if isinstance(work.ended, Throttled):
            until = client.opens_for_pass(len(work.left)) or now
        elif _stops(work.ended):
            self._course.stopped_at_list = False
            reason, until = Reason.ACCOUNT_STOPPED, self._stop(str(work.ended))
        elif work.ended is not None:
            self._course.broken_off += 1
            reason, until = Reason.RETRY, now + backoff.LIST.after(self._course.broken_off, self._means.random)
        elif full_until is not None and work.opens_at is None:
            reason, until = Reason.SUBSCRIPTIONS_FULL, full_until
        if full_until is not None and reason is not Reason.SUBSCRIPTIONS_FULL:  # both: each action has its own reason
            subscribes = [Held(one, Reason.SUBSCRIPTIONS_FULL, full_until) for one in work.left if _is_subscribe(one)]
            return (*subscribes, *(Held(one, reason, until) for one in work.left if not _is_subscribe(one))), until
        return tuple(Held(change, reason, until) for change in work.left), until

    def _withheld(self, withheld: PassAborted) -> PassReport:
        """Say what a pass without a list came to: what is known to be wanted is held, all of it."""
        memory = self._means.state.recall(self._account, self._began)
        judged: Plan | None = None
        left: tuple[Held, ...] = ()
        budget = 0
        if memory.expected is not None:
            observed = Observed(memory.expected, self._began)
            stopped = str(withheld) if withheld.reason is Reason.ACCOUNT_STOPPED else None
            throttled = withheld.until if withheld.reason is Reason.QUOTA else None
            platform = Platform(stopped=stopped, stopped_until=withheld.until, throttled_until=throttled)
            situation = self._situation(observed, memory, None, platform)
            budget = guards.budget(situation)
            judged, _ = self._judge(self._planned(observed, memory), situation)
            left = tuple(
                Held(change, withheld.reason, withheld.until) for change in (*judged.subscribes, *judged.unsubscribes)
            )
        regular = self._regular() if withheld.reason is Reason.ACCOUNT_STOPPED else withheld.until
        return PassReport(
            desired=self._text.desired,
            began=self._began,
            due=min(withheld.until, regular) if withheld.until > self._began else regular,
            plan=judged,
            left=left,
            budget_remaining=budget,
            pause=self._pause(),
            observing=self._means.observing,
            stopped=self._course.stopped is not None,
            error="" if withheld.reason is Reason.QUOTA else str(withheld),
            rejected=self._text.rejected,
            theirs=self._theirs,
            remarks=_without_list(withheld, judged),
        )

    def _no_list(self, error: PlatformError, client: Client) -> PassAborted:
        """Say why there is no list, and when to ask again."""
        now = self._now()
        if isinstance(error, Throttled):
            return PassAborted(Reason.QUOTA, str(error), client.opens_for_pass(0) or now)
        if _stops(error):
            self._course.stopped_at_list = True
            return PassAborted(Reason.ACCOUNT_STOPPED, str(error), self._stop(str(error)))
        self._course.list_failures += 1
        wait = backoff.LIST.after(self._course.list_failures, self._means.random)
        log.warning("list.failed", error=str(error), message_id=error.message_id, words=error.words)
        return PassAborted(Reason.RETRY, str(error), now + wait)

    def _stop(self, why: str) -> datetime:
        """Stop the account and return when it may try again by itself."""
        course = self._course
        if course.stopped != why:
            log.error("account.stopped", error=why)
        course.stopped, course.stops = why, course.stops + 1
        course.stopped_until = self._now() + backoff.STOPPED.after(course.stops, self._means.random)
        return course.stopped_until

    def _recovered(self) -> None:
        """Take note that LG took all that was sent to it: what was waited for is over."""
        course = self._course
        course.broken_off = 0
        if course.stopped is not None:
            course.stopped, course.stopped_until, course.stops = None, None, 0
            log.info("account.resumed")

    def _record(self, ending: PassReport, client: Client | str) -> None:
        """Leave figures and lines for people; what a restart must know is in state already."""
        course, metrics = self._course, self._means.metrics
        course.standing = course.standing.after(ending)
        course.waiting = sum(held.reason is Reason.QUOTA for held in ending.held)
        if ending.settled and course.text_since is not None:
            metrics.convergence.observe((self._now() - course.text_since).total_seconds())
            course.text_since = None
        if isinstance(client, Client):
            quota = client.quota
            told = figures(
                course.standing,
                quota_limit=quota.limit,
                quota_remaining=client.calls_left,
                token_expiry=client.access.expires_at,
            )
        else:
            told = figures(course.standing)
        metrics.figures(self._account, told)
        self._tell(ending)
        full = any(one.reason is Reason.SUBSCRIPTIONS_FULL for one in ending.left)
        made_room = any(one.change.action is Action.UNSUBSCRIBE and one.result.confirmed for one in ending.outcomes)
        if made_room and not full and isinstance(client, Client):
            self._room(client.service)

    def _tell(self, ending: PassReport) -> None:
        course, tripped = self._course, ending.plan.tripped if ending.plan is not None else ()
        guarding = {one.reason: one for one in tripped if one.reason.kind is Kind.GUARD}
        for reason in guarding.keys() - course.tripped:
            way_out = (
                {"approval": approval_block(ending.desired.account, ending.needs_approval, ending.began)}
                if reason in approvals.APPROVABLE
                else {}
            )
            one = guarding[reason]
            log.warning("guard.tripped", reason=reason, message=one.message, exc_info=one.error, **way_out)
        for reason in course.tripped - guarding.keys():
            log.info("guard.cleared", reason=reason)
        for device in sorted(ending.flapping - course.flapping):
            log.warning("device.flapping", device=device, hint="another writer is at work?")
        if ending.plan is not None:
            course.flapping = ending.flapping
        held = frozenset((one.change, one.reason) for one in ending.held) or NOTHING
        news = bool(ending.outcomes or held - course.held)
        course.tripped, course.held = frozenset(guarding) or NOTHING, held
        facts = {"result": ending.result, "condition": course.standing.condition, **counts(ending)}
        if ending.held:
            facts["reasons"] = reasons(ending)
        if ending.error:
            facts["error"] = ending.error
        (log.info if news else log.debug)("pass.completed", **facts)

    def _ledger(self, memory: Memory, approved: frozenset[DeviceId]) -> Ledger:
        means = self._means
        return Ledger(
            self._account,
            self.id,
            self._text.revision,
            memory,
            approved,
            state=means.state,
            metrics=means.metrics,
            blocking=means.blocking,
            now=self._now,
            random=means.random,
            done=means.watch.done,
        )

    def _pause(self) -> Pause:
        return self._text.desired.policy.pause.stricter(self._brake.pause)

    def _regular(self) -> datetime:
        """Return when a pass is due by the clock alone, spread so that accounts do not march in step."""
        return self._now() + self._means.interval * (0.9 + 0.2 * self._means.random())

    def _now(self) -> datetime:
        """Return the time by the wall clock as it was when the pass began: no step changes the spans in a pass."""
        return self._began + timedelta(seconds=self._means.clock.steady() - self._steady)


def _without_list(withheld: PassAborted, judged: Plan | None) -> tuple[str, ...]:
    """Return what a person should know of a pass that had no list: what it rests on, and what it waits for."""
    rests = ("this rests on the last trusted list, because none could be had now",) if judged is not None else ()
    if withheld.reason is not Reason.QUOTA:
        return rests
    return (*rests, f"{withheld}; asked again at {withheld.until:%Y-%m-%dT%H:%M:%SZ}")


def _said(error: PlatformError) -> dict[str, Any]:
    """Return what LG's support asks for, of a call that is in no history because it was not judged."""
    return {"code": error.code, "words": error.words, "message_id": error.message_id}


def _stops(error: PlatformError | None) -> bool:
    """Say whether LG does not let the account in. A token that may not be valid yet is no reason to stop."""
    return isinstance(error, CredentialsRefused | ConfigurationRefused) and not isinstance(error, NotYetAccepted)


def _is_subscribe(change: Change) -> bool:
    return change.action is Action.SUBSCRIBE
