"""The values of an examination: what was looked at, what was found, and what asking LG brought.

Owns: the checks, their levels, a finding, and the facts that the judgements are made from. Must not: judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from reconciler.core.errors import PlatformError
from reconciler.core.model import AccountName, Tripped
from reconciler.pcc.credentials import Credentials, Origin
from reconciler.pcc.regions import Phase

Fact = str | int | float | datetime | None


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Check(StrEnum):
    """What was looked at."""

    SETTINGS = "settings"
    STATE = "state"
    DESIRED_STATE = "desired-state"
    HEARTBEAT = "heartbeat"
    CREDENTIALS = "credentials"
    REGION = "region"
    TOKEN = "token"  # noqa: S105 - the name of a check
    LIST = "list"
    CLOCK = "clock"
    QUOTA = "quota"
    GUARDS = "guards"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check and, if something is wrong, what fixes it.

    ``facts`` are for programs; a moment is in UTC.
    """

    check: Check
    level: Level
    found: str
    fix: str = ""
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Examined:
    """One account, check by check."""

    account: AccountName
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found: what concerns every account, and each account."""

    general: tuple[Finding, ...]
    accounts: tuple[Examined, ...] = ()

    def counts(self) -> Counter[Level]:
        """Return how many findings there are of each level."""
        return Counter(
            one.level
            for one in (*self.general, *(one for each in self.accounts for one in each.findings))
        )

    @property
    def guarded(self) -> bool:
        """Say whether a guard is tripped in any account: then nothing may say that all is well."""
        return any(one.check is Check.GUARDS for each in self.accounts for one in each.findings)

    @property
    def exit_code(self) -> int:
        """Return 1 where something is wrong; warnings alone are not."""
        return 1 if self.counts()[Level.FAIL] else 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking LG for one account's list brought.

    ``error`` is why there is no list, ``token_error`` why there is no new access token. ``envelope`` and
    ``header`` are the times in LG's answer. ``list_hash`` tells lists apart without keeping them; ``tripped`` is what a
    pass on this list would trip. ``other_id``: the answer names another message id than the request, which
    alone is no reason to doubt it. Proxies are those that the environment names.
    """

    began: datetime
    ended: datetime
    devices: int | None = None
    list_hash: int | None = None
    tripped: tuple[Tripped, ...] = ()
    error: PlatformError | None = None
    token_error: PlatformError | None = None
    expires_at: datetime | None = None
    rotated: bool = False
    envelope: datetime | None = None
    header: datetime | None = None
    proxy: str = ""
    token_proxy: str = ""
    other_id: bool = False


@dataclass(frozen=True, slots=True)
class Speaking:
    """How one account speaks to LG, and the place of each part."""

    credentials: Credentials
    origins: Mapping[str, Origin]
    phase: Phase
    timeout: timedelta

    def place(self, kind: str) -> str:
        """Return the place of a part in words: its file, or the setting."""
        origin = self.origins.get(kind)
        return origin.words if origin is not None else f"PCC_{kind.upper()}"

    def placed(self, hint: str) -> str:
        """Return a hint that names settings with the account's own files and keys in their place."""
        return re.sub(r"PCC_([A-Z_]+)", lambda found: self.place(found[1].lower()), hint)


def skipped(check: Check, why: str) -> Finding:
    """Return that a check was not made, and why."""
    return Finding(check, Level.SKIP, why)
