"""Patterns of device files: what they mean, and that no text, tree or name makes them last."""

from __future__ import annotations

import os
import re
from fnmatch import translate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import SourceError
from reconciler.desired import Document, MemoryTree, Unreadable, globs, load, matches
from reconciler.source import DiskTree, FileSource, read_file
from reconciler.source.walk import Walk

parts = st.text("ab.*?[]!-", min_size=1, max_size=7).filter(lambda part: part != "**")
names = st.text("abc.]-!", min_size=1, max_size=8)


@given(parts, names)
def test_one_part_means_what_the_shell_means(part: str, name: str) -> None:
    """The matcher without ways back says of every name what the regular expression says."""
    hidden = name.startswith(".") and not part.startswith(".")
    assert globs.Name(part).matches(name) == (
        re.match(translate(part), name) is not None and not hidden
    )


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*" + "a" * 1000 + "b*", "a" * 255),
        ("*a" * 300 + "b", "a" * 255),
        ("*[ab]" * 200 + "c", "ab" * 127),
        ("?*" * 500 + "b", "a" * 255),
        ("*" + "?" * 200 + "b", "a" * 255),
    ],
)
def test_a_pattern_takes_a_bounded_number_of_steps(pattern: str, name: str) -> None:
    """A name is read once, however often a pattern could begin anew in it."""
    effort = globs.Effort(len(name))
    assert not globs.Name(pattern).matches(name, effort)


def test_longer_names_paths_and_patterns_match_nothing() -> None:
    """What no file system has is not looked at."""
    assert not matches("a" * 300, "*")
    assert not matches("a/" * 3000 + "a", "**")
    assert not matches("a", "*" * 2000)


@pytest.mark.parametrize(
    "pattern", ["*" + "a" * globs.LONGEST_PATTERN, "a/" * globs.DEEPEST_PATTERN + "*.txt"]
)
def test_a_pattern_that_is_too_long_or_deep_names_the_bound(pattern: str) -> None:
    """The bound is a fault with its numbers, not a time-out."""
    (fault,) = load(
        [Document("a.toml", f"version = 1\ndevice_files = ['{pattern}']".encode())], MemoryTree({})
    ).faults
    assert str(globs.LONGEST_PATTERN) in fault.message
    assert str(globs.DEEPEST_PATTERN) in fault.message


def test_too_many_patterns_name_the_bound() -> None:
    """An array of patterns has a longest length."""
    text = "version = 1\ndevice_files = [" + "'a', " * (globs.MOST_PATTERNS + 1) + "]"
    assert (
        str(globs.MOST_PATTERNS)
        in load([Document("a.toml", text.encode())], MemoryTree({})).faults[0].message
    )


def test_thousands_of_patterns_on_thousands_of_names_are_broken_off() -> None:
    """The work of a whole load is bounded, and the fault says what to do."""
    files = {f"d/{number}.txt": b"a\n" for number in range(3000)}
    text = (
        "version = 1\ndevice_files = ["
        + ", ".join(f"'d/x*y{number}'" for number in range(3000))
        + "]"
    )
    faults = load([Document("a.toml", text.encode())], MemoryTree(files)).faults
    assert any(str(globs.MOST_STEPS) in fault.message for fault in faults)


def test_patterns_that_name_their_folder_cost_no_more_than_it() -> None:
    """A fleet of very many accounts, each with a folder of its own, is far from the bound."""
    files = {f"d/{number}/a.txt": b"# none\n" for number in range(3000)}
    accounts = "".join(
        f"[accounts.a{number}]\ndevice_files = ['d/{number}/*.txt']\n" for number in range(3000)
    )
    assert (
        load([Document("a.toml", f"version = 1\n{accounts}".encode())], MemoryTree(files)).faults
        == ()
    )


@pytest.mark.parametrize("pattern", ["**/*.txt", "*/*/*/*/*/*/*/*.txt", "**/**/**/*.txt", "**"])
def test_links_to_the_folder_itself_end(tmp_path: Path, pattern: str) -> None:
    """Loops of links make no more paths than there are folders."""
    for number in range(5):
        (tmp_path / f"loop{number}").symlink_to(".")
    (tmp_path / "x.txt").write_text("a\n")
    found = DiskTree().match(str(tmp_path), pattern)
    assert len(found) <= 8
    assert pattern.startswith("*/") or str(tmp_path / "x.txt") in found


