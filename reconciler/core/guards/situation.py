"""All that a guard may look at beside the plan.

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


@dataclass(frozen=True, slots=True)
class Platform:
    """What LG does not let the account do for now: each field is the moment it may end, or why it is stopped."""

    stopped: str | None = None
    stopped_until: datetime | None = None
    throttled_until: datetime | None = None
    full_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PauseOverride:
    """A pause set by command, and when it ends."""

    pause: Pause = Pause.NONE
    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a guard may look at beside the plan.

    ``elsewhere``: of the devices that would go, those that another account wants now, and which one.
    ``theirs`` is LG's time where it differs from ours. ``sure`` is the latest moment of which it is sure that it has
    come, where that is not ``now``: the wall clock was set forward, or is ahead of LG's. What a guard lets go when a
    time is over waits for that.
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

    @property
    def over(self) -> datetime:
        """Return up to when a wait has to have lasted to be over."""
        return self.now if self.sure is None else min(self.now, self.sure)
