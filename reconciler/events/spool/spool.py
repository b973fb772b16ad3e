"""The spool of a receiver, and the same file beside a running receiver.

Owns: how the parts are put together, opened and closed, and how long a request waits for its commit. Must not: hold a
statement of SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from reconciler.core.clock import Clock
from reconciler.core.errors import SpoolError, StateError
from reconciler.events.model import Arrival, Attempt, Outcome, Receipt
from reconciler.events.port import Router
from reconciler.events.spool import outbox
from reconciler.events.spool.archive import SpoolArchive
from reconciler.events.spool.committer import (
    AwaitedErrand,
    BlockingErrand,
    Committer,
    News,
    Work,
)
from reconciler.events.spool.file import PATIENCE_SECONDS, Reader, SpoolFile, uuid_of
from reconciler.events.spool.outbox import Record
from reconciler.events.spool.retention import Limit
from reconciler.events.spool.storing import Store
from reconciler.events.spool.tables import FILE, KIND
from reconciler.state.sqlite.connection import Connect, connect
from reconciler.state.sqlite.session import Session

T = TypeVar("T")


class Spool(SpoolArchive):
    """The spool of the receiver that holds it: it takes what arrives, says what is due, and answers what is asked.

    Implements ``port.Inlet``, ``port.Outbox``, ``port.Archive`` and ``port.Keeper``. ``limit`` is in bytes.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        router: Router,
        *,
        limit: int,
        connect: Connect = connect,
    ) -> None:
        self._file = SpoolFile(folder, clock, connect)
        super().__init__(self._file.path, self._file.archive_reader, clock, router)
        self._routes = router
        self._news = News()
        self._committer = Committer(self._file, Limit(limit), self._news, clock)

    def open(self) -> None:
        """Hold the folder and open its file. Raises ``Held``, ``Newer`` and ``SpoolError``."""
        self._file.open()
        self._committer.start()

    def close(self) -> None:
        """Commit what is in hand, and let go of file and folder."""
        self._committer.close()
        self._file.close()
        self._scrubber.close()

    @property
    def spool(self) -> str:
        """The UUID of the spool; another one once a damaged file was put aside."""
        return self._file.spool

    @property
    def defect(self) -> str:
        """Why nothing will ever be written again, which only a new start cures; empty while all is well."""
        return self._committer.defect

    def stuck(self) -> str:
        """Say why nothing is written any more; empty while all is well, and while the disk only refuses."""
        return self._committer.stuck()

    def notices(self) -> Sequence[str]:
        """Return sentences for the log about what happened to the file since this was last asked."""
        notices = list(self._file.notices)
        self._file.notices.clear()
        return notices

    async def store(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Return after the commit that has all of them. Raises ``SpoolFull``, or ``SpoolError`` (disk).

        A caller that gives up, as after a time limit, takes what is not begun yet out again.
        """
        work = Store(arrivals, self._routes, self._clock)
        errand = AwaitedErrand(work)
        self._committer.submit(errand)
        receipts: Sequence[Receipt] = await errand.future
        return receipts

    def due(
        self, sink: str, now: datetime, limit: int, *, ordered: bool, busy: Collection[int]
    ) -> Sequence[Attempt]:
        """Return what is due at a sink, the longest due first; none of what is ``busy``."""
        with self._file.outbox_reader.session() as session:
            return outbox.due(session, sink, now, limit, ordered=ordered, busy=busy)

    def next_due(self, sink: str, *, ordered: bool, busy: Collection[int]) -> datetime | None:
        """Return when ``due`` would return something with the same arguments, or None where nothing waits."""
        with self._file.outbox_reader.session() as session:
            return outbox.next_due(session, sink, ordered=ordered, busy=busy)

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Keep how attempts ended; returns after the commit, however long the disk refuses it."""
        errand = AwaitedErrand(Record(outcomes))
        self._committer.submit(errand)
        await errand.future

    async def changed(self) -> None:
        """Return when something may have become due since this was last awaited."""
        await self._news.changed()

    def _write(self, work: Work[T]) -> T:
        errand = BlockingErrand(work)
        self._committer.submit(errand)
        result: T = errand.wait()
        return result


class SpoolBeside(SpoolArchive):
    """The archive in a process that does not hold the spool: each write is a short transaction of its own."""

    def __init__(self, file: Path, clock: Clock, router: Router | None) -> None:
        super().__init__(file, Reader(file, connect), clock, router)
        try:
            self._session = Session.join(file, KIND, PATIENCE_SECONDS)
            self._spool = uuid_of(self._session)
        except StateError as error:
            raise SpoolError(f"the spool {file} cannot be opened: {error}") from error

    @property
    def spool(self) -> str:
        """The UUID of the spool."""
        return self._spool

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._session.close()
        self._scrubber.close()

    def _write(self, work: Work[T]) -> T:
        try:
            with self._session.transaction():
                return work.carry_out(self._session)
        except StateError as error:
            raise SpoolError(f"the spool cannot be written: {error}") from error


def open_beside(folder: Path, clock: Clock, router: Router | None = None) -> SpoolBeside:
    """Open the spool in a folder beside its receiver, which may be running. Raises ``SpoolError``, also for none.

    ``router`` says where events go today; without one a replay to a new sink takes every PCC event.
    """
    file = folder / FILE
    if not file.exists():
        raise SpoolError(f"there is no spool in {folder}")
    return SpoolBeside(file, clock, router)
