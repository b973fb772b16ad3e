"""Answers that are reused for a while.

Owns: how long an answer is reused, and the share of time that different questions may take.
Must not: know what is in an answer.

Making answers takes a small share of the time, however many callers there are: an answer that took 2 ms is reused for
40 ms, one that took 50 ms for a second. So cheap answers are always fresh, and expensive ones slow no pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

REST = 20.0
"""An answer is reused for this many times as long as it took to make."""
LONGEST_SECONDS = 2.0
"""And no longer than this."""

MOST_QUESTIONS = 64
"""The number of different questions whose last answer is kept."""

Answer = TypeVar("Answer")


class Sparing(Generic[Answer]):
    """Calls ``make``, one call at a time. Callers meanwhile or soon after get the same answer."""

    def __init__(
        self, make: Callable[[], Awaitable[Answer]], steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._steady = steady
        self._one_at_a_time = asyncio.Lock()
        self._answer: Answer | None = None
        self._good_until = 0.0

    async def get(self) -> Answer:
        """Return the answer. An error of ``make`` goes to the caller and is not kept."""
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

    After an answer the next one waits for as long as that took, so endless questions slow no pass. The same question
    gets the same answer for a while, as with ``Sparing``.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._turn = asyncio.Lock()
        self._rest_until = 0.0
        self._asked: dict[Hashable, Sparing[Answer]] = {}

    async def get(self, question: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer to a question. An error of ``make`` goes to the caller and is not kept."""
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
