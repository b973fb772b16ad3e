"""Files on this machine as a source.

Owns: reading files and folders so that nothing half-written, misplaced or hostile gets in, and the wakes on change.
Must not: know what a file states, or decide whether it is accepted.

A change is noticed by the kernel (plain writes, a rename over the file, the swap of a mounted ConfigMap's ``..data``)
and, where the kernel reports nothing, by looking every now and then. Folders are watched, because editors and
ConfigMaps replace files; never below them, because a folder may hold a whole checkout.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path

from reconciler.core.errors import Fault, SourceError
from reconciler.core.model import Commit
from reconciler.core.watch import Watch
from reconciler.desired import LARGEST_FILE, Document, Unreadable, globs, matches
from reconciler.source.checkout import Checkout, Missing
from reconciler.source.port import NOTHING, Fetched, Known, MissingError
from reconciler.source.signatures import Look, Signature, signature
from reconciler.source.unrest import Unrest
from reconciler.source.walk import MOST_ENTRIES, Walk
from reconciler.source.watch import watch

SETTLE_SECONDS, SETTLE_MOST_SECONDS = 0.1, 1.0
"""A burst of writes is one wake: after this much quiet, at the latest after that much noise."""
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_PASSING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
RESTLESS_SECONDS = 60.0
"""A file still being written after this long is reported as a fault of the source; it is not read in between."""


class DiskTree:
    """Files on disk, and a record of what was looked at: enough to know later whether any of it changed.

    It may be asked about that in one thread while it is read from in another.
    """

    def __init__(self, look: Look = signature, file_time: Callable[[], float] = time.time) -> None:
        self._look = look
        self._file_time = file_time
        self._signatures: dict[str, Signature] = {}
        self._matches: dict[tuple[str, str], tuple[str, ...]] = {}
        self._homes: dict[str, Path] = {}
        self._resolved: dict[str, Path] = {}
        self._walk = Walk()

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the files that a pattern names, sorted. Raises where one leads out of the folder, by a link or not."""
        paths = self._walk.match(folder, pattern)
        self._matches[folder, pattern] = paths
        home = self._home_of(folder)
        for path in paths:
            if not Path(path).resolve().is_relative_to(home):
                raise Unreadable(f"{path} leads out of the folder of the file that names it")
            self._homes[path] = home
        return paths

    def read(self, path: str) -> bytes:
        """Return the bytes of one regular file. One that a pattern named is not followed out of its folder."""
        self._signatures[path] = self._look(path)
        return read_file(path, within=self._homes.get(path))

    def _home_of(self, folder: str) -> Path:
        if folder not in self._resolved:
            self._resolved[folder] = Path(folder or ".").resolve()
        return self._resolved[folder]

    def patterns(self) -> set[str]:
        """Return the patterns that were asked for."""
        return {pattern for _folder, pattern in self._matches.copy()}

    def same(self) -> bool:
        """Return whether everything looked at is as it was."""
        walk = Walk()
        try:
            return all(
                self._look(path) == before for path, before in self._signatures.copy().items()
            ) and all(
                walk.match(*asked) == before for asked, before in self._matches.copy().items()
            )
        except Unreadable:
            return False

    def at_rest(self) -> bool:
        """Return whether the last write to any file read is long enough ago that its writer is done."""
        newest = max((self._look(path)[0] for path in self._signatures.copy()), default=0)
        return abs(self._file_time() - newest / 1e9) >= SETTLE_SECONDS

    def folders(self) -> set[str]:
        """Return where a change matters: the folders of the files as named, of what links lead to, and of patterns."""
        found = {
            os.path.join(folder, globs.fixed_part(pattern)) or "."
            for folder, pattern in self._matches.copy()
        }
        for path in self._signatures.copy():
            found |= {os.path.dirname(path) or ".", os.path.dirname(os.path.realpath(path))}
        return found


