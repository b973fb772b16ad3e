"""The templates of the pages: where they are, how they are rendered, and how words from outside are cut for them.

Owns: the template engine's settings, and the filters that all pages have. Must not: know what a page shows.

Words from outside (names, LG's messages, faults) are cut, freed of characters that control the direction of writing,
and escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.core.text import one_line, span_words, stamp_words

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"
SHORT = 80
"""The most characters of a name."""


def page_template(name: str, filters: Mapping[str, Callable[..., Any]]) -> Template:
    """Return a page's template, with filters of its own besides ``short``, ``stamp`` and ``spoken``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - 4 MB, for readers of it only

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "stamp": stamp_words, "spoken": span_words, **filters}
    return environment.get_template(name)


def short(words: str) -> str:
    """Return a name from outside, cut."""
    return cut(words, SHORT)


def cut(words: str, most: int) -> str:
    """Return words from outside on one line of at most this number of characters."""
    line = one_line(words[: 4 * most])
    return line if len(line) <= most else f"{line[: most - 1]}…"
