"""Whether every account has its passes: what a heartbeat to the outside says, and when it says nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from account_reports import account_report
from reconciler.reporting.heartbeat import LEAST, Punctuality, Verdict, limit
from reconciler.reporting.status import StatusReport, TextReport

START = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
ALLOWED = timedelta(minutes=20)
PAGE = "Look at this: LG does not answer for seoul."


def status(minutes: float, **accounts: float | None) -> StatusReport:
    """Return the status some minutes after the start; accounts by the minute of their last trusted list."""
    lists = {
        name: None if last is None else START + timedelta(minutes=last)
        for name, last in accounts.items()
    }
    return StatusReport(
        version="1",
        at=START + timedelta(minutes=minutes),
        mode="enforce",
        well=True,
        summary=PAGE,
        text=TextReport("x", None, "x", None, (), (), "file", START, ""),
        accounts=tuple(account_report(name, last) for name, last in lists.items()),
        abandoned=(),
    )


def judge() -> Punctuality:
    """Return a judge of a process that has just started."""
    return Punctuality(ALLOWED, START)


def test_every_account_has_to_be_on_time() -> None:
    """One account that is late makes all late, and the text names it behind the page's sentence."""
    on_time = judge()
    assert on_time.judge(status(20, seoul=0, busan=5)).verdict is Verdict.ON_TIME
    beat = on_time.judge(status(21, seoul=0, busan=5))
    assert beat.verdict is Verdict.LATE
    assert beat.text.splitlines() == [PAGE, "No pass within 20m in 1 account: seoul."]
    assert on_time.judge(status(22, seoul=21.5, busan=5)).verdict is Verdict.ON_TIME


def test_after_a_start_nothing_is_known_until_all_had_their_pass() -> None:
    """A guess would be wrong either way; an account that has none in its time is late then."""
    one = judge()
    assert one.judge(status(1, seoul=0.5, busan=None)).verdict is Verdict.UNKNOWN
    assert one.judge(status(2, seoul=0.5, busan=1.5)).verdict is Verdict.ON_TIME
    other = judge()
    assert other.judge(status(1, seoul=None)).verdict is Verdict.UNKNOWN
    assert other.judge(status(20, seoul=None)).verdict is Verdict.UNKNOWN
    assert other.judge(status(22, seoul=None)).verdict is Verdict.LATE


def test_a_new_account_is_given_the_same_time() -> None:
    """Its time runs from when it was first seen."""
    one = judge()
    one.judge(status(100, seoul=99))
    assert one.judge(status(101, seoul=99, new=None)).verdict is Verdict.UNKNOWN
    assert one.judge(status(121, seoul=120, new=None)).verdict is Verdict.UNKNOWN
    assert one.judge(status(122, seoul=120, new=None)).verdict is Verdict.LATE


def test_an_account_whose_report_is_away_for_a_moment_is_not_late() -> None:
    """Where the shared state does not answer, the last pass that was seen still counts, and nothing is stated."""
    one = judge()
    one.judge(status(100, seoul=99))
    assert one.judge(status(110, seoul=None)).verdict is Verdict.UNKNOWN
    assert one.judge(status(120, seoul=None)).verdict is Verdict.LATE


def test_an_older_status_makes_no_account_late() -> None:
    """Replicas may answer one after the other: the latest pass that was seen counts."""
    one = judge()
    one.judge(status(30, seoul=29))
    assert one.judge(status(31, seoul=5)).verdict is Verdict.ON_TIME
    assert one.judge(status(50, seoul=5)).verdict is Verdict.LATE


def test_without_any_revision_it_is_late_in_the_end() -> None:
    """A daemon that never gets a desired state does not stay silent for ever."""
    one = judge()
    assert one.judge(status(20)).verdict is Verdict.UNKNOWN
    beat = one.judge(status(21))
    assert beat.verdict is Verdict.LATE
    assert "No revision is in force after 20m" in beat.text


def test_an_account_that_left_is_forgotten() -> None:
    """It is no reason to alarm, and if it comes back its time begins anew."""
    one = judge()
    one.judge(status(1, seoul=0, gone=0))
    assert one.judge(status(60, seoul=59)).verdict is Verdict.ON_TIME
    assert one.judge(status(61, seoul=59, gone=None)).verdict is Verdict.UNKNOWN


def test_many_late_accounts_are_a_number() -> None:
    """The text stays short for a fleet of thousands."""
    late = status(60, **{f"hotel-{number:04d}": 0.0 for number in range(3000)})
    text = judge().judge(replace(late, at=START + timedelta(hours=2))).text
    assert "in 3000 accounts: hotel-0000" in text
    assert len(text) < 1000


def test_the_limit_is_two_intervals_and_at_least_five_minutes() -> None:
    """One failed list and its retry alarm nobody, however short the interval is."""
    assert limit(timedelta(minutes=10)) == timedelta(minutes=20)
    assert limit(timedelta(seconds=30)) == LEAST
