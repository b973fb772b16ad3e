"""Trouble for several replicas, and what must never happen across them.

Owns: one run of one seed, and its rules. Must not: ask the program what is right; it reads the documents that were
accepted, and counts what LG was asked.

One call may be on its way when the world changes: a call counts by what was true up to ``GRACE_SECONDS`` before.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import tomllib
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog

from memory_coordination import Checks
from reconciler.core.model import AccountName, DeviceId
from reconciler.state.port import Asked
from simulation.replicas import Judge, Node, Sent, World, living

GRACE_SECONDS = 2.5
"""An intent is confirmed anew when it is older than 2 seconds; half a second is for threads."""
REQUEST_TIMEOUT = 15.0
DAY, HOUR = 86_400.0, 3600.0
TIGHT, LOOSE = 4, 1000
"""Unsubscribes of an account in 24 hours: every second seed comes to its limit."""
CALLS = 100
"""Calls of an account in an hour."""


@dataclass(frozen=True, slots=True)
class Sabotage:
    """What is taken away from the program."""

    checks: Checks = Checks.ALL
    no_deadline: bool = False


@dataclass
class Outcome:
    """What a run came to."""

    violations: list[str] = field(default_factory=list)
    unsubscribes: int = 0
    calls: int = 0
    most_in_a_day: int = 0
    timeline: list[str] = field(default_factory=list)


class Rules(Judge):
    """What must never happen."""

    def __init__(self, world: World, outcome: Outcome, limit: int, calls: int) -> None:
        self.outcome, self._limit, self._calls = outcome, limit, calls
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self._world = world
        self._in_flight: dict[str, list[Sent]] = {}
        self._newest: dict[str, tuple[int, str]] = {}
        self._texts: deque[tuple[float, dict[str, frozenset[str]]]] = deque()
        self._paused: dict[str, float] = {}
        self._gone: dict[str, deque[tuple[float, str]]] = {}
        self._asked: dict[str, deque[float]] = {}

    def accepted(self) -> None:
        """Read the documents that came into force."""
        storage = self._world.database.storage
        contents = storage.contents()
        wanted: dict[str, frozenset[str]] = {}
        for one in storage.documents():
            read = tomllib.loads(zlib.decompress(contents[one.digests[one.document]]).decode())
            for name, account in read["accounts"].items():
                wanted[name] = frozenset(account["devices"])
        self._texts.append((self._world.loop.time(), wanted))

    def paused(self, account: str) -> None:
        """Hear that a pause of an account is in force."""
        self._paused[account] = self._world.loop.time()

    def goes_on(self) -> None:
        """Hear that somebody is about to end every pause."""
        self._paused.clear()

    def sent(self, call: Sent) -> None:
        """Judge a call that leaves a replica."""
        if not call.account:
            return
        self.outcome.calls += 1
        sender = f"{call.node.name}/{call.life}"
        self._one_writer(call, sender)
        self._no_older_epoch(call, sender)
        self._quota(call)
        if call.device:
            self.calls[call.account, call.device, call.method] += 1
            self._not_paused(call)
        if call.method == "DELETE":
            self.outcome.unsubscribes += 1
            self._by_the_text(call)
        self._in_flight.setdefault(call.account, []).append(call)

    def came_back(self, call: Sent) -> None:
        """Take a call from those in flight."""
        flying = self._in_flight.get(call.account, [])
        if call in flying:
            flying.remove(call)

    def done(self, call: Sent, *, changed: bool) -> None:
        """Count what was unsubscribed within a day."""
        if call.method != "DELETE" or not changed:
            return
        gone, now = self._gone.setdefault(call.account, deque()), self._world.loop.time()
        gone.append((now, call.device))
        while gone[0][0] <= now - DAY:
            gone.popleft()
        count = len({device for _, device in gone})  # each device once
        self.outcome.most_in_a_day = max(self.outcome.most_in_a_day, count)
        self._require(count <= self._limit, call, f"limit: {count} unsubscribes in 24 hours")

    def _one_writer(self, call: Sent, sender: str) -> None:
        now = self._world.loop.time()
        others = [
            one
            for one in self._in_flight.get(call.account, [])
            if f"{one.node.name}/{one.life}" != sender and now < one.at + REQUEST_TIMEOUT
        ]
        self._require(not others, call, f"two writers: {[one.node.name for one in others]} too")

    def _no_older_epoch(self, call: Sent, sender: str) -> None:
        newest, by = self._newest.get(call.account, (0, sender))
        epoch = call.epoch or 0
        self._require(epoch >= newest or by == sender, call, f"epoch {epoch} after {newest}")
        if epoch > newest:
            self._newest[call.account] = epoch, sender

    def _quota(self, call: Sent) -> None:
        asked, now = self._asked.setdefault(call.account, deque()), call.at
        asked.append(now)
        while asked[0] <= now - HOUR:
            asked.popleft()
        self._require(len(asked) <= self._calls, call, f"quota: {len(asked)} calls in an hour")

    def _not_paused(self, call: Sent) -> None:
        since = self._paused.get(call.account)
        held = since is not None and call.at > since + GRACE_SECONDS
        self._require(not held, call, "the account is paused")

    def _by_the_text(self, call: Sent) -> None:
        """Require that some text of the last moments did not want the device."""
        while len(self._texts) > 1 and self._texts[1][0] <= call.at - GRACE_SECONDS:
            self._texts.popleft()
        wanted = all(call.device in text.get(call.account, ()) for _, text in self._texts)
        self._require(not wanted, call, "an unsubscribe of a device that is wanted")

    def _require(self, kept: bool, call: Sent, rule: str) -> None:  # noqa: FBT001 - a rule and whether it is kept
        if not kept:
            what = f"{call.method} {call.account} {call.device[:8]} by {call.node.name}/{call.life}"
            self.outcome.violations.append(f"{call.at:.2f} {rule}: {what}")


class Nemesis:
    """One run: trouble, then rest, in which everything has to come true."""

    def __init__(self, world: World, seed: int, hours: float, outcome: Outcome) -> None:
        self._world, self._hours, self._outcome = world, hours, outcome
        self._random = Random(seed)  # noqa: S311 - repeatable, and no secret
        tight = seed % 2 == 1
        limit, calls = (TIGHT, CALLS) if tight else (LOOSE, 100 * CALLS)
        self._rules = Rules(world, outcome, limit, calls)
        self._tasks: set[asyncio.Task[None]] = set()
        world.judge, world.database.accepted = self._rules, self._rules.accepted
        world.policy = {
            "max_unsubscribe": str(limit),
            "max_unsubscribe_floor": str(limit),
            "calls_per_hour": str(calls),
            "allow_empty": "true",
        }

    async def live(self) -> None:
        """Live through it."""
        world = self._world
        for node in world.nodes:
            world.deliver(node)
            node.start()
        await world.until(world.agrees, 300)
        troubles: tuple[Callable[[], Awaitable[None]], ...] = (
            *(self._edit,) * 4,
            *(self._halt,) * 3,
            *(self._ambush,) * 6,
            *(self._late_call,) * 3,
            *(self._kill, self._restart, self._cut, self._away, self._slow, self._drift),
            self._pause,
        )
        end = world.loop.time() + self._hours * HOUR
        while world.loop.time() < end and not self._outcome.violations:
            await self._begin(self._random.choice(troubles))
            await asyncio.sleep(self._random.uniform(1, 40))
        if not self._outcome.violations:
            await self._rest()

    async def _begin(self, trouble: Callable[[], Awaitable[None]]) -> None:
        self._tell(trouble.__name__)
        task = asyncio.ensure_future(trouble())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(0)

    def _tell(self, text: str) -> None:
        self._outcome.timeline.append(f"{self._world.loop.time():.1f} {text}")

    def _node(self) -> Node:
        return self._random.choice(self._world.nodes)

    async def _edit(self) -> None:
        """Let people want other devices; each replica sees the file after a time of its own."""
        world, random = self._world, self._random
        name = random.choice(sorted(world.wanted))
        wanted, all_devices = world.wanted[name], world.devices[name]
        for device in random.sample(all_devices, random.randint(1, 3)):
            if device in wanted and len(wanted) > 1:
                wanted.remove(device)
            elif device not in wanted:
                wanted.append(device)
        text = world.text()
        self._tell(f"{name} wants {sorted(one[:8] for one in wanted)}")
        lags = [(random.choice((0.0, random.uniform(0, 60))), node) for node in world.nodes]
        for lag, node in lags:
            world.loop.call_later(lag, world.deliver, node, text)

    async def _halt(self) -> None:
        node = self._node()
        span = self._random.choice((0.5, 3, 10, self._world.lease, 2 * self._world.lease))
        self._tell(f"{node.name} is stopped for {span} s")
        node.halt()
        await asyncio.sleep(span * self._random.uniform(0.5, 1.0))
        if node.stopped:
            self._tell(f"{node.name} continues")
            node.go_on()

    async def _ambush(self) -> None:
        """Stop an owner in the middle of unsubscribes that people take back before it continues."""
        world, random = self._world, self._random
        name, owner = self._some_owner()
        if owner is None:
            return
        before = list(world.wanted[name])
        world.slow_seconds = max(world.slow_seconds, random.uniform(0.2, 3))
        world.wanted[name] = before[:1]
        self._deliver()
        await asyncio.sleep(random.uniform(1.0, 7.0))
        owner.halt()
        world.wanted[name] = before
        self._deliver()
        await asyncio.sleep(random.choice((3.0, 6.0, 20.0, 1.3 * world.lease)))
        if owner.stopped:
            owner.go_on()
        await asyncio.sleep(5)
        world.slow_seconds = 0.0

    async def _late_call(self) -> None:
        """Cut an owner's renewals off, and let it have work when its lease is about to run out."""
        world, random = self._world, self._random
        name, owner = self._some_owner()
        if owner is None or owner.renewals_cut:
            return
        owner.renewals_cut = True
        await asyncio.sleep(world.lease - random.uniform(0.0, 5.0))
        world.slow_seconds = random.uniform(2, 7)
        world.wanted[name] = list(world.devices[name][: random.randint(1, 8)])
        self._deliver()
        await asyncio.sleep(15)
        owner.renewals_cut, world.slow_seconds = False, 0.0

    def _some_owner(self) -> tuple[str, Node | None]:
        name = self._random.choice(sorted(self._world.wanted))
        for node in self._world.nodes:
            if not node.gone and not node.stopped and AccountName(name) in node.owned():
                return name, node
        return name, None

    def _deliver(self) -> None:
        for node in self._world.nodes:
            self._world.deliver(node)

    async def _kill(self) -> None:
        node = self._node()
        if node.gone:
            return
        node.kill()
        await asyncio.sleep(self._random.uniform(1, 60))
        if node.gone:
            node.start()

    async def _restart(self) -> None:
        node = self._node()
        if node.gone or node.stopped:
            return
        await node.stop()
        if node.gone:
            node.start()

    async def _cut(self) -> None:
        node = self._node()
        self._tell(f"the renewals of {node.name} are cut off")
        node.renewals_cut = True
        await asyncio.sleep(self._random.uniform(10, 100))
        node.renewals_cut = False

    async def _away(self) -> None:
        self._world.database.away = "the database is away"
        await asyncio.sleep(self._random.uniform(1, 80))
        self._world.database.away = ""

    async def _slow(self) -> None:
        self._world.slow_seconds = self._random.uniform(1, 9)
        await asyncio.sleep(self._random.uniform(10, 120))
        self._world.slow_seconds = 0.0

    async def _drift(self) -> None:
        """Let LG lose a device."""
        name = self._random.choice(sorted(self._world.wanted))
        live = sorted(self._world.live(name))
        if live:
            self._world.platform.unsubscribe(name, self._random.choice(live))

    async def _pause(self) -> None:
        """Let somebody pause an account at any replica, and end that."""
        node, name = self._node(), self._random.choice(sorted(self._world.wanted))
        asked = {"account": name, "pause": "all", "for": "2h", "reason": "stock-taking"}
        answer = await node.ask("POST", "/api/v1/pause", asked)
        if answer is None or answer.status_code != 200:
            return
        self._rules.paused(name)
        await asyncio.sleep(self._random.uniform(10, 200))
        await self._unpause()

    async def _unpause(self) -> None:
        self._rules.goes_on()
        for _ in range(100):
            for node in self._world.nodes:
                answer = await node.ask("POST", "/api/v1/pause", {"pause": "none"})
                if answer is not None and answer.status_code == 200:
                    return
            await asyncio.sleep(5)

    async def _rest(self) -> None:
        """End all trouble, and see that everything is as people want it."""
        world = self._world
        if self._tasks:
            await asyncio.wait(self._tasks)
        world.slow_seconds, world.database.away = 0.0, ""
        for node in world.nodes:
            node.renewals_cut = False
            if node.stopped:
                node.go_on()
            if node.gone:
                node.start()
        await asyncio.sleep(120)
        await self._unpause()
        world.judge = Judge()
        world.policy |= {"max_unsubscribe": '"100%"', "calls_per_hour": '"unlimited"'}
        for node in world.nodes:
            world.deliver(node)
        for _ in range(240):
            if world.agrees() and self._all_owned():
                break
            await asyncio.sleep(30)
        else:
            self._outcome.violations.append("at rest, not everything is as people want it")
        self._every_call_was_written_down()

    def _all_owned(self) -> bool:
        owned = sorted(one for node in self._world.nodes for one in node.owned())
        return owned == sorted(map(AccountName, self._world.wanted))

    def _every_call_was_written_down(self) -> None:
        actions = {"POST": "subscribe", "DELETE": "unsubscribe"}
        rows = self._world.database.storage.changes(Asked(), 1_000_000)
        written = Counter((one.account, one.device, str(one.action)) for one in rows)
        for (account, device, method), calls in self._rules.calls.items():
            found = written[AccountName(account), DeviceId(device), actions[method]]
            if found < calls:
                self._outcome.violations.append(
                    f"{calls} calls, {found} intents: {method} {account} {device[:8]}"
                )


