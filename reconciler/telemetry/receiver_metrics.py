"""The metrics of the receiving process: every one of them, once.

Owns: names, labels and meaning, and which series exist before anything happened. Must not: know where a figure comes
from; others hand it in. What the spool holds is asked for when Prometheus asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler import __version__
from reconciler.telemetry.registries import new_registry

RECEIVE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10)
LAG_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 86400, 7 * 86400)
DELIVERY_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
OTHER = "other"
"""The value of a label for what is not known beforehand."""


@dataclass(frozen=True, slots=True)
class SpoolGauges:
    """What is shown of the spool. ``events`` by sink and state; ``oldest_seconds`` by sink."""

    bytes: int
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    oldest_seconds: Mapping[str, float] = field(default_factory=dict)


def _none() -> None:
    return None


def _zero() -> int:
    return 0


class _AskedCollector(Collector):
    """Asks for the spool's gauges, and lost lines, when Prometheus asks. Gauges that cannot be read are absent."""

    def __init__(self, limit: int) -> None:
        self.read: Callable[[], SpoolGauges | None] = _none
        self.lines_dropped: Callable[[], int] = _zero
        self._limit = limit

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge with the figures of this moment."""
        gauges = self.read()
        dropped = CounterMetricFamily(
            "pcc_log_lines_dropped",
            "Lines of the log that were dropped because nobody read them.",
            self.lines_dropped(),
        )
        size = GaugeMetricFamily("pcc_spool_bytes", "Bytes of the spool that are in use.")
        limit = GaugeMetricFamily(
            "pcc_spool_limit_bytes", "Bytes at which the spool takes nothing more."
        )
        events = GaugeMetricFamily(
            "pcc_spool_events",
            "Events in the spool; the label sink is empty for those that no sink takes.",
            labels=["sink", "state"],
        )
        oldest = GaugeMetricFamily(
            "pcc_spool_oldest_seconds",
            "How long the oldest undelivered event of a sink waits; absent where none does.",
            labels=["sink"],
        )
        limit.add_metric([], self._limit)
        if gauges is not None:
            size.add_metric([], gauges.bytes)
            for labels, count in gauges.events.items():
                events.add_metric(labels, count)
            for sink, seconds in gauges.oldest_seconds.items():
                oldest.add_metric([sink], seconds)
        yield from (dropped, size, limit, events, oldest)


class ReceiverMetrics:
    """Every metric of the receiving process, on a registry of its own."""

    def __init__(self, spool_limit: int, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or new_registry()
        self._asked = _AskedCollector(spool_limit)
        self.registry.register(self._asked)
        self._push_types: frozenset[str] = frozenset()
        self._series: dict[tuple[str, str, str], Counter] = {}
        self._define_receiving()
        self._define_delivery()

    def _define_receiving(self) -> None:
        gauge, counter, histogram = self._gauge, self._counter, self._histogram
        # Not the daemon's name: an alert and the dashboards tell the two processes apart by it.
        gauge("pcc_receiver_build_info", "The program's version.", "version").labels(
            __version__
        ).set(1)
        self._received = counter(
            "pcc_events_received",
            "Events that were stored for the first time.",
            "push_type",
            "category",
            "device",
        )
        self.duplicates = counter("pcc_events_duplicate", "Events that were stored before.")
        self.ids_reused = counter(
            "pcc_event_id_reused", "Events that came under the message id of another event."
        )
        self._refused = counter("pcc_events_refused", "Calls that were not taken.", "reason")
        self._quarantined = counter(
            "pcc_events_quarantined", "Messages that were not understood, and are kept.", "reason"
        )
        self.receive_duration = histogram(
            "pcc_receive_duration_seconds",
            "Seconds from the head of a call to its answer 200.",
            RECEIVE_SECONDS,
        )
        self.lag = histogram(
            "pcc_event_lag_seconds",
            "Seconds from a diagnosis, as LG dates it, to its commit.",
            LAG_SECONDS,
        )
        self.last_event = gauge(
            "pcc_last_event_timestamp_seconds",
            "When an event was last stored; 0 before the first.",
        )
        self.last_self_test = gauge(
            "pcc_self_check_last_success_timestamp_seconds",
            "When a self-test was last stored; 0 before the first.",
        )

    def _define_delivery(self) -> None:
        self._deliveries = self._counter(
            "pcc_deliveries", "Attempts to deliver by how they ended.", "sink", "result"
        )
        self._delivery_duration = self._histogram(
            "pcc_delivery_duration_seconds",
            "Seconds that one attempt took.",
            DELIVERY_SECONDS,
            "sink",
        )
        self.logic_missing = self._counter(
            "pcc_logic_missing", "Diagnoses whose type the Logic Table does not have."
        )
        self.logic_reload_successful = self._gauge(
            "pcc_logic_last_reload_successful",
            "1 if the newest events file and Logic Table were accepted.",
        )

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, labels, registry=self.registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, registry=self.registry)

    def _histogram(
        self, name: str, words: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, words, labels, buckets=buckets, registry=self.registry)

    def begin(
        self,
        *,
        received: Iterable[tuple[str, str, str]],
        refusals: Iterable[str],
        quarantine: Iterable[str],
    ) -> None:
        """Name the label values that are known beforehand, so that each series exists at 0.

        ``received`` are push type, category and device. Another push type counts as ``other``.
        """
        known = list(received)
        self._push_types = frozenset(push_type for push_type, _, _ in known)
        for labels in known:
            self._series[labels] = self._received.labels(*labels)
        for reason in refusals:
            self._refused.labels(reason)
        for reason in quarantine:
            self._quarantined.labels(reason)

    def sinks(self, sinks: Iterable[str], results: Iterable[str]) -> None:
        """Name the sinks in force and the results that an attempt can have."""
        for sink, result in product(sinks, list(results)):
            self._deliveries.labels(sink, result)
            self._delivery_duration.labels(sink)

    def spool(self, read: Callable[[], SpoolGauges | None]) -> None:
        """Say how the spool's gauges are found. It is called in a thread, and may block on the disk."""
        self._asked.read = read

    def lines_dropped(self, since_the_start: Callable[[], int]) -> None:
        """Say how the number of lost lines of the log is found."""
        self._asked.lines_dropped = since_the_start

    def received(self, push_type: str, category: str, device: str) -> None:
        """Count an event that was stored for the first time."""
        known = push_type if push_type in self._push_types else OTHER
        labels = (known, category, device)
        series = self._series.get(
            labels
        )  # found at once; to look labels up takes three times as long
        (self._received.labels(*labels) if series is None else series).inc()

    def refused(self, reason: str) -> None:
        """Count a call that was not taken."""
        self._refused.labels(reason).inc()

    def quarantined(self, reason: str) -> None:
        """Count a message that was not understood."""
        self._quarantined.labels(reason).inc()

    def delivered(self, sink: str, result: str, seconds: float) -> None:
        """Count an attempt to deliver that ended."""
        self._deliveries.labels(sink, result).inc()
        self._delivery_duration.labels(sink).observe(seconds)
