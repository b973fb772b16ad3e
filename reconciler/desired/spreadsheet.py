"""A list of devices from a spreadsheet: the ids and names of two columns of a CSV file.

Owns: how the columns are found, and every fault of a row. Must not: repair an id, choose between two rows, or leave out
a row without a reason: whoever imports has to see what is not as it should be.

Faults have the row and the column as a spreadsheet counts them, from 1. A row may be several lines of the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reconciler.core.errors import Fault, quoted, suggestion
from reconciler.core.model import DeviceId
from reconciler.desired.decoding import NotDecodedError, decoded
from reconciler.desired.device_files import says_protected
from reconciler.desired.ids import wrong_id
from reconciler.desired.writer import dump_device_file

SEPARATORS = {";": "semicolon", "\t": "tab", ",": "comma"}
"""What separates two cells, and its name. Excel writes a semicolon where numbers have a decimal comma."""
SHOWN = 12
"""A fault names at most this many columns."""
_FIRST_LINE = re.compile(r"""sep=(?P<separator>[;,\t])\r?\n""", re.IGNORECASE)
"""Excel writes this line before the head, and hides it."""
_ROUNDED = re.compile(r"[0-9]{15}0+")
"""A number of which a spreadsheet kept fifteen digits. LG's ids of digits alone are shorter or much longer."""
_LONGEST_ROUNDED = 30
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+[eE][+-]?[0-9]+")
_SPREADSHEET_ERROR = re.compile(r"#[A-Z/0]+[!?]?", re.IGNORECASE)
_LIKE_AN_ID = re.compile(r"(?=.*[0-9])[0-9a-fA-F-]{8,}")
ROUNDED = "was rounded by a spreadsheet, so the id is lost: export the column as text"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are wanted, each by its name in the head or by its number, and whether there is a head."""

    id: str
    name: str | None = None
    head: bool = True


@dataclass(frozen=True, slots=True)
class Imported:
    """What was found. ``empty`` counts rows without a word. With ``faults`` nothing may be used."""

    names: dict[DeviceId, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    empty: int = 0
    encoding: str = ""
    separator: str = ""

    @property
    def text(self) -> str:
        """Return the device file, sorted by id. Names are one line, and change nothing in it."""
        named = {device: name for device, name in self.names.items() if name}
        return dump_device_file(self.names, named)


class _Faulty(ValueError):
    """The file as a whole cannot be read."""

    def __init__(self, message: str, row: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.row, self.column = row, column


def imported(path: str, content: bytes, columns: Columns, encoding: str | None = None) -> Imported:
    """Return the devices of a CSV file, or every fault of it."""
    try:
        text, its = decoded(content, encoding)
    except NotDecodedError as error:
        return Imported(faults=(Fault(path, error.line, 1 if error.line else 0, str(error)),))
    try:
        separator, skipped = _separator(text, columns)
        rows = enumerate(_rows(text, separator), 1)
        for _ in range(skipped):
            next(rows)
        found = _Rows(path, columns, skipped)
        for number, cells in rows:
            found.take(number, cells)
        found.end()
    except _Faulty as error:
        return Imported(faults=(Fault(path, error.row, error.column, str(error)),))
    return Imported(found.names, tuple(found.faults), found.empty, its, SEPARATORS[separator])


def _separator(text: str, columns: Columns) -> tuple[str, int]:
    """Return what separates cells, and how many rows come before the head."""
    first = _FIRST_LINE.match(text)
    if first is not None:
        return first["separator"], 1
    heads = {separator: _first_row(text, separator) for separator in SEPARATORS}
    if columns.head:
        fitting = {one: head for one, head in heads.items() if _has_both(head, columns)}
        heads = fitting or heads
    widest = max(map(len, heads.values()))
    found = [separator for separator, head in heads.items() if len(head) == widest]
    if widest > 1 and len(found) > 1:
        names = " and ".join(SEPARATORS[one] for one in found)
        raise _Faulty(f"the head may be separated by {names}: use one of them", 1, 1)
    return found[-1], 0


def _first_row(text: str, separator: str) -> list[str]:
    """Return the first row by this separator, or none where its quotes do not pair so."""
    try:
        return next(_rows(text, separator), [])
    except _Faulty:
        return []


def _has_both(head: Sequence[str], columns: Columns) -> bool:
    wanted = (columns.id,) if columns.name is None else (columns.id, columns.name)
    return all(_places(head, one) for one in wanted)


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    """Yield the rows. Raises ``_Faulty`` where quotes do not pair."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _Faulty(
                f"the quotes of this row or of a row before it do not pair ({error})", number, 1
            ) from None
        yield cells


