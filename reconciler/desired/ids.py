"""Device ids: the check of a single one, and of a million together.

Owns: the grammar of ids. Must not: know places, or quote what is no id.

Ids are checked together, without a loop. Only to find a fault are they checked one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import cast

from reconciler.core.model import DeviceId
from reconciler.desired import foreign

_PLAIN = bytes(code for code in range(0x21, 0x7F) if chr(code) not in "/?#%\\,;\"'`()[]{}<=>|.+")
"""The characters of nearly every id. Other printable ones are allowed, too, and are checked one by one."""

_BATCH, _BATCH_BYTES = 2048, 128 * 1024
"""Ids in a batch: enough that the loop is cheap, few enough for the processor's cache."""

_NOT_IDS = frozenset({"", ".", ".."})
_NEVER = frozenset(" /?#%\\")
"""Characters that no id has."""

LONGEST = 256
"""Characters in the longest id, and in the longest name."""

ID_WORDS = "an id is 1 to 256 printable characters without white space and without / ? # % \\, and not . or .."


def is_id(text: str) -> bool:
    """Return whether a string can be a device id, whatever its characters."""
    return (
        len(text) <= LONGEST
        and text.isprintable()
        and text not in _NOT_IDS
        and _NEVER.isdisjoint(text)
    )


def wrong_id(text: str, *, kept: bool = False) -> str | None:
    """Return why a string is no id that a file may have, or ``None``.

    An id that LG lists is an id, whatever it looks like. In our files, a line of another format is an accident.
    ``kept``: the file was accepted before, maybe by a version that did not look for other formats.
    """
    if is_id(text):
        return None if kept else foreign.line(text)
    return foreign.line(text) or ID_WORDS


def plain_ids(texts: Sequence[object]) -> frozenset[DeviceId] | None:
    """Return the ids as a set, or ``None`` unless all are ids of plain characters. No loop over single ones."""
    try:
        return _plain_set(_batches(cast("Sequence[str]", texts)))
    except (TypeError, UnicodeEncodeError, _NotPlain):
        return None


def plain_lines(content: bytes) -> frozenset[DeviceId] | None:
    """Return the ids of a file with one on each line and no more; ``None`` for any other, or if one is twice."""
    try:
        ids = _plain_set(_batches_of_lines(content))
    except _NotPlain:
        return None
    return ids if len(ids) == content.count(b"\n") else None


class _NotPlain(ValueError):
    """At least one item is not an id of plain characters. A check item by item finds it."""


def _plain_set(batches: Iterator[Sequence[str]]) -> frozenset[DeviceId]:
    """Return all ids of batches; each batch is made, checked and added before the next one.

    So a file of a million ids is never decoded as a whole beside its bytes, and other threads run between two batches.
    In one step Python would block the event loop for half a second.
    """
    ids = cast("frozenset[DeviceId]", frozenset(chain.from_iterable(batches)))
    if ids & _NOT_IDS:
        raise _NotPlain
    return ids


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        joined = "\n".join(batch).encode("ascii")
        newlines = joined.translate(None, _PLAIN)
        if (
            newlines != b"\n" * (len(batch) - 1)
            or _longest(joined, newlines, batch) > LONGEST
            or _has_number(joined)
        ):
            raise _NotPlain
        yield batch


def _batches_of_lines(content: bytes) -> Iterator[Sequence[str]]:
    start = 0
    while start < len(content):
        end = content.rfind(b"\n", start, start + _BATCH_BYTES) + 1
        piece = content[start:end]
        newlines = piece.translate(None, _PLAIN)
        if not piece or newlines.strip(b"\n"):
            raise _NotPlain
        batch = piece.decode("ascii").split("\n")
        batch.pop()
        if _longest(piece, newlines, batch) > LONGEST or _has_number(piece):
            raise _NotPlain
        yield batch
        start = end


def _has_number(lines: bytes) -> bool:
    """Return whether one of many plain lines is a number with a decimal exponent."""
    return (b"E-" in lines or b"e-" in lines) and foreign.MINUS_EXPONENT.search(lines) is not None


def _longest(joined: bytes, newlines: bytes, lines: Sequence[str]) -> int:
    """Return the length of the longest line. Nearly always all are as long as the first, which the newlines show."""
    width = joined.find(b"\n")
    return width if width > 0 and joined[width :: width + 1] == newlines else max(map(len, lines))
