"""What people and programs ask for, as plain values ready to be shown.

``status`` is where everything stands, and the plans of passes; ``coming`` what changes by itself; ``story`` what is
known of one device and ``inquiry`` what it takes to find that out; ``comparison`` and ``proposal`` are for pull
requests: what a change of the files adds and removes, and what it would do; ``examination`` is what ``doctor`` found.
Must not: render, or change anything.
"""

from reconciler.reporting.status import (
    NAMED,
    PENDING,
    AccountReport,
    GuardReport,
    HeldReport,
    PauseReport,
    PlanReport,
    SeenReport,
    StatusReport,
    TextReport,
    account_report,
    exit_code,
    held_reports,
    status_report,
    total,
)

__all__ = [
    "NAMED",
    "PENDING",
    "AccountReport",
    "GuardReport",
    "HeldReport",
    "PauseReport",
    "PlanReport",
    "SeenReport",
    "StatusReport",
    "TextReport",
    "account_report",
    "exit_code",
    "held_reports",
    "status_report",
    "total",
]
