"""A plan that finds nothing to do, beside octoDNS, which also makes a provider's list equal to files.

Ours: the text with its devices from disk, the live list by HTTP from a platform that answers at once, the diff, the
guards, and the report, as `plan` does it. octoDNS: as many A records from a YAML file, the live ones from another, its
plan. So ours has a network call to make and octoDNS has none. Imports are counted for neither.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import Row, alternating, at_most, compared
from benchmarks._daemon import devices_of, rest, text_of
from benchmarks._platform import Platform, platform
from benchmarks._processes import apart
from reconciler.runtime import oneshot, settings
from reconciler.runtime.accounts import Follower
from reconciler.telemetry.logs import set_up_logs

OCTODNS = "octodns==1.22.0"
HOME = Path("build/peers") / OCTODNS
SIZES, QUICK_SIZES = (10_000, 50_000), (1_000,)
PAIRS = 3
TARGET = at_most(0.01)
"""A hundred times faster. Small plans are all set-up on our side, so the quick run has no target."""


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure both in turns; where octoDNS cannot be installed, say so."""
    trouble = _install()
    for entries in QUICK_SIZES if quick else SIZES:
        what, target = f"no-op plan of {entries:,} entries", None if quick else TARGET
        if trouble:
            yield Row(what, None, "s", target=target, remark=f"no peer: {trouble}")
            continue
        with platform(latency_seconds=0) as lg:
            lg.subscribe(devices_of(entries))
            pairs = alternating(partial(_ours, lg, entries), partial(_octodns, entries), PAIRS)
        yield compared(what, pairs, "s", OCTODNS.replace("==", " "), target)


def _install() -> str:
    """Install octoDNS into a place of its own, unless it is there; return what stands in the way, or nothing."""
    if (HOME / ".installed").exists():
        return ""
    try:
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "venv", "--clear", HOME], check=True, capture_output=True
        )
        subprocess.run(  # noqa: S603 - a pinned name
            [HOME / "bin/python", "-m", "pip", "--quiet", "install", OCTODNS],
            check=True,
            capture_output=True,
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{OCTODNS} could not be installed ({type(error).__name__}): is a package registry within reach?"
    (HOME / ".installed").touch()
    return ""


def _octodns(entries: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(__file__).with_name("_octodns.py")
        ended = subprocess.run(  # noqa: S603 - our own program
            [HOME / "bin/python", program, folder, str(entries)],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(ended.stdout.split()[-1])


def _ours(lg: Platform, entries: int) -> float:
    return float(apart(_plan, lg.settings(), entries).given)


def _plan(lg: dict[str, str], entries: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "desired-state.toml")
        text.write_text(text_of(devices_of(entries)), encoding="utf-8")
        rest()
        given = settings.load(
            {**lg, "PCC_DESIRED_STATE": str(text), "PCC_STATE_DIR": str(Path(folder, "state"))}
        )
        masking = set_up_logs("critical", "json")
        masking.know(given.secrets())
        began = time.perf_counter()
        work = asyncio.run(oneshot.dry_run(given, masking, None, Follower()))
        took = time.perf_counter() - began
    [report] = work.reports
    assert report.plan is not None
    assert not report.plan.changes
    return took
