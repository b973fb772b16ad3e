"""What people and programs can make any of several replicas do, whichever owns the account.

Owns: that each command is a row in the database before it is answered. Must not: do what it asks for, or know how a
call comes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName
from reconciler.core.windows import Opening
from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.operations import DaemonOperations
from reconciler.runtime.replicas import reports
from reconciler.runtime.replicas.replica import Replica
from reconciler.runtime.services.source import SourceFollower
from reconciler.runtime.wiring import Components
from reconciler.state.coordination import WEBHOOK, What


class SharedOperations(DaemonOperations):
    """The operations of a replica. Raises ``StateError`` where the database does not take a command."""

    def __init__(
        self,
        components: Components,
        dispatcher: Dispatcher,
        source: SourceFollower,
        replica: Replica,
    ) -> None:
        super().__init__(components, dispatcher, source)
        self._replica = replica

    async def reconcile(self, account: AccountName | None) -> list[AccountName]:
        """Ask the owners for passes, and the reader of the source to wait no longer."""
        names = self._dispatcher.names(account)
        await self._ask(What.RECONCILE, names, "reconcile")
        await self._ask(What.FETCH, [], "reconcile")
        return names

    async def pushed(self, *, repeated: bool) -> None:
        """Ask the reader of the source to look soon."""
        del repeated
        await self._ask(What.FETCH, [], WEBHOOK)

    async def _set_pause(self, account: AccountName | None, override: PauseOverride | None) -> None:
        """Let a pause be in force for all replicas; plans from before cannot be carried out any more."""
        commands, state = self._replica.coordination.commands, self._components.state
        now = self._components.clock.now()
        await asyncio.to_thread(commands.pause, account, override, now)
        state.take_pauses(await asyncio.to_thread(state.stored_pauses))
        self._replica.tenure.nudge()

    async def _set_opening(self, window: str, opening: Opening | None) -> bool:
        """Let a window be open for all replicas, or not any more; plans from before cannot be carried out any more."""
        commands, state = self._replica.coordination.commands, self._components.state
        now = self._components.clock.now()
        was_open = await asyncio.to_thread(commands.open_window, window, opening, now)
        state.take_openings(await asyncio.to_thread(state.stored_openings))
        self._replica.tenure.nudge()
        return was_open

    def _listed_elsewhere(self) -> Mapping[AccountName, datetime]:
        found = reports.found(self._replica)
        return {
            name: report.last_success
            for name, report in found.items()
            if report.last_success is not None
        }

    async def _ask(self, what: What, names: list[AccountName], by: str) -> None:
        now = self._components.clock.now()
        await asyncio.to_thread(self._replica.coordination.commands.ask, what, names, by, now)
        self._replica.tenure.nudge()
