"""The tables of the source: who reads it, and what was accepted.

Owns: their statements, and that a revision comes into force for all replicas at one commit.
Must not: judge a revision.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core.replicas import MemberId
from reconciler.state.coordination import Acceptance, Source, Verdict
from reconciler.state.postgres.connection import Connection
from reconciler.state.postgres.transactions import CHANGED, NOW, Transactions, scalar, write
from reconciler.state.records import AccountRetired, Group
from reconciler.state.sql import rows

DAY = timedelta(hours=24)
READER = "SELECT owner, epoch FROM informer FOR UPDATE"
ALIVE = "SELECT 1 FROM member WHERE id = %s AND NOT dead FOR SHARE"
SOMEBODY = "SELECT 1 FROM member WHERE NOT dead LIMIT 1"
IS_DEAD = "SELECT 1 FROM member WHERE id = %s AND dead"
TAKE = "UPDATE informer SET owner = %s, epoch = greatest(epoch + 1, %s) RETURNING epoch"
SHED = "UPDATE informer SET owner = NULL WHERE owner = %s AND epoch = %s"
NEW = f"""INSERT INTO ownership (account, since) SELECT account, {NOW} FROM unnest(%s::text[]) AS f(account)
    ON CONFLICT (account) DO NOTHING"""
LOCKED = """SELECT account FROM ownership
    WHERE account = ANY(%(changed)s) OR managed <> (account = ANY(%(managed)s)) ORDER BY account FOR UPDATE"""
MANAGED = "UPDATE ownership SET managed = NOT managed WHERE managed <> (account = ANY(%s))"
CHANGES = "UPDATE ownership SET generation = greatest(generation + 1, %s) WHERE account = ANY(%s)"
UNSHOWN = "DELETE FROM status WHERE NOT account = ANY(%s)"
ACCEPTED = f"""INSERT INTO accepted (digest, at) SELECT digest, {NOW} FROM unnest(%s::text[]) AS f(digest)
    ON CONFLICT (digest) DO UPDATE SET at = excluded.at"""
FORGET = f"DELETE FROM accepted WHERE at < {NOW} - %s"
VERDICT = "UPDATE informer SET generation = greatest(generation + 1, %s), verdict = %s"
READ = "SELECT generation, verdict FROM informer"
EARLIER = "SELECT digest FROM accepted WHERE at >= %s"


class PostgresSource(Source):
    """Who reads the source, over short transactions."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def take(self, member: MemberId) -> int | None:
        with self._transactions.begun() as connection:
            owner, epoch = connection.execute(READER).fetchall()[0]
            if scalar(connection, ALIVE, [member]) is None:
                return None
            if owner == member:
                return int(epoch)
            if owner is not None and scalar(connection, IS_DEAD, [owner]) is None:
                return None
            return int(scalar(connection, TAKE, [member, self._first()]))

    def shed(self, member: MemberId, epoch: int) -> None:
        with self._transactions.begun() as connection:
            connection.execute(SHED, (member, epoch))

    def accept(self, member: MemberId, epoch: int, acceptance: Acceptance) -> bool:
        with self._transactions.begun() as connection:
            if tuple(connection.execute(READER).fetchall()[0]) != (member, epoch):
                return False
            if scalar(connection, ALIVE, [member]) is None:
                return False
            self._enforce(connection, acceptance)
            return True

    def accept_alone(self, acceptance: Acceptance) -> bool:
        with self._transactions.begun() as connection:
            connection.execute(READER)
            if scalar(connection, SOMEBODY) is not None:
                return False
            self._enforce(connection, acceptance)
            return True

    def verdict(self) -> Verdict:
        with self._transactions.begun() as connection:
            serial, content = connection.execute(READ).fetchall()[0]
        return Verdict(serial, bytes(content))

    def earlier(self, now: datetime) -> frozenset[str]:
        with self._transactions.begun() as connection:
            found = connection.execute(EARLIER, (rows.stamp(now - DAY),)).fetchall()
        return frozenset(digest for (digest,) in found)

    def _first(self) -> int:
        """Return the first number of the server's timeline."""
        return self._transactions.identity.timeline << 32

    def _enforce(self, connection: Connection, acceptance: Acceptance) -> None:
        managed, changed = sorted(acceptance.managed), sorted(acceptance.changed)
        connection.execute(NEW, (managed,))
        connection.execute(LOCKED, {"changed": changed, "managed": managed})
        connection.execute(MANAGED, (managed,))
        connection.execute(CHANGES, (self._first(), changed))
        connection.execute(UNSHOWN, (managed,))
        retired = sorted(acceptance.retired)
        write(connection, acceptance.groups)
        write(connection, (Group((AccountRetired(one, acceptance.at),)) for one in retired))
        connection.execute(ACCEPTED, (sorted(acceptance.digests),))
        connection.execute(FORGET, (DAY // timedelta(microseconds=1),))
        connection.execute(VERDICT, (self._first(), acceptance.verdict))
        connection.execute(CHANGED)
