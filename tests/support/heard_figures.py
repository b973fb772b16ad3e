"""The daemon's metrics of what it heard from receivers, with figures that are given."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry

from reconciler.core.model import AccountName
from reconciler.telemetry.heard_metrics import AskedMetrics, HeardMetrics

RECEIVERS = ("http://127.0.0.1:8081", "http://127.0.0.1:8082")


class Heard:
    """What was heard of some accounts: lists that lack devices of each, and when the last event came."""

    def __init__(self, accounts: Sequence[str], *, devices: int, last: float) -> None:
        self.counts = {AccountName(account): devices for account in accounts}
        self.last = last

    def contradicted_by_account(self) -> Mapping[AccountName, int]:
        """Return the number of devices of each account."""
        return self.counts

    def after_unsubscribe(self) -> Mapping[AccountName, int]:
        """Return as many events of each account."""
        return self.counts

    def silence_seconds(self) -> float | None:
        """Return an hour."""
        return 3600.0

    def last_event(self) -> float | None:
        """Return the moment."""
        return self.last


def heard(accounts: Sequence[str], *, per_account: bool = True) -> CollectorRegistry:
    """Return the metrics; one of the receivers was never read."""
    registry = CollectorRegistry()
    now = time.time()
    HeardMetrics(registry, Heard(accounts, devices=2, last=now - 300), per_account=per_account)
    AskedMetrics(registry, RECEIVERS).answered(RECEIVERS[0], now - 30)
    return registry
