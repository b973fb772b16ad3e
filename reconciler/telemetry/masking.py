"""Keeps secrets out of all output.

Owns: the secrets of this process, and every spelling of each.
Must not: know where a secret comes from, or what prints.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from reconciler.core.text import steerless

MASK = "**********"

FEW = 500
"""Up to this number, spellings are searched one by one, and each costs time. Beyond it there is an index, which costs
time for each character of the output."""
RENEWALS = 3
"""The number of sets of secrets of one owner that stay masked: a line may still quote a replaced one."""
KEPT_SECONDS = 3600.0
"""Seconds for which a replaced secret stays masked: a pass, an error or a line of the log may still quote it."""
WIDTH = 8
"""Characters of the beginnings in the index; fewer if a known secret is shorter."""


class Masking:
    """The last step of all output: replaces every known secret.

    No character of a secret is left, also if two secrets overlap. Beyond ``FEW`` secrets the cost no longer grows: a
    fleet has several for each account.
    """

    def __init__(self) -> None:
        self._lasting: set[str] = set()
        self._renewed: dict[Hashable, deque[frozenset[str]]] = {}
        self._held: defaultdict[Hashable, _Held] = defaultdict(_Held)
        self._spellings: Counter[str] = Counter()
        self._index = _Index(WIDTH)

    def know(self, secrets: Iterable[str]) -> None:
        """Add secrets that stay masked until the process ends: those from its start."""
        new = {secret for secret in secrets if secret} - self._lasting
        self._lasting |= new
        self._add(new)

    def hold(self, owner: Hashable, secrets: frozenset[str], now: float) -> None:
        """Set all present secrets of an owner, at a steady time in seconds, and drop those replaced long ago."""
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
        """Set the newest secrets of an owner that gets new ones every hour, and drop old ones."""
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
        """Return a string without secrets."""
        few = len(self._spellings) <= FEW
        sought = (
            tuple(self._spellings) if few else self._index.beginning_in(text)
        )  # others come from other threads
        there = [spelling for spelling in sought if spelling in text]
        if not there:
            return text
        spans = sorted(span for spelling in there for span in _spans(spelling, text))
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
    """The secrets of one owner: the present ones, and earlier ones with the moment of their replacement."""

    def __init__(self) -> None:
        self.present: frozenset[str] = frozenset()
        self.gone: dict[str, float] = {}


class _Index:
    """Spellings by their beginning, so one walk through a string finds all of them.

    One thread updates it while others read. An update replaces the maps that they read, and never changes one.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._by_beginning: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)

    def add(self, spellings: Iterable[str]) -> None:
        """Add new spellings; none may be shorter than ``width``."""
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for spelling in spellings:
            alike[spelling[: self.width]].append(spelling)
        for beginning, some in alike.items():
            self._by_beginning[beginning] += (*some,)

    def remove(self, spelling: str) -> None:
        """Remove a spelling."""
        beginning = spelling[: self.width]
        left = tuple(one for one in self._by_beginning[beginning] if one != spelling)
        if left:
            self._by_beginning[beginning] = left
        else:
            del self._by_beginning[beginning]

    def beginning_in(self, text: str) -> Iterator[str]:
        """Yield the spellings whose beginning is in a string; the others need no search."""
        width = self.width
        for piece in {text[at : at + width] for at in range(len(text))}:
            yield from self._by_beginning.get(piece, ())


def _spans(spelling: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield each place of a spelling in a string, also if it overlaps itself."""
    at = text.find(spelling)
    while at >= 0:
        yield at, at + len(spelling)
        at = text.find(spelling, at + 1)


def _spellings(secret: str) -> set[str]:
    """Return the spellings of a secret: as it is, in JSON, quoted by Python, in an address or a form."""
    quoted = {_json(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    inside = {_json(one) for one in quoted}  # an exception's words in a JSON line are quoted twice
    shown = {steerless(one) for one in quoted | inside}
    addressed = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    return {secret, *addressed, *quoted, *inside, *shown}


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
