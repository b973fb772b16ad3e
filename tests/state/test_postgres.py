"""The state in PostgreSQL: fences, a server that dies, hangs or forgets, and what people read of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from disks import START, StandingClock
from postgres import Postgres, postgres
from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import Past
from reconciler.core.model import AccountName, Action, DeviceId, PassId, Pause, Result
from reconciler.core.replicas import Member, MemberId
from reconciler.core.windows import Opening
from reconciler.state import records
from reconciler.state.coordination import Acceptance, StatusRow, What
from reconciler.state.port import Asked
from reconciler.state.postgres.connection import BEGIN, Connection, Server
from reconciler.state.postgres.coordination import PostgresCoordination
from reconciler.state.postgres.database import Database
from reconciler.state.postgres.ownership import PostgresOwnership
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.postgres.transactions import Transactions, scalar
from reconciler.state.records import Fence, Group

HOTEL, CLINIC = AccountName("seoul-hotel"), AccountName("clinic")
ONE = DeviceId("one")
PAST = Past(HOTEL, ONE, Action.SUBSCRIBE, START, START, PassId("pass"))
OWNED = Fence("me", 3, 7, 1)


@pytest.fixture
def url(postgresql: Postgres) -> str:
    """Return the address of an empty schema."""
    return postgresql.fresh()


@pytest.fixture
def storage(url: str) -> Iterator[PostgresStorage]:
    """Return a storage in an empty schema."""
    opened = PostgresStorage.open(url, StandingClock())
    yield opened
    opened.medium.close()


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """Start a PostgreSQL that tests may stop, with commits that lie in memory for long."""
    with postgres(wal_writer_delay="10s", fsync="on") as running:
        yield running


def listed(account: AccountName, *devices: str) -> Group:
    """Return what a list of an account changes."""
    appeared = frozenset(map(DeviceId, devices))
    return Group((records.ListChanged(account, appeared, frozenset()),))


def live(storage: PostgresStorage, account: AccountName = HOTEL) -> set[str]:
    """Return which devices are expected to be live."""
    return set(map(str, storage.account(account, START).expected.get()))


def own(url: str, **fences: Fence) -> None:
    """Write who owns accounts."""
    with psycopg.connect(url, autocommit=True) as other:
        for account, one in fences.items():
            other.execute(
                "INSERT INTO ownership (account, owner, epoch, generation, pause) VALUES (%s, %s, %s, %s, %s)",
                (account, one.owner, one.epoch, one.generation, one.pause),
            )


@pytest.mark.parametrize(
    "believed",
    [
        replace(OWNED, owner="other"),
        replace(OWNED, epoch=2),
        replace(OWNED, epoch=4),
        replace(OWNED, generation=6),
        replace(OWNED, pause=0),
    ],
)
def test_a_write_by_another_belief_changes_nothing(
    believed: Fence, storage: PostgresStorage, url: str
) -> None:
    """Whatever differs, nothing of that account is written, and everything of the other one is."""
    own(url, clinic=OWNED)
    own(url, **{HOTEL: OWNED})
    groups = [listed(HOTEL, "one"), listed(CLINIC, "two"), listed(HOTEL, "three")]
    fenced = storage.write(groups, fences={HOTEL: believed, CLINIC: OWNED})
    assert fenced == {HOTEL}
    assert (live(storage), live(storage, CLINIC)) == (set(), {"two"})


def test_a_write_by_the_owner_is_made(storage: PostgresStorage, url: str) -> None:
    """Nothing is fenced where the database believes the same; an account that nobody knows is fenced."""
    own(url, **{HOTEL: OWNED})
    fenced = storage.write(
        [listed(HOTEL, "one"), listed(CLINIC, "two")], fences={HOTEL: OWNED, CLINIC: OWNED}
    )
    assert (set(fenced), live(storage)) == ({CLINIC}, {"one"})


def waits_for_a_lock(url: str, thread: threading.Thread) -> bool:
    """Wait until a transaction waits for another one, or until there is nothing to wait for."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(url, autocommit=True) as watching:
        for _ in range(2000):
            if not thread.is_alive() or watching.execute(waiting).fetchone() != (0,):
                break
            thread.join(0.005)
    return thread.is_alive()


