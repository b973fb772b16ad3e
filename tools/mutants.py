"""Break a module in every small way and tell which breakages its tests do not notice.

Owns: a list of small faults (another comparison, operator, constant; a condition turned round, a part of it lost, a
value not returned, a row taken off a table), and the loop that puts them, one at a time, into a copy of the project.
Must not: touch the project itself. Not collected by pytest.

Usage: ``python tools/mutants.py [MODULE…]``, for example ``python tools/mutants.py core/planner core/evaluate``. Each
survivor is printed as its place and what was put there; the exit code is 1 if there are any beyond ``EQUIVALENT``.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
WORKERS = os.cpu_count() or 1
TIME_LIMIT_SECONDS = 300

GUARDS = ("tests/core/test_guards.py", "tests/core/test_guards_properties.py")
TESTS = {
    "core/planner": ("tests/core/test_planner.py", "tests/core/test_planner_properties.py"),
    **{
        f"core/guards/{part}": GUARDS
        for part in ("desired", "identity", "limits", "lists", "platform", "policy", "table")
    },
    "core/evaluate": ("tests/core/test_evaluate.py",),
    "core/run": ("tests/core/test_summary.py",),
    "core/schedule": ("tests/core/test_summary.py",),
    "core/summary": ("tests/core/test_summary.py",),
    "core/account": ("tests/core/test_account.py",),
    "core/acceptance": (
        "tests/core/test_acceptance.py",
        "tests/controller/test_wanted_elsewhere.py",
    ),
    "core/status": ("tests/core/test_account_status.py", "tests/core/test_account.py"),
    "reporting/status": ("tests/reporting/test_status.py",),
}
"""The tests of each module, the quick ones first: slower ones are run only where those saw nothing."""

EQUIVALENT: dict[str, str] = {}
"""Breakages that nobody could notice, as ``module: old -> new``, each with the reason."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
FUNCTIONS = {"max": "min", "min": "max", "any": "all", "all": "any", "sorted": "list"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One breakage: the line it is on, what was there, what is there now, and the whole broken text."""

    module: str
    line: int
    old: str
    new: str
    text: str

    @property
    def name(self) -> str:
        """Return what is broken, without its line, so that it stays the same when lines move."""
        return f"{self.module}: {self.old} -> {self.new}"


def mutants(module: str) -> Iterator[Mutant]:
    """Return every breakage of a module."""
    text = (ROOT / "reconciler" / f"{module}.py").read_text()
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, broken in _breakages(ast.parse(text)):
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[(node.end_lineno or 0) - 1]
        end += node.end_col_offset or 0
        new = ast.unparse(broken)
        whole = text.encode()[:begin] + f"({new})".encode() + text.encode()[end:]
        yield Mutant(module, node.lineno, ast.unparse(node), new, whole.decode())


def _breakages(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Return expressions and what may stand in their place; annotations, decorators and messages are left alone."""
    if isinstance(node, ast.expr):
        yield from ((node, broken) for broken in _variants(node))
    elif (
        isinstance(node, ast.Return)
        and node.value is not None
        and ast.unparse(node.value) != "None"
    ):
        yield node.value, ast.Constant(None)
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp) else getattr(node, "ifs", [])
    yield from ((test, ast.UnaryOp(ast.Not(), test)) for test in tests)
    yield from ((test, ast.Constant(value=True)) for test in getattr(node, "ifs", []))
    for field, value in ast.iter_fields(node):
        if field not in {"annotation", "returns", "decorator_list"} and not isinstance(
            node, ast.JoinedStr
        ):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _breakages(child)


def _variants(node: ast.expr) -> Iterator[ast.expr]:
    """Return what may stand in an expression's place."""
    match node:
        case ast.Compare(ops=[operator]):
            yield from (_with(node, ops=[other()]) for other in COMPARISONS[type(operator)])
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield _with(node, op=OPERATORS[type(node.op)]())
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            yield from (_with(node, values=values) for values in _shorter(node.values))
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(value=not value)
        case ast.Constant(value=int(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            yield _with(node, func=ast.Name(FUNCTIONS[name]))
        case ast.Tuple(ctx=ast.Load(), elts=[_, *_]) | ast.Set():
            yield from (_with(node, elts=elements) for elements in _shorter(node.elts))
        case _:
            pass


def _shorter(expressions: list[ast.expr]) -> Iterator[list[ast.expr]]:
    return ([*expressions[:place], *expressions[place + 1 :]] for place in range(len(expressions)))


def _with(node: ast.expr, **fields: object) -> ast.expr:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def survives(mutant: Mutant, workshop: Path) -> bool:
    """Say whether the tests of a module are content with a broken one."""
    path = workshop / "reconciler" / f"{mutant.module}.py"
    sound = path.read_text()
    path.write_text(mutant.text)
    try:
        return all(_passes(tests, workshop) for tests in TESTS[mutant.module])
    finally:
        path.write_text(sound)


def _passes(tests: str, workshop: Path) -> bool:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        tests,
    ]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "ci"}
    try:
        run = subprocess.run(  # noqa: S603 - our own interpreter and tests
            command,
            cwd=workshop,
            env=environment,
            capture_output=True,
            check=False,
            timeout=TIME_LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def _workshop(folder: Path) -> Path:
    """Copy what the tests need into a folder."""
    for part in ("reconciler", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def survivors(found: list[Mutant]) -> Iterator[Mutant]:
    """Try all mutants, several at a time, and return those that no test noticed."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as workers:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            free.put(_workshop(Path(folder, str(number))))

        def lives(mutant: Mutant) -> bool:
            workshop = free.get()
            try:
                return survives(mutant, workshop)
            finally:
                free.put(workshop)

        yield from (
            mutant for mutant, alive in zip(found, workers.map(lives, found), strict=True) if alive
        )


def main(modules: list[str]) -> int:
    """Break each module in every way, print the survivors and the score."""
    for module in modules:
        if not all(_passes(tests, ROOT) for tests in TESTS[module]):
            sys.exit(f"the tests of {module} fail without any breakage")
    found = [mutant for module in modules for mutant in mutants(module)]
    explained = unexplained = 0
    for mutant in survivors(found):
        explained += mutant.name in EQUIVALENT
        if mutant.name not in EQUIVALENT:
            unexplained += 1
            _say(f"reconciler/{mutant.module}.py:{mutant.line}: {mutant.old} -> {mutant.new}")
    killed = len(found) - explained - unexplained
    _say(f"{len(found)} mutants: {killed} killed, {explained} equivalent, {unexplained} survived")
    return 1 if unexplained else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(TESTS)))
