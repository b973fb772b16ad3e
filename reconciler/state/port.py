"""What the rest of the program may ask of the state, and what a database must offer to keep it.

Owns: one Protocol for each noun that callers use, and ``Storage``, which is implemented once for each database. Callers
take the Protocol they need. Must not: contain code.

Every method may be called from any thread. A method that writes raises ``StateError`` if the state was opened for
reading only. A write that fails waits, and the caller continues: see ``write_behind``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reconciler.core.guards import PauseOverride
from reconciler.core.memory import AccountMemory, DeviceNames, Past
from reconciler.core.model import (
    AccountName,
    Change,
    Desired,
    DeviceId,
    Memory,
    Observed,
    Outcome,
    PassId,
    Retry,
    Revision,
)
from reconciler.core.protection import Protected, Stated
from reconciler.core.windows import Opening
from reconciler.state.records import Fence, Group, Mark
from reconciler.state.traits import ANY, Traits

Known = tuple[AccountName, DeviceId]
"""A device of an account."""
HISTORY = 1000
"""How many past changes are returned by default."""


@dataclass(frozen=True, slots=True)
class Stay:
    """How a device last came into an account's desired state, and how it left if it did."""

    came: Mark | None = None
    went: Mark | None = None


@dataclass(frozen=True, slots=True)
class KeptText:
    """An accepted document as it was read: its path, and all its files by path."""

    document: str
    revision: Revision
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """An accepted document in a storage: its files by path, each with its SHA-256."""

    document: str
    revision: Revision
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which past changes are wanted: of an account, of a device, from ``since`` on, before ``until``, and like what."""

    account: AccountName | None = None
    device: DeviceId | None = None
    since: datetime | None = None
    until: datetime | None = None
    traits: Traits = ANY

    def takes(self, past: Past) -> bool:
        """Return whether a past change is among those that are wanted."""
        if self.account not in {None, past.account} or self.device not in {None, past.device}:
            return False
        return (
            (self.since is None or self.since <= past.at)
            and (self.until is None or past.at < self.until)
            and self.traits.fit(past)
        )


class Accounts(Protocol):
    """What is remembered of each account. A method waits for the disk only at the first use of an account."""

    def recall(self, account: AccountName, now: datetime) -> Memory:
        """Return what a pass of this account may know."""

    def glance(self, account: AccountName, now: datetime) -> Memory:
        """Return the result of ``recall`` without keeping anything in memory: the account may not exist."""

    def knows(self, account: AccountName) -> bool:
        """Return whether an account was already read from disk, so ``recall`` does not wait."""

    def agrees(
        self,
        account: AccountName,
        observed: Observed,
        credential: str | None,
        live: frozenset[DeviceId],
    ) -> bool:
        """Return whether ``trust`` would change nothing. This is the common case, and needs no disk."""

    def live_accounts(self) -> frozenset[AccountName]:
        """Return the accounts that are expected to have live devices. Raises ``StateError``."""

    def credential(self, account: AccountName, fingerprint: str | None) -> bool:
        """Note which credential an account uses now, by a fingerprint that is not secret; return whether it changed."""

    def desire(self, desired: Desired, revision: Revision, now: datetime) -> None:
        """Record the desired state in force for an account: after a change, and at start."""

    def trust(
        self,
        account: AccountName,
        observed: Observed,
        credential: str | None,
        now: datetime,
        live: frozenset[DeviceId],
    ) -> tuple[Outcome, ...]:
        """Record a trusted list. ``live`` is that list with our latest confirmed changes.

        Returns the changes without an answer that this list shows as made: each once, for log and metrics.
        """

    def doubt(self, account: AccountName, now: datetime) -> None:
        """Count a list that was not trusted."""

    def person_agrees(self, account: AccountName) -> None:
        """Clear all retry waits, and accept the current credential: somebody ran ``reconcile``."""

    def forget_retries(self, account: AccountName, devices: Collection[DeviceId]) -> None:
        """End the wait of these devices, because their entry changed."""

    def retire(self, account: AccountName) -> None:
        """Forget an account; its past changes, and with them the day's count, are kept until they are old."""


class Changes(Protocol):
    """What passes are about to change, and the results."""

    def intend(  # noqa: PLR0917 - called through a worker thread, which takes no keywords
        self,
        account: AccountName,
        pass_id: PassId,
        changes: Sequence[Change],
        approved: frozenset[DeviceId],
        revision: Revision,
        now: datetime,
    ) -> DeviceNames:
        """Write changes down before their calls; return the names of their devices, as history keeps them.

        Check ``writable`` after it, and before unsubscribing.
        """

    def withdraw(
        self, account: AccountName, pass_id: PassId, devices: Collection[DeviceId]
    ) -> None:
        """Take back intents of this pass whose calls were never made, so that history does not show them as failed."""

    def record(
        self,
        account: AccountName,
        pass_id: PassId,
        outcomes: Sequence[Outcome],
        retries: Mapping[DeviceId, Retry | None],
        now: datetime,
    ) -> None:
        """Record the results of changes, and which devices wait; ``None`` ends a device's wait."""


