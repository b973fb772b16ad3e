"""The status page: what stands on it, in which order, and how much of it.

Owns: which accounts come first, what is summed up, how long a word from outside may be, and the template. Pure but for
reading its own files. Must not: find anything out, or judge: it shows an ``Overview``.

Words from outside (names, LG's messages, faults) are cut, lose what steers the direction of writing, and are escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reconciler.core.guards import REMEDIES
from reconciler.core.model import Kind, Reason
from reconciler.core.text import counted, one_line, plural, span_words, stamp_words
from reconciler.reporting import AccountReport, StatusReport
from reconciler.reporting.forecast import BoundaryReport
from reconciler.reporting.queries import Overview

TEMPLATES = Path(__file__).parent / "templates"
ROWS = 12
"""Where there are no more accounts than this each has a row; of more, those in which all is well are told in brief."""
MOMENTS = 6
"""So many coming moments are told."""
DEVICES = 20
"""So many devices of one kind are named; the rest is a number."""
FAULTS = 50
"""So many faults of a text are shown; ``validate`` shows all."""
SHORT, LONG = 80, 600
"""A name may have so many characters here, and a sentence so many."""

ORDER = ("stopped", "held", "converging", "paused", "in_sync")
"""Conditions of accounts from what wants a person most to what wants nobody. Abandoned ones are told apart."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One coming moment, of all accounts that it concerns."""

    at: datetime
    accounts: tuple[str, ...]
    begins: int
    ends: int
    held: int
    expires: tuple[str, ...]
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """What all accounts come to. ``devices`` are those of which LG's list is known."""

    wanted: int
    devices: Counter[str]
    held: int
    refused: int
    flapping: int


class Page:
    """The page. ``render`` may be called from any thread."""

    def __init__(self) -> None:
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "stamp": stamp_words,
            "spoken": span_words,
            "counted": counted,
            "plural": plural,
            "short": lambda words: _cut(words, SHORT),
            "long": lambda words: _cut(words, LONG),
            "person": lambda author: _cut(author.partition(" <")[0] or author, SHORT),
            "in_path": lambda word: quote(word, safe=""),
            "number": lambda number: f"{number:,}",
        }
        self._template = environment.get_template("status.html")

    def render(self, overview: Overview) -> str:
        """Return the page as HTML."""
        status = overview.status
        accounts = sorted(status.accounts, key=_urgency)
        brief = len(accounts) > ROWS
        return self._template.render(
            overview=overview,
            status=status,
            tone=_tone(status),
            sums=sums(accounts),
            rows=[one for one in accounts if not brief or not _in_brief(one)],
            brief=[one for one in accounts if brief and _in_brief(one)],
            guarded=[one for one in accounts if one.guarded],
            failing=[one for one in accounts if one.error],
            told=[one for one in accounts if _has_more_to_tell(one)],
            moments=moments(status.coming)[:MOMENTS],
            remedies=REMEDIES,
            GUARD=Kind.GUARD,
            REFUSED=Reason.REFUSED,
            STOPPED=Reason.ACCOUNT_STOPPED,
            DEVICES=DEVICES,
            FAULTS=FAULTS,
        )


def sums(accounts: Iterable[AccountReport]) -> Sums:
    """Return what these accounts come to."""
    every = list(accounts)
    devices: Counter[str] = Counter()
    for one in every:
        devices.update(one.devices)
    return Sums(
        wanted=sum(one.desired for one in every),
        devices=devices,
        held=sum(held.count for one in every for held in one.held),
        refused=sum(one.refused for one in every),
        flapping=sum(len(one.flapping) for one in every),
    )


def moments(coming: Sequence[BoundaryReport]) -> list[Moment]:
    """Return the coming moments, earliest first, each with all that it brings."""
    found = []
    for at, several in groupby(coming, key=lambda one: one.at):
        group = list(several)
        found.append(
            Moment(
                at=at,
                accounts=tuple(one.account for one in group),
                begins=sum(one.begins for one in group),
                ends=sum(one.ends for one in group),
                held=sum(one.held for one in group),
                expires=tuple(reason for one in group for reason in one.expires),
                messages=tuple(_of(one.account, one.message, group) for one in group if one.message),
            )
        )
    return found


def _of(account: str, message: str, group: Sequence[BoundaryReport]) -> str:
    return message if len(group) == 1 else f"{account}: {message}"


def _tone(status: StatusReport) -> str:
    """Return how the page greets: all as wanted, nothing for a person to do, or look."""
    if not status.well:
        return "look"
    return "well" if all(one.condition == "in_sync" for one in status.accounts) else "calm"


def _urgency(account: AccountReport) -> tuple[int, int, str]:
    """Return what sorts accounts: those that want a person first, and among them those held by a guard."""
    condition = ORDER.index(account.condition) if account.condition in ORDER else 0
    return condition, 0 if account.guarded or account.error else 1, account.account


def _in_brief(account: AccountReport) -> bool:
    calm = account.condition == "in_sync" and not account.error and not account.guarded
    return calm and not _has_more_to_tell(account)


def _has_more_to_tell(account: AccountReport) -> bool:
    """Say whether an account has more to tell than its error and what a guard holds, which have places of their own."""
    others = any(held.kind != Kind.GUARD for held in account.held)
    return bool(account.rejected or account.flapping or account.remarks or account.refused or others)


def _cut(words: str, most: int) -> str:
    line = one_line(words[: 4 * most])
    return line if len(line) <= most else f"{line[: most - 1]}…"
