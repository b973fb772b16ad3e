"""The tables of commands, pauses and reports: what people ask at any replica, and what every replica shows.

Owns: their statements. Must not: do what a command asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName
from reconciler.core.windows import Ending, Opening
from reconciler.state.coordination import Command, Commands, StatusRow, What
from reconciler.state.postgres.transactions import CHANGED, NOW, Transactions, moment, write
from reconciler.state.records import Fence, Group, OpeningSaved, PauseSaved
from reconciler.state.sql import rows

EVERYWHERE = AccountName("")
KEPT = timedelta(days=1)
ASK = """INSERT INTO command (account, what, by, at)
    SELECT account, %s, %s, %s FROM unnest(%s::text[]) AS f(account) ORDER BY account"""
ASKED = """SELECT id, account, what, by, at FROM command
    WHERE done IS NULL AND account = ANY(%s) ORDER BY id"""
DONE = f"UPDATE command SET done = {NOW} WHERE id = ANY(%s) AND done IS NULL"
FORGET = f"DELETE FROM command WHERE coalesce(done, at) < {NOW} - %s"
PAUSES = "SELECT account, until FROM pause ORDER BY account FOR UPDATE"
OPENED = """SELECT name, at, mark, until, reason, set_by, ended, ended_by FROM opened_window
    WHERE name = %s AND ended IS NULL AND until > %s ORDER BY at FOR UPDATE"""
LOCKED = "SELECT account FROM ownership WHERE %s = '' OR account = %s ORDER BY account FOR UPDATE"
PAUSED = "UPDATE ownership SET pause = pause + 1 WHERE %s = '' OR account = %s"
REPORT = """INSERT INTO status (account, condition, figures, at, due)
    SELECT account, condition, figures::jsonb, at, due
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[])
        AS f(account, condition, figures, at, due, owner, epoch)
    JOIN ownership USING (account, owner, epoch) ORDER BY account
    ON CONFLICT (account) DO UPDATE SET condition = excluded.condition, figures = excluded.figures,
        at = excluded.at, due = excluded.due"""
REPORTS = """SELECT status.account, condition, figures::text, at, due FROM status
    JOIN ownership ON ownership.account = status.account AND managed ORDER BY status.account"""


class PostgresCommands(Commands):
    """What people asked for, over short transactions."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def ask(self, what: What, accounts: Collection[AccountName], by: str, at: datetime) -> None:
        names = [EVERYWHERE] if what is What.FETCH else sorted(accounts)
        with self._transactions.begun() as connection:
            connection.execute(ASK, (what, by, rows.stamp(at), names))
            connection.execute(CHANGED)

    def asked(self, accounts: Collection[AccountName], *, source: bool) -> Sequence[Command]:
        wanted = [*accounts, EVERYWHERE] if source else [*accounts]
        with self._transactions.begun() as connection:
            found = connection.execute(ASKED, (wanted,)).fetchall()
        return [
            Command(one, AccountName(account), What(what), by, moment(at))
            for one, account, what, by, at in found
        ]

    def done(self, ids: Collection[int]) -> None:
        with self._transactions.begun() as connection:
            connection.execute(DONE, (list(ids),))
            connection.execute(FORGET, (KEPT // timedelta(microseconds=1),))

    def pause(
        self, account: AccountName | None, override: PauseOverride | None, now: datetime
    ) -> None:
        name = EVERYWHERE if account is None else account
        with self._transactions.begun() as connection:
            found = connection.execute(PAUSES).fetchall()
            ended = {one for one, until in found if until is not None and until <= rows.stamp(now)}
            if override is None:
                ended |= {one for one, _ in found} if account is None else {name}
            else:
                ended.discard(name)
            saved = [PauseSaved(AccountName(one), None) for one in sorted(ended)]
            if override is not None:
                saved.append(PauseSaved(name, override))
            write(connection, (Group((one,)) for one in saved))
            connection.execute(LOCKED, (name, name))
            connection.execute(PAUSED, (name, name))
            connection.execute(CHANGED)

    def open_window(self, window: str, opening: Opening | None, now: datetime) -> bool:
        how = Ending.CLOSED if opening is None else Ending.REOPENED
        with self._transactions.begun() as connection:
            found = connection.execute(OPENED, (window, rows.stamp(now))).fetchall()
            saved = [
                replace(rows.read_opening(tuple(row)), ended=now, ended_by=how) for row in found
            ]
            if opening is not None:
                saved.append(opening)
            write(connection, (Group((OpeningSaved(one),)) for one in saved))
            connection.execute(LOCKED, (EVERYWHERE, EVERYWHERE))
            connection.execute(PAUSED, (EVERYWHERE, EVERYWHERE))
            connection.execute(CHANGED)
        return bool(found)

    def report(self, rows_: Collection[StatusRow], fences: Mapping[AccountName, Fence]) -> None:
        reports = [
            (
                row.account,
                row.condition,
                row.report.decode(),
                rows.stamp(row.at),
                rows.stamp(row.due),
                fences[row.account].owner,
                fences[row.account].epoch,
            )
            for row in sorted(rows_, key=_account)
        ]
        if reports:
            values = [list(column) for column in zip(*reports, strict=True)]
            with self._transactions.begun(at_ease=True) as connection:
                connection.execute(REPORT, values)

    def reports(self) -> Sequence[StatusRow]:
        with self._transactions.begun() as connection:
            found = connection.execute(REPORTS).fetchall()
        return [
            StatusRow(AccountName(name), condition, figures.encode(), moment(at), moment(due))
            for name, condition, figures, at, due in found
        ]


def _account(row: StatusRow) -> AccountName:
    return row.account
