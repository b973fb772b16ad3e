"""A client for each account, kept in step with the credentials.

Owns: which account may call LG with what, and noticing that this changed. Must not: call LG, or know texts or plans.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
from watchfiles import awatch

from reconciler.clock import Clock, SystemClock
from reconciler.credentials import Credentials, CredentialStore
from reconciler.errors import CredentialsRefused
from reconciler.model import AccountName, Unlimited
from reconciler.pcc.client import Client
from reconciler.pcc.quota import Quota
from reconciler.telemetry import Metrics

SETTLE_MS, LOOK_AGAIN_SECONDS = 100, 5.0


class Clients:
    """The clients of all accounts in force. Asking for one that has no usable credentials answers why."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        store: CredentialStore,
        metrics: Metrics,
        *,
        timeout_seconds: float,
        clock: Clock | None = None,
    ) -> None:
        self._http = http
        self._store = store
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds
        self._clock = clock or SystemClock()
        self._countries: Mapping[AccountName, str | None] = {}
        self._credentials: Mapping[AccountName, Credentials | str] = {}
        self._clients: dict[AccountName, Client] = {}

    def __call__(self, account: AccountName) -> Client | str:
        """Return an account's client, or the sentence that says what its credentials lack."""
        credentials = self._credentials.get(account, "the account has no credentials")
        return credentials if isinstance(credentials, str) else self._clients[account]

    def follow(self, countries: Mapping[AccountName, str | None]) -> frozenset[AccountName]:
        """Take the accounts in force, each with the country its text names; return those with other credentials."""
        self._countries = dict(countries)
        for account in self._clients.keys() - self._countries.keys():
            del self._clients[account]
        return self.refresh()

    def refresh(self) -> frozenset[AccountName]:
        """Read the credentials again and return the accounts for which they are others now."""
        before, self._credentials = self._credentials, dict(self._store.read(self._countries))
        for account, credentials in self._credentials.items():
            if isinstance(credentials, Credentials) and account not in self._clients:
                self._clients[account] = self._client(account)
        return frozenset(name for name, one in self._credentials.items() if before.get(name) != one)

    def limit(self, account: AccountName, calls_per_hour: int | Unlimited) -> None:
        """Hold an account to the calls that its text allows."""
        if account in self._clients:
            self._clients[account].quota.follow(calls_per_hour)

    async def changes(self) -> AsyncIterator[None]:
        """Yield whenever a credential may have changed: when the kernel says so, and every few seconds anyway."""
        while True:
            folders = sorted({str(path if path.is_dir() else path.parent) for path in self._watched() if path.exists()})
            if not folders:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                yield
                continue
            try:
                async for _ in awatch(
                    *folders,
                    watch_filter=None,
                    step=SETTLE_MS,
                    debounce=5 * SETTLE_MS,
                    rust_timeout=int(LOOK_AGAIN_SECONDS * 1000),
                    yield_on_timeout=True,
                    recursive=False,
                ):
                    yield
            except OSError:  # a folder is gone, or the kernel's watches are used up: looking regularly still works
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                yield

    def _watched(self) -> tuple[Path, ...]:
        return self._store.watched

    def _client(self, account: AccountName) -> Client:
        def credentials() -> Credentials:
            current = self._credentials[account]
            if isinstance(current, str):
                raise CredentialsRefused(current)
            return current

        return Client(
            account,
            self._http,
            credentials,
            metrics=self._metrics,
            timeout_seconds=self._timeout_seconds,
            quota=Quota(),
            clock=self._clock,
        )
