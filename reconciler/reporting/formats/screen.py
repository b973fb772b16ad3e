"""The room that text has, and how lines are made to fit into it.

Owns: how wide words are, where a line is broken, and how far an id is shortened. Must not: know what a line is about.

A line is broken between words. Only a word that has no room on a line of its own is broken inside, after a sign such as
a hyphen where it has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

WIDTH = 80
"""Columns of a terminal whose size is not known, and of a file or another program."""
SHORT = 12
"""Characters of an id that people are shown, where those are enough to tell it from the others."""
_SIGNS = frozenset("-_/.:,;=")


@dataclass(frozen=True, slots=True)
class Screen:
    """Where text is shown.

    ``width`` decides which columns a table has. ``folds``: longer lines are continued on the next one; they are not in
    a file or for another program, where each row is one line. ``wide``: a table has all its columns. ``full_ids``: ids
    are not shortened.
    """

    width: int = WIDTH
    folds: bool = False
    wide: bool = False
    full_ids: bool = False

    def lines(self, words: str, indent: int = 0) -> list[str]:
        """Return one line as the lines that fit; all but the first are indented."""
        if not self.folds or columns(words) <= self.width:
            return [words]
        lead = len(words) - len(words.lstrip(" "))
        first, *more = fold(words[lead:], self.width - max(lead, indent))
        margin = " " * indent
        return [" " * lead + first, *(margin + line for line in more)]

    def labelled(self, label: str, words: str) -> list[str]:
        """Return words behind a label, which is aligned with spaces; further lines begin where the words do."""
        if not self.folds or columns(label + words) <= self.width:
            return [(label + words).rstrip()]
        first, *more = fold(words, self.width - columns(label))
        margin = " " * columns(label)
        return [label + first, *(margin + line for line in more)]

    def ids(self, ids: Iterable[str]) -> Mapping[str, str]:
        """Return each id as it is shown beside the others."""
        if self.full_ids:
            return {one: one for one in ids}
        return shortened(ids)


def columns(words: str) -> int:
    """Return how many columns words take on a terminal: most Korean, Chinese and Japanese characters take two."""
    if words.isascii():
        return len(words)
    from rich.cells import cell_len  # noqa: PLC0415 - most words need no table of widths

    return cell_len(words)


def cut(words: str, width: int) -> str:
    """Return the beginning of words that has room in this many columns, with a mark where something is left out."""
    if columns(words) <= width:
        return words
    end, used = 0, 1
    for character in words:
        used += columns(character)
        if used > width:
            break
        end += 1
    return f"{words[:end]}…"


def fold(words: str, width: int) -> list[str]:
    """Return words as lines of at most this many columns; one empty line if there are no words."""
    room = max(width, 2)
    lines, line = [], ""
    for word in words.split():
        joined = f"{line} {word}" if line else word
        if columns(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
        *pieces, line = _pieces(word, room)
        lines += pieces
    return [*lines, line] if line or not lines else lines


def _pieces(word: str, room: int) -> list[str]:
    """Return a word in pieces that each fit; one piece unless it is longer than a line."""
    found = []
    while columns(word) > room:
        end, sign, used = 0, 0, 0
        for character in word:
            used += columns(character)
            if used > room:
                break
            end += 1
            if character in _SIGNS:
                sign = end
        cut = sign or max(end, 1)
        found.append(word[:cut])
        word = word[cut:]
    return [*found, word]


def shortened(ids: Iterable[str]) -> Mapping[str, str]:
    """Return for each id its beginning: 12 characters, or as many as tell it from all the others here."""
    every = sorted(set(ids))
    needed = dict.fromkeys(every, SHORT)
    for before, after in pairwise(every):
        alike = _alike(before, after) + 1
        needed[before] = max(needed[before], alike)
        needed[after] = max(needed[after], alike)
    return {one: one[: needed[one]] for one in every}


def _alike(one: str, other: str) -> int:
    """Return how many characters two words have in common at their beginning."""
    for at, (here, there) in enumerate(zip(one, other, strict=False)):
        if here != there:
            return at
    return min(len(one), len(other))
