"""What holds a change: each row of the table with its boundaries, the order of reasons, the shapes of accidents."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from core_strategies import (
    ACCOUNT,
    FOREVER,
    HOUR,
    NOW,
    SECOND,
    Split,
    absent,
    desiring,
    fleet,
    planned,
    situated,
    some,
    split,
    subscribes,
    unsubscribes,
)
from reconciler.core import guards
from reconciler.core.guards import (
    GUARDS,
    Finding,
    Guard,
    PauseOverride,
    Platform,
    Situation,
    allowance,
    budget,
    held_actions,
    is_suspect,
    judge,
    limit,
)
from reconciler.core.guards.identity import look_alikes
from reconciler.core.model import (
    AccountName,
    Action,
    Cause,
    Change,
    Confirmed,
    Device,
    DeviceId,
    Held,
    Kind,
    Limit,
    Memory,
    Observed,
    Pause,
    Plan,
    Policy,
    Prune,
    Reason,
    Result,
    Retry,
    Share,
    Unsettled,
)
from reconciler.core.planner import plan
from reconciler.core.windows import Holds, Span, Window, WindowKind

MICROSECOND = timedelta(microseconds=1)
OPEN = Policy(max_unsubscribe=Share(Fraction(1)), allow_empty=True)
"""A policy under which no guard of numbers holds anything."""

BOTH = frozenset(Action)
ONLY_UNSUBSCRIBE = frozenset({Action.UNSUBSCRIBE})
ONLY_SUBSCRIBE = frozenset({Action.SUBSCRIBE})


def judged(situation: Situation) -> Plan:
    """Return what the situation's account does and holds."""
    return judge(planned(situation), situation)


def reasons(result: Plan) -> dict[Change, Reason]:
    """Return the reason of each held change."""
    return {one.change: one.reason for one in result.held}


def tripped(result: Plan) -> list[Reason]:
    """Return the reasons that a plan says have tripped."""
    return [one.reason for one in result.tripped]


def message(result: Plan, reason: Reason) -> str:
    """Return the sentence of a tripped reason."""
    return next(one.message for one in result.tripped if one.reason is reason)


def mixed(policy: Policy = OPEN, memory: Memory | None = None, **more: Any) -> Situation:
    """Return a situation in which one device is to be subscribed, one is in sync and one is to go."""
    return situated(desiring(some("new", "same"), policy), some("same", "old"), memory, **more)


def losing(
    count: int, of: int, policy: Policy | None = None, memory: Memory | None = None, **more: Any
) -> Situation:
    """Return a situation in which so many of so many live devices would go."""
    return situated(desiring(fleet(of - count, first=count), policy, **more), fleet(of), memory)


def waiting(action: Action, reason: Reason, until: datetime) -> Retry:
    """Return a wait of a device."""
    return Retry(action, reason, 1, until)


def denying(holds: str, until: datetime | None) -> Window:
    """Return a deny window that is active until a moment."""
    return Window("freeze", WindowKind.DENY, Holds(holds), Span(None, until), "UTC")


def within(*windows: Window) -> Situation:
    """Return a situation with these windows in which one device is to be subscribed and one is to go."""
    situation = mixed()
    return replace(situation, desired=replace(situation.desired, windows=windows))


NEW, OLD = DeviceId("new"), DeviceId("old")
LATER = NOW + HOUR

ROWS: list[tuple[Reason, Situation, frozenset[Action], datetime | None]] = [
    (Reason.EMPTY_DESIRED, situated(desiring(()), some("old")), ONLY_UNSUBSCRIBE, None),
    (
        Reason.TOO_MANY,
        mixed(Policy(max_unsubscribe=0, max_unsubscribe_floor=0)),
        ONLY_UNSUBSCRIBE,
        None,
    ),
    (Reason.SUSPECT_LIST, mixed(memory=Memory(expected=fleet(10))), BOTH, None),
    (
        Reason.WANTED_ELSEWHERE,
        replace(mixed(), elsewhere={DeviceId("old"): AccountName("busan-hotel")}),
        ONLY_UNSUBSCRIBE,
        None,
    ),
    (
        Reason.LOOK_ALIKE,
        situated(desiring(some("new", "OLD"), OPEN), some("old")),
        ONLY_UNSUBSCRIBE,
        None,
    ),
    (
        Reason.FILES_UNSETTLED,
        mixed(unsettled=Unsettled(None, "half a checkout")),
        ONLY_UNSUBSCRIBE,
        None,
    ),
    (Reason.DESIRED_REJECTED, mixed(rejected=Cause.INVALID), ONLY_UNSUBSCRIBE, None),
    (Reason.STATE_UNWRITABLE, mixed(memory=Memory(writable=False)), ONLY_UNSUBSCRIBE, None),
    (
        Reason.PROTECTED,
        mixed(memory=Memory(protected={OLD: AccountName("busan-hotel")})),
        ONLY_UNSUBSCRIBE,
        None,
    ),
    (Reason.PAUSED, mixed(replace(OPEN, pause=Pause.ALL)), BOTH, None),
    (Reason.PAUSED, mixed(replace(OPEN, pause=Pause.UNSUBSCRIBE)), ONLY_UNSUBSCRIBE, None),
    (Reason.PAUSED, mixed(observing=True), BOTH, None),
    (Reason.PAUSED, mixed(pause_override=PauseOverride(Pause.ALL, LATER, "r")), BOTH, LATER),
    (
        Reason.PAUSED,
        mixed(pause_override=PauseOverride(Pause.UNSUBSCRIBE, LATER, "r")),
        ONLY_UNSUBSCRIBE,
        LATER,
    ),
    (Reason.WINDOW, within(denying("all", LATER)), BOTH, LATER),
    (Reason.WINDOW, within(denying("unsubscribe", LATER)), ONLY_UNSUBSCRIBE, LATER),
    (Reason.WINDOW, within(denying("all", None)), BOTH, None),
    (
        Reason.UNSUBSCRIBE_AFTER,
        mixed(replace(OPEN, unsubscribe_after=HOUR)),
        ONLY_UNSUBSCRIBE,
        LATER,
    ),
    *(
        (
            reason,
            mixed(memory=Memory(retries={device: waiting(action, reason, LATER)})),
            frozenset({action}),
            LATER,
        )
        for reason in (Reason.RETRY, Reason.REFUSED)
        for device, action in ((NEW, Action.SUBSCRIBE), (OLD, Action.UNSUBSCRIBE))
    ),
    (Reason.QUOTA, mixed(platform=Platform(throttled_until=LATER)), BOTH, LATER),
    (Reason.SUBSCRIPTIONS_FULL, mixed(platform=Platform(full_until=LATER)), ONLY_SUBSCRIBE, LATER),
    (
        Reason.ACCOUNT_STOPPED,
        mixed(platform=Platform(stopped="no token", stopped_until=LATER)),
        BOTH,
        LATER,
    ),
]


@pytest.mark.parametrize(
    ("reason", "situation", "actions", "until"), ROWS, ids=lambda one: getattr(one, "value", "")
)
def test_each_reason_holds_what_its_row_says(
    reason: Reason, situation: Situation, actions: frozenset[Action], until: datetime | None
) -> None:
    """A reason holds the changes that its row says, until the time that is known, and nothing else."""
    before, result = planned(situation), judged(situation)
    everything = (*before.subscribes, *before.unsubscribes)
    assert result.held == tuple(
        sorted(
            (Held(one, reason, until) for one in everything if one.action in actions),
            key=lambda held: held.change,
        )
    )
    assert result.subscribes == (() if Action.SUBSCRIBE in actions else before.subscribes)
    assert result.unsubscribes == (() if Action.UNSUBSCRIBE in actions else before.unsubscribes)
    assert tripped(result) == [reason]
    assert result.tripped[0].message
    assert actions <= set(held_actions(reason))


