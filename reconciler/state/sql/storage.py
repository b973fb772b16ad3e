"""What an SQL database keeps of the state, as ``port.Storage`` asks for it.

Owns: every statement that reads, and the values that its rows become. Must not: know when something is written, or how
a database is reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from reconciler.core.guards import LIMIT_WINDOW, PauseOverride
from reconciler.core.memory import AccountMemory, DeviceNames, Members, Past, Shelf
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.windows import Opening
from reconciler.state.port import Asked, Known, Medium, Stay, Storage, StoredDocument
from reconciler.state.records import Mark
from reconciler.state.sql import rows
from reconciler.state.sql.rows import Row
from reconciler.state.traits import BEGUN, Traits, folded

ACCOUNT = (
    "SELECT texts_since, trusted, suspect_readings, credential, names FROM account WHERE name = ?"
)
# nearly all devices are owned and live and never left, so only their ids are read
OWNED_AND_LIVE = "SELECT id FROM device WHERE account = ? AND owned AND live AND went_at IS NULL"
NOT_OWNED_AND_LIVE = """SELECT id, owned, live, went_at FROM device
    WHERE account = ? AND NOT (owned AND live AND went_at IS NULL)"""
RETRIES = "SELECT device, action, reason, attempts, until, code, words FROM retry WHERE account = ?"
QUOTA = "SELECT calls, calls_per_hour FROM quota WHERE account = ?"
PAUSES = "SELECT account, pause, until, reason, set_by FROM pause"
PROTECTED = "SELECT device, account FROM protection"
_OPENED = "SELECT name, at, mark, until, reason, set_by, ended, ended_by FROM opened_window"
OPENED = _OPENED + " WHERE ended IS NULL ORDER BY at DESC, name LIMIT ?"
OPENED_SINCE = _OPENED + " WHERE until >= ? ORDER BY at DESC, name LIMIT ?"
LIVE_ACCOUNTS = """SELECT name FROM account
    WHERE EXISTS (SELECT 1 FROM device WHERE device.account = account.name AND live)"""
STAY = "SELECT came, came_at, went, went_at FROM device WHERE account = ? AND id = ?"
OF_REVISION = (
    "revision.key, revision.sha256, revision.commit_id, revision.author, revision.subject, revision.committed,"
    " revision.verified, revision.dirty"
)
"""The columns of a revision by their names: the next release may add more."""
REVISION = f"SELECT {OF_REVISION} FROM revision WHERE key = ?"
DOCUMENTS = f"""SELECT document, {OF_REVISION} FROM text JOIN revision ON revision.key = text.revision
    ORDER BY document"""
FILES = "SELECT document, path, sha256 FROM text_file ORDER BY document, path"
FILES_OF_DOCUMENT = (
    "SELECT path, sha256 FROM text_file JOIN content USING (sha256) WHERE document = ?"
)
CONTENTS = "SELECT sha256, compressed FROM content"
HAVE_CONTENTS = "SELECT sha256 FROM content WHERE sha256 IN "
_PAST = f"""SELECT account, device, action, intended, at, pass, approved, result, confirmed_by, message_id,
    lg_message_id, status, code, words, name, {OF_REVISION} FROM change """
_ITS_REVISION = "LEFT JOIN revision ON revision.key = change.revision "
PAST_IN_FULL = _PAST + _ITS_REVISION
_ANY_ACCOUNT = "(SELECT name FROM account)"
_NEWEST = " ORDER BY at DESC, intended DESC, account, device LIMIT ?"
_WITHIN = "at >= ? AND at < ?" + _NEWEST
# the plus makes SQLite use the index of devices instead of reading all changes of a span or an account
_OF_DEVICE_WITHIN = "AND device = ? AND +at >= ? AND +at < ?" + _NEWEST
PAST_OF_ALL = PAST_IN_FULL + "WHERE " + _WITHIN
PAST_OF_ACCOUNT = PAST_IN_FULL + "WHERE account = ? AND " + _WITHIN
PAST_OF_DEVICE = PAST_IN_FULL + "WHERE account IN " + _ANY_ACCOUNT + _OF_DEVICE_WITHIN
PAST_OF_BOTH = PAST_IN_FULL + "WHERE account = ? " + _OF_DEVICE_WITHIN
LIKE_ACTION, LIKE_RESULT, LIKE_BEGUN = " AND action = ?", " AND result = ?", " AND result IS NULL"
LIKE_REVISION = """ AND (substr(commit_id || CASE WHEN dirty THEN '-dirty' ELSE '' END, 1, length(?)) = ?
    OR substr('sha256:' || sha256, 1, length(?)) = ?)"""
DEVICES_LIKE = """SELECT account, id FROM device
    WHERE account IN (SELECT name FROM account) AND id >= ? AND id < ?
    UNION SELECT account, device FROM change
    WHERE account IN (SELECT name FROM account) AND device >= ? AND device < ? LIMIT ?"""
NAMES = "SELECT id, name FROM device WHERE account = ? AND name IS NOT NULL AND id IN "
TOGETHER = 500
"""The number of devices in one question; SQLite allows no more than some hundreds of values in old versions."""
ONCE_CALLED = "SELECT account, device FROM former_name WHERE name = ? LIMIT ?"
ONCE_CALLED_LIKE = "SELECT DISTINCT name FROM former_name WHERE name >= ? AND name < ? LIMIT ?"
NEWEST_CHANGE = "SELECT max(at) FROM change WHERE account = ?"
CONFIRMED = (
    PAST_IN_FULL
    + "WHERE account = ? AND at > ? AND result IN ('success', 'noop') ORDER BY at, intended"
)
SENT = "SELECT at FROM change WHERE account = ? AND at > ? AND intended > ? AND confirmed_by IS NULL ORDER BY at"
_OPEN = "WHERE account = ? AND open ORDER BY intended"
OPEN = PAST_IN_FULL + _OPEN


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words in which databases differ: for open changes, and for the author of a change's revision."""

    by_author: str
    open: str = OPEN


