"""``history``: past changes, and how a person says which.

Owns: the filters of the command, and what an empty answer says. Must not: know how changes are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.completing import devices
from reconciler.cli.console import in_colours, print_as, read_settings, say, screen
from reconciler.cli.options import EnvFile, FullIds, Output, OutputOption
from reconciler.cli.status import OnlyAccount, Server, consultation, say_notes
from reconciler.core.errors import ReconcilerError, quoted

if TYPE_CHECKING:
    from reconciler.reporting.moments import Zone

Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Not before this time: 2h or 7d ago, 2026-11-24, yesterday, last tuesday, 2026-11-24T10:00:00Z.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only what is older; a day is meant to its end."),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        help="Zone of dates here, and of the times shown. Dates are else meant in the timezone of the desired "
        "state, or in this machine's.",
    ),
]
ActionFilter = Annotated[
    str | None, typer.Option(metavar="ACTION", help="Only subscribe or unsubscribe.")
]
ResultFilter = Annotated[
    str | None,
    typer.Option(metavar="RESULT", help="Only success, noop, failed, refused or begun."),
]
AuthorFilter = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Only by commits of an author with this in name or address."),
]
RevisionFilter = Annotated[
    str | None,
    typer.Option(metavar="REV", help="Only with this commit (its beginning will do) or sha256:…."),
]


def history(
    account: OnlyAccount = None,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this device.", autocompletion=devices)
    ] = None,
    since: Since = None,
    until: Until = None,
    timezone: Timezone = None,
    action: ActionFilter = None,
    result: ResultFilter = None,
    author: AuthorFilter = None,
    revision: RevisionFilter = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many at most.")] = 50,
    full_ids: FullIds = False,
    output: OutputOption = Output.TEXT,
    server: Server = None,
    env_file: EnvFile = None,
) -> None:
    """Show past changes, newest first. With LG's answer and the commit; kept for 90 days.

    Asks the running daemon, or without one the state.
    """
    from reconciler.reporting import moments
    from reconciler.reporting.formats import changes, colouring, explanations
    from reconciler.runtime.clock import SystemClock

    filters = {"action": action, "result": result, "author": author, "revision": revision}
    given = {"account": account, "device": device, "since": since, "until": until, **filters}
    named = {key: value for key, value in given.items() if value is not None}
    zone = _zone(timezone, env_file) if timezone or since or until else moments.IN_UTC
    dated = moments.dated(named, zone, SystemClock().now())
    _insist_on_readable(named, dated.asked)
    say(*(f"{key} {words}" for key, words in dated.spoken.items()))
    shown_in = zone if timezone or dated.spoken else moments.IN_UTC
    answer = consultation(server, env_file).history(dated.asked, limit)
    say_notes(answer.notes, env_file)
    nothing = _no_change({**named, **dated.spoken}, answer.by)
    room = screen(wide=output is Output.WIDE, full_ids=full_ids)
    print_as(
        output,
        text=lambda: in_colours(
            changes.history_text(answer.report, room, shown_in)
            if answer.report.changes or answer.report.openings
            else nothing,
            colouring.history_coloured,
        ),
        json=lambda: explanations.as_json(answer.report, answered_by=answer.by),
        markdown=lambda: changes.history_markdown(answer.report, shown_in),
    )


def _zone(timezone: str | None, env_file: Path | None) -> Zone:
    """Return the zone of dates; wrong usage where there is none of this name."""
    from reconciler.cli.moments import zone_of

    try:
        return zone_of(timezone, read_settings(env_file))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timezone") from error


def _insist_on_readable(named: Mapping[str, str], asked: Mapping[str, str]) -> None:
    """Say which filter cannot be read: that is wrong usage."""
    from reconciler.reporting import queries
    from reconciler.reporting.moments import HOW, SPAN
    from reconciler.runtime.clock import SystemClock

    for key, value in asked.items():
        try:
            queries.wanted({key: value}, SystemClock().now())
        except ReconcilerError as error:
            how = f"{key} must be {HOW}, not {quoted(named[key])!r}" if key in SPAN else error
            raise typer.BadParameter(str(how), param_hint=f"--{key}") from error


def _no_change(asked: Mapping[str, str], by: str) -> str:
    """Return the sentence for an empty history: which changes were asked for, and who was asked."""
    whose = [f"of {key} {quoted(asked[key])}" for key in ("account", "device") if key in asked]
    likes = ("action", "result", "author", "revision")
    whose += [f"with {key} {quoted(asked[key])}" for key in likes if key in asked]
    since = f"since {quoted(asked['since'])}" if "since" in asked else "in the last 90 days"
    until = [f"until {quoted(asked['until'])}"] if "until" in asked else []
    return f"No change {' '.join([*whose, since, *until])}.\nAsked: {quoted(by)}.\n"
