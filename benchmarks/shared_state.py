"""What the state costs in PostgreSQL, beside the same writes and reads in SQLite, and how fast a replica takes over.

Both wait for the disk where the daemon waits for it. PostgreSQL is a process of its own on the same machine; a network
between both adds its round trips.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks import Row, alternating, at_least, at_most, compared
from postgres import Postgres, postgres
from reconciler.core.memory import Past
from reconciler.core.model import AccountName, Action, DeviceId, PassId, Result, Revision
from reconciler.core.replicas import Member, MemberId
from reconciler.runtime.clock import SystemClock
from reconciler.state import records
from reconciler.state.coordination import CHUNK, Acceptance
from reconciler.state.port import Storage
from reconciler.state.postgres.coordination import PostgresCoordination
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.records import Fence, Group, Mark
from reconciler.state.sqlite.storage import SqliteStorage

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MADE = Revision("a" * 64)
HOTEL = AccountName("account-00000")
IN_FLIGHT = 64
MANY, QUICK_MANY = 100_000, 10_000
ACCOUNTS, QUICK_ACCOUNTS = 10_000, 2_000
PAIRS, QUICK_PAIRS = 9, 3
LISTS = 200
ME = MemberId("me")


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure intents, lists, accounts that are read, a first write, and a takeover."""
    many = QUICK_MANY if quick else MANY
    pairs = QUICK_PAIRS if quick else PAIRS
    with postgres(fsync="on") as server, tempfile.TemporaryDirectory() as folder:
        with _both(server, Path(folder)) as (ours, other, fences):
            yield from _compared(ours, other, fences, many, pairs)
        yield _takeover(server, QUICK_ACCOUNTS if quick else ACCOUNTS)
        yield _size(server, many)


@contextmanager
def _both(
    server: Postgres, folder: Path
) -> Iterator[tuple[Storage, Storage, dict[AccountName, Fence]]]:
    """Give a storage in PostgreSQL, one in SQLite, and a fence for the account."""
    url = server.fresh()
    ours = PostgresStorage.open(url, SystemClock())
    other = SqliteStorage.open(folder, SystemClock())
    with closing(ours.medium), closing(other.medium):
        yield ours, other, _owned(url, [HOTEL])


def _owned(url: str, accounts: list[AccountName]) -> dict[AccountName, Fence]:
    """Let a replica accept a revision with these accounts and take them all."""
    with closing(PostgresCoordination.at(url)) as coordination:
        coordination.members.join(Member(ME, "me", "1", 45.0))
        epoch = coordination.source.take(ME)
        assert epoch is not None
        managed = frozenset(accounts)
        assert coordination.source.accept(ME, epoch, Acceptance(managed, managed, b"", NOW))
        taken: dict[AccountName, Fence] = {}
        while len(taken) < len(accounts):
            taken |= coordination.ownership.take(ME, len(accounts)).fences
        return taken


def _compared(
    ours: Storage, other: Storage, fences: dict[AccountName, Fence], many: int, pairs: int
) -> Iterator[Row]:
    against = "SQLite"
    devices = [DeviceId(f"{number:064}") for number in range(many)]
    first = [(_first(ours, devices), _first(other, devices))]
    yield compared(f"{many:,} devices written for the first time", first, "s", against, at_most(10))
    numbers = iter(range(1_000_000))

    def intents(storage: Storage, fences: dict[AccountName, Fence] | None) -> Callable[[], float]:
        def work() -> None:
            assert not storage.write([_intents(devices, next(numbers))], fences=fences)

        return lambda: _milliseconds(work)

    found = alternating(intents(ours, fences), intents(other, None), pairs)
    yield compared(
        f"{IN_FLIGHT} intents, fenced and on the disk", found, "ms", against, at_most(12)
    )

    def lists(storage: Storage) -> Callable[[], float]:
        def work() -> None:
            for number in range(LISTS):
                account = AccountName(f"account-{number:05}")
                storage.write([Group((records.QuotaSaved(account, (1.0, 2.0), 60),))])

        return lambda: LISTS / _milliseconds(work) * 1000

    found = alternating(lists(ours), lists(other), pairs)
    yield compared("writes after a list, one by one", found, "a second", against, at_least(0.1))

    def reads(storage: Storage) -> Callable[[], float]:
        return lambda: _milliseconds(lambda: storage.account(AccountName("account-00001"), NOW))

    found = alternating(reads(ours), reads(other), pairs)
    yield compared("an account that knows no device, read", found, "ms", against)
    whole = alternating(
        lambda: _milliseconds(lambda: ours.account(HOTEL, NOW)),
        lambda: _milliseconds(lambda: other.account(HOTEL, NOW)),
        min(pairs, 5),
    )
    yield compared(f"an account of {many:,} devices, read", whole, "ms", against, at_most(6))


def _first(storage: Storage, devices: list[DeviceId]) -> float:
    everything = frozenset(devices)
    group = Group(
        (
            records.DevicesMoved(HOTEL, Mark(MADE, NOW), everything, frozenset()),
            records.ListChanged(HOTEL, everything, frozenset()),
        )
    )
    return _milliseconds(lambda: storage.write([group])) / 1000


def _intents(devices: list[DeviceId], number: int) -> Group:
    """Return intents to unsubscribe, with other keys each time."""
    pasts = tuple(
        Past(HOTEL, device, Action.UNSUBSCRIBE, NOW, NOW, PassId(f"pass-{number}"), revision=MADE)
        for device in devices[:IN_FLIGHT]
    )
    return Group((records.ChangesSaved(HOTEL, (), pasts),), lasting=True, account=HOTEL)


def _takeover(server: Postgres, accounts: int) -> Row:
    """Return how long a replica takes for all accounts of one that died."""
    url = server.fresh()
    PostgresStorage.open(url, SystemClock()).medium.close()
    _owned(url, [AccountName(f"account-{number:05}") for number in range(accounts)])
    heir = MemberId("heir")
    with closing(PostgresCoordination.at(url)) as coordination:
        coordination.members.join(Member(heir, "heir", "1", 45.0))
        began = time.perf_counter()
        assert coordination.members.declare_dead(ME, 0)
        taken = 0
        while taken < accounts:
            taken += len(coordination.ownership.take(heir, accounts).fences)
        took = time.perf_counter() - began
    remark = f"in chunks of {CHUNK}"
    return Row(
        f"{accounts:,} accounts of a dead replica taken over",
        took,
        "s",
        target=at_most(5, absolute=True),
        remark=remark,
    )


def _size(server: Postgres, many: int) -> Row:
    """Return what a device takes on the disk of PostgreSQL, with a history of one change each."""
    url = server.fresh()
    storage = PostgresStorage.open(url, SystemClock())
    devices = [DeviceId(f"{number:064}") for number in range(many)]
    _first(storage, devices)
    bytes_of = "SELECT pg_total_relation_size('device'), pg_total_relation_size('change')"
    pasts = tuple(
        Past(
            HOTEL,
            device,
            Action.SUBSCRIBE,
            NOW,
            NOW,
            PassId("pass"),
            revision=MADE,
            result=Result.SUCCESS,
        )
        for device in devices
    )
    storage.write([Group((records.ChangesSaved(HOTEL, pasts, ()),))])
    storage.medium.close()
    with psycopg.connect(url) as connection:
        found = connection.execute(bytes_of).fetchone()
    assert found is not None
    device, change = (size / many for size in found)
    return Row(
        "a device on the disk of PostgreSQL",
        device,
        "bytes",
        remark=f"a past change: {change:.0f} bytes",
    )


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
