"""Windows as people and programs see them: what each is now and next, and what commands opened."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from disks import StandingClock
from reconciler.core.acceptance import Accepted
from reconciler.core.windows import Ending, Holds, Opening, Span, Weekly, Window, WindowKind
from reconciler.reporting import queries
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.windows import OpeningReport, WindowReport, window_reports
from reconciler.state import State

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)  # a Sunday, 19:00 in Seoul
HOUR = timedelta(hours=1)
SEOUL = "Asia/Seoul"
EVENING = Weekly(frozenset(range(7)), time(18), time(20), SEOUL)
MORNING = Weekly(frozenset(range(7)), time(9), time(11), SEOUL)


def window(kind: WindowKind, when: Weekly | Span, **more: object) -> Window:
    """Return a window."""
    return Window("office", kind, Holds.ALL, when, SEOUL, **more)  # type: ignore[arg-type]  # as each field has it


def opening(one: Window, at: datetime = NOW - HOUR) -> Opening:
    """Return that a person opened a window for three hours."""
    return Opening(one.name, one.mark, at, at + 3 * HOUR, "a storm", "kim@desk")


def shown(one: Window, *openings: Opening) -> WindowReport:
    """Return how a window is shown now."""
    (report,) = window_reports([one], openings, NOW)
    return report


WORDS = {
    (WindowKind.ALLOW, EVENING, False): "open; closes Sun 2026-11-22 20:00 Asia/Seoul (11:00 UTC); "
    "opens Mon 2026-11-23 18:00 Asia/Seoul (09:00 UTC)",
    (
        WindowKind.ALLOW,
        MORNING,
        False,
    ): "closed; opens Mon 2026-11-23 09:00 Asia/Seoul (00:00 UTC); "
    "closes Mon 2026-11-23 11:00 Asia/Seoul (02:00 UTC)",
    (WindowKind.ALLOW, EVENING, True): "open; opened by kim@desk until "
    "Sun 2026-11-22 21:00 Asia/Seoul (12:00 UTC): a storm; "
    "closes Sun 2026-11-22 20:00 Asia/Seoul (11:00 UTC); opens Mon 2026-11-23 18:00 Asia/Seoul (09:00 UTC)",
    (WindowKind.ALLOW, MORNING, True): "open by command; opened by kim@desk until "
    "Sun 2026-11-22 21:00 Asia/Seoul (12:00 UTC): a storm; "
    "opens Mon 2026-11-23 09:00 Asia/Seoul (00:00 UTC); closes Mon 2026-11-23 11:00 Asia/Seoul (02:00 UTC)",
    (WindowKind.DENY, EVENING, True): "active; ends Sun 2026-11-22 20:00 Asia/Seoul (11:00 UTC); "
    "begins Mon 2026-11-23 18:00 Asia/Seoul (09:00 UTC)",
    (
        WindowKind.DENY,
        MORNING,
        True,
    ): "not active; begins Mon 2026-11-23 09:00 Asia/Seoul (00:00 UTC); "
    "ends Mon 2026-11-23 11:00 Asia/Seoul (02:00 UTC)",
    (WindowKind.DENY, Span(None, None), False): "active; that does not change any more",
    (WindowKind.ALLOW, Span(None, NOW), False): "closed; that does not change any more",
}


@pytest.mark.parametrize(("kind", "when", "opened"), WORDS)
def test_a_window_is_shown_as_it_is_now_and_next(
    kind: WindowKind, when: Weekly | Span, *, opened: bool
) -> None:
    """By its hours, or by a command, which opens an allow window only; times are in its zone and in UTC."""
    one = window(kind, when)
    report = shown(one, *([opening(one)] if opened else []))
    begun = f"{kind} window for all changes, "
    assert report.words == begun + WORDS[kind, when, opened]
    by_command = opened and kind is WindowKind.ALLOW
    assert report.active is when.active(NOW)
    assert (report.opened_until, report.opened_reason, report.opened_by) == (
        (NOW + 2 * HOUR, "a storm", "kim@desk") if by_command else (None, "", "")
    )


def test_every_fact_of_a_window_is_in_its_place() -> None:
    """Each field has its own value, whatever others have."""
    one = replace(
        window(WindowKind.ALLOW, MORNING, accounts=("seoul-*", "busan"), reason="staff"),
        holds=Holds.UNSUBSCRIBE,
    )
    report = shown(one)
    tomorrow = datetime(2026, 11, 23, tzinfo=UTC)
    assert replace(report, words="") == WindowReport(
        name="office",
        kind="allow",
        holds="unsubscribe",
        active=False,
        begins=tomorrow,
        ends=tomorrow + 2 * HOUR,
        timezone=SEOUL,
        accounts=("seoul-*", "busan"),
        reason="staff",
        opened_until=None,
        opened_reason="",
        opened_by="",
        words="",
    )
    assert report.words.startswith("allow window for unsubscribes of seoul-*, busan, closed")


def test_only_the_opening_of_this_window_as_it_is_defined_counts() -> None:
    """One of a window of another name, or of other hours, opens nothing."""
    one = window(WindowKind.ALLOW, MORNING)
    others = (replace(opening(one), window="night"), replace(opening(one), mark="other hours"))
    assert shown(one, *others) == shown(one)


@pytest.fixture
def known() -> Knowledge:
    """Give what is known where a person opened four windows, one an hour; each ended in its own way."""
    state = State.in_memory(StandingClock(NOW))
    for number, name in enumerate(("by-time", "by-hand", "by-edit", "still-open")):
        at = NOW + number * HOUR
        state.opened_windows.open(
            Opening(name, f"mark of {name}", at, at + 2 * HOUR, f"for {name}", "kim"), at
        )
    state.opened_windows.close("by-hand", NOW + 2 * HOUR)
    marks = {"mark of by-time", "mark of by-hand", "mark of still-open"}
    state.opened_windows.edited(marks, NOW + 2.5 * HOUR)
    return Knowledge(NOW + 4 * HOUR, Accepted(), state, list)


def openings(known: Knowledge, **asked: str) -> list[OpeningReport]:
    """Return what history shows of opened windows."""
    return list(queries.history(known, queries.wanted(asked, known.now)).openings)


def test_past_openings_are_shown_with_their_real_end(known: Knowledge) -> None:
    """One that a person or an edit ended was open for less than was asked for; the latest comes first."""
    found = {one.window: (one.at, one.until, one.ended, one.ended_by) for one in openings(known)}
    assert found == {
        "still-open": (NOW + 3 * HOUR, NOW + 5 * HOUR, NOW + 5 * HOUR, "time"),
        "by-edit": (NOW + 2 * HOUR, NOW + 4 * HOUR, NOW + 2.5 * HOUR, str(Ending.EDITED)),
        "by-hand": (NOW + HOUR, NOW + 3 * HOUR, NOW + 2 * HOUR, str(Ending.CLOSED)),
        "by-time": (NOW, NOW + 2 * HOUR, NOW + 2 * HOUR, "time"),
    }
    assert [one.reason for one in openings(known)][-1] == "for by-time"
    assert {one.set_by for one in openings(known)} == {"kim"}


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"until": NOW + 3 * HOUR}, {"by-edit", "by-hand", "by-time"}),
        ({"until": NOW + HOUR}, {"by-time"}),
        ({"until": NOW}, set()),
        ({"since": NOW + 3.5 * HOUR}, {"still-open", "by-edit"}),
    ],
)
def test_openings_of_a_span_began_before_its_end(
    known: Knowledge, asked: dict[str, datetime], names: set[str]
) -> None:
    """Before ``until``, however long they lasted; ``since`` leaves out those that could not last until then."""
    spelt = {key: moment.isoformat() for key, moment in asked.items()}
    assert {one.window for one in openings(known, **spelt)} == names


@pytest.mark.parametrize(
    "asked",
    [
        {"action": "subscribe"},
        {"result": "refused"},
        {"author": "kim"},
        {"revision": "abc"},
        {"before": "WzAsMCwiYSIsImIiXQ"},
    ],
)
def test_openings_are_no_answer_to_another_question(
    known: Knowledge, asked: dict[str, str]
) -> None:
    """Who asks for changes of a kind, or for the next page, gets changes only."""
    assert openings(known, **asked) == []
