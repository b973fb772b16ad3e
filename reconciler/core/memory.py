"""What is remembered of one account, and how each event changes it.

Owns: the rules by which devices enter and leave the inventory, the expected list, the day's counts and the open
intents. Every event returns its differences, so that what is kept on disk is written by differences too.
Must not: do I/O, read a clock, or know how anything is kept. Not for use by two threads at once.

Sets may hold a million devices. They are kept as the very objects that were handed in where those are equal. What is
handed out stays as it was: a later event changes a copy, and only one however many events follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from types import MappingProxyType
from typing import Generic, TypeVar

from reconciler.core.backoff import DEVICE, REFUSED
from reconciler.core.guards import LIMIT_WINDOW, SUSPECT_FROM
from reconciler.core.model import (
    NOTHING,
    AccountName,
    Action,
    Change,
    Confirmed,
    DeviceId,
    Memory,
    MessageId,
    Observed,
    Outcome,
    PassId,
    Reason,
    Result,
    Retry,
    Revision,
)
from reconciler.core.planner import OVERLAY

KEPT = timedelta(days=90)
"""How long past changes are kept, and what is known of devices that are ours no longer."""
BY_LIST = "list"
"""``confirmed_by`` of a change that no answer confirmed and a trusted list showed as made."""
LONGEST_WAIT = {Reason.RETRY: DEVICE.most, Reason.REFUSED: REFUSED.most}
"""For how long a device waits at most. What was kept may say otherwise, by a clock that was wrong."""
SERVER_FAULT = 500
"""From this HTTP status on, a failed call may have done its work all the same, as one without any answer may."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Past:
    """A change that was begun, and what came of it.

    ``intended`` is when it was written down before its call, ``at`` the latest that is known of it. ``result`` is
    nothing as long as there is neither an answer nor a list that tells.
    """

    account: AccountName
    device: DeviceId
    action: Action
    intended: datetime
    at: datetime
    pass_id: PassId
    approved: bool = False
    revision: Revision | None = None
    result: Result | None = None
    confirmed_by: str | None = None
    message_id: MessageId | None = None
    lg_message_id: str | None = None
    status: int | None = None
    code: str | None = None
    words: str = ""

    @property
    def unanswered(self) -> bool:
        """Say whether only LG's list can tell what became of it."""
        return self.result in {None, Result.FAILED} and (self.status is None or self.status >= SERVER_FAULT)


@dataclass(frozen=True, slots=True)
class Moves:
    """How a text that came into force changed what is wanted."""

    entering: frozenset[DeviceId]
    leaving: frozenset[DeviceId]


@dataclass(frozen=True, slots=True)
class Belief:
    """How a trusted list changed what is known. ``first``: nothing was expected before it.

    ``open`` are past changes of which a later list may still tell more, ``closed`` those of which all is known now.
    """

    first: bool
    appeared: frozenset[DeviceId]
    vanished: frozenset[DeviceId]
    left_inventory: frozenset[DeviceId]
    open: tuple[Past, ...]
    closed: tuple[Past, ...]
    confirmed: tuple[Outcome, ...]
    moot_retries: frozenset[DeviceId]


class Members:
    """A frozen set that takes many small edits, and is built anew only when it is asked for."""

    __slots__ = ("_edits", "_frozen")

    def __init__(self, devices: frozenset[DeviceId] = frozenset()) -> None:
        self._frozen = devices
        self._edits: dict[DeviceId, bool] = {}

    def get(self) -> frozenset[DeviceId]:
        """Return the set; the same object until something changes."""
        if self._edits:
            there = {device for device, present in self._edits.items() if present}
            self._frozen = (self._frozen | there) - (self._edits.keys() - there)
            self._edits = {}
        return self._frozen

    def put(self, device: DeviceId, *, present: bool) -> None:
        """Add or remove one device."""
        self._edits[device] = present

    def become(self, devices: frozenset[DeviceId]) -> None:
        """Be this set, as this object."""
        self._frozen, self._edits = devices, {}


