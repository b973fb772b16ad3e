"""SIGTERM and SIGINT: the first asks to stop, the second does not ask. SIGHUP never ends calls in flight.

Owns: those differences, inside a running loop, and an end that nothing can put off.
Must not: know what stopping or reading again means.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOMENT_SECONDS = 2.0
"""A second signal within this time counts as the first: wrappers pass on what the whole process group gets anyway."""


def end_within(seconds: float, end: Callable[[], None]) -> None:
    """Call ``end`` from a thread of its own after this many seconds, unless the process has ended by then.

    A thread that waits for a disk or a network cannot be broken off, and the end of the process waits for it.
    """
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


@contextmanager
def signals(
    stop: Callable[[], None],
    second: Callable[[], None] = lambda: os._exit(130),
    *,
    hang_up: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Call ``stop`` at the first SIGTERM or SIGINT, ``second`` at the next that comes more than a moment later.

    SIGHUP calls ``hang_up``; without one it asks to stop, and never more than that. Where it was ignored from the
    start, as under ``nohup``, it stays so.
    """
    loop = asyncio.get_running_loop()
    came: float | None = None

    def again() -> None:
        if came is not None and time.monotonic() - came > MOMENT_SECONDS:
            second()

    def handle() -> None:
        nonlocal came
        again()
        came = time.monotonic() if came is None else came
        stop()

    handlers = {signal.SIGTERM: handle, signal.SIGINT: handle}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = hang_up or stop
    for number, call in handlers.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
            if came is not None:  # until the end, the same signal again must not kill the process
                signal.signal(
                    number, (lambda *_: again()) if number != signal.SIGHUP else signal.SIG_IGN
                )
