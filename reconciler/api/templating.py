"""The templates of the pages: where they are, how they are rendered, and how words from outside are cut for them.

Owns: the template engine's settings, the filters that all pages have, and the icon of a page in the
browser's tab. Must not: know what a page shows.

Words from outside (names, LG's messages, faults) are cut, freed of characters that control the direction of writing,
and escaped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from reconciler.core.text import counted, one_line, plural, short_revision, span_words, stamp_words

if TYPE_CHECKING:
    from jinja2 import Environment, Template

TEMPLATES = Path(__file__).parent / "templates"
SHORT = 80
"""The most characters of a name."""
LONG = 600
"""The most characters of a sentence."""
FIELD = 200
"""The most characters in the field of a form."""
ID = 12
"""How many characters of an id people are shown."""
SIGNS = {"well": "✓", "calm": "✓", "wait": "…", "look": "!"}
"""The sign of each tone: all is well, nothing to do, LG is waited for, somebody has to act."""
COLOURS = {"well": "#0f6638", "calm": "#27517f", "wait": "#7a5200", "look": "#96390a"}
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="16" fill="{colour}"/>'
    '<text x="16" y="23" font-family="sans-serif" font-size="22" font-weight="bold" text-anchor="middle" fill="#fff">'
    "{sign}</text></svg>"
)


@cache
def page_template(name: str) -> Template:
    """Return a page's template."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - 4 MB, for readers of it only

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "short": short,
        "long": long,
        "field": field,
        "short_id": short_id,
        "stamp": stamp_words,
        "spoken": span_words,
        "counted": counted,
        "plural": plural,
        "person": person,
        "number": number,
        "spaced": spaced,
        "revision": short_revision,
        "capitalize_first": capitalized,
    }
    environment.globals |= {"SIGNS": SIGNS, "icon": icon}
    return environment


def icon(tone: str) -> str:
    """Return the address of the picture in the browser's tab: the sign of a tone, in its colour."""
    return f"data:image/svg+xml,{quote(PICTURE.format(colour=COLOURS[tone], sign=SIGNS[tone]))}"


def short(words: str) -> str:
    """Return a name from outside, cut."""
    return cut(words, SHORT)


def long(words: str) -> str:
    """Return a sentence, cut."""
    return cut(words, LONG)


def field(words: str) -> str:
    """Return what somebody asked for, as the field of a form shows it again."""
    return cut(words, FIELD)


def short_id(device: str) -> str:
    """Return the beginning of an id, long enough to recognise it."""
    return f"{short(device[:ID])}{'…' if len(device) > ID else ''}"


def person(author: str) -> str:
    """Return the name of an author, without the address."""
    return short(author.partition(" <")[0] or author)


def number(figure: int) -> str:
    """Return a number with its thousands apart."""
    return f"{figure:,}"


def spaced(word: str) -> str:
    """Return a word of the program as people write it: ``in sync``."""
    return word.replace("_", " ")


def capitalized(words: str) -> str:
    """Return a sentence with a capital at its beginning, and the rest as it is."""
    return f"{words[:1].upper()}{words[1:]}"


def cut(words: str, most: int) -> str:
    """Return words from outside on one line of at most this number of characters."""
    line = one_line(words[: 4 * most])
    return line if len(line) <= most else f"{line[: most - 1]}…"
