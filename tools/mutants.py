"""Break the program in every small way and tell which breakages its tests do not notice.

Owns: the command, and what it says. Must not: touch the project itself. Not collected by pytest.

Usage: ``python tools/mutants.py [ROOM or MODULE…] [--operators usual,attribute,operand] [--sample 300] [--seed 7]``,
for example ``core/planner`` or ``state``. ``tools/mutants.toml`` says which modules make a room and which tests judge
them, and holds the breakages that nobody could notice, each with the reason. Every other survivor is printed; the
exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakages import OPERATORS, Mutant, mutants
from operating import NOTICED, outcomes
from siblings import Index

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "reconciler"
TABLE = "tools/mutants.toml"


@dataclass(frozen=True, slots=True)
class Room:
    """Some modules, and the tests that judge them."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]


def table(root: Path = ROOT) -> dict[str, Any]:
    """Read the table."""
    return tomllib.loads((root / TABLE).read_text("utf-8"))


def rooms(read: dict[str, Any], root: Path = ROOT) -> Iterator[Room]:
    """Return the rooms of the table; a pattern that fits no module is a mistake in it."""
    package = root / PACKAGE
    for one in read["room"]:
        modules: list[str] = []
        for pattern in one["modules"]:
            fitting = sorted(package.glob(f"{pattern}.py"))
            assert fitting, f"{pattern} in {TABLE} fits no module"
            modules.extend(path.relative_to(package).with_suffix("").as_posix() for path in fitting)
        yield Room(one["name"], tuple(dict.fromkeys(modules)), tuple(one["tests"]))


def asked(given: list[Room], words: list[str]) -> Iterator[Room]:
    """Return the rooms that are asked for, each with the modules that are."""
    known = {room.name for room in given} | {module for room in given for module in room.modules}
    if strange := set(words) - known:
        sys.exit(f"{TABLE} has no room or module {', '.join(sorted(strange))}")
    for room in given:
        if not words or room.name in words:
            yield room
        elif chosen := tuple(module for module in room.modules if module in words):
            yield Room(room.name, chosen, room.tests)


def chosen(room: Room, index: Index, given: argparse.Namespace) -> list[Mutant]:
    """Return a room's mutants, or as many of them as are asked for."""
    operators = tuple(given.operators.split(","))
    found = [
        one
        for module in room.modules
        for one in mutants(given.root / PACKAGE, module, index, operators)
    ]
    if given.again is not None:
        before = {line.partition("] ")[2] for line in given.again.read_text("utf-8").splitlines()}
        found = [one for one in found if one.name in before]
    if given.sample and given.sample < len(found):
        found = random.Random(f"{given.seed} {room.name}").sample(found, given.sample)  # noqa: S311
    return found


def judge(
    room: Room, found: list[Mutant], reasons: dict[str, str], given: argparse.Namespace
) -> Counter[str]:
    """Try every mutant of a room, print the survivors, and count."""
    counted: Counter[str] = Counter()
    for mutant, outcome in outcomes(given.root / PACKAGE, room.tests, found, given.jobs):
        excused = outcome != NOTICED and mutant.name in reasons
        counted["equivalent" if excused else outcome] += 1
        if outcome != NOTICED and not excused:
            place = f"reconciler/{mutant.module}.py:{mutant.line}"
            _say(f"{place}: {outcome} [{mutant.operator}] {mutant.name}")
    return counted


def main(words: list[str]) -> int:
    """Break what is asked for in every way, print the survivors and the score."""
    given = _arguments(words)
    os.chdir(given.root)
    sys.path.insert(0, str(given.root))
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    read = table(given.root)
    index, total = Index(given.root / PACKAGE), Counter[str]()
    for room in asked(list(rooms(read, given.root)), given.words):
        found = chosen(room, index, given)
        if not found:
            continue
        counted = judge(room, found, read.get("equivalent", {}), given)
        _say(f"{room.name}: {_score(counted)}")
        total += counted
    _say(f"in all: {_score(total)}")
    return 1 if total["survived"] or total["untested"] else 0


def _score(counted: Counter[str]) -> str:
    parts = ", ".join(
        f"{counted[one]} {one}" for one in ("killed", "equivalent", "survived", "untested")
    )
    return f"{counted.total()} mutants: {parts}"


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description="Break the program, and test it.")
    parser.add_argument("words", nargs="*", metavar="ROOM|MODULE", help="which; all without any")
    parser.add_argument("--operators", default=",".join(OPERATORS), help="which kinds of breakage")
    parser.add_argument("--sample", type=int, default=0, help="so many of each room, by chance")
    parser.add_argument("--seed", type=int, default=1, help="what the chance goes by")
    parser.add_argument("--again", type=Path, help="only what an earlier output names as alive")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--root", type=Path, default=ROOT, help="the project that is broken")
    return parser.parse_args(words)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
