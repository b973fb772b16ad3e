"""How fast and how small the program is, beside a floor or a peer; `make bench` prints it all as one table.

A benchmark is a module of this package with a function `rows(*, quick)` that yields what it measured; modules whose
name begins with an underscore are what several of them share. Machines differ, and whatever else a machine does falls
on one run and not on the next. So what counts is a ratio: the program and what it is held against take turns in one
run, and each pair gives one ratio. Times alone are for reading.

Owns: the shape of what was measured, the ratios of pairs, what a target is and when it is met.
Must not: know what is measured, or print.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

OUT_OF_LINE = 2.0
"""A ratio so many times worse than its target is no noise of the machine: something broke."""
MANY = 10
"""Of so many ratios the spread leaves out the lowest and the highest tenth."""


class Bound(StrEnum):
    """On which side of its value a target is met."""

    AT_MOST = "≤"
    AT_LEAST = "≥"
    EXACTLY = "="


class Verdict(StrEnum):
    """What became of a target."""

    MET = "met"
    MISSED = "missed"
    NO_TARGET = "no target"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Target:
    """What has to be reached: by the ratio, or, where it is ``absolute``, by what the program itself took.

    An absolute one depends on the machine, so it is told, and never fails a run.
    """

    bound: Bound
    value: float
    absolute: bool = False

    def met_by(self, found: float) -> bool:
        """Say whether a figure reaches it."""
        return self._times_worse(found) <= 1

    def far_from(self, found: float) -> bool:
        """Say whether a figure misses it by more than the machine explains."""
        return self._times_worse(found) > OUT_OF_LINE

    def _times_worse(self, found: float) -> float:
        above, below = _over(found, self.value), _over(self.value, found)
        return {Bound.AT_MOST: above, Bound.AT_LEAST: below, Bound.EXACTLY: max(above, below)}[
            self.bound
        ]


def at_most(value: float, *, absolute: bool = False) -> Target:
    """Return a target that is met from below."""
    return Target(Bound.AT_MOST, value, absolute)


def at_least(value: float, *, absolute: bool = False) -> Target:
    """Return a target that is met from above."""
    return Target(Bound.AT_LEAST, value, absolute)


def exactly(value: float, *, absolute: bool = False) -> Target:
    """Return a target that only its very value meets."""
    return Target(Bound.EXACTLY, value, absolute)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    ``ours`` is what the program took, ``other`` what it is held ``against``, both in ``unit``: medians of one run in
    which the two took turns. ``ratios`` are ours to the other's, one a pair. Without ``ours`` it could not be measured,
    and ``remark`` says why.
    """

    what: str
    ours: float | None
    unit: str
    other: float | None = None
    against: str = ""
    ratios: Sequence[float] = ()
    target: Target | None = None
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """Return the median of the ratios, if there are any."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """Return between what most ratios lie, if there are several."""
        if len(self.ratios) < 2:
            return None
        ordered = sorted(self.ratios)
        beside = len(ordered) // 10 if len(ordered) >= MANY else 0
        return ordered[beside], ordered[-1 - beside]

    @property
    def verdict(self) -> Verdict:
        """Say whether the target is met."""
        judged = self._judged
        if self.ours is None:
            return Verdict.NOT_MEASURED
        if self.target is None or judged is None:
            return Verdict.NO_TARGET
        return Verdict.MET if self.target.met_by(judged) else Verdict.MISSED

    @property
    def out_of_line(self) -> bool:
        """Say whether a ratio misses its target by so much that it is no noise."""
        if self.target is None or self.target.absolute or self.ratio is None:
            return False
        return self.target.far_from(self.ratio)

    @property
    def _judged(self) -> float | None:
        return self.ours if self.target is not None and self.target.absolute else self.ratio


def compared(
    what: str,
    pairs: Iterable[tuple[float, float]],
    unit: str,
    against: str,
    target: Target | None = None,
    *,
    remark: str = "",
) -> Row:
    """Return the row of what was measured in pairs: ours, then what it is held against."""
    pairs = list(pairs)
    return Row(
        what,
        statistics.median(ours for ours, _ in pairs),
        unit,
        statistics.median(other for _, other in pairs),
        against,
        tuple(_over(ours, other) for ours, other in pairs),
        target,
        remark,
    )


def turns(pairs: int) -> Iterator[tuple[int, int]]:
    """Yield so many orders of two, 0 and 1. Each goes first as often: whoever goes second finds warm caches."""
    for number in range(pairs):
        yield (0, 1) if number % 2 == 0 else (1, 0)


def alternating(
    ours: Callable[[], float], other: Callable[[], float], pairs: int
) -> list[tuple[float, float]]:
    """Let both take turns and return what each gave, pair by pair."""
    found = []
    for order in turns(pairs):
        given = {place: (ours, other)[place]() for place in order}
        found.append((given[0], given[1]))
    return found


def exit_code(rows: Iterable[Row]) -> int:
    """Return the exit code of a run: 1 where a ratio is out of line, however good the others are."""
    return int(any(row.out_of_line for row in rows))


def _over(one: float, other: float) -> float:
    """Return how many times the other fits in the one; nothing fits in nothing once, and in anything else never."""
    if other == 0:
        return 1.0 if one == 0 else float("inf")
    return one / other
