"""Commands that need the files only: ``validate`` and ``schema``.

Must not: speak to LG or to a daemon. They run in the checks of pull requests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import (
    any_setting,
    masking,
    print_data,
    read_settings,
    say,
    say_laid_out,
    screen,
)
from reconciler.cli.options import EnvFile, FullIds, Longest
from reconciler.core.errors import Fault
from reconciler.core.model import Desired

if TYPE_CHECKING:
    from reconciler.desired import Loaded
    from reconciler.reporting.diff import Comparison
    from reconciler.runtime.settings import Settings


DESIRED_STATE = "PCC_DESIRED_STATE"
"""The setting that names the desired state where no PATH does."""


class Findings(StrEnum):
    """How faults are printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


FindingsOutput = Annotated[
    Findings,
    typer.Option(
        "--output",
        "-o",
        metavar="FORMAT",
        help="How to print faults: text, json, markdown or github.",
    ),
]
EventsFiles = Annotated[
    bool,
    typer.Option(
        "--events",
        help="Check events files and their Logic Tables instead; without a PATH that of PCC_EVENTS_CONFIG.",
    ),
]


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", hidden=True),  # shown above the options, without a type
    ] = None,
    output: FindingsOutput = Findings.TEXT,
    events: EventsFiles = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="Also say what the change adds and removes since this Git revision."
        ),
    ] = None,
    full_ids: FullIds = False,
    longest: Longest = None,
    env_file: EnvFile = None,
) -> int:
    """Check desired-state files offline. Reports every fault at once, each with its place.

    PATH is a file or a folder. Each is a desired state of its own; without any it is that of PCC_DESIRED_STATE.
    """
    if events:
        if against is not None:
            raise typer.BadParameter("is not for events files", param_hint="--against")
        return _validate_events(paths, output, env_file, longest)
    # Where a check names its files and sets nothing, as most do, there are no settings to read: half of its time.
    chosen = read_settings(env_file) if not paths or env_file is not None or any_setting() else None
    followed = chosen is not None and chosen.git_url is not None and not paths
    if followed and against is not None:
        raise typer.BadParameter(
            "needs files of this machine: name their PATH", param_hint="--against"
        )
    faults: list[Fault] = []
    warnings: list[Fault] = []
    sources: dict[str, bytes] = {}
    accounts: list[Desired] = []
    compared: list[Comparison] = []
    for path in dict.fromkeys(paths or ([chosen.desired_state] if chosen is not None else [])):
        loaded = _load(path, chosen, followed=followed, named_by="" if paths else DESIRED_STATE)
        if isinstance(loaded, Fault):
            faults.append(loaded)
            continue
        faults += loaded.every_fault
        warnings += loaded.warnings
        sources |= loaded.files
        accounts += loaded.accounts.values()
        if against is not None and not loaded.every_fault:
            compared.append(_compared(against, path, loaded))
    _print_findings(
        output,
        faults,
        warnings,
        accounts,
        compared,
        followed=followed,
        sources={} if followed else _quotable(sources),
        full_ids=full_ids,
        longest=longest,
    )
    return 1 if faults else 0


def _validate_events(
    paths: Sequence[Path] | None, output: Findings, env_file: Path | None, longest: int | None
) -> int:
    """Check events files, each with its Logic Table."""
    from reconciler.reporting.formats import validations
    from reconciler.runtime.partner_files import judged_at

    faults: list[Fault] = []
    warnings: list[Fault] = []
    news: list[str] = []
    for path in dict.fromkeys(paths or [_events_config(env_file)]):
        found = judged_at(path)
        faults += found.faults
        warnings += found.warnings
        if found.rules is not None:
            locales = sorted(found.rules.table.words)
            news.append(
                validations.events_news(
                    len(found.rules.config.sinks), len(found.rules.table.types), locales
                )
            )
    if output is Findings.TEXT:
        _say_findings(validations.findings_lines(faults, warnings))
        print_data("" if faults else "".join(news))
    else:
        _print_findings(
            output,
            faults,
            warnings,
            [],
            [],
            followed=False,
            what="events file",
            longest=longest,
        )
    return 1 if faults else 0


def _events_config(env_file: Path | None) -> Path:
    from reconciler.runtime import settings

    masking.know(settings.suspects(os.environ, env_file))
    return settings.load_receiver(os.environ, env_file, serving=False).events_config


