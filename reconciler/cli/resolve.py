"""``resolve``: writes what the rules take of LG's registry into the locks, here or in CI.

Must not: decide what a lock has to hold; ``runtime.resolving`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import NAME, masking, print_data, progress, read_settings, say
from reconciler.cli.daemon_tokens import for_reading
from reconciler.cli.options import Accounts, EnvFile
from reconciler.core.model import AccountName

if TYPE_CHECKING:
    from reconciler.runtime.accounts import Follower
    from reconciler.runtime.resolving import Lock, WorkingFiles
    from reconciler.runtime.settings import Settings

STALE = 2
"""The exit code of ``--check`` where a lock has to be written."""


def resolve(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", hidden=True),  # shown above the options, without a type
    ] = None,
    account: Accounts = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 2 where a lock has to be written.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Also take out devices that LG's registry lacks or no rule takes any more.",
        ),
    ] = False,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Take the registry that this running daemon read; needs no credentials.",
        ),
    ] = None,
    env_file: EnvFile = None,
) -> int:
    """Write the devices that the rules take into the locks. Asks LG for all devices; sends GET only.

    PATH is a file or a folder of this machine; without it that of PCC_DESIRED_STATE, also with PCC_GIT_URL.
    """
    import asyncio

    from reconciler.reporting.formats.lock_changes import lock_text
    from reconciler.runtime.resolving import WorkingFiles

    chosen = read_settings(env_file)
    if path is not None:
        if not path.exists():
            raise typer.BadParameter(f"there is no file or folder {path}", param_hint="PATH")
        chosen = chosen.model_copy(update={"desired_state": path})
    files = WorkingFiles(chosen)
    names = files.asked(account)
    if not names:
        say(f"{NAME}: no account has rules")
        return 0
    with progress() as follower:
        found = asyncio.run(_locks(chosen, files, names, server, follower, prune=prune))
    if not check:
        files.write(found)
    for one in found:
        changes = one.content is not None
        print_data(lock_text(one.account, one.path, one.resolved, one.before, changes=changes))
    return STALE if check and any(one.content is not None for one in found) else 0


async def _locks(
    chosen: Settings,
    files: WorkingFiles,
    names: Sequence[AccountName],
    server: str | None,
    follower: Follower,
    *,
    prune: bool,
) -> Sequence[Lock]:
    """Return what the locks have to hold, by LG's answer or by what the daemon read."""
    from reconciler.api.client.connection import LARGEST_PLAN, ask
    from reconciler.api.client.registry import AskingDaemon
    from reconciler.runtime.resolving import asking_lg

    if server is not None:
        asked = partial(ask, server, token=for_reading(chosen, server), largest=LARGEST_PLAN)
        daemon = AskingDaemon(asked)
        return await files.locks(names, daemon, follower, at_once=1, prune=prune)
    wanted = [files.accounts[name] for name in names]
    async with asking_lg(chosen, masking, wanted) as lg:
        return await files.locks(names, lg, follower, at_once=chosen.workers, prune=prune)