class Reader(Protocol):
    """What answers a query. The places of values are written as ``?``."""

    def read(self, sql: str, values: Row = ()) -> list[Row]:
        """Return the rows that a query finds. Raises ``StateError``."""

    def read_set(self, sql: str, values: Row = ()) -> frozenset[Any]:
        """Return the only column that a query finds as a set. Raises ``StateError``."""

    def snapshot(self) -> AbstractContextManager[Reader]:
        """Return what answers several queries in one transaction."""


class SqlStorage(Storage):
    """The reading half of a storage in an SQL database."""

    def __init__(self, medium: Medium, reader: Reader, dialect: Dialect) -> None:
        self.medium = medium
        self._reader, self._dialect = reader, dialect
        self._read = reader.read

    def account(
        self, account: AccountName, now: datetime, day_ends: datetime | None = None
    ) -> AccountMemory:
        known = AccountMemory(account)
        with self._reader.snapshot() as reader:
            _read_account(reader, known)
            _read_devices(reader, known)
            self._read_changes(reader, known, now, day_ends or now)
        return known

    def _read_changes(
        self, reader: Reader, known: AccountMemory, now: datetime, day_ends: datetime
    ) -> None:
        """Count the day back from the newest change if that is earlier: a clock may be ahead."""
        account, latest = known.name, rows.stamp(min(now, day_ends))
        ((newest,),) = reader.read(NEWEST_CHANGE, (account,))
        if newest is not None:
            latest = min(latest, newest)
        since = latest - (rows.stamp(now) - rows.stamp(now - LIMIT_WINDOW))
        known.count_from(map(rows.read_past, reader.read(CONFIRMED, (account, since))))
        known.not_later_than(now)
        known.open = {
            past.device: past
            for past in map(rows.read_past, reader.read(self._dialect.open, (account,)))
        }

    def pauses(self) -> dict[AccountName, PauseOverride]:
        return {AccountName(name): rows.read_pause(tuple(row)) for name, *row in self._read(PAUSES)}

    def protected(self) -> dict[DeviceId, AccountName]:
        return {DeviceId(device): AccountName(account) for device, account in self._read(PROTECTED)}

    def opened(self, since: datetime | None, limit: int) -> Sequence[Opening]:
        sql = OPENED if since is None else OPENED_SINCE
        values = (limit,) if since is None else (rows.stamp(since), limit)
        return [rows.read_opening(tuple(row)) for row in self._read(sql, values)]

    def live_accounts(self) -> frozenset[AccountName]:
        return frozenset(AccountName(name) for (name,) in self._read(LIVE_ACCOUNTS))

    def changes(self, asked: Asked, limit: int) -> Sequence[Past]:
        match asked.account, asked.device:
            case None, None:
                sql = PAST_OF_ALL
            case _, None:
                sql = PAST_OF_ACCOUNT
            case None, _:
                sql = PAST_OF_DEVICE
            case _:
                sql = PAST_OF_BOTH
        whose = tuple(one for one in (asked.account, asked.device) if one is not None)
        since = rows.EARLIEST if asked.since is None else rows.stamp(asked.since)
        until = rows.LATEST if asked.until is None else rows.stamp(asked.until)
        more, values = _like(asked.traits, self._dialect)
        sql = f"{sql.removesuffix(_NEWEST)}{more}{_NEWEST}"
        found = self._read(sql, (*whose, since, until, *values, limit))
        return [rows.read_past(row) for row in found]

    def devices_like(self, prefix: str, limit: int) -> frozenset[Known]:
        end = prefix + "\U0010ffff"
        found = self._read(DEVICES_LIKE, (prefix, end, prefix, end, limit))
        return frozenset((AccountName(account), DeviceId(device)) for account, device in found)

    def came_and_went(self, account: AccountName, device: DeviceId) -> Stay:
        for came, came_at, went, went_at in self._read(STAY, (account, device)):
            return Stay(self._mark(came, came_at), self._mark(went, went_at))
        return Stay()

    def names(self, account: AccountName, devices: Collection[DeviceId]) -> DeviceNames:
        found: dict[DeviceId, str] = {}
        for some in _parts(sorted(devices)):
            for device, name in self._read(NAMES + _marks(some), (account, *some)):
                found[DeviceId(device)] = name
        return found

    def once_called(self, name: str, limit: int) -> frozenset[Known]:
        found = self._read(ONCE_CALLED, (rows.fit(name), limit))
        return frozenset((AccountName(account), DeviceId(device)) for account, device in found)

    def once_called_like(self, prefix: str, limit: int) -> frozenset[str]:
        begin = rows.fit(prefix)
        found = self._read(ONCE_CALLED_LIKE, (begin, begin + "\U0010ffff", limit))
        return frozenset(name for (name,) in found)

    def _mark(self, key: int | None, at: int | None) -> Mark | None:
        if key is None or at is None:
            return None
        found = self._read(REVISION, (key,))
        return Mark(rows.read_revision(found[0]), rows.moment(at)) if found else None

    def sent_after(self, account: AccountName, moment: datetime) -> tuple[datetime, ...]:
        since = rows.stamp(moment)
        return tuple(rows.moment(at) for (at,) in self._read(SENT, (account, since, since)))

    def documents(self) -> Sequence[StoredDocument]:
        documents = self._read(DOCUMENTS)
        digests: dict[str, dict[str, str]] = {}
        for document, path, digest in self._read(FILES):
            digests.setdefault(document, {})[path] = digest
        return [
            StoredDocument(document, rows.read_revision(tuple(revision)), digests.get(document, {}))
            for document, *revision in documents
        ]

    def digests(self, document: str) -> Mapping[str, str]:
        return dict(self._read(FILES_OF_DOCUMENT, (document,)))

    def contents(self) -> Mapping[str, bytes]:
        return dict(self._read(CONTENTS))

    def has_contents(self, digests: Sequence[str]) -> frozenset[str]:
        found: set[str] = set()
        for some in _parts(sorted(set(digests))):
            found.update(digest for (digest,) in self._read(HAVE_CONTENTS + _marks(some), some))
        return frozenset(found)


