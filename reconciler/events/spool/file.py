"""The open file of the spool: who holds it, its connections, and what becomes of a damaged one.

Owns: the folder's lock, the writing connection, the reading ones, and the UUID. Must not: know what is stored.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from reconciler.core.clock import Clock
from reconciler.core.errors import SpoolError, StateError
from reconciler.events.spool.place import Place
from reconciler.events.spool.salvage import salvage
from reconciler.events.spool.tables import FILE, KIND, LOCK
from reconciler.state.sqlite.connection import Connect, connect
from reconciler.state.sqlite.folder import StateFolder
from reconciler.state.sqlite.session import Fault, Session, SessionError, sync_folder

PATIENCE_SECONDS = 2.0
"""How long a transaction waits for one of another process; those are short."""
MOST_NOTICES = 20
"""How many sentences for the log are kept until somebody asks for them."""


class Reader:
    """One reading connection, opened when it is first needed, for one caller at a time.

    ``damage`` is what it met in the file, if anything.
    """

    def __init__(self, file: Path, connect: Connect) -> None:
        self._file, self._connect = file, connect
        self._turn = threading.Lock()
        self._session: Session | None = None
        self.damage: SessionError | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend the connection; all queries inside see the same commits. Raises ``SpoolError``."""
        with self._turn:
            try:
                if self._session is None:
                    self._session = Session.join(self._file, KIND, PATIENCE_SECONDS, self._connect)
                with self._session.snapshot():
                    yield self._session
            except (StateError, OSError) as error:
                if isinstance(error, SessionError) and error.fault is Fault.DAMAGED:
                    self.damage = error
                raise SpoolError(f"the spool cannot be read: {error}") from error

    def close(self) -> None:
        """Let go of the file; the next use opens it anew."""
        with self._turn:
            if self._session is not None:
                self._session.close()
            self._session = self.damage = None


class SpoolFile:
    """The file in one folder, held for writing by this process.

    ``spool`` is its UUID. ``notices`` are sentences for the log about what happened to the file. ``is_being_saved``:
    its events are being copied to a fresh file, which may take minutes and must not be cut off.
    """

    def __init__(self, folder: Path, clock: Clock, connect: Connect = connect) -> None:
        self.notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self.spool = ""
        self.is_being_saved = False
        self._folder = StateFolder(folder, clock, file=FILE, lock=LOCK, holds="spool")
        self._connect = connect
        self._writer: Session | None = None
        self._place = Place(self.path)
        self.outbox_reader = Reader(self._folder.file, connect)
        self.archive_reader = Reader(self._folder.file, connect)

    @property
    def path(self) -> Path:
        """The file's path."""
        return self._folder.file

    def open(self) -> None:
        """Hold the folder and open its file. A damaged file is put aside, and a fresh one begun.

        Raises ``Held``, ``Newer`` and ``SpoolError``.
        """
        try:
            self._folder.hold()
            self.writer()
        except OSError as error:
            self._folder.release()
            raise SpoolError(
                f"the spool {self.path} cannot be opened: {error.strerror or error}"
            ) from error
        except SessionError as error:
            self._folder.release()
            raise SpoolError(f"the spool {self.path} cannot be opened: {error}") from error
        except StateError:
            self._folder.release()
            raise

    def writer(self) -> Session:
        """Return the writing connection, opened if needed. Raises ``SessionError``, ``Newer`` and ``OSError``."""
        if self._writer is None:
            try:
                self._writer = self._made()
            except SessionError as error:
                if error.fault is not Fault.DAMAGED:
                    raise
                self._writer = self._begun_afresh(error)
        return self._writer

    def put_aside(self, error: SessionError) -> None:
        """Rename a damaged file, and go on in a fresh one with what can be read of it.

        Raises ``SessionError`` and ``OSError``.
        """
        self._let_go()
        self._writer = self._begun_afresh(error)

    def look(self) -> None:
        """Go on in another file where this one was taken away, or a reader met damage in it.

        Raises ``SessionError`` and ``OSError``.
        """
        self.bring_back()
        for reader in (self.outbox_reader, self.archive_reader):
            if reader.damage is not None:
                self.put_aside(reader.damage)

    def bring_back(self) -> bool:
        """See to it that what is committed is at the path, where it is looked for; return whether it was not.

        What the open file holds is written to a fresh file there. Raises ``SessionError`` and ``OSError``.
        """
        if self._writer is None or not self._place.lost():
            return False
        self._folder.hold()
        fresh = self._folder.fresh()
        with self._saving():
            self._writer.copy_to(fresh)
        found = self._folder.put_aside("replaced")
        fresh.replace(self.path)
        sync_folder(self.path.parent)
        self._let_go()
        self._writer = self._made()
        kept = "" if found is None else f"; what was found there is kept as {found}"
        self.notices.append(
            f"the spool {self.path} was deleted, moved or replaced while it was open: "
            f"all it held was written to a fresh file{kept}"
        )
        return True

    def close(self) -> None:
        """Let go of the file and of the folder."""
        if self._writer is not None:
            # What stays in the log is read from there next time.
            with suppress(SessionError):
                self._writer.truncate_log()
        self._let_go()
        self._folder.release()

    def _let_go(self) -> None:
        for reader in (self.outbox_reader, self.archive_reader):
            reader.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _made(self) -> Session:
        session = Session.make(self.path, KIND, PATIENCE_SECONDS, self._connect)
        try:
            self.spool = _give_uuid(session)
        except BaseException:
            session.close()
            raise
        self._place.remember()
        return session

    @contextmanager
    def _saving(self) -> Iterator[None]:
        self.is_being_saved = True
        try:
            yield
        finally:
            self.is_being_saved = False

    def _begun_afresh(self, error: SessionError) -> Session:
        """Put the damaged file aside and return a fresh one, with what can be read of the old."""
        aside = self._folder.put_aside("corrupt")
        session = self._made()
        with self._saving():
            saved = 0 if aside is None else salvage(aside, session)
        self.notices.append(
            f"the spool {self.path} is damaged ({error}): it is kept as {aside}; "
            f"the {saved} events that could be read of it go on in a fresh file"
        )
        return session


def uuid_of(session: Session) -> str:
    """Return what tells this spool from any other; empty before it was given one."""
    row = session.row("SELECT value FROM fact WHERE name = 'spool'")
    return "" if row is None else str(row[0])


def _give_uuid(session: Session) -> str:
    with session.transaction():  # the first one in any case, so that the log is there from now on
        session.run("INSERT OR IGNORE INTO fact VALUES ('spool', ?)", (str(uuid4()),))
        return uuid_of(session)
