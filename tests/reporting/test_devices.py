"""The list of devices: states, order, pages and filters."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disks import StandingClock
from mixed_fleet import known, mixed
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import ReconcilerError, Unknown
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    Action,
    Change,
    Desired,
    Device,
    DeviceId,
    Observed,
    Outcome,
    PassId,
    Policy,
    Prune,
    Result,
    Revision,
)
from reconciler.reporting import queries
from reconciler.reporting.devices import DeviceList, Devices, listed
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.roster import DeviceState
from reconciler.state import State
from simulated import Fleet


def states(found: DeviceList) -> dict[str, str]:
    """Return the state of each device."""
    return {one.device: one.state for one in found.devices}


async def test_each_device_has_its_state() -> None:
    """Held by a guard, refused by LG, in sync, unmanaged, ignored; the one with a name is first."""
    one = await mixed()
    found = Devices().page(known(one), listed({}))
    by_place = {place: states(found).get(device) for place, device in enumerate(one.owned)}
    assert by_place == {
        **dict.fromkeys(range(4), "held"),
        **dict.fromkeys(range(4, 8), "in_sync"),
        **dict.fromkeys((8, 9, 10, 11, 14)),
        12: "unmanaged",
        13: "ignored",
        15: "refused",
    }
    first = found.devices[0]
    assert (first.name, first.device) == ("Room 202 fridge", one.owned[4])
    assert first.since is not None
    held = next(row for row in found.devices if row.state == "held")
    assert held.reason == "too-many"
    assert found.counts == {"in_sync": 4, "missing": 1, "extra": 4, "unmanaged": 1, "ignored": 1}


def test_the_list_says_since_when_a_device_is_where_it_is() -> None:
    """By our last confirmed change, whatever failed since, or the revision that named it, as where a change is due."""
    clock, old = StandingClock(), Revision("a" * 64)
    state = State.in_memory(clock)
    changed, listed_only, missing, extra, foreign = (DeviceId(f"device-{one}") for one in range(5))
    policy = Policy(prune=Prune.OWNED)
    wanted = Desired(DEFAULT_ACCOUNT, frozenset({changed, listed_only, missing, extra}), {}, policy)
    state.accounts.desire(wanted, old, came := clock.at)
    for device, result in ((changed, Result.SUCCESS), (missing, Result.SUCCESS)):
        change, at = Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, device), clock.wait(hours=1)
        outcome = Outcome(change, result, at)
        state.changes.record(DEFAULT_ACCOUNT, PassId("one"), [outcome], {}, at)
    failed = Outcome(Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, changed), Result.FAILED, clock.at)
    for result in (Result.FAILED, Result.REFUSED):
        later = replace(failed, result=result, at=clock.wait(minutes=10))
        state.changes.record(DEFAULT_ACCOUNT, PassId("two"), [later], {}, later.at)
    at = clock.wait(hours=1)
    live = frozenset({changed, listed_only, extra, foreign})
    state.accounts.trust(DEFAULT_ACCOUNT, Observed(live, at), "mark", at, live)
    narrow = replace(wanted, devices=wanted.devices - {extra})
    state.accounts.desire(narrow, Revision("b" * 64), went := clock.wait(hours=1))
    accepted = Accepted({DEFAULT_ACCOUNT: AccountRevision(narrow, Revision("b" * 64))})
    found = Devices().page(Knowledge(went, accepted, state, list), listed({}))
    assert {one.device: (one.state, one.since) for one in found.devices} == {
        changed: ("in_sync", came + timedelta(hours=1)),
        listed_only: ("in_sync", came),
        missing: ("missing", came),
        extra: ("extra", went),
        foreign: ("unmanaged", None),
    }


@pytest.mark.parametrize("state", ["missing", "extra"])
async def test_what_an_edit_changed_is_listed_before_its_pass(state: str) -> None:
    """An account that was in sync has missing and extra devices as soon as a revision makes them so."""
    one = Fleet(6, wanted=5)
    await one.reconcile()
    assert not Devices().page(known(one), listed({"state": state})).devices
    one.want(one.owned[1:])
    expected = one.owned[5] if state == "missing" else one.owned[0]
    found = Devices().page(known(one), listed({"state": state}))
    assert states(found) == {expected: state}


async def test_counts_follow_an_edit_before_its_pass() -> None:
    """The same list of devices counts anew as soon as another revision is in force."""
    one, devices = Fleet(6, wanted=6), Devices()
    await one.reconcile()
    assert devices.page(known(one), listed({})).counts["extra"] == 0
    one.want(one.owned[1:])
    page = devices.page(known(one), listed({}))
    assert (page.counts["in_sync"], page.counts["extra"]) == (5, 1)
    assert states(page)[one.owned[0]] == "extra"


@pytest.mark.parametrize("running", [True, False])
async def test_the_list_says_what_explain_says(*, running: bool) -> None:
    """State and what holds a device are the same in both, with a daemon and without one."""
    one = await mixed()
    facts = known(one, running=running)
    for row in Devices().page(facts, listed({})).devices:
        story = queries.explain(facts, row.device).accounts[0]
        assert row.reason == (story.hold.reason if story.hold is not None else None)
        if story.hold is None:
            assert row.state == story.state


async def test_before_the_first_list_states_are_unknown() -> None:
    """What is live is not known, so nothing is called missing."""
    one = Fleet(4)
    found = Devices().page(known(one), listed({}))
    assert set(states(found).values()) == {"unknown"}
    assert found.counts == {"unknown": 4}


async def test_as_many_are_listed_as_are_counted() -> None:
    """Whoever asks for what is missing or extra gets all of it, also what a guard or LG keeps from its change."""
    one = await mixed()
    facts, devices = known(one), Devices()
    counts = devices.page(facts, listed({})).counts
    assert counts["extra"] == 4
    for state, number in counts.items():
        assert len(devices.page(facts, listed({"state": state})).devices) == number, state


async def test_filters_narrow_the_list() -> None:
    """By account, state and a part of the name; what is not known is refused with what was perhaps meant."""
    one = await mixed()
    facts, devices = known(one), Devices()
    for asked, number in (
        ({"account": "default"}, 11),
        ({"state": "held"}, 4),
        ({"state": "in sync, refused"}, 5),
        ({"name": "FRIDGE"}, 1),
        ({"name": "oven"}, 0),
    ):
        assert len(devices.page(facts, listed(asked)).devices) == number, asked
    with pytest.raises(Unknown, match="did you mean 'default'"):
        devices.page(facts, listed({"account": "defualt"}))
    for wrong, words in (
        ({"state": "mising"}, "did you mean 'missing'"),
        ({"sate": "held"}, "did you mean 'state'"),
        ({"limit": "1001"}, "from 1 to 1000"),
        ({"after": "x"}, "the next of an earlier answer"),
        ({"name": " "}, "name is empty"),
    ):
        with pytest.raises(ReconcilerError, match=words):
            listed(wrong)


async def test_an_account_in_sync_is_passed_over_where_trouble_is_asked_for() -> None:
    """Who asks for what needs a look gets nothing of an account whose last pass left nothing."""
    one = Fleet(6)
    await one.reconcile()
    await one.reconcile(after=timedelta(minutes=1))
    assert Devices().page(known(one), listed({"state": "missing,held,extra"})).devices == ()


NAMES = st.dictionaries(
    st.integers(0, 11), st.sampled_from(["Oven", "Fridge", "오븐"]), max_size=12
)


@settings(max_examples=25)
@given(limit=st.integers(1, 13), names=NAMES)
def test_pages_have_each_device_once_in_order(limit: int, names: dict[int, str]) -> None:
    """However short the pages are and however many devices share a name, none is lost or comes twice."""
    one = Fleet(12)
    described = {one.owned[at]: Device(one.owned[at], name=name) for at, name in names.items()}
    one.want(one.owned, described=described)
    facts, devices = known(one), Devices()
    found, after = list[tuple[str | None, str]](), dict[str, str]()
    while True:
        page = devices.page(facts, listed({"limit": str(limit), **after}))
        found += [(row.name, row.device) for row in page.devices]
        if page.next is None:
            break
        after = {"after": page.next}
    assert found == sorted(found, key=lambda row: (row[0] is None, row[0] or "", row[1]))
    assert {device for _name, device in found} == set(one.owned)
    assert len(found) == len(one.owned)


def test_each_state_has_a_word_for_a_filter() -> None:
    """Every state can be asked for, as it is shown to people, too."""
    for state in DeviceState:
        assert listed({"state": state.replace("_", " ")}).states == {state}
