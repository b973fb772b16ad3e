"""The input and the result of a load: documents, the folder they are in, and the findings.

Owns: those values, how device files are matched, and the digest of what was read. Must not: read or judge a document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from reconciler.core.errors import ReconcilerError
from reconciler.core.model import AccountName
from reconciler.desired import globs

LARGEST_FILE = 96 * 1024 * 1024
"""Bytes of the largest document or device file. A million ids are 65 MB."""


class Unreadable(ReconcilerError):
    """A file cannot be read. The message is for people and never repeats what is in the file."""


TOO_MUCH = (
    f"the patterns of this file would be compared with more than {globs.MOST_STEPS} names: give fewer patterns, and "
    "name the folders in them"
)


class Tree(Protocol):
    """The folder that the documents are in, wherever it is kept. Paths are relative to its root, with ``/``."""

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``; ``Unreadable`` if one leads outside."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise ``Unreadable``."""
        ...


class Names:
    """The paths of a tree that is known as a whole. Matching a pattern takes bounded effort."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._ordered = sorted(paths)
        self._effort = globs.Effort()

    def match(self, folder: str, pattern: str) -> list[str]:
        """Return the sorted paths that match a glob relative to ``folder``. Raises ``Unreadable``."""
        try:
            return globs.select(pattern, folder, self._ordered, self._effort)
        except globs.TooMuch:
            raise Unreadable(TOO_MUCH) from None


@dataclass(frozen=True, slots=True)
class MemoryTree:
    """A tree of files already read: accepted ones after a restart, and those sent for a plan."""

    files: Mapping[str, bytes]
    _names: Names = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put the names in order once, for all patterns."""
        object.__setattr__(self, "_names", Names(self.files))

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``."""
        return self._names.match(folder, pattern)

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise ``Unreadable``."""
        try:
            return self.files[path]
        except KeyError:
            raise Unreadable("there is no such file") from None


@dataclass(frozen=True, slots=True)
class Document:
    """One TOML file. Its device files are looked for beside it, so ``path`` is also its place in the tree.

    A file that is not ``ours`` was reached by a link out of its folder, so no fault quotes it.
    """

    path: str
    content: bytes
    ours: bool = True


class Role(StrEnum):
    """What a document names a device for."""

    DEVICE = "device"
    APPROVAL = "approval"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place at which a document names a device. In the general policy there is no account.

    ``approval`` counts the account's approvals from 0, as ``Desired.approvals`` does.
    """

    role: Role
    account: AccountName | None
    path: str
    line: int
    column: int
    approval: int = 0


def digest(files: Mapping[str, bytes], folder: str = "") -> str:
    """Return the sha256 of the only file, or of what ``sha256sum`` prints for several in ``folder``, sorted by path.

    Equal files have the same digest wherever they are: replicas may have them in different folders.
    """
    inside = f"{folder}/" if folder else ""
    hashes = {
        path.removeprefix(inside): hashlib.sha256(files[path]).hexdigest() for path in sorted(files)
    }
    if len(hashes) == 1:
        return hashes.popitem()[1]
    listing = "".join(f"{hash_}  {path}\n" for path, hash_ in hashes.items())
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()
