"""Replicas as processes of their own over one PostgreSQL, each with its own files and its own port."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import psycopg

from reconciler.simulator import Platform, Route, create_app, serving
from scenarios import (
    CHANGES,
    child_environment,
    credentials_folder,
    environment,
    eventually,
    fleet,
    free_port,
    owned,
    rename_over,
)

LEASE = 21
"""The shortest lease with calls of one second, in seconds."""


@dataclass(eq=False)
class Replica:
    """One replica: where its files are, and its process while it runs."""

    folder: Path
    given: dict[str, str]
    process: Process | None = None

    @property
    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        content = (self.folder / "log").read_text(encoding="utf-8")
        return [json.loads(line) for line in content.splitlines() if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event."""
        return [line for line in self.log if line["event"] == event]

    @property
    def member(self) -> str:
        """Return the member that it joined as last since its start, or an empty string."""
        joined = self.logged("replica.joined")
        return str(joined[-1]["member"]) if joined else ""

    async def start(self) -> None:
        """Start the process, with a new log."""
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reconciler", "run"),
                env=child_environment(self.given),
                stdout=DEVNULL,
                stderr=log,
            )

    async def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send a request with a JSON body to its port."""
        return await self.send(method, path, json=body)

    async def send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Send a request to its port."""
        async with httpx.AsyncClient(base_url=f"http://{self.given['PCC_LISTEN']}") as client:
            return await client.request(method, path, timeout=60.0, **parts)

    async def accounts(self) -> dict[str, dict[str, Any]]:
        """Return what it says of each account."""
        try:
            answer = await self.ask("GET", "/api/v1/status")
        except httpx.TransportError:
            return {}
        return {one["account"]: one for one in answer.json()["accounts"]}

    async def stop(self) -> int:
        """End it in good order, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()

    async def kill(self) -> None:
        """End it as kill -9 does, stopped or not."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@dataclass(eq=False)
class Replicas:
    """Replicas, and what they share. ``wanted`` are the devices of each account."""

    platform: Platform
    folder: Path
    given: Mapping[str, str]
    wanted: dict[str, list[str]]
    each: list[Replica] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address of the database."""
        return self.given["PCC_STATE_URL"]

    def add(self, **given: str) -> Replica:
        """Return one more replica with files of its own, and with these settings beside the usual ones."""
        folder = self.folder / f"replica-{len(self.each)}"
        folder.mkdir()
        own = {
            "PCC_CREDENTIALS_DIR": str(credentials_folder(self.platform, folder / "credentials")),
            "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
            "PCC_STATE_DIR": str(folder / "state"),
            "PCC_LISTEN": f"127.0.0.1:{free_port()}",
        }
        one = Replica(folder, {**self.given, **own, **given})
        self.each.append(one)
        self.publish(one)
        return one

    def publish(self, *to: Replica) -> None:
        """Write what people want into the files of these replicas, or of all."""
        for one in to or self.each:
            path = Path(one.given["PCC_DESIRED_STATE"])
            if path.is_absolute():  # else it is in a repository
                rename_over(path, self.text())

    def text(self) -> str:
        """Return what people want as a file."""
        lines = ["version = 1", "policy.max_unsubscribe = 1000", "policy.allow_empty = true"]
        for name, wanted in self.wanted.items():
            listed = ", ".join(f'"{one}"' for one in wanted)
            lines += [f"[accounts.{name}]", f"devices = [{listed}]"]
        return "\n".join(lines) + "\n"

    def agrees(self) -> bool:
        """Say whether LG has everything as people want it."""
        subscribed = self.platform.subscribed
        return all(subscribed(name) == set(wanted) for name, wanted in self.wanted.items())

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query finds in the shared database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def change(self, sql: str) -> None:
        """Let somebody else change the shared database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql)

    def owners(self) -> dict[str, str]:
        """Return the living member that owns each account."""
        found = self.ask(
            "SELECT account, owner FROM ownership JOIN member ON id = owner AND NOT dead"
        )
        return dict(found)

    def owned_by(self, one: Replica) -> list[str]:
        """Return the accounts that a replica owns."""
        return sorted(account for account, owner in self.owners().items() if owner == one.member)

    def shares(self) -> list[int]:
        """Return how many accounts each living member owns, of those that own some."""
        return sorted(Counter(self.owners().values()).values())

    def reader(self) -> Replica | None:
        """Return the replica that reads the source, if one does."""
        ((member,),) = self.ask("SELECT owner FROM informer")
        return next((one for one in self.each if one.member == member), None)

    async def working(self, *shares: int) -> None:
        """Wait until LG has everything as people want it, and the accounts are shared like this."""
        await eventually(self.agrees, "everything is as people want it")
        await eventually(lambda: self.shares() == list(shares), "even shares")

    def calls(self, *routes: Route, user: str | None = None) -> int:
        """Return how many requests of these kinds LG got."""
        return sum(
            one.route in routes and user in {None, one.user} for one in self.platform.requests
        )


def unwritten(platform: Platform, ask: Callable[[str], list[tuple[Any, ...]]]) -> list[str]:
    """Return the calls of changes that have no row of their own. No row may be of two calls.

    A call that was answered is known by its message id. One without an answer has a row that never got one.
    """
    rows = ask("SELECT account, device, action, message_id FROM change")
    ids = Counter(message_id for *_, message_id in rows if message_id is not None)
    assert max(ids.values()) == 1
    open_rows = Counter(
        (account, device, action) for account, device, action, its in rows if not its
    )
    lacking = []
    for call in platform.requests:
        if call.route not in CHANGES or call.status == HTTPStatus.UNAUTHORIZED:
            continue
        key = (call.user, call.device, str(call.route))
        if call.message_id in ids:
            del ids[call.message_id]
        elif open_rows[key] > 0:
            open_rows[key] -= 1
        else:
            lacking.append(f"{call.route} {call.device} of {call.user}")
    return lacking


@asynccontextmanager
async def replicated(
    folder: Path,
    url: str,
    users: Iterable[str],
    devices: int = 4,
    subscribed: float = 0.0,
    **given: str,
) -> AsyncIterator[Replicas]:
    """Give accounts that may have replicas; none is started yet. All but one of the devices are wanted."""
    names = tuple(users)
    platform = fleet(devices, subscribed=subscribed, users=names)
    async with serving(create_app(platform)) as base_url:
        shared = environment(platform, base_url, folder) | {
            "PCC_STATE_URL": url,
            "PCC_LEASE": f"{LEASE}s",
            "PCC_REQUEST_TIMEOUT": "1s",
            "PCC_INTERVAL": "1h",
        }
        wanted = {name: owned(platform, name)[:-1] for name in names}
        one = Replicas(platform, folder, {**shared, **given}, wanted)
        try:
            yield one
        finally:
            for each in one.each:
                await each.kill()
