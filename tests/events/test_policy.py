"""When an event is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deliveries import BUSY, NEVER, START, TAKEN
from reconciler.events.delivery.policy import FEWEST_TRIES, outcome, wait
from reconciler.events.model import Attempt, Message, Outcome, Result
from reconciler.events.sinks.port import Handed

DAYS_3 = timedelta(days=3)


def ended(handed: Handed, *, age: timedelta = timedelta(0), tries: int = 0) -> Outcome:
    """Return what follows from an attempt on an event of this age."""
    attempt = Attempt(7, "x", "crm", Message("PCC_EVENT", {}), START - age, tries)
    return outcome(attempt, handed, now=START, give_up_after=DAYS_3, random=longest)


def longest() -> float:
    """Return the longest wait of the jitter."""
    return 1.0


def test_what_was_taken_is_delivered_at_any_age() -> None:
    """A delivered event has no next attempt."""
    assert ended(TAKEN, age=timedelta(days=30), tries=99) == Outcome(
        7, "crm", Result.DELIVERED, at=START, status=200
    )


def test_what_is_never_taken_is_dead_at_once() -> None:
    """A sink that says never is believed at the first try."""
    assert ended(NEVER).result is Result.DEAD
    assert ended(NEVER).words == "HTTP 400"


@pytest.mark.parametrize(
    ("tries", "seconds"), [(0, 5), (1, 10), (2, 20), (6, 320), (7, 600), (400, 600)]
)
def test_the_wait_doubles_up_to_ten_minutes(tries: int, seconds: int) -> None:
    """The first retry comes within five seconds, and none waits for more than ten minutes."""
    assert ended(BUSY, tries=tries).due == START + timedelta(seconds=seconds)


def test_the_jitter_is_full() -> None:
    """A retry may come at once."""
    assert wait(5, BUSY, lambda: 0.0) == timedelta(0)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (timedelta(minutes=30), timedelta(minutes=30)),
        (timedelta(hours=5), timedelta(hours=1)),
        (timedelta(seconds=1), timedelta(seconds=5)),
    ],
)
def test_a_wait_that_the_sink_asked_for_is_kept(asked: timedelta, waits: timedelta) -> None:
    """Retry-After counts up to an hour, and shortens nothing."""
    assert wait(1, Handed(Result.RETRY, 503, wait=asked), longest) == waits


@pytest.mark.parametrize(
    ("age", "result"),
    [
        (DAYS_3 - timedelta(seconds=1), Result.RETRY),
        (DAYS_3, Result.DEAD),
    ],
)
def test_an_event_is_given_up_by_its_age(age: timedelta, result: Result) -> None:
    """The age counts from when the event was stored."""
    assert ended(BUSY, age=age, tries=50).result is result


@pytest.mark.parametrize(
    ("tries", "result"),
    [(FEWEST_TRIES - 2, Result.RETRY), (FEWEST_TRIES - 1, Result.DEAD)],
)
def test_an_old_event_gets_its_tries(tries: int, result: Result) -> None:
    """What is old already when it is first tried, as after a replay, is not given up at the first failure."""
    given_up = ended(BUSY, age=timedelta(days=30), tries=tries)
    assert given_up.result is result
    assert given_up.words == ("given up: HTTP 503" if result is Result.DEAD else "HTTP 503")
