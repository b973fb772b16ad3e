"""The first page: what is on it, in which order, and how much of it.

Owns: which accounts come first, what is summed up, and how many of each are shown. Pure but for reading its template.
Must not: find anything out, or judge: it shows an ``Overview``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.api.links import Links
from reconciler.api.page_commands import for_account, for_several
from reconciler.api.templating import page_template
from reconciler.core.guards import REMEDIES
from reconciler.core.model import Condition, Reason
from reconciler.reporting import AccountReport, PauseReport, StatusReport
from reconciler.reporting.attention import ROWS, by_attention, has_remarks, is_calm
from reconciler.reporting.forecast import BoundaryReport
from reconciler.reporting.grouping import grouped
from reconciler.reporting.queries import Overview

MOST_ROWS = 50
"""Of more accounts that are not in sync, the rest is on the page of all accounts."""
MOST_BRIEF = 400
"""The most accounts that are listed in brief."""
CARDS = 20
"""The most cards about one kind of trouble, and the most accounts that one of them names."""
PAUSES = 50
"""How many pauses are listed, and how many abandoned accounts."""
MOMENTS = 6
"""How many coming moments are shown."""
GROUPS = 10
"""How many groups of past changes are shown."""
DEVICES = 20
"""How many devices of one kind are named; the rest is a number."""
FAULTS = 50
"""How many faults are shown; ``validate`` shows all."""
LONGEST_APPROVAL = 50_000
"""The most characters of a block to copy."""


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
    """The sums of all accounts.

    ``devices`` are those of accounts with a known list. ``dated`` is how many of those in sync are so by a list that is
    older than the last pass, ``oldest`` the oldest of these lists. ``unknown`` is how many wanted devices are of
    accounts of which no list was ever trusted.
    """

    wanted: int = 0
    devices: Counter[str] = field(default_factory=Counter)
    held: int = 0
    refused: int = 0
    flapping: int = 0
    dated: int = 0
    oldest: datetime | None = None
    unknown: int = 0

    def add(self, account: AccountReport) -> None:
        """Add one more account."""
        self.wanted += account.desired
        self.devices.update(account.devices)
        self.held += sum(held.count for held in account.held)
        self.refused += account.refused
        self.flapping += len(account.flapping)
        if account.last_success is None:
            self.unknown += account.desired
        elif is_dated(account):
            self.dated += account.devices.get("in_sync", 0)
            self.oldest = min(self.oldest or account.last_success, account.last_success)


@dataclass(slots=True)
class Alike:
    """Accounts with the same trouble, or the same remarks: one card shows them all. There is at least one."""

    accounts: list[AccountReport] = field(default_factory=list)

    @property
    def first(self) -> AccountReport:
        """Return one of them; what they have in common is read from it."""
        return self.accounts[0]

    @property
    def count(self) -> int:
        """Return how many they are."""
        return len(self.accounts)

    @property
    def next_pass(self) -> datetime | None:
        """Return when the first of them has its next pass."""
        known = (one.next_pass for one in self.accounts if one.next_pass is not None)
        return min(known, default=None)


def is_dated(account: AccountReport) -> bool:
    """Say whether the figures of an account are of an older list than its last pass asked for."""
    return account.last_success is not None and account.last_success != account.last_attempt


class Page:
    """The page. ``render`` may be called from any thread."""

    def __init__(self, links: Links | None = None) -> None:
        self._links = links or Links()
        self._template = page_template("status.html")

    def render(self, overview: Overview) -> str:
        """Return the page as HTML."""
        status = overview.status
        return self._template.render(
            links=self._links,
            here="/",
            now=status.at,
            version=f"{status.version} · mode {status.mode}",
            tone=tone(status),
            title=status.summary.rstrip("."),
            overview=overview,
            status=status,
            groups=grouped(overview.changes, older=overview.older)[:GROUPS],
            moments=moments(status.coming)[:MOMENTS],
            remedies=REMEDIES,
            commands=for_account,
            commands_of_several=for_several,
            pauses=commanded(status.pauses),
            is_dated=is_dated,
            REFUSED=Reason.REFUSED,
            STOPPED=Reason.ACCOUNT_STOPPED,
            DEVICES=DEVICES,
            FAULTS=FAULTS,
            CARDS=CARDS,
            MOST_ROWS=MOST_ROWS,
            MOST_BRIEF=MOST_BRIEF,
            LONGEST_APPROVAL=LONGEST_APPROVAL,
            PAUSES=PAUSES,
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
    return {
        "sums": sums,
        **sections,
        "failing_words": _failing_words(sections["failing"]),
        "troubles": _alike(sections["failing"], _trouble),
        "remarks": _alike(sections["remarked"], _remarks),
    }


def _alike(
    accounts: Sequence[AccountReport], likeness: Callable[[AccountReport], Hashable]
) -> Sequence[Alike]:
    """Return accounts in groups, each at the place of its first account."""
    groups: dict[Hashable, Alike] = {}
    for account in accounts:
        groups.setdefault(likeness(account), Alike()).accounts.append(account)
    return tuple(groups.values())


def _failing_words(failing: Sequence[AccountReport]) -> str:
    """Say what is the matter with accounts that LG gives no list."""
    stopped = sum(one.condition == Condition.STOPPED for one in failing)
    if stopped == len(failing):
        return "stopped"
    return "stopped, or without an answer from LG" if stopped else "without an answer from LG"


def _trouble(account: AccountReport) -> Hashable:
    return account.condition, account.error


def _remarks(account: AccountReport) -> Hashable:
    """Return what is the same in accounts with the same remarks. What names devices is about one account alone."""
    if account.refused or account.flapping:
        return account.account
    others = tuple(one for one in account.held if not one.asks)
    return account.condition, account.error, account.rejected, account.remarks, others


def moments(coming: Sequence[BoundaryReport]) -> list[Moment]:
    """Return the coming moments, earliest first, each with all that it brings."""
    found: list[Moment] = []
    for boundary in coming:
        if not found or found[-1].at != boundary.at:
            found.append(Moment(boundary.at))
        found[-1].add(boundary)
    return found


def commanded(pauses: Sequence[PauseReport]) -> dict[str | None, PauseReport]:
    """Return the pauses that a command set, by account; None is all accounts."""
    return {one.account: one for one in pauses if one.by == "command"}


def tone(status: StatusReport) -> str:
    """Return the tone of the page.

    All in sync, nothing for a person to do, LG is waited for, or something that needs attention.
    """
    if not status.well:
        return "wait" if _only_waits(status) else "look"
    return "well" if all(one.condition == "in_sync" for one in status.accounts) else "calm"


def _only_waits(status: StatusReport) -> bool:
    """Say whether all that is wrong is that LG gives no answer, which ends automatically."""
    waiting = [one for one in status.accounts if one.error]
    if not waiting or not status.summary.startswith(waiting[0].account):
        return False  # the sentence at the top is about something graver
    return not status.abandoned and not any(map(_needs_somebody, status.accounts))


def _needs_somebody(account: AccountReport) -> bool:
    """Say whether somebody has to act because of an account."""
    full = any(one.reason == Reason.SUBSCRIPTIONS_FULL for one in account.held)
    stopped = account.condition == Condition.STOPPED
    return stopped or account.guarded or bool(account.refused) or full


def tone_of(account: AccountReport) -> str:
    """Return the tone of one account."""
    if _needs_somebody(account):
        return "look"
    if account.error:
        return "wait"
    return "well" if account.condition == Condition.IN_SYNC else "calm"
