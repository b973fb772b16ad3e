"""Commands that play: ``simulate``, which is LG's platform, and ``demo``, which is that, daemon and receiver.

Must not: speak to LG.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.console import NAME, coloured, masking, print_data
from reconciler.core.errors import ReconcilerError

HIGHEST_PORT = 65535

Share = Annotated[
    float,
    typer.Option(
        metavar="SHARE", min=0, max=1, help="Share of them that is subscribed at first, 0 to 1."
    ),
]
Kept = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep users and subscriptions in this file.")
]
Callback = Annotated[
    str | None, typer.Option(metavar="URL", help="Send events of subscribed devices there.")
]
CallbackBasic = Annotated[
    str | None, typer.Option(metavar="USER:PASSWORD", help="Basic authentication of those calls.")
]
EventsPerHour = Annotated[
    float | None, typer.Option(metavar="X", min=0, help="Events of the whole fleet in an hour.")
]


def simulate(
    listen: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Loopback address and port; port 0 takes a free one."),
    ] = "127.0.0.1:9000",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Makes every random choice repeatable.")
    ] = 0,
    users: Annotated[
        str, typer.Option(metavar="NAMES", help="Names of users, separated by commas.")
    ] = "default",
    devices: Annotated[int, typer.Option(metavar="N", min=0, help="Devices of each user.")] = 20,
    subscribed: Share = 0.0,
    state: Kept = None,
    quota: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Calls an hour and user.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A fault plan as JSON.")
    ] = None,
    latency: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="How long each answer takes.")
    ] = None,
    token_life: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, help="How long an access token lives.")
    ] = None,
    callback: Callback = None,
    callback_basic: CallbackBasic = None,
    events_per_hour: EventsPerHour = None,
) -> None:
    """Play LG's platform on loopback. With its quotas, codes and faults; it is not LG."""
    import asyncio

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
        callback=callback,
        callback_basic=callback_basic,
        events_per_hour=events_per_hour,
    )
    try:
        asyncio.run(simulator_run(options))
    except SimulatorError as error:
        raise ReconcilerError(str(error)) from error


def _checked_address(text: str) -> str:
    """Return an address and a port, or a port of every address, or say that it is neither."""
    _host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise typer.BadParameter("has to be an address and a port, like 127.0.0.1:8080")
    return text


def demo(
    listen: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            callback=_checked_address,
            help="Where page and metrics are, or else on a free port.",
        ),
    ] = "127.0.0.1:8080",
    devices: Annotated[
        int, typer.Option(metavar="N", min=4, help="Devices of the sample fleet.")
    ] = 24,
    seed: Annotated[int, typer.Option(metavar="N", help="Another sample fleet.")] = 0,
) -> None:
    """Run simulator, daemon and receiver together until Ctrl-C. On a sample fleet, in a temporary folder."""
    import asyncio

    from reconciler.runtime.demo import Demo
    from reconciler.runtime.demo_events import SHOWN_IN_A_LINE
    from reconciler.runtime.signals import signals
    from reconciler.telemetry.logs import set_up_logs

    set_up_logs(
        "info",
        "auto",
        masking=masking,
        colours=coloured(sys.stderr),
        without=SHOWN_IN_A_LINE,
    )

    async def work() -> None:
        one = Demo(
            listen=listen,
            devices=devices,
            seed=seed,
            say=_print_line,
            masking=masking,
            program=_this_program(),
        )
        with signals(one.stop):
            await one.run()

    asyncio.run(work())


def _this_program() -> str:
    """Return how a person calls this program: by its name, where the shell finds it by that."""
    called = sys.argv[0]
    is_program = os.access(called, os.X_OK) and Path(called).suffix != ".py"
    return called if is_program and shutil.which(NAME) != called else NAME


def _print_line(text: str) -> None:
    print_data(f"{text}\n")
