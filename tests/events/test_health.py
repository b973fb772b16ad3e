"""When a sink is tried, and how often."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deliveries import BUSY, NEVER, REFUSED, TAKEN
from reconciler.events.delivery.health import MOST_FAILURES, Health
from reconciler.events.model import Result
from reconciler.events.sinks.port import Handed


def after(health: Health, *handed: Handed, was_probe: bool = False, steady: float = 0.0) -> Health:
    """Return the state after attempts that ended like this, with the longest waits."""
    for one in handed:
        health = health.after(one, was_probe=was_probe, steady=steady, random=lambda: 1.0)
    return health


@pytest.mark.parametrize("failure", [BUSY, NEVER])
def test_twenty_failures_in_a_row_make_probes(failure: Handed) -> None:
    """The nineteenth changes nothing, also where each event is answered with never."""
    assert not after(Health(), *[failure] * (MOST_FAILURES - 1)).is_probing
    assert after(Health(), *[failure] * MOST_FAILURES).is_probing


def test_a_success_in_between_begins_the_count_anew() -> None:
    """Only failures in a row count."""
    some = [BUSY] * (MOST_FAILURES - 1)
    assert not after(Health(), *some, TAKEN, *some).is_probing


def test_one_refusal_makes_probes() -> None:
    """A sink that refuses us as a whole is not asked with every event."""
    probing = after(Health(), REFUSED)
    assert probing.is_probing
    assert probing.room(8, 0) == 1
    assert probing.room(8, 1) == 0
    assert probing.free_at == 5.0


def test_probes_are_at_most_ten_minutes_apart() -> None:
    """The wait between two probes doubles, and ends at ten minutes."""
    probing = after(Health(), REFUSED)
    waits = []
    for _ in range(10):
        probing = after(probing, REFUSED, was_probe=True)
        waits.append(probing.free_at)
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]


def test_what_was_under_way_before_lengthens_no_wait() -> None:
    """Seven attempts that fail together with the eighth are no probes."""
    probing = after(Health(), REFUSED)
    assert after(probing, *[REFUSED] * 7).free_at == probing.free_at


def test_one_success_ends_it() -> None:
    """A sink that takes a probe gets everything again."""
    assert after(after(Health(), REFUSED), TAKEN, was_probe=True) == Health()


def test_a_change_is_tried_at_once() -> None:
    """A changed events file may have fixed the sink, so the next attempt does not wait; it is still a probe."""
    probing = after(Health(), *[REFUSED] * 5, was_probe=True)
    changed = probing.at_once()
    assert (changed.free_at, changed.is_probing) == (0.0, True)


def test_a_sink_under_load_is_left_alone_as_long_as_it_asks() -> None:
    """429 with Retry-After holds back all events, for an hour at most; 503 only its own event."""
    hour = timedelta(hours=1)
    assert after(Health(), Handed(Result.RETRY, 429, wait=hour / 2)).free_at == 1800.0
    assert after(Health(), Handed(Result.RETRY, 429, wait=hour * 9)).free_at == 3600.0
    assert after(Health(), Handed(Result.RETRY, 503, wait=hour)).free_at == 0.0


@pytest.mark.parametrize("later", [BUSY, NEVER, REFUSED, Handed(Result.RETRY, 429)])
def test_a_wait_that_a_sink_asked_for_is_not_shortened_by_what_fails_later(later: Handed) -> None:
    """What was under way when a sink asked for rest ends some time after that, and the rest stays whole."""
    asked = after(Health(), Handed(Result.RETRY, 429, wait=timedelta(minutes=30)))
    assert after(asked, later, steady=60.0).free_at == 1800.0
    longer = Handed(Result.RETRY, 429, wait=timedelta(minutes=40))
    assert after(asked, longer, later, steady=60.0).free_at == 2460.0
