"""What replicas tell each other of a revision, beside its documents.

Owns: the one form in which it is kept. Must not: judge a revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import msgspec

from reconciler.core.acceptance import Accepted, Seen
from reconciler.core.errors import Fault
from reconciler.core.model import AccountName, Cause, Revision, Unsettled


@dataclass(frozen=True, slots=True)
class Marks:
    """The fate of the newest revision, and what is known of single accounts that their documents do not say."""

    rejected_accounts: Mapping[AccountName, Cause]
    unsettled: Mapping[AccountName, Unsettled]
    abandoned: frozenset[AccountName]
    retired: frozenset[AccountName]
    environment: str | None
    shared: frozenset[str]
    revision: Revision | None
    newest: Revision | None
    rejected: Cause | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    seen: tuple[Seen, ...]

    def on(self, accepted: Accepted) -> Accepted:
        """Return what is in force: the accounts of the documents, and all that is marked here."""
        accounts = {
            name: replace(
                text,
                rejected=self.rejected_accounts.get(name),
                unsettled=self.unsettled.get(name),
            )
            for name, text in accepted.accounts.items()
        }
        return replace(
            accepted,
            accounts=MappingProxyType(accounts),
            abandoned=self.abandoned,
            retired=self.retired,
            environment=self.environment,
            shared=self.shared,
            revision=self.revision,
            newest=self.newest,
            rejected=self.rejected,
            faults=self.faults,
            warnings=self.warnings,
            seen=self.seen,
        )


def written(accepted: Accepted) -> bytes:
    """Return the marks of what is in force, as they are kept."""
    texts = accepted.accounts
    marks = Marks(
        {name: one.rejected for name, one in texts.items() if one.rejected is not None},
        {name: one.unsettled for name, one in texts.items() if one.unsettled is not None},
        accepted.abandoned,
        accepted.retired,
        accepted.environment,
        accepted.shared,
        accepted.revision,
        accepted.newest,
        accepted.rejected,
        accepted.faults,
        accepted.warnings,
        accepted.seen,
    )
    return msgspec.json.encode(marks, order="sorted")


def read(content: bytes) -> Marks:
    """Return the marks that were kept."""
    return msgspec.json.decode(content, type=Marks)
