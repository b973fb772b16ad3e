"""The documents of a checkout as they were at some revision.

Owns: where a path of this machine is in the repository it is checked out from. Must not: change the checkout, or read
anything from it but its history.
"""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.core.model import Commit
from reconciler.source.git.commits import WorkingTree
from reconciler.source.git.process import GitError
from reconciler.source.port import Fetched, FetchError, MissingError
from reconciler.source.repository import read_commit


def documents_at(path: Path, revision: str) -> tuple[Commit, Fetched | None]:
    """Return the commit that a revision names, and the documents at a path as they were in it, if there were any.

    Raises ``SourceError``: no repository, no such revision, or objects that are not here.
    """
    place = Path(os.path.realpath(path))
    tree = WorkingTree(place if place.is_dir() else place.parent)
    try:
        top = tree.head().top
        id_ = tree.resolve(revision)
        if id_ is None:
            raise MissingError(
                f"there is no revision {revision!r} in this repository (in a shallow checkout, fetch it first)"
            )
        inside = os.path.relpath(place, top)
        commit = tree.commit(id_)
        try:
            return commit, read_commit(tree, id_, "" if inside == "." else inside)
        except MissingError:
            return commit, None
    except GitError as error:
        raise FetchError(f"{path}: cannot be compared: {error}") from error
