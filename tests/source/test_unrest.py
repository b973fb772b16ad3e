"""Signs that files are half written: git's lock, files that went, and how long nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.source.unrest import LOCK_SECONDS, Unrest


class Clocks:
    """Both clocks, which stand until time is let pass. The wall shows the time by which files are dated here."""

    def __init__(self) -> None:
        self.steady_at, self.wall_at = 1000.0, 2_000_000_000.0

    def steady(self) -> float:
        """Return the clock that is never set."""
        return self.steady_at

    def wall(self) -> float:
        """Return the clock that dates files."""
        return self.wall_at

    def wait(self, seconds: float) -> None:
        """Let time pass by both."""
        self.steady_at += seconds
        self.wall_at += seconds


@pytest.fixture
def clocks() -> Clocks:
    """Give the clocks."""
    return Clocks()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a folder that looks like one in a repository; git says that it is none, so no lock is looked up with it."""
    folder = tmp_path / "home"
    (folder / ".git").mkdir(parents=True)
    return folder


def looking_at(home: Path, clocks: Clocks) -> Unrest:
    """Return what looks at a folder."""
    return Unrest(lambda: str(home), steady=clocks.steady, wall=clocks.wall)


def locked(home: Path, clocks: Clocks, age: float = 0.0) -> Path:
    """Let git make a lock that is another file than any before."""
    path = home / ".git" / "index.lock"
    made = home / ".git" / f"made-{len([*path.parent.iterdir()])}"
    made.write_bytes(b"")
    os.utime(made, (clocks.wall_at - age, clocks.wall_at - age))
    if path.exists():
        path.rename(home / ".git" / f"old-{made.name}")  # kept, so that no file gets its inode
    made.rename(path)
    return path


def test_a_lock_is_as_old_as_its_file_or_the_look_at_it(home: Path, clocks: Clocks) -> None:
    """One that somebody left long ago holds nothing up, and a fresh one only for a minute."""
    unrest = looking_at(home, clocks)
    assert (unrest.lock(), unrest.occupied()) == (None, False)
    path = locked(home, clocks, age=20.0)
    found = unrest.lock()
    assert found is not None
    assert (found.path, found.age) == (str(path), 20.0)
    clocks.wait(LOCK_SECONDS - 20.5)
    assert unrest.occupied()
    clocks.wait(0.5)
    assert not unrest.occupied()


def test_a_file_that_is_dated_ahead_is_no_younger_than_now(home: Path, clocks: Clocks) -> None:
    """A clock that was set back makes no lock last longer than a minute."""
    unrest = looking_at(home, clocks)
    locked(home, clocks, age=-3600.0)
    assert unrest.occupied()
    clocks.wait(LOCK_SECONDS)
    assert not unrest.occupied()


def test_the_wall_clock_may_be_set_while_a_lock_is_there(home: Path, clocks: Clocks) -> None:
    """Its age goes on by the clock that nobody sets."""
    unrest = looking_at(home, clocks)
    locked(home, clocks)
    assert unrest.occupied()
    clocks.wall_at += 3600
    assert unrest.occupied()
    clocks.wall_at -= 7200
    clocks.steady_at += LOCK_SECONDS
    assert not unrest.occupied()


@pytest.mark.parametrize("seen_between", [True, False])
def test_the_next_lock_is_a_new_one(home: Path, clocks: Clocks, *, seen_between: bool) -> None:
    """Each operation of git is waited for, whether or not somebody looked between two."""
    unrest = looking_at(home, clocks)
    first = locked(home, clocks)
    assert unrest.occupied()
    clocks.wait(2 * LOCK_SECONDS)
    assert not unrest.occupied()
    if seen_between:
        first.unlink()
        assert unrest.lock() is None
    locked(home, clocks)
    found = unrest.lock()
    assert found is not None
    assert found.age == 0.0
    assert unrest.occupied()


def test_a_repository_that_comes_later_is_found(tmp_path: Path, clocks: Clocks) -> None:
    """Where the folder is in none at first, and in another one after that."""
    home = tmp_path / "above" / "home"
    home.mkdir(parents=True)
    unrest = looking_at(home, clocks)
    assert unrest.lock() is None
    (home.parent / ".git").mkdir()
    path = locked(home.parent, clocks)
    found = unrest.lock()
    assert found is not None
    assert found.path == str(path)
    (home / ".git").mkdir()
    assert unrest.lock() is None


