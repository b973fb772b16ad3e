"""What people and programs ask for, as plain values ready to be shown.

Owns: the status and plans (``status``), boundaries to come (``forecast``), one device (``explain``), lookups and past
changes (``queries``), pull requests (``diff``, ``preview``), and what ``doctor`` found (``diagnosis``). ``formats``
shows them. Must not: change anything, or know who asks.
"""

from reconciler.reporting.exit_codes import (
    ERROR,
    HELD,
    PENDING,
    REFUSED,
    SEVERITY,
    exit_code,
    total,
)
from reconciler.reporting.pauses import PauseReport
from reconciler.reporting.status import (
    NAMED,
    AccountReport,
    GuardReport,
    HeldReport,
    PlanReport,
    SeenReport,
    StatusReport,
    TextReport,
    account_report,
    held_reports,
    status_report,
)

__all__ = [
    "ERROR",
    "HELD",
    "NAMED",
    "PENDING",
    "REFUSED",
    "SEVERITY",
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
