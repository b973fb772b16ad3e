"""How commands print, and the settings they are given.

Owns: the name of the program, the exit codes that are its own rather than a report's, the masking of everything that it
prints, and when colours and progress bars are wanted.
Must not: know a command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from reconciler.cli.options import Output
from reconciler.core.errors import Invalid, ReconcilerError
from reconciler.telemetry.masking import Masking

if TYPE_CHECKING:
    from reconciler.reporting.formats.screen import Screen
    from reconciler.runtime.accounts import Follower
    from reconciler.runtime.common_settings import CommonSettings
    from reconciler.runtime.settings import Settings

NAME = "pcc-reconciler"
USAGE = 64
ENDING_SECONDS = 2.0
"""How long the end of a command waits until what it logged is written."""
FAILED = {"run": "daemon.failed", "receive": "receive.failed"}
"""The commands that run until they are stopped, and the event under which each logs why it failed."""
INTERRUPTED = 130

masking = Masking()
"""The secrets of this process: everything that it prints goes through here."""


def any_setting() -> bool:
    """Say whether the environment holds anything that is meant for us, known or not."""
    return any(name.upper().startswith("PCC_") for name in os.environ)


def read_settings(env_file: Path | None, *, one_shot: bool = True) -> Settings:
    """Read the settings and set up logs."""
    from reconciler.runtime import settings

    masking.know(settings.suspects(os.environ, env_file))
    chosen = settings.load(os.environ, env_file)
    log_as(chosen, one_shot=one_shot)
    return chosen


def log_as(chosen: CommonSettings, *, one_shot: bool) -> None:
    """Set up logs as the settings say. A one-shot command logs only if they ask for it."""
    from reconciler.telemetry.logs import set_up_logs

    masking.know(chosen.secrets())
    quiet = one_shot and "log_level" not in chosen.model_fields_set
    set_up_logs(
        "critical" if quiet else chosen.log_level,
        chosen.log_format,
        masking=masking,
        colours=coloured(sys.stderr),
        queued=not one_shot,
    )


def speak_anywhere() -> None:
    """See to it that no character fails where it is printed: what an encoding lacks is shown by its number.

    A descriptor that was handed over closed leads to nowhere, so that no file of ours takes its number.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def end_log(seconds: float = ENDING_SECONDS) -> None:
    """Wait until queued log lines are written, but no longer than this."""
    if "reconciler.telemetry.logs" in sys.modules:
        from reconciler.telemetry.logs import flush

        flush(seconds)


def log_is_json(arguments: Sequence[str]) -> bool:
    """Say whether the daemon that was asked for logs in JSON, also where its settings cannot be read as a whole."""
    from reconciler.runtime import settings
    from reconciler.telemetry.logs import logs_json

    after = [*arguments, ""]
    files = [after[at + 1] for at, one in enumerate(arguments) if one == "--env-file"]
    files += [one.partition("=")[2] for one in arguments if one.startswith("--env-file=")]
    return logs_json(settings.log_format(os.environ, Path(files[-1]) if files else None))


def tell_in_log(event: str, error: Exception) -> None:
    """Log why the daemon or the receiver ends, where its other lines are. ``event`` says which of them."""
    import structlog

    from reconciler.telemetry.logs import set_up_logs

    if not structlog.is_configured():  # the settings that say how to log could not be read
        set_up_logs("error", "json", masking=masking, queued=True)
    log = structlog.get_logger()
    match error:
        case Invalid():
            log.error(
                event,
                error="the settings are not valid",
                faults=[str(one) for one in error.faults],
            )
        case ReconcilerError():
            log.error(event, error=str(error))
        case _:
            words = "this is a defect of the program: please report it with this line"
            log.error(event, error=words, exc_info=error)


def print_as(
    output: Output, *, text: Callable[[], str], json: Callable[[], str], markdown: Callable[[], str]
) -> None:
    """Print data in the form that was asked for."""
    forms = {Output.TEXT: text, Output.WIDE: text, Output.JSON: json, Output.MARKDOWN: markdown}
    print_data(forms[output](), for_programs=output in {Output.JSON, Output.MARKDOWN})


