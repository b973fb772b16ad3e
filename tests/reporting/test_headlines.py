"""No headline says that all is well while a guard is tripped, wherever one is worded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.api.client.waiting import Watch
from reconciler.api.page import Page
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.model import (
    AccountName,
    Condition,
    Desired,
    DeviceId,
    Kind,
    Plan,
    Reason,
    Revision,
    Tripped,
)
from reconciler.core.status import AccountStatus, PassReport
from reconciler.reporting import PlanReport, StatusReport, exit_code, status_report
from reconciler.reporting.formats import plans, statuses
from reconciler.reporting.queries import Overview

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ACCOUNT = AccountName("seoul-hotel")
TEXT = Desired(ACCOUNT, frozenset({DeviceId("a")}))
REVISION = Revision("a" * 64)
GUARDS = [reason for reason in Reason if reason.kind is Kind.GUARD]


def ending(*reasons: Reason, trusted: bool = True) -> PassReport:
    """Return a pass that held nothing while these guards were tripped."""
    tripped = tuple(Tripped(reason, f"{reason} says so") for reason in reasons)
    observed = 1 if trusted else None
    return PassReport(
        TEXT,
        NOW,
        NOW + timedelta(minutes=10),
        Plan(ACCOUNT, tripped=tripped, in_sync=1),
        observed=observed,
    )


def status(end: PassReport, mode: str = "enforce") -> StatusReport:
    """Return a status with that pass as the last one of its only account."""
    text = AccountRevision(TEXT, REVISION)
    accepted = Accepted({ACCOUNT: text}, revision=REVISION, newest=REVISION)
    facts: dict[str, Any] = {
        "source": "file",
        "trouble": "",
        "fetched_at": NOW.timestamp(),
        "passes": {},
        "now": NOW,
    }
    return status_report(accepted, {ACCOUNT: AccountStatus(ACCOUNT).after(end)}, mode=mode, **facts)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("mode", ["enforce", "observe"])
@pytest.mark.parametrize("reason", GUARDS)
def test_no_status_is_well_while_a_guard_is_tripped(
    reason: Reason, mode: str, *, trusted: bool
) -> None:
    """Status as text, as Markdown and as a page name the account and the guard, also where nothing is held."""
    one = status(ending(reason, trusted=trusted), mode)
    page = Page().render(Overview(one, ()))
    assert not one.well
    assert one.accounts[0].condition == Condition.HELD
    for shown in (
        one.summary,
        statuses.status_text(one),
        statuses.status_markdown(one),
        page.partition("<body>")[2],
    ):
        assert "All is well" not in shown
        assert "held by a guard" in shown
    for shown in (statuses.status_text(one), statuses.status_markdown(one), page):
        assert f"{reason} says so" in shown.replace("\\", "")
    assert "<title>! seoul-hotel is held by a guard" in page


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("reason", GUARDS)
def test_no_wait_and_no_plan_is_done_while_a_guard_is_tripped(
    reason: Reason, *, trusted: bool
) -> None:
    """Whoever waits for the account, plans or applies is sent to a person: 3, and the guard by name."""
    end = ending(reason, trusted=trusted)
    verdict = Watch().look(status(end))
    assert (verdict.code, verdict.late) in {(3, 1), (None, 3)}
    assert reason in verdict.words
    report = PlanReport(ACCOUNT, str(REVISION), end)
    assert exit_code([report]) == exit_code([report], pending=2) == 3
    for done in (True, False):
        text, comment = (
            plans.plan_text([report], done=done),
            plans.plan_markdown([report], done=done),
        )
        for shown in (text, comment.replace("\\", "")):
            assert f"{reason} says so" in shown
            assert "a person has to decide" in shown


def test_all_is_well_where_no_guard_is_tripped() -> None:
    """The same words without a guard say that all is well, in every place."""
    one = status(ending())
    assert one.well
    assert one.summary.startswith("All is well")
    assert "✓ All is well" in Page().render(Overview(one, ()))
    assert Watch().look(one).code == 0
