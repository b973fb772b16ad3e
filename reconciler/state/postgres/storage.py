"""The state in PostgreSQL: what ``port.Storage`` asks for.

Owns: the words in which PostgreSQL differs from other databases when it is read, and which groups a fence keeps out.
Must not: know when something is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

from reconciler.core.clock import Clock
from reconciler.core.model import AccountName
from reconciler.state.postgres.database import Database, Execution
from reconciler.state.postgres.faults import SILENCE
from reconciler.state.postgres.writes import executions
from reconciler.state.records import Fence, Group
from reconciler.state.sql.storage import Dialect, SqlStorage
from reconciler.state.sql.writes import of_groups

DIALECT = Dialect(by_author=" AND NOT dirty AND strpos(lower(author), ?) > 0")


class PostgresStorage(SqlStorage):
    """The state in one PostgreSQL database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, database, DIALECT)
        self._database = database

    @classmethod
    def open(cls, url: str | Callable[[], str], clock: Clock, silence: float = SILENCE) -> Self:
        """Open the state for writing, and make its tables if needed. ``silence``: seconds to wait for an answer."""
        return cls(Database.open(url, clock, silence))

    @classmethod
    def read_only(cls, url: str | Callable[[], str], clock: Clock) -> Self:
        """Open the state for reading. It is ``empty`` where there are no tables, and then nothing can be read."""
        return cls(Database.read_only(url, clock))

    @property
    def empty(self) -> bool:
        """Return whether there are no tables, and so no state."""
        return self._database.empty

    def write(
        self,
        groups: Iterable[Group],
        *,
        more: bool = False,
        fences: Mapping[AccountName, Fence] | None = None,
    ) -> frozenset[AccountName]:
        groups = tuple(groups)

        def unfenced(fenced: frozenset[AccountName]) -> Iterator[Execution]:
            kept = [one for one in groups if one.about not in fenced] if fenced else groups
            for statement in of_groups(kept):
                yield from executions(statement.write, statement.rows)

        lasting = any(group.lasting or group.intends for group in groups)
        return self._database.write(unfenced, lasting=lasting, more=more, fences=fences)
