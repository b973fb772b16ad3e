"""Reports, plans and faults as text, JSON, Markdown and workflow commands.

Owns: how things look. Must not: know where they come from, or decide anything.

Words from outside (names of devices, ids that LG lists, LG's messages, names of files) are made fit for where they are
shown: on a terminal they cannot steer it, in Markdown they are never markup, and a workflow command stays one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from reconciler import approvals
from reconciler.errors import Fault, quoted
from reconciler.model import Action, Change, Desired, DeviceId, Held, Kind
from reconciler.report import PlanReport, held_reports, total

SHOWN = 50
"""So many devices of one kind are listed for people; JSON holds all."""

SIGNS = {Action.SUBSCRIBE: "+", Action.UNSUBSCRIBE: "-"}
GREEN, RED, YELLOW, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
FENCE = "~~~~~~~~"
"""Around a block of code. An id may hold any character, but none as long as this begins a line of TOML."""
MARKUP = frozenset("\\`*_{}[]<>|!~&$")
"""What Markdown may take for more than a character of a word."""
COLOURS = {"+": GREEN, "-": RED, "+?": YELLOW, "-?": YELLOW, "?": YELLOW, "error:": RED}


def moment_words(moment: datetime | None, now: datetime) -> str:
    """Return a moment both ways: ``2026-11-22 10:00:00 UTC (4 minutes ago)``."""
    if moment is None:
        return "never"
    stamp = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return stamp
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count = int(abs(seconds) // size)
        if count:
            spoken = f"{count} {word}{'s' if count > 1 else ''}"
            return f"{stamp} ({spoken} ago)" if seconds > 0 else f"{stamp} (in {spoken})"
    return stamp


def plan_text(
    reports: Sequence[PlanReport], *, done: bool = False, colours: bool = False, approval: str | None = None
) -> str:
    """Return plans, or what ``apply`` did, for a terminal.

    ``approval`` is the device file that was written for the one account that waits for a person's word.
    """
    parts = []
    for report in reports:
        lines = _account_lines(report, done=done)
        parts.append("\n".join(map(_coloured, lines) if colours else lines))
        if block := _approval(report, approval):
            parts.append(f"# To let these devices go, commit this with a reason:\n{block}".rstrip("\n"))
    return "\n\n".join([*parts, _last_line(reports, done=done)]) + "\n"


def _coloured(line: str) -> str:
    """Colour a line by the sign at its beginning."""
    colour = COLOURS.get((line.split(maxsplit=1) or [""])[0]) if line.startswith("  ") else None
    return f"{colour}{line}{PLAIN}" if colour else line


def plan_markdown(reports: Sequence[PlanReport], *, done: bool = False, approval: str | None = None) -> str:
    """Return plans, or what ``apply`` did, as a comment on a pull request."""
    parts = [f"### {_last_line(reports, done=done)}"]
    for report in reports:
        lines = [f"#### Account `{report.account}`", ""]
        if report.ending.error:
            lines += [f"**{_words(report.ending.error)}**", ""]
        rows = _rows(report, done=done)
        if rows:
            lines += ["| | device | name | |", "|---|---|---|---|"]
            lines += [
                f"| {sign} | {_code(device)} | {_words(name)} | {_words(note)} |" for sign, device, name, note in rows
            ]
            lines.append("")
        lines += [
            f"- **{one.reason}** holds {one.count} {_plural(one.action, one.count)}{_words(_message(one.message))}"
            for one in _held(report)
        ]
        lines += [f"- {line}" for line in _facts(report)]
        if block := _approval(report, approval):
            lines += ["", "To let these devices go, commit this with a reason:", "", f"{FENCE}toml\n{block}{FENCE}"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def plan_json(reports: Sequence[PlanReport], *, code: int, approval: str | None = None) -> str:
    """Return plans, or what ``apply`` did, whole."""
    accounts = [_account_json(report) | {"approval": _approval(report, approval) or None} for report in reports]
    return _json({"version": 1, "exit_code": code, "summary": total(reports), "accounts": accounts})


def findings_lines(faults: Sequence[Fault], warnings: Sequence[Fault]) -> list[str]:
    """Return what ``validate`` found, a line each, as messages for people."""
    return [_one_line(str(fault)) for fault in faults] + [f"{_one_line(str(one))} (warning)" for one in warnings]


def good_news(accounts: Sequence[Desired]) -> str:
    """Return in one line what a faultless text wants."""
    devices = sum(len(account.devices) for account in accounts)
    return f"valid: {_count(len(accounts), 'account')}, {_count(devices, 'device')}\n"


def findings_json(faults: Sequence[Fault], warnings: Sequence[Fault], accounts: Sequence[Desired]) -> str:
    """Return what ``validate`` found, whole."""
    document = {
        "version": 1,
        "valid": not faults,
        "faults": faults,
        "warnings": warnings,
        "accounts": [{"account": one.account, "devices": len(one.devices), "path": one.path} for one in accounts],
    }
    return _json(document)


def findings_markdown(faults: Sequence[Fault], warnings: Sequence[Fault], accounts: Sequence[Desired]) -> str:
    """Return what ``validate`` found as a comment on a pull request."""
    lines = [f"### The desired state is {'valid' if not faults else 'not valid'}", ""]
    lines += [f"- **error** {_words(str(fault))}" for fault in faults]
    lines += [f"- warning {_words(str(warning))}" for warning in warnings]
    lines += [f"- account `{one.account}`: {_count(len(one.devices), 'device')}" for one in accounts]
    return "\n".join(lines) + "\n"


def findings_github(faults: Sequence[Fault], warnings: Sequence[Fault], _accounts: Sequence[Desired]) -> str:
    """Return what ``validate`` found as workflow commands, which GitHub shows beside the lines they are about."""
    lines = [_annotation("error", fault) for fault in faults]
    lines += [_annotation("warning", warning) for warning in warnings]
    return "".join(f"{line}\n" for line in lines)


def _annotation(level: str, fault: Fault) -> str:
    """Return one workflow command. Whatever the fault quotes, it stays one line and one command."""
    place = f" file={_property(fault.path)},line={max(fault.line, 1)},col={max(fault.column, 1)}" if fault.path else ""
    return f"::{level}{place}::{_data(fault.message)}"


def _data(text: str) -> str:
    return _readable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _account_json(report: PlanReport) -> dict[str, Any]:
    plan, ending = report.plan, report.ending
    return {
        "account": report.account,
        "revision": report.revision,
        "error": ending.error or None,
        "condition": ending.condition,
        "result": ending.result,
        "unexpected": ending.unexpected,
        "digest": plan.digest or None,
        "remarks": report.ending.remarks,
        "in_sync": plan.in_sync,
        "subscribes": [change.device for change in plan.subscribes],
        "unsubscribes": [change.device for change in plan.unsubscribes],
        "approved": sorted(plan.approved),
        "unmanaged": sorted(plan.unmanaged),
        "ignored": sorted(plan.ignored),
        "flapping": sorted(plan.flapping),
        "held": [
            {
                "device": held.change.device,
                "action": held.change.action,
                "kind": held.reason.kind,
                "reason": held.reason,
                "until": held.until,
            }
            for held in ending.held
        ],
        "tripped": [{"reason": one.reason, "kind": one.reason.kind, "message": one.message} for one in plan.tripped],
        "outcomes": [
            {
                "device": outcome.change.device,
                "action": outcome.change.action,
                "result": outcome.result,
                "at": outcome.at,
                "code": outcome.code,
                "words": outcome.words,
                "message_id": outcome.message_id,
                "lg_message_id": outcome.lg_message_id,
            }
            for outcome in ending.outcomes
        ],
    }


def _account_lines(report: PlanReport, *, done: bool) -> list[str]:
    lines = [f"account {report.account}"]
    if report.ending.error:
        lines.append(f"  error: {_one_line(report.ending.error)}")
    for sign, device, name, note in _rows(report, done=done):
        words = "  ".join(word for word in (name, note) if word)
        lines.append(f"  {sign} {device}{'  ' if words else ''}{words}")
    lines += [
        f"  {one.reason} holds {one.count} {_plural(one.action, one.count)}{_message(one.message)}"
        for one in _held(report)
    ]
    return lines + [f"  {line}" for line in _facts(report)]


def _rows(report: PlanReport, *, done: bool) -> list[tuple[str, str, str, str]]:
    """Return what is listed device by device: sign, id, name, note; at most ``SHOWN`` of each kind."""
    plan, names = report.plan, report.names
    notes: dict[Change, str] = {held.change: _held_note(held) for held in report.ending.left}
    for one in report.ending.outcomes:
        notes[one.change] = f"{one.result}{f': {one.words}' if one.words else ''}"
    rows: list[tuple[str, str, str, str]] = []
    for changes in (plan.subscribes, plan.unsubscribes):
        rows += [
            (
                SIGNS[change.action],
                quoted(change.device),
                _name(names, change.device),
                quoted(notes.get(change, "not done" if done else "")),
            )
            for change in changes[:SHOWN]
        ]
        if len(changes) > SHOWN:
            rows.append((SIGNS[changes[0].action], f"… and {len(changes) - SHOWN} more", "", ""))
    held = plan.held
    rows += [
        (f"{SIGNS[one.change.action]}?", quoted(one.change.device), _name(names, one.change.device), _held_note(one))
        for one in held[:SHOWN]
    ]
    if len(held) > SHOWN:
        rows.append(("?", f"… and {len(held) - SHOWN} more held", "", ""))
    return rows


def _approval(report: PlanReport, file: str | None) -> str:
    """Return the block that lets the devices go that wait for a person's word, or nothing where none does."""
    devices = approvals.needed(report.plan)
    return approvals.block(report.account, devices, report.ending.began, file=file) if devices else ""


