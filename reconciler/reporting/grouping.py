"""Past changes that belong together: those of one pass with the same outcome and for the same reason.

Owns: which changes are one line, and its place among the others. Pure. Must not: read the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.reporting.explain import ChangeReport

Kind = tuple[str, str, str, str | None, str | None, str | None, bool]


@dataclass(slots=True)
class ChangeGroup:
    """Changes of one account that one pass made alike. ``changes`` is newest first and never empty.

    ``partial``: there may be more of them that were not read.
    """

    changes: list[ChangeReport] = field(default_factory=list)
    partial: bool = False

    @property
    def first(self) -> ChangeReport:
        """Return the newest of them; what a group has in common is read from it."""
        return self.changes[0]

    @property
    def at(self) -> datetime:
        """Return when the newest of them was made."""
        return self.changes[0].at

    @property
    def count(self) -> int:
        """Return the number of changes."""
        return len(self.changes)


def grouped(
    changes: Sequence[ChangeReport], *, newer: bool = False, older: bool = False
) -> tuple[ChangeGroup, ...]:
    """Return changes in groups. A group is at the place of its newest change.

    ``newer``, ``older``: there are such changes that were not read. Passes of one account follow each other, so only
    its newest or its oldest pass can have some of them.
    """
    groups: dict[Kind, ChangeGroup] = {}
    for change in changes:
        groups.setdefault(_kind(change), ChangeGroup()).changes.append(change)
    cut = _passes(changes) if newer else set()
    if older:
        cut |= _passes(changes[::-1])
    for group in groups.values():
        group.partial = (group.first.account, group.first.pass_id) in cut
    return tuple(groups.values())


def _passes(changes: Sequence[ChangeReport]) -> set[tuple[str, str]]:
    """Return the first pass of each account."""
    first: dict[str, str] = {}
    for change in changes:
        first.setdefault(change.account, change.pass_id)
    return set(first.items())


def _kind(change: ChangeReport) -> Kind:
    return (
        change.account,
        change.pass_id,
        change.action,
        change.result,
        change.revision,
        change.code,
        change.approved,
    )
