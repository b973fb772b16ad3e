"""What every storage of the state must do, whichever database it is.

Each test runs against each implementation of ``port.Storage``. A new one is added to ``STORAGES``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from disks import START, StandingClock
from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import Past
from reconciler.core.model import (
    AccountName,
    Action,
    Commit,
    Confirmed,
    DeviceId,
    MessageId,
    PassId,
    Pause,
    Reason,
    Result,
    Retry,
    Revision,
    Verified,
)
from reconciler.core.windows import Ending, Opening
from reconciler.state import records
from reconciler.state.port import Asked, Stay, Storage, StoredDocument
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.records import Group, Mark, Record
from reconciler.state.sqlite.storage import SqliteStorage
from reconciler.state.traits import BEGUN, Traits

STORAGES: dict[str, Callable[[Path, pytest.FixtureRequest], Storage]] = {
    "SQLite on disk": lambda folder, _: SqliteStorage.open(folder / "state", StandingClock()),
    "SQLite in memory": lambda *_: SqliteStorage.in_memory(StandingClock()),
    "PostgreSQL": lambda _, request: PostgresStorage.open(
        request.getfixturevalue("postgresql").fresh(), StandingClock()
    ),
}
HOTEL, CLINIC = AccountName("seoul-hotel"), AccountName("clinic")
ONE, TWO, THREE = DeviceId("one"), DeviceId("two"), DeviceId("three")
FIRST = Revision("a" * 64)
SECOND = Revision(
    "b" * 64, Commit("c" * 40, "Kim <kim@example.com>", "Wing B", START, Verified.YES, dirty=True)
)
LATER = START + timedelta(hours=1)
TOO_LARGE = 2**70
NOBODY: frozenset[DeviceId] = frozenset()
PAST = Past(HOTEL, ONE, Action.SUBSCRIBE, START, START, PassId("pass"))


@pytest.fixture(params=list(STORAGES))
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Return each storage in turn."""
    opened = STORAGES[request.param](tmp_path, request)
    yield opened
    opened.medium.close()


def write(storage: Storage, *written: Record) -> None:
    """Write records, each in a group of its own and all in one go."""
    storage.write([Group((record,)) for record in written])


def ids(*found: DeviceId) -> frozenset[DeviceId]:
    """Return a set of devices."""
    return frozenset(found)


def moved(
    *entering: DeviceId, leaving: DeviceId | None = None, mark: Mark | None = None
) -> records.DevicesMoved:
    """Return what a revision moves."""
    gone = NOBODY if leaving is None else frozenset({leaving})
    return records.DevicesMoved(HOTEL, mark or Mark(FIRST, START), frozenset(entering), gone)


def listed(
    *appeared: DeviceId, vanished: DeviceId | None = None, account: AccountName = HOTEL
) -> records.ListChanged:
    """Return what a list changes."""
    gone = NOBODY if vanished is None else frozenset({vanished})
    return records.ListChanged(account, frozenset(appeared), gone)


def saved(*closed: Past, still_open: tuple[Past, ...] = ()) -> records.ChangesSaved:
    """Return past changes of one account."""
    return records.ChangesSaved((*closed, *still_open)[0].account, closed, still_open)


def done(device: DeviceId, at: datetime = START, result: Result = Result.SUCCESS) -> Past:
    """Return an unsubscribe with its outcome."""
    return replace(
        PAST, device=device, action=Action.UNSUBSCRIBE, intended=at, at=at, result=result
    )


def devices(storage: Storage) -> tuple[frozenset[DeviceId], frozenset[DeviceId]]:
    """Return which devices are owned, and which are expected to be live."""
    known = storage.account(HOTEL, LATER)
    return known.inventory.get(), known.expected.get()


def test_an_empty_storage_knows_nothing(storage: Storage) -> None:
    """Whatever is asked, the answer is an empty one."""
    known = storage.account(HOTEL, START)
    assert (known.trusted, known.texts_since, known.open, known.calls) == (False, None, {}, ())
    assert (storage.pauses(), storage.live_accounts(), storage.changes(Asked(), 10)) == (
        {},
        frozenset(),
        [],
    )
    assert (storage.documents(), storage.contents(), storage.digests("a.toml")) == ([], {}, {})
    assert (storage.came_and_went(HOTEL, ONE), storage.sent_after(HOTEL, START)) == (Stay(), ())
    assert (storage.devices_like("o", 10), storage.has_contents(["x"])) == (
        frozenset(),
        frozenset(),
    )
    assert (storage.medium.trouble, storage.medium.losses) == ("", 0)


