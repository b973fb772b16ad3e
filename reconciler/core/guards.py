"""What holds a change, and whether a live list is to be believed.

Owns: the one table of reasons, ``GUARDS``, in the order in which a change gets its single reason. A row is a pure
function from a plan and its situation to what it holds; tests, metrics, status and documents read the same table.
Must not: do I/O, read a clock, or log. A guard returns why.

A guard holds unsubscribes as a whole, never part of a suspicious set, and never holds a subscribe for the sake of an
unsubscribe; only where nothing is known (``suspect-list``, ``guard-failed``, ``account-stopped``) is everything held.
A doubted list of a small account holds unsubscribes only: LG refuses a subscribe of what the user does not own.
A guard that raises holds everything: one that cannot judge must not wave through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from math import floor
from types import MappingProxyType
from unicodedata import normalize

from reconciler.core.duration import show
from reconciler.core.model import (
    AccountName,
    Action,
    Cause,
    Change,
    Desired,
    DeviceId,
    Held,
    Limit,
    Memory,
    Observed,
    Pause,
    Plan,
    Reason,
    Share,
    Tripped,
    Unsettled,
)
from reconciler.core.text import listing

SUSPECT_FROM = 10
"""From this many known devices on, a doubted list ends the pass. Below, it holds unsubscribes only."""
NAMED = 3
"""That many accounts are named in a sentence; the rest is a number."""
SHOWN = 72
"""That many characters of an id are shown in a sentence: LG's own have 64."""
SUSPECT_ALONE = 2
"""Below ``SUSPECT_FROM``, a list that shows no known device is doubted only where at least this many are known."""
BELIEVED_AFTER = 3
"""So many short lists in a row are believed: a real wipe looks the same each time, a glitch does not."""
FLAPPING_WAIT = timedelta(hours=1)
"""A device that LG loses again and again is subscribed at most this often."""
QUOTES = (
    "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb"
    "\u02bb\u02bc\u2032\u2033\u2035\u2036\u300c\u300d\u300e\u300f\u301d\u301e\u301f\uff02\uff07"
)
"""Straight and typographic quotes, which word processors and spreadsheets leave around an id, also those of Korean,
Japanese and Chinese text, and the primes and apostrophes that stand in for quotes."""
LIMIT_WINDOW = timedelta(hours=24)
"""The span over which unsubscribes are counted, so that a slow leak is stopped like a sudden one."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What the account cannot do for now, by LG's word: each field is the moment it may end, or why it is stopped."""

    stopped: str | None = None
    stopped_until: datetime | None = None
    throttled_until: datetime | None = None
    full_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PauseOverride:
    """A pause set by command, and when it ends."""

    pause: Pause = Pause.NONE
    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a guard may look at beside the plan.

    ``elsewhere``: of the devices that would go, those that another account wants now, and which one.
    ``theirs`` is LG's time where it differs from ours. ``sure`` is the latest moment of which it is sure that it has
    come, where that is not ``now``: the wall clock was set forward, or is ahead of LG's. What a guard lets go when a
    time is over waits for that.
    """

    desired: Desired
    observed: Observed
    memory: Memory
    now: datetime
    observing: bool = False
    rejected: Cause | None = None
    brake: PauseOverride = field(default_factory=PauseOverride)
    platform: Platform = field(default_factory=Platform)
    unsettled: Unsettled | None = None
    elsewhere: Mapping[DeviceId, AccountName] = field(default_factory=lambda: MappingProxyType({}))
    theirs: datetime | None = None
    sure: datetime | None = None

    @property
    def over(self) -> datetime:
        """Return up to when a wait has to have lasted to be over."""
        return self.now if self.sure is None else min(self.now, self.sure)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a guard holds under which reason, and one sentence with the numbers that made it."""

    reason: Reason
    held: tuple[Held, ...]
    message: str
    error: Exception | None = None


Check = Callable[[Plan, Situation], Finding | None]

_PAUSED = {Pause.NONE: (), Pause.UNSUBSCRIBE: (Action.UNSUBSCRIBE,), Pause.ALL: tuple(Action)}