def _held(report: PlanReport) -> Sequence[Any]:
    return held_reports(report.plan, report.ending.held)


def _facts(report: PlanReport) -> list[str]:
    plan = report.plan
    lines = []
    if report.ending.unexpected:
        lines.append("the unsubscribes are not those of --expect: nothing was changed")
    if report.ending.plan is not None:
        lines.append(f"{plan.in_sync} in sync, {len(plan.unmanaged)} unmanaged, {len(plan.ignored)} ignored")
    unsubscribes = plan.unsubscribes or any(one.change.action is Action.UNSUBSCRIBE for one in plan.held)
    if plan.digest and (unsubscribes or report.ending.unexpected):
        lines.append(f"digest {plan.digest}")
    return [*lines, *map(quoted, report.ending.remarks)]


def _last_line(reports: Sequence[PlanReport], *, done: bool) -> str:
    sums = total(reports)
    if done:
        words = [f"{sums.get('subscribed', 0)} subscribed", f"{sums.get('unsubscribed', 0)} unsubscribed"]
        words += [f"{sums[key]} {key}" for key in ("failed", "refused") if sums.get(key)]
    else:
        left = Counter(one.change.action for report in reports for one in report.ending.left)
        subscribes = sum(len(report.plan.subscribes) for report in reports) - left[Action.SUBSCRIBE]
        unsubscribes = sum(len(report.plan.unsubscribes) for report in reports) - left[Action.UNSUBSCRIBE]
        words = [f"{subscribes} to subscribe", f"{unsubscribes} to unsubscribe"]
    held = sum(len(report.ending.held) for report in reports)
    guarded = any(one.reason.kind is Kind.GUARD for report in reports for one in report.ending.held)
    words += [f"{held} held" + (" (a person has to decide)" if guarded else "")] if held else []
    errors = sum(bool(report.ending.error) for report in reports)
    words += [f"{errors} account{'s' * (errors > 1)} with an error"] if errors else []
    return f"{'Done' if done else 'Plan'}: {', '.join(words)}."


