"""Whole days of receiving and delivering with every trouble, and the proof that the checker would notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from planted import Planted
from reconciler.events.delivery import lane
from reconciler.events.delivery.health import Health
from reconciler.events.delivery.policy import outcome
from reconciler.events.model import Attempt, EventState, Outcome, Result
from simulation.deliveries.check import broken
from simulation.deliveries.day import Day
from simulation.deliveries.spool import SpoolOnLoop

HOURS = 12.0
"""Hours of trouble; ``make simulate-events`` runs more of them, and more seeds."""
SEEDS = (1, 2)


def lived(seed: int, hours: float = HOURS) -> Day:
    """Return a day that is over."""
    day = Day(seed, hours)
    day.run()
    return day


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_breaks_no_promise(seed: int) -> None:
    """Every event reaches each of its sinks, in order, and none is dead that a working sink would have taken."""
    day = lived(seed)
    assert list(broken(day)) == []
    states = Counter(day.rows.values())
    assert states[EventState.DELIVERED] > 300
    assert states[EventState.DEAD] > 2
    assert day.lives > 2
    assert {turn.what for turn in day.turns} == {"file", "replay", "start"}


def in_no_order(program: Planted) -> None:
    """Let later events of a device pass those that wait."""
    due = SpoolOnLoop.due

    def unordered(
        self: SpoolOnLoop,
        sink: str,
        now: datetime,
        limit: int,
        *,
        ordered: bool,
        busy: Collection[int],
    ) -> Sequence[Attempt]:
        assert ordered in {True, False}
        return due(self, sink, now, limit, ordered=False, busy=busy)

    program.replace(SpoolOnLoop, "due", unordered)


def forgetful(program: Planted) -> None:
    """Never find one event of fifty."""
    due = SpoolOnLoop.due

    def some(self: SpoolOnLoop, *asked: Any, **options: Any) -> Sequence[Attempt]:
        return [attempt for attempt in due(self, *asked, **options) if attempt.seq % 50]

    program.replace(SpoolOnLoop, "due", some)
    program.replace(lane, "SHORTEST_LOOK", 60.0)  # or it would look for what it never finds all day


def impatient(program: Planted) -> None:
    """Give every event up at its first failure."""

    def dead(attempt: Attempt, handed: Any, **options: Any) -> Outcome:
        ended = outcome(attempt, handed, **options)
        is_retry = ended.result is Result.RETRY
        return replace(ended, result=Result.DEAD, due=None) if is_retry else ended

    program.replace(lane, "outcome", dead)


def tireless(program: Planted) -> None:
    """Take every sink for one that works."""

    def healthy(_self: Health, *_asked: Any, **_options: Any) -> Health:
        return Health()

    program.replace(Health, "after", healthy)


def credulous(program: Planted) -> None:
    """Record as delivered what was only tried."""

    def delivered(attempt: Attempt, handed: Any, **options: Any) -> Outcome:
        return replace(outcome(attempt, handed, **options), result=Result.DELIVERED, due=None)

    program.replace(lane, "outcome", delivered)


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (in_no_order, "after a later one"),
        (forgetful, "is still pending"),
        (impatient, "is dead at"),
        (tireless, "attempts in an hour and took none"),
        (credulous, "did not take it"),
    ],
)
def test_a_defect_is_noticed(defect: Callable[[Planted], None], words: str) -> None:
    """A delivery that breaks a promise is found within a day."""
    with Planted() as program:
        defect(program)
        found = list(broken(lived(1, 6.0)))
    assert any(words in line for line in found), found[:5]
