"""Two fleets live through the same; one of them hears events, true and forged, and the other is deaf."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reconciler.core.heard import Heard
from reconciler.core.model import DEFAULT_ACCOUNT, DeviceId
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Contradict, Error
from simulated import Fleet

DEVICES = 12
STRANGER = DeviceId("stranger")
WHICH = st.integers(0, DEVICES - 1)
SOME = st.sets(WHICH, min_size=DEVICES // 2)
TROUBLES = (
    (),
    (),
    (Rule(Error("1207"), match=Match(route=Route.SUBSCRIBE)),),
    (Rule(Error("1214"), match=Match(route=Route.SUBSCRIBE)),),
    (Rule(Error("2000"), match=Match(route=Route.UNSUBSCRIBE)),),
    (Rule(Contradict(0.3), match=Match(route=Route.LIST)),),
)
MINUTES = st.sampled_from([1, 5, 30, 70, 300, 1500])
AGO = st.sampled_from([None, 0, 2, 90, 3000, -3000])
"""Minutes since the diagnosis; below zero it is yet to come, and None is no date at all."""


class Beside(RuleBasedStateMachine):
    """A deaf fleet is the rule: the other one makes the very same calls.

    Where events wake the account, both fleets make a pass: when a pass comes is all that an event may change.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._deaf, self._hearing = Fleet(DEVICES), Fleet(DEVICES, hears=True)
        self._both = (self._deaf, self._hearing)
        self._wanted: set[DeviceId] = set()

    def teardown(self) -> None:
        """End the loop."""
        self._loop.close()

    @initialize(wanted=SOME)
    def begin(self, wanted: set[int]) -> None:
        """Have what is wanted."""
        for fleet in self._both:
            fleet.platform.subscribe("default", *_chosen(fleet, wanted))
        self.edit(wanted)

    def edit(self, wanted: set[int]) -> None:
        """Want these devices, and let the daemon see that."""
        for fleet in self._both:
            fleet.want(_chosen(fleet, wanted))
        self._wanted = set(_chosen(self._deaf, wanted))
        self.wait(1)

    @rule(which=st.sets(WHICH, min_size=1, max_size=3))
    def change_mind(self, which: set[int]) -> None:
        """Want what was not wanted, and the other way round."""
        wanted = {index for index, one in enumerate(self._deaf.owned) if one in self._wanted}
        self.edit(wanted ^ which)

    @rule(which=WHICH)
    def lose(self, which: int) -> None:
        """Let LG lose a subscription."""
        for fleet in self._both:
            fleet.platform.unsubscribe("default", fleet.owned[which])

    @rule(which=WHICH)
    def meddle(self, which: int) -> None:
        """Let somebody else subscribe a device."""
        for fleet in self._both:
            fleet.platform.subscribe("default", fleet.owned[which])

    @rule(trouble=st.sampled_from(TROUBLES))
    def trouble(self, trouble: tuple[Rule, ...]) -> None:
        """Let LG refuse changes, or let its lists hide devices, or let all be well again."""
        for fleet in self._both:
            fleet.platform.set_faults(*trouble)

    @rule(minutes=MINUTES)
    def wait(self, minutes: int) -> None:
        """Let time pass and make a pass."""
        for fleet in self._both:
            self._loop.run_until_complete(fleet.reconcile(after=timedelta(minutes=minutes)))

    @rule(which=st.lists(WHICH | st.none(), min_size=1, max_size=6), ago=AGO, minutes=MINUTES)
    def hear(self, which: list[int | None], ago: int | None, minutes: int) -> None:
        """Hear of devices, or of one that nobody knows; the next pass comes some time later."""
        fleet = self._hearing
        now = fleet.clock.now()
        diagnosed = None if ago is None else now - timedelta(minutes=ago)
        devices = [STRANGER if one is None else fleet.owned[one] for one in which]
        events = [Heard("id", device, now, diagnosed, "PCC_EVENT", "E1") for device in devices]
        fleet.woken.clear()
        self._loop.run_until_complete(fleet.hearing.take(events))
        if fleet.woken:
            assert fleet.woken == [DEFAULT_ACCOUNT]
            self.wait(0)
        self.wait(minutes)

    @invariant()
    def calls_are_the_same(self) -> None:
        """Compare what LG heard."""
        deaf, hearing = (
            [(one.method, one.path, one.status) for one in fleet.calls()] for fleet in self._both
        )
        assert hearing == deaf


def _chosen(fleet: Fleet, which: Iterable[int]) -> list[DeviceId]:
    return [fleet.owned[one] for one in sorted(which)]


TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=20, stateful_step_count=16)
