"""Change windows, as plain values and words ready to be shown.

Owns: when each window begins and ends next, in its zone and in UTC, and what a command opened. Must not: decide what is
held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.errors import quoted
from reconciler.core.text import listing
from reconciler.core.windows import (
    Holds,
    Opening,
    Openings,
    Window,
    WindowKind,
    begins_and_ends,
    both_ways,
)

PATTERNS = 3
"""A line names at most this many patterns of accounts; the rest is a number."""
WHAT = {Holds.ALL: "all changes", Holds.UNSUBSCRIBE: "unsubscribes"}


@dataclass(frozen=True, slots=True)
class WindowReport:
    """One window at one moment. ``active`` is by its own times; ``begins`` and ``ends`` are when it does so next.

    ``opened_until`` is until when a command opened it, with the reason and who gave the command. ``words`` is all of it
    in one line, with times in the window's zone and in UTC.
    """

    name: str
    kind: str
    holds: str
    active: bool
    begins: datetime | None
    ends: datetime | None
    timezone: str
    accounts: tuple[str, ...]
    reason: str
    opened_until: datetime | None
    opened_reason: str
    opened_by: str
    words: str


@dataclass(frozen=True, slots=True)
class OpeningReport:
    """A window that a command opened. ``ended`` is when that ended or will end, ``ended_by`` why.

    ``ended_by`` is ``time``, ``closed`` (by a person), ``edited`` (in the file) or ``reopened``.
    """

    window: str
    at: datetime
    until: datetime
    ended: datetime
    ended_by: str
    reason: str
    set_by: str


def window_reports(
    windows: Iterable[Window], openings: Openings, now: datetime
) -> tuple[WindowReport, ...]:
    """Return windows as they are at this moment, in the order of the file."""
    return tuple(_report(window, openings, now) for window in windows)


def _report(window: Window, openings: Openings, now: datetime) -> WindowReport:
    begins, ends = begins_and_ends(window, now)
    active = window.when.active(now)
    opening = None
    if window.kind is WindowKind.ALLOW:
        opening = next((one for one in openings if one.opens(window)), None)
    return WindowReport(
        name=window.name,
        kind=window.kind,
        holds=window.holds,
        active=active,
        begins=begins,
        ends=ends,
        timezone=window.zone,
        accounts=window.accounts,
        reason=window.reason,
        opened_until=None if opening is None else opening.until,
        opened_reason="" if opening is None else opening.reason,
        opened_by="" if opening is None else opening.set_by,
        words=_words(window, opening, begins, ends, active=active),
    )


def _words(
    window: Window,
    opening: Opening | None,
    begins: datetime | None,
    ends: datetime | None,
    *,
    active: bool,
) -> str:
    """Return one line: what the window is for, what it is now, and what it becomes next."""
    allow = window.kind is WindowKind.ALLOW
    state = ("open" if allow else "active") if active else ("closed" if allow else "not active")
    if opening is not None and not active:
        state = "open by command"
    whose = ""
    if window.accounts != ("*",):
        whose = f" of {listing(window.accounts, PATTERNS)}"
    parts = [f"{window.kind} window for {WHAT[window.holds]}{whose}, {state}"]
    if opening is not None:
        who = f" by {quoted(opening.set_by)}" if opening.set_by else ""
        until = both_ways(opening.until, window.zone)
        parts.append(f"opened{who} until {until}: {quoted(opening.reason)}")
    coming = [("opens" if allow else "begins", begins), ("closes" if allow else "ends", ends)]
    known = [(at, verb) for verb, at in coming if at is not None]
    parts += [f"{verb} {both_ways(at, window.zone)}" for at, verb in sorted(known)]
    if not known:
        parts.append("that does not change any more")
    return "; ".join(parts)


def lines(reports: Sequence[WindowReport]) -> list[str]:
    """Return a line for each window."""
    return [f"window {one.name}: {one.words}" for one in reports]


def opening_report(opening: Opening) -> OpeningReport:
    """Return a past or present opening."""
    by: str = "time" if opening.ended_by is None else opening.ended_by.value
    return OpeningReport(
        window=opening.window,
        at=opening.at,
        until=opening.until,
        ended=opening.ended or opening.until,
        ended_by=by,
        reason=opening.reason,
        set_by=opening.set_by,
    )
