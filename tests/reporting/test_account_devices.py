"""The devices of an account in a list: each has the state that the planner gives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from reconciler.reporting.account_devices import DevicesAsked, cursor
from reconciler.reporting.explain import Position
from reconciler.reporting.positions import Positions, position

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
    with pytest.raises(ReconcilerError, match="after must be the next of an earlier page"):
        cursor(text)


def test_a_misspelt_state_is_a_fault() -> None:
    """A filter that is not known would mean everything, so it is refused, with the nearest one."""
    with pytest.raises(ReconcilerError, match="did you mean 'missing'"):
        DevicesAsked(state="mising")
