"""Who comes in at the port: how many, for how long, and what that costs everybody else."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from structlog.testing import capture_logs

from reconciler.core.errors import ReconcilerError
from reconciler.runtime import server
from reconciler.runtime.server import (
    ANSWER_SECONDS,
    LAST_SECONDS,
    REQUEST_SECONDS,
    MakeSocket,
    Port,
    listening,
    metrics_port,
    most_connections,
)
from reconciler.runtime.setting_values import Listen
from scenarios import eventually

MOST = 10


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once, or never."""
    if scope["path"] == "/never":
        await receive()
        await asyncio.sleep(60)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(most: int = MOST, request_seconds: float = REQUEST_SECONDS) -> AsyncIterator[int]:
    """Serve the app on a free port, with room for so many."""
    with listening(Listen("127.0.0.1", 0)) as free:
        one = Port(free._listener, most, request_seconds)
        task = asyncio.create_task(one.serve(app))
        number = free._listener.getsockname()[1]
        await asyncio.sleep(0.05)
        yield number
        one.stop()
        await task


async def asked(number: int) -> int:
    """Ask once, over a connection of its own."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"http://127.0.0.1:{number}/", timeout=10)).status_code


async def came(number: int, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, say something, and stay."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(said)
    return reader, writer


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-",
        b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01 tls",
    ],
    ids=["nothing", "half a line", "half the headers", "no answer yet", "no http"],
)
async def test_a_crowd_does_not_keep_a_probe_out(said: bytes) -> None:
    """However many come and stay, whatever they say, who asks next is answered, and the log has one line of it."""
    with capture_logs() as lines:
        async with served() as number:
            crowd = [await came(number, said) for _ in range(5 * MOST)]
            for _ in range(5):
                assert await asked(number) == 200
            for _, writer in crowd:
                writer.close()
    assert [line["event"] for line in lines if line["event"] != "http.crowded"] == []
    assert len(lines) <= 1


class Loopback(socket.socket):
    """A socket that notes where it was to be bound, and is bound to this machine alone."""

    asked = ""
    one_family = False

    def bind(self, address: Any) -> None:
        """Note the address, and whether it is for one family alone."""
        self.asked = address[0]
        if self.family is socket.AF_INET6:
            self.one_family = bool(self.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        super().bind(("::1" if self.family is socket.AF_INET6 else "127.0.0.1", address[1]))


def without_ipv6(family: socket.AddressFamily, kind: socket.SocketKind, protocol: int) -> Loopback:
    """Make sockets as a kernel without IPv6 does."""
    if family is socket.AF_INET6:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
    return Loopback(family, kind, protocol)


@pytest.mark.parametrize("host", ["", "::"])
@pytest.mark.parametrize(("make", "address"), [(Loopback, "::"), (without_ipv6, "0.0.0.0")])  # noqa: S104 - compared
async def test_every_address_is_of_both_families_where_there_are_two(
    host: str, make: MakeSocket, address: str
) -> None:
    """Where every address is asked for, IPv6 and IPv4 get in, or IPv4 alone where the kernel has nothing else."""
    with listening(Listen(host, 0), make=make) as port:
        listener = port._listener
        assert isinstance(listener, Loopback)
        assert listener.asked == address
        assert not listener.one_family


async def test_no_other_trouble_is_taken_for_a_kernel_without_ipv6() -> None:
    """A port that is taken is refused, and is not tried again at the addresses of IPv4 alone."""
    with (
        listening(Listen("", 0), make=Loopback) as taken,
        pytest.raises(ReconcilerError, match="cannot listen on :"),
        listening(Listen("", taken._listener.getsockname()[1]), make=Loopback),
    ):
        pass


async def test_who_asks_goes_before_who_only_waits() -> None:
    """A request that is being answered is not cut off for the sake of connections that say nothing."""
    async with served() as number:
        reader, writer = await came(number, b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        silent = [await came(number, b"") for _ in range(3 * MOST)]
        await asyncio.sleep(0.1)
        assert not reader.at_eof()
        assert await asked(number) == 200
        for _, one in [(reader, writer), *silent]:
            one.close()


async def test_a_proxy_may_keep_its_connection_and_use_it_again() -> None:
    """After an answer a connection may stay silent for longer than a request may take, and is answered again."""
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(request_seconds=0.5) as number, asyncio.timeout(30):
        reader, writer = await came(number, whole)
        assert b"200 OK" in await reader.readuntil(b"ok")
        await asyncio.sleep(6)  # longer than servers commonly wait
        writer.write(whole)
        assert b"200 OK" in await reader.readuntil(b"ok")
        writer.close()


async def test_a_request_has_to_come_in_time() -> None:
    """Who says nothing, half a request, or half of the next one, is cut off; who goes on asking is not."""
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(request_seconds=0.5) as number:
        late = [
            await came(number, said) for said in (b"", b"GET / HTTP/1.1\r\n", whole + b"GET / HT")
        ]
        asking, writer = await came(number, b"")
        async with asyncio.timeout(10):
            for _ in range(5):
                writer.write(whole)
                assert b"200 OK" in await asking.readuntil(b"ok")
                await asyncio.sleep(0.4)
            for reader, _ in late:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await reader.readuntil(b"never")
        for _, one in [(asking, writer), *late]:
            one.close()


def test_a_connection_that_is_always_busy_is_not_late() -> None:
    """Each request has its own time, also where every look finds the next one under way; one alone has no more."""
    caller = server._Caller.__new__(server._Caller)
    caller.crowd = cast("Any", SimpleNamespace(request_seconds=REQUEST_SECONDS))
    for second in range(0, 1000, 50):
        caller.cycle = cast("Any", SimpleNamespace(response_complete=False))
        caller.look(float(second))
        assert not caller.late(float(second))
    for later, is_late in ((950 + ANSWER_SECONDS, False), (951 + ANSWER_SECONDS, True)):
        caller.look(later)
        assert caller.late(later) is is_late


async def test_an_answer_under_way_at_the_end_is_given() -> None:
    """For as long as whoever opened the port says, and not for the two seconds of a port that says nothing."""
    come, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        come.set()
        await go.wait()
        await app(scope, receive, send)

    with listening(Listen("127.0.0.1", 0), answer_seconds=30) as port:
        serving = asyncio.create_task(port.serve(slow))
        await eventually(lambda: port.is_open)
        asking = asyncio.create_task(asked(int(port.url.rpartition(":")[2])))
        await come.wait()
        port.stop()
        asyncio.get_running_loop().call_later(LAST_SECONDS + 0.5, go.set)
        assert await asking == 200
        await serving


@pytest.mark.parametrize("setting", ["PCC_METRICS_LISTEN", "PCC_RECEIVE_METRICS_LISTEN"])
async def test_a_taken_port_of_metrics_names_its_setting(setting: str) -> None:
    """Whoever starts the process hears what to change."""
    with listening(Listen("127.0.0.1", 0)) as taken:
        address = Listen("127.0.0.1", taken._listener.getsockname()[1])
        with (
            pytest.raises(ReconcilerError, match=f"^{setting}: cannot listen"),
            metrics_port(address, setting),
        ):
            pass


@contextmanager
def descriptors(most: int) -> Iterator[None]:
    """Let this process have only so many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_no_descriptor_for_the_next_is_told_once() -> None:
    """Where descriptors are used up otherwise, the loop does not spin, the log has one line, and it ends by itself."""
    used: list[socket.socket] = []
    with capture_logs() as lines:
        async with served(most=1000) as number:
            waiting = [socket.socket() for _ in range(20)]
            for one in waiting:
                one.settimeout(0)
            try:
                with descriptors(max(s.fileno() for s in waiting) + 20):
                    with suppress(OSError):
                        while True:
                            used.append(socket.socket())
                    for one in waiting:
                        one.connect_ex(("127.0.0.1", number))
                    await asyncio.sleep(0.7)
            finally:
                for one in (*used, *waiting):
                    one.close()
            await asyncio.sleep(0.3)
            assert await asked(number) == 200
    crowded = [line for line in lines if line["event"] == "http.crowded"]
    assert [line["error"] for line in crowded] == ["Too many open files"]
    assert lines == crowded


@pytest.mark.parametrize(("limit", "most"), [(20, 8), (100, 25), (1024, 256), (4096, 256)])
def test_a_share_of_the_descriptors_is_for_callers(limit: int, most: int) -> None:
    """A quarter of them, at least a few, and never more than enough."""
    with descriptors(limit):
        assert most_connections() == most