@dataclass(frozen=True, slots=True)
class Guard:
    """One row of the table. ``holds``, ``when`` and ``do``, which is what a person does, are the documents' words."""

    reason: Reason
    holds: str
    when: str
    check: Check
    do: str


def judge(plan: Plan, situation: Situation, guards: Iterable[Guard] | None = None) -> Plan:
    """Return the plan with every change that something holds moved to ``held``, each with its first reason."""
    checked = (_checked(guard, plan, situation) for guard in (GUARDS if guards is None else guards))
    found = [one for one in checked if one is not None]
    if not found:
        return plan
    order = list(Reason)  # not the guards' own: one that raised holds under another reason than its own
    findings = sorted(found, key=lambda one: order.index(one.reason))
    held: dict[Change, Held] = {}
    for one in chain.from_iterable(finding.held for finding in findings):
        held.setdefault(one.change, one)
    return replace(
        plan,
        subscribes=tuple(change for change in plan.subscribes if change not in held),
        unsubscribes=tuple(change for change in plan.unsubscribes if change not in held),
        held=tuple(sorted(held.values(), key=lambda one: one.change)),
        tripped=tuple(Tripped(finding.reason, finding.message, finding.error) for finding in findings),
    )


def is_suspect(observed: Observed, memory: Memory) -> bool:
    """Say whether too many of the devices that should be live are missing from this list to believe it now."""
    return _too_short(observed, memory) and (memory.credential_changed or memory.suspect_readings + 1 < BELIEVED_AFTER)


def subscribes_in_doubt(memory: Memory) -> bool:
    """Say whether subscribes go on while the list is doubted: so few devices are known that they do no harm."""
    return len(_expected(memory)) < SUSPECT_FROM


def look_alikes(unsubscribes: Iterable[DeviceId], wanted: Iterable[DeviceId]) -> Mapping[DeviceId, DeviceId]:
    """Return the devices that differ from a wanted one in case, Unicode form or quotes only, each with that one.

    ``wanted`` are those that the live list does not show. Where it shows both, they are two devices.
    """
    spelled: dict[str, DeviceId] = {}
    for device in wanted:
        spelled.setdefault(_folded(device), device)
    if not spelled:
        return {}
    pairs = ((device, spelled.get(_folded(device))) for device in unsubscribes)
    return {device: other for device, other in pairs if other is not None}


def limit(base: int, at_most: Limit) -> int:
    """Return how many devices ``at_most`` allows of ``base``; a share is rounded down."""
    return floor(at_most.of_one * base) if isinstance(at_most, Share) else at_most


def allowance(situation: Situation) -> int:
    """Return how many devices may be unsubscribed in any 24 hours: the limit, or the floor where that is more."""
    policy, memory = situation.desired.policy, situation.memory
    base = len(situation.observed.devices) + len(memory.unsubscribed - situation.observed.devices)
    return max(limit(base, policy.max_unsubscribe), policy.max_unsubscribe_floor)


def budget(situation: Situation) -> int:
    """Return how many more devices may be unsubscribed today without anybody's word."""
    return max(allowance(situation) - len(situation.memory.unsubscribed), 0)


def _checked(guard: Guard, plan: Plan, situation: Situation) -> Finding | None:
    try:
        return guard.check(plan, situation)
    except Exception as error:  # noqa: BLE001 - whatever went wrong inside a guard, the answer is to hold
        message = f"the guard {guard.reason} could not judge: {type(error).__name__}"
        return replace(_holding(Reason.GUARD_FAILED, _everything(plan), message), error=error)


def _holding(reason: Reason, changes: Iterable[Change], message: str, until: datetime | None = None) -> Finding:
    return Finding(reason, tuple(Held(change, reason, until) for change in changes), message)


def _count(number: int, noun: str = "device") -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _everything(plan: Plan) -> tuple[Change, ...]:
    return (*plan.subscribes, *plan.unsubscribes)


