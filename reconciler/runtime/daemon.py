"""The running program: builds its components, starts its services, and stops them in good order.

Owns: the life of the process, from taking its port to its last line. Must not: hold a rule about devices, files or LG.

The ticker only wakes: it swallows cancellation and cannot wait for a job at its end. All waiting times are in the heap
of the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path

import structlog

from reconciler import __version__
from reconciler.api.app import Surface, create_app
from reconciler.api.local import ServerFolder
from reconciler.api.metrics_app import create_metrics_app
from reconciler.reporting import heartbeat
from reconciler.reporting.heartbeat import Punctuality
from reconciler.runtime.access import SettingsPolicy
from reconciler.runtime.clock_watch import ClockWatch
from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.environment import (
    Environment,
    Shared,
    ignore_address,
    no_lines_dropped,
)
from reconciler.runtime.health import ProcessHealth
from reconciler.runtime.heartbeat import Heartbeats
from reconciler.runtime.last_heard import LastHeard
from reconciler.runtime.operations import DaemonOperations
from reconciler.runtime.queries import DaemonQueries
from reconciler.runtime.replicas.replica import Replica, Terms
from reconciler.runtime.server import listening, metrics_port
from reconciler.runtime.services.credentials import CredentialFollower
from reconciler.runtime.services.errands import Errands
from reconciler.runtime.services.heartbeat import HeartbeatService
from reconciler.runtime.services.http import Front, HttpServer
from reconciler.runtime.services.passes import PassMaker
from reconciler.runtime.services.receivers import Receivers
from reconciler.runtime.services.registries import RegistryReader
from reconciler.runtime.services.replica import ReplicaService
from reconciler.runtime.services.source import SourceFollower
from reconciler.runtime.services.state import StateKeeper
from reconciler.runtime.services.ticks import Ticks
from reconciler.runtime.setting_values import Listen
from reconciler.runtime.settings import Settings
from reconciler.runtime.shared_operations import SharedOperations
from reconciler.runtime.supervisor import Service, Supervisor
from reconciler.runtime.ticker import SchedulerTicker, Ticker
from reconciler.runtime.wiring import Components, built
from reconciler.state import State, shared
from reconciler.telemetry.heard_metrics import AskedMetrics
from reconciler.telemetry.heartbeat_metrics import HeartbeatMetrics
from reconciler.telemetry.masking import Masking

TICK_SECONDS = 0.25
"""How late a due account may be noticed."""
LOOK_SECONDS = 1.0
"""How often the source is looked at where the kernel reports nothing: some file systems never do."""
FETCH_AGAIN_SECONDS = 5.0
"""How often the source is asked again after a reading that failed."""

log = structlog.get_logger()


class Daemon:
    """The running program. ``run`` returns after ``stop``, when everything has ended.

    ``ready`` is called with the address as soon as there is one. ``lines_dropped`` counts lost log lines.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        masking: Masking | None = None,
        environment: Environment | None = None,
        ticker: Callable[[], Ticker] = SchedulerTicker,
        front: Callable[[Listen], AbstractContextManager[Front]] = listening,
        ready: Callable[[str], None] = ignore_address,
        lines_dropped: Callable[[], int] = no_lines_dropped,
    ) -> None:
        self._settings = settings
        self._masking = masking or Masking()
        self._environment = environment or Environment()
        self._ticker = ticker
        self._front = front
        self._ready = ready
        self._lines_dropped = lines_dropped
        self._stopping = asyncio.Event()
        self.process: Process | None = None

    @property
    def stopping(self) -> bool:
        """Say whether the process is about to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Make no new call; let what is in flight end."""
        self._stopping.set()

    def read_again(self) -> None:
        """Read files and credentials at once, as after an edit. Before all is set up there is nothing to do."""
        if self.process is not None and not self.stopping:
            log.info("daemon.read_again")
            self.process.read_again()

    async def run(self) -> None:
        """Keep the live lists equal to the desired state until ``stop``."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            front = stack.enter_context(self._front(settings.listen))
            metrics_front = stack.enter_context(metrics_port(settings.metrics_listen))
            replica, state = await self._opened()
            if replica is not None:
                stack.callback(replica.coordination.close)
            stack.callback(state.close)
            dispatcher = Dispatcher(self._stopping)
            components = await stack.enter_async_context(
                built(
                    settings,
                    state,
                    host=dispatcher,
                    masking=self._masking,
                    environment=self._around(replica),
                    shared=None if replica is None else replica.source,
                    tenure=None if replica is None else replica.tenure,
                )
            )
            process = Process(
                components,
                dispatcher,
                front,
                self._ticker,
                self._lines_dropped,
                metrics_front=metrics_front,
                replica=replica,
            )
            await self._run(process, front.url)
        log.info("daemon.stopped")

    async def _opened(self) -> tuple[Replica | None, State]:
        """Open this process's own state, or the one that several replicas share, whether it answers yet or not."""
        settings, around = self._settings, self._environment
        found = around.shared() or await asyncio.to_thread(_shared, settings, around)
        if found is None:
            return None, self._open_state()
        terms = Terms(found.lease, settings.request_timeout.total_seconds(), settings.concurrency)
        replica = Replica(found.coordination, around.clock, found.boottime, around.unique, terms)
        state = State(
            found.storage,
            replica.clock,
            sure=False,
            tenure=replica.tenure,
            longest_call=settings.request_timeout,
        )
        return replica, state

    def _around(self, replica: Replica | None) -> Environment:
        """Return what is around the program: replicas have one clock."""
        if replica is None:
            return self._environment
        return replace(self._environment, clock=replica.clock)

    def _open_state(self) -> State:
        around = self._environment
        state = State.open(self._settings.state_place, around.clock, around.connect, sure=False)
        if state.set_aside is not None:
            log.error(
                "state.failed",
                error=f"it was damaged: kept as {state.set_aside}, and a new one was begun",
            )
        return state

    async def _run(self, process: Process, url: str) -> None:
        process.tick()
        log.info("daemon.started", version=__version__, mode=self._settings.mode, listen=url)
        for warning in (*self._settings.warnings, *self._settings.unreadable_secrets()):
            log.warning("settings.warning", message=warning)

        def started() -> None:
            self.process = process
            self._ready(url)

        await Supervisor(process.services).run(self._stopping, started)


