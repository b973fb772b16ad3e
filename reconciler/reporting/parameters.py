"""Reads the parameters of a query: words that one of several may be, moments, numbers.

Owns: the sentence for each parameter that cannot be read. Must not: know what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from reconciler.core import duration
from reconciler.core.errors import ReconcilerError, quoted, suggestion


def insist_on_known(asked: Mapping[str, str], keys: Sequence[str]) -> None:
    """Raise ``ReconcilerError`` where a parameter is not known: a misspelt filter would mean everything."""
    for key in asked:
        if key not in keys:
            raise ReconcilerError(f"there is no parameter {quoted(key)!r}{suggestion(key, keys)}")


def insist_on_values(asked: Mapping[str, str]) -> None:
    """Raise ``ReconcilerError`` where a parameter is empty: a filter from a variable that is not set is no filter."""
    for key, value in asked.items():
        if not value.strip():
            raise ReconcilerError(f"{key} is empty: give it a value, or leave it out")


def one_of(name: str, word: str, known: Sequence[str]) -> str:
    """Return a word that is one of the known ones; raises ``ReconcilerError``."""
    if word not in known:
        near = suggestion(word, known)
        raise ReconcilerError(
            f"{name} must be one of {', '.join(known)}, not {quoted(word)!r}{near}"
        )
    return word


def moment(name: str, text: str, now: datetime) -> datetime:
    """Return a moment given as a time, or as a span before now; raises ``ReconcilerError``."""
    with suppress(ValueError):
        return now - duration.parse(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        how = "2h or 7d ago, or a time with its offset like 2026-11-22T10:00:00Z"
        raise ReconcilerError(f"{name} must be a duration like {how}, not {quoted(text)!r}")
    return at


def is_moment(text: str, now: datetime) -> bool:
    """Say whether a moment can be read."""
    try:
        moment("", text, now)
    except ReconcilerError:
        return False
    return True


def limit(text: str, most: int) -> int:
    """Return the most entries that are asked for; raises ``ReconcilerError`` where that is no number up to ``most``."""
    digits = text.lstrip("0")[:6]  # the longest number is refused by its beginning
    if digits and text.isascii() and text.isdecimal() and int(digits) <= most:
        return int(digits)
    raise ReconcilerError(f"limit must be a whole number from 1 to {most}, not {quoted(text)!r}")
