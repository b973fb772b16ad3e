"""What ``resolve`` changes in a lock, as text.

Owns: the lines for people. Must not: know how a lock is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.core.model import AccountName, DeviceId
from reconciler.core.rules import LockLine, Resolved
from reconciler.core.text import counted, one_line

SHOWN = 200
"""Devices of a lock that are shown one by one; the file's own diff has all."""


def lock_text(
    account: AccountName,
    path: str,
    resolved: Resolved,
    before: Mapping[DeviceId, LockLine],
    *,
    changes: bool,
) -> str:
    """Return what became of one lock. ``changes``: the file is another one than before."""
    count = counted(len(resolved.lines), "device")
    if not changes:
        lines = [f"account {account}: {path} is up to date, {count}"]
    else:
        more, fewer = len(resolved.added), len(resolved.removed)
        lines = [f"account {account}: {path}, {count}: {more} added, {fewer} removed"]
        lines += _shown("+", resolved.added, resolved.lines)
        lines += _shown("-", resolved.removed, before)
    if resolved.gone:
        stay = "stays" if len(resolved.gone) == 1 else "stay"
        lines.append(
            f"  {counted(len(resolved.gone), 'device')} {stay} that LG's registry lacks or no rule takes now: "
            "see --prune"
        )
    return "".join(f"{line}\n" for line in lines)


def _shown(sign: str, devices: Sequence[DeviceId], lines: Mapping[DeviceId, LockLine]) -> list[str]:
    shown = [
        f"  {sign} {one}  {one_line(lines[one].alias or '')}".rstrip() for one in devices[:SHOWN]
    ]
    if len(devices) > SHOWN:
        shown.append(f"  {sign} and {len(devices) - SHOWN} more")
    return shown
