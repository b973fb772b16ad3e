"""The pauses that were set by command, for one account or for all.

Owns: which pause is in force, and when it ends. Must not: know what a pause holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce

from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName
from reconciler.state.memories import Memories
from reconciler.state.port import Pauses
from reconciler.state.records import PauseSaved
from reconciler.state.write_behind import WriteBehind

EVERYWHERE = AccountName("")
"""The key for all accounts; no account can have this name."""


class PauseStore(Pauses):
    """The pauses, over the shared memory and the write-behind."""

    def __init__(self, behind: WriteBehind, memories: Memories) -> None:
        self._behind, self._memories = behind, memories
        self._lock = behind.remembered.lock
        self._set_here: set[AccountName] = set()

    def set(
        self, account: AccountName | None, override: PauseOverride | None, now: datetime
    ) -> None:
        self._behind.refuse_if_frozen()
        name = EVERYWHERE if account is None else account
        with self._lock:
            pauses = self._memories.pauses()
            over = {one for one in pauses if self._ended(one, now)}
            if override is not None:
                self._save(name, override)
                self._set_here.add(name)
                over.discard(name)
            elif account is None:
                over = {*pauses}
            else:
                over.add(name)
            for one in over & pauses.keys():
                del pauses[one]
                self._behind.waiting.replace(("pause", one), PauseSaved(one, None), lasting=True)
        self._behind.flush()

    def of(self, account: AccountName, now: datetime) -> PauseOverride:
        with self._lock:
            pauses = self._memories.pauses()
            names = (account, EVERYWHERE)
            in_force = [
                pauses[name] for name in names if name in pauses and not self._ended(name, now)
            ]
        return reduce(_stricter, in_force) if in_force else PauseOverride()

    def all(self, now: datetime) -> Mapping[AccountName | None, PauseOverride]:
        with self._lock:
            return {
                None if name == EVERYWHERE else name: override
                for name, override in self._memories.pauses().items()
                if not self._ended(name, now)
            }

    def replace(self, pauses: Mapping[AccountName, PauseOverride]) -> None:
        """Take the pauses that are in force in a state that several replicas share."""
        with self._lock:
            self._behind.remembered.pauses = dict(pauses)

    def reset(self, step: timedelta) -> None:
        """Apply a step of the wall clock: pauses that this process set keep their length."""
        with self._lock:
            if self._behind.frozen:
                return
            pauses = self._memories.pauses()
            for name in self._set_here & pauses.keys():
                until = pauses[name].until
                if until is not None:
                    self._save(name, replace(pauses[name], until=until + step))

    def _save(self, name: AccountName, override: PauseOverride) -> None:
        self._memories.pauses()[name] = override
        self._behind.waiting.replace(("pause", name), PauseSaved(name, override), lasting=True)

    def _ended(self, name: AccountName, now: datetime) -> bool:
        """Return whether a pause has ended. If another process set it, LG's clock must agree."""
        until = self._memories.pauses()[name].until
        if until is None:
            return False
        return self._behind.clock.has_ended(until, now, by_both=name not in self._set_here)


def _stricter(one: PauseOverride, other: PauseOverride) -> PauseOverride:
    """Return the stricter of two pauses; of two that are equally strict, the one that ends later."""
    if one.pause is not other.pause:
        return one if one.pause.stricter(other.pause) is one.pause else other
    if one.until is None or other.until is None:
        return one if one.until is None else other
    return one if one.until >= other.until else other
