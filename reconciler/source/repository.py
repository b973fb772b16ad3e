"""A Git repository as a source.

Owns: following a branch, a tag or a commit of a repository: what of a commit is read, and which commits are believed.
Must not: know what a file states, or how git is run.

Only what the commit holds is read: regular files of a fair size, never through a link and never into a
submodule. A remote that cannot be reached, a branch that is gone, a clone that is damaged: none of it changes what is
in force, and a clone that is damaged is made anew.

With ``verify`` a commit is believed only if its signature is good and it descends from the signed commits in force: an
old commit that somebody pushes again is signed too.
"""

from __future__ import annotations

import asyncio
import posixpath
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from reconciler.core.errors import Fault, SourceError
from reconciler.core.model import Cause, Commit, Verified
from reconciler.desired import LARGEST_FILE, Document, MemoryTree, Names, Unreadable, patterns
from reconciler.source.git.clone import Clone
from reconciler.source.git.commits import Entry, Kind, Repository
from reconciler.source.git.process import GitError, GitMissing, GitTimeout, TooLarge
from reconciler.source.git.signatures import verdict
from reconciler.source.port import NOTHING, Fetched, FetchError, Known, MissingError
from reconciler.source.unrest import Unrest

SHOWN = 12
"""The number of digits of a commit's id that are shown."""
AGAIN_SECONDS = 5.0
"""After a first failure the remote is asked again so soon, then half as often each time, down to the interval."""
ANEW_SECONDS, LONGEST_ANEW_SECONDS = 60.0, 3600.0
"""After a new clone that did not help the next one waits so long: at first, and at most."""
SHORTEST_PAUSE_SECONDS = 0.2
"""Between two looks, where one took longer than the interval."""

log = structlog.get_logger()


class CommitTree:
    """The files of one folder of a commit. What is needed of them is fetched when it is first read, or ahead."""

    def __init__(self, repository: Repository, tree: str, folder: str) -> None:
        self._repository = repository
        self._tree = tree
        self._entries = {
            posixpath.join(folder, name): entry for name, entry in repository.files(tree).items()
        }
        self._names = Names(self._entries)
        self._contents: dict[str, bytes | None] = {}
        self.was_read: set[str] = set()

    def match(self, folder: str, pattern: str) -> Sequence[str]:
        """Return the sorted paths that match a glob relative to ``folder``; ``Unreadable`` if it leads out of that."""
        if pattern.startswith("/") or ".." in pattern.split("/"):
            raise Unreadable("leads out of the folder of the file that names it")
        return self._names.match(folder, pattern)

    def read(self, path: str) -> bytes:
        """Return the content of one regular file. Raises ``Unreadable``, or ``FetchError`` if it is not available."""
        if not path.isprintable():  # such a name could not be shown, logged or kept
            raise Unreadable("has a name that is not printable text")
        entry = self._entries.get(path)
        if entry is None:
            raise Unreadable("there is no such file")
        check_regular(entry)
        if path not in self._contents:
            try:
                self.prepare([path])
            except GitError as error:
                raise FetchError(f"{path}: cannot be fetched: {error}") from error
        self.was_read.add(path)
        content = self._contents[path]
        if content is None:
            raise Unreadable(f"is larger than {LARGEST_FILE // 1024 // 1024} MB")
        return content

    def prepare(self, paths: Iterable[str]) -> None:
        """Fetch what of these paths is a file and not here yet, all at once."""
        found = {
            path: self._entries[path]
            for path in set(paths) & self._entries.keys() - self._contents.keys()
        }
        wanted = {path: entry.id for path, entry in found.items() if entry.kind is Kind.FILE}
        if wanted:
            too_large = self._repository.bring(self._tree, wanted.values(), most=LARGEST_FILE)
            contents = self._repository.contents(
                set(wanted.values()) - too_large, most=LARGEST_FILE
            )
            self._contents |= {path: contents.get(id_) for path, id_ in wanted.items()}

    def documents(self, folder: str) -> list[str]:
        """Return the TOML files of the folder, as of a folder on disk: none below it, and none that is hidden."""
        return sorted(
            path
            for path in self._entries
            if posixpath.dirname(path) == folder
            and path.endswith(".toml")
            and not posixpath.basename(path).startswith(".")
        )


