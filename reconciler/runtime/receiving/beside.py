"""The spool beside a receiving process that may be running, for commands that look at it or change it.

Owns: what such a command takes as being in force: what the spool keeps as last accepted. Must not: hold the spool.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError, quoted, suggestion
from reconciler.events.logic import LogicInForce
from reconciler.events.model import Wanted
from reconciler.events.routing import SinkRouter
from reconciler.events.spool import SpoolArchive, open_beside
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.directory import DesiredDirectory
from reconciler.runtime.directory.kept import NAME, unpacked, without
from reconciler.runtime.partner_files import Rules
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.receiving.rules import restored

MOST_LOOKED_AT = 100_000
"""Events of a device that are looked at for where they were delivered."""


@dataclass(frozen=True, slots=True)
class Beside:
    """An open spool, and the rules that its receiving process accepted last."""

    archive: SpoolArchive
    rules: Rules

    def check_sink(self, sink: str) -> None:
        """Insist on a sink that is in force: what is replayed to another would wait for ever."""
        known = sorted(self.rules.config.sinks)
        if sink not in known:
            raise ReconcilerError(
                f"there is no sink {quoted(sink)!r} in the events file that is in force"
                f"{suggestion(sink, known)}"
            )

    def erase(self, device: str) -> int:
        """Remove what is kept of a device, its name among it; return the number of events.

        The name goes first: what the spool does last is to see to it that nothing of either is left in its files.
        """
        names = self.archive.kept(NAME)
        left = None if names is None else without(names, device)
        if left is not None:
            self.archive.keep(NAME, left)
        return self.archive.erase(device)

    def reached(self, device: str) -> list[str]:
        """Return the sinks that were given events of a device.

        One that waits for its replay has no tries, and words that say so.
        """
        found = self.archive.events(Wanted(device=device, limit=MOST_LOOKED_AT))
        rows = [row for event in found for row in event.deliveries]
        return sorted({row.sink for row in rows if row.attempts or row.words})


@contextmanager
def beside(settings: ReceiverSettings, clock: Clock | None = None) -> Iterator[Beside]:
    """Open the spool that the settings name. Raises ``SpoolError``, also where there is none."""
    clock = clock or SystemClock()
    directory, logic = DesiredDirectory(clock), LogicInForce()
    router = SinkRouter(directory, logic)
    archive = open_beside(settings.events_dir, clock, router)
    try:
        rules = restored(archive) or Rules()
        logic.enforce(rules.table)
        router.enforce(rules.config.sinks)
        names = archive.kept(NAME)
        recalled = None if names is None else unpacked(names)
        if recalled is not None:
            directory.enforce(recalled.accepted)
        yield Beside(archive, rules)
    finally:
        archive.close()
