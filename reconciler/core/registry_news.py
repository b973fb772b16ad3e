"""What is known of LG's registry of an account with rules, and what that means for people.

Owns: the sentences about it. Must not: hold or change anything: a registry is shown, never acted on. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.model import Desired
from reconciler.core.rules import Pending, Registry, pending
from reconciler.core.text import counted, stamp_words

NAMED = 5
"""At most this many rules are named in a sentence; the others are a number."""


@dataclass(frozen=True, slots=True)
class RegistryNews:
    """What waits for ``resolve`` by the last registry that was believed, and when that was read.

    ``doubted`` is why the newest answer is not believed; ``read`` is None where none was believed yet.
    """

    pending: Pending = field(default_factory=Pending)
    read: datetime | None = None
    doubted: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what a person should know."""
        found = []
        if self.doubted:
            found.append(f"registry doubted: {self.doubted}{_basis(self.read)}")
        if self.pending.total:
            found.append(waiting(self.pending))
        return tuple(found)


def _basis(read: datetime | None) -> str:
    if read is None:
        return ""
    return f"; what waits is shown by the one of {stamp_words(read)}"


def waiting(found: Pending) -> str:
    """Return how many devices rules would take that their lock does not have."""
    counts = [(name, len(devices)) for name, devices in found.of_rule.items() if devices]
    words = [f"{count} by rule {name}" for name, count in counts[:NAMED]]
    if len(counts) > NAMED:
        words.append(f"others by {counted(len(counts) - NAMED, 'more rule')}")
    wait = "waits" if found.total == 1 else "wait"
    return f"{counted(found.total, 'device')} {wait} for pcc-reconciler resolve: {', '.join(words)}"


def news(desired: Desired, believed: Registry | None, doubted: str = "") -> RegistryNews | None:
    """Return what a registry means for an account, or None where it has no rules.

    ``believed`` is the last registry that was believed, if there is one.
    """
    ruled = desired.ruled
    if ruled is None:
        return None
    if believed is None:
        nothing = pending(ruled, desired.devices, desired.policy.ignore, ())
        return RegistryNews(nothing, doubted=doubted)
    found = pending(ruled, desired.devices, desired.policy.ignore, believed.devices)
    return RegistryNews(found, believed.read, doubted)
