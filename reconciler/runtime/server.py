"""A port of this machine: who may come in, how many at once, and how long they may take.

Owns: taking the port, and the bounds on connections. Must not: know what is answered.

Connections cost descriptors, and without those no file is read and no call is made. So only a share of them is for
callers. Where more come, the one that has waited longest without a request makes room, so a probe still gets in. Who
does not say what it wants in time, or does not take its answer, is cut off. None of that makes a line for each caller.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from reconciler.core.errors import ReconcilerError
from reconciler.runtime.joined_writes import JoinedWrites
from reconciler.runtime.setting_values import Listen

MOST_CONNECTIONS = 256
"""The most connections there may be, however many descriptors there are."""
SHARE = 4
"""One in this many descriptors is for callers."""
FEWEST = 8
"""And never fewer than this."""
TOGETHER = 16
"""How many connections are taken in one turn of the loop: as many may for a moment be too many."""
REQUEST_SECONDS = 10.0
"""The first request has to be begun, and the headers of any request have to be complete, within this time."""
KEPT_SECONDS = 620
"""How long a connection may wait for its next request.

It has to be longer than any proxy keeps one. Otherwise the proxy may send a request into a connection that is closed
just then, and answer 502 to LG for an event that never arrived. Google's load balancers keep connections for 600 s and
ask for 620; the others keep them for about 60 s.
"""
ANSWER_SECONDS = 300.0
"""And all of it, body and answer, is over within this time."""
SCRAPERS = 16
"""The most connections of a port that has only metrics."""
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""How a system answers that has IPv6 switched off."""
LAST_SECONDS = 2
"""How long answers that are under way at the end are waited for."""
SHORT_SECONDS = 0.2
"""How long nobody is let in after there was no descriptor for the last."""
REPORTED_SECONDS = 60.0
"""How often the log may say that it is crowded."""

MakeSocket = Callable[[socket.AddressFamily, socket.SocketKind, int], socket.socket]
"""Makes a socket of a family, a kind and a protocol."""

log = structlog.get_logger()


class _Stage(IntEnum):
    """What a connection does, in the order in which they make room for others."""

    SILENT = 0
    SERVED = 1
    BUSY = 2


