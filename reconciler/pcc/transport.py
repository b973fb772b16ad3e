"""How a request gets on the wire: one call, one request, nothing hidden.

Owns: the HTTP library's set-up: connection limits, TLS, proxies from the environment, exact paths, and the choke point
that keeps a read-only process from sending anything but GET. Must not: know what a call means.
"""

from __future__ import annotations

import socket
import ssl
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
from aiohttp.helpers import get_env_proxy_for_url
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from reconciler import __version__
from reconciler.errors import Lost, ReconcilerError, quoted

Transport = httpx.AsyncBaseTransport
"""What puts requests on a wire; the composition root may be handed another one than the network's."""

TOKEN_REFRESH = "token_refresh"  # noqa: S105 - the name of a mark, not a secret
"""Mark on the one kind of POST that a read-only process may send: it renews a token and changes no device."""

LOST = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, TimeoutError, UnicodeError)
"""Whatever the libraries raise when no whole answer came back. ``UnicodeError``: a host that no name service takes."""


def why_lost(error: Exception) -> str:
    """Return why no answer came, in one line. The library in between calls most of it a time-out; its cause knows."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = error.__cause__ if isinstance(error.__cause__, LOST) else error
    return f"no answer: {type(cause).__name__}: {quoted(str(cause))}".removesuffix(": ")


_LOST_BY: tuple[tuple[Lost, tuple[type[BaseException], ...]], ...] = (
    (Lost.PROXY, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)),
    (Lost.NAME, (socket.gaierror, UnicodeError)),
    (Lost.TLS, (ssl.SSLError, ssl.CertificateError)),
    (Lost.REFUSED, (ConnectionRefusedError,)),
    (Lost.TIME, (TimeoutError,)),
)
"""What stands for each kind of loss, somewhere among an error and its causes; the first that is found decides."""


def how_lost(error: BaseException | None) -> Lost:
    """Return by what kind of trouble no answer came."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    kinds = (kind for kind, types in _LOST_BY if any(isinstance(one, types) for one in found))
    return next(kinds, Lost.OTHER)


def proxy_of(address: str) -> str:
    """Return the proxy that calls to an address go through, without its password; nothing where they go directly."""
    proxy, _ = _proxy_for(URL(address).origin())
    return "" if proxy is None else str(proxy.origin())


class WriteRefusedError(ReconcilerError):
    """This process observes only; a call that would change something was stopped before the wire."""


class ExactRequest(aiohttp.ClientRequest):
    """A request whose path is sent as we wrote it, through the proxy that the environment names.

    aiohttp's URL type decodes ``%3A`` and its like where a path may hold the bare character; LG's gateway has to see
    the id percent-encoded. aiohttp's own ``trust_env`` would find the proxy too, but also look for a password in
    ``~/.netrc`` and refuse to send our token beside it.
    """

    def __init__(self, method: str, url: URL, **options: Any) -> None:
        options["proxy"], options["proxy_auth"] = _proxy_for(url.origin())
        if url.scheme == "https":
            options["ssl"] = _tls()
        path = "/".join(quote(segment, safe="") for segment in url.path.split("/"))
        super().__init__(method, url if path == url.raw_path else _with_path(url, path), **options)


@lru_cache(maxsize=64)
def _proxy_for(origin: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """Return the proxy for a host. Remembered: to search the environment costs as much as a quarter of a call."""
    try:
        return get_env_proxy_for_url(origin)
    except LookupError:
        return None, None


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Return whom we trust, read when first asked: it takes as long as a plan of ten thousand devices."""
    return ssl.create_default_context()


class ReadOnlyTransport(httpx.AsyncBaseTransport):
    """Lets GET pass, and a token refresh; everything else is an error of ours."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request that cannot change anything."""
        if request.method != "GET" and TOKEN_REFRESH not in request.extensions:
            raise WriteRefusedError(f"{request.method} refused: this process only observes")
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close what is underneath."""
        await self._inner.aclose()


class PlainClient(httpx.AsyncClient):
    """Puts each request on the wire as it is and reads the whole answer.

    Cookies, redirects, authentication and hooks are all switched off here, and httpx walks through every one of them
    on each call nevertheless: a fifth of what a call costs.
    """

    def __init__(self, wire: httpx.AsyncBaseTransport, **options: Any) -> None:
        super().__init__(transport=wire, **options)
        self._wire = wire

    async def send(self, request: httpx.Request, **_options: Any) -> httpx.Response:
        """Send one request, once."""
        response = await self._wire.handle_async_request(request)
        try:
            await response.aread()
        except BaseException:  # a time limit included: a connection with half an answer must not be used again
            await response.aclose()
            raise
        return response


def open_http(
    *, read_only: bool, connections: int, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return the HTTP client that all accounts share. Time limits are the caller's: one around each whole call."""
    inner = transport
    if inner is None:
        _proxy_for.cache_clear()  # the environment is read anew for each process-wide client
        _tls.cache_clear()
        trusts_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, or else httpx would read its own list
        inner = AiohttpTransport(verify=trusts_nobody, client=lambda: _session(connections))
    return PlainClient(
        ReadOnlyTransport(inner) if read_only else inner,
        timeout=None,
        headers={"user-agent": f"pcc-reconciler/{__version__}", "accept": "application/json"},
    )


def _session(connections: int) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        request_class=ExactRequest,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    # aiohttp sends GET and DELETE again, with the same message id, when a kept connection turns out to be dropped.
    # Its own test client turns this off by the same attribute; there is no public switch.
    session._retry_connection = False  # noqa: SLF001
    return session


def _with_path(url: URL, path: str) -> URL:
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=path,
        query_string=url.raw_query_string,
        encoded=True,
    )
