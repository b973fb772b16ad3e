"""Files and folders as a source: what is read, what is refused, and what counts as a change."""

from __future__ import annotations

import asyncio
import codecs
import os
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.core.acceptance import Accepted, accept
from reconciler.core.errors import Fault, SourceError
from reconciler.core.model import AccountName, Cause, Revision
from reconciler.desired import Document, MemoryTree, Unreadable, load
from reconciler.source import (
    SETTLE_SECONDS,
    DiskTree,
    Fetched,
    FileSource,
    MissingError,
    read_file,
)
from reconciler.source.kept import recalled
from reconciler.source.loading import load_fetched
from reconciler.source.signatures import Signature, signature
from reconciler.state import KeptText
from scenarios import ConfigMap, rename_over, write

TEXT = 'version = 1\ndevice_files = ["devices/*.txt"]\n'


def read(source: FileSource) -> None:
    """Read everything that the text names, as the intake does."""
    fetched = source.fetch()
    load(fetched.documents, fetched.tree)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a text that names device files, and one such file."""
    write(tmp_path / "desired-state.toml", TEXT)
    write(tmp_path / "devices" / "a.txt", "0a77c3f2\n")
    return tmp_path / "desired-state.toml"


def test_file_is_read_as_it_is(path: Path) -> None:
    """One file is one document, under the path that a person wrote."""
    fetched = FileSource(path).fetch()
    assert [(one.path, one.content) for one in fetched.documents] == [(str(path), TEXT.encode())]
    assert not fetched.unreadable


def test_folder_is_its_toml_files(path: Path) -> None:
    """Of a folder each TOML file is read, sorted, but none below it and none that is hidden."""
    folder = path.parent
    for name in (
        "b.toml",
        "a.toml",
        ".hidden.toml",
        "notes.txt",
        "devices/below.toml",
        "x.toml.bak",
    ):
        write(folder / name, "version = 1\n")
    names = [Path(one.path).name for one in FileSource(folder).fetch().documents]
    assert names == ["a.toml", "b.toml", "desired-state.toml"]


def test_nothing_there_is_missing(tmp_path: Path) -> None:
    """No file, a link that leads nowhere, and a folder without a text are each missing, by name."""
    (tmp_path / "dangling.toml").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("none.toml", "no such file"),
        ("dangling.toml", "no such file"),
        ("empty", r"no \*\.toml"),
    ):
        with pytest.raises(MissingError, match=f"{name}: there is {words}"):
            FileSource(tmp_path / name).fetch()


def test_unreadable_text_does_not_hide_the_others(path: Path) -> None:
    """Of a folder, a text that cannot be read is told beside the others; alone, it is a fault of the source."""
    (path.parent / "pipe.toml").unlink(missing_ok=True)
    os.mkfifo(path.parent / "pipe.toml")
    (path.parent / "folder.toml").mkdir()
    fetched = FileSource(path.parent).fetch()
    assert [one.path for one in fetched.documents] == [str(path)]
    assert sorted(str(one).removeprefix(f"{path.parent}/") for one in fetched.unreadable) == [
        "folder.toml: is not a regular file",
        "pipe.toml: is not a regular file",
    ]
    with pytest.raises(SourceError, match=r"pipe\.toml: is not a regular file"):
        FileSource(path.parent / "pipe.toml").fetch()


def test_only_regular_files_of_a_fair_size_are_read(tmp_path: Path) -> None:
    """A FIFO does not make the reader wait, a folder and a device are refused, and so is a file that is too large."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 97 * 1024 * 1024)
    for name, words in (
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path, "is not a regular file"),
        (Path("/dev/null"), "is not a regular file"),
        (tmp_path / "large", "is larger than 96 MB"),
        (tmp_path / "none", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(Unreadable, match=words):
            read_file(str(name))
    handles = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count of what was left open
    for _ in range(50):
        with pytest.raises(Unreadable):
            read_file(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == handles  # noqa: PTH208 - as above


def test_pattern_stays_in_its_folder(path: Path, tmp_path: Path) -> None:
    """A pattern that leads out of the folder, by dots or by a link, is refused; one within it may follow links."""
    outside = tmp_path / "inside"
    write(outside / "desired-state.toml", TEXT)
    write(tmp_path / "secret.txt", "not for everybody\n")
    tree = DiskTree()
    with pytest.raises(Unreadable, match="leads out of the folder"):
        tree.match(str(outside), "../*.txt")
    (outside / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(Unreadable, match="leads out of the folder"):
        tree.match(str(outside), "*.txt")
    (path.parent / "devices" / "b.txt").symlink_to("a.txt")
    assert len(tree.match(str(path.parent), "devices/*.txt")) == 2


CHANGES: dict[str, Callable[[Path], object]] = {
    "text written": lambda path: write(path, TEXT + "\n"),
    "text renamed over": lambda path: rename_over(path, TEXT),
    "text removed": lambda path: path.unlink(),
    "device file written": lambda path: write(path.parent / "devices" / "a.txt", "0a77c3f3\n"),
    "device file appears": lambda path: write(path.parent / "devices" / "b.txt", "ff638995\n"),
    "device file removed": lambda path: (path.parent / "devices" / "a.txt").unlink(),
    "rights changed": lambda path: path.chmod(0o600),
}


@pytest.mark.parametrize("change", CHANGES)
def test_look_finds_every_change(path: Path, change: str) -> None:
    """Where the kernel says nothing, a look finds any change of what was read, and finds nothing without one."""
    source = FileSource(path)
    read(source)
    assert not source.poll()
    time.sleep(0.02)  # the kernel's clock for files has to move on
    CHANGES[change](path)
    assert source.poll()


def test_change_with_its_time_set_back_is_found(path: Path) -> None:
    """A write that keeps length and modification time, as a careful copy does, is a change all the same."""
    source = FileSource(path)
    read(source)
    times = path.stat()
    time.sleep(0.02)
    write(path, TEXT.replace("1", "2"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert source.poll()


@pytest.mark.parametrize("before", [True, False])
def test_what_is_written_while_a_file_is_read_is_read_or_noticed(
    path: Path, *, before: bool
) -> None:
    """Whether a write comes just before or just after the file is looked at, old bytes never pass for the new file."""
    new = TEXT.replace("devices/*", "devices/b")
    writes = iter([new])

    def look(looked_at: str) -> Signature:
        found = None if before else signature(looked_at)
        for text in writes:
            write(path, text)
        return found or signature(looked_at)

    source = FileSource(path, look=look)
    (document,) = source.fetch().documents
    assert not list(writes)
    assert document.content == new.encode() or source.poll()
    (again,) = source.fetch().documents
    assert again.content == new.encode()
    assert not source.poll()


def test_look_finds_a_swapped_configmap(tmp_path: Path) -> None:
    """The swap of ``..data`` is a change even if the contents are of the same length."""
    configmap = ConfigMap(tmp_path / "mounted", {"desired-state.toml": TEXT, "a.txt": "0a77c3f2\n"})
    source = FileSource(tmp_path / "mounted")
    read(source)
    assert not source.poll()
    configmap.swap({"desired-state.toml": TEXT, "a.txt": "0a77c3f3\n"})
    assert source.poll()


def test_fresh_write_is_not_at_rest(path: Path) -> None:
    """What was written a moment ago may not be whole; what has rested and is still the same is settled."""
    source = FileSource(path)
    write(path, TEXT)
    read(source)
    while source.at_rest():  # the machine was so slow that it had rested when it was looked at
        write(path, TEXT)
    assert not source.settled()
    time.sleep(SETTLE_SECONDS * 1.5)
    read(source)
    assert source.settled()
    write(path, TEXT)
    time.sleep(SETTLE_SECONDS * 1.5)
    assert source.at_rest()
    assert not source.settled(), "what was read is older than the last write"


def test_files_that_are_dated_ahead_of_the_clock_are_read(path: Path) -> None:
    """A clock that was set back does not keep the files of before from coming into force."""
    an_hour_ago = time.time() - 3600
    tree = DiskTree(file_time=lambda: an_hour_ago)
    tree.read(str(path))
    assert tree.at_rest()


def test_the_folder_that_a_link_leads_to_is_watched_as_well(path: Path, tmp_path: Path) -> None:
    """An edit of the file itself happens there, and an exchange of the link beside it."""
    (tmp_path / "linked").mkdir()
    link = tmp_path / "linked" / "desired-state.toml"
    link.symlink_to(path)
    tree = DiskTree()
    tree.read(str(link))
    assert tree.folders() == {str(link.parent), str(path.parent)}


def test_one_fresh_file_beside_old_ones_is_not_at_rest(path: Path) -> None:
    """Of many files the newest counts: one that is being written is not whole because others are old."""
    source = FileSource(path)
    read(source)
    time.sleep(SETTLE_SECONDS * 1.5)
    assert source.at_rest()
    (device_file, *_) = path.parent.rglob("*.txt")
    for _ in range(100):  # the machine may be so slow that it has rested when it is looked at
        write(device_file, device_file.read_text("utf-8"))
        if not source.at_rest():
            return
    pytest.fail("a file that was just written counts as at rest")


def test_look_may_come_while_another_thread_reads(path: Path) -> None:
    """A look during a reading of many files does no harm."""
    for number in range(300):
        write(path.parent / "devices" / f"{number}.txt", f"{number:08x}\n")
    source = FileSource(path)
    read(source)

    async def both() -> None:
        reading = asyncio.create_task(asyncio.to_thread(read, source))
        while not reading.done():
            await asyncio.to_thread(source.poll)
            source.at_rest()
            source.settled()
        await reading

    asyncio.run(both())
    assert not source.poll()


async def woken_by(source: FileSource, change: Callable[[], object]) -> None:
    """See that a change wakes, as soon as the watch has begun."""
    async with aclosing(source.wakes()) as wakes, asyncio.timeout(30):  # type: ignore[type-var]  # a generator it is
        wake = asyncio.ensure_future(anext(wakes))
        while not wake.done():
            change()
            await asyncio.wait({wake}, timeout=0.5)


async def test_kernel_wakes(path: Path) -> None:
    """A write, a rename, a new device file and a swap each wake without a look."""
    source = FileSource(path)
    read(source)
    await woken_by(source, lambda: write(path, TEXT))
    await woken_by(source, lambda: rename_over(path, TEXT))
    await woken_by(source, lambda: write(path.parent / "devices" / "b.txt", "ff638995\n"))


async def test_folder_made_anew_is_watched_again(path: Path) -> None:
    """A folder that is removed and made again is another one to the kernel, and is watched again."""
    source = FileSource(path)
    read(source)
    devices = path.parent / "devices"
    async with aclosing(source.wakes()) as wakes, asyncio.timeout(60):  # type: ignore[type-var]  # a generator it is
        wake = asyncio.ensure_future(anext(wakes))
        while not wake.done():
            write(path, TEXT)
            await asyncio.wait({wake}, timeout=0.5)
        (devices / "a.txt").unlink()
        devices.rmdir()
        write(devices / "a.txt", "0a77c3f2\n")
        read(source)
        source.settled()
        for _ in range(3):
            wake = asyncio.ensure_future(anext(wakes))
            while not wake.done():
                write(devices / "a.txt", "0a77c3f2\n")
                await asyncio.wait({wake}, timeout=0.5)


async def test_wakes_outlive_a_folder_that_is_gone(path: Path) -> None:
    """Without any folder to watch, waiting for a wake is just waiting."""
    source = FileSource(path.parent / "nowhere" / "desired-state.toml")
    async with aclosing(source.wakes()) as wakes:  # type: ignore[type-var]  # a generator it is
        wake = asyncio.ensure_future(anext(wakes))
        done, _ = await asyncio.wait({wake}, timeout=0.3)
        assert not done
        wake.cancel()
        await asyncio.wait({wake})


def test_each_recalled_account_has_the_revision_of_its_own_file() -> None:
    """After a restart, changes are recorded with the commit that asked for them, and not with another file's."""
    revisions = {name: Revision(digit * 64) for name, digit in (("a.toml", "a"), ("b.toml", "b"))}
    kept = []
    for name, revision in revisions.items():
        content = f'version = 1\n[accounts.{name[0]}]\ndevices = ["x"]\n'.encode()
        kept.append(KeptText(name, revision, {name: content}))
    accepted = recalled(kept, frozenset, None)
    assert accepted is not None
    found = {str(name): one.revision for name, one in accepted.accounts.items()}
    assert found == {"a": revisions["a.toml"], "b": revisions["b.toml"]}


def kept_text(path: str, words: str) -> KeptText:
    """Return a kept document without device files."""
    return KeptText(path, Revision("a" * 64), {path: words.encode()})


def test_accounts_with_live_devices_that_are_in_no_kept_file_are_missed() -> None:
    """After a restart, an account counts as abandoned unless a kept file defines it or retires it."""
    live = frozenset(map(AccountName, ("east", "west", "north")))
    words = 'version = 1\nretired_accounts = ["north"]\n[accounts.east]\ndevices = ["x"]\n'
    accepted = recalled([kept_text("a.toml", words)], lambda: live, None)
    assert accepted is not None
    assert accepted.abandoned == {AccountName("west")}
    assert accepted.retired == {AccountName("north")}


def test_everything_that_was_in_force_is_so_again() -> None:
    """The zone, the windows, the files with keys for all, who is retired, and the newest revision: all by the files."""
    files = {
        "a.toml": "version = 1\n[accounts.east]\ndevices = ['x']\n",
        "policy.toml": "version = 1\nenvironment = 'prod'\ntimezone = 'Asia/Seoul'\nretired_accounts = ['north']\n"
        "[[windows]]\nname = 'night'\nkind = 'deny'\nfrom = '22:00'\nto = '06:00'\n",
    }
    kept = [
        KeptText(path, Revision(f"{number}" * 64), {path: words.encode()})
        for number, (path, words) in enumerate(files.items())
    ]
    accepted = recalled(kept, frozenset, "prod")
    assert accepted is not None
    documents = [Document(one.document, one.files[one.document]) for one in kept]
    loaded = load(documents, MemoryTree({}), environment="prod")
    assert (accepted.timezone, accepted.windows) == ("Asia/Seoul", loaded.windows)
    assert accepted.shared == {"policy.toml"}
    assert accepted.retired == {AccountName("north")}
    assert accepted.revision == kept[-1].revision
    assert accepted.rejected is None
    (east,) = accepted.accounts.values()
    assert east.desired.windows == loaded.windows
    assert recalled(kept, frozenset, "test") is None


def test_a_kept_file_that_newer_rules_refuse_is_still_of_its_environment() -> None:
    """A process of another environment does not recall it either."""
    words = 'version = 1\nenvironment = "prod"\n[accounts.east]\ndevices = ["one;two"]\n'
    with capture_logs():
        assert recalled([kept_text("a.toml", words)], frozenset, "prod") is not None
        assert recalled([kept_text("a.toml", words)], frozenset, "test") is None


def test_nothing_that_was_kept_brings_nothing_into_force() -> None:
    """A first start has no revision before the one that it reads."""
    assert recalled([], frozenset, None) is None


def test_kept_files_that_contradict_each_other_bring_in_what_they_can() -> None:
    """The fault is logged, and no account counts as missed, because one may be in the faulty file."""
    good = kept_text("a.toml", 'version = 1\n[accounts.east]\ndevices = ["x"]\n')
    bad = kept_text("b.toml", 'version = 1\n[accounts.west]\ndevcies = ["y"]\n')
    with capture_logs() as lines:
        accepted = recalled([good, bad], lambda: frozenset({AccountName("west")}), None)
    assert accepted is not None
    assert (set(accepted.accounts), accepted.abandoned) == ({"east"}, frozenset())
    assert [line["event"] for line in lines] == ["desired.not_recalled"]
    assert lines[0]["faults"][0].startswith("b.toml:")


def test_a_kept_file_outlives_a_rule_that_is_newer() -> None:
    """What an earlier version accepted is in force after a restart, and the account is not empty."""
    text = kept_text("a.toml", 'version = 1\n[accounts.east]\ndevices = ["one;two"]\n')
    assert load([Document("a.toml", text.files["a.toml"])], MemoryTree(text.files)).faults
    with capture_logs() as lines:
        accepted = recalled([text], frozenset, None)
    assert accepted is not None
    assert accepted.accounts[AccountName("east")].desired.devices == {"one;two"}
    assert lines == []


def test_an_unknown_unreadable_file_and_one_with_the_policy_concern_all() -> None:
    """Both may hold keys for all accounts; an unreadable one that defined an account before does not."""
    files = {"policy.toml": b"version = 1\n[policy]\nmax_unsubscribe = 5\n", "a.toml": EAST}
    fetched = Fetched(
        tuple(Document(path, content) for path, content in files.items()),
        MemoryTree(files),
        (Fault("lost.toml", 0, 0, "unreadable"), Fault("west.toml", 0, 0, "unreadable")),
    )
    loaded = load_fetched(fetched, known=["west.toml"])
    assert loaded.shared == {"policy.toml", "lost.toml"}
    assert loaded.faulty.keys() == {"lost.toml", "west.toml"}


EAST = b'version = 1\n[accounts.east]\ndevices = ["x"]\n'


POLICY = 'version = 1\ntimezone = "Asia/Seoul"\npolicy.pause = "all"\n'


@pytest.mark.parametrize(
    "content",
    [
        POLICY.encode("utf-16"),
        POLICY.encode("utf-16-le"),
        POLICY.encode("utf-16-be"),
        codecs.BOM_UTF16_BE + POLICY.encode("utf-16-be"),
        f"# 서울 호텔\n{POLICY}".encode("utf-16-le"),
        f"# 서울 호텔\n{POLICY}".encode("utf-16-be"),
        b"version = 1\n" + bytes(len(POLICY)),
        b"\0GITCRYPT\0\x01\x02",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        b"PK\3\4policy",
    ],
)
def test_a_file_of_which_no_key_can_be_seen_may_hold_the_policy(content: bytes) -> None:
    """No other account comes into force without the policy that may be in it, unless the file had an account before."""
    files = {"a.toml": EAST, "policy.toml": content}
    documents = tuple(Document(path, words) for path, words in files.items())
    fetched = Fetched(documents, MemoryTree(files))
    new = accept(Accepted(), load_fetched(fetched), Revision("a" * 64))
    assert (new.rejected, dict(new.accounts)) == (Cause.INVALID, {})
    known = load_fetched(fetched, known=["policy.toml"])
    assert accept(Accepted(), known, Revision("a" * 64)).accounts.keys() == {"east"}
