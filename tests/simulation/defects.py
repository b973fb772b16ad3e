"""Mistakes planted in the program, one at a time, to see that a run finds them.

Owns: the list of defects, each a change of the program in memory that somebody might make by mistake, and which seed
found it. ``make simulate DEFECTS=all SEEDS=500`` plants them again; a seed that finds none is a hole in the checker.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from reconciler.core.model import Action, Change, Reason
from simulation.modes import FLICKER, HEARD, MODES, PROTECTED, REPLICAS, STRICT, USUAL, WINDOWS
from simulation.several.defects import SABOTAGES


def _module(name: str) -> Any:
    """Return a module of the program, to be changed."""
    return import_module(f"reconciler.{name}")


_NAMES = (
    "core.acceptance",
    "controller.queue",
    "controller.informer",
    "controller.recorder",
    "telemetry.masking",
    "core.model",
    "runtime.wiring",
    "core.planner",
    "core.evaluate",
    "controller.basis",
    "controller.reader",
)
_GUARDS = ("core.guards", "core.guards.table", "core.guards.lists", "core.guards.limits")
_MEMORY = ("core.memory.account", "core.memory.changes", "state.accounts", "state.clocks")
_ABOUT_LG = ("pcc.auth", "pcc.client", "pcc.doubt", "pcc.quota", "pcc.transport", "pcc.protocol")
_ABOUT_FILES = (
    "desired.accounts",
    "desired.device_files",
    "desired.foreign",
    "source.files",
    "source.unrest",
)
_ABOUT_STATE = ("state.sqlite.database", "state.sql.storage")
_ABOUT_MACHINES = ("core.clock", "runtime.ticker")
acceptance: Any
acceptance, queue, informer, recorder, masking, model, wiring, planner, evaluate, basis, reader = (
    map(_module, _NAMES)
)
guards: Any
guards, table, lists, limits = map(_module, _GUARDS)
auth: Any
auth, client, doubt, quota, transport, wire = map(_module, _ABOUT_LG)
memory: Any
memory, changes, accounts, clocks = map(_module, _MEMORY)
texts: Any
texts, device_files, foreign, files, unrest = map(_module, _ABOUT_FILES)
database: Any
database, storage = map(_module, _ABOUT_STATE)
clock: Any
clock, ticker = map(_module, _ABOUT_MACHINES)
rules: Any
rules, registries = map(_module, ("core.rules", "controller.registries"))
protection: Any
protection, memories = map(_module, ("core.protection", "state.memories"))
heard: Any
heard, hearing, receivers = map(
    _module, ("core.heard", "controller.hearing", "runtime.services.receivers")
)
windows, pass_clocks = map(_module, ("core.windows", "controller.clocks"))
FOUND = Path(__file__).parent / "defects.json"
"""Which seed found which defect, and by which rule."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One mistake: its name, what is wrong with it, how it is made, and in which mode it is looked for."""

    name: str
    what: str
    plant: Callable[[], None]
    mode: str = USUAL.name


def _drops_what_lg_does_not_list() -> None:
    """Let a rule want what it takes of LG's registry now, as if there were no lock."""
    seen: dict[Any, frozenset[Any]] = {}
    take, wanted_at = registries.Registries.take, model.Desired.wanted_at

    def took(self: Any, desired: Any, registry: Any) -> Any:
        seen[desired.account] = frozenset(rules.taken(desired.ruled.rules, registry.devices))
        return take(self, desired, registry)

    def wanted(self: Any, now: datetime) -> Any:
        found = wanted_at(self, now)
        return found & seen[self.account] if self.ruled and self.account in seen else found

    registries.Registries.take, model.Desired.wanted_at = took, wanted


def _without(reason: Reason) -> Callable[[], None]:
    def plant() -> None:
        table.GUARDS = tuple(one for one in table.GUARDS if one.reason is not reason)

    return plant


def _changed(owner: Any, name: str, *, value: Any) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


def _silence_releases() -> None:
    """Let an entry that says nothing of protection count as one that says no."""

    def saying(desired: Any, *, protected: bool) -> Iterable[str]:
        for device in desired.devices if desired is not None else ():
            entry = desired.described.get(device)
            if (entry is not None and entry.protected is True) is protected:
                yield device

    protection._saying = saying


