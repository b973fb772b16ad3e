"""What goes over the wire: exactly what is documented, once, to the right host, and within one time limit."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import os
import re
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from urllib.parse import unquote

import aiohttp
import httpx
import pytest
from aiohttp import client_exceptions
from hypothesis import given, settings
from hypothesis import strategies as st

import wrong_clock
from reconciler.core.errors import Lost, Surprise, Unavailable
from reconciler.core.model import AccountName, DeviceId
from reconciler.pcc.client import Client
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.transport import LOST, TOKEN_REFRESH, WriteRefusedError, open_http
from reconciler.telemetry.metrics import Metrics
from recording import (
    ACCESS,
    SERVICE_ID,
    SERVICE_KEY,
    RawServer,
    Seen,
    StillClock,
    answer,
    credentials,
    listening,
    serving,
)

DONE = answer()
EMPTY = answer(b'{"messageId":"m","timestamp":"t","response":[]}')
DOCUMENTED = {
    *(
        "authorization",
        "x-country-code",
        "x-message-id",
        "x-service-id",
        "x-service-key",
        "content-type",
    ),
}
HARMLESS = {
    "host",
    "accept",
    "accept-encoding",
    "cache-control",
    "user-agent",
    "connection",
    "content-length",
}


def client(http: httpx.AsyncClient, url: str, seconds: float = 30.0, **changes: object) -> Client:
    """Return a client of one account that speaks to a server of the test."""
    own: Credentials = credentials(base_url=url, **changes)
    return Client(
        AccountName("seoul-hotel"),
        http,
        lambda: own,
        metrics=Metrics(),
        timeout_seconds=seconds,
        clock=StillClock(),
    )


def opened(*, read_only: bool = False, connections: int = 4) -> httpx.AsyncClient:
    """Return the HTTP client of a process."""
    return open_http(read_only=read_only, connections=connections)


def recorder(reply: bytes = DONE) -> AbstractAsyncContextManager[RawServer]:
    """Give a server that answers everything the same."""
    return serving(reply)


ODD = [
    "a:b",
    "a@b",
    "a+b",
    "a&b=c",
    "a;b",
    "a,b",
    "a~b",
    "a!b",
    "a*b",
    "a'b",
    "a(b)",
    "a$b",
    "a[b]",
    'a"b',
    "...",
    "a^b|c",
]


@pytest.mark.parametrize(
    "device", [*ODD, "7121f083d9df33c2", "HW1-0001", "ü-냉장고-🧊", "a<b>`{c}"]
)
async def test_an_id_is_percent_encoded_on_the_wire(device: str) -> None:
    """Whatever an id holds, the path has two segments and every reserved character of the id is escaped."""
    async with recorder() as server, opened() as http:
        one = client(http, server.url)
        await one.subscribe(DeviceId(device))
        await one.unsubscribe(DeviceId(device))
    for seen, method in zip(server.seen, ("POST", "DELETE"), strict=True):
        assert seen.method == method
        assert re.fullmatch(r"/pcc/([A-Za-z0-9._~-]|%[0-9A-F]{2})+", seen.target)
        assert unquote(seen.target.removeprefix("/pcc/")) == device


@settings(max_examples=30)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/?#%\\ "), min_size=1, max_size=12)
        .filter(str.isprintable)
        .filter(lambda text: text not in {".", ".."}),
        min_size=1,
        max_size=5,
    )
)
def test_every_id_that_a_text_may_hold_arrives_as_it_was_written(devices: list[str]) -> None:
    """No library on the way decodes, folds or resolves anything in the path."""

    async def send() -> list[Seen]:
        async with recorder() as server, opened() as http:
            one = client(http, server.url)
            for device in devices:
                await one.subscribe(DeviceId(device))
        return server.seen

    targets = [seen.target for seen in asyncio.run(send())]
    assert [unquote(target.removeprefix("/pcc/")) for target in targets] == devices
    assert all(re.fullmatch(r"/pcc/([A-Za-z0-9._~-]|%[0-9A-F]{2})+", target) for target in targets)


@pytest.mark.parametrize("device", ["", ".", ".."])
async def test_what_would_be_another_resource_is_never_sent(device: str) -> None:
    """An empty id or a dot segment might be taken for all devices, so no such call can be built."""
    async with recorder() as server, opened() as http:
        for change in (client(http, server.url).subscribe, client(http, server.url).unsubscribe):
            with pytest.raises(ValueError, match="device id"):
                await change(DeviceId(device))
    assert server.seen == []


async def test_a_call_has_the_documented_headers_and_no_body() -> None:
    """All six headers of LG's documents are there once, nothing else that means anything, and no content."""
    async with recorder(EMPTY) as server, opened() as http:
        one = client(http, server.url)
        await one.list_devices()
        await one.registered()
        await one.subscribe(DeviceId("a"))
        await one.unsubscribe(DeviceId("a"))
    assert [seen.line for seen in server.seen] == [
        *(
            "GET /pcc HTTP/1.1",
            "GET /devices HTTP/1.1",
            "POST /pcc/a HTTP/1.1",
            "DELETE /pcc/a HTTP/1.1",
        ),
    ]
    for seen in server.seen:
        names = {name.lower() for name, _ in seen.headers}
        assert names >= DOCUMENTED
        assert names - DOCUMENTED <= HARMLESS
        assert seen.body == b""
        assert seen.header("content-length") in {None, "0"}
        assert seen.header("authorization") == f"Bearer {ACCESS}"
        assert seen.header("x-country-code") == "KR"
        assert seen.header("x-service-id") == SERVICE_ID
        assert seen.header("x-service-key") == SERVICE_KEY
        assert seen.header("content-type") == "application/json"
        assert seen.header("cache-control") == "no-cache"
        assert re.fullmatch(r"[A-Za-z0-9_-]{22}", seen.header("x-message-id") or "")
    assert len({seen.header("x-message-id") for seen in server.seen}) == 4


