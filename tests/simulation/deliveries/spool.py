"""The real spool without its thread: commits are made on the event loop, at a moment that is a little later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from reconciler.core.clock import Clock
from reconciler.core.errors import SpoolError
from reconciler.events.port import Router
from reconciler.events.spool import Spool
from reconciler.events.spool.committer import BlockingErrand, Committer, Errand, News
from reconciler.events.spool.file import SpoolFile
from reconciler.events.spool.retention import Limit

SLOWEST_COMMIT_SECONDS = 0.05
LIMIT = 1 << 30


class CommitterOnLoop(Committer):
    """Commits what has gathered when the simulated disk is done."""

    def __init__(self, file: SpoolFile, news: News, random: Random, clock: Clock) -> None:
        super().__init__(file, Limit(LIMIT), news, clock)
        self._random = random

    def start(self) -> None:
        """Begin to write, on whatever loop asks for it."""
        self._data_version = self._file.writer().data_version()

    def submit(self, errand: Errand) -> None:
        """Take work for a commit soon; where a thread would wait for it, at once."""
        if self._closed:
            raise SpoolError("the spool is closed")
        self._waiting.append(errand)
        if isinstance(errand, BlockingErrand):
            self.turn()
        else:
            seconds = self._random.random() * SLOWEST_COMMIT_SECONDS
            asyncio.get_running_loop().call_later(seconds, self.turn)

    def turn(self) -> None:
        """Commit what waits, and notice what another process changed."""
        batch = [errand for errand in self._waiting if not errand.given_up]
        self._waiting.clear()
        if batch:
            self._commit(batch)
        if not self._closed:
            self._look()

    def close(self) -> None:
        """Commit what is in hand, and end."""
        self.turn()
        self._closed = True

    def die(self) -> None:
        """End as a process does that is killed: what was not committed is gone."""
        self._waiting.clear()
        self._closed = True


class SpoolOnLoop(Spool):
    """The real spool, file and all."""

    def __init__(self, folder: Path, clock: Clock, router: Router, random: Random) -> None:
        super().__init__(folder, clock, router, limit=LIMIT)
        self._on_loop = CommitterOnLoop(self._file, self._news, random, clock)
        self._committer = self._on_loop

    def look(self) -> None:
        """Notice what another process changed, as the thread does twice a second."""
        self._on_loop.turn()

    def die(self) -> None:
        """End without a last commit."""
        self._on_loop.die()
        self.close()
