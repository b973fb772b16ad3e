"""News of changes in folders, from the kernel.

Owns: how watchfiles is asked: which folders, not below them, nothing filtered, and when a burst of changes counts as
one. Must not: know what is in the folders, or read anything. Where the kernel is silent, others look now and then.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing


async def watch(
    folders: Iterable[str],
    *,
    settle: float,
    most: float,
    idle: float | None = None,
    stop: threading.Event | None = None,
) -> AsyncGenerator[frozenset[str], None]:
    """Ask the kernel, by way of watchfiles. See ``core.watch.Watch``."""
    from watchfiles import Change, awatch  # noqa: PLC0415 - commands that only read files need none of it

    changes = awatch(
        *folders,
        watch_filter=None,
        debounce=round(most * 1000),
        step=round(settle * 1000),
        stop_event=stop,
        rust_timeout=None if idle is None else round(idle * 1000),
        yield_on_timeout=idle is not None,
        recursive=False,
    )
    async with aclosing(changes):
        async for burst in changes:
            yield frozenset(path for kind, path in burst if kind is Change.deleted)
