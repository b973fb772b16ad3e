"""The database as each daemon reaches it, and what is reported of who has what.

Owns: what stands between one daemon and the database: it may be cut, or connections end in the middle or right after a
commit. Whoever judges hears who reads the source, who freed an account in good order, and what a replica reads of the
whole fleet. Must not: judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Protocol, cast

from memory_coordination import (
    Database,
    MemoryCoordination,
    MemoryMembers,
    MemoryOwnership,
    MemorySource,
    MemoryStorage,
    Tables,
)
from reconciler.core.errors import StateError
from reconciler.core.model import AccountName
from reconciler.core.replicas import Member, MemberId
from reconciler.state.coordination import Coordination, Fleet, Renewal, Taken
from reconciler.state.port import Storage

SLOW_RENEWAL_SECONDS = 4.0


class Hears(Protocol):
    """Hears what happens in the tables."""

    def moved(self) -> None:
        """Hear that owners, members or the reader of the source may be others now."""

    def freed(self, accounts: Mapping[AccountName, int]) -> None:
        """Hear that accounts were freed in good order, each in an epoch."""

    def declared_dead(self, member: MemberId) -> None:
        """Hear that somebody declared a member dead."""

    def told(self, fleet: Fleet) -> None:
        """Hear what a replica reads of the whole fleet."""


def nobody(_member: MemberId) -> None:
    """Take that somebody joined."""


@dataclass
class Link:
    """One daemon's way to the database. ``cut``: no answer comes. ``torn``: that share of transactions is broken off.

    ``renewals_cut``: only signs of life are lost. ``slow``: each takes long.
    """

    database: Database
    random: Random
    hears: Hears
    joined: Callable[[MemberId], None] = nobody
    cut: bool = False
    renewals_cut: bool = False
    slow: bool = False
    torn: float = 0.0
    members: list[MemberId] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    @contextmanager
    def transaction(self, kind: str = "") -> Iterator[Tables]:
        """Let one transaction have the tables, or break it off: before it does anything, or after its commit."""
        if self.cut:
            raise StateError("the database cannot be reached")
        broken = self.torn > 0 and self.random.random() < self.torn
        after = broken and self.random.random() < 0.5
        if broken and not after:
            raise StateError("terminating connection due to administrator command")
        with self.database.transaction(kind) as tables:
            yield tables
        if after:
            raise StateError("the connection was lost after the commit")

    def be_well(self) -> None:
        """End all that is wrong with it."""
        self.cut = self.renewals_cut = self.slow = False
        self.torn = 0.0

    @property
    def well(self) -> bool:
        """Say whether nothing is wrong with it."""
        return not (self.cut or self.renewals_cut or self.slow or self.torn)


class _Members(MemoryMembers):
    def __init__(self, link: Link) -> None:
        super().__init__(cast("Database", link))
        self._link = link

    def join(self, member: Member) -> Renewal:
        self._link.joined(member.id)
        return super().join(member)

    async def renew(self, member: MemberId) -> Renewal | None:
        link = self._link
        if link.renewals_cut:
            raise StateError("the renewals are cut off")
        if link.slow:
            await asyncio.sleep(link.random.random() * SLOW_RENEWAL_SECONDS)
        return await super().renew(member)

    def declare_dead(self, member: MemberId, beat: int) -> bool:
        try:
            dead = super().declare_dead(member, beat)
        finally:
            self._link.hears.moved()
        if dead:
            self._link.hears.declared_dead(member)
        return dead

    def leave(self, member: MemberId) -> None:
        try:
            super().leave(member)
        finally:
            self._link.hears.moved()


class _Ownership(MemoryOwnership):
    def __init__(self, link: Link) -> None:
        super().__init__(cast("Database", link))
        self._link = link

    def take(self, member: MemberId, most: int) -> Taken:
        try:
            return super().take(member, most)
        finally:  # also where the answer is lost
            self._link.hears.moved()

    def shed(self, epochs: Mapping[AccountName, int], member: MemberId) -> None:
        self._link.hears.freed(epochs)
        try:
            super().shed(epochs, member)
        finally:
            self._link.hears.moved()

    def fleet(self, now: datetime, silent: Collection[MemberId] = ()) -> Fleet:
        fleet = super().fleet(now, silent)
        self._link.hears.told(fleet)
        return fleet


class _Source(MemorySource):
    def __init__(self, link: Link) -> None:
        super().__init__(cast("Database", link))
        self._link = link

    def take(self, member: MemberId) -> int | None:
        try:
            return super().take(member)
        finally:
            self._link.hears.moved()

    def shed(self, member: MemberId, epoch: int) -> None:
        try:
            super().shed(member, epoch)
        finally:
            self._link.hears.moved()


class _Coordination(MemoryCoordination):
    """The coordination of one daemon, over its way to the database."""

    def __init__(self, link: Link) -> None:
        super().__init__(cast("Database", link))
        self.members = _Members(link)
        self.ownership = _Ownership(link)
        self.source = _Source(link)


def coordination(link: Link) -> Coordination:
    """Return what a daemon shares with the others beside the state."""
    return _Coordination(link)


def storage(link: Link) -> Storage:
    """Return the state for one daemon."""
    return cast("Storage", MemoryStorage(cast("Database", link)))
