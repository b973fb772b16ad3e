"""News of changed folders, as an interface: who needs it is handed one.

Owns: what such news is. Must not: get any; ``source.watch`` asks the kernel, and a simulation has its own.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterable
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
