"""Delivery as a service of the receiving process.

Owns: one lane for each sink of the events file, and who wakes them. Must not: know what an attempt is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from reconciler.core.backoff import Random
from reconciler.core.clock import Clock
from reconciler.events.config import SinkConfig
from reconciler.events.delivery.lane import AFTER_FAULT, Lane, Shared
from reconciler.events.delivery.policy import LONGEST_ATTEMPT
from reconciler.events.delivery.port import Builder, Envelopes, Watch
from reconciler.events.port import Outbox
from reconciler.events.sinks.port import Sink

log = structlog.get_logger()


class Delivery:
    """Brings what is due to the sinks of the events file that is in force."""

    name = "delivery"
    grace = LONGEST_ATTEMPT.total_seconds() + 1.0
    """What is under way at the end may end; what does not is due at the next start."""

    def __init__(
        self,
        outbox: Outbox,
        envelopes: Envelopes,
        builder: Builder,
        *,
        clock: Clock,
        random: Random,
        watch: Watch,
    ) -> None:
        self._threads = ThreadPoolExecutor(1, "outbox")
        self._shared = Shared(outbox, envelopes, clock, random, watch, self._threads)
        self._builder = builder
        self._lanes: dict[str, Lane] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()

    def use(self, sinks: Mapping[str, SinkConfig]) -> None:
        """Deliver to these sinks from now on, and try each at once: the events file changed.

        A sink whose description did not change stays. What waits for one that is no longer there stays pending.
        """
        built: dict[str, Sink] = {}
        for name, config in sinks.items():
            if not self._lane(name).uses(config):
                built[name] = self._builder.build(config)
        for name, config in sinks.items():
            if name in built:
                self._lane(name).use(config, built[name])
            else:
                self._lane(name).try_now()
        for name, lane in self._lanes.items():
            if name not in sinks:
                lane.use_none()

    async def run(self) -> None:
        """Deliver until ``stop``."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for lane in self._lanes.values():
                    tasks.create_task(lane.run(), name=lane.name)
                following = tasks.create_task(self._follow(), name="outbox")
                await self._stopping.wait()
                following.cancel()
                for lane in self._lanes.values():
                    lane.end()
        finally:
            self._tasks = None
            self._threads.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """Begin no more attempts."""
        self._stopping.set()

    def _lane(self, name: str) -> Lane:
        if name not in self._lanes:
            lane = self._lanes[name] = Lane(name, self._shared)
            if self._tasks is not None and not self._stopping.is_set():
                self._tasks.create_task(lane.run(), name=name)
        return self._lanes[name]

    async def _follow(self) -> None:
        """Wake the lanes when something may have become due."""
        while True:
            try:
                await self._shared.outbox.changed()
            except Exception:  # events are still received, and each lane looks again after a while
                log.exception("delivery.failed")
                await asyncio.sleep(AFTER_FAULT)
            for lane in self._lanes.values():
                lane.wake()
