"""The values of events: what arrived, what is kept, and what is known about it.

Owns: the values that pass between the parts of this room. Must not: read, write or send anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

PCC_EVENT = "PCC_EVENT"
"""The push type of a diagnosis (LG's page "PCC Callback Contents")."""
SELF_TEST = "PCC_SELF_TEST"
"""The push type of our own ``receive --check``: stored, counted nowhere, never delivered."""


class EventState(StrEnum):
    """Where an event is on its way, for one sink or as a whole."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    UNROUTED = "unrouted"
    QUARANTINED = "quarantined"
    ERASED = "erased"


class Knowledge(StrEnum):
    """What the desired state says about a device: the values of the metric's label ``device``."""

    DESIRED = "desired"
    UNKNOWN = "unknown"
    IGNORED = "ignored"


class Category(StrEnum):
    """The five kinds of diagnosis that LG names: what the partner's Logic Table sorts its types into."""

    INSTALLATION = "installation"
    MISUSE = "misuse"
    MALFUNCTION = "malfunction"
    MAINTENANCE = "maintenance"
    PART_INQUIRY = "part_inquiry"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of LG's that was understood. Members that are missing are None; unknown ones are in ``raw``.

    ``raw`` is the message member for member; of a body that is an array, one element. Times are in UTC.
    """

    push_type: str
    raw: Mapping[str, Any]
    message_id: str | None = None
    sent_at: datetime | None = None
    """The message's own ``timestamp``."""
    device: str | None = None
    device_type: str | None = None
    diagnosis: str | None = None
    diagnosed_at: datetime | None = None
    content_url: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One element of a request, ready to be stored.

    ``key`` is the SHA-256 that tells duplicates (32 bytes), ``body`` the bytes that are kept. Exactly one of
    ``message`` and ``quarantine`` is given; the latter is a short reason, fit for a metric's label.
    """

    key: bytes
    body: bytes
    message: Message | None = None
    quarantine: str | None = None
    message_id: str | None = None


class Stored(StrEnum):
    """What became of an arrival."""

    NEW = "new"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    SELF_TEST = "self_test"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer of the spool for one arrival, after its commit. ``id_reused``: a known message id, another key."""

    stored: Stored
    seq: int
    id: str
    id_reused: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """What the desired state says about a device. All of it may be missing.

    ``desired`` is None where no desired state is known; a device that is listed and not wanted now is named all the
    same.
    """

    id: str
    knowledge: Knowledge = Knowledge.UNKNOWN
    account: str | None = None
    name: str | None = None
    type: str | None = None
    desired: bool | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """The partner's words for a diagnosis in one locale, placeholders not yet filled in."""

    short: str
    full: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the partner's Logic Table says about a diagnosis type. ``matched`` is False where it has no row."""

    type: str
    matched: bool = False
    category: str | None = None
    severity: str | None = None
    words: Mapping[str, Words] = field(default_factory=dict)
    """By locale."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One event that is due at one sink.

    ``attempts`` is the number of tries that were already made, since the last replay. ``account`` is what was known
    when the event was stored.
    """

    seq: int
    id: str
    sink: str
    message: Message
    received_at: datetime
    attempts: int
    account: str | None = None


class Result(StrEnum):
    """How an attempt ended; the values of the metric's label ``result``."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended. ``due`` is when the next one is made; only of ``RETRY``. ``words`` say why, masked."""

    seq: int
    sink: str
    result: Result
    at: datetime
    due: datetime | None = None
    status: int | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class SinkRow:
    """Where an event is on its way to one sink."""

    sink: str
    state: EventState
    attempts: int
    due: datetime | None
    changed_at: datetime
    status: int | None
    words: str


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event as the spool shows it. ``message`` is None once its body is gone, and of what is in quarantine."""

    seq: int
    id: str
    state: EventState
    received_at: datetime
    push_type: str
    device: str | None
    account: str | None
    diagnosis: str | None
    category: str | None
    diagnosed_at: datetime | None
    message_id: str | None
    duplicates: int
    quarantine: str | None
    body: bytes | None
    message: Message | None
    deliveries: tuple[SinkRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for; None means all. ``limit`` is the most that are returned, newest first."""

    account: str | None = None
    device: str | None = None
    type: str | None = None
    sink: str | None = None
    state: EventState | None = None
    since: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class SpoolFigures:
    """What the metrics show of the spool.

    ``events`` counts by sink and state; events that have no sink (unrouted, quarantined) count under the sink "".
    ``oldest`` is when the oldest undelivered event of a sink was stored. ``last_event`` and ``last_self_test`` are when
    the last one was stored, None before the first.
    """

    bytes: int
    events: Mapping[tuple[str, EventState], int] = field(default_factory=dict)
    oldest: Mapping[str, datetime] = field(default_factory=dict)
    last_event: datetime | None = None
    last_self_test: datetime | None = None
