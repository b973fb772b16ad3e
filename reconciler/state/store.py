"""What outlives a pass and a restart: memory in and out, kept in one SQLite file.

Owns: what is kept and when, and the promise that no pass fails because of a disk. What is remembered is held in memory
and written by differences; while the disk takes no writes they wait in order, and the next write brings them all.
Must not: know LG, texts or metrics, hold a secret (a credential is known by a mark that says nothing about it), or
judge. The rules of remembering are in ``memory``, the tables in ``tables``.

Losing the file forgets the day's count, the last trusted list and what is owned. Nothing else becomes more permissive.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Self

from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.errors import StateError
from reconciler.core.guards import LIMIT_WINDOW, PauseOverride
from reconciler.core.memory import KEPT, AccountMemory, Members, Past, Shelf, intents
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Desired,
    DeviceId,
    Memory,
    Observed,
    Outcome,
    PassId,
    Pause,
    Retry,
    Revision,
)
from reconciler.state.sqlite import tables
from reconciler.state.sqlite.database import Connect, Database, Row, Statement, connect
from reconciler.state.waiting import Each, Group, Mark, Moved, Waiting, everything

HOUSEKEEPING = timedelta(days=1)
QUOTA_WAITS = 1.0
"""So many seconds the calls of a pass may wait to be written."""
TRIED_AGAIN = 1.0
"""How many seconds after a write that failed it is tried again where nothing else is to be written."""
TOGETHER = 1000
"""So many things that wait are written in one transaction, each of them all or nothing as it would be alone."""
HISTORY = 1000
"""How many past changes are returned where nobody says."""
EVERYWHERE = AccountName("")
"""Stands for all accounts where a pause is kept; no account can have this name."""


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


class State:
    """What the daemon remembers. Every method may be called from any thread.

    Only ``open`` and the methods that read for people (``history``, ``came_and_went``, ``live_accounts``) raise
    ``StateError``; and every method that writes does where the state was opened for reading.
    What cannot be written waits: ``writable`` is false then, ``trouble`` says why in one sentence, and every later
    write tries again. ``recall`` and ``brake`` wait for the disk only at the first sight of an account.
    """

    def __init__(self, database: Database, clock: Clock, *, sure: bool = True) -> None:
        self._database, self._clock = database, clock
        self._generation, self._lost = database.generation, _lost(database)
        self._ram, self._disk = threading.RLock(), threading.Lock()
        self._accounts: dict[AccountName, AccountMemory] = {}
        self._credentials: dict[AccountName, str | None] = {}
        self._pauses: dict[AccountName, PauseOverride] | None = None
        self._waiting = Waiting()
        self._unread = ""
        self._flushed_at = -QUOTA_WAITS
        self._kept_house: datetime | None = None
        self._two: TwoClocks | None = None
        self._sure = sure
        self._paused_here: set[AccountName] = set()

    def keep_time(self, two: TwoClocks) -> None:
        """Take what tells how far the wall clock is to be believed: by it the day's count and pauses end."""
        self._two = two

    def reset(self, step: timedelta, now: datetime) -> None:
        """Take a step of the wall clock, to ``now``: waits, and pauses set by this process, last as long as before."""
        with self._ram:
            for known in self._accounts.values():
                known.reset(step, now)
            if self._database.frozen:
                return
            for name in self._paused_here & self._known_pauses().keys():
                brake = self._known_pauses()[name]
                if brake.until is not None:
                    moved = self._known_pauses()[name] = replace(brake, until=brake.until + step)
                    self._save_pause(name, moved)

    def _counted_to(self, now: datetime) -> datetime:
        return now if self._two is None else self._two.restrained(now, LIMIT_WINDOW)

    @classmethod
    def open(cls, folder: Path, clock: Clock, connect: Connect = connect, *, sure: bool = True) -> Self:
        """Take the state in this folder, made if need be.

        Unless the clock is ``sure``, nothing is removed as too old before ``keep_time`` has told that it is.

        Raises ``StateError`` where another process holds it, or where a newer program wrote it.
        """
        state = cls(Database.open(folder, tables.MIGRATIONS, clock, connect), clock, sure=sure)
        state._flush()
        return state

    @classmethod
    def read_only(cls, folder: Path, clock: Clock, connect: Connect = connect) -> Self:
        """Look at the state in this folder without creating or writing anything; an absent one is an empty memory."""
        return cls(Database.read_only(folder, tables.MIGRATIONS, clock, connect), clock)

    @classmethod
    def in_memory(cls, clock: Clock) -> Self:
        """Return a state that ends with the process."""
        return cls(Database.in_memory(tables.MIGRATIONS, clock), clock)

    @property
    def writable(self) -> bool:
        """Say whether what we do is remembered. A state opened for reading says what its writer would."""
        return self._database.frozen or not self.trouble

    @property
    def waits(self) -> bool:
        """Say whether something waits to be written, as the calls of a pass may."""
        with self._ram:
            return bool(self._waiting.groups)

    @property
    def trouble(self) -> str:
        """Return in one sentence why the state is not as it should be."""
        return self._database.trouble or self._unread

    @property
    def set_aside(self) -> Path | None:
        """Return the new name of a damaged file in whose place a fresh one was begun."""
        return self._database.set_aside

    def notices(self) -> Sequence[str]:
        """Return what happened to the file since this was last asked, in one sentence each, for the log."""
        told = []
        while self._database.notices:
            told.append(self._database.notices.popleft())
        return told

    def look(self) -> None:
        """Find out whether the open file is still the one at its path, and write what waits.

        Trouble that is news stays until the next look, so that others see it too; what was trouble before is tried
        again, but not as often as somebody looks.
        """
        if self._database.frozen or self._database.look():
            return
        if self.waits if not self.trouble else self._clock.steady() - self._flushed_at >= TRIED_AGAIN:
            self._flush()

    def recall(self, account: AccountName, now: datetime) -> Memory:
        """Return what a pass of this account may know."""
        with self._known(account, now) as known:
            return known.recall(self._counted_to(now), self._credentials.get(account), writable=self.writable)

    def glance(self, account: AccountName, now: datetime) -> Memory:
        """Return what ``recall`` would, and hold nothing more in memory for it: the account may be anybody's idea."""
        with self._ram:
            if account in self._accounts:
                return self.recall(account, now)
        with self._disk:
            try:
                known = self._loaded(account, now)
            except StateError:
                known = AccountMemory(account)
        return known.recall(self._counted_to(now), self._credentials.get(account), writable=self.writable)

    def knows(self, account: AccountName) -> bool:
        """Say whether an account was read from disk already, so that ``recall`` does not wait for it."""
        with self._ram:
            return account in self._accounts

    def agrees(
        self, account: AccountName, observed: Observed, credential: str | None, live: frozenset[DeviceId]
    ) -> bool:
        """Say whether ``trust`` would learn nothing from a list: nearly always, and then no disk need be waited for."""
        with self._ram:
            known = self._accounts.get(account)
            return known is not None and known.agrees(observed, credential, live)

    def credential(self, account: AccountName, fingerprint: str | None) -> bool:
        """Tell which credential an account uses now, by a mark of it that is not secret; say whether that is news."""
        with self._ram:
            news = self._credentials.get(account) != fingerprint
            self._credentials[account] = fingerprint
            return news

    def desire(self, desired: Desired, revision: Revision, now: datetime) -> None:
        """Take a text that came into force for an account: when it changed, and at start."""
        with self._changing(desired.account, now) as known:
            new = known.texts_since is None
            moves = known.desire(desired.devices, now)
            if new:
                self._save_account(known)
            if not moves.entering and not moves.leaving:
                return
            key, at, name = tables.revision_key(revision), tables.stamp(now), known.name
            statements = (
                tables.save_revision(revision),
                Statement(tables.ENTER, Each((name, key, at), moves.entering)),
                Statement(tables.LEAVE, Each((key, at, name), moves.leaving)),
            )
            moved = Moved(name, Mark(revision, now), moves.entering, moves.leaving)
            self._waiting.add(Group(statements, moved=(moved,), account=name))

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
        with self._changing(account, now) as known:
            before = known.trusted, known.suspect_readings, known.credential
            belief = known.believe(observed, credential, now, live)
            changed = before != (known.trusted, known.suspect_readings, known.credential)
            pasts = belief.open + belief.closed
            statements = [
                *(Statement(sql, ((account,),)) for sql in tables.EXPECT_NOTHING if belief.first),
                *_each(account, belief.appeared, tables.APPEAR),
                *_each(account, belief.vanished, *tables.VANISH),
                *_each(account, belief.left_inventory, tables.DISOWN),
                *_each(account, belief.moot_retries, tables.DROP_RETRY),
                *self._save_changes(known, pasts),
            ]
            if statements and changed:  # together: that there is an expected list, and what is on it
                self._waiting.drop(("account", account))
                statements.append(Statement(tables.SAVE_ACCOUNT, (tables.account_row(known),)))
            elif changed:
                self._save_account(known)
            if statements:
                group = Group(tuple(statements), pasts=pasts, account=account, first=belief.first)
                self._waiting.add(group)
            return belief.confirmed

    def doubt(self, account: AccountName, now: datetime) -> None:
        """Count a list that was not believed."""
        with self._changing(account, now) as known:
            known.doubt(self._credentials.get(account))
            self._save_account(known)

    def person_agrees(self, account: AccountName) -> None:
        """Take a person's ``reconcile``: nothing waits any more, and the credential in use is the right one."""
        with self._changing(account) as known:
            before = known.credential
            waited = known.vouch(self._credentials.get(account))
            if known.credential != before:
                self._save_account(known)
            self._drop_retries(account, waited)

    def intend(  # noqa: PLR0917 - called through a worker thread, which takes no keywords
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
        with self._changing(account, now) as known:
            begun = intents(changes, pass_id, approved, revision, now)
            pasts = known.intend(begun) + begun
            statements = (tables.save_revision(revision), *self._save_changes(known, pasts))
            lasting = any(change.action is Action.UNSUBSCRIBE for change in changes)
            self._waiting.add(Group(statements, lasting=lasting, pasts=pasts, account=account))

    def withdraw(self, account: AccountName, pass_id: PassId, devices: Collection[DeviceId]) -> None:
        """Take back intents of this pass whose calls were never made, so that history does not show them as failed."""
        with self._changing(account) as known:
            withdrawn = known.withdraw(pass_id, devices)
            if withdrawn:
                drop = Statement(tables.DROP_CHANGE, [tables.past_key(past) for past in withdrawn])
                self._waiting.add(Group((drop,), withdrawn=withdrawn, account=account))

    def record(
        self,
        account: AccountName,
        pass_id: PassId,
        outcomes: Sequence[Outcome],
        retries: Mapping[DeviceId, Retry | None],
        now: datetime,
    ) -> None:
        """Take what came of changes, and which devices wait; ``None`` ends a device's waiting."""
        with self._changing(account, now) as known:
            pasts = known.record(pass_id, outcomes)
            ended = known.wait(retries)
            waiting = [(account, device, retry) for device, retry in retries.items() if retry is not None]
            texts = dict.fromkeys(one.revision for one in outcomes if one.revision is not None)
            statements = [tables.save_revision(one) for one in texts]
            statements += [*self._save_changes(known, pasts), *_each(account, ended, tables.DROP_RETRY)]
            if waiting:
                statements.append(Statement(tables.SAVE_RETRY, [tables.retry_row(*one) for one in waiting]))
            if known.trusted:
                confirmed = {one.change.device: one.change.action for one in outcomes if one.result.confirmed}
                there = {device for device, action in confirmed.items() if action is Action.SUBSCRIBE}
                statements += _each(account, there, tables.APPEAR)
                statements += _each(account, confirmed.keys() - there, *tables.VANISH)
            gone = any(one.change.action is Action.UNSUBSCRIBE and one.result.confirmed for one in outcomes)
            if statements:
                self._waiting.add(Group(tuple(statements), lasting=gone, pasts=pasts, account=account))

    def forget_retries(self, account: AccountName, devices: Collection[DeviceId]) -> None:
        """Let devices wait no longer: their entry changed."""
        with self._changing(account) as known:
            self._drop_retries(account, known.drop_retries(devices))

    def pause(self, account: AccountName | None, brake: PauseOverride | None, now: datetime) -> None:
        """Set a brake by command, or take it off. No account means all: taking it off then takes off every one.

        Brakes that have ended by ``now`` are forgotten with it.
        """
        self._refuse_if_frozen()
        name = EVERYWHERE if account is None else account
        with self._ram:
            pauses = self._known_pauses()
            over = {one for one in pauses if not self._is_on(one, now)}
            if brake is None:
                over |= set(pauses) if account is None else {name}
            else:
                pauses[name] = brake
                self._save_pause(name, brake)
                self._paused_here.add(name)
                over.discard(name)
            for one in over & pauses.keys():
                del pauses[one]
                self._save(("pause", one), "DELETE FROM pause WHERE account = ?", (one,), lasting=True)
        self._flush()

    def brake(self, account: AccountName, now: datetime) -> PauseOverride:
        """Return the stricter of the account's brake and the general one, as far as they have not ended."""
        with self._ram:
            pauses = self._known_pauses()
            on = [
                brake
                for name in (account, EVERYWHERE)
                if (brake := pauses.get(name)) is not None and self._is_on(name, now)
            ]
        strictest = reduce(Pause.stricter, (brake.pause for brake in on), Pause.NONE)
        alike = (brake for brake in on if brake.pause is strictest)
        return max(alike, key=lambda brake: (brake.until is None, brake.until or now), default=PauseOverride())

    def brakes(self, now: datetime) -> Mapping[AccountName | None, PauseOverride]:
        """Return every brake that was set by command and has not ended; no account stands for all of them."""
        with self._ram:
            return {
                None if name == EVERYWHERE else name: brake
                for name, brake in self._known_pauses().items()
                if self._is_on(name, now)
            }

    def _is_on(self, name: AccountName, now: datetime) -> bool:
        """Say whether a pause has not ended. One that another process set ends when LG's clock says so, too."""
        until = self._known_pauses()[name].until
        if until is None or until > now:
            return True
        return self._two is not None and name not in self._paused_here and until > self._two.believed(now, LIMIT_WINDOW)

    def keep_quota(self, account: AccountName, calls: Sequence[float], limit: int | None) -> bool:
        """Keep when an account's last calls were made, in seconds, and the limit that was learned.

        It waits in memory for whatever is written next, and with it for the disk: with thousands of accounts in turn, a
        write for the one list of each pass costs more than the pass. Says whether it waits for long enough that
        ``write`` is due: an hour's count may lack a second of lists after a crash, a limit that was learned never.
        """
        self._refuse_if_frozen()
        with self._known(account) as known:
            if (tuple(calls), limit) == (known.calls, known.calls_per_hour):
                return False
            learned = limit != known.calls_per_hour
            known.calls, known.calls_per_hour = tuple(calls), limit
            self._save(("quota", account), tables.SAVE_QUOTA, tables.quota_row(account, calls, limit))
        return learned or self._clock.steady() - self._flushed_at >= QUOTA_WAITS

    def write(self) -> None:
        """Write what waits."""
        self._refuse_if_frozen()
        self._flush()

    def quota(self, account: AccountName) -> tuple[tuple[float, ...], int | None]:
        """Return what ``keep_quota`` kept."""
        with self._known(account) as known:
            return known.calls, known.calls_per_hour

    def sent_after(self, account: AccountName, moment: datetime) -> tuple[datetime, ...]:
        """Return when the changes were sent that were intended after a moment; none where the disk cannot be read.

        A pass that was killed did not come to ``keep_quota``; what it intended was written down before its calls.
        """
        since = tables.stamp(moment)
        with self._disk:
            try:
                rows = self._database.read(tables.SENT, (account, since, since))
            except StateError:
                return ()
        return tuple(tables.moment(at) for (at,) in rows)

    def keep_texts(self, texts: Iterable[KeptText], gone: Iterable[str] = ()) -> None:
        """Keep accepted texts with all the files they were made of, each in place of the one before; others are gone.

        All of it is written in one go. Of hundreds of texts an edit changes one: of those that are as they were no more
        than the revision is written.
        """
        self._refuse_if_frozen()
        drop = ("DELETE FROM text WHERE document = ?", "DELETE FROM text_file WHERE document = ?")
        written = {document: tuple(Statement(sql, ((document,),)) for sql in drop) for document in gone}
        others = bool(written)
        for text in texts:
            files = self._exchanged(text)
            others = others or bool(files)
            row = (text.document, tables.revision_key(text.revision))
            revised = (
                tables.save_revision(text.revision),
                Statement("INSERT OR REPLACE INTO text VALUES (?, ?)", (row,)),
            )
            written[text.document] = (*revised, *files)
        with self._ram:
            for document, statements in written.items():
                self._waiting.add(Group(statements, lasting=True), ("text", document))
            if others:
                self._waiting.drop("unused")
                self._waiting.add(Group((Statement(tables.DROP_UNUSED),)), "unused")
        self._flush()

    def _exchanged(self, text: KeptText) -> tuple[Statement, ...]:
        """Return what puts a text's files in the place of those before; nothing where they are the same."""
        named = {path: (sha256(content).hexdigest(), content) for path, content in text.files.items()}
        if self._text_is_there(text.document, {path: name for path, (name, _) in named.items()}):
            return ()
        there = self._contents_there([name for name, _ in named.values()])
        contents = {name: zlib.compress(content, 1) for name, content in named.values() if name not in there}
        rows = [(text.document, path, name) for path, (name, _) in named.items()]
        return (
            Statement("DELETE FROM text_file WHERE document = ?", ((text.document,),)),
            Statement("INSERT INTO text_file VALUES (?, ?, ?)", rows),
            Statement("INSERT OR IGNORE INTO content VALUES (?, ?)", list(contents.items())),
        )

    def kept_texts(self) -> Sequence[KeptText]:
        """Return the accepted texts, by document, which costs time. What cannot be had whole is not had at all."""
        try:
            texts = self._database.read(
                "SELECT document, revision.* FROM text JOIN revision ON revision.key = text.revision ORDER BY document"
            )
            files = self._database.read("SELECT document, path, sha256 FROM text_file ORDER BY document, path")
            contents = {
                name: tables.read_content(name, compressed)
                for name, compressed in self._database.read("SELECT sha256, compressed FROM content")
            }
        except StateError as error:
            self._unread = str(error)
            return []
        found: dict[str, dict[str, bytes | None]] = {}
        for document, path, name in files:
            found.setdefault(document, {})[path] = contents.get(name)
        kept = []
        for document, *revision in texts:
            parts = found.get(document, {})
            whole = {path: content for path, content in parts.items() if content is not None}
            if len(whole) == len(parts) and document in whole:
                kept.append(KeptText(document, tables.read_revision(tuple(revision)), whole))
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
        """Forget an account that is done with; its past changes, and with them the day's count, stay until old."""
        with self._changing(account) as known:
            fresh = known.retired()
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
            self._waiting.add(Group(tuple(Statement(sql, ((account,),)) for sql in forget)))
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
        from_, to = (
            (tables.EARLIEST if since is None else tables.stamp(since)),
            (tables.LATEST if until is None else tables.stamp(until)),
        )
        sql = {
            (False, False): tables.PAST_OF_ALL,
            (True, False): tables.PAST_OF_ACCOUNT,
            (False, True): tables.PAST_OF_DEVICE,
            (True, True): tables.PAST_OF_BOTH,
        }[account is not None, device is not None]
        with self._disk:
            with self._ram:
                groups = tuple(self._waiting.groups.values())
            most = limit + sum(len(group.pasts) + len(group.withdrawn) for group in groups)
            which = tuple(one for one in (account, device) if one is not None)
            found = {
                tables.past_key(past): past
                for past in map(tables.read_past, self._database.read(sql, (*which, from_, to, most)))
            }
        for group in groups:
            found.update((tables.past_key(past), past) for past in group.pasts)
            for past in group.withdrawn:
                found.pop(tables.past_key(past), None)
        wanted = (
            past
            for past in found.values()
            if account in {None, past.account} and device in {None, past.device} and from_ <= tables.stamp(past.at) < to
        )
        return sorted(wanted, key=tables.newest_first)[:limit]

    def devices_like(self, prefix: str, limit: int) -> frozenset[tuple[AccountName, DeviceId]]:
        """Return devices, each with an account, that are or were known under an id that begins so; at most ``limit``.

        Beside what is live and owned these are the devices of all past changes that are kept.
        """
        end = prefix + "\U0010ffff"
        with self._disk:
            with self._ram:
                groups = tuple(self._waiting.groups.values())
            rows = self._database.read(tables.DEVICES_LIKE, (prefix, end, prefix, end, limit))
        found = {(AccountName(account), DeviceId(device)) for account, device in rows}
        for group in groups:
            found |= {(past.account, past.device) for past in group.pasts if past.device.startswith(prefix)}
            for moved in group.moved:
                found |= {(moved.account, one) for one in moved.entering if one.startswith(prefix)}
        return frozenset(sorted(found)[:limit])

    def came_and_went(self, account: AccountName, device: DeviceId) -> Stay:
        """Return which texts brought a device in and took it out."""
        with self._disk:
            with self._ram:
                moves = [moved for group in self._waiting.groups.values() for moved in group.moved]
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
    def _known(self, account: AccountName, now: datetime | None = None) -> Iterator[AccountMemory]:
        """Have an account's memory to oneself, read from disk at first sight."""
        while True:
            with self._ram:
                known = self._accounts.get(account)
                if known is not None:
                    yield known
                    return
            self._read(account, now or self._clock.now())

    @contextmanager
    def _changing(self, account: AccountName, now: datetime | None = None) -> Iterator[AccountMemory]:
        """Have an account's memory for change, and write afterwards what waits."""
        self._refuse_if_frozen()
        with self._known(account, now) as known:
            yield known
        self._flush()

    def _refuse_if_frozen(self) -> None:
        if self._database.frozen:
            raise StateError("the state is open for reading only")

    def _flush(self) -> None:
        """Write what waits, oldest first. What cannot be written goes on waiting."""
        with self._disk:
            self._flushed_at = self._clock.steady()
            self._keep_house()
            try:
                self._write_all()
            except StateError:
                self._fold()
                return
            with self._ram:
                if self._waiting.groups or not (self._unread or self._generation != self._database.generation):
                    return
                # the file could not be read before, or is another one now: what was remembered without it is in it now
                self._generation, self._unread = self._database.generation, ""
                self._accounts.clear()
                self._pauses = None

    def _write_all(self) -> None:
        """Write what waits, and all that is remembered where the file that held it was lost, or may be an older one."""
        while self._next_written():
            pass
        if self.trouble:
            self._database.write(())
        if self._lost == _lost(self._database):
            return
        lost = _lost(self._database)
        with self._ram:
            for known in self._accounts.values():
                self._waiting.add(everything(known), ("folded", known.name))
            for name, brake in (self._pauses or {}).items():
                self._save_pause(name, brake)
        while self._next_written():
            pass
        self._lost = lost

    def _fold(self) -> None:
        """Keep what waits from growing for as long as nothing can be written."""
        with self._ram:
            lost = self._waiting.fold(self._accounts, self._clock.now())
        if lost:
            self._database.notices.append(f"history lacks {lost} changes: the state could not be written for too long")

    def _next_written(self) -> bool:
        with self._ram:
            groups, waiting = dict(islice(self._waiting.groups.items(), TOGETHER)), len(self._waiting.groups)
        if not groups:
            return False
        statements = (statement for group in groups.values() for statement in group.statements)
        lasting = any(group.lasting for group in groups.values())
        self._database.write(statements, lasting=lasting, more=waiting > len(groups))
        with self._ram:
            for key, group in groups.items():
                if self._waiting.groups.get(key) is group:
                    del self._waiting.groups[key]
        return True

    def _keep_house(self) -> None:
        """Remove what is too old to be kept: at start, or as soon as the time is sure, and once a day."""
        now = self._clock.now()
        if not (self._sure if self._two is None else self._two.is_sure):
            return
        if self._kept_house is not None and now - self._kept_house < HOUSEKEEPING:
            return
        self._kept_house = now
        before = ((tables.stamp(self._counted_to(now) - KEPT),),)
        old = (
            Statement("DELETE FROM change WHERE at < ?", before),
            Statement("DELETE FROM device WHERE NOT owned AND NOT live AND went_at < ?", before),
        )
        with self._ram:
            self._waiting.add(Group(old), ("old",))

    def _read(self, account: AccountName, now: datetime) -> None:
        """Bring an account's memory in from disk, or begin with an empty one and ``trouble``."""
        with self._disk:
            try:
                known = self._loaded(account, now)
            except StateError as error:
                self._unread, known = str(error), AccountMemory(account)
        with self._ram:
            self._accounts.setdefault(account, known)

    def _loaded(self, account: AccountName, now: datetime) -> AccountMemory:
        known, read = AccountMemory(account), self._database.read
        for since, trusted, suspect, credential in read(
            "SELECT texts_since, trusted, suspect_readings, credential FROM account WHERE name = ?", (account,)
        ):
            known.texts_since, known.trusted = tables.moment_or_none(since), bool(trusted)
            known.suspect_readings, known.credential = suspect, credential
        both: frozenset[DeviceId] = self._database.read_set(tables.OWNED_AND_LIVE, (account,))
        others = read(tables.NOT_OWNED_AND_LIVE, (account,))
        owned = frozenset(DeviceId(device) for device, owned, _, _ in others if owned)
        live = frozenset(DeviceId(device) for device, _, live, _ in others if live)
        known.inventory, known.expected = (
            Members(both | owned if owned else both),
            Members(both | live if live else both),
        )
        known.left, known.disowned = (
            Shelf(
                {DeviceId(one): tables.moment(went) for one, is_, _, went in others if went is not None and is_ == owns}
            )
            for owns in (True, False)
        )
        retries = read(
            "SELECT device, action, reason, attempts, until, code, words FROM retry WHERE account = ?", (account,)
        )
        known.retries = Shelf({DeviceId(device): tables.read_retry(tuple(row)) for device, *row in retries})
        # the day before the newest, where that is earlier: by a clock that is ahead all of it may look older than it is
        ((newest,),) = read("SELECT max(at) FROM change WHERE account = ?", (account,))
        since = min(tables.stamp(now), tables.stamp(now) if newest is None else newest)
        since -= tables.stamp(now) - tables.stamp(now - LIMIT_WINDOW)
        known.count_from(map(tables.read_past, read(tables.CONFIRMED, (account, since))))
        known.not_later_than(now)
        known.open = {past.device: past for past in map(tables.read_past, read(tables.OPEN, (account,)))}
        for calls, limit in read("SELECT calls, calls_per_hour FROM quota WHERE account = ?", (account,)):
            known.calls, known.calls_per_hour = tuple(one for (one,) in struct.iter_unpack("<d", calls)), limit
        return known

    def _known_pauses(self) -> dict[AccountName, PauseOverride]:
        if self._pauses is None:
            try:
                rows = self._database.read("SELECT account, pause, until, reason FROM pause")
            except StateError as error:
                self._unread, rows = str(error), []
            self._pauses = {
                AccountName(name): PauseOverride(Pause(pause), tables.moment_or_none(until), reason)
                for name, pause, until, reason in rows
            }
        return self._pauses

    def _save(self, key: Hashable, sql: str, row: Row, *, lasting: bool = False) -> None:
        """Let a row wait that says all there is to say under its key."""
        self._waiting.add(Group((Statement(sql, (row,)),), lasting=lasting), key)

    def _save_pause(self, name: AccountName, brake: PauseOverride) -> None:
        row = (name, brake.pause.value, tables.stamp_or_none(brake.until), tables.fit(brake.reason))
        self._save(("pause", name), "INSERT OR REPLACE INTO pause VALUES (?, ?, ?, ?)", row, lasting=True)

    def _save_account(self, known: AccountMemory) -> None:
        self._save(("account", known.name), tables.SAVE_ACCOUNT, tables.account_row(known))

    def _save_changes(self, known: AccountMemory, pasts: Iterable[Past]) -> list[Statement]:
        rows = [tables.past_row(past, is_open=known.open.get(past.device) is past) for past in pasts]
        know = Statement(tables.KNOW_ACCOUNT, ((known.name,),))
        return [know, Statement(tables.SAVE_CHANGE, rows)] if rows else []

    def _drop_retries(self, account: AccountName, devices: frozenset[DeviceId]) -> None:
        if devices:
            drop = tuple(_each(account, devices, tables.DROP_RETRY))
            self._waiting.add(Group(drop, account=account))

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

    def _text_is_there(self, document: str, names: Mapping[str, str]) -> bool:
        """Say whether a text is kept with these very files; never while something waits that might change that."""
        with self._ram:
            if self._waiting.groups:
                return False
        try:
            kept = self._database.read(tables.FILES_OF_TEXT, (document,))
        except StateError:
            return False
        return dict(kept) == names

    def _mark(self, key: int | None, at: int | None) -> Mark | None:
        if key is None or at is None:
            return None
        rows = self._database.read("SELECT * FROM revision WHERE key = ?", (key,))
        return Mark(tables.read_revision(rows[0]), tables.moment(at)) if rows else None


def _lost(database: Database) -> tuple[int, int]:
    """Return a mark that changes when the file may hold less than what is in memory."""
    return database.losses, database.doubts


def _each(account: AccountName, devices: Collection[DeviceId], *statements: str) -> list[Statement]:
    return [Statement(sql, Each((account,), devices)) for sql in statements] if devices else []
