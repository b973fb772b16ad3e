"""Lines stay whole: through rotation, full disks, readers that stop and crashes."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.events.model import Result
from reconciler.events.sinks.lines import LineFile
from reconciler.events.sinks.port import Handed
from reconciler.events.sinks.stream import StreamSink
from system_calls import system_calls

LINE = b'{"id":"a"}\n'


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[LineFile]:
    """Return lines that go to a file."""
    file = LineFile(tmp_path / "events.jsonl")
    yield file
    file.close()


def test_lines_are_appended(lines: LineFile, tmp_path: Path) -> None:
    """Each line comes after what was there, and others may not read the file."""
    path = tmp_path / "events.jsonl"
    assert lines.append([LINE, b"{}\n"]) == (2, "")
    assert lines.append([LINE]) == (1, "")
    assert path.read_bytes() == LINE + b"{}\n" + LINE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_renamed_is_left(lines: LineFile, tmp_path: Path) -> None:
    """After a rotation by rename the next line is in a new file."""
    path, old = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    lines.append([LINE])
    path.rename(old)
    assert lines.append([b"{}\n"]) == (1, "")
    assert old.read_bytes() == LINE
    assert path.read_bytes() == b"{}\n"


def test_a_file_that_was_emptied_is_written_from_its_beginning(
    lines: LineFile, tmp_path: Path
) -> None:
    """A rotation that copies and truncates leaves no hole."""
    path = tmp_path / "events.jsonl"
    lines.append([LINE])
    os.truncate(path, 0)
    lines.append([b"{}\n"])
    assert path.read_bytes() == b"{}\n"


def test_a_line_that_a_crash_broke_is_ended(tmp_path: Path) -> None:
    """The next event has a line of its own, and nothing is cut off."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(LINE + b'{"id":')
    file = LineFile(path)
    assert file.append([LINE]) == (1, "")
    file.close()
    assert path.read_bytes() == LINE + b'{"id":\n' + LINE


def test_a_missing_folder_is_a_reason(tmp_path: Path) -> None:
    """A file that cannot be created says so, and is tried again the next time."""
    file = LineFile(tmp_path / "later" / "events.jsonl")
    written, why = file.append([LINE])
    assert (written, why) == (0, f"{tmp_path}/later/events.jsonl: No such file or directory")
    (tmp_path / "later").mkdir()
    assert file.append([LINE]) == (1, "")
    file.close()


