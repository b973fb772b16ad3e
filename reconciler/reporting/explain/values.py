"""The values of an explanation: one device in one account, and a past change, ready to be shown.

Owns: their shape, which JSON has too. Must not: gather facts or phrase them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Position(StrEnum):
    """The state of a device; the first five are those of ``pcc_devices``."""

    IN_SYNC = "in_sync"
    MISSING = "missing"
    EXTRA = "extra"
    UNMANAGED = "unmanaged"
    IGNORED = "ignored"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """One past change. ``result`` is None until an answer or a list shows it."""

    at: datetime
    account: str
    device: str
    name: str | None
    action: str
    result: str | None
    confirmed_by: str | None
    approved: bool
    revision: str | None
    commit: str | None
    author: str | None
    subject: str | None
    pass_id: str
    message_id: str | None
    lg_message_id: str | None
    status: int | None
    code: str | None
    words: str


@dataclass(frozen=True, slots=True)
class MarkReport:
    """The revision that brought a device in or took it out, and when it came into force."""

    at: datetime
    revision: str
    commit: str | None
    author: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class PlaceReport:
    """A place in a file."""

    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class HoldReport:
    """What holds the change that is wanted for the device, until when, and what a person does about it."""

    action: str
    reason: str
    kind: str
    message: str
    until: datetime | None
    remedy: str


@dataclass(frozen=True, slots=True)
class WaitReport:
    """That the device waits after failed or refused calls. ``since`` is the first of them that is still known."""

    reason: str
    action: str
    attempts: int
    since: datetime | None
    next_try: datetime
    code: str | None
    words: str


@dataclass(frozen=True, slots=True)
class ApprovalReport:
    """An approval, and whether it still counts."""

    reason: str
    expires: datetime
    active: bool
    devices: int
    place: PlaceReport | None = None


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """Where an event is on its way to one sink of the receiver."""

    sink: str
    state: str
    attempts: int


@dataclass(frozen=True, slots=True)
class EventReport:
    """The last event of a device that a receiver knows, in words and in full; ``id`` is None where none is known."""

    summary: str
    id: str | None = None
    received: datetime | None = None
    diagnosed: datetime | None = None
    push_type: str | None = None
    diagnosis: str | None = None
    category: str | None = None
    deliveries: tuple[DeliveryReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of one device in one account. ``observed`` is None if no list was ever trusted.

    ``heard`` is None if no receiver is asked, or none answered. ``protected``: the device is unsubscribed only with an
    approval. ``protected_by`` is the account whose entry stated that last. ``pending_rule`` is the rule that would take
    the device, where the lock does not have it.
    """

    account: str
    device: str
    name: str | None
    type: str | None
    summary: str
    state: str
    desired: bool
    why: str
    place: PlaceReport | None
    wanted_from: datetime | None
    wanted_until: datetime | None
    revision: str | None
    came: MarkReport | None
    went: MarkReport | None
    owned: bool
    observed: bool | None
    observed_at: datetime | None
    hold: HoldReport | None
    wait: WaitReport | None
    approvals: tuple[ApprovalReport, ...]
    error: str
    next: str
    next_at: datetime | None
    next_pass: datetime | None
    changes: tuple[ChangeReport, ...]
    heard: EventReport | None = None
    protected: bool = False
    protected_by: str | None = None
    pending_rule: str | None = None
