"""How a request gets on the wire: one call, one request, nothing hidden.

Owns: the HTTP library's set-up: connection limits, TLS, proxies from the environment, exact paths, and the choke point
that keeps a read-only process from sending anything but GET. Must not: know what a call means.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
from aiohttp.helpers import strip_auth_from_url
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from reconciler import __version__
from reconciler.core.errors import Lost, ReconcilerError, Unavailable, quoted
from reconciler.core.model import MessageId
from reconciler.core.unanswered import unanswered
from reconciler.pcc import proxies
from reconciler.pcc.names import LONGEST_SECONDS, Names
from reconciler.pcc.pool import Pool
from reconciler.pcc.proxies import Proxies, Proxy, Unusable
from reconciler.pcc.reading import Room, TooLongError, limit_for, read_whole

Transport = httpx.AsyncBaseTransport
"""What puts requests on a wire; the composition root may be handed another one than the network's."""

TOKEN_REFRESH = "token_refresh"  # noqa: S105 - the name of a mark, not a secret
"""Mark on the one kind of POST that a read-only process may send: it renews a token and changes no device."""

SHARE_FOR_NAMES = 0.8
"""How much of a call's time its host's name may take."""
LONGEST_HEADER = 32 * 1024
"""Bytes of one header, or of the first line of an answer. Some gateways send more than the 8 KB that are usual."""

LOST = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, TimeoutError, UnicodeError)
"""Whatever the libraries raise when no whole answer came back. ``UnicodeError``: a host that no name service takes."""


def why_lost(error: Exception) -> str:
    """Return why no answer came, in words. The library in between calls most of it a time-out; its cause knows."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, TooLongError):
        return str(error)
    cause = error.__cause__ if isinstance(error.__cause__, LOST) else error
    if isinstance(cause, aiohttp.ClientResponseError) and not isinstance(
        cause, aiohttp.ClientHttpProxyError
    ):
        return f"no answer that can be read: {_unreadable(cause)}"  # its status is the library's, and nobody sent it
    words = f"no answer: {unanswered(cause)}"
    return (
        f"{words}; is this machine's clock right (NTP)?" if how_lost(error) is Lost.DATES else words
    )


def _unreadable(error: aiohttp.ClientResponseError) -> str:
    """Return why an answer's head cannot be read, in words that do not depend on the library."""
    if "Got more than" in error.message or "Too many headers" in error.message:
        return f"a header is longer than {LONGEST_HEADER // 1024} KiB, or there are too many"
    return f"it is no HTTP: {quoted(error.message)}".removesuffix(": ")


_LOST_BY: tuple[tuple[Lost, tuple[type[BaseException], ...]], ...] = (
    (
        Lost.PROXY,
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError, httpx.ProxyError),
    ),
    (Lost.NAME, (socket.gaierror, UnicodeError)),
    (Lost.TLS, (ssl.SSLError, ssl.CertificateError)),
    (Lost.REFUSED, (ConnectionRefusedError,)),
    (Lost.TIME, (TimeoutError,)),
)
"""The errors that mean each kind of loss, anywhere among an error and its causes; the first that is found decides."""


_OUT_OF_DATE = frozenset({9, 10, 11, 12})
"""OpenSSL's numbers for a certificate, or a list of revoked ones, that is not yet valid or has expired."""


def lost(what: str, error: Exception, message_id: MessageId | None = None) -> Unavailable:
    """Return the error for an answer that never came."""
    unavailable = Unavailable(f"{what}: {why_lost(error)}", message_id=message_id)
    unavailable.lost = how_lost(error)
    return unavailable


def how_lost(error: BaseException | None) -> Lost:
    """Return by what kind of trouble no answer came."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    if any(map(_is_out_of_date, found)):
        return Lost.DATES
    for kind, types in _LOST_BY:
        if any(isinstance(one, types) for one in found):
            return kind
    return Lost.OTHER


def _is_out_of_date(error: BaseException) -> bool:
    """Say whether a certificate's dates are the trouble; aiohttp keeps the reason beside its own error."""
    reason = (
        error.certificate_error
        if isinstance(error, aiohttp.ClientConnectorCertificateError)
        else error
    )
    return (
        isinstance(reason, ssl.SSLCertVerificationError)
        and getattr(reason, "verify_code", 0) in _OUT_OF_DATE
    )


def proxy_of(address: str) -> str:
    """Return the proxy that calls to an address go through, without its password; None where they go directly."""
    found = _proxies().of(address)
    return found.address if isinstance(found, Proxy) else ""


class WriteRefusedError(ReconcilerError):
    """This process observes only; a call that would change something was stopped before the wire."""