async def test_a_path_in_the_base_address_is_kept() -> None:
    """A gateway in front of LG may have a path of its own."""
    async with recorder(EMPTY) as server, opened() as http:
        one = client(http, f"{server.url}/lg/v1")
        await one.list_devices()
        await one.subscribe(DeviceId("a:b"))
    assert [seen.target for seen in server.seen] == ["/lg/v1/pcc", "/lg/v1/pcc/a%3Ab"]


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_no_redirect_is_followed(status: str) -> None:
    """A redirect is an answer that nobody documented; the token goes nowhere else."""
    async with recorder(EMPTY) as elsewhere:
        moved = answer(b"", status, f"location: {elsewhere.url}/pcc")
        async with recorder(moved) as server, opened() as http:
            with pytest.raises(Surprise):
                await client(http, server.url).list_devices()
            with pytest.raises(Surprise):
                await client(http, server.url).subscribe(DeviceId("a"))
    assert (len(server.seen), elsewhere.seen) == (2, [])


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("GET", lambda one: one.list_devices()),
        ("POST", lambda one: one.subscribe(DeviceId("a"))),
        ("DELETE", lambda one: one.unsubscribe(DeviceId("a"))),
    ],
)
async def test_a_kept_connection_that_drops_is_not_used_to_send_again(
    verb: str, call: Callable[[Client], Awaitable[object]]
) -> None:
    """The library must not send a call twice behind our back: one message id arrives once, and we are told."""

    async def reply(_seen: Seen, _connection: int) -> bytes | None:
        return EMPTY if len(server.seen) == 1 else None

    async with serving(reply) as server, opened() as http:
        one = client(http, server.url)
        await one.list_devices()
        with pytest.raises(Unavailable) as caught:
            await call(one)
    assert [seen.method for seen in server.seen] == ["GET", verb]
    assert server.connections == 1
    assert caught.value.message_id == server.seen[1].header("x-message-id")


async def test_connections_are_kept_and_limited() -> None:
    """Many calls at once share as many connections as are allowed, and no more."""

    async def reply(_seen: Seen, _connection: int) -> bytes:
        await asyncio.sleep(0)
        return DONE

    async with serving(reply) as server, opened(connections=3) as http:
        one = client(http, server.url)
        await asyncio.gather(*(one.subscribe(DeviceId(f"d{number}")) for number in range(60)))
    assert len(server.seen) == 60
    assert server.most_open <= 3
    assert len({seen.header("x-message-id") for seen in server.seen}) == 60


async def test_a_connection_that_stays_open_is_kept() -> None:
    """Calls one after the other need one connection."""
    async with recorder() as server, opened() as http:
        one = client(http, server.url)
        for number in range(10):
            await one.subscribe(DeviceId(f"d{number}"))
    assert server.connections == 1


