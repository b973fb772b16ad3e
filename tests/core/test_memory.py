"""What is remembered of one account: how each event changes it, one rule at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.guards import LIMIT_WINDOW, SUSPECT_FROM
from reconciler.core.memory.account import LONGEST_WAIT, AccountMemory, Belief
from reconciler.core.memory.changes import Past, intents, settled
from reconciler.core.memory.day import Day
from reconciler.core.memory.shelves import Shelf
from reconciler.core.model import (
    NOTHING,
    AccountName,
    Action,
    Change,
    DeviceId,
    Memory,
    MessageId,
    Observed,
    Outcome,
    PassId,
    Reason,
    Result,
    Retry,
    Revision,
)
from reconciler.core.planner import OVERLAY

NAME = AccountName("hotel")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
FIRST, SECOND_PASS = PassId("first"), PassId("second")
A, B, C = DeviceId("a"), DeviceId("b"), DeviceId("c")


def ids(names: Iterable[str]) -> frozenset[DeviceId]:
    """Return devices."""
    return frozenset(map(DeviceId, names))


def many(count: int) -> frozenset[DeviceId]:
    """Return this number of devices."""
    return ids(f"{number:03}" for number in range(count))


def listing(memory: AccountMemory, devices: Iterable[str], at: datetime = NOW) -> Belief:
    """Let a memory believe a list."""
    observed = Observed(ids(devices), at)
    return memory.believe(observed, memory.credential, at, observed.devices)


def knowing(devices: Iterable[str], credential: str | None = "mine") -> AccountMemory:
    """Return the memory of an account whose devices were all live in a trusted list."""
    memory = AccountMemory(NAME)
    memory.credential = credential
    memory.desire(ids(devices), NOW - DAY)
    listing(memory, devices, NOW - HOUR)
    return memory


def refused(action: Action = Action.SUBSCRIBE, reason: Reason = Reason.REFUSED) -> Retry:
    """Return a wait."""
    return Retry(action, reason, 1, NOW + HOUR)


def intent(device: DeviceId, action: Action = Action.UNSUBSCRIBE, by: PassId = FIRST) -> Past:
    """Return a change that is about to be made."""
    (past,) = intents([Change(NAME, action, device)], by, frozenset(), Revision("0"), NOW)
    return past


def outcome(device: DeviceId, action: Action = Action.UNSUBSCRIBE) -> Outcome:
    """Return a change that LG made."""
    return Outcome(Change(NAME, action, device), Result.SUCCESS, NOW + SECOND)


def test_a_new_account_has_no_past() -> None:
    """Nothing is expected, nothing is doubted, and no list agrees with what is not known."""
    memory = AccountMemory(NAME)
    known = memory.recall(NOW, None, writable=True)
    assert (memory.suspect_readings, known.suspect_readings, known.expected) == (0, 0, None)
    nothing = memory.expected.get()
    assert not memory.agrees(Observed(nothing, NOW), None, nothing)
    listing(memory, ())
    trusted = memory.expected.get()
    assert memory.agrees(Observed(trusted, NOW), None, trusted)


def test_texts_begin_once() -> None:
    """A later revision does not make an account younger."""
    memory = AccountMemory(NAME)
    memory.desire(ids("a"), NOW)
    memory.desire(ids("ab"), NOW + HOUR)
    assert memory.texts_since == NOW


def test_absences_are_of_what_is_live_and_not_ours() -> None:
    """A device that is neither in the list nor ours is absent from nothing."""
    memory = knowing("a")
    listing(memory, "ab")
    absent = memory.recall(NOW, "mine", writable=True).absent_since
    assert absent.get(B) == NOW - DAY
    assert absent.get(A) is None
    assert absent.get(C) is None
    assert set(absent) == {B}
    assert len(absent) == 1


def test_a_device_that_comes_back_was_never_disowned() -> None:
    """Its absence begins anew when it leaves the next time."""
    memory = knowing("ab")
    memory.desire(ids("a"), NOW)
    memory.expected.put(B, present=False)
    listing(memory, "a")
    assert memory.disowned.look() == {B: NOW}
    memory.desire(ids("ab"), NOW + HOUR)
    assert memory.disowned.look() == {}
    assert memory.desire(ids("ac"), NOW + 2 * HOUR).leaving == {B}


@pytest.mark.parametrize("where", ["live", "observed", "expected", "open", "nowhere"])
def test_what_is_ours_no_longer(where: str) -> None:
    """A device that left is disowned only once nobody says that it is live, and no call is open."""
    memory = knowing("ab")
    memory.desire(ids("a"), NOW)
    if where != "expected":
        memory.expected.put(B, present=False)
    if where == "open":
        memory.open[B] = replace(intent(B), intended=NOW + HOUR)
    observed = Observed(ids("ab" if where == "observed" else "a"), NOW)
    live = ids("ab") if where == "live" else ids("a")
    gone = memory.believe(observed, "mine", NOW, live).left_inventory
    assert gone == (ids("b") if where == "nowhere" else frozenset())
    assert (B in memory.inventory.get()) is (where != "nowhere")


def test_a_disowned_device_that_is_live_again_is_absent_since_it_left() -> None:
    """Not since the first revision, as a stranger is: the grace of ``unsubscribe_after`` begins when it left."""
    memory = knowing("ab")
    memory.desire(ids("a"), NOW)
    memory.expected.put(B, present=False)
    listing(memory, "a")
    listing(memory, "abc", NOW + HOUR)
    absent = memory.recall(NOW + HOUR, "mine", writable=True).absent_since
    assert dict(absent) == {B: NOW, C: NOW - DAY}


def test_what_a_pass_knows_does_not_change_under_it() -> None:
    """Whatever is recorded while the pass is under way: the next one knows it."""
    memory = knowing("abc")
    memory.record(FIRST, [outcome(A, Action.SUBSCRIBE), outcome(B)])
    memory.wait({A: refused()})
    memory.desire(ids("bc"), NOW)
    known = memory.recall(NOW, "mine", writable=True)
    before = _as_told(known)
    memory.record(SECOND_PASS, [outcome(A, Action.SUBSCRIBE), outcome(C)])
    memory.wait({A: None, B: refused()})
    memory.desire(ids("abd"), NOW + HOUR)
    assert _as_told(known) == before
    after = _as_told(memory.recall(NOW + HOUR, "mine", writable=True))
    unchanged = [name for name in before if before[name] == after[name]]
    assert unchanged == []


def _as_told(known: Memory) -> dict[str, object]:
    return {
        "inventory": set(known.inventory),
        "expected": set(known.expected or ()),
        "confirmed": dict(known.confirmed),
        "unsubscribed": set(known.unsubscribed),
        "resubscribed": dict(known.resubscribed),
        "absent_since": dict(known.absent_since),
        "retries": dict(known.retries),
    }


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("has_intent", [False, True])
def test_an_unsubscribe_counts_as_its_outcome_says(*, approved: bool, has_intent: bool) -> None:
    """One that an approval released counts toward no limit, and all of an outcome is kept of it."""
    memory = knowing("ab")
    if has_intent:
        memory.intend([intent(A)])
    told = Outcome(
        Change(NAME, Action.UNSUBSCRIBE, A),
        Result.NOOP,
        NOW + SECOND,
        approved=approved,
        message_id=MessageId("ours"),
        lg_message_id="theirs",
        status=404,
        code="1213",
        words="not subscribed",
        confirmed_by="list",
        revision=Revision("1"),
    )
    (past,) = memory.record(FIRST, [told], {A: "Lobby"})
    for name in ("result", "at", "approved", "message_id", "lg_message_id", "status", "code"):
        assert getattr(past, name) == getattr(told, name)
    assert (past.words, past.confirmed_by) == ("not subscribed", "list")
    assert past.revision == Revision("0" if has_intent else "1")
    assert past.name == ("" if has_intent else "Lobby")
    unsubscribed = memory.recall(NOW + SECOND, "mine", writable=True).unsubscribed
    assert unsubscribed == (frozenset() if approved else {A})


def test_an_unsubscribe_counts_for_a_day_whatever_follows() -> None:
    """That the device was subscribed again meanwhile makes the day neither shorter nor longer."""
    memory = knowing("ab")
    memory.record(FIRST, [outcome(A)])
    assert memory.recall(NOW + SECOND, "mine", writable=True).unsubscribed == {A}
    again = replace(outcome(A, Action.SUBSCRIBE), at=NOW + HOUR)
    memory.record(SECOND_PASS, [again, replace(outcome(B), at=NOW + 2 * HOUR)])
    for moment, counted in ((NOW + DAY, "ab"), (NOW + DAY + SECOND, "b"), (NOW + DAY + HOUR, "b")):
        known = memory.recall(moment, "mine", writable=True)
        assert known.unsubscribed == ids(counted)


def test_what_was_disowned_is_forgotten_in_the_end() -> None:
    """After ninety days nobody remembers when a device left."""
    memory = knowing("ab")
    kept = timedelta(days=90)
    memory.disowned.mine().update({C: NOW - kept - SECOND, DeviceId("d"): NOW - kept})
    memory.desire(ids("a"), NOW)
    memory.expected.put(B, present=False)
    listing(memory, "a")
    assert memory.disowned.look().keys() == {B, "d"}


def test_equal_sets_are_one_object() -> None:
    """What is expected, listed and desired is held once in memory wherever it is equal."""
    memory = AccountMemory(NAME)
    wanted = many(3)
    memory.desire(wanted, NOW)
    observed = Observed(frozenset([*wanted]), NOW)
    memory.believe(observed, None, NOW, frozenset([*wanted]))
    first = memory.expected.get()
    assert first is observed.devices
    again = Observed(frozenset([*wanted]), NOW)
    memory.believe(again, None, NOW, frozenset([*wanted]))
    assert memory.expected.get() is first
    memory.believe(Observed(wanted, NOW), None, NOW, wanted)
    assert memory.expected.get() is wanted


def test_a_revision_that_wants_what_is_expected_is_that_object() -> None:
    """Also where more was ours a moment ago."""
    memory = knowing("ab")
    memory.desire(ids("abc"), NOW)
    wanted = ids("ab")
    memory.desire(wanted, NOW)
    assert memory.expected.get() is wanted


@pytest.mark.parametrize("doubted", [0, 1])
@pytest.mark.parametrize("known", [1, SUSPECT_FROM - 1, SUSPECT_FROM])
@pytest.mark.parametrize("shown", [1, SUSPECT_FROM])
@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.RETRY])
def test_what_another_user_was_refused_waits_no_more(
    doubted: int, known: int, shown: int, reason: Reason
) -> None:
    """Only of an account that was small, only after a doubted list, and only what LG refused."""
    memory = knowing(many(known))
    memory.desire(many(known) | {A}, NOW)
    memory.wait({A: refused(reason=reason)})
    for _ in range(doubted):
        memory.doubt("mine")
    moot = listing(memory, many(shown)).moot_retries
    over = doubted and known < SUSPECT_FROM and reason is Reason.REFUSED
    assert moot == (ids("a") if over else frozenset())
    assert (A in memory.retries.look()) is not over


def test_nobody_waits_for_what_is_neither_wanted_nor_live() -> None:
    """A device that left and is gone, and one that was never ours, wait no more; what is wanted or live does."""
    memory = knowing("abc")
    memory.wait({one: refused(reason=Reason.RETRY) for one in (A, B, C, DeviceId("d"))})
    memory.desire(ids("ac"), NOW)
    assert listing(memory, "c").moot_retries == {B, "d"}
    assert memory.retries.look().keys() == {A, C}
    memory.wait({B: refused(reason=Reason.RETRY)})
    assert listing(memory, "bc").moot_retries == frozenset()


@pytest.mark.parametrize(("before", "now"), [(None, "b"), ("a", None), ("a", "b"), (None, None)])
def test_a_person_vouches_for_a_credential(before: str | None, now: str | None) -> None:
    """Only where both are known is the credential in use the one of the last trusted list from now on."""
    memory = knowing("a", credential=before)
    memory.wait({A: refused()})
    memory.doubt("b")
    memory.doubt("b")
    assert memory.vouch(now) == {A}
    both = before is not None and now is not None
    assert memory.credential == (now if both else before)
    assert memory.recall(NOW, "b", writable=True).suspect_readings == 2
    assert memory.retries.look() == {}


def test_readings_with_another_credential_count_for_that_one_only() -> None:
    """Back with the credential of the last trusted list, what another one read is no reason to believe it."""
    memory = knowing("a")
    memory.doubt("other")
    memory.doubt("other")
    assert memory.suspect_readings == -2
    assert memory.recall(NOW, "other", writable=True).suspect_readings == 2
    assert memory.recall(NOW, "mine", writable=True).suspect_readings == 0
    memory.doubt("mine")
    assert memory.suspect_readings == 1
    assert memory.recall(NOW, "other", writable=True).suspect_readings == 0


@pytest.mark.parametrize(
    "change",
    ["list", "trusted", "readings", "credential", "open", "left", "retries", "nothing"],
)
def test_a_list_agrees_only_if_nothing_waits_for_it(change: str) -> None:
    """Whatever it would change makes it news."""
    memory = knowing("ab")
    devices = memory.expected.get()
    match change:
        case "list":
            devices = ids("ab")
        case "trusted":
            memory.trusted = False
        case "readings":
            memory.suspect_readings = -1
        case "open":
            memory.open[A] = intent(A)
        case "left":
            memory.desire(ids("a"), NOW)
        case "retries":
            memory.wait({A: refused()})
        case _:
            pass
    credential = "other" if change == "credential" else "mine"
    assert memory.agrees(Observed(devices, NOW), credential, devices) is (change == "nothing")


def test_intents_are_withdrawn_by_the_pass_that_has_them() -> None:
    """They come back in their order; those of another pass, and those whose outcome is known, stay."""
    memory = knowing(many(30))
    assert memory.intend(intent(one) for one in sorted(many(30), reverse=True)) == ()
    answered, other = sorted(many(30))[:2]
    memory.open[answered] = replace(memory.open[answered], result=Result.FAILED)
    memory.open[other] = replace(memory.open[other], pass_id=SECOND_PASS)
    withdrawn = memory.withdraw(FIRST, [*many(30), A])
    assert [past.device for past in withdrawn] == sorted(many(30))[2:]
    assert memory.open.keys() == {answered, other}


def test_an_intent_of_before_is_closed_by_the_next() -> None:
    """Nothing more will be heard of it, so it counts as failed."""
    memory = knowing("a")
    memory.intend([intent(A)])
    (closed,) = memory.intend([intent(A, by=SECOND_PASS)])
    assert (closed.pass_id, closed.result) == (FIRST, Result.FAILED)
    assert memory.open[A].pass_id == SECOND_PASS


@pytest.mark.parametrize(
    ("before", "same"),
    [
        (intent(A), True),
        (intent(A, by=SECOND_PASS), False),
        (intent(A, Action.SUBSCRIBE), False),
    ],
    ids=["its own", "of another pass", "of the other action"],
)
def test_an_outcome_belongs_to_its_intent(before: Past, same: bool) -> None:  # noqa: FBT001 - the expected answer
    """Pass and action have to be the same; an intent of anything else is closed without an answer."""
    memory = knowing("a")
    memory.intend([before])
    taken = memory.record(FIRST, [outcome(A)])
    results = [Result.SUCCESS] if same else [Result.FAILED, Result.SUCCESS]
    assert [past.result for past in taken] == results
    assert (taken[-1].intended, taken[-1].pass_id) == (NOW if same else NOW + SECOND, FIRST)
    assert A not in memory.open
    assert A not in memory.expected.get()


def test_waits_that_end_are_told() -> None:
    """A device with nothing to wait for waits no longer; one that did not wait is not named."""
    memory = knowing("abc")
    assert memory.wait({A: refused(), B: refused()}) == frozenset()
    assert memory.wait({A: None, C: None, B: refused(Action.UNSUBSCRIBE)}) == {A}
    assert memory.retries.look() == {B: refused(Action.UNSUBSCRIBE)}


@pytest.mark.parametrize("step", [-30 * DAY, -HOUR, HOUR])
def test_a_step_of_the_clock_takes_waits_along(step: timedelta) -> None:
    """What waits goes on waiting for as long as it would have, and for no longer than the longest of its kind."""
    memory = knowing("ab")
    memory.wait({A: refused()})
    assert memory.day.confirmed.look() == {}
    memory.reset(step, NOW + step)
    assert memory.retries.look()[A].until == NOW + HOUR + step


@pytest.mark.parametrize("reason", [Reason.RETRY, Reason.REFUSED])
def test_a_wait_of_a_clock_that_was_ahead_is_cut(reason: Reason) -> None:
    """It ends when the longest of its kind would, if that began now; one that is not too long stays."""
    memory = knowing("ab")
    latest = NOW + LONGEST_WAIT[reason]
    late = Retry(Action.SUBSCRIBE, reason, 3, latest + SECOND)
    memory.wait({A: late, B: replace(late, until=latest)})
    memory.left.mine()[C] = NOW + HOUR
    memory.not_later_than(NOW)
    assert {one.until for one in memory.retries.look().values()} == {latest}
    assert memory.left.look()[C] == NOW
    memory.wait({A: late})
    memory.reset(DAY, NOW + DAY)
    assert memory.retries.look()[A].until == NOW + DAY + LONGEST_WAIT[reason]


def test_what_stays_of_a_retired_account_is_the_days_count() -> None:
    """Should it come back within the day, what went still counts."""
    memory = knowing("a")
    memory.record(FIRST, [outcome(A)])
    again = memory.retired()
    assert (again.name, again.trusted, again.inventory.get()) == (NAME, False, frozenset())
    assert again.recall(NOW, None, writable=True).unsubscribed == {A}


# What a list tells of open changes


@pytest.mark.parametrize(
    ("result", "status", "unanswered"),
    [
        (None, None, True),
        (None, 200, False),
        (Result.FAILED, None, True),
        (Result.FAILED, 499, False),
        (Result.FAILED, 500, True),
        (Result.FAILED, 503, True),
        (Result.SUCCESS, None, False),
        (Result.REFUSED, 500, False),
    ],
)
def test_only_a_list_tells_of_a_call_without_an_answer(
    result: Result | None,
    status: int | None,
    unanswered: bool,  # noqa: FBT001 - the expected answer
) -> None:
    """No outcome, a failure without an answer, and a server's fault may all have done the work."""
    assert replace(intent(A), result=result, status=status).unanswered is unanswered


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("age", [-SECOND, timedelta(0), OVERLAY, OVERLAY + SECOND])
def test_what_a_list_tells_of_an_open_change(
    action: Action, *, listed: bool, live: bool, age: timedelta
) -> None:
    """It was made if the list and what we know agree; it was not if the list is of long after; else it stays open."""
    past = replace(intent(A, action), intended=NOW - age, at=NOW - age)
    wanted = action is Action.SUBSCRIBE
    observed = Observed(ids("a") if listed else frozenset(), NOW)
    found = settled({A: past}, observed, ids("a") if live else frozenset(), NOW + SECOND)
    made = age >= timedelta(0) and listed is wanted and live is wanted
    over = not made and age > OVERLAY
    assert [one.device for one in found.made] == ([A] if made else [])
    assert [one.result for one in found.closed] == (
        [Result.SUCCESS] if made else [Result.FAILED] if over else []
    )
    open_still = not made and timedelta(0) <= age <= OVERLAY
    assert [one.result for one in found.unanswered] == ([Result.FAILED] if open_still else [])
    if made:
        assert (found.made[0].confirmed_by, found.made[0].at) == ("list", NOW + SECOND)


