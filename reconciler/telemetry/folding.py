"""Log lines on a terminal: continued on the next row between facts, not inside a word.

Owns: how wide a terminal is, and where a line is broken, whatever its colours are.
Must not: be used for a file or another program, where a line is a line.
"""

from __future__ import annotations

import os
import re
from typing import TextIO
from unicodedata import east_asian_width

INDENT = " " * 4
"""Before what is continued."""
NARROWEST = 40
"""On a terminal that is not even this wide lines are left to it."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def folded(line: str, stream: TextIO) -> str:
    """Return a line for a terminal; what follows its first row, such as a traceback, stays as it is."""
    width = _width(stream)
    first, newline, rest = line.partition("\n")
    if width < NARROWEST or columns(first) <= width:
        return line
    return "\n".join(_rows(first, width)) + newline + rest


def columns(words: str) -> int:
    """Return how many columns words take; colours take none."""
    plain = _COLOUR.sub("", words)
    if plain.isascii():
        return len(plain)
    return sum(2 if east_asian_width(one) in {"W", "F"} else 1 for one in plain)


def _rows(line: str, width: int) -> list[str]:
    rows, row, used = [], "", 0
    for word in re.findall(r" *[^ ]+", line):
        room = columns(word)
        if row and used + room > width:
            rows.append(row)
            row = INDENT + word.lstrip(" ")
            used = columns(row)
            continue
        row += word
        used += room
    return [*rows, row]


def _width(stream: TextIO) -> int:
    """Return how many columns a terminal has; 0 where it is none, or does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return 0
