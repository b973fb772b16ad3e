"""The plan of one account beside two bare set differences, by number of devices and by how many of them differ."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from benchmarks import Row, alternating, compared
from reconciler.core.model import DEFAULT_ACCOUNT, Desired, DeviceId, Memory, Observed
from reconciler.core.planner import plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAIRS = 5


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure the usual case, nothing to do, and a tenth of the devices to subscribe and another to unsubscribe."""
    for size in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        ids = [
            DeviceId(sha256(str(number).encode()).hexdigest())
            for number in range(size + size // 10)
        ]
        for what, wanted in (
            ("in sync", frozenset(ids[:size])),
            ("10% new, 10% gone", frozenset(ids[-size:])),
        ):
            # Equal strings, not the same ones: the file and LG's answer are read apart.
            live = frozenset(DeviceId(str(device.encode(), "ascii")) for device in ids[:size])
            ours = partial(
                plan, Desired(DEFAULT_ACCOUNT, wanted), Observed(live, NOW), Memory(), NOW
            )
            floor = partial(_differences, wanted, live)
            pairs = alternating(partial(_seconds, ours), partial(_seconds, floor), PAIRS)
            yield compared(f"plan of {size:,} devices, {what}", pairs, "s", "two set differences")


def _differences(wanted: frozenset[DeviceId], live: frozenset[DeviceId]) -> object:
    return wanted - live, live - wanted


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
