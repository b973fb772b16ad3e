"""What every coordination must do, whichever database is shared.

Each test runs against each implementation of ``coordination.Coordination``. A new one is added to ``DATABASES``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from disks import START, StandingClock
from memory_coordination import Database, MemoryCoordination, shared
from postgres import Postgres
from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import Past
from reconciler.core.model import AccountName, Action, DeviceId, PassId, Pause, Revision
from reconciler.core.replicas import Member, MemberId
from reconciler.core.windows import Ending, Opening
from reconciler.state.coordination import Acceptance, Coordination, StatusRow, What
from reconciler.state.pauses import EVERYWHERE
from reconciler.state.port import Asked, Storage
from reconciler.state.postgres.coordination import PostgresCoordination
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.records import (
    ChangesSaved,
    DevicesMoved,
    DocumentSaved,
    Fence,
    Group,
    ListChanged,
    Mark,
    NamesSaved,
    QuotaSaved,
)
from reconciler.state.sqlite.storage import SqliteStorage

ANN, BEN = MemberId("ann"), MemberId("ben")
HOTEL, CLINIC, DEPOT = AccountName("hotel"), AccountName("clinic"), AccountName("depot")
ALL = frozenset({HOTEL, CLINIC, DEPOT})
NOBODY: frozenset[DeviceId] = frozenset()
NO_ACCOUNT: frozenset[AccountName] = frozenset()
ONE = DeviceId("one")
PAUSED = PauseOverride(Pause.ALL, START + timedelta(days=30_000), "stock-taking", "Kim")


@dataclass
class Replica:
    """What one replica has of the shared database."""

    coordination: Coordination
    storage: Storage

    def joins(self, member: MemberId) -> None:
        """Join, with a lease of 45 seconds."""
        self.coordination.members.join(Member(member, f"pod {member}", "1", 45.0))

    def renews(self, member: MemberId) -> int | None:
        """Renew a lease; return the beat."""
        renewal = asyncio.run(self.coordination.members.renew(member))
        return None if renewal is None else renewal.beat

    def reads(self, member: MemberId) -> int:
        """Take the source; return the epoch."""
        epoch = self.coordination.source.take(member)
        assert epoch is not None
        return epoch

    def accepts(
        self,
        member: MemberId,
        epoch: int,
        *,
        managed: frozenset[AccountName] | None = None,
        changed: frozenset[AccountName] | None = None,
        retired: frozenset[AccountName] = frozenset(),
    ) -> bool:
        """Accept a revision that changes all accounts, except where something else is said."""
        managed, changed = managed or ALL, ALL if changed is None else changed
        acceptance = Acceptance(managed, changed, b"verdict", START, frozenset({"a" * 64}), retired)
        return self.coordination.source.accept(member, epoch, acceptance)

    def takes(self, member: MemberId, most: int = 10) -> dict[AccountName, Fence]:
        """Take accounts."""
        return dict(self.coordination.ownership.take(member, most).fences)

    def owns(self, member: MemberId) -> dict[AccountName, Fence]:
        """Return what a member owns."""
        return dict(self.coordination.ownership.owned(member))


def in_memory(_folder: Path) -> Callable[[], Replica]:
    """Return how a replica reaches a new database in memory."""
    database = Database(SqliteStorage.in_memory(StandingClock()), lambda: START)
    return lambda: Replica(MemoryCoordination(database), shared(database))


def in_postgres(url: str) -> Callable[[], Replica]:
    """Return how a replica reaches a new database of PostgreSQL."""
    return lambda: Replica(PostgresCoordination.at(url), PostgresStorage.open(url, StandingClock()))


DATABASES: dict[str, Callable[[Path, pytest.FixtureRequest], Callable[[], Replica]]] = {
    "memory": lambda folder, _: in_memory(folder),
    "PostgreSQL": lambda _, request: in_postgres(request.getfixturevalue("postgresql").fresh()),
}


@pytest.fixture(params=list(DATABASES))
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    """Return two replicas, Ann's and Ben's, that share each database in turn."""
    opened = DATABASES[request.param](tmp_path, request)
    ann, ben = opened(), opened()
    yield ann, ben
    for one in (ann, ben):
        one.coordination.close()
        one.storage.medium.close()


@pytest.fixture
def ann(replicas: tuple[Replica, Replica]) -> Replica:
    """Return Ann's replica. She has joined, reads the source, and accepted three accounts."""
    mine = replicas[0]
    mine.joins(ANN)
    assert mine.accepts(ANN, mine.reads(ANN))
    return mine


