"""The pace of whole passes under LG's quota, on simulated time: never hammering, and never late for nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random

import httpx
import pytest
from structlog.testing import capture_logs

from reconciler.core.model import DEFAULT_ACCOUNT, Policy, Reason
from reconciler.pcc.client import Client
from reconciler.pcc.quota import Quota
from reconciler.simulator import (
    Match,
    Options,
    Platform,
    Record,
    Request,
    Route,
    Rule,
    sample_platform,
)
from reconciler.simulator.faults import Error
from reconciler.state import State
from simulated import START, YEAR, Fleet, SimulatedClock

HOUR = timedelta(hours=1)
TENTH = timedelta(minutes=10)
THROTTLES = {"1306", "1314", "429"}
AUTO = Policy()


class Pace:
    """A fleet each of whose calls takes a moment, beside somebody else who may use the same LG user."""

    def __init__(
        self,
        devices: int,
        *,
        policy: Policy = AUTO,
        seed: int = 0,
        seconds_a_call: float = 0.25,
        phase: float = 0.0,
        others_an_hour: int = 0,
        concurrency: int = 8,
        folder: Path | None = None,
        **options: str | float | None,
    ) -> None:
        self.clock = SimulatedClock()
        self.clock.pass_by(HOUR * phase)
        self.platform: Platform = sample_platform(
            devices=devices,
            only_pcc=True,
            seed=seed,
            options=Options(token_life=YEAR, **options),  # type: ignore[arg-type]  # quota and the like
            now=lambda: self.clock.now().timestamp(),
        )
        self._policy = policy
        self._seed = seed
        self._seconds_a_call = seconds_a_call
        self._concurrency = concurrency
        self._random = Random(seed)  # noqa: S311 - repeatable, and no secret
        self._others_every = HOUR / others_an_hour if others_an_hour else None
        self._others_next = self.clock.now()
        self._others_token = self.platform.issue_token("default")
        self.folder = folder
        self._state: State | None = None
        self.began = self.clock.now()
        self.fleet = self.start()

    def start(self) -> Fleet:
        """Start the program anew on what is left of it, or for the first time."""
        if self._state is not None:
            self._state.close()
        self._state = State.open(self.folder, self.clock) if self.folder is not None else None
        self.fleet = Fleet(
            platform=self.platform,
            state=self._state,
            clock=self.clock,
            policy=self._policy,
            seed=self._seed,
            concurrency=self._concurrency,
        )
        self.fleet.transport.on_request = lambda _request: self._take_a_moment()
        return self.fleet

    async def next_pass(self) -> None:
        """Make a pass when it is due."""
        due = self.clock.now() + (self.fleet.due or timedelta(0))
        while self._others_every is not None and self._others_next <= due:
            self.clock.moment = max(self.clock.moment, self._others_next)
            self._others()
        self.clock.moment = max(self.clock.moment, due)
        await self.fleet.reconcile()

    async def until(self, done: Callable[[], bool]) -> timedelta:
        """Make passes when they are due until something holds, and return how long that took."""
        began = self.clock.now()
        for _ in range(1000):
            await self.next_pass()
            if done():
                return self.clock.now() - began
        raise AssertionError("it never came to be")

    async def for_(self, span: timedelta) -> None:
        """Make the passes that are due within a span."""
        end = self.clock.now() + span
        while self.clock.now() + (self.fleet.due or timedelta(0)) < end:
            await self.next_pass()
        passed = end - self.clock.now()
        self.fleet.due = max((self.fleet.due or passed) - passed, timedelta(0))
        self.clock.moment = end

    @property
    def quota(self) -> Quota:
        """Return what counts our calls."""
        assert isinstance(self.fleet.client, Client)
        return self.fleet.client.quota

    @property
    def in_step(self) -> bool:
        """Say whether exactly what the text wants is live."""
        assert self.fleet.text is not None
        return self.fleet.live == self.fleet.text.desired.devices

    @property
    def calls(self) -> list[Record]:
        """Return the calls that we made."""
        theirs = f"Bearer {self._others_token}"
        return [one for one in self.fleet.calls() if one.headers["authorization"] != theirs]

    @property
    def throttled(self) -> list[Record]:
        """Return those of our calls that LG throttled."""
        return [one for one in self.calls if one.code in THROTTLES or one.status == 429]

    def throttled_by_hour(self) -> list[int]:
        """Return how many of our calls were throttled in each hour since the start."""
        counts = Counter(int((one.at - self.began.timestamp()) // 3600) for one in self.throttled)
        return [counts[hour] for hour in range((self.clock.now() - self.began) // HOUR + 1)]

    def _take_a_moment(self) -> None:
        each = self._seconds_a_call / self._concurrency
        self.clock.pass_by(timedelta(seconds=each * 2 * self._random.random()))
        while self._others_every is not None and self._others_next <= self.clock.now():
            self._others()

    def _others(self) -> None:
        """Let somebody else call with a token of the same user."""
        assert self._others_every is not None
        self._others_next += self._others_every * 2 * self._random.random()
        service = self.platform.world.service
        headers = {
            "authorization": f"Bearer {self._others_token}",
            "x-country-code": "KR",
            "x-message-id": "0123456789012345678912",
            "x-service-id": service.id,
            "x-service-key": service.key,
        }
        self.platform.handle(Request("GET", "/devices", headers, b""))


# ---------------------------------------------------------------------------------------------------------------------
# A thousand devices under three hundred calls an hour: 300 at once and 300 after each hour are done after three hours

SHORTEST = 3 * HOUR


@pytest.mark.parametrize(
    ("seed", "seconds_a_call", "window", "phase"),
    [
        (1, 0.25, "rolling", 0.0),
        (2, 4.0, "rolling", 0.0),
        (3, 0.25, "fixed", 0.3),
        (4, 4.0, "fixed", 0.9),
    ],
)
async def test_a_quota_that_nobody_told_us_is_found_and_used(
    seed: int, seconds_a_call: float, window: str, phase: float
) -> None:
    """After the hour that taught it few calls are throttled, and a thousand devices take little longer than must be."""
    pace = Pace(
        1000, seed=seed, seconds_a_call=seconds_a_call, quota=300, quota_window=window, phase=phase
    )
    took = await pace.until(lambda: pace.in_step)
    assert took <= 1.3 * SHORTEST
    first, *later = pace.throttled_by_hour()
    assert 1 <= first <= 8
    assert max(later) <= 2
    assert len(pace.calls) <= 1020


@pytest.mark.parametrize(
    ("seed", "seconds_a_call", "window", "phase"),
    [
        (1, 0.25, "rolling", 0.0),
        (2, 4.0, "rolling", 0.0),
        (3, 0.25, "fixed", 0.3),
        (4, 4.0, "fixed", 0.9),
    ],
)
async def test_a_quota_that_the_text_names_is_never_overrun(
    seed: int, seconds_a_call: float, window: str, phase: float
) -> None:
    """With the true number in the text no call is throttled, and next to no time is lost."""
    policy = Policy(calls_per_hour=300)
    pace = Pace(
        1000,
        policy=policy,
        seed=seed,
        seconds_a_call=seconds_a_call,
        quota=300,
        quota_window=window,
        phase=phase,
    )
    took = await pace.until(lambda: pace.in_step)
    assert took <= 1.1 * SHORTEST
    assert not pace.throttled
    assert len(pace.calls) <= 1005


async def test_ten_hours_of_work_are_throttled_twice_an_hour_at_most() -> None:
    """Trying a tenth more each hour costs one throttled call where it goes wrong, and then the learned limit stands."""
    pace = Pace(3000, quota=300)
    took = await pace.until(lambda: pace.in_step)
    assert took <= 1.3 * 9 * HOUR
    first, *later = pace.throttled_by_hour()
    assert first <= 8
    assert 1 <= max(later) <= 2


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_quota_that_others_use_too_is_shared_with_them(seed: int) -> None:
    """Where somebody else makes sixty calls an hour with the same user, both get on, at few throttled calls."""
    pace = Pace(1000, seed=seed, quota=300, others_an_hour=60)
    took = await pace.until(lambda: pace.in_step)
    assert took <= 1.3 * SHORTEST
    assert max(pace.throttled_by_hour()) <= 8
    assert len(pace.calls) <= 1040
    theirs = [one for one in pace.fleet.calls() if one not in pace.calls]
    assert any(one.status == 200 for one in theirs[-60:])


# ---------------------------------------------------------------------------------------------------------------------
# Lists and changes share the hour


async def test_lists_never_eat_a_small_quota() -> None:
    """With ten calls an hour the list is read as often as they allow, and at least half of them make changes."""
    pace = Pace(60, policy=Policy(calls_per_hour=10), quota=10)
    pace.fleet.want(pace.fleet.owned[:5])
    await pace.for_(3 * HOUR)
    assert pace.in_step
    quiet = [one for one in pace.calls if one.at >= (START + 2 * HOUR).timestamp()]
    assert 5 <= len(quiet) <= 7
    pace.fleet.want(pace.fleet.owned[:40])
    pace.fleet.due = timedelta(0)
    took = await pace.until(lambda: pace.in_step)
    assert took <= 7 * HOUR
    assert not pace.throttled
    assert (
        len(
            [
                one
                for one in pace.calls
                if one.route is Route.LIST and one.at >= (START + 3 * HOUR).timestamp()
            ]
        )
        <= 35
    )


async def test_a_pass_waits_until_it_is_worth_its_list() -> None:
    """While an hour is used up nothing at all is called, and then a tenth of the hour's calls is made at once."""
    pace = Pace(400, policy=Policy(calls_per_hour=300), quota=300)
    await pace.next_pass()
    made = len(pace.calls)
    assert made == 294
    await pace.for_(HOUR - TENTH)
    assert len(pace.calls) == made
    last = pace.fleet.reconciler.accounts.statuses[DEFAULT_ACCOUNT].last
    assert last is not None
    assert {held.reason for held in last.held} == {Reason.QUOTA}


