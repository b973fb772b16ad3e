"""Starts the program without one of the checks by which replicas keep out of each other's way.

Owns: what each sabotage takes away, and a short lease, so that a test need not wait for a long one. The program itself
has no such switch. Must not: be used for anything else than to show that the tests would notice.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

INTENTS = " -- intents"
"""What the transaction that writes intents begins with, beside its usual words: without it no way could know one."""
LEASE_SECONDS, CALL_SECONDS, MARGIN_SECONDS = 5, 1, 0.5
SILENCE_SECONDS = 60.0
"""A database may be silent for so long: also on a busy machine that is longer than what a test holds back."""
SHORT = {"PCC_LEASE": f"{LEASE_SECONDS}s", "PCC_REQUEST_TIMEOUT": f"{CALL_SECONDS}s"}
"""The settings of a replica that is started by this module."""
OWNER = " AND ownership.owner = f.owner AND ownership.epoch = f.epoch"
PLAN = "\n        AND ownership.generation = f.generation AND ownership.pause = f.pause"


def _module(name: str) -> Any:
    """Return a module of the program, to be changed."""
    return import_module(f"reconciler.{name}")


def _yes(*_asked: Any) -> bool:
    return True


def _nothing() -> None:
    return None


def _no_deadline() -> None:
    """Let calls begin however soon the lease ends, or after its end."""
    _module("core.replicas").Lease.allows_call = _yes


def _no_fence() -> None:
    """Let everything be written and confirmed, whoever owns the account."""
    database = _module("state.postgres.database")
    assert OWNER + PLAN in database.FENCE
    database.FENCE = database.FENCE.replace(OWNER + PLAN, "")
    _module("runtime.replicas.tenure").ReplicaTenure.confirm = _yes


def _no_generation() -> None:
    """Let plans count whatever was accepted or paused since they were made."""
    database, ownership = map(_module, ("state.postgres.database", "state.postgres.ownership"))
    assert PLAN in database.FENCE
    database.FENCE = database.FENCE.replace(PLAN, "")
    columns = "USING (account, owner, epoch, generation, pause)"
    assert columns in ownership.TRUE_NOW
    ownership.TRUE_NOW = ownership.TRUE_NOW.replace(columns, "USING (account, owner, epoch)")


def _neither() -> None:
    _no_fence()
    _no_deadline()


SABOTAGES: Mapping[str, Callable[[], None]] = {
    "nothing": _nothing,
    "no fence": _no_fence,
    "fence without generation": _no_generation,
    "no deadline": _no_deadline,
    "neither": _neither,
}


def command(sabotage: str) -> tuple[str, ...]:
    """Return the words that start a replica with a sabotage."""
    return sys.executable, str(Path(__file__)), sabotage


def _mark_intents() -> None:
    """Let the words by which a transaction begins tell whether it writes intents."""
    connection = _module("state.postgres.connection")
    storage = _module("state.postgres.storage").PostgresStorage
    execute, write, here = connection.Connection.execute, storage.write, threading.local()

    def marked(self: Any, sql: Any, *given: Any, **named: Any) -> Any:
        begins = sql == connection.BEGIN and getattr(here, "intends", False)
        return execute(self, sql + INTENTS if begins else sql, *given, **named)

    def writing(self: Any, groups: Any, *given: Any, **named: Any) -> Any:
        groups = tuple(groups)
        here.intends = any(group.intends for group in groups)
        try:
            return write(self, groups, *given, **named)
        finally:
            here.intends = False

    connection.Connection.execute, storage.write = marked, writing


def main(sabotage: str) -> None:
    """Run a replica."""
    _module("state.postgres.faults").SILENCE = SILENCE_SECONDS  # first, as others take it over
    _mark_intents()
    replicas = _module("core.replicas")
    replicas.MARGIN_SECONDS = MARGIN_SECONDS
    replicas.SHORTEST_REST = replicas.timedelta(seconds=2 * MARGIN_SECONDS)
    SABOTAGES[sabotage]()
    sys.exit(_module("cli").run(["run"]))


if __name__ == "__main__":
    main(sys.argv[1])
