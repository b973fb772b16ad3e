"""Follows the desired state for its names, read only.

Owns: when it is read again, what of it comes into force, and that the last accepted one is kept in the spool.
Must not: end the process. A source that fails or a file that is faulty takes no name out of force.

What comes into force is decided by the same rules as in the daemon (``core.acceptance``): a faulty file never changes
what its accounts have in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from reconciler.controller.reader import Reader, Reading
from reconciler.core import acceptance
from reconciler.core.acceptance import Accepted
from reconciler.core.errors import Fault, SourceError, SpoolError
from reconciler.core.model import Cause, Revision, Verified
from reconciler.desired import digest
from reconciler.events.port import Keeper
from reconciler.runtime.directory.kept import NAME, packed, unpacked
from reconciler.runtime.directory.names import DesiredDirectory
from reconciler.source import RESTLESS_SECONDS, MissingError, Source

LOOK_SECONDS = 10.0
"""How often files are looked at where the kernel may be silent, and what failed is tried again."""
MOST_FAULTS = 20
"""Faults that one line of the log has."""

log = structlog.get_logger()


class DirectoryFollower:
    """Keeps a directory in step with the source."""

    name = "directory"
    grace = 0.0

    def __init__(
        self,
        source: Source,
        directory: DesiredDirectory,
        keeper: Keeper,
        *,
        environment: str | None = None,
        seconds: float = LOOK_SECONDS,
    ) -> None:
        self.accepted = Accepted()
        self.was_read = False
        """Whether the source was asked once, with success or not."""
        self._source, self._directory, self._keeper = source, directory, keeper
        self._reader = Reader(source, environment, RESTLESS_SECONDS)
        self._seconds = seconds
        self._signed: frozenset[str] = frozenset()
        self._recalled, self._stale = False, True
        self._kept = ""
        self._trouble = ""
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Recall what was in force, read the newest revision, then follow the source until cancelled."""
        await self._step()
        await asyncio.gather(self._follow(), self._look_again())

    def stop(self) -> None:
        """Do nothing: a reading that is cancelled leaves nothing behind."""

    async def refresh(self) -> None:
        """Read the newest revision and bring into force what can be. Never raises for what it reads."""
        async with self._busy:
            await self._guarded(self._refresh)

    async def _follow(self) -> None:
        while True:
            await self._guarded(self._woken)
            await asyncio.sleep(self._seconds)

    async def _woken(self) -> None:
        async for _ in self._source.wakes():
            await self.refresh()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._step()

    async def _step(self) -> None:
        async with self._busy:
            await self._guarded(self._work)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something of which no failure may reach the process: names are worth less than it is."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a defect of ours, too
            self._reader.forget()
            self._failed(error)
        self.was_read = True

    async def _work(self) -> None:
        """Do what is left to do: recall, read again, and keep."""
        await self._recall()
        failed = bool(self._trouble) and not self._source.persistent
        if self._stale or failed or await self._reader.aside(self._source.poll):
            await self._refresh()
        else:
            await self._keep()

    async def _recall(self) -> None:
        """Bring into force what was accepted before a restart, unless the newest revision is in force by now.

        The spool may not be open yet; then this is tried again, and the source is read anew upon it.
        """
        if self._recalled:
            return
        try:
            content = await self._reader.aside(self._keeper.kept, NAME)
        except SpoolError:
            return
        self._recalled = True
        recalled = None if content is None else await self._reader.aside(unpacked, content)
        if recalled is None or (self.accepted.revision is not None and not self.accepted.rejected):
            return
        self._kept = _identity(recalled.accepted)
        self._signed = recalled.signed
        self._reader.trust(recalled.signed)
        self._stale = True
        await self._enforce(recalled.accepted)
        log.info("directory.recalled", accounts=len(recalled.accepted.accounts))

    async def _refresh(self) -> None:
        self._stale = False
        reading = await self._reader.read(self.accepted.accounts.values())
        self._trouble = ""
        if reading is not None:
            await self._judge(reading)
        await self._keep()

    def _failed(self, error: Exception) -> None:
        """Keep the names that there are, and say why they are not newer, once."""
        words = str(error) or type(error).__name__
        again, self._trouble = words == self._trouble, words
        if again:
            return
        if isinstance(error, MissingError) and self.accepted.revision is None:
            log.warning("directory.none", error=words)
            return
        defect = None if isinstance(error, SourceError) else error
        log.error("directory.failed", error=words, exc_info=defect)

    async def _judge(self, reading: Reading) -> None:
        """Bring into force what can be of a revision that was read."""
        fetched, loaded, commit = reading.fetched, reading.loaded, reading.commit
        self._reader.judged(reading, signed=False)
        if loaded is None:
            cause = fetched.cause or Cause.INVALID
            revision = Revision(digest({}), commit)
            await self._enforce(
                acceptance.reject(self.accepted, cause, fetched.unreadable, revision)
            )
            return
        revision = Revision(loaded.sha256, commit)
        await self._enforce(acceptance.accept(self.accepted, loaded, revision, fetched.overtaken))
        verified = commit is not None and commit.verified is Verified.YES
        if verified and commit is not None and self.accepted.revision == revision:
            self._reader.judged(reading, signed=True)
            self._signed = frozenset({commit.id})

    async def _enforce(self, after: Accepted) -> None:
        before = self.accepted
        if acceptance.changed(before, after):
            await self._reader.aside(self._directory.enforce, after)
        self.accepted = after  # not before: names that failed to come into force are tried again
        if after.rejected is not None and (after.rejected, after.faults) != (
            before.rejected,
            before.faults,
        ):
            _log_rejected(after)
        elif after.rejected is None and after.revision != before.revision:
            devices = sum(len(one.desired.devices) for one in after.accounts.values())
            log.info(
                "directory.accepted",
                revision=str(after.revision),
                accounts=len(after.accounts),
                devices=devices,
            )

    async def _keep(self) -> None:
        """Keep what is in force, if that is not kept yet. Where the spool cannot, this is tried again."""
        identity = _identity(self.accepted)
        if identity == self._kept or self.accepted.revision is None:
            return
        try:
            content = await self._reader.aside(packed, self.accepted, self._signed)
            await self._reader.aside(self._keeper.keep, NAME, content)
        except SpoolError as error:
            log.warning("directory.not_kept", error=str(error))
            return
        self._kept = identity


def _identity(accepted: Accepted) -> str:
    """Return what differs where something else is in force."""
    return " ".join(
        f"{name}={one.revision.sha256}" for name, one in sorted(accepted.accounts.items())
    )


def _log_rejected(after: Accepted) -> None:
    faults: tuple[Fault, ...] = after.faults
    log.error(
        "directory.rejected",
        cause=after.rejected,
        faults=[str(fault) for fault in faults[:MOST_FAULTS]],
        more=max(len(faults) - MOST_FAULTS, 0),
    )
