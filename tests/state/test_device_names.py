"""Names of devices in the state: the last one stays known, and the past keeps the names of its day."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disks import START, Disk, StandingClock
from reconciler.core.memory import Names
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Desired,
    Device,
    DeviceId,
    Outcome,
    PassId,
    Result,
    Revision,
)
from reconciler.state import State
from reconciler.state.sql import rows
from reconciler.state.sqlite import tables

HOTEL = AccountName("seoul-hotel")
ONE, TWO = DeviceId("one"), DeviceId("two")
LATER = START + timedelta(hours=1)
REVISION = Revision("a" * 64)
FRIDGE = "Room 202 fridge"
NOBODY: frozenset[DeviceId] = frozenset()


def wanting(**names: str | None) -> Desired:
    """Return a desired state of devices with these names; None is an entry that is an id alone."""
    described = {}
    for device, name in names.items():
        if name is not None:
            described[DeviceId(device)] = Device(DeviceId(device), name)
    return Desired(HOTEL, frozenset(map(DeviceId, names)), described)


def on_disk(folder: Path) -> Callable[[], State]:
    """Return how the state in a folder is opened."""
    return lambda: State.open(folder, StandingClock())


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], State]:
    """Return how the state is opened, again and again."""
    return on_disk(tmp_path / "state")


@pytest.fixture
def state(opened: Callable[[], State]) -> Iterator[State]:
    """Return an open state."""
    state = opened()
    yield state
    state.close()


def unsubscribe(state: State, device: DeviceId, number: int = 1) -> None:
    """Unsubscribe a device, as a pass does."""
    change, pass_id = Change(HOTEL, Action.UNSUBSCRIBE, device), PassId(f"pass-{number}")
    now = START + timedelta(minutes=number)
    state.changes.intend(HOTEL, pass_id, [change], NOBODY, REVISION, now)
    state.changes.record(HOTEL, pass_id, [Outcome(change, Result.SUCCESS, now)], {}, now)


def past_names(state: State) -> list[tuple[str, str | None]]:
    """Return what history calls the devices, newest first."""
    return [(past.device, past.name) for past in state.history.changes()]


def test_the_last_name_of_a_removed_device_stays_known(opened: Callable[[], State]) -> None:
    """Its entry left the file, and the program started again: the name is still there."""
    state = opened()
    state.accounts.desire(wanting(one=FRIDGE, two=None), REVISION, START)
    state.accounts.desire(wanting(two=None), REVISION, LATER)
    assert state.names.of(HOTEL, [ONE, TWO]) == {ONE: FRIDGE}
    state.close()
    again = opened()
    assert again.names.of(HOTEL, [ONE, TWO]) == {ONE: FRIDGE}
    assert again.names.once(FRIDGE, 10) == {(HOTEL, ONE)}
    again.close()


def test_a_device_is_found_by_every_name_that_it_had(state: State) -> None:
    """A renamed device is found by its former name, one whose name was taken out by the last one."""
    state.accounts.desire(wanting(one="A"), REVISION, START)
    state.accounts.desire(wanting(one="B"), REVISION, START)
    state.accounts.desire(wanting(one=None), REVISION, START)
    assert state.names.once("A", 10) == state.names.once("B", 10) == {(HOTEL, ONE)}
    assert state.names.of(HOTEL, [ONE]) == {ONE: "B"}
    assert state.names.once_like("A", 10) == {"A"}
    assert state.names.once("C", 10) == frozenset()


def test_a_retired_account_leaves_the_names_of_its_devices(state: State) -> None:
    """What an account's devices were called is found although the account is forgotten."""
    state.accounts.desire(wanting(one=FRIDGE), REVISION, START)
    state.accounts.retire(HOTEL)
    assert state.names.once(FRIDGE, 10) == {(HOTEL, ONE)}


def test_a_change_has_the_name_of_its_day(opened: Callable[[], State]) -> None:
    """History does not change its past when an entry is renamed, removed or named for the first time."""
    state = opened()
    state.accounts.desire(wanting(one="Room 1 oven", two=None), REVISION, START)
    unsubscribe(state, ONE)
    unsubscribe(state, TWO, number=2)
    state.accounts.desire(wanting(one="Room 2 oven", two="Room 3 oven"), REVISION, LATER)
    assert past_names(state) == [(TWO, ""), (ONE, "Room 1 oven")]
    state.close()
    again = opened()
    assert past_names(again) == [(TWO, ""), (ONE, "Room 1 oven")]
    again.close()


