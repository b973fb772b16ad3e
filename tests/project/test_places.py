"""Address, image and version: each is written in one place, and every file that names it agrees."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import places
import readme
import reconciler
from places import ADDRESS, IMAGE, ROOT, Places
from tracked import tracked_texts

FILES = list(places.files())
ELSEWHERE = Places(
    "https://git.hotel.test/tools/pcc-reconciler", "images.hotel.test/pcc-reconciler", "3.4.5"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_names_the_one_address_image_and_version(path: Path) -> None:
    """A file says what ``make docs`` would write from pyproject.toml and the package."""
    text = path.read_text(encoding="utf-8")
    assert places.rewritten(text, places.places()) == text, "run: make docs"


def test_no_other_file_names_the_address_or_the_image() -> None:
    """An address that nothing keeps up to date is in no file."""
    kept = {path.relative_to(ROOT) for path in FILES}
    stray = [
        f"{path}: {found[0]}"
        for path, text in tracked_texts()
        for pattern in (ADDRESS, IMAGE)
        for found in pattern.finditer(text)
        if path not in kept and path != Path("tests/project/test_places.py")
    ]
    assert stray == []


def test_the_owner_is_filled_in_with_two_lines() -> None:
    """With another address, image and version nothing of the present ones is left, and they are written once only."""
    now = places.places()
    for path in FILES:
        changed = places.rewritten(path.read_text(encoding="utf-8"), ELSEWHERE)
        for gone in (now.repository, now.image, now.slug, now.charts, f"@v{now.version}", "OWNER/"):
            assert gone not in changed, (path, gone)
        assert places.rewritten(changed, now) == path.read_text(encoding="utf-8"), path


def test_the_version_is_the_same_wherever_a_person_meets_it() -> None:
    """The command, what is installed, the base of Kubernetes and the badge have the version of the package."""
    shown = subprocess.run(  # noqa: S603 - ours
        [Path(sys.executable).parent / "pcc-reconciler", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split()[-1] == reconciler.__version__ == places.places().version
    assert metadata.version("pcc-reconciler") == reconciler.__version__
    base = (ROOT / "deploy/kubernetes/base/kustomization.yaml").read_text(encoding="utf-8")
    assert re.findall(r"newTag: (.+)", base) == [reconciler.__version__]


@pytest.mark.parametrize("badge", readme.badges(), ids=lambda badge: badge.name)
def test_the_badges_are_current(badge: readme.Badge) -> None:
    """A badge shows what pyproject.toml and the package say, and asks no other server for it."""
    assert badge.path.read_text(encoding="utf-8") == badge.drawn(), "run: make docs"
    assert f"({badge.path.relative_to(ROOT).as_posix()})" in (ROOT / "README.md").read_text("utf-8")
    assert "http" not in badge.drawn().replace("http://www.w3.org/2000/svg", "")
