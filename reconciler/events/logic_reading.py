"""Reads the files of a Logic Table: ``types.csv`` and ``messages.LOCALE.csv``.

Owns: what each column may hold, what the files must not say together, and every fault with its line and column.
Must not: touch a disk, or let an exception escape for any bytes. The table is one failure domain: with any fault there
is none.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from urllib.parse import urlsplit

from reconciler.core.errors import Fault, quoted
from reconciler.core.text import listing
from reconciler.desired import digest, foreign
from reconciler.desired.checks import TYPES, one_of
from reconciler.desired.ids import LONGEST
from reconciler.events import placeholders
from reconciler.events.logic import ANY, LG_PREFIX, LogicTable, TypeRow, plain_type
from reconciler.events.model import Category, Words
from reconciler.events.sheets import Cell, Notes, Row, read_sheet

TYPES_FILE = "types.csv"
MESSAGES_FILE = re.compile(r"messages\.(?P<locale>.{1,40})\.csv")
LARGEST_TABLE = 32 * 1024 * 1024
"""Bytes of all files of a table together."""
MOST_DEVICE_TYPES = 100
MOST_IN_A_CELL = 20
"""Faults of one kind that are looked for in one cell."""
LONGEST_SHORT_MESSAGE = 1000
"""Characters."""

TYPE_COLUMNS = ("diagnosis_type", "category")
MORE_TYPE_COLUMNS = ("device_types", "severity", "note")
MESSAGE_COLUMNS = ("diagnosis_type", "short_message")
MORE_MESSAGE_COLUMNS = ("device_type", "full_instruction", "instruction_url")
_CATEGORIES = tuple(category.value for category in Category)
_DEVICE_TYPES = tuple(dict.fromkeys(TYPES.values()))
_LG_TYPE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters that a text of several lines must not have either."""
_FORMULAS = "=+-@"
_LISTED = 5


@dataclass(frozen=True, slots=True)
class LogicReading:
    """What one reading of a table came to. ``table`` is None where there is any fault."""

    table: LogicTable | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Messages:
    """The messages of one locale, and the cell that each type is first named in."""

    notes: Notes
    words: Mapping[str, Mapping[str, Words]]
    named: Mapping[tuple[str, str], Cell]


def is_table_file(name: str) -> bool:
    """Return whether a file of this name may belong to a table."""
    return name == TYPES_FILE or MESSAGES_FILE.fullmatch(name) is not None


def _in(folder: str, name: str) -> str:
    """Return the path of a file of the table, as faults name it."""
    return posixpath.normpath(posixpath.join(folder, name))


def messages_file(locale: str) -> str:
    """Return the name of the file that has the messages of a locale."""
    return f"messages.{locale}.csv"