# ---------------------------------------------------------------------------------------------------------------------
# What LG says of its pace


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        (None, 60),
        ("90", 90),
        ("86400", 3600),
        (format_datetime(START + timedelta(minutes=20), usegmt=True), 1200),
        (format_datetime(START + timedelta(days=2), usegmt=True), 3600),
        (format_datetime(START - timedelta(minutes=20), usegmt=True), 60),
        *(("0", 60), ("-30", 60), ("soon", 60)),
    ],
)
async def test_the_whole_account_waits_as_long_as_lg_says(said: str | None, waits: int) -> None:
    """One change throttled, and neither a list nor another change goes out before the time, and then all of them do."""
    fleet = Fleet(20, concurrency=1)
    fleet.platform.set_faults(
        Rule(effect=Error(code="1314", retry_after=said), match=Match(method="POST"), count=1)
    )
    await fleet.reconcile()
    assert len(fleet.calls()) == 2
    assert fleet.due is not None
    assert fleet.due <= timedelta(seconds=waits + 1)
    fleet.want(fleet.owned[:19])
    over = START + timedelta(seconds=waits)
    while fleet.clock.now() + fleet.due < over - TENTH:
        await fleet.reconcile(after=fleet.due)
    await fleet.reconcile(after=over - timedelta(seconds=2) - fleet.clock.now())
    assert len(fleet.calls()) == 2
    assert fleet.due <= timedelta(seconds=3)
    await fleet.reconcile(after=fleet.due)
    assert fleet.live == frozenset(fleet.owned[:19])


