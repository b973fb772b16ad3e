"""The exit codes of ``plan`` and ``apply``, and the sums of what passes did.

Owns: which code a plan or a pass comes to. Must not: print, or end a process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from reconciler.core.model import Kind
from reconciler.core.status import PassReport, counts
from reconciler.reporting.status import PlanReport

ERROR, PENDING, HELD, REFUSED = 1, 2, 3, 4
"""The exit codes: no list, changes that wait to be made, held by a guard, failed or refused by LG."""
SEVERITY = (ERROR, HELD, REFUSED, PENDING)
"""The exit codes, the gravest first: of several accounts the first that one has is the code of all."""


def exit_code(reports: Iterable[PlanReport], *, pending: int | None = None) -> int:
    """Return the exit code: 1 before 3 before 4 before ``pending``; 0 when there is nothing to report.

    Kind *guard* makes 3; failed, refused and held by *platform* make 4; held by *policy* makes neither. With
    ``pending`` the passes only looked; without, a change that was not held and not made makes 4 too.
    """
    found = set[int]()
    for report in reports:
        found |= _codes(report.ending)
        if pending is None and report.ending.unfinished:
            found.add(REFUSED)
        if pending is not None and report.plan.changes:
            found.add(pending)
    for code in SEVERITY:
        if code in found:
            return code
    return 0


def _codes(ending: PassReport) -> set[int]:
    """Return the exit codes of one pass."""
    found = set[int]()
    if ending.error and not ending.trusted:
        found.add(ERROR)
    if ending.unexpected or ending.guarded:
        found.add(HELD)
    withheld = any(held.reason.kind is Kind.PLATFORM for held in ending.held)
    if withheld or ending.unmade or not ending.trusted:
        found.add(REFUSED)
    return found


def total(reports: Iterable[PlanReport]) -> Mapping[str, int]:
    """Return the sums of what passes did, for the last line of a report."""
    sums: Counter[str] = Counter()
    for report in reports:
        sums.update(counts(report.ending))
    return sums
