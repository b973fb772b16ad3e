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
        longest_first = sorted(names - {"/"}, key=len, reverse=True)
        self._names = [(name, _pattern(name)) for name in longest_first]

    def hide(self, words: str) -> str:
        """Return words without the folder. A path below it becomes relative, the folder itself a dot.

        A folder that is named relatively is left.
        """
        for name, pattern in self._names:
            words = _without(words, name, pattern)
        return words


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w./-]){re.escape(name)}(?:/(?=[^\s/\"])|(?![\w./-]))")


def _without(words: str, name: str, pattern: re.Pattern[str]) -> str:
    """Return words without a folder. The pattern is tried only where the name is: it is slow, and words may be long."""
    parts, end = list[str](), 0
    place = words.find(name)
    while place >= 0:
        match = pattern.match(words, place)
        if match is not None:
            parts += [words[end:place], _shown(match)]
            end = match.end()
        place = words.find(name, end if match is not None else place + 1)
    return "".join([*parts, words[end:]]) if parts else words


def _shown(match: re.Match[str]) -> str:
    return "" if match[0].endswith("/") else "."
