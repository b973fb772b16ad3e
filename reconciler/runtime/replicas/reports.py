"""What replicas show of each other's accounts.

Owns: the one form in which the report of an account is kept. Must not: make a report.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from reconciler.core.errors import StateError
from reconciler.core.model import AccountName
from reconciler.reporting.status import AccountReport
from reconciler.runtime.replicas.replica import Replica
from reconciler.state.coordination import StatusRow


def written(report: AccountReport) -> bytes:
    """Return the report of an account, as it is kept."""
    return msgspec.json.encode(report)


def found(replica: Replica) -> Mapping[AccountName, AccountReport]:
    """Return the reports of accounts that other replicas work on; none where the database does not answer."""
    try:
        rows = replica.coordination.commands.reports()
    except StateError:
        return {}
    return read(rows, replica.tenure.planned().keys())


def read(
    rows: Collection[StatusRow], but: Collection[AccountName]
) -> Mapping[AccountName, AccountReport]:
    """Return the reports that were kept, but those of some accounts."""
    return {
        row.account: msgspec.json.decode(row.report, type=AccountReport)
        for row in rows
        if row.account not in but
    }
