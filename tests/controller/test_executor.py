"""How a plan is carried out: order, probe, stopping, and what is written down when."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controller.executor import BATCH, execute
from reconciler.core.errors import (
    ConfigurationRefused,
    CredentialsRefused,
    DeviceRefused,
    Outdated,
    PlatformError,
    SubscriptionsFull,
    Surprise,
    Throttled,
    Unavailable,
)
from reconciler.core.model import AccountName, Action, Change, DeviceId, Outcome, Plan, Result
from reconciler.core.run import Work
from reconciler.pcc.protocol import Answer
from simulated import SimulatedClock

ACCOUNT = AccountName("default")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


class StandingClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Return always the same moment."""
        return NOW

    def steady(self) -> float:
        """Return always the same second."""
        return 0.0


class Platform:
    """A platform of its own script: devices that fail, and everything it was asked."""

    def __init__(
        self, script: dict[str, Sequence[PlatformError | str | None]] | None = None
    ) -> None:
        self.script = {device: list(answers) for device, answers in (script or {}).items()}
        self.asked: list[tuple[Action, str]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.opens: datetime | None = None
        self.on_call: Callable[[], None] = lambda: None

    async def subscribe(self, device: DeviceId) -> Answer:
        """Subscribe one device, as the script says."""
        return await self._answer(Action.SUBSCRIBE, device)

    async def unsubscribe(self, device: DeviceId) -> Answer:
        """Unsubscribe one device, as the script says."""
        return await self._answer(Action.UNSUBSCRIBE, device)

    def opens_for_change(self) -> datetime | None:
        """Return when the next change may go."""
        return self.opens

    async def _answer(self, action: Action, device: str) -> Answer:
        self.asked.append((action, device))
        self.on_call()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        said = self.script[device].pop(0) if self.script.get(device) else None
        if isinstance(said, PlatformError):
            raise said
        return Answer(200, said, f"message-{device}", None)


class Book:
    """A ledger that keeps everything in lists."""

    def __init__(self) -> None:
        self.intended: list[Change] = []
        self.withdrawn: list[Change] = []
        self.recorded: list[Outcome] = []
        self.told: list[Outcome] = []
        self.batches: list[int] = []
        self.confirms = True
        self.confirmations = 0

    async def intend(self, changes: Sequence[Change]) -> None:
        """Note an intent."""
        self.intended += changes
        self.batches.append(len(changes))

    async def withdraw(self, changes: Sequence[Change]) -> None:
        """Note a withdrawal."""
        self.withdrawn += changes

    async def confirm(self) -> bool:
        """Say what was set, and note that it was asked."""
        self.confirmations += 1
        return self.confirms

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Note outcomes."""
        self.recorded += outcomes

    def tell(self, outcome: Outcome) -> None:
        """Note one outcome."""
        self.told.append(outcome)


def changes(action: Action, *devices: str) -> tuple[Change, ...]:
    """Return changes of one action."""
    return tuple(Change(ACCOUNT, action, DeviceId(device)) for device in devices)


def many(count: int) -> tuple[Change, ...]:
    """Return that many subscribes."""
    return changes(Action.SUBSCRIBE, *(f"d{number:04}" for number in range(count)))


async def carried_out(
    plan: Plan,
    platform: Platform,
    book: Book | None = None,
    *,
    outdated: Callable[[], bool] = lambda: False,
) -> Work:
    """Carry a plan out with four calls in flight."""
    return await execute(
        plan, platform, book or Book(), outdated=outdated, concurrency=4, clock=StandingClock()
    )


async def test_all_changes_are_made_subscribes_first() -> None:
    """Every change of a plan is made once, all subscribes before the first unsubscribe."""
    plan = Plan(ACCOUNT, many(20), changes(Action.UNSUBSCRIBE, "x", "y"))
    platform, book = Platform(), Book()
    work = await carried_out(plan, platform, book)
    assert [action for action, _ in platform.asked] == [Action.SUBSCRIBE] * 20 + [
        Action.UNSUBSCRIBE
    ] * 2
    assert {outcome.change for outcome in work.outcomes} == {*plan.subscribes, *plan.unsubscribes}
    assert {outcome.result for outcome in work.outcomes} == {Result.SUCCESS}
    assert not work.left
    assert not work.over
    assert sorted(book.recorded, key=lambda one: one.change) == sorted(
        book.told, key=lambda one: one.change
    )


@pytest.mark.parametrize("confirms", [True, False])
async def test_an_intent_that_waited_is_confirmed_before_its_call(*, confirms: bool) -> None:
    """Where another process may have taken the account, intents older than some seconds are asked about again."""
    clock, platform, book = SimulatedClock(), Platform(), Book()
    book.confirms = confirms
    platform.on_call = lambda: clock.pass_by(timedelta(seconds=1.5))
    work = await execute(
        Plan(ACCOUNT, many(12)),
        platform,
        book,
        outdated=lambda: False,
        concurrency=1,
        clock=clock,
        batch=4,
        fresh_seconds=2.0,
    )
    assert max(book.batches) == 4
    assert book.confirmations >= 1
    assert (len(platform.asked) == 12) is confirms
    assert work.outdated is not confirms
    assert len(platform.asked) + len(work.left) == 12
    assert {change.device for change in book.withdrawn} <= {change.device for change in work.left}


async def test_one_call_goes_first_as_a_probe() -> None:
    """Nothing else is in flight until the first call came back, and then no more than allowed."""
    platform = Platform()
    in_flight: list[int] = []
    platform.on_call = lambda: in_flight.append(platform.in_flight)
    await carried_out(Plan(ACCOUNT, many(30)), platform)
    assert in_flight[0] == 0
    assert in_flight[1] == 0
    assert platform.most_in_flight == 4


async def test_an_intent_is_written_before_its_call() -> None:
    """Whatever is called was intended before, in batches of a bounded size."""
    platform, book = Platform(), Book()
    unintended: list[tuple[Action, str]] = []

    def check() -> None:
        if platform.asked[-1][1] not in {change.device for change in book.intended}:
            unintended.append(platform.asked[-1])

    platform.on_call = check
    await carried_out(Plan(ACCOUNT, many(3 * BATCH)), platform, book)
    assert not unintended
    assert book.batches == [BATCH] * 3
    assert not book.withdrawn


class SlowBook(Book):
    """A ledger that writes each batch but the first only when it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.allowed = asyncio.Event(), asyncio.Event()

    async def intend(self, changes: Sequence[Change]) -> None:
        """Note an intent, in time."""
        if self.batches:
            self.begun.set()
            await self.allowed.wait()
        await super().intend(changes)


async def all_back(platform: Platform, count: int) -> None:
    """Let others work until so many calls were made and came back."""
    for _ in range(10_000):
        if len(platform.asked) >= count and not platform.in_flight:
            return
        await asyncio.sleep(0)
    raise AssertionError("the calls were not made")


async def test_calls_go_on_while_the_next_intents_are_written() -> None:
    """The next intents are written before the last are used up, and a slow disk stops no call until they are."""
    platform, book = Platform(), SlowBook()
    working = asyncio.create_task(carried_out(Plan(ACCOUNT, many(BATCH + 50)), platform, book))
    await book.begun.wait()
    called = len(platform.asked)
    await all_back(platform, BATCH)
    assert called < BATCH
    book.allowed.set()
    work = await working
    assert len(work.outcomes) == BATCH + 50


async def test_all_workers_wait_for_the_last_intents() -> None:
    """Whoever has nothing to do while the last batch is written is there to work on it."""
    platform, book = Platform(), SlowBook()
    plan = Plan(ACCOUNT, many(2 * BATCH))
    working = asyncio.create_task(carried_out(plan, platform, book))
    await all_back(platform, BATCH)
    platform.most_in_flight = 0
    book.allowed.set()
    await working
    assert platform.most_in_flight == 4


async def test_one_refused_device_stops_nobody() -> None:
    """A device that LG refuses is told with LG's words, and all others are changed."""
    platform = Platform(
        {"d0003": [DeviceRefused("no", status=404, code="1212", words="Not owned device")]}
    )
    work = await carried_out(Plan(ACCOUNT, many(10)), platform)
    refused = [outcome for outcome in work.outcomes if outcome.result is Result.REFUSED]
    assert [(outcome.change.device, outcome.code, outcome.words) for outcome in refused] == [
        ("d0003", "1212", "Not owned device")
    ]
    assert sum(outcome.result is Result.SUCCESS for outcome in work.outcomes) == 9


async def test_a_refused_device_is_not_a_failure_in_a_row() -> None:
    """Any number of refused devices in a row does not end the work."""
    platform = Platform(
        {f"d{number:04}": [DeviceRefused("no", code="1212")] for number in range(8)}
    )
    work = await carried_out(Plan(ACCOUNT, many(10)), platform)
    assert work.ended is None
    assert len(work.outcomes) == 10


@pytest.mark.parametrize(
    "error", [Unavailable("time-out"), Surprise("html")], ids=["unavailable", "surprise"]
)
async def test_three_failures_in_a_row_end_the_work(error: PlatformError) -> None:
    """When LG fails three times in a row, what is left is not tried, and is known as not tried."""
    platform, book = Platform({f"d{number:04}": [error] for number in range(100)}), Book()
    work = await carried_out(Plan(ACCOUNT, many(100)), platform, book)
    assert work.ended is error
    assert 3 <= len(platform.asked) <= 3 + 4
    assert {change.device for change in work.left} == {f"d{number:04}" for number in range(100)} - {
        device for _, device in platform.asked
    }
    assert {change.device for change in book.withdrawn} == {
        change.device for change in book.intended
    } - {device for _, device in platform.asked}


async def test_a_stop_that_comes_after_failures_is_not_lost() -> None:
    """Where LG fails three times and then says that a setting is wrong, the account stops: that is what counts."""
    devices = [f"d{number}" for number in range(5)]
    script: dict[str, Sequence[PlatformError | str | None]] = {
        one: [Unavailable("down")] for one in devices[1:4]
    }
    platform = Platform({**script, devices[4]: [ConfigurationRefused("no")]})
    work = await carried_out(Plan(ACCOUNT, changes(Action.SUBSCRIBE, *devices)), platform)
    assert isinstance(work.ended, ConfigurationRefused)


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ("FFF", 3),
        ("FF.FFF", 6),
        ("FFRFFF", 6),
        ("FFNFFF", 6),
        ("RFFRFFRFF", None),
        ("FRRFRRF", None),
        ("NFFNFF", None),
        ("RRRFFF", 6),
    ],
)
async def test_only_failures_in_a_row_are_counted_together(answers: str, asked: int | None) -> None:
    """A refusal of a device or "already so" is an answer: LG is well enough for the next call."""
    said: dict[str, PlatformError | str | None] = {
        "F": Unavailable("time-out"),
        "R": DeviceRefused("no", code="1212"),
        "N": "1207",
        ".": None,
    }
    platform = Platform({f"d{at:04}": [said[one]] for at, one in enumerate(answers)})
    work = await execute(
        Plan(ACCOUNT, many(12)),
        platform,
        Book(),
        outdated=lambda: False,
        concurrency=1,
        clock=StandingClock(),
    )
    assert len(platform.asked) == (asked or 12)
    assert (work.ended is None) is (asked is None)


