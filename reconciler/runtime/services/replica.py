"""Takes part in the fleet of replicas: renews the lease, takes and frees accounts, and reads what changed.

Owns: in which order that happens, and that nothing is carried from one life to the next.
Must not: make a pass, or know how the tables are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName
from reconciler.core.replicas import RENEWAL_SECONDS, MemberId, share
from reconciler.core.windows import Opening
from reconciler.pcc.quota import Learned
from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.replicas import marks
from reconciler.runtime.replicas.replica import Replica
from reconciler.runtime.replicas.soon import Soon
from reconciler.runtime.replicas.tenure import Fences
from reconciler.runtime.services.fleet_reports import FleetReports
from reconciler.runtime.services.passes import PassMaker
from reconciler.runtime.services.source import SourceFollower
from reconciler.runtime.wiring import Components, known_quota
from reconciler.state import KeptText
from reconciler.state.coordination import CHUNK, WEBHOOK, Command, Fleet, What
from reconciler.state.protections import StoredProtection
from reconciler.state.records import Fence

GRACE_SECONDS = 10.0
"""How long the last accounts may take to be freed at the end."""
UNREAD = -2
"""In place of a number of changes: the tables are read again, whatever they say."""
HEARD_SECONDS = 0.1
"""How long the tables are not looked at after the database stated that something changed: more may follow at once."""
BEHIND_SECONDS = 5.0
"""How often a source that is behind is read again."""
COMMAND_LASTS = timedelta(minutes=10)
"""What somebody asked for is carried out within this time or never."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class News:
    """What was read from the tables. ``kept`` is None where the documents are the ones that are in force here."""

    fences: Fences
    pauses: Mapping[AccountName, PauseOverride]
    protection: StoredProtection
    openings: Sequence[Opening]
    serial: int
    verdict: bytes
    kept: tuple[KeptText, ...] | None
    commands: tuple[Command, ...] = ()
    learned: Mapping[AccountName, Learned] = field(default_factory=dict)


