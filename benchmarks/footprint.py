"""Memory and CPU of the daemon as a process: when it has subscribed all, and when there is nothing to do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Row, at_most
from benchmarks._daemon import devices_of, running
from benchmarks._platform import platform
from benchmarks._processes import held_bytes, peak_bytes, processor_seconds

LATENCY_SECONDS = 0.02
IDLE_SECONDS, QUICK_SECONDS = 60.0, 10.0
SMALL, LARGE = 1_000, 100_000


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure a thousand devices that have to be subscribed, then a hundred thousand that are already."""
    yield from _life(SMALL, subscribed=False, idle_seconds=QUICK_SECONDS if quick else IDLE_SECONDS)
    if not quick:
        yield from _life(LARGE, subscribed=True, idle_seconds=IDLE_SECONDS)


def _life(count: int, *, subscribed: bool, idle_seconds: float) -> Iterator[Row]:
    """Yield the figures of one daemon's life."""
    devices, what = devices_of(count), f"{count:,} devices"
    memory, share = (
        (at_most(80, absolute=True), at_most(0.5, absolute=True))
        if count == SMALL
        else (None, None)
    )
    with platform(latency_seconds=LATENCY_SECONDS) as lg, tempfile.TemporaryDirectory() as folder:
        lg.subscribe(devices if subscribed else ())
        with running(lg, devices, Path(folder)) as daemon:
            daemon.wait_until_in_sync(count)
            verb = "read" if subscribed else "subscribed"
            yield Row(f"{what}, all {verb}: memory at most", peak_bytes(daemon.pid) / 1e6, "MB")
            yield Row(f"{what}, all {verb}: CPU so far", processor_seconds(daemon.pid), "s")
            before, began = processor_seconds(daemon.pid), time.perf_counter()
            time.sleep(idle_seconds)
            used = (processor_seconds(daemon.pid) - before) / (time.perf_counter() - began)
            yield Row(f"{what}, idle: memory", held_bytes(daemon.pid) / 1e6, "MB", target=memory)
            yield Row(f"{what}, idle: share of a core", used * 100, "%", target=share)
