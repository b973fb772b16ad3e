"""The receiver's page: the latest events, for whoever sits at the machine.

Owns: what of an event is shown, and how much of it. Must not: change anything, or show a link that a foreigner wrote:
``contentUrl`` is text here and nowhere a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.api.links import Links
from reconciler.api.templating import page_template
from reconciler.events.describing import describe
from reconciler.events.envelope import messages
from reconciler.events.model import KeptEvent, Wanted
from reconciler.events.port import Directory, Logic

EVENTS = 50
"""How many events are shown."""
MAIN_LOCALE = "en"
"""The locale of the messages that are shown, where the table has it; else the first one."""


class Events(Protocol):
    """The part of the archive that the page asks."""

    def events(self, wanted: Wanted) -> Sequence[KeptEvent]:
        """Return the newest events that are wanted, newest first."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as the page shows it."""

    id: str
    received_at: datetime
    device: str
    name: str
    account: str
    diagnosis: str
    category: str
    message: str
    state: str
    deliveries: str


class EventPage:
    """Makes the page. ``directory`` and ``logic`` are those in force."""

    def __init__(
        self, archive: Events, directory: Directory, logic: Logic, links: Links | None = None
    ) -> None:
        self._archive, self._directory, self._logic = archive, directory, logic
        self._links = links or Links()

    def render(self, now: datetime) -> str:
        """Return the page. It blocks on the disk; raises ``SpoolError``."""
        rows = [self._row(event) for event in self._archive.events(Wanted(limit=EVENTS))]
        return page_template("events.html").render(
            links=self._links,
            program="PCC receiver",
            tone="calm",
            title="Latest events",
            rows=rows,
            now=now,
            most=EVENTS,
        )

    def _row(self, event: KeptEvent) -> EventRow:
        name = account = message = ""
        if event.message is not None:
            known = describe(event.message, self._directory, self._logic)
            if known.device is not None:
                name, account = known.device.name or "", known.device.account or ""
            message = _short_message(messages(event.message, known))
        return EventRow(
            id=event.id,
            received_at=event.received_at,
            device=event.device or "",
            name=name,
            account=account or event.account or "",
            diagnosis=event.diagnosis or event.push_type,
            category=event.category or "",
            message=message,
            state=event.state.value,
            deliveries=_deliveries(event),
        )


def _short_message(found: Mapping[str, Mapping[str, str | None]]) -> str:
    """Return the short message in one locale."""
    for locale in (MAIN_LOCALE, *found):
        if locale in found:
            return found[locale]["short"] or ""
    return ""


def _deliveries(event: KeptEvent) -> str:
    """Return what became of the event at each sink, in words."""
    words = []
    for row in event.deliveries:
        tries = f" after {row.attempts} tries" if row.attempts > 1 else ""
        words.append(f"{row.sink}: {row.state.value}{tries}")
    return ", ".join(words)
