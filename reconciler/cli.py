"""The command line: parse, call, print, exit code.

Owns: the commands, what they print where, and their exit codes. Messages for people go to stderr, data to stdout.
Must not: hold a rule about devices, texts or LG.

Exit codes: 0 done · 1 error · 2 changes pending (``plan --detailed-exitcode`` only) · 3 held by a guard · 4 some
changes failed or were refused · 64 wrong usage · 130 ended by Ctrl-C.

A command imports what it needs when it runs: help and completion answer at once, ``validate`` in a pull request loads
no HTTP library. So this module is light to import, and must stay so.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO
from urllib.parse import urlencode

import typer
from typer.exceptions import TyperException

from reconciler import __version__
from reconciler.errors import Fault, Invalid, ReconcilerError
from reconciler.masking import Masking
from reconciler.model import Desired, Digest

if TYPE_CHECKING:
    from reconciler.desired import Loaded
    from reconciler.oneshot import Follower
    from reconciler.report import PlanReport
    from reconciler.settings import Settings

NAME = "pcc-reconciler"
PENDING = 2
USAGE = 64
INTERRUPTED = 130
SHELLS = ("bash", "zsh", "fish")
HIGHEST_PORT = 65535

masking = Masking()
"""The secrets of this process: whatever it prints goes through here."""

app = typer.Typer(
    name=NAME,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


class Output(StrEnum):
    """How data is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class Findings(StrEnum):
    """How faults are printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


EnvFile = Annotated[
    Path | None, typer.Option("--env-file", metavar="FILE", help="Read PCC_* settings from this file too.")
]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", metavar="NAME", help="Only this account; may be repeated.")
]
OneAccount = Annotated[str | None, typer.Argument(metavar="ACCOUNT", hidden=True)]
Server = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="Where the daemon is; default the address of PCC_LISTEN.")
]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", metavar="FORMAT", help="How to print it: text, json or markdown.")
]


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        match arguments:
            case ["--show-completion", shell]:
                return _show_completion(shell)
        code = app(args=list(arguments), prog_name=NAME, standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the last line of defence: told in full, but never with a secret in it
        return _told(error)
    if code == INTERRUPTED:
        _say(f"{NAME}: interrupted")
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> int:
    """Say what went wrong and return the exit code for it."""
    match error:
        case TyperException():
            return _misused(error)
        case typer.Abort():
            return INTERRUPTED
        case Invalid():
            _say(*map(str, error.faults))
        case ReconcilerError():
            _say(f"{NAME}: {error}")
        case _:
            _say(f"{NAME}: this is a defect of the program. Please report it with these lines:")
            sys.stderr.write(masking.text("".join(traceback.format_exception(error))))
    return 1


def _misused(error: TyperException) -> int:
    """Say what is wrong with the arguments, and where to read how they should be."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else NAME
    _say(f"{command}: {error.format_message().replace('Value error, ', '')}", f"Try '{command} --help'.")
    return USAGE


def _show_completion(shell: str) -> int:
    """Print the completion script of the shell that was named; without a name typer finds out which one it is in."""
    from typer.completion import shell_complete

    if shell not in SHELLS:
        raise typer.BadParameter(f"has to be one of {', '.join(SHELLS)}", param_hint="--show-completion")
    variable = f"_{NAME.replace('-', '_').upper()}_COMPLETE"
    return shell_complete(typer.main.get_command(app), {}, NAME, variable, f"source_{shell}")


def _address(text: str) -> str:
    """Return an address and a port, or say that it is none."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise typer.BadParameter("has to be an address and a port, like 127.0.0.1:8080")
    return text


@app.callback(
    invoke_without_command=True,
    epilog=f"Example: {NAME} demo. Settings are PCC_* variables of the environment; {NAME} COMMAND --help says more.",
)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Keep the list of devices subscribed to LG's PCC equal to a TOML file tracked in Git."""
    if version:
        _print(f"{NAME} {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _say(context.get_help())
        raise typer.Exit(USAGE)


@app.command("run", epilog=f"Example: {NAME} run --env-file production.env")
def run_daemon(env_file: EnvFile = None) -> None:
    """Run the daemon. It keeps the live lists equal to the file until SIGTERM or Ctrl-C."""
    from reconciler.daemon import Daemon
    from reconciler.signals import signals

    chosen = _settings(env_file)

    async def work() -> None:
        daemon = Daemon(chosen, masking=masking)
        with signals(daemon.stop):
            await daemon.run()

    asyncio.run(work())


@app.command(epilog=f"Example: {NAME} validate desired-state.toml --output github")
def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", hidden=True),  # told above the options, without a type that nobody asked for
    ] = None,
    output: Annotated[
        Findings,
        typer.Option("--output", "-o", metavar="FORMAT", help="How to print faults: text, json, markdown or github."),
    ] = Findings.TEXT,
    env_file: EnvFile = None,
) -> int:
    """Check desired-state files offline. Tells every fault at once, each with its place.

    PATH is a file or a folder. Each is a desired state of its own; without any it is that of PCC_DESIRED_STATE.
    """
    chosen = _settings(env_file, one_shot=True)
    faults: list[Fault] = []
    warnings: list[Fault] = []
    accounts: list[Desired] = []
    for path in dict.fromkeys(paths or [chosen.desired_state]):
        loaded = _load(path, chosen.environment)
        if isinstance(loaded, Fault):
            faults.append(loaded)
            continue
        wrong = loaded.wrong_environment
        faults += [*loaded.faults, *([wrong] if wrong is not None else [])]
        warnings += loaded.warnings
        accounts += loaded.accounts.values()
    _print_findings(output, faults, warnings, accounts)
    return 1 if faults else 0


