"""The pass: what it observes, makes, holds, remembers, and when it comes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from reconciler.controller.reconciler import Reconciler
from reconciler.controller.tenure import Alone
from reconciler.core.guards import PauseOverride
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Cause,
    Condition,
    Desired,
    Device,
    DeviceId,
    Digest,
    Observed,
    PassResult,
    Pause,
    Policy,
    Prune,
    Reason,
    Result,
    Revision,
)
from reconciler.simulator import Match, Options, Route, Rule
from reconciler.simulator.faults import (
    Cut,
    Drop,
    Effect,
    Empty,
    Error,
    Hang,
    Html,
    Mangle,
    Redirect,
    Response,
    Short,
)
from simulated import COMMIT, START, YEAR, Fleet

OPEN = Policy(max_unsubscribe=1000)
LIST = Match(route=Route.LIST)
CHANGES = Match(method="POST")


async def test_a_pass_makes_the_live_list_equal_to_the_text() -> None:
    """Missing devices are subscribed, strangers unsubscribed, and the rest is left alone, each with one call."""
    fleet = Fleet(30, policy=OPEN)
    wanted, strangers = fleet.owned[:25], fleet.owned[25:]
    fleet.platform.subscribe("default", *fleet.owned[20:])
    fleet.want(wanted)
    ending = await fleet.reconcile()
    assert fleet.live == frozenset(wanted)
    assert {one.device for one in fleet.calls("POST")} == set(wanted[:20])
    assert {one.device for one in fleet.calls("DELETE")} == set(strangers)
    assert len(fleet.calls("GET")) == 1
    assert ending.result is PassResult.CHANGED
    assert ending.condition is Condition.IN_SYNC


async def test_a_pass_over_a_fleet_in_sync_costs_one_call() -> None:
    """Where nothing is to be done, a pass is one list and nothing else."""
    fleet = Fleet(10)
    await fleet.reconcile()
    before = len(fleet.calls())
    ending = await fleet.reconcile(after=timedelta(minutes=10))
    assert [one.method for one in fleet.calls()[before:]] == ["GET"]
    assert ending.result is PassResult.CLEAN


async def test_drift_is_healed_by_the_next_pass() -> None:
    """A subscription that LG lost comes back, and one that somebody else made goes."""
    fleet = Fleet(20)
    fleet.want(fleet.owned[:19])
    await fleet.reconcile()
    fleet.platform.unsubscribe("default", fleet.owned[0])
    fleet.platform.subscribe("default", fleet.owned[19])
    await fleet.reconcile(after=timedelta(minutes=10))
    assert fleet.live == frozenset(fleet.owned[:19])


@pytest.mark.parametrize(
    "effect",
    [
        Html(status=200),
        Html(status=502),
        Cut(),
        Mangle(how="no-id"),
        Mangle(how="number-id"),
        Empty(status=401),
        Error(code="2000"),
        Redirect(),
        Drop(),
        Hang(),
    ],
    ids=lambda effect: repr(effect)[:40],
)
async def test_a_bad_list_changes_nothing_and_is_asked_again(effect: Effect) -> None:
    """Whatever is wrong with a list, no change is made on the strength of it, and once it is right all is made."""
    fleet = Fleet(10, policy=OPEN)
    fleet.platform.subscribe("default", *fleet.owned[5:])
    fleet.want(fleet.owned[:5])
    fleet.platform.set_faults(Rule(effect=effect, match=LIST))
    ending = await fleet.reconcile()
    assert not fleet.calls("POST", "DELETE")
    assert ending.result is PassResult.FAILED
    assert ending.error
    assert fleet.due is not None
    assert fleet.due <= timedelta(minutes=5)
    fleet.platform.set_faults()
    await fleet.reconcile(after=timedelta(hours=1))
    assert fleet.live == frozenset(fleet.owned[:5])


async def test_a_list_that_lost_most_of_the_fleet_is_not_acted_on_until_it_says_so_three_times() -> (
    None
):
    """One empty list makes no storm of calls; a real wipe is healed at the third reading."""
    fleet = Fleet(40)
    await fleet.reconcile()
    before = len(fleet.calls())
    fleet.platform.set_faults(Rule(effect=Response(form="null"), match=LIST, count=1))
    ending = await fleet.reconcile(after=timedelta(minutes=10))
    assert (
        [one.reason for one in ending.plan.tripped] == [Reason.SUSPECT_LIST]
        if ending.plan
        else False
    )
    assert fleet.due == timedelta(seconds=30)
    ending = await fleet.reconcile(after=timedelta(seconds=30))
    assert ending.condition is Condition.IN_SYNC
    assert {one.method for one in fleet.calls()[before:]} == {"GET"}
    fleet.platform.unsubscribe("default", *fleet.owned)
    for _ in range(3):
        await fleet.reconcile(after=timedelta(minutes=2))
    assert fleet.live == frozenset(fleet.owned)


async def test_a_short_list_holds_unsubscribes_too() -> None:
    """A list of three out of forty, two of them unwanted, unsubscribes nobody."""
    fleet = Fleet(40, policy=OPEN)
    await fleet.reconcile()
    fleet.want(fleet.owned[2:])
    fleet.platform.set_faults(Rule(effect=Short(omit=37), match=LIST, count=1))
    await fleet.reconcile(after=timedelta(minutes=10))
    assert not fleet.calls("DELETE")


async def test_one_device_that_lg_refuses_waits_alone_and_longer_each_time() -> None:
    """The others are made in the first pass; the refused one is asked again after one hour, two hours, four."""
    fleet = Fleet(50)
    poor = fleet.owned[7]
    fleet.platform.set_faults(Rule(effect=Error(code="1214"), match=Match(devices=(poor,))))
    ending = await fleet.reconcile()
    assert fleet.live == frozenset(fleet.owned) - {poor}
    assert [one.code for one in ending.unmade] == ["1214"]
    for _ in range(60):
        await fleet.reconcile(after=timedelta(minutes=10))
    times = [one.at for one in fleet.calls("POST") if one.device == poor]
    waits = [round((later - earlier) / 3600, 1) for earlier, later in pairwise(times)]
    assert waits[0] == pytest.approx(1, abs=0.2)
    assert waits[1] == pytest.approx(2, abs=0.2)
    held = fleet.sample("pcc_changes_held", action="subscribe", kind="platform", reason="refused")
    assert held == 1


async def test_a_device_that_failed_before_waits_an_hour_after_its_first_refusal() -> None:
    """How often calls failed before does not make the wait after a first refusal longer."""
    fleet = Fleet(12)
    poor = fleet.owned[7]
    only = Match(devices=(poor,))
    fleet.platform.set_faults(Rule(effect=Error(code="2000"), match=only))
    for _ in range(5):
        await fleet.reconcile(after=timedelta(hours=2))
    fleet.platform.set_faults(Rule(effect=Error(code="1214"), match=only))
    await fleet.reconcile(after=timedelta(hours=2))
    fleet.platform.set_faults()
    await fleet.reconcile(after=timedelta(minutes=50))
    assert poor not in fleet.live
    await fleet.reconcile(after=timedelta(minutes=15))
    assert poor in fleet.live


async def test_an_answer_that_never_came_is_settled_by_the_next_list() -> None:
    """A change whose answer was lost is neither repeated nor forgotten: the list tells, once."""
    fleet = Fleet(12)
    fleet.platform.set_faults(Rule(effect=Hang(commit=True), match=CHANGES, count=1))
    with capture_logs() as lines:
        await fleet.reconcile()
        await fleet.reconcile(after=timedelta(minutes=1))
    applied = [line for line in lines if line["event"] == "change.applied"]
    assert sorted(line["device"] for line in applied) == fleet.owned
    assert sum(line.get("confirmed_by") == "list" for line in applied) == 1
    assert len(fleet.calls("POST")) == 12


async def test_a_change_that_a_later_list_confirms_keeps_the_author_who_asked_for_it() -> None:
    """An auditor finds who wanted a change, and not who edited the file before the list showed it."""
    fleet = Fleet(12)
    fleet.platform.set_faults(Rule(effect=Hang(commit=True), match=CHANGES, count=1))
    with capture_logs() as lines:
        await fleet.reconcile()
        assert fleet.text is not None
        later = replace(COMMIT, id="f" * 40, author="Lee <lee@example.invalid>")
        fleet.text = replace(fleet.text, revision=Revision("e" * 64, later))
        await fleet.reconcile(after=timedelta(minutes=1))
    told = [line for line in lines if line.get("confirmed_by") == "list"]
    assert [(line["author"], line["commit"]) for line in told] == [(COMMIT.author, COMMIT.id)]


async def test_a_full_platform_is_asked_once_an_hour_also_after_the_first_hour() -> None:
    """Each answer that LG has no room begins another hour of waiting; no pass in between spends a call on it."""
    fleet = Fleet(6, options=Options(subscription_cap=4, token_life=YEAR))
    await fleet.reconcile()
    asked = []
    for _ in range(18):
        before = len(fleet.calls("POST"))
        await fleet.reconcile(after=timedelta(minutes=10))
        asked.append(len(fleet.calls("POST")) - before)
    assert len(fleet.live) == 4
    assert sum(asked) <= 3
    assert max(asked) == 1


async def test_a_read_that_lags_our_writes_causes_no_second_call() -> None:
    """Right after a change the list may still be the old one; nothing is done about it for a minute."""
    fleet = Fleet(5)
    await fleet.reconcile()
    fleet.platform.set_faults(Rule(effect=Response(form="[]"), match=LIST))
    before = len(fleet.calls("POST"))
    await fleet.reconcile(after=timedelta(seconds=30))
    assert len(fleet.calls("POST")) == before


async def test_what_lg_calls_done_and_its_list_denies_is_asked_less_and_less() -> None:
    """A device that is "already subscribed" and never in the list does not cost a call in every pass."""
    fleet = Fleet(3)
    ghost = fleet.owned[0]
    fleet.platform.set_faults(Rule(effect=Error(code="1207"), match=Match(devices=(ghost,))))
    with capture_logs() as lines:
        for _ in range(100):
            await fleet.reconcile(after=timedelta(minutes=2))
    assert {line["device"] for line in lines if line["event"] == "change.failed"} == {ghost}
    asked = [one for one in fleet.calls("POST") if one.device == ghost]
    assert 3 < len(asked) < 60
    assert fleet.live == frozenset(fleet.owned[1:])


async def test_refused_credentials_stop_the_account_and_nothing_else_is_called() -> None:
    """A stopped account is not called before its time, says why, and goes on by itself when LG lets it in again."""
    fleet = Fleet(5)
    fleet.platform.set_faults(Rule(effect=Error(code="1302")))
    with capture_logs() as lines:
        ending = await fleet.reconcile()
        calls = len(fleet.calls())
        await fleet.reconcile(after=timedelta(minutes=1))
    assert len(fleet.calls()) == calls
    assert ending.condition is Condition.STOPPED
    assert [line["event"] for line in lines].count("account.stopped") == 1
    fleet.platform.set_faults()
    with capture_logs() as lines:
        await fleet.reconcile(after=timedelta(minutes=10))
    assert "account.resumed" in [line["event"] for line in lines]
    assert fleet.live == frozenset(fleet.owned)


async def test_a_changed_credential_lets_a_stopped_account_go_on_at_once() -> None:
    """Nobody has to wait for the back-off once the credential is mended."""
    fleet = Fleet(5)
    fleet.platform.set_faults(Rule(effect=Error(code="1301")))
    await fleet.reconcile()
    fleet.platform.set_faults()
    fleet.reconciler.accounts.resume(DEFAULT_ACCOUNT)
    await fleet.reconcile()
    assert fleet.live == frozenset(fleet.owned)


async def test_an_account_without_credentials_is_never_called() -> None:
    """Where there is nothing to speak with, the pass says what to set and makes no call."""
    fleet = Fleet(5)
    fleet.client = "set PCC_ACCESS_TOKEN"
    ending = await fleet.reconcile()
    assert not fleet.calls()
    assert ending.error == "set PCC_ACCESS_TOKEN"
    assert fleet.sample("pcc_account_condition", condition="stopped") == 1


async def test_a_newer_text_stops_the_plan_before_its_next_call() -> None:
    """A device that a newer text no longer wants is not subscribed by an older plan."""
    fleet = Fleet(40, concurrency=1)

    def edit(_request: object) -> None:
        if len(fleet.calls("POST")) == 10:
            fleet.want(fleet.owned[:5])

    fleet.transport.on_request = edit
    await fleet.reconcile()
    assert len(fleet.calls("POST")) <= 11
    assert fleet.due == timedelta(0)


async def test_no_call_is_made_after_stop() -> None:
    """When the process is told to stop, what is in flight ends and nothing new begins."""
    fleet = Fleet(40, concurrency=1)

    def stop(_request: object) -> None:
        fleet.stopping = len(fleet.calls("POST")) >= 7

    fleet.transport.on_request = stop
    await fleet.reconcile()
    assert len(fleet.calls("POST")) == 8


@pytest.mark.parametrize("pause", [Pause.UNSUBSCRIBE, Pause.ALL])
async def test_a_pause_in_the_text_is_kept(pause: Pause) -> None:
    """Paused changes are planned, shown and not made."""
    fleet = Fleet(12, policy=Policy(pause=pause))
    fleet.platform.subscribe("default", *fleet.owned[10:])
    fleet.want(fleet.owned[:10])
    ending = await fleet.reconcile()
    assert not fleet.calls("DELETE")
    assert bool(fleet.calls("POST")) is (pause is Pause.UNSUBSCRIBE)
    assert ending.condition is Condition.PAUSED


async def test_observe_mode_sends_nothing_but_get() -> None:
    """In observe mode the plan is made and held, and the client could not send it if it tried."""
    fleet = Fleet(12, observing=True)
    ending = await fleet.reconcile()
    assert {one.method for one in fleet.calls()} == {"GET"}
    assert ending.plan is not None
    assert {held.reason for held in ending.plan.held} == {Reason.PAUSED}


async def test_a_rejected_newer_text_holds_unsubscribes_only() -> None:
    """While the newest text is not accepted, the older one heals drift and removes nobody."""
    fleet = Fleet(12)
    fleet.platform.subscribe("default", *fleet.owned[10:])
    fleet.want(fleet.owned[:10], rejected=Cause.INVALID)
    ending = await fleet.reconcile()
    assert fleet.live == frozenset(fleet.owned)
    assert ending.plan is not None
    assert {held.reason for held in ending.plan.held} == {Reason.DESIRED_REJECTED}


async def test_too_many_unsubscribes_are_held_as_a_whole() -> None:
    """A text that lost most of its devices removes none of them, and the log says so once."""
    fleet = Fleet(60)
    await fleet.reconcile()
    fleet.want(fleet.owned[:36])
    with capture_logs() as lines:
        await fleet.reconcile()
        await fleet.reconcile(after=timedelta(minutes=10))
    assert not fleet.calls("DELETE")
    (line,) = [line for line in lines if line["event"] == "guard.tripped"]
    assert line["reason"] == "too-many"
    assert line["approval"].startswith(
        "# 24 devices; pcc-reconciler plan --account default --approval removed/"
    )
    assert fleet.sample("pcc_guard_tripped", reason="too-many") == 1


async def test_unmanaged_devices_are_shown_and_left_alone() -> None:
    """Under prune = "owned" a device that was never ours is not touched."""
    fleet = Fleet(12, wanted=10, policy=Policy(prune=Prune.OWNED))
    fleet.platform.subscribe("default", *fleet.owned[10:])
    await fleet.reconcile()
    assert fleet.live == frozenset(fleet.owned)
    assert fleet.sample("pcc_devices", state="unmanaged") == 2


async def test_expect_makes_nothing_of_another_plan() -> None:
    """A digest that is not the plan's makes no change, the right one makes them all."""
    fleet = Fleet(12)
    fleet.platform.subscribe("default", *fleet.owned)
    fleet.want(fleet.owned[:10])
    looked = await fleet.reconciler.previews.dry_run(DEFAULT_ACCOUNT)
    assert looked is not None
    assert looked.plan is not None
    await fleet.reconciler.reconcile(DEFAULT_ACCOUNT, Digest("sha256:0"))
    assert not fleet.calls("POST", "DELETE")
    await fleet.reconciler.reconcile(DEFAULT_ACCOUNT, looked.plan.digest)
    assert fleet.live == frozenset(fleet.owned[:10])


