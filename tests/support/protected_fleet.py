"""A fleet whose file is edited: files, passes and LG's platform on simulated time, with a state on a real disk.

Beside it is a reader of the files that shares no code with the program: it knows what was stated last of each device.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
from pydantic import SecretStr

from quiet_source import QuietSource
from reconciler.controller.dependencies import Dependencies
from reconciler.controller.informer import Informer
from reconciler.controller.reconciler import Reconciler
from reconciler.core.acceptance import Claims
from reconciler.core.clock import TwoClocks
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.status import PassReport
from reconciler.desired import Document, MemoryTree
from reconciler.pcc.client import Client
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.quota import Quota
from reconciler.simulator import Options, sample_platform
from reconciler.source import Fetched
from reconciler.source.port import NOTHING, Known
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics
from recording import credentials
from simulated import START, YEAR, SimulatedClock, SimulatedTransport, at_once

EAST, WEST, NORTH = AccountName("east"), AccountName("west"), AccountName("north")
SOON = timedelta(minutes=2)
LOOSE = "policy = { max_unsubscribe = 1000, allow_empty = true }"
"""A policy under which no guard of numbers holds anything."""


class Files(QuietSource):
    """Documents and device files in memory, as a source."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def fetch(self, known: Known = NOTHING) -> Fetched | None:
        """Return the files."""
        del known
        paths = sorted(path for path in self.files if path.endswith(".toml"))
        documents = tuple(Document(path, self.files[path]) for path in paths)
        return Fetched(documents, MemoryTree(dict(self.files)))


def document(account: str, *entries: str, more: str = "") -> str:
    """Return a document with one account. Of an entry only the id is written, or what it is as a table."""
    listed = ", ".join(one if one.startswith("{") else f'"{one}"' for one in entries)
    return f"version = 1\n[accounts.{account}]\n{LOOSE}\ndevices = [{listed}]\n{more}"


def protecting(device: str, word: str = "true") -> str:
    """Return an entry that states whether its device is protected."""
    return f'{{ id = "{device}", protected = {word} }}'


def approval(account: str, *devices: str, expires: datetime | None = None) -> str:
    """Return an approval of these devices."""
    listed = ", ".join(f'"{one}"' for one in devices)
    until = (expires or START + timedelta(days=300)).astimezone(UTC)
    return (
        f'[[approvals]]\naccount = "{account}"\ndevices = [{listed}]\n'
        f"expires = {until:%Y-%m-%dT%H:%M:%SZ}\nreason = 'it was sold'\n"
    )


@dataclass(frozen=True, slots=True)
class Deletion:
    """An unsubscribe that LG was sent, whether its device was protected then, and whether an approval named it."""

    account: AccountName
    device: str
    protected: bool
    approved: bool


@dataclass
class LastStated:
    """What was stated last about each device, by the files that came into force, and what is approved by them.

    It reads TOML with the standard library. A faulty file keeps what it had, as the documents promise.
    """

    protected: dict[str, bool] = field(default_factory=dict)
    approvals: dict[str, list[tuple[frozenset[str], datetime]]] = field(default_factory=dict)
    _entries: dict[str, list[Any]] = field(default_factory=dict)

    def read(self, account: str, content: bytes) -> None:
        """Take a file that came into force."""
        document = tomllib.loads(content.decode())
        table = document["accounts"][account]
        self._entries[account] = table.get("devices", [])
        self.approvals[account] = [
            (frozenset(one["devices"]), one["expires"]) for one in document.get("approvals", [])
        ]
        self._state()

    def left(self, account: str) -> None:
        """Take that an account left the files."""
        self._entries.pop(account, None)
        self.approvals.pop(account, None)
        self._state()

    def _state(self) -> None:
        stated: dict[str, set[bool]] = {}
        for entries in self._entries.values():
            for entry in entries:
                if isinstance(entry, dict) and "protected" in entry:
                    stated.setdefault(entry["id"], set()).add(entry["protected"])
        for device, words in stated.items():
            self.protected[device] = True in words

    def went(self, device: str) -> None:
        """Take that an approval let a device go. An entry that protects it still does."""
        self.protected[device] = False
        self._state()

    def approved(self, account: str, now: datetime) -> frozenset[str]:
        """Return the devices that an approval names which is valid now."""
        valid = [devices for devices, expires in self.approvals.get(account, []) if now < expires]
        return frozenset().union(*valid)