@app.command(epilog=f"Example: {NAME} schema > desired-state.schema.json")
def schema() -> None:
    """Print the JSON Schema of the desired-state file."""
    from reconciler.desired.schema import json_schema

    _print(json.dumps(json_schema(), indent=2) + "\n")


@app.command(epilog=f"Example: {NAME} plan --account seoul-hotel --output markdown")
def plan(
    account: Accounts = None,
    output: OutputOption = Output.TEXT,
    detailed_exitcode: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode",
            help="Exit 2 when changes are pending, 3 when a guard holds, 4 when LG or time holds.",
        ),
    ] = False,
    approval: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the devices that wait for a person's word to this new device file."),
    ] = None,
    env_file: EnvFile = None,
) -> int:
    """Show what a pass would do and hold, with reasons. Sends GET only, writes nothing."""
    from reconciler import oneshot
    from reconciler.report import exit_code

    chosen = _settings(env_file, one_shot=True)
    with _bars() as bars:
        looked = asyncio.run(oneshot.look(chosen, masking, account, bars))
    detailed = exit_code(looked.reports, pending=PENDING)
    code = detailed if detailed_exitcode or detailed == 1 else 0
    _say(*looked.notes)
    listed = _write_approval(approval, looked.reports, chosen.desired_state) if approval is not None else None
    _print_plan(output, looked.reports, code=code, done=False, approval=listed)
    return code


@app.command(epilog=f"Example: {NAME} apply --account seoul-hotel --expect sha256:9f86d0…")
def apply(
    account: Accounts = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="Only if the unsubscribes are exactly those that plan showed (one account)."
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
    env_file: EnvFile = None,
) -> int:
    """Make one pass of every account, then report. Refuses beside a daemon that holds the state."""
    from reconciler import oneshot
    from reconciler.report import exit_code
    from reconciler.signals import signals

    chosen = _settings(env_file, one_shot=True)

    async def work(bars: Follower) -> tuple[oneshot.Work, bool]:
        stop = asyncio.Event()

        def stopping() -> None:
            stop.set()
            _say(f"{NAME}: calls in flight come to their end, no new ones are made; once more to end at once")

        with signals(stopping, _end_at_once):
            digest = Digest(expect) if expect is not None else None
            done = await oneshot.apply(chosen, masking, account, bars, expect=digest, stopping=stop.is_set)
            return done, stop.is_set()

    try:
        with _bars() as bars:
            done, stopped = asyncio.run(work(bars))
    except oneshot.Misuse as error:
        raise typer.BadParameter(str(error), param_hint="--expect") from error
    code = INTERRUPTED if stopped else exit_code(done.reports)
    _say(*done.notes)
    _print_plan(output, done.reports, code=code, done=True)
    return code


@app.command(epilog=f"Example: {NAME} export > desired-state.toml")
def export(account: Accounts = None, env_file: EnvFile = None) -> None:
    """Print the live lists as a desired-state file. It is how to adopt what exists; sends GET only."""
    from reconciler import oneshot

    chosen = _settings(env_file, one_shot=True)
    with _bars() as bars:
        text = asyncio.run(oneshot.adopt(chosen, masking, account, bars))
    _print(text)


@app.command(epilog=f"Example: {NAME} reconcile seoul-hotel")
def reconcile(account: OneAccount = None, server: Server = None, env_file: EnvFile = None) -> None:
    """Ask the running daemon for a pass now. Nothing waits any more, and the credential in use is vouched for.

    Without ACCOUNT it is for every account.
    """
    query = f"?{urlencode({'account': account})}" if account is not None else ""
    _say_accounts("a pass begins for", _ask(server, env_file, f"/api/v1/reconcile{query}", {}))


