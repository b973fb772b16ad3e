"""What replicas ask of the database that they share: who lives, who owns which account, and what everybody must know.

Owns: one Protocol for each noun, and the rows as values. Must not: contain code, or decide: ``core.replicas`` has the
rules. Each implementation passes ``tests/state/test_coordination.py``.

Every method is one transaction, and raises ``StateError`` where the database does not answer. Accounts are always
locked in the order of their names, so two replicas never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName
from reconciler.core.replicas import Member, MemberId, Server
from reconciler.core.windows import Opening
from reconciler.state.records import Fence, Group

CHUNK = 500
"""The most accounts that are taken or shed in one transaction."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to a renewal. ``now`` is the database's clock; ``changes`` grows when there is something to read."""

    beat: int
    server: Server
    now: datetime
    changes: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a replica took. ``skipped`` counts accounts that were free, but locked by another transaction."""

    fences: Mapping[AccountName, Fence] = field(default_factory=dict)
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A revision that comes into force, or the fate of one that does not.

    ``managed`` are all accounts in force; the rows of others are kept, but nobody owns these accounts. ``changed`` are
    those whose part or whose fate is another one now. ``retired`` accounts are forgotten. ``groups`` are the documents.
    ``verdict`` is what the other replicas need beside the documents. ``digests`` are those of the revision in force and
    of the newest one.
    """

    managed: frozenset[AccountName]
    changed: frozenset[AccountName]
    verdict: bytes
    at: datetime
    digests: frozenset[str] = frozenset()
    retired: frozenset[AccountName] = frozenset()
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was last accepted. ``serial`` grows with each acceptance; ``content`` is empty before the first."""

    serial: int
    content: bytes


WEBHOOK = "webhook"
"""Who asks where a forge announced a push: no person, so nobody agreed to anything."""


class What(StrEnum):
    """What a command asks for."""

    RECONCILE = "reconcile"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that somebody asked for. ``account`` is empty where it concerns the source of the desired state."""

    id: int
    account: AccountName
    what: What
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StatusRow:
    """What an owner says of an account, for every replica to show. ``report`` is opaque here.

    ``due`` is when the next pass is due.
    """

    account: AccountName
    condition: str
    report: bytes
    at: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class Fleet:
    """The whole fleet by the tables. ``overdue`` is in seconds, of the account that is longest overdue."""

    accounts: int = 0
    unowned: int = 0
    overdue: float = 0.0


class Members(Protocol):
    """The replicas that live."""

    def join(self, member: Member) -> Renewal:
        """Add a member with a new id."""

    async def renew(self, member: MemberId) -> Renewal | None:
        """Let a member's beat grow by one, on a connection of its own; None if it was declared dead."""

    def listen(self, heard: Callable[[], None]) -> None:
        """Let this be called in the event loop of the renewals when there may be something to read.

        It only comes earlier than the next renewal. Nothing may rely on it: it may never be called.
        """

    def living(self) -> Sequence[Member]:
        """Return the members that are not dead, sorted by id."""

    def declare_dead(self, member: MemberId, beat: int) -> bool:
        """Declare a member dead, for ever, if its beat is still this one. Return whether that was so."""

    def leave(self, member: MemberId) -> None:
        """Declare a member dead that ends in good order, whatever its beat."""


class Ownership(Protocol):
    """Which replica owns which account."""

    def take(self, member: MemberId, most: int) -> Taken:
        """Give a living member at most ``most`` accounts, and ``CHUNK``, that nobody alive owns. Each epoch grows."""

    def shed(self, epochs: Mapping[AccountName, int], member: MemberId) -> None:
        """Free these accounts where the member still owns them in that epoch."""

    def owned(self, member: MemberId) -> Mapping[AccountName, Fence]:
        """Return the accounts that a member owns and that are in force, with what is true of each now."""

    def failing(self, fences: Mapping[AccountName, Fence]) -> frozenset[AccountName]:
        """Return the accounts whose fence is no longer true."""

    def count(self) -> int:
        """Return how many accounts are in force."""

    def fleet(self, now: datetime, silent: Collection[MemberId] = ()) -> Fleet:
        """Return the figures of the whole fleet. Members that are ``silent`` own nothing any more."""


