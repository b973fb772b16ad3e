"""Work in a thread that nobody waits for once it is given up: not even the end of the process.

Owns: how its result comes back to the event loop. Must not: be used for work that writes, because it may be cut off
between any two steps.

``asyncio.to_thread`` is not enough for a call to another program: such a thread cannot be ended, and Python waits for
it at the end. A receiver that still sent held up the end of the daemon for its whole time limit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

Value = TypeVar("Value")
Outcome = TypeVar("Outcome")


class Apart(Protocol):
    """Does work that waits for another program, and lets the event loop go on meanwhile."""

    async def __call__(self, work: Callable[[], Value], name: str) -> Value:
        """Return what work comes to, or raise what it raises."""


async def apart(work: Callable[[], Value], name: str) -> Value:
    """Return what work comes to, or raise what it raises. ``name`` is that of its thread."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Value] = loop.create_future()

    def done(value: Value) -> None:
        if not answer.done():
            answer.set_result(value)

    def failed(error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)

    def tell(take: Callable[[Outcome], None], outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(take, outcome)

    def run() -> None:
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - raised again in the caller
            tell(failed, error)
        else:
            tell(done, value)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await answer