@app.command(epilog=f'Example: {NAME} pause seoul-hotel --for 2h --reason "LG is being maintained"')
def pause(
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, like 90m or 12h.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; shown wherever the pause is.")],
    account: OneAccount = None,
    unsubscribes_only: Annotated[bool, typer.Option("--unsubscribes-only", help="Go on subscribing.")] = False,
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """Put the brake on the running daemon for a while. Without a commit; kept over restarts, ends by itself.

    Without ACCOUNT it is for every account.
    """
    body = {
        "account": account,
        "for": span,
        "reason": reason,
        "pause": "unsubscribe" if unsubscribes_only else "all",
    }
    _say_accounts(f"paused for {span}:", _ask(server, env_file, "/api/v1/pause", body))


@app.command(epilog=f"Example: {NAME} resume seoul-hotel")
def resume(account: OneAccount = None, server: Server = None, env_file: EnvFile = None) -> None:
    """Take off the brake that pause put on. A pause in the file stays.

    Without ACCOUNT every brake is taken off.
    """
    body = {"account": account, "pause": "none"}
    _say_accounts("no longer paused by command:", _ask(server, env_file, "/api/v1/pause", body))


@app.command(epilog=f"Example: {NAME} simulate --devices 300 --quota 300")
def simulate(
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Loopback address and port; port 0 takes a free one.")
    ] = "127.0.0.1:9000",
    seed: Annotated[int, typer.Option(metavar="N", help="Makes every random choice repeatable.")] = 0,
    users: Annotated[str, typer.Option(metavar="NAMES", help="Names of users, separated by commas.")] = "default",
    devices: Annotated[int, typer.Option(metavar="N", min=0, help="Devices of each user.")] = 20,
    subscribed: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Share of them that is subscribed at first, 0 to 1.")
    ] = 0.0,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep users and subscriptions in this file.")
    ] = None,
    quota: Annotated[int | None, typer.Option(metavar="N", min=1, help="Calls an hour and user.")] = None,
    faults: Annotated[Path | None, typer.Option(metavar="FILE", help="A fault plan as JSON.")] = None,
    latency: Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="How long each answer takes.")] = None,
    token_life: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, help="How long an access token lives.")
    ] = None,
) -> None:
    """Play LG's platform on loopback. With its quotas, codes and faults; it is not LG."""
    from reconciler.simulator import SimulatorError, SimulatorOptions, parse_listen
    from reconciler.simulator import run as simulator_run

    try:
        parse_listen(listen)
    except SimulatorError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from error
    options = SimulatorOptions(
        listen=listen,
        seed=seed,
        users=tuple(name.strip() for name in users.split(",") if name.strip()),
        devices=devices,
        subscribed=subscribed,
        state=state,
        quota=quota,
        faults=faults,
        latency=latency,
        token_life=token_life,
    )
    try:
        asyncio.run(simulator_run(options))
    except SimulatorError as error:
        raise ReconcilerError(str(error)) from error


@app.command(epilog=f"Example: {NAME} demo --devices 300")
def demo(
    listen: Annotated[
        str,
        typer.Option(metavar="ADDRESS", callback=_address, help="Where page and metrics are, or else on a free port."),
    ] = "127.0.0.1:8080",
    devices: Annotated[int, typer.Option(metavar="N", min=4, help="Devices of the sample fleet.")] = 24,
    seed: Annotated[int, typer.Option(metavar="N", help="Another sample fleet.")] = 0,
) -> None:
    """Run simulator and daemon together until Ctrl-C. On a sample fleet, in a temporary folder."""
    from reconciler.demo import Demo
    from reconciler.logs import set_up_logs
    from reconciler.signals import signals

    set_up_logs("info", "auto", masking=masking, colours=_colours(sys.stderr))

    async def work() -> None:
        one = Demo(listen=listen, devices=devices, seed=seed, say=lambda text: _print(text + "\n"), masking=masking)
        with signals(one.stop):
            await one.run()

    asyncio.run(work())


def _ask(server: str | None, env_file: Path | None, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the daemon that the settings, or the person, name."""
    from reconciler.ask import ask

    chosen = _settings(env_file, one_shot=True)
    reader = chosen.listen_token_reader()
    token = reader.read() if reader is not None else None
    if isinstance(token, str):
        raise ReconcilerError(token)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.listen.host, chosen.listen.host)  # noqa: S104 - compared
    address = f"http://{f'[{host}]' if ':' in host else host}:{chosen.listen.port}"
    return ask(server or address, path, body, token=token.get_secret_value() if token is not None else None)


def _say_accounts(words: str, answer: dict[str, Any]) -> None:
    accounts = ", ".join(map(str, answer.get("accounts", ()))) or "no account"
    _print(f"{words} {accounts}\n")


def _end_at_once() -> None:
    """End without more ado, but for the cursor that progress bars hide."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")
    os._exit(INTERRUPTED)


