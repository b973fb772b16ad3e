"""What fetched documents state.

Owns: how a document that cannot be read counts, for the daemon and for every command alike.
Must not: fetch anything, or judge what is read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from reconciler.core.acceptance import Loaded
from reconciler.desired import Document, LoadCache, foreign, load
from reconciler.source.port import Fetched


def load_fetched(
    fetched: Fetched,
    *,
    environment: str | None = None,
    cache: LoadCache | None = None,
    known: Collection[str] = (),
    resolving: bool = False,
    now: datetime | None = None,
) -> Loaded:
    """Return what fetched documents state, with every fault in them and in those that cannot be read.

    The good files of a folder count. One that cannot be read is a faulty one that may define any account. Unless it is
    ``known`` from before, as the document of an account in force, it may also hold the keys that concern all. So may
    one that is in another format, such as UTF-16 or encrypted: no key in it can be seen.
    ``resolving``: a lock that is missing or stale is no fault. With ``now`` there are also warnings of change windows
    that hold everything for long.
    """
    loaded = load(
        fetched.documents,
        fetched.tree,
        environment=environment,
        cache=cache,
        resolving=resolving,
        now=now,
    )
    paths = {fault.path for fault in fetched.unreadable}
    opaque = {document.path for document in fetched.documents if _is_opaque(document)}
    return replace(
        loaded,
        faults=tuple(sorted((*loaded.faults, *fetched.unreadable))),
        faulty={**loaded.faulty, **dict.fromkeys(paths)},
        shared=loaded.shared | (paths | opaque).difference(known),
    )


def _is_opaque(document: Document) -> bool:
    """Say whether nothing can be seen of what a document states, or not all of it, as where it has null bytes."""
    return b"\0" in document.content or foreign.whole(document.content) is not None
