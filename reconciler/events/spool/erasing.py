"""Erasing what is known of one device.

Owns: what goes and what stays. Must not: reach outside the spool.

Bodies, names and the device's id go, also from quarantine, where bodies are searched for the id's bytes. What stays of
an event is its key, which is a digest, when it came, and what became of it. Deleted bytes are overwritten
(``secure_delete``), and whoever calls this truncates the write-ahead log afterwards.
"""

from __future__ import annotations

import json

from reconciler.events.spool.committer import Work
from reconciler.events.spool.outbox import go_on
from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.session import Session

AT_ONCE = 500
"""How many events are erased in one transaction."""

OF_DEVICE = "SELECT seq FROM event WHERE device = ? LIMIT ?"
WITHOUT_DEVICE = """SELECT event.seq FROM event JOIN body ON body.seq = event.seq
    WHERE event.device IS NULL AND (instr(body.content, ?) OR instr(body.content, ?)) LIMIT ?"""
UNDELIVERED = "SELECT sink FROM delivery WHERE seq = ? AND state = 'pending'"
ERASE_DELIVERIES = """UPDATE delivery SET device = NULL, words = '', due = NULL,
    state = CASE WHEN state = 'delivered' THEN state ELSE 'erased' END WHERE seq = ?"""
ERASE_EVENT = """UPDATE event SET device = NULL, device_type = NULL, account = NULL, diagnosis = NULL, category = NULL,
    diagnosed = NULL, message_id = NULL, fate = CASE WHEN EXISTS (
        SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state = 'delivered') AND NOT EXISTS (
        SELECT 1 FROM delivery WHERE delivery.seq = event.seq AND state <> 'delivered') THEN fate ELSE 'erased' END
    WHERE seq = ?"""
DROP_BODY = "DELETE FROM body WHERE seq = ?"
DROP_SPENT = "DELETE FROM spent WHERE seq = ?"


class Erase(Work[int]):
    """Erases some events of a device; to be repeated until nothing is left."""

    wakes = True

    def __init__(self, device: str, at: int) -> None:
        self._device, self._at = device, at

    def carry_out(self, session: Session) -> int:
        """Erase some; return their number."""
        plain = self._device.encode()
        escaped = json.dumps(self._device)[1:-1].encode()
        found = session.rows(OF_DEVICE, (self._device, AT_ONCE))
        if len(found) < AT_ONCE:
            found += session.rows(WITHOUT_DEVICE, (plain, escaped, AT_ONCE - len(found)))
        for row in found:
            self._erase(session, row)
        return len(found)

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
        session.run(DROP_SPENT, row)
