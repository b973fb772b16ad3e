"""Whose device is meant: each way to name one, in the account that is asked for and in no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from disks import StandingClock
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import Unknown
from reconciler.core.model import (
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    Observed,
    Policy,
    Revision,
)
from reconciler.core.registry_news import RegistryNews
from reconciler.core.rules import Pending, Registered
from reconciler.reporting import queries
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.views import search
from reconciler.state import State

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SEOUL, BUSAN = AccountName("seoul"), AccountName("busan")
DEVICE, NAME = DeviceId("device-00-of-somebody"), "Room 7 oven"
REVISION = Revision("a" * 64)
Facts = dict[AccountName, Desired]


@pytest.fixture
def state() -> State:
    """Give a state that remembers nothing."""
    return State.in_memory(StandingClock(NOW))


def known(state: State, **more: object) -> Knowledge:
    """Return what is known of two accounts that want one other device each."""
    texts = {}
    for name in (SEOUL, BUSAN):
        keys = more.pop(name, {})
        assert isinstance(keys, dict)
        plain = {"devices": frozenset({DeviceId(f"other-device-of-{name}")}), **keys}
        texts[name] = AccountRevision(Desired(name, **plain), REVISION)
    facts = Knowledge(NOW, Accepted(texts, revision=REVISION), state, list)
    return replace(facts, **more)  # type: ignore[arg-type]  # each field has its own type


def _wanted(state: State) -> tuple[Knowledge, str]:
    return known(state, seoul={"devices": frozenset({DEVICE})}), DEVICE


def _ignored(state: State) -> tuple[Knowledge, str]:
    return known(state, seoul={"policy": Policy(ignore=frozenset({DEVICE}))}), DEVICE


def _approved(state: State) -> tuple[Knowledge, str]:
    approval = Approval(frozenset({DEVICE}), NOW + timedelta(days=1), "sold")
    return known(state, seoul={"approvals": (approval,)}), DEVICE


def _live(state: State) -> tuple[Knowledge, str]:
    live = frozenset({DEVICE})
    state.accounts.trust(SEOUL, Observed(live, NOW), "mark", NOW, live)
    return known(state), DEVICE


def _wanted_and_live_by_its_beginning(state: State) -> tuple[Knowledge, str]:
    _live(state)
    return _wanted(state)[0], DEVICE[:12]


def _waiting_for_resolve(state: State) -> tuple[Knowledge, str]:
    news = RegistryNews(Pending({"ovens": (Registered(DEVICE),)}), NOW)
    return known(state, registries={SEOUL: news}), DEVICE


def _named(state: State) -> tuple[Knowledge, str]:
    entry = {DEVICE: Device(DEVICE, NAME)}
    return known(state, seoul={"devices": frozenset({DEVICE}), "described": entry}), NAME


def _named_before(state: State) -> tuple[Knowledge, str]:
    entry = {DEVICE: Device(DEVICE, NAME)}
    state.accounts.desire(Desired(SEOUL, frozenset({DEVICE}), entry), REVISION, NOW)
    state.accounts.desire(Desired(SEOUL, frozenset()), REVISION, NOW)
    return known(state), NAME


def _named_at_lg(state: State) -> tuple[Knowledge, str]:
    state.names.hear(SEOUL, {DEVICE: NAME})
    return known(state, seoul={"devices": frozenset({DEVICE})}), NAME


def _wanted_by_its_beginning(state: State) -> tuple[Knowledge, str]:
    return _wanted(state)[0], DEVICE[:12]


def _live_by_its_beginning(state: State) -> tuple[Knowledge, str]:
    return _live(state)[0], DEVICE[:12]


WAYS: list[tuple[Callable[[State], tuple[Knowledge, str]], str]] = [
    (_wanted, "id"),
    (_ignored, "id"),
    (_approved, "id"),
    (_live, "id"),
    (_waiting_for_resolve, "id"),
    (_wanted_by_its_beginning, "prefix"),
    (_live_by_its_beginning, "prefix"),
    (_named, "name"),
    (_named_before, "former name"),
    (_named_at_lg, "name at LG"),
]


@pytest.mark.parametrize(("way", "taken_by"), WAYS)
def test_a_device_is_found_in_the_account_that_knows_it(
    state: State, way: Callable[[State], tuple[Knowledge, str]], taken_by: str
) -> None:
    """Also where all are asked; in another account it is not known, however it is named."""
    facts, asked = way(state)
    for account in (None, "seoul"):
        found = queries.explain(facts, asked, account)
        assert (found.device, found.taken_by) == (DEVICE, taken_by)
        assert [one.account for one in found.accounts] == [SEOUL]
    with pytest.raises(Unknown):
        queries.explain(facts, asked, "busan")
    with pytest.raises(Unknown):
        queries.device(facts, "busan", asked)


def _by_id(_state: State, asked: str) -> dict[str, Any]:
    return {"devices": frozenset({DeviceId(asked)})}


def _by_prefix(_state: State, asked: str) -> dict[str, Any]:
    return {"devices": frozenset({DeviceId(f"{asked}-9")})}


def _by_name(_state: State, asked: str) -> dict[str, Any]:
    device = DeviceId("named-now")
    return {"devices": frozenset({device}), "described": {device: Device(device, asked)}}


def _by_former_name(state: State, asked: str) -> dict[str, Any]:
    device = DeviceId("named-once")
    entry = {device: Device(device, asked)}
    state.accounts.desire(Desired(SEOUL, frozenset({device}), entry), REVISION, NOW)
    state.accounts.desire(Desired(SEOUL, frozenset()), REVISION, NOW)
    return {}


def _by_lgs_name(state: State, asked: str) -> dict[str, Any]:
    device = DeviceId("named-by-lg")
    state.names.hear(SEOUL, {device: asked})
    return {"devices": frozenset({device})}


PRECEDENCE: list[tuple[Callable[[State, str], dict[str, Any]], str, str]] = [
    (_by_id, "id", "kitchen-oven"),
    (_by_prefix, "prefix", "kitchen-oven-9"),
    (_by_name, "name", "named-now"),
    (_by_former_name, "former name", "named-once"),
    (_by_lgs_name, "name at LG", "named-by-lg"),
]
"""The ways to name a device, the one that counts most first; each with what it is called and its device."""


@pytest.mark.parametrize(("first", "second"), [*combinations(PRECEDENCE, 2)])
def test_of_two_ways_to_name_a_device_the_stronger_counts(
    state: State,
    first: tuple[Callable[[State, str], dict[str, Any]], str, str],
    second: tuple[Callable[[State, str], dict[str, Any]], str, str],
) -> None:
    """What one device is called now goes before what another one was called once, or is called by LG only."""
    keys: dict[str, Any] = {"devices": frozenset(), "described": {}}
    for way, _, _ in (first, second):
        for key, value in way(state, "kitchen-oven").items():
            keys[key] |= value
    found = queries.explain(known(state, seoul=keys), "kitchen-oven")
    assert (found.taken_by, found.device) == first[1:]


def test_a_name_of_ours_goes_before_that_of_lg(state: State) -> None:
    """A device that LG calls like another one's entry is not meant by that name."""
    other = DeviceId("device-01-of-somebody")
    state.names.hear(SEOUL, {other: NAME})
    entries = {DEVICE: Device(DEVICE, NAME), other: Device(other, "Room 8 oven")}
    facts = known(state, seoul={"devices": frozenset(entries), "described": entries})
    assert queries.explain(facts, NAME).device == DEVICE
    plain = known(
        state, seoul={"devices": frozenset({other}), "described": {other: entries[other]}}
    )
    with pytest.raises(Unknown):
        queries.explain(plain, NAME)


