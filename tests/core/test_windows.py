"""Change windows: when they are active, when that changes, and what they hold together."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zones
from reconciler.core import windows
from reconciler.core.windows import Holds, Opening, Span, Weekly, Window, WindowKind

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)  # a Monday
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVERY_DAY = frozenset(range(7))
ALLOW, DENY = WindowKind.ALLOW, WindowKind.DENY


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    """Return a moment of 2026."""
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def weekly(first: str, last: str, zone: str = "UTC", days: frozenset[int] = EVERY_DAY) -> Weekly:
    """Return hours of some days."""
    return Weekly(days, time.fromisoformat(first), time.fromisoformat(last), zone)


def window(
    when: Weekly | Span, kind: WindowKind = ALLOW, holds: Holds = Holds.ALL, name: str = "w"
) -> Window:
    """Return a window of these times."""
    return Window(name, kind, holds, when, "UTC")


OFFICE = window(weekly("09:00", "17:00"))
UNSUBSCRIBES = window(weekly("12:00", "14:00"), holds=Holds.UNSUBSCRIBE, name="noon")
FREEZE = window(Span(NOW, NOW + 48 * HOUR), DENY, name="freeze")


def test_windows_are_right_around_every_change_of_an_offset_in_all_zones() -> None:
    """Membership and the next change are what counting minutes of the wall clock says, in two years of all zones."""
    assert len(zones.turns()) > 50
    compared = 0
    for number, turn in enumerate(zones.turns()):
        for index, one in enumerate(zones.windows(turn)):
            if (number + index) % 16 == 0:
                compared += zones.check(turn, one, 480)
    assert compared > 1000


def test_the_hour_that_comes_twice_belongs_to_the_window_twice() -> None:
    """A window in the repeated hour is active in both, and not between them when the clock is not in it."""
    night = weekly("02:00", "02:30", "Europe/Berlin")  # on 2026-10-25 from 00:00 and from 01:00 UTC
    begins = at(25, 0, month=10)
    changes = [begins - HOUR]
    for _ in range(4):
        found = night.next_change(changes[-1])
        assert found is not None
        changes.append(found)
    assert [one - begins for one in changes[1:]] == [
        timedelta(minutes=minutes) for minutes in (0, 30, 60, 90)
    ]


def test_the_hour_that_is_left_out_shortens_the_window() -> None:
    """A window in the hour that does not exist is not active on that day; one around it is an hour shorter."""
    assert not weekly("02:10", "02:50", "Europe/Berlin").active(at(29, 1, 20, month=3))
    inside = weekly("02:10", "02:50", "Europe/Berlin")
    assert inside.next_change(at(28, 12, month=3)) == at(30, 0, 10, month=3)
    around = weekly("01:30", "03:30", "Europe/Berlin")
    assert around.next_change(at(28, 23, month=3)) == at(29, 0, 30, month=3)
    assert around.next_change(at(29, 0, 30, month=3)) == at(29, 1, 30, month=3)


def test_hours_that_end_on_the_next_day_belong_to_the_day_on_which_they_begin() -> None:
    """Friday from 22:00 to 06:00 ends on Saturday morning."""
    friday = weekly("22:00", "06:00", days=frozenset({4}))
    active = [
        moment for moment in map(at, [27, 27, 28, 28], [21, 22, 5, 6]) if friday.active(moment)
    ]
    assert active == [at(27, 22), at(28, 5)]


def test_a_window_without_an_end_never_changes() -> None:
    """Every day from midnight to midnight is always."""
    always = weekly("00:00", "00:00")
    assert always.always
    assert always.active(NOW)
    assert always.next_change(NOW) is None
    assert not weekly("00:00", "00:00", days=frozenset({1})).always


def test_a_span_has_its_beginning_and_not_its_end() -> None:
    """From is inclusive, to is exclusive, and either may be missing."""
    span = Span(NOW, NOW + HOUR)
    assert [span.active(NOW + HOUR * hours) for hours in (-1, 0, 1)] == [False, True, False]
    assert [span.next_change(NOW + HOUR * hours) for hours in (-1, 0, 1)] == [NOW, NOW + HOUR, None]
    assert Span(None, NOW).active(NOW - HOUR)
    assert Span(NOW, None).always


def names(held_by: tuple[Window, ...]) -> list[str]:
    """Return the names of windows."""
    return [one.name for one in held_by]


def test_any_active_allow_window_is_enough() -> None:
    """Of several allow windows for an action, one that is not active blocks nothing while another one is."""
    two = (OFFICE, UNSUBSCRIBES)
    assert names(windows.holding(two, "unsubscribe", at(30, 10))) == []
    assert names(windows.holding(two, "unsubscribe", at(30, 18))) == ["w", "noon"]
    assert names(windows.holding((UNSUBSCRIBES,), "unsubscribe", at(30, 10))) == ["noon"]


def test_an_action_that_no_allow_window_is_about_is_free() -> None:
    """A window that holds unsubscribes says nothing about subscribes."""
    assert windows.holding((UNSUBSCRIBES,), "subscribe", at(30, 10)) == ()
    assert windows.holding((), "unsubscribe", NOW) == ()


def test_a_deny_window_beats_every_allow_window() -> None:
    """Inside a deny window it does not matter whether an allow window is active or open."""
    opening = Opening("w", OFFICE.mark, NOW, NOW + HOUR)
    assert names(windows.holding((OFFICE, FREEZE), "subscribe", NOW, (opening,))) == ["freeze"]


def test_an_action_is_free_from_the_first_moment_that_all_windows_permit() -> None:
    """A freeze that ends at night is followed by the wait for the morning."""
    assert windows.free_from((OFFICE,), "subscribe", at(30, 12)) == at(30, 12)
    assert windows.free_from((OFFICE,), "subscribe", at(30, 18)) == at(1, 9, month=12)
    long = window(Span(None, at(30, 18)), DENY, name="freeze")
    assert windows.free_from((OFFICE, long), "subscribe", at(30, 12)) == at(1, 9, month=12)
    assert windows.free_from((window(Span(None, None), DENY),), "subscribe", NOW) is None
    past = window(Span(None, NOW - HOUR))
    assert windows.free_from((past,), "subscribe", NOW) is None
    far = window(Span(None, NOW + timedelta(days=400)), DENY)
    assert windows.free_from((far,), "subscribe", NOW) == NOW + timedelta(days=400)


def test_an_opening_is_for_a_window_as_it_was_defined_then() -> None:
    """An edit of the window ends the opening, and its end is a change like any other."""
    opening = Opening("w", OFFICE.mark, NOW, NOW + 10 * HOUR)
    evening = at(30, 18)
    assert windows.holding((OFFICE,), "subscribe", evening, (opening,)) == ()
    assert windows.next_change((OFFICE,), evening, (opening,)) == NOW + 10 * HOUR
    assert windows.holding((OFFICE,), "subscribe", NOW + 10 * HOUR, (opening,)) == (OFFICE,)
    edited = window(weekly("09:00", "16:00"))
    assert windows.holding((edited,), "subscribe", evening, (opening,)) == (edited,)
    assert windows.relevant((edited, OFFICE), (opening,)) == (opening,)
    assert windows.relevant((edited,), (opening,)) == ()


def test_no_command_opens_a_deny_window() -> None:
    """An opening of a deny window does nothing: the window is no more active, and holds no less."""
    deny = window(weekly("09:00", "17:00"), kind=DENY)
    opening = Opening("w", deny.mark, NOW, NOW + 10 * HOUR)
    evening = at(30, 18)
    assert windows.relevant((deny,), (opening,)) == ()
    assert not windows.is_open(deny, evening, (opening,))
    assert windows.holding((deny,), "subscribe", at(30, 10), (opening,)) == (deny,)


def test_every_fact_of_a_window_is_in_its_mark() -> None:
    """Whatever is edited, the mark is another one; the same definition has the same mark."""
    others = [
        OFFICE,
        window(weekly("09:00", "17:00", days=frozenset({0}))),
        window(weekly("09:01", "17:00")),
        window(weekly("09:00", "17:01")),
        window(weekly("09:00", "17:00", "Asia/Seoul")),
        window(weekly("09:00", "17:00"), DENY),
        window(weekly("09:00", "17:00"), holds=Holds.UNSUBSCRIBE),
        window(weekly("09:00", "17:00"), name="x"),
        window(Span(NOW, None)),
        window(Span(None, NOW)),
        Window("w", ALLOW, Holds.ALL, OFFICE.when, "UTC", ("a",)),
        Window("w", ALLOW, Holds.ALL, OFFICE.when, "UTC", reason="because"),
    ]
    assert len({one.mark for one in others}) == len(others)
    assert window(weekly("09:00", "17:00")).mark == OFFICE.mark


def test_what_holds_is_said_in_the_zone_and_in_utc() -> None:
    """The sentence names the windows, the reason, and when it ends."""
    seoul = Window("office", ALLOW, Holds.ALL, weekly("09:00", "17:00", "Asia/Seoul"), "Asia/Seoul")
    sentence = windows.words([seoul], at(1, 0, month=12))
    assert (
        sentence
        == "outside the allow window office; until Tue 2026-12-01 09:00 Asia/Seoul (00:00 UTC)"
    )
    frozen = Window("freeze", DENY, Holds.ALL, FREEZE.when, "UTC", reason="year's end")
    assert (
        windows.words([frozen, FREEZE], NOW)
        == "inside the deny windows freeze, freeze: year's end; until Mon 2026-11-30 12:00 UTC"
    )
    assert windows.words([OFFICE], None) == "outside the allow window w; no end is foreseeable"
    night = windows.both_ways(at(30, 20), "Asia/Seoul")
    assert night == "Tue 2026-12-01 05:00 Asia/Seoul (2026-11-30 20:00 UTC)"


def test_beginning_and_end_are_those_that_come_next() -> None:
    """An active window ends first; one that is not active begins first."""
    assert windows.begins_and_ends(OFFICE, at(30, 12)) == (at(1, 9, month=12), at(30, 17))
    assert windows.begins_and_ends(OFFICE, at(30, 18)) == (at(1, 9, month=12), at(1, 17, month=12))
    assert windows.begins_and_ends(window(Span(NOW, None)), NOW) == (None, None)


clocks = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))
moments = st.integers(0, 2 * 365 * 24 * 60).map(lambda minute: MIDNIGHT + timedelta(minutes=minute))
named = st.sampled_from(
    [
        "UTC",
        "Asia/Seoul",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Gaza",
        "Africa/Casablanca",
        "America/Havana",
        "Pacific/Chatham",
        "America/Nuuk",
    ]
)
spans = st.builds(
    lambda begin, length: Span(begin, begin + length),
    moments,
    st.timedeltas(timedelta(minutes=1), timedelta(days=60)),
)
weeklies = st.builds(
    Weekly, st.sets(st.integers(0, 6), min_size=1).map(frozenset), clocks, clocks, named
)
some_windows = st.lists(
    st.builds(
        Window,
        st.sampled_from("abc"),
        st.sampled_from(WindowKind),
        st.sampled_from(Holds),
        st.one_of(weeklies, spans),
        st.just("UTC"),
    ),
    max_size=4,
).map(tuple)


@given(some_windows, moments, st.sampled_from(["subscribe", "unsubscribe"]))
def test_nothing_changes_before_the_next_change_and_nothing_is_free_before_it_is_said(
    some: tuple[Window, ...], now: datetime, action: str
) -> None:
    """Between now and the next change every window stays as it is, and until it is free an action stays held."""
    change = windows.next_change(some, now)
    held = windows.holding(some, action, now)
    if change is not None:
        assert change > now
        before = change - timedelta(microseconds=1)
        assert [one.when.active(before) for one in some] == [one.when.active(now) for one in some]
        assert [one.when.active(change) for one in some] != [one.when.active(now) for one in some]
        assert windows.holding(some, action, before) == held
    free = windows.free_from(some, action, now)
    if free is not None:
        assert windows.holding(some, action, free) == ()
        if free > now:
            assert windows.holding(some, action, free - timedelta(microseconds=1)) != ()
            assert held


def test_a_window_that_begins_with_another_offset_begins_on_the_second() -> None:
    """Whatever fraction of a second the question has: the hour that is left out takes its beginning with it."""
    when = weekly("02:30", "04:00", "Europe/Berlin", frozenset({6}))
    asked = datetime(2026, 3, 28, 12, 0, 0, 250_000, UTC)
    assert when.next_change(asked) == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["Asia/Seoul", "America/Havana"])
def test_a_moment_within_a_second_is_before_the_change(name: str) -> None:
    """A moment just before a window begins is not in it."""
    when = weekly("09:00", "17:00", name)
    begins = when.next_change(at(30, 20))
    assert begins is not None
    just_before = begins - timedelta(microseconds=1)
    assert when.next_change(just_before) == begins
    assert when.active(just_before) is not when.active(begins)
