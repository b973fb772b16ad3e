"""The metric of the heartbeat to the outside. It exists only where one is sent.

Owns: its name and meaning. Must not: send anything.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge


class HeartbeatMetrics:
    """The metric, on a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._last = Gauge(
            "pcc_heartbeat_last_success_timestamp_seconds",
            "When the outside last took a heartbeat that says that every account has its passes; 0 before the first.",
            registry=registry,
        )

    def taken(self, at: float) -> None:
        """Take that the outside took a heartbeat, in seconds since 1970."""
        self._last.set(at)
