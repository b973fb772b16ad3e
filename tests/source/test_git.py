"""Repositories as a source, with the real program: what is fetched, read, refused and believed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, aclosing, nullcontext
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from lock_files import lock_file
from reconciler.core.errors import QUOTED, SourceError
from reconciler.core.model import Cause, Commit, Verified
from reconciler.core.rules import Rule
from reconciler.desired import Unreadable, load
from reconciler.source import (
    NOTHING,
    Fetched,
    FetchError,
    FileSource,
    Known,
    MissingError,
)
from reconciler.source.checkout import Checkout
from reconciler.source.git.clone import Clone
from reconciler.source.git.commits import Repository, WorkingTree
from reconciler.source.git.process import (
    Git,
    GitError,
    GitTimeout,
    TooLarge,
    option_free,
    read_output,
)
from reconciler.source.git.signatures import verdict
from reconciler.source.repository import CommitTree, GitSource
from repositories import (
    AUTHOR,
    GitServer,
    Keyring,
    Remote,
    allow,
    git,
    http_server,
    signed_by,
    ssh_key,
    ssh_server,
)
from scenarios import write

pytestmark = pytest.mark.system

TEXT = 'version = 1\ndevice_files = ["devices/*.txt"]\n'
FILES = {
    "desired-state.toml": TEXT,
    "devices/a.txt": "0a77c3f2\n",
    "other/unneeded.bin": "not for us\n",
}
HERE = Path("desired-state.toml")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    """Give a repository with a text, a device file and something else."""
    made = Remote(tmp_path / "served")
    made.publish(FILES, "Begin")
    return made


@pytest.fixture
def server(remote: Remote) -> Iterator[GitServer]:
    """Serve the repository over http."""
    with http_server(remote.bare.parent) as running:
        yield running


class Follower:
    """Somebody who follows a repository as the daemon does, and says what became of each look."""

    def __init__(
        self,
        home: Path,
        url: str,
        ref: str = "main",
        path: Path = HERE,
        *,
        clone: Clone | None = None,
        **how: object,
    ) -> None:
        self.clone = clone or Clone(home, url)
        self.source = GitSource(self.clone, ref, path, **how)  # type: ignore[arg-type]  # as a test gives it
        self.known = NOTHING

    def look(self) -> Fetched | None:
        """Ask the remote once."""
        fetched = self.source.fetch(self.known)
        if fetched is not None:
            signed = (
                self.known.signed
                if fetched.cause is not None or not self.source._verify
                else {self.commit.id}
            )
            self.known = Known(fetched.identity, frozenset(signed))
        return fetched

    def devices(self) -> set[str]:
        """Ask the remote, and return the devices that its text wants."""
        fetched = self.look()
        assert fetched is not None
        loaded = load(fetched.documents, fetched.tree)
        assert not loaded.faults
        return set().union(*(one.devices for one in loaded.accounts.values()))

    def faults(self) -> list[str]:
        """Ask the remote, and return what is wrong with its text."""
        fetched = self.look()
        assert fetched is not None
        told = () if fetched.cause is not None else load(fetched.documents, fetched.tree).faults
        return [str(one) for one in (*fetched.unreadable, *told)]

    @property
    def commit(self) -> Commit:
        """Return the commit that was fetched last."""
        commit = self.source.commit({})
        assert commit is not None
        return commit


@pytest.fixture
def follower(tmp_path: Path, remote: Remote) -> Follower:
    """Give somebody who follows the repository as files of this machine."""
    return Follower(tmp_path / "state", remote.url)


def missing(clone: Clone, commit: str) -> set[str]:
    """Return the paths of a commit whose content was not fetched."""
    listed = git(
        clone.folder,
        "rev-list",
        "--objects",
        "--missing=print",
        "--no-object-names",
        commit,
        GIT_DIR=".",
    )
    gone = {line[1:] for line in listed.splitlines() if line.startswith("?")}
    root = clone.entry(commit, "")
    assert root is not None
    return {path for path, entry in clone.files(root.id).items() if entry.id in gone}


# -- what is fetched


@pytest.mark.parametrize("transport", ["file", "http", "ssh"])
def test_text_comes_by_every_transport(
    tmp_path: Path, remote: Remote, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each push is read with its device files and who made it, and why; what the text does not name is not fetched."""
    serving: AbstractContextManager[object] = nullcontext(remote)
    if transport == "http":
        serving = http_server(remote.bare.parent)
    elif transport == "ssh":
        serving = ssh_server(tmp_path / "sshd")
    with serving as server:
        url = server.url(remote) if transport == "ssh" else server.url  # type: ignore[attr-defined]  # each has one
        if transport == "ssh":
            monkeypatch.setenv("GIT_SSH_COMMAND", server.command)  # type: ignore[attr-defined]  # the ssh server has
        one = Follower(tmp_path / "state", url)
        assert one.devices() == {"0a77c3f2"}
        pushed = remote.publish({"devices/b.txt": "ff638995\n"}, "Add a fridge")
        assert one.devices() == {"0a77c3f2", "ff638995"}
        assert (one.commit.id, one.commit.author, one.commit.subject) == (
            pushed,
            AUTHOR,
            "Add a fridge",
        )
        assert (one.commit.verified, one.commit.dirty) == (Verified.UNCHECKED, False)
        assert missing(one.clone, pushed) == {"other/unneeded.bin"}


def test_nothing_new_is_one_question(tmp_path: Path, remote: Remote, server: GitServer) -> None:
    """Where nothing was pushed the remote is asked once, and nothing is read again; history is not fetched at first."""
    for number in range(5):
        remote.publish({"devices/a.txt": f"0a77c3f{number}\n"})
    one = Follower(tmp_path / "state", server.url)
    one.devices()
    assert (
        len(git(one.clone.folder, "log", "--format=%H", "refs/pcc/followed", GIT_DIR=".").split())
        == 1
    )
    before = server.asked()
    assert one.look() is None
    assert server.asked() == before + 1


@pytest.mark.parametrize("transport", ["no filters", "old protocol", "whole history"])
def test_servers_that_know_less_do(
    tmp_path: Path, remote: Remote, server: GitServer, transport: str
) -> None:
    """A server without filters, one that gives no object by name, and a plain path of this machine all do."""
    url = server.url
    if transport == "no filters":
        git(remote.bare, "config", "uploadpack.allowFilter", "false")
    elif transport == "old protocol":
        server.protocol = False
    else:
        url = str(remote.bare)
    one = Follower(tmp_path / "state", url)
    assert one.devices() == {"0a77c3f2"}
    remote.publish({"devices/a.txt": "ff638995\n"})
    assert one.devices() == {"ff638995"}


def test_longer_ids_do(tmp_path: Path) -> None:
    """A repository whose ids are SHA-256 is followed like any other."""
    remote = Remote(tmp_path / "served", form="sha256")
    remote.publish(FILES)
    one = Follower(tmp_path / "state", remote.url)
    assert one.devices() == {"0a77c3f2"}
    assert len(one.commit.id) == 64


def test_ref_is_a_branch_a_tag_a_full_name_or_a_commit(tmp_path: Path, remote: Remote) -> None:
    """Each form of ref leads to its commit, annotated tags too; a branch goes before a tag of its name."""
    first = remote.head
    git(remote.work, "tag", "light")
    git(
        remote.work,
        "tag",
        "-a",
        "heavy",
        "-m",
        "a tag",
        GIT_COMMITTER_NAME="Kim",
        GIT_COMMITTER_EMAIL="k@example.com",
    )
    git(remote.work, "tag", "main")
    second = remote.publish({"devices/a.txt": "ff638995\n"})
    remote.push("--tags")
    remote.push("HEAD:refs/deploy/fleet")
    wanted = {
        "light": first,
        "heavy": first,
        "refs/tags/main": first,
        first: first,
        "refs/deploy/fleet": second,
    }
    for ref, commit in (wanted | {"main": second, "HEAD": second}).items():
        one = Follower(tmp_path / "state", remote.url, ref)
        one.devices()
        assert one.commit.id == commit, ref


