"""Moving a state from SQLite to PostgreSQL: it arrives whole, and nothing happens where it cannot."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from disks import START, StandingClock
from postgres import Postgres
from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import Past
from reconciler.core.model import (
    AccountName,
    Action,
    Commit,
    DeviceId,
    PassId,
    Pause,
    Reason,
    Result,
    Retry,
    Revision,
    Verified,
)
from reconciler.core.windows import Opening
from reconciler.state import records
from reconciler.state.moving import TABLES, move
from reconciler.state.place import Place
from reconciler.state.port import Asked
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.records import Group, Mark
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.storage import SqliteStorage

HOTEL, CLINIC = AccountName("seoul-hotel"), AccountName("clinic")
MADE = Revision(
    "b" * 64, Commit("c" * 40, "Kim <kim@example.com>", "Wing B", START, Verified.YES, dirty=True)
)
PAST = Past(
    HOTEL, DeviceId("gone"), Action.UNSUBSCRIBE, START, START, PassId("pass"), name="냉장고"
)


def ids(*names: str) -> frozenset[DeviceId]:
    """Return devices."""
    return frozenset(map(DeviceId, names))


def silent(_words: str) -> None:
    """Take what nobody reads."""


def filled(folder: Path) -> SqliteStorage:
    """Return a state with something in each table."""
    storage = SqliteStorage.open(folder, StandingClock())
    written = (
        records.AccountSaved(HOTEL, START, trusted=True, suspect_readings=2, credential="mark"),
        records.DevicesMoved(HOTEL, Mark(MADE, START), ids("one", "two", "É", "z"), frozenset()),
        records.NamesSaved(HOTEL, START, {DeviceId("one"): "a\0b"}),
        records.ListChanged(HOTEL, ids("one", "three"), frozenset()),
        records.ListChanged(CLINIC, ids("one"), frozenset()),
        records.ChangesSaved(
            HOTEL,
            (replace(PAST, result=Result.SUCCESS, revision=MADE),),
            (replace(PAST, device=DeviceId("open"), approved=True),),
        ),
        records.RetriesSaved(
            HOTEL, {DeviceId("x"): Retry(Action.SUBSCRIBE, Reason.RETRY, 1, START)}
        ),
        records.QuotaSaved(HOTEL, (1.5, 2.5), 60),
        records.ProtectionStated({DeviceId("one"): HOTEL, DeviceId("two"): CLINIC}),
        records.PauseSaved(CLINIC, PauseOverride(Pause.ALL, None, "night", "kim")),
        records.OpeningSaved(Opening("office", "mark", START, START, "why", "kim")),
        records.DocumentSaved("a.toml", MADE, {"a.toml": "d" * 64}, {"d" * 64: b"\0\xff"}),
    )
    storage.write([Group((one,)) for one in written])
    return storage


def test_every_table_arrives_whole(tmp_path: Path, postgresql: Postgres) -> None:
    """What the storage answers is the same afterwards, and each table has its rows."""
    source = filled(tmp_path)
    source.medium.close()
    url = postgresql.fresh()
    counts = move(Place(tmp_path, lambda: url), StandingClock(), silent)
    assert min(counts.values()) > 0
    assert counts["device"] == 6
    with (
        closing(SqliteStorage.read_only(tmp_path, StandingClock()).medium) as old,
        closing(PostgresStorage.read_only(url, StandingClock()).medium) as new,
    ):
        before = SqliteStorage(old)  # type: ignore[arg-type]
        after = PostgresStorage(new)  # type: ignore[arg-type]
        assert before.changes(Asked(), 10) == after.changes(Asked(), 10)
        assert (before.pauses(), before.contents()) == (after.pauses(), after.contents())
        assert before.documents() == after.documents()
        for account in (HOTEL, CLINIC):
            one, other = before.account(account, START), after.account(account, START)
            assert one.inventory.get() == other.inventory.get()
            assert one.expected.get() == other.expected.get()
            assert (one.open, one.calls) == (other.open, other.calls)
            assert one.retries.look() == other.retries.look()
        assert after.names(HOTEL, ids("one")) == {DeviceId("one"): "a\N{REPLACEMENT CHARACTER}b"}


def test_no_table_and_no_column_is_forgotten() -> None:
    """All that SQLite has is copied."""
    with closing(sqlite3.connect(":memory:")) as whole:
        for sql in (one for step in tables.MIGRATIONS for one in step):
            whole.execute(sql)
        names = [
            name for (name,) in whole.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        columns = {
            name: {row[1] for row in whole.execute(f"PRAGMA table_info({name})")} for name in names
        }
    assert {table.name: set(table.columns) for table in TABLES} == columns


def test_a_state_in_use_is_not_moved(tmp_path: Path, postgresql: Postgres) -> None:
    """A daemon that holds the file ends it before anything is made in PostgreSQL."""
    source = filled(tmp_path)
    url = postgresql.fresh()
    with pytest.raises(StateError, match="is held by process"):
        move(Place(tmp_path, lambda: url), StandingClock(), silent)
    source.medium.close()
    assert PostgresStorage.read_only(url, StandingClock()).empty


def test_a_database_in_use_takes_no_state(tmp_path: Path, postgresql: Postgres) -> None:
    """A replica whose beat grows ends it; one that shows no sign of life for its lease was killed."""
    filled(tmp_path).medium.close()
    url = postgresql.fresh()
    PostgresStorage.open(url, StandingClock()).medium.close()
    over = threading.Event()

    def beat() -> None:
        with psycopg.connect(url, autocommit=True) as member:
            while not over.wait(0.05):
                member.execute("UPDATE member SET beat = beat + 1")

    with psycopg.connect(url, autocommit=True) as member:
        member.execute(
            "INSERT INTO member (id, name, version, beat, lease) VALUES ('m', 'pod-1', '1', 1, 1200000)"
        )
    alive = threading.Thread(target=beat)
    alive.start()
    with pytest.raises(StateError, match="replica pod-1 uses PostgreSQL: stop all replicas first"):
        move(Place(tmp_path, lambda: url), StandingClock(), silent)
    over.set()
    alive.join()
    said: list[str] = []
    assert move(Place(tmp_path, lambda: url), StandingClock(), said.append)["pause"] == 1
    assert said[0] == "waiting up to 1 s to see whether a replica uses PostgreSQL"


def test_a_replica_that_joins_while_another_is_waited_for_is_not_overlooked(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """The one that was there shows no sign of life; the other one came meanwhile, and nothing is moved."""
    filled(tmp_path).medium.close()
    url = postgresql.fresh()
    PostgresStorage.open(url, StandingClock()).medium.close()

    def joins(name: str) -> None:
        with psycopg.connect(url, autocommit=True) as member:
            member.execute(
                "INSERT INTO member (id, name, version, beat, lease) VALUES (%s, %s, '1', 1, 1)",
                (name, f"pod of {name}"),
            )

    def meanwhile(words: str) -> None:
        if words.startswith("waiting"):
            joins("late")

    joins("early")
    with pytest.raises(StateError, match="replica pod of late uses PostgreSQL"):
        move(Place(tmp_path, lambda: url), StandingClock(), meanwhile)
    with psycopg.connect(url, autocommit=True) as other:
        assert other.execute("SELECT count(*) FROM device").fetchone() == (0,)
        assert other.execute("SELECT id FROM member WHERE NOT dead").fetchall() == [("late",)]


def test_a_database_with_a_state_keeps_it(tmp_path: Path, postgresql: Postgres) -> None:
    """A second move is refused."""
    filled(tmp_path).medium.close()
    url = postgresql.fresh()
    move(Place(tmp_path, lambda: url), StandingClock(), silent)
    with pytest.raises(StateError, match="already has a state"):
        move(Place(tmp_path, lambda: url), StandingClock(), silent)


def test_rows_that_differ_undo_everything(tmp_path: Path, postgresql: Postgres) -> None:
    """If PostgreSQL keeps something else than it was given, nothing of it stays."""
    filled(tmp_path).medium.close()
    url = postgresql.fresh()
    PostgresStorage.open(url, StandingClock()).medium.close()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "NEW.reason := 'other'; RETURN NEW; END $$"
        )
        other.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON pause FOR EACH ROW EXECUTE FUNCTION spoil()"
        )
    with pytest.raises(StateError, match="row 1 of table pause differs"):
        move(Place(tmp_path, lambda: url), StandingClock(), silent)
    with psycopg.connect(url, autocommit=True) as other:
        assert other.execute("SELECT count(*) FROM device").fetchone() == (0,)


@pytest.mark.parametrize(
    ("found", "words"), [("", "there is no state"), ("no database", "is damaged")]
)
def test_what_is_no_state_is_left_alone(
    found: str, words: str, tmp_path: Path, postgresql: Postgres
) -> None:
    """A folder without a state and a damaged file each end it with a sentence; the file stays where it is."""
    url = postgresql.fresh()
    if found:
        (tmp_path / "state.db").write_text(found * 100)
    with pytest.raises(StateError, match=words):
        move(Place(tmp_path, lambda: url), StandingClock(), silent)
    assert sorted(one.name for one in tmp_path.iterdir()) == (["state.db"] if found else [])
