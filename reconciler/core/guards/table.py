"""The one table of reasons, and how a plan is judged by it.

Owns: the rows in the order in which a change gets its single reason, and the words that documents and people read.
Must not: hold a check itself; the modules beside this one do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.core.guards import desired, identity, limits, lists, platform, policy
from reconciler.core.guards.finding import Finding, Guard, everything, holding
from reconciler.core.guards.situation import Situation
from reconciler.core.model import Action, Change, Held, Plan, Reason, Tripped


def judge(plan: Plan, situation: Situation, guards: Iterable[Guard] | None = None) -> Plan:
    """Return the plan with every change that something holds moved to ``held``, each with its first reason."""
    findings = []
    for guard in GUARDS if guards is None else guards:
        finding = _checked(guard, plan, situation)
        if finding is not None:
            findings.append(finding)
    if not findings:
        return plan
    order = list(
        Reason
    )  # not the guards' own: one that raised holds under another reason than its own
    findings.sort(key=lambda one: order.index(one.reason))
    held: dict[Change, Held] = {}
    for finding in findings:
        for one in finding.held:
            held.setdefault(one.change, one)
    return replace(
        plan,
        subscribes=tuple(change for change in plan.subscribes if change not in held),
        unsubscribes=tuple(change for change in plan.unsubscribes if change not in held),
        held=tuple(sorted(held.values(), key=lambda one: one.change)),
        tripped=tuple(
            Tripped(finding.reason, finding.message, finding.error) for finding in findings
        ),
    )


def _checked(guard: Guard, plan: Plan, situation: Situation) -> Finding | None:
    try:
        return guard.check(plan, situation)
    except Exception as error:  # noqa: BLE001 - whatever went wrong inside a guard, the answer is to hold
        message = f"the guard {guard.reason} could not judge: {type(error).__name__}"
        return replace(holding(Reason.GUARD_FAILED, everything(plan), message), error=error)


def _guard_failed(_plan: Plan, _situation: Situation) -> Finding | None:
    return (
        None  # the row gives the reason its place in the order; ``_checked`` is what holds under it
    )


GUARDS: tuple[Guard, ...] = (
    Guard(
        Reason.EMPTY_DESIRED,
        "unsubscribes",
        "the account has no entry at all (dates aside), live devices would go, and `allow_empty` is false",
        limits.empty_desired,
        "look at the last change of the file. If the account really is to be cleared, approve its "
        "devices, or set `policy.allow_empty = true` for it; the limit still applies.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.TOO_MANY,
        "unsubscribes, all of them",
        "those of this pass and those of the last 24 hours together are more than both "
        "`max_unsubscribe` and `max_unsubscribe_floor`",
        limits.too_many,
        "compare the file with what you meant. If the removal is right, approve it. If such removals are "
        "everyday work, raise the limit in a pull request of its own.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.SUSPECT_LIST,
        "the whole pass; unsubscribes only, if fewer than 10 devices are known",
        "fewer than half of the devices that should be live are in LG's list; if fewer than 10 are known: none of "
        "two or more, or fewer than half after the credential changed",
        lists.suspect_list,
        "nothing, at first. If a credential changed, check whose token it is; if it is the right one, "
        "confirm it with `pcc-reconciler reconcile ACCOUNT`.",
    ),
    Guard(
        Reason.WANTED_ELSEWHERE,
        "that unsubscribe",
        "another account's revision in force wants the device now; an approval in this account releases it",
        identity.wanted_elsewhere,
        "if the device moved to the other account and that is another LG user, approve it here. If both accounts "
        "are one LG user, keep the device in one of them.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.LOOK_ALIKE,
        "that unsubscribe",
        "the pass would also subscribe an id that differs from it only in case, Unicode form or surrounding quotes",
        identity.look_alike,
        "write the id in the file as LG lists it. If they are two devices, remove the entry that LG refuses; "
        "the hold ends as soon as LG lists both.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.FILES_UNSETTLED,
        "unsubscribes of devices whose file went away, and of an account that just came; all while git's lock is there",
        "local files may be half written: git's `index.lock` is there, a tracked file is missing, a device file went "
        "away a moment ago, or the account's file came a moment ago while other accounts were in force",
        desired.files_unsettled,
        "nothing, at first: it ends on its own. If git was killed, remove its lock. Commit the removal of a tracked "
        "file, or bring the file back.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.DESIRED_REJECTED,
        "unsubscribes",
        "the newest revision was rejected and an older accepted one is in force",
        desired.desired_rejected,
        "fix the file; `pcc-reconciler validate` lists every fault with its place.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.STATE_UNWRITABLE,
        "unsubscribes",
        "the state cannot be written, so what we do could not be remembered",
        desired.state_unwritable,
        "make room, or repair the volume of `PCC_STATE_DIR` or the PostgreSQL of `PCC_STATE_URL`; if the log reports "
        "that the file was deleted, moved or replaced, find out who does that. The daemon tries again every second, "
        "and writes what was done meanwhile.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.GUARD_FAILED,
        "everything",
        "a guard failed with an error; a guard that cannot judge holds everything",
        _guard_failed,
        "report it with the log line, which names the guard and has the traceback.",
    ),
    Guard(
        Reason.PROTECTED,
        "that unsubscribe",
        "the device's entry has `protected = true`, or its last one had before it left; an approval releases it",
        policy.protected,
        "bring the entry back if the device has to stay. If it has to go, approve it.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.PAUSED,
        "as `pause` says; everything in observe mode",
        "`pause` in the file or by command, or `PCC_MODE=observe`",
        policy.paused,
        "end the pause when its reason is over.",
    ),
    Guard(
        Reason.WINDOW,
        "as the window says",
        "no allow window for the change is active, or a deny window is",
        policy.window,
        "nothing; the time when it ends is shown. If a change cannot wait, open an allow window with "
        "`pcc-reconciler open NAME --for 1h --reason TEXT`.",
    ),
    Guard(
        Reason.UNSUBSCRIBE_AFTER,
        "that change",
        "the device is absent from accepted revisions for less than `unsubscribe_after`",
        policy.unsubscribe_after,
        "nothing; the time when it ends is shown.",
        actions=(Action.UNSUBSCRIBE,),
    ),
    Guard(
        Reason.RETRY,
        "that change",
        "a call for the device failed, or LG loses it again and again, until its next time",
        platform.retry,
        "nothing, unless it lasts.",
    ),
    Guard(
        Reason.REFUSED,
        "that change",
        "LG refused the device, until its next time",
        platform.refused,
        "correct or remove the entry, or have the device registered.",
    ),
    Guard(
        Reason.QUOTA,
        "every change",
        "the account's calls are used up, or LG throttles it",
        platform.quota,
        "nothing. If it lasts for hours, ask LG for more, or set `calls_per_hour`.",
    ),
    Guard(
        Reason.SUBSCRIPTIONS_FULL,
        "subscribes",
        "LG's cap on subscribed devices is reached",
        platform.subscriptions_full,
        "ask LG to raise the cap, or remove devices.",
        actions=(Action.SUBSCRIBE,),
    ),
    Guard(
        Reason.ACCOUNT_STOPPED,
        "everything",
        "credentials or configuration are refused, missing or shared with another account",
        platform.account_stopped,
        "fix what the message names; a changed credential is tried at once.",
    ),
)
"""Every reason, first match wins. Documents, metrics and tests are made from this table."""
REMEDIES = {guard.reason: guard.do for guard in GUARDS}
"""What a person does about each reason."""
ACTIONS = {guard.reason: guard.actions for guard in GUARDS}


def held_actions(reason: Reason) -> tuple[Action, ...]:
    """Return the actions that a reason can hold, for metrics that must exist before the first time."""
    return ACTIONS[reason]
