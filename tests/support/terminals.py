"""A terminal of a given size, with a command on it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEADLINE_SECONDS = 100.0


@dataclass(frozen=True)
class Seen:
    """What was written to a terminal, and with which code the command ended."""

    written: str
    code: int


def on_terminal(
    words: Sequence[str],
    given: Mapping[str, str],
    *,
    size: tuple[int, int] = (80, 24),
    until: str = "",
    end: signal.Signals | None = None,
) -> Seen:
    """Run a command of ours on a terminal of these columns and rows; send it ``end`` once it wrote ``until``."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    environment = {key: value for key, value in given.items() if key not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "reconciler", *words],
        env={**environment, "TERM": "xterm"},
        stdin=far,
        stdout=far,
        stderr=far,
    ) as process:
        os.close(far)
        written, ending = "", time.monotonic() + DEADLINE_SECONDS
        while (part := _read(near)) is not None:
            assert time.monotonic() < ending, written
            written += part
            if end is not None and until in written:
                process.send_signal(end)
                end = None
        os.close(near)
        return Seen(written.replace("\r\n", "\n"), process.wait(30))


def _read(terminal: int) -> str | None:
    """Return what was written next, or None once nobody can write any more."""
    if not select.select([terminal], [], [], 1.0)[0]:
        return ""
    try:
        return os.read(terminal, 65536).decode(errors="replace") or None
    except OSError:
        return None
