"""What outlives a pass and a restart: memory in and out, kept in one SQLite file.

Owns: the tables, and the promise that a pass never waits for the disk nor fails because of it. What is remembered is held
in memory and written by differences; while the disk takes no writes, they wait in order, and the next write brings them
all. Must not: know LG, texts or metrics, hold a secret (a credential is known by a mark that says nothing about it), or
judge; ``memory`` has the rules.

Losing the file forgets the day's count, the last trusted list and what is owned. Nothing else becomes more permissive.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
import zlib
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Self

from reconciler.clock import Clock
from reconciler.database import Connect, Database, Row, Statement, connect
from reconciler.errors import StateError
from reconciler.guards import LIMIT_WINDOW, Brake
from reconciler.memory import AccountMemory, Members, Past, Shelf, intents
from reconciler.model import (
    AccountName,
    Action,
    Change,
    Commit,
    Desired,
    DeviceId,
    Memory,
    MessageId,
    Observed,
    Outcome,
    PassId,
    Pause,
    Reason,
    Result,
    Retry,
    Revision,
    Verified,
)

KEPT = timedelta(days=90)
"""How long past changes are kept, and what is known of devices that are ours no longer."""
HOUSEKEEPING = timedelta(days=1)
HISTORY = 1000
"""How many past changes are returned where nobody says."""
EVERYWHERE = AccountName("")
"""Stands for all accounts where a pause is kept; no account can have this name."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = -(2**63), 2**63 - 1

MIGRATIONS = (
    (
        """CREATE TABLE account (
            name TEXT PRIMARY KEY, texts_since INTEGER, trusted INTEGER NOT NULL, suspect_readings INTEGER NOT NULL,
            credential TEXT
        ) WITHOUT ROWID""",
        # owned: in the inventory; live: in the expected list; came, went: the revisions that brought it in and took it out
        """CREATE TABLE device (
            account TEXT NOT NULL, id TEXT NOT NULL, owned INTEGER NOT NULL, live INTEGER NOT NULL,
            came INTEGER, came_at INTEGER, went INTEGER, went_at INTEGER, PRIMARY KEY (account, id)
        ) WITHOUT ROWID""",
        "CREATE INDEX device_gone ON device (went_at) WHERE NOT owned AND NOT live",
        # open: a later list may still tell what became of it
        """CREATE TABLE change (
            account TEXT NOT NULL, device TEXT NOT NULL, intended INTEGER NOT NULL, pass TEXT NOT NULL,
            action TEXT NOT NULL, at INTEGER NOT NULL, open INTEGER NOT NULL, approved INTEGER NOT NULL,
            revision INTEGER, result TEXT, confirmed_by TEXT, message_id TEXT, lg_message_id TEXT, status INTEGER,
            code TEXT, words TEXT NOT NULL, PRIMARY KEY (account, device, intended, pass)
        ) WITHOUT ROWID""",
        "CREATE INDEX change_of_account ON change (account, at)",
        "CREATE INDEX change_at ON change (at)",
        "CREATE INDEX change_open ON change (account) WHERE open",
        """CREATE TABLE retry (
            account TEXT NOT NULL, device TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL,
            attempts INTEGER NOT NULL, until INTEGER NOT NULL, code TEXT, words TEXT NOT NULL,
            PRIMARY KEY (account, device)
        ) WITHOUT ROWID""",
        "CREATE TABLE pause (account TEXT PRIMARY KEY, pause TEXT NOT NULL, until INTEGER, reason TEXT NOT NULL)",
        "CREATE TABLE quota (account TEXT PRIMARY KEY, calls BLOB NOT NULL, calls_per_hour INTEGER)",
        """CREATE TABLE revision (
            key INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, commit_id TEXT, author TEXT, subject TEXT, committed INTEGER,
            verified TEXT, dirty INTEGER
        )""",
        "CREATE TABLE text (document TEXT PRIMARY KEY, revision INTEGER NOT NULL)",
        "CREATE TABLE text_file (document TEXT, path TEXT, sha256 TEXT NOT NULL, PRIMARY KEY (document, path))",
        "CREATE TABLE content (sha256 TEXT PRIMARY KEY, compressed BLOB NOT NULL)",
    ),
)
"""The statements that lead from each version to the next. What was once released is never edited, only added to.

Keys say what a row is and are never counted up, so that what waited in memory can be written to any file that is there.
"""

