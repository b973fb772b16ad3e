"""Metrics of several replicas that share the accounts: what nobody works on, and what nobody did in time.

Owns: names and meaning of these metrics. They exist only where replicas share a state, and each replica shows them for
the whole fleet. Must not: know how the figures come about.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge


class ReplicaMetrics:
    """The metrics, on a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unowned = Gauge(
            "pcc_accounts_unowned",
            "Accounts in force that no living replica works on, of the whole fleet.",
            registry=registry,
        )
        self.overdue = Gauge(
            "pcc_account_overdue_seconds_max",
            "How long the pass of the account that waits longest is overdue, of the whole fleet.",
            registry=registry,
        )
        self.owned = Gauge(
            "pcc_replica_accounts", "Accounts that this replica works on.", registry=registry
        )
        self.lease = Gauge(
            "pcc_replica_lease_seconds",
            "How long this replica may still act; 0 if its lease ran out.",
            registry=registry,
        )
        self.clock_ahead = Gauge(
            "pcc_replica_clock_ahead_seconds",
            "By how much this machine's clock is ahead of the database's; 0 up to 5 seconds.",
            registry=registry,
        )
