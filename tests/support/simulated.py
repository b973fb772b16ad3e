"""A fleet on simulated time: our passes and LG's platform, simulated, on one clock and without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
from pydantic import SecretStr

from reconciler.controller.dependencies import Dependencies, PassObserver
from reconciler.controller.hearing import Hearing
from reconciler.controller.reconciler import Reconciler
from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.clock import TwoClocks
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Cause,
    Commit,
    Desired,
    Device,
    DeviceId,
    Policy,
    Revision,
)
from reconciler.core.protection import stated
from reconciler.core.status import PassReport
from reconciler.pcc.client import Client
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.quota import Quota
from reconciler.pcc.transport import ReadOnlyTransport
from reconciler.runtime.wiring import known_quota
from reconciler.simulator import Options, Platform, Record, Request, sample_platform
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics

YEAR = 365 * 86400.0
START = datetime(2026, 11, 1, tzinfo=UTC)
COMMIT = Commit(
    "0123456789abcdef0123456789abcdef01234567", "Kim <kim@example.invalid>", "Add wing B", START
)


class SimulatedClock:
    """Wall and steady time that a test moves by hand."""

    def __init__(self, wrong: timedelta = timedelta(0)) -> None:
        self.moment = START
        self.wrong = wrong

    def now(self) -> datetime:
        """Return the moment, as the wall clock has it."""
        return self.moment + self.wrong

    def steady(self) -> float:
        """Return the moment in seconds."""
        return self.moment.timestamp()

    def set_by(self, span: timedelta) -> None:
        """Set the wall clock wrong by so much more; steady time and LG's time stay."""
        self.wrong += span

    def pass_by(self, span: timedelta) -> None:
        """Let time pass."""
        self.moment += span


