"""The facts of one device in one account, from which its explanation is made.

Owns: what has to be known, and what follows from it at once. Must not: gather it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.guards import PauseOverride, Platform
from reconciler.core.model import AccountName, Device, DeviceId, Memory, Retry
from reconciler.core.registry_news import RegistryNews
from reconciler.core.status import PassReport
from reconciler.core.windows import Openings
from reconciler.desired import Sighting
from reconciler.state import Past, Stay


@dataclass(frozen=True, slots=True)
class Facts:
    """What was gathered of one device in one account. ``pasts`` are its changes, newest first.

    ``name`` is the last one that is known. ``ending`` is the report of the account's last pass in this process;
    where another replica made it, ``error`` is why that could not do its work.
    ``platform`` is what LG does not allow for now, ``claims`` what other accounts want. ``theirs`` is LG's time where
    it differs from ours. ``registry`` is what is known of LG's registry, where there are rules.
    """

    account: AccountName
    device: DeviceId
    now: datetime
    name: str | None = None
    text: AccountRevision | None = None
    abandoned: bool = False
    memory: Memory = field(default_factory=Memory)
    stay: Stay = field(default_factory=Stay)
    pasts: Sequence[Past] = ()
    sightings: Sequence[Sighting] = ()
    ending: PassReport | None = None
    error: str = ""
    observed_at: datetime | None = None
    next_pass: datetime | None = None
    pause_override: PauseOverride = field(default_factory=PauseOverride)
    observing: bool = False
    platform: Platform = field(default_factory=Platform)
    claims: Claims = field(default_factory=Claims)
    theirs: datetime | None = None
    registry: RegistryNews | None = None
    openings: Openings = ()

    @property
    def pending_rule(self) -> str | None:
        """Return the rule that would take the device, if the lock does not have it."""
        return None if self.registry is None else self.registry.pending.rule_of(self.device)

    @property
    def latest(self) -> datetime:
        """Return the time by the clock that is ahead: an entry begins when it says so."""
        return self.now if self.theirs is None else max(self.now, self.theirs)

    @property
    def entry(self) -> Device | None:
        """Return the entry of the device in the revision in force."""
        return self.text.desired.entry(self.device) if self.text is not None else None

    @property
    def wanted(self) -> bool:
        """Say whether the revision in force wants the device live now."""
        if self.entry is None:
            return False
        return self.entry.wanted_at(self.now) or (
            self.theirs is not None and self.entry.wanted_at(self.theirs)
        )

    @property
    def live(self) -> bool | None:
        """Say whether the device should be live by all that is known, or None where no list was ever trusted."""
        return None if self.memory.expected is None else self.device in self.memory.expected

    @property
    def protected_by(self) -> AccountName | None:
        """Return the account whose entry, present or last, protects the device, or None if none does."""
        if self.entry is not None and self.entry.protected:
            return self.account
        return self.memory.protected.get(self.device)

    @property
    def retry(self) -> Retry | None:
        """Return what the device waits for."""
        return self.memory.retries.get(self.device)