@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_server_that_closes_after_each_answer_costs_no_call(*, abruptly: bool) -> None:
    """It does not say that it closes; what was kept is looked at before it is used, and then nothing is kept."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[0])
        writer.write(DONE)
        await writer.drain()
        if abruptly:
            writer.transport.abort()

    async with listening(serve) as port, opened() as http:
        one = client(http, f"http://127.0.0.1:{port}")
        for number in range(40):
            await one.subscribe(DeviceId(f"d{number}"))
            await asyncio.sleep(0.002)  # the end of the connection takes its time to come
        await asyncio.gather(*(one.subscribe(DeviceId(f"e{number}")) for number in range(40)))
    assert seen == ["POST"] * 80


async def test_a_server_that_drops_a_kept_connection_is_given_new_ones_from_then_on() -> None:
    """The call that was lost is not sent again; those after it are not lost."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(DONE)
        await reader.readuntil(
            b"\r\n\r\n"
        )  # a second request on the same connection is never answered

    async with listening(serve) as port, opened() as http:
        one = client(http, f"http://127.0.0.1:{port}")
        ended = []
        for number in range(20):
            try:
                await one.subscribe(DeviceId(f"d{number}"))
                ended.append(True)
            except Unavailable:
                ended.append(False)
    assert ended == [True, False, *[True] * 18]


async def test_bytes_that_nobody_asked_for_end_a_kept_connection() -> None:
    """An answer that comes twice must not be taken for the answer to the next call."""
    second = answer(b'{"messageId":"m","response":[{"deviceId":"of-another"}]}')

    async def reply(_seen: Seen, _connection: int) -> bytes:
        return EMPTY + second

    async with serving(reply) as server, opened() as http:
        one = client(http, server.url)
        for _ in range(3):
            await asyncio.sleep(0.01)
            with suppress(Unavailable):
                assert (await one.list_devices()).devices == frozenset()


@pytest.mark.parametrize("read", [False, True])
async def test_bytes_that_come_to_an_idle_connection_answer_no_call(*, read: bool) -> None:
    """An answer that comes late, read already or not, is not taken for the answer to the next call."""
    late = answer(b'{"messageId":"m","response":[{"deviceId":"of-another"}]}')
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(EMPTY)

    async with listening(serve) as port, opened() as http:
        one = client(http, f"http://127.0.0.1:{port}")
        await one.list_devices()
        writers[0].write(late)
        if read:
            await asyncio.sleep(0.1)
        assert (await one.list_devices()).devices == frozenset()
    assert len(writers) == 2


@pytest.mark.parametrize("size", [9_000, 20_000, 31_000])
async def test_long_headers_are_read(size: int) -> None:
    """Gateways send more than the 8 KB that are usual."""
    async with (
        recorder(answer(b'{"messageId":"m"}', "200 OK", f"x-long: {'x' * size}")) as server,
        opened() as http,
    ):
        assert (await client(http, server.url).list_devices()).devices == frozenset()


@pytest.mark.parametrize(
    "headers", [[f"x-long: {'x' * 200_000}"], [f"x-{number}: x" for number in range(5000)]]
)
async def test_headers_without_an_end_are_told_as_what_they_are(headers: list[str]) -> None:
    """No status is told that nobody sent."""
    async with (
        recorder(answer(b'{"messageId":"m"}', "200 OK", *headers)) as server,
        opened() as http,
    ):
        with pytest.raises(Unavailable) as caught:
            await client(http, server.url).list_devices()
    assert "400" not in str(caught.value)
    assert "header" in str(caught.value)
    assert caught.value.status is None


async def test_cookies_are_not_kept() -> None:
    """All accounts share the HTTP client, so what one is given must not go out with another's call."""
    cookie = answer(b'{"messageId":"m"}', "200 OK", "set-cookie: session=1; path=/")
    async with recorder(cookie) as server, opened() as http:
        await client(http, server.url).list_devices()
        await client(http, server.url, access_token="another-token").list_devices()
    assert [seen.header("cookie") for seen in server.seen] == [None, None]


