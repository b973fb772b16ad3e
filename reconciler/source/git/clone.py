"""The clone of the repository that is followed.

Owns: what is fetched of it, and what happens after a fetch that failed. Must not: decide which commits are believed.

The clone is a cache. It is bare, shallow at first and without blobs (``--filter=blob:none``); what is needed of a
commit is asked for by name. A server that knows no filters sends more, and all the same works.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from reconciler.source.git.commits import (
    SHA1_DIGITS,
    Entry,
    Repository,
    batches,
    checked_id,
    is_id,
    parse_id,
)
from reconciler.source.git.process import (
    Git,
    GitError,
    GitMissing,
    GitTimeout,
    TooLarge,
    option_free,
)
from reconciler.source.git.remote import ASKING_SECONDS, REMOTE, Address, Remote

FETCHING_SECONDS = 300.0
"""For fetching from a remote; what is fetched is small, so only a first fetch can come near it."""
LARGEST_PACK = 1024 * 1024 * 1024
"""Bytes of one file that a fetch may write; what is larger is broken off."""

NEWEST, FOLLOWED = "refs/pcc/newest", "refs/pcc/followed"
"""Refs of the clone: the last commit that was fetched, and the last one that was followed."""
_REFS_ONLY = ("not our ref", "unadvertised object", "no such remote ref")
"""How a server refuses to give objects by name."""
_AGAIN_LARGE, _AGAIN_SLOW = (3600.0, 86400.0), (300.0, 3600.0)
"""Seconds before a commit is tried again that is too large, or took too long: at first, and at most."""
_LEFT_BEHIND = (
    "objects/pack/tmp_*",
    "objects/pack/.tmp*",
    "objects/pack/*.keep",
    "objects/tmp_*",
    "objects/incoming-*",
    "*.lock",
    "refs/**/*.lock",
)


class Clone(Repository):
    """Our own bare clone of a remote repository, made below ``home`` when it is first needed.

    Each address has a clone of its own, so that two never mix; the one of a former address is removed.
    """

    def __init__(
        self,
        home: Path,
        url: str,
        *,
        environ: Mapping[str, str] | None = None,
        largest_pack: int = LARGEST_PACK,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        address = Address.of(url)
        environ = {**(os.environ if environ is None else environ), **address.environment}
        folder = home.absolute() / f"{hashlib.sha256(address.plain.encode()).hexdigest()[:16]}.git"
        super().__init__(Git(directory=folder, given=address.configuration, environ=environ))
        self.folder = folder
        self._remote = Remote(Git(given=address.configuration, environ=environ))
        self._largest_pack = largest_pack
        self._failed = _FailedCommit(steady)
        self._swept = False
        self._source = ""
        self._found: dict[str, str] = {}
        self._whole = False

    def stop(self) -> None:
        """End what is under way, and begin nothing more."""
        self._remote.stop()
        self.git.stop()

    def newest(self, ref: str) -> tuple[str, str] | None:
        """Return the full name of a ref and its newest commit, or ``None`` if the remote has no such ref.

        A ref that was found before is fetched at once, which is one connection whether there is something new or not.
        Where that fails, the remote is asked what it has.
        """
        if (
            not self._swept
        ):  # a process before this one may have been ended in the middle of a fetch
            self._swept = True
            _sweep(self.folder)
        name = self._found.pop(ref, None)
        if name is not None and self.folder.exists() and not self._failed:
            try:
                self._fetch(*self._filter, REMOTE, f"+{name}:{NEWEST}", seconds=ASKING_SECONDS)
                id_ = self.resolve(NEWEST)
            except (GitMissing, GitTimeout):
                raise
            except TooLarge as error:
                return self._too_large(ref, error)
            except GitError:
                id_ = None
            if id_ is not None:
                self._found[ref] = name
                return name, id_
        return self.tip(ref)

    def _too_large(self, ref: str, error: TooLarge) -> tuple[str, str] | None:
        """Ask which commit it was that is too large, and remember it."""
        tip = self.tip(ref)
        if tip is not None:
            self._failed.remember(tip[1], error)
        return tip

    def tip(self, ref: str) -> tuple[str, str] | None:
        """Ask the remote for a branch, a tag or a ref by its full name; return its full name and its commit.

        A commit's id is its own answer. ``None``: there is no such ref.
        """
        if is_id(option_free(ref)):
            return ref, ref
        tip = self._remote.tip(ref)
        if tip is not None:
            self._found[ref] = tip[0]
        return tip

    def fetch(self, name: str, id_: str) -> None:
        """Bring a commit here, with its tree: at first it alone, later with the history since what is here."""
        self._source = checked_id(id_) if is_id(name) else name
        if not (self.folder / "HEAD").exists():
            self._make(id_)
        elif self.resolve(id_) is not None:
            return
        self._failed.check(id_)
        try:
            self._fetch_commit()
        except (TooLarge, GitTimeout) as error:
            self._failed.remember(id_, error)
            raise
        self._failed.forget()
        if self.resolve(id_) is None:
            raise GitError(f"the remote did not give the commit {id_}")

    def _fetch_commit(self) -> None:
        newest = f"+{self._source}:{NEWEST}"
        if self.resolve(NEWEST) is not None:
            self._fetch(*self._filter, REMOTE, newest)
            return
        try:
            self._fetch("--depth=1", *self._filter, REMOTE, newest)
        except GitError as error:
            if "shallow" not in str(error):
                raise
            self._fetch(REMOTE, newest)  # a server of mere files can give everything only

    def followed(self) -> str | None:
        """Return the commit that was last followed."""
        return self.resolve(FOLLOWED)

    def follow(self, id_: str) -> None:
        """Remember a commit as the one that is followed."""
        self.git("update-ref", "--end-of-options", FOLLOWED, checked_id(id_))

    def files(self, tree: str) -> dict[str, Entry]:
        """Return everything below a tree but folders, by path; folders that are not here yet are fetched."""
        try:
            return super().files(tree)
        except (GitTimeout, TooLarge):
            raise
        except GitError:
            self._fetch_objects([tree])
            return super().files(tree)

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return the object at a path in a commit; the empty path is its root."""
        try:
            return super().entry(commit, path)
        except (GitTimeout, TooLarge):
            raise
        except GitError:
            root = parse_id(
                self.git("log", "-1", "--format=%T", "--end-of-options", checked_id(commit))
            )
            self._fetch_objects([root])
            return super().entry(commit, path)

    def bring(self, tree: str, ids: Iterable[str], *, most: int) -> frozenset[str]:
        """Fetch those blobs of a tree that are not here yet; return those that would not fit into ``most`` bytes."""
        printed = self.git(
            "rev-list", "--objects", "--missing=print", "--no-object-names", checked_id(tree)
        )
        missing = {line[1:].decode() for line in printed.splitlines() if line.startswith(b"?")}
        too_large: set[str] = set()
        for some in batches(missing.intersection(ids)):
            try:
                self._fetch_objects(some, largest_file=2 * most)
            except TooLarge:
                too_large.update(id_ for id_ in some if not self._fits(id_, most))
        return frozenset(too_large)

    def begin_anew(self) -> None:
        """Remove what is here: it is a cache, and something in it is damaged."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def descends(self, commit: str, ancestor: str) -> bool:
        """Return whether ``ancestor`` is in the history of ``commit``.

        Where a part of the history is not here, all of it is fetched: it is commits only, so it is small.
        """
        if commit == ancestor or super().descends(commit, ancestor):
            return True
        if not self.shallow:
            return False
        self.deepen()
        return super().descends(commit, ancestor)

    @property
    def shallow(self) -> bool:
        """Whether a part of the history is not here, and could be fetched."""
        return (self.folder / "shallow").exists()

    def deepen(self) -> None:
        """Fetch the whole history: commits only, where the server can filter."""
        if self.shallow and self._source:
            self._fetch("--unshallow", "--filter=tree:0", REMOTE, f"+{self._source}:{NEWEST}")

    @property
    def _filter(self) -> tuple[str, ...]:
        return () if self._whole else ("--filter=blob:none",)

    def _make(self, id_: str) -> None:
        home = self.folder.parent
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in home.glob(f"{'[0-9a-f]' * 16}.git"):
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise GitError(f"{home}: no clone can be made here: {error.strerror}") from error
        form = "sha1" if len(id_) == SHA1_DIGITS else "sha256"
        self.git("init", "--bare", "--quiet", "--template=", f"--object-format={form}")

    def _fits(self, id_: str, most: int) -> bool:
        try:
            self._fetch_objects([id_], largest_file=most)
        except TooLarge:
            return False
        return True

    def _fetch(self, *arguments: str, seconds: float = FETCHING_SECONDS) -> None:
        """Fetch commits."""
        plain = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        try:
            self.git(
                "fetch",
                *plain,
                *arguments,
                seconds=seconds,
                online=True,
                largest_file=self._largest_pack,
            )
        except GitError:
            _sweep(self.folder)
            raise

    def _fetch_objects(self, ids: Sequence[str], largest_file: int | None = None) -> None:
        """Fetch objects by name, as git itself would. A server that gives refs only has to give everything."""
        try:
            self.git(
                *(
                    "-c",
                    "fetch.negotiationAlgorithm=noop",
                    "fetch",
                    "--quiet",
                    "--no-tags",
                    "--no-write-fetch-head",
                ),
                *(
                    "--no-recurse-submodules",
                    "--no-auto-maintenance",
                    "--filter=blob:none",
                    "--stdin",
                    REMOTE,
                ),
                seconds=FETCHING_SECONDS,
                online=True,
                lines=ids,
                largest_file=largest_file or self._largest_pack,
            )
        except GitError as error:
            _sweep(self.folder)
            self._whole = self._whole or any(words in str(error) for words in _REFS_ONLY)
            raise


class _FailedCommit:
    """A commit that could not be fetched because of its size or its time, so that it is not tried at every look."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._id, self._why, self._until, self._times = "", "", 0.0, 0

    def __bool__(self) -> bool:
        return bool(self._id)

    def remember(self, id_: str, error: GitError) -> None:
        """Note that a commit could not be fetched; each further time it waits twice as long."""
        first, most = _AGAIN_LARGE if isinstance(error, TooLarge) else _AGAIN_SLOW
        self._times = self._times + 1 if id_ == self._id else 0
        self._id, self._why = id_, str(error)
        self._until = self._steady() + min(most, first * 2 ** min(self._times, 10))

    def forget(self) -> None:
        """Note that fetching works."""
        self._id, self._times = "", 0

    def check(self, id_: str) -> None:
        """Raise where a commit is not to be tried again yet."""
        left = self._until - self._steady()
        if id_ == self._id and left > 0:
            again = f"the same commit is tried again in {max(1, round(left / 60))} min, another one at once"
            raise TooLarge(f"{self._why}; {again}")


def _sweep(folder: Path) -> None:
    """Remove what a fetch leaves that was broken off: half a pack may have a gigabyte, and a lock stops the next.

    Nobody else works here: the clone belongs to the holder of the state's lock, or to one command.
    """
    for pattern in _LEFT_BEHIND:
        for path in folder.glob(pattern):
            with suppress(OSError):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
