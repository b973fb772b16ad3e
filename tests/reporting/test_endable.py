"""Work in a thread that ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self

import pytest

from reconciler.reporting.endable import Endable, done_in_time


class Endless:
    """Work that goes on until it is ended, and takes no ordinary error for an end."""

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()
        self._in_vain = threading.Event()

    def __call__(self) -> None:
        """Go on."""
        try:
            while not self._in_vain.is_set():
                with suppress(Exception):
                    self.begun.set()
        finally:
            self.over.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Let no thread go on where nobody ended it, so that such a test fails and does not hang."""
        self._in_vain.set()


async def test_work_that_is_done_in_time_is_handed_on() -> None:
    """What it returns is returned, and what it raises is raised."""
    assert await done_in_time(lambda: 7, 60) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await done_in_time(lambda: int("x"), 60)


async def test_work_that_takes_too_long_is_ended() -> None:
    """When its time is over the thread has really ended, and the threads that are left do other work."""
    for _ in range(5):
        with Endless() as work:
            with pytest.raises(TimeoutError):
                await done_in_time(work, 0.05)
            assert work.over.is_set()
        assert await done_in_time(lambda: "other work", 60) == "other work"


async def test_work_that_nobody_waits_for_is_ended() -> None:
    """Whoever is cancelled ends its work, and stays cancelled."""
    with Endless() as work:
        task = asyncio.create_task(done_in_time(work, 60))
        await asyncio.to_thread(work.begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.over.is_set()


def test_work_that_is_ended_before_it_begins_never_does() -> None:
    """Ending comes in time also where no thread was free yet."""
    with Endless() as work:
        one = Endable(work)
        one.end()
        with pytest.raises(TimeoutError):
            one()
        assert not work.begun.is_set()


def test_ending_work_that_is_done_does_nothing() -> None:
    """The thread goes on with what it does next."""
    one = Endable(lambda: 7)
    assert one() == 7
    one.end()
    assert sum(range(1000)) == 499_500
