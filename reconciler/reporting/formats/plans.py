"""Plans, and what ``apply`` did.

``core.text`` makes words from outside safe to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.core.errors import quoted
from reconciler.core.model import Action, Change, DeviceId, Held, Kind, Outcome, Tripped
from reconciler.core.text import markdown, markdown_code, one_line, plural
from reconciler.desired import approval_block
from reconciler.reporting import PlanReport, held_reports, total
from reconciler.reporting.formats.comment import Part, Section, comment
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.styles import FENCE, GREEN, PLAIN, RED, SHOWN, YELLOW

SIGNS = {Action.SUBSCRIBE: "+", Action.UNSUBSCRIBE: "-"}
COLOURS = {"+": GREEN, "-": RED, "+?": YELLOW, "-?": YELLOW, "?": YELLOW, "error:": RED}


def plan_text(
    reports: Sequence[PlanReport],
    *,
    done: bool = False,
    colours: bool = False,
    approval: str | None = None,
) -> str:
    """Return plans, or what ``apply`` did, for a terminal.

    ``approval`` is the device file that was written for the one account that waits for approval.
    """
    parts = []
    for report in reports:
        lines = _account_lines(report, done=done)
        parts.append("\n".join(map(_coloured, lines) if colours else lines))
        if block := _approval(report, approval):
            parts.append(
                f"# To let these devices go, commit this with a reason:\n{block}".rstrip("\n")
            )
    return "\n\n".join([*parts, _last_line(reports, done=done)]) + "\n"


def _coloured(line: str) -> str:
    """Colour a line by the sign at its beginning."""
    colour = COLOURS.get((line.split(maxsplit=1) or [""])[0]) if line.startswith("  ") else None
    return f"{colour}{line}{PLAIN}" if colour else line


def plan_markdown(
    reports: Sequence[PlanReport], *, done: bool = False, approval: str | None = None
) -> str:
    """Return plans, or what ``apply`` did, as a comment on a pull request."""
    head = Section([f"### {_last_line(reports, done=done)}"])
    return comment([head, *(_section(report, approval, done=done) for report in reports)])


def _section(report: PlanReport, approval: str | None, *, done: bool) -> Section:
    """Return one account for a comment. Why something is held goes before the devices that it is about."""
    title = [f"#### Account {markdown_code(report.account)}"]
    if report.ending.error:
        title += ["", f"**{markdown(report.ending.error)}**"]
    listed = _rows(report, done=done)
    rows = [
        f"| {sign} | {markdown_code(device)} | {markdown(name)} | {markdown(note)} |"
        for sign, device, name, note in listed
    ]
    reasons = [
        f"- **{one.reason}** holds {one.count} {plural(one.action, one.count)}{markdown(_message(one.message))}"
        for one in _held(report)
    ]
    reasons += [
        f"- **{one.reason}** is tripped{markdown(_message(one.message))}"
        for one in _only_tripped(report)
    ]
    facts = [f"- {markdown(line)}" for line in _facts(report)]
    block = _approval(report, approval)
    fenced = ["To let these devices go, commit this with a reason:", "", f"{FENCE}toml"]
    parts = [
        Part(
            rows,
            "row",
            ["| | device | name | |", "|---|---|---|---|"],
            labels=[sign for sign, *_more in listed],
            first=("-?", "?", "-"),
            rank=2,
        ),
        Part([*reasons, *facts], "line"),
        Part(block.splitlines(), "approval (see --account)", fenced, [FENCE], rank=1, whole=True),
    ]
    quiet = not (rows or reasons or report.ending.error)
    return Section(title, parts, rank=int(quiet))


def plan_json(reports: Sequence[PlanReport], *, code: int, approval: str | None = None) -> str:
    """Return plans, or what ``apply`` did, whole."""
    accounts = [
        _account_json(report) | {"approval": _approval(report, approval) or None}
        for report in reports
    ]
    return json_text(
        {"version": 1, "exit_code": code, "summary": total(reports), "accounts": accounts}
    )


def _account_json(report: PlanReport) -> dict[str, Any]:
    plan, ending, counted = report.plan, report.ending, report.counted
    return {
        "account": report.account,
        "revision": report.revision,
        "error": ending.error or None,
        "condition": ending.condition,
        "result": ending.result,
        "unexpected": ending.unexpected,
        "digest": plan.digest or None,
        "remarks": report.ending.remarks,
        "in_sync": counted.in_sync,
        "subscribes": [change.device for change in plan.subscribes],
        "unsubscribes": [change.device for change in plan.unsubscribes],
        "approved": sorted(plan.approved),
        "unmanaged": sorted(counted.unmanaged),
        "ignored": sorted(counted.ignored),
        "flapping": sorted(counted.flapping),
        "held": [_held_json(held) for held in ending.held],
        "tripped": [
            {"reason": one.reason, "kind": one.reason.kind, "message": one.message}
            for one in plan.tripped
        ],
        "outcomes": [_outcome_json(outcome) for outcome in ending.outcomes],
    }


def _held_json(held: Held) -> dict[str, Any]:
    return {
        "device": held.change.device,
        "action": held.change.action,
        "kind": held.reason.kind,
        "reason": held.reason,
        "until": held.until,
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "device": outcome.change.device,
        "action": outcome.change.action,
        "result": outcome.result,
        "at": outcome.at,
        "code": outcome.code,
        "words": outcome.words,
        "message_id": outcome.message_id,
        "lg_message_id": outcome.lg_message_id,
    }


def _account_lines(report: PlanReport, *, done: bool) -> list[str]:
    lines = [f"account {report.account}"]
    if report.ending.error:
        lines.append(f"  error: {one_line(report.ending.error)}")
    for sign, device, name, note in _rows(report, done=done):
        words = "  ".join(word for word in (name, note) if word)
        lines.append(f"  {sign} {device}{'  ' if words else ''}{words}")
    lines += [
        f"  {one.reason} holds {one.count} {plural(one.action, one.count)}{_message(one.message)}"
        for one in _held(report)
    ]
    lines += [f"  {one.reason} is tripped{_message(one.message)}" for one in _only_tripped(report)]
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
        (
            f"{SIGNS[one.change.action]}?",
            quoted(one.change.device),
            _name(names, one.change.device),
            _held_note(one),
        )
        for one in held[:SHOWN]
    ]
    if len(held) > SHOWN:
        rows.append(("?", f"… and {len(held) - SHOWN} more held", "", ""))
    return rows


def _approval(report: PlanReport, file: str | None) -> str:
    """Return the approval block for the devices that wait for one, or None."""
    return approval_block(
        report.account, report.ending.needs_approval, report.ending.began, file=file
    )


def _held(report: PlanReport) -> Sequence[Any]:
    return held_reports(report.plan, report.ending.held)


def _only_tripped(report: PlanReport) -> list[Tripped]:
    """Return the guards that are tripped and hold nothing now: they are no less a reason to look."""
    holding = {one.reason for one in report.ending.held}
    return [
        one
        for one in report.plan.tripped
        if one.reason.kind is Kind.GUARD and one.reason not in holding
    ]


def _facts(report: PlanReport) -> list[str]:
    plan, counted = report.plan, report.counted
    lines = []
    if report.ending.unexpected:
        lines.append("the unsubscribes are not those of --expect: nothing was changed")
    if report.ending.plan is not None:
        lines.append(
            f"{counted.in_sync} in sync, {len(counted.unmanaged)} unmanaged, {len(counted.ignored)} ignored"
        )
    unsubscribes = plan.unsubscribes or any(
        one.change.action is Action.UNSUBSCRIBE for one in plan.held
    )
    if plan.digest and (unsubscribes or report.ending.unexpected):
        lines.append(f"digest {plan.digest}")
    return [*lines, *map(quoted, report.ending.remarks)]


def _last_line(reports: Sequence[PlanReport], *, done: bool) -> str:
    sums = total(reports)
    if done:
        words = [
            f"{sums.get('subscribed', 0)} subscribed",
            f"{sums.get('unsubscribed', 0)} unsubscribed",
        ]
        words += [f"{sums[key]} {key}" for key in ("failed", "refused") if sums.get(key)]
    else:
        left = Counter(one.change.action for report in reports for one in report.ending.left)
        subscribes = sum(len(report.plan.subscribes) for report in reports) - left[Action.SUBSCRIBE]
        unsubscribes = (
            sum(len(report.plan.unsubscribes) for report in reports) - left[Action.UNSUBSCRIBE]
        )
        words = [f"{subscribes} to subscribe", f"{unsubscribes} to unsubscribe"]
    held = sum(len(report.ending.held) for report in reports)
    guarded = any(report.ending.guarded for report in reports)
    words += [f"{held} held"] if held else []
    words += ["a guard is tripped (a person has to decide)"] if guarded and not held else []
    words[-1] += " (a person has to decide)" if guarded and held else ""
    errors = sum(bool(report.ending.error) for report in reports)
    words += [f"{errors} account{'s' * (errors > 1)} with an error"] if errors else []
    unread = sum(not report.ending.list_read and not report.ending.error for report in reports)
    words += [f"{unread} account{'s' * (unread > 1)} without a list from LG"] if unread else []
    return f"{'Done' if done else 'Plan'}: {', '.join(words)}."


def _held_note(held: Held) -> str:
    return f"held: {held.reason}" + (
        f" until {held.until:%Y-%m-%dT%H:%M:%SZ}" if held.until else ""
    )


def _name(names: Mapping[DeviceId, str], device: DeviceId) -> str:
    return quoted(names.get(device, ""))


def _message(message: str) -> str:
    return f": {one_line(message)}" if message else ""