async def test_another_plan_than_expected_is_reported_also_where_all_of_it_is_held() -> None:
    """The person agreed to other devices, whether or not they could go now."""
    fleet = Fleet(12, policy=Policy(pause=Pause.ALL))
    fleet.platform.subscribe("default", *fleet.owned)
    fleet.want(fleet.owned[:10])
    looked = await fleet.reconciler.previews.dry_run(DEFAULT_ACCOUNT)
    assert looked is not None
    assert looked.plan is not None
    assert (looked.plan.changes, len(looked.held)) == (0, 2)
    for digest, unexpected in ((Digest("sha256:0"), True), (looked.plan.digest, False)):
        await fleet.reconciler.reconcile(DEFAULT_ACCOUNT, digest)
        last = fleet.reconciler.accounts.statuses[DEFAULT_ACCOUNT].last
        assert last is not None
        assert last.unexpected is unexpected


async def test_a_look_changes_and_remembers_nothing() -> None:
    """Planning leaves no trace: neither calls that change anything nor anything in state."""
    fleet = Fleet(12)
    before = fleet.state.accounts.recall(DEFAULT_ACCOUNT, fleet.clock.now())
    looked = await fleet.reconciler.previews.dry_run(DEFAULT_ACCOUNT)
    assert looked is not None
    assert looked.plan is not None
    assert len(looked.plan.subscribes) == 12
    assert {one.method for one in fleet.calls()} == {"GET"}
    assert fleet.state.accounts.recall(DEFAULT_ACCOUNT, fleet.clock.now()) == before


