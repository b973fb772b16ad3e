"""Where a file of this machine is in its repository, as a forge names it.

Owns: which folder a forge counts from. Must not: run git; a check in a pull request asks this for every fault.
"""

from __future__ import annotations

import os
from pathlib import Path


def in_repository(path: str, workspace: str | None) -> str | None:
    """Return a path as seen from the root of its repository, or ``None`` where it is outside of any.

    ``workspace`` is where a forge's runner checked the repository out, if one did. A path that is relative and in no
    repository stays as it is. The last part of a path may be a link: it is the link that the repository has.
    """
    folder = Path(os.path.realpath(os.path.dirname(path) or "."))
    full = Path(os.path.normpath(folder / os.path.basename(path)))
    root = _root(full, Path(os.path.realpath(workspace)) if workspace else None)
    if root is not None:
        return full.relative_to(root).as_posix()
    return None if os.path.isabs(path) or workspace else path


def _root(full: Path, workspace: Path | None) -> Path | None:
    """Return the folder that a forge counts from."""
    inside = workspace is not None and full.is_relative_to(workspace)
    if inside and workspace is not None and (workspace / ".git").exists():
        return workspace
    for folder in (full, *full.parents):
        if (folder / ".git").exists():
            return folder
        if inside and folder == workspace:
            return workspace
    return None
