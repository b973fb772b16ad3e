"""What happens: people edit and err, LG fails in all its ways, others meddle, machines break.

Owns: every kind of event, how likely it is, and how long its trouble lasts. Each is told to the checker as far as it
concerns what is right, and written to the timeline. Must not: judge anything.

One account, ``calm``, gets no trouble of its own: it shows that the others' troubles are not everybody's.
"""

from __future__ import annotations

import asyncio
import sqlite3
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from datetime import UTC, date, timedelta, timezone
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from reconciler.simulator import Device, Match, Platform, Route, Rule
from reconciler.simulator import faults as effects
from reconciler.simulator.world import User, made_up
from simulation import checkout, texts
from simulation.answers import FLOODS, HOW, Odd
from simulation.checker import CLOCKS_DIFFER_SECONDS, Checker
from simulation.checkout import WorkingTree
from simulation.clockwork import MachineClock, VirtualLoop
from simulation.disk import Disk
from simulation.foreign import FOREIGN, foreign
from simulation.machine import Machine
from simulation.meaning import moment, read
from simulation.modes import Mode
from simulation.opening_hours import hours
from simulation.texts import Account, Approved, Entry, Fleet
from simulation.tolerances import CLOCKS_APART_SECONDS, GRACE_SECONDS
from simulation.wire import Weather

CALM = "calm"
EVERYBODY = "*"
ZONES = (
    "Africa/Cairo",
    "America/Havana",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)
