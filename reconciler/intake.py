"""Brings the newest text into force.

Owns: the one place that holds what is in force now, and the steps to it: fetch, read, accept, keep, tell.
Must not: know how a text is fetched or judged, or make a pass; it only names the accounts that need one.

Reading happens in a worker thread, one text at a time; a wake that comes meanwhile leads to one more reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from reconciler import accepted as acceptance
from reconciler.accepted import Accepted, Text
from reconciler.clock import Clock, SystemClock
from reconciler.desired import Document, Loaded, MemoryTree, load
from reconciler.errors import Fault, Invalid, SourceError
from reconciler.model import AccountName, Cause, Desired, DeviceId, Revision, Verified
from reconciler.source import SETTLE_SECONDS, Fetched, MissingError, Source
from reconciler.state import State
from reconciler.telemetry import Metrics

RESTLESS_READINGS = 600
"""So many readings in a row that found the files changing under them are a fault of the source: about a minute."""
SOURCE_ERRORS = ("missing", "unreadable", "restless")

log = structlog.get_logger()

Told = Callable[[Iterable[AccountName]], None]


class Intake:
    """What is in force. ``told`` gets the accounts for which that changed, came or went."""

    def __init__(
        self,
        source: Source,
        state: State,
        metrics: Metrics,
        *,
        environment: str | None = None,
        clock: Clock | None = None,
        told: Told = lambda _accounts: None,
    ) -> None:
        self.accepted = Accepted()
        self.fetched_at: float = 0.0
        self.trouble: str = ""
        self._source = source
        self._state = state
        self._metrics = metrics
        self._environment = environment
        self._clock = clock or SystemClock()
        self._told = told
        self._reading = asyncio.Lock()
        self._waiting = False
        self._kept: set[str] = set()
        metrics.sources(SOURCE_ERRORS, Cause)

    def text(self, account: AccountName) -> Text | None:
        """Return what is in force for an account, or nothing if it has left."""
        return self.accepted.texts.get(account)

    def recall(self) -> None:
        """Bring the texts that were accepted before a restart into force, each account with its own revision."""
        kept = self._state.kept_texts()
        self._kept = {one.document for one in kept}
        files = {path: content for one in kept for path, content in one.files.items()}
        documents = [Document(one.document, one.files[one.document]) for one in kept]
        loaded = load(documents, MemoryTree(files), environment=self._environment)
        if not kept or loaded.faults or loaded.wrong_environment:
            return
        revisions = {one.document: one.revision for one in kept}
        texts = {name: Text(one, revisions[one.path]) for name, one in loaded.accounts.items()}
        self._enforce(Accepted(texts, retired=loaded.retired, shared=loaded.shared, revision=kept[-1].revision))

    async def require(self) -> None:
        """Read the newest text once and insist on it: one-shot commands never fall back to an older one."""
        await self.refresh()
        if self.accepted.rejected is not None or self.accepted.revision is None:
            raise Invalid(self.accepted.faults or (Fault("", 0, 0, self.trouble),))

    async def refresh(self) -> None:
        """Read the newest text and bring into force what can be. Never raises for what it reads."""
        if self._waiting:
            return  # a reading that has not begun yet will see whatever woke us
        self._waiting = True
        async with self._reading:
            self._waiting = False
            await self._refresh()

    async def _refresh(self) -> None:
        try:
            fetched, loaded = await self._read()
        except SourceError as error:
            self._not_fetched(error)
            return
        self.fetched_at = self._clock.now().timestamp()
        self._metrics.source_success_timestamp.set(self.fetched_at)
        self.trouble = ""
        revision = Revision(loaded.sha256, fetched.commit)
        before = self.accepted.revision
        self._enforce(acceptance.accept(self.accepted, loaded, revision))
        if revision != before:
            await asyncio.to_thread(self._keep, fetched, loaded, revision)

    async def _read(self) -> tuple[Fetched, Loaded]:
        """Return a text of which no file changed while it was read."""
        for _ in range(RESTLESS_READINGS):
            fetched = await asyncio.to_thread(self._source.fetch)
            loaded = await asyncio.to_thread(load, fetched.documents, fetched.tree, environment=self._environment)
            if await asyncio.to_thread(self._source.settled):
                return fetched, loaded
            await asyncio.sleep(SETTLE_SECONDS)
        raise SourceError("the files keep changing while they are read")

    def _not_fetched(self, error: SourceError) -> None:
        """Keep what is in force. A text that is not there is a rejected one; anything else is the source's fault."""
        missing = isinstance(error, MissingError)
        self._metrics.source_errors.labels("missing" if missing else "unreadable").inc()
        if missing:
            self._enforce(acceptance.reject(self.accepted, Cause.MISSING, (Fault("", 0, 0, str(error)),)))
        elif self.trouble != str(error):
            log.error("source.failed", error=str(error))
        self.trouble = str(error)

    def _enforce(self, after: Accepted) -> None:
        before, self.accepted = self.accepted, after
        changed = acceptance.changed(before, after)
        now = self._clock.now()
        for account in sorted(changed):
            old, new = before.texts.get(account), after.texts.get(account)
            if new is None:
                continue
            if old is None or old.desired is not new.desired:
                self._state.desire(new.desired, new.revision, now)
            if old is not None:
                self._state.forget_retries(account, edited(old.desired, new.desired))
        for account in after.retired - before.retired:
            self._state.retire(account)
        self._tell(before, after, changed)
        if changed:
            self._told(changed)

    def _tell(self, before: Accepted, after: Accepted, changed: Iterable[AccountName]) -> None:
        self._metrics.reload_successful.set(after.rejected is None)
        self._metrics.rejected(after.rejected)
        if after.rejected is None:
            self._metrics.reload_success_timestamp.set(self._clock.now().timestamp())
        if after.revision is not None:
            commit = after.revision.commit
            verified = commit.verified if commit else Verified.UNCHECKED
            self._metrics.revision(str(after.revision), self._source.kind, verified)
            self._metrics.commit_timestamp.set(commit.at.timestamp() if commit else 0)
        if after.revision is not None and after.revision != before.revision:
            log.info("desired.accepted", **_facts(after, sorted(changed)))
        if after.rejected is not None and (after.rejected, after.faults) != (before.rejected, before.faults):
            faults = [str(fault) for fault in after.faults]
            log.error("desired.rejected", cause=after.rejected, revision=str(after.newest or ""), faults=faults)
        for warning in set(after.warnings) - set(before.warnings):
            log.warning("desired.warning", message=str(warning))
        for account in sorted(after.abandoned - before.abandoned):
            log.warning("account.abandoned", account=account)

    def _keep(self, fetched: Fetched, loaded: Loaded, revision: Revision) -> None:
        """Keep the good texts for a restart that finds a bad one."""
        if self.accepted.revision != revision:
            return
        paths = {document.path for document in fetched.documents}
        for gone in self._kept - paths:
            self._state.drop_text(gone)
        good = paths - loaded.faulty.keys()
        for path in good:
            self._state.keep_text(path, revision, loaded.files)
        self._kept = (self._kept & paths) | good


def edited(old: Desired, new: Desired) -> frozenset[DeviceId]:
    """Return the devices whose entry is another one now: their waiting retries no longer mean anything."""
    if old is new:
        return frozenset()
    described = old.described.keys() | new.described.keys()
    return (old.devices ^ new.devices) | {one for one in described if old.described.get(one) != new.described.get(one)}


def _facts(after: Accepted, changed: list[AccountName]) -> dict[str, Any]:
    revision = after.revision
    facts: dict[str, Any] = {
        "revision": str(revision),
        "accounts": len(after.texts),
        "devices": sum(len(text.desired.devices) for text in after.texts.values()),
        "changed": changed[:20],
    }
    if revision is not None and revision.commit is not None:
        facts |= {"commit": revision.commit.id, "author": revision.commit.author, "subject": revision.commit.subject}
    return facts