def test_nothing_holds_an_ordinary_change() -> None:
    """Where no row applies, the plan is handed on as it is."""
    before = planned(mixed())
    assert judge(before, mixed()) is before
    assert before.changes == 2


@pytest.mark.parametrize(
    ("reason", "situation"),
    [
        (reason, situation)
        for reason, situation, _actions, _until in ROWS
        if reason is not Reason.SUSPECT_LIST
    ],
    ids=lambda one: getattr(one, "value", ""),
)
def test_no_reason_is_given_where_nothing_is_held(reason: Reason, situation: Situation) -> None:
    """Where there is nothing to change no reason trips, except a list that is not believed."""
    idle = replace(situation, observed=Observed(situation.desired.devices, NOW))
    assert tripped(judged(idle)) == [], reason


def test_a_situation_holds_nothing_by_itself() -> None:
    """What a situation is not told is no reason to hold: neither observe mode nor a pause, a stop or a rejection."""
    told = mixed()
    assert judged(Situation(told.desired, told.observed, told.memory, told.now)).changes == 2


def test_the_table_has_every_reason_once_and_in_order() -> None:
    """The table is the order of reasons: each of them has one row, in the order of the model."""
    assert [guard.reason for guard in GUARDS] == list(Reason)
    assert all(guard.holds and guard.when for guard in GUARDS)


def test_devices_of_unsettled_files_wait_and_no_others() -> None:
    """Only the unsubscribes of devices whose file went away are held, and the message gives the age of git's lock."""
    unsettled = Unsettled(frozenset(some("old")), "half a checkout", NOW - HOUR)
    result = judged(situated(desiring(some("new")), some("old", "other"), unsettled=unsettled))
    assert reasons(result) == dict.fromkeys(unsubscribes(some("old")), Reason.FILES_UNSETTLED)
    assert "1h" in message(result, Reason.FILES_UNSETTLED)
    assert (result.subscribes, result.unsubscribes) == (
        subscribes(some("new")),
        unsubscribes(some("other")),
    )


def test_protection_holds_what_its_dates_would_end_and_what_lost_its_entry() -> None:
    """An entry that is over still protects; of two accounts either protects; the sentence counts them."""
    over = [Device(device, protected=True, until=NOW) for device in some("a", "b")]
    memory = Memory(protected=dict.fromkeys(some("c"), AccountName("busan-hotel")))
    result = judged(situated(desiring([*over, NEW], OPEN), some("a", "b", "c", "d", "new"), memory))
    assert reasons(result) == dict.fromkeys(unsubscribes(some("a", "b", "c")), Reason.PROTECTED)
    assert result.unsubscribes == unsubscribes(some("d"))
    assert message(result, Reason.PROTECTED) == (
        "3 devices that would go are protected: no approval names them"
    )


def test_kinds_of_reasons() -> None:
    """Who can release a change is part of the table's order: first guards, then policy, then platform."""
    kinds = [guard.reason.kind for guard in GUARDS]
    assert kinds == [Kind.GUARD] * 9 + [Kind.POLICY] * 4 + [Kind.PLATFORM] * 5


@pytest.mark.parametrize("reason", Reason)
def test_held_actions_are_those_of_the_rows(reason: Reason) -> None:
    """The actions for which a metric exists beforehand are those that the rows can hold."""
    seen = {
        action for row, _situation, actions, _until in ROWS if row is reason for action in actions
    }
    assert set(held_actions(reason)) == (seen or BOTH)


# Empty desired


def test_empty_desired_wants_somebody_to_say_so() -> None:
    """With ``allow_empty`` an account without entries may lose its devices, within the limit."""
    empty = desiring((), Policy(allow_empty=True))
    assert judged(situated(empty, fleet(5))).unsubscribes == unsubscribes(fleet(5))
    assert set(reasons(judged(situated(empty, fleet(6)))).values()) == {Reason.TOO_MANY}


def test_entries_outside_their_dates_are_entries() -> None:
    """An account is empty when it has no entry at all; one whose entries all ended is judged by the limit only."""
    ended = desiring([Device(DeviceId("a"), until=NOW)])
    assert judged(situated(ended, some("a"))).unsubscribes == unsubscribes(some("a"))


def test_empty_desired_lets_approved_devices_go() -> None:
    """Approved devices go from an empty account, the rest of it is held."""
    result = judged(situated(desiring((), approved=some("a")), some("a", "b")))
    assert result.unsubscribes == unsubscribes(some("a"))
    assert reasons(result) == dict.fromkeys(unsubscribes(some("b")), Reason.EMPTY_DESIRED)
    assert (
        message(result, Reason.EMPTY_DESIRED)
        == "the account lists no device at all, 1 live device would go"
    )


def test_an_empty_account_without_candidates_trips_nothing() -> None:
    """An account that has no entry and no live device of ours is as it should be."""
    assert judged(situated(desiring(()), ())).tripped == ()
    assert judged(situated(desiring((), Policy(prune=Prune.NONE)), fleet(30))).tripped == ()


# Too many


@pytest.mark.parametrize(
    ("base", "at_most", "allowed"),
    [
        (100, Share(Fraction(1, 10)), 10),
        (109, Share(Fraction(1, 10)), 10),
        (110, Share(Fraction(1, 10)), 11),
        (9, Share(Fraction(1, 10)), 0),
        (0, Share(Fraction(1)), 0),
        (1000, Share(Fraction(0)), 0),
        (7, Share(Fraction(1)), 7),
        (3, Share(Fraction(1, 3)), 1),
        (10_000_000, Share(Fraction(29, 100)), 2_900_000),
        (7, 12, 12),
        (7, 0, 0),
    ],
)
def test_limit(base: int, at_most: Limit, allowed: int) -> None:
    """A share is rounded down, exactly; a whole number is itself, whatever the base."""
    assert limit(base, at_most) == allowed


@pytest.mark.parametrize(
    ("policy", "live", "most"),
    [
        (Policy(), 100, 10),
        (Policy(), 109, 10),
        (Policy(), 110, 11),
        (Policy(), 50, 5),
        (Policy(), 60, 6),
        (Policy(), 59, 5),
        (Policy(), 6, 5),
        (Policy(max_unsubscribe=20), 1000, 20),
        (Policy(max_unsubscribe=3), 1000, 5),
        (Policy(max_unsubscribe=3, max_unsubscribe_floor=0), 1000, 3),
        (Policy(max_unsubscribe=0, max_unsubscribe_floor=0), 100, 0),
        (Policy(max_unsubscribe=Share(Fraction(0)), max_unsubscribe_floor=0), 100, 0),
        (Policy(max_unsubscribe=Share(Fraction(0)), max_unsubscribe_floor=2), 100, 2),
        (Policy(max_unsubscribe=Share(Fraction(1)), max_unsubscribe_floor=0), 20, 19),
    ],
)
def test_the_limit_is_met_exactly(policy: Policy, live: int, most: int) -> None:
    """As many as the limit or the floor go; of one more none goes."""
    if most:
        assert len(judged(losing(most, live, policy)).unsubscribes) == most
    over = judged(losing(min(most + 1, live - 1), live, policy))
    if most + 1 < live:
        assert (over.unsubscribes, set(reasons(over).values())) == ((), {Reason.TOO_MANY})
        assert len(over.held) == most + 1


