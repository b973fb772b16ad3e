"""One run of three daemons.

Owns: how it is put together. Must not: hold a rule, or an event.
"""

from __future__ import annotations

from typing import cast

from simulation.seed import Run
from simulation.several.checker import SharedChecker
from simulation.several.daemons import Daemons
from simulation.several.leaps import LeapingLoop
from simulation.several.life import SharedLife


class SharedRun(Run):
    """One seed."""

    loop_kind = LeapingLoop
    checker_kind = SharedChecker
    machine_kind = Daemons  # type: ignore[assignment]  # it does all that is asked of a machine
    life_kind = SharedLife

    def _connect(self) -> None:
        checker = cast("SharedChecker", self._checker)
        checker.daemons = cast("Daemons", self._machine)
        checker.environment = self._life._environment