class Shelf(Generic[Value]):
    """Facts by device, which may be lent out: what was lent does not change any more."""

    __slots__ = ("_facts", "_lent", "_names")

    def __init__(self, facts: dict[DeviceId, Value] | None = None) -> None:
        self._facts = {} if facts is None else facts
        self._names: frozenset[DeviceId] | None = None
        self._lent = False

    def lend(self) -> Mapping[DeviceId, Value]:
        """Return what is on the shelf now."""
        self._lent = True
        return MappingProxyType(self._facts)

    def names(self) -> frozenset[DeviceId]:
        """Return the devices of which there is a fact."""
        if self._names is None:
            self._names = frozenset(self._facts) or NOTHING
        return self._names

    def mine(self) -> dict[DeviceId, Value]:
        """Return the facts for change."""
        if self._lent:
            self._facts, self._lent = dict(self._facts), False
        self._names = None
        return self._facts

    def look(self) -> dict[DeviceId, Value]:
        """Return the facts, not to be changed and not to be kept."""
        return self._facts


@dataclass(frozen=True, slots=True, eq=False)
class Absences(Mapping[DeviceId, datetime]):
    """Since when each device that may have to go is absent from the accepted texts.

    One that left a text: since then, also where it was in no list for so long that it is ours no longer. A live one
    that no text named within memory: since there are texts at all. The latter may be the whole live list, so they are
    not written out.
    """

    left: Mapping[DeviceId, datetime]
    disowned: Mapping[DeviceId, datetime]
    live: frozenset[DeviceId]
    inventory: frozenset[DeviceId]
    texts_since: datetime

    def __getitem__(self, device: DeviceId) -> datetime:
        since = self.left.get(device)
        if since is not None:
            return since
        if device in self.live and device not in self.inventory:
            return self.disowned.get(device, self.texts_since)
        raise KeyError(device)

    def __iter__(self) -> Iterator[DeviceId]:
        yield from self.left
        yield from self.live - self.inventory

    def __len__(self) -> int:
        return len(self.left) + len(self.live - self.inventory)


