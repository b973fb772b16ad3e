"""The words of every statement that writes to PostgreSQL.

Owns: these words. A statement takes all its rows at once, as one array for each column, so a million rows are a few
hundred statements. Must not: execute anything, or know when something is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reconciler.state.sql.rows import Row
from reconciler.state.sql.writes import Write

TOGETHER = 10_000
"""The number of rows that one statement takes, so that it stays far below its time limit."""

PARTS, AT_ONCE = 20, 50_000
"""What is old is deleted in at most this many parts, with at most this many rows each. The rest goes the next day."""


@dataclass(frozen=True, slots=True)
class Words:
    """One statement. ``{r}`` in it is the table of its rows, whose columns are named here with their types.

    ``key`` is how many columns at the front identify a row; of several such rows only the last one is written, because
    PostgreSQL updates no row twice in a statement. A statement that ends early is executed several ``times``.
    """

    sql: str
    columns: str = ""
    key: int = 0
    times: int = 1

    def complete(self) -> str:
        """Return the statement with the places of its values."""
        pairs = [one.split() for one in self.columns.split(",") if one]
        arrays = ", ".join(f"%s::{kind}[]" for _, kind in pairs)
        names = ", ".join(name for name, _ in pairs)
        return self.sql.replace("{r}", f"unnest({arrays}) AS r({names})")


def _inserting(table: str, columns: str, key: str, *, replacing: bool) -> Words:
    """Return the words that insert rows, and replace those of the same key or leave them as they are."""
    names = [one.split()[0] for one in columns.split(",")]
    rest = [name for name in names if name not in key.split(", ")]
    exchanged = ", ".join(f"{name} = excluded.{name}" for name in rest)
    then = f"UPDATE SET {exchanged}" if replacing else "NOTHING"
    listed = ", ".join(names)
    sql = f"INSERT INTO {table} ({listed}) SELECT {listed} FROM {{r}} ON CONFLICT ({key}) DO {then}"
    return Words(sql, columns, len(key.split(", ")))


def _dropping(table: str, condition: str) -> Words:
    """Return the words that delete what is old. After long rest that may be too much for the time of one statement."""
    some = f"SELECT {table}.ctid FROM {{r}} JOIN {table} ON {condition} LIMIT {AT_ONCE}"
    return Words(
        f"DELETE FROM {table} WHERE ctid = ANY (ARRAY ({some}))", "before bigint", times=PARTS
    )


_ACCOUNT = "account text"
_DEVICE = "account text, id text"
_OF_DEVICE = "device.account = r.account AND device.id = r.id"
_UNKNOWN = "NOT owned AND came IS NULL AND went_at IS NULL"
"""No revision named the device. One that was written anew from memory has no revision of its coming either."""
_FORMER = """INSERT INTO former_name (account, device, name, at)
    SELECT device.account, device.id, device.name, r.at FROM {r} JOIN device ON device.account = r.account"""
_FORMER_OF_DEVICE = _FORMER + " AND device.id = r.id WHERE device.name IS NOT NULL"
_AGAIN = " ON CONFLICT (account, device, name) DO UPDATE SET at = excluded.at"
_CHANGE = """account text, device text, intended bigint, pass text, action text, at bigint, open boolean,
    approved boolean, revision bigint, result text, confirmed_by text, message_id text, lg_message_id text,
    status integer, code text, words text, name text"""
_SETTLED = """account text, id text, owned boolean, live boolean, came bigint, came_at bigint, went bigint,
    went_at bigint"""

WORDS: Mapping[Write, Words] = {
    Write.SAVE_ACCOUNT: _inserting(
        "account",
        "name text, texts_since bigint, trusted boolean, suspect_readings integer, credential text, names text",
        "name",
        replacing=True,
    ),
    Write.KNOW_ACCOUNT: Words(
        """INSERT INTO account (name, trusted, suspect_readings) SELECT account, FALSE, 0 FROM {r}
        ON CONFLICT (name) DO NOTHING""",
        _ACCOUNT,
    ),
    Write.RETIRE_DEVICES: Words(
        "DELETE FROM device USING {r} WHERE device.account = r.account", _ACCOUNT
    ),
    Write.DROP_RETRIES: Words(
        "DELETE FROM retry USING {r} WHERE retry.account = r.account", _ACCOUNT
    ),
    Write.DROP_PAUSE: Words(
        "DELETE FROM pause USING {r} WHERE pause.account = r.account", _ACCOUNT
    ),
    Write.CLOSE_CHANGES: Words(
        "UPDATE change SET open = FALSE FROM {r} WHERE change.account = r.account AND open",
        _ACCOUNT,
    ),
    Write.ENTER: Words(
        """INSERT INTO device (account, came, came_at, id, owned, live)
        SELECT account, came, came_at, id, TRUE, FALSE FROM {r}
        ON CONFLICT (account, id) DO UPDATE SET owned = TRUE, came = excluded.came, came_at = excluded.came_at,
        went = NULL, went_at = NULL WHERE NOT device.owned OR device.went_at IS NOT NULL""",
        "account text, came bigint, came_at bigint, id text",
    ),
    Write.LEAVE: Words(
        f"UPDATE device SET went = r.went, went_at = r.went_at FROM {{r}} WHERE {_OF_DEVICE}",
        "went bigint, went_at bigint, account text, id text",
    ),
    Write.NAME: Words(
        f"UPDATE device SET name = r.name FROM {{r}} WHERE {_OF_DEVICE}", f"name text, {_DEVICE}"
    ),
    Write.NAME_ENDS: Words(_FORMER_OF_DEVICE + _AGAIN, f"at bigint, {_DEVICE}"),
    Write.ALL_NAMES_END: Words(
        f"{_FORMER} WHERE device.name IS NOT NULL{_AGAIN}", f"at bigint, {_ACCOUNT}"
    ),
    Write.NAME_CHANGES: Words(
        f"{_FORMER_OF_DEVICE} AND device.name <> r.name{_AGAIN}", f"at bigint, {_DEVICE}, name text"
    ),
    Write.WAS_CALLED: _inserting(
        "former_name",
        "name text, account text, device text, at bigint",
        "account, device, name",
        replacing=True,
    ),
    Write.DISOWN: Words(f"UPDATE device SET owned = FALSE FROM {{r}} WHERE {_OF_DEVICE}", _DEVICE),
    Write.APPEAR: Words(
        """INSERT INTO device (account, id, owned, live) SELECT account, id, FALSE, TRUE FROM {r}
        ON CONFLICT (account, id) DO UPDATE SET live = TRUE""",
        _DEVICE,
    ),
    Write.FORGET_UNKNOWN: Words(
        f"DELETE FROM device USING {{r}} WHERE {_OF_DEVICE} AND {_UNKNOWN}", _DEVICE
    ),
    Write.VANISH: Words(f"UPDATE device SET live = FALSE FROM {{r}} WHERE {_OF_DEVICE}", _DEVICE),
    Write.FORGET_ALL_UNKNOWN: Words(
        f"DELETE FROM device USING {{r}} WHERE device.account = r.account AND {_UNKNOWN}", _ACCOUNT
    ),
    Write.VANISH_ALL: Words(
        "UPDATE device SET live = FALSE FROM {r} WHERE device.account = r.account AND live",
        _ACCOUNT,
    ),
    Write.SETTLE: Words(
        """INSERT INTO device (account, id, owned, live, came, came_at, went, went_at)
        SELECT account, id, owned, live, came, came_at, went, went_at FROM {r}
        ON CONFLICT (account, id) DO UPDATE SET owned = excluded.owned, live = excluded.live,
        came = coalesce(excluded.came, device.came), came_at = coalesce(excluded.came_at, device.came_at),
        went_at = excluded.went_at, went = CASE WHEN excluded.went_at IS NULL THEN NULL
        ELSE coalesce(excluded.went, device.went) END""",
        _SETTLED,
        key=2,
    ),
    Write.DROP_NOWHERE: Words(
        """DELETE FROM device USING {r}
        WHERE device.account = r.account AND NOT owned AND NOT live AND went_at IS NULL""",
        _ACCOUNT,
    ),
    Write.SAVE_CHANGE: _inserting(
        "change", _CHANGE, "account, device, intended, pass", replacing=True
    ),
    Write.DROP_CHANGE: Words(
        """DELETE FROM change USING {r} WHERE change.account = r.account AND change.device = r.device
        AND change.intended = r.intended AND change.pass = r.pass""",
        "account text, device text, intended bigint, pass text",
    ),
    Write.DROP_REPEATED: Words(
        """DELETE FROM change USING {r} WHERE change.account = r.account AND change.pass = r.pass AND EXISTS (
        SELECT 1 FROM change AS other WHERE other.account = change.account AND other.device = change.device
        AND other.action = change.action AND other.at = change.at AND other.pass <> change.pass)""",
        "account text, pass text",
    ),
    Write.SAVE_RETRY: _inserting(
        "retry",
        """account text, device text, action text, reason text, attempts integer, until bigint, code text,
        words text""",
        "account, device",
        replacing=True,
    ),
    Write.DROP_RETRY: Words(
        "DELETE FROM retry USING {r} WHERE retry.account = r.account AND retry.device = r.device",
        "account text, device text",
    ),
    Write.SAVE_QUOTA: _inserting(
        "quota", "account text, calls bytea, calls_per_hour integer", "account", replacing=True
    ),
    Write.SAVE_PAUSE: _inserting(
        "pause",
        "account text, pause text, until bigint, reason text, set_by text",
        "account",
        replacing=True,
    ),
    Write.PROTECT: _inserting("protection", "device text, account text", "device", replacing=True),
    Write.UNPROTECT: Words(
        "DELETE FROM protection USING {r} WHERE protection.device = r.device", "device text"
    ),
    Write.RELEASE: Words(
        """DELETE FROM protection USING {r}
        WHERE protection.account = r.account AND protection.device = r.device""",
        "account text, device text",
    ),
    Write.SAVE_OPENING: _inserting(
        "opened_window",
        "name text, at bigint, mark text, until bigint, reason text, set_by text, ended bigint, ended_by text",
        "name, at",
        replacing=True,
    ),
    Write.SAVE_REVISION: _inserting(
        "revision",
        """key bigint, sha256 text, commit_id text, author text, subject text, committed bigint, verified text,
        dirty boolean""",
        "key",
        replacing=False,
    ),
    Write.SAVE_DOCUMENT: _inserting(
        "text", "document text, revision bigint", "document", replacing=True
    ),
    Write.DROP_DOCUMENT: Words(
        "DELETE FROM text USING {r} WHERE text.document = r.document", "document text"
    ),
    Write.SAVE_FILE: _inserting(
        "text_file", "document text, path text, sha256 text", "document, path", replacing=True
    ),
    Write.DROP_FILES: Words(
        "DELETE FROM text_file USING {r} WHERE text_file.document = r.document", "document text"
    ),
    Write.SAVE_CONTENT: _inserting(
        "content", "sha256 text, compressed bytea", "sha256", replacing=False
    ),
    Write.DROP_UNUSED: Words(
        "DELETE FROM content WHERE sha256 NOT IN (SELECT sha256 FROM text_file)"
    ),
    Write.DROP_OLD_CHANGES: _dropping("change", "at < r.before"),
    Write.DROP_OLD_DEVICES: _dropping("device", "NOT owned AND NOT live AND went_at < r.before"),
    Write.DROP_OLD_NAMES: _dropping("former_name", "at < r.before"),
    Write.DROP_OLD_OPENINGS: _dropping("opened_window", "until < r.before"),
}
_COMPLETE = {write: words.complete() for write, words in WORDS.items()}


def executions(write: Write, rows: Iterable[Row]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield what to execute for these rows: a statement, and one list for each of its columns."""
    words, sql = WORDS[write], _COMPLETE[write]
    if not words.columns:
        yield sql, ()
        return
    left = iter(_last_of_each(rows, words.key) if words.key else rows)
    while some := tuple(islice(left, TOGETHER)):
        columns = [list(map(storable, column)) for column in zip(*some, strict=True)]
        for _ in range(words.times):
            yield sql, columns


def _last_of_each(rows: Iterable[Row], key: int) -> Iterable[Row]:
    """Return the rows without those that a later one of the same key replaces."""
    last: dict[Row, Row] = {}
    for row in rows:
        last[row[:key]] = row
    return last.values()


def storable(value: Any) -> Any:
    """Return a value that PostgreSQL can keep: its text has no zero byte."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