def test_a_taker_waits_for_a_write_that_began_and_a_write_for_a_taker(
    storage: PostgresStorage, url: str
) -> None:
    """A write that finds the account in other hands only after it waited is fenced, too."""
    own(url, **{HOTEL: OWNED})
    found: list[frozenset[AccountName]] = []

    def write() -> None:
        found.append(storage.write([listed(HOTEL, "one")], fences={HOTEL: OWNED}))

    with psycopg.connect(url) as taker:
        taker.execute("UPDATE ownership SET owner = 'other', epoch = epoch + 1")
        writer = threading.Thread(target=write)
        writer.start()
        assert waits_for_a_lock(url, writer)
        taker.commit()
    writer.join(30)
    assert (found, live(storage)) == ([frozenset({HOTEL})], set())


def test_a_frozen_writer_keeps_its_rows_for_seconds_only(
    storage: PostgresStorage, url: str
) -> None:
    """A machine that freezes in the middle of a write loses its transaction, and another one takes the account."""
    own(url, **{HOTEL: OWNED})
    with closing(Server.of(url).connect()) as frozen:
        frozen.execute(BEGIN)
        frozen.execute("SELECT 1 FROM ownership FOR SHARE")
        with psycopg.connect(url, autocommit=True) as taker:
            taker.execute("UPDATE ownership SET owner = 'other', epoch = epoch + 1")
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.execute("COMMIT")
    assert storage.write([listed(HOTEL, "one")], fences={HOTEL: OWNED}) == {HOTEL}


def test_a_server_that_dies_is_trouble_until_it_is_back(mortal: Postgres) -> None:
    """Reads and writes fail in one sentence, and go on without help when the server is there again."""
    storage = PostgresStorage.open(mortal.fresh(), StandingClock())
    with closing(storage.medium):
        storage.write([replace(listed(HOTEL, "one"), lasting=True)])
        mortal.kill()
        with pytest.raises(StateError, match=r"^the state cannot be written: PostgreSQL"):
            storage.write([listed(HOTEL, "two")])
        with pytest.raises(
            StateError, match=r"^the state cannot be read: PostgreSQL cannot be reached"
        ):
            storage.account(HOTEL, START)
        assert storage.medium.trouble.startswith("the state cannot be written: PostgreSQL")
        mortal.start()
        storage.write([listed(HOTEL, "two")])
        assert (storage.medium.trouble, live(storage)) == ("", {"one", "two"})
        assert storage.medium.doubts == 0


def test_a_look_notices_that_the_server_is_gone(mortal: Postgres) -> None:
    """It says so once, although nothing was to be written."""
    with closing(PostgresStorage.open(mortal.fresh(), StandingClock()).medium) as medium:
        assert (medium.look(), medium.trouble) == (False, "")
        mortal.kill()
        assert (medium.look(), medium.look()) == (True, False)
        assert medium.trouble.startswith("the state cannot be written: PostgreSQL")
        mortal.start()


def test_a_start_without_the_server_waits_for_it(mortal: Postgres) -> None:
    """The storage is opened with trouble, and a later write makes the tables."""
    url = mortal.fresh()
    mortal.kill()
    storage = PostgresStorage.open(url, StandingClock())
    assert storage.medium.trouble.startswith(
        "the state cannot be written: PostgreSQL cannot be reached"
    )
    mortal.start()
    storage.write([listed(HOTEL, "one")])
    assert (storage.medium.trouble, live(storage)) == ("", {"one"})
    storage.medium.close()


