"""What was heard of devices, as plain values ready to be shown.

Owns: their shape, which JSON has too. Must not: phrase them (``reporting.explain.heard`` does), or ask a receiver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from reconciler.core.heard import Heard, HeardOfAccount
from reconciler.core.model import AccountName, DeviceId


class LastEvents(Protocol):
    """Knows the last event of each device. Worker threads ask it."""

    def last(self, device: DeviceId) -> Heard | None:
        """Return the last event of a device, if one is known."""


@dataclass(frozen=True, slots=True)
class KnownEvents:
    """What the events say that this process read from its receivers. ``accounts`` lacks those without any event."""

    events: LastEvents
    accounts: Mapping[AccountName, HeardOfAccount] = field(
        default_factory=lambda: MappingProxyType({})
    )


@dataclass(frozen=True, slots=True)
class LastHeardReport:
    """The last event of a device: when a receiver stored it, when LG dated it, and what it says."""

    at: datetime
    device: str
    push_type: str
    category: str | None
    diagnosis: str | None
    diagnosed: datetime | None


@dataclass(frozen=True, slots=True)
class HeardReport:
    """How many devices were heard of within 24 hours, and the last event; ``last_heard`` is None if none is known."""

    devices_within_24h: int = 0
    last_heard: LastHeardReport | None = None


def last_heard(known: KnownEvents | None, device: DeviceId) -> LastHeardReport | None:
    """Return the last event of a device; None if none is known, or no receiver is asked."""
    return None if known is None else _report(known.events.last(device))


def heard_of_account(known: KnownEvents | None, account: AccountName) -> HeardReport | None:
    """Return what was heard of an account; None if no receiver is asked."""
    if known is None:
        return None
    one = known.accounts.get(account, HeardOfAccount())
    return HeardReport(one.recent, _report(one.last))


def heard_of_all(known: KnownEvents | None) -> HeardReport | None:
    """Return what was heard of all accounts; None if no receiver is asked. A device of two accounts counts twice."""
    if known is None:
        return None
    last = max(
        (one.last for one in known.accounts.values() if one.last is not None),
        key=_received,
        default=None,
    )
    return HeardReport(sum(one.recent for one in known.accounts.values()), _report(last))


def _received(event: Heard) -> datetime:
    return event.received


def _report(event: Heard | None) -> LastHeardReport | None:
    if event is None:
        return None
    return LastHeardReport(
        at=event.received,
        device=event.device,
        push_type=event.push_type,
        category=event.category,
        diagnosis=event.diagnosis,
        diagnosed=event.diagnosed,
    )