async def test_failures_that_are_not_in_a_row_do_not_end_the_work() -> None:
    """A call that succeeds between failures starts the count anew."""
    script: dict[str, Sequence[PlatformError | str | None]] = {
        f"d{number:04}": [Unavailable("time-out")] for number in range(40) if number % 3
    }
    platform = Platform(script)
    work = await execute(
        Plan(ACCOUNT, many(40)),
        platform,
        Book(),
        outdated=lambda: False,
        concurrency=1,
        clock=StandingClock(),
    )
    assert work.ended is None
    assert len(platform.asked) == 40


@pytest.mark.parametrize(
    "error", [Throttled("1314"), CredentialsRefused("1302")], ids=["throttled", "credentials"]
)
async def test_an_account_wide_answer_ends_the_work_at_once(error: PlatformError) -> None:
    """After a throttle or a refused credential no new call is made, and the device itself is not blamed."""
    platform, book = Platform({"d0000": [error]}), Book()
    work = await carried_out(Plan(ACCOUNT, many(10)), platform, book)
    assert platform.asked == [(Action.SUBSCRIBE, "d0000")]
    assert work.ended is error
    assert not work.outcomes
    assert len(work.left) == 10


async def test_a_newer_text_stops_the_work_before_the_next_call() -> None:
    """The question whether the plan is outdated is asked right before each call."""
    platform = Platform()
    work = await carried_out(
        Plan(ACCOUNT, many(50)), platform, outdated=lambda: len(platform.asked) >= 5
    )
    assert work.outdated
    assert len(platform.asked) == 5