class History(Protocol):
    """What was done, for people. Changes that are not written yet are included."""

    def changes(
        self,
        account: AccountName | None = None,
        device: DeviceId | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = HISTORY,
        *,
        traits: Traits = ANY,
    ) -> Sequence[Past]:
        """Return past changes, newest first: from ``since`` on, and before ``until``. Raises ``StateError``."""

    def devices_like(self, prefix: str, limit: int) -> frozenset[Known]:
        """Return known devices, each with an account, whose id begins with this; at most ``limit``.

        Known are devices that are live or owned, and those of all past changes that are kept. Raises ``StateError``.
        """

    def came_and_went(self, account: AccountName, device: DeviceId) -> Stay:
        """Return which revisions brought a device in and took it out. Raises ``StateError``."""

    def sent_after(self, account: AccountName, moment: datetime) -> tuple[datetime, ...]:
        """Return the times of the changes that were intended after a moment; empty, with trouble, if none can be read.

        A pass that was killed did not save its calls for the quota, but it wrote its intents before its calls.
        """


class Revisions(Protocol):
    """The accepted documents, with all their files."""

    def keep(self, texts: Iterable[KeptText], gone: Iterable[str] = ()) -> None:
        """Keep accepted documents, each in place of the one before, and remove the documents ``gone``.

        This is one transaction. If the files of a document did not change, only its revision is written.
        """

    def groups(self, texts: Iterable[KeptText], gone: Iterable[str] = ()) -> tuple[Group, ...]:
        """Return what ``keep`` would write, for an acceptance that writes it together with more."""

    def kept(self) -> Sequence[KeptText]:
        """Return the accepted documents, sorted. This is slow. A document with a damaged file is left out."""

    def kept_with(self, words: Sequence[bytes], path: str) -> Sequence[KeptText]:
        """Return the accepted document at a path, and those with a file that has at least one of the words.

        One file after the other is read for it, so that not all are held at once.
        """


class Names(Protocol):
    """What people call devices, and what they called them before. Names that are not written yet are included.

    A name is for people only, so a storage that fails has no names, and raises nothing.
    """

    def of(self, account: AccountName, devices: Collection[DeviceId]) -> DeviceNames:
        """Return the last known names of devices; a device without one is left out."""

    def once(self, name: str, limit: int) -> frozenset[Known]:
        """Return the devices that once had this name, also those that are gone or have another name now."""

    def once_like(self, prefix: str, limit: int) -> frozenset[str]:
        """Return former names that begin with this."""

    def hear(self, account: AccountName, names: DeviceNames) -> None:
        """Take what LG calls the devices of an account, for those that have no other name; nothing is written."""

    def heard_as(self, name: str, limit: int) -> frozenset[Known]:
        """Return the devices that LG calls by this name."""


class Pauses(Protocol):
    """The pauses that were set by command."""

    def set(
        self, account: AccountName | None, override: PauseOverride | None, now: datetime
    ) -> None:
        """Set or end a pause. No account means all of them: ending that pause ends every pause.

        Pauses that have ended by ``now`` are removed, too.
        """

    def of(self, account: AccountName, now: datetime) -> PauseOverride:
        """Return the stricter one of the account's pause and the general one, unless they have ended."""

    def all(self, now: datetime) -> Mapping[AccountName | None, PauseOverride]:
        """Return every pause that has not ended. The key ``None`` is the general one."""


class Protections(Protocol):
    """Which devices are protected, as accepted revisions stated last, also after their entries left."""

    def all(self) -> Protected:
        """Return the protected devices of all accounts."""

    def take(self, stated: Stated) -> None:
        """Let what a revision states count in this process. Nothing is written: others write it, or nobody."""

    def keep(self, stated: Stated) -> None:
        """Let what a revision states count, and write it."""

    def group(self, stated: Stated) -> Group:
        """Return what ``keep`` would write, for an acceptance that writes it together with more."""


class OpenedWindows(Protocol):
    """The change windows that a command opened."""

    def open(self, opening: Opening, now: datetime) -> None:
        """Open a window. An earlier opening of it ends."""

    def close(self, window: str, now: datetime) -> bool:
        """End the opening of a window, and return whether there was one."""

    def edited(self, marks: Collection[str], now: datetime) -> Sequence[Opening]:
        """End the openings of windows that have none of these marks any more, and return them."""

    def in_force(self, now: datetime) -> tuple[Opening, ...]:
        """Return the openings that have not ended."""

    def past(self, since: datetime, limit: int) -> Sequence[Opening]:
        """Return the openings since a moment, newest first, also those in force. Raises ``StateError``."""


