"""How long the program takes to be there: beside a bare interpreter, and the daemon until it is ready."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import Row, alternating, at_most, compared
from benchmarks._daemon import devices_of, running
from benchmarks._platform import platform

PAIRS, QUICK_PAIRS = 15, 5
STARTS, QUICK_STARTS = 7, 3
DEVICES = 1_000
BARE = (sys.executable, "-c", "pass")
LIBRARIES = (
    sys.executable,
    "-c",
    "import typer._adapters, pydantic\nclass One(pydantic.BaseModel):\n    one: int",
)
"""What a command that reads a file by a schema begins with: typer, and pydantic with one model of one field."""
SCRIPT = str(Path(sys.executable).with_name("pcc-reconciler"))
ENVIRONMENT: Mapping[str, str] = {}
"""Nothing: whatever the shell around has set would be read."""


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure commands in CPU seconds, which the rest of the machine changes least, and the daemon by the clock."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "desired-state.toml")
        text.write_text(
            'version = 1\ndevices = ["one", "two", { id = "three", name = "Room 3" }]\n'
        )
        validate = ["validate", str(text)]
        cases = [
            ("--version", ["--version"], BARE, "python -c pass", 4.0),
            ("validate", validate, LIBRARIES, "typer and one pydantic model", 2.0),
        ]
        if (
            not quick
        ):  # those libraries alone are past this target; noise on top would call it far out of line
            cases.append(("validate", validate, BARE, "python -c pass", 12.0))
        for what, arguments, floor, against, most in cases:
            for how, begin in (
                ("python -m reconciler", [sys.executable, "-m", "reconciler"]),
                ("script", [SCRIPT]),
            ):
                pairs = alternating(
                    partial(_processor_seconds, [*begin, *arguments]),
                    partial(_processor_seconds, floor),
                    QUICK_PAIRS if quick else PAIRS,
                )
                shown = [(ours * 1000, other * 1000) for ours, other in pairs]
                yield compared(f"{what}, {how}, CPU", shown, "ms", against, at_most(most))
    ready = [_ready_seconds() for _ in range(QUICK_STARTS if quick else STARTS)]
    yield Row(
        f"run until ready, {DEVICES:,} devices in sync",
        sorted(ready)[len(ready) // 2],
        "s",
        target=at_most(1.5, absolute=True),
        remark=f"{min(ready):.2f} to {max(ready):.2f}",
    )


def _processor_seconds(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)  # noqa: S603 - our own program
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ready_seconds() -> float:
    """Return how long a daemon takes from its start until its probe says that it is ready."""
    with platform(latency_seconds=0.02) as lg, tempfile.TemporaryDirectory() as folder:
        devices = devices_of(DEVICES)
        lg.subscribe(devices)
        began = time.perf_counter()
        with running(lg, devices, Path(folder)) as daemon:
            daemon.wait_until_ready()
            return time.perf_counter() - began