@pytest.fixture
def ben(ann: Replica, replicas: tuple[Replica, Replica]) -> Replica:
    """Return Ben's replica. He has joined after Ann."""
    del ann
    replicas[1].joins(BEN)
    return replicas[1]


def listed(account: AccountName, device: DeviceId = ONE) -> Group:
    """Return a write of one account."""
    return Group((ListChanged(account, frozenset({device}), NOBODY),), account=account)


def live(replica: Replica, account: AccountName) -> frozenset[DeviceId]:
    """Return what is expected to be live."""
    return replica.storage.account(account, START).expected.get()


def test_each_renewal_is_one_beat(ann: Replica) -> None:
    """A beat grows by one with every renewal, and everybody sees it."""
    assert (ann.renews(ANN), ann.renews(ANN)) == (1, 2)
    assert [(one.id, one.beat, one.lease) for one in ann.coordination.members.living()] == [
        (ANN, 2, 45.0)
    ]


def test_a_renewal_tells_the_time_of_the_database_and_that_something_changed(ann: Replica) -> None:
    """The renewal has the clock that all share, and a number that grows with what there is to read."""
    before = asyncio.run(ann.coordination.members.renew(ANN))
    ann.coordination.commands.ask(What.FETCH, (), "Kim", START)
    after = asyncio.run(ann.coordination.members.renew(ANN))
    assert before is not None
    assert after is not None
    assert after.changes > before.changes
    assert after.now.tzinfo is not None
    assert after.server == before.server


def test_a_member_that_beat_again_is_not_declared_dead(ann: Replica, ben: Replica) -> None:
    """Only the beat that was seen for the whole lease may be the last one."""
    ann.renews(ANN)
    assert not ben.coordination.members.declare_dead(ANN, 0)
    assert ann.renews(ANN) == 2
    assert ben.coordination.members.declare_dead(ANN, 2)
    assert not ben.coordination.members.declare_dead(ANN, 2)


def test_a_dead_member_never_lives_again(ann: Replica, ben: Replica) -> None:
    """Whoever was declared dead renews nothing and takes nothing."""
    assert ben.coordination.members.declare_dead(ANN, 0)
    assert ann.renews(ANN) is None
    assert ann.takes(ANN) == {}
    assert ann.coordination.source.take(ANN) is None
    assert [one.id for one in ben.coordination.members.living()] == [BEN]


def test_a_dead_member_brings_nothing_into_force(ann: Replica, ben: Replica) -> None:
    """It read the source while it lived; what it read then may be older than what is in force by now."""
    epoch, before = ann.reads(ANN), ben.coordination.source.verdict()
    assert ben.coordination.members.declare_dead(ANN, 0)
    assert not ann.accepts(ANN, epoch)
    assert ben.coordination.source.verdict() == before
    assert ben.accepts(BEN, ben.reads(BEN))


@pytest.mark.parametrize("has", ["accounts", "source"])
def test_what_a_dead_member_had_is_free_however_many_joined_since(
    has: str, ann: Replica, ben: Replica
) -> None:
    """A member is remembered as dead for as long as something says that it is the owner."""
    epoch = ann.reads(ANN)
    if has == "accounts":
        ann.takes(ANN)
        ann.coordination.source.shed(ANN, epoch)
    ben.coordination.members.leave(ANN)
    for name in ("third", "fourth"):
        ben.joins(MemberId(name))
    assert ben.takes(BEN).keys() == ALL
    assert ben.reads(BEN) > epoch


