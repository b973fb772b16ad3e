"""Follows the source of the desired state.

Owns: when it is read again: the source says so, a look finds it changed, a forge pushed, or the last reading failed.
Must not: know how it is read, or what is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

from reconciler.controller.queue import Queue
from reconciler.runtime.pushes import Pushes
from reconciler.runtime.services.errands import Errands
from reconciler.runtime.wiring import Components
from reconciler.source import FileSource

AGAIN = "fetch again"


class SourceFollower:
    """Reads the newest revision whenever there may be one."""

    name = "source"
    grace = 0.0

    def __init__(self, components: Components, queue: Queue, errands: Errands) -> None:
        self._source, self._informer = components.source, components.informer
        self._queue, self._errands = queue, errands
        self._pushes = Pushes(self._refresh, self._begin_pushed, components.clock.steady)

    async def run(self) -> None:
        """Bring the first revision into force, then follow the source."""
        await self._informer.begin()
        async for _ in self._source.wakes():
            await self._refresh()

    def stop(self) -> None:
        """Begin no reading any more."""
        self._pushes.stop()

    def pushed(self, *, repeated: bool = False) -> None:
        """Read soon. One reading under way is followed by one more, however many callers ask for it.

        ``repeated``: the call came before, and may be repeated by somebody who recorded it.
        """
        self._pushes.ask(repeated=repeated)

    def poll(self) -> None:
        """Read again if the source changed unnoticed."""
        if not self._informer.reading and not self._errands.busy:
            self._errands.begin(self._look(), "look")

    def fetch_again(self) -> None:
        """Read again if the last reading failed, and the source does not come back to that on its own.

        A look that has begun at the same moment does not read files that still look the same.
        """
        failed = self._informer.trouble and not self._source.persistent
        if failed and not self._informer.reading and not self._errands.has(AGAIN):
            self._errands.begin(self._refresh(), AGAIN)

    def _begin_pushed(self, work: Coroutine[Any, Any, None]) -> None:
        self._errands.begin(work, "pushed")

    async def _look(self) -> None:
        if await asyncio.to_thread(self._source.poll):
            await self._refresh()
        else:
            await self._informer.settle()

    async def _refresh(self) -> None:
        """Read what may be an edit. No pass waits for a repository: that may take long."""
        with self._queue.quiet() if self._source.kind == FileSource.kind else nullcontext():
            await self._informer.refresh()
