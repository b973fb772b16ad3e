"""Whether two versions of the program live through the same seeds in the same way.

Owns: the histories of seeds as files, and their comparison line by line. Must not: judge; the checker does.

A move of code changes nothing that happens. So each version writes its histories, in its own checkout, and both folders
are compared. Lines of one moment may be in another order, because a log line may be written earlier or later in a pass.

    PYTHONPATH=tests:tests/support python -m simulation.histories write FOLDER --seeds 200
    PYTHONPATH=tests:tests/support python -m simulation.histories compare BEFORE AFTER
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from simulation.seed import run

MOMENT = re.compile(r"^\S+ \S+ \S+")
"""The date at the beginning of a line, to a thousandth of a second."""
SHOWN = 20


def write(folder: Path, seeds: Sequence[int], hours: float) -> None:
    """Write the history of each seed to a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        report = run(seed, hours)
        lines = [line.replace(tempfile.gettempdir(), "TEMP") for line in report.told()]
        (folder / f"{seed}.txt").write_text(
            "\n".join([*lines, f"violation: {report.violation}", ""]), "utf-8"
        )


def differences(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Yield what one history has at some moment and the other has not, marked with - and +."""
    old, new = _by_moment(before), _by_moment(after)
    for moment in sorted(old.keys() | new.keys()):
        gone, came = old.get(moment, Counter()), new.get(moment, Counter())
        yield from (f"- {line}" for line in (gone - came).elements())
        yield from (f"+ {line}" for line in (came - gone).elements())


def _by_moment(lines: Sequence[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for moment, group in groupby(lines, key=_moment):
        found.setdefault(moment, Counter()).update(group)
    return found


def _moment(line: str) -> str:
    match = MOMENT.match(line)
    return match[0] if match is not None else ""


def compare(before: Path, after: Path) -> int:
    """Print where two folders of histories differ; return 1 if they do anywhere."""
    names = sorted({path.name for folder in (before, after) for path in folder.glob("*.txt")})
    other = 0
    for name in names:
        old, new = (_lines(folder / name) for folder in (before, after))
        found = list(differences(old, new))
        if found:
            other += 1
            _say(f"{name}: {len(found)} lines differ")
            for line in found[:SHOWN]:
                _say(f"  {line[:200]}")
    _say(f"{len(names)} histories: {len(names) - other} equal, {other} different")
    return 1 if other else 0


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(words: list[str]) -> int:
    """Write histories, or compare two folders of them."""
    if (
        os.environ.get("PYTHONHASHSEED") != "0"
    ):  # the order of sets is a choice too, and has to be the same again
        again = [sys.executable, "-m", "simulation.histories", *words]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - ourselves, once more
    parser = argparse.ArgumentParser(
        prog="simulation.histories", description="Histories of seeds, and their comparison."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("folder", type=Path)
    writing.add_argument("--seeds", type=int, default=20)
    writing.add_argument("--from", type=int, default=1, dest="first")
    writing.add_argument("--hours", type=float, default=48.0)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    asked = parser.parse_args(words)
    if asked.command == "compare":
        return compare(asked.before, asked.after)
    write(asked.folder, range(asked.first, asked.first + asked.seeds), asked.hours)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