def test_those_of_the_last_day_count() -> None:
    """What went in the last 24 hours counts with what would go now, and in the base of a share as well."""
    gone = fleet(6, first=1000)
    memory = Memory(unsubscribed=gone)
    assert allowance(losing(4, 94, memory=memory)) == 10
    assert len(judged(losing(4, 94, memory=memory)).unsubscribes) == 4
    assert tripped(judged(losing(5, 94, memory=memory))) == [Reason.TOO_MANY]
    assert allowance(losing(4, 93, memory=memory)) == 9
    assert tripped(judged(losing(4, 93, memory=memory))) == [Reason.TOO_MANY]


def test_a_day_that_is_used_up_is_told_only_where_more_would_go() -> None:
    """Where all that may go is approved, or nothing goes, nobody has to decide, however many went before."""
    gone = Memory(unsubscribed=fleet(60, first=1000))
    assert judged(losing(0, 20, memory=gone)).tripped == ()
    approved = judged(losing(3, 20, memory=gone, approved=fleet(3)))
    assert approved.tripped == ()
    assert approved.unsubscribes == unsubscribes(fleet(3))
    assert tripped(judged(losing(1, 20, memory=gone))) == [Reason.TOO_MANY]


def test_a_device_that_came_back_counts_once() -> None:
    """The last day's devices and this pass's are one set: another writer who adds a device again does not double it."""
    back = fleet(5)
    result = judged(losing(5, 20, memory=Memory(unsubscribed=back)))
    assert len(result.unsubscribes) == 5
    assert allowance(losing(5, 20, memory=Memory(unsubscribed=back))) == 5
    hundred = losing(10, 100, memory=Memory(unsubscribed=fleet(10)))
    assert allowance(hundred) == 10
    assert len(judged(hundred).unsubscribes) == 10


def test_approved_devices_count_nowhere() -> None:
    """Approved devices go, whatever the limit, and use up nothing of it for the others."""
    situation = losing(50, 100, approved=fleet(40))
    result = judged(situation)
    assert result.unsubscribes == unsubscribes(fleet(50))
    assert result.tripped == ()
    one_more = judged(losing(51, 100, approved=fleet(40)))
    assert one_more.unsubscribes == unsubscribes(fleet(40))
    assert split(one_more, Action.UNSUBSCRIBE).held == fleet(11, first=40)


def test_the_base_is_the_whole_live_list() -> None:
    """The share is of all live devices, also of those that ``prune`` and ``ignore`` leave alone."""
    policy = Policy(prune=Prune.OWNED, ignore=fleet(10, first=90))
    situation = situated(
        desiring((), replace(policy, allow_empty=True)), fleet(100), Memory(inventory=fleet(10))
    )
    assert len(judged(situation).unsubscribes) == 10


def test_unmanaged_and_ignored_devices_do_not_count() -> None:
    """What would not go anyhow is not counted."""
    policy = Policy(ignore=fleet(10, first=50))
    result = judged(situated(desiring(fleet(40), policy), fleet(60), Memory()))
    assert tripped(result) == [Reason.TOO_MANY]
    owned = Policy(prune=Prune.OWNED, ignore=fleet(10, first=50))
    result = judged(
        situated(desiring(fleet(40), owned), fleet(60), Memory(inventory=fleet(5, first=46)))
    )
    assert result.unsubscribes == unsubscribes(fleet(4, first=46))


def test_waiting_and_refused_devices_count() -> None:
    """The count is taken before waits and refusals, so that they cannot hide how many would go."""
    retries = {device: waiting(Action.UNSUBSCRIBE, Reason.REFUSED, LATER) for device in fleet(8)}
    result = judged(losing(11, 100, memory=Memory(retries=retries)))
    assert set(reasons(result).values()) == {Reason.TOO_MANY}
    patient = judged(losing(11, 100, Policy(unsubscribe_after=HOUR)))
    assert set(reasons(patient).values()) == {Reason.TOO_MANY}


def test_the_refusal_has_the_numbers() -> None:
    """The sentence says how many would go, how many are gone, how many may and by which keys."""
    result = judged(losing(8, 94, memory=Memory(unsubscribed=fleet(6, first=1000))))
    said = message(result, Reason.TOO_MANY)
    assert "14 devices" in said
    assert "(6 of them are gone already)" in said
    assert "10 are allowed" in said
    assert "max_unsubscribe is 10%" in said
    assert "max_unsubscribe_floor is 5" in said
    assert "already" not in message(judged(losing(11, 100)), Reason.TOO_MANY)


def test_budget() -> None:
    """The budget is what is left of the day's allowance, and never less than nothing."""
    assert budget(losing(0, 100)) == 10
    assert budget(losing(0, 97, memory=Memory(unsubscribed=fleet(3, first=1000)))) == 7
    assert budget(losing(0, 20, memory=Memory(unsubscribed=fleet(9, first=1000)))) == 0
    assert budget(losing(0, 0)) == 5


def test_the_window_is_a_day() -> None:
    """Unsubscribes are counted over 24 hours."""
    assert timedelta(hours=24) == guards.LIMIT_WINDOW


# Suspect list


@pytest.mark.parametrize(
    ("expected", "seen", "suspect"),
    [
        (10, 4, True),
        (10, 5, False),
        (11, 5, True),
        (11, 6, False),
        (9, 0, True),
        (9, 1, False),
        (2, 0, True),
        (1, 0, False),
        (10, 0, True),
        (300, 149, True),
        (300, 150, False),
    ],
)
def test_a_short_list_is_doubted(expected: int, seen: int, *, suspect: bool) -> None:
    """Of at least 10 known devices fewer than half are not believed, of two to nine none."""
    memory = Memory(expected=fleet(expected))
    assert is_suspect(Observed(fleet(seen), NOW), memory) is suspect
    strangers = fleet(500, first=1000)
    assert is_suspect(Observed(fleet(seen) | strangers, NOW), memory) is suspect


@pytest.mark.parametrize(
    ("expected", "seen", "suspect"),
    [
        (1, 0, True),
        (1, 1, False),
        (2, 0, True),
        (2, 1, False),
        (9, 4, True),
        (9, 5, False),
        (4, 1, True),
        (4, 2, False),
    ],
)
@pytest.mark.parametrize("strangers", [fleet(0), fleet(12, first=500)], ids=len)
@pytest.mark.parametrize("readings", [0, 2, 1000])
def test_a_short_list_of_a_small_account_is_doubted_after_a_credential_changed(
    expected: int, seen: int, strangers: frozenset[DeviceId], readings: int, *, suspect: bool
) -> None:
    """With another credential fewer than half of even one known device are not believed, however often it is read."""
    memory = Memory(expected=fleet(expected), credential_changed=True, suspect_readings=readings)
    assert is_suspect(Observed(fleet(seen) | strangers, NOW), memory) is suspect


def test_a_doubted_list_of_a_small_account_holds_unsubscribes_only() -> None:
    """What a small account misses is subscribed on a doubted list; what would go is held."""
    memory = Memory(expected=fleet(9), credential_changed=True)
    result = judged(situated(desiring(fleet(9)), fleet(3, first=500), memory))
    assert result.subscribes == subscribes(fleet(9))
    assert reasons(result) == dict.fromkeys(unsubscribes(fleet(3, first=500)), Reason.SUSPECT_LIST)


