"""What calls the daemon's regular work: APScheduler, held to time that never jumps.

Owns: the one ticker, and that the machine's wall clock cannot stop it, hurry it or make it catch up.
Must not: know what it calls, or decide what is due; its jobs only wake.

APScheduler decides by wall time. Put back an hour it would rest for an hour; put forward a month it would list every
missed tick one by one. So its jobs live in a store of ours, which decides by steady time, and its dates only carry
spans: every date that it gets is "now" plus a span. They are in UTC, where no hour is skipped or comes twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from apscheduler.job import Job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger


class Ticker(Protocol):
    """Calls something again and again: APScheduler, in simulations on a virtual clock."""

    def every(self, seconds: float, call: Callable[[], object]) -> None:
        """Call ``call`` at this interval until ``stop``."""

    def stop(self) -> None:
        """Make no further call."""


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires a fixed span after now, never after the time before: ticks that were missed are not made up for."""

    __slots__ = ("span",)

    def __init__(self, seconds: float) -> None:
        self.span = timedelta(seconds=seconds)

    def get_next_fire_time(self, _previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return when to fire next."""
        return now + self.span


class SteadyJobs(MemoryJobStore):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler's jobs, due by steady time. Each job has an ``Every`` for its trigger."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._steady = steady
        self._due: dict[str, float] = {}
        self._asked_at = datetime.now(UTC)

    def add_job(self, job: Job) -> None:
        """Take a job, due one span from now."""
        super().add_job(job)
        self._put_off(job)

    def update_job(self, job: Job) -> None:
        """Take a job that was run, due one span from now."""
        super().update_job(job)
        self._put_off(job)

    def get_due_jobs(self, now: datetime) -> list[Job]:
        """Return the jobs whose span is over, each dated ``now``, so that APScheduler runs it once."""
        self._asked_at = now
        steady = self._steady()
        due = [job for job in self.get_all_jobs() if self._due[job.id] <= steady]
        for job in due:
            job.next_run_time = now
        return due

    def get_next_run_time(self) -> datetime | None:
        """Return when the next job is due, counted from the time at which APScheduler last asked.

        APScheduler subtracts that time again. Another reading of the wall clock could differ by any step between.
        """
        if not self._due:
            return None
        wait = max(min(self._due.values()) - self._steady(), 0.0)
        return self._asked_at + timedelta(seconds=wait)

    def _put_off(self, job: Job) -> None:
        self._due[job.id] = self._steady() + job.trigger.span.total_seconds()


class StoppedForGood(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler, which otherwise fails where it wakes for a due job in the moment in which it stops."""

    def _process_jobs(self) -> float | None:
        """Run what is due, and return in how many seconds more is; when it is stopped, nothing is."""
        wait: float | None = super()._process_jobs() if self.running else None
        return wait


class SchedulerTicker:
    """APScheduler at arm's length. A late tick is not skipped: one is enough to catch up. ``steady`` never jumps."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = StoppedForGood(jobstores={"default": SteadyJobs(steady)}, timezone=UTC)
        self._scheduler.start()
        self._count = 0

    def every(self, seconds: float, call: Callable[[], object]) -> None:
        """Call ``call`` at this interval."""

        async def job() -> (
            None
        ):  # a coroutine runs in the loop, a plain function in a thread of APScheduler's
            call()

        self._count += 1  # by their names APScheduler orders what is due at once; its own ones are made of chance
        name = f"{self._count:04}"
        self._scheduler.add_job(
            job, Every(seconds), id=name, coalesce=True, misfire_grace_time=None
        )

    def stop(self) -> None:
        """Make no further call."""
        self._scheduler.shutdown(wait=False)
