"""The simulated platform on a real port, alone or inside another program.

Owns: the server around the app, on loopback only; how it starts and ends; what ``pcc-reconciler simulate`` says and
keeps.
Must not: install signal handlers unless it is the program (``run``), or touch the logging of the program it runs in.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.simulator.app import ABORT, App, create_app
from reconciler.simulator.callbacks import Callbacks
from reconciler.simulator.control import PREFIX, WHAT
from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.faults import read_rules
from reconciler.simulator.platform import Options, Platform
from reconciler.simulator.sample import sample_platform
from reconciler.simulator.sender import Sender, Target
from reconciler.simulator.store import load, save

_SHOWN: Final = 10
_SAVE_EVERY: Final = 1.0


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """The options of ``pcc-reconciler simulate``.

    ``users``, ``devices``, ``subscribed`` and ``seed`` make the fleet of a new state; an existing state file
    replaces them. ``quota``, ``latency`` (seconds) and ``token_life`` (seconds) hold in any case where given.
    ``faults``: a JSON file with a fault plan. ``log_size``: how many requests are kept to look at. ``callback``: the
    address that events are sent to, ``callback_basic`` its ``user:password``, ``events_per_hour`` how many the whole
    fleet has.
    """

    listen: str = "127.0.0.1:9000"
    seed: int = 0
    users: tuple[str, ...] = ("default",)
    devices: int = 20
    subscribed: float = 0.0
    country: str = "KR"
    state: Path | None = None
    quota: int | None = None
    faults: Path | None = None
    latency: float | None = None
    token_life: float | None = None
    callback: str | None = None
    callback_basic: str | None = None
    events_per_hour: float | None = None
    log_size: int = 10_000


class _Config(uvicorn.Config):
    def configure_logging(self) -> None:
        """Leave the logging of the program around us as it is."""


class _Server(uvicorn.Server):
    """A server inside somebody else's loop: no signals, and it says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class _Protocol(H11Protocol):
    """HTTP/1.1 whose connection the app can break."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's own
        super().connection_made(transport)
        self.app_state = {**self.app_state, ABORT: transport.abort}
        self.access_log = False


@contextlib.asynccontextmanager
async def serving(app: App, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve the app in the running loop for as long as the block lasts, and give its base URL.

    ``port`` 0 takes a free one. Only loopback addresses are taken. Events are sent as long, too. At the end requests
    that hang are broken off, in both directions.
    """
    listener = _listen(host, port)
    config = _Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    app.start()
    serve = asyncio.create_task(server.serve([listener]), name="simulator")
    try:
        await server.listening.wait()
        shown = f"[{host}]" if ":" in host else host
        async with _sending(app.sender):
            yield f"http://{shown}:{listener.getsockname()[1]}"
    finally:
        app.stop()
        server.should_exit = True
        await serve


@contextlib.asynccontextmanager
async def _sending(sender: Sender | None) -> AsyncIterator[None]:
    """Send events for as long as the block lasts, where there is an address for them."""
    if sender is None:
        yield
        return
    work = asyncio.create_task(sender.run(), name="simulator events")
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def run(options: SimulatorOptions, *, say: Callable[[str], object] | None = None) -> None:
    """Run the simulator as a program of its own until SIGINT, SIGTERM or cancellation.

    ``say`` takes the text for people, by default standard error. A ``SimulatorError`` says what cannot be done.
    """
    host, port = parse_listen(options.listen)
    target = target_of(options)
    platform = build(options)
    sender = None if target is None else Sender(Callbacks(platform), target)
    speak = say or _say
    stop = asyncio.Event()
    async with serving(create_app(platform, sender), host, port) as base_url:
        with _signals(stop):
            speak(welcome(platform, base_url, options.state, target))
            if options.state is None:
                await stop.wait()
            else:
                await _keep(platform, options.state, stop)


