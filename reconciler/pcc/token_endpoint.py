"""EMP, LG's account service, as an account's client asks it for tokens.

Owns: one request to the token endpoint. Must not: know what a token is for, or try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx

from reconciler.core.errors import Lost, Unavailable
from reconciler.pcc import protocol
from reconciler.pcc.transport import LOST, TOKEN_REFRESH, lost
from reconciler.telemetry.masking import Masking


def allow_always() -> None:
    """Allow a call, where no other process works on the accounts."""


class TokenEndpoint:
    """EMP, LG's account service. Its calls are not counted: the quota is that of another service."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        timeout_seconds: float,
        allow: Callable[[], None] = allow_always,
    ) -> None:
        self._http, self._allow = http, allow
        self._timeout_seconds = timeout_seconds

    async def exchange(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        """Send a token refresh, and return the status and the body of the answer."""
        self._allow()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._http.post(url, data=form, extensions={TOKEN_REFRESH: True})
        except LOST as error:
            raise lost("the token endpoint", error) from error
        if response.is_redirect:
            masking = Masking()
            masking.know([form["refresh_token"]])
            target = masking.text(protocol.target(response.headers.get("location", "")))
            elsewhere = Unavailable(f"the token endpoint answered {response.status_code}{target}")
            elsewhere.lost, elsewhere.status = Lost.STRANGER, response.status_code
            raise elsewhere
        return response.status_code, response.content
