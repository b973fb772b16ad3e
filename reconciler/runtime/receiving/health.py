"""Says whether the receiving process is alive and ready.

Owns: when it is ready for the first call. Must not: end or repair anything. A spool that is full, or a commit that
fails, is no reason to hide: our own 503 says when to come again, and an ingress's does not. A thread that writes no
more, whatever the disk does, is a reason to start again: nothing else cures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

PATIENCE_SECONDS = 10.0
"""How long the first reading of the files is waited for."""


class Kept(Protocol):
    """A spool, which may not be open yet."""

    @property
    def is_open(self) -> bool:
        """Say whether it is open."""

    def stuck(self) -> str:
        """Say why it writes nothing any more, or return an empty string."""


class Steady(Protocol):
    """Tells how much time has passed."""

    def steady(self) -> float:
        """Return seconds that never jump."""


class Read(Protocol):
    """Something that is read from files."""

    @property
    def was_read(self) -> bool:
        """Say whether it was read, whatever came of that."""


class ReceiverHealth:
    """The health of this process. An empty answer means that it is well."""

    def __init__(self, spool: Kept, read: Sequence[Read], clock: Steady) -> None:
        self._spool, self._read, self._clock = spool, read, clock
        self._since = clock.steady()

    def live(self) -> str:
        """Say why the process is not alive: it answers, but what it is there for has come to an end."""
        return self._spool.stuck()

    def ready(self) -> str:
        """Say why no event can be taken yet, or not yet be named."""
        if not self._spool.is_open:
            return "the spool is not open"
        waited = self._clock.steady() - self._since
        unread = [one for one in self._read if not one.was_read]
        if unread and waited < PATIENCE_SECONDS:
            return "files are not read yet"
        return ""
