"""Resolves rules to locks, for ``resolve``.

Owns: which accounts are resolved, what their locks have to hold by LG's registry, and that a lock is written whole.
Must not: print, or choose an exit code. All locks are written or none: where one registry is not believed, a person
looks first.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from reconciler.core.acceptance import chosen
from reconciler.core.clock import Clock
from reconciler.core.errors import Fault, Invalid, PlatformError, ReconcilerError
from reconciler.core.model import AccountName, Desired, DeviceId
from reconciler.core.rules import (
    LockLine,
    Registry,
    Resolved,
    Ruled,
    doubt,
    fingerprint,
    resolved,
)
from reconciler.desired import Tree, load, locks, matches
from reconciler.pcc.clients import Clients
from reconciler.runtime.accounts import Follower, each_account
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.settings import Settings
from reconciler.runtime.source import local
from reconciler.runtime.wiring import built
from reconciler.source import Fetched, load_fetched
from reconciler.state import State
from reconciler.telemetry.masking import Masking


class Registries(Protocol):
    """Knows LG's registry of each account."""

    async def of(self, account: AccountName) -> Registry:
        """Return the registry of an account. Raises ``ReconcilerError`` with the reason why there is none."""


class AskingLg:
    """Asks LG itself, once for each account."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients, self._clock = clients, clock

    async def of(self, account: AccountName) -> Registry:
        """Return the registry of an account as LG has it now."""
        client = self._clients(account)
        if isinstance(client, str):
            raise ReconcilerError(client)
        began = self._clock.now()
        try:
            return Registry(await client.registered(), began)
        except PlatformError as error:
            raise ReconcilerError(f"LG's registry cannot be read: {error}") from error


@asynccontextmanager
async def asking_lg(
    settings: Settings, masking: Masking, accounts: Iterable[Desired]
) -> AsyncIterator[AskingLg]:
    """Give what asks LG with the accounts' credentials. Sends GET only."""
    clock = SystemClock()
    here = settings.model_copy(update={"git_url": None})
    async with built(here, State.in_memory(clock), read_only=True, masking=masking) as components:
        countries: dict[AccountName, str | None] = {}
        for one in accounts:
            countries[one.account] = one.country
            components.clients.limit(one.account, one.policy.calls_per_hour)
        components.clients.follow(countries)
        masking.know(components.credentials.secrets())
        yield AskingLg(components.clients, clock)


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one account: what it has to hold, and what it holds now.

    ``content`` is what has to be written, or None where the file is as it should be.
    """

    account: AccountName
    path: str
    resolved: Resolved
    before: Mapping[DeviceId, LockLine]
    content: str | None = None


class WorkingFiles:
    """The files of a working tree with the accounts that have rules. Raises ``Invalid`` for any other fault in them."""

    def __init__(self, settings: Settings) -> None:
        self._environment = settings.environment
        self._fetched: Fetched = local(settings.desired_state).fetch()
        self._loaded = load_fetched(self._fetched, environment=settings.environment, resolving=True)
        if self._loaded.every_fault:
            raise Invalid(self._loaded.every_fault)
        self.accounts: dict[AccountName, Desired] = {}
        for name, desired in sorted(self._loaded.accounts.items()):
            if desired.ruled is not None:
                self.accounts[name] = desired

    def asked(self, names: Sequence[str] | None) -> list[AccountName]:
        """Return the accounts with rules that a person asks for, or all of them. Another name raises."""
        for name in names or ():
            if name in self._loaded.accounts and name not in self.accounts:
                raise ReconcilerError(f"account {name} has no rules")
        return chosen(names, list(self.accounts))

    async def locks(
        self,
        names: Sequence[AccountName],
        registries: Registries,
        follower: Follower,
        *,
        at_once: int,
        prune: bool = False,
    ) -> list[Lock]:
        """Return the locks of some accounts. Raises ``Invalid`` where one registry is not there or not believed."""
        read = await each_account(names, registries.of, follower, at_once=at_once)
        found, faults = [], []
        for name, registry in zip(names, read, strict=True):
            try:
                if isinstance(registry, BaseException):
                    raise registry
                found.append(self._lock(self.accounts[name], registry, prune=prune))
            except ReconcilerError as error:
                faults.append(Fault("", 0, 0, f"account {name}: {error}; no lock was written"))
        if faults:
            raise Invalid(faults)
        self._insist_on_validity(found)
        return found

    def _lock(self, desired: Desired, registry: Registry, *, prune: bool) -> Lock:
        ruled = desired.ruled
        if ruled is None:
            raise ReconcilerError("the account has no rules")
        doubted = doubt(registry.devices, ruled.head)
        if doubted:
            raise ReconcilerError(f"{doubted}, so it is not believed")
        before = locks.lines(ruled.locked, self._content(ruled))
        now = resolved(
            desired.account,
            ruled,
            before,
            registry.devices,
            leave=desired.policy.ignore,
            prune=prune,
        )
        count = len({device.id for device in registry.devices})
        content = locks.dump(
            desired.account, fingerprint(ruled.rules), count, registry.read, now.lines
        )
        written = locks.lines(now.lines, content.encode())
        same = written == before and ruled.fits(desired.account)
        return Lock(desired.account, ruled.path, now, before, None if same else content)

    def _content(self, ruled: Ruled) -> bytes:
        return self._loaded.files.get(ruled.path, b"")

    def _insist_on_validity(self, found: Sequence[Lock]) -> None:
        """Make sure that the files with the new locks are such as the daemon would accept."""
        new = {one.path: one.content.encode() for one in found if one.content is not None}
        tree = _WithLocks(self._fetched.tree, new)
        loaded = load(self._fetched.documents, tree, environment=self._environment, resolving=True)
        if loaded.every_fault:
            raise Invalid(loaded.every_fault)

    def write(self, found: Sequence[Lock]) -> None:
        """Write the locks that are not as they should be, each whole. Raises ``ReconcilerError``."""
        for one in found:
            if one.content is not None:
                home = Path(self.accounts[one.account].path).parent
                _write(Path(one.path), home, self._loaded.files.get(one.path), one.content)


@dataclass(frozen=True, slots=True)
class _WithLocks:
    """A tree in which some files have another content."""

    tree: Tree
    files: Mapping[str, bytes] = field(default_factory=dict)

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``."""
        found = set(self.tree.match(folder, pattern))
        prefix = posixpath.join(folder, "")
        for path in self.files:
            if path.startswith(prefix) and matches(path.removeprefix(prefix), pattern):
                found.add(path)
        return sorted(found)

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise ``Unreadable``."""
        return self.files[path] if path in self.files else self.tree.read(path)


def _write(path: Path, home: Path, before: bytes | None, content: str) -> None:
    """Put a file in the place of one that is still as it was read. It is there whole or not at all."""
    beside = path.with_name(f".{path.name}.new")  # a pattern of device files matches no dot file
    try:
        if not path.parent.resolve().is_relative_to(home.resolve()):
            raise ReconcilerError(f"{path} leads out of the folder of the file that names it")
        path.parent.mkdir(parents=True, exist_ok=True)
        if (path.read_bytes() if path.exists() else None) != before:
            raise ReconcilerError(f"{path} was changed meanwhile; run resolve again")
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            shutil.copymode(path, beside)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise ReconcilerError(f"{path}: cannot be written: {error.strerror}") from error
