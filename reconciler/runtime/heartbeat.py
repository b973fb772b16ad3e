"""Where heartbeats go: an address outside, through the sink that posts events.

Owns: which address a heartbeat goes to, that its path is masked like a password, and whether its host can be reached.
Must not: decide what a heartbeat says, or when one is sent.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from reconciler.core.addresses import path_secrets
from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError
from reconciler.core.unanswered import unanswered
from reconciler.events.model import Result
from reconciler.events.sinks.http import Endpoint, HttpSink
from reconciler.events.sinks.port import Sink
from reconciler.pcc.proxies import Proxies, Unusable
from reconciler.pcc.secret_files import SecretReader
from reconciler.telemetry.masking import Masking

SECONDS = 10.0
"""One heartbeat, all addresses of its host included."""
TEXT = "text/plain; charset=utf-8"
FAIL = "/fail"
LONGEST = 10_000
"""Characters of a heartbeat's text; healthchecks.io keeps that many bytes of it."""


class Heartbeats:
    """Sends heartbeats to the address that a setting gives, as it is at that moment."""

    def __init__(
        self, reader: SecretReader, proxies: Proxies, masking: Masking, clock: Clock
    ) -> None:
        self._reader, self._proxies = reader, proxies
        self._masking, self._clock = masking, clock
        self._url = ""
        self._sinks: dict[bool, Sink] = {}

    async def send(self, text: str, *, well: bool) -> str:
        """Send one, and return why it was not taken, or no text. It never raises for what the other side does."""
        try:
            sink = await self._sink(well=well)
            async with asyncio.timeout(SECONDS):
                moment = self._clock.now()
                body = self._masking.text(text)[:LONGEST].encode()
                handed = await sink.hand_over(f"heartbeat-{moment:%Y%m%dT%H%M%SZ}", body)
        except TimeoutError:
            return f"no answer within {SECONDS:g} seconds"
        except ReconcilerError as error:
            return str(error)
        return "" if handed.result is Result.DELIVERED else handed.words

    async def close(self) -> None:
        """Close the connections."""
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            await sink.close()

    async def _sink(self, *, well: bool) -> Sink:
        """Return the sink of the present address; raises ``ReconcilerError`` where that cannot be used."""
        url = address(self._reader)
        if url != self._url:
            await self.close()
            self._url = url
            self._masking.hold(self._reader.name, secrets_of(url), self._clock.steady())
        if well not in self._sinks:
            made = ("heartbeat", url) if well else (f"heartbeat{FAIL}", failing(url))
            self._sinks[well] = self._made(*made)
        return self._sinks[well]

    def _made(self, name: str, url: str) -> Sink:
        proxy = proxy_of(url, self._proxies)
        endpoint = Endpoint(url, concurrency=1, proxy=proxy, content_type=TEXT)
        return HttpSink(name, endpoint, clock=self._clock, masking=self._masking)


def address(reader: SecretReader) -> str:
    """Return the address as it is now; raises ``ReconcilerError`` with the reason where it cannot be read."""
    found = reader.read()
    if isinstance(found, str):
        raise ReconcilerError(found)
    return found.get_secret_value()


def failing(url: str) -> str:
    """Return the address that alarms at once, as healthchecks.io has it: with ``/fail`` behind the path."""
    path, question, query = url.partition("?")
    return f"{path}{FAIL}{question}{query}"


def secrets_of(url: str) -> frozenset[str]:
    """Return what of an address must not be shown: whoever knows it can send heartbeats."""
    return frozenset({url} | path_secrets(url))


def proxy_of(url: str, proxies: Proxies) -> str | None:
    """Return the proxy that leads there with its password, or None; raises ``ReconcilerError`` for an unusable one."""
    found = proxies.of(url)
    if isinstance(found, Unusable):
        raise ReconcilerError(str(found))
    return None if found is None else found.full_address


async def unreachable(url: str) -> str:
    """Connect to the host of an address, send nothing, and return why there is no connection, or no text."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    context = ssl.create_default_context() if secure else None
    try:
        async with asyncio.timeout(SECONDS):
            _reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    except TimeoutError:
        return f"no connection within {SECONDS:g} seconds"
    except OSError as error:
        return f"no connection: {unanswered(error)}"
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""
