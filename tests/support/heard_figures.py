"""The daemon's metrics of what it heard from receivers, and of rules, with figures that are given."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry

from reconciler.core.model import AccountName, DeviceId
from reconciler.core.registry_news import RegistryNews
from reconciler.core.rules import Pending, Registered
from reconciler.telemetry.heard_metrics import AskedMetrics, HeardMetrics
from reconciler.telemetry.rule_metrics import RuleMetrics

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


class Ruled:
    """What waits for ``resolve``: one device of each account, by the rule ``laundry``."""

    def __init__(self, accounts: Sequence[str]) -> None:
        self._accounts = accounts

    def news(self) -> Mapping[AccountName, RegistryNews]:
        """Return what is known of every account."""
        waits = RegistryNews(Pending({"laundry": (Registered(DeviceId("washer-1")),)}))
        return {AccountName(account): waits for account in self._accounts}


def heard(accounts: Sequence[str], *, per_account: bool = True) -> CollectorRegistry:
    """Return the metrics; one of the receivers was never read."""
    registry = CollectorRegistry()
    now = time.time()
    HeardMetrics(registry, Heard(accounts, devices=2, last=now - 300), per_account=per_account)
    AskedMetrics(registry, RECEIVERS).answered(RECEIVERS[0], now - 30)
    RuleMetrics(registry, Ruled(accounts), per_account=per_account)
    return registry