_SAVE_ACCOUNT = "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?)"
_ENTER = """INSERT INTO device (account, came, came_at, id, owned, live) VALUES (?, ?, ?, ?, 1, 0)
    ON CONFLICT DO UPDATE SET owned = 1, came = excluded.came, came_at = excluded.came_at, went = NULL, went_at = NULL
    WHERE NOT owned OR went_at IS NOT NULL"""
_LEAVE = "UPDATE device SET went = ?, went_at = ? WHERE account = ? AND id = ?"
_DISOWN = "UPDATE device SET owned = 0 WHERE account = ? AND id = ?"
_APPEAR = """INSERT INTO device (account, id, owned, live) VALUES (?, ?, 0, 1) ON CONFLICT DO UPDATE SET live = 1"""
_VANISH = (
    "DELETE FROM device WHERE account = ? AND id = ? AND came IS NULL",
    "UPDATE device SET live = 0 WHERE account = ? AND id = ?",
)
_EXPECT_NOTHING = (
    "DELETE FROM device WHERE account = ? AND came IS NULL",
    "UPDATE device SET live = 0 WHERE account = ? AND live",
)
_SAVE_CHANGE = "INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DROP_CHANGE = "DELETE FROM change WHERE account = ? AND device = ? AND intended = ? AND pass = ?"
_SAVE_RETRY = "INSERT OR REPLACE INTO retry VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DROP_RETRY = "DELETE FROM retry WHERE account = ? AND device = ?"
_SAVE_REVISION = "INSERT OR IGNORE INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PAST = """SELECT account, device, action, intended, at, pass, approved, result, confirmed_by, message_id, lg_message_id,
    status, code, words, revision.* FROM change LEFT JOIN revision ON revision.key = change.revision """
_PAST_OF_ALL = _PAST + "WHERE at >= ? AND at < ? ORDER BY at DESC, intended DESC, account, device LIMIT ?"
_PAST_OF_ACCOUNT = (
    _PAST + "WHERE account = ? AND at >= ? AND at < ? ORDER BY at DESC, intended DESC, account, device LIMIT ?"
)
_PAST_OF_DEVICE = (
    _PAST + "WHERE account IN (SELECT name FROM account) AND device = ? AND at >= ? AND at < ? "
    "ORDER BY at DESC, intended DESC, account, device LIMIT ?"
)
_PAST_OF_BOTH = (
    _PAST + "WHERE account = ? AND device = ? AND at >= ? AND at < ? "
    "ORDER BY at DESC, intended DESC, account, device LIMIT ?"
)
_CONFIRMED = _PAST + "WHERE account = ? AND at > ? AND result IN ('success', 'noop') ORDER BY at, intended"
_OPEN = _PAST + "WHERE account = ? AND open ORDER BY intended"


@dataclass(frozen=True, slots=True)
class Mark:
    """The text that brought a device in or took it out, and when it came into force."""

    revision: Revision
    at: datetime


@dataclass(frozen=True, slots=True)
class Stay:
    """How a device last came into an account's texts, and how it went out if it did."""

    came: Mark | None = None
    went: Mark | None = None


@dataclass(frozen=True, slots=True)
class KeptText:
    """An accepted text as it was read: the document's path, and every file it was made of by path."""

    document: str
    revision: Revision
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Moved:
    """A mark that waits to be written, for the devices that came and those that went by it."""

    account: AccountName
    mark: Mark
    entering: frozenset[DeviceId]
    leaving: frozenset[DeviceId]


@dataclass(frozen=True, slots=True)
class _Group:
    """What is written together or not at all, and what readers must know of it before it is."""

    statements: tuple[Statement, ...]
    pasts: tuple[Past, ...] = ()
    withdrawn: tuple[Past, ...] = ()
    moved: _Moved | None = None


@dataclass(frozen=True, slots=True)
class _Each:
    """One row of values for each device, in an order that suits the file; built anew each time, as it may be long."""

    before: Row
    devices: Collection[DeviceId]

    def __iter__(self) -> Iterator[Row]:
        return ((*self.before, device) for device in sorted(self.devices))


