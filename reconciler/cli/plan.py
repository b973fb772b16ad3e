"""``plan``: what a pass would do, found out here or by the running daemon, and the file that lets devices go.

Owns: how plans are printed, also those that ``apply`` has carried out, and where the file of an approval may be.
Must not: judge a plan.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.console import (
    NAME,
    coloured,
    masking,
    print_as,
    print_data,
    progress,
    read_settings,
    say,
    screen,
)
from reconciler.cli.options import Accounts, EnvFile, FullIds, Longest, Output, OutputOption
from reconciler.cli.status import ask_daemon
from reconciler.core.errors import ReconcilerError
from reconciler.core.model import DeviceId

if TYPE_CHECKING:
    from reconciler.reporting import PlanReport
    from reconciler.runtime.settings import Settings

SHOWN_AS = {
    Output.TEXT: "text",
    Output.WIDE: "text",
    Output.JSON: "none",
    Output.MARKDOWN: "markdown",
}
"""The form that the daemon is asked for."""


def plan(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", hidden=True),  # shown above the options, without a type
    ] = None,
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
        typer.Option(
            metavar="FILE", help="Write the devices that wait for approval to this new device file."
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Let this running daemon plan these files; needs no credentials."
        ),
    ] = None,
    full_ids: FullIds = False,
    longest: Longest = None,
    env_file: EnvFile = None,
) -> int:
    """Show what a pass would do and hold, with reasons. Sends GET only, writes nothing.

    PATH is a file or a folder. Each is a desired state of its own; without any it is that of PCC_DESIRED_STATE.
    """
    places = _places(paths or [])
    if server is None:
        return _plan_here(
            places,
            env_file,
            account,
            output,
            approval,
            detailed=detailed_exitcode,
            full_ids=full_ids,
            longest=longest,
        )
    if len(places) > 1:
        raise typer.BadParameter("--server plans one desired state at a time", param_hint="PATH")
    place = places[0] if places else None
    return _plan_there(
        server,
        place,
        env_file,
        account or [],
        output,
        approval,
        detailed=detailed_exitcode,
        full_ids=full_ids,
        longest=longest,
    )


def _places(paths: Sequence[Path]) -> list[Path]:
    """Return the paths, each once; raises where one leads nowhere."""
    places = list(dict.fromkeys(paths))
    for path in places:
        if not path.exists():
            raise typer.BadParameter(f"there is no file or folder {path}", param_hint="PATH")
    return places


def _reading(chosen: Settings, place: Path) -> Settings:
    """Return settings that lead to the desired state at a place of this machine."""
    return chosen.model_copy(update={"desired_state": place, "git_url": None})


def _plan_here(
    places: Sequence[Path],
    env_file: Path | None,
    accounts: list[str] | None,
    output: Output,
    approval: Path | None,
    *,
    detailed: bool,
    full_ids: bool,
    longest: int | None,
) -> int:
    """Ask LG what is live, and print what a pass would make of it."""
    import asyncio

    from reconciler.core import approvals
    from reconciler.reporting import PENDING, exit_code
    from reconciler.runtime import oneshot

    chosen = read_settings(env_file)
    each = [_reading(chosen, place) for place in places] or [chosen]
    if len(each) > 1 and approval is not None:
        raise typer.BadParameter("is for one PATH", param_hint="--approval")
    with progress() as follower:
        looked = asyncio.run(oneshot.dry_runs(each, masking, accounts, follower))
    code = _chosen_code(
        exit_code(looked.reports, pending=PENDING),
        detailed=detailed,
        unread=not all(report.ending.list_read for report in looked.reports),
    )
    say(*looked.notes)
    listed = None
    if approval is not None:
        waiting = [(approvals.needed(report.plan), report.names) for report in looked.reports]
        file, name = _approval_place(approval, each[0].desired_state)
        listed = name if _write_approval(file, waiting) else None
    print_plans(
        output,
        looked.reports,
        code=code,
        done=False,
        approval=listed,
        full_ids=full_ids,
        longest=longest,
    )
    return code


def _plan_there(
    server: str,
    place: Path | None,
    env_file: Path | None,
    accounts: list[str],
    output: Output,
    approval: Path | None,
    *,
    detailed: bool,
    full_ids: bool,
    longest: int | None,
) -> int:
    """Let the daemon at ``server`` plan the files that are here, and print what it says."""
    from reconciler.api.client import planning
    from reconciler.api.client.connection import LARGEST_PLAN, PLAN_SECONDS
    from reconciler.reporting.formats.comment import LONGEST
    from reconciler.reporting.formats.encoding import json_text

    chosen = read_settings(env_file)
    chosen = chosen if place is None else _reading(chosen, place)
    show = SHOWN_AS[output]
    room = screen(wide=output is Output.WIDE, full_ids=full_ids)

    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return ask_daemon(server, env_file, path, body, seconds=PLAN_SECONDS, largest=LARGEST_PLAN)

    file, name = (
        (None, None) if approval is None else _approval_place(approval, chosen.desired_state)
    )
    found = planning.plan(
        chosen.desired_state,
        chosen.environment,
        accounts,
        ask,
        show=show,
        approval=name,
        screen=room,
        longest=longest or LONGEST,
    )
    code = _chosen_code(found.code, detailed=detailed)
    say(*found.notes)
    if file is not None:
        _write_approval(file, [(devices, found.names) for devices in found.needed.values()])
    shown = (
        json_text(found.document | {"exit_code": code}) if output is Output.JSON else found.shown
    )
    print_data(shown, for_programs=output in {Output.JSON, Output.MARKDOWN})
    return code


def _chosen_code(code: int, *, detailed: bool, unread: bool = False) -> int:
    """Return the exit code of a plan: only who asked for details hears by it what was found.

    ``unread``: LG gave no list of an account, so that nobody can tell what a pass would do; that is an error.
    """
    return code if detailed else int(code == 1 or unread)


def _approval_place(file: Path, text: Path) -> tuple[Path, str]:
    """Return where a device file is to be written, and its name for the file."""
    home = text if text.is_dir() else text.parent
    name = os.path.relpath(file, home)
    if (
        name.startswith("..") and not file.is_absolute()
    ):  # as in the printed command: relative to the folder of the desired state
        file, name = home / file, os.path.normpath(file)
    if name.startswith(".."):
        raise typer.BadParameter(
            "has to be in the folder of the desired state, or below", param_hint="--approval"
        )
    return file, name


def _write_approval(
    file: Path, waiting: Iterable[tuple[Sequence[DeviceId], Mapping[DeviceId, str]]]
) -> bool:
    """Write the devices that wait for approval, and say whether there are any.

    ``waiting`` are those devices for each account, and the names of devices.
    """
    from reconciler.desired import dump_device_file

    needing = [one for one in waiting if one[0]]
    if len(needing) > 1:
        raise typer.BadParameter(
            "several accounts wait for one: add --account NAME", param_hint="--approval"
        )
    if not needing:
        say(f"{NAME}: nothing waits for an approval; {file} is not written")
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(dump_device_file(*needing[0]))
    except OSError as error:
        raise ReconcilerError(f"{file}: cannot be written: {error.strerror}") from error
    return True


def plan_coloured(line: str) -> str:
    """Colour one line of a plan by the sign at its beginning."""
    from reconciler.reporting.formats.plans import COLOURS
    from reconciler.reporting.formats.styles import PLAIN

    sign = (line.split(maxsplit=1) or [""])[0]
    colour = COLOURS.get(sign) if line.startswith("  ") else None
    return f"{colour}{line}{PLAIN}" if colour else line


def print_plans(
    output: Output,
    reports: Sequence[PlanReport],
    *,
    code: int,
    done: bool,
    approval: str | None = None,
    full_ids: bool = False,
    longest: int | None = None,
) -> None:
    """Print plans, or what became of them where it is ``done``; ``approval`` is the device file that was written."""
    from reconciler.reporting.formats import plans
    from reconciler.reporting.formats.comment import LONGEST

    room = screen(wide=output is Output.WIDE, full_ids=full_ids)
    print_as(
        output,
        text=lambda: plans.plan_text(
            reports, done=done, colours=coloured(sys.stdout), approval=approval, screen=room
        ),
        json=lambda: plans.plan_json(reports, code=code, approval=approval),
        markdown=lambda: plans.plan_markdown(
            reports, done=done, approval=approval, longest=longest or LONGEST
        ),
    )
