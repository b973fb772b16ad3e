"""Revisions that were accepted before, as a source: what a restart goes on with.

Owns: how kept files become what is in force. Must not: read disks, or judge a newer revision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.model import AccountName
from reconciler.desired import Document, LoadCache, MemoryTree, load
from reconciler.state import KeptText

log = structlog.get_logger()


def recalled(
    kept: Sequence[KeptText],
    live_accounts: Callable[[], frozenset[AccountName]],
    environment: str | None,
    cache: LoadCache | None = None,
) -> Accepted | None:
    """Return what kept files bring into force, each account with its own revision, or ``None`` if there are none."""
    files = {path: content for one in kept for path, content in one.files.items()}
    documents = [Document(one.document, one.files[one.document]) for one in kept]
    loaded = load(documents, MemoryTree(files), environment=environment, cache=cache)
    if (
        loaded.faults
    ):  # a version that refuses what an earlier one accepted still heals what is in force
        loaded = load(documents, MemoryTree(files), environment=environment, kept=True)
    if not loaded.accounts:
        return None
    if (
        loaded.faults
    ):  # they were good once, but not together, or not to this version of the program
        log.warning("desired.not_recalled", faults=[str(fault) for fault in loaded.faults])
    revisions = {one.document: one.revision for one in kept}
    accounts = {
        name: AccountRevision(one, revisions[one.path]) for name, one in loaded.accounts.items()
    }
    return Accepted(
        accounts,
        abandoned=frozenset()
        if loaded.faults
        else live_accounts() - accounts.keys() - loaded.retired,
        retired=loaded.retired,
        shared=loaded.shared,
        revision=kept[-1].revision,
        timezone=loaded.timezone,
        windows=loaded.windows,
    )
