"""Annotations of a pull request: GitHub shows them beside a line only if it can find the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import cli

FAULTY = "version = 1\ndevicees = []\n"
FILE = "infra/pcc/desired-state.toml"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a checkout with a faulty text below its root."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    root = tmp_path / "checkout"
    (root / ".git").mkdir(parents=True)
    (root / FILE).parent.mkdir(parents=True)
    (root / FILE).write_text(FAULTY)
    return root


def annotated(capsys: pytest.CaptureFixture[str], *paths: str) -> list[str]:
    """Return the first lines that ``validate`` prints for GitHub, up to the line number."""
    capsys.readouterr()
    cli.run(["validate", *paths, "--output", "github"])
    return [line.partition(",line")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("cwd", "path"),
    [
        (".", FILE),
        (".", f"./{FILE}"),
        (".", "infra/pcc"),
        ("infra", "pcc"),
        ("infra/pcc", "."),
        ("infra/pcc", "desired-state.toml"),
        ("infra/pcc", "../pcc/desired-state.toml"),
        ("..", f"checkout/{FILE}"),
        (".", "{root}/infra/pcc"),
        ("/", "{root}/infra/pcc/desired-state.toml"),
    ],
)
@pytest.mark.parametrize("workspace", [None, "{root}", "{root}/.."])
def test_the_place_is_seen_from_the_root_of_the_repository(  # noqa: PLR0917 - two fixtures and two ways
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    repository: Path,
    cwd: str,
    path: str,
    workspace: str | None,
) -> None:
    """Whatever folder a workflow works in and however it names the file, GitHub finds it."""
    if workspace is not None:
        monkeypatch.setenv("GITHUB_WORKSPACE", workspace.format(root=repository))
    monkeypatch.chdir(repository / cwd)
    assert annotated(capsys, path.format(root=repository)) == [f"::error file={FILE}"]


def test_without_a_repository_the_workspace_is_the_root(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    """A runner that exports files without their history still says where its workspace is."""
    (repository / ".git").rmdir()
    monkeypatch.chdir(repository / "infra")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository))
    assert annotated(capsys, "pcc") == [f"::error file={FILE}"]


def test_a_link_to_the_workspace_is_the_workspace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    """A runner may be reached by another name than its own."""
    link = repository.parent / "link"
    link.symlink_to(repository)
    monkeypatch.chdir(link)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(link))
    assert annotated(capsys, str(link / FILE)) == [f"::error file={FILE}"]


def test_a_file_outside_of_the_repository_is_named_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    """GitHub has no line to show it beside, and would drop it or show it beside another file."""
    outside = repository.parent / "outside.toml"
    outside.write_text(FAULTY)
    monkeypatch.chdir(repository)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository))
    for path in (str(outside), "../outside.toml"):
        (line,) = annotated(capsys, path)
        assert line.startswith(f"::error::{path}:2:1: ")
