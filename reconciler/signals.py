"""SIGTERM and SIGINT: the first asks to stop, the second does not ask.

Owns: that difference, inside a running loop. Must not: know what stopping means.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def signals(stop: Callable[[], None], second: Callable[[], None] = lambda: os._exit(130)) -> Iterator[None]:
    """Call ``stop`` at the first SIGTERM or SIGINT, ``second`` at the next."""
    loop, came = asyncio.get_running_loop(), False

    def handle() -> None:
        nonlocal came
        if came:
            second()
        came = True
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