def _counted(plan: Plan, situation: Situation) -> list[Change]:
    """Return the unsubscribes that are judged by their number: what is approved or wanted elsewhere counts nowhere."""
    elsewhere = situation.elsewhere
    return [
        change for change in plan.unsubscribes if change.device not in plan.approved and change.device not in elsewhere
    ]


def _empty_desired(plan: Plan, situation: Situation) -> Finding | None:
    changes = _counted(plan, situation)
    if situation.desired.devices or situation.desired.policy.allow_empty or not changes:
        return None
    message = f"the account lists no device at all, {_count(len(changes), 'live device')} would go"
    return _holding(Reason.EMPTY_DESIRED, changes, message)


def _too_many(plan: Plan, situation: Situation) -> Finding | None:
    changes = _counted(plan, situation)
    if not changes:
        return None
    policy, gone = situation.desired.policy, situation.memory.unsubscribed
    counted = len(gone.union(change.device for change in changes))
    allowed = allowance(situation)
    if counted <= allowed:
        return None
    already = f" ({len(gone)} of them are gone already)" if gone else ""
    message = (
        f"{_count(counted)} would be unsubscribed within 24 hours{already}, {allowed} are allowed: "
        f"max_unsubscribe is {policy.max_unsubscribe}, max_unsubscribe_floor is {policy.max_unsubscribe_floor}"
    )
    return _holding(Reason.TOO_MANY, changes, message)


def _expected(memory: Memory) -> frozenset[DeviceId]:
    return memory.expected or frozenset()


def _too_short(observed: Observed, memory: Memory) -> bool:
    """Say whether a list lacks most known devices; of few devices with an unchanged credential, all of them."""
    expected, lost = len(_expected(memory)), _lost(observed, memory)
    if expected >= SUSPECT_FROM or memory.credential_changed:
        return 2 * lost > expected
    return expected >= SUSPECT_ALONE and lost == expected


def _lost(observed: Observed, memory: Memory) -> int:
    """Count the devices that should be live and are not in this list."""
    expected = _expected(memory)
    return 0 if observed.devices is expected else len(expected - observed.devices)


def _suspect_list(plan: Plan, situation: Situation) -> Finding | None:
    observed, memory = situation.observed, situation.memory
    if not is_suspect(observed, memory):
        return None
    expected = _expected(memory)
    message = f"of {_count(len(expected))} that should be live the list shows {len(expected & observed.devices)}"
    if memory.credential_changed:
        message += ", and the credential changed since the last trusted list: a person has to say that this is right"
    else:
        message += f" (reading {memory.suspect_readings + 1} of {BELIEVED_AFTER} before it is believed)"
    changes = plan.unsubscribes if subscribes_in_doubt(memory) else _everything(plan)
    return _holding(Reason.SUSPECT_LIST, changes, message)


def _wanted_elsewhere(plan: Plan, situation: Situation) -> Finding | None:
    """Hold what another account wants. An approval releases a device once in a day: what is back was subscribed there.

    Two accounts that are one LG user would else unsubscribe each other's devices again and again.
    """
    elsewhere = situation.elsewhere
    changes = [
        change
        for change in (plan.unsubscribes if elsewhere else ())
        if change.device in elsewhere and not _released(change.device, plan, situation.memory)
    ]
    if not changes:
        return None
    accounts = sorted({elsewhere[change.device] for change in changes})
    message = (
        f"{_count(len(changes))} that would go {'is' if len(changes) == 1 else 'are'} wanted by another account now: "
    )
    return _holding(Reason.WANTED_ELSEWHERE, changes, message + listing(accounts, NAMED))


def _released(device: DeviceId, plan: Plan, memory: Memory) -> bool:
    """Say whether an approval lets a device go that we did not let go already within the last day."""
    before = memory.confirmed.get(device)
    return device in plan.approved and (before is None or before.action is not Action.UNSUBSCRIBE)


