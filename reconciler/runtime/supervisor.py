"""Runs the services of a process together, and ends them in good order.

Owns: that a service which ends or fails ends the process with its error, and who is waited for at the end.
Must not: know what a service does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from reconciler.core.errors import ReconcilerError

log = structlog.get_logger()


class Service(Protocol):
    """One part of the process. ``grace``: seconds it may take to end after ``stop``; then it is cancelled."""

    name: str
    grace: float

    async def run(self) -> None:
        """Work until ``stop``, or until cancelled. To return or to raise before that ends the process."""

    def stop(self) -> None:
        """Begin to end: start nothing new."""


class Supervisor:
    """Starts services in their order, and stops them in the same order."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, stopping: asyncio.Event, started: Callable[[], None]) -> None:
        """Run every service until ``stopping``, and end them. ``started`` is called when all have begun.

        A service that ends before that raises its error here, after the others have ended.
        """
        self.start()
        try:
            started()
            await self.wait(stopping)
        finally:
            stopping.set()
            await self.end()

    def start(self) -> None:
        """Start every service."""
        for service in self._services:
            self._tasks[service.name] = asyncio.create_task(service.run(), name=service.name)

    async def wait(self, stopping: asyncio.Event) -> None:
        """Wait for ``stopping``. A service that ends before that raises its error here."""
        stop = asyncio.create_task(stopping.wait(), name="stop")
        try:
            done, _ = await asyncio.wait(
                {stop, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:  # also where the caller gives up
            stop.cancel()
        for task in done - {stop}:
            task.result()
            raise ReconcilerError(f"the service {task.get_name()} ended unexpectedly")

    async def end(self) -> None:
        """Stop one service after the other; each has its grace, and what is left then is cancelled."""
        for service in self._services:
            service.stop()
            task = self._tasks[service.name]
            if service.grace:
                _, late = await asyncio.wait({task}, timeout=service.grace)
                if late:
                    log.warning("daemon.grace_over", seconds=service.grace)
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