def test_a_change_of_a_removed_device_has_its_last_name(state: State) -> None:
    """The unsubscribe comes after the entry left, and history calls the device as the entry did."""
    state.accounts.desire(wanting(one=FRIDGE), REVISION, START)
    state.accounts.desire(wanting(), REVISION, START)
    unsubscribe(state, ONE)
    assert past_names(state) == [(ONE, FRIDGE)]


def test_a_change_without_intent_has_its_name_beside_an_older_one_without_answer(
    state: State,
) -> None:
    """An intent of another pass to the same device does not take the name from a change that has none."""
    state.accounts.desire(wanting(one=FRIDGE), REVISION, START)
    older = Change(HOTEL, Action.SUBSCRIBE, ONE)
    state.changes.intend(HOTEL, PassId("older"), [older], NOBODY, REVISION, START)
    outcome = Outcome(Change(HOTEL, Action.UNSUBSCRIBE, ONE), Result.SUCCESS, LATER)
    state.changes.record(HOTEL, PassId("newer"), [outcome], {}, LATER)
    assert past_names(state) == [(ONE, FRIDGE), (ONE, FRIDGE)]


def test_a_name_that_came_and_went_while_nothing_could_be_read_is_a_former_name(
    tmp_path: Path,
) -> None:
    """What people called a device for a moment is found, also if the account was read only afterwards."""
    disk = Disk()
    state = State.open(tmp_path / "state", StandingClock(), disk.connect)
    disk.fault = "disk I/O error"
    state.accounts.desire(wanting(one=FRIDGE), REVISION, START)
    state.accounts.desire(wanting(one="Other"), REVISION, LATER)
    disk.fault = ""
    state.accounts.desire(wanting(one=None), REVISION, LATER + timedelta(seconds=1))
    assert (HOTEL, ONE) in state.names.once(FRIDGE, 10)
    assert state.names.of(HOTEL, [ONE]) == {ONE: "Other"}
    state.close()


NAMES = st.dictionaries(
    st.sampled_from(["one", "two", "three"]), st.none() | st.sampled_from(["A", "B", "C", "\x00'"])
)


@given(st.lists(NAMES, min_size=1, max_size=6), st.data())
def test_no_sequence_of_edits_changes_the_past(
    edits: list[dict[str, str | None]], data: st.DataObject
) -> None:
    """Whatever entries are renamed, removed or brought back, each change keeps the name it had."""
    state = State.in_memory(StandingClock())
    seen: list[tuple[str, str | None]] = []
    last: dict[DeviceId, str] = {}
    for number, edit in enumerate(edits):
        state.accounts.desire(wanting(**edit), REVISION, START + timedelta(minutes=number))
        last |= {DeviceId(device): name for device, name in edit.items() if name}
        device = DeviceId(data.draw(st.sampled_from(["one", "two", "three"])))
        unsubscribe(state, device, number)
        seen.insert(0, (device, last.get(device, "")))
        assert past_names(state) == seen
        assert state.names.of(HOTEL, [DeviceId(one) for one in ("one", "two", "three")]) == last
        for one, name in last.items():
            current = edit.get(one) == name
            assert current or (HOTEL, one) in state.names.once(name, 10)


def test_names_are_known_while_the_disk_takes_no_writes(tmp_path: Path) -> None:
    """What waits to be written is found like what was written, also a name that is about to end."""
    disk = Disk()
    state = State.open(tmp_path / "state", StandingClock(), disk.connect)
    state.accounts.desire(wanting(one=FRIDGE, two="A"), REVISION, START)
    disk.write_fault = "disk I/O error"
    state.accounts.desire(wanting(two="B"), REVISION, LATER)
    assert not state.writable
    assert state.names.of(HOTEL, [ONE, TWO]) == {ONE: FRIDGE, TWO: "B"}
    assert state.names.once(FRIDGE, 10) == {(HOTEL, ONE)}
    assert state.names.once("A", 10) == {(HOTEL, TWO)}
    disk.fault = "disk I/O error"
    assert state.names.of(HOTEL, [ONE, TWO]) == {TWO: "B"}
    disk.fault = disk.write_fault = ""
    state.close()


