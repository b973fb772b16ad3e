"""Texts that are not ours: cut to nothing, or in the format of another program."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import DEFAULT_ACCOUNT
from reconciler.desired import Document, Loaded, MemoryTree, load

FILE = b"version = 1\ndevice_files = ['f.txt']\n"

FOREIGN = {
    "7121f083,": "comma, semicolon, quote or bracket at an end",
    ",7121f083": "comma, semicolon, quote or bracket at an end",
    "7121f083;": "comma, semicolon, quote or bracket at an end",
    '"7121f083"': "comma, semicolon, quote or bracket at an end",
    "'7121f083": "comma, semicolon, quote or bracket at an end",
    "\u201c7121f083\u201d": "comma, semicolon, quote or bracket at an end",
    "[7121f083": "comma, semicolon, quote or bracket at an end",
    "7121f083]": "comma, semicolon, quote or bracket at an end",
    "{": "comma, semicolon, quote or bracket at an end",
    "(a)": "comma, semicolon, quote or bracket at an end",
    "7121f083;washer": "comma or semicolon inside",
    "7121f083,washer": "comma or semicolon inside",
    "1.23457E+11": "a spreadsheet rounded",
    "1E+11": "a spreadsheet rounded",
    "1e-11": "a spreadsheet rounded",
    "1E-11": "a spreadsheet rounded",
    "1.5e11": "a spreadsheet rounded",
    "=======": "merge conflict",
    "<<<<<<<HEAD": "merge conflict",
    "|||||||base": "merge conflict",
    ">>>>>>>>theirs": "merge conflict",
    "a\ufeffb": "byte order mark",
}
OPAQUE = [
    "12e5",
    "12E5",
    "1.5",
    "e+5",
    "a=b",
    "======",
    "<a>",
    "a'b",
    "a(b)c",
    "a-1e-5",
    "x|y",
    "1.e5",
    "+1",
    "ü-한",
    "AB:CD",
]


def judged(content: bytes | str) -> Loaded:
    """Load a text whose one device file has a content."""
    content = content if isinstance(content, bytes) else content.encode()
    return load([Document("a.toml", FILE)], MemoryTree({"a.toml": FILE, "f.txt": content}))


def inline(device: str, key: str = "devices") -> Loaded:
    """Load a text with one id in an array."""
    form = {"devices": "devices = ['x', {}]", "ignore": "devices = ['x']\npolicy.ignore = [{}]"}[
        key
    ]
    marks = "'''" if "'" in device else "'"
    text = "version = 1\n" + form.format(f"{marks}{device}{marks}")
    return load([Document("a.toml", text.encode())], MemoryTree({}))


@pytest.mark.parametrize(
    "content", ["", " ", "\n", "\r\n\r\n", "\ufeff", "\ufeff \n", "\t\n \n", "\u3000\n", "\v\f"]
)
def test_a_device_file_without_a_mark_on_it_is_a_fault(content: str) -> None:
    """Zero bytes or white space is what a cut upload leaves, not an empty list."""
    loaded = judged(content)
    assert [(one.path, one.line) for one in loaded.faults] == [("f.txt", 1)]
    assert "the file is empty" in loaded.faults[0].message
    assert not loaded.accounts


@pytest.mark.parametrize(
    "content", ["#\n", "# wing B is closed\n", "\n\n  # none\n\n", "\ufeff# none\r\n"]
)
def test_a_device_file_with_a_comment_is_empty_on_purpose(content: str) -> None:
    """Somebody wrote the comment, so the empty list is meant."""
    assert judged(content).faults == ()


@pytest.mark.parametrize("line", FOREIGN)
def test_a_line_of_another_format_is_no_id(line: str) -> None:
    """The fault names its line and what it is, among ids and alone, and never repeats it."""
    for content, number in (
        (f"{line}\n", 1),
        (f"a\nb\n{line}\nc\n", 3),
        (f"a # A\n  {line}  # n\n", 2),
    ):
        (fault,) = judged(content).faults
        assert (fault.path, fault.line) == ("f.txt", number)
        assert FOREIGN[line] in fault.message
        assert len(line) < 3 or line not in fault.message


@pytest.mark.parametrize("key", ["devices", "ignore"])
@pytest.mark.parametrize("line", FOREIGN)
def test_an_id_of_another_format_is_a_fault_in_arrays_too(line: str, key: str) -> None:
    """What is no id in a device file is none in the text."""
    (fault,) = inline(line, key).faults
    assert FOREIGN[line] in fault.message


@pytest.mark.parametrize("device", OPAQUE)
def test_all_else_stays_opaque(device: str) -> None:
    """An id may look odd: only what cannot be one is refused."""
    assert judged(f"{device}\n").accounts[DEFAULT_ACCOUNT].devices == {device}
    assert inline(device).accounts[DEFAULT_ACCOUNT].devices == {"x", device}
    assert inline(device, "ignore").faults == ()


CONFLICT = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> branch\n"


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            1,
            "Git LFS pointer",
        ),
        (CONFLICT.encode(), 2, "merge conflict"),
        (CONFLICT.removeprefix("a\n").encode(), 1, "merge conflict"),
        ("7121f083\n0a77c3f2\n".encode("utf-16"), 1, "UTF-16"),
        ("7121f083\n0a77c3f2\n".encode("utf-16-be"), 1, "UTF-16"),
        ("7121f083\n0a77c3f2\n".encode("utf-16-le"), 1, "UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0", 1, "spreadsheet"),
        (b"\0GITCRYPT\0\x01\x02", 1, "git-crypt"),
    ],
)
def test_a_file_that_is_something_else_is_named_once(content: bytes, line: int, words: str) -> None:
    """One fault says what the file is, where that can be known; not one for each line."""
    (fault,) = judged(content).faults
    assert (fault.path, fault.line) == ("f.txt", line)
    assert words in fault.message


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            1,
            "Git LFS pointer",
        ),
        (
            b"version = 1\n<<<<<<< HEAD\ndevices = ['a']\n=======\ndevices = ['b']\n>>>>>>> x\n",
            2,
            "merge conflict",
        ),
        ("version = 1\ndevices = []\n".encode("utf-16"), 1, "UTF-16"),
    ],
)
def test_a_text_that_is_something_else_is_named(content: bytes, line: int, words: str) -> None:
    """The TOML file itself may be what another program left there."""
    (fault,) = load([Document("a.toml", content)], MemoryTree({})).faults
    assert (fault.path, fault.line) == ("a.toml", line)
    assert words in fault.message


def test_a_byte_order_mark_is_named_and_no_fault() -> None:
    """It does no harm at the beginning, and whoever looks for an odd difference should know of it."""
    text = "\ufeffversion = 1\ndevice_files = ['f.txt']\n".encode()
    loaded = load([Document("a.toml", text)], MemoryTree({"f.txt": "\ufeffa\n".encode()}))
    assert loaded.faults == ()
    assert [one.path for one in loaded.warnings] == ["a.toml", "f.txt"]
    assert all("byte order mark" in one.message for one in loaded.warnings)


@pytest.mark.parametrize("content", ["", "a,b\n", '"a"\n', "1.5E+11\n"])
def test_what_an_earlier_version_accepted_is_still_taken_where_it_was_kept(content: str) -> None:
    """After an upgrade the text in force goes on being healed, though its next reading is refused."""
    files = {"a.toml": FILE, "f.txt": content.encode()}
    assert load([Document("a.toml", FILE)], MemoryTree(files)).faults
    kept = load([Document("a.toml", FILE)], MemoryTree(files), kept=True)
    assert kept.faults == ()
    assert kept.accounts[DEFAULT_ACCOUNT].devices == set(content.split())


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([*FOREIGN, *OPAQUE, "", "a", "#"])).map("\n".join)
)
def test_whatever_a_file_holds_a_reading_ends_and_repeats_nothing(content: bytes | str) -> None:
    """Any content is either a list or has faults with places inside it."""
    loaded = judged(content)
    assert bool(loaded.faults) is not bool(loaded.accounts)
    lines = (content if isinstance(content, bytes) else content.encode()).count(b"\n") + 1
    assert all(one.path == "f.txt" and 1 <= one.line <= lines for one in loaded.faults)
