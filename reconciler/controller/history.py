"""Whether a commit is in the history of what is in force.

Owns: the question to the source, and when more of the history is fetched for it.
Must not: wait for the network while somebody waits for the answer.
"""

from __future__ import annotations

import asyncio

import structlog

from reconciler.controller.reader import Reader
from reconciler.core.clock import Clock
from reconciler.core.errors import SourceError
from reconciler.core.model import Commit
from reconciler.source import Source

DEEPEN_SECONDS = 60.0
"""The whole history is fetched at most this often because somebody asks for an old commit."""

log = structlog.get_logger()


class History:
    """The history of a source. ``reading`` is held while anything is fetched."""

    def __init__(self, source: Source, reader: Reader, reading: asyncio.Lock, clock: Clock) -> None:
        self._source = source
        self._reader = reader
        self._reading = reading
        self._clock = clock
        self._asking = asyncio.Lock()
        self._deepening: asyncio.Task[None] | None = None
        self._not_deeper_before = 0.0

    async def holds(self, commit: Commit, revision: str) -> bool:
        """Say whether a revision is this commit or in its history. Never raises, and never waits for the network.

        Where only more of the history would tell, that is fetched meanwhile, at most once in ``DEEPEN_SECONDS``.
        """
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
                await self._reader.aside(self._source.deepen)
            except SourceError as error:
                log.warning("source.failed", kind="fetch", error=str(error))
