"""Shared commits: what has gathered is carried out in one transaction, with one wait for the disk.

Owns: the thread that writes, in which order work is done, who hears when, and what a fault of the disk means for what
was under way. Must not: know what the work is.

Nobody waits for company: while one transaction waits for the disk, the next one's work gathers. So under load commits
are shared by many, and a single request has the disk to itself.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Generic, TypeVar

import structlog

from reconciler.core.clock import Clock
from reconciler.core.errors import SpoolError, SpoolFull, StateError
from reconciler.events.spool.file import SpoolFile
from reconciler.state.sqlite.session import Fault, Session, SessionError

T = TypeVar("T")

MOST_SHARED = 1000
"""How much is written until a commit takes no more work. Each is short, so that nobody waits long."""
LOOK_SECONDS = 0.5
"""How often the thread looks whether another process changed the file."""
AGAIN_SECONDS = 0.5
"""How long work that can wait does so after the disk refused it."""
HANGS_SECONDS = 900.0
"""One round of work that takes longer than this will not end. A disk that is full or slow answers long before."""

log = structlog.get_logger()


class Work(ABC, Generic[T]):
    """Something to write. ``carry_out`` may be called again when the transaction failed."""

    patient: ClassVar[bool] = False
    """Whether it waits until the disk takes it, however long."""
    needs_room: ClassVar[bool] = False
    """Whether it is refused while the spool is over its limit."""
    wakes: ClassVar[bool] = False
    """Whether something may be due afterwards."""

    @property
    def size(self) -> int:
        """How much it is to write: the number of arrivals or outcomes."""
        return 1

    @abstractmethod
    def carry_out(self, session: Session) -> T:
        """Write, inside a transaction; return what is to be known about it."""

    @classmethod
    def together(cls, session: Session, works: Sequence[Work[T]]) -> Sequence[T]:
        """Carry out several of this kind, which share a transaction; return what is to be known about each."""
        return [work.carry_out(session) for work in works]


class Errand(ABC):
    """Work and who waits for it. Both answers are given once, by the committer's thread."""

    def __init__(self, work: Work[Any]) -> None:
        self.work = work

    @property
    def given_up(self) -> bool:
        """Whether nobody waits any more; then it need not be begun."""
        return False

    @abstractmethod
    def done(self, result: Any) -> None:
        """Say that the work is on the disk."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Say that it is not."""


class AwaitedErrand(Errand):
    """Work that a coroutine waits for. One that is cancelled, as by a time limit, gives it up."""

    def __init__(self, work: Work[Any]) -> None:
        super().__init__(work)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def given_up(self) -> bool:
        """Whether the coroutine was cancelled."""
        return self.future.done()

    def done(self, result: Any) -> None:
        """Keep the result until ``tell``."""
        self._result = result

    def failed(self, error: Exception) -> None:
        """Keep the error until ``tell``."""
        self._error = error

    def tell(self) -> None:
        """Wake the coroutine; on its event loop."""
        if self.future.done():
            return
        if self._error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self._error)


