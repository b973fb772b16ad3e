"""What the status of an HTTP answer means for an event.

Owns: the table of statuses, and how ``Retry-After`` is read. Must not: send anything, or know an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from reconciler.events.model import Result
from reconciler.events.sinks.port import Handed

REFUSED = frozenset({401, 403, 410})
"""The sink takes nothing from us now, whatever the event."""
RETRIED = REFUSED | {404, 407, 408, 409, 425, 429}
"""Statuses from 400 to 499 after which an event is tried again; 407 is a proxy's, and never the sink's own."""
_MOST_SECONDS = 10**9


def judge(status: int, headers: Mapping[str, str], words: str, now: datetime) -> Handed:
    """Return what an answer means. ``words`` are what is shown of it."""
    wait = retry_after(headers.get("retry-after"), now)
    if 200 <= status < 300:  # noqa: PLR2004 - "2xx"
        return Handed(Result.DELIVERED, status)
    is_final = 400 <= status < 500 and status not in RETRIED  # noqa: PLR2004 - "4xx"
    result = Result.DEAD if is_final else Result.RETRY
    return Handed(result, status, words, wait, refused=status in REFUSED)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return how long the sink asks us to wait, in seconds or until a date (RFC 9110, 10.2.3); None where unclear."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:12]), _MOST_SECONDS))
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:  # the zone "-0000"
        date = date.replace(tzinfo=UTC)
    return max(date - now, timedelta(0))