async def test_a_change_that_is_not_sent_any_more_outdates_the_plan() -> None:
    """What the client holds back, because another user's list would be meant, is neither failed nor done."""
    platform, book = Platform({"d0000": [Outdated("not sent")]}), Book()
    work = await carried_out(Plan(ACCOUNT, many(10)), platform, book)
    assert work.outdated
    assert not work.outcomes
    assert len(platform.asked) == 1
    assert book.withdrawn == book.intended


async def test_a_plan_that_is_outdated_from_the_start_makes_no_call() -> None:
    """A text that changed while the list was fetched costs no wrong call."""
    platform, book = Platform(), Book()
    work = await carried_out(Plan(ACCOUNT, many(5)), platform, book, outdated=lambda: True)
    assert work.outdated
    assert not platform.asked
    assert not book.intended


async def test_used_up_calls_end_the_work_with_a_moment_to_go_on() -> None:
    """When the account's calls are used up, the rest is left until there is room."""
    platform = Platform()

    def use_up() -> None:
        if len(platform.asked) == 3:
            platform.opens = NOW + timedelta(minutes=5)

    platform.on_call = use_up
    work = await execute(
        Plan(ACCOUNT, many(10)),
        platform,
        Book(),
        outdated=lambda: False,
        concurrency=1,
        clock=StandingClock(),
    )
    assert work.opens_at == NOW + timedelta(minutes=5)
    assert len(work.left) == 7


