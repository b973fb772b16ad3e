"""A daemon and LG's platform, simulated, talking real HTTP on loopback, for tests of the whole.

Tests wait for conditions, with a deadline that only a defect reaches, and assert nothing about time.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from reconciler.runtime import settings
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.daemon import Daemon, Process
from reconciler.runtime.environment import Environment
from reconciler.simulator import (
    Match,
    Platform,
    Record,
    Route,
    Rule,
    create_app,
    sample_platform,
    serving,
)

DEADLINE_SECONDS = 100.0
CHANGES = (Route.SUBSCRIBE, Route.UNSUBSCRIBE)


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"it never came to be: {what or condition}"
        await asyncio.sleep(0.01)


async def eventually_true(
    condition: Callable[[], Awaitable[object]], what: str = "", *, within: float = DEADLINE_SECONDS
) -> None:
    """Wait until a condition that has to be asked for over HTTP holds; ``within`` is the longest wait in seconds."""
    end = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < end, f"it never came to be: {what or condition}"
        await asyncio.sleep(0.02)


def fleet(
    devices: int, *, subscribed: float = 0.0, users: Iterable[str] = ("default",), seed: int = 1
) -> Platform:
    """Return a platform on which each user has this many devices that PCC takes."""
    return sample_platform(
        tuple(users), devices=devices, subscribed=subscribed, only_pcc=True, seed=seed
    )


def owned(platform: Platform, user: str = "default") -> list[str]:
    """Return a user's devices in the order in which they were made."""
    return list(platform.world.user(user).devices)


def text(devices: Iterable[str], *lines: str) -> str:
    """Return a desired-state text of the account ``default``."""
    listed = "".join(f'  "{device}",\n' for device in devices)
    return "\n".join(["version = 1", *lines, f"devices = [\n{listed}]", ""])


def account_text(account: str, devices: Iterable[str], *lines: str) -> str:
    """Return a desired-state text of one named account."""
    listed = "".join(f'  "{device}",\n' for device in devices)
    return "\n".join(
        ["version = 1", *lines, f"[accounts.{account}]", f"devices = [\n{listed}]", ""]
    )


def write(path: Path, content: str) -> None:
    """Write a file in place, as ``cp`` and most editors do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def rename_over(path: Path, content: str) -> None:
    """Write a file beside and rename it over the old one, as careful editors and ``git`` do."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(content, encoding="utf-8")
    beside.replace(path)


class ConfigMap:
    """A folder as the kubelet mounts a ConfigMap: files are links to ``..data``, and that is a link it swaps."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._version = 0
        self.swap(files)
        for name in files:
            (folder / name).symlink_to(Path("..data") / name)

    def swap(self, files: Mapping[str, str]) -> None:
        """Put other contents in place of the present ones, all at once."""
        self._version += 1
        old = self._folder / "..data"
        before = old.resolve() if old.exists() else None
        made = self._folder / f"..2026_11_01_{self._version}"
        for name, content in files.items():
            write(made / name, content)
        link = self._folder / "..data_tmp"
        link.symlink_to(made.name)
        link.replace(old)
        if before is not None:
            for path in before.iterdir():
                path.unlink()
            before.rmdir()


class AheadClock(SystemClock):
    """The machine's time, and as much more as a test adds. ``wrong``: by so much the wall clock alone is wrong."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self.wrong = timedelta(0)

    def go_ahead(self, span: timedelta) -> None:
        """Let time pass at once."""
        self._ahead += span

    def now(self) -> datetime:
        """Return wall time."""
        return super().now() + self._ahead + self.wrong

    def steady(self) -> float:
        """Return seconds that never go back."""
        return super().steady() + self._ahead.total_seconds()


@dataclass(frozen=True)
class Sent:
    """One request as it left us, and what was in flight with the same token at that moment."""

    method: str
    path: str
    beside: tuple[str, ...]


