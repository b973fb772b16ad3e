"""Three replicas that are processes of their own, before a platform and a PostgreSQL, and what befalls them.

Owns: the replicas' lives, what people want, the trouble, and what is said of accounts that are not as people want them.
Must not: judge what replicas do; ``judges`` does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from judges import Stop, Wanted
from postgres import Postgres
from reconciler.core.replicas import MARGIN_SECONDS
from reconciler.simulator import Match, Platform, Route, Rule, sample_platform, serving
from reconciler.simulator import faults as effects
from scenarios import child_environment, credentials_folder, environment, eventually, owned
from witnesses import Door, Notes

SECONDS = float(os.environ.get("NEMESIS_SECONDS", "30"))
"""How long the trouble lasts; an hour by hand."""
BY_HAND = SECONDS > 30
CALL = 5 if BY_HAND else 1
"""How many seconds a call may take."""
SLOWEST = 0.9 * CALL if BY_HAND else 0.5
"""The longest answer of a slow LG, in seconds."""
LEASE = 20.0 + CALL
"""The shortest lease with such calls."""
PATIENCE = 900.0 if BY_HAND else 100.0
"""How long all may take to be as people want it: forty accounts share a machine with whatever else runs on it."""
ACCOUNTS = tuple(f"hotel-{number}" for number in range(40 if BY_HAND else 6))
LIMITED, COUNTED = ACCOUNTS[::4], ACCOUNTS[1::4]
"""Accounts with a limit of unsubscribes in 24 hours, and accounts with a number of calls in an hour."""
LIMIT = 2
LIMITS = ("max_unsubscribe", "max_unsubscribe_floor")
CALLS = 60 if BY_HAND else 30
WORKERS, CONCURRENCY = 4, 2
STOPS = (0.5, 3.0, 8.0, *((0.9 * LEASE, 1.2 * LEASE, 2 * LEASE) if BY_HAND else ()))
"""For how long a replica or the database is stopped. By hand that is also longer than the lease."""
LAG = 8.0
"""How much later than the others one replica sees its file, at most."""
AMBUSH = 120
"""So often it is looked for the first unsubscribe of an edit, 20 times a second."""
AMBUSHED = 8.0
"""So long a replica is stopped between two of its intents: the others hear of an edit, and its lease lasts."""
DEVICES = 12
LAST_CALLS = 12
"""How many calls of an account are shown where it is not as people want it."""


@dataclass
class Fleet:
    """Three replicas and what they share. ``files`` has what each file wants that was published, by its digest."""

    platform: Platform
    door: Door
    notes: Notes
    given: Mapping[str, str]
    base_url: str
    folder: Path
    wanted: dict[str, list[str]]
    limited: bool = False
    children: list[Process] = field(default_factory=list)
    files: dict[str, Wanted] = field(default_factory=dict)

    async def start(self) -> Process:
        """Start one more replica."""
        number = len(self.children)
        self._write(self.copy(number), self._text())
        address = f"{self.base_url}/replica-{number}"
        with (self.folder / f"{number}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reconciler", "run"),
                env=child_environment(
                    {
                        **self.given,
                        "PCC_BASE_URL": address,
                        "PCC_TOKEN_URL": f"{address}/emp/v2/token",
                        "PCC_STATE_URL": self.notes.address(f"replica-{number}"),
                        "PCC_DESIRED_STATE": str(self.copy(number)),
                        "PCC_STATE_DIR": str(self.folder / f"s{number}"),
                    }
                ),
                stdout=DEVNULL,
                stderr=log,
            )
        self.children.append(child)
        return child

    def name(self, child: Process) -> str:
        """Return by which name witnesses know a replica."""
        return f"replica-{self.children.index(child)}"

    def living(self) -> list[Process]:
        """Return the replicas whose processes have not ended."""
        return [one for one in self.children if one.returncode is None]

    def log(self, child: Process) -> str:
        """Return the log of a replica."""
        return (self.folder / f"{self.children.index(child)}.log").read_text(encoding="utf-8")

    def held(self) -> bool:
        """Say whether the limit of 24 hours held a change at some replica."""
        return any("too-many" in self.log(child) for child in self.children)

    def copy(self, number: int) -> Path:
        """Return one replica's copy of the file."""
        return self.folder / f"copy-{number}.toml"

    def publish(self, *, lags: int | None = None) -> None:
        """Write what people want to every replica's copy; to that of one replica some seconds later."""
        text = self._text()
        for number in range(len(self.children)):
            path = self.copy(number)
            if number == lags:
                asyncio.get_running_loop().call_later(LAG, self._write_newest, path)
            else:
                self._write(path, text)

    def _write_newest(self, path: Path) -> None:
        self._write(path, self._text())

    def _text(self) -> str:
        lines = ["version = 1", "policy.max_unsubscribe = '100%'", "policy.allow_empty = true"]
        for name, wanted in self.wanted.items():
            listed = ", ".join(f'"{one}"' for one in wanted)
            lines += [f"[accounts.{name}]", *self._limits(name), f"devices = [{listed}]"]
        text = "\n".join(lines) + "\n"
        now = {name: frozenset(wanted) for name, wanted in self.wanted.items()}
        self.files[sha256(text.encode()).hexdigest()] = now
        return text

    def _limits(self, name: str) -> list[str]:
        if name in LIMITED and self.limited:
            return [f"policy.{key} = {LIMIT}" for key in LIMITS]
        if name in COUNTED and self.limited:
            return [f"policy.calls_per_hour = {CALLS}"]
        return []

    @staticmethod
    def _write(path: Path, text: str) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)

    def differing(self, names: Collection[str] = ACCOUNTS) -> list[str]:
        """Return the accounts of which LG does not have what people want."""
        return [one for one in names if self.platform.subscribed(one) != set(self.wanted[one])]

    async def settles(self, names: Collection[str] = ACCOUNTS) -> None:
        """Wait until LG has of these accounts what people want."""
        end = time.monotonic() + PATIENCE
        while self.differing(names):
            assert time.monotonic() < end, self.explained()
            await asyncio.sleep(0.1)

    def explained(self) -> str:
        """Return what is to be known of the accounts that are not as people want them, and of the fleet."""
        lines = [f"not everything is as people want it at {time.time():.1f}"]
        for name in self.differing():
            live, wanted = self.platform.subscribed(name), set(self.wanted[name])
            lines.append(f"{name} lacks {sorted(wanted - live)}, has also {sorted(live - wanted)}")
            for table in ("ownership", "status", "retry", "pause", "quota"):
                lines += self._rows(table, f"WHERE account = '{name}'")
            lines += self._rows("change", f"WHERE account = '{name}' AND open")
            calls = [str(one) for one in self.door.calls() if one.account == name]
            lines += calls[-LAST_CALLS:]
        for table, which in (("member", "WHERE NOT dead"), ("informer", ""), ("text_file", "")):
            lines += self._rows(table, which)
        lines += [f"the newest file: {list(self.files)[-1]}"]
        return "\n".join(lines)

    def _rows(self, table: str, which: str) -> list[str]:
        found = self.notes.ask(f"SELECT to_jsonb({table})::text FROM {table} {which}")  # noqa: S608 - words of this module
        return [f"  {table}: {row}" for (row,) in found]

    def unsubscribes(self, account: str) -> int:
        """Return how many calls to unsubscribe devices of an account LG got."""
        return sum(
            one.route is Route.UNSUBSCRIBE and one.user == account for one in self.platform.requests
        )

    def following(self) -> dict[str, Process]:
        """Return the living owner of each account whose owner hears of edits by another replica."""
        found = self.notes.ask(
            "SELECT account, name FROM ownership JOIN seen_member ON id = owner"
            " WHERE owner IS DISTINCT FROM (SELECT owner FROM informer)"
        )
        living = {self.name(one): one for one in self.living()}
        return {account: living[name] for account, name in found if name in living}

    def owners(self) -> Counter[object]:
        """Return how many accounts each living member owns."""
        found = self.notes.ask(
            "SELECT owner FROM ownership JOIN member ON id = owner WHERE NOT dead"
        )
        return Counter(owner for (owner,) in found)

    def shares(self) -> list[int]:
        """Return how many accounts each living member owns, sorted."""
        return sorted(self.owners().values())


