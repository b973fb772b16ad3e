"""Short jobs beside the services: one reading of the source, one look at the credentials.

Owns: that they are not lost, that one which fails ends the process, and that none is begun after ``stop``.
Must not: know what a job does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Errands:
    """The short jobs that are under way."""

    name = "errands"
    grace = 0.0

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._stopped = False

    @property
    def busy(self) -> bool:
        """Say whether any job is under way."""
        return bool(self._tasks)

    def has(self, name: str) -> bool:
        """Say whether a job of that name is under way."""
        return any(task.get_name() == name for task in self._tasks)

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin a job."""
        if self._stopped:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def run(self) -> None:
        """Wait for a job that fails, and raise its error."""
        try:
            raise await self._failed
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """Begin no further job."""
        self._stopped = True

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not self._failed.done():
            self._failed.set_result(error)
