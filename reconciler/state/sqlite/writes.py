"""How each record is written: the SQL statements that change the tables.

Owns: every statement that writes, and the statements of each record. Must not: execute anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import singledispatch

from reconciler.core.memory import Past
from reconciler.core.model import Action, DeviceId, Revision
from reconciler.state import records
from reconciler.state.records import DevicesMoved, DevicesSettled, NamesSaved, Record
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.connection import Row, Statement

SAVE_ACCOUNT = "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?, ?)"
KNOW_ACCOUNT = "INSERT OR IGNORE INTO account VALUES (?, NULL, 0, 0, NULL, NULL)"
RETIRE = (
    "DELETE FROM device WHERE account = ?",
    "DELETE FROM retry WHERE account = ?",
    "DELETE FROM quota WHERE account = ?",
    "DELETE FROM pause WHERE account = ?",
    "UPDATE change SET open = 0 WHERE account = ? AND open",
)
ENTER = """INSERT INTO device (account, came, came_at, id, owned, live) VALUES (?, ?, ?, ?, 1, 0)
    ON CONFLICT DO UPDATE SET owned = 1, came = excluded.came, came_at = excluded.came_at, went = NULL, went_at = NULL
    WHERE NOT owned OR went_at IS NOT NULL"""
LEAVE = "UPDATE device SET went = ?, went_at = ? WHERE account = ? AND id = ?"
NAME = "UPDATE device SET name = ? WHERE account = ? AND id = ?"
_FORMER = """INSERT OR REPLACE INTO former_name SELECT name, account, id, ? FROM device
    WHERE account = ? AND id = ? AND name IS NOT NULL"""
NAME_ENDS = _FORMER
ALL_NAMES_END = """INSERT OR REPLACE INTO former_name SELECT name, account, id, ? FROM device
    WHERE account = ? AND name IS NOT NULL"""
NAME_CHANGES = _FORMER + " AND name <> ?"
WAS_CALLED = "INSERT OR REPLACE INTO former_name VALUES (?, ?, ?, ?)"
DISOWN = "UPDATE device SET owned = 0 WHERE account = ? AND id = ?"
APPEAR = """INSERT INTO device (account, id, owned, live) VALUES (?, ?, 0, 1) ON CONFLICT DO UPDATE SET live = 1"""
VANISH = (
    "DELETE FROM device WHERE account = ? AND id = ? AND came IS NULL",
    "UPDATE device SET live = 0 WHERE account = ? AND id = ?",
)
CLEAR_LIST = (
    "DELETE FROM device WHERE account = ? AND came IS NULL",
    "UPDATE device SET live = 0 WHERE account = ? AND live",
)
SETTLE = """INSERT INTO device (account, id, owned, live, came, came_at, went, went_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET owned = excluded.owned, live = excluded.live, came = coalesce(excluded.came, came),
    came_at = coalesce(excluded.came_at, came_at), went_at = excluded.went_at,
    went = CASE WHEN excluded.went_at IS NULL THEN NULL ELSE coalesce(excluded.went, went) END"""
DROP_NOWHERE = "DELETE FROM device WHERE account = ? AND NOT owned AND NOT live AND went_at IS NULL"
SAVE_CHANGE = (
    "INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
DROP_CHANGE = "DELETE FROM change WHERE account = ? AND device = ? AND intended = ? AND pass = ?"
DROP_REPEATED = """DELETE FROM change WHERE account = ? AND pass = ? AND EXISTS (
    SELECT 1 FROM change AS other WHERE other.account = change.account AND other.device = change.device
    AND other.action = change.action AND other.at = change.at AND other.pass <> change.pass)"""
SAVE_RETRY = "INSERT OR REPLACE INTO retry VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
DROP_RETRY = "DELETE FROM retry WHERE account = ? AND device = ?"
DROP_RETRIES = "DELETE FROM retry WHERE account = ?"
SAVE_QUOTA = "INSERT OR REPLACE INTO quota VALUES (?, ?, ?)"
SAVE_PAUSE = "INSERT OR REPLACE INTO pause VALUES (?, ?, ?, ?, ?)"
DROP_PAUSE = "DELETE FROM pause WHERE account = ?"
SAVE_REVISION = "INSERT OR IGNORE INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
SAVE_DOCUMENT = "INSERT OR REPLACE INTO text VALUES (?, ?)"
DROP_DOCUMENT = "DELETE FROM text WHERE document = ?"
SAVE_FILE = "INSERT INTO text_file VALUES (?, ?, ?)"
DROP_FILES = "DELETE FROM text_file WHERE document = ?"
SAVE_CONTENT = "INSERT OR IGNORE INTO content VALUES (?, ?)"
DROP_UNUSED = "DELETE FROM content WHERE sha256 NOT IN (SELECT sha256 FROM text_file)"
DROP_OLD = (
    "DELETE FROM change WHERE at < ?",
    "DELETE FROM device WHERE NOT owned AND NOT live AND went_at < ?",
    "DELETE FROM former_name WHERE at < ?",
)


@dataclass(frozen=True, slots=True)
class Each:
    """One row of values for each device, in the file's order. Rows are made anew on each iteration."""

    before: Row
    devices: Collection[DeviceId]

    def __iter__(self) -> Iterator[Row]:
        return ((*self.before, device) for device in sorted(self.devices))


@dataclass(frozen=True, slots=True)
class Settled:
    """One row for each device with its present state."""

    record: DevicesSettled

    def __iter__(self) -> Iterator[Row]:
        record = self.record
        came, went = _marks(record.moved)
        for device in sorted(record.devices):
            gone = record.left.get(device) or record.disowned.get(device)
            yield (
                record.account,
                device,
                device in record.owned,
                device in record.live,
                *came.get(device, (None, None)),
                went.get(device, (None, None))[0],
                tables.stamp_or_none(gone),
            )


@dataclass(frozen=True, slots=True)
class Named:
    """One row for each device with its new name, in the file's order."""

    record: NamesSaved

    def __iter__(self) -> Iterator[Row]:
        record = self.record
        for device in sorted(record.names):
            yield (tables.fit(record.names[device]), record.account, device)


@dataclass(frozen=True, slots=True)
class Renamed:
    """One row for each device with a new name, to keep the name before it, in the file's order."""

    record: NamesSaved
    at: int

    def __iter__(self) -> Iterator[Row]:
        record = self.record
        for device in sorted(record.names):
            yield (self.at, record.account, device, tables.fit(record.names[device]))


@singledispatch
def statements(record: Record) -> Iterable[Statement]:
    """Return the statements that a record becomes."""
    raise TypeError(f"no statements write a {type(record).__name__}")


@statements.register
def _(record: records.AccountSaved) -> Iterable[Statement]:
    since = tables.stamp_or_none(record.texts_since)
    row = (
        record.account,
        since,
        record.trusted,
        record.suspect_readings,
        record.credential,
        record.names,
    )
    return (Statement(SAVE_ACCOUNT, (row,)),)


@statements.register
def _(record: records.AccountRetired) -> Iterable[Statement]:
    if record.at is not None:
        yield Statement(ALL_NAMES_END, ((tables.stamp(record.at), record.account),))
    yield from _all((record.account,), *RETIRE)


@statements.register
def _(record: records.DevicesMoved) -> Iterable[Statement]:
    key, at = _mark(record)
    return (
        save_revision(record.mark.revision),
        Statement(ENTER, Each((record.account, key, at), record.entering)),
        Statement(NAME_ENDS, Each((at, record.account), record.leaving)),
        Statement(LEAVE, Each((key, at, record.account), record.leaving)),
    )


@statements.register
def _(record: records.NamesSaved) -> Iterable[Statement]:
    at = tables.stamp(record.at)
    yield Statement(NAME_CHANGES, Renamed(record, at))
    yield Statement(NAME_ENDS, Each((at, record.account), record.ended))
    yield Statement(NAME, Named(record))


@statements.register
def _(record: records.ListCleared) -> Iterable[Statement]:
    return _all((record.account,), *CLEAR_LIST)


@statements.register
def _(record: records.ListChanged) -> Iterable[Statement]:
    account = (record.account,)
    yield Statement(APPEAR, Each(account, record.appeared))
    for sql in VANISH:
        yield Statement(sql, Each(account, record.vanished))


@statements.register
def _(record: records.DevicesDisowned) -> Iterable[Statement]:
    return (Statement(DISOWN, Each((record.account,), record.devices)),)


@statements.register
def _(record: records.DevicesSettled) -> Iterable[Statement]:
    for revision in dict.fromkeys(one.mark.revision for one in record.moved):
        yield save_revision(revision)
    yield Statement(SETTLE, Settled(record))
    yield Statement(DROP_NOWHERE, ((record.account,),))


@statements.register
def _(record: records.RetriesSaved) -> Iterable[Statement]:
    if record.all_of_them:
        yield Statement(DROP_RETRIES, ((record.account,),))
    yield Statement(
        SAVE_RETRY, [tables.retry_row(record.account, *one) for one in record.retries.items()]
    )


@statements.register
def _(record: records.RetriesDropped) -> Iterable[Statement]:
    return (Statement(DROP_RETRY, Each((record.account,), record.devices)),)


@statements.register
def _(record: records.ChangesSaved) -> Iterable[Statement]:
    for revision in dict.fromkeys(past.revision for past in record.pasts):
        if revision is not None:
            yield save_revision(revision)
    yield Statement(KNOW_ACCOUNT, ((record.account,),))
    yield Statement(SAVE_CHANGE, [tables.past_row(past, is_open=False) for past in record.closed])
    yield Statement(SAVE_CHANGE, [tables.past_row(past, is_open=True) for past in record.open])
    yield Statement(WAS_CALLED, [_called(past) for past in record.pasts if _ends_a_name(past)])


@statements.register
def _(record: records.ChangesDropped) -> Iterable[Statement]:
    return (Statement(DROP_CHANGE, [tables.past_key(past) for past in record.pasts]),)


@statements.register
def _(record: records.RepeatedChangesDropped) -> Iterable[Statement]:
    return _all((record.account, record.pass_id), DROP_REPEATED)


@statements.register
def _(record: records.QuotaSaved) -> Iterable[Statement]:
    return (Statement(SAVE_QUOTA, (tables.quota_row(record.account, record.calls, record.limit),)),)


@statements.register
def _(record: records.PauseSaved) -> Iterable[Statement]:
    if record.override is None:
        return _all((record.account,), DROP_PAUSE)
    return (Statement(SAVE_PAUSE, (tables.pause_row(record.account, record.override),)),)


@statements.register
def _(record: records.DocumentSaved) -> Iterable[Statement]:
    document = record.document
    yield save_revision(record.revision)
    yield Statement(SAVE_DOCUMENT, ((document, tables.revision_key(record.revision)),))
    if record.digests is not None:
        yield Statement(DROP_FILES, ((document,),))
        yield Statement(
            SAVE_FILE, [(document, path, digest) for path, digest in record.digests.items()]
        )
        yield Statement(SAVE_CONTENT, list(record.contents.items()))


@statements.register
def _(record: records.DocumentDropped) -> Iterable[Statement]:
    return _all((record.document,), DROP_DOCUMENT, DROP_FILES)


@statements.register
def _(_: records.UnusedContentsDropped) -> Iterable[Statement]:
    return (Statement(DROP_UNUSED),)


@statements.register
def _(record: records.OldDropped) -> Iterable[Statement]:
    return _all((tables.stamp(record.before),), *DROP_OLD)


def _ends_a_name(past: Past) -> bool:
    """Say whether a device that is unsubscribed had a name. Its entry may have left long ago."""
    return past.action is Action.UNSUBSCRIBE and bool(past.name)


def _called(past: Past) -> Row:
    return (
        tables.fit(past.name or ""),
        past.account,
        past.device,
        tables.stamp(past.at),
    )


def save_revision(revision: Revision) -> Statement:
    """Return the statement that stores a revision under its key."""
    return Statement(SAVE_REVISION, (tables.revision_row(revision),))


def _all(row: Row, *sql: str) -> Iterable[Statement]:
    """Return several statements with the same values."""
    return [Statement(one, (row,)) for one in sql]


def _mark(moved: DevicesMoved) -> Row:
    return tables.revision_key(moved.mark.revision), tables.stamp(moved.mark.at)


def _marks(moved: Iterable[DevicesMoved]) -> tuple[dict[DeviceId, Row], dict[DeviceId, Row]]:
    """Return the revision and the time of each device's arrival and departure."""
    came: dict[DeviceId, Row] = {}
    went: dict[DeviceId, Row] = {}
    for one in moved:
        came.update(dict.fromkeys(one.entering, _mark(one)))
        went.update(dict.fromkeys(one.leaving, _mark(one)))
    return came, went
