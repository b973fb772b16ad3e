"""How each record is written: which statements it becomes, with which rows, alike in every SQL database.

Owns: the statements of each record. Must not: know the words of a statement, which each database has of its own, or
execute anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import singledispatch

from reconciler.core.memory import Past
from reconciler.core.model import Action, DeviceId, Revision
from reconciler.state import records
from reconciler.state.records import DevicesMoved, DevicesSettled, Group, NamesSaved, Record
from reconciler.state.sql import rows
from reconciler.state.sql.rows import Row


class Write(Enum):
    """Every statement that changes the tables. Each database has its own words for each of them."""

    SAVE_ACCOUNT = auto()
    KNOW_ACCOUNT = auto()
    RETIRE_DEVICES = auto()
    DROP_RETRIES = auto()
    DROP_PAUSE = auto()
    CLOSE_CHANGES = auto()
    ENTER = auto()
    LEAVE = auto()
    NAME = auto()
    NAME_ENDS = auto()
    ALL_NAMES_END = auto()
    NAME_CHANGES = auto()
    WAS_CALLED = auto()
    DISOWN = auto()
    APPEAR = auto()
    FORGET_UNKNOWN = auto()
    VANISH = auto()
    FORGET_ALL_UNKNOWN = auto()
    VANISH_ALL = auto()
    SETTLE = auto()
    DROP_NOWHERE = auto()
    SAVE_CHANGE = auto()
    DROP_CHANGE = auto()
    DROP_REPEATED = auto()
    SAVE_RETRY = auto()
    DROP_RETRY = auto()
    SAVE_QUOTA = auto()
    SAVE_PAUSE = auto()
    PROTECT = auto()
    UNPROTECT = auto()
    RELEASE = auto()
    SAVE_OPENING = auto()
    SAVE_REVISION = auto()
    SAVE_DOCUMENT = auto()
    DROP_DOCUMENT = auto()
    SAVE_FILE = auto()
    DROP_FILES = auto()
    SAVE_CONTENT = auto()
    DROP_UNUSED = auto()
    DROP_OLD_CHANGES = auto()
    DROP_OLD_DEVICES = auto()
    DROP_OLD_NAMES = auto()
    DROP_OLD_OPENINGS = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, executed for each row of values. The rows must be iterable more than once."""

    write: Write
    rows: Iterable[Row] = ((),)


def of_groups(groups: Iterable[Group]) -> Iterator[Statement]:
    """Yield the statements that groups become, in their order."""
    for group in groups:
        for record in group.records:
            yield from statements(record)


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
                rows.stamp_or_none(gone),
            )


@dataclass(frozen=True, slots=True)
class Named:
    """One row for each device with its new name, in the file's order."""

    record: NamesSaved

    def __iter__(self) -> Iterator[Row]:
        record = self.record
        for device in sorted(record.names):
            yield (rows.fit(record.names[device]), record.account, device)


@dataclass(frozen=True, slots=True)
class Renamed:
    """One row for each device with a new name, to keep the name before it, in the file's order."""

    record: NamesSaved
    at: int

    def __iter__(self) -> Iterator[Row]:
        record = self.record
        for device in sorted(record.names):
            yield (self.at, record.account, device, rows.fit(record.names[device]))


@singledispatch
def statements(record: Record) -> Iterable[Statement]:
    """Return the statements that a record becomes."""
    raise TypeError(f"no statements write a {type(record).__name__}")


@statements.register
def _(record: records.AccountSaved) -> Iterable[Statement]:
    since = rows.stamp_or_none(record.texts_since)
    row = (
        record.account,
        since,
        record.trusted,
        record.suspect_readings,
        record.credential,
        record.names,
    )
    return (Statement(Write.SAVE_ACCOUNT, (row,)),)


@statements.register
def _(record: records.AccountRetired) -> Iterable[Statement]:
    if record.at is not None:
        yield Statement(Write.ALL_NAMES_END, ((rows.stamp(record.at), record.account),))
    yield from _all(
        (record.account,),
        Write.RETIRE_DEVICES,
        Write.DROP_RETRIES,
        Write.DROP_PAUSE,
        Write.CLOSE_CHANGES,
    )
    # its row too: a device that is in no file counts as absent since the account came into the files
    yield Statement(Write.SAVE_ACCOUNT, ((record.account, None, False, 0, None, None),))


@statements.register
def _(record: records.DevicesMoved) -> Iterable[Statement]:
    key, at = _mark(record)
    return (
        save_revision(record.mark.revision),
        Statement(Write.ENTER, Each((record.account, key, at), record.entering)),
        Statement(Write.NAME_ENDS, Each((at, record.account), record.leaving)),
        Statement(Write.LEAVE, Each((key, at, record.account), record.leaving)),
    )


@statements.register
def _(record: records.NamesSaved) -> Iterable[Statement]:
    at = rows.stamp(record.at)
    yield Statement(Write.NAME_CHANGES, Renamed(record, at))
    yield Statement(Write.NAME_ENDS, Each((at, record.account), record.ended))
    yield Statement(Write.NAME, Named(record))


@statements.register
def _(record: records.ListCleared) -> Iterable[Statement]:
    return _all((record.account,), Write.FORGET_ALL_UNKNOWN, Write.VANISH_ALL)


@statements.register
def _(record: records.ListChanged) -> Iterable[Statement]:
    account = (record.account,)
    yield Statement(Write.APPEAR, Each(account, record.appeared))
    yield Statement(Write.FORGET_UNKNOWN, Each(account, record.vanished))
    yield Statement(Write.VANISH, Each(account, record.vanished))


