"""What is written: one value for each kind of change to the storage.

Owns: these values, and the group that is written together or not at all. Must not: know any
database, or when something is written.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

from reconciler.core.guards import PauseOverride
from reconciler.core.memory import AccountMemory, DeviceNames, Past
from reconciler.core.model import NOTHING, AccountName, DeviceId, PassId, Retry, Revision
from reconciler.core.windows import Opening

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Mark:
    """The revision that brought a device in or took it out, and when it came into force."""

    revision: Revision
    at: datetime


@dataclass(frozen=True, slots=True)
class Fence:
    """What must still be true of an account for a write to be made: who owns it, and by which revision and pause.

    ``epoch`` grows whenever an owner takes the account, ``generation`` with each revision that changes its part or
    its fate, ``pause`` with each pause that is set or ended.
    """

    owner: str
    epoch: int
    generation: int
    pause: int


@dataclass(frozen=True, slots=True)
class AccountSaved:
    """The few facts about an account as a whole."""

    account: AccountName
    texts_since: datetime | None
    trusted: bool
    suspect_readings: int
    credential: str | None
    names: str | None = None
    """The mark of the names of its devices that were written last."""

    @staticmethod
    def of(known: AccountMemory) -> AccountSaved:
        """Return those facts as they are at this moment."""
        return AccountSaved(
            known.name,
            known.texts_since,
            known.trusted,
            known.suspect_readings,
            known.credential,
            known.names.mark,
        )


@dataclass(frozen=True, slots=True)
class AccountRetired:
    """Everything about an account is forgotten, except its past changes, its calls and the former names of its devices.

    LG counts calls for an hour, also those of an account that comes back.
    """

    account: AccountName
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DevicesMoved:
    """The devices that came into an account's desired state and those that left it, by one revision."""

    account: AccountName
    mark: Mark
    entering: frozenset[DeviceId]
    leaving: frozenset[DeviceId]

    @property
    def devices(self) -> frozenset[DeviceId]:
        """Return the devices this is about."""
        return self.entering | self.leaving


@dataclass(frozen=True, slots=True)
class NamesSaved:
    """What people call devices from a moment on. ``ended`` are devices that have no name any more.

    The last name of a device stays known. Names that ended are found until they are too old.
    """

    account: AccountName
    at: datetime
    names: DeviceNames
    ended: frozenset[DeviceId] = NOTHING


@dataclass(frozen=True, slots=True)
class ListCleared:
    """No device of an account is expected to be live. Its first trusted list follows."""

    account: AccountName


@dataclass(frozen=True, slots=True)
class ListChanged:
    """The devices that are now expected to be live, and those that no longer are."""

    account: AccountName
    appeared: frozenset[DeviceId]
    vanished: frozenset[DeviceId]

    @property
    def devices(self) -> frozenset[DeviceId]:
        """Return the devices this is about."""
        return self.appeared | self.vanished


@dataclass(frozen=True, slots=True)
class DevicesDisowned:
    """The devices that are no longer in the inventory."""

    account: AccountName
    devices: frozenset[DeviceId]


@dataclass(frozen=True, slots=True)
class DevicesSettled:
    """The present state of each device, whatever was written before. ``moved``: the revisions of its moves."""

    account: AccountName
    devices: frozenset[DeviceId]
    owned: frozenset[DeviceId]
    live: frozenset[DeviceId]
    left: Mapping[DeviceId, datetime]
    disowned: Mapping[DeviceId, datetime]
    moved: tuple[DevicesMoved, ...] = ()


@dataclass(frozen=True, slots=True)
class RetriesSaved:
    """What devices wait for. ``all_of_them``: no other device of the account waits."""

    account: AccountName
    retries: Mapping[DeviceId, Retry]
    all_of_them: bool = False


@dataclass(frozen=True, slots=True)
class RetriesDropped:
    """The devices that no longer wait."""

    account: AccountName
    devices: frozenset[DeviceId]


@dataclass(frozen=True, slots=True)
class ChangesSaved:
    """Past changes of one account. ``open``: a later list may still show their results."""

    account: AccountName
    closed: tuple[Past, ...]
    open: tuple[Past, ...]

    @property
    def pasts(self) -> tuple[Past, ...]:
        """Return all of them."""
        return self.closed + self.open

    @staticmethod
    def of(known: AccountMemory, pasts: tuple[Past, ...]) -> ChangesSaved:
        """Return past changes, with those marked as open that are open at this moment."""
        still_open = tuple(past for past in pasts if known.open.get(past.device) is past)
        closed = tuple(past for past in pasts if known.open.get(past.device) is not past)
        return ChangesSaved(known.name, closed, still_open)


@dataclass(frozen=True, slots=True)
class ChangesDropped:
    """Intents that were withdrawn: their calls were never made."""

    pasts: tuple[Past, ...]


@dataclass(frozen=True, slots=True)
class RepeatedChangesDropped:
    """The changes of this pass that the storage has twice: they were saved once more from memory."""

    account: AccountName
    pass_id: PassId


@dataclass(frozen=True, slots=True)
class QuotaSaved:
    """When an account's last calls were made, in seconds, and the limit that was learned."""

    account: AccountName
    calls: tuple[float, ...]
    limit: int | None


