"""What the informer asks where several replicas follow one source of the desired state.

Owns: the questions. Must not: know how replicas agree.
"""

from __future__ import annotations

from typing import Protocol

from reconciler.core.acceptance import Accepted
from reconciler.core.model import AccountName, Revision
from reconciler.core.replicas import Descent
from reconciler.state import Group


class SharedSource(Protocol):
    """A source that one of several replicas reads. ``behind`` is the sentence for a source that is waited for."""

    behind: str

    @property
    def doubts(self) -> bool:
        """Say whether what the source shows has to be compared with what was accepted elsewhere."""

    @property
    def reads(self) -> bool:
        """Say whether this replica is the one, and has in force what was accepted before."""

    def comes_into_force(
        self, newest: Revision | None, found: Revision, descent: Descent | None
    ) -> bool:
        """Say whether what the source shows may come into force: it may be older than what was read elsewhere.

        ``newest`` is what was read last, in force or rejected.
        """

    async def publish(
        self,
        before: Accepted,
        after: Accepted,
        changed: frozenset[AccountName],
        groups: tuple[Group, ...],
    ) -> str:
        """Let all replicas have a revision, together with its documents. Return why that was not possible."""
