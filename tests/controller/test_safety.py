"""Whole stories of how a fleet could be lost by mistake, and is not: text, pass, guards, state and platform."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    Approval,
    Condition,
    Device,
    DeviceId,
    PassResult,
    Policy,
    Reason,
)
from reconciler.core.status import PassReport
from reconciler.simulator import Match, Options, Platform, Route, Rule, sample_platform
from reconciler.simulator.faults import Cut, Effect, Error, Html, Mangle, Response
from reconciler.state import State
from simulated import YEAR, Fleet, SimulatedClock

Restart = Callable[[], Fleet]
HOUR = timedelta(hours=1)


class Lasting:
    """A fleet whose platform and state outlive restarts of the program."""

    def __init__(self, folder: Path, devices: int, **options: int | None) -> None:
        self.clock = SimulatedClock()
        self._folder = folder
        self.platform: Platform = sample_platform(
            {"default": devices, "stranger": devices},
            only_pcc=True,
            options=Options(token_life=YEAR, **options),  # type: ignore[arg-type]  # quota and the like
            now=lambda: self.clock.now().timestamp(),
        )
        self._state: State | None = None

    def start(self, policy: Policy | None = None) -> Fleet:
        """Start the program anew on what is left of it."""
        if self._state is not None:
            self._state.close()
        self._state = State.open(self._folder, self.clock)
        return Fleet(platform=self.platform, state=self._state, clock=self.clock, policy=policy)


def approving(fleet: Fleet, devices: list[DeviceId]) -> tuple[Approval, ...]:
    """Return the approval of some devices for a week."""
    return (
        Approval(
            frozenset(devices), fleet.clock.now() + timedelta(days=7), "wing B is being rebuilt"
        ),
    )


def reasons(ending: PassReport) -> set[Reason]:
    """Return why anything was held."""
    return {held.reason for held in ending.held}


async def test_a_file_cut_to_sixty_percent_unsubscribes_nobody_until_each_device_is_approved(
    tmp_path: Path,
) -> None:
    """Nothing goes without a word; with it exactly the named devices go at once; one more is judged by the limit."""
    fleet = Lasting(tmp_path, 100).start()
    await fleet.reconcile()
    kept, cut = fleet.owned[:60], fleet.owned[60:]
    fleet.want(kept)
    ending = await fleet.reconcile(after=timedelta(minutes=10))
    assert not fleet.calls("DELETE")
    assert reasons(ending) == {Reason.TOO_MANY}
    fleet.want(kept, approvals=approving(fleet, cut))
    ending = await fleet.reconcile()
    assert {one.device for one in fleet.calls("DELETE")} == set(cut)
    assert ending.condition is Condition.IN_SYNC
    fleet.want(kept[:54], approvals=approving(fleet, cut))
    await fleet.reconcile(after=HOUR)
    assert len(fleet.calls("DELETE")) == len(cut) + 6
    fleet.want(kept[:53], approvals=approving(fleet, cut))
    ending = await fleet.reconcile(after=HOUR)
    assert len(fleet.calls("DELETE")) == len(cut) + 6
    assert reasons(ending) == {Reason.TOO_MANY}


async def test_an_approved_removal_is_finished_after_a_restart_and_a_quota_pause(
    tmp_path: Path,
) -> None:
    """What was approved once is finished without a second word, whatever interrupts it."""
    lasting = Lasting(tmp_path, 100)
    fleet = lasting.start()
    await fleet.reconcile()
    kept, cut = fleet.owned[:60], fleet.owned[60:]
    approvals = approving(fleet, cut)
    throttle = Rule(effect=Error(code="1314"), match=Match(method="DELETE"), skip=15, count=1)
    fleet.platform.set_faults(throttle)
    fleet.want(kept, approvals=approvals)
    ending = await fleet.reconcile()
    gone = len(fleet.calls("DELETE"))
    assert 15 <= gone < 30
    assert Reason.QUOTA in reasons(ending)
    fleet = lasting.start()
    fleet.want(kept, approvals=approvals)
    await fleet.reconcile(after=HOUR + timedelta(minutes=5))
    assert fleet.live == frozenset(kept)


async def test_nine_percent_lost_each_hour_is_stopped_at_ten_percent_in_a_day(
    tmp_path: Path,
) -> None:
    """A slow leak is counted over 24 hours and over restarts, and nobody is released by waiting an hour."""
    lasting = Lasting(tmp_path, 100)
    fleet = lasting.start()
    await fleet.reconcile()
    left = list(fleet.owned)
    for _ in range(12):
        left = left[: len(left) - 9] if len(left) > 9 else left
        fleet = lasting.start()
        fleet.want(left)
        await fleet.reconcile(after=HOUR)
    assert len(fleet.calls("DELETE")) <= 10
    assert len(fleet.live) >= 90


async def test_an_empty_answer_once_makes_no_storm_and_a_real_wipe_is_healed(
    tmp_path: Path,
) -> None:
    """``null`` where 200 devices should be is not believed; the next truthful answer settles it; a wipe is healed."""
    fleet = Lasting(tmp_path, 200).start()
    await fleet.reconcile()
    subscribed = len(fleet.calls("POST"))
    fleet.platform.set_faults(
        Rule(effect=Response(form="null"), match=Match(route=Route.LIST), count=1)
    )
    ending = await fleet.reconcile(after=HOUR)
    assert reasons(ending) <= {Reason.SUSPECT_LIST}
    ending = await fleet.reconcile(after=timedelta(seconds=30))
    assert ending.result is PassResult.CLEAN
    assert len(fleet.calls("POST")) == subscribed
    fleet.platform.unsubscribe("default", *fleet.owned)
    for reading in range(3):
        assert len(fleet.live) == 0, reading
        await fleet.reconcile(after=timedelta(minutes=2))
    assert fleet.live == frozenset(fleet.owned)


async def test_another_users_token_changes_nothing_until_a_person_says_so(tmp_path: Path) -> None:
    """After a credential mix-up neither user's list is touched, however often it is read and over restarts."""
    lasting = Lasting(tmp_path, 40)
    fleet = lasting.start()
    await fleet.reconcile()
    theirs = sorted(lasting.platform.world.user("stranger").devices)
    fleet.platform.subscribe("stranger", *theirs)
    calls = len(fleet.calls("POST", "DELETE"))
    stranger = SecretStr(fleet.platform.issue_token("stranger"))
    fleet.token = stranger
    for _ in range(6):
        ending = await fleet.reconcile(after=HOUR)
        assert ending.plan is not None
        assert Reason.SUSPECT_LIST in {one.reason for one in ending.plan.tripped}
    fleet = lasting.start()
    fleet.token = stranger
    await fleet.reconcile(after=HOUR)
    assert len(fleet.calls("POST", "DELETE")) == calls
    fleet.state.accounts.person_agrees(DEFAULT_ACCOUNT)
    await fleet.reconcile()
    await fleet.reconcile(after=HOUR)
    assert fleet.platform.subscribed("stranger") >= frozenset(theirs[:30])


