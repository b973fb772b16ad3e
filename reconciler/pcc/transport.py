"""How a request gets on the wire: one call, one request, nothing hidden.

Owns: the HTTP library's set-up: connection limits, TLS, proxies from the environment, exact paths, and the choke point
that keeps a read-only process from sending anything but GET. Must not: know what a call means.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from reconciler import __version__
from reconciler.errors import ReconcilerError

TOKEN_REFRESH = "token_refresh"  # noqa: S105 - the name of a mark, not a secret
"""Mark on the one kind of POST that a read-only process may send: it renews a token and changes no device."""

LOST = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, TimeoutError)
"""Whatever the libraries raise when no whole answer came back."""


class WriteRefusedError(ReconcilerError):
    """This process observes only; a call that would change something was stopped before the wire."""


class ExactRequest(aiohttp.ClientRequest):
    """A request whose path is sent as we wrote it.

    aiohttp's URL type decodes ``%3A`` and its like where a path may hold the bare character; LG's gateway has to see
    the id percent-encoded.
    """

    def __init__(self, method: str, url: URL, **options: Any) -> None:
        path = "/".join(quote(segment, safe="") for segment in url.path.split("/"))
        super().__init__(method, url if path == url.raw_path else _with_path(url, path), **options)


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


def open_http(
    *, read_only: bool, connections: int, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return the HTTP client that all accounts share. Time limits are the caller's: one around each whole call."""
    inner = transport or AiohttpTransport(client=lambda: _session(connections))
    return httpx.AsyncClient(
        transport=ReadOnlyTransport(inner) if read_only else inner,
        follow_redirects=False,
        timeout=None,  # noqa: S113 - the client sets one limit around the whole call
        headers={"user-agent": f"pcc-reconciler/{__version__}", "accept": "application/json"},
    )


def _session(connections: int) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=ssl.create_default_context()),
        request_class=ExactRequest,
        trust_env=True,
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
