"""A database in memory that several replicas share: the coordination, and a storage that checks its fences.

It has the semantics of PostgreSQL as far as replicas can see them. It can be away, fail over to an older copy, and
check less than it should, so that a test can show what each check is for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, cast

from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName
from reconciler.core.replicas import Member, MemberId, Server, next_count
from reconciler.core.windows import Ending, Opening
from reconciler.state.coordination import (
    CHUNK,
    Acceptance,
    Command,
    Commands,
    Fleet,
    Members,
    Ownership,
    Renewal,
    Source,
    StatusRow,
    Taken,
    Tokens,
    Verdict,
    What,
)
from reconciler.state.pauses import EVERYWHERE
from reconciler.state.port import Storage
from reconciler.state.records import AccountRetired, Fence, Group, OpeningSaved, PauseSaved

DAY = timedelta(hours=24)
NOBODY = MemberId("")


def nobody_listens() -> None:
    """Take that something was accepted."""


class Checks(Enum):
    """How much of a fence is checked. Everything but ``ALL`` is a defect that a test plants."""

    ALL = "all"
    NO_GENERATION = "owner and epoch only"
    NOTHING = "nothing"


@dataclass
class Row:
    """One row of ``ownership``."""

    due: datetime
    owner: MemberId = NOBODY
    epoch: int = 0
    generation: int = 0
    pause: int = 0
    managed: bool = True

    def fence(self) -> Fence:
        """Return what is true now."""
        return Fence(self.owner, self.epoch, self.generation, self.pause)


@dataclass
class Tables:
    """What is in the database beside the state."""

    members: dict[MemberId, Member] = field(default_factory=dict)
    ownership: dict[AccountName, Row] = field(default_factory=dict)
    reader: MemberId = NOBODY
    reader_epoch: int = 0
    verdict: Verdict = field(default_factory=lambda: Verdict(0, b""))
    earlier: dict[str, datetime] = field(default_factory=dict)
    commands: dict[int, Command] = field(default_factory=dict)
    asked: int = 0
    reports: dict[AccountName, StatusRow] = field(default_factory=dict)
    tokens: dict[str, AccountName] = field(default_factory=dict)
    changes: int = 0


class Database:
    """The server. ``now`` is its clock, ``away`` why it does not answer, ``checks`` how much of a fence counts.

    ``accepted`` is called after each acceptance. ``locked`` accounts are in another transaction that does not end.
    ``refuses`` names the kinds of transactions that fail, and ``after`` what happens once, right after one.
    """

    def __init__(self, storage: Storage, now: Callable[[], datetime]) -> None:
        self.storage, self.now = storage, now
        self.tables = Tables()
        self.server = Server("one", 1)
        self.checks = Checks.ALL
        self.away = ""
        self.locked: set[AccountName] = set()
        self.accepted: Callable[[], None] = nobody_listens
        self.refuses: set[str] = set()
        self.after: dict[str, Callable[[], None]] = {}
        self._turn = threading.RLock()

    @contextmanager
    def transaction(self, kind: str = "") -> Iterator[Tables]:
        """Let one transaction have the tables; the others wait."""
        with self._turn:
            if self.away or kind in self.refuses:
                raise StateError(self.away or f"it refuses to {kind}")
            yield self.tables
        self.after.pop(kind, nobody_listens)()

    def copy(self) -> Tables:
        """Return what a standby has at this moment."""
        return deepcopy(self.tables)

    def fail_over(self, standby: Tables) -> None:
        """Let a standby take over that may lack the last transactions."""
        self.tables = deepcopy(standby)
        self.server = replace(self.server, timeline=self.server.timeline + 1)

    def failing(self, fences: Mapping[AccountName, Fence]) -> frozenset[AccountName]:
        """Return the accounts whose fence is no longer true, as far as is checked."""
        rows = self.tables.ownership
        return frozenset(
            name for name, fence in fences.items() if not self._holds(rows, name, fence)
        )

    def _holds(self, rows: Mapping[AccountName, Row], name: AccountName, fence: Fence) -> bool:
        if self.checks is Checks.NOTHING:
            return True
        row = rows.get(name)
        if row is None:
            return False
        now = row.fence()
        if self.checks is Checks.NO_GENERATION:
            now = replace(now, generation=fence.generation, pause=fence.pause)
        return now == fence

    def free(self, row: Row) -> bool:
        """Say whether nobody alive owns an account that is in force."""
        return row.managed and row.owner not in self.tables.members


class MemoryMedium:
    """The server as the state sees it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.trouble = ""
        self.generation = self.losses = self.doubts = 0
        self.set_aside: Path | None = None
        self.notices: deque[str] = deque()
        self.frozen = False

    def look(self) -> bool:
        """Find nothing wrong."""
        return False

    def close(self) -> None:
        """Leave the data to the others."""


