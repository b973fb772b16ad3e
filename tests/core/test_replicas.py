"""How several replicas share the accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import Commit, Revision, Verified
from reconciler.core.replicas import (
    Descent,
    Exchanged,
    Lease,
    Member,
    MemberId,
    Renewals,
    Server,
    SourceWait,
    Watch,
    next_count,
    share,
    shortest_lease,
    timeline_of,
    unknown_calls,
)

ANN, BEN = MemberId("ann"), MemberId("ben")
THEIRS = Member(BEN, "pod", "1", 45.0)
ACCEPTED = Revision("a" * 64)
COMMIT = Commit("c" * 40, "Kim", "Wing B", datetime(2026, 11, 1, tzinfo=UTC), Verified.UNCHECKED)


@given(st.integers(0, 10_000), st.sets(st.text(max_size=4).map(MemberId), min_size=1, max_size=9))
def test_shares_are_even_and_together_they_are_all(accounts: int, live: set[MemberId]) -> None:
    """No account is left over, none is counted twice, and no replica has two more than another."""
    shares = [share(accounts, live, one) for one in live]
    assert sum(shares) == accounts
    assert max(shares) - min(shares) <= 1


def test_a_replica_that_is_not_a_member_has_no_share() -> None:
    """Whoever was declared dead may have nothing."""
    assert share(10, {BEN}, ANN) == 0


def test_the_shortest_lease_leaves_time_for_a_call() -> None:
    """Ten seconds of work, a margin on both sides, and the longest call."""
    assert shortest_lease(timedelta(seconds=15)) == timedelta(seconds=35)


def test_a_lease_counts_from_before_the_renewal_was_sent() -> None:
    """However late the answer comes, the others may have waited since the moment of sending."""
    lease = Lease(45.0, 15.0)
    assert not lease.lasts(0.0)
    lease.renewed(100.0)
    assert (lease.deadline, lease.lasts(144.9), lease.lasts(145.0)) == (145.0, True, False)
    assert (lease.allows_call(125.0), lease.allows_call(125.1)) == (True, False)
    lease.renewed(90.0)
    assert lease.deadline == 145.0
    lease.lost()
    assert not lease.allows_call(0.0)


def test_only_a_beat_that_stood_still_for_the_whole_lease_is_silent() -> None:
    """Every change of a beat begins the wait anew, and nobody judges himself."""
    watch = Watch(ANN)
    assert watch.look([THEIRS, replace(THEIRS, id=ANN)], 0.0) == ()
    still = replace(THEIRS, beat=1)
    for second in range(44, 89):
        assert watch.look([still], float(second)) == ()
    assert watch.look([still], 88.9) == ()
    assert watch.look([still, replace(THEIRS, id=ANN)], 89.0) == (still,)


def test_time_in_which_nobody_could_look_makes_nobody_silent() -> None:
    """While the database is away no beat is seen, so that time does not count; the rest of the lease does."""
    watch = Watch(ANN)
    for second in range(31):
        watch.look([THEIRS], float(second))
    for second in range(100, 115):
        assert watch.look([THEIRS], float(second)) == ()
    assert watch.look([THEIRS], 115.0) == (THEIRS,)


def test_a_replica_that_was_away_for_long_judges_nobody_at_once() -> None:
    """What was not seen for the whole lease by its own clock does not count."""
    watch = Watch(ANN)
    watch.look([], 0.0)
    assert watch.look([THEIRS], 1000.0) == ()


def test_the_longest_lease_that_was_seen_is_known() -> None:
    """After an exchange of the database nobody knows who may still act: the longest lease is waited for."""
    watch = Watch(ANN)
    watch.look([THEIRS, replace(THEIRS, id=MemberId("cy"), lease=90.0)], 0.0)
    watch.look([THEIRS], 1.0)
    assert watch.longest_lease == 90.0


def test_counts_grow_and_carry_the_timeline() -> None:
    """After a failover every count is higher than any of the timeline before."""
    first = next_count(0, 1)
    assert next_count(first, 1) == first + 1
    assert timeline_of(next_count(first + 1_000_000, 2)) == 2
    assert next_count(next_count(0, 5), 4) > next_count(0, 5)


def test_a_successor_counts_a_tenth_of_the_hour_and_at_most_six() -> None:
    """List calls that were never written count, as far as lists may have been made."""
    assert [unknown_calls(limit) for limit in (None, 5, 40, 1000)] == [0, 1, 4, 6]


@pytest.mark.parametrize(
    ("server", "beat", "why"),
    [
        (Server("one", 1), 5, None),
        (Server("one", 1), 6, None),
        (Server("one", 1), 4, Exchanged.BEAT),
        (Server("one", 1), 7, Exchanged.BEAT),
        (Server("one", 2), 5, Exchanged.TIMELINE),
        (Server("two", 1), 5, Exchanged.SYSTEM),
    ],
)
def test_an_exchanged_database_is_noticed(server: Server, beat: int, why: Exchanged | None) -> None:
    """A renewal without an answer may have been made; everything else is another database."""
    renewals = Renewals(Server("one", 1), 4)
    renewals.sending()
    renewals.sending()
    assert renewals.answered(server, beat) is why


def test_only_renewals_that_brought_no_answer_may_have_been_made() -> None:
    """Once one is answered those before it are known: a beat that is further ahead is of another database."""
    renewals = Renewals(Server("one", 1), 4)
    for _ in range(3):
        renewals.sending()
    assert renewals.answered(Server("one", 1), 6) is None
    assert renewals.beat == 6
    renewals.sending()
    assert renewals.answered(Server("one", 1), 8) is Exchanged.BEAT
    assert renewals.answered(Server("one", 1), 7) is None


@pytest.mark.parametrize(("blind", "counts"), [(10, True), (22, True), (23, False), (44, False)])
def test_time_between_two_looks_counts_up_to_half_a_lease(blind: int, *, counts: bool) -> None:
    """After a longer one, the rest of the lease has to pass in sight."""
    watch = Watch(ANN)
    for second in range(20):
        watch.look([THEIRS], float(second))
    ends = 45 if counts else 45 + blind
    for second in range(19 + blind, ends):
        assert watch.look([THEIRS], float(second)) == ()
    assert watch.look([THEIRS], float(ends)) == (THEIRS,)


def test_a_source_with_equal_files_of_another_commit_has_changed() -> None:
    """Somebody pushed since, so what it shows is meant."""
    wait = SourceWait(ACCEPTED, {"b" * 64})
    assert not wait.look(Revision("b" * 64, COMMIT), None, 0.0)
    assert not wait.look(Revision("b" * 64, COMMIT), None, 1.0)
    assert wait.look(Revision("b" * 64, replace(COMMIT, id="9" * 40)), None, 2.0)


def test_an_older_source_waits_until_it_shows_something_newer() -> None:
    """What equals an earlier revision waits; what nobody has read yet comes into force."""
    wait = SourceWait(ACCEPTED, {"b" * 64})
    assert not wait.look(Revision("b" * 64), None, 0.0)
    assert wait.waits
    assert not wait.look(Revision("b" * 64), None, 299.0)
    assert wait.look(Revision("d" * 64), None, 299.5)
    assert not wait.waits


@pytest.mark.parametrize(
    ("found", "descent"),
    [("d", None), ("e", Descent.ANCESTOR), ("e", Descent.UNKNOWN), ("d", Descent.NEWER)],
)
def test_a_source_that_shows_one_older_revision_after_the_other_waits(
    found: str, descent: Descent | None
) -> None:
    """A change alone does not end the wait, and it does not begin anew either; the newest revision ends it."""
    wait = SourceWait(ACCEPTED, {"b" * 64, "d" * 64})
    assert not wait.look(Revision("b" * 64), None, 0.0)
    assert not wait.look(Revision(found * 64), descent, 299.0)
    assert wait.waits
    assert wait.look(Revision(found * 64), descent, 300.0)
    wait = SourceWait(ACCEPTED, {"b" * 64})
    assert not wait.look(Revision("b" * 64), None, 0.0)
    assert wait.look(ACCEPTED, None, 1.0)
    assert wait.look(Revision("b" * 64), None, 2.0)


@pytest.mark.parametrize("ends", ["time", "person"])
def test_a_wait_for_the_source_ends(ends: str) -> None:
    """A wait lasts five minutes, or until a person says otherwise."""
    wait = SourceWait(ACCEPTED, {"b" * 64})
    assert not wait.look(Revision("b" * 64), None, 0.0)
    if ends == "person":
        wait.end()
    assert wait.look(Revision("b" * 64), None, 300.0 if ends == "time" else 1.0)


@pytest.mark.parametrize(
    ("descent", "comes"),
    [(Descent.ANCESTOR, False), (Descent.UNKNOWN, False), (Descent.NEWER, True), (None, True)],
)
def test_an_ancestor_of_the_accepted_commit_waits(descent: Descent | None, *, comes: bool) -> None:
    """An older commit waits, and so does a clone that does not have the accepted one."""
    wait = SourceWait(replace(ACCEPTED, commit=COMMIT), frozenset())
    assert wait.look(Revision("e" * 64), descent, 0.0) is comes


@pytest.mark.parametrize("accepted", [None, ACCEPTED])
def test_the_accepted_revision_waits_for_nothing(accepted: Revision | None) -> None:
    """What is accepted already, or the first revision of all, comes into force at once, and so does all after it."""
    wait = SourceWait(accepted, {"b" * 64})
    assert wait.look(ACCEPTED, None, 0.0)
    assert wait.look(Revision("b" * 64), None, 1.0)
