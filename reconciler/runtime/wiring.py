"""The composition root: what a process is made of, be it the daemon or a command that ends.

Owns: what is handed to whom. Must not: run anything, or hold a rule of its own about devices, files or LG.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from reconciler.controller.dependencies import Dependencies, PassObserver
from reconciler.controller.hearing import Hearing
from reconciler.controller.informer import Informer
from reconciler.controller.reconciler import Reconciler
from reconciler.controller.registries import Registries
from reconciler.controller.shared_source import SharedSource
from reconciler.controller.tenure import Alone, Tenure
from reconciler.core.acceptance import Claims
from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.model import AccountName
from reconciler.pcc.client import ROUTES
from reconciler.pcc.clients import Clients
from reconciler.pcc.codes import CODES
from reconciler.pcc.credential_store import CredentialStore
from reconciler.pcc.quota import HOUR, Learned
from reconciler.pcc.transport import open_http
from reconciler.runtime.environment import Environment
from reconciler.runtime.replicas.ledger import ReplicaLedger
from reconciler.runtime.setting_values import Mode
from reconciler.runtime.settings import Settings
from reconciler.runtime.source import SETTING, opened
from reconciler.source import FileSource, Source
from reconciler.state import History, Quotas, State
from reconciler.telemetry.heard_metrics import HeardMetrics
from reconciler.telemetry.masking import Masking
from reconciler.telemetry.metrics import Metrics
from reconciler.telemetry.rule_metrics import RuleMetrics

REGISTRIES_AT_ONCE = 4
"""The number of LG's registries that are read at the same time, beside all that passes do."""


class Host:
    """Who runs the components. This one never stops, and does not follow what changes: for commands that end."""

    def stopping(self) -> bool:
        """Say whether no new call is to be made."""
        return False

    def accounts_changed(self, accounts: Iterable[AccountName]) -> None:
        """Hear which accounts have another revision in force, are new, or left."""

    def wake(self, accounts: Iterable[AccountName]) -> None:
        """Hear which accounts need a pass because of another account's pass."""


@dataclass(frozen=True, slots=True)
class Components:
    """What a process is made of. One-shot commands use the same components as the daemon."""

    settings: Settings
    clock: Clock
    clocks: TwoClocks
    state: State
    metrics: Metrics
    source: Source
    informer: Informer
    credentials: CredentialStore
    clients: Clients
    reconciler: Reconciler
    masking: Masking
    tenure: Tenure
    environment: Environment
    registries: Registries = field(default_factory=Registries)
    hearing: Hearing | None = None

    def follow_credentials(self) -> frozenset[AccountName]:
        """Bring clients in step with the accounts in force; return the accounts whose credentials may have changed."""
        changed = self.clients.follow(self._countries())
        self._limit(self.informer.accepted.accounts)
        self.masking.know(self.settings.secrets())
        return changed

    def follow_accounts(self, accounts: Iterable[AccountName]) -> frozenset[AccountName]:
        """Do the same for the accounts that another revision changed: the cost of an edit does not grow with others.

        Credentials are read only where an account is new, has left or is in another country.
        """
        if not self.clients.serves(self._countries()):
            return self.follow_credentials()
        self._limit(accounts)
        return frozenset()

    def _countries(self) -> Mapping[AccountName, str | None]:
        return {
            account: one.desired.country for account, one in self.informer.accepted.accounts.items()
        }

    def _limit(self, accounts: Iterable[AccountName]) -> None:
        for account in accounts:
            policy = self.informer.accepted.accounts[account].desired.policy
            self.clients.limit(account, policy.calls_per_hour)


@asynccontextmanager
async def built(
    settings: Settings,
    state: State,
    *,
    keeps: bool = True,
    read_only: bool = False,
    host: Host | None = None,
    masking: Masking | None = None,
    environment: Environment | None = None,
    observer: PassObserver | None = None,
    shared: SharedSource | None = None,
    tenure: Tenure | None = None,
) -> AsyncIterator[Components]:
    """Give the components of a process, and close what has to be closed.

    ``read_only``: only GET can leave it. Without ``keeps`` revisions are not remembered in ``state``. ``shared`` and
    ``tenure`` are there where other replicas work on some of the accounts.
    """
    builder = _Builder(
        settings,
        state,
        host or Host(),
        masking or Masking(),
        environment or Environment(),
        tenure or Alone(),
        shared,
    )
    async with builder.clients(read_only=read_only) as clients:
        with opened(settings, lasting=not read_only, files=builder.files) as source:
            yield builder.components(clients, source, keeps=keeps, observer=observer)


