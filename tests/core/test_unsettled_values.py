"""What waits because files may be half written, as values: each rule with its boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from core_strategies import NOW, some
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.model import AccountName, Desired, Revision
from reconciler.core.unsettled import (
    LONGEST_SECONDS,
    QUIET_SECONDS,
    Absent,
    Reading,
    Waits,
    after_a_look,
    after_reading,
    marked,
)

HOTEL, OTHER = AccountName("hotel"), AccountName("other")
FIRST = Revision("1")
DOCUMENT, WINGS = "hotel.toml", "wings/a.txt"
NAMED = {DOCUMENT: frozenset({WINGS})}
WENT = Reading(100.0, gone=frozenset({WINGS}))


def in_force(*parts: Desired) -> Accepted:
    """Return what is in force."""
    return replace(Accepted(), accounts={one.account: AccountRevision(one, FIRST) for one in parts})


def hotel(*devices: str) -> Desired:
    """Return the account that has a device file."""
    return Desired(HOTEL, some(*devices), path=DOCUMENT)


BEFORE = in_force(hotel("a", "b", "c"))


@pytest.mark.parametrize("gone", [DOCUMENT, WINGS])
def test_devices_of_a_file_that_went_away_wait(gone: str) -> None:
    """What the account wanted before and does not want now waits, whether its document or a device file went."""
    seen = Reading(100.0, gone=frozenset({gone}))
    waits = after_reading(Waits(), seen, BEFORE, in_force(hotel("a")), NAMED)
    assert waits == Waits(gone={HOTEL: some("b", "c")}, gone_since=100.0)
    assert bool(waits)


@pytest.mark.parametrize(
    ("seen", "before", "after"),
    [
        (replace(WENT, gone=frozenset({"other.txt"})), BEFORE, in_force(hotel("a"))),
        (replace(WENT, gone=frozenset()), BEFORE, in_force(hotel("a"))),
        (WENT, in_force(), in_force(hotel("a"))),
        (WENT, BEFORE, in_force(hotel("a", "b", "c", "d"))),
        (WENT, BEFORE, in_force()),
    ],
    ids=["another file", "no file", "a new account", "all still wanted", "no account"],
)
def test_nothing_else_waits(seen: Reading, before: Accepted, after: Accepted) -> None:
    """A device that goes with no file of its account is a removal."""
    waits = after_reading(Waits(), seen, before, after, NAMED)
    assert waits.gone == {}
    assert not waits


def test_an_account_that_is_kept_as_it_was_has_nothing_to_wait_for() -> None:
    """Where its part was not read anew, what waited for it goes on waiting, and no more."""
    kept = BEFORE.accounts[HOTEL].desired
    waits = after_reading(Waits(gone={HOTEL: some("x")}), WENT, BEFORE, in_force(kept), NAMED)
    assert waits.gone == {HOTEL: some("x")}


def test_a_wait_begins_once() -> None:
    """More files that go do not prolong it; what came back does not wait."""
    first = after_reading(Waits(), WENT, BEFORE, in_force(hotel("a", "b")), NAMED)
    later = Reading(130.0, gone=frozenset({WINGS}))
    second = after_reading(first, later, in_force(hotel("a", "b")), in_force(hotel("c")), NAMED)
    assert second.gone == {HOTEL: some("a", "b")}
    assert second.gone_since == 100.0
    assert after_reading(second, Reading(140.0), in_force(), in_force(hotel("a")), {}).gone == {
        HOTEL: some("b")
    }


EARLIER = {
    "git's lock": Waits("index.lock", NOW, gone_since=1.0),
    "a missing file": Waits(gone_since=1.0, absent={"x": Absent(1.0, some("z"))}),
    "both": Waits("index.lock", NOW, gone_since=1.0, absent={"x": Absent(1.0, None)}),
    "a file that came back": Waits(gone_since=1.0),
}


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_wait_for_something_else_makes_that_for_a_file_no_shorter(earlier: str) -> None:
    """However long git's lock or a missing file was waited for, a file that goes now is waited for from now on."""
    waits = after_reading(EARLIER[earlier], WENT, BEFORE, in_force(hotel("a")), NAMED)
    assert (waits.gone, waits.gone_since) == ({HOTEL: some("b", "c")}, WENT.now)
    almost, end = WENT.now + LONGEST_SECONDS - 0.1, WENT.now + LONGEST_SECONDS
    assert after_a_look(waits, now=almost, locked=False, quiet_for=0.0).gone == waits.gone
    assert after_a_look(waits, now=end, locked=False, quiet_for=0.0).gone == {}


