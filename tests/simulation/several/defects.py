"""What is taken away from the program where several replicas share the accounts, to see that it is missed.

Owns: one change of the program in memory for each promise of replicas. ``simulation.defects`` plants and seeks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any


def _module(name: str) -> Any:
    """Return a module of the program, to be changed."""
    return import_module(f"reconciler.{name}")


replicas: Any = _module("core.replicas")
tenure: Any = _module("runtime.replicas.tenure")
service: Any = _module("runtime.services.replica")
state: Any = _module("state.state")
database: Any = import_module("memory_coordination")


def _fences_count(*, epoch: bool, generation: bool) -> Callable[[], None]:
    """Let a fence check less than it should."""

    def plant() -> None:
        def holds(_self: Any, rows: Any, name: Any, fence: Any) -> bool:
            row = rows.get(name)
            if row is None or not (epoch or generation):
                return True
            now = row.fence()
            if not generation:
                now = replace(now, generation=fence.generation, pause=fence.pause)
            if not epoch:
                now = replace(now, owner=fence.owner, epoch=fence.epoch)
            return bool(now == fence)

        database.Database._holds = holds

    return plant


def _no_deadline() -> None:
    """Let calls begin however soon the lease ends, or after its end."""
    replicas.Lease.allows_call = _yes


def _neither() -> None:
    _fences_count(epoch=False, generation=False)()
    _no_deadline()


def _yes(*_asked: Any) -> bool:
    return True


def _old_intents() -> None:
    """Let an intent be carried out however long ago it was written down."""
    tenure.ReplicaTenure.fresh_seconds = math.inf


def _pause_changes_nothing() -> None:
    """Let plans from before a pause go on."""
    right = database.Row.fence

    def fence(self: Any) -> Any:
        return replace(right(self), pause=0)

    database.Row.fence = fence


def _calls_forgotten() -> None:
    """Let an owner begin to count the calls of an hour at zero."""
    learned = service.Learned

    def nothing(_self: Any, _account: Any) -> Any:
        return learned((), None)

    service.ReplicaService._learned = nothing


def _memory_kept() -> None:
    """Let an owner go on from what it happens to remember of an account that others had meanwhile."""
    state.State.forget = _nothing
    state.State.keep_only = _nothing


def _nothing(*_asked: Any) -> None:
    return None


def _dead_stay() -> None:
    """Let nobody declare a silent replica dead."""
    replicas.Watch.look = lambda *_asked: ()


def _nobody_is_unowned() -> None:
    """Let the figures of the fleet hide what nobody owns, as one that asks only the living."""
    right = database.MemoryOwnership.fleet

    def fleet(self: Any, *asked: Any) -> Any:
        return replace(right(self, *asked), unowned=0)

    database.MemoryOwnership.fleet = fleet


def _freed_at_once() -> None:
    """Let accounts be freed while calls of theirs are in flight."""

    async def free(self: Any) -> None:
        self._lost(await service.asyncio.to_thread(self._free, self._tenure.leaving))

    service.ReplicaService._free_idle = free


def _never_waits() -> None:
    """Let a new reader bring its copy into force, however old that is."""
    replicas.SourceWait.look = _yes


SABOTAGES: tuple[tuple[str, str, Callable[[], None]], ...] = (
    (
        "no fence",
        "writes are made whoever owns the account",
        _fences_count(epoch=False, generation=False),
    ),
    (
        "fence without generation",
        "plans count although another revision is in force",
        _fences_count(epoch=True, generation=False),
    ),
    ("no deadline", "calls are made although the lease may end before them", _no_deadline),
    ("neither", "there is no fence, and no deadline", _neither),
    ("old intents", "intents are carried out however old they are", _old_intents),
    ("fence without pause", "plans count although the account was paused", _pause_changes_nothing),
    ("calls forgotten", "a new owner counts the calls of the hour from zero", _calls_forgotten),
    ("memory kept", "a new owner trusts what it remembers from before", _memory_kept),
    ("dead stay", "nobody takes the accounts of a replica that was killed", _dead_stay),
    ("nobody is unowned", "accounts that nobody owns are not shown", _nobody_is_unowned),
    ("freed at once", "accounts are freed while calls are in flight", _freed_at_once),
    ("source never waits", "a new reader undoes what another one accepted since", _never_waits),
)
"""Name, what is wrong with it, and how it is made."""
