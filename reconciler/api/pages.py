"""The pages beside the first one: all accounts, one account, one device, past changes, events, a search.

Owns: what is on each of them, and how much of it. Pure but for reading templates. Must not: find anything out, or know
HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler import __version__
from reconciler.api.links import Links
from reconciler.api.page import (
    DEVICES,
    LONGEST_APPROVAL,
    is_dated,
    tone,
    tone_of,
)
from reconciler.api.page_commands import for_account, for_device
from reconciler.api.port import Contact, HeardEvents
from reconciler.api.templating import cut, page_template
from reconciler.core.guards import REMEDIES
from reconciler.core.model import Action, Condition, Reason
from reconciler.reporting import StatusReport
from reconciler.reporting.account_devices import STATES, DevicesAsked
from reconciler.reporting.attention import by_attention
from reconciler.reporting.explain import Explanation, Position
from reconciler.reporting.formats.explanations import protection_words
from reconciler.reporting.grouping import ChangeGroup, grouped
from reconciler.reporting.queries import RESULTS
from reconciler.reporting.queries import Page as PastChanges
from reconciler.reporting.views import AccountView, SearchView

ACCOUNTS = 100
"""How many accounts one page lists."""
GROUPS = 10
"""How many groups of changes the page of an account shows."""
FIELDS = (
    ("account", "Account", "name"),
    ("device", "Device", "name or id"),
    ("since", "Since", "2026-11-24, yesterday, 7d"),
    ("until", "Until", "2026-11-24, 2026-11-24 10:00"),
    ("timezone", "Dates in", ""),
    ("author", "Author", "part of the name"),
    ("revision", "Commit", "its first characters"),
)
"""What past changes may be narrowed to by a text, each with its label and an example; the zone's is the one that is
used where none is given."""
CHOICES = (
    ("action", "Change", tuple(str(one) for one in Action)),
    ("result", "Result", RESULTS),
)
"""What past changes may be narrowed to by a word of ours, each with its label."""
DEVICE_TONES = {
    Position.IN_SYNC: "well",
    Position.MISSING: "wait",
    Position.EXTRA: "wait",
    Position.UNKNOWN: "wait",
}


@dataclass(frozen=True, slots=True)
class AccountsAsked:
    """Which accounts are asked for."""

    words: str = ""
    condition: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class HistoryAsked:
    """Which past changes are asked for, as it was typed.

    ``zone`` is the one in which dates are meant where none is typed, ``spoken`` what dates were taken for, and
    ``trouble`` why there is no answer.
    """

    given: Mapping[str, str]
    zone: str = "UTC"
    spoken: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


class Pages:
    """The pages. Every method returns HTML and may be called from any thread."""

    def __init__(self, links: Links | None = None) -> None:
        self._links = links or Links()

    def accounts(self, status: StatusReport, asked: AccountsAsked) -> str:
        """Return the list of all accounts, those that need a person first."""
        counts = Counter(one.condition for one in status.accounts)
        words = asked.words.casefold()
        found = [
            one
            for one in by_attention(status.accounts)
            if words in one.account.casefold() and asked.condition in {"", one.condition}
        ]
        pages = max(1, -(-len(found) // ACCOUNTS))
        page = min(max(asked.page, 1), pages)
        return self._rendered(
            "accounts.html",
            status.at,
            here="/accounts",
            tone=tone(status),
            title="Accounts",
            total=len(status.accounts),
            words=asked.words,
            condition=asked.condition,
            counts=[(one, counts[one]) for one in Condition if counts[one]],
            found=len(found),
            rows=found[(page - 1) * ACCOUNTS : page * ACCOUNTS],
            page=page,
            pages=pages,
        )

    def account(
        self, view: AccountView, contact: Contact, asked: DevicesAsked, now: datetime
    ) -> str:
        """Return the page of one account."""
        detail = view.detail
        pause = detail.pause
        return self._rendered(
            "account.html",
            now,
            here="/account",
            tone=tone_of(detail),
            title=f"{detail.account}: {detail.condition.replace('_', ' ')}",
            view=view,
            asked=asked,
            states=[one for one in STATES if view.devices.counts[one] or one == asked.state],
            dated=is_dated(detail),
            pause=pause,
            contact=contact,
            heard=contact.heard,
            groups=grouped(view.changes, older=view.older)[:GROUPS],
            commands=for_account(detail, pause),
            remedies=REMEDIES,
            STOPPED=Reason.ACCOUNT_STOPPED,
            DEVICES=DEVICES,
            LONGEST_APPROVAL=LONGEST_APPROVAL,
        )

    def device(self, story: Explanation, now: datetime) -> str:
        """Return the page of one device in one account."""
        state = Position(story.state)
        return self._rendered(
            "device.html",
            now,
            here="/device",
            tone="look" if story.hold is not None else DEVICE_TONES.get(state, "calm"),
            title=f"{cut(story.name or story.device, 40)}: {story.state.replace('_', ' ')}",
            story=story,
            protection_words=protection_words,
            commands=for_device(story),
        )

    def history(self, asked: HistoryAsked, page: PastChanges | None, now: datetime) -> str:
        """Return past changes that were asked for."""
        given = asked.given
        fields = [(key, words, hint or asked.zone) for key, words, hint in FIELDS]
        return self._rendered(
            "history.html",
            now,
            here="/history",
            tone="look" if asked.trouble else "calm",
            title="Past changes",
            asked=given,
            spoken=asked.spoken,
            fields=fields,
            choices=CHOICES,
            newest={key: value for key, value in given.items() if key != "before"},
            page=page,
            groups=() if page is None else _groups(page, given),
            trouble=asked.trouble,
        )

    def search(self, view: SearchView, now: datetime) -> str:
        """Return what a search found."""
        return self._rendered(
            "search.html",
            now,
            here="/search",
            tone="calm",
            title=f"Search: {view.words}" if view.words else "Search",
            searched=view.words,
            view=view,
        )

    def events(self, heard: HeardEvents, now: datetime) -> str:
        """Return the events that the receivers of this daemon have."""
        return self._rendered(
            "heard.html", now, here="/events", tone="calm", title="Events", heard=heard
        )

    def missing(self, title: str, words: str, now: datetime) -> str:
        """Return a page that says why there is no other."""
        return self._rendered(
            "missing.html",
            now,
            here="",
            tone="wait",
            title=title,
            words=words,
        )

    def _rendered(self, template: str, now: datetime, **shown: Any) -> str:
        found = page_template(template)
        return found.render(
            links=self._links,
            now=now,
            version=__version__,
            **shown,
        )


def _groups(page: PastChanges, asked: Mapping[str, str]) -> Sequence[ChangeGroup]:
    return grouped(
        page.changes,
        newer="before" in asked,
        older=page.next is not None,
    )
