"""Places: the walk finds each key and value of a text, and stays calm where there is none."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.positions import Loc, Place, find
from strategies import toml_texts

TEXT = '''\
version = 1
policy.pause = "none"   # ] a comment
"quoted key".'x'.y = { a = [1, { b = "é]", "c" = 2026-01-01 00:00:00Z }], d.e = 3 }
[accounts.seoul]
devices = [ # first
  "a", 'b',
  { id = """x
"y"""", type = 'oven' },
]
[[approvals]]
account = "one"
[[approvals]]
account = "two"
[approvals.inner]
z = 1
[later]
k = 1
[accounts]
m = 1
'''


def at(text: str, place: Place) -> str:
    """Return the text from a place on, with places counted as editors do."""
    lines = text.split("\n")
    return "\n".join([lines[place.line - 1][place.column - 1 :], *lines[place.line :]])


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("version",), "version = 1", "1\n"),
        (("policy",), "policy.pause", "policy.pause"),
        (("policy", "pause"), 'pause = "none"', '"none"'),
        (("quoted key", "x"), "'x'.y", "'x'.y"),
        (("quoted key", "x", "y", "a", 0), "1, {", "1, {"),
        (("quoted key", "x", "y", "a", 1, "b"), 'b = "é]"', '"é]"'),
        (("quoted key", "x", "y", "a", 1, "c"), '"c" = 2026', "2026-01-01 00:00:00Z }"),
        (("quoted key", "x", "y", "d", "e"), "e = 3", "3 }"),
        (("accounts", "seoul"), "seoul]", "[accounts.seoul]"),
        (("accounts", "seoul", "devices", 1), "'b',", "'b',"),
        (("accounts", "seoul", "devices", 2, "type"), "type = 'oven'", "'oven' }"),
        (("approvals", 0), '[[approvals]]\naccount = "one"', '[[approvals]]\naccount = "one"'),
        (("approvals", 1, "account"), 'account = "two"', '"two"'),
        (("approvals", 1, "inner", "z"), "z = 1", "1\n[later]"),
        (("later",), "later]", "[later]"),
        (("accounts",), "accounts]\nm", "[accounts]\nm"),
    ],
)
def test_find_points_at_keys_and_values(path: Loc, key: str, value: str) -> None:
    """Every way to write a table gives the place of its keys and of what they hold."""
    spot = find(TEXT, [path])[path]
    assert at(TEXT, spot.key).startswith(key)
    assert at(TEXT, spot.value).startswith(value)


def test_find_falls_back_to_the_nearest_parent() -> None:
    """What is not in the text is told at the table that should hold it, or at the top."""
    inside, nowhere = ("approvals", 1, "reason"), ("absent", "key")
    spots = find(TEXT, [inside, nowhere])
    assert at(TEXT, spots[inside].value).startswith('[[approvals]]\naccount = "two"')
    assert spots[nowhere].key == spots[nowhere].value == Place(1, 1)


def test_escaped_keys_are_found_by_what_they_mean() -> None:
    """A key written with escapes is the key that the reader sees."""
    path = ("tab\there",)
    assert find('x = 1\n"tab\\there" = 2\n', [path])[path].value == Place(2, 15)


@given(toml_texts())
def test_every_value_of_any_text_is_found(drawn: tuple[str, Mapping[Loc, str]]) -> None:
    """For any TOML text, the place of each value is where that value is written."""
    text, expected = drawn
    tomllib.loads(text)
    for path, spot in find(text, expected.keys()).items():
        assert at(text, spot.value).startswith(expected[path])


@given(st.text(st.sampled_from("[]{}=.,\"'#\\ \nab1"), max_size=40))
def test_what_is_not_toml_is_walked_without_harm(text: str) -> None:
    """On text that is not TOML the walk ends, and every answer is a place in the text."""
    for spot in find(text, [("a",), ("a", "b", 0), ("b", 1)]).values():
        at(text, spot.key)
        at(text, spot.value)
