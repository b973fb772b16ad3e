"""Follows the events file and the files of its Logic Table.

Owns: when they are read, and that a half-written file is not taken. Must not: read or judge what is in them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from reconciler.runtime.partner_files import Files, FilesReader, Judged, judged
from reconciler.runtime.receiving.rules import RulesInForce

LOOK_SECONDS = 1.0
"""How often the files are looked at. What is read is taken once two looks in a row found the same."""


class RulesFollower:
    """Reads the files again and again, and hands what changed to the rules."""

    name = "rules"
    grace = 0.0

    def __init__(self, path: Path, rules: RulesInForce, seconds: float = LOOK_SECONDS) -> None:
        self._path, self._rules, self._seconds = path, rules, seconds
        self._reader = FilesReader(path)
        self._taken: Files | str | None = None
        self._seen: Files | str | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Follow the files until ``stop``."""
        self.begin()
        while not self._stopping.is_set():
            await asyncio.to_thread(self._rules.keep)
            await asyncio.sleep(self._seconds)
            found = await asyncio.to_thread(self._reader.read)
            if self._is_news(found):
                # A large table takes seconds, and calls are answered meanwhile.
                self._take(found, await asyncio.to_thread(_judged, found))

    def begin(self) -> None:
        """Read the files for the first time. Nobody is writing them now, as far as anybody can know."""
        if self._taken is None:
            self._seen = found = self._reader.read()
            self._take(found, _judged(found))

    def stop(self) -> None:
        """Begin no reading any more."""
        self._stopping.set()

    def _is_news(self, found: Files | str) -> bool:
        """Say whether what is there now is another than was taken, and was there at the last look, too."""
        steady = found == self._seen
        self._seen = found
        return steady and found != self._taken

    def _take(self, found: Files | str, judgement: Judged | None) -> None:
        self._taken = found
        if isinstance(found, Files) and judgement is not None:
            self._rules.accept(found, judgement)
        else:
            self._rules.missing(self._path, str(found))


def _judged(found: Files | str) -> Judged | None:
    return judged(found) if isinstance(found, Files) else None
