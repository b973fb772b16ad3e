"""What replicas share in PostgreSQL beside the state.

Owns: the connections: one for transactions in worker threads, and one for renewals in the event loop.
Must not: hold a statement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from reconciler.state.coordination import Commands, Members, Ownership, Source, Tokens
from reconciler.state.postgres.commands import PostgresCommands
from reconciler.state.postgres.connection import Server
from reconciler.state.postgres.faults import SILENCE
from reconciler.state.postgres.members import PostgresMembers
from reconciler.state.postgres.ownership import PostgresOwnership
from reconciler.state.postgres.source import PostgresSource
from reconciler.state.postgres.tokens import PostgresTokens
from reconciler.state.postgres.transactions import Transactions


class PostgresCoordination:
    """The coordination of one replica."""

    def __init__(self, transactions: Transactions) -> None:
        self._members, self._transactions = PostgresMembers(transactions), transactions
        self.members: Members = self._members
        self.ownership: Ownership = PostgresOwnership(transactions)
        self.source: Source = PostgresSource(transactions)
        self.commands: Commands = PostgresCommands(transactions)
        self.tokens: Tokens = PostgresTokens(transactions)

    @classmethod
    def at(cls, url: str | Callable[[], str], silence: float = SILENCE) -> Self:
        """Return the coordination in this database. Nothing is asked of it yet; raises ``StateError`` for a bad URL."""
        return cls(Transactions(Server.of(url, silence)))

    def close(self) -> None:
        """Close all connections."""
        self._members.close()
        self._transactions.close()