def _places(head: Sequence[str], column: str) -> list[int]:
    """Return the columns that a name or a number means, from 0. An exact name comes first."""
    wanted = column.strip()
    for same in (str.strip, lambda cell: cell.strip().casefold()):
        found = [place for place, cell in enumerate(head) if same(cell) == same(wanted)]
        if found:
            return found
    if wanted.isascii() and wanted.isdecimal() and 1 <= int(wanted) <= len(head):
        return [int(wanted) - 1]
    return []


class _Rows:
    """Takes the rows one by one."""

    def __init__(self, path: str, columns: Columns, skipped: int) -> None:
        self.names: dict[DeviceId, str] = {}
        self.faults: list[Fault] = []
        self.empty = 0
        self._path, self._columns, self._head_row = path, columns, skipped + 1
        self._first: dict[DeviceId, int] = {}
        self._width = self._id = 0
        self._name: int | None = None

    def take(self, row: int, cells: list[str]) -> None:
        """Take one row."""
        if row == self._head_row:
            self._begin(cells)
            if self._columns.head:
                return
        if not any(map(str.strip, cells)):
            self.empty += 1
        elif len(cells) > self._width:
            words = f"this row has {len(cells)} cells, and the head has {self._width}"
            self._fault(row, self._width, f"{words}: a separator inside a cell needs quotes")
        else:
            self._device(row, cells)

    def end(self) -> None:
        """Check that there was a device: a list without any would let all devices go."""
        if not self.names and not self.faults:
            raise _Faulty("no row has a device")

    def _begin(self, head: list[str]) -> None:
        self._width = len(head)
        self._id = self._place(head, self._columns.id)
        if self._columns.name is not None:
            self._name = self._place(head, self._columns.name)
        cell = head[self._id].strip()
        if self._columns.head and _LIKE_AN_ID.fullmatch(cell):
            words = "the head has what looks like a device id: give --no-head if the first row is a device"
            raise _Faulty(words, self._head_row, self._id + 1)

    def _place(self, head: list[str], column: str) -> int:
        found = _places(head if self._columns.head else [""] * len(head), column)
        if len(found) == 1:
            return found[0]
        shown = ", ".join(repr(quoted(cell)) for cell in head[:SHOWN])
        if found:
            words = f"{len(found)} columns are named {quoted(column)!r}: give the number of one"
        elif not self._columns.head:
            words = f"there is no column {quoted(column)!r}: without a head, columns have numbers from 1 to {len(head)}"
        else:
            words = f"there is no column {quoted(column)!r}{suggestion(column, head)}; there are {shown}"
        raise _Faulty(words, self._head_row, 1)

    def _device(self, row: int, cells: list[str]) -> None:
        cell = cells[self._id] if self._id < len(cells) else ""
        wrong = _wrong(cell)
        if wrong is not None:
            self._fault(row, self._id, wrong)
            return
        device = DeviceId(cell)
        if device in self._first:
            self._fault(row, self._id, f"this id is in row {self._first[device]}, too")
            return
        self._first[device] = row
        name = cells[self._name] if self._name is not None and self._name < len(cells) else ""
        if says_protected(name):
            words = "this name looks like a setting of the device file (protected = …): change it"
            self._fault(row, self._name or 0, words)
            return
        self.names[device] = " ".join(name.split())

    def _fault(self, row: int, column: int, message: str) -> None:
        self.faults.append(Fault(self._path, row, column + 1, message))


def _wrong(cell: str) -> str | None:
    """Return why a cell is no id, or None. Nothing is repaired: a cell that is nearly an id may be another one."""
    bare = cell.strip()
    if not bare:
        wrong: str | None = "the id is empty"
    elif bare != cell:
        wrong = "the id begins or ends with a blank"
    elif _DECIMAL_COMMA.fullmatch(cell):
        wrong = f"this number {ROUNDED}"
    elif _ROUNDED.fullmatch(cell) and len(cell) <= _LONGEST_ROUNDED:
        wrong = f"this number has zeros after fifteen digits: it {ROUNDED}"
    elif _SPREADSHEET_ERROR.fullmatch(cell):
        wrong = "this is an error of the spreadsheet, not an id"
    else:
        found = wrong_id(cell)
        wrong = None if found is None else f"this is no device id: {_subject(found)}"
    return wrong


def _subject(words: str) -> str:
    return words if words.startswith("an id") else f"it {words}"
