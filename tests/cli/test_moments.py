"""Dates as people type them, and the zone in which they are meant."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reconciler.cli.moments import zone_of
from reconciler.reporting.moments import Zone, understood
from reconciler.runtime import settings

SEOUL = Zone(ZoneInfo("Asia/Seoul"), "Asia/Seoul")
NEW_YORK = Zone(ZoneInfo("America/New_York"), "America/New_York")
NOW = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)
"""A Sunday in UTC and New York, and a Monday at half past one in Seoul."""


@pytest.mark.parametrize(
    ("words", "zone", "began", "ended"),
    [
        ("2026-11-20", SEOUL, "2026-11-19T15:00", "2026-11-20T15:00"),
        ("today", SEOUL, "2026-11-22T15:00", "2026-11-23T15:00"),
        ("Yesterday", SEOUL, "2026-11-21T15:00", "2026-11-22T15:00"),
        ("yesterday", NEW_YORK, "2026-11-21T05:00", "2026-11-22T05:00"),
        ("last tuesday", SEOUL, "2026-11-16T15:00", "2026-11-17T15:00"),
        ("monday", SEOUL, "2026-11-15T15:00", "2026-11-16T15:00"),
        ("sunday", SEOUL, "2026-11-21T15:00", "2026-11-22T15:00"),
        ("2026-11-01", NEW_YORK, "2026-11-01T04:00", "2026-11-02T05:00"),
        ("2026-11-20T10:00", SEOUL, "2026-11-20T01:00", "2026-11-20T01:00"),
        ("2026-11-20 10:00:30", SEOUL, "2026-11-20T01:00:30", "2026-11-20T01:00:30"),
    ],
)
def test_a_day_is_meant_in_its_zone(words: str, zone: Zone, began: str, ended: str) -> None:
    """It begins and ends at midnight there, also on a day of 25 hours; a weekday is the last one before today."""
    for end, moment in ((False, began), (True, ended)):
        found = understood(words, zone, NOW, end=end)
        assert found is not None
        assert found.at == datetime.fromisoformat(f"{moment}+00:00")
        assert found.words.endswith(f"({zone.words})")


@pytest.mark.parametrize(
    "words", ["2h", "7d", "2026-11-20T10:00:00Z", "nonsense", "last", "2026-13-01", "tues"]
)
def test_what_needs_no_zone_is_left_to_others(words: str) -> None:
    """Spans, moments with their offset, and what is neither."""
    assert understood(words, SEOUL, NOW, end=False) is None


def test_the_zone_is_that_of_the_desired_state(tmp_path: Path) -> None:
    """One that is named goes first, then the file's, then that of this machine; each says which it is."""
    file = tmp_path / "fleet.toml"
    file.write_text('version = 1\ntimezone = "Asia/Seoul"  # ours\ndevices = []\n')
    chosen = settings.load({"PCC_DESIRED_STATE": str(file), "PCC_STATE_DIR": str(tmp_path / "s")})
    assert zone_of(None, chosen).words == "Asia/Seoul, the timezone of fleet.toml"
    assert zone_of("America/New_York", chosen) == NEW_YORK
    with pytest.raises(ValueError, match="is not a time zone"):
        zone_of("Asia/Nowhere", chosen)
    in_folder = chosen.model_copy(update={"desired_state": tmp_path})
    assert zone_of(None, in_folder) == zone_of(None, chosen)
    followed = chosen.model_copy(update={"git_url": "https://git.example.com/x.git"})
    for text in ("version = 1\n", 'version = 1\n[x]\ntimezone = "Asia/Seoul"\n', None):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        for one in (chosen, in_folder, followed):
            assert zone_of(None, one).words.startswith("local time")
