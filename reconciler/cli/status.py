"""Commands that ask the running daemon: ``status``, ``explain``, ``reconcile``, ``pause``, ``resume``.

Owns: where the daemon is by the settings, and with which token it is spoken to.
Must not: know what it answers; ``api.client`` and ``reporting`` do.
"""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from reconciler.cli.completing import accounts, devices
from reconciler.cli.console import (
    in_colours,
    masking,
    messages_screen,
    movable,
    print_as,
    print_data,
    read_settings,
    say,
    say_error,
    screen,
)
from reconciler.cli.daemon_tokens import for_acting, for_reading
from reconciler.cli.forgotten import reminder
from reconciler.cli.options import Accounts, EnvFile, FullIds, Output, OutputOption, Watched
from reconciler.cli.watching import watch
from reconciler.core.errors import DaemonError, Unknown, quoted

if TYPE_CHECKING:
    from reconciler.api.client.consult import Consultation
    from reconciler.api.client.waiting import Watch
    from reconciler.reporting import StatusReport
    from reconciler.reporting.formats.screen import Screen
    from reconciler.reporting.queries import RefusedReport

OnlyAccount = Annotated[
    str | None,
    typer.Option(
        "--account", metavar="NAME", help="Only in this account.", autocompletion=accounts
    ),
]
OneAccount = Annotated[
    str | None, typer.Argument(metavar="ACCOUNT", hidden=True, autocompletion=accounts)
]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Address of the daemon; default from PCC_LISTEN."),
]


def status(
    account: Accounts = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="List the devices that LG refuses, with LG's message.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Wait until a revision is in force and every account is done with it."
        ),
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(
            metavar="REV",
            help="Wait for this commit (7 characters will do) or sha256:…; default the newest revision.",
        ),
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait.")] = "10m",
    everything: Annotated[
        bool, typer.Option("--all", help="List the accounts as wanted, too, however many.")
    ] = False,
    watched: Watched = False,
    full_ids: FullIds = False,
    output: OutputOption = Output.TEXT,
    server: Server = None,
    env_file: EnvFile = None,
) -> int:
    """Show the status of every account. Asks the running daemon; --wait is for CI after a merge.

    Exits 0 whatever it shows. With --wait: 0 in sync, 3 held by a guard, 4 refused or stopped by LG, 1 timed out or
    rejected.
    """
    awaited, seconds = _awaited(revision, timeout, account or [], wait=wait)
    asked = consultation(server, env_file, files_too=False)
    wide, every = output is Output.WIDE, everything or bool(account)

    def shown_now() -> str:
        now = _only(asked.status(), account or [], waited=False)
        return _status_text(now, screen(wide=wide, full_ids=full_ids), everything=every)

    if watched:
        if wait or refused:
            raise typer.BadParameter("goes without --wait and --refused", param_hint="--watch")
        watch(shown_now, output)
    code, report = _wait(asked, awaited, seconds) if wait else (0, asked.status())
    if report is not None:
        shown = _only(report, account or [], waited=wait)
        if code and shown.well and output is not Output.JSON:
            shown = replace(shown, summary="Not as it was awaited. All else is well.")
        room = screen(wide=wide, full_ids=full_ids)
        if refused:
            _print_refused(output, shown, asked.refused(shown), room)
        else:
            _print_status(output, shown, room, everything=every)
    return code


