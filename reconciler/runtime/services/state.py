"""Keeps the state's file written.

Owns: when what waits is written, and that it is reported once when that fails and once when it works again.
Must not: know what is in the state.
"""

from __future__ import annotations

import asyncio

import structlog

from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.wiring import Components

log = structlog.get_logger()


class StateKeeper:
    """Writes what waits, apart from all else, as disks may hang. ``opened``: the state could be written once."""

    name = "state"
    grace = 0.0

    def __init__(self, components: Components, dispatcher: Dispatcher) -> None:
        self._state, self._metrics, self._dispatcher = (
            components.state,
            components.metrics,
            dispatcher,
        )
        self._due = asyncio.Event()
        self._trouble = ""
        self.opened = False

    async def run(self) -> None:
        """Write what waits whenever it is due, and see to it that the file is there."""
        while True:
            await self._due.wait()
            self._due.clear()
            await asyncio.to_thread(self._state.look)

    def stop(self) -> None:
        """Do nothing: the state is closed, and so written, after all services."""

    def look(self) -> None:
        """Say that a look at the file is due."""
        self._due.set()

    def show(self) -> None:
        """Report trouble with the state once, and its end."""
        state = self._state
        self.opened = self.opened or state.writable
        self._metrics.state_writable.set(state.writable)
        before, self._trouble = self._trouble, state.trouble
        notices = state.notices()
        for notice in notices:
            log.error("state.failed", error=notice)
        if self._trouble and self._trouble not in {before, *notices}:
            log.error("state.failed", error=self._trouble)
        elif before and not self._trouble:
            log.info("state.restored")
            self._dispatcher.wake_all()  # what was held because of it need not wait
