"""Run tests against broken modules: one process collects the tests once, and forks for each breakage.

Owns: the plugin that does it. A breakage inside a function is put into the functions that live already, and only the
tests that run its lines are run, the quick ones first. What runs at import is broken in a fresh process.
Must not: write to the project.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest

from breakages import Mutant

SOUND, NOTICED, UNTESTED = "survived", "killed", "untested"
EARLY, ORDER, FAILED = "early", "order", "failed"
"""What a room's process says beside: a place ran at import, the order of the tests for each module, tests that fail."""
PRELOADED = (
    *("anyio", "aiohttp", "apscheduler", "httpx", "hypothesis", "jinja2", "msgspec"),
    *("prometheus_client", "pydantic", "pydantic_settings", "rich", "rtoml", "starlette"),
    *("structlog", "typer", "uvicorn", "watchfiles", "yaml"),
)
FRESH_SECONDS = 120.0
ENOUGH_SECONDS = 30.0
"""So long the tests of one breakage take at the most: what none of the quick ones saw the slow ones may not try."""
REWRITTEN = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
OPTIONS = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-o", "timeout=0", "-W", REWRITTEN)
TIMES_AS_LONG = 5
"""Tests that take so many times as much of the processor as without a breakage, and ``PATIENCE_SECONDS`` more, hang."""
PATIENCE_SECONDS = 10.0
WAITING_SECONDS = 120.0
"""So long may tests wait, on a busy machine, beyond ten times what they may take of the processor."""
IDLE_SECONDS = 0.005
UNFIT_CODE = 9
"""The exit code of a process where a broken function does not fit in the place of the sound one."""


@dataclass(slots=True)
class Seen:
    """What the tests do without any breakage: how much of the processor each takes, and which run which line."""

    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def judges(self, path: Path, lines: range) -> list[str]:
        """Return the tests that run any of some lines, the quick ones first."""
        by_line = self.tests.get(str(path), {})
        found = {test for line in lines for test in by_line.get(line, ())}
        judges, seconds = list[str](), 0.0
        for test in sorted(found, key=self.seconds.__getitem__):
            seconds += self.seconds[test]
            if judges and seconds > ENOUGH_SECONDS:
                break
            judges.append(test)
        return judges

    def order(self, path: Path) -> list[str]:
        """Return all tests: first those that run any line of a module, the quick ones first."""
        near = {test for tests in self.tests.get(str(path), {}).values() for test in tests}
        return sorted(self.seconds, key=lambda test: (test not in near, self.seconds[test]))


def outcomes(
    root: Path, tests: Sequence[str], mutants: Sequence[Mutant], jobs: int
) -> Iterator[tuple[Mutant, str]]:
    """Return what became of each mutant: ``killed``, ``survived``, or ``untested`` where no test runs its lines."""
    _preload()
    at_once = [mutant for mutant in mutants if not mutant.at_import]
    fresh = [mutant for mutant in mutants if mutant.at_import]
    order: dict[str, list[str]] = {}
    answered = 0
    for key, answer in _answers(root, tests, mutants, at_once, jobs):
        if key == FAILED:
            sys.exit(f"the tests fail without any breakage: {answer}")
        elif key == ORDER:
            order = json.loads(answer)
        else:
            answered += 1
            mutant = at_once[int(key)]
            if answer == EARLY:
                fresh.append(mutant)
            else:
                yield mutant, answer
    if answered < len(at_once) or not order:
        sys.exit(f"the tests of {', '.join(tests)} could not be run")
    yield from _anew(root, order, fresh, jobs)


def _answers(
    root: Path,
    tests: Sequence[str],
    mutants: Sequence[Mutant],
    at_once: Sequence[Mutant],
    jobs: int,
) -> Iterator[tuple[str, str]]:
    """Return what the room's process says, line by line."""
    reader, writer = os.pipe()
    room = os.fork()
    if not room:
        os.close(reader)
        modules = sorted({mutant.module for mutant in mutants})
        _room(tests, _Theatre(root, modules, at_once, jobs, writer))
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as lines:
        for line in lines:
            key, answer = json.loads(line)
            yield key, answer
    os.waitpid(room, 0)


