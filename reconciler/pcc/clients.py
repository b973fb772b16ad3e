"""A client for each account, kept in step with the credentials.

Owns: which account may call LG with what, and noticing that this changed. Must not: call LG, or know desired states or
plans.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from uuid import UUID, uuid4

import httpx

from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.errors import CredentialsRefused
from reconciler.core.model import AccountName, Unlimited
from reconciler.core.watch import Watch
from reconciler.pcc.client import Client, DeviceNamesHeard
from reconciler.pcc.credential_store import CredentialStore
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.ledger import Ledger
from reconciler.pcc.message_ids import SentIds, new_message_id
from reconciler.pcc.quota import Learned, Quota
from reconciler.telemetry.masking import Masking
from reconciler.telemetry.metrics import Metrics

SETTLE_SECONDS, SETTLE_MOST_SECONDS, LOOK_AGAIN_SECONDS = 0.1, 0.5, 5.0
READ_AGAIN_SECONDS = 1.0
"""A refused token is reason to read all credentials again, at most so often."""


def allow_each(account: AccountName) -> None:
    """Allow every call of every account."""
    del account


def never_refused(account: AccountName) -> str | None:
    """Refuse no account's credentials."""
    del account
    return None


class Clients:
    """The clients of all accounts in force. Asking for one that has no usable credentials answers why.

    ``learned`` recalls what is known of an account's quota from before this process; the quota of an account that left
    stays, because LG continues to count, and the account may be back within the hour. ``masking`` gets every secret,
    and ``names`` what LG calls devices. ``refusal`` says why usable credentials must not be used all the same.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        store: CredentialStore,
        metrics: Metrics,
        *,
        timeout_seconds: float,
        clock: Clock,
        learned: Callable[[AccountName], Learned] = lambda _account: Learned(),
        masking: Masking | None = None,
        watch: Watch,
        unique: Callable[[], UUID] = uuid4,
        two_clocks: TwoClocks | None = None,
        names: DeviceNamesHeard | None = None,
        allow: Callable[[AccountName], None] = allow_each,
        refusal: Callable[[AccountName], str | None] = never_refused,
        ledger: Ledger | None = None,
    ) -> None:
        self._names, self._ledger = names, ledger
        self._http, self._allow, self._refusal = http, allow, refusal
        self._store = store
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._two = two_clocks or TwoClocks(self._clock, ours_alone=True)
        self._learned = learned
        self._masking = masking or Masking()
        self._watch = watch
        self._unique = unique
        self._sent = SentIds()
        self._quotas: dict[AccountName, Quota] = {}
        self._countries: Mapping[AccountName, str | None] = {}
        self._credentials: Mapping[AccountName, Credentials | str] = {}
        self._clients: dict[AccountName, Client] = {}
        self._unnamed: frozenset[AccountName] = frozenset()
        self._read_at = -READ_AGAIN_SECONDS
        self._readings = 0

    def __call__(self, account: AccountName) -> Client | str:
        """Return an account's client, or the sentence that says what its credentials lack."""
        credentials = self.credentials(account)
        return credentials if isinstance(credentials, str) else self._clients[account]

    def credentials(self, account: AccountName) -> Credentials | str:
        """Return what an account speaks with, or the sentence that says what is lacking."""
        found = self.given(account)
        return found if isinstance(found, str) else self._refusal(account) or found

    def given(self, account: AccountName) -> Credentials | str:
        """Return the credentials that are given for an account, whether it may use them or not."""
        return self._credentials.get(account, "the account has no credentials")

    def follow(self, countries: Mapping[AccountName, str | None]) -> frozenset[AccountName]:
        """Take the accounts in force, each with its country in the file; return those with other credentials."""
        self._countries = dict(countries)
        for account in self._clients.keys() - self._countries.keys():
            del self._clients[account]
        return self.refresh()

    def refresh(self) -> frozenset[AccountName]:
        """Read the credentials again and return the accounts for which they are others now, each once."""
        changed, self._unnamed = self._read() | self._unnamed, frozenset()
        return changed

    def serves(self, countries: Mapping[AccountName, str | None]) -> bool:
        """Say whether these are the accounts that are followed, so a new revision needs no reading."""
        return countries == self._countries

    async def look(self) -> frozenset[AccountName]:
        """Do what ``refresh`` does, with the files read beside the event loop: to look at 10,000 takes a while."""
        while True:
            asked, since = self._countries, self._readings
            read = await asyncio.to_thread(self._store.read, asked)
            if (
                asked is self._countries and since == self._readings
            ):  # else what was read meanwhile is newer than this
                changed, self._unnamed = self._take(read) | self._unnamed, frozenset()
                return changed

    def _read(self) -> frozenset[AccountName]:
        return self._take(self._store.read(self._countries))

    def _take(self, read: Mapping[AccountName, Credentials | str]) -> frozenset[AccountName]:
        """Use these credentials from here on."""
        self._readings += 1
        self._read_at = self._clock.steady()
        self._masking.hold(self._store, self._store.secrets(), self._read_at)
        before, self._credentials = self._credentials, dict(read)
        for account, credentials in self._credentials.items():
            if isinstance(credentials, Credentials) and account not in self._clients:
                self._clients[account] = self._client(account)
        return frozenset(name for name, one in self._credentials.items() if before.get(name) != one)

    def _read_again(self) -> None:
        """Look for a credential that nobody noticed yet, because LG or EMP refused the one in use."""
        if self._clock.steady() - self._read_at >= READ_AGAIN_SECONDS:
            self._unnamed |= self._read()

    def last_call_at(self, account: AccountName) -> float | None:
        """Return when an account's last call ended, in steady seconds; None where it made none yet."""
        client = self._clients.get(account)
        return None if client is None else client.last_call_at

    def limit(self, account: AccountName, calls_per_hour: int | Unlimited) -> None:
        """Limit an account to the calls that its policy allows."""
        self.quota(account).follow(calls_per_hour)

    async def changes(self) -> AsyncIterator[None]:
        """Yield whenever a credential may have changed: when the kernel says so, and every few seconds anyway."""
        while True:
            folders = self._folders()
            try:
                async with aclosing(self._news(folders)) as news:
                    async for _ in news:
                        yield
                        if self._folders() != folders:
                            break
            except OSError:  # a folder is gone, or the kernel's watches are used up: looking regularly still works
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                yield

    async def _news(self, folders: Iterable[str]) -> AsyncGenerator[None, None]:
        """Yield at every change in the folders, and regularly."""
        if not folders:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            yield
            return
        news = self._watch(
            folders, settle=SETTLE_SECONDS, most=SETTLE_MOST_SECONDS, idle=LOOK_AGAIN_SECONDS
        )
        async with aclosing(news):
            async for _ in news:
                yield

    def _folders(self) -> dict[str, int]:
        """Return the folders to watch, each with its inode: one that was put in its place is another."""
        folders: dict[str, int] = {}
        for path in self._store.watched:
            folder = path if path.is_dir() else path.parent
            with suppress(OSError):
                folders[str(folder)] = folder.stat().st_ino
        return folders

    def quota(self, account: AccountName) -> Quota:
        """Return the quota of an account; it is there also where the account has no credentials."""
        if account not in self._quotas:
            self._quotas[account] = Quota(learned=self._dated(self._learned(account)))
        return self._quotas[account]

    def taken(self, account: AccountName, learned: Learned) -> None:
        """Count the calls of an account that another replica made until now."""
        self.quota(account).take_over(self._dated(learned), self._two.timeline())

    def _dated(self, learned: Learned) -> Learned:
        """Return what was learned with its calls dated by the timeline of this process."""
        now = self._two.timeline()
        calls = (min(call - self._two.behind(), now) for call in learned.calls)
        return Learned(tuple(calls), learned.limit)

    def _client(self, account: AccountName) -> Client:
        def credentials() -> Credentials:
            current = self._credentials.get(account, "the account has left the desired state")
            if isinstance(current, str):
                raise CredentialsRefused(current)
            return current

        return Client(
            account,
            self._http,
            credentials,
            metrics=self._metrics,
            timeout_seconds=self._timeout_seconds,
            quota=self.quota(account),
            renewed=partial(self._masking.renew, account),
            clock=self._clock,
            message_id=partial(new_message_id, self._unique),
            read_again=self._read_again,
            sent=self._sent,
            two_clocks=self._two,
            names=self._names,
            allow=partial(self._allow, account),
            ledger=self._ledger,
        )
