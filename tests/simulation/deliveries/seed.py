"""One seed: its day, and what was broken in it."""

from __future__ import annotations

from simulation.deliveries.check import broken
from simulation.deliveries.day import Day


def run(asked: tuple[int, float]) -> tuple[int, int, int, list[str]]:
    """Run one seed; return it with the numbers of events and attempts, and what was broken."""
    seed, hours = asked
    day = Day(seed, hours)
    try:
        day.run()
        found = list(broken(day))
    except Exception as error:  # noqa: BLE001 - whatever ends a run is its result
        found = [f"{type(error).__name__}: {error}"]
    attempts = sum(len(partner.tried) for partner in day.partners.values())
    return seed, len(day.accepted), attempts, found
