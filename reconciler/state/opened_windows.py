"""The change windows that a command opened, and those that it opened once.

Owns: which openings are in force, and how each ended. Must not: know what a window holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.core.windows import Ending, Opening
from reconciler.state.memories import Memories
from reconciler.state.port import OpenedWindows
from reconciler.state.records import OpeningSaved
from reconciler.state.write_behind import WriteBehind


class OpenedWindowStore(OpenedWindows):
    """The openings, over the shared memory and the write-behind."""

    def __init__(self, behind: WriteBehind, memories: Memories) -> None:
        self._behind, self._memories = behind, memories
        self._lock = behind.remembered.lock
        self._set_here: set[str] = set()

    def open(self, opening: Opening, now: datetime) -> None:
        self._behind.refuse_if_frozen()
        with self._lock:
            self._end([opening.window], Ending.REOPENED, now)
            self._memories.opened()[opening.window] = opening
            self._set_here.add(opening.window)
            self._save(opening)
        self._behind.flush()

    def close(self, window: str, now: datetime) -> bool:
        self._behind.refuse_if_frozen()
        with self._lock:
            ended = self._end([window], Ending.CLOSED, now)
        self._behind.flush()
        return bool(ended)

    def edited(self, marks: Collection[str], now: datetime) -> Sequence[Opening]:
        with self._lock:
            if self._behind.frozen:
                return ()
            others = [
                one.window for one in self._memories.opened().values() if one.mark not in marks
            ]
            ended = self._end(others, Ending.EDITED, now) if others else []
        if ended:
            self._behind.flush()
        return ended

    def in_force(self, now: datetime) -> tuple[Opening, ...]:
        with self._lock:
            opened = self._memories.opened()
            if not opened:
                return ()
            return tuple(opened[name] for name in sorted(opened) if self._holds(opened[name], now))

    def past(self, since: datetime, limit: int) -> Sequence[Opening]:
        with self._behind.disk:
            return self._behind.storage.opened(since, limit)

    def replace(self, openings: Iterable[Opening]) -> None:
        """Take the openings that are in force in a state that several replicas share."""
        with self._lock:
            self._behind.remembered.opened = {one.window: one for one in openings}

    def reset(self, step: timedelta) -> None:
        """Apply a step of the wall clock: openings that this process set keep their length."""
        with self._lock:
            if self._behind.frozen:
                return
            opened = self._memories.opened()
            for name in self._set_here & opened.keys():
                opened[name] = replace(opened[name], until=opened[name].until + step)
                self._save(opened[name])

    def _end(self, windows: Iterable[str], how: Ending, now: datetime) -> list[Opening]:
        """End openings and return those that were in force. Hold the lock."""
        opened, ended = self._memories.opened(), []
        for name in windows:
            one = opened.pop(name, None)
            if one is not None and self._holds(one, now):
                ended.append(replace(one, ended=now, ended_by=how))
                self._save(ended[-1])
        return ended

    def _save(self, opening: Opening) -> None:
        key = ("opened", opening.window, opening.at)
        self._behind.waiting.replace(key, OpeningSaved(opening), lasting=True)

    def _holds(self, opening: Opening, now: datetime) -> bool:
        """Say whether an opening has not ended by either clock: once one of them says so, changes wait again."""
        two = self._behind.clock.two
        theirs = None if two is None else two.theirs(now)
        return now < opening.until and (theirs is None or theirs < opening.until)
