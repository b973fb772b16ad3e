"""What the parts of this room ask of each other.

Owns: one Protocol for each part. Must not: contain code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.events.model import (
    Arrival,
    Attempt,
    Device,
    Diagnosis,
    EventState,
    KeptEvent,
    Message,
    Outcome,
    Receipt,
    SpoolFigures,
    Wanted,
)


class Directory(Protocol):
    """Names devices: the desired state that is in force, or the last accepted one, or none."""

    def device(self, device: str) -> Device:
        """Return what is known of a device; never raises, and an unknown device is a value too."""


class Logic(Protocol):
    """The partner's Logic Table that is in force."""

    @property
    def revision(self) -> str | None:
        """Digest of the accepted table; None without one."""

    def diagnosis(self, diagnosis: str, device_type: str | None) -> Diagnosis:
        """Return what the table says; a type without a row is a value with ``matched`` False."""


class Route(Protocol):
    """Where a message goes, and what the lists show of it without asking the desired state again."""

    @property
    def sinks(self) -> Sequence[str]:
        """The names of the sinks that get it."""

    @property
    def account(self) -> str | None:
        """The account that the desired state has its device in."""

    @property
    def category(self) -> str | None:
        """The category that the Logic Table has its type in."""


class Router(Protocol):
    """Chooses sinks for what is stored now. Called inside the transaction that stores, so it must be quick."""

    def route(self, message: Message) -> Route:
        """Return where a message goes, and what was known about it when it was stored."""


class Inlet(Protocol):
    """Takes what arrives. Implemented by ``spool``."""

    async def store(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Return after the commit that has all of them. Raises ``SpoolFull``, or ``SpoolError`` (disk, time-out)."""


class Outbox(Protocol):
    """What is to be delivered. Implemented by ``spool``; every method but ``changed`` may block on the disk."""

    def due(
        self, sink: str, now: datetime, limit: int, *, ordered: bool, busy: Collection[int]
    ) -> Sequence[Attempt]:
        """Return what is due at a sink, the longest due first.

        ``ordered``: of each device only the first undelivered event, so a retry holds back the later ones. Events that
        name no device hold back nothing. ``busy`` are the seqs whose attempt is under way; none of them is returned.
        They are undelivered until their outcome is recorded, so they hold back the later ones of their devices, too.
        """

    def next_due(self, sink: str, *, ordered: bool, busy: Collection[int]) -> datetime | None:
        """Return when ``due`` would return something with the same arguments, or None where nothing waits."""

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Keep how attempts ended; returns after the shared commit, however long the disk refuses it.

        Until then the attempts stay ``busy``, so nothing is delivered twice because the disk is full. Raises
        ``SpoolError`` once the spool is closed.
        """

    async def changed(self) -> None:
        """Return when something may have become due since this was last awaited.

        That is: something was stored or replayed, or another process changed the spool.
        """


class Archive(Protocol):
    """What people and calls ask of the spool. Every method may block on the disk."""

    @property
    def spool(self) -> str:
        """The UUID of the spool: a ``seq`` means nothing without it."""

    def figures(self) -> SpoolFigures:
        """Return what the metrics show of the spool."""

    def events(self, wanted: Wanted) -> Sequence[KeptEvent]:
        """Return the newest events that are wanted, newest first."""

    def event(self, id: str) -> Sequence[KeptEvent]:  # noqa: A002 - the interface's word
        """Return the events whose id begins with this, each with its deliveries; one id is one diagnosis."""

    def unknown(self, known: Logic) -> Mapping[str, int]:
        """Return the diagnosis types without a row in the table, with the number of events of each."""

    def seen(self, after: int, limit: int) -> tuple[int, Sequence[KeptEvent]]:
        """Return the seq of the last event of a page, and the events after a seq, in order, without bodies."""

    def replay(
        self,
        sink: str,
        since: datetime,
        *,
        states: Collection[EventState],
        device: str | None = None,
        dry_run: bool = False,
    ) -> int:
        """Make events due again at a sink, at once, with their tries counted anew; return their number."""

    def erase(self, device: str) -> int:
        """Remove bodies and names of a device; undelivered events become ``erased``. Return the number of events."""

    def expire(self, now: datetime, retention: Retention) -> None:
        """Remove what is older than it is kept: bodies after delivery, keys, quarantine."""


class Keeper(Protocol):
    """Keeps what was last accepted, so that a start with faulty files goes on with it. Implemented by ``spool``."""

    def kept(self, name: str) -> bytes | None:
        """Return what is kept under a name, or None. May block on the disk."""

    def keep(self, name: str, content: bytes) -> None:
        """Keep content under a name in place of what was there. May block on the disk. Raises ``SpoolError``."""


class Retention(Protocol):
    """How long things are kept."""

    @property
    def bodies(self) -> timedelta:
        """How long a body is kept after its delivery: what replay needs."""

    @property
    def keys(self) -> timedelta:
        """How long duplicates are recognised."""

    @property
    def quarantine(self) -> timedelta:
        """How long the bytes in quarantine are kept."""