class _Builder:
    """Makes the components of one process."""

    def __init__(  # noqa: PLR0917 - what a process is made of
        self,
        settings: Settings,
        state: State,
        host: Host,
        masking: Masking,
        environment: Environment,
        tenure: Tenure,
        shared: SharedSource | None,
    ) -> None:
        self._tenure, self._shared = tenure, shared
        self._settings, self._state, self._host = settings, state, host
        self._masking, self._environment = masking, environment
        self._clock = environment.clock
        self._clocks = TwoClocks(self._clock)
        self._metrics = _metrics(settings)
        self._credentials = CredentialStore(
            settings.shared_credentials(), settings.credentials_dir, wall=environment.file_time
        )
        self._claims = Claims()
        self._observing = settings.mode is Mode.OBSERVE
        self._hearing = self._heard()
        self._registries = Registries()
        RuleMetrics(
            self._metrics.registry, self._registries, per_account=settings.metrics_per_account
        )
        self.files = partial(
            FileSource,
            named_by=SETTING,
            watch=environment.watch,
            look=environment.look,
            file_time=environment.file_time,
            steady=environment.clock.steady,
        )
        state.keep_time(self._clocks)

    @asynccontextmanager
    async def clients(self, *, read_only: bool) -> AsyncIterator[Clients]:
        """Give the clients of LG, which share one pool of connections."""
        settings, around = self._settings, self._environment
        timeout_seconds = settings.request_timeout.total_seconds()
        http = open_http(
            read_only=read_only or self._observing,
            connections=settings.workers * (settings.concurrency + 1) + REGISTRIES_AT_ONCE,
            transport=around.transport,
            timeout_seconds=timeout_seconds,
        )
        async with http:
            yield Clients(
                http,
                self._credentials,
                self._metrics,
                timeout_seconds=timeout_seconds,
                clock=self._clock,
                learned=self._learned,
                masking=self._masking,
                watch=around.watch,
                unique=around.unique,
                two_clocks=self._clocks,
                names=self._state.names,
                allow=self._tenure.allow_call,
                refusal=self._tenure.refusal,
                ledger=None if self._shared is None else ReplicaLedger(self._state, self._clock),
            )

    def components(
        self, clients: Clients, source: Source, *, keeps: bool, observer: PassObserver | None
    ) -> Components:
        """Return everything, put together."""
        informer = Informer(
            source,
            self._state.accounts,
            self._state.revisions,
            self._state.protections,
            self._metrics,
            environment=self._settings.environment,
            clock=self._clock,
            changed=self._host.accounts_changed,
            keeps=keeps,
            claims=self._claims,
            shared=self._shared,
            owned=self._tenure.owned,
            opened_windows=self._state.opened_windows,
        )
        return Components(
            settings=self._settings,
            clock=self._clock,
            clocks=self._clocks,
            state=self._state,
            metrics=self._metrics,
            source=source,
            informer=informer,
            credentials=self._credentials,
            clients=clients,
            reconciler=Reconciler(informer, clients, self._dependencies(observer)),
            hearing=self._hearing,
            masking=self._masking,
            tenure=self._tenure,
            environment=self._environment,
            registries=self._registries,
        )

    def _dependencies(self, observer: PassObserver | None) -> Dependencies:
        settings = self._settings
        return Dependencies(
            state=self._state,
            metrics=self._metrics,
            interval=settings.interval,
            concurrency=settings.concurrency,
            confirm_delay=settings.confirm_delay,
            observing=self._observing,
            clock=self._clock,
            two_clocks=self._clocks,
            random=self._environment.random,
            stopping=self._host.stopping,
            wake=self._host.wake,
            observer=observer,
            claims=self._claims,
            pass_id=self._pass_id,
            hearing=self._hearing,
            registries=self._registries,
            tenure=self._tenure,
        )

    def _heard(self) -> Hearing | None:
        """Return what takes events, where receivers are asked, with its metrics."""
        settings = self._settings
        if not settings.events_from:
            return None
        hearing = Hearing(
            self._claims, self._state.history, self._clock, self._host.wake, asyncio.to_thread
        )
        HeardMetrics(self._metrics.registry, hearing, per_account=settings.metrics_per_account)
        return hearing

    def _learned(self, account: AccountName) -> Learned:
        return known_quota(self._state.quotas, self._state.history, account, self._clock.now())

    def _pass_id(self) -> str:
        return self._environment.unique().hex[:12]


def _metrics(settings: Settings) -> Metrics:
    """Return metrics that show from the start what is known from the start."""
    metrics = Metrics(per_account=settings.metrics_per_account)
    metrics.platform(ROUTES.values(), CODES)
    metrics.mode(settings.mode)
    metrics.interval.set(settings.interval.total_seconds())
    return metrics


def known_quota(quotas: Quotas, history: History, account: AccountName, now: datetime) -> Learned:
    """Return what is known of an account's quota from before this process, however that one ended."""
    calls, limit = quotas.of(account)
    last_kept = datetime.fromtimestamp(max(calls, default=0.0), UTC)
    later = history.sent_after(account, max(last_kept, now - timedelta(seconds=HOUR)))
    return Learned((*calls, *(moment.timestamp() for moment in later)), limit)
