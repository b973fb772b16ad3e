"""The report of an account, as the page has it: all is well but for what a test changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from reconciler.core.model import Condition
from reconciler.reporting.status import AccountReport


def account_report(account: str, at: datetime | None, **changes: Any) -> AccountReport:
    """Return the report of an account whose last pass left nothing to do. ``at``: when that began, if there was one."""
    calm = AccountReport(
        account=account,
        condition=Condition.IN_SYNC,
        result="clean",
        error="",
        rejected=None,
        revision="x",
        desired=1,
        observed=1,
        devices={"in_sync": 1},
        held=(),
        flapping=(),
        approval="",
        remarks=(),
        digest="",
        unsubscribe_budget_remaining=1,
        last_attempt=at,
        last_success=at,
        out_of_sync_since=None,
        next_pass=None,
    )
    return replace(calm, **changes)
