"""The queries that panels have in common: a metric of what is chosen, spans, and the slow cases of a histogram."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grafana import GREEN, ORANGE, YELLOW, Query

HOUR = "[1h]"
LATELY = "[15m]"
"""Longer than the usual time between two passes, so that a quiet fleet has no gaps."""
SHARES: Mapping[float, str] = {0.5: "half are faster", 0.95: "95 % are faster", 0.99: "99 % are faster"}  # fmt: skip
SLOWNESS: Mapping[str, str] = dict(zip(SHARES.values(), (GREEN, YELLOW, ORANGE), strict=True))
"""The colour of each share of the cases."""
NAMESPACE = "~$namespace"
"""Of the chosen namespace. Where there are no namespaces, all are chosen, and the empty one is among them."""

Of = Callable[..., str]
"""Selects a metric's series, by its name and labels: of the whole daemon, of one account, or of the receivers."""


def selected(metric: str, labels: Mapping[str, str]) -> str:
    """Return a metric with these labels.

    A label's value that begins with ``!`` is one that it must not have; one that begins with ``~`` is a pattern; of
    values with ``|`` between them one will do.
    """
    matchers = ", ".join(_matcher(name, value) for name, value in labels.items())
    return f"{metric}{{{matchers}}}"


def _matcher(name: str, value: str) -> str:
    if value[:1] == "!":
        return f'{name}!="{value[1:]}"'
    if value[:1] == "~":
        return f'{name}=~"{value[1:]}"'
    return f'{name}{"=~" if "|" in value else "="}"{value}"'


def of(metric: str, **labels: str) -> str:
    """Return a metric of the chosen daemon."""
    return selected(metric, {"namespace": NAMESPACE, "job": "$job", **labels})


def mine(metric: str, **labels: str) -> str:
    """Return a metric of the chosen account."""
    return of(metric, account="$account", **labels)


def of_receivers(metric: str, **labels: str) -> str:
    """Return a metric of the chosen receivers."""
    return selected(metric, {"namespace": NAMESPACE, "job": "$receiver", **labels})


def age(moment: str) -> str:
    """Return how many seconds ago a moment was."""
    return f"time() - {moment}"


def first(*findings: tuple[int, str], otherwise: str) -> str:
    """Return the number of the first finding that has a value, in one series without labels."""
    return " or ".join([*(f"{number} * group({found})" for number, found in findings), otherwise])


def reported(select: Of) -> str:
    """Return a metric that is there whenever the daemon is, or once it has read the account's list."""
    return select("pcc_observed_devices" if select is mine else "pcc_build_info")


def else_number(expression: str, number: int, reported: str) -> str:
    """Return a value; or a number that has a word of its own, where only the value is missing.

    ``reported`` is a metric that is always there. Without it nothing is known, and nothing is claimed.
    """
    return f"{expression} or {number} * group({reported})"


def whole(expression: str) -> str:
    """Return counts without those that are 0. ``increase`` extrapolates, so its fractions mean nothing."""
    return f"round({expression}) > 0"


def per_hour(counter: str, *labels: str) -> Query:
    """Return how often something happened within an hour, by these labels."""
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    return Query(whole(f"sum by ({', '.join(labels)}) (increase({counter}{HOUR}))"), legend)


def slowness(of: Of, histogram: str) -> list[Query]:
    """Return the usual, the slow and the slowest cases of a histogram's last quarter of an hour."""
    buckets = f"sum by (le) (rate({of(f'{histogram}_bucket')}{LATELY}))"
    return [
        Query(f"histogram_quantile({share}, {buckets})", words) for share, words in SHARES.items()
    ]
