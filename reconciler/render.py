"""Reports and plans as text, JSON and Markdown.

Owns: how things look. Must not: know where they come from, or decide anything.

Words from outside (names of devices, LG's messages) are made fit for a terminal and for Markdown before they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from reconciler.errors import Fault, quoted
from reconciler.model import Action, Change, Desired, DeviceId, Held, Kind
from reconciler.report import PlanReport, held_reports, total

SHOWN = 50
"""So many devices of one kind are listed for people; JSON holds all."""
SIGNS = {Action.SUBSCRIBE: "+", Action.UNSUBSCRIBE: "-"}


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


def plan_text(reports: Sequence[PlanReport], *, done: bool = False) -> str:
    """Return plans, or what ``apply`` did, for a terminal."""
    parts = [_account_text(report, done=done) for report in reports]
    return "\n\n".join([*parts, _last_line(reports, done=done)]) + "\n"


def plan_markdown(reports: Sequence[PlanReport], *, done: bool = False) -> str:
    """Return plans, or what ``apply`` did, as a comment on a pull request."""
    parts = [f"### {_last_line(reports, done=done)}"]
    for report in reports:
        lines = [f"#### Account `{report.account}`", ""]
        if report.ending.error:
            lines += [f"**{_cell(report.ending.error)}**", ""]
        rows = _rows(report, done=done)
        if rows:
            lines += ["| | device | name | |", "|---|---|---|---|"]
            lines += [
                f"| {sign} | `{_cell(device)}` | {_cell(name)} | {_cell(note)} |" for sign, device, name, note in rows
            ]
            lines.append("")
        lines += [
            f"- **{one.reason}** holds {one.count} {_plural(one.action, one.count)}{_message(one.message)}"
            for one in _held(report)
        ]
        lines += [f"- {line}" for line in _facts(report)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def plan_json(reports: Sequence[PlanReport], *, code: int) -> str:
    """Return plans, or what ``apply`` did, whole."""
    accounts = [_account_json(report) for report in reports]
    document = {"version": 1, "exit_code": code, "summary": total(reports), "accounts": accounts}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def findings_json(faults: Sequence[Fault], warnings: Sequence[Fault], accounts: Sequence[Desired]) -> str:
    """Return what ``validate`` found, whole."""
    document = {
        "version": 1,
        "valid": not faults,
        "faults": faults,
        "warnings": warnings,
        "accounts": [{"account": one.account, "devices": len(one.devices), "path": one.path} for one in accounts],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def findings_markdown(faults: Sequence[Fault], warnings: Sequence[Fault], accounts: Sequence[Desired]) -> str:
    """Return what ``validate`` found as a comment on a pull request."""
    lines = [f"### The desired state is {'valid' if not faults else 'not valid'}", ""]
    lines += [f"- **error** {_cell(str(fault))}" for fault in faults]
    lines += [f"- warning {_cell(str(warning))}" for warning in warnings]
    lines += [f"- account `{one.account}`: {len(one.devices)} devices" for one in accounts]
    return "\n".join(lines) + "\n"


def findings_github(faults: Sequence[Fault], warnings: Sequence[Fault], _accounts: Sequence[Desired]) -> str:
    """Return what ``validate`` found as workflow commands, which GitHub shows beside the lines they are about."""
    lines = [_annotation("error", fault) for fault in faults]
    lines += [_annotation("warning", warning) for warning in warnings]
    return "".join(f"{line}\n" for line in lines)


def _annotation(level: str, fault: Fault) -> str:
    """Return one workflow command. Whatever the fault quotes, it stays one line and one command."""
    place = f"file={_property(fault.path)},line={max(fault.line, 1)},col={max(fault.column, 1)}"
    return f"::{level} {place}::{_data(fault.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


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
        "digest": plan.digest or None,
        "in_sync": plan.in_sync,
        "subscribes": [change.device for change in plan.subscribes],
        "unsubscribes": [change.device for change in plan.unsubscribes],
        "approved": sorted(plan.approved),
        "unmanaged": sorted(plan.unmanaged),
        "ignored": sorted(plan.ignored),
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


def _account_text(report: PlanReport, *, done: bool) -> str:
    lines = [f"account {report.account}"]
    if report.ending.error:
        lines.append(f"  error: {report.ending.error}")
    for sign, device, name, note in _rows(report, done=done):
        words = "  ".join(word for word in (name, note) if word)
        lines.append(f"  {sign} {device}{'  ' if words else ''}{words}")
    lines += [
        f"  {one.reason} holds {one.count} {_plural(one.action, one.count)}{_message(one.message)}"
        for one in _held(report)
    ]
    lines += [f"  {line}" for line in _facts(report)]
    return "\n".join(lines)


def _rows(report: PlanReport, *, done: bool) -> list[tuple[str, str, str, str]]:
    """Return what is listed device by device: sign, id, name, note; at most ``SHOWN`` of each kind."""
    plan, names = report.plan, report.names
    notes: Mapping[Change, str] = {}
    if done:
        notes = {one.change: f"{one.result}{f': {one.words}' if one.words else ''}" for one in report.ending.outcomes}
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


def _held(report: PlanReport) -> Sequence[Any]:
    return held_reports(report.plan, report.ending.held)


def _facts(report: PlanReport) -> list[str]:
    plan = report.plan
    lines = []
    if report.ending.plan is not None:
        lines.append(f"{plan.in_sync} in sync, {len(plan.unmanaged)} unmanaged, {len(plan.ignored)} ignored")
    if plan.digest and (plan.unsubscribes or any(one.change.action is Action.UNSUBSCRIBE for one in plan.held)):
        lines.append(f"digest {plan.digest}")
    return lines


def _last_line(reports: Sequence[PlanReport], *, done: bool) -> str:
    sums = total(reports)
    if done:
        words = [f"{sums.get('subscribed', 0)} subscribed", f"{sums.get('unsubscribed', 0)} unsubscribed"]
        words += [f"{sums[key]} {key}" for key in ("failed", "refused") if sums.get(key)]
    else:
        words = [
            f"{sum(len(report.plan.subscribes) for report in reports)} to subscribe",
            f"{sum(len(report.plan.unsubscribes) for report in reports)} to unsubscribe",
        ]
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
    return f": {message}" if message else ""


def _plural(action: str, count: int) -> str:
    return action if count == 1 else f"{action}s"


def _cell(text: str) -> str:
    """Return words that cannot break out of a Markdown table cell or become a link or a tag."""
    line = quoted(text)
    for character in "\\`*_{}[]<>|#":
        line = line.replace(character, f"\\{character}")
    return line
