"""Patterns of file names, matched in linear time.

Owns: the meaning of a pattern (``*``, ``?`` and ``[…]`` within a name, ``**`` for any folders), and the limits that
keep long patterns, long names or very many of both from taking long.
Must not: touch a disk. How one name is compared is in ``core.wildcards``.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from reconciler.core.wildcards import MAGIC, Wildcard

LONGEST_PATTERN = 1024
"""Characters in a pattern."""
DEEPEST_PATTERN = 64
"""Folders in a pattern."""
MOST_PATTERNS = 10_000
"""Patterns in one array."""
LONGEST_NAME, LONGEST_PATH = 255, 4096
"""Characters in a name and in a path, as file systems have them: no pattern matches a longer one."""
MOST_STEPS = 2_000_000
"""The most characters of names that the patterns of one load are compared with. A plain pattern counts one a name."""
ANY_FOLDERS = "**"


class TooMuch(Exception):
    """The patterns of a load would be compared with too many names."""


class Effort:
    """Counts the comparisons of patterns with names, and stops them at the limit."""

    def __init__(self, most: int = MOST_STEPS) -> None:
        self._left = most

    def spend(self, steps: int) -> None:
        """Count some steps. Raises ``TooMuch``."""
        self._left -= steps
        if self._left < 0:
            raise TooMuch


def has_magic(part: str) -> bool:
    """Return whether a part of a pattern may match more than one name."""
    return not MAGIC.isdisjoint(part)


def fixed_part(pattern: str) -> str:
    """Return the plain folders at the beginning of a pattern; may be empty."""
    fixed = []
    for part in pattern.split("/")[:-1]:
        if has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed)


class Name:
    """One part of a pattern, for the names of one folder."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._hidden = part.startswith(".")
        self._plain = not has_magic(part)
        self._wildcard = Wildcard(part)

    def matches(self, name: str, effort: Effort | None = None) -> bool:
        """Return whether a name matches. A name that begins with a dot matches only if the pattern has the dot."""
        if self._plain:
            return name == self._part
        if len(name) > LONGEST_NAME or (name.startswith(".") and not self._hidden):
            return False
        if effort is not None:
            effort.spend(1 if self._wildcard.is_simple else len(name))
        return self._wildcard.matches(name)


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> tuple[Name | None, ...]:
    """Return the parts of a pattern, ready to match; ``None`` means ``**``."""
    return tuple(None if part == ANY_FOLDERS else Name(part) for part in pattern.split("/"))


def matches(path: str, pattern: str, effort: Effort | None = None) -> bool:
    """Return whether a relative path matches a glob: ``*``, ``?``, ``[…]`` in a name, ``**`` for any folders.

    As in a shell, a name that begins with a dot matches only if the pattern has the dot. ``**`` at the end matches what
    is below a folder, never the folder or a file itself.
    """
    if (
        len(path) > LONGEST_PATH
        or len(pattern) > LONGEST_PATTERN
        or pattern.count("/") >= DEEPEST_PATTERN
    ):
        return False
    parts = compiled(pattern)
    used = _with_none_for_any({0}, parts)
    for name in path.split("/"):
        taken = set()
        for one in used:
            if one == len(parts):
                continue
            part = parts[one]
            if part is None and not name.startswith("."):
                taken.add(one)
                if one == len(parts) - 1:
                    taken.add(len(parts))
            elif part is not None and part.matches(name, effort):
                taken.add(one + 1)
        used = _with_none_for_any(taken, parts)
        if not used:
            return False
    return len(parts) in used


def _with_none_for_any(used: set[int], parts: Sequence[Name | None]) -> set[int]:
    """Return how many parts of a pattern may be used up, also if each ``**`` before others matches no folder."""
    for one, part in enumerate(parts[:-1]):
        if part is None and one in used:
            used.add(one + 1)
    return used


def select(pattern: str, folder: str, ordered: Sequence[str], effort: Effort) -> list[str]:
    """Return the sorted paths below a folder that match. Only the pattern's own folder is searched."""
    prefix = posixpath.join(folder, "")
    fixed = fixed_part(pattern)
    within = f"{prefix}{fixed}/" if fixed else prefix
    found = []
    for index in range(bisect_left(ordered, within) if within else 0, len(ordered)):
        path = ordered[index]
        if not path.startswith(within):
            break
        effort.spend(1)
        if len(path) <= LONGEST_PATH and matches(path.removeprefix(prefix), pattern, effort):
            found.append(path)
    return found
