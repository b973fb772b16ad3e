"""The judgement of this machine's clock by the times in LG's answer.

Owns: the check ``clock`` and its limits. Pure. Must not: read a clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core.clock import TOLERATED
from reconciler.reporting.diagnosis.values import Asked, Check, Fact, Finding, Level, skipped
from reconciler.reporting.diagnosis.words import span

CLOCK_NEAR, CLOCK_FAR = timedelta(seconds=30), TOLERATED
"""A clock that differs by more than the first from LG's is a warning, by more than the second a failure: it takes
devices in and out at the wrong time, and lets approvals end late."""
HEADER_STEP = timedelta(seconds=1)
"""The header ``Date`` has whole seconds."""


def clock(asked: Asked) -> Finding:
    """Judge our clock by the times in LG's answer."""
    reported = {
        "its answer": _ahead(asked.envelope, asked, timedelta(0)),
        "the header Date": _ahead(asked.header, asked, HEADER_STEP),
    }
    known = {words: ahead for words, ahead in reported.items() if ahead is not None}
    if not known:
        return skipped(Check.CLOCK, "LG reported no time")
    worst = max(known.values(), key=abs)
    facts: dict[str, Fact] = {"ahead_seconds": round(worst.total_seconds(), 3)}
    if abs(worst) <= CLOCK_NEAR:
        return Finding(Check.CLOCK, Level.OK, f"this clock {_differs(worst)}", facts=facts)
    if max(known.values()) - min(known.values()) > CLOCK_NEAR:
        sides = [f"by {words} this clock {_differs(one)}" for words, one in known.items()]
        fix = "make sure that this machine's clock is right (NTP); LG's may be wrong"
        return Finding(
            Check.CLOCK, Level.WARN, f"LG reports two times: {', '.join(sides)}", fix, facts
        )
    fix = "set this machine's clock (NTP): by it devices come and go at their dates, and approvals end"
    if abs(worst) > CLOCK_FAR:
        fix += "; until then a device is wanted when either clock says so, and an approval is valid when both do"
    level = Level.FAIL if abs(worst) > CLOCK_FAR else Level.WARN
    return Finding(Check.CLOCK, level, f"this clock {_differs(worst)}", fix, facts)


def _ahead(reported: datetime | None, asked: Asked, step: timedelta) -> timedelta | None:
    """Return by how much LG's clock is ahead of ours at least, however long the answer took."""
    if reported is None:
        return None
    return max(reported - asked.ended, timedelta(0)) - max(
        asked.began - reported - step, timedelta(0)
    )


def _differs(ahead: timedelta) -> str:
    distance = span(abs(ahead.total_seconds()))
    if distance == "0s":
        return "agrees with LG's"
    side = "behind" if ahead > timedelta(0) else "ahead of"
    return f"is {distance} {side} LG's"