@dataclass(slots=True)
class _Waiting:
    """Groups not yet written, oldest first. A later one under the same key replaces an earlier one where that stood."""

    groups: dict[Hashable, _Group] = field(default_factory=dict)
    count: int = 0

    def add(self, group: _Group, key: Hashable = None) -> None:
        self.count += 1
        self.groups[self.count if key is None else key] = group

    def drop(self, *keys: Hashable) -> None:
        for key in keys:
            self.groups.pop(key, None)


class State:
    """What the daemon remembers. Every method may be called from any thread.

    Only ``open`` and the methods that read for people (``history``, ``came_and_went``, ``kept_texts``,
    ``live_accounts``) raise ``StateError``; and every method that writes does where the state was opened for reading. What
    cannot be written waits: ``writable`` is false then, ``trouble`` says why in one sentence, and every later write tries
    again. ``recall`` waits for the disk only at the first sight of an account. ``set_aside`` is the new name of a damaged
    file in whose place a fresh one was begun.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._generation = database.generation
        self._ram, self._disk = threading.RLock(), threading.Lock()
        self._accounts: dict[AccountName, AccountMemory] = {}
        self._credentials: dict[AccountName, str | None] = {}
        self._pauses: dict[AccountName, Brake] | None = None
        self._waiting = _Waiting()
        self._unread = ""
        self._kept_house: datetime | None = None

    @classmethod
    def open(cls, folder: Path, clock: Clock, connect: Connect = connect) -> Self:
        """Take the state in this folder, made if need be. Raises ``StateError`` where another process holds it, or where
        a newer program wrote it.
        """
        state = cls(Database.open(folder, MIGRATIONS, clock, connect), clock)
        state._flush()
        return state

    @classmethod
    def read_only(cls, folder: Path, clock: Clock, connect: Connect = connect) -> Self:
        """Look at the state in this folder without creating or writing anything; an absent one is an empty memory."""
        return cls(Database.read_only(folder, MIGRATIONS, clock, connect), clock)

    @classmethod
    def in_memory(cls, clock: Clock) -> Self:
        """Return a state that ends with the process."""
        return cls(Database.in_memory(MIGRATIONS, clock), clock)

    @property
    def writable(self) -> bool:
        """Say whether what we do is remembered. A state opened for reading says what its writer would."""
        return self._database.frozen or not self.trouble

    @property
    def trouble(self) -> str:
        """Return in one sentence why the state is not as it should be."""
        return self._database.trouble or self._unread

    @property
    def set_aside(self) -> Path | None:
        """Return where a damaged file was put."""
        return self._database.set_aside

    def recall(self, account: AccountName, now: datetime) -> Memory:
        """Return what a pass of this account may know."""
        with self._known(account) as known:
            return known.recall(now, self._credentials.get(account), writable=self.writable)

    def credential(self, account: AccountName, fingerprint: str | None) -> None:
        """Tell which credential an account uses now, by a mark of it that is not secret."""
        with self._ram:
            self._credentials[account] = fingerprint

    def desire(self, desired: Desired, revision: Revision, now: datetime) -> None:
        """Take a text that came into force for an account: when it changed, and at start."""
        with self._changing(desired.account) as known:
            new = known.texts_since is None
            moves = known.desire(desired.devices, now)
            if new:
                self._save_account(known)
            if not moves.entering and not moves.leaving:
                return
            key, at, name = _revision_key(revision), _stamp(now), known.name
            statements = (
                _revision_statement(revision),
                Statement(_ENTER, _Each((name, key, at), moves.entering)),
                Statement(_LEAVE, _Each((key, at, name), moves.leaving)),
            )
            moved = _Moved(name, Mark(revision, now), moves.entering, moves.leaving)
            self._waiting.add(_Group(statements, moved=moved))

    def trust(
        self,
        account: AccountName,
        observed: Observed,
        credential: str | None,
        now: datetime,
        live: frozenset[DeviceId],
    ) -> tuple[Outcome, ...]:
        """Take a list that is believed. ``live`` is it with the overlay of our freshest confirmed changes.

        Returns the changes that had no answer and that this list shows as made: each once, to be logged and counted.
        """
        with self._changing(account) as known:
            before = known.trusted, known.suspect_readings, known.credential
            belief = known.believe(observed, credential, now, live)
            if before != (known.trusted, known.suspect_readings, known.credential):
                self._save_account(known)
            pasts = belief.open + belief.closed
            statements = [
                *(Statement(sql, ((account,),)) for sql in _EXPECT_NOTHING if belief.first),
                *_each(account, belief.appeared, _APPEAR),
                *_each(account, belief.vanished, *_VANISH),
                *_each(account, belief.left_inventory, _DISOWN),
                *_each(account, belief.moot_retries, _DROP_RETRY),
                *self._save_changes(known, pasts),
            ]
            if statements:
                self._waiting.add(_Group(tuple(statements), pasts))
            return belief.confirmed

    def doubt(self, account: AccountName, _now: datetime) -> None:
        """Count a list that was not believed."""
        with self._changing(account) as known:
            known.suspect_readings += 1
            self._save_account(known)

    def person_agrees(self, account: AccountName) -> None:
        """Take a person's ``reconcile``: nothing waits any more, and the credential in use is taken for the right one."""
        with self._changing(account) as known:
            before = known.credential
            waited = known.vouch(self._credentials.get(account))
            if known.credential != before:
                self._save_account(known)
            self._drop_retries(account, waited)

    def intend(
        self,
        account: AccountName,
        pass_id: PassId,
        changes: Sequence[Change],
        approved: frozenset[DeviceId],
        revision: Revision,
        now: datetime,
    ) -> None:
        """Write changes down before their calls. Look at ``writable`` after it, and before unsubscribing."""
        if not changes:
            return
        with self._changing(account) as known:
            begun = intents(changes, pass_id, approved, revision, now)
            pasts = known.intend(begun) + begun
            statements = (_revision_statement(revision), *self._save_changes(known, pasts))
            self._waiting.add(_Group(statements, pasts))

    def withdraw(self, account: AccountName, pass_id: PassId, devices: Collection[DeviceId]) -> None:
        """Take back intents of this pass whose calls were never made, so that history does not show them as failed."""
        with self._changing(account) as known:
            withdrawn = known.withdraw(pass_id, devices)
            if withdrawn:
                drop = Statement(_DROP_CHANGE, [_past_key(past) for past in withdrawn])
                self._waiting.add(_Group((drop,), withdrawn=withdrawn))

    def record(
        self,
        account: AccountName,
        pass_id: PassId,
        outcomes: Sequence[Outcome],
        retries: Mapping[DeviceId, Retry | None],
        _now: datetime,
    ) -> None:
        """Take what came of changes, and which devices wait; ``None`` ends a device's waiting."""
        with self._changing(account) as known:
            pasts = known.record(pass_id, outcomes)
            ended = known.wait(retries)
            waiting = [(account, device, retry) for device, retry in retries.items() if retry is not None]
            statements = [*self._save_changes(known, pasts), *_each(account, ended, _DROP_RETRY)]
            if waiting:
                statements.append(Statement(_SAVE_RETRY, [_retry_row(*one) for one in waiting]))
            if known.trusted:
                confirmed = {one.change.device: one.change.action for one in outcomes if one.result.confirmed}
                there = {device for device, action in confirmed.items() if action is Action.SUBSCRIBE}
                statements += _each(account, there, _APPEAR)
                statements += _each(account, confirmed.keys() - there, *_VANISH)
            if statements:
                self._waiting.add(_Group(tuple(statements), pasts))

    def forget_retries(self, account: AccountName, devices: Collection[DeviceId]) -> None:
        """Let devices wait no longer: their entry changed."""
        with self._changing(account) as known:
            self._drop_retries(account, known.drop_retries(devices))

    def pause(self, account: AccountName | None, brake: Brake | None, _now: datetime) -> None:
        """Set a brake by command, or take it off. No account means all: taking it off then takes off every one."""
        self._refuse_if_frozen()
        name = EVERYWHERE if account is None else account
        with self._ram:
            pauses = self._known_pauses()
            if brake is not None:
                pauses[name] = brake
                row = (name, brake.pause.value, _stamp_or_none(brake.until), _fit(brake.reason))
                self._save(("pause", name), "INSERT OR REPLACE INTO pause VALUES (?, ?, ?, ?)", row)
            elif account is not None:
                pauses.pop(name, None)
                self._save(("pause", name), "DELETE FROM pause WHERE account = ?", (name,))
            else:
                self._waiting.drop(*(("pause", one) for one in (*pauses, EVERYWHERE)))
                pauses.clear()
                self._waiting.add(_Group((Statement("DELETE FROM pause"),)))
        self._flush()

    def brake(self, account: AccountName, now: datetime) -> Brake:
        """Return the stricter of the account's brake and the general one, as far as they have not ended."""
        with self._ram:
            pauses = self._known_pauses()
            on = [
                brake
                for name in (account, EVERYWHERE)
                if (brake := pauses.get(name)) is not None and (brake.until is None or brake.until > now)
            ]
        if len(on) == 2 and on[0].pause is on[1].pause:  # noqa: PLR2004 - its own and the general one
            return max(on, key=lambda brake: (brake.until is None, brake.until or now))
        strictest = Pause.NONE
        for brake in on:
            strictest = strictest.stricter(brake.pause)
        return next((brake for brake in on if brake.pause is strictest), Brake())

    def keep_quota(self, account: AccountName, calls: Sequence[float], limit: int | None) -> None:
        """Keep when an account's last calls were made, in seconds, and the limit that was learned."""
        with self._changing(account) as known:
            if (tuple(calls), limit) == (known.calls, known.calls_per_hour):
                return
            known.calls, known.calls_per_hour = tuple(calls), limit
            row = (account, struct.pack(f"<{len(calls)}d", *calls), limit)
            self._save(("quota", account), "INSERT OR REPLACE INTO quota VALUES (?, ?, ?)", row)

    def quota(self, account: AccountName) -> tuple[tuple[float, ...], int | None]:
        """Return what ``keep_quota`` kept."""
        with self._known(account) as known:
            return known.calls, known.calls_per_hour

    def keep_text(self, document: str, revision: Revision, files: Mapping[str, bytes]) -> None:
        """Keep an accepted text with all the files it was made of, in place of the one before."""
        self._refuse_if_frozen()
        named = {path: (sha256(content).hexdigest(), content) for path, content in files.items()}
        there = self._contents_there([name for name, _ in named.values()])
        contents = {name: zlib.compress(content, 1) for name, content in named.values() if name not in there}
        statements = (
            _revision_statement(revision),
            Statement("INSERT OR REPLACE INTO text VALUES (?, ?)", ((document, _revision_key(revision)),)),
            Statement("DELETE FROM text_file WHERE document = ?", ((document,),)),
            Statement(
                "INSERT INTO text_file VALUES (?, ?, ?)", [(document, path, name) for path, (name, _) in named.items()]
            ),
            Statement("INSERT OR IGNORE INTO content VALUES (?, ?)", list(contents.items())),
        )
        self._exchange_text(document, statements)

    def drop_text(self, document: str) -> None:
        """Keep a text no longer."""
        self._refuse_if_frozen()
        drop = ("DELETE FROM text WHERE document = ?", "DELETE FROM text_file WHERE document = ?")
        self._exchange_text(document, tuple(Statement(sql, ((document,),)) for sql in drop))

    def kept_texts(self) -> Sequence[KeptText]:
        """Return the accepted texts, by document. One that cannot be had whole is not had at all. Read once, at start."""
        texts = self._database.read(
            "SELECT document, revision.* FROM text JOIN revision ON revision.key = text.revision ORDER BY document"
        )
        files = self._database.read(
            "SELECT document, path, text_file.sha256, compressed FROM text_file LEFT JOIN content USING (sha256) "
            "ORDER BY document, path"
        )
        found: dict[str, dict[str, bytes | None]] = {}
        for document, path, name, compressed in files:
            found.setdefault(document, {})[path] = _content(name, compressed)
        kept = []
        for document, *revision in texts:
            contents = found.get(document, {})
            whole = {path: content for path, content in contents.items() if content is not None}
            if len(whole) == len(contents):
                kept.append(KeptText(document, _revision(tuple(revision)), whole))
        return kept

    def live_accounts(self) -> frozenset[AccountName]:
        """Return the accounts of which devices should be live."""
        rows = self._database.read(
            "SELECT name FROM account WHERE EXISTS (SELECT 1 FROM device WHERE account = name AND live)"
        )
        with self._ram:
            kept = {AccountName(name) for (name,) in rows} - self._accounts.keys()
            return frozenset(kept | {name for name, known in self._accounts.items() if known.expected.get()})

    def retire(self, account: AccountName) -> None:
        """Forget an account that is done with; its past changes stay until they are old."""
        with self._changing(account) as known:
            fresh = AccountMemory(known.name)
            self._accounts[account] = fresh
            self._waiting.drop(("account", account), ("quota", account), ("pause", account))
            self._known_pauses().pop(account, None)
            forget = (
                "DELETE FROM device WHERE account = ?",
                "DELETE FROM retry WHERE account = ?",
                "DELETE FROM quota WHERE account = ?",
                "DELETE FROM pause WHERE account = ?",
                "UPDATE change SET open = 0 WHERE account = ? AND open",
            )
            self._waiting.add(_Group(tuple(Statement(sql, ((account,),)) for sql in forget)))
            self._save_account(fresh)

    def history(
        self,
        account: AccountName | None = None,
        device: DeviceId | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = HISTORY,
    ) -> Sequence[Past]:
        """Return past changes, newest first: from ``since`` on, and before ``until``."""
        from_, to = (EARLIEST if since is None else _stamp(since)), (LATEST if until is None else _stamp(until))
        sql = {
            (False, False): _PAST_OF_ALL,
            (True, False): _PAST_OF_ACCOUNT,
            (False, True): _PAST_OF_DEVICE,
            (True, True): _PAST_OF_BOTH,
        }[account is not None, device is not None]
        with self._disk:
            with self._ram:
                groups = tuple(self._waiting.groups.values())
            most = limit + sum(len(group.pasts) + len(group.withdrawn) for group in groups)
            which = tuple(one for one in (account, device) if one is not None)
            found = {_past_key(past): past for past in map(_past, self._database.read(sql, (*which, from_, to, most)))}
        for group in groups:
            found.update((_past_key(past), past) for past in group.pasts)
            for past in group.withdrawn:
                found.pop(_past_key(past), None)
        wanted = (
            past
            for past in found.values()
            if account in {None, past.account} and device in {None, past.device} and from_ <= _stamp(past.at) < to
        )
        return sorted(wanted, key=_newest_first)[:limit]

    def came_and_went(self, account: AccountName, device: DeviceId) -> Stay:
        """Return which texts brought a device in and took it out."""
        with self._disk:
            with self._ram:
                moves = [group.moved for group in self._waiting.groups.values() if group.moved is not None]
            rows = self._database.read(
                "SELECT came, came_at, went, went_at FROM device WHERE account = ? AND id = ?", (account, device)
            )
            stay = Stay()
            if rows:
                came, came_at, went, went_at = rows[0]
                stay = Stay(self._mark(came, came_at), self._mark(went, went_at))
        for moved in moves:
            if moved.account == account and device in moved.entering:
                stay = Stay(came=moved.mark)
            elif moved.account == account and device in moved.leaving:
                stay = Stay(stay.came, moved.mark)
        return stay

    def close(self) -> None:
        """Write what waits, if the disk takes it, and let others have the state."""
        if not self._database.frozen:
            self._flush()
        with self._disk:
            self._database.close()

    @contextmanager
    def _known(self, account: AccountName) -> Iterator[AccountMemory]:
        """Have an account's memory to oneself, read from disk at first sight."""
        while True:
            with self._ram:
                known = self._accounts.get(account)
                if known is not None:
                    yield known
                    return
            self._read(account)

    @contextmanager
    def _changing(self, account: AccountName) -> Iterator[AccountMemory]:
        """Have an account's memory for change, and write afterwards what waits."""
        self._refuse_if_frozen()
        with self._known(account) as known:
            yield known
        self._flush()

    def _refuse_if_frozen(self) -> None:
        if self._database.frozen:
            raise StateError("the state is open for reading only")

    def _flush(self) -> None:
        """Write what waits, oldest first. What cannot be written goes on waiting."""
        with self._disk:
            self._keep_house()
            try:
                while self._next_written():
                    pass
                if self.trouble:
                    self._database.write(())
            except StateError:
                return
            with self._ram:
                if self._waiting.groups or not (self._unread or self._generation != self._database.generation):
                    return
                # the file could not be read before, or is another one now: what was remembered without it is in it now
                self._generation, self._unread = self._database.generation, ""
                self._accounts.clear()
                self._pauses = None

    def _next_written(self) -> bool:
        with self._ram:
            if not self._waiting.groups:
                return False
            key, group = next(iter(self._waiting.groups.items()))
        self._database.write(group.statements)
        with self._ram:
            if self._waiting.groups.get(key) is group:
                del self._waiting.groups[key]
        return True

    def _keep_house(self) -> None:
        """Remove what is too old to be kept: at start, and once a day."""
        now = self._clock.now()
        if self._kept_house is not None and now - self._kept_house < HOUSEKEEPING:
            return
        self._kept_house = now
        before = ((_stamp(now - KEPT),),)
        old = (
            Statement("DELETE FROM change WHERE at < ?", before),
            Statement("DELETE FROM device WHERE NOT owned AND NOT live AND went_at < ?", before),
        )
        with self._ram:
            self._waiting.add(_Group(old), ("old",))

    def _read(self, account: AccountName) -> None:
        """Bring an account's memory in from disk, or begin with an empty one and ``trouble``."""
        with self._disk:
            try:
                known = self._loaded(account)
            except StateError as error:
                self._unread, known = str(error), AccountMemory(account)
        with self._ram:
            self._accounts.setdefault(account, known)

    def _loaded(self, account: AccountName) -> AccountMemory:
        known, read = AccountMemory(account), self._database.read
        for since, trusted, suspect, credential in read(
            "SELECT texts_since, trusted, suspect_readings, credential FROM account WHERE name = ?", (account,)
        ):
            known.texts_since, known.trusted = _moment_or_none(since), bool(trusted)
            known.suspect_readings, known.credential = suspect, credential
        devices = read("SELECT id, owned, live, went_at FROM device WHERE account = ?", (account,))
        owned = frozenset(DeviceId(device) for device, owned, _, _ in devices if owned)
        live = frozenset(DeviceId(device) for device, _, live, _ in devices if live)
        known.inventory, known.expected = Members(owned), Members(owned if live == owned else live)
        known.left = Shelf(
            {DeviceId(one): _moment(went) for one, owned, _, went in devices if owned and went is not None}
        )
        retries = read(
            "SELECT device, action, reason, attempts, until, code, words FROM retry WHERE account = ?", (account,)
        )
        known.retries = Shelf({DeviceId(device): _retry(row) for device, *row in retries})
        since = _stamp(self._clock.now() - LIMIT_WINDOW)
        known.count_from(map(_past, read(_CONFIRMED, (account, since))))
        known.open = {past.device: past for past in map(_past, read(_OPEN, (account,)))}
        for calls, limit in read("SELECT calls, calls_per_hour FROM quota WHERE account = ?", (account,)):
            known.calls, known.calls_per_hour = tuple(one for (one,) in struct.iter_unpack("<d", calls)), limit
        return known

    def _known_pauses(self) -> dict[AccountName, Brake]:
        if self._pauses is None:
            try:
                rows = self._database.read("SELECT account, pause, until, reason FROM pause")
            except StateError as error:
                self._unread, rows = str(error), []
            self._pauses = {
                AccountName(name): Brake(Pause(pause), _moment_or_none(until), reason)
                for name, pause, until, reason in rows
            }
        return self._pauses

    def _save(self, key: Hashable, sql: str, row: Row) -> None:
        """Let a row wait that says all there is to say under its key."""
        self._waiting.add(_Group((Statement(sql, (row,)),)), key)

    def _save_account(self, known: AccountMemory) -> None:
        since = _stamp_or_none(known.texts_since)
        row = (known.name, since, known.trusted, known.suspect_readings, known.credential)
        self._save(("account", known.name), _SAVE_ACCOUNT, row)

    def _save_changes(self, known: AccountMemory, pasts: Iterable[Past]) -> list[Statement]:
        rows = [_past_row(past, is_open=known.open.get(past.device) is past) for past in pasts]
        return [Statement(_SAVE_CHANGE, rows)] if rows else []

    def _drop_retries(self, account: AccountName, devices: frozenset[DeviceId]) -> None:
        if devices:
            self._waiting.add(_Group(tuple(_each(account, devices, _DROP_RETRY))))

    def _contents_there(self, names: Sequence[str]) -> frozenset[str]:
        """Return which contents need not be written again: none while something waits that might remove them first."""
        with self._ram:
            if self._waiting.groups:
                return frozenset()
        try:
            asked = {name: self._database.read("SELECT 1 FROM content WHERE sha256 = ?", (name,)) for name in names}
        except StateError:
            return frozenset()
        return frozenset(name for name, rows in asked.items() if rows)

    def _exchange_text(self, document: str, statements: tuple[Statement, ...]) -> None:
        unused = Statement("DELETE FROM content WHERE sha256 NOT IN (SELECT sha256 FROM text_file)")
        with self._ram:
            self._waiting.add(_Group((*statements, unused)), ("text", document))
        self._flush()

    def _mark(self, key: int | None, at: int | None) -> Mark | None:
        if key is None or at is None:
            return None
        rows = self._database.read("SELECT * FROM revision WHERE key = ?", (key,))
        return Mark(_revision(rows[0]), _moment(at)) if rows else None


