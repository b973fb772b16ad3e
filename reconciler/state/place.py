"""Where the state is kept: in a folder of this machine, or in a PostgreSQL.

Owns: which of the two, and what people call it. Must not: open it, or import a database's driver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Place:
    """Where the state is kept. ``url`` returns the address of a PostgreSQL; it is asked for each new connection.

    Without ``url`` the state is in the folder. ``url`` may raise ``StateError``.
    """

    folder: Path
    url: Callable[[], str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, place: Self | Path) -> Self:
        """Return a place; a folder alone is one."""
        return cls(place) if isinstance(place, Path) else place

    @property
    def setting(self) -> str:
        """Return the setting that names it."""
        return "PCC_STATE_DIR" if self.url is None else "PCC_STATE_URL"

    @property
    def shared(self) -> bool:
        """Return whether several processes may use it."""
        return self.url is not None