def _read_account(reader: Reader, known: AccountMemory) -> None:
    """Read what is known of an account as a whole, its waits and its quota."""
    whose = (known.name,)
    for since, trusted, suspect, credential, names in reader.read(ACCOUNT, whose):
        known.texts_since, known.trusted = rows.moment_or_none(since), bool(trusted)
        known.suspect_readings, known.credential = suspect, credential
        known.names.mark = names
    waits = reader.read(RETRIES, whose)
    known.retries = Shelf({DeviceId(one[0]): rows.read_retry(tuple(one[1:])) for one in waits})
    for calls, limit in reader.read(QUOTA, whose):
        known.calls, known.calls_per_hour = rows.read_calls(calls), limit


def _read_devices(reader: Reader, known: AccountMemory) -> None:
    """Read which devices are owned, which are live, and when others left."""
    both: frozenset[DeviceId] = reader.read_set(OWNED_AND_LIVE, (known.name,))
    owned: set[DeviceId] = set()
    live: set[DeviceId] = set()
    left: dict[DeviceId, datetime] = {}
    disowned: dict[DeviceId, datetime] = {}
    for device, is_owned, is_live, went in reader.read(NOT_OWNED_AND_LIVE, (known.name,)):
        if is_owned:
            owned.add(device)
        if is_live:
            live.add(device)
        if went is not None:
            (left if is_owned else disowned)[device] = rows.moment(went)
    known.inventory = Members(both | owned if owned else both)
    known.expected = Members(both | live if live else both)
    known.left, known.disowned = Shelf(left), Shelf(disowned)


def _parts(values: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield values in parts that fit into one statement."""
    for start in range(0, len(values), TOGETHER):
        yield tuple(values[start : start + TOGETHER])


def _marks(values: Sequence[str]) -> str:
    """Return a list with one place for each value."""
    return f"({', '.join('?' * len(values))})"


def _like(traits: Traits, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """Return the conditions for past changes that are like this, and their values."""
    sql, values = "", list[str]()
    if traits.action is not None:
        sql += LIKE_ACTION
        values.append(traits.action.value)
    if traits.result == BEGUN:
        sql += LIKE_BEGUN
    elif traits.result is not None:
        sql += LIKE_RESULT
        values.append(str(traits.result))
    if traits.author is not None:
        sql += dialect.by_author
        values.append(folded(traits.author))
    if traits.revision is not None:
        sql += LIKE_REVISION
        values += [traits.revision] * 4
    return sql, tuple(values)