class Wire(httpx.AsyncBaseTransport):
    """Real HTTP, with a note of each request at the moment it leaves. ``notes`` may hold what a test adds."""

    def __init__(self) -> None:
        self._inner = AiohttpTransport()
        self._in_flight: dict[str, list[str]] = {}
        self.notes: list[Sent | str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        beside = self._in_flight.setdefault(request.headers.get("authorization", ""), [])
        self.notes.append(Sent(request.method, request.url.path, tuple(beside)))
        beside.append(request.method)
        try:
            response = await self._inner.handle_async_request(request)
            await response.aread()
        finally:
            beside.remove(request.method)
        return response

    async def aclose(self) -> None:
        """Close connections."""
        await self._inner.aclose()


class Site:
    """One daemon, its files, and the platform it calls."""

    def __init__(self, folder: Path, platform: Platform, given: Mapping[str, str]) -> None:
        self.folder = folder
        self.file = folder / "desired-state.toml"
        self.platform = platform
        self.events: list[MutableMapping[str, Any]] = []
        self.base_url = ""
        self.daemon: Daemon | None = None
        self.given = dict(given)
        self.clock = AheadClock()
        self.transport: Wire | None = None
        self.http = httpx.AsyncClient(timeout=DEADLINE_SECONDS)
        self._running: asyncio.Task[None] | None = None
        self._wire = AsyncExitStack()
        self.shares_time(platform)

    def shares_time(self, platform: Platform) -> None:
        """Let a platform have the time that the daemon's machine has: it lets both pass."""
        platform.now = lambda: self.clock.now().timestamp()

    async def plug(self) -> None:
        """Let the platform be reached, at the same address as before."""
        port = int(self.base_url.rpartition(":")[2]) if self.base_url else 0
        self.base_url = await self._wire.enter_async_context(
            serving(create_app(self.platform), port=port)
        )

    async def unplug(self) -> None:
        """Let connections to the platform be refused."""
        await self._wire.aclose()

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings as variables."""
        return environment(self.platform, self.base_url, self.folder) | self.given

    async def start(self) -> None:
        """Start the daemon and wait until it listens."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        around = Environment(clock=self.clock, transport=self.transport)
        self.daemon = Daemon(
            settings.load(self.environment), ready=ready.set_result, environment=around
        )
        self._running = asyncio.create_task(self.daemon.run())
        either: set[asyncio.Future[Any]] = {ready, self._running}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            await self.ended()
        self.http.base_url = httpx.URL(await ready)

    async def stop(self) -> None:
        """Stop the daemon and wait until it has ended."""
        if self.daemon is not None and self._running is not None:
            self.daemon.stop()
            await self._running
        self.daemon = self._running = None

    async def ended(self) -> None:
        """Wait until the daemon ends by itself, and raise what it ended with."""
        assert self._running is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.wait({self._running})
        running, self._running, self.daemon = self._running, None, None
        running.result()

    @property
    def process(self) -> Process:
        """Return the parts of the running daemon."""
        assert self.daemon is not None
        assert self.daemon.process is not None
        return self.daemon.process

    async def get(self, path: str) -> httpx.Response:
        """Ask the daemon."""
        return await self.http.get(path)

    async def metrics(self) -> str:
        """Return the metrics as Prometheus would read them."""
        return (await self.get("/metrics")).text

    def live(self, user: str = "default") -> set[str]:
        """Return the devices that are subscribed now."""
        return set(self.platform.subscribed(user))

    def calls(self, *routes: Route, user: str | None = None) -> list[Record]:
        """Return the requests that the platform got, by route."""
        return [
            one
            for one in self.platform.requests
            if one.route in routes and (user is None or one.user == user)
        ]

    def told(self, event: str, **facts: object) -> list[MutableMapping[str, Any]]:
        """Return the log lines of an event."""
        return [
            one for one in self.events if one["event"] == event and facts.items() <= one.items()
        ]

    async def passes(self, count: int = 1, user: str | None = None) -> None:
        """Wait until so many more lists were read, and what followed from all but the last of them is done."""
        before = len(self.calls(Route.LIST, user=user))
        await eventually(
            lambda: len(self.calls(Route.LIST, user=user)) >= before + count, "another pass"
        )

    async def has(self, devices: Iterable[str], user: str = "default") -> None:
        """Wait until exactly these devices are live."""
        wanted = set(devices)
        await eventually(lambda: self.live(user) == wanted, f"{len(wanted)} devices live")

    async def close(self) -> None:
        """Stop everything."""
        await self.stop()
        await self.http.aclose()
        await self.unplug()


def environment(platform: Platform, base_url: str, folder: Path) -> dict[str, str]:
    """Return the settings of a daemon that looks after the platform's user ``default``."""
    world = platform.world
    found = {
        "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
        "PCC_STATE_DIR": str(folder / "state"),
        "PCC_BASE_URL": base_url,
        "PCC_TOKEN_URL": f"{base_url}/emp/v2/token",
        "PCC_BACKEND_URL": world.service.backend_url,
        "PCC_COUNTRY": "KR",
        "PCC_SERVICE_ID": world.service.id,
        "PCC_SERVICE_KEY": world.service.key,
        "PCC_CLIENT_ID": world.service.client_id,
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_CONFIRM_DELAY": "1s",
        "PCC_SHUTDOWN_GRACE": "20s",
    }
    if "default" in world.users:
        found["PCC_REFRESH_TOKEN"] = world.user("default").refresh_token or ""
    return found


def credentials_folder(platform: Platform, folder: Path) -> Path:
    """Write the refresh token of every user to a folder, and return it."""
    for user in platform.world.users.values():
        write(folder / f"{user.name}.refresh_token", f"{user.refresh_token}\n")
    return folder


@asynccontextmanager
async def site(folder: Path, platform: Platform, **given: str) -> AsyncIterator[Site]:
    """Give a site whose daemon runs, with these settings beside the usual ones."""
    async with idle_site(folder, platform, **given) as one:
        await one.start()
        yield one


@asynccontextmanager
async def idle_site(folder: Path, platform: Platform, **given: str) -> AsyncIterator[Site]:
    """Give a site whose platform can be reached, and whose daemon is not started yet."""
    one = Site(folder, platform, given)
    try:
        with capture_logs(processors=[merge_contextvars]) as events:
            one.events = events
            await one.plug()
            yield one
            await one.stop()
    finally:
        await one.close()


def fault(effect: Any, route: Route, *, user: str | None = None, count: int | None = None) -> Rule:
    """Return a rule that spoils one kind of request."""
    return Rule(effect, match=Match(route=route, user=user), count=count)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def child_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process: ours, which tests keep clean, and the settings."""
    return {**os.environ, **given, "PYTHONUNBUFFERED": "1"}


async def command(one: Site, *arguments: str) -> tuple[int, str, str]:
    """Run a command against the daemon of a site and return its exit code, stdout and stderr."""
    listen = str(one.http.base_url).removeprefix("http://").rstrip("/")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reconciler",
        *arguments,
        env=child_environment({**one.environment, "PCC_LISTEN": listen}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