async def test_a_doubted_list_is_not_read_again_sooner_for_the_sake_of_a_retry(
    tmp_path: Path,
) -> None:
    """Three short lists in a row are believed, so they have to be as far apart as they are meant to be."""
    fleet = Lasting(tmp_path, 40).start()
    await fleet.reconcile()
    fleet.platform.unsubscribe("default", fleet.owned[0])
    fleet.platform.set_faults(Rule(effect=Error(code="2210"), match=Match(method="POST"), count=1))
    await fleet.reconcile(after=HOUR)
    assert fleet.due is not None
    fleet.platform.set_faults(Rule(effect=Response(form="null"), match=Match(route=Route.LIST)))
    ending = await fleet.reconcile(after=timedelta(seconds=0))
    assert reasons(ending) <= {Reason.SUSPECT_LIST, Reason.RETRY}
    assert fleet.due == timedelta(seconds=30)


async def test_a_list_that_waits_for_a_person_is_not_asked_for_every_moment(tmp_path: Path) -> None:
    """A doubted list is read twice more soon; once only a person can have it believed, at the account's own pace."""
    fleet = Lasting(tmp_path, 40).start()
    await fleet.reconcile()
    fleet.token = SecretStr(fleet.platform.issue_token("stranger"))
    waits = []
    for _ in range(5):
        await fleet.reconcile(after=fleet.due or HOUR)
        waits.append(fleet.due)
    soon, regular = waits[:2], waits[2:]
    assert soon == [timedelta(seconds=30)] * 2
    assert all(wait is not None and wait >= timedelta(minutes=9) for wait in regular)


async def test_an_empty_desired_list_clears_nobody(tmp_path: Path) -> None:
    """An account without any entry keeps its live devices, unless the text says that it may be empty."""
    fleet = Lasting(tmp_path, 4).start()
    await fleet.reconcile()
    fleet.want([])
    ending = await fleet.reconcile()
    assert not fleet.calls("DELETE")
    assert reasons(ending) == {Reason.EMPTY_DESIRED}
    fleet.want([], policy=Policy(allow_empty=True))
    await fleet.reconcile()
    assert fleet.live == frozenset()


async def test_a_removed_device_is_kept_for_as_long_as_the_policy_says(tmp_path: Path) -> None:
    """``unsubscribe_after`` counts from when the device left the texts, and coming back starts it anew."""
    lasting = Lasting(tmp_path, 10)
    policy = Policy(unsubscribe_after=timedelta(hours=2))
    fleet = lasting.start(policy)
    await fleet.reconcile()
    fleet.want(fleet.owned[:9])
    await fleet.reconcile()
    fleet.want(fleet.owned)
    await fleet.reconcile(after=HOUR)
    fleet.want(fleet.owned[:9])
    ending = await fleet.reconcile(after=HOUR)
    assert reasons(ending) == {Reason.UNSUBSCRIBE_AFTER}
    await fleet.reconcile(after=timedelta(minutes=59))
    assert not fleet.calls("DELETE")
    assert fleet.due == timedelta(minutes=1)
    await fleet.reconcile(after=fleet.due)
    assert fleet.live == frozenset(fleet.owned[:9])