async def test_one_time_limit_is_around_the_whole_call() -> None:
    """A server that sends a byte now and then for ever is given up on, like one that says nothing."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async with listening(trickle) as port, opened() as http:
        with pytest.raises(Unavailable, match="no answer in time"):
            await client(http, f"http://127.0.0.1:{port}", seconds=0.2).list_devices()


@pytest.mark.parametrize(
    "bytes_sent",
    [
        *(
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"\x15\x03\x01\x00\x02",
            b"HTTP/1.1 abc\r\n\r\n",
        ),
        *(
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        ),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_whole_answer_is_unavailable(bytes_sent: bytes) -> None:
    """Connections that end early, other protocols and broken encodings are weather: try again later."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes_sent)

    async with listening(serve) as port, opened() as http:
        one = client(http, f"http://127.0.0.1:{port}")
        with pytest.raises(Unavailable):
            await one.list_devices()
        with pytest.raises(Unavailable):
            await one.subscribe(DeviceId("a"))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://a..b.example", "http://" + "a" * 70 + ".example", "x://h"]
)
async def test_a_host_that_cannot_be_reached_is_unavailable(url: str) -> None:
    """A refused connection and an impossible host name are told in the same way, and nothing leaks."""
    async with opened() as http:
        with pytest.raises(Unavailable):
            await client(http, url).list_devices()


async def test_a_compressed_answer_is_read() -> None:
    """A list of a million devices may come compressed."""
    body = gzip.compress(b'{"messageId":"m","response":[{"deviceId":"a"}]}')
    async with (
        recorder(answer(body, "200 OK", "content-encoding: gzip")) as server,
        opened() as http,
    ):
        assert (await client(http, server.url).list_devices()).devices == {"a"}


def exceptions_of(module: object) -> list[type[Exception]]:
    """Return every exception class that a module shows."""
    return [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Exception) and one is not Warning
    ]


def test_no_exception_of_the_libraries_is_unknown_to_us() -> None:
    """Each exception class of aiohttp and httpx that a request can raise is one that counts as a lost call."""
    never_raised_here = {
        *(aiohttp.WSMessageTypeError, client_exceptions.WSMessageTypeError),  # web sockets
        *(
            httpx.CookieConflict,
            httpx.StreamError,
            httpx.StreamConsumed,
            httpx.StreamClosed,
        ),  # misuse of the library
        *(httpx.ResponseNotRead, httpx.RequestNotRead),
    }
    known = {*exceptions_of(client_exceptions), *exceptions_of(httpx)} - never_raised_here
    assert len(known) > 30
    assert [one for one in known if not issubclass(one, LOST)] == []


async def test_a_read_only_process_sends_nothing_that_changes_anything() -> None:
    """The choke point lets GET and a token refresh pass, and stops everything else before the wire."""
    granted = answer(b'{"access_token":"access-token-2","expires_in":"3600"}')

    async def reply(seen: Seen, _connection: int) -> bytes:
        return granted if seen.target.endswith("/token") else EMPTY

    async with serving(reply) as server, opened(read_only=True) as http:
        one = client(
            *(http, server.url),
            access_token=None,
            refresh_token="refresh-token-1",
            token_url=f"{server.url}/emp/v2/token",
        )
        await one.list_devices()
        for change in (one.subscribe, one.unsubscribe):
            with pytest.raises(WriteRefusedError):
                await change(DeviceId("a"))
        for method in ("POST", "PUT", "PATCH", "DELETE", "get", "OPTIONS", "HEAD"):
            if method != "get":
                with pytest.raises(WriteRefusedError):
                    await http.request(method, f"{server.url}/pcc/a")
        await http.get(f"{server.url}/devices")
        await http.post(f"{server.url}/emp/v2/token", extensions={TOKEN_REFRESH: True})
    assert [(seen.method, seen.target) for seen in server.seen] == [
        *(
            ("POST", "/emp/v2/token"),
            ("GET", "/pcc"),
            ("GET", "/devices"),
            ("POST", "/emp/v2/token"),
        ),
    ]


