"""``--watch``: the same text again and again, until Ctrl-C.

Owns: how it is drawn anew on a terminal, and that it is appended with a time elsewhere. Must not: know what is shown.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

import typer

from reconciler.cli.console import masking, movable, print_data, screen
from reconciler.cli.options import Output
from reconciler.core.errors import ReconcilerError, quoted
from reconciler.core.text import stamp_words

SECONDS = 2.0
"""How long a text stays until it is made anew."""
HOME_AND_CLEAR, CLEAR_LINE, CLEAR_BELOW = "\x1b[H\x1b[2J", "\x1b[K", "\x1b[J"
HOME = "\x1b[H"


def watch(make: Callable[[], str], output: Output) -> NoReturn:
    """Show what ``make`` returns until the process is interrupted. A daemon that does not answer is asked again."""
    if output not in {Output.TEXT, Output.WIDE}:
        raise typer.BadParameter("goes with --output text or wide", param_hint="--watch")
    in_place = movable(sys.stdout)
    if in_place:
        sys.stdout.write(HOME_AND_CLEAR)
    last = ""
    while True:
        try:
            text = make()
        except ReconcilerError as error:
            text = "\n".join(screen().lines(quoted(str(error)))) + "\n"
        moment = stamp_words(datetime.now(UTC))
        if in_place:
            _draw(f"{moment}  Ctrl-C ends this.\n\n{text}")
        elif text != last:
            print_data(f"{moment}\n{text}\n")
            last = text
        time.sleep(SECONDS)


def _draw(text: str) -> None:
    """Draw over what was drawn before; what has no room below is counted."""
    rows = shutil.get_terminal_size().lines - 1
    lines = masking.text(text).splitlines()
    if len(lines) > rows:
        lines = [*lines[: rows - 1], f"… and {len(lines) - rows + 1} more lines"]
    sys.stdout.write(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW)
    sys.stdout.flush()
