"""Change windows against a second reading of their definition, minute by minute, in all zones of the database.

Owns: every change of an offset in two years, and what a window means by counting minutes on a wall clock. Must not: use
what ``core.windows`` uses to find a change.

``make zones`` asks about every minute; the tests ask about every minute of membership and some minutes of next changes.
"""

from __future__ import annotations

import sys
import time as clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from reconciler.core.windows import Weekly

FIRST, YEARS = datetime(2026, 1, 1, tzinfo=UTC), 2
LOOKED = timedelta(hours=12)
"""No zone changes twice within this."""
DAY = 24 * 60
WEEK = 7 * DAY
EVERY_DAY = frozenset(range(7))
MARGIN = 15 * DAY
"""Minutes beyond the two days in which a next change is counted out."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One change of an offset: in minutes since 1970, and the offsets before and after, in minutes."""

    zone: str
    at: int
    before: int
    after: int


@cache
def turns() -> Sequence[Turn]:
    """Return every change of an offset in two years, one zone for all that change alike; and one zone without any."""
    found: dict[tuple[int, int, int], Turn] = {}
    alike: set[tuple[tuple[int, int, int], ...]] = set()
    for name in sorted(available_timezones()):
        zone, mine = ZoneInfo(name), []
        last, minute = _offset(zone, FIRST), FIRST
        while minute < FIRST + timedelta(days=366 * YEARS):
            minute += LOOKED
            offset = _offset(zone, minute)
            if offset != last:
                at = minute - LOOKED
                while _offset(zone, at) == last:
                    at += timedelta(minutes=1)
                mine.append((_minutes(at), last, offset))
            last = offset
        if tuple(mine) in alike:
            continue
        alike.add(tuple(mine))
        for turn in mine:
            found.setdefault(turn, Turn(name, *turn))
    return list(found.values())


def _offset(zone: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(minutes=1)


def _minutes(at: datetime) -> int:
    return int(at.timestamp()) // 60


def moment(minute: int) -> datetime:
    """Return a minute since 1970 as a moment."""
    return datetime.fromtimestamp(minute * 60, UTC)


def windows(turn: Turn) -> Iterator[Weekly]:
    """Yield windows whose hours lie around what the change leaves out or repeats, and usual ones."""
    wall = moment(turn.at + turn.before)
    minute = (turn.at + turn.before) % DAY
    jump = turn.after - turn.before
    weekday = wall.weekday()
    hours = {
        (minute, minute + jump),
        (minute + jump, minute),
        (minute - 30, minute + 30),
        (minute + jump // 2, minute + jump // 2 + 10),
        (minute + jump - 10, minute - 10),
        (9 * 60, 17 * 60),
        (22 * 60, 6 * 60),
        (0, 0),
    }
    for days in (
        EVERY_DAY,
        frozenset({weekday}),
        frozenset({(weekday - 1) % 7, (weekday + 2) % 7}),
    ):
        for first, last in sorted(hours):
            yield Weekly(days, _time(first), _time(last), turn.zone)


def _time(minute: int) -> time:
    return time(minute % DAY // 60, minute % 60)


def active(window: Weekly, wall: int) -> bool:
    """Say whether a minute of the wall clock, counted since Thursday 1970-01-01, belongs to a window."""
    begin = window.from_.hour * 60 + window.from_.minute
    end = window.to.hour * 60 + window.to.minute
    length = (end - begin - 1) % DAY + 1
    since_monday = (wall + 3 * DAY) % WEEK
    return any((since_monday - day * DAY - begin) % WEEK < length for day in window.days)


def check(turn: Turn, window: Weekly, step: int) -> int:
    """Compare a window with counted minutes for a day before and after a change; return the number of comparisons.

    The next change is asked at every minute that ``step`` divides, and at those beside each change.
    """
    first, last = turn.at - DAY, turn.at + DAY
    walls = [
        minute + (turn.after if minute >= turn.at else turn.before)
        for minute in range(first, last + MARGIN)
    ]
    counted = [active(window, wall) for wall in walls]
    upcoming: list[int | None] = [None] * len(counted)
    for index in range(len(counted) - 2, -1, -1):
        changes = counted[index] is not counted[index + 1]
        upcoming[index] = index + 1 if changes else upcoming[index + 1]
    compared = 0
    for index in range(2 * DAY):
        at = moment(first + index)
        assert window.active(at) is counted[index], (window, at)
        edge = upcoming[index]
        if index % step == 0 or edge == index + 1 or (index and upcoming[index - 1] == index):
            expected = None if edge is None else moment(first + edge)
            found = window.next_change(at)
            if not (expected is None and found is not None and found > moment(last + MARGIN - 1)):
                assert found == expected, (window, at, found, expected)
            compared += 1
    return compared


def main() -> None:
    """Ask about every minute."""
    began, compared = clock.monotonic(), 0
    for turn in turns():
        for window in windows(turn):
            compared += check(turn, window, 1)
    spent = clock.monotonic() - began
    sys.stdout.write(f"{len(turns())} changes of offsets, {compared} moments, {spent:.0f} s\n")


if __name__ == "__main__":
    main()
