"""The nouns of the reconciler, as frozen values.

Owns: the values that every other module uses, and the few rules that make a wrong value impossible to build.
Must not: do I/O, read a clock, know a library outside the standard one, or know where a value comes from.

Times are aware datetimes in UTC, spans are timedeltas. Ids are opaque strings of LG's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NewType, Self

from reconciler.core.rules import Ruled
from reconciler.core.windows import Window

AccountName = NewType("AccountName", str)
"""A name of ours for one LG user: a DNS label such as ``seoul-hotel``."""

DeviceId = NewType("DeviceId", str)
"""LG's id of one appliance. Opaque: most are 64 hexadecimal digits, older ones are not."""

MessageId = NewType("MessageId", str)
"""The ``x-message-id`` of one call. LG's support asks for it."""

PassId = NewType("PassId", str)
"""One reconcile of one account, as it appears in logs and history."""

Digest = NewType("Digest", str)
"""``sha256:…`` over an account's name and the devices a plan would unsubscribe."""

NOTHING: frozenset[Any] = frozenset()
"""The one empty set. Each empty result of a set operation is a new object of 216 bytes, and each of ten thousand
accounts keeps several from its last pass."""

DEFAULT_ACCOUNT = AccountName("default")
"""The account of the top-level ``devices`` and ``device_files``."""


class DeviceType(StrEnum):
    """The four appliance types that PCC documents. Never sent to LG: it is for the reader of the file."""

    WASHER = "washer"
    REFRIGERATOR = "refrigerator"
    DISH_WASHER = "dish_washer"
    OVEN = "oven"


class Prune(StrEnum):
    """Which live devices that are not desired may be unsubscribed."""

    ALL = "all"
    OWNED = "owned"
    NONE = "none"


class Pause(StrEnum):
    """What a person stopped for now, from lax to strict."""

    NONE = "none"
    UNSUBSCRIBE = "unsubscribe"
    ALL = "all"

    def stricter(self, other: Pause) -> Pause:
        """Return the stricter of the two: an account cannot lift a general pause."""
        return max(self, other, key=list(Pause).index)


class Unlimited(Enum):
    """Values of ``calls_per_hour`` that are not a number."""

    AUTO = "auto"
    UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the live list, such as ``"10%"``. Exact, so that rounding down is well defined."""

    of_one: Fraction

    def __str__(self) -> str:
        percent = self.of_one * 100
        return f"{percent.numerator if percent.denominator == 1 else float(percent):g}%"


Limit = Share | int
"""How many devices may be unsubscribed in 24 hours: a share of the live list or a whole number."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a person allows in one account. The values here are the documented defaults."""

    prune: Prune = Prune.ALL
    ignore: frozenset[DeviceId] = frozenset()
    max_unsubscribe: Limit = field(default_factory=lambda: Share(Fraction(1, 10)))
    max_unsubscribe_floor: int = 5
    unsubscribe_after: timedelta = timedelta(0)
    allow_empty: bool = False
    pause: Pause = Pause.NONE
    calls_per_hour: int | Unlimited = Unlimited.AUTO


