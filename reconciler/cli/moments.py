"""Moments as people type them: ``yesterday``, ``2026-11-24``, ``last tuesday``, ``2026-11-24 10:00``.

Owns: what such words mean, and in which time zone: the one that is named, else that of the desired state, else that of
this machine. Must not: ask a daemon, or judge a desired state.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from reconciler.runtime.settings import Settings

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOW = (
    "2h or 7d ago, a date like 2026-11-24, yesterday, last tuesday, or a time like 2026-11-24T10:00"
)
_TIMEZONE = re.compile(rb"""^timezone[ \t]*=[ \t]*["']([\w/+-]{1,64})["']""", re.MULTILINE)
_TABLE = re.compile(rb"^[ \t]*\[", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone, and in words where it comes from. ``rules`` is None for that of this machine."""

    rules: tzinfo | None
    words: str

    def at(self, local: datetime) -> datetime:
        """Return the moment at which clocks of this zone show this."""
        if self.rules is None:
            return local.astimezone(UTC)
        return local.replace(tzinfo=self.rules).astimezone(UTC)

    def day(self, now: datetime) -> date:
        """Return today's date in this zone."""
        return now.astimezone(self.rules).date()


@dataclass(frozen=True, slots=True)
class Understood:
    """A moment, and what it was taken for in words."""

    at: datetime
    words: str


def zone_of(named: str | None, chosen: Settings) -> Zone:
    """Return the zone in which bare dates are meant; raises ``ValueError`` where the named one does not exist."""
    if named is not None:
        try:
            return Zone(ZoneInfo(named), named)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError("is not a time zone; write it like Asia/Seoul") from error
    found = _of_desired(chosen)
    if found is not None:
        return found
    return Zone(None, f"local time, {datetime.now().astimezone():%Z}")


def understood(text: str, zone: Zone, now: datetime, *, end: bool) -> Understood | None:
    """Return the moment that words name, or None where they name none that needs a zone.

    A day means its beginning, or its ``end`` where the moment ends a span.
    """
    plain = " ".join(text.lower().split())
    day = _day(plain, zone.day(now))
    if day is not None:
        local = datetime.combine(day + timedelta(days=1 if end else 0), time())
        return _understood_as(local, zone)
    with suppress(ValueError):
        local = datetime.fromisoformat(text.strip().replace(" ", "T", 1))
        if local.tzinfo is None:
            return _understood_as(local, zone)
    return None


def _understood_as(local: datetime, zone: Zone) -> Understood:
    return Understood(zone.at(local), f"{local:%Y-%m-%d %H:%M} ({zone.words})")


def _day(plain: str, today: date) -> date | None:
    """Return the day that words name; a weekday is the last one before today."""
    if plain in {"today", "yesterday"}:
        return today - timedelta(days=int(plain == "yesterday"))
    name = plain.removeprefix("last ")
    if name in DAYS:
        return today - timedelta(days=(today.weekday() - DAYS.index(name) - 1) % 7 + 1)
    with suppress(ValueError):
        return date.fromisoformat(plain)
    return None


def _of_desired(chosen: Settings) -> Zone | None:
    """Return the zone that the desired state names, if it lies on this machine and names one."""
    place = chosen.desired_state
    if chosen.git_url is not None:
        return None
    for file in sorted(place.glob("*.toml")) if place.is_dir() else [place]:
        found = _timezone_in(file)
        with suppress(OSError, ValueError, KeyError):
            if found is not None:
                return Zone(ZoneInfo(found), f"{found}, the timezone of {file.name}")
    return None


def _timezone_in(file: Path) -> str | None:
    """Return the timezone that a file names, without reading its devices."""
    try:
        if not file.is_file():
            return None
        content = file.read_bytes()
    except OSError:
        return None
    table = _TABLE.search(content)
    found = _TIMEZONE.search(content[: table.start()] if table is not None else content)
    return found[1].decode() if found is not None else None
