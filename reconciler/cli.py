"""The command line: parse, call, print, exit code.

Owns: the commands, what they print where, and their exit codes. Messages for people go to stderr, data to stdout.
Must not: hold a rule about devices, texts or LG.

Exit codes: 0 done · 1 error · 2 changes pending (``plan --detailed-exitcode`` only) · 3 held by a guard · 4 some
changes failed or were refused · 64 wrong usage.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reconciler import __version__, desired, render, settings
from reconciler import schema as desired_schema
from reconciler.clock import SystemClock
from reconciler.daemon import Daemon, Parts, built, signals
from reconciler.demo import Demo
from reconciler.errors import Fault, Invalid, ReconcilerError, suggestion
from reconciler.model import AccountName, Desired, Digest
from reconciler.reconcile import Watch
from reconciler.report import PlanReport, exit_code
from reconciler.simulator import SimulatorError, SimulatorOptions
from reconciler.simulator import run as simulator_run
from reconciler.source import FileSource
from reconciler.standing import Ending
from reconciler.state import State
from reconciler.telemetry import Masking, set_up_logs

USAGE = 64
INTERRUPTED = 130
PENDING = 2

masking = Masking()
"""The secrets of this process: whatever it prints goes through here."""

app = typer.Typer(
    name="pcc-reconciler",
    help="Keeps the list of devices subscribed to LG's PCC equal to a TOML file tracked in Git.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
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
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print it.")]


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(args=list(arguments), prog_name="pcc-reconciler", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the last line of defence: told in full, but never with a secret in it
        return _told(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> int:
    """Say what went wrong and return the exit code for it."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort():
            return INTERRUPTED
        case click.ClickException():
            error.show(sys.stderr)
            return USAGE if isinstance(error, click.UsageError) else 1
        case Invalid():
            _say(*map(str, error.faults))
        case ReconcilerError() | SimulatorError():
            _say(f"pcc-reconciler: {error}")
        case BrokenPipeError():  # the reader has seen enough; nothing may be written any more, not even at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        case _:
            _say("".join(traceback.format_exception(error)))
    return 1


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Keep the list of devices subscribed to LG's PCC equal to a TOML file tracked in Git."""
    if version:
        _print(f"pcc-reconciler {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _say(context.get_help())
        raise typer.Exit(USAGE)


@app.command("run", epilog="Example: pcc-reconciler run --env-file production.env")
def run_daemon(env_file: EnvFile = None) -> None:
    """Run the daemon: keep the live lists equal to the file until SIGTERM or Ctrl-C."""
    chosen = _settings(env_file)
    set_up_logs(chosen.log_level, chosen.log_format, masking=masking)

    async def work() -> None:
        daemon = Daemon(chosen, masking=masking)
        with signals(daemon.stop):
            await daemon.run()

    asyncio.run(work())


@app.command(epilog="Example: pcc-reconciler validate desired-state.toml --output github")
def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Files or folders; default PCC_DESIRED_STATE.")
    ] = None,
    output: Annotated[Findings, typer.Option("--output", "-o", help="How to print faults.")] = Findings.TEXT,
    env_file: EnvFile = None,
) -> int:
    """Check desired-state files offline: every fault at once, each with its place."""
    chosen = _settings(env_file)
    loaded = [_load(path, chosen.environment) for path in paths or [chosen.desired_state]]
    faults = [fault for one in loaded for fault in _all_faults(one)]
    warnings = [warning for one in loaded for warning in one.warnings]
    accounts = [account for one in loaded for account in one.accounts.values()]
    _print_findings(output, faults, warnings, accounts)
    return 1 if faults else 0


@app.command(epilog="Example: pcc-reconciler schema > desired-state.schema.json")
def schema() -> None:
    """Print the JSON Schema of the desired-state file."""
    _print(json.dumps(desired_schema.json_schema(), indent=2) + "\n")


@app.command(epilog="Example: pcc-reconciler plan --account seoul-hotel --output markdown")
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
    env_file: EnvFile = None,
) -> int:
    """Show what a pass would do and hold, with reasons. Sends GET only, writes nothing."""
    chosen = _settings(env_file, one_shot=True)

    async def work() -> list[PlanReport]:
        state = State.read_only(chosen.state_dir, SystemClock())
        kept = State.in_memory(SystemClock())
        async with built(chosen, state, kept=kept, read_only=True, masking=masking) as parts:
            names = await _ready(parts, account)
            with _progress() as progress:
                return await _each(parts, names, parts.reconciler.look, progress)

    reports = asyncio.run(work())
    detailed = exit_code(reports, pending=PENDING)
    code = detailed if detailed_exitcode or detailed == 1 else 0
    _print_plan(output, reports, code=code, done=False)
    return code


