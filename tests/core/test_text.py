"""Words made fit for where they are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.text import (
    BREAK,
    MARKUP,
    counted,
    length_words,
    listing,
    markdown,
    markdown_code,
    moment_words,
    one_line,
    plural,
    readable,
    short_revision,
    span_words,
    stamp_words,
    steerless,
)

NOW = datetime(2026, 11, 22, 10, 4, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [
        (0.0, "just now"),
        (0.999, "just now"),
        (-0.999, "just now"),
        (1.0, "1 second ago"),
        (-1.0, "in 1 second"),
        (47.0, "47 seconds ago"),
        (59.0, "1 minute ago"),
        (60.0, "1 minute ago"),
        (90.0, "90 seconds ago"),
        (119.0, "2 minutes ago"),
        (120.0, "2 minutes ago"),
        (3599.0, "1 hour ago"),
        (3600.0, "1 hour ago"),
        (3600.0 + 1740, "89 minutes ago"),
        (-7197.0, "in 2 hours"),
        (86_399.0, "1 day ago"),
        (86_400.0, "1 day ago"),
        (-3 * 86_400.0, "in 3 days"),
    ],
)
def test_a_moment_as_people_say_it(seconds: float, spoken: str) -> None:
    """It is rounded to the unit that changes it little, so that two hours stay two hours for a while."""
    assert span_words(NOW - timedelta(seconds=seconds), NOW) == spoken


def test_a_moment_both_ways() -> None:
    """A clock's time and what people say stand together; of this moment the clock's time is enough."""
    before = NOW - timedelta(minutes=4)
    assert stamp_words(before) == "2026-11-22 10:00:00 UTC"
    assert moment_words(before, NOW) == "2026-11-22 10:00:00 UTC (4 minutes ago)"
    assert moment_words(NOW, NOW) == "2026-11-22 10:04:00 UTC"
    assert moment_words(None, NOW) == "never"


def test_numbers_of_things() -> None:
    """One thing has its word, of more it is in the plural, and long lists end in a number."""
    assert [counted(number, "device") for number in (0, 1, 2)] == [
        "0 devices",
        "1 device",
        "2 devices",
    ]
    assert plural("day", 1) == "day"
    assert listing(["a", "b"], 2) == "a, b"
    assert listing(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listing(["a", "b", "c", "d", "e"], 2) == "a, b and 3 more"


def test_foreign_words_are_one_line() -> None:
    """What steers a terminal or turns the direction of writing is a space, and spaces are one."""
    assert one_line("  a\x1b[31m\n\tb\u202e  c ") == "a [31m b c"
    assert one_line("caf\udce9") == r"caf\udce9"
    assert readable("r\udcff\u00fc") == "r\\udcff\u00fc"


@pytest.mark.parametrize("character", sorted(MARKUP))
def test_markup_is_shown_and_not_acted_on(character: str) -> None:
    """Every character that Markdown may take for more is a reference, and others stay."""
    assert markdown(f"a{character} b") == f"a&#{ord(character)}; b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@lee", f"&#64;{BREAK}lee"),
        ("#12", f"&#35;{BREAK}12"),
        ("www.example.invalid", f"www{BREAK}.example.invalid"),
        ("https://x", f"https:{BREAK}//x"),
        ("GH-12", f"GH{BREAK}-12"),
        (":smile:", f":{BREAK}smile:"),
        ("!12", f"&#33;{BREAK}12"),
        ("5 % off", "5 % off"),
        ("Room 1203: fridge", "Room 1203: fridge"),
    ],
)
def test_nothing_becomes_a_link_or_a_mention(text: str, shown: str) -> None:
    """What a forge would make a link is parted by what is not shown; plain words stay as they are."""
    assert markdown(text) == shown


def test_an_id_is_code() -> None:
    """A plain id is code as it is; what may be markup is masked inside of it."""
    assert markdown_code("a1-b_2.c…") == "`a1-b_2.c…`"
    assert markdown_code("a`1") == "<code>a&#96;1</code>"
    assert markdown_code("a 1") == "<code>a 1</code>"


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [
        (0, "0 seconds"),
        (2_999, "50 minutes"),
        (3_000, "1 hour"),
        (4_500, "1 hour"),
        (4_501, "75 minutes"),
        (71_999, "20 hours"),
        (72_000, "1 day"),
        (108_000, "1 day"),
        (108_001, "30 hours"),
    ],
)
def test_a_span_is_rounded_by_at_most_a_fifth(seconds: int, spoken: str) -> None:
    """The largest unit that changes it by a fifth or less is the one that people hear."""
    assert length_words(seconds) == spoken


@pytest.mark.parametrize(
    ("revision", "short"),
    [
        ("0123456789abcdef", "0123456789ab"),
        ("git:0123456789abcdef", "git:0123456789ab"),
        ("git:0123456789abcdef-dirty:5f", "git:0123456789abcdef-dirty:5f"),
        ("git:0123456789abcdef-dirty", "git:0123456789ab-dirty"),
    ],
)
def test_a_revision_is_shown_by_its_first_twelve_characters(revision: str, short: str) -> None:
    """Its kind and that it was edited stay."""
    assert short_revision(revision) == short


def test_what_steers_a_terminal_is_escaped_in_json() -> None:
    """The document means the same, and plain words in any language stay as they are."""
    document = '{"name": "서울 \u202eevil\x9b \U000e0041"}'
    assert steerless(document) == r'{"name": "서울 \u202eevil\u009b \udb40\udc41"}'
    assert json.loads(steerless(document)) == json.loads(document)


@pytest.mark.parametrize("code", [0x7F, 0x80, 0x9F, 0xAD, 0x200B, 0x202E, 0xFEFF, 0xE0041])
def test_each_character_that_steers_is_escaped_alone_too(code: int) -> None:
    """Also in a document that is plain but for it."""
    document = f'["a{chr(code)}b"]'
    assert steerless(document).isascii()
    assert "\x7f" not in steerless(document)
    assert json.loads(steerless(document)) == [f"a{chr(code)}b"]
