"""One question, one answer: the pass, the dry run, the preview and ``explain`` hold the same changes for one reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta

import pytest

from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import Unknown
from reconciler.core.guards import PauseOverride
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Desired,
    DeviceId,
    Pause,
    Policy,
    Reason,
)
from reconciler.core.status import PassReport
from reconciler.reporting import queries
from reconciler.reporting.knowledge import Knowledge
from reconciler.simulator import Match, Rule
from reconciler.simulator.faults import Effect, Error, Html
from simulated import Fleet

OPEN = Policy(max_unsubscribe=1000, allow_empty=True)
MINUTE = timedelta(minutes=1)
OTHER = AccountName("other")

Reasons = Mapping[DeviceId, str]


def held_by(report: PassReport | None) -> Reasons:
    """Return what a report holds, and why."""
    assert report is not None
    return {one.change.device: one.reason for one in report.held}


def explained(fleet: Fleet, *, after_the_pass: bool = False) -> Reasons:
    """Return what ``explain`` says is held; before the pass by what a pass would find, after it by what it found."""
    assert fleet.text is not None
    accounts = fleet.reconciler.accounts
    known = Knowledge(
        now=fleet.clock.now(),
        accepted=Accepted({DEFAULT_ACCOUNT: fleet.text}),
        state=fleet.state,
        kept=lambda: (),
        statuses=accounts.statuses if after_the_pass else {},
        platforms=accounts.platforms,
        claims=fleet.claims,
    )
    found = {}
    for device in fleet.owned:
        with suppress(Unknown):  # nobody wants it, and no list has it
            hold = queries.device(known, DEFAULT_ACCOUNT, device).hold
            if hold is not None:
                found[device] = hold.reason
    return found


async def calm(fleet: Fleet) -> Reasons:
    """Change what nothing holds."""
    fleet.want(fleet.owned[:15], policy=OPEN)
    return {}


async def too_many(fleet: Fleet) -> Reasons:
    """Take out more than the limit allows."""
    fleet.want(fleet.owned[:5], policy=Policy())
    return dict.fromkeys(fleet.owned[5:18], Reason.TOO_MANY)


async def empty(fleet: Fleet) -> Reasons:
    """Let the account list nothing."""
    fleet.want((), policy=Policy())
    return dict.fromkeys(fleet.owned[:18], Reason.EMPTY_DESIRED)


async def paused(fleet: Fleet) -> Reasons:
    """Pause unsubscribes in the file, and everything by command."""
    fleet.state.pauses.set(
        DEFAULT_ACCOUNT, PauseOverride(Pause.ALL, None, "night shift"), fleet.clock.now()
    )
    fleet.want(fleet.owned[1:], policy=Policy(pause=Pause.UNSUBSCRIBE))
    return dict.fromkeys((fleet.owned[0], *fleet.owned[18:]), Reason.PAUSED)


async def absent_for_a_moment(fleet: Fleet) -> Reasons:
    """Take a device out that has to be absent for an hour."""
    fleet.want(fleet.owned[1:18], policy=Policy(unsubscribe_after=timedelta(hours=1)))
    return {fleet.owned[0]: Reason.UNSUBSCRIBE_AFTER}


async def after_calls(fleet: Fleet, effect: Effect) -> None:
    """Want two more devices, of which LG fails one."""
    fleet.want(fleet.owned, policy=OPEN)
    fleet.platform.set_faults(Rule(effect=effect, match=Match(devices=(fleet.owned[18],))))
    await fleet.reconcile(after=MINUTE)


async def failed(fleet: Fleet) -> Reasons:
    """Let a call for a device fail."""
    await after_calls(fleet, Html(status=503))
    return {fleet.owned[18]: Reason.RETRY}


async def refused(fleet: Fleet) -> Reasons:
    """Let LG refuse a device."""
    await after_calls(fleet, Error(code="1214"))
    return {fleet.owned[18]: Reason.REFUSED}


async def wanted_elsewhere(fleet: Fleet) -> Reasons:
    """Take devices out of which another account wants one."""
    fleet.want(fleet.owned[2:18], policy=OPEN)
    assert fleet.text is not None
    other = Desired(OTHER, frozenset(fleet.owned[:1]))
    revisions = {DEFAULT_ACCOUNT: fleet.text, OTHER: AccountRevision(other, fleet.text.revision)}
    fleet.claims.follow(revisions)
    fleet.claims.enforce(revisions)
    return {fleet.owned[0]: Reason.WANTED_ELSEWHERE}


async def stopped(fleet: Fleet) -> Reasons:
    """Let LG refuse the account; what a guard holds besides keeps its own reason."""
    fleet.platform.set_faults(Rule(effect=Error(code="1302")))
    await fleet.reconcile(after=MINUTE)
    fleet.want((*fleet.owned[:5], *fleet.owned[18:]), policy=Policy())
    guarded = dict.fromkeys(fleet.owned[5:18], Reason.TOO_MANY)
    return {**guarded, **dict.fromkeys(fleet.owned[18:], Reason.ACCOUNT_STOPPED)}


async def without_credentials(fleet: Fleet) -> Reasons:
    """Take the credentials away, which an earlier pass finds."""
    fleet.client = "set PCC_ACCESS_TOKEN"
    await fleet.reconcile(after=MINUTE)
    fleet.want(fleet.owned, policy=OPEN)
    return dict.fromkeys(fleet.owned[18:], Reason.ACCOUNT_STOPPED)


async def full(fleet: Fleet) -> Reasons:
    """Let an earlier pass reach LG's cap on subscribed devices."""
    fleet.platform.set_options(subscription_cap=18)
    fleet.want(fleet.owned[:19], policy=OPEN)
    await fleet.reconcile(after=MINUTE)
    fleet.want(fleet.owned, policy=OPEN)
    return dict.fromkeys(fleet.owned[18:], Reason.SUBSCRIPTIONS_FULL)


SITUATIONS: tuple[Callable[[Fleet], Awaitable[Reasons]], ...] = (
    *(calm, too_many, empty, paused, absent_for_a_moment, failed, refused, wanted_elsewhere),
    *(stopped, without_credentials, full),
)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
async def test_all_hold_the_same_for_the_same_reason(
    situation: Callable[[Fleet], Awaitable[Reasons]],
) -> None:
    """Whoever asks what a pass would do hears what the next pass does."""
    fleet = Fleet(20, wanted=18, policy=OPEN)
    await fleet.reconcile()
    expected = await situation(fleet)
    fleet.clock.pass_by(timedelta(seconds=1))
    assert fleet.text is not None
    by_explain = explained(fleet)
    by_preview = held_by(
        await asyncio.to_thread(fleet.reconciler.previews.preview, fleet.text, fleet.claims)
    )
    by_dry_run = held_by(await fleet.reconciler.previews.dry_run(DEFAULT_ACCOUNT))
    by_pass = held_by(await fleet.reconcile())
    assert by_pass == expected
    assert by_dry_run == expected
    assert by_preview == expected
    assert by_explain == expected
    assert explained(fleet, after_the_pass=True) == expected