def run(seed: int, hours: float, sabotage: Sabotage | None = None) -> Outcome:
    """Run one seed."""
    outcome, sabotage = Outcome(), sabotage or Sabotage()
    with (
        tempfile.TemporaryDirectory() as folder,
        living(Path(folder), seed, accounts=5, devices=8) as (loop, world),
    ):
        world.database.checks, world.no_deadline = sabotage.checks, sabotage.no_deadline
        nemesis = Nemesis(world, seed, hours, outcome)
        loop.run_until_complete(nemesis.live())
    return outcome


SABOTAGES = {
    "no fence": Sabotage(Checks.NOTHING),
    "fence without generation": Sabotage(Checks.NO_GENERATION),
    "no deadline": Sabotage(no_deadline=True),
    "neither": Sabotage(Checks.NOTHING, no_deadline=True),
}


def told(seed: int, hours: float) -> int:
    """Run one seed and print what it came to; return the number of broken rules."""
    outcome = run(seed, hours)
    sys.stdout.write(
        f"seed {seed}: {outcome.calls} calls, {outcome.unsubscribes} unsubscribes, "
        f"{len(outcome.violations)} violations\n"
    )
    for line in (*(outcome.timeline[-40:] if outcome.violations else ()), *outcome.violations):
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()
    return len(outcome.violations)


def main(words: list[str]) -> int:
    """Run the seeds that were asked for; the exit code is 1 where any rule was broken."""
    parser = argparse.ArgumentParser(prog="simulation.nemesis", description="Trouble for replicas.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--hours", type=float, default=2.0)
    asked = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    seeds = range(asked.first, asked.first + asked.seeds)
    return 1 if sum(told(seed, asked.hours) for seed in seeds) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
