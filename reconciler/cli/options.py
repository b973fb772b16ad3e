"""The options that several commands take, each worded once.

Owns as well: that no word on a command line is empty. An empty word comes from a variable that is not set, and as a
filter it would mean everything.
Must not: hold what only the commands of one module take.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from reconciler.cli.completing import accounts

if TYPE_CHECKING:
    from typer._click.core import Context


FILES = frozenset({"FILE", "PATH"})
"""The metavars of file names, which may be any bytes."""


ID = "ID"
"""The metavar of ids of events."""
LIKE_AN_OPTION = re.compile(r"-(?!-[a-z-]+$)[A-Za-z0-9_-]{11,21}")
"""An id that begins with a hyphen, as it is printed. A long option, also a misspelt one, has small letters only."""


class Command(TyperCommand):
    """A command that refuses words which are empty or white space, and knows an id that begins with a hyphen."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the words after the command; an empty one is wrong usage."""
        parameters = self.get_params(ctx)
        if any(one.metavar == ID and one.param_type_name == "argument" for one in parameters):
            args = _ids_last(args)
        if not ctx.resilient_parsing:
            self._insist_on_words(ctx, args)
        return super().parse_args(ctx, args)

    def _insist_on_words(self, ctx: Context, args: list[str]) -> None:
        given, _rest, _order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in self.get_params(ctx):
            words = _words(given.get(parameter.name or ""))
            name = next(
                (one for one in parameter.opts if one.startswith("--")),
                parameter.metavar or "argument",
            )
            if any(not word.strip() for word in words):
                raise typer.BadParameter(
                    "is empty; is a variable not set?", ctx=ctx, param_hint=name
                )
            if parameter.metavar not in FILES and any(map(_is_no_text, words)):
                raise typer.BadParameter(
                    "is not text in this locale; set LC_ALL=C.UTF-8", ctx=ctx, param_hint=name
                )


def _ids_last(args: list[str]) -> list[str]:
    """Return the words with ids that look like options behind ``--``, which ends the options."""
    ids = [word for word in args if LIKE_AN_OPTION.fullmatch(word)]
    if not ids or "--" in args:
        return args
    return [*(word for word in args if word not in ids), "--", *ids]


def _words(value: Any) -> list[str]:
    """Return what was given for one parameter: one word, several, or none."""
    words = value if isinstance(value, list | tuple) else [value]
    return [word for word in words if isinstance(word, str)]


def _is_no_text(word: str) -> bool:
    """Say whether a word came as bytes that the locale has no characters for."""
    return any("\ud800" <= character <= "\udfff" for character in word)


class Output(StrEnum):
    """How data is printed."""

    TEXT = "text"
    WIDE = "wide"
    JSON = "json"
    MARKDOWN = "markdown"


EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="FILE", help="Read PCC_* settings from this file too."),
]
Accounts = Annotated[
    list[str] | None,
    typer.Option(
        "--account",
        metavar="NAME",
        help="Only this account; may be repeated.",
        autocompletion=accounts,
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "--output",
        "-o",
        metavar="FORMAT",
        help="How to print it: text, wide (every column), json or markdown.",
    ),
]
FullIds = Annotated[
    bool, typer.Option("--full-ids", help="Do not shorten the ids of devices in text.")
]
Longest = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=2_000,
        max=1_000_000,
        help="Longest Markdown, in characters; default 32000, so that two fit into one comment.",
    ),
]
"""The limits are those of ``formats.comment``, which takes too long to load for a command's help."""
Watched = Annotated[
    bool, typer.Option("--watch", help="Show it anew every two seconds until Ctrl-C.")
]
