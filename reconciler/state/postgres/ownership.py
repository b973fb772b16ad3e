"""The table of ownership: which replica owns which account.

Owns: its statements. Must not: decide how many accounts a replica may have.

Rows are always locked in the order of their accounts. A dead member is one whose row says so; a member whose row this
transaction cannot see yet counts as alive.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from reconciler.core.model import AccountName
from reconciler.core.replicas import MemberId
from reconciler.state.coordination import CHUNK, Fleet, Ownership, Taken
from reconciler.state.postgres.transactions import NOW, Transactions, columns, scalar
from reconciler.state.records import Fence
from reconciler.state.sql import rows

ALIVE = "SELECT 1 FROM member WHERE id = %s AND NOT dead FOR SHARE"
IS_FREE = """managed AND (owner IS NULL
    OR EXISTS (SELECT 1 FROM member WHERE member.id = ownership.owner AND member.dead))"""
TAKE = f"""WITH free AS (
        SELECT account FROM ownership WHERE {IS_FREE} ORDER BY account LIMIT %s FOR UPDATE SKIP LOCKED
    )
    UPDATE ownership SET owner = %s, epoch = greatest(epoch + 1, %s), since = {NOW}
    FROM free WHERE ownership.account = free.account
    RETURNING ownership.account, owner, epoch, generation, pause"""
FREE = f"SELECT count(*) FROM ownership WHERE {IS_FREE}"
SHED = f"""WITH mine AS (
        SELECT ownership.account FROM ownership
        JOIN unnest(%s::text[], %s::bigint[]) AS f(account, epoch)
            ON ownership.account = f.account AND ownership.epoch = f.epoch
        WHERE owner = %s ORDER BY ownership.account FOR UPDATE OF ownership
    )
    UPDATE ownership SET owner = NULL, since = {NOW} FROM mine WHERE ownership.account = mine.account"""
OWNED = """SELECT account, owner, epoch, generation, pause FROM ownership
    WHERE owner = %s AND managed ORDER BY account"""
TRUE_NOW = """SELECT ownership.account FROM ownership
    JOIN unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS f(account, owner, epoch, generation, pause) USING (account, owner, epoch, generation, pause)"""
COUNT = "SELECT count(*) FROM ownership WHERE managed"
FLEET = f"""SELECT count(*), count(*) FILTER (WHERE {IS_FREE} OR owner = ANY(%s)),
        max(%s - coalesce(due, since))
    FROM ownership LEFT JOIN status ON status.account = ownership.account WHERE managed"""
SECOND = 1_000_000


class PostgresOwnership(Ownership):
    """Which replica owns which account, over short transactions."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def take(self, member: MemberId, most: int) -> Taken:
        most = min(most, CHUNK)
        with self._transactions.begun() as connection:
            if scalar(connection, ALIVE, [member]) is None:
                return Taken()
            first = self._transactions.identity.timeline << 32
            found = connection.execute(TAKE, (most, member, first)).fetchall()
            skipped = 0
            if len(found) < most:
                skipped = scalar(connection, FREE)
        return Taken({AccountName(name): Fence(*fence) for name, *fence in found}, skipped)

    def shed(self, epochs: Mapping[AccountName, int], member: MemberId) -> None:
        freed = sorted(epochs.items())
        with self._transactions.begun() as connection:
            values = ([name for name, _ in freed], [epoch for _, epoch in freed], member)
            connection.execute(SHED, values)

    def owned(self, member: MemberId) -> Mapping[AccountName, Fence]:
        with self._transactions.begun() as connection:
            found = connection.execute(OWNED, (member,)).fetchall()
        return {AccountName(name): Fence(*fence) for name, *fence in found}

    def failing(self, fences: Mapping[AccountName, Fence]) -> frozenset[AccountName]:
        if not fences:
            return frozenset()
        with self._transactions.begun() as connection:
            found = connection.execute(TRUE_NOW, columns(fences)).fetchall()
        return frozenset(fences) - {AccountName(name) for (name,) in found}

    def count(self) -> int:
        with self._transactions.begun() as connection:
            return int(scalar(connection, COUNT))

    def fleet(self, now: datetime, silent: Collection[MemberId] = ()) -> Fleet:
        with self._transactions.begun() as connection:
            found = connection.execute(FLEET, (list(silent), rows.stamp(now))).fetchall()
        accounts, unowned, overdue = found[0]
        return Fleet(accounts, unowned, max((overdue or 0) / SECOND, 0.0))
