"""The explanation of one device in one account, and of changes that were made: plain values, ready to be shown.

Owns: what is reported of a device, in sentences, from facts that were gathered elsewhere; and the shape of a past
change. Pure. Must not: gather facts, render, or have rules of its own about what is wanted or held.

Inside: what has to be known (``facts``), what is made of it (``story``, ``sentences``, ``changes``), the shapes
(``values``).
"""

from reconciler.reporting.explain.changes import change_report, wait_report
from reconciler.reporting.explain.facts import Facts
from reconciler.reporting.explain.story import judged_now, tell
from reconciler.reporting.explain.values import (
    ApprovalReport,
    ChangeReport,
    Explanation,
    HoldReport,
    MarkReport,
    PlaceReport,
    Position,
    WaitReport,
)

__all__ = [
    "ApprovalReport",
    "ChangeReport",
    "Explanation",
    "Facts",
    "HoldReport",
    "MarkReport",
    "PlaceReport",
    "Position",
    "WaitReport",
    "change_report",
    "judged_now",
    "tell",
    "wait_report",
]