@pytest.mark.parametrize(
    ("age", "status", "is_over"),
    [(75, None, False), (76, None, True), (61, 503, True), (60, 503, False)],
)
def test_a_call_of_another_replica_may_have_been_sent_late(
    age: int,
    status: int | None,
    is_over: bool,  # noqa: FBT001 - the expected answer
) -> None:
    """An intent without an answer counts as not made only after the longest call and a list's lag; twice looked at."""
    memory = knowing("ab")
    memory.open = {A: replace(intent(A), result=Result.FAILED if status else None, status=status)}

    def look(seconds: int) -> Belief:
        at = NOW + timedelta(seconds=seconds)
        longest = timedelta(seconds=15)
        return memory.believe(Observed(ids("ab"), at), "mine", at, ids("ab"), longest)

    assert look(1).closed == ()
    assert (look(age).closed != (), A in memory.open) == (is_over, not is_over)


@pytest.mark.parametrize(("name", "shown"), [("Room 1", "Room 1"), ("", None), (None, None)])
def test_what_a_list_shows_as_made_keeps_its_name(name: str | None, shown: str | None) -> None:
    """The outcome has the name that the device had when the change was begun, and everything else of it."""
    memory = knowing("b")
    memory.open = {A: replace(intent(A, Action.SUBSCRIBE), name=name, approved=True)}
    (made,) = listing(memory, "ab", NOW + SECOND).confirmed
    assert (made.change.device, made.change.action) == (A, Action.SUBSCRIBE)
    assert (made.name, made.approved, made.revision) == (shown, True, Revision("0"))


