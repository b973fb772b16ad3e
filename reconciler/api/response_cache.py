"""An answer that many ask for, made no more often than it is cheap to make.

Owns: how long an answer serves whoever asks next, and how much of the time different questions may take. Must not: know
what is in an answer.

Making an answer takes a small share of the time, whoever asks and however often: one that was made in 2 ms serves for
the next 40, one that took 50 ms for a second. So what is cheap is always fresh, and what is expensive slows no pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

REST = 20.0
"""An answer serves this many times as long as it took to make."""
LONGEST_SECONDS = 2.0
"""And no longer than this."""

MOST_QUESTIONS = 64
"""How many different questions have their last answer kept."""

Answer = TypeVar("Answer")


class Sparing(Generic[Answer]):
    """Calls ``make`` for whoever asks, one call at a time; whoever asks meanwhile, or soon after, gets that answer."""

    def __init__(
        self, make: Callable[[], Awaitable[Answer]], steady: Callable[[], float] = time.monotonic
    ) -> None:
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
            self._answer, self._good_until = (
                answer,
                ended + min(REST * (ended - began), LONGEST_SECONDS),
            )
            return answer


class Questions(Generic[Answer]):
    """Answers to different questions: one at a time, and at most half of the time is spent on them.

    After an answer the next one waits for as long as that took, so that whoever asks without end slows no pass. The
    same question asked again soon is answered as ``Sparing`` answers it.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._turn = asyncio.Lock()
        self._rest_until = 0.0
        self._asked: dict[Hashable, Sparing[Answer]] = {}

    async def get(self, question: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer to a question; what ``make`` raises is raised to whoever asked, and kept for nobody."""
        sparing = self._asked.pop(question, None) or Sparing(
            partial(self._made, make), self._steady
        )
        self._asked[question] = sparing
        while len(self._asked) > MOST_QUESTIONS:
            del self._asked[next(iter(self._asked))]
        return await sparing.get()

    async def _made(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._turn:
            rest = self._rest_until - self._steady()
            if rest > 0:
                await asyncio.sleep(rest)
            began = self._steady()
            try:
                return await make()
            finally:
                ended = self._steady()
                self._rest_until = ended + min(ended - began, LONGEST_SECONDS)
