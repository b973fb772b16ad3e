"""The metric of what rules would take and their lock does not have.

Owns: its name, labels and meaning. It has no series without rules. Must not: know how the figures come about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.core.model import AccountName
from reconciler.core.registry_news import RegistryNews

PENDING = (
    "pcc_rule_pending_devices",
    "Devices of LG's registry that a rule would take and the lock does not have; resolve takes them.",
)


class RuleFigures(Protocol):
    """What the metric shows."""

    def news(self) -> Mapping[AccountName, RegistryNews]:
        """Return what is known of every account with rules."""


class RuleMetrics(Collector):
    """The metric, on a registry. ``per_account``: with the label ``account``, else one sum for each rule's name."""

    def __init__(
        self, registry: CollectorRegistry, figures: RuleFigures, *, per_account: bool
    ) -> None:
        self._figures, self._per_account = figures, per_account
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Name the metric, so that the registry refuses a second home for it."""
        yield GaugeMetricFamily(*PENDING)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment."""
        counts: Counter[tuple[str, ...]] = Counter()
        for account, news in sorted(self._figures.news().items()):
            for rule, devices in news.pending.of_rule.items():
                cell: tuple[str, ...] = (account, rule) if self._per_account else (rule,)
                counts[cell] += len(devices)
        labels = ["account", "rule"] if self._per_account else ["rule"]
        family = GaugeMetricFamily(*PENDING, labels=labels)
        for cell, count in counts.items():
            family.add_metric(list(cell), count)
        yield family
