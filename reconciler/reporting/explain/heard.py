"""When a device was last heard of, and what that says.

Owns: the sentence about the last event of a device, and what stands out about it.
Must not: ask a receiver, or judge the account's list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.heard import AFTER_UNSUBSCRIBE, Heard
from reconciler.core.model import Action
from reconciler.core.text import span_words
from reconciler.reporting.explain.values import (
    ChangeReport,
    DeliveryReport,
    EventReport,
    Explanation,
)

LIST_IS_WRONG = "; LG's list lacks the device all the same, so the list is wrong"


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The last event of a device, and where it is on its way to each sink."""

    event: Heard
    deliveries: tuple[DeliveryReport, ...] = ()


def event_report(
    last: LastEvent | None, story: Explanation, now: datetime, *, contradicted: bool = False
) -> EventReport:
    """Return what is known of the last event of the device that an explanation is about.

    ``contradicted``: events of it contradict LG's list.
    """
    if last is None:
        return EventReport(summary="no event of it is known to the receivers")
    event = last.event
    stands_out = LIST_IS_WRONG if contradicted else _what_stands_out(event, story)
    return EventReport(
        summary=f"last event {_event_words(last, now)}{stands_out}",
        id=event.id,
        received=event.received,
        diagnosed=event.diagnosed,
        push_type=event.push_type,
        diagnosis=event.diagnosis,
        category=event.category,
        deliveries=last.deliveries,
    )


def _event_words(last: LastEvent, now: datetime) -> str:
    event = last.event
    what = event.category or event.push_type
    if event.diagnosis:
        what += f" ({event.diagnosis})"
    return ", ".join([f"{span_words(event.received, now)}: {what}", *_ways(last.deliveries)])


def _ways(deliveries: Sequence[DeliveryReport]) -> list[str]:
    """Return where an event is on its way, one phrase for each sink."""
    phrases = []
    for one in deliveries:
        tries = f" after {one.attempts} tries" if one.attempts > 1 else ""
        preposition = "to" if one.state == "delivered" else "for"
        phrases.append(f"{one.state} {preposition} {one.sink}{tries}")
    return phrases


def _what_stands_out(event: Heard, story: Explanation) -> str:
    """Return what a person should know about an event of a device like this one, or nothing."""
    gone = _unsubscribed_at(story.changes)
    if gone is not None and event.at > gone + AFTER_UNSUBSCRIBE:
        later = span_words(gone, event.at).removesuffix(" ago")
        return f"; it was diagnosed {later} after LG confirmed our unsubscribe"
    if not story.desired:
        return "; this account does not want the device"
    if story.observed is False:
        return "; LG's list does not show the device"
    return ""


def _unsubscribed_at(changes: Sequence[ChangeReport]) -> datetime | None:
    """Return when LG confirmed an unsubscribe that no confirmed subscribe followed. The newest change comes first."""
    for change in changes:
        if change.result in {"success", "noop"}:
            return change.at if change.action == Action.UNSUBSCRIBE else None
    return None
