"""The partner's Logic Table: what it says, and every mistake that a spreadsheet makes in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.events.logic import LogicInForce, LogicTable
from reconciler.events.logic_reading import (
    LONGEST_SHORT_MESSAGE,
    LogicReading,
    messages_file,
    read_logic,
)
from reconciler.events.model import Category, Diagnosis, Words
from reconciler.events.placeholders import NAMES, fill
from reconciler.events.sheets import LARGEST, LONGEST_CELL, MOST_CELLS, MOST_ROWS, SHOWN

TYPES = """\
diagnosis_type,category,device_types,severity,note
DRAIN_SLOW,malfunction,washer dish_washer,high,ask the plumber
DOOR_OPEN,Misuse,,,
FILTER,maintenance,DEVICE_REFRIGERATOR,low,
FILTER,part-inquiry,,,
"""
KOREAN = """\
diagnosis_type,device_type,short_message,full_instruction,instruction_url
DRAIN_SLOW,,배수가 느립니다: {device_name},"호스를 확인하세요.
다시 시작하세요.",https://help.example.com/{device_type}
DRAIN_SLOW,dish_washer,식기세척기 배수,,
DOOR_OPEN,,문을 닫으세요,,{content_url}
FILTER,,필터,,
"""
ENGLISH = """\
short_message,diagnosis_type
"It drains slowly, ""{device_name}"" does",DRAIN_SLOW
"""
NO_ADDRESS = "is not an address like https://host/path, nor does it begin with {content_url}"
UTF_16 = (
    "this file is UTF-16, as some editors and spreadsheets save it, not UTF-8: save it as UTF-8"
)
COMMAS = "not by commas: save it as CSV with commas"
NO_HEADER = (
    "there is no header: the first line must be diagnosis_type,category,device_types,severity,note"
)
KOREAN_EXCEL = "is not UTF-8: save it as CSV UTF-8, not as plain CSV"
ZIP = "this file is a spreadsheet or a ZIP archive, not CSV: save it as CSV UTF-8"
LFS = (
    "this file is a Git LFS pointer, not the file itself: run git lfs pull where it is checked out"
)
BEHIND = "there is text behind the closing quote of this cell: a quote inside a cell is doubled"
SPARE = "this row has a cell more than the header has columns, which are 4: a text with a comma must be in quotes"
KINDS = "installation, misuse, malfunction, maintenance or part_inquiry"


def read(files: Mapping[str, str | bytes], locales: Sequence[str] | None = None) -> LogicReading:
    """Read a table from texts in the folder ``logic``."""
    contents = {
        name: text.encode() if isinstance(text, str) else text for name, text in files.items()
    }
    return read_logic("logic", contents, locales)


def table() -> LogicTable:
    """Return the table of these tests."""
    reading = read({"types.csv": TYPES, "messages.ko.csv": KOREAN, "messages.en.csv": ENGLISH})
    assert reading.faults == ()
    assert reading.table is not None
    return reading.table


def faults(types: str | bytes, **messages: str | bytes) -> list[str]:
    """Return the faults of a table, as they are printed."""
    files = {"types.csv": types, **{messages_file(one): text for one, text in messages.items()}}
    return [str(fault).removeprefix("logic/") for fault in read(files).faults]


def types_with(row: str) -> str:
    """Return types of which the second is this row."""
    return f"diagnosis_type,category,device_types,severity\nA,misuse,,\n{row}\n"


def messages_with(row: str) -> str:
    """Return messages of which the only one is this row of type A."""
    return f"diagnosis_type,device_type,short_message,full_instruction,instruction_url\nA,{row}\n"


def test_a_type_has_its_category_severity_and_words() -> None:
    """The words come in every locale that has some, with lines and quotes as they were meant."""
    assert table().diagnosis("DRAIN_SLOW", "DEVICE_WASHER") == Diagnosis(
        type="DRAIN_SLOW",
        matched=True,
        category="malfunction",
        severity="high",
        words={
            "en": Words('It drains slowly, "{device_name}" does', ""),
            "ko": Words(
                "배수가 느립니다: {device_name}",
                "호스를 확인하세요.\n다시 시작하세요.",
                "https://help.example.com/{device_type}",
            ),
        },
    )


def test_the_more_exact_row_wins() -> None:
    """A row for the device's type goes before the one for any, in types and in messages."""
    logic = table()
    assert logic.diagnosis("FILTER", "refrigerator").category == "maintenance"
    assert logic.diagnosis("FILTER", "washer").category == "part_inquiry"
    assert logic.diagnosis("DRAIN_SLOW", "dish_washer").words["ko"].short == "식기세척기 배수"