def _nothing_remembered(*_asked: Any) -> dict[str, str]:
    return {}


def _no(*_asked: Any) -> bool:
    return False


def _nothing(*_asked: Any) -> None:
    return None


def _only_stopping(basis_: Any) -> bool:
    return bool(basis_._with.stopping())


def _all_but_pauses(basis_: Any) -> bool:
    run, now = basis_._run, basis_._clocks.within(basis_._run)
    past = run.boundary is not None and run.boundary <= now
    other_disk = basis_._with.state.writable is not basis_._verdict.situation.memory.writable
    return past or other_disk or not basis_._client.same_user or basis_._clocks.moved(run)


def _all_but_dates(basis_: Any) -> bool:
    run, state, now = basis_._run, basis_._with.state, basis_._clocks.within(basis_._run)
    other_disk = state.writable is not basis_._verdict.situation.memory.writable
    paused = state.pauses.of(run.name, now) != run.pause_override
    return other_disk or paused or not basis_._client.same_user or basis_._clocks.moved(run)


def _limit_of_what_is_desired() -> None:
    def allowance(situation: Any) -> int:
        policy = situation.desired.policy
        base = len(situation.desired.devices | situation.observed.devices) * 3
        return int(max(limits.limit(base, policy.max_unsubscribe), policy.max_unsubscribe_floor))

    limits.allowance = allowance


def _day_of_an_hour() -> None:
    for module in (limits, memory, clocks, storage):
        module.LIMIT_WINDOW = timedelta(hours=1)


def _no_overlay() -> None:
    for module in (planner, changes, evaluate):
        module.OVERLAY = timedelta(0)


def _widening_approval() -> None:
    right = evaluate.plan

    def approving(desired: Any, observed: Any, known: Any, now: Any, **more: Any) -> Any:
        made = right(desired, observed, known, now, **more)
        everything = frozenset(change.device for change in made.unsubscribes)
        return replace(made, approved=everything) if desired.approved_at(now) else made

    evaluate.plan = approving


def _expired_approvals_hold() -> None:
    def approved_at(self: Any, _now: Any) -> Any:
        return frozenset().union(*(one.devices for one in self.approvals))

    model.Desired.approved_at = approved_at


def _told_again() -> None:
    right = memory.AccountMemory.believe

    def believe(self: Any, *arguments: Any) -> Any:
        belief = right(self, *arguments)
        return replace(belief, confirmed=(*belief.confirmed, *belief.confirmed))

    memory.AccountMemory.believe = believe


def _survivors_forgotten() -> None:
    right = memory.AccountMemory.desire

    def desire(self: Any, devices: Any, now: Any) -> Any:
        moves = right(self, devices, now)
        self.inventory.become(devices)
        return moves

    memory.AccountMemory.desire = desire


def _stale_plan() -> None:
    basis.Basis.outdated = lambda self: self._with.stopping()


def _no_throttle() -> None:
    quota.Quota.throttled = lambda _self, now, *_rest, **_more: now


def _vanished_goes_on() -> None:
    right = acceptance.accept

    def accept(before: Any, loaded: Any, revision: Any, overtaken: Any = ()) -> Any:
        after = right(before, loaded, revision, overtaken)
        gone = {
            name: before.accounts[name] for name in before.accounts.keys() - after.accounts.keys()
        }
        return replace(after, accounts={**after.accounts, **gone}, abandoned=frozenset())

    informer.acceptance.accept = accept


def _any_environment() -> None:
    right = reader.load_fetched
    reader.load_fetched = lambda *documents, **given: right(
        *documents, **{**given, "environment": None}
    )


def _first_on_what_was() -> None:
    async def begin(self: Any) -> None:
        await self.recall()
        self._changed(self.accepted.accounts.keys())
        await asyncio.sleep(5)  # what a fetch takes where texts come from afar
        await self.refresh()

    informer.Informer.begin = begin


def _list_with_holes() -> None:
    right = wire.live_devices

    def live_devices(reply: Any, now: Any) -> Any:
        try:
            return right(reply, now)
        except wire.Surprise:
            try:
                items = msgspec.json.decode(reply.body)["response"]
            except (ValueError, TypeError, KeyError):
                items = None
            if not isinstance(items, list):
                raise
            found = (one.get("deviceId") for one in items if isinstance(one, dict))
            return frozenset(one for one in found if isinstance(one, str) and one)

    wire.live_devices = live_devices


