"""The tables in which state is kept in PostgreSQL.

Owns: the schema, its migrations and who makes them. Must not: read or write what the tables hold.

Migrations only add, so a release works with the tables of the next one, too. Text is compared byte by byte, as SQLite
does, whatever the database's own collation is. The account comes first in each key.
"""

from __future__ import annotations

import psycopg
from psycopg import errors

from reconciler.state.postgres.connection import BEGIN, Connection
from reconciler.state.postgres.faults import OtherSchema

_TEXT = 'text COLLATE "C"'
_STATE = (
    f"""CREATE TABLE account (
        name {_TEXT} PRIMARY KEY, texts_since bigint, trusted boolean NOT NULL, suspect_readings integer NOT NULL,
        credential {_TEXT}, names {_TEXT}
    )""",
    # owned: in the inventory; live: in the expected list; came, went: by which revision it came in and went out
    f"""CREATE TABLE device (
        account {_TEXT} NOT NULL, id {_TEXT} NOT NULL, owned boolean NOT NULL, live boolean NOT NULL,
        came bigint, came_at bigint, went bigint, went_at bigint, name {_TEXT}, PRIMARY KEY (account, id)
    )""",
    "CREATE INDEX device_gone ON device (went_at) WHERE NOT owned AND NOT live",
    # open: a later list may still show what became of it; name: of that day
    f"""CREATE TABLE change (
        account {_TEXT} NOT NULL, device {_TEXT} NOT NULL, intended bigint NOT NULL, pass {_TEXT} NOT NULL,
        action {_TEXT} NOT NULL, at bigint NOT NULL, open boolean NOT NULL, approved boolean NOT NULL,
        revision bigint, result {_TEXT}, confirmed_by {_TEXT}, message_id {_TEXT}, lg_message_id {_TEXT},
        status integer, code {_TEXT}, words {_TEXT} NOT NULL, name {_TEXT},
        PRIMARY KEY (account, device, intended, pass)
    )""",
    "CREATE INDEX change_of_account ON change (account, at)",
    "CREATE INDEX change_at ON change (at)",
    "CREATE INDEX change_open ON change (account) WHERE open",
    f"""CREATE TABLE retry (
        account {_TEXT} NOT NULL, device {_TEXT} NOT NULL, action {_TEXT} NOT NULL, reason {_TEXT} NOT NULL,
        attempts integer NOT NULL, until bigint NOT NULL, code {_TEXT}, words {_TEXT} NOT NULL,
        PRIMARY KEY (account, device)
    )""",
    f"""CREATE TABLE pause (
        account {_TEXT} PRIMARY KEY, pause {_TEXT} NOT NULL, until bigint, reason {_TEXT} NOT NULL,
        set_by {_TEXT} NOT NULL
    )""",
    f"CREATE TABLE quota (account {_TEXT} PRIMARY KEY, calls bytea NOT NULL, calls_per_hour integer)",
    f"""CREATE TABLE revision (
        key bigint PRIMARY KEY, sha256 {_TEXT} NOT NULL, commit_id {_TEXT}, author {_TEXT}, subject {_TEXT},
        committed bigint, verified {_TEXT}, dirty boolean
    )""",
    f"CREATE TABLE text (document {_TEXT} PRIMARY KEY, revision bigint NOT NULL)",
    f"""CREATE TABLE text_file (
        document {_TEXT}, path {_TEXT}, sha256 {_TEXT} NOT NULL, PRIMARY KEY (document, path)
    )""",
    f"CREATE TABLE content (sha256 {_TEXT} PRIMARY KEY, compressed bytea NOT NULL)",
    # names that devices once had, and when they last had them
    f"""CREATE TABLE former_name (
        account {_TEXT} NOT NULL, device {_TEXT} NOT NULL, name {_TEXT} NOT NULL, at bigint NOT NULL,
        PRIMARY KEY (account, device, name)
    )""",
    "CREATE INDEX former_name_name ON former_name (name)",
    # how many transactions each process wrote: after a crash it shows whether the last ones are lost
    f"CREATE TABLE writer (id {_TEXT} PRIMARY KEY, written bigint NOT NULL, at bigint NOT NULL)",
)
_REPLICAS = (
    # lease: in microseconds
    f"""CREATE TABLE member (
        id {_TEXT} PRIMARY KEY, name {_TEXT} NOT NULL, version {_TEXT} NOT NULL, beat bigint NOT NULL,
        lease bigint NOT NULL, dead boolean NOT NULL DEFAULT FALSE
    )""",
    # owner: null while the account is free; managed: it is in force, so somebody has to own it
    f"""CREATE TABLE ownership (
        account {_TEXT} PRIMARY KEY, owner {_TEXT}, epoch bigint NOT NULL DEFAULT 0,
        generation bigint NOT NULL DEFAULT 0, pause bigint NOT NULL DEFAULT 0, since bigint NOT NULL DEFAULT 0,
        managed boolean NOT NULL DEFAULT TRUE
    )""",
    "CREATE INDEX ownership_owner ON ownership (owner)",
    f"""CREATE TABLE informer (
        one boolean PRIMARY KEY DEFAULT TRUE CHECK (one), owner {_TEXT}, epoch bigint NOT NULL DEFAULT 0,
        generation bigint NOT NULL DEFAULT 0, verdict bytea NOT NULL DEFAULT ''
    )""",
    "INSERT INTO informer DEFAULT VALUES",
    f"CREATE TABLE accepted (digest {_TEXT} PRIMARY KEY, at bigint NOT NULL)",
    f"""CREATE TABLE command (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account {_TEXT}, what {_TEXT} NOT NULL,
        by {_TEXT} NOT NULL, at bigint NOT NULL, done bigint
    )""",
    "CREATE INDEX command_waiting ON command (id) WHERE done IS NULL",
    f"""CREATE TABLE status (
        account {_TEXT} PRIMARY KEY, condition {_TEXT} NOT NULL, figures jsonb NOT NULL, at bigint NOT NULL,
        due bigint NOT NULL
    )""",
    # verdict: what the documents do not say of the revision in force; due: when the next pass is due
    # counts whatever other replicas have to look at
    "CREATE TABLE counter (one boolean PRIMARY KEY DEFAULT TRUE CHECK (one), changes bigint NOT NULL DEFAULT 0)",
    "INSERT INTO counter DEFAULT VALUES",
)
_TOKENS = (
    # who uses which user token, so that no second account does; fingerprint: keyed, and of a token and its kind
    f"""CREATE TABLE token (
        account {_TEXT} NOT NULL, fingerprint {_TEXT} NOT NULL UNIQUE, PRIMARY KEY (account, fingerprint)
    )""",
    "CREATE TABLE token_key (one boolean PRIMARY KEY DEFAULT TRUE CHECK (one), key bytea NOT NULL)",
    """INSERT INTO token_key (key)
        SELECT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))""",
)
_PROTECTION = (
    # account: whose entry stated last that the device is protected; the row stays when the entry or the account is gone
    f"CREATE TABLE protection (device {_TEXT} PRIMARY KEY, account {_TEXT} NOT NULL)",
)
_OPENED = (
    # change windows that a command opened; ended: before until, by a person or an edit
    f"""CREATE TABLE opened_window (
        name {_TEXT} NOT NULL, at bigint NOT NULL, mark {_TEXT} NOT NULL, until bigint NOT NULL,
        reason {_TEXT} NOT NULL, set_by {_TEXT} NOT NULL, ended bigint, ended_by {_TEXT}, PRIMARY KEY (name, at)
    )""",
)
MIGRATIONS = ((*_STATE, *_REPLICAS), (*_TOKENS, *_PROTECTION, *_OPENED))
"""The statements from each version to the next. Released ones are never edited; new ones only add."""
NEWEST = len(MIGRATIONS)
LOCK = 0x504343  # "PCC"
"""The number of the advisory lock under which one process at a time migrates."""