def check_regular(entry: Entry) -> None:
    """Refuse what is not a plain file, without a look at what it leads to."""
    if entry.kind is not Kind.FILE:
        raise Unreadable(f"is a {entry.kind}; of a repository only regular files are read")


def read_commit(
    repository: Repository, id_: str, path: str, likely: Collection[str] = ()
) -> Fetched:
    """Return the documents at a path of a commit: a file, or the TOML files of a folder; the empty path is its root.

    ``likely`` are paths that will probably be read, so that they can be fetched together.
    """
    entry = repository.entry(id_, path)
    if entry is None:
        raise MissingError(f"{path}: there is no such file in commit {id_[:SHOWN]}")
    folder, tree = path, entry.id
    if entry.kind is not Kind.FOLDER:
        folder = posixpath.dirname(path)
        above = repository.entry(id_, folder)
        tree = above.id if above is not None else ""
    files = CommitTree(repository, tree, folder)
    paths = files.documents(path) if entry.kind is Kind.FOLDER else [path]
    if not paths:
        raise MissingError(
            f"{path or '.'}: there is no *.toml file in this folder of commit {id_[:SHOWN]}"
        )
    files.prepare([*paths, *likely])
    documents, unreadable = [], []
    for one in paths:
        try:
            documents.append(Document(one, files.read(one)))
        except Unreadable as error:
            unreadable.append(Fault(one, 0, 0, str(error)))
    for pattern in {pattern for document in documents for pattern in patterns(document.content)}:
        with suppress(Unreadable):  # reported when it is really read
            files.prepare(files.match(folder, pattern))
    cause = None if documents else Cause.INVALID
    return Fetched(tuple(documents), files, unreadable=tuple(unreadable), cause=cause, identity=id_)


