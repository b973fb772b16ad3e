"""What a guard may look at beside the plan.

Owns: the values that describe one account at one moment.
Must not: hold a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from reconciler.core.model import (
    AccountName,
    Cause,
    Desired,
    DeviceId,
    Memory,
    Observed,
    Pause,
    Unsettled,
)
from reconciler.core.windows import Openings


@dataclass(frozen=True, slots=True)
class Platform:
    """What LG does not allow for now: each field is the moment when that may end, or why the account is stopped."""

    stopped: str | None = None
    stopped_until: datetime | None = None
    throttled_until: datetime | None = None
    full_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PauseOverride:
    """A pause set by command, and when it ends. ``set_by`` is who gave the command, as far as that is known."""

    pause: Pause = Pause.NONE
    until: datetime | None = None
    reason: str = ""
    set_by: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a guard may look at beside the plan.

    ``elsewhere``: devices that would go although another account wants them now, and that account. ``theirs`` is LG's
    time if it differs from ours. ``sure`` is the latest moment that has surely come, if that is not ``now`` because the
    wall clock was set forward or is ahead of LG's. A guard that releases a change after some time asks ``sure``.
    ``openings`` are the change windows that a command opened.
    """

    desired: Desired
    observed: Observed
    memory: Memory
    now: datetime
    observing: bool = False
    rejected: Cause | None = None
    pause_override: PauseOverride = field(default_factory=PauseOverride)
    platform: Platform = field(default_factory=Platform)
    unsettled: Unsettled | None = None
    elsewhere: Mapping[DeviceId, AccountName] = field(default_factory=lambda: MappingProxyType({}))
    theirs: datetime | None = None
    sure: datetime | None = None
    openings: Openings = ()

    @property
    def over(self) -> datetime:
        """Return the moment that ends waits: a wait that ends before it is over."""
        return self.now if self.sure is None else min(self.now, self.sure)

    def end(self, moment: datetime) -> datetime:
        """Return when a wait until this moment is over, in our time: that is later where ``over`` is behind ``now``."""
        return moment + (self.now - self.over)
