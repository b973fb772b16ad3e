"""The tool that breaks the program in small ways: which breakages it knows, and what it says of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from breakages import OPERATORS, mutants
from mutants import PACKAGE, ROOT, rooms, table
from siblings import Index

SMALL = '''
"""A small module."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 3


@dataclass
class Span:
    """A span."""

    first: int
    last: int
    name: str


def inside(span: Span, at: int, most: int) -> bool:
    """Say whether a moment is in a span."""
    return span.first <= at < span.last and at < most


def narrow(one: set[int], other: set[int]) -> set[int]:
    """Return what is in both."""
    if not one:
        return set()
    return one & other


def words(number: int) -> str:
    """Return words that nobody tests."""
    return "few" if number < LIMIT else "many"
'''

TESTS = """
from reconciler.small import LIMIT, Span, inside, narrow

def test_inside():
    span = Span(2, 5, "a")
    assert [inside(span, at, 4) for at in range(6)] == [False, False, True, True, False, False]
    assert not inside(span, 5, 9)
    assert LIMIT == 3

def test_narrow():
    assert narrow({1, 2}, {2, 3}) == {2}
"""

KEPT = '"small narrow: not one -> False" = "Without one there is nothing in both either."'


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a small project: a package, its tests, and the table."""
    for name, content in {
        "reconciler/__init__.py": "",
        "reconciler/small.py": SMALL,
        "tests/test_small.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\ntimeout = 240\n",
        "tools/mutants.toml": '[[room]]\nname = "all"\nmodules = ["small"]\ntests = ["tests"]\n'
        f"[equivalent]\n{KEPT}\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def broken(root: Path, operator: str) -> set[str]:
    """Return what one operator does to the small module."""
    package = root / PACKAGE
    found = mutants(package, "small", Index(package), (operator,))
    return {f"{one.function}: {one.old} -> {one.new}" for one in found}


def test_each_operator_breaks_what_it_is_for(small: Path) -> None:
    """One takes another attribute or parameter of the same type, one drops an operand, the usual one the rest."""
    assert broken(small, "attribute") == {
        "inside: span.first -> span.last",
        "inside: span.last -> span.first",
        "inside: at -> most",
        "inside: most -> at",
        "narrow: one -> other",
        "narrow: other -> one",
    }
    assert broken(small, "operand") == {
        "inside: span.first <= at < span.last -> span.first <= at",
        "inside: span.first <= at < span.last -> at < span.last",
        "narrow: not one -> False",
        "narrow: one & other -> one",
        "narrow: one & other -> other",
        "words: 'few' if number < LIMIT else 'many' -> 'few'",
        "words: 'few' if number < LIMIT else 'many' -> 'many'",
    }
    usual = broken(small, "usual")
    assert {"LIMIT: 3 -> 4", "inside: at < most -> at <= most", "narrow: not one -> one"} <= usual
    assert "narrow: one & other -> one | other" in usual
    assert not any("first <= at < span.last" in one and "<= most" in one for one in usual)


def test_a_broken_module_keeps_its_lines_and_can_be_read(small: Path) -> None:
    """Only the one expression is another: everything else is on the line on which it was."""
    package = small / PACKAGE
    for one in mutants(package, "small", Index(package), OPERATORS):
        compile(one.text, "small.py", "exec")
        lines, sound = one.text.splitlines(), SMALL.splitlines()
        assert len(lines) == len(sound)
        changed = [
            number for number, line in enumerate(lines, start=1) if line != sound[number - 1]
        ]
        assert changed == [one.line]


def test_survivors_are_told_from_what_was_noticed(small: Path) -> None:
    """What tests see is killed; the rest is named with its place, but for what the table explains."""
    command = [sys.executable, str(ROOT / "tools" / "mutants.py"), "--root", str(small)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and tool
        [*command, "--jobs", "2"], capture_output=True, text=True, check=False, timeout=200
    )
    *survivors, score, _ = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    untested = [line for line in survivors if ": untested [" in line]
    assert len(untested) == 7
    assert all("small words: " in line or "set() -> None" in line for line in untested)
    assert [line for line in survivors if line not in untested] == [
        "reconciler/small.py:27: survived [attribute] small narrow: one -> other"
    ]
    assert score == "all: 32 mutants: 23 killed, 1 equivalent, 1 survived, 7 untested"


def test_the_table_fits_the_program() -> None:
    """Every module and test that the table names is there, and so is every breakage that it explains."""
    read = table()
    index, modules = Index(ROOT / PACKAGE), set[str]()
    for room in rooms(read):
        modules.update(room.modules)
        assert all((ROOT / tests).exists() for tests in room.tests)
    names = {
        one.name for module in modules for one in mutants(ROOT / PACKAGE, module, index, OPERATORS)
    }
    assert not read["equivalent"].keys() - names
    assert all(reason.endswith(".") for reason in read["equivalent"].values())
