"""When an account gets its next pass.

Owns: every reason to come back, as the earliest of all times that a pass waits for.
Must not: read a clock, do I/O, or log. ``controller.queue`` keeps the times and wakes the accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from reconciler.core import backoff
from reconciler.core.evaluate import Verdict
from reconciler.core.guards import lists
from reconciler.core.model import DeviceId, Reason, Retry
from reconciler.core.run import PassAborted, Run, Work
from reconciler.core.summary import Remainder

WAITS = frozenset({Reason.RETRY, Reason.REFUSED})
"""Reasons to hold a device that end with a wait of its own."""


def read_again(verdict: Verdict, now: datetime, confirm_delay: timedelta) -> datetime | None:
    """Return when a doubted list is read again, or None where the usual rules apply.

    No other reason makes this sooner: the third doubted list in a row is believed, so the readings must be apart.
    After three doubted lists only a person can help, and reading again soon does not.
    """
    helps = verdict.situation.memory.suspect_readings + 1 < lists.BELIEVED_AFTER
    return now + confirm_delay if verdict.suspect and helps else None


def next_due(
    run: Run,
    verdict: Verdict,
    work: Work,
    left: Remainder,
    *,
    now: datetime,
    regular: datetime,
    waits: Mapping[DeviceId, Retry],
) -> datetime:
    """Return when the next pass is due: the earliest of all times that the account waits for.

    If the whole pass was held because its list is doubted, only the regular time counts. A hold whose end had come
    before the pass began did not end then, because of the other clock. A pass at once would hold the same again.
    """
    if verdict.suspect and not lists.subscribes_in_doubt(verdict.situation.memory):
        return regular
    dates = [regular, run.boundary, left.opens]
    others = [held for held in verdict.plan.held if held.reason not in WAITS]
    ends = [held.until for held in others if held.until is not None]
    dates += [end for end in ends if end > run.began]
    flapping = [
        held.until for held in verdict.plan.held if held.change.device in verdict.plan.flapping
    ]
    kept = {held.change.device for held in others}  # their wait may be over, and does not matter
    retries = [retry.until for device, retry in waits.items() if device not in kept]
    retries += [until for until in flapping if until is not None]
    if retries and work.ended is None:
        dates.append(max(min(retries), now + backoff.GATHER))
    return min(date for date in dates if date is not None)


def due_while_stopped(run: Run, aborted: PassAborted, regular: datetime) -> datetime:
    """Return when a stopped account is tried again: at the end of its stop, or at the regular time if sooner."""
    return min(aborted.until, regular) if aborted.until > run.began else regular