class SimulatedTransport(httpx.AsyncBaseTransport):
    """Hands requests to the simulated platform, and turns what cannot be answered into what a client would see."""

    def __init__(self, platform: Platform, clock: SimulatedClock) -> None:
        self._platform = platform
        self._clock = clock
        self.on_request: Callable[[httpx.Request], None] = lambda _request: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request; other tasks get their turn meanwhile, as they would on a network."""
        self.on_request(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.url.raw_path.decode()
        answer = self._platform.handle(
            Request(request.method, path, headers, await request.aread())
        )
        await asyncio.sleep(0)
        if answer.never:
            raise httpx.ReadTimeout("no answer", request=request)
        if answer.drop:
            raise httpx.ReadError("connection lost", request=request)
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)


class Fleet:
    """One account, its text, its passes and its platform. Change ``text``, make a ``reconcile``, look at ``live``."""

    def __init__(
        self,
        devices: int = 20,
        *,
        wanted: int | None = None,
        policy: Policy | None = None,
        state: State | None = None,
        observing: bool = False,
        concurrency: int = 4,
        seed: int = 0,
        options: Options | None = None,
        platform: Platform | None = None,
        clock: SimulatedClock | None = None,
        refreshing: bool = False,
        hears: bool = False,
        observer: PassObserver | None = None,
    ) -> None:
        self.clock = clock or SimulatedClock()
        self._refreshing = refreshing
        options = options or Options(token_life=YEAR)
        self.platform = platform or sample_platform(
            devices=devices, only_pcc=True, seed=seed, options=options, now=self.clock.steady
        )
        self.state = state or State.in_memory(self.clock)
        self.two_clocks = TwoClocks(self.clock)
        self.state.keep_time(self.two_clocks)
        self.metrics = Metrics()
        self.metrics.enter(DEFAULT_ACCOUNT)
        self.owned = sorted(DeviceId(one) for one in self.platform.world.user("default").devices)
        self.text: AccountRevision | None = None
        self._wanted: dict[AccountName, Desired] = {}
        self.stopping = False
        self.transport = SimulatedTransport(self.platform, self.clock)
        self.token = SecretStr(self.platform.issue_token("default"))
        self.client: Client | str = ""
        self.reach(ReadOnlyTransport(self.transport) if observing else self.transport)
        random = Random(seed)  # noqa: S311 - repeatable, and no secret
        self.claims = Claims()
        self.woken: list[AccountName] = []
        self.hearing = Hearing(
            self.claims, self.state.history, self.clock, self.woken.extend, at_once
        )
        means = Dependencies(
            state=self.state,
            metrics=self.metrics,
            interval=timedelta(minutes=10),
            concurrency=concurrency,
            confirm_delay=timedelta(seconds=30),
            observing=observing,
            clock=self.clock,
            two_clocks=self.two_clocks,
            random=random.random,
            stopping=lambda: self.stopping,
            blocking=at_once,
            claims=self.claims,
            hearing=self.hearing if hears else None,
            observer=observer,
        )
        self.reconciler = Reconciler(self, lambda _account: self.client, means)
        self.want(self.owned[:wanted], policy=policy)

    def reach(self, transport: httpx.AsyncBaseTransport) -> None:
        """Let calls go this way."""
        self.client = Client(
            DEFAULT_ACCOUNT,
            httpx.AsyncClient(transport=transport),
            self._credentials,
            metrics=self.metrics,
            timeout_seconds=15,
            quota=Quota(
                learned=known_quota(
                    self.state.quotas, self.state.history, DEFAULT_ACCOUNT, self.clock.now()
                )
            ),
            clock=self.clock,
            two_clocks=self.two_clocks,
        )

    def want(
        self,
        devices: Iterable[DeviceId],
        *,
        policy: Policy | None = None,
        described: Mapping[DeviceId, Device] | None = None,
        rejected: Cause | None = None,
        **more: Any,
    ) -> None:
        """Bring a text into force."""
        before = self.text.desired.policy if self.text else Policy()
        desired = Desired(
            DEFAULT_ACCOUNT, frozenset(devices), described or {}, policy or before, **more
        )
        if isinstance(self.client, Client):
            self.client.quota.follow(desired.policy.calls_per_hour)
        self.text = AccountRevision(
            desired, Revision(f"{len(desired.devices):064x}", COMMIT), rejected
        )
        self.state.protections.keep(stated(self._wanted, {DEFAULT_ACCOUNT: desired}))
        self._wanted = {DEFAULT_ACCOUNT: desired}
        self.state.accounts.desire(desired, self.text.revision, self.clock.now())
        self.claims.enforce({DEFAULT_ACCOUNT: self.text})

    async def reconcile(self, *, after: timedelta = timedelta(0)) -> PassReport:
        """Let time pass, make one pass and return what it came to."""
        self.clock.pass_by(after)
        self.due = await self.reconciler.reconcile(DEFAULT_ACCOUNT)
        ending = self.reconciler.accounts.statuses[DEFAULT_ACCOUNT].last
        assert ending is not None
        return ending

    due: timedelta | None = None

    @property
    def live(self) -> frozenset[str]:
        """Return what the platform has."""
        return self.platform.subscribed("default")

    def calls(self, *methods: str) -> list[Record]:
        """Return the requests that were made so far, with these methods or all."""
        return [one for one in self.platform.requests if not methods or one.method in methods]

    def sample(self, name: str, **labels: str) -> float | None:
        """Return the value of one metric of this account."""
        return self.metrics.registry.get_sample_value(name, {"account": "default", **labels})

    def current(self, account: AccountName) -> AccountRevision | None:
        """Return what is in force."""
        return self.text if account == DEFAULT_ACCOUNT else None

    def _credentials(self) -> Credentials:
        service = self.platform.world.service
        return Credentials(
            account=AccountName("default"),
            base_url="http://127.0.0.1:9",
            country="KR",
            service_id=SecretStr(service.id),
            service_key=SecretStr(service.key),
            client_id=service.client_id if self._refreshing else None,
            token_url="http://127.0.0.1:9/emp/v2/token" if self._refreshing else None,
            backend_url=service.backend_url if self._refreshing else None,
            access_token=None if self._refreshing else self.token,
            refresh_token=SecretStr(self.platform.world.user("default").refresh_token or "")
            if self._refreshing
            else None,
        )


async def at_once(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Do in place what the daemon hands to a thread."""
    return work(*arguments, **named)
