"""What a plan rests on: each thing that outdates it, beside much that happens and does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_runs import REVISION, judged
from reconciler.controller.basis import Basis
from reconciler.core.acceptance import AccountRevision
from reconciler.core.clock import ANSWERS
from reconciler.core.guards import PauseOverride, Platform
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Cause,
    Change,
    Desired,
    Device,
    DeviceId,
    Memory,
    Observed,
    Pause,
    Plan,
    Unsettled,
)
from reconciler.core.windows import Holds, Opening, Span, Window, WindowKind
from simulated import START, Fleet

STAYS, LATER, GOES, RELEASED = [DeviceId(name) for name in ("stays", "later", "goes", "released")]
OTHER = AccountName("other")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NIGHT = PauseOverride(Pause.ALL, START + 3 * HOUR, "night")
OFFICE, CELLAR, ATTIC = [
    Window(name, WindowKind.ALLOW, Holds.ALL, Span(START + DAY, None), "UTC")
    for name in ("office", "cellar", "attic")
]
"""Windows that begin tomorrow. The account has the first two, of which a command opened the first."""


class World:
    """A pass of one account beside another one, between its list and its calls.

    Two devices are to go, one of them released by an approval; one is wanted, and one in an hour.
    """

    def __init__(self) -> None:
        self.fleet = Fleet(1)
        self.fleet.state.pauses.set(
            None, PauseOverride(Pause.UNSUBSCRIBE, START + 2 * HOUR, "once"), START
        )
        later = Device(LATER, from_=START + HOUR)
        self.fleet.want([STAYS, LATER], described={LATER: later}, windows=(OFFICE, CELLAR))
        self.open(OFFICE, 3 * HOUR)
        self.state = SimpleNamespace(
            writable=True,
            pauses=self.fleet.state.pauses,
            opened_windows=self.fleet.state.opened_windows,
        )
        self.tenure = SimpleNamespace(epoch=0, may=True)
        self.tenure.term = lambda account: self.tenure.epoch if account == DEFAULT_ACCOUNT else 9
        self.tenure.may_change = lambda account: account == DEFAULT_ACCOUNT and self.tenure.may
        self.client = SimpleNamespace(same_user=True)
        self.others: dict[DeviceId, Device] = {}
        self.claim()
        text, reconciler = self.fleet.text, self.fleet.reconciler
        assert text is not None
        run = reconciler._runs.begin(text)
        live = Observed(frozenset({STAYS, GOES, RELEASED}), START)
        plan = Plan(
            DEFAULT_ACCOUNT,
            unsubscribes=tuple(
                Change(DEFAULT_ACCOUNT, Action.UNSUBSCRIBE, one) for one in (GOES, RELEASED)
            ),
            approved=frozenset({RELEASED}),
        )
        self.run = run
        self.verdict = replace(
            judged(run.situation(live, Memory(writable=True), Platform())),
            plan=plan,
            claims_version=self.fleet.claims.version,
        )
        self.basis = self.rest()

    def rest(self) -> Basis:
        """Return what the plan rests on, taken down at this moment."""
        reconciler = self.fleet.reconciler
        return Basis(
            self.run,
            self.verdict,
            cast("Any", self.client),
            self.fleet,
            replace(
                reconciler._with, state=cast("Any", self.state), tenure=cast("Any", self.tenure)
            ),
            reconciler._clocks,
        )

    def claim(self, *devices: Device) -> None:
        """Let the other account want these devices."""
        assert self.fleet.text is not None
        other = Desired(
            OTHER, frozenset(one.id for one in devices), {one.id: one for one in devices}
        )
        texts = {DEFAULT_ACCOUNT: self.fleet.text, OTHER: AccountRevision(other, REVISION)}
        self.fleet.claims.follow(texts)
        self.fleet.claims.enforce(texts)

    def edit(self, **facts: object) -> None:
        """Bring something else into force."""
        assert self.fleet.text is not None
        self.fleet.text = replace(self.fleet.text, **facts)  # type: ignore[arg-type]

    def open(self, window: Window, span: timedelta) -> None:
        """Open a window by command, for a while."""
        now = self.fleet.clock.now()
        opening = Opening(window.name, window.mark, now, now + span)
        self.fleet.state.opened_windows.open(opening, now)

    def close(self, window: Window) -> None:
        """End what a command opened."""
        self.fleet.state.opened_windows.close(window.name, self.fleet.clock.now())

    def hear_of(self, ahead: timedelta) -> None:
        """Let LG's answers show how far its clock is ahead."""
        for _ in range(ANSWERS):
            self.fleet.two_clocks.answered(self.fleet.clock.now() + ahead)

    def pause(self, account: AccountName | None, override: PauseOverride | None) -> None:
        """Set or end a pause."""
        self.fleet.state.pauses.set(account, override, self.fleet.clock.now())


