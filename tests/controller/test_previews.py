"""Plans for a revision that is proposed: everything counts that a pass on it would ask, and nothing is remembered."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.errors import SubscriptionsFull
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Cause,
    Desired,
    Device,
    DeviceId,
    PassId,
    Reason,
    Retry,
    Revision,
)
from reconciler.core.protection import Stated
from reconciler.core.status import PassReport
from reconciler.pcc.client import Client
from simulated import START, Fleet

HOUR = timedelta(hours=1)
OTHER = AccountName("other")


async def settled() -> Fleet:
    """Return a fleet of three devices, all of them wanted; two are live, and the third waits after a refusal."""
    fleet = Fleet(3, wanted=2)
    await fleet.reconcile()
    fleet.want(fleet.owned)
    wait = Retry(Action.SUBSCRIBE, Reason.REFUSED, 1, fleet.clock.now() + HOUR)
    waits = {fleet.owned[2]: wait}
    fleet.state.changes.record(DEFAULT_ACCOUNT, PassId("pass"), (), waits, fleet.clock.now())
    return fleet


def proposing(fleet: Fleet, desired: Desired, claims: Claims | None = None) -> PassReport:
    """Return what a pass on this desired state would do."""
    proposed = AccountRevision(desired, Revision("9" * 64))
    return fleet.reconciler.previews.preview(proposed, claims or fleet.claims)


def in_force(fleet: Fleet) -> Desired:
    """Return what the account wants now."""
    assert fleet.text is not None
    return fleet.text.desired


def holds(report: PassReport) -> dict[DeviceId, Reason]:
    """Return what is held, and why."""
    return {held.change.device: held.reason for held in report.held}


async def test_a_proposed_edit_of_an_entry_ends_its_wait() -> None:
    """As it will once it is in force; what is edited beside it ends nothing."""
    fleet = await settled()
    waiting, beside = fleet.owned[2], fleet.owned[0]
    for edited, held in ((beside, {waiting: Reason.REFUSED}), (waiting, {})):
        desired = replace(in_force(fleet), described={edited: Device(edited, "Lobby")})
        report = proposing(fleet, desired)
        assert report.plan is not None
        assert holds(report) == held
        assert len(report.plan.subscribes) == (0 if held else 1)


async def test_a_preview_knows_that_lgs_cap_is_reached() -> None:
    """Subscribes of the proposal would wait for room, as those of a pass do."""
    fleet = await settled()
    assert isinstance(fleet.client, Client)
    full = SubscriptionsFull("full", code="1312")
    fleet.reconciler.accounts.note_full(fleet.client.service, full, fleet.clock.now())
    waiting = fleet.owned[2]
    desired = replace(in_force(fleet), described={waiting: Device(waiting, "Lobby")})
    assert holds(proposing(fleet, desired)) == {waiting: Reason.SUBSCRIPTIONS_FULL}


async def test_what_is_proposed_for_other_accounts_counts_with_it() -> None:
    """A device that moves to another account in the same proposal is not let go; what is in force does not matter."""
    fleet = await settled()
    moved = fleet.owned[0]
    left = replace(in_force(fleet), devices=frozenset(fleet.owned[1:]))
    other = Desired(OTHER, frozenset({moved}))
    together = Claims.of({DEFAULT_ACCOUNT: left, OTHER: other}, Revision("9" * 64))
    assert holds(proposing(fleet, left, together))[moved] is Reason.WANTED_ELSEWHERE
    assert moved not in holds(proposing(fleet, left))


async def test_a_proposal_that_releases_a_protected_device_lets_it_go() -> None:
    """And one that protects it does not, whatever was stated before."""
    fleet = await settled()
    device = fleet.owned[0]
    left = replace(in_force(fleet), devices=frozenset(fleet.owned[1:]))
    proposed = AccountRevision(left, Revision("9" * 64))
    protects = Stated({device: DEFAULT_ACCOUNT})
    preview = fleet.reconciler.previews.preview
    assert holds(preview(proposed, fleet.claims, protects))[device] is Reason.PROTECTED
    fleet.state.protections.keep(protects)
    assert holds(preview(proposed, fleet.claims))[device] is Reason.PROTECTED
    released = Stated(ended=frozenset({device}))
    assert device not in holds(preview(proposed, fleet.claims, released))


async def test_a_preview_is_of_what_is_proposed_and_remembers_nothing() -> None:
    """That the revision in force was rejected says nothing of it, and the account goes on as it was."""
    fleet = await settled()
    before = fleet.reconciler.accounts.state(DEFAULT_ACCOUNT)
    proposed = AccountRevision(replace(in_force(fleet)), Revision("9" * 64), Cause.INVALID)
    report = fleet.reconciler.previews.preview(proposed, fleet.claims)
    assert report.rejected is None
    assert fleet.reconciler.accounts.state(DEFAULT_ACCOUNT) is before
    assert report.remarks[0] == "planned on the last trusted list, of 2026-11-01T00:00:00Z"


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({}, "planned on the last trusted list"),
        (
            {DEFAULT_ACCOUNT: START + HOUR},
            "planned on the last trusted list, of 2026-11-01T01:00:00Z",
        ),
        ({OTHER: START}, "planned on the last trusted list"),
    ],
)
async def test_the_list_of_another_replica_is_dated_by_it(
    listed: dict[AccountName, datetime], words: str
) -> None:
    """Where no pass was made here, the one that works on the account says when it trusted its list."""
    fleet = await settled()
    fleet.reconciler.accounts.forget(DEFAULT_ACCOUNT)
    assert fleet.text is not None
    preview = fleet.reconciler.previews.preview
    assert preview(fleet.text, fleet.claims, listed=listed).remarks[0] == words