def test_a_crash_that_loses_commits_is_noticed(mortal: Postgres) -> None:
    """Outcomes are committed without waiting for the disk; if a crash loses them, memory is written again."""
    storage = PostgresStorage.open(mortal.fresh(), StandingClock())
    storage.write([replace(listed(HOTEL, "one"), lasting=True)])
    storage.write([listed(HOTEL, "two")])
    mortal.kill()
    mortal.start()
    storage.write([listed(HOTEL, "three")])
    assert (storage.medium.doubts, live(storage)) == (1, {"one", "three"})
    assert list(storage.medium.notices) == [
        "PostgreSQL lacks the last 1 writes: what is in memory is written again"
    ]
    storage.medium.close()


def test_intents_are_on_the_disk_before_their_calls(mortal: Postgres) -> None:
    """What is intended outlives a crash of the server, and with it everything that was written before."""
    storage = PostgresStorage.open(mortal.fresh(), StandingClock())
    storage.write([listed(HOTEL, "two")])
    storage.write([Group((records.ChangesSaved(HOTEL, (), (PAST,)),))])
    mortal.kill()
    mortal.start()
    assert (list(storage.changes(Asked(), 10)), live(storage)) == ([PAST], {"two"})
    storage.write([])
    assert storage.medium.doubts == 0
    storage.medium.close()


@pytest.mark.parametrize("reads", [False, True])
def test_a_server_that_hangs_is_given_up(mortal: Postgres, *, reads: bool) -> None:
    """A server whose processes stand still does not answer, and after a while nobody waits for it."""
    storage = PostgresStorage.open(mortal.fresh(), StandingClock(), silence=0.5)
    assert live(storage) == set()
    mortal.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StateError, match=r"PostgreSQL: it does not answer for 0.5 seconds$"):
            live(storage) if reads else storage.write([listed(HOTEL, "one")])
    finally:
        mortal.signal(signal.SIGCONT)
    storage.write([listed(HOTEL, "one")])
    assert live(storage) == {"one"}
    storage.medium.close()


def test_a_connection_that_was_ended_is_made_anew(storage: PostgresStorage, url: str) -> None:
    """An administrator or a proxy ends connections, and reads and writes go on at once."""
    storage.write([listed(HOTEL, "one")])
    assert live(storage) == {"one"}
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pcc-reconciler' AND pid <> pg_backend_pid()"
        )
    assert live(storage) == {"one"}
    storage.write([listed(HOTEL, "two")])
    assert (storage.medium.trouble, live(storage)) == ("", {"one", "two"})


def test_a_write_whose_answer_was_lost_is_no_loss(storage: PostgresStorage, url: str) -> None:
    """The database may have one transaction more than this process knows of, and then nothing is written again."""
    storage.write([listed(HOTEL, "one")])
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("UPDATE writer SET written = written + 1")
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pcc-reconciler' AND pid <> pg_backend_pid()"
        )
    storage.write([listed(HOTEL, "two")])
    assert (storage.medium.doubts, list(storage.medium.notices)) == (0, [])


def test_a_reader_that_comes_back_after_the_end_is_closed(url: str) -> None:
    """A page that is still being read when the process ends leaves no connection behind."""
    database = Database.open(url, StandingClock())
    with database.snapshot() as snapshot:
        database.close()
        assert not snapshot.connection.closed
    assert snapshot.connection.closed


def test_tables_that_are_gone_are_made_again(storage: PostgresStorage, url: str) -> None:
    """An empty database lacks everything that was written to it, so memory is written again."""
    storage.write([listed(HOTEL, "one")])
    with psycopg.connect(url, autocommit=True) as other:
        (schema,) = other.execute("SELECT current_schema()").fetchone() or ("",)
        other.execute(f"DROP SCHEMA {schema} CASCADE")
        other.execute(f"CREATE SCHEMA {schema}")
    with pytest.raises(StateError, match="tables of PostgreSQL are missing"):
        storage.write([listed(HOTEL, "two")])
    storage.write([listed(HOTEL, "two")])
    assert (storage.medium.doubts, live(storage)) == (1, {"two"})


