"""Brings the newest revision into force.

Owns: the one place that holds what is in force now, and the order of the steps to it: read, accept, keep, report.
Must not: know how a revision is fetched or judged, or make a pass; it only names the accounts that need one.

Whatever may wait for a disk happens in a worker thread, one revision at a time; a wake that comes meanwhile leads to
one more reading. What is in force is replaced in the event loop, in one step with the report of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import structlog

from reconciler.controller.half_written import HalfWritten
from reconciler.controller.history import History
from reconciler.controller.kept_revisions import KeptRevisions, Owned, signed
from reconciler.controller.reader import Reader, Reading
from reconciler.controller.revision_recorder import RevisionRecorder, cause_of, words_for
from reconciler.controller.shared_source import SharedSource
from reconciler.core import acceptance, unsettled
from reconciler.core.acceptance import Accepted, AccountRevision, Claims
from reconciler.core.clock import Clock
from reconciler.core.errors import Fault, Invalid, StateError
from reconciler.core.model import AccountName, Cause, Revision, Verified
from reconciler.core.replicas import Descent
from reconciler.desired import digest
from reconciler.source import RESTLESS_SECONDS, Source
from reconciler.state import Accounts, Group, KeptText, OpenedWindows, Protections, Revisions
from reconciler.telemetry.metrics import Metrics

NOT_OURS = (
    "another replica read the source meanwhile, and what it accepted is not in force here yet"
)

log = structlog.get_logger()

Changed = Callable[[Iterable[AccountName]], None]


class Informer:
    """What is in force. ``changed`` gets the accounts that are new, gone, or have another revision in force.

    ``patience``: files that are being written for this many seconds are a fault of the source. ``claims`` is kept in
    step with what is in force. Without ``keeps`` nothing is written to the state, for commands that only look.
    ``shared`` is there where several replicas follow one source: one of them reads it. ``owned`` picks the accounts on
    which this process works.
    """

    def __init__(
        self,
        source: Source,
        accounts: Accounts,
        revisions: Revisions,
        protections: Protections,
        metrics: Metrics,
        *,
        environment: str | None = None,
        clock: Clock,
        changed: Changed = lambda _accounts: None,
        patience: float = RESTLESS_SECONDS,
        keeps: bool = True,
        claims: Claims | None = None,
        shared: SharedSource | None = None,
        owned: Owned = list,
        opened_windows: OpenedWindows | None = None,
    ) -> None:
        self.accepted = Accepted()
        self.claims = claims or Claims()
        self.fetched_at: float = 0.0
        self.trouble: str = ""
        self.failures = 0
        self._source = source
        self._clock = clock
        self._changed = changed
        self._reading = asyncio.Lock()
        self._waiting = False
        self._reader = Reader(source, environment, patience)
        self._half_written = HalfWritten(source, clock)
        self._shared = shared
        self._kept = KeptRevisions(
            accounts,
            revisions,
            protections,
            clock,
            environment,
            writes=keeps,
            owned=owned,
            alone=shared is None,
            opened_windows=opened_windows,
        )
        self._history = History(source, self._reader, self._reading, clock)
        self._recorder = RevisionRecorder(metrics, source.kind, clock)

    def current(self, account: AccountName) -> AccountRevision | None:
        """Return what is in force for an account, or None if it has left."""
        return self.accepted.accounts.get(account)

    @property
    def reading(self) -> bool:
        """Say whether a revision is being read right now."""
        return self._reading.locked()

    async def holds(self, revision: str) -> bool:
        """Say whether a commit is what is in force or in its history. Never raises, and never waits for the network."""
        commit = self.accepted.revision.commit if self.accepted.revision is not None else None
        if commit is None or commit.dirty:
            return False
        return await self._history.holds(commit, revision)

    async def begin(self) -> None:
        """Recall what was in force before a restart, read the newest revision, and only then report any account.

        A pass that ran on a recalled revision alone could unsubscribe what the newest one wants.
        """
        if self._shared is not None:
            await self.refresh()
            return
        await self.recall()
        recalled = self.accepted
        await self.refresh()
        untold = self.accepted.accounts.keys() - acceptance.changed(recalled, self.accepted)
        if untold:
            self._changed(untold)

    async def recall(self) -> None:
        """Bring into force what was accepted before a restart, each account with its own revision."""
        async with self._reading:
            try:
                recalled = await self._reader.aside(self._recalled)
            except StateError as error:
                log.error("state.failed", error=str(error))  # noqa: TRY400 - the sentence says it all
                return
            if recalled is not None:
                await self._enforce(recalled, tell=False)

    def _recalled(self) -> Accepted | None:
        kept = self._kept.load()
        self._kept.follow(kept)
        self._reader.trust(signed(kept))
        self._half_written.know(kept)
        return self._kept.accepted(kept, self._reader.cache)

    async def require(self) -> None:
        """Read the newest revision once and insist on it: one-shot commands never fall back to an older one.

        Where a file went away that the last accepted revision was read from, it waits until the folder is quiet.
        """
        before = await self._reader.aside(self._in_force_if_files_are_lost)
        if before is not None:
            # what the newest one does not change is reported to nobody afterwards
            await self._enforce(before, tell=False, publishes=False)
        await self.refresh()
        for _ in range(round(unsettled.LONGEST_WAIT_SECONDS)):
            if not self._half_written.waits_for_files or self.trouble:
                break
            await asyncio.sleep(1)
            if await self._reader.aside(self._source.poll):
                await self.refresh()
            else:
                await self.settle()
        if self.trouble:
            raise Invalid((Fault("", 0, 0, self.trouble),))
        if self.accepted.rejected is not None or self.accepted.revision is None:
            raise Invalid(self.accepted.faults or (Fault("", 0, 0, self.trouble),))

    def _in_force_if_files_are_lost(self) -> Accepted | None:
        """Return what was in force before, if a file that it was read from is not there any more."""
        kept = self._kept.load()
        self._reader.trust(signed(kept))
        if not self._half_written.lost(kept):
            return None
        self._half_written.know(kept)
        return self._kept.accepted(kept)

    async def refresh(self) -> None:
        """Read the newest revision and bring into force what can be. Never raises for what it reads."""
        if self._waiting or (self._shared is not None and not self._shared.reads):
            return  # a reading that has not begun yet will see whatever woke us; or another replica reads
        self._waiting = True
        try:
            await self._reading.acquire()
        finally:
            self._waiting = False
        try:
            await self._refresh()
        finally:
            self._reading.release()

    async def _refresh(self) -> None:
        try:
            reading = await self._reader.read(self.accepted.accounts.values())
        except Exception as error:  # noqa: BLE001 - a defect of ours is counted too, and the next revision is tried
            self._reader.forget()
            await self._not_fetched(error)
            return
        self.fetched_at = self._recorder.fetched()
        self.trouble, self.failures = "", 0
        if reading is not None:
            await self._judge(reading)

    async def _not_fetched(self, error: Exception) -> None:
        """Keep what is in force. A revision that is missing, or that we fail to judge, is a rejected one."""
        self.failures += 1
        words, cause = words_for(error), cause_of(error)
        self._recorder.not_fetched(error, words, again=self.trouble == words)
        self.trouble = words
        if cause is not None:
            await self._enforce(acceptance.reject(self.accepted, cause, (Fault("", 0, 0, words),)))

    async def settle(self) -> None:
        """Let devices go on of which the file stayed away, where no file has changed since the last reading."""
        if not self._half_written.waits or self._reading.locked():
            return
        if self._shared is not None and not self._shared.reads:
            return
        async with self._reading:
            waits = await self._reader.aside(self._half_written.look_again)
            if waits is not None:
                self._half_written.waits = waits
                after = unsettled.marked(self.accepted, waits, self._clock.steady())
                if after is not self.accepted:
                    await self._enforce(after)

    async def _judge(self, reading: Reading) -> None:
        """Bring into force what can be of a revision that was read, or of a commit that was not worth reading."""
        fetched, loaded, commit = reading.fetched, reading.loaded, reading.commit
        if self._shared is not None and not await self._newer(self._shared, reading):
            return
        self._reader.judged(reading, signed=False)
        if fetched.rewritten and commit is not None:
            log.warning(
                "source.rewritten", before=fetched.rewritten, commit=commit.id, author=commit.author
            )
        if loaded is None:
            revision = Revision(digest({}), commit)
            cause = fetched.cause or Cause.INVALID
            await self._enforce(
                acceptance.reject(self.accepted, cause, fetched.unreadable, revision)
            )
            return
        revision = Revision(loaded.sha256, commit)
        after = acceptance.accept(self.accepted, loaded, revision, fetched.overtaken)
        after = await self._reader.aside(self._half_written.mark, self.accepted, after, loaded)
        keeping = partial(
            self._kept.groups, fetched, loaded, revision, in_force=after.revision == revision
        )
        if not await self._enforce(after, keeping=keeping):
            self._reader.forget()
            return
        in_force = self.accepted.revision == revision
        if in_force and commit is not None and commit.verified is Verified.YES:
            self._reader.judged(reading, signed=True)
        if self._shared is None:
            await self._reader.aside(
                partial(self._kept.keep, fetched, loaded, revision, in_force=in_force)
            )

    async def _newer(self, shared: SharedSource, reading: Reading) -> bool:
        """Say whether a reading may come into force; one that may be older than what other replicas read waits.

        What was begun before another replica read the source is compared with nothing: it is read again.
        """
        if reading.loaded is None or not shared.doubts:
            newer = shared.reads
        else:
            newest = self.accepted.newest or self.accepted.revision
            found = Revision(reading.loaded.sha256, reading.commit)
            descent = await self._descent(newest, found)
            newer = shared.reads and shared.comes_into_force(newest, found, descent)
            if shared.reads and not newer:
                self.trouble = shared.behind
        if not newer:
            self._reader.forget()
        return newer

    async def _descent(self, newest: Revision | None, found: Revision) -> Descent | None:
        """Return how the commit that was found is related to the newest one that was read."""
        commit = newest.commit if newest is not None else None
        if commit is None or found.commit is None or commit.dirty or found.commit.dirty:
            return None
        if commit.id == found.commit.id or await self._history.holds(found.commit, commit.id):
            return Descent.NEWER
        known = await self._history.holds(commit, found.commit.id)
        return Descent.ANCESTOR if known else Descent.UNKNOWN

    async def adopt(self, kept: Sequence[KeptText], marks: Callable[[Accepted], Accepted]) -> None:
        """Bring into force what another replica accepted. ``marks`` adds what is not in the documents."""
        async with self._reading:
            after = marks(await self._reader.aside(self._adopted, kept))
            if self._shared is not None and not self._shared.reads:
                self._half_written.inherit(after)
            await self._enforce(acceptance.adopt(self.accepted, after), publishes=False)

    def _adopted(self, kept: Sequence[KeptText]) -> Accepted:
        self._kept.follow(kept)
        self._reader.trust(signed(kept))
        self._half_written.know(kept)
        return self._kept.accepted(kept, self._reader.cache) or Accepted()

    def taken(self, accounts: Iterable[AccountName]) -> None:
        """Let the state know what accounts want that another replica worked on until now. For a worker thread."""
        self._kept.desire(self.accepted, accounts)

    async def _enforce(
        self,
        after: Accepted,
        *,
        tell: bool = True,
        publishes: bool = True,
        keeping: Callable[[], tuple[Group, ...]] = tuple,
    ) -> bool:
        """Bring into force, and say whether that was possible: other replicas have to know it first."""
        before = self.accepted
        if after.abandoned - before.abandoned:
            after = replace(
                after,
                abandoned=await self._reader.aside(self._kept.with_live_devices, after.abandoned),
            )
        changed = acceptance.changed(before, after)
        if self._shared is not None and publishes:
            groups = await self._reader.aside(keeping)
            groups += await self._reader.aside(self._kept.protecting, before, after)
            why = NOT_OURS
            if self._shared.reads:  # else it rests on what another replica has replaced meanwhile
                why = await self._shared.publish(before, after, changed, groups)
            if why:
                self.trouble = why
                return False
        if publishes:
            await self._reader.aside(self._kept.protect, before, after)
        await self._reader.aside(self._kept.remember, before, after, changed)
        if publishes:
            await self._reader.aside(self._kept.end_edited_windows, after)
        if changed:
            await self._reader.aside(self.claims.follow, after.accounts)
            self.claims.enforce(after.accounts)
        self.accepted = after
        self._recorder.enforced(before, after, changed)
        if changed and tell:
            self._changed(changed)
        return True