def test_what_rests_on_an_earlier_term_of_the_same_owner_counts_no_more(ann: Replica) -> None:
    """Whoever lost an account and has it again does not go on with what it knew before."""
    before = ann.takes(ANN)
    ann.coordination.ownership.shed({HOTEL: before[HOTEL].epoch}, ANN)
    assert ann.takes(ANN)[HOTEL].epoch > before[HOTEL].epoch
    ann.coordination.ownership.shed({HOTEL: before[HOTEL].epoch}, ANN)
    assert ann.owns(ANN).keys() == ALL
    ann.coordination.commands.report([row(HOTEL, "held"), row(CLINIC, "in_sync")], before)
    assert [one.account for one in ann.coordination.commands.reports()] == [CLINIC]
    used = {HOTEL: frozenset({"a"}), CLINIC: frozenset({"b"})}
    assert ann.coordination.tokens.note(used, before) == {CLINIC: {}}
    assert ann.storage.write([listed(HOTEL), listed(CLINIC)], fences=before) == {HOTEL}
    assert ann.coordination.ownership.failing(before) == {HOTEL}


def test_the_source_of_an_earlier_term_is_not_the_source(ann: Replica) -> None:
    """What was read before the source was given up may be older than what another reader brought into force."""
    before = ann.reads(ANN)
    ann.coordination.source.shed(ANN, before)
    now = ann.reads(ANN)
    assert now > before
    ann.coordination.source.shed(ANN, before)
    assert ann.reads(ANN) == now
    assert not ann.accepts(ANN, before)
    assert ann.accepts(ANN, now)


def test_accounts_are_taken_in_the_order_of_their_names_and_by_one_only(
    ann: Replica, ben: Replica
) -> None:
    """A second replica gets what the first one left."""
    assert list(ann.takes(ANN, 2)) == [CLINIC, DEPOT]
    assert list(ben.takes(BEN, 2)) == [HOTEL]
    assert ann.takes(ANN) == {}
    assert ann.owns(ANN).keys() == {CLINIC, DEPOT}
    assert ann.coordination.ownership.count() == 3


def test_the_accounts_of_a_dead_member_are_taken_with_a_higher_epoch(
    ann: Replica, ben: Replica
) -> None:
    """The epoch of an account grows whenever another owner takes it."""
    before = ann.takes(ANN)
    assert ben.takes(BEN) == {}
    ben.coordination.members.leave(ANN)
    after = ben.takes(BEN)
    assert after.keys() == ALL
    assert all(after[name].epoch > before[name].epoch for name in ALL)


def test_what_is_shed_is_free_and_what_another_took_meanwhile_is_not(
    ann: Replica, ben: Replica
) -> None:
    """Shedding frees an account only in the epoch in which it was owned."""
    mine = ann.takes(ANN)
    ann.coordination.ownership.shed({HOTEL: mine[HOTEL].epoch}, ANN)
    theirs = ben.takes(BEN)
    assert theirs.keys() == {HOTEL}
    ann.coordination.ownership.shed({HOTEL: theirs[HOTEL].epoch}, ANN)
    ann.coordination.ownership.shed({HOTEL: mine[HOTEL].epoch}, ANN)
    assert ben.owns(BEN).keys() == {HOTEL}


def test_a_write_after_another_took_the_account_is_refused(ann: Replica, ben: Replica) -> None:
    """An old owner writes nothing of an account, and all of the others."""
    mine = ann.takes(ANN)
    ann.coordination.ownership.shed({HOTEL: mine[HOTEL].epoch}, ANN)
    ben.takes(BEN)
    fenced = ann.storage.write([listed(HOTEL), listed(CLINIC)], fences=mine)
    assert fenced == {HOTEL}
    assert (live(ben, HOTEL), live(ben, CLINIC)) == (NOBODY, frozenset({ONE}))
    assert ann.coordination.ownership.failing(mine) == {HOTEL}