def test_a_state_of_the_first_version_gets_its_names(tmp_path: Path) -> None:
    """An older state is migrated: its past has no names, and the next revision brings those of the devices."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    first = sqlite3.connect(folder / "state.db", isolation_level=None)
    with closing(first):
        for sql in tables.MIGRATIONS[0]:
            first.execute(sql)
        first.execute("INSERT INTO account VALUES ('seoul-hotel', 1, 1, 0, NULL)")
        first.execute("INSERT INTO device VALUES ('seoul-hotel', 'one', 1, 1, 1, 1, NULL, NULL)")
        past = ("seoul-hotel", "one", rows.stamp(START), "p", "subscribe", rows.stamp(START))
        rest = (0, 0, None, "success", None, None, None, 200, None, "")
        marks = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
        first.execute(f"INSERT INTO change VALUES ({marks})", (*past, *rest))  # noqa: S608
        first.execute("PRAGMA user_version = 1")
    state = State.open(folder, StandingClock())
    assert past_names(state) == [(ONE, None)]
    state.accounts.desire(wanting(one=FRIDGE), REVISION, START)
    state.accounts.desire(wanting(), REVISION, LATER)
    assert state.names.of(HOTEL, [ONE]) == {ONE: FRIDGE}
    state.close()


def test_unchanged_names_are_not_written_again() -> None:
    """A restart with the same names writes none of them; a changed one is written alone."""
    before = {ONE: Device(ONE, "A"), TWO: Device(TWO, "B")}
    first = Names()
    assert first.learn(before).names == {ONE: "A", TWO: "B"}
    second = Names()
    second.mark = first.mark
    assert not second.learn(dict(before))
    assert second.learn({ONE: Device(ONE, "A"), TWO: Device(TWO, "C")}).names == {TWO: "C"}
    third = Names()
    third.mark = first.mark
    assert third.learn({ONE: Device(ONE, "A")}).names == {ONE: "A"}


OTHER_NAMES: dict[str, tuple[dict[str, str | None], dict[str, str | None]]] = {
    "another name": ({"a": "X"}, {"a": "Y"}),
    "names that changed places": ({"a": "X", "b": "Y"}, {"a": "Y", "b": "X"}),
    "a name that went to another device": ({"a": "X", "b": None}, {"a": None, "b": "X"}),
    "another device with the same name": ({"a": "X"}, {"b": "X"}),
    "one more device": ({"a": "X"}, {"a": "X", "b": "X"}),
    "the same letters": ({"a": "bX"}, {"ab": "X"}),
    "a name where there was none": ({"a": None}, {"a": "X"}),
}


@pytest.mark.parametrize("how", OTHER_NAMES)
def test_names_that_changed_while_no_process_ran_are_written(
    how: str, opened: Callable[[], State]
) -> None:
    """The file was edited before the next start: what the state calls a device is what the file calls it."""
    before, after = OTHER_NAMES[how]
    with closing(opened()) as state:
        state.accounts.desire(wanting(**before), REVISION, START)
    with closing(opened()) as state:
        state.accounts.desire(wanting(**after), REVISION, LATER)
        state.accounts.desire(wanting(), REVISION, LATER)
    called = {DeviceId(one): name for one, name in after.items() if name}
    with closing(opened()) as state:
        assert state.names.of(HOTEL, list(called)) == called


A_FEW = [{}, {"a": None}, {"a": "X"}, {"a": "Y"}, {"a": "X", "b": "Y"}, {"a": "Y", "b": "X"}]


@given(st.lists(st.tuples(st.sampled_from(A_FEW), st.booleans()), max_size=8))
def test_every_name_in_force_is_written_however_often_a_process_starts(
    edits: list[tuple[dict[str, str | None], bool]],
) -> None:
    """Whatever is edited before or after a start, what was written last is the present name of every device."""
    names, written, before = Names(), dict[DeviceId, str](), dict[DeviceId, str]()
    for edit, starts in edits:
        if starts:
            mark, names = names.mark, Names()
            names.mark = mark
        entries = {DeviceId(one): Device(DeviceId(one), name) for one, name in edit.items()}
        renamed = names.learn(entries)
        called = {DeviceId(one): name for one, name in edit.items() if name}
        written |= renamed.names
        assert written.items() >= called.items()
        assert names.all() == called
        assert starts or renamed.ended == before.keys() - called.keys()
        before = called


def test_old_names_are_forgotten(tmp_path: Path) -> None:
    """A name that ended more than ninety days ago is not kept."""
    clock = StandingClock()
    state = State.open(tmp_path / "state", clock)
    state.accounts.desire(wanting(one="A"), REVISION, START)
    state.accounts.desire(wanting(one="B"), REVISION, START)
    clock.at = START + timedelta(days=91)
    state.flush()
    assert state.names.once("A", 10) == frozenset()
    assert state.names.of(HOTEL, [ONE]) == {ONE: "B"}
    state.close()


def test_what_lg_calls_a_device_counts_where_nobody_else_gave_it_a_name(
    opened: Callable[[], State],
) -> None:
    """A person's name goes first, also the last one of a device that left; nothing that LG says is kept on disk."""
    with closing(opened()) as state:
        state.accounts.desire(wanting(one=FRIDGE, two=None), REVISION, START)
        heard = {ONE: "LG's fridge", TWO: "LG's oven", DeviceId("three"): "LG's washer"}
        state.names.hear(HOTEL, heard)
        shown = {ONE: FRIDGE, TWO: "LG's oven", DeviceId("three"): "LG's washer"}
        assert state.names.of(HOTEL, list(heard)) == shown
        assert state.names.of(AccountName("clinic"), list(heard)) == {}
        state.accounts.desire(wanting(two=None), REVISION, LATER)
        assert state.names.of(HOTEL, [ONE]) == {ONE: FRIDGE}
        assert state.names.heard_as("LG's oven", 10) == {(HOTEL, TWO)}
        state.names.hear(AccountName("clinic"), {ONE: "LG's oven"})
        assert len(state.names.heard_as("LG's oven", 10)) == 2
        assert len(state.names.heard_as("LG's oven", 1)) == 1
        state.names.hear(HOTEL, {TWO: "LG's stove"})
        assert state.names.of(HOTEL, [TWO, DeviceId("three")]) == {TWO: "LG's stove"}
    with closing(opened()) as state:
        assert state.names.of(HOTEL, [ONE, TWO]) == {ONE: FRIDGE}
        assert state.names.heard_as("LG's stove", 10) == frozenset()