def _look_alike(plan: Plan, situation: Situation) -> Finding | None:
    """Hold what would go under one spelling while it is wanted under another that LG's list does not show.

    The list itself is asked, not the plan: LG may take a subscribe under either spelling, and list only its own.
    """
    if not plan.unsubscribes:
        return None
    desired = situation.desired
    unlisted = desired.wanted_by(situation.now, situation.theirs) - situation.observed.devices - desired.policy.ignore
    found = look_alikes((change.device for change in plan.unsubscribes), unlisted)
    if not found:
        return None
    changes = [change for change in plan.unsubscribes if change.device in found]
    live, wanted = changes[0].device, found[changes[0].device]
    message = (
        f"{_count(len(changes))} would go under one spelling and be wanted under another (case, Unicode form or "
        f"quotes): LG lists {live[:SHOWN]!r}, the text has {wanted[:SHOWN]!r}"
    )
    return _holding(Reason.LOOK_ALIKE, changes, message)


def _folded(device: DeviceId) -> str:
    """Return an id as it is compared where its spelling does not count."""
    bare = device.strip(QUOTES)
    return bare.lower() if bare.isascii() else normalize("NFC", normalize("NFD", bare).casefold())


def _files_unsettled(plan: Plan, situation: Situation) -> Finding | None:
    one = situation.unsettled
    if one is None:
        return None
    changes = [change for change in plan.unsubscribes if one.devices is None or change.device in one.devices]
    if not changes:
        return None
    age = "" if one.since is None else f" (git's lock is {show(max(situation.now - one.since, timedelta(0)))} old)"
    return _holding(Reason.FILES_UNSETTLED, changes, f"{one.message}{age}")


def _desired_rejected(plan: Plan, situation: Situation) -> Finding | None:
    if situation.rejected is None or not plan.unsubscribes:
        return None
    message = f"the newest text is rejected ({situation.rejected}), an older one is in force"
    return _holding(Reason.DESIRED_REJECTED, plan.unsubscribes, message)


def _state_unwritable(plan: Plan, situation: Situation) -> Finding | None:
    if situation.memory.writable or not plan.unsubscribes:
        return None
    return _holding(Reason.STATE_UNWRITABLE, plan.unsubscribes, "what we do could not be remembered")


def _guard_failed(_plan: Plan, _situation: Situation) -> Finding | None:
    return None  # the row gives the reason its place in the order; ``_checked`` is what holds under it


def _paused(plan: Plan, situation: Situation) -> Finding | None:
    if situation.observing:
        changes = _everything(plan)
        return _holding(Reason.PAUSED, changes, "observe mode: nothing is changed") if changes else None
    text, brake = situation.desired.policy.pause, situation.brake
    pause = text.stricter(brake.pause)
    held = tuple(
        Held(change, Reason.PAUSED, None if change.action in _PAUSED[text] else brake.until)
        for change in _everything(plan)
        if change.action in _PAUSED[pause]
    )
    message = f"the text says pause = {text.value!r}" if pause is text else f"paused by command: {brake.reason}"
    return Finding(Reason.PAUSED, held, message) if held else None


def _unsubscribe_after(plan: Plan, situation: Situation) -> Finding | None:
    wait = situation.desired.policy.unsubscribe_after
    if not wait:
        return None
    held = tuple(
        Held(change, Reason.UNSUBSCRIBE_AFTER, ends)
        for change in plan.unsubscribes
        if (ends := _absent_since(change.device, situation) + wait) > situation.over
    )
    message = f"{_count(len(held))} absent for less than {show(wait)}"
    return Finding(Reason.UNSUBSCRIBE_AFTER, held, message) if held else None


def _absent_since(device: DeviceId, situation: Situation) -> datetime:
    """Return since when a device is absent. One still listed whose dates are over was taken out when they ended."""
    since = situation.memory.absent_since.get(device)
    if since is not None:
        return min(since, situation.now)  # else the clock was set back since: it waits no longer than from now on
    entry = situation.desired.described.get(device)
    return situation.now if entry is None or entry.until is None else min(entry.until, situation.now)


def _retry(plan: Plan, situation: Situation) -> Finding | None:
    waiting, losing = _waiting(Reason.RETRY, "waiting after a failed call")(plan, situation), _losing(plan, situation)
    if waiting is None or losing is None:
        return waiting or losing
    return replace(losing, held=(*waiting.held, *losing.held), message=f"{waiting.message}; {losing.message}")


