"""What a machine that loses power leaves of a SQLite file in WAL mode: what was synced, and a part of what was not."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

FULL = 2
"""What SQLite says of ``synchronous`` where each commit waits for the disk."""
HEADER, FRAME_HEADER = 32, 24
VALID, BACKFILLED = slice(16, 20), slice(96, 100)
"""Where the index beside the log says how many frames are valid, and how many of them were carried over into the file,
for which they were synced."""


class Power:
    """Keeps account of how much of one log is on the disk for good."""

    def __init__(self) -> None:
        self._salt, self._frames = b"", 0

    def committed(self, connection: sqlite3.Connection) -> None:
        """Take note of a commit that has just ended."""
        if sqlite3.Connection.execute(connection, "PRAGMA synchronous").fetchone()[0] != FULL:
            return
        (_, _, file), *_ = sqlite3.Connection.execute(connection, "PRAGMA database_list").fetchall()
        log = Path(f"{file}-wal")
        if log.exists() and Path(f"{file}-shm").exists():
            self._salt, self._frames = _salt(log), _frames(file, VALID)

    def fail(self, file: Path, part: float) -> None:
        """Leave of a copy of the file, with its log and the log's index, what would be there when power is back.

        ``part`` of what was not synced had reached the disk all the same.
        """
        log = Path(f"{file}-wal")
        if not log.exists() or log.stat().st_size < HEADER:
            return
        content = log.read_bytes()
        frame = FRAME_HEADER + int.from_bytes(content[8:12], "big")
        synced = self._frames if self._salt == _salt(log) else 0
        least, most = max(synced, _frames(file, BACKFILLED)), _frames(file, VALID)
        left = least + round(part * (most - least))
        log.write_bytes(content[: HEADER + left * frame if left else 0])


def _frames(file: Path | str, which: slice) -> int:
    """Return one of the numbers in the log's index."""
    return int.from_bytes(Path(f"{file}-shm").read_bytes()[which], sys.byteorder)


def _salt(log: Path) -> bytes:
    """Return what tells one filling of a log from the next."""
    return log.read_bytes()[16:24]
