"""Takes the server's own folder out of what is shown: a place in a file is given as seen from the folder of the files.

Owns: how that folder is recognised in words. Must not: know what is shown.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


class ServerFolder:
    """A folder of this machine that callers need not know: as it is named, and as links lead to it."""

    def __init__(self, folder: Path = Path()) -> None:
        names = {str(folder), os.path.realpath(folder)} if folder.is_absolute() else set()
        longest_first = sorted(map(re.escape, names - {"/"}), key=len, reverse=True)
        self._found: re.Pattern[str] | None = None
        if longest_first:
            self._found = re.compile(
                rf"(?<![\w./-])(?:{'|'.join(longest_first)})(?:/(?=[^\s/\"])|(?![\w./-]))"
            )

    def hide(self, words: str) -> str:
        """Return words without the folder. A path below it becomes relative, the folder itself a dot.

        A folder that is named relatively is left.
        """
        return words if self._found is None else self._found.sub(_shown, words)


def _shown(match: re.Match[str]) -> str:
    return "" if match[0].endswith("/") else "."