def _losing(plan: Plan, situation: Situation) -> Finding | None:
    """Hold the subscribe of a device that LG loses again and again: it would be lost again, at the cost of a call."""
    last = {device: situation.memory.confirmed.get(device) for device in plan.flapping}
    held = tuple(
        Held(change, Reason.RETRY, again)
        for change in (plan.subscribes if last else ())
        if (before := last.get(change.device)) is not None
        and before.action is Action.SUBSCRIBE
        and (again := before.at + FLAPPING_WAIT) > situation.now
    )
    words = "that LG loses again and again, subscribed at most once an hour; is another writer at work?"
    return Finding(Reason.RETRY, held, f"{_count(len(held))} {words}") if held else None


def _waiting(reason: Reason, words: str) -> Check:
    def check(plan: Plan, situation: Situation) -> Finding | None:
        retries = situation.memory.retries
        if not retries:
            return None
        held = tuple(
            Held(change, reason, retry.until)
            for change in _everything(plan)
            if (retry := retries.get(change.device)) is not None
            and retry.reason is reason
            and retry.action is change.action
            and retry.until > situation.now
        )
        return Finding(reason, held, f"{_count(len(held))} {words}") if held else None

    return check


def _quota(plan: Plan, situation: Situation) -> Finding | None:
    until = situation.platform.throttled_until
    changes = _everything(plan)
    if until is None or until <= situation.now or not changes:
        return None
    message = f"the account's calls are used up, or LG throttles it, until {until:%Y-%m-%dT%H:%M:%SZ}"
    return _holding(Reason.QUOTA, changes, message, until)


def _subscriptions_full(plan: Plan, situation: Situation) -> Finding | None:
    until = situation.platform.full_until
    if until is None or until <= situation.now or not plan.subscribes:
        return None
    message = f"LG's cap on subscribed devices is reached; asked again at {until:%Y-%m-%dT%H:%M:%SZ}"
    return _holding(Reason.SUBSCRIPTIONS_FULL, plan.subscribes, message, until)


def _account_stopped(plan: Plan, situation: Situation) -> Finding | None:
    platform, changes = situation.platform, _everything(plan)
    if platform.stopped is None or not changes:
        return None
    return _holding(Reason.ACCOUNT_STOPPED, changes, platform.stopped, platform.stopped_until)


