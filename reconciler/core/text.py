"""Makes words from outside safe to show: on a terminal, in Markdown, in JSON.

Owns: that words from outside (names of devices, ids that LG lists, LG's messages, names of files) stay plain words.
They cannot control a terminal, and they are never markup in Markdown.
Must not: know what is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime

MARKUP = frozenset("\\`*_{}[]<>|!~&$")
"""Characters that Markdown may read as markup."""
BREAK = "<!-- -->"
"""Invisible. It splits a word, so a program that searches finished text for links finds none."""
_LINK = re.compile(
    r"www(?=\.)|:(?=//)|\bgh(?=-\d)|[!~$%&^](?=[\w\"])|:(?=(?:100|1234|8ball|[a-z_+-][\w+-]{0,60}):)",
    re.IGNORECASE,
)
"""What forges make a link, a reference or a picture without any markup: ``www.``, ``https://``, ``GH-12``, ``!12``,
``:smile:``."""
_STEERING = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\uffff\U000e0000-\U000e0fff]"
)
"""Characters that steer a terminal, turn the direction of writing or cannot be seen; JSON leaves them as they are."""
NOW = "just now"
ROUNDED = 5
"""The part of a span, as one in this number, by which it may be rounded in words."""
SHORT = 12
"""How many characters of the id of a commit people are shown."""


def moment_words(moment: datetime | None, now: datetime) -> str:
    """Return a moment both ways: ``2026-11-22 10:00:00 UTC (4 minutes ago)``."""
    if moment is None:
        return "never"
    spoken = span_words(moment, now)
    return f"{stamp_words(moment)} ({spoken})" if spoken != NOW else stamp_words(moment)


def stamp_words(moment: datetime) -> str:
    """Return a moment as a clock shows it: ``2026-11-22 10:00:00 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def span_words(moment: datetime, now: datetime) -> str:
    """Return a moment in relative words: ``4 minutes ago``, ``in 3 days``, ``just now``."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return NOW
    spoken = length_words(abs(seconds))
    return f"{spoken} ago" if seconds > 0 else f"in {spoken}"


def length_words(seconds: float) -> str:
    """Return a span as a person says it: ``2 hours`` for 1:59:57, and ``90 minutes`` for 1:30:00.

    It is rounded in the largest unit in which that changes it by at most a fifth.
    """
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = round(seconds / size)
        if count and abs(count * size - seconds) <= seconds / ROUNDED:
            return counted(count, word)
    return counted(round(seconds), "second")


def short_revision(revision: str) -> str:
    """Return the beginning of a revision, long enough to recognise it."""
    kind, colon, digest = revision.rpartition(":")
    commit, dirty, _ = digest.partition("-dirty")
    return f"{kind}{colon}{commit[:SHORT]}{dirty}"


def plural(word: str, count: int) -> str:
    """Return the singular or plural of a word, by the number of things."""
    return word if count == 1 else f"{word}s"


def counted(number: int, word: str) -> str:
    """Return a number of things, like ``1 device``."""
    return f"{number} {plural(word, number)}"


def listing(names: Sequence[str], most: int) -> str:
    """Return at most ``most`` names in a row, and the rest as a number: ``a, b and 3 more``."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def markdown(text: str) -> str:
    """Return words for Markdown: one line, in which nothing is markup, a link, a tag, a mention or a reference.

    Character references are never markup, not even in a table. An empty comment splits ``@`` and ``#`` from a name, and
    splits words that a forge would turn into links. A commit id stays as it is: it leads to this repository or nowhere.
    """
    words = _LINK.sub(_parted, one_line(text))
    return "".join(_reference(character) for character in words).replace(_PLACE, BREAK)


_PLACE = "\0"
"""Marks a place where a word is split; no line of words has this character."""


def _parted(found: re.Match[str]) -> str:
    return f"{found[0]}{_PLACE}"


def _reference(character: str) -> str:
    if character in "@#":
        return f"&#{ord(character)};{BREAK}"
    return f"&#{ord(character)};" if character in MARKUP else character


def markdown_code(text: str) -> str:
    """Return an id for Markdown."""
    if all(character.isalnum() or character in "-_.…" for character in text):
        return f"`{text}`"
    return f"<code>{markdown(text)}</code>"


def one_line(text: str) -> str:
    """Return words from outside on one line, without characters that control a terminal or the direction of writing."""
    return " ".join("".join(one if one.isprintable() else " " for one in readable(text)).split())


def readable(text: str) -> str:
    """Return text that can be written as UTF-8: a file's name need not be."""
    return text.encode("utf-8", "backslashreplace").decode()


def steerless(document: str) -> str:
    """Return a document of JSON in which every character that steers a terminal is escaped. It means the same."""
    if document.isascii() and "\x7f" not in document:  # JSON escapes what else of ASCII steers
        return document
    return _STEERING.sub(_escaped, document)


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
