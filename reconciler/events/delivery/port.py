"""What delivery asks of others besides the outbox and the sinks.

Owns: one Protocol for each. Must not: contain code.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from reconciler.events.model import Attempt, Result
from reconciler.events.sinks.port import Sink


class Place(Protocol):
    """One sink as the events file describes it. A sink is built anew when its place is no longer equal."""

    @property
    def name(self) -> str:
        """The name under which the outbox keeps what goes there."""

    @property
    def ordered(self) -> bool:
        """Whether the events of one device go one after the other."""

    @property
    def concurrency(self) -> int:
        """The number of attempts that may be under way at once."""

    @property
    def give_up_after(self) -> timedelta:
        """How long after it was stored an event is tried again."""


class Builder(Protocol):
    """Makes sinks of what the events file says."""

    def build(self, place: Place) -> Sink:
        """Return the sink of a place. Connects to nothing yet."""


class Envelopes(Protocol):
    """Makes what leaves. Implemented by ``envelope``."""

    def make(self, attempt: Attempt) -> bytes:
        """Return the CloudEvent as JSON, with the names and texts that are in force now."""


class Watch(Protocol):
    """Counts what ended. Implemented by the metrics."""

    def ended(self, sink: str, result: Result, seconds: float) -> None:
        """Take note of one attempt, and how long it took."""