def _html_is_empty() -> None:
    right = wire.live_devices

    def live_devices(reply: Any, now: Any) -> Any:
        try:
            return right(reply, now)
        except wire.Surprise:
            return frozenset()

    wire.live_devices = live_devices


def _nothing_intended() -> None:
    async def intend(_self: Any, _changes: Any) -> None:
        return None

    recorder.PassJournal.intend = intend


def _tried_again_at_once() -> None:
    right = client.Client._change

    async def change(self: Any, call: Any, device: Any) -> Any:
        try:
            return await right(self, call, device)
        except client.DeviceRefused:
            return await right(self, call, device)

    client.Client._change = change


def _writes_while_observing() -> None:
    opened, judge = wiring.open_http, guards.judge
    wiring.open_http = lambda **given: opened(**{**given, "read_only": False})
    guards.judge = lambda planned, situation: judge(planned, replace(situation, observing=False))


def _passes_overlap() -> None:
    right = queue.Queue.wake

    def wake(self: Any, accounts: Iterable[Any], *, first: bool = False) -> None:
        working, self._working = self._working, {}
        right(self, accounts, first=first)
        self._working = working

    queue.Queue.wake = wake

    async def worker(self: Any) -> None:
        while (account := await self._next()) is not None:
            self._working[account] = self._clock.steady()
            due = await self._guarded(account)
            self._working.pop(account, None)
            if due is not None:
                self._schedule(account, due)

    queue.Queue._worker = worker


def _dates_off() -> None:
    right = model.Desired.wanted_at
    model.Desired.wanted_at = lambda self, now: right(self, now + timedelta(hours=9))


def _dates_late() -> None:
    right = model.Desired.wanted_at
    model.Desired.wanted_at = lambda self, now: right(self, now - timedelta(hours=3))


def _in_utc(_readings: Any) -> Any:
    return UTC, None


def _second_midnight() -> None:
    right = texts._moment

    def moment(value: Any, zone: Any, *rest: Any) -> Any:
        return right(value, zone and _SecondMidnight(zone), *rest)

    texts._moment = moment