def test_an_account_is_read_as_it_was_saved(storage: Storage) -> None:
    """The last facts count, and each account has its own."""
    write(
        storage,
        records.AccountSaved(HOTEL, None, trusted=False, suspect_readings=0, credential=None),
    )
    write(
        storage,
        records.AccountSaved(HOTEL, START, trusted=True, suspect_readings=-2, credential="mark"),
    )
    known = storage.account(HOTEL, START)
    assert (known.texts_since, known.trusted, known.suspect_readings, known.credential) == (
        START,
        True,
        -2,
        "mark",
    )
    assert storage.account(CLINIC, START).credential is None


def test_devices_come_and_go_by_revisions(storage: Storage) -> None:
    """A device is owned from its coming on; its going is dated; coming back clears that."""
    write(storage, moved(ONE, TWO), moved(leaving=ONE, mark=Mark(SECOND, LATER)))
    assert devices(storage) == (ids(ONE, TWO), NOBODY)
    assert storage.account(HOTEL, LATER).left.look() == {ONE: LATER}
    assert storage.came_and_went(HOTEL, ONE) == Stay(Mark(FIRST, START), Mark(SECOND, LATER))
    write(storage, moved(ONE, mark=Mark(SECOND, LATER)))
    assert storage.account(HOTEL, LATER).left.look() == {}
    assert storage.came_and_went(HOTEL, ONE) == Stay(Mark(SECOND, LATER))


def test_a_device_that_is_disowned_keeps_the_date_of_its_going(storage: Storage) -> None:
    """It is ours no longer, and should it be live again it has been absent since then."""
    write(storage, moved(ONE, TWO), moved(leaving=ONE), records.DevicesDisowned(HOTEL, ids(ONE)))
    known = storage.account(HOTEL, LATER)
    assert (known.inventory.get(), known.left.look(), known.disowned.look()) == (
        ids(TWO),
        {},
        {ONE: START},
    )


def test_lists_change_what_is_expected(storage: Storage) -> None:
    """Devices appear and vanish; those that no revision named leave nothing behind; clearing keeps what is owned."""
    write(storage, moved(ONE), listed(ONE, TWO), listed(THREE, vanished=TWO))
    assert devices(storage) == (ids(ONE), ids(ONE, THREE))
    assert storage.live_accounts() == frozenset()
    write(
        storage,
        records.AccountSaved(HOTEL, START, trusted=True, suspect_readings=0, credential=None),
    )
    assert storage.live_accounts() == {HOTEL}
    write(storage, records.ListCleared(HOTEL))
    assert devices(storage) == (ids(ONE), NOBODY)
    assert storage.live_accounts() == frozenset()


@pytest.mark.parametrize("before", [(), (moved(ONE, TWO), listed(TWO, THREE), moved(leaving=TWO))])
def test_settling_says_where_each_device_is(before: tuple[Record, ...], storage: Storage) -> None:
    """Whatever was written of them before, the devices are where they are said to be afterwards."""
    write(storage, *before)
    entered = moved(ONE, leaving=TWO, mark=Mark(SECOND, LATER))
    write(
        storage,
        records.DevicesSettled(
            HOTEL,
            ids(ONE, TWO, THREE),
            owned=ids(ONE),
            live=ids(ONE),
            left={},
            disowned={TWO: LATER},
            moved=(entered,),
        ),
    )
    known = storage.account(HOTEL, LATER)
    assert (known.inventory.get(), known.expected.get(), known.disowned.look()) == (
        ids(ONE),
        ids(ONE),
        {TWO: LATER},
    )
    assert storage.came_and_went(HOTEL, ONE) == Stay(Mark(SECOND, LATER))
    assert storage.came_and_went(HOTEL, TWO).went == Mark(SECOND, LATER)
    assert storage.came_and_went(HOTEL, THREE) == Stay()


