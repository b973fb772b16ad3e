"""Runs a process until a signal ends it: the daemon, or the receiver.

Owns: what a second signal does, and when a process ends that something keeps from ending. Must not: know what it does.
"""

from __future__ import annotations

import gc
import os
import sys
from datetime import timedelta
from typing import Protocol

from reconciler.cli.console import INTERRUPTED, end_log

AT_ONCE_SECONDS = 0.2
"""How long even an end at once waits for what was logged before it."""
AFTER_GRACE_SECONDS = 5.0
"""Seconds that the process may take to close after the grace; then it ends in any case."""
SETTLED_SECONDS = 60.0
"""After this many seconds a daemon has usually read its files, and most accounts had their first pass."""

OBJECTS_OF_A_REQUEST = 40
"""About how many objects that the garbage collector knows a request under way holds."""


class Process(Protocol):
    """What runs until it is stopped."""

    @property
    def stopping(self) -> bool:
        """Say whether the process is about to end."""

    def stop(self) -> None:
        """Begin to end."""

    def read_again(self) -> None:
        """Read files again, as after an edit."""

    async def run(self) -> None:
        """Work until ``stop``."""


async def serve(process: Process, grace: timedelta) -> None:
    """Run until the first signal and at most the grace longer. The second signal ends it at once."""
    import asyncio

    from reconciler.runtime.signals import end_within, signals

    asyncio.get_running_loop().call_later(SETTLED_SECONDS, spare_the_collector)

    def stop() -> None:
        if not process.stopping:
            end_within(grace.total_seconds() + AFTER_GRACE_SECONDS, _end_overdue)
        process.stop()

    with signals(stop, end_at_once, hang_up=process.read_again):
        await process.run()


def spare_the_collector() -> None:
    """Keep the garbage collector from looking at what is there now: nearly all of it stays as long as the process.

    To look at ten thousand accounts takes it a third of a second, in which nothing else is done.
    """
    gc.collect()
    gc.freeze()


def let_objects_gather(requests: int) -> None:
    """Let the garbage collector run no sooner than it must where this many requests may be under way.

    It runs whenever more objects were made than freed, by default 700 more. What requests hold while they wait for
    the disk is a multiple of that, and is freed without it: each run would find no garbage, and hold up everybody.
    """
    most, *others = gc.get_threshold()
    gc.set_threshold(max(most, requests * OBJECTS_OF_A_REQUEST), *others)


def _end_overdue() -> None:
    """Exit although something has not finished. What was done, or answered with success, is on the disk already."""
    import structlog

    from reconciler.telemetry.logs import flush

    structlog.get_logger().error(
        "daemon.overdue", message="something does not end, such as a disk: ended without it"
    )
    flush(1.0)
    os._exit(1)


def end_at_once() -> None:
    """Exit now; only show the cursor again, which progress bars hide."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")
    end_log(AT_ONCE_SECONDS)
    os._exit(INTERRUPTED)
