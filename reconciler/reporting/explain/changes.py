"""Past changes of a device, and the wait that failed or refused ones lead to, as reports.

Owns: since when a device waits, by its past changes. Must not: read the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reconciler.core.model import Reason, Result, Retry
from reconciler.reporting.explain.values import ChangeReport, WaitReport
from reconciler.state import Past


def change_report(past: Past, name: str | None) -> ChangeReport:
    """Return one past change with the device's name of that day; ``name`` is for where that was not kept."""
    commit = past.revision.made_by if past.revision is not None else None
    return ChangeReport(
        at=past.at,
        account=past.account,
        device=past.device,
        name=name if past.name is None else past.name or None,
        action=past.action,
        result=past.result,
        confirmed_by=past.confirmed_by,
        approved=past.approved,
        revision=str(past.revision) if past.revision is not None else None,
        commit=commit.id if commit is not None else None,
        author=commit.author if commit is not None else None,
        subject=commit.subject if commit is not None else None,
        pass_id=past.pass_id,
        message_id=past.message_id,
        lg_message_id=past.lg_message_id,
        status=past.status,
        code=past.code,
        words=past.words,
    )


def wait_report(retry: Retry, pasts: Sequence[Past]) -> WaitReport:
    """Return what a device waits for; since when, its past changes tell, newest first."""
    return WaitReport(
        reason=retry.reason,
        action=retry.action,
        attempts=retry.attempts,
        since=_since(retry, pasts),
        next_try=retry.until,
        code=retry.code,
        words=retry.words,
    )


def _since(retry: Retry, pasts: Sequence[Past]) -> datetime | None:
    """Return the first of the row of like results that the present wait comes from."""
    like = Result.REFUSED if retry.reason is Reason.REFUSED else Result.FAILED
    since = None
    for past in pasts:
        if past.result is None:
            continue
        if past.result is not like or past.action is not retry.action:
            break
        since = past.at
    return since
