"""Hypothesis strategies and small builders for the pure core: observed lists, memories, policies, situations.

Ids come from a small pool, so that the sets a planner compares do overlap; times lie close to ``NOW``, so that
boundaries are met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import MappingProxyType

from hypothesis import strategies as st

from reconciler.core.guards import PauseOverride, Platform, Situation
from reconciler.core.model import (
    AccountName,
    Action,
    Approval,
    Cause,
    Change,
    Confirmed,
    Desired,
    Device,
    DeviceId,
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

ACCOUNT = AccountName("seoul-hotel")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
FOREVER = NOW + timedelta(days=3650)
SPELLINGS = tuple(
    DeviceId(spelling)
    for number in range(12, 16)
    for spelling in (f"DEVICE-{number}", f"'device-{number}'")
)
"""Other spellings of devices of the pool: enough that a wanted one often meets a live one."""
POOL = (*(DeviceId(f"device-{number:02}") for number in range(16)), *SPELLINGS)


def fleet(count: int, first: int = 0) -> frozenset[DeviceId]:
    """Return this number of devices, numbered from ``first``."""
    return frozenset(DeviceId(f"{number:04}") for number in range(first, first + count))


def some(*names: str) -> frozenset[DeviceId]:
    """Return the devices with these ids."""
    return frozenset(map(DeviceId, names))


def desiring(
    devices: Iterable[DeviceId | Device],
    policy: Policy | None = None,
    *,
    approved: Iterable[DeviceId] = (),
    expires: datetime = FOREVER,
) -> Desired:
    """Return an account's part of a text with these entries, and an approval if it names anything."""
    entries = [one if isinstance(one, Device) else Device(one) for one in devices]
    approval = Approval(frozenset(approved), expires, "wing B is being rebuilt")
    return Desired(
        ACCOUNT,
        frozenset(entry.id for entry in entries),
        MappingProxyType({entry.id: entry for entry in entries if entry != Device(entry.id)}),
        policy or Policy(),
        (approval,) if approval.devices else (),
    )


def absent(devices: Iterable[DeviceId], since: datetime) -> Mapping[DeviceId, datetime]:
    """Return absences of devices that all left the texts at one moment."""
    return MappingProxyType(dict.fromkeys(devices, since))


def planned(situation: Situation) -> Plan:
    """Return what the situation's account would do if nothing held it."""
    return plan(situation.desired, situation.observed, situation.memory, situation.now)


def situated(
    desired: Desired,
    live: Iterable[DeviceId],
    memory: Memory | None = None,
    *,
    observing: bool = False,
    rejected: Cause | None = None,
    pause_override: PauseOverride | None = None,
    platform: Platform | None = None,
    unsettled: Unsettled | None = None,
) -> Situation:
    """Return a situation at ``NOW``."""
    return Situation(
        desired,
        Observed(frozenset(live), NOW),
        memory or Memory(),
        NOW,
        observing,
        rejected,
        pause_override or PauseOverride(),
        platform or Platform(),
        unsettled=unsettled,
    )


def _picked(bits: int) -> frozenset[DeviceId]:
    return frozenset(device for place, device in enumerate(POOL) if bits >> place & 1)


# One number says which devices of the pool are in a set: far quicker to draw than a set, and as easy to shrink.
_bits = st.integers(0, 2 ** len(POOL) - 1)
pool_ids = st.sampled_from(POOL)
id_sets = _bits.map(_picked)
few_ids = st.tuples(_bits, _bits).map(lambda both: _picked(both[0] & both[1]))
MOMENTS = tuple(
    NOW + sign * timedelta(seconds=seconds, microseconds=microseconds)
    for seconds in (0, 1, 59, 60, 3600, 86_400, 604_800)
    for microseconds in (0, 1)
    for sign in (-1, 1)
)
nearby = st.sampled_from(MOMENTS)
perhaps = st.sampled_from([*[None] * len(MOMENTS), *MOMENTS])
shares = st.integers(0, 1000).map(lambda thousandths: Share(Fraction(thousandths, 1000)))
limits = shares | st.integers(0, 30)


DATED = tuple(
    Device(device, from_=from_, until=until, protected=(None, None, True, False)[place % 4])
    for place, device in enumerate(POOL[:8])
    for from_ in (None, *MOMENTS)
    for until in (None, *MOMENTS)
    if from_ is None or until is None or from_ < until
)
core_devices = st.sampled_from(DATED)
core_policies = st.builds(
    Policy,
    prune=st.sampled_from(Prune),
    ignore=few_ids,
    max_unsubscribe=limits,
    max_unsubscribe_floor=st.integers(0, 8),
    unsubscribe_after=st.sampled_from([timedelta(0), SECOND, HOUR, timedelta(days=7)]),
    allow_empty=st.booleans(),
    pause=st.sampled_from([Pause.NONE, Pause.NONE, Pause.NONE, Pause.UNSUBSCRIBE, Pause.ALL]),
)


