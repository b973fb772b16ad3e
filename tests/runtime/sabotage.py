"""Real processes that lack one check each, beside a right one: the rules notice each of them at a chosen moment.

Ten replicas with leases of seconds need the machine for themselves, so this is not among the other tests:
``make sabotage`` runs it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from judges import RULES, History, Wanted
from postgres import Postgres
from reconciler.core.replicas import REFENCED_SECONDS
from reconciler.simulator import Platform, serving
from sabotaged import CALL_SECONDS, SHORT, command
from scenarios import (
    child_environment,
    credentials_folder,
    environment,
    eventually,
    fleet,
    owned,
    rename_over,
)
from withheld import Moment, Way, way
from witnesses import Door, Notes

READER = "reader"
LATE, FOREIGN, OUTDATED = "a later owner called before", " while ", " to unsubscribe "
"""Words of the rules: a call, an intent without owning the account, and an intent by an older file."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a replica lacks, where its way to the database is held back, and which rules it breaks then.

    ``soon``: only until another file is in force, and not until another replica took the account and called LG.
    """

    name: str
    sabotage: str
    moment: Moment
    broken: frozenset[str] = frozenset()
    soon: bool = False
    stopped: bool = False


CASES = (
    Case("right-fence", "nothing", Moment.WRITE),
    Case("right-plan", "nothing", Moment.WRITE, soon=True),
    Case("right-deadline", "nothing", Moment.CONFIRMATION),
    Case("right-stopped", "nothing", Moment.CONFIRMATION, stopped=True),
    Case("fenceless", "no fence", Moment.WRITE, frozenset({FOREIGN, OUTDATED})),
    Case(
        "planless",
        "fence without generation",
        Moment.WRITE,
        frozenset({OUTDATED}),
        soon=True,
    ),
    Case("endless", "no deadline", Moment.CONFIRMATION, frozenset({LATE})),
    Case("endless-stopped", "no deadline", Moment.CONFIRMATION, frozenset({LATE}), stopped=True),
    Case("careless", "neither", Moment.WRITE, frozenset({FOREIGN, OUTDATED, LATE})),
)
ACCOUNTS = tuple(f"hotel-{number}" for number in range(len(CASES) + 1))
DEVICES = 4


@dataclass
class Victim:
    """A replica that gets into trouble, its way to the database, and the account that it owned before."""

    case: Case
    way: Way
    process: Process
    account: str = ""
    caught_at: float = 0.0

    def stop(self) -> None:
        """Note when it was caught, and stop it where it is to be stopped."""
        self.caught_at = time.time()
        if self.case.stopped:
            self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it have what was held back, and nothing else yet."""
        self.way.let_that_pass()
        if self.case.stopped:
            self.process.send_signal(signal.SIGCONT)


@dataclass
class Trouble:
    """A fleet of one right replica that reads the files, and of those that get into trouble."""

    platform: Platform
    door: Door
    notes: Notes
    folder: Path
    base_url: str
    address: str
    wanted: dict[str, list[str]]
    files: dict[str, Wanted] = field(default_factory=dict)
    victims: list[Victim] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """Return the file that says what people want."""
        return self.folder / "desired-state.toml"

    def publish(self, wanted: dict[str, list[str]]) -> str:
        """Write what people want, and return the digest of the file."""
        lines = ["version = 1", "policy.max_unsubscribe = 1000"]
        for name, devices in wanted.items():
            listed = ", ".join(f'"{one}"' for one in devices)
            lines += [f"[accounts.{name}]", f"devices = [{listed}]"]
        text = "\n".join(lines) + "\n"
        digest = sha256(text.encode()).hexdigest()
        self.files[digest] = {name: frozenset(devices) for name, devices in wanted.items()}
        rename_over(self.file, text)
        return digest

    async def start(self, name: str, sabotage: str, address: str) -> Process:
        """Start a replica."""
        url = f"{self.base_url}/{name}"
        given = environment(self.platform, self.base_url, self.folder) | {
            **SHORT,
            "PCC_CREDENTIALS_DIR": str(self.folder / "credentials"),
            "PCC_BASE_URL": url,
            "PCC_TOKEN_URL": f"{url}/emp/v2/token",
            "PCC_STATE_URL": f"{address}&application_name={name}",
            "PCC_STATE_DIR": str(self.folder / name),
            "PCC_INTERVAL": "1h",
            "PCC_CONCURRENCY": "2",
        }
        with (self.folder / f"{name}.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *command(sabotage), env=child_environment(given), stdout=DEVNULL, stderr=log
            )

    def agrees(self) -> bool:
        """Say whether LG has everything as people want it."""
        return all(self.platform.subscribed(one) == set(self.wanted[one]) for one in ACCOUNTS)

    def owners(self) -> dict[str, str]:
        """Return the account of each replica that lives."""
        found = self.notes.ask(
            "SELECT seen_member.name, account FROM ownership JOIN seen_member ON id = owner"
            " JOIN member USING (id) WHERE NOT dead"
        )
        return dict(found)

    def is_shared(self) -> bool:
        """Say whether each replica has an account of its own."""
        return len(self.owners()) == len(ACCOUNTS)

    def taken(self, victims: Iterable[Victim]) -> bool:
        """Say whether another replica has called LG for each account since its owner was caught."""
        calls = self.door.calls()
        return all(
            any(
                call.name == READER and call.account == one.account and call.began > one.caught_at
                for call in calls
            )
            for one in victims
        )

    def broken(self) -> dict[str, list[str]]:
        """Return which rules each replica broke."""
        notes = self.notes
        history = History(
            calls=self.door.calls(),
            terms=notes.terms(),
            files=notes.files(),
            intents=notes.intents(),
            wanted=self.files,
            stops=(),
            call_seconds=CALL_SECONDS,
            late_calls=0,
        )
        for rule in RULES:
            rule(history)
        return {
            case.name: [
                line
                for line in history.broken
                if line.endswith(f" by {case.name}") or f"an intent of {case.name} " in line
            ]
            for case in CASES
        }

    def noticed(self) -> bool:
        """Say whether each replica broke the rules that it cannot keep."""
        broken = self.broken()
        return all(
            any(words in line for line in broken[case.name])
            for case in CASES
            for words in case.broken
        )


