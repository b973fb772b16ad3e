"""Tables for a terminal.

Owns: which columns are left out where there is no room, and how the room is shared among the others.
Must not: know what is in a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.core.text import one_line
from reconciler.reporting.formats.screen import Screen, columns, fold

Row = Sequence[str]
LONGEST_WORD = 20
"""A column of words is at least as wide as its longest word, but needs no more than this."""
ROOMY = 16
"""Nor is it narrower than this unless all its cells are: one word on each line is hard to read."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    ``drop``: where there is no room, the column with the greatest number goes first; one with 0 stays. ``words``: its
    cells are words, which may be continued on the next line. ``zero``: a cell that says as little as an empty one.
    ``gap``: the columns after it.
    """

    title: str
    drop: int = 0
    words: bool = False
    zero: str = ""
    gap: int = 2


@dataclass(frozen=True, slots=True)
class _Shown:
    """A column with its cells, how wide they are, and how wide it has to be at least."""

    column: Column
    cells: tuple[str, ...]
    widest: int
    least: int


def table(
    head: Sequence[Column],
    rows: Iterable[Row],
    screen: Screen,
    *,
    indent: int = 0,
    titled: bool = True,
) -> list[str]:
    """Return rows under their titles as lines; a column that says nothing throughout is left out."""
    every = [tuple(one_line(cell) for cell in row) for row in rows]
    if not every:
        return []
    found = []
    for column, cells in zip(head, zip(*every, strict=True), strict=True):
        if any(cell not in {"", column.zero} for cell in cells):
            found.append(_measured(column, cells, titled=titled))
    if not screen.wide:
        found = _fitting(found, screen.width - indent)
    widths = [one.widest for one in found]
    if screen.folds and not screen.wide:
        widths = _shared(found, screen.width - indent)
    gaps = [one.column.gap for one in found]
    titles = [tuple(one.column.title for one in found)] if titled else []
    margin = " " * indent
    lines = []
    for row in (*titles, *zip(*(one.cells for one in found), strict=True)):
        lines += [margin + line for line in _row(row, widths, gaps)]
    return lines


def _measured(column: Column, cells: tuple[str, ...], *, titled: bool) -> _Shown:
    head = (column.title,) if titled else ()
    widest = max(map(columns, (*head, *cells)))
    if not column.words:
        return _Shown(column, cells, widest, widest)
    longest = 0
    for cell in (*head, *cells):
        longest = max(longest, *map(columns, cell.split()), 0)
    least = max(min(longest, LONGEST_WORD), min(widest, ROOMY))
    return _Shown(column, cells, widest, least)


def _fitting(found: Sequence[_Shown], width: int) -> list[_Shown]:
    """Return the columns that have room, each as narrow as it can be."""
    kept = list(found)
    while _total(kept, [one.least for one in kept]) > width:
        goes = max(kept, key=_dropped, default=None)
        if goes is None or goes.column.drop == 0:
            break
        kept.remove(goes)
    return kept


def _dropped(one: _Shown) -> int:
    return one.column.drop


def _total(found: Sequence[_Shown], widths: Sequence[int]) -> int:
    return sum(widths) + sum(one.column.gap for one in found[:-1])


def _shared(found: Sequence[_Shown], width: int) -> list[int]:
    """Return the widths of columns: none wider than its cells, and the narrow ones grow first."""
    widths = [one.least for one in found]
    while _total(found, widths) < width:
        short = [at for at, one in enumerate(found) if widths[at] < one.widest]
        if not short:
            break
        narrowest = min(short, key=widths.__getitem__)
        widths[narrowest] += 1
    return widths


def _row(cells: Sequence[str], widths: Sequence[int], gaps: Sequence[int]) -> list[str]:
    """Return one row as a line, or as several where a cell has more words than room."""
    parts = []
    for cell, width in zip(cells, widths, strict=True):
        parts.append([cell] if columns(cell) <= width else fold(cell, width))
    lines = []
    for at in range(max(map(len, parts), default=0)):
        line = [part[at] if at < len(part) else "" for part in parts]
        lines.append(_line(line, widths, gaps))
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], gaps: Sequence[int]) -> str:
    line = ""
    for cell, width, gap in zip(cells, widths, gaps, strict=True):
        line += cell + " " * (width - columns(cell) + gap)
    return line.rstrip()
