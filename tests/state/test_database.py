"""One writer, many readers, and a disk that may be full, damaged, locked or not there."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from shutil import copytree, rmtree
from socket import gethostname
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disks import Disk, StandingClock
from reconciler.core.errors import StateError
from reconciler.runtime.clock import SystemClock
from reconciler.state import State, no_room
from reconciler.state.sqlite.connection import Newer, Statement, connect, damaged
from reconciler.state.sqlite.database import Database
from reconciler.state.sqlite.folder import MOST_REPLACED, Held
from reconciler.state.sqlite.session import FileBytes

FIRST = (("CREATE TABLE note (words TEXT)",),)
SECOND = (*FIRST, ("ALTER TABLE note ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody'",))


def note(words: str) -> list[Statement]:
    """Return what writes a note down."""
    return [Statement("INSERT INTO note (words) VALUES (?)", [(words,)])]


def notes(database: Database) -> list[str]:
    """Return all notes."""
    return [words for (words,) in database.read("SELECT words FROM note ORDER BY rowid")]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Database]]:
    """Return what opens the file in one folder for writing; all are closed at the end."""
    all_: list[Database] = []

    def open_(migrations: Any = FIRST, **more: Any) -> Database:
        all_.append(Database.open(tmp_path / "state", migrations, StandingClock(), **more))
        return all_[-1]

    yield open_
    for database in all_:
        database.close()


def looked_at(folder: Path, migrations: Any = FIRST) -> Database:
    """Open the file in a folder for reading."""
    return Database.read_only(folder, migrations, StandingClock())


def test_what_is_written_is_there_after_reopening(opened: Callable[..., Database]) -> None:
    """What was written is read again, by the same object and by a later one."""
    database = opened()
    database.write(note("one"))
    assert notes(database) == ["one"]
    database.close()
    assert notes(opened()) == ["one"]


def test_what_has_to_last_outlives_a_loss_of_power(
    tmp_path: Path, opened: Callable[..., Database]
) -> None:
    """However little of the log had reached the disk: what has to last is never in the part that is lost."""
    disk = Disk()
    database = opened(connect=disk.connect)
    left = set()
    for number in range(40):
        database.write(note(f"lasting {number}"), lasting=True)
        database.write(note(f"passing {number}"))
        after = copytree(tmp_path / "state", tmp_path / f"after-{number}")
        disk.power.fail(after / "state.db", number / 40)
        found = notes(looked_at(after))
        left.add(found.pop() if len(found) == 2 * (number + 1) else "")
        assert (
            found
            == [f"{kind} {one}" for one in range(number + 1) for kind in ("lasting", "passing")][
                :-1
            ]
        )
    assert "" in left, "no power was lost in time for anything to be lost"


def test_statements_are_all_carried_out_or_none(opened: Callable[..., Database]) -> None:
    """A statement that fails takes those before it in the same call with it."""
    database = opened()
    with pytest.raises(StateError, match="no such table"):
        database.write([*note("lost"), Statement("INSERT INTO nowhere VALUES (1)")])
    assert "no such table" in database.trouble
    database.write(note("kept"))
    assert (notes(database), database.trouble) == (["kept"], "")


def test_folder_and_files_are_their_owners_alone(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """The folder is made with mode 0700, and every file in it has 0600."""
    database = opened()
    database.write(note("private"))
    folder = tmp_path / "state"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm", "state.lock"), 0o600)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o666])
def test_a_file_that_others_could_read_is_closed_to_them(
    mode: int, opened: Callable[..., Database], tmp_path: Path
) -> None:
    """A file that was there with a wider mode gets ours; a folder that was there keeps its own."""
    opened().close()
    (tmp_path / "state").chmod(0o755)
    (tmp_path / "state" / "state.db").chmod(mode)
    opened()
    assert stat.S_IMODE((tmp_path / "state" / "state.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o755


def test_a_second_writer_is_told_who_holds_the_state(opened: Callable[..., Database]) -> None:
    """Only one process writes; the other learns the first one's id, and may have the state after it."""
    first = opened()
    with pytest.raises(Held, match=f"held by process {os.getpid()}"):
        opened()
    first.close()
    opened()


