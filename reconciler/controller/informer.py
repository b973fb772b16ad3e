"""Brings the newest text into force.

Owns: the one place that holds what is in force now, and the steps to it: fetch, read, accept, keep, tell.
Must not: know how a text is fetched or judged, or make a pass; it only names the accounts that need one.

Whatever may wait for a disk happens in a worker thread, one text at a time; a wake that comes meanwhile leads to one
more reading. What is in force is exchanged in the event loop, in one step with the news of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import structlog

from reconciler.core import acceptance, unsettled
from reconciler.core.acceptance import Accepted, AccountRevision, Claims
from reconciler.core.clock import Clock
from reconciler.core.errors import Fault, Invalid, SourceError, StateError
from reconciler.core.model import AccountName, Cause, Commit, DeviceId, Revision, Verified
from reconciler.core.unsettled import Waits
from reconciler.desired import LoadCache, Loaded, digest, read_list
from reconciler.source import (
    LOCK_SECONDS,
    RESTLESS_SECONDS,
    SETTLE_SECONDS,
    Fetched,
    FetchError,
    Known,
    MissingError,
    RestlessError,
    Source,
    load_fetched,
)
from reconciler.source.kept import recalled
from reconciler.state import Accounts, KeptText, Revisions
from reconciler.telemetry.metrics import Metrics

SOURCE_ERRORS = ("missing", "fetch", "unreadable", "restless", "defect")
"""Why there is no newest text to judge: the kinds of ``pcc_source_errors_total``."""

DEEPEN_SECONDS = 60.0
"""At most so often the whole history is fetched because somebody asks for an old commit."""

log = structlog.get_logger()

Told = Callable[[Iterable[AccountName]], None]
Result = TypeVar("Result")


class Informer:
    """What is in force. ``told`` gets the accounts for which that changed, came or went.

    ``patience``: after so many seconds, files that are being written all the while are a fault of the source.
    ``claims`` is kept in step with what is in force. Without ``keeps`` nothing is written to the state: whoever only
    looks has no later use of it.
    """

    def __init__(
        self,
        source: Source,
        accounts: Accounts,
        revisions: Revisions,
        metrics: Metrics,
        *,
        environment: str | None = None,
        clock: Clock,
        told: Told = lambda _accounts: None,
        patience: float = RESTLESS_SECONDS,
        keeps: bool = True,
        claims: Claims | None = None,
    ) -> None:
        self.accepted = Accepted()
        self.claims = claims or Claims()
        self.fetched_at: float = 0.0
        self.trouble: str = ""
        self._source = source
        self._accounts = accounts
        self._revisions = revisions
        self._metrics = metrics
        self._environment = environment
        self._clock = clock
        self._told = told
        self._readings = round(patience / SETTLE_SECONDS)
        self._reading = asyncio.Lock()
        self._waiting = False
        self._asking = asyncio.Lock()
        self._deepening: asyncio.Task[None] | None = None
        self._not_deeper_before = 0.0
        self._kept: set[str] = set()
        self._kept_as: Revision | None = None
        self._keeps = keeps
        self._known = Known()
        self._cache = LoadCache()
        self._waits = Waits()
        self._named: dict[str, frozenset[str]] = {}
        self._thread = ThreadPoolExecutor(1, "texts")
        metrics.sources(SOURCE_ERRORS, Cause)

    async def _aside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Work beside the event loop, always in the same thread.

        C's allocator keeps a share of memory for each thread: what one reading frees, the next can use only there.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def current(self, account: AccountName) -> AccountRevision | None:
        """Return what is in force for an account, or nothing if it has left."""
        return self.accepted.accounts.get(account)

    @property
    def reading(self) -> bool:
        """Say whether a text is being read right now."""
        return self._reading.locked()

    async def holds(self, revision: str) -> bool:
        """Say whether a commit is what is in force or in its history. Never raises, and never waits for the network.

        Where only more of the history would tell, that is fetched meanwhile, at most once in ``DEEPEN_SECONDS``.
        """
        commit = self.accepted.revision.commit if self.accepted.revision is not None else None
        if commit is None or commit.dirty:
            return False
        async with self._asking:
            found = await asyncio.to_thread(self._source.holds, commit.id, revision)
        if found is None:
            self._begin_to_deepen()
        return found is True

    def _begin_to_deepen(self) -> None:
        now = self._clock.steady()
        if now < self._not_deeper_before:
            return
        self._not_deeper_before = now + DEEPEN_SECONDS
        self._deepening = asyncio.create_task(self._deepen(), name="history")

    async def _deepen(self) -> None:
        async with self._reading:
            try:
                await self._aside(self._source.deepen)
            except SourceError as error:
                log.warning("source.failed", kind="fetch", error=str(error))

    async def begin(self) -> None:
        """Recall what was in force before a restart, read the newest text, and only then tell of any account.

        A pass that ran on a recalled text alone could unsubscribe what the newest one wants.
        """
        await self.recall()
        recalled = self.accepted
        await self.refresh()
        untold = self.accepted.accounts.keys() - acceptance.changed(recalled, self.accepted)
        if untold:
            self._told(untold)

    async def recall(self) -> None:
        """Bring the texts that were accepted before a restart into force, each account with its own revision."""
        async with self._reading:
            try:
                recalled = await self._aside(self._recalled)
            except StateError as error:
                log.error("state.failed", error=str(error))  # noqa: TRY400 - the sentence says it all
                return
            if recalled is not None:
                await self._enforce(recalled, tell=False)

    def _recalled(self) -> Accepted | None:
        kept = self._revisions.kept()
        self._kept = {one.document for one in kept}
        self._known = Known(signed=_signed(kept))
        self._named = {one.document: frozenset(one.files) for one in kept}
        return recalled(kept, self._accounts.live_accounts, self._environment, self._cache)

    async def require(self) -> None:
        """Read the newest text once and insist on it: one-shot commands never fall back to an older one.

        Where a file went away that the last accepted text was read from, it is waited until its folder is quiet.
        """
        kept = await self._aside(self._revisions.kept)
        self._known = Known(signed=_signed(kept))
        before = await self._aside(self._with_files_gone, kept)
        if before is not None:
            self.accepted = before
        await self.refresh()
        for _ in range(round(unsettled.LONGEST_WAIT_SECONDS)):
            if not self._waits.gone or self.trouble:
                break
            await asyncio.sleep(1)
            await (self.refresh() if await self._aside(self._source.poll) else self.settle())
        if self.trouble or self.accepted.rejected is not None or self.accepted.revision is None:
            raise Invalid((not self.trouble and self.accepted.faults) or (Fault("", 0, 0, self.trouble),))

    def _with_files_gone(self, kept: Sequence[KeptText]) -> Accepted | None:
        """Return what was in force before, if a file that it was read from is not there any more."""
        unrest = self._source.unrest
        if unrest is None or not unrest.gone((path for one in kept for path in one.files), {}):
            return None
        self._named = {one.document: frozenset(one.files) for one in kept}
        return recalled(kept, self._accounts.live_accounts, self._environment)

    async def refresh(self) -> None:
        """Read the newest text and bring into force what can be. Never raises for what it reads."""
        if self._waiting:
            return  # a reading that has not begun yet will see whatever woke us
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
            await self._let_git_finish()
            read = await self._read()
        except Exception as error:  # noqa: BLE001 - a defect of ours is told and counted too, and the next text is tried
            self._known = replace(self._known, identity="")
            await self._not_fetched(error)
            return
        self.fetched_at = self._clock.now().timestamp()
        self._metrics.source_success_timestamp.set(self.fetched_at)
        self.trouble = ""
        if read is not None:
            await self._judge(*read)

    async def _let_git_finish(self) -> None:
        """Wait while git is at work on the files, but not for ever: one that was killed leaves its lock."""
        unrest = self._source.unrest
        for _ in range(round(LOCK_SECONDS / SETTLE_SECONDS) if unrest is not None else 0):
            if unrest is None or not await self._aside(unrest.occupied):
                return
            await asyncio.sleep(SETTLE_SECONDS)

    async def settle(self) -> None:
        """Let devices go on of which the file stayed away, where no file has changed since the last reading."""
        if not self._waits or self._reading.locked():
            return
        async with self._reading:
            waits = await self._aside(self._look_again)
            if waits is not None:
                self._waits = waits
                after = unsettled.marked(self.accepted, waits, self._clock.steady())
                if after is not self.accepted:
                    await self._enforce(after)

    def _look_again(self) -> Waits | None:
        unrest, now = self._source.unrest, self._clock.steady()
        if unrest is None or self._source.poll():
            return None  # what is there now is read first
        locked = unrest.lock() is not None
        quiet = unrest.quiet_for() if self._waits.gone else 0.0
        return unsettled.after_a_look(self._waits, now=now, locked=locked, quiet_for=quiet)

    def _unsettled(self, before: Accepted, after: Accepted, loaded: Loaded) -> Accepted:
        """Mark what may be missing only because the files are half written."""
        unrest, now = self._source.unrest, self._clock.steady()
        if unrest is None:
            return after
        lock = unrest.lock()
        known = frozenset[str]().union(self._named, *self._named.values())
        seen = unsettled.Reading(
            now=now,
            lock=lock.path if lock is not None else "",
            lock_since=self._clock.now() - timedelta(seconds=lock.age) if lock is not None else None,
            gone=unrest.gone(known, loaded.files),
            missing={path: _devices_in(path, content) for path, content in self._source.missing().items()},
        )
        self._waits = unsettled.after_reading(self._waits, seen, before, after, self._named)
        if after.newest is not None and after.revision is after.newest:
            good = {path: frozenset(named) for path, named in loaded.named.items() if path not in loaded.faulty}
            kept = {path: named for path, named in self._named.items() if path in loaded.faulty}
            self._named = {**kept, **good}
        return unsettled.marked(after, self._waits, now)

    async def _judge(self, fetched: Fetched, loaded: Loaded | None, commit: Commit | None) -> None:
        """Bring into force what can be of a text that was read, or of a commit that was not worth reading."""
        self._known = replace(self._known, identity=fetched.identity)
        if fetched.rewritten and commit is not None:
            log.warning("source.rewritten", before=fetched.rewritten, commit=commit.id, author=commit.author)
        if loaded is None:
            revision = Revision(digest({}), commit)
            cause = fetched.cause or Cause.INVALID
            await self._enforce(acceptance.reject(self.accepted, cause, fetched.unreadable, revision))
            return
        revision = Revision(loaded.sha256, commit)
        after = acceptance.accept(self.accepted, loaded, revision, fetched.overtaken)
        await self._enforce(await self._aside(self._unsettled, self.accepted, after, loaded))
        if self.accepted.revision == revision and commit is not None and commit.verified is Verified.YES:
            self._known = replace(self._known, signed=frozenset({commit.id}))
        if revision != self._kept_as:  # once after each start too: the last process may have ended before it kept all
            await self._aside(self._keep, fetched, loaded, revision)

    async def _read(self) -> tuple[Fetched, Loaded | None, Commit | None] | None:
        """Return a text of which no file changed while it was read, or nothing if it is the one that was judged last.

        With it the commit that it is from, if there is one. A commit that is rejected unread has no text.
        """
        for _ in range(self._readings):
            try:
                at_rest, read = await self._aside(self._read_at_rest)
            except SourceError:
                await asyncio.sleep(SETTLE_SECONDS)
                if not await self._aside(self._source.poll):
                    raise
                continue  # it was caught in the middle of a change
            if at_rest:
                return read
            await asyncio.sleep(SETTLE_SECONDS)
        raise RestlessError("the files keep changing while they are read")

    def _read_at_rest(self) -> tuple[bool, tuple[Fetched, Loaded | None, Commit | None] | None]:
        """Say whether nobody was writing all the while, and what was read.

        All of it in one go: under load each return to the event loop waits for its turn, which an edit waits for.
        """
        if not self._source.at_rest():
            return False, None
        read = self._read_once()
        return self._source.settled(), read

    def _read_once(self) -> tuple[Fetched, Loaded | None, Commit | None] | None:
        fetched = self._source.fetch(self._known)
        if fetched is None:
            return None
        if fetched.cause is not None:
            return fetched, None, self._source.commit({})
        known = {one.desired.path for one in self.accepted.accounts.values()}
        loaded = load_fetched(fetched, environment=self._environment, cache=self._cache, known=known)
        return fetched, loaded, self._source.commit(loaded.files)

    async def _not_fetched(self, error: Exception) -> None:
        """Keep what is in force. A text that is not there, or that we fail to judge, is a rejected one."""
        kind, words, cause = _trouble(error)
        self._metrics.source_errors.labels(kind).inc()
        news, self.trouble = self.trouble != words, words
        if news and not isinstance(error, MissingError):  # that one is told as a rejected text
            log.error(
                "source.failed", kind=kind, error=words, exc_info=None if isinstance(error, SourceError) else error
            )
        if cause is not None:
            await self._enforce(acceptance.reject(self.accepted, cause, (Fault("", 0, 0, words),)))

    async def _enforce(self, after: Accepted, *, tell: bool = True) -> None:
        before = self.accepted
        if after.abandoned - before.abandoned:
            after = replace(after, abandoned=await self._aside(self._with_live_devices, after.abandoned))
        changed = acceptance.changed(before, after)
        await self._aside(self._remember, before, after, changed)
        if changed:
            await self._aside(self.claims.follow, after.accounts)
            self.claims.enforce(after.accounts)
        self.accepted = after
        self._tell(before, after, changed)
        if changed and tell:
            self._told(changed)

    def _with_live_devices(self, vanished: frozenset[AccountName]) -> frozenset[AccountName]:
        """Return the accounts that are missed: those of which devices are live, as far as can be known."""
        try:
            return vanished & self._accounts.live_accounts()
        except StateError:
            return vanished

    def _remember(self, before: Accepted, after: Accepted, changed: Iterable[AccountName]) -> None:
        """Let the state know what each account wants now, before a pass can ask."""
        if not self._keeps:
            return
        now = self._clock.now()
        for account in sorted(changed):
            old, new = before.accounts.get(account), after.accounts.get(account)
            if new is None:
                continue
            if old is None or old.desired is not new.desired:
                self._accounts.desire(new.desired, new.revision, now)
            if old is not None:
                self._accounts.forget_retries(account, new.desired.edited_since(old.desired))
        for account in after.retired - before.retired:
            self._accounts.retire(account)

    def _tell(self, before: Accepted, after: Accepted, changed: Iterable[AccountName]) -> None:
        self._metrics.reload_successful.set(after.rejected is None)
        self._metrics.rejected(after.rejected)
        self._metrics.abandoned(after.abandoned)
        if after.rejected is None:
            self._metrics.reload_success_timestamp.set(self._clock.now().timestamp())
        if after.revision is not None:
            commit = after.revision.commit
            verified = commit.verified if commit else Verified.UNCHECKED
            self._metrics.revision(str(after.revision), self._source.kind, verified)
            self._metrics.commit_timestamp.set(commit.at.timestamp() if commit else 0)
        mended = before.rejected is not None and after.rejected is None
        if after.revision is not None and (mended or after.revision != before.revision):
            log.info("desired.accepted", **_facts(after, sorted(changed)))
        if after.rejected is not None and (after.rejected, after.faults) != (before.rejected, before.faults):
            faults = [str(fault) for fault in after.faults]
            newest = after.newest if after.newest is not before.newest else None  # none: nothing newer could be had
            log.error("desired.rejected", cause=after.rejected, revision=str(newest or ""), faults=faults)
        for warning in set(after.warnings) - set(before.warnings):
            log.warning("desired.warning", message=str(warning))
        for account in sorted(after.abandoned - before.abandoned):
            log.warning("account.abandoned", account=account)

    def _keep(self, fetched: Fetched, loaded: Loaded, revision: Revision) -> None:
        """Keep the good texts for a restart that finds a bad one."""
        if self.accepted.revision != revision or not self._keeps:
            return
        paths = {document.path for document in fetched.documents}
        good = paths - loaded.faulty.keys()
        texts = (KeptText(path, revision, loaded.files_of(path)) for path in sorted(good))
        self._revisions.keep(texts, gone=self._kept - paths)
        self._kept, self._kept_as = (self._kept & paths) | good, revision


def _devices_in(path: str, content: bytes | None) -> frozenset[DeviceId] | None:
    """Return the devices that a missing file held, or nothing where that cannot be read from what the commit has."""
    if content is None or path.endswith(".toml"):
        return None
    listed = read_list(path, content)
    return None if listed.faults else listed.ids


def _signed(kept: Iterable[KeptText]) -> frozenset[str]:
    """Return the commits whose signature was good when their texts were accepted."""
    commits = (one.revision.commit for one in kept)
    return frozenset(commit.id for commit in commits if commit is not None and commit.verified is Verified.YES)


def _trouble(error: Exception) -> tuple[str, str, Cause | None]:
    """Return the kind of what went wrong, a sentence, and why the newest text counts as rejected if it does."""
    match error:
        case MissingError():
            return "missing", str(error), Cause.MISSING
        case RestlessError():
            return "restless", str(error), None
        case FetchError():
            return "fetch", str(error), None
        case SourceError():
            return "unreadable", str(error), None
        case _:
            words = f"the text cannot be judged, by an error of this program: {type(error).__name__}; see the log"
            return "defect", words, Cause.INVALID


def _facts(after: Accepted, changed: list[AccountName]) -> dict[str, Any]:
    revision = after.revision
    facts: dict[str, Any] = {
        "revision": str(revision),
        "accounts": len(after.accounts),
        "devices": sum(len(text.desired.devices) for text in after.accounts.values()),
        "changed": changed[:20],
    }
    commit = revision.made_by if revision is not None else None
    if commit is not None:
        facts |= {"commit": commit.id, "author": commit.author, "subject": commit.subject}
    return facts