def test_an_unknown_type_of_device_leads_to_the_only_row() -> None:
    """LG may leave the type out, and the partner's words are not lost for that unless rows differ."""
    one = read({"types.csv": types_with("B,misuse,washer,")}).table
    assert one is not None
    assert one.diagnosis("B", None).matched
    assert not one.diagnosis("B", "oven").matched
    two = read({"types.csv": types_with("B,misuse,washer,\nB,malfunction,oven,")}).table
    assert two is not None
    assert not two.diagnosis("B", None).matched


def test_a_type_without_a_row_is_not_matched() -> None:
    """It is a value all the same, and so is any type where there is no table."""
    assert table().diagnosis("NEW", "washer") == Diagnosis("NEW")
    assert LogicInForce().diagnosis("NEW", None) == Diagnosis("NEW")
    assert LogicInForce().revision is None


def test_the_table_in_force_is_exchanged_as_a_whole() -> None:
    """Whoever asks next gets the new one, with its revision."""
    logic = LogicInForce()
    assert not logic.knows("FILTER")
    logic.enforce(table())
    assert logic.knows("FILTER")
    assert logic.diagnosis("FILTER", None).category == "part_inquiry"
    assert logic.revision == table().revision


def test_the_revision_is_that_of_the_files() -> None:
    """Equal files have equal revisions, and another text has another."""
    other = read({"types.csv": TYPES + "\n", "messages.ko.csv": KOREAN, "messages.en.csv": ENGLISH})
    assert other.table is not None
    assert table().revision == table().revision != other.table.revision


def test_a_file_that_is_not_used_changes_no_revision() -> None:
    """Partners get the revision with each event: only what the events are made of changes it."""
    files = {"types.csv": TYPES, "messages.ko.csv": KOREAN}
    korean = read(files, ["ko"]).table
    both = {**files, "messages.en.csv": ENGLISH, "readme.txt": "words"}
    assert korean is not None
    assert read(both, ["ko"]).table == korean
    more = read(both, ["en", "ko"]).table
    assert more is not None
    assert more.revision != korean.revision


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_marks_and_ends_of_lines_are_harmless(mark: str, newline: str) -> None:
    """What a spreadsheet writes on any system is read alike."""
    types = (mark + TYPES).replace("\n", newline)
    reading = read({"types.csv": types, "messages.ko.csv": (mark + KOREAN).replace("\n", newline)})
    assert reading.faults == ()
    assert reading.table is not None
    assert reading.table.types == table().types
    assert reading.table.words["ko"] == table().words["ko"]


def test_columns_may_stand_in_any_order_and_rows_may_be_empty() -> None:
    """Names of columns are those that a person writes; rows of commas only are no rows."""
    types = "Category, Diagnosis Type ,,\n\n,,,\nmisuse,A,,\n , ,,\n"
    reading = read({"types.csv": types})
    assert reading.faults == ()
    assert reading.table is not None
    assert reading.table.diagnosis("A", None).category is Category.MISUSE.value


EVERY_MISTAKE_TYPES = """\
diagnosis_type,category,device_types,severity
A,malfuntion,washer,high
B,,,
C,misuse,waher oven,
D,misuse,"washer,oven",
A,misuse,washer,
E,misuse,,low,more
1.2E+05,misuse,,
F,misuse,,#REF!
,misuse,,
G,misuse,DEVICE_WAHSER,
H,misuse,,a "high" one
"""
EVERY_MISTAKE_MESSAGES = """\
diagnosis_type,device_type,short_message,full_instruction,instruction_url
A,washer,Hello {devicename},"Two lines:
the ""second"" has {accont} in it",
A,oven,Not for ovens,,
Z,,Only here,,
B,,,,
C,washer oven,"two
lines",,javascript:alert(1)
E,,A { brace,and {{a right one}},"{content_url}?x"
F,,"cut off,,
"""


