"""A time limit that many share: who is late is ended, and nobody else is."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.api.time_limit import TimeLimit

SOON, NEVER = 0.02, 3600.0


async def test_who_is_late_gets_a_timeout() -> None:
    """A task that takes longer than the limit goes on with a ``TimeoutError``, and is not cancelled."""
    limit = TimeLimit(SOON)
    for _ in range(2):  # the second time needs a timer of its own
        with pytest.raises(TimeoutError), limit.begun():
            await asyncio.sleep(NEVER)
    assert asyncio.current_task() is not None
    await asyncio.sleep(0)


async def test_who_is_in_time_notices_nothing() -> None:
    """A task that was within the limit and is out again is not ended later."""
    limit = TimeLimit(SOON)
    with limit.begun():
        await asyncio.sleep(0)
    await asyncio.sleep(3 * SOON)


async def test_each_has_the_whole_time() -> None:
    """One that began later than another is not ended with it, but when its own time is over."""
    limit = TimeLimit(10 * SOON)
    ended: list[str] = []

    async def wait(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            with limit.begun():
                await asyncio.sleep(NEVER)
        except TimeoutError:
            ended.append(name)

    later = asyncio.create_task(wait("later", 5 * SOON))
    first = asyncio.create_task(wait("first", 0))
    await first
    assert ended == ["first"]
    assert not later.done()
    await later
    assert ended == ["first", "later"]


async def test_a_task_that_somebody_else_cancels_is_cancelled() -> None:
    """A cancellation from outside is never taken for a time limit, also when both come at once."""
    limit = TimeLimit(SOON)

    async def wait() -> None:
        with limit.begun():
            await asyncio.sleep(NEVER)

    early = asyncio.create_task(wait())
    await asyncio.sleep(0)
    early.cancel()
    with pytest.raises(asyncio.CancelledError):
        await early

    async def wait_and_be_cancelled() -> None:
        with limit.begun():
            try:
                await asyncio.sleep(NEVER)
            finally:
                both.cancel()

    both = asyncio.create_task(wait_and_be_cancelled())
    with pytest.raises(asyncio.CancelledError):
        await both


async def test_an_error_within_the_limit_stays_what_it_is() -> None:
    """What fails in time fails with its own error."""
    limit = TimeLimit(NEVER)
    with pytest.raises(KeyError), limit.begun():
        raise KeyError("own")
