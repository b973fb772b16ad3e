"""The calls of an account as another process has to count them that takes it over.

Owns: when calls have to be written down, and how they are dated. Must not: know where they are written, or make one.
"""

from __future__ import annotations

from typing import Protocol

from reconciler.core.clock import STEP, TwoClocks
from reconciler.core.errors import Outdated
from reconciler.core.model import AccountName
from reconciler.pcc.quota import Learned, Quota


class Ledger(Protocol):
    """Writes calls down for another process that may take the account over."""

    async def write(self, account: AccountName, learned: Learned) -> bool:
        """Write down all calls of the last hour; say whether they are written."""


class OwnLedger:
    """Writes nothing: no other process takes accounts over."""

    async def write(self, account: AccountName, learned: Learned) -> bool:
        """Say yes."""
        del account, learned
        return True


def dated(quota: Quota, two: TwoClocks) -> Learned:
    """Return what to keep of a quota, with calls dated by the wall clock of now."""
    learned, behind = quota.learned, two.behind()
    if abs(behind) < STEP.total_seconds():
        return learned
    return Learned(tuple(call + behind for call in learned.calls), learned.limit)


async def write_down(ledger: Ledger, account: AccountName, quota: Quota, two: TwoClocks) -> None:
    """Write the calls down as long as there are too many of which nothing is written. Raises ``Outdated``."""
    while quota.must_be_written:
        counted = quota.without_intent
        if not await ledger.write(account, dated(quota, two)):
            raise Outdated("not sent, because the calls before it could not be written down")
        quota.written(counted)
