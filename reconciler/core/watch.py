"""Watches folders for changes: the interface.

Owns: the interface. Must not: implement it; ``source.watch`` asks the kernel, and a simulation has its own.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterable
from typing import Protocol


class Watch(Protocol):
    """Reports changes in folders."""

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

        A burst is over after ``settle`` quiet seconds, at the latest after ``most``. With ``idle`` this yields at least
        once in that many seconds, also without a change. Ends when ``stop`` is set. Raises ``OSError`` if a folder is
        gone or the kernel has no watch left.
        """