class MemoryStorage:
    """The state of the database, for one replica: a ``port.Storage`` that checks fences."""

    def __init__(self, database: Database) -> None:
        self.medium = MemoryMedium(database)
        self._database = database

    def write(
        self,
        groups: Iterable[Group],
        *,
        more: bool = False,
        fences: Mapping[AccountName, Fence] | None = None,
    ) -> frozenset[AccountName]:
        """Write the groups of those accounts whose fence is true."""
        try:
            with self._database.transaction("write"):
                fenced = self._database.failing(fences or {})
                wanted = [group for group in groups if group.about not in fenced]
                self._database.storage.write(wanted)
        except StateError as error:
            self.medium.trouble = str(error)
            raise
        if not more:
            self.medium.trouble = ""
        return fenced

    def __getattr__(self, name: str) -> Any:
        """Return what reads: it fails while the server is away."""
        read = getattr(self._database.storage, name)

        def reading(*args: Any, **named: Any) -> Any:
            with self._database.transaction(name):
                return read(*args, **named)

        return reading


def shared(database: Database) -> Storage:
    """Return the state of the database for one more replica."""
    return cast("Storage", MemoryStorage(database))


class MemoryMembers(Members):
    """The replicas that live."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def join(self, member: Member) -> Renewal:
        with self._database.transaction("join") as tables:
            tables.members[member.id] = member
            return self._renewal(member)

    async def renew(self, member: MemberId) -> Renewal | None:
        with self._database.transaction() as tables:
            row = tables.members.get(member)
            if row is None:
                return None
            row = tables.members[member] = replace(row, beat=row.beat + 1)
            return self._renewal(row)

    def listen(self, heard: Callable[[], None]) -> None:
        del heard  # the next renewal shows what changed

    def living(self) -> Sequence[Member]:
        with self._database.transaction() as tables:
            return sorted(tables.members.values(), key=lambda one: one.id)

    def declare_dead(self, member: MemberId, beat: int) -> bool:
        with self._database.transaction() as tables:
            row = tables.members.get(member)
            if row is None or row.beat != beat:
                return False
            del tables.members[member]
            return True

    def leave(self, member: MemberId) -> None:
        with self._database.transaction() as tables:
            tables.members.pop(member, None)

    def _renewal(self, member: Member) -> Renewal:
        database = self._database
        return Renewal(member.beat, database.server, database.now(), database.tables.changes)


class MemoryOwnership(Ownership):
    """Which replica owns which account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, member: MemberId, most: int) -> Taken:
        database = self._database
        with database.transaction() as tables:
            if member not in tables.members:
                return Taken()
            rows = sorted(tables.ownership.items())
            takeable = [name for name, row in rows if database.free(row)]
            free = [name for name in takeable if name not in database.locked][: min(most, CHUNK)]
            for name in free:
                row = tables.ownership[name]
                row.owner, row.epoch = member, next_count(row.epoch, database.server.timeline)
            skipped = len(database.locked.intersection(takeable)) if len(free) < most else 0
            return Taken({name: tables.ownership[name].fence() for name in free}, skipped)

    def shed(self, epochs: Mapping[AccountName, int], member: MemberId) -> None:
        with self._database.transaction() as tables:
            for name, epoch in epochs.items():
                row = tables.ownership.get(name)
                if row is not None and (row.owner, row.epoch) == (member, epoch):
                    row.owner = NOBODY

    def owned(self, member: MemberId) -> Mapping[AccountName, Fence]:
        with self._database.transaction("own") as tables:
            rows = sorted(tables.ownership.items())
            return {name: row.fence() for name, row in rows if row.owner == member and row.managed}

    def failing(self, fences: Mapping[AccountName, Fence]) -> frozenset[AccountName]:
        with self._database.transaction():
            return self._database.failing(fences)

    def count(self) -> int:
        with self._database.transaction() as tables:
            return sum(row.managed for row in tables.ownership.values())

    def fleet(self, now: datetime, silent: Collection[MemberId] = ()) -> Fleet:
        with self._database.transaction() as tables:
            managed = {name: row for name, row in tables.ownership.items() if row.managed}
            unowned = sum(
                self._database.free(row) or row.owner in silent for row in managed.values()
            )
            late = [
                (now - self._due(tables, name, row)).total_seconds()
                for name, row in managed.items()
            ]
            return Fleet(len(managed), unowned, max([0.0, *late]))

    @staticmethod
    def _due(tables: Tables, name: AccountName, row: Row) -> datetime:
        report = tables.reports.get(name)
        return row.due if report is None else report.due


