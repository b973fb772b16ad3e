"""Local files that are half written: what waits for them, and how each wait ends."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.controller.informer import Informer
from reconciler.core.errors import Invalid
from reconciler.core.guards import Situation, judge
from reconciler.core.model import DEFAULT_ACCOUNT, DeviceId, Memory, Observed, Plan, Reason
from reconciler.core.planner import plan
from reconciler.core.unsettled import LONGEST_SECONDS, QUIET_SECONDS
from reconciler.runtime.clock import SystemClock
from reconciler.source import LOCK_SECONDS, FileSource
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics
from repositories import git
from scenarios import eventually

TEXT = 'version = 1\ndevice_files = ["devices/*.txt"]\n'
LIVE = frozenset(map(DeviceId, ("a1", "a2", "z1", "z2")))


class Clock(SystemClock):
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.moved = 0.0

    def now(self) -> datetime:
        """Return the real time, moved on."""
        return datetime.now(UTC) + timedelta(seconds=self.moved)

    def steady(self) -> float:
        """Return the steady time, moved on."""
        return time.monotonic() + self.moved


class Office:
    """An intake that reads local files."""

    def __init__(self, path: Path, state: State | None = None) -> None:
        self.path = path
        self.clock = Clock()
        self.state = state or State.in_memory(self.clock)
        self.source = FileSource(path, steady=self.clock.steady)
        self.told = 0
        self.informer = Informer(
            self.source,
            self.state.accounts,
            self.state.revisions,
            self.state.protections,
            Metrics(),
            clock=self.clock,
            changed=self._take,
        )

    def _take(self, _accounts: object) -> None:
        self.told += 1

    def planned(self) -> Plan:
        """Return what a pass would do now, with all four devices live."""
        text = self.informer.accepted.accounts[DEFAULT_ACCOUNT]
        observed = Observed(LIVE, self.clock.now())
        situation = Situation(
            text.desired, observed, Memory(), self.clock.now(), unsettled=text.unsettled
        )
        return judge(plan(text.desired, observed, Memory(), self.clock.now()), situation)

    def held(self) -> set[str]:
        """Return the devices that wait because files are not settled."""
        return {
            one.change.device for one in self.planned().held if one.reason is Reason.FILES_UNSETTLED
        }

    def words(self) -> str:
        """Return what the guard says."""
        return next(
            one.message for one in self.planned().tripped if one.reason is Reason.FILES_UNSETTLED
        )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder of texts that is in no repository."""
    folder = tmp_path / "fleet"
    (folder / "devices").mkdir(parents=True)
    (folder / "desired-state.toml").write_text(TEXT)
    (folder / "devices/a.txt").write_text("a1\na2\n")
    (folder / "devices/z.txt").write_text("z1\nz2\n")
    return folder


