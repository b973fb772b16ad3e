"""What passes are about to change, written before each call, and the results.

Owns: which of them must survive a loss of power. Must not: decide what to change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from reconciler.core.memory import NO_NAMES, AccountMemory, DeviceNames, intents
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    DeviceId,
    Outcome,
    PassId,
    Retry,
    Revision,
)
from reconciler.state import records
from reconciler.state.memories import Memories
from reconciler.state.port import Changes, Names
from reconciler.state.protections import ProtectionStore
from reconciler.state.records import Record
from reconciler.state.write_behind import WriteBehind


class ChangeStore(Changes):
    """Intents and outcomes, over the shared memory and the write-behind."""

    def __init__(
        self, behind: WriteBehind, memories: Memories, names: Names, protections: ProtectionStore
    ) -> None:
        self._behind, self._memories, self._names = behind, memories, names
        self._protections = protections

    def intend(  # noqa: PLR0917 - called through a worker thread, which takes no keywords
        self,
        account: AccountName,
        pass_id: PassId,
        changes: Sequence[Change],
        approved: frozenset[DeviceId],
        revision: Revision,
        now: datetime,
    ) -> DeviceNames:
        if not changes:
            return NO_NAMES
        names = self._names.of(account, [change.device for change in changes])
        with self._memories.changing(account, now) as known:
            begun = intents(changes, pass_id, approved, revision, now, names)
            replaced = known.intend(begun)
            if replaced:  # apart: they are over, whether these intents may be written or not
                over = records.ChangesSaved.of(known, replaced)
                self._behind.waiting.add(over, account=account)
            saved = records.ChangesSaved.of(known, begun)
            lasting = any(change.action is Action.UNSUBSCRIBE for change in changes)
            self._behind.waiting.add(saved, account=account, lasting=lasting)
        return names

    def withdraw(
        self, account: AccountName, pass_id: PassId, devices: Collection[DeviceId]
    ) -> None:
        with self._memories.changing(account) as known:
            withdrawn = known.withdraw(pass_id, devices)
            if withdrawn:
                self._behind.waiting.add(records.ChangesDropped(withdrawn), account=account)

    def record(
        self,
        account: AccountName,
        pass_id: PassId,
        outcomes: Sequence[Outcome],
        retries: Mapping[DeviceId, Retry | None],
        now: datetime,
    ) -> None:
        names = self._without_intent(account, pass_id, outcomes, now)
        with self._memories.changing(account, now) as known:
            pasts = known.record(pass_id, outcomes, names)
            written: list[Record] = []
            if pasts:
                written.append(records.ChangesSaved.of(known, pasts))
            written += _waits(account, retries, ended=known.wait(retries))
            if known.trusted:
                written += _expected(known, outcomes)
            unsubscribed = (one for one in outcomes if one.change.action is Action.UNSUBSCRIBE)
            if written:
                lasting = any(one.result.confirmed for one in unsubscribed)
                self._behind.waiting.add(*written, account=account, lasting=lasting)
            self._protections.unsubscribed(known, outcomes)

    def _without_intent(
        self, account: AccountName, pass_id: PassId, outcomes: Sequence[Outcome], now: datetime
    ) -> DeviceNames:
        """Return the names of devices whose change was not written down before its call."""
        with self._memories.known(account, now) as known:
            unknown = []
            for outcome in outcomes:
                change = outcome.change
                intent = known.open.get(change.device)
                if intent is None or not intent.is_of(pass_id, change):
                    unknown.append(change.device)
        return self._names.of(account, unknown) if unknown else NO_NAMES


def _waits(
    account: AccountName, retries: Mapping[DeviceId, Retry | None], *, ended: frozenset[DeviceId]
) -> Iterable[Record]:
    """Return the devices that no longer wait, and those that do."""
    if ended:
        yield records.RetriesDropped(account, ended)
    waiting = {device: retry for device, retry in retries.items() if retry is not None}
    if waiting:
        yield records.RetriesSaved(account, waiting)


def _expected(known: AccountMemory, outcomes: Iterable[Outcome]) -> Iterable[Record]:
    """Return the effect of confirmed changes on the expected list."""
    last = {one.change.device: one.change.action for one in outcomes if one.result.confirmed}
    if last:
        appeared = frozenset(
            device for device, action in last.items() if action is Action.SUBSCRIBE
        )
        yield records.ListChanged(known.name, appeared, frozenset(last) - appeared)