async def test_a_full_platform_lets_unsubscribes_go_first() -> None:
    """Where LG's cap is reached, unsubscribes are made, and then the subscribes that found no room."""
    full = SubscriptionsFull("1312", code="1312")
    platform = Platform({"d0000": [full]})
    work = await carried_out(Plan(ACCOUNT, many(3), changes(Action.UNSUBSCRIBE, "x")), platform)
    assert platform.asked[0] == (Action.SUBSCRIBE, "d0000")
    assert platform.asked[1] == (Action.UNSUBSCRIBE, "x")
    assert {device for action, device in platform.asked[2:]} == {"d0000", "d0001", "d0002"}
    assert not work.left
    assert work.full is None


async def test_a_full_platform_stays_the_reason_where_the_work_ended_before_its_second_try() -> (
    None
):
    """Room was made, but no call may follow: subscribes wait for room, as LG said, and the report says so."""
    full = SubscriptionsFull("1312", code="1312")
    platform = Platform({"d0000": [full], "y": [Throttled("1314")]})
    plan = Plan(ACCOUNT, many(2), changes(Action.UNSUBSCRIBE, "x", "y"))
    work = await carried_out(plan, platform)
    assert (work.full, type(work.ended)) == (full, Throttled)
    assert {change.device for change in work.left} == {"d0000", "d0001", "y"}
    assert len(platform.asked) == 3


