"""Makes sinks of what the events file says.

Owns: which kind of sink is which class, and through which proxy a sink is reached. Must not: deliver anything.
"""

from __future__ import annotations

from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError
from reconciler.events.config import SinkConfig, SinkType
from reconciler.events.sinks.http import Endpoint, HttpSink
from reconciler.events.sinks.lines import LineFile
from reconciler.events.sinks.port import Sink
from reconciler.events.sinks.stream import StreamSink
from reconciler.pcc.proxies import Proxies, Unusable
from reconciler.telemetry.masking import Masking


class SinkBuilder:
    """Makes sinks. ``masking`` gets the secrets in their addresses."""

    def __init__(self, proxies: Proxies, masking: Masking, clock: Clock) -> None:
        self._proxies, self._masking, self._clock = proxies, masking, clock

    def build(self, config: SinkConfig) -> Sink:
        """Return the sink that is described. Connects to nothing yet. Raises ``ReconcilerError`` for its proxy."""
        if config.type is SinkType.STREAM or config.url is None:
            return StreamSink(config.name, LineFile(config.path))
        endpoint = Endpoint(
            config.url,
            signing_secret_file=config.signing_secret_file,
            authorization_file=config.authorization_file,
            concurrency=config.concurrency,
            proxy=self._proxy(config.url),
        )
        return HttpSink(config.name, endpoint, clock=self._clock, masking=self._masking)

    def _proxy(self, url: str) -> str | None:
        """Return the address of the proxy that leads there, with its password, or None for a direct way."""
        found = self._proxies.of(url)
        if isinstance(found, Unusable):
            raise ReconcilerError(str(found))
        return None if found is None else found.full_address
