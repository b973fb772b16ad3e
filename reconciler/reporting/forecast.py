"""What changes automatically: the next moments at which devices begin or end by their dates, or approvals expire.

Owns: the forecast of a revision, and whether the guards would hold the devices that end.
Must not: have rules of its own about what is wanted or held; it asks the planner and the guards. It is pure.

The forecast supposes that until then every account is in sync, and that no other device is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.backoff import longest
from reconciler.core.evaluate import evaluate
from reconciler.core.guards import LIMIT_WINDOW, Situation
from reconciler.core.model import (
    AccountName,
    Action,
    Desired,
    DeviceId,
    Held,
    Memory,
    Observed,
    Plan,
    Prune,
    Reason,
)

OF_ACCOUNT = 5
"""The number of moments of one account in the forecast; each costs a plan."""
OF_ALL = 50
"""The number of moments of all accounts together."""


NO_CLAIMS = Claims()
"""A forecast looks at one account alone."""


@dataclass(frozen=True, slots=True)
class BoundaryReport:
    """One moment of one account. ``expires`` are the reasons of approvals that end then.

    ``held`` is the number of ending devices that would be held, for ``reason``; ``message`` is a sentence with the
    numbers.
    """

    at: datetime
    account: str
    begins: int
    ends: int
    expires: tuple[str, ...]
    held: int
    reason: str | None
    message: str


@dataclass(frozen=True, slots=True)
class _Gone:
    """Devices that were unsubscribed without an approval, which counts for a day."""

    at: datetime
    devices: frozenset[DeviceId]


def boundaries(
    desired: Desired, now: datetime, most: int = OF_ACCOUNT
) -> tuple[BoundaryReport, ...]:
    """Return the next moments at which one account's desired state changes automatically, earliest first."""
    found: list[BoundaryReport] = []
    wanted = live = desired.wanted_at(now)
    gone: list[_Gone] = []
    at = desired.next_boundary(now)
    while at is not None and len(found) < most:
        before, wanted = wanted, desired.wanted_at(at)
        counted = frozenset[DeviceId]().union(
            *(one.devices for one in gone if at - one.at < LIMIT_WINDOW)
        )
        judged = _judged(desired, live, counted, at)
        found.append(_report(desired, at, before - wanted, wanted - before, judged))
        leave = frozenset(change.device for change in judged.unsubscribes)
        live = (live | wanted) - leave
        gone.append(_Gone(at, leave - judged.approved))
        at = desired.next_boundary(at)
    return tuple(found)


def _judged(
    desired: Desired, live: frozenset[DeviceId], counted: frozenset[DeviceId], at: datetime
) -> Plan:
    observed = Observed(live, at)
    memory = Memory(inventory=live, expected=live, unsubscribed=counted)
    return evaluate(Situation(desired, observed, memory, at), NO_CLAIMS, longest).plan


def _report(
    desired: Desired,
    at: datetime,
    ending: frozenset[DeviceId],
    beginning: frozenset[DeviceId],
    judged: Plan,
) -> BoundaryReport:
    ends, begins = ending - judged.ignored, beginning - judged.ignored
    held = [
        one
        for one in judged.held
        if one.change.action is Action.UNSUBSCRIBE and one.change.device in ends
    ]
    reason = _first_reason(held)
    message = next((one.message for one in judged.tripped if one.reason is reason), "")
    if ends and desired.policy.prune is Prune.NONE:
        message = "they stay subscribed: policy.prune is none"
    return BoundaryReport(
        at=at,
        account=desired.account,
        begins=len(begins),
        ends=len(ends),
        expires=tuple(one.reason for one in desired.approvals if one.expires == at),
        held=len(held),
        reason=reason,
        message=message,
    )


def _first_reason(held: list[Held]) -> Reason | None:
    reasons = {one.reason for one in held}
    return next((reason for reason in Reason if reason in reasons), None)


@dataclass(frozen=True, slots=True)
class _Foretold:
    """An account's boundaries, and from when on they were right."""

    desired: Desired
    since: datetime
    boundaries: tuple[BoundaryReport, ...]

    def is_valid(self, desired: Desired, now: datetime) -> bool:
        return (
            self.desired is desired
            and self.since <= now
            and (not self.boundaries or now < self.boundaries[0].at)
        )


class Calendar:
    """The boundaries of all accounts; they are found again when the desired state changes, or when one has passed."""

    def __init__(self) -> None:
        self._known: Mapping[AccountName, _Foretold] = {}

    def coming(
        self, texts: Mapping[AccountName, AccountRevision], now: datetime
    ) -> tuple[BoundaryReport, ...]:
        """Return the next boundaries of all accounts, earliest first."""
        before = self._known
        self._known = known = {
            account: _foretold(before.get(account), text, now) for account, text in texts.items()
        }
        every = (one for foretold in known.values() for one in foretold.boundaries)
        return tuple(sorted(every, key=lambda one: (one.at, one.account))[:OF_ALL])


def _foretold(before: _Foretold | None, text: AccountRevision, now: datetime) -> _Foretold:
    if before is not None and before.is_valid(text.desired, now):
        return before
    return _Foretold(text.desired, now, boundaries(text.desired, now))
