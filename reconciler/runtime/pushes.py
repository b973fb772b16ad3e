"""When to read the source because a forge announced a push.

Owns: the pace of such readings: one under way, at most one waiting, and a pause after each.
Must not: know who announced it, or what a reading is.

A forge calls for every push, and somebody who recorded one of its calls can repeat it. Each call asks
for a look; none of them asks for its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

PAUSE_SECONDS = 1.0
"""Between the end of one look and the next."""
REPEATED_SECONDS = 5.0
"""The same where a call only repeats an earlier one."""


class Pushes:
    """Looks once for all that ask while it waits. ``begin`` starts the work that ``look`` is."""

    def __init__(
        self,
        look: Callable[[], Awaitable[None]],
        begin: Callable[[Coroutine[Any, Any, None]], None],
        steady: Callable[[], float],
    ) -> None:
        self._look, self._begin, self._steady = look, begin, steady
        self._ended = float("-inf")
        self._under_way = False
        self._pause: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def ask(self, *, repeated: bool = False) -> None:
        """Ask for a look soon. ``repeated``: the same call came before, so it waits longer."""
        pause = REPEATED_SECONDS if repeated else PAUSE_SECONDS
        self._pause = pause if self._pause is None else min(pause, self._pause)
        self._schedule()

    def stop(self) -> None:
        """Begin no further look."""
        self._stopped = True
        self._cancel()

    def _schedule(self) -> None:
        if self._under_way or self._pause is None or self._stopped:
            return
        self._cancel()
        wait = self._ended + self._pause - self._steady()
        if wait > 0:
            self._timer = asyncio.get_running_loop().call_later(wait, self._schedule)
            return
        self._pause, self._under_way = None, True
        self._begin(self._looked())

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _looked(self) -> None:
        try:
            await self._look()
        finally:
            self._under_way, self._ended = False, self._steady()
            self._schedule()