class FileSource:
    """A TOML file, or the TOML files of a folder, on this machine.

    ``named_by`` is the setting that names it, for the message where nothing is there.
    """

    kind = "file"
    persistent = False

    def __init__(
        self,
        path: Path,
        *,
        watch: Watch = watch,
        look: Look = signature,
        file_time: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        most: int = MOST_ENTRIES,
        named_by: str = "",
    ) -> None:
        self._path = path
        self._named_by = named_by
        self._most = most
        self._watch, self._look, self._file_time = watch, look, file_time
        self._checkout = Checkout()
        self.unrest: Unrest | None = Unrest(self._home, steady=steady, wall=file_time)
        self._tree = DiskTree(look, file_time)
        self._documents: list[str] = []
        self._folders_changed = threading.Event()
        self._watched: Mapping[str, int] = {}

    def fetch(self, known: Known = NOTHING) -> Fetched:
        """Return the documents as they are on disk at this moment."""
        del known
        self._tree = tree = DiskTree(self._look, self._file_time)
        try:
            self._documents = self._find()
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read: {error.strerror}") from error
        if not self._documents:
            what = (
                "there is no *.toml file in this folder"
                if self._path.is_dir()
                else "there is no such file"
            )
            setting = f" ({self._named_by} names it)" if self._named_by else ""
            raise MissingError(f"{self._path}: {what}{setting}")
        documents, unreadable = [], []
        for path in self._documents:
            try:
                documents.append(Document(path, tree.read(path), ours=not leads_out(path)))
            except Unreadable as error:
                unreadable.append(Fault(path, 0, 0, str(error)))
        if not documents:
            raise SourceError("; ".join(map(str, unreadable)))
        return Fetched(tuple(documents), tree, unreadable=tuple(unreadable))

    def commit(self, files: Mapping[str, bytes]) -> Commit | None:
        """Return the commit that is checked out where the files are, if they are under version control."""
        return self._checkout.commit(self._documents, files, self._named)

    def missing(self) -> Mapping[str, Missing]:
        """Return the tracked files that would be read and were not there when the commit was last asked for."""
        return self._checkout.missing

    def _home(self) -> str:
        """Return the folder that the documents are in."""
        return str(self._path if self._path.is_dir() else self._path.parent)

    def _named(self, path: str) -> bool:
        """Return whether a path relative to the folder of the documents would be read if it were there."""
        if self._documents and os.path.dirname(
            os.path.realpath(self._documents[0])
        ) != os.path.realpath(self._home()):
            return False  # the document is a link to elsewhere, and its device files are not beside what it leads to
        if (
            self._path.is_dir()
            and "/" not in path
            and path.endswith(".toml")
            and not path.startswith(".")
        ):
            return True
        return any(matches(path, pattern) for pattern in self._tree.patterns())

    def holds(self, commit: str, revision: str) -> bool | None:
        """Return whether a revision is a commit or in its history, where the files are checked out from."""
        return bool(self._documents) and self._checkout.holds(self._documents[0], commit, revision)

    def deepen(self) -> None:
        """Do nothing: the depth of a checkout is its owner's choice."""

    def at_rest(self) -> bool:
        """Return whether the last write to any file read is long enough ago that its writer is done."""
        return self._tree.at_rest()

    def settled(self) -> bool:
        """Return whether what was read is still what is there, and at rest."""
        if self._folders() != self._watched:
            self._folders_changed.set()
        return self.at_rest() and not self.poll()

    def poll(self) -> bool:
        """Return whether any file that was read looks different, one came or went, or another commit is checked out."""
        try:
            return (
                self._find() != self._documents or not self._tree.same() or self._checkout.moved()
            )
        except (OSError, SourceError):
            return True

    async def wakes(self) -> AsyncIterator[None]:
        """Yield after each settled burst of changes in the folders that matter."""
        while True:
            self._folders_changed, self._watched = threading.Event(), self._folders()
            try:
                news = self._watch(
                    self._watched,
                    settle=SETTLE_SECONDS,
                    most=SETTLE_MOST_SECONDS,
                    stop=self._folders_changed,
                )
                async with aclosing(news):
                    async for gone in news:
                        yield
                        if not gone.isdisjoint(self._watched):
                            self._folders_changed.set()  # one made again under the same name is not what is watched
            except (OSError, RuntimeError, ExceptionGroup):
                # A folder is gone, or the kernel's watches are used up: looking every now and then still works.
                import asyncio  # noqa: PLC0415 - a process that only reads files does not need it

                await asyncio.sleep(SETTLE_MOST_SECONDS)

    def close(self) -> None:
        """Do nothing: files are read, and that is it."""

    def _find(self) -> list[str]:
        if not self._path.is_dir():
            return [str(self._path)] if self._path.exists() else []
        with os.scandir(self._path) as entries:
            names = [entry.name for entry in islice(entries, self._most + 1)]
        if len(names) > self._most:
            raise SourceError(
                f"{self._path}: there are more than {self._most} names in this folder"
            )
        documents = [name for name in names if name.endswith(".toml") and not name.startswith(".")]
        return sorted(str(self._path / name) for name in documents)

    def _folders(self) -> Mapping[str, int]:
        """Return the folders to watch, each with its inode: one that was made anew is not the one that is watched."""
        home = self._path if os.path.isdir(self._path) else self._path.parent
        inodes = {
            folder: self._look(folder)[2] for folder in sorted({str(home), *self._tree.folders()})
        }
        return {folder: inode for folder, inode in inodes.items() if os.path.isdir(folder)}


