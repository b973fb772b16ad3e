"""The reports of all accounts, of which those without news are kept.

Owns: when a report may serve again. Must not: say anything itself: ``status`` makes each report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.core.acceptance import AccountRevision
from reconciler.core.model import AccountName
from reconciler.core.registry_news import RegistryNews
from reconciler.core.status import AccountStatus
from reconciler.reporting.heard import KnownEvents, heard_of_account
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.status import AccountReport, account_report, remarks

ALIKE = timedelta(seconds=0.1)
"""Two readings of one clock may differ by this: the next pass is the same."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A report, and what it was made of."""

    standing: AccountStatus
    text: AccountRevision
    registry: RegistryNews | None
    report: AccountReport

    def again(self, next_pass: datetime | None, events: KnownEvents | None) -> AccountReport:
        """Return the report with what may change without a pass."""
        report = self.report
        heard = heard_of_account(events, self.standing.account)
        if heard == report.heard and _same(next_pass, report.next_pass):
            return report
        words = remarks(self.standing, heard, self.registry)
        return replace(report, next_pass=next_pass, heard=heard, remarks=words)


@dataclass(slots=True)
class AccountReports:
    """Makes the reports of all accounts. Each is kept until the account has another pass or revision."""

    _made: Mapping[AccountName, _Made] = field(default_factory=dict)

    def of_all(self, known: Knowledge) -> Mapping[AccountName, AccountReport]:
        """Return the report of every account in force. For a worker thread."""
        before, made = self._made, dict[AccountName, _Made]()
        for account, text in known.accepted.accounts.items():
            standing = known.statuses.get(account) or AccountStatus(account)
            made[account] = _made(
                before.get(account),
                standing,
                text,
                known.passes.get(account),
                known.events,
                registry=known.registries.get(account),
            )
        self._made = made
        return {account: one.report for account, one in made.items()}


def _made(
    before: _Made | None,
    standing: AccountStatus,
    text: AccountRevision,
    next_pass: datetime | None,
    events: KnownEvents | None,
    *,
    registry: RegistryNews | None,
) -> _Made:
    if (
        before is None
        or before.standing is not standing
        or before.text is not text
        or before.registry is not registry
    ):
        report = account_report(standing, text, next_pass, events, registry=registry)
        return _Made(standing, text, registry, report)
    report = before.again(next_pass, events)
    return before if report is before.report else replace(before, report=report)


def _same(one: datetime | None, other: datetime | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < ALIKE
