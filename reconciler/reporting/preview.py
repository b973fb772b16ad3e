"""Plans proposed files from what the running daemon knows: for a pull request, without a call to LG.

Owns: how proposed files become plans. Must not: bring anything into force, change or remember anything, or call LG.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from reconciler.core import protection
from reconciler.core.acceptance import Accepted, AccountRevision, Claims, chosen
from reconciler.core.errors import Fault, Invalid
from reconciler.core.model import Revision
from reconciler.core.protection import Stated
from reconciler.core.status import PassReport
from reconciler.desired import Document, Loaded, MemoryTree
from reconciler.reporting import PlanReport
from reconciler.reporting.endable import done_in_time
from reconciler.source import Fetched, load_fetched

LOADED_SECONDS = 60.0
"""How long proposed files may take to be read; a million devices take a few seconds."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Proposed files: their contents by path, which of them are documents, and the accounts to plan."""

    documents: tuple[str, ...]
    files: Mapping[str, str]
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposed:
    """What would be done, account by account, and what else a reviewer should know."""

    reports: tuple[PlanReport, ...]
    notes: tuple[str, ...]


async def planned(
    proposal: Proposal,
    accepted: Accepted,
    propose: Callable[[AccountRevision, Claims, Stated], PassReport],
    *,
    environment: str | None = None,
) -> Proposed:
    """Return what the files would do. Raises ``Invalid`` with every fault where they would not be accepted.

    Reading and planning may take seconds for a large fleet, so both happen in a worker thread.
    """
    loaded = await done_in_time(partial(_loaded, proposal, environment), LOADED_SECONDS)
    names = chosen(proposal.accounts, sorted(loaded.accounts))
    revision = Revision(loaded.sha256)
    claims = await asyncio.to_thread(Claims.of, loaded.accounts, revision)
    wants = {name: text.desired for name, text in accepted.accounts.items()}
    stated = await asyncio.to_thread(protection.stated, wants, loaded.accounts)
    reports = []
    for name in names:
        text = accepted.accounts.get(name)
        desired = loaded.accounts[name]
        same = text is not None and text.desired == desired
        proposed = AccountRevision(text.desired if text is not None and same else desired, revision)
        report = await asyncio.to_thread(propose, proposed, claims, stated)
        reports.append(PlanReport(name, str(revision), report))
    return Proposed(tuple(reports), tuple(_notes(loaded, accepted)))


def _loaded(proposal: Proposal, environment: str | None) -> Loaded:
    files = {path: content.encode() for path, content in proposal.files.items()}
    missing = [path for path in proposal.documents if path not in files]
    if missing:
        raise Invalid(
            [Fault(path, 0, 0, "the content of this document was not sent") for path in missing]
        )
    documents = tuple(Document(path, files[path]) for path in proposal.documents)
    loaded = load_fetched(Fetched(documents, MemoryTree(files)), environment=environment)
    if loaded.every_fault:
        raise Invalid(loaded.every_fault)
    return loaded


def _notes(loaded: Loaded, accepted: Accepted) -> list[str]:
    """Return what no account's plan says: warnings, and accounts that these files would abandon."""
    notes = [f"{warning} (warning)" for warning in loaded.warnings]
    for name in sorted(accepted.accounts.keys() - loaded.accounts.keys()):
        if name in loaded.retired:
            notes.append(f"Account {name} is retired in these files; no call would be made for it.")
        else:
            lost = "its live devices would be left unmanaged"
            notes.append(f"Account {name} is managed today but missing from these files; {lost}.")
    return notes
