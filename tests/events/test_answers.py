"""What the status of an answer means, and how long a sink asks us to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.events.model import Result
from reconciler.events.sinks.answers import judge, retry_after

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

MEANINGS = {
    Result.DELIVERED: [200, 201, 202, 204, 299],
    Result.DEAD: [400, 402, 405, 406, 411, 412, 413, 414, 415, 422, 426, 428, 431, 451, 499],
    Result.RETRY: [
        *[301, 302, 303, 307, 308],
        *[401, 403, 404, 407, 408, 409, 410, 425, 429],
        *[500, 501, 502, 503, 504, 520, 599, 600, 999],
    ],
}


@pytest.mark.parametrize(
    ("status", "result"),
    [(status, result) for result, some in MEANINGS.items() for status in some],
)
def test_what_a_status_means(status: int, result: Result) -> None:
    """Only a 4xx that speaks of this event alone ends it."""
    handed = judge(status, {}, "words", NOW)
    assert (handed.result, handed.status) == (result, status)
    assert handed.words == ("" if result is Result.DELIVERED else "words")
    assert handed.refused is (status in {401, 403, 410})


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None),
        ("120", timedelta(minutes=2)),
        (" 0 ", timedelta(0)),
        ("9" * 5000, timedelta(seconds=10**9)),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), timedelta(minutes=5)),
        (format_datetime(NOW - timedelta(minutes=5), usegmt=True), timedelta(0)),
        ("Sun, 01 Mar 2026 12:01:00 -0000", timedelta(minutes=1)),
        (
            format_datetime((NOW + timedelta(minutes=5)).astimezone(timezone(timedelta(hours=9)))),
            timedelta(minutes=5),
        ),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, wait: timedelta | None) -> None:
    """What is neither is no wish."""
    assert retry_after(value, NOW) == wait


@given(st.text())
def test_no_retry_after_is_too_odd(value: str) -> None:
    """Whatever a header holds, it is a wait or None."""
    found = retry_after(value, NOW)
    assert found is None or found >= timedelta(0)
