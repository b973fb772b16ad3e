"""What we use of the HTTP libraries beyond their public names: a new version that changes it fails here first."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from collections import deque

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.helpers import strip_auth_from_url
from yarl import URL

from reconciler.pcc.pool import Pool
from reconciler.pcc.transport import PlainClient, open_http
from recording import Seen, answer, serving

DONE = answer()


async def test_aiohttp_still_sends_again_unless_its_private_switch_is_off() -> None:
    """Without ``_retry_connection = False`` a GET goes out twice; should that end, our switch can go too."""
    verbs: dict[bool, list[str]] = {True: [], False: []}
    for switch, seen in verbs.items():

        async def reply(one: Seen, _connection: int, seen: list[str] = seen) -> bytes | None:
            seen.append(one.method)
            return None if len(seen) == 2 else DONE

        async with serving(reply) as server, aiohttp.ClientSession() as session:
            assert session._retry_connection is True
            session._retry_connection = switch
            async with session.get(server.url):
                pass
            try:
                async with session.get(server.url):
                    pass
            except aiohttp.ServerDisconnectedError:
                assert not switch
    assert verbs == {True: ["GET"] * 3, False: ["GET"] * 2}


async def test_aiohttp_still_keeps_connections_where_the_pool_looks_for_them() -> None:
    """``_get`` gives a kept connection, and ``_conns`` holds pairs of a protocol and the moment of its return."""
    assert list(inspect.signature(aiohttp.TCPConnector._get).parameters) == [
        "self",
        "key",
        "traces",
    ]
    resolver: AbstractResolver = aiohttp.ThreadedResolver()
    async with serving(DONE) as server:
        pool = Pool(limit=1, resolver=resolver)
        async with aiohttp.ClientSession(connector=pool) as session:
            async with session.get(server.url) as got:
                await got.read()
            [(key, kept)] = pool._conns.items()
            assert (key.host, type(kept)) == ("127.0.0.1", deque)
            [(connection, since)] = kept
            assert connection.transport is not None
            assert 0 <= asyncio.get_running_loop().time() - since < 60


def test_aiohttp_still_takes_a_password_off_an_address() -> None:
    """The helper that gives a proxy's password as aiohttp wants it is not documented."""
    address, password = strip_auth_from_url(URL("http://user:p%40ss@proxy:3128"))
    assert (str(address), password and password.encode()) == (
        "http://proxy:3128",
        "Basic dXNlcjpwQHNz",
    )


def test_aiohttp_still_makes_requests_of_the_arguments_that_we_replace() -> None:
    """A request takes method and address by place, and proxy, its password and TLS by name."""
    parameters = inspect.signature(aiohttp.ClientRequest.__init__).parameters
    assert list(parameters)[:3] == ["self", "method", "url"]
    assert {"proxy", "proxy_auth", "ssl"} <= parameters.keys()


async def test_httpx_still_sends_each_request_through_send() -> None:
    """Every verb of httpx's client ends in ``send``, which is what we replace; an answer is free once it is read."""

    class Wire(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=request.method.encode())

    async with open_http(read_only=False, connections=1, transport=Wire()) as http:
        assert isinstance(http, PlainClient)
        assert inspect.getattr_static(http, "send") is inspect.getattr_static(PlainClient, "send")
        gc.disable()
        try:
            got = await http.post("http://127.0.0.1/", data={"a": "b"})
            assert got.content == b"POST"
            left = weakref.ref(got)
            del got
            assert left() is None
        finally:
            gc.enable()