def read_logic(
    folder: str,
    files: Mapping[str, bytes],
    locales: Sequence[str] | None,
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> LogicReading:
    """Return the table that the files of a folder are, or every fault in them.

    ``files`` are by their names in the folder, ``unreadable`` says why others could not be read. ``locales`` are those
    that the table must have; None: those that it has.
    """
    wanted = _wanted(files, locales)
    faults = [Fault(_in(folder, name), 0, 0, why) for name, why in unreadable.items()]
    absent = [name for name in wanted if name not in files and name not in unreadable]
    faults += [Fault(_in(folder, name), 0, 0, "there is no such file") for name in absent]
    used = {name: files[name] for name in wanted if name in files}
    if sum(map(len, used.values())) > LARGEST_TABLE:
        words = (
            f"the files of this table are larger than {LARGEST_TABLE // 1024 // 1024} MB together"
        )
        return LogicReading(None, (Fault(folder, 0, 0, words),))
    notes = Notes(_in(folder, TYPES_FILE))
    types = _types(used.get(TYPES_FILE), notes)
    messages: dict[str, _Messages] = {}
    for name in wanted[1:]:
        if name in used:
            locale = name.split(".", 1)[1].removesuffix(".csv")
            messages[locale] = _messages(_in(folder, name), used[name])
    if TYPES_FILE in used and not notes.cut:
        for one in messages.values():
            _compare(one, types)
    return _reading(used, types, notes, messages, (faults, _unused(folder, files, wanted)))


def _wanted(files: Collection[str], locales: Sequence[str] | None) -> list[str]:
    """Return the names of the files that make the table, ``types.csv`` first."""
    if locales is not None:
        return [TYPES_FILE, *map(messages_file, locales)]
    return [TYPES_FILE, *sorted(name for name in files if MESSAGES_FILE.fullmatch(name))]


def _unused(folder: str, files: Collection[str], wanted: Collection[str]) -> list[Fault]:
    """Return a warning for each file of messages that no locale asks for."""
    warnings = []
    for name in sorted(files):
        match = MESSAGES_FILE.fullmatch(name)
        if match is not None and name not in wanted:
            words = f"is not used: locales does not list {quoted(match['locale'])!r}"
            warnings.append(Fault(_in(folder, name), 0, 0, words))
    return warnings


def _reading(
    used: Mapping[str, bytes],
    types: Mapping[str, Mapping[str, TypeRow]],
    notes: Notes,
    messages: Mapping[str, _Messages],
    outside: tuple[Sequence[Fault], Sequence[Fault]],
) -> LogicReading:
    """Put together what was found. ``outside`` are faults and warnings about whole files."""
    faults, warnings = [*outside[0], *notes.every_fault()], [*outside[1], *notes.warnings]
    for one in messages.values():
        if not faults:
            _lacking(one, types)
        faults += one.notes.every_fault()
        warnings += one.notes.warnings
    table = None
    if not faults:
        words = {locale: one.words for locale, one in messages.items()}
        table = LogicTable(digest(used), types, MappingProxyType(words))
    return LogicReading(table, tuple(sorted(faults)), tuple(sorted(warnings)))


def _types(content: bytes | None, notes: Notes) -> Mapping[str, Mapping[str, TypeRow]]:
    """Return what ``types.csv`` says."""
    types: dict[str, dict[str, TypeRow]] = {}
    first: dict[tuple[str, str], Cell] = {}
    if content is None:
        return types
    for row in read_sheet(content, TYPE_COLUMNS, MORE_TYPE_COLUMNS, notes):
        diagnosis = _diagnosis(row, notes)
        category = _category(row, notes)
        severity = _one_line(row["severity"], notes, LONGEST)
        for device_type in _device_types(row["device_types"], notes):
            if diagnosis and _is_first(diagnosis, device_type, row, first, notes):
                # A wrong category is reported already. With some category in its place the messages are no faults too.
                found = TypeRow(category or Category.MALFUNCTION, severity or None)
                types.setdefault(diagnosis, {})[device_type] = found
    return types


def _messages(path: str, content: bytes) -> _Messages:
    """Return what one file of messages says."""
    notes = Notes(path)
    words: dict[str, dict[str, Words]] = {}
    first: dict[tuple[str, str], Cell] = {}
    for row in read_sheet(content, MESSAGE_COLUMNS, MORE_MESSAGE_COLUMNS, notes):
        diagnosis = _diagnosis(row, notes)
        device_types = _device_types(row["device_type"], notes)
        if len(row["device_type"].text.split()) > 1:
            one_only = "name one type of device, or leave the cell empty for any"
            notes.fault(_at(row["device_type"]), one_only)
        found = Words(
            short=_short(row, notes),
            full=_text(row["full_instruction"], notes),
            url=_address(row["instruction_url"], notes),
        )
        for device_type in device_types[:1]:
            if diagnosis and _is_first(diagnosis, device_type, row, first, notes):
                words.setdefault(diagnosis, {})[device_type] = found
    return _Messages(notes, words, first)


def _compare(messages: _Messages, types: Mapping[str, Mapping[str, TypeRow]]) -> None:
    """Note each message that no event can ever lead to."""
    notes = messages.notes
    for (diagnosis, device_type), cell in messages.named.items():
        rows = types.get(diagnosis)
        if rows is None:
            near = notes.near(diagnosis, types)
            notes.fault(_at(cell), f"{TYPES_FILE} has no row of this type{near}")
        elif device_type != ANY and ANY not in rows and device_type not in rows:
            others = ", ".join(sorted(rows))
            notes.fault(_at(cell), f"{TYPES_FILE} has this type for {others} only")


def _lacking(messages: _Messages, types: Mapping[str, Mapping[str, TypeRow]]) -> None:
    """Note in one warning the types without a message in a locale."""
    lacking = sorted(types.keys() - messages.words.keys())
    if lacking:
        names = listing([quoted(name) for name in lacking], _LISTED)
        words = f"{len(lacking)} of {len(types)} types have no message here: {names}"
        messages.notes.warn((0, 0), words)


def _at(cell: Cell) -> tuple[int, int]:
    return cell.line, cell.column


def _is_first(
    diagnosis: str,
    device_type: str,
    row: Row,
    first: dict[tuple[str, str], Cell],
    notes: Notes,
) -> bool:
    """Remember where a key is first; note one that is there again."""
    key = (diagnosis, device_type)
    if key not in first:
        first[key] = row["diagnosis_type"]
        return True
    place = f"{notes.path}:{first[key].line}:{first[key].column}"
    for_type = f" for {device_type}" if device_type else ""
    words = f"this type is listed twice{for_type}, first at {place}"
    notes.fault(_at(row["diagnosis_type"]), words)
    return False


def _diagnosis(row: Row, notes: Notes) -> str:
    """Return the type that a row is of; empty with a fault noted."""
    cell = row["diagnosis_type"]
    name = cell.text
    if name[:1] == "'" and name[1:2] in _FORMULAS and len(name) > 1:
        name = name[
            1:
        ]  # as `events unknown` writes it, so that no spreadsheet takes it for a formula
    if not name:
        if row.lacks("diagnosis_type"):
            notes.fault(_at(cell), "diagnosis_type is empty")
    elif foreign.EXPONENT.fullmatch(name):
        words = (
            "is a number that a spreadsheet rounded: the type is lost; format the column as text"
        )
        notes.fault(_at(cell), words)
    elif not name.isprintable() or len(name) > LONGEST:
        words = f"a diagnosis type is one line of at most {LONGEST} printable characters"
        notes.fault(_at(cell), words)
    else:
        return name
    return ""


def _category(row: Row, notes: Notes) -> Category | None:
    """Return the category that a cell names, also as LG writes it: ``Part Inquiry``."""
    cell = row["category"]
    word = "_".join(cell.text.lower().replace("-", " ").split())
    if word in _CATEGORIES:
        return Category(word)
    if row.lacks("category"):
        notes.fault(_at(cell), f"category is empty: it must be {one_of(_CATEGORIES)}")
    elif word:
        near = notes.near(word, _CATEGORIES)
        notes.fault(_at(cell), f"unknown category: it must be {one_of(_CATEGORIES)}{near}")
    return None


def _device_types(cell: Cell, notes: Notes) -> list[str]:
    """Return the types of device that a cell names, each once; ``ANY`` for an empty one, and beside a fault.

    A word that is wrong is one fault, and no message is a second one because of it.
    """
    if not cell.text:
        return [ANY]
    found: dict[str, None] = {}
    for match in islice(re.finditer(r"\S+", cell.text), MOST_DEVICE_TYPES + 1):
        if len(found) >= MOST_DEVICE_TYPES or notes.is_full:
            notes.fault(_at(cell), f"has more than {MOST_DEVICE_TYPES} types of device")
            return [ANY]
        word = match.group()
        if word in TYPES:
            found[TYPES[word]] = None
            continue
        place, near = cell.place(match.start()), notes.near(_meant(word), _DEVICE_TYPES)
        if _LG_TYPE.fullmatch(word):
            found[plain_type(word)] = None
            notes.warn(place, f"LG documents no such type of device{near}")
            continue
        found[ANY] = None
        apart = "," in word or ";" in word
        notes.fault(
            place,
            "types of device are separated by spaces" if apart else f"is no type of device{near}",
        )
    return [*found]


def _meant(word: str) -> str:
    return word.lower().removeprefix(LG_PREFIX.lower())


def _one_line(cell: Cell, notes: Notes, longest: int) -> str:
    if _CONTROL.search(cell.text) or len(cell.text) > longest:
        notes.fault(_at(cell), f"must be one line of at most {longest} characters")
    return cell.text


def _short(row: Row, notes: Notes) -> str:
    """Return a short message: one line, which is not empty."""
    cell = row["short_message"]
    if row.lacks("short_message"):
        notes.fault(_at(cell), "short_message is empty")
    _one_line(cell, notes, LONGEST_SHORT_MESSAGE)
    _check_placeholders(cell, notes)
    return cell.text


def _text(cell: Cell, notes: Notes) -> str:
    """Return a text, which may have several lines."""
    for match in islice(_STRANGE.finditer(cell.text), MOST_IN_A_CELL):
        if not notes.is_full:
            words = f"there is a control character (U+{ord(match.group()):04X}) here: remove it"
            notes.fault(cell.place(match.start()), words)
    _check_placeholders(cell, notes)
    return cell.text.replace("\r\n", "\n").replace("\r", "\n")


def _address(cell: Cell, notes: Notes) -> str:
    """Return an address: http or https, or one that begins with LG's own."""
    text = cell.text
    if not text:
        return ""
    _check_placeholders(cell, notes)
    if not text.startswith("{content_url}") and not _is_address(text):
        words = "is not an address like https://host/path, nor does it begin with {content_url}"
        notes.fault(_at(cell), words)
    return text


def _is_address(text: str) -> bool:
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in {"https", "http"} and bool(host) and "{" not in parts.netloc


def _check_placeholders(cell: Cell, notes: Notes) -> None:
    """Note each brace that begins no placeholder."""
    if "{" not in cell.text or notes.is_full:
        return
    for offset, name in islice(placeholders.wrong(cell.text), MOST_IN_A_CELL):
        notes.fault(cell.place(offset), _wrong_placeholder(name, notes))
    for offset, name in islice(placeholders.doubled(cell.text), MOST_IN_A_CELL):
        words = f"this is shown as {{{name}}}: for the value write it with single braces"
        notes.warn(cell.place(offset), words)


def _wrong_placeholder(name: str | None, notes: Notes) -> str:
    """Return what is wrong with a brace. ``name`` is what is in it, None where it is not closed."""
    if name is None:
        return "this brace begins no placeholder: for a brace write {{"
    if name.strip() in placeholders.NAMES:
        return f"write {{{name.strip()}}} without white space"
    near = notes.near(name.strip().lower(), placeholders.NAMES)
    return f"unknown placeholder {{{quoted(name)}}}{near}"
