"""Moves a state from SQLite to PostgreSQL, and compares both.

Owns: what is copied, and that both are alike afterwards. Must not: be imported where no PostgreSQL is asked for, or
leave anything behind in PostgreSQL if it fails: it is one transaction.

The file is locked meanwhile, as by a daemon. Members of the fleet cannot join meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.state.place import Place
from reconciler.state.postgres.connection import Connection, Server
from reconciler.state.postgres.faults import in_a_sentence
from reconciler.state.postgres.vacancy import Progress, vacant
from reconciler.state.postgres.writes import storable
from reconciler.state.sql.rows import Row
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.database import Database
from reconciler.state.sqlite.folder import FILE

PATIENCE = 600.0
"""Seconds that one step of the server may take: an index of a million rows is made in one."""
AT_ONCE = 2000
"""The number of rows that are fetched at once when both are compared."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the state: its columns, those of its key first, and which of them are true or false."""

    name: str
    columns: tuple[str, ...]
    key: int
    truths: frozenset[str] = frozenset()

    @classmethod
    def of(cls, name: str, key: str, rest: str, truths: str = "") -> Table:
        """Return a table by the names of its columns, with spaces between them."""
        columns = (*key.split(), *rest.split())
        return cls(name, columns, len(key.split()), frozenset(truths.split()))

    @property
    def all_rows(self) -> str:
        """Return the query for all rows, sorted by their key."""
        listed = ", ".join(self.columns)
        return f"SELECT {listed} FROM {self.name} ORDER BY {', '.join(self.columns[: self.key])}"  # noqa: S608 - ours

    @property
    def copying(self) -> str:
        """Return the statement that takes rows."""
        return f"COPY {self.name} ({', '.join(self.columns)}) FROM STDIN"

    def translated(self, row: Row) -> Row:
        """Return a row of SQLite as PostgreSQL keeps it."""
        return tuple(
            bool(value) if name in self.truths and value is not None else storable(value)
            for name, value in zip(self.columns, row, strict=True)
        )


TABLES = (
    Table.of("account", "name", "texts_since trusted suspect_readings credential names", "trusted"),
    Table.of("device", "account id", "owned live came came_at went went_at name", "owned live"),
    Table.of(
        "change",
        "account device intended pass",
        "action at open approved revision result confirmed_by message_id lg_message_id status code words name",
        "open approved",
    ),
    Table.of("retry", "account device", "action reason attempts until code words"),
    Table.of("pause", "account", "pause until reason set_by"),
    Table.of("opened_window", "name at", "mark until reason set_by ended ended_by"),
    Table.of("quota", "account", "calls calls_per_hour"),
    Table.of("protection", "device", "account"),
    Table.of(
        "revision", "key", "sha256 commit_id author subject committed verified dirty", "dirty"
    ),
    Table.of("text", "document", "revision"),
    Table.of("text_file", "document path", "sha256"),
    Table.of("content", "sha256", "compressed"),
    Table.of("former_name", "account device name", "at"),
)


def move(place: Place, clock: Clock, progress: Progress) -> Mapping[str, int]:
    """Copy the state in the folder of a place to its PostgreSQL; return the number of rows of each table.

    Raises ``StateError`` if either of them is in use, if PostgreSQL already has a state, or if both differ afterwards.
    """
    if place.url is None:
        raise StateError(
            "PCC_STATE_URL is not set: it names the PostgreSQL that the state is moved to"
        )
    server = Server.of(place.url, PATIENCE)
    with (
        closing(_source(place.folder, clock)) as source,
        in_a_sentence(f"nothing was moved: {server.name}"),
        vacant(server, progress) as target,
    ):
        return _moved(source, target, server.name, progress)


def _source(folder: Path, clock: Clock) -> Database:
    """Open the file in a folder, and hold its lock. It stays as it is, but for the version of its tables."""
    if not (folder / FILE).exists():
        raise StateError(f"there is no state in {folder} (PCC_STATE_DIR)")
    looked = Database.read_only(folder, tables.MIGRATIONS, clock)
    looked.close()
    if looked.trouble:  # opened for writing, it would be set aside
        raise StateError(looked.trouble)
    source = Database.open(folder, tables.MIGRATIONS, clock)
    if source.trouble:
        source.close()
        raise StateError(source.trouble)
    return source


def _moved(
    source: Database, target: Connection, name: str, progress: Progress
) -> Mapping[str, int]:
    for table in TABLES:
        if target.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() is not None:  # noqa: S608 - ours
            raise StateError(f"{name} already has a state: name an empty database in PCC_STATE_URL")
    counts = {table.name: _copied(source, target, table, progress) for table in TABLES}
    progress("comparing what was copied")
    for table in TABLES:
        _compare(source, target, table)
    target.execute("COMMIT")
    target.execute("ANALYZE")
    return counts


def _copied(source: Database, target: Connection, table: Table, progress: Progress) -> int:
    progress(f"copying {table.name}")
    count = 0
    with (
        closing(source.each(table.all_rows)) as rows,
        target.cursor() as cursor,
        cursor.copy(table.copying) as copy,
    ):
        for row in rows:
            copy.write_row(table.translated(row))
            count += 1
    return count


def _compare(source: Database, target: Connection, table: Table) -> None:
    """Raise ``StateError`` if a table has other rows in PostgreSQL than in SQLite."""
    with closing(source.each(table.all_rows)) as rows, target.cursor("comparing") as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(table.all_rows)
        pairs = zip_longest(map(table.translated, rows), cursor)
        for number, (ours, theirs) in enumerate(pairs, 1):
            if ours != theirs:
                raise StateError(
                    f"nothing was moved: row {number} of table {table.name} differs after it was copied"
                )
