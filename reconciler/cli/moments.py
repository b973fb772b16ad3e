"""The time zone in which a person at a terminal means dates.

Owns: which zone that is: the one that is named, else that of the desired state, else that of this machine.
Must not: ask a daemon, or judge a desired state.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.reporting.moments import Zone, zone_named

if TYPE_CHECKING:
    from reconciler.runtime.settings import Settings

_TIMEZONE = re.compile(rb"""^timezone[ \t]*=[ \t]*["']([\w/+-]{1,64})["']""", re.MULTILINE)
_TABLE = re.compile(rb"^[ \t]*\[", re.MULTILINE)


def zone_of(named: str | None, chosen: Settings) -> Zone:
    """Return the zone in which bare dates are meant; raises ``ValueError`` where the named one does not exist."""
    if named is not None:
        return zone_named(named)
    found = _of_desired(chosen)
    if found is not None:
        return found
    return Zone(None, f"local time, {datetime.now().astimezone():%Z}")


def _of_desired(chosen: Settings) -> Zone | None:
    """Return the zone that the desired state names, if it lies on this machine and names one."""
    place = chosen.desired_state
    if chosen.git_url is not None:
        return None
    for file in sorted(place.glob("*.toml")) if place.is_dir() else [place]:
        found = _timezone_in(file)
        with suppress(ValueError):
            if found is not None:
                return zone_named(found, f"{found}, the timezone of {file.name}")
    return None


def _timezone_in(file: Path) -> str | None:
    """Return the timezone that a file names, without reading its devices."""
    try:
        if not file.is_file():
            return None
        content = file.read_bytes()
    except OSError:
        return None
    table = _TABLE.search(content)
    found = _TIMEZONE.search(content[: table.start()] if table is not None else content)
    return found[1].decode() if found is not None else None
