"""Spans of time as people write them: read, and written back as short as they can be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.core import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("1s", 1),
        ("59s", 59),
        ("1m", 60),
        ("1m1s", 61),
        ("59m59s", 3599),
        ("1h", 3600),
        ("23h59m59s", 86_399),
        ("1d", 86_400),
        ("7d1h1m1s", 7 * 86_400 + 3661),
    ],
)
def test_a_span_is_read_and_written(text: str, seconds: int) -> None:
    """The shortest text is what is written, and it is read back as the same span."""
    assert duration.parse(text) == timedelta(seconds=seconds)
    assert duration.show(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("24h", 86_400), ("0d", 0), ("60m60s", 3660)]
)
def test_a_longer_way_to_write_a_span(text: str, seconds: int) -> None:
    """People may write it in other units."""
    assert duration.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "1", "1 h", "1s1m", "-1s", "1.5h", "1w", "1234567d"])
def test_what_is_no_span(text: str) -> None:
    """Anything else is refused, with a word on how to write one."""
    with pytest.raises(ValueError, match="90s, 10m, 1h30m or 7d"):
        duration.parse(text)


def test_less_than_a_second_is_not_written() -> None:
    """A span is written to the second."""
    assert duration.show(timedelta(seconds=1, microseconds=999_999)) == "1s"