@pytest.mark.parametrize(
    ("written", "holder"),
    [
        (
            "7 pcc-0 2026-11-30T05:00:00Z",
            "process 7 on pcc-0, which started at 2026-11-30T05:00:00Z",
        ),
        ("7", "process 7"),
        ("", "another process"),
        ("7 \x1b[31m x", "another process"),
        ("\N{PILE OF POO} a b", "another process"),
    ],
)
def test_the_holder_is_named_as_far_as_the_lock_says(
    opened: Callable[..., Database], tmp_path: Path, written: str, holder: str
) -> None:
    """A pod's number means nothing to another pod, its name does; an older version wrote the number only."""
    first = opened()
    (tmp_path / "state" / "state.lock").write_text(f"{written}\n")
    with pytest.raises(Held, match=f"{re.escape(f'is held by {holder}')}$"):
        opened()
    first.close()


def test_the_lock_of_a_killed_process_is_free(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """Another process that holds the state shuts us out until it is gone, however it went."""
    program = (
        "import sys; from pathlib import Path; from reconciler.runtime.clock import SystemClock; "
        "from reconciler.state.sqlite.database import Database; "
        f"Database.open(Path({str(tmp_path / 'state')!r}), {FIRST!r}, SystemClock()); print('held', flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # noqa: S603 - our own
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Held, match=f"process {holder.pid}"):
            opened()
        holder.kill()
        holder.wait()
        assert notes(opened()) == []


def test_a_reader_beside_the_writer_sees_what_is_written(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """A reader needs no lock, and sees what was written before it looked."""
    writer = opened()
    writer.write(note("seen"))
    reader = looked_at(tmp_path / "state")
    assert notes(reader) == ["seen"]
    reader.close()
    writer.write(note("later"))
    assert notes(writer) == ["seen", "later"]


def test_a_reader_leaves_nothing_behind(opened: Callable[..., Database], tmp_path: Path) -> None:
    """Reading creates no file, neither of an absent state nor of one that is closed, and cannot write."""
    absent = looked_at(tmp_path / "state")
    assert notes(absent) == []
    absent.close()
    assert not (tmp_path / "state").exists()
    database = opened()
    database.write(note("there"))
    database.close()
    before = {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    reader = looked_at(tmp_path / "state")
    assert notes(reader) == ["there"]
    with pytest.raises(StateError, match="reading only"):
        reader.write(note("never"))
    reader.close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()} == before


@pytest.mark.parametrize("kind", ["no database", "truncated", "overwritten in the middle"])
def test_a_damaged_file_is_set_aside_and_a_fresh_one_begun(
    kind: str, opened: Callable[..., Database], tmp_path: Path
) -> None:
    """Whatever the damage, work goes on with an empty file, and the damaged one is kept under a name with the time."""
    database = opened()
    database.write(
        [Statement("INSERT INTO note VALUES (?)", [(f"{number:0500}",) for number in range(100)])]
    )
    database.close()
    path = tmp_path / "state" / "state.db"
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "no database": b"this was never a database\n" * 400,
        "truncated": whole[:middle],
        "overwritten in the middle": whole[:4096] + b"\xff" * (len(whole) - 4096),
    }[kind]
    path.write_bytes(damaged)
    reader = looked_at(tmp_path / "state")
    assert notes(reader) == []
    assert "is damaged" in reader.trouble
    reader.close()
    assert path.read_bytes() == damaged
    database = opened()
    assert database.set_aside == path.with_name("state.db.corrupt-20260102T030405Z")
    assert database.set_aside is not None
    assert database.set_aside.read_bytes() == damaged
    database.write(note("fresh"))
    assert (notes(database), database.trouble) == (["fresh"], "")


def test_a_file_that_could_not_be_checked_at_first_is_checked_before_it_is_used(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """A disk that failed in the middle of the check says nothing of the file: it is damaged all the same."""
    database = opened()
    database.write(
        [Statement("INSERT INTO note VALUES (?)", [(f"{number:0500}",) for number in range(100)])]
    )
    database.close()
    path = tmp_path / "state" / "state.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
    disk = Disk("disk I/O error")
    database = opened(connect=disk.connect)
    assert "disk I/O error" in database.trouble
    disk.fault = ""
    database.write(note("fresh"))
    assert database.set_aside is not None
    assert (notes(database), database.losses) == (["fresh"], 1)


def test_two_damaged_files_of_one_second_are_both_kept(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """A file that was set aside is never overwritten by the next."""
    for words in (b"first", b"second"):
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / "state.db").write_bytes(words * 1000)
        opened().close()
    aside = sorted(
        path.read_bytes()[:5] for path in (tmp_path / "state").glob("state.db.corrupt-*")
    )
    assert aside == [b"first", b"secon"]


def test_older_versions_migrate_forward_in_order(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """A file of an older version is brought to the newest when it is written, and a copy of it when it is read."""
    database = opened(FIRST)
    database.write(note("old"))
    database.close()
    reader = looked_at(tmp_path / "state", SECOND)
    assert reader.read("SELECT * FROM note") == [("old", "nobody")]
    reader.close()
    assert opened(SECOND).read("SELECT * FROM note") == [("old", "nobody")]


def test_a_failed_migration_leaves_the_file_as_it_was(opened: Callable[..., Database]) -> None:
    """A migration happens whole or not at all; until it does, nothing can be written, and what is there stays."""
    database = opened(FIRST)
    for _ in range(2):
        database.write(note("old"))
    database.close()
    once = "CREATE UNIQUE INDEX once ON note (words)"
    broken = opened((*FIRST, ("ALTER TABLE note ADD COLUMN author TEXT", once)))
    assert "UNIQUE constraint failed" in broken.trouble
    broken.close()
    assert opened(SECOND).read("SELECT * FROM note") == [("old", "nobody")] * 2


def test_a_newer_version_is_refused(opened: Callable[..., Database], tmp_path: Path) -> None:
    """A file that a newer program wrote is neither written nor read, and the message says so."""
    opened(SECOND).close()
    words = r"of version 2, .* up to 1: a newer program wrote it"
    with pytest.raises(Newer, match=words):
        opened()
    with pytest.raises(Newer, match=words):
        looked_at(tmp_path / "state")
    opened(SECOND)


def test_a_disk_that_is_full_and_has_room_again_is_tried_at_each_write(
    opened: Callable[..., Database],
) -> None:
    """A really full database refuses a write with a sentence, keeps what it has, and takes the next one given room."""
    kept: list[sqlite3.Connection] = []

    def remember(uri: str) -> sqlite3.Connection:
        kept.append(connect(uri))
        return kept[-1]

    database = opened(connect=remember)
    database.write(note("before"))
    kept[-1].execute("PRAGMA max_page_count = 3")
    with pytest.raises(StateError, match="the state cannot be written: database or disk is full"):
        database.write(note("x" * 100_000))
    assert notes(database) == ["before"]
    kept[-1].execute("PRAGMA max_page_count = 1000")
    database.write(note("after"))
    assert (notes(database), database.trouble) == (["before", "after"], "")


def test_a_large_write_that_fails_is_not_taken_for_another_programs(
    opened: Callable[..., Database],
) -> None:
    """More than SQLite holds in memory was in the log already; the next write goes on as if nothing had been."""
    database = opened()
    database.write(note("before"))
    large = Statement("INSERT INTO note VALUES (?)", [("x" * 4000,)] * 2000)
    with pytest.raises(StateError, match="no such table"):
        database.write([large, Statement("INSERT INTO nowhere VALUES (1)")])
    database.write(note("after"))
    assert notes(database) == ["before", "after"]
    assert (database.doubts, database.losses, list(database.notices)) == (0, 0, [])


def test_a_file_that_cannot_be_opened_is_opened_when_it_can(
    opened: Callable[..., Database],
) -> None:
    """A disk that fails at the start is trouble, not the end; a later write finds the file with all that is in it."""
    database = opened()
    database.write(note("before"))
    database.close()
    disk = Disk("disk I/O error")
    database = opened(connect=disk.connect)
    assert database.trouble == "the state cannot be written: disk I/O error"
    assert notes(database) == []
    with pytest.raises(StateError, match="disk I/O error"):
        database.write(note("refused"))
    disk.fault = ""
    database.write(note("after"))
    assert (notes(database), database.trouble) == (["before", "after"], "")


def test_a_folder_that_cannot_be_made_is_trouble_until_it_can(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder, nothing is raised at the start, and the folder is made later."""
    (tmp_path / "state").write_text("in the way")
    database = Database.open(tmp_path / "state", FIRST, StandingClock())
    assert database.trouble
    (tmp_path / "state").unlink()
    database.write(note("made"))
    assert (notes(database), database.trouble) == (["made"], "")
    database.close()


def test_what_is_on_a_disk_that_takes_no_writes_is_still_read(
    opened: Callable[..., Database],
) -> None:
    """A file that can be read and not written gives what is in it, and trouble."""
    database = opened()
    database.write(note("before"))
    database.close()

    def no_writes(uri: str) -> sqlite3.Connection:
        return connect(uri if "mode=ro" in uri else f"{uri}?mode=ro")

    database = opened(connect=no_writes)
    assert (notes(database), "readonly" in database.trouble) == (["before"], True)


def test_a_closed_state_is_not_opened_again_by_a_late_write(
    opened: Callable[..., Database],
) -> None:
    """After closing, a write is refused, and the next process has the state to itself."""
    database = opened()
    database.close()
    with pytest.raises(StateError, match="closed"):
        database.write(note("late"))
    with pytest.raises(StateError, match="cannot be read"):
        notes(database)
    assert notes(opened()) == []


def test_a_folder_for_the_file_cannot_be_read(tmp_path: Path) -> None:
    """Where a folder stands in place of the file, a reader is told that it cannot be read."""
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StateError, match=r"state\.db cannot be read"):
        looked_at(tmp_path)


def test_who_took_the_state_while_it_could_not_be_had_keeps_it(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """A writer that could not lock the folder at the start and finds it held later is told, and writes nothing."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.lock").mkdir()
    late = opened()
    assert "Is a directory" in late.trouble
    (tmp_path / "state" / "state.lock").rmdir()
    first = opened()
    with pytest.raises(Held, match="held by process"):
        late.write(note("never"))
    assert (
        late.trouble
        == f"the state cannot be written: the state in {tmp_path}/state is held by process {os.getpid()}"
        f" on {gethostname()}, which started at {StandingClock().now():%Y-%m-%dT%H:%M:%SZ}"
    )
    assert notes(first) == []


def _delete(folder: Path) -> None:
    for path in folder.glob("state.db*"):
        path.unlink()


def _delete_the_folder(folder: Path) -> None:
    rmtree(folder)


def _move_the_folder(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def _move(folder: Path) -> None:
    (folder / "state.db").rename(folder / "moved.db")


def _exchange(folder: Path) -> None:
    older = folder / "older.db"
    older.write_bytes((folder.parent / "older.db").read_bytes())
    older.replace(folder / "state.db")


def _link_to_it(folder: Path) -> None:
    (folder / "state.db").rename(folder.parent / "moved.db")
    (folder / "state.db").symlink_to("../moved.db")


def _copy_over(folder: Path) -> None:
    (folder / "state.db").write_bytes((folder.parent / "older.db").read_bytes())


def _delete_the_log(folder: Path) -> None:
    (folder / "state.db-wal").unlink()


def _delete_the_lock(folder: Path) -> None:
    (folder / "state.lock").unlink()


TAKEN = (
    _delete,
    _delete_the_folder,
    _move_the_folder,
    _move,
    _exchange,
    _link_to_it,
    _delete_the_log,
    _delete_the_lock,
)


@pytest.mark.parametrize("take", TAKEN)
@pytest.mark.parametrize("noticed", ["by looking", "by writing"])
def test_a_file_that_is_taken_away_while_open_is_written_again_whole(
    take: Callable[[Path], None], noticed: str, opened: Callable[..., Database], tmp_path: Path
) -> None:
    """One write is refused and says why; the next brings all there was to a fresh file, which outlives a restart."""
    opened().close()
    (tmp_path / "older.db").write_bytes((tmp_path / "state" / "state.db").read_bytes())
    database = opened()
    database.write(note("one"))
    take(tmp_path / "state")
    if noticed == "by looking":
        assert database.look()
        assert not database.look(), "it is news once"
    else:
        with pytest.raises(StateError, match="while it was open"):
            database.write(note("refused"))
    assert "while it was open" in database.trouble
    database.write(note("two"))
    assert (database.trouble, database.losses, notes(database)) == ("", 0, ["one", "two"])
    assert "while it was open" in database.notices[0]
    assert "was written to a fresh" in database.notices[1]
    seen = looked_at(tmp_path / "state")
    assert notes(seen) == ["one", "two"]
    seen.close()
    database.close()
    assert notes(opened()) == ["one", "two"]


def test_a_file_that_is_put_in_place_of_an_open_one_is_kept_aside(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """Nothing that somebody put there is destroyed: it gets a name with the time, and a few of those are kept."""
    opened().close()
    (tmp_path / "older.db").write_bytes((tmp_path / "state" / "state.db").read_bytes())
    database = opened()
    for number in range(MOST_REPLACED + 2):
        _exchange(tmp_path / "state")
        assert database.look()
        database.write(note(f"{number}"))
    found = (tmp_path / "state").glob("state.db.replaced-*")
    aside = [path for path in found if not path.name.endswith(("-wal", "-shm"))]
    assert len(aside) == MOST_REPLACED
    assert {path.read_bytes() for path in aside} == {(tmp_path / "older.db").read_bytes()}
    assert len(notes(database)) == MOST_REPLACED + 2


def test_of_the_files_that_were_kept_aside_the_oldest_go(tmp_path: Path) -> None:
    """The log named the last one a moment ago, and a person comes to look for it."""
    folder, clock = tmp_path / "state", StandingClock()
    Database.open(folder, FIRST, clock).close()
    (tmp_path / "older.db").write_bytes((folder / "state.db").read_bytes())
    database = Database.open(folder, FIRST, clock)
    put_aside: list[str] = []
    for _ in range(MOST_REPLACED + 2):
        clock.wait(minutes=1)
        _exchange(folder)
        _let_the_disks_clock_go_on(tmp_path)
        assert database.look()
        database.write(note("written on"))
        put_aside.append(f"state.db.replaced-{clock.now():%Y%m%dT%H%M%SZ}")
        found = {path.name for path in folder.glob("state.db.replaced-*Z")}
        assert found == set(put_aside[-MOST_REPLACED:])
    database.close()


def _let_the_disks_clock_go_on(folder: Path) -> None:
    """Return once what is changed now has a later date than all that was changed before."""
    dates: list[int] = []
    while len(set(dates)) < 3:
        (folder / "dated").touch()
        dates.append((folder / "dated").stat().st_ctime_ns)


class FewBytes(FileBytes):
    """Reads a file in pieces that are shorter than most words."""

    CHUNK = 4


@given(
    st.binary(max_size=20).map(lambda content: bytes(one % 3 for one in content)),
    st.lists(st.binary(max_size=9).map(lambda word: bytes(one % 3 for one in word)), max_size=4),
)
def test_a_word_is_found_wherever_it_is_in_a_file(content: bytes, words: list[bytes]) -> None:
    """Also across two or more of the pieces that are read, and beside shorter words."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        found = FewBytes(Path(file.name))
        assert found.hold(words) is any(word in content for word in words if word)
        found.close()


@pytest.mark.parametrize(
    "harm", ["copied over", "emptied", "filled with noise", "log filled with noise", "touched"]
)
def test_an_open_file_that_another_program_writes_is_not_gone_on_with(
    harm: str, opened: Callable[..., Database], tmp_path: Path
) -> None:
    """The same file with other bytes is noticed; what cannot be read any more counts as lost, and writing goes on."""
    opened().close()
    (tmp_path / "older.db").write_bytes((tmp_path / "state" / "state.db").read_bytes())
    database = opened()
    database.write(note("one"))
    path = tmp_path / "state" / "state.db"
    match harm:
        case "copied over":
            _copy_over(tmp_path / "state")
        case "emptied":
            os.truncate(path, 0)
        case "filled with noise":
            path.write_bytes(b"\xff" * 200_000)
        case "log filled with noise":
            Path(f"{path}-wal").write_bytes(b"\xff" * 200_000)
        case _:
            os.utime(path, ns=(1, 1))
    assert database.look()
    database.write(note("two"))
    assert database.trouble == ""
    assert notes(database) == (["two"] if database.losses else ["one", "two"])
    database.close()
    assert "two" in notes(opened())


def test_a_table_that_somebody_removed_does_not_stop_writing_for_ever(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """Whether it is removed while the file is open or while nobody has it, a fresh file is begun."""

    def remove() -> None:
        other = connect((tmp_path / "state" / "state.db").as_uri())
        other.execute("DROP TABLE note")
        other.close()

    database = opened()
    database.write(note("one"))
    remove()
    for _ in range(2):
        with suppress(StateError):
            database.write(note("refused or written"))
    database.write(note("two"))
    assert (database.losses, notes(database)[-1]) == (1, "two")
    database.close()
    remove()
    database = opened()
    assert database.set_aside is not None
    assert notes(database) == []


def test_another_writer_at_the_path_is_not_disturbed(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """Where another process took the state after the lock was deleted, we write nothing there and say who holds it."""
    ours = opened()
    _delete_the_folder(tmp_path / "state")
    theirs = opened()
    theirs.write(note("theirs"))
    with suppress(StateError):
        ours.write(note("ours"))
    with pytest.raises(Held, match="held by process"):
        ours.write(note("ours"))
    assert notes(theirs) == ["theirs"]


def test_a_state_that_could_not_be_had_at_first_becomes_writable(
    opened: Callable[..., Database], tmp_path: Path
) -> None:
    """What a kill left behind can be read at once while others lock it, and written as soon as they let go."""
    program = (
        "import os; from pathlib import Path; from reconciler.runtime.clock import SystemClock; "
        "from reconciler.state.sqlite.database import Database, Statement; "
        f"d = Database.open(Path({str(tmp_path / 'state')!r}), {FIRST!r}, SystemClock()); "
        f"d.write([Statement({note('')[0].sql!r}, [('before',)])]); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)  # noqa: S603 - our own
    assert killed.returncode == 9
    assert (tmp_path / "state" / "state.db-wal").stat().st_size > 0
    other = connect((tmp_path / "state" / "state.db").as_uri())
    other.execute("BEGIN EXCLUSIVE")

    def impatient(uri: str) -> sqlite3.Connection:
        connection = connect(uri)
        connection.execute("PRAGMA busy_timeout = 10")
        return connection

    database = opened(connect=impatient)
    assert "locked" in database.trouble
    assert notes(database) == ["before"]
    with pytest.raises(StateError, match="locked"):
        database.write(note("refused"))
    other.execute("ROLLBACK")
    other.close()
    database.write(note("after"))
    assert (database.trouble, notes(database)) == ("", ["before", "after"])


FULL = """
import resource, sys
from pathlib import Path
from reconciler.runtime.clock import SystemClock
from reconciler.state import State, can_be_kept, no_room
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(can_be_kept(folder) or "-", no_room(folder) or "-", sep="\\n")
state = State.open(folder, SystemClock())
print(state.trouble or "-")
"""


def test_doctor_sees_that_a_disk_takes_no_more(tmp_path: Path) -> None:
    """Where the daemon cannot write for want of room, doctor says so too, and leaves nothing behind."""
    State.open(tmp_path, SystemClock()).close()
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    allowed, room, trouble = ended.stdout.splitlines()
    assert (allowed, room) == ("-", "File too large")
    assert trouble != "-"
    before = sorted(tmp_path.iterdir())
    assert no_room(tmp_path) == ""
    assert sorted(tmp_path.iterdir()) == before
    assert no_room(tmp_path / "nowhere") == ""


OPENS = """
import os, sys
from pathlib import Path
from reconciler.runtime.clock import SystemClock
from reconciler.state import State, can_be_kept
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(can_be_kept(folder) or "-")
state = State.open(folder, SystemClock())
print(state.trouble or "-")
state.close()
"""


def opened_by_another_user(folder: Path) -> list[str]:
    """Open a state as another user, where this one may become one, and return what doctor and the daemon say."""
    command = [sys.executable, "-c", OPENS, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    return ended.stdout.splitlines()


def test_a_writable_file_of_another_user_serves_as_it_is() -> None:
    """After a change of the user id the mode cannot be changed any more; what can be written is no fault."""
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        folder = Path(home) / "state"
        State.open(folder, SystemClock()).close()
        folder.chmod(0o777)
        for one in folder.iterdir():
            one.chmod(0o666)
        assert opened_by_another_user(folder) == ["-", "-"]


def test_a_file_of_another_user_that_cannot_be_written_is_named_by_both() -> None:
    """Where the daemon could not write, doctor says so too, and names the file."""
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        folder = Path(home) / "state"
        State.open(folder, SystemClock()).close()
        folder.chmod(0o777)
        (folder / "state.lock").chmod(0o666)
        (folder / "state.db").chmod(0o444)
        said = opened_by_another_user(folder)
        assert said[0] == str(folder / "state.db")
        assert said[1] != "-" or os.geteuid() != 0


@pytest.mark.parametrize(
    ("code", "is_damage"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, False),
        (None, False),
    ],
)
def test_damage_is_known_by_its_finer_codes_too(code: int | None, *, is_damage: bool) -> None:
    """A damaged index is damage like any other, and a file that cannot be read is none."""
    error = sqlite3.DatabaseError("as SQLite says it")
    if code is not None:
        error.sqlite_errorcode = code
    assert damaged(error) is is_damage
