"""What befalls three daemons, beside all that befalls one.

Owns: the events of replicas, how likely each is and how long its trouble lasts. Must not: judge anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, cast

from reconciler.core.model import AccountName
from reconciler.simulator import Match, Rule
from reconciler.simulator import faults as effects
from simulation.life import EVENTS, EVERYBODY, HOUR, MINUTE, Life
from simulation.several.daemons import LEASE_SECONDS, Daemons, Node

HANDED_OVER_SECONDS = LEASE_SECONDS + 2 * MINUTE
"""So long after trouble of a daemon every account is troubled."""
CAUGHT_UP_SECONDS = 6 * MINUTE
"""So long a reader may wait for a copy of the files that lags."""
LOOKS_FOR_A_CALL = 200
"""How often it is looked whether changes are in flight, ten times a second."""


class SharedLife(Life):
    """The world of three daemons."""

    @property
    def daemons(self) -> Daemons:
        """Return the daemons, which are the machine of this world."""
        return cast("Daemons", self._machine)

    def _write_one(
        self, folder: Path, name: str, content: bytes | None, *, in_place: bool | None = None
    ) -> None:
        """Let every daemon's copy have a file, some of them later."""
        del folder
        if content is None:
            self.files.pop(name, None)
        else:
            self.files[name] = content
            in_place = self._random.random() < 0.5 if in_place is None else in_place
        self.daemons.deliver(name, content, in_place=bool(in_place))

    def _set_clock(self, seconds: float, words: str) -> None:
        """Set the database's clock, which is that of all."""
        super()._set_clock(seconds, words)
        self.daemons.trouble()

    def _look_at_the_state(self) -> None:
        """Nothing that is in the database may hold a secret."""
        kept = self.daemons.storage._database._connection.serialize()
        leaks = [one for one in self._checker.secrets if one and one.encode() in kept]
        self._checker.promise("secret", "a secret is in the database", kept=not leaks)

    # -- going on

    def _events(self) -> Iterable[tuple[float, Callable[..., Awaitable[None]]]]:
        """Return what may happen, and how likely it is."""
        return (*EVENTS, *SHARED_EVENTS)

    async def calm_down(self) -> None:
        """End every trouble."""
        await super().calm_down()
        self.daemons.database.away = ""
        self.daemons.database.locked.clear()
        latest = max(node.when_delivered() for node in self.daemons.nodes)
        for node in self.daemons.nodes:
            self._be_well(node)
            node.lag = 0.0
        await asyncio.sleep(latest + 1.0)

    def _be_well(self, node: Node) -> None:
        node.link.be_well()
        if node.up and node.body.stopped:
            node.thaw()
        if not node.up:
            self.daemons.start_one(node)
        self.daemons.trouble()

    def _befall(self, text: str, seconds: float = HANDED_OVER_SECONDS) -> None:
        """Note what befalls daemons or their database."""
        self.note(text, EVERYBODY, seconds=seconds)
        self.daemons.trouble()

    def _one(self, *, up: bool = True) -> Node | None:
        """Pick a daemon that runs and is not frozen."""
        nodes = [node for node in self.daemons.nodes if node.up is up and not node.body.stopped]
        return self._random.choice(nodes) if nodes else None

    def _owner(self, account: str) -> Node | None:
        """Return the daemon that owns an account and is not frozen."""
        row = self.daemons.database.tables.ownership.get(AccountName(account))
        node = self.daemons.node_of(row.owner) if row is not None else None
        return node if node is not None and node.up and not node.body.stopped else None

    async def _get_busy(self) -> None:
        """Give some account work, so that what comes next comes in the middle of it."""
        if self._random.random() < 0.6:
            await self._random.choice((self.add, self.remove_few, self.remove_with_approval))()
        elif account := self.some_account():
            await self.agree(account)
        await asyncio.sleep(self._random.choice((0.0, self._random.uniform(0.0, 6.0))))

    # -- commands

    async def _pause(self, account: str | None, word: str, span: int) -> None:
        """Pause by command at any daemon; where no answer comes nobody knows whether it is in force."""
        body = {"pause": word, "account": account, "for": f"{span}s", "reason": "a drill"}
        asked = self._loop.time()  # it lasts from here on, however late the answer comes
        answer = await self._machine.ask("POST", "/api/v1/pause", body)
        if answer is None or answer.status_code >= 500:
            self._checker.paused(account, "none", 0.0)
        elif answer.is_success:
            self._checker.paused(account, word, span - (self._loop.time() - asked))
            whom = account or EVERYBODY
            self.note(f"a person says pause {word} for {account or 'all'}", whom, seconds=span)

    async def look(self) -> None:
        """Somebody looks at page, status and metrics."""
        if all(node.well for node in self.daemons.nodes) and not self.daemons.database.away:
            await super().look()

    async def push(self) -> None:
        """A webhook reaches any daemon: the one that reads the files looks."""
        answer = await self._machine.ask("POST", "/api/v1/reconcile", {})
        if answer is not None and answer.is_success:
            for account in self.fleet.accounts:
                self._checker.person_agreed(account)

    # -- what befalls daemons

    async def kill_one(self) -> None:
        """A daemon is killed in the middle of work, and starts again a while later."""
        await self._get_busy()
        node = self._one()
        if node is None:
            return
        node.kill()
        self._befall(f"{node.name} is killed")
        wait = self._random.choice((0.5, 5.0, 20.0, self._while(MINUTE, HOUR)))
        self._last(partial(self._start, node), wait)

    async def _start(self, node: Node) -> None:
        if not node.up:
            self.daemons.start_one(node)
            self._befall(f"{node.name} is started")

    async def freeze(self) -> None:
        """A daemon is frozen for less or more than its lease, as a virtual machine that is moved."""
        await self._get_busy()
        node = self._one()
        if node is None:
            return
        lease = LEASE_SECONDS
        span = self._random.choice((0.5, 3.0, 10.0, 0.8 * lease, 1.2 * lease, 2.5 * lease, 600.0))
        self._freeze(node, span * self._random.uniform(0.7, 1.1))

    def _freeze(self, node: Node, span: float) -> None:
        node.freeze()
        self._befall(f"{node.name} is frozen for {span:.1f} s", span + HANDED_OVER_SECONDS)
        self._last(partial(self._thaw, node), span)

    async def _thaw(self, node: Node) -> None:
        if node.up and node.body.stopped:
            node.thaw()
            self._befall(f"{node.name} goes on")

    def _apart_from_the_reader(self) -> str | None:
        """Pick an account whose owner does not read the files, so that another daemon reads what is edited next."""
        owners = {name: self._owner(name) for name in self.accounts()}
        reader = self.daemons.reader
        names = [one for one, owner in owners.items() if owner is not None and owner is not reader]
        return self._random.choice(names) if names else None

    async def _amid(self, account: str) -> Node | None:
        """Wait until changes of an account are in flight; return its owner, or None where none are made soon."""
        for _ in range(LOOKS_FOR_A_CALL):
            if self.daemons.checker.in_flight(account):
                await asyncio.sleep(self._random.uniform(0.0, 1.5))
                return self._owner(account)
            await asyncio.sleep(0.1)
        return None

    async def ambush(self) -> None:
        """An owner is frozen in the middle of a large edit, which is taken back before it goes on."""
        account, before = self._apart_from_the_reader(), self.fleet.copy()
        if account is None:
            return
        self._slowly(account)
        if self._random.random() < 0.7:
            await self._remove(60, approved=True, share=0.9, account=account)
        else:
            await self._add_until(account, None)
        owner = await self._amid(account)
        if owner is not None:
            spans = (2.0, 14.0, 20.0, 20.0, 1.3 * LEASE_SECONDS)
            self._freeze(owner, self._random.choice(spans))
        await asyncio.sleep(self._random.uniform(0.0, 2.0))
        self.note("and it is taken back", EVERYBODY, seconds=HANDED_OVER_SECONDS)
        await self._publish(before)

    async def tight_hours(self) -> None:
        """For hours an account may make few calls, has much to do, and goes from one daemon to the other."""
        account = self.some_account()
        if account is None:
            return
        limit = self._random.choice((10, 20))
        words = f"calls_per_hour = {limit}"
        await self._edit(words, account, lambda _, one: one.policy.update(calls_per_hour=limit))
        task = self._loop.create_task(self._much_to_do(account))
        self._while_it_lasts(task)

    async def _much_to_do(self, account: str) -> None:
        for _ in range(40):
            await asyncio.sleep(self._random.uniform(1, 6) * MINUTE)
            await self.agree(account)
            owner = self._owner(account)
            if owner is not None and self._random.random() < 0.2:
                owner.kill()
                self._befall(f"{owner.name} is killed")
                self._last(partial(self._start, owner), 2 * MINUTE)

    def _slowly(self, account: str) -> None:
        """Let LG be slow for an account, so that its pass goes on for a while."""
        slow = effects.Latency(1.0, up_to=4.0)
        self._platform.add_fault(Rule(slow, match=Match(user=account), end=2 * MINUTE))

    async def pause_at_another(self) -> None:
        """An owner is frozen in the middle of an edit, and somebody pauses the account at another daemon."""
        account = self.some_account()
        if account is None:
            return
        self._slowly(account)
        await self._add_until(account, None)
        owner = await self._amid(account)
        if owner is not None:
            self._freeze(owner, self._random.choice((6.0, 15.0, 20.0, 1.3 * LEASE_SECONDS)))
        await self._pause(account, "all", 600)

    async def come_amid(self) -> None:
        """A daemon starts while passes go on everywhere, so that the others give accounts up in the middle of them."""
        node = self._one()
        if node is None or not all(one.well for one in self.daemons.nodes):
            return
        self._befall(f"{node.name} is stopped")
        await self.daemons.stop_one(node)
        await asyncio.sleep(self._random.uniform(3.0, 20.0))
        for account in self.fleet.accounts:
            self._slowly(account)
            await self.agree(account)
        await asyncio.sleep(self._random.uniform(0.0, 4.0))
        await self._start(node)

    async def roll(self) -> None:
        """A new version comes: one daemon after the other is stopped in good order and started again."""
        await self._get_busy()
        self._befall("a new version is rolled out")
        for node in self.daemons.nodes:
            if node.up and not node.body.stopped:
                await self.daemons.stop_one(node)
                await asyncio.sleep(self._random.choice((0.5, 10.0, 60.0)))
            if not node.up:
                self.daemons.start_one(node)
                self._befall(f"{node.name} has the new version")
                await asyncio.sleep(self._random.choice((1.0, 10.0, 60.0)))

    async def scale(self) -> None:
        """A daemon is stopped in good order, and there are only two for a while."""
        node = self._one()
        if node is None or sum(one.up for one in self.daemons.nodes) < 2:
            return
        self._befall(f"{node.name} is stopped")
        await self.daemons.stop_one(node)
        self._last(partial(self._start, node), self._while(MINUTE, 3 * HOUR))

    async def drift(self) -> None:
        """A machine's clock is wrong, which no daemon goes by."""
        node = self._random.choice(self.daemons.nodes)
        seconds = self._random.choice((1.0, 30.0, HOUR, 30 * 24 * HOUR)) * self._random.choice(
            (-1, 1)
        )
        self.daemons.drift(node, seconds)
        self.note(f"the clock of {node.name} is set by {seconds:.0f} s")

    async def lag(self) -> None:
        """A daemon's copy of the files lags for a while, as kubelets do."""
        others = [node for node in self.daemons.nodes if node is not self.daemons.reader]
        node = self._random.choice(others)
        node.lag = self._random.choice((5.0, 60.0, 100.0))
        seconds = self._while(5 * MINUTE, 2 * HOUR)
        text = f"the files of {node.name} are {node.lag:.0f} s late"
        self.note(text, EVERYBODY, seconds=seconds + CAUGHT_UP_SECONDS)

        async def over() -> None:
            node.lag = 0.0
            self.note(f"the files of {node.name} are in time", EVERYBODY, seconds=CAUGHT_UP_SECONDS)

        self._last(over, seconds)

    async def left_behind(self) -> None:
        """The daemon that reads the files goes away while it alone has the newest ones."""
        account, reader = self.some_account(), self.daemons.reader
        if account is None or reader is None or not reader.well:
            return
        others = [node for node in self.daemons.nodes if node is not reader]
        for node in others:
            node.lag = self._random.uniform(60.0, 120.0)
        words = f"only {reader.name} has new files in time"
        self.note(words, EVERYBODY, seconds=2 * CAUGHT_UP_SECONDS)
        await self._add(account)
        await asyncio.sleep(self._random.uniform(9.0, 20.0))
        if reader.well:
            await self._away_with(reader)

        async def over() -> None:
            for node in others:
                node.lag = 0.0
            self.note("all have their files in time", EVERYBODY, seconds=CAUGHT_UP_SECONDS)

        self._last(over, 5 * MINUTE)

    async def _away_with(self, node: Node) -> None:
        if self._random.random() < 0.3:
            node.kill()
            self._befall(f"{node.name} is killed, which reads the files", CAUGHT_UP_SECONDS)
        elif not node.body.stopped:
            self._befall(f"{node.name} is stopped, which reads the files", CAUGHT_UP_SECONDS)
            await self.daemons.stop_one(node)
        self._last(partial(self._start, node), self._while(MINUTE, 30 * MINUTE))

    # -- the database

    def _link(self, text: str, *, least: float, most: float, **fault: Any) -> None:
        node = self._random.choice(self.daemons.nodes)
        (name, value), *_ = fault.items()
        setattr(node.link, name, value)
        self._befall(f"{node.name}: {text}")

        async def over() -> None:
            setattr(node.link, name, type(value)())
            self._befall(f"{node.name} reaches the database well again")

        self._last(over, self._random.uniform(least, most))

    async def cut(self) -> None:
        """A daemon reaches LG, but not the database."""
        await self._get_busy()
        self._link("it is cut from the database", least=2.0, most=10 * MINUTE, cut=True)

    async def cut_renewals(self) -> None:
        """A daemon's signs of life are lost, and all else arrives."""
        words = "its signs of life are lost"
        self._link(words, least=10.0, most=3 * MINUTE, renewals_cut=True)
        if self._random.random() < 0.7:
            await asyncio.sleep(self._random.uniform(0.0, LEASE_SECONDS))
            await self._get_busy()

    async def tear(self) -> None:
        """Some transactions of a daemon are broken off, before they began or after their commit."""
        share = self._random.choice((0.05, 0.3))
        words = f"{share:.0%} of its transactions are broken off"
        self._link(words, least=10.0, most=20 * MINUTE, torn=share)
        await self._get_busy()

    async def slow_database(self) -> None:
        """Each statement of a daemon takes up to some seconds."""
        self._link("its statements take seconds", least=10.0, most=20 * MINUTE, slow=True)
        await self._get_busy()

    async def away(self) -> None:
        """The database is away for all."""
        await self._get_busy()
        seconds = self._random.choice((1.0, 10.0, 40.0, 60.0, self._while(MINUTE, 20 * MINUTE)))
        self.daemons.database.away = "the database system is shutting down"
        self._befall("the database is away", seconds + HANDED_OVER_SECONDS)

        async def over() -> None:
            self.daemons.database.away = ""
            self._befall("the database is back")

        self._last(over, seconds)

    async def fail_over(self) -> None:
        """A synchronous standby takes over, which lacks nothing."""
        await self._get_busy()
        database = self.daemons.database
        database.fail_over(database.copy())
        self._befall("another server takes over", 2 * HANDED_OVER_SECONDS)
        self.daemons.checker.settles_later(2 * LEASE_SECONDS)

    async def hold_rows(self) -> None:
        """A transaction that does not end holds an account, and its owner is killed: nobody can take it."""
        account = self.some_account()
        owner = self._owner(account) if account is not None else None
        if account is None or owner is None:
            return
        database = self.daemons.database
        database.locked.add(AccountName(account))
        owner.kill()
        seconds = self._random.uniform(2, 20) * MINUTE
        self._befall(
            f"{account} is locked, and {owner.name} is killed", seconds + HANDED_OVER_SECONDS
        )
        self._last(partial(self._start, owner), self._while(MINUTE, 30 * MINUTE))

        async def over() -> None:
            database.locked.discard(account)
            self._befall(f"{account} is locked no more")

        self._last(over, seconds)
        await asyncio.sleep(LEASE_SECONDS + 10.0)
        await self.daemons.checker.exports_unowned()


SHARED_EVENTS: tuple[tuple[float, Callable[[SharedLife], Awaitable[None]]], ...] = (
    (7, SharedLife.kill_one),
    (8, SharedLife.freeze),
    (8, SharedLife.ambush),
    (5, SharedLife.pause_at_another),
    (2.5, SharedLife.tight_hours),
    (2, SharedLife.roll),
    (2, SharedLife.scale),
    (2, SharedLife.drift),
    (3, SharedLife.lag),
    (3, SharedLife.left_behind),
    (3, SharedLife.come_amid),
    (5, SharedLife.cut),
    (4, SharedLife.cut_renewals),
    (4, SharedLife.tear),
    (3, SharedLife.slow_database),
    (4, SharedLife.away),
    (2, SharedLife.fail_over),
    (2, SharedLife.hold_rows),
    (2, SharedLife.push),
)
"""What befalls three daemons, and how likely it is."""
