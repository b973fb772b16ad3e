"""Opens the state, which survives passes and restarts, and has one store for each noun.

Owns: which storage is behind the stores, and facts about the whole state: whether it can be written, and the time that
it trusts. Must not: know what is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import NO_TIME
from reconciler.core.model import AccountName
from reconciler.core.windows import Opening
from reconciler.state.accounts import AccountStore
from reconciler.state.changes import ChangeStore
from reconciler.state.clocks import StateClock
from reconciler.state.coordination import Tenure
from reconciler.state.fencing import FencedWriter
from reconciler.state.history import HistoryStore
from reconciler.state.memories import MOST_OPENED, Memories
from reconciler.state.names import NameStore
from reconciler.state.opened_windows import OpenedWindowStore
from reconciler.state.opening import opened, opened_to_read
from reconciler.state.pauses import PauseStore
from reconciler.state.place import Place
from reconciler.state.port import (
    Accounts,
    Changes,
    History,
    Names,
    OpenedWindows,
    Pauses,
    Protections,
    Quotas,
    Revisions,
    Storage,
)
from reconciler.state.protections import ProtectionStore, StoredProtection
from reconciler.state.quotas import QuotaStore
from reconciler.state.revisions import RevisionStore
from reconciler.state.sqlite.connection import Connect, connect
from reconciler.state.sqlite.storage import SqliteStorage
from reconciler.state.write_behind import WriteBehind


class State:
    """What the daemon remembers. Every method, also of the stores, may be called from any thread."""

    accounts: Accounts
    changes: Changes
    history: History
    names: Names
    opened_windows: OpenedWindows
    pauses: Pauses
    protections: Protections
    quotas: Quotas
    revisions: Revisions

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        *,
        sure: bool = True,
        tenure: Tenure | None = None,
        longest_call: timedelta = NO_TIME,
    ) -> None:
        self._storage, self._clock = storage, StateClock(clock, sure=sure)
        writer = None if tenure is None else FencedWriter(storage, tenure)
        self._behind = behind = WriteBehind(storage, self._clock, writer)
        memories = Memories(behind)
        self.protections = self._protections = ProtectionStore(behind, memories)
        self.accounts = self._accounts = AccountStore(
            behind, memories, self._protections, longest_call
        )
        self.pauses = self._pauses = PauseStore(behind, memories)
        self.opened_windows = self._opened = OpenedWindowStore(behind, memories)
        self.names = NameStore(behind, memories)
        self.changes = ChangeStore(behind, memories, self.names, self._protections)
        self.history = HistoryStore(behind)
        self.quotas = QuotaStore(behind, memories)
        self.revisions = RevisionStore(behind)

    @classmethod
    def open(
        cls,
        place: Place | Path,
        clock: Clock,
        connect: Connect = connect,
        *,
        sure: bool = True,
    ) -> Self:
        """Open the state at this place for writing, and create it if needed.

        If the clock is not ``sure``, old data is removed only after ``keep_time`` has made it so.

        Raises ``StateError`` if another process holds it, or a newer program wrote it.
        """
        state = cls(opened(place, clock, connect), clock, sure=sure)
        state.flush()
        return state

    @classmethod
    def read_only(cls, place: Place | Path, clock: Clock, connect: Connect = connect) -> Self:
        """Open the state at this place without creating or writing anything; a missing one is empty."""
        return cls(opened_to_read(place, clock, connect), clock)

    @classmethod
    def in_memory(cls, clock: Clock) -> Self:
        """Return a state that ends with the process."""
        return cls(SqliteStorage.in_memory(clock), clock)

    @property
    def writable(self) -> bool:
        """Return whether writes succeed. A state opened for reading answers like its writer."""
        return self._behind.writable

    def is_writable(self) -> bool:
        """Return whether writes succeed, for callers that ask again and again."""
        return self._behind.writable

    @property
    def waits(self) -> bool:
        """Return whether something waits to be written, as the calls of a pass may."""
        return bool(self._behind.waiting)

    @property
    def trouble(self) -> str:
        """Return the fault of the state in one sentence, or an empty string."""
        return self._behind.trouble

    @property
    def set_aside(self) -> Path | None:
        """Return the new name of a damaged file that was replaced by a fresh one."""
        return self._storage.medium.set_aside

    def notices(self) -> Sequence[str]:
        """Return what happened to the file since the last call, in one sentence each, for the log."""
        notices, found = self._storage.medium.notices, []
        while notices:
            found.append(notices.popleft())
        return found

    def forget(self, accounts: Collection[AccountName]) -> None:
        """Forget accounts that another replica owns now, and what waits of them to be written."""
        self._behind.forget(accounts)

    def keep_only(self, accounts: Collection[AccountName]) -> None:
        """Forget what was read of other accounts, as for a page: another replica may have changed it since."""
        self._behind.keep_only(accounts)

    def waits_for(self, account: AccountName) -> bool:
        """Return whether something of an account waits to be written."""
        return self._behind.waiting.concerns(account)

    def stored_pauses(self) -> Mapping[AccountName, PauseOverride]:
        """Return the pauses that are stored now, for ``take_pauses``. Raises ``StateError``."""
        return self._storage.pauses()

    def take_pauses(self, pauses: Mapping[AccountName, PauseOverride]) -> None:
        """Let these pauses be in force here: another replica may have set them."""
        self._pauses.replace(pauses)

    def stored_protection(self) -> StoredProtection:
        """Return the protected devices that are stored now, for ``take_protection``. Raises ``StateError``."""
        return self._protections.stored()

    def take_protection(self, stored: StoredProtection) -> None:
        """Let these devices be protected here: another replica may have read a newer revision."""
        self._protections.replace(stored)

    def stored_openings(self) -> Sequence[Opening]:
        """Return the windows that are stored as open, for ``take_openings``. Raises ``StateError``."""
        return self._storage.opened(None, MOST_OPENED)[::-1]

    def take_openings(self, openings: Iterable[Opening]) -> None:
        """Let these openings of windows be in force here: another replica may have set them."""
        self._opened.replace(openings)

    def keep_time(self, two: TwoClocks) -> None:
        """Use LG's clock beside ours: both decide when a day is over and when a pause ends."""
        self._clock.two = two

    def reset(self, step: timedelta, now: datetime) -> None:
        """Apply a step of the wall clock, to ``now``: waits, pauses and openings of this process keep their length."""
        with self._behind.remembered.lock:
            self._accounts.reset(step, now)
            self._pauses.reset(step)
            self._opened.reset(step)

    def look(self) -> None:
        """Check that the open file is still the one at its path, and write what waits."""
        self._behind.look()

    def flush(self) -> None:
        """Write what waits."""
        self._behind.refuse_if_frozen()
        self._behind.flush()

    def close(self) -> None:
        """Write what waits, if possible, and release the state."""
        self._behind.close()