class AccountMemory:
    """What is remembered of one account. The public fields are what is kept of it on disk."""

    def __init__(self, name: AccountName) -> None:
        self.name = name
        self.texts_since: datetime | None = None
        self.trusted = False
        self.suspect_readings = 0
        self.credential: str | None = None
        self.inventory, self.expected = Members(), Members()
        self.left: Shelf[datetime] = Shelf()
        self.disowned: Shelf[datetime] = Shelf()
        self.confirmed: Shelf[Confirmed] = Shelf()
        self.unsubscribed: Shelf[datetime] = Shelf()
        self.resubscribed: Shelf[tuple[datetime, ...]] = Shelf()
        self.retries: Shelf[Retry] = Shelf()
        self.open: dict[DeviceId, Past] = {}
        self.calls: tuple[float, ...] = ()
        self.calls_per_hour: int | None = None
        self._listed: frozenset[DeviceId] | None = None
        self._oldest: datetime | None = None

    def recall(self, now: datetime, credential: str | None, *, writable: bool) -> Memory:
        """Return what a pass may know. ``credential`` is the mark of the one in use now."""
        self._forget_before(now - LIMIT_WINDOW)
        inventory, expected = self.inventory.get(), self.expected.get()
        left = self.left.lend()
        since = self.texts_since
        return Memory(
            inventory=inventory,
            expected=expected if self.trusted else None,
            confirmed=self.confirmed.lend(),
            unsubscribed=self.unsubscribed.names(),
            resubscribed=self.resubscribed.lend(),
            absent_since=left if since is None else Absences(left, self.disowned.lend(), expected, inventory, since),
            retries=self.retries.lend(),
            suspect_readings=self._readings(credential),
            credential_changed=self._is_other(credential),
            writable=writable,
        )

    def desire(self, devices: frozenset[DeviceId], now: datetime) -> Moves:
        """Take what a text wants that came into force. What it does not name any more stays ours until seen gone."""
        self.texts_since = self.texts_since or now
        inventory, left, expected = self.inventory.get(), self.left.look(), self.expected.get()
        same = devices == inventory
        if same if expected is inventory else devices == expected:
            self.expected.become(devices)
        if same and not left:
            self._listed = devices
            self.inventory.become(devices)
            return Moves(frozenset(), frozenset())
        back = devices & left.keys()
        moves = Moves(entering=(devices - inventory) | back, leaving=inventory - devices - left.keys())
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

    def believe(self, observed: Observed, credential: str | None, now: datetime, live: frozenset[DeviceId]) -> Belief:
        """Take a trusted list. ``live`` is it with our freshest confirmed changes, which it may lag behind.

        What LG refused while a small account's list was doubted, it may have refused to another user: no device waits
        for that any longer.
        """
        first, before, doubted = not self.trusted, self.expected.get(), self.suspect_readings
        still_open, closed, confirmed = self._settle(observed, live, now)
        seen = live if live is not observed.devices and live != observed.devices else observed.devices
        same = seen is before or seen == before
        seen = before if same and seen is not self._listed else seen
        appeared = frozenset() if same else seen - before
        vanished = frozenset() if same else before - seen
        gone = self._gone(self.expected.get(), observed.devices, live)
        self.trusted, self.suspect_readings, self.credential = True, 0, credential
        self.expected.become(seen)
        self._disown(gone, now)
        listed, absences = self.inventory.get(), self.left.look()
        strange = doubted and len(before) < SUSPECT_FROM
        moot = frozenset(
            device
            for device, retry in self.retries.look().items()
            if (device not in seen and (device not in listed or device in absences))
            or (strange and retry.reason is Reason.REFUSED)
        )
        self.drop_retries(moot)
        return Belief(first, appeared, vanished, gone, still_open, closed, confirmed, moot)

    def agrees(self, observed: Observed, credential: str | None, live: frozenset[DeviceId]) -> bool:
        """Say whether a list is what is known, and nothing waits for what it says: to believe it changes nothing."""
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
        """Count a list that was not believed. ``credential`` is the mark of the one that it was read with.

        Readings with another credential than that of the last trusted list count below zero: back with that one, they
        are no reason to believe its next list.
        """
        readings = self._readings(credential) + 1
        self.suspect_readings = -readings if self._is_other(credential) else readings

    def vouch(self, credential: str | None) -> frozenset[DeviceId]:
        """Take a person's word that the credential in use is right, and forget the retries; return whose they were."""
        if credential is not None and self.credential is not None:
            self.suspect_readings = self._readings(credential)
            self.credential = credential
        return self.drop_retries(self.retries.names())

    def _is_other(self, credential: str | None) -> bool:
        return None not in {credential, self.credential} and credential != self.credential

    def _readings(self, credential: str | None) -> int:
        """Return how many lists in a row were not believed with this credential."""
        return max(-self.suspect_readings if self._is_other(credential) else self.suspect_readings, 0)

    def drop_retries(self, devices: Collection[DeviceId]) -> frozenset[DeviceId]:
        """Let devices wait no longer; return those that did."""
        waited = frozenset(device for device in devices if device in self.retries.look())
        if waited:
            retries = self.retries.mine()
            for device in waited:
                del retries[device]
        return waited

    def intend(self, intents: Iterable[Past]) -> tuple[Past, ...]:
        """Take changes that are about to be made; return older ones of the same devices, now closed for good."""
        closed = []
        for intent in intents:
            before = self.open.get(intent.device)
            if before is not None:
                closed.append(_without_answer(before))
            self.open[intent.device] = intent
        return tuple(closed)

    def withdraw(self, pass_id: PassId, devices: Iterable[DeviceId]) -> tuple[Past, ...]:
        """Take back intents whose calls were never made; return them."""
        mine = {device for device in devices if device in self.open and self.open[device].pass_id == pass_id}
        return tuple(self.open.pop(device) for device in sorted(mine) if self.open[device].result is None)

    def record(self, pass_id: PassId, outcomes: Sequence[Outcome]) -> tuple[Past, ...]:
        """Take what came of changes; return them in full, and older ones of the same devices, now closed for good."""
        told = []
        for outcome in outcomes:
            intent = self._intent(pass_id, outcome)
            before = self.open.pop(intent.device, intent)
            if before is not intent:
                told.append(_without_answer(before))
            past = _ended(intent, outcome)
            if past.unanswered:
                self.open[past.device] = past
            if outcome.result.confirmed:
                self._confirm(past, outcome.result)
            told.append(past)
        return tuple(told)

    def wait(self, retries: Mapping[DeviceId, Retry | None]) -> frozenset[DeviceId]:
        """Let devices wait, or no longer where there is nothing to wait for; return those whose waiting ended."""
        waiting = {device: retry for device, retry in retries.items() if retry is not None}
        if waiting:
            self.retries.mine().update(waiting)
        return self.drop_retries(retries.keys() - waiting.keys())

    def retired(self) -> AccountMemory:
        """Return what stays of an account that is done with: the day's count, should it come back within the day."""
        fresh = AccountMemory(self.name)
        fresh.confirmed, fresh.unsubscribed, fresh._oldest = self.confirmed, self.unsubscribed, self._oldest
        fresh.resubscribed = self.resubscribed
        return fresh

    def count_from(self, pasts: Iterable[Past]) -> None:
        """Take the confirmed changes of the last day, oldest first, as they were kept."""
        for past in pasts:
            if past.result is not None:
                self._count(past, past.result)

    def reset(self, step: timedelta, now: datetime) -> None:
        """Take a step of the wall clock, to ``now``: what waits goes on waiting for as long as it would have.

        What we confirmed stays as old as it is. The day's count is only brought to ``now`` where it would be later.
        """
        if self.retries.look():
            retries = self.retries.mine()
            for device, retry in tuple(retries.items()):
                retries[device] = _clamped(replace(retry, until=retry.until + step), now)
        if self.confirmed.look():
            confirmed = self.confirmed.mine()
            for device, one in tuple(confirmed.items()):
                confirmed[device] = replace(one, at=one.at + step)
        self.not_later_than(now)

    def not_later_than(self, now: datetime) -> None:
        """Bring dates of the past that are to come to ``now``: the clock that wrote them was ahead."""
        self._oldest = None if self._oldest is None else min(self._oldest, now)
        for shelf in (self.left, self.unsubscribed):
            late = [device for device, at in shelf.look().items() if at > now]
            if late:
                shelf.mine().update(dict.fromkeys(late, now))
        late = [device for device, each in self.resubscribed.look().items() if each[-1] > now]
        for device in late:
            self.resubscribed.mine()[device] = tuple(min(at, now) for at in self.resubscribed.look()[device])
        late = [device for device, retry in self.retries.look().items() if _clamped(retry, now) is not retry]
        for device in late:
            self.retries.mine()[device] = _clamped(self.retries.look()[device], now)

    def _intent(self, pass_id: PassId, outcome: Outcome) -> Past:
        change = outcome.change
        intent = self.open.get(change.device)
        if intent is not None and intent.pass_id == pass_id and intent.action is change.action:
            return intent
        return Past(self.name, change.device, change.action, outcome.at, outcome.at, pass_id)

    def _confirm(self, past: Past, result: Result) -> None:
        if self.trusted:
            self.expected.put(past.device, present=past.action is Action.SUBSCRIBE)
        self._count(past, result)

    def _count(self, past: Past, result: Result) -> None:
        before = self.confirmed.look().get(past.device)
        now = Confirmed(past.action, result, past.at)
        self.confirmed.mine()[past.device] = now
        if now.taken and before is not None and before.taken:
            self.resubscribed.mine()[past.device] = (*self.resubscribed.look().get(past.device, ()), past.at)
        if past.action is Action.UNSUBSCRIBE and not past.approved:
            self.unsubscribed.mine()[past.device] = past.at
        self._oldest = min(self._oldest or past.at, past.at)

    def _forget_before(self, moment: datetime) -> None:
        if self._oldest is None or self._oldest > moment:
            return
        confirmed = {device: one for device, one in self.confirmed.look().items() if one.at > moment}
        unsubscribed = {device: at for device, at in self.unsubscribed.look().items() if at > moment}
        again = {device: tuple(at for at in each if at > moment) for device, each in self.resubscribed.look().items()}
        again = {device: each for device, each in again.items() if each}
        self.confirmed, self.unsubscribed, self.resubscribed = Shelf(confirmed), Shelf(unsubscribed), Shelf(again)
        moments = (
            *(one.at for one in confirmed.values()),
            *unsubscribed.values(),
            *chain.from_iterable(again.values()),
        )
        self._oldest = min(moments, default=None)

    def _settle(
        self, observed: Observed, live: frozenset[DeviceId], now: datetime
    ) -> tuple[tuple[Past, ...], tuple[Past, ...], tuple[Outcome, ...]]:
        """Look what a list tells of the open intents: which stay open, which are closed, which it shows as made.

        A list may lag behind a call, so for a while it can show that a change was made but not that it was not. One
        that our freshest confirmed changes contradict tells nothing.
        """
        still_open, closed, confirmed = [], [], []
        for device, past in tuple(self.open.items()):
            if past.intended > observed.began:
                continue
            wanted = past.action is Action.SUBSCRIBE
            if (device in observed.devices) is wanted and (device in live) is wanted:
                made = replace(past, result=Result.SUCCESS, confirmed_by=BY_LIST, at=now)
                self._confirm(made, Result.SUCCESS)
                confirmed.append(_outcome(made))
                closed.append(made)
                del self.open[device]
            elif observed.began - past.at > OVERLAY:
                closed.append(_without_answer(past))
                del self.open[device]
            elif past.result is None:
                self.open[device] = _without_answer(past)
                still_open.append(self.open[device])
        return tuple(still_open), tuple(closed), tuple(confirmed)

    def _gone(
        self, expected: frozenset[DeviceId], observed: frozenset[DeviceId], live: frozenset[DeviceId]
    ) -> frozenset[DeviceId]:
        """Return the devices that are ours no longer: out of the texts, and not live by all that is known.

        Where it should have been live by what was known before, because it was not we who unsubscribed it, it takes a
        second list: one that is short by mistake must not make us disown a live device, which ``prune = "owned"`` would
        never touch again.
        """
        return frozenset(
            device
            for device in self.left.look()
            if device not in live and device not in observed and device not in expected and device not in self.open
        )

    def _disown(self, gone: frozenset[DeviceId], now: datetime) -> None:
        if not gone:
            return
        absences, disowned = self.left.mine(), self.disowned.mine()
        for device in gone:
            disowned[device] = absences.pop(device)
            self.inventory.put(device, present=False)
        for device in [device for device, since in disowned.items() if since < now - KEPT]:
            del disowned[device]
        if not absences and self._listed is not None:
            self.inventory.become(self._listed)


