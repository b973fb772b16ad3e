"""The events that the simulated platform has for the partner, and what becomes of each.

Owns: which diagnoses are made and when, what faults do to them, and which calls are due: first ones, copies, retries.
Must not: do I/O, sleep, or read any clock or randomness but the platform's and its own; ``sender`` makes the calls.

LG documents what a message says. It does not document how it is sent: retries, order and giving up are options here.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from reconciler.simulator import event_faults as fault
from reconciler.simulator.calls import Call, CallQueue, Sent, taken
from reconciler.simulator.diagnoses import diagnosis_types
from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.events import PCC_EVENT, Event
from reconciler.simulator.platform import Platform
from reconciler.simulator.world import HOUR, User, made_up

LOG: Final = 10_000
"""How many events are remembered to look at."""
DIAGNOSED_BEFORE: Final = 60.0
"""A diagnosis is made up to this many seconds before its message."""
LONGEST_RETRY: Final = HOUR


class Callbacks:
    """The events of one platform. ``take`` what is due, make the call, and report its ``answer``."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.log: deque[Sent] = deque(maxlen=LOG)
        self.made = 0
        self.refused_in_a_row = 0
        self.given_up: float | None = None
        self._random = Random(f"{platform.world.seed}/events")
        self._calls = CallQueue()
        self._next: tuple[float, float] | None = None
        self._candidates: dict[str, tuple[int, list[str]]] = {}
        self._last_diagnosis: dict[tuple[str, str], int] = {}

    # What is due

    def take(self) -> list[Call]:
        """Make the events whose time has come, and return the calls that are due, oldest first."""
        now = self.platform.now()
        self._make_due(now)
        return self._calls.take(now)

    def next_at(self) -> float | None:
        """Return when ``take`` may have something, in epoch seconds of the platform, or None."""
        times = (self._calls.next_at(), self._arrival(self.platform.now()))
        return min((at for at in times if at is not None), default=None)

    def answer(self, call: Call, status: int | None) -> None:
        """Take the answer to a call; None where there was none. It may lead to a retry, or to giving up."""
        call.attempts += 1
        for sent, _ in call.parts:
            sent.answers.append(status)
        self._count(status)
        options = self.platform.options
        done = taken(status) or call.attempts >= options.callback_attempts
        if done or self.given_up is not None:
            call.close()
            return
        if options.callback_retry_message_id == "new":
            call.parts = [(sent, self._message_id(sent)) for sent, _ in call.parts]
        wait = min(options.callback_retry * 2 ** (call.attempts - 1), LONGEST_RETRY)
        self._calls.put(call, self.platform.now() + wait)

    def resume(self) -> None:
        """Use the partner's address again after it was given up."""
        self.given_up = None
        self.refused_in_a_row = 0

    def _count(self, status: int | None) -> None:
        """Count refusals in a row, and give the address up where the options say so."""
        if taken(status):
            self.refused_in_a_row = 0
        if status is None or not 400 <= status < 500:  # noqa: PLR2004  HTTP's own
            return
        self.refused_in_a_row += 1
        limit = self.platform.options.callback_gives_up_after
        if limit is not None and self.refused_in_a_row >= limit and self.given_up is None:
            self.given_up = self.platform.now()
            self._calls.drop()

    # Making events

    def emit(
        self,
        user: str,
        device: str,
        *,
        diagnosis: str | None = None,
        diagnosed: float | None = None,
        push_type: str = PCC_EVENT,
        members: Mapping[str, Any] | None = None,
        effects: Sequence[fault.EventEffect] = (),
    ) -> Sent:
        """Make one event of a subscribed device, now. ``effects`` befall it besides those of the fault plan.

        What is not given is made up. LG sends events of subscribed devices only, so another one is an error.
        """
        now = self.platform.now()
        self.platform.world.settle(now)
        owner = self.platform.world.user(user)
        if device not in owner.subscriptions:
            raise SimulatorError(f"device {device!r} of {user!r} is not subscribed")
        known = owner.devices.get(device)
        device_type = known.type if known is not None else None
        at = now + self.platform.options.clock_offset
        event = Event(device, device_type, at, push_type, members=members or {})
        if push_type == PCC_EVENT:
            event = self._diagnosed(event, diagnosis, diagnosed)
        chosen = [*effects, *self.platform.choose_for_event(user, device, self._random)]
        return self._queue(owner, event, chosen)

    def emit_any(self, user: str | None = None, **given: Any) -> Sent | None:
        """Make one event of a subscribed device picked at random, or none where nothing is subscribed."""
        self.platform.world.settle(self.platform.now())
        if user is not None:
            listed = self._listed(self.platform.world.user(user))
            return self.emit(user, self._random.choice(listed), **given) if listed else None
        picked = self._pick()
        return None if picked is None else self.emit(*picked, **given)

    def subscriber(self, device: str) -> str:
        """Return the first user who has this device subscribed."""
        self.platform.world.settle(self.platform.now())
        for user in self.platform.world.users.values():
            if device in user.subscriptions:
                return user.name
        raise SimulatorError(f"device {device!r} is not subscribed")

    def _make_due(self, now: float) -> None:
        """Make the events that the whole fleet has had until now."""
        at = self._arrival(now)
        while at is not None and at <= now:
            self._next = None
            self.emit_any()
            at = self._arrival(at)

    def _arrival(self, now: float) -> float | None:
        """Return when the fleet has its next event: on average ``events_per_hour`` of them, at random times."""
        rate = self.platform.options.events_per_hour
        if not rate:
            self._next = None
            return None
        if self._next is None or self._next[0] != rate:
            self._next = (rate, now + self._random.expovariate(rate / HOUR))
        return self._next[1]

    def _pick(self) -> tuple[str, str] | None:
        """Pick one subscribed device, each as likely as any other."""
        if not self.platform.world.subscribed:
            return None
        place = self._random.randrange(self.platform.world.subscribed)
        for user in self.platform.world.users.values():
            if place < len(user.subscriptions):
                return user.name, self._listed(user)[place]
            place -= len(user.subscriptions)
        return None

    def _listed(self, user: User) -> list[str]:
        """Return the subscribed devices of a user as a list, made anew only where they changed."""
        known = self._candidates.get(user.name)
        if known is None or known[0] != user.revision:
            known = (user.revision, list(user.subscriptions))
            self._candidates[user.name] = known
        return known[1]

    def _diagnosed(self, event: Event, diagnosis: str | None, at: float | None) -> Event:
        """Return the event with a diagnosis: of its appliance type, made shortly before, and unlike any before."""
        kind = diagnosis or self._random.choice(diagnosis_types(event.device_type))
        when = at
        if when is None:
            when = event.at - self._random.uniform(0, DIAGNOSED_BEFORE)
            last = self._last_diagnosis.get((event.device, kind), 0)
            second = max(int(when), last + 1)  # times are written to the second
            self._last_diagnosis[event.device, kind] = second
            when = float(second)
        page = made_up("content", kind, event.device, when, digits=24)
        url = f"https://content.simulator.invalid/pcc/{page}"
        return replace(event, diagnosis=kind, diagnosed=when, content_url=url)

    # Faults

    def _queue(self, owner: User, event: Event, effects: Sequence[fault.EventEffect]) -> Sent:
        """Put the calls for one event in the queue, as the effects say."""
        for effect in effects:
            event = _spoiled(event, effect, self._random)
        names = tuple(str(effect.__struct_config__.tag) for effect in effects)
        self.made += 1
        sent = Sent(self.made, self.platform.now(), owner.name, event, [], names)
        self.log.append(sent)
        message_id = self._message_id(sent)
        if self.given_up is None:
            self._plan(sent, message_id, effects)
        return sent

    def _plan(self, sent: Sent, message_id: str, effects: Sequence[fault.EventEffect]) -> None:
        """Plan the first call and the copies of one event."""
        first = Call([(sent, message_id)])
        due = self.platform.now()
        held: fault.Reorder | None = None
        gathered: fault.Array | None = None
        copies: list[fault.Again] = []
        for effect in effects:
            match effect:
                case fault.Delay():
                    due += _between(effect, self._random)
                case fault.CutBody():
                    first.cut = effect
                case fault.Reorder():
                    held = effect
                case fault.Array():
                    gathered = effect
                case fault.Again():
                    copies.append(effect)
                case _:
                    pass  # what it does to the message itself is done
        sent.open += 1
        if gathered is not None:
            self._calls.gather(sent, message_id, gathered, self.platform.now())
        elif held is not None:
            self._calls.hold(first, held, due)
        else:
            self._calls.put(first, due)
        self._copy(sent, message_id, copies, due)

    def _copy(self, sent: Sent, message_id: str, copies: Sequence[fault.Again], due: float) -> None:
        """Plan the copies of an event, each later than the one before."""
        for again in copies:
            for _ in range(again.times):
                due += again.after
                copied = message_id if again.message_id == "same" else self._message_id(sent)
                sent.open += 1
                self._calls.put(Call([(sent, copied)]), due)

    def _message_id(self, sent: Sent) -> str:
        """Return a new message id: 22 characters of url-safe base64, as LG's are."""
        made = base64.urlsafe_b64encode(self._random.randbytes(16)).rstrip(b"=").decode()
        sent.message_ids.append(made)
        return made


def _spoiled(event: Event, effect: fault.EventEffect, random: Random) -> Event:
    """Return the event with what an effect does to its message."""
    changes: dict[str, Any] = {}
    match effect:
        case fault.Old():
            age = _between(effect, random)
            changes["at"] = event.at - age
            if event.diagnosed is not None:
                changes["diagnosed"] = event.diagnosed - age
        case fault.Unknown() if event.diagnosis is not None:
            changes["diagnosis"] = effect.diagnosis or f"SIM_NEW_{random.randrange(1000):03d}"
        case fault.Extra():
            changes["members"] = {**event.members, **effect.members}
            changes["extra"] = {"simulated": {"extra": True}}
        case fault.Without():
            changes["without"] = effect.members
        case fault.Push():
            changes.update(push_type=effect.type, diagnosis=None, diagnosed=None)
        case fault.Times():
            changes["form"] = effect.form
        case _:
            pass  # it is about the calls
    return replace(event, **changes)


def _between(effect: fault.Delay | fault.Old, random: Random) -> float:
    """Return the seconds that an effect asks for."""
    if effect.up_to is None:
        return effect.seconds
    return random.uniform(effect.seconds, effect.up_to)
