"""The memory of one account, and how each event changes it.

Owns: the rules by which devices enter and leave the inventory and the expected list, waits, and doubted lists.
Must not: do I/O, read a clock, or know how anything is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.core.backoff import DEVICE, REFUSED
from reconciler.core.guards import LIMIT_WINDOW, SUSPECT_FROM
from reconciler.core.memory.absences import Absences
from reconciler.core.memory.changes import (
    NO_TIME,
    Past,
    Settled,
    begun,
    ended,
    outcome_of,
    settled,
    without_answer,
)
from reconciler.core.memory.day import Day
from reconciler.core.memory.names import NO_NAMES, DeviceNames, Names
from reconciler.core.memory.shelves import Members, Shelf, cap
from reconciler.core.model import (
    AccountName,
    Action,
    DeviceId,
    Memory,
    Observed,
    Outcome,
    PassId,
    Reason,
    Result,
    Retry,
)
from reconciler.core.protection import NONE_PROTECTED, Protected

KEPT = timedelta(days=90)
"""How long we keep past changes, and facts about devices that are no longer ours."""
LONGEST_WAIT = {Reason.RETRY: DEVICE.most, Reason.REFUSED: REFUSED.most}
"""The longest wait of a device. A wrong clock may have written a longer one."""


@dataclass(frozen=True, slots=True)
class Moves:
    """How a new revision changed what is wanted."""

    entering: frozenset[DeviceId]
    leaving: frozenset[DeviceId]


@dataclass(frozen=True, slots=True)
class Belief:
    """How a trusted list changed what is known. ``first``: nothing was expected before it.

    ``open`` are past changes that a later list may still confirm; the outcome of ``closed`` ones is final.
    """

    first: bool
    appeared: frozenset[DeviceId]
    vanished: frozenset[DeviceId]
    left_inventory: frozenset[DeviceId]
    open: tuple[Past, ...]
    closed: tuple[Past, ...]
    confirmed: tuple[Outcome, ...]
    moot_retries: frozenset[DeviceId]


class AccountMemory:
    """What is remembered of one account. The public fields are also on disk."""

    def __init__(self, name: AccountName) -> None:
        self.name = name
        self.texts_since: datetime | None = None
        self.trusted = False
        self.suspect_readings = 0
        self.credential: str | None = None
        self.inventory, self.expected = Members(), Members()
        self.left: Shelf[datetime] = Shelf()
        self.disowned: Shelf[datetime] = Shelf()
        self.day = Day()
        self.names = Names()
        self.retries: Shelf[Retry] = Shelf()
        self.open: dict[DeviceId, Past] = {}
        self.calls: tuple[float, ...] = ()
        self.calls_per_hour: int | None = None
        self._listed: frozenset[DeviceId] | None = None

    def recall(
        self,
        now: datetime,
        credential: str | None,
        *,
        writable: bool,
        protected: Protected = NONE_PROTECTED,
    ) -> Memory:
        """Return what a pass may know. ``credential`` is the mark of the present credential."""
        self.day.forget_before(now - LIMIT_WINDOW)
        inventory, expected = self.inventory.get(), self.expected.get()
        absent: Mapping[DeviceId, datetime] = self.left.lend()
        if self.texts_since is not None:
            absent = Absences(absent, self.disowned.lend(), expected, inventory, self.texts_since)
        return Memory(
            inventory=inventory,
            expected=expected if self.trusted else None,
            confirmed=self.day.confirmed.lend(),
            unsubscribed=self.day.unsubscribed.names(),
            resubscribed=self.day.resubscribed.lend(),
            absent_since=absent,
            retries=self.retries.lend(),
            suspect_readings=self._readings(credential),
            credential_changed=_is_other(credential, self.credential),
            writable=writable,
            protected=protected,
        )

    def desire(self, devices: frozenset[DeviceId], now: datetime) -> Moves:
        """Apply a new revision. A device that it no longer names stays ours until a list shows that it is gone."""
        self.texts_since = self.texts_since or now
        inventory, left, expected = self.inventory.get(), self.left.look(), self.expected.get()
        same = devices == inventory
        as_expected = same if expected is inventory else devices == expected
        if as_expected:
            self.expected.become(devices)
        if same and not left:
            self._listed = devices
            self.inventory.become(devices)
            return Moves(frozenset(), frozenset())
        back = devices & left.keys()
        moves = Moves(
            entering=(devices - inventory) | back, leaving=inventory - devices - left.keys()
        )
        if moves.entering or moves.leaving:
            absences = self.left.mine()
            for device in back:
                del absences[device]
            absences.update(dict.fromkeys(moves.leaving, now))
        if not moves.entering.isdisjoint(self.disowned.look()):
            disowned = self.disowned.mine()
            for device in moves.entering & disowned.keys():
                del disowned[device]
        self._listed = devices
        self.inventory.become(inventory | devices if self.left.look() else devices)
        return moves

    def believe(
        self,
        observed: Observed,
        credential: str | None,
        now: datetime,
        live: frozenset[DeviceId],
        longest_call: timedelta = NO_TIME,
    ) -> Belief:
        """Apply a trusted list. ``live`` is that list with our latest confirmed changes, which the list may lag behind.

        ``longest_call`` is how long a call of another replica may be under way.

        While a small account's list was doubted, LG may have refused devices to another user. So those devices no
        longer wait.
        """
        first, before, doubted = not self.trusted, self.expected.get(), self.suspect_readings
        found = settled(self.open, observed, live, now, longest_call)
        self._settle(found)
        seen = live
        if live is observed.devices or live == observed.devices:
            seen = observed.devices
        same = seen is before or seen == before
        if same and seen is not self._listed:
            seen = before
        gone = self._ours_no_longer(observed.devices, live)
        self.trusted, self.suspect_readings, self.credential = True, 0, credential
        self.expected.become(seen)
        self._disown(gone, now)
        moot = self._moot_retries(seen, refused_too=bool(doubted) and len(before) < SUSPECT_FROM)
        self.drop_retries(moot)
        return Belief(
            first=first,
            appeared=frozenset() if same else seen - before,
            vanished=frozenset() if same else before - seen,
            left_inventory=gone,
            open=found.unanswered,
            closed=found.closed,
            confirmed=tuple(outcome_of(past) for past in found.made),
            moot_retries=moot,
        )

    def _settle(self, found: Settled) -> None:
        """Apply what a list shows about the open changes."""
        for past in found.made:
            self._confirm(past, Result.SUCCESS)
        for past in found.closed:
            del self.open[past.device]
        for past in found.unanswered:
            self.open[past.device] = past

    def _moot_retries(self, seen: frozenset[DeviceId], *, refused_too: bool) -> frozenset[DeviceId]:
        """Return the devices that no longer need to wait: nobody wants them, or LG refused another user."""
        listed, absences = self.inventory.get(), self.left.look()
        moot = []
        for device, retry in self.retries.look().items():
            unwanted = device not in seen and (device not in listed or device in absences)
            if unwanted or (refused_too and retry.reason is Reason.REFUSED):
                moot.append(device)
        return frozenset(moot)

    def agrees(self, observed: Observed, credential: str | None, live: frozenset[DeviceId]) -> bool:
        """Say whether a list equals what is known and no change waits for it, so that believing it changes nothing."""
        return (
            observed.devices is live is self.expected.get()
            and self.trusted
            and not self.suspect_readings
            and credential == self.credential
            and not self.open
            and not self.left.look()
            and not self.retries.look()
        )

    def doubt(self, credential: str | None) -> None:
        """Count a list that was not believed. ``credential`` is the mark of the credential that read it.

        Readings with another credential than that of the last trusted list count below zero. When the old credential
        is back, they are no reason to believe its next list.
        """
        readings = self._readings(credential) + 1
        self.suspect_readings = -readings if _is_other(credential, self.credential) else readings

    def vouch(self, credential: str | None) -> frozenset[DeviceId]:
        """Record that a person confirmed the credential, and clear the retries; return their devices."""
        if credential is not None and self.credential is not None:
            self.suspect_readings = self._readings(credential)
            self.credential = credential
        return self.drop_retries(self.retries.names())

    def _readings(self, credential: str | None) -> int:
        """Return the number of lists in a row that were not believed with this credential."""
        other = _is_other(credential, self.credential)
        return max(-self.suspect_readings if other else self.suspect_readings, 0)

    def drop_retries(self, devices: Collection[DeviceId]) -> frozenset[DeviceId]:
        """End the waits of devices; return those that waited."""
        waited = frozenset(device for device in devices if device in self.retries.look())
        if waited:
            retries = self.retries.mine()
            for device in waited:
                del retries[device]
        return waited

    def intend(self, intents: Iterable[Past]) -> tuple[Past, ...]:
        """Record changes that are about to be made; return older ones of the same devices, which are now final."""
        closed = []
        for intent in intents:
            before = self.open.get(intent.device)
            if before is not None:
                closed.append(without_answer(before))
            self.open[intent.device] = intent
        return tuple(closed)

    def withdraw(self, pass_id: PassId, devices: Iterable[DeviceId]) -> tuple[Past, ...]:
        """Take back intents whose calls were never made; return them."""
        mine = {
            device
            for device in devices
            if device in self.open and self.open[device].pass_id == pass_id
        }
        return tuple(
            self.open.pop(device) for device in sorted(mine) if self.open[device].result is None
        )

    def record(
        self,
        pass_id: PassId,
        outcomes: Sequence[Outcome],
        names: DeviceNames = NO_NAMES,
    ) -> tuple[Past, ...]:
        """Record the results of changes; return them in full, and older ones of the same devices, now final.

        ``names`` are those of devices whose change has no intent.
        """
        taken = []
        for outcome in outcomes:
            before = self.open.pop(outcome.change.device, None)
            if before is not None and before.is_of(pass_id, outcome.change):
                intent = before
            else:
                intent = begun(self.name, pass_id, outcome, names.get(outcome.change.device, ""))
                if before is not None:
                    taken.append(without_answer(before))
            past = ended(intent, outcome)
            if past.unanswered:
                self.open[past.device] = past
            if outcome.result.confirmed:
                self._confirm(past, outcome.result)
            taken.append(past)
        return tuple(taken)

    def wait(self, retries: Mapping[DeviceId, Retry | None]) -> frozenset[DeviceId]:
        """Begin waits, or end them if there is nothing to wait for; return the devices whose wait ended."""
        waiting = {device: retry for device, retry in retries.items() if retry is not None}
        if waiting:
            self.retries.mine().update(waiting)
        return self.drop_retries(retries.keys() - waiting.keys())

    def retired(self) -> AccountMemory:
        """Return what stays of an account that was removed, in case it returns: the count of the day, and its calls."""
        fresh = AccountMemory(self.name)
        fresh.day = self.day
        fresh.calls, fresh.calls_per_hour = self.calls, self.calls_per_hour
        return fresh

    def count_from(self, pasts: Iterable[Past]) -> None:
        """Restore the confirmed changes of the last day, oldest first."""
        for past in pasts:
            if past.result is not None:
                self.day.count(past, past.result)

    def reset(self, step: timedelta, now: datetime) -> None:
        """Apply a step of the wall clock, to ``now``: waits keep their length.

        Confirmed changes keep their age. The count of the day moves to ``now`` only if it would be in the future.
        """
        if self.retries.look():
            retries = self.retries.mine()
            for device, retry in tuple(retries.items()):
                retries[device] = _clamped(replace(retry, until=retry.until + step), now)
        self.day.shift(step)
        self.not_later_than(now)

    def not_later_than(self, now: datetime) -> None:
        """Move dates of past events that are in the future to ``now``: the clock that wrote them was ahead."""
        self.day.not_later_than(now)
        cap(self.left, now)
        late = [
            device
            for device, retry in self.retries.look().items()
            if _clamped(retry, now) is not retry
        ]
        for device in late:
            self.retries.mine()[device] = _clamped(self.retries.look()[device], now)

    def _confirm(self, past: Past, result: Result) -> None:
        if self.trusted:
            self.expected.put(past.device, present=past.action is Action.SUBSCRIBE)
        self.day.count(past, result)

    def _ours_no_longer(
        self, observed: frozenset[DeviceId], live: frozenset[DeviceId]
    ) -> frozenset[DeviceId]:
        """Return the devices that are no longer ours: in no revision, and not live as far as we know.

        If a device should still be live, because we did not unsubscribe it, a second list must agree. One short list
        must not make us disown a live device: ``prune = "owned"`` would never touch it again.
        """
        expected = self.expected.get()
        gone = []
        for device in self.left.look():
            listed = device in live or device in observed or device in expected
            if not listed and device not in self.open:
                gone.append(device)
        return frozenset(gone)

    def _disown(self, gone: frozenset[DeviceId], now: datetime) -> None:
        if not gone:
            return
        absences, disowned = self.left.mine(), self.disowned.mine()
        for device in gone:
            disowned[device] = absences.pop(device)
            self.inventory.put(device, present=False)
        forgotten = [device for device, since in disowned.items() if since < now - KEPT]
        for device in forgotten:
            del disowned[device]
        if not absences and self._listed is not None:
            self.inventory.become(self._listed)


def _is_other(credential: str | None, before: str | None) -> bool:
    """Say whether the credential changed, as far as both are known."""
    return None not in {credential, before} and credential != before


def _clamped(retry: Retry, now: datetime) -> Retry:
    """Return the wait, shortened to the longest of its kind that begins now."""
    latest = now + LONGEST_WAIT[retry.reason]
    return retry if retry.until <= latest else replace(retry, until=latest)
