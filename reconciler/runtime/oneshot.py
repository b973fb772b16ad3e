"""The commands that ask LG once and end: look, apply, adopt.

Owns: how a command works its way through the accounts, and what it insists on before it begins.
Must not: print, choose an exit code, or fall back to an older text: a command ends where the newest one is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler import desired
from reconciler.core.acceptance import chosen
from reconciler.core.errors import PlatformError, ReconcilerError, Throttled
from reconciler.core.model import AccountName, Cause, Desired, Device, DeviceId, DeviceType, Digest
from reconciler.core.status import PassReport
from reconciler.pcc.protocol import Registered
from reconciler.reporting import PlanReport
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.settings import Settings
from reconciler.runtime.wiring import Components, built
from reconciler.state import State
from reconciler.telemetry.masking import Masking


class Follower:
    """Somebody who follows the work, such as progress bars. This one looks away."""

    def accounts(self, count: int) -> None:
        """Hear how many accounts there are to work on."""

    def account_done(self) -> None:
        """Hear that one of them is done."""

    def changes(self, count: int) -> None:
        """Hear that so many more changes are about to be made."""

    def change_done(self) -> None:
        """Hear that one of them is done, for good or ill."""


@dataclass(frozen=True, slots=True)
class Work:
    """What became of the accounts, and what a person should hear beside: warnings of the text, trouble with state.

    ``reports`` is left out of its ``repr``: ``asyncio.run`` makes a repr of the result when it restores SIGINT, and a
    report lists every device.
    """

    reports: Sequence[PlanReport] = field(repr=False)
    notes: Sequence[str]


class Misuse(ReconcilerError):
    """The command was given what does not fit the text."""


async def look(settings: Settings, masking: Masking, asked: Sequence[str] | None, follower: Follower) -> Work:
    """Return what a pass of each account would do and hold. Nothing is changed, and nothing written anywhere."""
    state = State.read_only(settings.state_dir, SystemClock())
    async with built(settings, state, keeps=False, read_only=True, masking=masking) as parts:
        reports = await _each(parts, await _ready(parts, asked), parts.reconciler.previews.dry_run, follower)
        return Work(reports, _notes(parts))


async def apply(
    settings: Settings,
    masking: Masking,
    asked: Sequence[str] | None,
    follower: Follower,
    *,
    expect: Digest | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Work:
    """Make one pass of each account. Where ``stopping`` says so, no new call is made and no further account begun.

    Raises ``StateError`` beside a daemon that holds the state, and ``Misuse`` where ``expect`` meets several accounts.
    """
    state = State.open(settings.state_dir, SystemClock())
    try:
        async with built(settings, state, masking=masking, stopping=stopping, observer=follower) as parts:
            names = await _ready(parts, asked)
            if expect is not None and len(names) != 1:
                raise Misuse(f"--expect is for one account, and here are {len(names)}: add --account NAME")

            async def make(name: AccountName) -> PassReport | None:
                if stopping():
                    return None
                await parts.reconciler.reconcile(name, expect)
                return parts.reconciler.accounts.statuses[name].last

            reports = await _each(parts, names, make, follower)
            return Work(reports, _notes(parts))
    finally:
        state.close()


async def adopt(
    settings: Settings,
    masking: Masking,
    asked: Sequence[str] | None,
    follower: Follower,
    *,
    registered: bool = False,
) -> str:
    """Return a desired-state text that wants what is live now, with what the present text says of accounts and devices.

    With ``registered`` it wants all that the users own and PCC documents, live or not, named as LG names it. Without a
    present text the accounts are those that have credentials.
    """
    memory = State.in_memory(SystemClock())
    async with built(settings, memory, read_only=True, masking=masking) as parts:
        texts = await _present(parts)
        names = chosen(asked, sorted(texts.keys() | parts.store.accounts()))
        if not names:
            raise ReconcilerError("no account: set PCC_ACCESS_TOKEN or PCC_REFRESH_TOKEN, or PCC_CREDENTIALS_DIR")
        parts.clients.follow({name: texts[name].country if name in texts else None for name in names})
        masking.know(parts.store.secrets())
        follower.accounts(len(names))
        now, wanted, aside = SystemClock().now(), [], {}
        for name in names:
            found, aside[name] = await _found(parts, name, registered=registered)
            wanted.append(_adopted(found, texts.get(name), now))
            follower.account_done()
        present = parts.informer.accepted
        environment = settings.environment or present.environment
        text = desired.dump(wanted, environment=environment, retired=present.retired - set(names), aside=aside)
    _insist_on_validity(text, settings)
    return text


async def _present(parts: Components) -> dict[AccountName, Desired]:
    """Return the accounts of the present text; there need not be one.

    An empty file is none: the shell makes it in ``export > desired-state.toml`` before we begin.
    """
    path = parts.settings.desired_state
    if parts.settings.git_url is None and path.is_file() and not path.stat().st_size:
        return {}
    await parts.informer.refresh()
    if parts.informer.accepted.rejected is Cause.MISSING:
        return {}
    await parts.informer.require()
    return {name: text.desired for name, text in parts.informer.accepted.accounts.items()}


async def _found(parts: Components, name: AccountName, *, registered: bool) -> tuple[Desired, list[desired.Aside]]:
    """Return the devices to adopt as LG tells of them, and those that no text should want."""
    client = parts.clients(name)
    if isinstance(client, str):
        raise ReconcilerError(f"account {name}: {client}")
    try:
        if not registered:
            return Desired(name, (await client.list_devices()).devices), []
        fit, aside = _sorted_out(await client.registered())
        return Desired(name, frozenset(fit), fit), aside
    except Throttled as error:
        raise ReconcilerError(f"account {name}: {error}. LG throttles the account: wait, and try again") from error
    except PlatformError as error:
        raise ReconcilerError(f"account {name}: {error}") from error


def _sorted_out(owned: Iterable[Registered]) -> tuple[dict[DeviceId, Device], list[desired.Aside]]:
    """Return the devices that PCC may watch, as LG describes them, and those of types that PCC does not document."""
    fit: dict[DeviceId, Device] = {}
    aside = []
    for one in owned:
        kind = (one.type or "").removeprefix("DEVICE_").lower()
        if kind and kind not in set(DeviceType):
            aside.append(desired.Aside(one.id, f"PCC does not document the type {one.type}", one.alias))
        else:
            fit[one.id] = Device(one.id, one.alias or None, DeviceType(kind) if kind else None)
    return fit, aside


def _adopted(found: Desired, text: Desired | None, now: datetime) -> Desired:
    """Return an account that wants what was found; approvals are left out, since what is wanted cannot be approved."""
    if text is None:
        return found
    wanted = found.devices - text.policy.ignore
    described = {device: one for device, one in {**found.described, **text.described}.items() if device in wanted}
    for device, one in described.items():
        if not one.wanted_at(now):  # its dates would take it out again
            described[device] = replace(one, from_=None, until=None)
    return Desired(found.account, wanted, described, policy=text.policy, country=text.country)


def _insist_on_validity(text: str, settings: Settings) -> None:
    """Make sure that what a person is about to commit is a text that we would accept."""
    document = desired.Document("export", text.encode())
    loaded = desired.load([document], desired.MemoryTree({}), environment=settings.environment)
    if loaded.faults:
        raise ReconcilerError(f"what LG lists cannot be written as a valid file: {loaded.faults[0].message}")


def _notes(parts: Components) -> list[str]:
    notes = [f"{warning} (warning)" for warning in parts.informer.accepted.warnings]
    if parts.state.trouble:
        notes.append(f"state: {parts.state.trouble}")
    if parts.state.set_aside is not None:
        notes.append(f"state: it was damaged; a fresh one is begun, and the old one is kept as {parts.state.set_aside}")
    return notes


async def _ready(parts: Components, asked: Sequence[str] | None) -> list[AccountName]:
    """Insist on the newest text and return the accounts to work on."""
    await parts.informer.require()
    parts.follow_credentials()
    return chosen(asked, sorted(parts.informer.accepted.accounts))


async def _each(
    parts: Components,
    names: Sequence[AccountName],
    work: Callable[[AccountName], Awaitable[PassReport | None]],
    follower: Follower,
) -> list[PlanReport]:
    """Do the work of each account, a few at once, and return the reports in the order of the names."""
    room = asyncio.Semaphore(parts.settings.workers)

    async def one(name: AccountName) -> PlanReport | None:
        text = parts.informer.current(name)
        async with room:
            ending = await work(name)
        follower.account_done()
        return PlanReport(name, str(text.revision), ending) if text is not None and ending is not None else None

    follower.accounts(len(names))
    reports = await asyncio.gather(*(one(name) for name in names), return_exceptions=True)
    for report in reports:  # only now: what goes wrong in one account does not break off the others
        if isinstance(report, BaseException):
            raise report
    return [report for report in reports if isinstance(report, PlanReport)]
