"""Runs in which people keep devices by rules and locks, while LG's registry says one thing now and another then.

Owns: what people do to rules and locks, what LG's registry answers, and thirty days of nothing else.
Must not: know what the program makes of it; ``meaning`` says what a lock means, and the checker holds every change
against that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

from reconciler.simulator import Device, Match, Route, Rule
from reconciler.simulator import faults as effects
from simulation.checker import Checker
from simulation.life import HOUR, MINUTE, Life
from simulation.seed import Run
from simulation.texts import Entry, Fleet

EVERY: dict[str, Any] = {"name": "all", "every": True}
RULES: tuple[dict[str, Any], ...] = (
    EVERY,
    {"name": "washers", "type": ["washer"]},
    {"name": "kitchen", "type": ["oven", "dish_washer", "refrigerator"], "alias": "*"},
    {"name": "rooms", "alias": "Room [0-9]*", "model": "S*"},
)
"""What people write as the one rule of an account."""
FLICKERS: tuple[effects.RequestEffect | None, ...] = (
    None,
    effects.Short(omit=1),
    effects.Short(omit=2),
    effects.Short(keep=0.3),
    effects.Response("[]"),
    effects.Response("null"),
    effects.Response("missing"),
    effects.Mangle("no-id"),
    effects.Mangle("twice"),
    effects.Raw("{"),
    effects.Html(502),
    effects.Empty(503),
    effects.Error("2000"),
)
"""What LG's registry may be for a while: right, short of a few devices, nearly empty, empty, malformed, failing."""
SETTLED_SECONDS = 3 * HOUR
"""After this a fleet that nobody changes is as wanted."""


class RuledChecker(Checker):
    """A checker that counts how often registries are read."""

    registries = 0

    def sent(self, call: Any) -> None:
        """Hear of a request that goes out."""
        super().sent(call)
        self.registries += call.path == "/devices"


class RuledLife(Life):
    """A life in which most accounts have rules. What people do to these is by chance of its own."""

    _chance = Random(0)  # noqa: S311 - repeatable, and another one for each run

    def given(self, chance: Random) -> None:
        """Take the chance of this run."""
        self._chance = chance

    async def begin(self, accounts: int) -> None:
        """Make the world, and let people keep most accounts by rules."""
        await super().begin(accounts)
        fleet = self.fleet.copy()
        for account in fleet.accounts.values():
            if self._chance.random() < 0.8:
                account.rule = account.resolved = self._chance.choice(RULES)
        await self._publish(fleet, slowly=False)

    def _events(self) -> Iterable[tuple[float, Callable[..., Awaitable[None]]]]:
        return (*super()._events(), (8, RuledLife.rule), (8, RuledLife.resolve))

    async def rule(self) -> None:
        """Let a person edit a rule, add the first or remove the last; some forget to resolve."""
        account = self._chance.choice(sorted(self.fleet.accounts))
        rule = self._chance.choice((None, *RULES, *RULES))
        forgets = self._chance.random() < 0.4

        def change(_fleet: Fleet, one: Any) -> None:
            if rule is None or one.rule is None or not forgets:
                one.resolved = rule
            one.rule = rule

        words = "no rule" if rule is None else f"rule {rule['name']}"
        await self._edit(f"{words}{', and forgets to resolve' if forgets else ''}", account, change)

    async def resolve(self) -> None:
        """Let a job resolve all rules, and take a few devices in."""
        fleet = self.fleet.copy()
        for name, account in fleet.accounts.items():
            if account.rule is None:
                continue
            account.resolved = account.rule
            for device in self._unlisted(name)[: self._chance.randint(0, 2)]:
                account.devices[device] = Entry()
            for approval in fleet.approvals:
                if approval.account == name:
                    approval.devices = [
                        one for one in approval.devices if one not in account.devices
                    ]
        fleet.approvals = [one for one in fleet.approvals if one.devices]
        for name in fleet.accounts:
            self.note("a job resolves rules", name, seconds=MINUTE)
        await self._publish(fleet)


class RuledRun(Run):
    """One seed with rules, locks and a registry that flickers."""

    checker_kind = RuledChecker
    life_kind = RuledLife

    def _connect(self) -> None:
        self._flickering = Random(f"{self.report.seed} registry")  # noqa: S311 - repeatable
        assert isinstance(self._life, RuledLife)
        self._life.given(Random(f"{self.report.seed} rules"))  # noqa: S311 - repeatable

    def _begin_events(self) -> None:
        super()._begin_events()
        self._sending.append(self.loop.create_task(self._flicker()))

    async def _flicker(self) -> None:
        """Let LG's registry be another one every now and then, from the beginning to the end of the run."""
        while True:
            span = self._flickering.uniform(20 * MINUTE, 2 * HOUR)
            effect = self._flickering.choice(FLICKERS)
            if effect is not None:
                rule = Rule(effect, match=Match(route=Route.DEVICES), end=span)
                self._platform.add_fault(rule)
                self.tell(f"LG's registry: {effect}")
            await asyncio.sleep(span)

    def _last_wish(self, *, renamed: bool) -> Fleet:
        """Return what people want in the end: every lock fits its rule."""
        fleet = super()._last_wish(renamed=renamed)
        for account in fleet.accounts.values():
            account.resolved = account.rule
        return fleet


class FlickerRun(RuledRun):
    """A month in which nothing happens but a registry that flickers. Lists are read seldom, so it is short."""

    def _connect(self) -> None:
        super()._connect()
        self._interval = 6 * HOUR
        self._machine.given["PCC_INTERVAL"] = "6h"

    async def _trouble_then_rest(self) -> None:
        life, checker, platform = self._life, self._checker, self._platform
        await life.begin(self._accounts)
        fleet = Fleet(life.fleet.environment)
        for name, account in [*life.fleet.accounts.items()][:1]:  # one account shows it
            account.devices = {one.id: Entry(f"Machine {one.id[:4]}") for one in self._pcc(name)}
            account.policy, account.in_file, account.wings = {}, False, []
            account.rule = account.resolved = EVERY
            fleet.accounts[name] = account
            others = platform.subscribed(name) - account.devices.keys()
            platform.unsubscribe(name, *others)
        await life._publish(fleet, slowly=False)
        checker.started(dirty=False)
        self._machine.start()
        self._begin_events()
        await asyncio.sleep(SETTLED_SECONDS)
        before = checker.changes.copy()
        while self.loop.time() < self._hours * HOUR and not self._over.is_set():
            await asyncio.sleep(12 * HOUR)
            made = checker.changes - before
            words = f"{dict(made)} changes while nobody wants one"
            checker.promise("registry-changes-nothing", words, kept=not made)
            await self._in_between()
        assert isinstance(checker, RuledChecker)
        hourly = self.loop.time() / HOUR * len(fleet.accounts)
        words = f"{checker.registries} readings in {hourly:.0f} hours of accounts"
        kept = 0.8 * hourly <= checker.registries <= hourly + len(fleet.accounts)
        checker.promise("registry-hourly", words, kept=kept)
        for name in fleet.accounts:
            live = platform.subscribed(name)
            wanted = fleet.accounts[name].devices.keys()
            checker.promise("converges", f"{name} has others", kept=live == wanted)
        self._look()
        for task in self._sending:
            task.cancel()
        self._over.set()

    def _pcc(self, name: str) -> list[Device]:
        return [one for one in self._life.user(name).devices.values() if self._takes(one)]
