"""The page of past changes takes dates as the command does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
import pytest

from reconciler.api.app import Surface, create_app
from reconciler.reporting.explain import ChangeReport
from reconciler.reporting.moments import Zone, zone_named
from reconciler.reporting.queries import Page
from reconciler.telemetry.metrics import Metrics
from surfaces import FakeHealth, FakeOperations, FakePolicy, FakeQueries

SEOUL = "Asia/Seoul, the timezone of the desired state"
NOW = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)
"""A Sunday in UTC, and a Monday in Seoul."""


class Asked(FakeQueries):
    """Knows these changes, and writes down what it was asked."""

    def __init__(self, *changes: ChangeReport) -> None:
        self.asked: list[Mapping[str, str]] = []
        self.changes = changes

    async def history(self, asked: Mapping[str, str]) -> Page:
        """Write down the question."""
        self.asked.append(asked)
        return Page(NOW, self.changes, None)

    def now(self) -> datetime:
        """Return some moment."""
        return NOW

    def zone(self) -> Zone:
        """Return the zone of a desired state."""
        return zone_named("Asia/Seoul", SEOUL)


async def page(query: Mapping[str, str], *changes: ChangeReport) -> tuple[Asked, str]:
    """Ask for the page, and return what the daemon was asked and what the page shows."""
    asked = Asked(*changes)
    app = create_app(Surface(Metrics(), asked, FakeOperations(), FakeHealth(), FakePolicy()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pcc") as client:
        answer = await client.get("/history", params=query)
    assert answer.status_code == 200
    return asked, " ".join(answer.text.split())


@pytest.mark.parametrize(
    ("query", "asked", "spoken"),
    [
        (
            {"since": "2026-11-20", "until": "2026-11-20"},
            {"since": "2026-11-19T15:00:00+00:00", "until": "2026-11-20T15:00:00+00:00"},
            f"Only since 2026-11-20 00:00, until 2026-11-21 00:00 ({SEOUL})",
        ),
        (
            {"since": "last tuesday"},
            {"since": "2026-11-16T15:00:00+00:00"},
            f"Only since 2026-11-17 00:00 ({SEOUL})",
        ),
        (
            {"since": "2026-11-20 10:00", "timezone": "America/New_York"},
            {"since": "2026-11-20T15:00:00+00:00"},
            "Only since 2026-11-20 10:00 (America/New_York)",
        ),
        ({"since": "7d", "author": "mina"}, {"since": "7d", "author": "mina"}, "No change matches"),
    ],
)
async def test_dates_are_taken_as_the_command_takes_them(
    query: Mapping[str, str], asked: Mapping[str, str], spoken: str
) -> None:
    """A bare date is meant in the zone of the desired state or in the one that is given, and the page says which."""
    found, shown = await page(query)
    assert [{**one, "limit": ""} for one in found.asked] == [{**asked, "limit": ""}]
    assert spoken in shown
    assert 'placeholder="Asia/Seoul"' in shown


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"since": "tomorow"}, "since must be 2h or 7d ago, a date like 2026-11-24, yesterday"),
        ({"since": "yesterday", "timezone": "Asia/Nowhere"}, "is not a time zone"),
        ({"since": "0001-01-01"}, "since must be"),
        ({"until": "9999-12-31"}, "until must be"),
    ],
)
async def test_a_date_that_cannot_be_read_stays_in_the_form(
    query: Mapping[str, str], words: str
) -> None:
    """The page says what it takes, asks nothing, and keeps what was typed."""
    found, shown = await page(query)
    assert found.asked == []
    assert words in shown
    for typed in query.values():
        assert f'value="{typed}"' in shown


async def test_the_page_answers_an_auditor() -> None:
    """Who removed a device that is asked for by its former name, when, by which commit, and LG's message id."""
    removed = ChangeReport(
        at=datetime(2026, 11, 17, 1, 12, 36, tzinfo=UTC),
        account="seoul-hotel",
        device="5a8b" * 16,
        name="Room 108 oven",
        action="unsubscribe",
        result="success",
        confirmed_by=None,
        approved=False,
        revision="c44e" * 10,
        commit="c44e" * 10,
        author="Jun Lee <jun@hotel.example>",
        subject="Room 108 is rebuilt",
        pass_id="9c156aceba19",
        message_id="zWW5ezcnQAmurk0QzkgA3g",
        lg_message_id="zWW5ezcnQAmurk0QzkgA3g",
        status=200,
        code=None,
        words="",
    )
    found, shown = await page({"device": "Room 108 oven", "since": "last tuesday"}, removed)
    assert found.asked[0]["device"] == "Room 108 oven"
    for fact in ("Unsubscribed", "Jun Lee", "2026-11-17 01:12:36 UTC", "c44ec44ec44e"):
        assert fact in shown
    assert "message id <code>zWW5ezcnQAmurk0QzkgA3g</code>" in shown
