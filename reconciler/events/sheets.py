"""CSV as RFC 4180 has it, with the place of every cell, and the mistakes that spreadsheets make in it.

Owns: bytes to rows of cells, columns by name, and every fault of the form. Must not: know what a column means, touch a
disk, or let an exception escape for any bytes. Every step takes time in proportion to the length of the file.

Lines and columns count from 1, as in an editor; a line may end in CR LF, in LF or in CR.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from reconciler.core.errors import Fault, quoted, suggestion
from reconciler.desired import foreign
from reconciler.desired.diagnostics import byte_place

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest file of a table."""
MOST_ROWS, MOST_CELLS = 50_000, 100
LONGEST_CELL = 20_000
"""Characters."""
SHOWN = 1000
"""How many faults of one file are shown; the rest is a number."""
SUGGESTED = 100
"""For this number of faults of one file a guess is made at what was meant: that takes longer than all else."""

_QUOTED = re.compile(r'"(?:[^"]++|"")*+"')
_PLAIN = re.compile(r"[^,\r\n]*+")
_NEWLINE = re.compile(r"\r\n|\r|\n")
_TOKEN = re.compile(r'("(?:[^"]++|"")*+"|[^,"\r\n]*+)[ \t]*+(?=[,\r\n]|\Z)')
"""A cell in which nothing is odd, and what is between it and the next."""
_BLANK_LINES = re.compile(r"(?:[ \t]*+(?:\r\n|\r|\n))++")
_NULL = b"\0"
_MARK = "\ufeff"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHER_MARKS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_ERRORS = frozenset(
    ("#REF!", "#N/A", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!")
)
"""What a spreadsheet writes where a formula failed."""


class Cell(NamedTuple):
    """One cell and where it begins. ``raw`` is what the file has, with quotes; ``text`` what it means, trimmed."""

    text: str
    raw: str
    line: int
    column: int

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character of ``text``."""
        before = self._before(offset)
        newlines = list(_NEWLINE.finditer(before))
        if not newlines:
            return self.line, self.column + len(before)
        return self.line + len(newlines), len(before) - newlines[-1].end() + 1

    def _before(self, offset: int) -> str:
        """Return what of ``raw`` comes before a character of ``text``."""
        is_quoted = self.raw.startswith('"')
        inside = self.raw[1:] if is_quoted else self.raw
        at = len(inside) - len(inside.lstrip()) + offset
        if not is_quoted:
            return self.raw[:at]
        doubled = self.text.count('"', 0, offset)
        return self.raw[: 1 + at + doubled]


@dataclass(frozen=True, slots=True)
class Row:
    """One row that is not empty: its cells by the name of their column. A cell that is left out is empty."""

    line: int
    cells: Mapping[str, Cell]
    columns: Collection[str]
    """What the header has."""

    def __getitem__(self, column: str) -> Cell:
        return self.cells.get(column) or Cell("", "", self.line, 1)

    def lacks(self, column: str) -> bool:
        """Return whether a cell is empty that the row has. Of a column that is not there the header has the fault."""
        return column in self.columns and not self[column].text


@dataclass(slots=True)
class Notes:
    """The faults and warnings of one file, of which no more are kept than are shown.

    ``cut``: not all of the file could be read, so what seems to be missing may be there.
    """

    path: str
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    unshown: int = 0
    cut: bool = False

    def fault(self, place: tuple[int, int], message: str) -> None:
        """Note a fault at a line and column."""
        if self.is_full:
            self.unshown += 1
        else:
            self.faults.append(Fault(self.path, *place, message))

    @property
    def is_full(self) -> bool:
        """Whether no further fault is shown, so that its place need not be found."""
        return len(self.faults) >= SHOWN

    def stop(self, place: tuple[int, int], message: str) -> None:
        """Note a fault that what follows it is not read for."""
        self.fault(place, message)
        self.cut = True

    def warn(self, place: tuple[int, int], message: str) -> None:
        """Note a warning."""
        if len(self.warnings) < SHOWN:
            self.warnings.append(Fault(self.path, *place, message))

    def near(self, word: str, known: Iterable[str]) -> str:
        """Return a guess at what was meant, unless there are very many faults."""
        return suggestion(word, known) if len(self.faults) < SUGGESTED else ""

    def every_fault(self) -> tuple[Fault, ...]:
        """Return the faults, sorted, and of very many the number of the rest."""
        rest = f"{self.unshown} more like these are not shown"
        more = [Fault(self.path, 0, 0, rest)] if self.unshown else []
        return tuple(sorted([*more, *self.faults]))


def read_sheet(
    content: bytes, needed: Sequence[str], allowed: Sequence[str], notes: Notes
) -> tuple[Row, ...]:
    """Return the rows of a file that are not empty; what is wrong is noted.

    ``needed`` columns must be in the header, ``allowed`` ones may be. Rows of a file whose header is wrong are looked
    at as far as their columns are known.
    """
    text = _decoded(content, notes)
    if text is None:
        return ()
    rows = _rows(text, notes)
    header = next(rows, None)
    columns = _columns(header, needed, allowed, notes) if header else []
    if header is None:
        words = f"there is no header: the first line must be {','.join((*needed, *allowed))}"
        notes.stop((1, 1), words)
    return tuple(_named(rows, columns, notes))


def _decoded(content: bytes, notes: Notes) -> str | None:
    """Return the text of a file, or None with a fault noted."""
    if len(content) > LARGEST:
        notes.stop((0, 0), f"is larger than {LARGEST // 1024 // 1024} MB")
        return None
    what = _other_format(content)
    if what is not None:
        notes.stop((1, 1), what)
        return None
    offset, wrong = _damage(content)
    if wrong:
        where = byte_place(notes.path, content, offset)
        notes.stop((where.line, where.column), wrong)
        return None
    text = content.decode().removeprefix(_MARK)
    first = _NEWLINE.split(text.lstrip(), maxsplit=1)[0]
    if first.lower().startswith("sep="):
        notes.stop((1, 1), "remove this line: the header must be the first one")
        return None
    mark = next((mark for mark in _OTHER_MARKS if mark in first), "")
    if mark and "," not in first:
        words = f"the cells are separated by {_OTHER_MARKS[mark]}, not by commas: save it as CSV with commas"
        notes.stop((1, first.index(mark) + 1), words)
        return None
    return text


def _other_format(content: bytes) -> str | None:
    """Return what a file is if it is known for something else than CSV in UTF-8."""
    if content.startswith((b"PK\3\4", _OLD_EXCEL)):
        return "this file is a spreadsheet or a ZIP archive, not CSV: save it as CSV UTF-8"
    what = foreign.whole(content)
    return None if what is None else f"this file {what}"


def _damage(content: bytes) -> tuple[int, str]:
    """Return the byte from which a file cannot be read, and why; no words where it can."""
    if _NULL in content:
        return content.index(_NULL), "has a null byte here, so it is damaged"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.start, "is not UTF-8: save it as CSV UTF-8, not as plain CSV"
    conflict = foreign.conflict(content)
    if conflict >= 0:
        return conflict, "an unresolved merge conflict begins here: resolve it"
    return 0, ""


def _rows(text: str, notes: Notes) -> Iterator[list[Cell]]:
    """Take a text apart: the cells of each row that is not empty."""
    at, line, count = 0, 1, 0
    while at < len(text):
        blank = _BLANK_LINES.match(text, at)
        if blank is not None:
            line += _newlines(text, at, blank.end())
            at = blank.end()
            continue
        row, at, after = _row(text, at, line, notes)
        if row is None:
            return
        count += 1
        if count > MOST_ROWS + 1:
            notes.stop((line, 1), f"there are more than {MOST_ROWS} rows")
            return
        line = after
        if any(cell.text for cell in row):
            yield row


def _row(text: str, at: int, line: int, notes: Notes) -> tuple[list[Cell] | None, int, int]:
    """Read one row; return its cells, where the next one begins, and its line. None where it never ends."""
    row: list[Cell] = []
    start = at
    while True:
        token = _TOKEN.match(text, at)
        if token is None:
            cell, end = _odd_cell(text, at, (line, at - start + 1), notes)
        else:
            cell, end = _plain_cell(token, line, at - start + 1), token.end(1)
        if cell is None:
            return None, len(text), line
        row.append(cell)
        if "\n" in cell.raw or "\r" in cell.raw:
            line += _newlines(text, at, end)
            start = max(text.rfind("\n", at, end), text.rfind("\r", at, end)) + 1
        if not text.startswith(",", end):
            newline = _NEWLINE.match(text, end)
            return row, newline.end() if newline else end, line + 1
        if len(row) >= MOST_CELLS:
            notes.stop((line, end - start + 1), f"this row has more than {MOST_CELLS} cells")
            return None, len(text), line
        at = end + 1


def _newlines(text: str, start: int, end: int) -> int:
    """Return the number of ends of lines in a part of a text."""
    returns = text.count("\r", start, end) - text.count("\r\n", start, end)
    return text.count("\n", start, end) + returns


def _plain_cell(token: re.Match[str], line: int, column: int) -> Cell:
    """Return a cell in which nothing is odd."""
    raw = token[1]
    if not raw.startswith('"'):
        return Cell(raw.strip(), raw, line, column)
    inside = raw[1:-1]
    if '"' in inside:
        inside = inside.replace('""', '"')
    return Cell(inside.strip(), raw, line, column)


def _odd_cell(text: str, at: int, place: tuple[int, int], notes: Notes) -> tuple[Cell | None, int]:
    """Read a cell in which quotes are wrong; return it and where it ends. None where it never ends."""
    if not text.startswith('"', at):
        match = _PLAIN.match(text, at)
        raw = match.group() if match else ""
        words = "a cell with a quote must be in quotes itself, and the quote inside is doubled"
        notes.fault((place[0], place[1] + raw.index('"')), words)
        return Cell(raw.strip(), raw, *place), at + len(raw)
    match = _QUOTED.match(text, at)
    if match is None:
        notes.stop(place, "the quote that begins here is never closed; what follows was not read")
        return None, len(text)
    words = "there is text behind the closing quote of this cell: a quote inside a cell is doubled"
    notes.fault(place, words)
    raw = match.group()
    rest = _PLAIN.match(text, match.end())
    end = match.end() if rest is None else rest.end()
    return Cell(raw[1:-1].replace('""', '"').strip(), raw, *place), end


def _columns(
    header: Sequence[Cell], needed: Sequence[str], allowed: Sequence[str], notes: Notes
) -> list[str]:
    """Return the name of each column, as far as it is known; an unknown one is empty."""
    known = (*needed, *allowed)
    columns: list[str] = []
    for cell in header:
        name = "_".join(cell.text.lower().split())
        place = (cell.line, cell.column)
        if name in columns and name:
            notes.fault(place, f"the column {name} is there twice")
            name = ""
        elif name and name not in known:
            missing = [one for one in known if one not in columns]
            near = notes.near(name, missing)
            notes.fault(place, f"unknown column {quoted(cell.text)!r}{near}")
            name = ""
        columns.append(name)
    for name in needed:
        if name not in columns:
            notes.stop((header[0].line, 1), f"the column {name} is missing")
    return columns


def _named(rows: Iterator[list[Cell]], columns: Sequence[str], notes: Notes) -> Iterator[Row]:
    """Give cells the names of their columns, and note what is wrong with any cell."""
    for cells in rows:
        spare = next((cell for cell in cells[len(columns) :] if cell.text), None)
        if spare is not None:
            words = (
                f"this row has a cell more than the header has columns, which are {len(columns)}: "
                "a text with a comma must be in quotes"
            )
            notes.fault((spare.line, spare.column), words)
        named = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
        for cell in named.values():
            _check(cell, notes)
        yield Row(cells[0].line, named, columns)


def _check(cell: Cell, notes: Notes) -> None:
    """Note what no cell of any table may hold."""
    if len(cell.text) > LONGEST_CELL:
        notes.fault((cell.line, cell.column), f"is longer than {LONGEST_CELL} characters")
    if cell.text in _ERRORS:
        words = f"a formula failed here: the spreadsheet wrote {cell.text} in place of a value"
        notes.fault((cell.line, cell.column), words)
