"""The table of tokens: which account uses which user token, by fingerprints.

Owns: its statements. Must not: see a token.

Only one transaction at a time compares tokens: two accounts that exchange theirs would otherwise wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reconciler.core.model import AccountName
from reconciler.state.coordination import Tokens
from reconciler.state.postgres.transactions import CHANGED, Transactions
from reconciler.state.records import Fence

KEY = "SELECT key FROM token_key"
ALONE = "SELECT key FROM token_key FOR UPDATE"
OWNED = """SELECT ownership.account FROM ownership
    JOIN unnest(%s::text[], %s::text[], %s::bigint[]) AS f(account, owner, epoch) USING (account, owner, epoch)
    ORDER BY ownership.account FOR SHARE OF ownership"""
NOTED = "SELECT account, fingerprint FROM token WHERE account = ANY(%s)"
FORGET = """DELETE FROM token USING unnest(%s::text[], %s::text[]) AS f(account, fingerprint)
    WHERE token.account = f.account AND token.fingerprint = f.fingerprint"""
FREE = """DELETE FROM token WHERE fingerprint = ANY(%s)
    AND NOT EXISTS (SELECT 1 FROM ownership WHERE ownership.account = token.account AND managed)"""
NOTE = """INSERT INTO token (account, fingerprint)
    SELECT account, fingerprint FROM unnest(%s::text[], %s::text[]) AS f(account, fingerprint)
    ORDER BY fingerprint, account ON CONFLICT (fingerprint) DO NOTHING"""
USERS = "SELECT fingerprint, account FROM token WHERE fingerprint = ANY(%s)"
Use = tuple[str, str]
"""An account and the fingerprint of one of its tokens."""


class PostgresTokens(Tokens):
    """The tokens of all accounts, over short transactions."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def key(self) -> bytes:
        with self._transactions.begun() as connection:
            return bytes(connection.execute(KEY).fetchall()[0][0])

    def note(
        self, used: Mapping[AccountName, frozenset[str]], fences: Mapping[AccountName, Fence]
    ) -> Mapping[AccountName, Mapping[str, AccountName]]:
        asked = [(one, fences[one].owner, fences[one].epoch) for one in sorted(used)]
        if not asked:
            return {}
        with self._transactions.begun() as connection:
            connection.execute(ALONE)
            found = connection.execute(OWNED, [list(column) for column in zip(*asked, strict=True)])
            owned = [AccountName(account) for (account,) in found.fetchall()]
            uses = {(one, fingerprint) for one in owned for fingerprint in used[one]}
            fingerprints = sorted({fingerprint for _, fingerprint in uses})
            noted = set(connection.execute(NOTED, (owned,)).fetchall())
            if noted - uses:
                connection.execute(FORGET, _columns(noted - uses))
                connection.execute(CHANGED)  # another account may wait for it
            connection.execute(FREE, (fingerprints,))
            connection.execute(NOTE, _columns(uses))
            users = dict(connection.execute(USERS, (fingerprints,)).fetchall())
        return {
            one: {each: AccountName(users[each]) for each in used[one] if users[each] != one}
            for one in owned
        }


def _columns(uses: Collection[Use]) -> tuple[list[str], list[str]]:
    ordered = sorted(uses)
    return [account for account, _ in ordered], [fingerprint for _, fingerprint in ordered]
