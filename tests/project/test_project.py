"""Promises of the repository as a whole: hygiene of tests, locked requirements, one version, nothing of one machine."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import reconciler
from requirements import LOCKED, locked
from tracked import tracked_texts

ROOT = Path(__file__).parent.parent.parent
TEST_MODULES = sorted((ROOT / "tests").rglob("*.py"))
MODULES = sorted((ROOT / "reconciler").rglob("*.py"))

# Spelt in pieces, so that this file does not find itself.
REGISTRY = re.compile(
    "|".join(["py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.(?:org|com)"])
)
MACHINE_PATH = re.compile(r"(?<![\w./$}~-])/(?:root|work|Users/\w+)/[\w.]")


def project() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names_of(requirements: list[str]) -> set[str]:
    """Reduce requirements to normalised names."""
    return {
        re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", entry)[0]).lower() for entry in requirements
    }


def dotted(node: ast.AST) -> str:
    """Write a name or an attribute of a name as in the source, anything else as nothing."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def imported(tree: ast.AST) -> set[str]:
    """Collect the dotted names that a module imports."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", TEST_MODULES, ids=lambda path: path.stem)
def test_each_test_says_in_one_sentence_what_it_shows(path: Path) -> None:
    """A test function has a docstring of one paragraph that ends with a full stop."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            sentence = ast.get_docstring(node) or ""
            assert sentence.endswith("."), f"{path.name}:{node.lineno} {node.name}"
            assert "\n\n" not in sentence, f"{path.name}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", TEST_MODULES, ids=lambda path: path.stem)
def test_tests_neither_mock_nor_skip(path: Path) -> None:
    """Tests use small fakes instead of mock objects and patched attributes, and none may step aside."""
    tree = ast.parse(path.read_text("utf-8"))
    assert not {
        name
        for name in imported(tree)
        if name.split(".")[0] == "mock" or name.startswith("unittest.mock")
    }
    forbidden = {
        *("monkeypatch.setattr", "pytest.skip", "pytest.importorskip"),
        *("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail", "unittest.mock"),
    }
    assert not forbidden & {dotted(node) for node in ast.walk(tree)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_module_says_what_it_owns(path: Path) -> None:
    """Every module of the package opens with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_no_method_is_left_for_others_to_write() -> None:
    """What a subclass must give is a declared name or a protocol's method, and nothing that fails only when called."""
    unwritten = [
        path for path in MODULES if "NotImplementedError" in path.read_text(encoding="utf-8")
    ]
    assert unwritten == []


def test_nothing_of_one_machine_is_in_the_repository() -> None:
    """No file names a package registry's host or a path of somebody's machine."""
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if REGISTRY.search(line) or MACHINE_PATH.search(line)
    ]
    assert not found


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt", "build.txt", "ways.txt"])
def test_requirement_files_hold_only_pinned_and_hashed_packages(name: str) -> None:
    """A requirement file is made of pins with sha256 hashes and comments, without options such as an index."""
    text = (ROOT / "requirements" / name).read_text()
    rest = [
        line
        for line in LOCKED.sub("", text).splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    assert locked(name)
    assert not rest


def test_what_the_project_asks_for_is_locked() -> None:
    """Each dependency that pyproject.toml names is pinned, and the requirement files agree on what they share."""
    asked = project()
    runtime, dev, build = locked("runtime.txt"), locked("dev.txt"), locked("build.txt")
    assert names_of(asked["build-system"]["requires"]) <= build.keys()
    assert build.items() <= dev.items()
    assert names_of(asked["project"]["dependencies"]) <= runtime.keys()
    assert (
        names_of(asked["dependency-groups"]["dev"]) | names_of(asked["build-system"]["requires"])
        <= dev.keys()
    )
    assert runtime.items() <= dev.items()


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt", "build.txt"])
def test_a_pin_names_the_extras_that_are_asked_for(name: str) -> None:
    """Where a package asks for another with an extra, the pin names it: else pip 23 takes a newest release for that."""
    text = (ROOT / "requirements" / name).read_text()
    pinned = {
        found["name"]: set((found["extras"] or "").split(",")) for found in LOCKED.finditer(text)
    }
    asked = [Requirement(line) for package in pinned for line in metadata.requires(package) or ()]
    wanted = [
        one
        for one in asked
        if one.extras and (one.marker is None or one.marker.evaluate({"extra": ""}))
    ]
    assert not [
        str(one) for one in wanted if one.extras - pinned[one.name.lower().replace("_", "-")]
    ]


def test_the_version_stands_in_one_place() -> None:
    """The package's __version__ is the only place the version is written; the build reads it from there."""
    asked = project()
    assigned = [
        path
        for path in MODULES
        if re.search(r"^__version__\b.*=", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert assigned == [ROOT / asked["tool"]["hatch"]["version"]["path"]]
    assert "version" not in asked["project"]


def test_the_changelog_knows_the_version() -> None:
    """The first section of the changelog is that of the current version, with a date."""
    headings = re.findall(
        r"^## \[(.+?)\] - \d{4}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert headings[:1] == [reconciler.__version__]


def test_tests_stay_on_loopback() -> None:
    """A test that reaches for another machine, or listens for one, fails before anything is sent."""
    with pytest.raises(pytest.fail.Exception, match="loopback"):
        socket.create_connection(("192.0.2.1", 80))
    with pytest.raises(pytest.fail.Exception, match="loopback"):
        socket.getaddrinfo("example.com", 443)
    with socket.socket() as listener, pytest.raises(pytest.fail.Exception, match="loopback"):
        listener.bind(("", 0))


async def test_async_tests_run_on_asyncio() -> None:
    """An async test runs without a marker, may open connections on loopback, and no other ones."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    with pytest.raises(pytest.fail.Exception, match="loopback"):
        await asyncio.open_connection("192.0.2.1", 80)


def collected(seed: str) -> list[str]:
    """Return the names of all tests, as a process with this seed for the order of sets finds them.

    Each is a function and a digest: examples that are secrets are no output of a child process.
    """
    words = ["--collect-only", "-qq", "-p", "no:randomly", "-p", "collected", "tests"]
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_each_collection_finds_the_same_tests() -> None:
    """The processes that share the tests agree on their names, whatever second it is and whatever order sets have."""
    first = collected("1")
    assert len(first) > 1000
    assert collected("2") == first