def committed(folder: Path) -> None:
    """Put a folder under version control."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "Kim")
    git(folder, "config", "user.email", "kim@example.com")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")


async def opened(folder: Path) -> Office:
    """Return an office that has read the text."""
    office = Office(folder / "desired-state.toml")
    await office.informer.begin()
    assert office.held() == set()
    return office


def old_lock(path: Path, seconds: float = 2 * LOCK_SECONDS) -> None:
    """Leave a lock of a git that was killed some time ago."""
    path.write_bytes(b"")
    os.utime(path, (time.time() - seconds,) * 2)


async def test_a_file_that_went_away_is_no_removal_until_the_folder_is_quiet(home: Path) -> None:
    """Its devices wait; what else the text wants is not held for it; after five quiet seconds they may go."""
    office = await opened(home)
    (home / "devices/a.txt").unlink()
    (home / "devices/z.txt").write_text("z1\nz2\nnew\n")
    await office.informer.refresh()
    assert office.held() == {"a1", "a2"}
    assert [one.device for one in office.planned().subscribes] == ["new"]
    await office.informer.settle()
    office.clock.moved += QUIET_SECONDS - 1
    await office.informer.settle()
    assert office.held() == {"a1", "a2"}
    told = office.told
    office.clock.moved += 1.1
    await office.informer.settle()
    assert office.held() == set()
    assert office.told == told + 1
    assert {one.device for one in office.planned().unsubscribes} == {"a1", "a2"}


@pytest.mark.parametrize(
    "stir",
    [
        lambda home: (home / "notes").mkdir(),
        lambda home: (home / "devices/new.md").write_text("x"),
        lambda home: (home / "readme.md").write_text("more"),
        lambda home: (home / "devices/.b.txt.Xk3v9Q").write_text(
            "as rsync names what it has not all of yet"
        ),
        lambda home: (home / ".incoming/b.txt").write_text("more"),
    ],
)
async def test_any_change_below_the_folder_begins_the_quiet_anew(
    home: Path, stir: Callable[[Path], object]
) -> None:
    """A copy that goes on elsewhere below the folder may bring the file back yet."""
    (home / "readme.md").write_text("x")
    (home / ".incoming").mkdir()
    (home / ".incoming/b.txt").write_text("x")
    office = await opened(home)
    (home / "devices/a.txt").unlink()
    await office.informer.refresh()
    await office.informer.settle()
    office.clock.moved += QUIET_SECONDS + 1
    stir(home)
    await office.informer.settle()
    assert office.held() == {"a1", "a2"}
    office.clock.moved += QUIET_SECONDS + 1
    await office.informer.settle()
    assert office.held() == set()


async def test_what_git_does_in_its_own_folder_is_no_change(home: Path) -> None:
    """A `git status` refreshes the index, and a fetch brings objects: neither is a change of the files."""
    (home / ".git").mkdir()
    office = await opened(home)
    (home / "devices/a.txt").unlink()
    await office.informer.refresh()
    await office.informer.settle()
    office.clock.moved += QUIET_SECONDS + 1
    (home / ".git/index").write_bytes(b"x")
    await office.informer.settle()
    assert office.held() == set()


async def test_a_folder_that_is_never_quiet_holds_for_ten_minutes_at_most(home: Path) -> None:
    """Whatever goes on below the folder, no device waits for ever."""
    office = await opened(home)
    (home / "devices/a.txt").unlink()
    await office.informer.refresh()
    office.clock.moved += LONGEST_SECONDS + 1
    (home / "restless").write_text("x")
    await office.informer.settle()
    assert office.held() == set()


async def test_a_file_that_went_away_while_no_process_ran_waits_as_well(home: Path) -> None:
    """What was read before a restart is known from the state."""
    before = await opened(home)
    (home / "devices/a.txt").unlink()
    after = Office(home / "desired-state.toml", before.state)
    await after.informer.begin()
    assert after.held() == {"a1", "a2"}


async def test_a_command_that_runs_once_waits_for_a_quiet_folder(home: Path) -> None:
    """A file that went away since the last accepted text may be back in a moment; if not, its devices may go."""
    before = await opened(home)
    (home / "devices/a.txt").unlink()
    once = Office(home / "desired-state.toml", before.state)
    reading = asyncio.create_task(once.informer.require())
    await eventually(lambda: bool(once.informer.accepted.accounts) and once.held() == {"a1", "a2"})
    (home / "devices/a.txt").write_text("a1\na2\n")
    await reading
    assert once.planned().unsubscribes == ()
    assert once.held() == set()


async def test_a_command_that_runs_once_falls_back_to_no_older_text(home: Path) -> None:
    """Where files went away and the rest is faulty, there is nothing to work with."""
    before = await opened(home)
    (home / "devices/a.txt").unlink()
    (home / "desired-state.toml").write_text("version = ")
    with pytest.raises(Invalid):
        await Office(home / "desired-state.toml", before.state).informer.require()


async def test_a_file_that_moved_holds_nothing(home: Path) -> None:
    """Devices that another file lists are not missing; nor are those that an edit takes out of a file that stays."""
    office = await opened(home)
    (home / "devices/a.txt").rename(home / "devices/b.txt")
    (home / "devices/z.txt").write_text("z1\n")
    await office.informer.refresh()
    assert office.held() <= {"z2"}
    await office.informer.settle()
    office.clock.moved += QUIET_SECONDS + 1
    await office.informer.settle()
    assert {one.device for one in office.planned().unsubscribes} == {"z2"}


async def test_an_edit_of_the_text_that_names_a_file_no_more_is_a_removal(home: Path) -> None:
    """The file is still there, so nobody is at work on it."""
    office = await opened(home)
    (home / "desired-state.toml").write_text('version = 1\ndevice_files = ["devices/z.txt"]\n')
    await office.informer.refresh()
    assert office.held() == set()


async def test_a_tracked_file_that_is_missing_holds_until_its_removal_is_committed(
    home: Path,
) -> None:
    """Not the five seconds but the commit says that it is meant; and the edit is nobody's until then."""
    committed(home)
    office = await opened(home)
    (home / "devices/a.txt").unlink()
    await office.informer.refresh()
    await office.informer.settle()
    office.clock.moved += 60
    await office.informer.settle()
    assert office.held() == {"a1", "a2"}
    assert "devices/a.txt" in office.words()
    revision = office.informer.accepted.revision
    assert revision is not None
    assert revision.commit is not None
    assert revision.commit.dirty
    assert revision.made_by is None
    git(home, "commit", "--quiet", "--all", "--message=sold")
    assert office.source.poll()
    await office.informer.refresh()
    assert office.held() == set()