@asynccontextmanager
async def trouble(folder: Path, server: Postgres) -> AsyncIterator[Trouble]:
    """Give a fleet in which each replica has an account of its own, and end it."""
    platform = fleet(DEVICES, subscribed=1.0, users=ACCOUNTS)
    door = Door(platform)
    credentials_folder(platform, folder / "credentials")
    address = server.fresh()
    notes = Notes(address)
    notes.begin()
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(serving(door))
        wanted = {name: owned(platform, name) for name in ACCOUNTS}
        one = Trouble(platform, door, notes, folder, base_url, address, wanted)
        one.publish(wanted)
        reader = await one.start(READER, "nothing", address)
        stack.push_async_callback(ended, reader)
        await eventually(lambda: len(door.calls()) >= len(ACCOUNTS), "one replica has all")
        for case in CASES:
            line = await stack.enter_async_context(way(server.folder))
            process = await one.start(case.name, case.sabotage, line.address(address))
            stack.push_async_callback(ended, process)
            one.victims.append(Victim(case, line, process))
        await eventually(one.is_shared, "each has an account")
        for victim in one.victims:
            victim.account = one.owners()[victim.case.name]
        yield one


async def ended(process: Process) -> None:
    """End a replica, stopped or not."""
    if process.returncode is None:
        process.kill()
    await process.wait()


async def held_back(one: Trouble) -> None:
    """Give all replicas work, and hold each back at its moment."""
    for victim in one.victims:
        slow = victim.case.moment is Moment.CONFIRMATION
        victim.way.hold_back(Moment.INTENT if slow else victim.case.moment)
    one.publish({name: devices[:1] for name, devices in one.wanted.items()})
    await eventually(lambda: all(each.way.caught for each in one.victims), "all are held back")
    now = time.monotonic()
    for victim in one.victims:
        if victim.case.moment is Moment.WRITE:
            victim.stop()
    await eventually(lambda: time.monotonic() > now + REFENCED_SECONDS, "the intents are old")
    late = [each for each in one.victims if each.case.moment is Moment.CONFIRMATION]
    for victim in late:
        victim.way.let_that_pass()
        victim.way.hold_back(Moment.CONFIRMATION)
    await eventually(lambda: all(each.way.caught for each in late), "all ask again")
    for victim in late:
        victim.stop()


async def test_each_missing_check_is_noticed(tmp_path: Path, postgresql: Postgres) -> None:
    """At the moment at which one check matters, a replica without it breaks a rule, and a right one breaks none."""
    async with trouble(tmp_path, postgresql) as one:
        await held_back(one)
        newest = one.publish(one.wanted)
        await eventually(lambda: one.notes.files()[-1].sha256 == newest, "it is taken back")
        for victim in one.victims:
            if victim.case.soon:
                victim.go_on()
        lasting = [each for each in one.victims if not each.case.soon]
        await eventually(lambda: one.taken(lasting), "the others take over")
        for victim in lasting:
            victim.go_on()
        await eventually(one.noticed, "all that is missing is noticed")
        for victim in one.victims:
            victim.way.open()
        await eventually(one.is_shared, "each has an account again")
        broken = one.broken()
        for case in CASES:
            found = {
                words
                for words in (LATE, FOREIGN, OUTDATED)
                for line in broken[case.name]
                if words in line
            }
            assert found == case.broken, broken[case.name]
            assert case.broken or not broken[case.name]