class Quotas(Protocol):
    """When each account made its last calls, and the limit that was learned for it."""

    def keep(self, account: AccountName, calls: Sequence[float], limit: int | None) -> bool:
        """Keep when an account's last calls were made, in seconds, and the limit that was learned.

        It is written together with the next write. With thousands of accounts, a write for the list of each pass would
        cost more than the pass. Returns whether it is time to flush: always after a new limit was learned. After a
        crash the count of the hour may lack a second of lists.
        """

    def keep_ahead(
        self, account: AccountName, calls: Sequence[float], limit: int | None, now: float
    ) -> None:
        """Keep the same, and a call more for each intent that has no outcome yet: its call may come at any moment.

        After a crash those intents are known by being later than the last kept call. Here they are earlier.
        """

    def of(self, account: AccountName) -> tuple[tuple[float, ...], int | None]:
        """Return the kept calls and limit."""


class Medium(Protocol):
    """The file or server behind a storage.

    ``trouble`` is one sentence while writes fail, and empty otherwise. ``generation`` counts how often the data was
    replaced, so earlier readings are outdated. ``losses`` counts how often data was lost,
    ``doubts`` how often another program wrote it, so it may be older than what is in memory. ``set_aside`` is the
    new name of a damaged file. ``notices`` are sentences for the log. ``frozen``: opened for reading only.
    """

    trouble: str
    generation: int
    losses: int
    doubts: int
    set_aside: Path | None
    notices: deque[str]
    frozen: bool

    def look(self) -> bool:
        """Check that the data is still the data that was opened; return True when that first fails."""

    def close(self) -> None:
        """Close it."""


class Storage(Protocol):
    """Where state is kept. Each database has one implementation, and ``tests/state/test_port.py`` tests them all.

    Every method except those of ``medium`` raises ``StateError`` if the database fails.
    """

    medium: Medium

    def write(
        self,
        groups: Iterable[Group],
        *,
        more: bool = False,
        fences: Mapping[AccountName, Fence] | None = None,
    ) -> frozenset[AccountName]:
        """Write all groups or none. ``more`` groups wait: ``trouble`` is not over before they are written.

        Returns the accounts whose fence is no longer true. Nothing of them is written, and everything of the others.
        A storage that only one process may write checks no fence.
        """

    def account(
        self, account: AccountName, now: datetime, day_ends: datetime | None = None
    ) -> AccountMemory:
        """Return what is kept of an account; of its past changes, the open ones and those of the last day.

        ``day_ends``: the end of that day, if it is earlier than ``now`` because the clock was set.
        """

    def pauses(self) -> dict[AccountName, PauseOverride]:
        """Return all pauses."""

    def protected(self) -> dict[DeviceId, AccountName]:
        """Return the protected devices, each with the account whose entry stated so last."""

    def opened(self, since: datetime | None, limit: int) -> Sequence[Opening]:
        """Return the windows that were opened since a moment, newest first; without one those that nobody ended."""

    def live_accounts(self) -> frozenset[AccountName]:
        """Return the accounts that are expected to have live devices."""

    def changes(self, asked: Asked, limit: int) -> Sequence[Past]:
        """Return the newest past changes that are wanted, newest first."""

    def devices_like(self, prefix: str, limit: int) -> frozenset[Known]:
        """Return known devices whose id begins with this."""

    def came_and_went(self, account: AccountName, device: DeviceId) -> Stay:
        """Return which revisions brought a device in and took it out."""

    def names(self, account: AccountName, devices: Collection[DeviceId]) -> DeviceNames:
        """Return the last known names of devices; a device without one is left out."""

    def once_called(self, name: str, limit: int) -> frozenset[Known]:
        """Return the devices that once had this name, and have another one now, or left."""

    def once_called_like(self, prefix: str, limit: int) -> frozenset[str]:
        """Return former names that begin with this."""

    def sent_after(self, account: AccountName, moment: datetime) -> tuple[datetime, ...]:
        """Return the times of the changes that were intended after a moment and that no list confirmed."""

    def documents(self) -> Sequence[StoredDocument]:
        """Return the accepted documents, sorted."""

    def digests(self, document: str) -> Mapping[str, str]:
        """Return the files of a document whose bytes are kept: paths with their SHA-256."""

    def contents(self) -> Mapping[str, bytes]:
        """Return the compressed bytes of all files, by SHA-256."""

    def has_contents(self, digests: Sequence[str]) -> frozenset[str]:
        """Return those whose bytes are kept."""
