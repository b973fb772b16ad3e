"""Change windows: when a person lets changes be made.

Owns: whether a window is active at a moment, when that changes next, and which windows hold an action.
Must not: read a clock, do I/O, log, or know accounts and their devices. It is pure.

A weekly window is a question about the wall clock of its zone: is it within the hours of such a day? So it is shorter
on a day whose hour is left out, and longer on one whose hour comes twice. Nothing is ever scheduled in local time: the
next change is found by asking the same question at every moment at which the answer can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from hashlib import sha256
from zoneinfo import ZoneInfo

from reconciler.core.text import listing, plural

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days as they are written, in the order of ``date.weekday``."""
HORIZON = timedelta(days=35)
"""How far ahead a change of a weekly window is looked for. A week may be left out where a zone jumps over a day."""
_NAMED = 3
"""A sentence names at most this many windows; the rest is a number."""
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_MOST_STEPS = 500
"""How many changes of windows are looked at to find when an action is free. Ten windows make 140 in a week."""


class WindowKind(StrEnum):
    """What a window is for. ``allow``: changes only inside. ``deny``: never inside; it beats every allow window."""

    ALLOW = "allow"
    DENY = "deny"


class Holds(StrEnum):
    """What is held outside an allow window, or inside a deny window."""

    UNSUBSCRIBE = "unsubscribe"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Weekly:
    """Hours of some days of every week, on the wall clock of a zone.

    ``days`` are numbers, 0 is Monday. ``from_`` is inclusive, ``to`` exclusive. If ``to`` is not after ``from_``, the
    hours end on the next day, and ``days`` name the day on which they begin.
    """

    days: frozenset[int]
    from_: time
    to: time
    zone: str

    @property
    def always(self) -> bool:
        """Say whether the hours have no end: every day, from one moment to the same of the next day."""
        return self.from_ == self.to and len(self.days) == len(WEEK)

    def active(self, now: datetime) -> bool:
        """Say whether the wall clock is within the hours at this moment."""
        wall = now.astimezone(_zone(self.zone))
        clock, today = wall.time(), wall.weekday()
        if self.from_ < self.to:
            return today in self.days and self.from_ <= clock < self.to
        yesterday = (today - 1) % len(WEEK)
        return (today in self.days and clock >= self.from_) or (
            yesterday in self.days and clock < self.to
        )

    def next_change(self, after: datetime) -> datetime | None:
        """Return the first moment after this one at which the window begins or ends, or None within ``HORIZON``."""
        if self.always:
            return None
        was = self.active(after)
        for start, end, offset in _steady_spans(_zone(self.zone), after, after + HORIZON):
            if self.active(start) is not was:  # the zone's offset changes here
                return start
            for edge in self._edges(start + offset, end + offset):
                at = edge - offset
                if self.active(at) is not was:
                    return at
        return None

    def _edges(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """Yield when the wall clock shows the hours' beginning or end, within a span in which no hour is left out.

        Moments of the wall clock are carried as if they were in UTC.
        """
        hours = sorted({self.from_, self.to})
        day = first.date()
        while day <= last.date():
            for hour in hours:
                edge = datetime.combine(day, hour, UTC)
                if first < edge < last:
                    yield edge
            day += _DAY


@dataclass(frozen=True, slots=True)
class Span:
    """One span of time. ``begins`` is inclusive, ``ends`` exclusive; None is without a beginning or an end."""

    begins: datetime | None
    ends: datetime | None

    @property
    def always(self) -> bool:
        """Say whether the span has no end."""
        return self.ends is None

    def active(self, now: datetime) -> bool:
        """Say whether a moment is in the span."""
        return (self.begins is None or self.begins <= now) and (
            self.ends is None or now < self.ends
        )

    def next_change(self, after: datetime) -> datetime | None:
        """Return when the span begins or ends next."""
        edges = [edge for edge in (self.begins, self.ends) if edge is not None and edge > after]
        return min(edges, default=None)


@dataclass(frozen=True, slots=True)
class Window:
    """One window as it is defined. ``zone`` is what its times are shown in; ``accounts`` are globs of names."""

    name: str
    kind: WindowKind
    holds: Holds
    when: Weekly | Span
    zone: str
    accounts: tuple[str, ...] = ("*",)
    reason: str = ""

    def concerns(self, action: str) -> bool:
        """Say whether the window decides about an action."""
        return self.holds is Holds.ALL or self.holds.value == action

    @property
    def mark(self) -> str:
        """Return what tells this definition from every other one."""
        when = self.when
        times: tuple[object, ...] = (when.begins, when.ends) if isinstance(when, Span) else ()
        if isinstance(when, Weekly):
            times = (sorted(when.days), when.from_, when.to, when.zone)
        facts = (self.name, self.kind.value, self.holds.value, self.zone, self.accounts)
        return sha256(repr((*facts, self.reason, *map(str, times))).encode()).hexdigest()


class Ending(StrEnum):
    """Why an opening ended before its time."""

    CLOSED = "closed"
    EDITED = "edited"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class Opening:
    """An allow window that a command opened, as it was defined at that moment (``mark``), until a moment.

    ``ended`` is when it ended before that, and ``ended_by`` why.
    """

    window: str
    mark: str
    at: datetime
    until: datetime
    reason: str = ""
    set_by: str = ""
    ended: datetime | None = None
    ended_by: Ending | None = None

    def opens(self, window: Window) -> bool:
        """Say whether this is about a window as it is defined now."""
        return self.window == window.name and self.mark == window.mark


Openings = Sequence[Opening]


def relevant(windows: Iterable[Window], openings: Openings) -> tuple[Opening, ...]:
    """Return the openings of windows as they are defined now. A deny window cannot be opened."""
    if not openings:
        return ()
    allows = [one for one in windows if one.kind is WindowKind.ALLOW]
    return tuple(one for one in openings if any(one.opens(window) for window in allows))


def is_open(window: Window, now: datetime, openings: Openings = ()) -> bool:
    """Say whether a window is active: automatically, or because a command opened it."""
    if window.when.active(now):
        return True
    return window.kind is WindowKind.ALLOW and any(
        one.opens(window) and now < one.until for one in openings
    )


def holding(
    windows: Iterable[Window], action: str, now: datetime, openings: Openings = ()
) -> tuple[Window, ...]:
    """Return the windows that hold an action: the active deny windows, else all allow windows if none is active."""
    concerned = [one for one in windows if one.concerns(action)]
    denies = [one for one in concerned if one.kind is WindowKind.DENY and one.when.active(now)]
    if denies:
        return tuple(denies)
    allows = [one for one in concerned if one.kind is WindowKind.ALLOW]
    if any(is_open(one, now, openings) for one in allows):
        return ()
    return tuple(allows)


def next_change(
    windows: Iterable[Window], after: datetime, openings: Openings = ()
) -> datetime | None:
    """Return the first moment after this one at which a window begins or ends, or an opening ends."""
    changes = [one.when.next_change(after) for one in windows]
    changes += [one.until for one in openings if one.until > after]
    return min((one for one in changes if one is not None), default=None)


def free_from(
    windows: Sequence[Window], action: str, now: datetime, openings: Openings = ()
) -> datetime | None:
    """Return the first moment from now on at which no window holds an action, or None if that is not foreseeable.

    A deny window is waited for to its end, however far that is. Allow windows are looked for within ``HORIZON``.
    """
    at: datetime | None = now
    for _ in range(_MOST_STEPS):
        if at is None:
            return None
        held_by = holding(windows, action, at, openings)
        if not held_by:
            return at
        changes = [one.when.next_change(at) for one in held_by]
        known = [one for one in changes if one is not None]
        if held_by[0].kind is WindowKind.DENY:  # all of them must have ended
            at = max(known) if len(known) == len(changes) else None
        else:
            at = min(known, default=None)
    return None


def words(held_by: Sequence[Window], until: datetime | None) -> str:
    """Return one sentence on what windows hold, and until when."""
    first = held_by[0]
    names = listing([one.name for one in held_by], _NAMED)
    word = plural("window", len(held_by))
    if first.kind is WindowKind.DENY:
        why = f": {first.reason}" if first.reason else ""
        sentence = f"inside the deny {word} {names}{why}"
    else:
        sentence = f"outside the allow {word} {names}"
    if until is None:
        return f"{sentence}; no end is foreseeable"
    return f"{sentence}; until {both_ways(until, first.zone)}"


def both_ways(moment: datetime, zone: str) -> str:
    """Return a moment in a zone and in UTC: ``Tue 2026-12-01 09:00 Asia/Seoul (00:00 UTC)``."""
    there = moment.astimezone(_zone(zone))
    utc = moment.astimezone(UTC)
    if zone == "UTC":
        return f"{WEEK[utc.weekday()].capitalize()} {utc:%Y-%m-%d %H:%M} UTC"
    same_day = there.date() == utc.date()
    in_utc = f"{utc:%H:%M} UTC" if same_day else f"{utc:%Y-%m-%d %H:%M} UTC"
    return f"{WEEK[there.weekday()].capitalize()} {there:%Y-%m-%d %H:%M} {zone} ({in_utc})"


def begins_and_ends(window: Window, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return when a window begins next and when it ends next, without any command; None if it does not."""
    first = window.when.next_change(now)
    second = None if first is None else window.when.next_change(first)
    return (second, first) if window.when.active(now) else (first, second)


@cache
def _zone(name: str) -> ZoneInfo:
    """Return a zone. It is kept: ``ZoneInfo`` itself keeps few, and reads the others from the disk again."""
    return ZoneInfo(name)


def _steady_spans(
    zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Yield spans one after the other in each of which the zone's offset is the same, with that offset."""
    offset = _offset(zone, start)
    while start < end:
        later = start + _DAY
        then = _offset(zone, later)
        if then != offset:
            later = _turn(zone, start, later, offset)
            then = _offset(zone, later)
        yield start, later, offset
        start, offset = later, then


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


def _turn(zone: ZoneInfo, start: datetime, end: datetime, offset: timedelta) -> datetime:
    """Return the first second within a span at which the zone has another offset than at its start."""
    start = start.replace(microsecond=0)
    seconds = -((start - end) // _SECOND)  # rounded up
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, start + middle * _SECOND) == offset:
            low = middle
        else:
            high = middle
    return start + high * _SECOND
