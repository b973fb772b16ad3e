"""Follows the events file and the files of its Logic Table.

Owns: when they are read, and that a half-written file is not taken. Must not: read or judge what is in them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from reconciler.runtime.partner_files import Files, read_files
from reconciler.runtime.receiving.rules import RulesInForce

LOOK_SECONDS = 1.0
"""How often the files are looked at. What is read is taken once two looks in a row found the same."""


class RulesFollower:
    """Reads the files again and again, and hands what changed to the rules."""

    name = "rules"
    grace = 0.0

    def __init__(self, path: Path, rules: RulesInForce, seconds: float = LOOK_SECONDS) -> None:
        self._path, self._rules, self._seconds = path, rules, seconds
        self._taken: Files | str | None = None
        self._seen: Files | str | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Follow the files until ``stop``."""
        self.begin()
        while not self._stopping.is_set():
            await asyncio.to_thread(self._rules.keep)
            await asyncio.sleep(self._seconds)
            self._look(await asyncio.to_thread(read_files, self._path))

    def begin(self) -> None:
        """Read the files for the first time. Nobody is writing them now, as far as anybody can know."""
        if self._taken is None:
            self._seen = read_files(self._path)
            self._look(self._seen)

    def stop(self) -> None:
        """Begin no reading any more."""
        self._stopping.set()

    def _look(self, found: Files | str) -> None:
        steady = found == self._seen
        self._seen = found
        if not steady or found == self._taken:
            return
        self._taken = found
        if isinstance(found, Files):
            self._rules.accept(found)
        else:
            self._rules.missing(self._path, found)
