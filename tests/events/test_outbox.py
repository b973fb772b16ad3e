"""The outbox beside a model of it: whatever happens in whatever order, the same events are due."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from disks import START, StandingClock
from reconciler.events.model import EventState, Outcome, Result
from reconciler.events.spool import Spool
from spooled import arrived, opened, sent

DEVICES = ("a", "b", "c")


@dataclass(frozen=True)
class Way:
    """Where one event is on its way."""

    device: str
    state: str
    due: datetime


class Model:
    """What is due, found by looking at every event."""

    def __init__(self) -> None:
        self.ways: dict[int, Way] = {}

    def free(self, *, ordered: bool, busy: Collection[int]) -> dict[int, Way]:
        """Return what waits only for its time."""
        waiting = {seq: way for seq, way in sorted(self.ways.items()) if way.state == "pending"}
        if ordered:
            first = {way.device: seq for seq, way in reversed(waiting.items())}
            waiting = {seq: waiting[seq] for seq in first.values()}
        return {seq: way for seq, way in waiting.items() if seq not in busy}

    def settle(self, outcome: Outcome) -> None:
        """Take how an attempt ended."""
        way = self.ways[outcome.seq]
        if outcome.due is not None:
            self.ways[outcome.seq] = replace(way, due=outcome.due)
        else:
            self.ways[outcome.seq] = replace(way, state=outcome.result.value)

    def replay(self, state: EventState, now: datetime) -> int:
        """Make events due again; return their number."""
        chosen = [seq for seq, way in self.ways.items() if way.state == state]
        for seq in chosen:
            self.ways[seq] = replace(self.ways[seq], state="pending", due=now)
        return len(chosen)


class Life:
    """A spool and its model, to which the same things happen."""

    def __init__(self, spool: Spool, clock: StandingClock, seed: int) -> None:
        self._spool, self._clock = spool, clock
        self._chance = random.Random(seed)  # noqa: S311 - any will do
        self._model = Model()
        self._number = 0

    async def step(self) -> None:
        """Let one thing happen, a second after the last."""
        self._clock.wait(seconds=1)
        happens = self._chance.choice([self._store, self._attempt, self._attempt, self._replay])
        await happens()
        for ordered in (True, False):
            self._compare(ordered=ordered)

    async def _store(self) -> None:
        devices = self._chance.choices(DEVICES, k=self._chance.randint(1, 5))
        bodies = [sent(device, self._number + place) for place, device in enumerate(devices)]
        self._number += len(bodies)
        receipts = await self._spool.store(arrived(*bodies))
        for receipt, device in zip(receipts, devices, strict=True):
            self._model.ways[receipt.seq] = Way(device, "pending", self._clock.at)

    async def _attempt(self) -> None:
        now, chance = self._clock.at, self._chance
        ordered = chance.random() < 0.7
        attempts = self._spool.due("crm", now, chance.randint(1, 3), ordered=ordered, busy=())
        outcomes = []
        for attempt in attempts:
            result = chance.choice(list(Result))
            due = now + timedelta(seconds=chance.randint(1, 20))
            again = due if result is Result.RETRY else None
            outcomes.append(Outcome(attempt.seq, "crm", result, now, again))
        await self._spool.record(outcomes)
        for outcome in outcomes:
            self._model.settle(outcome)

    async def _replay(self) -> None:
        state = self._chance.choice([EventState.DEAD, EventState.DELIVERED])
        expected = self._model.replay(state, self._clock.at)
        assert self._spool.replay("crm", START, states=[state]) == expected

    def _compare(self, *, ordered: bool) -> None:
        now = self._clock.at
        pending = [seq for seq, way in self._model.ways.items() if way.state == "pending"]
        busy = self._chance.sample(pending, min(len(pending), self._chance.randint(0, 2)))
        free = self._model.free(ordered=ordered, busy=busy)
        found = self._spool.due("crm", now, 1000, ordered=ordered, busy=busy)
        assert {one.seq for one in found} == {seq for seq, way in free.items() if way.due <= now}
        first = self._spool.next_due("crm", ordered=ordered, busy=busy)
        times = [way.due for way in free.values()]
        if not times or min(times) > now:
            assert first == min(times, default=None)
        else:
            assert first is not None
            assert first <= now


@pytest.mark.parametrize("seed", range(12))
async def test_the_same_events_are_due_as_in_a_model(tmp_path: Path, seed: int) -> None:
    """In order and without one, with retries, replays and attempts under way, now and at the next due time."""
    clock = StandingClock()
    with opened(tmp_path, clock) as spool:
        life = Life(spool, clock, seed)
        for _ in range(40):
            await life.step()
