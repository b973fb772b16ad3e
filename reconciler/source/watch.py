"""News of changes in folders, from the kernel.

Owns: how watchfiles is asked: which folders, not below them, nothing filtered, and when a burst of changes counts as
one. Must not: know what is in the folders, or read anything. Where the kernel says nothing, others look now and then.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Protocol


class Watch(Protocol):
    """Tells of changes in folders; another one is handed in where there is no kernel to ask."""

    def __call__(
        self,
        folders: Iterable[str],
        *,
        settle: float,
        most: float,
        idle: float | None = None,
        stop: threading.Event | None = None,
    ) -> AsyncGenerator[frozenset[str], None]:
        """Yield after each burst of changes, with the paths that were removed in it.

        A burst is over after ``settle`` seconds of quiet, at the latest after ``most``. With ``idle`` something is
        yielded at least so often, changed or not. Ends when ``stop`` is set. Raises ``OSError`` where a folder is gone
        or the kernel's watches are used up.
        """


async def watch(
    folders: Iterable[str],
    *,
    settle: float,
    most: float,
    idle: float | None = None,
    stop: threading.Event | None = None,
) -> AsyncGenerator[frozenset[str], None]:
    """Ask the kernel, by way of watchfiles. See ``Watch``."""
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