def explain(
    device: Annotated[str, typer.Argument(metavar="DEVICE", hidden=True, autocompletion=devices)],
    account: OnlyAccount = None,
    output: OutputOption = Output.TEXT,
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """Explain one device. Whether it is wanted and why, whether it is live, past changes, what comes next.

    DEVICE is an id, the first 8 or more characters of one, or its name in the desired state. Asks the running
    daemon, or without one the files and the state.
    """
    from reconciler.reporting.formats import colouring, explanations

    answer = consultation(server, env_file).explain(device, account)
    say_notes(answer.notes, env_file)
    print_as(
        output,
        text=lambda: in_colours(
            explanations.explanation_text(answer.report, answer.by, screen()),
            colouring.explanation_coloured,
        ),
        json=lambda: explanations.as_json(answer.report, answered_by=answer.by),
        markdown=lambda: explanations.explanation_markdown(answer.report, answer.by),
    )


def reconcile(account: OneAccount = None, server: Server = None, env_file: EnvFile = None) -> None:
    """Ask the running daemon for a pass now. Clears all retry waits and accepts the current credential.

    Without ACCOUNT it is for every account.
    """
    query = f"?{urlencode({'account': account})}" if account is not None else ""
    print_accounts(
        "a pass begins for", ask_daemon(server, env_file, f"/api/v1/reconcile{query}", {})
    )


def pause(
    span: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long, like 90m or 12h.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shown wherever the pause is.")],
    account: OneAccount = None,
    unsubscribes_only: Annotated[
        bool, typer.Option("--unsubscribes-only", help="Go on subscribing.")
    ] = False,
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """Pause the running daemon for a while. Needs no commit, survives restarts, ends automatically.

    Without ACCOUNT it is for every account.
    """
    body = {
        "for": span,
        "reason": reason,
        "pause": "unsubscribe" if unsubscribes_only else "all",
        "set_by": myself(),
    } | _one(account)
    print_accounts(f"paused for {span}:", ask_daemon(server, env_file, "/api/v1/pause", body))


def resume(account: OneAccount = None, server: Server = None, env_file: EnvFile = None) -> None:
    """End the pause that the command pause began. A pause in the file stays.

    Without ACCOUNT it is for every account.
    """
    body = {"pause": "none"} | _one(account)
    print_accounts(
        "no longer paused by command:", ask_daemon(server, env_file, "/api/v1/pause", body)
    )


def myself() -> str:
    """Return who gives a command, like ``mina@desk``; whoever asks why something is paused asks this person."""
    try:
        person = getpass.getuser()
    except (KeyError, OSError):
        person = str(os.getuid())
    return quoted(f"{person}@{socket.gethostname()}")


def _one(account: str | None) -> dict[str, str]:
    """Return what names an account in a body. Left out, it means every account."""
    return {} if account is None else {"account": account}


# ---------------------------------------------------------------------------------------------------------------------
# Speaking to the daemon


def ask_daemon(
    server: str | None,
    env_file: Path | None,
    path: str,
    body: dict[str, Any],
    seconds: float | None = None,
    largest: int | None = None,
) -> dict[str, Any]:
    """Send a body to the daemon that the settings, or the person, name, and return what it answers."""
    from reconciler.api.client.connection import LARGEST_ANSWER, TIMEOUT_SECONDS, ask

    chosen = read_settings(env_file)
    return ask(
        server or chosen.near,
        path,
        body,
        token=for_acting(chosen),
        seconds=seconds or TIMEOUT_SECONDS,
        largest=largest or LARGEST_ANSWER,
    )


def consultation(
    server: str | None, env_file: Path | None, *, files_too: bool = True
) -> Consultation:
    """Return whom to ask: the daemon, and unless a person named one, the files and the state where none answers."""
    from reconciler.api.client.connection import ask
    from reconciler.api.client.consult import Consultation
    from reconciler.runtime import offline
    from reconciler.runtime.clock import SystemClock

    chosen = read_settings(env_file)
    address = server or chosen.near
    get = partial(ask, address, token=for_reading(chosen, address))
    if server is not None or not files_too:
        return Consultation(address, get)
    return Consultation(address, get, partial(offline.at_hand, chosen, SystemClock()))


# ---------------------------------------------------------------------------------------------------------------------
# Checking, waiting, printing


def _awaited(
    revision: str | None, timeout: str, accounts: Sequence[str], *, wait: bool
) -> tuple[Watch, float]:
    """Return what is waited for and for how many seconds, or say what does not fit."""
    from reconciler.api.client.waiting import Watch, check_revision
    from reconciler.core import duration

    if revision is not None and not wait:
        raise typer.BadParameter("is for --wait", param_hint="--revision")
    try:
        awaited = check_revision(revision) if revision is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--revision") from error
    try:
        return Watch(awaited, accounts), duration.parse(timeout).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error


def say_notes(notes: Sequence[str], env_file: Path | None) -> None:
    """Say how an answer came about, and where no daemon gave it, that an env file may have been forgotten."""
    hint = reminder([]) if notes and env_file is None else ""
    say_error(*notes, *([hint] if hint else []))


def _wait(asked: Consultation, watch: Watch, seconds: float) -> tuple[int, StatusReport | None]:
    """Wait, with words on a terminal only, and say how it ended."""
    from reconciler.api.client import waiting
    from reconciler.reporting.formats.screen import cut

    shown = movable(sys.stderr)

    room = max(messages_screen().width - 1, 1)

    def follow(words: str) -> None:
        if shown:
            line = cut(masking.text(quoted(words)), room)
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()

    def fetch() -> StatusReport:
        return asked.status(watch.commit)

    verdict, report = waiting.wait(
        watch,
        fetch,
        seconds=seconds,
        steady=time.monotonic,
        sleep=time.sleep,
        follow=follow,
    )
    if shown:
        sys.stderr.write("\r\x1b[K")
    say(verdict.words)
    return verdict.code if verdict.code is not None else 1, report


def _only(report: StatusReport, accounts: Sequence[str], *, waited: bool) -> StatusReport:
    """Return what concerns these accounts; all of it where the verdict of a wait is that one is unknown."""
    from reconciler.api.client import consult

    try:
        return consult.only(report, accounts)
    except Unknown:
        if waited:
            return report
        raise


def _status_text(report: StatusReport, room: Screen, *, everything: bool) -> str:
    from reconciler.reporting.formats import colouring, statuses

    text = statuses.status_text(report, room, everything=everything)
    return in_colours(text, colouring.status_coloured)


def _print_status(output: Output, report: StatusReport, room: Screen, *, everything: bool) -> None:
    from reconciler.reporting.formats import explanations, statuses

    print_as(
        output,
        text=lambda: _status_text(report, room, everything=everything),
        json=lambda: explanations.as_json(report),
        markdown=lambda: statuses.status_markdown(report),
    )


def _print_refused(
    output: Output, report: StatusReport, refused: Sequence[RefusedReport], room: Screen
) -> None:
    from reconciler.reporting.formats import statuses

    print_as(
        output,
        text=lambda: statuses.refused_text(refused, report.at, room),
        json=lambda: statuses.refused_json(refused),
        markdown=lambda: statuses.refused_markdown(refused, report.at),
    )


def print_accounts(words: str, answer: dict[str, Any]) -> None:
    """Print the accounts that a command concerns."""
    accounts = answer.get("accounts")
    if not isinstance(accounts, list) or not all(isinstance(one, str) for one in accounts):
        raise DaemonError("what answers is not this daemon, or one of another version")
    print_data(f"{words} {', '.join(map(quoted, accounts)) or 'no account'}\n")