@app.command(epilog="Example: pcc-reconciler apply --account seoul-hotel --expect sha256:9f86d0…")
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
    chosen = _settings(env_file, one_shot=True)

    async def work() -> tuple[list[PlanReport], bool]:
        stop = asyncio.Event()
        state = State.open(chosen.state_dir, SystemClock())
        try:
            with _progress() as progress, signals(stop.set):
                watch = _counting(progress)
                async with built(chosen, state, masking=masking, stopping=stop.is_set, watch=watch) as parts:
                    names = await _ready(parts, account)
                    if expect is not None and len(names) != 1:
                        raise click.UsageError("--expect is for one account: add --account NAME")
                    return await _each(parts, names, _passing(parts, expect, stop), progress), stop.is_set()
        finally:
            state.close()

    reports, stopped = asyncio.run(work())
    if stopped:
        _say("pcc-reconciler: stopped before the end; what was begun is done and recorded")
    code = 1 if stopped else exit_code(reports)
    _print_plan(output, reports, code=code, done=True)
    return code


@app.command(epilog="Example: pcc-reconciler export > desired-state.toml")
def export(account: Accounts = None, env_file: EnvFile = None) -> None:
    """Print the live lists as a valid desired-state file: how to adopt what exists. Sends GET only."""
    chosen = _settings(env_file, one_shot=True)

    async def work() -> list[Desired]:
        memory = State.in_memory(SystemClock())
        async with built(chosen, memory, read_only=True, masking=masking) as parts:
            texts: dict[AccountName, Desired] = {}
            if chosen.desired_state.exists():
                await parts.intake.require()
                texts = {name: text.desired for name, text in parts.intake.accepted.texts.items()}
            names = _chosen(account, sorted(texts.keys() | parts.store.accounts()))
            if not names:
                raise ReconcilerError("no account: set PCC_ACCESS_TOKEN or PCC_REFRESH_TOKEN, or PCC_CREDENTIALS_DIR")
            parts.clients.follow({name: texts[name].country if name in texts else None for name in names})
            return [await _exported(parts, name, texts.get(name)) for name in names]

    _print(desired.dump(asyncio.run(work())))


@app.command(epilog="Example: pcc-reconciler simulate --devices 300 --quota 300")
def simulate(
    listen: Annotated[str, typer.Option(help="Loopback address and port.")] = "127.0.0.1:9000",
    seed: Annotated[int, typer.Option(help="Makes every random choice repeatable.")] = 0,
    users: Annotated[str, typer.Option(help="Names of users, separated by commas.")] = "default",
    devices: Annotated[int, typer.Option(min=0, help="Devices of each user.")] = 20,
    subscribed: Annotated[float, typer.Option(min=0, max=1, help="Share of them that is subscribed at first.")] = 0.0,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep users and subscriptions in this file.")
    ] = None,
    quota: Annotated[int | None, typer.Option(min=1, help="Calls an hour and user.")] = None,
    faults: Annotated[Path | None, typer.Option(metavar="FILE", help="A fault plan as JSON.")] = None,
    latency: Annotated[float | None, typer.Option(min=0, help="Seconds that each answer takes.")] = None,
    token_life: Annotated[float | None, typer.Option(min=1, help="Seconds that an access token lives.")] = None,
) -> None:
    """Play LG's platform on loopback, with its quotas, codes and faults. It is not LG."""
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
    asyncio.run(simulator_run(options))


@app.command(epilog="Example: pcc-reconciler demo --devices 300")
def demo(
    listen: Annotated[
        str, typer.Option(help="Where page and metrics are; a free port if it is taken.")
    ] = "127.0.0.1:8080",
    devices: Annotated[int, typer.Option(min=4, help="Devices of the sample fleet.")] = 24,
    seed: Annotated[int, typer.Option(help="Another sample fleet.")] = 0,
) -> None:
    """Run simulator and daemon together on a sample fleet in a temporary folder, until Ctrl-C."""
    set_up_logs("info", "auto", masking=masking)

    async def work() -> None:
        one = Demo(listen=listen, devices=devices, seed=seed, say=lambda text: _print(text + "\n"), masking=masking)
        with signals(one.stop):
            await one.run()

    asyncio.run(work())


def _settings(env_file: Path | None, *, one_shot: bool = False) -> settings.Settings:
    """Read the settings; a one-shot command logs only what is wrong, unless told otherwise."""
    chosen = settings.load(os.environ, env_file)
    masking.know(chosen.secrets())
    if one_shot:
        level = chosen.log_level if "log_level" in chosen.model_fields_set else settings.LogLevel.WARNING
        set_up_logs(level, chosen.log_format, masking=masking)
    return chosen


