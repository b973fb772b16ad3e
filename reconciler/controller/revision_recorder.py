"""Writes down what became of revisions: log lines and metrics.

Owns: how a revision that is accepted, rejected or cannot be read becomes log lines and figures.
Must not: decide what comes into force.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog

from reconciler.core.acceptance import Accepted
from reconciler.core.clock import Clock
from reconciler.core.errors import SourceError
from reconciler.core.model import AccountName, Cause, Revision, Verified
from reconciler.source import FetchError, MissingError, RestlessError
from reconciler.telemetry.metrics import Metrics

SOURCE_ERRORS = ("missing", "fetch", "unreadable", "restless", "defect")
"""Why there is no newest revision to judge: the kinds of ``pcc_source_errors_total``."""
NAMED = 20
"""A log line names at most this many changed accounts."""

log = structlog.get_logger()


class RevisionRecorder:
    """The log and the metrics of all revisions. ``kind`` is that of the source."""

    def __init__(self, metrics: Metrics, kind: str, clock: Clock) -> None:
        self._metrics = metrics
        self._kind = kind
        self._clock = clock
        metrics.sources(SOURCE_ERRORS, Cause)

    def fetched(self) -> float:
        """Note that the source was read; return when, in epoch seconds."""
        now = self._clock.now().timestamp()
        self._metrics.source_success_timestamp.set(now)
        return now

    def not_fetched(self, error: Exception, words: str, *, again: bool) -> None:
        """Note that the source could not be read. ``again``: for the same reason as the last time."""
        kind = _kind(error)
        self._metrics.source_errors.labels(kind).inc()
        if again or isinstance(
            error, MissingError
        ):  # a missing one is logged as a rejected revision
            return
        defect = None if isinstance(error, SourceError) else error
        log.error("source.failed", kind=kind, error=words, exc_info=defect)

    def enforced(self, before: Accepted, after: Accepted, changed: Iterable[AccountName]) -> None:
        """Note what is in force now, and what is news of it."""
        self._show(after)
        accepted_again = before.rejected is not None and after.rejected is None
        if after.revision is not None and (accepted_again or after.revision != before.revision):
            log.info("desired.accepted", **_facts(after, after.revision, sorted(changed)))
        if after.rejected is not None and (after.rejected, after.faults) != (
            before.rejected,
            before.faults,
        ):
            faults = [str(fault) for fault in after.faults]
            newest = (
                after.newest if after.newest is not before.newest else None
            )  # None: nothing newer was available
            log.error(
                "desired.rejected", cause=after.rejected, revision=str(newest or ""), faults=faults
            )
        for warning in sorted(set(after.warnings) - set(before.warnings)):
            log.warning("desired.warning", message=str(warning))
        for account in sorted(after.abandoned - before.abandoned):
            log.warning("account.abandoned", account=account)

    def _show(self, after: Accepted) -> None:
        self._metrics.reload_successful.set(after.rejected is None)
        self._metrics.rejected(after.rejected)
        self._metrics.abandoned(after.abandoned)
        if after.rejected is None:
            self._metrics.reload_success_timestamp.set(self._clock.now().timestamp())
        if after.revision is not None:
            commit = after.revision.commit
            verified = commit.verified if commit else Verified.UNCHECKED
            self._metrics.revision(str(after.revision), self._kind, verified)
            self._metrics.commit_timestamp.set(commit.at.timestamp() if commit else 0)


def words_for(error: Exception) -> str:
    """Return a sentence for why the source could not be read."""
    if isinstance(error, SourceError):
        return str(error)
    return f"the revision cannot be judged, because of an error of this program: {type(error).__name__}; see the log"


def cause_of(error: Exception) -> Cause | None:
    """Return why the newest revision counts as rejected, or None where an unread one says nothing about it."""
    if isinstance(error, MissingError):
        return Cause.MISSING
    return None if isinstance(error, SourceError) else Cause.INVALID


def _kind(error: Exception) -> str:
    match error:
        case MissingError():
            return "missing"
        case RestlessError():
            return "restless"
        case FetchError():
            return "fetch"
        case SourceError():
            return "unreadable"
        case _:
            return "defect"


def _facts(after: Accepted, revision: Revision, changed: list[AccountName]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "revision": str(revision),
        "accounts": len(after.accounts),
        "devices": sum(len(one.desired.devices) for one in after.accounts.values()),
        "changed": changed[:NAMED],
    }
    commit = revision.made_by
    if commit is not None:
        facts |= {"commit": commit.id, "author": commit.author, "subject": commit.subject}
    return facts