def test_an_open_failure_stays_as_it_is() -> None:
    """Its outcome is known and reported already, so a list that shows nothing new does not report it again."""
    past = replace(intent(A), result=Result.FAILED)
    found = settled({A: past}, Observed(ids("a"), NOW), ids("a"), NOW)
    assert (found.made, found.closed, found.unanswered) == ((), (), ())


# The day


def day(*moments: datetime, action: Action = Action.SUBSCRIBE) -> Day:
    """Return a day on which the device was confirmed at these moments, one after the other."""
    found = Day()
    for moment in moments:
        found.count(replace(intent(A, action), at=moment), Result.SUCCESS)
    return found


def test_what_is_older_than_a_day_is_forgotten() -> None:
    """In each count, what is a day old to the microsecond is gone and what is younger stays."""
    oldest, later, latest = NOW - DAY, NOW - DAY + SECOND, NOW - HOUR
    found = day(oldest, later, latest)
    assert found.resubscribed.look() == {A: (later, latest)}
    found.forget_before(later)
    assert found.resubscribed.look() == {A: (latest,)}
    assert found.confirmed.look().keys() == {A}
    found.forget_before(latest)
    assert found.resubscribed.look() == {}
    assert found.confirmed.look() == {}
    gone = day(oldest, action=Action.UNSUBSCRIBE)
    gone.forget_before(oldest - SECOND)
    assert gone.unsubscribed.names() == {A}
    gone.forget_before(oldest)
    assert gone.unsubscribed.names() == frozenset()