class ProtectedFleet:
    """Accounts, their files, their passes and LG. ``users`` maps each account to the LG user of its token."""

    def __init__(self, folder: Path, users: Mapping[AccountName, str], devices: int = 4) -> None:
        self.clock, self.users = SimulatedClock(), dict(users)
        names = sorted(set(users.values()))
        self.platform = sample_platform(
            dict.fromkeys(names, devices),
            only_pcc=True,
            options=Options(token_life=YEAR),
            now=self.clock.steady,
        )
        world = self.platform.world
        self.owned = {
            name: sorted(DeviceId(one) for one in world.user(name).devices) for name in names
        }
        for name in names:  # every user may have every device, so that one can move
            for other in names:
                world.user(name).devices.update(world.user(other).devices)
        self.tokens = {
            name: SecretStr(self.platform.issue_token(user)) for name, user in users.items()
        }
        self.source, self.folder = Files(), folder / "state"
        self.deletions: list[Deletion] = []
        self.oracle = LastStated()
        self._now_at: AccountName = EAST
        self._transport = SimulatedTransport(self.platform, self.clock)
        self._transport.on_request = self._see
        self.reports: dict[AccountName, PassReport] = {}
        self._start()

    def _start(self) -> None:
        self.state = State.open(self.folder, self.clock)
        self.metrics, self.claims = Metrics(), Claims()
        self.informer = Informer(
            self.source,
            self.state.accounts,
            self.state.revisions,
            self.state.protections,
            self.metrics,
            clock=self.clock,
            claims=self.claims,
        )
        two = TwoClocks(self.clock)
        self.clients = {name: self._client(name, two) for name in self.users}
        means = Dependencies(
            state=self.state,
            metrics=self.metrics,
            interval=timedelta(minutes=10),
            concurrency=2,
            confirm_delay=timedelta(seconds=30),
            clock=self.clock,
            random=Random(0).random,  # noqa: S311 - repeatable, and no secret
            blocking=at_once,
            claims=self.claims,
            two_clocks=two,
        )
        self.reconciler = Reconciler(self.informer, self.clients.__getitem__, means)

    def subscribe(self, user: str, *devices: str) -> None:
        """Let somebody subscribe devices at LG."""
        for device in devices:
            self.platform.subscribe(user, device)

    def write(self, account: str, content: str | bytes | None) -> None:
        """Write the file of an account, or remove it."""
        path = f"{account}.toml"
        if content is None:
            self.source.files.pop(path, None)
        else:
            self.source.files[path] = content.encode() if isinstance(content, str) else content

    async def edit(self, account: str, content: str | bytes | None) -> None:
        """Write the file of an account, and let the newest revision come into force."""
        self.write(account, content)
        await self.read()

    async def read(self) -> None:
        """Let the newest revision come into force, and let the other reader read what did."""
        await self.informer.refresh()
        self.look()

    def look(self) -> None:
        """Let the other reader read the files that came into force."""
        accepted = self.informer.accepted
        for account in self.users:
            content = self.source.files.get(f"{account}.toml")
            text = accepted.accounts.get(account)
            if text is None:
                self.oracle.left(account)
            elif text.rejected is None and content is not None:
                self.oracle.read(account, content)

    async def restart(self) -> None:
        """End the process and begin another on the same disk."""
        self.state.close()
        self._start()
        await self.informer.begin()
        self.look()

    def close(self) -> None:
        """Let go of the disk."""
        self.state.close()

    async def passes(self, *names: AccountName, after: timedelta = SOON) -> None:
        """Let time pass, and make a pass of each account that is in force."""
        self.clock.pass_by(after)
        for name in names or tuple(self.users):
            self._now_at = name
            if self.informer.current(name) is None:
                continue
            self.metrics.enter(name)
            await self.reconciler.reconcile(name)
            report = self.reconciler.accounts.statuses[name].last
            assert report is not None
            self.reports[name] = report

    def held(self, account: AccountName = EAST) -> dict[str, str]:
        """Return what the last pass of an account held, and why."""
        return {one.change.device: str(one.reason) for one in self.reports[account].held}

    def live(self, user: str = "east") -> frozenset[str]:
        """Return what LG has."""
        return self.platform.subscribed(user)

    def _see(self, request: httpx.Request) -> None:
        if request.method == "DELETE":
            device = request.url.path.rpartition("/")[2]
            approved = device in self.oracle.approved(self._now_at, self.clock.now())
            protected = self.oracle.protected.get(device, False)
            self.deletions.append(Deletion(self._now_at, device, protected, approved))
            if approved:
                self.oracle.went(device)

    def broken(self) -> list[Deletion]:
        """Return the unsubscribes of devices whose protection nothing ended and that no approval named."""
        return [one for one in self.deletions if one.protected and not one.approved]

    def _client(self, name: AccountName, two: TwoClocks) -> Client:
        service = self.platform.world.service

        def own() -> Credentials:
            return credentials(
                account=name,
                service_id=service.id,
                service_key=service.key,
                access_token=self.tokens[name].get_secret_value(),
            )

        return Client(
            name,
            httpx.AsyncClient(transport=self._transport),
            own,
            metrics=self.metrics,
            timeout_seconds=15,
            quota=Quota(),
            clock=self.clock,
            two_clocks=two,
        )
