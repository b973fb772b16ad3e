"""Explanations of devices as text and Markdown, and every report as JSON.

Owns: how they look. Must not: know where they come from, or decide anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from reconciler.core.errors import quoted
from reconciler.core.text import (
    counted,
    markdown,
    markdown_code,
    moment_words,
    one_line,
    short_revision,
    stamp_words,
)
from reconciler.reporting.explain import (
    ApprovalReport,
    ChangeReport,
    Explanation,
    MarkReport,
    PlaceReport,
    WaitReport,
)
from reconciler.reporting.formats.comment import Part, Section, comment
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.queries import DeviceExplanation


def as_json(report: object, **more: object) -> str:
    """Return a report as the HTTP surface gives it."""
    plain: dict[str, object] = msgspec.to_builtins(report)
    return json_text({"api": 1, **plain, **more})


# -- one device


def explanation_text(
    explanation: DeviceExplanation, answered_by: str, screen: Screen | None = None
) -> str:
    """Return what is known of a device for a terminal; ``answered_by`` says who was asked."""
    shown = screen or Screen()
    head = [f"device {quoted(explanation.device)}"]
    if explanation.taken_by != "id":
        head.append(f"  taken by its {explanation.taken_by}")
    if explanation.others:
        head += shown.lines(f"  {_others(explanation)}", indent=4)
    parts = ["\n".join(head)]
    for story in explanation.accounts:
        rows = _story_rows(story, explanation.at)
        width = max(len(label) for label, _ in rows)
        lines = shown.lines(f"account {story.account}: {one_line(story.summary)}", indent=2)
        for label, words in rows:
            lines += shown.labelled(f"  {label.ljust(width)}  ", words)
        parts.append("\n".join(lines))
    asked = shown.lines(f"Asked: {one_line(answered_by)}.")
    return "\n\n".join([*parts, "\n".join(asked)]) + "\n"


def explanation_markdown(explanation: DeviceExplanation, answered_by: str) -> str:
    """Return what is known of a device as a comment."""
    taken = (
        "" if explanation.taken_by == "id" else f" (taken by its {markdown(explanation.taken_by)})"
    )
    sections = [Section([f"### Device {markdown_code(quoted(explanation.device))}{taken}"])]
    for story in explanation.accounts:
        title = f"#### Account {markdown_code(story.account)}: {markdown(story.summary)}"
        rows = [
            f"| {label} | {markdown(words)} |"
            for label, words in _story_rows(story, explanation.at)
        ]
        sections.append(Section([title], [Part(rows, "line", ["| | |", "|---|---|"])]))
    if explanation.others:
        sections.append(Section([markdown(_others(explanation))]))
    return comment([*sections, Section([f"Asked: {markdown(quoted(answered_by))}."])])


def _others(explanation: DeviceExplanation) -> str:
    """Return which other devices had the name that was asked for: a new fridge is often called like the old one."""
    return f"also once the name of {', '.join(map(quoted, explanation.others))}"


def _story_rows(story: Explanation, now: datetime) -> list[tuple[str, str]]:
    """Return the explanation of one device in one account, as labels and words."""
    called = ", ".join(word for word in (quoted(story.name or ""), story.type) if word)
    rows = [("called", called)] if called else []
    rows.append(("desired", f"{'yes' if story.desired else 'no'}: {one_line(story.why)}"))
    rows += [("entry at", _place(story.place))] if story.place is not None else []
    rows += [("protected", protection_words(story))] if story.protected else []
    rows += [("came in", _mark(story.came, now))] if story.came is not None else []
    rows += [("went out", _mark(story.went, now))] if story.went is not None else []
    rows.append(("observed", _observed(story, now)))
    rows += [("heard of", one_line(story.heard.summary))] if story.heard is not None else []
    rows += [("answer", _wait(story.wait, now))] if story.wait is not None else []
    rows += _hold_rows(story, now)
    rows += _labelled("approved", [_approval(one, now) for one in story.approvals])
    rows += [("trouble", one_line(story.error))] if story.error else []
    rows.append(("next", f"{one_line(story.next)}{_when(story.next_at, now)}"))
    if story.next_pass is not None and story.next_pass != story.next_at:
        rows.append(("next pass", moment_words(story.next_pass, now)))
    return rows + _labelled("changes", [_change(one) for one in story.changes])


def protection_words(story: Explanation) -> str:
    """Return what lets a protected device go, and where that was stated."""
    entry = "its entry" if story.place is not None else "its last entry"
    where = "" if story.protected_by == story.account else f" in account {story.protected_by}"
    return f"by {entry}{where}: it is unsubscribed only if an approval here names it"


def _hold_rows(story: Explanation, now: datetime) -> list[tuple[str, str]]:
    hold = story.hold
    if hold is None:
        return []
    message = f": {one_line(hold.message)}" if hold.message else ""
    until = f", until {moment_words(hold.until, now)}" if hold.until is not None else ""
    return [
        ("held", f"{hold.action} by {hold.reason} ({hold.kind}){message}{until}"),
        ("do", one_line(hold.remedy)),
    ]


def _labelled(label: str, each: Sequence[str]) -> list[tuple[str, str]]:
    return [(label if number == 0 else "", words) for number, words in enumerate(each)]


def _observed(story: Explanation, now: datetime) -> str:
    if story.observed is None:
        return "not known: no list of LG's was trusted so far"
    when = "" if story.observed_at is None else f" of {moment_words(story.observed_at, now)}"
    return f"{'in' if story.observed else 'not in'} the last trusted list{when}, with our changes since"


def _mark(mark: MarkReport, now: datetime) -> str:
    author = f" by {quoted(mark.author)}" if mark.author else ""
    subject = f": {quoted(mark.subject)}" if mark.subject else ""
    edited = ", an edit that was not committed" if mark.revision.endswith("-dirty") else ""
    return f"{moment_words(mark.at, now)} with {short_revision(mark.revision)}{author}{subject}{edited}"


def _wait(wait: WaitReport, now: datetime) -> str:
    says = _says(wait.code, wait.words) or "nothing"
    since = f", since {moment_words(wait.since, now)}" if wait.since is not None else ""
    return f"{says} ({wait.action}, {counted(wait.attempts, 'attempt')}{since})"


def _says(code: str | None, words: str) -> str:
    """Return LG's code and message, as far as there are any."""
    return " ".join(word for word in (code, quoted(words)) if word)