def test_names_are_those_of_the_entry_or_the_last_that_are_known(state: State) -> None:
    """An entry without a name takes away none that is known from LG."""
    unnamed = {DEVICE: Device(DEVICE, until=NOW + timedelta(days=1))}
    state.names.hear(SEOUL, {DEVICE: NAME})
    facts = known(state, seoul={"devices": frozenset({DEVICE}), "described": unnamed})
    assert facts.names(SEOUL, [DEVICE]) == {DEVICE: NAME}
    assert facts.names(BUSAN, [DEVICE]) == {}
    ours = {DEVICE: Device(DEVICE, "Ours")}
    facts = known(state, seoul={"devices": frozenset({DEVICE}), "described": ours})
    assert facts.names(SEOUL, [DEVICE]) == {DEVICE: "Ours"}


@pytest.mark.parametrize(
    "way",
    [
        _wanted,
        _named,
        _live,
        _named_before,
        _live_by_its_beginning,
        _wanted_and_live_by_its_beginning,
    ],
)
def test_a_search_shows_each_device_once_in_the_account_that_knows_it(
    state: State, way: Callable[[State], tuple[Knowledge, str]]
) -> None:
    """Also one that only the state remembers, if its account is in force."""
    facts, asked = way(state)
    found = search(facts, asked)
    assert [(row.account, row.device) for row in found.devices] == [(SEOUL, DEVICE)]
    assert not found.more_devices
    only_busan = {BUSAN: facts.accepted.accounts[BUSAN]}
    without = replace(facts, accepted=replace(facts.accepted, accounts=only_busan))
    assert search(without, asked).devices == ()


@pytest.mark.parametrize(("number", "more"), [(49, False), (50, False), (51, True)])
def test_a_search_of_fifty_shows_all(state: State, number: int, *, more: bool) -> None:
    """It says that there are others only where there are; devices are in the order of account and name."""
    entries = {
        device: Device(device, f"Oven {99 - at}")
        for at, device in enumerate(DeviceId(f"oven-{at:02}") for at in range(number))
    }
    facts = known(state, seoul={"devices": frozenset(entries), "described": entries})
    found = search(facts, "OVEN ")
    assert (len(found.devices), found.more_devices) == (min(number, 50), more)
    names = [row.name for row in found.devices]
    assert names == sorted(names, key=str)
