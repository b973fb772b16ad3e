"""What a pass would do and hold. Every command and the daemon ask here.

Owns: how plan, retries and guards combine, with a list and without one.
Must not: read a clock, do I/O, or log. It is pure. ``plan``, ``apply``, ``run``, ``explain`` and previews all call the
same ``evaluate``, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.core import backoff, guards
from reconciler.core.acceptance import Claims
from reconciler.core.backoff import Random
from reconciler.core.guards import Situation, lists
from reconciler.core.model import Change, DeviceId, Held, Memory, Plan, Reason, Result, Retry
from reconciler.core.planner import OVERLAY, plan

CONTRADICTED = "LG answered that the change is already made, but its list shows otherwise"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pass would do and hold, and what its list shows about waiting retries.

    The guards have judged ``plan``: the changes that they hold are under ``held``. ``situation`` is what they judged.
    ``over``: devices whose wait ended, because the list shows them as wanted. ``contradicted``: devices that begin to
    wait, because LG reported their change as done and its list does not show it. ``claims_version``: the version of
    what other accounts wanted.
    """

    plan: Plan
    situation: Situation
    over: frozenset[DeviceId]
    contradicted: Mapping[DeviceId, Retry]
    claims_version: int

    @property
    def suspect(self) -> bool:
        """Say whether the list is doubted."""
        return any(one.reason is Reason.SUSPECT_LIST for one in self.plan.tripped)

    @property
    def budget(self) -> int:
        """Return how many more devices may be unsubscribed today without an approval."""
        return guards.budget(self.situation)

    @property
    def retries_hold(self) -> bool:
        """Say whether a change of this plan waits after a failed call."""
        waiting = self.situation.memory.retries
        return any(
            one.reason is Reason.RETRY and one.change.device in waiting for one in self.plan.held
        )


def evaluate(situation: Situation, claims: Claims, random: Random) -> Verdict:
    """Return what a pass in this situation would do and hold. ``claims`` has what other accounts want."""
    desired, now, theirs = situation.desired, situation.now, situation.theirs
    version = claims.version
    planned = plan(desired, situation.observed, situation.memory, now, theirs=theirs)
    going = (change.device for change in planned.unsubscribes)
    elsewhere = claims.by_either_clock(desired.account, going, now, theirs)
    situation = replace(situation, elsewhere=elsewhere)
    over, contradicted = _retries(planned, situation, random)
    if over or contradicted:
        waiting = {
            device: retry
            for device, retry in situation.memory.retries.items()
            if device not in over
        }
        situation = replace(
            situation, memory=replace(situation.memory, retries={**waiting, **contradicted})
        )
    return Verdict(guards.judge(planned, situation), situation, over, contradicted, version)


def edited(memory: Memory, devices: frozenset[DeviceId]) -> Memory:
    """Return the memory of an account after its entries of these devices were edited: they no longer wait."""
    if not devices & memory.retries.keys():
        return memory
    waiting = {device: retry for device, retry in memory.retries.items() if device not in devices}
    return replace(memory, retries=waiting)


def _retries(
    planned: Plan, situation: Situation, random: Random
) -> tuple[frozenset[DeviceId], Mapping[DeviceId, Retry]]:
    """Return which waits are over, and which begin because LG's list does not show what LG confirmed.

    A doubted list changes no wait, with one exception: a small account still subscribes, and those subscribes may have
    to wait, because each costs a call.
    """
    memory = situation.memory
    if not memory.retries and not memory.confirmed:
        return frozenset(), {}
    doubted = lists.is_suspect(situation.observed, memory)
    if doubted and not lists.subscribes_in_doubt(memory):
        return frozenset(), {}
    changes = planned.subscribes if doubted else (*planned.subscribes, *planned.unsubscribes)
    wanted = {change.device for change in changes}
    over = frozenset() if doubted else frozenset(memory.retries.keys() - wanted)
    believed_until = situation.observed.began - OVERLAY
    contradicted = {}
    for change in changes:
        retry = _contradiction(change, memory, believed_until, situation.now, random)
        if retry is not None:
            contradicted[change.device] = retry
    return over, contradicted


def _contradiction(
    change: Change, memory: Memory, believed_until: datetime, now: datetime, random: Random
) -> Retry | None:
    """Return the wait of a device whose change LG confirmed, if a list long after that still does not show it."""
    confirmed, retry = memory.confirmed.get(change.device), memory.retries.get(change.device)
    if (
        confirmed is None
        or confirmed.result is not Result.NOOP
        or confirmed.action is not change.action
    ):
        return None
    if confirmed.at > believed_until:
        return None
    if retry is not None and retry.until > confirmed.at:
        return None
    again = retry is not None and retry.action is change.action
    attempts = retry.attempts + 1 if retry is not None and again else 1
    until = now + backoff.DEVICE.after(attempts, random)
    return Retry(change.action, Reason.RETRY, attempts, until, words=CONTRADICTED)


def everything_held(verdict: Verdict, reason: Reason, until: datetime) -> tuple[Held, ...]:
    """Return every change as held. A change without a reason gets the reason why there is no list."""
    changes = (*verdict.plan.subscribes, *verdict.plan.unsubscribes)
    return tuple(Held(change, reason, until) for change in changes)
