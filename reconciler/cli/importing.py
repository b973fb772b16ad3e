"""``import``: a device file from what people have in a spreadsheet.

Must not: speak to LG or to a daemon, or write a file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import print_data, say
from reconciler.core.errors import Fault, Invalid, ReconcilerError
from reconciler.core.text import counted

if TYPE_CHECKING:
    from reconciler.desired.spreadsheet import Imported

STDIN = Path("-")
MOST_BYTES = 256 * 1024 * 1024
SHOWN = 50
"""This many faults are printed; the rest is a number."""


class UnreadableError(ReconcilerError):
    """The file cannot be read."""


def import_(
    file: Annotated[
        Path,
        typer.Option("--csv", metavar="FILE", help="The CSV file; - is what comes in on stdin."),
    ],
    id_column: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="The column of the device ids: its name in the head, or its number.",
        ),
    ],
    name_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column of the names: as for the ids."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The encoding of a file that is not UTF-8 and has no mark: cp949, cp1252, ...",
        ),
    ] = None,
    no_head: Annotated[
        bool, typer.Option("--no-head", help="The first row is a device, too.")
    ] = False,
) -> int:
    """Print a device file from a spreadsheet saved as CSV.

    It is sorted by id. If anything is wrong, every fault is reported with its row and column, and nothing is printed.
    """
    from reconciler.desired.spreadsheet import Columns, imported

    path = "stdin" if file == STDIN else str(file)
    found = imported(path, _content(file), Columns(id_column, name_column, not no_head), encoding)
    if found.faults:
        raise Invalid(_shown(found.faults))
    print_data(found.text, for_programs=True)
    say(_summary(path, found))
    return 0


def _content(file: Path) -> bytes:
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"{file} cannot be read: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise UnreadableError(f"{file} is larger than {MOST_BYTES // 1024**2} MB")
    return content


def _shown(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """Return the first faults, and the number of all if there are more."""
    if len(faults) <= SHOWN:
        return faults
    return (*faults[:SHOWN], Fault("", 0, 0, f"and {len(faults) - SHOWN} more faults"))


def _summary(path: str, found: Imported) -> str:
    skipped = f"; {counted(found.empty, 'row')} skipped: empty" if found.empty else ""
    unnamed = sum(not name for name in found.names.values())
    without = f", {unnamed} without a name" if 0 < unnamed < len(found.names) else ""
    how = f"{found.encoding}, separated by {found.separator}"
    return f"{path}: {counted(len(found.names), 'device')}{without} ({how}){skipped}"
