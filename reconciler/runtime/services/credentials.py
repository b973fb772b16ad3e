"""Follows the credentials.

Owns: when they are read again. Must not: know where they are, or what is in them.
"""

from __future__ import annotations

from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.services.errands import Errands
from reconciler.runtime.wiring import Components


class CredentialFollower:
    """Reads credentials whenever they may have changed."""

    name = "credentials"
    grace = 0.0

    def __init__(self, components: Components, dispatcher: Dispatcher, errands: Errands) -> None:
        self._clients, self._dispatcher, self._errands = components.clients, dispatcher, errands

    async def run(self) -> None:
        """Follow the files, and look every few seconds in any case."""
        async for _ in self._clients.changes():
            await self._look()

    def stop(self) -> None:
        """Do nothing: there is nothing to end in good order."""

    def read_again(self) -> None:
        """Look now, unless that is under way."""
        if not self._errands.has(self.name):
            self._errands.begin(self._look(), self.name)

    async def _look(self) -> None:
        self._dispatcher.credentials_changed(await self._clients.look())