def test_every_mistake_is_reported_at_once() -> None:
    """Each has its file, line and column, also inside a cell of several lines."""
    assert faults(EVERY_MISTAKE_TYPES, ko=EVERY_MISTAKE_MESSAGES) == [
        "messages.ko.csv:2:16: unknown placeholder {devicename}; did you mean 'device_name'?",
        "messages.ko.csv:3:20: unknown placeholder {accont}; did you mean 'account'?",
        "messages.ko.csv:4:1: types.csv has this type for washer only",
        "messages.ko.csv:5:1: types.csv has no row of this type",
        "messages.ko.csv:6:4: short_message is empty",
        "messages.ko.csv:7:3: name one type of device, or leave the cell empty for any",
        f"messages.ko.csv:7:15: must be one line of at most {LONGEST_SHORT_MESSAGE} characters",
        f"messages.ko.csv:8:9: {NO_ADDRESS}",
        "messages.ko.csv:9:6: this brace begins no placeholder: for a brace write {{",
        "messages.ko.csv:10:4: the quote that begins here is never closed; what follows was not read",
        f"types.csv:2:3: unknown category: it must be {KINDS}; did you mean 'malfunction'?",
        f"types.csv:3:3: category is empty: it must be {KINDS}",
        "types.csv:4:10: is no type of device; did you mean 'washer'?",
        "types.csv:5:11: types of device are separated by spaces",
        "types.csv:6:1: this type is listed twice for washer, first at logic/types.csv:2:1",
        f"types.csv:7:15: {SPARE}",
        "types.csv:8:1: is a number that a spreadsheet rounded: the type is lost; format the column as text",
        "types.csv:9:11: a formula failed here: the spreadsheet wrote #REF! in place of a value",
        "types.csv:10:1: diagnosis_type is empty",
        "types.csv:12:13: a cell with a quote must be in quotes itself, and the quote inside is doubled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (TYPES.replace(",", ";"), f"1:15: the cells are separated by semicolons, {COMMAS}"),
        (TYPES.replace(",", "\t"), f"1:15: the cells are separated by tabs, {COMMAS}"),
        ('"diagnosis_type";"category"\n"A";"misuse"\n', f"1:17: the cells are separated by semicolons, {COMMAS}"),
        ("sep=,\n" + TYPES, "1:1: remove this line: the header must be the first one"),
        (TYPES.encode("utf-16"), f"1:1: {UTF_16}"),
        (TYPES.encode("utf-16-le"), f"1:1: {UTF_16}"),
        ("diagnosis_type,category\nA,misuse\n문,misuse\n".encode("cp949"), f"3:1: {KOREAN_EXCEL}"),
        (b"PK\3\4" + b"x" * 50, f"1:1: {ZIP}"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1xxxx", f"1:1: {ZIP}"),
        (TYPES.encode().replace(b"DOOR", b"DO\0R"), "3:3: has a null byte here, so it is damaged"),
        ("", f"1:1: {NO_HEADER}"),
        ("\n\n ,\n", f"1:1: {NO_HEADER}"),
        (b"a" * (LARGEST + 1), " is larger than 8 MB"),
        ("<<<<<<< ours\nA\n=======\nB\n>>>>>>> theirs\n", "1:1: an unresolved merge conflict begins here: resolve it"),
        ("version https://git-lfs.github.com/spec/v1\n", f"1:1: {LFS}"),
        (f"diagnosis_type,category\n{'x,' * (MOST_CELLS + 5)}\n", f"2:200: this row has more than {MOST_CELLS} cells"),
        ('diagnosis_type,category\n"C" x,misuse\n', f"2:1: {BEHIND}"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_one_fault(content: str | bytes, fault: str) -> None:
    """It is named for what it is, and not by a fault for every line."""
    assert faults(content, ko="diagnosis_type,short_message\nA,a\n") == [f"types.csv:{fault}"] or (
        faults(content) == [f"types.csv:{fault}"]
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "diagnosis_type,categry",
            ["1:1: the column category is missing", "1:16: unknown column 'categry'; did you mean 'category'?"],
        ),
        ("diagnosis_type,category,category", ["1:25: the column category is there twice"]),
        (
            "severty,category",
            ["1:1: the column diagnosis_type is missing", "1:1: unknown column 'severty'; did you mean 'severity'?"],
        ),
        (
            "A,misuse",
            [
                "1:1: the column category is missing",
                "1:1: the column diagnosis_type is missing",
                "1:1: unknown column 'A'",
                "1:3: unknown column 'misuse'",
            ],
        ),
    ],
)  # fmt: skip
def test_a_header_is_judged_once(header: str, expected: list[str]) -> None:
    """A column that is missing is one fault of the header, and none of every row."""
    found = faults(f"{header}\nB,misuse\nC,misuse\n", ko="diagnosis_type,short_message\nB,b\n")
    assert [fault.removeprefix("types.csv:") for fault in found] == expected


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (",Hello {device_name,,", "2:10: this brace begins no placeholder: for a brace write {{"),
        (",Hello {},,", "2:10: unknown placeholder {}"),
        (",Hello { device_name },,", "2:10: write {device_name} without white space"),
        (f",{'x' * 1001},,", "2:4: must be one line of at most 1000 characters"),
        (f",x,{'x' * (LONGEST_CELL + 1)},", f"2:6: is longer than {LONGEST_CELL} characters"),
        (",x,a\u0007b,", "2:7: there is a control character (U+0007) here: remove it"),
        (",x,,ftp://help.example.com", f"2:7: {NO_ADDRESS}"),
        (",x,,https://{device_name}/", f"2:7: {NO_ADDRESS}"),
        (",x,,https://[::1", f"2:7: {NO_ADDRESS}"),
        ("wascher,x,,", "2:3: is no type of device; did you mean 'washer'?"),
    ],
)  # fmt: skip
def test_cells_of_messages_are_bounded(row: str, fault: str) -> None:
    """Each cell outside its bounds is one fault at its place."""
    assert faults(types_with("B,misuse,,"), ko=messages_with(row)) == [f"messages.ko.csv:{fault}"]