class Source(Protocol):
    """Who reads the source of the desired state, and what was accepted."""

    def take(self, member: MemberId) -> int | None:
        """Give the source to a living member if nobody alive has it. Return the epoch if the member has it now."""

    def shed(self, member: MemberId, epoch: int) -> None:
        """Free the source where the member still has it in that epoch."""

    def accept(self, member: MemberId, epoch: int, acceptance: Acceptance) -> bool:
        """Bring a revision into force for all replicas; False, and nothing, where the member lost the source."""

    def accept_alone(self, acceptance: Acceptance) -> bool:
        """Bring a revision into force for the replicas that come later; False, and nothing, where one lives.

        It is for a command that keeps replicas from joining meanwhile.
        """

    def verdict(self) -> Verdict:
        """Return what was last accepted, to be read after ``Ownership.owned`` and before the documents."""

    def earlier(self, now: datetime) -> frozenset[str]:
        """Return the digests of the revisions that were accepted within 24 hours."""


class Commands(Protocol):
    """What people and programs asked for, and the reports that everybody shows."""

    def ask(self, what: What, accounts: Collection[AccountName], by: str, at: datetime) -> None:
        """Ask for something of each account. For ``FETCH`` no account is named."""

    def asked(self, accounts: Collection[AccountName], *, source: bool) -> Sequence[Command]:
        """Return what waits for these accounts, and for the ``source``, oldest first."""

    def done(self, ids: Collection[int]) -> None:
        """Take that these were done."""

    def pause(
        self, account: AccountName | None, override: PauseOverride | None, now: datetime
    ) -> None:
        """Set or end a pause like ``port.Pauses.set``. It is in force at the commit: plans from before fail."""

    def open_window(self, window: str, opening: Opening | None, now: datetime) -> bool:
        """Open a window, or end its opening. Return whether one was in force. Plans from before fail, as at a pause."""

    def report(self, rows: Collection[StatusRow], fences: Mapping[AccountName, Fence]) -> None:
        """Keep what owners say of accounts. Rows whose owner or epoch is not that of the fence are left out."""

    def reports(self) -> Sequence[StatusRow]:
        """Return what is known of every account in force, sorted."""


class Tokens(Protocol):
    """Which account uses which user token, by fingerprints that say nothing about the token."""

    def key(self) -> bytes:
        """Return the key of the fingerprints, which is the same for all replicas."""

    def note(
        self, used: Mapping[AccountName, frozenset[str]], fences: Mapping[AccountName, Fence]
    ) -> Mapping[AccountName, Mapping[str, AccountName]]:
        """Note which tokens accounts use instead of those noted before, except tokens of another account in force.

        Return the accounts that were noted, each with the tokens that are another account's, and which. Accounts whose
        owner or epoch is not that of the fence are left out.
        """


class Tenure(Protocol):
    """What this process may write. Every method may be called from any thread."""

    def known(self) -> Mapping[AccountName, Fence]:
        """Return the accounts that it owns, with what was true of each when it was last read."""

    def planned(self) -> Mapping[AccountName, Fence]:
        """Return them with the generation and the pause that plans are made on here."""

    def failed(self, accounts: frozenset[AccountName]) -> frozenset[AccountName]:
        """Take that fences failed, and read what is true now; return the accounts that are still owned.

        Their plans are outdated. Raises ``StateError``.
        """


class Coordination(Protocol):
    """Everything that replicas share beside the state."""

    members: Members
    ownership: Ownership
    source: Source
    commands: Commands
    tokens: Tokens

    def close(self) -> None:
        """Close what is open."""
