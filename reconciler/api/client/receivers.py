"""Asks one receiver which events it has.

Owns: the pages of ``/api/v1/seen``, the newest event of a device, and the checks that make values of them.
Must not: keep anything, or join events with devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from reconciler.api.client.connection import RECEIVER, ask
from reconciler.core.errors import DaemonError
from reconciler.core.heard import Heard
from reconciler.core.model import DeviceId
from reconciler.reporting.explain.heard import LastEvent
from reconciler.reporting.explain.values import DeliveryReport

SECONDS = 15.0
"""For one page."""
LATEST_SECONDS = 2.0
"""For the newest event of one device: a person waits for it."""
LARGEST_PAGE = 8 * 1024 * 1024
"""Bytes of one page: a thousand events of 400 bytes each are a twentieth of this."""
PAGE = 1000
"""Events of a full page, after which the next one is asked for at once."""
MOST_PAGES = 1000
"""Pages that are read in one go; the rest follows a minute later."""


Ask = Callable[[str, str, str | None, float], dict[str, Any]]
"""Asks a receiver: its address, a path, the token, and the seconds that the answer may take. Raises ``DaemonError``."""


def ask_receiver(address: str, path: str, token: str | None, seconds: float) -> dict[str, Any]:
    """Ask a receiver over HTTP."""
    return ask(
        address,
        path,
        token=token,
        seconds=seconds,
        largest=LARGEST_PAGE,
        readable=True,
        kind=RECEIVER,
    )


class _Event(msgspec.Struct):
    seq: int
    id: str
    received: datetime
    device: str | None = None
    push_type: str = ""
    diagnosis: str | None = None
    category: str | None = None
    diagnosed: datetime | None = None


class _Kept(_Event):
    deliveries: list[DeliveryReport] = []


class _Events(msgspec.Struct):
    events: list[_Kept]


class _Page(msgspec.Struct):
    spool: str
    last: int
    events: list[_Event]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a receiver was read: which spool, and the number of the last event. A new spool is read from 0."""

    spool: str = ""
    after: int = 0


def pages(
    address: str,
    token: str | None,
    place: Place,
    seconds: float = SECONDS,
    asking: Ask = ask_receiver,
) -> Iterator[tuple[Place, list[Heard]]]:
    """Yield the events after a place page by page, each page with the place where it ends. ``seconds`` is for one page.

    Raises ``DaemonError`` where the receiver does not answer, or not as a receiver does. What was yielded counts.
    """
    for _ in range(MOST_PAGES):
        page = _page(asking(address, f"/api/v1/seen?after={place.after}", token, seconds), address)
        if page.spool != place.spool and place.after:
            place = Place(page.spool)
            continue
        if page.events and page.last <= place.after:
            raise DaemonError(f"{address}: its events do not go on after {place.after}")
        place = Place(page.spool, max(page.last, place.after))
        yield place, [_heard(one) for one in page.events if one.device]
        if len(page.events) < PAGE:
            return


def latest(
    address: str, token: str | None, device: DeviceId, asking: Ask = ask_receiver
) -> LastEvent | None:
    """Return the newest event of a device that a receiver has; raises ``DaemonError`` where it gives no answer."""
    query = f"limit=1&device={quote(device, safe='')}"
    found = _events(asking(address, f"/api/v1/events?{query}", token, LATEST_SECONDS), address)
    return found[0] if found else None


def newest(
    address: str, token: str | None, limit: int, asking: Ask = ask_receiver
) -> list[LastEvent]:
    """Return the newest events that a receiver has; raises ``DaemonError`` where it gives no answer."""
    answer = asking(address, f"/api/v1/events?limit={limit}", token, LATEST_SECONDS)
    return [one for one in _events(answer, address) if one.event.device]


def _events(answer: dict[str, Any], address: str) -> list[LastEvent]:
    try:
        events = msgspec.convert(answer, _Events).events
    except msgspec.ValidationError as error:
        raise DaemonError(f"what answers at {address} is not a receiver: {error}") from error
    return [LastEvent(_heard(one), tuple(one.deliveries)) for one in events]


def _page(answer: dict[str, Any], address: str) -> _Page:
    try:
        page = msgspec.convert(answer, _Page)
    except msgspec.ValidationError as error:
        raise DaemonError(f"what answers at {address} is not a receiver: {error}") from error
    if len(page.events) > PAGE:
        raise DaemonError(f"what answers at {address} is not a receiver: its page is too long")
    return page


def _heard(one: _Event) -> Heard:
    return Heard(
        id=one.id,
        device=DeviceId(one.device or ""),
        received=_aware(one.received),
        diagnosed=None if one.diagnosed is None else _aware(one.diagnosed),
        push_type=one.push_type,
        diagnosis=one.diagnosis,
        category=one.category,
    )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