async def test_a_tracked_file_that_is_missing_holds_for_ten_minutes_at_most(home: Path) -> None:
    """Nobody has to commit anything for a device to go at last."""
    committed(home)
    office = await opened(home)
    (home / "devices/a.txt").unlink()
    await office.informer.refresh()
    await office.informer.settle()
    office.clock.moved += LONGEST_SECONDS - 5
    await office.informer.settle()
    assert office.held() == {"a1", "a2"}
    office.clock.moved += 6
    await office.informer.settle()
    assert office.held() == set()


async def test_a_tracked_file_that_was_never_read_here_is_known_from_the_commit(home: Path) -> None:
    """A first start in a half-done tree has nothing to compare with but what git has."""
    committed(home)
    (home / "devices/a.txt").unlink()
    office = Office(home / "desired-state.toml")
    await office.informer.begin()
    assert office.held() == {"a1", "a2"}


@pytest.mark.parametrize(
    "held",
    ["version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 6\n", "a1\n;a2\n"],
    ids=["a Git LFS pointer", "a faulty line"],
)
async def test_a_missing_file_of_which_git_has_no_list_holds_all(home: Path, held: str) -> None:
    """Nobody can say which devices it stands for, also where some of its lines can be read."""
    (home / "devices/a.txt").write_text(held)
    committed(home)
    (home / "devices/a.txt").unlink()
    (home / "devices/z.txt").write_text("z1\n")
    office = Office(home / "desired-state.toml")
    await office.informer.begin()
    assert office.held() == LIVE - {"z1"}


async def test_a_file_that_is_left_out_on_purpose_is_not_missing(home: Path) -> None:
    """A sparse checkout has no file that is marked to be skipped."""
    committed(home)
    git(home, "update-index", "--skip-worktree", "devices/a.txt")
    (home / "devices/a.txt").unlink()
    office = Office(home / "desired-state.toml")
    await office.informer.begin()
    assert office.held() == set()
    revision = office.informer.accepted.revision
    assert revision is not None
    assert revision.commit is not None
    assert not revision.commit.dirty


@pytest.mark.parametrize("linked", [False, True])
async def test_a_reading_waits_while_git_holds_its_lock(home: Path, *, linked: bool) -> None:
    """A file that is away while git writes is back before anything is read, in a linked working tree too."""
    committed(home)
    lock = home / ".git/index.lock"
    if linked:
        tree = home.parent / "linked"
        git(home, "worktree", "add", "--quiet", str(tree), "-b", "other")
        home, lock = tree, home / ".git/worktrees/linked/index.lock"
    office = await opened(home)
    lock.write_bytes(b"")
    (home / "devices/a.txt").unlink()
    reading = asyncio.create_task(office.informer.refresh())
    await asyncio.sleep(0.4)
    assert not reading.done()
    (home / "devices/a.txt").write_text("a1 # Lobby\na2\n")
    lock.unlink()
    await reading
    assert office.planned().unsubscribes == ()
    assert office.held() == set()


