"""Passes of an account that another replica may take at any time: what they ask before a change, and how often."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import httpx
import pytest

from reconciler.controller.reconciler import Reconciler
from reconciler.controller.tenure import Alone
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, Reason
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from simulated import Fleet

HALF = timedelta(seconds=0.5)


class Lent(Alone):
    """The tenure of one replica among others. An intent older than two seconds has to be confirmed."""

    fresh_seconds = 2.0

    def __init__(self, *, batch: int | None = None, confirms: bool = True) -> None:
        self.batch = batch
        self.confirms = confirms
        self.asked: list[AccountName] = []

    def confirm(self, account: AccountName) -> bool:
        """Answer as the test wants."""
        self.asked.append(account)
        return self.confirms


def lent(fleet: Fleet, tenure: Alone) -> Reconciler:
    """Return what makes the passes of a fleet on this tenure."""
    means = replace(fleet.reconciler._with, tenure=tenure)
    return Reconciler(fleet, lambda _account: fleet.client, means)


def passing(fleet: Fleet, methods: Collection[str], span: timedelta) -> None:
    """Let time pass with each request of these methods."""

    def passes(request: httpx.Request) -> None:
        if request.method in methods:
            fleet.clock.pass_by(span)

    fleet.transport.on_request = passes


@pytest.mark.parametrize("action", ["POST", "DELETE"])
@pytest.mark.parametrize(("confirms", "made", "asked"), [(True, 12, 2), (False, 5, 1)])
async def test_what_was_intended_a_while_ago_is_confirmed_before_it_is_done(
    action: str, *, confirms: bool, made: int, asked: int
) -> None:
    """Each two seconds at least; where the account is another replica's by then, no further call is made."""
    fleet = Fleet(13, wanted=1 if action == "DELETE" else 13, concurrency=1)
    fleet.platform.subscribe("default", fleet.owned[0])
    if action == "DELETE":
        assert fleet.text is not None
        policy = replace(fleet.text.desired.policy, max_unsubscribe=100)
        fleet.want(fleet.owned[:1], policy=policy)
        for device in fleet.owned:
            fleet.platform.subscribe("default", device)
    passing(fleet, [action], HALF)
    tenure = Lent(confirms=confirms)
    await lent(fleet, tenure).reconcile(DEFAULT_ACCOUNT)
    assert (len(fleet.calls(action)), tenure.asked) == (made, [DEFAULT_ACCOUNT] * asked)
    open_or_made = fleet.state.history.changes(DEFAULT_ACCOUNT)
    assert len(open_or_made) == made


@pytest.mark.parametrize(("batch", "ahead"), [(None, 12), (3, 3)])
async def test_no_more_is_intended_ahead_than_the_tenure_lets(
    batch: int | None, ahead: int
) -> None:
    """A replica that dies leaves only so many intents of which nobody knows whether they were carried out."""
    fleet = Fleet(12, concurrency=1)
    intended: list[int] = []

    def counted(request: httpx.Request) -> None:
        if request.method == "POST":
            found = fleet.state.history.changes(DEFAULT_ACCOUNT)
            intended.append(sum(past.result is None for past in found))

    fleet.transport.on_request = counted
    await lent(fleet, Lent(batch=batch)).reconcile(DEFAULT_ACCOUNT)
    assert len(fleet.live) == 12
    assert intended[0] == ahead
    assert all(later - before <= ahead for before, later in pairwise(intended))


@pytest.mark.parametrize(("seconds", "sent"), [(1.5, 13), (2.5, 1)])
async def test_a_change_that_waited_long_for_a_token_is_planned_anew(
    seconds: float, sent: int
) -> None:
    """LG refuses the token of the first change; the renewal takes so long that the account may be another replica's."""
    fleet = Fleet(12, concurrency=1, refreshing=True)
    fleet.platform.set_faults(Rule(Error(code="1302"), match=Match(route=Route.SUBSCRIBE), count=1))
    renewals: list[str] = []

    def slow(request: httpx.Request) -> None:
        if request.url.path.endswith("/token"):
            renewals.append(request.url.path)
            if len(renewals) > 1:
                fleet.clock.pass_by(timedelta(seconds=seconds))

    fleet.transport.on_request = slow
    reconciler = lent(fleet, Lent())
    due = await reconciler.reconcile(DEFAULT_ACCOUNT)
    assert len(renewals) == 2
    assert len(fleet.calls("POST")) - len(renewals) == sent
    if sent == 1:
        assert due == timedelta(0)
        report = reconciler.accounts.statuses[DEFAULT_ACCOUNT].last
        assert report is not None
        assert Reason.ACCOUNT_STOPPED not in {held.reason for held in report.held}
        await reconciler.reconcile(DEFAULT_ACCOUNT)
    assert len(fleet.live) == 12
