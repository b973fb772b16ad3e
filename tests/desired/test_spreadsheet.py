"""Device files from spreadsheets, as those of Korea, Germany, the USA and the United Kingdom are saved."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import cli
from reconciler.desired import Document, MemoryTree, load
from reconciler.desired.checks import tidy
from reconciler.desired.foreign import line as foreign_line
from reconciler.desired.spreadsheet import Columns, Imported, imported

FOLDER = Path(__file__).parent / "spreadsheets"
A = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"
B = "0a77c3f2-5e9d-41ba-8c00-2b1f6d3a9e11"
C = "ff6389951a25dd411bfa5d86636c85909650514c35f55ef25a03c75d6d4dc6f9"
ENGLISH, GERMAN = Columns("Device ID", "Room"), Columns("Geräte-ID", "Standort")
KOREAN = Columns("장치 ID", "객실")

GOOD: dict[str, tuple[Columns, str | None, dict[str, str]]] = {
    "us-excel-csv-utf8.csv": (
        ENGLISH,
        None,
        {A: "Suite 12, 2nd floor", B: 'The "Blue" room', C: "Lobby #1"},
    ),
    "us-excel-unicode-text.txt": (
        ENGLISH,
        None,
        {A: "Suite 12, 2nd floor", B: 'The "Blue" room', C: "Lobby #1"},
    ),
    "us-google-sheets.csv": (ENGLISH, None, {A: "Café", B: "", C: "Pool deck"}),
    "uk-excel-csv.csv": (
        ENGLISH,
        "windows-1252",
        {A: "Ground floor \u2013 “Lounge”", B: "Café", C: "Kitchen"},
    ),
    "us-mac-numbers.csv": (Columns("device id", "2"), None, {A: "Lobby", B: "Pool"}),
    "de-excel-csv.csv": (
        GERMAN,
        "cp1252",
        {A: "Küche Süd", B: "Keller; links", C: "Großküche"},
    ),
    "de-excel-csv-utf8.csv": (
        GERMAN,
        None,
        {A: "Küche Süd", B: "Keller; links", C: "Großküche (Anbau)"},
    ),
    "de-excel-sep-line.csv": (GERMAN, "cp1252", {A: "Küche", B: "Keller"}),
    "de-libreoffice.csv": (GERMAN, None, {A: "Küche", B: "Flur"}),
    "kr-excel-csv.csv": (
        KOREAN,
        "cp949",
        {A: "1203호 냉장고", B: "세탁실, 지하", C: "똠방각하 주방"},
    ),
    "kr-excel-csv-utf8.csv": (KOREAN, None, {A: "1203호 냉장고", B: "세탁실, 지하", C: "로비"}),
    "kr-excel-unicode-text.txt": (
        KOREAN,
        None,
        {A: "1203호 냉장고", B: "세탁실, 지하", C: "로비"},
    ),
    "kr-hancell.csv": (KOREAN, "euc-kr", {A: "1203호 냉장고", B: "로비"}),
    "kr-without-a-head.csv": (Columns("2", "1", head=False), None, {A: "1203호", B: "1204호"}),
}
DAMAGED = "was rounded by a spreadsheet, so the id is lost: export the column as text"
ONE_BYTE = "name it with --encoding: cp949 if it is Korean, cp1252 if it is of western Europe"
BAD: list[tuple[str, Columns, str | None, list[str]]] = [
    (
        "us-excel-damaged.csv",
        ENGLISH,
        None,
        [
            f"2:1: this is no device id: it {foreign_line('1.23457E+15')}",
            f"3:1: this number has zeros after fifteen digits: it {DAMAGED}",
            "5:1: this id is in row 4, too",
            "6:1: the id begins or ends with a blank",
            "7:1: the id is empty",
            "8:1: this is an error of the spreadsheet, not an id",
            f"9:1: this is no device id: it {foreign_line(chr(34))}",
            "10:3: this row has 3 cells, and the head has 2: a separator inside a cell needs quotes",
        ],
    ),
    ("de-excel-damaged.csv", GERMAN, "cp1252", [f"2:1: this number {DAMAGED}"]),
    ("de-excel-csv.csv", GERMAN, None, [f"1:1: is not UTF-8: {ONE_BYTE}"]),
    ("kr-excel-csv.csv", KOREAN, None, [f"1:1: is not UTF-8: {ONE_BYTE}"]),
    ("uk-excel-csv.csv", ENGLISH, None, [f"2:1: is not UTF-8: {ONE_BYTE}"]),
    (
        "kr-excel-csv.csv",
        Columns("1", "2"),
        "cp1252",
        ["1:1: looks Korean, not cp1252: try --encoding cp949"],
    ),
    ("de-excel-csv.csv", GERMAN, "cp949", ["1:1: is not cp949"]),
    (
        "de-libreoffice.csv",
        Columns("1", "2"),
        "cp1252",
        ["1:1: is UTF-8, not cp1252: leave --encoding out"],
    ),
    (
        "kr-without-a-head.csv",
        Columns("2", "1", head=False),
        "cp949",
        ["1:1: is UTF-8, not cp949: leave --encoding out"],
    ),
    (
        "kr-excel-csv-utf8.csv",
        KOREAN,
        "cp949",
        ["begins with the mark of utf-8, and is not cp949: leave --encoding out"],
    ),
    (
        "kr-without-a-head.csv",
        Columns("2", "1"),
        None,
        [
            "1:2: the head has what looks like a device id: give --no-head if the first row is a device"
        ],
    ),
    (
        "us-mac-numbers.csv",
        Columns("DeviceID"),
        None,
        [
            "1:1: there is no column 'DeviceID'; did you mean 'Device ID'?; there are 'Device ID', 'Room'"
        ],
    ),
    (
        "us-mac-numbers.csv",
        Columns("3"),
        None,
        ["1:1: there is no column '3'; there are 'Device ID', 'Room'"],
    ),
]


def read(content: bytes, columns: Columns = ENGLISH, encoding: str | None = None) -> Imported:
    """Read a file without a name."""
    return imported("", content, columns, encoding)


def faults(content: bytes | str, columns: Columns = ENGLISH) -> list[str]:
    """Return the faults of a file."""
    found = read(content.encode() if isinstance(content, str) else content, columns)
    return [f"{one.line}:{one.column}: {one.message}" for one in found.faults]


def wanted(device_file: str) -> dict[str, str]:
    """Return what the program makes of a device file, each device with its name."""
    document = Document("a.toml", b'version = 1\ndevice_files = ["list.txt"]\n')
    loaded = load([document], MemoryTree({"list.txt": device_file.encode()}))
    assert loaded.faults == loaded.warnings == ()
    (desired,) = loaded.accounts.values()
    return {device: desired.names.get(device, "") for device in desired.devices}


@pytest.mark.parametrize("name", GOOD)
def test_what_spreadsheets_of_three_countries_write_is_read(name: str) -> None:
    """Ids and names arrive as a person sees them, sorted, and the device file is accepted."""
    columns, encoding, expected = GOOD[name]
    found = read((FOLDER / name).read_bytes(), columns, encoding)
    assert found.faults == ()
    assert found.names == expected
    assert wanted(found.text) == expected
    assert [line.split()[0] for line in found.text.splitlines()] == sorted(expected)


@pytest.mark.parametrize(("name", "columns", "encoding", "expected"), BAD)
def test_what_is_not_certain_or_damaged_is_a_fault(
    name: str, columns: Columns, encoding: str | None, expected: list[str]
) -> None:
    """A wrong encoding never makes a wrong name, and a damaged id never another id; the place is named."""
    found = imported("f", (FOLDER / name).read_bytes(), columns, encoding)
    assert [str(one).removeprefix("f:").strip() for one in found.faults] == expected


def test_every_file_is_used() -> None:
    """No file of the folder is left out."""
    assert {path.name for path in FOLDER.iterdir()} == GOOD.keys() | {name for name, *_ in BAD}


def test_rows_without_a_word_are_skipped_and_counted() -> None:
    """Blank lines, rows of separators and of blanks are no devices; one with another cell is a fault."""
    found = read(b"Device ID,Room\r\na1\r\n\r\n,\r\n  , \r\nb1,Hall\r\n")
    assert (found.names, found.empty) == ({"a1": "", "b1": "Hall"}, 3)
    assert faults("Device ID,Room\n,Hall\n") == ["2:1: the id is empty"]


def test_a_file_that_is_not_a_list_of_devices_is_a_fault() -> None:
    """Nothing, a head alone, a workbook, half a file and two columns of one name are no list."""
    assert faults("") == ["0:0: no row has a device"]
    assert faults("Device ID,Room\n") == ["0:0: no row has a device"]
    assert faults(b"PK\3\4abc") == ["0:0: is a workbook, not CSV: save the sheet as CSV UTF-8"]
    assert faults('Device ID,Room\na1,"Hall\nb1,Bar\n')[0].startswith(
        "2:1: the quotes of this row or of a row before it do not pair"
    )
    assert faults("Room,Device ID,Room\nx,a1,y\n") == [
        "1:1: 2 columns are named 'Room': give the number of one"
    ]
    assert faults("a1;b1,c1\n", Columns("1", "2", head=False)) == [
        "1:1: the head may be separated by semicolon and comma: use one of them"
    ]
    assert faults("Device ID,Room\na1,Bar\ufffd\n".encode("utf-16")) == [
        "2:1: has a character that was lost here, so it is damaged or not utf-16-le"
    ]
    assert faults("Device ID,Room\na1,x\na2,Bar\ufffd\n") == [
        "3:1: has a character that was lost here, so it is damaged or not utf-8"
    ]
    assert faults("Device ID\na\0b\n")[0].startswith("2:1: has null bytes")


def test_names_are_harmless_in_the_device_file() -> None:
    """Marks, newlines and control characters in a name change no line; one that sets something is a fault."""
    rows = ["Device ID,Room", '"a1","#1 # ""x"""', '"b1","two\nlines\r\n\there"', "c1,\x1b[31mred"]
    found = read("\r\n".join(rows).encode())
    assert found.text == 'a1  # #1 # "x"\nb1  # two lines here\nc1  # [31mred\n'
    assert wanted(found.text) == {"a1": '#1 # "x"', "b1": "two lines here", "c1": "[31mred"}
    assert faults("Device ID,Room\na1,protected = true\n") == [
        "2:2: this name looks like a setting of the device file (protected = …): change it"
    ]