def test_a_home_that_gives_its_consent_again_is_subscribed_again() -> None:
    """A new token with an empty list holds no subscribe, in whatever reading, and says that the list is doubted."""
    for readings in (0, 1, 2, 50):
        memory = Memory(expected=fleet(4), credential_changed=True, suspect_readings=readings)
        result = judged(situated(desiring(fleet(4)), (), memory))
        assert (result.subscribes, result.held) == (subscribes(fleet(4)), ())
        assert tripped(result) == [Reason.SUSPECT_LIST]


def test_no_list_was_ever_trusted() -> None:
    """Where nothing is expected there is nothing to doubt, not even an empty list."""
    assert not is_suspect(Observed(frozenset(), NOW), Memory())
    assert not is_suspect(Observed(frozenset(), NOW), Memory(expected=frozenset()))


@pytest.mark.parametrize(("readings", "suspect"), [(0, True), (1, True), (2, False), (3, False)])
def test_the_third_reading_is_believed(readings: int, *, suspect: bool) -> None:
    """After two short lists in a row a third one is believed."""
    memory = Memory(expected=fleet(20), suspect_readings=readings)
    assert is_suspect(Observed(frozenset(), NOW), memory) is suspect
    result = judged(situated(desiring(fleet(20)), (), memory))
    assert len(result.subscribes) == (0 if suspect else 20)


@pytest.mark.parametrize("readings", [0, 1, 2, 3, 1000])
def test_a_swapped_token_is_never_believed_by_itself(readings: int) -> None:
    """When the credential changed, a short list holds everything however often it is read: a person has to say so."""
    memory = Memory(expected=fleet(20), suspect_readings=readings, credential_changed=True)
    result = judged(situated(desiring(fleet(20)), fleet(30, first=500), memory))
    assert result.changes == 0
    assert set(reasons(result).values()) == {Reason.SUSPECT_LIST, Reason.TOO_MANY}
    assert "a person has to confirm" in message(result, Reason.SUSPECT_LIST)


def test_a_new_token_of_the_same_user_is_no_matter() -> None:
    """A changed credential whose list is as expected holds nothing."""
    memory = Memory(expected=fleet(20), credential_changed=True)
    assert judged(situated(desiring(fleet(21)), fleet(20), memory)).subscribes == subscribes(
        fleet(1, first=20)
    )


def test_a_doubted_list_is_told_also_where_nothing_would_change() -> None:
    """A list that is not believed trips its reason even when it asks for no change."""
    result = judged(situated(desiring(()), (), Memory(expected=fleet(20))))
    assert (result.held, tripped(result)) == ((), [Reason.SUSPECT_LIST])
    said = message(result, Reason.SUSPECT_LIST)
    assert "of 20 devices that should be live the list shows 0" in said
    assert "reading 1 of 3" in said
    second = judged(
        situated(desiring(()), fleet(3), Memory(expected=fleet(20), suspect_readings=1))
    )
    assert "shows 3 (reading 2 of 3 before it is believed)" in message(second, Reason.SUSPECT_LIST)


def test_an_approval_does_not_make_a_list_credible() -> None:
    """Approved devices are held like all others while the list is not believed."""
    text = desiring(fleet(1), approved=fleet(3, first=1))
    result = judged(situated(text, fleet(4), Memory(expected=fleet(20))))
    assert result.changes == 0


# A guard that raises


def broken(_plan: Plan, _situation: Situation) -> Finding | None:
    """Fail as a guard with a fault in it would."""
    raise ZeroDivisionError


def with_broken(*broken_reasons: Reason) -> list[Guard]:
    """Return the table with some guards broken."""
    return [
        replace(guard, check=broken) if guard.reason in broken_reasons else guard
        for guard in GUARDS
    ]


@pytest.mark.parametrize("reason", Reason)
def test_a_guard_that_raises_holds_everything(reason: Reason) -> None:
    """Whichever guard cannot judge, nothing is changed, and it is said which one and why."""
    situation = mixed()
    result = judge(planned(situation), situation, with_broken(reason))
    assert result.changes == 0
    assert reasons(result) == dict.fromkeys(
        (*subscribes(some("new")), *unsubscribes(some("old"))), Reason.GUARD_FAILED
    )
    assert tripped(result) == [Reason.GUARD_FAILED]
    assert (
        message(result, Reason.GUARD_FAILED)
        == f"the guard {reason} could not judge: ZeroDivisionError"
    )


def test_a_guard_that_raises_is_told_also_where_nothing_would_change() -> None:
    """A broken guard is said to have failed, not to have tripped, on a plan without changes."""
    situation = situated(desiring(()), ())
    assert tripped(judge(planned(situation), situation, with_broken(Reason.TOO_MANY))) == [
        Reason.GUARD_FAILED
    ]


def test_a_failed_guard_stands_at_its_own_place_in_the_order() -> None:
    """What an earlier row of the table holds keeps that reason, whichever guard it was that raised."""
    rejected = mixed(rejected=Cause.INVALID)
    old, new = unsubscribes(some("old"))[0], subscribes(some("new"))[0]
    for failing in (Reason.EMPTY_DESIRED, Reason.ACCOUNT_STOPPED):
        found = reasons(judge(planned(rejected), rejected, with_broken(failing)))
        assert found == {old: Reason.DESIRED_REJECTED, new: Reason.GUARD_FAILED}
    paused = mixed(replace(OPEN, pause=Pause.ALL))
    for failing in (Reason.EMPTY_DESIRED, Reason.ACCOUNT_STOPPED):
        result = judge(planned(paused), paused, with_broken(failing))
        assert set(reasons(result).values()) == {Reason.GUARD_FAILED}
        assert tripped(result) == [Reason.GUARD_FAILED, Reason.PAUSED]


def test_a_failing_guard_shows_no_words_of_its_error() -> None:
    """The sentence names the kind of error only: its words might hold anything."""

    def leaking(_plan: Plan, _situation: Situation) -> Finding | None:
        raise RuntimeError("token-of-somebody")

    situation = mixed()
    table = [replace(GUARDS[0], check=leaking)]
    assert "token-of-somebody" not in message(
        judge(planned(situation), situation, table), Reason.GUARD_FAILED
    )


def test_an_absurd_wait_is_a_failed_guard_not_a_crash() -> None:
    """A span beyond the calendar cannot be judged, so it holds."""
    result = judged(mixed(replace(OPEN, unsubscribe_after=timedelta.max)))
    assert set(reasons(result).values()) == {Reason.GUARD_FAILED}


# Wanted elsewhere


def elsewhere(situation: Situation, *names: str) -> Situation:
    """Return the situation in which another account wants these devices."""
    return replace(situation, elsewhere=dict.fromkeys(some(*names), AccountName("busan-hotel")))


def test_what_another_account_wants_is_held_alone_and_counts_nowhere() -> None:
    """Only that device is held; the rest is judged by the limit as if it were not there."""
    text = desiring(fleet(10, first=6), Policy(max_unsubscribe=0))
    result = judged(elsewhere(situated(text, fleet(16)), "0000"))
    assert reasons(result) == dict.fromkeys(unsubscribes(some("0000")), Reason.WANTED_ELSEWHERE)
    assert result.unsubscribes == unsubscribes(fleet(5, first=1))
    assert message(result, Reason.WANTED_ELSEWHERE).endswith(
        "wanted by another account now: busan-hotel"
    )
    emptied = judged(elsewhere(situated(desiring(()), some("a")), "a"))
    assert tripped(emptied) == [Reason.WANTED_ELSEWHERE]


