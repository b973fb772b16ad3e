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

from postgres import Postgres
from reconciler.simulator import Platform, Route, create_app, serving
from scenarios import child_environment, credentials_folder, environment, eventually, fleet, owned

ACCOUNTS = tuple(f"hotel-{number}" for number in range(6))
LEASE = 21.0
"""The shortest lease with calls of one second."""
SECONDS = float(os.environ.get("NEMESIS_SECONDS", "30"))
"""How long the trouble lasts; an hour by hand."""


@dataclass
class Fleet:
    """Three replicas and what they share."""

    platform: Platform
    given: Mapping[str, str]
    folder: Path
    url: str
    wanted: dict[str, list[str]]
    children: list[Process] = field(default_factory=list)

    async def start(self) -> Process:
        """Start one more replica."""
        number = len(list(self.folder.glob("*.log")))
        with (self.folder / f"{number}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reconciler", "run"),
                env=child_environment(
                    {**self.given, "PCC_STATE_DIR": str(self.folder / f"s{number}")}
                ),
                stdout=DEVNULL,
                stderr=log,
            )
        self.children.append(child)
        return child

    def publish(self) -> None:
        """Write what people want."""
        lines = ["version = 1", "policy.max_unsubscribe = '100%'", "policy.allow_empty = true"]
        for name, wanted in self.wanted.items():
            listed = ", ".join(f'"{one}"' for one in wanted)
            lines += [f"[accounts.{name}]", f"devices = [{listed}]"]
        path = self.folder / "desired-state.toml"
        beside = path.with_suffix(".new")
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
        beside.replace(path)

    def agrees(self) -> bool:
        """Say whether LG has everything as people want it."""
        return all(
            self.platform.subscribed(name) == set(wanted) for name, wanted in self.wanted.items()
        )

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Return what a query finds in the shared database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def owners(self) -> Counter[object]:
        """Return how many accounts each living member owns."""
        found = self.ask("SELECT owner FROM ownership JOIN member ON id = owner WHERE NOT dead")
        return Counter(owner for (owner,) in found)


@asynccontextmanager
async def replicas(folder: Path, server: Postgres) -> AsyncIterator[Fleet]:
    """Give three replicas that have shared the accounts, and end them."""
    platform = fleet(6, users=ACCOUNTS)
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, folder) | {
            "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
            "PCC_STATE_URL": server.fresh(),
            "PCC_LEASE": f"{LEASE:.0f}s",
            "PCC_REQUEST_TIMEOUT": "1s",
            "PCC_INTERVAL": "1m",
        }
        wanted = {name: owned(platform, name)[:4] for name in ACCOUNTS}
        one = Fleet(platform, given, folder, given["PCC_STATE_URL"], wanted)
        one.publish()
        try:
            for _ in range(3):
                await one.start()
            await eventually(one.agrees, "everything is subscribed")
            await eventually(lambda: sorted(one.owners().values()) == [2, 2, 2], "even shares")
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
        assert sorted(one.owners().values()) == [3, 3]
        assert any("replica.dead" in log_of(one, child) for child in one.children)


def log_of(one: Fleet, child: Process) -> str:
    """Return the log of a replica."""
    return (one.folder / f"{one.children.index(child)}.log").read_text(encoding="utf-8")


async def test_a_planned_hand_over_is_quick(tmp_path: Path, postgresql: Postgres) -> None:
    """A replica that gets SIGTERM frees everything, and the others have it without waiting for its lease."""
    async with replicas(tmp_path, postgresql) as one:
        leaving = one.children[0]
        leaving.send_signal(signal.SIGTERM)
        await eventually(lambda: sorted(one.owners().values()) == [3, 3], "even shares")
        assert not any("replica.dead" in log_of(one, child) for child in one.children)
        assert await leaving.wait() == 0
        assert "Traceback" not in log_of(one, leaving)


async def test_every_change_is_written_down_whatever_befalls_the_replicas(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """Stopped, killed, and cut off from PostgreSQL, they come to what people want, each change with an intent."""
    random = Random(SECONDS)  # noqa: S311 - repeatable, and no secret
    async with replicas(tmp_path, postgresql) as one:

        async def stop() -> None:
            child = random.choice([each for each in one.children if each.returncode is None])
            child.send_signal(signal.SIGSTOP)
            await asyncio.sleep(random.choice((0.5, 3.0, 8.0)))
            child.send_signal(signal.SIGCONT)

        async def kill() -> None:
            child = random.choice([each for each in one.children if each.returncode is None])
            child.kill()
            await child.wait()
            await one.start()

        async def cut() -> None:
            one.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND application_name = 'pcc-reconciler'"
            )

        async def edit() -> None:
            name = random.choice(ACCOUNTS)
            one.wanted[name] = random.sample(owned(one.platform, name), random.randint(1, 5))
            one.publish()

        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            await random.choice((edit, edit, edit, stop, cut, kill))()
            await asyncio.sleep(random.uniform(0.2, 2.0))
        await eventually(one.agrees, "everything is as people want it")
        assert written_down(one)


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
