"""Says whether the process is alive and ready.

Owns: how long work may be due, or a pass under way, with nothing coming of it. Must not: end or repair anything.
"""

from __future__ import annotations

from reconciler.controller.queue import Queue
from reconciler.runtime.services.state import StateKeeper
from reconciler.runtime.wiring import Components

WEDGED_AFTER_SECONDS = 300.0
"""Work due for this long, or for three intervals, with nothing ended: not alive."""


class ProcessHealth:
    """The health of this process. An empty answer means that it is well."""

    def __init__(self, components: Components, queue: Queue, state: StateKeeper) -> None:
        self._components, self._queue, self._state = components, queue, state
        self._clock = components.clock
        self._heartbeat = self._clock.steady()
        self._patience = max(3 * components.settings.interval.total_seconds(), WEDGED_AFTER_SECONDS)

    def beat(self) -> None:
        """Take the sign that the ticker ticks."""
        self._heartbeat = self._clock.steady()

    def live(self) -> str:
        """Say why the process is not alive: work is due or under way, and nothing comes of it."""
        queue, clients, now = self._queue, self._components.clients, self._clock.steady()
        if now - self._heartbeat > self._patience:
            return "the ticker does not tick"
        for account, began in queue.under_way.items():
            if now - max(began, clients.last_call_at(account) or began) > self._patience:
                return f"account {account} is due, and its pass neither ended nor made a call"
        last = max(queue.last_ended, self._components.metrics.last_call_at or 0.0)
        if queue.oldest > self._patience and now - last > self._patience:
            return "accounts are due, and no pass ended and no call was made"
        return ""

    def ready(self) -> str:
        """Say why nothing can be expected yet. A state that fails later is an alert, not a reason to hide."""
        if not self._state.opened:
            return f"the state cannot be opened: {self._components.state.trouble}"
        if self._components.informer.accepted.revision is None:
            return "no revision is accepted yet"
        return ""