class MemorySource(Source):
    """Who reads the source of the desired state."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, member: MemberId) -> int | None:
        database = self._database
        with database.transaction() as tables:
            if member not in tables.members:
                return None
            if tables.reader not in tables.members:
                tables.reader = member
                tables.reader_epoch = next_count(tables.reader_epoch, database.server.timeline)
            return tables.reader_epoch if tables.reader == member else None

    def shed(self, member: MemberId, epoch: int) -> None:
        with self._database.transaction() as tables:
            if (tables.reader, tables.reader_epoch) == (member, epoch):
                tables.reader = NOBODY

    def accept(self, member: MemberId, epoch: int, acceptance: Acceptance) -> bool:
        database = self._database
        with database.transaction("accept") as tables:
            unchecked = database.checks is Checks.NOTHING
            is_reader = (tables.reader, tables.reader_epoch) == (member, epoch)
            if not (is_reader and member in tables.members) and not unchecked:
                return False
            self._enforce(tables, acceptance)
            return True

    def accept_alone(self, acceptance: Acceptance) -> bool:
        with self._database.transaction() as tables:
            if not tables.members:
                self._enforce(tables, acceptance)
            return not tables.members

    def _enforce(self, tables: Tables, acceptance: Acceptance) -> None:
        database = self._database
        self._rows(tables, acceptance)
        retired = (Group((AccountRetired(name, acceptance.at),)) for name in acceptance.retired)
        database.storage.write((*acceptance.groups, *retired))
        since = database.now() - DAY
        kept = {one: at for one, at in tables.earlier.items() if at >= since}
        tables.earlier = {**kept, **dict.fromkeys(acceptance.digests, database.now())}
        serial = next_count(tables.verdict.serial, database.server.timeline)
        tables.verdict = Verdict(serial, acceptance.verdict)
        tables.changes += 1
        database.accepted()

    def _rows(self, tables: Tables, acceptance: Acceptance) -> None:
        for name in sorted(acceptance.managed - tables.ownership.keys()):
            tables.ownership[name] = Row(due=self._database.now())
        for name, row in tables.ownership.items():
            row.managed = name in acceptance.managed
            if name in acceptance.changed:
                row.generation = next_count(row.generation, self._database.server.timeline)
            if not row.managed:
                tables.reports.pop(name, None)

    def verdict(self) -> Verdict:
        with self._database.transaction("verdict") as tables:
            return tables.verdict

    def earlier(self, now: datetime) -> frozenset[str]:
        with self._database.transaction() as tables:
            return frozenset(one for one, at in tables.earlier.items() if at >= now - DAY)


class MemoryCommands(Commands):
    """What people asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, what: What, accounts: Collection[AccountName], by: str, at: datetime) -> None:
        with self._database.transaction() as tables:
            for name in sorted(accounts) if what is not What.FETCH else [EVERYWHERE]:
                tables.asked += 1
                tables.commands[tables.asked] = Command(tables.asked, name, what, by, at)
            tables.changes += 1

    def asked(self, accounts: Collection[AccountName], *, source: bool) -> Sequence[Command]:
        wanted = {*accounts, EVERYWHERE} if source else {*accounts}
        with self._database.transaction("ask") as tables:
            return [one for one in tables.commands.values() if one.account in wanted]

    def done(self, ids: Collection[int]) -> None:
        with self._database.transaction("done") as tables:
            for one in ids:
                tables.commands.pop(one, None)

    def pause(
        self, account: AccountName | None, override: PauseOverride | None, now: datetime
    ) -> None:
        database = self._database
        with database.transaction() as tables:
            name = EVERYWHERE if account is None else account
            pauses = database.storage.pauses()
            ended = {one for one, each in pauses.items() if each.until and each.until <= now}
            if override is None:
                ended |= pauses.keys() if account is None else {name}
            saved = [PauseSaved(one, None) for one in sorted(ended - {name} if override else ended)]
            if override is not None:
                saved.append(PauseSaved(name, override))
            database.storage.write([Group((one,), lasting=True) for one in saved])
            for one, row in tables.ownership.items():
                if account in {None, one}:
                    row.pause += 1
            tables.changes += 1

    def open_window(self, window: str, opening: Opening | None, now: datetime) -> bool:
        how = Ending.CLOSED if opening is None else Ending.REOPENED
        database = self._database
        with database.transaction() as tables:
            stored = database.storage.opened(None, 1000)
            found = [one for one in stored if one.window == window and one.until > now]
            saved = [replace(one, ended=now, ended_by=how) for one in found]
            if opening is not None:
                saved.append(opening)
            database.storage.write([Group((OpeningSaved(one),), lasting=True) for one in saved])
            for row in tables.ownership.values():
                row.pause += 1
            tables.changes += 1
        return bool(found)

    def report(self, rows: Collection[StatusRow], fences: Mapping[AccountName, Fence]) -> None:
        with self._database.transaction("report") as tables:
            for row in rows:
                held, fence = tables.ownership.get(row.account), fences[row.account]
                if held is not None and (held.owner, held.epoch) == (fence.owner, fence.epoch):
                    tables.reports[row.account] = row

    def reports(self) -> Sequence[StatusRow]:
        with self._database.transaction() as tables:
            return [row for _, row in sorted(tables.reports.items())]


