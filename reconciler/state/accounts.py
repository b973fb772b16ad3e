"""What is remembered of each account, and what each event writes.

Owns: the records that an event becomes. The rules of remembering are in ``core.memory``.
Must not: hold a secret. A credential is known by a fingerprint that reveals nothing about it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from reconciler.core.memory import NO_TIME, AccountMemory, Belief
from reconciler.core.model import (
    AccountName,
    Desired,
    DeviceId,
    Memory,
    Observed,
    Outcome,
    Revision,
)
from reconciler.state import records
from reconciler.state.memories import Memories
from reconciler.state.port import Accounts
from reconciler.state.protections import ProtectionStore
from reconciler.state.records import Group, Mark, Record
from reconciler.state.write_behind import WriteBehind


class AccountStore(Accounts):
    """The accounts, over the shared memory and the write-behind."""

    def __init__(
        self,
        behind: WriteBehind,
        memories: Memories,
        protections: ProtectionStore,
        longest_call: timedelta = NO_TIME,
    ) -> None:
        self._behind, self._memories, self._protections = behind, memories, protections
        self._longest_call = longest_call
        self._remembered = behind.remembered
        self._credentials: dict[AccountName, str | None] = {}

    def recall(self, account: AccountName, now: datetime) -> Memory:
        self._learn_missed(account, now)
        with self._memories.known(account, now) as known:
            return self._recalled(known, now)

    def glance(self, account: AccountName, now: datetime) -> Memory:
        with self._remembered.lock:
            known = self._memories.get(account)
            if known is not None:
                return self._recalled(known, now)
        return self._recalled(self._memories.glance(account, now), now)

    def knows(self, account: AccountName) -> bool:
        with self._remembered.lock:
            return self._memories.get(account) is not None

    def agrees(
        self,
        account: AccountName,
        observed: Observed,
        credential: str | None,
        live: frozenset[DeviceId],
    ) -> bool:
        with self._remembered.lock:
            known = self._memories.get(account)
            return known is not None and known.agrees(observed, credential, live)

    def live_accounts(self) -> frozenset[AccountName]:
        stored = self._behind.storage.live_accounts()
        with self._remembered.lock:
            accounts = self._remembered.accounts
            live = (name for name, known in accounts.items() if known.expected.get())
            return (stored - accounts.keys()).union(live)

    def credential(self, account: AccountName, fingerprint: str | None) -> bool:
        with self._remembered.lock:
            changed = self._credentials.get(account) != fingerprint
            self._credentials[account] = fingerprint
            return changed

    def desire(self, desired: Desired, revision: Revision, now: datetime) -> None:
        with self._memories.changing(desired.account, now) as known:
            self._desired(known, desired, revision, now)

    def _desired(
        self, known: AccountMemory, desired: Desired, revision: Revision, now: datetime
    ) -> None:
        new = known.texts_since is None
        moves = known.desire(desired.devices, now)
        renamed = known.names.learn(desired.described)
        written: list[Record] = []
        if moves.entering or moves.leaving:
            mark = Mark(revision, now)
            written.append(records.DevicesMoved(known.name, mark, moves.entering, moves.leaving))
        unread = self._memories.is_unread(known.name)
        self._remembered.missed.pop(known.name, None)
        if unread:
            self._remembered.missed[known.name] = desired, revision, now
        if renamed:
            written.append(records.NamesSaved(known.name, now, renamed.names, renamed.ended))
        if unread:
            pass  # what is known of the account would replace what is stored
        elif renamed:
            self._behind.waiting.drop(("account", known.name))
            written.append(records.AccountSaved.of(known))  # together: the names and their mark
        elif new:
            self._save(known)
        if written:
            self._behind.waiting.add(*written, account=known.name)

    def _learn_missed(self, account: AccountName, now: datetime) -> None:
        """Learn again what was desired while the account could not be read: what left it was not known then."""
        if account not in self._remembered.missed or self._behind.frozen:
            return
        with self._memories.known(account, now) as known:
            if self._memories.is_unread(account):
                return
            missed = self._remembered.missed.pop(account, None)
            if missed is None:
                return
            self._desired(known, *missed)  # under the same lock: a newer edit comes after it
        self._behind.flush()

    def trust(
        self,
        account: AccountName,
        observed: Observed,
        credential: str | None,
        now: datetime,
        live: frozenset[DeviceId],
    ) -> tuple[Outcome, ...]:
        with self._memories.changing(account, now) as known:
            if self._memories.is_unread(account):
                return ()  # it would replace a list that is stored, whatever that says
            before = records.AccountSaved.of(known)
            belief = known.believe(observed, credential, now, live, self._longest_call)
            written = _learned(known, belief)
            changed = records.AccountSaved.of(known) != before
            if written and changed:  # together: that there is an expected list, and what is on it
                self._behind.waiting.drop(("account", account))
                written.append(records.AccountSaved.of(known))
            elif changed:
                self._save(known)
            if written:
                self._behind.waiting.add(*written, account=account)
            self._protections.unsubscribed(known, belief.confirmed)
            return belief.confirmed

    def doubt(self, account: AccountName, now: datetime) -> None:
        with self._memories.changing(account, now) as known:
            if not self._memories.is_unread(account):
                known.doubt(self._credentials.get(account))
                self._save(known)

    def person_agrees(self, account: AccountName) -> None:
        with self._memories.changing(account) as known:
            before = known.credential
            waited = known.vouch(self._credentials.get(account))
            if known.credential != before:
                self._save(known)
            self._drop_retries(account, waited)

    def forget_retries(self, account: AccountName, devices: Collection[DeviceId]) -> None:
        with self._memories.changing(account) as known:
            self._drop_retries(account, known.drop_retries(devices))

    def retire(self, account: AccountName) -> None:
        with self._memories.changing(account) as known:
            fresh = known.retired()
            self._remembered.missed.pop(account, None)
            self._remembered.accounts[account] = fresh
            self._memories.pauses().pop(account, None)
            self._behind.waiting.drop(("account", account), ("pause", account))
            self._behind.waiting.put(
                Group((records.AccountRetired(account, self._behind.clock.now()),))
            )
            self._save(fresh)

    def reset(self, step: timedelta, now: datetime) -> None:
        """Apply a step of the wall clock, to ``now``: waits keep their length."""
        with self._remembered.lock:
            for known in self._remembered.accounts.values():
                known.reset(step, now)

    def _recalled(self, known: AccountMemory, now: datetime) -> Memory:
        counted_to, credential = (
            self._behind.clock.counted_to(now),
            self._credentials.get(known.name),
        )
        return known.recall(
            counted_to,
            credential,
            writable=self._behind.writable,
            protected=self._memories.all_protected(),
        )

    def _save(self, known: AccountMemory) -> None:
        self._behind.waiting.replace(("account", known.name), records.AccountSaved.of(known))

    def _drop_retries(self, account: AccountName, devices: frozenset[DeviceId]) -> None:
        if devices:
            self._behind.waiting.add(records.RetriesDropped(account, devices), account=account)


def _learned(known: AccountMemory, belief: Belief) -> list[Record]:
    """Return what a trusted list changes in the storage."""
    written: list[Record] = []
    if belief.first:
        written.append(records.ListCleared(known.name))
    if belief.appeared or belief.vanished:
        written.append(records.ListChanged(known.name, belief.appeared, belief.vanished))
    if belief.left_inventory:
        written.append(records.DevicesDisowned(known.name, belief.left_inventory))
    if belief.moot_retries:
        written.append(records.RetriesDropped(known.name, belief.moot_retries))
    pasts = belief.open + belief.closed
    if pasts:
        written.append(records.ChangesSaved.of(known, pasts))
    return written