def test_a_sentence_names_the_accounts_that_want_a_device() -> None:
    """One device is, more are; at most three accounts are named, in their order, each once."""
    one = judged(elsewhere(situated(desiring(some("x"), OPEN), some("x", "a")), "a"))
    assert message(one, Reason.WANTED_ELSEWHERE) == (
        "1 device that would go is wanted by another account now: busan-hotel"
    )
    names = {DeviceId(f"a{place}"): AccountName(name) for place, name in enumerate("hgfedee")}
    several = situated(desiring(some("x"), OPEN), some("x", *names))
    assert message(judged(replace(several, elsewhere=names)), Reason.WANTED_ELSEWHERE) == (
        "7 devices that would go are wanted by another account now: d, e, f and 2 more"
    )


def test_an_approval_releases_what_another_account_wants_until_it_is_back() -> None:
    """An approval in this account lets it go once; what we let go within a day and is live again stays."""
    situation = elsewhere(
        situated(desiring(some("same"), OPEN, approved=some("old")), some("same", "old")), "old"
    )
    assert judged(situation).unsubscribes == unsubscribes(some("old"))
    gone = Confirmed(Action.UNSUBSCRIBE, Result.SUCCESS, NOW - HOUR)
    again = replace(situation, memory=Memory(confirmed={OLD: gone}))
    assert reasons(judged(again)) == dict.fromkeys(
        unsubscribes(some("old")), Reason.WANTED_ELSEWHERE
    )
    subscribed = replace(gone, action=Action.SUBSCRIBE)
    assert judged(replace(situation, memory=Memory(confirmed={OLD: subscribed}))).held == ()


# A list that is what is known


@pytest.mark.parametrize("count", [0, 1, 2, 12])
@pytest.mark.parametrize("changed", [True, False])
def test_a_list_that_is_as_expected_is_believed(count: int, *, changed: bool) -> None:
    """Where nothing is missing there is no doubt, however few devices there are and whoever asked."""
    known = fleet(count)
    memory = Memory(expected=known, credential_changed=changed)
    assert not is_suspect(Observed(known, NOW), memory)
    assert not is_suspect(Observed(frozenset([*known]), NOW), memory)


def test_a_wait_is_over_by_the_earlier_of_now_and_what_is_sure() -> None:
    """Nothing is let go by a moment that may not have come, nor by one that has not."""
    situation = mixed()
    assert situation.over == NOW
    assert replace(situation, sure=NOW - HOUR).over == NOW - HOUR
    assert replace(situation, sure=NOW + HOUR).over == NOW


# Look-alike


@pytest.mark.parametrize(
    ("listed", "written"),
    [
        ("ab12", "AB12"),
        ("AB12", "ab12"),
        ("Ab12", "aB12"),
        ("caf\u00e9", "cafe\u0301"),
        ("CAFE\u0301", "caf\u00e9"),
        ("stra\u00dfe", "STRASSE"),
        ("ab12", "'ab12'"),
        ("ab12", "\u201cAB12\u201d"),
        ("ab12", "\uff02AB12\uff02"),
        ("ab12", "\u300cab12\u300d"),
        ("ab12", "\u2033AB12\u2033"),
        ('"ab12"', "ab12"),
    ],
)
def test_another_spelling_of_a_wanted_device_is_held_and_the_wanted_one_subscribed(
    listed: str, written: str
) -> None:
    """The id that LG lists does not go while the text has the same one in another spelling, which is subscribed."""
    result = judged(situated(desiring(some(written, "new"), OPEN), some(listed, "old")))
    assert result.subscribes == subscribes(some(written, "new"))
    assert result.unsubscribes == unsubscribes(some("old"))
    assert reasons(result) == dict.fromkeys(unsubscribes(some(listed)), Reason.LOOK_ALIKE)
    assert repr(written) in message(result, Reason.LOOK_ALIKE)


@pytest.mark.parametrize(
    ("listed", "written"),
    [("ab12", "ab13"), ("ab12", "ab-12"), ("ab12", "\uff21B12"), ("o0", "00")],
)
def test_another_id_is_not_a_spelling(listed: str, written: str) -> None:
    """Ids that differ in anything else are two devices."""
    assert judged(situated(desiring(some(written), OPEN), some(listed))).held == ()


def test_of_several_spellings_the_first_is_shown() -> None:
    """The sentence has the number of devices, and both spellings of the first."""
    result = judged(situated(desiring(some("AA", "BB"), OPEN), some("aa", "bb")))
    assert message(result, Reason.LOOK_ALIKE) == (
        "2 devices would go under one spelling and be wanted under another (case, Unicode form or"
        " quotes): LG lists 'aa', the file has 'AA'"
    )
    assert look_alikes(some("aa"), ()) == {}
    longest = "a" * 72 + "b"
    cut = judged(situated(desiring(some(longest.upper()), OPEN), some(longest)))
    assert message(cut, Reason.LOOK_ALIKE).endswith(
        f"LG lists '{'a' * 72}', the file has '{'A' * 72}'"
    )


def test_a_subscribe_that_lg_took_under_another_spelling_does_not_end_the_hold() -> None:
    """A fresh confirmed subscribe counts as live; while LG's list shows the other spelling only, that one is kept."""
    memory = Memory(
        confirmed={DeviceId("OLD"): Confirmed(Action.SUBSCRIBE, Result.NOOP, NOW - MICROSECOND)}
    )
    result = judged(situated(desiring(some("OLD"), OPEN), some("old"), memory))
    assert (result.changes, set(reasons(result).values())) == (0, {Reason.LOOK_ALIKE})


def test_two_spellings_that_lg_lists_are_two_devices() -> None:
    """Where the list has both, the one that is not wanted goes."""
    result = judged(situated(desiring(some("OLD"), OPEN), some("old", "OLD")))
    assert result.unsubscribes == unsubscribes(some("old"))


def test_no_approval_takes_a_device_past_another_spelling_of_it() -> None:
    """An approval names the id that would go, and may have the same slip in it: the spelling is to be corrected."""
    result = judged(situated(desiring(some("OLD"), OPEN, approved=some("old")), some("old")))
    assert set(reasons(result).values()) == {Reason.LOOK_ALIKE}


# Order


def test_the_first_reason_of_the_table_wins() -> None:
    """A change that many rows hold has the reason of the first; taking rows off one by one shows the next."""
    situation = situated(
        desiring(
            (),
            Policy(
                max_unsubscribe=0, max_unsubscribe_floor=0, pause=Pause.ALL, unsubscribe_after=HOUR
            ),
        ),
        fleet(4),
        Memory(
            expected=fleet(10),
            writable=False,
            retries={
                device: waiting(Action.UNSUBSCRIBE, Reason.RETRY, LATER) for device in fleet(4)
            },
        ),
        rejected=Cause.INVALID,
        platform=Platform("s", LATER, LATER, LATER),
        unsettled=Unsettled(None, "half a checkout"),
    )
    frozen = replace(situation.desired, windows=(denying("all", None),))
    situation = replace(situation, desired=frozen)
    table, seen = list(GUARDS), []
    while (result := judge(planned(situation), situation, table)).held:
        found = set(reasons(result).values())
        assert len(found) == 1
        assert result.tripped[0].reason in found
        seen.append(found.pop())
        table = [guard for guard in table if guard.reason is not seen[-1]]
    assert seen == [
        Reason.EMPTY_DESIRED,
        Reason.TOO_MANY,
        Reason.SUSPECT_LIST,
        Reason.FILES_UNSETTLED,
        Reason.DESIRED_REJECTED,
        Reason.STATE_UNWRITABLE,
        Reason.PAUSED,
        Reason.WINDOW,
        Reason.UNSUBSCRIBE_AFTER,
        Reason.RETRY,
        Reason.QUOTA,
        Reason.ACCOUNT_STOPPED,
    ]
    assert result.unsubscribes == unsubscribes(fleet(4))


