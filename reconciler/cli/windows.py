"""Commands that open a change window of the running daemon, and close it again: ``open`` and ``close``.

Must not: know what a window holds; the daemon does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from reconciler.cli.options import EnvFile
from reconciler.cli.status import Server, ask_daemon, myself, print_accounts
from reconciler.core.errors import DaemonError
from reconciler.core.text import stamp_words

Window = Annotated[str, typer.Argument(metavar="NAME", hidden=True)]


def open_window(
    name: Window,
    span: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long, like 90m or 12h.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shown wherever the window is.")],
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """Open an allow window of the running daemon for a while. Needs no commit, survives restarts, ends automatically.

    NAME is the name of the window. It is open as it is defined now: an edit ends this. A deny window cannot be opened.
    """
    body = {"window": name, "for": span, "reason": reason, "set_by": myself()}
    answer = ask_daemon(server, env_file, "/api/v1/open", body)
    print_accounts(f"{name} is open until {_until(answer)}:", answer)


def close_window(name: Window, server: Server = None, env_file: EnvFile = None) -> None:
    """End what the command open began. The window NAME goes on by its own times."""
    answer = ask_daemon(server, env_file, "/api/v1/close", {"window": name})
    print_accounts(f"{name} is no longer open by command:", answer)


def _until(answer: Mapping[str, Any]) -> str:
    """Return when the window closes, as the daemon says."""
    try:
        return stamp_words(datetime.fromisoformat(answer["until"]))
    except (KeyError, TypeError, ValueError):
        raise DaemonError("what answers is not this daemon, or one of another version") from None
