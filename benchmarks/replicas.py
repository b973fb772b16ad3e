"""Two replicas over one PostgreSQL: how many lists they make, and how long an account has no owner.

The platform, PostgreSQL and both replicas share the processors of one machine, so two replicas are not twice as fast
here. On machines of their own they are.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg

from benchmarks import Row, at_most, compared
from benchmarks._answering import answering, told
from benchmarks.accounts import DEVICES, LATENCY_SECONDS, daemon, until, write_accounts
from postgres import Postgres, postgres

LEASE_SECONDS = 21
"""The shortest lease with calls of one second."""
ATTEMPTS = 5


class Size(NamedTuple):
    """How much is measured."""

    accounts: int
    seconds: float


FULL, QUICK = Size(2_000, 6.0), Size(300, 2.0)


def rows(*, quick: bool) -> Iterator[Row]:
    """Compare rates of lists, then let replicas leave, in good order and by kill -9."""
    size = QUICK if quick else FULL
    names = [f"account-{number:05}" for number in range(size.accounts)]
    with postgres(fsync="on") as server, answering(DEVICES, LATENCY_SECONDS) as base_url:
        with tempfile.TemporaryDirectory() as folder:
            write_accounts(Path(folder), names)
            yield from _rates(server, Path(folder), base_url, size)
        with tempfile.TemporaryDirectory() as folder:
            write_accounts(Path(folder), names[:100])
            yield _handed_over(server, Path(folder), base_url)
            if not quick:
                yield _taken_over(server, Path(folder), base_url)


class Shared:
    """The tables that the replicas of one measurement share."""

    def __init__(self, server: Postgres, base_url: str, folder: Path) -> None:
        self.url = server.fresh()
        self._base_url, self._folder = base_url, folder
        self._count = 0

    def replica(self, stack: ExitStack) -> int:
        """Start one more replica, and return its process id."""
        self._count += 1
        given = {
            "PCC_STATE_URL": self.url,
            "PCC_LEASE": f"{LEASE_SECONDS}s",
            "PCC_REQUEST_TIMEOUT": "1s",
        }
        name = f"replica-{self._count}"
        return stack.enter_context(daemon(self._folder, self._base_url, name, given))

    def shares(self) -> list[int]:
        """Return how many accounts each living replica owns, the first to join first."""
        counted = """SELECT count(account) FROM member LEFT JOIN ownership ON owner = id AND managed
            WHERE NOT dead GROUP BY id ORDER BY min(member.ctid::text)"""
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                return [count for (count,) in connection.execute(counted).fetchall()]
        except psycopg.errors.UndefinedTable:
            return []


def _rates(server: Postgres, folder: Path, base_url: str, size: Size) -> Iterator[Row]:
    """Compare one replica with a daemon that has a file of its own, and two replicas with one."""
    with daemon(folder, base_url, "alone", {}):
        until(lambda: told(base_url)[0] >= 2 * size.accounts)
        alone = _rate(base_url, size.seconds)
    shared = Shared(server, base_url, folder)
    with ExitStack() as stack:
        shared.replica(stack)
        before = told(base_url)[0]
        until(lambda: told(base_url)[0] >= before + 2 * size.accounts)
        one = _rate(base_url, size.seconds)
        shared.replica(stack)
        half = size.accounts // 2
        until(lambda: sorted(shared.shares()) == [half, half])
        two = _rate(base_url, size.seconds)
    what = f"{size.accounts:,} accounts of {DEVICES} devices, lists a second"
    yield compared(f"{what}, PostgreSQL", [(one, alone)], "/s", "SQLite")
    yield compared(
        f"{what}, two replicas",
        [(two, one)],
        "/s",
        "one replica",
        remark=f"on a machine of {os.cpu_count()} processors, together with LG and PostgreSQL",
    )


def _rate(base_url: str, seconds: float) -> float:
    """Return how many lists are made a second."""
    before, began = told(base_url)[0], time.monotonic()
    time.sleep(seconds)
    return (told(base_url)[0] - before) / (time.monotonic() - began)


def _handed_over(server: Postgres, folder: Path, base_url: str) -> Row:
    """Return how long it takes until others own the accounts of a replica that got SIGTERM."""
    took = sorted(
        _without_owner(Shared(server, base_url, folder), signal.SIGTERM) for _ in range(ATTEMPTS)
    )
    return Row(
        "a replica that gets SIGTERM, until the other one owns everything",
        took[ATTEMPTS // 2],
        "s",
        target=at_most(2, absolute=True),
        remark=f"{ATTEMPTS} times, {took[0]:.2f} to {took[-1]:.2f}; it read the source, too",
    )


def _taken_over(server: Postgres, folder: Path, base_url: str) -> Row:
    """Return how long it takes until others own the accounts of a replica that was killed."""
    took = _without_owner(Shared(server, base_url, folder), signal.SIGKILL)
    return Row(
        "a replica that is killed, until the other one owns everything",
        took,
        "s",
        target=at_most(LEASE_SECONDS + 5, absolute=True),
        remark=f"with a lease of {LEASE_SECONDS} s; it read the source, too",
    )


def _without_owner(shared: Shared, ending: signal.Signals) -> float:
    """End the replica that joined first, and return the seconds until the other one has all accounts."""
    with ExitStack() as stack:
        first = shared.replica(stack)
        _quickly(lambda: shared.shares() == [100])
        shared.replica(stack)
        _quickly(lambda: shared.shares() == [50, 50])
        began = time.monotonic()
        os.kill(first, ending)
        _quickly(lambda: shared.shares() in ([100], [0, 100], [100, 0]))
        return time.monotonic() - began


def _quickly(done: Callable[[], bool]) -> None:
    """Wait, and look often."""
    while not done():
        time.sleep(0.01)