def _held_note(held: Held) -> str:
    return f"held: {held.reason}" + (f" until {held.until:%Y-%m-%dT%H:%M:%SZ}" if held.until else "")


def _name(names: Mapping[DeviceId, str], device: DeviceId) -> str:
    return quoted(names.get(device, ""))


def _message(message: str) -> str:
    return f": {_one_line(message)}" if message else ""


def _plural(action: str, count: int) -> str:
    return action if count == 1 else f"{action}s"


def _count(number: int, word: str) -> str:
    return f"{number} {_plural(word, number)}"


def _words(text: str) -> str:
    """Return words for Markdown: one line, in which nothing is markup, a link, a tag, a mention or a reference.

    Character references are never markup, not even in a table. The empty comment parts ``@`` and ``#`` from a name.
    """
    return "".join(_reference(character) for character in _one_line(text)).replace("://", "&#58;//")


def _reference(character: str) -> str:
    if character in "@#":
        return f"&#{ord(character)};<!-- -->"
    return f"&#{ord(character)};" if character in MARKUP else character


def _code(text: str) -> str:
    """Return an id for Markdown."""
    if all(character.isalnum() or character in "-_.…" for character in text):
        return f"`{text}`"
    return f"<code>{_words(text)}</code>"


def _one_line(text: str) -> str:
    """Return foreign words on one line, without characters that steer a terminal or turn the direction of writing."""
    return " ".join("".join(one if one.isprintable() else " " for one in _readable(text)).split())


def _readable(text: str) -> str:
    """Return text that can be written as UTF-8: a file's name need not be."""
    return text.encode("utf-8", "backslashreplace").decode()


def _json(document: object) -> str:
    try:
        encoded = msgspec.json.encode(document)
    except UnicodeEncodeError:  # some file's name is not UTF-8
        encoded = msgspec.json.encode(_all_readable(msgspec.to_builtins(document)))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def _all_readable(value: Any) -> Any:
    match value:
        case str():
            return _readable(value)
        case dict():
            return {key: _all_readable(one) for key, one in value.items()}
        case list():
            return [_all_readable(one) for one in value]
        case _:
            return value
