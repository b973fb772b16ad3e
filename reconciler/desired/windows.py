"""The change windows of the documents.

Owns: the rules that no schema of one table can state: which keys go together, the zone, names that are given twice,
patterns without an account, and which account has which windows.
Must not: read a clock. Whether a window will ever be active is asked with the time of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, tzinfo
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from reconciler.core.errors import suggestion
from reconciler.core.model import AccountName, Action, Desired
from reconciler.core.windows import (
    HORIZON,
    WEEK,
    Holds,
    Span,
    Weekly,
    Window,
    WindowKind,
    is_open,
)
from reconciler.desired.accounts import AccountPart, WindowPart, moment_of
from reconciler.desired.diagnostics import Notes, Where
from reconciler.desired.parser import Reading, stated
from reconciler.desired.positions import Loc
from reconciler.desired.schema import WindowTable

_EVERY_DAY = frozenset(range(len(WEEK)))
_NO_ZONE = (
    'the hours of a window need a zone: write timezone = "Asia/Seoul" or such here or at the top of '
    "the file"
)


def read_windows(
    readings: Sequence[Reading],
    zone: tzinfo | None,
    accounts: Sequence[AccountPart],
    notes: Mapping[str, Notes],
    hidden: frozenset[str],
) -> tuple[WindowPart, ...]:
    """Return the windows, which are in one document. Note what is wrong with them; ``zone`` is the file's.

    No message shows the account of a ``hidden`` document.
    """
    found = stated(readings, "windows")
    if found is None:
        return ()
    reading, tables = found
    noted = notes[reading.path]
    names = [part.name for part in accounts]
    shown = [part.name for part in accounts if part.reading.path not in hidden]
    broken = {loc[:2] for loc in reading.broken}
    given = stated(readings, "timezone")
    parts: list[WindowPart] = []
    known: dict[str, Where] = {}
    for index, table in enumerate(tables):
        loc = ("windows", index)
        if loc in broken:
            continue
        named = reading.at(*loc, "name")
        if table.name in known:
            message = f"window {table.name} is defined twice, first at"
            noted.fault(named, message, known[table.name])
        known.setdefault(table.name, named)
        window = _Definition(reading, loc, table, zone, noted).window(given[1] if given else None)
        if window is not None:
            for number, pattern in _without_account(window, names):
                message = f"no account matches this pattern{suggestion(pattern, shown)}"
                noted.warn(reading.at(*loc, "accounts", number), message)
            parts.append(WindowPart(window, named))
    return tuple(parts)


class _Definition:
    """One window as it is written."""

    def __init__(
        self, reading: Reading, loc: Loc, table: WindowTable, zone: tzinfo | None, notes: Notes
    ) -> None:
        self._reading, self._loc = reading, loc
        self._table, self._zone, self._notes = table, zone, notes

    def window(self, shared_zone: str | None) -> Window | None:
        """Return the window, or None where something is wrong. ``shared_zone`` is the name of the file's zone."""
        table, zone_name = self._table, self._table.timezone or shared_zone
        zone = self._own_zone()
        when = self._when(zone_name, zone)
        if when is None:
            return None
        return Window(
            name=table.name,
            kind=WindowKind(table.kind),
            holds=Holds(table.holds),
            when=when,
            zone=zone_name or "UTC",
            accounts=tuple(table.accounts or ("*",)),
            reason=table.reason or "",
        )

    def _own_zone(self) -> tzinfo | None:
        name = self._table.timezone
        if name is None:
            return self._zone
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            near = suggestion(name, available_timezones())
            message = f"no such time zone; zones are written like Asia/Seoul{near}"
            self._fault("timezone", message)
            return None

    def _when(self, zone_name: str | None, zone: tzinfo | None) -> Weekly | Span | None:
        table = self._table
        from_, to = table.from_, table.to
        hours = [isinstance(one, time) for one in (from_, to) if one is not None]
        if hours and all(hours):
            return self._weekly(zone_name, zone)
        if any(hours):
            self._fault("to", "from and to are two times of day, or two moments")
            return None
        if not hours and table.days is not None:
            return self._weekly(zone_name, zone)
        if not hours:
            self._fault("name", "a window needs days, or from and to")
            return None
        return self._span(zone)

    def _weekly(self, zone_name: str | None, zone: tzinfo | None) -> Weekly | None:
        table, midnight = self._table, time(0)
        if (table.from_ is None) is not (table.to is None):
            missing = "from" if table.from_ is None else "to"
            self._fault("from" if missing == "to" else "to", f"{missing} is missing")
            return None
        days = table.days or WEEK
        if len(set(days)) < len(days):
            self._fault("days", "a day is listed twice")
            return None
        if zone_name is None or zone is None:
            if self._zone is None and table.timezone is None:
                self._fault("name", _NO_ZONE)
            return None
        from_ = table.from_ if isinstance(table.from_, time) else midnight
        to = table.to if isinstance(table.to, time) else midnight
        return Weekly(frozenset(map(WEEK.index, days)), from_, to, zone_name)

    def _span(self, zone: tzinfo | None) -> Span | None:
        table = self._table
        if table.days is not None:
            self._fault("days", "a window from one moment to another has no days")
            return None
        begins, ends = self._moment("from", table.from_, zone), self._moment("to", table.to, zone)
        if begins is not None and ends is not None and ends <= begins:
            self._fault("to", "to is not after from: the window would never be active")
            return None
        return Span(begins, ends)

    def _moment(self, key: str, value: date | time | None, zone: tzinfo | None) -> datetime | None:
        if isinstance(value, time):
            return None
        return moment_of(value, zone, self._reading.at(*self._loc, key), self._notes)

    def _fault(self, key: str, message: str) -> None:
        self._notes.fault(self._reading.at(*self._loc, key), message)


