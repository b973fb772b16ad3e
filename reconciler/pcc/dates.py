"""Dates and waits in HTTP headers.

Owns: reading ``Retry-After`` and ``Date``. Must not: know LG's envelope, or read a clock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_HEADER = 1024
"""Characters of a header that are read."""


def seconds_to_wait(header: str | None, now: datetime) -> float | None:
    """Return what a ``Retry-After`` asks for: the longest of all its seconds and dates, or None where it has none.

    Seconds may have a fraction, and a date any form of HTTP's three. A date in the past counts as absent.
    ``now`` should be by the clock that wrote the dates.
    """
    longest = None
    for value in _values(header or ""):
        wait = _wait(value, now)
        if wait is not None and wait > (longest or 0):
            longest = wait
    return longest


def _values(header: str) -> list[str]:
    """Return the values of a header that came several times, joined by commas; a date has one after its weekday."""
    values: list[str] = []
    for part in header[:LONGEST_HEADER].split(","):
        if values and values[-1].isalpha():
            values[-1] += f", {part.strip()}"
        else:
            values.append(part.strip())
    return values


def _wait(value: str, now: datetime) -> float | None:
    whole, _, fraction = value.partition(".")
    try:
        if whole.isdigit() and (fraction.isdigit() or not fraction):
            return float(value)
        moment = parsedate_to_datetime(value)
        return (aware(moment) - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None


def aware(moment: datetime) -> datetime:
    """Return a moment in UTC where it names no zone: HTTP's dates and LG's are in UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def read_date(header: str) -> datetime | None:
    """Return the moment of a ``Date`` header, in whole seconds; None where it cannot be read."""
    try:
        moment = parsedate_to_datetime(header)
    except (TypeError, ValueError, OverflowError):
        return None
    return aware(moment)
