"""The texts as a working tree of Git: real commits, and checkouts as Git makes them, file by file beside a lock.

Owns: what is committed, the lock, and the order in which a checkout removes and writes files. Must not: know what is in
the files, or decide when a checkout happens.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from simulation.clockwork import MachineClock
from simulation.disk import Disk

QUIETLY = ("-c", "user.name=A person", "-c", "user.email=person@example.invalid", "-c", "gc.auto=0")


class WorkingTree:
    """One repository around the texts."""

    def __init__(self, folder: Path, disk: Disk, clock: MachineClock) -> None:
        self.folder = folder
        self.lock = folder / ".git" / "index.lock"
        self._disk = disk
        self._clock = clock
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self) -> None:
        """Commit what is there."""
        self._git("add", "--all")
        self._git(*QUIETLY, "commit", "--quiet", "--allow-empty", "--message=As agreed")

    def take_lock(self) -> None:
        """Let git begin to change files."""
        self._disk.write(self.lock, b"")

    def leave_lock(self) -> None:
        """Let git be done, or somebody remove what it left."""
        self._disk.remove(self.lock)

    def _git(self, *words: str) -> None:
        at = f"{int(self._clock.true().timestamp())} +0000"
        nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
        subprocess.run(  # noqa: S603 - our own words
            ["git", "-C", str(self.folder), *words],  # noqa: S607 - as everybody has it
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **nobody, **dates},
            check=True,
            capture_output=True,
        )


def steps(
    before: Iterable[str], changes: Mapping[str, bytes | None]
) -> list[tuple[str, bytes | None]]:
    """Return what git does to come from one commit to another: it removes what changes, and only then writes."""
    there = set(before)
    removed: list[tuple[str, bytes | None]] = [
        (name, None) for name in sorted(changes) if name in there
    ]
    return removed + [
        (name, content) for name, content in sorted(changes.items()) if content is not None
    ]
