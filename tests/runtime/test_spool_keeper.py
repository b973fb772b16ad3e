"""The keeper: nothing is taken before the rules are back, and nothing goes on without a thread that writes."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from disks import START, StandingClock
from reconciler.core.errors import SpoolError
from reconciler.events.config import EventsConfig, RetentionConfig, SinkConfig, SinkType
from reconciler.events.model import EventState, SpoolFigures
from reconciler.events.spool import Spool
from reconciler.runtime.partner_files import Rules
from reconciler.runtime.receiving.rules import RulesInForce
from reconciler.runtime.receiving.spool_keeper import EXPIRE_SECONDS, SpoolKeeper
from reconciler.telemetry.receiver_metrics import ReceiverMetrics
from scenarios import eventually
from spooled import ROOMY, Library, Routes

CRM = SinkConfig("crm", SinkType.STREAM)


class WatchedRules(RulesInForce):
    """Rules that note whether events were taken already when they came back into force."""

    def __init__(self, spool: Spool, metrics: ReceiverMetrics) -> None:
        super().__init__(spool, metrics, self._enforced)
        self.keeper: SpoolKeeper | None = None
        self.taking: list[bool] = []

    def _enforced(self, _rules: Rules) -> None:
        pass

    def resume(self, recalled: Rules | None) -> None:
        """Note it."""
        assert self.keeper is not None
        self.taking.append(self.keeper.is_open)
        super().resume(recalled)


async def test_nothing_is_taken_before_the_rules_are_back(tmp_path: Path) -> None:
    """An event between the two would find no sink, and go nowhere for good; so callers wait for both."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    clock, metrics = StandingClock(), ReceiverMetrics(spool_limit=1)
    spool = Spool(blocked / "spool", clock, Routes(), limit=1 << 20)
    rules = WatchedRules(spool, metrics)
    keeper = rules.keeper = SpoolKeeper(spool, rules, metrics, clock)
    keeper.begin()
    assert (keeper.is_open, rules.taking) == (False, [])
    running = asyncio.create_task(keeper.run())
    blocked.unlink()
    await eventually(lambda: keeper.is_open)
    assert rules.taking == [False]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    keeper.close()


def enforce(_rules: Rules) -> None:
    """Let nobody obey."""


async def test_a_defect_of_the_writing_thread_ends_the_process(tmp_path: Path) -> None:
    """Its service ends with the reason, and so the process does: whatever watches it starts it again."""
    library, clock, metrics = Library(), StandingClock(), ReceiverMetrics(ROOMY)
    library.answers.set()
    spool = Spool(tmp_path, clock, Routes(), limit=ROOMY, connect=library.connect)
    keeper = SpoolKeeper(spool, RulesInForce(spool, metrics, enforce), metrics, clock)
    assert keeper.stuck() == ""
    keeper.begin()
    try:
        assert keeper.stuck() == ""
        library.defect = True
        async with asyncio.timeout(30):
            with pytest.raises(SpoolError, match="the thread that writes the spool ended"):
                await keeper.run()
        assert keeper.stuck() == spool.defect
    finally:
        keeper.close()


class Figures:
    """A spool that opens when it is let, tells its figures, and notes what was to expire."""

    def __init__(self) -> None:
        self.defect, self.is_ready = "", True
        self.figure = SpoolFigures(7)
        self.expired: list[RetentionConfig] = []
        self.opened = 0

    def open(self) -> None:
        """Open, or fail."""
        self.opened += 1
        if not self.is_ready:
            raise SpoolError("no such disk")

    def notices(self) -> list[str]:
        """Return nothing to report."""
        return []

    def kept(self, _name: str) -> None:
        """Return nothing that was kept."""

    def figures(self) -> SpoolFigures:
        """Return the figures."""
        return self.figure

    def expire(self, _now: datetime, retention: RetentionConfig) -> None:
        """Note what is to go."""
        self.expired.append(retention)


class Steady(StandingClock):
    """A clock whose steady time a test moves."""

    seconds = 0.0

    def steady(self) -> float:
        """Return the seconds."""
        return self.seconds


def kept_by(
    spool: Figures, clock: StandingClock
) -> tuple[SpoolKeeper, RulesInForce, ReceiverMetrics]:
    """Return what keeps a spool, with its rules and its metrics."""
    metrics = ReceiverMetrics(ROOMY)
    rules = RulesInForce(cast("Any", spool), metrics, enforce)
    return SpoolKeeper(cast("Any", spool), rules, metrics, clock), rules, metrics


def test_old_things_go_by_the_retention_in_force() -> None:
    """Every ten minutes, by what the partner's file says then."""
    spool, clock = Figures(), Steady()
    keeper, rules, _ = kept_by(spool, clock)
    keeper.begin()
    short = RetentionConfig(timedelta(days=1), timedelta(days=2), timedelta(days=3))
    rules.rules = Rules(EventsConfig(retention=short))
    for seconds, count in ((0.0, 1), (EXPIRE_SECONDS - 1, 1), (EXPIRE_SECONDS, 2), (1e6, 3)):
        clock.seconds = seconds
        keeper._expire()
        assert len(spool.expired) == count
    assert set(spool.expired) == {short}


@pytest.mark.parametrize("late", [False, True])
async def test_what_came_before_this_process_is_shown(*, late: bool) -> None:
    """When something last came is known from the spool, also where that opens late, and figures only from then on."""
    spool, clock = Figures(), Steady()
    came, tested = START - timedelta(days=1), START - timedelta(days=2)
    counted = {("crm", EventState.PENDING): 3, ("", EventState.UNROUTED): 2}
    spool.figure = SpoolFigures(7, counted, {"crm": came}, came, tested)
    spool.is_ready = not late
    keeper, rules, metrics = kept_by(spool, clock)
    rules.rules = Rules(EventsConfig(sinks={"crm": CRM}))
    keeper.begin()
    assert (keeper.gauges() is None) is late
    spool.is_ready = True
    running = asyncio.create_task(keeper.run())
    shown = metrics.registry.get_sample_value
    await eventually(lambda: shown("pcc_last_event_timestamp_seconds") == came.timestamp())
    name = "pcc_self_check_last_success_timestamp_seconds"
    await eventually(lambda: shown(name) == tested.timestamp())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found = keeper.gauges()
    assert found is not None
    assert {one: count for one, count in found.events.items() if count} == {
        (sink, str(state)): count for (sink, state), count in counted.items()
    }
    assert found.events["crm", "dead"] == 0
    assert found.oldest_seconds == {"crm": 86400.0}
