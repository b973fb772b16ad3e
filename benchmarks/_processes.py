"""What benchmarks need of processes: LG's platform in one of its own, our program in another, and what they took.

Owns: starting and ending them, and reading what the kernel knows of them (Linux only).
Must not: know what is measured.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from reconciler.simulator import Platform, create_app, serving

PROCESSES = multiprocessing.get_context("spawn")
"""Processes that begin from nothing: what one of them took is all its own."""
Arguments = ParamSpec("Arguments")
Given = TypeVar("Given")


class Took(NamedTuple):
    """What a function gave in a process of its own, the CPU seconds of that process, and its memory at most."""

    given: Any
    processor_seconds: float
    peak_bytes: int


def apart(
    work: Callable[Arguments, Given], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Took:
    """Run a function of a module in a fresh process, and return what it gave and took. Imports count."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_run, args=(theirs, work, arguments, named))
    process.start()
    theirs.close()
    try:
        return Took(*ours.recv())
    except EOFError:
        raise RuntimeError(f"{work.__name__} ended without an answer") from None
    finally:
        process.join()


def _run(
    told: Connection, work: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    given = work(*arguments, **named)
    told.send((given, processor_seconds(os.getpid()), peak_bytes(os.getpid())))


@contextmanager
def served(make: Callable[[], Platform]) -> Iterator[str]:
    """Give the address of LG's platform, simulated in a process of its own; ``make`` is a function of a module."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_serve, args=(theirs, make), daemon=True)
    process.start()
    try:
        yield str(ours.recv())
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, make: Callable[[], Platform]) -> None:
    async def serve() -> None:
        async with serving(create_app(make())) as base_url:
            told.send(base_url)
            await asyncio.Event().wait()

    asyncio.run(serve())


def processor_seconds(pid: int) -> float:
    """Return the CPU time that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process held so far."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the most memory that a process held count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")


def held_bytes(pid: int) -> int:
    """Return the memory that a process holds now."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) * 1024