def build(options: SimulatorOptions) -> Platform:
    """Return the platform that the options ask for, from its state file if there is one."""
    if options.state is not None and options.state.exists():
        world, kept = load(options.state)
        platform = Platform(seed=world.seed, options=kept, world=world, log_size=options.log_size)
    else:
        platform = sample_platform(
            options.users,
            devices=options.devices,
            subscribed=options.subscribed,
            country=options.country,
            seed=options.seed,
            options=Options(token_life=options.token_life)
            if options.token_life is not None
            else None,
            log_size=options.log_size,
        )
    given = {
        "quota": options.quota,
        "latency": options.latency,
        "token_life": options.token_life,
        "events_per_hour": options.events_per_hour,
    }
    platform.set_options(**{name: value for name, value in given.items() if value is not None})
    if options.faults is not None:
        try:
            text = options.faults.read_bytes()
        except OSError as error:
            raise SimulatorError(
                f"{options.faults}: the fault plan cannot be read: {error.strerror}"
            ) from error
        platform.set_faults(*read_rules(text))
    return platform


def target_of(options: SimulatorOptions) -> Target | None:
    """Return where events go, or None where there are none. What makes no sense without an address is refused."""
    if options.callback is None:
        if options.callback_basic is not None or options.events_per_hour is not None:
            raise SimulatorError("events need a callback address: give --callback URL too")
        return None
    return Target.of(options.callback, options.callback_basic)


def parse_listen(listen: str) -> tuple[str, int]:
    """Read ``HOST:PORT``; anything but a loopback host is refused."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or not int(port) <= 65535:  # noqa: PLR2004  the last port there is
        raise SimulatorError(f"{listen!r} is not HOST:PORT")
    host = host.removeprefix("[").removesuffix("]")
    _check_loopback(host)
    return host, int(port)


def welcome(
    platform: Platform, base_url: str, state: Path | None = None, target: Target | None = None
) -> str:
    """Return what a person needs to know to use a simulator that has just started."""
    service = platform.world.service
    lines = [
        f"This is {WHAT}.",
        "Every id, key and token here is made up.",
        "",
        f"  PCC_BASE_URL={base_url}",
        f"  PCC_TOKEN_URL={base_url}/emp/v2/token",
        f"  PCC_SERVICE_ID={service.id}",
        f"  PCC_SERVICE_KEY={service.key}",
        f"  PCC_CLIENT_ID={service.client_id}",
        f"  PCC_BACKEND_URL={service.backend_url}",
        *_settings_of_default(platform),
        "",
    ]
    users = list(platform.world.users.values())
    for user in users[:_SHOWN]:
        tokens = [
            token for token, expires in user.access_tokens.items() if expires > platform.now()
        ]
        counts = f"{len(user.devices)} devices, {len(user.subscriptions)} subscribed"
        lines += [
            f"user {user.name}: country {user.country or 'any'}, {counts}",
            f"  access token   {tokens[-1] if tokens else '(none that is good)'}",
            f"  refresh token  {user.refresh_token or '(none)'}",
        ]
    if len(users) > _SHOWN:
        lines.append(f"and {len(users) - _SHOWN} more users: GET {base_url}{PREFIX}/users")
    lines += ["", f"Look and change things: {base_url}{PREFIX}"]
    lines.append("State: in memory, gone at the end" if state is None else f"State: {state}")
    if target is not None:
        rate = platform.options.events_per_hour
        lines.append(f"Events: {rate:g} an hour, sent to {target.host}:{target.port}")
    return "\n".join(lines) + "\n"


def _settings_of_default(platform: Platform) -> list[str]:
    """Return the settings that speak for one user, who has to be called ``default``: others need files of their own."""
    user = platform.world.users.get("default")
    if user is None:
        return []
    given = {"PCC_COUNTRY": user.country, "PCC_REFRESH_TOKEN": user.refresh_token}
    return [f"  {name}={value}" for name, value in given.items() if value]


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to a loopback address."""
    _check_loopback(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; without that each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SimulatorError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def _check_loopback(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SimulatorError(f"the simulator listens on loopback addresses only, not on {host!r}")


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the program in order, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _keep(platform: Platform, path: Path, stop: asyncio.Event) -> None:
    """Write the state file soon after each change, and once more at the end."""
    kept = -1
    try:
        while not stop.is_set():
            if kept != platform.world.changes:
                kept = platform.world.changes
                save(platform, path)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SAVE_EVERY):
                    await stop.wait()
    finally:
        if kept != platform.world.changes:
            save(platform, path)


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
