"""The calls of one account on simulated time: never too many in an hour, and never a long wait for nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import Unlimited
from reconciler.pcc.quota import HOUR, SLACK, Learned, Quota

START = 1_790_000_000.25


@dataclass
class Platform:
    """LG's side: so many calls in any rolling hour, some of them used by others."""

    allowed: int
    calls: deque[float] = field(default_factory=deque)

    def answer(self, now: float) -> bool:
        """Take one call, or throttle it."""
        while self.calls and self.calls[0] <= now - HOUR:
            self.calls.popleft()
        if len(self.calls) >= self.allowed:
            return False
        self.calls.append(now)
        return True


@dataclass
class Run:
    """What came of making ``wanted`` changes at the pace of a quota, in passes that each begin with a list."""

    quota: Quota
    platform: Platform
    wanted: int
    together: int = 1
    seconds_a_call: float = 0.25
    late: float = 0.0
    now: float = START
    calls: list[float] = field(default_factory=list)
    throttled: list[float] = field(default_factory=list)
    lists: int = 0

    def finish(self) -> None:
        """Make passes until nothing is left to change."""
        waiting = self.wanted
        while self.wanted:
            opens = self.quota.opens_for_pass(self.now, waiting)
            if opens > self.now:
                self.now = opens
                continue
            self.lists += 1
            if self._calls(1):
                while self.wanted and self._open():
                    done = self._calls(min(self.together, self.wanted))
                    self.wanted -= done
            waiting = self.wanted

    def throttled_in(self, hour: int) -> int:
        """Count the throttled answers of one hour, counted from the start."""
        return sum(hour * HOUR <= moment - START < (hour + 1) * HOUR for moment in self.throttled)

    def _open(self) -> bool:
        return self.quota.opens_for_change(self.now) <= self.now

    def _calls(self, most: int) -> int:
        """Make some calls at once and return how many were done."""
        answers: list[bool] = []
        while len(answers) < most and (
            not answers or (self._open() and not self.quota.is_trying(self.now))
        ):
            if not self.quota.take(self.now):
                break
            self.calls.append(self.now)
            answers.append(self.platform.answer(self.now + self.late))
        self.now += self.seconds_a_call
        for place, done in enumerate(answers):
            if done:
                self.quota.answered()
            else:
                self.throttled.append(self.now)
                self.quota.throttled(self.now, None, teaches=True, unanswered=len(answers) - place)
        return sum(answers)


def most_in_an_hour(calls: list[float]) -> int:
    """Return the most calls that any rolling hour holds."""
    most, begin = 0, 0
    for end, call in enumerate(calls):
        while calls[begin] <= call - HOUR:
            begin += 1
        most = max(most, end - begin + 1)
    return most


