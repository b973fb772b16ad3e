"""One run: a world made of one seed, hours of trouble, and then rest, in which everything has to come true.

Owns: how a run is put together, how long its parts last, and what is asked of it at the end.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from reconciler.simulator import Device, Match, Options, Platform, Route, Rule, sample_devices
from reconciler.simulator.faults import Error
from reconciler.telemetry.logs import set_up_logs
from reconciler.telemetry.masking import Masking
from simulation import texts
from simulation.answers import Between
from simulation.callbacks import Events, Receiver, Receivers, hide_a_loss
from simulation.checker import Checker, Violation, subset
from simulation.clockwork import MACHINE, MachineClock, Stuck, VirtualLoop
from simulation.disk import Disk
from simulation.life import CALM, EVERYBODY, HOUR, MINUTE, Life
from simulation.machine import LIFE, Machine
from simulation.modes import USUAL, Mode
from simulation.texts import Approved, Fleet
from simulation.tolerances import SILENCE, UNTIL_CALM
from simulation.wire import Weather

STARTS = tuple(
    datetime(*day, tzinfo=UTC)
    for day in (
        (2026, 3, 28),
        (2026, 4, 23),
        (2026, 11, 1),
        (2026, 12, 30),
        (2027, 6, 1),
        (2028, 2, 28),
    )
)
"""When a run may begin: before Europe's clocks are put forward, and Egypt's at midnight; on the day on which Cuba has
midnight twice; at the end of a year; on any day; before a leap day."""
REST_HOURS = 4.0
LOSS_HOURS = 31.0
"""How long before the rest LG's events end, where that is hidden: what it takes until a silence means something, late
events of three hours, and two hours more."""
HEARD_AGAIN_SECONDS = 2 * HOUR
"""How long after that nobody can demand an event of LG's."""
MOST_WAKES = 4
"""How often events may wake an account in half an hour."""
SOON_SECONDS, QUIET_SECONDS = 80 * MINUTE, 30 * MINUTE
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a disk that costs nothing, where there is one
LATE = UNTIL_CALM.total_seconds()


@dataclass(slots=True)
class Report:
    """What a run came to."""

    seed: int
    hours: float
    start: datetime
    violation: Violation | None = None
    timeline: list[tuple[float, str]] = field(default_factory=list)

    def told(self) -> list[str]:
        """Return what happened, a line an event; what the daemon logged is set in."""
        return [f"{_when(self.start, at)} {_readable(text)}" for at, text in self.timeline]