async def test_behind_a_lock_that_stays_the_text_is_read_and_its_unsubscribes_wait(
    home: Path,
) -> None:
    """New devices are subscribed; the message names the lock and its age; when it is gone all goes on."""
    committed(home)
    office = await opened(home)
    lock = home / ".git/index.lock"
    old_lock(lock, 75)
    (home / "devices/z.txt").write_text("z1\nnew\n")
    await office.informer.refresh()
    assert office.held() == {"z2"}
    assert [one.device for one in office.planned().subscribes] == ["new"]
    assert str(lock) in office.words()
    assert "1m1" in office.words()
    await office.informer.settle()
    assert office.held() == {"z2"}
    lock.unlink()
    await office.informer.settle()
    assert {one.device for one in office.planned().unsubscribes} == {"z2"}


async def test_a_fresh_lock_is_waited_for_a_minute_and_no_longer(home: Path) -> None:
    """The minute counts from when the lock is first seen, or was made, whichever is longer ago."""
    committed(home)
    office = await opened(home)
    (home / ".git/index.lock").write_bytes(b"")
    (home / "devices/z.txt").write_text("z1\n")
    reading = asyncio.create_task(office.informer.refresh())
    await asyncio.sleep(0.3)
    assert not reading.done()
    office.clock.moved += LOCK_SECONDS
    await reading
    assert office.held() == {"z2"}


async def test_the_swap_of_a_mounted_folder_is_a_removal_at_once(tmp_path: Path) -> None:
    """A ConfigMap is exchanged as a whole: what a new version does not hold is taken out."""
    for version, files in (
        ("1", {"a.txt": "a1\na2\n", "z.txt": "z1\nz2\n"}),
        ("2", {"z.txt": "z1\nz2\n"}),
    ):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "desired-state.toml").write_text(
            'version = 1\ndevice_files = ["*.txt"]\n'
        )
        for name, content in files.items():
            (tmp_path / f"..{version}" / name).write_text(content)
    (tmp_path / "..data").symlink_to("..1")
    for name in ("desired-state.toml", "a.txt", "z.txt"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    office = Office(tmp_path / "desired-state.toml")
    await office.informer.begin()
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    (tmp_path / "a.txt").unlink()
    await office.informer.refresh()
    assert office.held() == set()
    assert {one.device for one in office.planned().unsubscribes} == {"a1", "a2"}


async def test_a_link_to_another_folder_is_a_removal_at_once(home: Path) -> None:
    """A side-car writes the next version beside the last one, and then exchanges the link."""
    (home.parent / "current").symlink_to(home)
    office = Office(home.parent / "current/desired-state.toml")
    await office.informer.begin()
    other = home.parent / "other"
    (other / "devices").mkdir(parents=True)
    (other / "desired-state.toml").write_text(TEXT)
    (other / "devices/z.txt").write_text("z1\nz2\n")
    (home.parent / "next").symlink_to(other)
    (home.parent / "next").rename(home.parent / "current")
    await office.informer.refresh()
    assert {one.device for one in office.planned().unsubscribes} == {"a1", "a2"}


async def test_a_daemon_sees_a_slow_pull_through(home: Path) -> None:
    """Git removes a renamed file before it writes the new one; a slow filter makes that last."""
    committed(home)
    git(home, "config", "filter.slow.smudge", "sleep 0.7; cat")
    (home / ".gitattributes").write_text("*.txt filter=slow\n")
    git(home, "add", ".")
    git(home, "commit", "--quiet", "--message=filter")
    git(home, "checkout", "--quiet", "-b", "renamed")
    git(home, "mv", "devices/a.txt", "devices/m.txt")
    git(home, "commit", "--quiet", "--all", "--message=rename")
    git(home, "checkout", "--quiet", "main")
    office = await opened(home)
    moving = asyncio.create_task(asyncio.to_thread(git, home, "checkout", "--quiet", "renamed"))
    while not moving.done():
        if office.source.poll():
            await office.informer.refresh()
        assert office.planned().unsubscribes == ()
        await asyncio.sleep(0.02)
    await moving
    await office.informer.refresh()
    await eventually(lambda: not office.planned().unsubscribes and not office.held())
