"""From an edit of a small file to the first POST that LG hears, with a daemon that was at rest."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Row, at_most
from benchmarks._daemon import devices_of, running
from benchmarks._platform import Platform, platform

DEVICES = 20
EDITS, QUICK_EDITS = 30, 8
REST_SECONDS = 0.5
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.01


def rows(*, quick: bool) -> Iterator[Row]:
    """Add one device after another, each time when everything rests."""
    edits = QUICK_EDITS if quick else EDITS
    devices = devices_of(DEVICES + edits)
    with platform(latency_seconds=0.02) as lg, tempfile.TemporaryDirectory() as folder:
        lg.subscribe(devices[:DEVICES])
        with running(lg, devices[:DEVICES], Path(folder)) as daemon:
            daemon.wait_until_in_sync(DEVICES)
            took = []
            for wanted in range(DEVICES + 1, DEVICES + edits + 1):
                time.sleep(REST_SECONDS)
                lg.heard()
                began = time.monotonic()
                daemon.want(devices[:wanted])
                took.append(_first_post(lg) - began)
                daemon.wait_until_in_sync(wanted)
    shown = [1000 * seconds for seconds in took]
    yield Row(
        f"edit of a file of {DEVICES} devices until LG hears the first POST",
        statistics.median(shown),
        "ms",
        target=at_most(300, absolute=True),
        remark=f"{edits} edits, {min(shown):.0f} to {max(shown):.0f} ms, a call takes 20 ms",
    )


def _first_post(lg: Platform) -> float:
    """Wait for it, and return when it came."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_SECONDS:
        if (came := lg.heard().first.get("POST")) is not None:
            return came
        time.sleep(LOOK_SECONDS)
    raise RuntimeError("no POST came")