WINDOWS = tuple(
    Window("some-hours", kind, holds, Span(None, ends), "UTC")
    for kind in WindowKind
    for holds in Holds
    for ends in (None, NOW, NOW + HOUR)
)
core_windows = st.sampled_from([*[()] * len(WINDOWS), *[(one,) for one in WINDOWS]])


@st.composite
def core_desireds(draw: st.DrawFn, policies: st.SearchStrategy[Policy] = core_policies) -> Desired:
    """Draw an account's part of a text over the pool."""
    dated = {device.id: device for device in draw(st.lists(core_devices, max_size=3))}
    plain = draw(id_sets | few_ids | st.just(frozenset[DeviceId]()))
    approvals = st.builds(Approval, few_ids, nearby, st.just("a reason"))
    return Desired(
        ACCOUNT,
        plain | dated.keys(),
        MappingProxyType(
            {name: device for name, device in dated.items() if device != Device(name)}
        ),
        draw(policies),
        tuple(draw(st.lists(approvals, max_size=2))),
        windows=draw(core_windows),
    )


# Single draws from all there are, not draws of each part: these stand in dictionaries, and examples are many.
confirmations = st.sampled_from(
    [
        Confirmed(action, result, at)
        for action in Action
        for result in (Result.SUCCESS, Result.NOOP)
        for at in MOMENTS
        if at <= NOW
    ]
)
retries = st.sampled_from(
    [
        Retry(action, reason, 1, at)
        for action in Action
        for reason in (Reason.RETRY, Reason.REFUSED)
        for at in MOMENTS
    ]
)
memories = st.builds(
    Memory,
    inventory=id_sets,
    expected=st.none() | id_sets,
    confirmed=st.dictionaries(pool_ids, confirmations, max_size=4),
    resubscribed=st.dictionaries(
        pool_ids, st.lists(nearby, min_size=1, max_size=6).map(tuple), max_size=3
    ),
    unsubscribed=few_ids,
    absent_since=st.dictionaries(pool_ids, nearby, max_size=4),
    retries=st.dictionaries(pool_ids, retries, max_size=4),
    suspect_readings=st.integers(0, 4),
    credential_changed=st.booleans(),
    writable=st.sampled_from([True, True, True, False]),
    protected=few_ids.map(lambda devices: dict.fromkeys(devices, AccountName("busan-hotel"))),
)
brakes = st.builds(
    PauseOverride, st.sampled_from([Pause.NONE, Pause.NONE, *Pause]), perhaps, st.just("a reason")
)
platforms = st.builds(
    Platform,
    stopped=st.sampled_from([None, None, None, None, "the token is refused"]),
    stopped_until=perhaps,
    throttled_until=perhaps,
    full_until=perhaps,
)
observations = st.builds(Observed, id_sets, st.just(NOW))
situations = st.builds(
    Situation,
    core_desireds(),
    observations,
    memories,
    st.just(NOW),
    observing=st.sampled_from([False, False, False, True]),
    rejected=st.sampled_from([None, None, None, *Cause]),
    unsettled=st.sampled_from([None, None, None, Unsettled(None, "half a checkout")])
    | st.builds(Unsettled, id_sets, st.just("a file went away")),
    pause_override=brakes,
    platform=platforms,
    elsewhere=few_ids.map(lambda devices: dict.fromkeys(devices, AccountName("busan-hotel"))),
)


@dataclass(frozen=True, slots=True)
class Split:
    """Where each device of a judged plan ended."""

    made: frozenset[DeviceId]
    held: frozenset[DeviceId]


def split(judged: Plan, action: Action) -> Split:
    """Return what of one action would be made and what is held."""
    changes = judged.subscribes if action is Action.SUBSCRIBE else judged.unsubscribes
    held = (one.change.device for one in judged.held if one.change.action is action)
    return Split(frozenset(change.device for change in changes), frozenset(held))


def unsubscribes(devices: Iterable[DeviceId]) -> tuple[Change, ...]:
    """Return the sorted changes that unsubscribe these devices."""
    return tuple(Change(ACCOUNT, Action.UNSUBSCRIBE, device) for device in sorted(devices))


def subscribes(devices: Iterable[DeviceId]) -> tuple[Change, ...]:
    """Return the sorted changes that subscribe these devices."""
    return tuple(Change(ACCOUNT, Action.SUBSCRIBE, device) for device in sorted(devices))