@dataclass(frozen=True, slots=True)
class PauseSaved:
    """A pause that was set by command; ``None`` ends it."""

    account: AccountName
    override: PauseOverride | None


@dataclass(frozen=True, slots=True)
class ProtectionStated:
    """Devices that a revision protects, each with the account whose entry says so, and those that it releases."""

    protected: Mapping[DeviceId, AccountName]
    ended: frozenset[DeviceId] = NOTHING


@dataclass(frozen=True, slots=True)
class ProtectionReleased:
    """Protected devices that an account unsubscribed: an approval named them."""

    account: AccountName
    devices: frozenset[DeviceId]


@dataclass(frozen=True, slots=True)
class OpeningSaved:
    """A change window that a command opened, as it is now: open, or ended."""

    opening: Opening


@dataclass(frozen=True, slots=True)
class DocumentSaved:
    """The revision of an accepted document.

    ``digests`` are its files' paths with their SHA-256, ``None`` if they are already kept. ``contents`` are the
    compressed bytes of the others.
    """

    document: str
    revision: Revision
    digests: Mapping[str, str] | None
    contents: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class DocumentDropped:
    """A document that is no longer accepted."""

    document: str


@dataclass(frozen=True, slots=True)
class UnusedContentsDropped:
    """The bytes of files that no document has any more."""


@dataclass(frozen=True, slots=True)
class OldDropped:
    """Past changes, and devices that are neither owned nor live, from before a moment."""

    before: datetime


Record = (
    AccountSaved
    | AccountRetired
    | DevicesMoved
    | NamesSaved
    | ListCleared
    | ListChanged
    | DevicesDisowned
    | DevicesSettled
    | RetriesSaved
    | RetriesDropped
    | ChangesSaved
    | ChangesDropped
    | RepeatedChangesDropped
    | QuotaSaved
    | PauseSaved
    | ProtectionStated
    | ProtectionReleased
    | OpeningSaved
    | DocumentSaved
    | DocumentDropped
    | UnusedContentsDropped
    | OldDropped
)
_OF_DEVICES = (DevicesMoved, ListChanged, DevicesDisowned, DevicesSettled, RetriesDropped)
_OF_ACCOUNT = (
    AccountSaved,
    AccountRetired,
    DevicesMoved,
    NamesSaved,
    ListCleared,
    ListChanged,
    DevicesDisowned,
    DevicesSettled,
    RetriesSaved,
    RetriesDropped,
    ChangesSaved,
    RepeatedChangesDropped,
    QuotaSaved,
    ProtectionReleased,
)


@dataclass(frozen=True, slots=True)
class Group:
    """What is written together or not at all.

    ``lasting``: it must survive a loss of power. Losing the others makes nothing more permissive: LG's next list shows
    what is live, and waits start again. But no list shows that we unsubscribed devices (they may be back), which
    revision was in force, or that somebody paused an account.

    ``account`` names whose memory the group comes from; such a group can be folded.
    """

    records: tuple[Record, ...]
    lasting: bool = False
    account: AccountName | None = None

    @property
    def about(self) -> AccountName | None:
        """Return the account whose owner alone may write this, or None: pauses and documents are everybody's."""
        for record in self.records:
            if isinstance(record, ChangesDropped):
                return record.pasts[0].account if record.pasts else None
            if isinstance(record, _OF_ACCOUNT):
                return record.account
        return None

    @property
    def pasts(self) -> tuple[Past, ...]:
        """Return the past changes that are written."""
        return tuple(
            chain.from_iterable(one.pasts for one in self.records if isinstance(one, ChangesSaved))
        )

    @property
    def intends(self) -> bool:
        """Return whether a change is written down before its call."""
        return any(
            past.result is None
            for one in self.records
            if isinstance(one, ChangesSaved)
            for past in one.open
        )

    @property
    def withdrawn(self) -> tuple[Past, ...]:
        """Return the past changes that are removed."""
        return tuple(
            chain.from_iterable(
                one.pasts for one in self.records if isinstance(one, ChangesDropped)
            )
        )

    @property
    def moved(self) -> Iterator[DevicesMoved]:
        """Return the devices that came and went, with their revisions."""
        for record in self.records:
            if isinstance(record, DevicesMoved):
                yield record
            elif isinstance(record, DevicesSettled):
                yield from record.moved

    @property
    def named(self) -> Iterator[NamesSaved]:
        """Return the names that are written."""
        for record in self.records:
            if isinstance(record, NamesSaved):
                yield record

    @property
    def first(self) -> bool:
        """Return whether nothing was expected to be live before this."""
        return any(isinstance(one, ListCleared) for one in self.records)

    @property
    def devices(self) -> frozenset[DeviceId]:
        """Return the devices whose place the group changes."""
        found: frozenset[DeviceId] = NOTHING
        for record in self.records:
            if isinstance(record, _OF_DEVICES):
                found |= record.devices
        return found


def past_key(past: Past) -> Hashable:
    """Return the key of a past change."""
    return past.account, past.device, past.intended, past.pass_id


def newest_first(past: Past) -> tuple[int, int, str, str]:
    """Return the key by which past changes are sorted, newest first: moments in microseconds since 1970, negative."""
    at, intended = ((moment - _EPOCH) // _MICROSECOND for moment in (past.at, past.intended))
    return -at, -intended, past.account, past.device
