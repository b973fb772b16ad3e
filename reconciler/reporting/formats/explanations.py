"""Statuses, explanations of devices and past changes as text, JSON and Markdown.

Owns: how they look. Must not: know where they come from, or decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from reconciler.core.errors import quoted
from reconciler.core.text import (
    counted,
    markdown,
    markdown_code,
    moment_words,
    one_line,
    plural,
    stamp_words,
)
from reconciler.reporting import AccountReport, StatusReport, TextReport
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
from reconciler.reporting.queries import DeviceExplanation, Page, RefusedReport

SHORT = 12
"""How many characters of a commit id people are shown."""
STATES = ("in_sync", "missing", "extra", "unmanaged")

Row = Sequence[str]


def as_json(report: object, **more: object) -> str:
    """Return a report as the HTTP surface gives it."""
    plain: dict[str, object] = msgspec.to_builtins(report)
    return json_text({"api": 1, **plain, **more})


# -- status

ACCOUNT_COLUMNS = ("account", "condition", "wanted", *STATES, "held", "last trusted list")


def status_text(status: StatusReport) -> str:
    """Return a status for a terminal."""
    lines = [one_line(status.summary), f"revision: {_text_line(status)}", ""]
    lines += _table(ACCOUNT_COLUMNS, [_account_row(one, status.at) for one in status.accounts])
    for one in status.accounts:
        lines += [f"{one.account}: {note}" for note in _account_notes(one, status.at)]
    lines += [f"abandoned: {', '.join(status.abandoned)}"] if status.abandoned else []
    return "\n".join(lines) + "\n"


def status_markdown(status: StatusReport) -> str:
    """Return a status as a comment."""
    title = [f"### {markdown(status.summary)}", "", f"Revision: {markdown(_text_line(status))}"]
    rows = [_account_row(one, status.at) for one in status.accounts]
    quiet = ["not settled" if not one.settled else "settled" for one in status.accounts]
    notes = [
        f"- {markdown_code(one.account)}: {markdown(note)}"
        for one in status.accounts
        for note in _account_notes(one, status.at)
    ]
    gone = [f"- abandoned: {markdown(name)}" for name in status.abandoned]
    parts = [
        _table_part(ACCOUNT_COLUMNS, rows, "account", labels=quiet, first=("not settled",)),
        Part(notes, "note"),
        Part(gone, "abandoned account"),
    ]
    return comment([Section(title, parts)])


def _text_line(status: StatusReport) -> str:
    text = status.text
    if text.revision is None:
        return "none is in force"
    read = (
        f", read {moment_words(text.fetched_at, status.at)}" if text.fetched_at is not None else ""
    )
    return one_line(f"{_short(text.revision)}{_commit(text)} from {text.source}{read}")


def _commit(text: TextReport) -> str:
    if text.commit is None:
        return ""
    edited = "an edit that is not committed, on top of " if text.commit.dirty else ""
    return f" ({edited}{text.commit.subject}, by {text.commit.author})"


def _account_row(account: AccountReport, now: datetime) -> Row:
    states = [str(account.devices.get(state, "-")) for state in STATES]
    held = str(sum(one.count for one in account.held))
    condition = account.condition.replace("_", " ")
    return (
        account.account,
        condition,
        str(account.desired),
        *states,
        held,
        moment_words(account.last_success, now),
    )


def _account_notes(account: AccountReport, now: datetime) -> list[str]:
    notes = [f"the newest revision is rejected ({account.rejected})"] if account.rejected else []
    notes += [one_line(account.error)] if account.error else []
    holding = {one.reason for one in account.held}
    for guard in account.guards:
        if guard.reason not in holding:
            notes.append(f"{guard.reason}: {one_line(guard.message)}")
    for one in account.held:
        until = f", until {moment_words(one.until, now)}" if one.until is not None else ""
        message = f": {one_line(one.message)}" if one.message else ""
        notes.append(
            f"{one.reason} holds {one.count} {plural(one.action, one.count)}{message}{until}"
        )
    return notes + [one_line(remark) for remark in account.remarks]


# -- refused devices

REFUSED_COLUMNS = ("account", "device", "name", "LG says", "attempts", "since", "next try")


def refused_text(refused: Sequence[RefusedReport], now: datetime) -> str:
    """Return the devices that LG refused for a terminal."""
    if not refused:
        return "LG refuses no device.\n"
    return "\n".join(_table(REFUSED_COLUMNS, [_refused_row(one, now) for one in refused])) + "\n"


def refused_markdown(refused: Sequence[RefusedReport], now: datetime) -> str:
    """Return the devices that LG refused as a comment."""
    rows = [_refused_row(one, now) for one in refused]
    title = f"### LG refuses {counted(len(refused), 'device')}"
    return comment([Section([title], [_table_part(REFUSED_COLUMNS, rows, "device", code=(1,))])])


def refused_json(refused: Sequence[RefusedReport]) -> str:
    """Return the devices that LG refused, whole."""
    return json_text({"api": 1, "refused": refused})


def _refused_row(one: RefusedReport, now: datetime) -> Row:
    wait = one.wait
    since = moment_words(wait.since, now) if wait.since is not None else "not known"
    says = _says(wait.code, wait.words)
    tried = moment_words(wait.next_try, now)
    return (
        one.account,
        quoted(one.device),
        quoted(one.name or ""),
        says,
        str(wait.attempts),
        since,
        tried,
    )


# -- one device


def explanation_text(explanation: DeviceExplanation, answered_by: str) -> str:
    """Return what is known of a device for a terminal; ``answered_by`` says who was asked."""
    head = [f"device {quoted(explanation.device)}"]
    if explanation.taken_by != "id":
        head.append(f"  taken by its {explanation.taken_by}")
    parts = ["\n".join(head)]
    for story in explanation.accounts:
        rows = _story_rows(story, explanation.at)
        width = max(len(label) for label, _ in rows)
        lines = [f"account {story.account}: {one_line(story.summary)}"]
        parts.append(
            "\n".join(
                [*lines, *(f"  {label.ljust(width)}  {words}".rstrip() for label, words in rows)]
            )
        )
    return "\n\n".join([*parts, f"Asked: {one_line(answered_by)}."]) + "\n"


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
    return comment([*sections, Section([f"Asked: {markdown(quoted(answered_by))}."])])


def _story_rows(story: Explanation, now: datetime) -> list[tuple[str, str]]:
    """Return the explanation of one device in one account, as labels and words."""
    called = ", ".join(word for word in (quoted(story.name or ""), story.type) if word)
    rows = [("called", called)] if called else []
    rows.append(("desired", f"{'yes' if story.desired else 'no'}: {one_line(story.why)}"))
    rows += [("entry at", _place(story.place))] if story.place is not None else []
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
    return f"{moment_words(mark.at, now)} with {_short(mark.revision)}{author}{subject}{edited}"


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
    return f"{_short(change.revision)}{author}" if change.revision else ""


def _when(moment: datetime | None, now: datetime) -> str:
    return f": {moment_words(moment, now)}" if moment is not None else ""


# -- past changes

CHANGE_COLUMNS = (
    "time",
    "account",
    "device",
    "name",
    "change",
    "LG says",
    "revision",
    "author",
    "pass",
    "message ids",
)


def history_text(page: Page) -> str:
    """Return past changes for a terminal, newest first."""
    if not page.changes:
        return "No change.\n"
    lines = _table(CHANGE_COLUMNS, [_change_row(one) for one in page.changes])
    return "\n".join([*lines, *_older(page)]) + "\n"


def history_markdown(page: Page) -> str:
    """Return past changes as a comment, newest first."""
    rows = [_change_row(one) for one in page.changes]
    parts = [_table_part(CHANGE_COLUMNS, rows, "change", code=(2,)), Part(_older(page)[1:], "line")]
    return comment([Section([f"### {counted(len(page.changes), 'change')}"], parts)])


def _older(page: Page) -> list[str]:
    return (
        ["", "There are older ones: raise --limit, or set --until."]
        if page.next is not None
        else []
    )


def _change_row(one: ChangeReport) -> Row:
    how = [f"{one.action} {one.result or 'begun'}", *(["by list"] if one.confirmed_by else [])]
    how += ["approved"] if one.approved else []
    says = _says(one.code, one.words)
    ids = " ".join(
        dict.fromkeys(quoted(word) for word in (one.message_id, one.lg_message_id) if word)
    )
    revision, author = _short(one.revision or ""), quoted(one.author or "")
    name = quoted(one.name or "")
    return (
        stamp_words(one.at),
        one.account,
        quoted(one.device),
        name,
        ", ".join(how),
        says,
        revision,
        author,
        one.pass_id,
        ids,
    )


# -- tables


def _table(columns: Row, rows: Iterable[Row]) -> list[str]:
    """Return rows under their columns; a column that is empty throughout is left out."""
    every = [tuple(one_line(cell) for cell in row) for row in rows]
    used = [index for index in range(len(columns)) if any(row[index] for row in every)]
    shown = [[row[index] for index in used] for row in (tuple(columns), *every)] if every else []
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def _table_part(
    columns: Row,
    rows: Sequence[Row],
    what: str,
    *,
    code: Sequence[int] = (),
    labels: Sequence[str] = (),
    first: Sequence[str] = (),
) -> Part:
    """Return rows under their columns for a comment; those at the places in ``code`` are ids."""
    lines = []
    for row in rows:
        cells = [
            markdown_code(cell) if index in code else markdown(cell)
            for index, cell in enumerate(row)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return Part(lines, what, head, labels=labels, first=first)


def _short(revision: str) -> str:
    """Return the beginning of a revision, long enough to recognise it."""
    kind, colon, digest = revision.rpartition(":")
    commit, dirty, _ = digest.partition("-dirty")
    return f"{kind}{colon}{commit[:SHORT]}{dirty}"
