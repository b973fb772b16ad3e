"""The life of one account's access token.

Owns: when a token is renewed, that it is renewed once for all waiting calls, and the reading of EMP's answers.
Must not: know what the token is used for.

EMP (LG's account service) answers ``POST /emp/v2/token`` with ``expires_in`` as a string, reports errors inside a 200,
and sends no new refresh token with a refresh; should one ever come, it is used from memory and a warning says so.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog

from reconciler.core.clock import Clock
from reconciler.core.errors import CredentialsRefused, Lost, Unavailable, quoted
from reconciler.pcc.checks import check_secret
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.doubt import unread
from reconciler.telemetry.masking import MASK, Masking

AHEAD_SECONDS = 120.0
"""A token is renewed this long before it expires, or at half its life where that is shorter."""
AGAIN_SECONDS = 30.0
"""Where the renewal ahead of time fails, the token in use serves for so long before the next attempt."""
FRESH_SECONDS = 30.0
"""For so long a renewed token may not be valid yet: LG's clocks differ, and a new token takes time to be known."""
PATIENCE_EVERY_SECONDS = 600.0
"""Seconds between two such waits. A token that LG refuses again within them counts as refused."""
LONGEST_LIFE = 10 * 365 * 86400.0
"""Seconds; what claims to live longer, or not at all, is a token whose end is not known."""

BAD_REQUEST, REQUEST_TIMEOUT, TOO_MANY, SERVER_FAULT = 400, 408, 429, 500
EMP_REFUSES = frozenset({200, 400, 401, 412})
"""The statuses with which EMP says no, by its documents."""
BEGINNING = 64 * 1024
"""Bytes of an answer in which secrets are sought; of what is found only a line is shown."""

_LONG_WORD = re.compile(r"[\w.~+/=-]{16,}")
"""What may be a token: at least this number of characters, and no space."""

Exchange = Callable[[str, dict[str, str]], Awaitable[tuple[int, bytes]]]
"""Sends a form to a token URL and returns status and body, or raises ``Unavailable``."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and, where it is known, when it should be renewed and when it ends, in epoch seconds.

    ``credentials`` are those that it came from: they may have been replaced since, and then it is another user's.
    """

    value: str
    credentials: Credentials
    renew_at: float | None = None
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at})"


class _Granted(msgspec.Struct):
    access_token: Any = None
    expires_in: Any = None
    refresh_token: Any = None
    httpError: Any = None  # noqa: N815 - EMP's spelling
    error: Any = None

    def __repr__(self) -> str:
        return "_Granted()"


