"""Erasing what is known of one device.

Owns: what goes and what stays. Must not: reach outside the spool.

Bodies, names and the device's id go, also from quarantine, where bodies are searched for the id's bytes as they are,
escaped, and in UTF-16. What stays of an event is its key, which is a digest, when it came, and what became of it.
SQLite overwrites what is deleted (``secure_delete``). But where it moved rows from page to page before, it leaves
copies of them between the rows of a page. So at the end the file is searched for the id, and where it is still found
the file is written anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from reconciler.core.errors import SpoolError, StateError
from reconciler.events.spool.committer import Work
from reconciler.events.spool.file import PATIENCE_SECONDS
from reconciler.events.spool.outbox import go_on
from reconciler.events.spool.tables import KIND
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import FileBytes, Session

AT_ONCE = 500
"""How many events are erased in one transaction."""

OF_DEVICE = "SELECT seq FROM event WHERE device = ? LIMIT ?"
WITHOUT_DEVICE = """SELECT event.seq FROM event JOIN body ON body.seq = event.seq
    WHERE event.device IS NULL AND ({spellings}) LIMIT ?"""
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})")
UNDELIVERED = "SELECT sink FROM delivery WHERE seq = ? AND state = 'pending'"
ERASE_DELIVERIES = """UPDATE delivery SET device = NULL, words = '', due = NULL,
    state = CASE WHEN state = 'delivered' THEN state ELSE 'erased' END WHERE seq = ?"""
ERASE_EVENT = """UPDATE event SET device = NULL, device_type = NULL, account = NULL, diagnosis = NULL, category = NULL,
    diagnosed = NULL, message_id = NULL, fate = CASE WHEN EXISTS (
        SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state = 'delivered') AND NOT EXISTS (
        SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state <> 'delivered') THEN fate ELSE 'erased' END
    WHERE seq = ?"""
DROP_BODY = "DELETE FROM body WHERE seq = ?"
EMPTY = "INSERT OR REPLACE INTO spent VALUES (?, ?, 1)"


def spellings(device: str) -> tuple[bytes, ...]:
    """Return the bytes that stand for a device's id: as they are, with other alphabets escaped, and in UTF-16."""
    escaped = json.dumps(device)[1:-1]
    large = _ESCAPE.sub(_in_large_digits, escaped)
    wide = (device.encode("utf-16-le"), device.encode("utf-16-be"))
    return tuple(dict.fromkeys((device.encode(), escaped.encode(), large.encode(), *wide)))


def _in_large_digits(found: re.Match[str]) -> str:
    return f"\\u{found[1].upper()}"


class Erase(Work[int]):
    """Erases some events of a device; to be repeated until nothing is left."""

    wakes = True

    def __init__(self, device: str, at: int) -> None:
        self._device, self._at = device, at

    def carry_out(self, session: Session) -> int:
        """Erase some; return their number."""
        found = session.rows(OF_DEVICE, (self._device, AT_ONCE))
        if len(found) < AT_ONCE:
            found += self._without_device(session, AT_ONCE - len(found))
        for row in found:
            self._erase(session, row)
        return len(found)

    def _without_device(self, session: Session, most: int) -> list[Row]:
        """Return what was stored without a device, and has the id somewhere in its bytes."""
        words = spellings(self._device)
        sql = WITHOUT_DEVICE.format(spellings=" OR ".join(["instr(body.content, ?)"] * len(words)))
        return session.rows(sql, (*words, most))

    def _erase(self, session: Session, row: Row) -> None:
        (seq,) = row
        for (sink,) in session.rows(UNDELIVERED, (seq,)):
            session.run(
                "UPDATE delivery SET state = 'erased' WHERE seq = ? AND sink = ?", (seq, sink)
            )
            go_on(session, seq, sink, self._at)
        session.run(ERASE_DELIVERIES, row)
        session.run(ERASE_EVENT, row)
        session.run(DROP_BODY, row)
        session.run(EMPTY, (seq, self._at))


class Scrubber:
    """Sees to it that the files of the spool hold nothing of what was erased."""

    TRIES = 3
    """How often it waits for others to let go of the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened: list[FileBytes] = []

    def scrub(self, device: str) -> None:
        """Empty the write-ahead log, and write the file anew if it still holds the id. Raises ``SpoolError``.

        That takes some seconds for each GiB, in which nothing can be stored. It is in vain where the id is in something
        that is still needed: in what another device's event says, or in the names that were last accepted.
        """
        try:
            session = Session.join(self._file, KIND, PATIENCE_SECONDS)
            try:
                self._truncate(session)
                if self._is_there(device):
                    session.rewrite()
                    self._truncate(session)
            finally:
                session.close()
        except (SpoolError, StateError, OSError) as error:
            raise SpoolError(
                f"copies of what was erased may be left: {error}; erase again"
            ) from error

    def close(self) -> None:
        """Let go of the file, after every connection to it."""
        while self._opened:
            self._opened.pop().close()

    def _truncate(self, session: Session) -> None:
        if not any(session.truncate_log() for _ in range(self.TRIES)):
            raise SpoolError("the write-ahead log is in use")

    def _is_there(self, device: str) -> bool:
        if not self._opened or not self._opened[-1].are_of(self._file):
            self._opened.append(FileBytes(self._file))
        return self._opened[-1].hold(spellings(device))