def schema(
    event: Annotated[
        bool,
        typer.Option("--event", help="Print the schema of the CloudEvents that receive delivers."),
    ] = False,
) -> None:
    """Print the JSON Schema of the desired-state file."""
    if event:
        from reconciler.events.envelope_schema import event_schema

        found = event_schema()
    else:
        from reconciler.desired.json_schema import json_schema

        found = json_schema()
    print_data(json.dumps(found, indent=2) + "\n", for_programs=True)


def _load(path: Path, chosen: Settings | None, *, followed: bool, named_by: str) -> Loaded | Fault:
    """Read the desired state at a path, here or in the repository, or say why there is none."""
    from reconciler.core.errors import SourceError
    from reconciler.runtime.clock import SystemClock
    from reconciler.source import FileSource, Source, load_fetched

    opening: AbstractContextManager[Source] = nullcontext(FileSource(path, named_by=named_by))
    if chosen is not None and followed:
        from reconciler.runtime.source import opened

        opening = opened(chosen)
    try:
        with opening as source:
            fetched = source.fetch()
            if fetched is None or fetched.cause is not None:
                return (
                    fetched.unreadable[0]
                    if fetched is not None
                    else Fault("", 0, 0, "there is no file to read")
                )
            environment = None if chosen is None else chosen.environment
            return load_fetched(fetched, environment=environment, now=SystemClock().now())
    except SourceError as error:
        return (
            Fault("", 0, 0, str(error))
            if followed
            else Fault(str(path), 0, 0, str(error).removeprefix(f"{path}: "))
        )


def _quotable(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return the files whose lines may be shown: not one that is a link to another folder."""
    from reconciler.source.files import leads_out

    return {path: content for path, content in files.items() if not leads_out(path)}


def _compared(revision: str, path: Path, loaded: Loaded) -> Comparison:
    from reconciler.reporting.diff import since
    from reconciler.runtime.clock import SystemClock

    return since(revision, path, loaded, SystemClock().now())


def _print_findings(
    output: Findings,
    faults: Sequence[Fault],
    warnings: Sequence[Fault],
    accounts: Sequence[Desired],
    compared: Sequence[Comparison],
    *,
    followed: bool,
    what: str = "desired state",
    sources: Mapping[str, bytes] | None = None,
    full_ids: bool = False,
    longest: int | None = None,
) -> None:
    """Print what ``validate`` found; in text form faults are messages, and only the good news is data."""
    from reconciler.reporting.formats import excerpts, validations
    from reconciler.reporting.formats.comment import LONGEST

    if output is Findings.TEXT:
        quoting = excerpts.Sources(sources or {})
        _say_findings(validations.findings_lines(faults, warnings, quoting))
        print_data(
            ("" if faults else validations.good_news(accounts))
            + validations.comparison_text(compared, screen(full_ids=full_ids))
        )
        return
    if output is Findings.GITHUB and not followed:
        faults, warnings = [*map(_placed, faults)], [*map(_placed, warnings)]
        compared = [_placed_in(one) for one in compared]
    if output is Findings.JSON:
        printed = validations.findings_json(faults, warnings, accounts, compared)
    elif output is Findings.GITHUB:
        printed = validations.findings_github(faults, warnings, compared)
    else:
        printed = validations.findings_markdown(
            faults, warnings, accounts, compared, what=what, longest=longest or LONGEST
        )
    print_data(printed, for_programs=True)


def _say_findings(lines: Sequence[str]) -> None:
    """Say what was found. Only the indented lines, which quote a file, are never folded: a caret is below its place."""
    from reconciler.reporting.formats.colouring import finding_coloured

    for line in lines:
        print_line = say_laid_out if line.startswith(" ") else say
        print_line(line, colouring=finding_coloured)


def _placed(fault: Fault) -> Fault:
    """Return a fault at its place in the repository. One of a file outside says its place in its words."""
    from reconciler.source.place import in_repository

    if not fault.path:
        return fault
    place = in_repository(fault.path, os.environ.get("GITHUB_WORKSPACE"))
    return Fault("", 0, 0, str(fault)) if place is None else replace(fault, path=place)


def _placed_in(compared: Comparison) -> Comparison:
    """Return a comparison whose accounts are at their places in the repository."""
    differences = tuple(
        replace(one, path=_placed(Fault(one.path, 1, 1, "")).path) for one in compared.differences
    )
    return replace(compared, differences=differences)
