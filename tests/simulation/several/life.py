"""What befalls three daemons, beside all that befalls one.

Owns: the events of replicas, how likely each is and how long its trouble lasts. Must not: judge anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from simulation.life import MINUTE, Life
from simulation.several.daemons import LEASE_SECONDS, Daemons

HANDED_OVER_SECONDS = LEASE_SECONDS + 2 * MINUTE
"""So long after trouble of a daemon every account is troubled."""


class SharedLife(Life):
    """The world of three daemons."""

    @property
    def daemons(self) -> Daemons:
        """Return the daemons, which are the machine of this world."""
        return cast("Daemons", self._machine)

    def _write_one(
        self, folder: Path, name: str, content: bytes | None, *, in_place: bool | None = None
    ) -> None:
        """Let every daemon's copy have a file, some of them later."""
        del folder
        if content is None:
            self.files.pop(name, None)
        else:
            self.files[name] = content
            in_place = self._random.random() < 0.5 if in_place is None else in_place
        self.daemons.deliver(name, content, in_place=bool(in_place))

    def _set_clock(self, seconds: float, words: str) -> None:
        """Set the database's clock, which is that of all."""
        super()._set_clock(seconds, words)
        self.daemons.trouble()

    def _look_at_the_state(self) -> None:
        """Nothing that is in the database may hold a secret."""
        kept = self.daemons.storage._database._connection.serialize()
        leaks = [one for one in self._checker.secrets if one and one.encode() in kept]
        self._checker.promise("secret", "a secret is in the database", kept=not leaks)