async def test_dates_bring_a_device_in_and_take_it_out() -> None:
    """The pass comes back by itself at the boundary of a device's dates."""
    fleet = Fleet(3)
    guest = fleet.owned[0]
    begins = fleet.clock.now() + timedelta(minutes=3)
    entry = Device(guest, from_=begins, until=begins + timedelta(minutes=2))
    fleet.want(fleet.owned, described={guest: entry})
    await fleet.reconcile()
    assert guest not in fleet.live
    assert fleet.due == timedelta(minutes=3)
    await fleet.reconcile(after=timedelta(minutes=3))
    assert guest in fleet.live
    assert fleet.due == timedelta(minutes=2)
    await fleet.reconcile(after=timedelta(minutes=2))
    assert guest not in fleet.live


async def test_a_throttled_account_waits_and_goes_on() -> None:
    """After LG throttles, nothing is called until the pause is over, and then the rest is made."""
    fleet = Fleet(20, concurrency=1)
    fleet.platform.set_faults(Rule(effect=Error(code="1314"), match=CHANGES, skip=5, count=1))
    ending = await fleet.reconcile()
    assert len(fleet.live) == 5
    assert {held.reason for held in ending.held} == {Reason.QUOTA}
    assert fleet.due is not None
    assert timedelta(seconds=59) <= fleet.due <= timedelta(minutes=1)
    calls = len(fleet.calls())
    await fleet.reconcile(after=timedelta(seconds=30))
    assert len(fleet.calls()) == calls
    await fleet.reconcile(after=timedelta(seconds=31))
    assert fleet.live == frozenset(fleet.owned)


