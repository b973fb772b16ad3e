"""The sentences of an explanation: what a device is, why, and what happens next.

Owns: the sentences. Must not: decide what is wanted or held.
"""

from __future__ import annotations

from datetime import datetime

from reconciler.core.acceptance import AccountRevision
from reconciler.core.model import Action, Kind, Policy, Prune, Reason
from reconciler.core.text import stamp_words
from reconciler.reporting.explain.facts import Facts
from reconciler.reporting.explain.values import HoldReport, Position

SUMMARIES = {
    Position.IN_SYNC: "Subscribed, as wanted.",
    Position.ABSENT: "Not wanted, and not subscribed.",
    Position.UNMANAGED: "Subscribed, not wanted here, and not ours to remove: nothing is done about it.",
    Position.IGNORED: "Left alone, because policy.ignore names it.",
}
"""The explanation of a device whose state needs no more words."""


def summary(facts: Facts, state: Position, hold: HoldReport | None) -> str:
    """Return the story in one sentence."""
    if state is Position.MISSING:
        return f"Wanted, but not subscribed: {_obstacle(facts, hold)}."
    if state is Position.EXTRA:
        return f"Subscribed, though not wanted: {_obstacle(facts, hold)}."
    if state is Position.UNKNOWN:
        wanted = "Wanted" if facts.wanted else "Not wanted"
        return f"{wanted}; whether it is subscribed is not known, as no list of LG's was trusted so far."
    if state is Position.IN_SYNC and _doubted(facts):
        return "Subscribed, as wanted, by the last trusted list; LG's newest list is doubted."
    gone = _unsubscribed(facts)
    if state is Position.ABSENT and gone is not None:
        return f"Not wanted, and unsubscribed at {stamp_words(gone)}."
    return SUMMARIES[state]


def _doubted(facts: Facts) -> bool:
    """Say whether the last pass did not believe LG's list."""
    if facts.ending is None or facts.ending.plan is None:
        return False
    return Reason.SUSPECT_LIST in [one.reason for one in facts.ending.plan.tripped]


def _unsubscribed(facts: Facts) -> datetime | None:
    """Return when the device was unsubscribed, if that is the last thing that was done to it."""
    for past in facts.pasts:
        if past.result is not None and past.result.confirmed:
            return past.at if past.action is Action.UNSUBSCRIBE else None
    return None


HOLDERS = {
    Kind.GUARD: "a guard holds that",
    Kind.POLICY: "policy holds that",
    Kind.PLATFORM: "it waits",
}


def _obstacle(facts: Facts, hold: HoldReport | None) -> str:
    """Return why a change that is wanted is not made yet."""
    if hold is None:
        return "it is due in the next pass"
    if hold.reason == Reason.REFUSED and facts.retry is not None:
        return "LG refuses it"
    return f"{HOLDERS[Kind(hold.kind)]} ({hold.reason})"


def why(facts: Facts) -> str:
    """Return why the device is wanted now, or not."""
    entry, text = facts.entry, facts.text
    if text is None:
        missed = ", and it is abandoned: no call is made for it" if facts.abandoned else ""
        return f"the account is not in the revision in force{missed}"
    if entry is None:
        return _why_without_entry(facts)
    if entry.from_ is not None and facts.latest < entry.from_:
        return f"its entry begins at {stamp_words(entry.from_)}"
    if entry.until is not None and not facts.wanted:
        return f"its entry ended at {stamp_words(entry.until)}"
    since = f" since {stamp_words(entry.from_)}" if entry.from_ is not None else ""
    until = f" until {stamp_words(entry.until)}" if entry.until is not None else ""
    return f"its entry counts{since}{until}" if since or until else "its entry has no dates"


def _why_without_entry(facts: Facts) -> str:
    """Return why a device is not wanted that no entry names, and what a rule has to do with it."""
    rule, registry = facts.pending_rule, facts.registry
    if rule is not None:
        return (
            f"rule {rule} would take it, and the lock does not have it: run pcc-reconciler resolve"
        )
    doubted = f"; registry doubted: {registry.doubted}" if registry and registry.doubted else ""
    return f"no entry of the revision in force names it{doubted}"


Step = tuple[str, datetime | None]
"""What happens next, and when if that is known."""


IN_NEXT_PASS = {
    Position.MISSING: "it is subscribed in the next pass",
    Position.EXTRA: "it is unsubscribed in the next pass",
    Position.UNKNOWN: "the next list decides",
}
"""What the next pass does if nothing holds it."""
LEFT_ALONE = frozenset({Position.IGNORED, Position.UNMANAGED})
"""States in which no change is wanted, so no hold matters."""


def next_step(facts: Facts, state: Position, hold: HoldReport | None) -> Step:
    """Return what happens next to the device, and when."""
    if facts.text is None:
        return "nothing: no call is made for this account", None
    if hold is not None and state not in LEFT_ALONE:
        return _after_hold(facts, hold)
    return _unheld(facts, facts.text, state)


def _unheld(facts: Facts, text: AccountRevision, state: Position) -> Step:
    if state in IN_NEXT_PASS:
        return IN_NEXT_PASS[state], facts.next_pass
    if state is Position.IN_SYNC:
        return _while_wanted(facts, text)
    if state is Position.ABSENT:
        return _while_absent(facts)
    if state is Position.UNMANAGED:
        return _while_unmanaged(text), None
    return "nothing, as long as policy.ignore names it", None


def _after_hold(facts: Facts, hold: HoldReport) -> Step:
    verb = f"the {hold.action} is"
    if hold.kind == Kind.GUARD or hold.reason == Reason.PROTECTED:
        if hold.reason == Reason.SUSPECT_LIST:
            return "the list is read again", facts.next_pass
        return f"will not {hold.action} until someone approves it or ends the hold", None
    if hold.until is not None:
        again = "tried again" if hold.reason in {Reason.RETRY, Reason.REFUSED} else "made"
        return f"{verb} {again} when the wait is over", hold.until
    return f"{verb} made when nothing holds it any more", None


def _while_wanted(facts: Facts, text: AccountRevision) -> Step:
    entry = facts.entry
    if entry is not None and entry.until is not None:
        if _goes_with_its_entry(facts, text.desired.policy):
            return "it is unsubscribed when its entry ends", entry.until
        return "its entry ends, and it is not wanted any more", entry.until
    return "nothing, as long as the desired state and LG's list stay as they are", None


def _goes_with_its_entry(facts: Facts, policy: Policy) -> bool:
    """Say whether a device is unsubscribed as soon as its entry is over, where no guard trips then."""
    is_taken = policy.prune is Prune.ALL or (
        policy.prune is Prune.OWNED and facts.device in facts.memory.inventory
    )
    return is_taken and not policy.unsubscribe_after and facts.protected_by is None


def _while_absent(facts: Facts) -> Step:
    entry = facts.entry
    if entry is not None and entry.from_ is not None and facts.latest < entry.from_:
        return "it is subscribed when its entry begins", entry.from_
    if entry is not None:
        return "nothing: its entry is over and can be removed", None
    return "nothing, as long as no entry names it", None


def _while_unmanaged(text: AccountRevision) -> str:
    return f"nothing under prune = {str(text.desired.policy.prune)!r}; an entry in the file would take it in"