def version(connection: Connection) -> int:
    """Return the version of the tables, 0 where there are none."""
    try:
        found = connection.execute("SELECT version FROM state_version").fetchone()
    except errors.UndefinedTable:
        return 0
    return 0 if found is None else int(found[0])


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest version. Raises ``OtherSchema`` if a much newer program made them."""
    if _usable(version(connection)) >= NEWEST:
        return
    connection.execute(BEGIN)
    try:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS state_version (one boolean PRIMARY KEY DEFAULT TRUE CHECK (one), "
            "version integer NOT NULL)"
        )
        found = _usable(version(connection))
        for step in MIGRATIONS[found:]:
            for sql in step:
                connection.execute(sql)
        connection.execute(
            "INSERT INTO state_version (version) VALUES (%s) "
            "ON CONFLICT (one) DO UPDATE SET version = greatest(state_version.version, excluded.version)",
            (NEWEST,),
        )
        connection.execute("COMMIT")
    except BaseException:
        undo(connection)
        raise


def require(connection: Connection) -> bool:
    """Return whether there are tables, for one who only reads. Raises ``OtherSchema`` if they cannot be read."""
    found = _usable(version(connection))
    if 0 < found < NEWEST:
        raise OtherSchema(
            f"the state is of version {found}, and this program reads version {NEWEST}: start its daemon once"
        )
    return found > 0


def undo(connection: Connection) -> None:
    """End a transaction that failed, as far as the connection still allows it."""
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()


def _usable(found: int) -> int:
    if found > NEWEST + 1:
        raise OtherSchema(
            f"the state is of version {found}, and this program knows versions up to {NEWEST + 1}: "
            "a newer program wrote it, use that one, or another database"
        )
    return found