def test_what_lg_calls_a_device_is_one_short_line(opened: Callable[[], State]) -> None:
    """It may come to stand in a file as a comment, which another line would end."""
    with closing(opened()) as state:
        state.names.hear(HOTEL, {ONE: "Oven\n[[accounts]]\r\u2028x", TWO: "x" * 5000})
        names = state.names.of(HOTEL, [ONE, TWO])
        assert names[ONE].splitlines() == [names[ONE]]
        assert names[ONE].startswith("Oven")
        assert len(names[TWO]) == 200
        state.names.hear(HOTEL, {ONE: "\n"})
        assert state.names.of(HOTEL, [ONE, TWO]) == {}


NOW_CALLED: dict[str, dict[str, str | None]] = {
    "leaves": {},
    "has another name": {"one": "Stove"},
    "has no name": {"one": None},
}


@pytest.mark.parametrize("how", NOW_CALLED)
def test_a_device_is_found_by_its_name_while_that_it_ends_waits_for_the_disk(
    how: str, tmp_path: Path
) -> None:
    """Whatever ends the name: the file has it as the present one, and nobody wrote down yet that it was."""
    disk = Disk()
    with closing(State.open(tmp_path / "state", StandingClock(), disk.connect)) as state:
        state.accounts.desire(wanting(one=FRIDGE, two=None), REVISION, START)
        disk.write_fault = "database or disk is full"
        state.accounts.desire(wanting(**NOW_CALLED[how], two=None), REVISION, LATER)
        assert state.names.once(FRIDGE, 10) == {(HOTEL, ONE)}
        disk.write_fault = ""
        state.flush()
        assert state.names.once(FRIDGE, 10) == {(HOTEL, ONE)}