def test_a_cell_of_a_type_may_begin_like_a_formula_behind_a_quote() -> None:
    """That is how ``events unknown`` prints such a type, ready to be pasted."""
    reading = read({"types.csv": types_with("'=1+1,misuse,,\n'-3,misuse,,\n'x,misuse,,")})
    assert reading.table is not None
    assert {*reading.table.types} == {"A", "=1+1", "-3", "'x"}


def test_locales_say_which_messages_there_must_be() -> None:
    """A file that is missing is a fault, one that nobody asked for a warning."""
    reading = read({"types.csv": TYPES, "messages.en.csv": ENGLISH}, ["ko"])
    assert [str(fault) for fault in reading.faults] == [
        "logic/messages.ko.csv: there is no such file"
    ]
    assert [str(warning) for warning in reading.warnings] == [
        "logic/messages.en.csv: is not used: locales does not list 'en'"
    ]
    assert [str(fault) for fault in read({}).faults] == ["logic/types.csv: there is no such file"]


def test_a_file_that_cannot_be_read_is_a_fault() -> None:
    """It is said why, once."""
    reading = read_logic("logic", {}, None, {"types.csv": "is a folder"})
    assert [str(fault) for fault in reading.faults] == ["logic/types.csv: is a folder"]


def test_what_is_likely_not_meant_is_a_warning() -> None:
    """Types without words, doubled braces and types that LG does not document are in force, and named."""
    ko = "diagnosis_type,short_message\nA,Hello {{account}}\n"
    reading = read(
        {"types.csv": types_with("B,misuse,DEVICE_WAHSER HEJ_X,"), "messages.ko.csv": ko}
    )
    assert reading.table is not None
    assert [str(warning) for warning in reading.warnings] == [
        "logic/messages.ko.csv: 1 of 2 types have no message here: B",
        "logic/messages.ko.csv:2:9: this is shown as {account}: for the value write it with single braces",
        "logic/types.csv:3:10: LG documents no such type of device; did you mean 'washer'?",
        "logic/types.csv:3:24: LG documents no such type of device",
    ]


def test_very_many_faults_are_a_number() -> None:
    """A file of another table altogether does not fill the screen."""
    found = faults("diagnosis_type,category\n" + "".join(f"T{n},x\n" for n in range(SHOWN + 7)))
    assert len(found) == SHOWN + 1
    assert "types.csv: 7 more like these are not shown" in found