@dataclass(frozen=True, slots=True)
class Device:
    """One desired device and its entry in the file. ``from_`` is inclusive, ``until`` exclusive.

    ``protected`` is None if the entry says nothing about it: then the last entry that did still counts.
    """

    id: DeviceId
    name: str | None = None
    type: DeviceType | None = None
    from_: datetime | None = None
    until: datetime | None = None
    protected: bool | None = None

    def wanted_at(self, now: datetime) -> bool:
        """Say whether ``now`` lies inside the device's dates."""
        return (self.from_ is None or self.from_ <= now) and (
            self.until is None or now < self.until
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval in the file: these devices may be unsubscribed past the guards."""

    devices: frozenset[DeviceId]
    expires: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Desired:
    """One account's part of a desired state.

    ``devices`` holds every entry, whatever its dates. ``described`` holds only the entries with more than an id, so a
    million plain ids cost a million strings and no more. An account whose part did not change between two revisions
    keeps the same object, so "is this still the newest?" is a comparison by identity.
    """

    account: AccountName
    devices: frozenset[DeviceId]
    described: Mapping[DeviceId, Device] = field(default_factory=lambda: MappingProxyType({}))
    policy: Policy = Policy()
    approvals: tuple[Approval, ...] = ()
    country: str | None = None
    path: str = ""
    ruled: Ruled | None = None
    windows: tuple[Window, ...] = ()

    def wanted_at(self, now: datetime) -> frozenset[DeviceId]:
        """Return the devices that should be live at ``now``."""
        outside = {device.id for device in self.described.values() if not device.wanted_at(now)}
        return self.devices - outside if outside else self.devices

    def approved_at(self, now: datetime) -> frozenset[DeviceId]:
        """Return the devices that an approval names which is valid at ``now``."""
        return frozenset().union(*(one.devices for one in self.approvals if now < one.expires))

    def wanted_by(self, now: datetime, theirs: datetime | None) -> frozenset[DeviceId]:
        """Return the devices that are wanted by our clock or by LG's; ``theirs`` is None if both agree."""
        wanted = self.wanted_at(now)
        return wanted if theirs is None else wanted | self.wanted_at(theirs)

    def approved_by(self, now: datetime, theirs: datetime | None) -> frozenset[DeviceId]:
        """Return the devices of the approvals that are valid by our clock and by LG's."""
        if theirs is None:
            return self.approved_at(now)
        valid = [
            one.devices for one in self.approvals if now < one.expires and theirs < one.expires
        ]
        return frozenset().union(*valid)

    def next_boundary(self, now: datetime) -> datetime | None:
        """Return the first moment after ``now`` at which the wanted devices or the approvals change automatically."""
        dates = [
            date for device in self.described.values() for date in (device.from_, device.until)
        ]
        dates += [approval.expires for approval in self.approvals]
        return min((date for date in dates if date is not None and date > now), default=None)

    def entry(self, device: DeviceId) -> Device | None:
        """Return the entry of a device, or None if there is none."""
        if device not in self.devices:
            return None
        return self.described.get(device) or Device(device)

    @property
    def names(self) -> Mapping[DeviceId, str]:
        """Return the names of devices, for people."""
        return {device.id: device.name for device in self.described.values() if device.name}

    def edited_since(self, before: Desired) -> frozenset[DeviceId]:
        """Return the devices whose entry changed, so that their waiting retries no longer matter."""
        if before is self:
            return frozenset()
        described = before.described.keys() | self.described.keys()
        other = {one for one in described if before.described.get(one) != self.described.get(one)}
        return (before.devices ^ self.devices) | other


class Verified(StrEnum):
    """What is known of a commit's signature."""

    YES = "yes"
    NO = "no"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Commit:
    """The Git commit that a revision was read from."""

    id: str
    author: str
    subject: str
    at: datetime
    verified: Verified = Verified.UNCHECKED
    dirty: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """Identity of a revision: always the digest of the bytes read, and the commit if there is one."""

    sha256: str
    commit: Commit | None = None

    @property
    def made_by(self) -> Commit | None:
        """Return the commit of this revision, or None: nobody knows the author of an edit that is not committed."""
        return self.commit if self.commit is not None and not self.commit.dirty else None

    def __str__(self) -> str:
        if self.commit is None:
            return f"sha256:{self.sha256}"
        return f"{self.commit.id}-dirty" if self.commit.dirty else self.commit.id


class Cause(StrEnum):
    """Why the newest revision is not in force."""

    INVALID = "invalid"
    ENVIRONMENT = "environment"
    UNVERIFIED = "unverified"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Observed:
    """The devices that one trusted ``GET /pcc`` returned, and when that call began."""

    devices: frozenset[DeviceId]
    began: datetime

    def sharing(self, known: frozenset[DeviceId] | None) -> Self:
        """Return this list with a known set in place of its own, if both are equal.

        Then a million devices need only one set, and later comparisons of the two are by identity.
        """
        if known is None or self.devices is known or self.devices != known:
            return self
        return replace(self, devices=known)


class Action(StrEnum):
    """The two changes that LG offers."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """Subscribe or unsubscribe one device. An empty id is an error: a server might take it for all devices."""

    account: AccountName
    action: Action
    device: DeviceId

    def __post_init__(self) -> None:
        if not self.device:
            raise ValueError("a change needs a device id")


class Kind(StrEnum):
    """Who can release a held change: a person who decides, a person who set the policy, or LG and time."""

    GUARD = "guard"
    POLICY = "policy"
    PLATFORM = "platform"


class Reason(StrEnum):
    """Why a wanted change is not made now, in the order in which a change gets its one reason."""

    kind: Kind

    EMPTY_DESIRED = "empty-desired", Kind.GUARD
    TOO_MANY = "too-many", Kind.GUARD
    SUSPECT_LIST = "suspect-list", Kind.GUARD
    WANTED_ELSEWHERE = "wanted-elsewhere", Kind.GUARD
    LOOK_ALIKE = "look-alike", Kind.GUARD
    FILES_UNSETTLED = "files-unsettled", Kind.GUARD
    DESIRED_REJECTED = "desired-rejected", Kind.GUARD
    STATE_UNWRITABLE = "state-unwritable", Kind.GUARD
    GUARD_FAILED = "guard-failed", Kind.GUARD
    PROTECTED = "protected", Kind.POLICY
    PAUSED = "paused", Kind.POLICY
    WINDOW = "window", Kind.POLICY
    UNSUBSCRIBE_AFTER = "unsubscribe-after", Kind.POLICY
    RETRY = "retry", Kind.PLATFORM
    REFUSED = "refused", Kind.PLATFORM
    QUOTA = "quota", Kind.PLATFORM
    SUBSCRIPTIONS_FULL = "subscriptions-full", Kind.PLATFORM
    ACCOUNT_STOPPED = "account-stopped", Kind.PLATFORM

    def __new__(cls, word: str, kind: Kind) -> Self:
        """Make the word the value and keep its kind beside it."""
        reason = str.__new__(cls, word)
        reason._value_ = word
        reason.kind = kind
        return reason


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Devices that may be missing only because local files are half written; None means any device.

    ``since`` is when git's lock was made, if there is one.
    """

    devices: frozenset[DeviceId] | None
    message: str = field(compare=False)
    since: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Held:
    """A wanted change that is not made now, its one reason, and when that may end automatically."""

    change: Change
    reason: Reason
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tripped:
    """A reason that holds something now, in one sentence with its numbers."""

    reason: Reason
    message: str
    error: Exception | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass would do and hold in one account. Tuples are sorted, so equal plans are equal values."""

    account: AccountName
    subscribes: tuple[Change, ...] = ()
    unsubscribes: tuple[Change, ...] = ()
    held: tuple[Held, ...] = ()
    tripped: tuple[Tripped, ...] = ()
    unmanaged: frozenset[DeviceId] = frozenset()
    ignored: frozenset[DeviceId] = frozenset()
    flapping: frozenset[DeviceId] = frozenset()
    approved: frozenset[DeviceId] = frozenset()
    in_sync: int = 0
    digest: Digest = Digest("")

    @property
    def changes(self) -> int:
        """Count the changes that would be made now."""
        return len(self.subscribes) + len(self.unsubscribes)

    def holds(self, kind: Kind) -> bool:
        """Say whether anything is held for a reason of this kind."""
        return any(held.reason.kind is kind for held in self.held)


class Result(StrEnum):
    """How one change ended. ``noop``: LG answered that it was already made."""

    SUCCESS = "success"
    NOOP = "noop"
    FAILED = "failed"
    REFUSED = "refused"

    @property
    def confirmed(self) -> bool:
        """Say whether the device is now as we want it."""
        return self in {Result.SUCCESS, Result.NOOP}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one change: LG's code and message, if any, and both message ids.

    ``confirmed_by`` is ``"list"`` if no answer came and a later trusted list showed the change as made. ``name`` is
    what people called the device then, if that is known.
    """

    change: Change
    result: Result
    at: datetime
    approved: bool = False
    message_id: MessageId | None = None
    lg_message_id: str | None = None
    status: int | None = None
    code: str | None = None
    words: str = ""
    confirmed_by: str | None = None
    revision: Revision | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """A device that waits: after a failure (``retry``) or after LG refused it (``refused``)."""

    action: Action
    reason: Reason
    attempts: int
    until: datetime
    code: str | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The latest change of a device that LG confirmed, within the last day."""

    action: Action
    result: Result
    at: datetime

    @property
    def taken(self) -> bool:
        """Say whether LG accepted a subscribe; "already subscribed" does not count."""
        return self.action is Action.SUBSCRIBE and self.result is Result.SUCCESS


@dataclass(frozen=True, slots=True)
class Memory:
    """What a pass knows from before. An empty memory is safe: it owns no device and has counted none.

    ``inventory``: devices that were once desired here and not seen to be gone since. ``expected``: the devices that
    should be live: the last trusted list with our confirmed changes since, or None if no list was ever trusted.
    ``confirmed``: our latest confirmed change of each device in the last day. ``unsubscribed``: devices we unsubscribed
    in the last day without an approval. ``resubscribed``: when, in the last day, LG accepted a subscribe that it had
    accepted before, so it lost the device in between. ``absent_since``: when a device left the accepted revisions.
    ``suspect_readings``: the number of lists in a row that were not believed. ``credential_changed``: the token is not
    the one of the last trusted list. ``protected``: devices of all accounts that are protected, also after their entry
    is gone, each with the account whose entry stated so last.
    """

    inventory: frozenset[DeviceId] = frozenset()
    expected: frozenset[DeviceId] | None = None
    confirmed: Mapping[DeviceId, Confirmed] = field(default_factory=lambda: MappingProxyType({}))
    unsubscribed: frozenset[DeviceId] = frozenset()
    resubscribed: Mapping[DeviceId, tuple[datetime, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    absent_since: Mapping[DeviceId, datetime] = field(default_factory=lambda: MappingProxyType({}))
    retries: Mapping[DeviceId, Retry] = field(default_factory=lambda: MappingProxyType({}))
    suspect_readings: int = 0
    credential_changed: bool = False
    writable: bool = True
    protected: Mapping[DeviceId, AccountName] = field(default_factory=lambda: MappingProxyType({}))


class Condition(StrEnum):
    """The condition of an account: the first of these that applies."""

    ABANDONED = "abandoned"
    STOPPED = "stopped"
    PAUSED = "paused"
    HELD = "held"
    CONVERGING = "converging"
    IN_SYNC = "in_sync"


class PassResult(StrEnum):
    """The result of a pass: the first of these that applies."""

    FAILED = "failed"
    PARTIAL = "partial"
    HELD = "held"
    CHANGED = "changed"
    CLEAN = "clean"
