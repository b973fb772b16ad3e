"""The keeper: nothing is taken before the rules are back, and nothing goes on without a thread that writes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from disks import StandingClock
from reconciler.core.errors import SpoolError
from reconciler.events.spool import Spool
from reconciler.runtime.partner_files import Rules
from reconciler.runtime.receiving.rules import RulesInForce
from reconciler.runtime.receiving.spool_keeper import SpoolKeeper
from reconciler.telemetry.receiver_metrics import ReceiverMetrics
from scenarios import eventually
from spooled import ROOMY, Library, Routes


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