class _Lines(io.StringIO):
    """Where log lines go: to whoever listens, if they come from the living."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def write(self, text: str) -> int:
        self._run.logged(text.rstrip("\n"))
        return len(text)


class Run:
    """One seed. Another kind of run is made of other kinds of parts."""

    loop_kind: type[VirtualLoop] = VirtualLoop
    checker_kind: type[Checker] = Checker
    machine_kind: type[Machine] = Machine
    life_kind: type[Life] = Life

    def __init__(self, seed: int, hours: float, folder: Path, mode: Mode = USUAL) -> None:
        self._mode = mode
        self._random = Random(seed)  # noqa: S311 - repeatable, and no secret
        self.report = Report(seed, hours, self._random.choice(mode.starts or STARTS))
        self.loop = self.loop_kind(self._another())
        self._folder = folder
        self._hours = hours
        self._over = asyncio.Event()
        self._going: dict[str, set[str]] = {}
        self._owning: set[str] = set()
        self._dated: Counter[str] = Counter()
        self._events: Events | None = None
        self._sending: list[asyncio.Task[None]] = []
        self._lost_at: float | None = None

    def _another(self) -> Random:
        """Return a source of chance for one part, so that what others do does not change what befalls it."""
        return Random(self._random.random())  # noqa: S311 - as above

    def run(self) -> Report:
        """Live through it."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._all())
        except Stuck as stuck:
            self._checker.promise("progress", str(stuck), kept=False)
        finally:
            self.report.violation = self._checker.violation
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.waits.clear()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            asyncio.set_event_loop(None)
        return self.report

    def tell(self, text: str) -> None:
        """Write a line to the timeline."""
        self.report.timeline.append((self.loop.time(), text))

    def logged(self, line: str) -> None:
        """Take a line of the log."""
        if not self._machine.speaks(LIFE.get()):
            return
        line = line.replace(f"{self._folder}/", "")
        self.tell(line)
        self._checker.logged(line)
        self._look()

    async def _all(self) -> None:
        self._build()
        living = self.loop.create_task(self._trouble_then_rest())
        living.add_done_callback(lambda _task: self._over.set())
        await self._over.wait()
        ended = living.done()
        self._machine.kill()
        await self._machine.bury()
        if ended:
            living.result()  # what fails in this world is no success

    def _build(self) -> None:
        random = self._random
        loop, clock = self.loop, MachineClock(self.loop, self.report.start)
        MACHINE.set(clock)
        disk, weather = Disk(loop, clock), Weather(Between(self._another()), self._mode.way_seconds)
        accounts = random.randint(2, 4)
        options = Options(
            empty_list=random.choice(("[]", "null", "{}", "missing")),
            not_subscribed=random.choice(("1206", "1204")),
            unknown_device_code=random.choice(("1205", "1213", "1211", "1210")),
            quota_code=random.choice(("1314", "1306", "429")),
            token_life=random.choice((HOUR, 4 * HOUR)),
        )
        platform = Platform(
            seed=self.report.seed,
            options=options,
            now=lambda: clock.start.timestamp() + loop.time(),
            log_size=0,
        )
        for number in range(accounts):
            name = CALM if number == 0 else f"hotel-{number}"
            count = random.choice(self._mode.sizes)
            only_pcc = name == CALM or random.random() < 0.7
            user = platform.world.add_user(name)
            devices = sample_devices(self.report.seed, name, count, only_pcc=only_pcc)
            if (
                name != CALM and random.random() < 0.5
            ):  # of those one has an id that can be written in two forms
                devices[0] = msgspec.structs.replace(
                    devices[0], id=f"B\u00fcro-{devices[0].id[:12]}"
                )
            platform.world.add_devices(user, devices)
        environment = random.choice(("", "production"))
        self._interval = random.choice((15, 30, 60)) * MINUTE
        given = {
            "PCC_DESIRED_STATE": str(self._folder / "texts"),
            "PCC_CREDENTIALS_DIR": str(self._folder / "credentials"),
            "PCC_BASE_URL": "https://lg.invalid",
            "PCC_TOKEN_URL": "https://lg.invalid/emp/v2/token",
            "PCC_BACKEND_URL": platform.world.service.backend_url,
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": platform.world.service.id,
            "PCC_SERVICE_KEY": platform.world.service.key,
            "PCC_CLIENT_ID": platform.world.service.client_id,
            "PCC_LISTEN": "127.0.0.1:0",
            "PCC_ENVIRONMENT": environment,
            "PCC_INTERVAL": f"{self._interval:.0f}s",
            "PCC_CONCURRENCY": str(random.choice(self._mode.concurrency)),
            "PCC_WORKERS": str(random.choice((1, 2, 8))),
            "PCC_MODE": "observe" if random.random() < self._mode.observing else "enforce",
        }
        self._observing = given["PCC_MODE"] == "observe"
        self._checker = checker = self.checker_kind(
            loop.time,
            clock.now,
            observing=self._observing,
            concurrency=int(given["PCC_CONCURRENCY"]),
            user_of_token=lambda token: getattr(
                platform.world.by_access_token(token), "name", None
            ),
            state=lambda: self._machine.state,
            true_wall=lambda: clock.start + timedelta(seconds=loop.time()),
            mode=self._mode,
        )
        checker.tell = self.tell
        checker.secrets = {platform.world.service.key}
        self._platform, self._disk = platform, disk
        masking = Masking()
        self._machine = self.machine_kind(
            loop,
            clock,
            disk,
            platform,
            weather,
            self._another(),
            checker,
            self._folder,
            given,
            masking,
        )
        self._machine.ended = self._ended
        self._life = self.life_kind(
            loop,
            clock,
            self._another(),
            disk,
            platform,
            weather,
            self._machine,
            checker,
            self.tell,
            environment,
            self._mode,
        )
        self._accounts = accounts
        self._build_receivers(platform, clock, checker)
        self._connect()
        (self._folder / "credentials").mkdir()
        (self._folder / "texts").mkdir()
        set_up_logs("info", "json", stream=_Lines(self), masking=masking)

    def _connect(self) -> None:
        """Let the parts know each other."""

    def _build_receivers(self, platform: Platform, clock: MachineClock, checker: Checker) -> None:
        """Make the receivers, where there are some. Chance is their own: all else befalls a seed as without them."""
        chance = Random(f"{self.report.seed} events")  # noqa: S311 - repeatable
        if chance.random() >= self._mode.receivers:
            return
        foreign = not self._mode.hidden_loss and chance.random() < 0.2
        receivers = Receivers(self.loop, chance, foreign=foreign)
        receivers.read = self._read
        self._machine.receivers = receivers
        self._machine.given["PCC_EVENTS_FROM"] = ", ".join(one.address for one in receivers.all)
        self._events = Events(self.loop, clock, chance, platform, receivers, checker, self.tell)

    def _read(self, receiver: Receiver, events: list[dict[str, Any]]) -> None:
        """Hear of a page that reaches the daemon, unless that was killed meanwhile."""
        if self._machine.speaks(LIFE.get()):
            self._checker.proof.heard(receiver, events)

    def _begin_events(self) -> None:
        if self._events is None:
            return
        self._sending = self._events.begin()
        after = (self._hours - REST_HOURS - LOSS_HOURS) * HOUR
        if self._mode.hidden_loss and after > 0:
            self._lost_at = after
            hiding = hide_a_loss(self._events, after, self.tell)
            self._sending.append(self.loop.create_task(hiding))

    async def _look_at_events(self) -> None:
        """Hold what the daemon shows of events against what it was told."""
        if self._events is None or not self._machine.is_up:
            return
        answer = await self._machine.ask("GET", "/metrics")
        if answer is None:
            return
        ended = self.loop.time() - (self._hours - REST_HOURS) * HOUR
        lost = self._lost_at is not None and ended < HEARD_AGAIN_SECONDS
        wrong = self._life.wrong_seconds
        receivers = self._events.receivers.all
        proof = self._checker.proof
        before = proof.alerts
        proof.shown(answer.text, receivers, lost=lost, right=wrong < 1.0)
        if proof.alerts and not before:
            self.tell(f"silence alerts: nothing was heard for {proof.silent / HOUR:.1f} h")
        self._look()

    def _ended(self, error: BaseException | None) -> None:
        """Hear that a daemon ended that nobody killed."""
        if error is not None:
            self._checker.promise("never-ends", f"the daemon ended with {error!r}", kept=False)
            self._look()

    def _look(self) -> None:
        if self._checker.violation is not None:
            self._over.set()

    async def _trouble_then_rest(self) -> None:
        life = self._life
        await life.begin(self._accounts)
        self._checker.started(dirty=False)
        self._machine.start()
        self._begin_events()
        while self.loop.time() < (self._hours - REST_HOURS) * HOUR and not self._over.is_set():
            await life.one_event()
            await self._in_between()
        if not self._over.is_set():
            await self._rest()
        for task in self._sending:
            task.cancel()
        self._over.set()

    async def _in_between(self) -> None:
        """Look at what holds at all times."""
        self._checker.step()
        if self._machine.is_up:
            answer = await self._machine.ask("GET", "/healthz")
            if answer is not None:
                self._checker.promise(
                    "health", f"/healthz says {answer.text}", kept=answer.status_code == 200
                )
            self._is_not_silent()
        await self._look_at_events()
        self._others_are_not_troubled()
        self._look()

    def _is_not_silent(self) -> None:
        """Require that calls are made for an account that nothing keeps from them."""
        silent = self.loop.time() - self._checker.last_call.get(CALM, self.loop.time())
        most = 2 * self._interval + SILENCE.total_seconds()
        self._checker.promise(
            "silent", f"no call for {CALM} for {silent:.0f} s", kept=silent <= most
        )

    def _others_are_not_troubled(self) -> None:
        """Require that an account without trouble of its own is as it should be, whatever befalls the others."""
        troubled = max(
            self._life.trouble.get(CALM, 0.0),
            self._life.trouble.get(EVERYBODY, 0.0),
            self._checker.texts.rejected_at(self.loop.time()),
        )
        if (
            self._observing
            or self.loop.time() < troubled + 2 * self._interval + LATE
            or not self._machine.is_up
        ):
            return
        wanted, changing = self._life.calm_wants(2 * self._interval + LATE)
        unsettled = self._checker.refused(CALM) | changing
        wanted -= unsettled
        live = self._platform.subscribed(CALM) - unsettled
        self._checker.promise(
            "independence",
            f"{CALM} lacks {subset(wanted - live)}, has too many: {subset(live - wanted)}",
            kept=wanted == live,
        )

    # -- rest

    async def _rest(self) -> None:
        """End all trouble, let people say once more what they want, and see that it comes true."""
        life, checker = self._life, self._checker
        self.tell("all trouble ends")
        await life.calm_down()
        if self._events is not None:
            await self._look_at_events()
            await self._events.calm_down()
        await asyncio.sleep(30)
        if not self._machine.is_up:
            checker.started(dirty=False)
            self._machine.start()
        agreed = self._random.random() < 0.5
        waiting = {} if agreed or self._observing else await self._refused_a_moment_ago()
        await life._publish(self._last_wish(renamed=not agreed), slowly=False)
        await life.let_go()
        needed = self._needed()
        before = Counter({name: checker.changes[name] for name in needed})
        if waiting:
            await asyncio.sleep(30 * MINUTE)
            self._waits_no_more(waiting)
        for number in range(14):  # an account that LG stopped may try again only after an hour
            await asyncio.sleep(5 * MINUTE)
            await self._look_at_events()
            for name in life.fleet.accounts:
                if (agreed and number == 0) or self._waits_for_a_person(name):
                    await life.agree(name)
        await asyncio.sleep(SOON_SECONDS - 70 * MINUTE)
        self._came_true()  # what waited for its next time waits no more, as every entry changed or a person said so
        if not self._observing and (small := life.small()):
            again = self._random.choice(small)
            life.consents_again(again)
            needed[again] += len(life.fleet.accounts[again].devices) * 2
        await asyncio.sleep((REST_HOURS * HOUR) - SOON_SECONDS - QUIET_SECONDS - 2 * MINUTE)
        self._came_true()
        for name, most in needed.items():
            made = checker.changes[name] - before[name]
            checker.promise(
                "no-more-calls", f"{name}: {made} calls for {most} changes", kept=made <= most
            )
        quiet = {name: checker.changes[name] + len(self._refused(name)) for name in needed}
        lists = Counter(checker.lists)
        await asyncio.sleep(QUIET_SECONDS)
        await self._look_at_events()
        regular = QUIET_SECONDS / self._interval + 2
        for name in needed:
            asked = checker.lists[name] - lists[name]
            kept = asked <= regular + MOST_WAKES + len(self._refused(name))
            checker.promise("wakes-seldom", f"{asked} lists of {name} in half an hour", kept=kept)
        loud = {name for name, most in quiet.items() if checker.changes[name] > most}
        checker.promise("quiet", f"{loud} change what is as it should be", kept=not loud)
        await life.look()
        self._look()

    async def _refused_a_moment_ago(self) -> dict[str, set[str]]:
        """Let LG lose devices of an account and refuse them, for a moment; return those that wait for an hour now."""
        name = self._life.some_account()
        if name is None:
            return {}
        user = self._life.user(name).name
        goal = sorted((self._goal(name)[0] & self._live(name)) - self._life.others(name))[:2]
        self._checker.meddled(name, self._platform.unsubscribe(user, *goal), HOUR)
        self._platform.add_fault(Rule(Error("1214"), match=Match(route=Route.SUBSCRIBE, user=user)))
        self.tell(f"LG loses {len(goal)} devices of {name}, and refuses them for a moment")
        await self._life.agree(name)
        await asyncio.sleep(2 * MINUTE)
        self._platform.set_faults()
        return {name: set(goal)}

    def _waits_no_more(self, waiting: Mapping[str, set[str]]) -> None:
        """Require that what was refused was asked for again once its entry changed, and not after its hour."""
        now, heard = self.loop.time(), self._checker.heard
        held = (
            "account.stopped",
            "account.throttled",
            "subscriptions.full",
            "list.suspect",
            "guard.tripped",
        )
        if any(now - heard.get(event, -HOUR * 2) < 1.2 * HOUR for event in held):
            return  # the whole account may have to wait, which an edit does not change
        if "device.flapping" in heard:
            return  # nor does it change that such a device waits for an hour after each loss
        for name, devices in waiting.items():
            lacking = devices - self._live(name)
            self._checker.promise(
                "edit-ends-waits", f"{name} lacks {subset(lacking)}", kept=not lacking
            )
        self._look()

    def _last_wish(self, *, renamed: bool) -> Fleet:
        """Return what people want in the end: no pause, no limit in the way, and approvals for all that has to go."""
        life = self._life
        fleet = life.fleet.copy()
        fleet.policy, fleet.retired, fleet.approvals, fleet.windows = {}, [], [], []
        for name, account in fleet.accounts.items():
            ignored = account.policy.get("ignore", [])
            account.policy = {"calls_per_hour": "unlimited", "ignore": ignored}
            if renamed:
                life.renamed(fleet, account)
            life.spelt(fleet, account)
            for entry in account.devices.values():
                self._dated[name] += (entry.from_, entry.until) != (None, None)
                entry.from_ = entry.until = None
            if name != CALM and self._random.random() < 0.3:
                self._let_go(name, account)
                if "protect" not in self._mode.left_out and name in self._going:
                    forever = self.report.start + timedelta(days=3650)
                    fleet.approvals.append(Approved(name, sorted(self._going[name]), forever))
                continue
            going = sorted(self._live(name) - account.devices.keys() - life.others(name))
            if going:
                fleet.approvals.append(
                    Approved(name, going, self.report.start + timedelta(days=3650))
                )
        return fleet

    def _let_go(self, name: str, account: texts.Account) -> None:
        """Let an account keep what others subscribed, and let go of a few devices that are its own."""
        self._owning.add(name)
        account.policy |= {"prune": "owned", "max_unsubscribe": "100%", "allow_empty": True}
        live = self._live(name) - self._life.others(name)
        for device in [
            one for one in account.devices if one in live and one not in account.policy["ignore"]
        ][:3]:
            del account.devices[device]
            self._going.setdefault(name, set()).add(device)

    def _waits_for_a_person(self, account: str) -> bool:
        """Say whether its list is doubted: after another credential only a person can say that it is right."""
        return self.loop.time() - self._checker.suspected.get(account, -HOUR) < 6 * MINUTE

    def _goal(self, account: str) -> tuple[set[str], set[str]]:
        """Return what has to be live in an account, and what may be."""
        wanted = set(self._life.fleet.accounts[account].devices)
        ignored = set(self._life.fleet.accounts[account].policy.get("ignore", []))
        user = self._life.user(account)
        pcc: dict[str, Device] = {
            one: device for one, device in user.devices.items() if self._takes(device)
        }
        return (wanted & pcc.keys()) - ignored, ignored

    def _refused(self, account: str) -> set[str]:
        """Return the devices that are wanted and that LG refuses."""
        goal, ignored = self._goal(account)
        return self._life.fleet.accounts[account].devices.keys() - goal - ignored

    def _live(self, account: str) -> frozenset[str]:
        """Return what is live of the user whose account it is."""
        return self._platform.subscribed(self._life.user(account).name)

    def _takes(self, device: Device) -> bool:
        return device.type in self._platform.options.pcc_types

    def _needed(self) -> dict[str, int]:
        """Return how many calls every account needs at the most until it is as it should be."""
        found = {}
        for name in self._life.fleet.accounts:
            goal, ignored = self._goal(name)
            kept = self._life.others(name) - self._life.released(name)
            live = self._live(name) - (kept - goal)
            refused = self._refused(name)
            found[name] = (
                len((goal ^ live) - ignored - refused)
                + 8 * len(refused)
                + self._checker.in_flight(name)
            )
            found[name] += 2 * self._dated[name]  # a pass that is under way may still go by a date
            found[name] += len(goal & self._life.released_elsewhere(name))  # each comes back once
        return found

    def _came_true(self) -> None:
        for name in self._life.fleet.accounts:
            goal, ignored = self._goal(name)
            wanted = self._life.fleet.accounts[name].devices.keys()
            live = self._live(name) - (self._life.others(name) - wanted)
            lacking, over = goal - live, live - wanted - ignored
            if name in self._owning:
                over &= self._going.get(name, set())
            self._checker.promise(
                "converges",
                f"{name} lacks {subset(lacking)}; has too many: {subset(over)}",
                kept=self._observing or not (lacking or over),
            )
        self._look()


