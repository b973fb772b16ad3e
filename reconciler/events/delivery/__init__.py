"""Delivery: every event reaches each of its sinks at least once, or is shown as undelivered.

Owns: when which event is tried at which sink, and what follows from how that ended.
Must not: know a kind of sink, or how the outbox keeps what it has.

From the top: ``service`` has a ``lane`` for each sink; ``health`` says when a sink may be tried, ``policy`` when an
event is. ``port`` is what they ask of others.
"""

from reconciler.events.delivery.port import Builder, Envelopes, Watch
from reconciler.events.delivery.service import Delivery

__all__ = ["Builder", "Delivery", "Envelopes", "Watch"]
