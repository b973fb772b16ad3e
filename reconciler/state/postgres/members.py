"""The table of members: who lives.

Owns: its statements, and the connection on which a lease is renewed. Must not: decide who is dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg

from reconciler.core.errors import StateError
from reconciler.core.replicas import Member, MemberId
from reconciler.core.replicas import Server as Identity
from reconciler.state.coordination import Members, Renewal
from reconciler.state.postgres.connection import BEGIN, Server
from reconciler.state.postgres.faults import sentence
from reconciler.state.postgres.transactions import NOW, SYSTEM, TIMELINE, Transactions, moment

JOIN = "INSERT INTO member (id, name, version, beat, lease) VALUES (%s, %s, %s, %s, %s)"
CHANGES = f"SELECT {NOW}, changes FROM counter"
RENEW = f"""UPDATE member SET beat = beat + 1 WHERE id = %s AND NOT dead
    RETURNING beat, {NOW}, (SELECT changes FROM counter)"""
LIVING = "SELECT id, name, version, lease, beat FROM member WHERE NOT dead ORDER BY id"
DECLARE_DEAD = "UPDATE member SET dead = TRUE WHERE id = %s AND beat = %s AND NOT dead"
LEAVE = "UPDATE member SET dead = TRUE WHERE id = %s AND NOT dead"
FORGET = """DELETE FROM member WHERE dead AND NOT EXISTS (SELECT 1 FROM ownership WHERE owner = member.id)
    AND NOT EXISTS (SELECT 1 FROM informer WHERE owner = member.id)"""
SECOND = 1_000_000


class PostgresMembers(Members):
    """The members, over short transactions and one connection in the event loop."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._beats = Beats(transactions.server)

    def join(self, member: Member) -> Renewal:
        with self._transactions.begun() as connection:
            lease = round(member.lease * SECOND)
            row = (member.id, member.name, member.version, member.beat, lease)
            connection.execute(FORGET)
            connection.execute(JOIN, row)
            now, changes = connection.execute(CHANGES).fetchall()[0]
            return Renewal(member.beat, self._transactions.identity, moment(now), changes)

    async def renew(self, member: MemberId) -> Renewal | None:
        return await self._beats.renew(member)

    def living(self) -> Sequence[Member]:
        with self._transactions.begun() as connection:
            found = connection.execute(LIVING).fetchall()
        return [
            Member(
                MemberId(one), name, version, timedelta(microseconds=lease).total_seconds(), beat
            )
            for one, name, version, lease, beat in found
        ]

    def declare_dead(self, member: MemberId, beat: int) -> bool:
        with self._transactions.begun() as connection:
            return connection.execute(DECLARE_DEAD, (member, beat)).rowcount > 0

    def leave(self, member: MemberId) -> None:
        with self._transactions.begun() as connection:
            connection.execute(LEAVE, (member,))

    def close(self) -> None:
        """Close the connection of the renewals."""
        self._beats.close()


class Beats:
    """The connection on which a lease is renewed. A renewal that is given up takes its connection along."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._identity = Identity("", 0)

    async def renew(self, member: MemberId) -> Renewal | None:
        """Let a beat grow. Raises ``StateError``."""
        renewing = asyncio.ensure_future(self._renew(member))
        try:
            return await asyncio.shield(renewing)
        except asyncio.CancelledError:
            self.close()
            renewing.cancel()
            renewing.add_done_callback(_take_error)
            raise
        except psycopg.Error as error:
            self.close()
            raise StateError(f"{self._server.name}: {sentence(error)}") from error

    def close(self) -> None:
        """Drop the connection without a word to the server: it may be the one that does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()

    async def _renew(self, member: MemberId) -> Renewal | None:
        connection = await self._opened()
        await connection.execute(BEGIN)
        cursor = await connection.execute(RENEW, (member,))
        row = await cursor.fetchone()
        await connection.execute("COMMIT")
        if row is None:
            return None
        beat, now, changes = row
        return Renewal(beat, self._identity, moment(now), changes)

    async def _opened(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = await psycopg.AsyncConnection.connect(
            autocommit=True, prepare_threshold=None, **self._server.parameters
        )
        self._connection = connection
        timeline = await (await connection.execute(TIMELINE)).fetchone()
        try:
            system = await (await connection.execute(SYSTEM)).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            system = None
        self._identity = Identity(
            "" if system is None else str(system[0]), 0 if timeline is None else int(timeline[0])
        )
        return connection


def _take_error(task: asyncio.Future[Any]) -> None:
    """Take the error of a renewal that nobody waits for."""
    if not task.cancelled():
        task.exception()
