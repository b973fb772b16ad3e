"""Plans, and what ``apply`` did.

``core.text`` makes words from outside safe to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.errors import quoted
from reconciler.core.model import Action, Change, DeviceId, Held, Kind, Outcome, Plan, Tripped
from reconciler.core.status import states
from reconciler.core.text import markdown, markdown_code, one_line, plural
from reconciler.desired import approval_block
from reconciler.reporting import PlanReport, held_reports, total, windows
from reconciler.reporting.formats.comment import LONGEST, Part, Section, comment
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.styles import FENCE, GREEN, PLAIN, RED, SHOWN, YELLOW
from reconciler.reporting.formats.tables import Column, table
from reconciler.reporting.windows import window_reports

SIGNS = {Action.SUBSCRIBE: "+", Action.UNSUBSCRIBE: "-"}
CONTINUED = " " * 4
"""At the beginning of a line that continues the one before."""
DIGEST = "digest "
"""Before the digest, which stays whole on its line: it is there to be copied."""
ROW_COLUMNS = (
    Column("sign", gap=1),
    Column("name", words=True),
    Column("device"),
    Column("note", words=True),
)
FIRST = ("-", "-?", "?")
"""The signs that reviewers look for first: what goes, and what would go but is held."""
COLOURS = {"+": GREEN, "-": RED, "+?": YELLOW, "-?": YELLOW, "?": YELLOW, "error:": RED}


def plan_text(
    reports: Sequence[PlanReport],
    *,
    done: bool = False,
    colours: bool = False,
    approval: str | None = None,
    screen: Screen | None = None,
) -> str:
    """Return plans, or what ``apply`` did, for a terminal.

    ``approval`` is the device file that was written for the one account that waits for approval.
    """
    parts = []
    for report in reports:
        lines = _account_lines(report, screen or Screen(), done=done)
        if colours:
            lines = _coloured(lines)
        parts.append("\n".join(lines))
        if block := _approval(report, approval):
            parts.append(
                f"# To let these devices go, commit this with a reason:\n{block}".rstrip("\n")
            )
    return "\n\n".join([*parts, _last_line(reports, done=done)]) + "\n"


def _coloured(lines: Sequence[str]) -> list[str]:
    """Colour each line by the sign at its beginning, and the lines that continue it like it."""
    found, colour = [], None
    for line in lines:
        if not line.startswith(CONTINUED):
            sign = (line.split(maxsplit=1) or [""])[0]
            colour = COLOURS.get(sign) if line.startswith("  ") else None
        found.append(f"{colour}{line}{PLAIN}" if colour else line)
    return found


def plan_markdown(
    reports: Sequence[PlanReport],
    *,
    done: bool = False,
    approval: str | None = None,
    longest: int = LONGEST,
) -> str:
    """Return plans, or what ``apply`` did, as a comment on a pull request of at most ``longest`` characters."""
    head = Section([f"### {_last_line(reports, done=done)}"])
    sections = [head, *(_section(report, approval, done=done) for report in reports)]
    return comment(sections, longest)


def _section(report: PlanReport, approval: str | None, *, done: bool) -> Section:
    """Return one account for a comment: what is held and why, the approval to commit, then the devices.

    Of the devices those that go come first.
    """
    title = [f"#### Account {markdown_code(report.account)}"]
    if report.ending.error:
        title += ["", f"**{markdown(report.ending.error)}**"]
    listed = sorted(_rows(report, done=done), key=_goes_first)
    rows = [
        f"| {row.sign} | {_code(row.device)} | {markdown(row.name)} | {markdown(row.note)} |"
        for row in listed
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
        Part([*reasons, *facts], "line"),
        Part(block.splitlines(), "approval (see --account)", fenced, [FENCE], rank=1, whole=True),
        Part(
            rows,
            "row",
            ["| | device | name | |", "|---|---|---|---|"],
            labels=[row.sign for row in listed],
            first=FIRST,
            rank=2,
        ),
    ]
    quiet = not (rows or reasons or report.ending.error)
    return Section(title, parts, rank=int(quiet))


def _goes_first(row: _Row) -> int:
    """Return the place of a row in a comment. Rows of one sign keep their order."""
    return FIRST.index(row.sign) if row.sign in FIRST else len(FIRST)


def _code(device: str) -> str:
    return markdown_code(quoted(device)) if device else ""


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
    names = report.names
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
        "held": [_held_json(held, names.get(held.change.device)) for held in ending.held],
        "tripped": [
            {"reason": one.reason, "kind": one.reason.kind, "message": one.message}
            for one in plan.tripped
        ],
        "outcomes": [
            _outcome_json(outcome, names.get(outcome.change.device)) for outcome in ending.outcomes
        ],
        "names": _names_json(plan, names),
        "windows": window_reports(ending.desired.windows, ending.openings, ending.began),
    }


def _names_json(plan: Plan, names: Mapping[DeviceId, str]) -> dict[DeviceId, str]:
    """Return the names of the devices that would be changed, held or not."""
    changes = (*plan.subscribes, *plan.unsubscribes, *(held.change for held in plan.held))
    return {change.device: names[change.device] for change in changes if names.get(change.device)}


def _held_json(held: Held, name: str | None) -> dict[str, Any]:
    return {
        "device": held.change.device,
        "name": name,
        "action": held.change.action,
        "kind": held.reason.kind,
        "reason": held.reason,
        "until": held.until,
    }


def _outcome_json(outcome: Outcome, name: str | None) -> dict[str, Any]:
    return {
        "device": outcome.change.device,
        "name": name,
        "action": outcome.change.action,
        "result": outcome.result,
        "at": outcome.at,
        "code": outcome.code,
        "words": outcome.words,
        "message_id": outcome.message_id,
        "lg_message_id": outcome.lg_message_id,
    }


def _account_lines(report: PlanReport, screen: Screen, *, done: bool) -> list[str]:
    notes = []
    if report.ending.error:
        notes.append(f"error: {one_line(report.ending.error)}")
    listed = _rows(report, done=done)
    ids = screen.ids(row.device for row in listed if row.device)
    cells = [(row.sign, row.name, quoted(ids.get(row.device, "")), row.note) for row in listed]
    reasons = [
        f"{one.reason} holds {one.count} {plural(one.action, one.count)}{_message(one.message)}"
        for one in _held(report)
    ]
    reasons += [f"{one.reason} is tripped{_message(one.message)}" for one in _only_tripped(report)]
    lines = [f"account {report.account}"]
    for note in notes:
        lines += screen.lines(f"  {note}", indent=4)
    lines += table(ROW_COLUMNS, cells, screen, indent=2, titled=False)
    for note in (*reasons, *_facts(report)):
        whole = note.startswith(DIGEST)
        lines += [f"  {note}"] if whole else screen.lines(f"  {note}", indent=4)
    return lines


@dataclass(frozen=True, slots=True)
class _Row:
    """One device of a plan; or how many more there are, in place of a name."""

    sign: str
    device: str
    name: str
    note: str = ""


def _rows(report: PlanReport, *, done: bool) -> list[_Row]:
    """Return what is listed device by device, at most ``SHOWN`` of each kind.

    A change that the pass left is held, too; so is every change where LG gave no list.
    """
    plan, names = report.plan, report.names
    notes = _notes(report)
    rows: list[_Row] = []
    for changes in (plan.subscribes, plan.unsubscribes):
        for change in changes[:SHOWN]:
            mark, note = notes.get(change, ("", "not done" if done else ""))
            sign = f"{SIGNS[change.action]}{mark}"
            rows.append(_Row(sign, change.device, _name(names, change.device), quoted(note)))
        if len(changes) > SHOWN:
            more = f"… and {len(changes) - SHOWN} more"
            rows.append(_Row(SIGNS[changes[0].action], "", more))
    for held in plan.held[:SHOWN]:
        device = held.change.device
        sign = f"{SIGNS[held.change.action]}?"
        rows.append(_Row(sign, device, _name(names, device), _held_note(held)))
    if len(plan.held) > SHOWN:
        rows.append(_Row("?", "", f"… and {len(plan.held) - SHOWN} more held"))
    return rows


def _notes(report: PlanReport) -> Mapping[Change, tuple[str, str]]:
    """Return what to say of a change beside its sign, and what its sign gets: a mark where it is held."""
    notes = {held.change: ("?", _held_note(held)) for held in report.ending.left}
    for one in report.ending.outcomes:
        words = f": {one.words}" if one.words else ""
        notes[one.change] = ("", f"{one.result}{words}")
    return notes


def _approval(report: PlanReport, file: str | None) -> str:
    """Return the approval block for the devices that wait for one, or None."""
    ending = report.ending
    return approval_block(
        report.account, ending.needs_approval, ending.began, file=file, names=ending.names
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
        now = states(report.ending)
        lines.append(
            f"{now['in_sync']} in sync, {len(counted.unmanaged)} unmanaged, {len(counted.ignored)} ignored"
        )
    unsubscribes = plan.unsubscribes or any(
        one.change.action is Action.UNSUBSCRIBE for one in plan.held
    )
    if plan.digest and (unsubscribes or report.ending.unexpected):
        lines.append(f"{DIGEST}{plan.digest}")
    ending = report.ending
    shown = window_reports(ending.desired.windows, ending.openings, ending.began)
    return [*lines, *windows.lines(shown), *map(quoted, ending.remarks)]


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
