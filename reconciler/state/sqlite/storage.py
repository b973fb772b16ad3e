"""The state in SQLite: what ``port.Storage`` asks for.

Owns: the words in which SQLite differs from other databases. Must not: know when something is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from reconciler.core.clock import Clock
from reconciler.core.model import AccountName
from reconciler.state.records import Fence, Group
from reconciler.state.sql.storage import OPEN, Dialect, SqlStorage
from reconciler.state.sql.writes import of_groups
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.connection import Connect, Statement, connect
from reconciler.state.sqlite.database import Database
from reconciler.state.sqlite.writes import WORDS

DIALECT = Dialect(
    by_author=" AND NOT dirty AND instr(lower(author), ?) > 0",
    open=OPEN.replace("FROM change ", "FROM change INDEXED BY change_open "),
)


class SqliteStorage(SqlStorage):
    """The state in one SQLite file."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, database, DIALECT)
        self._database = database

    @classmethod
    def open(cls, folder: Path, clock: Clock, connect: Connect = connect) -> Self:
        """Open the state in this folder for writing, and create it if needed."""
        return cls(Database.open(folder, tables.MIGRATIONS, clock, connect))

    @classmethod
    def read_only(cls, folder: Path, clock: Clock, connect: Connect = connect) -> Self:
        """Open the state in this folder for reading; a missing one is empty."""
        return cls(Database.read_only(folder, tables.MIGRATIONS, clock, connect))

    @classmethod
    def in_memory(cls, clock: Clock) -> Self:
        """Return a state that ends with the process."""
        return cls(Database.in_memory(tables.MIGRATIONS, clock))

    def write(
        self,
        groups: Iterable[Group],
        *,
        more: bool = False,
        fences: Mapping[AccountName, Fence] | None = None,
    ) -> frozenset[AccountName]:
        del fences  # the lock of the folder sees to it that nobody else writes
        groups = tuple(groups)
        lasting = any(group.lasting for group in groups)
        self._database.write(_statements(groups), lasting=lasting, more=more)
        return frozenset()


def _statements(groups: Iterable[Group]) -> Iterator[Statement]:
    for one in of_groups(groups):
        yield Statement(WORDS[one.write], one.rows)
