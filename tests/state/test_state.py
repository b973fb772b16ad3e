"""What outlives a pass, a restart, a kill and a full disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import permutations
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from disks import START, Disk, StandingClock, soon_folded
from reconciler.core.clock import TwoClocks
from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import AccountMemory
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Commit,
    Confirmed,
    Desired,
    Device,
    DeviceId,
    Memory,
    MessageId,
    Observed,
    Outcome,
    PassId,
    Pause,
    Reason,
    Result,
    Retry,
    Revision,
    Verified,
)
from reconciler.core.planner import overlaid
from reconciler.core.protection import Stated
from reconciler.core.windows import Opening
from reconciler.state import KEPT, KeptText, Mark, State, Stay
from reconciler.state.clocks import StateClock
from reconciler.state.quotas import QUOTA_WAITS
from reconciler.state.records import AccountSaved, Fence, Group, PauseSaved
from reconciler.state.sql import storage
from reconciler.state.sqlite.connection import connect
from reconciler.state.sqlite.database import Database
from reconciler.state.sqlite.storage import DIALECT, SqliteStorage
from reconciler.state.waiting import MOST_PASTS
from reconciler.state.write_behind import TOGETHER, WriteBehind
from simulated import SimulatedClock

HOTEL, CLINIC = AccountName("seoul-hotel"), AccountName("clinic")
ONE, TWO, THREE = DeviceId("one"), DeviceId("two"), DeviceId("three")
PASS = PassId("pass")
FIRST = Revision("a" * 64)
SECOND = Revision(
    "b" * 64, Commit("c" * 40, "Kim <kim@example.com>", "Wing B", START, Verified.YES, dirty=True)
)
FULL = "database or disk is full"


def wanting(*devices: DeviceId, account: AccountName = HOTEL) -> Desired:
    """Return an account's part of a text that wants these devices."""
    return Desired(account, frozenset(devices))


def change(action: Action, device: DeviceId, account: AccountName = HOTEL) -> Change:
    """Return one change."""
    return Change(account, action, device)


def subscribed(device: DeviceId, at: datetime, result: Result = Result.SUCCESS) -> Outcome:
    """Return what came of subscribing a device."""
    return Outcome(change(Action.SUBSCRIBE, device), result, at)


def unsubscribed(
    device: DeviceId, at: datetime, result: Result = Result.SUCCESS, *, approved: bool = False
) -> Outcome:
    """Return what came of unsubscribing a device."""
    return Outcome(change(Action.UNSUBSCRIBE, device), result, at, approved)


def ids(*devices: DeviceId) -> frozenset[DeviceId]:
    """Return a set of devices."""
    return frozenset(devices)


def medium(state: State) -> Any:
    """Return the database behind a state."""
    return state._storage.medium


def reopened_too(state: State, opened: Callable[[], State]) -> Iterator[State]:
    """Return a state, and then what is in its file."""
    yield state
    yield opened()


def trust(
    state: State,
    now: datetime,
    *devices: DeviceId,
    account: AccountName = HOTEL,
    credential: str | None = "mark",
) -> tuple[Outcome, ...]:
    """Let a list with these devices be believed, as a pass does: with the overlay of what was confirmed just now."""
    observed = Observed(frozenset(devices), now)
    return state.accounts.trust(
        account, observed, credential, now, overlaid(observed, state.accounts.recall(account, now))
    )


def intend(
    state: State,
    now: datetime,
    *changes: Change,
    pass_id: PassId = PASS,
    approved: Sequence[DeviceId] = (),
) -> None:
    """Let changes be written down before their calls."""
    state.changes.intend(HOTEL, pass_id, changes, frozenset(approved), SECOND, now)


@pytest.fixture
def clock() -> StandingClock:
    """Return the clock of a test."""
    return StandingClock()


@pytest.fixture
def disk() -> Disk:
    """Return the disk of a test."""
    return Disk()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that state is kept in."""
    return tmp_path / "state"


@pytest.fixture
def opened(folder: Path, clock: StandingClock, disk: Disk) -> Iterator[Callable[[], State]]:
    """Return what opens the state, letting go of it first where it is open."""
    states: list[State] = []

    def open_() -> State:
        for state in states:
            state.close()
        states.append(State.open(folder, clock, disk.connect))
        return states[-1]

    yield open_
    for state in states:
        state.close()


def test_an_unknown_account_has_an_empty_memory(clock: StandingClock) -> None:
    """What was never seen is an empty memory, which owns nothing and has counted nothing."""
    assert State.in_memory(clock).accounts.recall(HOTEL, START) == Memory()


def test_a_glance_says_what_recall_says_and_keeps_nothing(
    opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """Anybody may propose accounts of any name: each is looked up, and none takes up memory afterwards."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    known = state.accounts.recall(HOTEL, clock.at)
    assert state.accounts.glance(HOTEL, clock.at) == known
    state = opened()
    for _ in range(2):
        disk.asked.clear()
        assert state.accounts.glance(HOTEL, clock.at) == known
        assert state.accounts.glance(CLINIC, clock.at) == Memory()
        assert [sql for sql in disk.asked if "'clinic'" in sql]
    disk.fault = FULL
    assert state.accounts.glance(CLINIC, clock.at) == Memory()
    assert state.writable


def test_everything_remembered_survives_a_restart(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """Inventory, expected list, absences, day's count, retries and suspicion are the same after a restart."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    state.accounts.desire(wanting(TWO, THREE), SECOND, clock.wait(minutes=1))
    intend(state, clock.at, change(Action.SUBSCRIBE, THREE), change(Action.UNSUBSCRIBE, ONE))
    retry = Retry(
        Action.SUBSCRIBE, Reason.REFUSED, 3, clock.at + timedelta(hours=1), "1221", "no such type"
    )
    refused = subscribed(THREE, clock.at, Result.REFUSED)
    state.changes.record(
        HOTEL, PASS, [unsubscribed(ONE, clock.at), refused], {THREE: retry, ONE: None}, clock.at
    )
    state.accounts.doubt(HOTEL, clock.at)
    told = Memory(
        inventory=frozenset({ONE, TWO, THREE}),
        expected=frozenset({TWO}),
        confirmed={ONE: Confirmed(Action.UNSUBSCRIBE, Result.SUCCESS, clock.at)},
        unsubscribed=frozenset({ONE}),
        absent_since={ONE: clock.at},
        retries={THREE: retry},
        suspect_readings=1,
    )
    assert state.accounts.recall(HOTEL, clock.at) == told
    assert opened().accounts.recall(HOTEL, clock.at) == told


def test_a_list_that_is_believed_ends_the_doubt_for_good(opened: Callable[[], State]) -> None:
    """Doubted readings and another credential are forgotten after a restart, also where no device changed."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    trust(state, START, ONE)
    state.accounts.doubt(HOTEL, START)
    state.accounts.doubt(HOTEL, START)
    trust(state, START, ONE, credential="another")
    for one in reopened_too(state, opened):
        one.accounts.credential(HOTEL, "another")
        known = one.accounts.recall(HOTEL, START)
        assert (known.suspect_readings, known.credential_changed) == (0, False)


def test_sets_are_kept_as_the_objects_that_were_handed_in(opened: Callable[[], State]) -> None:
    """A text that says what is known already takes its place as an object, and so do lists: nothing is held twice."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    state = opened()
    desired, observed = wanting(ONE, TWO), Observed(frozenset({ONE, TWO}), START)
    state.accounts.desire(desired, FIRST, START)
    state.accounts.trust(HOTEL, observed, "mark", START, observed.devices)
    memory = state.accounts.recall(HOTEL, START)
    assert memory.inventory is desired.devices
    assert memory.expected is desired.devices
    trust(state, START, ONE)
    assert state.accounts.recall(HOTEL, START).expected == frozenset({ONE})
    assert state.accounts.recall(HOTEL, START).inventory is desired.devices


def test_a_pass_with_nothing_to_do_asks_nothing_of_the_disk(
    opened: Callable[[], State], disk: Disk
) -> None:
    """Once an account is known, a pass that finds everything as it was neither reads nor writes."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    trust(state, START, ONE)
    state.quotas.keep(HOTEL, [1.5], 60)
    state.flush()
    state.pauses.of(HOTEL, START)
    disk.asked.clear()
    state.accounts.desire(wanting(ONE), SECOND, START)
    state.accounts.credential(HOTEL, "mark")
    assert trust(state, START, ONE) == ()
    state.changes.record(HOTEL, PASS, (), {}, START)
    state.accounts.forget_retries(HOTEL, [ONE])
    state.changes.withdraw(HOTEL, PASS, [ONE])
    state.changes.intend(HOTEL, PASS, (), frozenset(), FIRST, START)
    state.quotas.keep(HOTEL, [1.5], 60)
    state.pauses.of(HOTEL, START)
    state.accounts.recall(HOTEL, START)
    assert disk.asked == []


def test_what_was_handed_out_stays_as_it_was(clock: StandingClock) -> None:
    """A memory that a pass holds is not changed by what happens afterwards."""
    state = State.in_memory(clock)
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE)
    retry = Retry(Action.SUBSCRIBE, Reason.RETRY, 1, START)
    state.changes.record(HOTEL, PASS, [], {TWO: retry}, START)
    before = state.accounts.recall(HOTEL, START)
    state.accounts.desire(wanting(TWO), SECOND, START)
    state.changes.record(HOTEL, PASS, [unsubscribed(ONE, START)], {TWO: None}, START)
    assert before == Memory(frozenset({ONE, TWO}), frozenset({ONE}), {}, retries={TWO: retry})


def test_the_day_is_over_after_24_hours(opened: Callable[[], State], clock: StandingClock) -> None:
    """Confirmed changes count for the last 24 hours, also over a restart, and not a moment longer."""
    state = opened()
    trust(state, START, ONE, TWO)
    state.changes.record(HOTEL, PASS, [unsubscribed(ONE, START)], {}, START)
    later = clock.wait(hours=12)
    state.changes.record(HOTEL, PASS, [unsubscribed(TWO, later)], {}, later)
    for now, gone in (
        (START + timedelta(hours=24, microseconds=-1), {ONE, TWO}),
        (START + timedelta(hours=24), {TWO}),
        (later + timedelta(hours=24), set()),
    ):
        clock.at = now
        assert state.accounts.recall(HOTEL, now).unsubscribed == gone
        assert state.accounts.recall(HOTEL, now).confirmed.keys() == gone
        assert opened().accounts.recall(HOTEL, now).unsubscribed == gone
    assert len(opened().history.changes()) == 2


def test_approved_unsubscribes_are_not_counted(clock: StandingClock) -> None:
    """An unsubscribe with an approval is confirmed like any other, and not part of the day's count."""
    state = State.in_memory(clock)
    state.changes.record(
        HOTEL, PASS, [unsubscribed(ONE, START, approved=True), unsubscribed(TWO, START)], {}, START
    )
    memory = state.accounts.recall(HOTEL, START)
    assert (memory.unsubscribed, frozenset(memory.confirmed)) == (ids(TWO), ids(ONE, TWO))


@pytest.mark.parametrize("result", [Result.SUCCESS, Result.NOOP])
def test_confirmed_changes_move_the_expected_list(
    result: Result, opened: Callable[[], State]
) -> None:
    """What LG confirms should be live, or not, from then on; what it did not confirm changes nothing."""
    state = opened()
    trust(state, START, ONE)
    lost = [subscribed(THREE, START, Result.FAILED), unsubscribed(ONE, START, Result.REFUSED)]
    state.changes.record(HOTEL, PASS, lost, {}, START)
    assert state.accounts.recall(HOTEL, START).expected == ids(ONE)
    state.changes.record(
        HOTEL, PASS, [subscribed(TWO, START, result), unsubscribed(ONE, START, result)], {}, START
    )
    assert state.accounts.recall(HOTEL, START).expected == ids(TWO)
    assert opened().accounts.recall(HOTEL, START).expected == ids(TWO)


def test_another_credential_is_news_once(clock: StandingClock) -> None:
    """Whoever notes it learns whether it is another one than before, the first one and none included."""
    accounts = State.in_memory(clock).accounts
    marks = [None, "one", "one", "two", None, None, "two", "one"]
    told = [accounts.credential(HOTEL, mark) for mark in marks]
    assert told == [False, True, False, True, True, False, True, True]
    assert accounts.credential(CLINIC, "one")