class Process:
    """The parts of one running daemon, made when its components are. ``services`` are in the order of their end."""

    def __init__(
        self,
        components: Components,
        dispatcher: Dispatcher,
        front: Front,
        ticker: Callable[[], Ticker],
        lines_dropped: Callable[[], int],
        *,
        metrics_front: Front | None = None,
        replica: Replica | None = None,
    ) -> None:
        self.components = components
        self._lines_dropped = lines_dropped
        self._policy = SettingsPolicy(components.settings, components.masking, components.clock)
        self._clock_watch = ClockWatch(components.clocks)
        errands = Errands()
        passes = PassMaker(components)
        self.queue = passes.queue
        dispatcher.connect(components, self.queue)
        self._source = SourceFollower(components, self.queue, errands)
        self._credentials = CredentialFollower(components, dispatcher, errands)
        self._state = StateKeeper(components, dispatcher)
        self._health = ProcessHealth(components, self.queue, self._state)
        self.replica = (
            None
            if replica is None
            else ReplicaService(components, replica, passes, dispatcher, self._source)
        )
        self._operations = self._commands(dispatcher, replica)
        registries = RegistryReader(components, passes)
        ticks = Ticks(
            ticker,
            [
                (TICK_SECONDS, self.tick),
                (LOOK_SECONDS, self._source.poll),
                (LOOK_SECONDS, self._state.look),
                (FETCH_AGAIN_SECONDS, self._source.fetch_again),
            ],
        )
        surface = self.surface()
        self._queries = surface.queries
        http = HttpServer(front, create_app(surface))
        components.metrics.clock_ahead.set_function(components.clocks.seconds_ahead)
        self.services: tuple[Service, ...] = (
            ticks,
            errands,
            *self._receivers(),
            registries,
            *self._heartbeat(replica),
            passes,
            *(() if self.replica is None else (self.replica,)),
            self._source,
            self._credentials,
            self._state,
            http,
            *self._metrics(metrics_front),
        )

    def _commands(self, dispatcher: Dispatcher, replica: Replica | None) -> DaemonOperations:
        if replica is None:
            return DaemonOperations(self.components, dispatcher, self._source)
        return SharedOperations(self.components, dispatcher, self._source, replica)

    def _metrics(self, front: Front | None) -> Iterator[Service]:
        """Yield the service that shows metrics, where they have a port of their own."""
        if front is not None:
            components = self.components
            app = create_metrics_app(components.metrics.registry, components.clock.steady)
            yield HttpServer(front, app, "metrics")

    def _receivers(self) -> Iterator[Service]:
        """Yield the service that asks receivers, where there are any."""
        components = self.components
        if components.hearing is not None:
            policy = SettingsPolicy(components.settings, components.masking, components.clock)
            addresses = components.settings.events_from
            yield Receivers(
                addresses,
                policy.events_token,
                components.hearing,
                AskedMetrics(components.metrics.registry, addresses),
                components.clock,
                asking=components.environment.ask_receiver,
                beside=components.environment.apart,
            )

    def _heartbeat(self, replica: Replica | None) -> Iterator[Service]:
        """Yield the service that sends heartbeats, where there is an address for them."""
        components = self.components
        reader = components.settings.heartbeat_url_reader()
        if reader is not None:
            clock, settings = components.clock, components.settings
            yield HeartbeatService(
                Heartbeats(reader, settings.proxies, components.masking, clock),
                self._queries.status,
                Punctuality(heartbeat.limit(settings.interval), clock.now()),
                HeartbeatMetrics(components.metrics.registry),
                clock,
                member=replica,
            )

    def tick(self) -> None:
        """Queue what is due, and show what no pass shows. Last of all is the sign that the loop turns."""
        self.components.reconciler.keep_time()
        self.queue.tick()
        self.components.metrics.lines_dropped(self._lines_dropped())
        self._state.show()
        self._clock_watch.show()
        self._health.beat()

    def read_again(self) -> None:
        """Read files and credentials at once."""
        self._source.pushed()
        self._credentials.read_again()

    def surface(self) -> Surface:
        """Return what HTTP asks."""
        components = self.components
        heard = LastHeard(
            components.settings.events_from,
            self._policy.events_token,
            components.hearing,
            components.clock,
            components.environment.ask_receiver,
        )
        return Surface(
            metrics=components.metrics,
            queries=DaemonQueries(components, self.queue, self._health, heard, self.replica),
            operations=self._operations,
            health=self._health,
            policy=self._policy,
            folder=ServerFolder(_home(components.settings)),
            links=components.settings.links,
            steady=components.clock.steady,
        )


def _shared(settings: Settings, around: Environment) -> Shared | None:
    """Open the database that the settings name, if any. It need not answer yet."""
    found = shared(settings.state_place, around.clock)
    if found is None:
        return None
    storage, coordination = found
    return Shared(storage, coordination, settings.lease.total_seconds())


def _home(settings: Settings) -> Path:
    """Return the folder of the desired state, where that is in files of this machine."""
    path = settings.desired_state
    if settings.git_url is not None:
        return Path()
    return path if path.is_dir() else path.parent
