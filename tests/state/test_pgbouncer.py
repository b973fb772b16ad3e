"""PostgreSQL behind a PgBouncer in transaction mode: each transaction gets another connection of the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from disks import START, StandingClock
from postgres import Postgres, pgbouncer
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.replicas import Member, MemberId
from reconciler.state import records
from reconciler.state.coordination import Acceptance, What
from reconciler.state.postgres.coordination import PostgresCoordination
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.records import Group

pytestmark = pytest.mark.system

ACCOUNTS = frozenset(map(AccountName, ("clinic", "hotel", "school")))


@pytest.fixture
def pooled(postgresql: Postgres) -> Iterator[str]:
    """Return the address of an empty database behind a PgBouncer."""
    direct = postgresql.database()
    with pgbouncer(postgresql) as folder:
        yield direct.replace(str(postgresql.folder), str(folder))


def listed(account: AccountName, device: str) -> Group:
    """Return what a list of an account changes."""
    return Group((records.ListChanged(account, frozenset({DeviceId(device)}), frozenset()),))


async def test_replicas_share_a_pool_of_two_connections(pooled: str) -> None:
    """Two replicas join, renew, take accounts and write many transactions at once, and nothing is lost or mixed up."""
    storages = [PostgresStorage.open(pooled, StandingClock()) for _ in range(2)]
    coordination = [PostgresCoordination.at(pooled) for _ in range(2)]
    members = [MemberId(f"member-{number}") for number in range(2)]
    for one, member in zip(coordination, members, strict=True):
        one.members.join(Member(member, "pod", "1", 45.0))
        renewal = await one.members.renew(member)
        assert renewal is not None
        assert renewal.beat == 1
    first = coordination[0]
    epoch = first.source.take(members[0])
    assert epoch is not None
    assert first.source.accept(members[0], epoch, Acceptance(ACCOUNTS, ACCOUNTS, b"", START))
    fences = dict(first.ownership.take(members[0], 3).fences)
    assert fences.keys() == ACCOUNTS

    def write(storage: PostgresStorage, part: int) -> None:
        for number in range(30):
            for account in sorted(ACCOUNTS):
                group = listed(account, f"{part}-{number}")
                assert storage.write([group], fences=fences) == frozenset()
            storage.account(AccountName("hotel"), START)

    threads = [
        threading.Thread(target=write, args=(storage, part))
        for part, storage in enumerate(storages)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert await first.members.renew(members[0]) is not None
        await asyncio.sleep(0.01)
    for account in ACCOUNTS:
        assert len(storages[0].account(account, START).expected.get()) == 60
    for replica, storage in zip(coordination, storages, strict=True):
        replica.close()
        storage.medium.close()


async def test_behind_a_pooler_nobody_listens_and_the_renewal_shows_the_change(pooled: str) -> None:
    """The server's connections are lent to everybody, so none of them listens, and replicas look every second."""
    with (
        closing(PostgresCoordination.at(pooled)) as one,
        closing(PostgresCoordination.at(pooled)) as other,
    ):
        heard = []
        one.members.listen(lambda: heard.append(1))
        one.members.join(Member(MemberId("member"), "pod", "1", 45.0))
        before = await one.members.renew(MemberId("member"))
        other.commands.ask(What.FETCH, (), "webhook", START)
        after = await one.members.renew(MemberId("member"))
        assert before is not None
        assert after is not None
        assert after.changes > before.changes
        assert heard == []
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as connection:
            for _ in range(4):
                listening = connection.execute(
                    "SELECT count(*) FROM pg_listening_channels()"
                ).fetchone()
                assert listening == (0,)


def test_nothing_of_a_transaction_stays_with_a_connection(pooled: str) -> None:
    """Whoever gets the server's connection next finds the server's own settings and no prepared statement."""
    storage = PostgresStorage.open(pooled, StandingClock())
    with closing(storage.medium):
        for number in range(20):
            storage.write([listed(AccountName("hotel"), f"device-{number}")])
            storage.account(AccountName("hotel"), START)
        with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as other:
            settings = other.execute(
                "SELECT current_setting('synchronous_commit'), current_setting('statement_timeout'), "
                "current_setting('idle_in_transaction_session_timeout'), "
                "(SELECT count(*) FROM pg_prepared_statements)"
            ).fetchone()
    assert settings == ("on", "0", "0", 0)
