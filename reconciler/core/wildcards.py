"""Patterns of one name, matched in linear time: ``*``, ``?`` and ``[…]``.

Owns: what such a pattern matches. Must not: make a regular expression of a pattern: backtracking takes time with the
square of a name's length, and everything else waits.
"""

from __future__ import annotations

from collections.abc import Sequence

MAGIC = frozenset("*?[")
"""Characters with a meaning in a pattern."""


class Wildcard:
    """A pattern: ``*`` is any text, ``?`` one character, ``[abc]``, ``[a-z]`` and ``[!a]`` one of a set.

    ``is_simple``: it has only ``*``, so a comparison takes a few searches, however long a name is.
    """

    def __init__(self, pattern: str) -> None:
        self._pieces = pattern.split("*")
        self.is_simple = MAGIC.isdisjoint(pattern.replace("*", ""))
        self._masks = None if self.is_simple else _Masks(pattern)

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches."""
        if self._masks is not None:
            return self._masks.match(text)
        return text == self._pieces[0] if len(self._pieces) == 1 else _in_order(self._pieces, text)


def _in_order(pieces: Sequence[str], name: str) -> bool:
    """Return whether a name is these pieces with anything between. Each is searched once, after the one before."""
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
