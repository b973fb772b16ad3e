"""A source without history and without trouble, for tests that only care about its files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.core.model import Commit
    from reconciler.source import Unrest


class QuietSource:
    """All of a source but ``fetch``, which is the test's: nothing is missing, nobody writes, and nothing is new."""

    kind = "file"
    persistent = False
    unrest: Unrest | None = None

    def commit(self, files: Mapping[str, bytes]) -> Commit | None:
        """Say that they are under no version control."""
        del files
        return None

    def missing(self) -> Mapping[str, bytes | None]:
        """Say that no tracked file is missing."""
        return {}

    def holds(self, commit: str, revision: str) -> bool | None:
        """Say that there is no history."""
        del commit, revision
        return False

    def deepen(self) -> None:
        """Do nothing."""

    def at_rest(self) -> bool:
        """Say that nobody writes."""
        return True

    def settled(self) -> bool:
        """Say that nothing changed while it was read."""
        return True

    def poll(self) -> bool:
        """Say that nothing is new."""
        return False

    async def wakes(self) -> AsyncIterator[None]:
        """Never wake."""
        yield

    def close(self) -> None:
        """Have nothing to close."""