@pytest.mark.parametrize("pauses", [False, True])
def test_a_write_is_refused_after_another_revision_or_pause(
    ann: Replica, ben: Replica, *, pauses: bool
) -> None:
    """A plan on an older revision, or from before a pause, writes nothing until it is read anew."""
    mine = ann.takes(ANN)
    if pauses:
        ben.coordination.commands.pause(HOTEL, PAUSED, START)
    else:
        assert ann.accepts(ANN, ann.reads(ANN), changed=frozenset({HOTEL}))
    assert ann.storage.write([listed(HOTEL)], fences=mine) == {HOTEL}
    assert ann.coordination.ownership.failing(mine) == {HOTEL}
    assert live(ann, HOTEL) == NOBODY
    now = ann.owns(ANN)
    assert now[HOTEL].epoch == mine[HOTEL].epoch
    assert now[HOTEL] != mine[HOTEL]
    assert now[CLINIC] == mine[CLINIC]
    assert ann.storage.write([listed(HOTEL)], fences=now) == frozenset()
    assert live(ann, HOTEL) == {ONE}


def test_everything_of_a_fenced_account_is_refused(ann: Replica) -> None:
    """Whatever kind of record a group of an account holds, it stays out together with the others."""
    past = Past(HOTEL, ONE, Action.SUBSCRIBE, START, START, PassId("pass"))
    moved = DevicesMoved(HOTEL, Mark(Revision("a" * 64), START), frozenset({ONE}), NOBODY)
    stale = {HOTEL: replace(ann.takes(ANN)[HOTEL], generation=-1)}
    groups = [Group((ChangesSaved(HOTEL, (), (past,)),)), Group((moved,)), listed(HOTEL)]
    assert ann.storage.write(groups, fences=stale) == {HOTEL}
    assert (list(ann.storage.changes(Asked(), 10)), live(ann, HOTEL)) == ([], NOBODY)
    assert ann.storage.account(HOTEL, START).inventory.get() == NOBODY


def test_a_pause_of_all_accounts_concerns_each(ann: Replica, ben: Replica) -> None:
    """A general pause is in force for every account at its commit, and its end ends every pause."""
    mine = ann.takes(ANN)
    ben.coordination.commands.pause(None, PAUSED, START)
    assert ann.storage.pauses() == {EVERYWHERE: PAUSED}
    assert ann.coordination.ownership.failing(mine) == ALL
    ben.coordination.commands.pause(HOTEL, PAUSED, START)
    ben.coordination.commands.pause(None, None, START)
    assert ann.storage.pauses() == {}


def test_a_window_that_is_opened_or_closed_concerns_each(ann: Replica, ben: Replica) -> None:
    """What any replica opens is open for all at the commit, and plans from before count no more."""
    mine = ann.takes(ANN)
    opening = Opening("office", "mark", START, START + timedelta(days=30_000), "why", "kim")
    assert not ben.coordination.commands.open_window("office", opening, START)
    assert list(ann.storage.opened(None, 10)) == [opening]
    assert ann.coordination.ownership.failing(mine) == ALL
    later = START + timedelta(hours=1)
    again = replace(opening, at=later)
    assert ben.coordination.commands.open_window("office", again, later)
    assert list(ann.storage.opened(None, 10)) == [again]
    mine = ann.owns(ANN)
    assert ann.coordination.commands.open_window("office", None, later)
    assert not ann.coordination.commands.open_window("office", None, later)
    assert list(ben.storage.opened(None, 10)) == []
    assert ann.coordination.ownership.failing(mine) == ALL
    endings = [one.ended_by for one in ben.storage.opened(START, 10)]
    assert endings == [Ending.CLOSED, Ending.REOPENED]


@pytest.mark.parametrize("name", [HOTEL, None])
def test_a_pause_that_is_over_gives_way_to_another(
    name: AccountName | None, ann: Replica, ben: Replica
) -> None:
    """What ended is removed whenever a pause is set, and takes nothing of the new one with it."""
    over = PauseOverride(Pause.ALL, START + timedelta(minutes=1), "over")
    now = START + timedelta(hours=1)
    for one in (name, CLINIC):
        ann.coordination.commands.pause(one, over, START)
    again = PauseOverride(Pause.ALL, now + timedelta(hours=1), "again")
    ben.coordination.commands.pause(name, again, now)
    assert ann.storage.pauses() == {EVERYWHERE if name is None else name: again}
    ben.coordination.commands.pause(DEPOT, PAUSED, now + timedelta(hours=1))
    assert ann.storage.pauses() == {DEPOT: PAUSED}


