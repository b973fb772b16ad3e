"""The options that several commands take, each worded once.

Must not: hold what only the commands of one module take.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Output(StrEnum):
    """How data is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


EnvFile = Annotated[
    Path | None, typer.Option("--env-file", metavar="FILE", help="Read PCC_* settings from this file too.")
]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", metavar="NAME", help="Only this account; may be repeated.")
]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", metavar="FORMAT", help="How to print it: text, json or markdown.")
]
