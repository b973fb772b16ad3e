"""Reading a million ids: from a device file, and from an array in the text itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import rtoml

from benchmarks import Row, alternating, at_most, compared
from benchmarks._fleet import ids, write_device_file, write_inline
from reconciler.desired import load
from reconciler.source.files import FileSource

TEXT = "desired-state.toml"


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure the loader with all its checks and the digest, beside what the bytes cost without any."""
    count, pairs = (100_000, 5) if quick else (1_000_000, 9)
    with tempfile.TemporaryDirectory() as folder:
        listed, inline = Path(folder) / "listed", Path(folder) / "inline"
        write_device_file(listed, ids(count))
        write_inline(inline, ids(count))
        ours = partial(_seconds, partial(_load, listed))
        split = partial(_seconds, partial(_split, listed / "devices.txt"))
        yield compared(
            f"device file of {count:,} ids", alternating(ours, split, pairs), "s",
            "reading and splitting the file", None if quick else at_most(1.5),
        )  # fmt: skip
        as_set = partial(_seconds, partial(_set, listed / "devices.txt"))
        yield compared(
            f"device file of {count:,} ids", alternating(ours, as_set, pairs), "s",
            "reading and splitting it, and a set of the lines", at_most(1.5),
        )  # fmt: skip
        ours = partial(_seconds, partial(_load, inline))
        parse = partial(_seconds, partial(_parse, inline / TEXT))
        yield compared(
            f"array of {count:,} ids",
            alternating(ours, parse, pairs),
            "s",
            "the TOML reader alone",
            at_most(1.3),
        )
        parse_to_set = partial(_seconds, partial(_parsed_set, inline / TEXT))
        yield compared(
            f"array of {count:,} ids", alternating(ours, parse_to_set, pairs), "s",
            "the TOML reader, and a set of what it gave", at_most(1.3),
        )  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    given = work()
    took = time.perf_counter() - began
    del given  # a million texts are let go of outside of what is measured
    return took


def _load(folder: Path) -> object:
    fetched = FileSource(folder / TEXT).fetch()
    loaded = load(fetched.documents, fetched.tree)
    assert not loaded.faults
    return loaded


def _split(path: Path) -> object:
    return path.read_text(encoding="utf-8").split("\n")


def _set(path: Path) -> object:
    return frozenset(path.read_text(encoding="utf-8").split("\n"))


def _parsed_set(path: Path) -> object:
    table = rtoml.loads(path.read_text(encoding="utf-8"))
    return table, frozenset(table["devices"])


def _parse(path: Path) -> object:
    return rtoml.loads(path.read_text(encoding="utf-8"))
