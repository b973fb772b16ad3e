"""Recognises lines and files in other formats.

Owns: the signs of a line of a spreadsheet, of JSON or of a merge conflict, and the sentence for a file that is not a
list of ids. Must not: know places, or quote a line. Every check takes time in proportion to the length of the file: no
pattern here backtracks.
"""

from __future__ import annotations

import codecs
import re

ENDS = frozenset(",;\"'`()[]{}\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb")
"""Commas, semicolons, quotes and brackets: at an end of an id they show another format."""
SEPARATORS = frozenset(",;")
"""Marks between two values. No id has one inside."""
MARKS = frozenset("<=>|")
"""The beginnings of the lines that git writes between two sides of a conflict."""
FEWEST_MARKS = 7
EXPONENT = re.compile(r"[0-9]++(?:\.[0-9]++[eE][+-]?+|[eE][+-])[0-9]++", re.ASCII)
"""A number as a spreadsheet rounds it. ``12e5`` may be an id in hexadecimal digits, so a point or a sign is needed."""
MINUS_EXPONENT = re.compile(rb"^[0-9]++[eE]-[0-9]++$", re.MULTILINE)
"""The numbers among lines of plain ids; those with a point or a plus are not plain."""

EMPTY = (
    "the file is empty: if it is meant to list no device, write a comment into it, such as # none"
)
BYTE_ORDER_MARK = (
    "begins with a byte order mark (U+FEFF), which is not needed: save it as UTF-8 without one"
)
_LFS = b"version https://git-lfs.github.com/spec/"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAMPLE = 4096


def line(text: str) -> str | None:
    """Return the sentence for a line in another format, or ``None``."""
    ends = {text[:1], text[-1:]}
    if not ENDS.isdisjoint(ends):
        found = "has a comma, semicolon, quote or bracket at an end: give the bare id, without marks of CSV or JSON"
    elif not SEPARATORS.isdisjoint(text):
        found = "has a comma or semicolon inside, as in a CSV file: give one id alone"
    elif EXPONENT.fullmatch(text):
        found = "is a number that a spreadsheet rounded: the id is lost; export the column as text"
    elif len(text) >= FEWEST_MARKS and MARKS.issuperset(text[:FEWEST_MARKS]):
        found = "is a line of an unresolved merge conflict: resolve it"
    elif "\ufeff" in text:
        found = "has a byte order mark (U+FEFF) here, as when two files are joined: remove it"
    else:
        found = None
    return found


def whole(content: bytes) -> str | None:
    """Return the sentence for a file in another format, or ``None``."""
    if content.startswith(_LFS):
        return "is a Git LFS pointer, not the file itself: run git lfs pull where it is checked out"
    if content.startswith(_UTF_16) or _every_other_is_null(content[:_SAMPLE]):
        return "is UTF-16, as some editors and spreadsheets save it, not UTF-8: save it as UTF-8"
    if content.startswith(b"PK\3\4"):
        return "is a spreadsheet or a ZIP archive, not text: export the ids as text, one a line"
    if content.startswith(b"\0GITCRYPT\0"):
        return "is encrypted by git-crypt: run git-crypt unlock where it is checked out"
    return None


def conflict(content: bytes) -> int:
    """Return the byte where the first merge conflict begins, or -1. Its three marks must be in order."""
    begin = _line_with(content, b"<<<<<<< ", 0)
    middle = _line_with(content, b"=======", begin) if begin >= 0 else -1
    return begin if middle >= 0 and _line_with(content, b">>>>>>> ", middle) >= 0 else -1


def _line_with(content: bytes, mark: bytes, start: int) -> int:
    """Return where the first line that begins with a mark begins, or -1."""
    if start == 0 and content.startswith(mark):
        return 0
    found = content.find(b"\n" + mark, max(start - 1, 0))
    return found + 1 if found >= 0 else -1


def _every_other_is_null(sample: bytes) -> bool:
    """Return whether all odd or all even bytes are null: ASCII in UTF-16 without a mark."""
    half = len(sample) // 2
    return half >= FEWEST_MARKS and half in (sample[::2].count(0), sample[1::2].count(0))
