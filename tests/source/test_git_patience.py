"""A repository that gives trouble: how often it is asked again, and what is left of the trouble afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.core.model import Cause
from reconciler.source import NOTHING, Fetched, FetchError, Known
from reconciler.source.git.clone import LARGEST_PACK, Clone
from reconciler.source.git.commits import WorkingTree
from reconciler.source.git.process import Git, GitError, GitTimeout, TooLarge
from reconciler.source.git.remote import Address
from reconciler.source.repository import GitSource, read_commit
from repositories import Remote, git, signed_by, ssh_key
from scenarios import write

pytestmark = pytest.mark.system

FILES = {"desired-state.toml": "version = 1\n"}


class Troubled(Git):
    """The program, which fails to fetch while there is an ``error``, and then leaves half a pack behind."""

    def __init__(self, clone: Clone, url: str) -> None:
        super().__init__(directory=clone.folder, given=Address.of(url).configuration)
        self._folder = clone.folder
        self.error: GitError | None = None
        self.fetched = 0
        self.limits: list[object] = []

    def __call__(self, *arguments: str, **how: object) -> bytes:
        """Run it, or fail as a fetch does that is broken off."""
        if "fetch" not in arguments:
            return super().__call__(*arguments, **how)  # type: ignore[arg-type]  # as it was asked for
        self.fetched += 1
        self.limits.append(how.get("largest_file"))
        if self.error is not None:
            write(self._folder / "objects" / "pack" / "tmp_pack_half", "half")
            raise self.error
        return super().__call__(*arguments, **how)  # type: ignore[arg-type]


class Site:
    """Somebody who follows a repository, at a time that a test says."""

    def __init__(self, folder: Path, form: str = "sha1") -> None:
        self.remote = Remote(folder / "served", form=form)
        self.remote.publish(FILES, "Begin")
        self.now = 0.0
        self.clone = Clone(folder / "new" / "state", self.remote.url, steady=self.time)
        self.program = self.clone.git = Troubled(self.clone, self.remote.url)
        self.source = GitSource(self.clone, "main", Path("desired-state.toml"), steady=self.time)
        self.known = NOTHING

    def time(self) -> float:
        """Return what time it is."""
        return self.now

    def look(self, at: float | None = None) -> Fetched | None:
        """Look once, at a time."""
        self.now = self.now if at is None else at
        fetched = self.source.fetch(self.known)
        if fetched is not None:
            self.known = Known(fetched.identity)
        return fetched

    def fails(self, at: float) -> int:
        """Look once in vain; return how often that fetched."""
        before = self.program.fetched
        with pytest.raises(FetchError):
            self.look(at)
        return self.program.fetched - before


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a repository, and somebody who follows it."""
    return Site(tmp_path)


@pytest.mark.parametrize(
    ("error", "first", "most"),
    [(GitTimeout("too slow"), 300, 3600), (TooLarge("File too large"), 3600, 86400)],
)
def test_a_commit_that_is_too_slow_or_too_large_is_tried_ever_more_seldom(
    site: Site, error: GitError, first: int, most: int
) -> None:
    """Each has its own first and longest wait; meanwhile no commit is fetched, and no clone is made anew for it."""
    site.program.error = error
    with capture_logs() as lines:
        assert site.fails(at=0) == 1
        wait, at = float(first), 0.0
        for _ in range(6):
            assert site.fails(at=at + wait - 1) == 0
            at += wait
            assert site.fails(at=at) == 1
            wait = min(2 * wait, most)
    assert wait == most
    assert [line["event"] for line in lines] == []
    site.program.error = None
    assert site.look(at=at + most) is not None


def test_whatever_is_fetched_has_a_limit_of_bytes(site: Site) -> None:
    """A commit, the history, and the trees and files of an older commit: nothing of a remote fills the disk."""
    first = site.remote.head
    site.remote.publish({"desired-state.toml": "version = 1\n# changed\n"})
    site.look()
    before = site.program.fetched
    assert site.clone.descends(site.remote.head, first)
    assert site.program.fetched > before
    for path in ("desired-state.toml", ""):
        before = site.program.fetched
        assert site.clone.entry(first, path) is not None
        fetched = read_commit(site.clone, first, path)
        assert [one.content for one in fetched.documents] == [b"version = 1\n"]
        assert (site.program.fetched > before) is (path != "")
    site.remote.publish({"other.txt": "more\n"})
    site.look()
    limits = site.program.limits
    assert len(limits) == site.program.fetched > 4
    assert all(isinstance(one, int) and 0 < one <= LARGEST_PACK for one in limits)


def test_what_was_too_slow_once_costs_nothing_later(site: Site) -> None:
    """Once a commit came through, a look is one fetch again, and the next trouble begins with a short wait."""
    site.program.error = GitTimeout("too slow")
    for at in (0, 300, 900):
        site.fails(at)
    site.program.error = None
    assert site.look(at=3000) is not None
    before = site.program.fetched
    assert site.look() is None
    assert site.program.fetched == before + 1


