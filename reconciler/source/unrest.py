"""Signs that local files are half written: git at work in their folder, and files that went away a moment ago.

Owns: git's index lock, files that were there before, and whether anything below the folder of the documents changed of
late. Must not: decide what is held for it, follow a link, or raise: a folder may be in no repository, belong to another
user, or be gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from reconciler.core.errors import ReconcilerError
from reconciler.source.git.commits import WorkingTree
from reconciler.source.signatures import Signature, signature

LOCK_SECONDS = 60.0
"""A reading waits for git's index lock for so long at most."""
ASKING_SECONDS = 5.0
"""For one question to git."""
MOST_ENTRIES = 20_000
"""The number of files and folders that are checked for changes; of a larger folder the rest is not."""
LOCK = "index.lock"
GIT = ".git"
"""Git's own folder, or the file that names it: what changes there is no change of the files."""
WHOLE = "..data"
"""The link by which a mounted ConfigMap or Secret is exchanged in one step."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Git's index lock: where it is, and for how many seconds."""

    path: str
    age: float


class Unrest:
    """Looks at the folder of the documents. ``steady`` is a clock that is never set, ``wall`` dates files."""

    def __init__(
        self,
        home: Callable[[], str],
        *,
        steady: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._steady, self._wall = steady, wall
        self._asked: tuple[str, tuple[Signature, ...]] | None = None
        self._lock_path: str | None = None
        self._seen: tuple[Signature, float] | None = None
        self._entries: int | None = None
        self._changed = 0.0
        self._real: str | None = None
        self._whole = False
        self._apart: frozenset[str] = frozenset()

    def leave_out(self, *folders: Path) -> None:
        """Take no notice of changes in these folders: they are our own."""
        self._apart = frozenset(os.path.realpath(folder) for folder in folders)

    def lock(self) -> Lock | None:
        """Return git's index lock while it is there, however old. Its age is at least as long as it is looked at."""
        path = self._find_lock()
        found = signature(path) if path is not None else None
        if path is None or found is None or not found[2]:
            self._seen = None
            return None
        now = self._steady()
        if self._seen is None or self._seen[0][2] != found[2]:
            self._seen = found, now - max(self._wall() - _modified(path), 0.0)
        return Lock(path, now - self._seen[1])

    def occupied(self) -> bool:
        """Return whether git is at work, so that a reading is better postponed."""
        lock = self.lock()
        return lock is not None and lock.age < LOCK_SECONDS

    def quiet_for(self) -> float:
        """Return for how many seconds nothing below the folder changed, as far as the looks at it show."""
        entries, now = self._look(), self._steady()
        if entries != self._entries:
            self._entries, self._changed = entries, now
        return now - self._changed

    @property
    def is_whole(self) -> bool:
        """Say whether the last answer of ``gone`` was about a folder that is exchanged as a whole."""
        return self._whole

    def gone(self, before: Iterable[str], now: Mapping[str, bytes]) -> frozenset[str]:
        """Return which files that were read before are not there any more.

        None where the folder is exchanged as a whole, by a link to it or by the ``..data`` of a mounted ConfigMap: then
        what is there is complete at any time.
        """
        home, real = self._home(), os.path.realpath(self._home())
        exchanged, self._real = self._real not in {None, real}, real
        self._whole = exchanged or os.path.islink(os.path.join(home, WHOLE))
        if self._whole:
            return frozenset()
        return frozenset(path for path in before if path not in now and not os.path.lexists(path))

    def _find_lock(self) -> str | None:
        """Return where the lock would be. Git is asked once for each folder, and again when its repository moved."""
        folder = os.path.realpath(self._home())
        marks = tuple(
            signature(os.path.join(above, ".git"))
            for above in (folder, *map(str, Path(folder).parents))
        )
        identity = folder, tuple((0, 0, mark[2]) for mark in marks)
        if self._asked != identity:
            self._asked = identity
            self._lock_path = _lock_path(Path(folder)) if any(mark[2] for mark in marks) else None
        return self._lock_path

    def _look(self) -> int:
        """Return a number that is another one when something below the folder changed. Links are not followed.

        Names that begin with a dot count: copy programs often give such a name to an incomplete file.
        """
        found: list[tuple[str, int, int, int]] = []
        folders = [os.path.realpath(self._home())]
        for folder in folders:  # grows while it is walked
            try:
                with os.scandir(folder) as names:
                    seen = islice(names, MOST_ENTRIES)
                    entries = sorted((one for one in seen if one.name != GIT), key=_name)
            except OSError:
                continue
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.path in self._apart:
                        continue
                    folders.append(entry.path)
                found.append((entry.path, status.st_ctime_ns, status.st_size, status.st_ino))
            if len(found) >= MOST_ENTRIES:
                break
        return hash(tuple(found))


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _modified(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _lock_path(folder: Path) -> str | None:
    """Return where git has its index lock for a folder; where git cannot be asked, where it usually is."""
    try:
        return WorkingTree(folder, seconds=ASKING_SECONDS).path_of(LOCK)
    except (ReconcilerError, ValueError, OSError):
        return _usual_lock_path(folder)


def _usual_lock_path(folder: Path) -> str | None:
    """Return the lock beside the index of the nearest repository, also of a linked working tree."""
    for above in (folder, *folder.parents):
        mark = above / ".git"
        if mark.is_dir():
            return str(mark / LOCK)
        if mark.is_file():
            try:
                words = mark.read_text(encoding="utf-8", errors="surrogateescape")[:4096]
            except OSError:
                return None
            return os.path.join(above, words.removeprefix("gitdir:").strip(), LOCK)
    return None