def _anew(
    root: Path, order: dict[str, list[str]], mutants: Sequence[Mutant], jobs: int
) -> Iterator[tuple[Mutant, str]]:
    """Return what became of the mutants that only a fresh process sees."""
    if not mutants:
        return
    first = mutants[0]
    sound = replace(first, text=(root / f"{first.module}.py").read_text("utf-8"))
    untouched = _Fresh(root, order[first.module], sound)
    if [outcome for _, outcome in _Forks(1).run([(0, FRESH_SECONDS, untouched.run)])] != [SOUND]:
        sys.exit("the tests fail in a fresh process without any breakage")
    todo = [
        (number, FRESH_SECONDS, _Fresh(root, order[mutant.module], mutant).run)
        for number, mutant in enumerate(mutants)
    ]
    for number, outcome in _Forks(jobs).run(todo):
        yield mutants[number], outcome


def _preload() -> None:
    """Import what others wrote, once, so that no fresh process has to."""
    for name in PRELOADED:
        importlib.import_module(name)


def _room(tests: Sequence[str], theatre: _Theatre) -> None:
    """Be the process that collects the tests and forks; it never returns."""
    _hush()
    theatre.begin()
    pytest.main([*OPTIONS, *tests], plugins=[theatre])
    os._exit(0)


def _hush() -> None:
    """Write nothing where people read."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


class _Theatre:
    """A pytest plugin: once the tests are collected it runs them once, and then breaks one thing after the other."""

    def __init__(
        self,
        root: Path,
        modules: Sequence[str],
        mutants: Sequence[Mutant],
        jobs: int,
        writer: int,
    ) -> None:
        self._root = root
        self._modules = modules
        self._mutants = mutants
        self._jobs = jobs
        self._answers = os.fdopen(writer, "w", encoding="utf-8")
        self._importing = self._coverage()

    def _coverage(self) -> coverage.Coverage:
        return coverage.Coverage(
            data_file=None, include=[f"{self._root}/*"], config_file=False, branch=False
        )

    def begin(self) -> None:
        """Begin to notice which lines run at import."""
        self._importing.start()

    @pytest.hookimpl
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests in our own way."""
        self._importing.stop()
        imported = self._importing.get_data()
        seen = self._look(session)
        if seen.failed or not seen.seconds:
            self._say(FAILED, ", ".join(seen.failed) or "there are none")
            return True
        paths = {module: self._root / f"{module}.py" for module in self._modules}
        self._say(ORDER, json.dumps({name: seen.order(path) for name, path in paths.items()}))
        items = {item.nodeid: item for item in session.items}
        living = _living(map(str, paths.values()))
        todo = []
        for number, mutant in enumerate(self._mutants):
            path = paths[mutant.module]
            judges = seen.judges(path, mutant.lines)
            if set(mutant.lines) & set(imported.lines(str(path)) or ()):
                self._say(str(number), EARLY)
            elif not judges:
                self._say(str(number), UNTESTED)
            else:
                most = TIMES_AS_LONG * sum(map(seen.seconds.__getitem__, judges))
                work = _Surgery(path, mutant, living[str(path)], [items[one] for one in judges])
                todo.append((number, PATIENCE_SECONDS + most, work.run))
        gc.freeze()
        for number, outcome in _Forks(self._jobs).run(todo):
            self._say(str(number), outcome)
        return True

    def _say(self, key: str, answer: str) -> None:
        self._answers.write(json.dumps([key, answer]) + "\n")
        self._answers.flush()

    def _look(self, session: pytest.Session) -> Seen:
        """Run every test once, in a process of its own, and return what they do."""
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            with os.fdopen(writer, "w", encoding="utf-8") as answer:
                json.dump(self._watched(session), answer)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as answer:
            told = json.load(answer)
        os.waitpid(child, 0)
        seen = Seen(seconds=told["seconds"], failed=told["failed"])
        for path, lines in told["lines"].items():
            by_line = seen.tests.setdefault(path, {})
            for line, tests in lines.items():
                by_line[int(line)] = {test for test in tests if test}
        return seen

    def _watched(self, session: pytest.Session) -> dict[str, object]:
        watch, failed = self._coverage(), list[str]()
        seconds = dict[str, float]()
        watch.start()
        for item in session.items:
            watch.switch_context(item.nodeid)
            began = time.process_time()
            if not _passes(item):
                failed.append(item.nodeid)
            seconds[item.nodeid] = time.process_time() - began
        watch.stop()
        data = watch.get_data()
        lines = {path: data.contexts_by_lineno(path) for path in data.measured_files()}
        return {"seconds": seconds, "failed": failed, "lines": lines}