def test_a_window_is_closed_alone_and_only_while_it_is_open(ann: Replica) -> None:
    """Another window stays open, and one that ended with its time is left as it ended."""
    commands, later = ann.coordination.commands, START + timedelta(hours=2)
    office = Opening("office", "mark", START, START + timedelta(hours=1), "why", "kim")
    night = replace(office, window="night", until=START + timedelta(hours=9))
    for one in (office, night):
        assert not commands.open_window(one.window, one, START)
    assert not commands.open_window("office", None, later)
    assert set(ann.storage.opened(None, 10)) == {office, night}
    assert commands.open_window("night", None, later)
    assert list(ann.storage.opened(None, 10)) == [office]


def test_everything_that_others_have_to_read_is_counted(ann: Replica) -> None:
    """The number that each renewal shows grows with every command, pause, window and revision."""
    commands, epoch = ann.coordination.commands, ann.reads(ANN)
    opening = Opening("office", "mark", START, START + timedelta(days=1), "why")
    steps: dict[str, Callable[[], object]] = {
        "reconcile": lambda: commands.ask(What.RECONCILE, [HOTEL], "Kim", START),
        "fetch": lambda: commands.ask(What.FETCH, (), "Kim", START),
        "pause": lambda: commands.pause(HOTEL, PAUSED, START),
        "end of a pause": lambda: commands.pause(HOTEL, None, START),
        "pause of all": lambda: commands.pause(None, PAUSED, START),
        "window opened": lambda: commands.open_window("office", opening, START),
        "window closed": lambda: commands.open_window("office", None, START),
        "revision": lambda: ann.accepts(ANN, epoch, changed=NO_ACCOUNT),
    }
    unseen = []
    for name, step in steps.items():
        before = changes_of(ann)
        step()
        if changes_of(ann) <= before:
            unseen.append(name)
    assert unseen == []


def test_revisions_of_the_last_day_are_earlier_ones(ann: Replica) -> None:
    """By them a replica knows an older revision; after a day nobody has it any more."""
    renewal = asyncio.run(ann.coordination.members.renew(ANN))
    assert renewal is not None
    earlier, hour = ann.coordination.source.earlier, timedelta(hours=1)
    assert earlier(renewal.now) == earlier(renewal.now + 23 * hour) == {"a" * 64}
    assert earlier(renewal.now + 25 * hour) == frozenset()


def test_the_source_has_one_reader(ann: Replica, ben: Replica) -> None:
    """Nobody else reads the source while its reader lives; afterwards the epoch is higher."""
    epoch = ann.reads(ANN)
    assert ann.reads(ANN) == epoch
    assert ben.coordination.source.take(BEN) is None
    assert not ben.accepts(BEN, epoch)
    ann.coordination.source.shed(ANN, epoch)
    later = ben.reads(BEN)
    assert later > epoch
    assert not ann.accepts(ANN, epoch)
    assert not ann.accepts(ANN, later)


def test_what_is_accepted_is_there_for_everybody(ann: Replica, ben: Replica) -> None:
    """Documents, verdict, digests and new accounts come with one commit."""
    content = b"version = 1"
    saved = DocumentSaved("a.toml", Revision("b" * 64), {"a.toml": "c" * 64}, {"c" * 64: content})
    before = ben.coordination.source.verdict()
    acceptance = Acceptance(
        ALL | {AccountName("new")},
        NO_ACCOUNT,
        b"other",
        START,
        frozenset({"b" * 64, "c" * 64}),
        groups=(Group((saved,)),),
    )
    assert ann.coordination.source.accept(ANN, ann.reads(ANN), acceptance)
    after = ben.coordination.source.verdict()
    assert after.serial > before.serial
    assert (after.content, before.content) == (b"other", b"verdict")
    assert [one.document for one in ben.storage.documents()] == ["a.toml"]
    assert ben.coordination.ownership.count() == 4
    assert {"a" * 64, "b" * 64, "c" * 64} <= ben.coordination.source.earlier(START)


