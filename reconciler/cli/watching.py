"""``--watch``: the same text again and again, until Ctrl-C.

Owns: how it is drawn anew on a terminal, and that it is appended with a time elsewhere. Must not: know what is shown.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import NoReturn, TextIO

import typer

from reconciler.cli.console import masking, movable, print_data, screen
from reconciler.cli.options import Output
from reconciler.core.errors import ReconcilerError, quoted
from reconciler.core.text import stamp_words

SECONDS = 2.0
"""How long a text stays until it is made anew."""
ROWS = 24
"""Rows of a terminal that does not say how many it has."""
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
"""What was on the terminal before is kept and comes back."""
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
CUT_LINES, WRAP_LINES = "\x1b[?7l", "\x1b[?7h"
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
TOGETHER, SHOW = "\x1b[?2026h", "\x1b[?2026l"
"""What is drawn between these is shown at once, by a terminal that knows them; others pass over them."""


def watch(make: Callable[[], str], output: Output) -> NoReturn:
    """Show what ``make`` returns until the process is interrupted. A daemon that does not answer is asked again."""
    if output not in {Output.TEXT, Output.WIDE}:
        raise typer.BadParameter("goes with --output text or wide", param_hint="--watch")
    if movable(sys.stdout):
        _redraw(make, sys.stdout)
    last = ""
    while True:
        moment, text = _made(make)
        if text != last:
            print_data(f"{moment}\n{text}\n")
            last = text
        time.sleep(SECONDS)


def _made(make: Callable[[], str]) -> tuple[str, str]:
    """Return when a text was made, and the text, or why there is none."""
    try:
        text = make()
    except ReconcilerError as error:
        text = "\n".join(screen().lines(quoted(str(error)))) + "\n"
    return stamp_words(datetime.now(UTC)), text


def _redraw(make: Callable[[], str], terminal: TextIO) -> NoReturn:
    """Draw each text over the one before. What was drawn last stays on the terminal."""
    lines: list[str] = []
    try:
        with _other_screen(terminal):
            while True:
                moment, text = _made(make)
                lines = _fitting(f"{moment}  Ctrl-C ends this.\n\n{text}", terminal)
                _draw(lines, terminal)
                time.sleep(SECONDS)
    finally:
        print_data("".join(f"{line}\n" for line in lines))


@contextmanager
def _other_screen(terminal: TextIO) -> Iterator[None]:
    """Draw on a screen of its own, and give back the terminal as it was, also where the process is ended."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        terminal.write(OTHER_SCREEN + HIDE_CURSOR + CUT_LINES)
        yield
    finally:
        terminal.write(WRAP_LINES + SHOW_CURSOR + FIRST_SCREEN)
        terminal.flush()
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _fitting(text: str, terminal: TextIO) -> list[str]:
    """Return the lines that have room on a terminal; the others are counted."""
    rows = _rows(terminal)
    lines = masking.text(text).splitlines()
    if len(lines) > rows:
        lines = [*lines[: rows - 1], f"… and {len(lines) - rows + 1} more lines"]
    return lines


def _draw(lines: list[str], terminal: TextIO) -> None:
    """Draw in one go over what was drawn before. A line is cleared first: its end may be the last column."""
    drawn = "\r\n".join(f"{CLEAR_LINE}{line}" for line in lines)
    terminal.write(f"{TOGETHER}{HOME}{drawn}\r\n{CLEAR_BELOW}{SHOW}")
    terminal.flush()


def _rows(terminal: TextIO) -> int:
    """Return how many lines are drawn: the last row stays empty, for the cursor."""
    try:
        rows = os.get_terminal_size(terminal.fileno()).lines or ROWS
    except (OSError, ValueError):
        rows = ROWS
    return max(rows - 1, 2)
