"""The table of members: who lives.

Owns: its statements, and the connection on which a lease is renewed. Must not: decide who is dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from reconciler.core.errors import StateError
from reconciler.core.replicas import Member, MemberId
from reconciler.core.replicas import Server as Identity
from reconciler.state.coordination import Members, Renewal
from reconciler.state.postgres.connection import BEGIN, Server
from reconciler.state.postgres.faults import sentence
from reconciler.state.postgres.transactions import (
    CHANNEL,
    NOW,
    SYSTEM,
    TIMELINE,
    Transactions,
    moment,
)

JOIN = "INSERT INTO member (id, name, version, beat, lease) VALUES (%s, %s, %s, %s, %s)"
CHANGES = f"SELECT {NOW}, changes FROM counter"
RENEW = f"""UPDATE member SET beat = beat + 1 WHERE id = %s AND NOT dead
    RETURNING beat, {NOW}, (SELECT changes FROM counter)"""
LIVING = "SELECT id, name, version, lease, beat FROM member WHERE NOT dead ORDER BY id"
DECLARE_DEAD = "UPDATE member SET dead = TRUE WHERE id = %s AND beat = %s AND NOT dead"
LEAVE = "UPDATE member SET dead = TRUE WHERE id = %s AND NOT dead"
FORGET = """DELETE FROM member WHERE dead AND NOT EXISTS (SELECT 1 FROM ownership WHERE owner = member.id)
    AND NOT EXISTS (SELECT 1 FROM informer WHERE owner = member.id)"""
WHERE_AM_I = "SELECT pg_backend_pid(), current_schema()"
LISTEN = f"LISTEN {CHANNEL}"
SECOND = 1_000_000


def nobody_listens() -> None:
    """Take that something changed, where nobody wants to hear of it."""


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

    def listen(self, heard: Callable[[], None]) -> None:
        self._beats.heard = heard

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


@dataclass(frozen=True, slots=True)
class Socket:
    """The socket of a connection, in the event loop that watches it."""

    loop: asyncio.AbstractEventLoop
    number: int


class Beats:
    """The connection on which a lease is renewed. A renewal that is given up takes its connection along.

    Between renewals the server says on it when another replica left something to read; then ``heard`` is called.
    """

    def __init__(self, server: Server) -> None:
        self.heard: Callable[[], None] = nobody_listens
        self._server = server
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._socket: Socket | None = None
        self._schema = ""
        self._identity = Identity("", 0)

    async def renew(self, member: MemberId) -> Renewal | None:
        """Let a beat grow. Raises ``StateError``."""
        self._hear_nothing()
        renewing = asyncio.ensure_future(self._renew(member))
        try:
            renewal = await asyncio.shield(renewing)
        except asyncio.CancelledError:
            self.close()
            renewing.cancel()
            renewing.add_done_callback(_take_error)
            raise
        except psycopg.Error as error:
            self.close()
            raise StateError(f"{self._server.name}: {sentence(error)}") from error
        self._hear()
        return renewal

    def close(self) -> None:
        """Drop the connection without a word to the server: it may be the one that does not answer."""
        self._hear_nothing()
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
        await self._listen(connection)
        return connection

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Let the server say on this connection what changed, unless a pooler lends it to others in between.

        A pooler has made up the number of the process that it showed when the connection was made.
        """
        found = await (await connection.execute(WHERE_AM_I)).fetchone()
        process, self._schema = found or (0, "")
        if process == connection.info.backend_pid:
            connection.add_notify_handler(self._notified)
            await connection.execute(LISTEN)

    def _notified(self, notification: psycopg.Notify) -> None:
        if notification.payload == self._schema:
            self.heard()

    def _hear(self) -> None:
        """Read what the server says until the next renewal, which waits for the same socket."""
        if self._connection is not None and not self._connection.closed:
            self._socket = Socket(asyncio.get_running_loop(), self._connection.fileno())
            self._socket.loop.add_reader(self._socket.number, self._readable)

    def _hear_nothing(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None and not socket.loop.is_closed():
            socket.loop.remove_reader(socket.number)

    def _readable(self) -> None:
        """Take what the server stated. A connection that it closed is left to the next renewal."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.pgconn.consume_input()
            heard = list(iter(connection.pgconn.notifies, None))
        except psycopg.Error:
            self._hear_nothing()
            return
        if any(one.extra.decode() == self._schema for one in heard):
            self.heard()


def _take_error(task: asyncio.Future[Any]) -> None:
    """Take the error of a renewal that nobody waits for."""
    if not task.cancelled():
        task.exception()