def test_what_was_in_force_a_moment_ago_is_as_young_as_that(ann: Replica) -> None:
    """A digest counts from when it was replaced, however long ago it was accepted; its copies come back for a day."""
    epoch = ann.reads(ANN)
    between = asyncio.run(ann.coordination.members.renew(ANN))
    assert between is not None
    assert ann.accepts(ANN, epoch)
    assert "a" * 64 in ann.coordination.source.earlier(between.now + timedelta(days=1))


def test_a_command_accepts_for_the_replicas_that_come_later(ann: Replica, ben: Replica) -> None:
    """Where no replica lives a revision comes into force as by a reader; where one lives nothing does."""
    mine, serial = ann.takes(ANN), ann.coordination.source.verdict().serial
    acceptance = Acceptance(ALL, frozenset({HOTEL}), b"other", START, frozenset({"b" * 64}))
    ann.coordination.members.leave(ANN)
    assert not ben.coordination.source.accept_alone(acceptance)
    assert ben.coordination.source.verdict().content == b"verdict"
    ben.coordination.members.leave(BEN)
    assert ann.coordination.source.accept_alone(acceptance)
    verdict = ann.coordination.source.verdict()
    assert (verdict.content, verdict.serial > serial) == (b"other", True)
    assert "b" * 64 in ann.coordination.source.earlier(START)
    third = MemberId("third")
    ben.joins(third)
    taken = ben.takes(third)
    changed = {one for one in ALL if taken[one].generation != mine[one].generation}
    assert changed == {HOTEL}


def test_an_account_that_left_is_nobodys(ann: Replica) -> None:
    """An account that is not in force any more is not owned, not counted, and cannot be taken."""
    ann.takes(ANN, 1)
    rest = frozenset({HOTEL})
    assert ann.accepts(ANN, ann.reads(ANN), managed=rest, changed=NO_ACCOUNT)
    assert ann.owns(ANN) == {}
    assert ann.takes(ANN).keys() == rest
    assert ann.coordination.ownership.count() == 1


def test_a_retired_account_is_forgotten_and_its_epoch_goes_on(ann: Replica) -> None:
    """What was known of a retired account is gone; should it come back, its epoch is higher."""
    mine = ann.takes(ANN)
    named = NamesSaved(HOTEL, START, {ONE: "oven"})
    ann.storage.write([listed(HOTEL), Group((named,))], fences=mine)
    assert ann.storage.once_called("oven", 10) == frozenset()
    rest = ALL - {HOTEL}
    epoch = ann.reads(ANN)
    assert ann.accepts(ANN, epoch, managed=rest, retired=frozenset({HOTEL}))
    assert live(ann, HOTEL) == NOBODY
    assert ann.storage.once_called("oven", 10) == {(HOTEL, ONE)}
    ann.coordination.ownership.shed({HOTEL: mine[HOTEL].epoch}, ANN)
    assert ann.accepts(ANN, epoch)
    assert ann.takes(ANN)[HOTEL].epoch > mine[HOTEL].epoch


def test_the_calls_of_an_account_that_left_count_when_it_comes_back(ann: Replica) -> None:
    """LG counts the calls of a user for an hour, also while no file names its account."""
    mine = ann.takes(ANN)
    ann.storage.write([Group((QuotaSaved(HOTEL, (1.0, 2.0), 10),))], fences=mine)
    epoch = ann.reads(ANN)
    assert ann.accepts(ANN, epoch, managed=ALL - {HOTEL}, retired=frozenset({HOTEL}))
    ann.coordination.ownership.shed({HOTEL: mine[HOTEL].epoch}, ANN)
    assert ann.accepts(ANN, epoch)
    assert HOTEL in ann.takes(ANN)
    known = ann.storage.account(HOTEL, START)
    assert (known.calls, known.calls_per_hour) == ((1.0, 2.0), 10)


