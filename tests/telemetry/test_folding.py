"""Log lines on a terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from reconciler.telemetry.folding import columns, folded
from reconciler.telemetry.logs import set_up_logs


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """Give a terminal of 60 columns, and where what is written to it can be read."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(far, "w", encoding="utf-8") as stream:
        yield stream, near
    os.close(near)


@pytest.mark.parametrize("colours", [False, True])
def test_a_long_line_goes_on_between_facts(terminal: tuple[TextIO, int], *, colours: bool) -> None:
    """No row is wider than the terminal, colours count nothing, and a character of two columns counts twice."""
    stream, near = terminal
    set_up_logs("info", "console", stream=stream, colours=colours)
    structlog.get_logger().info(
        "change.applied", name="객실 203 냉장고", device="a" * 64, action="subscribe", status=200
    )
    rows = os.read(near, 65536).decode().splitlines()
    assert len(rows) > 2
    assert [one for one in rows if columns(one) > 60] == []
    assert [one[:4] for one in rows[1:]] == ["    "] * (len(rows) - 1)


def test_some_events_are_left_out_for_a_person(terminal: tuple[TextIO, int]) -> None:
    """What a line of our own says already needs no line of the log."""
    stream, near = terminal
    set_up_logs("info", "console", stream=stream, colours=False, without={"event.received"})
    structlog.get_logger().info("event.received", seq=1)
    structlog.get_logger().info("pass.completed", account="default")
    written = os.read(near, 65536).decode()
    assert "pass.completed" in written
    assert "event.received" not in written


def test_a_file_gets_lines_as_they_are() -> None:
    """A line in a file is a line, however long."""
    line = "word " * 100
    with Path(os.devnull).open("w", encoding="utf-8") as file:
        assert folded(line, file) == line
