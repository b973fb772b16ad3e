"""The machine's disk: files that people and machines write, news of them that may get lost, and a state that may fail.

Owns: when a file was last changed in virtual time, and every fault of a disk. Must not: know what is in the files.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from power import Power
from simulation.clockwork import MachineClock, VirtualLoop

NEWS_TRAVELS_SECONDS = 0.05
BUSY_SECONDS = 8.0
"""For so long after a write everything that looks at files does so at its own pace."""
SELDOM_SECONDS = 300.0
GONE = (0, -1, 0)


class Disk:
    """Files under one folder. ``deaf``: the kernel says nothing. ``full``: nothing of the state can be written.

    ``broken``: the state's file can be neither read nor written. ``seldom_seconds``: who looks now and then does so as
    seldom, where nothing changes.
    """

    def __init__(self, loop: VirtualLoop, clock: MachineClock) -> None:
        self.deaf = self.full = self.broken = False
        self.seldom_seconds = SELDOM_SECONDS
        self.power = Power()
        self.ever_failed = False
        self._loop = loop
        self._clock = clock
        self._changed: dict[str, int] = {}
        self._busy_until = 0.0
        self._news, self._stir = asyncio.Event(), asyncio.Event()

    @property
    def busy(self) -> bool:
        """Say whether files changed a moment ago."""
        return self._loop.time() < self._busy_until

    def write(self, path: Path, content: bytes) -> None:
        """Write a file in place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        seconds = self._clock.seconds()
        os.utime(path, (seconds, seconds))
        self._touched(path)

    def rename_over(self, path: Path, content: bytes) -> None:
        """Write a file beside and rename it over the old one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(content)
        seconds = self._clock.seconds()
        os.utime(beside, (seconds, seconds))
        beside.replace(path)
        self._touched(path)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink(missing_ok=True)
        self._touched(path)

    def _touched(self, path: Path) -> None:
        self._changed[str(path)] = round(self._clock.seconds() * 1e9)
        self._busy_until = self._loop.time() + BUSY_SECONDS
        self._stir.set()
        if not self.deaf:
            self._loop.call_later(NEWS_TRAVELS_SECONDS, self._news.set)

    def look(self, path: str) -> tuple[int, int, int]:
        """Return what changes whenever a file does."""
        try:
            status = os.stat(path)  # noqa: PTH116 - asked for thousands of times a run, and Path costs more than this
        except OSError:
            return GONE
        return self._changed.get(path, 0), status.st_size, status.st_ino

    async def watch(
        self,
        folders: Iterable[str],
        *,
        settle: float,
        most: float,
        idle: float | None = None,
        stop: threading.Event | None = None,
    ) -> AsyncGenerator[frozenset[str], None]:
        """Tell of changes, as the kernel does; where it is deaf only of time that passed, if ``idle`` asks for that."""
        del folders, most
        while stop is None or not stop.is_set():
            heard = await self._heard(idle)
            if heard:
                await asyncio.sleep(settle)
            if heard or idle is not None:
                yield frozenset()

    async def _heard(self, idle: float | None) -> bool:
        """Wait for news, or until whoever looks now and then would look; say whether there were any."""
        if not self.busy:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.seldom_seconds):
                    await self._stir.wait()
        self._stir.clear()
        try:
            async with asyncio.timeout(idle or 1.0):
                await self._news.wait()
        except TimeoutError:
            return False
        self._loop.call_later(
            0.0, self._news.clear
        )  # not at once: there may be others who wait for it
        return True

    def connect(self, uri: str) -> sqlite3.Connection:
        """Open the state's file on this disk."""
        disk = self

        class OnThisDisk(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
                disk.obey(writes=sql in {"COMMIT", "BEGIN IMMEDIATE"})
                cursor = super().execute(sql, parameters)
                if sql == "COMMIT":
                    disk.power.committed(self)
                return cursor

            def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
                disk.obey(writes=True)
                return super().executemany(sql, parameters)

        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, factory=OnThisDisk
        )

    def obey(self, *, writes: bool) -> None:
        """Raise what is wrong with this disk, if anything is."""
        if self.broken:
            self.ever_failed = True
            raise sqlite3.OperationalError("disk I/O error")
        if self.full and writes:
            self.ever_failed = True
            raise sqlite3.OperationalError("database or disk is full")
