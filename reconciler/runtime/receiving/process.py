"""The receiving process: takes its port, opens its spool, and runs its services until it is stopped.

Owns: the life of the process, and what is handed to whom. Must not: hold a rule about events.

It has to be up when LG calls. So nothing but the port and the spool can keep it from starting, and neither a faulty
file of the partner's nor a full disk ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial

import structlog

from reconciler import __version__
from reconciler.api.event_page import EventPage
from reconciler.api.metrics_app import create_metrics_app
from reconciler.api.receiver import COMMIT_SECONDS, Receiver
from reconciler.api.receiver_app import ReceiverSurface, create_receiver_app
from reconciler.core.errors import SpoolError
from reconciler.events.delivery import Delivery
from reconciler.events.envelope import Envelopes
from reconciler.events.logic import LogicInForce
from reconciler.events.model import Arrival, Receipt, Result
from reconciler.events.routing import SinkRouter
from reconciler.events.spool import Spool
from reconciler.runtime.directory import DesiredDirectory, DirectoryFollower
from reconciler.runtime.environment import Environment, ignore_address, no_lines_dropped
from reconciler.runtime.partner_files import Rules
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.receiving.files import RulesFollower
from reconciler.runtime.receiving.health import ReceiverHealth
from reconciler.runtime.receiving.journal import EventJournal
from reconciler.runtime.receiving.policy import ReceiverSettingsPolicy
from reconciler.runtime.receiving.rules import RulesInForce
from reconciler.runtime.receiving.sinks import SinkBuilder
from reconciler.runtime.receiving.spool_keeper import SpoolKeeper
from reconciler.runtime.server import listening, metrics_port, more_descriptors, most_connections
from reconciler.runtime.services.http import Front, HttpServer
from reconciler.runtime.setting_values import Listen
from reconciler.runtime.source import SETTING, opened
from reconciler.runtime.supervisor import Service, Supervisor
from reconciler.source import FileSource, Source
from reconciler.telemetry.masking import Masking
from reconciler.telemetry.receiver_metrics import ReceiverMetrics

MOST_CONNECTIONS = 1024
"""Connections at once: twice the number of requests that may be under way, so that the answer 503 gets through."""
SHARE = 2
"""One in this many descriptors is for callers, and one in this many connections may be under way."""
ANSWER_SECONDS = int(COMMIT_SECONDS) + 1
"""How long an answer that waits for its commit is waited for at the end."""

log = structlog.get_logger()


class ReceiverProcess:
    """The running program. ``run`` returns after ``stop``, when what was in hand is committed.

    ``ready`` is called with the address as soon as there is one. ``lines_dropped`` counts lost log lines.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        masking: Masking | None = None,
        environment: Environment | None = None,
        front: Callable[[Listen], AbstractContextManager[Front]] | None = None,
        ready: Callable[[str], None] = ignore_address,
        lines_dropped: Callable[[], int] = no_lines_dropped,
    ) -> None:
        self._settings = settings
        self._masking = masking or Masking()
        self._environment = environment or Environment()
        self._connections = MOST_CONNECTIONS
        self._front = front or self._listening
        self._ready = ready
        self._lines_dropped = lines_dropped
        self._stopping = asyncio.Event()
        self._parts: Parts | None = None
        self._refreshing: asyncio.Task[None] | None = None

    def _listening(self, listen: Listen) -> AbstractContextManager[Front]:
        """Take the port, with as many connections as this process can have descriptors for."""
        more_descriptors(SHARE * MOST_CONNECTIONS)
        self._connections = most_connections(MOST_CONNECTIONS, SHARE)
        return listening(
            listen,
            setting="PCC_RECEIVE_LISTEN",
            most=self._connections,
            answer_seconds=ANSWER_SECONDS,
        )

    @property
    def stopping(self) -> bool:
        """Say whether the process is about to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Take nothing new; commit what is in hand."""
        self._stopping.set()

    def read_again(self) -> None:
        """Read the desired state at once, as after an edit. The events file is looked at every second anyhow."""
        if self._parts is not None and not self.stopping:
            log.info("daemon.read_again")
            self._refreshing = asyncio.create_task(self._parts.directory.refresh())

    async def run(self) -> None:
        """Take what LG sends until ``stop``."""
        settings = self._settings
        with ExitStack() as stack:
            front = stack.enter_context(self._front(settings.receive_listen))
            metrics_front = stack.enter_context(
                metrics_port(settings.receive_metrics_listen, "PCC_RECEIVE_METRICS_LISTEN")
            )
            source = stack.enter_context(self._source())
            parts = Parts(settings, source, self._masking, self._environment)
            parts.receiver.allow(self._connections // SHARE)
            parts.metrics.lines_dropped(self._lines_dropped)
            stack.callback(parts.keeper.close)
            parts.keeper.begin()
            parts.files.begin()
            await self._serve(parts, front, metrics_front)
        log.info("receive.stopped")

    def _source(self) -> AbstractContextManager[Source]:
        """Return where the desired state comes from; this process only reads its names."""
        around = self._environment
        files = partial(
            FileSource,
            named_by=SETTING,
            watch=around.watch,
            look=around.look,
            file_time=around.file_time,
            steady=around.clock.steady,
        )
        return opened(self._settings, lasting=True, files=files)

    async def _serve(self, parts: Parts, front: Front, metrics_front: Front | None) -> None:
        log.info("receive.started", version=__version__, listen=front.url)
        for warning in self._settings.warnings:
            log.warning("settings.warning", message=warning)

        def started() -> None:
            self._parts = parts
            self._ready(front.url)

        await Supervisor(parts.services(front, metrics_front)).run(self._stopping, started)


class Parts:
    """What the process is made of."""

    def __init__(
        self,
        settings: ReceiverSettings,
        source: Source,
        masking: Masking,
        environment: Environment,
    ) -> None:
        clock = environment.clock
        self._steady = clock.steady
        self.metrics = ReceiverMetrics(settings.spool_limit)
        names, logic = DesiredDirectory(clock), LogicInForce()
        router = SinkRouter(names, logic)
        spool = Spool(settings.events_dir, clock, router, limit=settings.spool_limit)
        journal = EventJournal(self.metrics, names, logic, clock)
        self._delivery = Delivery(
            spool,
            Envelopes(names, logic, settings.source),
            SinkBuilder(settings.proxies, masking, clock),
            clock=clock,
            random=environment.random,
            watch=journal,
        )
        grace = settings.shutdown_grace.total_seconds()
        self._delivery.grace = min(self._delivery.grace, grace)
        enforcement = Enforcement(logic, router, self._delivery, self.metrics)
        rules = RulesInForce(spool, self.metrics, enforcement.enforce)
        self.directory = DirectoryFollower(source, names, spool, environment=settings.environment)
        self.files = RulesFollower(settings.events_config, rules)
        self.keeper = SpoolKeeper(spool, rules, self.metrics, clock)
        policy = ReceiverSettingsPolicy(settings, masking, clock)
        self.receiver = Receiver(GuardedInlet(self.keeper, spool), policy, journal, clock)
        self.app = create_receiver_app(
            ReceiverSurface(
                receiver=self.receiver,
                archive=spool,
                page=EventPage(spool, names, logic),
                registry=None if settings.receive_metrics_listen else self.metrics.registry,
                health=ReceiverHealth(self.keeper, [rules, self.directory], clock),
                policy=policy,
                now=clock.now,
                steady=clock.steady,
            )
        )

    def services(self, front: Front, metrics_front: Front | None) -> Sequence[Service]:
        """Return what runs, in the order in which it ends: first of all nothing new comes in."""
        scraped: list[Service] = []
        if metrics_front is not None:
            app = create_metrics_app(self.metrics.registry, self._steady)
            scraped.append(HttpServer(metrics_front, app, "metrics"))
        return (
            HttpServer(front, self.app),
            *scraped,
            self._delivery,
            self.directory,
            self.files,
            self.keeper,
        )


class Enforcement:
    """Hands accepted rules to everybody who obeys them."""

    def __init__(
        self,
        logic: LogicInForce,
        router: SinkRouter,
        delivery: Delivery,
        metrics: ReceiverMetrics,
    ) -> None:
        self._logic, self._router = logic, router
        self._delivery, self._metrics = delivery, metrics

    def enforce(self, rules: Rules) -> None:
        """Let these rules be in force from now on. Raises ``ReconcilerError`` where a sink cannot be made of them."""
        self._delivery.use(rules.config.sinks)
        self._metrics.sinks(rules.config.sinks, [result.value for result in Result])
        self._logic.enforce(rules.table)
        self._router.enforce(rules.config.sinks)


class GuardedInlet:
    """The spool's inlet, which refuses at once while the spool cannot be opened."""

    def __init__(self, keeper: SpoolKeeper, spool: Spool) -> None:
        self._keeper, self._spool = keeper, spool

    async def store(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Return after the commit that has all of them. Raises ``SpoolFull``, or ``SpoolError`` (disk, time-out)."""
        if not self._keeper.is_open:
            raise SpoolError("the spool is not open")
        return await self._spool.store(arrivals)