@given(
    st.integers(1, 400),
    st.lists(
        st.tuples(
            st.sampled_from(["take", "change", "pass"]),
            st.floats(0, 2000) | st.sampled_from([0.0, HOUR, 60.0]),
        ),
        max_size=300,
    ),
)
def test_a_given_limit_is_never_exceeded_in_any_rolling_hour(
    limit: int, steps: list[tuple[str, float]]
) -> None:
    """Whoever asks for a call and whenever, no hour holds more of them than the text allows."""
    quota, now, calls = Quota(limit), START, list[float]()
    for kind, wait in steps:
        now += wait
        opens = {
            "take": now,
            "change": quota.opens_for_change(now),
            "pass": quota.opens_for_pass(now, 100),
        }[kind]
        assert opens >= now
        now = opens if kind != "take" else now
        for _ in range(50):
            if quota.take(now):
                calls.append(now)
    assert not calls or most_in_an_hour(calls) <= limit


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 2000))
def test_the_moment_named_for_a_pass_has_room_for_it(limit: int, made: int, changes: int) -> None:
    """When a pass opens, its list and a tenth of the hour's calls in changes can be made, or all there are."""
    quota = Quota(limit)
    for number in range(min(made, limit)):
        assert quota.take(START + number)
    opens = quota.opens_for_pass(START + made, changes)
    assert quota.opens_for_pass(opens, changes) == opens
    assert quota.take(opens)
    kept = min(6, limit // 10)
    for _ in range(min(changes, max(limit // 10, 1), limit - 1 - kept)):
        assert quota.opens_for_change(opens) == opens
        assert quota.take(opens)


def test_some_calls_are_kept_for_lists() -> None:
    """Changes stop where a few calls are left, so that drift is seen in an hour that is used up."""
    quota, changes = Quota(100), 0
    while quota.opens_for_change(START) == START:
        assert quota.take(START)
        changes += 1
    assert changes == 94
    assert quota.remaining(START) == 6
    for _ in range(6):
        assert quota.opens_for_pass(START, 0) == START
        assert quota.take(START)
    assert not quota.take(START)
    assert quota.opens_for_pass(START, 0) >= START + HOUR


def test_lists_cannot_eat_the_quota_while_changes_wait() -> None:
    """A pass with changes waits until a tenth of the hour's calls is free for them."""
    quota = Quota(100)
    for number in range(85):
        assert quota.take(START + number)
    assert quota.opens_for_pass(START + 100, 0) == START + 100
    assert quota.opens_for_pass(START + 100, 50) > START + HOUR
    assert quota.opens_for_pass(START + 100, 3) == START + 100


def test_without_a_limit_nothing_waits() -> None:
    """Unlimited is unlimited, and so is what was not learned yet."""
    for policy in Unlimited:
        quota = Quota(policy)
        assert all(quota.take(START) for _ in range(5000))
        assert quota.remaining(START) is None
        assert quota.opens_for_change(START) == quota.opens_for_pass(START, 9999) == START


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, 60),
        (0.0, 60),
        (1.0, 1),
        (90.0, 90),
        (3600.0, 3600),
        (86_400.0, 3600),
        (float("inf"), 3600),
    ],
)
def test_a_pause_is_as_long_as_lg_says_within_an_hour(
    retry_after: float | None, seconds: float
) -> None:
    """LG's own word goes first; without it a minute is waited."""
    quota = Quota()
    opens = quota.throttled(START, retry_after, teaches=False)
    assert START + seconds <= opens < START + seconds + 1
    assert opens == quota.opens_for_change(START) == quota.opens_for_pass(START, 0)
    assert not quota.take(START)
    assert quota.take(opens)


def test_pauses_double_up_to_ten_minutes_until_an_answer_comes() -> None:
    """A platform that goes on throttling is asked less and less often; one good answer begins anew."""
    quota, now, waits = Quota(Unlimited.UNLIMITED), 1000.0, list[float]()
    for _ in range(6):
        opens = quota.throttled(now, None, teaches=True)
        waits.append(opens - now)
        now = opens
    assert waits == [60, 120, 240, 480, 600, 600]
    quota.answered()
    assert quota.throttled(now, None, teaches=True) == now + 60


def test_calls_that_were_in_flight_together_share_one_throttle() -> None:
    """Eight throttled answers to eight calls sent at once are one throttle: one pause, one lesson."""
    quota = Quota()
    for number in range(208):
        quota.take(START + number / 100)
    moments = [
        quota.throttled(START + 10 + one / 100, None, teaches=True, unanswered=8 - one)
        for one in range(8)
    ]
    assert quota.limit == 180
    assert max(moments) - min(moments) <= 1
    assert quota.throttled(START + 100, None, teaches=False) == pytest.approx(START + 220, abs=1)


def test_a_throttle_with_a_code_teaches_and_a_bare_429_does_not() -> None:
    """The limit is nine tenths of what went through in the hour before, and never under sixty."""
    quota = Quota()
    for number in range(301):
        quota.take(START + number)
    quota.throttled(START + 301, None, teaches=False)
    assert quota.limit is None
    quota.throttled(START + 400, None, teaches=True)
    assert quota.limit == 270
    few = Quota()
    few.take(START)
    few.throttled(START, None, teaches=True)
    assert few.limit == 60


def test_a_given_limit_learns_nothing() -> None:
    """Where a person gave the number, a throttle only pauses; what was learned before is kept for auto."""
    quota = Quota(100, Learned((), 80))
    assert quota.take(START)
    quota.throttled(START, None, teaches=True)
    assert quota.limit == 100
    quota.follow(Unlimited.AUTO)
    assert quota.limit == 80
    quota.follow(Unlimited.UNLIMITED)
    assert quota.limit is None


def test_a_used_up_hour_without_a_throttle_makes_the_limit_a_tenth_more() -> None:
    """Nothing is tried while the hour is full; the next one may hold a tenth more, and only after it was used up."""
    quota, now = Quota(learned=Learned((), 100)), START
    for expected in (100, 110, 121):
        while (opens := quota.opens_for_change(now)) <= now:
            assert quota.take(now)
            now += 1
        assert quota.limit == expected
        now = opens
    idle = Quota(learned=Learned((), 100))
    for _ in range(50):
        assert idle.take(now)
        now += HOUR / 50
    now += HOUR
    assert idle.opens_for_change(now) == now
    assert idle.limit == 100


def test_a_restart_remembers_the_calls_and_the_limit() -> None:
    """What a new process is told of the last hour counts as if it had made those calls itself."""
    quota = Quota(learned=Learned((), 100))
    while quota.opens_for_change(START) <= START:
        quota.take(START)
    again = Quota(learned=quota.learned)
    assert again.limit == 100
    assert again.remaining(START) == 6
    assert again.opens_for_change(START + 1) == quota.opens_for_change(START + 1) > START + HOUR


@pytest.mark.parametrize("together", [1, 8])
@pytest.mark.parametrize("seconds_a_call", [0.05, 2.0])
def test_a_given_limit_that_is_lgs_is_never_throttled_and_loses_no_time(
    together: int, seconds_a_call: float
) -> None:
    """A thousand changes under 300 calls an hour take hardly longer than the three hours they must."""
    run = Run(Quota(300), Platform(300), 1000, together, seconds_a_call, late=0.5)
    run.finish()
    assert run.throttled == []
    assert most_in_an_hour(run.calls) <= 300
    assert run.now - START <= 1.1 * 3 * HOUR
    assert run.lists <= 5


@pytest.mark.parametrize("together", [1, 8])
@pytest.mark.parametrize(("allowed", "wanted"), [(300, 1000), (300, 5000), (60, 600), (1000, 9000)])
def test_a_learned_limit_is_throttled_seldom_and_loses_little_time(
    together: int, allowed: int, wanted: int
) -> None:
    """After the hour that taught it, at most two answers an hour are throttled, and the work is done nearly as soon."""
    run = Run(Quota(), Platform(allowed), wanted, together)
    run.finish()
    hours = (wanted - 1) // allowed
    assert 1 <= run.throttled_in(0) <= together
    assert all(run.throttled_in(hour) <= 2 for hour in range(1, 2 * hours + 2))
    assert run.now - START <= 1.3 * hours * HOUR
    assert run.lists <= 2 * hours + 4


def test_an_account_that_is_throttled_and_used_up_waits_for_the_later_of_both() -> None:
    """Whichever ends first opens nothing: neither a pass, nor a change, nor a call."""
    for pause, opens in ((60.0, HOUR + SLACK), (HOUR, HOUR + 1800)):
        quota = Quota(10)
        for _ in range(10):
            quota.take(0.0)
        quota.throttled(1800.0 if pause == HOUR else 100.0, pause, teaches=False)
        assert (quota.opens_for_pass(1900.0, 0), quota.opens_for_change(1900.0)) == (opens, opens)
        assert not quota.take(opens - SLACK)
        assert quota.take(opens)


def test_a_limit_that_is_given_hides_a_learned_one_and_does_not_forget_it() -> None:
    """A text may give a limit and take it back: what was learned before counts again, and nothing was tried since."""
    quota = Quota(learned=Learned((), 100))
    quota.follow(1000)
    assert (quota.limit, quota.is_trying(0.0)) == (1000, False)
    for _ in range(200):
        assert quota.take(0.0)
    quota.throttled(1.0, None, teaches=True)
    quota.follow(Unlimited.AUTO)
    assert (quota.limit, quota.learned_limit, quota.is_trying(1.0)) == (100, 100, True)
    quota.follow(Unlimited.UNLIMITED)
    assert (quota.limit, quota.is_trying(1.0)) == (None, False)


def test_the_calls_before_a_throttle_prove_nothing_about_the_limit_that_it_taught() -> None:
    """The hour in which LG throttled is no hour without a throttle, however many calls it had."""
    quota = Quota()
    for number in range(300):
        quota.take(START + number)
    quota.throttled(START + 300, None, teaches=True)
    opens = quota.opens_for_change(START + 301)
    assert quota.remaining(opens + HOUR) == quota.limit == 269


def test_an_hour_that_was_used_up_under_another_limit_proves_nothing() -> None:
    """Only an hour under the learned limit itself makes it a tenth more."""

    def after_an_hour(*followed: int | Unlimited) -> int | None:
        quota = Quota(learned=Learned((), 100))
        for second in range(100):
            quota.opens_for_change(float(second))
            quota.take(float(second))
        for policy in followed:
            quota.follow(policy)
        return quota.remaining(2 * HOUR) and quota.learned_limit

    assert after_an_hour(Unlimited.AUTO) == 110
    assert after_an_hour(1000, Unlimited.AUTO) == 100


def test_calls_without_an_intent_are_written_down_before_there_are_too_many() -> None:
    """As many as a successor counts may be unwritten; those with an intent are written already."""
    quota = Quota(40)
    for _ in range(3):
        quota.take(START)
        quota.take(START, intended=True)
    assert not quota.must_be_written
    quota.take(START)
    assert quota.must_be_written
    counted = quota.without_intent
    quota.take(START)  # while the calls before it are written
    quota.written(counted)
    assert not quota.must_be_written
    quota.written(counted)
    assert [quota.take(START) for _ in range(3)] == [True] * 3
    assert quota.must_be_written


def test_calls_that_nobody_may_have_written_count_when_an_account_is_taken_over() -> None:
    """A new owner counts them in addition to those that were written, and writes them down before it calls."""
    quota = Quota(40)
    quota.take_over(Learned((START - 2, START - 1)), START)
    assert quota.remaining(START) == 34
    assert quota.must_be_written


def test_an_account_that_comes_back_is_known_as_to_somebody_who_never_had_it() -> None:
    """What was learned here before it was another's counts no more: its limit, what that proved, an hour's use."""
    quota = Quota(learned=Learned((), 100))
    while quota.take(START):
        quota.opens_for_change(START)
    back = START + HOUR + SLACK
    learned = Learned((back - 2,) * 54, 60)
    quota.take_over(learned, back)
    stranger = Quota(learned=Learned((*learned.calls, *[back] * 6), 60))
    for now in (back, back + HOUR - 1, back + HOUR + SLACK, back + 3 * HOUR):
        for ask in (Quota.is_trying, Quota.remaining, Quota.opens_for_change):
            assert ask(quota, now) == ask(stranger, now), (now - back, ask)
        assert quota.learned == stranger.learned


@pytest.mark.parametrize("policy", [Unlimited.AUTO, Unlimited.UNLIMITED])
def test_nothing_is_written_for_an_account_without_a_limit(policy: Unlimited) -> None:
    """Where no limit is known, no call waits for the disk."""
    quota = Quota(policy)
    quota.take_over(Learned((START - 1,)), START)
    assert [quota.take(START) for _ in range(20)] == [True] * 20
    assert quota.learned.calls == (START - 1, *[START] * 20)
    assert not quota.must_be_written


@pytest.mark.parametrize(("made", "tries"), [(0, False), (59, False), (60, True), (61, True)])
def test_the_first_call_beyond_what_is_known_goes_alone(made: int, *, tries: bool) -> None:
    """As many as the limit that was learned are known to be allowed; a limit that a person gave is not tried."""
    learned = Learned((START,) * made, 60)
    assert Quota(learned=learned).is_trying(START) is tries
    for policy in (60, Unlimited.UNLIMITED):
        assert not Quota(policy, learned).is_trying(START)
    assert not Quota(learned=learned).is_trying(START + HOUR + 10)


def test_what_was_written_once_stays_written() -> None:
    """Two writes may end in the other order; the later count does not go back."""
    quota = Quota(40)
    counts = []
    for _ in range(4):
        quota.take(START)
        counts.append(quota.without_intent)
    quota.written(counts[3])
    quota.written(counts[0])
    assert not quota.must_be_written
    assert quota.take(START)
    assert not quota.must_be_written
