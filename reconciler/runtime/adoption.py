"""Writes a desired state that wants what LG has now, for ``export``.

Owns: which devices and accounts that is, and what is taken over from the present desired state.
Must not: print, or write a file: it returns the content of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler import desired
from reconciler.core.acceptance import chosen
from reconciler.core.errors import PlatformError, ReconcilerError, Throttled
from reconciler.core.model import AccountName, Cause, Desired, Device, DeviceId, DeviceType
from reconciler.core.rules import Registered
from reconciler.runtime.accounts import Follower
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.settings import Settings
from reconciler.runtime.wiring import Components, built
from reconciler.state import State
from reconciler.telemetry.masking import Masking


async def adopt(
    settings: Settings,
    masking: Masking,
    asked: Sequence[str] | None,
    follower: Follower,
    *,
    registered: bool = False,
) -> str:
    """Return a file that wants what is live now. What the present file says of accounts and devices is kept.

    With ``registered`` it wants all that the users own and PCC documents, live or not, named as LG names it. Without a
    present file the accounts are those that have credentials.
    """
    memory = State.in_memory(SystemClock())
    async with built(settings, memory, read_only=True, masking=masking) as components:
        present = await _present(components)
        names = chosen(asked, sorted(present.keys() | components.credentials.accounts()))
        if not names:
            raise ReconcilerError(
                "no account: set PCC_ACCESS_TOKEN or PCC_REFRESH_TOKEN, or PCC_CREDENTIALS_DIR"
            )
        _follow(components, names, present)
        follower.accounts(len(names))
        now, wanted, aside = SystemClock().now(), [], {}
        for name in names:
            found, aside[name] = await _found(components, name, registered=registered)
            wanted.append(_adopted(found, present.get(name), now))
            follower.account_done()
        accepted = components.informer.accepted
        environment = settings.environment or accepted.environment
        content = desired.dump(
            wanted, environment=environment, retired=accepted.retired - set(names), aside=aside
        )
    _insist_on_validity(content, settings)
    return content


async def _present(components: Components) -> dict[AccountName, Desired]:
    """Return the accounts of the present desired state; there need not be one.

    An empty file is none: the shell makes it in ``export > desired-state.toml`` before we begin.
    """
    path = components.settings.desired_state
    if components.settings.git_url is None and path.is_file() and not path.stat().st_size:
        return {}
    await components.informer.refresh()
    if components.informer.accepted.rejected is Cause.MISSING:
        return {}
    await components.informer.require()
    return {
        name: account.desired for name, account in components.informer.accepted.accounts.items()
    }


def _follow(
    components: Components, names: Sequence[AccountName], present: dict[AccountName, Desired]
) -> None:
    """Bring the clients in step with the accounts that are adopted."""
    countries: dict[AccountName, str | None] = dict.fromkeys(names)
    for name in names:
        if name in present:
            countries[name] = present[name].country
    components.clients.follow(countries)
    components.masking.know(components.credentials.secrets())


async def _found(
    components: Components, name: AccountName, *, registered: bool
) -> tuple[Desired, list[desired.Aside]]:
    """Return the devices to adopt as LG describes them, and those that no file should want."""
    client = components.clients(name)
    if isinstance(client, str):
        raise ReconcilerError(f"account {name}: {client}")
    try:
        if not registered:
            return Desired(name, (await client.list_devices()).devices), []
        fit, aside = _sorted_out(await client.registered())
        return Desired(name, frozenset(fit), fit), aside
    except Throttled as error:
        raise ReconcilerError(
            f"account {name}: {error}. LG throttles the account: wait, and try again"
        ) from error
    except PlatformError as error:
        raise ReconcilerError(f"account {name}: {error}") from error


def _sorted_out(owned: Iterable[Registered]) -> tuple[dict[DeviceId, Device], list[desired.Aside]]:
    """Return the devices that PCC may watch, as LG describes them, and those of types that PCC does not document."""
    fit: dict[DeviceId, Device] = {}
    aside = []
    for one in owned:
        kind = (one.type or "").removeprefix("DEVICE_").lower()
        if kind and kind not in set(DeviceType):
            aside.append(
                desired.Aside(one.id, f"PCC does not document the type {one.type}", one.alias)
            )
        else:
            fit[one.id] = Device(one.id, one.alias or None, DeviceType(kind) if kind else None)
    return fit, aside


def _adopted(found: Desired, present: Desired | None, now: datetime) -> Desired:
    """Return an account that wants what was found. Approvals are left out: what is wanted cannot be approved."""
    if present is None:
        return found
    wanted = found.devices - present.policy.ignore
    described = {}
    for id_, device in {**found.described, **present.described}.items():
        if id_ in wanted:
            # Dates that would take the device out again are dropped.
            described[id_] = (
                device if device.wanted_at(now) else replace(device, from_=None, until=None)
            )
    return Desired(found.account, wanted, described, policy=present.policy, country=present.country)


def _insist_on_validity(content: str, settings: Settings) -> None:
    """Make sure that the file a person is about to commit is one that we would accept."""
    document = desired.Document("export", content.encode())
    loaded = desired.load([document], desired.MemoryTree({}), environment=settings.environment)
    if loaded.faults:
        raise ReconcilerError(
            f"what LG lists cannot be written as a valid file: {loaded.faults[0].message}"
        )
