"""What a replica writes of accounts, and what it leaves to others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import cast

import pytest

from disks import START, StandingClock
from memory_coordination import Database, MemoryCoordination, shared
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import Past
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    DeviceId,
    Outcome,
    PassId,
    Pause,
    Result,
    Revision,
)
from reconciler.core.protection import Stated
from reconciler.core.replicas import Member, MemberId
from reconciler.core.windows import Opening
from reconciler.state import State
from reconciler.state.coordination import Acceptance
from reconciler.state.fencing import FencedWriter
from reconciler.state.port import Asked, Storage
from reconciler.state.records import ChangesSaved, Fence, Group
from reconciler.state.sqlite.storage import SqliteStorage

HOTEL, ME, OTHER = AccountName("hotel"), MemberId("me"), MemberId("other")
ONE, PASS = DeviceId("one"), PassId("pass")
NOBODY: frozenset[DeviceId] = frozenset()


@dataclass
class Owner:
    """A ``Tenure`` that reads the tables when a fence fails, as a replica does."""

    coordination: MemoryCoordination
    fences: dict[AccountName, Fence] = field(default_factory=dict)
    plans: dict[AccountName, Fence] = field(default_factory=dict)
    stale: set[AccountName] = field(default_factory=set)
    meanwhile: Callable[[], None] | None = None

    def known(self) -> Mapping[AccountName, Fence]:
        """Return what is owned."""
        return self.fences

    def planned(self) -> Mapping[AccountName, Fence]:
        """Return what plans are made on."""
        return self.plans

    def failed(self, accounts: frozenset[AccountName]) -> frozenset[AccountName]:
        """Read what is true now."""
        self.stale |= accounts
        now = self.coordination.ownership.owned(ME)
        self.fences = {one: now[one] for one in self.fences if one in now}
        owned = accounts & self.fences.keys()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return owned


class World:
    """One replica that owns one account of a shared database."""

    def __init__(self) -> None:
        self.database = Database(SqliteStorage.in_memory(StandingClock()), StandingClock().now)
        tables = self.tables = MemoryCoordination(self.database)
        for one in (ME, OTHER):
            tables.members.join(Member(one, "pod", "1", 45.0))
        epoch = tables.source.take(ME)
        assert epoch is not None
        managed = frozenset({HOTEL})
        tables.source.accept(ME, epoch, Acceptance(managed, managed, b"", START))
        self.owner = Owner(tables, dict(tables.ownership.take(ME, 1).fences))
        self.owner.plans = dict(self.owner.fences)
        self.state = State(shared(self.database), StandingClock(), tenure=self.owner)

    def intends(self) -> None:
        """Write an intent down."""
        change = Change(HOTEL, Action.UNSUBSCRIBE, ONE)
        self.state.changes.intend(HOTEL, PASS, [change], NOBODY, Revision("a" * 64), START)

    def ends(self, status: int | None, pass_id: PassId = PASS) -> None:
        """Write down how the call ended."""
        change = Change(HOTEL, Action.UNSUBSCRIBE, ONE)
        result = Result.SUCCESS if status == 200 else Result.FAILED
        outcome = Outcome(change, result, START + timedelta(seconds=1), status=status)
        self.state.changes.record(HOTEL, pass_id, [outcome], {}, START)

    def taken_by_another(self) -> None:
        """Let another replica own the account."""
        self.tables.ownership.shed({HOTEL: self.owner.fences[HOTEL].epoch}, ME)
        assert self.tables.ownership.take(OTHER, 1).fences

    def written(self) -> list[Result | None]:
        """Return the result of each change that the database has."""
        return [past.result for past in self.database.storage.changes(Asked(), 10)]


@pytest.fixture
def world() -> World:
    """Return a replica with its account."""
    return World()


def test_an_owner_writes_what_it_does(world: World) -> None:
    """An intent is there before its call, and its end afterwards."""
    world.intends()
    assert world.written() == [None]
    world.ends(200)
    assert world.written() == [Result.SUCCESS]
    assert not world.owner.stale


def test_an_intent_by_an_older_plan_is_not_written(world: World) -> None:
    """After a pause elsewhere the plan counts no more, and the account is still owned."""
    override = PauseOverride(Pause.ALL, START + timedelta(hours=1), "why")
    world.tables.commands.pause(HOTEL, override, START)
    world.intends()
    assert world.written() == []
    assert world.owner.stale == {HOTEL}
    assert HOTEL in world.owner.fences
    assert not world.state.waits
    world.state.changes.withdraw(HOTEL, PASS, [ONE])
    world.intends()  # what is true is known by now, and the plan is still the older one
    assert world.written() == []
    world.state.changes.withdraw(HOTEL, PASS, [ONE])
    world.owner.plans = dict(world.owner.fences)
    world.intends()
    assert world.written() == [None]


def test_an_intent_that_was_withdrawn_while_nothing_could_be_written_does_not_come_back(
    world: World,
) -> None:
    """Both wait, and are written in their order: nothing of the call that was never made is left."""
    world.database.away = "it shuts down"
    world.intends()
    world.state.changes.withdraw(HOTEL, PASS, [ONE])
    assert world.state.waits
    world.database.away = ""
    world.state.flush()
    assert not world.state.waits
    assert world.written() == []


def test_an_older_call_is_over_whether_the_next_one_may_be_made_or_not(world: World) -> None:
    """Nobody hears of its end any more, and no later owner takes it for a call that is still under way."""
    world.intends()
    override = PauseOverride(Pause.ALL, START + timedelta(hours=1), "why")
    world.tables.commands.pause(HOTEL, override, START)
    change = Change(HOTEL, Action.SUBSCRIBE, ONE)
    world.state.changes.intend(HOTEL, PassId("next"), [change], NOBODY, Revision("a" * 64), START)
    assert world.written() == [Result.FAILED]
    assert not world.database.storage.account(HOTEL, START).open


def test_an_end_needs_the_owner_only(world: World) -> None:
    """A call that was made before a pause is written down with its end after it."""
    world.intends()
    override = PauseOverride(Pause.ALL, START + timedelta(hours=1), "why")
    world.tables.commands.pause(HOTEL, override, START)
    world.ends(200)
    assert world.written() == [Result.SUCCESS]
    assert world.state.accounts.knows(HOTEL)
    assert world.state.accounts.recall(HOTEL, START).unsubscribed == {ONE}


@pytest.mark.parametrize(("status", "result"), [(200, Result.SUCCESS), (None, None)])
def test_only_an_answer_of_lg_closes_an_intent_of_a_lost_account(
    world: World, status: int | None, result: Result | None
) -> None:
    """Whoever lost the account closes its own intent where LG answered, and writes nothing else."""
    world.intends()
    world.taken_by_another()
    world.ends(status)
    assert world.written() == [result]
    assert not world.state.waits
    assert not world.state.accounts.knows(HOTEL)


def test_a_call_of_another_pass_is_left_open_by_who_lost_the_account(world: World) -> None:
    """Only what LG answered is known for sure: what became of the call before it, the new owner finds out."""
    world.intends()
    world.taken_by_another()
    world.ends(200, PassId("next"))
    assert sorted(world.written(), key=str) == [None, Result.SUCCESS]


def test_an_account_that_is_lost_between_two_writes_is_lost(world: World) -> None:
    """It was still owned when the fence was read again, and is no more when the write is repeated."""
    world.intends()
    override = PauseOverride(Pause.ALL, START + timedelta(hours=1), "why")
    world.tables.commands.pause(HOTEL, override, START)
    world.owner.meanwhile = world.taken_by_another
    world.ends(200)
    assert world.written() == [Result.SUCCESS]
    assert not world.state.accounts.knows(HOTEL)
    assert not world.state.waits


def test_a_lost_account_is_read_anew(world: World) -> None:
    """What another owner wrote is known as soon as the account is owned again."""
    world.intends()
    world.taken_by_another()
    world.intends()
    assert not world.state.accounts.knows(HOTEL)
    fence = dict(world.tables.ownership.owned(OTHER))[HOTEL]
    world.tables.ownership.shed({HOTEL: fence.epoch}, OTHER)
    world.owner.fences = dict(world.tables.ownership.take(ME, 1).fences)
    world.owner.plans = {HOTEL: replace(world.owner.fences[HOTEL])}
    world.ends(200)
    assert world.written() == [Result.SUCCESS]


def test_pauses_and_openings_that_others_ended_do_not_come_back(world: World) -> None:
    """A database that lost its last writes gets back what this replica wrote, and nothing that a person ended."""
    override = PauseOverride(Pause.ALL, START + timedelta(hours=1), "why")
    world.state.take_pauses({HOTEL: override})
    world.state.take_openings([Opening("office", "mark", START, override.until or START, "why")])
    world.state.protections.take(Stated({ONE: HOTEL}))
    world.state._storage.medium.doubts += 1
    world.state.flush()
    assert world.database.storage.pauses() == {}
    assert list(world.database.storage.opened(None, 10)) == []
    assert world.database.storage.protected() == {ONE: HOTEL}


class Fenced:
    """A storage in which no fence is true any more."""

    def __init__(self) -> None:
        self.written: list[Group] = []

    def write(
        self,
        groups: Iterable[Group],
        *,
        more: bool,
        fences: Mapping[AccountName, Fence] | None = None,
    ) -> frozenset[AccountName]:
        """Take what has no fence."""
        del more
        failing = frozenset(fences or {})
        self.written += [group for group in groups if group.about not in failing]
        return failing


class Patient(Owner):
    """A ``Tenure`` that finds an account still owned when its fence failed."""

    def failed(self, accounts: frozenset[AccountName]) -> frozenset[AccountName]:
        """Go on with it."""
        return accounts


@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize("lost", ["before", "at the fence", "at the second fence"])
def test_the_end_of_a_call_lasts_as_long_whoever_owns_the_account(
    world: World, lost: str, *, lasting: bool
) -> None:
    """That a device was unsubscribed survives a loss of power also where another owner has to hear of it."""
    none: dict[AccountName, Fence] = {}
    fence = none if lost == "before" else dict(world.owner.fences)
    kind = Patient if lost == "at the second fence" else Owner
    owner = kind(world.tables, fence, fence)
    world.taken_by_another()
    past = Past(
        *(HOTEL, ONE, Action.UNSUBSCRIBE, START, START, PASS),
        approved=False,
        result=Result.SUCCESS,
        status=200,
    )
    group = Group((ChangesSaved(HOTEL, (past,), ()),), lasting=lasting, account=HOTEL)
    storage = Fenced()
    lost_accounts = FencedWriter(cast("Storage", storage), owner).write([group], more=False)
    assert lost_accounts == {HOTEL}
    assert [(one.pasts, one.lasting) for one in storage.written] == [((past,), lasting)]