@pytest.mark.parametrize("lost", ["whole", "none"])
async def test_losing_the_state_makes_nothing_more_permissive(tmp_path: Path, lost: str) -> None:
    """Without state nothing is owned, and the limit is what it was."""
    lasting = Lasting(tmp_path / "a", 100)
    fleet = lasting.start()
    await fleet.reconcile()
    if lost == "whole":
        lasting._folder = tmp_path / "b"
    fleet = lasting.start()
    fleet.want(fleet.owned[:60])
    ending = await fleet.reconcile(after=HOUR)
    assert not fleet.calls("DELETE")
    assert reasons(ending) == {Reason.TOO_MANY}


async def test_a_doubted_list_is_not_believed_sooner_for_an_old_noop(tmp_path: Path) -> None:
    """A change that LG once called done already does not make the second short list count as the third."""
    fleet = Lasting(tmp_path, 60).start(Policy(max_unsubscribe=1000))
    ghost, strangers = fleet.owned[0], fleet.owned[50:]
    fleet.want(fleet.owned[:50])
    fleet.platform.set_faults(Rule(effect=Error(code="1207"), match=Match(devices=(ghost,))))
    await fleet.reconcile()
    calls = len(fleet.calls("POST", "DELETE"))
    fleet.platform.unsubscribe("default", *fleet.owned[2:50])
    fleet.platform.subscribe("default", *strangers)
    for _ in range(2):
        await fleet.reconcile(after=HOUR)
        assert len(fleet.calls("POST", "DELETE")) == calls


async def test_a_token_replaced_in_the_middle_stops_the_plan(tmp_path: Path) -> None:
    """What was planned from one user's list is never sent with another user's token."""
    fleet = Lasting(tmp_path, 20).start(Policy(max_unsubscribe=1000))
    fleet.platform.subscribe("default", *fleet.owned)
    fleet.want(fleet.owned[:10])
    stranger = SecretStr(fleet.platform.issue_token("stranger"))

    def swap(_request: object) -> None:
        if len(fleet.calls("DELETE")) == 3:
            fleet.token = stranger

    fleet.transport.on_request = swap
    await fleet.reconcile()
    assert {one.user for one in fleet.calls("DELETE")} == {"default"}
    assert len(fleet.calls("DELETE")) < 10


async def test_a_date_that_comes_during_a_pass_stops_the_plan(tmp_path: Path) -> None:
    """A device whose time begins while a pass is under way is not unsubscribed by that pass."""
    fleet = Lasting(tmp_path, 12).start(Policy(max_unsubscribe=1000))
    fleet.platform.subscribe("default", *fleet.owned)
    guest = fleet.owned[-1]
    begins = fleet.clock.now() + timedelta(seconds=5)
    fleet.want([*fleet.owned[:2], guest], described={guest: Device(guest, from_=begins)})
    fleet.transport.on_request = lambda _request: fleet.clock.pass_by(timedelta(seconds=1))
    await fleet.reconcile()
    assert fleet.due == timedelta(0)
    await fleet.reconcile()
    assert guest in fleet.live


async def test_an_approval_that_ends_during_a_pass_releases_nothing_more(tmp_path: Path) -> None:
    """An approval is good until it expires, not until the pass that began before is done."""
    fleet = Lasting(tmp_path, 40).start()
    await fleet.reconcile()
    ends = fleet.clock.now() + timedelta(seconds=8)
    cut = fleet.owned[20:]
    fleet.want(fleet.owned[:20], approvals=(Approval(frozenset(cut), ends, "wing B"),))
    fleet.transport.on_request = lambda _request: fleet.clock.pass_by(timedelta(seconds=1))
    await fleet.reconcile()
    await fleet.reconcile()
    assert 0 < len(fleet.calls("DELETE")) < 12


@pytest.mark.parametrize(
    "effect", [Html(status=200), Cut(keep=0.6), Mangle(), Response(form="missing")], ids=str
)
async def test_shape_3_what_is_not_a_whole_list_is_never_one(
    tmp_path: Path, effect: Effect
) -> None:
    """A page of HTML, cut JSON, a broken item or an answer without its list: nobody goes on its strength."""
    fleet = Lasting(tmp_path, 40).start(Policy(max_unsubscribe=1000))
    await fleet.reconcile()
    fleet.want(fleet.owned[:20])
    calls = len(fleet.calls("POST", "DELETE"))
    fleet.platform.set_faults(Rule(effect=effect, match=Match(route=Route.LIST), count=2))
    for _ in range(2):
        await fleet.reconcile(after=HOUR)
    assert len(fleet.calls("POST", "DELETE")) == calls
