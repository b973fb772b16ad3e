"""What this replica owns, and until when it may act.

Owns: the fences that its writes are made under, and the one deadline that every call is held against.
Must not: take or free an account.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from reconciler.core.errors import Outdated, StateError
from reconciler.core.model import AccountName
from reconciler.core.replicas import REFENCED_SECONDS, Lease, MemberId
from reconciler.runtime.replicas.tokens import TokenComparison
from reconciler.state.coordination import Ownership, Tokens
from reconciler.state.records import Fence

Fences = Mapping[AccountName, Fence]


def nobody_waits() -> None:
    """Take that something has to be read, where nobody reads."""


class ReplicaTenure:
    """Both sides of ownership: what the state may write, and what passes may do. It may be asked from any thread.

    ``me`` is this life of the replica. ``nudge`` is called where the tables have to be read soon.
    """

    fresh_seconds = REFENCED_SECONDS

    def __init__(
        self,
        ownership: Ownership,
        lease: Lease,
        boottime: Callable[[], float],
        *,
        concurrency: int,
        tokens: Tokens,
    ) -> None:
        self.batch: int | None = concurrency
        self.tokens = TokenComparison(tokens)
        self.me = MemberId("")
        self.lease, self.boottime = lease, boottime
        self.nudge: Callable[[], None] = nobody_waits
        self.writable: Callable[[], bool] = bool
        self._ownership = ownership
        self._lock = threading.Lock()
        self._known: dict[AccountName, Fence] = {}
        self._planned: dict[AccountName, Fence] = {}
        self._stale: frozenset[AccountName] = frozenset()
        self._leaving: frozenset[AccountName] = frozenset()

    # -- what the state asks

    def known(self) -> Fences:
        """Return the owned accounts, with what was true of each when it was last read."""
        return self._known

    def planned(self) -> Fences:
        """Return the owned accounts with the generation and the pause that plans are made on here."""
        return self._planned

    def failed(self, accounts: frozenset[AccountName]) -> frozenset[AccountName]:
        """Read what is true now of accounts whose fence failed; return those that are still owned."""
        with self._lock:
            self._stale |= accounts
        self.nudge()
        now = self._ownership.owned(self.me)
        with self._lock:
            known = dict(self._known)
            for account in accounts & known.keys():
                fence = now.get(account)
                if fence is not None and fence.epoch == known[account].epoch:
                    known[account] = fence
                else:
                    del known[account]
            self._known = known
        return accounts & known.keys()

    # -- what passes ask

    def owned(self, accounts: Iterable[AccountName]) -> list[AccountName]:
        """Return those accounts on which this replica works, in the same order."""
        return [one for one in accounts if one in self._planned and one not in self._leaving]

    def term(self, account: AccountName) -> int | None:
        """Return the epoch of an account, or None where it is not owned."""
        fence = self._planned.get(account)
        return None if fence is None else fence.epoch

    def may_change(self, account: AccountName) -> bool:
        """Say whether a plan that was made here may be carried out now."""
        if account not in self._planned or account in self._stale or account in self._leaving:
            return False
        return self.ready()

    def ready(self) -> bool:
        """Say whether intents can be written, and a call could end before the lease."""
        return self.writable() and self.lease.allows_call(self.boottime())

    def allow_call(self, account: AccountName) -> None:
        """Raise ``Outdated`` where a call that begins now might end after the lease, or has tokens of another."""
        if not self.lease.allows_call(self.boottime()):
            raise Outdated("not sent, because another replica may take the account before it ends")
        fence = self._known.get(account)
        if fence is None or not self.tokens.allows(account, fence.epoch):
            raise Outdated(
                "not sent, because its tokens have to be compared with those of the other accounts"
            )

    async def compare_tokens(self, account: AccountName) -> None:
        """Compare the tokens of an account with those of all others, where it has other ones than the last time."""
        fence = self._known.get(account)
        if fence is None or self.tokens.allows(account, fence.epoch):
            return
        with suppress(StateError):  # no call is allowed until the database answers
            await asyncio.to_thread(self.tokens.compare, [account], {account: fence})

    def refusal(self, account: AccountName) -> str | None:
        """Return why an account must not use the tokens that it has, or None."""
        return self.tokens.refusal(account)

    def confirm(self, account: AccountName) -> bool:
        """Ask the database whether plans made here still count."""
        fence = self._planned.get(account)
        if fence is None:
            return False
        try:
            failing = self._ownership.failing({account: fence})
        except StateError:
            return False
        if failing:
            with self._lock:
                self._stale |= failing
            self.nudge()
        return not failing

    # -- what this replica reads from the tables

    def read(self, fences: Fences) -> None:
        """Take what is true now, for writes that only need the owner."""
        with self._lock:
            self._known = dict(fences)

    def plans(self, fences: Fences) -> None:
        """Take that the revisions and pauses of these fences are in force here: the accounts may be worked on."""
        with self._lock:
            self._planned = dict(fences)
            self._stale = frozenset(
                one for one in self._stale if fences.get(one) != self._known.get(one)
            )
            self._leaving &= fences.keys()

    def leave(self, accounts: Collection[AccountName]) -> None:
        """Begin nothing more with accounts that are about to be freed."""
        with self._lock:
            self._leaving |= frozenset(accounts)

    @property
    def leaving(self) -> frozenset[AccountName]:
        """Return the accounts that are about to be freed."""
        return self._leaving

    def drop(self, accounts: Collection[AccountName]) -> None:
        """Take that these accounts are not owned any more."""
        with self._lock:
            self._known = {one: each for one, each in self._known.items() if one not in accounts}
            self._planned = {
                one: each for one, each in self._planned.items() if one not in accounts
            }
            self._leaving -= frozenset(accounts)
            self._stale -= frozenset(accounts)
        self.tokens.drop(accounts)