def _passes(item: pytest.Item) -> bool:
    """Run one test with its fixtures, and say whether all of it went well."""
    from _pytest.runner import runtestprotocol  # noqa: PLC0415 - what pytest-xdist and its like use

    reports = runtestprotocol(item, nextitem=None, log=False)
    return not any(report.failed for report in reports)


class _Surgery:
    """Puts a breakage into the functions that live, and runs the tests that may notice."""

    def __init__(
        self, path: Path, mutant: Mutant, living: list[FunctionType], items: list[pytest.Item]
    ) -> None:
        self._path = path
        self._mutant = mutant
        self._living = living
        self._items = items

    def run(self) -> bool:
        """Return whether the tests are content with it."""
        gc.disable()  # a process of its own is gone before it matters, and to look at all of memory copies it
        broken = _codes(compile(self._mutant.text, str(self._path), "exec"))
        for function in self._living:
            code = broken.get(_key(function.__code__))
            if code is not None and code != function.__code__:
                try:
                    function.__code__ = code
                except ValueError:
                    os._exit(UNFIT_CODE)
        return all(_passes(item) for item in self._items)


def _living(paths: Iterable[str]) -> dict[str, list[FunctionType]]:
    """Return the functions of each module that are there now."""
    found: dict[str, list[FunctionType]] = {path: [] for path in paths}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in found:
            found[one.__code__.co_filename].append(one)
    return found


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _codes(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """Return the code of every function of a module, and of those inside them."""
    found = dict[tuple[str, int], CodeType]()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found[_key(constant)] = constant
            found.update(_codes(constant))
    return found


class _Fresh(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the broken module in the place of the sound one, and runs all tests of the room."""

    def __init__(self, root: Path, tests: Sequence[str], mutant: Mutant) -> None:
        self._tests = tests
        self._mutant = mutant
        self._path = root / f"{mutant.module}.py"
        self._name = ".".join([root.name, *mutant.module.split("/")]).removesuffix(".__init__")

    def run(self) -> bool:
        """Return whether the tests are content with it."""
        _hush()
        sys.meta_path.insert(0, self)
        return pytest.main([*OPTIONS, "-x", *self._tests]) == pytest.ExitCode.OK

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for the one module."""
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            self._path,
            loader=self,
            submodule_search_locations=[str(self._path.parent)]
            if self._path.name == "__init__.py"
            else None,
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run the broken text as the module."""
        exec(compile(self._mutant.text, str(self._path), "exec"), module.__dict__)  # noqa: S102 - the point of it


class _Forks:
    """Runs work in processes of their own, several at once, and ends those that hang."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._running: dict[int, tuple[int, float]] = {}

    def run(self, todo: Iterable[tuple[int, float, object]]) -> Iterator[tuple[int, str]]:
        """Return the number of each work and whether it was content."""
        for number, limit, work in todo:
            while len(self._running) >= self._jobs:
                yield from self._ended()
            until = time.monotonic() + WAITING_SECONDS + 10 * limit
            self._running[_fork(work, limit)] = (number, until)
        while self._running:
            yield from self._ended()

    def _ended(self) -> Iterator[tuple[int, str]]:
        time.sleep(IDLE_SECONDS)
        for process, (number, until) in tuple(self._running.items()):
            done, status = os.waitpid(process, os.WNOHANG)
            if not done and time.monotonic() > until:
                os.killpg(process, signal.SIGKILL)
                done, status = os.waitpid(process, 0)
            if done:
                del self._running[process]
                yield number, _outcome(status)


def _outcome(status: int) -> str:
    """Return what a process that ended says: one that was killed hung, and a hang is noticed."""
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
    return {0: SOUND, UNFIT_CODE: EARLY}.get(code, NOTICED)


def _fork(work: object, limit: float) -> int:
    """Begin work in a process that takes no more than so many seconds of the processor."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
    content = False
    try:
        content = work()  # type: ignore[operator]
    finally:
        os._exit(0 if content else 1)