@pytest.mark.parametrize("cleared", [False, True])
def test_what_is_known_of_a_device_outlives_a_list_that_has_it_for_once(
    storage: Storage, *, cleared: bool
) -> None:
    """Also where no revision of its coming is known, because the file was written anew from memory."""
    left, gone = DeviceId("left"), DeviceId("gone")
    every = ids(ONE, left, gone)
    settled = records.DevicesSettled(
        HOTEL, every, ids(ONE, left), NOBODY, left={left: START}, disowned={gone: LATER}
    )
    write(storage, settled, listed(*every, TWO))
    vanished = (listed(vanished=one) for one in every)
    write(storage, *((records.ListCleared(HOTEL),) if cleared else vanished))
    known = storage.account(HOTEL, LATER)
    assert (known.left.look(), known.disowned.look()) == ({left: START}, {gone: LATER})
    assert devices(storage) == (ids(ONE, left), NOBODY if cleared else ids(TWO))


def test_waits_are_saved_by_device(storage: Storage) -> None:
    """A wait replaces the one before; it ends alone, or with all of the account that are not named again."""
    retry = Retry(Action.SUBSCRIBE, Reason.REFUSED, 3, LATER, "1221", "no such type")
    write(storage, records.RetriesSaved(HOTEL, {ONE: retry, TWO: retry, THREE: retry}))
    write(storage, records.RetriesSaved(HOTEL, {ONE: replace(retry, attempts=4)}))
    write(storage, records.RetriesDropped(HOTEL, ids(TWO)))
    assert storage.account(HOTEL, LATER).retries.look() == {
        ONE: replace(retry, attempts=4),
        THREE: retry,
    }
    write(storage, records.RetriesSaved(HOTEL, {TWO: retry}, all_of_them=True))
    assert storage.account(HOTEL, LATER).retries.look() == {TWO: retry}


def test_a_past_change_is_read_with_everything_that_is_known_of_it(storage: Storage) -> None:
    """All its fields come back, with the commit of its revision; saving it again replaces it."""
    whole = replace(
        done(ONE, result=Result.NOOP),
        approved=True,
        revision=SECOND,
        confirmed_by="list",
        message_id=MessageId("ours"),
        lg_message_id="theirs",
        status=404,
        code="1206",
        words="gone",
    )
    write(storage, saved(still_open=(replace(whole, result=None),)), saved(whole))
    assert storage.changes(Asked(), 10) == [whole]
    assert storage.account(HOTEL, START).open == {}


def test_open_changes_and_those_of_the_day_are_part_of_an_account(storage: Storage) -> None:
    """What a later list may settle is read at any age, confirmed changes for 24 hours back from the newest."""
    old = START - timedelta(hours=30)
    pending = replace(PAST, device=THREE, intended=old, at=old)
    write(storage, saved(done(ONE), done(TWO, old), still_open=(pending,)))
    write(storage, saved(replace(PAST, account=CLINIC, result=Result.SUCCESS)))
    known = storage.account(HOTEL, START)
    assert known.open == {THREE: pending}
    assert known.day.confirmed.look() == {ONE: Confirmed(Action.UNSUBSCRIBE, Result.SUCCESS, START)}
    assert known.day.unsubscribed.look() == {ONE: START}
    by_a_clock_that_is_ahead = storage.account(HOTEL, START + timedelta(days=3))
    assert by_a_clock_that_is_ahead.day.unsubscribed.look() == {ONE: START}


def test_withdrawn_changes_are_gone(storage: Storage) -> None:
    """Only the very changes that are named are removed."""
    other = replace(PAST, pass_id=PassId("other"))
    write(storage, saved(PAST, other), records.ChangesDropped((PAST,)))
    assert storage.changes(Asked(), 10) == [other]


def test_changes_that_were_saved_once_more_are_dropped_where_they_are_known(
    storage: Storage,
) -> None:
    """What memory wrote again stays only where the storage has no other record of it."""
    again = PassId("again")
    known, unknown = replace(done(ONE), pass_id=again), replace(done(TWO), pass_id=again)
    write(
        storage,
        saved(done(ONE)),
        saved(known, unknown),
        records.RepeatedChangesDropped(HOTEL, again),
    )
    assert storage.changes(Asked(), 10) == [done(ONE), unknown]


