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
from reconciler.events.spool.tables import FILE, KIND, LOCK
from reconciler.state.sqlite.connection import Connect, connect
from reconciler.state.sqlite.folder import StateFolder
from reconciler.state.sqlite.session import Fault, Session, SessionError

PATIENCE_SECONDS = 2.0
"""How long a transaction waits for one of another process; those are short."""
MOST_NOTICES = 20
"""How many sentences for the log are kept until somebody asks for them."""


class Reader:
    """One reading connection, opened when it is first needed, for one caller at a time."""

    def __init__(self, file: Path, connect: Connect) -> None:
        self._file, self._connect = file, connect
        self._turn = threading.Lock()
        self._session: Session | None = None

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
                raise SpoolError(f"the spool cannot be read: {error}") from error

    def close(self) -> None:
        """Let go of the file; the next use opens it anew."""
        with self._turn:
            if self._session is not None:
                self._session.close()
                self._session = None


class SpoolFile:
    """The file in one folder, held for writing by this process.

    ``spool`` is its UUID. ``notices`` are sentences for the log about what happened to the file.
    """

    def __init__(self, folder: Path, clock: Clock, connect: Connect = connect) -> None:
        self.notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self.spool = ""
        self._folder = StateFolder(folder, clock, file=FILE, lock=LOCK, holds="spool")
        self._connect = connect
        self._writer: Session | None = None
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
            raise SpoolError(f"the spool cannot be opened: {error.strerror or error}") from error
        except SessionError as error:
            self._folder.release()
            raise SpoolError(f"the spool cannot be opened: {error}") from error
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
                self.put_aside(error)
        if self._writer is None:
            raise SessionError("the file is not open", Fault.DISK)
        return self._writer

    def put_aside(self, error: SessionError) -> None:
        """Rename a damaged file, and begin a fresh one. Raises ``SessionError`` and ``OSError``."""
        self._let_go()
        aside = self._folder.put_aside("corrupt")
        self.notices.append(
            f"the spool {self.path} is damaged ({error}): kept as {aside}, and a fresh one begun"
        )
        self._writer = self._made()

    def close(self) -> None:
        """Let go of the file and of the folder."""
        if self._writer is not None:
            with suppress(
                SessionError
            ):  # it stays beside the file and is read from there next time
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
        session = Session.make(self._folder.file, KIND, PATIENCE_SECONDS, self._connect)
        try:
            self.spool = _give_uuid(session)
        except BaseException:
            session.close()
            raise
        return session


def uuid_of(session: Session) -> str:
    """Return what tells this spool from any other; empty before it was given one."""
    row = session.row("SELECT value FROM fact WHERE name = 'spool'")
    return "" if row is None else str(row[0])


def _give_uuid(session: Session) -> str:
    with session.transaction():
        session.run("INSERT OR IGNORE INTO fact VALUES ('spool', ?)", (str(uuid4()),))
        return uuid_of(session)
