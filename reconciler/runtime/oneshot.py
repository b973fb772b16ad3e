"""The commands that make passes and end: ``plan`` and ``apply``.

Owns: how a command works on the accounts, and what it insists on before it begins.
Must not: print, choose an exit code, or fall back to an older revision: a command ends where the newest one is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

from reconciler.core.acceptance import chosen
from reconciler.core.errors import ReconcilerError, Unknown
from reconciler.core.model import AccountName, Digest
from reconciler.core.status import PassReport
from reconciler.reporting import PlanReport
from reconciler.runtime.accounts import Follower, each_account
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.replicas.source import SoleSource
from reconciler.runtime.settings import Settings
from reconciler.runtime.wiring import Components, Host, built
from reconciler.state import State, is_there, shared, vacant
from reconciler.telemetry.masking import Masking


@dataclass(frozen=True, slots=True)
class Work:
    """What became of the accounts, and what else a person should know: warnings of the files, trouble with the state.

    ``reports`` is excluded from ``repr``: ``asyncio.run`` makes the repr of its result, and reports list every device.
    """

    reports: Sequence[PlanReport] = field(repr=False)
    notes: Sequence[str]


UNSEEN = Digest("not seen")
"""The digest of no plan: an account that came in after a person was asked is left alone."""


class Misuse(ReconcilerError):
    """The command was given what does not fit the desired state."""


async def dry_run(
    settings: Settings, masking: Masking, asked: Sequence[str] | None, follower: Follower
) -> Work:
    """Return what a pass of each account would do and hold. Nothing is changed, and nothing written anywhere."""
    state = State.read_only(settings.state_place, SystemClock())
    async with built(settings, state, keeps=False, read_only=True, masking=masking) as components:
        names = await _ready(components, asked)
        reports = await _reports(
            components, names, components.reconciler.previews.dry_run, follower
        )
        return Work(reports, _notes(components))


async def dry_runs(
    each: Sequence[Settings],
    masking: Masking,
    asked: Sequence[str] | None,
    follower: Follower,
) -> Work:
    """Return the plans of several desired states, one after the other.

    Raises ``Unknown`` where none of them has an account that is asked for.
    """
    reports: list[PlanReport] = []
    notes: list[str] = []
    unknown: list[Unknown] = []
    for settings in each:
        try:
            looked = await dry_run(settings, masking, asked, follower)
        except Unknown as error:
            unknown.append(error)
            continue
        reports += looked.reports
        notes += looked.notes
    if len(unknown) == len(each):
        raise unknown[0]
    return Work(reports, tuple(dict.fromkeys(notes)))


def insist_on_free(settings: Settings) -> None:
    """Raise ``StateError`` where another process holds the state, before a person is asked in vain."""
    with vacant(settings.state_place, _unsaid):
        if is_there(settings.state_place, SystemClock()):
            State.open(settings.state_place, SystemClock()).close()


def _unsaid(_words: str) -> None:
    """Take what a command does not report."""


class _Stoppable(Host):
    """A command that makes no new call after ``stop``."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def stopping(self) -> bool:
        """Say whether no new call is to be made."""
        return self._stop.is_set()


async def apply(
    settings: Settings,
    masking: Masking,
    asked: Sequence[str] | None,
    follower: Follower,
    *,
    expect: Digest | None = None,
    confirmed: Mapping[AccountName, Digest] | None = None,
    stop: asyncio.Event | None = None,
) -> Work:
    """Make one pass of each account. After ``stop`` no new call is made and no further account begun.

    ``confirmed`` are the unsubscribes of each account that a person has seen; an account with others is left alone.
    Raises ``StateError`` beside a daemon that holds or shares the state, and ``Misuse`` where ``expect`` meets several
    accounts.
    """
    host = _Stoppable(stop or asyncio.Event())
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, vacant(settings.state_place, _unsaid))
        state, source = _opened(settings, stack)
        async with built(
            settings, state, host=host, masking=masking, observer=follower, shared=source
        ) as components:
            if source is not None:
                await source.recall(components.informer, state.revisions)
            names = await _ready(components, asked)
            if expect is not None and len(names) != 1:
                raise Misuse(
                    f"--expect is for one account, and here are {len(names)}: add --account NAME"
                )

            async def one_pass(name: AccountName) -> PassReport | None:
                if host.stopping():
                    return None
                seen = expect if confirmed is None else confirmed.get(name, UNSEEN)
                await components.reconciler.reconcile(name, seen)
                return components.reconciler.accounts.statuses[name].last

            reports = await _reports(components, names, one_pass, follower)
            return Work(reports, _notes(components))


def _opened(settings: Settings, stack: ExitStack) -> tuple[State, SoleSource | None]:
    """Open the state, and with one that replicas share the way to let them know what is accepted."""
    place, clock = settings.state_place, SystemClock()
    found = shared(place, clock)
    if found is None:
        return stack.enter_context(closing(State.open(place, clock))), None
    storage, coordination = found
    stack.callback(coordination.close)
    state = State(storage, clock, longest_call=settings.request_timeout)
    stack.enter_context(closing(state))
    state.flush()
    return state, SoleSource(coordination.source, clock)


def _notes(components: Components) -> list[str]:
    notes = [f"{warning} (warning)" for warning in components.informer.accepted.warnings]
    if components.state.trouble:
        notes.append(f"state: {components.state.trouble}")
    damaged = components.state.set_aside
    if damaged is not None:
        notes.append(f"state: it was damaged: kept as {damaged}, and a new one was begun")
    return notes


async def _ready(components: Components, asked: Sequence[str] | None) -> list[AccountName]:
    """Insist on the newest revision and return the accounts to work on."""
    await components.informer.require()
    components.follow_credentials()
    return chosen(asked, sorted(components.informer.accepted.accounts))


async def _reports(
    components: Components,
    names: Sequence[AccountName],
    work: Callable[[AccountName], Awaitable[PassReport | None]],
    follower: Follower,
) -> list[PlanReport]:
    """Do the work of each account and return the reports. An error is raised after all accounts are done."""
    revisions = {name: components.informer.current(name) for name in names}
    done = await each_account(names, work, follower, at_once=components.settings.workers)
    reports = []
    for name, report in zip(names, done, strict=True):
        if isinstance(report, BaseException):
            raise report
        revision = revisions[name]
        if report is not None and revision is not None:
            called = components.state.names.of(name, report.going)
            named = replace(report, names=called)
            reports.append(PlanReport(name, str(revision.revision), named))
    return reports
