"""Run many seeds, and say of each that broke a promise what happened and how to see it again.

make simulate SEEDS=200 HOURS=48 FROM=1       seeds 1 to 200, 48 hours each
make simulate MODE=strict SEEDS=20 HOURS=12   slow calls, long passes, nobody meddles: nothing can hide in a grace
make simulate MODE=replicas SEEDS=20           three daemons share the accounts, over one database
make simulate MODE=heard SEEDS=20              events, forged and true; in the end LG sends none and hides that
make simulate SEEDS=fresh HOURS=48            as many new ones as a minute has, from a number of this moment
make simulate DEFECTS=all SEEDS=500           plants one defect after the other, and tells which seed finds it
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from random import SystemRandom

from simulation.modes import MODES, USUAL, Mode
from simulation.seed import told as seed_of

HOME = Path("build/simulation")
SHOWN = 40
"""Lines of a timeline that are shown; a file holds all of it."""
FRESH_SECONDS = 60.0
SEEDS_OF_A_PROCESS = 100
"""After so many seeds a process is replaced, so that what it collected is no part of any run."""


def main(words: list[str]) -> int:
    """Run what was asked for; the exit code is 1 where any promise was broken, or a defect was not found."""
    if (
        os.environ.get("PYTHONHASHSEED") != "0"
    ):  # the order of sets is a choice too, and has to be the same again
        again = [sys.executable, "-m", "simulation", *words]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - ourselves, once more
    asked = _arguments(words)
    if asked.defects:
        from simulation.defects import found  # noqa: PLC0415 - it changes the program, which a plain run must not see

        return found(
            asked.defects, asked.hours, int(asked.seeds), asked.first, jobs=asked.jobs, say=_say
        )
    first = SystemRandom().randrange(10**6, 10**9) if asked.seeds == "fresh" else asked.first
    until = time.monotonic() + FRESH_SECONDS if asked.seeds == "fresh" else float("inf")
    wanted = (
        count(first) if asked.seeds == "fresh" else iter(range(first, first + int(asked.seeds)))
    )
    return _run(wanted, asked.hours, asked.jobs, until, first, MODES[asked.mode])


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="simulation", description="Years of operation in minutes."
    )
    parser.add_argument(
        "--seeds", default="20", help="how many, or 'fresh' for as many new ones as a minute has"
    )
    parser.add_argument("--hours", type=float, default=48.0, help="simulated hours of each")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument(
        "--defects", default="", help="'all', or the names of defects to plant, with commas"
    )
    parser.add_argument("--mode", default="usual", choices=MODES, help="what kind of world")
    return parser.parse_args(words)


def _run(
    wanted: Iterator[int], hours: float, jobs: int, until: float, first: int, mode: Mode
) -> int:
    began, ended, broken, lived, last = time.monotonic(), 0, 0, 0.0, first - 1
    HOME.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(
        jobs, maxtasksperchild=SEEDS_OF_A_PROCESS
    ) as pool:
        while time.monotonic() < until and (batch := list(islice(wanted, 10 * jobs))):
            for seed, rule, timeline, simulated in pool.imap_unordered(
                seed_of, [(one, hours, mode) for one in batch]
            ):
                ended, lived, last = ended + 1, lived + simulated, max(last, seed)
                if rule:
                    broken += 1
                    _show(seed, hours, rule, timeline, mode)
            spent = time.monotonic() - began
            _say(
                f"{ended} seeds, {lived:,.0f} simulated hours in {spent:.0f} s: {lived / spent:,.0f} a second"
            )
    _say(f"seeds {first}..{last}: {broken} violation{'s' * (broken != 1)}")
    return 1 if broken else 0


def _show(seed: int, hours: float, rule: str, timeline: list[str], mode: Mode = USUAL) -> None:
    """Tell of a seed that broke a promise."""
    file = HOME / f"seed-{seed}.txt"
    file.write_text("\n".join(timeline) + "\n", encoding="utf-8")
    _say("")
    for line in chain(
        [f"seed {seed} broke a promise"], (one[:160] for one in timeline[-SHOWN:]), [f"  {rule}"]
    ):
        _say(line)
    again = f"make simulate SEEDS=1 FROM={seed} HOURS={hours:g}"
    if mode is not USUAL:
        again += f" MODE={mode.name}"
    _say(f"the whole timeline: {file}; to see it again: {again}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
