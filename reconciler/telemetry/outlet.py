"""Where a process that must not stop writes its log: a bounded queue with a thread of its own.

Owns: the order of lines, what happens to those that do not fit, and how long the end of a process waits for them.
Must not: know what is in a line.

The reader of standard error may stop reading. Then the pipe is full, and the writer waits. Here the writer is a thread
that does nothing else. It does not use Python's own stream, because the end of a process would wait for that.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

MOST_BYTES = 4 * 1024 * 1024
"""How much may wait to be written. Beyond that, new lines are dropped."""


MOST_AT_ONCE = 64 * 1024
"""How much one write takes, where many short lines wait."""


REST_SECONDS = 0.01
"""How long the thread rests after a write: a stream of lines then wakes it a hundred times a second, not thousands."""


class Outlet:
    """Writes lines to a file descriptor in their order, without letting any caller wait.

    ``gap`` makes the line with the number of dropped lines; it is written in their place. ``dropped`` is their number
    since the start.
    """

    def __init__(
        self,
        descriptor: int,
        gap: Callable[[int], str],
        most: int = MOST_BYTES,
        encoding: str = "utf-8",
    ) -> None:
        self.dropped = 0
        self._descriptor, self._gap, self._most, self._encoding = descriptor, gap, most, encoding
        self._lines: deque[bytes] = deque()
        self._size = self._missing = 0
        self._busy = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        """Queue a line, or count it as dropped."""
        data = self._bytes(line)
        with self._changed:
            self._begin()
            if self._size + len(data) > self._most and self._lines:
                self._missing += 1
                self.dropped += 1
                return
            self._tell_gap()
            self._add(data)
            if not self._busy:
                self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until everything is written, but no longer than this; say whether it is."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._lines or self._busy or self._missing:
                left = until - time.monotonic()
                if left <= 0 or self._thread is None:
                    return False
                self._changed.wait(left)
        return True

    def _begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="log", daemon=True)
            self._thread.start()

    def _bytes(self, line: str) -> bytes:
        return f"{line}\n".encode(self._encoding, "backslashreplace")

    def _add(self, data: bytes) -> None:
        self._lines.append(data)
        self._size += len(data)

    def _tell_gap(self) -> None:
        if self._missing:
            missing, self._missing = self._missing, 0
            self._add(self._bytes(self._gap(missing)))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._lines:
                    self._tell_gap()
                    if not self._lines:
                        self._busy = False
                        self._changed.notify_all()
                        self._changed.wait()
                data = self._taken()
                self._busy = True
            with suppress(
                OSError
            ):  # nobody reads any more, or the disk is full: lines are lost, and the work continues
                self._write(data)
            with self._changed:
                self._size -= len(data)
                self._changed.wait(
                    REST_SECONDS
                )  # a sleep fails where a machine's clock is played with

    def _taken(self) -> bytes:
        """Return the lines that are written at once: each wake of this thread costs the others a turn."""
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and size + len(self._lines[0]) <= MOST_AT_ONCE:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return b"".join(lines)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody made the pipe non-blocking
                select.select([], [self._descriptor], [], 1.0)
