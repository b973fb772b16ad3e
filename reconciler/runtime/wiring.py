"""The composition root: what a process is made of, be it the daemon or a command that ends.

Owns: what is handed to whom. Must not: run anything, or hold a rule of its own about devices, texts or LG.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from reconciler.controller.dependencies import Dependencies, PassObserver
from reconciler.controller.informer import Informer
from reconciler.controller.reconciler import Reconciler
from reconciler.core.acceptance import Claims
from reconciler.core.clock import TwoClocks
from reconciler.core.model import AccountName
from reconciler.pcc.client import ROUTES
from reconciler.pcc.clients import Clients
from reconciler.pcc.credential_store import CredentialStore
from reconciler.pcc.protocol import CODES
from reconciler.pcc.quota import HOUR, Learned
from reconciler.pcc.transport import open_http
from reconciler.runtime.environment import Environment
from reconciler.runtime.setting_values import Mode
from reconciler.runtime.settings import Settings
from reconciler.runtime.source import opened
from reconciler.source import FileSource, Source
from reconciler.state import State
from reconciler.telemetry.masking import Masking
from reconciler.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Components:
    """What a process is made of. One-shot commands use the same parts as the daemon."""

    settings: Settings
    state: State
    metrics: Metrics
    source: Source
    informer: Informer
    clients: Clients
    reconciler: Reconciler
    masking: Masking
    store: CredentialStore
    two_clocks: TwoClocks

    def follow_credentials(self) -> frozenset[AccountName]:
        """Bring clients in step with the accounts in force; return the accounts whose credentials may have changed."""
        texts = self.informer.accepted.accounts
        changed = self.clients.follow({account: text.desired.country for account, text in texts.items()})
        for account, text in texts.items():
            self.clients.limit(account, text.desired.policy.calls_per_hour)
        self.masking.know(self.settings.secrets())
        return changed

    def follow_texts(self, accounts: Iterable[AccountName]) -> frozenset[AccountName]:
        """Do that after another text came into force for some accounts; what an edit costs does not grow with others.

        Credentials are read only where an account is new, has left or is in another country.
        """
        texts = self.informer.accepted.accounts
        if not self.clients.serves({account: text.desired.country for account, text in texts.items()}):
            return self.follow_credentials()
        for account in accounts:
            self.clients.limit(account, texts[account].desired.policy.calls_per_hour)
        return frozenset()


@asynccontextmanager
async def built(
    settings: Settings,
    state: State,
    *,
    keeps: bool = True,
    read_only: bool = False,
    masking: Masking | None = None,
    environment: Environment | None = None,
    stopping: Callable[[], bool] = lambda: False,
    told: Callable[[Iterable[AccountName]], None] = lambda _accounts: None,
    wake: Callable[[Iterable[AccountName]], None] = lambda _accounts: None,
    observer: PassObserver | None = None,
) -> AsyncIterator[Components]:
    """Give the parts of a process, and close what has to be closed.

    ``read_only``: nothing but GET can leave it. Without ``keeps`` texts are not remembered in ``state``.
    """
    around, masking = environment or Environment(), masking or Masking()
    clock = around.clock
    two = TwoClocks(clock)
    state.keep_time(two)
    observing = settings.mode is Mode.OBSERVE
    metrics = _metrics(settings)
    store = CredentialStore(settings.shared_credentials(), settings.credentials_dir, wall=around.file_time)
    http = open_http(
        read_only=read_only or observing,
        connections=settings.workers * settings.concurrency + settings.workers,
        transport=around.transport,
        timeout_seconds=settings.request_timeout.total_seconds(),
    )
    clients = Clients(
        http,
        store,
        metrics,
        timeout_seconds=settings.request_timeout.total_seconds(),
        clock=clock,
        learned=lambda account: known_quota(state, account, clock.now()),
        masking=masking,
        watch=around.watch,
        unique=around.unique,
        two_clocks=two,
    )
    claims = Claims()
    means = Dependencies(
        state=state,
        metrics=metrics,
        interval=settings.interval,
        concurrency=settings.concurrency,
        confirm_delay=settings.confirm_delay,
        observing=observing,
        clock=clock,
        two_clocks=two,
        random=around.random,
        stopping=stopping,
        wake=wake,
        observer=observer,
        claims=claims,
        pass_id=lambda: around.unique().hex[:12],
    )
    files = partial(
        FileSource, watch=around.watch, look=around.look, file_time=around.file_time, steady=around.clock.steady
    )
    async with http:
        with opened(settings, lasting=not read_only, files=files) as source:
            informer = Informer(
                source,
                state,
                metrics,
                environment=settings.environment,
                clock=clock,
                told=told,
                keeps=keeps,
                claims=claims,
            )
            yield Components(
                settings=settings,
                state=state,
                metrics=metrics,
                source=source,
                informer=informer,
                clients=clients,
                reconciler=Reconciler(informer, clients, means),
                masking=masking,
                store=store,
                two_clocks=two,
            )


def _metrics(settings: Settings) -> Metrics:
    """Return metrics that say from the start what is known from the start."""
    metrics = Metrics(per_account=settings.metrics_per_account)
    metrics.platform(ROUTES.values(), CODES)
    metrics.mode(settings.mode)
    metrics.interval.set(settings.interval.total_seconds())
    return metrics


def known_quota(state: State, account: AccountName, now: datetime) -> Learned:
    """Return what is known of an account's quota from before this process, however that one ended."""
    calls, limit = state.quota(account)
    last_kept = datetime.fromtimestamp(max(calls, default=0.0), UTC)
    later = state.sent_after(account, max(last_kept, now - timedelta(seconds=HOUR)))
    return Learned((*calls, *(moment.timestamp() for moment in later)), limit)