@pytest.mark.parametrize(
    ("more", "of_subscribe", "of_unsubscribe"),
    [
        ({"rejected": Cause.MISSING, "observing": True}, Reason.PAUSED, Reason.DESIRED_REJECTED),
        (
            {"platform": Platform("s", None, LATER, LATER), "observing": True},
            Reason.PAUSED,
            Reason.PAUSED,
        ),
        ({"platform": Platform("s", None, LATER, LATER)}, Reason.QUOTA, Reason.QUOTA),
        (
            {"platform": Platform("s", full_until=LATER)},
            Reason.SUBSCRIPTIONS_FULL,
            Reason.ACCOUNT_STOPPED,
        ),
        ({"platform": Platform("s")}, Reason.ACCOUNT_STOPPED, Reason.ACCOUNT_STOPPED),
    ],
)
def test_each_change_has_the_first_reason_of_its_own(
    more: dict[str, Any], of_subscribe: Reason, of_unsubscribe: Reason
) -> None:
    """Of several reasons each change has the first that holds it, whatever holds others."""
    found = reasons(judged(mixed(**more)))
    assert found == {subscribes([NEW])[0]: of_subscribe, unsubscribes([OLD])[0]: of_unsubscribe}


def test_held_changes_are_sorted() -> None:
    """Held changes of several reasons stand in the order of their changes."""
    memory = Memory(
        retries={
            device: waiting(Action.SUBSCRIBE, Reason.RETRY, LATER) for device in some("b", "z")
        }
    )
    situation = situated(
        desiring(some("a", "b", "z"), OPEN), some("y", "x"), memory, rejected=Cause.INVALID
    )
    result = judged(situation)
    assert [one.change for one in result.held] == sorted(one.change for one in result.held)
    assert len(result.held) == 4
    assert result.subscribes == subscribes(some("a"))


# Rejected texts, unwritable state


@pytest.mark.parametrize("cause", Cause)
def test_a_rejected_text_names_its_cause(cause: Cause) -> None:
    """While the newest revision is rejected unsubscribes are held, approved ones too, and the message has the cause."""
    text = desiring(some("new"), OPEN, approved=some("old"))
    result = judged(situated(text, some("old"), rejected=cause))
    assert result.subscribes == subscribes(some("new"))
    assert reasons(result) == dict.fromkeys(unsubscribes(some("old")), Reason.DESIRED_REJECTED)
    assert f"({cause})" in message(result, Reason.DESIRED_REJECTED)


def test_an_unwritable_state_holds_approved_devices_too() -> None:
    """What could not be remembered is not done, approved or not."""
    text = desiring(some("new"), OPEN, approved=some("old"))
    result = judged(situated(text, some("old"), Memory(writable=False)))
    assert split(result, Action.UNSUBSCRIBE) == Split(frozenset(), some("old"))
    assert result.subscribes == subscribes(some("new"))


# Paused


@pytest.mark.parametrize("by_text", Pause)
@pytest.mark.parametrize("by_command", Pause)
def test_of_two_pauses_the_stricter_holds(by_text: Pause, by_command: Pause) -> None:
    """File and command may both pause: the stricter counts, and a time is known only for what the file would let go."""
    situation = mixed(
        replace(OPEN, pause=by_text), pause_override=PauseOverride(by_command, LATER, "night shift")
    )
    result = judged(situation)
    stopped = {Pause.NONE: set(), Pause.UNSUBSCRIBE: {Action.UNSUBSCRIBE}, Pause.ALL: set(Action)}
    assert {one.change.action for one in result.held} == stopped[by_text] | stopped[by_command]
    assert {one.reason for one in result.held} <= {Reason.PAUSED}
    for one in result.held:
        assert one.until == (None if one.change.action in stopped[by_text] else LATER)
    if result.held:
        by_text_alone = stopped[by_text] >= stopped[by_command]
        said = (
            f"the file sets pause = '{by_text.value}'"
            if by_text_alone
            else "paused by command: night shift"
        )
        assert message(result, Reason.PAUSED) == said


@pytest.mark.parametrize(
    ("clocks", "ends"),
    [
        ((None, None), NOW - SECOND),
        ((NOW - HOUR, NOW - 9 * HOUR), NOW - SECOND + HOUR),
        ((None, NOW - 9 * HOUR), NOW - SECOND + 9 * HOUR),
    ],
    ids=["one clock", "LG's is behind", "ours was set"],
)
def test_a_pause_that_is_over_by_our_clock_alone_ends_by_the_slower(
    clocks: tuple[datetime | None, datetime | None], ends: datetime
) -> None:
    """A time that has passed is no time to come back at: the account would be listed without a rest until then."""
    override = PauseOverride(Pause.ALL, NOW - SECOND, "night shift")
    theirs, sure = clocks
    result = judged(replace(mixed(pause_override=override), theirs=theirs, sure=sure))
    assert {one.until for one in result.held} == {ends}


def test_observe_mode_has_no_end() -> None:
    """In observe mode everything is held and no time is known, whatever a command says beside it."""
    result = judged(
        mixed(observing=True, pause_override=PauseOverride(Pause.UNSUBSCRIBE, LATER, "r"))
    )
    assert {one.until for one in result.held} == {None}
    assert message(result, Reason.PAUSED) == "observe mode: nothing is changed"


def test_a_pause_of_unsubscribes_alone_lets_nothing_trip_without_them() -> None:
    """A pause that holds nothing is not told as a reason."""
    situation = situated(desiring(some("a"), replace(OPEN, pause=Pause.UNSUBSCRIBE)), ())
    assert judged(situation).tripped == ()


# Unsubscribe after


@pytest.mark.parametrize(
    ("since", "held"),
    [
        (NOW - HOUR + MICROSECOND, True),
        (NOW - HOUR, False),
        (NOW - HOUR - MICROSECOND, False),
        (NOW, True),
        (None, True),
    ],
)
def test_absence_has_to_last(since: datetime | None, *, held: bool) -> None:
    """A device goes once it was absent for the whole span; one whose absence is not known counts from now."""
    memory = Memory(absent_since=absent([OLD], since) if since else {})
    result = judged(mixed(replace(OPEN, unsubscribe_after=HOUR), memory))
    assert len(result.unsubscribes) == (0 if held else 1)
    if held:
        assert result.held == (
            Held(unsubscribes([OLD])[0], Reason.UNSUBSCRIBE_AFTER, (since or NOW) + HOUR),
        )
        assert message(result, Reason.UNSUBSCRIBE_AFTER) == "1 device absent for less than 1h"


@pytest.mark.parametrize("behind", [timedelta(0), 2 * HOUR, 50 * HOUR])
def test_an_absence_ends_in_our_time_when_the_slower_clock_says_so(behind: timedelta) -> None:
    """A clock that is ahead of LG's may show the end long ago; the next pass is due when it is over by both."""
    memory = Memory(absent_since=absent([OLD], NOW - HOUR + SECOND))
    situation = replace(mixed(replace(OPEN, unsubscribe_after=HOUR), memory), sure=NOW - behind)
    (held,) = judged(situation).held
    assert held.until == NOW + SECOND + behind
    later = replace(situation, now=NOW + SECOND + behind, sure=NOW + SECOND)
    assert judged(later).held == ()


