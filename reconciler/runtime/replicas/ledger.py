"""Writes the calls of an account down for the replica that takes it over.

Owns: that nothing is missing of what another replica has to count. Must not: decide when that is due.
"""

from __future__ import annotations

import asyncio

from reconciler.core.clock import Clock
from reconciler.core.model import AccountName
from reconciler.pcc.quota import Learned
from reconciler.state import State


class ReplicaLedger:
    """The calls of each account in the state that the replicas share."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock

    async def write(self, account: AccountName, learned: Learned) -> bool:
        """Write down all calls of the last hour; say whether they are written."""
        now = self._clock.now().timestamp()
        return await asyncio.to_thread(self._write, account, learned, now)

    def _write(self, account: AccountName, learned: Learned, now: float) -> bool:
        state = self._state
        state.quotas.keep_ahead(account, learned.calls, learned.limit, now)
        if state.waits_for(account):
            state.flush()
        return not state.waits_for(account) and not state.trouble
