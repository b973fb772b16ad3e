"""What holds a change, and whether a live list is to be believed.

Owns: the one table of reasons, ``GUARDS`` (``table``), in the order in which a change gets its single reason. Each row
has a check, a pure function from a plan and its situation to what it holds. Each module has the checks of one subject:
``desired`` (what is wanted, and where it comes from), ``lists`` (LG's list), ``identity`` (whose device it is),
``limits`` (how many go), ``policy`` (what a person set), ``platform`` (what LG allows now). ``situation`` is their
input, ``finding`` their result.
Must not: do I/O, read a clock, or log. A guard returns why.

A guard holds unsubscribes as a whole, never part of a suspicious set, and never holds a subscribe for the sake of an
unsubscribe. Only ``suspect-list``, ``guard-failed`` and ``account-stopped`` hold everything, because then nothing is
known. A doubted list of a small account holds unsubscribes only: LG refuses to subscribe devices that the user does not
own. A guard that raises holds everything: a guard that cannot judge must not let changes through.
"""

from reconciler.core.guards.finding import Finding, Guard
from reconciler.core.guards.identity import look_alikes
from reconciler.core.guards.limits import LIMIT_WINDOW, allowance, budget, limit
from reconciler.core.guards.lists import (
    BELIEVED_AFTER,
    SUSPECT_FROM,
    is_suspect,
    subscribes_in_doubt,
)
from reconciler.core.guards.platform import FLAPPING_WAIT
from reconciler.core.guards.situation import PauseOverride, Platform, Situation
from reconciler.core.guards.table import GUARDS, REMEDIES, held_actions, judge

__all__ = [
    "BELIEVED_AFTER",
    "FLAPPING_WAIT",
    "GUARDS",
    "LIMIT_WINDOW",
    "REMEDIES",
    "SUSPECT_FROM",
    "Finding",
    "Guard",
    "PauseOverride",
    "Platform",
    "Situation",
    "allowance",
    "budget",
    "held_actions",
    "is_suspect",
    "judge",
    "limit",
    "look_alikes",
    "subscribes_in_doubt",
]
