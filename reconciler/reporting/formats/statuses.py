"""Statuses and refused devices as text, JSON and Markdown.

Owns: how they look. Must not: know where they come from, or decide anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reconciler.core.errors import quoted
from reconciler.core.model import Pause
from reconciler.core.text import (
    counted,
    markdown,
    markdown_code,
    moment_words,
    one_line,
    plural,
    short_revision,
    span_words,
)
from reconciler.reporting import windows
from reconciler.reporting.attention import parted
from reconciler.reporting.formats.comment import Part, Section, comment, table_part
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.tables import Column, Row, table
from reconciler.reporting.pauses import PauseReport
from reconciler.reporting.queries import RefusedReport
from reconciler.reporting.status import AccountReport, StatusReport, TextReport

STATES = ("in_sync", "missing", "extra", "unmanaged")
ACCOUNT_COLUMNS = (
    Column("account", words=True),
    Column("condition"),
    Column("wanted", drop=3),
    Column("in sync"),
    Column("missing"),
    Column("extra", drop=2),
    Column("unmanaged", drop=4),
    Column("held"),
    Column("last list", drop=1, words=True),
)
COMMENT_COLUMNS = ("account", "condition", "wanted", *STATES, "held", "last trusted list")


# -- status


def status_text(
    status: StatusReport, screen: Screen | None = None, *, everything: bool = False
) -> str:
    """Return a status for a terminal.

    Accounts that need a person come first; of many, those as wanted are one line unless ``everything`` is shown.
    """
    shown = screen or Screen()
    lines = shown.lines(one_line(status.summary))
    lines += shown.lines(f"revision: {_text_line(status)}", indent=10)
    for pause in status.pauses:
        lines += shown.lines(one_line(f"paused: {_pause_words(pause, status.at)}"), indent=8)
    for line in windows.lines(status.windows):
        lines += shown.lines(one_line(line), indent=8)
    rows, calm = parted(status.accounts)
    if everything:
        rows, calm = [*rows, *calm], []
    lines += ["", *table(ACCOUNT_COLUMNS, [_cells(one, status.at, shown) for one in rows], shown)]
    if calm:
        others = "other " if rows else ""
        lines.append(f"{len(calm)} {others}accounts as wanted (--all)")
    for one in rows:
        for note in _account_notes(one, status.at):
            lines += shown.lines(f"{one.account}: {note}", indent=2)
    if status.abandoned:
        lines += shown.lines(f"abandoned: {', '.join(status.abandoned)}", indent=2)
    return "\n".join(lines) + "\n"


def status_markdown(status: StatusReport) -> str:
    """Return a status as a comment."""
    title = [f"### {markdown(status.summary)}", "", f"Revision: {markdown(_text_line(status))}"]
    rows = [_account_row(one, status.at) for one in status.accounts]
    quiet = ["not settled" if not one.settled else "settled" for one in status.accounts]
    notes = [f"- paused: {markdown(_pause_words(one, status.at))}" for one in status.pauses]
    notes += [f"- {markdown(line)}" for line in windows.lines(status.windows)]
    notes += [
        f"- {markdown_code(one.account)}: {markdown(note)}"
        for one in status.accounts
        for note in _account_notes(one, status.at)
    ]
    gone = [f"- abandoned: {markdown(name)}" for name in status.abandoned]
    parts = [
        table_part(COMMENT_COLUMNS, rows, "account", labels=quiet, first=("not settled",)),
        Part(notes, "note"),
        Part(gone, "abandoned account"),
    ]
    return comment([Section(title, parts)])


def _pause_words(pause: PauseReport, now: datetime) -> str:
    """Return what a pause stops, for how long, why, and who set it."""
    what = "unsubscribes of " if pause.pause == Pause.UNSUBSCRIBE else ""
    whose = "all accounts" if pause.account is None else f"account {pause.account}"
    until = f" until {moment_words(pause.until, now)}" if pause.until is not None else ""
    who = f" (by {quoted(pause.set_by)})" if pause.set_by else ""
    return f"{what}{whose}{until}: {quoted(pause.reason)}{who}"


def _text_line(status: StatusReport) -> str:
    text = status.text
    if text.revision is None:
        return "none is in force"
    read = (
        f", read {moment_words(text.fetched_at, status.at)}" if text.fetched_at is not None else ""
    )
    return one_line(f"{short_revision(text.revision)}{_commit(text)} from {text.source}{read}")


def _commit(text: TextReport) -> str:
    if text.commit is None:
        return ""
    edited = "an edit that is not committed, on top of " if text.commit.dirty else ""
    return f" ({edited}{text.commit.subject}, by {text.commit.author})"


def _account_row(account: AccountReport, now: datetime) -> Row:
    return (*_figures(account), moment_words(account.last_success, now))


def _cells(account: AccountReport, now: datetime, screen: Screen) -> Row:
    """Return the row of an account for a terminal, where a time in words is enough."""
    if screen.wide or account.last_success is None:
        return _account_row(account, now)
    return (*_figures(account), span_words(account.last_success, now))


def _figures(account: AccountReport) -> Row:
    states = [str(account.devices.get(state, "-")) for state in STATES]
    held = str(sum(one.count for one in account.held))
    condition = account.condition.replace("_", " ")
    return (account.account, condition, str(account.desired), *states, held)


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

REFUSED_COLUMNS = (
    Column("name", words=True),
    Column("device"),
    Column("LG says", words=True),
    Column("next try", words=True),
    Column("account", drop=1, words=True),
    Column("attempts", drop=2),
    Column("since", drop=3, words=True),
)
REFUSED_TITLES = ("account", "device", "name", "LG says", "attempts", "since", "next try")


def refused_text(
    refused: Sequence[RefusedReport], now: datetime, screen: Screen | None = None
) -> str:
    """Return the devices that LG refused for a terminal."""
    if not refused:
        return "LG refuses no device.\n"
    shown = screen or Screen()
    ids = shown.ids(one.device for one in refused)
    rows = []
    for one in refused:
        account, _device, name, says, attempts, since, tried = _refused_row(one, now)
        if not shown.wide:
            tried = span_words(one.wait.next_try, now)
            since = span_words(one.wait.since, now) if one.wait.since is not None else since
        rows.append((name, quoted(ids[one.device]), says, tried, account, attempts, since))
    return "\n".join(table(REFUSED_COLUMNS, rows, shown)) + "\n"


def refused_markdown(refused: Sequence[RefusedReport], now: datetime) -> str:
    """Return the devices that LG refused as a comment."""
    rows = [_refused_row(one, now) for one in refused]
    title = f"### LG refuses {counted(len(refused), 'device')}"
    return comment([Section([title], [table_part(REFUSED_TITLES, rows, "device", code=(1,))])])


def refused_json(refused: Sequence[RefusedReport]) -> str:
    """Return the devices that LG refused, whole."""
    return json_text({"api": 1, "refused": refused})


def _refused_row(one: RefusedReport, now: datetime) -> Row:
    wait = one.wait
    since = moment_words(wait.since, now) if wait.since is not None else "not known"
    says = " ".join(word for word in (wait.code, quoted(wait.words)) if word)
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