def test_many_programs_make_the_tables_at_once(url: str) -> None:
    """One of them makes the tables, the others wait for it."""
    opened: list[PostgresStorage] = []
    threads = [
        threading.Thread(target=lambda: opened.append(PostgresStorage.open(url, StandingClock())))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [one.medium.trouble for one in opened] == [""] * 6
    for one in opened:
        one.medium.close()


@pytest.mark.parametrize("newer", [1, 2])
def test_a_release_works_with_the_tables_of_the_next_one(newer: int, url: str) -> None:
    """Tables that are one version ahead only have more; with those further ahead it ends in a sentence."""
    PostgresStorage.open(url, StandingClock()).medium.close()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("UPDATE state_version SET version = version + %s", (newer,))
    if newer == 1:
        with closing(PostgresStorage.open(url, StandingClock()).medium) as medium:
            assert medium.trouble == ""
    else:
        for way in (PostgresStorage.open, PostgresStorage.read_only):
            with pytest.raises(StateError, match="a newer program wrote it"):
                way(url, StandingClock())


def test_older_tables_are_not_read_and_newer_ones_stop_a_writer(
    storage: PostgresStorage, url: str
) -> None:
    """A reader asks for the daemon; a daemon whose tables a newer program changed says so, and is in trouble."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("UPDATE state_version SET version = 1")
        with pytest.raises(StateError, match=r"of version 1, .* start its daemon once"):
            PostgresStorage.read_only(url, StandingClock())
        other.execute("UPDATE state_version SET version = 99")
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pcc-reconciler' AND pid <> pg_backend_pid()"
        )
    with pytest.raises(StateError, match="a newer program wrote it"):
        storage.write([listed(HOTEL, "one")])
    assert "a newer program wrote it" in storage.medium.trouble


def break_off(transactions: Transactions, error: BaseException) -> None:
    """Write something, and let an error end the transaction."""
    with transactions.begun() as connection:
        connection.execute("INSERT INTO accepted (digest, at) VALUES ('a', 1)")
        raise error


def test_a_transaction_that_is_broken_off_leaves_nothing_for_the_next(url: str) -> None:
    """Whatever ends it, the next one does not commit what it had written."""
    with closing(Transactions(Server.of(url))) as transactions:
        for error in (RuntimeError("ours"), KeyboardInterrupt(), StateError("known")):
            with pytest.raises(type(error)):
                break_off(transactions, error)
            with transactions.begun() as connection:
                assert scalar(connection, "SELECT count(*) FROM accepted") == 0


async def test_a_renewal_that_was_given_up_does_not_spoil_the_next(mortal: Postgres) -> None:
    """The server hung for a moment; the connection on which it owes an answer is not used again."""
    me = MemberId("me")
    with closing(PostgresCoordination.at(mortal.fresh(), silence=0.5)) as mine:
        mine.members.join(Member(me, "me", "1", 45.0))
        assert await mine.members.renew(me) is not None
        mortal.signal(signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await mine.members.renew(me)
            with pytest.raises(StateError, match=r"it does not answer for 0\.5 seconds$"):
                await asyncio.to_thread(mine.members.living)
        finally:
            mortal.signal(signal.SIGCONT)
        renewal = await mine.members.renew(me)
        assert renewal is not None
        assert renewal.beat in {2, 3}  # whether the one that was given up arrived, nobody knows


def test_reading_only_makes_no_tables(url: str) -> None:
    """A database without tables is an empty state, and stays without."""
    for _ in range(2):
        storage = PostgresStorage.read_only(url, StandingClock())
        assert storage.empty
        storage.medium.close()


def test_a_state_for_reading_is_not_written(storage: PostgresStorage, url: str) -> None:
    """It shows what the writer wrote, and refuses a write."""
    storage.write([listed(HOTEL, "one")])
    reading = PostgresStorage.read_only(url, StandingClock())
    assert live(reading) == {"one"}
    with pytest.raises(StateError, match="open for reading only"):
        reading.write([])
    reading.medium.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "postgresql://u:Swordfish1@127.0.0.1:1/db",
            "PostgreSQL at 127.0.0.1:1 cannot be reached: Connection refused",
        ),
        (
            "postgresql://u:Swordfish1@/db?host=/nowhere",
            "PostgreSQL cannot be reached: No such file or directory",
        ),
        ("postgresql://u:Swordfish1%zz@h/db", "PCC_STATE_URL is no address of a PostgreSQL"),
        (
            "postgresql://u:Swordfish1@h/db?no_such_option=1",
            "PCC_STATE_URL is no address of a PostgreSQL",
        ),
    ],
)
def test_a_fault_is_a_sentence_without_the_password(url: str, sentence: str) -> None:
    """It names the server and the reason, and nothing secret."""
    with pytest.raises(StateError) as caught:
        PostgresStorage.read_only(url, StandingClock())
    assert sentence in str(caught.value)
    assert "Swordfish" not in repr(caught.value) + str(caught.value.__cause__)


def test_an_author_with_letters_beyond_ascii_is_found_as_in_memory(
    storage: PostgresStorage,
) -> None:
    """Only the letters of ASCII are folded, whatever the collation of the database says."""
    changes = records.ChangesSaved(HOTEL, (replace(PAST, result=Result.SUCCESS, words="Ä"),), ())
    storage.write([Group((changes,))])
    assert storage.changes(Asked(account=HOTEL), 1)[0].words == "Ä"


def test_more_old_changes_than_one_statement_deletes_are_removed(
    storage: PostgresStorage, url: str
) -> None:
    """After a long rest there is more to delete than one statement has time for."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "INSERT INTO change (account, device, intended, pass, action, at, open, approved, words) "
            "SELECT 'hotel', number::text, 1, 'p', 'subscribe', 1, FALSE, FALSE, '' "
            "FROM generate_series(1, 120000) AS number"
        )
        storage.write([Group((records.OldDropped(START),))])
        assert other.execute("SELECT count(*) FROM change").fetchone() == (0,)


