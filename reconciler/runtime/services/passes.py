"""Makes passes: the queue with its workers.

Owns: which figures of the queue are shown, and that an account which left during its last pass leaves none behind.
Must not: decide when an account is due (``controller.queue`` does).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from reconciler.controller.queue import Queue
from reconciler.core.model import AccountName
from reconciler.runtime.wiring import Components

NOT_READY = timedelta(seconds=2)
"""How long a pass waits that cannot come to anything, because the shared state does not answer."""


class PassMaker:
    """The queue of accounts that need a pass. At the end, passes under way have the shutdown grace.

    Whoever is in ``ended`` hears of each pass that ended.
    """

    name = "passes"

    def __init__(self, components: Components) -> None:
        self._components = components
        self.grace = components.settings.shutdown_grace.total_seconds()
        self.ended: list[Callable[[AccountName], None]] = []
        self.queue = Queue(
            self._pass,
            workers=components.settings.workers,
            clock=components.clock,
            degraded=components.reconciler.accounts.degraded,
            heard_at=components.clients.last_call_at,
        )
        metrics = components.metrics
        metrics.queue_depth.set_function(
            self._depth
        )  # read when asked for: ticks may be what fails
        metrics.queue_oldest.set_function(self._oldest)

    async def run(self) -> None:
        """Make passes until ``stop``; passes that were begun are finished."""
        await self.queue.run()

    def stop(self) -> None:
        """Begin no further pass."""
        self.queue.stop()

    def _depth(self) -> float:
        return self.queue.depth

    def _oldest(self) -> float:
        return self.queue.oldest

    async def _pass(self, account: AccountName) -> timedelta | None:
        """Make one pass. If the account has left, its last pass can have left figures behind."""
        components = self._components
        if not components.tenure.ready():  # a list would cost a call, and nothing could follow
            return NOT_READY
        try:
            return await components.reconciler.reconcile(account)
        finally:
            is_ours = components.tenure.owned([account])
            if components.informer.current(account) is None or not is_ours:
                components.metrics.leave(account)
            for hear in self.ended:
                hear(account)
