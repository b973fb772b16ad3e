"""What we hand out: the wheel, the sdist, and the steps of the image, as far as they can be tried without an engine."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tarfile
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

import reconciler
from image import ROOT, let_in, stages
from processes import exit_of, welcome
from requirements import locked
from scenarios import child_environment, eventually_true

LARGEST_INSTALL = 80_000_000
"""Bytes of everything that is installed, compiled files too; 52 million were seen."""


def run(command: str, folder: Path, given: Mapping[str, str]) -> None:
    """Run a command line as a Dockerfile's RUN does."""
    done = subprocess.run(  # noqa: S603 - the command is our Dockerfile's
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def copy(source: str, target: Path) -> None:
    """Copy what a COPY of the Dockerfile copies: a file, or what is in a folder, without what is not let in."""
    origin = ROOT / source
    if origin.is_dir():
        for path in sorted(origin.rglob("*")):
            if path.is_file() and let_in(str(path.relative_to(ROOT))):
                (target / path.relative_to(origin)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / path.relative_to(origin))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, target)


@dataclass(frozen=True)
class Built:
    """What the image's first stage leaves behind."""

    installed: Path
    source: Path
    wheel: Path

    @property
    def packages(self) -> Path:
        """Where the packages are."""
        (found,) = self.installed.glob("lib/python3.*/site-packages")
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Do what the first stage of the Dockerfile says, step by step, with an empty folder as root of the file system.

    A virtual environment stands for the image's Python: what is installed into that is not installed here.
    """
    root = tmp_path_factory.mktemp("image")
    machine = root / "machine"
    run(f"{sys.executable} -m venv {machine}", root, {})
    given = {"PATH": f"{machine}/bin:{os.environ['PATH']}"}
    here = root
    for word, rest in stages()[0]:
        moved = re.sub(r"(?<!\S)/(opt|src)\b", rf"{root}/\1", rest)
        if word == "ENV":
            given |= dict(each.split("=", 1) for each in rest.split())
        elif word == "WORKDIR":
            here = Path(moved)
            here.mkdir(parents=True)
        elif word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy(source, here / target)
        else:
            assert word in {"FROM", "RUN"}
            if word == "RUN":
                run(moved, here, given)
    (wheel,) = (here / "dist").glob("*.whl")
    return Built(root / "opt" / "pcc-reconciler", here, wheel)


@pytest.mark.system
def test_the_image_holds_what_is_locked_and_nothing_else(built: Built) -> None:
    """The first stage leaves exactly the locked packages and ours, without pip, in a modest size."""
    found = {
        one.name.lower().replace("_", "-").replace(".", "-"): one.version
        for one in distributions(path=[str(built.packages)])
    }
    asked = dict(locked("runtime.txt")) | dict(locked("postgres.txt"))
    assert found == asked | {"pcc-reconciler": reconciler.__version__}
    size = sum(
        path.stat().st_size
        for path in built.installed.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    assert size < LARGEST_INSTALL


def contents(folder: Path) -> dict[str, int]:
    """Return when each file below a folder was last written to."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.system
async def test_the_demo_runs_from_what_was_installed(built: Built, tmp_path: Path) -> None:
    """From another folder, with packages that nobody may write to, the demonstration comes into sync and ends well."""
    before = contents(built.installed)
    for path in [built.installed, *built.installed.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    child = await asyncio.create_subprocess_exec(
        *(str(built.installed / "bin" / "pcc-reconciler"), "demo", "--listen", "127.0.0.1:0"),
        cwd=elsewhere,
        env=child_environment({"TMPDIR": str(tmp_path), "PYTHONPATH": ""}),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        said = await welcome(child)
        async with httpx.AsyncClient(base_url=said["status page"]) as http:

            async def in_sync() -> bool:
                return "in sync" in (await http.get("/")).text

            await eventually_true(in_sync)
            assert (await http.get("/style.css")).text
            assert f'version="{reconciler.__version__}"' in (await http.get("/metrics")).text
        child.terminate()
        code, _ = await exit_of(child)
        assert code == 0
    finally:
        if child.returncode is None:
            child.kill()
    assert contents(built.installed) == before
    assert not list(elsewhere.iterdir())


@pytest.mark.system
def test_the_wheel_is_the_same_from_the_sdist(built: Built, tmp_path: Path) -> None:
    """The sdist holds everything that the wheel is made of: a wheel built from it has the same files, byte for byte."""
    run(f"{sys.executable} -m hatchling build --target sdist --directory {tmp_path}", ROOT, {})
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # 3.11.2 has none
        archive.extractall(tmp_path / "unpacked")  # noqa: S202 - made here a moment ago
    (source,) = (tmp_path / "unpacked").iterdir()
    assert source.name == f"pcc_reconciler-{reconciler.__version__}"
    run(f"{sys.executable} -m hatchling build --target wheel --directory {tmp_path}", source, {})
    (wheel,) = tmp_path.glob("*.whl")
    assert files(wheel) == files(built.wheel)


def files(wheel: Path) -> dict[str, bytes]:
    """Return what is in a wheel."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    """Modules, templates, style and the mark of typed code are in the wheel, the licence too, and no test."""
    run(f"{sys.executable} -m hatchling build --target wheel --directory {tmp_path}", ROOT, {})
    (wheel,) = tmp_path.glob("*.whl")
    inside = files(wheel)
    package = {name for name in inside if not name.split("/")[0].endswith(".dist-info")}
    assert package == {
        str(path.relative_to(ROOT))
        for path in (ROOT / "reconciler").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {
        "reconciler/py.typed",
        "reconciler/api/static/style.css",
        "reconciler/api/templates/status.html",
    } <= package
    (metadata,) = [inside[name].decode() for name in inside if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {reconciler.__version__}\n" in metadata
    assert [name for name in inside if name.endswith("licenses/LICENSE")]


def test_the_demonstration_needs_only_what_running_needs(tmp_path: Path) -> None:
    """In a fresh clone it installs the locked packages of running and building, and none of development."""
    for name in ("Makefile", "pyproject.toml", "requirements"):
        place = ROOT / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    command = ["/usr/bin/env", "make", "--dry-run", "demo"]
    done = subprocess.run(  # noqa: S603 - our own Makefile, which is only shown
        command, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--require-hashes" in done.stdout
    assert "requirements/runtime.txt" in done.stdout
    assert "requirements/build.txt" in done.stdout
    assert "requirements/dev.txt" not in done.stdout
    assert "build/demo/bin/pcc-reconciler demo" in done.stdout


def test_no_document_installs_the_program_by_its_bare_name() -> None:
    """Whoever registers that name at a public index would get the token of the pipeline."""
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        words = document.read_text(encoding="utf-8")
        found = re.findall(
            r"pipx? install [^\n`]*?(?<![\w/.\"-])pcc-reconciler(?![\w @.-]*@)", words
        )
        assert not found, document
