"""Commands about what LG sends: ``receive``, and ``events`` with all that is under it.

Must not: speak to LG, or decide anything about an event; ``runtime`` and ``events`` do. The commands under ``events``
open the spool themselves, beside a receiving process that may be running.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import (
    log_as,
    masking,
    print_data,
    say,
    screen,
)
from reconciler.cli.options import EnvFile, FullIds
from reconciler.cli.serving import let_objects_gather, serve
from reconciler.core.errors import ReconcilerError
from reconciler.events.model import EventState

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import SecretStr

    from reconciler.runtime.receiver_settings import ReceiverSettings
    from reconciler.runtime.receiving.beside import Beside

SHORTEST_DEVICE = 8
"""Characters of a device's id that ``erase`` insists on: it searches bytes for them."""


class EventOutput(StrEnum):
    """How events are printed."""

    TEXT = "text"
    WIDE = "wide"
    JSON = "json"


class Replayed(StrEnum):
    """Which events a replay takes, by what became of them at the sink."""

    DEAD = "dead"
    DELIVERED = "delivered"
    UNROUTED = "unrouted"
    QUARANTINED = "quarantined"


EventOutputOption = Annotated[
    EventOutput,
    typer.Option("--output", "-o", metavar="FORMAT", help="How to print it: text, wide or json."),
]
DeviceOption = Annotated[str | None, typer.Option(metavar="ID", help="Only of this device.")]


def receive(
    check: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Only send a self-test through this public address; exits 0 if it was stored.",
        ),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Take the events that LG sends. Keeps and delivers them until SIGTERM or Ctrl-C.

    It faces the internet, so it refuses to start beside any credential of LG's. With --check it is a caller: it sends
    a marked event with the credential of the settings, which is stored and never delivered.
    """
    chosen = read_receiver_settings(env_file, serving=check is None)
    if check is None:
        _serve(chosen)
    else:
        _check(chosen, check)


def _check(chosen: ReceiverSettings, url: str) -> None:
    from reconciler.api.client.self_test import check

    basic, path = chosen.basic_reader(), chosen.path_secret_reader()
    pair = None if basic is None else _first_line(basic.read())
    secret = None if path is None else _first_line(path.read())
    masking.know(one for one in (pair, secret) if one is not None)
    shown = check(url, pair=pair, secret=secret)
    print_data(f"The self-test was stored through {shown}\n")


def _first_line(read: SecretStr | str) -> str:
    """Return the newest of a secret's lines, or raise with the sentence that says why there is none."""
    if isinstance(read, str):
        raise ReconcilerError(read)
    return read.get_secret_value().splitlines()[0]


def _serve(chosen: ReceiverSettings) -> None:
    import asyncio

    from reconciler.api.receiver import MOST_UNDER_WAY
    from reconciler.runtime.receiving.process import ReceiverProcess
    from reconciler.telemetry.logs import lines_dropped

    async def work() -> None:
        process = ReceiverProcess(chosen, masking=masking, lines_dropped=lines_dropped)
        await serve(process, chosen.shutdown_grace)

    let_objects_gather(MOST_UNDER_WAY)
    asyncio.run(work())


def read_receiver_settings(env_file: Path | None, *, serving: bool) -> ReceiverSettings:
    """Read the receiver's settings and set up logs."""
    from reconciler.runtime import settings

    masking.know(settings.suspects(os.environ, env_file))
    chosen = settings.load_receiver(os.environ, env_file, serving=serving)
    log_as(chosen, one_shot=not serving)
    return chosen


# --- What is kept ----------------------------------------------------------------------------------------------------


def list_events(
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help="Only of this account.")
    ] = None,
    device: DeviceOption = None,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only this diagnosis type.")
    ] = None,
    sink: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what goes to this sink.")
    ] = None,
    state: Annotated[
        EventState | None,
        typer.Option(
            metavar="STATE",
            help="Only pending, delivered, dead, unrouted, quarantined or erased.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only what was stored since, like 2026-11-22T10:00:00Z, or 2h or 7d ago.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="How many at most.")
    ] = 100,
    full_ids: FullIds = False,
    output: EventOutputOption = EventOutput.TEXT,
    env_file: EnvFile = None,
) -> None:
    """List events, newest first. Without their bodies."""
    from reconciler.events.model import Wanted
    from reconciler.reporting.formats import kept_events

    wanted = Wanted(
        account=account,
        device=device,
        type=type_,
        sink=sink,
        state=state,
        since=None if since is None else _moment(since),
        limit=limit,
    )
    with _spool(env_file) as spool:
        found = spool.archive.events(wanted)
    room = screen(wide=output is EventOutput.WIDE, full_ids=full_ids)
    _print(
        output,
        text=lambda: kept_events.events_text(found, room),
        json=lambda: kept_events.events_json(found),
    )