def screen(*, wide: bool = False, full_ids: bool = False) -> Screen:
    """Return the room that text on stdout has.

    It is that of the terminal, or what COLUMNS says. For a file or another program rows stay whole, with the columns
    that 80 have room for.
    """
    return room_on(sys.stdout, wide=wide, full_ids=full_ids)


def messages_screen() -> Screen:
    """Return the room that messages on stderr have: that of the terminal. Elsewhere each is one line, to be found."""
    from reconciler.reporting.formats.screen import Screen

    if sys.stderr is None or not sys.stderr.isatty():
        return Screen()
    return room_on(sys.stderr)


def room_on(stream: TextIO | None, *, wide: bool = False, full_ids: bool = False) -> Screen:
    """Return the room that text on this stream has."""
    from reconciler.reporting.formats.screen import WIDTH, Screen

    width, known = _columns_set(), True
    if width == 0 and stream is not None and stream.isatty():
        width = _columns_of(stream) or WIDTH
    elif width == 0:
        width, known = WIDTH, False
    return Screen(width, folds=known and not wide, wide=wide, full_ids=full_ids)


def _columns_set() -> int:
    """Return the width that COLUMNS sets; 0 where it sets none."""
    value = os.environ.get("COLUMNS", "").strip()[:6]
    return int(value) if value.isascii() and value.isdecimal() else 0


def _columns_of(stream: TextIO) -> int:
    """Return how wide a terminal is; 0 where it does not know."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def print_data(text: str, *, for_programs: bool = False) -> None:
    """Print data. A reader that has seen enough, such as ``head``, is no error.

    ``for_programs``: it goes to a file or another program, so it is UTF-8 whatever the terminal's encoding is.
    """
    if sys.stdout is None:
        raise ReconcilerError("cannot print: stdout is closed")
    if for_programs and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        sys.stdout.write(masking.text(text))
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer must not be tried again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ReconcilerError(f"cannot print: {error.strerror}") from error


def say(*lines: str, colouring: Callable[[str], str] | None = None) -> None:
    """Print messages for people, each folded at the width of the terminal.

    ``colouring`` colours the first line of a message where colours are wanted.
    """
    room = messages_screen()
    for line in lines:
        for message in masking.text(line).split("\n"):
            first, *more = room.lines(harmless(message), indent=2)
            say_laid_out(first, colouring=colouring)
            say_laid_out(*more)


def say_laid_out(*lines: str, colouring: Callable[[str], str] | None = None) -> None:
    """Print lines for people that are to stay as they are: a table, a line of a file with its caret."""
    paint = colouring if colouring is not None and coloured(sys.stderr) else str
    for line in lines:
        sys.stderr.write(paint(harmless(masking.text(line))) + "\n")
    sys.stderr.flush()


def harmless(line: str) -> str:
    """Return a line without what could steer a terminal: messages quote names from outside."""
    return "".join(one if one.isprintable() else " " for one in line)


def say_error(*lines: str) -> None:
    """Print messages about an error, or a hint, in colours where they are wanted."""
    from reconciler.reporting.formats.colouring import error_coloured

    say(*lines, colouring=error_coloured)


def movable(stream: TextIO) -> bool:
    """Say whether lines that were printed can be overwritten: on a terminal that can."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    """Say whether colours are wanted: on a terminal that has them, or where somebody insists, unless somebody objects.

    ``NO_COLOR`` objects, as does ``CLICOLOR=0``. ``FORCE_COLOR`` and ``CLICOLOR_FORCE`` insist, as for the log of a CI
    job; 0 counts as not set.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "0") not in _OFF for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return movable(stream) and os.environ.get("CLICOLOR") != "0"


_OFF = frozenset({"", "0", "false"})


def in_colours(text: str, colouring: Callable[[str], str]) -> str:
    """Return text for stdout with its colours, or without where they are not wanted there."""
    return colouring(text) if sys.stdout is not None and coloured(sys.stdout) else text


@contextmanager
def progress() -> Iterator[Follower]:
    """Give progress bars on a terminal, and somebody who looks away elsewhere."""
    from reconciler.runtime.accounts import Follower

    if not movable(sys.stderr):
        yield Follower()
        return
    from reconciler.cli.progress import Bars

    with Bars() as bars:
        yield bars