def test_any_folders_follow_no_link_and_a_named_folder_may_be_one(tmp_path: Path) -> None:
    """A mounted ConfigMap has its folders behind links; ``**`` goes through real ones only."""
    (tmp_path / "..data/devices").mkdir(parents=True)
    (tmp_path / "..data/devices/a.txt").write_text("a\n")
    (tmp_path / "devices").symlink_to("..data/devices")
    (tmp_path / "real").mkdir()
    (tmp_path / "real/b.txt").write_text("b\n")
    found = {
        pattern: DiskTree().match(str(tmp_path), pattern)
        for pattern in ("devices/*.txt", "**/*.txt", "*/*.txt")
    }
    here = {name: str(tmp_path / name) for name in ("devices/a.txt", "real/b.txt")}
    assert found["devices/*.txt"] == (here["devices/a.txt"],)
    assert found["**/*.txt"] == (here["real/b.txt"],)
    assert found["*/*.txt"] == (here["devices/a.txt"], here["real/b.txt"])


def test_a_tree_without_end_is_broken_off(tmp_path: Path) -> None:
    """The bound on names is told, and says what to do."""
    for number in range(30):
        (tmp_path / f"{number}").touch()
    with pytest.raises(Unreadable, match="more than 20 names"):
        Walk(20).match(str(tmp_path), "**/*.txt")


def test_a_folder_of_texts_without_end_names_the_bound(tmp_path: Path) -> None:
    """The folder of the texts itself is listed no further than any other."""
    for number in range(6):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(SourceError, match="more than 5 names"):
        FileSource(tmp_path, most=5).fetch()


trees = st.lists(
    st.lists(st.sampled_from(["a", "b", ".c", "d.txt"]), min_size=1, max_size=3), max_size=6
)
patterns = st.lists(
    st.sampled_from(["a", "b", "*", "**", "*.txt", ".c", "?", "[ab]*"]), min_size=1, max_size=4
)


@given(trees, patterns)
def test_disk_and_memory_agree(
    tmp_path_factory: pytest.TempPathFactory, tree: list[list[str]], given: list[str]
) -> None:
    """A pattern names the same files of a folder on disk and of one that is only known by its names."""
    home = tmp_path_factory.mktemp("tree")
    files = set()
    for one in tree:
        path = home.joinpath(*one)
        if any(above.is_file() for above in path.parents) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        files.add("/".join(one))
    pattern = "/".join(given)
    expected = sorted(MemoryTree(dict.fromkeys(files, b"")).match("", pattern))
    assert [os.path.relpath(path, home) for path in Walk().match(str(home), pattern)] == expected


def test_a_file_exchanged_for_a_link_while_it_is_read_is_not_followed(tmp_path: Path) -> None:
    """Between the look at where a path leads and the reading, anybody may put a link in its place."""
    (tmp_path / "secret").write_text("a\n")
    home = tmp_path / "home"
    (home / "devices").mkdir(parents=True)
    (home / "devices/a.txt").write_text("a\n")
    (home / "desired-state.toml").write_text("version = 1\ndevice_files = ['devices/*.txt']\n")
    tree = FileSource(home / "desired-state.toml").fetch().tree
    (path,) = tree.match(str(home), "devices/*.txt")
    assert tree.read(path) == b"a\n"
    (home / "devices/a.txt").unlink()
    (home / "devices/a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(Unreadable, match="leads out"):
        tree.read(path)
    (home / "devices/a.txt").unlink()
    (home / "devices").rmdir()
    (home / "devices").symlink_to(tmp_path)
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(Unreadable, match="leads out"):
        tree.read(path)


def test_a_link_inside_the_folder_is_read(tmp_path: Path) -> None:
    """A link that stays inside, such as those of a ConfigMap, is what the path names."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data/a.txt").write_text("a\n")
    (tmp_path / "a.txt").symlink_to("..data/a.txt")
    assert read_file(str(tmp_path / "a.txt"), within=tmp_path.resolve()) == b"a\n"


HOSTILE = {
    "white space": " " * 300_000 + "x\n",
    "tabs and brackets": "\t" * 100_000 + "[" * 100_000 + "\t" * 100_000 + "x",
    "many approvals of unknown accounts": "version = 1\n"
    + "".join(f"accounts.a{number}.devices = []\n" for number in range(6000))
    + "".join(
        f'[[approvals]]\naccount = "b{number}"\ndevices = []\nexpires = 2030-01-01T00:00:00Z\nreason = "r"\n'
        for number in range(6000)
    ),
    "unknown keys": "version = 1\n" + "".join(f"devicez{number} = 1\n" for number in range(30_000)),
    "wrong types": "version = 1\ndevices = ["
    + "".join(f'{{ id = "x{number}", type = "washr{number}" }},' for number in range(10_000))
    + "]\n",
    "dotted": "version = 1\n" + "a." * 200_000 + "a = 1\n",
    "nested": "version = 1\ndevices = " + "[" * 200_000,
    "quotes": 'version = 1\ndevices = ["' + '"' * 300_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_is_judged(kind: str) -> None:
    """Each of these took minutes once, with the interpreter's lock held: now the test's own time limit is far away."""
    loaded = load([Document("a.toml", HOSTILE[kind].encode())], MemoryTree({}))
    assert loaded.faults or loaded.warnings
