"""What ``doctor`` found: a checklist for each account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reconciler.core.text import counted, markdown, one_line
from reconciler.reporting.diagnosis import Examination, Finding, Level
from reconciler.reporting.formats.comment import Part, Section, comment
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.styles import GREEN, PLAIN, RED, YELLOW

URGENCY = tuple(map(str, (Level.FAIL, Level.WARN, Level.SKIP, Level.OK)))
LEVELS = {Level.OK: GREEN, Level.WARN: YELLOW, Level.FAIL: RED, Level.SKIP: ""}


def examination_text(
    examination: Examination, *, colours: bool = False, screen: Screen | None = None
) -> str:
    """Return what ``doctor`` found as a checklist for a terminal."""
    parts, shown = [], screen or Screen()
    for title, findings in _examined(examination):
        lines = [title]
        for one in findings:
            label = f"  {one.level:<4}  {one.check:<13}  "
            first, *more = shown.labelled(label, one_line(one.found))
            if colours and LEVELS[one.level]:
                first = f"  {LEVELS[one.level]}{first[2:6]}{PLAIN}{first[6:]}"
            lines += [first, *more]
            if one.fix:
                lines += shown.labelled(" " * len(label), f"to fix it: {one_line(one.fix)}")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, _diagnosis(examination)]) + "\n"


def examination_markdown(examination: Examination) -> str:
    """Return what ``doctor`` found for an issue or a pull request."""
    sections = [Section([f"### {_diagnosis(examination)}"])]
    for title, findings in _examined(examination):
        rows = [
            f"| {one.level} | {one.check} | {markdown(one.found)} | {markdown(one.fix)} |"
            for one in findings
        ]
        levels = [str(one.level) for one in findings]
        head = ["| | check | found | to fix it |", "|---|---|---|---|"]
        part = Part(rows, "check", head, labels=levels, first=URGENCY)
        rank = min((URGENCY.index(one) for one in levels), default=0)
        sections.append(Section([f"#### {markdown(title.capitalize())}"], [part], rank))
    return comment(sections)


def examination_json(examination: Examination) -> str:
    """Return what ``doctor`` found, whole."""
    accounts = [
        {"account": one.account, "checks": _checks_json(one.findings)}
        for one in examination.accounts
    ]
    counts = examination.counts()
    document = {
        "version": 1,
        "exit_code": examination.exit_code,
        "summary": {level: counts[level] for level in Level},
        "checks": _checks_json(examination.general),
        "accounts": accounts,
    }
    return json_text(document)


def _checks_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "check": one.check,
            "level": one.level,
            "found": one.found,
            "mend": one.fix or None,
            "facts": dict(one.facts),
        }
        for one in findings
    ]


def _examined(examination: Examination) -> list[tuple[str, Sequence[Finding]]]:
    accounts = [(f"account {one.account}", one.findings) for one in examination.accounts]
    return [("for every account", examination.general), *accounts]


def _diagnosis(examination: Examination) -> str:
    counts = examination.counts()
    calm = "a guard is tripped" if examination.guarded else "nothing is wrong"
    words = [f"{counted(counts[Level.FAIL], 'check')} failed"] if counts[Level.FAIL] else [calm]
    words += [counted(counts[Level.WARN], "warning")] if counts[Level.WARN] else []
    words += [f"{counted(counts[Level.SKIP], 'check')} not made"] if counts[Level.SKIP] else []
    return f"Doctor: {', '.join(words)} ({counted(len(examination.accounts), 'account')})."
