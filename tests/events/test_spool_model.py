"""The spool beside a model of it: two sinks, several devices, and everything that happens to events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from disks import StandingClock
from reconciler.events.model import (
    PCC_EVENT,
    SELF_TEST,
    EventState,
    Outcome,
    Result,
    Stored,
    Wanted,
)
from reconciler.events.spool import Spool
from spool_model import BODIES, KEYS, QUARANTINE, SpoolModel
from spooled import ROOMY, Routes, To, arrived, kept_bodies, sent

SINKS = ("crm", "lake")
DEVICES = ("washer-1", "washer-2", "dryer-1")
STATUS = "DEVICE_STATUS"
WAYS = ((), ("crm",), ("lake",), SINKS)
FIRST_ROUTES = {"washer-1": To(SINKS, "of-washer-1"), "washer-2": To(("crm",), "of-washer-2")}
SETTLED = {EventState.DELIVERED: "delivered", EventState.DEAD: "dead"}


@dataclass(frozen=True)
class Kept:
    """How long things are kept."""

    bodies: timedelta = BODIES
    keys: timedelta = KEYS
    quarantine: timedelta = QUARANTINE


class Spooling(RuleBasedStateMachine):
    """A spool and its model, to which the same things happen."""

    def __init__(self) -> None:
        super().__init__()
        self.room, self.clock, self.model = TemporaryDirectory(), StandingClock(), SpoolModel()
        self.loop, self.routes = asyncio.Runner(), Routes(To(()), dict(FIRST_ROUTES))
        self.spool = self.opened()

    def teardown(self) -> None:
        """Let go of the file, and see that it has no bytes of what is gone."""
        self.spool.close()
        kept = {seq for seq, event in self.model.events.items() if event.body}
        assert kept_bodies(Path(self.room.name)) == kept
        self.loop.close()
        self.room.cleanup()

    def opened(self) -> Spool:
        """Open the spool."""
        spool = Spool(Path(self.room.name), self.clock, self.routes, limit=ROOMY)
        spool.open()
        return spool

    @rule(device=st.sampled_from(DEVICES), sinks=st.sampled_from(WAYS))
    def route(self, device: str, sinks: tuple[str, ...]) -> None:
        """Let the partner send a device's events elsewhere from now on."""
        self.routes.of_devices = {**self.routes.of_devices, device: To(sinks, f"of-{device}")}

    @rule(
        arrivals=st.lists(
            st.tuples(
                st.sampled_from([PCC_EVENT, PCC_EVENT, PCC_EVENT, STATUS, SELF_TEST, "garbage"]),
                st.sampled_from(DEVICES),
                st.integers(1, 6),
            ),
            min_size=1,
            max_size=5,
        )
    )
    def store(self, arrivals: list[tuple[str, str, int]]) -> None:
        """Let LG send some events in one request, of which some came before."""
        now = self.clock.wait(seconds=1)
        bodies = [self.body(*one) for one in arrivals]
        receipts = self.loop.run(self.spool.store(arrived(*bodies)))
        for (kind, device, number), receipt in zip(arrivals, receipts, strict=True):
            key = (kind, number) if kind in {"garbage", SELF_TEST} else (kind, device, number)
            message_id = self.message_id(kind, device, number)
            is_reused = message_id in {one.message_id for one in self.model.events.values()}
            is_new = self.taken(kind, device, key)
            stored = {"garbage": Stored.QUARANTINED}.get(kind, Stored.NEW)
            stored = stored if is_new else Stored.DUPLICATE
            assert receipt.stored is (Stored.SELF_TEST if kind == SELF_TEST else stored)
            event = self.model.found(key)
            assert event is not None
            assert receipt.seq == event.seq
            if is_new:
                assert event.received == now
                event.account = self.account(device) if event.device in DEVICES else None
                event.message_id = message_id
            assert receipt.id_reused is (is_new and is_reused and message_id is not None)

    def taken(self, kind: str, device: str, key: object) -> bool:
        """Let the model take one arrival; return whether it is new."""
        now = self.clock.at
        if kind in {"garbage", SELF_TEST}:
            fate = {"garbage": "quarantined"}.get(kind, "self_test")
            return self.model.store(key, None if kind == "garbage" else "test", fate, (), now)
        sinks = self.routes.of_devices.get(device, To(())).sinks
        return self.model.store(key, device, "kept" if sinks else "unrouted", sinks, now)

    @staticmethod
    def message_id(kind: str, device: str, number: int) -> str | None:
        """Return the id of a message; another push type about the same has the same."""
        if kind == "garbage":
            return None
        return f"message-{'test' if kind == SELF_TEST else device}-{number}"

    def account(self, device: str) -> str | None:
        """Return the account that the router says a device is of."""
        return self.routes.of_devices.get(device, self.routes.otherwise).account

    @staticmethod
    def body(kind: str, device: str, number: int) -> bytes:
        """Return the bytes of one message."""
        if kind == "garbage":
            return b"no message %d" % number
        return sent("test" if kind == SELF_TEST else device, number, pushType=kind)

    @rule(sink=st.sampled_from(SINKS), result=st.sampled_from(Result), most=st.integers(1, 3))
    def attempt(self, sink: str, result: Result, most: int) -> None:
        """Let some of what is due be tried."""
        now = self.clock.wait(seconds=1)
        due, outcomes = now + timedelta(seconds=20), []
        for one in self.spool.due(sink, now, most, ordered=True, busy=()):
            again = due if result is Result.RETRY else None
            outcomes.append(Outcome(one.seq, sink, result, now, again))
            assert one.attempts == self.model.events[one.seq].ways[sink].attempts
            assert one.account == self.model.events[one.seq].account
        self.loop.run(self.spool.record(outcomes))
        for outcome in outcomes:
            self.model.ended(outcome.seq, sink, result.value, now, due)

    @rule(
        sink=st.sampled_from(SINKS),
        states=st.sets(st.sampled_from([*SETTLED, EventState.UNROUTED]), min_size=1),
        device=st.none() | st.sampled_from(DEVICES),
        minutes=st.sampled_from([1, 100_000]),
        only_asked=st.booleans(),
    )
    def replay(
        self,
        sink: str,
        states: set[EventState],
        device: str | None,
        minutes: int,
        *,
        only_asked: bool,
    ) -> None:
        """Let a person make events due again, or ask how many that would be."""
        now = self.clock.wait(seconds=1)
        since = now - timedelta(minutes=minutes)
        asked = self.spool.replay(sink, since, states=states, device=device, dry_run=True)
        if only_asked:
            return
        settled = [SETTLED[one] for one in states & SETTLED.keys()]
        taken = self.model.replay(sink, since, settled, device, now)
        if EventState.UNROUTED in states:
            going = [one for one, way in self.routes.of_devices.items() if sink in way.sinks]
            taken += self.model.reroute(sink, since, device, going, now)
        assert asked == len(taken)
        assert self.spool.replay(sink, since, states=states, device=device) == asked

    @rule(sink=st.sampled_from(SINKS), result=st.sampled_from(Result))
    def attempt_all(self, sink: str, result: Result) -> None:
        """Let all be tried that is due."""
        self.attempt(sink, result, 100)

    @rule(dead=st.sampled_from(SINKS), kept=st.booleans())
    def give_up_at_one(self, dead: str, *, kept: bool) -> None:
        """Let one sink give up what is due and the other take it last; then a person replays it, soon or later."""
        other = next(sink for sink in SINKS if sink != dead)
        self.attempt(dead, Result.DEAD, 100)
        self.attempt(other, Result.DELIVERED, 100)
        self.expire(1 if kept else 100)
        self.replay(dead, {EventState.DEAD}, None, 100_000, only_asked=False)

    @rule(device=st.sampled_from(DEVICES))
    def erase(self, device: str) -> None:
        """Let a person have a device erased."""
        now = self.clock.wait(seconds=1)
        assert self.spool.erase(device) == self.model.erase(device, now)

    @rule(minutes=st.sampled_from([1, 30, 100, 1500]))
    def expire(self, minutes: int) -> None:
        """Let time pass, and what is old go."""
        now = self.clock.wait(minutes=minutes)
        self.spool.expire(now, Kept())
        self.model.expire(now)

    @rule()
    def restart(self) -> None:
        """End the process, and begin a new one."""
        self.spool.close()
        self.spool = self.opened()

    @invariant()
    def the_same_is_due(self) -> None:
        """See that what is due at each sink is due in the model."""
        now = self.clock.at
        for sink in SINKS:
            found = self.spool.due(sink, now, 100, ordered=True, busy=())
            assert sorted(one.seq for one in found) == self.model.due(sink, now)
            anyhow = self.spool.due(sink, now, 100, ordered=False, busy=())
            assert sorted(one.seq for one in anyhow) == self.model.due_anyhow(sink, now)
            busy = [one.seq for one in found[:2]]
            following = self.spool.due(sink, now, 1, ordered=True, busy=busy)
            assert [one.seq for one in following] == [one.seq for one in found[2:3]]

    @invariant()
    def the_same_is_listed(self) -> None:
        """See that each event is listed as the model has it."""
        found = self.spool.events(Wanted(limit=1000))
        assert [one.seq for one in found] == [one.seq for one in self.model.shown]
        for kept, event in zip(found, self.model.shown, strict=True):
            facts = (event.state, event.device, event.account, event.received)
            assert (kept.state.value, kept.device, kept.account, kept.received_at) == facts
            assert (
                kept.duplicates,
                kept.body is not None,
            ) == (event.duplicates, event.body)
            ways = {one.sink: (one.state.value, one.attempts) for one in kept.deliveries}
            assert ways == {sink: (way.state, way.attempts) for sink, way in event.ways.items()}

    @invariant()
    def the_same_is_counted(self) -> None:
        """See that figures count what there is."""
        figures, model = self.spool.figures(), self.model
        assert {(sink, one.value): count for (sink, one), count in figures.events.items()} == (
            model.counts()
        )
        for sink in SINKS:
            pending = [
                event.received
                for _, event in sorted(model.events.items())
                if sink in event.ways and event.ways[sink].state == "pending"
            ]
            assert figures.oldest.get(sink) == next(iter(pending), None)
        assert figures.last_event == next((one.received for one in model.shown), None)

    @rule(
        sink=st.none() | st.sampled_from(SINKS),
        state=st.none() | st.sampled_from(EventState),
        device=st.none() | st.sampled_from(DEVICES),
        minutes=st.sampled_from([0, 5, 100_000]),
        limit=st.sampled_from([1, 100]),
    )
    def ask(
        self,
        sink: str | None,
        state: EventState | None,
        device: str | None,
        minutes: int,
        limit: int,
    ) -> None:
        """Ask for some of the events."""
        since = self.clock.at - timedelta(minutes=minutes)
        asked = Wanted(device=device, sink=sink, state=state, since=since, limit=limit)
        wanted = []
        for event in self.model.shown:
            way = event.ways.get(sink or "")
            shown = event.state if sink is None else (None if way is None else way.state)
            fits = shown is not None and state in {None, shown}
            if fits and device in {None, event.device} and event.received >= since:
                wanted.append(event.seq)
        assert [one.seq for one in self.spool.events(asked)] == wanted[:limit]

    @rule(after=st.integers(0, 10), limit=st.sampled_from([1, 2, 100]))
    def read_on(self, after: int, limit: int) -> None:
        """Let a daemon read on from where it was."""
        seqs = [
            event.seq
            for event in reversed(self.model.shown)
            if event.seq > after and event.device and event.fate in {"kept", "unrouted"}
        ][:limit]
        last, events = self.spool.seen(after, limit)
        assert [one.seq for one in events] == seqs
        assert last == (seqs[-1] if seqs else after)


TestSpooling = Spooling.TestCase
TestSpooling.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
