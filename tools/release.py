"""What a release is made of, step by step, as the release workflow calls it and as a person can.

Owns: the check of a tag, the notes from the changelog, the build of wheel, sdist and chart, and their checksums.
Must not: publish anything, or need a package beyond the build backend.

The same commit gives the same bytes: every time stamp in what is built is that of the commit.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from places import ROOT, Places, places

CHANGELOG = ROOT / "CHANGELOG.md"
CHART = ROOT / "deploy" / "helm"
DIST = ROOT / "dist"
SUMS = "SHA256SUMS"
LARGEST_NOTES = 125_000
"""Characters that GitHub takes as the notes of a release."""


class Fault(Exception):
    """Why this is not a release; the message is for the person who set the tag."""


def section(changelog: str, version: str) -> tuple[str, str]:
    """Return the date and the text of one version's section of the changelog."""
    heading = re.compile(
        rf"^## \[{re.escape(version)}\](?: - (\d{{4}}-\d\d-\d\d))?\n(.*?)(?=^## |\Z)",
        re.MULTILINE | re.DOTALL,
    )
    found = heading.search(changelog)
    if found is None:
        raise Fault(f"CHANGELOG.md has no section [{version}]")
    if found[1] is None:
        raise Fault(f"the section [{version}] of CHANGELOG.md has no date, like 2026-11-30")
    return found[1], found[2].strip() + "\n"


def notes(changelog: str, at: Places) -> str:
    """Return the notes of a release: its section, with links that lead to the files of its tag."""
    _date, text = section(changelog, at.version)
    whole = re.sub(
        r"\]\((?!https?:|#)([^)]+)\)", rf"]({at.repository}/blob/v{at.version}/\1)", text
    )
    if len(whole) > LARGEST_NOTES:
        raise Fault(f"the notes have {len(whole)} characters; GitHub takes {LARGEST_NOTES}")
    return whole


def check(tag: str, changelog: str, at: Places) -> None:
    """Refuse a tag that is not the version of the code, or that the changelog does not describe."""
    if "/OWNER/" in f"{at.repository}/{at.image}":
        raise Fault(
            "pyproject.toml has no owner yet: fill in Repository and image, and run `make docs`"
        )
    if tag != f"v{at.version}":
        raise Fault(f"the tag is {tag}, and the code is version {at.version}: set v{at.version}")
    if "## [Unreleased]" in changelog:
        raise Fault("CHANGELOG.md has a section [Unreleased]: move its lines to the version")
    section(changelog, at.version)


def commit_time() -> int:
    """Return when the commit was made that is checked out, or what SOURCE_DATE_EPOCH says, in seconds."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    asked = subprocess.run(
        ["/usr/bin/env", "git", "log", "-1", "--format=%ct"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(asked.stdout)


def build(out: Path) -> list[Path]:
    """Build the sdist and the wheel, with the build backend that this Python has."""
    out.mkdir(parents=True, exist_ok=True)
    given = {**os.environ, "SOURCE_DATE_EPOCH": str(commit_time())}
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out)]
    subprocess.run(command, cwd=ROOT, env=given, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - the build backend
    version = places().version
    return [
        out / f"pcc_reconciler-{version}.tar.gz",
        out / f"pcc_reconciler-{version}-py3-none-any.whl",
    ]


def chart_files() -> Iterator[tuple[str, bytes]]:
    """Yield each file of the chart by its name in the package, ``Chart.yaml`` first, as Helm has it."""
    if not (CHART / "Chart.yaml").exists():
        raise Fault("there is no chart in deploy/helm")
    files = [path for path in sorted(CHART.rglob("*")) if path.is_file()]
    for path in sorted(files, key=lambda one: one.name != "Chart.yaml"):
        yield f"pcc-reconciler/{path.relative_to(CHART).as_posix()}", path.read_bytes()


def chart(out: Path) -> Path:
    """Package the chart as ``helm package`` does, with the commit's time on every file."""
    out.mkdir(parents=True, exist_ok=True)
    when, whole = commit_time(), io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in chart_files():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), when, 0o644
            archive.addfile(entry, io.BytesIO(content))
    target = out / f"pcc-reconciler-{places().version}.tgz"
    target.write_bytes(gzip.compress(whole.getvalue(), mtime=when))
    return target


def sums(folder: Path) -> str:
    """Return a line for each file of a folder, as sha256sum writes it and checks it."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files
    )


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    whole = argparse.ArgumentParser(prog="tools/release.py", description=__doc__)
    steps = whole.add_subparsers(dest="step", required=True)
    checked = steps.add_parser("check", help="refuse a tag that is not this version")
    checked.add_argument("--tag", required=True)
    steps.add_parser("notes", help="print this version's section of the changelog")
    for name, what in (
        ("build", "build wheel and sdist"),
        ("chart", "package the chart"),
        ("sums", "write the checksums of what was built"),
    ):
        step = steps.add_parser(name, help=what)
        step.add_argument("--out", type=Path, default=DIST)
    asked = steps.add_parser("print", help="print the name of the image, of the charts, …")
    asked.add_argument("what", choices=("image", "charts", "version", "repository"))
    return whole


def main(arguments: Sequence[str]) -> int:
    """Do one step."""
    asked = parser().parse_args(arguments)
    try:
        match asked.step:
            case "check":
                check(asked.tag, CHANGELOG.read_text(encoding="utf-8"), places())
            case "notes":
                print(notes(CHANGELOG.read_text(encoding="utf-8"), places()), end="")
            case "build":
                print(*build(asked.out), sep="\n")
            case "chart":
                print(chart(asked.out))
            case "sums":
                (asked.out / SUMS).write_text(sums(asked.out), encoding="utf-8")
            case "print":
                print(getattr(places(), asked.what))
    except Fault as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
