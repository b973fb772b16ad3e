"""``devices``: every device with its state, those that need a look first.

Owns: how much of the list is shown, and what is asked for. Must not: know what a state means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import in_colours, print_as, screen
from reconciler.cli.options import EnvFile, FullIds, Output, OutputOption, Watched
from reconciler.cli.status import OnlyAccount, Server, consultation, say_notes
from reconciler.cli.watching import watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.api.client.consult import Answer, Consultation
    from reconciler.reporting.devices import DeviceList
    from reconciler.reporting.formats.screen import Screen

BRIEF = 20
"""This number of devices nearly fills a terminal of 24 lines."""


def devices(
    account: OnlyAccount = None,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help="Only in this state: held, refused, missing, extra, unknown, in_sync, unmanaged, ignored or absent; "
            "several with commas. What is held or refused is missing or extra, too.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only with this in their name.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="How many at most.")
    ] = 1000,
    everything: Annotated[
        bool, typer.Option("--all", help="List more than 20, up to the limit.")
    ] = False,
    watched: Watched = False,
    full_ids: FullIds = False,
    output: OutputOption = Output.TEXT,
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """List devices with their state. Those that are held, refused, missing or extra come first.

    Asks the running daemon, or without one the files and the state.
    """
    given = {"account": account, "state": state, "name": name}
    asked = {key: value for key, value in given.items() if value is not None}
    brief = not everything and state is None and name is None
    most = min(limit, BRIEF) if brief and output is not Output.JSON else limit
    whom = consultation(server, env_file, files_too=not watched)

    def shown() -> str:
        room = screen(wide=output is Output.WIDE, full_ids=full_ids)
        return _text(_ask(whom, asked, most), room, one_account="account" in asked)

    if watched:
        watch(shown, output)
    answer = _ask(whom, asked, most)
    say_notes(answer.notes, env_file)
    room = screen(wide=output is Output.WIDE, full_ids=full_ids)
    _print(output, answer, room, one_account="account" in asked)


def _ask(whom: Consultation, asked: Mapping[str, str], most: int) -> Answer[DeviceList]:
    """Return at most this number of devices, those that need a look first unless certain states are asked for."""
    from dataclasses import replace

    from reconciler.reporting.devices import ATTENTION
    from reconciler.reporting.formats.device_lists import together
    from reconciler.reporting.roster import DeviceState

    if "state" in asked:
        return whom.devices(asked, most)
    first = whom.devices({**asked, "state": ",".join(ATTENTION)}, most)
    left = most - len(first.report.devices)
    others = ",".join(one for one in DeviceState if one not in ATTENTION)
    then = whom.devices({**asked, "state": others}, max(left, 1)).report
    if left == 0:
        then = replace(then, devices=(), next=then.next or ("more" if then.devices else None))
    return replace(first, report=together(first.report, then))


def _print(output: Output, answer: Answer[DeviceList], room: Screen, *, one_account: bool) -> None:
    from reconciler.reporting.formats import device_lists, explanations

    print_as(
        output,
        text=lambda: _text(answer, room, one_account=one_account),
        json=lambda: explanations.as_json(answer.report, answered_by=answer.by),
        markdown=lambda: device_lists.devices_markdown(answer.report),
    )


def _text(answer: Answer[DeviceList], room: Screen, *, one_account: bool) -> str:
    from reconciler.reporting.formats import device_lists
    from reconciler.reporting.formats.colouring import devices_coloured

    shown = len(answer.report.devices)
    more = ""
    if answer.report.next is not None:
        raised = "--all" if shown == BRIEF else "raise --limit"
        more = f"The first {shown} are shown ({raised})."
    text = device_lists.devices_text(
        answer.report,
        room,
        more=more,
        by=answer.by,
        one_account=one_account,
    )
    return in_colours(text, devices_coloured)
