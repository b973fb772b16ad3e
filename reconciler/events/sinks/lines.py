"""Appends whole lines to a file, or to standard output.

Owns: that every line is whole also after a full disk or a crash, that a rotated file is left, and that what is reported
as written survives a loss of power.
Must not: know what a line holds. It blocks, so it runs in a thread.

A line that could be written only in part is completed before the next one, so a reader sees no broken line. After a
crash nobody knows the rest: then the broken line is ended where it is. It is never cut off: what follows the file would
take that for a new file and read all of it again.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LONGEST_WRITE = 10.0
"""Seconds that a reader of a pipe or a terminal may keep us waiting."""
RIGHTS = 0o600
"""What a file is created with: an event names a device, and may name a person's home."""
STANDARD_OUTPUT = 1


class LineFile:
    """One file that lines are appended to. ``path`` None is standard output."""

    def __init__(self, path: Path | None, seconds: float = LONGEST_WRITE) -> None:
        self._path = path
        self._seconds = seconds
        self._file = STANDARD_OUTPUT if path is None else -1
        self._rest = b""

    @property
    def place(self) -> str:
        """The name of the file in messages."""
        return "standard output" if self._path is None else str(self._path)

    def append(self, lines: Sequence[bytes]) -> tuple[int, str]:
        """Append lines, each with its end; return how many are written and safe, and why not all of them."""
        until = time.monotonic() + self._seconds
        written, why = 0, ""
        try:
            self._open(until)
            for line in lines:
                self._put(line, until)
                written += 1
        except OSError as error:
            why = self._words(error)
        try:
            self._make_safe()
        except OSError as error:
            return 0, self._words(error)
        return written, why

    def close(self) -> None:
        """Give the file back."""
        if self._path is not None and self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _words(self, error: OSError) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.place}: not read for {self._seconds:g} seconds"
        return f"{self.place}: {error.strerror or type(error).__name__}"

    def _open(self, until: float) -> None:
        """Open the file that is now at the path."""
        if self._path is None:
            return
        if self._file >= 0 and not self._is_at(self._path):
            with suppress(OSError):  # the file that was moved away gets the rest of its last line
                self._finish(until)
            self._rest = b""
            self.close()
        if self._file < 0:
            self._file = _opened(self._path)
            self._rest = _repair(self._path, self._file)
        elif self._is_regular() and os.fstat(self._file).st_size == 0:
            self._rest = b""  # emptied by a program that rotates files

    def _is_at(self, path: Path) -> bool:
        """Say whether the open file is still the one at the path."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _put(self, line: bytes, until: float) -> None:
        """Write one line. A line of which nothing could be written is forgotten; its owner tries it again."""
        self._finish(until)
        self._rest = line
        try:
            self._finish(until)
        except OSError:
            if len(self._rest) == len(line):
                self._rest = b""
            raise

    def _finish(self, until: float) -> None:
        """Write the rest of a line."""
        while self._rest:
            count = self._write_some(self._rest, until)
            self._rest = self._rest[count:]

    def _write_some(self, content: bytes, until: float) -> int:
        """Write what there is room for; of a pipe as much as is sure not to block."""
        if self._is_regular():
            return os.write(self._file, content)
        waiting = select.poll()
        waiting.register(self._file, select.POLLOUT)
        left = until - time.monotonic()
        if left <= 0 or not waiting.poll(left * 1000):
            raise TimeoutError
        try:
            return os.write(self._file, content[: select.PIPE_BUF])
        except BlockingIOError:
            time.sleep(0.01)
            return 0

    def _make_safe(self) -> None:
        if self._file >= 0 and self._is_regular():
            os.fdatasync(self._file)

    def _is_regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._file).st_mode)


def _opened(path: Path) -> int:
    """Open a file to append to; where it is new, its name is safe, too. A pipe without a reader is an error."""
    is_new = not path.exists()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(path, flags, RIGHTS)
    if is_new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return file


def _repair(path: Path, file: int) -> bytes:
    """Return what ends the last line of an opened file: nothing where it is whole."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return b""
    try:
        with path.open("rb") as readable:
            readable.seek(-1, os.SEEK_END)
            return b"" if readable.read(1) == b"\n" else b"\n"
    except OSError:  # an empty line does no harm; two events on one line would both be lost
        return b"\n"
