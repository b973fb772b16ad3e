"""The workflows of the repository, as far as they can be tried away from GitHub."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import release
from places import ROOT, places

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"^\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40}   # v\d+\.\d+\.\d+$")
LOCAL = "./.github/workflows/ci.yml"
MAY_WRITE = {
    ("ci", "tests"): set[str](),
    ("release", "tests"): set[str](),
    ("release", "packages"): {"id-token", "attestations"},
    ("release", "image"): {"packages", "id-token", "attestations"},
    ("release", "chart"): {"packages"},
    ("release", "publish"): {"contents"},
}
"""What each job may write, and nothing else."""

Part = dict[str, Any]


def read(path: Path) -> Part:
    """Return a workflow."""
    found: Part = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def jobs() -> Iterator[tuple[str, str, Part]]:
    """Yield each job, with the name of its workflow and its own."""
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield path.stem, name, job


def scripts() -> list[tuple[str, str]]:
    """Return the shell script of each step, with where it is."""
    return [
        (f"{workflow}/{name}", step["run"])
        for workflow, name, job in jobs()
        for step in job.get("steps", ())
        if "run" in step
    ]


SCRIPTS = scripts()


def test_every_workflow_is_valid() -> None:
    """Each workflow is one by the schema of GitHub's workflows."""
    program = Path(sys.executable).parent / "check-jsonschema"
    command = [str(program), "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a tool of development
    assert done.returncode == 0, done.stdout


def test_a_wrong_workflow_is_found(tmp_path: Path) -> None:
    """The schema is a strict one: a job without a machine to run on is no workflow."""
    wrong = read(FOLDER / "ci.yml")
    del wrong["jobs"]["tests"]["runs-on"]
    file = tmp_path / "wrong.yml"
    file.write_text(
        json.dumps({str(key).replace("True", "on"): value for key, value in wrong.items()})
    )
    program = Path(sys.executable).parent / "check-jsonschema"
    command = [str(program), "--builtin-schema", "vendor.github-workflows", str(file)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1  # noqa: S603 - a tool of development


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_named_by_its_commit(path: Path) -> None:
    """An action is one commit, with the tag it had as a remark, or a workflow of this repository."""
    lines = [
        line for line in path.read_text("utf-8").splitlines() if re.match(r"\s*(- )?uses:", line)
    ]
    assert lines
    assert [line for line in lines if LOCAL not in line and not PINNED.match(line)] == []


def test_a_job_may_write_only_what_it_needs() -> None:
    """Without saying so a job may do nothing, and what each may write is what it makes."""
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {}
    found = {
        (workflow, name): {what for what, right in job["permissions"].items() if right == "write"}
        for workflow, name, job in jobs()
    }
    assert found == MAY_WRITE


def test_nothing_of_an_event_is_put_into_a_script() -> None:
    """A script takes what it needs from variables: a name with a quote in it cannot become a command."""
    assert [where for where, script in SCRIPTS if "${{" in script] == []


@pytest.mark.parametrize(("where", "script"), SCRIPTS, ids=[where for where, _ in SCRIPTS])
def test_every_step_can_be_run(where: str, script: str) -> None:
    """The shell can read a step's script; each target of make, each file and each option of ours in it exists."""
    assert where
    read_by_shell = subprocess.run(
        ["/bin/bash", "-n"], input=script, capture_output=True, text=True, check=False
    )
    assert read_by_shell.returncode == 0, read_by_shell.stderr
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", script)) <= targets
    for file in re.findall(r"(?<![\w/$])(?:tools|\.ci)/[\w./-]+", script):
        assert (ROOT / file).is_file(), file
    for words in re.findall(r"tools/release\.py ([^|>)\n]+)", script):
        release.parser().parse_args(shlex.split(words))


def test_the_release_is_made_of_the_tests_first() -> None:
    """Nothing is built before the tests pass, nothing is pushed before it is built, and the release comes last."""
    found = read(FOLDER / "release.yml")["jobs"]
    assert found["tests"]["uses"] == LOCAL
    assert [(name, job.get("needs")) for name, job in found.items()] == [
        ("tests", None),
        ("packages", "tests"),
        ("image", "packages"),
        ("chart", "image"),
        ("publish", ["packages", "image", "chart"]),
    ]


def test_the_image_is_built_for_two_architectures_and_says_what_is_in_it() -> None:
    """The image has a bill of materials and provenance, and its labels are arguments of the Dockerfile."""
    steps = read(FOLDER / "release.yml")["jobs"]["image"]["steps"]
    (build,) = (step["with"] for step in steps if "build-push-action" in step.get("uses", ""))
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["sbom"], build["provenance"]) == (True, "mode=max")
    assert (ROOT / build["file"]).is_file()
    given = {line.partition("=")[0] for line in build["build-args"].splitlines()}
    dockerfile = (ROOT / build["file"]).read_text(encoding="utf-8")
    assert given <= set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))


def test_no_workflow_knows_the_address() -> None:
    """The names of repository and image come from the one place where they are."""
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert places().repository not in text
        assert places().image not in text