def show(
    event: Annotated[str, typer.Argument(metavar="ID", hidden=True)],
    output: EventOutputOption = EventOutput.TEXT,
    env_file: EnvFile = None,
) -> None:
    """Show one event whole. Where it was delivered, and LG's message as it came.

    ID is an event's id or the beginning of one. What shows is personal data.
    """
    from reconciler.api.event_queries import found_events
    from reconciler.reporting.formats import kept_events

    with _spool(env_file) as spool:
        found = found_events(spool.archive, event)
    _print(
        output,
        text=lambda: "\n".join(map(kept_events.event_text, found)),
        json=lambda: kept_events.whole_events_json(found),
    )


def unknown(output: EventOutputOption = EventOutput.TEXT, env_file: EnvFile = None) -> None:
    """List diagnosis types that the Logic Table lacks. As lines of types.csv, ready to paste."""
    from reconciler.reporting.formats import kept_events

    with _spool(env_file) as spool:
        found = spool.archive.unknown(spool.rules.table)
    _print(
        output,
        text=lambda: kept_events.unknown_text(found),
        json=lambda: kept_events.unknown_json(found),
    )


def replay(
    sink: Annotated[str, typer.Option(metavar="NAME", help="Where to deliver.")],
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="What was stored since, like 2026-11-22T10:00:00Z, or 2h or 7d ago.",
        ),
    ],
    state: Annotated[
        list[Replayed] | None,
        typer.Option(
            metavar="STATE",
            help="Which: dead (default), delivered, unrouted or quarantined; may be repeated.",
        ),
    ] = None,
    device: DeviceOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count them, and change nothing.")
    ] = False,
    output: EventOutputOption = EventOutput.TEXT,
    env_file: EnvFile = None,
) -> None:
    """Deliver events again to a sink. Those that were given up, unless another state is named.

    A running receiver begins within a second. Each event keeps its id, so a sink that knows it can tell. The state
    unrouted takes events that never went to the sink; quarantined reads again what was not understood.
    """
    from reconciler.core.text import counted
    from reconciler.reporting.formats.encoding import json_text

    begin = _moment(since)
    states = [EventState(one.value) for one in state or [Replayed.DEAD]]
    with _spool(env_file) as spool:
        spool.check_sink(sink)
        count = spool.archive.replay(sink, begin, states=states, device=device, dry_run=dry_run)
    done = "would be delivered" if dry_run else "will be delivered"
    _print(
        output,
        text=lambda: f"{counted(count, 'event')} {done} to {sink}\n",
        json=lambda: json_text({"api": 1, "sink": sink, "events": count, "dry_run": dry_run}),
    )


def erase(
    device: Annotated[str, typer.Argument(metavar="DEVICE", hidden=True)],
    output: EventOutputOption = EventOutput.TEXT,
    env_file: EnvFile = None,
) -> None:
    """Erase what the spool holds of a device. Bodies and names go for good; undelivered events are not delivered.

    DEVICE is the whole id. What has left already cannot be reached from here: the command names where that is.
    """
    from reconciler.core.text import counted
    from reconciler.reporting.formats.encoding import json_text

    if len(device) < SHORTEST_DEVICE:
        raise typer.BadParameter(
            f"has to be a whole id, of at least {SHORTEST_DEVICE} characters", param_hint="DEVICE"
        )
    with _spool(env_file) as spool:
        reached = spool.reached(device)
        count = spool.erase(device)
    _print(
        output,
        text=lambda: f"{counted(count, 'event')} erased\n",
        json=lambda: json_text({"api": 1, "events": count, "not_reached": reached}),
    )
    if reached:
        say(f"Not reached: what these sinks were given: {', '.join(reached)}.")
    say(
        "Not reached: logs of this program, the files of stream sinks, the spools of other receivers, backups."
    )


@contextmanager
def _spool(env_file: Path | None) -> Iterator[Beside]:
    """Open the spool of the settings."""
    from reconciler.runtime.receiving.beside import beside

    with beside(read_receiver_settings(env_file, serving=False)) as spool:
        yield spool


def _moment(text: str) -> datetime:
    """Return a time given as such or as a span before now; wrong usage where it is neither."""
    from reconciler.reporting.parameters import moment
    from reconciler.runtime.clock import SystemClock

    try:
        return moment("since", text, SystemClock().now())
    except ReconcilerError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error


def _print(output: EventOutput, *, text: Callable[[], str], json: Callable[[], str]) -> None:
    """Print data in the form that was asked for."""
    if output is EventOutput.JSON:
        print_data(json(), for_programs=True)
    else:
        print_data(text())