def _rewritten(home: Path) -> None:
    (home / "sub" / "a.txt").write_text("other")


def _of_another_time(home: Path) -> None:
    os.utime(home / "sub" / "a.txt", (1.0, 1.0))


def _hidden(home: Path) -> None:
    (home / "sub" / ".a.txt.part").write_text("")


def _removed(home: Path) -> None:
    (home / "sub" / "a.txt").unlink()


def _dangling(home: Path) -> None:
    (home / "link").symlink_to("nowhere")


STIRS = [_rewritten, _of_another_time, _hidden, _removed, _dangling]


@pytest.mark.parametrize("stir", STIRS)
@pytest.mark.parametrize("linked", [True, False])
def test_a_change_anywhere_below_begins_the_quiet_anew(
    home: Path, clocks: Clocks, stir: Callable[[Path], object], *, linked: bool
) -> None:
    """In a folder that is named, or that a link leads to; a change that was seen counts once."""
    (home / "sub").mkdir()
    (home / "sub" / "a.txt").write_text("one")
    named = home.parent / "link to home" if linked else home
    if linked:
        named.symlink_to(home)
    unrest = looking_at(named, clocks)
    assert unrest.quiet_for() == 0.0
    clocks.wait(3.0)
    assert unrest.quiet_for() == 3.0
    stir(home)
    assert unrest.quiet_for() == 0.0
    clocks.wait(4.0)
    assert unrest.quiet_for() == 4.0


@pytest.mark.parametrize("linked", [True, False])
def test_our_own_folders_are_no_unrest(home: Path, clocks: Clocks, *, linked: bool) -> None:
    """The state may be below the folder of the documents, and links may lead to both; others beside it count."""
    state, cache = home / "state", home / "cache"
    for folder in (state, cache):
        folder.mkdir()
    named = home.parent / "link to state" if linked else state
    if linked:
        named.symlink_to(state)
    (home.parent / "link to home").symlink_to(home)
    unrest = looking_at(home.parent / "link to home" if linked else home, clocks)
    unrest.leave_out(named, cache)
    unrest.quiet_for()
    clocks.wait(3.0)
    for folder in (state, cache):
        (folder / "new").write_text("")
    assert unrest.quiet_for() == 3.0
    (home / "new").write_text("")
    assert unrest.quiet_for() == 0.0


def paths(home: Path, *names: str) -> list[str]:
    """Return the paths of files."""
    return [str(home / name) for name in names]


def test_files_that_are_not_there_any_more_went(home: Path, clocks: Clocks) -> None:
    """From the first reading on; not one that was read, and not one that is there and was not read."""
    (home / "unread.txt").write_text("")
    (home / "dangling.txt").symlink_to("nowhere")
    unrest = looking_at(home, clocks)
    before = paths(home, "read.txt", "unread.txt", "dangling.txt", "gone.txt")
    now = dict.fromkeys(paths(home, "read.txt"), b"")
    for _ in range(2):
        assert unrest.gone(before, now) == {str(home / "gone.txt")}
        assert not unrest.is_whole


def test_nothing_went_where_the_folder_was_exchanged(home: Path, clocks: Clocks) -> None:
    """Once: at the next reading the folder is the same again."""
    (home.parent / "other").mkdir()
    link = home.parent / "current"
    link.symlink_to("home")
    unrest = looking_at(link, clocks)
    before = paths(link, "a.txt")
    assert unrest.gone(before, {}) == {*before}
    link.unlink()
    link.symlink_to("other")
    assert unrest.gone(before, {}) == frozenset()
    assert unrest.is_whole
    assert unrest.gone(before, {}) == {*before}
    assert not unrest.is_whole


def test_nothing_goes_in_a_mounted_configmap(home: Path, clocks: Clocks) -> None:
    """What is there is whole at any time."""
    (home / "..2026").mkdir()
    (home / "..data").symlink_to("..2026")
    unrest = looking_at(home, clocks)
    for _ in range(2):
        assert unrest.gone(paths(home, "a.txt"), {}) == frozenset()
        assert unrest.is_whole