def _each(account: AccountName, devices: Collection[DeviceId], *statements: str) -> list[Statement]:
    return [Statement(sql, _Each((account,), devices)) for sql in statements] if devices else []


def _stamp(moment: datetime) -> int:
    """Return a moment as it is kept: microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(stamp: int) -> datetime:
    return EPOCH + timedelta(microseconds=stamp)


def _stamp_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else _stamp(moment)


def _moment_or_none(stamp: int | None) -> datetime | None:
    return None if stamp is None else _moment(stamp)


def _fit(words: str) -> str:
    """Return words that somebody else wrote so that they can be kept: half a character pair cannot."""
    return words.encode("utf-8", "replace").decode("utf-8")


def _revision_row(revision: Revision) -> Row:
    commit = revision.commit
    if commit is None:
        return (revision.sha256, None, None, None, None, None, None)
    author, subject = _fit(commit.author), _fit(commit.subject)
    return (revision.sha256, commit.id, author, subject, _stamp(commit.at), commit.verified.value, commit.dirty)


def _revision_key(revision: Revision) -> int:
    """Return a number that stands for a revision, small enough to be kept with each of a million devices."""
    return int.from_bytes(sha256(repr(_revision_row(revision)).encode()).digest()[:8], "big", signed=True)


def _revision_statement(revision: Revision) -> Statement:
    return Statement(_SAVE_REVISION, ((_revision_key(revision), *_revision_row(revision)),))


def _revision(row: Row) -> Revision:
    _, digest, commit, author, subject, committed, verified, dirty = row
    if commit is None:
        return Revision(digest)
    return Revision(digest, Commit(commit, author, subject, _moment(committed), Verified(verified), bool(dirty)))


def _past_key(past: Past) -> Row:
    return (past.account, past.device, _stamp(past.intended), past.pass_id)


def _past_row(past: Past, *, is_open: bool) -> Row:
    return (
        *_past_key(past),
        past.action.value,
        _stamp(past.at),
        is_open,
        past.approved,
        None if past.revision is None else _revision_key(past.revision),
        None if past.result is None else past.result.value,
        past.confirmed_by,
        past.message_id,
        past.lg_message_id,
        past.status,
        past.code,
        _fit(past.words),
    )


def _past(row: Row) -> Past:
    account, device, action, intended, at, pass_id, approved, result, by, ours, theirs, status, code, words = row[:14]
    return Past(
        account=AccountName(account),
        device=DeviceId(device),
        action=Action(action),
        intended=_moment(intended),
        at=_moment(at),
        pass_id=PassId(pass_id),
        approved=bool(approved),
        revision=None if row[14] is None else _revision(row[14:]),
        result=None if result is None else Result(result),
        confirmed_by=by,
        message_id=None if ours is None else MessageId(ours),
        lg_message_id=theirs,
        status=status,
        code=code,
        words=words,
    )


def _newest_first(past: Past) -> tuple[int, int, str, str]:
    return -_stamp(past.at), -_stamp(past.intended), past.account, past.device


def _retry_row(account: AccountName, device: DeviceId, retry: Retry) -> Row:
    until, words = _stamp(retry.until), _fit(retry.words)
    return (account, device, retry.action.value, retry.reason.value, retry.attempts, until, retry.code, words)


def _retry(row: Sequence[object]) -> Retry:
    action, reason, attempts, until, code, words = row
    return Retry(Action(action), Reason(reason), attempts, _moment(until), code, words)


def _content(name: str, compressed: bytes | None) -> bytes | None:
    """Return the bytes of a file if they are what they were."""
    try:
        content = None if compressed is None else zlib.decompress(compressed)
    except zlib.error:
        return None
    return content if content is not None and sha256(content).hexdigest() == name else None
