"""When each account made its last calls, and the limit that was learned for it.

Owns: how long this may wait to be written. Must not: know what a limit means.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.core.model import AccountName
from reconciler.state.memories import Memories
from reconciler.state.port import Quotas
from reconciler.state.records import QuotaSaved
from reconciler.state.write_behind import WriteBehind

QUOTA_WAITS = 1.0
"""Seconds for which the calls of a pass may wait to be written."""


class QuotaStore(Quotas):
    """The quotas, over the shared memory and the write-behind."""

    def __init__(self, behind: WriteBehind, memories: Memories) -> None:
        self._behind, self._memories = behind, memories

    def keep(self, account: AccountName, calls: Sequence[float], limit: int | None) -> bool:
        self._behind.refuse_if_frozen()
        with self._memories.known(account) as known:
            if (tuple(calls), limit) == (known.calls, known.calls_per_hour):
                return False
            learned = limit != known.calls_per_hour
            known.calls, known.calls_per_hour = tuple(calls), limit
            self._behind.waiting.replace(
                ("quota", account), QuotaSaved(account, known.calls, limit)
            )
        return learned or self._behind.since_flush() >= QUOTA_WAITS

    def of(self, account: AccountName) -> tuple[tuple[float, ...], int | None]:
        with self._memories.known(account) as known:
            return known.calls, known.calls_per_hour
