"""What change windows mean, by counting the minutes that a wall clock shows.

Owns: a second reading of the keys of a window, and which changes it holds at a moment. Must not: import anything of the
program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
KEYS = {
    *("name", "kind", "holds", "days", "from", "to", "timezone", "accounts", "reason"),
}


@dataclass(frozen=True, slots=True)
class Hours:
    """One window as a text has it; its times of day in minutes."""

    name: str
    denies: bool
    everything: bool
    accounts: tuple[str, ...]
    zone: str = ""
    days: tuple[int, ...] = ()
    begin: int = 0
    length: int = DAY
    first: datetime | None = None
    last: datetime | None = None

    def concerns(self, account: str, *, removal: bool) -> bool:
        """Say whether the window has a say about a change."""
        mine = any(fnmatchcase(account, pattern) for pattern in self.accounts)
        return mine and (removal or self.everything)

    def covers(self, at: datetime) -> bool:
        """Say whether a moment belongs to the window."""
        if not self.zone:
            return (self.first is None or at >= self.first) and (
                self.last is None or at < self.last
            )
        shown = at.astimezone(ZoneInfo(self.zone))
        minute = shown.hour * 60 + shown.minute
        today = shown.weekday()
        return any(
            (today - back) % 7 in self.days and 0 <= minute + back * DAY - self.begin < self.length
            for back in (0, 1)
        )


def hours(table: Mapping[str, Any], zone: str | None) -> Hours | None:
    """Return a window, or None where it is faulty. ``zone`` is the text's."""
    if not table.keys() <= KEYS or not {"name", "kind"} <= table.keys():
        return None
    begin, end = table.get("from"), table.get("to")
    made = Hours(
        table["name"],
        table["kind"] == "deny",
        table.get("holds", "all") == "all",
        tuple(table.get("accounts", ("*",))),
    )
    moments = [isinstance(one, datetime) for one in (begin, end) if one is not None]
    if moments and all(moments):
        return None if "days" in table else _with(made, first=begin, last=end)
    own = table.get("timezone", zone)
    if any(moments) or own is None or (begin is None) is not (end is None):
        return None
    if begin is None and "days" not in table:
        return None
    days = tuple(DAYS.index(one) for one in table.get("days", DAYS))
    first, last = _minute(begin or "00:00"), _minute(end or "00:00")
    return _with(made, zone=own, days=days, begin=first, length=(last - first - 1) % DAY + 1)


def _with(made: Hours, **more: Any) -> Hours:
    return Hours(made.name, made.denies, made.everything, made.accounts, **more)


def _minute(said: str) -> int:
    hour, _, minute = said.partition(":")
    return int(hour) * 60 + int(minute)


def held(
    windows: Iterable[Hours], account: str, at: datetime, *, removal: bool, opened: Iterable[Hours]
) -> bool:
    """Say whether windows hold a change at a moment. ``opened`` are those that a person opened, as they were then."""
    mine = [one for one in windows if one.concerns(account, removal=removal)]
    if any(one.denies and one.covers(at) for one in mine):
        return True
    opened = tuple(opened)
    allows = [one for one in mine if not one.denies]
    return bool(allows) and not any(one.covers(at) or one in opened for one in allows)
