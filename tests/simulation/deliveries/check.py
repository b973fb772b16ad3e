"""The promises of delivery, and which of them a run broke.

Owns: what has to be true of a run, found out from what the partners saw and what the spool says in the end.
Must not: ask delivery.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from reconciler.events.config import Order
from reconciler.events.model import EventState, Result
from simulation.deliveries.day import Accepted, Day
from simulation.deliveries.partners import Partner, Tried

CLOCK = timedelta(minutes=30)
"""By how much an age may be wrong: the clock is set by some minutes a few times."""
FEWEST_TRIES = 5
FLOOD = 90
"""The most attempts of a sink in an hour in which it takes nothing, by one life of the process and one file."""
TURN = 40
"""The attempts that each restart, each change of the file and each replay allow beside them."""
HOUR = 3600.0


def broken(day: Day) -> Iterator[str]:
    """Yield a sentence for each promise that a run broke."""
    yield from _ids(day)
    yield from _deliveries(day)
    for partner in day.partners.values():
        yield from _order(day, partner)
        yield from _at_once(day, partner)
        yield from _floods(day, partner)


def _ids(day: Day) -> Iterator[str]:
    """Equal diagnoses have equal ids, and different ones never."""
    owner: dict[str, object] = {}
    for diagnosis, ids in day.ids.items():
        if (
            len(ids) > 1 and diagnosis.device is not None
        ):  # without a device, the bytes tell duplicates
            yield f"{diagnosis} has the ids {sorted(ids)}"
        for one in ids:
            if owner.setdefault(one, diagnosis) != diagnosis:
                yield f"{one} is the id of {diagnosis} and of {owner[one]}"


def _deliveries(day: Day) -> Iterator[str]:
    """Every event reaches each of its sinks, or is dead for a reason that is the sink's own."""
    tried: defaultdict[tuple[str, str], list[Tried]] = defaultdict(list)
    for partner in day.partners.values():
        for one in partner.tried:
            tried[one.id, partner.name].append(one)
    for event in day.accepted.values():
        for name in event.sinks:
            if (event.id, name) not in day.rows:
                yield f"event {event.seq} has no row for {name}"
    for (id_, name), state in day.rows.items():
        yield from _end(day, day.accepted[id_], name, state, tried[id_, name])
    for id_, name in tried:
        if (id_, name) not in day.rows:
            yield f"{name} got {id_}, which was not for it"


def _end(
    day: Day, event: Accepted, name: str, state: EventState, attempts: list[Tried]
) -> Iterator[str]:
    """Each event has come to its end, and to the right one."""
    if state is EventState.DEAD:
        yield from _wrongly_dead(day, event, name, attempts)
    elif state is not EventState.DELIVERED:
        yield f"event {event.seq} is still {state} at {name}"
    elif not any(one.taken for one in attempts):
        yield f"event {event.seq} counts as delivered, and {name} did not take it"


def _wrongly_dead(day: Day, event: Accepted, name: str, attempts: list[Tried]) -> Iterator[str]:
    """Nothing is dead that a working sink would have taken."""
    if not attempts:
        yield f"event {event.seq} is dead, and {name} never got it"
        return
    last = attempts[-1]
    if last.answer is not None and last.answer.result is Result.DEAD:
        return
    age = day.clock.start + timedelta(seconds=last.ended or last.began) - event.at
    is_old = age + CLOCK >= day.known[name].give_up_after
    if last.answer is not None and last.answer.result is Result.DELIVERED:
        yield f"event {event.seq} is dead, and {name} took it at the last attempt"
    elif not is_old or len(attempts) < FEWEST_TRIES:
        yield f"event {event.seq} is dead at {name} after {age} and {len(attempts)} tries"


def _order(day: Day, partner: Partner) -> Iterator[str]:
    """Events of one device go in the order in which they were stored, and one at a time."""
    if day.known[partner.name].order is not Order.DEVICE:
        return
    replays = [turn.at for turn in day.turns if turn.what == "replay" and turn.sink == partner.name]
    latest: dict[str, Tried] = {}
    for one in partner.tried:
        if one.device is None:
            continue
        before = latest.get(one.device)
        latest[one.device] = one
        if before is None or any(before.began <= at <= one.began for at in replays):
            continue
        if day.accepted[one.id].seq < day.accepted[before.id].seq:
            yield f"{partner.name} got {one.device}'s event {one.id} after a later one"
        if before.ended is None or before.ended > one.began:
            yield f"{partner.name} got two events of {one.device} at once"


def _at_once(day: Day, partner: Partner) -> Iterator[str]:
    """No event is tried twice side by side, and no more are than the file allows."""
    most = day.known[partner.name].concurrency
    ends: list[tuple[float, str]] = []
    for one in partner.tried:
        ends = [(end, id_) for end, id_ in ends if end > one.began]
        if any(id_ == one.id for _, id_ in ends):
            yield f"{partner.name} got {one.id} twice at once"
        ends.append((one.ended if one.ended is not None else one.began, one.id))
        if len(ends) > most:
            yield f"{partner.name} got {len(ends)} events at once, {most} are allowed"


def _floods(day: Day, partner: Partner) -> Iterator[str]:
    """No sink that takes nothing is asked all the time."""
    since = 0
    for index, one in enumerate(partner.tried):
        if one.answer is not None and one.answer.result is Result.DELIVERED:
            since = index + 1
            continue
        while partner.tried[since].began < one.began - HOUR:
            since += 1
        turns = [turn for turn in day.turns if one.began - HOUR <= turn.at <= one.began]
        if index - since > FLOOD + TURN * len(turns):
            yield f"{partner.name} got {index - since} attempts in an hour and took none"
            return