def test_since_when_there_are_revisions_is_known_from_the_first_one(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """Also where it wanted nothing, and the process ended before there was a list."""
    opened().accounts.desire(wanting(), FIRST, START)
    state, later = opened(), clock.wait(hours=5)
    state.accounts.desire(wanting(), SECOND, later)
    trust(state, later, ONE)
    for one in reopened_too(state, opened):
        assert dict(one.accounts.recall(HOTEL, later).absent_since) == {ONE: START}


def test_without_a_trusted_list_nothing_is_expected(opened: Callable[[], State]) -> None:
    """A confirmed change alone is no list; an empty trusted list is one."""
    state = opened()
    state.changes.record(HOTEL, PASS, [subscribed(ONE, START)], {}, START)
    assert state.accounts.recall(HOTEL, START).expected is None
    assert opened().accounts.live_accounts() == frozenset()
    assert opened().accounts.recall(HOTEL, START).expected is None
    state = opened()
    later = START + timedelta(hours=1)
    trust(state, later)
    assert state.accounts.recall(HOTEL, later).expected == frozenset()
    assert opened().accounts.recall(HOTEL, later).expected == frozenset()


def test_a_trusted_list_ends_the_suspicion(clock: StandingClock) -> None:
    """Lists that were not believed are counted until one is."""
    state = State.in_memory(clock)
    state.accounts.doubt(HOTEL, START)
    state.accounts.doubt(HOTEL, START)
    assert state.accounts.recall(HOTEL, START).suspect_readings == 2
    trust(state, START)
    assert state.accounts.recall(HOTEL, START).suspect_readings == 0


def test_another_credential_than_that_of_the_last_trusted_list_is_told(
    opened: Callable[[], State],
) -> None:
    """A changed credential shows until a list got with it is trusted, also when it changed while we were away."""
    state = opened()
    state.accounts.credential(HOTEL, "old")
    assert not state.accounts.recall(HOTEL, START).credential_changed
    trust(state, START, credential="old")
    state = opened()
    assert not state.accounts.recall(HOTEL, START).credential_changed
    state.accounts.credential(HOTEL, "new")
    assert state.accounts.recall(HOTEL, START).credential_changed
    trust(state, START, credential="new")
    assert not state.accounts.recall(HOTEL, START).credential_changed


def test_a_person_vouches_for_a_credential_and_ends_all_waiting(
    opened: Callable[[], State],
) -> None:
    """After a person's word the credential in use counts as the known one, and no device waits any more."""
    state = opened()
    trust(state, START, credential="old")
    state.accounts.credential(HOTEL, "new")
    state.changes.record(
        HOTEL, PASS, [], {ONE: Retry(Action.SUBSCRIBE, Reason.RETRY, 1, START)}, START
    )
    state.accounts.person_agrees(HOTEL)
    for one in reopened_too(state, opened):
        one.accounts.credential(HOTEL, "new")
        assert one.accounts.recall(HOTEL, START) == Memory(expected=frozenset())
        one.accounts.credential(HOTEL, "newer")
        assert one.accounts.recall(HOTEL, START).credential_changed


def test_a_changed_entry_ends_only_its_devices_waiting(opened: Callable[[], State]) -> None:
    """Forgetting the retries of some devices leaves the others waiting."""
    state = opened()
    retry = Retry(Action.SUBSCRIBE, Reason.REFUSED, 2, START, "1205", "who?")
    state.changes.record(HOTEL, PASS, [], {ONE: retry, TWO: retry}, START)
    state.accounts.forget_retries(HOTEL, [ONE, THREE])
    assert state.accounts.recall(HOTEL, START).retries == {TWO: retry}
    assert opened().accounts.recall(HOTEL, START).retries == {TWO: retry}


def test_devices_come_and_go_with_the_text_that_says_so(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """For each device it is known which text brought it in and which took it out; coming back clears the absence."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    trust(state, START, ONE)
    left = clock.wait(hours=1)
    state.accounts.desire(wanting(), SECOND, left)
    assert state.accounts.recall(HOTEL, left).absent_since == {ONE: left}
    assert opened().history.came_and_went(HOTEL, ONE) == Stay(
        Mark(FIRST, START), Mark(SECOND, left)
    )
    state, back = opened(), clock.wait(hours=1)
    state.accounts.desire(wanting(ONE), FIRST, back)
    assert state.accounts.recall(HOTEL, back).absent_since == {}
    assert opened().history.came_and_went(HOTEL, ONE) == Stay(Mark(FIRST, back))
    assert opened().history.came_and_went(HOTEL, TWO) == Stay()


def test_a_live_device_that_no_text_ever_named_is_absent_since_there_are_texts(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """Under ``unsubscribe_after`` a stranger counts as absent from the first text on, not for ever from now."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    later = clock.wait(hours=1)
    trust(state, later, ONE, TWO)
    state = opened()
    absences = state.accounts.recall(HOTEL, later).absent_since
    assert absences == {TWO: START}
    assert (absences.get(ONE), absences.get(TWO), len(absences), list(absences)) == (
        None,
        START,
        1,
        [TWO],
    )
    state.accounts.desire(wanting(ONE, TWO), SECOND, later)
    state.accounts.desire(wanting(ONE), SECOND, later)
    assert state.accounts.recall(HOTEL, later).absent_since == {TWO: later}


def test_an_absence_goes_on_while_lists_lack_a_device(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """A device that left the texts, was in two believed lists no more and is live again is absent since it left."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, clock.wait(hours=1), ONE, TWO)
    left = clock.wait(hours=1)
    state.accounts.desire(wanting(TWO), SECOND, left)
    for _ in range(2):
        trust(state, clock.wait(minutes=5), TWO)
    assert state.accounts.recall(HOTEL, clock.at).inventory == {TWO}
    for one in reopened_too(state, opened):
        trust(one, clock.wait(minutes=5), ONE, TWO)
        assert one.accounts.recall(HOTEL, clock.at).absent_since == {ONE: left}
    state, back = opened(), clock.wait(hours=1)
    state.accounts.desire(wanting(ONE, TWO), FIRST, back)
    state.accounts.desire(wanting(TWO), SECOND, clock.wait(hours=1))
    for one in reopened_too(state, opened):
        assert one.accounts.recall(HOTEL, clock.at).absent_since == {ONE: clock.at}


def test_a_device_is_ours_until_a_list_confirms_our_unsubscribe(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """A device that left the texts is in the inventory while live, and while a list shows it after our call."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    state.accounts.desire(wanting(TWO), SECOND, START)
    trust(state, clock.wait(hours=1), ONE, TWO)
    state.changes.record(HOTEL, PASS, [unsubscribed(ONE, clock.at, Result.FAILED)], {}, clock.at)
    trust(state, clock.wait(hours=1), ONE, TWO)
    assert ONE in state.accounts.recall(HOTEL, clock.at).inventory
    state.changes.record(HOTEL, PASS, [unsubscribed(ONE, clock.at)], {}, clock.at)
    trust(state, clock.wait(seconds=10), ONE, TWO)
    assert ONE in state.accounts.recall(HOTEL, clock.at).inventory
    trust(state, clock.wait(seconds=10), TWO)
    assert state.accounts.recall(HOTEL, clock.at).inventory == {TWO}
    assert opened().accounts.recall(HOTEL, clock.at).inventory == {TWO}


def test_a_device_that_others_removed_is_ours_until_a_second_list(clock: StandingClock) -> None:
    """One list without a device that left the texts may be short by mistake; two in a row are believed."""
    state = State.in_memory(clock)
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    desired = wanting(TWO)
    state.accounts.desire(desired, SECOND, START)
    trust(state, clock.wait(minutes=10), TWO)
    assert ONE in state.accounts.recall(HOTEL, clock.at).inventory
    trust(state, clock.wait(minutes=10), TWO)
    assert state.accounts.recall(HOTEL, clock.at).inventory is desired.devices


def test_a_wait_that_nothing_can_end_is_forgotten(opened: Callable[[], State]) -> None:
    """A device that is neither wanted nor live has nothing to wait for; one that is either goes on waiting."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    retry = Retry(Action.UNSUBSCRIBE, Reason.RETRY, 1, START)
    state.changes.record(HOTEL, PASS, [], {ONE: retry, TWO: retry, THREE: retry}, START)
    trust(state, START, TWO)
    assert state.accounts.recall(HOTEL, START).retries == {ONE: retry, TWO: retry}
    assert opened().accounts.recall(HOTEL, START).retries == {ONE: retry, TWO: retry}


def test_a_list_tells_what_no_answer_did(opened: Callable[[], State], clock: StandingClock) -> None:
    """Changes without an answer that a list shows as made are told once as success, and count as if confirmed."""
    state = opened()
    trust(state, START, ONE, TWO)
    changes = [
        change(Action.SUBSCRIBE, THREE),
        change(Action.UNSUBSCRIBE, ONE),
        change(Action.UNSUBSCRIBE, TWO),
    ]
    intend(state, START, *changes, approved=[ONE])
    timed_out = Outcome(
        changes[2], Result.FAILED, START, message_id=MessageId("m"), words="timed out"
    )
    state.changes.record(HOTEL, PASS, [timed_out], {}, START)
    state, now = opened(), clock.wait(minutes=5)
    assert sorted(trust(state, now, THREE), key=lambda outcome: outcome.change) == [
        Outcome(changes[0], Result.SUCCESS, now, confirmed_by="list", revision=SECOND),
        Outcome(
            changes[1], Result.SUCCESS, now, approved=True, confirmed_by="list", revision=SECOND
        ),
        Outcome(
            changes[2],
            Result.SUCCESS,
            now,
            message_id=MessageId("m"),
            confirmed_by="list",
            revision=SECOND,
        ),
    ]
    for one in reopened_too(state, opened):
        assert trust(one, now, THREE) == ()
        assert one.accounts.recall(HOTEL, now).unsubscribed == {TWO}
        assert {past.confirmed_by for past in one.history.changes()} == {"list"}


@pytest.mark.parametrize(
    ("result", "status", "found"),
    [
        (Result.FAILED, None, 1),
        (Result.FAILED, 504, 1),
        (Result.FAILED, 429, 0),
        (Result.REFUSED, None, 0),
    ],
)
def test_only_calls_that_may_have_done_their_work_wait_for_a_list(
    result: Result, status: int | None, found: int, clock: StandingClock
) -> None:
    """A time-out, a lost connection or a broken server may hide a success; LG's own no does not."""
    state = State.in_memory(clock)
    intend(state, START, change(Action.SUBSCRIBE, ONE))
    state.changes.record(
        HOTEL,
        PASS,
        [Outcome(change(Action.SUBSCRIBE, ONE), result, START, status=status)],
        {},
        START,
    )
    assert len(trust(state, clock.wait(minutes=5), ONE)) == found


def test_a_list_that_denies_a_change_closes_it_in_time(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """A list may lag behind a call: an early one can show that a change was made, only a later one that it was not."""
    state = opened()
    trust(state, START, TWO)
    intend(state, START, change(Action.SUBSCRIBE, ONE), change(Action.UNSUBSCRIBE, TWO))
    assert trust(state, clock.wait(seconds=20), TWO) == ()
    assert [past.result for past in opened().history.changes()] == [Result.FAILED] * 2
    state = opened()
    late = trust(state, clock.wait(seconds=20), ONE, TWO)
    assert [outcome.change.device for outcome in late] == [ONE]
    assert trust(state, clock.wait(minutes=2), ONE, TWO) == ()
    assert trust(state, clock.wait(minutes=2), ONE) == ()
    assert {past.device: past.result for past in opened().history.changes()} == {
        ONE: Result.SUCCESS,
        TWO: Result.FAILED,
    }


@pytest.mark.parametrize(("longest", "found"), [(timedelta(minutes=5), 1), (timedelta(0), 0)])
def test_a_call_of_a_replica_that_was_killed_may_still_be_under_way(
    longest: timedelta, found: int, clock: StandingClock
) -> None:
    """Nobody knows when it was sent, so for as long as a call may take a list does not show that it was not made."""
    state = State(SqliteStorage.in_memory(clock), clock, longest_call=longest)
    trust(state, START, TWO)
    intend(state, START, change(Action.SUBSCRIBE, ONE))
    assert trust(state, clock.wait(minutes=3), TWO) == ()
    assert len(trust(state, clock.wait(minutes=1), ONE, TWO)) == found


def test_a_list_older_than_a_change_tells_nothing_of_it(clock: StandingClock) -> None:
    """A list that was asked for before the change was begun neither confirms nor closes it."""
    state = State.in_memory(clock)
    intend(state, START, change(Action.SUBSCRIBE, ONE))
    old = Observed(frozenset({ONE}), START - timedelta(seconds=1))
    assert state.accounts.trust(HOTEL, old, None, START, old.devices) == ()
    assert state.history.changes()[0].result is None


def test_a_list_that_fresher_knowledge_contradicts_confirms_nothing(clock: StandingClock) -> None:
    """An unsubscribe without an answer is not taken for made by a list too old to show the subscribe before it."""
    state = State.in_memory(clock)
    state.changes.record(HOTEL, PASS, [subscribed(ONE, START)], {}, START)
    intend(state, START, change(Action.UNSUBSCRIBE, ONE), pass_id=PassId("next"))
    assert trust(state, clock.wait(seconds=5)) == ()


def test_a_new_attempt_closes_the_one_before(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """Only the latest change of a device can be confirmed by a list; the one before it has failed."""
    state = opened()
    intend(state, START, change(Action.SUBSCRIBE, ONE), pass_id=PassId("first"))
    intend(state, clock.wait(seconds=1), change(Action.SUBSCRIBE, ONE), pass_id=PassId("second"))
    assert len(trust(opened(), clock.wait(seconds=1), ONE)) == 1
    state = opened()
    assert trust(state, clock.wait(seconds=1), ONE) == ()
    assert [(past.pass_id, past.result) for past in state.history.changes()] == [
        ("second", Result.SUCCESS),
        ("first", Result.FAILED),
    ]


def test_an_outcome_without_its_intent_closes_an_older_intent(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """What is recorded of a later pass ends the waiting of an earlier one, on disk too."""
    state = opened()
    intend(state, START, change(Action.SUBSCRIBE, ONE), pass_id=PassId("first"))
    now = clock.wait(seconds=1)
    state.changes.record(HOTEL, PassId("second"), [subscribed(ONE, now)], {}, now)
    assert trust(opened(), clock.wait(minutes=5), ONE) == ()


def test_an_outcome_without_its_intent_still_says_by_which_text(
    opened: Callable[[], State],
) -> None:
    """Where the intent was lost with its file, the audit has the revision from the outcome."""
    state = opened()
    state.changes.record(HOTEL, PASS, [replace(subscribed(ONE, START), revision=SECOND)], {}, START)
    for one in reopened_too(state, opened):
        assert [past.revision for past in one.history.changes()] == [SECOND]


def test_calls_that_were_never_made_leave_no_trace(opened: Callable[[], State]) -> None:
    """Intents that a pass takes back are not in history, and no list confirms them; those with an outcome stay."""
    state = opened()
    intend(state, START, change(Action.SUBSCRIBE, ONE), change(Action.SUBSCRIBE, TWO))
    state.changes.record(HOTEL, PASS, [subscribed(TWO, START, Result.FAILED)], {}, START)
    state.changes.withdraw(HOTEL, PassId("another"), [ONE])
    assert len(state.history.changes()) == 2
    state.changes.withdraw(HOTEL, PASS, [ONE, TWO, THREE])
    assert [past.device for past in opened().history.changes()] == [TWO]


def test_a_kill_between_intent_and_outcome_loses_no_change(
    folder: Path, opened: Callable[[], State]
) -> None:
    """What a killed process had begun is on disk, and the next list tells which of it was done."""
    program = f"""
import sys
from pathlib import Path
from datetime import UTC, datetime
from reconciler.runtime.clock import SystemClock
from reconciler.core.model import *
from reconciler.state import State
state, now = State.open(Path({str(folder)!r}), SystemClock()), datetime.fromisoformat({START.isoformat()!r})
hotel = AccountName("seoul-hotel")
state.accounts.desire(Desired(hotel, frozenset({{"one", "two"}})), Revision("a" * 64), now)
state.accounts.trust(hotel, Observed(frozenset({{"three"}}), now), None, now, frozenset({{"three"}}))
changes = [Change(hotel, Action.SUBSCRIBE, "one"), Change(hotel, Action.SUBSCRIBE, "two")]
state.changes.intend(hotel, PassId("pass"), changes, frozenset(), Revision("a" * 64), now)
print("begun", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:  # noqa: S603 - our own
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"begun\n"
        beside = State.read_only(folder, StandingClock())
        assert [past.result for past in beside.history.changes()] == [None, None]
        beside.close()
        daemon.kill()
        daemon.wait()
    state, later = opened(), START + timedelta(minutes=5)
    assert state.accounts.recall(HOTEL, later).expected == ids(THREE)
    assert [outcome.change.device for outcome in trust(state, later, ONE, THREE)] == [ONE]
    assert {past.device: past.result for past in state.history.changes()} == {
        ONE: Result.SUCCESS,
        TWO: Result.FAILED,
    }


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_what_no_list_can_tell_outlives_a_loss_of_power(
    part: float, order: Sequence[int], folder: Path, disk: Disk, opened: Callable[[], State]
) -> None:
    """That devices are about to go, brakes and the texts in force are on the disk before anything follows from them."""
    state = opened()
    brake, text = (
        PauseOverride(Pause.ALL, None, "drill"),
        KeptText("a.toml", FIRST, {"a.toml": b"version = 1"}),
    )
    state.pauses.set(CLINIC, brake, START)
    state.revisions.keep([KeptText("b.toml", FIRST, {"b.toml": b"version = 1"})])
    steps = (
        lambda: state.pauses.set(HOTEL, brake, START),
        lambda: state.pauses.set(CLINIC, None, START),
        lambda: state.revisions.keep([text], gone=["b.toml"]),
        lambda: intend(state, START, change(Action.UNSUBSCRIBE, ONE)),
    )
    for number in order:
        steps[number]()
    state.changes.record(HOTEL, PASS, [unsubscribed(ONE, START)], {}, START)
    after = copytree(folder, folder.with_name("after"))
    disk.power.fail(after / "state.db", part)
    left = State.open(after, StandingClock())
    assert (left.pauses.all(START), left.revisions.kept()) == ({HOTEL: brake}, [text])
    assert [past.device for past in left.history.changes()] == [ONE]
    left.close()


def test_a_loss_of_power_takes_nothing_from_the_days_count(
    folder: Path, disk: Disk, clock: StandingClock, opened: Callable[[], State]
) -> None:
    """A device that went and came back counts, though the list after the loss does not show that it ever went."""
    state = opened()
    trust(state, START, ONE)
    for action, outcome in ((Action.UNSUBSCRIBE, unsubscribed), (Action.SUBSCRIBE, subscribed)):
        intend(state, clock.wait(minutes=2), change(action, ONE))
        state.changes.record(HOTEL, PASS, [outcome(ONE, clock.at)], {}, clock.at)
    after = copytree(folder, folder.with_name("after"))
    disk.power.fail(after / "state.db", 0.0)
    left = State.open(after, clock)
    trust(left, clock.wait(minutes=5), ONE)
    assert left.accounts.recall(HOTEL, clock.at).unsubscribed == {ONE}
    left.close()


def test_history_tells_everything_of_a_change(opened: Callable[[], State]) -> None:
    """An engineer finds time, action, result, text, author, pass, both message ids, and LG's code and words."""
    state = opened()
    intend(state, START, change(Action.UNSUBSCRIBE, ONE), approved=[ONE])
    later = START + timedelta(seconds=2)
    outcome = Outcome(
        change(Action.UNSUBSCRIBE, ONE),
        Result.NOOP,
        later,
        approved=True,
        message_id=MessageId("ours"),
        lg_message_id="theirs",
        status=404,
        code="1206",
        words="gone \ud800",
    )
    state.changes.record(HOTEL, PASS, [outcome], {}, later)
    (past,) = opened().history.changes()
    assert (past.account, past.device, past.action, past.result) == (
        HOTEL,
        ONE,
        Action.UNSUBSCRIBE,
        Result.NOOP,
    )
    assert (past.intended, past.at, past.pass_id, past.revision) == (START, later, PASS, SECOND)
    assert (past.message_id, past.lg_message_id, past.status, past.code) == (
        "ours",
        "theirs",
        404,
        "1206",
    )
    assert (past.words, past.approved, past.confirmed_by) == ("gone ?", True, None)


@pytest.mark.parametrize("fault", ["", FULL])
def test_history_is_newest_first_and_filtered(
    fault: str, opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """Past changes are found by account, device and time, at most so many, whether they are on disk or still wait."""
    state = opened()
    for minute in range(4):
        disk.write_fault = fault if minute > 1 else ""
        now, account = clock.wait(minutes=1), (HOTEL, CLINIC)[minute % 2]
        device = DeviceId(f"device-{minute // 2}")
        outcome = Outcome(change(Action.SUBSCRIBE, device, account), Result.SUCCESS, now)
        state.changes.record(account, PassId(f"{minute}"), [outcome], {}, now)
    intend(state, clock.at, change(Action.SUBSCRIBE, ONE))
    state.changes.withdraw(HOTEL, PASS, [ONE])

    def passes(**filters: object) -> list[str]:
        return [past.pass_id for past in state.history.changes(**filters)]  # type: ignore[arg-type]  # shorter calls below

    assert passes() == ["3", "2", "1", "0"]
    assert passes(account=HOTEL) == ["2", "0"]
    assert passes(device=DeviceId("device-0")) == ["1", "0"]
    assert passes(account=CLINIC, device=DeviceId("device-1")) == ["3"]
    assert passes(since=START + timedelta(minutes=2), until=START + timedelta(minutes=4)) == [
        "2",
        "1",
    ]
    assert passes(limit=3) == ["3", "2", "1"]
    assert state.writable is not bool(fault)


def test_a_change_that_is_taken_back_while_the_disk_is_full_hides_no_other(
    opened: Callable[[], State], disk: Disk
) -> None:
    """The file still has it, and whoever asks for the newest few gets as many."""
    state = opened()
    for number, device in enumerate((ONE, TWO)):
        at = START + timedelta(minutes=number)
        state.changes.record(HOTEL, PassId(f"{number}"), [subscribed(device, at)], {}, at)
    intend(state, START + timedelta(hours=1), change(Action.SUBSCRIBE, THREE))
    disk.write_fault = FULL
    state.changes.withdraw(HOTEL, PASS, [THREE])
    assert [past.device for past in state.history.changes(limit=1)] == [TWO]
    assert [past.device for past in state.history.changes(limit=2)] == [TWO, ONE]
    disk.write_fault = ""


def test_what_is_old_is_removed(opened: Callable[[], State], clock: StandingClock) -> None:
    """After 90 days past changes are gone, and so is what is known of devices that are ours no longer."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    state.accounts.desire(wanting(TWO), SECOND, START)
    intend(state, START, change(Action.SUBSCRIBE, TWO))
    trust(state, clock.wait(hours=1), TWO)
    intend(state, clock.at, change(Action.SUBSCRIBE, ONE))
    clock.at = START + KEPT
    state.accounts.doubt(HOTEL, clock.at)
    assert len(state.history.changes()) == 2
    assert state.history.came_and_went(HOTEL, ONE).went == Mark(SECOND, START)
    clock.wait(minutes=90)
    state = opened()
    assert [past.device for past in state.history.changes()] == []
    assert (state.history.came_and_went(HOTEL, ONE), state.history.came_and_went(HOTEL, TWO)) == (
        Stay(),
        Stay(Mark(FIRST, START)),
    )


def test_what_is_old_is_removed_once_a_day_in_a_long_run(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """A daemon that is never restarted keeps house too."""
    state = opened()
    intend(state, START, change(Action.SUBSCRIBE, ONE))
    clock.at = START + KEPT + timedelta(seconds=1)
    assert len(state.history.changes()) == 1
    state.accounts.doubt(CLINIC, clock.at)
    assert state.history.changes() == []


def test_quota_survives_a_restart(opened: Callable[[], State]) -> None:
    """Call times and the learned limit are kept to the last bit."""
    state = opened()
    assert state.quotas.of(HOTEL) == ((), None)
    state.quotas.keep(HOTEL, [1.1, 1767323045.123456], 60)
    assert opened().quotas.of(HOTEL) == ((1.1, 1767323045.123456), 60)


def test_brakes_are_kept_and_end_by_themselves(opened: Callable[[], State]) -> None:
    """Of an account's own and the general brake the stricter holds; each ends in time; lifting all lifts each."""
    state, hour = opened(), timedelta(hours=1)
    own = PauseOverride(Pause.ALL, START + hour, "night", "mina@desk")
    general = PauseOverride(Pause.UNSUBSCRIBE, START + 2 * hour, "audit \ud800")
    state.pauses.set(HOTEL, own, START)
    state.pauses.set(None, general, START)
    state = opened()
    kept = PauseOverride(Pause.UNSUBSCRIBE, START + 2 * hour, "audit ?")
    assert (state.pauses.of(HOTEL, START), state.pauses.of(CLINIC, START)) == (own, kept)
    assert (state.pauses.of(HOTEL, START + hour), state.pauses.of(HOTEL, START + 2 * hour)) == (
        kept,
        PauseOverride(),
    )
    state.pauses.set(HOTEL, None, START)
    assert opened().pauses.of(HOTEL, START) == kept
    state = opened()
    state.pauses.set(HOTEL, own, START)
    state.pauses.set(None, None, START)
    for one in reopened_too(state, opened):
        assert (one.pauses.of(HOTEL, START), one.pauses.of(CLINIC, START)) == (
            PauseOverride(),
            PauseOverride(),
        )


def test_of_two_equal_brakes_the_longer_is_told(clock: StandingClock) -> None:
    """Where both brakes hold the same, the one that ends later, or never, is what a person has to know of."""
    state, hour = State.in_memory(clock), timedelta(hours=1)
    longer = PauseOverride(Pause.ALL, START + 2 * hour, "longer")
    state.pauses.set(HOTEL, PauseOverride(Pause.ALL, START + hour, "shorter"), START)
    state.pauses.set(None, longer, START)
    assert state.pauses.of(HOTEL, START) == longer
    endless = PauseOverride(Pause.ALL, None, "endless")
    state.pauses.set(HOTEL, endless, START)
    assert state.pauses.of(HOTEL, START) == endless


def test_brakes_that_have_ended_are_forgotten(
    opened: Callable[[], State], folder: Path, clock: StandingClock
) -> None:
    """Setting or lifting a brake clears those that ended by themselves."""
    state = opened()
    state.pauses.set(HOTEL, PauseOverride(Pause.ALL, START, "over"), START)
    state.pauses.set(CLINIC, PauseOverride(Pause.ALL, None, "on"), START)
    state.close()
    reader = State.read_only(folder, clock)
    before = START - timedelta(hours=1)
    assert (reader.pauses.of(HOTEL, before), reader.pauses.of(CLINIC, before).reason) == (
        PauseOverride(),
        "on",
    )
    reader.close()


@pytest.mark.parametrize("name", [HOTEL, None])
def test_a_pause_that_is_over_can_be_set_again(
    name: AccountName | None, opened: Callable[[], State]
) -> None:
    """The one that ended before takes nothing of the new one with it, and neither does another account's."""
    state, now = opened(), START + timedelta(hours=1)
    over = PauseOverride(Pause.ALL, START + timedelta(minutes=1), "over")
    state.pauses.set(name, over, START)
    state.pauses.set(CLINIC, over, START)
    again = PauseOverride(Pause.ALL, now + timedelta(hours=1), "again")
    state.pauses.set(name, again, now)
    for one in reopened_too(state, opened):
        assert one.pauses.of(HOTEL, now) == again
        assert one.pauses.all(now) == {name: again}


def test_accepted_texts_are_kept_with_their_files(opened: Callable[[], State]) -> None:
    """A text comes back byte for byte with its revision and files; the next takes its place; a dropped one is gone."""
    state = opened()
    files = {"fleet.toml": b"version = 1\n", "devices/a.txt": b"one\n" * 1000}
    state.revisions.keep([KeptText("fleet.toml", FIRST, files)])
    state.revisions.keep(
        [
            KeptText(
                "other.toml", SECOND, {"other.toml": b"", "devices/a.txt": files["devices/a.txt"]}
            )
        ]
    )
    assert opened().revisions.kept() == [
        KeptText("fleet.toml", FIRST, files),
        KeptText(
            "other.toml", SECOND, {"other.toml": b"", "devices/a.txt": files["devices/a.txt"]}
        ),
    ]
    state = opened()
    state.revisions.keep([KeptText("fleet.toml", SECOND, {"fleet.toml": b"version = 1 # newer\n"})])
    state.revisions.keep([], gone=["other.toml"])
    assert opened().revisions.kept() == [
        KeptText("fleet.toml", SECOND, {"fleet.toml": b"version = 1 # newer\n"})
    ]
    state = opened()
    state.revisions.keep([], gone=["fleet.toml"])
    assert opened().revisions.kept() == []


def test_documents_are_found_by_what_is_in_their_files(opened: Callable[[], State]) -> None:
    """Of the kept documents those come back that have the words in any file, whole, and the one at the path."""
    texts = [
        KeptText("a.toml", FIRST, {"a.toml": b"version = 1", "ids.txt": b"needle\n"}),
        KeptText("b.toml", FIRST, {"b.toml": b"version = 1"}),
        KeptText("c.toml", SECOND, {"c.toml": b"# needle", "more.txt": b"hay"}),
    ]
    opened().revisions.keep(texts)
    revisions = opened().revisions
    assert revisions.kept_with([b"needle"], "") == [texts[0], texts[2]]
    assert revisions.kept_with([b"needle"], "b.toml") == texts
    assert revisions.kept() == texts


def test_files_that_no_text_needs_any_more_take_no_room(
    opened: Callable[[], State], disk: Disk, folder: Path
) -> None:
    """Of a text that changes with each commit only the newest is kept, and unchanged files are not rewritten."""
    state = opened()
    devices = {"devices.txt": b"one\n"}
    for number in range(3):
        state.revisions.keep(
            [KeptText("fleet.toml", FIRST, {"fleet.toml": f"# {number}\n".encode(), **devices})]
        )
    contents = Disk()
    reader = State.read_only(folder, StandingClock(), contents.connect)
    assert medium(reader).read("SELECT count(*) FROM content") == [(2,)]
    reader.close()
    assert sum(sql.startswith("INSERT OR IGNORE INTO content") for sql in disk.asked) == 4


def test_of_a_text_that_did_not_change_only_its_revision_is_written(
    opened: Callable[[], State], disk: Disk
) -> None:
    """An edit of one text among hundreds brings all of them under a new revision, and rewrites no other."""
    state = opened()
    files = {"fleet.toml": b"version = 1\n", "devices.txt": b"one\n"}
    state.revisions.keep([KeptText("fleet.toml", FIRST, files)])
    disk.asked.clear()
    state.revisions.keep([KeptText("fleet.toml", SECOND, files)])
    assert not [sql for sql in disk.asked if "text_file" in sql and not sql.startswith("SELECT")]
    assert opened().revisions.kept() == [KeptText("fleet.toml", SECOND, files)]


def test_a_text_that_is_not_whole_any_more_is_not_had_at_all(opened: Callable[[], State]) -> None:
    """Bytes that changed on disk are never taken for what a person wrote."""
    state = opened()
    state.revisions.keep([KeptText("a.toml", FIRST, {"a.toml": b"a\n"})])
    state.revisions.keep([KeptText("b.toml", FIRST, {"b.toml": b"b\n"})])
    state.revisions.keep([KeptText("c.toml", FIRST, {"c.toml": b"c\n"})])
    damage = "UPDATE content SET compressed = {} WHERE sha256 = (SELECT sha256 FROM text_file WHERE document = '{}')"
    connection = medium(state)._connection
    connection.execute(damage.format("x'00'", "a.toml"))
    other = (
        "(SELECT compressed FROM content JOIN text_file USING (sha256) WHERE document = 'c.toml')"
    )
    connection.execute(damage.format(other, "b.toml"))
    assert [text.document for text in opened().revisions.kept()] == ["c.toml"]


def test_a_document_without_one_of_its_files_is_not_brought_back(
    opened: Callable[[], State],
) -> None:
    """Its own file is whole; a list of devices that it names is damaged, so their entries would be missing."""
    state = opened()
    whole = KeptText("b.toml", SECOND, {"b.toml": b"b", "more.txt": b"two\n"})
    state.revisions.keep([KeptText("a.toml", FIRST, {"a.toml": b"a", "ids.txt": b"one\n"}), whole])
    medium(state)._connection.execute(
        "UPDATE content SET compressed = x'00' WHERE sha256 = (SELECT sha256 FROM text_file WHERE path = 'ids.txt')"
    )
    assert opened().revisions.kept() == [whole]
    assert opened().revisions.kept_with([b"one", b"two"], "a.toml") == [whole]


def test_accounts_with_live_devices_are_known(opened: Callable[[], State]) -> None:
    """Which accounts should have live devices is known from disk and from what was remembered since."""
    state = opened()
    trust(state, START, ONE)
    trust(state, START, ONE, account=CLINIC)
    assert opened().accounts.live_accounts() == {HOTEL, CLINIC}
    state = opened()
    trust(state, START, account=CLINIC)
    assert state.accounts.live_accounts() == {HOTEL}
    assert opened().accounts.live_accounts() == {HOTEL}


def test_which_accounts_have_live_devices_is_known_before_it_is_written(
    opened: Callable[[], State], disk: Disk
) -> None:
    """While the disk is full, an account whose last device went has none, whatever the file says."""
    state = opened()
    trust(state, START, ONE)
    trust(state, START, ONE, account=CLINIC)
    disk.write_fault = FULL
    trust(state, START)
    assert state.accounts.live_accounts() == {CLINIC}
    state.accounts.retire(CLINIC)
    assert state.accounts.live_accounts() == frozenset()
    disk.write_fault = ""


def test_a_retired_account_is_forgotten_but_for_its_history(
    opened: Callable[[], State], disk: Disk
) -> None:
    """Of a retired account only past changes and its calls stay; should it come back, it begins anew."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    trust(state, START, TWO)
    state.quotas.keep(HOTEL, [1.0], 60)
    state.pauses.set(HOTEL, PauseOverride(Pause.ALL, None, "off"), START)
    intend(state, START, change(Action.SUBSCRIBE, ONE))
    disk.write_fault = FULL
    state.accounts.doubt(HOTEL, START)
    state.accounts.retire(HOTEL)
    disk.write_fault = ""
    for one in reopened_too(state, opened):
        assert (
            one.accounts.live_accounts(),
            one.quotas.of(HOTEL),
            one.pauses.of(HOTEL, START),
        ) == (
            frozenset(),
            ((1.0,), 60),
            PauseOverride(),
        )
        assert len(one.history.changes(device=ONE)) == 1
    state = opened()
    assert trust(state, START + timedelta(minutes=5), ONE) == ()
    assert state.history.came_and_went(HOTEL, ONE) == Stay()


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (storage.PAST_OF_ALL, "change_at"),
        (storage.PAST_OF_ACCOUNT, "change_of_account"),
        (storage.PAST_OF_DEVICE, "PRIMARY KEY (account=? AND device=?)"),
        (storage.PAST_OF_BOTH, "PRIMARY KEY (account=? AND device=?)"),
        (storage.DEVICES_LIKE, "PRIMARY KEY (account=? AND device>? AND device<?)"),
        (storage.CONFIRMED, "change_of_account"),
        (storage.SENT, "change_of_account"),
        (DIALECT.open, "change_open"),
    ],
)
def test_no_question_goes_through_all_past_changes(
    sql: str, index: str, clock: StandingClock
) -> None:
    """Every question about past changes has an index, however many there are."""
    state = State.in_memory(clock)
    steps = medium(state).read(f"EXPLAIN QUERY PLAN {sql}", ("",) * sql.count("?"))
    assert any("change USING" in step and index in step for *_, step in steps), steps


def test_the_state_opened_for_reading_is_never_written(
    opened: Callable[[], State], folder: Path
) -> None:
    """A reader knows what the writer knows, says what the writer would, and refuses everything that changes it."""
    absent = State.read_only(folder, StandingClock())
    assert (
        absent.accounts.recall(HOTEL, START),
        absent.accounts.live_accounts(),
        absent.history.changes(),
    ) == (
        Memory(),
        frozenset(),
        [],
    )
    absent.close()
    assert not folder.exists()
    state = opened()
    trust(state, START, ONE, credential="old")
    reader = State.read_only(folder, StandingClock())
    reader.accounts.credential(HOTEL, "new")
    assert reader.accounts.recall(HOTEL, START) == Memory(
        expected=frozenset({ONE}), credential_changed=True
    )
    assert reader.writable
    refused: list[Callable[[], object]] = [
        lambda: reader.accounts.desire(wanting(ONE), FIRST, START),
        lambda: trust(reader, START),
        lambda: reader.accounts.doubt(HOTEL, START),
        lambda: reader.accounts.person_agrees(HOTEL),
        lambda: intend(reader, START, change(Action.SUBSCRIBE, ONE)),
        lambda: reader.changes.withdraw(HOTEL, PASS, []),
        lambda: reader.changes.record(HOTEL, PASS, [], {}, START),
        lambda: reader.accounts.forget_retries(HOTEL, []),
        lambda: reader.pauses.set(None, None, START),
        lambda: reader.quotas.keep(HOTEL, [], None),
        lambda: reader.quotas.keep_ahead(HOTEL, [], None, 0.0),
        lambda: reader.revisions.keep([KeptText("", FIRST, {})]),
        lambda: reader.revisions.keep([], gone=[""]),
        lambda: reader.accounts.retire(HOTEL),
        lambda: reader.protections.keep(Stated({ONE: HOTEL})),
        lambda: reader.opened_windows.close("office", START),
        reader.flush,
    ]
    for write in refused:
        with pytest.raises(StateError, match="reading only"):
            write()
    reader.close()


def remember_a_day(state: State, clock: StandingClock) -> None:
    """Let a state go through a bit of everything."""
    state.accounts.desire(wanting(ONE, TWO), FIRST, clock.at)
    state.accounts.credential(HOTEL, "mark")
    trust(state, clock.at, ONE, THREE)
    intend(state, clock.at, change(Action.SUBSCRIBE, TWO), change(Action.UNSUBSCRIBE, THREE))
    retry = Retry(Action.UNSUBSCRIBE, Reason.RETRY, 1, clock.at, None, "late")
    failed = unsubscribed(THREE, clock.at, Result.FAILED)
    state.changes.record(HOTEL, PASS, [subscribed(TWO, clock.at), failed], {THREE: retry}, clock.at)
    state.accounts.desire(wanting(TWO), SECOND, clock.wait(minutes=1))
    state.accounts.doubt(HOTEL, clock.at)
    state.quotas.keep(HOTEL, [1.0], 60)
    state.quotas.keep(HOTEL, [1.0, 2.0], 61)
    state.pauses.set(HOTEL, PauseOverride(Pause.ALL, None, "night"), clock.at)
    state.revisions.keep([KeptText("fleet.toml", FIRST, {"fleet.toml": b"old"})])
    state.revisions.keep([KeptText("fleet.toml", SECOND, {"fleet.toml": b"new"})])


@pytest.mark.parametrize("when", ["from the start", "while running"])
@pytest.mark.parametrize("what", ["fault", "write_fault"])
def test_a_full_disk_delays_what_is_kept_and_loses_nothing(
    when: str, what: str, opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """While nothing can be written the state works in memory and says so; the first write to succeed keeps it all."""
    before = opened()
    trust(before, START, ONE, account=CLINIC)
    if when == "from the start":
        setattr(disk, what, FULL)
        state = opened()
    else:
        state = opened()
        state.accounts.recall(HOTEL, START)
        setattr(disk, what, FULL)
    remember_a_day(state, clock)
    in_memory = State.in_memory(clock)
    clock.at = START
    remember_a_day(in_memory, clock)
    told = in_memory.accounts.recall(HOTEL, clock.at)
    assert (state.writable, state.trouble) == (False, f"the state cannot be written: {FULL}")
    memory = state.accounts.recall(HOTEL, clock.at)
    assert not memory.writable
    assert (memory.expected, memory.retries, memory.inventory) == (
        told.expected,
        told.retries,
        told.inventory,
    )
    assert (memory.unsubscribed, memory.confirmed, memory.absent_since) == (
        told.unsubscribed,
        told.confirmed,
        told.absent_since,
    )
    setattr(disk, what, "")
    state.accounts.forget_retries(CLINIC, [])
    assert (state.writable, state.trouble) == (True, "")
    for one in reopened_too(state, opened):
        one.accounts.credential(HOTEL, "mark")
        assert one.accounts.recall(HOTEL, clock.at) == told
        assert one.accounts.recall(CLINIC, clock.at).expected == ids(ONE)
        assert one.history.changes() == in_memory.history.changes()
        assert one.quotas.of(HOTEL) == in_memory.quotas.of(HOTEL)
        assert one.pauses.of(HOTEL, clock.at) == in_memory.pauses.of(HOTEL, clock.at)
        assert one.revisions.kept() == in_memory.revisions.kept()
        for device in (ONE, TWO, THREE):
            assert one.history.came_and_went(HOTEL, device) == in_memory.history.came_and_went(
                HOTEL, device
            )


def test_many_threads_lose_nothing_of_each_other(opened: Callable[[], State], disk: Disk) -> None:
    """Accounts worked on at once, on a disk that fills up and has room again meanwhile, are all kept."""
    state, accounts = opened(), [AccountName(f"account-{number}") for number in range(4)]

    def work(account: AccountName) -> None:
        for number in range(30):
            devices = [DeviceId(f"{number}"), DeviceId(f"{number + 1}")]
            disk.write_fault = FULL if number % 7 == 3 else ""
            state.accounts.desire(wanting(*devices, account=account), SECOND, START)
            trust(state, START, *devices, account=account)
            state.accounts.doubt(account, START)
            state.quotas.keep(account, [float(number)], None)
            assert state.accounts.recall(account, START).suspect_readings == 1

    with ThreadPoolExecutor(len(accounts)) as threads:
        for done in [threads.submit(work, account) for account in accounts]:
            done.result()
    disk.write_fault = ""
    told = [state.accounts.recall(account, START).expected for account in accounts]
    assert told == [ids(DeviceId("29"), DeviceId("30"))] * 4
    state = opened()
    assert [state.accounts.recall(account, START).expected for account in accounts] == told
    assert {state.quotas.of(account) for account in accounts} == {((29.0,), None)}


def test_what_waits_is_seen_by_who_asks(
    opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """While the disk is full, history and explanations tell also what is not written yet."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    disk.write_fault = FULL
    state.accounts.desire(wanting(TWO), SECOND, clock.wait(minutes=1))
    intend(state, clock.at, change(Action.SUBSCRIBE, TWO))
    assert state.history.came_and_went(HOTEL, ONE) == Stay(
        Mark(FIRST, START), Mark(SECOND, clock.at)
    )
    assert state.history.came_and_went(HOTEL, TWO) == Stay(Mark(SECOND, clock.at))
    assert [past.device for past in state.history.changes()] == [TWO]


def test_passes_without_news_do_not_pile_up_while_the_disk_is_full(
    opened: Callable[[], State], disk: Disk
) -> None:
    """What only the latest of matters waits once, however long the disk is full."""
    state = opened()
    disk.write_fault = FULL
    for number in range(50):
        state.quotas.keep(HOTEL, [float(number)], None)
        state.accounts.doubt(HOTEL, START)
        state.revisions.keep([KeptText("fleet.toml", FIRST, {"fleet.toml": str(number).encode()})])
        trust(state, START, ONE)
    assert len(state._behind.waiting.groups) < 10
    disk.write_fault = ""
    assert opened().quotas.of(HOTEL) == ((49.0,), None)


def full_of_news(state: State, clock: StandingClock, rounds: int) -> None:
    """Let much happen to an account, again and again: edits, lists, failed, withdrawn and confirmed changes."""
    state.accounts.credential(HOTEL, "mark")
    for number in range(rounds):
        clock.wait(minutes=1)
        coming, lasting = DeviceId(f"d{number % 7}"), DeviceId(f"d{(number + 1) % 7}")
        state.accounts.desire(wanting(coming, lasting), (FIRST, SECOND)[number % 2], clock.at)
        trust(state, clock.at, lasting, DeviceId(f"d{(number + 3) % 7}"))
        one = PassId(f"pass-{number}")
        going = DeviceId(f"d{(number + 3) % 7}")
        several = (
            change(Action.SUBSCRIBE, coming),
            change(Action.UNSUBSCRIBE, going),
            change(Action.SUBSCRIBE, ONE),
        )
        intend(state, clock.at, *several, pass_id=one)
        state.changes.withdraw(HOTEL, one, [ONE])
        result = Result.SUCCESS if number % 3 else Result.FAILED
        retry = (
            None
            if number % 3
            else Retry(Action.UNSUBSCRIBE, Reason.RETRY, 1, clock.at, None, "late")
        )
        outcomes = [subscribed(coming, clock.at), unsubscribed(going, clock.at, result)]
        state.changes.record(HOTEL, one, outcomes, {going: retry}, clock.at)


@pytest.mark.parametrize("rounds", [100, 450])
def test_what_waits_for_a_disk_that_stays_full_grows_with_devices_and_not_with_time(
    rounds: int, opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """However much happens meanwhile, what waits is bounded, is seen by readers, and is all there after a restart."""
    full_of_news(opened(), clock, 10)
    state = opened()
    state.accounts.recall(HOTEL, clock.at)
    disk.write_fault = FULL
    full_of_news(state, clock, rounds)
    assert len(state._behind.waiting.groups) <= 1001
    clock.at = START
    told = State.in_memory(clock)
    full_of_news(told, clock, 10)
    full_of_news(told, clock, rounds)
    assert state.history.changes(limit=10_000) == told.history.changes(limit=10_000)
    disk.write_fault = ""
    state.flush()
    assert (state.trouble, state.waits) == ("", False)
    for one in reopened_too(state, opened):
        one.accounts.credential(HOTEL, "mark")
        assert one.accounts.recall(HOTEL, clock.at) == told.accounts.recall(HOTEL, clock.at)
        assert one.history.changes(limit=10_000) == told.history.changes(limit=10_000)
        for number in range(7):
            device = DeviceId(f"d{number}")
            assert one.history.came_and_went(HOTEL, device) == told.history.came_and_went(
                HOTEL, device
            )


def test_of_past_changes_that_wait_too_long_the_newest_and_the_days_count_are_kept(
    opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """Old failures are dropped, which the log says; no unsubscribe of the day is."""
    state = opened()
    disk.write_fault = FULL
    state.changes.record(HOTEL, PASS, [unsubscribed(THREE, clock.at)], {}, clock.at)
    intend(state, clock.at, change(Action.SUBSCRIBE, ONE))
    devices = [DeviceId(f"d{number}") for number in range(500)]
    for _ in range(100):
        at = clock.wait(seconds=1)
        failed = [
            replace(unsubscribed(device, at, Result.FAILED), status=400) for device in devices
        ]
        state.changes.record(HOTEL, PASS, failed, {}, at)
    assert (
        sum(len(group.pasts) for group in state._behind.waiting.groups.values())
        <= 2 * MOST_PASTS + 1
    )
    assert any("history lacks" in notice for notice in state.notices())
    assert state.history.changes(limit=1)[0].at == clock.at
    disk.write_fault = ""
    state = opened()
    assert state.accounts.recall(HOTEL, clock.at).unsubscribed == ids(THREE)
    late = trust(state, clock.wait(minutes=5), ONE)  # that a list may still confirm it is kept, too
    assert [outcome.change.device for outcome in late] == [ONE]


def drop_a_table(folder: Path) -> None:
    """Ruin the file for good: what SQLite still has in its own memory of it does not make it whole."""
    with closing(connect((folder / "state.db").as_uri())) as other:
        other.execute("DROP TABLE device")


@pytest.mark.parametrize(
    "harm", ["emptied", "filled with noise", "log filled with noise", "without a table"]
)
def test_what_is_in_memory_outlives_a_file_that_is_ruined_while_it_is_open(
    harm: str, opened: Callable[[], State], folder: Path, clock: StandingClock
) -> None:
    """The day's count, waits, lists and brakes are written to a fresh file where the old one cannot be read."""
    state = opened()
    remember_a_day(state, clock)
    state.changes.record(HOTEL, PASS, [unsubscribed(THREE, clock.at)], {}, clock.at)
    before = state.accounts.recall(HOTEL, clock.at)
    match harm:
        case "emptied":
            (folder / "state.db").write_bytes(b"")
        case "filled with noise":
            (folder / "state.db").write_bytes(b"\xff" * 200_000)
        case "without a table":
            drop_a_table(folder)
        case _:
            (folder / "state.db-wal").write_bytes(b"\xff" * 200_000)
    state.look()
    assert not state.writable
    assert any("while it was open" in notice for notice in state.notices())
    clock.wait(seconds=2)
    state.look()
    assert state.writable
    assert harm != "without a table" or medium(state).losses == 1
    for one in reopened_too(state, opened):
        one.accounts.credential(HOTEL, "mark")
        after = one.accounts.recall(HOTEL, clock.at)
        assert (after.unsubscribed, after.expected, after.inventory) == (
            before.unsubscribed,
            before.expected,
            before.inventory,
        )
        assert (after.retries, after.absent_since) == (before.retries, before.absent_since)
        assert one.quotas.of(HOTEL) == ((1.0, 2.0), 61)
        assert one.pauses.of(HOTEL, clock.at) == PauseOverride(Pause.ALL, None, "night")


def test_each_device_outlives_a_file_that_is_ruined_while_it_is_open(
    opened: Callable[[], State], folder: Path, clock: StandingClock
) -> None:
    """Wanted or not, live or not, gone or ours no longer: what is written anew from memory says it of each device."""
    wanted, lacking, leaving, gone, foreign, back = (DeviceId(f"device-{one}") for one in range(6))
    state = opened()
    state.accounts.desire(wanting(wanted, lacking, leaving, gone, back), FIRST, clock.at)
    trust(state, clock.at, wanted, leaving, foreign, back)
    left = clock.wait(minutes=5)
    state.accounts.desire(wanting(wanted, lacking, back), SECOND, left)
    trust(state, clock.wait(minutes=5), wanted, leaving, foreign, back)
    for outcome in (unsubscribed, subscribed):  # the first is counted, and the second is the last
        state.changes.record(HOTEL, PASS, [outcome(back, clock.wait(minutes=5))], {}, clock.at)
    before = state.accounts.recall(HOTEL, clock.at)
    assert before.inventory == ids(wanted, lacking, leaving, back)
    assert before.unsubscribed == ids(back)
    drop_a_table(folder)
    state.look()
    clock.wait(seconds=2)
    state.look()
    assert (state.writable, medium(state).losses) == (True, 1)
    for one in reopened_too(state, opened):
        after = one.accounts.recall(HOTEL, clock.at)
        assert after == before
        assert dict(after.absent_since) == dict(before.absent_since)
        trust(one, clock.wait(minutes=5), wanted, leaving, foreign, back, gone)
        assert one.accounts.recall(HOTEL, clock.at).absent_since[gone] == left
        trust(one, clock.wait(minutes=5), wanted, leaving, foreign, back)
        before = one.accounts.recall(HOTEL, clock.at)


def test_the_day_outlives_an_older_copy_written_over_the_open_files(
    opened: Callable[[], State], folder: Path, clock: StandingClock
) -> None:
    """A backup that is written over all three files is what the open connection reads from then on, without a fault."""
    state = opened()
    remember_a_day(state, clock)
    older = {path: path.read_bytes() for path in folder.glob("state.db*")}
    state.changes.record(HOTEL, PASS, [unsubscribed(THREE, clock.at)], {}, clock.at)
    before = state.accounts.recall(HOTEL, clock.at)
    for path, content in older.items():
        with path.open("r+b") as file:
            file.write(content)
    state.look()
    assert not state.writable
    clock.wait(seconds=2)
    state.look()
    assert state.writable
    for one in reopened_too(state, opened):
        after = one.accounts.recall(HOTEL, clock.at)
        assert (after.unsubscribed, after.expected, after.inventory) == (
            before.unsubscribed,
            before.expected,
            before.inventory,
        )


def test_a_file_that_is_only_touched_keeps_its_history_as_it_is(
    opened: Callable[[], State], folder: Path, clock: StandingClock
) -> None:
    """What memory writes once more of a change that the file has does not make two of it."""
    state = opened()
    remember_a_day(state, clock)
    state.changes.record(HOTEL, PASS, [unsubscribed(THREE, clock.at)], {}, clock.at)
    before = list(state.history.changes())
    os.utime(folder / "state.db", ns=(1, 1))
    state.look()
    assert not state.writable
    clock.wait(seconds=2)
    state.look()
    assert state.writable
    for one in reopened_too(state, opened):
        assert list(one.history.changes()) == before


def test_a_state_that_is_taken_away_holds_unsubscribes_until_it_is_back(
    opened: Callable[[], State], folder: Path, clock: StandingClock
) -> None:
    """An intent that finds the file gone is not written, and that is seen before the call it is about."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, clock.at)
    for path in folder.glob("state.db*"):
        path.unlink()
    intend(state, clock.at, change(Action.UNSUBSCRIBE, THREE))
    assert not state.writable
    assert not state.accounts.recall(HOTEL, clock.at).writable
    clock.wait(seconds=2)
    state.look()
    assert state.writable
    assert [past.device for past in opened().history.changes()] == [THREE]


@pytest.mark.parametrize("account", [HOTEL, None], ids=["one", "all"])
def test_a_pause_outlives_an_older_copy_written_over_the_open_files(
    opened: Callable[[], State],
    folder: Path,
    clock: StandingClock,
    account: AccountName | None,
) -> None:
    """What a person paused after the backup was made stays paused, in memory and over a restart."""
    state = opened()
    remember_a_day(state, clock)
    state.pauses.set(HOTEL, None, clock.at)
    older = {path: path.read_bytes() for path in folder.glob("state.db*")}
    override = PauseOverride(Pause.ALL, clock.at + timedelta(days=1), "why")
    state.pauses.set(account, override, clock.at)
    state.flush()
    for path, content in older.items():
        with path.open("r+b") as file:
            file.write(content)
    state.look()
    clock.wait(seconds=2)
    state.look()
    assert state.writable
    for one in reopened_too(state, opened):
        assert one.pauses.of(HOTEL, clock.at).reason == "why"


class Interrupted(SqliteStorage):
    """A storage that lets something happen while it writes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.meanwhile: Callable[[], None] | None = None

    def write(
        self,
        groups: Iterable[Group],
        *,
        more: bool = False,
        fences: Mapping[AccountName, Fence] | None = None,
    ) -> frozenset[AccountName]:
        """Write, and then let it happen, once."""
        fenced = super().write(groups, more=more, fences=fences)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return fenced


def test_what_changes_while_it_is_written_is_written_too(
    folder: Path, clock: StandingClock
) -> None:
    """What replaces a group that is being written waits for the next write, and is not taken for written."""
    interrupted = Interrupted.open(folder, clock)
    behind = WriteBehind(interrupted, StateClock(clock, sure=True))

    def pause(reason: str) -> None:
        override = PauseOverride(Pause.ALL, clock.at + timedelta(days=1), reason)
        behind.waiting.replace(("pause", HOTEL), PauseSaved(HOTEL, override))

    pause("first")
    interrupted.meanwhile = partial(pause, "second")
    behind.flush()
    behind.close()
    with closing(State.open(folder, clock)) as state:
        assert state.pauses.of(HOTEL, clock.at).reason == "second"


def test_one_group_that_has_to_last_is_enough_to_wait_for_the_disk(
    folder: Path, clock: StandingClock, disk: Disk
) -> None:
    """Intents that share a transaction with something less important survive a loss of power all the same."""
    behind = WriteBehind(
        SqliteStorage.open(folder, clock, disk.connect), StateClock(clock, sure=True)
    )
    override = PauseOverride(Pause.ALL, clock.at + timedelta(days=1), "why")
    behind.waiting.replace(("pause", HOTEL), PauseSaved(HOTEL, override), lasting=True)
    behind.waiting.replace(("account", HOTEL), AccountSaved.of(AccountMemory(HOTEL)))
    disk.asked.clear()
    behind.flush()
    asked = [sql for sql in disk.asked if sql.startswith(("PRAGMA synchronous =", "COMMIT"))]
    assert asked == ["PRAGMA synchronous = FULL", "COMMIT"]
    behind.close()


def test_one_unsubscribe_among_other_changes_is_enough_to_wait_for_the_disk(
    opened: Callable[[], State], disk: Disk
) -> None:
    """That devices are about to go, and that they went, outlives a loss of power, whatever else is in the pass."""
    state = opened()
    comes, goes = change(Action.SUBSCRIBE, ONE), change(Action.UNSUBSCRIBE, TWO)
    failed = unsubscribed(THREE, START, Result.FAILED)

    def waits(step: Callable[[], object]) -> bool:
        disk.asked.clear()
        step()
        return "PRAGMA synchronous = FULL" in disk.asked

    def ends(*outcomes: Outcome) -> Callable[[], object]:
        return lambda: state.changes.record(HOTEL, PASS, outcomes, {}, START)

    assert not waits(lambda: intend(state, START, comes))
    assert waits(lambda: intend(state, START, comes, goes))
    assert waits(lambda: intend(state, START, goes, comes))
    assert not waits(ends(subscribed(ONE, START), failed))
    assert waits(ends(subscribed(ONE, START), unsubscribed(TWO, START), failed))


@pytest.mark.parametrize("noticed", [False, True])
def test_a_state_that_is_taken_away_just_before_the_end_is_written_anew(
    opened: Callable[[], State], folder: Path, clock: StandingClock, *, noticed: bool
) -> None:
    """The day's count outlives a file that was deleted, and an end before or after anybody saw that."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, clock.at)
    trust(state, clock.at, ONE, THREE)
    intend(state, clock.at, change(Action.UNSUBSCRIBE, THREE))
    state.changes.record(HOTEL, PASS, [unsubscribed(THREE, clock.at)], {}, clock.at)
    for path in folder.glob("state.db*"):
        path.unlink()
    if noticed:
        state.look()
    state.close()
    assert opened().accounts.recall(HOTEL, clock.at).unsubscribed == {THREE}


def test_calls_of_many_accounts_wait_a_second_and_are_written_together(
    opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """A write for the one list of each pass would cost more than the pass; a limit that was learned does not wait."""
    state = opened()
    accounts = [AccountName(f"account-{number}") for number in range(50)]
    state.flush()
    disk.asked.clear()
    assert not any(state.quotas.keep(account, [1.5], None) for account in accounts)
    assert state.quotas.of(accounts[0]) == ((1.5,), None)
    assert state.quotas.keep(accounts[1], [1.5, 1.6], 60)
    assert "COMMIT" not in disk.asked
    assert state.waits
    state.flush()
    assert not state.waits
    assert disk.asked.count("COMMIT") == 1
    assert not state.quotas.keep(accounts[2], [1.5], None)
    clock.at += timedelta(seconds=QUOTA_WAITS)
    assert state.quotas.keep(accounts[2], [1.5, 2.5], None)
    assert [opened().quotas.of(account)[0] for account in accounts[:3]] == [
        (1.5,),
        (1.5, 1.6),
        (1.5, 2.5),
    ]


def test_calls_that_are_kept_ahead_count_those_that_are_about_to_be_made(
    opened: Callable[[], State],
) -> None:
    """Each intent without an outcome counts as a call of now: it is earlier than the last call, and not found later."""
    state = opened()
    intend(state, START, *(change(Action.SUBSCRIBE, device) for device in (ONE, TWO, THREE)))
    unanswered = subscribed(THREE, START, Result.FAILED)  # a list may still confirm it
    state.changes.record(HOTEL, PASS, [subscribed(ONE, START), unanswered], {}, START)
    state.quotas.keep_ahead(HOTEL, [1.5], 60, 2.5)
    assert state.quotas.of(HOTEL) == ((1.5, 2.5), 60)
    assert state.waits_for(HOTEL)
    assert opened().quotas.of(HOTEL) == ((1.5, 2.5), 60)


def test_calls_that_are_kept_ahead_are_on_the_disk_before_more_are_made(
    opened: Callable[[], State], disk: Disk
) -> None:
    """Those that wait to be written in any case are made to last; where all is written, nothing is written again."""
    state = opened()
    disk.asked.clear()
    state.quotas.keep_ahead(HOTEL, [1.5], 60, 2.5)
    state.flush()
    assert "PRAGMA synchronous = FULL" in disk.asked
    state.quotas.keep_ahead(HOTEL, [1.5], 60, 2.5)
    assert not state.waits
    state.quotas.keep(HOTEL, [1.5, 3.5], 60)
    disk.asked.clear()
    state.quotas.keep_ahead(HOTEL, [1.5, 3.5], 60, 2.5)
    state.flush()
    assert "PRAGMA synchronous = FULL" in disk.asked


def test_changes_that_were_sent_and_cannot_be_read_are_trouble(
    opened: Callable[[], State], disk: Disk
) -> None:
    """That no call is found does not mean that none was made."""
    state = opened()
    intend(state, START, change(Action.SUBSCRIBE, ONE))
    earlier = START - timedelta(hours=1)
    assert state.history.sent_after(HOTEL, earlier) == (START,)
    disk.fault = "disk I/O error"
    assert state.history.sent_after(HOTEL, earlier) == ()
    assert "disk I/O error" in state.trouble
    disk.fault = ""
    state.flush()
    assert (state.trouble, state.history.sent_after(HOTEL, earlier)) == ("", (START,))


FIRST_READ: dict[str, Callable[[State], object]] = {
    "memory": lambda state: state.accounts.recall(HOTEL, START).inventory,
    "a pause": lambda state: state.pauses.of(HOTEL, START).reason,
    "all pauses": lambda state: sorted(map(str, state.pauses.all(START))),
    "protection": lambda state: dict(state.protections.all()),
    "openings": lambda state: [one.window for one in state.opened_windows.in_force(START)],
    "files": lambda state: [one.document for one in state.revisions.kept()],
}


@pytest.mark.parametrize("what", FIRST_READ)
def test_whatever_cannot_be_read_is_trouble(
    what: str, opened: Callable[[], State], disk: Disk
) -> None:
    """A process that goes on without what it cannot read says so, takes no write for certain, and reads it again."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    night = PauseOverride(Pause.ALL, START + timedelta(hours=1), "night")
    state.pauses.set(HOTEL, night, START)
    state.protections.keep(Stated({ONE: HOTEL}))
    state.opened_windows.open(
        Opening("office", "mark", START, START + timedelta(hours=1), "an oven", "kim"), START
    )
    state.revisions.keep([KeptText("fleet.toml", FIRST, {"fleet.toml": b"version = 1\n"})])
    known = FIRST_READ[what](state)
    state = opened()
    assert FIRST_READ[what](state) == known
    assert state.trouble == ""
    state = opened()
    disk.fault = "disk I/O error"
    assert FIRST_READ[what](state) != known
    assert state.trouble == "the state cannot be read: disk I/O error"
    assert not state.writable
    disk.fault = ""
    state.accounts.doubt(CLINIC, START)
    assert state.writable
    assert FIRST_READ[what](state) == known


def test_only_a_list_that_teaches_nothing_agrees(opened: Callable[[], State]) -> None:
    """A pass takes a list for known only where to believe it would change nothing at all."""
    state, devices = opened(), frozenset({ONE, TWO})
    observed = Observed(devices, START)
    agrees = partial(state.accounts.agrees, HOTEL, observed, "mark", devices)
    assert not agrees()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    assert not agrees()
    state.accounts.trust(HOTEL, observed, "mark", START, devices)
    assert agrees()
    assert not state.accounts.agrees(HOTEL, observed, "another mark", devices)
    assert not state.accounts.agrees(
        HOTEL, Observed(frozenset({ONE}), START), "mark", frozenset({ONE})
    )
    assert not state.accounts.agrees(HOTEL, observed, "mark", frozenset({ONE}))
    state.accounts.doubt(HOTEL, START)
    assert not agrees()
    state.accounts.trust(HOTEL, observed, "mark", START, devices)
    state.changes.intend(HOTEL, PASS, [change(Action.SUBSCRIBE, THREE)], frozenset(), FIRST, START)
    assert not agrees()
    state.changes.withdraw(HOTEL, PASS, [THREE])
    assert agrees()
    waits = Retry(Action.SUBSCRIBE, Reason.RETRY, 1, START)
    state.changes.record(HOTEL, PASS, (), {THREE: waits}, START)
    assert not agrees()
    state.accounts.forget_retries(HOTEL, [THREE])
    assert agrees()
    state.accounts.desire(wanting(ONE), SECOND, START)
    assert not agrees()


def test_a_disk_that_cannot_be_read_is_trouble_and_is_read_again(
    opened: Callable[[], State], disk: Disk
) -> None:
    """An account that cannot be read has an empty memory that says so, until it can be read; nothing is overwritten."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    state.revisions.keep([KeptText("fleet.toml", FIRST, {"fleet.toml": b"version = 1\n"})])
    state = opened()
    disk.fault = "disk I/O error"
    assert state.accounts.recall(HOTEL, START) == Memory(writable=False)
    assert state.pauses.of(HOTEL, START) == PauseOverride()
    assert state.revisions.kept() == []
    assert state.trouble == "the state cannot be read: disk I/O error"
    state.accounts.desire(wanting(ONE), SECOND, START)
    with pytest.raises(StateError, match="disk I/O error"):
        state.history.changes()
    disk.fault = ""
    state.accounts.doubt(CLINIC, START)
    assert (state.writable, state.accounts.recall(HOTEL, START).inventory) == (True, ids(ONE, TWO))
    assert len(state.revisions.kept()) == 1


def _lists_another_home(state: State, now: datetime) -> None:
    trust(state, now, THREE, credential="another mark")


def _lists_nothing(state: State, now: datetime) -> None:
    trust(state, now)


def _doubts(state: State, now: datetime) -> None:
    state.accounts.doubt(HOTEL, now)


def _edits(state: State, now: datetime) -> None:
    state.accounts.desire(wanting(TWO), SECOND, now)


def _names(state: State, now: datetime) -> None:
    named = {TWO: Device(TWO, name="oven")}
    state.accounts.desire(replace(wanting(TWO), described=named), SECOND, now)


def _agrees(state: State, _now: datetime) -> None:
    state.accounts.person_agrees(HOTEL)


@pytest.mark.parametrize("reads_again", ["before it writes", "after it was written"])
@pytest.mark.parametrize(
    "learns", [_lists_another_home, _lists_nothing, _doubts, _edits, _names, _agrees]
)
def test_what_is_learned_while_an_account_cannot_be_read_replaces_nothing(
    learns: Callable[[State, datetime], None],
    reads_again: str,
    opened: Callable[[], State],
    disk: Disk,
    clock: StandingClock,
) -> None:
    """Else a list of another home, read once when nothing was known, would be the list to compare with for good."""
    state = opened()
    remember_a_day(state, clock)
    state.accounts.doubt(HOTEL, clock.at)
    state.accounts.credential(HOTEL, "another mark")
    before = state.accounts.recall(HOTEL, clock.at)
    assert before.credential_changed
    state = opened()
    state.accounts.credential(HOTEL, "another mark")
    disk.fault = "disk I/O error"
    assert state.accounts.recall(HOTEL, clock.at) == Memory(writable=False)
    if reads_again == "before it writes":
        disk.fault = ""
    learns(state, clock.at)
    disk.fault = ""
    clock.wait(seconds=2)
    state.look()
    after = state.accounts.recall(HOTEL, clock.at)
    assert (after.expected, after.inventory) == (before.expected, before.inventory)
    assert (after.suspect_readings, after.credential_changed) == (before.suspect_readings, True)
    assert (after.unsubscribed, after.retries) == (before.unsubscribed, before.retries)
    assert after.writable


def test_what_was_desired_while_an_account_could_not_be_read_is_learned_afterwards(
    opened: Callable[[], State], disk: Disk, clock: StandingClock
) -> None:
    """A device that left meanwhile is absent since the edit, and one that came came by it."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    state = opened()
    disk.fault = "disk I/O error"
    edited = clock.wait(seconds=5)
    state.accounts.desire(wanting(TWO, THREE), SECOND, edited)
    assert state.accounts.recall(HOTEL, clock.at) == Memory(
        writable=False, inventory=ids(TWO, THREE)
    )
    disk.fault = ""
    clock.wait(seconds=60)
    state.look()
    memory = state.accounts.recall(HOTEL, clock.at)
    assert memory.absent_since[ONE] == edited
    assert TWO not in memory.absent_since
    assert state.history.came_and_went(HOTEL, ONE).went == Mark(SECOND, edited)
    again = opened()
    assert again.accounts.recall(HOTEL, clock.at).absent_since[ONE] == edited


def _edited_again(state: State, now: datetime) -> None:
    state.accounts.desire(wanting(ONE, TWO), FIRST, now)


def _retired(state: State, _now: datetime) -> None:
    state.accounts.retire(HOTEL)


def _taken_by_another_replica(state: State, _now: datetime) -> None:
    state.forget([HOTEL])


def _is_of_another_replica(state: State, _now: datetime) -> None:
    state.keep_only([CLINIC])


@pytest.mark.parametrize("reads_again", ["before it", "after it"])
@pytest.mark.parametrize(
    "follows", [_edited_again, _retired, _taken_by_another_replica, _is_of_another_replica]
)
def test_an_edit_that_has_to_be_learned_again_undoes_nothing_that_follows_it(
    follows: Callable[[State, datetime], None],
    reads_again: str,
    opened: Callable[[], State],
    disk: Disk,
    clock: StandingClock,
) -> None:
    """A later edit, the end of the account, and another replica that has it now count, and not the edit before."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    state = opened()
    disk.fault = "disk I/O error"
    state.accounts.desire(wanting(TWO), SECOND, clock.wait(seconds=5))
    if reads_again == "after it":
        follows(state, clock.at)
    disk.fault = ""
    clock.wait(seconds=60)
    state.look()
    if reads_again == "before it":
        follows(state, clock.at)
    for one in reopened_too(state, opened):
        memory = one.accounts.recall(HOTEL, clock.at)
        assert memory.inventory == (ids() if follows is _retired else ids(ONE, TWO))
        assert not memory.absent_since


def test_an_account_that_could_not_be_read_at_first_has_a_date_afterwards(
    opened: Callable[[], State], disk: Disk, clock: StandingClock
) -> None:
    """Devices that nobody ever wanted are absent since the account's first revision, and not since just now."""
    state = opened()
    disk.fault = "disk I/O error"
    state.accounts.desire(wanting(ONE), FIRST, START)
    disk.fault = ""
    clock.wait(seconds=60)
    state.look()
    state.accounts.recall(HOTEL, clock.at)
    trust(state, clock.at, ONE, TWO)
    assert state.accounts.recall(HOTEL, clock.at).absent_since[TWO] == START


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_pause_that_cannot_be_read_is_trouble_and_is_in_force_again(
    opened: Callable[[], State], disk: Disk, *, everywhere: bool
) -> None:
    """Accounts are known already, only the pauses are not: that alone holds unsubscribes, until they were read."""
    name, paused = None if everywhere else HOTEL, PauseOverride(Pause.ALL, None, "a person")
    opened().pauses.set(name, paused, START)
    state = opened()
    assert state.accounts.recall(HOTEL, START).writable
    disk.fault = "disk I/O error"
    assert state.pauses.of(HOTEL, START) == PauseOverride()
    assert not state.accounts.recall(HOTEL, START).writable
    disk.fault = ""
    state.flush()
    assert (state.writable, state.pauses.of(HOTEL, START)) == (True, paused)


def test_kept_revisions_that_cannot_be_read_are_trouble_alone(
    opened: Callable[[], State], disk: Disk
) -> None:
    """All else is known already: that they were not read holds unsubscribes until something can be written again."""
    kept = [KeptText("fleet.toml", FIRST, {"fleet.toml": b"version = 1\n"})]
    opened().revisions.keep(kept)
    state = opened()
    assert state.accounts.recall(HOTEL, START).writable
    disk.fault = "disk I/O error"
    assert state.revisions.kept() == []
    assert not state.accounts.recall(HOTEL, START).writable
    disk.fault = ""
    state.flush()
    assert (state.writable, state.revisions.kept()) == (True, kept)


def test_a_pause_that_is_set_while_others_cannot_be_read_is_one_more(
    opened: Callable[[], State], disk: Disk
) -> None:
    """It is in force at once, and beside the others once the disk can be read, and after a restart."""
    paused = PauseOverride(Pause.ALL, None, "a person")
    opened().pauses.set(HOTEL, paused, START)
    state = opened()
    disk.fault = "disk I/O error"
    state.pauses.set(CLINIC, paused, START)
    assert state.pauses.of(CLINIC, START) == paused
    disk.fault = ""
    state.flush()
    for one in reopened_too(state, opened):
        assert [one.pauses.of(name, START) for name in (HOTEL, CLINIC)] == [paused, paused]


def test_a_person_who_agrees_takes_over_the_doubts_of_the_credential_in_use(
    opened: Callable[[], State],
) -> None:
    """Lists doubted with another credential count on once a person says that it is the right one."""
    state = opened()
    trust(state, START, ONE, TWO, credential="one")
    state.accounts.credential(HOTEL, "two")
    for _ in range(2):
        state.accounts.doubt(HOTEL, START)
    state.accounts.person_agrees(HOTEL)
    for one in reopened_too(state, opened):
        one.accounts.credential(HOTEL, "two")
        memory = one.accounts.recall(HOTEL, START)
        assert (memory.suspect_readings, memory.credential_changed) == (2, False)


def test_a_damaged_state_begins_anew_and_tells_where_the_old_one_is(
    opened: Callable[[], State], folder: Path
) -> None:
    """After damage memory is empty, writing works, and the damaged file has a new name."""
    trust(opened(), START, ONE)
    opened().close()
    (folder / "state.db").write_bytes(b"not a database" * 1000)
    state = opened()
    assert state.set_aside is not None
    assert state.set_aside.name == "state.db.corrupt-20260102T030405Z"
    assert (state.accounts.recall(HOTEL, START), state.writable) == (Memory(), True)


def test_no_table_has_room_for_a_secret(folder: Path, opened: Callable[[], State]) -> None:
    """The only thing known of a credential is the mark that was handed in with a trusted list."""
    state = opened()
    state.accounts.credential(HOTEL, "announced-mark")
    trust(state, START, credential="trusted-mark")
    state.close()
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert (b"trusted-mark" in written, b"announced-mark" in written) == (True, False)


def test_what_is_old_is_removed_as_soon_as_the_time_is_sure(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """Before LG has answered, nothing is removed; its first answer that agrees is enough, without a day between."""
    state = opened()
    intend(state, START, change(Action.SUBSCRIBE, ONE))
    two = TwoClocks(clock)
    state.keep_time(two)
    clock.at = START + KEPT + timedelta(seconds=1)
    state.accounts.doubt(CLINIC, clock.at)
    assert len(state.history.changes()) == 1
    two.answered(clock.at)
    state.accounts.doubt(CLINIC, clock.at)
    assert state.history.changes() == []


def test_nothing_is_removed_at_the_start_by_a_clock_that_nobody_confirmed(
    folder: Path, clock: StandingClock
) -> None:
    """A machine that begins with a wrong date forgets nothing before LG has said what time it is."""
    with closing(State.open(folder, clock)) as state:
        state.changes.record(HOTEL, PASS, [subscribed(ONE, START)], {}, START)
    clock.at = START + KEPT + timedelta(days=1)
    with closing(State.open(folder, clock, sure=False)) as state:
        state.accounts.doubt(CLINIC, clock.at)
        assert [past.device for past in state.history.changes()] == [ONE]
        two = TwoClocks(clock)
        state.keep_time(two)
        two.answered(clock.at)
        state.accounts.doubt(CLINIC, clock.at)
        assert state.history.changes() == []


def test_a_glance_shows_what_the_disk_does_not_have_yet(
    opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """A preview made while the disk is full knows the newest list."""
    state = opened()
    disk.write_fault = FULL
    state.accounts.desire(wanting(ONE), FIRST, START)
    trust(state, START, ONE)
    assert state.accounts.glance(HOTEL, clock.at).expected == ids(ONE)


def test_a_list_that_came_while_an_account_could_not_be_read_is_not_kept(
    opened: Callable[[], State], disk: Disk
) -> None:
    """It was compared with nothing; the next one is compared with what is stored, and takes its place."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO, THREE), FIRST, START)
    trust(state, START, ONE, TWO)
    state = opened()
    disk.fault = "disk I/O error"
    trust(state, START, TWO, THREE)
    disk.fault = ""
    state.accounts.doubt(CLINIC, START)
    assert state.accounts.recall(HOTEL, START).expected == ids(ONE, TWO)
    trust(state, START, TWO, THREE)
    assert opened().accounts.recall(HOTEL, START).expected == ids(TWO, THREE)


def test_a_wait_that_ends_beside_an_unchanged_list_is_forgotten(
    opened: Callable[[], State],
) -> None:
    """It does not come back with a restart, although the list brought no device and lost none."""
    state = opened()
    state.accounts.desire(wanting(ONE), FIRST, START)
    trust(state, START, ONE)
    retry = Retry(Action.UNSUBSCRIBE, Reason.RETRY, 1, START)
    state.changes.record(HOTEL, PASS, [], {THREE: retry}, START)
    trust(state, START, ONE)
    assert opened().accounts.recall(HOTEL, START).retries == {}


def test_a_look_writes_what_waits_at_once(opened: Callable[[], State], disk: Disk) -> None:
    """Also right after another write; where nothing waits, nothing is written."""
    state = opened()
    assert not state.quotas.keep(HOTEL, [1.5], None)
    assert state.waits
    state.look()
    assert not state.waits
    disk.asked.clear()
    state.look()
    assert "COMMIT" not in disk.asked


def test_a_failed_write_is_not_tried_again_at_each_look(
    opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """A full disk is asked once a second, however long the process runs already."""
    state = opened()
    clock.wait(hours=1)
    disk.write_fault = FULL
    state.accounts.doubt(HOTEL, clock.at)
    assert not state.writable
    disk.write_fault = ""
    state.look()
    assert not state.writable
    clock.wait(seconds=2)
    state.look()
    assert state.writable


class EndingDisk(Disk):
    """A disk that takes a number of transactions, and then no more."""

    left = 1_000_000

    def obey(self, sql: str) -> None:
        """Refuse a transaction once there were enough."""
        super().obey(sql)
        if sql == "COMMIT":
            if not self.left:
                raise sqlite3.OperationalError(FULL)
            self.left -= 1


def test_a_list_and_that_it_is_trusted_are_written_together(
    folder: Path, clock: StandingClock, tmp_path: Path
) -> None:
    """However much waits before it: a kill between two transactions leaves no trusted list that is empty."""
    disk = EndingDisk()
    with closing(State.open(folder, clock, disk.connect)) as state:
        state.accounts.desire(wanting(ONE), FIRST, START)
        for number in range(TOGETHER - 1):
            state.quotas.keep(AccountName(f"account-{number}"), [1.5], None)
        disk.left = 1
        trust(state, START, ONE)
        copytree(folder, tmp_path / "killed")
    with closing(State.open(tmp_path / "killed", clock)) as state:
        assert state.accounts.recall(HOTEL, START).expected in {None, ids(ONE)}


class Turnstile:
    """A lock that lets it be known when somebody waits for it."""

    def __init__(self) -> None:
        self._lock, self.waited_for = threading.Lock(), threading.Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.waited_for.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Watched(SqliteStorage):
    """A storage that lets something happen after it read an account."""

    reads: Iterator[Callable[[], object]] = iter(())

    def account(
        self, account: AccountName, now: datetime, day_ends: datetime | None = None
    ) -> AccountMemory:
        """Read, and let it happen."""
        known = super().account(account, now, day_ends)
        next(self.reads, int)()
        return known


def test_two_who_read_an_account_at_once_have_one_memory_of_it() -> None:
    """What the first one recorded meanwhile is not replaced by what the second one read."""
    clock = StandingClock()
    storage = Watched.in_memory(clock)
    state = State(storage, clock)
    turnstile: Any = Turnstile()
    state._behind.disk = turnstile
    with ThreadPoolExecutor(2) as threads:

        def second_comes() -> None:
            recalls.append(threads.submit(state.accounts.recall, HOTEL, START))
            assert turnstile.waited_for.wait(60)

        def first_records() -> None:
            turnstile.waited_for.clear()
            first.result(60)
            records.append(threads.submit(state.accounts.doubt, HOTEL, START))
            assert turnstile.waited_for.wait(60)

        recalls: list[Future[Memory]] = []
        records: list[Future[None]] = []
        storage.reads = iter((second_comes, first_records))
        first = threads.submit(state.accounts.recall, HOTEL, START)
        assert first.result(60).suspect_readings == 0
        recalls[0].result(60)
        records[0].result(60)
    assert state.accounts.recall(HOTEL, START).suspect_readings == 1


def test_nothing_is_removed_by_a_clock_that_was_set_ahead() -> None:
    """LG states no time, so nobody can say that the clock is wrong: for a day the slower setting counts."""
    clock = SimulatedClock()
    state, two = State.in_memory(clock), TwoClocks(clock)
    state.keep_time(two)
    two.answered(None)
    now = clock.now()
    state.changes.record(HOTEL, PASS, [subscribed(ONE, now)], {}, now)
    clock.set_by(2 * KEPT)
    two.stepped()
    state.accounts.doubt(CLINIC, clock.now())
    assert [past.device for past in state.history.changes()] == [ONE]
    clock.pass_by(timedelta(days=2))
    state.accounts.doubt(CLINIC, clock.now())
    assert state.history.changes() == []


def test_the_day_is_read_before_lg_says_what_time_it_is(
    opened: Callable[[], State], clock: StandingClock
) -> None:
    """After a restart the changes of the last 24 hours count, and not those of all days that are kept."""
    state = opened()
    state.changes.record(HOTEL, PASS, [unsubscribed(ONE, START)], {}, START)
    later = clock.wait(days=3)
    state.changes.record(HOTEL, PASS, [unsubscribed(TWO, later)], {}, later)
    state = opened()
    state.keep_time(TwoClocks(clock))
    assert state.accounts.recall(HOTEL, later).unsubscribed == {TWO}


def test_a_device_that_is_ours_no_longer_is_so_after_a_full_disk(
    opened: Callable[[], State], clock: StandingClock, disk: Disk
) -> None:
    """That two lists lacked it is all that waits of it, and it is not lost where what waits is folded."""
    state = opened()
    state.accounts.desire(wanting(ONE, TWO), FIRST, START)
    trust(state, START, ONE, TWO)
    state.accounts.desire(wanting(TWO), SECOND, clock.wait(minutes=1))
    trust(state, clock.wait(minutes=5), TWO)
    disk.write_fault = FULL
    trust(state, clock.wait(minutes=5), TWO)
    for number in range(3):
        intend(state, clock.at, change(Action.SUBSCRIBE, THREE), pass_id=PassId(f"{number}"))
    soon_folded(state)
    state.accounts.doubt(HOTEL, clock.at)
    assert [group.account for group in state._behind.waiting.groups.values()].count(HOTEL) == 1
    disk.write_fault = ""
    state.flush()
    for one in reopened_too(state, opened):
        assert one.accounts.recall(HOTEL, clock.at).inventory == {TWO}


def test_a_wait_that_ends_while_the_disk_is_full_does_not_come_back(
    opened: Callable[[], State], disk: Disk
) -> None:
    """The file has it, and what waits is folded: no device of the account waits but those that are named."""
    state = opened()
    retry = Retry(Action.SUBSCRIBE, Reason.RETRY, 1, START)
    state.changes.record(HOTEL, PASS, [], {ONE: retry, TWO: retry}, START)
    disk.write_fault = FULL
    state.accounts.forget_retries(HOTEL, [ONE])
    for number in range(3):
        intend(state, START, change(Action.SUBSCRIBE, THREE), pass_id=PassId(f"{number}"))
    soon_folded(state)
    state.accounts.doubt(HOTEL, START)
    assert [group.account for group in state._behind.waiting.groups.values()].count(HOTEL) == 1
    disk.write_fault = ""
    state.flush()
    for one in reopened_too(state, opened):
        assert one.accounts.recall(HOTEL, START).retries == {TWO: retry}


def test_what_was_read_of_a_file_that_is_found_damaged_later_is_not_lost(
    folder: Path, clock: StandingClock
) -> None:
    """A file that could be read and not written is damaged when it is opened at last: memory is written anew."""
    with closing(State.open(folder, clock)) as state:
        trust(state, START, ONE, TWO)
        state.changes.record(HOTEL, PASS, [unsubscribed(ONE, START)], {}, START)
    takes_writes: list[bool] = []

    def connected(uri: str) -> sqlite3.Connection:
        return connect(uri if takes_writes or "mode=ro" in uri else f"{uri}?mode=ro")

    with closing(State.open(folder, clock, connected)) as state:
        assert not state.writable
        assert state.accounts.recall(HOTEL, START).unsubscribed == {ONE}
        (folder / "state.db").write_bytes(b"\xff" * 200_000)
        takes_writes.append(True)
        clock.wait(seconds=2)
        state.look()
        assert state.writable
        assert state.set_aside is not None
    with closing(State.open(folder, clock)) as state:
        known = state.accounts.recall(HOTEL, clock.at)
        assert (known.unsubscribed, known.expected) == ({ONE}, {TWO})


def test_what_waits_of_an_account_is_known_and_goes_with_it(
    opened: Callable[[], State], disk: Disk
) -> None:
    """Before an account is handed over it is written; what another replica writes now is forgotten here."""
    state = opened()
    for account in (HOTEL, CLINIC):
        state.accounts.doubt(account, START)
    assert not state.waits_for(HOTEL)
    disk.write_fault = FULL
    for account in (HOTEL, CLINIC):
        state.quotas.keep(account, [1.5], 60)
        assert state.waits_for(account)
        state.accounts.doubt(account, START)
        state.pauses.set(account, PauseOverride(Pause.ALL, None, "why"), START)
    state.forget([HOTEL])
    assert (state.waits_for(HOTEL), state.waits_for(CLINIC)) == (False, True)
    assert (state.accounts.knows(HOTEL), state.accounts.knows(CLINIC)) == (False, True)
    disk.write_fault = ""
    state = opened()
    assert [state.quotas.of(account) for account in (HOTEL, CLINIC)] == [((), None), ((1.5,), 60)]
    doubts = [state.accounts.recall(account, START).suspect_readings for account in (HOTEL, CLINIC)]
    assert doubts == [1, 2]
    assert all(state.pauses.of(account, START).reason == "why" for account in (HOTEL, CLINIC))


def test_only_what_was_read_of_other_accounts_is_forgotten(
    opened: Callable[[], State], disk: Disk
) -> None:
    """A page reads accounts that another replica owns; those of this one stay, with what is not written yet."""
    state = opened()
    for account in (HOTEL, CLINIC):
        state.accounts.recall(account, START)
    disk.write_fault = FULL
    state.accounts.doubt(HOTEL, START)
    state.keep_only([HOTEL])
    assert (state.accounts.knows(HOTEL), state.accounts.knows(CLINIC)) == (True, False)
    assert state.accounts.recall(HOTEL, START).suspect_readings == 1
    disk.write_fault = ""


@pytest.mark.parametrize("step", [timedelta(hours=3), timedelta(hours=-3)], ids=str)
def test_what_this_process_set_keeps_its_length_and_what_others_set_keeps_its_end(
    step: timedelta, opened: Callable[[], State]
) -> None:
    """After a step of the clock pauses and openings end when they would have, over a restart, too."""
    until = START + timedelta(hours=1)
    before = opened()
    before.pauses.set(CLINIC, PauseOverride(Pause.ALL, until, "others"), START)
    before.opened_windows.open(Opening("night", "mark", START, until, "others"), START)
    state = opened()
    state.pauses.set(HOTEL, PauseOverride(Pause.ALL, until, "ours"), START)
    state.pauses.set(None, PauseOverride(Pause.ALL, None, "for ever"), START)
    state.opened_windows.open(Opening("office", "mark", START, until, "ours"), START)
    state.reset(step, START + step)
    state.flush()
    for one in reopened_too(state, opened):
        early = min(START, START + step)
        pauses = {name: override.until for name, override in one.pauses.all(early).items()}
        assert pauses == {HOTEL: until + step, CLINIC: until, None: None}
        opened_windows = {each.window: each.until for each in one.opened_windows.in_force(early)}
        assert opened_windows == {"office": until + step, "night": until}
