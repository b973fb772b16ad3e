"""When each account made its last calls, and the limit that was learned for it.

Owns: how long this may wait to be written. Must not: know what a limit means.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.core.memory import AccountMemory
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
            self._save(known, calls, limit)
        return learned or self._behind.since_flush() >= QUOTA_WAITS

    def keep_ahead(
        self, account: AccountName, calls: Sequence[float], limit: int | None, now: float
    ) -> None:
        self._behind.refuse_if_frozen()
        with self._memories.known(account) as known:
            begun = sum(past.result is None for past in known.open.values())
            every = (*calls, *[now] * begun)
            kept = (every, limit) == (known.calls, known.calls_per_hour)
            if not kept or self._behind.waiting.concerns(account):
                self._save(known, every, limit, lasting=True)

    def _save(
        self,
        known: AccountMemory,
        calls: Sequence[float],
        limit: int | None,
        *,
        lasting: bool = False,
    ) -> None:
        known.calls, known.calls_per_hour = tuple(calls), limit
        saved = QuotaSaved(known.name, known.calls, limit)
        self._behind.waiting.replace(("quota", known.name), saved, lasting=lasting)

    def of(self, account: AccountName) -> tuple[tuple[float, ...], int | None]:
        with self._memories.known(account) as known:
            return known.calls, known.calls_per_hour
