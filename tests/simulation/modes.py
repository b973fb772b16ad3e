"""How a run is meant: the usual world with every trouble, a strict one in which nothing can hide, or one of events.

Owns: the modes and every number in which they differ. Must not: hold a rule, or an event.

In the strict mode LG is slow and answers rightly, nobody meddles, and people edit again and again while a pass goes on
that takes minutes. What the checker lets pass after an edit is shorter than two calls, so a pass that goes on by an
earlier revision, or in spite of a pause, is seen at its next calls.

In the mode of replicas three daemons share the accounts, and much befalls them and their database.

In the mode of windows people say when changes may be made, close to moments at which clocks are put forward or back.
In the mode of protection people protect devices and release them, and files are cut behind an id.

In the mode of events LG's clock and the machine's agree, so that what silence means can be held against the events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from simulation.tolerances import (
    GRACE_SECONDS,
    SHARED_GRACE_SECONDS,
    SHARED_TEXT_GRACE_SECONDS,
    STRICT_GRACE_SECONDS,
    TEXT_GRACE_SECONDS,
)

MINUTE = 60.0
WINDOWS_OF_PEOPLE = ("windows", "open_window", "closing")
"""What people do with change windows, in the mode of windows only."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to live.

    ``way_seconds``: how long a request takes to LG, and so does its answer. ``pause_seconds``: what is between two
    events on average. ``sizes`` of accounts, in devices. ``shared``, ``wild_clocks``: in which share of the runs two
    accounts are one user, and nobody looks after the clock; in that of ``receivers`` the daemon asks receivers of LG's
    events. ``hidden_loss``: LG sends no events any more in the end, and its lists hide that. ``left_out``
    are events that do not happen. ``starts``: when a run may begin, where that is not any of the usual moments.
    ``grace_seconds``: for how long nobody can say which pause by command the program goes by. ``replicas``: how many
    daemons share the accounts. ``rules``: whether people keep devices by rules and locks, and what else there is.
    """

    name: str
    way_seconds: tuple[float, float]
    pause_seconds: float
    sizes: tuple[int, ...]
    concurrency: tuple[int, ...]
    grace_seconds: float
    text_grace_seconds: float = TEXT_GRACE_SECONDS
    shared: float = 0.0
    wild_clocks: float = 0.0
    working_trees: float = 0.0
    observing: float = 0.0
    receivers: float = 0.0
    hidden_loss: bool = False
    replicas: int = 1
    rules: str = ""
    left_out: frozenset[str] = frozenset()
    starts: tuple[datetime, ...] = ()


PROTECTING = frozenset({"protect", "cut_short"})
"""What happens in the mode of protection only: elsewhere it would change what every seed brings."""

USUAL = Mode(
    "usual",
    way_seconds=(0.01, 0.2),
    pause_seconds=20 * MINUTE,
    sizes=(2, 3, 4, 6, 8, 9, 12, 12, 25, 25, 45),
    concurrency=(1, 4, 8),
    grace_seconds=GRACE_SECONDS,
    shared=0.25,
    wild_clocks=0.35,
    working_trees=0.2,
    observing=0.06,
    receivers=0.3,
    left_out=frozenset({"interrupt", *WINDOWS_OF_PEOPLE, *PROTECTING}),
)
STRICT = Mode(
    "strict",
    way_seconds=(2.0, 5.0),
    pause_seconds=2 * MINUTE,
    sizes=(12, 25, 45, 80),
    concurrency=(1, 1, 2),
    grace_seconds=STRICT_GRACE_SECONDS,
    left_out=frozenset(
        {
            *("faults", "odd", "outage", "slow", "contradict"),
            *("lose", "strangers", "consent", "registered", "quota", "cap"),
            *("clock", "exchange", "deaf"),
            *WINDOWS_OF_PEOPLE,
            *PROTECTING,
        }
    ),
)
HEARD = Mode(
    "heard",
    way_seconds=USUAL.way_seconds,
    pause_seconds=20 * MINUTE,
    sizes=(4, 9, 12, 25),
    concurrency=USUAL.concurrency,
    grace_seconds=GRACE_SECONDS,
    shared=0.2,
    observing=0.1,
    receivers=1.0,
    hidden_loss=True,
    left_out=frozenset({"interrupt", "clock", *WINDOWS_OF_PEOPLE, *PROTECTING}),
)
REPLICAS = Mode(
    "replicas",
    way_seconds=USUAL.way_seconds,
    pause_seconds=20 * MINUTE,
    sizes=(2, 3, 6, 9, 12, 25, 45),
    concurrency=(1, 3, 8),
    grace_seconds=SHARED_GRACE_SECONDS,
    text_grace_seconds=SHARED_TEXT_GRACE_SECONDS,
    shared=0.2,
    wild_clocks=0.2,
    observing=0.03,
    replicas=3,
    left_out=frozenset(
        {"interrupt", "restart", "kill", "disk", "exchange", *WINDOWS_OF_PEOPLE, *PROTECTING}
    ),
)
RULED = replace(
    USUAL, name="ruled", sizes=(4, 9, 12, 13, 25), shared=0.0, receivers=0.0, rules="with all else"
)
FLICKER = replace(
    USUAL, name="flicker", sizes=(13,), shared=0.0, wild_clocks=0.0, working_trees=0.0,
    observing=0.0, receivers=0.0, rules="alone",
)  # fmt: skip
WINDOWS = Mode(
    "windows",
    way_seconds=(2.0, 5.0),
    pause_seconds=3 * MINUTE,
    sizes=(12, 25, 45),
    concurrency=(1, 1, 2),
    grace_seconds=STRICT_GRACE_SECONDS,
    left_out=frozenset(
        {
            *("faults", "odd", "outage", "slow", "contradict"),
            *("strangers", "consent", "registered", "quota", "cap"),
            *("clock", "exchange", "deaf", "zone", "kill"),
            *PROTECTING,
        }
    ),
    starts=(
        datetime(2026, 10, 24, 23, tzinfo=UTC),
        datetime(2026, 11, 1, 3, tzinfo=UTC),
        datetime(2026, 3, 28, 23, tzinfo=UTC),
        datetime(2026, 6, 1, tzinfo=UTC),
    ),
)
PROTECTED = Mode(
    "protected",
    way_seconds=USUAL.way_seconds,
    pause_seconds=10 * MINUTE,
    sizes=(4, 6, 9, 12, 25),
    concurrency=USUAL.concurrency,
    grace_seconds=GRACE_SECONDS,
    shared=0.3,
    left_out=frozenset(
        {
            *("faults", "odd", "outage", "slow", "contradict"),
            *("lose", "registered", "quota", "cap", "clock", "interrupt"),
            *WINDOWS_OF_PEOPLE,
        }
    ),
)
MODES = {
    one.name: one for one in (USUAL, STRICT, HEARD, REPLICAS, RULED, FLICKER, WINDOWS, PROTECTED)
}