class ReplicaService:
    """This replica at work. ``fleet`` are the last figures of all replicas, from the tables."""

    name = "replica"
    grace = GRACE_SECONDS

    def __init__(
        self,
        components: Components,
        replica: Replica,
        passes: PassMaker,
        dispatcher: Dispatcher,
        source: SourceFollower,
    ) -> None:
        self.fleet = Fleet()
        self._components, self._replica = components, replica
        self._queue, self._dispatcher, self._follower = passes.queue, dispatcher, source
        self._seen = FleetReports(components, replica, passes)
        self.elsewhere = self._seen.elsewhere
        self._tables = replica.coordination
        self._tenure = replica.tenure
        self._due, self._ending = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._serial, self._read_changes = -1, UNREAD
        # broken off: accounts may have been taken without an answer, which nothing in the tables would show again
        self._broken_off, self._reads_first = True, False
        self._silent: frozenset[MemberId] = frozenset()
        self._behind_at, self._failure = 0.0, ""
        self._obeyed: set[Command] = set()
        replica.tenure.nudge = self._nudge
        replica.tenure.writable = components.state.is_writable
        replica.tenure.tokens.credentials = components.clients.given
        self._tables.members.listen(Soon(HEARD_SECONDS, self._nudge).ask)

    async def run(self) -> None:
        """Join once the database answers, take part until ``stop``, and then leave in good order."""
        await self._join()
        async with asyncio.TaskGroup() as tasks:
            beats = tasks.create_task(self._beats(), name="replica-beats")
            await self._work_until_stopped()
            await self._leave()
            beats.cancel()

    def stop(self) -> None:
        """Free every account, and leave."""
        self._ending.set()
        self._due.set()

    def _nudge(self) -> None:
        """Look at the tables soon. It may be called from any thread."""
        self._read_changes = UNREAD
        self._loop.call_soon_threadsafe(self._due.set)

    async def _join(self) -> None:
        """Become a member. Until then pages are served, and no call is made.

        From here on the database's clock counts. That this machine's clock differs is no step of it: what the others
        wrote down keeps its age.
        """
        await self._replica.join(self._ending.is_set)
        self._components.clocks.begin()
        if not self._ending.is_set():
            await asyncio.to_thread(self._components.state.look)

    # -- the lease

    async def _beats(self) -> None:
        """Renew the lease every second, in the event loop: a loop that hangs shall lose its lease."""
        while True:
            began = self._replica.boottime()
            over = await self._replica.beat()
            if over:
                await self._begin_anew(over)
            spent = self._replica.boottime() - began
            await asyncio.sleep(max(RENEWAL_SECONDS - spent, 0.0))

    async def _begin_anew(self, why: str) -> None:
        """Forget everything, and join with another id. After an exchange nobody knows who may still act: wait.

        The new server may hold the life that is over for a living one, and nobody else need wait for it.
        """
        former = self._tenure.me
        self._replica.end_life(why)
        self._lost(self._tenure.known().keys() | self._tenure.planned().keys())
        self._serial = -1
        if "exchanged" in why:
            await asyncio.sleep(self._replica.longest_lease())
        await self._replica.join(self._ending.is_set)
        with suppress(StateError):
            await asyncio.to_thread(self._tables.members.leave, former)
        self._nudge()

    # -- the work

    async def _work_until_stopped(self) -> None:
        while not self._ending.is_set():
            try:
                if self._replica.lives:
                    await self._work()
                    self._failure = ""
            except StateError as error:
                if str(error) != self._failure:
                    log.warning("replica.failed", error=str(error))
                self._failure = str(error)
            try:
                async with asyncio.timeout(RENEWAL_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                continue
            self._due.clear()

    async def _work(self) -> None:
        """Declare dead, take the source, take or free accounts, and read what changed: all in one go."""
        me, life = self._tenure.me, self._replica
        living = await asyncio.to_thread(self._others)
        if life.tenure.me != me or not life.lives:
            return
        self._reads_first |= await self._take_source(others=len(living) > 1)
        broken_off, self._broken_off = self._broken_off, True
        moved = await asyncio.to_thread(self._balance, living)
        if moved or broken_off or self._reads_first or self._read_changes != life.changes:
            self._read_changes = life.changes  # before: what changes meanwhile is read again
            if not await self._read():
                return
        self._broken_off = False
        self._components.state.keep_only(
            self._tenure.known().keys() | self._tenure.planned().keys()
        )
        if self._reads_first:
            self._reads_first = False
            self._follower.pushed()
        self._read_behind()
        await self._free_idle()
        await self._seen.report()
        self._seen.show(self.fleet)

    def _others(self) -> frozenset[MemberId]:
        """Return who lives, after those that are silent for their whole lease were declared dead."""
        members = self._tables.members
        living = members.living()
        silent = self._replica.watch.look(living, self._replica.boottime())
        dead = {one.id for one in silent if members.declare_dead(one.id, one.beat)}
        for one in silent:
            log.warning("replica.dead", member=one.id, host=one.name)
        self._silent = frozenset(one.id for one in silent)
        return frozenset(one.id for one in living) - dead

    async def _take_source(self, *, others: bool) -> bool:
        """Read the source for all where nobody else does; say whether that begins now."""
        source, informer = self._replica.source, self._components.informer
        if source.give_up(informer.failures, others=others):
            log.warning("source.given_up", error=informer.trouble)
            await asyncio.to_thread(source.shed)
        if self._dispatcher.stopping() or not source.may_take(others=others):
            return False
        return await asyncio.to_thread(source.look)

    def _balance(self, living: Collection[MemberId]) -> bool:
        """Take accounts up to this replica's share, and mark those above it; say whether any were taken."""
        ownership = self._tables.ownership
        wanted = share(ownership.count(), living, self._tenure.me)
        if self._dispatcher.stopping():
            wanted = 0
        kept = self._tenure.known().keys() - self._tenure.leaving
        taken = False
        while len(kept) < wanted:
            found = ownership.take(self._tenure.me, min(wanted - len(kept), CHUNK))
            if found.skipped:
                log.info("accounts.skipped", accounts=found.skipped)
            if not found.fences:
                break
            taken, kept = True, kept | found.fences.keys()
        if not taken and len(kept) > wanted:
            last_due = sorted(kept, key=self._next_due, reverse=True)
            self._tenure.leave(last_due[: len(kept) - wanted])
        self.fleet = ownership.fleet(self._components.clock.now(), self._silent)
        return taken

    def _next_due(self, account: AccountName) -> float:
        due = self._queue.next_due(account)
        return -1.0 if due is None else due

    # -- what changed

    async def _read(self) -> bool:
        """Bring into force what the tables say: revisions, pauses, and what is owned. Return whether all of it is."""
        me = self._tenure.me
        news = await asyncio.to_thread(self._news)
        informer = self._components.informer
        self._components.state.take_protection(news.protection)
        if news.kept is not None and news.verdict:
            await informer.adopt(news.kept, marks.read(news.verdict).on)
            self._serial = news.serial
        if self._tenure.me != me or not self._replica.lives:
            return False
        self._replica.source.begin()
        before = self._tenure.planned()
        lost = {one for one, fence in before.items() if not _same_term(fence, news.fences.get(one))}
        self._lost(lost)
        gained = news.learned.keys()
        later = news.fences.keys() - (before.keys() - lost) - gained
        self._tenure.read(news.fences)
        unrefused = await asyncio.to_thread(self._prepare, gained, news.fences)
        if self._tenure.me != me or not self._replica.lives:
            return False  # this life ended meanwhile, and what was read for it is not owned
        self._components.state.take_pauses(news.pauses)
        self._components.state.take_openings(news.openings)
        self._tenure.plans({one: each for one, each in news.fences.items() if one not in later})
        if later:
            self._nudge()
        paused = {one for one in before if _pause_differs(before[one], news.fences.get(one))}
        self._dispatcher.wake_first(sorted(paused))
        self._gained(gained, news.learned)
        self._dispatcher.credentials_changed(unrefused)
        await self._obey(news.commands)
        return True

    def _prepare(self, gained: Collection[AccountName], fences: Fences) -> frozenset[AccountName]:
        """Prepare passes of accounts that were taken; return the accounts whose tokens are refused no more."""
        if gained:
            self._components.informer.taken(gained)
        tokens = self._tenure.tokens
        tokens.compare(gained, fences)
        return tokens.compare_refused(fences)

    def _news(self) -> News:
        """Read the tables. What is true of accounts is read first: what is read then can only be newer."""
        fences = self._tables.ownership.owned(self._tenure.me)
        verdict = self._tables.source.verdict()
        state = self._components.state
        kept = tuple(state.revisions.kept()) if verdict.serial != self._serial else None
        if state.trouble:
            raise StateError(state.trouble)
        learned = self._anew(fences)
        ours = [*self._tenure.planned().keys() & fences.keys(), *learned]
        commands = self._tables.commands.asked(ours, source=self._replica.source.epoch is not None)
        return News(
            fences,
            state.stored_pauses(),
            state.stored_protection(),
            state.stored_openings(),
            verdict.serial,
            verdict.content,
            kept,
            tuple(commands),
            learned,
        )

    def _anew(self, fences: Fences) -> Mapping[AccountName, Learned]:
        """Read accounts anew that were taken: what this process happens to know of them is older than their owner.

        With thousands of them it goes on with the next ones a moment later, while passes of the first begin.
        """
        before = self._tenure.planned()
        taken = [
            one for one in fences if one not in before or not _same_term(before[one], fences[one])
        ][:CHUNK]
        self._components.state.forget(taken)
        return {one: self._learned(one) for one in taken}

    def _learned(self, account: AccountName) -> Learned:
        """Return what the last owners of an account wrote down of its quota. Raises ``StateError``."""
        state = self._components.state
        learned = known_quota(state.quotas, state.history, account, self._components.clock.now())
        if state.trouble:
            raise StateError(state.trouble)
        return learned

    def _gained(
        self, accounts: Collection[AccountName], learned: Mapping[AccountName, Learned]
    ) -> None:
        """Begin to work on accounts."""
        if not accounts:
            return
        components = self._components
        for account in accounts:
            if account in learned:
                components.clients.taken(account, learned[account])
            components.metrics.enter(account)
        log.info("accounts.taken", accounts=len(accounts))
        self._queue.wake(sorted(accounts), first=True)

    def _lost(self, accounts: Collection[AccountName]) -> None:
        """Forget accounts that this replica does not own any more."""
        if not accounts:
            return
        components = self._components
        self._tenure.drop(accounts)
        self._queue.drop(accounts)
        components.state.forget(accounts)
        for account in accounts:
            components.reconciler.forget(account)
            components.metrics.leave(account)
        log.info("accounts.left", accounts=len(accounts))

    async def _obey(self, commands: Collection[Command]) -> None:
        """Do what people asked for, at whichever replica, and once: that it was done may be written only later.

        A person agrees to what is there now, so a command that was obeyed may not agree to what comes after it.
        """
        if not commands:
            return
        new = [one for one in commands if one not in self._obeyed]
        in_time = _in_time(new, self._components.clock.now())
        names = [one.account for one in in_time if one.what is What.RECONCILE and one.account]
        await self._dispatcher.person_agrees(names)
        fetches = [one for one in in_time if one.what is What.FETCH]
        if any(one.by != WEBHOOK for one in fetches):
            self._replica.source.person_agrees()
        if fetches:
            self._follower.pushed()
        self._obeyed.update(new)
        await asyncio.to_thread(self._tables.commands.done, [one.id for one in commands])
        self._obeyed.difference_update(commands)

    def _read_behind(self) -> None:
        """Read a source again that is behind, or whose newest revision the others do not have, every few seconds."""
        now, source = self._replica.boottime(), self._replica.source
        if (source.waits or source.unpublished) and now - self._behind_at >= BEHIND_SECONDS:
            self._behind_at = now
            self._follower.pushed()

    # -- handing over

    async def _free_idle(self) -> None:
        """Free accounts that are to go to others, once their pass has ended and all of it is written."""
        idle = self._tenure.leaving - self._queue.under_way.keys()
        if idle:
            freed = await asyncio.to_thread(self._free, idle)
            self._lost(freed)

    def _free(self, accounts: frozenset[AccountName]) -> frozenset[AccountName]:
        """Free accounts whose last outcomes are written; return those."""
        state, fences = self._components.state, self._tenure.known()
        state.flush()
        epochs = {
            one: fences[one].epoch
            for one in sorted(accounts & fences.keys())
            if not state.waits_for(one)
        }
        if epochs:
            self._tables.ownership.shed(epochs, self._tenure.me)
        return frozenset(epochs) | (accounts - fences.keys())

    async def _leave(self) -> None:
        """Free everything, so that the others need not wait for the lease to run out."""
        if not self._tenure.me:
            return  # it never joined
        self._tenure.leave(self._tenure.known().keys())
        try:
            await self._free_idle()
            await asyncio.to_thread(self._replica.source.shed)
            if not self._tenure.known():
                await asyncio.to_thread(self._tables.members.leave, self._tenure.me)
        except StateError as error:
            log.warning("replica.failed", error=str(error))


def _pause_differs(before: Fence, now: Fence | None) -> bool:
    """Say whether a pause was set or ended meanwhile."""
    return now is not None and before.pause != now.pause


def _same_term(before: Fence, now: Fence | None) -> bool:
    """Say whether an account was owned without a break."""
    return now is not None and before.epoch == now.epoch


def _in_time(commands: Iterable[Command], now: datetime) -> list[Command]:
    """Return the commands that may be carried out: who asked for the others did not see what is there now."""
    found = []
    for one in commands:
        if now - one.at <= COMMAND_LASTS:
            found.append(one)
        else:
            log.warning("command.expired", account=one.account, command=one.what, by=one.by)
    return found
