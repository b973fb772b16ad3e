"""Makes faults with lines and columns from findings.

Owns: the place of every finding, which costs one walk through each document that has one; and that no word of a file
that is not ours is shown. Must not: judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reconciler.core.errors import Fault
from reconciler.desired import positions
from reconciler.desired.diagnostics import Finding, Where
from reconciler.desired.parser import Reading
from reconciler.desired.positions import Loc, Spot

SHOWN = 1000
"""How many faults of one document are shown; the rest is a number."""
HIDDEN = "there is a fault here that is not shown: this file is a link to another folder; validate the file it leads to"
"""Replaces every fault of a file that is not ours to show."""


def shown(
    findings: Iterable[tuple[str, Sequence[Finding]]],
    readings: Sequence[Reading],
    hidden: frozenset[str],
) -> tuple[Fault, ...]:
    """Return findings with their places, sorted. If a document has very many, the rest is a number."""
    placed: list[Finding] = []
    faults: set[Fault] = set()
    for path, found in findings:
        placed += found[:SHOWN]
        if len(found) > SHOWN:
            faults.add(Fault(path, 0, 0, f"{len(found) - SHOWN} more like these are not shown"))
    faults.update(located(placed, readings, hidden))
    return tuple(sorted(faults))


def located(
    findings: Sequence[Finding], readings: Sequence[Reading], hidden: frozenset[str]
) -> list[Fault]:
    """Return findings with their lines and columns. Each document with a finding is walked once."""
    spots = _spots(findings, readings)
    faults = []
    for finding in findings:
        path = finding.where.path
        line, column = _place(finding.where, spots)
        message = finding.message
        if finding.other is not None:
            message = (
                f"{message} {finding.other.path}:{':'.join(map(str, _place(finding.other, spots)))}"
            )
        if not hidden.isdisjoint(finding.documents):
            message = HIDDEN
        faults.append(Fault(path, line, column, message))
    return faults


def _spots(
    findings: Iterable[Finding], readings: Iterable[Reading]
) -> Mapping[str, Mapping[Loc, Spot]]:
    """Return the spots of all key paths that findings name, by document."""
    wanted: dict[str, set[Loc]] = {}
    for finding in findings:
        for where in (finding.where, finding.other):
            if where is not None and not where.line:
                wanted.setdefault(where.path, set()).add(where.loc)
    return {
        one.path: positions.find(one.text, wanted[one.path])
        for one in readings
        if one.path in wanted
    }


def _place(where: Where, spots: Mapping[str, Mapping[Loc, Spot]]) -> tuple[int, int]:
    if where.line:
        return where.line, where.column
    spot = spots[where.path][where.loc]
    found = spot.key if where.key else spot.value
    return found.line, found.column
