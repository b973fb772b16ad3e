"""An answer that many ask for, made no more often than it is cheap to make.

Owns: how long an answer serves whoever asks next. Must not: know what is in it.

Making an answer takes a small share of the time, whoever asks and however often: one that was made in 2 ms serves for
the next 40, one that took 50 ms for a second. So what is cheap is always fresh, and what is dear slows no pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

REST = 20.0
"""An answer serves for so many times as long as it took to make."""
LONGEST_SECONDS = 2.0
"""And no longer than this."""

Answer = TypeVar("Answer")


class Sparing(Generic[Answer]):
    """Calls ``make`` for whoever asks, one call at a time; whoever asks meanwhile, or soon after, gets that answer."""

    def __init__(self, make: Callable[[], Awaitable[Answer]], steady: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._steady = steady
        self._one_at_a_time = asyncio.Lock()
        self._answer: Answer | None = None
        self._good_until = 0.0

    async def get(self) -> Answer:
        """Return the answer; what ``make`` raises is raised to whoever asked, and kept for nobody."""
        if self._answer is not None and self._steady() < self._good_until:
            return self._answer
        async with self._one_at_a_time:
            began = self._steady()
            if self._answer is not None and began < self._good_until:
                return self._answer
            self._answer = None
            answer = await self._make()
            ended = self._steady()
            self._answer, self._good_until = answer, ended + min(REST * (ended - began), LONGEST_SECONDS)
            return answer
