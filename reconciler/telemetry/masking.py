"""What must never be printed.

Owns: the secrets of this process, and every spelling of each that a text may hold.
Must not: know where a secret comes from, or what prints.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "**********"

FEW = 500
"""The number of spellings that are sought one by one, which costs time for each. Beyond it, an index costs time for
each character of a text."""
RENEWALS = 3
"""The number of sets of secrets of one owner that stay masked: a line may still quote one that was just replaced."""
KEPT_SECONDS = 3600.0
"""Seconds for which a replaced secret stays masked: a pass, an error or a line of the log may still quote it."""
WIDTH = 8
"""Characters by which the index knows the beginning of a spelling; fewer where a shorter secret is known."""


class Masking:
    """The last step of anything that is printed: replaces every known secret, wherever it is in the text.

    Not a character of a secret is left, also where two of them overlap. What it costs does not grow with the number of
    secrets beyond ``FEW``: a fleet has several for each account.
    """

    def __init__(self) -> None:
        self._lasting: set[str] = set()
        self._renewed: dict[Hashable, deque[frozenset[str]]] = {}
        self._held: defaultdict[Hashable, _Held] = defaultdict(_Held)
        self._spellings: Counter[str] = Counter()
        self._index = _Index(WIDTH)

    def know(self, secrets: Iterable[str]) -> None:
        """Take secrets that stay masked until the process ends: those that are given once, at its start."""
        new = {secret for secret in secrets if secret} - self._lasting
        self._lasting |= new
        self._add(new)

    def hold(self, owner: Hashable, secrets: frozenset[str], now: float) -> None:
        """Take all secrets that an owner has at this moment, in steady seconds, and forget those replaced long ago."""
        held = self._held[owner]
        if secrets is not held.present:
            self._add((secrets - held.present) - held.gone.keys())
            for secret in held.present - secrets:
                held.gone[secret] = now
            for secret in secrets & held.gone.keys():
                del held.gone[secret]
            held.present = secrets
        while held.gone and now - held.gone[oldest := next(iter(held.gone))] > KEPT_SECONDS:
            del held.gone[oldest]
            self._remove([oldest])

    def renew(self, owner: Hashable, secrets: Iterable[str]) -> None:
        """Take the newest secrets of an owner that gets others every hour, and forget those of long before."""
        sets = self._renewed.setdefault(owner, deque())
        sets.append(frozenset(secret for secret in secrets if secret))
        self._add(sets[-1])
        if len(sets) > RENEWALS:
            self._remove(sets.popleft())

    def _add(self, secrets: Iterable[str]) -> None:
        new = set()
        for secret in secrets:
            for spelling in _spellings(secret):
                if spelling not in self._spellings:
                    new.add(spelling)
                self._spellings[spelling] += 1
        if not new:
            return
        width = min(self._index.width, *map(len, new))
        if width < self._index.width:
            wider = _Index(width)
            wider.add(self._spellings)
            self._index = wider
        else:
            self._index.add(new)

    def _remove(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            for spelling in _spellings(secret):
                self._spellings[spelling] -= 1
                if not self._spellings[spelling]:
                    del self._spellings[spelling]
                    self._index.remove(spelling)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        few = len(self._spellings) <= FEW
        sought = (
            tuple(self._spellings) if few else self._index.beginning_in(text)
        )  # others come from other threads
        spans = sorted(
            span for spelling in sought if spelling in text for span in _spans(spelling, text)
        )
        shown, seen = "", 0
        for begin, end in spans:
            if begin >= seen:
                shown += text[seen:begin] + MASK
            seen = max(seen, end)
        return shown + text[seen:]

    def __call__(self, _logger: Any, _method: str, line: Any) -> Any:
        """Mask a finished line of the log."""
        return self.text(line) if isinstance(line, str) else line


class _Held:
    """The secrets of one owner: those of now, and those of before with the moment when they were replaced."""

    def __init__(self) -> None:
        self.present: frozenset[str] = frozenset()
        self.gone: dict[str, float] = {}


class _Index:
    """Spellings by how they begin, so that a text is gone through once, however many there are.

    One thread changes it while others look: what they look at is exchanged, and never changed.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._by_beginning: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)

    def add(self, spellings: Iterable[str]) -> None:
        """Take spellings that are not in it yet; none may be shorter than ``width``."""
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for spelling in spellings:
            alike[spelling[: self.width]].append(spelling)
        for beginning, some in alike.items():
            self._by_beginning[beginning] += (*some,)

    def remove(self, spelling: str) -> None:
        """Forget a spelling."""
        beginning = spelling[: self.width]
        left = tuple(one for one in self._by_beginning[beginning] if one != spelling)
        if left:
            self._by_beginning[beginning] = left
        else:
            del self._by_beginning[beginning]

    def beginning_in(self, text: str) -> Iterator[str]:
        """Yield the spellings whose beginning is in a text; all others need no look."""
        width = self.width
        for piece in {text[at : at + width] for at in range(len(text))}:
            yield from self._by_beginning.get(piece, ())


def _spans(spelling: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where a spelling is in a text, also where it overlaps itself."""
    at = text.find(spelling)
    while at >= 0:
        yield at, at + len(spelling)
        at = text.find(spelling, at + 1)


def _spellings(secret: str) -> set[str]:
    """Return how a secret may look in a text: as it is, in JSON, quoted by Python, in an address or a form."""
    quoted = {_json(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    inside = {_json(one) for one in quoted}  # an exception's words in a JSON line are quoted twice
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), *quoted, *inside}


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
