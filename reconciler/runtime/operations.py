"""What people and programs can make the running daemon do.

Owns: a pass at once, a pause, an open window, a plan of proposed files, and a push that was announced. Must not: know
how a call comes in, or who may make it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from reconciler.core.errors import ReconcilerError, Unknown, quoted, suggestion
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName, Pause
from reconciler.core.windows import Ending, Opening, Window, WindowKind
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

    async def open_window(
        self, name: str, span: timedelta | None, reason: str, set_by: str = ""
    ) -> tuple[Opening, Sequence[AccountName]]:
        """Open an allow window for a while, as it is defined now; return the accounts that have it."""
        window = self._window(name)
        if window.kind is WindowKind.DENY:
            raise ReconcilerError(
                f"{name} is a deny window: only the file ends it, no command does"
            )
        if not span or not reason.strip():
            raise ReconcilerError(
                "a window is opened with an end and a reason: for (like 1h) and reason"
            )
        now = self._components.clock.now()
        opening = Opening(name, window.mark, now, now + span, reason.strip(), set_by.strip())
        await self._set_opening(name, opening)
        log.warning(
            "window.opened",
            window=name,
            until=opening.until,
            reason=opening.reason,
            set_by=opening.set_by,
        )
        return opening, self._wake_those_with(name)

    async def close_window(self, name: str) -> Sequence[AccountName]:
        """End what ``open_window`` began; passes under way stop before their next call."""
        if not await self._set_opening(name, None):
            self._window(name)
            raise ReconcilerError(f"no command opened window {name}, or its time is over")
        log.warning("window.closed", window=name, ended_by=Ending.CLOSED)
        return self._wake_those_with(name)

    def _window(self, name: str) -> Window:
        """Return a window of the desired state in force; raises ``Unknown``."""
        windows = self._components.informer.accepted.windows
        for window in windows:
            if window.name == name:
                return window
        near = suggestion(name, [window.name for window in windows])
        raise Unknown(f"there is no window {quoted(name)!r}{near}")

    def _wake_those_with(self, name: str) -> Sequence[AccountName]:
        """Ask for passes of the accounts that have a window, and return them."""
        accounts = self._components.informer.accepted.accounts
        names = [
            account
            for account, text in sorted(accounts.items())
            if any(window.name == name for window in text.desired.windows)
        ]
        self._dispatcher.wake_first(names)
        return names

    async def _set_opening(self, window: str, opening: Opening | None) -> bool:
        """Let a window be open by command, or not any more; return whether it was."""
        now, opened = self._components.clock.now(), self._components.state.opened_windows
        if opening is None:
            return await asyncio.to_thread(opened.close, window, now)
        await asyncio.to_thread(opened.open, opening, now)
        return False

    async def plan(self, proposal: Proposal) -> Proposed:
        """Plan proposed files on what is known here, one proposal after the other: a large one takes memory."""
        components = self._components
        async with self._planning:
            listed = await asyncio.to_thread(self._listed_elsewhere)
            return await planned(
                proposal,
                components.informer.accepted,
                partial(components.reconciler.previews.preview, listed=listed),
                environment=components.settings.environment,
            )

    def _listed_elsewhere(self) -> Mapping[AccountName, datetime]:
        """Return when the lists of accounts were last trusted that another replica works on."""
        return {}

    async def pushed(self, *, repeated: bool) -> None:
        """Read the source soon. ``repeated``: the call that says so came before."""
        self._source.pushed(repeated=repeated)
