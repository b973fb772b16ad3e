"""The tables in which state is kept in SQLite.

Owns: the schema and its migrations. Must not: open, read or write anything, or know when something is kept.
"""

from __future__ import annotations

MIGRATIONS = (
    (
        """CREATE TABLE account (
            name TEXT PRIMARY KEY, texts_since INTEGER, trusted INTEGER NOT NULL, suspect_readings INTEGER NOT NULL,
            credential TEXT
        ) WITHOUT ROWID""",
        # owned: in the inventory; live: in the expected list; came, went: by which revision it came in and went out
        """CREATE TABLE device (
            account TEXT NOT NULL, id TEXT NOT NULL, owned INTEGER NOT NULL, live INTEGER NOT NULL,
            came INTEGER, came_at INTEGER, went INTEGER, went_at INTEGER, PRIMARY KEY (account, id)
        ) WITHOUT ROWID""",
        "CREATE INDEX device_gone ON device (went_at) WHERE NOT owned AND NOT live",
        # open: a later list may still show what became of it
        """CREATE TABLE change (
            account TEXT NOT NULL, device TEXT NOT NULL, intended INTEGER NOT NULL, pass TEXT NOT NULL,
            action TEXT NOT NULL, at INTEGER NOT NULL, open INTEGER NOT NULL, approved INTEGER NOT NULL,
            revision INTEGER, result TEXT, confirmed_by TEXT, message_id TEXT, lg_message_id TEXT, status INTEGER,
            code TEXT, words TEXT NOT NULL, PRIMARY KEY (account, device, intended, pass)
        ) WITHOUT ROWID""",
        "CREATE INDEX change_of_account ON change (account, at)",
        "CREATE INDEX change_at ON change (at)",
        "CREATE INDEX change_open ON change (account) WHERE open",
        """CREATE TABLE retry (
            account TEXT NOT NULL, device TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL,
            attempts INTEGER NOT NULL, until INTEGER NOT NULL, code TEXT, words TEXT NOT NULL,
            PRIMARY KEY (account, device)
        ) WITHOUT ROWID""",
        "CREATE TABLE pause (account TEXT PRIMARY KEY, pause TEXT NOT NULL, until INTEGER, reason TEXT NOT NULL)",
        "CREATE TABLE quota (account TEXT PRIMARY KEY, calls BLOB NOT NULL, calls_per_hour INTEGER)",
        """CREATE TABLE revision (
            key INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, commit_id TEXT, author TEXT, subject TEXT, committed INTEGER,
            verified TEXT, dirty INTEGER
        )""",
        "CREATE TABLE text (document TEXT PRIMARY KEY, revision INTEGER NOT NULL)",
        "CREATE TABLE text_file (document TEXT, path TEXT, sha256 TEXT NOT NULL, PRIMARY KEY (document, path))",
        "CREATE TABLE content (sha256 TEXT PRIMARY KEY, compressed BLOB NOT NULL)",
    ),
    (
        # names: a mark of the names of its devices that were written last
        "ALTER TABLE account ADD COLUMN names TEXT",
        # name: the last one that is known
        "ALTER TABLE device ADD COLUMN name TEXT",
        # name: of that day; empty if the device had none, NULL in rows of version 1
        "ALTER TABLE change ADD COLUMN name TEXT",
        # names that devices once had, and when they last had them
        """CREATE TABLE former_name (
            name TEXT NOT NULL, account TEXT NOT NULL, device TEXT NOT NULL, at INTEGER NOT NULL,
            PRIMARY KEY (name, account, device)
        ) WITHOUT ROWID""",
    ),
    ("ALTER TABLE pause ADD COLUMN set_by TEXT NOT NULL DEFAULT ''",),
    (
        # account: whose entry stated last that the device is protected; the row stays when the entry or account is gone
        "CREATE TABLE protection (device TEXT PRIMARY KEY, account TEXT NOT NULL) WITHOUT ROWID",
        # change windows that a command opened; ended: before until, by a person or an edit
        """CREATE TABLE opened_window (
            name TEXT NOT NULL, at INTEGER NOT NULL, mark TEXT NOT NULL, until INTEGER NOT NULL, reason TEXT NOT NULL,
            set_by TEXT NOT NULL, ended INTEGER, ended_by TEXT, PRIMARY KEY (name, at)
        ) WITHOUT ROWID""",
    ),
)
"""The statements from each version to the next. Released ones are never edited; new ones are added."""
