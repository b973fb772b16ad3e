"""Which accounts need a person first, for the page and the terminal alike.

Owns: the order of accounts, and which of them need no row of their own. Must not: know how they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.core import urgency
from reconciler.core.model import Condition
from reconciler.reporting.status import AccountReport

ROWS = 12
"""Up to this number of accounts each has a row; of more, those that are as wanted are only counted or named."""


def by_attention(reports: Iterable[AccountReport]) -> list[AccountReport]:
    """Return accounts, those that need a person first."""
    return sorted(reports, key=_place)


def parted(
    reports: Sequence[AccountReport], rows: int = ROWS
) -> tuple[list[AccountReport], list[AccountReport]]:
    """Return the accounts that have a row, those that need a person first, and those that need none."""
    ordered = by_attention(reports)
    if len(ordered) <= rows:
        return ordered, []
    calm = [one for one in ordered if is_calm(one)]
    return [one for one in ordered if not is_calm(one)], calm


def is_calm(account: AccountReport) -> bool:
    """Say whether an account needs no row: it is in sync, and there is nothing to say about it."""
    calm = account.condition == Condition.IN_SYNC and not account.error and not account.guarded
    return calm and not has_remarks(account)


def has_remarks(account: AccountReport) -> bool:
    """Say whether there is more to say than the error and what a guard holds, which have places of their own."""
    others = any(not held.asks for held in account.held)
    return bool(
        account.rejected or account.flapping or account.remarks or account.refused or others
    )


def _place(account: AccountReport) -> tuple[int, int, str]:
    """Return what sorts accounts: those that need a person first, and among them those held by a guard."""
    return (
        urgency.of_condition(account.condition),
        0 if account.guarded or account.error else 1,
        account.account,
    )
