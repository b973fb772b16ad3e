"""What is remembered of protection: through upgrades, and beside other replicas."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from disks import START, StandingClock
from postgres import Postgres
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Desired,
    Device,
    DeviceId,
    Observed,
    PassId,
    Revision,
)
from reconciler.core.protection import Stated
from reconciler.state import State
from reconciler.state.place import Place
from reconciler.state.postgres.connection import Server
from reconciler.state.postgres.migrations import MIGRATIONS, NEWEST, version
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.storage import SqliteStorage

HOTEL, CLINIC = AccountName("seoul-hotel"), AccountName("clinic")
ONE, TWO = DeviceId("one"), DeviceId("two")
PROTECTED = Desired(HOTEL, frozenset({ONE}), {ONE: Device(ONE, protected=True)})


def older(folder: Path, number: int) -> None:
    """Make the file of an earlier version."""
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as first:
        for step in tables.MIGRATIONS[:number]:
            for sql in step:
                first.execute(sql)
        first.execute(f"PRAGMA user_version = {number}")


def test_a_state_from_before_protection_is_read_and_gets_its_table(tmp_path: Path) -> None:
    """A reader finds nothing protected in an older file and leaves it alone; the first start adds the table."""
    for number in range(1, len(tables.MIGRATIONS)):
        folder = tmp_path / f"version-{number}"
        older(folder, number)
        reader = State.read_only(folder, StandingClock())
        assert reader.accounts.recall(HOTEL, START).protected == {}
        reader.close()
        state = State.open(folder, StandingClock())
        state.protections.keep(Stated({ONE: HOTEL}))
        state.close()
        again = State.read_only(folder, StandingClock())
        assert again.accounts.recall(CLINIC, START).protected == {ONE: HOTEL}
        again.close()


def test_a_postgresql_of_the_first_version_gets_its_table(postgresql: Postgres) -> None:
    """The tables of an earlier release are brought to this one, and protection is kept in them."""
    url = postgresql.fresh()
    server = Server.of(lambda: url, 10.0)
    with closing(server.connect()) as connection:
        for sql in MIGRATIONS[0]:
            connection.execute(sql)
        connection.execute(
            "CREATE TABLE state_version (one boolean PRIMARY KEY DEFAULT TRUE, version integer NOT NULL)"
        )
        connection.execute("INSERT INTO state_version (version) VALUES (1)")
    for _ in range(2):
        state = State.open(Place(Path("unused"), lambda: url), StandingClock())
        state.protections.keep(Stated({ONE: HOTEL, TWO: CLINIC}))
        state.close()
    reader = State.read_only(Place(Path("unused"), lambda: url), StandingClock())
    assert reader.protections.all() == {ONE: HOTEL, TWO: CLINIC}
    reader.close()
    with closing(server.connect()) as connection:
        assert version(connection) == NEWEST


def test_what_was_learned_while_the_tables_were_read_is_not_lost() -> None:
    """A replica that brings a revision into force meanwhile keeps what it protects, until it reads again."""
    state = State.in_memory(StandingClock())
    stored = state.stored_protection()
    state.protections.take(Stated({ONE: HOTEL}))
    state.take_protection(stored)
    assert state.protections.all() == {ONE: HOTEL}
    state.take_protection(state.stored_protection())
    assert state.protections.all() == {}


class Interrupted(SqliteStorage):
    """A storage that lets something happen after it was read."""

    meanwhile: Callable[[], None] | None = None

    def protected(self) -> dict[DeviceId, AccountName]:
        """Read, and then let it happen, once."""
        found = super().protected()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return found


def test_what_is_learned_in_the_middle_of_reading_is_not_lost() -> None:
    """The tables were read before it was written to them."""
    storage = Interrupted.in_memory(StandingClock())
    state = State(storage, StandingClock())
    assert state.protections.all() == {}
    storage.meanwhile = partial(state.protections.take, Stated({ONE: HOTEL}))
    state.take_protection(state.stored_protection())
    assert state.protections.all() == {ONE: HOTEL}


def test_an_unsubscribe_that_only_a_list_shows_ends_the_protection() -> None:
    """An approval named the device, and nobody heard LG's answer: it is not protected for ever."""
    clock = StandingClock()
    state = State.in_memory(clock)
    state.protections.keep(Stated({ONE: HOTEL, TWO: CLINIC}))
    changes = [Change(HOTEL, Action.UNSUBSCRIBE, device) for device in (ONE, TWO)]
    state.changes.intend(
        HOTEL, PassId("pass"), changes, frozenset({ONE, TWO}), Revision("a" * 64), START
    )
    observed = Observed(frozenset(), clock.wait(minutes=5))
    made = state.accounts.trust(HOTEL, observed, None, clock.at, observed.devices)
    assert {outcome.change.device for outcome in made} == {ONE, TWO}
    assert state.protections.all() == {TWO: CLINIC}
    assert state.stored_protection().protected == {TWO: CLINIC}


def test_what_was_lent_does_not_change() -> None:
    """A pass that is under way decides by what it was given at its beginning."""
    state = State.in_memory(StandingClock())
    state.protections.keep(Stated({ONE: HOTEL}))
    before = state.accounts.recall(HOTEL, START).protected
    state.protections.keep(Stated({TWO: HOTEL}, frozenset({ONE})))
    assert before == {ONE: HOTEL}
    assert state.accounts.recall(HOTEL, START).protected == {TWO: HOTEL}
