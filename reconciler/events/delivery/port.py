"""What delivery asks of others besides the outbox and the sinks.

Owns: one Protocol for each. Must not: contain code.
"""

from __future__ import annotations

from typing import Protocol

from reconciler.events.config import SinkConfig
from reconciler.events.model import Attempt, Result
from reconciler.events.sinks.port import Sink


class Builder(Protocol):
    """Makes sinks of what the events file says."""

    def build(self, config: SinkConfig) -> Sink:
        """Return the sink that is described. Connects to nothing yet."""


class Envelopes(Protocol):
    """Makes what leaves. Implemented by ``envelope``."""

    def make(self, attempt: Attempt) -> bytes:
        """Return the CloudEvent as JSON, with the names and texts that are in force now."""


class Watch(Protocol):
    """Counts what ended. Implemented by the metrics."""

    def ended(self, sink: str, result: Result, seconds: float) -> None:
        """Take note of one attempt, and how long it took."""
