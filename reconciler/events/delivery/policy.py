"""What follows from how one attempt ended: whether the event is tried again, and when.

Owns: the numbers of retries, and the one rule by which an event is given up. Must not: wait, keep anything, or know
what kind of sink it is.

An event is dead only if a sink answered that it never takes it, or failed to take it after it was old enough to be
given up. An old event gets its tries, too: the process may have been down for days, and a replay brings back old
events.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core.backoff import Curve, Random
from reconciler.events.model import Attempt, Outcome, Result
from reconciler.events.sinks.port import Handed

LONGEST_ATTEMPT = timedelta(seconds=15)
"""An attempt that takes longer has failed."""
RETRY = Curve(timedelta(seconds=5), timedelta(minutes=10))
"""The wait before an event is tried again."""
LONGEST_WAIT = timedelta(hours=1)
"""A sink that asks for a longer wait (``Retry-After``) gets this one."""
FEWEST_TRIES = 5
"""An event that is old enough to be given up has been tried this often at least."""


def outcome(
    attempt: Attempt, handed: Handed, *, now: datetime, give_up_after: timedelta, random: Random
) -> Outcome:
    """Return what is recorded of an attempt that ended ``now``. ``random`` spreads the retries."""
    result = handed.result
    words = handed.words
    if result is Result.RETRY and _is_given_up(attempt, now, give_up_after):
        result = Result.DEAD
        words = f"given up: {words}" if words else "given up"
    due = now + wait(attempt.attempts + 1, handed, random) if result is Result.RETRY else None
    return Outcome(
        attempt.seq, attempt.sink, result, at=now, due=due, status=handed.status, words=words
    )


def wait(tries: int, handed: Handed, random: Random) -> timedelta:
    """Return how long to wait after this number of tries: as the curve has it, or longer where the sink asked so."""
    ours = RETRY.after(tries, random)
    return ours if handed.wait is None else max(ours, min(handed.wait, LONGEST_WAIT))


def _is_given_up(attempt: Attempt, now: datetime, give_up_after: timedelta) -> bool:
    """Say whether an event that failed just now is not tried again."""
    is_old = now - attempt.received_at >= give_up_after
    return is_old and attempt.attempts + 1 >= FEWEST_TRIES
