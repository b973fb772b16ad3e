"""The passes of 20 good accounts, alone and beside one with a dead token, one throttled and one whose server hangs."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from benchmarks import Row, compared, turns
from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon
from reconciler.simulator import Match, Platform, Route, Rule, create_app, sample_platform, serving
from reconciler.simulator.faults import Error, Hang

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping, Sequence

GOOD, DEVICES = 20, 20
ROUNDS, QUICK_ROUNDS = 40, 10
DEAD, HANGING, THROTTLED = BAD = ("a-dead", "a-hanging", "a-throttled")  # first in every queue
LATENCY_SECONDS = 0.02
ENDED_SECONDS = 60.0


class Fleet:
    """A daemon with its accounts and its platform; ``url`` is where it listens, ``good`` names the good accounts.

    ``more`` are settings besides; ``ready`` hears of the daemon when it has begun.
    """

    def __init__(
        self,
        name: str,
        bad: Sequence[str],
        more: Mapping[str, str] = MappingProxyType({}),
        ready: Callable[[Daemon], None] | None = None,
    ) -> None:
        self.name = name
        self.bad = bad
        self._more, self._ready = more, ready
        self.good = [f"{name}-{number:02}" for number in range(GOOD)]
        self.url = ""
        self.waiting: set[str] = set()
        self.ended = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Fleet]:
        """Give it while its daemon runs."""
        users = (*self.bad, *self.good)
        platform = sample_platform(users, devices=DEVICES, subscribed=1, only_pcc=True)
        platform.set_options(latency=LATENCY_SECONDS)
        platform.set_faults(
            Rule(Hang(), match=Match(route=Route.LIST, user=HANGING)),
            Rule(Error("1314"), match=Match(route=Route.LIST, user=THROTTLED)),
        )
        with tempfile.TemporaryDirectory() as folder:
            async with serving(create_app(platform)) as base_url:
                given = {**_given(platform, users, base_url, Path(folder)), **self._more}
                ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
                daemon = Daemon(settings.load(given), ready=ready.set_result)
                self.wait_for_all()
                running = asyncio.create_task(daemon.run())
                self.url = await ready
                if self._ready is not None:
                    self._ready(daemon)
                await self.all_ended()
                yield self
                daemon.stop()
                await running

    def wait_for_all(self) -> None:
        """Begin to wait for the end of a pass of each good account."""
        self.waiting = set(self.good)
        self.ended.clear()

    def pass_ended(self, account: str) -> None:
        """Take note of the end of a pass."""
        self.waiting.discard(account)
        if not self.waiting:
            self.ended.set()

    async def all_ended(self) -> None:
        """Wait until each of them has ended."""
        async with asyncio.timeout(ENDED_SECONDS):
            await self.ended.wait()

    async def round(self, http: httpx.AsyncClient) -> float:
        """Ask for a pass of every account, and return how many seconds the last of the good ones took to its end."""
        await asyncio.gather(*(_reconcile(http, self.url, account) for account in self.bad))
        self.wait_for_all()
        began = time.perf_counter()
        await asyncio.gather(*(_reconcile(http, self.url, account) for account in self.good))
        await self.all_ended()
        return time.perf_counter() - began


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure both in turns, in one process, so that whatever else the machine does falls on both alike."""
    pairs = asyncio.run(_measured(QUICK_ROUNDS if quick else ROUNDS))
    yield compared(f"{GOOD} passes beside {len(BAD)} bad accounts", pairs, "s", "alone")


async def _measured(rounds: int) -> list[tuple[float, float]]:
    """Return what a round took beside bad accounts and without them, pair by pair."""
    fleets: list[Fleet] = [Fleet("beside", BAD), Fleet("alone", ())]
    seconds: dict[str, list[float]] = {fleet.name: [] for fleet in fleets}
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, noting(fleets)])
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=ENDED_SECONDS))
        for fleet in fleets:
            await stack.enter_async_context(fleet.running())
        for order in turns(rounds):
            for place in order:
                fleet = fleets[place]
                seconds[fleet.name].append(await fleet.round(http))
    structlog.reset_defaults()
    return list(zip(seconds["beside"], seconds["alone"], strict=True))


def noting(
    fleets: Sequence[Fleet],
) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Return a step of the log that takes note of passes and prints nothing."""

    def note(
        _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if event["event"] == "pass.completed":
            for fleet in fleets:
                fleet.pass_ended(event["account"])
        raise structlog.DropEvent

    return note


async def _reconcile(http: httpx.AsyncClient, url: str, account: str) -> None:
    answer = await http.post(f"{url}/api/v1/reconcile", params={"account": account}, json={})
    answer.raise_for_status()


def _given(platform: Platform, users: Sequence[str], base_url: str, folder: Path) -> dict[str, str]:
    """Write texts and credentials of all users, and return the settings of their daemon."""
    world = platform.world
    (folder / "texts").mkdir()
    (folder / "credentials").mkdir()
    for name in users:
        user = world.user(name)
        listed = ", ".join(f'"{device}"' for device in user.devices)
        (folder / "texts" / f"{name}.toml").write_text(
            f"version = 1\n[accounts.{name}]\ndevices = [{listed}]\n"
        )
        (folder / "credentials" / f"{name}.refresh_token").write_text(f"{user.refresh_token}\n")
        if name == DEAD:
            world.revoke_refresh(user)
    return {
        "PCC_DESIRED_STATE": str(folder / "texts"),
        "PCC_STATE_DIR": str(folder / "state"),
        "PCC_CREDENTIALS_DIR": str(folder / "credentials"),
        "PCC_BASE_URL": base_url,
        "PCC_TOKEN_URL": f"{base_url}/emp/v2/token",
        "PCC_COUNTRY": "KR",
        "PCC_SERVICE_ID": world.service.id,
        "PCC_SERVICE_KEY": world.service.key,
        "PCC_CLIENT_ID": world.service.client_id,
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_SHUTDOWN_GRACE": "1s",
    }
