"""The services of a process: one that ends takes the process with it, and all end in good order."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from reconciler.core.errors import ReconcilerError
from reconciler.runtime.services.errands import Errands
from reconciler.runtime.supervisor import Supervisor


class Part:
    """A service that writes down what becomes of it. ``ends``: it needs no more than ``stop`` to end."""

    def __init__(
        self, name: str, said: list[str], *, grace: float = 0.0, ends: bool = False
    ) -> None:
        self.name, self.grace, self._said, self._ends = name, grace, said, ends
        self.over = asyncio.Event()
        self.error: Exception | None = None

    async def run(self) -> None:
        """Wait until it is over."""
        try:
            await self.over.wait()
            if self.error is not None:
                raise self.error
            self._said.append(f"{self.name} ended")
        except asyncio.CancelledError:
            self._said.append(f"{self.name} cancelled")
            raise

    def stop(self) -> None:
        """Write it down."""
        self._said.append(f"{self.name} stopped")
        if self._ends:
            self.over.set()


async def test_services_stop_in_their_order_and_have_their_grace() -> None:
    """A service ends within its grace before the next one is stopped; one without is cancelled."""
    said: list[str] = []
    supervisor = Supervisor(
        [Part("passes", said, grace=5, ends=True), Part("source", said), Part("http", said)]
    )
    supervisor.start()
    await asyncio.sleep(0)
    stopping = asyncio.Event()
    stopping.set()
    await supervisor.wait(stopping)
    await supervisor.end()
    assert said[:4] == ["passes stopped", "passes ended", "source stopped", "http stopped"]
    assert sorted(said[4:]) == ["http cancelled", "source cancelled"]


async def test_the_first_error_ends_the_others() -> None:
    """The error comes out after all have ended, and the process knows that it is ending."""
    said: list[str] = []
    part, stopping = Part("source", said), asyncio.Event()
    part.error = ValueError("a defect")
    with pytest.raises(ValueError, match="a defect"):
        await Supervisor([Part("passes", said), part]).run(stopping, part.over.set)
    assert stopping.is_set()
    assert "passes cancelled" in said


async def test_what_is_left_after_the_grace_is_cancelled_and_logged() -> None:
    """A service that does not end in time keeps nothing waiting."""
    said: list[str] = []
    supervisor = Supervisor([Part("passes", said, grace=0.01)])
    supervisor.start()
    await asyncio.sleep(0)
    with capture_logs() as lines:
        await supervisor.end()
    assert said == ["passes stopped", "passes cancelled"]
    assert [(line["event"], line["seconds"]) for line in lines] == [("daemon.grace_over", 0.01)]


async def test_a_service_that_fails_raises_its_error() -> None:
    """It is never silent."""
    part = Part("source", [])
    part.error = ValueError("a defect")
    supervisor = Supervisor([Part("passes", []), part])
    supervisor.start()
    part.over.set()
    with pytest.raises(ValueError, match="a defect"):
        await supervisor.wait(asyncio.Event())
    await supervisor.end()


async def test_a_service_that_returns_is_an_error() -> None:
    """A service works until it is stopped: to return before is a defect, and its name is told."""
    part = Part("source", [])
    supervisor = Supervisor([Part("passes", []), part])
    supervisor.start()
    part.over.set()
    with pytest.raises(ReconcilerError, match="the service source ended unexpectedly"):
        await supervisor.wait(asyncio.Event())
    await supervisor.end()


async def test_a_short_job_that_fails_ends_the_service_and_none_begins_after_the_stop() -> None:
    """Its error is the service's, others are cancelled with it, and what comes later is not begun."""
    errands = Errands()
    running = asyncio.create_task(errands.run())
    cancelled: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append("endless")

    async def broken() -> None:
        raise ValueError("a defect")

    errands.begin(endless(), "endless")
    await asyncio.sleep(0)
    assert errands.has("endless")
    errands.begin(broken(), "broken")
    with pytest.raises(ValueError, match="a defect"):
        await running
    assert cancelled == ["endless"]
    assert not errands.busy
    errands.stop()
    errands.begin(endless(), "late")
    assert not errands.busy