def _settings(env_file: Path | None, *, one_shot: bool = False) -> Settings:
    """Read the settings and set up logs. A one-shot command reports what it did, so it logs only if told to."""
    from reconciler import settings
    from reconciler.logs import set_up_logs

    chosen = settings.load(os.environ, env_file)
    masking.know(chosen.secrets())
    quiet = one_shot and "log_level" not in chosen.model_fields_set
    set_up_logs(
        "critical" if quiet else chosen.log_level, chosen.log_format, masking=masking, colours=_colours(sys.stderr)
    )
    return chosen


def _load(path: Path, environment: str | None) -> Loaded | Fault:
    """Read the texts at a path and say what they mean, or why there are none."""
    from reconciler.desired import load
    from reconciler.errors import SourceError
    from reconciler.source import FileSource

    try:
        fetched = FileSource(path).fetch()
    except SourceError as error:
        return Fault(str(path), 0, 0, str(error).removeprefix(f"{path}: "))
    return load(fetched.documents, fetched.tree, environment=environment)


@contextmanager
def _bars() -> Iterator[Follower]:
    """Give progress bars on a terminal, and somebody who looks away elsewhere."""
    from reconciler.oneshot import Follower

    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Follower()
        return
    from reconciler.progress import Bars

    with Bars() as bars:
        yield bars


def _print_findings(
    output: Findings, faults: Sequence[Fault], warnings: Sequence[Fault], accounts: Sequence[Desired]
) -> None:
    """Print what ``validate`` found; in text form faults are messages, and only the good news is data."""
    from reconciler import render

    if output is Findings.TEXT:
        _say(*render.findings_lines(faults, warnings))
        _print("" if faults else render.good_news(accounts))
        return
    shown = {
        Findings.JSON: render.findings_json,
        Findings.MARKDOWN: render.findings_markdown,
        Findings.GITHUB: render.findings_github,
    }
    _print(shown[output](faults, warnings, accounts))


def _write_approval(file: Path, reports: Sequence[PlanReport], text: Path) -> str | None:
    """Write the devices that wait for a person's word; return the file's name as the text has to say it."""
    from reconciler import approvals
    from reconciler.desired import dump_device_file

    home = text if text.is_dir() else text.parent
    name = os.path.relpath(file, home)
    if name.startswith("..") and not file.is_absolute():  # as the printed command has it: seen from the text
        file, name = home / file, os.path.normpath(file)
    if name.startswith(".."):
        raise typer.BadParameter("has to be in the folder of the desired state, or below", param_hint="--approval")
    waiting = [report for report in reports if approvals.needed(report.plan)]
    if len(waiting) > 1:
        raise typer.BadParameter("several accounts wait for one: add --account NAME", param_hint="--approval")
    if not waiting:
        _say(f"{NAME}: nothing waits for an approval; {file} is not written")
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(dump_device_file(approvals.needed(waiting[0].plan), waiting[0].names))
    except OSError as error:
        raise ReconcilerError(f"{file}: cannot be written: {error.strerror}") from error
    return name


def _print_plan(
    output: Output, reports: Sequence[PlanReport], *, code: int, done: bool, approval: str | None = None
) -> None:
    from reconciler import render

    if output is Output.JSON:
        _print(render.plan_json(reports, code=code, approval=approval))
    elif output is Output.MARKDOWN:
        _print(render.plan_markdown(reports, done=done, approval=approval))
    else:
        _print(render.plan_text(reports, done=done, colours=_colours(sys.stdout), approval=approval))


def _colours(stream: TextIO) -> bool:
    """Say whether colours are wanted: on a terminal that has them, unless somebody objects."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(text: str) -> None:
    """Print data. A reader that has seen enough, such as ``head``, is no error."""
    try:
        sys.stdout.write(masking.text(text))
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer must not be tried again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ReconcilerError(f"cannot print: {error.strerror}") from error


def _say(*lines: str) -> None:
    """Print messages for people, without what could steer a terminal: messages quote names from outside."""
    for line in lines:
        shown = "".join(one if one.isprintable() or one == "\n" else " " for one in masking.text(line))
        sys.stderr.write(shown + "\n")
    sys.stderr.flush()
