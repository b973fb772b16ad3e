"""Takes the server's own folder out of what is shown: a place in a text is seen from the folder of the texts.

Owns: how that folder is recognised in words. Must not: know what is shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path


def seen_from(folder: Path) -> Callable[[str], str]:
    """Return what takes a folder out of words, as it is named and as links lead to it.

    A path below the folder becomes relative, the folder itself a dot. A folder that is named relatively is left.
    """
    names = {str(folder), os.path.realpath(folder)} if folder.is_absolute() else set()
    names -= {"/"}
    if not names:
        return str
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    found = re.compile(rf"(?<![\w./-])(?:{'|'.join(longest_first)})(?:/(?=[^\s/\"])|(?![\w./-]))")

    def shown(match: re.Match[str]) -> str:
        return "" if match[0].endswith("/") else "."

    return lambda words: found.sub(shown, words)