async def test_a_throttled_list_is_told_with_its_message_id_and_when_it_is_asked_again() -> None:
    """An account that is as wanted has nothing held while LG throttles its list, and is not silent all the same."""
    fleet = Fleet(5)
    await fleet.reconcile()
    fleet.platform.set_faults(Rule(effect=Error(code="1314"), match=LIST, count=1))
    with capture_logs() as lines:
        ending = await fleet.reconcile(after=timedelta(minutes=10))
    (line,) = [line for line in lines if line["event"] == "account.throttled"]
    assert (line["log_level"], bool(line["message_id"])) == ("warning", True)
    assert not ending.held
    rests, waits = ending.remarks
    assert "last trusted list" in rests
    assert "asked again at 2026-11-01T00:11:00Z" in waits


async def test_failures_in_a_row_end_the_pass_and_it_comes_back_soon() -> None:
    """When LG is unwell the pass ends early, and the next one starts with a list."""
    fleet = Fleet(30)
    fleet.platform.set_faults(Rule(effect=Html(status=503), match=CHANGES))
    ending = await fleet.reconcile()
    assert len(fleet.calls("POST")) < 10
    assert ending.result is PassResult.PARTIAL
    assert fleet.due is not None
    assert fleet.due <= timedelta(seconds=10)


async def test_one_failure_brings_the_next_pass_forward() -> None:
    """A device whose call failed is tried again as soon as its own wait is over, not at the regular interval."""
    fleet = Fleet(30)
    fleet.platform.set_faults(Rule(effect=Html(status=503), match=CHANGES, count=1))
    ending = await fleet.reconcile()
    assert len(fleet.live) == 29
    assert len(ending.unmade) == 1
    assert fleet.due is not None
    assert fleet.due <= timedelta(seconds=10)
    await fleet.reconcile(after=fleet.due)
    assert len(fleet.live) == 30


