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
from reconciler.core.text import counted


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
    """How many devices were heard of within 24 hours, and the last event; ``last_heard`` is None if none is known.

    ``contradicted_devices`` are wanted devices that LG's list lacks and that send events. ``events_after_unsubscribe``
    are events within 24 hours that were diagnosed more than an hour after LG confirmed our unsubscribe.
    """

    devices_within_24h: int = 0
    last_heard: LastHeardReport | None = None
    contradicted_devices: int = 0
    events_after_unsubscribe: int = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what a person should know."""
        found = []
        if self.contradicted_devices:
            number = counted(self.contradicted_devices, "wanted device")
            verb = "sends" if self.contradicted_devices == 1 else "send"
            found.append(f"LG's list lacks {number} that {verb} events, so the list is wrong")
        if self.events_after_unsubscribe:
            number = counted(self.events_after_unsubscribe, "event")
            verb = "was" if self.events_after_unsubscribe == 1 else "were"
            when = "more than an hour after LG confirmed our unsubscribe"
            found.append(f"{number} within 24 hours {verb} diagnosed {when}")
        return tuple(found)


def last_heard(known: KnownEvents | None, device: DeviceId) -> LastHeardReport | None:
    """Return the last event of a device; None if none is known, or no receiver is asked."""
    return None if known is None else _report(known.events.last(device))


def heard_of_account(known: KnownEvents | None, account: AccountName) -> HeardReport | None:
    """Return what was heard of an account; None if no receiver is asked."""
    if known is None:
        return None
    one = known.accounts.get(account, HeardOfAccount())
    return HeardReport(one.recent, _report(one.last), len(one.contradicted), one.after_unsubscribe)


def heard_of_all(known: KnownEvents | None) -> HeardReport | None:
    """Return what was heard of all accounts; None if no receiver is asked. A device of two accounts counts twice."""
    if known is None:
        return None
    last = max(
        (one.last for one in known.accounts.values() if one.last is not None),
        key=_received,
        default=None,
    )
    every = known.accounts.values()
    return HeardReport(
        sum(one.recent for one in every),
        _report(last),
        sum(len(one.contradicted) for one in every),
        sum(one.after_unsubscribe for one in every),
    )


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
