"""The tables in which state is kept, and what their rows mean.

Owns: the schema and its migrations, every SQL statement that is used in more than one way, and the way between rows and
values. Must not: open, read or write anything, or know when something is kept.

Keys say what a row is and are never counted up, so that what waited in memory can be written to whatever file is there.
Moments are kept as microseconds since 1970.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from reconciler.core.memory import AccountMemory, Past
from reconciler.core.model import (
    AccountName,
    Action,
    Commit,
    DeviceId,
    MessageId,
    PassId,
    Reason,
    Result,
    Retry,
    Revision,
    Verified,
)
from reconciler.state.sqlite.database import Row, Statement

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = -(2**63), 2**63 - 1

MIGRATIONS = (
    (
        """CREATE TABLE account (
            name TEXT PRIMARY KEY, texts_since INTEGER, trusted INTEGER NOT NULL, suspect_readings INTEGER NOT NULL,
            credential TEXT
        ) WITHOUT ROWID""",
        # owned: in the inventory; live: in the expected list; came, went: by which revision it came in and went out
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
"""The statements that lead from each version to the next. What was once released is never edited, only added to."""

SAVE_ACCOUNT = "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?)"
KNOW_ACCOUNT = "INSERT OR IGNORE INTO account VALUES (?, NULL, 0, 0, NULL)"
ENTER = """INSERT INTO device (account, came, came_at, id, owned, live) VALUES (?, ?, ?, ?, 1, 0)
    ON CONFLICT DO UPDATE SET owned = 1, came = excluded.came, came_at = excluded.came_at, went = NULL, went_at = NULL
    WHERE NOT owned OR went_at IS NOT NULL"""
# nearly all devices are owned and live and have never left: of a million only the ids are read
OWNED_AND_LIVE = "SELECT id FROM device WHERE account = ? AND owned AND live AND went_at IS NULL"
NOT_OWNED_AND_LIVE = """SELECT id, owned, live, went_at FROM device
    WHERE account = ? AND NOT (owned AND live AND went_at IS NULL)"""
LEAVE = "UPDATE device SET went = ?, went_at = ? WHERE account = ? AND id = ?"
DISOWN = "UPDATE device SET owned = 0 WHERE account = ? AND id = ?"
APPEAR = """INSERT INTO device (account, id, owned, live) VALUES (?, ?, 0, 1) ON CONFLICT DO UPDATE SET live = 1"""
VANISH = (
    "DELETE FROM device WHERE account = ? AND id = ? AND came IS NULL",
    "UPDATE device SET live = 0 WHERE account = ? AND id = ?",
)
EXPECT_NOTHING = (
    "DELETE FROM device WHERE account = ? AND came IS NULL",
    "UPDATE device SET live = 0 WHERE account = ? AND live",
)
SETTLE = """INSERT INTO device (account, id, owned, live, came, came_at, went, went_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET owned = excluded.owned, live = excluded.live, came = coalesce(excluded.came, came),
    came_at = coalesce(excluded.came_at, came_at), went_at = excluded.went_at,
    went = CASE WHEN excluded.went_at IS NULL THEN NULL ELSE coalesce(excluded.went, went) END"""
DROP_NOWHERE = "DELETE FROM device WHERE account = ? AND NOT owned AND NOT live AND went_at IS NULL"
FILES_OF_TEXT = "SELECT path, sha256 FROM text_file JOIN content USING (sha256) WHERE document = ?"
DROP_UNUSED = "DELETE FROM content WHERE sha256 NOT IN (SELECT sha256 FROM text_file)"
SAVE_CHANGE = "INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DROP_CHANGE = "DELETE FROM change WHERE account = ? AND device = ? AND intended = ? AND pass = ?"
DROP_TOLD_TWICE = (
    "DELETE FROM change WHERE account = ? AND pass = ? AND EXISTS (SELECT 1 FROM change AS other WHERE other.account = "
    "change.account AND other.device = change.device AND other.action = change.action AND other.at = change.at "
    "AND other.pass <> change.pass)"
)
"""Removes what memory added of a change that the file still has."""
SAVE_RETRY = "INSERT OR REPLACE INTO retry VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
DROP_RETRY = "DELETE FROM retry WHERE account = ? AND device = ?"
DROP_RETRIES = "DELETE FROM retry WHERE account = ?"
SAVE_QUOTA = "INSERT OR REPLACE INTO quota VALUES (?, ?, ?)"
_SAVE_REVISION = "INSERT OR IGNORE INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PAST = """SELECT account, device, action, intended, at, pass, approved, result, confirmed_by, message_id,
    lg_message_id, status, code, words, revision.* FROM change """
_ITS_REVISION = "LEFT JOIN revision ON revision.key = change.revision "
_PAST_IN_FULL = _PAST + _ITS_REVISION
_ANY_ACCOUNT = "(SELECT name FROM account)"
_NEWEST = " ORDER BY at DESC, intended DESC, account, device LIMIT ?"
_WITHIN = "at >= ? AND at < ?" + _NEWEST
# the plus keeps SQLite from going through all changes of a span, or of an account, where it can go by the device
_OF_DEVICE_WITHIN = "AND device = ? AND +at >= ? AND +at < ?" + _NEWEST
PAST_OF_ALL = _PAST_IN_FULL + "WHERE " + _WITHIN
PAST_OF_ACCOUNT = _PAST_IN_FULL + "WHERE account = ? AND " + _WITHIN
PAST_OF_DEVICE = _PAST_IN_FULL + "WHERE account IN " + _ANY_ACCOUNT + _OF_DEVICE_WITHIN
PAST_OF_BOTH = _PAST_IN_FULL + "WHERE account = ? " + _OF_DEVICE_WITHIN
DEVICES_LIKE = """SELECT account, id FROM device
    WHERE account IN (SELECT name FROM account) AND id >= ? AND id < ?
    UNION SELECT account, device FROM change
    WHERE account IN (SELECT name FROM account) AND device >= ? AND device < ? LIMIT ?"""
CONFIRMED = _PAST_IN_FULL + "WHERE account = ? AND at > ? AND result IN ('success', 'noop') ORDER BY at, intended"
SENT = "SELECT at FROM change WHERE account = ? AND at > ? AND intended > ? AND confirmed_by IS NULL ORDER BY at"
OPEN = _PAST + "INDEXED BY change_open " + _ITS_REVISION + "WHERE account = ? AND open ORDER BY intended"

_REASONS = {reason.value: reason for reason in Reason}


def stamp(moment: datetime) -> int:
    """Return a moment as it is kept."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(stamp: int) -> datetime:
    """Return a moment that was kept."""
    return EPOCH + timedelta(microseconds=stamp)


def stamp_or_none(moment: datetime | None) -> int | None:
    """Return a moment as it is kept, if there is one."""
    return None if moment is None else stamp(moment)


def moment_or_none(stamp: int | None) -> datetime | None:
    """Return a moment that was kept, if there was one."""
    return None if stamp is None else moment(stamp)


def fit(words: str) -> str:
    """Return words that somebody else wrote so that they can be kept: half a character pair cannot."""
    return words.encode("utf-8", "replace").decode("utf-8")


def revision_key(revision: Revision) -> int:
    """Return a number that stands for a revision, small enough to be kept with each of a million devices."""
    return int.from_bytes(sha256(repr(_revision_row(revision)).encode()).digest()[:8], "big", signed=True)


def save_revision(revision: Revision) -> Statement:
    """Return what makes a revision known under its key."""
    return Statement(_SAVE_REVISION, ((revision_key(revision), *_revision_row(revision)),))


def read_revision(row: Row) -> Revision:
    """Return a revision from all columns of its table."""
    _, digest, commit, author, subject, committed, verified, dirty = row
    if commit is None:
        return Revision(digest)
    return Revision(digest, Commit(commit, author, subject, moment(committed), Verified(verified), bool(dirty)))


def account_row(known: AccountMemory) -> Row:
    """Return an account for ``SAVE_ACCOUNT``."""
    since = stamp_or_none(known.texts_since)
    return (known.name, since, known.trusted, known.suspect_readings, known.credential)


def quota_row(account: AccountName, calls: Sequence[float], limit: int | None) -> Row:
    """Return when an account's last calls were made and the limit that was learned, for ``SAVE_QUOTA``."""
    return (account, struct.pack(f"<{len(calls)}d", *calls), limit)


def past_key(past: Past) -> Row:
    """Return what tells a past change from every other."""
    return (past.account, past.device, stamp(past.intended), past.pass_id)


def past_row(past: Past, *, is_open: bool) -> Row:
    """Return a past change for ``SAVE_CHANGE``; ``is_open``: a later list may still tell what became of it."""
    return (
        *past_key(past),
        past.action.value,
        stamp(past.at),
        is_open,
        past.approved,
        None if past.revision is None else revision_key(past.revision),
        None if past.result is None else past.result.value,
        past.confirmed_by,
        past.message_id,
        past.lg_message_id,
        past.status,
        past.code,
        fit(past.words),
    )


def read_past(row: Row) -> Past:
    """Return a past change from what a ``PAST_OF`` query finds."""
    account, device, action, intended, at, pass_id, approved, result, by, ours, theirs, status, code, words = row[:14]
    return Past(
        account=AccountName(account),
        device=DeviceId(device),
        action=Action(action),
        intended=moment(intended),
        at=moment(at),
        pass_id=PassId(pass_id),
        approved=bool(approved),
        revision=None if row[14] is None else read_revision(row[14:]),
        result=None if result is None else Result(result),
        confirmed_by=by,
        message_id=None if ours is None else MessageId(ours),
        lg_message_id=theirs,
        status=status,
        code=code,
        words=words,
    )


def newest_first(past: Past) -> tuple[int, int, str, str]:
    """Return by what past changes are sorted, as those queries do."""
    return -stamp(past.at), -stamp(past.intended), past.account, past.device


def retry_row(account: AccountName, device: DeviceId, retry: Retry) -> Row:
    """Return what a device waits for, for ``SAVE_RETRY``."""
    until, words = stamp(retry.until), fit(retry.words)
    return (account, device, retry.action.value, retry.reason.value, retry.attempts, until, retry.code, words)


def read_retry(row: Row) -> Retry:
    """Return what a device waits for, from the columns after account and device."""
    action, reason, attempts, until, code, words = row
    return Retry(Action(action), _REASONS[reason], attempts, moment(until), code, words)


def read_content(name: str, compressed: bytes | None) -> bytes | None:
    """Return the bytes of a file if they are what they were."""
    try:
        content = None if compressed is None else zlib.decompress(compressed)
    except zlib.error:
        return None
    return content if content is not None and sha256(content).hexdigest() == name else None


def _revision_row(revision: Revision) -> Row:
    commit = revision.commit
    if commit is None:
        return (revision.sha256, None, None, None, None, None, None)
    author, subject = fit(commit.author), fit(commit.subject)
    return (revision.sha256, commit.id, author, subject, stamp(commit.at), commit.verified.value, commit.dirty)