@statements.register
def _(record: records.DevicesDisowned) -> Iterable[Statement]:
    return (Statement(Write.DISOWN, Each((record.account,), record.devices)),)


@statements.register
def _(record: records.DevicesSettled) -> Iterable[Statement]:
    for revision in dict.fromkeys(one.mark.revision for one in record.moved):
        yield save_revision(revision)
    yield Statement(Write.SETTLE, Settled(record))
    yield Statement(Write.DROP_NOWHERE, ((record.account,),))


@statements.register
def _(record: records.RetriesSaved) -> Iterable[Statement]:
    if record.all_of_them:
        yield Statement(Write.DROP_RETRIES, ((record.account,),))
    yield Statement(
        Write.SAVE_RETRY, [rows.retry_row(record.account, *one) for one in record.retries.items()]
    )


@statements.register
def _(record: records.RetriesDropped) -> Iterable[Statement]:
    return (Statement(Write.DROP_RETRY, Each((record.account,), record.devices)),)


@statements.register
def _(record: records.ChangesSaved) -> Iterable[Statement]:
    for revision in dict.fromkeys(past.revision for past in record.pasts):
        if revision is not None:
            yield save_revision(revision)
    yield Statement(Write.KNOW_ACCOUNT, ((record.account,),))
    yield Statement(
        Write.SAVE_CHANGE, [rows.past_row(past, is_open=False) for past in record.closed]
    )
    yield Statement(Write.SAVE_CHANGE, [rows.past_row(past, is_open=True) for past in record.open])
    yield Statement(
        Write.WAS_CALLED, [_called(past) for past in record.pasts if _ends_a_name(past)]
    )


@statements.register
def _(record: records.ChangesDropped) -> Iterable[Statement]:
    return (Statement(Write.DROP_CHANGE, [rows.past_key(past) for past in record.pasts]),)


@statements.register
def _(record: records.RepeatedChangesDropped) -> Iterable[Statement]:
    return _all((record.account, record.pass_id), Write.DROP_REPEATED)


@statements.register
def _(record: records.QuotaSaved) -> Iterable[Statement]:
    return (
        Statement(Write.SAVE_QUOTA, (rows.quota_row(record.account, record.calls, record.limit),)),
    )


@statements.register
def _(record: records.PauseSaved) -> Iterable[Statement]:
    if record.override is None:
        return _all((record.account,), Write.DROP_PAUSE)
    return (Statement(Write.SAVE_PAUSE, (rows.pause_row(record.account, record.override),)),)


@statements.register
def _(record: records.ProtectionStated) -> Iterable[Statement]:
    yield Statement(Write.PROTECT, sorted(record.protected.items()))
    yield Statement(Write.UNPROTECT, Each((), record.ended))


@statements.register
def _(record: records.ProtectionReleased) -> Iterable[Statement]:
    return (Statement(Write.RELEASE, Each((record.account,), record.devices)),)


@statements.register
def _(record: records.OpeningSaved) -> Iterable[Statement]:
    return (Statement(Write.SAVE_OPENING, (rows.opening_row(record.opening),)),)


@statements.register
def _(record: records.DocumentSaved) -> Iterable[Statement]:
    document = record.document
    yield save_revision(record.revision)
    yield Statement(Write.SAVE_DOCUMENT, ((document, rows.revision_key(record.revision)),))
    if record.digests is not None:
        yield Statement(Write.DROP_FILES, ((document,),))
        yield Statement(
            Write.SAVE_FILE, [(document, path, digest) for path, digest in record.digests.items()]
        )
        yield Statement(Write.SAVE_CONTENT, list(record.contents.items()))


@statements.register
def _(record: records.DocumentDropped) -> Iterable[Statement]:
    return _all((record.document,), Write.DROP_DOCUMENT, Write.DROP_FILES)


@statements.register
def _(_: records.UnusedContentsDropped) -> Iterable[Statement]:
    return (Statement(Write.DROP_UNUSED),)


@statements.register
def _(record: records.OldDropped) -> Iterable[Statement]:
    return _all(
        (rows.stamp(record.before),),
        Write.DROP_OLD_CHANGES,
        Write.DROP_OLD_DEVICES,
        Write.DROP_OLD_NAMES,
        Write.DROP_OLD_OPENINGS,
    )


def _ends_a_name(past: Past) -> bool:
    """Say whether a device that is unsubscribed had a name. Its entry may have left long ago."""
    return past.action is Action.UNSUBSCRIBE and bool(past.name)


def _called(past: Past) -> Row:
    return (
        rows.fit(past.name or ""),
        past.account,
        past.device,
        rows.stamp(past.at),
    )


def save_revision(revision: Revision) -> Statement:
    """Return the statement that stores a revision under its key."""
    return Statement(Write.SAVE_REVISION, (rows.revision_row(revision),))


def _all(row: Row, *writes: Write) -> Iterable[Statement]:
    """Return several statements with the same values."""
    return [Statement(one, (row,)) for one in writes]


def _mark(moved: DevicesMoved) -> Row:
    return rows.revision_key(moved.mark.revision), rows.stamp(moved.mark.at)


def _marks(moved: Iterable[DevicesMoved]) -> tuple[dict[DeviceId, Row], dict[DeviceId, Row]]:
    """Return the revision and the time of each device's arrival and departure."""
    came: dict[DeviceId, Row] = {}
    went: dict[DeviceId, Row] = {}
    for one in moved:
        came.update(dict.fromkeys(one.entering, _mark(one)))
        went.update(dict.fromkeys(one.leaving, _mark(one)))
    return came, went
