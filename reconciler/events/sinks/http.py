"""The sink that posts each event to an address.

Owns: one request for one event: its address, headers and signature, the limits of connections and answers, and what of
an answer is shown. Must not: follow a redirect, send an event without its signature, or decide when to try again.

A kept connection that the other side closed at that moment is the one failure that is tried again at once, on a new
one: nothing was answered, and the event's id tells the receiving system a duplicate.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from reconciler import __version__
from reconciler.core.addresses import secrets_in as secrets_of_address
from reconciler.core.clock import Clock
from reconciler.core.errors import quoted
from reconciler.core.unanswered import unanswered
from reconciler.events.model import Result
from reconciler.events.sinks.answers import judge
from reconciler.events.sinks.authorization import authorization_in, secrets_of
from reconciler.events.sinks.names import Ask, HostName, system_addresses
from reconciler.events.sinks.port import Handed
from reconciler.events.sinks.secret_file import NoSecretError
from reconciler.events.sinks.signing import secrets_in, signature
from reconciler.telemetry.masking import Masking

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
LONGEST_CONNECT = 5.0
"""Seconds for one address of the host; then the next one is tried."""
MOST_ADDRESSES = 4
LONGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read, so that the connection can be used again."""
SHOWN_ANSWER = 4096
"""Bytes of an answer that are looked at for what is shown: more than that, so that masking sees whole secrets."""
ANSWER_SECONDS = 1.0
"""Seconds for the rest of an answer whose status is known."""
KEPT_SECONDS = 4.0
"""Seconds for which an idle connection is kept. Many servers close theirs after 5."""

DROPPED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
"""What is raised where the other side closed a kept connection."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events are posted: over TLS, or to this machine itself; whoever reads the events file sees to that.

    ``proxy`` is the HTTP proxy with its password, None for a direct way.
    """

    url: str
    signing_secret_file: Path | None = None
    authorization_file: Path | None = None
    concurrency: int = 8
    proxy: str | None = None
    content_type: str = CONTENT_TYPE

    @property
    def secrets(self) -> set[str]:
        """What of the addresses must not be shown."""
        return secrets_of_address(self.url) | secrets_of_address(self.proxy or "")


class HttpSink:
    """Posts events to one address."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        clock: Clock,
        masking: Masking,
        ask: Ask = system_addresses,
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._clock = clock
        self._masking = masking
        self._url = httpx.URL(endpoint.url)
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._host = HostName(self._url.host, port, clock, ask)
        self._client: httpx.AsyncClient | None = None
        masking.hold(("sink", name), frozenset(endpoint.secrets), clock.steady())

    async def hand_over(self, id: str, body: bytes) -> Handed:  # noqa: A002 - CloudEvents' word
        """Post one event. Whoever calls this limits its time."""
        try:
            headers = self._headers(id, body)
        except NoSecretError as error:
            return Handed(Result.RETRY, words=f"not sent, as there is no {error}", refused=True)
        try:
            return await self._post(headers, body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._host.doubt()
            words = f"no answer: {self._shown(unanswered(error))}"
            return Handed(Result.RETRY, words=words)

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _headers(self, id: str, body: bytes) -> dict[str, str]:  # noqa: A002 - CloudEvents' word
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "host": self._url.netloc.decode(),
            "content-type": self._endpoint.content_type,
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
        }
        secrets: set[str] = set(self._endpoint.secrets)
        if (path := self._endpoint.signing_secret_file) is not None:
            with _lacking("signature"):
                signing = secrets_in(path)
            secrets |= {secret.written for secret in signing}
            headers["webhook-signature"] = signature(signing, id, timestamp, body)
        if (path := self._endpoint.authorization_file) is not None:
            with _lacking("authorization"):
                headers["authorization"] = authorization_in(path)
            secrets |= secrets_of(headers["authorization"])
        self._masking.hold(("sink", self.name), frozenset(secrets), self._clock.steady())
        return headers

    async def _post(self, headers: dict[str, str], body: bytes) -> Handed:
        """Post to one address of the host after the other until a connection comes about."""
        *others, last = await self._addresses()
        for url in others:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._post_to(url, headers, body)
        return await self._post_to(last, headers, body)

    async def _post_to(self, url: httpx.URL, headers: dict[str, str], body: bytes) -> Handed:
        connected = _Connected()
        try:
            return await self._send(url, headers, body, connected)
        except DROPPED:
            if connected.is_new:
                raise
            return await self._send(url, headers, body, _Connected())

    async def _send(
        self, url: httpx.URL, headers: dict[str, str], body: bytes, connected: _Connected
    ) -> Handed:
        extensions = {"sni_hostname": self._url.raw_host.decode(), "trace": connected}
        async with self._opened().stream(
            "POST", url, headers=headers, content=body, extensions=extensions
        ) as response:
            answer = await _beginning(response)
            words = self._words(response, answer)
            return judge(response.status_code, response.headers, words, self._clock.now())

    async def _addresses(self) -> list[httpx.URL]:
        """Return the address with the host's numbers in it. A proxy gets the name, and looks it up by its own means."""
        if self._endpoint.proxy is not None:
            return [self._url]
        found = await self._host.addresses()
        return [self._url.copy_with(host=address) for address in found[:MOST_ADDRESSES]]

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            most = self._endpoint.concurrency
            self._client = httpx.AsyncClient(
                verify=ssl.create_default_context(),
                proxy=self._endpoint.proxy,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=LONGEST_CONNECT),
                limits=httpx.Limits(
                    max_connections=most,
                    max_keepalive_connections=most,
                    keepalive_expiry=KEPT_SECONDS,
                ),
                headers={
                    "user-agent": f"pcc-reconciler/{__version__}",
                    "accept": "*/*",
                    "accept-encoding": "identity",
                },
            )
        return self._client

    def _words(self, response: httpx.Response, answer: bytes) -> str:
        """Return what is shown of an answer."""
        words = f"HTTP {response.status_code}"
        if response.is_redirect:
            place = response.headers.get("location", "").partition("?")[0]
            return f"{words}: redirects are not followed: {self._shown(place)}"
        shown = self._shown(answer.decode("utf-8", "replace"))
        return f"{words}: {shown}" if shown else words

    def _shown(self, words: str) -> str:
        return quoted(self._masking.text(words))


@contextmanager
def _lacking(what: str) -> Iterator[None]:
    """Say what an event would be sent without."""
    try:
        yield
    except NoSecretError as error:
        raise NoSecretError(f"{what}: {error}") from error


class _Connected:
    """Takes note of whether a request opened a connection of its own. httpx calls it with what happens below it."""

    def __init__(self) -> None:
        self.is_new = False

    async def __call__(self, happened: str, _details: dict[str, Any]) -> None:
        self.is_new = self.is_new or happened == "connection.connect_tcp.started"


async def _beginning(response: httpx.Response) -> bytes:
    """Return the beginning of an answer, and read the rest within bounds. The status counts without it."""
    beginning, length = b"", 0
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            async for some in response.aiter_raw():
                length += len(some)
                beginning = (beginning + some)[:SHOWN_ANSWER]
                if length > LONGEST_ANSWER:
                    break
    return beginning