async def test_proxies_of_the_environment_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With HTTP_PROXY calls go through it, byte for byte the same path; NO_PROXY names hosts that are spared."""
    async with recorder(EMPTY) as proxy, recorder(EMPTY) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://user:word@"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with opened() as http:
            await client(http, "http://lg.example.invalid:81").subscribe(DeviceId("a:b"))
            await client(http, server.url).list_devices()
        monkeypatch.delenv("NO_PROXY")
        async with opened() as http:
            await client(http, server.url).list_devices()
    assert [seen.target for seen in proxy.seen] == [
        "http://lg.example.invalid:81/pcc/a%3Ab",
        f"{server.url}/pcc",
    ]
    assert proxy.seen[0].header("host") == "lg.example.invalid:81"
    assert proxy.seen[0].header("proxy-authorization") == "Basic dXNlcjp3b3Jk"
    assert proxy.seen[0].header("authorization") == f"Bearer {ACCESS}"
    assert [seen.target for seen in server.seen] == ["/pcc"]


async def test_https_goes_through_the_proxy_as_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy sees the host and nothing else: no header of ours, no path."""
    async with recorder(answer(b"", "502 Bad Gateway")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with opened() as http:
            with pytest.raises(Unavailable):
                await client(http, "https://lg.example.invalid").list_devices()
    assert [seen.line for seen in proxy.seen] == ["CONNECT lg.example.invalid:443 HTTP/1.1"]
    assert not {name.lower() for name, _ in proxy.seen[0].headers} & DOCUMENTED


@pytest.mark.parametrize(
    "value", ["socks5://me:word-of-mine@127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1:8a"]
)
async def test_a_proxy_that_cannot_be_used_stops_the_call(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither key nor token goes around it, and the variable is named without its value."""
    async with recorder(EMPTY) as server:
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("ALL_PROXY", value)
        async with opened() as http:
            with pytest.raises(Unavailable, match="ALL_PROXY") as caught:
                await client(http, server.url).list_devices()
    assert server.seen == []
    assert "word-of-mine" not in str(caught.value)


async def test_a_password_file_of_the_user_is_no_concern_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An entry for LG's host in ~/.netrc neither replaces our token nor stops the call."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with recorder(EMPTY) as server, opened() as http:
        await client(http, server.url).list_devices()
    assert server.seen[0].header("authorization") == f"Bearer {ACCESS}"


@pytest.mark.system
async def test_a_certificate_of_nobody_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is verified: where nobody vouches for a certificate, no byte of a request goes out."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    names = ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    # The system's own openssl, with words of ours.
    subprocess.run(  # noqa: ASYNC221, S603
        [*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with serving(EMPTY, tls) as server:
        async with opened() as http:
            with pytest.raises(Unavailable, match="certificate"):
                await client(http, server.url).list_devices()
        assert server.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with opened() as http:
            assert (await client(http, server.url).list_devices()).devices == frozenset()
    assert len(server.seen) == 1


@pytest.mark.system
@pytest.mark.parametrize(("made", "words"), [("-2y", "expired"), ("+2y", "not yet valid")])
async def test_a_certificate_out_of_date_asks_for_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, words: str
) -> None:
    """A certificate that has expired or is not yet valid, by our clock, names the clock and not the address."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    names = ["-days", "30", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    environment = {**os.environ, **wrong_clock.since_start(made)}
    # The system's own openssl, with words of ours.
    subprocess.run(  # noqa: S603, ASYNC221
        [*command, *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
        env=environment,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(EMPTY, tls) as server, opened() as http:
        with pytest.raises(Unavailable, match=f"{words}.*clock right") as caught:
            await client(http, server.url).list_devices()
    assert caught.value.lost is Lost.DATES
    assert server.seen == []


async def test_a_refresh_is_the_documented_form() -> None:
    """EMP is asked by POST with a form: no service key, no token of the user in a header, no message id."""
    granted = answer(json.dumps({"access_token": "access-token-2", "expires_in": "3600"}).encode())

    async def reply(seen: Seen, _connection: int) -> bytes:
        return granted if seen.target == "/emp/v2/token" else EMPTY

    async with serving(reply) as server, opened() as http:
        one = client(
            *(http, server.url),
            access_token=None,
            refresh_token="refresh+token/1",
            token_url=f"{server.url}/emp/v2/token",
            backend_url="https://kr.example",
        )
        await one.list_devices()
    refresh, listed = server.seen
    assert refresh.method == "POST"
    assert refresh.header("content-type") == "application/x-www-form-urlencoded"
    assert sorted(refresh.body.decode().split("&")) == [
        "backend_url=https%3A%2F%2Fkr.example",
        "client_id=client-of-the-tests",
        "grant_type=refresh_token",
        "refresh_token=refresh%2Btoken%2F1",
    ]
    names = {name.lower() for name, _ in refresh.headers}
    assert names.isdisjoint(DOCUMENTED - {"content-type"})
    assert listed.header("authorization") == "Bearer access-token-2"
