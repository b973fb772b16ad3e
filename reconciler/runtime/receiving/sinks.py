"""Makes sinks of what the events file says.

Owns: which kind of sink is which class. Must not: deliver anything.
"""

from __future__ import annotations

from reconciler.core.errors import ReconcilerError
from reconciler.events.config import SinkConfig, SinkType
from reconciler.events.sinks.lines import LineFile
from reconciler.events.sinks.port import Sink
from reconciler.events.sinks.stream import StreamSink


class SinkBuilder:
    """Makes sinks."""

    def build(self, config: SinkConfig) -> Sink:
        """Return the sink that is described. Connects to nothing yet."""
        match config.type:
            case SinkType.STREAM:
                return StreamSink(config.name, LineFile(config.path))
            case SinkType.HTTP:
                raise ReconcilerError(f"sink {config.name}: this version has no sinks of type http")