def test_past_changes_are_found_newest_first(storage: Storage) -> None:
    """They are filtered by account, device and time, and limited to the newest."""
    pasts = [
        done(DeviceId(f"d{number % 2}"), START + timedelta(minutes=number)) for number in range(4)
    ]
    pasts[3] = replace(pasts[3], account=CLINIC)
    write(storage, saved(*pasts[:3]), saved(pasts[3]))

    def found(limit: int = 10, **asked: object) -> list[int]:
        return [pasts.index(past) for past in storage.changes(Asked(**asked), limit)]  # type: ignore[arg-type]

    assert found() == [3, 2, 1, 0]
    assert (found(2), found(account=HOTEL), found(device="d1")) == ([3, 2], [2, 1, 0], [3, 1])
    assert found(account=HOTEL, device="d1") == [1]
    assert found(since=pasts[1].at, until=pasts[3].at) == [2, 1]


def test_the_calls_of_a_killed_pass_are_known_from_its_intents(storage: Storage) -> None:
    """They are the changes that were intended after a moment and that were not confirmed by a list alone."""
    sent = replace(PAST, intended=LATER, at=LATER)
    found_later = replace(sent, device=TWO, confirmed_by="list")
    write(storage, saved(PAST, sent, found_later))
    assert storage.sent_after(HOTEL, START) == (LATER,)


def test_devices_are_found_by_how_their_id_begins(storage: Storage) -> None:
    """Owned and live ones are found, and those of past changes, each with its account and at most so many."""
    write(
        storage,
        moved(ONE),
        saved(done(DeviceId("onward"))),
        saved(replace(PAST, account=CLINIC)),
        listed(TWO),
    )
    found = {(HOTEL, ONE), (HOTEL, DeviceId("onward")), (CLINIC, ONE)}
    assert storage.devices_like("on", 10) == found
    assert len(storage.devices_like("on", 2)) == 2
    assert storage.devices_like("x", 10) == frozenset()


def test_quotas_are_kept_to_the_last_bit(storage: Storage) -> None:
    """The newest calls count."""
    write(
        storage,
        records.QuotaSaved(HOTEL, (1.0,), None),
        records.QuotaSaved(HOTEL, (1.1, 1767323045.123456), 60),
    )
    known = storage.account(HOTEL, START)
    assert (known.calls, known.calls_per_hour) == ((1.1, 1767323045.123456), 60)


def test_pauses_are_set_and_taken_off(storage: Storage) -> None:
    """Each account has one at most."""
    night = PauseOverride(Pause.ALL, LATER, "night")
    write(
        storage,
        records.PauseSaved(HOTEL, PauseOverride(Pause.UNSUBSCRIBE)),
        records.PauseSaved(CLINIC, night),
    )
    write(storage, records.PauseSaved(HOTEL, night))
    assert storage.pauses() == {HOTEL: night, CLINIC: night}
    write(storage, records.PauseSaved(HOTEL, None))
    assert storage.pauses() == {CLINIC: night}


def test_documents_are_kept_with_their_files(storage: Storage) -> None:
    """Files are exchanged together, bytes are shared, and those that no document has any more are removed."""
    contents = {sha256(one).hexdigest(): zlib.compress(one) for one in (b"a", b"b", b"shared")}
    a, b, shared = contents
    write(
        storage,
        records.DocumentSaved("b.toml", FIRST, {"b.toml": b, "devices": shared}, contents),
        records.DocumentSaved("a.toml", FIRST, {"a.toml": a, "devices": shared}, {}),
    )
    assert storage.documents() == [
        StoredDocument("a.toml", FIRST, {"a.toml": a, "devices": shared}),
        StoredDocument("b.toml", FIRST, {"b.toml": b, "devices": shared}),
    ]
    assert storage.digests("a.toml") == {"a.toml": a, "devices": shared}
    assert storage.has_contents([a, b, "other"]) == {a, b}
    write(
        storage,
        records.DocumentSaved("a.toml", SECOND, None, {}),
        records.DocumentDropped("b.toml"),
    )
    write(storage, records.UnusedContentsDropped())
    assert storage.documents() == [
        StoredDocument("a.toml", SECOND, {"a.toml": a, "devices": shared})
    ]
    assert storage.contents() == {a: contents[a], shared: contents[shared]}


