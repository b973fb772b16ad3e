"""Moments as people type them: ``yesterday``, ``2026-11-24``, ``last tuesday``, ``2026-11-24 10:00``.

Owns: what such words mean in a time zone, and how a clock of that zone shows a moment.
Must not: find out which zone is meant, or read a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOW = (
    "2h or 7d ago, a date like 2026-11-24, yesterday, last tuesday, or a time like 2026-11-24T10:00"
)
SPAN = ("since", "until")
"""The parameters of a question that are moments."""
LONGEST_TITLE = 12
"""The most characters of a zone in the title of a column; of a longer one the last part is shown."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone, and in words where it comes from. ``rules`` is None for that of this machine."""

    rules: tzinfo | None
    words: str

    @property
    def title(self) -> str:
        """Return what a column of times is called by: ``UTC``, ``Asia/Seoul``, ``local``."""
        if self.rules is None:
            return "local"
        name = str(self.rules)
        return name if len(name) <= LONGEST_TITLE else name.rpartition("/")[2]

    def at(self, local: datetime) -> datetime:
        """Return the moment at which clocks of this zone show this."""
        if self.rules is None:
            return local.astimezone(UTC)
        return local.replace(tzinfo=self.rules).astimezone(UTC)

    def day(self, now: datetime) -> date:
        """Return today's date in this zone."""
        return now.astimezone(self.rules).date()

    def stamp(self, moment: datetime) -> str:
        """Return a moment as a clock of this zone shows it: ``2026-11-22 19:00:00``."""
        return f"{moment.astimezone(self.rules):%Y-%m-%d %H:%M:%S}"

    def minute(self, moment: datetime) -> str:
        """Return a moment to the minute: ``2026-11-22 19:00``."""
        return f"{moment.astimezone(self.rules):%Y-%m-%d %H:%M}"


IN_UTC = Zone(UTC, "UTC")


@dataclass(frozen=True, slots=True)
class Understood:
    """A moment, and what it was taken for in words."""

    at: datetime
    words: str


def zone_named(name: str, words: str = "") -> Zone:
    """Return the zone of this name; raises ``ValueError`` where there is none. ``words`` say where it comes from."""
    try:
        return Zone(ZoneInfo(name), words or name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("is not a time zone; write it like Asia/Seoul") from error


def understood(text: str, zone: Zone, now: datetime, *, end: bool) -> Understood | None:
    """Return the moment that words name, or None where they name none that needs a zone.

    A day means its beginning, or its ``end`` where the moment ends a span.
    """
    plain = " ".join(text.lower().split())
    with suppress(ValueError, OverflowError):
        day = _day(plain, zone.day(now))
        if day is not None:
            local = datetime.combine(day + timedelta(days=1 if end else 0), time())
            return _understood_as(local, zone)
        local = datetime.fromisoformat(text.strip().replace(" ", "T", 1))
        if local.tzinfo is None:
            return _understood_as(local, zone)
    return None


@dataclass(frozen=True, slots=True)
class Dated:
    """A question whose days are moments. ``spoken`` has in words what ``since`` and ``until`` were taken for."""

    asked: Mapping[str, str]
    spoken: Mapping[str, str]


def dated(given: Mapping[str, str], zone: Zone, now: datetime) -> Dated:
    """Return a question with its days in a zone as moments; what needs no zone stays as it was given."""
    asked, spoken = dict(given), {}
    for key in SPAN:
        found = understood(given[key], zone, now, end=key == "until") if key in given else None
        if found is not None:
            asked[key], spoken[key] = found.at.isoformat(), found.words
    return Dated(asked, spoken)


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
