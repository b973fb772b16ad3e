"""The command line: parse, call, print, exit code.

Owns: the commands, what they print where, and their exit codes. Messages for people go to stderr, data to stdout.
Must not: hold a rule about devices, desired states or LG.

Exit codes: 0 done · 1 error · 2 changes pending (``plan --detailed-exitcode``, ``resolve --check``) · 3 held by a guard
· 4 some changes failed or were refused · 64 wrong usage · 130 ended by Ctrl-C.

This module has the table of commands and turns errors into exit codes. The commands are in modules by what they ask:
``validate`` asks nobody, ``plan`` and ``run`` ask LG, ``status`` asks the running daemon, ``simulate`` starts the
simulator. ``console`` prints for all of them, ``options`` has the options that several commands share.

A command imports what it needs when it runs: help and completion answer at once, ``validate`` in a pull request loads
no HTTP library. So these modules are light to import, and must stay so.
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated

import typer
from typer.exceptions import TyperException

from reconciler import __version__
from reconciler.cli import (
    devices,
    events,
    importing,
    plan,
    resolve,
    simulate,
    status,
    validate,
    windows,
)
from reconciler.cli import history as past
from reconciler.cli import run as fleet
from reconciler.cli.console import (
    FAILED,
    INTERRUPTED,
    NAME,
    USAGE,
    end_log,
    log_is_json,
    masking,
    print_data,
    say,
    say_error,
    say_laid_out,
    speak_anywhere,
    tell_in_log,
)
from reconciler.cli.forgotten import reminder
from reconciler.cli.options import Command
from reconciler.core.errors import Invalid, ReconcilerError

__all__ = ["INTERRUPTED", "NAME", "USAGE", "app", "masking", "run"]

SHELLS = ("bash", "zsh", "fish")

app = typer.Typer(
    name=NAME,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)

COMMANDS: Mapping[str, tuple[Callable[..., int | None], str]] = {
    "run": (fleet.run, "--env-file production.env"),
    "validate": (validate.validate, "desired-state.toml --output github"),
    "schema": (validate.schema, "> desired-state.schema.json"),
    "plan": (plan.plan, "--account seoul-hotel --output markdown"),
    "resolve": (resolve.resolve, "--account seoul-hotel --check"),
    "apply": (fleet.apply, "--account seoul-hotel --expect sha256:9f86d0…"),
    "import": (
        importing.import_,
        "--csv assets.csv --id-column 'Device ID' --name-column Room > devices/hotel.txt",
    ),
    "export": (fleet.export, "> desired-state.toml"),
    "status": (status.status, "--wait --revision 4f2a91c --timeout 10m"),
    "explain": (status.explain, '"Room 1203 fridge"'),
    "devices": (devices.devices, "--account seoul-hotel --state held,missing"),
    "history": (past.history, "--account seoul-hotel --since 7d"),
    "reconcile": (status.reconcile, "seoul-hotel"),
    "pause": (status.pause, 'seoul-hotel --for 2h --reason "LG is being maintained"'),
    "resume": (status.resume, "seoul-hotel"),
    "open": (windows.open_window, 'office-hours --for 1h --reason "the broken oven of room 12"'),
    "close": (windows.close_window, "office-hours"),
    "migrate-state": (fleet.migrate_state, "--env-file production.env"),
    "doctor": (fleet.doctor, "--account seoul-hotel"),
    "receive": (events.receive, "--env-file receiver.env"),
    "simulate": (simulate.simulate, "--devices 300 --quota 300"),
    "demo": (simulate.demo, "--devices 300"),
}
"""Each command, in the order of the help, and the example that its help shows."""

EVENT_COMMANDS: Mapping[str, tuple[Callable[..., int | None], str]] = {
    "list": (events.list_events, "--sink crm --state dead --since 2h"),
    "show": (events.show, "yrs0CAFk3Ygz6mm03ASnRS"),
    "unknown": (events.unknown, "> unknown.csv"),
    "replay": (events.replay, "--sink crm --since 2h --dry-run"),
    "erase": (events.erase, "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"),
}
"""Each command under ``events``, in the order of its help, and the example that its help shows."""

events_app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["--help", "-h"]}
)

for _app, _commands, _before in ((app, COMMANDS, ""), (events_app, EVENT_COMMANDS, "events ")):
    for _name, (_command, _example) in _commands.items():
        _epilog = f"Example: {NAME} {_before}{_name} {_example}"
        _app.command(_name, cls=Command, epilog=_epilog)(_command)

app.add_typer(
    events_app,
    name="events",
    help="Look at the events that were kept. Deliver them again, or erase them.",
    epilog=f"Example: {NAME} events list --since 1d",
)


@app.callback(
    invoke_without_command=True,
    epilog=f"Example: {NAME} demo. Settings are PCC_* variables of the environment; {NAME} COMMAND --help says more.",
)
def top(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep the list of devices subscribed to LG's PCC equal to a TOML file tracked in Git."""
    if version:
        print_data(f"{NAME} {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say_laid_out(*context.get_help().splitlines())
        raise typer.Exit(USAGE)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    speak_anywhere()
    try:
        match arguments:
            case ["--show-completion", shell]:
                return _show_completion(shell)
        code = app(args=list(arguments), prog_name=NAME, standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the last line of defence, never with a secret in it
        event = _last_event(arguments)
        if event is None or isinstance(error, typer.Abort) or not log_is_json(arguments):
            failed = _report_error(error)
            if failed == 1:
                _remind(arguments)
            return failed
        if isinstance(error, TyperException):
            tell_in_log(event, ReconcilerError(error.format_message()))
            return USAGE
        tell_in_log(event, error)
        return 1
    finally:
        end_log()
    if code == INTERRUPTED:
        say(f"{NAME}: interrupted")
    if code == 1:
        _remind(arguments)
    return code if isinstance(code, int) else 0


def _remind(arguments: Sequence[str]) -> None:
    """Remind of the env file where a command failed that takes one, and that perhaps lacked it."""
    takes_none = ("validate", "schema", "import", "simulate", "demo", "events", "receive")
    words = reminder(arguments) if arguments and arguments[0] not in takes_none else ""
    if words:
        say_error(words)


def _last_event(arguments: Sequence[str]) -> str | None:
    """Return the event under which a process that runs until it is stopped logs why it failed; None for commands."""
    if not arguments or any(word.startswith("--check") for word in arguments):
        return None
    return FAILED.get(arguments[0])


def _report_error(error: Exception) -> int:
    """Say what went wrong and return the exit code for it."""
    match error:
        case TyperException():
            return _misused(error)
        case typer.Abort():
            return INTERRUPTED
        case Invalid():
            say_error(*map(str, error.faults))
        case ReconcilerError():
            say_error(f"{NAME}: {error}")
        case OSError(errno=errno.ENOSPC | errno.EPIPE | errno.EIO):
            say_error(f"{NAME}: cannot print: {error.strerror}")
        case _:
            say_error(
                f"{NAME}: this is a defect of the program. Please report it with these lines:"
            )
            sys.stderr.write(masking.text("".join(traceback.format_exception(error))))
    return 1


def _misused(error: TyperException) -> int:
    """Say what is wrong with the arguments, and where to read how they should be."""
    if len(likely := getattr(error, "possibilities", None) or ()) > 1:
        # one suggestion helps, and a list of remote ones does not
        error.possibilities = get_close_matches(error.option_name, likely, n=1)  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else NAME
    say_error(
        f"{command}: {error.format_message().replace('Value error, ', '')}",
        f"Try '{command} --help'.",
    )
    return USAGE


def _show_completion(shell: str) -> int:
    """Print the completion script of the shell that was named; without a name typer finds out which one it is in."""
    from typer.completion import shell_complete

    if shell not in SHELLS:
        raise typer.BadParameter(
            f"has to be one of {', '.join(SHELLS)}", param_hint="--show-completion"
        )
    variable = f"_{NAME.replace('-', '_').upper()}_COMPLETE"
    return shell_complete(typer.main.get_command(app), {}, NAME, variable, f"source_{shell}")