class BlockingErrand(Errand):
    """Work that a thread waits for."""

    def __init__(self, work: Work[Any]) -> None:
        super().__init__(work)
        self._ended = threading.Event()
        self._result: Any = None
        self._error: Exception | None = None

    def done(self, result: Any) -> None:
        """Wake the thread."""
        self._result = result
        self._ended.set()

    def failed(self, error: Exception) -> None:
        """Wake the thread."""
        self._error = error
        self._ended.set()

    def wait(self) -> Any:
        """Return the result, or raise the error."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._result


class News:
    """Tells coroutines that something may have become due."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._number = self._awaited = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def changed(self) -> None:
        """Return when there were news since this was last awaited."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._turn:
            if self._number == self._awaited:
                self._waiting.append(waiter)
            else:
                waiter[1].set()
        try:
            await waiter[1].wait()
        finally:
            with self._turn, suppress(ValueError):
                self._waiting.remove(waiter)
        with self._turn:
            self._awaited = self._number

    def announce(self) -> None:
        """Wake whoever waits. From any thread."""
        with self._turn:
            self._number += 1
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)


class Room(ABC):
    """What keeps the spool under its limit."""

    @abstractmethod
    def make(self, session: Session) -> bool:
        """Let go of what may go, as far as needed, inside a transaction; return whether there is room now."""


class Committer:
    """One thread that owns the writing connection."""

    def __init__(self, file: SpoolFile, room: Room, news: News, clock: Clock) -> None:
        self._file, self._room, self._news = file, room, news
        self._clock, self._began = clock, clock.steady()
        self._in_hand: list[Errand] = []
        self._defect = ""
        self._work = threading.Condition()
        self._waiting: deque[Errand] = deque()
        self._closed = False
        self._data_version = 0
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        """Begin to write. The file is open."""
        self._data_version = self._file.writer().data_version()
        self._began = self._clock.steady()
        self._thread.start()

    def submit(self, errand: Errand) -> None:
        """Take work for the next commit. Raises ``SpoolError`` once closed."""
        with self._work:
            if self._closed:
                raise SpoolError(self._defect or "the spool is closed")
            self._waiting.append(errand)
            self._work.notify()

    @property
    def defect(self) -> str:
        """Why the thread ended although nobody closed it; empty as long as it runs."""
        return self._defect

    def stuck(self) -> str:
        """Say why nothing is written any more, from any thread; empty while all is well or the disk refuses."""
        if self._defect or not self._thread.is_alive() or self._file.is_being_saved:
            return self._defect
        seconds = self._clock.steady() - self._began
        if seconds <= HANGS_SECONDS:
            return ""
        return f"the thread that writes the spool has hung for {seconds:.0f} seconds"

    def close(self) -> None:
        """Commit what is in hand, and end."""
        with self._work:
            self._closed = True
            self._work.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        """Write until closed. Should a defect end that, nobody goes on waiting for it."""
        try:
            self._write()
        except Exception as error:
            log.exception("spool.defect")
            self._end(f"the thread that writes the spool ended: {type(error).__name__}: {error}")

    def _write(self) -> None:
        while True:
            self._in_hand = self._gathered()
            self._began = self._clock.steady()
            if self._in_hand:
                self._commit(self._in_hand)
                self._in_hand = []
            elif self._closed:
                return
            self._look()

    def _end(self, why: str) -> None:
        """Take no more work, and refuse what waits."""
        with self._work:
            self._defect, self._closed = why, True
            left = [*self._in_hand, *self._waiting]
            self._waiting.clear()
        self._answer([(errand, None, SpoolError(why)) for errand in left])

    def _gathered(self) -> list[Errand]:
        """Return what is to be done, after waiting a little for it."""
        with self._work:
            if not self._waiting and not self._closed:
                self._work.wait(LOOK_SECONDS)
            batch: list[Errand] = []
            size = 0
            while self._waiting and size < MOST_SHARED:
                errand = self._waiting.popleft()
                if not errand.given_up:
                    batch.append(errand)
                    size += errand.work.size
            return batch

    def _commit(self, batch: Sequence[Errand]) -> None:
        """Carry out a batch in one transaction; one that fails for no fault of the disk is carried out one by one."""
        try:
            results = self._attempt(batch)
        except Exception as error:  # noqa: BLE001 - a defect in one piece of work must not cost the others, or the thread
            if _is_of_the_work(error) and len(batch) > 1:
                self._one_by_one(batch)
            else:
                self._refuse(batch, error)
        else:
            self._answer(results)
            if any(errand.work.wakes for errand in batch):
                self._news.announce()

    def _one_by_one(self, batch: Sequence[Errand]) -> None:
        for errand in batch:
            self._commit([errand])

    def _attempt(self, batch: Sequence[Errand]) -> list[tuple[Errand, Any, Exception | None]]:
        """Return what became of each piece of work, once all are on the disk."""
        session = self._file.writer()
        results: list[tuple[Errand, Any, Exception | None]] = []
        with session.transaction():
            for kind, errands in _by_kind(batch).items():
                if kind.needs_room and not self._room.make(session):
                    full = SpoolFull("the spool is over its limit, and nothing in it was delivered")
                    results.extend((errand, None, full) for errand in errands)
                    continue
                done = kind.together(session, [errand.work for errand in errands])
                results.extend(
                    (errand, one, None) for errand, one in zip(errands, done, strict=True)
                )
        self._file.bring_back()
        return results

    def _refuse(self, batch: Sequence[Errand], error: Exception) -> None:
        """Answer work that the disk did not take; what is patient is tried again."""
        if isinstance(error, SessionError) and error.fault is Fault.DAMAGED:
            with suppress(OSError, StateError):  # the next commit tries again
                self._file.put_aside(error)
        refusal = SpoolError(f"the spool cannot be written: {error}")
        refusal.__cause__ = error
        patient = []
        refused: list[tuple[Errand, Any, Exception | None]] = []
        for errand in batch:
            if errand.work.patient and not self._closed and not _is_of_the_work(error):
                patient.append(errand)
            else:
                refused.append((errand, None, refusal))
        self._answer(refused)
        with self._work:
            self._waiting.extendleft(reversed(patient))
            if len(self._waiting) == len(patient) and not self._closed:
                self._work.wait(AGAIN_SECONDS)

    def _answer(self, results: Sequence[tuple[Errand, Any, Exception | None]]) -> None:
        """Wake whoever waits; those on an event loop together."""
        awaited: dict[asyncio.AbstractEventLoop, list[AwaitedErrand]] = {}
        for errand, result, error in results:
            if error is None:
                errand.done(result)
            else:
                errand.failed(error)
            if isinstance(errand, AwaitedErrand):
                awaited.setdefault(errand.loop, []).append(errand)
        for loop, errands in awaited.items():
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(_tell, errands)

    def _look(self) -> None:
        """Notice what another process has changed."""
        try:
            self._file.look()
            version = self._file.writer().data_version()
        except (StateError, OSError):
            return  # the next work will say so
        if version != self._data_version:
            self._data_version = version
            self._news.announce()


def _by_kind(batch: Sequence[Errand]) -> dict[type[Work[Any]], list[Errand]]:
    """Return the pieces of work of each kind, in the order in which they came."""
    kinds: dict[type[Work[Any]], list[Errand]] = {}
    for errand in batch:
        kinds.setdefault(type(errand.work), []).append(errand)
    return kinds


def _tell(errands: Sequence[AwaitedErrand]) -> None:
    for errand in errands:
        errand.tell()


def _is_of_the_work(error: Exception) -> bool:
    """Return whether other work may well succeed: it is not the disk that fails."""
    if isinstance(error, SessionError):
        return error.fault is Fault.OTHER
    return not isinstance(error, StateError | OSError)