def test_what_waits_for_one_file_waits_on_while_another_one_goes() -> None:
    """A second file that goes away frees no device of the first one."""
    first = after_reading(Waits(), WENT, BEFORE, in_force(hotel("a", "b")), NAMED)
    later = Reading(102.0, gone=frozenset({WINGS}))
    second = after_reading(first, later, in_force(hotel("a", "b")), in_force(hotel("a")), NAMED)
    assert second.gone == {HOTEL: some("b", "c")}


def test_a_lock_and_missing_files_are_as_the_reading_saw_them() -> None:
    """A tracked file is missing since it was first seen so; a lock that is gone is gone."""
    seen = Reading(100.0, "index.lock", NOW, missing={"x": some("a"), "y": None})
    waits = after_reading(Waits(), seen, BEFORE, BEFORE, NAMED)
    assert (waits.lock, waits.lock_since) == ("index.lock", NOW)
    assert waits.absent == {"x": Absent(100.0, some("a")), "y": Absent(100.0, None)}
    later = Reading(150.0, missing={"x": some("b"), "z": None})
    again = after_reading(waits, later, BEFORE, BEFORE, NAMED)
    assert (again.lock, again.lock_since) == ("", None)
    assert again.absent == {"x": Absent(100.0, some("b")), "z": Absent(150.0, None)}
    assert bool(waits) and bool(again)  # noqa: PT018 - one fact


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize(
    ("now", "quiet_for", "over"),
    [
        (200.0, QUIET_SECONDS - 0.1, False),
        (200.0, QUIET_SECONDS, True),
        (100.0 + LONGEST_SECONDS - 0.1, 0.0, False),
        (100.0 + LONGEST_SECONDS, 0.0, True),
    ],
)
def test_files_that_went_are_removed_in_quiet(
    now: float, quiet_for: float, *, over: bool, locked: bool
) -> None:
    """After five quiet seconds, or ten minutes at the most, and not beside git's lock."""
    waits = Waits("index.lock", NOW, gone={HOTEL: some("a")}, gone_since=100.0)
    found = after_a_look(waits, now=now, locked=locked, quiet_for=quiet_for)
    assert found.gone == ({} if over and not locked else waits.gone)
    assert (found.lock, found.lock_since) == (("index.lock", NOW) if locked else ("", None))


def unsettled(waits: Waits, now: float = 100.0) -> Mapping[AccountName, object]:
    """Return which devices of each of two accounts wait; False where nothing does."""
    accepted = in_force(hotel("a"), Desired(OTHER, some("o"), path="other.toml"))
    texts = marked(accepted, waits, now).accounts
    return {
        name: False if one.unsettled is None else one.unsettled.devices
        for name, one in texts.items()
    }


def test_each_account_waits_for_its_own_devices() -> None:
    """What went with its file is its own; what concerns git is everybody's."""
    gone = {HOTEL: some("b")}
    assert unsettled(Waits()) == {HOTEL: False, OTHER: False}
    assert unsettled(Waits(gone=gone)) == {HOTEL: some("b"), OTHER: False}
    known = Waits(gone=gone, absent={"x": Absent(100.0, some("c"))})
    assert unsettled(known) == {HOTEL: some("b", "c"), OTHER: some("c")}
    unknown = {"x": Absent(100.0, some("c")), "y": Absent(100.0, None)}
    assert unsettled(Waits(gone=gone, absent=unknown)) == {HOTEL: None, OTHER: None}
    assert unsettled(Waits(lock="l", gone=gone)) == {HOTEL: None, OTHER: None}
    both = Waits(lock="l", absent={"x": Absent(100.0, some("c"))})
    assert unsettled(both) == {HOTEL: None, OTHER: None}


def test_a_missing_file_is_waited_for_ten_minutes() -> None:
    """Then it counts as removed; each file has a wait of its own."""
    waits = Waits(absent={"x": Absent(0.0, some("a")), "y": Absent(60.0, some("b"))})
    assert unsettled(waits, LONGEST_SECONDS - 0.1)[OTHER] == some("a", "b")
    assert unsettled(waits, LONGEST_SECONDS)[OTHER] == some("b")
    assert unsettled(waits, LONGEST_SECONDS + 60.0)[OTHER] is False