class ExactRequest(aiohttp.ClientRequest):
    """A request whose path is sent as we wrote it, through the proxy that the environment names.

    aiohttp's URL type decodes ``%3A`` and its like where a path may hold the bare character; LG's gateway has to see
    the id percent-encoded. aiohttp's own ``trust_env`` would find some of the proxies too, but pass the others by, and
    look for a password in ``~/.netrc`` and refuse to send our token beside it.
    """

    def __init__(self, method: str, url: URL, **options: Any) -> None:
        options["proxy"], options["proxy_auth"] = _proxy_for(url.origin())
        if url.scheme == "https":
            options["ssl"] = _tls()
        path = "/".join(quote(segment, safe="") for segment in url.path.split("/"))
        super().__init__(method, url if path == url.raw_path else _with_path(url, path), **options)


@lru_cache(maxsize=1)
def _proxies() -> Proxies:
    """Return what the environment says about proxies."""
    return proxies.read(os.environ)


@lru_cache(maxsize=64)
def _proxy_for(origin: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """Return the proxy for a host. Remembered, because it is needed for each call.

    A proxy that cannot be used stops the call: our key and token must not go around it.
    """
    found = _proxies().of(str(origin))
    if found is None:
        return None, None
    if isinstance(found, Unusable):
        raise httpx.ProxyError(str(found))
    return strip_auth_from_url(URL(found.full_address))


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
        self._room = Room()

    async def send(self, request: httpx.Request, **_options: Any) -> httpx.Response:
        """Send one request, once, and read its answer within bounds."""
        response = await self._wire.handle_async_request(request)
        try:
            content = await read_whole(
                response, limit_for(request, response.status_code), self._room
            )
        except (
            BaseException
        ):  # a time limit included: a connection with half an answer must not be used again
            await response.aclose()
            raise
        headers = [one for one in response.headers.raw if one[0].lower() not in _OF_THE_WIRE]
        return httpx.Response(
            response.status_code, headers=headers, content=content, request=request
        )


_OF_THE_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")
"""Headers that are no longer true of what was read."""


class Network(AiohttpTransport):
    """The wire itself. It takes note of servers that drop connections, so that the next call has one of its own."""

    def __init__(self, connections: int, names: Names) -> None:
        trusts_nobody = ssl.SSLContext(
            ssl.PROTOCOL_TLS_CLIENT
        )  # never used, or else httpx would read its own list
        super().__init__(verify=trusts_nobody, client=self._session)
        self._connections = connections
        self._names = names
        self._pool: Pool | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Put one request on the wire, once."""
        try:
            return await super().handle_async_request(request)
        except LOST as error:
            if self._pool is not None and _was_dropped(error):
                self._pool.keep_none(request.url.raw_host.decode())
            raise

    def _session(self) -> aiohttp.ClientSession:
        self._pool = Pool(limit=self._connections, resolver=self._names)
        session = aiohttp.ClientSession(
            connector=self._pool,
            request_class=ExactRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        # aiohttp sends GET and DELETE again, with the same message id, when a kept connection turns out to be dropped.
        # Its own test client turns this off by the same attribute; there is no public switch.
        session._retry_connection = False  # noqa: SLF001
        return session


def _was_dropped(error: BaseException | None) -> bool:
    """Say whether the other side dropped the connection before it answered."""
    while error is not None:
        if isinstance(
            error, aiohttp.ServerDisconnectedError | ConnectionResetError | BrokenPipeError
        ):
            return True
        error = error.__cause__
    return False


def open_http(
    *,
    read_only: bool,
    connections: int,
    transport: httpx.AsyncBaseTransport | None = None,
    timeout_seconds: float = math.inf,
) -> httpx.AsyncClient:
    """Return the HTTP client that all accounts share. Time limits are the caller's: one around each whole call.

    ``timeout_seconds`` is that limit: the name of a host is waited for a little shorter, so that the reason is known.
    """
    inner = transport
    if inner is None:
        _proxies.cache_clear()
        _proxy_for.cache_clear()  # the environment is read anew for each process-wide client
        _tls.cache_clear()
        inner = Network(connections, Names(min(LONGEST_SECONDS, SHARE_FOR_NAMES * timeout_seconds)))
    return PlainClient(
        ReadOnlyTransport(inner) if read_only else inner,
        timeout=None,
        headers={
            "user-agent": f"pcc-reconciler/{__version__}",
            "accept": "application/json",
            "accept-encoding": "gzip",
        },
    )


def _with_path(url: URL, path: str) -> URL:
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=path,
        query_string=url.raw_query_string,
        encoded=True,
    )