def test_credential_helpers_and_nobody_else_are_asked(
    tmp_path: Path, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential helper that is set up works; without one the answer is an error, soon, and not a question."""
    server.password = "correct horse"
    one = Follower(tmp_path / "state", server.url)
    with pytest.raises(FetchError, match="could not read Username"):
        one.look()
    helper = "!f() { echo username=reader; echo 'password=correct horse'; }; f"
    write(Path(os.environ["HOME"]) / ".gitconfig", f'[credential]\n  helper = "{helper}"\n')
    assert Follower(tmp_path / "state", server.url).devices() == {"0a77c3f2"}
    (Path(os.environ["HOME"]) / ".gitconfig").unlink()
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "http.extraHeader")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Authorization: Basic cmVhZGVyOmNvcnJlY3QgaG9yc2U=")
    assert Follower(tmp_path / "state", server.url).devices() == {"0a77c3f2"}


def test_address_is_in_no_file_and_no_argument(tmp_path: Path, server: GitServer) -> None:
    """A password in the address reaches the remote, and is written nowhere."""
    server.password = "correct-horse"
    one = Follower(tmp_path / "state", server.url.replace("//", "//reader:correct-horse@"))
    assert one.devices() == {"0a77c3f2"}
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"correct-horse" in path.read_bytes()]


def test_password_of_the_address_is_handed_to_no_helper(tmp_path: Path, server: GitServer) -> None:
    """Neither is a helper that is set up asked for it, nor told to keep it afterwards."""
    server.password = "correct-horse"
    told = tmp_path / "told"
    helper = f"!f() {{ cat >> {told}; }}; f"
    write(Path(os.environ["HOME"]) / ".gitconfig", f'[credential]\n  helper = "{helper}"\n')
    address = server.url.replace("//", "//reader:correct-horse@")
    assert Follower(tmp_path / "state", address).devices() == {"0a77c3f2"}
    assert not told.exists()


@pytest.mark.parametrize(
    "word", ["correct-horse", "c@rrect/h#rse?", "100% %41 'horse\"", "$(false)`false`\\n"]
)
def test_password_of_the_address_is_in_no_argument_of_any_process(
    tmp_path: Path, server: GitServer, word: str
) -> None:
    """Whoever lists the processes of the machine does not see it, whatever characters it has."""
    server.password = word
    server.open.clear()
    written = quote(word, safe="@/#?")
    one = Follower(tmp_path / "state", server.url.replace("//", f"//reader:{written}@"))
    with ThreadPoolExecutor(1) as pool:
        devices = pool.submit(one.devices)
        while not server.requests and not devices.done():
            time.sleep(0.01)
        arguments = [
            argument
            for process in Path("/proc").glob("[0-9]*/cmdline")
            for argument in arguments_of(process)
        ]
        server.open.set()
        assert devices.result() == {"0a77c3f2"}
    assert "remote-http" in arguments  # the program that speaks http was running
    assert not [one for one in arguments if word in one or written in one]


def arguments_of(process: Path) -> list[str]:
    """Return the arguments of a process, if it is still there."""
    try:
        return process.read_text(errors="replace").split("\0")
    except OSError:
        return []


def test_token_as_the_name_of_a_user_works_without_a_password(
    tmp_path: Path, server: GitServer
) -> None:
    """The helpers that are set up are asked for a password first; without one it is empty, as forges take it."""
    server.user, server.password = "token-of-the-reader", ""
    url = server.url.replace("//", "//token-of-the-reader@")
    assert Follower(tmp_path / "one", url).devices() == {"0a77c3f2"}
    server.password = "from a helper"
    helper = "!f() { grep -q username=token-of-the-reader && echo 'password=from a helper'; }; f"
    write(Path(os.environ["HOME"]) / ".gitconfig", f'[credential]\n  helper = "{helper}"\n')
    assert Follower(tmp_path / "two", url).devices() == {"0a77c3f2"}


def test_password_of_the_address_is_for_its_host_only(tmp_path: Path, server: GitServer) -> None:
    """Where the address leads to another host, nobody is given the password."""
    server.password = "correct-horse"
    write(
        Path(os.environ["HOME"]) / ".gitconfig",
        f'[url "http://localhost:{server.port}/"]\n  insteadOf = "http://127.0.0.1:{server.port}/"\n',
    )
    one = Follower(tmp_path / "state", server.url.replace("//", "//reader:correct-horse@"))
    with pytest.raises(FetchError, match="could not read Username"):
        one.look()


def test_clone_of_a_former_address_goes(tmp_path: Path, remote: Remote) -> None:
    """Each address has a clone of its own; only the one in use is kept, and nothing beside clones is touched."""
    write(tmp_path / "state" / "mine.git", "not a clone\n")
    Follower(tmp_path / "state", remote.url).devices()
    Follower(tmp_path / "state", str(remote.bare)).devices()
    assert len(list((tmp_path / "state").glob("*.git"))) == 2
    assert (tmp_path / "state" / "mine.git").is_file()


# -- what is missing


def test_missing_is_told_as_such(tmp_path: Path, remote: Remote, follower: Follower) -> None:
    """A branch that is gone, a repository without any, a file that was removed: each is missing, and comes back."""
    follower.devices()
    (remote.work / "desired-state.toml").unlink()
    remote.commit_all()
    remote.push()
    another = Follower(tmp_path / "other", remote.url, path=Path("devices"))
    for one, words in (
        (follower, "desired-state.toml: there is no such file"),
        (another, "devices: there is no *.toml"),
    ):
        fetched = one.look()
        assert fetched is not None
        assert (fetched.cause, one.commit.id) == (Cause.MISSING, remote.head)
        assert [str(fault).startswith(words) for fault in fetched.unreadable] == [True]
        assert one.look() is None, "a commit without the file is judged once"
    remote.push(":main")
    with pytest.raises(MissingError, match="main: the repository has no such branch or tag"):
        follower.look()
    follower.known = NOTHING
    remote.publish(FILES)
    assert follower.devices() == {"0a77c3f2"}


def test_remote_that_is_away_is_told_and_comes_back(tmp_path: Path, server: GitServer) -> None:
    """While the remote fails each look is an error with its words; then all is as it was."""
    one = Follower(tmp_path / "state", server.url)
    one.devices()
    server.down = True
    for _ in range(2):
        with pytest.raises(FetchError, match=r"the repository cannot be fetched: .*503"):
            one.look()
    server.down = False
    one.known = NOTHING
    assert one.devices() == {"0a77c3f2"}


# -- what is read of a commit


def test_folder_is_its_toml_files(tmp_path: Path, remote: Remote) -> None:
    """Of a folder each TOML file is read, none below it and none that is hidden; the root is a folder too."""
    names = (
        "fleet/b.toml",
        "fleet/a.toml",
        "fleet/.hidden.toml",
        "fleet/x.toml.bak",
        "fleet/below/c.toml",
    )
    remote.publish(dict.fromkeys(names, "version = 1\ndevices = []\n"))
    for path, wanted in (
        (Path("fleet"), ["fleet/a.toml", "fleet/b.toml"]),
        (Path(), ["desired-state.toml"]),
    ):
        fetched = Follower(tmp_path / "state", remote.url, path=path).look()
        assert fetched is not None
        assert [one.path for one in fetched.documents] == wanted


def test_paths_are_those_of_the_repository(tmp_path: Path, remote: Remote) -> None:
    """Device files are found beside the text, wherever it stands; faults name paths as the repository has them."""
    remote.publish({"fleet/seoul/state.toml": TEXT, "fleet/seoul/devices/x.txt": "ff638995\n"})
    one = Follower(tmp_path / "state", remote.url, path=Path("fleet/seoul/state.toml"))
    assert one.devices() == {"ff638995"}
    remote.publish({"fleet/seoul/devices/x.txt": "ff638995\nff638995\n"})
    assert one.faults() == [
        "fleet/seoul/devices/x.txt:2:1: this device is listed twice, first at fleet/seoul/devices/x.txt:1:1"
    ]


def test_what_is_not_a_file_is_refused(remote: Remote, follower: Follower) -> None:
    """A link is not followed and a submodule not entered, be it a text or a device file."""
    (remote.work / "devices" / "b.txt").symlink_to("/etc/passwd")
    remote.commit_all()
    git(remote.work, "update-index", "--add", "--cacheinfo", f"160000,{remote.head},devices/c.txt")
    git(remote.work, "commit", "--quiet", "-m", "a submodule", GIT_COMMITTER_NAME="Kim", GIT_COMMITTER_EMAIL="k@e.com",
        GIT_AUTHOR_NAME="Kim", GIT_AUTHOR_EMAIL="k@example.com")  # fmt: skip
    remote.push()
    where, only = "desired-state.toml:2:17: ", "; of a repository only regular files are read"
    assert follower.faults() == [
        f"{where}devices/b.txt: is a symbolic link{only}",
        f"{where}devices/c.txt: is a submodule{only}",
    ]
    git(remote.work, "rm", "--quiet", "--cached", "devices/c.txt")
    (remote.work / "devices" / "b.txt").unlink()
    (remote.work / "desired-state.toml").unlink()
    (remote.work / "desired-state.toml").symlink_to("/etc/passwd")
    remote.commit_all()
    remote.push()
    assert follower.faults() == [f"desired-state.toml: is a symbolic link{only}"]
    fetched = follower.source.fetch()
    assert fetched is not None
    assert fetched.cause is Cause.INVALID


def test_a_lock_is_read_from_the_commit(tmp_path: Path, remote: Remote) -> None:
    """A file with rules is read with the lock of the same commit; without it, it is refused."""
    text = "version = 1\n[accounts.seoul]\nlocked = 'locks/a.txt'\n"
    text += "[[accounts.seoul.rules]]\nname = 'all'\nevery = true\n"
    remote.publish({"fleet/state.toml": text})
    one = Follower(tmp_path / "state", remote.url, path=Path("fleet/state.toml"))
    fetched = one.look()
    assert fetched is not None
    assert [str(fault) for fault in load(fetched.documents, fetched.tree).faults] == [
        "fleet/state.toml:3:10: there is no such file yet: run pcc-reconciler resolve"
    ]
    remote.publish({"fleet/locks/a.txt": lock_file("seoul", Rule("all"), a1="Room 1")})
    fetched = one.look()
    assert fetched is not None
    (desired,) = load(fetched.documents, fetched.tree).accounts.values()
    assert desired.devices == {"a1"}


def test_pattern_stays_in_its_folder(tmp_path: Path, remote: Remote) -> None:
    """A pattern that leads out of the text's folder is refused, although the repository has such files."""
    remote.publish({"fleet/state.toml": 'version = 1\ndevice_files = ["none/*.txt"]\n'})
    one = Follower(tmp_path / "state", remote.url, path=Path("fleet/state.toml"))
    fetched = one.look()
    assert fetched is not None
    for pattern in ("../devices/*.txt", "/etc/passwd"):
        with pytest.raises(Unreadable, match="leads out of the folder"):
            fetched.tree.match("fleet", pattern)
    for path in ("devices/a.txt", "/etc/passwd"):
        with pytest.raises(Unreadable, match="there is no such file"):
            fetched.tree.read(path)
    assert [str(fault) for fault in load(fetched.documents, fetched.tree).faults] == [
        "fleet/state.toml:2:17: no file matches this pattern"
    ]


def test_large_file_is_refused(remote: Remote, follower: Follower) -> None:
    """A file that is small on its way and large when unpacked is refused by its size, and never held in memory."""
    follower.devices()
    remote.large_file("devices/large.txt", 97)
    assert follower.faults() == ["desired-state.toml:2:17: devices/large.txt: is larger than 96 MB"]


def test_large_file_is_broken_off_on_its_way(remote: Remote, follower: Follower) -> None:
    """A file that is large on its way is not fetched to its end; the others beside it are."""
    (remote.work / "devices" / "large.txt").write_bytes(os.urandom(600_000))
    remote.publish({"devices/b.txt": "ff638995\n"})
    follower.clone.fetch("refs/heads/main", remote.head)
    entry = follower.clone.entry(remote.head, "devices")
    assert entry is not None
    held = follower.clone.files(entry.id)
    ids = {name: one.id for name, one in held.items()}
    assert follower.clone.bring(entry.id, ids.values(), most=100_000) == {ids["large.txt"]}
    kept = follower.clone.contents([ids["a.txt"], ids["b.txt"]], most=100_000)
    assert kept == {ids["a.txt"]: b"0a77c3f2\n", ids["b.txt"]: b"ff638995\n"}
    size = sum(path.stat().st_size for path in follower.clone.folder.rglob("*"))
    assert size < 600_000


def test_names_cannot_forge_lines(remote: Remote, follower: Follower) -> None:
    """Control characters in author, subject and paths are gone or refused before anything is told."""
    (remote.work / "devices" / "x\n::error::y.txt").write_text("ff638995\n")
    remote.commit_all(
        "Sub\x1b[31mject ::error::\u202e", author="Ki\x1b]0;m\u202e <kim@example.com>"
    )
    remote.push()
    told = follower.faults()
    assert [fault for fault in told if "is not printable text" in fault]
    assert all(fault.isprintable() for fault in told)
    assert follower.commit.author.isprintable()
    assert follower.commit.subject == "Sub [31mject ::error::"


# -- history


def test_rewritten_history_is_followed_and_told(remote: Remote, follower: Follower) -> None:
    """A push with force is followed, and the commit that was left is told; a plain push is not such a thing."""
    first = remote.head
    follower.devices()
    second = remote.publish({"devices/a.txt": "ff638995\n"})
    fetched = follower.look()
    assert fetched is not None
    assert fetched.rewritten == ""
    remote.reset(first)
    fetched = follower.look()
    assert fetched is not None
    assert (fetched.rewritten, follower.commit.id) == (second, first)
    remote.commit({"devices/a.txt": "11111111\n"}, amend=True)
    remote.push()
    fetched = follower.look()
    assert fetched is not None
    assert fetched.rewritten == first
    remote.publish({"devices/a.txt": "22222222\n"})
    fetched = follower.look()
    assert fetched is not None
    assert fetched.rewritten == ""


def test_commits_that_were_passed_over_are_told_oldest_first(
    remote: Remote, follower: Follower
) -> None:
    """Those between two looks, without the two; of very many the latest twenty; none after a push with force."""
    fetched = follower.look()
    assert fetched is not None
    assert fetched.overtaken == ()
    before, made = remote.head, [remote.head]
    for number in (1, 22, 3):
        before = remote.head
        made = [remote.commit({}, f"Change {one}") for one in range(number)]
        remote.push()
        fetched = follower.look()
        assert fetched is not None
        assert (fetched.overtaken, fetched.rewritten) == (tuple(made[:-1][-20:]), "")
        assert (follower.commit.id, follower.commit.subject) == (made[-1], f"Change {number - 1}")
    remote.reset(before)
    remote.commit({}, "Elsewhere")
    remote.publish({}, "Here")
    fetched = follower.look()
    assert fetched is not None
    assert (fetched.overtaken, fetched.rewritten) == ((), made[-1])


# -- trouble with the clone


def _no_objects(clone: Path) -> None:
    shutil.rmtree(clone / "objects")


def _no_sense_in_head(clone: Path) -> None:
    write(clone / "HEAD", "nonsense\n")


def _no_sense_in_packs(clone: Path) -> None:
    for path in clone.glob("objects/pack/*.pack"):
        path.chmod(0o600)
        path.write_bytes(b"nonsense")


def _left_locks(clone: Path) -> None:
    for name in ("shallow.lock", "config.lock", "refs/pcc/newest.lock", "refs/pcc/followed.lock"):
        write(clone / name, "")


def _gone(clone: Path) -> None:
    shutil.rmtree(clone)


@pytest.mark.parametrize(
    "damage", [_no_objects, _no_sense_in_head, _no_sense_in_packs, _left_locks, _gone]
)
def test_damaged_clone_is_made_anew(
    remote: Remote, follower: Follower, damage: Callable[[Path], None]
) -> None:
    """However the clone was damaged, the next look mends that by itself."""
    follower.devices()
    damage(follower.clone.folder)
    remote.publish({"devices/a.txt": "ff638995\n"})
    assert follower.devices() == {"ff638995"}


def test_clone_that_was_mended_is_mended_again_at_once(remote: Remote, follower: Follower) -> None:
    """Only after a new clone that did not help the next one waits."""
    follower.devices()
    for device in ("ff638995", "11111111", "22222222"):
        _no_objects(follower.clone.folder)
        remote.publish({"devices/a.txt": f"{device}\n"})
        assert follower.devices() == {device}


def test_file_that_was_not_brought_ahead_is_brought_when_it_is_read(
    remote: Remote, follower: Follower
) -> None:
    """What a commit reads is guessed beforehand, and the guess may lack a file."""
    follower.devices()
    root = follower.clone.entry(remote.head, "")
    assert root is not None
    tree = CommitTree(follower.clone, root.id, "")
    for _ in range(2):
        assert tree.read("other/unneeded.bin") == b"not for us\n"
    assert tree.read("devices/a.txt") == b"0a77c3f2\n"
    assert tree.was_read == {"other/unneeded.bin", "devices/a.txt"}
    with pytest.raises(Unreadable, match="no such file"):
        tree.read("devices/b.txt")


def test_object_that_is_not_there_is_told(remote: Remote) -> None:
    """A repository that lacks what its commits name is told as such, by whatever is asked for it."""
    tree = WorkingTree(remote.work)
    with pytest.raises(GitError, match="is not here"):
        tree.sizes(["0" * 40])
    with pytest.raises(GitError, match="is not here"):
        tree.contents(["0" * 40, remote.head], most=1000)


def program(folder: Path, name: str, script: str) -> str:
    """Write a program, and return a PATH on which it goes before all others."""
    write(folder / name, f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_full_disk_is_told_and_over_when_it_is_over(
    tmp_path: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be written each look says so, in the words of the system; with room again all is well."""
    real = shutil.which("git")
    full = tmp_path / "full"
    script = f'case " $* " in *" fetch "*) [ -e {full} ] && echo "fatal: write error: No space left on device" >&2 && exit 128;; esac\nexec {real} "$@"'  # noqa: E501 - a program in one piece
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "git", script))
    one = Follower(tmp_path / "state", remote.url)
    one.devices()
    full.touch()
    remote.publish({"devices/a.txt": "ff638995\n"})
    with capture_logs() as events:
        for _ in range(3):
            with pytest.raises(FetchError, match="No space left on device"):
                one.look()
    assert [event["event"] for event in events] == ["source.cloned_again"]
    full.unlink()
    assert one.devices() == {"ff638995"}


def test_folder_that_cannot_be_made_is_told(tmp_path: Path, remote: Remote) -> None:
    """Where there is no room for a clone at all, that is an error of the source and nothing else."""
    write(tmp_path / "state", "a file, and no folder\n")
    with pytest.raises(FetchError, match="no clone can be made here"):
        Follower(tmp_path / "state", remote.url).look()


def test_missing_program_is_told(
    tmp_path: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without git there is a sentence that says so."""
    one = Follower(tmp_path / "state", remote.url)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="the program git is needed, and not on PATH"):
        Follower(tmp_path / "state", remote.url).look()
    monkeypatch.undo()
    assert one.devices() == {"0a77c3f2"}


# -- how the program is run


@pytest.mark.parametrize("value", ["--upload-pack=touch /tmp/x", "-x", ""])
def test_nothing_from_outside_is_an_option(tmp_path: Path, remote: Remote, value: str) -> None:
    """An address, a ref and a revision that begin with a dash are refused by whoever runs git, whatever was checked."""
    with pytest.raises(GitError, match="begin with '-'"):
        option_free(value)
    with pytest.raises(GitError, match="begin with '-'"):
        Clone(tmp_path / "state", value)
    with pytest.raises(SourceError, match="begin with '-'"):
        Follower(tmp_path / "state", remote.url, value).look()
    with pytest.raises(GitError, match="begin with '-'"):
        WorkingTree(remote.work).resolve(value)


def test_programs_named_by_an_address_are_not_run(tmp_path: Path) -> None:
    """An address that stands for a command is refused by git itself, even if git's configuration would let it pass."""
    write(Path(os.environ["HOME"]) / ".gitconfig", '[protocol "ext"]\n  allow = always\n')
    one = Follower(tmp_path / "state", f"ext::sh -c touch% {tmp_path}/run")
    with pytest.raises(FetchError, match="transport 'ext' not allowed"):
        one.look()
    assert not (tmp_path / "run").exists()


def test_hooks_are_not_run(tmp_path: Path, follower: Follower) -> None:
    """Hooks that a user's configuration names for every repository are not run in ours."""
    write(Path(os.environ["HOME"]) / ".gitconfig", f"[core]\n  hooksPath = {tmp_path}/hooks\n")
    for hook in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        program(tmp_path / "hooks", hook, f"touch {tmp_path}/run")
    follower.devices()
    assert not (tmp_path / "run").exists()


def test_surroundings_are_kept_out(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our secrets do not reach git, nor what would send it elsewhere; what people set up for git does."""
    for name in (
        "PCC_SERVICE_KEY",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_EXTERNAL_DIFF",
        "GIT_TRACE",
    ):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "HTTPS_PROXY", "GNUPGHOME"):
        monkeypatch.setenv(name, "kept")
    told = (
        Git(cwd=remote.work)("-c", "alias.surroundings=!env", "surroundings").decode().splitlines()
    )
    names = {line.partition("=")[0] for line in told}
    assert names.isdisjoint(
        {"PCC_SERVICE_KEY", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF", "GIT_TRACE"}
    )
    assert {"GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "HTTPS_PROXY", "GNUPGHOME", "HOME"} <= names
    assert {"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "LC_ALL=C"} <= set(told)
    assert "GIT_DIR=/nowhere" not in told


def nap(folder: Path, seconds: int = 60) -> tuple[str, str, str]:
    """Return arguments with which git sleeps, in a process that it starts, after it has noted that one's number."""
    return "-c", f"alias.nap=!echo $$ > {folder}/number; sleep {seconds}; true", "nap"


def test_time_is_limited(tmp_path: Path) -> None:
    """A call that lasts too long is ended, with the processes that it started."""
    with pytest.raises(GitTimeout, match="did not end within"):
        Git(cwd=tmp_path)(*nap(tmp_path), seconds=0.5)
    number = int((tmp_path / "number").read_text())
    while Path(f"/proc/{number}").exists():  # until the system has buried it
        time.sleep(0.01)


def test_what_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    """A process that git leaves behind, such as a connection that ssh keeps, does not hold up the answer."""
    told = Git(cwd=tmp_path)("-c", "alias.nap=!echo here; sleep 60 &", "nap", seconds=30)
    assert told == b"here\n"


class Late:
    """Stands for a process that prints and ends in the moment in which it is asked whether it has ended."""

    def __init__(self) -> None:
        self._ends = [os.pipe() for _ in range(3)]
        (_, given), (out, self._out), (said, self._said) = self._ends
        self.stdin, self.stdout, self.stderr = (
            os.fdopen(given, "wb"),
            os.fdopen(out, "rb"),
            os.fdopen(said, "rb"),
        )
        self._over = False

    def poll(self) -> int:
        """Print, end and say so; what it has left behind keeps its output open."""
        if not self._over:
            self._over = True
            os.write(self._out, b"all that was asked for\n")
        return 0

    def wait(self, _seconds: float) -> int:
        """Say that it has ended."""
        return 0

    def close(self) -> None:
        """Close what is still open."""
        for file in (self.stdin, self.stdout, self.stderr):
            file.close()
        for descriptor in (self._ends[0][0], self._out, self._said):
            os.close(descriptor)


def test_last_words_areread_output() -> None:
    """What git printed just before its end was once lost, if nothing had come for a while: half a listing, no error."""
    process = Late()
    try:
        assert read_output(cast("Any", process), b"", 30, 1000) == (
            b"all that was asked for\n",
            b"",
        )
    finally:
        process.close()


class Printed:
    """Stands for the git program: prints what it is given, one call after the other."""

    def __init__(self, *outputs: bytes) -> None:
        self._outputs = iter(outputs)

    def __call__(self, *_arguments: str, **_how: object) -> bytes:
        """Print the next of it."""
        return next(self._outputs)


ID = "0a" * 20


@pytest.mark.parametrize(
    ("ask", "printed"),
    [
        (
            lambda one: one.files(ID),
            [b"100644 blob %s\ta.txt\0100644 blob %s\tb.t" % (ID.encode(), ID.encode())],
        ),
        (lambda one: one.files(ID), [b"100644 blob\ta.txt\0"]),
        (lambda one: one.sizes([ID, "0b" * 20]), [b"%s blob 5\n" % ID.encode()]),
        (lambda one: one.sizes([ID]), [b"%s blob -5\n" % ID.encode()]),
        (
            lambda one: one.contents([ID], most=9),
            [b"%s blob 5\n" % ID.encode(), b"%s missing\n" % ID.encode()],
        ),
        (
            lambda one: one.contents([ID], most=9),
            [b"%s blob 5\n" % ID.encode(), b"%s blob 5\nfri" % ID.encode()],
        ),
        (lambda one: one.contents([ID], most=9), [b"%s blob 5\n" % ID.encode(), b""]),
        (lambda one: one.commit(ID), [b"Kim Minji\0kim@example.com"]),
        (lambda one: one.between(ID, ID), [b"--output=x\n"]),
        (lambda one: verdict(one, ID, None), [b"\xff"]),
    ],
)
def test_output_that_is_not_what_was_asked_for_is_told(
    ask: Callable[[Repository], object], printed: Sequence[bytes]
) -> None:
    """A listing without its end was once believed, and a blob that went between two questions ended the program."""
    repository = Repository(cast("Git", Printed(*printed)))
    try:
        answer = ask(repository)
    except GitError:
        return
    assert answer == "its key is not among those that are trusted"


def test_folder_with_a_line_in_its_name_is_told(tmp_path: Path) -> None:
    """Where a folder's name has two lines git's answer cannot be taken apart, which is no reason to end."""
    folder = tmp_path / "two\nlines"
    made = Remote(folder)
    made.publish(FILES, "Begin")
    with pytest.raises(GitError):
        WorkingTree(made.work).head()


def test_output_is_limited(tmp_path: Path) -> None:
    """A call that prints without end is ended."""
    with pytest.raises(TooLarge, match="printed more than 1000 bytes"):
        Git(cwd=tmp_path)("-c", "alias.talk=!yes", "talk", most=1000)


def test_stop_ends_what_runs(tmp_path: Path) -> None:
    """Whoever stops ends the call under way in another thread, and no new one begins."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only here

    one = Git(cwd=tmp_path)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(one, *nap(tmp_path))
        while not (tmp_path / "number").exists():
            time.sleep(0.01)
        one.stop()
        with pytest.raises(GitTimeout, match="this program ends"):
            running.result()
    with pytest.raises(GitTimeout, match="this program ends"):
        one("version")


# -- what is too large


def heavy(remote: Remote, name: str = "other/heavy.bin") -> str:
    """Push a commit with a file that does not get smaller."""
    (remote.work / name).write_bytes(os.urandom(300_000))
    made = remote.commit_all("Add something heavy")
    remote.push()
    return made


def fetches(server: GitServer) -> int:
    """Return how often objects were fetched."""
    return server.requests.count("POST /remote.git/git-upload-pack")


@pytest.mark.parametrize("first", ["heavy", "light"])
def test_commit_above_the_limit_is_not_fetched_at_every_look(
    tmp_path: Path, remote: Remote, server: GitServer, first: str
) -> None:
    """Where the server cannot filter, its size is found out once; then it is asked for the tip only, for an hour."""
    server.protocol = False  # then a fetch is one request, and asking for the tip none
    git(remote.bare, "config", "uploadpack.allowFilter", "false")
    now = [0.0]
    clone = Clone(tmp_path / "state", server.url, largest_pack=100_000, steady=lambda: now[0])
    one = Follower(tmp_path / "state", server.url, clone=clone)
    if first == "light":
        one.devices()
    heavy(remote)
    for _ in range(2):
        with pytest.raises(FetchError, match=r"File too large|exceeds maximum"):
            one.look()
    before = fetches(server)
    for _ in range(3):
        with pytest.raises(FetchError, match="tried again in"):
            one.look()
    assert fetches(server) == before
    assert before <= 3
    assert not [
        path for path in clone.folder.rglob("*") if path.is_file() and path.stat().st_size > 50_000
    ]
    now[0] += 3601
    with pytest.raises(FetchError):
        one.look()
    assert fetches(server) > before
    before = fetches(server)
    now[0] += 3601  # the second time it waits twice as long
    with pytest.raises(FetchError, match="tried again in"):
        one.look()
    assert fetches(server) == before


def test_commit_after_one_that_was_too_large_is_fetched_at_once(
    tmp_path: Path, remote: Remote, server: GitServer
) -> None:
    """Only the commit that is too large waits: its author takes it back, and the next look follows."""
    git(remote.bare, "config", "uploadpack.allowFilter", "false")
    clone = Clone(tmp_path / "state", server.url, largest_pack=100_000)
    one = Follower(tmp_path / "state", server.url, clone=clone)
    one.devices()
    good = remote.head
    heavy(remote)
    for _ in range(2):
        with pytest.raises(FetchError):
            one.look()
    remote.reset(good)
    remote.publish({"devices/a.txt": "ff638995\n"})
    assert one.devices() == {"ff638995"}


def test_what_a_broken_off_fetch_left_behind_goes(tmp_path: Path, remote: Remote) -> None:
    """Half a pack takes no room for ever, and a lock of a process that was killed stops no fetch."""
    Follower(tmp_path / "state", remote.url).devices()
    one = Follower(tmp_path / "state", remote.url)
    left = [
        one.clone.folder / name
        for name in (
            *(
                "objects/pack/tmp_pack_abc",
                "objects/pack/pack-1.keep",
                "objects/tmp_obj_x",
                "shallow.lock",
            ),
            *("packed-refs.lock", "refs/pcc/newest.lock", "HEAD.lock"),
        )
    ]
    for path in left:
        write(path, "half\n")
    remote.publish({"devices/a.txt": "ff638995\n"})
    with capture_logs() as lines:
        assert one.devices() == {"ff638995"}
    assert [path for path in left if path.exists()] == []
    assert [line["event"] for line in lines] == []


def test_clone_that_cannot_be_made_anew_is_not_tried_at_every_look(
    tmp_path: Path, remote: Remote, server: GitServer
) -> None:
    """A commit that the remote names and does not give costs one fetch a look, not two, and no clone each time."""
    one = Follower(tmp_path / "state", server.url, "0" * 40)
    with capture_logs() as lines:
        with pytest.raises(FetchError):
            one.look()
        before = fetches(server)
        with pytest.raises(FetchError):
            one.look()
    assert fetches(server) - before <= before
    assert [line["event"] for line in lines] == ["source.cloned_again"]
    assert remote.head


def test_subject_without_end_is_cut(tmp_path: Path, remote: Remote) -> None:
    """A commit is followed whatever is written in it; a subject and a name of megabytes are cut."""
    tree = git(remote.work, "rev-parse", "HEAD^{tree}")
    who = f"{'Kim ' * 500_000}<{'k' * 100_000}@example.com> 1790000000 +0000"
    raw = f"tree {tree}\nauthor {who}\ncommitter {who}\n\n{'word ' * 2_000_000}\n"
    made = git(remote.work, "hash-object", "-t", "commit", "-w", "--stdin", given=raw.encode())
    remote.push(f"+{made}:main")
    one = Follower(tmp_path / "state", remote.url)
    assert one.devices() == {"0a77c3f2"}
    assert one.commit.id == made
    assert one.commit.subject.startswith("word word")
    assert one.commit.author.startswith("Kim Kim")
    assert len(one.commit.subject) <= QUOTED
    assert len(one.commit.author) <= QUOTED


def test_tree_of_ten_billion_files_is_rejected_once(tmp_path: Path, remote: Remote) -> None:
    """Eleven objects can stand for more files than any memory holds; such a commit is rejected, and not read again."""
    blob = git(remote.work, "hash-object", "-w", "--stdin", given=b"ff638995\n")
    text = git(remote.work, "hash-object", "-w", "--stdin", given=TEXT.encode())
    tree = git(
        remote.work,
        "mktree",
        given="".join(f"100644 blob {blob}\t{n}.txt\n" for n in range(10)).encode(),
    )
    for _ in range(9):
        listed = "".join(f"040000 tree {tree}\t{n}\n" for n in range(10))
        tree = git(remote.work, "mktree", given=listed.encode())
    top = f"040000 tree {tree}\tdevices\n100644 blob {text}\tdesired-state.toml\n"
    tree = git(remote.work, "mktree", given=top.encode())
    who = ("-c", "user.name=Kim", "-c", "user.email=kim@example.com")
    made = git(remote.work, *who, "commit-tree", "-m", "Too many", "-p", remote.head, tree)
    remote.push(f"{made}:main")
    one = Follower(tmp_path / "state", remote.url)
    fetched = one.look()
    assert fetched is not None
    assert fetched.cause is Cause.INVALID
    assert "cannot be read: git printed more than" in str(fetched.unreadable[0])
    assert one.look() is None
    assert one.commit.id == made


def test_relative_folder_for_the_clone(
    tmp_path: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state folder that is named from where the program runs serves a repository, too."""
    monkeypatch.chdir(tmp_path)
    assert Follower(Path("state"), remote.url).devices() == {"0a77c3f2"}
    assert list((tmp_path / "state").glob("*.git"))


# -- what is in the history


@pytest.mark.parametrize("filters", ["true", "false"])
def test_every_commit_in_the_history_is_known(tmp_path: Path, remote: Remote, filters: str) -> None:
    """Also those before the clone was made, of merged branches, and by their first digits; no other one."""
    git(remote.bare, "config", "uploadpack.allowFilter", filters)
    first = remote.head
    git(remote.work, "checkout", "--quiet", "-b", "topic")
    topic = [remote.commit({f"other/{number}": "x\n"}) for number in range(25)]
    git(remote.work, "checkout", "--quiet", "main")
    who = ("-c", "user.name=Kim", "-c", "user.email=kim@example.com")
    git(remote.work, *who, "merge", "--quiet", "--no-ff", "-m", "Merge", "topic")
    remote.push()
    merge = remote.head
    stray = remote.commit({"other/stray": "x\n"})
    one = Follower(tmp_path / "state", remote.url)
    one.devices()
    source = one.source
    assert source.holds(merge, merge) is True
    assert source.holds(merge, first) is None
    source.deepen()
    for known in (first, topic[0], topic[24], merge, first[:7], topic[3][:9]):
        assert source.holds(merge, known) is True, known
    for unknown in (stray, "0" * 40, "abcdef0"):
        assert source.holds(merge, unknown) is False
    assert source.holds(first, merge) is False


def test_history_of_a_checkout_is_known(remote: Remote) -> None:
    """Files of this machine have the history of the repository they are checked out from."""
    first, source = remote.head, FileSource(remote.work / "desired-state.toml")
    second = remote.commit({"other/a": "x\n"})
    source.fetch()
    assert source.holds(second, first) is True
    assert source.holds(second, first[:8]) is True
    assert source.holds(first, second) is False
    assert FileSource(remote.work.parent / "nowhere.toml").holds(second, first) is False


def test_nothing_that_git_started_outlives_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that does not listen to the first signal ends with the daemon all the same."""
    deaf = tmp_path / "deaf"
    write(
        deaf, f"#!/bin/sh\ntrap '' TERM\necho $$ > {tmp_path}/number\nwhile :; do sleep 0.1; done\n"
    )
    deaf.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(deaf))
    clone = Clone(tmp_path / "state", "ssh://git@127.0.0.1/r.git")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(clone.tip, "main")
        while not (tmp_path / "number").exists() or not (tmp_path / "number").read_text():
            time.sleep(0.01)
        clone.stop()
        with pytest.raises(GitTimeout, match="this program ends"):
            running.result()
    number = int((tmp_path / "number").read_text())
    while Path(f"/proc/{number}/cmdline").exists() and Path(f"/proc/{number}/cmdline").read_bytes():
        time.sleep(0.01)


# -- signatures


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyring]:
    """Give a PGP keyring that git finds."""
    made = Keyring(Path("/tmp") / f"pcc-{os.getpid()}-{time.monotonic_ns()}")  # noqa: S108 - its socket's path has to be short
    monkeypatch.setenv("GNUPGHOME", str(made.home))
    yield made
    made.close()
    shutil.rmtree(made.home)


def judged(one: Follower) -> str:
    """Look once, and return what is wrong with the commit, or nothing."""
    fetched = one.look()
    assert fetched is not None
    if fetched.cause is None:
        assert one.commit.verified is Verified.YES
        assert fetched.documents
        return ""
    assert (fetched.cause, fetched.documents, one.commit.verified) == (
        Cause.UNVERIFIED,
        (),
        Verified.NO,
    )
    assert one.commit.id[:12] in str(fetched.unreadable[0])
    return fetched.unreadable[0].message.partition(" is not accepted: ")[2]


def test_ssh_signatures(tmp_path: Path, remote: Remote) -> None:
    """Only a commit signed by an allowed SSH key is believed; one that is revoked is not, by either way to revoke."""
    good, wrong, revoked = (ssh_key(tmp_path / name) for name in ("good", "wrong", "revoked"))
    signers = allow(tmp_path / "signers", good, revoked)
    write(tmp_path / "revocations", revoked.with_suffix(".pub").read_text())
    write(
        Path(os.environ["HOME"]) / ".gitconfig",
        f'[gpg "ssh"]\n  revocationFile = {tmp_path}/revocations\n',
    )
    one = Follower(tmp_path / "state", remote.url, verify=True, allowed_signers=signers)
    assert judged(one) == "it is not signed"
    remote.publish({}, sign=signed_by(wrong))
    assert judged(one) == "its key is not among those that are trusted"
    remote.publish({}, sign=signed_by(revoked))
    assert judged(one) == "its signature is bad, or by a key that is revoked"
    remote.publish({"devices/a.txt": "ff638995\n"}, sign=signed_by(good))
    assert judged(one) == ""
    allow(signers, revoked)
    assert judged(one) == "its key is not among those that are trusted"
    allow(signers, good)
    assert judged(one) == ""


def test_a_rejected_commit_is_believed_once_its_signer_is_allowed(
    tmp_path: Path, remote: Remote
) -> None:
    """Nobody has to push another commit for it; until then it is rejected once, and not at every look."""
    key, other = ssh_key(tmp_path / "good"), ssh_key(tmp_path / "other")
    signers = allow(tmp_path / "signers", other)
    remote.publish({"devices/a.txt": "ff638995\n"}, sign=signed_by(key))
    one = Follower(tmp_path / "state", remote.url, verify=True, allowed_signers=signers)
    assert judged(one) == "its key is not among those that are trusted"
    assert one.look() is None
    allow(signers, other, key)
    assert judged(one) == ""
    assert one.commit.id == remote.head


def test_changed_commit_with_the_old_signature(tmp_path: Path, remote: Remote) -> None:
    """A signature that was made for another content is bad."""
    key = ssh_key(tmp_path / "good")
    signers = allow(tmp_path / "signers", key)
    remote.commit({"devices/a.txt": "ff638995\n"}, sign=signed_by(key))
    raw = (
        git(remote.work, "cat-file", "commit", "HEAD").replace(
            "Change the devices", "Change all devices"
        )
        + "\n"
    )
    forged = git(remote.work, "hash-object", "-t", "commit", "-w", "--stdin", given=raw.encode())
    remote.push(f"{forged}:main")
    one = Follower(tmp_path / "state", remote.url, verify=True, allowed_signers=signers)
    assert judged(one) == "its signature is bad, or by a key that is revoked"


def test_pgp_signatures(tmp_path: Path, remote: Remote, keyring: Keyring) -> None:
    """Only a commit signed by a PGP key that is fully trusted is believed: not half trusted, unknown or revoked."""
    ours = keyring.make("ours", 6)
    lax = keyring.make("lax", 4, vouched=ours)
    half, unknown = keyring.make("half", vouched=lax), keyring.make("unknown")
    good, revoked = keyring.make("good", vouched=ours), keyring.make("revoked", vouched=ours)
    one = Follower(tmp_path / "state", remote.url, verify=True)
    assert judged(one) == "it is not signed"
    for key in (half, unknown):
        remote.publish({}, sign=key.sign)
        assert judged(one) == "its key is not among those that are trusted"
    remote.publish({}, sign=revoked.sign)
    keyring.revoke(revoked)
    assert judged(one) == "its key is revoked"
    for number, key in enumerate((good, ours)):
        remote.publish({"devices/a.txt": f"ff63899{number}\n"}, sign=key.sign)
        assert judged(one) == ""


def test_pgp_key_that_is_not_in_the_keyring(
    tmp_path: Path, remote: Remote, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's key, or a forge's new one, is unverified as any other; git once broke off over it."""
    remote.publish({}, sign=keyring.make("stranger").sign)
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(elsewhere))
    assert judged(Follower(tmp_path / "state", remote.url, verify=True)).startswith(
        "its signature cannot be checked"
    )


def test_ssh_signature_without_a_list_of_allowed_keys(tmp_path: Path, remote: Remote) -> None:
    """No list, or one that is not there, is said as such: not that the commit is unsigned, and no error of git's."""
    remote.publish({}, sign=signed_by(ssh_key(tmp_path / "good")))
    for signers in (None, tmp_path / "nowhere"):
        one = Follower(
            tmp_path / f"state-{signers is None}", remote.url, verify=True, allowed_signers=signers
        )
        assert judged(one).startswith("its signature cannot be checked")


def test_signature_where_the_program_that_checks_it_is_missing(
    tmp_path: Path, remote: Remote
) -> None:
    """What cannot be checked is unverified, whatever the reason; the clone is not made anew for it."""
    remote.publish({}, sign=signed_by(ssh_key(tmp_path / "good")))
    write(Path(os.environ["HOME"]) / ".gitconfig", '[gpg "ssh"]\n  program = /nowhere/ssh-keygen\n')
    signers = allow(tmp_path / "signers", tmp_path / "good")
    with capture_logs() as lines:
        assert judged(
            Follower(tmp_path / "state", remote.url, verify=True, allowed_signers=signers)
        ).startswith("its sig")
    assert [line["event"] for line in lines] == []


@pytest.mark.parametrize("clone", ["kept", "lost"])
def test_old_signed_commit_is_not_believed(tmp_path: Path, remote: Remote, clone: str) -> None:
    """An old signed commit, or one of another history, does not replace what is in force, with whatever clone."""
    key = ssh_key(tmp_path / "good")
    sign = signed_by(key)
    old = remote.publish({}, sign=sign)
    newer = remote.publish({"devices/a.txt": "ff638995\n"}, sign=sign)

    def following(known: Known) -> Follower:
        made = Follower(
            tmp_path / "state",
            remote.url,
            verify=True,
            allowed_signers=allow(tmp_path / "signers", key),
        )
        made.known = Known(signed=known.signed)
        if clone == "lost":
            shutil.rmtree(made.clone.folder, ignore_errors=True)
        return made

    one = following(NOTHING)
    assert judged(one) == ""
    words = f"it does not descend from {newer[:12]}, which is in force, so it may be an old one"
    remote.push(f"{old}:main")
    one = following(one.known)
    assert judged(one) == words
    git(remote.work, "checkout", "--quiet", "--orphan", "other")
    remote.publish({"devices/a.txt": "11111111\n"}, sign=sign)
    one = following(one.known)
    assert judged(one) == words
    remote.reset(newer)
    for _ in range(2):
        remote.publish({"devices/a.txt": f"{remote.head[:8]}\n"}, sign=sign)
    one = following(one.known)
    assert judged(one) == ""


def test_a_commit_has_to_descend_from_every_one_in_force(tmp_path: Path, remote: Remote) -> None:
    """Accounts may be in force by several signed commits: the newest one has all of them in its history."""
    key = ssh_key(tmp_path / "good")
    signers, sign = allow(tmp_path / "signers", key), signed_by(key)
    begun = remote.publish({}, sign=sign)
    ours = remote.publish({"devices/a.txt": "ff638995\n"}, sign=sign)
    git(remote.work, "checkout", "--quiet", begun)
    theirs = remote.publish({"devices/a.txt": "11111111\n"}, sign=sign)

    def wrong(*signed: str) -> str:
        one = Follower(tmp_path / "state", remote.url, verify=True, allowed_signers=signers)
        one.known = Known(signed=frozenset(signed))
        return judged(one)

    assert wrong(begun, theirs) == ""
    for signed in ((begun, ours), (theirs, ours), (begun, ours, theirs)):
        assert wrong(*signed).startswith(f"it does not descend from {ours[:12]}, which is in force")
    person = ("-c", "user.name=Kim", "-c", "user.email=kim@example.com")
    git(remote.work, *person, "merge", "--quiet", "-s", "ours", "--no-gpg-sign", ours)
    remote.publish({}, sign=sign)
    assert wrong(begun, ours, theirs) == ""


def test_a_commit_that_was_not_believed_was_never_followed(tmp_path: Path, remote: Remote) -> None:
    """The next good one passes over it, and leaves nothing by force."""
    key = ssh_key(tmp_path / "good")
    signers, sign = allow(tmp_path / "signers", key), signed_by(key)
    remote.publish({}, sign=sign)
    one = Follower(tmp_path / "state", remote.url, verify=True, allowed_signers=signers)
    assert judged(one) == ""
    believed = remote.head
    unsigned = remote.publish({"devices/a.txt": "ff638995\n"})
    assert judged(one) == "it is not signed"
    good = remote.publish({"devices/a.txt": "11111111\n"}, sign=sign)
    fetched = one.look()
    assert fetched is not None
    assert (fetched.cause, fetched.overtaken, fetched.rewritten) == (None, (unsigned,), "")
    assert (one.commit.id, one.commit.verified) == (good, Verified.YES)
    remote.reset(believed)
    assert judged(one).startswith(f"it does not descend from {good[:12]}")


class Unsteady:
    """A clone whose remote has nothing new, or is away."""

    is_away = False

    def newest(self, ref: str) -> tuple[str, str]:
        """Return what the remote has."""
        if self.is_away:
            raise GitError("the remote is away")
        return ref, "1" * 40

    def fetch(self, name: str, id_: str) -> None:
        """Bring nothing."""

    def commit(self, id_: str) -> None:
        """Return nothing: nobody asks for it."""


async def test_a_remote_that_fails_is_asked_sooner_and_less_often_each_time() -> None:
    """After 5, 10, 20 seconds and so on, down to the interval, which begins with a look; a success ends that."""
    passed, slept = [0.0], [0.0]

    async def sleep(seconds: float) -> None:
        slept[0] = seconds
        passed[0] += seconds

    clone = Unsteady()
    source, known = (
        GitSource(
            cast("Clone", clone),
            "main",
            HERE,
            interval=30.0,
            steady=lambda: passed[0],
            sleep=sleep,
        ),
        Known("1" * 40 + " "),
    )
    pauses = []
    async with aclosing(cast("AsyncGenerator[None]", source.wakes())) as wakes:
        for number in range(13):
            await anext(wakes)
            pauses.append(slept[0])
            clone.is_away = 2 <= number < 7 or number == 9
            with pytest.raises(FetchError) if clone.is_away else nullcontext():
                assert source.fetch(known) is None
            passed[0] += {1: 4.0, 9: 3.0, 11: 40.0}.get(number, 0.0)  # what the look takes
    assert pauses == [30.0, 30.0, 26.0, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0, 30.0, 2.0, 30.0, 0.2]


# -- files of this machine


def checked_out(path: Path) -> Commit | None:
    """Read a text from disk as the intake does, and return its commit."""
    source = FileSource(path)
    fetched = source.fetch()
    return source.commit(load(fetched.documents, fetched.tree).files)


def test_local_files_know_their_commit(remote: Remote) -> None:
    """A text in a working tree has its commit; it is dirty as soon as any file read is not what was committed."""
    path = remote.work / "desired-state.toml"
    found = checked_out(path)
    assert found is not None
    assert (found.id, found.author, found.subject, found.dirty) == (
        remote.head,
        AUTHOR,
        "Begin",
        False,
    )
    write(remote.work / "other" / "unneeded.bin", "changed, and not ours\n")
    write(remote.work / "devices" / "a.txt", "ff638995\n")
    dirty = checked_out(path)
    assert dirty is not None
    assert (dirty.id, dirty.dirty) == (remote.head, True)
    write(remote.work / "devices" / "a.txt", FILES["devices/a.txt"])
    write(remote.work / "devices" / "new.txt", "ff638995\n")
    untracked = checked_out(path)
    assert untracked is not None
    assert untracked.dirty
    assert checked_out(remote.work) is not None


@pytest.mark.parametrize("gone", ["devices/b.txt", "more.toml"])
def test_local_files_of_which_one_was_deleted_are_dirty(remote: Remote, gone: str) -> None:
    """A tracked document or device file that was deleted without a commit makes the commit dirty."""
    second = "version = 1\naccounts.second.devices = []\n"
    write(remote.work / "more.toml", second)
    write(remote.work / "devices" / "b.txt", "ff638995\n")
    made = remote.commit_all("Add more")
    before = checked_out(remote.work)
    assert before is not None
    assert (before.id, before.dirty) == (made, False)
    (remote.work / gone).unlink()
    after = checked_out(remote.work)
    assert after is not None
    assert (after.id, after.dirty) == (made, True)


def test_commit_moves_without_the_files(remote: Remote) -> None:
    """A commit of what was edited before changes no file; a look finds it all the same, and then it is not dirty."""
    source = FileSource(remote.work / "desired-state.toml")
    write(remote.work / "devices" / "a.txt", "ff638995\n")

    def read() -> Commit | None:
        fetched = source.fetch()
        return source.commit(load(fetched.documents, fetched.tree).files)

    before = read()
    assert before is not None
    assert before.dirty
    assert not source.poll()
    made = remote.commit_all("Exchange the fridge")
    assert source.poll()
    after = read()
    assert after is not None
    assert (after.id, after.subject, after.dirty) == (made, "Exchange the fridge", False)
    assert not source.poll()


def test_linked_working_tree_knows_its_commit(tmp_path: Path, remote: Remote) -> None:
    """A link to a working tree beside others, as side-cars that fetch make and exchange it, leads to its commit."""
    trees = []
    for number in range(2):
        made = remote.commit({"devices/a.txt": f"0a77c3f{number}\n"}, f"Change {number}")
        git(
            remote.work,
            "worktree",
            "add",
            "--quiet",
            "--detach",
            str(tmp_path / f"tree{number}"),
            made,
        )
        trees.append(made)
    link = tmp_path / "current"
    for number, made in enumerate(trees):
        link.unlink(missing_ok=True)
        link.symlink_to(f"tree{number}")
        found = checked_out(link / "desired-state.toml")
        assert found is not None
        assert (found.id, found.subject, found.dirty) == (made, f"Change {number}", False)


def test_files_without_a_commit_are_no_trouble(tmp_path: Path, remote: Remote) -> None:
    """An untracked text, a repository without a commit, and one that makes no sense have no commit, and no more."""
    write(remote.work / "untracked.toml", TEXT)
    assert checked_out(remote.work / "untracked.toml") is None
    for name in ("empty", "nonsense"):
        write(tmp_path / name / "desired-state.toml", "version = 1\ndevices = []\n")
    git(tmp_path / "empty", "init", "--quiet")
    write(tmp_path / "nonsense" / ".git", "nonsense\n")
    assert checked_out(tmp_path / "empty" / "desired-state.toml") is None
    assert checked_out(tmp_path / "nonsense" / "desired-state.toml") is None


def test_git_is_run_only_where_there_is_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a mounted folder no program is run; where git is slow it is not waited for, and not asked again soon."""
    monkeypatch.setenv(
        "PATH", program(tmp_path / "bin", "git", f"echo run >> {tmp_path}/runs; sleep 60")
    )
    write(tmp_path / "mounted" / "desired-state.toml", TEXT)
    moment = 1000.0
    checkout = Checkout(patience=0.2, steady=lambda: moment)
    document = str(tmp_path / "mounted" / "desired-state.toml")
    assert checkout.commit([document], {document: TEXT.encode()}) is None
    assert not (tmp_path / "runs").exists()
    (tmp_path / "mounted" / ".git").mkdir()
    for _ in range(3):
        assert checkout.commit([document], {document: TEXT.encode()}) is None
    assert (tmp_path / "runs").read_text() == "run\n"
    moment += 301
    assert checkout.commit([document], {document: TEXT.encode()}) is None
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