class _SecondMidnight(tzinfo):
    """A zone in which of two equal hours the second is meant."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = getattr(zone, "_zone", zone)

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return self._zone.utcoffset(moment and moment.replace(fold=1))

    def dst(self, moment: datetime | None) -> timedelta | None:
        return self._zone.dst(moment and moment.replace(fold=1))

    def tzname(self, moment: datetime | None) -> str | None:
        return self._zone.tzname(moment)


def _nothing_lasts() -> None:
    right = database.Database.write
    database.Database.write = lambda self, statements, **_more: right(self, statements)


def _token_in_the_log() -> None:
    right = auth.Access.token

    async def token(self: Any) -> Any:
        found = await right(self)
        auth.log.info("token.used", token=found.value)
        return found

    auth.Access.token = token
    masking.Masking.text = lambda _self, text: text


def _counted_by_pass() -> None:
    right = memory.AccountMemory.recall

    def recall(self: Any, *arguments: Any, **more: Any) -> Any:
        return replace(right(self, *arguments, **more), unsubscribed=frozenset())

    memory.AccountMemory.recall = recall


def _ignored_is_removed() -> None:
    right = evaluate.plan

    def without(desired: Any, *rest: Any, **more: Any) -> Any:
        return right(
            replace(desired, policy=replace(desired.policy, ignore=frozenset())), *rest, **more
        )

    evaluate.plan = without


def _noop_is_forgotten() -> None:
    right = memory.AccountMemory.record

    def record(self: Any, pass_id: Any, outcomes: Any) -> Any:
        return right(
            self,
            pass_id,
            [one for one in outcomes if one.change.action is Action.SUBSCRIBE or one.approved],
        )

    memory.AccountMemory.record = record


def _small_lists_believed() -> None:
    right = lists._too_short
    lists._too_short = lambda observed, known: (
        len(known.expected or ()) >= lists.SUSPECT_FROM and right(observed, known)
    )


def _few_are_held() -> None:
    lists.subscribes_in_doubt = _no


def _empty_files_believed() -> None:
    right = device_files.read_list

    def read_list(path: Any, content: Any, *, kept: bool = False) -> Any:
        return right(path, content, kept=kept or not content.strip())

    device_files.read_list = read_list


def _other_formats_are_ids() -> None:
    foreign.line = foreign.whole = lambda _text: None
    foreign.conflict = lambda _content: -1


def _no_lock() -> None:
    unrest.Unrest.lock = lambda _self: None


def _gone_at_once() -> None:
    unrest.Unrest.gone = lambda *_asked: frozenset()


def _missing_is_removed() -> None:
    files.FileSource.missing = lambda _self: {}


def _own_clock_alone() -> None:
    clock.TwoClocks.theirs = lambda _self, _ours: None


def _both_clocks_want() -> None:
    def wanted_by(self: Any, now: Any, theirs: Any) -> Any:
        return (
            self.wanted_at(now) if theirs is None else self.wanted_at(now) & self.wanted_at(theirs)
        )

    model.Desired.wanted_by = wanted_by


def _either_clock_approves() -> None:
    def approved_by(self: Any, now: Any, theirs: Any) -> Any:
        return (
            self.approved_at(now)
            if theirs is None
            else self.approved_at(now) | self.approved_at(theirs)
        )

    model.Desired.approved_by = approved_by


def _day_by_wall_clock() -> None:
    clock.TwoClocks.restrained = lambda _self, now, _window: now
    memory.AccountMemory.reset = _no


def _ticks_by_wall_clock() -> None:
    class Ticker:
        def __init__(self, _steady: Any = None) -> None:
            self._scheduler = ticker.AsyncIOScheduler()
            self._scheduler.start()

        def every(self, seconds: float, call: Callable[[], object]) -> None:
            async def job() -> None:
                call()

            self._scheduler.add_job(
                job, "interval", seconds=seconds, coalesce=True, misfire_grace_time=None
            )

        def stop(self) -> None:
            self._scheduler.shutdown(wait=False)

    ticker.SchedulerTicker = Ticker
    import_module("simulation.machine").SchedulerTicker = Ticker  # type: ignore[attr-defined]


def _no_bounds() -> None:
    async def read_whole(response: Any, *_asked: Any) -> Any:
        return await response.aread()

    transport.read_whole = read_whole


def _believing(name: str) -> Callable[[], None]:
    """Return how to leave out one of the reasons not to believe a list."""
    return lambda: setattr(doubt, name, lambda *_asked: "")


def _parts_believed() -> None:
    doubt._part_by_members = doubt._part_by_headers = lambda *_asked: ""


def _overheard() -> set[Any]:
    """Return a set that has every device of which an event came to the daemon, ever."""
    devices: set[Any] = set()
    right = hearing.Hearing.take

    async def take(self: Any, events: Any) -> Any:
        devices.update(one.device for one in events)
        return await right(self, events)

    hearing.Hearing.take = take
    return devices


def _replanned(change: Callable[[Any, Any, Any], Any]) -> None:
    """Let something else change each plan: it is given the plan, the list, and what is remembered."""
    right = evaluate.plan

    def plan(desired: Any, observed: Any, known: Any, now: Any, **more: Any) -> Any:
        return change(right(desired, observed, known, now, **more), observed, known)

    evaluate.plan = plan


def _event_causes(action: Action) -> Callable[[], None]:
    """Return how to let an event of a device that we unsubscribed within a day cause a change of it."""

    def plant() -> None:
        devices = _overheard()

        def change(made: Any, observed: Any, known: Any) -> Any:
            asked = {one.device for one in (*made.subscribes, *made.unsubscribes)}
            more = sorted((devices & known.confirmed.keys()) - observed.devices - asked)
            changes = tuple(Change(made.account, action, device) for device in more)
            if action is Action.SUBSCRIBE:
                return replace(made, subscribes=(*made.subscribes, *changes))
            return replace(made, unsubscribes=(*made.unsubscribes, *changes))

        _replanned(change)

    return plant


def _event_holds(kind: str) -> Callable[[], None]:
    """Return how to let an event of a device hold each change of it."""

    def plant() -> None:
        devices = _overheard()

        def change(made: Any, _observed: Any, _known: Any) -> Any:
            kept = tuple(one for one in getattr(made, kind) if one.device not in devices)
            return replace(made, **{kind: kept})

        _replanned(change)

    return plant


def _already_is_success() -> None:
    def changed(self: Any, outcome: Any) -> None:
        watch = self._of(outcome.change.account).watch
        if outcome.result in {"success", "noop"}:
            watch.subscribed(outcome.change.device)

    hearing.Hearing.changed = changed


def _spools_are_alike() -> None:
    right = receivers.pages

    def pages(address: Any, token: Any, place: Any, seconds: Any, asking: Any) -> Any:
        def alike(*asked: Any) -> Any:
            return {**asking(*asked), "spool": "one"}

        return right(address, token, place, seconds, alike)

    receivers.pages = pages


def _window_without_fold() -> None:
    """Work with the moments at which a window begins and ends by the clock of its zone, as schedulers do."""

    def active(window: Any, now: datetime) -> bool:
        zone = windows._zone(window.zone)
        shown = now.astimezone(zone).date()
        for back in (1, 0):
            day = shown - timedelta(days=back)
            if day.weekday() in window.days:
                later = day + timedelta(days=window.to <= window.from_)
                begins = datetime.combine(day, window.from_, zone).astimezone(UTC)
                ends = datetime.combine(later, window.to, zone).astimezone(UTC)
                if begins <= now < ends:
                    return True
        return False

    windows.Weekly.active = active


def _windows_asked_once() -> None:
    """Let a pass go on whatever windows begin or end meanwhile."""
    pass_clocks._next_after = lambda run, now: run.desired.next_boundary(now)


DEFECTS: tuple[Defect, ...] = (
    Defect("no empty-desired", "an emptied account is cleared", _without(Reason.EMPTY_DESIRED)),
    Defect("no too-many", "nothing limits how many devices go", _without(Reason.TOO_MANY)),
    Defect(
        "no suspect-list",
        "a list that lost most devices is acted on",
        _changed(lists, "is_suspect", value=_no),
    ),
    Defect(
        "no desired-rejected",
        "devices go though the newest revision is rejected",
        _without(Reason.DESIRED_REJECTED),
    ),
    Defect(
        "no state-unwritable",
        "devices go though nothing can be remembered",
        _without(Reason.STATE_UNWRITABLE),
    ),
    Defect("no paused", "nobody minds a pause", _without(Reason.PAUSED)),
    Defect(
        "no unsubscribe-after",
        "devices go as soon as they are absent",
        _without(Reason.UNSUBSCRIBE_AFTER),
    ),
    Defect("no refused", "LG is asked again at once for what it refuses", _without(Reason.REFUSED)),
    Defect(
        "limit base", "the limit is a share of three times what there is", _limit_of_what_is_desired
    ),
    Defect("day of an hour", "what went is counted for an hour only", _day_of_an_hour),
    Defect("count of a pass", "what went before this pass is not counted", _counted_by_pass),
    Defect("no overlay", "a list is believed that lags behind our own changes", _no_overlay),
    Defect("approval widens", "one approval lets everything go", _widening_approval),
    Defect("approval lasts", "an approval that has expired still counts", _expired_approvals_hold),
    Defect("told again", "a change that a list confirms is told twice", _told_again),
    Defect(
        "survivors forgotten",
        "what left the texts is not ours any more before it is gone",
        _survivors_forgotten,
    ),
    Defect(
        "retries not cleared",
        "an edited entry goes on waiting",
        _changed(accounts.AccountStore, "forget_retries", value=_no),
    ),
    Defect("stale plan", "a pass goes on with a text that is not the newest any more", _stale_plan),
    Defect(
        "other user",
        "a pass goes on with another user's token",
        _changed(client.Client, "same_user", value=True),
    ),
    Defect("no throttle", "LG's throttle is not minded", _no_throttle),
    Defect(
        "believed at once",
        "a short list is believed at its first reading",
        _changed(lists, "BELIEVED_AFTER", value=1),
    ),
    Defect(
        "vanished goes on",
        "an account that vanished from the texts is looked after as before",
        _vanished_goes_on,
    ),
    Defect("any environment", "a text for another environment is accepted", _any_environment),
    Defect(
        "starts on what was", "the first pass does not wait for the newest text", _first_on_what_was
    ),
    Defect("list with holes", "of a malformed list the good part is believed", _list_with_holes),
    Defect(
        "html is empty", "an answer that is not understood counts as an empty list", _html_is_empty
    ),
    Defect("nothing intended", "nothing is written down before a call", _nothing_intended),
    Defect("tried again", "a refused change is made again at once", _tried_again_at_once),
    Defect(
        "writes while observing", "observe mode does not keep from writing", _writes_while_observing
    ),
    Defect("passes overlap", "two passes of one account are under way at once", _passes_overlap),
    Defect("dates off", "devices come and go nine hours early", _dates_off),
    Defect("dates late", "devices come and go three hours late", _dates_late),
    Defect(
        "days of UTC", "a day begins with that of UTC", _changed(texts, "read_zone", value=_in_utc)
    ),
    Defect(
        "second midnight", "where a day begins twice, it begins the second time", _second_midnight
    ),
    Defect("nothing lasts", "the disk is never waited for", _nothing_lasts),
    Defect("ignored is touched", "what is managed elsewhere is removed", _ignored_is_removed),
    Defect("token in the log", "a token is logged and not masked", _token_in_the_log),
    Defect(
        "small lists believed",
        "a list that lost all of a few devices is acted on",
        _small_lists_believed,
    ),
    Defect("consent in vain", "a home that consents again is not subscribed again", _few_are_held),
    Defect(
        "no wanted-elsewhere",
        "what another account wants is removed",
        _without(Reason.WANTED_ELSEWHERE),
    ),
    Defect("no look-alike", "an id in another spelling is removed", _without(Reason.LOOK_ALIKE)),
    Defect(
        "no bytes believed",
        "an empty device file is an account without devices",
        _empty_files_believed,
    ),
    Defect("any line is an id", "a line of another format is a device", _other_formats_are_ids),
    Defect("no lock", "nobody minds that git is at work on the files", _no_lock),
    Defect("gone at once", "a file that went away is a removal at once", _gone_at_once),
    Defect(
        "missing is removed", "a tracked file that is missing is a removal", _missing_is_removed
    ),
    Defect("own clock alone", "nobody minds what LG's clock says", _own_clock_alone),
    Defect(
        "both clocks want", "a device is wanted only while both clocks say so", _both_clocks_want
    ),
    Defect(
        "either clock approves",
        "an approval is good while either clock says so",
        _either_clock_approves,
    ),
    Defect("day by wall clock", "a step of the clock frees the day's count", _day_by_wall_clock),
    Defect(
        "ticks by wall clock", "the ticker rests while the clock was put back", _ticks_by_wall_clock
    ),
    Defect("old lists believed", "a list with an age is believed", _believing("_age")),
    Defect(
        "replayed lists believed",
        "the answer to an earlier request is believed",
        _believing("_answers_another"),
    ),
    Defect(
        "lists elsewhere ignored", "a list under another name is none", _believing("_elsewhere")
    ),
    Defect("parts believed", "a first page is the whole list", _parts_believed),
    Defect("no bounds", "an answer without an end is read to its end", _no_bounds),
    Defect(
        "exchange unnoticed",
        "nobody minds whose file the state is",
        _changed(database.Database, "_compare", value=_no),
    ),
    Defect(
        "outcomes forgotten", "what came of an unsubscribe is not remembered", _noop_is_forgotten
    ),
    Defect(
        "edits wait for the next pass",
        "a pass goes on by an earlier revision",
        _changed(basis.Basis, "_stopping_or_edited", value=_only_stopping),
        STRICT.name,
    ),
    Defect(
        "pauses wait for the next pass",
        "a pass goes on in spite of a pause by command",
        _changed(basis.Basis, "_paused_or_moved", value=_all_but_pauses),
        STRICT.name,
    ),
    Defect(
        "dates wait for the next pass",
        "a pass goes on although a date has come",
        _changed(basis.Basis, "_paused_or_moved", value=_all_but_dates),
        STRICT.name,
    ),
    Defect(
        "protection that a cut file takes off",
        "an entry without the key releases its device",
        _silence_releases,
        PROTECTED.name,
    ),
    Defect(
        "protection leaves with the entry",
        "a device is protected only while its entry says so",
        _changed(memories.Memories, "all_protected", value=_nothing_remembered),
        PROTECTED.name,
    ),
    Defect("no protected", "a protected device goes", _without(Reason.PROTECTED), PROTECTED.name),
    Defect(
        "an event causes a subscribe",
        "what speaks is subscribed",
        _event_causes(Action.SUBSCRIBE),
        HEARD.name,
    ),
    Defect(
        "an event causes an unsubscribe",
        "what speaks after an unsubscribe is unsubscribed again",
        _event_causes(Action.UNSUBSCRIBE),
        HEARD.name,
    ),
    Defect(
        "an event holds a subscribe",
        "what speaks counts as subscribed",
        _event_holds("subscribes"),
        HEARD.name,
    ),
    Defect(
        "an event holds an unsubscribe",
        "what speaks is still in use, and stays",
        _event_holds("unsubscribes"),
        HEARD.name,
    ),
    Defect(
        "the healthy flow is counted as a contradiction",
        "a device that was lost, subscribed again and speaks contradicts the list",
        _changed(heard.ListWatch, "subscribed", value=_no),
        HEARD.name,
    ),
    Defect(
        "contradictions are not counted",
        "events contradict no list",
        _changed(heard.ListWatch, "heard", value=_no),
        HEARD.name,
    ),
    Defect(
        "subscribed already is a subscribe",
        "what LG calls subscribed already cures a contradiction",
        _already_is_success,
        HEARD.name,
    ),
    Defect(
        "silence means nothing",
        "nobody is alerted when events end",
        _changed(heard.Silence, "meaningful", value=_nothing),
        HEARD.name,
    ),
    Defect(
        "an empty spool is read on",
        "a receiver with a new spool is read from the end of the one before",
        _spools_are_alike,
        HEARD.name,
    ),
    Defect(
        "every event wakes",
        "events wake an account as often as they come",
        _changed(hearing, "WAKE_SECONDS", value=0.0),
        HEARD.name,
    ),
    Defect(
        "a rule that drops on an empty registry",
        "a rule wants what it takes of LG's registry now, also where that lacks devices or has none",
        _drops_what_lg_does_not_list,
        FLICKER.name,
    ),
    Defect("no window", "nobody minds a window", _without(Reason.WINDOW), WINDOWS.name),
    Defect(
        "a window forgets the fold",
        "an hour that comes twice is in a window once",
        _window_without_fold,
        WINDOWS.name,
    ),
    Defect(
        "windows are asked about once",
        "a pass goes on after its window has ended",
        _windows_asked_once,
        WINDOWS.name,
    ),
    *(Defect(name, what, made, REPLICAS.name) for name, what, made in SABOTAGES),
)


def plant(name: str) -> None:
    """Make the mistake of that name, for the rest of this process."""
    next(one for one in DEFECTS if one.name == name).plant()


def found(
    asked: str, hours: float, seeds: int, first: int, *, jobs: int, say: Callable[[str], None]
) -> int:
    """Plant defects, one after the other, and say which seed found each; the exit code is 1 where one was not."""
    names = [one.name for one in DEFECTS] if asked == "all" else asked.split(",")
    known = read() if first == 1 else {}
    work = [(name, hours, seeds, first) for name in names]
    missed = 0
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=1) as pool:
        for name, seed, rule in pool.imap(_seek, work):
            say(f"{name}: " + (f"seed {seed}, {rule}" if seed else f"not found in {seeds} seeds"))
            missed += not seed
            if seed and first == 1:
                known = {**known, name: {"seed": seed, "rule": rule}}
                _write(known)
    say(f"{len(names)} defects planted: {len(names) - missed} found")
    return 1 if missed else 0


def _write(known: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep what was found of the defects there are, in their order."""
    kept = {one.name: known[one.name] for one in DEFECTS if one.name in known}
    FOUND.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")


def read() -> Mapping[str, Mapping[str, Any]]:
    """Return which seed found which defect, when they were last planted."""
    known: Mapping[str, Mapping[str, Any]] = (
        msgspec.json.decode(FOUND.read_bytes()) if FOUND.exists() else {}
    )
    return known


def _seek(asked: tuple[str, float, int, int]) -> tuple[str, int, str]:
    from simulation.seed import run  # noqa: PLC0415 - the defect has to be there first

    name, hours, seeds, first = asked
    mode = next(one.mode for one in DEFECTS if one.name == name)
    plant(name)
    for seed in range(first, first + seeds):
        violation = run(seed, hours, MODES[mode]).violation
        if violation is not None:
            return name, seed, violation.rule
    return name, 0, ""
