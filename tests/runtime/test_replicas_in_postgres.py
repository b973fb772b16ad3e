"""Three real processes over a real PostgreSQL: they share the accounts, take over, and write down every change."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg
import pytest

from postgres import Postgres
from reconciler.simulator import Platform, Route, Rule, create_app, sample_platform, serving
from reconciler.simulator import faults as effects
from scenarios import child_environment, credentials_folder, environment, eventually, owned

SECONDS = float(os.environ.get("NEMESIS_SECONDS", "30"))
"""How long the trouble lasts; an hour by hand."""
BY_HAND = SECONDS > 30
CALL = 5 if BY_HAND else 1
"""How many seconds a call may take."""
LEASE = 20.0 + CALL
"""The shortest lease with such calls."""
PATIENCE = 900.0 if BY_HAND else 100.0
"""How long all may take to be as people want it: forty accounts share a machine with whatever else runs on it."""
ACCOUNTS = tuple(f"hotel-{number}" for number in range(40 if BY_HAND else 6))
STOPS = (0.5, 3.0, 8.0, *((0.9 * LEASE, 1.2 * LEASE, 2 * LEASE) if BY_HAND else ()))
"""For how long a replica or the database is stopped. By hand that is also longer than the lease."""
LAG = 8.0
"""How much later than the others one replica sees its file, at most."""
BELATED = 2 * LEASE + LAG + 15.0
"""So long ago a revision was published that may still be in force: its reader was stopped, and then taken over from."""


@dataclass
class Fleet:
    """Three replicas and what they share."""

    platform: Platform
    given: Mapping[str, str]
    folder: Path
    url: str
    wanted: dict[str, list[str]]
    children: list[Process] = field(default_factory=list)
    published: list[tuple[float, dict[str, frozenset[str]]]] = field(default_factory=list)

    async def start(self) -> Process:
        """Start one more replica."""
        number = len(list(self.folder.glob("*.log")))
        self._write(self.copy(number), self._text())
        with (self.folder / f"{number}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reconciler", "run"),
                env=child_environment(
                    {
                        **self.given,
                        "PCC_DESIRED_STATE": str(self.copy(number)),
                        "PCC_STATE_DIR": str(self.folder / f"s{number}"),
                    }
                ),
                stdout=DEVNULL,
                stderr=log,
            )
        self.children.append(child)
        return child

    def copy(self, number: int) -> Path:
        """Return one replica's copy of the file."""
        return self.folder / f"copy-{number}.toml"

    def publish(self, *, lags: int | None = None) -> None:
        """Write what people want to every replica's copy; to that of one replica some seconds later."""
        self.published.append((time.time(), {one: frozenset(w) for one, w in self.wanted.items()}))
        text = self._text()
        for number in range(len(self.children)):
            path = self.copy(number)
            if number == lags:
                asyncio.get_running_loop().call_later(LAG, self._write_newest, path)
            else:
                self._write(path, text)

    def _write_newest(self, path: Path) -> None:
        self._write(path, self._text())

    def _text(self) -> str:
        lines = ["version = 1", "policy.max_unsubscribe = '100%'", "policy.allow_empty = true"]
        for name, wanted in self.wanted.items():
            listed = ", ".join(f'"{one}"' for one in wanted)
            lines += [f"[accounts.{name}]", f"devices = [{listed}]"]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _write(path: Path, text: str) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)

    def agrees(self) -> bool:
        """Say whether LG has everything as people want it."""
        return all(
            self.platform.subscribed(name) == set(wanted) for name, wanted in self.wanted.items()
        )

    async def settles(self) -> None:
        """Wait until LG has everything as people want it."""
        end = time.monotonic() + PATIENCE
        while not self.agrees():
            assert time.monotonic() < end, "not everything is as people want it"
            await asyncio.sleep(0.1)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Return what a query finds in the shared database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def owners(self) -> Counter[object]:
        """Return how many accounts each living member owns."""
        found = self.ask("SELECT owner FROM ownership JOIN member ON id = owner WHERE NOT dead")
        return Counter(owner for (owner,) in found)

    def shares(self) -> list[int]:
        """Return how many accounts each living member owns, sorted."""
        return sorted(self.owners().values())


def shares(replicas: int) -> list[int]:
    """Return the shares of so many replicas, sorted."""
    least, over = divmod(len(ACCOUNTS), replicas)
    return [least] * (replicas - over) + [least + 1] * over


@asynccontextmanager
async def replicas(folder: Path, server: Postgres) -> AsyncIterator[Fleet]:
    """Give three replicas that have shared the accounts, and end them."""
    platform = sample_platform(ACCOUNTS, devices=6, only_pcc=True, seed=1, log_size=1_000_000)
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, folder) | {
            "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
            "PCC_STATE_URL": server.fresh(),
            "PCC_LEASE": f"{LEASE:.0f}s",
            "PCC_REQUEST_TIMEOUT": f"{CALL}s",
            "PCC_INTERVAL": "1m",
        }
        wanted = {name: owned(platform, name)[:4] for name in ACCOUNTS}
        one = Fleet(platform, given, folder, given["PCC_STATE_URL"], wanted)
        one.publish()
        try:
            for _ in range(3):
                await one.start()
            await one.settles()
            await eventually(lambda: one.shares() == shares(3), "even shares")
            yield one
        finally:
            for child in one.children:
                if child.returncode is None:
                    child.send_signal(signal.SIGCONT)
                    child.kill()
                await child.wait()


