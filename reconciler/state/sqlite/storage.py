"""The state in SQLite: what ``port.Storage`` asks for.

Owns: every statement that reads, and the values that its rows become. Must not: know when something is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Self

from reconciler.core.clock import Clock
from reconciler.core.guards import LIMIT_WINDOW, PauseOverride
from reconciler.core.memory import AccountMemory, DeviceNames, Members, Past, Shelf
from reconciler.core.model import AccountName, DeviceId
from reconciler.state.port import Asked, Known, Stay, Storage, StoredDocument
from reconciler.state.records import Fence, Group, Mark
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.connection import Connect, Statement, connect
from reconciler.state.sqlite.database import Database
from reconciler.state.sqlite.writes import statements
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
LIVE_ACCOUNTS = "SELECT name FROM account WHERE EXISTS (SELECT 1 FROM device WHERE account = account.name AND live)"
STAY = "SELECT came, came_at, went, went_at FROM device WHERE account = ? AND id = ?"
REVISION = "SELECT * FROM revision WHERE key = ?"
DOCUMENTS = "SELECT document, revision.* FROM text JOIN revision ON revision.key = text.revision ORDER BY document"
FILES = "SELECT document, path, sha256 FROM text_file ORDER BY document, path"
FILES_OF_DOCUMENT = (
    "SELECT path, sha256 FROM text_file JOIN content USING (sha256) WHERE document = ?"
)
CONTENTS = "SELECT sha256, compressed FROM content"
HAS_CONTENT = "SELECT 1 FROM content WHERE sha256 = ?"
_PAST = """SELECT account, device, action, intended, at, pass, approved, result, confirmed_by, message_id,
    lg_message_id, status, code, words, name, revision.* FROM change """
_ITS_REVISION = "LEFT JOIN revision ON revision.key = change.revision "
_PAST_IN_FULL = _PAST + _ITS_REVISION
_ANY_ACCOUNT = "(SELECT name FROM account)"
_NEWEST = " ORDER BY at DESC, intended DESC, account, device LIMIT ?"
_WITHIN = "at >= ? AND at < ?" + _NEWEST
# the plus makes SQLite use the index of devices instead of reading all changes of a span or an account
_OF_DEVICE_WITHIN = "AND device = ? AND +at >= ? AND +at < ?" + _NEWEST
PAST_OF_ALL = _PAST_IN_FULL + "WHERE " + _WITHIN
PAST_OF_ACCOUNT = _PAST_IN_FULL + "WHERE account = ? AND " + _WITHIN
PAST_OF_DEVICE = _PAST_IN_FULL + "WHERE account IN " + _ANY_ACCOUNT + _OF_DEVICE_WITHIN
PAST_OF_BOTH = _PAST_IN_FULL + "WHERE account = ? " + _OF_DEVICE_WITHIN
LIKE_ACTION, LIKE_RESULT, LIKE_BEGUN = " AND action = ?", " AND result = ?", " AND result IS NULL"
LIKE_AUTHOR = " AND NOT dirty AND instr(lower(author), ?) > 0"
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
    _PAST_IN_FULL
    + "WHERE account = ? AND at > ? AND result IN ('success', 'noop') ORDER BY at, intended"
)
SENT = "SELECT at FROM change WHERE account = ? AND at > ? AND intended > ? AND confirmed_by IS NULL ORDER BY at"
OPEN = (
    _PAST
    + "INDEXED BY change_open "
    + _ITS_REVISION
    + "WHERE account = ? AND open ORDER BY intended"
)


class SqliteStorage(Storage):
    """The state in one SQLite file."""

    def __init__(self, database: Database) -> None:
        self.medium = self._database = database
        self._read = database.read

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
        self._database.write(
            _statements(groups), lasting=any(group.lasting for group in groups), more=more
        )
        return frozenset()

    def account(
        self, account: AccountName, now: datetime, day_ends: datetime | None = None
    ) -> AccountMemory:
        known = AccountMemory(account)
        for since, trusted, suspect, credential, names in self._read(ACCOUNT, (account,)):
            known.texts_since, known.trusted = tables.moment_or_none(since), bool(trusted)
            known.suspect_readings, known.credential = suspect, credential
            known.names.mark = names
        self._read_devices(known)
        known.retries = Shelf(
            {
                DeviceId(device): tables.read_retry(tuple(row))
                for device, *row in self._read(RETRIES, (account,))
            }
        )
        self._read_changes(known, now, day_ends or now)
        for calls, limit in self._read(QUOTA, (account,)):
            known.calls, known.calls_per_hour = tables.read_calls(calls), limit
        return known

    def _read_devices(self, known: AccountMemory) -> None:
        both: frozenset[DeviceId] = self._database.read_set(OWNED_AND_LIVE, (known.name,))
        owned: set[DeviceId] = set()
        live: set[DeviceId] = set()
        left: dict[DeviceId, datetime] = {}
        disowned: dict[DeviceId, datetime] = {}
        for device, is_owned, is_live, went in self._read(NOT_OWNED_AND_LIVE, (known.name,)):
            if is_owned:
                owned.add(device)
            if is_live:
                live.add(device)
            if went is not None:
                (left if is_owned else disowned)[device] = tables.moment(went)
        known.inventory = Members(both | owned if owned else both)
        known.expected = Members(both | live if live else both)
        known.left, known.disowned = Shelf(left), Shelf(disowned)

    def _read_changes(self, known: AccountMemory, now: datetime, day_ends: datetime) -> None:
        """Count the day back from the newest change if that is earlier: a clock may be ahead."""
        account, latest = known.name, tables.stamp(min(now, day_ends))
        ((newest,),) = self._read(NEWEST_CHANGE, (account,))
        if newest is not None:
            latest = min(latest, newest)
        since = latest - (tables.stamp(now) - tables.stamp(now - LIMIT_WINDOW))
        known.count_from(map(tables.read_past, self._read(CONFIRMED, (account, since))))
        known.not_later_than(now)
        known.open = {
            past.device: past for past in map(tables.read_past, self._read(OPEN, (account,)))
        }

    def pauses(self) -> dict[AccountName, PauseOverride]:
        return {
            AccountName(name): tables.read_pause(tuple(row)) for name, *row in self._read(PAUSES)
        }

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
        since = tables.EARLIEST if asked.since is None else tables.stamp(asked.since)
        until = tables.LATEST if asked.until is None else tables.stamp(asked.until)
        more, values = _like(asked.traits)
        sql = f"{sql.removesuffix(_NEWEST)}{more}{_NEWEST}"
        found = self._read(sql, (*whose, since, until, *values, limit))
        return [tables.read_past(row) for row in found]

    def devices_like(self, prefix: str, limit: int) -> frozenset[Known]:
        end = prefix + "\U0010ffff"
        rows = self._read(DEVICES_LIKE, (prefix, end, prefix, end, limit))
        return frozenset((AccountName(account), DeviceId(device)) for account, device in rows)

    def came_and_went(self, account: AccountName, device: DeviceId) -> Stay:
        for came, came_at, went, went_at in self._read(STAY, (account, device)):
            return Stay(self._mark(came, came_at), self._mark(went, went_at))
        return Stay()

    def names(self, account: AccountName, devices: Collection[DeviceId]) -> DeviceNames:
        found: dict[DeviceId, str] = {}
        asked = sorted(devices)
        for start in range(0, len(asked), TOGETHER):
            some = asked[start : start + TOGETHER]
            marks = ", ".join("?" * len(some))
            for device, name in self._read(f"{NAMES}({marks})", (account, *some)):
                found[DeviceId(device)] = name
        return found

    def once_called(self, name: str, limit: int) -> frozenset[Known]:
        rows = self._read(ONCE_CALLED, (tables.fit(name), limit))
        return frozenset((AccountName(account), DeviceId(device)) for account, device in rows)

    def once_called_like(self, prefix: str, limit: int) -> frozenset[str]:
        begin = tables.fit(prefix)
        rows = self._read(ONCE_CALLED_LIKE, (begin, begin + "\U0010ffff", limit))
        return frozenset(name for (name,) in rows)

    def _mark(self, key: int | None, at: int | None) -> Mark | None:
        if key is None or at is None:
            return None
        rows = self._read(REVISION, (key,))
        return Mark(tables.read_revision(rows[0]), tables.moment(at)) if rows else None

    def sent_after(self, account: AccountName, moment: datetime) -> tuple[datetime, ...]:
        since = tables.stamp(moment)
        return tuple(tables.moment(at) for (at,) in self._read(SENT, (account, since, since)))

    def documents(self) -> Sequence[StoredDocument]:
        rows = self._read(DOCUMENTS)
        digests: dict[str, dict[str, str]] = {}
        for document, path, digest in self._read(FILES):
            digests.setdefault(document, {})[path] = digest
        return [
            StoredDocument(
                document, tables.read_revision(tuple(revision)), digests.get(document, {})
            )
            for document, *revision in rows
        ]

    def digests(self, document: str) -> Mapping[str, str]:
        return dict(self._read(FILES_OF_DOCUMENT, (document,)))

    def contents(self) -> Mapping[str, bytes]:
        return dict(self._read(CONTENTS))

    def has_contents(self, digests: Sequence[str]) -> frozenset[str]:
        return frozenset(digest for digest in digests if self._read(HAS_CONTENT, (digest,)))


def _like(traits: Traits) -> tuple[str, tuple[str, ...]]:
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
        sql += LIKE_AUTHOR
        values.append(folded(traits.author))
    if traits.revision is not None:
        sql += LIKE_REVISION
        values += [traits.revision] * 4
    return sql, tuple(values)


def _statements(groups: Iterable[Group]) -> Iterator[Statement]:
    for record in chain.from_iterable(group.records for group in groups):
        yield from statements(record)
