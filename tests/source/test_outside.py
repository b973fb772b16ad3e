"""Files outside of the folder: a link to one must not make a fault show what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import cli

SECRET = "sesame"
CONTENTS = [
    f'{SECRET}_key = "x"\n',
    f'version = 1\ndevices = []\n{SECRET} = "{SECRET}"\n',
    f'version = 1\ndevices = ["{SECRET}", "{SECRET}"]\n',
    f"version = 1\n[accounts.a]\ndevices = []\n{SECRET} = 1\n",
    f"version = 1\n[accounts.{SECRET}]\ndevices = [1]\n",
    f"version = 1\n[accounts.{SECRET}_x]\ndevices = []\n",
    f'version = 1\ntimezone = "{SECRET}"\ndevices = []\n',
    f'version = 1\ndevice_files = ["{SECRET}.txt"]\n',
    f'version = 1\ndevices = [{{ id = "a", type = "{SECRET}" }}]\n',
    f"version = 1\npolicy.{SECRET} = 1\ndevices = []\n",
    f'version = 1\nenvironment = "{SECRET}"\ndevices = []\n',
    (
        f'version = 1\ndevices = []\n[[approvals]]\naccount = "{SECRET}"\ndevices = []\n'
        'expires = 2026-12-01T00:00:00Z\nreason = "x"\n'
    ),
    f"{SECRET}:{SECRET}\n",
    f"{SECRET} = {SECRET}\n",
    f"root:x:0:0:{SECRET}\n",
    f'[{SECRET}\nx = "',
    f"{SECRET}\udcff",
]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a checkout, and beside it a folder that is nobody's business."""
    (tmp_path / "checkout" / "infra").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"


def by_file(checkout: Path, outside: Path) -> list[str]:
    """Link the file itself, also where a folder is named."""
    (checkout / "infra" / "desired-state.toml").symlink_to(outside)
    return [
        "infra/desired-state.toml",
        "infra",
        str(checkout / "infra"),
        str(checkout / "infra/desired-state.toml"),
    ]


def by_folder(checkout: Path, outside: Path) -> list[str]:
    """Link the folder that the file is in."""
    (checkout / "linked").symlink_to(outside.parent)
    return ["linked", f"linked/{outside.name}", str(checkout / "linked")]


def by_way(checkout: Path, outside: Path) -> list[str]:
    """Link a folder on the way."""
    (checkout / "linked").symlink_to(outside.parent.parent)
    return [
        f"linked/private/{outside.name}",
        "linked/private",
        str(checkout / f"linked/private/{outside.name}"),
    ]


def by_two(checkout: Path, outside: Path) -> list[str]:
    """Link a link."""
    (checkout / "infra" / "other").symlink_to(outside)
    (checkout / "infra" / "desired-state.toml").symlink_to("other")
    return ["infra/desired-state.toml", "infra"]


@pytest.mark.parametrize("link", [by_file, by_folder, by_way, by_two])
@pytest.mark.parametrize("content", CONTENTS)
def test_no_fault_shows_what_is_in_a_linked_file(
    capsys: pytest.CaptureFixture[str],
    checkout: Path,
    link: Callable[[Path, Path], list[str]],
    content: str,
) -> None:
    """Keys, values and broken lines of a file outside are a place in every form, and no word of it."""
    outside = checkout.parent / "private" / "credentials.toml"
    outside.write_text(content, errors="surrogateescape")
    for path in link(checkout, outside):
        for form in ("text", "json", "markdown", "github"):
            code = cli.run(["validate", path, "--output", form, "--env-file", "/dev/null"])
            said = capsys.readouterr()
            assert SECRET not in said.out + said.err
            valid = f'environment = "{SECRET}"' in content or "approvals" in content
            assert code == (0 if valid else 1)
            if form == "json" and not valid:
                assert all(fault["line"] for fault in json.loads(said.out)["faults"])


@pytest.mark.parametrize(
    "content", [one for one in CONTENTS if "environment" not in one and "approvals" not in one]
)
def test_faults_of_what_is_ours_are_shown(
    capsys: pytest.CaptureFixture[str], checkout: Path, content: str, tmp_path: Path
) -> None:
    """A mounted ConfigMap and a link to a release beside it are the folder's own, and are told in full."""
    mount = checkout / "mounted"
    (mount / "..2026").mkdir(parents=True)
    (mount / "..data").symlink_to("..2026")
    (mount / "..2026" / "desired-state.toml").write_text(content, errors="surrogateescape")
    (mount / "desired-state.toml").symlink_to("..data/desired-state.toml")
    (tmp_path / "releases" / "7").mkdir(parents=True)
    (tmp_path / "releases" / "7" / "desired-state.toml").write_text(
        content, errors="surrogateescape"
    )
    (tmp_path / "current").symlink_to("releases/7")
    told = []
    for path in (
        mount,
        mount / "desired-state.toml",
        tmp_path / "current",
        tmp_path / "current/desired-state.toml",
    ):
        cli.run(["validate", str(path)])
        told.append(capsys.readouterr().err)
    assert all("not shown" not in one for one in told)
