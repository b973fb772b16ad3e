"""Reads the newest revision whole: no file of it changed while it was read.

Owns: the one thread in which revisions are read, what is known of the source from before, and how often a reading that
was disturbed is repeated.
Must not: decide what comes into force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import SourceError
from reconciler.core.model import Commit
from reconciler.desired import LoadCache, Loaded
from reconciler.source import (
    LOCK_SECONDS,
    SETTLE_SECONDS,
    Fetched,
    Known,
    RestlessError,
    Source,
    load_fetched,
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reading:
    """A revision that was read whole, and the commit that it is from, if there is one.

    ``loaded`` is None for a commit that is rejected unread.
    """

    fetched: Fetched
    loaded: Loaded | None
    commit: Commit | None


class Reader:
    """Reads revisions. ``patience``: files that are being written for this many seconds are a fault of the source."""

    def __init__(self, source: Source, environment: str | None, patience: float) -> None:
        self.cache = LoadCache()
        self._source = source
        self._environment = environment
        self._attempts = round(patience / SETTLE_SECONDS)
        self._known = Known()
        self._thread = ThreadPoolExecutor(1, "texts")

    async def aside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Work beside the event loop, always in the same thread.

        C's allocator keeps a share of memory for each thread: what one reading frees, the next can use only there.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def trust(self, signed: frozenset[str]) -> None:
        """Take the commits whose signature was good when they were accepted; all else is read anew."""
        self._known = Known(signed=signed)

    def judged(self, reading: Reading, *, signed: bool) -> None:
        """Take a reading as the one that was judged last. ``signed``: its commit is in force, with a good signature."""
        self._known = replace(self._known, identity=reading.fetched.identity)
        if signed and reading.commit is not None:
            self._known = replace(self._known, signed=frozenset({reading.commit.id}))

    def forget(self) -> None:
        """Read the newest revision again, even if it is the one that was judged last."""
        self._known = replace(self._known, identity="")

    async def read(self, in_force: Iterable[AccountRevision]) -> Reading | None:
        """Return the newest revision, or None if it is the one that was judged last. Raises what is wrong with it."""
        await self._let_git_finish()
        for _ in range(self._attempts):
            try:
                at_rest, reading = await self.aside(self._read_at_rest, in_force)
            except SourceError:
                await asyncio.sleep(SETTLE_SECONDS)
                if not await self.aside(self._source.poll):
                    raise
                continue  # it was caught in the middle of a change
            if at_rest:
                return reading
            await asyncio.sleep(SETTLE_SECONDS)
        raise RestlessError("the files keep changing while they are read")

    async def _let_git_finish(self) -> None:
        """Wait while git is at work on the files, but not for ever: one that was killed leaves its lock."""
        unrest = self._source.unrest
        if unrest is None:
            return
        for _ in range(round(LOCK_SECONDS / SETTLE_SECONDS)):
            if not await self.aside(unrest.occupied):
                return
            await asyncio.sleep(SETTLE_SECONDS)

    def _read_at_rest(self, in_force: Iterable[AccountRevision]) -> tuple[bool, Reading | None]:
        """Say whether nobody was writing all the while, and what was read.

        All of it in one go: under load each return to the event loop waits for its turn, which an edit waits for.
        """
        if not self._source.at_rest():
            return False, None
        reading = self._read_once(in_force)
        return self._source.settled(), reading

    def _read_once(self, in_force: Iterable[AccountRevision]) -> Reading | None:
        fetched = self._source.fetch(self._known)
        if fetched is None:
            return None
        if fetched.cause is not None:
            return Reading(fetched, None, self._source.commit({}))
        known = {one.desired.path for one in in_force}
        loaded = load_fetched(fetched, environment=self._environment, cache=self.cache, known=known)
        return Reading(fetched, loaded, self._source.commit(loaded.files))
