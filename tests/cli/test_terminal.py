"""What commands show on a terminal of 80 columns, with the situation that docs/terminal.md shows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from pictures import held
from terminal import COMMANDS, HEIGHT, WIDTH, environment, lasting, run


async def test_every_command_fits_into_80_columns(tmp_path: Path) -> None:
    """No line is wider, except those of an approval and a digest; and -o wide has what is left out."""
    async with held(tmp_path) as one:
        given = environment(one)
        shown = [await asyncio.to_thread(run, words, given) for words in COMMANDS]
        wide = await asyncio.to_thread(run, ("history", "-o", "wide", "--full-ids"), given)
        watched = await asyncio.to_thread(watch_for_a_while, given)
        shown += await lasting(tmp_path, given)
    assert [line for each in shown for line in each.too_wide] == []
    assert [each.words for each in shown if not each.lines] == []
    by_words = {each.words: "\n".join(each.lines) for each in shown}
    demo = by_words["demo", "--listen", "127.0.0.1:0"].splitlines()
    assert len(demo) <= HEIGHT
    assert "Try in a second terminal:" in demo
    status = by_words["status",]
    assert status.index("busan-hotel  held") < status.index("seoul-hotel  converging")
    assert "paused: account jeju-resort until " in status
    assert "LG maintains its platform tonight (by jun@desk)" in " ".join(status.split())
    assert wide.lines[0].split()[-2:] == ["message", "ids"]
    assert re.search(r"\b[0-9a-f]{64}\b", wide.lines[1])
    assert watched[0] == 130
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", watched[1])
    assert "busan-hotel" in watched[1]


def watch_for_a_while(given: dict[str, str]) -> tuple[int, str]:
    """Watch the status until its first text is there, interrupt it, and return how it ended and what it showed."""
    with subprocess.Popen(
        [sys.executable, "-m", "reconciler", "status", "--watch"],
        env={**given, "COLUMNS": str(WIDTH)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = "".join(process.stdout.readline() for _ in range(8))
        os.kill(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        return process.wait(30), first + rest