def leads_out(path: str) -> bool:
    """Return whether a link on the way to a file leads out of the folder that the link is in.

    Looked at is what a commit may hold: the way from the working directory, or else the last folder and the file. The
    links of a mounted ConfigMap, and one to a release beside it, stay in their folder.
    """
    whole, here = os.path.abspath(path), os.getcwd()
    if os.path.commonpath([whole, here]) != here or here == "/":
        here = os.path.dirname(os.path.dirname(whole))
    for name in os.path.relpath(whole, here).split("/"):
        home, here = os.path.realpath(here), os.path.join(here, name)
        if os.path.islink(here) and not Path(os.path.realpath(here)).is_relative_to(home):
            return True
    return False


def read_file(path: str, *, within: Path | None = None) -> bytes:
    """Return the bytes of a regular file of at most ``LARGEST_FILE``; anything else is ``Unreadable``.

    A FIFO is opened without waiting for a writer, and refused for what it is. ``within`` is a folder, without a link in
    its path, that the file is in, whatever is exchanged for what meanwhile.
    """
    if not path.isprintable():  # such a name could not be shown, logged or kept
        raise Unreadable("has a name that is not printable text")
    try:
        handle = os.open(path, _READING) if within is None else _open_within(path, within)
    except OSError as error:
        if error.errno == errno.ELOOP and within is not None:
            raise Unreadable("was exchanged for a link while it was read") from error
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise Unreadable("is not a regular file")
    with os.fdopen(handle, "rb") as file:
        if status.st_size > LARGEST_FILE:
            raise Unreadable(f"is larger than {LARGEST_FILE // 1024 // 1024} MB")
        try:
            content = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise Unreadable(f"is larger than {LARGEST_FILE // 1024 // 1024} MB")
    return content


def _open_within(path: str, within: Path) -> int:
    """Open what a path leads to below a folder, step by step, and follow no link on the way that was not seen before.

    A link that is there on purpose, as in a mounted ConfigMap, is resolved first. Raises ``OSError``.
    """
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(within):
        raise Unreadable("leads out of the folder of the file that names it")
    *folders, name = real.relative_to(within).parts or (".",)
    at = os.open(within, _PASSING)
    try:
        for folder in folders:
            following = os.open(folder, _PASSING, dir_fd=at)
            os.close(at)
            at = following
        return os.open(name, _READING | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)