class Access:
    """The only way to an access token of one account. A cancelled renewal leaves no lock behind."""

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        exchange: Exchange,
        clock: Clock,
        report: Callable[[str, Token | None], None] = lambda _result, _token: None,
        renewed: Callable[[Iterable[str]], None] = lambda _secrets: None,
        *,
        read_again: Callable[[], None] = lambda: None,
    ) -> None:
        self._credentials = credentials
        self._exchange = exchange
        self._clock = clock
        self._report = report
        self._renewed = renewed
        self._read_again = read_again
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._basis: Credentials | None = None
        self._rotated: str | None = None
        self._failures = 0
        self._failure: Unavailable | CredentialsRefused | None = None
        self._renewed_at: float | None = None
        self._patient_from: float | None = None

    @property
    def expires_at(self) -> float | None:
        """Return when the token in use ends, in epoch seconds, where that is known."""
        return self._token.expires_at if self._token is not None else None

    @property
    def rotated(self) -> bool:
        """Say whether EMP sent another refresh token than the one that is stored."""
        return self._rotated is not None

    def accepted(self, token: Token) -> None:
        """Note that LG accepted a token."""
        if token is self._token:
            self._renewed_at = None

    def fresh_for(self, token: Token) -> float | None:
        """Return how many seconds ago a refused token was renewed, where it may not be valid yet; else None."""
        if token is not self._token or self._renewed_at is None:
            return None
        now = self._clock.steady()
        if self._patient_from is None or now - self._patient_from > PATIENCE_EVERY_SECONDS:
            self._patient_from = now
        return now - self._renewed_at if now - self._patient_from < FRESH_SECONDS else None

    async def token(self) -> Token:
        """Return a token to call with, renewed ahead of its end; one that still lives outlasts an EMP that is down."""
        self._current()
        token = self._token
        if token is not None and not self._is_past(token.renew_at):
            return token
        try:
            return await self.renewed(token)
        except (Unavailable, CredentialsRefused):
            if token is None or self._is_past(token.expires_at) or self._token is not token:
                raise
            self._token = replace(token, renew_at=self._now() + AGAIN_SECONDS)
            return self._token

    async def renewed(self, failed: Token | None) -> Token:
        """Return another token than ``failed``, renewing at most once for all who wait.

        Where that is refused, the credentials are read again: a person may have replaced them a moment ago. Raises
        ``CredentialsRefused`` where there is no other one, ``Unavailable`` where EMP is down.
        """
        failures = self._failures
        async with self._lock:
            while True:
                credentials = self._current()
                if self._token is not None and self._token is not failed:
                    return self._token
                if (
                    self._failure is not None and self._failures != failures
                ):  # it failed for all who waited
                    raise self._failure
                try:
                    token = await self._refresh(credentials)
                except CredentialsRefused:
                    self._read_again()
                    if self._current() == credentials:
                        raise
                    continue
                if (
                    self._current() == credentials
                ):  # else the answer is that of another user, perhaps
                    self._token = token
                    self._renewed_at = self._clock.steady()
                    self._report("success", token)
                    return token

    def _current(self) -> Credentials:
        """Return the credentials as they are now; other ones than before put an end to the token in use."""
        credentials = self._credentials()
        if credentials is not self._basis and credentials != self._basis:
            self._rotated = self._failure = self._token = None
            self._renewed_at = self._patient_from = None
            if credentials.access_token is not None:
                self._token = Token(credentials.access_token.get_secret_value(), credentials)
        self._basis = credentials
        return credentials

    def _is_past(self, moment: float | None) -> bool:
        return moment is not None and moment <= self._now()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _refresh(self, credentials: Credentials) -> Token:
        if credentials.refresh_token is None:
            raise CredentialsRefused(
                "the access token is not accepted, and there is no refresh token"
            )
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._rotated or credentials.refresh_token.get_secret_value(),
            "client_id": credentials.client_id or "",
        }
        if credentials.backend_url:
            form["backend_url"] = credentials.backend_url
        try:
            status, body = await self._exchange(credentials.token_url or "", form)
            granted = _granted(status, body, form["refresh_token"])
        except (Unavailable, CredentialsRefused) as error:
            self._failures, self._failure = self._failures + 1, error
            self._report("unavailable" if isinstance(error, Unavailable) else "refused", None)
            raise
        secrets = (
            granted.access_token,
            granted.refresh_token,
            self._rotated,
        )  # EMP sends the last one only once
        self._renewed(secret for secret in secrets if isinstance(secret, str))
        self._keep(granted.refresh_token, form["refresh_token"], credentials)
        return self._dated(granted, credentials)

    def _keep(self, rotated: Any, used: str, credentials: Credentials) -> None:
        """Take a new refresh token, should EMP ever send one. It is not stored: secrets come from a person's store."""
        if not isinstance(rotated, str) or rotated in {"", used} or credentials != self._basis:
            return
        self._rotated = rotated
        log.warning(
            "token.rotated",
            account=credentials.account,
            message="LG sent a new refresh token, which is used until this process ends: replace the stored one",
        )

    def _dated(self, granted: _Granted, credentials: Credentials) -> Token:
        try:
            life = float(granted.expires_in)
        except (TypeError, ValueError, OverflowError):
            life = math.nan
        if not 0 < life <= LONGEST_LIFE:
            return Token(granted.access_token, credentials)
        ends = self._now() + life
        renew_at = ends - min(AHEAD_SECONDS, life / 2)
        return Token(granted.access_token, credentials, renew_at, ends)


def _granted(status: int, body: bytes, refresh_token: str) -> _Granted:
    """Return what EMP granted, or raise ``CredentialsRefused`` for a no and ``Unavailable`` for anything like weather.

    Only EMP itself can refuse a refresh token. A page of HTML, a gateway's own JSON or a status that EMP does not
    document come from something in between, or from a wrong address: nobody has to log in again for that.
    """
    try:
        granted = msgspec.json.decode(body, type=_Granted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        granted = None
    if granted is not None and 200 <= status < 300 and _is_usable(granted.access_token):  # noqa: PLR2004 - success
        return granted
    fault = None if granted is None else granted.httpError or granted.error
    masking = Masking()
    masking.know([refresh_token])
    words = (
        quoted(masking.text(str(fault)))
        if fault
        else f"status {status}, no access token in the answer"
    )
    if status >= SERVER_FAULT or status in {REQUEST_TIMEOUT, TOO_MANY}:
        raise Unavailable(f"the token endpoint failed: {words}", status=status)
    is_object, is_empty = granted is not None, not body.strip()
    if fault or (status in EMP_REFUSES and (is_object or (is_empty and status >= BAD_REQUEST))):
        raise CredentialsRefused(f"the refresh token was refused: {words}", status=status)
    beginning = quoted(masking.text(_beginning(body)))
    parts = (
        f"status {status}, and what answers is not LG's account service",
        unread(body, "a token"),
        beginning,
    )
    unavailable = Unavailable(
        f"the token endpoint failed: {': '.join(filter(None, parts))}", status=status
    )
    unavailable.lost = Lost.STRANGER
    raise unavailable


def _beginning(body: bytes) -> str:
    """Return what may be shown of an answer that was not understood: it may grant a token that nobody has masked yet.

    A page is shown. Of anything else, what speaks of tokens is not shown at all, and no long word of the rest.
    """
    text = (
        body[:BEGINNING].decode("utf-8", "replace").replace("\0", "").strip("\ufeff\ufffd \t\r\n")
    )
    if text.startswith("<"):
        return text
    return "" if "token" in text.lower() else _LONG_WORD.sub(MASK, text)


def _is_usable(token: Any) -> bool:
    """Say whether this can be sent in a header, and is long enough to be masked in logs."""
    try:
        return isinstance(token, str) and bool(check_secret(token))
    except ValueError:
        return False