"""Where days begin when it pleases them: with summer time at midnight, or with offsets from -11 to +14 hours."""
FOLD = "fold"
"""A window of the hour that comes twice; it stays."""
WINDOW_ZONES = ("Europe/Berlin", "America/Havana", "America/New_York", "Asia/Seoul", "UTC")
"""Zones of windows: three change their offset where runs with windows begin."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
FEW = 10
"""Fewer devices than this are a small account."""
WINGS = ("east", "north", "south", "west")
LONGEST_CHECKOUT = 8
"""Files of a checkout after which there is a pause."""
UNTOUCHED = {
    "prune": "all",
    "max_unsubscribe": "10%",
    "max_unsubscribe_floor": 60,
    "unsubscribe_after": "0s",
    "allow_empty": False,
}
"""What no general policy changes for the calm account: it says so itself."""
CODES = ("0000", "2000", "2209", "2210", "2212", "2214", "1000", "1102", "1308", "2305", "9999")
STOPPING = ("1301", "1303", "1304", "1305", "1307", "1309", "1310", "1311", "1202", "1209", "1216")
REFUSING = ("1205", "1211", "1212", "1213", "1214", "1217", "1220", "1221", "1224")

PHANTOM = made_up("mangled")
"""What a mangled list names where it had nothing to mangle."""
MISLEADING = (
    effects.Lost,
    effects.Stale,
    effects.Short,
    effects.Contradict,
    effects.Mangle,
    effects.Response,
    effects.Raw,
)
"""After these nobody can tell from outside which changes were really made, and by whom."""


class Life:
    """The world of one run. ``fleet`` is what people have in mind now, ``files`` what is on the disk.

    ``shared`` are accounts that are another account's user: account -> user. ``misspelt`` are ids that people wrote in
    another spelling than LG's: as written -> as it is.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        clock: MachineClock,
        random: Random,
        disk: Disk,
        platform: Platform,
        weather: Weather,
        machine: Machine,
        checker: Checker,
        tell: Callable[[str], None],
        environment: str,
        mode: Mode,
    ) -> None:
        self._mode = mode
        self.fleet = Fleet(environment)
        self.files: dict[str, bytes] = {}
        self.trouble: dict[str, float] = {}
        self.lasting: dict[
            asyncio.Task[None], None
        ] = {}  # in their order: that of a set is another each time
        self._loop, self._clock, self._random = loop, clock, random
        self._disk, self._platform, self._weather = disk, platform, weather
        self._machine, self._checker, self._tell = machine, checker, tell
        self._environment = environment
        self._past: list[Fleet] = []
        self._credentials: dict[str, str | None] = {}
        self._writing = asyncio.Lock()
        self.shared: dict[str, str] = {}
        self.misspelt: dict[str, str] = {}
        self._tree: WorkingTree | None = None
        self._wild_clock = random.random() < mode.wild_clocks
        self._copy: bytes | None = None

    # -- set-up

    async def begin(self, accounts: int) -> None:
        """Make users with devices, credentials and a first text."""
        self.fleet.zone = self._random.choice(("", *ZONES))
        if self._random.random() < self._mode.working_trees:
            self._tree = WorkingTree(self._machine.folder / "texts", self._disk, self._clock)
        if self._wild_clock and self._random.random() < 0.3:
            self._set_clock(self._step(), "is wrong at boot")
        for number in range(accounts):
            name = CALM if number == 0 else f"hotel-{number}"
            devices = list(self._platform.world.user(name).devices)
            share = self._random.choice((0.5, 0.8, 1.0))
            wanted = [one for one in devices if self._random.random() < share]
            account = Account(
                {one: Entry(self._name(0.3)) for one in wanted}, in_file=self._random.random() < 0.5
            )
            if account.in_file and self._random.random() < 0.6:
                account.wings = self._random.sample(WINGS, self._random.randint(1, 3))
            if name == CALM:
                account.policy = dict(UNTOUCHED)
            if name == CALM and self.fleet.zone:
                days = (self._clock.start.date() + timedelta(days=number) for number in range(3))
                account.devices.update(
                    {
                        one: Entry("", day, day + timedelta(days=1))
                        for one, day in zip(wanted[:3], days, strict=False)
                    }
                )
            self.fleet.accounts[name] = account
            live = (
                wanted if name == CALM else [one for one in devices if self._random.random() < 0.6]
            )
            self._platform.subscribe(name, *live)
            self._credential(name, name)
        if self._random.random() < self._mode.shared:
            self._share(self.accounts()[0])
        await self._publish(self.fleet, slowly=False)

    def _share(self, account: str) -> None:
        """Make a second account of one LG user, with a token of its own, that wants other devices of it."""
        name, first = f"{account}-too", self.fleet.accounts[account]
        devices = list(self.user(account).devices)
        wanted = [one for one in devices if one not in first.devices or self._random.random() < 0.2]
        self.shared[name] = account
        self.fleet.accounts[name] = Account(
            {one: Entry() for one in wanted}, in_file=self._random.random() < 0.5
        )
        self._own_token(name)
        self.note(f"{name} is the user of {account}, and wants {len(wanted)} devices")
        for one in (name, account):
            self._checker.meddled(one, devices, float("inf"))

    def _own_token(self, account: str) -> None:
        """Give an account that shares its user an access token of its own."""
        user = self.user(account)
        token = self._platform.world.issue(user, self._platform.now() + 30 * DAY)
        self._checker.secrets.add(token)
        path = self._machine.folder / "credentials" / f"{account}.access_token"
        self._disk.write(path, f"{token}\n".encode())
        self._checker.credential_changed(account, user.name)

    def user(self, account: str) -> User:
        """Return whose account it is."""
        return self._platform.world.user(self.shared.get(account, account))

    def others(self, account: str) -> set[str]:
        """Return what other accounts of the same user want."""
        mine = self.user(account)
        theirs = (
            one
            for name, one in self.fleet.accounts.items()
            if name != account and self.user(name) is mine
        )
        return {device for one in theirs for device in one.devices}

    def released(self, account: str) -> set[str]:
        """Return what approvals let an account unsubscribe, also where another account of the same user wants it."""
        return {
            device
            for one in self.fleet.approvals
            if one.account == account
            for device in one.devices
        }

    def released_elsewhere(self, account: str) -> set[str]:
        """Return what approvals let other accounts of the same user unsubscribe, also where this account wants it."""
        mine = self.user(account)
        return {
            device
            for one in self.fleet.approvals
            if one.account != account and one.account in self.fleet.accounts
            if self.user(one.account) is mine
            for device in one.devices
        }

    # -- going on

    async def one_event(self) -> None:
        """Let something happen, after a while."""
        await asyncio.sleep(30.0 + self._random.expovariate(1 / self._mode.pause_seconds))
        possible = [one for one in self._events() if one[1].__name__ not in self._mode.left_out]
        weights = [weight for weight, _ in possible]
        (_, event) = self._random.choices(possible, weights)[0]
        await getattr(self, event.__name__)()  # a world of another kind may do it in its own way

    def _events(self) -> Iterable[tuple[float, Callable[..., Awaitable[None]]]]:
        """Return what may happen, and how likely it is."""
        return EVENTS

    async def calm_down(self) -> None:
        """End every trouble."""
        await asyncio.sleep(
            0
        )  # a task that is cancelled before it began would not do what it is for
        for task in list(self.lasting):
            task.cancel()
        if self.lasting:
            await asyncio.wait(self.lasting)
        self._platform.set_faults()
        self._platform.set_options(subscription_cap=None, quota=None)
        for user in self._platform.world.users.values():
            user.quota = None
        self._weather.cut, self._weather.slow = False, 0.0
        self._disk.deaf = self._disk.full = self._disk.broken = False
        self._weather.between.odd.clear()
        for name in self.fleet.accounts:
            if name in self.shared:
                self._own_token(name)
            elif self._credentials.get(name) != name:
                self._credential(name, name)
        if self._random.random() < 0.5:
            self._set_clock(-self._clock.wrong.total_seconds(), "is right again")

    @property
    def wrong_seconds(self) -> float:
        """Return by how much the machine's clock is wrong."""
        return abs(self._clock.wrong.total_seconds())

    def accounts(self) -> list[str]:
        """Return the accounts that may be troubled."""
        return [name for name in self.fleet.accounts if name != CALM]

    def some_account(self) -> str | None:
        """Pick an account that may be troubled."""
        names = self.accounts()
        return self._random.choice(names) if names else None

    def note(self, text: str, *troubled: str, seconds: float = 0.0) -> None:
        """Write what happens to the timeline, and whom it troubles for how long."""
        self._tell(text)
        for one in troubled:
            self.trouble[one] = max(self.trouble.get(one, 0.0), self._loop.time() + seconds)

    def _last(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Do something when a while is over, or when everything calms down."""

        async def later() -> None:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                await work()
                return
            await work()

        task = self._loop.create_task(later())
        self._while_it_lasts(task)

    def _while_it_lasts(self, task: asyncio.Task[None]) -> None:
        self.lasting[task] = None
        task.add_done_callback(lambda done: self.lasting.pop(done, None))

    def _while(self, least: float = 2 * MINUTE, most: float = 90 * MINUTE) -> float:
        return self._random.uniform(least, most)

    def _name(self, likely: float) -> str:
        return f"Room {self._random.randrange(100, 999)}" if self._random.random() < likely else ""

    # -- texts

    async def _publish(self, fleet: Fleet, *, slowly: bool | None = None) -> None:
        """Write a fleet to the disk, file by file."""
        async with self._writing:
            self._past = [*self._past[-5:], self.fleet]
            self.fleet = fleet
            changes = texts.differing(self.files, texts.files(fleet))
            if self._tree is None or self._checker.texts.locked or self._random.random() < 0.3:
                await self._write(changes, slowly=slowly)
            else:
                await self._check_out(self._tree, changes, quickly=slowly is False)
            self._commit()

    def _commit(self) -> None:
        """Commit what is on the disk, if that is what people have in mind and git is not at work."""
        if (
            self._tree is None
            or self._checker.texts.locked
            or texts.differing(self.files, texts.files(self.fleet))
        ):
            return
        self._tree.commit()
        self._checker.tracked(self.files)

    async def _check_out(
        self, tree: WorkingTree, changes: dict[str, bytes | None], *, quickly: bool
    ) -> None:
        """Let git bring other files: it locks, removes, writes and unlocks, or breaks off, or leaves its lock."""
        least, most = self._random.choice(
            ((0.0, 0.0), (0.0, 0.1), (0.05, 0.8), (1.0, 8.0), (20.0, 40.0))
        )
        if quickly:
            least, most = 0.0, 0.1
        work = checkout.steps(self.files, changes)
        ends = (
            self._random.choice(("well", "well", "well", "aborted", "stale"))
            if not quickly
            else "well"
        )
        self.note(
            f"git checks out {len(changes)} files, up to {most} s each: {ends}",
            EVERYBODY,
            seconds=15 * MINUTE,
        )
        tree.take_lock()
        self._checker.locked(locked=True, reading=read(self.files, self._environment))
        if ends == "aborted":
            work = work[: self._random.randrange(len(work) + 1)]
        for number, (name, content) in enumerate(work):
            self._write_one(tree.folder, name, content, in_place=True)
            if most and number < LONGEST_CHECKOUT:
                await asyncio.sleep(self._random.uniform(least, most))
        if ends == "stale":
            self._lock_ends_later(tree)
            return
        self._unlock(tree)
        if ends == "aborted":
            self.trouble[EVERYBODY] = float("inf")
            self._mended_later()
            self._last(self._mend, self._while(MINUTE, 30 * MINUTE))

    def _unlock(self, tree: WorkingTree) -> None:
        tree.leave_lock()
        self._checker.locked(locked=False, reading=read(self.files, self._environment))

    def _lock_ends_later(self, tree: WorkingTree) -> None:
        seconds = self._while(MINUTE, 90 * MINUTE)
        self.note("git's lock is left behind", EVERYBODY, seconds=seconds + 15 * MINUTE)

        async def over() -> None:
            self.note("somebody removes git's lock", EVERYBODY, seconds=15 * MINUTE)
            self._unlock(tree)
            self._commit()

        self._last(over, seconds)

    async def _mend(self) -> None:
        """Bring the files to what people have in mind."""
        self.note("the files are as they should be", EVERYBODY, seconds=MINUTE)
        async with self._writing:
            await self._write(texts.differing(self.files, texts.files(self.fleet)))
            self._commit()

    async def _write(self, changes: dict[str, bytes | None], *, slowly: bool | None = None) -> None:
        folder, order = self._machine.folder / "texts", list(changes)
        self._random.shuffle(order)
        slow = self._random.random() < 0.2 if slowly is None else slowly
        for name in order[:4]:
            self._write_one(folder, name, changes[name])
            if slow:
                await asyncio.sleep(self._random.uniform(0.02, self._random.choice((0.6, 3.0))))
        for name in order[4:]:
            self._write_one(folder, name, changes[name])

    def _write_one(
        self, folder: Path, name: str, content: bytes | None, *, in_place: bool | None = None
    ) -> None:
        path = folder / name
        if content is None:
            self.files.pop(name, None)
            self._disk.remove(path)
        else:
            self.files[name] = content
            in_place = self._random.random() < 0.5 if in_place is None else in_place
            (self._disk.write if in_place else self._disk.rename_over)(path, content)
        self._checker.files_changed(read(self.files, self._environment))

    async def _edit(
        self,
        what: str,
        account: str,
        change: Callable[[Fleet, Account], object],
        *,
        slowly: bool | None = None,
    ) -> None:
        fleet = self.fleet.copy()
        change(fleet, fleet.accounts[account])
        after = fleet.accounts[account].devices
        for approval in fleet.approvals:
            if approval.account == account:
                approval.devices = [one for one in approval.devices if one not in after]
        fleet.approvals = [one for one in fleet.approvals if one.devices]
        self.note(f"a person edits {account}: {what}", account, seconds=MINUTE)
        await self._publish(fleet, slowly=slowly)

    def _unlisted(self, account: str) -> list[str]:
        devices = self.user(account).devices
        return [one for one in devices if one not in self.fleet.accounts[account].devices]

    async def add(self) -> None:
        """A few devices are added."""
        await self._add(self._random.choice(list(self.fleet.accounts)))

    async def _add(self, account: str) -> None:
        new = self._unlisted(account)
        chosen = self._random.sample(new, min(len(new), self._random.randint(1, 5)))
        if chosen:
            entries = {one: Entry(self._name(0.3)) for one in chosen}
            await self._edit(
                f"{len(chosen)} devices come", account, lambda _, one: one.devices.update(entries)
            )

    async def remove_few(self) -> None:
        """A few devices are taken out."""
        await self._remove(self._random.randint(1, 3), approved=False)

    async def remove_many(self) -> None:
        """Most devices of an account are taken out at once, by a person or by accident."""
        await self._remove(60, approved=False, share=self._random.uniform(0.3, 1.0))

    async def remove_with_approval(self) -> None:
        """Devices are taken out, and an approval says that this is meant."""
        share = self._random.choice((0.1, 0.5, 1.0))
        await self._remove(60, approved=True, share=share)

    async def _remove(
        self, most: int, *, approved: bool, share: float = 1.0, account: str | None = None
    ) -> None:
        account = account or self.some_account()
        if account is None:
            return
        listed = list(self.fleet.accounts[account].devices)
        going = self._random.sample(
            listed, min(len(listed), most, max(1, int(len(listed) * share)))
        )
        expires = self._expires(timedelta(hours=self._random.choice((1, 12, 72))))
        in_file = (
            f"removed/{account}-{self._random.randrange(10**6)}.txt"
            if self._random.random() < 0.5
            else ""
        )

        def change(fleet: Fleet, one: Account) -> None:
            for device in going:
                del one.devices[device]
            if approved and going:
                fleet.approvals.append(Approved(account, list(going), expires, in_file))

        if going:
            words = " with an approval" if approved else ""
            await self._edit(f"{len(going)} of {len(listed)} devices go{words}", account, change)

    def _expires(self, span: timedelta) -> date:
        """Return when something ends: a moment, with some offset, or a day of the fleet's zone."""
        at = (self._clock.true() + span).replace(microsecond=0)
        if self.fleet.zone and self._random.random() < 0.2:
            return at.date()
        return at.astimezone(
            self._random.choice((UTC, UTC, timezone(timedelta(hours=-3, minutes=-30))))
        )

    def _span(self) -> tuple[date, date]:
        """Return a span of time: two moments, or days of the fleet's zone."""
        if self.fleet.zone and self._random.random() < 0.5:
            begin: date = self._clock.true().date() + timedelta(days=self._random.randint(-1, 2))
            return begin, begin + timedelta(days=self._random.randint(1, 2))
        at = (self._clock.true() + timedelta(minutes=self._random.randint(-60, 240))).replace(
            microsecond=0
        )
        return at, at + timedelta(minutes=self._random.randint(1, 600))

    def calm_wants(self, patience: float) -> tuple[set[str], set[str]]:
        """Return what the calm account wants by now, and what of it changed in so many seconds."""
        clocks = [self._clock.now()]
        if abs(self._clock.wrong.total_seconds()) > CLOCKS_DIFFER_SECONDS - CLOCKS_APART_SECONDS:
            clocks.append(self._clock.true())
        wanted: set[str] = set()
        changing: set[str] = set()
        for device, entry in self.fleet.accounts[CALM].devices.items():
            from_, until = (
                one and moment(one, self.fleet.zone or None) for one in (entry.from_, entry.until)
            )
            for now in clocks:
                before = now - timedelta(seconds=patience)
                if (from_ is None or from_ <= now) and (until is None or now < until):
                    wanted.add(device)
                if any(before < one <= now for one in (from_, until) if one is not None):
                    changing.add(device)
        return wanted, changing

    async def wrong_approval(self) -> None:
        """An approval is written that has expired, or names devices that are not at stake, or another account."""
        account = self.some_account()
        if account is None:
            return
        others = self._random.sample(self._unlisted(account), min(3, len(self._unlisted(account))))
        names = others or ["0" * 64]
        span = timedelta(hours=self._random.choice((-5, -1, 24)))
        whose = self._random.choice((account, CALM, "nobody"))
        names = [
            one for one in names if one not in self.fleet.accounts.get(whose, Account()).devices
        ]
        approval = Approved(whose, names or ["0" * 64], self._expires(span))
        await self._edit(
            f"an approval for {whose}", account, lambda fleet, _: fleet.approvals.append(approval)
        )

    async def empty(self) -> None:
        """An account is emptied."""
        account = self.some_account()
        if account is not None:
            await self._edit("it is emptied", account, lambda _, one: one.devices.clear())

    async def rename(self) -> None:
        """Entries get other names, and nothing else changes."""
        account = self.some_account()
        if account is not None:
            await self._edit("devices get other names", account, self.renamed)

    def renamed(self, _fleet: Fleet, account: Account) -> None:
        """Give every entry another name."""
        for entry in account.devices.values():
            entry.name = f"Room {self._random.randrange(1000, 9999)}"

    async def misspell(self) -> None:
        """Some ids are written as a person reads them, not as LG has them; that is put right later."""
        account = self.some_account()
        if account is None:
            return
        listed = list(self.fleet.accounts[account].devices)
        wrong = {
            one: self._misspelt(one) for one in self._random.sample(listed, min(len(listed), 2))
        }
        wrong = {one: other for one, other in wrong.items() if one != other and other not in listed}
        self.misspelt |= {other: one for one, other in wrong.items()}

        def change(_fleet: Fleet, one: Account) -> None:
            one.devices = {
                wrong.get(device, device): entry for device, entry in one.devices.items()
            }

        await self._edit(f"{len(wrong)} ids are written otherwise", account, change)

        async def right() -> None:
            if account in self.fleet.accounts:
                await self._edit("ids are written as LG has them", account, self.spelt)

        self._last(right, self._while())

    def _misspelt(self, device: str) -> str:
        return self._random.choice(
            (device.upper(), unicodedata.normalize("NFD", device), device.swapcase())
        )

    def spelt(self, _fleet: Fleet, account: Account) -> None:
        """Write every id as LG has it."""
        right = {
            self.misspelt.get(device, device): entry for device, entry in account.devices.items()
        }
        account.devices = right

    async def wings(self) -> None:
        """The files of an account's devices get other names, or become more or fewer."""
        accounts = [name for name in self.accounts() if self.fleet.accounts[name].wings]
        if not accounts:
            return
        wings = self._random.sample(WINGS, self._random.randint(1, 3))
        await self._edit(
            f"its wings are {', '.join(wings)}",
            self._random.choice(accounts),
            lambda _, one: setattr(one, "wings", wings),
            slowly=True,
        )

    async def second_thoughts(self) -> None:
        """A person changes a text and takes that back a moment later, or credentials change, while calls are made."""
        before = self.fleet.copy()
        account = self.some_account()
        if account is None:
            return
        if self._random.random() < 0.5:
            slowly = Rule(
                effects.Latency(2.0, up_to=6.0), match=Match(user=account), end=2 * MINUTE
            )
            self._platform.add_fault(slowly)
        await self._random.choice(
            (lambda: self._add(account), self.remove_few, self.remove_with_approval)
        )()
        await asyncio.sleep(self._random.uniform(0.2, 4.0))
        if self._random.random() < 0.3:
            await self.mix_up()
            return
        self.note("and takes it back", EVERYBODY, seconds=MINUTE)
        await self._publish(before)

    async def interrupt(self) -> None:
        """A large edit is being carried out when something happens that has to stop it before its next call."""
        account = self.some_account()
        if account is None:
            return
        how = self._random.choice(("pause", "pause in the file", "date", "withdrawn", "taken back"))
        before = self.fleet.copy()
        ends = self._clock.true() + timedelta(seconds=self._random.randint(20, 90))
        if how == "date":
            await self._add_until(account, ends.replace(microsecond=0))
        elif how == "withdrawn" or self._random.random() < 0.5:
            await self._remove(60, approved=True, share=0.9)
        else:
            await self._add_until(account, None)
        await asyncio.sleep(self._random.uniform(8.0, 60.0))
        self.note(f"in the middle of it: {how}", EVERYBODY, seconds=MINUTE)
        match how:
            case "pause":
                await self._pause(account, "all", 90)
            case "pause in the file":
                await self._edit(how, account, lambda _, one: one.policy.update(pause="all"))
                await asyncio.sleep(90.0)
                await self._edit("it goes on", account, self._goes_on)
            case "withdrawn":
                await self._edit(how, account, lambda fleet, _: fleet.approvals.clear())
            case "taken back":
                await self._publish(before)
            case _:
                pass

    def _goes_on(self, _fleet: Fleet, account: Account) -> None:
        """Take a pause out of the file."""
        account.policy.pop("pause", None)

    async def _add_until(self, account: str, until: date | None) -> None:
        """Add every device that is not listed yet, until a moment if one is given."""
        entries = {one: Entry("", None, until) for one in self._unlisted(account)}
        await self._edit(
            f"{len(entries)} devices come", account, lambda _, one: one.devices.update(entries)
        )

    async def dates(self) -> None:
        """Devices get a day on which they come or go."""
        account = self.some_account()
        if account is None:
            return
        listed = list(self.fleet.accounts[account].devices)

        def change(_fleet: Fleet, one: Account) -> None:
            for device in self._random.sample(listed, min(len(listed), self._random.randint(1, 4))):
                begin, end = self._span()
                only = self._random.random()
                one.devices[device] = Entry(
                    "", begin if only < 0.6 else None, end if only > 0.3 else None
                )

        await self._edit("devices get dates", account, change)

    async def revert(self) -> None:
        """An earlier text comes back, as by a revert in Git."""
        if len(self._past) < 2:
            return
        fleet = self._random.choice(self._past[1:]).copy()
        if CALM in fleet.accounts:
            fleet.accounts[CALM] = self.fleet.accounts[CALM]
        self.note("an earlier text comes back", EVERYBODY, seconds=MINUTE)
        await self._publish(fleet)

    async def policy(self) -> None:
        """A policy changes, of an account or of all."""
        key, value = self._random.choice(
            (
                ("prune", self._random.choice(("all", "owned", "none"))),
                ("max_unsubscribe", self._random.choice(("0%", "10%", "50%", 3, 20))),
                ("max_unsubscribe_floor", self._random.choice((0, 2, 5, 8))),
                ("unsubscribe_after", self._random.choice(("0s", "20m", "3h"))),
                ("allow_empty", self._random.random() < 0.5),
                ("pause", self._random.choice(("none", "none", "unsubscribe", "all"))),
                ("calls_per_hour", self._random.choice(("auto", "unlimited", 20, 60, 200))),
            )
        )
        account = self.some_account()
        if account is None:
            return
        if self._random.random() < 0.25 and key not in {"calls_per_hour", "pause"}:
            fleet = self.fleet.copy()
            fleet.policy[key] = value
            self.note(f"the general policy changes: {key} = {value}", EVERYBODY, seconds=MINUTE)
            await self._publish(fleet)
            return
        await self._edit(
            f"{key} = {value}", account, lambda _, one: one.policy.__setitem__(key, value)
        )

    async def zone(self) -> None:
        """All days begin elsewhere from now on."""
        fleet = self.fleet.copy()
        fleet.zone = self._random.choice(ZONES)
        self.note(f"days are those of {fleet.zone}", EVERYBODY, seconds=MINUTE)
        await self._publish(fleet)

    async def ignore(self) -> None:
        """Devices are to be left alone."""
        account = self.some_account()
        if account is None:
            return
        devices = list(self.user(account).devices)
        chosen = self._random.sample(devices, min(len(devices), self._random.randint(0, 3)))
        await self._edit(
            f"{len(chosen)} devices are ignored",
            account,
            lambda _, one: one.policy.__setitem__("ignore", chosen),
        )

    async def vanish(self) -> None:
        """An account disappears from the texts, and is back some time later; or it is retired."""
        account = self.some_account()
        if account is None:
            return
        fleet = self.fleet.copy()
        kept = fleet.accounts.pop(account)
        if self._random.random() < 0.3:
            fleet.retired.append(account)
        fleet.approvals = [one for one in fleet.approvals if one.account != account]
        self.note(f"{account} disappears from the texts", account, seconds=MINUTE)
        await self._publish(fleet)
        await asyncio.sleep(MINUTE)  # so that it is known whether it was read

        async def back() -> None:
            again = self.fleet.copy()
            again.accounts[account] = kept
            again.retired = [one for one in again.retired if one != account]
            self.note(f"{account} is back in the texts", account, seconds=MINUTE)
            await self._publish(again)

        self._last(back, self._while())

    async def protect(self) -> None:
        """A few devices are protected, or no longer, or their entries say nothing of it any more."""
        account = self.some_account()
        if account is None:
            return
        listed = list(self.fleet.accounts[account].devices)
        chosen = self._random.sample(listed, min(len(listed), self._random.randint(1, 4)))
        word = self._random.choice((True, True, True, False, None))
        tables = self._random.random() < 0.6

        def change(_fleet: Fleet, one: Account) -> None:
            one.tables = tables
            for device in chosen:
                one.devices[device].protected = word

        await self._edit(f"{len(chosen)} devices: protected = {word}", account, change)

    async def cut_short(self) -> None:
        """A file is cut behind an id, and then before it; later it is whole again."""
        names = [name for name in self.accounts() if self.fleet.accounts[name].tables]
        if not names:
            return
        name = f"{self._random.choice(names)}.toml"
        lines = self.files.get(name, b"").split(b"\n")
        ids = [number for number, line in enumerate(lines) if line.startswith(b"id = ")]
        if not ids:
            return
        place = self._random.choice(ids)
        behind, before = (b"\n".join([*lines[:end], b""]) for end in (place + 1, place - 1))
        self.note(f"{name} is cut behind an id", EVERYBODY, seconds=MINUTE)
        async with self._writing:
            await self._write({name: behind}, slowly=False)
            self.trouble[EVERYBODY] = float("inf")
            self._mended_later()
        await asyncio.sleep(self._random.uniform(MINUTE, 5 * MINUTE))
        if self.files.get(name) == behind:
            self.note(f"{name} is cut before that id", EVERYBODY, seconds=MINUTE)
            async with self._writing:
                await self._write({name: before}, slowly=False)
        self._last(self._mend, self._while(least=20 * MINUTE))

    async def broken_text(self) -> None:
        """What is on the disk is no good for a while: cut, garbled, overwritten, of another environment, or gone."""
        names = [name for name in self.files if not name.startswith(CALM)]
        if not names:  # all other accounts are gone for the moment
            return
        name = self._random.choice(names)
        content = self.files[name]
        how = self._random.choice(
            (
                "cut",
                "cut",
                "garbled",
                "nulls",
                "nulls",
                "unknown key",
                "environment",
                "gone",
                "twice",
                "halves",
            )
            + ("truncated", *FOREIGN) * 2
        )
        lists = [one for one in names if one.startswith(("devices/", "removed/"))]
        if lists and how in {"truncated", *FOREIGN} and self._random.random() < 0.8:
            name = self._random.choice(lists)
            content = self.files[name]
        await self._write_wrong(how, name, content)

        if how in {"halves", "truncated"}:
            await asyncio.sleep(self._random.uniform(0.05, 2.0))
            await self._mend()
        else:
            self._last(self._mend, self._while())

    async def _write_wrong(self, how: str, name: str, content: bytes) -> None:
        async with self._writing:
            changes: dict[str, bytes | None]
            match how:
                case "cut" | "halves":
                    changes = {name: content[: self._random.randrange(len(content) + 1)]}
                case "truncated":
                    changes = {name: b""}
                case _ if how in FOREIGN:
                    changes = {name: foreign(how, content)}
                case "garbled":
                    place = self._random.randrange(len(content) + 1)
                    changes = {name: content[:place] + b'"\x00[[' + content[place:]}
                case "nulls":
                    start, stop = sorted(self._random.randrange(len(content) + 1) for _ in range(2))
                    changes = {name: content[:start] + b"\0" * (stop - start) + content[stop:]}
                case "unknown key":
                    changes = {
                        texts.SHARED: self.files.get(texts.SHARED, b"version = 1\n")
                        + b"\n[polcy]\nprune = 1\n"
                    }
                case "environment":
                    changes = texts.differing(
                        self.files, texts.files(self._of_another_environment())
                    )
                case "gone":
                    changes = dict.fromkeys(one for one in self.files if one.endswith(".toml"))
                case _:
                    account = name.removesuffix(".toml")
                    changes = (
                        {f"copy-of-{name.replace('/', '-')}.toml": content}
                        if account != name
                        else {name: b""}
                    )
            self.note(f"the text is no good: {how} {name}", EVERYBODY, seconds=MINUTE)
            await self._write(changes, slowly=False)
            if how not in {"halves", "truncated"}:
                self.trouble[EVERYBODY] = float("inf")
                self._mended_later()

    def _of_another_environment(self) -> Fleet:
        """Return what stands on another branch: the same accounts, with other devices."""
        other = self.fleet.copy()
        other.environment = "elsewhere"
        for account in other.accounts.values():
            for device in self._random.sample(list(account.devices), len(account.devices) // 3):
                del account.devices[device]
        return other

    def _mended_later(self) -> None:
        async def over() -> None:
            while texts.differing(self.files, texts.files(self.fleet)):  # noqa: ASYNC110 - there is nobody to tell
                await asyncio.sleep(MINUTE)
            self.trouble[EVERYBODY] = self._loop.time() + MINUTE

        task = self._loop.create_task(over())
        self._while_it_lasts(task)

    # -- commands

    async def pause(self) -> None:
        """A person pulls the brake by command, or lets it go."""
        account = self._random.choice((self.some_account(), self.some_account(), None))
        span = self._random.choice((600, 1800, 7200))
        word = self._random.choice(("unsubscribe", "all", "none"))
        await self._pause(account, word, span)

    async def _pause(self, account: str | None, word: str, span: int) -> None:
        body = {"pause": word, "account": account, "for": f"{span}s", "reason": "a drill"}
        answer = await self._machine.ask("POST", "/api/v1/pause", body)
        if answer is not None and answer.is_success:
            self._checker.paused(account, word, float(span))
            self.note(
                f"a person says pause {word} for {account or 'all'}",
                account or EVERYBODY,
                seconds=span,
            )

    async def windows(self) -> None:
        """A person says when changes may be made in some accounts, or says so no more."""
        accounts = self.accounts()
        if not accounts:
            return
        fleet = self.fleet.copy()
        windows = [
            one for one in fleet.windows if one["name"] == FOLD or self._random.random() < 0.7
        ]
        if not windows and (repeated := self._repeated()) is not None:
            windows.append({**repeated, "accounts": accounts, "name": FOLD})
        for _ in range(self._random.choice((0, 1, 1, 2))):
            window = self._window(
                self._random.sample(accounts, min(len(accounts), self._random.randint(1, 2)))
            )
            windows = [one for one in windows if one["name"] != window["name"]] + [window]
        fleet.windows = windows
        self.note(f"change windows: {windows}", EVERYBODY, seconds=MINUTE)
        await self._publish(fleet)

    def _repeated(self) -> dict[str, Any] | None:
        """Return a deny window within the hour that comes twice soon, if there is one. It is active twice."""
        for zone in WINDOW_ZONES:
            for quarters in range(16):
                at = self._clock.now() + timedelta(minutes=15 * quarters)
                shown = at.astimezone(ZoneInfo(zone))
                if shown.fold:
                    hours_ = {"from": f"{shown:%H}:05", "to": f"{shown:%H}:50"}
                    return {"kind": "deny", "holds": "all", "timezone": zone, **hours_}
        return None

    async def closing(self) -> None:
        """Many devices come, and a window closes while the pass is under way."""
        account = self.some_account()
        new = self._unlisted(account) if account is not None else []
        if account is None or len(new) < 4:
            return
        begins = (self._clock.now() + timedelta(seconds=45)).replace(microsecond=0)
        window = {"kind": "deny", "accounts": [account], "holds": "all", "from": begins}
        window |= {"to": begins + timedelta(minutes=10), "name": "closing"}
        others = [one for one in self.fleet.windows if one["name"] == FOLD]

        def change(fleet: Fleet, one: Account) -> None:
            one.devices.update({device: Entry() for device in new})
            fleet.windows = [*others, window]

        await self._edit(f"{len(new)} devices come, and a window closes", account, change)

    def _window(self, accounts: list[str]) -> dict[str, Any]:
        """Return a window close to now, whose name comes last: without it, a text that is cut is faulty."""
        kind = self._random.choice(("allow", "deny", "deny"))
        window: dict[str, Any] = {"kind": kind, "accounts": accounts}
        window["holds"] = self._random.choice(("unsubscribe", "all", "all"))
        if self._random.random() < 0.25:
            begins = self._clock.now() + timedelta(minutes=self._random.randint(-60, 60))
            window["from"] = begins.replace(microsecond=0)
            window["to"] = window["from"] + timedelta(minutes=self._random.randint(3, 90))
        else:
            window["timezone"] = self._random.choice(WINDOW_ZONES)
            shown = self._clock.now().astimezone(ZoneInfo(window["timezone"]))
            if self._random.random() < 0.5:
                shown = shown.replace(hour=self._random.randrange(4), minute=0)
            first = shown + timedelta(minutes=self._random.choice((-30, 0, 5, 30)))
            length = self._random.choice((3, 15, 30, 60, 120, 600, 1435))
            last = first.replace(tzinfo=None) + timedelta(minutes=length)
            if self._random.random() < 0.3:
                window["days"] = [f"{first:%a}".lower(), f"{last:%a}".lower()][
                    : 1 + (first.date() != last.date())
                ]
            window["from"], window["to"] = f"{first:%H:%M}", f"{last:%H:%M}"
        window["name"] = self._random.choice(("night", "office", "freeze"))
        return window

    async def open_window(self) -> None:
        """A person opens a change window by command, or closes it again."""
        chosen = [one for one in self.fleet.windows if one["kind"] == "allow"]
        if not chosen:
            return
        window = self._random.choice(chosen)
        if self._random.random() < 0.3:
            answer = await self._machine.ask("POST", "/api/v1/close", {"window": window["name"]})
            if answer is not None and answer.is_success:
                self._checker.closed(window["name"])
                self.note(f"a person closes {window['name']}")
            return
        span = self._random.choice((60, 300, 1800))
        meant = hours(window, self.fleet.zone or None)
        assert meant is not None
        self._checker.opened(meant, span + GRACE_SECONDS)
        body = {"window": window["name"], "for": f"{span}s", "reason": "a drill"}
        answer = await self._machine.ask("POST", "/api/v1/open", body)
        if answer is not None and answer.is_success:
            self.note(f"a person opens {window['name']} for {span} s")

    async def reconcile(self) -> None:
        """A person asks for a pass at once."""
        account = self.some_account()
        if account is not None:
            await self.agree(account)

    async def agree(self, account: str) -> None:
        """Let a person say that all is right with an account."""
        self._checker.person_agreed(account)
        answer = await self._machine.ask("POST", f"/api/v1/reconcile?account={account}", {})
        if answer is not None and answer.is_success:
            self._checker.person_agreed(account)
            self.note(f"a person says reconcile {account}", account)

    async def let_go(self) -> None:
        """Take off every brake."""
        answer = await self._machine.ask("POST", "/api/v1/pause", {"pause": "none"})
        if answer is not None and answer.is_success:
            self._checker.paused(None, "none", 0.0)

    async def look(self) -> None:
        """Somebody looks at page, status and metrics; nothing of it may be a fault or a secret."""
        page = (
            ("/",) if self._random.random() < 0.1 else ()
        )  # to make it takes as long as hours of everything else
        for path in (*page, "/metrics", "/api/v1/status", "/healthz", "/api/v1/history"):
            answer = await self._machine.ask("GET", path)
            if answer is None:
                return
            fine = answer.status_code == 200 or (
                self._disk.broken and path.startswith("/api/v1/history")
            )
            self._checker.promise("surface", f"{path} answers {answer.status_code}", kept=fine)
            leaks = [secret for secret in self._checker.secrets if secret in answer.text]
            self._checker.promise("secret", f"a secret stands in {path}", kept=not leaks)
        self._look_at_the_state()

    def _look_at_the_state(self) -> None:
        """Nothing that the daemon keeps on its disk may hold a secret."""
        for path in sorted(self._machine.state.glob("*")):
            kept = path.read_bytes()
            leaks = [one for one in self._checker.secrets if one and one.encode() in kept]
            self._checker.promise("secret", f"a secret stands in {path.name}", kept=not leaks)

    # -- credentials

    def _credential(self, account: str, user: str | None) -> None:
        path = self._machine.folder / "credentials" / f"{account}.refresh_token"
        self._credentials[account] = user
        if user is None:
            self._disk.remove(path)
        else:
            token = self._platform.world.user(user).refresh_token or ""
            self._checker.secrets.add(token)
            self._disk.write(path, f"{token}\n".encode())
        self._checker.credential_changed(account, user)

    async def rotate(self) -> None:
        """A refresh token is replaced: LG first, and a person follows some time later."""
        account = self.some_account()
        if account is None or self._credentials.get(account) != account:
            return
        user = self.user(account)
        self._platform.world.rotate_refresh(user)
        wait = self._random.choice((0.0, self._while(1.0, 30 * MINUTE)))
        self.note(f"{account} gets another refresh token", account, seconds=wait + MINUTE)

        async def replace() -> None:
            self.note(f"the refresh token of {account} is replaced", account, seconds=MINUTE)
            self._credential(account, account)

        self._last(replace, wait)

    async def mix_up(self) -> None:
        """Two accounts have each other's credentials for a while, or one has none, or both have one."""
        names = [name for name in self.accounts() if name not in self.shared]
        if len(names) < 2:
            return
        one, other = self._random.sample(names, 2)
        how = self._random.choice(("swapped", "swapped", "none", "same"))
        self.note(f"credentials of {one} and {other}: {how}", one, other, seconds=MINUTE)
        self._meddled(None, seconds=2 * HOUR)
        self._credential(one, None if how == "none" else other)
        if how == "swapped":
            self._credential(other, one)

        async def right() -> None:
            self.note(
                f"credentials of {one} and {other} are right again", one, other, seconds=MINUTE
            )
            for name in (one, other):
                if self._credentials.get(name) != name:
                    self._credential(name, name)

        self._last(right, self._while())

    async def tokens_end(self) -> None:
        """Access tokens expire early, or LG forgets them."""
        account = self.some_account() or CALM
        user = self.user(account)
        if self._random.random() < 0.6:
            self._platform.world.expire_access(user, self._platform.now())
        else:
            self._platform.world.revoke_access(user)
        self.note(f"access tokens of {account} are good no more", account, seconds=MINUTE)
        for name in [name for name in self.shared if self.user(name) is user]:
            seconds = self._while(1.0, 30 * MINUTE)
            self.note(f"and {name} waits for another", name, seconds=seconds + MINUTE)
            self._last(partial(self._replace_token, name), seconds)

    async def _replace_token(self, account: str) -> None:
        self.note(f"{account} gets another access token", account, seconds=MINUTE)
        self._own_token(account)

    async def consent(self) -> None:
        """A home gives its consent again: it has another token, and nothing of it is subscribed any more."""
        account = self._random.choice(self.small() or [None])
        if account is not None and self._credentials.get(account) == account:
            self.consents_again(account)

    def small(self) -> list[str]:
        """Return the accounts of fewer than ten devices that are their user's only ones."""
        users = [
            name
            for name in self.fleet.accounts
            if name not in self.shared and name not in self.shared.values()
        ]
        return [name for name in users if len(self.user(name).devices) < FEW]

    def consents_again(self, account: str) -> None:
        """Let LG forget all subscriptions of a user, and give it other tokens."""
        user = self.user(account)
        self.note(f"{account} gives its consent again", account, seconds=MINUTE)
        self._platform.world.revoke_access(user)
        self._platform.world.rotate_refresh(user)
        self._meddled(account, self._platform.unsubscribe(user.name, *user.subscriptions))
        self._credential(account, account)

    # -- LG and others

    async def faults(self) -> None:
        """LG errs for a while: for one account or for all."""
        account = self.some_account() if self._random.random() < 0.8 else None
        rules = tuple(self._rule(account) for _ in range(self._random.randint(1, 3)))
        seconds = self._while(MINUTE, HOUR)
        whom = account or EVERYBODY
        self.note(
            f"LG errs for {whom}: {'; '.join(map(_said, rules))}", whom, seconds=seconds + MINUTE
        )
        for rule in rules:
            if isinstance(rule.effect, MISLEADING):
                self._meddled(None, seconds=seconds)  # others may have this user's credentials
            if (
                getattr(rule.effect, "code", "") == "1312"
            ):  # the cap is one for all accounts of a service
                self.trouble[EVERYBODY] = max(
                    self.trouble.get(EVERYBODY, 0.0), self._loop.time() + seconds + 1.1 * HOUR
                )
            self._platform.add_fault(
                Rule(rule.effect, match=rule.match, probability=rule.probability, end=seconds)
            )

    async def odd(self) -> None:
        """Something in between changes LG's lists for a while: a cache, a proxy, another version of the API."""
        account = self.some_account() if self._random.random() < 0.8 else None
        odd = Odd(self._random.choice(HOW), account, self._random.choice((0.3, 1.0)))
        seconds = self._while(MINUTE, HOUR)
        if odd.how in FLOODS:
            odd.share, seconds = 1.0, MINUTE
        whom = account or EVERYBODY
        self.note(
            f"lists of {whom} come changed: {odd.how}, {odd.share:.0%}",
            whom,
            seconds=seconds + MINUTE,
        )
        self._meddled(None, seconds=seconds)
        self._weather.between.odd.append(odd)

        async def over() -> None:
            self._weather.between.odd.remove(odd)
            self.note(f"lists of {whom} come unchanged again", whom, seconds=MINUTE)

        self._last(over, seconds)

    def _rule(self, account: str | None) -> Rule:
        share = self._random.choice((0.1, 0.5, 1.0))
        change = self._random.choice((Route.SUBSCRIBE, Route.UNSUBSCRIBE))
        commit = self._random.random() < 0.5
        retry_after = self._random.choice((None, None, "7", "300", "0", "soon", "7200"))
        route: Route | None
        route, effect = self._random.choice(
            (
                (None, effects.Latency(self._random.uniform(0.1, 5), up_to=25.0)),
                (None, effects.Html(self._random.choice((200, 502, 503)), commit=commit)),
                (
                    None,
                    effects.Empty(self._random.choice((401, 403, 429, 500, 404)), commit=commit),
                ),
                (None, effects.Hang(commit=commit)),
                (None, effects.Drop(commit=commit)),
                (None, effects.Error(self._random.choice(CODES), commit=commit)),
                (None, effects.Error(self._random.choice(STOPPING))),
                (
                    None,
                    effects.Error(self._random.choice(("1314", "1306")), retry_after=retry_after),
                ),
                (None, effects.Error(self._random.choice(("1302", "1218", "1103")))),
                (None, effects.Echo(self._random.choice(("envelope", "page")), commit=commit)),
                (None, effects.Echo(code=self._random.choice((*CODES, *REFUSING, "1218")))),
                (Route.TOKEN, effects.Echo("token")),
                (None, effects.Redirect()),
                (change, effects.Error(self._random.choice(REFUSING))),
                (Route.SUBSCRIBE, effects.Error("1312")),
                (Route.SUBSCRIBE, effects.Lost(self._random.uniform(0, 600))),
                (
                    change,
                    effects.Raw(self._random.choice(("", "{}", "[]", '{"messageId": 1', "null"))),
                ),
                (Route.LIST, effects.Cut(self._random.random())),
                (Route.LIST, effects.Stale(self._random.choice((20.0, 45.0, 45.0, 1800.0)))),
                (Route.LIST, effects.Short(keep=self._random.choice((0.0, 0.3, 0.6, 0.95)))),
                (
                    Route.LIST,
                    effects.Mangle(
                        self._random.choice(("no-id", "null-id", "null-item", "number-id", "twice"))
                    ),
                ),
                (
                    Route.LIST,
                    effects.Response(self._random.choice(("null", "{}", "missing", "[]"))),
                ),
                (Route.TOKEN, effects.Html(503)),
                (Route.TOKEN, effects.Hang()),
            )
        )
        return Rule(effect, match=Match(route=route, user=account), probability=share)

    async def contradict(self) -> None:
        """LG's lists say otherwise than its calls for hours, always about the same devices of an account."""
        account = self.some_account()
        if account is None:
            return
        hidden, shown = self._random.choice(((0.1, 0.0), (0.0, 0.1), (0.2, 0.2), (0.6, 0.0)))
        seconds = self._while(HOUR, 6 * HOUR)
        self.note(
            f"LG's lists of {account} hide {hidden:.0%} and show {shown:.0%} too many",
            account,
            seconds=seconds + HOUR,
        )
        self._meddled(None, seconds=seconds)
        self._platform.add_fault(
            Rule(
                effects.Contradict(hidden, shown),
                match=Match(route=Route.LIST, user=self.user(account).name),
                end=seconds,
            )
        )

    async def outage(self) -> None:
        """LG cannot be reached at all."""
        seconds = self._while(MINUTE, 40 * MINUTE)
        self.note("LG cannot be reached", EVERYBODY, seconds=seconds + MINUTE)
        self._weather.cut = True

        async def over() -> None:
            self._weather.cut = False
            self.note("LG can be reached again", EVERYBODY, seconds=MINUTE)

        self._last(over, seconds)

    async def slow(self) -> None:
        """Some requests reach LG late, also after everybody gave up on them."""
        seconds = self._while()
        self.note("some requests are slow", EVERYBODY, seconds=seconds + MINUTE)
        self._weather.slow, self._weather.slow_seconds = self._random.choice((0.05, 0.3)), 30.0

        async def over() -> None:
            self._weather.slow = 0.0
            self.note("requests are fast again", EVERYBODY, seconds=MINUTE)

        self._last(over, seconds)

    def _meddled(
        self, account: str | None, devices: Iterable[str] | None = None, seconds: float = 0.0
    ) -> None:
        users = self._platform.world.users
        everything = (*(one for user in users.values() for one in user.devices), PHANTOM)
        touched = everything if devices is None else tuple(devices)
        for name in (*users, *self.shared) if account is None else [account]:
            self._checker.meddled(name, touched, seconds + 2 * HOUR)

    async def lose(self) -> None:
        """LG loses subscriptions and tells nobody."""
        account = self._random.choice(list(self.fleet.accounts))
        lost = self._platform.lose(
            self.user(account).name, fraction=self._random.choice((0.05, 0.2, 0.45, 1.0))
        )
        self._meddled(account, lost)
        self.note(f"LG loses {len(lost)} subscriptions of {account}", account)

    async def strangers(self) -> None:
        """Somebody else subscribes or unsubscribes devices of a user of ours."""
        account = self.some_account()
        if account is None:
            return
        devices = list(self.user(account).devices)
        chosen = self._random.sample(devices, min(len(devices), self._random.randint(1, 6)))
        act = self._random.choice((self._platform.subscribe, self._platform.unsubscribe))
        touched = act(self.user(account).name, *chosen)
        self._meddled(account, touched)
        self.note(
            f"somebody else does {act.__name__} with {len(touched)} devices of {account}", account
        )

    async def quota(self) -> None:
        """LG allows a user only so many calls an hour, or lets go of that."""
        account = self.some_account()
        if account is not None:
            user = self.user(account)
            user.quota = self._random.choice((None, None, 15, 40, 120))
            self.note(f"LG allows {account} {user.quota} calls an hour", account, seconds=HOUR)

    async def cap(self) -> None:
        """LG's cap on subscribed devices is reached, for all users of the service."""
        self._platform.set_options(
            subscription_cap=self._platform.world.subscribed + self._random.randint(0, 3)
        )
        seconds = self._while()
        self.note("LG's cap on subscriptions is reached", EVERYBODY, seconds=seconds + HOUR)

        async def over() -> None:
            self._platform.set_options(subscription_cap=None)
            self.note("LG's cap is gone", EVERYBODY, seconds=HOUR)

        self._last(over, seconds)

    async def registered(self) -> None:
        """A device is taken out of LG's register, with its subscription, and is back later."""
        account = self.some_account()
        if account is None:
            return
        world = self._platform.world
        user = self.user(account)
        if not user.devices:
            return
        device: Device = self._random.choice(list(user.devices.values()))
        self._meddled(account, [device.id])
        world.remove_devices(user, [device.id], self._platform.now())
        self.note(f"{device.id[:12]} of {account} is registered no more", account)

        async def back() -> None:
            world.add_devices(user, [device])
            self.note(f"{device.id[:12]} of {account} is registered again", account)

        self._last(back, self._while())

    # -- machines

    async def clock(self) -> None:
        """The machine's clock is set: by seconds, by hours, or by days and right again."""
        wrong = self._clock.wrong.total_seconds()
        if abs(wrong) > 5 * MINUTE and self._random.random() < 0.5:
            self._set_clock(-wrong, "is right again")
        elif self._wild_clock and self._random.random() < 0.5:
            self._set_clock(self._step(), "is set")
        else:
            large = self._random.random() < 0.2
            seconds = self._random.uniform(600, 3 * HOUR) if large else self._random.uniform(1, 120)
            self._set_clock(seconds * self._random.choice((-1, 1)), "is set")

    def _step(self) -> float:
        """Return by how much a clock may be wrong where nobody looks after it."""
        most = self._random.choice((10 * MINUTE, HOUR, 9 * HOUR, DAY, 3 * DAY, 30 * DAY))
        return self._random.uniform(0.5, 1.1) * most * self._random.choice((-1, 1, 1))

    def _set_clock(self, seconds: float, words: str) -> None:
        self._clock.set_by(timedelta(seconds=seconds))
        self._checker.clock_set(seconds)
        trouble = min(abs(seconds), HOUR) + 2 * HOUR
        self.note(f"the machine's clock {words}, by {seconds:.0f} s", EVERYBODY, seconds=trouble)

    async def restart(self) -> None:
        """The daemon is stopped in good order and started again."""
        self.note("the daemon is stopped", EVERYBODY)
        await self._until_noticed()
        await self._machine.stop()
        self._checker.stopped()
        await self._down()

    async def kill(self) -> None:
        """The daemon is killed, at any moment: shortly after something made it busy."""
        account = self.some_account() or CALM
        if self._random.random() < 0.7:
            await self.agree(account)
        await asyncio.sleep(self._random.uniform(0.0, 4.0))
        await self._until_noticed()
        dark = self._random.random() < 0.3
        self.note("the machine loses power" if dark else "the daemon is killed", EVERYBODY)
        self._machine.kill(
            power=self._random.choice((0.0, self._random.random())) if dark else None
        )
        self._checker.stopped(killed=True)
        await self._down(dark=dark)

    async def _down(self, *, dark: bool = False) -> None:
        dirty = self._disk.ever_failed
        if self._random.random() < 0.08:
            how = self._random.choice(("lost", "damaged"))
            self.note(f"the state is {how}")
            for path in sorted(self._machine.state.iterdir()):
                if how == "lost":
                    path.unlink()
                elif path.name == "state.db":
                    path.write_bytes(b"not a database" * 1000)
                elif path.name.startswith("state.db-"):
                    path.unlink()
            self._checker.state_forgotten()
            dirty = dark = False
        await asyncio.sleep(self._random.choice((0.5, 5.0, self._while(10.0, 30 * MINUTE))))
        if self._random.random() < 0.4:
            await self._random.choice(
                (self.add, self.remove_few, self.revert, self.rename, self.policy)
            )()
        self._disk.ever_failed = self._disk.full or self._disk.broken
        if self._wild_clock and self._random.random() < 0.3:
            self._set_clock(self._step(), "is wrong at boot")
            wrong = self._clock.wrong.total_seconds()
            self._last(partial(self._right, wrong), self._while(MINUTE, 2 * HOUR))
        self._checker.started(dirty=dirty, dark=dark, blind=self._disk.broken)
        self._machine.start()
        self.note("the daemon is started", EVERYBODY, seconds=MINUTE)

    async def _right(self, wrong: float) -> None:
        """Set the clock right, unless somebody did since it was so wrong."""
        if self._clock.wrong.total_seconds() == wrong:
            self._set_clock(-wrong, "is right again")

    async def _until_noticed(self) -> None:
        """Wait until the daemon may know that its state was exchanged: killed before, it knows only what is there."""
        await asyncio.sleep(self._checker.unnoticed_for)

    async def exchange(self) -> None:
        """The state is deleted, moved away, or replaced by an older copy, while the daemon has it open."""
        path = self._machine.state / "state.db"
        if not self._machine.is_up or self._disk.full or self._disk.broken or not path.exists():
            return
        before, self._copy = self._copy, copied(path)
        how = self._random.choice(("deleted", "moved", "replaced"))
        if how == "replaced" and before is None:
            return
        for one in sorted(path.parent.glob("state.db*")):
            if how == "moved":
                one.replace(self._machine.folder / f"old-{one.name}")
            else:
                one.unlink()
        if how == "replaced" and before is not None:
            path.write_bytes(before)
        self._checker.state_exchanged()
        self.note(f"the state is {how} under the daemon", EVERYBODY, seconds=2 * MINUTE)

    async def disk(self) -> None:
        """The disk of the state is full or broken for a while."""
        full = self._random.random() < 0.6
        self._disk.full, self._disk.broken = full, not full
        self._checker.texts.disk_failed()
        seconds = self._while()
        self.note(f"the disk is {'full' if full else 'broken'}", EVERYBODY, seconds=seconds)

        async def over() -> None:
            self._disk.full = self._disk.broken = False
            self.note("the disk is well again", EVERYBODY, seconds=MINUTE)

        self._last(over, seconds)

    async def deaf(self) -> None:
        """The kernel tells nothing of changed files for a while."""
        self._disk.deaf = True
        self.note("the kernel says nothing of changed files")

        async def over() -> None:
            self._disk.deaf = False

        self._last(over, self._while())


EVENTS: tuple[tuple[float, Callable[[Life], Awaitable[None]]], ...] = (
    (10, Life.add),
    (8, Life.remove_few),
    (3, Life.remove_many),
    (4, Life.remove_with_approval),
    (2, Life.wrong_approval),
    (1, Life.empty),
    (1, Life.rename),
    (1.5, Life.misspell),
    (4, Life.wings),
    (4, Life.second_thoughts),
    (40, Life.interrupt),
    (4, Life.dates),
    (3, Life.revert),
    (4, Life.policy),
    (0.5, Life.zone),
    (1, Life.ignore),
    (1.5, Life.vanish),
    (3, Life.broken_text),
    (2, Life.pause),
    (12, Life.windows),
    (10, Life.open_window),
    (10, Life.closing),
    (2, Life.reconcile),
    (1, Life.look),
    (2, Life.rotate),
    (2, Life.mix_up),
    (1.5, Life.consent),
    (2, Life.tokens_end),
    (12, Life.faults),
    (8, Life.odd),
    (1.5, Life.contradict),
    (2, Life.outage),
    (2, Life.slow),
    (4, Life.lose),
    (3, Life.strangers),
    (2, Life.quota),
    (1, Life.cap),
    (1.5, Life.registered),
    (2, Life.clock),
    (2, Life.restart),
    (4, Life.kill),
    (2, Life.disk),
    (1, Life.exchange),
    (1, Life.deaf),
    (25, Life.protect),
    (12, Life.cut_short),
)
"""What may happen, and how likely it is."""


def copied(path: Path) -> bytes:
    """Return a whole copy of the state, as a careful person makes it."""
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as state,
        closing(sqlite3.connect(":memory:")) as copy,
    ):
        state.backup(copy)
        return copy.serialize()


def _said(rule: Rule) -> str:
    where = rule.match.route.value if rule.match.route is not None else "any call"
    return f"{rule.effect} on {where}, {rule.probability:.0%}"
