"""What the release workflow calls: the check of a tag, the notes, and what is built, the same each time."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from packaging.metadata import Metadata

import release
from places import ROOT, Places, places
from release import Fault

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
AT = Places("https://git.example.com/tools/pcc-reconciler", "images.example.com/tools/pcc", "1.2.0")
TEXT = """\
# Changelog

## [1.2.0] - 2026-12-01

### Before you upgrade

Read [how to go back](docs/upgrade.md#roll-back), and [the form](https://example.com/form).

## [1.1.0] - 2026-11-01

Old.
"""
EPOCH = "1790000000"


def test_the_notes_of_this_version_are_its_section() -> None:
    """The notes have what to do before the upgrade before all else, and end before the next version."""
    notes = release.notes(CHANGELOG, places())
    headings = [line for line in notes.splitlines() if line.startswith("### ")]
    assert headings[0] == "### Before you upgrade"
    assert "\n## " not in notes
    assert "](docs/" not in notes


def test_links_of_the_notes_lead_to_the_tag() -> None:
    """A link to a file leads to that file as it is in the tag; other links stay."""
    notes = release.notes(TEXT, AT)
    assert f"({AT.repository}/blob/v1.2.0/docs/upgrade.md#roll-back)" in notes
    assert "(https://example.com/form)" in notes
    assert "Old." not in notes


@pytest.mark.parametrize(
    ("tag", "changelog", "words"),
    [
        ("v1.2.1", TEXT, "the tag is v1.2.1, and the code is version 1.2.0"),
        ("1.2.0", TEXT, "set v1.2.0"),
        ("v1.2.0", TEXT.replace("1.2.0", "1.3.0"), "no section [1.2.0]"),
        ("v1.2.0", TEXT.replace(" - 2026-12-01", ""), "has no date"),
        ("v1.2.0", TEXT.replace("## [1.1.0]", "## [Unreleased]\n\n## [1.1.0]"), "[Unreleased]"),
    ],
)
def test_a_tag_that_is_no_release_is_refused(tag: str, changelog: str, words: str) -> None:
    """A tag has to be the version of the code, and the changelog has to have a dated section for it."""
    with pytest.raises(Fault) as refused:
        release.check(tag, changelog, AT)
    assert words in str(refused.value)


def test_the_tag_of_this_version_is_taken() -> None:
    """The version of the code can be released as it is, once the owner of the repository is filled in."""
    now = dataclasses.replace(AT, version=places().version)
    release.check(f"v{now.version}", CHANGELOG, now)
    for unfilled in (
        dataclasses.replace(now, repository=now.repository.replace("tools", "OWNER")),
        dataclasses.replace(now, image=now.image.replace("tools", "OWNER")),
    ):
        with pytest.raises(Fault, match="no owner yet"):
            release.check(f"v{now.version}", CHANGELOG, unfilled)


def test_a_refused_step_ends_with_one_sentence() -> None:
    """The workflow's step ends with 1 and says why on one line."""
    command = [sys.executable, str(ROOT / "tools" / "release.py"), "check", "--tag", "v0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def step(source: Path, name: str, out: Path, zone: str, mask: int) -> dict[str, bytes]:
    """Do one step of the release in a source tree, in a time zone and with a umask; return what it made."""
    command = [sys.executable, str(source / "tools" / "release.py"), name, "--out", str(out)]
    given = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "TZ": zone}
    subprocess.run(command, env=given, check=True, capture_output=True, umask=mask)  # noqa: S603 - ours
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what the packages are made of, younger, in another folder and under another name."""
    target = tmp_path_factory.mktemp("copy") / "another-name"
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.pyc")
    for name in (
        ".ci",
        ".github",
        "reconciler",
        "logic",
        "tests",
        "tools",
        "benchmarks",
        "docs",
        "deploy",
        "requirements",
    ):
        shutil.copytree(ROOT / name, target / name, ignore=ignored, copy_function=shutil.copy)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, target / path.name)
    return target


@pytest.fixture(scope="module")
def built(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what the workflow's build step makes of the copy."""
    return step(copied, "build", tmp_path_factory.mktemp("built"), "Asia/Seoul", 0o077)


def test_two_builds_are_equal_byte_for_byte(built: dict[str, bytes], tmp_path: Path) -> None:
    """Wheel and sdist are the same from another folder, in another time zone and with another umask."""
    here = step(ROOT, "build", tmp_path / "here", "America/Lima", 0o022)
    assert here.keys() == built.keys()
    assert {name for name in here if here[name] != built[name]} == set()
    version = places().version
    assert set(here) == {
        f"pcc_reconciler-{version}.tar.gz",
        f"pcc_reconciler-{version}-py3-none-any.whl",
    }


def metadata_of(name: str, content: bytes, folder: Path) -> bytes:
    """Return the metadata of a wheel or an sdist."""
    path = folder / name
    path.write_bytes(content)
    if name.endswith(".whl"):
        with ZipFile(path) as wheel:
            (inside,) = (one for one in wheel.namelist() if one.endswith(".dist-info/METADATA"))
            return wheel.read(inside)
    with tarfile.open(path) as archive:
        (member,) = (
            one for one in archive if one.name.count("/") == 1 and one.name.endswith("PKG-INFO")
        )
        read = archive.extractfile(member)
        assert read is not None
        return read.read()


def test_the_metadata_is_valid_and_leads_to_the_repository(
    built: dict[str, bytes], tmp_path: Path
) -> None:
    """Wheel and sdist have valid metadata: licence, addresses, and the README as their description."""
    for name, content in built.items():
        found = Metadata.from_email(metadata_of(name, content, tmp_path), validate=True)
        assert str(found.version) == places().version
        assert found.license_expression == "Apache-2.0"
        assert found.license_files == ["LICENSE"]
        assert found.description_content_type == "text/markdown"
        assert found.description == (ROOT / "README.md").read_text(encoding="utf-8")
        assert found.project_urls is not None
        assert found.project_urls["Repository"] == places().repository
        assert all(url.startswith(places().repository) for url in found.project_urls.values())
        assert found.provides_extra == ["postgres"]


def test_the_checksums_are_those_of_sha256sum(built: dict[str, bytes], tmp_path: Path) -> None:
    """The file of checksums is one that ``sha256sum --check`` accepts, and it fails when a file has changed."""
    for name, content in built.items():
        (tmp_path / name).write_bytes(content)
    assert release.main(["sums", "--out", str(tmp_path)]) == 0
    assert checked(tmp_path) == 0
    (tmp_path / next(iter(built))).write_bytes(b"another file")
    assert checked(tmp_path) != 0


def checked(folder: Path) -> int:
    """Return the code with which sha256sum ends there."""
    command = ["/usr/bin/env", "sha256sum", "--check", "--strict", release.SUMS]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode  # noqa: S603 - ours


def test_the_chart_is_packaged_the_same_each_time(copied: Path, tmp_path: Path) -> None:
    """The chart's package has every file of its folder, the version of the program, and the same bytes each time."""
    one = step(ROOT, "chart", tmp_path / "one", "Asia/Seoul", 0o077)
    assert one == step(copied, "chart", tmp_path / "two", "America/Lima", 0o022)
    name = f"pcc-reconciler-{places().version}.tgz"
    assert set(one) == {name}
    with tarfile.open(tmp_path / "one" / name) as archive:
        names = archive.getnames()
        read = archive.extractfile("pcc-reconciler/Chart.yaml")
        assert read is not None
        chart = yaml.safe_load(read)
    folder = ROOT / "deploy" / "helm"
    assert sorted(names) == sorted(
        f"pcc-reconciler/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file()
    )
    assert (chart["name"], chart["version"]) == ("pcc-reconciler", places().version)
    assert chart["appVersion"] == places().version
