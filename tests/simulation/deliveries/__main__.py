"""Run many days of delivery, and say of each that broke a promise which, and how to see it again.

make simulate-events SEEDS=200 HOURS=24 FROM=1
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from simulation.deliveries.seed import run

SHOWN = 5
"""Broken promises of one run that are shown."""


def main(words: list[str]) -> int:
    """Run what was asked for; the exit code is 1 where any promise was broken."""
    parser = argparse.ArgumentParser(prog="simulation.deliveries", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hours", type=float, default=24.0, help="hours of trouble of each seed")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(words)
    seeds = [(seed, asked.hours) for seed in range(asked.first, asked.first + asked.seeds)]
    began, bad, events, attempts = time.monotonic(), 0, 0, 0
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        for seed, accepted, tried, found in pool.imap_unordered(run, seeds):
            events, attempts = events + accepted, attempts + tried
            if found:
                bad += 1
                for line in [f"seed {seed} broke a promise", *found[:SHOWN]]:
                    sys.stdout.write(f"{line}\n")
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"{len(seeds)} seeds of {asked.hours:g} hours in {seconds:.0f} s: "
        f"{events} events, {attempts} attempts, {bad} broken\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
