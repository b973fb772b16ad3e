"""The folder that holds the state's file: its lock, its permissions, and files that are put aside in it.

Owns: the names of the files, and that one process writes them. Must not: open a state file; closing a second handle of
it would end SQLite's locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from socket import gethostname

from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.state.sqlite.connection import Row

FILE, LOCK = "state.db", "state.lock"
BESIDE = ("", "-wal", "-shm")
"""The suffixes that SQLite adds for the companions of a file."""
MOST_WRITTEN = 512
"""Bytes that are read of a lock file: a number, a host name of at most 255 characters, and a date."""
LEAST_ROOM = 1024 * 1024
"""Bytes that a disk must take for the state to be kept."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MOST_REPLACED = 5
"""The number of foreign files that are kept; the oldest are removed."""


class Held(StateError):
    """Another process writes this state."""


class StateFolder:
    """One folder with a state file, which this process may hold for writing.

    ``file`` and ``lock`` are names in it, and ``holds`` says to people what the file keeps.
    """

    def __init__(
        self, path: Path, clock: Clock, *, file: str = FILE, lock: str = LOCK, holds: str = "state"
    ) -> None:
        self.path, self.file = path, path / file
        self._lock_file, self._holds = path / lock, holds
        self._clock, self._began = clock, clock.now()
        self._lock: int | None = None

    def hold(self) -> None:
        """Create the folder if needed, and take its lock. Raises ``Held``."""
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock is not None and not self.lost_lock():
            return
        taken = _locked(self._lock_file, self._holds, self._began)
        self.release()
        self._lock = taken

    def lost_lock(self) -> bool:
        """Return whether the folder has another lock file than the one we hold."""
        return self._lock is not None and identity(os.fstat(self._lock)) != there(self._lock_file)

    def release(self) -> None:
        """Release the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def fresh(self) -> Path:
        """Return a new empty file; when it is complete it replaces the state file."""
        fresh = Path(f"{self.file}.fresh")
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{fresh}{suffix}").unlink(missing_ok=True)
        make_private(fresh)
        return fresh

    def put_aside(self, why: str) -> Path | None:
        """Rename the state file, its companions first; return the new name if there was a file."""
        name = f"{self.file.name}.{why}-{self._clock.now():%Y%m%dT%H%M%SZ}"
        names = (self.path / f"{name}{f'.{number}' if number else ''}" for number in count())
        aside = next(free for free in names if not free.exists())
        was_there = self.file.exists()
        # A log must never be beside a file that it does not belong to: SQLite would apply it to that file.
        for suffix in reversed(BESIDE):
            with suppress(FileNotFoundError):
                Path(f"{self.file}{suffix}").rename(f"{aside}{suffix}")
        if why == "replaced":
            self._remove_oldest()
        return aside if was_there else None

    def _remove_oldest(self) -> None:
        """Remove the oldest foreign files."""
        kept = [
            one
            for one in self.path.glob(f"{self.file.name}.replaced-*")
            if not one.name.endswith(BESIDE[1:])
        ]
        for old in sorted(kept, key=_age)[:-MOST_REPLACED]:
            for suffix in BESIDE:
                with suppress(OSError):
                    Path(f"{old}{suffix}").unlink()


def make_private(path: Path) -> None:
    """Make sure that a file exists and that only its owner may read it; SQLite gives its companions the same mode.

    The mode of another user's file stays as it is, because only its owner can change it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(handle).st_mode & 0o077:
            with suppress(PermissionError):
                os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def can_be_kept(folder: Path) -> str:
    """Return a path that this user must write and cannot, or an empty string."""
    if not folder.exists():
        parents = folder.absolute().parents
        there = next(one for one in parents if one.exists())
        return "" if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else str(folder)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return str(folder)
    files = (folder / LOCK, *(folder / f"{FILE}{suffix}" for suffix in BESIDE))
    return next(
        (str(one) for one in files if one.exists() and not os.access(one, os.R_OK | os.W_OK)), ""
    )


def no_room(folder: Path) -> str:
    """Return why the disk of a folder takes nothing more, or an empty string.

    It is asked for the room of a few writes, in a file that has no name and ends with this call. A file system that
    knows no such files is not asked.
    """
    if not hasattr(os, "O_TMPFILE"):  # Linux has it
        return ""
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, LEAST_ROOM)
        finally:
            os.close(handle)
    except OSError as error:
        return os.strerror(error.errno) if error.errno in FULL else ""
    return ""


def identity(found: os.stat_result, *, dated: bool = False) -> Row:
    """Return the identity of a file, and on request the time of its last write."""
    which = (found.st_dev, found.st_ino)
    return (*which, found.st_size, found.st_mtime_ns) if dated else which


def there(path: Path, *, dated: bool = False) -> Row | None:
    """Return the identity of the file at a path, if there is one."""
    try:
        return identity(path.stat(), dated=dated)
    except OSError:
        return None


def _age(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _locked(path: Path, holds: str, began: datetime) -> int:
    """Take the lock, which ends with the process in any case. The file names its holder.

    In a container every daemon is process 7, so the file also has the name of the host, which is the pod's, and since
    when the process has run.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {gethostname()} {began:%Y-%m-%dT%H:%M:%SZ}\n".encode(), 0)
    except BlockingIOError:
        written = os.pread(handle, MOST_WRITTEN, 0).decode("ascii", "replace")
        os.close(handle)
        raise Held(f"the {holds} in {path.parent} is held by {_holder(written)}") from None
    except OSError:
        os.close(handle)
        raise
    return handle


def _holder(written: str) -> str:
    """Return who holds a lock, by what its file says. Versions before 0.2 wrote the number of the process only."""
    match written.split():
        case [process, host, began] if process.isdigit() and host.isprintable():
            return f"process {process} on {host}, which started at {began}"
        case [process] if process.isdigit():
            return f"process {process}"
        case _:
            return "another process"