async def test_one_probe_is_enough_for_a_pass() -> None:
    """Once LG answered, the other action begins with as many calls as may be in flight."""
    platform = Platform()
    unsubscribes = changes(Action.UNSUBSCRIBE, *"wxyz")
    await carried_out(Plan(ACCOUNT, many(1), unsubscribes), platform)
    assert platform.most_in_flight == 4


async def test_a_full_platform_without_unsubscribes_leaves_subscribes() -> None:
    """Where nothing makes room, the remaining subscribes are left and no further one is tried."""
    full = SubscriptionsFull("1312", code="1312")
    platform = Platform({"d0000": [full]})
    work = await carried_out(Plan(ACCOUNT, many(5)), platform)
    assert len(platform.asked) == 1
    assert len(work.left) == 5
    assert work.full is full


async def test_what_was_so_already_is_told_as_such() -> None:
    """A code that says "already subscribed" is a success of its own kind."""
    work = await carried_out(Plan(ACCOUNT, many(1)), Platform({"d0000": ["1207"]}))
    assert [(outcome.result, outcome.code) for outcome in work.outcomes] == [(Result.NOOP, "1207")]


async def test_approved_unsubscribes_are_marked() -> None:
    """An unsubscribe that an approval released is remembered as approved, so that it counts nowhere."""
    plan = Plan(
        ACCOUNT, (), changes(Action.UNSUBSCRIBE, "x", "y"), approved=frozenset({DeviceId("x")})
    )
    work = await carried_out(plan, Platform())
    assert {outcome.change.device: outcome.approved for outcome in work.outcomes} == {
        "x": True,
        "y": False,
    }


async def test_outcomes_are_written_down_when_the_work_is_broken_off() -> None:
    """A cancelled pass still records what it knows."""
    platform, book = Platform(), Book()
    hang = asyncio.Event()

    async def work() -> None:
        await carried_out(Plan(ACCOUNT, many(10)), platform, book)

    original = platform.subscribe

    async def hanging(device: DeviceId) -> Answer:
        if len(platform.asked) >= 4:
            await hang.wait()
        return await original(device)

    platform.subscribe = hanging  # type: ignore[method-assign]  # the fake's own script, not a patch of ours
    task = asyncio.create_task(work())
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert book.recorded == book.told
    assert book.recorded


class LateRecords(Book):
    """A ledger whose disk takes its time."""

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Note outcomes a while later, as they were handed over."""
        taken = tuple(outcomes)
        for _ in range(20):
            await asyncio.sleep(0)
        await super().record(taken)


async def test_each_outcome_is_written_down_once_while_the_disk_is_slow() -> None:
    """What comes while others are written is neither lost with them nor written twice."""
    platform, book = Platform(), LateRecords()
    await carried_out(Plan(ACCOUNT, many(3 * BATCH + 5)), platform, book)
    recorded = Counter(outcome.change.device for outcome in book.recorded)
    assert recorded == Counter(outcome.change.device for outcome in book.told)
    assert set(recorded.values()) == {1}
    assert len(recorded) == 3 * BATCH + 5


async def test_the_first_answer_about_the_account_is_the_reason_for_its_end() -> None:
    """A later one, of a call that was in flight beside it, does not take its place."""
    for first, second in (
        (Throttled("slow down"), CredentialsRefused("no")),
        (CredentialsRefused("no"), Throttled("slow down")),
        (ConfigurationRefused("not yours"), Throttled("slow down")),
    ):
        platform = Platform({"d0001": [first], "d0002": [second]})
        work = await carried_out(Plan(ACCOUNT, many(10)), platform)
        assert work.ended is first


async def test_an_answer_without_an_id_has_none_in_the_history() -> None:
    """What LG's support asks for is left out where LG gave none, and is not an empty word."""
    platform = Platform({"d0000": [DeviceRefused("no", message_id="")]})
    work = await carried_out(Plan(ACCOUNT, many(1)), platform)
    assert [one.message_id for one in work.outcomes] == [None]


