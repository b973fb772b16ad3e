"""The ticker: whatever is done to the machine's wall clock, ticks come at their pace."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

import wrong_clock
from reconciler.runtime.ticker import Every, SchedulerTicker, SteadyJobs

START = datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC)
STEPS = [
    timedelta(0),
    -timedelta(hours=1),
    timedelta(hours=1),
    timedelta(days=30),
    -timedelta(days=3650),
]


class Hand:
    """Steady time that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Return it."""
        return self.seconds


@pytest.fixture
async def jobs() -> tuple[SteadyJobs, Hand]:
    """Return a store with one job that is due every ten seconds, and the hand that moves its time."""
    hand = Hand()
    store = SteadyJobs(hand)
    scheduler = AsyncIOScheduler(jobstores={"default": store}, timezone=UTC)
    scheduler.add_job(print, Every(10))
    scheduler.start(paused=True)
    scheduler._eventloop = None  # nothing is to run by itself
    return store, hand


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_job_is_due_by_steady_time(jobs: tuple[SteadyJobs, Hand], step: timedelta) -> None:
    """After a step of the wall clock, in either direction, a job is due when its span of steady time is over."""
    store, hand = jobs
    hand.seconds += 9
    assert store.get_due_jobs(START + step) == []
    assert store.get_next_run_time() == START + step + timedelta(seconds=1)
    hand.seconds += 1
    assert len(store.get_due_jobs(START + step)) == 1


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_missed_ticks_are_one(jobs: tuple[SteadyJobs, Hand], step: timedelta) -> None:
    """A job that was missed for however long is run once, and APScheduler lists no more than that."""
    store, hand = jobs
    hand.seconds += 30 * 86400
    now = START + step
    (job,) = store.get_due_jobs(now)
    assert job._get_run_times(now) == [now]


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_step_between_two_looks_does_not_make_it_wait(
    jobs: tuple[SteadyJobs, Hand], step: timedelta
) -> None:
    """How long APScheduler sleeps is counted from the time at which it asked, whatever the wall clock says by then."""
    store, _ = jobs
    asked = START + step
    assert store.get_due_jobs(asked) == []
    assert store.get_next_run_time() == asked + timedelta(seconds=10)


async def test_ticks_until_stopped() -> None:
    """The ticker calls again and again, and no more once it is stopped."""
    ticks: list[float] = []
    three = asyncio.Event()

    def tick() -> None:
        ticks.append(time.monotonic())
        if len(ticks) == 3:
            three.set()

    ticker = SchedulerTicker()
    ticker.every(0.01, tick)
    await three.wait()
    ticker.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    counted = len(ticks)
    await asyncio.sleep(0.05)
    assert len(ticks) == counted


TICKING = """
import asyncio, pathlib, sys
from reconciler.runtime.ticker import SchedulerTicker

async def main():
    clock, offsets = pathlib.Path(sys.argv[1]), sys.argv[2:]
    ticked, ticks = asyncio.Event(), 0

    def tick():
        nonlocal ticks
        ticks += 1
        ticked.set()

    ticker = SchedulerTicker()
    ticker.every(0.05, tick)
    for offset in offsets:
        clock.write_text(offset + chr(10))
        for _ in range(5):
            ticked.clear()
            await ticked.wait()
    ticker.stop()
    print(ticks)

asyncio.run(main())
"""


@pytest.fixture
def ticks_through(tmp_path: Path) -> Callable[[Sequence[str], str], int]:
    """Return what counts the ticks of a process on a machine whose clock is set to each offset in turn."""

    def run(offsets: Sequence[str], zone: str) -> int:
        clock = tmp_path / "clock"
        clock.write_text(f"{offsets[0]}\n")
        environment = {**os.environ, **wrong_clock.by_file(clock), "TZ": zone}
        ended = subprocess.run(  # noqa: S603 - the command is ours
            [sys.executable, "-c", TICKING, str(clock), *offsets],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        return int(ended.stdout)

    return run


async def test_a_tick_that_is_on_its_way_at_the_stop_does_nothing() -> None:
    """A stop in the moment in which a tick is due ends without an error, and without the tick."""
    loop, errors, ticks = asyncio.get_running_loop(), list[dict[str, object]](), list[str]()
    loop.set_exception_handler(lambda _loop, context: errors.append(context))
    hand = Hand()
    ticker = SchedulerTicker(hand)
    ticker.every(1, lambda: ticks.append("tick"))
    hand.seconds += 5
    ticker.stop()
    ticker._scheduler.wakeup()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (errors, ticks) == ([], [])


@pytest.mark.system
@pytest.mark.parametrize(
    "offsets", [("+0", "-1h"), ("+0", "+30d"), ("+9h", "+0", "-10y", "+10y", "+0")], ids=" ".join
)
def test_a_clock_that_is_set_stops_no_tick(
    ticks_through: Callable[[Sequence[str], str], int], offsets: tuple[str, ...]
) -> None:
    """On a machine whose clock is set back or forward ticks go on, and none is made up for."""
    assert 5 * len(offsets) <= ticks_through(offsets, "UTC") < 10 * len(offsets)


@pytest.mark.system
@pytest.mark.parametrize(
    ("zone", "turn"),
    [
        ("Europe/Berlin", datetime(2027, 3, 28, 1, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2027, 10, 31, 1, tzinfo=UTC)),
        ("America/New_York", datetime(2027, 3, 14, 7, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2027, 10, 2, 15, 30, tzinfo=UTC)),
    ],
    ids=str,
)
def test_summer_time_stops_no_tick(
    ticks_through: Callable[[Sequence[str], str], int], zone: str, turn: datetime
) -> None:
    """Where the host's zone begins or ends summer time ticks go on."""
    before = int(turn.timestamp() - time.time())
    assert ticks_through((f"{before - 1:+d}", f"{before:+d}", f"{before + 1:+d}"), zone) >= 15