async def _ready(parts: Parts, asked: Sequence[str] | None) -> list[AccountName]:
    """Insist on the newest text and return the accounts to work on."""
    await parts.intake.require()
    parts.follow_credentials()
    return _chosen(asked, sorted(parts.intake.accepted.texts))


def _chosen(asked: Sequence[str] | None, known: Sequence[AccountName]) -> list[AccountName]:
    for name in asked or ():
        if name not in known:
            raise ReconcilerError(f"there is no account {name!r}{suggestion(name, known)}")
    return [AccountName(name) for name in asked] if asked else list(known)


async def _each(
    parts: Parts,
    names: Sequence[AccountName],
    work: Callable[[AccountName], Awaitable[Ending | None]],
    progress: Progress | None = None,
) -> list[PlanReport]:
    """Do the work of each account, a few at once, and return the reports in the order of the names."""
    task = progress.add_task("accounts", total=len(names)) if progress is not None else None
    room = asyncio.Semaphore(parts.settings.workers)

    async def one(name: AccountName) -> PlanReport | None:
        text = parts.intake.text(name)
        async with room:
            ending = await work(name)
        if progress is not None and task is not None:
            progress.advance(task)
        return PlanReport(name, str(text.revision), ending) if text is not None and ending is not None else None

    reports = await asyncio.gather(*(one(name) for name in names))
    return [report for report in reports if report is not None]


def _passing(
    parts: Parts, expect: str | None, stop: asyncio.Event
) -> Callable[[AccountName], Awaitable[Ending | None]]:
    async def one(name: AccountName) -> Ending | None:
        if stop.is_set():
            return None
        await parts.reconciler.reconcile(name, Digest(expect) if expect is not None else None)
        return parts.reconciler.standings[name].last

    return one


async def _exported(parts: Parts, name: AccountName, text: Desired | None) -> Desired:
    """Return one account's live list, with the names and types that the present text gives its devices."""
    client = parts.clients(name)
    if isinstance(client, str):
        raise ReconcilerError(f"account {name}: {client}")
    live = (await client.list_devices()).devices
    described = {device: text.described[device] for device in live & text.described.keys()} if text else {}
    return Desired(name, live, described, country=text.country if text else None)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Give progress bars on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress


def _counting(progress: Progress | None) -> Watch:
    """Return what moves the bar of changes."""
    if progress is None:
        return Watch()
    task = progress.add_task("changes", total=0)

    def planned(count: int) -> None:
        progress.update(task, total=(progress.tasks[task].total or 0) + count)

    return Watch(planned, lambda: progress.advance(task))


def _load(path: Path, environment: str | None) -> desired.Loaded:
    fetched = FileSource(path).fetch()
    return desired.load(fetched.documents, fetched.tree, environment=environment)


def _all_faults(loaded: desired.Loaded) -> tuple[Fault, ...]:
    return (*loaded.faults, *([loaded.wrong_environment] if loaded.wrong_environment is not None else []))


def _print_findings(
    output: Findings, faults: Sequence[Fault], warnings: Sequence[Fault], accounts: Sequence[Desired]
) -> None:
    """Print what ``validate`` found; in text form faults are messages, and only the good news is data."""
    if output is Findings.TEXT:
        _say(*map(str, faults), *(f"{warning} (warning)" for warning in warnings))
        if not faults:
            devices = sum(len(account.devices) for account in accounts)
            _print(f"valid: {len(accounts)} account{'s' * (len(accounts) != 1)}, {devices} devices\n")
        return
    shown = {
        Findings.JSON: render.findings_json,
        Findings.MARKDOWN: render.findings_markdown,
        Findings.GITHUB: render.findings_github,
    }
    _print(shown[output](faults, warnings, accounts))


def _print_plan(output: Output, reports: Sequence[PlanReport], *, code: int, done: bool) -> None:
    if output is Output.JSON:
        _print(render.plan_json(reports, code=code))
    elif output is Output.MARKDOWN:
        _print(render.plan_markdown(reports, done=done))
    else:
        _print(render.plan_text(reports, done=done))


def _print(text: str) -> None:
    """Print data."""
    sys.stdout.write(masking.text(text))
    sys.stdout.flush()


def _say(*lines: str) -> None:
    """Print messages for people."""
    for line in lines:
        sys.stderr.write(masking.text(line) + "\n")
    sys.stderr.flush()
