"""Metrics of what events say about subscriptions, and of whether the receivers that know them can be asked.

Owns: names, labels and meaning of these metrics. They exist only where receivers are asked.
Must not: know how the figures come about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.core.model import AccountName

CONTRADICTED = (
    "pcc_list_contradicted_devices",
    "Desired devices that LG's lists lack while events of them arrive.",
)
AFTER_UNSUBSCRIBE = (
    "pcc_events_after_unsubscribe",
    "Events within 24 hours that were diagnosed more than an hour after LG confirmed our unsubscribe.",
)
SILENCE = (
    "pcc_silence_meaningful_seconds",
    "A silence longer than this means something; absent while fewer than 20 events are known.",
)
LAST_HEARD = (
    "pcc_heard_last_event_timestamp_seconds",
    "When the receivers stored the last event that this process knows; absent before the first.",
)


class HeardFigures(Protocol):
    """What the metrics show, counted when they are asked for."""

    def contradicted_by_account(self) -> Mapping[AccountName, int]:
        """Return the number of contradicted devices of each account."""

    def after_unsubscribe(self) -> Mapping[AccountName, int]:
        """Return the number of events after an unsubscribe of each account."""

    def silence_seconds(self) -> float | None:
        """Return how long a silence has to last to mean something."""

    def last_event(self) -> float | None:
        """Return when the last event was stored, in seconds since 1970."""


class HeardMetrics(Collector):
    """The metrics, on a registry. ``per_account``: with the label ``account``, else one sum."""

    def __init__(
        self, registry: CollectorRegistry, figures: HeardFigures, *, per_account: bool
    ) -> None:
        self._figures, self._per_account = figures, per_account
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Name the metrics, so that the registry refuses a second home for one of them."""
        for name, words in (CONTRADICTED, AFTER_UNSUBSCRIBE, SILENCE, LAST_HEARD):
            yield GaugeMetricFamily(name, words)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment."""
        yield self._by_account(CONTRADICTED, self._figures.contradicted_by_account())
        yield self._by_account(AFTER_UNSUBSCRIBE, self._figures.after_unsubscribe())
        yield _single(SILENCE, self._figures.silence_seconds())
        yield _single(LAST_HEARD, self._figures.last_event())

    def _by_account(self, metric: tuple[str, str], counts: Mapping[AccountName, int]) -> Metric:
        if not self._per_account:
            return _single(metric, sum(counts.values()))
        family = GaugeMetricFamily(*metric, labels=["account"])
        for account, count in sorted(counts.items()):
            family.add_metric([account], count)
        return family


class AskedMetrics:
    """When each receiver was last read to its end. Without that, silence says nothing about LG."""

    def __init__(self, registry: CollectorRegistry, receivers: Iterable[str]) -> None:
        self._last = Gauge(
            "pcc_receiver_last_success_timestamp_seconds",
            "When the daemon last read all the events that this receiver has; 0 before the first time.",
            ["receiver"],
            registry=registry,
        )
        for receiver in receivers:
            self._last.labels(receiver)

    def answered(self, receiver: str, at: float) -> None:
        """Take that a receiver was read to its end, in seconds since 1970."""
        self._last.labels(receiver).set(at)


def _single(metric: tuple[str, str], value: float | None) -> Metric:
    family = GaugeMetricFamily(*metric)
    if value is not None:
        family.add_metric([], value)
    return family