# -- where other processes work on the accounts, too


class Slow(Platform):
    """A platform of which each call takes some seconds, as does everything that is written down."""

    def __init__(self, seconds: Sequence[int], fresh: int, confirms: int) -> None:
        super().__init__()
        self.clock, self.fresh = SimulatedClock(), fresh
        self._seconds = itertools.cycle(seconds)
        self.intended_at: dict[str, float] = {}
        self.batches: list[int] = []
        self.withdrawn: list[str] = []
        self.confirmed_at: list[float] = []
        self.answered_at: float | None = None
        self.left, self.is_over = confirms, False

    def passes(self) -> None:
        """Let time pass."""
        self.clock.pass_by(timedelta(seconds=next(self._seconds)))

    async def _answer(self, action: Action, device: str) -> Answer:
        now = self.clock.steady()
        sure = max(self.intended_at[device], *self.confirmed_at, -1.0)
        assert now - sure <= self.fresh or now == self.answered_at
        assert not self.is_over
        self.asked.append((action, device))
        await asyncio.sleep(0)
        self.passes()
        return Answer(200, None, "message", None)

    async def intend(self, changes: Sequence[Change]) -> None:
        """Note when each intent was begun to be written."""
        now = self.clock.steady()
        self.batches.append(len(changes))
        self.passes()
        await asyncio.sleep(0)
        self.intended_at |= {one.device: now for one in changes}

    async def withdraw(self, changes: Sequence[Change]) -> None:
        """Note a withdrawal."""
        self.withdrawn += [one.device for one in changes]

    async def confirm(self) -> bool:
        """Say yes so many times."""
        now = self.clock.steady()
        assert now - max([*self.confirmed_at, min(self.intended_at.values())]) > self.fresh
        await asyncio.sleep(0)
        self.left -= 1
        self.is_over = self.left < 0
        self.confirmed_at += [] if self.is_over else [now]
        self.answered_at = self.clock.steady()
        return not self.is_over

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Keep nothing."""

    def tell(self, outcome: Outcome) -> None:
        """Tell nobody."""


@given(
    st.integers(1, 12),
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.integers(0, 6),
    st.integers(0, 4),
    st.sampled_from([1, 2, 3, 5]),
    st.integers(1, 3),
)
async def test_an_old_intent_is_confirmed_before_its_call(  # noqa: PLR0917 - what is drawn
    count: int, seconds: Sequence[int], fresh: int, confirms: int, batch: int, concurrency: int
) -> None:
    """Nothing is called on the strength of what is older than it may be; where that counts no more, nothing is."""
    slow, plan = Slow(seconds, fresh, confirms), Plan(ACCOUNT, subscribes=many(count))
    work = await execute(
        plan,
        slow,
        slow,
        outdated=lambda: False,
        concurrency=concurrency,
        clock=slow.clock,
        batch=batch,
        fresh_seconds=fresh,
    )
    assert max(slow.batches) <= batch
    made = [device for _action, device in slow.asked]
    left = [one.device for one in work.left]
    assert sorted([*made, *left]) == [one.device for one in plan.subscribes]
    assert [one.change.device for one in work.outcomes] == made
    assert sorted(slow.withdrawn) == sorted(slow.intended_at.keys() - set(made))
    assert work.outdated is slow.is_over
    assert slow.is_over or not left


async def test_intents_of_the_only_process_are_never_confirmed() -> None:
    """However long calls take."""
    slow = Slow([1000], fresh=1_000_000, confirms=0)
    work = await execute(
        Plan(ACCOUNT, subscribes=many(5)),
        slow,
        slow,
        outdated=lambda: False,
        concurrency=1,
        clock=slow.clock,
    )
    assert (len(work.outcomes), slow.is_over, slow.batches) == (5, False, [5])