def _approval(approval: ApprovalReport, now: datetime) -> str:
    ends = "until" if approval.active else "no more, expired"
    place = f" ({_place(approval.place)})" if approval.place is not None else ""
    return f"{ends} {moment_words(approval.expires, now)}: {quoted(approval.reason)}{place}"


def _place(place: PlaceReport) -> str:
    return f"{quoted(place.path)}:{place.line}:{place.column}"


def _change(change: ChangeReport) -> str:
    facts = [
        f"{change.action} {change.result or 'begun, outcome not known yet'}",
        "confirmed by a list" if change.confirmed_by else "",
        "approved" if change.approved else "",
        _says(change.code, change.words),
        f"pass {change.pass_id}",
        _revision(change),
        f"message id {change.message_id}" if change.message_id else "",
        f"LG's {quoted(change.lg_message_id)}"
        if change.lg_message_id not in {None, change.message_id}
        else "",
    ]
    return f"{stamp_words(change.at)}  {', '.join(fact for fact in facts if fact)}"


def _revision(change: ChangeReport) -> str:
    author = f" by {quoted(change.author)}" if change.author else ""
    return f"{short_revision(change.revision)}{author}" if change.revision else ""


def _when(moment: datetime | None, now: datetime) -> str:
    return f": {moment_words(moment, now)}" if moment is not None else ""
