"""How much a condition or a reason needs a person: the one order for page, status and ``status --wait``.

Owns: that order. Must not: know how anything is shown.
"""

from __future__ import annotations

from reconciler.core.model import Condition, Reason

CONDITIONS = (
    Condition.STOPPED,
    Condition.HELD,
    Condition.PAUSED,
    Condition.CONVERGING,
    Condition.IN_SYNC,
)
"""Conditions of accounts, the most urgent first. Abandoned accounts have no pass and a place of their own."""

LASTING = frozenset({Reason.REFUSED, Reason.SUBSCRIPTIONS_FULL, Reason.ACCOUNT_STOPPED})
"""Reasons of LG's side that last until a person acts, so no command waits for their end."""

PASSING = frozenset({Reason.SUSPECT_LIST, Reason.FILES_UNSETTLED})
"""Guards that may end on their own, when the list or the files are read again."""


def of_condition(condition: str) -> int:
    """Return the place of a condition in the order; an unknown one comes first."""
    return CONDITIONS.index(Condition(condition)) if condition in CONDITIONS else 0