def test_a_retired_account_leaves_its_past_changes(storage: Storage) -> None:
    """Its calls stay too. No later list settles what was open, and other accounts stay as they were."""
    pause = PauseOverride(Pause.ALL)
    kept = records.PauseSaved(CLINIC, pause), records.QuotaSaved(CLINIC, (1.0,), 1)
    gone = records.PauseSaved(HOTEL, pause), records.QuotaSaved(HOTEL, (1.0,), 1)
    write(storage, *kept, *gone, moved(ONE), listed(TWO), saved(still_open=(PAST,)))
    write(
        storage, records.RetriesSaved(HOTEL, {ONE: Retry(Action.SUBSCRIBE, Reason.RETRY, 1, LATER)})
    )
    write(storage, records.AccountRetired(HOTEL))
    known = storage.account(HOTEL, START)
    assert (known.open, known.retries.look(), known.calls, devices(storage)) == (
        {},
        {},
        (1.0,),
        (NOBODY, NOBODY),
    )
    assert (storage.changes(Asked(), 10), storage.pauses()) == ([PAST], {CLINIC: pause})
    assert storage.account(CLINIC, START).calls == (1.0,)


def test_what_is_old_is_removed(storage: Storage) -> None:
    """Past changes go, and devices that are neither owned nor live."""
    write(storage, moved(ONE, TWO), moved(leaving=ONE), records.DevicesDisowned(HOTEL, ids(ONE)))
    write(storage, saved(PAST), records.OldDropped(START))
    assert (len(storage.changes(Asked(), 10)), storage.came_and_went(HOTEL, ONE).went) == (
        1,
        Mark(FIRST, START),
    )
    write(storage, records.OldDropped(LATER))
    assert (storage.changes(Asked(), 10), storage.came_and_went(HOTEL, ONE)) == ([], Stay())
    assert devices(storage) == (ids(TWO), NOBODY)


def test_what_no_database_can_keep_is_replaced(storage: Storage) -> None:
    """Halves of characters, and zero bytes where a database has none, do not keep a change from being written."""
    write(storage, saved(replace(done(ONE), words="a\ud800b"), replace(done(TWO), words="a\0b")))
    words = {past.device: past.words for past in storage.changes(Asked(), 10)}
    assert words[ONE] == "a?b"
    assert words[TWO] in {"a\0b", "a\N{REPLACEMENT CHARACTER}b"}


def test_the_same_change_twice_is_written_once(storage: Storage) -> None:
    """The last one counts, also where both come in one record."""
    write(storage, saved(replace(done(ONE), words="first"), replace(done(ONE), words="second")))
    assert [past.words for past in storage.changes(Asked(), 10)] == ["second"]


def test_an_account_of_many_devices_is_written_and_read(storage: Storage) -> None:
    """More devices than one statement takes come back, each where it was."""
    many = [DeviceId(f"device-{number:05}") for number in range(12_000)]
    write(storage, moved(*many), listed(*many[:11_000]))
    assert devices(storage) == (frozenset(many), frozenset(many[:11_000]))


@pytest.mark.parametrize(
    "traits",
    [
        Traits(action=Action.UNSUBSCRIBE),
        Traits(result=BEGUN),
        Traits(result=Result.SUCCESS),
        Traits(author="KIM"),
        Traits(author="%"),
        Traits(revision="cccc"),
        Traits(revision="sha256:bbb"),
        Traits(revision=f"{'c' * 40}-dirty"),
    ],
)
def test_a_database_judges_traits_as_we_do(traits: Traits, storage: Storage) -> None:
    """What a query by action, result, author or revision finds is what the same rule finds in memory."""
    clean = replace(SECOND, commit=replace(SECOND.commit, dirty=False)) if SECOND.commit else FIRST
    pasts = [
        done(ONE),
        replace(PAST, device=TWO, revision=FIRST),
        replace(done(THREE), revision=SECOND),
        replace(done(DeviceId("four"), LATER), revision=clean),
    ]
    write(storage, saved(*pasts))
    asked = Asked(traits=traits)
    assert set(storage.changes(asked, 10)) == {past for past in pasts if asked.takes(past)}


@pytest.mark.parametrize("lasting", [False, True])
def test_groups_are_written_in_their_order(lasting: bool, storage: Storage) -> None:  # noqa: FBT001 - an example
    """What is said last counts, within a group and between groups."""
    first = Group((listed(ONE), listed(TWO, vanished=ONE)), lasting=lasting)
    storage.write([first, Group((listed(THREE, vanished=TWO),))], more=True)
    storage.write([])
    assert devices(storage)[1] == {THREE}