def test_what_a_fetch_leaves_that_fails_goes_at_once(site: Site) -> None:
    """Half a pack may have a gigabyte: it does not wait for the next start of the process."""
    site.look()
    site.remote.publish({"other.txt": "more\n"})
    site.program.error = GitError("the remote end hung up")
    site.fails(at=1)
    assert not [*site.clone.folder.glob("objects/pack/tmp_*")]


class Damaged(Clone):
    """A clone that cannot be read while it is ``broken``. ``mends``: a new one helps."""

    broken = mends = False
    made = 0

    def fetch(self, name: str, id_: str) -> None:
        """Fail, or fetch."""
        if self.broken:
            raise GitError("the clone is damaged")
        super().fetch(name, id_)

    def begin_anew(self) -> None:
        """Count it."""
        self.made += 1
        self.broken = not self.mends
        super().begin_anew()


def test_a_clone_that_is_no_better_anew_is_made_ever_more_seldom(
    site: Site, tmp_path: Path
) -> None:
    """Each is a full fetch: at once, then after 1, 2 and 4 minutes; once one helped it begins with a minute again."""
    clone = Damaged(tmp_path / "damaged", site.remote.url)
    site.source = GitSource(clone, "main", Path("desired-state.toml"), steady=site.time)
    clone.broken = True
    for at, made in ((0, 1), (59, 1), (60, 2), (179, 2), (180, 3), (419, 3)):
        site.fails(at)
        assert clone.made == made, at
    clone.mends = True
    assert site.look(at=420) is not None
    clone.broken, clone.mends = True, False
    for at, made in ((421, 5), (480, 5), (481, 6)):
        site.fails(at)
        assert clone.made == made, at


def test_nobody_else_on_the_machine_reads_the_clone(site: Site) -> None:
    """Its folder is made for its owner alone, whatever the mask is; it holds all that is wanted."""
    mask = os.umask(0o022)
    try:
        site.look()
    finally:
        os.umask(mask)
    assert site.clone.folder.parent.stat().st_mode & 0o777 == 0o700


def test_an_object_that_was_replaced_here_is_not_the_commit(site: Site) -> None:
    """``git replace`` shows another commit under the same id; what is reported is what the id stands for."""
    first = site.remote.head
    second = site.remote.publish({"other.txt": "more\n"}, "Second")
    git(site.remote.work, "replace", second, first)
    assert WorkingTree(site.remote.work).commit(second).subject == "Second"


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_a_signature_that_cannot_be_checked_is_not_called_none(tmp_path: Path, form: str) -> None:
    """In a repository of either form; a message that only speaks of a signature is none."""
    site = Site(tmp_path, form)
    key = ssh_key(tmp_path / "key")
    site.source = GitSource(site.clone, "main", Path("desired-state.toml"), verify=True)
    for sign, message, words in (
        ((), "Speak\n\ngpgsig of it", "it is not signed"),
        (signed_by(key), "Sign", "its signature cannot be checked"),
    ):
        site.remote.publish({"other.txt": message}, message, sign=sign)
        fetched = site.look()
        assert fetched is not None
        assert fetched.cause is Cause.UNVERIFIED
        assert words in fetched.unreadable[0].message


def test_several_calls_share_the_seconds_that_they_have_together(tmp_path: Path) -> None:
    """What one call took is missing to the next, however long each may take alone."""
    program = Git(cwd=tmp_path, together=0.2)
    for _ in range(2):
        with pytest.raises(GitTimeout, match=r"within -?0 s"):
            program("-c", "alias.nap=!sleep 20; true", "nap", seconds=3.0)


def test_a_repository_that_cannot_be_read_does_not_answer_no(tmp_path: Path) -> None:
    """That a commit is not there, or not an ancestor, is said only by a repository that is one."""
    nowhere = WorkingTree(tmp_path)
    with pytest.raises(GitError, match="not a git repository"):
        nowhere.resolve("HEAD")
    with pytest.raises(GitError, match="not a git repository"):
        nowhere.descends("1" * 40, "2" * 40)


def test_no_name_in_a_commit_steers_a_terminal(site: Site) -> None:
    """Control characters of an author or a subject are shown as such, wherever they are shown."""
    tree = git(site.remote.work, "rev-parse", "HEAD^{tree}")
    who = "K\x1b[31mim <kim@\x07example.com> 1790000000 +0000"
    raw = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nRed \x1b[31mword\n"
    made = git(site.remote.work, "hash-object", "-t", "commit", "-w", "--stdin", given=raw.encode())
    commit = WorkingTree(site.remote.work).commit(made)
    assert (commit.author.isprintable(), commit.subject.isprintable()) == (True, True)
    assert ("im" in commit.author, "word" in commit.subject) == (True, True)