def shares(replicas: int) -> list[int]:
    """Return the shares of so many replicas, sorted."""
    least, over = divmod(len(ACCOUNTS), replicas)
    return [least] * (replicas - over) + [least + 1] * over


@asynccontextmanager
async def replicas(
    folder: Path, server: Postgres, *, limited: bool = False
) -> AsyncIterator[Fleet]:
    """Give three replicas that have shared the accounts, and end them. ``limited``: some accounts have limits."""
    platform = sample_platform(ACCOUNTS, devices=DEVICES, only_pcc=True, seed=1, log_size=1_000_000)
    door = Door(platform)
    async with serving(door) as base_url:
        given = environment(platform, base_url, folder) | {
            "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
            "PCC_LEASE": f"{LEASE:.0f}s",
            "PCC_REQUEST_TIMEOUT": f"{CALL}s",
            "PCC_INTERVAL": "1m",
            "PCC_WORKERS": str(WORKERS),
            "PCC_CONCURRENCY": str(CONCURRENCY),
        }
        wanted = {name: owned(platform, name)[: DEVICES * 2 // 3] for name in ACCOUNTS}
        notes = Notes(server.fresh())
        notes.begin()
        one = Fleet(platform, door, notes, given, base_url, folder, wanted, limited)
        try:
            for _ in range(3):
                await one.start()
            await one.settles()
            await eventually(lambda: one.shares() == shares(3), "even shares")
            yield one
        finally:
            for child in one.children:
                if child.returncode is None:
                    child.send_signal(signal.SIGCONT)
                    child.kill()
                await child.wait()


class Nemesis:
    """What befalls the replicas, their database and LG. ``count`` is how often each trouble came."""

    def __init__(self, one: Fleet, server: Postgres) -> None:
        self._one, self._server = one, server
        self._random = Random(SECONDS)  # noqa: S311 - repeatable, and no secret
        self._stopped: dict[asyncio.Task[None], Process] = {}
        self._late_works: set[asyncio.Task[None]] = set()
        self.stops: list[Stop] = []
        self.count: Counter[str] = Counter()

    async def live(self) -> None:
        """Let trouble last."""
        await self._reach_the_limit()
        troubles = (*(self._edit,) * 4, self._stop, self._stop, self._cut, self._kill)
        rare = (self._slow, self._pause_database, self._leave)
        long = (self._late, self._late) if BY_HAND else ()
        every = (*troubles, self._ambush, self._ambush, *rare, *long)
        bag: list[Callable[[], Awaitable[None]]] = []
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            bag = bag or self._random.sample(every, len(every))
            trouble = bag.pop()
            self.count[trouble.__name__.strip("_")] += 1
            await trouble()
            await asyncio.sleep(self._random.uniform(0.2, 2.0))
        if self._stopped or self._late_works:
            await asyncio.wait({*self._stopped, *self._late_works})
        self._one.publish()

    async def _reach_the_limit(self) -> None:
        """Let as many devices of every second account go as may go within 24 hours: all others are held from now on."""
        names = LIMITED[::2]
        for name in names:
            del self._one.wanted[name][-LIMIT:]
        self._one.publish()
        await self._one.settles(names)
        for name in names:
            self._one.wanted[name].pop()
        self._one.publish()
        await eventually(self._one.held, "the next one is held")

    def _child(self) -> Process:
        return self._random.choice(self._one.living())

    async def _stop(self) -> None:
        """Stop a replica, and let it go on while other things happen."""
        going = [one for one in self._one.living() if one not in self._stopped.values()]
        if going:
            self._halt(self._random.choice(going), self._random.choice(STOPS))

    def _halt(self, child: Process, seconds: float) -> None:
        task = asyncio.create_task(self._stopped_for(child, seconds))
        self._stopped[task] = child
        task.add_done_callback(self._stopped.pop)

    async def _stopped_for(self, child: Process, seconds: float) -> None:
        begin = time.time()
        child.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if child.returncode is None:
            self.stops.append(Stop(self._one.name(child), begin, time.time()))
            child.send_signal(signal.SIGCONT)

    async def _kill(self) -> None:
        child = self._child()
        child.kill()
        await child.wait()
        await self._one.start()

    async def _leave(self) -> None:
        """Let a replica end in good order, and another one begin."""
        self._child().send_signal(signal.SIGTERM)
        await self._one.start()

    async def _cut(self) -> None:
        self._one.notes.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'replica-%'"
        )

    async def _edit(self) -> None:
        one, name = self._one, self._random.choice(ACCOUNTS)
        self.count["edit while a replica is stopped"] += bool(self._stopped)
        every = owned(one.platform, name)
        one.wanted[name] = self._random.sample(every, self._random.randint(1, DEVICES - 1))
        living = [one.children.index(child) for child in one.living()]
        one.publish(lags=self._random.choice([None, *living]))

    async def _ambush(self) -> None:
        """Stop an owner in the middle of unsubscribes that people take back before it goes on."""
        one, going = self._one, self._one.following()
        victims = [
            name
            for name in sorted(going.keys() - set(LIMITED))
            if going[name] not in self._stopped.values()
        ]
        if not victims:
            return
        some = self._random.sample(victims, (len(victims) + 1) // 2)
        name = max(some, key=lambda each: len(one.wanted[each]))
        before, already = one.wanted[name], one.unsubscribes(name)
        one.wanted[name] = before[:1]
        self._slow_down(Match(user=name))
        one.publish()
        for _ in range(AMBUSH):
            if one.unsubscribes(name) > already:
                break
            await asyncio.sleep(0.05)
        if going[name].returncode is None:
            self._halt(going[name], AMBUSHED)
        one.wanted[name] = before
        one.publish()

    async def _late(self) -> None:
        """Refuse the renewals of an owner for ever, and give it work when its lease is about to run out."""
        name = self._random.choice(ACCOUNTS)
        owners = dict(self._one.notes.ask("SELECT account, owner FROM ownership"))
        if owners[name] is not None:
            self._one.notes.cut_off(owners[name])
            task = asyncio.create_task(self._late_work(name))
            self._late_works.add(task)
            task.add_done_callback(self._late_works.discard)

    async def _late_work(self, name: str) -> None:
        one = self._one
        await asyncio.sleep(LEASE - self._random.uniform(0.0, CALL + MARGIN_SECONDS))
        one.wanted[name] = self._random.sample(owned(one.platform, name), DEVICES // 2)
        self._slow_down(Match(user=name))
        one.publish()

    async def _slow(self) -> None:
        self._slow_down(Match())

    def _slow_down(self, match: Match) -> None:
        slow = effects.Latency(0.2, up_to=SLOWEST)
        self._one.platform.add_fault(Rule(slow, match=match, end=self._random.uniform(2, 20)))

    async def _pause_database(self) -> None:
        self._server.signal(signal.SIGSTOP)
        await asyncio.sleep(self._random.choice(STOPS))
        self._server.signal(signal.SIGCONT)
