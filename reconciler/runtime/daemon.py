"""The running program: starts everything, ticks, hears what changes, and stops in good order.

Owns: the life of the process, from taking its port to its last line. Must not: hold a rule about devices, texts or LG.

APScheduler is the ticker and nothing else: its jobs only wake, because it swallows cancellation and cannot wait for a
job at its end. All waiting times live in the controller's heap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog
from starlette.types import ASGIApp

from reconciler import __version__
from reconciler.api.app import Surface, create_app
from reconciler.api.commands import Acting
from reconciler.api.local import seen_from
from reconciler.api.queries import Reading
from reconciler.api.webhook import Hook
from reconciler.controller.queue import Queue
from reconciler.core.acceptance import chosen
from reconciler.core.clock import TOLERATED
from reconciler.core.errors import ReconcilerError
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName, Pause
from reconciler.pcc.secret_files import SecretReader
from reconciler.reporting import StatusReport, queries, status_report
from reconciler.reporting.explain import Explanation
from reconciler.reporting.forecast import Calendar
from reconciler.reporting.preview import Proposal, Proposed, planned
from reconciler.runtime.environment import Environment
from reconciler.runtime.pushes import Pushes
from reconciler.runtime.server import listening
from reconciler.runtime.setting_values import Listen, Mode
from reconciler.runtime.settings import Settings
from reconciler.runtime.ticker import SchedulerTicker, Ticker
from reconciler.runtime.wiring import Components, built
from reconciler.source import FileSource
from reconciler.state import State
from reconciler.telemetry.masking import Masking

TICK_SECONDS = 0.25
"""How late a due account may be noticed."""
LOOK_SECONDS = 1.0
"""How often the source is looked at where the kernel says nothing: some file systems never do."""
FETCH_AGAIN_SECONDS = 5.0
"""How often a newest text that could not be had is asked for again."""
WEDGED_AFTER_SECONDS = 300.0
"""Work due for so long, or for three intervals, with nothing ended: not alive."""

log = structlog.get_logger()


class Front(Protocol):
    """Where HTTP comes in; ``url`` is its address. A simulation has one without a port."""

    url: str

    async def serve(self, app: ASGIApp) -> None:
        """Let the app answer until ``stop``."""

    def stop(self) -> None:
        """Let what is being answered end, and answer nothing more."""


class Daemon:
    """The running program. ``run`` returns when it was told to stop and everything has come to its end."""

    def __init__(
        self,
        settings: Settings,
        *,
        masking: Masking | None = None,
        environment: Environment | None = None,
        ticker: Callable[[], Ticker] = SchedulerTicker,
        front: Callable[[Listen], AbstractContextManager[Front]] = listening,
        ready: Callable[[str], None] = lambda _url: None,
        lines_dropped: Callable[[], int] = lambda: 0,
    ) -> None:
        self._settings = settings
        self._masking = masking or Masking()
        self._around = environment or Environment()
        self._clock = self._around.clock
        self._ticker = ticker
        self._front = front
        self._ready = ready
        self._lines_dropped = lines_dropped
        self._planning = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._broken = asyncio.Event()
        self._defect: Exception | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[None]] = set()
        self._calendar = Calendar()
        self._heartbeat = self._clock.steady()
        self._pushes = Pushes(self._refresh, lambda work: self._errand(work, "pushed"), self._clock.steady)
        self._trouble = ""
        self._clocks_differ = False
        self._state_opened = False
        self._state_due = asyncio.Event()
        self._running = False

    @property
    def stopping(self) -> bool:
        """Say whether the process is on its way to its end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Make no new call; let what is in flight end."""
        self._stopping.set()

    def read_again(self) -> None:
        """Read texts and credentials at once, as after an edit; before all is set up there is nothing to do."""
        if self._running and not self._stopping.is_set():
            log.info("daemon.read_again")
            self._pushed()
            if all(task.get_name() != "credentials" for task in self._errands):
                self._errand(self._look_at_credentials(), "credentials")

    async def run(self) -> None:
        """Keep the live lists equal to the file until ``stop``."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            front = stack.enter_context(self._front(settings.listen))
            state = State.open(settings.state_dir, self._clock, self._around.connect, sure=False)
            stack.callback(state.close)
            if state.set_aside is not None:
                log.error("state.failed", error=f"it was damaged: kept as {state.set_aside}, and a fresh one begun")
            parts = await stack.enter_async_context(
                built(
                    settings,
                    state,
                    masking=self._masking,
                    environment=self._around,
                    stopping=self._stopping.is_set,
                    told=self._told,
                    wake=self._wake,
                )
            )
            self._parts = parts
            self._controller = Queue(
                self._pass,
                workers=settings.workers,
                clock=self._clock,
                degraded=parts.reconciler.accounts.degraded,
                heard_at=parts.clients.last_call_at,
            )
            await self._work(parts, front)
        log.info("daemon.stopped")

    async def _work(self, parts: Components, front: Front) -> None:
        parts.metrics.queue_depth.set_function(lambda: self._controller.depth)  # when asked: ticks may be what fails
        parts.metrics.queue_oldest.set_function(lambda: self._controller.oldest)
        parts.metrics.clock_ahead.set_function(parts.two_clocks.seconds_ahead)
        self._tick()
        log.info("daemon.started", version=__version__, mode=self._settings.mode, listen=front.url)
        for warning in self._settings.warnings:
            log.warning("settings.warning", message=warning)
        workers = self._spawn(self._controller.run(), "controller")
        self._spawn(front.serve(create_app(self._surface(parts))), "http")
        self._spawn(self._follow_source(parts), "source")
        self._spawn(self._follow_credentials(parts), "credentials")
        self._spawn(self._follow_state(parts), "state")
        ticker = self._ticker()
        try:
            ticker.every(TICK_SECONDS, self._guarded(self._tick))
            ticker.every(LOOK_SECONDS, self._guarded(self._look))
            ticker.every(LOOK_SECONDS, self._state_due.set)
            ticker.every(FETCH_AGAIN_SECONDS, self._guarded(self._fetch_again))
            self._running = True
            self._ready(front.url)
            await self._stopped_or_broken()
        finally:
            ticker.stop()
            await self._end(workers, front)

    async def _stopped_or_broken(self) -> None:
        """Wait for ``stop``. Work that should be eternal and is not ends the process with its error: never silent."""
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        broken = asyncio.create_task(self._broken.wait(), name="broken")
        try:
            done, _ = await asyncio.wait({stop, broken, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also where whoever runs us gives up
            stop.cancel()
            broken.cancel()
        if self._defect is not None:
            raise self._defect
        for task in done & self._tasks:
            task.result()
            raise ReconcilerError(f"the task {task.get_name()} ended by itself")

    async def _end(self, workers: asyncio.Task[None], front: Front) -> None:
        """Let passes end within the grace, then break off what is left."""
        self._stopping.set()
        self._pushes.stop()
        self._controller.stop()
        grace = self._settings.shutdown_grace.total_seconds()
        _, late = await asyncio.wait({workers}, timeout=grace)
        if late:
            log.warning("daemon.grace_over", seconds=grace)
        front.stop()
        for task in (*late, *self._errands, *(task for task in self._tasks if task.get_name() != "http")):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._errands, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Begin work that only ``stop`` ends."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task

    def _errand(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin work that ends by itself."""
        task = asyncio.create_task(work, name=name)
        self._errands.add(task)
        task.add_done_callback(self._errand_done)

    def _errand_done(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._break(error)

    def _guarded(self, call: Callable[[], None]) -> Callable[[], None]:
        """Return ``call`` for a ticker: what it raises ends the process, where a scheduler would go on without it."""

        def guarded() -> None:
            try:
                call()
            except Exception as error:  # noqa: BLE001 - raised again where the process waits for its end
                self._break(error)

        return guarded

    def _break(self, error: Exception) -> None:
        self._defect = self._defect or error
        self._broken.set()

    async def _pass(self, account: AccountName) -> timedelta | None:
        """Make one pass. Of an account that has left, its last one can have left figures behind."""
        try:
            return await self._parts.reconciler.reconcile(account)
        finally:
            if self._parts.informer.current(account) is None:
                self._parts.metrics.leave(account)

    async def _follow_source(self, parts: Components) -> None:
        await parts.informer.begin()
        async for _ in parts.source.wakes():
            await self._refresh()

    async def _refresh(self) -> None:
        """Read what may be an edit. A repository is waited for, and that takes no passes' time."""
        with self._controller.quiet() if self._parts.source.kind == FileSource.kind else nullcontext():
            await self._parts.informer.refresh()

    async def _follow_credentials(self, parts: Components) -> None:
        async for _ in parts.clients.changes():
            await self._look_at_credentials()

    async def _look_at_credentials(self) -> None:
        self._credentials_changed(await self._parts.clients.look())

    def _credentials_changed(self, changed: Iterable[AccountName]) -> None:
        """Let accounts with other credentials try at once."""
        for account in changed:
            self._parts.reconciler.accounts.resume(account)
        self._controller.wake(sorted(changed), first=True)

    def _told(self, accounts: Iterable[AccountName]) -> None:
        """Take the news of the intake: accounts with another text, or that came or went."""
        parts, names = self._parts, sorted(accounts)
        for account in names:
            if parts.informer.current(account) is not None:
                parts.metrics.enter(account)
            else:
                parts.metrics.leave(account)
        self._credentials_changed(parts.follow_texts(names))
        self._controller.wake(names, first=True)

    def _tick(self) -> None:
        """Queue what is due, and show what no pass shows. Last of all is the sign that the loop turns."""
        self._parts.reconciler.keep_time()
        self._controller.tick()
        self._parts.metrics.lines_dropped(self._lines_dropped())
        self._show_state()
        self._show_clock()
        self._heartbeat = self._clock.steady()

    def _show_clock(self) -> None:
        """Say once when this machine's clock and LG's begin to differ, and once when they agree again."""
        ahead = self._parts.two_clocks.ahead
        before, self._clocks_differ = self._clocks_differ, abs(ahead) > TOLERATED
        if self._clocks_differ and not before:
            log.warning("clock.differs", ahead_seconds=round(ahead.total_seconds()))
        elif before and not self._clocks_differ:
            log.info("clock.agrees")

    def _show_state(self) -> None:
        state = self._parts.state
        self._state_opened = self._state_opened or state.writable
        self._parts.metrics.state_writable.set(state.writable)
        before, self._trouble = self._trouble, state.trouble
        notices = state.notices()
        for notice in notices:
            log.error("state.failed", error=notice)
        if self._trouble and self._trouble not in {before, *notices}:
            log.error("state.failed", error=self._trouble)
        elif before and not self._trouble:
            log.info("state.restored")
            self._controller.wake(sorted(self._parts.informer.accepted.accounts))  # what was held for it need not wait

    async def _follow_state(self, parts: Components) -> None:
        """Write what waits, and see to it that the state's file is there: apart from all else, as disks may hang."""
        while True:
            await self._state_due.wait()
            self._state_due.clear()
            await asyncio.to_thread(parts.state.look)

    def _look(self) -> None:
        """Read again if the source changed unnoticed."""
        informer, source = self._parts.informer, self._parts.source

        async def look() -> None:
            if await asyncio.to_thread(source.poll):
                await self._refresh()
            else:
                await informer.settle()

        if not informer.reading and not self._errands:
            self._errand(look(), "look")

    def _fetch_again(self) -> None:
        """Read again if there was no newest text to be had, and the source does not come back to that by itself."""
        informer = self._parts.informer
        if informer.trouble and not self._parts.source.persistent and not informer.reading and not self._errands:
            self._errand(self._refresh(), "fetch again")

    def _pushed(self) -> None:
        """Read the source soon; one reading under way is followed by one more, however many ask for it."""
        self._pushes.ask()

    def _pushed_again(self) -> None:
        """Do the same for a call that came before; it may be repeated by somebody who recorded it."""
        self._pushes.ask(repeated=True)

    def _surface(self, parts: Components) -> Surface:
        return Surface(
            metrics=parts.metrics,
            status=partial(self._status, parts),
            overview=partial(self._overview, parts),
            live=self._wedged,
            ready=lambda: self._not_ready(parts),
            acting=self._acting() if self._settings.acting_allowed else None,
            hook=self._hook(),
            reading=self._reading(parts),
            holds=parts.informer.holds,
            steady=self._clock.steady,
            local=seen_from(self._home()),
        )

    def _home(self) -> Path:
        """Return the folder of the texts, where they are files of this machine."""
        path = self._settings.desired_state
        if self._settings.git_url is not None:
            return Path()
        return path if path.is_dir() else path.parent

    def _reading(self, parts: Components) -> Reading:
        """Return what answers people's questions: from disk, so in worker threads, and explanations one at a time."""
        one_at_a_time = asyncio.Lock()

        async def explain(device: str, account: str | None) -> queries.DeviceExplanation:
            async with one_at_a_time:
                return await asyncio.to_thread(queries.explain, self._known(parts), device, account)

        async def story(account: str, device: str) -> Explanation:
            async with one_at_a_time:
                return await asyncio.to_thread(queries.device, self._known(parts), account, device)

        async def account(name: str) -> queries.AccountDetail:
            return await asyncio.to_thread(queries.account, self._known(parts), name)

        async def history(asked: Mapping[str, str]) -> queries.Page:
            known = self._known(parts)
            return await asyncio.to_thread(queries.history, known, queries.wanted(asked, known.now))

        return Reading(account, story, explain, history)

    def _known(self, parts: Components) -> queries.Knowledge:
        """Return what is known at this moment, as values that a thread may look at."""
        now, accepted = self._clock.now(), parts.informer.accepted
        due = {account: self._controller.next_due(account) for account in accepted.accounts}
        return queries.Knowledge(
            now=now,
            accepted=accepted,
            state=parts.state,
            kept=parts.state.kept_texts,
            statuses=parts.reconciler.accounts.statuses,
            passes={account: now + timedelta(seconds=span) for account, span in due.items() if span is not None},
            observing=self._settings.mode is Mode.OBSERVE,
            platforms=parts.reconciler.accounts.platforms,
            claims=parts.informer.claims,
        )

    def _acting(self) -> Acting:
        return Acting(self._listen_token, self._reconcile, self._pause, self._plan)

    def _listen_token(self) -> str | None:
        """Return the token that calls that act have to show, if any."""
        reader = self._settings.listen_token_reader()
        return None if reader is None else self._read(reader)

    def _hook(self) -> Hook | None:
        """Return what a forge's webhook wakes, if there is one."""
        reader = self._settings.webhook_secret_reader()
        return None if reader is None else Hook(lambda: self._read(reader), self._pushed, self._pushed_again)

    def _read(self, reader: SecretReader) -> str:
        """Return a secret as it is now; one that cannot be read lets nobody in."""
        secret = reader.read()
        if isinstance(secret, str):
            raise ReconcilerError(secret)
        self._masking.hold(reader.name, frozenset({secret.get_secret_value()}), self._clock.steady())
        return secret.get_secret_value()

    async def _reconcile(self, account: AccountName | None) -> list[AccountName]:
        """Make a pass soon, by a person's wish: nothing waits any more, and the credential in use is the right one."""
        parts, names = self._parts, self._named(account)
        for name in names:
            await asyncio.to_thread(parts.state.person_agrees, name)
            parts.reconciler.accounts.resume(name)
        self._controller.wake(names, first=True)
        return names

    async def _pause(
        self, account: AccountName | None, pause: Pause, span: timedelta | None, reason: str
    ) -> list[AccountName]:
        """Set the brake for a while, or take it off; passes under way stop before their next call."""
        parts, names, now = self._parts, self._named(account), self._clock.now()
        if pause is not Pause.NONE and (not span or not reason.strip()):
            raise ReconcilerError("a pause needs an end and a reason: for (like 2h) and reason")
        brake = None if pause is Pause.NONE or span is None else PauseOverride(pause, now + span, reason.strip())
        await asyncio.to_thread(parts.state.pause, account, brake, now)
        if brake is None:
            log.info("pause.ended", account=account)
        else:
            log.warning("pause.set", account=account, pause=pause, until=brake.until, reason=brake.reason)
        self._controller.wake(names, first=True)
        return names

    async def _plan(self, proposal: Proposal) -> Proposed:
        """Plan proposed files on what is known here, one proposal after the other: a large one takes memory."""
        parts = self._parts
        async with self._planning:
            return await planned(
                proposal,
                parts.informer.accepted,
                parts.reconciler.previews.preview,
                environment=self._settings.environment,
            )

    def _wake(self, accounts: Iterable[AccountName]) -> None:
        """Take the wish of one account's pass that others have one soon."""
        self._controller.wake(accounts)

    def _named(self, account: AccountName | None) -> list[AccountName]:
        return chosen(None if account is None else [account], sorted(self._parts.informer.accepted.accounts))

    async def _status(self, parts: Components) -> StatusReport:
        """Return where everything stands."""
        return await asyncio.to_thread(self._stood(parts, self._known(parts)))

    async def _overview(self, parts: Components) -> queries.Overview:
        """Return what the page shows."""
        known = self._known(parts)
        stood = self._stood(parts, known)
        return await asyncio.to_thread(lambda: queries.overview(known, stood()))

    def _stood(self, parts: Components, known: queries.Knowledge) -> Callable[[], StatusReport]:
        """Return what tells where everything stood at this moment: for a worker thread, as it counts long lists."""
        informer, trouble, stalled = parts.informer, parts.state.trouble, self._wedged()
        ahead = parts.two_clocks.ahead
        source, fetch_trouble, fetched_at = parts.source.kind, informer.trouble, informer.fetched_at

        def stood() -> StatusReport:
            return status_report(
                known.accepted,
                known.statuses,
                mode=self._settings.mode,
                source=source,
                trouble=fetch_trouble,
                fetched_at=fetched_at,
                passes=known.passes,
                now=known.now,
                state_trouble=trouble,
                stalled=stalled,
                ahead=ahead,
                brakes=parts.state.brakes(known.now),
                coming=self._calendar.coming(known.accepted.accounts, known.now),
            )

        return stood

    def _wedged(self) -> str:
        """Return why the process is not alive, or nothing: work is due or under way, and nothing comes of it."""
        patience = max(3 * self._settings.interval.total_seconds(), WEDGED_AFTER_SECONDS)
        controller, clients, now = self._controller, self._parts.clients, self._clock.steady()
        if now - self._heartbeat > patience:
            return "the ticker does not tick"
        for account, began in controller.under_way.items():
            if now - max(began, clients.last_call_at(account) or began) > patience:
                return f"account {account} is due, and its pass neither ended nor made a call"
        last = max(controller.last_ended, self._parts.metrics.last_call_at or 0.0)
        if controller.oldest > patience and now - last > patience:
            return "accounts are due, and no pass ended and no call was made"
        return ""

    def _not_ready(self, parts: Components) -> str:
        """Return why nothing can be expected yet: once open, a state that fails is an alert, not a reason to hide."""
        if not self._state_opened:
            return f"the state cannot be opened: {parts.state.trouble}"
        return "" if parts.informer.accepted.revision is not None else "no text is accepted yet"
