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
from reconciler.runtime.accounts import Follower, each_account
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.settings import Settings
from reconciler.runtime.wiring import Components, Host, built
from reconciler.state import State
from reconciler.telemetry.masking import Masking


@dataclass(frozen=True, slots=True)
class Work:
    """What became of the accounts, and what else a person should know: warnings of the files, trouble with the state.

    ``reports`` is excluded from ``repr``: ``asyncio.run`` makes the repr of its result, and reports list every device.
    """

    reports: Sequence[PlanReport] = field(repr=False)
    notes: Sequence[str]


class Misuse(ReconcilerError):
    """The command was given what does not fit the desired state."""


async def look(settings: Settings, masking: Masking, asked: Sequence[str] | None, follower: Follower) -> Work:
    """Return what a pass of each account would do and hold. Nothing is changed, and nothing written anywhere."""
    state = State.read_only(settings.state_dir, SystemClock())
    async with built(settings, state, keeps=False, read_only=True, masking=masking) as components:
        names = await _ready(components, asked)
        reports = await _reports(components, names, components.reconciler.previews.dry_run, follower)
        return Work(reports, _notes(components))


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
    stop: asyncio.Event | None = None,
) -> Work:
    """Make one pass of each account. After ``stop`` no new call is made and no further account begun.

    Raises ``StateError`` beside a daemon that holds the state, and ``Misuse`` where ``expect`` meets several accounts.
    """
    host = _Stoppable(stop or asyncio.Event())
    state = State.open(settings.state_dir, SystemClock())
    try:
        async with built(settings, state, host=host, masking=masking, observer=follower) as components:
            names = await _ready(components, asked)
            if expect is not None and len(names) != 1:
                raise Misuse(f"--expect is for one account, and here are {len(names)}: add --account NAME")

            async def one_pass(name: AccountName) -> PassReport | None:
                if host.stopping():
                    return None
                await components.reconciler.reconcile(name, expect)
                return components.reconciler.accounts.statuses[name].last

            reports = await _reports(components, names, one_pass, follower)
            return Work(reports, _notes(components))
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
    async with built(settings, memory, read_only=True, masking=masking) as components:
        texts = await _present(components)
        names = chosen(asked, sorted(texts.keys() | components.credentials.accounts()))
        if not names:
            raise ReconcilerError("no account: set PCC_ACCESS_TOKEN or PCC_REFRESH_TOKEN, or PCC_CREDENTIALS_DIR")
        components.clients.follow({name: texts[name].country if name in texts else None for name in names})
        masking.know(components.credentials.secrets())
        follower.accounts(len(names))
        now, wanted, aside = SystemClock().now(), [], {}
        for name in names:
            found, aside[name] = await _found(components, name, registered=registered)
            wanted.append(_adopted(found, texts.get(name), now))
            follower.account_done()
        present = components.informer.accepted
        environment = settings.environment or present.environment
        text = desired.dump(wanted, environment=environment, retired=present.retired - set(names), aside=aside)
    _insist_on_validity(text, settings)
    return text


async def _present(components: Components) -> dict[AccountName, Desired]:
    """Return the accounts of the present text; there need not be one.

    An empty file is none: the shell makes it in ``export > desired-state.toml`` before we begin.
    """
    path = components.settings.desired_state
    if components.settings.git_url is None and path.is_file() and not path.stat().st_size:
        return {}
    await components.informer.refresh()
    if components.informer.accepted.rejected is Cause.MISSING:
        return {}
    await components.informer.require()
    return {name: text.desired for name, text in components.informer.accepted.accounts.items()}


async def _found(components: Components, name: AccountName, *, registered: bool) -> tuple[Desired, list[desired.Aside]]:
    """Return the devices to adopt as LG tells of them, and those that no text should want."""
    client = components.clients(name)
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


def _notes(components: Components) -> list[str]:
    notes = [f"{warning} (warning)" for warning in components.informer.accepted.warnings]
    if components.state.trouble:
        notes.append(f"state: {components.state.trouble}")
    if components.state.set_aside is not None:
        notes.append(
            f"state: it was damaged; a fresh one is begun, and the old one is kept as {components.state.set_aside}"
        )
    return notes


async def _ready(components: Components, asked: Sequence[str] | None) -> list[AccountName]:
    """Insist on the newest text and return the accounts to work on."""
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
            reports.append(PlanReport(name, str(revision.revision), report))
    return reports
