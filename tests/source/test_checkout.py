"""Which commit files of this machine are from, and what of it is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.source.checkout import RELUCTANT_SECONDS, Checkout
from repositories import git
from scenarios import write

FILES = {"a.toml": "version = 1\n", "b.toml": "version = 1\n", "ids/x.txt": "x\n"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a working tree in which everything is committed."""
    for name, words in FILES.items():
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)
    home = tmp_path / "work"
    git(home, "init", "--quiet", "--initial-branch=main")
    commit(home)
    return home


def commit(home: Path) -> str:
    """Commit everything, and return the commit."""
    git(home, "add", "--all")
    person = ("-c", "user.name=Kim", "-c", "user.email=kim@example.com")
    git(home, *person, "commit", "--quiet", "--no-gpg-sign", "--allow-empty", "-m", "Change")
    return git(home, "rev-parse", "HEAD")


def asked(checkout: Checkout, home: Path, *names: str) -> tuple[str, bool] | None:
    """Return the commit of these documents and of what else is there, and whether it is dirty."""
    files = {}
    for path in sorted(home.rglob("*.t*")):
        if ".git" not in path.parts and path.is_file():
            files[str(path)] = path.read_bytes()
    documents = [str(home / name) for name in names or ("a.toml", "b.toml")]
    found = checkout.commit(documents, files, is_ours)
    return None if found is None else (found.id, bool(found.dirty))


def is_ours(path: str) -> bool:
    """Say that documents and lists are read, and nothing else."""
    return path.endswith((".toml", ".txt"))


@pytest.mark.parametrize("name", FILES)
def test_what_the_commit_has_and_the_folder_lacks_is_missing(home: Path, name: str) -> None:
    """With its content in the commit, which is dirty for that alone, until the file is back."""
    checkout, head = Checkout(), git(home, "rev-parse", "HEAD")
    assert (asked(checkout, home), dict(checkout.missing)) == ((head, False), {})
    (home / name).unlink()
    assert asked(checkout, home) == (head, True)
    assert dict(checkout.missing) == {name: FILES[name].encode()}
    (home / name).write_text(FILES[name])
    assert (asked(checkout, home), dict(checkout.missing)) == ((head, False), {})


def test_nothing_is_missing_that_nobody_would_read(home: Path) -> None:
    """Other files of the repository may come and go."""
    (home / "readme.md").write_text("words")
    head, checkout = commit(home), Checkout()
    (home / "readme.md").unlink()
    assert (asked(checkout, home), dict(checkout.missing)) == ((head, False), {})


def test_a_file_that_is_there_in_another_form_is_not_missing(home: Path) -> None:
    """A link that leads nowhere was put there by somebody; reading it is a fault of its own."""
    checkout = Checkout()
    (home / "ids/x.txt").unlink()
    (home / "ids/x.txt").symlink_to("nowhere.txt")
    asked(checkout, home)
    assert dict(checkout.missing) == {}


def test_of_two_missing_files_the_one_that_is_left_out_on_purpose_is_not(home: Path) -> None:
    """A sparse checkout lacks the files that it leaves out on purpose, and no others."""
    checkout = Checkout()
    git(home, "update-index", "--skip-worktree", "ids/x.txt")
    (home / "ids/x.txt").unlink()
    assert asked(checkout, home) is not None
    assert dict(checkout.missing) == {}
    (home / "b.toml").unlink()
    asked(checkout, home, "a.toml")
    assert checkout.missing.keys() == {"b.toml"}


def test_a_new_document_beside_tracked_ones_is_an_edit_of_their_commit(home: Path) -> None:
    """One document of the commit is enough, and none is too few."""
    (home / "new.toml").write_text("version = 1\n")
    checkout, head = Checkout(), git(home, "rev-parse", "HEAD")
    assert asked(checkout, home, "a.toml", "new.toml") == (head, True)
    assert asked(checkout, home, "new.toml", "a.toml") == (head, True)
    assert asked(checkout, home, "new.toml") is None


def test_what_was_known_of_a_checkout_ends_with_it(home: Path, tmp_path: Path) -> None:
    """Plain files in its place have no commit, lack nothing, and do not move."""
    checkout = Checkout()
    (home / "b.toml").unlink()
    assert asked(checkout, home, "a.toml") is not None
    assert checkout.missing
    (home / ".git").rename(tmp_path / "repository of before")
    assert checkout.moved()
    assert asked(checkout, home, "a.toml") is None
    assert (dict(checkout.missing), checkout.moved()) == ({}, False)


def test_a_checkout_moves_with_its_commit(home: Path) -> None:
    """By another commit on the branch, by another branch, and not by an edit."""
    checkout = Checkout()
    asked(checkout, home)
    (home / "a.toml").write_text("version = 1 # edited\n")
    assert not checkout.moved()
    for move in ("commit", "branch"):
        if move == "commit":
            commit(home)
        else:
            git(home, "checkout", "--quiet", "-b", "other")
        assert checkout.moved(), move
        asked(checkout, home)
        assert not checkout.moved(), move


def test_a_revision_is_held_by_a_commit_that_has_it_in_its_history(home: Path) -> None:
    """By its id or the beginning of it; not the other way round, and not where there is no repository."""
    first, second = git(home, "rev-parse", "HEAD"), commit(home)
    checkout, document = Checkout(), str(home / "a.toml")
    assert checkout.holds(document, second, first)
    assert checkout.holds(document, second, first[:10])
    assert checkout.holds(document, second, second)
    assert not checkout.holds(document, first, second)
    assert not checkout.holds(document, second, "0" * 40)
    assert not checkout.holds(str(home.parent / "a.toml"), second, first)


def test_slow_git_is_asked_again_after_five_minutes_and_not_before(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every reading would otherwise be as slow as git; a reading that was in time changes nothing."""
    slow = tmp_path / "bin" / "git"
    write(slow, f"#!/bin/sh\necho run >> {tmp_path}/runs; sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    now = [1000.0]
    checkout = Checkout(patience=0.2, steady=lambda: now[0])
    runs = []
    for moment in (0.0, 1.0, RELUCTANT_SECONDS - 0.1, RELUCTANT_SECONDS):
        now[0] = 1000.0 + moment
        assert asked(checkout, home) is None
        runs.append(len((tmp_path / "runs").read_text().split()))
    assert runs == [1, 1, 1, 2]