class GitSource:
    """A branch, a tag or a commit of a remote repository, and in it a file or a folder.

    ``interval``: the seconds between two looks; a webhook causes one in between.
    """

    kind = "git"
    persistent = True
    unrest: Unrest | None = None

    def __init__(
        self,
        clone: Clone,
        ref: str,
        path: Path,
        *,
        interval: float = 30.0,
        verify: bool = False,
        allowed_signers: Path | None = None,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clone = clone
        self._steady, self._sleep = steady, sleep
        self._ref = ref
        self._path = "" if path == Path() else path.as_posix()
        self._interval = interval
        self._verify = verify
        self._allowed_signers = allowed_signers
        self._commit: Commit | None = None
        self._was_read: set[str] = set()
        self._failures = 0
        self._in_vain = 0
        self._not_anew_before = 0.0

    def fetch(self, known: Known = NOTHING) -> Fetched | None:
        """Return the documents of the remote's newest commit, or ``None`` if that is known. Raises ``SourceError``."""
        try:
            fetched = self._fetched(known)
        except SourceError:
            self._failures += 1
            raise
        self._failures = 0
        return fetched

    def commit(self, files: Mapping[str, bytes]) -> Commit | None:
        """Return the commit that was fetched last."""
        del files
        return self._commit

    def missing(self) -> Mapping[str, bytes | None]:
        """Return an empty mapping: a commit is always whole."""
        return {}

    def holds(self, commit: str, revision: str) -> bool | None:
        """Return whether a revision is a commit or in its history, as far as that is here."""
        try:
            return self._clone.holds(commit, revision)
        except GitError:
            return False

    def deepen(self) -> None:
        """Fetch the whole history of what is followed."""
        try:
            self._clone.deepen()
        except GitError as error:
            raise FetchError(f"the history cannot be fetched: {error}") from error

    def at_rest(self) -> bool:
        """Return ``True``: nobody writes to a commit."""
        return True

    def settled(self) -> bool:
        """Return ``True``: a commit stays what it is."""
        return True

    def poll(self) -> bool:
        """Return ``False``: the remote is asked by ``fetch``, whenever this wakes."""
        return False

    async def wakes(self) -> AsyncIterator[None]:
        """Yield once in each interval, however long a look takes, and sooner while the remote fails."""
        began = self._steady()
        while True:
            again = AGAIN_SECONDS * 2 ** min(self._failures - 1, 10)
            pause = min(self._interval, again) if self._failures else self._interval
            await self._sleep(max(SHORTEST_PAUSE_SECONDS, began + pause - self._steady()))
            began = self._steady()
            yield

    def close(self) -> None:
        """End what is under way."""
        self._clone.stop()

    def _fetched(self, known: Known) -> Fetched | None:
        try:
            tip = self._clone.newest(self._ref)
            if tip is None:
                raise MissingError(f"{self._ref}: the repository has no such branch or tag")
            try:
                return self._read(*tip, known)
            except (GitMissing, GitTimeout, TooLarge):
                raise
            except GitError as error:
                if self._steady() < self._not_anew_before:
                    raise
                if not self._failures:
                    log.warning("source.cloned_again", error=str(error))
                self._clone.begin_anew()
                return self._read_anew(tip, known)
        except GitError as error:
            raise FetchError(f"the repository cannot be fetched: {error}") from error

    def _read_anew(self, tip: tuple[str, str], known: Known) -> Fetched | None:
        """Read with a new clone. Where that fails too, another one is not made at every look: each is a full fetch."""
        wait = min(LONGEST_ANEW_SECONDS, ANEW_SECONDS * 2 ** min(self._in_vain, 10))
        self._not_anew_before = self._steady() + wait
        self._in_vain += 1
        fetched = self._read(*tip, known)
        self._not_anew_before, self._in_vain = 0.0, 0
        return fetched

    def _read(self, name: str, id_: str, known: Known) -> Fetched | None:
        """Return the documents of a commit, unless they are known."""
        self._clone.fetch(name, id_)
        commit = self._clone.commit(id_)
        wrong = self._wrong(id_, known.signed) if self._verify else ""
        identity = f"{id_} {wrong}"
        if identity == known.identity:
            return None
        if wrong:
            self._commit = replace(commit, verified=Verified.NO)
            fault = Fault(
                "", 0, 0, f"commit {id_[:SHOWN]} by {commit.author} is not accepted: {wrong}"
            )
            return Fetched(
                (), MemoryTree({}), unreadable=(fault,), cause=Cause.UNVERIFIED, identity=identity
            )
        before = self._clone.followed()
        files = self._documents(id_)
        rewritten = before is not None and not self._clone.descends(id_, before)
        self._clone.follow(id_)
        self._commit = replace(commit, verified=Verified.YES) if self._verify else commit
        if isinstance(files.tree, CommitTree):
            self._was_read = files.tree.was_read
        if rewritten:
            return replace(files, identity=identity, rewritten=before or "")
        overtaken = () if before is None else self._clone.between(before, id_)
        return replace(files, identity=identity, overtaken=overtaken)

    def _documents(self, id_: str) -> Fetched:
        """Return the documents of a commit; one that lacks them is rejected by its own name, like any other."""
        try:
            return read_commit(self._clone, id_, self._path, self._was_read)
        except MissingError as error:
            return Fetched(
                (), MemoryTree({}), unreadable=(Fault("", 0, 0, str(error)),), cause=Cause.MISSING
            )
        except TooLarge as error:
            fault = Fault("", 0, 0, f"commit {id_[:SHOWN]} cannot be read: {error}")
            return Fetched((), MemoryTree({}), unreadable=(fault,), cause=Cause.INVALID)

    def _wrong(self, id_: str, signed: Iterable[str]) -> str:
        """Return why a commit is not believed, or nothing if it is."""
        wrong = verdict(self._clone, id_, self._allowed_signers)
        if wrong:
            return wrong
        strangers = sorted(one for one in signed if not self._clone.descends(id_, one))
        if strangers:
            return f"it does not descend from {strangers[0][:SHOWN]}, which is in force, so it may be an old one"
        return ""
