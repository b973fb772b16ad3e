"""The life of one account's access token.

Owns: when a token is renewed, that it is renewed once for all waiting calls, and the reading of EMP's answers.
Must not: know what the token is used for.

EMP (LG's account service) answers ``POST /emp/v2/token`` with ``expires_in`` as a string, reports errors inside a 200,
and sends no new refresh token with a refresh; should one ever come, it is used from memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from reconciler.clock import Clock
from reconciler.credentials import Credentials
from reconciler.errors import CredentialsRefused, Unavailable, quoted

AHEAD_SECONDS = 120.0
"""A token is renewed this long before it expires, or at half its life where that is shorter."""

Exchange = Callable[[str, dict[str, str]], Awaitable[tuple[int, bytes]]]
"""Sends a form to a token URL and returns status and body, or raises ``Unavailable``."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and, where it is known, when it should be renewed and when it ends, in epoch seconds."""

    value: str
    renew_at: float | None = None
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at})"


class _Granted(msgspec.Struct):
    access_token: str = ""
    expires_in: str | int | float = "3600"
    refresh_token: str | None = None
    httpError: Any = None  # noqa: N815 - EMP's spelling
    error: Any = None


class Access:
    """The only way to an access token of one account. A cancelled renewal leaves no lock behind."""

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        exchange: Exchange,
        clock: Clock,
        told: Callable[[str, Token | None], None] = lambda _result, _token: None,
    ) -> None:
        self._credentials = credentials
        self._exchange = exchange
        self._clock = clock
        self._told = told
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._basis: Credentials | None = None
        self._rotated: str | None = None

    @property
    def expires_at(self) -> float | None:
        """Return when the token in use ends, in epoch seconds, where that is known."""
        return self._token.expires_at if self._token is not None else None

    async def token(self) -> Token:
        """Return a token to call with, renewed ahead of its end."""
        credentials = self._current()
        token = self._token
        if token is not None and not self._is_due(token):
            return token
        if token is None and credentials.access_token is not None:
            self._token = Token(credentials.access_token.get_secret_value())
            return self._token
        return await self.renewed(token)

    async def renewed(self, failed: Token | None) -> Token:
        """Return another token than ``failed``, renewing at most once for all who wait.

        Raises ``CredentialsRefused`` where there is no other one, ``Unavailable`` where EMP is down.
        """
        async with self._lock:
            credentials = self._current()
            if self._token is not None and self._token is not failed:
                return self._token
            if credentials.refresh_token is None:
                raise CredentialsRefused("the access token is not accepted, and there is no refresh token")
            self._token = await self._refresh(credentials, credentials.refresh_token.get_secret_value())
            self._told("success", self._token)
            return self._token

    def _current(self) -> Credentials:
        """Return the credentials as they are now; other ones than before put an end to the token in use."""
        credentials = self._credentials()
        if credentials != self._basis:
            self._basis, self._rotated = credentials, None
            self._token = None
            if credentials.access_token is not None:
                self._token = Token(credentials.access_token.get_secret_value())
        return credentials

    def _is_due(self, token: Token) -> bool:
        return token.renew_at is not None and token.renew_at <= self._clock.now().timestamp()

    async def _refresh(self, credentials: Credentials, refresh_token: str) -> Token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._rotated or refresh_token,
            "client_id": credentials.client_id or "",
        }
        if credentials.backend_url:
            form["backend_url"] = credentials.backend_url
        try:
            status, body = await self._exchange(credentials.token_url or "", form)
            return self._granted(status, body)
        except Unavailable:
            self._told("unavailable", None)
            raise
        except CredentialsRefused:
            self._told("refused", None)
            raise

    def _granted(self, status: int, body: bytes) -> Token:
        try:
            granted = msgspec.json.decode(body, type=_Granted)
            life = float(granted.expires_in)
        except (msgspec.MsgspecError, ValueError):
            granted, life = _Granted(), 0.0
        if granted.access_token and status < 300:  # noqa: PLR2004 - what HTTP calls success
            self._rotated = granted.refresh_token or self._rotated
            now = self._clock.now().timestamp()
            return Token(granted.access_token, now + life - min(AHEAD_SECONDS, life / 2), now + life)
        words = quoted(str(granted.httpError or granted.error or f"status {status}, no access token in the answer"))
        if status >= 500 or status == 429:  # noqa: PLR2004 - a server's fault, or too many requests
            raise Unavailable(f"the token endpoint failed: {words}", status=status)
        raise CredentialsRefused(f"the refresh token was refused: {words}", status=status)
