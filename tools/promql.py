"""The queries that panels have in common: a metric of one job, spans, and the slow cases of a histogram."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grafana import GREEN, ORANGE, YELLOW, Query

HOUR = "[1h]"
LATELY = "[15m]"
"""Longer than the usual time between two passes, so that a quiet fleet has no gaps."""
SHARES: Mapping[float, str] = {0.5: "half within", 0.95: "95 % within", 0.99: "99 % within"}
SLOWNESS: Mapping[str, str] = dict(zip(SHARES.values(), (GREEN, YELLOW, ORANGE), strict=True))
"""The colour of each share of the cases."""

Of = Callable[..., str]
"""Selects a metric's series, by its name and labels: of the whole daemon, of one account, or of the receivers."""


def selected(metric: str, labels: Mapping[str, str]) -> str:
    """Return a metric with these labels.

    A label's value that begins with ``!`` is one that it must not have; of values with ``|`` between them one will do.
    """
    matchers = ", ".join(_matcher(name, value) for name, value in labels.items())
    return f"{metric}{{{matchers}}}"


def _matcher(name: str, value: str) -> str:
    if value[:1] == "!":
        return f'{name}!="{value[1:]}"'
    return f'{name}{"=~" if "|" in value else "="}"{value}"'


def slowness(of: Of, histogram: str) -> list[Query]:
    """Return the usual, the slow and the slowest cases of a histogram's last quarter of an hour."""
    buckets = f"sum by (le) (rate({of(f'{histogram}_bucket')}{LATELY}))"
    return [
        Query(f"histogram_quantile({share}, {buckets})", words) for share, words in SHARES.items()
    ]