def test_trouble_is_over_when_all_is_written(storage: Storage) -> None:
    """A write that succeeds while more waits says nothing yet of the rest."""
    no_number = records.AccountSaved(
        HOTEL, None, trusted=False, suspect_readings=TOO_LARGE, credential=None
    )
    with pytest.raises(StateError, match="cannot be written"):
        write(storage, no_number)
    storage.write([Group((listed(ONE),))], more=True)
    assert "cannot be written" in storage.medium.trouble
    storage.write([Group((listed(TWO),))])
    assert (storage.medium.trouble, devices(storage)[1]) == ("", ids(ONE, TWO))
    assert (storage.medium.doubts, storage.medium.losses) == (0, 0)


def test_the_day_ends_where_the_clock_was_set_back_from(storage: Storage) -> None:
    """What counts is read from the earlier end on, as far back as a day; without one from now."""
    hours = [START + timedelta(hours=number) for number in (0, 6, 30)]
    write(storage, saved(*map(done, (ONE, TWO, THREE), hours)))
    now = hours[2] + timedelta(hours=1)

    def counted(day_ends: datetime | None) -> set[DeviceId]:
        return set(storage.account(HOTEL, now, day_ends).day.unsubscribed.look())

    assert counted(None) == counted(now + timedelta(days=9)) == {THREE}
    assert counted(START + timedelta(hours=24)) == {TWO, THREE}
    assert counted(START + timedelta(hours=20)) == {ONE, TWO, THREE}


def test_a_wait_that_a_clock_ahead_wrote_is_not_endless(storage: Storage) -> None:
    """Nothing waits longer from now than the longest wait there is."""
    for reason in (Reason.RETRY, Reason.REFUSED):
        retry = Retry(Action.SUBSCRIBE, reason, 1, START + timedelta(days=4000))
        write(storage, records.RetriesSaved(HOTEL, {ONE: retry}))
        waits = storage.account(HOTEL, START).retries.look()
        assert waits[ONE].until <= START + timedelta(days=2)
        assert replace(waits[ONE], until=retry.until) == retry


def test_openings_are_found_while_they_last_and_while_they_are_kept(storage: Storage) -> None:
    """Those that nobody ended, newest first; those since a moment, by their end; saving one again replaces it."""
    office = Opening("office", "mark", START, LATER, "an oven", "kim")
    night = replace(office, window="night", at=START + timedelta(minutes=1), mark="other")
    write(storage, records.OpeningSaved(office), records.OpeningSaved(night))
    assert list(storage.opened(None, 10)) == [night, office]
    assert list(storage.opened(None, 1)) == [night]
    half = START + timedelta(minutes=30)
    assert list(storage.opened(half, 10)) == list(storage.opened(LATER, 10)) == [night, office]
    assert list(storage.opened(LATER + timedelta(seconds=1), 10)) == []
    ended = replace(night, ended=half, ended_by=Ending.CLOSED)
    write(storage, records.OpeningSaved(ended), records.OldDropped(LATER))
    assert list(storage.opened(None, 10)) == [office]
    assert list(storage.opened(START, 10)) == [ended, office]
    write(storage, records.OldDropped(LATER + timedelta(seconds=1)))
    assert list(storage.opened(START, 10)) == []


def test_a_file_counts_as_kept_where_its_bytes_are(storage: Storage) -> None:
    """A document of which a file has no bytes any more is not taken for stored, so it is written again."""
    digests = {"a.toml": "a" * 64, "ids.txt": "b" * 64}
    write(storage, records.DocumentSaved("a.toml", FIRST, digests, {"a" * 64: b"packed"}))
    assert storage.digests("a.toml") == {"a.toml": "a" * 64}


def named(names: dict[DeviceId, str], at: datetime = START, *ended: DeviceId) -> records.NamesSaved:
    """Return names that hold from a moment on."""
    return records.NamesSaved(HOTEL, at, names, frozenset(ended))


def test_the_last_name_of_a_device_is_kept(storage: Storage) -> None:
    """A device that left keeps its name, and is found by it; another account's devices are not."""
    write(storage, moved(ONE, TWO), named({ONE: "oven", TWO: "fridge"}))
    assert storage.names(HOTEL, [ONE, TWO, THREE]) == {ONE: "oven", TWO: "fridge"}
    assert (storage.names(CLINIC, [ONE]), storage.once_called("oven", 10)) == ({}, frozenset())
    write(storage, moved(leaving=ONE, mark=Mark(SECOND, LATER)))
    assert storage.names(HOTEL, [ONE]) == {ONE: "oven"}
    assert storage.once_called("oven", 10) == {(HOTEL, ONE)}


