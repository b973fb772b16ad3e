"""What is read from a repository: commits, and the trees and blobs of commits, as values.

Owns: the questions to ``git``, and how its answers are taken apart. An answer that was not asked for is an error.
Must not: reach a remote, or read from a working tree.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from reconciler.core.errors import quoted
from reconciler.core.model import Commit
from reconciler.source.git.process import MOST_LINES, Git, GitError, TooLarge, option_free

MOST_FILES = 500_000
"""In one folder of a commit and below it. A tree of a few objects can describe more files than there is memory for."""
LARGEST_LINE = 64 * 1024
"""Bytes of what is a line or two: names, ids, verdicts."""
SHA1_DIGITS = 40
_COLUMNS = 600
"""Columns of a name or a subject that are read; fewer are shown."""
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ANSWER_LINE = 100
"""More bytes than the line has with which ``cat-file --batch`` begins the answer for a blob."""
_ODD = "git printed something else than was asked for"


class Kind(StrEnum):
    """What a name in a tree is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    SUBMODULE = "submodule"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a tree, and its object."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where a working tree begins. One of ``moves_with`` changes whenever another commit is checked out in it."""

    top: Path
    moves_with: tuple[str, ...]


class Repository:
    """What can be read from a repository: commits, and trees and blobs of commits. Never its working tree."""

    def __init__(self, git: Git) -> None:
        self.git = git

    def resolve(self, revision: str) -> str | None:
        """Return the id of the commit that a revision names, or ``None`` if there is none."""
        name = f"{option_free(revision)}^{{commit}}"
        found = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", name, no=True)
        return parse_id(found) if found else None

    def commit(self, id_: str) -> Commit:
        """Return who made a commit, when and why; names and words on one line, without control characters."""
        short = f"%<({_COLUMNS},trunc)"  # a subject may have as many characters as a pack has bytes
        form = f"{short}%an%x00{short}%ae%x00%ct%x00{short}%s"
        printed = self.git(
            "log", "-1", f"--format={form}", "--end-of-options", checked_id(id_), most=LARGEST_LINE
        )
        name, address, at, subject = map(
            str.strip, _parts(printed.decode(errors="replace"), "\0", 4)
        )
        author = f"{name} <{address}>" if address else name
        return Commit(id_, quoted(author), quoted(subject), _moment(at))

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return the object at a path in a commit; the empty path is its root."""
        if not path:
            root = self.git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")
            return Entry(Kind.FOLDER, parse_id(root))
        listed = self.git("ls-tree", "-z", "--full-tree", checked_id(commit), "--", path)
        return dict(_entries(listed)).get(path)

    def files(self, tree: str) -> dict[str, Entry]:
        """Return everything below a tree but folders, by path. Raises ``TooLarge`` where that is too much."""
        found: dict[str, Entry] = {}
        for path, entry in _entries(
            self.git("ls-tree", "-r", "-z", "--full-tree", checked_id(tree))
        ):
            found[path] = entry
            if len(found) > MOST_FILES:
                raise TooLarge(f"the folder has more than {MOST_FILES} files in it and below it")
        return found

    def sizes(self, ids: Iterable[str]) -> dict[str, int]:
        """Return the sizes of blobs in bytes. Raises ``GitError`` where one is not here."""
        found = {}
        for some in batches(ids):
            *lines, rest = self.git("cat-file", "--batch-check", lines=some).split(b"\n")
            if rest or len(lines) != len(some):
                raise GitError(_ODD)
            for id_, line in zip(some, lines, strict=True):
                kind, size = _kind_and_size(line, id_)
                found[id_] = size if kind == b"blob" else -1
        return found

    def contents(self, ids: Iterable[str], *, most: int) -> dict[str, bytes | None]:
        """Return the contents of blobs, and ``None`` for those that are larger than ``most`` bytes."""
        sizes = self.sizes(ids)
        found: dict[str, bytes | None] = dict.fromkeys(sizes)
        for some in batches(id_ for id_, size in sizes.items() if 0 <= size <= most):
            room = sum(sizes[id_] + _ANSWER_LINE for id_ in some)
            printed = self.git("cat-file", "--batch", lines=some, most=room)
            found.update(_blobs(printed, some))
        return found

    def bring(self, tree: str, ids: Iterable[str], *, most: int) -> frozenset[str]:
        """Make sure that these blobs of a tree are here; return those that would not fit into ``most`` bytes."""
        del tree, ids, most
        return frozenset()

    def descends(self, commit: str, ancestor: str) -> bool:
        """Return whether ``ancestor`` is in the history of ``commit``, as far as that is known here."""
        if self.resolve(ancestor) is None:
            return False
        bases = self.git(
            "merge-base",
            "--all",
            "--end-of-options",
            checked_id(ancestor),
            checked_id(commit),
            no=True,
        )
        return ancestor.encode() in bases.split()

    def holds(self, commit: str, revision: str) -> bool | None:
        """Return whether a revision, by its id or the beginning of one, is a commit or in its history.

        ``None``: that cannot be known without more of the history than is here.
        """
        id_ = self.resolve(revision)
        if id_ is not None and (id_ == commit or Repository.descends(self, commit, id_)):
            return True
        return None if self.shallow else False

    @property
    def shallow(self) -> bool:
        """Whether a part of the history is not here, and could be fetched."""
        return False

    def between(self, ancestor: str, commit: str, most: int = 20) -> tuple[str, ...]:
        """Return the commits after an ancestor and before a commit, oldest first: the latest ``most`` of them."""
        span = (checked_id(commit), f"^{checked_id(ancestor)}")
        printed = self.git("rev-list", f"--max-count={most + 1}", "--end-of-options", *span)
        newest_first = map(checked_id, printed.decode(errors="replace").split())
        oldest_first = [id_ for id_ in newest_first if id_ != commit][::-1]
        return tuple(oldest_first)


class WorkingTree(Repository):
    """The repository that a folder of this machine is a part of. ``seconds`` are for all its calls."""

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(Git(cwd=folder, together=seconds, environ=environ))

    def head(self) -> Head:
        """Return where this repository is, and what shows that another commit is checked out."""
        wanted = (
            "--show-toplevel",
            "--git-dir",
            "--git-common-dir",
            "--symbolic-full-name",
            "HEAD",
        )
        printed = os.fsdecode(self.git("rev-parse", "--path-format=absolute", *wanted))
        top, own, common, name = _parts(printed, "\n", 4)
        return Head(
            Path(top),
            (f"{own}/HEAD", f"{own}/logs/HEAD", f"{common}/{name}", f"{common}/packed-refs"),
        )

    def path_of(self, name: str) -> str:
        """Return where a file of the repository is; a linked working tree has some, as ``index.lock``, of its own."""
        printed = self.git("rev-parse", "--path-format=absolute", "--git-path", option_free(name))
        return os.fsdecode(printed).removesuffix("\n")

    def left_out(self) -> frozenset[str]:
        """Return the tracked files, relative to the folder, that are not meant to be there (``skip-worktree``)."""
        listed = os.fsdecode(self.git("ls-files", "-z", "-t")).split("\0")
        return frozenset(line[2:] for line in listed if line.startswith("S "))


def blob_id(content: bytes, like: str) -> str:
    """Return the id that a blob with this content has, in a repository whose ids look like ``like``."""
    # SHA-1 is the choice of git; a collision would do no more than let an edited file pass for the committed one.
    made = (
        hashlib.new("sha1", usedforsecurity=False) if len(like) == SHA1_DIGITS else hashlib.sha256()
    )
    made.update(b"blob %d\0" % len(content))
    made.update(content)
    return made.hexdigest()


def is_id(text: str) -> bool:
    """Return whether a string is the whole id of an object."""
    return _ID.fullmatch(text) is not None


def checked_id(id_: str) -> str:
    """Return the id of an object, or refuse what is none."""
    if not is_id(id_):
        raise GitError("this is not the id of an object")
    return id_


def parse_id(printed: bytes) -> str:
    """Return the id that git printed."""
    return checked_id(printed.decode(errors="replace").strip())


def _parts(printed: str, mark: str, number: int) -> list[str]:
    """Return the parts of what was printed. Raises unless there are that number of them."""
    parts = printed.removesuffix("\n").split(mark)
    if len(parts) != number:
        raise GitError(_ODD)
    return parts


def _moment(seconds: str) -> datetime:
    """Return a commit's time; one that no calendar has, as a forged one can be, is the beginning of all times."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


