"""Whether this process may work on an account now.

Owns: the one question that passes ask about other replicas. Must not: know how replicas share accounts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from reconciler.core.model import AccountName


class Tenure(Protocol):
    """What this replica may do. ``batch``: the most intents that are written ahead, or None for as many as usual.

    ``fresh_seconds``: an intent that is older than this is confirmed again before its call.
    """

    batch: int | None
    fresh_seconds: float

    def owned(self, accounts: Iterable[AccountName]) -> list[AccountName]:
        """Return those accounts on which this process works, in the same order."""

    def term(self, account: AccountName) -> int | None:
        """Return a number that is another one whenever the account was taken again, or None where it is not owned."""

    def may_change(self, account: AccountName) -> bool:
        """Say whether plans that are made now on the revision in force here may be carried out."""

    def ready(self) -> bool:
        """Say whether a pass that begins now can come to anything."""

    def allow_call(self, account: AccountName) -> None:
        """Raise ``Outdated`` where a call might end after the others may have taken the account.

        Also where the account has tokens that were not compared with those of all others.
        """

    async def compare_tokens(self, account: AccountName) -> None:
        """Compare the tokens of an account with those of all others, where that was not done yet."""

    def refusal(self, account: AccountName) -> str | None:
        """Return why an account must not use the tokens that it has, or None."""

    def confirm(self, account: AccountName) -> bool:
        """Ask the database whether plans made here still count. For a worker thread."""


class Alone:
    """The only process that works on these accounts."""

    batch: int | None = None
    fresh_seconds = math.inf

    def owned(self, accounts: Iterable[AccountName]) -> list[AccountName]:
        """Return all of them."""
        return list(accounts)

    def term(self, account: AccountName) -> int | None:
        """Return always the same number."""
        del account
        return 0

    def may_change(self, account: AccountName) -> bool:
        """Say yes."""
        del account
        return True

    def ready(self) -> bool:
        """Say yes."""
        return True

    def allow_call(self, account: AccountName) -> None:
        """Allow every call."""
        del account

    async def compare_tokens(self, account: AccountName) -> None:
        """Do nothing: this process sees the tokens of all accounts in its own files."""
        del account

    def refusal(self, account: AccountName) -> str | None:
        """Refuse no token."""
        del account
        return None

    def confirm(self, account: AccountName) -> bool:
        """Say yes."""
        del account
        return True
