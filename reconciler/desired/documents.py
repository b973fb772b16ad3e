"""What comes in and what goes out: documents, the folder they live in, and all that a load found.

Owns: those values, how device files are matched, and the digest of what was read. Must not: read or judge a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from reconciler.core.errors import Fault, ReconcilerError
from reconciler.core.model import AccountName, Desired
from reconciler.desired import globs

LARGEST_FILE = 96 * 1024 * 1024
"""Bytes of the largest text or device file. A million ids are 65 MB."""


class Unreadable(ReconcilerError):
    """A file cannot be read. The message is for people and never repeats what is in the file."""


TOO_MUCH = (
    f"the patterns of this text would be compared with more than {globs.MOST_STEPS} names: give fewer patterns, and "
    "name the folders in them"
)


class Tree(Protocol):
    """The folder that the texts live in, wherever it is kept. Paths are relative to its root, with ``/``."""

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``; ``Unreadable`` if one leads outside."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's content, or raise ``Unreadable``."""
        ...


class Names:
    """The paths of a tree that is known as a whole, looked through for patterns with no more than a bounded effort."""

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
    """A tree of files already read: accepted texts after a restart, proposed ones sent for a plan, and tests."""

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
    """One TOML text. Its device files are looked for beside it, so ``path`` is also its place in the tree.

    One that is not ``ours`` to show is reached by a link out of its folder: no fault repeats what is in it.
    """

    path: str
    content: bytes
    ours: bool = True


class Role(StrEnum):
    """What a text names a device for."""

    DEVICE = "device"
    APPROVAL = "approval"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place at which a text names a device. The general policy names it for no one account.

    ``approval`` counts the account's approvals from 0, as ``Desired.approvals`` does.
    """

    role: Role
    account: AccountName | None
    path: str
    line: int
    column: int
    approval: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a set of documents says, and everything that is wrong with it.

    ``accounts`` holds only those of documents without a fault, and none at all when ``shared_fault`` or
    ``wrong_environment`` says that a fault concerns all. Policy is taken as far as it can be read even from a document
    that is faulty elsewhere, since to leave it out would be to lift a brake.

    ``faulty`` maps the path of each faulty document to the accounts that it defines, as far as could be read, or to
    nothing when it could not be parsed. ``shared`` are the paths of documents that hold a key which concerns all; of
    one that could not be parsed, it is enough that it looks so. ``files`` is every file read, ``sha256`` the digest of
    its only file, or what ``sha256sum FILES | sha256sum`` prints for several in sorted order. ``named`` maps the path
    of each document to those of the device files that it names.
    """

    accounts: Mapping[AccountName, Desired]
    retired: frozenset[AccountName]
    environment: str | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    faulty: Mapping[str, frozenset[AccountName] | None]
    shared: frozenset[str]
    shared_fault: bool
    wrong_environment: Fault | None
    files: Mapping[str, bytes]
    sha256: str
    named: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    def files_of(self, document: str) -> dict[str, bytes]:
        """Return what one document was read from: itself and the device files that it names."""
        return {path: self.files[path] for path in sorted({document, *self.named.get(document, ())})}

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        """Return all that is wrong, sorted, the wrong environment among it."""
        wrong = self.wrong_environment
        return self.faults if wrong is None else tuple(sorted((*self.faults, wrong)))


def digest(files: Mapping[str, bytes]) -> str:
    """Return the sha256 of the only file, or of what ``sha256sum`` prints for several, sorted by path."""
    hashes = {path: hashlib.sha256(files[path]).hexdigest() for path in sorted(files)}
    if len(hashes) == 1:
        return hashes.popitem()[1]
    listing = "".join(f"{hash_}  {path}\n" for path, hash_ in hashes.items())
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()
