"""What a source gives, and what is asked of any.

Owns: the values between a source and the informer. Must not: read anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.errors import Fault, SourceError
from reconciler.core.model import Cause, Commit
from reconciler.desired import Document, Tree
from reconciler.source.unrest import Unrest


class MissingError(SourceError):
    """There is no file where one should be."""


class RestlessError(SourceError):
    """The files are being written all the time, so that no reading of them is whole."""


class FetchError(SourceError):
    """The repository cannot be asked, or what it has cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known from before: what was judged last, and the signed commits that brought in what is in force."""

    identity: str = ""
    signed: frozenset[str] = frozenset()


NOTHING = Known()


@dataclass(frozen=True, slots=True)
class Fetched:
    """The newest documents, and the folder they may read device files from.

    ``unreadable`` are those that could not be read, and why. ``cause``: they are rejected as a whole for that, and
    none of them was read. ``identity``: where it is equal, so is everything that was fetched; empty where that
    cannot be known. ``rewritten``: the commit that was followed before, if this one does not descend from it; if it
    does, ``overtaken`` are those between the two, oldest first and not too many.
    """

    documents: tuple[Document, ...]
    tree: Tree
    unreadable: tuple[Fault, ...] = ()
    cause: Cause | None = None
    identity: str = ""
    rewritten: str = ""
    overtaken: tuple[str, ...] = ()


class Source(Protocol):
    """What brings revisions. ``kind`` is its word in metrics; ``persistent``: it wakes again after a failure.

    ``unrest`` looks for files that are half written, where that can be.
    """

    kind: str
    persistent: bool
    unrest: Unrest | None

    def fetch(self, known: Known = NOTHING) -> Fetched | None:
        """Return the newest documents, or ``None`` if they are those already known. Raises ``SourceError``."""

    def commit(self, files: Mapping[str, bytes]) -> Commit | None:
        """Return the commit that what was fetched last is from, if there is one. ``files`` is everything that was read.

        Never raises, and never takes long.
        """

    def missing(self) -> Mapping[str, bytes | None]:
        """Return the files that the commit has and the folder lacks, with what the commit has of each, if known."""

    def holds(self, commit: str, revision: str) -> bool | None:
        """Return whether a revision is a commit or in its history. Never raises.

        ``None``: that cannot be known before ``deepen``.
        """

    def deepen(self) -> None:
        """Fetch what more there is of the history. May take long. Raises ``SourceError``."""

    def at_rest(self) -> bool:
        """Return whether nobody is writing to what was last read, so that it is worth reading again."""

    def settled(self) -> bool:
        """Return whether what was read is still what is there, and at rest."""

    def poll(self) -> bool:
        """Return whether there may be anything newer than what was last fetched."""

    def wakes(self) -> AsyncIterator[None]:
        """Yield whenever there may be a newer revision."""

    def close(self) -> None:
        """End what is under way; nothing is fetched any more."""