def test_each_absence_is_judged_alone() -> None:
    """A device that was absent long enough goes while others still wait."""
    memory = Memory(absent_since={OLD: NOW - HOUR, DeviceId("b"): NOW, DeviceId("c"): NOW})
    text = desiring(some("same"), replace(OPEN, unsubscribe_after=HOUR))
    result = judged(situated(text, some("same", "old", "b", "c"), memory))
    assert result.unsubscribes == unsubscribes([OLD])
    assert message(result, Reason.UNSUBSCRIBE_AFTER).startswith("2 devices")


@pytest.mark.parametrize(
    ("age", "held"), [(HOUR - MICROSECOND, True), (HOUR, False), (2 * HOUR, False)]
)
def test_a_device_whose_dates_ended_is_absent_since_then(age: timedelta, *, held: bool) -> None:
    """A device that the text still lists with an ``until`` in the past waits from that moment on, not for ever."""
    text = desiring([Device(OLD, until=NOW - age)], replace(OPEN, unsubscribe_after=HOUR))
    result = judged(situated(text, [OLD]))
    assert len(result.unsubscribes) == (0 if held else 1)
    assert [one.until for one in result.held] == ([NOW - age + HOUR] if held else [])


@pytest.mark.parametrize("until", [None, NOW + 9 * HOUR])
def test_a_device_whose_dates_have_not_begun_stays_for_now(until: datetime | None) -> None:
    """A live device that the text lists for later is not absent from the text; it waits, however far its ``until``."""
    device = Device(OLD, from_=NOW + HOUR, until=until)
    result = judged(situated(desiring([device], replace(OPEN, unsubscribe_after=HOUR)), [OLD]))
    assert result.held == (Held(unsubscribes([OLD])[0], Reason.UNSUBSCRIBE_AFTER, NOW + HOUR),)


def test_what_memory_says_of_an_absence_goes_first() -> None:
    """Where memory knows since when a device is absent, dates do not matter."""
    text = desiring([Device(OLD, until=NOW - 9 * HOUR)], replace(OPEN, unsubscribe_after=HOUR))
    result = judged(situated(text, [OLD], Memory(absent_since={OLD: NOW})))
    assert [one.until for one in result.held] == [NOW + HOUR]


# Retry and refused


@pytest.mark.parametrize("reason", [Reason.RETRY, Reason.REFUSED])
@pytest.mark.parametrize(
    ("until", "held"), [(NOW + MICROSECOND, True), (NOW, False), (NOW - SECOND, False)]
)
def test_a_device_waits_until_its_time(reason: Reason, until: datetime, *, held: bool) -> None:
    """A device waits until its next time, exactly."""
    memory = Memory(retries={NEW: waiting(Action.SUBSCRIBE, reason, until)})
    assert reasons(judged(mixed(memory=memory))) == (
        dict.fromkeys(subscribes([NEW]), reason) if held else {}
    )


@pytest.mark.parametrize("reason", [Reason.RETRY, Reason.REFUSED])
def test_a_wait_is_for_its_own_action(reason: Reason) -> None:
    """A failed unsubscribe does not delay a subscribe of the same device, nor the other way round."""
    memory = Memory(
        retries={
            NEW: waiting(Action.UNSUBSCRIBE, reason, LATER),
            OLD: waiting(Action.SUBSCRIBE, reason, LATER),
        }
    )
    assert judged(mixed(memory=memory)).changes == 2


def test_waits_name_their_number() -> None:
    """The sentences for waits say how many devices wait and why."""
    retries = {
        NEW: waiting(Action.SUBSCRIBE, Reason.RETRY, LATER),
        OLD: waiting(Action.UNSUBSCRIBE, Reason.REFUSED, LATER),
    }
    result = judged(mixed(memory=Memory(retries=retries)))
    assert [one.message for one in result.tripped] == [
        "1 device waiting after a failed call",
        "1 device refused by LG",
    ]
    assert [one.reason for one in result.held] == [Reason.RETRY, Reason.REFUSED]


def flapping(*devices: DeviceId, last: Confirmed | None = None, **more: Any) -> Memory:
    """Return a memory of devices that LG loses again and again, each taken half an hour ago unless told otherwise."""
    one = last or Confirmed(Action.SUBSCRIBE, Result.SUCCESS, NOW - HOUR / 2)
    return Memory(
        confirmed=dict.fromkeys(devices, one),
        resubscribed=dict.fromkeys(devices, (NOW - HOUR,) * 5),
        **more,
    )


@pytest.mark.parametrize(
    ("age", "held"),
    [
        (HOUR - MICROSECOND, True),
        (HOUR, False),
        (HOUR + MICROSECOND, False),
        (2 * SECOND * 60, True),
    ],
)
@pytest.mark.parametrize("result", [Result.SUCCESS, Result.NOOP])
def test_a_flapping_device_is_subscribed_once_an_hour(
    age: timedelta, result: Result, *, held: bool
) -> None:
    """From the last subscribe that LG confirmed it waits an hour, exactly, and nothing else waits with it."""
    judgement = judged(
        mixed(memory=flapping(NEW, last=Confirmed(Action.SUBSCRIBE, result, NOW - age)))
    )
    assert reasons(judgement) == (dict.fromkeys(subscribes([NEW]), Reason.RETRY) if held else {})
    assert [one.until for one in judgement.held] == ([NOW - age + HOUR] if held else [])
    assert judgement.unsubscribes == unsubscribes([OLD])


def test_only_a_subscribe_makes_a_flapping_device_wait() -> None:
    """Where its last change was our unsubscribe, or none is known, nothing was lost since, and it is subscribed."""
    gone = Confirmed(Action.UNSUBSCRIBE, Result.SUCCESS, NOW - HOUR / 2)
    assert judged(mixed(memory=flapping(NEW, last=gone))).changes == 2
    assert judged(mixed(memory=replace(flapping(NEW), confirmed={}))).changes == 2


def test_flapping_devices_are_told_by_their_number() -> None:
    """The sentence counts them, beside the devices that wait after a failed call; each is held once."""
    devices = some("new", "new-2")
    situation = situated(desiring(devices), frozenset(), flapping(*devices))
    lost = (
        "that LG loses again and again, subscribed at most once an hour; is another writer at work?"
    )
    assert message(judged(situation), Reason.RETRY) == f"2 devices {lost}"
    retries = {NEW: waiting(Action.SUBSCRIBE, Reason.RETRY, LATER + HOUR)}
    result = judged(replace(situation, memory=replace(situation.memory, retries=retries)))
    assert (
        message(result, Reason.RETRY) == f"1 device waiting after a failed call; 2 devices {lost}"
    )
    assert [(one.change.device, one.until) for one in result.held] == [
        (NEW, LATER + HOUR),
        (DeviceId("new-2"), NOW + HOUR / 2),
    ]


def test_a_flapping_device_that_is_there_holds_nothing() -> None:
    """As long as LG lists it, it is a signal and nothing more."""
    result = judged(situated(desiring([NEW]), [NEW], flapping(NEW)))
    assert result.flapping == {NEW}
    assert (result.tripped, result.held) == ((), ())


def test_the_hour_of_flapping_devices_is_one() -> None:
    """A device that LG loses again and again is subscribed at most once an hour."""
    assert guards.FLAPPING_WAIT == HOUR