def intents(
    changes: Iterable[Change], pass_id: PassId, approved: frozenset[DeviceId], revision: Revision, now: datetime
) -> tuple[Past, ...]:
    """Return changes as they are written down before their calls."""
    return tuple(
        Past(
            account=change.account,
            device=change.device,
            action=change.action,
            intended=now,
            at=now,
            pass_id=pass_id,
            approved=change.device in approved,
            revision=revision,
        )
        for change in changes
    )


def _clamped(retry: Retry, now: datetime) -> Retry:
    """Return a wait that ends no later than the longest of its kind would if it began now."""
    latest = now + LONGEST_WAIT[retry.reason]
    return retry if retry.until <= latest else replace(retry, until=latest)


def _ended(past: Past, outcome: Outcome) -> Past:
    return replace(
        past,
        at=outcome.at,
        approved=outcome.approved,
        revision=past.revision or outcome.revision,
        result=outcome.result,
        confirmed_by=outcome.confirmed_by,
        message_id=outcome.message_id,
        lg_message_id=outcome.lg_message_id,
        status=outcome.status,
        code=outcome.code,
        words=outcome.words,
    )


def _without_answer(past: Past) -> Past:
    """Return a change of which nothing more will be heard as failed, unless its outcome is known already."""
    return past if past.result is not None else replace(past, result=Result.FAILED, words="no answer was recorded")


def _outcome(past: Past) -> Outcome:
    return Outcome(
        change=Change(past.account, past.action, past.device),
        result=Result.SUCCESS,
        at=past.at,
        approved=past.approved,
        message_id=past.message_id,
        confirmed_by=past.confirmed_by,
        revision=past.revision,
    )