@pytest.mark.parametrize(("code", "learned"), [("1314", 270), ("1306", 270), ("429", None)])
async def test_what_a_throttle_teaches_is_told_and_shown(code: str, learned: int | None) -> None:
    """A code of LG's teaches nine tenths of the hour's calls; a bare 429 only pauses."""
    pace = Pace(400, quota=300, quota_code=code, concurrency=1)
    with capture_logs() as lines:
        await pace.next_pass()
    told = [line["calls_per_hour"] for line in lines if line["event"] == "quota.learned"]
    assert told == ([] if learned is None else [learned])
    assert pace.fleet.sample("pcc_api_quota_calls_per_hour") == learned
    assert pace.fleet.sample("pcc_api_throttled_total") == 1
    assert len(pace.fleet.live) == 299


async def test_a_quota_that_is_shared_is_never_learned_as_less_than_one_call_a_minute() -> None:
    """A throttle after a handful of calls, because others used up the hour, does not bring the account to a halt."""
    fleet = Fleet(20, concurrency=1)
    fleet.platform.set_faults(
        Rule(effect=Error(code="1314"), match=Match(method="POST"), skip=3, count=1)
    )
    await fleet.reconcile()
    assert fleet.sample("pcc_api_quota_calls_per_hour") == 60
    await fleet.reconcile(after=timedelta(minutes=2))
    assert fleet.live == frozenset(fleet.owned)


# ---------------------------------------------------------------------------------------------------------------------
# Over restarts


async def test_a_restart_in_a_used_up_hour_overruns_nothing(tmp_path: Path) -> None:
    """The calls of the last hour and the learned limit are known to the next process."""
    pace = Pace(700, quota=300, folder=tmp_path)
    await pace.next_pass()
    before = len(pace.throttled)
    made, known = len(pace.calls), pace.quota.learned
    pace.start()
    assert pace.quota.learned == known
    await pace.for_(HOUR - TENTH)
    assert len(pace.calls) == made
    await pace.until(lambda: pace.in_step)
    assert len(pace.throttled) - before <= 2
    assert pace.quota.learned_limit is not None
    assert pace.quota.learned_limit >= (known.limit or 0)


@pytest.mark.parametrize("killed_at", [20, 150, 293])
async def test_a_kill_in_the_middle_of_a_burst_overruns_nothing(
    tmp_path: Path, killed_at: int
) -> None:
    """Calls of a pass that never came to its end count like others: what was intended stands in the state."""
    pace = Pace(700, policy=Policy(calls_per_hour=300), quota=300, folder=tmp_path / "state")

    take_a_moment = pace.fleet.transport.on_request

    def kill(request: httpx.Request) -> None:
        take_a_moment(request)
        if len(pace.calls) == killed_at:
            shutil.copytree(tmp_path / "state", tmp_path / "as it was")
            pace.fleet.stopping = True

    pace.fleet.transport.on_request = kill
    await pace.next_pass()
    pace.folder = tmp_path / "as it was"
    pace.start()
    await pace.until(lambda: pace.in_step)
    assert not pace.throttled
