"""A disk whose every fault is at hand, and a clock that stands until it is set, for what keeps things in files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from power import Power
from reconciler.state import State

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class StandingClock:
    """A clock that shows one moment until it is set to another."""

    at: datetime = START

    def now(self) -> datetime:
        """Return the moment."""
        return self.at

    def steady(self) -> float:
        """Return the moment in seconds."""
        return (self.at - START).total_seconds()

    def wait(self, **span: float) -> datetime:
        """Let time pass, and return what it is then."""
        self.at += timedelta(**span)
        return self.at


@dataclass
class Disk:
    """A disk on which everything, or only every write, can be made to fail; it keeps book of what was asked of it."""

    fault: str = ""
    write_fault: str = ""
    asked: list[str] = field(default_factory=list)
    power: Power = field(default_factory=Power)

    def connect(self, uri: str) -> sqlite3.Connection:
        """Open a file on this disk."""
        disk = self

        class OnThisDisk(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
                disk.obey(sql)
                cursor = super().execute(sql, parameters)
                if sql == "COMMIT":
                    disk.power.committed(self)
                return cursor

            def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
                if disk.write_fault:
                    raise sqlite3.OperationalError(disk.write_fault)
                return super().executemany(sql, parameters)

        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, factory=OnThisDisk
        )
        connection.set_trace_callback(self.asked.append)
        return connection

    def obey(self, sql: str) -> None:
        """Raise what is wrong with this disk, if anything is."""
        if self.fault:
            raise sqlite3.OperationalError(self.fault)
        if self.write_fault and sql == "COMMIT":
            raise sqlite3.OperationalError(self.write_fault)


def soon_folded(state: State) -> State:
    """Return a state in which what waits for the disk is made one group of each account once three groups wait."""
    state._behind.waiting._most_groups = 2
    return state
