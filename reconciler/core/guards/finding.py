"""What a check returns, and what a row of the table is.

Owns: the values, and the few ways in which every check makes them.
Must not: decide what is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.guards.situation import Situation
from reconciler.core.model import Action, Change, Held, Plan, Reason


@dataclass(frozen=True, slots=True)
class Finding:
    """What a guard holds, its reason, and one sentence with the numbers."""

    reason: Reason
    held: tuple[Held, ...]
    message: str
    error: Exception | None = None


Check = Callable[[Plan, Situation], Finding | None]


@dataclass(frozen=True, slots=True)
class Guard:
    """One row of the table. ``holds``, ``when`` and ``do`` (what a person does) are sentences of the documents.

    ``actions`` are those that the guard can hold.
    """

    reason: Reason
    holds: str
    when: str
    check: Check
    do: str
    actions: tuple[Action, ...] = tuple(Action)


def holding(
    reason: Reason, changes: Iterable[Change], message: str, until: datetime | None = None
) -> Finding:
    """Return a finding that holds these changes, all until the same moment."""
    return Finding(reason, tuple(Held(change, reason, until) for change in changes), message)


def everything(plan: Plan) -> tuple[Change, ...]:
    """Return every change of a plan."""
    return (*plan.subscribes, *plan.unsubscribes)