def test_a_line_that_found_half_the_room_is_completed(tmp_path: Path) -> None:
    """A disk that fills up in the middle of a line leaves no broken line once there is room again."""
    path = tmp_path / "events.jsonl"
    file = _Full(path, room=len(LINE) + 4)
    written, why = file.append([LINE, b'{"id":"b"}\n', b'{"id":"c"}\n'])
    assert (written, why) == (1, f"{path}: No space left on device")
    file.room = 1000
    assert file.append([b'{"id":"b"}\n']) == (1, "")
    file.close()
    ids = [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert ids == ["a", "b", "b"]


def test_a_line_of_which_nothing_was_written_is_not_kept(tmp_path: Path) -> None:
    """However often a full disk refuses a line, it is there once in the end."""
    path = tmp_path / "events.jsonl"
    file = _Full(path, room=0)
    for _ in range(3):
        assert file.append([LINE])[0] == 0
    file.room = 1000
    assert file.append([LINE]) == (1, "")
    file.close()
    assert path.read_bytes() == LINE


def test_the_rest_of_a_line_goes_to_the_file_that_has_its_beginning(tmp_path: Path) -> None:
    """A file that is rotated in the middle of a line is completed before it is left."""
    path, old = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    file = _Full(path, room=4)
    assert file.append([LINE])[0] == 0
    path.rename(old)
    file.room = 1000
    assert file.append([b"{}\n"]) == (1, "")
    file.close()
    assert old.read_bytes() == LINE
    assert path.read_bytes() == b"{}\n"


def test_the_rest_of_a_line_does_not_come_into_a_file_that_was_emptied(tmp_path: Path) -> None:
    """The beginning of the line went with the other bytes, so its end would be a broken line."""
    path = tmp_path / "events.jsonl"
    file = _Full(path, room=4)
    assert file.append([LINE])[0] == 0
    os.truncate(path, 0)
    file.room = 1000
    assert file.append([b"{}\n"]) == (1, "")
    file.close()
    assert path.read_bytes() == b"{}\n"


def test_what_counts_as_written_is_on_the_disk(tmp_path: Path) -> None:
    """A new file's name is safe before its first line; lines that come together share one wait, after the last."""
    path = tmp_path / "events.jsonl"
    file = LineFile(path)
    for before in (["fsync"], []):
        with system_calls("write", "fsync", "fdatasync") as made:
            assert file.append([LINE] * 3) == (3, "")
        assert made == [*before, *["write"] * 3, "fdatasync"]
    file.close()


def test_lines_that_the_disk_does_not_make_safe_are_not_written(tmp_path: Path) -> None:
    """A disk that takes bytes and fails to keep them has none of the lines, so each of them is tried again."""

    class Unsafe(LineFile):
        """A file on a disk that fails at the end."""

        def _make_safe(self) -> None:
            raise OSError(5, "Input/output error")

    path = tmp_path / "events.jsonl"
    file = Unsafe(path)
    assert file.append([LINE] * 3) == (0, f"{path}: Input/output error")
    file.close()


def test_a_pipe_that_nobody_reads_does_not_block(tmp_path: Path) -> None:
    """A reader that stopped costs the time limit; when it goes on, it gets whole lines only."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(path, seconds=0.05)
    long = b'"' + b"x" * 50_000 + b'"\n'
    written, why = file.append([long] * 3)
    assert written < 3
    assert why == f"{path}: not read for 0.05 seconds"
    _read(reader)
    assert file.append([]) == (0, "")
    file.append([LINE])
    got = _read(reader)
    assert got.endswith(LINE)
    assert got.startswith(b"x")
    os.close(reader)
    file.close()


def test_a_pipe_without_a_reader_is_a_reason(tmp_path: Path) -> None:
    """An event is not written to where nobody can read it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    file = LineFile(path)
    assert file.append([LINE]) == (0, f"{path}: No such device or address")


def test_a_reader_that_left_is_a_reason(tmp_path: Path) -> None:
    """A closed pipe is an answer, and no signal that ends the process."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(path)
    assert file.append([LINE]) == (1, "")
    os.close(reader)
    assert file.append([LINE]) == (0, f"{path}: Broken pipe")
    file.close()


class _Full(LineFile):
    """A file on a disk with room for a number of bytes."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path)
        self.room = room

    def _write_some(self, content: bytes, until: float) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        count = super()._write_some(content[: self.room], until)
        self.room -= count
        return count


def _read(reader: int) -> bytes:
    """Return all that is in a pipe."""
    got = b""
    while True:
        try:
            some = os.read(reader, 65536)
        except BlockingIOError:
            return got
        if not some:
            return got
        got += some


async def test_an_event_on_standard_output_steers_no_terminal(tmp_path: Path) -> None:
    """What LG sent is the same for a program, and only words for a terminal."""
    path = tmp_path / "events.jsonl"
    sink = StreamSink("log", LineFile(path))
    event = {"device": "\x9b31mred \u202eback \u2028 \x7f 방"}
    await sink.hand_over("a", json.dumps(event, ensure_ascii=False).encode())
    await sink.close()
    line = path.read_text("utf-8").removesuffix("\n")
    assert line.isprintable()
    assert json.loads(line) == event


async def test_events_that_come_together_have_each_its_own_end(tmp_path: Path) -> None:
    """Of lines that are written together the first may be safe and the others not: only those are tried again."""
    path = tmp_path / "events.jsonl"
    file = _Full(path, room=2 * len(LINE))
    sink = StreamSink("log", file)
    body = LINE.strip()
    why = f"{path}: No space left on device"
    ends = await asyncio.gather(*(sink.hand_over(str(number), body) for number in range(4)))
    assert ends == [Handed(Result.DELIVERED)] * 2 + [Handed(Result.RETRY, words=why)] * 2
    file.room = 1000
    assert await sink.hand_over("2", body) == Handed(Result.DELIVERED)
    await sink.close()
    assert path.read_bytes() == LINE * 3


async def test_an_event_that_is_given_up_before_its_turn_is_not_written(tmp_path: Path) -> None:
    """Who no longer waits for it tries it again, and it is there once; a sink that closes writes what it began."""
    path = tmp_path / "events.jsonl"
    sink = StreamSink("log", LineFile(path))
    given_up, kept = (asyncio.create_task(sink.hand_over(name, name.encode())) for name in "ab")
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    await sink.close()
    assert await kept == Handed(Result.DELIVERED)
    assert path.read_bytes() == b"b\n"
