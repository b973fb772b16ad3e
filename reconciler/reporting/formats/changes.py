"""Past changes as text and Markdown.

Owns: how they look. Must not: know where they come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.core.errors import quoted
from reconciler.core.text import counted, markdown, short_revision
from reconciler.reporting.explain import ChangeReport
from reconciler.reporting.formats.comment import Part, Section, comment, table_part
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.tables import Column, Row, table
from reconciler.reporting.moments import IN_UTC, Zone
from reconciler.reporting.queries import Page

_IN_COMMENT = (
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


def _columns(zone: Zone, accounts: int) -> Sequence[Column]:
    """Return the columns. Rooms of two hotels may have one name, so the account stays where there are several."""
    return (
        Column("name", words=True),
        Column("device"),
        Column("change", words=True),
        Column(f"time ({zone.title})"),
        Column("account", drop=1 if accounts > 1 else 7, words=True),
        Column("LG says", drop=2, words=True),
        Column("revision", drop=3),
        Column("author", drop=4, words=True),
        Column("pass", drop=6),
        Column("message ids", drop=5),
    )


def history_text(page: Page, screen: Screen | None = None, zone: Zone = IN_UTC) -> str:
    """Return past changes for a terminal, newest first, with the times of a zone; seconds are for wide tables."""
    if not page.changes:
        return "\n".join(["No change.", *_openings(page, zone)]) + "\n"
    shown = screen or Screen()
    ids = shown.ids(one.device for one in page.changes)
    rows = []
    for one in page.changes:
        _time, account, _device, name, change, *more = _change_row(one, zone)
        time = zone.stamp(one.at) if shown.wide else zone.minute(one.at)
        device = quoted(ids[one.device])
        says, revision, author, pass_id, messages = more
        rows.append(
            (
                name,
                device,
                change,
                time,
                account,
                says,
                revision,
                author,
                pass_id,
                messages,
            )
        )
    accounts = len({one.account for one in page.changes})
    lines = [*table(_columns(zone, accounts), rows, shown), *_older(page)]
    return "\n".join([*lines, *_openings(page, zone)]) + "\n"


def history_markdown(page: Page, zone: Zone = IN_UTC) -> str:
    """Return past changes as a comment, newest first, with the times of a zone."""
    rows = [_change_row(one, zone) for one in page.changes]
    titles = (f"time ({zone.title})", *_IN_COMMENT)
    opened = [f"- {markdown(line)}" for line in _openings(page, zone)[1:]]
    parts = [
        table_part(titles, rows, "change", code=(2,)),
        Part([*opened, *_older(page)[1:]], "line"),
    ]
    return comment([Section([f"### {counted(len(page.changes), 'change')}"], parts)])


def _older(page: Page) -> list[str]:
    return (
        ["", "There are older ones: raise --limit, or set --until."]
        if page.next is not None
        else []
    )


def _openings(page: Page, zone: Zone) -> list[str]:
    """Return a line for each change window that a command opened, newest first."""
    lines = []
    for one in page.openings:
        who = f" by {quoted(one.set_by)}" if one.set_by else ""
        how = "" if one.ended_by == "time" else f" ({one.ended_by})"
        span = f"from {zone.minute(one.at)} to {zone.minute(one.ended)}{how}, {zone.title}"
        lines.append(f"window {one.window}: opened{who} {span}: {quoted(one.reason)}")
    return ["", *lines] if lines else []


def _change_row(one: ChangeReport, zone: Zone) -> Row:
    how = [f"{one.action} {one.result or 'begun'}", *(["by list"] if one.confirmed_by else [])]
    how += ["approved"] if one.approved else []
    says = " ".join(word for word in (one.code, quoted(one.words)) if word)
    ids = " ".join(
        dict.fromkeys(quoted(word) for word in (one.message_id, one.lg_message_id) if word)
    )
    revision, author = short_revision(one.revision or ""), quoted(one.author or "")
    name = quoted(one.name or "")
    return (
        zone.stamp(one.at),
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