async def test_every_change_says_who_wanted_it() -> None:
    """A change's line carries the commit, its author, the pass and the message id."""
    fleet = Fleet(1)
    with capture_logs() as lines:
        await fleet.reconcile()
    (line,) = [line for line in lines if line["event"] == "change.applied"]
    assert line["commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert line["author"] == "Kim <kim@example.invalid>"
    assert line["action"] is Action.SUBSCRIBE
    assert line["result"] is Result.SUCCESS
    assert len(line["message_id"]) == 22


async def test_the_pass_speaks_up_only_when_there_is_news() -> None:
    """A pass that changed nothing is told at debug level, one that changed something at info."""
    fleet = Fleet(2)
    levels = []
    for _ in range(2):
        with capture_logs() as lines:
            await fleet.reconcile(after=timedelta(minutes=10))
        levels += [line["log_level"] for line in lines if line["event"] == "pass.completed"]
    assert levels == ["info", "debug"]


async def test_the_pass_speaks_up_when_something_else_is_held() -> None:
    """What was held before is no news, nor is that it is not held any more."""
    fleet = Fleet(4, policy=Policy(pause=Pause.ALL), wanted=2)
    levels = []
    for wanted in (2, 2, 3, 3, 1):
        fleet.want(fleet.owned[:wanted])
        with capture_logs() as lines:
            await fleet.reconcile(after=timedelta(minutes=10))
        levels += [line["log_level"] for line in lines if line["event"] == "pass.completed"]
    assert levels == ["info", "debug", "info", "debug", "debug"]


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_look_doubts_the_list_of_another_user_as_a_pass_does(*, replaced: bool) -> None:
    """Of a small account most may be lost; where the credential is another one too, its list is another user's."""
    fleet = Fleet(5, wanted=4)
    await fleet.reconcile()
    fleet.platform.unsubscribe("default", *fleet.owned[1:4])
    fleet.platform.subscribe("default", fleet.owned[4])
    if replaced:
        fleet.token = SecretStr(fleet.platform.issue_token("default"))
    looked = await fleet.reconciler.previews.dry_run(DEFAULT_ACCOUNT)
    weighed = fleet.reconciler.previews.weigh(
        DEFAULT_ACCOUNT, Observed(frozenset(map(DeviceId, fleet.live)), fleet.clock.now())
    )
    made = await fleet.reconcile()
    assert weighed is not None
    assert looked is not None
    assert looked.plan is not None
    assert made.plan is not None
    reasons = [one.reason for one in made.plan.tripped]
    assert reasons == ([Reason.SUSPECT_LIST] if replaced else [])
    for plan in (weighed, looked.plan):
        assert [one.reason for one in plan.tripped] == reasons
        assert (plan.subscribes, plan.held) == (made.plan.subscribes, made.plan.held)


async def test_the_line_of_a_pass_names_what_holds() -> None:
    """Whatever holds changes, guard, policy or platform, the line of the pass says which reason holds how many."""
    fleet = Fleet(12, policy=Policy(pause=Pause.UNSUBSCRIBE))
    fleet.platform.subscribe("default", *fleet.owned[10:])
    fleet.want(fleet.owned[:10])
    fleet.platform.set_faults(Rule(effect=Error(code="1314"), match=CHANGES, skip=4, count=1))
    with capture_logs() as lines:
        await fleet.reconcile()
    (line,) = [line for line in lines if line["event"] == "pass.completed"]
    assert line["reasons"][Reason.PAUSED] == 2
    assert line["reasons"][Reason.QUOTA] > 0


async def test_an_account_that_left_is_not_called() -> None:
    """A wake of an account that is in no text any more ends with nothing."""
    fleet = Fleet(2)
    fleet.text = None
    assert await fleet.reconciler.reconcile(DEFAULT_ACCOUNT) is None
    assert not fleet.calls()


async def test_figures_add_up_after_a_pass() -> None:
    """The states of the devices are a partition of all that is wanted or live."""
    fleet = Fleet(
        20, wanted=18, policy=Policy(prune=Prune.OWNED, ignore=frozenset({DeviceId("elsewhere")}))
    )
    fleet.platform.subscribe("default", *fleet.owned[15:])
    await fleet.reconcile()
    states = {
        state: fleet.sample("pcc_devices", state=state)
        for state in ("in_sync", "missing", "extra", "unmanaged", "ignored")
    }
    assert states == {"in_sync": 18, "missing": 0, "extra": 0, "unmanaged": 2, "ignored": 0}
    assert fleet.sample("pcc_desired_devices") == 18
    assert fleet.sample("pcc_changes_total", action="subscribe", result="success") == 15


async def test_a_boundary_that_falls_inside_a_pass_is_not_lost() -> None:
    """A device that ends while its account's list is fetched is unsubscribed right after, not an interval later."""
    fleet = Fleet(5)
    await fleet.reconcile()
    guest = fleet.owned[0]
    ends = fleet.clock.now() + timedelta(seconds=1)
    fleet.want(fleet.owned, described={guest: Device(guest, until=ends)})
    fleet.transport.on_request = lambda _request: fleet.clock.pass_by(timedelta(seconds=2))
    await fleet.reconcile()
    assert fleet.due == timedelta(0)
    await fleet.reconcile()
    assert guest not in fleet.live


async def test_changes_that_keep_failing_are_tried_less_and_less() -> None:
    """While lists work and changes do not, passes come back with a growing wait."""
    fleet = Fleet(200)
    fleet.platform.set_faults(Rule(effect=Html(status=503), match=CHANGES))
    for _ in range(40):
        await fleet.reconcile(after=fleet.due or timedelta(0))
    assert fleet.clock.now() - START > timedelta(minutes=30)


async def test_a_stop_that_a_change_caused_waits_longer_each_time() -> None:
    """An account whose list works and whose changes are refused as a whole is stopped, and stays so in the log."""
    fleet = Fleet(5)
    fleet.platform.set_faults(Rule(effect=Error(code="1305"), match=CHANGES))
    with capture_logs() as lines:
        while fleet.clock.now() < START + timedelta(hours=3):
            await fleet.reconcile(after=fleet.due or timedelta(0))
    events = [line["event"] for line in lines]
    assert events.count("account.stopped") == 1
    assert "account.resumed" not in events
    assert 4 < len(fleet.calls("POST")) < 9


async def test_a_full_platform_is_asked_again_in_an_hour() -> None:
    """After LG's cap stopped subscribes, an unsubscribe of the same pass that made too little room does not lift it."""
    fleet = Fleet(12, policy=OPEN, options=Options(token_life=YEAR, subscription_cap=8))
    fleet.platform.subscribe("default", *fleet.owned[11:])
    fleet.want(fleet.owned[:11])
    await fleet.reconcile()
    asked = len(fleet.calls("POST"))
    for _ in range(5):
        await fleet.reconcile(after=timedelta(minutes=10))
    assert len(fleet.calls("POST")) == asked
    await fleet.reconcile(after=timedelta(minutes=11))
    assert len(fleet.calls("POST")) == asked + 1


async def test_a_preview_without_a_trusted_list_shows_no_plan() -> None:
    """An account in force whose list was never read is not taken for an empty one."""
    fleet = Fleet(12)
    assert fleet.text is not None
    report = fleet.reconciler.previews.preview(fleet.text, fleet.claims)
    assert "no live list of this account was trusted yet" in report.error
    assert report.plan is None
    await fleet.reconcile()
    report = fleet.reconciler.previews.preview(fleet.text, fleet.claims)
    assert (report.error, report.observed) == ("", 12)


class Progress:
    """What a progress bar shows."""

    def __init__(self) -> None:
        self.expected, self.done = 0, 0

    def changes(self, count: int) -> None:
        """Count changes that are about to be made."""
        self.expected += count

    def change_done(self) -> None:
        """Count one that was made."""
        self.done += 1


async def test_a_progress_bar_hears_of_each_change() -> None:
    """Of as many as were announced, those that LG refused too."""
    progress = Progress()
    fleet = Fleet(12, observer=progress)
    fleet.platform.set_faults(
        Rule(Error(code="1214"), match=Match(route=Route.SUBSCRIBE, devices=(fleet.owned[3],)))
    )
    await fleet.reconcile()
    assert (progress.expected, progress.done) == (12, 12)


async def test_a_pass_is_judged_by_what_is_known_once_its_list_is_read() -> None:
    """A pause that comes while LG is asked holds all changes of the pass, and the report says so."""
    fleet = Fleet(4, wanted=3)
    fleet.platform.subscribe("default", fleet.owned[3])

    def paused(_request: httpx.Request) -> None:
        now = fleet.clock.now()
        fleet.state.pauses.set(DEFAULT_ACCOUNT, PauseOverride(Pause.ALL, None, "at work"), now)

    fleet.transport.on_request = paused
    ending = await fleet.reconcile()
    assert not fleet.calls("POST", "DELETE")
    assert (ending.condition, ending.pause) == (Condition.PAUSED, Pause.ALL)
    assert {one.reason for one in ending.held} == {Reason.PAUSED}
    assert len(ending.held) == 4
    assert fleet.due is not None
    assert fleet.due > timedelta(minutes=5)


class Elsewhere(Alone):
    """The tenure of a replica that has lost its accounts to another one."""

    def owned(self, accounts: Iterable[AccountName]) -> list[AccountName]:
        """Return none of them."""
        del accounts
        return []


async def test_an_account_of_another_replica_is_left_alone() -> None:
    """It is not asked about, has no next pass here, and nothing is carried for it any more."""
    fleet = Fleet(3)
    await fleet.reconcile()
    before = len(fleet.calls())
    fleet.want(fleet.owned[1:])
    kept = replace(fleet.reconciler._with, tenure=Elsewhere())
    lost = Reconciler(fleet, lambda _account: fleet.client, kept)
    lost.accounts.begin(Desired(DEFAULT_ACCOUNT, frozenset(fleet.owned)), START)
    assert await lost.reconcile(DEFAULT_ACCOUNT) is None
    assert len(fleet.calls()) == before
    assert not lost.accounts.statuses
