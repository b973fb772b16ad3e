"""Patterns of file names, matched in linear time.

Owns: the meaning of a pattern (``*``, ``?`` and ``[…]`` within a name, ``**`` for any folders), and the limits that
keep long patterns, long names or very many of both from taking long.
Must not: touch a disk, or make a regular expression of a pattern: backtracking takes time with the square of a name's
length, and everything else waits.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

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
_MAGIC = frozenset("*?[")


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
    return not _MAGIC.isdisjoint(part)


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
        self._pieces = part.split("*") if _MAGIC.isdisjoint(part.replace("*", "")) else None
        self._masks = None if self._plain or self._pieces is not None else _Masks(part)

    def matches(self, name: str, effort: Effort | None = None) -> bool:
        """Return whether a name matches. A name that begins with a dot matches only if the pattern has the dot."""
        if self._plain:
            return name == self._part
        if len(name) > LONGEST_NAME or (name.startswith(".") and not self._hidden):
            return False
        if effort is not None:
            effort.spend(1 if self._pieces is not None else len(name))
        return _in_order(self._pieces, name) if self._masks is None else self._masks.match(name)


def _in_order(pieces: Sequence[str] | None, name: str) -> bool:
    """Return whether a name is these pieces with anything between. Each is searched once, after the one before."""
    if pieces is None:
        return False
    first, *middle, last = pieces
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class _Masks:
    """A pattern as a set of places, one bit each. A name is read once, and all places advance together."""

    def __init__(self, part: str) -> None:
        tokens = list(_tokens(part))
        self._sets: list[tuple[frozenset[str], tuple[tuple[str, str], ...], bool, int]] = []
        self._letters: dict[str, int] = {}
        self._any = self._stay = 0
        for place, sign in enumerate(tokens):
            bit = 1 << place
            if sign == "*":
                self._stay |= bit
            elif sign == "?":
                self._any |= bit
            elif len(sign) == 1:
                self._letters[sign] = self._letters.get(sign, 0) | bit
            else:
                self._sets.append((*_set(sign), bit))
        self._end = 1 << len(tokens)

    def match(self, name: str) -> bool:
        """Return whether a name matches."""
        places = self._beyond_stars(1)
        for letter in name:
            moves = self._any | self._letters.get(letter, 0)
            for letters, ranges, negated, bit in self._sets:
                if (
                    letter in letters or any(low <= letter <= high for low, high in ranges)
                ) is not negated:
                    moves |= bit
            places = self._beyond_stars(((places & moves) << 1) | (places & self._stay))
            if not places:
                return False
        return bool(places & self._end)

    def _beyond_stars(self, places: int) -> int:
        """Add the places that are reached if each next star matches no character."""
        while (more := places | ((places & self._stay) << 1)) != places:
            places = more
        return places


def _tokens(part: str) -> list[str]:
    """Split a pattern into single letters, ``?``, ``*`` (several count as one), and sets with their brackets.

    A literal ``*``, ``?`` or ``[`` is in a set, or is a bracket without an end.
    """
    tokens: list[str] = []
    at = 0
    while at < len(part):
        letter = part[at]
        close = (
            part.find("]", at + (3 if part[at + 1 : at + 2] == "!" else 2)) if letter == "[" else -1
        )
        if close >= 0:
            tokens.append(part[at : close + 1])
            at = close + 1
            continue
        if letter != "*" or tokens[-1:] != ["*"]:
            tokens.append(letter)
        at += 1
    return tokens


def _set(token: str) -> tuple[frozenset[str], tuple[tuple[str, str], ...], bool]:
    """Return the letters and ranges of a set, and whether the set means all others."""
    inside = token[1:-1]
    negated = inside.startswith("!")
    inside = inside[1:] if negated else inside
    letters, ranges, at = set(), [], 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            ranges.append((inside[at], inside[at + 2]))
            at += 3
        else:
            letters.add(inside[at])
            at += 1
    return frozenset(letters), tuple(ranges), negated


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