# Platform


@pytest.mark.parametrize(
    ("until", "held"), [(NOW + MICROSECOND, True), (NOW, False), (NOW - SECOND, False)]
)
def test_quota_and_cap_end_at_their_time(until: datetime, *, held: bool) -> None:
    """A throttled account and a reached cap hold until their time, exactly."""
    assert judged(mixed(platform=Platform(throttled_until=until))).changes == (0 if held else 2)
    full = judged(mixed(platform=Platform(full_until=until)))
    assert (len(full.subscribes), len(full.unsubscribes)) == (0 if held else 1, 1)


def test_platform_sentences_have_the_time() -> None:
    """What LG holds is told with the time at which it may end, and a stop with its cause."""
    both = Platform(throttled_until=LATER, full_until=LATER)
    result = judged(mixed(platform=both))
    assert "until 2026-11-22T13:00:00Z" in message(result, Reason.QUOTA)
    assert "again at 2026-11-22T13:00:00Z" in message(result, Reason.SUBSCRIPTIONS_FULL)
    stopped = judged(mixed(platform=Platform(stopped="the token is refused")))
    assert message(stopped, Reason.ACCOUNT_STOPPED) == "the token is refused"


def test_the_cap_is_no_matter_without_subscribes() -> None:
    """LG's cap on subscribed devices is told only where something is to be subscribed."""
    result = judged(situated(desiring((), OPEN), some("old"), platform=Platform(full_until=LATER)))
    assert (result.tripped, len(result.unsubscribes)) == ((), 1)


# The shapes of accidents


def test_shape_1_empty_means_refuse() -> None:
    """Nothing desired never means that everything may go, and no account is spared for being small."""
    for live in (1, 5, 300):
        result = judged(situated(desiring(()), fleet(live)))
        assert result.unsubscribes == ()
        assert set(reasons(result).values()) == {Reason.EMPTY_DESIRED}
    generous = Policy(max_unsubscribe=Share(Fraction(1)), max_unsubscribe_floor=1000)
    assert judged(situated(desiring((), generous), fleet(300))).unsubscribes == ()


def test_shape_2_a_short_list_is_compared_with_the_last_good_one() -> None:
    """A live list that lost most of its devices causes no storm of subscribes, and a cut file no unsubscribe."""
    lost = judged(situated(desiring(fleet(200)), (), Memory(expected=fleet(200))))
    assert (lost.changes, len(lost.held)) == (0, 200)
    cut = judged(losing(40, 100))
    assert (cut.changes, len(cut.held)) == (0, 40)


def test_shape_2_the_share_cannot_be_disarmed_by_a_short_list() -> None:
    """With 300 devices known and 3 of them listed, the 2 unwanted ones of those stay, floor or not."""
    memory = Memory(expected=fleet(300), inventory=fleet(300))
    result = judged(situated(desiring(fleet(298, first=2)), fleet(3), memory))
    assert result.changes == 0
    assert split(result, Action.UNSUBSCRIBE).held == fleet(2)
    assert set(reasons(result).values()) == {Reason.SUSPECT_LIST}


def test_shape_2_a_list_short_by_less_makes_the_share_smaller_not_larger() -> None:
    """A list that lost fewer than half of its devices is acted on, and the limit shrinks with it."""
    memory = Memory(expected=fleet(300))
    assert allowance(situated(desiring(fleet(1)), fleet(160), memory)) == 16
    assert judged(situated(desiring(fleet(300, first=17)), fleet(160), memory)).unsubscribes == ()


def test_shape_4_a_text_of_another_environment_removes_nothing() -> None:
    """While the newest text names another environment, the accepted one heals but removes nothing."""
    result = judged(mixed(rejected=Cause.ENVIRONMENT))
    assert (result.subscribes, result.unsubscribes) == (subscribes([NEW]), ())


def test_shape_5_a_device_is_one_thing_however_often_it_is_said() -> None:
    """Devices are sets, so a duplicate in list or text is neither two calls nor two in the count."""
    twice = Observed(frozenset([OLD, DeviceId("old")]), NOW)
    result = plan(desiring([NEW, DeviceId("new")], OPEN), twice, Memory(), NOW)
    assert (len(result.subscribes), len(result.unsubscribes)) == (1, 1)


def test_shape_6_a_plan_can_be_told_from_an_older_one() -> None:
    """A plan of another list or text has another digest, so a stale one is recognised before it is applied."""
    first = planned(losing(3, 50))
    assert planned(losing(4, 50)).digest != first.digest
    assert planned(losing(3, 50)).digest == first.digest


def test_shape_7_a_blank_never_selects_more() -> None:
    """An empty id is no change, an approval without devices approves none, an empty memory owns nothing."""
    with pytest.raises(ValueError, match="device id"):
        Change(ACCOUNT, Action.UNSUBSCRIBE, DeviceId(""))
    blank = situated(desiring(fleet(1), approved=()), fleet(50))
    assert planned(blank).approved == frozenset()
    assert judged(blank).unsubscribes == ()
    assert planned(situated(desiring((), Policy(prune=Prune.OWNED)), fleet(50))).unsubscribes == ()


def test_shape_8_a_slow_leak_is_stopped_like_a_sudden_one() -> None:
    """Nine in a hundred lost hour after hour are stopped at ten in a hundred within a day."""
    live, gone = fleet(1000), frozenset[DeviceId]()
    for _hour in range(23):
        unwanted = frozenset(sorted(live)[: len(live) * 9 // 100])
        situation = situated(
            desiring(live - unwanted), live, Memory(unsubscribed=gone, expected=live)
        )
        going = split(judged(situation), Action.UNSUBSCRIBE).made
        live, gone = live - going, gone | going
    assert len(gone) == 90


def test_shape_9_a_guard_that_errors_refuses() -> None:
    """A guard that cannot judge is binding like one that says no, also for what a person approved."""
    situation = situated(desiring(some("new"), OPEN, approved=some("old")), some("old"))
    result = judge(planned(situation), situation, with_broken(Reason.TOO_MANY))
    assert (result.changes, len(result.held)) == (0, 2)


def test_shape_10_what_went_can_be_brought_back() -> None:
    """All that an unsubscribe takes away is the id that its change holds: subscribing that restores it."""
    before = fleet(20)
    gone = planned(losing(3, 20)).unsubscribes
    after = before - {change.device for change in gone}
    back = plan(desiring(before), Observed(after, NOW), Memory(), NOW)
    assert [change.device for change in back.subscribes] == [change.device for change in gone]


def test_a_cut_file_and_the_block_that_mends_it() -> None:
    """Of a file cut to 60 % nothing goes; with exactly those approved exactly those go; one more is for the limit."""
    cut = losing(40, 100)
    held = split(judged(cut), Action.UNSUBSCRIBE).held
    assert held == fleet(40)
    assert judged(losing(40, 100, approved=held)).unsubscribes == unsubscribes(held)
    one_more = judged(
        losing(41, 100, approved=held, policy=Policy(max_unsubscribe=0, max_unsubscribe_floor=0))
    )
    assert split(one_more, Action.UNSUBSCRIBE) == Split(held, fleet(1, first=40))
    assert len(judged(losing(41, 100, approved=held)).unsubscribes) == 41
    expired = judged(losing(40, 100, approved=held, expires=NOW))
    assert expired.unsubscribes == ()
    assert judged(losing(40, 100, approved=held, expires=FOREVER)).held == ()
