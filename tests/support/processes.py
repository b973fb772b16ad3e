"""Our own program as a process: started, read, waited for, and ended at the end of a test."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from scenarios import DEADLINE_SECONDS, child_environment


@asynccontextmanager
async def process(given: Mapping[str, str], *command: str) -> AsyncIterator[Process]:
    """Give a running command of ours, and end it at the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reconciler",
        *command,
        env=child_environment(given),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def exit_of(child: Process) -> tuple[int, str]:
    """Wait for the end of a command; return its exit code and what it said on standard error."""
    async with asyncio.timeout(DEADLINE_SECONDS * 2):
        _, said = await child.communicate()
    assert child.returncode is not None
    return child.returncode, said.decode()


async def welcome(child: Process) -> dict[str, str]:
    """Return what the first five lines say, each by its first words, and the last one, which is a call to make."""
    assert child.stdout is not None
    lines: list[str] = []
    while not lines or "curl -s" not in lines[-1]:
        line = (await asyncio.wait_for(child.stdout.readline(), DEADLINE_SECONDS)).decode()
        assert line, "the demonstration ended"
        lines.append(line)
    found = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines[:5])
    return found | {"curl": lines[-1]}
