"""The status page: what is on it, in which order, and how much of it.

Owns: which accounts come first, what is summed up, and how long a sentence may be. Pure but for reading its template.
Must not: find anything out, or judge: it shows an ``Overview``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from reconciler.api.templating import cut, page_template, short
from reconciler.core.guards import REMEDIES
from reconciler.core.model import Kind, Reason
from reconciler.core.text import counted, plural
from reconciler.reporting import AccountReport, StatusReport
from reconciler.reporting.attention import ROWS, by_attention, has_remarks, is_calm
from reconciler.reporting.forecast import BoundaryReport
from reconciler.reporting.queries import Overview

MOMENTS = 6
"""How many coming moments are shown."""
DEVICES = 20
"""How many devices of one kind are named; the rest is a number."""
FAULTS = 50
"""How many faults are shown; ``validate`` shows all."""
LONG = 600
"""The most characters of a sentence."""


@dataclass(slots=True)
class Moment:
    """One coming moment, of all accounts that it concerns."""

    at: datetime
    accounts: list[str] = field(default_factory=list)
    begins: int = 0
    ends: int = 0
    held: int = 0
    expires: list[str] = field(default_factory=list)
    _messages: list[tuple[str, str]] = field(default_factory=list)

    def add(self, boundary: BoundaryReport) -> None:
        """Add what this moment brings to one more account."""
        self.accounts.append(boundary.account)
        self.begins += boundary.begins
        self.ends += boundary.ends
        self.held += boundary.held
        self.expires += boundary.expires
        if boundary.message:
            self._messages.append((boundary.account, boundary.message))

    @property
    def messages(self) -> list[str]:
        """Return its sentence; for several accounts, each sentence with its account."""
        if len(self.accounts) == 1:
            return [message for _account, message in self._messages]
        return [f"{account}: {message}" for account, message in self._messages]


@dataclass(slots=True)
class Sums:
    """The sums of all accounts. ``devices`` are those of accounts with a known list."""

    wanted: int = 0
    devices: Counter[str] = field(default_factory=Counter)
    held: int = 0
    refused: int = 0
    flapping: int = 0

    def add(self, account: AccountReport) -> None:
        """Add one more account."""
        self.wanted += account.desired
        self.devices.update(account.devices)
        self.held += sum(held.count for held in account.held)
        self.refused += account.refused
        self.flapping += len(account.flapping)


class Page:
    """The page. ``render`` may be called from any thread."""

    def __init__(self) -> None:
        filters: dict[str, Callable[..., str]] = {
            "counted": counted,
            "plural": plural,
            "long": _long,
            "person": _person,
            "in_path": _in_path,
            "number": _number,
        }
        self._template = page_template("status.html", filters)

    def render(self, overview: Overview) -> str:
        """Return the page as HTML."""
        status = overview.status
        return self._template.render(
            overview=overview,
            status=status,
            tone=_tone(status),
            moments=moments(status.coming)[:MOMENTS],
            remedies=REMEDIES,
            GUARD=Kind.GUARD,
            REFUSED=Reason.REFUSED,
            STOPPED=Reason.ACCOUNT_STOPPED,
            DEVICES=DEVICES,
            FAULTS=FAULTS,
            **_sections(status.accounts),
        )


def _sections(reports: Sequence[AccountReport]) -> dict[str, Any]:
    """Return the accounts by the section that shows them, those that need a person first, and their sums."""
    sums = Sums()
    sections: dict[str, list[AccountReport]] = {
        "rows": [],
        "brief": [],
        "guarded": [],
        "failing": [],
        "remarked": [],
    }
    for account in by_attention(reports):
        sums.add(account)
        in_brief = len(reports) > ROWS and is_calm(account)
        sections["brief" if in_brief else "rows"].append(account)
        if account.guarded:
            sections["guarded"].append(account)
        if account.error:
            sections["failing"].append(account)
        if has_remarks(account):
            sections["remarked"].append(account)
    return {"sums": sums, **sections}


def moments(coming: Sequence[BoundaryReport]) -> list[Moment]:
    """Return the coming moments, earliest first, each with all that it brings."""
    found: list[Moment] = []
    for boundary in coming:
        if not found or found[-1].at != boundary.at:
            found.append(Moment(boundary.at))
        found[-1].add(boundary)
    return found


def _tone(status: StatusReport) -> str:
    """Return the tone: everything in sync, nothing for a person to do, or something that needs attention."""
    if not status.well:
        return "look"
    return "well" if all(one.condition == "in_sync" for one in status.accounts) else "calm"


def _long(words: str) -> str:
    return cut(words, LONG)


def _person(author: str) -> str:
    """Return the name of an author, without the address."""
    return short(author.partition(" <")[0] or author)


def _in_path(word: str) -> str:
    return quote(word, safe="")


def _number(number: int) -> str:
    return f"{number:,}"