def test_the_number_of_rows_is_bounded() -> None:
    """A file with a row too many is one fault."""
    rows = "".join(f"T{n},misuse\n" for n in range(MOST_ROWS + 1))
    assert faults("diagnosis_type,category\n" + rows) == [
        f"types.csv:{MOST_ROWS + 2}:1: there are more than {MOST_ROWS} rows"
    ]


_CELLS = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters="{}") | st.sampled_from(',"; '),
    min_size=1,
    max_size=20,
).map(str.strip).filter(lambda text: text and text[0] not in "#'")  # fmt: skip


@given(
    st.dictionaries(
        st.text("ABCabc_0123456789-", min_size=1, max_size=12).filter(lambda text: "E" not in text.upper()),
        st.tuples(st.sampled_from([*Category]), _CELLS, _CELLS, _CELLS),
        min_size=1,
    ),
    st.permutations(["diagnosis_type", "short_message", "full_instruction"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.booleans(),
)  # fmt: skip
def test_what_the_standard_library_writes_is_read_back(
    rows: Mapping[str, tuple[Category, str, str, str]],
    order: Sequence[str],
    newline: str,
    quoting: int,
    mark: bool,  # noqa: FBT001 - hypothesis hands it in
) -> None:
    """Any table that is written as CSV is the table that is read, in any order of columns."""
    types, messages = io.StringIO(), io.StringIO()
    written = csv.writer(types, lineterminator=newline, quoting=quoting)  # type: ignore[arg-type]
    written.writerow(["severity", "diagnosis_type", "category"])
    wordings = csv.DictWriter(messages, order, lineterminator=newline, quoting=quoting)  # type: ignore[arg-type]
    wordings.writeheader()
    for diagnosis, (category, severity, short, full) in rows.items():
        written.writerow([severity, diagnosis, category.value])
        wordings.writerow(
            {"diagnosis_type": diagnosis, "short_message": short, "full_instruction": full}
        )
    before = b"\xef\xbb\xbf" if mark else b""
    reading = read(
        {
            "types.csv": before + types.getvalue().encode(),
            "messages.en.csv": before + messages.getvalue().encode(),
        }
    )
    assert reading.faults == ()
    assert reading.table is not None
    for diagnosis, (category, severity, short, full) in rows.items():
        assert reading.table.diagnosis(diagnosis, "washer") == Diagnosis(
            diagnosis, matched=True, category=category.value, severity=severity, words={"en": Words(short, full)}
        )  # fmt: skip


_PIECES = [
    "misuse",
    "A",
    "diagnosis_type,category\n",
    "short_message",
    *',";{}\n\r\t =#',
    "\ufeff",
    "문",
]
_TEXTS = st.lists(st.sampled_from(_PIECES) | st.characters(), max_size=30).map("".join)
_BYTES = st.binary(max_size=120) | _TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))


@given(_BYTES, _BYTES, st.booleans())
def test_no_bytes_raise(types: bytes, messages: bytes, headers: bool) -> None:  # noqa: FBT001 - as above
    """Whatever the bytes, there is a table or there are faults; each fault's place is in the file."""
    if headers:
        types, messages = (
            b"diagnosis_type,category,device_types\n" + types,
            b"diagnosis_type,short_message\n" + messages,
        )
    reading = read({"types.csv": types, "messages.ko.csv": messages})
    assert (reading.table is None) == bool(reading.faults)
    for fault in (*reading.faults, *reading.warnings):
        content = types if fault.path == "logic/types.csv" else messages
        lines = 1 + content.count(b"\n") + content.count(b"\r")
        assert 0 <= fault.line <= lines
        assert 0 <= fault.column <= len(content) + 1


@given(
    st.text(st.sampled_from("{}ab") | st.characters(), max_size=30),
    st.dictionaries(st.sampled_from(NAMES), st.text()),
)
def test_text_without_braces_stays_what_it_is(text: str, values: Mapping[str, str]) -> None:
    """Doubled braces are braces, and what is put in is never looked at again."""
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert fill(escaped, values) == text
    assert (
        fill("{account}" * 2, {"account": "{device_name}", **values})
        == values.get("account", "{device_name}") * 2
    )