async def test_the_others_take_over_from_a_killed_replica(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """After kill -9 of the reader of the source somebody declares it dead, and an edit is in force everywhere."""
    async with replicas(tmp_path, postgresql) as one:
        (reader,) = one.ask("SELECT owner FROM informer")[0]
        victim = next(child for child in one.children if str(reader) in log_of(one, child))
        victim.kill()
        await victim.wait()
        for wanted in one.wanted.values():
            wanted.pop()
        one.publish()
        await eventually(one.agrees, "the edit is in force")
        assert one.shares() == shares(2)
        assert any("replica.dead" in log_of(one, child) for child in one.children)


def log_of(one: Fleet, child: Process) -> str:
    """Return the log of a replica."""
    return (one.folder / f"{one.children.index(child)}.log").read_text(encoding="utf-8")


async def test_a_planned_hand_over_is_quick(tmp_path: Path, postgresql: Postgres) -> None:
    """A replica that gets SIGTERM frees everything, and the others have it without waiting for its lease."""
    async with replicas(tmp_path, postgresql) as one:
        leaving = one.children[0]
        leaving.send_signal(signal.SIGTERM)
        await eventually(lambda: one.shares() == shares(2), "even shares")
        assert not any("replica.dead" in log_of(one, child) for child in one.children)
        assert await leaving.wait() == 0
        assert "Traceback" not in log_of(one, leaving)


class Nemesis:
    """What befalls the replicas, their database and LG."""

    def __init__(self, one: Fleet, server: Postgres) -> None:
        self._one, self._server = one, server
        self._random = Random(SECONDS)  # noqa: S311 - repeatable, and no secret
        self._stopped: set[asyncio.Task[None]] = set()

    async def live(self) -> None:
        """Let trouble last."""
        troubles = (*(self._edit,) * 4, self._stop, self._stop, self._cut, self._kill)
        rare = (self._slow, self._pause_database)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            await self._random.choice((*troubles, *rare))()
            await asyncio.sleep(self._random.uniform(0.2, 2.0))
        if self._stopped:
            await asyncio.wait(self._stopped)
        self._one.publish()

    def _child(self) -> Process:
        return self._random.choice([one for one in self._one.children if one.returncode is None])

    async def _stop(self) -> None:
        """Stop a replica, and let it go on while other things happen."""
        task = asyncio.create_task(self._stopped_for(self._child(), self._random.choice(STOPS)))
        self._stopped.add(task)
        task.add_done_callback(self._stopped.discard)

    async def _stopped_for(self, child: Process, seconds: float) -> None:
        child.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if child.returncode is None:
            child.send_signal(signal.SIGCONT)

    async def _kill(self) -> None:
        child = self._child()
        child.kill()
        await child.wait()
        await self._one.start()

    async def _cut(self) -> None:
        self._one.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND application_name = 'pcc-reconciler'"
        )

    async def _edit(self) -> None:
        one, name = self._one, self._random.choice(ACCOUNTS)
        every = owned(one.platform, name)
        one.wanted[name] = self._random.sample(every, self._random.randint(1, 5))
        living = [n for n, child in enumerate(one.children) if child.returncode is None]
        one.publish(lags=self._random.choice([None, *living]))

    async def _slow(self) -> None:
        slow = effects.Latency(0.2, up_to=0.9 * CALL)
        self._one.platform.add_fault(Rule(slow, end=self._random.uniform(2, 20)))

    async def _pause_database(self) -> None:
        self._server.signal(signal.SIGSTOP)
        await asyncio.sleep(self._random.choice(STOPS))
        self._server.signal(signal.SIGCONT)


@pytest.mark.timeout(SECONDS + 3 * PATIENCE)
async def test_every_change_is_written_down_whatever_befalls_the_replicas(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """Stopped, killed, cut off, with files of several ages, they do what people want, each change with an intent."""
    async with replicas(tmp_path, postgresql) as one:
        await Nemesis(one, postgresql).live()
        await one.settles()
        assert written_down(one)
        assert wrongly_gone(one) == []


def wrongly_gone(one: Fleet) -> list[str]:
    """Return the unsubscribes of devices that every revision of the last moments wanted."""
    found = []
    for record in one.platform.requests:
        if record.route is not Route.UNSUBSCRIBE:
            continue
        recent = [wanted for at, wanted in one.published if record.at - BELATED < at <= record.at]
        before = [wanted for at, wanted in one.published if at <= record.at - BELATED][-1:]
        if all(record.device in wanted[str(record.user)] for wanted in (*before, *recent)):
            found.append(f"{record.at:.1f} {record.user} {record.device}")
    return found


def written_down(one: Fleet) -> bool:
    """Require that every change that LG saw has an intent, and no answered one has two."""
    names = {Route.SUBSCRIBE: "subscribe", Route.UNSUBSCRIBE: "unsubscribe"}
    made = Counter(
        (record.user, record.device, names[record.route])
        for record in one.platform.requests
        if record.route in names
    )
    found = one.ask("SELECT account, device, action, message_id FROM change")
    rows = Counter((account, device, action) for account, device, action, _ in found)
    lacking = {key: count for key, count in made.items() if rows[key] < count}
    assert not lacking
    ids = Counter(message_id for *_, message_id in found if message_id is not None)
    return max(ids.values()) == 1
