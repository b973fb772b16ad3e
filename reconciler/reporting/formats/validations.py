"""What ``validate`` found: faults, and what a change of the files adds and removes.

A workflow command stays one, whatever a fault quotes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from reconciler.core.errors import Fault, quoted
from reconciler.core.model import Desired, DeviceId
from reconciler.core.text import counted, markdown, markdown_code, one_line, readable
from reconciler.reporting.formats.comment import LONGEST, Part, Section, comment
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.excerpts import Sources
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.styles import FENCE, SHOWN
from reconciler.reporting.formats.tables import Column, Row, table

if (
    TYPE_CHECKING
):  # most who validate compare nothing, and a report rests on everything that a pass is
    from reconciler.reporting.diff import Comparison, Difference


def findings_lines(
    faults: Sequence[Fault], warnings: Sequence[Fault], sources: Sources | None = None
) -> list[str]:
    """Return what ``validate`` found as messages for people, each with its line of the sources, where they have it.

    Under several faults their number follows. Lines of sources are indented, and nothing else is.
    """
    quoting = sources or Sources({})
    lines: list[str] = []
    for mark, each in (("", faults), (" (warning)", warnings)):
        for number, one in enumerate(each):
            lines.append(f"{one_line(str(one))}{mark}")
            lines += quoting.excerpt(one) if number < SHOWN else []
    if len(faults) > 1:
        lines.append(", ".join(_numbers(faults, warnings)))
    return lines


def _numbers(faults: Sequence[Fault], warnings: Sequence[Fault]) -> list[str]:
    found = [counted(len(faults), "fault")]
    return [*found, counted(len(warnings), "warning")] if warnings else found


def good_news(accounts: Sequence[Desired]) -> str:
    """Return in one line what a valid desired state wants."""
    devices = sum(len(account.devices) for account in accounts)
    return f"valid: {counted(len(accounts), 'account')}, {counted(devices, 'device')}\n"


def events_news(sinks: int, types: int, locales: Sequence[str]) -> str:
    """Return in one line what a faultless events file and its Logic Table have."""
    spoken = f", messages in {', '.join(locales)}" if locales else ""
    return f"valid: {counted(sinks, 'sink')}, {counted(types, 'diagnosis type')}{spoken}\n"


MOVED_COLUMNS = (Column("", gap=1), Column("", words=True), Column(""), Column("", words=True))
"""Sign, name, id and note of a device."""


def comparison_text(compared: Sequence[Comparison], screen: Screen | None = None) -> str:
    """Return what changed since a revision, a row for each device, for a terminal."""
    shown = screen or Screen()
    lines = []
    for one in compared:
        lines += shown.lines(_since(one), indent=2)
        for account in one.differences:
            lines += shown.lines(f"account {account.account}: {_difference(account)}", indent=2)
            lines += table(
                MOVED_COLUMNS, _moved_rows(account, shown), shown, indent=2, titled=False
            )
            for row in _changed_keys(account):
                lines += shown.lines(f"  {row}", indent=4)
    return "".join(f"{line}\n" for line in lines)


def _moved_rows(account: Difference, screen: Screen) -> list[Row]:
    moved = _moved(account)
    ids = screen.ids(device for _sign, device, _notes in moved if device)
    rows: list[Row] = []
    for sign, device, notes in moved:
        name = account.names.get(device, "") if device else "…"
        rows.append((sign, quoted(name), quoted(ids.get(device, "")), ", ".join(notes)))
    return rows


def _comparison_sections(compared: Sequence[Comparison]) -> Iterator[Section]:
    for one in compared:
        yield Section([f"#### {markdown(_since(one))}"], what="comparison")
        for account in one.differences:
            title = f"Account {markdown_code(account.account)}: {markdown(_difference(account))}"
            yield Section([title], [_devices_part(account), _keys_part(account)])


def _devices_part(account: Difference) -> Part:
    rows, signs = [], []
    for sign, device, notes in _moved(account):
        name = [account.names[device]] if device in account.names else []
        shown = markdown_code(device or "…")
        rows.append(f"| {sign} | {shown} | {markdown(', '.join([*name, *notes]))} |")
        signs.append(sign)
    return Part(
        rows, "row", ["| | device | |", "|---|---|---|"], labels=signs, first=("-", "+"), rank=1
    )


def _keys_part(account: Difference) -> Part:
    return Part(_changed_keys(account), "changed line", [f"{FENCE}diff"], [FENCE])


def _since(one: Comparison) -> str:
    by = f"{quoted(one.commit.author)}: {quoted(one.commit.subject)}"
    where = f"{quoted(one.revision)} ({one.commit.id[:12]}, {by})"
    if one.trouble:
        return f"cannot be compared with {where}: {one_line(one.trouble)}"
    return f"compared with {where}" if one.differences else f"wants the same as {where}"


def _difference(one: Difference) -> str:
    """Return in one line how an account differs."""
    unapproved = len(one.removed) - len(one.approved)
    parts = [one.fate] if one.fate else []
    parts += [f"{counted(len(one.added), 'device')} added"] if one.added else []
    if one.removed:
        parts.append(f"{counted(len(one.removed), 'device')} removed")
        parts += (
            [f"{unapproved} of them without an approval"] if one.approved and unapproved else []
        )
        parts += ["all approved"] if not unapproved else []
        parts += _elsewhere(one)
        parts += _protected(one)
    parts += (
        [f"{counted(len(one.edited), 'entry')} edited".replace("entrys", "entries")]
        if one.edited
        else []
    )
    parts += (
        [f"{counted(len(one.unprotected), 'device')} no longer protected"]
        if one.unprotected
        else []
    )
    parts += [f"{len(one.silent)} still protected, without the key"] if one.silent else []
    parts += ["policy changed"] if one.keys else []
    return ", ".join(parts)


def _protected(one: Difference) -> list[str]:
    """Say which removed devices are protected, as they are held until an approval here."""
    held = one.protected - one.approved
    return [f"{len(held)} protected and held until approved"] if held else []


def _elsewhere(one: Difference) -> list[str]:
    """Say which removed devices another account wants, as they are held until an approval here."""
    held = [account for device, account in one.elsewhere.items() if device not in one.approved]
    if not held:
        return []
    accounts = ", ".join(sorted(set(held)))
    return [f"{len(held)} wanted by {accounts} and held here by wanted-elsewhere until approved"]


def _moved(one: Difference) -> list[tuple[str, DeviceId, list[str]]]:
    """Return rows of sign, device and notes, not too many of each kind; the row of the others has no device."""
    rows: list[tuple[str, DeviceId, list[str]]] = []
    for sign, devices in (("+", one.added), ("-", one.removed), ("~", one.edited)):
        for device in devices[:SHOWN]:
            notes = []
            if sign == "-" and device in one.elsewhere:
                notes.append(f"wanted by {one.elsewhere[device]}")
            if device in one.protected:
                notes.append("protected")
            if device in one.unprotected:
                notes.append("no longer protected")
            if device in one.silent:
                notes.append("still protected: only protected = false ends that")
            if device in one.approved:
                notes.append("approved")
            rows.append((sign, device, notes))
        if len(devices) > SHOWN:
            rows.append((sign, DeviceId(""), [f"and {len(devices) - SHOWN} more"]))
    return rows


def _changed_keys(one: Difference) -> list[str]:
    pairs = [(f"- {old}" if old else "", f"+ {new}" if new else "") for old, new in one.keys]
    return [one_line(line) for pair in pairs for line in pair if line]


def _comparison_json(one: Comparison) -> dict[str, Any]:
    return {
        "revision": one.revision,
        "commit": one.commit.id,
        "author": one.commit.author,
        "subject": one.commit.subject,
        "trouble": one.trouble or None,
        "accounts": [
            {
                "account": account.account,
                "fate": account.fate or None,
                "added": account.added,
                "removed": account.removed,
                "edited": account.edited,
                "approved": sorted(account.approved),
                "elsewhere": dict(sorted(account.elsewhere.items())),
                "protected": sorted(account.protected),
                "unprotected": sorted(account.unprotected),
                "keys": [
                    {"before": old or None, "after": new or None} for old, new in account.keys
                ],
            }
            for account in one.differences
        ],
    }


def findings_json(
    faults: Sequence[Fault],
    warnings: Sequence[Fault],
    accounts: Sequence[Desired],
    compared: Sequence[Comparison] = (),
) -> str:
    """Return what ``validate`` found, whole."""
    document = {
        "version": 1,
        "valid": not faults,
        "faults": faults,
        "warnings": warnings,
        "accounts": [
            {"account": one.account, "devices": len(one.devices), "path": one.path}
            for one in accounts
        ],
        "against": [_comparison_json(one) for one in compared],
    }
    return json_text(document)


def findings_markdown(
    faults: Sequence[Fault],
    warnings: Sequence[Fault],
    accounts: Sequence[Desired],
    compared: Sequence[Comparison] = (),
    *,
    what: str = "desired state",
    longest: int = LONGEST,
) -> str:
    """Return what ``validate`` found as a comment on a pull request of at most ``longest`` characters."""
    errors = [f"- **error** {markdown(str(fault))}" for fault in faults]
    others = [f"- warning {markdown(str(warning))}" for warning in warnings]
    lines = [*errors, *others, *map(_account_line, accounts)]
    labels = [*["errors"] * len(errors), *["warnings"] * len(others), *["accounts"] * len(accounts)]
    part = Part(lines, "line", labels=labels, first=("errors", "warnings"))
    head = Section([f"### The {what} is {'valid' if not faults else 'not valid'}"], [part])
    return comment([head, *_comparison_sections(compared)], longest)


def _account_line(account: Desired) -> str:
    return f"- account {markdown_code(account.account)}: {counted(len(account.devices), 'device')}"


def findings_github(
    faults: Sequence[Fault],
    warnings: Sequence[Fault],
    compared: Sequence[Comparison] = (),
) -> str:
    """Return what ``validate`` found as workflow commands, which GitHub shows beside the lines they are about."""
    lines = [_annotation("error", fault) for fault in faults]
    lines += [_annotation("warning", warning) for warning in warnings]
    for one in compared:
        if one.trouble or not one.differences:
            lines.append(_annotation("notice", Fault("", 0, 0, _since(one))))
        for account in one.differences:
            words = f"account {account.account}: {_difference(account)}, {_since(one)}"
            lines.append(
                _annotation("notice", Fault(account.path, 1 if account.path else 0, 0, words))
            )
    return "".join(f"{line}\n" for line in lines)


def _annotation(level: str, fault: Fault) -> str:
    """Return one workflow command. Whatever the fault quotes, it stays one line and one command."""
    place = (
        f" file={_property(fault.path)},line={max(fault.line, 1)},col={max(fault.column, 1)}"
        if fault.path
        else ""
    )
    return f"::{level}{place}::{_data(fault.message)}"


def _data(text: str) -> str:
    return readable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
