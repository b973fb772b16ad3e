"""What is true of every judged plan, whatever the situation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from core_strategies import FOREVER, NOW, id_sets, limits, planned, pool_ids, situations, split
from reconciler.core.guards import (
    GUARDS,
    SUSPECT_FROM,
    Guard,
    PauseOverride,
    Situation,
    allowance,
    budget,
    held_actions,
    is_suspect,
    judge,
)
from reconciler.core.model import (
    Action,
    Approval,
    DeviceId,
    Limit,
    Observed,
    Plan,
    Policy,
    Reason,
    Share,
)

FOR_SUBSCRIBES = {reason for reason in Reason if Action.SUBSCRIBE in held_actions(reason)}


def judged(situation: Situation) -> Plan:
    """Return what the situation's account does and holds."""
    return judge(planned(situation), situation)


def with_policy(situation: Situation, change: Callable[[Policy], Policy]) -> Situation:
    """Return the same situation under another policy."""
    return replace(
        situation, desired=replace(situation.desired, policy=change(situation.desired.policy))
    )


def going(situation: Situation) -> frozenset[DeviceId]:
    """Return the devices that would be unsubscribed now."""
    return split(judged(situation), Action.UNSUBSCRIBE).made


@given(situations)
def test_made_and_held_are_the_plan_each_once(situation: Situation) -> None:
    """Every change of the plan is made or held, each exactly once, and nothing else is."""
    before, after = planned(situation), judged(situation)
    told = [*after.subscribes, *after.unsubscribes, *(one.change for one in after.held)]
    assert sorted(told) == sorted((*before.subscribes, *before.unsubscribes))
    assert len(set(told)) == len(told)
    for action in Action:
        one = split(after, action)
        assert one.made.isdisjoint(one.held)


@given(situations)
def test_guards_leave_the_rest_of_the_plan_alone(situation: Situation) -> None:
    """Guards move changes; what is untouched, the digest and the order stay as planned."""
    before, after = planned(situation), judged(situation)
    left = replace(
        after, subscribes=before.subscribes, unsubscribes=before.unsubscribes, held=(), tripped=()
    )
    assert left == before
    assert list(after.subscribes) == sorted(after.subscribes)
    assert list(after.unsubscribes) == sorted(after.unsubscribes)
    assert [one.change for one in after.held] == sorted(one.change for one in after.held)


@given(situations)
def test_no_unsubscribe_of_a_wanted_or_ignored_device(situation: Situation) -> None:
    """A device that is wanted now, or ignored, is not unsubscribed whatever the situation."""
    desired = situation.desired
    assert going(situation).isdisjoint(desired.wanted_at(NOW) | desired.policy.ignore)


@given(situations)
def test_judging_twice_is_judging_once(situation: Situation) -> None:
    """What the guards let through they let through again, as far as they see less than before."""
    first = judged(situation)
    again = judge(replace(first, held=(), tripped=()), situation)
    assert (again.subscribes, again.unsubscribes) == (first.subscribes, first.unsubscribes)


@given(situations)
def test_unsubscribes_never_hold_a_subscribe(situation: Situation) -> None:
    """What becomes of subscribes is the same whether unsubscribes are planned beside them or not."""
    plan = planned(situation)
    beside, alone = judge(plan, situation), judge(replace(plan, unsubscribes=()), situation)
    assert beside.subscribes == alone.subscribes
    assert {one for one in beside.held if one.change.action is Action.SUBSCRIBE} == set(alone.held)
    assert {one.reason for one in alone.held} <= FOR_SUBSCRIBES


@given(situations)
def test_a_reason_holds_only_its_own_actions(situation: Situation) -> None:
    """No reason holds an action that its row does not name."""
    for one in judged(situation).held:
        assert one.change.action in held_actions(one.reason)


@given(situations)
def test_a_held_change_has_the_first_reason_that_applies(situation: Situation) -> None:
    """Each held change has the reason of the first row that would hold it if it were the only row."""
    plan, result = planned(situation), judged(situation)
    alone = {
        guard.reason: {one.change for one in judge(plan, situation, [guard]).held}
        for guard in GUARDS
    }
    for one in result.held:
        assert one.reason is next(reason for reason in Reason if one.change in alone[reason])
    assert {one.change for one in result.held} == set().union(*alone.values())


@given(situations)
def test_the_order_of_evaluation_does_not_matter(situation: Situation) -> None:
    """The reasons have an order, the guards have none: each sees the whole plan."""
    table: list[Guard] = list(reversed(GUARDS))
    assert judge(planned(situation), situation, table) == judged(situation)


@given(situations)
def test_all_that_trips_is_told(situation: Situation) -> None:
    """Every reason that holds something is told once with a sentence; only a doubted list is told without a change."""
    result = judged(situation)
    told = [one.reason for one in result.tripped]
    assert len(set(told)) == len(told)
    assert {one.reason for one in result.held} <= set(told)
    assert told == sorted(told, key=list(Reason).index)
    assert all(one.message for one in result.tripped)
    if not planned(situation).changes:
        assert set(told) <= {Reason.SUSPECT_LIST}


@given(situations, id_sets)
def test_an_approval_never_releases_what_it_does_not_name(
    situation: Situation, named: frozenset[DeviceId]
) -> None:
    """What goes unnamed beside approved devices is what would go if those were never candidates at all."""
    bare = replace(situation, desired=replace(situation.desired, approvals=()))
    named -= (
        bare.desired.devices
    )  # to ignore a wanted device would also end what it holds as another spelling
    approval = Approval(named, FOREVER, "a reason")
    approved = replace(bare, desired=replace(bare.desired, approvals=(approval,)))
    without = with_policy(bare, lambda policy: replace(policy, ignore=policy.ignore | named))
    assert going(approved) - named == going(without)
    assert going(approved) & named >= going(bare) & named


@given(situations, pool_ids)
def test_an_expired_approval_is_none(situation: Situation, device: DeviceId) -> None:
    """An approval that has expired, at this very moment too, changes nothing."""
    bare = replace(situation, desired=replace(situation.desired, approvals=()))
    expired = Approval(frozenset({device}), NOW, "a reason")
    assert judged(replace(bare, desired=replace(bare.desired, approvals=(expired,)))) == judged(
        bare
    )


@given(situations, limits, st.integers(0, 8))
def test_raising_a_limit_never_holds_more(situation: Situation, at_most: Limit, floor: int) -> None:
    """With a higher limit or floor at least the same changes go."""
    lower = with_policy(
        situation,
        lambda policy: replace(policy, max_unsubscribe=at_most, max_unsubscribe_floor=floor),
    )
    more = (
        Share(min(at_most.of_one * 2, Fraction(1))) if isinstance(at_most, Share) else at_most + 1
    )
    for change in (
        lambda policy: replace(policy, max_unsubscribe=more),
        lambda policy: replace(policy, max_unsubscribe_floor=floor + 1),
    ):
        higher = with_policy(lower, change)
        assert going(higher) >= going(lower)
        assert judged(higher).subscribes == judged(lower).subscribes
        assert allowance(higher) >= allowance(lower)
        assert budget(higher) >= budget(lower)


@given(situations)
def test_unapproved_unsubscribes_stay_within_the_allowance(situation: Situation) -> None:
    """What goes without anybody's word is, with what went that day, within the limit; else nothing more goes."""
    unnamed = going(situation) - situation.desired.approved_at(NOW)
    gone = situation.memory.unsubscribed
    if unnamed:
        assert len(gone | unnamed) <= allowance(situation)
        assert situation.desired.devices or situation.desired.policy.allow_empty


@given(situations)
def test_unsubscribes_are_held_as_a_whole(situation: Situation) -> None:
    """Guards of numbers never hold a part of a suspicious set: all that counts, or nothing."""
    result = judged(situation)
    nowhere = result.approved | situation.elsewhere.keys()
    unnamed = {change for change in planned(situation).unsubscribes if change.device not in nowhere}
    for reason in (Reason.EMPTY_DESIRED, Reason.TOO_MANY):
        held = {one.change for one in judge(planned(situation), situation, [row(reason)]).held}
        assert held in (set(), unnamed)


@given(situations)
def test_no_spelling_of_a_wanted_device_goes_while_that_is_not_listed(situation: Situation) -> None:
    """What goes differs from every wanted device that LG does not list, spelling aside; no subscribe is held for it."""
    plan, result = planned(situation), judged(situation)
    unlisted = (
        situation.desired.wanted_at(NOW)
        - situation.observed.devices
        - situation.desired.policy.ignore
    )
    plain = {device.casefold().strip("'") for device in unlisted}
    assert plain.isdisjoint(device.casefold().strip("'") for device in going(situation))
    alone = judge(plan, situation, [row(Reason.LOOK_ALIKE)])
    assert alone.subscribes == plan.subscribes
    assert {one.change.device for one in alone.held} >= {
        one.change.device for one in result.held if one.reason is Reason.LOOK_ALIKE
    }


@given(situations)
def test_what_another_account_wants_goes_only_with_an_approval(situation: Situation) -> None:
    """Of what another account wants only approved devices go, and it holds nothing else: neither more nor less."""
    bare = replace(situation, elsewhere={})
    assert (going(situation) & situation.elsewhere.keys()) <= situation.desired.approved_at(NOW)
    assert judged(situation).subscribes == judged(bare).subscribes
    held = judge(planned(situation), situation, [row(Reason.WANTED_ELSEWHERE)]).held
    assert {one.change.device for one in held} <= situation.elsewhere.keys()
    assert going(situation) - situation.elsewhere.keys() >= going(bare) - situation.elsewhere.keys()


@given(situations)
def test_what_is_protected_goes_only_with_an_approval(situation: Situation) -> None:
    """A protected device that no approval names stays, every other one goes or stays as without any protection."""
    described = {
        device: replace(entry, protected=None)
        for device, entry in situation.desired.described.items()
    }
    bare = replace(
        situation,
        desired=replace(situation.desired, described=described),
        memory=replace(situation.memory, protected={}),
    )
    protected = set(situation.memory.protected)
    protected |= {one.id for one in situation.desired.described.values() if one.protected}
    assert going(situation) == going(bare) - (protected - situation.desired.approved_at(NOW))
    assert judged(situation).subscribes == judged(bare).subscribes


@given(situations)
def test_brakes_only_ever_hold_more(situation: Situation) -> None:
    """A rejected text, an unwritable state, observe mode or a stop lets nothing go that would not go without it."""
    result = judged(situation)
    calm = replace(
        situation, memory=replace(situation.memory, writable=True), rejected=None, unsettled=None
    )
    calm = replace(calm, observing=False)
    loosest = judged(replace(calm, platform=type(calm.platform)(), pause_override=PauseOverride()))
    assert set(result.subscribes) <= set(loosest.subscribes)
    assert set(result.unsubscribes) <= set(loosest.unsubscribes)


@given(situations)
def test_observe_mode_changes_nothing(situation: Situation) -> None:
    """In observe mode there is no change to make, whatever the rest."""
    assert judged(replace(situation, observing=True)).changes == 0


@given(situations)
def test_what_is_as_wanted_holds_nothing(situation: Situation) -> None:
    """Where the live list equals the wanted one nothing is changed and nothing held."""
    memory = replace(situation.memory, confirmed={})
    calm = replace(
        situation, memory=memory, observed=Observed(situation.desired.wanted_at(NOW), NOW)
    )
    result = judged(calm)
    assert (result.changes, result.held) == (0, ())


@given(situations)
def test_a_doubted_list_changes_nothing(situation: Situation) -> None:
    """While the list is not believed nothing is made of it, but for the subscribes of a small account."""
    if is_suspect(situation.observed, situation.memory):
        result, without = judged(situation), replace(situation.memory, expected=None)
        assert result.unsubscribes == ()
        assert Reason.SUSPECT_LIST in {one.reason for one in result.tripped}
        if len(situation.memory.expected or ()) < SUSPECT_FROM:
            assert result.subscribes == judged(replace(situation, memory=without)).subscribes
        else:
            assert result.changes == 0
        believed = replace(situation.memory, suspect_readings=2, credential_changed=False)
        assert not is_suspect(situation.observed, believed)


@given(situations, st.sampled_from(Reason))
def test_a_guard_that_raises_changes_nothing(situation: Situation, reason: Reason) -> None:
    """Whichever guard raises, in whatever situation, nothing is changed."""

    def broken(_plan: Plan, _situation: Situation) -> None:
        raise LookupError

    table = [replace(guard, check=broken) if guard.reason is reason else guard for guard in GUARDS]
    assert judge(planned(situation), situation, table).changes == 0


def row(reason: Reason) -> Guard:
    """Return the row of a reason."""
    return next(guard for guard in GUARDS if guard.reason is reason)


@pytest.mark.parametrize(
    "reason", [reason for reason in Reason if reason is not Reason.GUARD_FAILED]
)
def test_every_reason_is_met_by_the_strategies(reason: Reason) -> None:
    """The situations drawn here do reach each reason that a sound guard can give."""
    find(
        situations,
        lambda situation: any(one.reason is reason for one in judged(situation).held),
        settings=settings(max_examples=5000, phases=[Phase.generate], database=None),
    )
