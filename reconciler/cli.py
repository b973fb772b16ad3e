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
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO
from urllib.parse import urlencode

import typer
from typer.exceptions import TyperException

from reconciler import __version__
from reconciler.errors import Fault, Invalid, ReconcilerError, Unknown, quoted
from reconciler.masking import Masking
from reconciler.model import Desired, DeviceId, Digest

if TYPE_CHECKING:
    from reconciler.desired import Loaded
    from reconciler.oneshot import Follower
    from reconciler.remote.consult import Consultation
    from reconciler.remote.waiting import Watch
    from reconciler.report import PlanReport, StatusReport
    from reconciler.report.comparison import Comparison
    from reconciler.report.inquiry import RefusedReport
    from reconciler.settings import Settings

NAME = "pcc-reconciler"
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
OnlyAccount = Annotated[str | None, typer.Option("--account", metavar="NAME", help="Only in this account.")]
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
    against: Annotated[
        str | None,
        typer.Option(metavar="REV", help="Also say what the change adds and removes since this Git revision."),
    ] = None,
    env_file: EnvFile = None,
) -> int:
    """Check desired-state files offline. Tells every fault at once, each with its place.

    PATH is a file or a folder. Each is a desired state of its own; without any it is that of PCC_DESIRED_STATE.
    """
    chosen = _settings(env_file, one_shot=True)
    followed = chosen.git_url is not None and not paths
    if followed and against is not None:
        raise typer.BadParameter("needs files of this machine: name their PATH", param_hint="--against")
    faults: list[Fault] = []
    warnings: list[Fault] = []
    accounts: list[Desired] = []
    compared: list[Comparison] = []
    for path in dict.fromkeys(paths or [chosen.desired_state]):
        loaded = _load(path, chosen, followed=followed)
        if isinstance(loaded, Fault):
            faults.append(loaded)
            continue
        faults += loaded.every_fault
        warnings += loaded.warnings
        accounts += loaded.accounts.values()
        if against is not None and not loaded.every_fault:
            compared.append(_compared(against, path, loaded))
    _print_findings(output, faults, warnings, accounts, compared)
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
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Let this running daemon plan these files, on what it knows: no credentials are needed."
        ),
    ] = None,
    env_file: EnvFile = None,
) -> int:
    """Show what a pass would do and hold, with reasons. Sends GET only, writes nothing."""
    from reconciler import approvals, oneshot
    from reconciler.report import PENDING, exit_code

    if server is not None:
        return _plan_there(server, env_file, account or [], output, approval, detailed=detailed_exitcode)
    chosen = _settings(env_file, one_shot=True)
    with _bars() as bars:
        looked = asyncio.run(oneshot.look(chosen, masking, account, bars))
    detailed = exit_code(looked.reports, pending=PENDING)
    code = detailed if detailed_exitcode or detailed == 1 else 0
    _say(*looked.notes)
    listed = None
    if approval is not None:
        waiting = [(approvals.needed(report.plan), report.names) for report in looked.reports]
        file, name = _approval_place(approval, chosen.desired_state)
        listed = name if _write_approval(file, waiting) else None
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
def export(
    account: Accounts = None,
    registered: Annotated[
        bool,
        typer.Option("--registered", help="All devices that the users own, live or not, with LG's names and types."),
    ] = False,
    env_file: EnvFile = None,
) -> None:
    """Print the live lists as a desired-state file. It is how to adopt what exists; sends GET only."""
    from reconciler import oneshot

    chosen = _settings(env_file, one_shot=True)
    with _bars() as bars:
        text = asyncio.run(oneshot.adopt(chosen, masking, account, bars, registered=registered))
    _print(text)