def test_what_is_marked_already_stays_the_same_object() -> None:
    """Marking again changes nothing, also where a wait is over for one account only."""
    accepted = in_force(hotel("a"), Desired(OTHER, some("o"), path="other.toml"))
    assert marked(accepted, Waits(), 100.0) is accepted
    waits = Waits(gone={HOTEL: some("b")})
    first = marked(accepted, waits, 100.0)
    assert first.accounts[OTHER] is accepted.accounts[OTHER]
    assert marked(first, waits, 130.0) is first
    assert marked(first, Waits(), 130.0) == accepted


@pytest.mark.parametrize(
    ("waits", "words"),
    [
        (
            Waits("index.lock", NOW),
            "git is at work on the files: unsubscribes wait until index.lock is gone",
        ),
        (
            Waits(absent={"b": Absent(40.0, some("x"))}),
            (
                "a file that git tracks is missing from the working tree: b; its devices wait until the "
                "removal is committed, or the file is back, at most for 9 minutes"
            ),
        ),
        (
            Waits(absent={"b": Absent(100.0, None), "a": Absent(40.0, some("x"))}),
            (
                "a file that git tracks is missing from the working tree: a and 1 more; what was in it is "
                "not known, so all unsubscribes wait until the removal is committed, or the file is back, "
                "at most for 10 minutes"
            ),
        ),
    ],
)
def test_a_person_is_told_what_is_waited_for(waits: Waits, words: str) -> None:
    """With the file, and for how long at most."""
    text = marked(in_force(hotel("a")), waits, 100.0).accounts[HOTEL]
    assert text.unsettled is not None
    assert text.unsettled.message == words
    assert text.unsettled.since == waits.lock_since


def test_a_person_is_told_everything_that_is_waited_for() -> None:
    """The words are put in a row."""
    waits = Waits("l", NOW - timedelta(hours=1), {HOTEL: some("b")}, 100.0)
    text = marked(in_force(hotel("a")), waits, 100.0).accounts[HOTEL]
    assert text.unsettled is not None
    assert text.unsettled.message == (
        "git is at work on the files: unsubscribes wait until l is gone; a device file went away a "
        "moment ago; its devices wait until nothing below the folder of the files has changed for 5 s"
    )


def other() -> Desired:
    """Return an account beside the hotel."""
    return Desired(OTHER, some("z"), path="other.toml")


def both(*devices: str) -> Accepted:
    """Return both accounts in force, the hotel with these devices."""
    return in_force(other(), hotel(*devices))


def test_every_device_of_an_account_that_comes_beside_others_waits() -> None:
    """An account that was not in force before may still miss some of its files."""
    waits = after_reading(Waits(), Reading(100.0), in_force(other()), both("a"), NAMED)
    assert waits == Waits(gone={HOTEL: None}, gone_since=100.0)
    unsettled = marked(both("a"), waits, 100.0).accounts[HOTEL].unsettled
    assert unsettled is not None
    assert unsettled.devices is None
    assert "the account's file came a moment ago" in unsettled.message
    assert marked(both("a"), waits, 100.0).accounts[OTHER].unsettled is None


def test_an_account_that_came_waits_through_later_readings_until_the_folder_is_quiet() -> None:
    """Another reading does not end the wait, a quiet folder does, and an account that leaves does not wait."""
    waits = after_reading(Waits(), Reading(100.0), in_force(other()), both("a"), NAMED)
    again = after_reading(waits, Reading(103.0), both("a"), both("a", "b"), NAMED)
    assert again == waits
    busy = after_a_look(again, now=104.0, locked=False, quiet_for=QUIET_SECONDS - 0.1)
    assert busy == waits
    assert not after_a_look(again, now=104.0, locked=False, quiet_for=QUIET_SECONDS)
    assert not after_reading(again, Reading(104.0), both("a"), in_force(other()), NAMED)


@pytest.mark.parametrize(
    ("seen", "before"),
    [(Reading(100.0, whole=True), in_force(other())), (Reading(100.0), in_force())],
    ids=["a folder that is exchanged as a whole", "the first reading"],
)
def test_an_account_whose_files_are_complete_does_not_wait(seen: Reading, before: Accepted) -> None:
    """Nothing waits where a folder is complete at any time, or where nothing was in force before."""
    assert not after_reading(Waits(), seen, before, both("a"), NAMED)