def test_commands_wait_for_whoever_owns_their_account(ann: Replica, ben: Replica) -> None:
    """A command is a row for each account; what concerns the source waits for its reader."""
    commands = ben.coordination.commands
    now = datetime.now(UTC)
    commands.ask(What.RECONCILE, [HOTEL, CLINIC], "Kim", now)
    commands.ask(What.FETCH, (), "webhook", now)
    waiting = ann.coordination.commands.asked([HOTEL, DEPOT], source=True)
    assert [(one.account, one.what, one.by) for one in waiting] == [
        (HOTEL, What.RECONCILE, "Kim"),
        (EVERYWHERE, What.FETCH, "webhook"),
    ]
    ann.coordination.commands.done([one.id for one in waiting])
    assert ann.coordination.commands.asked([HOTEL], source=True) == []
    assert [one.account for one in commands.asked([CLINIC], source=False)] == [CLINIC]


def test_a_token_is_of_one_account(ann: Replica, ben: Replica) -> None:
    """A second account that uses it learns whose it is, at whichever replica, until the first uses another one."""
    mine, theirs = ann.takes(ANN, 2), ben.takes(BEN)
    ours, others = ann.coordination.tokens, ben.coordination.tokens
    assert ours.key() == others.key() != b""
    assert ours.note({CLINIC: frozenset({"a", "b"}), DEPOT: frozenset()}, mine) == {
        CLINIC: {},
        DEPOT: {},
    }
    assert others.note({HOTEL: frozenset({"b", "c"})}, theirs) == {HOTEL: {"b": CLINIC}}
    assert ours.note({CLINIC: frozenset({"a", "b"})}, mine) == {CLINIC: {}}
    changes = changes_of(ann)
    assert ours.note({CLINIC: frozenset({"a"})}, mine) == {CLINIC: {}}
    assert changes_of(ann) > changes
    assert others.note({HOTEL: frozenset({"b", "c"})}, theirs) == {HOTEL: {}}


def test_accounts_may_exchange_their_tokens(ann: Replica, ben: Replica) -> None:
    """Each gives its old token up, whether it gets the other one at once or not."""
    mine, theirs = ann.takes(ANN, 2), ben.takes(BEN)
    ours, others = ann.coordination.tokens, ben.coordination.tokens
    ours.note({CLINIC: frozenset({"a"}), DEPOT: frozenset({"d"})}, mine)
    others.note({HOTEL: frozenset({"b"})}, theirs)
    assert ours.note({CLINIC: frozenset({"b"})}, mine) == {CLINIC: {"b": HOTEL}}
    assert others.note({HOTEL: frozenset({"a"})}, theirs) == {HOTEL: {}}
    assert ours.note({CLINIC: frozenset({"b"})}, mine) == {CLINIC: {}}
    swapped = {CLINIC: frozenset({"d"}), DEPOT: frozenset({"b"})}
    assert ours.note(swapped, mine) == {CLINIC: {}, DEPOT: {}}


def test_a_token_is_noted_by_the_owner_and_free_when_its_account_left(
    ann: Replica, ben: Replica
) -> None:
    """Who owns an account no more notes nothing of it, and an account that left keeps no token from others."""
    mine = ann.takes(ANN)
    tokens = ann.coordination.tokens
    tokens.note({CLINIC: frozenset({"a"})}, mine)
    ann.coordination.ownership.shed({CLINIC: mine[CLINIC].epoch}, ANN)
    theirs = ben.takes(BEN)
    assert tokens.note({CLINIC: frozenset()}, mine) == {}
    assert ben.coordination.tokens.note({CLINIC: frozenset({"a"})}, theirs) == {CLINIC: {}}
    assert tokens.note({HOTEL: frozenset({"a"})}, mine) == {HOTEL: {"a": CLINIC}}
    assert ann.accepts(ANN, ann.reads(ANN), managed=ALL - {CLINIC}, changed=NO_ACCOUNT)
    assert tokens.note({HOTEL: frozenset({"a"})}, mine) == {HOTEL: {}}