def test_dates_to_come_are_now() -> None:
    """What a clock that was ahead wrote down counts from now on; earlier dates stay."""
    found = day(NOW - HOUR, NOW - 2 * SECOND, NOW + HOUR)
    found.not_later_than(NOW)
    assert found.resubscribed.look() == {A: (NOW - 2 * SECOND, NOW)}
    assert found.confirmed.look()[A].at == NOW - OVERLAY
    gone = day(NOW + HOUR, action=Action.UNSUBSCRIBE)
    gone.not_later_than(NOW)
    assert gone.unsubscribed.look() == {A: NOW}
    gone.forget_before(NOW + SECOND - LIMIT_WINDOW)
    assert gone.unsubscribed.names() == {A}
    gone.forget_before(NOW)
    assert gone.unsubscribed.names() == frozenset()


@pytest.mark.parametrize("first", list(Action))
@pytest.mark.parametrize("then", list(Action))
def test_only_a_subscribe_after_a_subscribe_tells_of_a_loss(first: Action, then: Action) -> None:
    """Whatever we unsubscribed in between was not lost by LG."""
    found = Day()
    found.count(replace(intent(A, first), at=NOW - HOUR), Result.SUCCESS)
    found.count(replace(intent(A, then), at=NOW), Result.SUCCESS)
    again = first is Action.SUBSCRIBE and then is Action.SUBSCRIBE
    assert found.resubscribed.look() == ({A: (NOW,)} if again else {})


