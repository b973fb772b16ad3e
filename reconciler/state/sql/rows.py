"""The rows of tables and the values that they stand for, alike in every SQL database.

Owns: the conversion between rows and values. Must not: know a statement, or a database.

Keys are made from the content of a row, never from a counter, so waiting rows can be written to any database.
Moments are kept as microseconds since 1970.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from reconciler.core.guards import PauseOverride
from reconciler.core.memory import Past
from reconciler.core.model import (
    AccountName,
    Action,
    Commit,
    DeviceId,
    MessageId,
    PassId,
    Pause,
    Reason,
    Result,
    Retry,
    Revision,
    Verified,
)
from reconciler.core.windows import Ending, Opening

Row = tuple[Any, ...]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = -(2**63), 2**63 - 1

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
    """Return words from outside without halves of surrogate pairs, which cannot be stored."""
    return words.encode("utf-8", "replace").decode("utf-8")


def revision_key(revision: Revision) -> int:
    """Return a number that identifies a revision, small enough to be kept with each of a million devices."""
    return int.from_bytes(
        sha256(repr(_revision_row(revision)).encode()).digest()[:8], "big", signed=True
    )


def revision_row(revision: Revision) -> Row:
    """Return all columns of a revision."""
    return (revision_key(revision), *_revision_row(revision))


def read_revision(row: Row) -> Revision:
    """Return a revision from all columns of its table."""
    _, digest, commit, author, subject, committed, verified, dirty = row
    if commit is None:
        return Revision(digest)
    return Revision(
        digest, Commit(commit, author, subject, moment(committed), Verified(verified), bool(dirty))
    )


def quota_row(account: AccountName, calls: Sequence[float], limit: int | None) -> Row:
    """Return when an account's last calls were made, and the limit that was learned."""
    return (account, struct.pack(f"<{len(calls)}d", *calls), limit)


def read_calls(packed: bytes) -> tuple[float, ...]:
    """Return when calls were made, in seconds."""
    return tuple(one for (one,) in struct.iter_unpack("<d", packed))


def pause_row(account: AccountName, override: PauseOverride) -> Row:
    """Return a pause that was set by command."""
    until = stamp_or_none(override.until)
    return (account, override.pause.value, until, fit(override.reason), fit(override.set_by))


def read_pause(row: Row) -> PauseOverride:
    """Return a pause from the columns after the account."""
    pause, until, reason, set_by = row
    return PauseOverride(Pause(pause), moment_or_none(until), reason, set_by)


def opening_row(opening: Opening) -> Row:
    """Return a change window that a command opened."""
    return (
        opening.window,
        stamp(opening.at),
        opening.mark,
        stamp(opening.until),
        fit(opening.reason),
        fit(opening.set_by),
        stamp_or_none(opening.ended),
        None if opening.ended_by is None else opening.ended_by.value,
    )


def read_opening(row: Row) -> Opening:
    """Return a change window that a command opened, from all columns of its table."""
    window, at, mark, until, reason, set_by, ended, ended_by = row
    return Opening(
        window,
        mark,
        moment(at),
        moment(until),
        reason,
        set_by,
        moment_or_none(ended),
        None if ended_by is None else Ending(ended_by),
    )


def past_key(past: Past) -> Row:
    """Return the primary key of a past change."""
    return (past.account, past.device, stamp(past.intended), past.pass_id)


def past_row(past: Past, *, is_open: bool) -> Row:
    """Return a past change; ``is_open``: a later list may still show what became of it."""
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
        None if past.name is None else fit(past.name),
    )


def read_past(row: Row) -> Past:
    """Return a past change from its columns, followed by those of its revision."""
    (
        account,
        device,
        action,
        intended,
        at,
        pass_id,
        approved,
        result,
        by,
        ours,
        theirs,
        status,
        code,
        words,
        name,
    ) = row[:15]
    return Past(
        account=AccountName(account),
        device=DeviceId(device),
        action=Action(action),
        intended=moment(intended),
        at=moment(at),
        pass_id=PassId(pass_id),
        approved=bool(approved),
        revision=None if row[15] is None else read_revision(row[15:]),
        result=None if result is None else Result(result),
        confirmed_by=by,
        message_id=None if ours is None else MessageId(ours),
        lg_message_id=theirs,
        status=status,
        code=code,
        words=words,
        name=name,
    )


def retry_row(account: AccountName, device: DeviceId, retry: Retry) -> Row:
    """Return what a device waits for."""
    until, words = stamp(retry.until), fit(retry.words)
    return (
        account,
        device,
        retry.action.value,
        retry.reason.value,
        retry.attempts,
        until,
        retry.code,
        words,
    )


def read_retry(row: Row) -> Retry:
    """Return what a device waits for, from the columns after account and device."""
    action, reason, attempts, until, code, words = row
    return Retry(Action(action), _REASONS[reason], attempts, moment(until), code, words)


def _revision_row(revision: Revision) -> Row:
    commit = revision.commit
    if commit is None:
        return (revision.sha256, None, None, None, None, None, None)
    author, subject = fit(commit.author), fit(commit.subject)
    return (
        revision.sha256,
        commit.id,
        author,
        subject,
        stamp(commit.at),
        commit.verified.value,
        commit.dirty,
    )
