"""What a search finds, however many devices there are."""

from __future__ import annotations

import pytest

from mixed_fleet import known
from reconciler.core.model import Device, DeviceId
from reconciler.reporting.roster import TOGETHER, Roster, Rosters
from reconciler.reporting.views import search
from simulated import Fleet

MANY = 2 * TOGETHER + 7
IDS = [DeviceId(f"{number:05}".ljust(64, "a")) for number in range(MANY)]
NAMES = {IDS[3]: "Oven 41", IDS[TOGETHER]: "OVEN 00003", IDS[MANY - 1]: "Straße 5"}


@pytest.fixture
async def roster_and_fleet() -> tuple[Roster, Fleet]:
    """Give more devices than are searched at once, three of them with a name."""
    one = Fleet(1)
    one.want(IDS, described={device: Device(device, name=name) for device, name in NAMES.items()})
    facts = known(one)
    (account,) = facts.accepted.accounts
    return Rosters().of(facts, account), one


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (f"{MANY - 1:05}", [IDS[MANY - 1]]),
        ("oven", [IDS[TOGETHER], IDS[3]]),
        ("STRASSE", [IDS[MANY - 1]]),
        ("00003", [IDS[TOGETHER], IDS[3]]),
        ("a\n0", []),
        ("nowhere", []),
    ],
)
async def test_words_are_found_in_names_and_ids(
    roster_and_fleet: tuple[Roster, Fleet], words: str, expected: list[DeviceId]
) -> None:
    """Page of an account and search find the same devices, whatever the case, and none twice."""
    roster, one = roster_and_fleet
    assert list(roster.with_words(words)) == expected
    found = search(known(one), words)
    assert sorted(row.device for row in found.devices) == sorted(expected)
    assert not found.more_devices


async def test_a_search_that_finds_too_much_says_so(
    roster_and_fleet: tuple[Roster, Fleet],
) -> None:
    """Only the first few are shown of what thousands have."""
    found = search(known(roster_and_fleet[1]), "aaa")
    assert (len(found.devices), found.more_devices) == (50, True)
