"""How long an account rests between two passes: by its interval, by what it waits for, and never too long."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from core_runs import aborted, judged
from core_strategies import ACCOUNT
from reconciler.core.account import Contact, ListRead
from reconciler.core.errors import Throttled
from reconciler.core.guards import Platform
from reconciler.core.model import DEFAULT_ACCOUNT, Memory, Observed, Plan, Reason
from reconciler.core.run import Work
from reconciler.core.status import PassReport
from reconciler.pcc.client import Client
from simulated import Fleet

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("interval", "longest"), [(10 * MINUTE, HOUR + timedelta(seconds=10)), (6 * HOUR, 6.6 * HOUR)]
)
def test_nothing_is_waited_for_longer_than_the_interval_or_an_hour(
    interval: timedelta, longest: timedelta
) -> None:
    """A date that a wrong clock made cannot keep an account waiting; one in the past makes it due at once."""
    fleet = Fleet(1)
    reports = fleet.reconciler._reports
    reports._with = replace(reports._with, interval=interval)
    assert fleet.text is not None
    run = fleet.reconciler._runs.begin(fleet.text)
    fleet.clock.pass_by(MINUTE)
    rests = []
    for wait in (-HOUR, MINUTE, 31 * MINUTE, longest, 2 * longest):
        report = PassReport(run.desired, run.began, run.began + MINUTE + wait, plan=Plan(ACCOUNT))
        rests.append(reports.rest(run, report))
    assert rests == [timedelta(0), MINUTE, 31 * MINUTE, longest, longest]


@pytest.mark.parametrize("reason", [Reason.ACCOUNT_STOPPED, Reason.QUOTA, Reason.RETRY])
@pytest.mark.parametrize("minutes", [-5, 3, 50])
def test_a_stopped_account_is_looked_at_in_its_usual_time(reason: Reason, minutes: int) -> None:
    """A credential may be another one by then; what waits for calls or for LG waits to the end."""
    fleet = Fleet(1)
    assert fleet.text is not None
    run = fleet.reconciler._runs.begin(fleet.text)
    fleet.clock.pass_by(MINUTE)
    why = aborted(reason, run.began + minutes * MINUTE, Contact(ListRead.FAILED))
    due = fleet.reconciler._reports.without_list(run, why).due - run.began
    if reason is not Reason.ACCOUNT_STOPPED or minutes == 3:
        assert due == minutes * MINUTE
    else:
        assert 10 * MINUTE <= due <= 12 * MINUTE


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (Reason.ACCOUNT_STOPPED, {Reason.ACCOUNT_STOPPED}),
        (Reason.QUOTA, {Reason.QUOTA}),
        (Reason.RETRY, set()),
    ],
)
def test_why_there_is_no_list_is_shown_from_the_first_time_on(
    reason: Reason, shown: set[Reason]
) -> None:
    """What LG does not allow since this very call trips its guard, which the state before knew nothing of."""
    fleet = Fleet(2)
    assert fleet.text is not None
    run = fleet.reconciler._runs.begin(fleet.text)
    now = fleet.clock.now()
    empty = Observed(frozenset(), now)
    fleet.state.accounts.trust(DEFAULT_ACCOUNT, empty, None, now, empty.devices)
    why = aborted(reason, run.began + HOUR, Contact())
    report = fleet.reconciler._reports.without_list(run, why)
    assert report.plan is not None
    assert {one.reason for one in report.plan.tripped} == shown
    assert {(one.reason, one.until) for one in report.held} == {(reason, run.began + HOUR)}


def test_what_is_left_of_a_throttled_pass_waits_until_there_is_room_for_all_of_it() -> None:
    """The quota is asked for as many calls as are left, so that the next pass does not begin in vain."""
    fleet = Fleet(3)
    assert fleet.text is not None
    run, now = fleet.reconciler._runs.begin(fleet.text), fleet.clock.now()
    verdict = judged(run.situation(Observed(frozenset(), now), Memory(), Platform()))
    asked: list[int] = []

    def opens_for_pass(changes: int) -> datetime:
        asked.append(changes)
        return now + changes * MINUTE

    client = cast("Client", SimpleNamespace(opens_for_pass=opens_for_pass))
    work = Work(left=list(verdict.plan.subscribes), ended=Throttled("too many"))
    report, _contact = fleet.reconciler._reports.executed(run, verdict, work, client)
    assert asked == [3]
    assert {(held.reason, held.until) for held in report.left} == {(Reason.QUOTA, now + 3 * MINUTE)}
    assert report.due == now + 3 * MINUTE
