"""The watch over the open file: somebody may delete it, move it, or put another in its place.

Owns: how the files at the path are compared with those that were opened. Must not: react to a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.folder import BESIDE, LOCK, StateFolder, there


@dataclass(frozen=True, slots=True)
class Sign:
    """What identifies the files at the path: which they are, and when SQLite last wrote them.

    ``link`` is the target of the path, if it is a link. SQLite looks for the log beside the target, so the same file
    behind another link has no log.
    """

    link: str
    main: Row | None
    log: Row | None
    shared: Row | None

    @classmethod
    def of(cls, file: Path) -> Self:
        """Return the sign of the files at a path."""
        main, log, shared = (
            there(Path(f"{file}{suffix}"), dated=suffix != "-shm") for suffix in BESIDE
        )
        return cls(_link(file), main, log, shared)

    def missing(self, now: Sign) -> str:
        """Return in a few words what happened since, or an empty string."""
        if now == self:
            return ""
        if now.main is None:
            return "was deleted or moved"
        if self.main is None or now.main[:2] != self.main[:2] or now.link != self.link:
            return "was replaced by another file"
        if now.main != self.main:
            return "was written by another program"
        return "lost its write-ahead log, or another program wrote that"

    def overwritten(self, now: Sign) -> bool:
        """Return whether they are the same files with other bytes. A deleted file is still whole while it is open."""
        pairs = ((self.main, now.main), (self.log, now.log))
        return now.main is not None and not (
            self.link != now.link
            or any(old is not None and new is not None and old[:2] != new[:2] for old, new in pairs)
            or all(old is None or new is None or old == new for old, new in pairs)
        )


class FileWatch:
    """Compares the files at the path with those that were opened or last written by us.

    ``doubts`` counts how often another program wrote into the open file.
    """

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._sign = Sign("", None, None, None)
        self.doubts = 0

    def renew(self) -> None:
        """Accept the files at the path as ours: we have just opened or written them."""
        self._sign = Sign.of(self._folder.file)

    def compare(self) -> str:
        """Return in a few words what happened to the files since, or an empty string."""
        now = Sign.of(self._folder.file)
        self.doubts += self._sign.overwritten(now)
        what = self._sign.missing(now)
        if not what and self._folder.lost_lock():
            what = f"lost its lock file {LOCK}"
        return what


def _link(path: Path) -> str:
    """Return the target of a link, or an empty string if it is no link."""
    try:
        return str(path.readlink())
    except OSError:
        return ""
