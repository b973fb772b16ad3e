"""The registry of a process: what every metric of ours is registered with.

Owns: what a registry holds before our own metrics. Must not: know a metric of ours.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics


def new_registry() -> CollectorRegistry:
    """Return a registry with the figures of the process: memory, CPU, open files, start (``process_…``, Linux only).

    Counters get no ``_created`` series beside them. They would be a fifth of all series, and no rule needs them.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry
