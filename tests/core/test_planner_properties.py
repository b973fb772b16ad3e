"""What is true of every plan, whatever is desired, live and remembered."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from core_strategies import NOW, core_desireds, memories, observations
from reconciler.core.model import Action, Desired, DeviceId, Memory, Observed, Plan, Policy, Prune
from reconciler.core.planner import digest, overlaid, plan


def devices(result: Plan, action: Action) -> frozenset[DeviceId]:
    """Return the devices of a plan's changes of one action."""
    changes = result.subscribes if action is Action.SUBSCRIBE else result.unsubscribes
    return frozenset(change.device for change in changes)


@given(core_desireds(), observations, memories)
def test_no_unsubscribe_of_a_wanted_or_ignored_device(
    desired: Desired, observed: Observed, memory: Memory
) -> None:
    """A device that is wanted now, or ignored, is never unsubscribed; one that is ignored is never subscribed."""
    result = plan(desired, observed, memory, NOW)
    assert devices(result, Action.UNSUBSCRIBE).isdisjoint(
        desired.wanted_at(NOW) | desired.policy.ignore
    )
    assert devices(result, Action.SUBSCRIBE) <= desired.wanted_at(NOW) - desired.policy.ignore


@given(core_desireds(), observations, memories)
def test_every_device_is_one_thing(desired: Desired, observed: Observed, memory: Memory) -> None:
    """In sync, missing, extra, unmanaged and ignored are a partition of all that is wanted or live."""
    result = plan(desired, observed, memory, NOW)
    live, wanted = overlaid(observed, memory), desired.wanted_at(NOW)
    parts = [
        (wanted & live) - desired.policy.ignore,
        devices(result, Action.SUBSCRIBE),
        devices(result, Action.UNSUBSCRIBE),
        result.unmanaged,
        result.ignored,
    ]
    assert result.in_sync == len(parts[0])
    assert frozenset().union(*parts) == live | wanted
    assert sum(map(len, parts)) == len(live | wanted)


@given(core_desireds(), observations, memories)
def test_each_change_stands_once_and_sorted(
    desired: Desired, observed: Observed, memory: Memory
) -> None:
    """Changes are sorted, of the plan's own account, none twice, and no device has two."""
    result = plan(desired, observed, memory, NOW)
    for changes, action in (
        (result.subscribes, Action.SUBSCRIBE),
        (result.unsubscribes, Action.UNSUBSCRIBE),
    ):
        assert list(changes) == sorted(set(changes))
        assert all(
            (change.account, change.action) == (desired.account, action) for change in changes
        )
    assert devices(result, Action.SUBSCRIBE).isdisjoint(devices(result, Action.UNSUBSCRIBE))


@given(core_desireds(), observations, memories)
def test_input_order_does_not_matter(desired: Desired, observed: Observed, memory: Memory) -> None:
    """The same sets in another order make the same plan."""
    shuffled = replace(
        desired,
        devices=frozenset(reversed(list(desired.devices))),
        described=MappingProxyType(dict(reversed(list(desired.described.items())))),
        approvals=tuple(reversed(desired.approvals)),
    )
    again = replace(
        memory, confirmed=MappingProxyType(dict(reversed(list(memory.confirmed.items()))))
    )
    assert plan(shuffled, observed, again, NOW) == plan(desired, observed, memory, NOW)


@given(core_desireds(), memories)
def test_what_is_as_wanted_needs_nothing(desired: Desired, memory: Memory) -> None:
    """The plan of a live list that equals the wanted one is empty, and so is the plan after a plan was made."""
    calm = replace(memory, confirmed=MappingProxyType({}))
    assert plan(desired, Observed(desired.wanted_at(NOW), NOW), calm, NOW).changes == 0


@given(core_desireds(), observations, memories)
def test_a_plan_that_was_made_leaves_nothing(
    desired: Desired, observed: Observed, memory: Memory
) -> None:
    """When all changes of a plan were made, the next plan has none, and the same is left alone."""
    calm = replace(memory, confirmed=MappingProxyType({}))
    first = plan(desired, observed, calm, NOW)
    live = (observed.devices | devices(first, Action.SUBSCRIBE)) - devices(
        first, Action.UNSUBSCRIBE
    )
    second = plan(desired, Observed(live, NOW), calm, NOW)
    assert second.changes == 0
    assert (second.unmanaged, second.ignored) == (first.unmanaged, first.ignored)


@given(core_desireds(), observations, memories)
def test_prune_only_narrows(desired: Desired, observed: Observed, memory: Memory) -> None:
    """From all to owned to none, ``prune`` lets fewer devices go, and never changes what is subscribed."""

    def under(prune: Prune) -> Plan:
        return plan(
            replace(desired, policy=replace(desired.policy, prune=prune)), observed, memory, NOW
        )

    widest, owned, none = under(Prune.ALL), under(Prune.OWNED), under(Prune.NONE)
    assert devices(none, Action.UNSUBSCRIBE) == frozenset()
    assert (
        devices(owned, Action.UNSUBSCRIBE) == devices(widest, Action.UNSUBSCRIBE) & memory.inventory
    )
    assert widest.subscribes == owned.subscribes == none.subscribes
    assert widest.unmanaged == frozenset()


@given(core_desireds(), observations, memories)
def test_the_digest_is_that_of_the_unsubscribes(
    desired: Desired, observed: Observed, memory: Memory
) -> None:
    """A plan's digest is the digest of the devices that it would unsubscribe."""
    result = plan(desired, observed, memory, NOW)
    assert result.digest == digest(desired.account, devices(result, Action.UNSUBSCRIBE))


@given(core_desireds(st.just(Policy())), observations, memories)
def test_approvals_do_not_change_the_diff(
    desired: Desired, observed: Observed, memory: Memory
) -> None:
    """An approval changes neither what would be made nor what is left alone."""
    result = plan(desired, observed, memory, NOW)
    without = plan(replace(desired, approvals=()), observed, memory, NOW)
    assert replace(result, approved=frozenset()) == without
    assert result.approved <= devices(result, Action.UNSUBSCRIBE)
