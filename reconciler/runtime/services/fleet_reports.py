"""What every replica shows of the fleet: reports of accounts that others work on, and the figures of all.

Owns: when this replica leaves its own reports for the others. Must not: work on an account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from reconciler.core.errors import StateError
from reconciler.core.model import AccountName
from reconciler.core.status import AccountStatus
from reconciler.reporting.status import AccountReport, account_report
from reconciler.runtime.replicas import reports
from reconciler.runtime.replicas.replica import Replica
from reconciler.runtime.services.passes import PassMaker
from reconciler.runtime.wiring import Components
from reconciler.state.coordination import Fleet, StatusRow
from reconciler.telemetry.replica_metrics import ReplicaMetrics

TOLERATED = timedelta(seconds=5)
"""A difference of the machine's clock to the database's up to this is not shown: answers take time."""


class FleetReports:
    """The reports and figures of the fleet, as this replica has them."""

    def __init__(self, components: Components, replica: Replica, passes: PassMaker) -> None:
        self._components, self._replica, self._queue = components, replica, passes.queue
        self._commands = replica.coordination.commands
        self._unreported: set[AccountName] = set()
        self._metrics = ReplicaMetrics(components.metrics.registry)
        self._metrics.lease.set_function(self._lease_left)
        self._metrics.owned.set_function(self._owned_here)
        passes.ended.append(self._unreported.add)
        components.registries.changed = self._unreported.add

    def elsewhere(self) -> Mapping[AccountName, AccountReport]:
        """Return the reports of accounts that other replicas work on; none where the database does not answer."""
        return reports.found(self._replica)

    async def report(self) -> None:
        """Let everybody see what the last passes came to."""
        fences = self._replica.tenure.known()
        due = self._unreported & fences.keys()
        self._unreported.clear()
        statuses = self._components.reconciler.accounts.statuses if due else {}
        rows = [row for one in due if (row := self._row(one, statuses.get(one))) is not None]
        if not rows:
            return
        try:
            await asyncio.to_thread(self._commands.report, rows, fences)
        except StateError:
            self._unreported |= due
            raise

    def show(self, fleet: Fleet) -> None:
        """Show the figures of the fleet as metrics."""
        self._metrics.unowned.set(fleet.unowned)
        self._metrics.overdue.set(fleet.overdue)
        ahead = self._replica.clock.machine_ahead()
        self._metrics.clock_ahead.set(ahead.total_seconds() if abs(ahead) > TOLERATED else 0.0)

    def _row(self, account: AccountName, status: AccountStatus | None) -> StatusRow | None:
        text = self._components.informer.current(account)
        if status is None or text is None:
            return None
        now = self._components.clock.now()
        due = now + timedelta(seconds=self._queue.next_due(account) or 0.0)
        news = self._components.registries.news().get(account)
        report = account_report(status, text, due, registry=news, replica=self._replica.name)
        return StatusRow(account, status.condition, reports.written(report), now, due)

    def _lease_left(self) -> float:
        return max(self._replica.lease.deadline - self._replica.boottime(), 0.0)

    def _owned_here(self) -> float:
        return float(len(self._replica.tenure.planned()))
