"""Plant defects that somebody chose from the program alone, one after the other, and say which the tests find.

Owns: the loop over a list such as ``planted.toml``: a copy of the project, one defect in it, the tests room by room
until one fails.
Must not: choose defects or tests, or touch the project itself. Not collected by pytest.

``tools/mutants.py`` breaks every expression of a few modules. These defects are few, and each is a mistake that a
person could make. Whoever chose them had not looked at the tests, so what is found says how far the tests see.

Usage: ``python tools/planting.py [--list tools/planted_twelfth.toml] [ID…]``. One line for each defect: found, with
the first test that failed, or not found. The exit code is 1 where a defect with safety weight is not found, or fewer
than nine in ten are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_name("planted.toml")
ROOMS = (
    "core",
    "desired",
    "state",
    "telemetry",
    "pcc",
    "events",
    "source",
    "controller",
    "reporting",
    "api",
    "cli",
    "runtime",
    "simulator",
    "whole",
    "simulation",
    "project",
    "deploy",
)
"""The folders of tests. Those of the defect's own room are run first, then the others in this order."""
ENOUGH = 0.9
"""The share of all defects that has to be found."""
TIME_LIMIT_SECONDS = 1800
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Defect:
    """One mistake: ``old`` stands once in ``file`` and becomes ``new``. ``breaks`` says in words what goes wrong."""

    id: str
    file: str
    old: str
    new: str
    breaks: str
    safety: bool

    @property
    def room(self) -> str:
        """Return the room that it is in."""
        return Path(self.file).parts[1]


def main(asked: Sequence[str]) -> int:
    """Plant what was asked for, or all; return the exit code."""
    path, asked = _list(asked)
    defects = [one for one in listed(path) if not asked or one.id in asked]
    found, missed = 0, list[Defect]()
    with tempfile.TemporaryDirectory(prefix="planting-") as folder:
        for defect in defects:
            copy = Path(folder) / defect.id
            _copy(copy)
            plant(copy, defect)
            test = _first_failure(copy, defect.room)
            shutil.rmtree(copy)
            weight = " (safety)" if defect.safety else ""
            say(
                f"{defect.id}{weight}: {f'found by {test}' if test else 'NOT FOUND'}: {defect.breaks}"
            )
            found += bool(test)
            if not test:
                missed.append(defect)
    say(f"{found} of {len(defects)} found")
    grave = any(one.safety for one in missed)
    return 1 if grave or found < ENOUGH * len(defects) else 0


def _list(words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Return the file of the list that is asked for, and the other words."""
    if words[:1] == ["--list"]:
        return Path(words[1]), words[2:]
    return LIST, words


def listed(path: Path = LIST) -> list[Defect]:
    """Return the defects of the list."""
    return [Defect(**one) for one in tomllib.loads(path.read_text(encoding="utf-8"))["defects"]]


def plant(project: Path, defect: Defect) -> None:
    """Put one defect into a project. Raises ``ValueError`` where what it replaces is not there exactly once."""
    path = project / defect.file
    text = path.read_text(encoding="utf-8")
    if text.count(defect.old) != 1:
        raise ValueError(
            f"{defect.id}: {defect.file} has {defect.old!r} {text.count(defect.old)} times"
        )
    path.write_text(text.replace(defect.old, defect.new), encoding="utf-8")


def _copy(target: Path) -> None:
    """Copy what git tracks, and make a repository of it: some tests ask git what belongs to the project."""
    names = _run(["git", "ls-files", "-z"], ROOT).stdout.split("\0")
    for name in filter(None, names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "copy"]):
        identity = ["-c", "user.name=planting", "-c", "user.email=planting@example.invalid"]
        _run(["git", *identity, *command], target)


def _first_failure(project: Path, room: str) -> str | None:
    """Return the first test that fails, or None where all pass."""
    for folder in _order(project, room):
        done = _run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-m",
                "not system",
                "-p",
                "no:cacheprovider",
                folder,
            ],
            project,
        )
        if done.returncode not in {0, 5}:  # 5: no test was collected
            match = FAILED.search(done.stdout)
            return match[1] if match else f"{folder}: {done.stdout[-200:]!r}"
    return None


def _order(project: Path, room: str) -> Iterator[str]:
    for one in sorted(ROOMS, key=lambda name: name != room):
        if (project / "tests" / one).is_dir():
            yield f"tests/{one}"


def _run(command: Sequence[str], where: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(where)}
    return subprocess.run(  # noqa: S603 - programs of ours
        command,
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_LIMIT_SECONDS,
    )


def say(line: str) -> None:
    """Print a line at once: the next defect may take minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