def test_a_missing_driver_is_named(tmp_path: Path) -> None:
    """Without the extra, the setting ends a command with a sentence that says what to install."""
    program = "import sys; sys.modules['psycopg'] = None; from reconciler.cli import run; sys.exit(run(['history']))"
    given = {"HOME": str(tmp_path), "PCC_STATE_URL": "postgresql://pcc@127.0.0.1:1/pcc"}
    shown = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, env=given
    )
    assert (shown.returncode, shown.stdout) == (1, "")
    assert (
        "PCC_STATE_URL needs the driver of PostgreSQL: install pcc-reconciler[postgres]"
        in shown.stderr
    )


def test_psycopg_is_not_imported_unless_it_is_asked_for() -> None:
    """The command line, the daemon and the state load without it."""
    program = (
        "import sys, reconciler.cli, reconciler.runtime.daemon, reconciler.state;"
        "print([name for name in sys.modules if name.split('.')[0] == 'psycopg'])"
    )
    shown = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("way", ["environment", "service"])
def test_what_the_address_lacks_comes_from_libpqs_own_places(
    way: str, tmp_path: Path, postgresql: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of libpq and its service file work as for every other program."""
    known = {"host": str(postgresql.folder), "user": "postgres", "dbname": "postgres"}
    address = "postgresql://"
    if way == "environment":
        names = {"host": "PGHOST", "user": "PGUSER", "dbname": "PGDATABASE"}
        for part, value in known.items():
            monkeypatch.setenv(names[part], value)
    else:
        lines = [f"{part}={value}" for part, value in known.items()]
        (tmp_path / "services").write_text("\n".join(["[pcc]", *lines, ""]))
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
        address = "postgresql:///?service=pcc"
    with closing(Server.of(address).connect()) as connection:
        assert scalar(connection, "SELECT current_user") == "postgres"


def test_a_transaction_is_short_and_reads_what_is_committed_whatever_the_server_prefers(
    url: str,
) -> None:
    """Limits and isolation are set in each transaction, and nothing of them stays with the connection."""
    serializable = url + "%20-cdefault_transaction_isolation%3Dserializable"
    asked = (
        "SELECT current_setting('transaction_isolation'), current_setting('statement_timeout'), "
    )
    asked += "current_setting('idle_in_transaction_session_timeout')"
    with closing(Transactions(Server.of(serializable))) as transactions:
        with transactions.begun() as connection:
            inside = connection.execute(asked).fetchone()
        assert inside == ("read committed", "5s", "5s")
        assert connection.execute(asked).fetchone() == ("serializable", "0", "0")


def test_what_the_tables_need_no_more_is_removed_after_a_day(url: str) -> None:
    """Earlier revisions and old commands go, also one that nobody carried out; what is younger stays."""
    me, both = MemberId("me"), frozenset({HOTEL, CLINIC})
    hour = 3_600_000_000
    with (
        closing(PostgresCoordination.at(url)) as mine,
        psycopg.connect(url, autocommit=True) as other,
    ):
        mine.members.join(Member(me, "me", "1", 45.0))
        epoch = mine.source.take(me) or 0

        def accept(digest: str) -> None:
            assert mine.source.accept(
                me, epoch, Acceptance(both, frozenset(), b"", START, frozenset({digest}))
            )

        accept("older")
        accept("younger")
        for _ in range(4):
            mine.commands.ask(What.RECONCILE, [HOTEL], "kim", datetime.now(UTC))
        found = mine.commands.asked([HOTEL], source=False)
        older, younger, waits, forgotten = (one.id for one in found)
        mine.commands.done([older, younger])
        for digest, one, hours in (("older", older, 25), ("younger", younger, 23)):
            other.execute(
                "UPDATE accepted SET at = at - %s WHERE digest = %s", (hours * hour, digest)
            )
            other.execute("UPDATE command SET done = done - %s WHERE id = %s", (hours * hour, one))
        other.execute("UPDATE command SET at = at - %s WHERE id = %s", (25 * hour, forgotten))
        accept("newest")
        mine.commands.done([])
        digests = other.execute("SELECT digest FROM accepted ORDER BY at").fetchall()
        assert digests == [("younger",), ("newest",)]
        commands = other.execute("SELECT id FROM command ORDER BY id").fetchall()
        assert commands == [(younger,), (waits,)]


KEPT_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
)


def connections_to(port: int) -> list[list[int]]:
    """Return how the kernel keeps each connection of this process to a port alive."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(one.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(one.name))) as same:
                    peer = same.getpeername()
                    if isinstance(peer, tuple) and peer[1] == port:
                        found.append([same.getsockopt(*option) for option in KEPT_ALIVE])
    return found


async def test_no_connection_waits_for_a_machine_that_vanished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel asks for a sign of life on each connection, and ends it in half a minute where none comes."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("PGPORT", str(port))
    with postgres(listen_addresses="127.0.0.1", port=str(port)):
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        storage = PostgresStorage.open(url, StandingClock())
        with closing(storage.medium), closing(PostgresCoordination.at(url)) as mine:
            assert live(storage) == set()
            mine.members.join(Member(MemberId("me"), "me", "1", 45.0))
            assert await mine.members.renew(MemberId("me")) is not None
            found = connections_to(port)
    assert len(found) == 4  # to write, to read, to coordinate and to renew
    for kept, idle, interval, count, unanswered in found:
        assert kept
        assert idle + interval * count <= 30
        assert 0 < unanswered <= 10_000


@pytest.mark.parametrize("owner", ["other", "me"])
def test_an_acceptance_waits_for_whoever_takes_the_source(owner: str, url: str) -> None:
    """What was read before another replica took the source does not come into force over what that one accepts."""
    me, found = MemberId("me"), list[bool]()
    acceptance = Acceptance(frozenset({HOTEL}), frozenset({HOTEL}), b"old", START)
    with closing(PostgresCoordination.at(url)) as mine:
        mine.members.join(Member(me, "me", "1", 45.0))
        epoch = mine.source.take(me) or 0
        accepting = threading.Thread(
            target=lambda: found.append(mine.source.accept(me, epoch, acceptance))
        )
        with psycopg.connect(url) as taker:
            taker.execute(
                "UPDATE informer SET owner = %s, epoch = epoch + 1, verdict = 'new'", (owner,)
            )
            accepting.start()
            assert waits_for_a_lock(url, accepting)
            taker.commit()
        accepting.join(30)
        assert (found, mine.source.verdict().content) == ([False], b"new")


def test_an_account_is_not_taken_in_the_middle_of_a_write(url: str) -> None:
    """Whoever takes it from a dead owner gets it after the last write of that one, and so with all of it."""
    me, dead = MemberId("me"), replace(OWNED, owner="dead")
    taken = []
    with (
        closing(Database.open(url, StandingClock())) as database,
        closing(PostgresCoordination.at(url)) as mine,
    ):
        own(url, **{HOTEL: dead})
        mine.members.join(Member(me, "me", "1", 45.0))
        mine.members.join(Member(MemberId("dead"), "dead", "1", 45.0))

        def meanwhile(fenced: frozenset[AccountName]) -> list[tuple[str, list[object]]]:
            assert fenced == frozenset()
            mine.members.leave(MemberId("dead"))
            taken.append(mine.ownership.take(me, 10))
            return []

        assert database.write(meanwhile, lasting=True, fences={HOTEL: dead}) == frozenset()
        assert [(dict(one.fences), one.skipped) for one in taken] == [({}, 1)]
        assert mine.ownership.take(me, 10).fences.keys() == {HOTEL}
        assert database.write(lambda _: [], lasting=True, fences={HOTEL: dead}) == {HOTEL}


NOTED = """
    CREATE TABLE noted (place text, isolation text, statement text, idle text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO noted VALUES (TG_TABLE_NAME, current_setting('transaction_isolation'),
            current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'));
        RETURN NULL;
    END $$;
"""


async def test_every_write_has_its_limits_whoever_makes_it(
    storage: PostgresStorage, url: str
) -> None:
    """Of the state, of the coordination and of a renewal: none can hold its rows for longer than some seconds."""
    me = MemberId("me")
    tables = ["writer", "member", "informer", "ownership", "command"]
    with closing(PostgresCoordination.at(url)) as mine, psycopg.connect(url) as other:
        mine.members.join(Member(me, "me", "1", 45.0))
        other.execute(NOTED)
        for table in tables:
            other.execute(
                f"CREATE TRIGGER noted AFTER UPDATE OR INSERT ON {table} EXECUTE FUNCTION note()"
            )
        other.commit()
        assert await mine.members.renew(me) is not None
        mine.source.take(me)
        acceptance = Acceptance(frozenset({HOTEL}), frozenset({HOTEL}), b"", START)
        assert mine.source.accept(me, mine.source.take(me) or 0, acceptance)
        mine.commands.ask(What.FETCH, (), "kim", START)
        storage.write([listed(HOTEL, "one")])
        noted = set(other.execute("SELECT * FROM noted").fetchall())
    assert noted == {(table, "read committed", "5s", "5s") for table in tables}


def test_an_account_that_is_locked_is_skipped_and_counted(url: str) -> None:
    """A taker does not wait for a transaction that does not end, and says how many accounts it left."""
    PostgresStorage.open(url, StandingClock()).medium.close()
    with (
        closing(Transactions(Server.of(url))) as transactions,
        psycopg.connect(url) as other,
        psycopg.connect(url, autocommit=True) as writer,
    ):
        writer.execute(
            "INSERT INTO member (id, name, version, beat, lease) VALUES ('me', 'me', '1', 0, 1)"
        )
        writer.execute("INSERT INTO ownership (account) VALUES ('clinic'), ('seoul-hotel')")
        other.execute("SELECT 1 FROM ownership WHERE account = 'clinic' FOR UPDATE")
        taken = PostgresOwnership(transactions).take(MemberId("me"), 10)
        assert (set(taken.fences), taken.skipped) == ({HOTEL}, 1)
        other.rollback()
        taken = PostgresOwnership(transactions).take(MemberId("me"), 10)
        assert (set(taken.fences), taken.skipped) == ({CLINIC}, 0)


def test_an_account_of_a_member_that_cannot_be_seen_is_not_free(url: str) -> None:
    """It may have joined in a transaction that is not seen here: only a member known as dead loses its accounts."""
    PostgresStorage.open(url, StandingClock()).medium.close()
    with (
        closing(PostgresCoordination.at(url)) as mine,
        psycopg.connect(url, autocommit=True) as writer,
    ):
        mine.members.join(Member(MemberId("me"), "me", "1", 45.0))
        writer.execute("INSERT INTO ownership (account, owner) VALUES ('clinic', 'unseen')")
        assert mine.ownership.take(MemberId("me"), 10).fences == {}
        assert mine.ownership.fleet(START).unowned == 0
        writer.execute(
            "INSERT INTO member (id, name, version, beat, lease, dead) VALUES ('unseen', 'a', '1', 0, 1, TRUE)"
        )
        assert mine.ownership.fleet(START).unowned == 1
        assert set(mine.ownership.take(MemberId("me"), 10).fences) == {CLINIC}


class Observed(Transactions):
    """Transactions of which is kept how each of them was committed."""

    waits = ""

    @contextmanager
    def begun(self, *, at_ease: bool = False) -> Iterator[Connection]:
        """Begin one, and look at its end whether the commit waits for the disk."""
        with super().begun(at_ease=at_ease) as connection:
            yield connection
            self.waits = str(scalar(connection, "SHOW synchronous_commit"))


def test_only_reports_may_be_lost_with_a_crash(url: str) -> None:
    """Who lives, who owns what, what is in force and what a person asked for is on the server's disk at once."""
    me, both = MemberId("me"), frozenset({HOTEL, CLINIC})
    transactions = Observed(Server.of(url))
    mine = PostgresCoordination(transactions)
    pause = PauseOverride(Pause.ALL, None, "why")
    opening = Opening("office", "mark", START, START, "why")
    shown = StatusRow(HOTEL, "held", b"{}", START, START)
    steps: dict[str, Callable[[], object]] = {
        "join": lambda: mine.members.join(Member(me, "me", "1", 45.0)),
        "take the source": lambda: mine.source.take(me),
        "accept": lambda: mine.source.accept(
            me, mine.source.take(me) or 0, Acceptance(both, both, b"", START)
        ),
        "take": lambda: mine.ownership.take(me, 10),
        "ask": lambda: mine.commands.ask(What.FETCH, (), "kim", START),
        "done": lambda: mine.commands.done([1]),
        "pause": lambda: mine.commands.pause(None, pause, START),
        "open": lambda: mine.commands.open_window("office", opening, START),
        "report": lambda: mine.commands.report([shown], mine.ownership.owned(me)),
        "note": lambda: mine.tokens.note({HOTEL: frozenset("a")}, mine.ownership.owned(me)),
        "shed": lambda: mine.ownership.shed({HOTEL: 0}, me),
        "shed the source": lambda: mine.source.shed(me, 0),
        "declare dead": lambda: mine.members.declare_dead(me, 9),
        "leave": lambda: mine.members.leave(me),
        "accept alone": lambda: mine.source.accept_alone(Acceptance(both, both, b"", START)),
    }
    found = {}
    with closing(mine):
        for name, step in steps.items():
            step()
            found[name] = transactions.waits
    assert found == {name: "off" if name == "report" else "on" for name in steps}
