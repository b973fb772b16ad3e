"""The pace of looks that somebody asks for: none is lost, and nobody can ask for many."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import product
from random import Random
from typing import Any

import pytest

from reconciler.runtime import pushes
from reconciler.runtime.pushes import Pushes
from scenarios import eventually
from simulation.clockwork import VirtualLoop


class Looks:
    """Counts looks; each takes as long as ``open`` is not set. Time passes by hand, but for the pauses themselves."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.now = 0.0
        self.open = asyncio.Event()
        self.open.set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.pushes = Pushes(self.look, self.begin, lambda: self.now)

    async def look(self) -> None:
        """Look."""
        self.begun += 1
        await self.open.wait()
        self.ended += 1

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin."""
        self.tasks.add(asyncio.create_task(work))


async def some_turns() -> None:
    """Let everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_first_look_is_at_once_and_many_that_ask_meanwhile_get_one_more() -> None:
    """Nobody waits for nothing; a thousand calls during one look lead to one other."""
    looks = Looks()
    looks.open.clear()
    looks.pushes.ask()
    await some_turns()
    assert looks.begun == 1
    for _ in range(1000):
        looks.pushes.ask()
    await some_turns()
    assert looks.begun == 1
    looks.pushes = Pushes(looks.look, looks.begin, asyncio.get_running_loop().time)
    for _ in range(1000):
        looks.pushes.ask()
    await some_turns()
    for _ in range(1000):
        looks.pushes.ask()
    looks.open.set()
    await eventually(lambda: looks.ended == 3)
    await asyncio.sleep(2 * pushes.PAUSE_SECONDS)
    assert looks.begun == 3


async def test_looks_are_not_back_to_back() -> None:
    """After a look there is a pause, also for a call that comes in it; later there is none."""
    looks = Looks()
    looks.pushes.ask()
    await some_turns()
    looks.pushes.ask()
    await some_turns()
    assert looks.begun == 1
    looks.now += pushes.PAUSE_SECONDS
    looks.pushes.ask()
    await some_turns()
    assert looks.begun == 2


async def test_who_repeats_waits_longer_and_holds_up_nobody() -> None:
    """A recorded call that is sent again gets few looks; a new call among them waits no longer for it."""
    looks = Looks()
    looks.pushes.ask(repeated=True)
    await some_turns()
    assert looks.begun == 1
    looks.now += pushes.PAUSE_SECONDS
    for _ in range(100):
        looks.pushes.ask(repeated=True)
    await some_turns()
    assert looks.begun == 1
    looks.pushes.ask()
    await some_turns()
    assert looks.begun == 2


async def test_a_look_that_fails_is_followed_by_others() -> None:
    """Whatever becomes of one look, the next can be asked for."""
    looks = Looks()

    async def broken() -> None:
        raise RuntimeError

    looks.pushes = Pushes(broken, looks.begin, lambda: looks.now)
    for number in range(1, 4):
        looks.pushes.ask()
        await some_turns()
        looks.now += pushes.PAUSE_SECONDS
        assert len(looks.tasks) == number
    assert all(isinstance(task.exception(), RuntimeError) for task in looks.tasks)


async def test_nothing_begins_after_the_stop() -> None:
    """Neither at once nor after a pause that was under way."""
    looks = Looks()
    looks.pushes.ask()
    await some_turns()
    looks.pushes.ask()
    looks.pushes.stop()
    looks.now += 100
    looks.pushes.ask()
    await some_turns()
    assert looks.begun == 1


ORDERS = [calls for number in (1, 2, 3) for calls in product(("new", "repeated"), repeat=number)]


@pytest.mark.parametrize("calls", ORDERS, ids="-".join)
def test_the_next_look_waits_as_long_as_the_most_urgent_call_asks(calls: tuple[str, ...]) -> None:
    """A new call has its look after the short pause, whether repeated ones come before it or after it."""
    loop = VirtualLoop(Random(1))  # noqa: S311 - repeatable
    began: list[float] = []

    async def look() -> None:
        began.append(loop.time())

    async def asked() -> None:
        tasks: list[asyncio.Task[None]] = []
        asking = Pushes(look, lambda work: tasks.append(asyncio.create_task(work)), loop.time)
        asking.ask()
        await asyncio.sleep(0.01)
        for call in calls:
            asking.ask(repeated=call == "repeated")
        await asyncio.sleep(60)

    try:
        loop.run_until_complete(asked())
    finally:
        loop.close()
    first, second = began
    pause = pushes.PAUSE_SECONDS if "new" in calls else pushes.REPEATED_SECONDS
    assert second - first == pytest.approx(pause, abs=0.05)
