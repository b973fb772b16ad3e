"""Lock files for tests, made of the rules they are for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from reconciler.core.model import AccountName, DeviceId
from reconciler.core.rules import LockLine, Rule, fingerprint
from reconciler.desired import locks

READ = datetime(2026, 11, 30, 9, tzinfo=UTC)


def lock_file(account: str, *rules: Rule, registry: int = 12, **aliases: str) -> str:
    """Return a lock of some devices, by id with their alias; each is a washer that the first rule took."""
    lines: Mapping[DeviceId, LockLine] = {
        DeviceId(device): LockLine(alias, "washer", rules[0].name)
        for device, alias in aliases.items()
    }
    return locks.dump(AccountName(account), fingerprint(rules), registry, READ, lines)
