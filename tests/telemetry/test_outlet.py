"""Lines that a thread of its own writes: in order, bounded, and never waited for."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reconciler.telemetry.outlet import MOST_AT_ONCE, Outlet

LINE = "x" * 99


class Reader:
    """The other end of a pipe, which reads only when asked to."""

    def __init__(self) -> None:
        self.here, self.there = os.pipe()
        self.read = b""

    def take_all(self, outlet: Outlet) -> list[str]:
        """Read until everything that waits was written, and return the lines."""
        os.set_blocking(self.here, False)
        while not outlet.flush(0.02):
            self._take()
        self._take()
        return self.read.decode().splitlines()

    def take(self, size: int) -> None:
        """Read this number of bytes, which are there or on their way."""
        os.set_blocking(self.here, True)
        end = len(self.read) + size
        while len(self.read) < end:
            self.read += os.read(self.here, end - len(self.read))

    def _take(self) -> None:
        try:
            while data := os.read(self.here, 1 << 16):
                self.read += data
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Go away."""
        for end in (self.here, self.there):
            os.close(end)


@pytest.fixture
def reader() -> Iterator[Reader]:
    """Return a reader that does not read yet."""
    one = Reader()
    yield one
    one.close()


def gap(lines: int) -> str:
    """Return what tells of a gap."""
    return f"{lines} dropped"


def test_lines_come_out_in_order(reader: Reader) -> None:
    """What is put in comes out as it came, each line whole."""
    outlet = Outlet(reader.there, gap)
    told = [f"{number} \u00e9 \udcff" for number in range(2000)]
    for line in told:
        outlet.put(line)
    assert reader.take_all(outlet) == [line.replace("\udcff", "\\udcff") for line in told]
    assert outlet.dropped == 0


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_stops_costs_lines_and_no_time(reader: Reader, *, blocking: bool) -> None:
    """While nobody reads, a bounded number of lines waits; how many are missing is told when somebody reads again."""
    os.set_blocking(reader.there, blocking)
    outlet = Outlet(reader.there, gap, most=500_000)
    for number in range(20_000):
        outlet.put(f"{number:05} {LINE}")
    assert not outlet.flush(0.05)
    before = outlet.dropped
    assert before > 10_000
    found = reader.take_all(outlet)
    outlet.put("after")
    found = reader.take_all(outlet)
    whole = [line for line in found if line.endswith(LINE)]
    assert whole == sorted(whole)
    assert len(whole) + before == 20_000
    assert sum(int(line.split()[0]) for line in found if line.endswith("dropped")) == before
    assert found[-1] == "after"


def test_a_gap_is_told_where_it_is(reader: Reader) -> None:
    """Lines that come after a gap stand after the line that tells of it, also where there is a second gap."""
    size = fcntl.fcntl(reader.there, fcntl.F_GETPIPE_SZ)
    outlet = Outlet(reader.there, gap, most=10 * len(LINE))
    for round_ in range(2):
        for number in range(size // len(LINE) + 50):
            outlet.put(f"{round_} {number:05} {LINE}")
        reader.take_all(outlet)
    outlet.put("end")
    found = reader.take_all(outlet)
    last: tuple[str, ...] = ()
    for line in found:
        if not line.endswith(("dropped", "end")):
            assert tuple(line.split()[:2]) > last, "a line came out of order"
            last = tuple(line.split()[:2])
    told = sum(int(line.split()[0]) for line in found if line.endswith("dropped"))
    assert told == outlet.dropped > 0
    assert found[-1] == "end"


def test_a_line_that_is_larger_than_the_bound_comes_out_alone(reader: Reader) -> None:
    """The bound never keeps back everything."""
    outlet = Outlet(reader.there, gap, most=10)
    outlet.put(LINE)
    assert reader.take_all(outlet) == [LINE]


def test_a_reader_that_is_gone_stops_nothing() -> None:
    """Where nobody can read any more, lines are lost and the end does not wait for them."""
    reader = Reader()
    os.close(reader.here)
    outlet = Outlet(reader.there, gap)
    for _ in range(100):
        outlet.put(LINE)
    assert outlet.flush(10)
    os.close(reader.there)


def test_the_bound_holds_while_a_slow_reader_takes_some(reader: Reader) -> None:
    """A reader that takes a part now and then does not let more wait than may."""
    most = 300_000
    outlet = Outlet(reader.there, gap, most=most)
    size = fcntl.fcntl(reader.there, fcntl.F_GETPIPE_SZ)
    for round_ in range(3):
        for number in range(6_000):
            outlet.put(f"{round_} {number:05} {LINE}")
        reader.take(4 * MOST_AT_ONCE)
    before = len(reader.read)
    reader.take_all(outlet)
    assert len(reader.read) - before <= most + size + MOST_AT_ONCE
    assert outlet.dropped > 6_000


def test_what_is_being_written_is_not_yet_written(reader: Reader) -> None:
    """The end of a process waits also for the line that the reader has no room for."""
    os.set_blocking(reader.there, False)
    with suppress(BlockingIOError):
        while os.write(reader.there, b"." * 4096):
            pass
    outlet = Outlet(reader.there, gap)
    outlet.put("last words")
    assert not outlet.flush(0.2)
    assert reader.take_all(outlet)[0].endswith("last words")
    assert outlet.flush(10)