class MemoryTokens(Tokens):
    """Which account uses which user token."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self) -> bytes:
        with self._database.transaction():
            return b"a key that is not random"

    def note(
        self, used: Mapping[AccountName, frozenset[str]], fences: Mapping[AccountName, Fence]
    ) -> Mapping[AccountName, Mapping[str, AccountName]]:
        with self._database.transaction() as tables:
            rows = tables.ownership
            terms = {one: (rows[one].owner, rows[one].epoch) for one in sorted(used) if one in rows}
            owned = [
                one for one, term in terms.items() if term == (fences[one].owner, fences[one].epoch)
            ]
            before = tables.tokens
            tables.tokens = {
                fingerprint: one
                for fingerprint, one in before.items()
                if one not in owned or fingerprint in used[one]
            }
            tables.changes += len(tables.tokens) < len(before)
            return {one: self._taken(tables, one, used[one]) for one in owned}

    @staticmethod
    def _taken(
        tables: Tables, account: AccountName, used: frozenset[str]
    ) -> Mapping[str, AccountName]:
        taken = {}
        for fingerprint in sorted(used):
            user = tables.tokens.get(fingerprint, account)
            if user != account and tables.ownership[user].managed:
                taken[fingerprint] = user
            else:
                tables.tokens[fingerprint] = account
        return taken


class MemoryCoordination:
    """The coordination of one replica, over a database in memory."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.members: Members = MemoryMembers(database)
        self.ownership: Ownership = MemoryOwnership(database)
        self.source: Source = MemorySource(database)
        self.commands: Commands = MemoryCommands(database)
        self.tokens: Tokens = MemoryTokens(database)

    def close(self) -> None:
        """Leave the database to the others."""
