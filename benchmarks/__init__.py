"""Measurements of the parts whose speed or memory a large fleet depends on; `make bench` prints them.

A benchmark is a module of this package with a function `measurements()` that yields what it measured. Nothing here
asserts: numbers are for reading, and machines differ.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Measurement:
    """How long something took, the memory that it held at its peak where that was measured, and what else to say."""

    what: str
    seconds: float
    peak_bytes: int | None = None
    remark: str = ""


def measure(what: str, work: Callable[[], object]) -> Measurement:
    """Measure one piece of work: the fastest of several rounds, then memory apart, because tracing it costs time."""
    seconds = min(_time(work) for _ in range(ROUNDS))
    gc.collect()
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Measurement(what, seconds, peak)


def _time(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