def test_former_names_are_kept_until_they_are_old(storage: Storage) -> None:
    """A name that another one replaced, or that was taken out, is found, and by its beginning, too."""
    write(storage, moved(ONE, TWO), named({ONE: "oven", TWO: "fridge"}))
    write(storage, named({ONE: "stove"}, LATER), named({}, LATER, TWO))
    assert storage.names(HOTEL, [ONE, TWO]) == {ONE: "stove", TWO: "fridge"}
    assert storage.once_called("oven", 10) == {(HOTEL, ONE)}
    assert storage.once_called("fridge", 10) == {(HOTEL, TWO)}
    assert storage.once_called_like("o", 10) == {"oven"}
    assert storage.once_called("stove", 10) == frozenset()
    write(storage, records.OldDropped(LATER + timedelta(hours=1)))
    assert storage.once_called("oven", 10) == frozenset()
    assert storage.names(HOTEL, [ONE]) == {ONE: "stove"}


def test_names_of_many_devices_are_read_at_once(storage: Storage) -> None:
    """More devices than one statement may name are read, too."""
    many = {DeviceId(f"device-{number}"): f"Room {number}" for number in range(1200)}
    write(storage, moved(*many), named(many))
    assert storage.names(HOTEL, many.keys()) == many


def test_a_change_keeps_its_name(storage: Storage) -> None:
    """A name, no name, and a name that is not known are three things; an unsubscribe ends a name."""
    gone = replace(done(ONE), name="oven")
    plain = replace(done(TWO, LATER), name="")
    write(storage, saved(gone, plain, replace(PAST, device=THREE)))
    assert {past.device: past.name for past in storage.changes(Asked(), 10)} == {
        ONE: "oven",
        TWO: "",
        THREE: None,
    }
    assert storage.once_called("oven", 10) == {(HOTEL, ONE)}
    subscribed = replace(PAST, device=THREE, name="stove", result=Result.SUCCESS)
    write(storage, saved(subscribed))
    assert storage.once_called("stove", 10) == frozenset()


def test_a_retired_account_begins_anew(storage: Storage) -> None:
    """Neither since when it is in the files nor that its list was trusted outlives it, whoever retired it."""
    write(storage, records.AccountSaved(HOTEL, START, True, 2, "fingerprint", "mark"))  # noqa: FBT003 - as the record has it
    write(storage, records.AccountRetired(HOTEL, LATER))
    known = storage.account(HOTEL, LATER)
    assert (known.texts_since, known.trusted, known.suspect_readings, known.credential) == (
        None,
        False,
        0,
        None,
    )
    assert known.names.mark is None


def test_a_retired_account_leaves_its_names_findable(storage: Storage) -> None:
    """The devices are forgotten, and what they were called leads to their past changes."""
    write(storage, moved(ONE), named({ONE: "oven"}), records.AccountRetired(HOTEL, LATER))
    assert storage.names(HOTEL, [ONE]) == {}
    assert storage.once_called("oven", 10) == {(HOTEL, ONE)}


def test_what_is_protected_stays_when_the_account_is_retired(storage: Storage) -> None:
    """A device has the account that protected it last; only a release by that account or by an entry ends it."""
    write(storage, records.ProtectionStated({ONE: HOTEL, TWO: HOTEL, THREE: CLINIC}))
    write(storage, records.ProtectionStated({TWO: CLINIC}), records.AccountRetired(HOTEL))
    assert storage.protected() == {ONE: HOTEL, TWO: CLINIC, THREE: CLINIC}
    write(storage, records.ProtectionReleased(HOTEL, ids(ONE, TWO)))
    assert storage.protected() == {TWO: CLINIC, THREE: CLINIC}
    write(storage, records.ProtectionStated({ONE: CLINIC}, ids(THREE)))
    assert storage.protected() == {ONE: CLINIC, TWO: CLINIC}
    write(storage, records.OldDropped(LATER + timedelta(days=900)))
    assert storage.protected() == {ONE: CLINIC, TWO: CLINIC}