_FACTS = re.compile(rb"\d{6} [a-z]+ (?:[0-9a-f]{40}|[0-9a-f]{64})")
_OBJECT = re.compile(rb"([0-9a-f]+) ([a-z]+) (\d{1,18})")
_KINDS = {"040000": Kind.FOLDER, "120000": Kind.LINK, "160000": Kind.SUBMODULE}


def _entries(listed: bytes) -> Iterator[tuple[str, Entry]]:
    """Take the output of ``ls-tree -z`` apart. Names are bytes; those that are not UTF-8 stay what they are."""
    if listed and not listed.endswith(b"\0"):
        raise GitError(_ODD)
    at = 0
    while at < len(listed):  # one after the other: all at once they take several times the memory
        end = listed.index(b"\0", at)
        line, at = listed[at:end], end + 1
        facts, _, name = line.partition(b"\t")
        if not name or not _FACTS.fullmatch(facts):
            raise GitError(_ODD)
        mode, _kind, id_ = facts.decode().split(" ")
        yield os.fsdecode(name), Entry(_KINDS.get(mode, Kind.FILE), id_)


def batches(ids: Iterable[str]) -> Iterator[list[str]]:
    """Return ids in lists that are short enough for one call."""
    every = sorted(set(ids))
    for start in range(0, len(every), MOST_LINES):
        yield every[start : start + MOST_LINES]


def _kind_and_size(line: bytes, id_: str) -> tuple[bytes, int]:
    """Return kind and size from the line with which ``cat-file`` answers for an object."""
    if line == f"{id_} missing".encode():
        raise GitError(f"the object {id_} is not here")
    match = _OBJECT.fullmatch(line)
    if match is None or match[1] != id_.encode():
        raise GitError(_ODD)
    return match[2], int(match[3])


def _blobs(printed: bytes, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Take the output of ``cat-file --batch`` apart: all that was asked for, in that order, or an error."""
    at = 0
    for id_ in ids:
        begin = printed.find(b"\n", at) + 1
        _kind, size = _kind_and_size(printed[at : max(begin - 1, at)], id_)
        at = begin + size + 1
        if printed[at - 1 : at] != b"\n":
            raise GitError(_ODD)
        yield id_, printed[begin : at - 1]
    if at != len(printed):
        raise GitError(_ODD)