def test_what_is_disowned_after_a_restart_leaves_the_rest_ours() -> None:
    """Before any revision came into force in this process, only what was kept on disk is known."""
    memory = AccountMemory(NAME)
    memory.trusted = True
    memory.inventory.become(ids("ab"))
    memory.left.mine()[B] = NOW - HOUR
    assert listing(memory, "a").left_inventory == {B}
    assert memory.inventory.get() == {A}


def test_what_is_oldest_is_known_after_something_was_forgotten() -> None:
    """The next moment to forget anything is that of the oldest that is left."""
    found = Day()
    for hours, device in ((3, A), (2, B), (1, C)):
        found.count(replace(intent(device), at=NOW - hours * HOUR), Result.SUCCESS)
    found.forget_before(NOW - 3 * HOUR)
    assert found.unsubscribed.names() == {B, C}
    found.forget_before(NOW - 2 * HOUR)
    assert found.unsubscribed.names() == {C}


def test_a_change_just_within_the_overlay_keeps_its_date() -> None:
    """Only what is dated further ahead is older than it looks."""
    found = day(NOW + OVERLAY)
    found.not_later_than(NOW)
    assert found.confirmed.look()[A].at == NOW + OVERLAY


def test_a_shelf_is_copied_only_where_it_was_lent() -> None:
    """A lent map stays as it was; edits after that are made in one copy, and empty shelves share the empty set."""
    shelf: Shelf[int] = Shelf({A: 1})
    lent = shelf.lend()
    mine = shelf.mine()
    mine[B] = 2
    assert dict(lent) == {A: 1}
    assert shelf.names() == {A, B}
    again = shelf.mine()
    assert again is mine
    empty: Shelf[int] = Shelf()
    assert empty.names() is NOTHING