def changes_of(replica: Replica) -> int:
    """Return the number of changes that replicas have to look at."""
    renewal = asyncio.run(replica.coordination.members.renew(ANN))
    assert renewal is not None
    return renewal.changes


def row(account: AccountName, condition: str, due: datetime = START) -> StatusRow:
    """Return what an owner says of an account."""
    return StatusRow(account, condition, b"{}", START, due)


def test_what_owners_say_is_shown_by_everybody(ann: Replica, ben: Replica) -> None:
    """The newest report of each account is there for all, unless another owner took the account."""
    mine = ann.takes(ANN)
    ann.coordination.commands.report([row(HOTEL, "held"), row(CLINIC, "in_sync")], mine)
    ann.coordination.ownership.shed({HOTEL: mine[HOTEL].epoch}, ANN)
    theirs = ben.takes(BEN)
    ben.coordination.commands.report([row(HOTEL, "stopped")], theirs)
    ann.coordination.commands.report([row(HOTEL, "in_sync")], mine)
    shown = {one.account: one.condition for one in ann.coordination.commands.reports()}
    assert shown == {HOTEL: "stopped", CLINIC: "in_sync"}


def test_accounts_that_nobody_owns_are_counted(ann: Replica, ben: Replica) -> None:
    """Free, of a dead member, or of a silent one: nobody works on such an account."""
    fleet = ann.coordination.ownership.fleet
    assert fleet(START).unowned == 3
    ann.takes(ANN, 2)
    ben.takes(BEN)
    assert fleet(START).unowned == 0
    assert fleet(START, {ANN}).unowned == 2
    ann.coordination.members.leave(BEN)
    assert (fleet(START).accounts, fleet(START).unowned) == (3, 1)


def test_the_account_that_is_longest_overdue_is_measured(ann: Replica) -> None:
    """An account is overdue since the pass that its last owner announced; accounts that left do not count."""
    mine, now = ann.takes(ANN), START + timedelta(days=40_000)
    assert ann.coordination.ownership.fleet(now).overdue > 0  # since it was taken
    rows = [row(name, "in_sync", now) for name in ALL - {HOTEL}]
    late = row(HOTEL, "in_sync", now - timedelta(minutes=5))
    ann.coordination.commands.report([*rows, late], mine)
    assert ann.coordination.ownership.fleet(now).overdue == 300.0
    assert ann.accepts(ANN, ann.reads(ANN), managed=ALL - {HOTEL}, changed=NO_ACCOUNT)
    assert ann.coordination.ownership.fleet(now).overdue == 0.0


async def test_postgres_says_at_once_that_something_changed(postgresql: Postgres) -> None:
    """Between two renewals a replica hears of a change, not of those in another schema, and of none that is dropped."""
    url, elsewhere = postgresql.fresh(), postgresql.fresh()
    ann, ben, kim = map(PostgresCoordination.at, (url, url, elsewhere))
    with closing(ann), closing(ben), closing(kim):
        heard = asyncio.Event()
        ann.members.listen(heard.set)
        ann.members.join(Member(ANN, "pod", "1", 45.0))
        assert await ann.members.renew(ANN) is not None
        kim.commands.ask(What.FETCH, (), "webhook", START)
        await asyncio.sleep(0.1)  # time for what must not be heard
        assert not heard.is_set()
        await asyncio.to_thread(ben.commands.ask, What.FETCH, (), "webhook", START)
        async with asyncio.timeout(60):
            await heard.wait()
        heard.clear()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COMMIT%'"
                " AND application_name = 'pcc-reconciler' AND pid <> pg_backend_pid()"
            )
        with pytest.raises(StateError):
            await ann.members.renew(ANN)
        assert await ann.members.renew(ANN) is not None
        await asyncio.to_thread(ben.commands.ask, What.FETCH, (), "webhook", START)
        async with asyncio.timeout(60):
            await heard.wait()