@app.command(epilog=f"Example: {NAME} status --wait --revision 4f2a91c --timeout 10m")
def status(
    account: Accounts = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="List the devices that LG refuses, with its words.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until a revision is in force and every account is done with it.")
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="Wait for this commit (7 characters will do) or sha256:…; default the newest text."
        ),
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait.")] = "10m",
    output: OutputOption = Output.TEXT,
    server: Server = None,
    env_file: EnvFile = None,
) -> int:
    """Show where everything stands. Asks the running daemon; with --wait it is for CI after a merge.

    Exits 0 whatever it shows. With --wait: 0 in sync, 3 held by a guard, 4 refused or stopped by LG, 1 timed out or
    rejected.
    """
    from reconciler.remote import consult

    watch, seconds = _watch(revision, timeout, account or [], wait=wait)
    asked = _consultation(server, env_file, files_too=False)
    if wait:
        code, report = _wait(asked, watch, seconds)
    else:
        code, report = 0, asked.status()
    if report is not None:
        try:
            shown = consult.only(report, account or [])
        except Unknown:
            if not wait:  # else the verdict says so
                raise
            shown = report
        _print_status(output, shown, asked.refused(shown) if refused else None)
    return code


@app.command(epilog=f'Example: {NAME} explain "Room 1203 fridge"')
def explain(
    device: Annotated[str, typer.Argument(metavar="DEVICE", hidden=True)],
    account: OnlyAccount = None,
    output: OutputOption = Output.TEXT,
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """Tell everything known of one device. Wanted or not and why, live or not, what was done, what comes next.

    DEVICE is an id, the first 8 or more characters of one, or a name in the text. Asks the running daemon, or without
    one the files and the state.
    """
    from reconciler.render import stories

    answer = _consultation(server, env_file).explain(device, account)
    _say(*answer.notes)
    if output is Output.JSON:
        _print(stories.as_json(answer.report, answered_by=answer.by))
    else:
        show = stories.explanation_text if output is Output.TEXT else stories.explanation_markdown
        _print(show(answer.report, answer.by))


@app.command(epilog=f"Example: {NAME} history --account seoul-hotel --since 7d")
def history(
    account: OnlyAccount = None,
    device: Annotated[str | None, typer.Option(metavar="ID", help="Only this device.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Not before this time, like 2026-11-22T10:00:00Z, or 2h or 7d ago."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only what is older than this time.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="So many at most.")] = 50,
    output: OutputOption = Output.TEXT,
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """Show past changes, newest first. What LG did, and by which commit; they are kept for 90 days.

    Asks the running daemon, or without one the state.
    """
    from reconciler.render import stories

    given = {"account": account, "device": device, "since": since, "until": until}
    asked = {key: value for key, value in given.items() if value is not None}
    for key in asked.keys() & {"since", "until"}:
        _check_moment(key, asked[key])
    answer = _consultation(server, env_file).history(asked, limit)
    _say(*answer.notes)
    if output is Output.JSON:
        _print(stories.as_json(answer.report, answered_by=answer.by))
    else:
        _print((stories.history_text if output is Output.TEXT else stories.history_markdown)(answer.report))


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


@app.command(epilog=f"Example: {NAME} doctor --account seoul-hotel")
def doctor(account: Accounts = None, output: OutputOption = Output.TEXT, env_file: EnvFile = None) -> int:
    """Find out what is wrong, and which setting mends it. Changes nothing; works beside the daemon.

    Looks at settings, state and text, and for each account at its token, region, clock and quota, with one GET of the
    live list. Exits 1 when something is wrong; warnings alone exit 0.
    """
    from reconciler import doctor
    from reconciler.render import examinations
    from reconciler.report import examination

    try:
        chosen = _settings(env_file, one_shot=True)
    except Invalid as invalid:
        examined = examination.wrong_settings(invalid.faults)
    else:
        with _bars() as bars:
            examined = asyncio.run(doctor.examine(chosen, masking, account, bars))
    if output is Output.TEXT:
        _print(examinations.examination_text(examined, colours=_colours(sys.stdout)))
    elif output is Output.JSON:
        _print(examinations.examination_json(examined))
    else:
        _print(examinations.examination_markdown(examined))
    return examined.exit_code


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


def _ask(
    server: str | None, env_file: Path | None, path: str, body: dict[str, Any], seconds: float | None = None
) -> dict[str, Any]:
    """Ask the daemon that the settings, or the person, name."""
    from reconciler.remote.ask import ask

    chosen = _settings(env_file, one_shot=True)
    address = server or _of_daemon(chosen)
    reader = chosen.listen_token_reader()
    token = reader.read() if reader is not None else None
    if isinstance(token, str):
        raise ReconcilerError(token)
    shown = token.get_secret_value() if token is not None else None
    return ask(address, path, body, token=shown, **({} if seconds is None else {"seconds": seconds}))


def _of_daemon(chosen: Settings) -> str:
    """Return where the daemon of these settings can be asked."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.listen.host, chosen.listen.host)  # noqa: S104 - compared
    return f"http://{f'[{host}]' if ':' in host else host}:{chosen.listen.port}"


def _consultation(server: str | None, env_file: Path | None, *, files_too: bool = True) -> Consultation:
    """Return whom to ask: the daemon, and unless a person named one, the files and the state where none answers."""
    from reconciler.clock import SystemClock
    from reconciler.remote.ask import ask
    from reconciler.remote.consult import Consultation
    from reconciler.report import inquiry

    chosen = _settings(env_file, one_shot=True)
    address = server or _of_daemon(chosen)
    at_hand = (lambda: inquiry.at_hand(chosen, SystemClock())) if files_too and server is None else None
    return Consultation(address, lambda path: ask(address, path), at_hand)


def _watch(revision: str | None, timeout: str, accounts: Sequence[str], *, wait: bool) -> tuple[Watch, float]:
    """Return what is waited for and for how many seconds, or say what does not fit."""
    from reconciler import duration
    from reconciler.remote.waiting import Watch, check_revision

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


def _wait(asked: Consultation, watch: Watch, seconds: float) -> tuple[int, StatusReport | None]:
    """Wait, with words on a terminal only, and say how it ended."""
    from reconciler.remote import waiting

    shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def follow(words: str) -> None:
        if shown:
            sys.stderr.write(f"\r\x1b[K{masking.text(quoted(words))[:100]}")
            sys.stderr.flush()

    verdict, report = waiting.wait(
        watch, asked.status, seconds=seconds, steady=time.monotonic, sleep=time.sleep, follow=follow
    )
    if shown:
        sys.stderr.write("\r\x1b[K")
    _say(verdict.words)
    return verdict.code if verdict.code is not None else 1, report


def _check_moment(key: str, text: str) -> None:
    from datetime import UTC, datetime

    from reconciler.report.inquiry import moment

    try:
        moment(key, text, datetime.now(UTC))
    except ReconcilerError as error:
        raise typer.BadParameter(str(error), param_hint=f"--{key}") from error


def _print_status(output: Output, report: StatusReport, refused: Sequence[RefusedReport] | None) -> None:
    from reconciler.render import stories

    if refused is not None:
        shown = {
            Output.TEXT: lambda: stories.refused_text(refused, report.at),
            Output.JSON: lambda: stories.refused_json(refused),
            Output.MARKDOWN: lambda: stories.refused_markdown(refused, report.at),
        }
        _print(shown[output]())
    elif output is Output.JSON:
        _print(stories.as_json(report))
    else:
        _print((stories.status_text if output is Output.TEXT else stories.status_markdown)(report))


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


def _load(path: Path, chosen: Settings, *, followed: bool) -> Loaded | Fault:
    """Read the texts at a path, here or in the repository, and say what they mean, or why there are none."""
    from reconciler.desired import load
    from reconciler.errors import SourceError
    from reconciler.source import FileSource, Source
    from reconciler.source.origin import opened

    opening: AbstractContextManager[Source] = opened(chosen) if followed else nullcontext(FileSource(path))
    try:
        with opening as source:
            fetched = source.fetch()
            if fetched is None or fetched.cause is not None:
                return fetched.unreadable[0] if fetched is not None else Fault("", 0, 0, "there is no text to read")
            loaded = load(fetched.documents, fetched.tree, environment=chosen.environment)
    except SourceError as error:
        return Fault("", 0, 0, str(error)) if followed else Fault(str(path), 0, 0, str(error).removeprefix(f"{path}: "))
    return replace(loaded, faults=tuple(sorted((*loaded.faults, *fetched.unreadable))))


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


def _compared(revision: str, path: Path, loaded: Loaded) -> Comparison:
    from reconciler.clock import SystemClock
    from reconciler.report.comparison import since

    return since(revision, path, loaded, SystemClock().now())


def _print_findings(
    output: Findings,
    faults: Sequence[Fault],
    warnings: Sequence[Fault],
    accounts: Sequence[Desired],
    compared: Sequence[Comparison],
) -> None:
    """Print what ``validate`` found; in text form faults are messages, and only the good news is data."""
    from reconciler.render import findings

    if output is Findings.TEXT:
        _say(*findings.findings_lines(faults, warnings))
        _print(("" if faults else findings.good_news(accounts)) + findings.comparison_text(compared))
        return
    shown = {
        Findings.JSON: findings.findings_json,
        Findings.MARKDOWN: findings.findings_markdown,
        Findings.GITHUB: findings.findings_github,
    }
    _print(shown[output](faults, warnings, accounts, compared))


def _plan_there(
    server: str, env_file: Path | None, accounts: list[str], output: Output, approval: Path | None, *, detailed: bool
) -> int:
    """Let the daemon at ``server`` plan the files that are here, and print what it says."""
    from reconciler.remote import planning
    from reconciler.remote.ask import PLAN_SECONDS
    from reconciler.wording import json_text

    chosen = _settings(env_file, one_shot=True)
    show = "none" if output is Output.JSON else output.value

    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _ask(server, env_file, path, body, seconds=PLAN_SECONDS)

    file, name = (None, None) if approval is None else _approval_place(approval, chosen.desired_state)
    found = planning.plan(chosen.desired_state, chosen.environment, accounts, ask, show=show, approval=name)
    code = found.code if detailed or found.code == 1 else 0
    _say(*found.notes)
    if file is not None:
        _write_approval(file, [(devices, found.names) for devices in found.needed.values()])
    _print(json_text(found.document | {"exit_code": code}) if output is Output.JSON else found.shown)
    return code


def _approval_place(file: Path, text: Path) -> tuple[Path, str]:
    """Return where a device file is to be written, and its name as the text has to say it."""
    home = text if text.is_dir() else text.parent
    name = os.path.relpath(file, home)
    if name.startswith("..") and not file.is_absolute():  # as the printed command has it: seen from the text
        file, name = home / file, os.path.normpath(file)
    if name.startswith(".."):
        raise typer.BadParameter("has to be in the folder of the desired state, or below", param_hint="--approval")
    return file, name


def _write_approval(file: Path, waiting: Iterable[tuple[Sequence[DeviceId], Mapping[DeviceId, str]]]) -> bool:
    """Write the devices that wait for a person's word, and say whether there are any.

    ``waiting`` are those devices for each account, and the names that the text gives devices.
    """
    from reconciler.desired import dump_device_file

    needing = [one for one in waiting if one[0]]
    if len(needing) > 1:
        raise typer.BadParameter("several accounts wait for one: add --account NAME", param_hint="--approval")
    if not needing:
        _say(f"{NAME}: nothing waits for an approval; {file} is not written")
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(dump_device_file(*needing[0]))
    except OSError as error:
        raise ReconcilerError(f"{file}: cannot be written: {error.strerror}") from error
    return True


def _print_plan(
    output: Output, reports: Sequence[PlanReport], *, code: int, done: bool, approval: str | None = None
) -> None:
    from reconciler.render import plans

    if output is Output.JSON:
        _print(plans.plan_json(reports, code=code, approval=approval))
    elif output is Output.MARKDOWN:
        _print(plans.plan_markdown(reports, done=done, approval=approval))
    else:
        _print(plans.plan_text(reports, done=done, colours=_colours(sys.stdout), approval=approval))


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