def test_the_order_of_rows_makes_no_difference() -> None:
    """The file is the same whatever the order, so that a diff shows what changed."""
    rows = [f"id-{number},Room {number}" for number in range(50)]
    head = "Device ID,Room"
    assert (
        read("\n".join([head, *rows]).encode()).text
        == read("\n".join([head, *reversed(rows)]).encode()).text
    )


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"]), max_size=12).filter(
    lambda cell: "\ufffd" not in cell and "\0" not in cell
)
IDS = st.text(st.sampled_from("abcdef0123456789-"), min_size=1, max_size=12)


@given(
    devices=st.dictionaries(IDS, CELLS, min_size=1, max_size=6),
    separator=st.sampled_from([";", ",", "\t"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    newline=st.sampled_from(["\r\n", "\n"]),
    quotes=st.booleans(),
)
def test_what_is_written_as_csv_comes_back(
    devices: dict[str, str], separator: str, encoding: str, newline: str, *, quotes: bool
) -> None:
    """Whatever the names, separators, quotes and encoding, each device has its name, as one line can say it."""
    file = io.StringIO(newline="")
    writer = csv.writer(
        file,
        delimiter=separator,
        lineterminator=newline,
        quoting=csv.QUOTE_ALL if quotes else csv.QUOTE_MINIMAL,
    )
    writer.writerow(["x", "Device ID", "Room"])
    writer.writerows(["", device, name] for device, name in devices.items())
    found = read(file.getvalue().encode(encoding))
    if found.faults:
        assert all("id" in one.message or "protected" in one.message for one in found.faults)
        return
    assert wanted(found.text) == {
        device: tidy(" ".join(name.split())) for device, name in devices.items()
    }


@given(
    st.binary(max_size=60), st.sampled_from([None, "cp949", "cp1252", "utf-16", "utf-8", "big5"])
)
def test_no_bytes_raise(content: bytes, encoding: str | None) -> None:
    """Whatever the bytes, there are faults or devices, and the devices are accepted."""
    for columns in (ENGLISH, Columns("1", head=False), Columns("1", "2")):
        found = read(content, columns, encoding)
        assert bool(found.names and not found.faults) != bool(found.faults)
        if not found.faults:
            assert wanted(found.text).keys() == found.names.keys()


def test_the_command_prints_the_file_and_its_numbers(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data goes to stdout in UTF-8, the numbers to stderr; with a fault nothing is printed and the code is 1."""
    monkeypatch.chdir(tmp_path)
    options = ["--id-column", "Device ID", "--name-column", "Room"]
    assert cli.run(["import", "--csv", str(FOLDER / "us-google-sheets.csv"), *options]) == 0
    printed = capsysbinary.readouterr()
    assert printed.out.decode() == f"{B}\n{A}  # Café\n{C}  # Pool deck\n"
    words = " ".join(printed.err.decode().split())
    assert "3 devices, 1 without a name (utf-8, separated by comma); 1 row skipped: empty" in words
    (tmp_path / "list.txt").write_bytes(printed.out)
    (tmp_path / "desired-state.toml").write_text("version = 1\ndevice_files = ['list.txt']\n")
    assert cli.run(["validate", "desired-state.toml"]) == 0
    capsysbinary.readouterr()
    assert cli.run(["import", "--csv", str(FOLDER / "us-excel-damaged.csv"), *options]) == 1
    printed = capsysbinary.readouterr()
    assert printed.out == b""
    assert printed.err.count(b"us-excel-damaged.csv:") == 8
    assert cli.run(["import", "--csv", "missing.csv", *options]) == 1
    assert b"missing.csv cannot be read" in capsysbinary.readouterr().err
    assert cli.run(["import", "--csv", str(FOLDER / "us-google-sheets.csv")]) == cli.USAGE