GUARDS: tuple[Guard, ...] = (
    Guard(
        Reason.EMPTY_DESIRED,
        "unsubscribes",
        "the account has no entry at all (dates aside), live devices would go, and `allow_empty` is false",
        _empty_desired,
        "look at the last change of the file. If the account really is to be cleared, approve its "
        "devices, or set `policy.allow_empty = true` for it; the limit still applies.",
    ),
    Guard(
        Reason.TOO_MANY,
        "unsubscribes, all of them",
        "those of this pass and those of the last 24 hours together are more than both "
        "`max_unsubscribe` and `max_unsubscribe_floor`",
        _too_many,
        "compare the file with what you meant. If the removal is right, approve it. If such removals are "
        "everyday work, raise the limit in a pull request of its own.",
    ),
    Guard(
        Reason.SUSPECT_LIST,
        "the whole pass; unsubscribes only, where fewer than 10 devices are known",
        "fewer than half of the devices that should be live are in LG's list; where fewer than 10 are known: none of "
        "two or more, or fewer than half after the credential changed",
        _suspect_list,
        "nothing, at first. If a credential changed, check whose token it is; if it is the right one, "
        "say so with `pcc-reconciler reconcile ACCOUNT`.",
    ),
    Guard(
        Reason.WANTED_ELSEWHERE,
        "that unsubscribe",
        "an accepted text of another account wants the device now; an approval in this account releases it",
        _wanted_elsewhere,
        "if the device moved to the other account and that is another LG user, approve it here. If both accounts "
        "are one LG user, keep the device in one of them.",
    ),
    Guard(
        Reason.LOOK_ALIKE,
        "that unsubscribe",
        "the pass would also subscribe an id that differs from it only in case, Unicode form or surrounding quotes",
        _look_alike,
        "write the id in the file as LG lists it. If they are two devices, remove the entry that LG refuses; "
        "the hold ends as soon as LG lists both.",
    ),
    Guard(
        Reason.FILES_UNSETTLED,
        "unsubscribes of devices whose file went away; all while git's lock stays",
        "local files may be half written: git's `index.lock` is there, a tracked file is missing, or a device file "
        "went away a moment ago",
        _files_unsettled,
        "nothing, at first: it ends on its own. A lock that stays is of a git that was killed: remove it. Commit "
        "the removal of a tracked file, or bring the file back.",
    ),
    Guard(
        Reason.DESIRED_REJECTED,
        "unsubscribes",
        "the newest text was rejected and an older accepted one is in force",
        _desired_rejected,
        "fix the file; `pcc-reconciler validate` names every fault with its place.",
    ),
    Guard(
        Reason.STATE_UNWRITABLE,
        "unsubscribes",
        "what we do could not be remembered",
        _state_unwritable,
        "make room, or repair the volume of `PCC_STATE_DIR`; where the log says that the file was deleted, moved or "
        "replaced, find out who does that. The daemon tries again every second, and writes what was done meanwhile.",
    ),
    Guard(
        Reason.GUARD_FAILED,
        "everything",
        "a guard raised: one that cannot judge holds",
        _guard_failed,
        "report it with the log line; it names the guard and holds the traceback.",
    ),
    Guard(
        Reason.PAUSED,
        "as `pause` says; everything in observe mode",
        "`pause` in the file or by command, or `PCC_MODE=observe`",
        _paused,
        "end the pause when its reason is over.",
    ),
    Guard(
        Reason.UNSUBSCRIBE_AFTER,
        "that change",
        "the device is absent from accepted texts for less than `unsubscribe_after`",
        _unsubscribe_after,
        "nothing; the time when it ends is shown.",
    ),
    Guard(
        Reason.RETRY,
        "that change",
        "a call for the device failed, or LG loses it again and again, until its next time",
        _retry,
        "nothing, unless it lasts.",
    ),
    Guard(
        Reason.REFUSED,
        "that change",
        "LG refused the device, until its next time",
        _waiting(Reason.REFUSED, "refused by LG"),
        "correct or remove the entry, or have the device registered.",
    ),
    Guard(
        Reason.QUOTA,
        "every change",
        "the account's calls are used up, or LG throttles it",
        _quota,
        "nothing. If it lasts for hours, ask LG for more, or set `calls_per_hour`.",
    ),
    Guard(
        Reason.SUBSCRIPTIONS_FULL,
        "subscribes",
        "LG's cap on subscribed devices is reached",
        _subscriptions_full,
        "ask LG to raise the cap, or remove devices.",
    ),
    Guard(
        Reason.ACCOUNT_STOPPED,
        "everything",
        "credentials or configuration are refused, missing or shared with another account",
        _account_stopped,
        "fix what the message names; a changed credential is tried at once.",
    ),
)
"""Every reason, first match wins. Documents, metrics and tests are made from this table."""


REMEDIES = {guard.reason: guard.do for guard in GUARDS}
"""What a person does about each reason."""


def held_actions(reason: Reason) -> tuple[Action, ...]:
    """Return the actions that a reason can hold, for metrics that must exist before the first time."""
    if reason in {
        Reason.EMPTY_DESIRED,
        Reason.TOO_MANY,
        Reason.WANTED_ELSEWHERE,
        Reason.LOOK_ALIKE,
        Reason.FILES_UNSETTLED,
        Reason.DESIRED_REJECTED,
        Reason.STATE_UNWRITABLE,
        Reason.UNSUBSCRIBE_AFTER,
    }:
        return (Action.UNSUBSCRIBE,)
    return (Action.SUBSCRIBE,) if reason is Reason.SUBSCRIPTIONS_FULL else tuple(Action)
