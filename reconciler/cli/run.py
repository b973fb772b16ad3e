"""Commands that speak to LG: ``run``, ``apply``, ``export`` and ``doctor``; and ``migrate-state``.

``plan`` has a module of its own, because a running daemon can answer it. Must not: decide anything; ``runtime`` does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.asking import agreed, somebody_is_there
from reconciler.cli.console import (
    INTERRUPTED,
    NAME,
    coloured,
    masking,
    messages_screen,
    print_as,
    print_data,
    progress,
    read_settings,
    say,
    say_laid_out,
    screen,
)
from reconciler.cli.options import Accounts, EnvFile, Output, OutputOption
from reconciler.cli.plan import plan_coloured, print_plans
from reconciler.cli.serving import end_at_once, serve
from reconciler.core.errors import Invalid
from reconciler.core.model import AccountName, Digest

if TYPE_CHECKING:
    from reconciler.runtime.accounts import Follower
    from reconciler.runtime.oneshot import Work
    from reconciler.runtime.settings import Settings

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def run(env_file: EnvFile = None) -> None:
    """Run the daemon. It keeps the live lists equal to the file until SIGTERM or Ctrl-C."""
    import asyncio

    from reconciler.runtime.daemon import Daemon
    from reconciler.telemetry.logs import lines_dropped

    chosen = read_settings(env_file, one_shot=False)

    async def work() -> None:
        daemon = Daemon(chosen, masking=masking, lines_dropped=lines_dropped)
        await serve(daemon, chosen.shutdown_grace)

    asyncio.run(work())


def apply(
    account: Accounts = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="Only if the unsubscribes are exactly those that plan showed (one account).",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, also on a terminal.")
    ] = False,
    output: OutputOption = Output.TEXT,
    env_file: EnvFile = None,
) -> int:
    """Make one pass of every account, then report. Refuses beside a daemon that holds the state.

    On a terminal it shows the plan first and asks; elsewhere, and with --yes or --expect, it does not.
    """
    from reconciler.reporting import exit_code
    from reconciler.runtime import oneshot

    if expect is not None and not DIGEST.fullmatch(expect):
        raise typer.BadParameter(
            "has to be a digest as plan shows it: sha256:…", param_hint="--expect"
        )
    chosen = read_settings(env_file)
    confirmed = None
    if expect is None and not yes and somebody_is_there():
        confirmed = _confirmed(chosen, account)
        if confirmed is None:
            say(f"{NAME}: nothing was changed")
            return 1

    digest = Digest(expect) if expect is not None else None
    try:
        done, stopped = _applied(chosen, account, digest, confirmed)
    except oneshot.Misuse as error:
        raise typer.BadParameter(str(error), param_hint="--expect") from error
    code = INTERRUPTED if stopped else exit_code(done.reports)
    say(*done.notes)
    print_plans(output, done.reports, code=code, done=True)
    return code


def _applied(
    chosen: Settings,
    accounts: list[str] | None,
    expect: Digest | None,
    confirmed: Mapping[AccountName, Digest] | None,
) -> tuple[Work, bool]:
    """Make the pass of every account. Return what became of them, and whether a signal ended it early."""
    import asyncio

    from reconciler.runtime import oneshot
    from reconciler.runtime.signals import signals

    async def work(follower: Follower) -> tuple[Work, bool]:
        stop = asyncio.Event()

        def stopping() -> None:
            stop.set()
            say(
                f"{NAME}: stopping, waiting for calls in flight. Press Ctrl-C again after two seconds to quit now."
            )

        with signals(stopping, end_at_once):
            done = await oneshot.apply(
                chosen, masking, accounts, follower, expect=expect, confirmed=confirmed, stop=stop
            )
            return done, stop.is_set()

    with progress() as follower:
        return asyncio.run(work(follower))


def _confirmed(chosen: Settings, accounts: list[str] | None) -> Mapping[AccountName, Digest] | None:
    """Show what a pass would do and ask. Return the unsubscribes that were agreed to, or None where they were not.

    Nothing is asked where nothing would change.
    """
    import asyncio

    from reconciler.core.text import counted
    from reconciler.reporting.formats import plans
    from reconciler.runtime import oneshot

    oneshot.insist_on_free(chosen)
    with progress() as follower:
        looked = asyncio.run(oneshot.dry_run(chosen, masking, accounts, follower))
    subscribes = sum(len(one.plan.subscribes) for one in looked.reports)
    unsubscribes = sum(len(one.plan.unsubscribes) for one in looked.reports)
    seen = {one.account: one.plan.digest for one in looked.reports}
    if subscribes + unsubscribes == 0:
        return seen
    shown = plans.plan_text(looked.reports, screen=messages_screen())
    say_laid_out(*shown.splitlines(), colouring=plan_coloured)
    say("")
    many = f"{counted(subscribes, 'device')} to subscribe and {unsubscribes} to unsubscribe"
    return seen if agreed(f"Make these changes now, {many}?") else None


def export(
    account: Accounts = None,
    registered: Annotated[
        bool,
        typer.Option(
            "--registered",
            help="All devices that the users own, live or not, with LG's names and types.",
        ),
    ] = False,
    env_file: EnvFile = None,
) -> None:
    """Print the live lists as a desired-state file. It is how to adopt what exists; sends GET only."""
    import asyncio

    from reconciler.runtime import adoption

    chosen = read_settings(env_file)
    with progress() as follower:
        text = asyncio.run(
            adoption.adopt(chosen, masking, account, follower, registered=registered)
        )
    print_data(text, for_programs=True)


def migrate_state(env_file: EnvFile = None) -> None:
    """Copy the state to PostgreSQL. From PCC_STATE_DIR to PCC_STATE_URL; both are compared.

    No daemon may run on either. The file stays as it is.
    """
    from reconciler.runtime.clock import SystemClock
    from reconciler.state.moving import move
    from reconciler.state.opening import name_of

    place = read_settings(env_file).state_place
    counts = move(place, SystemClock(), say)
    rows = ", ".join(f"{count} of {table}" for table, count in counts.items() if count)
    print_data(
        f"Copied {rows or 'an empty state'} from {place.folder} to {name_of(place)}. Both are alike.\n"
    )


def doctor(
    account: Accounts = None, output: OutputOption = Output.TEXT, env_file: EnvFile = None
) -> int:
    """Find what is wrong, and which setting fixes it. Changes nothing; works beside the daemon.

    Checks settings, state and desired state, and for each account its token, region, clock and quota, with one GET of
    the live list. Exits 1 when something is wrong; warnings alone exit 0.
    """
    import asyncio

    from reconciler.reporting import diagnosis
    from reconciler.reporting.formats import diagnoses
    from reconciler.runtime import doctor

    try:
        chosen = read_settings(env_file)
    except Invalid as invalid:
        examined = diagnosis.wrong_settings(invalid.faults)
    else:
        with progress() as follower:
            examined = asyncio.run(doctor.examine(chosen, masking, account, follower))
    print_as(
        output,
        text=lambda: diagnoses.examination_text(
            examined, colours=coloured(sys.stdout), screen=screen()
        ),
        json=lambda: diagnoses.examination_json(examined),
        markdown=lambda: diagnoses.examination_markdown(examined),
    )
    return examined.exit_code
