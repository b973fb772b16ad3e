"""Judges whether every account has its passes, for a heartbeat to the outside.

Owns: since when an account could have had a pass, and which one is late. Must not: send anything, or read a clock.

A pass counts when its list was trusted. An account that was just added, or a process that just started, is given the
same time as all others before it is late. Until then a heartbeat says nothing: it would be a guess either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from reconciler.core import duration
from reconciler.core.text import counted, listing
from reconciler.reporting.status import NAMED, AccountReport, StatusReport

INTERVALS = 2
LEAST = timedelta(minutes=5)
"""With a shorter interval, one answer of LG that failed and its retry must not alarm anybody."""


class Verdict(StrEnum):
    """How the passes are."""

    ON_TIME = "on time"
    LATE = "late"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Beat:
    """A verdict, and what a person should read beside it."""

    verdict: Verdict
    text: str


def limit(interval: timedelta) -> timedelta:
    """Return how long ago an account's last pass may have been."""
    return max(INTERVALS * interval, LEAST)


class Punctuality:
    """Judges one status after the other. ``began`` is the start of this process."""

    def __init__(self, allowed: timedelta, began: datetime) -> None:
        self._allowed, self._began = allowed, began
        self._known: dict[str, datetime] = {}

    def judge(self, status: StatusReport) -> Beat:
        """Return whether every account of a status had its pass in time.

        The last pass that was seen of an account counts also where the status does not know it for a moment.
        """
        known = {
            one.account: self._reference(one, status.at, self._known) for one in status.accounts
        }
        self._known = known
        late = sorted(name for name, since in known.items() if status.at - since > self._allowed)
        if late or (not known and status.at - self._began > self._allowed):
            return Beat(Verdict.LATE, self._words(status, late))
        seen = all(one.last_success is not None for one in status.accounts)
        on_time = bool(known) and seen
        return Beat(Verdict.ON_TIME if on_time else Verdict.UNKNOWN, status.summary)

    @staticmethod
    def _reference(account: AccountReport, now: datetime, before: dict[str, datetime]) -> datetime:
        """Return the moment from which on an account's time runs."""
        last = account.last_success
        since = before.get(account.account, now if last is None else last)
        return since if last is None else max(last, since)

    def _words(self, status: StatusReport, late: Sequence[str]) -> str:
        """Return the page's sentence, and which accounts are late."""
        span = duration.show(self._allowed)
        if not late:
            return f"{status.summary}\nNo revision is in force after {span}.\n"
        names = listing(late, NAMED)
        return f"{status.summary}\nNo pass within {span} in {counted(len(late), 'account')}: {names}.\n"
