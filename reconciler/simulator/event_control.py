"""The part of the ``/_sim`` API that is about events: make some, and see what became of them.

Owns: the JSON that goes in and out. Must not: hold any state, or send anything.
"""

from __future__ import annotations

from typing import Any

import msgspec

from reconciler.simulator.callbacks import Callbacks
from reconciler.simulator.calls import Sent
from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.event_faults import EventEffect
from reconciler.simulator.events import PCC_EVENT

MOST_AT_ONCE = 10_000


class NewEvents(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /_sim/events``: what is left out is made up. ``diagnosed`` is in epoch seconds."""

    user: str | None = None
    device: str | None = None
    diagnosis: str | None = None
    diagnosed: float | None = None
    push_type: str = PCC_EVENT
    members: dict[str, Any] = msgspec.field(default_factory=dict)
    faults: list[EventEffect] = msgspec.field(default_factory=list)
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_AT_ONCE:
            raise ValueError(f"count has to be between 1 and {MOST_AT_ONCE}")
        if not self.push_type:
            raise ValueError("push_type must not be empty")


class EventControl:
    """The events of one platform; without a callback address there are none."""

    def __init__(self, callbacks: Callbacks | None) -> None:
        self._callbacks = callbacks

    def emit(self, wanted: NewEvents) -> list[dict[str, Any]]:
        """Make events and describe them."""
        return [_described(self._emit(wanted)) for _ in range(wanted.count)]

    def listed(self, filters: dict[str, str], limit: int) -> dict[str, Any]:
        """Return the events that the filters let through, oldest first, at most the last ``limit``."""
        found = [_described(sent) for sent in self._given().log]
        unknown = filters.keys() - _FILTERS
        if unknown:
            raise SimulatorError(f"events cannot be filtered by {', '.join(sorted(unknown))}")
        for name, value in filters.items():
            found = [one for one in found if str(one[name]) == value]
        return {"total": len(found), "events": found[-limit:] if limit else []}

    def forget(self) -> None:
        """Forget the events that were made; calls that are still to come are made all the same."""
        self._given().log.clear()

    def status(self, url: str | None) -> dict[str, Any]:
        """Return where the calls go and how they fare."""
        if self._callbacks is None:
            return {"url": None}
        return {
            "url": url,
            "events": self._callbacks.made,
            "next": self._callbacks.next_at(),
            "refused_in_a_row": self._callbacks.refused_in_a_row,
            "given_up": self._callbacks.given_up,
        }

    def resume(self) -> None:
        """Use the address again after it was given up."""
        self._given().resume()

    def _given(self) -> Callbacks:
        if self._callbacks is None:
            raise SimulatorError("events need a callback address: start with --callback URL")
        return self._callbacks

    def _emit(self, wanted: NewEvents) -> Sent:
        callbacks = self._given()
        given: dict[str, Any] = {
            "diagnosis": wanted.diagnosis,
            "diagnosed": wanted.diagnosed,
            "push_type": wanted.push_type,
            "members": wanted.members,
            "effects": wanted.faults,
        }
        user = wanted.user
        if wanted.device is not None:
            user = user or callbacks.subscriber(wanted.device)
            return callbacks.emit(user, wanted.device, **given)
        sent = callbacks.emit_any(user, **given)
        if sent is None:
            raise SimulatorError("no device is subscribed, so there is nothing to diagnose")
        return sent


_FILTERS = frozenset({"user", "device", "diagnosis", "push_type", "state"})


def _described(sent: Sent) -> dict[str, Any]:
    event = sent.event
    return {
        "number": sent.number,
        "made": sent.made,
        "user": sent.user,
        "device": event.device,
        "push_type": event.push_type,
        "diagnosis": event.diagnosis,
        "diagnosed": event.diagnosed,
        "message_ids": sent.message_ids,
        "faults": sent.faults,
        "state": sent.state,
        "answers": sent.answers,
    }
