"""Why no answer came, in words that a person understands, whichever library failed."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import BadStatusLine, RemoteDisconnected
from threading import Thread
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from reconciler.core.unanswered import CLOSED, FAILED, LATE, NO_HTTP, NO_NAME, NOBODY, unanswered

PROGRAM = re.compile(r"Errno|0x|\('|Error\b|ssl:|SSLCert|=")


def nobody() -> str:
    """Return an address on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def saying(words: bytes) -> Iterator[str]:
    """Give the address of a server that says the same words on each connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.recv(65536)
                        connection.sendall(words)

        Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


async def by_httpx(url: str) -> None:
    """Ask as the HTTP sink does."""
    async with httpx.AsyncClient(timeout=5) as client:
        await client.get(url)


async def by_aiohttp(url: str) -> None:
    """Ask as calls to LG do."""
    async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=5) as client:
        await client.get(url)


async def by_the_standard_library(url: str) -> None:
    """Ask as commands ask the daemon."""
    await asyncio.to_thread(lambda: urlopen(url, timeout=5).close())  # noqa: S310 - loopback


ASKING = [by_httpx, by_aiohttp, by_the_standard_library]


async def words_of(ask: Callable[[str], Awaitable[None]], url: str) -> str:
    """Return the words for the error of a call."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
        await ask(url)
    words = unanswered(caught.value)
    assert not PROGRAM.search(words), words
    return words


@pytest.mark.parametrize("ask", ASKING)
async def test_a_port_without_a_listener_is_said_the_same_by_all(
    ask: Callable[[str], Awaitable[None]],
) -> None:
    """Whoever asks, the person reads that nothing listens there."""
    assert await words_of(ask, f"http://{nobody()}/") == NOBODY


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize(
    ("said", "words"), [(b"", CLOSED), (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", NO_HTTP)]
)
async def test_a_server_that_speaks_something_else_is_said_in_words(
    ask: Callable[[str], Awaitable[None]], said: bytes, words: str
) -> None:
    """A connection that ends, or that speaks another protocol, has a sentence without a Python value."""
    with saying(said) as address:
        found = await words_of(ask, f"http://{address}/")
    assert found == words or (said and ask is by_aiohttp)  # its parser has words of its own


@pytest.mark.parametrize("ask", ASKING)
async def test_a_server_without_tls_is_said_in_words(ask: Callable[[str], Awaitable[None]]) -> None:
    """Plain HTTP where TLS was expected is a matter of TLS."""
    with saying(b"HTTP/1.1 400 Bad\r\n\r\n") as address:
        found = await words_of(ask, f"https://{address}/")
    assert found.startswith("there is no TLS connection")


def wrapped(inner: BaseException) -> BaseException:
    """Return an error that was raised because of another."""
    outer = RuntimeError(f"All attempts failed: {inner!r}")
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), NO_NAME),
        (
            socket.gaierror(socket.EAI_AGAIN, "the name service did not answer within 4 seconds"),
            "the name service did not answer within 4 seconds",
        ),
        (URLError(socket.gaierror(-2, "Name or service not known")), NO_NAME),
        (TimeoutError(), LATE),
        (httpx.ReadTimeout("timed out"), LATE),
        (wrapped(ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 9000)")), NOBODY),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no way leads to that host"),
        (OSError(errno.EIO, "Connect call failed ('10.0.0.1', 443)"), FAILED),
        (ExceptionGroup("many", [ConnectionResetError(104, "reset")]), CLOSED),
        (ExceptionGroup("many", [ConnectionResetError(104, "reset"), OSError(5, "x")]), CLOSED),
        (RemoteDisconnected("Remote end closed connection without response"), CLOSED),
        (BadStatusLine("SSH-2.0"), NO_HTTP),
        (ValueError("its answer is longer than 9 bytes"), "its answer is longer than 9 bytes"),
        (RuntimeError("<object object at 0x7f>"), FAILED),
        (httpx.ProxyError("PCC: no"), "the proxy does not answer: PCC: no"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "there is no TLS connection"),
        (aiohttp.ServerDisconnectedError(), CLOSED),
    ],
)
def test_each_kind_of_failure_has_its_sentence(error: BaseException, words: str) -> None:
    """No number, type or address of the program is in it."""
    assert unanswered(error) == words


def test_a_loop_of_causes_ends() -> None:
    """Errors that name each other as their cause are read once each."""
    one, other = RuntimeError(""), RuntimeError("")
    one.__cause__, other.__cause__ = other, one
    assert unanswered(one) == FAILED
