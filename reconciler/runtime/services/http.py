"""Answers HTTP.

Owns: where HTTP comes in, and that answers under way are given before the end. Must not: know what is answered.
"""

from __future__ import annotations

from typing import Protocol

from starlette.types import ASGIApp

GRACE_SECONDS = 10.0
"""More than the server itself gives to answers that are under way."""


class Front(Protocol):
    """Where HTTP comes in; ``url`` is its address. A simulation has one without a port."""

    url: str

    async def serve(self, app: ASGIApp) -> None:
        """Let the app answer until ``stop``."""

    def stop(self) -> None:
        """Let what is being answered end, and answer nothing more."""


class HttpServer:
    """Lets the app answer at the front."""

    grace = GRACE_SECONDS

    def __init__(self, front: Front, app: ASGIApp, name: str = "http") -> None:
        self._front, self._app, self.name = front, app, name

    async def run(self) -> None:
        """Answer until ``stop``."""
        await self._front.serve(self._app)

    def stop(self) -> None:
        """Let what is being answered end."""
        self._front.stop()
