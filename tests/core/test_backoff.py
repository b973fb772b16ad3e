"""How long is waited: where each curve begins, that it doubles, where it ends, and whether chance has a say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.backoff import DEVICE, FULL, GATHER, LIST, REFUSED, STOPPED, Curve, longest

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("curve", "waits"),
    [
        (DEVICE, [*(5 * 2**number * SECOND for number in range(10)), HOUR, HOUR]),
        (LIST, [*(5 * 2**number * SECOND for number in range(6)), 5 * MINUTE, 5 * MINUTE]),
        (REFUSED, [*(2**number * HOUR for number in range(5)), 24 * HOUR, 24 * HOUR]),
        (STOPPED, [*(5 * 2**number * MINUTE for number in range(4)), HOUR, HOUR]),
    ],
    ids=["device", "list", "refused", "stopped"],
)
def test_a_wait_doubles_up_to_its_limit(curve: Curve, waits: list[timedelta]) -> None:
    """What is told of each kind of wait is how long it is at most."""
    assert [curve.after(number, lambda: 1.0) for number in range(1, len(waits) + 1)] == waits


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_waits_with_jitter_are_anything_up_to_the_whole(attempts: int, chance: float) -> None:
    """Many devices that failed together do not come back together: from nothing to the whole wait, evenly."""
    for curve in (DEVICE, LIST):
        whole = curve.after(attempts, lambda: 1.0)
        assert curve.after(attempts, lambda: chance) == whole * chance


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_waits_that_a_person_is_told_are_exact(attempts: int, chance: float) -> None:
    """When a refused device or a stopped account is asked again is no matter of chance."""
    for curve in (REFUSED, STOPPED):
        assert curve.after(attempts, lambda: chance) == curve.after(attempts, lambda: 1.0)


def test_single_waits() -> None:
    """After LG's cap an hour; due retries of one account are gathered for a few seconds."""
    assert (FULL, GATHER) == (HOUR, 5 * SECOND)


def test_a_wait_doubles_thirty_times_at_the_most() -> None:
    """However many attempts there were, no span overflows."""
    curve = Curve(timedelta(microseconds=1), timedelta.max)
    waits = [curve.after(attempts, longest) for attempts in (30, 31, 32, 10_000)]
    assert waits == [timedelta(microseconds=2**number) for number in (29, 30, 30, 30)]
