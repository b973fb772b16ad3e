"""Tables for a terminal: what fits, what is left out, and where lines are broken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from reconciler.reporting.formats.screen import Screen, fold, shortened
from reconciler.reporting.formats.tables import Column, table

HEAD = (
    Column("name", words=True),
    Column("device"),
    Column("says", drop=1, words=True),
    Column("author", drop=2, words=True),
)
ROWS = [
    ("Room 202 fridge in the second wing", "477e00112233", "1214 Not subscribable device", "Lee"),
    ("객실 203 냉장고", "a1b2c3d4e5f6", "", "Park Min-jun of the night shift"),
]


def test_a_table_fits_and_breaks_lines_between_words() -> None:
    """No line is wider than the screen, and every word is there whole."""
    for width in (34, 40, 60, 80, 100):
        lines = table(HEAD, ROWS, Screen(width, folds=True))
        assert max(map(cell_len, lines)) <= width, (width, lines)
        words = " ".join(lines).split()
        for name in (ROWS[0][0], ROWS[1][0]):
            assert [word for word in name.split() if word not in words] == []


def test_columns_go_in_their_order_where_there_is_no_room() -> None:
    """The one with the greatest number goes first; names and ids stay in the narrowest terminal."""
    heads = [table(HEAD, ROWS, Screen(width, folds=True))[0].split() for width in (90, 60, 20)]
    assert heads == [
        ["name", "device", "says", "author"],
        ["name", "device", "says"],
        ["name", "device"],
    ]


def test_a_file_gets_rows_of_one_line_with_the_same_columns() -> None:
    """What a program reads line by line is not broken; -o wide has every column in it."""
    narrow = table(HEAD, ROWS, Screen(60))
    assert len(narrow) == 3
    assert narrow[0].split() == ["name", "device", "says"]
    wide = table(HEAD, ROWS, Screen(20, wide=True))
    assert wide[0].split() == ["name", "device", "says", "author"]
    assert len(wide) == 3


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    """A Korean character takes two columns."""
    lines = table(HEAD, ROWS, Screen(120))
    assert [
        cell_len(line[: line.index(id_)])
        for line, (_, id_, *_) in zip(lines[1:], ROWS, strict=True)
    ] == [36, 36]


def test_a_column_that_says_nothing_is_left_out() -> None:
    """Where no device has a name, ids are the first column."""
    assert table(HEAD, [("", "a", "", "")], Screen()) == ["device", "a"]
    assert table(HEAD, [], Screen()) == []


def test_ids_are_as_long_as_tells_them_apart() -> None:
    """Twelve characters, or more where two begin alike; a shorter id is whole."""
    alike = "0123456789abcdef"
    ids = shortened([alike + "00", alike + "11", "f" * 64, "short"])
    assert ids == {
        alike + "00": alike + "0",
        alike + "11": alike + "1",
        "f" * 64: "f" * 12,
        "short": "short",
    }
    assert Screen(full_ids=True).ids(["f" * 64]) == {"f" * 64: "f" * 64}


def test_words_behind_a_label_stay_under_each_other() -> None:
    """The label keeps its spaces, and further lines begin where the words do."""
    lines = Screen(24, folds=True).labelled("  next      ", "the next pass tries it")
    assert lines == ["  next      the next", "            pass tries", "            it"]
    assert Screen(24).labelled("  next      ", "the next pass tries it") == [
        "  next      the next pass tries it"
    ]


@given(st.text(max_size=200), st.integers(2, 90))
def test_any_words_fit(words: str, width: int) -> None:
    """Lines are never wider than there is room, and no character but spaces is lost."""
    lines = fold(words, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(words.split())


@given(st.lists(st.text("ab", min_size=1, max_size=20), unique=True))
def test_any_ids_stay_different(ids: list[str]) -> None:
    """No two devices are shown by the same characters, and each is shown by its beginning."""
    found = shortened(ids)
    assert len(set(found.values())) == len(ids)
    assert all(one.startswith(short) for one, short in found.items())