def _when(start: datetime, at: float) -> str:
    moment = start + timedelta(seconds=at)
    return f"{moment:%d %b} {moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def _readable(text: str) -> str:
    """Return a line of the log in words; everything else is in words already."""
    if not text.startswith('{"ts"'):
        return text
    facts = json.loads(text)
    for key in ("ts", "level", "pass_id", "lg_message_id", "message_id", "revision"):
        facts.pop(key, None)
    event, account = facts.pop("event"), facts.pop("account", "")
    said = " ".join(
        f"{key}={value[:12] if key == 'device' else value}" for key, value in facts.items()
    )
    return f"    {event} {account} {said}".rstrip()


def _kind_of(mode: Mode) -> type[Run]:
    if mode.rules:
        from simulation.ruled import FlickerRun, RuledRun  # noqa: PLC0415 - as below

        return FlickerRun if mode.rules == "alone" else RuledRun
    if mode.replicas == 1:
        return Run
    from simulation.several.run import SharedRun  # noqa: PLC0415 - it is made of what is here

    return SharedRun


def run(seed: int, hours: float, mode: Mode = USUAL) -> Report:
    """Return what one seed comes to."""
    home = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    gc.collect()
    gc.disable()  # what one run leaves behind fits into memory, and to seek it meanwhile takes a fifth of the time
    with tempfile.TemporaryDirectory(prefix="pcc-simulation-", dir=home) as folder:
        return contextvars.copy_context().run(_kind_of(mode)(seed, hours, Path(folder), mode).run)


def told(asked: tuple[int, float, Mode]) -> tuple[int, str, list[str], float]:
    """Run a seed for so many hours; return it, the promise that it broke, how that came, and how long it lived."""
    report = run(*asked)
    if report.violation is None:
        return report.seed, "", [], report.hours
    return report.seed, str(report.violation), report.told(), report.violation.at / HOUR