def _without_account(window: Window, names: Sequence[AccountName]) -> Iterator[tuple[int, str]]:
    """Find the patterns of a window that match no account, each with its place in the list."""
    for index, pattern in enumerate(window.accounts):
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
            yield index, pattern


class WindowsByAccount:
    """Which windows each account has. Accounts with the same windows share one tuple."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._windows = tuple(windows)
        self._shared: dict[tuple[Window, ...], tuple[Window, ...]] = {}

    def of(self, account: AccountName) -> tuple[Window, ...]:
        """Return the windows of an account, in the order of the file."""
        if not self._windows:
            return ()
        found = tuple(
            one
            for one in self._windows
            if any(fnmatchcase(account, pattern) for pattern in one.accounts)
        )
        return self._shared.setdefault(found, found)


def warn_of_times(
    parts: Sequence[WindowPart], accounts: Iterable[Desired], now: datetime, notes: Notes
) -> None:
    """Warn of deny windows that never end, and of accounts whose changes wait for longer than ``HORIZON``."""
    places = {part.window: part.where for part in parts}
    for window, where in places.items():
        if window.kind is WindowKind.DENY and window.when.always:
            notes.warn(where, f"window {window.name} never ends: it denies its changes for good")
    seen: set[tuple[tuple[Window, ...], Action]] = set()
    for desired in accounts:
        for action in Action:
            allows = tuple(
                one
                for one in desired.windows
                if one.kind is WindowKind.ALLOW and one.concerns(action)
            )
            if not allows or (allows, action) in seen:
                continue
            seen.add((allows, action))
            if not any(_active_soon(one, now) for one in allows):
                message = (
                    f"no allow window of account {desired.account} is active within {HORIZON.days} days: "
                    f"until then it makes no {action}"
                )
                notes.warn(places[allows[0]], message, quotes=desired.path)


def _active_soon(window: Window, now: datetime) -> bool:
    begins = window.when.next_change(now)
    return is_open(window, now) or (begins is not None and begins <= now + HORIZON)
