"""The commit that files of this machine are from.

Owns: finding out, quickly or not at all, which commit is checked out where files are, and whether what was read is what
it holds. Must not: delay a reading for more than ``PATIENCE_SECONDS``, raise, or say anything in a log: a folder may
well not be under version control, may belong to somebody else, and git need not be installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.core.errors import ReconcilerError
from reconciler.core.model import Commit
from reconciler.desired import LARGEST_FILE
from reconciler.source.git.commits import Entry, Kind, WorkingTree, blob_id
from reconciler.source.git.process import GitTimeout
from reconciler.source.signatures import Signature, signature

PATIENCE_SECONDS = 1.0
"""For all that is asked of git after one reading."""
RELUCTANT_SECONDS = 300.0
"""Where git was slow, it is not asked again for so long."""

Named = Callable[[str], bool]
"""Says whether a path, relative to the folder of the documents, would be read if it were there."""
Missing = bytes | None
"""What the commit has under a path that is not there; ``None`` where that is not available."""


class Checkout:
    """Remembers which commit was checked out, so as to see when another one is."""

    def __init__(
        self, *, patience: float = PATIENCE_SECONDS, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience
        self._steady = steady
        self._not_before = 0.0
        self._head: dict[str, Signature] = {}
        self.missing: Mapping[str, Missing] = {}

    def commit(
        self,
        documents: Sequence[str],
        files: Mapping[str, bytes],
        named: Named = lambda _path: False,
    ) -> Commit | None:
        """Return the commit that the documents are checked out from; ``dirty`` where it holds other contents.

        ``named`` says whether a path relative to the folder of the documents would be read if it were there: one that
        the commit has and the folder has not is ``missing``. ``None`` where no document is tracked, or that cannot be
        found out in time.
        """
        self._head = {}
        self.missing = {}
        folder = os.path.dirname(os.path.realpath(documents[0])) if documents else ""
        if not folder or not _under_version_control(folder) or self._steady() < self._not_before:
            return None
        try:
            return self._checked_out(Path(folder), documents, files, named)
        except GitTimeout:
            self._not_before = self._steady() + RELUCTANT_SECONDS
        except (ReconcilerError, ValueError, OSError):
            pass  # such as a repository without a commit, or of another user, or no git at all
        return None

    def holds(self, document: str, commit: str, revision: str) -> bool:
        """Return whether a revision is a commit, or in its history, where a document is checked out from."""
        try:
            tree = WorkingTree(Path(os.path.realpath(document)).parent, seconds=self._patience)
            return tree.holds(commit, revision) is True
        except (ReconcilerError, ValueError, OSError):
            return False

    def moved(self) -> bool:
        """Return whether another commit may be checked out than when that was last asked."""
        return any(signature(path) != before for path, before in self._head.copy().items())

    def _checked_out(
        self, folder: Path, documents: Sequence[str], files: Mapping[str, bytes], named: Named
    ) -> Commit | None:
        tree = WorkingTree(folder, seconds=self._patience)
        head = tree.head()
        self._head = {
            path: signature(path) for path in head.moves_with
        }  # before it is asked what is there
        id_ = tree.resolve("HEAD")
        if id_ is None:
            return None
        home = os.path.relpath(folder, head.top)
        root = tree.entry(id_, "" if home == "." else home)
        if root is None or root.kind is not Kind.FOLDER:
            return None
        held = tree.files(root.id)
        names = {path: os.path.relpath(os.path.realpath(path), folder) for path in files}
        if not any(names.get(path) in held for path in documents):
            return None
        same = all(
            name in held and held[name].id == blob_id(files[path], id_)
            for path, name in names.items()
        )
        self.missing = _missing(tree, folder, held, named)
        return replace(tree.commit(id_), dirty=not same or bool(self.missing))


def _missing(
    tree: WorkingTree, folder: Path, held: Mapping[str, Entry], named: Named
) -> dict[str, Missing]:
    """Return the files of a commit that would be read and are not there, save those that are left out on purpose."""
    absent = [path for path, entry in held.items() if entry.kind is Kind.FILE and named(path)]
    absent = [path for path in absent if not os.path.lexists(folder / path)]
    if not absent:
        return {}
    left_out = tree.left_out()
    absent = [path for path in absent if path not in left_out]
    try:
        contents = tree.contents({held[path].id for path in absent}, most=LARGEST_FILE)
    except ReconcilerError:  # a clone without blobs, for one
        contents = {}
    return {path: contents.get(held[path].id) for path in absent}


def _under_version_control(folder: str) -> bool:
    """Return whether git would find a repository here: without running it, because most mounted folders are in none."""
    return any(
        os.path.lexists(os.path.join(above, ".git"))
        for above in (folder, *map(str, Path(folder).parents))
    )
