"""What people and programs can make the running daemon do.

Owns: a pass at once, a pause, a plan of proposed files, and a push that was announced. Must not: know how a call comes
in, or who may make it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from reconciler.core.errors import ReconcilerError
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName, Pause
from reconciler.reporting.preview import Proposal, Proposed, planned
from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.services.source import SourceFollower
from reconciler.runtime.wiring import Components

log = structlog.get_logger()


class DaemonOperations:
    """The operations of the daemon."""

    def __init__(
        self, components: Components, dispatcher: Dispatcher, source: SourceFollower
    ) -> None:
        self._components, self._dispatcher, self._source = components, dispatcher, source
        self._planning = asyncio.Lock()

    async def reconcile(self, account: AccountName | None) -> list[AccountName]:
        """Begin passes because a person asks: clear all retry waits, and accept the current credential."""
        names = self._dispatcher.names(account)
        await self._dispatcher.person_agrees(names)
        return names

    async def pause(
        self,
        account: AccountName | None,
        pause: Pause,
        span: timedelta | None,
        reason: str,
        set_by: str = "",
    ) -> list[AccountName]:
        """Pause for a while, or end the pause; passes under way stop before their next call."""
        names, now = self._dispatcher.names(account), self._components.clock.now()
        override = None
        if pause is not Pause.NONE:
            if not span or not reason.strip():
                raise ReconcilerError("a pause needs an end and a reason: for (like 2h) and reason")
            override = PauseOverride(pause, now + span, reason.strip(), set_by.strip())
        await self._set_pause(account, override)
        if override is None:
            log.info("pause.ended", account=account)
        else:
            log.warning(
                "pause.set",
                account=account,
                pause=pause,
                until=override.until,
                reason=override.reason,
            )
        self._dispatcher.wake_first(names)
        return names

    async def _set_pause(self, account: AccountName | None, override: PauseOverride | None) -> None:
        """Let a pause be in force, or none."""
        now = self._components.clock.now()
        await asyncio.to_thread(self._components.state.pauses.set, account, override, now)

    async def plan(self, proposal: Proposal) -> Proposed:
        """Plan proposed files on what is known here, one proposal after the other: a large one takes memory."""
        components = self._components
        async with self._planning:
            return await planned(
                proposal,
                components.informer.accepted,
                components.reconciler.previews.preview,
                environment=components.settings.environment,
            )

    async def pushed(self, *, repeated: bool) -> None:
        """Read the source soon. ``repeated``: the call that says so came before."""
        self._source.pushed(repeated=repeated)
