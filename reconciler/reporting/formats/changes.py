"""Past changes as text and Markdown.

Owns: how they look. Must not: know where they come from.
"""

from __future__ import annotations

from reconciler.core.errors import quoted
from reconciler.core.text import counted, short_revision, stamp_words
from reconciler.reporting.explain import ChangeReport
from reconciler.reporting.formats.comment import Part, Section, comment, table_part
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.tables import Column, Row, table
from reconciler.reporting.queries import Page

CHANGE_COLUMNS = (
    Column("name", words=True),
    Column("device"),
    Column("change", words=True),
    Column("time (UTC)", words=True),
    Column("account", drop=2, words=True),
    Column("LG says", drop=1, words=True),
    Column("revision", drop=3),
    Column("author", drop=4, words=True),
    Column("pass", drop=6),
    Column("message ids", drop=5),
)
COMMENT_COLUMNS = (
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


def history_text(page: Page, screen: Screen | None = None) -> str:
    """Return past changes for a terminal, newest first."""
    if not page.changes:
        return "No change.\n"
    shown = screen or Screen()
    ids = shown.ids(one.device for one in page.changes)
    rows = []
    for one in page.changes:
        time, account, _device, name, change, *more = _change_row(one)
        device = quoted(ids[one.device])
        says, revision, author, pass_id, messages = more
        rows.append(
            (
                name,
                device,
                change,
                time.removesuffix(" UTC"),
                account,
                says,
                revision,
                author,
                pass_id,
                messages,
            )
        )
    return "\n".join([*table(CHANGE_COLUMNS, rows, shown), *_older(page)]) + "\n"


def history_markdown(page: Page) -> str:
    """Return past changes as a comment, newest first."""
    rows = [_change_row(one) for one in page.changes]
    parts = [table_part(COMMENT_COLUMNS, rows, "change", code=(2,)), Part(_older(page)[1:], "line")]
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
    says = " ".join(word for word in (one.code, quoted(one.words)) if word)
    ids = " ".join(
        dict.fromkeys(quoted(word) for word in (one.message_id, one.lg_message_id) if word)
    )
    revision, author = short_revision(one.revision or ""), quoted(one.author or "")
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