class _Caller(H11Protocol):
    """One connection. ``since`` is when it began to do what it does, ``seen`` the request it was last seen with."""

    crowd: _Crowd
    stage = _Stage.SILENT
    since = 0.0
    seen: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport, self.loop))
        self.since = self.loop.time()
        self.crowd.callers[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.callers.pop(self, None)
        super().connection_lost(exc)

    def look(self, now: float) -> None:
        """Find out what this connection does now."""
        stage = _Stage.SILENT
        if self.cycle is not None:
            if not self.cycle.response_complete:
                stage = _Stage.BUSY
            elif not self.conn.trailing_data[0]:  # else it has begun to send the next request
                stage = _Stage.SERVED
        if stage is not self.stage or self.cycle is not self.seen:
            self.stage, self.since, self.seen = stage, now, self.cycle

    def late(self, now: float) -> bool:
        """Say whether it takes longer than it may."""
        if self.stage is _Stage.SERVED:
            return False  # uvicorn closes it after KEPT_SECONDS
        limit = ANSWER_SECONDS if self.stage is _Stage.BUSY else self.crowd.request_seconds
        return now - self.since > limit


class _Crowd:
    """All connections of a port."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        most: int,
        request_seconds: float,
    ) -> None:
        self.request_seconds = request_seconds
        self.callers: dict[_Caller, None] = {}
        self._listener, self._protocol, self._most = listener, protocol, most
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[Any]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._cut_off = 0
        self._reported_at = -REPORTED_SECONDS
        listener.settimeout(0)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Let nobody in any more."""
        self._loop.remove_reader(self._listener)
        if self._again is not None:
            self._again.cancel()

    def sweep(self) -> None:
        """Cut off who takes too long."""
        now = self._loop.time()
        for caller in tuple(self.callers):
            caller.look(now)
            if caller.late(now):
                caller.transport.abort()

    def _accept(self) -> None:
        for _ in range(TOGETHER):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._out_of_descriptors(error)
                return
            connection.settimeout(0)
            if len(self.callers) + len(self._coming) >= self._most:
                self._make_room()
            task = self._loop.create_task(self._let_in(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _let_in(self, connection: socket.socket) -> None:
        with suppress(OSError):
            await self._loop.connect_accepted_socket(self._protocol, connection)

    def _make_room(self, error: str | None = None) -> None:
        """Close the connection that waited longest without a request; if all are in use, the oldest."""
        now = self._loop.time()
        for caller in self.callers:
            caller.look(now)
        staying = [caller for caller in self.callers if not caller.transport.is_closing()]
        first = min(staying, key=lambda caller: (caller.stage, caller.since), default=None)
        if first is not None:
            first.transport.abort()
            self._cut_off += 1
        if now - self._reported_at >= REPORTED_SECONDS:
            self._reported_at = now
            cut_off, self._cut_off = self._cut_off, 0
            log.warning(
                "http.crowded",
                connections=len(self.callers),
                most=self._most,
                cut_off=cut_off,
                error=error,
            )

    def _out_of_descriptors(self, error: OSError) -> None:
        """Give one back, and let nobody in for a moment: the loop would ask again and again."""
        self._make_room(error.strerror or str(error))
        self._loop.remove_reader(self._listener)
        self._again = self._loop.call_later(
            SHORT_SECONDS, self._loop.add_reader, self._listener, self._accept
        )


class Port:
    """A port of this machine, served by uvicorn inside our loop, without signals of its own."""

    def __init__(
        self,
        listener: socket.socket,
        most: int | None = None,
        request_seconds: float = REQUEST_SECONDS,
        answer_seconds: int = LAST_SECONDS,
    ) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._listener, self._most = listener, most or most_connections()
        self._request_seconds, self._last_seconds = request_seconds, answer_seconds
        self._server: _Server | None = None

    @property
    def is_open(self) -> bool:
        """Say whether callers are let in."""
        return self._server is not None and self._server.started

    async def serve(self, app: ASGIApp) -> None:
        """Let the app answer until ``stop``."""
        config = uvicorn.Config(
            app,
            http=_Caller,
            lifespan="off",
            log_config=None,
            log_level="error",  # a caller that speaks no HTTP is worth no line
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEPT_SECONDS,
            timeout_graceful_shutdown=self._last_seconds,
        )
        self._server = _Server(config, self._listener, self._most, self._request_seconds)
        await self._server.serve([])

    def stop(self) -> None:
        """Let what is being answered end, and answer nothing more."""
        if self._server is not None:
            self._server.end()


class _Server(uvicorn.Server):
    """Uvicorn without signals, with a crowd of ours, looking up once a second.

    Uvicorn alone does that ten times a second, even where nobody asks, and lets everybody in.
    """

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, most: int, request_seconds: float
    ) -> None:
        super().__init__(config)
        self._listener, self._most = listener, most
        self._request_seconds = request_seconds
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let what is being answered end, and answer nothing more."""
        self.should_exit = True
        self._ending.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door."""
        await super().startup(sockets)
        self._crowd = _Crowd(self._listener, self._caller, self._most, self._request_seconds)

    def _caller(self) -> asyncio.Protocol:
        caller = _Caller(self.config, self.server_state, self.lifespan.state)
        caller.crowd = self._crowd
        return caller

    async def main_loop(self) -> None:
        """Keep the date of answers right until the end, and cut off who takes too long."""
        while not await self.on_tick(0):
            self._crowd.sweep()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut the door, and let what is being answered end."""
        self._crowd.close()
        self._listener.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def most_connections(most: int = MOST_CONNECTIONS, share: int = SHARE) -> int:
    """Return how many connections this process can afford. One in ``share`` descriptors is for callers."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return most
    return max(FEWEST, min(most, descriptors // share))


def more_descriptors(wanted: int) -> None:
    """Raise this process's own limit of descriptors, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


@contextmanager
def listening(
    listen: Listen,
    *,
    setting: str = "PCC_LISTEN",
    most: int | None = None,
    answer_seconds: int = LAST_SECONDS,
    make: MakeSocket = socket.socket,
) -> Iterator[Port]:
    """Take the port before anything else: two daemons side by side, or a taken port, must end before the first call.

    ``setting`` names the port, ``most`` is the number of connections, and ``answer_seconds`` is how long answers that
    are under way at the end are waited for. ``make`` makes the socket.
    """
    try:
        listener = _listener(listen, make)
    except OSError as error:
        raise ReconcilerError(
            f"{setting}: cannot listen on {listen}: {error.strerror or error}"
        ) from error
    with listener:
        yield Port(listener, most, answer_seconds=answer_seconds)


def _listener(listen: Listen, make: MakeSocket) -> socket.socket:
    """Return a socket that listens. Raises ``OSError``.

    Every address means those of both families. A cluster may give pods IPv6 alone; a kernel may have none of it.
    """
    if not listen.everywhere:
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        return _bound(make, family, listen)
    try:
        return _bound(make, socket.AF_INET6, Listen("::", listen.port))
    except OSError as error:
        if error.errno not in NO_IPV6:
            raise
    every_address = Listen("0.0.0.0", listen.port)  # noqa: S104 - the operator asked for it
    return _bound(make, socket.AF_INET, every_address)


def _bound(make: MakeSocket, family: socket.AddressFamily, listen: Listen) -> socket.socket:
    # The protocol is named because asyncio turns off Nagle's algorithm only where it is.
    listener = make(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listen.everywhere:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((listen.host, listen.port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def metrics_port(
    listen: Listen | None, setting: str = "PCC_METRICS_LISTEN"
) -> Iterator[Port | None]:
    """Take the port that has only metrics, where there is to be one."""
    if listen is None:
        yield None
        return
    with listening(listen, setting=setting, most=SCRAPERS) as port:
        yield port
