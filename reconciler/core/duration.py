"""Spans of time as people write them: ``90s``, ``10m``, ``1h30m``, ``7d``.

Owns: that one grammar, for the desired-state file, the settings and the command line alike.
"""

from __future__ import annotations

import re
from datetime import timedelta

PATTERN = r"^(?=\d)(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?$"
_DURATION = re.compile(PATTERN, re.ASCII)


def parse(text: str) -> timedelta:
    """Return the span that ``text`` names, or raise ``ValueError`` with a sentence that says how to write one."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is written like 90s, 10m, 1h30m or 7d")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def show(span: timedelta) -> str:
    """Return the shortest string that ``parse`` reads as ``span``, to the second."""
    left = int(span.total_seconds())
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
