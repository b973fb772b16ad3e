"""The devices of an account in a list: each has the state that the planner gives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixed_fleet import known, mixed
from reconciler.core.errors import ReconcilerError
from reconciler.core.model import (
    AccountName,
    Desired,
    Device,
    DeviceId,
    Memory,
    Observed,
    Policy,
    Prune,
)
from reconciler.core.planner import plan
from reconciler.reporting.account_devices import (
    ORDER,
    STATES,
    DevicesAsked,
    DevicesFound,
    devices,
)
from reconciler.reporting.devices import DeviceRow, Devices, listed
from reconciler.reporting.explain import Position
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.positions import Positions, position
from reconciler.reporting.roster import Rosters, place
from simulated import Fleet

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
IDS = [DeviceId(letter * 8) for letter in "abcdefgh"]
SETS = st.frozensets(st.sampled_from(IDS))
DATES = st.sampled_from([None, NOW - 2 * HOUR, NOW - HOUR, NOW, NOW + HOUR])


@st.composite
def desires(draw: st.DrawFn) -> Desired:
    """Draw a desired state, some of whose entries have dates."""
    devices = draw(SETS)
    described = {
        one: Device(one, from_=draw(DATES), until=draw(DATES))
        for one in sorted(devices & draw(SETS))
    }
    policy = Policy(prune=draw(st.sampled_from(Prune)), ignore=draw(SETS))
    return Desired(AccountName("seoul"), devices, described, policy)


def pages(facts: Knowledge, **asked: Any) -> tuple[list[DeviceRow], list[DevicesFound]]:
    """Read page after page, as a person does, and return all rows and all pages."""
    rosters, found, after = Rosters(), list[DevicesFound](), None
    while True:
        page = devices(facts, "default", DevicesAsked(**asked, after=after), rosters)
        found.append(page)
        if page.next is None:
            return [row for one in found for row in one.rows], found
        after = place(page.next)


@given(desires(), SETS, SETS, st.sampled_from([None, NOW - HOUR, NOW + 2 * HOUR]))
def test_each_device_has_the_state_that_the_planner_gives_it(
    desired: Desired, live: frozenset[DeviceId], owned: frozenset[DeviceId], theirs: datetime | None
) -> None:
    """List and plan agree about every device, whatever is wanted, live, owned and ignored, by either clock."""
    memory = Memory(inventory=owned, expected=live)
    found = dict(Positions(desired, memory, NOW, theirs).all())
    planned = plan(desired, Observed(live, NOW), memory, NOW, theirs=theirs)

    def those(position: Position) -> set[DeviceId]:
        return {device for device, one in found.items() if one is position}

    assert those(Position.MISSING) == {one.device for one in planned.subscribes}
    assert those(Position.EXTRA) == {one.device for one in planned.unsubscribes}
    assert those(Position.UNMANAGED) == planned.unmanaged
    assert those(Position.IGNORED) == planned.ignored
    assert len(those(Position.IN_SYNC)) == planned.in_sync
    assert set(found) == desired.devices | live
    assert found == {one: position(one, desired, memory, NOW, theirs) for one in found}


def test_without_a_list_nothing_is_known() -> None:
    """Where no list was ever trusted, every device is of unknown state."""
    desired = Desired(AccountName("seoul"), frozenset(IDS[:2]))
    found = dict(Positions(desired, Memory(), NOW).all())
    assert found == dict.fromkeys(IDS[:2], Position.UNKNOWN)


@pytest.mark.parametrize("text", ["", "x", "bnVsbA", "W10", "WyJhIiwgMSwgMl0"])
def test_a_foreign_cursor_is_a_fault(text: str) -> None:
    """What is no cursor of ours is refused in a sentence."""
    with pytest.raises(ReconcilerError, match="after must be the next of an earlier answer"):
        place(text)


def test_a_misspelt_state_is_a_fault() -> None:
    """A filter that is not known would mean everything, so it is refused, with the nearest one."""
    with pytest.raises(ReconcilerError, match="did you mean 'missing'"):
        DevicesAsked(state="mising")


@pytest.mark.parametrize("limit", [1, 3, 17])
@pytest.mark.parametrize("words", ["", "1", "FRIDGE", "f"])
async def test_pages_have_each_device_once(limit: int, words: str) -> None:
    """However short pages are, none is lost or comes twice, what needs somebody is first, and all are counted."""
    facts = known(await mixed())
    rows, found = pages(facts, limit=limit, words=words)
    whole, _pages = pages(facts, limit=1000)
    expected = [
        row
        for row in whole
        if words.casefold() in (row.name or "").casefold() or words.casefold() in row.device
    ]
    assert rows == expected
    assert {page.found for page in found} == {len(expected)}
    ranks = [ORDER.index(Position(row.state)) for row in rows]
    assert ranks == sorted(ranks)
    every = Devices().page(facts, listed({})).devices
    assert {row.device for row in whole} == {row.device for row in every}


@pytest.mark.parametrize("state", STATES)
async def test_as_many_are_listed_as_are_counted(state: str) -> None:
    """For each state the list has as many devices as its filter says, on pages of any length."""
    facts = known(await mixed())
    rows, found = pages(facts, state=state, limit=1)
    assert len(rows) == found[0].found == found[0].counts[state]
    assert all(row.reason for row in rows) or state not in {"held", "refused"}


async def test_devices_before_the_first_list_are_all_unknown() -> None:
    """Where no list was ever trusted the page lists every device, as unknown."""
    one = Fleet(4)
    rows, found = pages(known(one))
    assert [row.state for row in rows] == ["unknown"] * 4
    assert found[0].found == 4


async def test_a_device_whose_dates_are_to_come_is_absent() -> None:
    """A device that is wanted only later, and is not live, comes last and is counted."""
    one = Fleet(3)
    tomorrow = one.clock.now() + 24 * HOUR
    one.want(one.owned, described={one.owned[0]: Device(one.owned[0], from_=tomorrow)})
    await one.reconcile()
    await one.reconcile(after=timedelta(minutes=2))
    rows, found = pages(known(one), limit=2)
    assert [row.state for row in rows] == ["in_sync", "in_sync", "absent"]
    assert found[0].counts["absent"] == 1


def test_a_page_that_goes_on_after_no_state_is_a_fault() -> None:
    """A place of another list is no place of this one."""
    with pytest.raises(ReconcilerError, match="next of an earlier answer"):
        DevicesAsked(after=("seoul", True, "", "a"))
