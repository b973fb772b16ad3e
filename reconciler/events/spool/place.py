"""The watch over the open file: somebody may delete it, move it, or put another in its place.

Owns: whether the files at the path are those that are open. Must not: decide what follows from it.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.state.sqlite.connection import Row
from reconciler.state.sqlite.folder import there


class Place:
    """The file and its write-ahead log, which hold together what was committed."""

    def __init__(self, file: Path) -> None:
        self._file, self._log = file, Path(f"{file}-wal")
        self._opened: tuple[Row | None, Row | None] = (None, None)

    def remember(self) -> None:
        """Take the files at the path for those that are open: they have just been opened and written."""
        self._opened = (there(self._file), there(self._log))

    def lost(self) -> bool:
        """Return whether what is committed goes where nobody will look for it."""
        return (there(self._file), there(self._log)) != self._opened
