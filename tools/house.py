"""Measure how much a reader of the program has to hold in mind at once.

Owns: the numbers, and what counts: the package without the simulator; code lines are those that hold a name, an
operator, a number or a string, where triple-quoted strings do not count.
Must not: judge them; ``tests/project/test_house.py`` says how large each may be.

Usage: ``python tools/house.py``. Not collected by pytest.
"""

from __future__ import annotations

import ast
import io
import tokenize
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASS = "reconciler/controller/reconciler.py"
"""The module of the pass: the names that it imports from the package are what a reader of it has to know."""
LARGE_CLASS, LARGE_MODULE, LARGE_FUNCTION = 25, 500, 60
COUNTED = {tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING}
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class House:
    """The numbers. Each ``large_*`` names what is too large, with its size."""

    rooms: int
    floors: int
    names_imported_by_the_pass: int
    large_classes: tuple[str, ...]
    large_modules: tuple[str, ...]
    large_functions: tuple[str, ...]
    tokens_a_code_line: float
    comprehensions_per_1000_lines: float
    code_lines: int
    test_lines: int


@dataclass(slots=True)
class _Count:
    """What is counted over all modules."""

    lines: int = 0
    tokens: int = 0
    comprehensions: int = 0


def measured(root: Path = ROOT) -> House:
    """Return the numbers of the project in this folder."""
    count = _Count()
    classes: list[str] = []
    modules: list[str] = []
    functions: list[str] = []
    for path in _modules(root / "reconciler"):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        length = len(text.splitlines())
        if length > LARGE_MODULE:
            modules.append(f"{name} ({length} lines)")
        _count_tokens(text, count)
        for node in ast.walk(ast.parse(text)):
            count.comprehensions += isinstance(node, COMPREHENSIONS)
            if isinstance(node, FUNCTIONS) and _length(node) > LARGE_FUNCTION:
                functions.append(f"{name}: {node.name} ({_length(node)} lines)")
            if isinstance(node, ast.ClassDef) and _methods(node) > LARGE_CLASS:
                classes.append(f"{name}: {node.name} ({_methods(node)} methods)")
    return House(
        rooms=sum(1 for _ in _rooms(root / "reconciler")),
        floors=_floors(root),
        names_imported_by_the_pass=_imported(root / PASS),
        large_classes=tuple(classes),
        large_modules=tuple(modules),
        large_functions=tuple(functions),
        tokens_a_code_line=round(count.tokens / count.lines, 2),
        comprehensions_per_1000_lines=round(1000 * count.comprehensions / count.lines, 1),
        code_lines=count.lines,
        test_lines=sum(_lines(path) for path in (root / "tests").rglob("*.py")),
    )


def _modules(package: Path) -> Iterator[Path]:
    for path in sorted(package.rglob("*.py")):
        if "simulator" not in path.relative_to(package).parts:
            yield path


def _rooms(package: Path) -> Iterator[Path]:
    """Return what lies at the top of the package, but for its door."""
    for path in sorted(package.iterdir()):
        is_module = path.suffix == ".py" and path.stem not in {"__init__", "__main__"}
        if is_module or (path / "__init__.py").exists():
            yield path


def _floors(root: Path) -> int:
    """Return how many layers the first contract has, but for the door."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    layers: Sequence[str] = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return sum(layer != "__main__" for layer in layers)


def _imported(module: Path) -> int:
    """Return how many names a module imports from the package."""
    count = 0
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reconciler"):
            count += len(node.names)
    return count


def _count_tokens(text: str, count: _Count) -> None:
    """Count code lines and tokens. An f-string is one token, as it is to Python 3.11."""
    code = set()
    inside = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        inside -= kind == "FSTRING_END"
        opens = kind == "FSTRING_START"
        if (token.type in COUNTED or opens) and not inside and not _triple(token.string):
            count.tokens += 1
            code.add(token.start[0])
        inside += opens
    count.lines += len(code)


def _triple(text: str) -> bool:
    return text.lstrip("rbfuRBFU").startswith(('"""', "'''"))


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _methods(node: ast.ClassDef) -> int:
    return sum(isinstance(one, FUNCTIONS) for one in node.body)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def lines(house: House) -> Iterator[str]:
    """Return the numbers, one a line, and under each what is too large."""
    for field in fields(house):
        value = getattr(house, field.name)
        words = field.name.replace("_", " ")
        if isinstance(value, tuple):
            yield f"{words}: {len(value)}"
            yield from (f"  {one}" for one in value)
        else:
            yield f"{words}: {value}"


if __name__ == "__main__":
    print("\n".join(lines(measured())))
