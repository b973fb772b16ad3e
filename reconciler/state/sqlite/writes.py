"""The words of every statement that writes to SQLite.

Owns: these words. Must not: execute anything, or know when something is written.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.state.sql.writes import Write

_FORMER = """INSERT OR REPLACE INTO former_name SELECT name, account, id, ? FROM device
    WHERE account = ? AND id = ? AND name IS NOT NULL"""
_UNKNOWN = "NOT owned AND came IS NULL AND went_at IS NULL"
"""No revision named the device. One that was written anew from memory has no revision of its coming either."""
WORDS: Mapping[Write, str] = {
    Write.SAVE_ACCOUNT: "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?, ?)",
    Write.KNOW_ACCOUNT: "INSERT OR IGNORE INTO account VALUES (?, NULL, 0, 0, NULL, NULL)",
    Write.RETIRE_DEVICES: "DELETE FROM device WHERE account = ?",
    Write.DROP_RETRIES: "DELETE FROM retry WHERE account = ?",
    Write.DROP_PAUSE: "DELETE FROM pause WHERE account = ?",
    Write.CLOSE_CHANGES: "UPDATE change SET open = 0 WHERE account = ? AND open",
    Write.ENTER: """INSERT INTO device (account, came, came_at, id, owned, live) VALUES (?, ?, ?, ?, 1, 0)
    ON CONFLICT DO UPDATE SET owned = 1, came = excluded.came, came_at = excluded.came_at, went = NULL, went_at = NULL
    WHERE NOT owned OR went_at IS NOT NULL""",
    Write.LEAVE: "UPDATE device SET went = ?, went_at = ? WHERE account = ? AND id = ?",
    Write.NAME: "UPDATE device SET name = ? WHERE account = ? AND id = ?",
    Write.NAME_ENDS: _FORMER,
    Write.ALL_NAMES_END: """INSERT OR REPLACE INTO former_name SELECT name, account, id, ? FROM device
    WHERE account = ? AND name IS NOT NULL""",
    Write.NAME_CHANGES: _FORMER + " AND name <> ?",
    Write.WAS_CALLED: "INSERT OR REPLACE INTO former_name VALUES (?, ?, ?, ?)",
    Write.DISOWN: "UPDATE device SET owned = 0 WHERE account = ? AND id = ?",
    Write.APPEAR: """INSERT INTO device (account, id, owned, live) VALUES (?, ?, 0, 1)
    ON CONFLICT DO UPDATE SET live = 1""",
    Write.FORGET_UNKNOWN: f"DELETE FROM device WHERE account = ? AND id = ? AND {_UNKNOWN}",  # noqa: S608 - ours
    Write.VANISH: "UPDATE device SET live = 0 WHERE account = ? AND id = ?",
    Write.FORGET_ALL_UNKNOWN: f"DELETE FROM device WHERE account = ? AND {_UNKNOWN}",  # noqa: S608 - ours
    Write.VANISH_ALL: "UPDATE device SET live = 0 WHERE account = ? AND live",
    Write.SETTLE: """INSERT INTO device (account, id, owned, live, came, came_at, went, went_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET owned = excluded.owned, live = excluded.live, came = coalesce(excluded.came, came),
    came_at = coalesce(excluded.came_at, came_at), went_at = excluded.went_at,
    went = CASE WHEN excluded.went_at IS NULL THEN NULL ELSE coalesce(excluded.went, went) END""",
    Write.DROP_NOWHERE: "DELETE FROM device WHERE account = ? AND NOT owned AND NOT live AND went_at IS NULL",
    Write.SAVE_CHANGE: "INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    Write.DROP_CHANGE: "DELETE FROM change WHERE account = ? AND device = ? AND intended = ? AND pass = ?",
    Write.DROP_REPEATED: """DELETE FROM change WHERE account = ? AND pass = ? AND EXISTS (
    SELECT 1 FROM change AS other WHERE other.account = change.account AND other.device = change.device
    AND other.action = change.action AND other.at = change.at AND other.pass <> change.pass)""",
    Write.SAVE_RETRY: "INSERT OR REPLACE INTO retry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    Write.DROP_RETRY: "DELETE FROM retry WHERE account = ? AND device = ?",
    Write.SAVE_QUOTA: "INSERT OR REPLACE INTO quota VALUES (?, ?, ?)",
    Write.SAVE_PAUSE: "INSERT OR REPLACE INTO pause VALUES (?, ?, ?, ?, ?)",
    Write.PROTECT: "INSERT OR REPLACE INTO protection VALUES (?, ?)",
    Write.UNPROTECT: "DELETE FROM protection WHERE device = ?",
    Write.RELEASE: "DELETE FROM protection WHERE account = ? AND device = ?",
    Write.SAVE_OPENING: "INSERT OR REPLACE INTO opened_window VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    Write.SAVE_REVISION: "INSERT OR IGNORE INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    Write.SAVE_DOCUMENT: "INSERT OR REPLACE INTO text VALUES (?, ?)",
    Write.DROP_DOCUMENT: "DELETE FROM text WHERE document = ?",
    Write.SAVE_FILE: "INSERT INTO text_file VALUES (?, ?, ?)",
    Write.DROP_FILES: "DELETE FROM text_file WHERE document = ?",
    Write.SAVE_CONTENT: "INSERT OR IGNORE INTO content VALUES (?, ?)",
    Write.DROP_UNUSED: "DELETE FROM content WHERE sha256 NOT IN (SELECT sha256 FROM text_file)",
    Write.DROP_OLD_CHANGES: "DELETE FROM change WHERE at < ?",
    Write.DROP_OLD_DEVICES: "DELETE FROM device WHERE NOT owned AND NOT live AND went_at < ?",
    Write.DROP_OLD_NAMES: "DELETE FROM former_name WHERE at < ?",
    Write.DROP_OLD_OPENINGS: "DELETE FROM opened_window WHERE until < ?",
}
