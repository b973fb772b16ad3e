"""Processes on a machine whose wall clock is wrong or set while they run: libfaketime, with steady time left alone."""

from __future__ import annotations

from pathlib import Path


def library() -> str:
    """Return where libfaketime is."""
    (found, *_) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return str(found)


def since_start(offset: str) -> dict[str, str]:
    """Return the environment of a process whose clock is wrong by an offset such as ``-9h``, for its whole life."""
    return {"LD_PRELOAD": library(), "FAKETIME": offset, **_STEADY}


def by_file(file: Path) -> dict[str, str]:
    """Return the environment of a process whose clock is wrong by the offset that a file holds at that moment."""
    return {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        **_STEADY,
    }


_STEADY = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