def _desire_anew(world: World) -> None:
    assert world.fleet.text is not None
    world.edit(desired=replace(world.fleet.text.desired))


OUTDATING: dict[str, Callable[[World], object]] = {
    "taken by another replica": lambda one: setattr(one.tenure, "epoch", 1),
    "lost": lambda one: setattr(one.tenure, "epoch", None),
    "not to be changed here": lambda one: setattr(one.tenure, "may", False),
    "wanted elsewhere": lambda one: one.claim(Device(GOES)),
    "one of two wanted elsewhere": lambda one: one.claim(Device(RELEASED), Device(GOES)),
    "stopping": lambda one: setattr(one.fleet, "stopping", True),
    "edited": _desire_anew,
    "rejected": lambda one: one.edit(rejected=Cause.INVALID),
    "half written": lambda one: one.edit(unsettled=Unsettled(frozenset({GOES}), "it waits")),
    "left": lambda one: setattr(one.fleet, "text", None),
    "a date comes": lambda one: one.fleet.clock.pass_by(HOUR),
    "paused": lambda one: one.pause(DEFAULT_ACCOUNT, NIGHT),
    "all paused": lambda one: one.pause(None, NIGHT),
    "a pause is ended": lambda one: one.pause(None, None),
    "unwritable": lambda one: setattr(one.state, "writable", False),
    "another user": lambda one: setattr(one.client, "same_user", False),
    "a clock ahead": lambda one: one.fleet.clock.set_by(HOUR),
    "a clock back": lambda one: one.fleet.clock.set_by(-HOUR),
    "LG's clock ahead": lambda one: one.hear_of(HOUR),
    "LG's clock behind": lambda one: one.hear_of(-HOUR),
    "what was opened is closed": lambda one: one.close(OFFICE),
    "another window is opened": lambda one: one.open(CELLAR, HOUR),
}
HARMLESS: dict[str, Callable[[World], object]] = {
    "time passes": lambda one: one.fleet.clock.pass_by(timedelta(minutes=14)),
    "what is released is wanted elsewhere": lambda one: one.claim(Device(RELEASED)),
    "what stays is wanted elsewhere": lambda one: one.claim(Device(STAYS)),
    "what goes is wanted elsewhere some day": lambda one: one.claim(
        Device(GOES, from_=START + DAY), Device(STAYS)
    ),
    "what goes was wanted elsewhere": lambda one: one.claim(Device(GOES, until=START)),
    "the other account is paused": lambda one: one.pause(OTHER, NIGHT),
    "a lighter pause": lambda one: one.pause(DEFAULT_ACCOUNT, None),
    "the same again": lambda one: one.claim(),
    "LG's clock agrees": lambda one: one.hear_of(timedelta(minutes=1)),
    "a window of other accounts is opened": lambda one: one.open(ATTIC, HOUR),
    "a window of other accounts is closed": lambda one: one.close(ATTIC),
    "what was not opened is closed": lambda one: one.close(CELLAR),
}

harmless = st.lists(st.sampled_from(sorted(HARMLESS)), max_size=4)


@pytest.mark.parametrize("what", OUTDATING)
def test_a_plan_is_outdated_by_each_thing_that_it_rests_on(what: str) -> None:
    """Alone, and whatever else happened."""
    world = World()
    assert not world.basis.outdated()
    OUTDATING[what](world)
    assert world.basis.outdated()


@given(harmless, st.sampled_from(sorted(OUTDATING)))
def test_what_a_plan_does_not_rest_on_does_not_outdate_it(
    happened: Sequence[str], what: str
) -> None:
    """What concerns other accounts and devices, or comes later, is not waited for; what counts is seen beside it."""
    world = World()
    for one in happened:
        HARMLESS[one](world)
        assert not world.basis.outdated()
    OUTDATING[what](world)
    assert world.basis.outdated()


def test_what_another_account_wanted_once_is_not_taken_from_it() -> None:
    """Once a device of the plan was wanted elsewhere the plan stays outdated: it was made for another world."""
    world = World()
    world.claim(Device(GOES))
    assert world.basis.outdated()
    world.claim()
    assert world.basis.outdated()
    again = World()
    again.claim(Device(GOES))
    again.claim()
    assert not again.basis.outdated()


def test_what_another_account_wants_between_the_verdict_and_the_calls_outdates_the_plan() -> None:
    """A revision that came into force after the verdict counts, also before the plan's first call is prepared."""
    world = World()
    world.claim(Device(GOES))
    assert world.rest().outdated()


def test_a_pause_that_ends_by_itself_outdates_the_plan() -> None:
    """What it held may be done now."""
    world = World()
    assert not world.basis.outdated()
    world.basis._run = replace(world.basis._run, boundary=None)
    world.fleet.clock.pass_by(2 * HOUR - timedelta(seconds=1))
    assert not world.basis.outdated()
    world.fleet.clock.pass_by(timedelta(seconds=1))
    assert world.basis.outdated()
