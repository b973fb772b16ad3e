"""Reads LG's registry of the accounts that have rules, once an hour.

Owns: when each is read, that neither a list nor a change waits for it, and the line of the log when one begins or ends
to be doubted. Must not: judge a registry (``controller.registries`` does), or ask for an account without rules.

The registry only shows what waits for ``resolve``. So it is read where there is room: after the account's first pass,
while no pass is under way, and with more than half of the hour's calls left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from reconciler.core.clock import Clock
from reconciler.core.errors import Outdated, PlatformError
from reconciler.core.model import AccountName, Desired, Reason
from reconciler.core.rules import Registry
from reconciler.core.status import PassReport
from reconciler.pcc.client import Client
from reconciler.runtime.services.passes import PassMaker
from reconciler.runtime.wiring import REGISTRIES_AT_ONCE, Components

EVERY_SECONDS = 3600.0
LOOK_SECONDS = 60.0
"""How often it is looked at whether a registry is due, beside the end of each pass of its account."""

log = structlog.get_logger()


class RegistryReader:
    """The service. It reads the registry of each account with rules on which this process works."""

    name = "registries"
    grace = 0.0

    def __init__(self, components: Components, passes: PassMaker) -> None:
        self._components, self._queue = components, passes.queue
        self._clock: Clock = components.clock
        self._read_at: dict[AccountName, float] = {}
        self._stopped, self._due = False, asyncio.Event()
        passes.ended.append(self._rested)

    async def run(self) -> None:
        """Read until ``stop``. Without rules nothing is looked at."""
        while not self._stopped:
            self._due.clear()
            there_are_rules = await self._look()
            try:
                async with asyncio.timeout(LOOK_SECONDS if there_are_rules else None):
                    await self._due.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Read no more."""
        self._stopped = True
        self._due.set()

    def _rested(self, account: AccountName) -> None:
        """Look soon: a pass of an account ended, which has rules or had some."""
        text = self._components.informer.current(account)
        ruled = text is not None and text.desired.ruled is not None
        if ruled or account in self._components.registries.news():
            asyncio.get_running_loop().call_soon(self._due.set)

    async def _look(self) -> bool:
        """Read what is due, and work out what waits in revisions that are new. Say whether there are rules."""
        wanted = self._with_rules()
        registries = self._components.registries
        for account in (registries.news().keys() | self._read_at.keys()) - wanted.keys():
            registries.forget(account)
            self._read_at.pop(account, None)
        new = [one for one in wanted.values() if registries.is_new(one)]
        if new:
            await asyncio.to_thread(_judge, self._components, new)
        due = [one for one in wanted.values() if self._is_due(one.account)]
        for start in range(0, len(due), REGISTRIES_AT_ONCE):
            if not self._stopped:
                await asyncio.gather(*map(self._read, due[start : start + REGISTRIES_AT_ONCE]))
        return bool(wanted)

    def _with_rules(self) -> dict[AccountName, Desired]:
        """Return the accounts with rules on which this process works."""
        accounts = self._components.informer.accepted.accounts
        ruled = [name for name, text in accounts.items() if text.desired.ruled is not None]
        return {name: accounts[name].desired for name in self._components.tenure.owned(ruled)}

    def _is_due(self, account: AccountName) -> bool:
        last = self._read_at.get(account)
        if last is not None and self._clock.steady() - last < EVERY_SECONDS:
            return False
        if account in self._queue.under_way or self._queue.next_due(account) == 0:
            return False
        status = self._components.reconciler.accounts.statuses.get(account)
        if status is None or status.last is None or _is_busy(status.last):
            return False
        client = self._components.clients(account)
        return isinstance(client, Client) and _has_room(client)

    async def _read(self, desired: Desired) -> None:
        """Read one registry. What goes wrong is shown, and nothing follows from it."""
        account, registries = desired.account, self._components.registries
        client = self._components.clients(account)
        if isinstance(client, str):
            return
        before, began = registries.doubted(account), self._clock.now()
        self._read_at[account] = self._clock.steady()
        try:
            with structlog.contextvars.bound_contextvars(account=account):
                registry = Registry(await client.registered(), began)
        except Outdated:  # nobody was asked: the account may be another replica's by now
            return
        except PlatformError as error:
            why = f"it cannot be read: {error}"
            registries.failed(desired, why)
        else:
            why = await asyncio.to_thread(registries.take, desired, registry)
        if why and not before:
            log.warning("registry.doubted", account=account, error=why)
        elif before and not why:
            log.info("registry.believed", account=account)


def _judge(components: Components, wanted: Iterable[Desired]) -> None:
    for desired in wanted:
        components.registries.judge(desired)


def _is_busy(last: PassReport) -> bool:
    """Say whether the account is stopped, or has changes to make that may need its calls."""
    return last.stopped or last.unfinished or any(one.reason is Reason.QUOTA for one in last.left)


def _has_room(client: Client) -> bool:
    """Say whether a call may be spent: LG does not throttle, and more than half of the hour's calls are left."""
    left, limit = client.calls_left, client.quota.limit
    if client.opens_for_pass(0) is not None or client.opens_for_change() is not None:
        return False
    return left is None or limit is None or left > limit // 2
